/* minke sft: a model learns from examples. */
#include "cli/data_opts.h"

int mk_cmd_sft(int argc, char **argv)
{
    static struct mk_stage_opts o;
    static struct mk_data_opts d;
    o = mk_stage_defaults();
    d = mk_data_defaults();
    o.lr = 2e-4, o.n_warmup = 20, o.schedule = "cosine", o.lr_end = 0.1;
    d.n_epochs = 2;
    o.n_steps = 0; /* as many as the data has */
    const struct mk_opt opts[] = {MK_OPTS_STAGE(o), MK_OPTS_DATA(d), {0}};
    mk_opts_parse("sft", opts, argc, argv, NULL, 0);
    return mk_data_run("sft", &o, &d, opts);
}
