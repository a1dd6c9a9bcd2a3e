/* Matrix products: panels of 16 weight rows are unpacked once and multiplied with every
 * column; a few columns are multiplied without a panel where the kernels can.  Threads take
 * whole strips of 16 rows, so a product's bits do not depend on how many there are. */
#include "tensor/int_matmul.h"
#include "tensor/tape.h"

#include <assert.h>
#include <string.h>

enum {
    ROWS = MK_PANEL_ROWS,
    FEW_COLS = 4,    /* so few that memory, not arithmetic, sets the pace */
    MOST_APART = 17, /* strips of a group, see strip_of; measured on Zen 3 */
    WIDE_STRIPS = 2  /* multiplied together, but for pairs MK_STRIPS */
};

struct mk_weight mk_float_rows(const float *v, size_t rows, size_t cols, size_t ld)
{
    return (struct mk_weight){.type = MK_F32,
                              .rows = rows,
                              .cols = cols,
                              .stride = ld * sizeof *v,
                              .data = (const uint8_t *)v};
}

struct mk_weight mk_weight_rows(const struct mk_weight *w, size_t first, size_t n)
{
    struct mk_weight v = *w;
    v.rows = n;
    v.data += first * w->stride;
    v.row0 += first;
    return v;
}

/* The scale of element (row, column block) of a weight with block scales. */
static float block_scale(const struct mk_weight *w, size_t row, size_t col)
{
    return w->scale[(w->row0 + row) / 128 * w->ld_scale + col / 128];
}

void mk_weight_decode(const struct mk_kernels *k, const struct mk_weight *w, size_t first, size_t n,
                      float *out)
{
    for (size_t i = first; i < first + n; i++, out += w->cols) {
        k->decode[w->type](out, w->data + i * w->stride, w->cols);
        for (size_t j = 0; w->scale && j < w->cols; j += 128)
            k->scale(out + j, block_scale(w, i, j), w->cols - j < 128 ? w->cols - j : 128);
    }
}

struct mk_input mk_input(const float *v, size_t n, size_t d, size_t ld)
{
    return (struct mk_input){.v = v, .n = n, .d = d, .ld = ld};
}

/* ---- forms of the input in fewer bits ---------------------------------------- */

bool mk_rounds(const struct mk_work *wk, enum mk_type type, size_t d)
{
    return wk->rounds && wk->k.unpack_pairs[type] && d % MK_BF16_K == 0;
}

struct x8_job {
    const struct mk_kernels *k;
    const struct mk_input *x;
    size_t ldq;
    int8_t *q;
    float *s;
    int16_t *sum;
};

static void x8_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct x8_job *j = arg;
    const size_t d = j->x->d;
    for (size_t i = first; i < last; i++)
        j->k->quant_x8(j->q + i * j->ldq, j->s + i * (d / 32), j->sum + i * (d / 16),
                       j->x->v + i * j->x->ld, d);
}

void mk_input_prepare(struct mk_work *wk, struct mk_input *x, enum mk_type type)
{
    if (mk_rounds(wk, type, x->d) && !x->is_fine) {
        mk_input_bf16(wk, x);
        x->is_rounded = true;
    }
    if (mk_quants[type].kind == MK_FLOAT || x->x8.q) return;
    struct x8_job j = {.k = &wk->k, .x = x};
    /* Columns a multiple of 4096 bytes apart would fight for the same lines of the cache. */
    j.ldq = x->d % 2048 ? x->d : x->d + 64;
    j.q = mk_arena_take(&wk->arena, x->n * j.ldq);
    j.s = mk_floats(wk, x->n * (x->d / 32));
    j.sum = mk_arena_take(&wk->arena, x->n * (x->d / 16) * sizeof *j.sum);
    mk_pool_run(wk->pool, x->n, mk_grain(wk, 4 * x->d), x8_rows, &j);
    x->x8 = (struct mk_x8){
        .q = j.q, .s = j.s, .sum = j.sum, .ldq = j.ldq, .lds = x->d / 32, .ldsum = x->d / 16};
}

