#ifndef MK_TRAIN_INT_CHECKPOINT_H
#define MK_TRAIN_INT_CHECKPOINT_H
/* Private to checkpoints: floats in memory that are tensors of a file. */
#include "train/checkpoint.h"

struct mk_entry {
    char *name;
    const struct mk_param *param; /* its shape */
    float *v;
    enum mk_type type; /* in the file */
};
struct mk_entries { /* zeroed is valid and empty */
    struct mk_entry *v;
    size_t n;
};
/* Parameters, matrices as type and vectors as F32; and their moments. */
struct mk_entries mk_entries_of_params(const struct mk_params *p, enum mk_type type);
/* Other values [p->n] of the same parameters. */
struct mk_entries mk_entries_of_values(const struct mk_params *p, float *v, enum mk_type type);
struct mk_entries mk_entries_of_moments(const struct mk_params *p, const struct mk_optim *opt);
void mk_entries_release(struct mk_entries *e);

/* dir/name.  Fails at a value that is not finite. */
bool mk_entries_write(const struct mk_entries *e, const char *dir, const char *name,
                      struct mk_err *err) MK_CHECKED;
/* The file has these tensors in this form and no others. */
struct mk_entries_file {
    struct mk_tensors tensors;
    const struct mk_entries *entries;
};
bool mk_entries_open(struct mk_entries_file *out, const struct mk_entries *e, const char *dir,
                     const char *name, struct mk_err *err) MK_CHECKED;
/* Fills the entries' values; they are F32. */
void mk_entries_read(const struct mk_entries_file *f);
void mk_entries_close(struct mk_entries_file *f); /* zeroed is valid */

static inline const char *mk_params_file(const struct mk_params *p)
{
    return p->lora_alpha > 0 ? "adapter_model.safetensors" : "model.safetensors";
}
#endif
