/* The built-in tasks: that their own answers score 1 and attacks 0, that traces are true line by
 * line, that problems are reproducible and the two splits disjoint.
 *
 *     test_tasks                       the short version
 *     test_tasks full                  100,000 problems of each task
 *     test_tasks stats                 lengths of prompts, traces and answers
 *     test_tasks show NAME LEVEL N     problems to look at */
#include "base/mem.h"
#include "train/int_task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct mk_trace_style clean = {0, 0, 0};
static const struct mk_trace_style checked = {1, 0, 0};
static const struct mk_trace_style mixed = {0.3, 0.3, 0.1};
static size_t n_samples = 2000;

static void draw(struct mk_problem *p, const struct mk_task *t, uint64_t index, int level,
                 const struct mk_trace_style *style)
{
    mk_task_draw(p, t, 11, index, level, MK_SPLIT_TRAIN, style);
}

#define EACH_TASK(t)                           \
    const struct mk_task *const *t = mk_tasks; \
    *t;                                        \
    t++

static void fail_at(const struct mk_problem *p, const char *what, const char *text)
{
    fail_msg("%s level %d: %s: %.300s\n  prompt: %s\n  trace: %s\n  answer: %s", p->task->name,
             p->level, what, text, mk_str_c(&p->prompt), mk_str_c(&p->trace), mk_str_c(&p->answer));
}

static void registry(void **state)
{
    (void)state;
    for (EACH_TASK(t)) {
        assert_ptr_equal(mk_task_find((*t)->name), *t);
        assert_true((*t)->lo <= 0 && (*t)->hi >= 0);
        assert_true((*t)->lo >= MK_LEVEL_EASIEST && (*t)->hi <= MK_LEVEL_HARDEST);
        assert_true(strlen((*t)->about) > 0);
    }
    assert_null(mk_task_find("nonsense"));
}

/* ---- answers ---- */

static double score(const struct mk_problem *p, const char *text)
{
    return p->task->verify(p, text, strlen(text));
}

static void expect_one(const struct mk_problem *p, const char *fmt)
{
    struct mk_str text = {0};
    for (const char *s = fmt; *s; s++)
        if (*s == '@')
            mk_str_append(&text, p->answer.data, p->answer.len);
        else
            mk_str_addc(&text, *s);
    if (p->task->verify(p, text.data, text.len) != 1) fail_at(p, "does not score 1", text.data);
    mk_str_release(&text);
}

static bool printable(const struct mk_str *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->data[i] < ' ' || s->data[i] > '~') return false;
    return true;
}

static void own_answers(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    for (EACH_TASK(t))
        for (int level = (*t)->lo; level <= (*t)->hi; level++)
            for (size_t i = 0; i < (level ? n_samples / 10 : n_samples); i++) {
                draw(&p, *t, i, level, &mixed);
                assert_ptr_equal(p.task, *t);
                assert_int_equal(p.level, level);
                expect_one(&p, "@");
                expect_one(&p, "  @.\n");
                if (!p.prompt.len || !p.answer.len || !printable(&p.prompt) ||
                    !printable(&p.trace) || !printable(&p.answer))
                    fail_at(&p, "a text is empty or not printable", "");
            }
    mk_problem_release(&p);
}

static void expect_zero(const struct mk_problem *p, const char *text, size_t n)
{
    const double r = p->task->verify(p, text, n);
    if (r != 0) fail_at(p, "attack scores above 0", text);
}

/* @ stands for the answer, # for the prompt. */
static const char *const attacks[] = {
    "",
    " ",
    "\n",
    ".",
    "-",
    "=",
    "#",
    " # ",
    "# @",
    "@ #",
    "#@",
    "@ @",
    "@, @",
    "@ or 1",
    "1 @ 2",
    "(@",
    "@)",
    "[@",
    "@]",
    "{@}}",
    "\"@",
    "<think>@",
    "@\x01",
    "\xff@",
    "@\xc3",
    "@\xe2\x82\xac",
    "1e999",
    "-1e999",
    "1e9",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "0x10",
    "1/0",
    "%s%n",
    "((((((((((((((((",
    "))))",
    "(3+4",
    "3+4)",
    "0 1 2 3 4 5 6 7 8 9 10 11 12",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
    "yes no",
    "yes or no",
    "true false",
    "null",
    "the answer",
    "answer:",
    "?",
    "@ 999999999999999999999",
    "99999999999999999999999999999999999999",
    "@?@",
    "not @ but @",
};

