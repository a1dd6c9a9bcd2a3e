#ifndef MK_CLI_LOADED_H
#define MK_CLI_LOADED_H
/* A model that answers many questions at a time, outside the engine: weights, tokenizer, threads.
 */
#include "cli/cli.h"
#include "model/model.h"
#include "tensor/params.h"

struct mk_loaded { /* must not move while it is open */
    struct mk_model model;
    struct mk_params params;
    struct mk_trainable trainable;
    struct mk_work wk;
    struct mk_tokenizer *tokenizer;
};
/* path: as mk_cli_model_path() gives it.  is_bf16: weights are rounded to bf16 and multiplied as
 * in training.  Ends the program with a message on failure. */
void mk_loaded_open(struct mk_loaded *l, const char *path, bool is_bf16, size_t n_threads,
                    const char *cpu);
void mk_loaded_close(struct mk_loaded *l);
#endif
