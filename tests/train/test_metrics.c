/* Metrics: lines, TensorBoard's frames, going on after a kill, and warnings. */
#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"
#include "train/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static int set_up(void **state)
{
    static char dir[40];
    strcpy(dir, "/tmp/mk-metrics-XXXXXX");
    *state = dir;
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state) { return mk_folder_remove(*state, NULL) ? 0 : -1; }

static struct mk_metrics *open_run(const char *run, uint64_t from)
{
    struct mk_metrics *m;
    struct mk_err err;
    if (!mk_metrics_open(&m, run, from, &err)) fail_msg("%s", err.msg);
    return m;
}

static void step(struct mk_metrics *m, uint64_t at, double loss)
{
    struct mk_err err;
    mk_metrics_put(m, "loss", loss);
    if (!mk_metrics_step(m, at, &err)) fail_msg("%s", err.msg);
}

static struct mk_str read_text(const char *run, const char *name)
{
    struct mk_str path = {0}, text = {0};
    struct mk_err err;
    mk_str_addf(&path, "%s/%s", run, name);
    if (!mk_file_read(&text, path.data, 1 << 20, &err)) fail_msg("%s", err.msg);
    mk_str_release(&path);
    return text;
}

static void append_bytes(const char *run, const char *bytes, size_t n)
{
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/metrics.jsonl", run);
    FILE *f = fopen(path.data, "a");
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    mk_str_release(&path);
}

static void append_text(const char *run, const char *text)
{
    append_bytes(run, text, strlen(text));
}

static struct mk_history history(const char *run)
{
    struct mk_history h;
    struct mk_err err;
    if (!mk_history_read(&h, run, &err)) fail_msg("%s", err.msg);
    return h;
}

static size_t count_files(const char *run, const char *start, struct mk_str *name)
{
    struct mk_folder_list l;
    size_t n = 0;
    assert_true(mk_folder_list(&l, run, NULL));
    for (size_t i = 0; i < l.n; i++) {
        if (strncmp(l.v[i], start, strlen(start))) continue;
        n++;
        mk_str_clear(name);
        mk_str_add(name, l.v[i]);
    }
    mk_folder_list_release(&l);
    return n;
}

/* ---- lines ------------------------------------------------------------------------------ */

static void lines_keep_order_and_digits(void **state)
{
    struct mk_metrics *m = open_run(*state, 0);
    struct mk_err err;
    mk_metrics_put(m, "zeta", 1);
    mk_metrics_put(m, "alpha \"x\"", 0.1);
    mk_metrics_put(m, "zeta", 1.0 / 3); /* replaces */
    mk_metrics_put(m, "big", 12345678901234567890.0);
    mk_metrics_put(m, "bad", (double)NAN);
    mk_metrics_put(m, "worse", (double)-INFINITY);
    assert_true(mk_metrics_step(m, 7, &err));
    assert_true(mk_metrics_step(m, 8, &err)); /* nothing was put */
    mk_metrics_close(m);

    struct mk_str text = read_text(*state, "metrics.jsonl");
    const char *values = strstr(text.data, ",\"zeta\":");
    assert_memory_equal(text.data, "{\"step\":7,\"time\":", 17);
    assert_non_null(values);
    static const char want[] = ",\"zeta\":0.3333333333333333,\"alpha \\\"x\\\"\":0.1,"
                               "\"big\":1.2345678901234567e+19,\"bad\":null,\"worse\":null}\n"
                               "{\"step\":8,\"time\":";
    assert_memory_equal(values, want, sizeof want - 1);
    mk_str_release(&text);

    struct mk_history h = history(*state);
    assert_int_equal(h.n, 6);
    assert_string_equal(h.list[1].name, "zeta");
    assert_true(mk_history_find(&h, "zeta")->value[0] == 1.0 / 3);
    assert_true(mk_history_find(&h, "big")->value[0] == 12345678901234567890.0);
    assert_true(isnan(mk_history_find(&h, "bad")->value[0]));
    assert_true(mk_history_find(&h, "zeta")->step[0] == 7);
    assert_int_equal(mk_history_find(&h, "time")->n, 2);
    assert_true(mk_history_find(&h, "time")->value[0] > 1.7e9);
    assert_null(mk_history_find(&h, "step"));
    mk_history_release(&h);
}

