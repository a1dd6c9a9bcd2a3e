/* Time of day: some hours and minutes later or earlier, how long from one time to another, and
 * between the 24-hour and the am/pm clock.  The trace works on minutes first, carries over 60 into
 * the hours and over 24 into the next day; am/pm times become 24-hour times and back. */
#include "train/int_words.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DAY = 24 * 60 };

static const char *am_pm(int hour) { return hour < 12 ? "am" : "pm"; }
static int hour_12(int hour) { return hour % 12 ? hour % 12 : 12; }

/* "14:05", or "2:05 pm" */
static const char *time_text(int minute, bool is_12h, char buf[32])
{
    const int h = minute / 60, m = minute % 60;
    if (is_12h)
        snprintf(buf, 32, "%d:%02d %s", hour_12(h), m, am_pm(h));
    else
        snprintf(buf, 32, "%02d:%02d", h, m);
    return buf;
}

/* The same in a question, where a full hour may be "3 pm". */
static const char *time_ask(int minute, bool is_12h, struct mk_rng *r, char buf[32])
{
    if (!is_12h || minute % 60 || mk_chance(r, 0.3)) return time_text(minute, is_12h, buf);
    snprintf(buf, 32, "%d %s", hour_12(minute / 60), am_pm(minute / 60));
    return buf;
}

/* "2 hours and 50 minutes" or "2 h 50 min" */
static const char *span_text(int minutes, bool is_short, char buf[48])
{
    const int h = minutes / 60, m = minutes % 60;
    const char *hours = is_short ? "h" : h == 1 ? "hour" : "hours";
    const char *mins = is_short ? "min" : m == 1 ? "minute" : "minutes";
    if (h && m)
        snprintf(buf, 48, "%d %s%s %d %s", h, hours, is_short ? "" : " and", m, mins);
    else
        snprintf(buf, 48, "%d %s", h ? h : m, h ? hours : mins);
    return buf;
}

static const char *span_ask(int minutes, struct mk_rng *r, char buf[48])
{
    return span_text(minutes, mk_chance(r, 0.4), buf);
}

/* ---- traces ---- */

/* Later by span.  Returns the minute of the day. */
static int work_later(struct mk_trace *t, int from, int span)
{
    const int dh = span / 60, dm = span % 60;
    int h = from / 60, m = from % 60;
    bool carry = false;
    if (dm) {
        m = (int)mk_trace_sum(t, m, dm);
        carry = m >= 60;
        mk_trace_say(t, carry ? "over;" : "fits;");
        if (carry) mk_trace_num(t, m - 60, "%d-60=", m), mk_trace_say(t, ";"), m -= 60;
    }
    if (dh) mk_trace_num(t, h + dh, "%d+%d=", h, dh);
    h += dh;
    if (carry) mk_trace_num(t, h + 1, "%d+1=", h);
    h += carry;
    if (h >= 24) {
        mk_trace_say(t, "over;");
        for (; h >= 24; h -= 24) mk_trace_num(t, h - 24, "%d-24=", h);
    }
    return h * 60 + m;
}

/* Earlier by span: what lacks is borrowed from the hours, and from the day before. */
static int work_earlier(struct mk_trace *t, int from, int span)
{
    int h = from / 60, m = from % 60, dh = span / 60;
    const int dm = span % 60;
    bool borrow = false;
    if (dm) {
        borrow = m < dm;
        if (borrow) {
            mk_trace_say(t, "%d<%d:", m, dm);
            mk_trace_num(t, m + 60, "%d+60=", m);
            mk_trace_say(t, ";");
            m += 60;
        }
        m = (int)mk_trace_difference(t, m, dm);
        mk_trace_say(t, ";");
    }
    if (borrow) mk_trace_num(t, dh + 1, "%d+1=", dh), mk_trace_say(t, ";");
    dh += borrow;
    for (; h < dh; h += 24) {
        mk_trace_say(t, "%d<%d:", h, dh);
        mk_trace_num(t, h + 24, "%d+24=", h);
        mk_trace_say(t, ";");
    }
    if (dh) mk_trace_num(t, h - dh, "%d-%d=", h, dh);
    return (h - dh) * 60 + m;
}

/* "2:35 pm is 14:35": the hour is a step. */
static void work_to_24(struct mk_trace *t, int minute)
{
    char buf[32];
    const int h = minute / 60;
    mk_trace_say(t, "%s is", time_text(minute, true, buf));
    if (h > 12) mk_trace_num(t, h, "%d+12=", h - 12);
    mk_trace_say(t, "%s;", time_text(minute, false, buf));
}

