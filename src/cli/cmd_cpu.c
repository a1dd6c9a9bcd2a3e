/* minke cpu: which instruction sets there are and which one is used; with --measure, what
 * this machine can read and multiply at most. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/measure.h"

#include <jansson.h>
#include <stdlib.h>

static const char *const levels[] = {
    "scalar",
#define ISA(ID, name) #name,
#include "kernels/isa.def"
#undef ISA
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static bool has_level(unsigned cpu, size_t i) { return i == 0 || (cpu >> (i - 1) & 1); }

static const struct {
    const char *key, *text;
    size_t offset;
} values[] = {
    {"read_gb_s", "read GB/s", offsetof(struct mk_ceiling, read_bytes)},
    {"int8_gmac_s", "int8 GMAC/s", offsetof(struct mk_ceiling, i8_mac)},
    {"int8_product_gmac_s", "in products", offsetof(struct mk_ceiling, mul_i8)},
    {"f32_gmac_s", "f32 GMAC/s", offsetof(struct mk_ceiling, f32_mac)},
    {"f32_product_gmac_s", "in products", offsetof(struct mk_ceiling, mul_f32)},
};
enum { N_VALUES = sizeof values / sizeof *values };

static double value(const struct mk_ceiling *c, size_t i)
{
    return *(const double *)(const void *)((const char *)c + values[i].offset) / 1e9;
}

static struct mk_ceiling measure(unsigned cpu, unsigned n_threads)
{
    struct mk_kernels k;
    mk_kernels_select(&k, cpu);
    struct mk_pool *pool = mk_pool_new(n_threads);
    const struct mk_ceiling c = mk_measure(pool, &k);
    mk_pool_free(pool);
    return c;
}

/* 1, 2, 4, ... and the last. */
static unsigned next_count(unsigned n, unsigned last)
{
    if (n == last) return 0;
    return 2 * n < last ? 2 * n : last;
}

static void print_json(unsigned found, unsigned used, unsigned n_threads, bool measures)
{
    struct mk_str model = {0};
    mk_cpu_model(&model);
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "model", json_string(mk_str_c(&model)));
    json_object_set_new(o, "cpus", json_integer(mk_cpu_count()));
    for (size_t i = 0; i < N_LEVELS; i++)
        if (has_level(found, i)) json_array_append_new(list, json_string(levels[i]));
    json_object_set_new(o, "found", list);
    json_object_set_new(o, "used", json_string(mk_cpu_name(used)));
    json_t *rows = json_array();
    for (unsigned n = 1; measures && n; n = next_count(n, n_threads)) {
        const struct mk_ceiling c = measure(used, n);
        json_t *row = json_object();
        json_object_set_new(row, "threads", json_integer(n));
        for (size_t i = 0; i < N_VALUES; i++)
            json_object_set_new(row, values[i].key, json_real(value(&c, i)));
        json_array_append_new(rows, row);
    }
    if (measures)
        json_object_set_new(o, "measured", rows);
    else
        json_decref(rows);
    json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
    mk_str_release(&model);
}

static void print_text(unsigned found, unsigned used, unsigned n_threads, bool measures)
{
    struct mk_str model = {0};
    mk_cpu_model(&model);
    printf("processor  %s, %u CPUs\nlevels    ", model.len ? model.data : "unknown",
           mk_cpu_count());
    for (size_t i = 0; i < N_LEVELS; i++) printf(has_level(found, i) ? " %s" : " (%s)", levels[i]);
    printf("\nused       %s\n", mk_cpu_name(used));
    mk_str_release(&model);
    if (!measures) return;
    printf("\nthreads");
    for (size_t i = 0; i < N_VALUES; i++) printf(" %12s", values[i].text);
    putchar('\n');
    for (unsigned n = 1; n; n = next_count(n, n_threads)) {
        const struct mk_ceiling c = measure(used, n);
        printf("%7u", n);
        for (size_t i = 0; i < N_VALUES; i++) printf(" %12.1f", value(&c, i));
        putchar('\n');
        fflush(stdout);
    }
}

int mk_cmd_cpu(int argc, char **argv)
{
    static bool json, measures;
    static const char *level;
    static size_t n_threads;
    static const struct mk_opt opts[] = {
        {"measure", 0, MK_OPT_FLAG, &measures, NULL,
         "read bandwidth and arithmetic peaks for 1, 2, 4, ... threads", 0, 0, NULL, NULL},
        {"threads", 't', MK_OPT_SIZE, &n_threads, "N", "most threads (all CPUs)", 1, 1024, NULL,
         "MINKE_THREADS"},
        {"cpu", 0, MK_OPT_STR, &level, "LEVEL", "highest instruction-set level", 0, 0, NULL,
         "MK_CPU"},
        {"json", 0, MK_OPT_FLAG, &json, NULL, "one JSON object", 0, 0, NULL, NULL},
        {0},
    };
    struct mk_strs rest = {0};
    mk_opts_parse("cpu", opts, argc, argv, &rest, 0);
    const unsigned found = mk_cpu_detect();
    unsigned used = found;
    if (level && !mk_cpu_limit(&used, level)) mk_cli_usage("cpu", "no level \"%s\" here", level);
    const unsigned n = n_threads ? (unsigned)n_threads : mk_cpu_count();
    (json ? print_json : print_text)(found, used, n, measures);
    return 0;
}
