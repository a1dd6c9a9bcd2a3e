/* Sentences, people and lists of words for the tasks in English. */
#include "train/int_words.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* ---- patterns ---- */

/* The end of the alternative that starts at p: the '|' or ']' that belongs to it. */
static const char *alternative_end(const char *p)
{
    for (int depth = 0; *p; p++) {
        if (depth == 0 && (*p == '|' || *p == ']')) return p;
        depth += (*p == '[') - (*p == ']');
    }
    assert(!"a pattern lacks ]");
    return p;
}

static void expand(struct mk_str *out, struct mk_rng *r, const char *p, const char *end,
                   const char *const *args)
{
    while (p < end) {
        if (*p == '{') {
            mk_str_add(out, args[p[1] - 'a']);
            p += 3;
        } else if (*p == '[') {
            const char *first = p + 1, *e = alternative_end(first);
            int n = 1;
            for (; *e == '|'; e = alternative_end(e + 1)) n++;
            const char *behind = e + 1;
            for (int64_t k = mk_pick(r, 0, n - 1); k > 0; k--) first = alternative_end(first) + 1;
            expand(out, r, first, alternative_end(first), args);
            p = behind;
        } else {
            mk_str_addc(out, *p++);
        }
    }
}

void mk_phrase(struct mk_str *out, struct mk_rng *r, const char *pattern, const char *const *args)
{
    expand(out, r, pattern, pattern + strlen(pattern), args);
}

void mk_sentence(struct mk_str *out, struct mk_rng *r, const char *pattern, const char *const *args)
{
    if (out->len) mk_str_addc(out, ' ');
    const size_t at = out->len;
    mk_phrase(out, r, pattern, args);
    if (out->len > at) out->data[at] = (char)toupper((unsigned char)out->data[at]);
}

/* ---- people ---- */

static const struct mk_person people[] = {
    {"Ann", true},   {"Bob", false},   {"Cid", false},   {"Dan", false},   {"Eve", true},
    {"Fay", true},   {"Gus", false},   {"Hal", false},   {"Ida", true},    {"Jim", false},
    {"Kim", true},   {"Leo", false},   {"Mia", true},    {"Ned", false},   {"Ola", true},
    {"Pam", true},   {"Ray", false},   {"Sue", true},    {"Tom", false},   {"Una", true},
    {"Vic", false},  {"Wes", false},   {"Zoe", true},    {"Anna", true},   {"Ben", false},
    {"Carl", false}, {"Dora", true},   {"Emma", true},   {"Finn", false},  {"Greta", true},
    {"Hugo", false}, {"Ivan", false},  {"Jane", true},   {"Karl", false},  {"Lisa", true},
    {"Max", false},  {"Nina", true},   {"Oscar", false}, {"Paul", false},  {"Rosa", true},
    {"Sam", false},  {"Tina", true},   {"Uwe", false},   {"Vera", true},   {"Will", false},
    {"Yuki", true},  {"Ali", false},   {"Mei", true},    {"Raj", false},   {"Lin", true},
    {"Omar", false}, {"Sara", true},   {"Noah", false},  {"Maria", true},  {"Peter", false},
    {"Lucy", true},  {"David", false}, {"Alice", true},  {"Henry", false}, {"Julia", true},
};

void mk_pick_distinct(struct mk_rng *r, int n_all, int *out, int n)
{
    unsigned char pool[256];
    assert(n <= n_all && n_all <= 256);
    for (int i = 0; i < n_all; i++) pool[i] = (unsigned char)i;
    for (int i = 0; i < n; i++) {
        const int j = (int)mk_pick(r, i, n_all - 1);
        out[i] = pool[j];
        pool[j] = pool[i];
    }
}

void mk_pick_people(struct mk_rng *r, const struct mk_person **out, int n)
{
    int at[MK_PEOPLE_MAX];
    assert(n <= MK_PEOPLE_MAX);
    mk_pick_distinct(r, MK_COUNT(people), at, n);
    for (int i = 0; i < n; i++) out[i] = &people[at[i]];
}

/* ---- lists of words ---- */

enum { MAX_WORDS = 16 };
struct words {
    int n;
    const char *at[MAX_WORDS];
};

/* Cuts text, which is changed; false when there are too many words. */
static bool words_cut(struct words *w, char *text)
{
    w->n = 0;
    for (char *save = NULL, *s = strtok_r(text, " ,", &save); s; s = strtok_r(NULL, " ,", &save)) {
        if (strcmp(s, "and") == 0) continue;
        if (w->n == MAX_WORDS) return false;
        w->at[w->n++] = s;
    }
    return true;
}

static bool words_have(const struct words *w, const char *word)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->at[i], word) == 0) return true;
    return false;
}

double mk_verify_words(const struct mk_problem *p, const char *answer, size_t n, bool is_ordered)
{
    char want_buf[MK_ANSWER_MAX + 1], got_buf[MK_ANSWER_MAX + 1];
    struct words want, got;
    if (!mk_answer_clean(p, answer, n, got_buf)) return 0;
    if (!mk_answer_clean(p, mk_str_c(&p->answer), p->answer.len, want_buf)) return 0;
    if (!words_cut(&got, got_buf) || !words_cut(&want, want_buf) || got.n != want.n) return 0;
    for (int i = 0; i < want.n; i++)
        if (is_ordered ? strcmp(want.at[i], got.at[i]) != 0 : !words_have(&got, want.at[i]))
            return 0; /* as many words, none twice in want: equal as sets */
    return 1;
}