/* The end of a trace: "so 17:25", or "so 17:25; 17-12=5 5:25 pm". */
static void work_time(struct mk_trace *t, int minute, bool is_12h)
{
    char buf[32];
    const int h = minute / 60;
    mk_trace_say(t, "so %s", time_text(minute, false, buf));
    if (!is_12h) return;
    mk_trace_say(t, ";");
    if (h > 12) mk_trace_num(t, h - 12, "%d-12=", h);
    mk_trace_say(t, "%s", time_text(minute, true, buf));
}

/* ---- questions ---- */

static const char *const ask_later[] = {
    "It is {a}. [What time is it in|What time will it be in] {b}?",
    "What time is it {b} after {a}?",
    "It is {a} now. What time is it {b} later?",
    "A [train|bus|plane|ship] leaves at {a} and travels for {b}. When does it arrive?",
    "A [film|concert|lesson|game|meeting] starts at {a} and lasts {b}. When does it end?",
    "{n} starts [working|reading|running|to cook] at {a} and stops after {b}. When is that?",
    "A cake goes into the oven at {a} and bakes for {b}. When is it done?",
    "Add {b} to {a}.",
    "{n} sleeps from {a} for {b}. When does {n} wake up?",
};
static const char *const ask_earlier[] = {
    "It is {a}. What time was it {b} ago?",
    "What time is it {b} before {a}?",
    "It is {a} now. What time was it {b} earlier?",
    "A [train|bus|plane|ship] arrives at {a} after {b}. When did it leave?",
    "A [film|concert|lesson|game|meeting] lasts {b} and ends at {a}. When did it start?",
    "{n} must be there at {a} and needs {b} to get there. When must {n} leave?",
    "Take {b} away from {a}.",
    "{n} wakes up at {a} after {b} of sleep. When did {n} fall asleep?",
};
static const char *const ask_between[] = {
    "How long is it from {a} to {b}?",
    "A [film|concert|lesson|game|meeting] starts at {a} and ends at {b}. How long is it?",
    "A [train|bus|plane|ship] leaves at {a} and arrives at {b}. How long does it travel?",
    "{n} [works|reads|sleeps] from {a} to {b}. How long is that?",
    "How much time is there between {a} and {b}?",
    "It is {a}. How long is it until {b}?",
};
static const char *const ask_minutes[] = {
    "How many minutes [are there from|is it from|are] {a} to {b}?",
    "A [film|lesson|game] starts at {a} and ends at {b}. How many minutes does it last?",
    "{n} [works|reads|waits] from {a} to {b}. How many minutes is that?",
    "It is {a}. In how many minutes is it {b}?",
};

/* A way of some hours and minutes that suits the level. */
static int draw_span(struct mk_rng *r, int level)
{
    if (level < 0) return (int)mk_pick(r, 2, 59);
    const int h = (int)mk_pick(r, 0, level == 0 ? 9 : 14);
    const int m = mk_chance(r, 0.15) ? 0 : (int)mk_pick(r, 1, 59);
    return h * 60 + m ? h * 60 + m : 30;
}

/* A time of day, and for the lowest level one from which span stays within the hour. */
static int draw_time(struct mk_rng *r, int level, int span, bool later)
{
    int at = (int)mk_pick(r, 0, DAY - 1);
    if (level < -1) {
        const int lo = later ? 0 : span, hi = later ? 59 - span : 59;
        at = at / 60 * 60 + (int)mk_pick(r, lo, hi);
    } else if (mk_chance(r, 0.15)) {
        at = at / 60 * 60;
    } else if (mk_chance(r, 0.3)) {
        at = at / 5 * 5;
    }
    return at;
}

static void answer_time(struct mk_problem *p, int minute, bool is_12h)
{
    char buf[32];
    mk_str_add(&p->answer, time_text(minute, is_12h, buf));
    mk_str_addf(&p->data, "time %d", minute);
}

static void make_move(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    const struct mk_person *who[1];
    const bool is_12h = mk_chance(r, 0.4), later = mk_chance(r, 0.6);
    const int span = draw_span(r, p->level), from = draw_time(r, p->level, span, later);
    char a[32], b[48];
    mk_pick_people(r, who, 1);
    const char *args['n' - 'a' + 1] = {time_ask(from, is_12h, r, a), span_ask(span, r, b)};
    args['n' - 'a'] = who[0]->name;
    mk_phrase(&p->prompt, r, later ? MK_ANY(r, ask_later) : MK_ANY(r, ask_earlier), args);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    if (is_12h) work_to_24(&t, from);
    const int got = later ? work_later(&t, from, span) : work_earlier(&t, from, span);
    assert(got == (from + (later ? span : DAY - span)) % DAY);
    work_time(&t, got, is_12h);
    if (t.check) {
        char buf[32];
        mk_trace_say(&t, "; check:");
        const int back = later ? work_earlier(&t, got, span) : work_later(&t, got, span);
        mk_trace_say(&t, "so %s ok", time_text(back, false, buf));
    }
    mk_trace_end(&t);
    answer_time(p, got, is_12h);
}