/* Two bf16 values in sum hold x but for its last 8 bits. */
static struct mk_input in_halves(struct mk_work *wk, const struct mk_input *x)
{
    const size_t d = x->d, ld = mk_bf16_ld(d); /* no padding: d is a multiple of MK_BF16_K */
    uint16_t *high = mk_arena_take(&wk->arena, 2 * x->n * ld * sizeof *high);
    float *left = mk_floats(wk, d);
    for (size_t i = 0; i < x->n; i++) {
        const float *v = x->v + i * x->ld;
        wk->k.f32_bf16(high + i * ld, v, d);
        wk->k.decode[MK_BF16](left, (const uint8_t *)(high + i * ld), d);
        for (size_t j = 0; j < d; j++) left[j] = v[j] - left[j];
        wk->k.f32_bf16(high + (x->n + i) * ld, left, d);
    }
    return (struct mk_input){
        .n = 2 * x->n, .d = d, .b16 = high, .ld16 = ld, .is_rounded = true, .is_halves = true};
}

struct mk_input mk_input_slice(const struct mk_input *x, size_t first, size_t step, size_t n)
{
    struct mk_input v = {.n = n, .d = x->d, .ld = step * x->ld, .is_rounded = x->is_rounded};
    const struct mk_x8 *from = &x->x8;
    if (x->v) v.v = x->v + first * x->ld; /* gathered inputs may have other forms only */
    if (x->b16) v.b16 = x->b16 + first * x->ld16, v.ld16 = step * x->ld16;
    if (from->q)
        v.x8 = (struct mk_x8){.q = from->q + first * from->ldq,
                              .s = from->s + first * from->lds,
                              .sum = from->sum + first * from->ldsum,
                              .ldq = step * from->ldq,
                              .lds = step * from->lds,
                              .ldsum = step * from->ldsum};
    return v;
}

/* ---- panels times columns --------------------------------------------------- */

/* Whether the product is one of pairs. */
static bool is_of_pairs(const struct mk_kernels *k, const struct mk_input *x, enum mk_type type)
{
    return x->is_rounded && k->unpack_pairs[type];
}

/* acc [n_panel][n][16] */
static void panels_mul(const struct mk_kernels *k, const struct mk_panel *p, size_t n_panel,
                       float *acc, const struct mk_input *x, enum mk_type type, size_t k0)
{
    if (is_of_pairs(k, x, type)) {
        k->mul_pairs(acc, p, n_panel, x->b16 + k0, x->ld16, x->n);
        return;
    }
    if (mk_quants[type].kind == MK_FLOAT) {
        for (size_t i = 0; i < n_panel; i++)
            k->mul_f32(acc + i * x->n * ROWS, p + i, x->v + k0, x->ld, x->n);
        return;
    }
    struct mk_x8 c = x->x8;
    c.q += k0;
    c.s += k0 / 32;
    c.sum += k0 / 16;
    k->mul_int(acc, p, n_panel, &c, x->n);
}

size_t mk_n_strips(const struct mk_weight *w) { return (w->rows + ROWS - 1) / ROWS; }

struct mk_strip mk_strip_at(const struct mk_weight *w, size_t i)
{
    const size_t first = i * ROWS, left = w->rows - first;
    return (struct mk_strip){.w = w, .first = first, .n = left < ROWS ? left : ROWS, .by = 1};
}

/* Whether weights are multiplied by a kernel that wants rows far apart.  (Block scales are for rows
 * that follow each other.) */
static bool is_in_turn(const struct mk_kernels *k, const struct mk_input *x,
                       const struct mk_weight *w)
{
    return x->n <= FEW_COLS && k->reads_in_turn[w->type] && !w->scale &&
           (is_of_pairs(k, x, w->type) || k->gemv[w->type]);
}

/* Strip i of those from first to last, which, if they are apart, in groups share out their rows: of
 * n strips the first has rows 0, n, 2n .., the next 1, n + 1, 2n + 1 .., so that each lane reads
 * one run of memory.  Groups are as large as MOST_APART allows, as like in size as they can be, and
 * odd, because rows a multiple of 4096 bytes apart would fight for the same lines of the cache. */
