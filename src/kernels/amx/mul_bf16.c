/* The bf16 product.  A strip of 32 rows of x stays in the first cache while all of w
 * passes from the second; two by two tiles of sums use each loaded tile twice.
 *
 *              w: pairs
 *               6   7         16 pairs of k by 16 columns each
 *     x: rows  --- ---
 *          4 |  0   1         16 rows by 32 values of k, and sums of 16 rows by 16 columns
 *          5 |  2   3
 *
 * A strip of at most 16 rows has its four sums side by side.  The last strip has tiles of
 * fewer rows, by configuration, so that nothing behind it is touched. */
#include "int_amx.h"

#include <immintrin.h>
#include <string.h>

enum { TILE_ROWS = 16, TILE_COLS = 16, TILE_K = 32, STRIP = 2 * TILE_ROWS };

struct product {
    float *y;
    const uint16_t *x, *w;
    size_t ldy, ldx, ldw, n_k;
    size_t y_row, x_row, w_pair; /* the same steps in bytes */
    bool is_sum;
};

/* Strips of n_row rows: 32, or what the last has. */
static void configure(size_t n_row)
{
    const uint8_t upper = (uint8_t)(n_row < TILE_ROWS ? n_row : TILE_ROWS);
    const uint8_t lower = n_row > TILE_ROWS ? (uint8_t)(n_row - TILE_ROWS) : upper;
    const struct mk_tile_config c = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {upper, upper, lower, lower, upper, lower, TILE_K / 2, TILE_K / 2},
    };
    mk_tile_configure(&c);
}

/* y += t for n tiles of columns. */
INLINE void add_rows(float *y, size_t ldy, const float *t, size_t n_row, unsigned n)
{
    for (; n_row--; y += ldy, t += n * TILE_COLS) {
        UNROLL
        for (unsigned i = 0; i < n; i++) {
            float *out = y + i * TILE_COLS;
            const __m512 sum = _mm512_load_ps(t + i * TILE_COLS);
            _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), sum));
        }
    }
}

/* ---- 17 to 32 rows ------------------------------------------------------------- */

INLINE void store_2x2(float *y, size_t row_bytes)
{
    float *lower = (float *)((char *)y + TILE_ROWS * row_bytes);
    TILE_STORE(0, y, row_bytes);
    TILE_ZERO(0);
    TILE_STORE(2, lower, row_bytes);
    TILE_ZERO(2);
    TILE_STORE(1, y + TILE_COLS, row_bytes);
    TILE_ZERO(1);
    TILE_STORE(3, lower + TILE_COLS, row_bytes);
    TILE_ZERO(3);
}

/* Multiplies what is loaded and loads what comes next, from x and w. */
INLINE void step_2x2(const struct product *p, const uint16_t *x, const uint16_t *w)
{
    TILE_MUL(0, 4, 6);
    TILE_MUL(2, 5, 6);
    TILE_LOAD(6, w, p->w_pair);
    TILE_MUL(1, 4, 7);
    TILE_LOAD(4, x, p->x_row);
    TILE_MUL(3, 5, 7);
    TILE_LOAD(7, w + 2 * TILE_COLS, p->w_pair);
    TILE_LOAD(5, x + TILE_ROWS * p->ldx, p->x_row);
}

/* n_strip strips from row 0 on, all columns up to n_col, a multiple of 32.  The first tiles
 * of a block are loaded before the sums of the one before it are stored: loads wait for
 * stores, and the multiplier would wait for both. */
static void strips_2x2(const struct product *p, size_t n_strip, size_t n_row, size_t n_col)
{
    float sums[STRIP * 2 * TILE_COLS] __attribute__((aligned(64)));
    const uint16_t *x = p->x, *w = p->w;
    float *y = p->y;
    size_t strip = 0, col = 0;
    TILE_LOAD(4, x, p->x_row);
    TILE_LOAD(5, x + TILE_ROWS * p->ldx, p->x_row);
    TILE_LOAD(6, w, p->w_pair);
    TILE_LOAD(7, w + 2 * TILE_COLS, p->w_pair);
    while (strip < n_strip) {
        for (size_t k = TILE_K; k < p->n_k; k += TILE_K) step_2x2(p, x + k, w + k * p->ldw);
        float *done = y;
        col += 2 * TILE_COLS;
        if (col == n_col) strip++, col = 0;
        if (strip < n_strip) { /* or the last step loads anything */
            x = p->x + strip * STRIP * p->ldx;
            w = p->w + 2 * col;
            y = p->y + strip * STRIP * p->ldy + col;
        }
        step_2x2(p, x, w);
        if (p->is_sum) {
            store_2x2(sums, 2 * TILE_COLS * sizeof *sums);
            add_rows(done, p->ldy, sums, n_row, 2);
        } else {
            store_2x2(done, p->y_row);
        }
    }
}

