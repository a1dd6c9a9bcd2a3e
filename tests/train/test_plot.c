/* Ticks, averages, pictures and the page: right numbers, well-formed whatever the text. */
#include "base/file.h"
#include "base/mem.h"
#include "train/plot.h"
#include "train/report.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char evil[] = "a<b>&\"'\x01\xff</svg><script>x</script>";

/* ---- a strict reader of XML, enough for SVG ----------------------------------------------- */

static const char *skip_entity(const char *p)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < 5; i++)
        if (!strncmp(p, known[i], strlen(known[i]))) return p + strlen(known[i]);
    fail_msg("an ampersand alone: %.40s", p);
    return p;
}

/* Name and attributes of a tag; p is behind '<'. Gives what follows '>'. */
static const char *skip_tag(const char *p, const char **name, size_t *n_name, bool *is_empty)
{
    *name = p;
    while (isalnum((unsigned char)*p)) p++;
    *n_name = (size_t)(p - *name);
    if (!*n_name) fail_msg("a tag without a name: %.40s", p);
    while (*p == ' ') {
        p += strspn(p, " ");
        if (*p == '/' || *p == '>') break;
        const size_t n = strcspn(p, "= ><\"");
        if (!n || p[n] != '=' || p[n + 1] != '"') fail_msg("a bad attribute: %.40s", p);
        p += n + 2;
        while (*p && *p != '"' && *p != '<') p = *p == '&' ? skip_entity(p) : p + 1;
        if (*p++ != '"') fail_msg("an open attribute");
    }
    *is_empty = *p == '/';
    p += *is_empty;
    if (*p != '>') fail_msg("an open tag: %.40s", p);
    return p + 1;
}

static size_t check_xml(const char *text)
{
    struct {
        const char *name;
        size_t n;
    } stack[16];
    size_t depth = 0, n_tags = 0;
    for (const char *p = text; *p;) {
        if (*p == '&') {
            p = skip_entity(p);
        } else if (*p != '<') {
            if ((unsigned char)*p < 0x20 && *p != '\n') fail_msg("a control character");
            if (!depth && *p != '\n') fail_msg("text outside of the root: %.40s", p);
            p++;
        } else if (p[1] == '/') {
            if (!depth) fail_msg("one end too many");
            const size_t n = stack[--depth].n;
            if (strncmp(p + 2, stack[depth].name, n) != 0 || p[n + 2] != '>')
                fail_msg("%.20s ends %.*s", p, (int)n, stack[depth].name);
            p += n + 3;
        } else {
            bool is_empty;
            assert_in_range(depth, 0, 15);
            p = skip_tag(p + 1, &stack[depth].name, &stack[depth].n, &is_empty);
            depth += !is_empty;
            n_tags++;
        }
    }
    if (depth) fail_msg("%zu tags are open", depth);
    return n_tags;
}

/* ---- parts --------------------------------------------------------------------------------- */

static void ticks(void **state)
{
    (void)state;
    double t[MK_PLOT_MAX_TICKS], step;
    assert_int_equal(mk_plot_ticks(0, 1, 6, t, &step), 6);
    assert_float_equal(t[0], 0, 0);
    assert_float_equal(t[5], 1, 1e-12);
    assert_int_equal(mk_plot_ticks(-3, 7, 6, t, &step), 5); /* -2 0 2 4 6 */
    assert_float_equal(t[0], -2, 1e-12);
    assert_float_equal(step, 2, 1e-12);
    for (double scale = 1e-300; scale < 1e300; scale *= 37) {
        const size_t n = mk_plot_ticks(0.13 * scale, 0.97 * scale, 8, t, &step);
        assert_in_range(n, 3, 8);
        for (size_t i = 0; i < n; i++)
            assert_true(t[i] >= 0.1299999 * scale && t[i] <= 0.9700001 * scale);
        const double lead = step / pow(10, floor(log10(step) + 1e-9));
        assert_true(fabs(lead - 1) < 1e-6 || fabs(lead - 2) < 1e-6 || fabs(lead - 5) < 1e-6);
    }
    assert_int_equal(mk_plot_ticks(3, 3, 5, t, &step), 1);
    assert_int_equal(mk_plot_ticks((double)NAN, 3, 5, t, &step), 0);
    assert_in_range(mk_plot_ticks(0, (double)INFINITY, 5, t, &step), 0, 1);
}

