#ifndef MK_ENGINE_GENERATE_H
#define MK_ENGINE_GENERATE_H
/* A request on a session: prompt, sampling, stop conditions, and the answer as it grows.
 * Any number of generations step together. */
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/sample.h"

enum mk_finish {
    MK_FINISH_NONE,
    MK_FINISH_STOP,   /* the model ended its turn, or a stop string appeared */
    MK_FINISH_LENGTH, /* max_toks reached, or the context is full */
    MK_FINISH_CANCEL,
    MK_FINISH_LOOP, /* it says the same again and again: set by whoever watches */
    MK_N_FINISH
};
const char *mk_finish_name(enum mk_finish f); /* "stop", "length", "cancel", "repetition" */

enum { MK_NO_EXPERT = UINT16_MAX };

struct mk_generation {
    /* Set by the caller before _start, kept until _release. */
    struct mk_session *session;
    struct mk_sampling sampling;
    const char *const *stops; /* n_stops texts that end the answer and are not part of it */
    size_t n_stops;
    const int32_t *stop_ids; /* besides the model's own eos */
    size_t n_stop_ids;
    bool ignores_eos;
    /* What the answer may be, NULL: anything.  The turn ends only where the text is whole, and
     * by itself (MK_FINISH_STOP) when nothing can follow. */
    const struct mk_grammar *grammar;
    size_t max_toks; /* 0: until the context is full */
    bool wants_experts;
    bool only_reads; /* the prompt, noting hidden states; then it ends with MK_FINISH_STOP */

    /* Results. */
    enum mk_finish finish;
    size_t stop;                /* which of the stops ended it; SIZE_MAX: none did */
    struct mk_str text;         /* the answer so far: whole characters, special tokens as text */
    struct mk_ids ids;          /* its tokens, without the one that ended it */
    struct mk_sampled *sampled; /* [ids.n] */
    /* [ids.n][n_routed][n_active] the experts that computed each token, NULL unless wanted;
     * MK_NO_EXPERT for one that was said. */
    uint16_t *experts;
    size_t n_choice;           /* n_routed * n_active */
    size_t n_prompt, n_kept;   /* tokens of the prompt, and how many were reused */
    size_t n_guessed, n_right; /* tokens that were guessed, and those that came (speculate.h) */
    double prompt_s, answer_s; /* seconds spent so far */

    /* Private. */
    struct mk_sampler sampler;
    struct mk_constraint *constraint; /* NULL without a grammar */
    struct mk_guesser *guesser;       /* NULL: nothing is guessed */
    struct mk_token_stream stream;
    struct mk_str held;      /* text that may be the beginning of a stop */
    struct mk_sampled drawn; /* the next token, if it is drawn already */
    bool is_drawn;
    size_t n_sampled_cap;
};

/* The model's own settings (generation_config.json), for what it does not say R1's advice:
 * temperature 0.6, top_p 0.95. */
bool mk_sampling_defaults(const struct mk_engine *e, struct mk_sampling *out,
                          struct mk_err *err) MK_CHECKED;
/* Makes the session's timeline the prompt (reusing what is already there). */
bool mk_generation_start(struct mk_generation *g, const int32_t *prompt, size_t n,
                         struct mk_err *err) MK_CHECKED;
/* Evaluates one step of all that are not finished, at most n_most tokens in all (0: what the engine
 * can); those whose prompt is read get one token each.  Where a step before has evaluated tokens
 * that were guessed right, nothing is evaluated and only those generations get a token.  On
 * MK_ECANCELED they keep what they have: finish is MK_FINISH_CANCEL. */
bool mk_generations_step(struct mk_engine *e, struct mk_generation *const *g, size_t n,
                         size_t n_most, struct mk_err *err) MK_CHECKED;
/* Goes on with this token as if it had been sampled.  Between steps, when the prompt is read.
 * False, and nothing changes, when it has ended or the grammar does not allow it. */
bool mk_generation_say(struct mk_generation *g, int32_t id);
/* Ends it, with what is held back. */
void mk_generation_end(struct mk_generation *g, enum mk_finish why);
/* Whether the last tokens repeat themselves: 16 times, and 256 tokens, or more. */
bool mk_generation_loops(const struct mk_generation *g);
/* Tokens of the prompt that are evaluated. */
size_t mk_generation_read(const struct mk_generation *g);
void mk_generation_release(struct mk_generation *g); /* not the session */
#endif
