#ifndef MK_TRAIN_CHECKPOINT_H
#define MK_TRAIN_CHECKPOINT_H
/* What a run leaves on disk:
 *
 *   RUN/run.json             what the run was asked to do, and its hash
 *   RUN/lock                 held by the process that writes the run
 *   RUN/metrics.jsonl        one object a step;  RUN/events.out.tfevents.*  the same
 *   RUN/latest               the name of the newest whole checkpoint
 *   RUN/step-00000400/       a model folder like any other (config.json, tokenizer.json,
 *                            model.safetensors under Hugging Face's names) and
 *     optimizer.safetensors  moments, exp_avg/NAME and exp_avg_sq/NAME
 *     reference.safetensors  RL with a reference: its parameters
 *     trainer.json           step, cursor, random state, hash of the run's configuration
 *
 * When the parameters are adapters of a model, adapter_model.safetensors and adapter_config.json
 * (as the PEFT library has them) stand for model.safetensors and config.json.
 *
 * A checkpoint is written into a folder of another name, synced and renamed; `latest` is
 * replaced after that.  Older ones are removed after the newer one is whole.  A kill at any moment
 * leaves the last whole checkpoint, and so does a disk that is full. */
#include "base/folder.h"
#include "model/model.h"
#include "token/token.h"
#include "train/optim.h"

/* Makes the folder of a run if need be and takes it for this process; another process that has it
 * gives MK_EBUSY.  Whoever writes into a run does this first; mk_lock_release() at the end. */
bool mk_run_lock(struct mk_lock *out, const char *run, struct mk_err *err) MK_CHECKED;

struct mk_checkpoint {
    const struct mk_model *model;         /* with params */
    const struct mk_tokenizer *tokenizer; /* may be NULL */
    const struct mk_optim *optim;
    uint64_t step;        /* steps that are done */
    const char *state;    /* JSON object of the stage: cursors, random states, counters; numbers
                             from 2^63 on as strings */
    const char *run_hash; /* what must not change between a stop and a resume: any text, or a JSON
                             object, of which messages name the members that changed */
    float *reference;     /* [params.n] other values of the parameters, or NULL */
};
/* Values that are not finite are not saved: that fails and names the parameter.  keep: how many
 * checkpoints up to this step remain, 0 for all. */
bool mk_checkpoint_save(const char *run, const struct mk_checkpoint *c, size_t keep,
                        struct mk_err *err) MK_CHECKED;
/* Removes what kills left behind, and of the checkpoints up to step `last` all but the newest
 * `keep` (0: none is removed). */
bool mk_checkpoint_prune(const char *run, uint64_t last, size_t keep,
                         struct mk_err *err) MK_CHECKED;
/* The path of the newest whole checkpoint of a run, free() it.  NULL when there is none: then
 * err->code is MK_OK unless something is wrong with what is there. */
char *mk_checkpoint_latest(const char *run, struct mk_err *err);
/* Values, moments, step and state, for a model that was opened for training from the folder `path`
 * or from where the run began.  Fails when the hash is another, or when tensors are missing, too
 * many or of another shape; then nothing changed.  mk_params_pack() comes after it. */
bool mk_checkpoint_load(const char *path, const struct mk_params *p, struct mk_optim *optim,
                        const char *run_hash, uint64_t *step, struct mk_str *state,
                        struct mk_err *err) MK_CHECKED;

/* The reference that was saved with it. */
bool mk_checkpoint_load_reference(const char *path, const struct mk_params *p, float *reference,
                                  struct mk_err *err) MK_CHECKED;
/* The path of a model: the newest checkpoint if `path` is the folder of a run, else itself.
 * free() it. */
char *mk_run_model(const char *path);

/* The model alone as a folder that any program can open, or its adapters; t may be NULL.  type: of
 * matrices (F32, F16, BF16); vectors stay F32.  dir is made if need be; the files of a model in
 * it are replaced, each when the new one is whole, config.json last. */
bool mk_model_save(const char *dir, const struct mk_model *m, const struct mk_tokenizer *t,
                   enum mk_type type, struct mk_err *err) MK_CHECKED;
#endif
