/* minke pretrain: a new model from a config.json, on files or generated problems. */
#include "cli/data_opts.h"

int mk_cmd_pretrain(int argc, char **argv)
{
    static struct mk_stage_opts o;
    static struct mk_data_opts d;
    o = mk_stage_defaults();
    d = mk_data_defaults();
    d.direct = 0.5, d.noise = 0.05;
    o.n_steps = 0; /* as many as the data has */
    const struct mk_opt opts[] = {MK_OPTS_STAGE(o), MK_OPTS_DATA(d), {0}};
    mk_opts_parse("pretrain", opts, argc, argv, NULL, 0);
    return mk_data_run("pretrain", &o, &d, opts);
}
