/* Traces: pieces of text and steps.  A trace is first written without faults, with a note of where
 * each step's result stands; mk_trace_end then puts a slip before one of the steps or changes one
 * digit.  So no task has to think of them. */
#include "train/int_task.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mk_trace_begin(struct mk_trace *t, struct mk_problem *p, struct mk_rng *r,
                    const struct mk_trace_style *style)
{
    t->out = &p->trace;
    t->rng = r;
    t->check = mk_chance(r, style->check);
    t->noise = mk_chance(r, style->noise);
    t->slip = mk_chance(r, style->slip) && !t->noise;
    t->n_step = 0;
}

/* Appends a piece; returns where it begins (behind the space). */
static size_t add_piece(struct mk_trace *t, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static size_t add_piece(struct mk_trace *t, const char *fmt, va_list ap)
{
    char text[512];
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    assert(n >= 0 && (size_t)n < sizeof text);
    (void)n;
    if (t->out->len && text[0] && !strchr(",;:.", text[0])) mk_str_addc(t->out, ' ');
    const size_t begin = t->out->len;
    mk_str_add(t->out, text);
    return begin;
}

/* Appends the result and notes the step. */
static void add_result(struct mk_trace *t, size_t begin, const char *result, const char *wrong)
{
    const size_t value = t->out->len;
    mk_str_add(t->out, result);
    if (t->n_step == MK_TRACE_STEPS) return;
    t->step[t->n_step].begin = begin;
    t->step[t->n_step].value = value;
    t->step[t->n_step].end = t->out->len;
    assert(strlen(wrong) < MK_TRACE_WRONG);
    strcpy(t->step[t->n_step].wrong, wrong);
    t->n_step++;
}

void mk_trace_say(struct mk_trace *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_piece(t, fmt, ap);
    va_end(ap);
}

void mk_trace_num(struct mk_trace *t, int64_t result, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const size_t begin = add_piece(t, fmt, ap);
    va_end(ap);
    add_result(t, begin, mk_num(result), "");
}

void mk_trace_word(struct mk_trace *t, const char *result, const char *wrong, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const size_t begin = add_piece(t, fmt, ap);
    va_end(ap);
    if (wrong)
        add_result(t, begin, result, wrong);
    else
        mk_str_add(t->out, result);
}

/* Changes one digit of text[0..n) by one; a leading digit does not become 0. */
static void spoil(struct mk_rng *r, char *text, size_t n)
{
    const size_t first = text[0] == '-';
    const size_t at = (size_t)mk_pick(r, (int64_t)first, (int64_t)n - 1);
    const bool leads = at == first && n - first > 1;
    int by = mk_chance(r, 0.5) ? 1 : -1;
    if (leads && text[at] == '1') by = 1;
    if (leads && text[at] == '9') by = -1;
    text[at] = (char)('0' + (text[at] - '0' + 10 + by) % 10);
}

/* Replaces out[at, at+n) by text. */
static void splice(struct mk_str *out, size_t at, size_t n, const struct mk_str *text)
{
    struct mk_str all = {0};
    mk_str_append(&all, out->data, at);
    mk_str_append(&all, text->data, text->len);
    mk_str_append(&all, out->data + at + n, out->len - at - n);
    mk_str_release(out);
    *out = all;
}

void mk_trace_end(struct mk_trace *t)
{
    if (t->n_step == 0 || (!t->slip && !t->noise)) return;
    const int k = (int)mk_pick(t->rng, 0, t->n_step - 1);
    const size_t begin = t->step[k].begin, value = t->step[k].value, end = t->step[k].end;
    struct mk_str wrong = {0}, text = {0};
    if (t->step[k].wrong[0]) {
        mk_str_add(&wrong, t->step[k].wrong);
    } else {
        mk_str_append(&wrong, t->out->data + value, end - value);
        spoil(t->rng, wrong.data, wrong.len);
    }
    if (t->noise) {
        splice(t->out, value, end - value, &wrong);
    } else {
        mk_str_append(&text, t->out->data + begin, value - begin);
        mk_str_append(&text, wrong.data, wrong.len);
        mk_str_add(&text, " wait ");
        splice(t->out, begin, 0, &text);
    }
    mk_str_release(&wrong);
    mk_str_release(&text);
}

/* ---- arithmetic ---- */

enum { MAX_DIGITS = 20 };

/* The digits of v >= 0, lowest first; returns how many. */
static int digits_of(int64_t v, int d[MAX_DIGITS])
{
    int n = 0;
    memset(d, 0, MAX_DIGITS * sizeof *d);
    do d[n++] = (int)(v % 10);
    while ((v /= 10) > 0);
    return n;
}

int64_t mk_trace_sum(struct mk_trace *t, int64_t a, int64_t b)
{
    assert(a >= 0 && b >= 0);
    const int64_t lo = a < b ? a : b, hi = a < b ? b : a;
    if (lo < 10 && hi < 100) {
        mk_trace_num(t, a + b, "%" PRId64 "+%" PRId64 "=", a, b);
        return a + b;
    }
    mk_trace_say(t, "%" PRId64 "+%" PRId64 ":", a, b);
    int x[MAX_DIGITS], y[MAX_DIGITS], carry = 0;
    const int nx = digits_of(a, x), ny = digits_of(b, y);
    for (int i = 0; i < nx || i < ny; i++) {
        const int s = x[i] + y[i] + carry;
        mk_trace_num(t, s, "%d+%d%s=", x[i], y[i], carry ? "+1" : "");
        carry = s / 10;
    }
    mk_trace_say(t, "so %" PRId64, a + b);
    return a + b;
}

int64_t mk_trace_difference(struct mk_trace *t, int64_t a, int64_t b)
{
    assert(a >= 0 && b >= 0);
    if (a < b) {
        mk_trace_difference(t, b, a);
        mk_trace_say(t, "and %" PRId64 "-%" PRId64 "=%" PRId64, a, b, a - b);
        return a - b;
    }
    if (b < 10 && a < 100) {
        mk_trace_num(t, a - b, "%" PRId64 "-%" PRId64 "=", a, b);
        return a - b;
    }
    mk_trace_say(t, "%" PRId64 "-%" PRId64 ":", a, b);
    int x[MAX_DIGITS], y[MAX_DIGITS], borrow = 0;
    const int n = digits_of(a, x);
    digits_of(b, y);
    for (int i = 0; i < n; i++) {
        const bool more = x[i] - borrow < y[i];
        mk_trace_num(t, x[i] + 10 * more - borrow - y[i], "%s%d%s-%d=", more ? "1" : "", x[i],
                     borrow ? "-1" : "", y[i]);
        borrow = more;
    }
    mk_trace_say(t, "so %" PRId64, a - b);
    return a - b;
}

/* a times digit * 10^zeros. */
static int64_t partial_product(struct mk_trace *t, int64_t a, int digit, int zeros)
{
    int64_t b = digit;
    for (int i = 0; i < zeros; i++) b *= 10;
    int x[MAX_DIGITS], carry = 0;
    const int n = digits_of(a, x);
    mk_trace_say(t, "%" PRId64 "*%" PRId64 ":", a, b);
    for (int i = 0; i < n; i++) {
        const int m = x[i] * digit, s = m + carry;
        if (carry)
            mk_trace_num(t, s, "%d*%d+%d=%d+%d=", x[i], digit, carry, m, carry);
        else
            mk_trace_num(t, s, "%d*%d=", x[i], digit);
        carry = s / 10;
    }
    mk_trace_say(t, "so %" PRId64, a * b);
    return a * b;
}

static bool is_power_of_ten(int64_t v)
{
    while (v >= 10 && v % 10 == 0) v /= 10;
    return v == 1;
}

int64_t mk_trace_product(struct mk_trace *t, int64_t a, int64_t b)
{
    assert(a >= 0 && b >= 0);
    if ((a < 10 && b < 10) || a < 2 || b < 2 || is_power_of_ten(a) || is_power_of_ten(b)) {
        mk_trace_num(t, a * b, "%" PRId64 "*%" PRId64 "=", a, b);
        return a * b;
    }
    int x[MAX_DIGITS], y[MAX_DIGITS];
    const int nx = digits_of(a, x), ny = digits_of(b, y);
    if (nx < ny) return mk_trace_product(t, b, a);
    int64_t sum = 0;
    for (int i = 0; i < ny; i++) {
        if (y[i] == 0) continue;
        const int64_t part = partial_product(t, a, y[i], i);
        sum = sum ? mk_trace_sum(t, sum, part) : part;
    }
    return sum;
}

int64_t mk_trace_quotient(struct mk_trace *t, int64_t a, int64_t b)
{
    assert(a >= 0 && b > 0);
    if (a < 10 * b && b <= 10 && a % b == 0) {
        mk_trace_num(t, a / b, "%" PRId64 "/%" PRId64 "=", a, b);
        return a / b;
    }
    int x[MAX_DIGITS];
    int64_t rest = 0;
    bool begun = false;
    mk_trace_say(t, "%" PRId64 "/%" PRId64 ":", a, b);
    for (int i = digits_of(a, x) - 1; i >= 0; i--) {
        rest = rest * 10 + x[i];
        if (rest < b && !begun && i > 0) continue;
        begun = true;
        const int64_t q = rest / b;
        mk_trace_num(t, rest - q * b, "%" PRId64 "=%" PRId64 "*%" PRId64 "+", rest, b, q);
        rest -= q * b;
    }
    mk_trace_say(t, "so %" PRId64, a / b);
    if (rest) mk_trace_say(t, "r %" PRId64, rest);
    return a / b;
}
