#ifndef MK_SERVER_REPLAY_H
#define MK_SERVER_REPLAY_H
/* What models wrote, token by token, so that the next turn of a conversation has the same tokens
 * and nothing of it is read again.  Clients send back text, which loses two things:
 *
 *   - how it was cut into tokens: a model may write "un" "der" where the tokenizer has "under";
 *   - how a call's arguments were spaced: clients parse them and write them anew.
 *
 * The first is known by where it stands and its usual tokens, the second by the call's id.  Owners
 * are kept apart.  The last 4096 things are remembered.  For any thread. */
#include "token/token.h"

#include <pthread.h>
#include <stdbool.h>

enum { MK_REPLAY_SETS = 1024, MK_REPLAY_WAYS = 4 };
struct mk_replay { /* zeroed but for the lock; locked inside */
    pthread_mutex_t lock;
    struct mk_memo {
        uint8_t key[32];
        void *bytes; /* NULL: empty */
        size_t n;
        uint64_t used;
    } memos[MK_REPLAY_SETS][MK_REPLAY_WAYS];
    uint64_t clock;
    size_t n_bytes;
};
void mk_replay_init(struct mk_replay *r);
void mk_replay_release(struct mk_replay *r);

/* Remembers what was written after a prompt. */
void mk_replay_keep(struct mk_replay *r, uint64_t owner, const struct mk_tokenizer *t,
                    const struct mk_ids *prompt, const struct mk_ids *answer);
/* Gives what the owner's models wrote its tokens back. */
void mk_replay_ids(struct mk_replay *r, uint64_t owner, const struct mk_tokenizer *t,
                   struct mk_ids *prompt);

/* The id of the n-th call that answers a request: "call_00_" and 24 letters and digits. */
enum { MK_CALL_ID = 40 };
void mk_call_id(char out[MK_CALL_ID], const char *request, size_t n);
void mk_replay_keep_call(struct mk_replay *r, uint64_t owner, const char *id,
                         const char *arguments);
/* The arguments of that call as they were written, to free(); NULL: unknown, or they were not the
 * same JSON as these. */
char *mk_replay_call(struct mk_replay *r, uint64_t owner, const char *id, const char *arguments);
#endif
