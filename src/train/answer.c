/* Reading a model's answer: any bytes, of which only a plain short text counts. */
#include "train/int_task.h"

#include <ctype.h>
#include <string.h>

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Lower case, single spaces, trimmed, without the final stop.  False for other than printable
 * ASCII or more than cap bytes. */
static bool clean(const char *s, size_t n, char *buf, size_t cap)
{
    while (n && is_blank(s[0])) s++, n--;
    while (n && is_blank(s[n - 1])) n--;
    if (n && s[n - 1] == '.') n--;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (is_blank(c)) {
            if (len && buf[len - 1] == ' ') continue;
            c = ' ';
        } else if (c < '!' || c > '~') {
            return false;
        }
        if (len == cap) return false;
        buf[len++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    while (len && buf[len - 1] == ' ') len--;
    buf[len] = '\0';
    return true;
}

bool mk_answer_clean(const struct mk_problem *p, const char *answer, size_t n,
                     char buf[MK_ANSWER_MAX + 1])
{
    if (!clean(answer, n, buf, MK_ANSWER_MAX) || !buf[0]) return false;
    char prompt[MK_ANSWER_MAX + 1]; /* a prompt that is longer cannot be in the answer */
    if (!clean(p->prompt.data, p->prompt.len, prompt, MK_ANSWER_MAX)) return true;
    return !prompt[0] || !strstr(buf, prompt);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

enum { MAX_DIGITS = 18 };

/* Reads digits without leading zeros, with commas between groups of three if asked; returns the
 * bytes read, 0 if there is no such number. */
static size_t read_digits(const char *s, bool grouped, int64_t *out)
{
    size_t i = 0;
    int n_digit = 0, run = 0; /* run: digits since the last comma */
    bool has_comma = false;
    int64_t v = 0;
    for (;; i++) {
        if (is_digit(s[i])) {
            if (++n_digit > MAX_DIGITS) return 0;
            v = v * 10 + (s[i] - '0');
            run++;
        } else if (grouped && s[i] == ',' && is_digit(s[i + 1])) {
            if (run == 0 || run > 3 || (has_comma && run != 3)) return 0;
            has_comma = true;
            run = 0;
        } else {
            break;
        }
    }
    if (n_digit == 0 || (s[0] == '0' && n_digit > 1) || (has_comma && run != 3)) return 0;
    *out = v;
    return i;
}

/* A sign and digits at s. */
static size_t read_number(const char *s, bool grouped, int64_t *out)
{
    const size_t sign = s[0] == '-';
    const size_t n = read_digits(s + sign, grouped, out);
    if (n && sign) *out = -*out;
    return n ? n + sign : 0;
}

bool mk_answer_number(const struct mk_problem *p, const char *answer, size_t n, int64_t *value)
{
    char s[MK_ANSWER_MAX + 1];
    if (!mk_answer_clean(p, answer, n, s)) return false;
    bool found = false;
    int64_t v = 0;
    for (size_t i = 0; s[i];) {
        if (!is_digit(s[i]) && s[i] != '-') {
            if (!is_letter(s[i]) && !strchr(" .,:=!'", s[i])) return false;
            i++;
            continue;
        }
        const bool free_before = i == 0 || strchr(" :=", s[i - 1]);
        const size_t len = read_number(s + i, true, &v);
        if (!len || !free_before || found) return false;
        found = true;
        i += len;
        const bool stop = (s[i] == '.' || s[i] == ',') && !is_digit(s[i + 1]);
        if (s[i] && !stop && !strchr(" :!", s[i])) return false;
    }
    if (found) *value = v;
    return found;
}

int mk_answer_list(const struct mk_problem *p, const char *answer, size_t n, int64_t *v, int max)
{
    char s[MK_ANSWER_MAX + 1];
    if (!mk_answer_clean(p, answer, n, s)) return -1;
    int count = 0;
    for (size_t i = 0; s[i];) {
        if (count == max) return -1;
        const size_t len = read_number(s + i, false, &v[count]);
        if (!len) return -1;
        count++;
        i += len;
        if (!s[i]) break;
        if (s[i] != ',' && s[i] != ' ') return -1;
        i += s[i] == ',';
        i += s[i] == ' ';
    }
    return count;
}

double mk_verify_number(const struct mk_problem *p, const char *answer, size_t n)
{
    int64_t want, got;
    return mk_answer_number(p, p->answer.data, p->answer.len, &want) &&
           mk_answer_number(p, answer, n, &got) && want == got;
}

double mk_verify_list(const struct mk_problem *p, const char *answer, size_t n)
{
    enum { MAX = 64 };
    int64_t want[MAX], got[MAX];
    const int n_want = mk_answer_list(p, p->answer.data, p->answer.len, want, MAX);
    const int n_got = mk_answer_list(p, answer, n, got, MAX);
    return n_want > 0 && n_want == n_got && !memcmp(want, got, (size_t)n_got * sizeof *got);
}

double mk_verify_text(const struct mk_problem *p, const char *answer, size_t n)
{
    char want[MK_ANSWER_MAX + 1], got[MK_ANSWER_MAX + 1];
    return mk_answer_clean(p, p->answer.data, p->answer.len, want) &&
           mk_answer_clean(p, answer, n, got) && !strcmp(want, got);
}
