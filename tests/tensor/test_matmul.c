/* Products of every weight type against double arithmetic, and their independence from
 * threads and batches. */
#include "base/half.h"
#include "helpers.h"

enum { N = 7 };

/* How inputs reach weights of BF16 and F8_E4M3: as they are, rounded, or rounded in two. */
enum way { FLOATS, ROUNDED, FINE, N_WAYS };

static struct mk_input input(const float *x, size_t n, size_t d, enum way way)
{
    struct mk_input in = mk_input(x, n, d, d);
    in.is_fine = way == FINE;
    return in;
}

/* What the product should be: integer types see the input through its 8-bit form, BF16 and F8_E4M3
 * rounded to bf16 where the workbench says so. */
static float *seen_input(struct mk_work *wk, enum mk_type type, const float *x, size_t n, size_t d,
                         enum way way)
{
    struct mk_input in = input(x, n, d, way);
    float *v = mk_calloc(n * d, sizeof *v);
    mk_input_prepare(wk, &in, type);
    const struct mk_x8 *q = &in.x8;
    for (size_t i = 0; i < n * d; i++)
        v[i] = q->q            ? q->s[i / d * q->lds + i % d / 32] * (float)q->q[i]
               : in.is_rounded ? mk_bf16_f32(mk_f32_bf16(x[i]))
                               : x[i];
    const bool can_round = (type == MK_BF16 || type == MK_F8_E4M3) && d % 32 == 0;
    assert_int_equal(in.is_rounded, way == ROUNDED && can_round);
    return v;
}

static void check_type(enum mk_type type, enum way way, size_t rows, size_t cols)
{
    struct mk_work wk;
    float *plain, *x = random_floats(N * cols), *y = mk_calloc(N * rows, sizeof *y);
    struct mk_weight w = random_weight(type, rows, cols, &plain);
    mk_work_init(&wk, 2, mk_cpu_detect());
    wk.worth_mac = 1;
    wk.rounds = way != FLOATS;
    float *seen = seen_input(&wk, type, x, N, cols, way), *bias = random_floats(rows);
    struct mk_input in = input(x, N, cols, way);
    mk_matmul(&wk, &in, &(struct mk_product){&w, y, rows, bias, false}, 1);
    for (size_t i = 0; i < N; i++)
        for (size_t r = 0; r < rows; r++) {
            double sum = (double)bias[r], scale = fabs(sum);
            for (size_t k = 0; k < cols; k++) {
                const double t = (double)plain[r * cols + k] * (double)seen[i * cols + k];
                sum += t, scale += fabs(t);
            }
            if (fabs((double)y[i * rows + r] - sum) > 1e-5 * scale)
                fail_msg("%s [%zu, %zu]: row %zu is %g, want %g", mk_quants[type].name, rows, cols,
                         r, (double)y[i * rows + r], sum);
        }
    weight_free(&w, plain);
    free(x), free(y), free(seen), free(bias);
    mk_work_release(&wk);
}

static void all_types(void **state)
{
    (void)state;
    for (enum mk_type t = 0; t < MK_N_TYPES; t++) {
        if (mk_quants[t].kind == MK_PLAIN) continue;
        const size_t len = mk_quants[t].block_len;
        for (enum way way = 0; way < N_WAYS; way++) {
            check_type(t, way, 1, len);
            check_type(t, way, 37, 3 * (len > 1 ? len : 100));
            check_type(t, way, 16, len == 256 ? 2304 : 1184);
            check_type(t, way, 300, 768); /* more strips than are multiplied together */
        }
    }
}

/* 7 inputs at once with 7 threads equal one at a time with one.  96 rows are read in sixteen
 * streams when there is one input, 100 cannot be. */
static void check_bits(struct mk_work *one, struct mk_work *many, enum mk_type type, enum way way,
                       size_t rows)
{
    const size_t cols = 768;
    float *plain, *x = random_floats(N * cols), *bias = random_floats(rows), a[300];
    float *y = mk_calloc(N * rows, sizeof *y);
    struct mk_weight w = random_weight(type, rows, cols, &plain);
    struct mk_input in = input(x, N, cols, way);
    one->rounds = many->rounds = way != FLOATS;
    mk_matmul(many, &in, &(struct mk_product){&w, y, rows, bias, false}, 1);
    for (size_t i = 0; i < N; i++) {
        struct mk_input row = input(x + i * cols, 1, cols, way);
        mk_matmul(one, &row, &(struct mk_product){&w, a, rows, bias, false}, 1);
        assert_memory_equal(a, y + i * rows, rows * sizeof *a);
    }
    weight_free(&w, plain);
    free(x), free(y), free(bias);
}

static void same_bits(void **state)
{
    (void)state;
    struct mk_work one, many;
    mk_work_init(&one, 1, mk_cpu_detect());
    mk_work_init(&many, 7, mk_cpu_detect());
    many.worth_mac = 1;
    for (enum mk_type t = 0; t < MK_N_TYPES; t++) {
        if (mk_quants[t].kind == MK_PLAIN) continue;
        for (enum way way = 0; way < N_WAYS; way++) {
            check_bits(&one, &many, t, way, 96);
            check_bits(&one, &many, t, way, 100);
            check_bits(&one, &many, t, way, 300);
        }
    }
    mk_work_release(&one);
    mk_work_release(&many);
}

/* Several products in one job, rows that are views, and block scales across their borders; a view
 * from row 77 on has strips with two scales. */
static void check_views(bool rounds)
{
    struct mk_work wk;
    mk_work_init(&wk, 3, mk_cpu_detect());
    wk.worth_mac = 1;
    wk.rounds = rounds;
    const size_t rows = 300, cols = 224;
    float *plain, *x = random_floats(2 * cols), a[600], b[600];
    struct mk_weight w = random_weight(MK_F8_E4M3, rows, cols, &plain);
    float scale[6] = {0.5f, 3.0f, 7.0f, 0.25f, 1.5f, 11.0f};
    w.scale = scale, w.ld_scale = 2;
    const struct mk_weight low = mk_weight_rows(&w, 0, 77), high = mk_weight_rows(&w, 77, 223);
    struct mk_input in = mk_input(x, 2, cols, cols);
    mk_matmul(&wk, &in, &(struct mk_product){&w, a, rows, NULL, false}, 1);
    mk_matmul(&wk, &in,
              (const struct mk_product[]){{&low, b, rows, NULL, false},
                                          {&high, b + 77, rows, NULL, false}},
              2);
    float *row = mk_calloc(cols, sizeof *row);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0, mag = 0;
        mk_weight_decode(&wk.k, &high, r >= 77 ? r - 77 : 0, 1, row);
        for (size_t k = 0; k < cols; k++) {
            const float v = plain[r * cols + k] * scale[r / 128 * 2 + k / 128];
            if (r >= 77) assert_true(v == row[k]);
            const float seen = rounds ? mk_bf16_f32(mk_f32_bf16(x[k])) : x[k];
            sum += (double)v * (double)seen, mag += fabs((double)v * (double)seen);
        }
        assert_true(fabs((double)a[r] - sum) <= 1e-5 * mag);
        assert_true(fabs((double)b[r] - sum) <= 1e-5 * mag);
        assert_true(a[r] == b[r]);
    }
    weight_free(&w, plain);
    free(x), free(row);
    mk_work_release(&wk);
}

static void views_and_scales(void **state)
{
    (void)state;
    check_views(false);
    check_views(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_types),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(views_and_scales),
    };
    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
