/* The calendar: weekdays some days away, dates some days away, days between two dates.  Month
 * lengths stand in the trace; leap years come with the harder levels. */
#include "train/int_words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const weekdays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static bool is_leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static int days_in(int month, int year) /* months from 0; year 0: none is given */
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month] + (month == 1 && year && is_leap(year));
}

struct date {
    int year, month, day; /* month 0..11, day from 1; year 0: not given */
};

/* "March 17, 2023" */
static const char *date_text(struct date d, char buf[40])
{
    if (d.year)
        snprintf(buf, 40, "%s %d, %d", months[d.month], d.day, d.year);
    else
        snprintf(buf, 40, "%s %d", months[d.month], d.day);
    return buf;
}

static const char *ordinal(int n)
{
    static const char *const ends[] = {"th", "st", "nd", "rd"};
    return n / 10 == 1 || n % 10 > 3 ? "th" : ends[n % 10];
}

/* Monday is 0 (Sakamoto's rule). */
static int weekday_of(struct date d)
{
    static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
    const int y = d.year - (d.month < 2);
    return (y + y / 4 - y / 100 + y / 400 + shift[d.month] + d.day + 6) % 7;
}

/* As a person might write it in a question. */
static const char *date_ask(struct date d, struct mk_rng *r, char buf[40])
{
    char year[16] = "";
    const int form = (int)mk_pick(r, 0, 3);
    if (d.year) snprintf(year, sizeof year, form == 1 ? " %d" : ", %d", d.year);
    if (form == 1)
        snprintf(buf, 40, "%d %s%s", d.day, months[d.month], year);
    else
        snprintf(buf, 40, "%s %d%s%s", months[d.month], d.day, form == 2 ? ordinal(d.day) : "",
                 year);
    return buf;
}

/* ---- traces ---- */

static void work_leap(struct mk_trace *t, int year)
{
    mk_trace_say(t, "%d:", year);
    if (year % 100 == 0)
        mk_trace_num(t, year / 100 % 4, "%d/4 rest ", year / 100);
    else
        mk_trace_num(t, year % 4, "%02d/4 rest ", year % 100);
    mk_trace_say(t, is_leap(year) ? "leap," : "not leap,");
}

/* "March has 31"; a February of a given year at a harder level asks for the leap year first. */
static int work_month(struct mk_trace *t, int month, int year, int level)
{
    const int days = days_in(month, year);
    if (month == 1 && year && level > 0) work_leap(t, year);
    mk_trace_num(t, days, "%s has ", months[month]);
    return days;
}

static struct date month_next(struct date d)
{
    if (++d.month == 12) d.month = 0, d.year += d.year != 0;
    return d;
}

static struct date month_before(struct date d)
{
    if (--d.month < 0) d.month = 11, d.year -= d.year != 0;
    return d;
}

static struct date work_after(struct mk_trace *t, struct date d, int n, int level)
{
    int day = (int)mk_trace_sum(t, d.day, n);
    for (;;) {
        mk_trace_say(t, ";");
        const int days = work_month(t, d.month, d.year, level);
        if (day <= days) break;
        mk_trace_say(t, "over;");
        day = (int)mk_trace_difference(t, day, days);
        d = month_next(d);
    }
    mk_trace_say(t, "fits");
    d.day = day;
    return d;
}

static struct date work_before(struct mk_trace *t, struct date d, int n, int level)
{
    int day = d.day;
    while (day <= n) {
        d = month_before(d);
        mk_trace_say(t, "%d<=%d:", day, n);
        const int days = work_month(t, d.month, d.year, level);
        mk_trace_say(t, ";");
        day = (int)mk_trace_sum(t, day, days);
        mk_trace_say(t, ";");
    }
    d.day = (int)mk_trace_difference(t, day, n);
    return d;
}

/* The weekday n days on (step 1) or back (-1), counted name by name. */
static int work_weekday(struct mk_trace *t, int from, int n, int step)
{
    if (n >= 7) {
        const int weeks = (int)mk_trace_quotient(t, n, 7);
        if (n % 7 == 0) mk_trace_say(t, "r 0");
        mk_trace_say(t, ";");
        n -= 7 * weeks;
    }
    mk_trace_say(t, "0 %s", weekdays[from]);
    for (int i = 1; i <= n; i++) {
        const int at = (from + 7 + step * i) % 7, wrong = (at + 7 + step) % 7;
        mk_trace_word(t, weekdays[at], weekdays[wrong], "%d ", i);
    }
    return (from + 7 + step * n) % 7;
}

