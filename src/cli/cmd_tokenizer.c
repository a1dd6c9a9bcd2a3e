/* minke tokenizer: makes vocabularies (train), and token files for pre-training (pack). */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "token/train.h"
#include "train/data.h"

#include <stdlib.h>
#include <string.h>

struct options {
    size_t n_vocab, n_mix, seed;
    const char *out, *pre, *tasks, *tokenizer;
    bool separate;
    struct mk_strs specials;
};

/* ---- train ---- */

struct job {
    struct mk_bpe_trainer *trainer;
    size_t n_bytes;
};

static bool add_text(void *arg, const char *s, size_t n, struct mk_err *err)
{
    struct job *j = arg;
    j->n_bytes += n;
    return mk_bpe_trainer_add(j->trainer, s, n, err);
}

/* Generated problems and small talk, as pre-training would see them. */
static bool add_mix(struct job *j, const struct options *o, struct mk_err *err)
{
    const struct mk_mix mix = {
        .seed = o->seed, .talk = 0.08, .check = 0.2, .slip = 0.2, .easy = 0.2, .tasks = o->tasks};
    struct mk_mixer *m;
    struct mk_problem p = {0};
    enum mk_form form;
    if (!mk_mixer_new(&m, &mix, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < o->n_mix; i++) {
        mk_mixer_draw(m, i, &p, &form);
        ok = add_text(j, mk_str_c(&p.prompt), p.prompt.len, err) &&
             add_text(j, mk_str_c(&p.trace), p.trace.len, err) &&
             add_text(j, mk_str_c(&p.answer), p.answer.len, err);
    }
    mk_problem_release(&p);
    mk_mixer_free(m);
    return ok;
}

static void on_token(void *arg, size_t done, size_t total)
{
    (void)arg;
    mk_term_progress("learned", done, total);
}

static bool write_text(const char *dir, const char *name, const struct mk_str *text,
                       struct mk_err *err)
{
    struct mk_str path = {0};
    struct mk_out o = {0};
    mk_str_addf(&path, "%s/%s", dir, name);
    const bool opened = mk_out_open(&o, path.data, err);
    const bool ok = opened && mk_out_write(&o, text->data, text->len, err) && mk_out_close(&o, err);
    if (opened && !ok) mk_out_abandon(&o);
    mk_str_release(&path);
    return ok;
}

static bool write_tokenizer(const char *dir, const struct mk_tokenizer *t, struct mk_err *err)
{
    struct mk_str json = {0}, config = {0};
    mk_tokenizer_put_json(t, &json);
    mk_tokenizer_put_config(t, &config);
    const bool ok = mk_mkdirs(dir, 0777, err) && write_text(dir, "tokenizer.json", &json, err) &&
                    write_text(dir, "tokenizer_config.json", &config, err);
    mk_str_release(&json);
    mk_str_release(&config);
    return ok;
}

/* The default special tokens and those of --special. */
static const char **all_specials(const struct mk_strs *more)
{
    size_t n = 0;
    while (mk_deepseek_specials[n]) n++;
    const char **list = mk_calloc(n + more->n + 1, sizeof *list);
    memcpy(list, mk_deepseek_specials, n * sizeof *list);
    if (more->n) memcpy(list + n, more->v, more->n * sizeof *list);
    return list;
}

static bool learn(struct job *j, const struct options *o, const struct mk_strs *files,
                  struct mk_tokenizer **out, struct mk_err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < files->n; i++) ok = mk_file_texts(files->v[i], add_text, j, err);
    if (ok && o->n_mix) ok = add_mix(j, o, err);
    return ok && mk_bpe_trainer_run(j->trainer, on_token, NULL, out, err);
}

static int train(const struct options *o, const struct mk_strs *files)
{
    struct mk_err err;
    struct mk_tokenizer *t;
    struct job j = {0};
    const double start = mk_now_s();
    if (!o->out) mk_cli_usage("tokenizer", "--out DIR is missing");
    if (!o->n_vocab) mk_cli_usage("tokenizer", "--vocab N is missing");
    if (!files->n && !o->n_mix) mk_cli_usage("tokenizer", "no texts: give files, or --mix N");
    const char **specials = all_specials(&o->specials);
    const struct mk_bpe_options bo = {.n_vocab = o->n_vocab,
                                      .pre = o->pre,
                                      .single = o->separate ? MK_BPE_SINGLE : NULL,
                                      .specials = specials};
    if (!mk_bpe_trainer_new(&j.trainer, &bo, &err) || !learn(&j, o, files, &t, &err) ||
        !write_tokenizer(o->out, t, &err))
        mk_cli_die(&err);
    char bytes[32];
    printf("%s: %d tokens from %s of text in %.1f s\n", o->out, (int)mk_token_count(t),
           mk_term_human(bytes, (double)j.n_bytes, "B"), mk_now_s() - start);
    mk_tokenizer_free(t);
    mk_bpe_trainer_free(j.trainer);
    free(specials);
    return 0;
}

