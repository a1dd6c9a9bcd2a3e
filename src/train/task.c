/* The registry of tasks, the split into training and held-out problems, and what all make
 * functions use to draw numbers and fill templates. */
#include "train/task.h"

#include "base/mem.h"
#include "train/int_task.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct mk_task *const mk_tasks[] = {
#define T(name) &mk_task_##name,
#include "train/tasks.def"
#undef T
    NULL};

const struct mk_task *mk_task_find(const char *name)
{
    for (const struct mk_task *const *t = mk_tasks; *t; t++)
        if (!strcmp((*t)->name, name)) return *t;
    return NULL;
}

/* ---- lists ---- */

static bool fail_name(const char *name, struct mk_err *err)
{
    struct mk_str names = {0};
    for (size_t i = 0; mk_tasks[i]; i++)
        mk_str_addf(&names, "%s%s", i ? ", " : "", mk_tasks[i]->name);
    mk_fail(err, MK_EUSAGE, "no task \"%.64s\"; there are %s", name, names.data);
    mk_str_release(&names);
    return false;
}

/* NAME or NAME:WEIGHT */
static bool parse_item(struct mk_task_list *l, char *item, struct mk_err *err)
{
    char *colon = strchr(item, ':'), *end = NULL;
    if (colon) *colon = 0;
    const struct mk_task *t = mk_task_find(item);
    if (!t) return fail_name(item, err);
    for (size_t i = 0; i < l->n; i++)
        if (l->task[i] == t) return mk_fail(err, MK_EUSAGE, "task %s is given twice", item);
    const double weight = colon ? strtod(colon + 1, &end) : 1;
    if (colon && (end == colon + 1 || *end || !(weight > 0 && weight <= 1e6)))
        return mk_fail(err, MK_EUSAGE, "the weight of task %s is \"%.64s\", want a number over 0",
                       item, colon + 1);
    l->weight[l->n] = weight;
    l->task[l->n++] = t; /* each task once: there is room */
    return true;
}

bool mk_task_list_parse(struct mk_task_list *out, const char *text, struct mk_err *err)
{
    _Static_assert(sizeof mk_tasks / sizeof *mk_tasks <= MK_MAX_TASKS, "a list holds all tasks");
    struct mk_task_list l = {0};
    for (size_t i = 0; !text && mk_tasks[i]; i++) l.task[i] = mk_tasks[i], l.weight[l.n++] = 1;
    char *copy = text ? mk_strdup(text) : NULL, *at = copy;
    bool ok = true;
    for (char *item; ok && (item = strsep(&at, ","));) ok = parse_item(&l, item, err);
    free(copy);
    if (ok) *out = l;
    return ok;
}

void mk_problem_release(struct mk_problem *p)
{
    mk_str_release(&p->prompt);
    mk_str_release(&p->trace);
    mk_str_release(&p->answer);
    mk_str_release(&p->data);
    *p = (struct mk_problem){0};
}

/* ---- the split ---- */

uint64_t mk_text_hash(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
    return h;
}

uint64_t mk_problem_hash(const struct mk_problem *p)
{
    return mk_text_hash(p->prompt.data, p->prompt.len);
}

/* The low bits of FNV-1a depend on the low bits of the bytes only; the top bits of a product
 * depend on all. */
enum mk_split mk_hash_split(uint64_t hash)
{
    return (hash * 0x9e3779b97f4a7c15ull) >> 60 ? MK_SPLIT_TRAIN : MK_SPLIT_HELDOUT;
}

enum mk_split mk_problem_split(const struct mk_problem *p)
{
    return mk_hash_split(mk_problem_hash(p));
}

/* Every attempt has a generator of its own: how much of it a make function uses depends on the
 * style, and the prompt must not. */
void mk_task_draw(struct mk_problem *p, const struct mk_task *t, uint64_t seed, uint64_t index,
                  int level, enum mk_split split, const struct mk_trace_style *style)
{
    level = level < t->lo ? t->lo : level > t->hi ? t->hi : level;
    struct mk_rng mix = {seed};
    mix.state = mk_rng_u64(&mix) ^ mk_text_hash(t->name, strlen(t->name));
    mix.state = mk_rng_u64(&mix) ^ index;
    mix.state = mk_rng_u64(&mix) ^ ((uint64_t)(level - MK_LEVEL_EASIEST) << 1 | (uint64_t)split);
    for (int attempt = 0;; attempt++) {
        assert(attempt < 100000); /* a level without problems in one of the splits is a bug */
        struct mk_rng r = {mk_rng_u64(&mix)};
        t->make(p, &r, level, style);
        if (mk_problem_split(p) == split) return;
    }
}

/* ---- drawing ---- */

int64_t mk_pick(struct mk_rng *r, int64_t lo, int64_t hi)
{
    assert(lo <= hi);
    return lo + (int64_t)(mk_rng_u64(r) % ((uint64_t)(hi - lo) + 1));
}

bool mk_chance(struct mk_rng *r, double share) { return mk_rng_f64(r) < share; }

void mk_shuffle(struct mk_rng *r, int64_t *v, int n)
{
    for (int i = n - 1; i > 0; i--) {
        const int j = (int)mk_pick(r, 0, i);
        const int64_t x = v[i];
        v[i] = v[j], v[j] = x;
    }
}

int64_t mk_pick_digits(struct mk_rng *r, int max)
{
    while (max > 1 && mk_chance(r, 1.0 / 3)) max--;
    int64_t lo = 1;
    for (int i = 1; i < max; i++) lo *= 10;
    return mk_pick(r, max == 1 ? 0 : lo, lo * 10 - 1);
}

/* ---- prompts ---- */

void mk_problem_begin(struct mk_problem *p, const struct mk_task *task, int level)
{
    p->task = task;
    p->level = level;
    mk_str_clear(&p->prompt);
    mk_str_clear(&p->trace);
    mk_str_clear(&p->answer);
    mk_str_clear(&p->data);
}

void mk_say(struct mk_str *out, const char *tmpl, const char *const *args)
{
    for (const char *s = tmpl; *s; s++) {
        if (s[0] == '{' && s[1] >= 'a' && s[1] <= 'z' && s[2] == '}') {
            mk_str_add(out, args[s[1] - 'a']);
            s += 2;
        } else {
            mk_str_addc(out, *s);
        }
    }
}

void mk_say_any(struct mk_rng *r, struct mk_str *out, const char *const *tmpl, int n,
                const char *const *args)
{
    mk_say(out, tmpl[mk_pick(r, 0, n - 1)], args);
}

const char *mk_num(int64_t v)
{
    static _Thread_local char ring[16][24];
    static _Thread_local unsigned turn;
    char *buf = ring[turn++ % 16];
    snprintf(buf, sizeof ring[0], "%" PRId64, v);
    return buf;
}

void mk_str_list(struct mk_str *out, const int64_t *v, int n, const char *sep, const char *last)
{
    for (int i = 0; i < n; i++) {
        if (i) mk_str_add(out, i == n - 1 && last ? last : sep);
        mk_str_addf(out, "%" PRId64, v[i]);
    }
}