static struct mk_strip strip_of(const struct mk_weight *w, bool is_apart, size_t i, size_t first,
                                size_t last)
{
    struct mk_strip s = mk_strip_at(w, i);
    if (!is_apart || s.n < ROWS) return s;
    const size_t whole = w->rows / ROWS, n = (last < whole ? last : whole) - first;
    const size_t least = (n + MOST_APART - 1) / MOST_APART;
    const size_t n_group = least + (n - least) % 2;  /* as many odd numbers are odd together */
    const size_t low = (n / n_group - 1) | 1;        /* strips of a group, or two more: */
    const size_t n_larger = (n - n_group * low) / 2; /* groups of those, the first ones, */
    const size_t larger = n_larger * (low + 2), at = i - first; /* and their strips */
    s.by = at < larger ? low + 2 : low;
    const size_t in_group = (at < larger ? at : at - larger) % s.by;
    s.first = (i - in_group) * ROWS + in_group;
    return s;
}

static void set_block_scales(struct mk_panel *p, const struct mk_strip *s, size_t k0)
{
    for (size_t g = 0; g * 128 < p->n_k; g++)
        for (size_t r = 0; r < s->n; r++)
            p->d[g][r] = block_scale(s->w, s->first + r, k0 + g * 128);
}

/* After n strips that are multiplied together come those behind them in memory: with values
 * k .. k + n_k in their panels they ask for a like part of these. */
static void set_next(struct mk_panel *p, const struct mk_strip *s, size_t n, size_t k, size_t n_k)
{
    size_t n_same = 0; /* of one weight: all, or gates with others between */
    for (size_t i = 0; i < n; i++) n_same += s[i].w == s[0].w;
    const size_t each = ROWS * s[0].w->stride, from = each * k / s[0].w->cols;
    for (size_t i = 0; i < n; i++) {
        const size_t row = s[i].first + n_same * ROWS;
        p[i].next = s[i].w->data + row * s[i].w->stride + from;
        p[i].n_next = row < s[i].w->rows ? each * (k + n_k) / s[i].w->cols - from : 0;
    }
}

/* The kernels that make panels read sixteen rows in turn. */
static void touch_strip(const struct mk_strip *s)
{
    const struct mk_weight *w = s->w;
    const struct mk_quant *t = &mk_quants[w->type];
    const size_t row = w->cols / t->block_len * t->block_bytes; /* may be less than the stride */
    mk_touch(w->data + s->first * w->stride, (s->n - 1) * w->stride + row);
}

/* The block scales that all rows of a strip share; false when they do not. */
static bool strip_scales(const struct mk_strip *s, const float **out)
{
    const struct mk_weight *w = s->w;
    const size_t row = w->row0 + s->first;
    *out = w->scale ? w->scale + row / 128 * w->ld_scale : NULL;
    return !w->scale || row % 128 <= 128 - ROWS;
}

/* acc = the strip times a few columns, as the rows are stored.  False: there is no kernel for that.
 */
static bool multiply_rows(const struct mk_kernels *k, float *acc, const struct mk_input *x,
                          const struct mk_strip *s)
{
    const struct mk_weight *w = s->w;
    const uint8_t *rows = w->data + s->first * w->stride;
    const float *d;
    const size_t stride = s->by * w->stride;
    if (x->n > FEW_COLS || s->n != ROWS) return false;
    memset(acc, 0, x->n * ROWS * sizeof *acc);
    if (is_of_pairs(k, x, w->type)) {
        if (!k->gemv_pairs[w->type] || !strip_scales(s, &d)) return false;
        k->gemv_pairs[w->type](acc, rows, stride, d, x->b16, x->ld16, w->cols, x->n);
    } else if (k->gemv[w->type])
        k->gemv[w->type](acc, rows, stride, &x->x8, w->cols, x->n);
    else if (k->gemv_f32[w->type] && !w->scale && w->cols % 32 == 0)
        k->gemv_f32[w->type](acc, rows, stride, x->v, x->ld, w->cols, x->n);
    else
        return false;
    return true;
}