static void make_attack(struct mk_str *out, const char *pattern, const struct mk_problem *p)
{
    mk_str_clear(out);
    for (const char *s = pattern; *s; s++)
        if (*s == '@')
            mk_str_append(out, p->answer.data, p->answer.len);
        else if (*s == '#')
            mk_str_append(out, p->prompt.data, p->prompt.len);
        else
            mk_str_addc(out, *s);
}

static void long_attacks(const struct mk_problem *p, struct mk_str *out)
{
    mk_str_clear(out);
    for (int i = -20; i <= 300; i++) mk_str_addf(out, "%d ", i);
    expect_zero(p, out->data, out->len); /* every number in range */
    mk_str_clear(out);
    for (int i = 0; i < 5000; i++) mk_str_add(out, i % 2 ? "7" : "(");
    expect_zero(p, out->data, out->len);
    mk_str_clear(out);
    for (int i = 0; i < 5000; i++) mk_str_add(out, "9");
    expect_zero(p, out->data, out->len);
    mk_str_clear(out);
    mk_str_append(out, p->answer.data, p->answer.len);
    mk_str_append(out, "\0x", 2);
    expect_zero(p, out->data, out->len);
    mk_str_clear(out);
    mk_str_append(out, "\0", 1);
    mk_str_append(out, p->answer.data, p->answer.len);
    expect_zero(p, out->data, out->len);
}

static void attacks_score_zero(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    struct mk_str text = {0};
    for (EACH_TASK(t))
        for (int level = (*t)->lo; level <= (*t)->hi; level++)
            for (size_t i = 0; i < n_samples / 20; i++) {
                draw(&p, *t, i, level, &clean);
                for (size_t k = 0; k < sizeof attacks / sizeof *attacks; k++) {
                    make_attack(&text, attacks[k], &p);
                    expect_zero(&p, mk_str_c(&text), text.len);
                }
                long_attacks(&p, &text);
            }
    mk_str_release(&text);
    mk_problem_release(&p);
}

/* Random bytes, and the answer with one byte changed: nothing crashes, rewards stay in 0..1. */
static void random_bytes(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    struct mk_rng r = {5};
    for (EACH_TASK(t))
        for (size_t i = 0; i < n_samples; i++) {
            if (i % 20 == 0) draw(&p, *t, i, 0, &clean);
            char *text = mk_alloc(64); /* a block of its own, for the sanitizer */
            const size_t n = p.answer.len < 64 && i % 2 ? p.answer.len : i % 64;
            for (size_t k = 0; k < n; k++)
                text[k] = n == p.answer.len ? p.answer.data[k] : (char)mk_rng_u64(&r);
            if (n) text[mk_rng_u64(&r) % n] = (char)(mk_rng_u64(&r) % 128);
            char *exact = mk_alloc(n ? n : 1);
            memcpy(exact, text, n);
            const double score_of = p.task->verify(&p, exact, n);
            assert_true(score_of >= 0 && score_of <= 1);
            free(exact);
            free(text);
        }
    mk_problem_release(&p);
}

/* ---- answers that people would write ---- */

static struct mk_problem fixed(const char *task, const char *prompt, const char *answer,
                               const char *data)
{
    struct mk_problem p = {.task = mk_task_find(task)};
    mk_str_add(&p.prompt, prompt);
    mk_str_add(&p.answer, answer);
    mk_str_add(&p.data, data);
    return p;
}

struct variant {
    const char *text;
    int score;
};

static void try_variants(struct mk_problem p, const struct variant *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((int)score(&p, v[i].text) != v[i].score) fail_at(&p, "wrong score", v[i].text);
    mk_problem_release(&p);
}
#define TRY(p, ...)                                        \
    try_variants(p, (const struct variant[]){__VA_ARGS__}, \
                 sizeof(const struct variant[]){__VA_ARGS__} / sizeof(struct variant))

