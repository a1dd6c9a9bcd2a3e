/* Ceilings.  Each measurement is the best of several runs: whatever disturbs one makes it
 * slower, never faster. */
#include "cli/measure.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    N_RUNS = 20,
    UNITS_PER_THREAD = 8,
    N_STREAMS = 8,
    STREAM = (128 << 10) + 192, /* bytes; a power of two would be a bad distance for caches */
    READ_UNIT = N_STREAMS * STREAM,
    N_SLICES = 8, /* of the memory that is read; one is a run */
    SLICE = 64,   /* units; all slices together are more than a cache holds */
    N_COLS = 32   /* of a product: as many as a prompt has at least */
};
static const size_t slice_bytes = (size_t)SLICE * READ_UNIT;
static const double unit_s = 0.25e-3;

static double best_s(struct mk_pool *pool, size_t n_units, mk_job_fn *fn, void *arg)
{
    double best = 0;
    for (int i = 0; i < N_RUNS; i++) {
        const double start = mk_now_s();
        mk_pool_run(pool, n_units, 1, fn, arg);
        const double s = mk_now_s() - start;
        if (i == 0 || s < best) best = s;
    }
    return best;
}

/* ---- memory ------------------------------------------------------------------------ */

struct reading {
    uint8_t *data;
    bool is_in_streams; /* each unit in streams side by side, or in order */
    uint64_t seen;      /* makes the loads needed; what it holds does not matter */
};

static void touch(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct reading *r = arg;
    memset(r->data + first * READ_UNIT, 1, (last - first) * READ_UNIT);
}

static void read_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    typedef uint64_t vec __attribute__((vector_size(16)));
    enum { LINE = 64 / sizeof(vec), N = STREAM / sizeof(vec) };
    struct reading *r = arg;
    vec sum[N_STREAMS] = {{0}};
    const vec *p = (const vec *)(const void *)(r->data + first * READ_UNIT);
    for (size_t u = first; u < last; u++, p += N_STREAMS * N)
        for (size_t i = 0; i < N; i += LINE)
            for (size_t j = 0; j < N_STREAMS; j++) {
                const vec *v = r->is_in_streams ? p + j * N + i : p + i * N_STREAMS + j * LINE;
                sum[j] ^= v[0] ^ v[1] ^ v[2] ^ v[3];
            }
    for (size_t j = 1; j < N_STREAMS; j++) sum[0] ^= sum[j];
    __atomic_fetch_xor(&r->seen, sum[0][0] ^ sum[0][1], __ATOMIC_RELAXED);
}

double mk_measure_read(struct mk_pool *pool)
{
    void *data;
    if (!mk_reserve(&data, N_SLICES * slice_bytes, NULL)) return 0;
    struct reading r = {.data = data};
    mk_pool_run(pool, N_SLICES * slice_bytes / READ_UNIT, 1, touch, &r);
    double best = 0;
    for (size_t i = 0; i < 4 * N_SLICES; i++) {
        r.data = (uint8_t *)data + i % N_SLICES * slice_bytes;
        r.is_in_streams = i / N_SLICES % 2;
        const double start = mk_now_s();
        mk_pool_run(pool, slice_bytes / READ_UNIT, 1, read_units, &r);
        const double speed = (double)slice_bytes / (mk_now_s() - start);
        if (speed > best) best = speed;
    }
    mk_unreserve(data, N_SLICES * slice_bytes);
    return best;
}

/* ---- arithmetic ---------------------------------------------------------------------- */

struct peak {
    uint64_t (*fn)(size_t n_iter);
    size_t n_iter;
};

static void peak_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct peak *p = arg;
    for (size_t i = first; i < last; i++) p->fn(p->n_iter);
}

double mk_measure_peak(struct mk_pool *pool, uint64_t (*fn)(size_t n_iter))
{
    struct peak p = {.fn = fn, .n_iter = 1 << 14};
    const double start = mk_now_s();
    const double probe = (double)fn(p.n_iter) / (mk_now_s() - start); /* a scalar loop is slow */
    p.n_iter = (size_t)(probe * unit_s / (double)fn(1)) + 1;
    const size_t n_units = UNITS_PER_THREAD * mk_pool_size(pool);
    const double n = (double)fn(1) * (double)p.n_iter * (double)n_units;
    return n / best_s(pool, n_units, peak_units, &p);
}

