/* minke info: what a model is, and what memory it will need, before anything is loaded:
 * weights are mapped and only their directory is read. */
#include "chat/chat.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "model/model.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const enum mk_type kv_types[] = {MK_F32, MK_F16, MK_BF16, MK_Q8_0};
enum { N_KV_TYPES = sizeof kv_types / sizeof *kv_types, N_CONTEXTS = 4 };

struct info {
    struct mk_model model;
    struct mk_tokenizer *tokenizer; /* NULL: why_no_tokenizer */
    const struct mk_template *template;
    struct mk_err no_tokenizer, no_template;
    const struct mk_model_opts *o;
    size_t n_ctx[N_CONTEXTS], n_contexts;
    size_t weight_bytes, scratch_bytes, n_step;
    struct {
        size_t n_tensors, n_values, n_bytes;
    } types[MK_N_TYPES];
};

/* ---- gathering ---------------------------------------------------------------------- */

static void count_types(struct info *i)
{
    const struct mk_tensors *t = &i->model.tensors;
    for (size_t k = 0; k < t->n; k++) {
        i->types[t->list[k].type].n_tensors++;
        i->types[t->list[k].type].n_values += t->list[k].n_values;
        i->types[t->list[k].type].n_bytes += t->list[k].n_bytes;
        i->weight_bytes += t->list[k].n_bytes;
    }
}

/* 4k, 32k, what the model was made for, and -c. */
static void choose_contexts(struct info *i)
{
    const size_t wanted[N_CONTEXTS] = {4096, 32768, i->model.n_ctx, i->o->n_ctx};
    for (size_t k = 0; k < N_CONTEXTS; k++) {
        bool is_new = wanted[k] != 0 && (k >= 2 || wanted[k] < i->model.n_ctx);
        for (size_t j = 0; j < i->n_contexts; j++) is_new = is_new && i->n_ctx[j] != wanted[k];
        if (is_new) i->n_ctx[i->n_contexts++] = wanted[k];
    }
}

static void find_tokenizer(struct info *i)
{
    const struct mk_tensors *t = &i->model.tensors;
    struct mk_str json = {0}, config = {0};
    mk_str_addf(&json, "%s/tokenizer.json", mk_tensors_dir(t));
    mk_str_addf(&config, "%s/tokenizer_config.json", mk_tensors_dir(t));
    bool ok;
    if (t->gguf && mk_gguf_find(t->gguf, "tokenizer.ggml.tokens"))
        ok = mk_tokenizer_open_gguf(&i->tokenizer, t->gguf, t->path, &i->no_tokenizer);
    else if (!mk_file_exists(json.data))
        ok = mk_fail(&i->no_tokenizer, MK_EFORMAT, "none");
    else
        ok = mk_tokenizer_open_json(&i->tokenizer, json.data,
                                    mk_file_exists(config.data) ? config.data : NULL,
                                    &i->no_tokenizer);
    if (!ok || !mk_template_detect(&i->template, i->tokenizer, &i->no_template)) i->template = NULL;
    mk_str_release(&json);
    mk_str_release(&config);
}

static size_t kv_bytes(const struct info *i, enum mk_type type, size_t n_ctx)
{
    return mk_kv_pos_bytes(&i->model.kv, type) * n_ctx;
}

/* With -c and --kv, or what they are when not given. */
static size_t total_bytes(const struct info *i)
{
    size_t n_ctx = i->o->n_ctx;
    if (!n_ctx) n_ctx = i->model.n_ctx < 32768 ? i->model.n_ctx : 32768;
    return i->weight_bytes + i->scratch_bytes + kv_bytes(i, mk_cli_kv_type(i->o), n_ctx);
}

/* ---- for people ------------------------------------------------------------------------ */

static void print_line(const char *name, const char *value)
{
    struct mk_str clean = {0};
    mk_term_clean(&clean, value, strlen(value));
    printf("%-14s%s\n", name, mk_str_c(&clean));
    mk_str_release(&clean);
}

static void print_model(const struct info *i)
{
    const struct mk_model *m = &i->model;
    char all[32], active[32];
    print_line("path", m->tensors.path);
    print_line("architecture", m->config.arch);
    print_line("kind", m->kind);
    printf("%-14s%zu layers, width %zu, vocabulary %zu, context %zu tokens\n", "shape", m->n_layer,
           m->d_model, m->n_vocab, m->n_ctx);
    printf("%-14s%s, of which a token uses %s\n", "parameters",
           mk_term_human(all, (double)m->n_params, ""),
           mk_term_human(active, (double)m->n_params_active, ""));
    printf("%-14s%s, of which a token reads %s\n", "weights",
           mk_term_human(all, (double)i->weight_bytes, "B"),
           mk_term_human(active, (double)m->n_bytes_active, "B"));
    if (mk_model_has_mtp(m)) print_line("prediction", "one layer for the token after the next");
}

static void print_token(const struct info *i, const char *name, int32_t id)
{
    size_t n = 0;
    const char *bytes = i->tokenizer ? mk_token_bytes(i->tokenizer, id, &n) : NULL;
    struct mk_str line = {0};
    mk_str_addf(&line, "%d ", (int)id);
    if (bytes) mk_str_append(&line, bytes, n);
    print_line(name, line.data);
    mk_str_release(&line);
}

static void print_tokenizer(const struct info *i)
{
    const struct mk_model *m = &i->model;
    if (i->tokenizer)
        printf("%-14s%s, %d tokens\n", "tokenizer", mk_tokenizer_pre(i->tokenizer),
               (int)mk_token_count(i->tokenizer));
    else
        print_line("tokenizer", i->no_tokenizer.msg);
    if (i->template)
        print_line("template", i->template->name);
    else if (i->tokenizer)
        print_line("template", i->no_template.msg);
    if (m->bos >= 0) print_token(i, "begin", m->bos);
    for (size_t k = 0; k < m->n_eos; k++) print_token(i, "end", m->eos[k]);
}