static void make_between(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    const struct mk_person *who[1];
    const bool is_12h = mk_chance(r, 0.4), in_minutes = mk_chance(r, 0.35);
    const int span = draw_span(r, p->level), from = draw_time(r, p->level, span, true);
    const int to = (from + span) % DAY;
    char a[32], b[32], text[48];
    mk_pick_people(r, who, 1);
    const char *args['n' - 'a' + 1] = {time_ask(from, is_12h, r, a), time_ask(to, is_12h, r, b)};
    args['n' - 'a'] = who[0]->name;
    mk_phrase(&p->prompt, r, in_minutes ? MK_ANY(r, ask_minutes) : MK_ANY(r, ask_between), args);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    if (is_12h) work_to_24(&t, from), work_to_24(&t, to);
    work_earlier(&t, to, from);
    mk_trace_say(&t, "so %s", span_text(span, true, text));
    if (in_minutes && span >= 60) {
        mk_trace_say(&t, ";");
        mk_trace_num(&t, span / 60 * 60, "%d*60=", span / 60);
        if (span % 60) mk_trace_say(&t, ";"), mk_trace_sum(&t, span / 60 * 60, span % 60);
    }
    mk_trace_end(&t);
    if (in_minutes)
        mk_str_addf(&p->answer, "%d", span);
    else
        mk_str_add(&p->answer, span_text(span, true, text));
    mk_str_addf(&p->data, "%s %d", in_minutes ? "number" : "span", span);
}

/* From one clock to the other. */
static void make_clocks(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const to_24[] = {
        "What is {a} in [24-hour time|the 24-hour clock]?",
        "Write {a} [in 24-hour time|as 24-hour time|without am or pm].",
        "Convert {a} to the 24-hour clock.",
        "[On|With] the 24-hour clock, what time is {a}?",
        "How does a 24-hour clock show {a}?",
    };
    static const char *const to_12[] = {
        "What is {a} [with am or pm|in am/pm time|on a 12-hour clock]?",
        "Write {a} with am or pm.",
        "Convert {a} to [am/pm|12-hour] time.",
        "What time is {a} with am or pm?",
        "[On|With] a 12-hour clock, what time is {a}?",
    };
    const bool is_12h = mk_chance(r, 0.5);
    const int at = draw_time(r, 0, 0, true);
    char a[32];
    const char *args[] = {time_ask(at, is_12h, r, a)};
    mk_phrase(&p->prompt, r, is_12h ? MK_ANY(r, to_24) : MK_ANY(r, to_12), args);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const int h = at / 60;
    if (is_12h)
        mk_trace_say(&t, h > 12 ? "pm:" : h == 12 ? "12 pm is 12" : h ? "am" : "12 am is 00");
    else
        mk_trace_say(&t, h > 12 ? "over 12, pm:" : h == 12 ? "12 is pm" : h ? "am" : "00 is 12 am");
    if (h > 12 && is_12h) mk_trace_num(&t, h, "%d+12=", h - 12);
    if (h > 12 && !is_12h) mk_trace_num(&t, h - 12, "%d-12=", h);
    mk_trace_say(&t, ", so %s", time_text(at, !is_12h, a));
    mk_trace_end(&t);
    mk_str_add(&p->answer, time_text(at, !is_12h, a));
    mk_str_addf(&p->data, "%s %d", is_12h ? "time24" : "time12", at);
}

/* A journey of several parts, for the harder levels. */
static void make_journey(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const two[] = {
        "A [train|bus] leaves at {a}. It travels {b} and then {c}. When does it arrive?",
        "{n} starts at {a}, works for {b} and rests for {c}. What time is it then?",
        "A flight leaves at {a}, takes {b} and is late by {c}. When does it land?",
    };
    static const char *const three[] = {
        "A [train|bus] leaves at {a}. It travels {b}, waits {c} and travels {d}. When is it there?",
        "{n} starts at {a}, works for {b}, rests for {c} and works for {d}. What time is it then?",
        "It is {a}. {n} waits {b}, then {c}, then {d}. What time is it then?",
    };
    const struct mk_person *who[1];
    const int n = p->level + 1;
    const bool is_12h = mk_chance(r, 0.4);
    const int from = draw_time(r, p->level, 0, true);
    int span[3], at = from;
    char a[32], b[3][48];
    mk_pick_people(r, who, 1);
    const char *args['n' - 'a' + 1] = {time_ask(from, is_12h, r, a)};
    for (int i = 0; i < n; i++) {
        span[i] = draw_span(r, 0);
        args[1 + i] = span_ask(span[i], r, b[i]);
    }
    args['n' - 'a'] = who[0]->name;
    mk_phrase(&p->prompt, r, n == 2 ? MK_ANY(r, two) : MK_ANY(r, three), args);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    if (is_12h) work_to_24(&t, from);
    for (int i = 0; i < n; i++) {
        if (i) mk_trace_say(&t, ";");
        at = work_later(&t, at, span[i]);
        work_time(&t, at, is_12h && i == n - 1);
    }
    mk_trace_end(&t);
    answer_time(p, at, is_12h);
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    typedef void maker(struct mk_problem *, struct mk_rng *, const struct mk_trace_style *);
    static maker *const forms[] = {make_move,    make_move,    make_move,    make_move,
                                   make_between, make_between, make_between, make_clocks};
    static maker *const hard[] = {make_journey, make_journey, make_move, make_between};
    mk_problem_begin(p, &mk_task_clock, level);
    (level > 0 ? MK_ANY(r, hard) : MK_ANY(r, forms))(p, r, style);
}