static void unpack_strip(mk_unpack_fn *unpack, struct mk_panel *p, const struct mk_strip *s,
                         size_t k0, size_t n_k)
{
    const struct mk_weight *w = s->w;
    const struct mk_quant *t = &mk_quants[w->type];
    unpack(p, w->data + s->first * w->stride + k0 / t->block_len * t->block_bytes, w->stride,
           (unsigned)s->n, n_k);
    if (w->scale) set_block_scales(p, s, k0);
}

/* Most values of a row in a panel. */
static size_t panel_length(bool is_pairs, enum mk_type type)
{
    if (is_pairs) return MK_PANEL_K_PAIRS;
    return mk_quants[type].kind == MK_FLOAT ? MK_PANEL_K_F32 : MK_PANEL_K;
}

/* acc [n_strip][n][16] = rows times x, for at most MK_STRIPS strips of like weights. */
static void multiply_strips(const struct mk_kernels *k, struct mk_panel *p, float *acc,
                            const struct mk_input *x, const struct mk_strip *s, size_t n_strip)
{
    const struct mk_weight *w = s->w;
    const bool is_pairs = is_of_pairs(k, x, w->type);
    const size_t step = panel_length(is_pairs, w->type);
    mk_unpack_fn *unpack = is_pairs ? k->unpack_pairs[w->type] : k->unpack[w->type];
    if (n_strip == 1 && multiply_rows(k, acc, x, s)) return;
    memset(acc, 0, n_strip * x->n * ROWS * sizeof *acc);
    /* mul_int asks for the next strips in time, but not while it has few columns. */
    const bool is_touched = x->n <= FEW_COLS || mk_quants[w->type].kind == MK_FLOAT;
    for (size_t i = 0; is_touched && i < n_strip; i++) touch_strip(s + i);
    for (size_t k0 = 0; k0 < w->cols; k0 += step) {
        const size_t n_k = w->cols - k0 < step ? w->cols - k0 : step;
        for (size_t i = 0; i < n_strip; i++) unpack_strip(unpack, p + i, s + i, k0, n_k);
        set_next(p, s, n_strip, k0, n_k);
        panels_mul(k, p, n_strip, acc, x, w->type, k0);
    }
}

static inline void put_rows(float *restrict y, const float *restrict v, const float *restrict bias,
                            bool is_sum, size_t n)
{
    if (is_sum)
        for (size_t r = 0; r < n; r++) y[r] += v[r];
    else
        memcpy(y, v, n * sizeof *y);
    for (size_t r = 0; bias && r < n; r++) y[r] += bias[r];
}

/* The strip's values of n columns, v [n][16].  Lines of y are far apart, and the processor does not
 * see which comes next. */
static void put_strip(const struct mk_product *p, const struct mk_strip *s, size_t n,
                      const float *v)
{
    enum { AHEAD = 8 };
    const float *bias = p->bias ? p->bias + s->first : NULL;
    for (size_t c = 0; c < n; c++, v += ROWS) {
        float *y = p->y + c * p->ldy + s->first;
        if (c + AHEAD < n) __builtin_prefetch(y + AHEAD * p->ldy, 1);
        if (s->by > 1)
            for (size_t r = 0; r < s->n; r++)
                put_rows(y + r * s->by, v + r, bias ? bias + r * s->by : NULL, p->is_sum, 1);
        else if (s->n == ROWS)
            put_rows(y, v, bias, p->is_sum, ROWS); /* whole vectors */
        else
            put_rows(y, v, bias, p->is_sum, s->n);
    }
}

/* Of n columns, strips that are multiplied together. */
static size_t strips_at_once(const struct mk_kernels *k, const struct mk_product *p,
                             const struct mk_input *x)
{
    return x->n <= FEW_COLS ? 1 : is_of_pairs(k, x, p->w->type) ? MK_STRIPS : WIDE_STRIPS;
}