/* ---- pack ---- */

/* A token file has no weights: every token but the first must count. */
static bool all_count(const struct mk_seqs *s, size_t i)
{
    for (size_t k = s->start[i] + 1; k < s->start[i + 1]; k++)
        if (s->weight[k] < 1) return false;
    return true;
}

static bool pack_file(struct mk_seqs *docs, const char *path, const struct mk_tokenizer *t,
                      struct mk_err *err)
{
    const struct mk_data_options o = {
        .tokenizer = t, .n_ctx = INT32_MAX, .n_epochs = 1, .in_order = true};
    struct mk_source s;
    if (!mk_source_open_file(&s, path, &o, err)) return false;
    bool ok = true;
    while (ok && mk_source_next(&s, docs, INT32_MAX))
        ok = all_count(docs, docs->n - 1) ||
             mk_fail(err, MK_EUNSUPPORTED,
                     "%s: prompts that are only read: a token file is for text", path);
    mk_source_close(&s);
    return ok;
}

static int pack(const struct options *o, const struct mk_strs *files)
{
    struct mk_err err;
    struct mk_seqs docs = {0};
    if (!o->out) mk_cli_usage("tokenizer", "--out FILE.bin is missing");
    if (!o->tokenizer) mk_cli_usage("tokenizer", "--tokenizer FILE is missing");
    if (!files->n) mk_cli_usage("tokenizer", "no texts: give JSONL files");
    struct mk_tokenizer *t = mk_cli_tokenizer(o->tokenizer);
    bool ok = true;
    for (size_t i = 0; ok && i < files->n; i++) ok = pack_file(&docs, files->v[i], t, &err);
    if (!ok || !mk_bin_write(o->out, &docs, (size_t)mk_token_count(t), &err)) mk_cli_die(&err);
    printf("%s: %zu documents, %zu tokens\n", o->out, docs.n, docs.n_tok);
    mk_seqs_release(&docs);
    mk_tokenizer_free(t);
    return 0;
}

int mk_cmd_tokenizer(int argc, char **argv)
{
    struct options o = {0};
    const struct mk_opt opts[] = {
        {"vocab", 0, MK_OPT_SIZE, &o.n_vocab, "N", "train: tokens in all, special ones included", 1,
         1 << 20, NULL, NULL},
        {"out", 'o', MK_OPT_STR, &o.out, "PATH", "train: a folder; pack: a file", 0, 0, NULL, NULL},
        {"pre", 0, MK_OPT_STR, &o.pre, "NAME",
         "train: how text is cut into words (deepseek-v3); qwen2, llama-bpe, ...", 0, 0, NULL,
         NULL},
        {"separate", 0, MK_OPT_FLAG, &o.separate, NULL,
         "train: each of " MK_BPE_SINGLE " stays a token of its own", 0, 0, NULL, NULL},
        {"special", 0, MK_OPT_LIST, &o.specials, "TEXT", "train: a special token more", 0, 0, NULL,
         NULL},
        {"mix", 0, MK_OPT_SIZE, &o.n_mix, "N", "train: N generated problems as text too", 0, 1e9,
         NULL, NULL},
        {"tasks", 0, MK_OPT_STR, &o.tasks, "LIST", "of --mix, with weights: \"add,mul:2\" (all)", 0,
         0, NULL, NULL},
        {"seed", 0, MK_OPT_SIZE, &o.seed, "N", "of --mix (0)", 0, 0, NULL, NULL},
        {"tokenizer", 0, MK_OPT_STR, &o.tokenizer, "FILE", "pack: tokenizer.json, folder or GGUF",
         0, 0, NULL, NULL},
        {0},
    };
    struct mk_strs rest = {0};
    mk_opts_parse("tokenizer", opts, argc, argv, &rest, (size_t)argc);
    static const char *const verbs[] = {"train", "pack"};
    const char *verb = rest.n ? rest.v[0] : "";
    const struct mk_strs files = {rest.v + (rest.n > 0), rest.n - (rest.n > 0)};
    if (!strcmp(verb, "train")) return train(&o, &files);
    if (!strcmp(verb, "pack")) return pack(&o, &files);
    const char *near = mk_cli_nearest(verb, verbs, 2);
    mk_cli_usage("tokenizer", "want train or pack%s%s%s", near ? ", did you mean " : "",
                 near ? near : "", near ? "?" : "");
}
