/* The loops that measure peaks: they have to do, and to count, the same for each round.
 * That they do what they count shows in the speed: see --bench. */
#include "kcheck.h"

static bool check_peak(struct kc *t, uint64_t (*ref)(size_t), uint64_t (*tst)(size_t),
                       const char *unit)
{
    static const size_t rounds[] = {0, 1, 2, 1000};
    const uint64_t one = tst(1);
    if (one == 0) FAIL("counts nothing");
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++)
        if (tst(rounds[i]) != one * rounds[i])
            FAIL("%zu rounds: counts %llu, want %llu", rounds[i],
                 (unsigned long long)tst(rounds[i]), (unsigned long long)(one * rounds[i]));
    /* A round that took no time would be one that the compiler has done away with. */
    const size_t n = 1 << 20;
    const double start = kc_now();
    tst(n);
    const double per_ns = (double)one * (double)n / (kc_now() - start);
    if (per_ns > 1e5) FAIL("%.0f a ns cannot be", per_ns);
    if (!t->bench) return true;
    const size_t same = 1 << 24; /* multiply-adds */
    KC_TIME(t->ns_ref, ref(same / ref(1)));
    KC_TIME(t->ns_tst, tst(same / one));
    kc_note(t, "%.0f %s", (double)same / t->ns_tst, unit);
    return true;
}

bool kc_peak_i8(struct kc *t)
{
    return check_peak(t, t->ref->peak_i8, t->tst->peak_i8, "int8 GMAC/s");
}

bool kc_peak_f32(struct kc *t)
{
    return check_peak(t, t->ref->peak_f32, t->tst->peak_f32, "f32 GMAC/s");
}

bool kc_peak_bf16(struct kc *t)
{
    return check_peak(t, t->ref->peak_bf16, t->tst->peak_bf16, "bf16 GMAC/s");
}
