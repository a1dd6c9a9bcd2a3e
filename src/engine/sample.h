#ifndef MK_ENGINE_SAMPLE_H
#define MK_ENGINE_SAMPLE_H
/* From logits to a token.  In this order: forbidden ids, logit bias, penalties; then
 * temperature, top-k, top-p, min-p, and a draw.  (Temperature before the cuts, as Hugging
 * Face and vLLM do.)  Equal logits rank by lower id, so a seed fixes the result. */
#include "base/mem.h"
#include "base/rng.h"
#include "tensor/tensor.h"
#include "token/token.h"

#include <stdint.h>

struct mk_bias {
    int32_t id;
    float add; /* -infinity forbids */
};

struct mk_sampling {
    float temperature;        /* 0: greedy */
    int32_t top_k;            /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off; relative to the most likely token */
    float repetition_penalty; /* 1: off; divides positive, multiplies negative logits of seen tokens
                               */
    float presence_penalty;   /* 0: off; subtracted once from tokens generated so far */
    float frequency_penalty;  /* 0: off; subtracted for each time */
    const struct mk_bias *bias;
    size_t n_bias;
    uint64_t seed;
    bool wants_logprobs;
    size_t n_top; /* alternatives to report with them, at most MK_MAX_TOP */
};
enum { MK_MAX_TOP = 20 };
/* Checks ranges; the message names the field and the value. */
bool mk_sampling_check(const struct mk_sampling *s, size_t n_vocab, struct mk_err *err) MK_CHECKED;

struct mk_logprob {
    int32_t id;
    float logprob; /* natural, of the model's own distribution before any setting above */
};
struct mk_sampled {
    int32_t id;
    float logprob;                     /* this and top only where they are wanted */
    struct mk_logprob top[MK_MAX_TOP]; /* n_top of them, most likely first */
};

struct mk_sampler {
    const struct mk_kernels *k;    /* keeps */
    const struct mk_sampling *set; /* keeps */
    struct mk_rng rng;
    const bool *allowed; /* [n_vocab] or NULL; keeps */
    size_t n_vocab;
    float *work;             /* [n_vocab] */
    struct mk_logprob *pool; /* [n_vocab] candidates */
    uint32_t *n_made;        /* [n_vocab] times in the answer */
    bool *is_seen;           /* [n_vocab] whether in prompt or answer */
    struct mk_ids seen;      /* those that are */
};
void mk_sampler_init(struct mk_sampler *s, const struct mk_kernels *k,
                     const struct mk_sampling *set, const bool *allowed, size_t n_vocab);
void mk_sampler_release(struct mk_sampler *s);
/* Counts a token of the prompt (is_made false) or of the answer. */
void mk_sampler_note(struct mk_sampler *s, int32_t id, bool is_made);
/* logits [n_vocab].  The caller notes the result, which is always one of those allowed. */
struct mk_sampled mk_sample(struct mk_sampler *s, const float *logits);
/* Which of v [n] is the largest, of equals the first; NaN never is. */
size_t mk_likeliest(const struct mk_kernels *k, const float *v, size_t n);
#endif
