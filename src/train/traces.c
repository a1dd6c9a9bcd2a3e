#include "train/traces.h"

#include "base/folder.h"
#include "base/mem.h"
#include "train/int_data.h"
#include "train/int_metrics.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAVE_ANSWERS = 512, N_COUNTS = 6 };

struct set {     /* of hashes that are not 0 */
    uint64_t *v; /* [cap], at most half full */
    size_t n, cap;
};

struct maker {
    const struct mk_traces_options *o;
    struct mk_traces *t;
    const struct mk_model *m;
    struct mk_work *wk;
    struct mk_asking asking;
    char *part, *lock_path;
    struct mk_lock lock;
    struct mk_log log;
    struct set said;             /* prompts with their completions */
    struct mk_problem *problems; /* of a wave */
    size_t *topic;
    size_t n_wave;
    struct mk_seqs prompts;
    struct mk_rollouts out;
    struct mk_str text; /* lines of a wave */
};

/* ---- what was said ---------------------------------------------------------------------- */

/* Where it is or would be. */
static size_t slot_of(const struct set *s, uint64_t hash)
{
    size_t at = (hash * 0x9e3779b97f4a7c15ull) % s->cap;
    while (s->v[at] && s->v[at] != hash) at = (at + 1) % s->cap;
    return at;
}

static void set_add(struct set *s, uint64_t hash)
{
    hash += !hash;
    if (2 * s->n >= s->cap) {
        struct set more = {.cap = s->cap ? 2 * s->cap : 1024};
        more.v = mk_calloc(more.cap, sizeof *more.v);
        for (size_t i = 0; i < s->cap; i++)
            if (s->v[i]) set_add(&more, s->v[i]);
        free(s->v);
        *s = more;
    }
    const size_t at = slot_of(s, hash);
    s->n += !s->v[at];
    s->v[at] = hash;
}

static bool set_has(const struct set *s, uint64_t hash)
{
    hash += !hash;
    if (!s->cap) return false;
    return s->v[slot_of(s, hash)] != 0;
}

static uint64_t hash_of(const char *prompt, const char *completion)
{
    return mk_text_hash(prompt, strlen(prompt)) * 31 ^ mk_text_hash(completion, strlen(completion));
}

/* ---- the unfinished file ------------------------------------------------------------------ */

static char *with_suffix(const char *path, const char *suffix)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "%s%s", path, suffix);
    return mk_str_take(&s);
}

static void add_json(struct mk_str *out, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    mk_str_add(out, text);
    mk_str_addc(out, '\n');
    free(text);
    json_decref(line);
}

static void add_counts(struct mk_str *out, const struct mk_traces *t, size_t n_topics)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < n_topics; i++) {
        const struct mk_traces_row *r = &t->rows[i];
        const uint64_t v[N_COUNTS] = {r->n_problems, r->n_solved, r->n_answers,
                                      r->n_right,    r->n_kept,   r->n_kept_toks};
        json_t *row = json_array();
        for (size_t k = 0; k < N_COUNTS; k++)
            json_array_append_new(row, json_integer((json_int_t)v[k]));
        json_array_append_new(rows, row);
    }
    add_json(out, json_pack("{s:I, s:o}", "done", (json_int_t)t->n_done, "counts", rows));
}

static bool read_counts(struct mk_traces *t, const json_t *line, size_t n_topics)
{
    const json_t *rows = json_object_get(line, "counts"), *done = json_object_get(line, "done");
    struct mk_traces new = {.n_done = (uint64_t)json_integer_value(done), .is_resumed = true};
    if (json_array_size(rows) != n_topics || json_integer_value(done) < 0) return false;
    for (size_t i = 0; i < n_topics; i++) {
        const json_t *row = json_array_get(rows, i);
        uint64_t v[N_COUNTS];
        if (json_array_size(row) != N_COUNTS) return false;
        for (size_t k = 0; k < N_COUNTS; k++) {
            const json_t *n = json_array_get(row, k);
            if (!json_is_integer(n) || json_integer_value(n) < 0) return false;
            v[k] = (uint64_t)json_integer_value(n);
        }
        new.rows[i] = (struct mk_traces_row){v[0], v[1], v[2], v[3], v[4], v[5]};
    }
    *t = new;
    return true;
}

