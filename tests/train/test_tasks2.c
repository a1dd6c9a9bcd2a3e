/* The tasks in English, solved a second way: formulas and rules by their truth tables, dates by
 * the C library; what people may write as an answer; and that no constant answer pays. */
#include "train/int_task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const struct mk_trace_style clean = {0, 0, 0};

static void draw(struct mk_problem *p, const char *task, uint64_t index, int level)
{
    mk_task_draw(p, mk_task_find(task), 21, index, level, MK_SPLIT_TRAIN, &clean);
}

static void wrong(const struct mk_problem *p, const char *what)
{
    fail_msg("%s: %s\n  trace: %s\n  answer: %s", what, p->prompt.data, mk_str_c(&p->trace),
             p->answer.data);
}

/* ---- answers that people would write ---- */

static void try_answers(const char *task, const char *answer, const char *data,
                        const char *const *good, const char *const *bad)
{
    struct mk_problem p = {.task = mk_task_find(task)};
    mk_str_add(&p.prompt, "A question?");
    mk_str_add(&p.answer, answer);
    mk_str_add(&p.data, data);
    for (; *good; good++)
        if (p.task->verify(&p, *good, strlen(*good)) != 1) fail_msg("%s refused: %s", task, *good);
    for (; *bad; bad++)
        if (p.task->verify(&p, *bad, strlen(*bad)) != 0) fail_msg("%s accepted: %s", task, *bad);
    mk_problem_release(&p);
}
#define LIST(...) \
    (const char *const[]) { __VA_ARGS__, NULL }

static void forms_of_answers(void **state)
{
    (void)state;
    try_answers(
        "clock", "17:05", "time 1025",
        LIST("17:05", "17:05.", "5:05 pm", "5:05pm", "5:05 p.m.", "at 17:05", "It is 17:05"),
        LIST("5:05", "05:05", "17", "17:5", "17:065", "5:05 am", "17:05 pm", "25:05", "17:65",
             "17:05 18:05", "5 pm"));
    try_answers("clock", "15:00", "time 900", LIST("15:00", "3 pm", "3:00 PM"), LIST("3:00", "15"));
    try_answers("clock", "00:10", "time 10", LIST("0:10", "00:10", "12:10 am"),
                LIST("12:10", "12:10 pm", "24:10", "0:10 am"));
    try_answers("clock", "3:20 pm", "time12 920", LIST("3:20 pm", "3:20pm"), LIST("15:20", "3:20"));
    try_answers("clock", "15:20", "time24 920", LIST("15:20"), LIST("3:20 pm", "3:20"));
    try_answers(
        "clock", "3 h 35 min", "span 215",
        LIST("3 h 35 min", "3h 35min", "3 hours and 35 minutes", "215 min", "3 hours, 35 min"),
        LIST("3:35", "215", "35 min 3 h", "3 h 35", "3 h 3 h", "3 h 35 min 1", "3 m 35 h"));
    try_answers("dates", "April 6", "date",
                LIST("April 6", "6 April", "april 6th", "Apr 6", "the 6th of April", "on April 6"),
                LIST("April", "6", "April 7", "June 6", "April 6 7", "April 6, 2023", "April 6st",
                     "April 6 May 6", "April 6 x"));
    try_answers("dates", "April 6, 2024", "date",
                LIST("April 6, 2024", "6 April 2024", "2024 April 6", "April 6"),
                LIST("April 6, 2025", "April 6 24"));
    try_answers("dates", "Friday", "weekday", LIST("Friday", "friday.", "a Friday", "on Friday"),
                LIST("Monday", "Fri day", "Friday Monday", "Friday or Monday"));
    try_answers("dates", "23", "days", LIST("23", "23 days"), LIST("24", "23 24", "23.5"));
    try_answers("units", "3500", "0 3500000000 1",
                LIST("3500", "3500 m", "3500m", "3500 Metres", "3500.0"),
                LIST("3500 km", "3500 cm", "3501", "3500 m 0 cm", "3500 x", "3,500", "35e2",
                     "3500 m m", "-3500",
                     "3500."
                     " 1"));
    try_answers(
        "units", "4 h 10 min", "9 4000000 0 10000000 1",
        LIST("4 h 10 min", "4 hours 10 minutes", "4 hours and 10 min", "4 hours, 10 minutes"),
        LIST("4 10", "4 h", "10 min 4 h", "4 h 10", "250 min", "4 h 10 min 0 s"));
    try_answers(
        "logic", "Ann, Bob", "", LIST("Ann, Bob", "Bob, Ann", "ann and bob", "Bob Ann."),
        LIST("Ann", "Ann, Ann", "Ann, Bob, Cid", "Ann, Bob, Ann", "Ann or Bob", "none", ","));
    try_answers("logic", "1, 3", "", LIST("1, 3", "3 and 1", "1 3"), LIST("13", "1", "1, 2, 3"));
    try_answers("order", "Ann, Bob, Cid", "",
                LIST("Ann, Bob, Cid", "Ann Bob Cid", "ann, bob and cid."),
                LIST("Cid, Bob, Ann", "Ann, Bob", "Ann, Bob, Cid, Dan", "Ann > Bob > Cid"));
}

