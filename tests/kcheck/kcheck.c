/* kcheck - proves every optimised kernel against the scalar one, and times it.
 *
 *   kcheck [--seed N] [--only NAME] [--level NAME] [--bench] [--list]
 *
 * For each level from scalar up, each kernel that differs from the level below is
 * run on random and extreme inputs, first with every buffer ending at an unmapped
 * page, then with every buffer beginning after one.  NAME is an entry of
 * kernels.def, or entry.type.  The checks of scalar compare it with sums in double. */
#include "kcheck.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

const size_t kc_lengths[] = {0,  1,  3,  15, 16,  17,  31,  32,  33,   47,
                             48, 63, 64, 65, 127, 128, 257, 576, 1536, 7168};
const size_t kc_n_lengths = sizeof kc_lengths / sizeof *kc_lengths;

/* ---- buffers ---------------------------------------------------------------- */

enum { N_SLOT = 16, SLOT = 2 << 20, PAGE = 4096, CANARY = 192 };
static uint8_t *slots;
static size_t slot_bytes[N_SLOT];
static unsigned n_used;
static bool at_end; /* which side of the buffers the unmapped page is on */

static uint8_t *slot_start(unsigned i) { return slots + PAGE + (size_t)i * (SLOT + PAGE); }

static void map_slots(void)
{
    const size_t n = N_SLOT * (size_t)(SLOT + PAGE) + PAGE;
    slots = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) abort();
    for (unsigned i = 0; i < N_SLOT; i++)
        if (mprotect(slot_start(i), SLOT, PROT_READ | PROT_WRITE)) abort();
}

static uint8_t *slot_buf(unsigned i) { return slot_start(i) + (at_end ? SLOT - slot_bytes[i] : 0); }
static uint8_t *slot_canary(unsigned i)
{
    return at_end ? slot_buf(i) - CANARY : slot_buf(i) + slot_bytes[i];
}

void *kc_buf(size_t n)
{
    if (n_used == N_SLOT || n > SLOT - CANARY) abort();
    const unsigned i = n_used++;
    slot_bytes[i] = n;
    memset(slot_canary(i), 0xc5, CANARY);
    return memset(slot_buf(i), 0x5c, n);
}

void kc_reset(void) { n_used = 0; }

bool kc_canaries(void)
{
    for (unsigned i = 0; i < n_used; i++)
        for (const uint8_t *c = slot_canary(i), *end = c + CANARY; c < end; c++)
            if (*c != 0xc5) return false;
    return true;
}

void kc_note(struct kc *t, const char *fmt, ...)
{
    const size_t at = strlen(t->note);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->note + at, sizeof t->note - at, fmt, ap);
    va_end(ap);
}

/* ---- numbers ---------------------------------------------------------------- */

uint32_t kc_rnd(struct kc *t) { return (uint32_t)(mk_rng_u64(&t->rng) >> 32); }
size_t kc_below(struct kc *t, size_t n) { return kc_rnd(t) % n; }
float kc_rnd_f32(struct kc *t) { return (float)(int32_t)kc_rnd(t) * 0x1p-31f; }

float kc_rnd_any(struct kc *t, bool nans)
{
    static const float extreme[] = {0.0f,   -0.0f,  1e-40f, -1e-45f,  1e30f,
                                    -3e38f, 1e-38f, 127.5f, INFINITY, NAN};
    if (kc_rnd(t) % 8) return kc_rnd_f32(t);
    const float v = extreme[kc_below(t, nans ? 10 : 8)];
    return nans && kc_rnd(t) & 1 ? -v : v;
}

bool kc_same(float a, float b) { return !memcmp(&a, &b, sizeof a) || (isnan(a) && isnan(b)); }

size_t kc_differs(const float *a, const float *b, size_t n)
{
    size_t i = 0;
    while (i < n && kc_same(a[i], b[i])) i++;
    return i;
}

bool kc_near(double got, double want, double scale)
{
    if (isnan(want)) return isnan(got);
    if (isinf(want)) return got == want;
    return fabs(got - want) <= 1e-5 * scale + 1e-36;
}

double kc_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- the run ---------------------------------------------------------------- */