static void number_variants(void **state)
{
    (void)state;
    TRY(fixed("add", "4827+395", "5222", ""), {"5222", 1}, {"5,222", 1}, {"5222.", 1},
        {" 5222 ", 1}, {"The answer is 5222.", 1}, {"answer: 5222", 1}, {"= 5222", 1}, {"5222!", 1},
        {"x=5222", 1}, {"5223", 0}, {"-5222", 0}, {"52,22", 0}, {"5,2222", 0}, {"05222", 0},
        {"5222.0", 0}, {"5222.5", 0}, {"5222 5222", 0}, {"4827+395=5222", 0}, {"5222a", 0},
        {"a5222", 0}, {"5 222", 0}, {"+5222", 0}, {"5222e0", 0}, {"5221 or 5222", 0}, {"5222-", 0},
        {"--5222", 0}, {",5222", 0}, {"5222,", 1}, {"5222,1", 0}, {"5.222", 0}, {"$5222", 0},
        {"(5222)", 0});
    TRY(fixed("add", "3-10", "-7", ""), {"-7", 1}, {"x = -7", 1}, {"7", 0}, {"- 7", 0}, {"3-7", 0});
    TRY(fixed("equation", "Solve 3x+4=25.", "x=7", ""), {"x=7", 1}, {"x = 7.", 1}, {"7", 1},
        {"X=7", 1}, {"x=7 or x=8", 0}, {"3x=21", 0}, {"x=21/3", 0}, {"x7", 0}, {"x=", 0});
    TRY(fixed("sort", "Sort 42, 3, 17.", "3 17 42", ""), {"3 17 42", 1}, {"3, 17, 42", 1},
        {"3,17,42.", 1}, {"42, 3, 17", 0}, {"3 17", 0}, {"3 17 42 99", 0}, {"31742", 0},
        {"3;17;42", 0}, {"3,,17,42", 0}, {"[3, 17, 42]", 0}, {"3 17 42 and more", 0});
}

static void countdown_variants(void **state)
{
    (void)state;
    TRY(fixed("countdown", "Make 35 from 3, 4, 5.", "(3+4)*5", "3 4 5 35"), {"(3+4)*5", 1},
        {"5*(4+3)", 1}, {"5 * ( 3 + 4 )", 1}, {"((3+4))*5", 1}, {"(3+4)*5=35", 1},
        {"(3+4)*5 = 35.", 1}, {"3+4*5", 0}, {"(3+4)*5=36", 0}, {"35", 0}, {"5*7", 0}, {"35*1", 0},
        {"(3+4)*5*1", 0}, {"(3+4)*(5", 0}, {"(3+4)*5)", 0}, {"3*5+4*5", 0}, {"(3+4)5", 0},
        {"35=(3+4)*5", 0}, {"(3+4)*5==35", 0}, {"-(3+4)*-5", 0}, {"(3+4)/5", 0}, {"34+5-4", 0},
        {"(03+4)*5", 0}, {"(3.0+4)*5", 0}, {"(3+4)*5 (3+4)*5", 0}, {"(3+4)**5", 0}, {"()", 0},
        {"9223372036854775807*9223372036854775807*3", 0}, {"(3+4)*5;", 0}, {"(3 + 4) x 5", 0});
    TRY(fixed("countdown", "Make 9 from 3, 3, 3.", "3+3+3", "3 3 3 9"), {"3+3+3", 1}, {"3*3", 0},
        {"3+3+3+3-3", 0}, {"3*3+3-3", 0});
}

/* ---- traces ---- */

static void arithmetic_texts(void **state)
{
    (void)state;
    static const struct {
        char op;
        int a, b;
        const char *text;
    } cases[] = {
        {'+', 7, 5, "7+5=12"},
        {'+', 42, 9, "42+9=51"},
        {'+', 47, 25, "47+25: 7+5=12 4+2+1=7 so 72"},
        {'+', 995, 5, "995+5: 5+5=10 9+0+1=10 9+0+1=10 so 1000"},
        {'-', 47, 5, "47-5=42"},
        {'-', 93, 58, "93-58: 13-8=5 9-1-5=3 so 35"},
        {'-', 400, 399, "400-399: 10-9=1 10-1-9=0 4-1-3=0 so 1"},
        {'-', 10, 25, "25-10: 5-0=5 2-1=1 so 15 and 10-25=-15"},
        {'*', 6, 8, "6*8=48"},
        {'*', 37, 100, "37*100=3700"},
        {'*', 6, 347, "347*6: 7*6=42 4*6+4=24+4=28 3*6+2=18+2=20 so 2082"},
        {'*', 13, 20, "13*20: 3*2=6 1*2=2 so 260"},
        {'*', 12, 34,
         "12*4: 2*4=8 1*4=4 so 48 12*30: 2*3=6 1*3=3 so 360 "
         "48+360: 8+0=8 4+6=10 0+3+1=4 so 408"},
        {'/', 56, 8, "56/8=7"},
        {'/', 75, 3, "75/3: 7=3*2+1 15=3*5+0 so 25"},
        {'/', 80, 7, "80/7: 8=7*1+1 10=7*1+3 so 11 r 3"},
        {'/', 5, 7, "5/7: 5=7*0+5 so 0 r 5"},
        {'/', 615, 3, "615/3: 6=3*2+0 1=3*0+1 15=3*5+0 so 205"},
    };
    struct mk_problem p = {0};
    struct mk_rng r = {1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_trace t;
        const int a = cases[i].a, b = cases[i].b;
        mk_str_clear(&p.trace);
        mk_trace_begin(&t, &p, &r, &clean);
        switch (cases[i].op) {
        case '+':
            assert_int_equal(mk_trace_sum(&t, a, b), a + b);
            break;
        case '-':
            assert_int_equal(mk_trace_difference(&t, a, b), a - b);
            break;
        case '*':
            assert_int_equal(mk_trace_product(&t, a, b), a * b);
            break;
        default:
            assert_int_equal(mk_trace_quotient(&t, a, b), a / b);
        }
        mk_trace_end(&t);
        assert_string_equal(p.trace.data, cases[i].text);
    }
    mk_problem_release(&p);
}

