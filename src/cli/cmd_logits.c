/* minke logits: the scores of the next token after given ids.  Keys and values are kept in f32 and
 * inputs of products are not rounded unless --kv and --inputs say otherwise: this command is for
 * comparing. */
#include "cli/cli.h"
#include "engine/sample.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SHOWN = 10 };

static int32_t *parse_ids(const char *list, size_t n_vocab, size_t *n)
{
    struct mk_ids ids = {0};
    for (const char *s = list; *s;) {
        char *end;
        const long id = strtol(s, &end, 10);
        if (end == s || (*end && *end != ',' && *end != ' '))
            mk_cli_usage("logits", "--ids \"%s\": no number at \"%s\"", list, s);
        if (id < 0 || (size_t)id >= n_vocab)
            mk_cli_usage("logits", "--ids: token id %ld is not in 0..%zu", id, n_vocab - 1);
        mk_ids_add(&ids, (int32_t)id);
        s = end + strspn(end, ", ");
    }
    if (ids.n == 0) mk_cli_usage("logits", "--ids is empty");
    *n = ids.n;
    return ids.v;
}

/* Runs the ids in steps of n_batch; argmax[i] for each, *last gets the last row, rows all of
 * them unless it is NULL. */
static void run(const struct mk_model *m, const struct mk_model_opts *o, enum mk_type kv_type,
                unsigned cpu, const int32_t *ids, size_t n, size_t *best, float *last,
                struct mk_out *rows)
{
    struct mk_err err;
    struct mk_work wk;
    struct mk_kv kv;
    const size_t n_batch = mk_model_step_toks(m, o->n_batch);
    if (!mk_kv_init(&kv, &m->kv, kv_type, n, &err)) mk_cli_die(&err);
    mk_work_init(&wk, o->n_threads ? (unsigned)o->n_threads : mk_cpu_count(), cpu);
    wk.rounds = o->inputs && !strcmp(o->inputs, "bf16");
    float *logits = mk_calloc(n_batch * m->n_vocab, sizeof *logits);
    size_t *want = mk_calloc(n_batch, sizeof *want);
    for (size_t i = 0; i < n_batch; i++) want[i] = i;
    for (size_t at = 0; at < n; at += n_batch) {
        const size_t len = n - at < n_batch ? n - at : n_batch;
        if (!mk_model_forward(m, &wk,
                              &(struct mk_step){.tok = ids + at,
                                                .n_tok = len,
                                                .spans = &(struct mk_span){&kv, 0, len, at},
                                                .n_spans = 1,
                                                .want = want,
                                                .n_want = len,
                                                .logits = logits,
                                                .err = &err}))
            mk_cli_die(&err);
        if (rows && !mk_out_write(rows, logits, len * m->n_vocab * sizeof *logits, &err))
            mk_cli_die(&err);
        for (size_t i = 0; i < len; i++)
            best[at + i] = mk_likeliest(&wk.k, logits + i * m->n_vocab, m->n_vocab);
        memcpy(last, logits + (len - 1) * m->n_vocab, m->n_vocab * sizeof *last);
    }
    free(logits);
    free(want);
    mk_kv_release(&kv);
    mk_work_release(&wk);
}

static void print_json(const size_t *best, size_t n, const float *last, size_t n_vocab)
{
    printf("{\"argmax\":[");
    for (size_t i = 0; i < n; i++) printf(i ? ",%zu" : "%zu", best[i]);
    printf("],\"last\":[");
    for (size_t i = 0; i < n_vocab; i++) printf(i ? ",%.9g" : "%.9g", (double)last[i]);
    printf("]}\n");
}

static void print_best(float *last, size_t n_vocab, unsigned cpu)
{
    struct mk_kernels k;
    mk_kernels_select(&k, cpu);
    for (size_t i = 0; i < N_SHOWN && i < n_vocab; i++) {
        const size_t best = mk_likeliest(&k, last, n_vocab);
        printf("%8zu  %.6f\n", best, (double)last[best]);
        last[best] = -__builtin_inff();
    }
}

int mk_cmd_logits(int argc, char **argv)
{
    static struct mk_model_opts o;
    static const char *list, *path_out;
    static bool json;
    static const struct mk_opt opts[] = {
        MK_OPTS_MODEL(o),
        MK_OPT_RAM(o),
        {"ids", 0, MK_OPT_STR, &list, "LIST", "token ids, separated by commas", 0, 0, NULL, NULL},
        {"out", 0, MK_OPT_STR, &path_out, "FILE", "every row, as 32-bit floats", 0, 0, NULL, NULL},
        {"json", 0, MK_OPT_FLAG, &json, NULL, "argmax of every row, and the last row", 0, 0, NULL,
         NULL},
        {0},
    };
    struct mk_strs rest = {0};
    struct mk_err err;
    struct mk_model m;
    unsigned cpu = mk_cpu_detect();
    mk_opts_parse("logits", opts, argc, argv, &rest, 0);
    if (!list) mk_cli_usage("logits", "--ids is missing");
    if (o.cpu && !mk_cpu_limit(&cpu, o.cpu)) mk_cli_usage("logits", "no level \"%s\" here", o.cpu);
    char *path = mk_cli_model_path(o.model);
    const struct mk_ram ram = mk_cli_ram(&o);
    struct mk_streaming streaming;
    if (!mk_model_open_within(&m, path, &ram, &err)) mk_cli_die(&err);
    mk_cli_say_streaming(mk_model_streaming(&m, &streaming), &streaming);
    size_t n;
    int32_t *ids = parse_ids(list, m.n_vocab, &n);
    size_t *best = mk_calloc(n, sizeof *best);
    float *last = mk_calloc(m.n_vocab, sizeof *last);
    struct mk_out out;
    if (path_out && !mk_out_open(&out, path_out, &err)) mk_cli_die(&err);
    run(&m, &o, o.kv ? (enum mk_type)mk_type_of_name(o.kv) : MK_F32, cpu, ids, n, best, last,
        path_out ? &out : NULL);
    if (path_out && !mk_out_close(&out, &err)) mk_cli_die(&err);
    if (json)
        print_json(best, n, last, m.n_vocab);
    else
        print_best(last, m.n_vocab, cpu);
    free(best);
    free(last);
    free(ids);
    free(path);
    mk_model_close(&m);
    return 0;
}
