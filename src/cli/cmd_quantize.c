/* minke quantize: a GGUF file with smaller weights.  What convert does, with the mixtures
 * known from other tools and a table of what each tensor became. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/convert.h"

#include <stdlib.h>
#include <string.h>

static size_t n_values(const struct mk_tensor *t)
{
    size_t n = 1;
    for (unsigned i = 0; i < t->n_dims; i++) n *= t->dims[i]; /* checked by the plan */
    return n;
}

/* Rows that no block of the wanted type divides, a line for each pair of types. */
static void print_fallbacks(const struct mk_convert *c)
{
    size_t n[MK_N_TYPES][MK_N_TYPES] = {{0}};
    const struct mk_target *of[MK_N_TYPES][MK_N_TYPES] = {{0}};
    for (size_t i = 0; i < c->n; i++) {
        const struct mk_target *t = &c->v[i];
        n[t->wanted][t->t.type]++;
        of[t->wanted][t->t.type] = t;
    }
    for (int a = 0; a < MK_N_TYPES; a++)
        for (int b = 0; b < MK_N_TYPES; b++)
            if (a != b && n[a][b])
                printf("%s instead of %s for %zu: rows of %zu values (%s) are not whole "
                       "blocks of %zu\n",
                       mk_quants[b].name, mk_quants[a].name, n[a][b], of[a][b]->n_cols,
                       of[a][b]->t.name, mk_quants[a].block_len);
}

static void print_table(const struct mk_convert *c)
{
    struct {
        size_t n, values, bytes;
    } sum[MK_N_TYPES + 1] = {{0}};
    for (size_t i = 0; i < c->n; i++) {
        const struct mk_tensor *t = &c->v[i].t;
        const size_t at[2] = {t->type, MK_N_TYPES};
        for (int k = 0; k < 2; k++) {
            sum[at[k]].n++;
            sum[at[k]].values += n_values(t);
            sum[at[k]].bytes += t->n_bytes;
        }
    }
    printf("%-8s %8s %16s %10s %12s\n", "type", "tensors", "weights", "MB", "bits/weight");
    for (int i = 0; i <= MK_N_TYPES; i++)
        if (sum[i].n)
            printf("%-8s %8zu %16zu %10.1f %12.3f\n", i < MK_N_TYPES ? mk_quants[i].name : "all",
                   sum[i].n, sum[i].values, (double)sum[i].bytes / 1e6,
                   8.0 * (double)sum[i].bytes / (double)sum[i].values);
}

static void report(const struct mk_convert *c)
{
    for (size_t i = 0; i < c->model.tensors.n; i++) {
        const struct mk_tensor *t = &c->model.tensors.list[i];
        if (mk_quants[t->type].block_len == 1) continue;
        printf("the source is quantised already (%s is %s): errors add up\n", t->name,
               mk_quants[t->type].name);
        break;
    }
    print_fallbacks(c);
    print_table(c);
    mk_cli_flush();
}

int mk_cmd_quantize(int argc, char **argv)
{
    static struct mk_convert_options o;
    static size_t n_threads;
    static const struct mk_opt opts[] = {
        {"type", 0, MK_OPT_STR, &o.type, "TYPE",
         "Q3_K_S/M/L, Q4_K_S/M, Q5_K_S/M, or one type for all: q8_0, q6_k, q4_0, ...", 0, 0, NULL,
         NULL},
        {"mla", 0, MK_OPT_CHOICE, &o.mla, "LAYOUT",
         "DeepSeek: new (attn_k_b, attn_v_b) or old (attn_kv_b)", 0, 0, "new|old", NULL},
        {"threads", 't', MK_OPT_SIZE, &n_threads, "N", "threads (all CPUs)", 1, 1024, NULL,
         "MINKE_THREADS"},
        {0},
    };
    struct mk_strs rest = {0};
    struct mk_err err;
    mk_opts_parse("quantize", opts, argc, argv, &rest, 2);
    if (rest.n != 2) mk_cli_usage("quantize", "want SOURCE and TARGET.gguf");
    const size_t len = strlen(rest.v[1]);
    if (len < 6 || strcmp(rest.v[1] + len - 5, ".gguf"))
        mk_cli_usage("quantize", "the target \"%s\" does not end in .gguf", rest.v[1]);
    if (!o.type) mk_cli_usage("quantize", "--type is missing");
    char *source = mk_cli_model_path(rest.v[0]);
    o.source = source;
    o.target = rest.v[1];
    o.n_threads = (unsigned)n_threads;
    o.has_mixes = true;
    if (!mk_convert_run(&o, report, &err)) mk_cli_die(&err);
    free(source);
    return 0;
}