/* One thread's operands: small enough for the first cache or nearly so. */
struct product {
    struct mk_panel panel;
    float y[N_COLS][MK_PANEL_ROWS];
    int8_t q[N_COLS][MK_PANEL_K];
    float s[N_COLS][MK_PANEL_K / 32];
    int16_t sum[N_COLS][MK_PANEL_K / 16];
    float x[N_COLS][MK_PANEL_K_F32];
};
struct products {
    const struct mk_kernels *k;
    struct product *v; /* [n_threads] */
    size_t n_times;
};

static void i8_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct products *all = arg;
    struct product *p = &all->v[thread];
    const struct mk_x8 x = {.q = p->q[0],
                            .s = p->s[0],
                            .sum = p->sum[0],
                            .ldq = MK_PANEL_K,
                            .lds = MK_PANEL_K / 32,
                            .ldsum = MK_PANEL_K / 16};
    p->panel.n_k = MK_PANEL_K;
    for (size_t i = 0; i < (last - first) * all->n_times; i++)
        all->k->mul_int(p->y[0], &p->panel, 1, &x, N_COLS);
}

static void f32_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct products *all = arg;
    struct product *p = &all->v[thread];
    p->panel.n_k = MK_PANEL_K_F32;
    for (size_t i = 0; i < (last - first) * all->n_times; i++)
        all->k->mul_f32(p->y[0], &p->panel, p->x[0], MK_PANEL_K_F32, N_COLS);
}

static double measure_product(struct mk_pool *pool, struct products *all, mk_job_fn *fn, size_t n_k)
{
    const size_t n_units = UNITS_PER_THREAD * mk_pool_size(pool);
    const double mac = (double)MK_PANEL_ROWS * N_COLS * (double)n_k;
    all->n_times = 1;
    const double start = mk_now_s();
    mk_pool_run(pool, n_units, 1, fn, all);
    const double s = (mk_now_s() - start) / UNITS_PER_THREAD; /* of one product */
    all->n_times = (size_t)(unit_s / s) + 1;
    return mac * (double)(n_units * all->n_times) / best_s(pool, n_units, fn, all);
}

struct mk_ceiling mk_measure(struct mk_pool *pool, const struct mk_kernels *k)
{
    struct mk_ceiling c = {.read_bytes = mk_measure_read(pool)};
    c.i8_mac = mk_measure_peak(pool, k->peak_i8);
    c.f32_mac = mk_measure_peak(pool, k->peak_f32);
    c.bf16_mac = mk_measure_peak(pool, k->peak_bf16);
    const unsigned n = mk_pool_size(pool);
    struct mk_arena arena = {0};
    struct products all = {.k = k, .v = mk_arena_zero(&arena, n * sizeof *all.v)};
    for (unsigned i = 0; i < n; i++) all.v[i].panel.quant = &mk_quants[MK_Q8_0];
    c.mul_i8 = measure_product(pool, &all, i8_units, MK_PANEL_K);
    for (unsigned i = 0; i < n; i++) all.v[i].panel.quant = &mk_quants[MK_F32];
    c.mul_f32 = measure_product(pool, &all, f32_units, MK_PANEL_K_F32);
    mk_arena_release(&arena);
    return c;
}

/* ---- the name -------------------------------------------------------------------------- */

void mk_cpu_model(struct mk_str *out)
{
    enum { MAX_BYTES = 16 << 20 };
    struct mk_str text = {0};
    if (!mk_file_read(&text, "/proc/cpuinfo", MAX_BYTES, NULL)) return;
    const char *line = strstr(mk_str_c(&text), "model name");
    const char *colon = line ? strchr(line, ':') : NULL;
    if (colon) {
        colon += 1 + strspn(colon + 1, " ");
        mk_str_append(out, colon, strcspn(colon, "\n"));
    }
    mk_str_release(&text);
}
