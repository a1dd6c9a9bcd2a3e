/* minke sft: a model learns from examples. */
#include "cli/data_opts.h"
#include "cli/stage.h"
#include "train/stage_text.h"

int mk_cmd_sft(int argc, char **argv)
{
    static struct mk_stage_opts o;
    static struct mk_data_opts d;
    o = mk_stage_defaults();
    d = mk_data_defaults();
    o.lr = 2e-4, o.n_warmup = 20, o.schedule = "cosine", o.lr_end = 0.1;
    d.n_epochs = 2;
    const struct mk_opt opts[] = {MK_OPTS_STAGE(o), MK_OPTS_DATA(d), {0}};
    mk_opts_parse("sft", opts, argc, argv, NULL, 0);
    struct mk_run run;
    mk_stage_open(&run, "sft", &o, opts);
    const size_t n_ctx = mk_stage_n_ctx(&run, &o);
    struct mk_text_stage stage = {.batch_toks = o.batch_toks, .n_ctx = n_ctx};
    mk_data_open(&stage.source, &d, &run, o.seed, n_ctx);
    const int status = mk_stage_go(&run, &mk_text_stage, &stage);
    mk_source_close(&stage.source);
    mk_text_stage_release(&stage);
    return status;
}
