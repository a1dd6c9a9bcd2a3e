/* minke eval: held-out problems, solved greedily and by sampling. */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/loaded.h"
#include "cli/question_opts.h"
#include "train/eval.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void print_json(const struct mk_eval *e, const struct mk_eval_options *o, double seconds,
                       double cpu)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < e->n_rows; i++) {
        const struct mk_eval_row *r = &e->rows[i];
        json_t *v = json_pack("{s:s, s:I, s:f, s:[f,f], s:f, s:f}", "task", r->name, "n",
                              (json_int_t)r->n, "greedy", r->greedy, "interval", r->lo, r->hi,
                              "thought_toks", r->thought_toks, "truncated", r->truncated);
        if (o->n_samples) {
            json_object_set_new(v, "sampled", json_real(r->sampled));
            json_object_set_new(v, "pass_k", json_real(r->pass_k));
        }
        json_array_append_new(rows, v);
    }
    json_t *all = json_pack("{s:o, s:i, s:I, s:f, s:f, s:I, s:I, s:f}", "rows", rows, "level",
                            o->level, "k", (json_int_t)o->n_samples, "seconds", seconds,
                            "cpu_seconds", cpu, "tokens", (json_int_t)e->n_forward, "generated",
                            (json_int_t)e->n_generated, "generating_seconds", e->generating_s);
    char *text = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    puts(text);
    free(text);
    json_decref(all);
}

static void print_csv(const struct mk_eval *e, const struct mk_eval_options *o)
{
    puts("task,n,greedy,lo,hi,sampled,pass_k,thought_toks,truncated");
    for (size_t i = 0; i < e->n_rows; i++) {
        const struct mk_eval_row *r = &e->rows[i];
        printf("%s,%zu,%.4f,%.4f,%.4f,", r->name, r->n, r->greedy, r->lo, r->hi);
        if (o->n_samples)
            printf("%.4f,%.4f", r->sampled, r->pass_k);
        else
            putchar(',');
        printf(",%.2f,%.4f\n", r->thought_toks, r->truncated);
    }
}

static void print_table(const struct mk_eval *e, const struct mk_eval_options *o)
{
    printf("%-10s %6s %8s %15s", "task", "n", "greedy", "95 % interval");
    if (o->n_samples) printf(" %8s %7s%zu", "sampled", "pass@", o->n_samples);
    printf(" %8s %9s\n", "thought", "cut off");
    for (size_t i = 0; i < e->n_rows; i++) {
        const struct mk_eval_row *r = &e->rows[i];
        printf("%-10s %6zu %7.1f%% %6.1f - %5.1f%%", r->name, r->n, 100 * r->greedy, 100 * r->lo,
               100 * r->hi);
        if (o->n_samples) printf(" %7.1f%% %7.1f%%", 100 * r->sampled, 100 * r->pass_k);
        printf(" %8.1f %8.1f%%\n", r->thought_toks, 100 * r->truncated);
    }
}

static void show_tasks(void)
{
    for (const struct mk_task *const *t = mk_tasks; *t; t++)
        printf("%-10s %s (levels %d to %d)\n", (*t)->name, (*t)->about, (*t)->lo, (*t)->hi);
}

int mk_cmd_eval(int argc, char **argv)
{
    static struct mk_model_opts mo;
    static struct mk_eval_options o;
    static struct mk_question_opts q;
    static const char *opening, *compute;
    static size_t n_problems, n_samples, max_new, seed;
    static int64_t level;
    static double temperature;
    static bool is_json, is_csv, lists;
    n_problems = 200, max_new = 256, seed = 1, temperature = 1, opening = "think", compute = "auto";
    static const struct mk_opt opts[] = {
        MK_OPTS_MODEL(mo),
        MK_OPTS_QUESTIONS(q),
        {"list", 0, MK_OPT_FLAG, &lists, NULL, "name the tasks and end", 0, 0, NULL, NULL},
        {"problems", 'n', MK_OPT_SIZE, &n_problems, "N", "held-out problems of each (200)", 1, 1e6,
         NULL, NULL},
        {"level", 0, MK_OPT_INT, &level, "L", "below 0 easier, above harder than the standard (0)",
         -2, 2, NULL, NULL},
        {"samples", 'k', MK_OPT_SIZE, &n_samples, "K", "also K samples of each: accuracy, pass@K",
         0, 1024, NULL, NULL},
        {"temp", 0, MK_OPT_FLOAT, &temperature, "T", "of the samples (1)", 0, 10, NULL, NULL},
        {"max-new", 0, MK_OPT_SIZE, &max_new, "N", "most tokens of an answer (256)", 1, 1e6, NULL,
         NULL},
        {"opening", 0, MK_OPT_CHOICE, &opening, "KIND",
         "the model thinks (think), answers at once (direct), or chooses (free)", 0, 0, MK_OPENINGS,
         NULL},
        {"seed", 0, MK_OPT_SIZE, &seed, "N", "of problems and samples (1)", 0, 0, NULL, NULL},
        {"compute", 0, MK_OPT_CHOICE, &compute, "TYPE",
         "how weights are multiplied: as stored, or as while training (bf16)", 0, 0, "auto|bf16",
         NULL},
        {"json", 0, MK_OPT_FLAG, &is_json, NULL, "print JSON", 0, 0, NULL, NULL},
        {"csv", 0, MK_OPT_FLAG, &is_csv, NULL, "print comma-separated values", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("eval", opts, argc, argv, NULL, 0);
    if (lists) {
        show_tasks();
        return 0;
    }
    o.n_problems = n_problems, o.level = (int)level, o.seed = o.sample_seed = seed;
    o.n_samples = n_samples, o.temperature = (float)temperature, o.max_new = max_new;
    o.opening = mk_opening_cli(opening);
    o.questions = mk_questions_cli(&q);
    struct mk_err err;
    struct mk_loaded l;
    struct mk_eval e = {0};
    char *path = mk_cli_model_path(mo.model);
    mk_loaded_open(&l, path, !strcmp(compute, "bf16"), mo.n_threads, mo.cpu);
    l.wk.rounds = mo.inputs && !strcmp(mo.inputs, "bf16");
    const double start = mk_now_s(), before = mk_cpu_s();
    if (!mk_eval_run(&e, &l.model, &l.wk, l.tokenizer, &o, &err)) mk_cli_die(&err);
    const double seconds = mk_now_s() - start, used = mk_cpu_s() - before;
    if (is_json)
        print_json(&e, &o, seconds, used);
    else if (is_csv)
        print_csv(&e, &o);
    else
        print_table(&e, &o);
    fprintf(stderr, "%zu tokens generated in %.1f s, %.0f tokens/s; %.1f s in all\n", e.n_generated,
            e.generating_s, (double)e.n_generated / e.generating_s, seconds);
    mk_eval_release(&e);
    mk_questions_close(o.questions);
    mk_loaded_close(&l);
    free(path);
    return 0;
}