static void a_resume_cuts_off(void **state)
{
    struct mk_metrics *m = open_run(*state, 0);
    for (uint64_t i = 0; i < 10; i++) step(m, i, (double)i);
    mk_metrics_close(m);
    m = open_run(*state, 6);
    for (uint64_t i = 6; i < 8; i++) step(m, i, 100 + (double)i);
    mk_metrics_close(m);
    struct mk_history h = history(*state);
    const struct mk_series *loss = mk_history_find(&h, "loss");
    static const double want[] = {0, 1, 2, 3, 4, 5, 106, 107};
    assert_int_equal(loss->n, 8);
    for (size_t i = 0; i < 8; i++) assert_true(loss->value[i] == want[i] && loss->step[i] == i);
    mk_history_release(&h);
    struct mk_str name = {0};
    assert_int_equal(count_files(*state, "events.out.tfevents.", &name), 1);
    mk_str_release(&name);
}

static void a_damaged_end_is_dropped(void **state)
{
    static const char *const ends[] = {"{\"step\":3,\"ti", "{", "", "nonsense\n", "[3]\n"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct mk_metrics *m = open_run(*state, 0);
        for (uint64_t s = 0; s < 3; s++) step(m, s, 1);
        mk_metrics_close(m);
        if (*ends[i])
            append_text(*state, ends[i]);
        else
            append_bytes(*state, "\0\0\0", 3); /* after a loss of power */
        struct mk_history h = history(*state);
        assert_int_equal(mk_history_find(&h, "loss")->n, 3);
        mk_history_release(&h);
        m = open_run(*state, 3);
        step(m, 3, 2);
        mk_metrics_close(m);
        h = history(*state);
        assert_int_equal(mk_history_find(&h, "loss")->n, 4);
        mk_history_release(&h);
    }
    /* A last line that only lacks its newline is whole. */
    append_text(*state, "{\"step\":4,\"time\":1,\"loss\":5}");
    struct mk_metrics *m = open_run(*state, 5);
    step(m, 5, 6);
    mk_metrics_close(m);
    struct mk_history h = history(*state);
    assert_int_equal(mk_history_find(&h, "loss")->n, 6);
    assert_true(mk_history_find(&h, "loss")->value[4] == 5);
    mk_history_release(&h);
}

