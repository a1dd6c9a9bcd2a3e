#ifndef MK_ENGINE_INT_AUTOMATON_H
#define MK_ENGINE_INT_AUTOMATON_H
/* Private to engine/.  A grammar as an automaton over bytes, built while it is used.
 *
 *   cell   a node to be matched and what to do after it: (node, how far, parent cell).  The
 *          chain of parents is a stack.  Equal cells are one cell.
 *   state  all that may come next: the set of cells whose node is a terminal, and cell 0 when
 *          the text is whole.  Equal sets are one state, and the step by each byte is
 *          remembered, so known ground costs a table look-up a byte.
 *
 * Every cell can be completed (grammar_check.c), so leaving cells out of a state can lose texts
 * but never leads to a dead end.  That is how the work is bounded: a state keeps at most
 * MAX_CELLS cells, found in MAX_VISITS visits.  Only ambiguous patterns come near. */
#include "engine/int_grammar.h"

struct mk_cell {
    uint32_t node, parent;
    uint32_t at;   /* SEQ: next child; TEXT: next byte; REPEAT: times to come at least */
    uint32_t left; /* REPEAT: times to come at most */
    uint32_t depth;
    uint32_t cost;  /* tokens that complete it and its parents, at most */
    uint32_t stamp; /* of the last step that visited it */
};

struct mk_state {
    uint32_t first, n; /* its cells, in order */
    uint32_t like;     /* the state with the same tokens, see mk_automaton_like(); 0: unknown */
    uint32_t *next;    /* [256] states, or MK_STEP_UNKNOWN; NULL: none is known */
    uint32_t *mask;    /* bits of tokens; belongs to the state, set by constraint.c */
};
#define MK_STEP_UNKNOWN UINT32_MAX

struct mk_automaton {
    const struct mk_grammar *g; /* keeps */
    struct mk_cell *cells;
    struct mk_state *states; /* 0: nothing fits */
    uint32_t *members;       /* cells of all states */
    size_t n_cells, cap_cells, n_states, cap_states, n_members, cap_members, n_masks;
    uint32_t *cell_slots, *state_slots; /* index + 1; open addressing, at most half full */
    size_t n_cell_slots, n_state_slots;
    /* The step being taken. */
    uint32_t *todo, *found;
    size_t n_todo, n_found, n_visits;
    uint32_t stamp;
    uint64_t n_work; /* visits of all steps: a measure of time */
};
void mk_automaton_init(struct mk_automaton *a, const struct mk_grammar *g);
void mk_automaton_release(struct mk_automaton *a);
uint32_t mk_automaton_start(struct mk_automaton *a);
/* 0 when the byte, or special token, cannot come.  is_named: only where the grammar names it. */
uint32_t mk_automaton_byte(struct mk_automaton *a, uint32_t state, unsigned byte);
uint32_t mk_automaton_token(struct mk_automaton *a, uint32_t state, int32_t id, bool is_named);
bool mk_automaton_is_whole(const struct mk_automaton *a, uint32_t state);
/* The text is whole and nothing can follow. */
bool mk_automaton_is_over(const struct mk_automaton *a, uint32_t state);
/* Tokens that make the text whole, at most. */
uint32_t mk_automaton_cost(const struct mk_automaton *a, uint32_t state);
/* A state with the same next n bytes, in which counts do not differ that n bytes cannot tell
 * apart: the middle of a string of at most 5000 characters is like the middle of another. */
uint32_t mk_automaton_like(struct mk_automaton *a, uint32_t state, uint32_t n);
/* More was built than so many halves of what is to be kept. */
bool mk_automaton_is_full(const struct mk_automaton *a, size_t halves);
/* Forgets all but a state; returns its new number. */
uint32_t mk_automaton_forget(struct mk_automaton *a, uint32_t state);
#endif
