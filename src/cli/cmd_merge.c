/* minke merge: a model and the adapters trained beside it become one model. */
#include "base/file.h"
#include "cli/cli.h"
#include "train/adapter.h"
#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

/* What most of the weights are stored as, if a trained model can be saved so. */
static enum mk_type type_of(const struct mk_model *m, const char *name)
{
    size_t n_values[MK_N_TYPES] = {0};
    if (name) return (enum mk_type)mk_type_of_name(name);
    for (size_t i = 0; i < m->tensors.n; i++)
        n_values[m->tensors.list[i].type] += m->tensors.list[i].n_values;
    if (n_values[MK_F32] > n_values[MK_F16] + n_values[MK_BF16]) return MK_F32;
    return n_values[MK_F16] > n_values[MK_BF16] ? MK_F16 : MK_BF16;
}

static bool merge(const char *from, const char *adapter, const char *out, const char *type,
                  struct mk_err *err)
{
    struct mk_model m;
    struct mk_params params = {0};
    struct mk_tokenizer *t = NULL;
    const struct mk_trainable how = {.params = &params};
    if (mk_file_exists(out))
        return mk_fail(err, MK_EUSAGE, "%s is there already; remove it or choose another name",
                       out);
    if (!mk_model_open_trainable(&m, from, &how, err)) return false;
    const bool ok = mk_tokenizer_open(&t, &m.tensors, err) &&
                    mk_adapter_merge(&params, adapter, err) &&
                    mk_model_save(out, &m, t, type_of(&m, type), err);
    mk_tokenizer_free(t);
    mk_model_close(&m);
    mk_params_release(&params);
    return ok;
}

int mk_cmd_merge(int argc, char **argv)
{
    static const char *from, *adapter, *out, *type;
    static const struct mk_opt opts[] = {
        {"from", 0, MK_OPT_STR, &from, "MODEL", "the model that the adapters belong to", 0, 0, NULL,
         NULL},
        {"adapter", 0, MK_OPT_STR, &adapter, "DIR",
         "a run with --lora, one of its checkpoints, or a PEFT folder", 0, 0, NULL, NULL},
        {"out", 'o', MK_OPT_STR, &out, "DIR", "new folder of the whole model", 0, 0, NULL, NULL},
        {"type", 0, MK_OPT_CHOICE, &type, "TYPE", "of the weights (as most are in the model)", 0, 0,
         "f32|f16|bf16", NULL},
        {0},
    };
    struct mk_err err;
    mk_opts_parse("merge", opts, argc, argv, NULL, 0);
    if (!from) mk_cli_usage("merge", "--from MODEL is missing");
    if (!adapter) mk_cli_usage("merge", "--adapter DIR is missing");
    if (!out) mk_cli_usage("merge", "--out DIR is missing");
    char *base = mk_cli_model_path(from), *path = mk_run_model(adapter);
    if (!merge(base, path, out, type, &err)) mk_cli_die(&err);
    printf("%s: %s with %s\n", out, base, path);
    free(base);
    free(path);
    return 0;
}