/* Nothing is thrown away when a line in the middle cannot be read. */
static void other_damage_is_an_error(void **state)
{
    static const struct {
        const char *line, *message;
    } bad[] = {{"{\"step\":3,\"ti\n", "line 2 is no JSON object"},
               {"{\"time\":1}\n", "line 2: step is missing"},
               {"{\"step\":-1}\n", "line 2: step is missing or no count"},
               {"{\"step\":1.5}\n", "line 2: step is missing or no count"},
               {"{\"step\":3,\"loss\":\"x\"}\n", "line 2: loss is not a number"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mk_metrics *m = open_run(*state, 0);
        struct mk_history h;
        struct mk_err err;
        struct mk_str name = {0};
        step(m, 0, 1);
        mk_metrics_close(m);
        append_text(*state, bad[i].line);
        append_text(*state, "{\"step\":4,\"time\":1,\"loss\":1}\n");
        struct mk_str before = read_text(*state, "metrics.jsonl");
        assert_false(mk_history_read(&h, *state, &err));
        assert_int_equal(err.code, MK_EFORMAT);
        assert_non_null(strstr(err.msg, "metrics.jsonl"));
        if (!strstr(err.msg, bad[i].message)) fail_msg("%s", err.msg);
        assert_false(mk_metrics_open(&m, *state, 1, &err));
        struct mk_str after = read_text(*state, "metrics.jsonl");
        assert_string_equal(before.data, after.data);
        assert_int_equal(count_files(*state, "events.out.tfevents.", &name), 1);
        mk_str_release(&name);
        mk_str_release(&before);
        mk_str_release(&after);
        mk_str_add(&name, *state);
        mk_str_add(&name, "/metrics.jsonl");
        remove(name.data);
        mk_str_release(&name);
    }
}

static void set_file_limit(rlim_t n)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* The file may not grow further: the step fails, its half line goes, and later ones are whole. */
static void a_full_disk_loses_one_step(void **state)
{
    struct mk_metrics *m = open_run(*state, 0);
    struct mk_err err;
    signal(SIGXFSZ, SIG_IGN);
    step(m, 0, 1);
    struct mk_str before = read_text(*state, "metrics.jsonl");
    set_file_limit(before.len + 20);
    mk_metrics_put(m, "loss", 2);
    assert_false(mk_metrics_step(m, 1, &err));
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(err.code, MK_EIO);
    assert_non_null(strstr(err.msg, "metrics.jsonl"));
    struct mk_str after = read_text(*state, "metrics.jsonl");
    assert_string_equal(before.data, after.data);
    step(m, 2, 3);
    mk_metrics_close(m);
    struct mk_history h = history(*state);
    assert_int_equal(mk_history_find(&h, "loss")->n, 2);
    assert_true(mk_history_find(&h, "loss")->step[1] == 2);
    mk_history_release(&h);
    mk_str_release(&before);
    mk_str_release(&after);
}

/* ---- TensorBoard ------------------------------------------------------------------------ */

/* Bit by bit, from the definition. */
static uint32_t crc32c(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            const uint32_t in = (uint32_t)(p[i] >> bit) & 1;
            crc = (crc >> 1) ^ ((crc ^ in) & 1 ? 0x82f63b78u : 0);
        }
    return ~crc;
}

static uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

struct reader {
    const uint8_t *p, *end;
};

static uint64_t varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; r->p < r->end; shift += 7) {
        const uint8_t byte = *r->p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return v;
    }
    fail_msg("varint without end");
    return 0;
}

/* The next field: its number, and its bytes (a varint's value in *v). */
static unsigned field(struct reader *r, struct reader *bytes, uint64_t *v)
{
    const uint64_t key = varint(r);
    size_t n = 0;
    switch (key & 7) {
    case 0:
        *v = varint(r);
        break;
    case 1:
        n = 8;
        break;
    case 2:
        n = varint(r);
        break;
    case 5:
        n = 4;
        break;
    default:
        fail_msg("wire type %u", (unsigned)key & 7);
    }
    assert_true(n <= (size_t)(r->end - r->p));
    *bytes = (struct reader){r->p, r->p + n};
    r->p += n;
    return (unsigned)(key >> 3);
}

struct event {
    double time;
    uint64_t step;
    char version[32];
    bool is_start;
    char tag[2][32];
    float value[2];
    size_t n;
};

static void read_value(struct event *e, struct reader r)
{
    struct reader b;
    uint64_t v;
    assert_true(e->n < 2);
    while (r.p < r.end) {
        if (field(&r, &b, &v) == 1)
            memcpy(e->tag[e->n], b.p, (size_t)(b.end - b.p));
        else
            memcpy(&e->value[e->n], b.p, 4);
    }
    e->n++;
}

