#ifndef MK_ENGINE_INT_ENGINE_H
#define MK_ENGINE_INT_ENGINE_H
/* Private to engine/. */
#include "engine/engine.h"
#include "engine/lexicon.h"
#include "model/model.h"

#include <stdatomic.h>

struct mk_speculator;
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
    struct mk_speculator *speculator; /* NULL: nothing is guessed */
};

struct mk_session {
    struct mk_engine *engine;
    struct mk_kv kv; /* kv.n of the ids are evaluated */
    struct mk_ids ids;
    /* The logits behind the evaluated ids, and behind them with the first 1, 2, ... guesses: rows
     * [row, n_rows) of [cap_rows][n_vocab].  Keys and values of guesses lie above kv.n. */
    float *logits;
    size_t row, n_rows, cap_rows;
    struct mk_ids guess;
    uint16_t *experts; /* [cap_rows][n_routed][n_active] of the same rows; NULL: not noted */
    bool has_experts;
    /* [n_states][d_model] hidden states before the final norm, of positions states_pos on. */
    float *states;
    size_t n_states, states_pos, cap_states;
    bool notes_states;
    double *hidden; /* [d_model] sum over n_hidden tokens; NULL: not noted */
    size_t n_hidden;
};
#endif
