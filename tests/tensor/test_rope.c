/* Rotary frequencies against tables computed from the published formulas. */
#include "helpers.h"
#include "tensor/rope.h"

static const double yarn_v3[] = {1.0,
                                 0.7498942093,
                                 0.5623413252,
                                 0.4216965034,
                                 0.316227766,
                                 0.2371373706,
                                 0.177827941,
                                 0.1333521432,
                                 0.1,
                                 0.07498942093,
                                 0.05623413252,
                                 0.03900692657,
                                 0.02687936011,
                                 0.01837814622,
                                 0.01244795587,
                                 0.008334508951,
                                 0.0055,
                                 0.003561997494,
                                 0.002249365301,
                                 0.001370513636,
                                 0.000790569415,
                                 0.0004149903985,
                                 0.000177827941,
                                 3.33380358e-05,
                                 2.5e-05,
                                 1.874735523e-05,
                                 1.405853313e-05,
                                 1.054241259e-05,
                                 7.90569415e-06,
                                 5.928434264e-06,
                                 4.445698525e-06,
                                 3.33380358e-06};
static const double llama3[] = {1.0,
                                0.8146172339,
                                0.6636012377,
                                0.5405810046,
                                0.4403666027,
                                0.3587302238,
                                0.2922278226,
                                0.2380538205,
                                0.1939227447,
                                0.1579728099,
                                0.1286873734,
                                0.1048309522,
                                0.08539710029,
                                0.06956594961,
                                0.05666962145,
                                0.04616405027,
                                0.03760603093,
                                0.03063452089,
                                0.02495540867,
                                0.02032910598,
                                0.01656044008,
                                0.01349041989,
                                0.01098952853,
                                0.008952259336,
                                0.007292664737,
                                0.005940730376,
                                0.004839421346,
                                0.00394227603,
                                0.003211445995,
                                0.002166570764,
                                0.001371893568,
                                0.0008567514129,
                                0.000524846161,
                                0.0003126937504,
                                0.0001785078128,
                                9.556212354e-05,
                                7.784655274e-05,
                                6.341514346e-05,
                                5.165906875e-05,
                                4.208236769e-05,
                                3.428102196e-05,
                                2.792591128e-05,
                                2.27489286e-05,
                                1.853166929e-05,
                                1.509621718e-05,
                                1.229763868e-05,
                                1.00178684e-05,
                                8.160728247e-06,
                                6.647869871e-06,
                                5.415469365e-06,
                                4.411534675e-06,
                                3.593712174e-06,
                                2.92749987e-06,
                                2.384791846e-06,
                                1.942692537e-06,
                                1.582550821e-06,
                                1.289173172e-06,
                                1.050182683e-06,
                                8.554969126e-07,
                                6.969025286e-07,
                                5.677088101e-07,
                                4.624653805e-07,
                                3.76732269e-07,
                                3.068925989e-07};
static const double qwen_1e6[] = {1.0,
                                  0.8058421878,
                                  0.6493816316,
                                  0.5232991147,
                                  0.4216965034,
                                  0.3398208329,
                                  0.2738419634,
                                  0.2206734069,
                                  0.177827941,
                                  0.143301257,
                                  0.1154781985,
                                  0.09305720409,
                                  0.07498942093,
                                  0.06042963902,
                                  0.04869675252,
                                  0.03924189758,
                                  0.0316227766,
                                  0.02548296748,
                                  0.02053525026,
                                  0.016548171,
                                  0.01333521432,
                                  0.01074607828,
                                  0.008659643234,
                                  0.006978305849,
                                  0.005623413252,
                                  0.004531583638,
                                  0.003651741273,
                                  0.002942727176,
                                  0.002371373706,
                                  0.001910952975,
                                  0.001539926526,
                                  0.001240937761,
                                  0.001,
                                  0.0008058421878,
                                  0.0006493816316,
                                  0.0005232991147,
                                  0.0004216965034,
                                  0.0003398208329,
                                  0.0002738419634,
                                  0.0002206734069,
                                  0.000177827941,
                                  0.000143301257,
                                  0.0001154781985,
                                  9.305720409e-05,
                                  7.498942093e-05,
                                  6.042963902e-05,
                                  4.869675252e-05,
                                  3.924189758e-05,
                                  3.16227766e-05,
                                  2.548296748e-05,
                                  2.053525026e-05,
                                  1.6548171e-05,
                                  1.333521432e-05,
                                  1.074607828e-05,
                                  8.659643234e-06,
                                  6.978305849e-06,
                                  5.623413252e-06,
                                  4.531583638e-06,
                                  3.651741273e-06,
                                  2.942727176e-06,
                                  2.371373706e-06,
                                  1.910952975e-06,
                                  1.539926526e-06,
                                  1.240937761e-06};

static void same(const struct mk_rope *r, const double *want, size_t n)
{
    assert_int_equal(r->n_pair, n);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)r->freq[i] - want[i]) <= 1e-6 * want[i]);
}

static void tables(void **state)
{
    (void)state;
    struct mk_rope r;
    mk_rope_init(&r, 32, false, 10000);
    mk_rope_yarn(&r, 10000, 40, 4096, 32, 1);
    same(&r, yarn_v3, sizeof yarn_v3 / sizeof *yarn_v3);
    mk_rope_init(&r, 64, true, 500000);
    mk_rope_llama3(&r, 8, 1, 4, 8192);
    same(&r, llama3, sizeof llama3 / sizeof *llama3);
    mk_rope_init(&r, 64, true, 1e6);
    same(&r, qwen_1e6, sizeof qwen_1e6 / sizeof *qwen_1e6);
}

static void temperature(void **state)
{
    (void)state;
    assert_true(fabs(mk_yarn_mscale(40, 1.0) - 1.36888794541) < 1e-9);
    assert_true(fabs(mk_yarn_mscale(40, 0.707) - 1.26080377741) < 1e-9);
    assert_true(mk_yarn_mscale(1, 1.0) == 1.0);
}

/* Turning keeps lengths, and dot products depend on distance only. */
static void rotation(void **state)
{
    (void)state;
    struct mk_work wk;
    struct mk_rope r;
    mk_work_init(&wk, 1, mk_cpu_detect());
    for (int halves = 0; halves < 2; halves++) {
        mk_rope_init(&r, 16, halves, 10000);
        float *x = random_floats(32), a[64], b[64];
        const size_t pos[] = {3, 10}, later[] = {1003, 1010};
        for (int i = 0; i < 64; i++) a[i] = b[i] = x[i % 32];
        mk_rope_apply(&wk, &r, mk_rope_table(&wk, &r, pos, 2), a, 2, 32, 1, 32);
        mk_rope_apply(&wk, &r, mk_rope_table(&wk, &r, later, 2), b, 2, 32, 1, 32);
        double near = 0, far = 0, length = 0, before = 0;
        for (int i = 0; i < 32; i++) {
            near += (double)a[i] * (double)a[32 + i], far += (double)b[i] * (double)b[32 + i];
            length += (double)a[i] * (double)a[i], before += (double)x[i] * (double)x[i];
        }
        assert_true(fabs(length - before) < 1e-4 && fabs(near - far) < 1e-2);
        assert_true(fabs(near - before) > 1e-2);
        free(x);
    }
    mk_work_release(&wk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),
        cmocka_unit_test(temperature),
        cmocka_unit_test(rotation),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
