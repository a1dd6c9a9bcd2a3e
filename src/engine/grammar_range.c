/* Numbers between bounds, compared as people do: longer is larger, then digit by digit.
 *
 * A magnitude's digits are led along those of the lower and the upper bound as long as they
 * agree with them; a digit that differs leaves the bound for good.  At place i of n:
 *
 *     both bounds hold     low[i] < high[i]: low[i] on along low, between: free, high[i] on along
 * high one holds            its digit: still held; on the right side of it: free free any digits
 *
 * The places go on behind the point, where the number may end: it is then as if zeros followed. */
#include "engine/int_grammar.h"

#include <string.h>

struct range {
    struct mk_grammar_builder *b;
    char low[96], high[96]; /* digits, the same number before the point and behind it */
    int n_int, n;           /* places before the point, and in all */
    int n_frac;             /* digits that may follow the point, at most */
    bool low_open, high_open;
};

static uint32_t digit(struct range *r, int from, int to)
{
    uint64_t set[4] = {0};
    if (from > to) return mk_grammar_never(r->b);
    for (int d = from; d <= to; d++) mk_set_add(set, (unsigned)d);
    return mk_grammar_bytes(r->b, set);
}

static uint32_t digits(struct range *r, int min, int max)
{
    if (max <= 0) return 0;
    return mk_grammar_repeat(r->b, digit(r, '0', '9'), (uint32_t)min, (uint32_t)max);
}

/* What follows place i when no bound holds any more. */
static uint32_t free_from(struct range *r, int i)
{
    if (i > r->n_int) return digits(r, 0, r->n_frac - (i - r->n_int));
    const uint32_t whole = digits(r, r->n_int - i, r->n_int - i);
    if (r->n_frac == 0) return whole;
    const uint32_t point = mk_grammar_str(r->b, ".");
    const uint32_t behind = mk_grammar_pair(r->b, point, digits(r, 1, r->n_frac));
    return mk_grammar_pair(r->b, whole, mk_grammar_maybe(r->b, behind));
}

static bool all_zeros(const char *s, int i, int n)
{
    while (i < n && s[i] == '0') i++;
    return i == n;
}

/* Whether the number may end before place i, with these bounds holding. */
static bool may_end(const struct range *r, int i, bool low, bool high)
{
    if (i < r->n_int) return false;
    if (low && (r->low_open || !all_zeros(r->low, i, r->n))) return false;
    return !(high && r->high_open && all_zeros(r->high, i, r->n));
}

/* Behind all places of the bounds: above the lower one by any further digit that is not 0; equal
 * to the upper one only without any. */
static uint32_t past_end(struct range *r, int i, bool low, bool high)
{
    const int left = r->n_frac - (i - r->n_int);
    uint32_t above = mk_grammar_never(r->b);
    if (!high && low && left > 0) {
        const uint32_t some[] = {digits(r, 0, left - 1), digit(r, '1', '9')};
        above = mk_grammar_seq(r->b, some, 2);
        if (i == r->n_int) above = mk_grammar_pair(r->b, mk_grammar_str(r->b, "."), above);
    }
    return may_end(r, i, low, high) ? mk_grammar_maybe(r->b, above) : above;
}

/* Places i.. given that the bounds named still hold.  About 2 n calls in all: while both hold
 * and agree there is one way on, from then on each goes on alone. */
static uint32_t held(struct range *r, int i, bool low, bool high)
{
    const bool is_last = i >= r->n_int && i - r->n_int == r->n_frac;
    if (is_last) return may_end(r, i, low, high) ? 0 : mk_grammar_never(r->b);
    if (i == r->n) return past_end(r, i, low, high);
    const int least = i == 0 && r->n_int > 1 ? '1' : '0';
    const int lo = low ? r->low[i] : least, hi = high ? r->high[i] : '9';
    uint32_t ways[3];
    size_t n = 0;
    if (low && high && lo > hi) return mk_grammar_never(r->b);
    if (lo == hi && low && high) {
        ways[n++] = mk_grammar_pair(r->b, digit(r, lo, lo), held(r, i + 1, true, true));
    } else {
        const int from = low ? lo + 1 : lo, to = high ? hi - 1 : hi;
        if (low) ways[n++] = mk_grammar_pair(r->b, digit(r, lo, lo), held(r, i + 1, true, false));
        if (from <= to) ways[n++] = mk_grammar_pair(r->b, digit(r, from, to), free_from(r, i + 1));
        if (high) ways[n++] = mk_grammar_pair(r->b, digit(r, hi, hi), held(r, i + 1, false, true));
    }
    uint32_t x = mk_grammar_choice(r->b, ways, n);
    if (i == r->n_int) x = mk_grammar_pair(r->b, mk_grammar_str(r->b, "."), x);
    return may_end(r, i, low, high) ? mk_grammar_maybe(r->b, x) : x;
}

