#ifndef MK_SERVER_SHAPE_H
#define MK_SERVER_SHAPE_H
/* What an answer must look like: JSON by a schema, or calls of tools.  From a request's fields to a
 * grammar (engine/grammar.h) that the job's generation follows once its thought, if any, is over.
 *
 * Compiled grammars are kept for later requests, the last MK_SHAPES of them. */
#include "chat/chat.h"
#include "engine/grammar.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

struct mk_shape_want {
    /* Text: at most one of these. */
    const json_t *schema;
    bool any_object;
    const char *regex;
    /* Calls. */
    const json_t *tools; /* OpenAI's list, or NULL */
    bool must_call;      /* else calls are free, but strict tools get what their schema says */
    const char *tool;    /* the only one that may be called, or NULL */
    bool is_parallel;    /* more than one call */
    /* Where the answer starts. */
    bool in_reasoning, may_think;
};
/* Whether the text is to be of some form. */
bool mk_shape_has_form(const struct mk_shape_want *w);
/* Whether anything is wanted at all. */
bool mk_shape_is_free(const struct mk_shape_want *w);

struct mk_shape { /* shared by jobs */
    struct mk_grammar *grammar;
    atomic_uint n_refs;
};
void mk_shape_release(struct mk_shape *s); /* NULL is fine */

enum { MK_SHAPES = 64 };
struct mk_shapes { /* zeroed but for the lock; locked inside */
    pthread_mutex_t lock;
    struct {
        uint8_t key[32];
        struct mk_shape *shape; /* NULL: empty */
        uint64_t used;
    } list[MK_SHAPES];
    uint64_t clock;
};
void mk_shapes_init(struct mk_shapes *s);
void mk_shapes_release(struct mk_shapes *s);
/* MK_EUNSUPPORTED and MK_ELIMIT say which part of the schema it is. */
bool mk_shapes_get(struct mk_shape **out, struct mk_shapes *s, const struct mk_shape_want *w,
                   const struct mk_template *t, const struct mk_tokenizer *tokenizer,
                   struct mk_err *err) MK_CHECKED;
#endif