/* Evaluates one side of an equation from left to right, * and / first; false if it is none. */
static bool evaluate(const char *s, size_t n, long *out)
{
    long sum = 0, product = 0;
    char add = '+', mul = 0;
    for (size_t i = 0; i < n;) {
        const bool minus = s[i] == '-' && (i == 0 || mul);
        i += minus;
        if (i >= n || s[i] < '0' || s[i] > '9') return false;
        long v = 0;
        for (; i < n && s[i] >= '0' && s[i] <= '9'; i++) v = v * 10 + (s[i] - '0');
        if (minus) v = -v;
        if (mul == '/' && (v == 0 || product % v)) return false;
        product = mul == '*' ? product * v : mul == '/' ? product / v : v;
        mul = 0;
        if (i < n && (s[i] == '*' || s[i] == '/')) {
            mul = s[i++];
            if (i == n) return false;
            continue;
        }
        sum = add == '+' ? sum + product : sum - product;
        if (i == n) break;
        if (s[i] != '+' && s[i] != '-') return false;
        add = s[i++];
        if (i == n) return false;
    }
    *out = sum;
    return n > 0;
}

/* The words of a trace that are equations of numbers hold; returns how many there are. */
static int check_equations(const struct mk_problem *p)
{
    int count = 0;
    for (const char *s = mk_str_c(&p->trace); *s;) {
        const size_t n = strcspn(s, " ,;"), digits = strspn(s, "0123456789+-*/=");
        if (digits == n && memchr(s, '=', n)) {
            long first = 0, v;
            const char *side = s;
            for (int k = 0; side <= s + n; k++) {
                const char *eq = memchr(side, '=', (size_t)(s + n - side));
                const char *end = eq ? eq : s + n;
                if (!evaluate(side, (size_t)(end - side), &v)) break;
                if (k == 0) first = v;
                if (v != first) fail_at(p, "a false equation", s);
                count += k > 0;
                side = end + 1;
            }
        }
        s += n;
        s += *s != '\0';
    }
    return count;
}

static void traces_are_true(void **state)
{
    (void)state;
    static const char *const arithmetic[] = {"add", "mul", "sequence", "equation", "countdown"};
    struct mk_problem p = {0};
    for (EACH_TASK(t)) {
        size_t n_equation = 0, n_trace = 0;
        for (int level = (*t)->lo; level <= (*t)->hi; level++)
            for (size_t i = 0; i < n_samples / 4; i++) {
                draw(&p, *t, i, level, i % 2 ? &clean : &checked);
                n_equation += (size_t)check_equations(&p);
                n_trace += p.trace.len > 0;
                if (strstr(mk_str_c(&p.trace), "wait")) fail_at(&p, "a slip nobody asked for", "");
                if (level == 0 && p.trace.len > 600) fail_at(&p, "a long trace", "");
            }
        assert_true(n_trace > 0);
        for (size_t k = 0; k < sizeof arithmetic / sizeof *arithmetic; k++)
            if (!strcmp((*t)->name, arithmetic[k])) assert_true(n_equation > n_trace);
    }
    mk_problem_release(&p);
}

/* What the answer is must stand in the trace: answering is copying. */
static void traces_give_the_answer(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    for (EACH_TASK(t))
        for (size_t i = 0; i < n_samples / 4; i++) {
            draw(&p, *t, i, 0, &clean);
            if (!strstr(mk_str_c(&p.trace), p.answer.data)) fail_at(&p, "answer not in trace", "");
        }
    mk_problem_release(&p);
}