/* ---- logic by truth tables ---- */

struct reader {
    const char *s;
    unsigned letters; /* bit k: the letter 'A' + k is true */
};
static bool read_or(struct reader *r);

static bool accept(struct reader *r, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(r->s, word, n) != 0) return false;
    r->s += n;
    return true;
}

static bool read_not(struct reader *r)
{
    if (accept(r, "not ")) return !read_not(r);
    if (accept(r, "(")) {
        const bool v = read_or(r);
        assert_true(accept(r, ")"));
        return v;
    }
    assert_true(*r->s >= 'A' && *r->s <= 'Z');
    return r->letters >> (*r->s++ - 'A') & 1;
}

/* One level holds one operation: the generator puts brackets around the others. */
static bool read_or(struct reader *r)
{
    const bool a = read_not(r);
    if (accept(r, " and ")) return read_not(r) && a;
    if (accept(r, " or ")) return read_not(r) || a;
    return a;
}

static unsigned read_letters(const char *s)
{
    unsigned on = 0;
    for (; *s && *s != '.'; s++)
        if (*s >= 'A' && *s <= 'Z' && s[1] == ' ') {
            const char *verb = strchr(s + 2, ' ');
            if (verb && !strncmp(verb, " true", 5)) on |= 1u << (*s - 'A');
        }
    return on;
}

static void formulas_have_their_value(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    int n_value = 0, n_which = 0;
    for (uint64_t i = 0; i < 8000; i++) {
        draw(&p, "logic", i, (int)(i % 5) - 2);
        struct reader r = {p.prompt.data, read_letters(p.prompt.data)};
        if (strstr(p.prompt.data, " 1: ")) {
            char want[64] = "";
            n_which++;
            for (int k = 1; k < 9; k++) {
                char head[8];
                snprintf(head, sizeof head, " %d: ", k);
                const char *at = strstr(p.prompt.data, head);
                if (!at) break;
                r.s = at + 4;
                if (read_or(&r)) snprintf(want + strlen(want), 8, "%s%d", want[0] ? ", " : "", k);
            }
            if (strcmp(want[0] ? want : "none", p.answer.data)) wrong(&p, want);
            continue;
        }
        static const char *const heads[] = {". Is the statement ", ". Is it true that ", ". Does ",
                                            ". Is "};
        if (strstr(p.prompt.data, "If ") || strstr(p.prompt.data, "When") ||
            strstr(p.prompt.data, " if "))
            continue;
        n_value++;
        for (size_t k = 0; k < 4; k++)
            if ((r.s = strstr(p.prompt.data, heads[k])) != NULL) {
                r.s += strlen(heads[k]);
                break;
            }
        assert_non_null(r.s);
        if (strcmp(read_or(&r) ? "yes" : "no", p.answer.data)) wrong(&p, "value");
    }
    assert_true(n_value > 1500 && n_which > 1500);
    mk_problem_release(&p);
}

struct literal {
    int letter;
    bool holds;
};

/* "A is true" or "A is not true" at s. */
static struct literal read_literal(const char *s)
{
    assert_true(s[0] >= 'A' && s[0] <= 'Z' && !strncmp(s + 1, " is ", 4));
    return (struct literal){s[0] - 'A', strncmp(s + 5, "not", 3) != 0};
}

/* Facts about bare letters: yes or no follows when it holds under every assignment of the letters
 * that makes the rules and the fact true. */