static bool check_options(const struct maker *k, const json_t *line, struct mk_err *err)
{
    json_t *now = json_loads(k->o->identity, 0, NULL);
    const bool is_same = now && json_equal(now, json_object_get(line, "options"));
    json_decref(now);
    return is_same || mk_fail(err, MK_EUSAGE,
                              "%s was begun with other options; remove it to begin anew", k->part);
}

/* Lines up to the last mark count; a wave that was cut off does not, nor what follows it. */
struct reading {
    struct maker *k;
    uint64_t *hashes;            /* of traces since the last mark */
    size_t n, cap, n_lines, end; /* end: behind the last mark, or the options */
};

static bool read_line(struct reading *r, const json_t *line, size_t end, struct mk_err *err)
{
    struct maker *k = r->k;
    const char *prompt = json_string_value(json_object_get(line, "prompt"));
    const char *completion = json_string_value(json_object_get(line, "completion"));
    if (!r->n_lines++) {
        if (!check_options(k, line, err)) return false;
    } else if (prompt && completion) {
        if (r->n == r->cap) {
            r->cap = r->cap ? 2 * r->cap : 256;
            r->hashes = mk_realloc(r->hashes, r->cap * sizeof *r->hashes);
        }
        r->hashes[r->n++] = hash_of(prompt, completion);
        return true;
    } else if (!read_counts(k->t, line, mk_questions_n_topics(k->o->questions))) {
        return mk_fail(err, MK_EFORMAT, "%s: line %zu is not one of ours", k->part, r->n_lines);
    }
    for (size_t i = 0; i < r->n; i++) set_add(&k->said, r->hashes[i]);
    r->n = 0;
    r->end = end;
    return true;
}

