#ifndef MK_BASE_RNG_H
#define MK_BASE_RNG_H
/* Random numbers that are the same on every machine.  State is one word: copy
 * it to save it.  splitmix64 (Steele, Lea, Flood 2014). */
#include <stdint.h>

struct mk_rng {
    uint64_t state;
};
static inline uint64_t mk_rng_u64(struct mk_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
/* Uniform in [0, 1), 53 bits. */
static inline double mk_rng_f64(struct mk_rng *r)
{
    return (double)(mk_rng_u64(r) >> 11) * 0x1p-53;
}
/* Standard normal (Box-Muller, one of the two values). */
double mk_rng_normal(struct mk_rng *r);
#endif
