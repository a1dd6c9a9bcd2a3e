#ifndef MK_TRAIN_ADAPTER_H
#define MK_TRAIN_ADAPTER_H
/* Low-rank adapters (Hu et al. 2021) folded into the weights they were trained beside:
 *
 *   W += alpha / rank * B A        A [rank][cols], B [rows][rank]
 *
 * From a folder as minke or the PEFT library write it: adapter_config.json and
 * adapter_model.safetensors. */
#include "tensor/params.h"

/* p: all weights of the base model, see mk_model_open_trainable().  Fails, and changes nothing,
 * when the adapters are of another kind or do not fit the model. */
bool mk_adapter_merge(const struct mk_params *p, const char *dir, struct mk_err *err) MK_CHECKED;
#endif