/* Days from a to b, which is later. */
static int work_between(struct mk_trace *t, struct date a, struct date b, int level)
{
    if (a.month == b.month && a.year == b.year) return (int)mk_trace_difference(t, b.day, a.day);
    int n = work_month(t, a.month, a.year, level);
    mk_trace_say(t, ";");
    n = (int)mk_trace_difference(t, n, a.day);
    for (a = month_next(a); a.month != b.month; a = month_next(a)) {
        mk_trace_say(t, ";");
        const int days = work_month(t, a.month, a.year, level);
        mk_trace_say(t, ";");
        n = (int)mk_trace_sum(t, n, days);
    }
    mk_trace_say(t, "; %s;", months[b.month]);
    return (int)mk_trace_sum(t, n, b.day);
}

/* ---- questions ---- */

/* Largest numbers of days at the levels. */
static const int span_lo[] = {1, 2, 2, 61, 200}, span_hi[] = {6, 20, 60, 200, 700};
static const int move_lo[] = {1, 1, 1, 41, 80}, move_hi[] = {9, 25, 40, 80, 150};

static struct date draw_date(struct mk_rng *r, int level)
{
    struct date d = {0};
    if (level > 1 && mk_chance(r, 0.2))
        d.year = (int)mk_pick(r, 17, 23) * 100;
    else if (level > 0)
        d.year = (int)mk_pick(r, 1901, 2099);
    else if (level == 0 && mk_chance(r, 0.3))
        do d.year = (int)mk_pick(r, 2001, 2050);
        while (is_leap(d.year));
    d.month = (int)mk_pick(r, 0, 11);
    d.day = (int)mk_pick(r, 1, days_in(d.month, d.year));
    return d;
}

/* Whether the way from d over n days needs the length of a February in no year. */
static bool is_vague(struct date d, int n)
{
    if (d.year) return false;
    for (int left = d.day + n; left > 0; left -= days_in(d.month, 0), d = month_next(d))
        if (d.month == 1 && left > 28) return true;
    return false;
}

static struct date date_move(struct date d, int n)
{
    for (d.day += n; d.day > days_in(d.month, d.year); d = month_next(d))
        d.day -= days_in(d.month, d.year);
    while (d.day < 1) {
        d = month_before(d);
        d.day += days_in(d.month, d.year);
    }
    return d;
}

static void ask_weekday(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const after[] = {
        "Today is {a}. [What|Which] [day of the week|weekday|day] is it in {b} days?",
        "Today is {a}. What day will it be {b} days from now?",
        "What day of the week is {b} days after [a |]{a}?",
        "If today is {a}, what [day|weekday] [is it|comes] in {b} days?",
        "It is {a}. Which weekday is it after {b} days?",
        "{b} days after a {a}: which weekday is that?",
        "A trip starts on a {a} and takes {b} days. On which weekday does it end?",
    };
    static const char *const before[] = {
        "Today is {a}. [What|Which] [day of the week|weekday|day] was it {b} days ago?",
        "What day of the week was {b} days before [a |]{a}?",
        "If today is {a}, what [day|weekday] was it {b} days ago?",
        "It is {a}. Which weekday was it {b} days earlier?",
        "{b} days before a {a}: which weekday is that?",
    };
    const int k = p->level - MK_LEVEL_EASIEST;
    const int from = (int)mk_pick(r, 0, 6), n = (int)mk_pick(r, span_lo[k], span_hi[k]);
    const bool forward = mk_chance(r, 0.6);
    mk_phrase(&p->prompt, r, forward ? MK_ANY(r, after) : MK_ANY(r, before),
              (const char *[]){weekdays[from], mk_num(n)});
    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const int got = work_weekday(&t, from, n, forward ? 1 : -1);
    mk_trace_end(&t);
    mk_str_add(&p->answer, weekdays[got]);
    mk_str_add(&p->data, "weekday");
}