static int int_digits(const struct mk_bound *x) { return (int)strlen(x->digits) - x->n_frac; }

/* Digits of x in n_int + n_frac places. */
static void place(char *out, const struct mk_bound *x, int n_frac)
{
    const size_t n = strlen(x->digits), all = n + (size_t)(n_frac - x->n_frac);
    memcpy(out, x->digits, n);
    memset(out + n, '0', all - n);
}

/* Magnitudes of one length, held by the bounds that have that length. */
static uint32_t of_length(struct range *r, int n_int, const struct mk_bound *lo,
                          const struct mk_bound *hi)
{
    const bool low = n_int == int_digits(lo), high = hi && n_int == int_digits(hi);
    const int lo_frac = low ? lo->n_frac : 0, hi_frac = high ? hi->n_frac : 0;
    const int n_frac = lo_frac > hi_frac ? lo_frac : hi_frac;
    r->n_int = n_int;
    r->n = n_int + n_frac;
    if (low) place(r->low, lo, n_frac), r->low_open = lo->is_open;
    if (high) place(r->high, hi, n_frac), r->high_open = hi->is_open;
    return held(r, 0, low, high);
}

/* Magnitudes from lo to hi, or without end. */
static uint32_t magnitudes(struct mk_grammar_builder *b, const struct mk_bound *lo,
                           const struct mk_bound *hi, int n_frac)
{
    struct range r = {.b = b, .n_frac = n_frac};
    const int first = int_digits(lo), most = n_frac ? 15 : 18;
    const int last = hi ? int_digits(hi) : first > most ? first : most + 1;
    uint32_t ways[3];
    size_t n = 0;
    if (first > last) return mk_grammar_never(b);
    ways[n++] = of_length(&r, first, lo, hi);
    if (last - first > 1) { /* lengths that no bound holds */
        r.n_int = first + 1;
        const uint32_t list[] = {digit(&r, '1', '9'), digits(&r, first, last - 2),
                                 free_from(&r, r.n_int)};
        ways[n++] = mk_grammar_seq(b, list, 3);
    }
    if (hi && last > first) ways[n++] = of_length(&r, last, lo, hi);
    return mk_grammar_choice(b, ways, n);
}

uint32_t mk_grammar_range(struct mk_grammar_builder *b, const struct mk_bound *lo,
                          const struct mk_bound *hi, int n_frac)
{
    const struct mk_bound zero = {.digits = "0"}, above_zero = {.digits = "0", .is_open = true};
    uint32_t ways[2];
    size_t n = 0;
    if (!hi->is_set || !hi->is_negative)
        ways[n++] = magnitudes(b, lo->is_set && !lo->is_negative ? lo : &zero,
                               hi->is_set ? hi : NULL, n_frac);
    if (!lo->is_set || lo->is_negative)
        ways[n++] = mk_grammar_pair(b, mk_grammar_str(b, "-"),
                                    magnitudes(b, hi->is_set && hi->is_negative ? hi : &above_zero,
                                               lo->is_set ? lo : NULL, n_frac));
    return mk_grammar_choice(b, ways, n);
}

/* After so many digits only the remainder matters: level by level from the last digit back. */
uint32_t mk_grammar_multiples(struct mk_grammar_builder *b, unsigned n, bool negative,
                              bool positive)
{
    enum { MOST = MK_MAX_MULTIPLE, LENGTH = 15 };
    uint32_t after[MOST] = {0}, now[MOST], any[10], ways[11];
    struct range r = {.b = b};
    for (int d = 0; d < 10; d++) any[d] = digit(&r, '0' + d, '0' + d);
    for (unsigned i = 1; i < n; i++) after[i] = mk_grammar_never(b);
    for (int level = 1; level < LENGTH; level++) {
        for (unsigned m = 0; m < n; m++) {
            for (unsigned d = 0; d < 10; d++)
                ways[d] = mk_grammar_pair(b, any[d], after[(10 * m + d) % n]);
            ways[10] = 0; /* it may end here */
            now[m] = mk_grammar_choice(b, ways, m ? 10 : 11);
        }
        memcpy(after, now, n * sizeof *now);
    }
    for (unsigned d = 1; d < 10; d++) ways[d] = mk_grammar_pair(b, any[d], after[d % n]);
    const uint32_t above = mk_grammar_choice(b, ways + 1, 9);
    const uint32_t below = mk_grammar_pair(b, mk_grammar_str(b, "-"), above);
    const uint32_t zero = any[0];
    const uint32_t list[] = {zero, positive ? above : zero, negative ? below : zero};
    return mk_grammar_choice(b, list, 3);
}