static void averages(void **state)
{
    (void)state;
    double y[200], out[200];
    for (int i = 0; i < 200; i++) y[i] = 3;
    y[7] = (double)NAN;
    mk_plot_smooth(out, y, 200, 0.9);
    for (int i = 0; i < 200; i++) {
        if (i == 7)
            assert_true(isnan(out[i]));
        else
            assert_float_equal(out[i], 3, 1e-12);
    }
    for (int i = 0; i < 200; i++) y[i] = 2 * i;
    mk_plot_smooth(out, y, 200, 0.9);
    assert_float_equal(out[100], 200, 1e-3); /* no lag */
    mk_plot_smooth(out, y, 200, 0);
    for (int i = 0; i < 200; i++) assert_float_equal(out[i], y[i], 0);
    /* by the definition */
    double want = 0, mass = 0;
    for (int k = 0; k < 200; k++) {
        want += pow(0.8, abs(k - 3)) * y[k];
        mass += pow(0.8, abs(k - 3));
    }
    mk_plot_smooth(out, y, 200, 0.8);
    assert_true(fabs(out[3] - want / mass) < 1e-9);
}

static void escapes(void **state)
{
    (void)state;
    struct mk_str s = {0};
    mk_plot_escape(&s, evil, sizeof evil - 1);
    assert_string_equal(s.data, "a&lt;b&gt;&amp;&quot;&#39;\xef\xbf\xbd\xef\xbf\xbd&lt;/svg&gt;"
                                "&lt;script&gt;x&lt;/script&gt;");
    mk_str_clear(&s);
    mk_plot_escape(&s, "\xef\xbf\xbf|\xef\xbf\xbe|\xe2\x82\xac", 11);
    assert_string_equal(s.data, "\xef\xbf\xbd|\xef\xbf\xbd|\xe2\x82\xac");
    mk_str_release(&s);
}

/* ---- pictures ------------------------------------------------------------------------------- */

/* Numbers of every kind must not break the picture. */
static void pictures(void **state)
{
    (void)state;
    static double x[5000], y[6][5000];
    for (int i = 0; i < 5000; i++) {
        x[i] = i;
        y[0][i] = sin(i / 50.0);
        y[1][i] = i % 7 ? 1e308 : -1e308;
        y[2][i] = i % 3 ? (double)NAN : (double)INFINITY;
        y[3][i] = 0;
        y[4][i] = exp(-i / 5.0);
        y[5][i] = 1e-310 * i;
    }
    for (int k = 0; k < 6; k++)
        for (size_t n = 0; n <= 5000; n = n ? n * 17 : 1)
            for (int mode = 0; mode < 8; mode++) {
                const struct mk_plot_line lines[2] = {{evil, x, y[k], n, 9, 7},
                                                      {"b", x, y[0], n / 2, 0, 0}};
                const struct mk_plot p = {.title = evil,
                                          .unit = evil,
                                          .lines = lines,
                                          .n_lines = mode & 4 ? 1 : 2,
                                          .is_log = mode & 1,
                                          .is_share = mode & 2,
                                          .has_dots = k == 3 && n < 100,
                                          .smooth = -1};
                struct mk_str out = {0};
                mk_plot_svg(&out, &p, mode & 1);
                assert_true(check_xml(out.data) > 5);
                assert_null(strstr(out.data, "nan"));
                assert_null(strstr(out.data, "inf"));
                assert_true(out.len < 200000); /* thinned */
                mk_str_clear(&out);
                mk_plot_panels(&out, evil, (const struct mk_plot[]){p, p, p, p, p}, 5, false);
                check_xml(out.data);
                mk_str_release(&out);
            }
}

/* The extremes of a long curve stay visible: value 1 is the top of the axis, pixel 0. */
static void keeps_peaks(void **state)
{
    (void)state;
    static double x[100000], y[100000];
    for (int i = 0; i < 100000; i++) x[i] = i;
    y[54321] = 1;
    const struct mk_plot_line line = {"a", x, y, 100000, 0, 0};
    const struct mk_plot p = {.title = "t", .lines = &line, .n_lines = 1, .is_share = true};
    struct mk_str out = {0};
    mk_plot_svg(&out, &p, false);
    const char *curve = strstr(out.data, "class=\"line c0\"");
    assert_non_null(curve);
    assert_non_null(strstr(curve, " 0.0L"));
    assert_non_null(strstr(out.data, "prefers-color-scheme:dark"));
    mk_str_release(&out);
}

/* ---- the page ------------------------------------------------------------------------------- */