/* "If March 3 is a Monday, what is March 21?" */
static void ask_weekday_of(struct mk_problem *p, struct mk_rng *r,
                           const struct mk_trace_style *style)
{
    static const char *const ask[] = {
        "If {a} is a {b}, what [day of the week|weekday] is {c}?",
        "{a} is a {b}. [What|Which] [day of the week|weekday|day] is {c}?",
        "{a} [falls|is] on a {b}. On which weekday [does {c} fall|is {c}]?",
        "The {d} of a month is a {b}. Which weekday is the {e} of that month?",
    };
    char a_text[40], b_text[40], a_day[16], b_day[16];
    struct date a, b;
    do {
        a = draw_date(r, p->level);
        b = a;
        b.day = (int)mk_pick(r, 1, days_in(a.month, a.year));
    } while (b.day <= a.day);
    if (p->level > 0) b = date_move(a, (int)mk_pick(r, 32, 60));
    const int form = (int)mk_pick(r, 0, p->level > 0 || a.year ? 2 : 3);
    const int from = a.year ? weekday_of(a) : (int)mk_pick(r, 0, 6);
    snprintf(a_day, sizeof a_day, "%d%s", a.day, ordinal(a.day));
    snprintf(b_day, sizeof b_day, "%d%s", b.day, ordinal(b.day));
    const char *args[] = {date_ask(a, r, a_text), weekdays[from], date_ask(b, r, b_text), a_day,
                          b_day};
    mk_phrase(&p->prompt, r, ask[form], args);
    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const int n = work_between(&t, a, b, p->level);
    mk_trace_say(&t, ";");
    const int got = work_weekday(&t, from, n, 1);
    mk_trace_end(&t);
    mk_str_add(&p->answer, weekdays[got]);
    mk_str_add(&p->data, "weekday");
}

static void ask_date(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const after[] = {
        "[What|Which] date is {b} days after {a}?",
        "Today is {a}. [What|Which] date is it in {b} days?",
        "[What is the date|Which date is it] {b} days from {a}?",
        "It is {a}. What will the date be after {b} [more |]days?",
        "A ship leaves on {a} and sails for {b} days. On which date does it arrive?",
        "A parcel is sent on {a} and takes {b} days. When does it arrive?",
        "Add {b} days to {a}.",
    };
    static const char *const before[] = {
        "[What|Which] date is {b} days before {a}?",
        "Today is {a}. [What|Which] date was it {b} days ago?",
        "It is {a}. What was the date {b} days earlier?",
        "A ship arrives on {a} after {b} days. When did it leave?",
    };
    const int k = p->level - MK_LEVEL_EASIEST;
    const bool forward = mk_chance(r, 0.6);
    char text[40];
    struct date d;
    int n;
    do { /* without a year, no way over the end of February; at the lowest level, within a month */
        d = draw_date(r, p->level);
        n = (int)mk_pick(r, move_lo[k], move_hi[k]);
    } while (is_vague(forward ? d : date_move(d, -n), n) ||
             (p->level < -1 && date_move(d, forward ? n : -n).month != d.month));
    mk_phrase(&p->prompt, r, forward ? MK_ANY(r, after) : MK_ANY(r, before),
              (const char *[]){date_ask(d, r, text), mk_num(n)});
    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const struct date got =
        forward ? work_after(&t, d, n, p->level) : work_before(&t, d, n, p->level);
    mk_trace_say(&t, ", so %s", date_text(got, text));
    if (t.check) { /* the days between the two dates */
        mk_trace_say(&t, "; check:");
        work_between(&t, forward ? d : got, forward ? got : d, p->level);
        mk_trace_say(&t, "ok");
    }
    mk_trace_end(&t);
    mk_str_add(&p->answer, date_text(got, text));
    mk_str_add(&p->data, "date");
}