/* Checks both sums of a frame and takes its event apart. */
static struct event next_event(struct reader *file)
{
    struct event e = {0};
    struct reader r, b, c;
    uint64_t n, v = 0;
    uint32_t crc;
    assert_true(file->end - file->p >= 16);
    memcpy(&n, file->p, 8);
    memcpy(&crc, file->p + 8, 4);
    assert_int_equal(crc, masked(crc32c(file->p, 8)));
    assert_true(n <= (size_t)(file->end - file->p) - 16);
    r = (struct reader){file->p + 12, file->p + 12 + n};
    memcpy(&crc, r.end, 4);
    assert_int_equal(crc, masked(crc32c(r.p, n)));
    file->p = r.end + 4;
    while (r.p < r.end) switch (field(&r, &b, &v)) {
        case 1:
            memcpy(&e.time, b.p, 8);
            break;
        case 2:
            e.step = v;
            break;
        case 3:
            memcpy(e.version, b.p, (size_t)(b.end - b.p));
            break;
        case 5:
            while (b.p < b.end) {
                assert_int_equal(field(&b, &c, &v), 1);
                read_value(&e, c);
            }
            break;
        case 7:
            e.is_start = field(&b, &c, &v) == 1 && v == 1;
            break;
        default:
            fail_msg("unknown field");
        }
    return e;
}

static void frames_are_tensorboards(void **state)
{
    assert_int_equal(crc32c("123456789", 9), 0xe3069283); /* RFC 3720, as the literature has it */
    struct mk_metrics *m = open_run(*state, 0);
    struct mk_err err;
    struct mk_str name = {0};
    mk_metrics_put(m, "loss", 2.5);
    mk_metrics_put(m, "accuracy/add", 0.1);
    assert_true(mk_metrics_step(m, 3, &err));
    mk_metrics_put(m, "loss", (double)NAN);
    assert_true(mk_metrics_step(m, 300, &err));
    mk_metrics_close(m);

    for (int round = 0; round < 2; round++) { /* as written, and as made again from the lines */
        assert_int_equal(count_files(*state, "events.out.tfevents.", &name), 1);
        struct mk_str text = read_text(*state, name.data);
        struct reader file = {(uint8_t *)text.data, (uint8_t *)text.data + text.len};
        struct event e = next_event(&file);
        assert_string_equal(e.version, "brain.Event:2");
        e = next_event(&file);
        assert_true(e.is_start);
        e = next_event(&file);
        assert_int_equal(e.step, 3);
        assert_true(e.time > 1.7e9);
        assert_int_equal(e.n, 2);
        assert_string_equal(e.tag[0], "loss");
        assert_string_equal(e.tag[1], "accuracy/add");
        assert_true(e.value[0] == 2.5f && e.value[1] == 0.1f);
        e = next_event(&file);
        assert_int_equal(e.step, 300);
        assert_int_equal(e.n, 1);
        assert_true(isnan(e.value[0]));
        assert_true(file.p == file.end);
        mk_str_release(&text);
        struct mk_str before = {0};
        mk_str_add(&before, name.data);
        mk_metrics_close(open_run(*state, 301));
        assert_int_equal(count_files(*state, "events.out.tfevents.", &name), 1);
        assert_true(strcmp(name.data, before.data) > 0); /* a later name */
        mk_str_release(&before);
    }
    mk_str_release(&name);
}

/* ---- warnings --------------------------------------------------------------------------- */

static struct mk_metrics *run;
static uint64_t at;

/* A step with one or two values; returns its warning. */
static const char *with(const char *name, double v, const char *name2, double v2)
{
    struct mk_err err;
    mk_metrics_put(run, name, v);
    if (name2) mk_metrics_put(run, name2, v2);
    assert_true(mk_metrics_step(run, at++, &err));
    return mk_metrics_warning(run);
}

static void expect(const char *warning, const char *part)
{
    if (!warning || !strstr(warning, part)) fail_msg("%s, want %s", warning, part);
    assert_null(mk_metrics_warning(run)); /* that was all */
}