static void print_types(const struct info *i)
{
    char values[32], bytes[32];
    printf("\n%-10s%8s%12s%12s\n", "type", "tensors", "values", "bytes");
    for (int t = 0; t < MK_N_TYPES; t++)
        if (i->types[t].n_tensors)
            printf("%-10s%8zu%12s%12s\n", mk_quants[t].name, i->types[t].n_tensors,
                   mk_term_human(values, (double)i->types[t].n_values, ""),
                   mk_term_human(bytes, (double)i->types[t].n_bytes, "B"));
}

static void print_memory(const struct info *i)
{
    char s[32];
    printf("\nmemory      %12s (mapped: shared, and given back when needed)\n",
           mk_term_human(s, (double)i->weight_bytes, "B"));
    printf("scratch     %12s (about, for steps of %zu tokens)\n",
           mk_term_human(s, (double)i->scratch_bytes, "B"), i->n_step);
    printf("\n%-12s", "context");
    for (size_t t = 0; t < N_KV_TYPES; t++) printf("%12s", mk_quants[kv_types[t]].name);
    printf("   keys and values\n");
    for (size_t k = 0; k < i->n_contexts; k++) {
        printf("%-12zu", i->n_ctx[k]);
        for (size_t t = 0; t < N_KV_TYPES; t++)
            printf("%12s", mk_term_human(s, (double)kv_bytes(i, kv_types[t], i->n_ctx[k]), "B"));
        putchar('\n');
    }
    printf("\ntotal       %12s with the options given\n",
           mk_term_human(s, (double)total_bytes(i), "B"));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static json_t *json_clean(const char *s)
{
    struct mk_str clean = {0};
    if (!s) return json_null();
    mk_str_add_utf8(&clean, s, strlen(s));
    json_t *v = json_string(mk_str_c(&clean));
    mk_str_release(&clean);
    return v;
}

static json_t *json_types(const struct info *i)
{
    json_t *v = json_object();
    for (int t = 0; t < MK_N_TYPES; t++)
        if (i->types[t].n_tensors)
            json_object_set_new(v, mk_quants[t].name,
                                json_pack("{s:I, s:I, s:I}", "tensors",
                                          (json_int_t)i->types[t].n_tensors, "values",
                                          (json_int_t)i->types[t].n_values, "bytes",
                                          (json_int_t)i->types[t].n_bytes));
    return v;
}

static json_t *json_memory(const struct info *i)
{
    json_t *kv = json_array();
    for (size_t k = 0; k < i->n_contexts; k++) {
        json_t *row = json_pack("{s:I}", "context", (json_int_t)i->n_ctx[k]);
        for (size_t t = 0; t < N_KV_TYPES; t++)
            json_object_set_new(row, mk_quants[kv_types[t]].name,
                                json_integer((json_int_t)kv_bytes(i, kv_types[t], i->n_ctx[k])));
        json_array_append_new(kv, row);
    }
    return json_pack("{s:I, s:I, s:o, s:I}", "weights", (json_int_t)i->weight_bytes, "scratch",
                     (json_int_t)i->scratch_bytes, "keys_and_values", kv, "total",
                     (json_int_t)total_bytes(i));
}

static void print_json(const struct info *i)
{
    const struct mk_model *m = &i->model;
    json_t *eos = json_array();
    for (size_t k = 0; k < m->n_eos; k++) json_array_append_new(eos, json_integer(m->eos[k]));
    json_t *v = json_pack(
        "{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o}", "path",
        json_clean(m->tensors.path), "architecture", json_clean(m->config.arch), "kind",
        json_clean(m->kind), "n_layer", (json_int_t)m->n_layer, "d_model", (json_int_t)m->d_model,
        "n_vocab", (json_int_t)m->n_vocab, "n_ctx", (json_int_t)m->n_ctx, "parameters",
        (json_int_t)m->n_params, "parameters_active", (json_int_t)m->n_params_active,
        "bytes_active", (json_int_t)m->n_bytes_active, "has_mtp", mk_model_has_mtp(m), "tokenizer",
        json_clean(i->tokenizer ? mk_tokenizer_pre(i->tokenizer) : NULL), "template",
        json_clean(i->template ? i->template->name : NULL), "types", json_types(i), "memory",
        json_memory(i));
    json_object_set_new(v, "bos", m->bos >= 0 ? json_integer(m->bos) : json_null());
    json_object_set_new(v, "eos", eos);
    json_dumpf(v, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(v);
}

int mk_cmd_info(int argc, char **argv)
{
    struct mk_model_opts o = {0};
    bool json = false;
    const struct mk_opt opts[] = {
        MK_OPTS_MODEL(o),
        {"json", 0, MK_OPT_FLAG, &json, NULL, "print one JSON object", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("info", opts, argc, argv, NULL, 0);
    struct info i = {.o = &o};
    struct mk_err err;
    char *path = mk_cli_model_path(o.model);
    if (!mk_model_open(&i.model, path, &err)) mk_cli_die(&err);
    count_types(&i);
    choose_contexts(&i);
    i.n_step = mk_model_step_toks(&i.model, i.o->n_batch);
    i.scratch_bytes = i.n_step * i.model.n_scratch;
    find_tokenizer(&i);
    if (json) {
        print_json(&i);
    } else {
        print_model(&i);
        print_tokenizer(&i);
        print_types(&i);
        print_memory(&i);
    }
    mk_tokenizer_free(i.tokenizer);
    mk_model_close(&i.model);
    free(path);
    return 0;
}
