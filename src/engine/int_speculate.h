#ifndef MK_ENGINE_INT_SPECULATE_H
#define MK_ENGINE_INT_SPECULATE_H
/* Private to engine/: who guesses (drafters), and who decides how much (speculate.h). */
#include "engine/generate.h"
#include "engine/int_engine.h"

enum { MK_GUESS_KINDS = 4, MK_TIMED_ROWS = 64 };

/* A way to guess; its state belongs to one generation. */
struct mk_drafter {
    const char *name;
    /* Share of right guesses to begin with: of the first of each kind, and of those behind right
     * ones. */
    float first[MK_GUESS_KINDS], then;
    bool is_free; /* guessing costs next to nothing */
    void *(*open)(struct mk_speculator *s, struct mk_session *session);
    void (*close)(void *d);
    /* Before every step of the session; or NULL.  is_used: its guesses paid lately. */
    void (*follow)(void *d, bool is_used);
    /* What kind of guess it would make now, 0..MK_GUESS_KINDS - 1: those of a kind are right
     * equally often.  -1: it has none. */
    int (*look)(void *d);
    /* At most n ids that may follow the timeline, after _look. */
    size_t (*guess)(void *d, size_t n, int32_t *out);
};
extern const struct mk_drafter mk_drafter_ngram, mk_drafter_mtp, mk_drafter_model;

/* How often the first, second, ... guess is right where those before it were. */
struct mk_odds {
    float right[MK_GUESS_MAX];
};
struct mk_speculator {
    struct mk_engine *engine, *draft; /* draft: owned, or NULL */
    const struct mk_drafter *drafter;
    size_t max;
    bool is_eager;
    uint64_t n_steps;
    struct {
        double s; /* smoothed */
        uint64_t step;
    } timed[MK_TIMED_ROWS + 1]; /* steps by their rows; s 0: never */
    double guess_s;             /* for each guess */
    size_t n_idle;              /* tokens since it guessed for a step */
    /* Shares of right guesses over all generations, see mk_guesser. */
    struct mk_odds odds[MK_GUESS_KINDS];
    size_t n_rows; /* of the step to be timed; 0: it is not */
};
bool mk_speculator_new(struct mk_speculator **out, struct mk_engine *e,
                       const struct mk_engine_options *o, struct mk_err *err) MK_CHECKED;
void mk_speculator_free(struct mk_speculator *s); /* NULL is fine */
/* Gives the sessions guesses for the step that comes next. */
void mk_speculator_guess(struct mk_speculator *s, struct mk_generation *const *g, size_t n);
/* That step took so long. */
void mk_speculator_time(struct mk_speculator *s, double seconds);

/* Of one generation. */
struct mk_guesser;
struct mk_guesser *mk_guesser_new(struct mk_speculator *s, struct mk_session *session);
void mk_guesser_free(struct mk_guesser *g); /* NULL is fine */
/* The next token was drawn; counts it if it was guessed and evaluated. */
void mk_guesser_see(struct mk_guesser *g, int32_t id, size_t *n_right);
void mk_guesser_forget(struct mk_guesser *g); /* the next token was said */

int32_t mk_likeliest(const float *logits, size_t n); /* of equals the first */
#endif