static void rules_follow(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    int n_seen = 0;
    for (uint64_t i = 0; n_seen < 400; i++) {
        draw(&p, "logic", i, (int)(i % 3) - 1);
        const char *ask = strstr(p.prompt.data, " true?");
        if (!ask || !strstr(p.prompt.data, "true.") ||
            (!strstr(p.prompt.data, "If ") && !strstr(p.prompt.data, "When") &&
             !strstr(p.prompt.data, " if ")))
            continue;
        n_seen++;
        struct literal from[16], to[16];
        int n = 0;
        unsigned used = 0;
        char *text = strdup(p.prompt.data), *save = NULL;
        for (char *s = strtok_r(text, ".?", &save); s; s = strtok_r(NULL, ".?", &save)) {
            s += *s == ' ';
            char *behind = strstr(s, " if "), *comma = strstr(s, ", ");
            if (!strncmp(s, "Is ", 3)) break;
            if (behind) {
                to[n] = read_literal(s), from[n] = read_literal(behind + 4);
            } else if (comma) {
                from[n] = read_literal(strchr(s, ' ') + 1);
                comma += strncmp(comma, ", then ", 7) ? 2 : 7;
                to[n] = read_literal(comma);
            } else { /* the fact: a rule from its own opposite */
                to[n] = from[n] = read_literal(s);
                from[n].holds = !from[n].holds;
            }
            used |= 1u << from[n].letter | 1u << to[n].letter;
            n++;
        }
        free(text);
        bool can[2] = {false, false};
        for (unsigned on = used;; on = (on - 1) & used) { /* every subset of the letters */
            bool fits = true;
            for (int k = 0; k < n && fits; k++)
                fits = (on >> from[k].letter & 1) != from[k].holds ||
                       (on >> to[k].letter & 1) == to[k].holds;
            if (fits) can[on >> (ask[-1] - 'A') & 1] = true;
            if (on == 0) break;
        }
        const char *want = can[0] && can[1] ? "unknown" : can[1] ? "yes" : "no";
        assert_true(can[0] || can[1]);
        if (strcmp(want, p.answer.data)) wrong(&p, want);
    }
    mk_problem_release(&p);
}

/* ---- dates by the C library ---- */

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
enum { DAY = 86400 };

/* The next date in *s, as seconds; a year that is not given is 2023.  -1: none. */
static time_t read_date(const char **s)
{
    const char *at = NULL;
    struct tm tm = {.tm_year = 123};
    for (int m = 0; m < 12; m++) {
        const char *x = strstr(*s, month_names[m]);
        if (x && (!at || x < at)) at = x, tm.tm_mon = m;
    }
    if (!at) return -1;
    const char *end = at + strlen(month_names[tm.tm_mon]), *before = at;
    while (before > *s && (before[-1] == ' ' || (before[-1] >= '0' && before[-1] <= '9'))) before--;
    char *e;
    tm.tm_mday = (int)strtol(before, &e, 10);
    if (e == before || e > at) tm.tm_mday = (int)strtol(end, &e, 10), end = e;
    end += strcspn(end, " ,?.");
    const long year = strtol(end + strspn(end, ", "), &e, 10);
    if (year > 1000) tm.tm_year = (int)year - 1900, end = e;
    *s = end;
    return timegm(&tm);
}

/* The number before " days" or " more days". */
static long read_days(const char *s)
{
    const char *d = strstr(s, " days");
    if (!d) return -1;
    if (d >= s + 5 && !strncmp(d - 5, " more", 5)) d -= 5;
    while (d > s && d[-1] >= '0' && d[-1] <= '9') d--;
    return strtol(d, NULL, 10);
}

static bool looks_back(const char *s)
{
    static const char *const words[] = {"before", "ago", "earlier", "leave?"};
    for (size_t i = 0; i < 4; i++)
        if (strstr(s, words[i])) return true;
    return false;
}

static int weekday_in(const char *s)
{
    for (int i = 0; i < 7; i++)
        if (strstr(s, day_names[i])) return i;
    return -1;
}

static bool check_date(const struct mk_problem *p)
{
    const char *s = p->prompt.data, *kind = p->data.data, *a = p->answer.data;
    const int weekday = weekday_in(s);
    if (!strcmp(kind, "days")) {
        time_t x = read_date(&s), y = read_date(&s);
        if (strstr(p->prompt.data, "days before")) { /* the later one comes first */
            const time_t first = x;
            x = y, y = first;
        }
        if (y < x) y += 365 * DAY; /* from December into January */
        return (y - x) / DAY == atol(a);
    }
    if (!strcmp(kind, "date")) {
        const long n = read_days(s) * (looks_back(s) ? -1 : 1);
        const time_t from = read_date(&s), to = read_date(&a);
        time_t want = from + n * DAY;
        struct tm x, y;
        gmtime_r(&want, &x), gmtime_r(&to, &y);
        const bool dated = strchr(p->answer.data, ',') != NULL;
        return x.tm_mon == y.tm_mon && x.tm_mday == y.tm_mday && (!dated || want == to);
    }
    const long n = read_days(s);
    if (n >= 0) return weekday_in(a) == ((weekday + (looks_back(s) ? -n : n)) % 7 + 7) % 7;
    if (strstr(s, "of a month")) {
        const char *to = strstr(p->prompt.data, "is the ");
        return weekday_in(a) == (weekday + atoi(to + 7) - atoi(p->prompt.data + 4)) % 7;
    }
    const time_t x = read_date(&s), y = read_date(&s);
    struct tm tm;
    gmtime_r(&x, &tm);
    const bool dated = tm.tm_year != 123;
    return (y - x) / DAY % 7 == (weekday_in(a) - weekday + 7) % 7 &&
           (!dated || tm.tm_wday == weekday);
}

