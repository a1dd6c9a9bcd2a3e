#include "cli/data_opts.h"

struct mk_data_opts mk_data_defaults(void)
{
    return (struct mk_data_opts){.talk = 0.08, .check = 0.2, .slip = 0.2, .easy = 0.2};
}

void mk_data_open(struct mk_source *out, const struct mk_data_opts *d, const struct mk_run *r,
                  size_t seed, size_t n_ctx)
{
    struct mk_err err;
    const struct mk_data_options file = {.tokenizer = r->tokenizer,
                                         .chat_template = d->chat_template,
                                         .n_ctx = n_ctx,
                                         .seed = seed,
                                         .n_epochs = d->n_epochs,
                                         .allow_duplicates = d->allow_duplicates};
    const struct mk_mix mix = {.seed = seed,
                               .n_ctx = n_ctx,
                               .direct = d->direct,
                               .talk = d->talk,
                               .check = d->check,
                               .slip = d->slip,
                               .noise = d->noise,
                               .easy = d->easy,
                               .tasks = d->tasks};
    const bool ok = d->file ? mk_source_open_file(out, d->file, &file, &err)
                            : mk_source_open_mix(out, &mix, r->tokenizer, &err);
    if (!ok) mk_cli_die(&err);
    fprintf(stderr, "data  %s\n", out->about);
}