/* A kernel without its check does not link. */
static const struct check {
    const char *name;
    size_t offset;
    bool (*fn)(struct kc *);
    bool per_type;
} checks[] = {
#define K(name, ret, params) {#name, offsetof(struct mk_kernels, name), kc_##name, false},
#define T(name, ret, params) {#name, offsetof(struct mk_kernels, name), kc_##name, true},
#include "kernels/kernels.def"
#undef K
#undef T
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

static const struct {
    const char *name;
    unsigned flag;
} levels[] = {
    {"scalar", 0},
#define ISA(ID, name) {#name, MK_CPU(ID)},
#include "kernels/isa.def"
#undef ISA
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static struct {
    uint64_t seed;
    const char *only, *level;
    bool bench;
    struct kc_peak peak;
    int n_run, n_failed;
} run = {.seed = 0x6d696e6b65ull};

static sigjmp_buf crash;
static void on_crash(int sig) { siglongjmp(crash, sig); }

static void catch_crashes(void)
{
    const int sigs[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
        sigaction(sigs[i], &(struct sigaction){.sa_handler = on_crash, .sa_flags = SA_NODEFER},
                  NULL);
}

static bool run_side(const struct check *c, struct kc *t)
{
    const int sig = sigsetjmp(crash, 1);
    if (sig) FAIL("signal %d, buffers %s an unmapped page", sig, at_end ? "before" : "after");
    t->rng.state = run.seed;
    kc_reset();
    return c->fn(t);
}

static bool run_check(const struct check *c, struct kc *t)
{
    at_end = true;
    if (!run_side(c, t)) return false;
    at_end = false;
    t->bench = false;
    return run_side(c, t);
}

static bool wanted(const struct check *c, const char *type)
{
    if (!run.only) return true;
    const size_t n = strlen(c->name);
    if (strncmp(run.only, c->name, n)) return false;
    return !run.only[n] || (type && run.only[n] == '.' && !strcmp(run.only + n + 1, type));
}

static void run_entry(const struct check *c, const char *level, const struct kc *init,
                      const char *type)
{
    if (!wanted(c, type)) return;
    struct kc t = *init;
    const bool ok = run_check(c, &t);
    printf("%-4s %-10s %s%s%-*s %s", ok ? "ok" : "FAIL", level, c->name, type ? "." : "",
           20 - (int)strlen(c->name) - !!type, type ? type : "", ok ? "" : t.why);
    if (ok && t.ns_tst > 0)
        printf("%10.1f ns %6.2fx scalar  %s", t.ns_tst, t.ns_ref / t.ns_tst, t.note);
    putchar('\n');
    fflush(stdout);
    run.n_run++;
    run.n_failed += !ok;
}

/* The entries of k that are not those of the level below (NULL: all). */
static void run_level(const char *level, const struct mk_kernels *ref, const struct mk_kernels *k,
                      const struct mk_kernels *below)
{
    for (const struct check *c = checks; c < checks + N_CHECKS; c++)
        for (int i = 0; i < (c->per_type ? MK_N_TYPES : 1); i++) {
            const size_t off = c->offset + (size_t)i * sizeof(void (*)(void));
            if (c->per_type && mk_quants[i].kind == MK_PLAIN) continue;
            if (below &&
                !memcmp((const char *)k + off, (const char *)below + off, sizeof(void (*)(void))))
                continue;
            const struct kc t = {ref, k, (enum mk_type)i, run.bench, .peak = run.peak};
            run_entry(c, level, &t, c->per_type ? mk_quants[i].name : NULL);
        }
}

static void measure_peak(void)
{
    struct mk_kernels k;
    mk_kernels_select(&k, mk_cpu_detect());
    const struct kc_peak p = run.peak = kc_peak(&k);
    printf("one core: %.0f int8 GMAC/s, %.0f f32 GMAC/s, %.0f bf16 GMAC/s, reads %.1f GB/s\n",
           p.int8_mac, p.f32_mac, p.bf16_mac, p.read_bytes);
}

static int list(void)
{
    for (const struct check *c = checks; c < checks + N_CHECKS; c++)
        printf("%s%s\n", c->name, c->per_type ? ".TYPE" : "");
    for (size_t l = 0; l < N_LEVELS; l++)
        printf("level %s%s\n", levels[l].name,
               levels[l].flag & ~mk_cpu_detect() ? " (not on this CPU)" : "");
    return 0;
}

static int usage(void)
{
    fputs("usage: kcheck [--seed N] [--only NAME[.TYPE]] [--level NAME] [--bench] [--list]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench"))
            run.bench = true;
        else if (!strcmp(argv[i], "--list"))
            return list();
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            run.seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--only") && i + 1 < argc)
            run.only = argv[++i];
        else if (!strcmp(argv[i], "--level") && i + 1 < argc)
            run.level = argv[++i];
        else
            return usage();
    }
    map_slots();
    catch_crashes();
    if (run.bench) measure_peak();
    struct mk_kernels ref, below, k;
    mk_kernels_select(&ref, 0);
    below = ref;
    unsigned mask = 0;
    const unsigned have = mk_cpu_detect();
    for (size_t l = 0; l < N_LEVELS; l++) {
        if ((have & levels[l].flag) != levels[l].flag) continue;
        mask |= levels[l].flag;
        mk_kernels_select(&k, mask);
        if (!run.level || !strcmp(run.level, levels[l].name))
            run_level(levels[l].name, &ref, &k, l ? &below : NULL);
        below = k;
    }
    printf("kcheck: %d run, %d failed, seed %llu\n", run.n_run, run.n_failed,
           (unsigned long long)run.seed);
    return run.n_failed != 0;
}