static void warns_of_values(void **state)
{
    static const struct {
        const char *name;
        double good, bad;
        const char *text;
    } list[] = {{"completions/no_eos", 0.99, 1, "no sample ended by itself"},
                {"completions/clipped_ratio", 0.5, 0.6, "60% of the samples were cut"},
                {"max_vio", 4, 4.5, "max_vio 4.5"},
                {"loss", 1, (double)NAN, "the loss is no number"},
                {"loss", 1, (double)INFINITY, "the loss is no number"}};
    run = open_run(*state, 0);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        assert_null(with(list[i].name, list[i].good, NULL, 0));
        expect(with(list[i].name, list[i].bad, NULL, 0), list[i].text);
        assert_null(with(list[i].name, list[i].bad, NULL, 0)); /* known */
        assert_null(with(list[i].name, list[i].good, NULL, 0));
        expect(with(list[i].name, list[i].bad, NULL, 0), list[i].text); /* again */
    }
    mk_metrics_close(run);
}

static void warns_of_equal_rewards(void **state)
{
    run = open_run(*state, 0);
    for (int i = 0; i < 4; i++) assert_null(with("reward_std", 0, "reward", 1));
    assert_null(with("reward_std", 0.1, "reward", 1));
    for (int i = 0; i < 4; i++) assert_null(with("reward_std", 0, "reward", 1));
    expect(with("reward_std", 0, "reward", 1), "reward_std is 0 for 5 steps");
    mk_metrics_close(run);
}

static void warns_of_a_rising_loss(void **state)
{
    run = open_run(*state, 0);
    for (int i = 0; i < 40; i++) assert_null(with("loss", 3 - 0.05 * i, NULL, 0)); /* to 1.05 */
    assert_null(with("loss", 10, NULL, 0)); /* one bad batch is no trend */
    const char *warning = NULL;
    int n = 0;
    for (; n < 25 && !warning; n++) warning = with("loss", 4, NULL, 0);
    expect(warning, "the loss rises");
    assert_in_range(n, 5, 20);
    mk_metrics_close(run);
    /* The loss of RL is about zero and says nothing. */
    run = open_run(*state, 0);
    for (int i = 0; i < 60; i++) assert_null(with("loss", i < 30 ? 1e-6 : 1e-3, "reward", 0.5));
    mk_metrics_close(run);
}

static void warns_of_a_jumping_norm(void **state)
{
    run = open_run(*state, 0);
    assert_null(with("grad_norm", 50, NULL, 0)); /* at the start everything is large */
    for (int i = 0; i < 19; i++) assert_null(with("grad_norm", 1 + 0.01 * i, NULL, 0));
    assert_null(with("grad_norm", 10, NULL, 0));
    expect(with("grad_norm", 11.5, NULL, 0), "grad_norm 11.5 is over ten times its median 1.1");
    mk_metrics_close(run);
}

/* Two at once are two texts, and a resumed run knows what came before. */
static void warnings_survive_a_resume(void **state)
{
    run = open_run(*state, 0);
    at = 0;
    for (int i = 0; i < 4; i++) assert_null(with("reward_std", 0, "max_vio", 1));
    mk_metrics_close(run);
    run = open_run(*state, at);
    assert_null(mk_metrics_warning(run));
    assert_non_null(strstr(with("reward_std", 0, "max_vio", 9), "reward_std"));
    expect(mk_metrics_warning(run), "max_vio 9");
    mk_metrics_close(run);
    run = open_run(*state, at);
    assert_null(mk_metrics_warning(run));
    assert_null(with("reward_std", 0, "max_vio", 9)); /* said before the stop */
    mk_metrics_close(run);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_keep_order_and_digits),
        TEST(a_resume_cuts_off),
        TEST(a_damaged_end_is_dropped),
        TEST(other_damage_is_an_error),
        TEST(a_full_disk_loses_one_step),
        TEST(frames_are_tensorboards),
        TEST(warns_of_values),
        TEST(warns_of_equal_rewards),
        TEST(warns_of_a_rising_loss),
        TEST(warns_of_a_jumping_norm),
        TEST(warnings_survive_a_resume),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