static void dates_agree_with_libc(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    for (uint64_t i = 0; i < 10000; i++) {
        draw(&p, "dates", i, (int)(i % 5) - 2);
        if (!check_date(&p)) wrong(&p, "the calendar says otherwise");
    }
    mk_problem_release(&p);
}

/* ---- counting ---- */

static void letters_are_counted(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    for (uint64_t i = 0; i < 2000; i++) {
        draw(&p, "count", i, (int)(i % 5) - 2);
        struct mk_str word = {0}; /* the letters between the colons are the word */
        char letter = 0;
        int n = 0;
        const char *s = strchr(p.trace.data, ':') + 1;
        for (; *s && *s != ':'; s++) {
            if (*s >= 'a' && *s <= 'z') mk_str_addc(&word, *s);
            if (*s >= '1' && *s <= '9' && s[-1] >= 'a') letter = s[-1];
        }
        if (!strstr(p.prompt.data, word.data)) wrong(&p, "not the word");
        if (letter && letter != p.trace.data[0]) wrong(&p, "not the letter");
        for (size_t k = 0; k < word.len; k++) n += word.data[k] == letter;
        if (n != atoi(p.answer.data)) wrong(&p, "miscounted");
        mk_str_release(&word);
    }
    mk_problem_release(&p);
}

/* ---- what a constant answer earns ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void no_constant_answer_pays(void **state)
{
    (void)state;
    static const struct {
        const char *task;
        double most;
    } tasks[] = {{"word", 0.1},  {"logic", 0.3}, {"order", 0.15}, {"count", 0.5},
                 {"dates", 0.2}, {"clock", 0.1}, {"units", 0.1}};
    enum { N = 3000 };
    struct mk_problem p = {0};
    for (size_t k = 0; k < sizeof tasks / sizeof *tasks; k++) {
        char *answer[N];
        for (uint64_t i = 0; i < N; i++) {
            draw(&p, tasks[k].task, i, 0);
            answer[i] = strdup(p.answer.data);
        }
        qsort(answer, N, sizeof *answer, by_text);
        int run = 0, most = 0;
        for (int i = 0; i < N; i++) {
            run = i && !strcmp(answer[i], answer[i - 1]) ? run + 1 : 1;
            if (run > most) most = run;
        }
        if (most > tasks[k].most * N)
            fail_msg("%s: one answer is right %d times in %d", tasks[k].task, most, N);
        for (int i = 0; i < N; i++) free(answer[i]);
    }
    mk_problem_release(&p);
}

/* Yes, no and unknown, where they are the answers, are about equally likely. */
static void yes_and_no_balance(void **state)
{
    (void)state;
    struct mk_problem p = {0};
    for (int level = MK_LEVEL_EASIEST; level <= MK_LEVEL_HARDEST; level++) {
        int rules[3] = {0}, values[2] = {0};
        for (uint64_t i = 0; i < 4000; i++) {
            draw(&p, "logic", i, level);
            const int a = p.answer.data[0] == 'y' ? 0 : p.answer.data[0] == 'n' ? 1 : 2;
            if (strstr(p.trace.data, ", found,") || strstr(p.trace.data, ", end,"))
                rules[a]++;
            else if (!strcmp(p.answer.data, "yes") || !strcmp(p.answer.data, "no"))
                values[a]++;
        }
        const int all = rules[0] + rules[1] + rules[2];
        for (int k = 0; k < 3; k++) assert_in_range(rules[k] * 100 / all, 22, 44);
        assert_in_range(values[0] * 100 / (values[0] + values[1]), 42, 58);
    }
    mk_problem_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_answers),    cmocka_unit_test(formulas_have_their_value),
        cmocka_unit_test(rules_follow),        cmocka_unit_test(dates_agree_with_libc),
        cmocka_unit_test(letters_are_counted), cmocka_unit_test(no_constant_answer_pays),
        cmocka_unit_test(yes_and_no_balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