/* "LHS wrong wait LHS right": what was said before "wait" is said again with another end. */
static void slips_are_corrected(void **state)
{
    (void)state;
    const struct mk_trace_style slip = {0, 1, 0}, none = {0, 0, 0};
    struct mk_problem p = {0}, q = {0};
    for (EACH_TASK(t)) {
        size_t n_slip = 0;
        for (size_t i = 0; i < n_samples / 4; i++) {
            draw(&p, *t, i, 0, &slip);
            draw(&q, *t, i, 0, &none);
            const char *wait = strstr(mk_str_c(&p.trace), " wait ");
            if (!wait) continue;
            n_slip++;
            /* Without the slip the trace is the clean one: find its begin by comparing. */
            const char *after = wait + 6;
            const size_t tail = strlen(after), whole = q.trace.len;
            if (tail > whole || strcmp(q.trace.data + whole - tail, after) != 0 ||
                strncmp(p.trace.data, q.trace.data, whole - tail) != 0)
                fail_at(&p, "more than a slip was changed", q.trace.data);
            const char *wrong = p.trace.data + (whole - tail);
            const size_t n = (size_t)(wait - wrong);
            if (n == 0 || wrong[0] != after[0] ||
                (!strncmp(after, wrong, n) && strchr(" ,;.", after[n])))
                fail_at(&p, "a slip that is none", wrong);
        }
        if (n_slip < n_samples / 16) fail_at(&p, "few slips", "");
    }
    mk_problem_release(&p);
    mk_problem_release(&q);
}

static void noise_is_silent(void **state)
{
    (void)state;
    const struct mk_trace_style noise = {0, 0, 1};
    struct mk_problem p = {0}, q = {0};
    for (EACH_TASK(t)) {
        size_t n_changed = 0;
        for (size_t i = 0; i < n_samples / 4; i++) {
            draw(&p, *t, i, 0, &noise);
            draw(&q, *t, i, 0, &clean);
            assert_string_equal(p.answer.data, q.answer.data);
            assert_null(strstr(mk_str_c(&p.trace), "wait"));
            n_changed += strcmp(mk_str_c(&p.trace), mk_str_c(&q.trace)) != 0;
        }
        if (n_changed < n_samples / 16) fail_at(&p, "little noise", "");
    }
    mk_problem_release(&p);
    mk_problem_release(&q);
}

/* ---- drawing ---- */

static void same_problem_again(void **state)
{
    (void)state;
    struct mk_problem p = {0}, q = {0};
    for (EACH_TASK(t))
        for (int level = (*t)->lo; level <= (*t)->hi; level++)
            for (size_t i = 0; i < 100; i++) {
                draw(&p, *t, i, level, &mixed);
                draw(&q, *t, i, level, &mixed);
                assert_string_equal(p.prompt.data, q.prompt.data);
                assert_string_equal(mk_str_c(&p.trace), mk_str_c(&q.trace));
                assert_string_equal(p.answer.data, q.answer.data);
                draw(&q, *t, i, level, i % 2 ? &checked : &clean);
                assert_string_equal(p.prompt.data, q.prompt.data); /* whatever the style */
                assert_string_equal(p.answer.data, q.answer.data);
            }
    mk_problem_release(&p);
    mk_problem_release(&q);
}

static void levels_are_brought_into_range(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    for (EACH_TASK(t)) {
        draw(&p, *t, 3, -100, &clean);
        assert_int_equal(p.level, (*t)->lo);
        draw(&p, *t, 3, 100, &clean);
        assert_int_equal(p.level, (*t)->hi);
    }
    mk_problem_release(&p);
}