/* One strip, 16 columns from col on. */
static void strip_2x1(const struct product *p, size_t n_row, size_t col)
{
    float sums[STRIP * TILE_COLS] __attribute__((aligned(64)));
    for (size_t k = 0; k < p->n_k; k += TILE_K) {
        TILE_LOAD(4, p->x + k, p->x_row);
        TILE_LOAD(6, p->w + k * p->ldw + 2 * col, p->w_pair);
        TILE_MUL(0, 4, 6);
        TILE_LOAD(5, p->x + TILE_ROWS * p->ldx + k, p->x_row);
        TILE_MUL(2, 5, 6);
    }
    float *y = p->is_sum ? sums : p->y + col;
    const size_t ldy = p->is_sum ? TILE_COLS : p->ldy;
    TILE_STORE(0, y, ldy * sizeof *y);
    TILE_STORE(2, y + TILE_ROWS * ldy, ldy * sizeof *y);
    TILE_ZERO(0);
    TILE_ZERO(2);
    if (p->is_sum) add_rows(p->y + col, p->ldy, sums, n_row, 1);
}

/* ---- 1 to 16 rows --------------------------------------------------------------- */

/* n is 4, 2 or 1 tiles of columns from col on. */
INLINE void strip_1xn(const struct product *p, size_t n_row, size_t col, unsigned n)
{
    float sums[4 * TILE_ROWS * TILE_COLS] __attribute__((aligned(64)));
    for (size_t k = 0; k < p->n_k; k += TILE_K) {
        const uint16_t *w = p->w + k * p->ldw + 2 * col;
        TILE_LOAD(4, p->x + k, p->x_row);
        TILE_LOAD(6, w, p->w_pair);
        TILE_MUL(0, 4, 6);
        if (n > 1) TILE_LOAD(7, w + 2 * TILE_COLS, p->w_pair);
        if (n > 1) TILE_MUL(1, 4, 7);
        if (n > 2) TILE_LOAD(6, w + 4 * TILE_COLS, p->w_pair);
        if (n > 2) TILE_MUL(2, 4, 6);
        if (n > 3) TILE_LOAD(7, w + 6 * TILE_COLS, p->w_pair);
        if (n > 3) TILE_MUL(3, 4, 7);
    }
    float *y = p->is_sum ? sums : p->y + col;
    const size_t row_bytes = p->is_sum ? n * TILE_COLS * sizeof *y : p->y_row;
    TILE_STORE(0, y, row_bytes);
    if (n > 1) TILE_STORE(1, y + TILE_COLS, row_bytes);
    if (n > 2) TILE_STORE(2, y + 2 * TILE_COLS, row_bytes);
    if (n > 3) TILE_STORE(3, y + 3 * TILE_COLS, row_bytes);
    TILE_ZERO(0);
    if (n > 1) TILE_ZERO(1);
    if (n > 2) TILE_ZERO(2);
    if (n > 3) TILE_ZERO(3);
    if (p->is_sum) add_rows(p->y + col, p->ldy, sums, n_row, n);
}

static void one_low_strip(const struct product *p, size_t n_row, size_t n_col)
{
    size_t col = 0;
    for (; col + 4 * TILE_COLS <= n_col; col += 4 * TILE_COLS) strip_1xn(p, n_row, col, 4);
    if (col + 2 * TILE_COLS <= n_col) {
        strip_1xn(p, n_row, col, 2);
        col += 2 * TILE_COLS;
    }
    if (col < n_col) strip_1xn(p, n_row, col, 1);
}

/* ---- all ------------------------------------------------------------------------ */

static void skip_rows(struct product *p, size_t n_row)
{
    p->y += n_row * p->ldy;
    p->x += n_row * p->ldx;
}

static void high_strips(const struct product *p, size_t n_strip, size_t n_row, size_t n_col)
{
    const size_t even = n_col / (2 * TILE_COLS) * (2 * TILE_COLS);
    struct product rest = *p;
    if (even) strips_2x2(p, n_strip, n_row, even);
    for (; even < n_col && n_strip--; skip_rows(&rest, STRIP)) strip_2x1(&rest, n_row, even);
}

/* Sums of nothing. */
static void no_terms(float *y, size_t ldy, size_t n_row, size_t n_col)
{
    for (; n_row--; y += ldy) memset(y, 0, n_col * sizeof *y);
}

void mk_amx_mul_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *w,
                     size_t ldw, size_t n_row, size_t n_k, size_t n_col, bool is_sum)
{
    if (!n_k && !is_sum) no_terms(y, ldy, n_row, n_col);
    if (!n_row || !n_col || !n_k) return;
    struct product p = {
        .y = y,
        .x = x,
        .w = w,
        .ldy = ldy,
        .ldx = ldx,
        .ldw = ldw,
        .n_k = n_k,
        .y_row = ldy * sizeof *y,
        .x_row = ldx * sizeof *x,
        .w_pair = 2 * ldw * sizeof *w,
        .is_sum = is_sum,
    };
    const size_t n_strip = n_row / STRIP, last = n_row % STRIP;
    if (n_strip) {
        configure(STRIP);
        high_strips(&p, n_strip, STRIP, n_col);
        skip_rows(&p, n_strip * STRIP);
    }
    if (last) configure(last);
    if (last > TILE_ROWS)
        high_strips(&p, 1, last, n_col);
    else if (last)
        one_low_strip(&p, last, n_col);
    mk_tile_release();
}
