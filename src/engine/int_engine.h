#ifndef MK_ENGINE_INT_ENGINE_H
#define MK_ENGINE_INT_ENGINE_H
/* Private to engine/. */
#include "engine/engine.h"
#include "engine/lexicon.h"
#include "model/model.h"

#include <stdatomic.h>

struct mk_engine {
    struct mk_model model;
    struct mk_work work;
    struct mk_tokenizer *tokenizer;
    struct mk_err no_tokenizer; /* why there is none */
    struct mk_lexicon *lexicon; /* made for the first grammar */
    bool *has_text;             /* [n_vocab] ids that may be sampled; NULL without tokenizer */
    enum mk_type kv_type;
    size_t n_batch;
    atomic_bool is_canceled;
};

struct mk_session {
    struct mk_engine *engine;
    struct mk_kv kv; /* kv.n of the ids are evaluated */
    struct mk_ids ids;
    float *logits; /* [n_vocab] */
    bool has_logits;
    uint16_t *experts; /* [n_routed][n_active] of the row with the logits; NULL: not noted */
    bool has_experts;
    double *hidden; /* [d_model] sum over n_hidden tokens; NULL: not noted */
    size_t n_hidden;
};
#endif
