/* Learning rates at points where they are known. */
#include "train/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static double at(const struct mk_schedule *s, double done)
{
    return mk_schedule_lr(s, s->n_warmup, done);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-15)) fail_msg("%.17g, want %.17g", got, want);
}

static void warms_up(void **state)
{
    (void)state;
    const struct mk_schedule s = {.kind = MK_LR_CONSTANT, .lr = 0.5, .n_warmup = 4};
    static const double want[] = {0.125, 0.25, 0.375, 0.5, 0.5};
    for (uint64_t i = 0; i < 5; i++) near(mk_schedule_lr(&s, i, 0), want[i]);
    near(mk_schedule_lr(&s, 1000000, 1), 0.5);
    /* The shape goes on underneath. */
    const struct mk_schedule linear = {.kind = MK_LR_LINEAR, .lr = 1, .n_warmup = 4};
    near(mk_schedule_lr(&linear, 1, 0.5), 0.25);
    /* Without warm-up the first step has the full rate. */
    const struct mk_schedule none = {.kind = MK_LR_CONSTANT, .lr = 0.5};
    near(mk_schedule_lr(&none, 0, 0), 0.5);
}

static void cosine(void **state)
{
    (void)state;
    const struct mk_schedule s = {.kind = MK_LR_COSINE, .lr = 2, .end = 0.1, .n_warmup = 3};
    near(at(&s, 0), 2);
    near(at(&s, 1.0 / 3), 2 * (0.1 + 0.9 * 0.75)); /* cos 60 degrees */
    near(at(&s, 0.5), 2 * (0.1 + 0.9 * 0.5));
    near(at(&s, 1), 0.2);
}

static void linear(void **state)
{
    (void)state;
    const struct mk_schedule s = {.kind = MK_LR_LINEAR, .lr = 2, .end = 0.25};
    near(at(&s, 0), 2);
    near(at(&s, 0.25), 2 * (0.25 + 0.75 * 0.75));
    near(at(&s, 1), 0.5);
}

static void warm_stable_decay(void **state)
{
    (void)state;
    const struct mk_schedule s = {.kind = MK_LR_WSD, .lr = 1, .end = 0.1, .tail = 0.25};
    near(at(&s, 0), 1);
    near(at(&s, 0.75), 1);
    near(at(&s, 0.875), 0.1 + 0.9 * 0.5);
    near(at(&s, 1), 0.1);
    const struct mk_schedule never = {.kind = MK_LR_WSD, .lr = 1, .end = 0.1, .tail = 0};
    near(at(&never, 1), 1);
    const struct mk_schedule always = {.kind = MK_LR_WSD, .lr = 1, .end = 0, .tail = 1};
    near(at(&always, 0), 1);
    near(at(&always, 0.5), 0.5);
    near(at(&always, 1), 0);
}

/* A run that takes longer than planned stays at the end. */
static void beyond_the_ends(void **state)
{
    (void)state;
    static const enum mk_schedule_kind kinds[] = {MK_LR_COSINE, MK_LR_LINEAR, MK_LR_WSD};
    for (size_t i = 0; i < 3; i++) {
        const struct mk_schedule s = {.kind = kinds[i], .lr = 1, .end = 0.3, .tail = 0.5};
        near(at(&s, 1.5), 0.3);
        near(at(&s, -1), 1);
        double last = 1;
        for (int step = 0; step <= 100; step++) { /* never rises */
            const double lr = at(&s, step / 100.0);
            assert_true(lr <= last && lr >= 0.3 - 1e-15);
            last = lr;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warms_up),        cmocka_unit_test(cosine),
        cmocka_unit_test(linear),          cmocka_unit_test(warm_stable_decay),
        cmocka_unit_test(beyond_the_ends),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