void mk_matmul_strips(const struct mk_kernels *k, struct mk_panel *panels, float *acc,
                      const struct mk_product *p, const struct mk_input *x, size_t first,
                      size_t last)
{
    const size_t each = strips_at_once(k, p, x);
    const bool is_apart = is_in_turn(k, x, p->w);
    for (size_t i = first, n; i < last; i += n) {
        struct mk_strip s[MK_STRIPS];
        n = last - i < each ? last - i : each;
        for (size_t m = 0; m < n; m++) s[m] = strip_of(p->w, is_apart, i + m, first, last);
        multiply_strips(k, panels, acc, x, s, n);
        for (size_t m = 0; m < n; m++) {
            float *v = acc + m * x->n * ROWS;
            const size_t n_y = x->is_halves ? x->n / 2 : x->n;
            if (x->is_halves) k->axpy(v, 1.0f, v + n_y * ROWS, n_y * ROWS);
            put_strip(p, &s[m], n_y, v);
        }
    }
}

/* ---- gates ------------------------------------------------------------------------------------
 */

/* Pairs of strips from i on, a gate and what it lets through side by side. */
static void gated_pairs(const struct mk_kernels *k, struct mk_panel *panels, float *acc,
                        const struct mk_weight *gate, const struct mk_product *p,
                        const struct mk_input *x, size_t i, size_t n_pair)
{
    const size_t each = x->n * ROWS;
    struct mk_strip s[MK_STRIPS];
    for (size_t m = 0; m < n_pair; m++) {
        s[2 * m] = mk_strip_at(gate, i + m);
        s[2 * m + 1] = mk_strip_at(p->w, i + m);
    }
    multiply_strips(k, panels, acc, x, s, 2 * n_pair);
    for (size_t m = 0; m < n_pair; m++) {
        float *v = acc + 2 * m * each;
        k->silu_mul(v, v, v + each, each);
        put_strip(p, &s[2 * m], x->n, v);
    }
}

/* All gates, then the others, because memory is quickest where it is read in order. */
static void gated_runs(const struct mk_kernels *k, struct mk_panel *panels, float *acc,
                       const struct mk_weight *gate, const struct mk_product *p,
                       const struct mk_input *x, size_t first, size_t last)
{
    const struct mk_product gates = {gate, p->y, p->ldy, NULL, false};
    const bool is_apart = is_in_turn(k, x, p->w);
    mk_matmul_strips(k, panels, acc, &gates, x, first, last);
    for (size_t i = first; i < last; i++) {
        const struct mk_strip s = strip_of(p->w, is_apart, i, first, last);
        multiply_strips(k, panels, acc, x, &s, 1);
        for (size_t c = 0; c < x->n; c++) {
            float v[ROWS] = {0}, *y = p->y + c * p->ldy + s.first;
            for (size_t r = 0; r < s.n; r++) v[r] = y[r * s.by];
            k->silu_mul(v, v, acc + c * ROWS, ROWS);
            for (size_t r = 0; r < s.n; r++) y[r * s.by] = v[r];
        }
    }
}

void mk_gated_strips(const struct mk_kernels *k, struct mk_panel *panels, float *acc,
                     const struct mk_weight *gate, const struct mk_product *p,
                     const struct mk_input *x, size_t first, size_t last)
{
    const size_t each = strips_at_once(k, p, x) / 2;
    if (!each) {
        gated_runs(k, panels, acc, gate, p, x, first, last);
        return;
    }
    for (size_t i = first; i < last; i += each)
        gated_pairs(k, panels, acc, gate, p, x, i, last - i < each ? last - i : each);
}

/* ---- products ------------------------------------------------------------------------------ */

struct matmul_job {
    struct mk_work *wk;
    const struct mk_input *x;
    const struct mk_product *p;
    const struct mk_weight *gate;
    float *acc; /* [n_threads][MK_STRIPS][n][16] */
};

