/* minke convert: a safetensors folder to a GGUF file and back, values unchanged unless
 * --type asks for others. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/convert.h"

#include <stdlib.h>

int mk_cmd_convert(int argc, char **argv)
{
    static struct mk_convert_options o;
    static size_t n_threads;
    static const struct mk_opt opts[] = {
        {"type", 0, MK_OPT_STR, &o.type, "TYPE",
         "of the matrices: keep (as they are), f32, f16, bf16, f8, q8_0, ...", 0, 0, NULL, NULL},
        {"mla", 0, MK_OPT_CHOICE, &o.mla, "LAYOUT",
         "DeepSeek in GGUF: new (attn_k_b, attn_v_b) or old (attn_kv_b)", 0, 0, "new|old", NULL},
        {"shard-size", 0, MK_OPT_SIZE, &o.shard_bytes, "BYTES",
         "largest file of a folder (5G); a larger tensor gets a file of its own", 1, 0x1p50, NULL,
         NULL},
        {"threads", 't', MK_OPT_SIZE, &n_threads, "N", "threads (all CPUs)", 1, 1024, NULL,
         "MINKE_THREADS"},
        {0},
    };
    struct mk_strs rest = {0};
    struct mk_err err;
    mk_opts_parse("convert", opts, argc, argv, &rest, 2);
    if (rest.n != 2)
        mk_cli_usage("convert", "want SOURCE and TARGET (FILE.gguf, or a folder for safetensors)");
    char *source = mk_cli_model_path(rest.v[0]);
    o.source = source;
    o.target = rest.v[1];
    o.n_threads = (unsigned)n_threads;
    if (!mk_convert_run(&o, NULL, &err)) mk_cli_die(&err);
    free(source);
    return 0;
}