static bool read_part(struct maker *k, size_t *end, struct mk_err *err)
{
    struct mk_map map;
    if (!mk_map_open(&map, k->part, err)) return false;
    struct reading r = {.k = k};
    struct mk_lines lines = {.text = (const char *)map.data, .n = map.size};
    const char *s;
    size_t n;
    bool ok = true;
    while (ok && mk_lines_next(&lines, &s, &n)) {
        const bool is_whole = s + n < lines.text + lines.n;
        json_t *line = is_whole ? json_loadb(s, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (!line) break;
        ok = read_line(&r, line, lines.at, err);
        json_decref(line);
    }
    *end = r.end;
    free(r.hashes);
    mk_map_close(&map);
    return ok;
}

static bool open_part(struct maker *k, struct mk_err *err)
{
    size_t end = 0;
    if (mk_file_exists(k->o->path))
        return mk_fail(err, MK_EUSAGE, "%s is there already; remove it to make it anew",
                       k->o->path);
    if (!mk_lock_take(&k->lock, k->lock_path, k->o->path, err)) return false;
    if (mk_file_exists(k->part)) {
        if (!read_part(k, &end, err)) return false;
        if (truncate(k->part, (off_t)end)) return mk_fail_errno(err, "%s", k->part);
    }
    if (!mk_log_open(&k->log, k->part, err)) return false;
    if (end) return true;
    json_t *options = json_loads(k->o->identity, 0, NULL);
    add_json(&k->text, json_pack("{s:o}", "options", options ? options : json_null()));
    return mk_log_add(&k->log, &k->text, err);
}

/* The traces alone, under the final name. */
static bool finish(struct maker *k, struct mk_err *err)
{
    static const char start[] = "{\"prompt\":";
    struct mk_map map;
    struct mk_out out = {0};
    if (!mk_map_open(&map, k->part, err)) return false;
    struct mk_lines lines = {.text = (const char *)map.data, .n = map.size};
    const char *s;
    size_t n;
    bool ok = mk_out_open(&out, k->o->path, err);
    while (ok && mk_lines_next(&lines, &s, &n))
        if (n >= sizeof start && !memcmp(s, start, sizeof start - 1))
            ok = mk_out_write(&out, s, n, err) && mk_out_write(&out, "\n", 1, err);
    ok = ok && mk_out_close(&out, err);
    if (!ok) mk_out_abandon(&out);
    mk_map_close(&map);
    if (ok) unlink(k->part);
    return ok;
}

/* ---- a wave ------------------------------------------------------------------------------- */

static bool ask(struct maker *k, size_t n, struct mk_err *err)
{
    const struct mk_traces_options *o = k->o;
    mk_seqs_clear(&k->prompts);
    for (size_t i = 0; i < n; i++) {
        const uint64_t number = k->t->n_done + i;
        struct mk_rng rng = {o->seed ^ 0x747263ull};
        rng.state = mk_rng_u64(&rng) ^ number;
        k->topic[i] = mk_questions_pick(o->questions, mk_rng_f64(&rng), NULL);
        mk_questions_draw(o->questions, k->topic[i], o->seed ^ 0x7472ull, number, MK_LEVEL_STANDARD,
                          MK_SPLIT_TRAIN, &k->problems[i]);
        if (!mk_asking_put(&k->asking, &k->problems[i], &k->prompts, err)) return false;
    }
    const struct mk_rollout_options ro = {.n_samples = o->n_samples,
                                          .max_new = o->max_new,
                                          .temperature = o->temperature,
                                          .top_p = 1.0f,
                                          .seed = o->seed ^ (k->t->n_done + 1),
                                          .eos = k->asking.marks.eos};
    mk_rollout(&k->out, k->m, k->wk, &k->prompts, &ro);
    k->t->n_forward += k->out.n_forward;
    return true;
}

struct trace {
    size_t n, sample;
    char *completion;
};

static int by_length(const void *a, const void *b)
{
    const struct trace *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->sample < y->sample ? -1 : 1;
}

/* thought</think>answer, or NULL when that cannot be read back as it was: bytes that are no text,
 * or a mark spelled in letters. */
static char *completion_of(const struct maker *k, const struct mk_graded *g)
{
    struct mk_str text = {0};
    const struct mk_tokenizer *t = k->asking.tokenizer;
    mk_detokenize(t, g->ids + g->parts.thought, g->parts.n_thought, true, &text);
    const bool has_mark = text.len && strstr(text.data, "</think>");
    mk_str_add(&text, "</think>");
    mk_detokenize(t, g->ids + g->parts.answer, g->parts.n_answer, true, &text);
    if (!has_mark && strlen(text.data) == text.len && !strstr(text.data, "\xef\xbf\xbd"))
        return mk_str_take(&text);
    mk_str_release(&text);
    return NULL;
}

/* The right answers to question i that were not given before, the shortest first. */
static bool collect(struct maker *k, size_t i, struct trace *list, size_t *n, struct mk_err *err)
{
    const size_t g = k->o->n_samples;
    const char *prompt = mk_str_c(&k->problems[i].prompt);
    struct mk_traces_row *row = &k->t->rows[k->topic[i]];
    const uint64_t n_right = row->n_right;
    *n = 0;
    for (size_t s = 0; s < g; s++) {
        struct mk_graded a;
        if (!mk_questions_grade(k->o->questions, &k->asking, &k->problems[i], &k->out, i * g + s,
                                &a, err))
            return false;
        row->n_answers++;
        if (a.reward < 1.0) continue;
        row->n_right++;
        char *text = completion_of(k, &a);
        bool is_new = text != NULL;
        for (size_t j = 0; is_new && j < *n; j++) is_new = strcmp(list[j].completion, text) != 0;
        if (is_new && set_has(&k->said, hash_of(prompt, text))) is_new = false;
        if (is_new)
            list[(*n)++] = (struct trace){a.n, s, text};
        else
            free(text);
    }
    row->n_problems++;
    row->n_solved += row->n_right > n_right;
    qsort(list, *n, sizeof *list, by_length);
    return true;
}

static void put(struct maker *k, size_t i, const struct trace *t)
{
    const struct mk_problem *p = &k->problems[i];
    struct mk_traces_row *row = &k->t->rows[k->topic[i]];
    add_json(&k->text, json_pack("{s:s, s:s, s:s, s:I}", "prompt", mk_str_c(&p->prompt),
                                 "completion", t->completion, "task",
                                 mk_questions_topic(k->o->questions, k->topic[i])->name, "toks",
                                 (json_int_t)t->n));
    set_add(&k->said, hash_of(mk_str_c(&p->prompt), t->completion));
    row->n_kept++;
    row->n_kept_toks += t->n;
}

static bool choose(struct maker *k, size_t i, struct trace *list, struct mk_err *err)
{
    size_t n;
    const bool ok = collect(k, i, list, &n, err);
    const size_t n_kept = k->o->keep == MK_KEEP_ALL    ? n
                          : k->o->keep == MK_KEEP_HALF ? (n + 1) / 2
                                                       : n > 0;
    for (size_t j = 0; j < n; j++) {
        if (ok && j < n_kept) put(k, i, &list[j]);
        free(list[j].completion);
    }
    return ok;
}

static bool one_wave(struct maker *k, struct mk_err *err)
{
    const uint64_t left = k->o->n_problems - k->t->n_done;
    const size_t n = left < k->n_wave ? (size_t)left : k->n_wave;
    struct trace *list = mk_calloc(k->o->n_samples, sizeof *list);
    mk_str_clear(&k->text);
    bool ok = ask(k, n, err);
    for (size_t i = 0; ok && i < n; i++) ok = choose(k, i, list, err);
    free(list);
    if (!ok) return false;
    k->t->n_done += n;
    add_counts(&k->text, k->t, mk_questions_n_topics(k->o->questions));
    return mk_log_add(&k->log, &k->text, err);
}

/* ---- all ---------------------------------------------------------------------------------- */

static bool check(const struct mk_traces_options *o, struct mk_err *err)
{
    if (!o->n_problems || !o->n_samples)
        return mk_fail(err, MK_EUSAGE, "%zu questions with %zu answers each", o->n_problems,
                       o->n_samples);
    return mk_questions_need(o->questions, MK_SPLIT_TRAIN, err);
}

static bool make(struct maker *k, mk_traces_fn *fn, void *arg, struct mk_err *err)
{
    k->problems = mk_calloc(k->n_wave, sizeof *k->problems);
    k->topic = mk_calloc(k->n_wave, sizeof *k->topic);
    while (k->t->n_done < k->o->n_problems && !(k->o->stop && atomic_load(k->o->stop))) {
        if (!one_wave(k, err)) return false;
        if (fn) fn(arg, k->t, k->o);
    }
    return k->t->n_done < k->o->n_problems || finish(k, err);
}

static void release(struct maker *k)
{
    for (size_t i = 0; k->problems && i < k->n_wave; i++) mk_problem_release(&k->problems[i]);
    free(k->problems);
    free(k->topic);
    free(k->said.v);
    mk_seqs_release(&k->prompts);
    mk_rollouts_release(&k->out);
    mk_str_release(&k->text);
    mk_log_close(&k->log);
    if (k->lock.f) unlink(k->lock_path);
    mk_lock_release(&k->lock);
    free(k->part);
    free(k->lock_path);
}

bool mk_traces_make(struct mk_traces *out, const struct mk_traces_options *o,
                    const struct mk_model *m, struct mk_work *wk, const struct mk_tokenizer *t,
                    mk_traces_fn *fn, void *arg, struct mk_err *err)
{
    struct mk_traces made = {0};
    struct maker k = {.o = o, .t = &made, .m = m, .wk = wk};
    if (!check(o, err) || !mk_asking_init(&k.asking, t, o->opening, o->max_new, m->n_ctx, err))
        return false;
    k.n_wave = o->n_samples < WAVE_ANSWERS ? WAVE_ANSWERS / o->n_samples : 1;
    k.part = with_suffix(o->path, ".part");
    k.lock_path = with_suffix(o->path, ".lock");
    const bool ok = open_part(&k, err) && make(&k, fn, arg, err);
    release(&k);
    if (ok) *out = made;
    return ok;
}