static char *temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    struct mk_str s = {0};
    mk_str_addf(&s, "%s/mk-plot-XXXXXX", base && *base ? base : "/tmp");
    char *dir = mk_str_take(&s);
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void remove_dir(char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        struct mk_str path = {0};
        mk_str_addf(&path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.') unlink(path.data);
        mk_str_release(&path);
    }
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static void put(const char *dir, const char *name, const char *text)
{
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/%s", dir, name);
    FILE *f = fopen(path.data, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    mk_str_release(&path);
}

static struct mk_str get(const char *dir, const char *name)
{
    struct mk_str path = {0}, text = {0};
    struct mk_err err;
    mk_str_addf(&path, "%s/%s", dir, name);
    if (!mk_file_read(&text, path.data, 1 << 24, &err)) fail_msg("%s", err.msg);
    mk_str_release(&path);
    return text;
}

static void has(const struct mk_str *text, const char *part)
{
    if (!strstr(mk_str_c(text), part)) fail_msg("no \"%s\" in %s", part, mk_str_c(text));
}

static void page(void **state)
{
    (void)state;
    char *dir = temp_dir();
    put(dir, "run.json", "{\"command\": \"rl\", \"deep\": {\"er\": [1, \"<i>\"]}, \"k<&>\": 0.5}");
    put(dir, "metrics.jsonl",
        "{\"step\":0,\"reward\":0.25,\"seconds\":1800,\"cpu_seconds\":3600,\"flops\":1e12,"
        "\"joules\":9000,\"peak_share\":0.5,\"toks\":1000000,\"accuracy/a<b\":0.5,"
        "\"completions/clipped_ratio\":0.75,\"odd<script>\":1}\n"
        "{\"step\":1,\"reward\":0.5,\"seconds\":5400,\"cpu_seconds\":7200,\"flops\":2e12,"
        "\"joules\":9000,\"peak_share\":0.1,\"toks\":1000000,\"accuracy/a<b\":0.75,"
        "\"loss\":null}\n"
        "{\"step\":2,\"rew");
    const char *run = dir;
    const struct mk_report_options o = {.out = dir, .price = 3, .smooth = -1};
    struct mk_str written = {0};
    struct mk_err err;
    if (!mk_report_write(&run, 1, &o, &written, &err)) fail_msg("%s", err.msg);
    has(&written, "/reward.svg\n");
    has(&written, "/accuracy.svg\n");
    has(&written, "/report.html\n");
    assert_null(strstr(written.data, "/loss.svg")); /* no number in it */
    struct mk_str svg = get(dir, "reward.svg"), html = get(dir, "report.html");
    check_xml(svg.data);
    assert_null(strstr(html.data, "<script"));
    assert_null(strstr(html.data, "<i>"));
    assert_null(strstr(html.data, "a<b"));
    has(&html, "k&lt;&amp;&gt;");
    has(&html, "deep.er");
    has(&html, ": 2 steps so far");
    has(&html, "<td>hours</td><td class=\"n\">2.000</td>");
    has(&html, "<td>core-hours</td><td class=\"n\">3.000</td>");
    has(&html, "<td>useful FLOP</td><td class=\"n\">3.000e+12</td>");
    has(&html, "<td class=\"n\">20.0 %</td>"); /* (0.5 * 1800 + 0.1 * 5400) / 7200 */
    has(&html, "18 kJ, 5 Wh");
    has(&html, "<td>money</td><td class=\"n\">6.0000</td>");
    has(&html, "<b>completions/clipped_ratio</b> was over a half");
    has(&html, "<td>accuracy/a&lt;b</td><td class=\"n\">50.0 %</td>"
               "<td class=\"n\">75.0 %</td><td class=\"n\"><b>75.0 %</b></td>");
    mk_str_release(&svg);
    mk_str_release(&html);
    mk_str_release(&written);
    remove_dir(dir);
}

static void missing(void **state)
{
    (void)state;
    char *dir = temp_dir();
    const char *run = dir;
    const struct mk_report_options o = {.out = dir};
    struct mk_str written = {0};
    struct mk_err err;
    assert_false(mk_report_write(&run, 1, &o, &written, &err));
    assert_non_null(strstr(err.msg, "metrics.jsonl"));
    put(dir, "metrics.jsonl", "");
    put(dir, "run.json", "{");
    if (!mk_report_write(&run, 1, &o, &written, &err)) fail_msg("%s", err.msg);
    struct mk_str html = get(dir, "report.html");
    has(&html, "no step yet");
    has(&html, "run.json is not JSON");
    mk_str_release(&html);
    mk_str_release(&written);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks),    cmocka_unit_test(averages),    cmocka_unit_test(escapes),
        cmocka_unit_test(pictures), cmocka_unit_test(keeps_peaks), cmocka_unit_test(page),
        cmocka_unit_test(missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