static void ask_between(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const ask[] = {
        "How many days are [there |]between {a} and {b}?",
        "How many days are there from {a} to {b}?",
        "How many days [is it|are] from {a} to {b}?",
        "How many days after {a} is {b}?",
        "How many days before {b} is {a}?",
        "Today is {a}. In how many days is it {b}?",
        "A holiday starts on {a} and ends on {b}. How many days later is that?",
        "It is {a}. How many days is it until {b}?",
    };
    static const int longest[] = {20, 40, 55, 100, 160}, shortest[] = {1, 1, 1, 40, 70};
    const int k = p->level - MK_LEVEL_EASIEST;
    char a_text[40], b_text[40];
    struct date a, b;
    int n;
    do { /* the same month, or the next; more months at the harder levels */
        a = draw_date(r, p->level);
        n = (int)mk_pick(r, shortest[k], longest[k]);
        b = date_move(a, n);
    } while (is_vague(a, n) ||
             (p->level < 1 && b.month != a.month && b.month != (a.month + 1) % 12) ||
             (p->level < -1 && b.month != a.month));
    const char *from = date_ask(a, r, a_text), *to = date_ask(b, r, b_text);
    mk_phrase(&p->prompt, r, MK_ANY(r, ask), (const char *[]){from, to});
    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const int got = work_between(&t, a, b, p->level);
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(got));
    mk_str_add(&p->data, "days");
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    typedef void maker(struct mk_problem *, struct mk_rng *, const struct mk_trace_style *);
    static maker *const forms[] = {ask_weekday, ask_weekday_of, ask_date, ask_date, ask_between};
    mk_problem_begin(p, &mk_task_dates, level);
    forms[mk_pick(r, 0, MK_COUNT(forms) - 1)](p, r, style);
}

/* ---- answers ---- */

/* The month that a word names, in full or by its first three letters; -1: none. */
static int month_of(const char *w)
{
    const size_t n = strlen(w);
    for (int i = 0; i < 12; i++)
        if (strcasecmp(w, months[i]) == 0 || (n == 3 && strncasecmp(w, months[i], 3) == 0))
            return i;
    return -1;
}

/* Reads "17", "17th" or "2023"; -1 for anything else. */
static int number_of(const char *w)
{
    int v = 0;
    size_t i = 0;
    for (; isdigit((unsigned char)w[i]); i++) {
        if (i == 4) return -1;
        v = v * 10 + (w[i] - '0');
    }
    if (i == 0) return -1;
    return !w[i] || (i <= 2 && strcmp(w + i, ordinal(v)) == 0) ? v : -1;
}

/* A month, a day and perhaps a year, and nothing else but "the", "of" and "on": "April 6",
 * "6 April 2023", "the 6th of April". */
static bool parse_date(const struct mk_problem *p, const char *text, size_t n, struct date *out)
{
    char buf[MK_ANSWER_MAX + 1];
    if (!mk_answer_clean(p, text, n, buf)) return false;
    struct date d = {0, -1, 0};
    for (char *save = NULL, *w = strtok_r(buf, " ,", &save); w; w = strtok_r(NULL, " ,", &save)) {
        const int month = month_of(w), number = number_of(w);
        if (month >= 0 && d.month < 0)
            d.month = month;
        else if (number >= 1 && number <= 31 && !d.day)
            d.day = number;
        else if (number >= 1000 && !d.year)
            d.year = number;
        else if (strcmp(w, "the") && strcmp(w, "of") && strcmp(w, "on"))
            return false;
    }
    *out = d;
    return d.month >= 0 && d.day;
}

/* A date may be written as parse_date reads it and lack its year; a weekday may have "a" or "on"
 * before it; days are a number. */
static double verify(const struct mk_problem *p, const char *answer, size_t n)
{
    const char *kind = mk_str_c(&p->data);
    if (strcmp(kind, "days") == 0) return mk_verify_number(p, answer, n);
    if (strcmp(kind, "date") == 0) {
        struct date want, got;
        if (!parse_date(p, mk_str_c(&p->answer), p->answer.len, &want)) return 0;
        if (!parse_date(p, answer, n, &got)) return 0;
        return want.month == got.month && want.day == got.day &&
               (!got.year || got.year == want.year);
    }
    char buf[MK_ANSWER_MAX + 1];
    if (!mk_answer_clean(p, answer, n, buf)) return 0;
    const char *day = buf + (!strncmp(buf, "a ", 2) ? 2 : !strncmp(buf, "on ", 3) ? 3 : 0);
    return strcasecmp(day, mk_str_c(&p->answer)) == 0;
}

const struct mk_task mk_task_dates = {
    .name = "dates",
    .about = "weekdays, dates and the days between them",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = verify,
};
