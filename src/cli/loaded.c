#include "cli/loaded.h"

void mk_loaded_open(struct mk_loaded *l, const char *path, bool is_bf16, size_t n_threads,
                    const char *cpu)
{
    struct mk_err err;
    unsigned level = mk_cpu_detect();
    *l = (struct mk_loaded){.trainable = {.params = &l->params}};
    if (cpu && !mk_cpu_limit(&level, cpu)) {
        mk_fail(&err, MK_EUSAGE, "--cpu %s: no such level here", cpu);
        mk_cli_die(&err);
    }
    mk_work_init(&l->wk, n_threads ? (unsigned)n_threads : mk_cpu_count(), level);
    if (!(is_bf16 ? mk_model_open_trainable(&l->model, path, &l->trainable, &err)
                  : mk_model_open(&l->model, path, &err)) ||
        (is_bf16 && !mk_params_pack(&l->wk, &l->params, &err)) ||
        !mk_tokenizer_open(&l->tokenizer, &l->model.tensors, &err))
        mk_cli_die(&err);
}

void mk_loaded_close(struct mk_loaded *l)
{
    mk_tokenizer_free(l->tokenizer);
    mk_model_close(&l->model);
    mk_params_release(&l->params);
    mk_work_release(&l->wk);
}