/* Units are strips, numbered through all products. */
static void matmul_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct matmul_job *j = arg;
    float *acc = j->acc + thread * MK_STRIPS * j->x->n * ROWS;
    for (const struct mk_product *p = j->p; first < last; p++) {
        const size_t n = mk_n_strips(p->w);
        const size_t end = last < n ? last : n;
        if (first < n && j->gate)
            mk_gated_strips(&j->wk->k, j->wk->panels[thread], acc, j->gate, p, j->x, first, end);
        else if (first < n)
            mk_matmul_strips(&j->wk->k, j->wk->panels[thread], acc, p, j->x, first, end);
        first = first < n ? 0 : first - n;
        if (last <= n) break;
        last -= n;
    }
}

/* Strips that a thread takes at a time: runs of them, because memory is quickest where it is read
 * in order, but enough that all threads end together. */
static size_t pieces(const struct mk_work *wk, size_t n, size_t n_mac)
{
    enum { EACH = 4 }; /* for each thread */
    const size_t least = mk_grain(wk, n_mac), even = n / (EACH * mk_pool_size(wk->pool));
    return least > even ? least : even;
}

/* Products with weights that have no bf16 form; gate: of the only one, or NULL. */
static void panels(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
                   size_t n_products, const struct mk_weight *gate)
{
    size_t n = 0;
    for (size_t i = 0; i < n_products; i++) {
        mk_input_prepare(wk, x, p[i].w->type);
        n += mk_n_strips(p[i].w);
    }
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena); /* the 8-bit form stays */
    struct mk_input halves;
    struct matmul_job j = {.wk = wk, .x = x, .p = p, .gate = gate};
    if (x->is_fine && mk_rounds(wk, p->w->type, x->d)) halves = in_halves(wk, x), j.x = &halves;
    j.acc = mk_floats(wk, mk_pool_size(wk->pool) * MK_STRIPS * j.x->n * ROWS);
    mk_pool_run(wk->pool, n, pieces(wk, n, (gate ? 2 : 1) * ROWS * x->d * x->n), matmul_units, &j);
    mk_arena_reset(&wk->arena, mark);
}

bool mk_can_gate(const struct mk_work *wk, const struct mk_weight *gate, const struct mk_weight *up)
{
    return !mk_is_recording(wk) && gate->type == up->type && gate->rows == up->rows &&
           !gate->scale == !up->scale && !mk_has_pairs(gate) && !mk_has_pairs(up) && !gate->lora &&
           !up->lora;
}

void mk_matmul_gated(struct mk_work *wk, struct mk_input *x, const struct mk_weight *gate,
                     const struct mk_weight *up, float *y)
{
    assert(mk_can_gate(wk, gate, up));
    panels(wk, x, &(struct mk_product){up, y, up->rows, NULL, false}, 1, gate);
}

/* y += scale B A x. */
static void adapt(struct mk_work *wk, struct mk_input *x, const struct mk_product *p)
{
    const struct mk_lora *l = p->w->lora;
    float *low = mk_floats(wk, x->n * l->a.rows), *z = mk_floats(wk, x->n * l->b.rows);
    mk_matmul(wk, x, &(struct mk_product){&l->a, low, l->a.rows, NULL, false}, 1);
    struct mk_input in = mk_input(low, x->n, l->a.rows, l->a.rows);
    mk_matmul(wk, &in, &(struct mk_product){&l->b, z, l->b.rows, NULL, false}, 1);
    mk_add_rows(wk, p->y, p->ldy, l->scale, z, x->n, l->b.rows);
}

void mk_matmul(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
               size_t n_products)
{
    for (size_t i = 0, n; i < n_products; i += n) { /* runs of one kind */
        const bool is_bf16 = mk_has_pairs(p[i].w);
        for (n = 1; i + n < n_products && mk_has_pairs(p[i + n].w) == is_bf16;) n++;
        if (is_bf16)
            mk_matmul_bf16(wk, x, p + i, n);
        else
            panels(wk, x, p + i, n, NULL);
    }
    if (mk_is_recording(wk)) mk_matmul_record(wk, x, p, n_products);
    for (size_t i = 0; i < n_products; i++)
        if (p[i].w->lora) adapt(wk, x, &p[i]);
}