static int by_hash(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One in 16 is held out; what is drawn for one split never appears in the other. */
static void splits(void **state)
{
    (void)state;
    enum { N = 4000, N_HELD = 200 };
    uint64_t *train = mk_calloc(N, sizeof *train);
    struct mk_problem p = {0};
    for (EACH_TASK(t)) {
        size_t n_held = 0;
        for (uint64_t i = 0; i < N; i++) {
            struct mk_rng r = {i * 77 + 5};
            (*t)->make(&p, &r, 0, &clean);
            n_held += mk_problem_split(&p) == MK_SPLIT_HELDOUT;
            mk_task_draw(&p, *t, 11, i, 0, MK_SPLIT_TRAIN, &clean);
            train[i] = mk_problem_hash(&p);
        }
        if (n_held < N / 16 / 2 || n_held > N / 16 * 2) fail_at(&p, "held-out share", "");
        qsort(train, N, sizeof *train, by_hash);
        for (uint64_t i = 0; i < N_HELD; i++) {
            mk_task_draw(&p, *t, 12, i, 0, MK_SPLIT_HELDOUT, &clean);
            const uint64_t h = mk_problem_hash(&p);
            assert_null(bsearch(&h, train, N, sizeof *train, by_hash));
        }
    }
    free(train);
    mk_problem_release(&p);
}

/* Problems of a level seldom repeat: there is something to hold out. */
static void many_problems(void **state)
{
    (void)state;
    enum { N = 2000 };
    uint64_t *seen = mk_calloc(N, sizeof *seen);
    struct mk_problem p = {0};
    for (EACH_TASK(t)) {
        for (uint64_t i = 0; i < N; i++) {
            draw(&p, *t, i, 0, &clean);
            seen[i] = mk_problem_hash(&p);
        }
        qsort(seen, N, sizeof *seen, by_hash);
        size_t n = 1;
        for (size_t i = 1; i < N; i++) n += seen[i] != seen[i - 1];
        if (n < N * 9 / 10) fail_at(&p, "problems repeat", "");
    }
    free(seen);
    mk_problem_release(&p);
}

static void hash_is_fnv(void **state)
{
    (void)state;
    assert_true(mk_text_hash("", 0) == 0xcbf29ce484222325ull);
    assert_true(mk_text_hash("a", 1) == 0xaf63dc4c8601ec8cull);
    assert_true(mk_text_hash("foobar", 6) == 0x85944171f73967e8ull);
}

/* ---- for people ---- */

static int show(const char *name, int level, size_t n)
{
    const struct mk_task *t = mk_task_find(name);
    if (!t) return fprintf(stderr, "no task %s\n", name), 2;
    struct mk_problem p = {0};
    for (size_t i = 0; i < n; i++) {
        draw(&p, t, i, level, &mixed);
        printf("%s\n  | %s\n  = %s\n", p.prompt.data, mk_str_c(&p.trace), p.answer.data);
    }
    mk_problem_release(&p);
    return 0;
}

/* Roughly the tokens: words are one, everything else is one a character. */
static size_t count_tokens(const struct mk_str *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->len; n++) {
        i += s->data[i] == ' ' && i + 1 < s->len &&
             strchr("abcdefghijklmnopqrstuvwxyz", s->data[i + 1] | 32) != NULL;
        const size_t word = strspn(s->data + i, "abcdefghijklmnopqrstuvwxyz");
        i += word ? word : 1;
    }
    return n;
}

static int stats(void)
{
    struct mk_problem p = {0};
    printf("%-10s %5s  %-13s %-13s %-13s %s\n", "task", "level", "prompt bytes", "trace bytes",
           "answer bytes", "trace tokens (mean, max)");
    for (EACH_TASK(t))
        for (int level = (*t)->lo; level <= (*t)->hi; level++) {
            size_t sum[4] = {0}, max[4] = {0};
            const size_t n = 2000;
            for (size_t i = 0; i < n; i++) {
                draw(&p, *t, i, level, &mixed);
                const size_t len[4] = {p.prompt.len, p.trace.len, p.answer.len,
                                       count_tokens(&p.trace)};
                for (int k = 0; k < 4; k++) {
                    sum[k] += len[k];
                    if (len[k] > max[k]) max[k] = len[k];
                }
            }
            printf("%-10s %5d ", (*t)->name, level);
            for (int k = 0; k < 4; k++) printf(" %6.1f %6zu", (double)sum[k] / (double)n, max[k]);
            printf("\n");
        }
    mk_problem_release(&p);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "show"))
        return show(argv[2], atoi(argv[3]), (size_t)atol(argv[4]));
    if (argc == 2 && !strcmp(argv[1], "stats")) return stats();
    if (argc == 2 && !strcmp(argv[1], "full")) n_samples = 100000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry),
        cmocka_unit_test(hash_is_fnv),
        cmocka_unit_test(arithmetic_texts),
        cmocka_unit_test(number_variants),
        cmocka_unit_test(countdown_variants),
        cmocka_unit_test(own_answers),
        cmocka_unit_test(attacks_score_zero),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(traces_are_true),
        cmocka_unit_test(traces_give_the_answer),
        cmocka_unit_test(slips_are_corrected),
        cmocka_unit_test(noise_is_silent),
        cmocka_unit_test(same_problem_again),
        cmocka_unit_test(levels_are_brought_into_range),
        cmocka_unit_test(splits),
        cmocka_unit_test(many_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
