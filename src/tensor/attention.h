#ifndef MK_TENSOR_ATTENTION_H
#define MK_TENSOR_ATTENTION_H
/* Causal attention over a session's keys and values, with the softmax computed on the fly
 * in tiles of 64 keys (Milakov and Gimelshein 2018; Dao et al. 2022).  Tiles start at
 * multiples of 64 positions, so a query's arithmetic does not depend on how its prompt was
 * cut into steps; nor does it where results of 256 keys are joined (int_units.h). */
#include "tensor/kv.h"

enum { MK_TILE = 64 }; /* keys */

/* A run of tokens of one session: rows [first, first + n) of the step's matrices stand at
 * positions [pos, pos + n) of kv. */
struct mk_span {
    struct mk_kv *kv;
    size_t first, n, pos;
};

/* While recording, spans are whole sequences: pos is 0, and each has a cache of its own, of
 * floats (mk_kv_init_arena).  q, keys and values, and out must not change before backward. */

/* Grouped-query attention: q [n_tok][n_head * d_head] (rotated), out the same shape; head h
 * reads key/value head h / (n_head / n_kv_head).  Keys and values are already in the cache. */
struct mk_gqa {
    size_t n_head, n_kv_head, d_head;
    float scale;
};
void mk_attention_gqa(struct mk_work *wk, const struct mk_gqa *a, size_t layer,
                      const struct mk_span *spans, size_t n_spans, const float *q, float *out);

/* Multi-head latent attention (DeepSeek-V2, section 2.1).  The cache row is the latent c
 * [d_latent] and the shared rotated key [d_rope].  Per head h, with Wuk[h] [d_nope][d_latent]
 * and Wuv[h] [d_v][d_latent]:
 *   expanded   k = Wuk c, v = Wuv c for every cached position; for many new tokens
 *   absorbed   s = (Wuk^T q) . c, o = Wuv (sum p c); for few */
enum mk_mla_form {
    MK_MLA_BY_COUNT, /* expanded for spans of MK_MLA_EXPAND tokens and more */
    MK_MLA_EXPANDED,
    MK_MLA_ABSORBED
};
enum { MK_MLA_EXPAND = 32 };

struct mk_mla {
    size_t n_head, d_latent, d_nope, d_rope, d_v;
    float scale;
    /* One of: kv_b [n_head * (d_nope + d_v)][d_latent], or k_b [n_head * d_latent][d_nope]
     * (Wuk transposed per head) with v_b [n_head * d_v][d_latent]. */
    const struct mk_weight *kv_b, *k_b, *v_b;
    enum mk_mla_form form;
};
/* q [n_tok][n_head * (d_nope + d_rope)], nope part first, rope part rotated; rows [n_tok]
 * [d_latent + d_rope] are those of the step's tokens, which it puts into the caches;
 * out [n_tok][n_head * d_v].
 *
 * While recording, kv_b is multiplied with all latents of the step at once, by mk_matmul(), and
 * the caches stay empty; except with form MK_MLA_ABSORBED, when out has the bits of inference. */
void mk_attention_mla(struct mk_work *wk, const struct mk_mla *a, size_t layer,
                      const struct mk_span *spans, size_t n_spans, const float *q,
                      const float *rows, float *out);
#endif