/* ---- answers ---- */

enum clock_form { CLOCK_NONE, CLOCK_24, CLOCK_12 };

static bool read_int(const char **s, int max, int *out)
{
    int v = 0, n = 0;
    for (; isdigit((unsigned char)**s); (*s)++) {
        if (++n > 4) return false;
        v = v * 10 + (**s - '0');
    }
    *out = v;
    return n > 0 && v <= max;
}

/* Reads "7:25", "07:25", "7:25 pm", "7:25pm", "7 p.m.", with "at" or "it is" before it or not. */
static enum clock_form parse_time(const char *s, int *minute)
{
    static const char *const half[2][2] = {{"am", "a.m"}, {"pm", "p.m"}};
    int h, m = 0;
    if (!strncmp(s, "at ", 3)) s += 3;
    if (!strncmp(s, "it is ", 6)) s += 6;
    if (!read_int(&s, 23, &h)) return CLOCK_NONE;
    const bool has_minutes = *s == ':';
    if (has_minutes) {
        const char *start = ++s;
        if (!read_int(&s, 59, &m) || s != start + 2) return CLOCK_NONE;
    }
    *minute = h * 60 + m;
    if (!*s) return has_minutes ? CLOCK_24 : CLOCK_NONE;
    s += *s == ' ';
    for (int k = 0; k < 2; k++)
        if (!strcmp(s, half[k][0]) || !strcmp(s, half[k][1])) {
            *minute = (h % 12 + 12 * k) * 60 + m;
            return h >= 1 && h <= 12 ? CLOCK_12 : CLOCK_NONE;
        }
    return CLOCK_NONE;
}

/* Reads "3 h 35 min", "3 hours and 35 minutes", "35 min", "3h". */
static bool parse_span(const char *s, int *minutes)
{
    static const char *const units[2][4] = {{"h", "hour", "hours", "hrs"},
                                            {"min", "minute", "minutes", "mins"}};
    *minutes = 0;
    for (int last = -1; *s;) {
        int v, unit = -1;
        if (!strncmp(s, "and ", 4) && last >= 0) s += 4;
        if (!read_int(&s, 9999, &v)) return false;
        s += *s == ' ';
        const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz");
        for (int k = 0; k < 8; k++)
            if (strlen(units[k / 4][k % 4]) == n && !strncmp(s, units[k / 4][k % 4], n))
                unit = k / 4;
        if (unit <= last) return false; /* hours before minutes, each once */
        s += n;
        s += *s == ',';
        s += *s == ' ';
        *minutes += unit ? v : v * 60;
        last = unit;
    }
    return true;
}

/* A time may be written for either clock ("3 pm" is "15:00"), unless the question asks for one of
 * them; a length of time in hours and minutes or in minutes. */
static double verify(const struct mk_problem *p, const char *answer, size_t n)
{
    char buf[MK_ANSWER_MAX + 1], kind[16];
    int want, got = -1;
    if (sscanf(mk_str_c(&p->data), "%15s %d", kind, &want) != 2) return 0;
    if (!strcmp(kind, "number")) return mk_verify_number(p, answer, n);
    if (!mk_answer_clean(p, answer, n, buf)) return 0;
    if (!strcmp(kind, "span")) return parse_span(buf, &got) && got == want;
    const enum clock_form form = parse_time(buf, &got);
    if (!strcmp(kind, "time24") && form != CLOCK_24) return 0;
    if (!strcmp(kind, "time12") && form != CLOCK_12) return 0;
    return form != CLOCK_NONE && got == want;
}

const struct mk_task mk_task_clock = {
    .name = "clock",
    .about = "time of day, later, earlier, and how long",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = verify,
};
