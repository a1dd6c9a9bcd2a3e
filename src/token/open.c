/* The tokenizer of a checkpoint: inside a GGUF file, or in files beside the weights. */
#include "base/file.h"
#include "token/token.h"

bool mk_tokenizer_open(struct mk_tokenizer **out, const struct mk_tensors *t, struct mk_err *err)
{
    if (t->gguf && mk_gguf_find(t->gguf, "tokenizer.ggml.tokens"))
        return mk_tokenizer_open_gguf(out, t->gguf, t->path, err);
    struct mk_str json = {0}, config = {0};
    mk_str_addf(&json, "%s/tokenizer.json", mk_tensors_dir(t));
    mk_str_addf(&config, "%s/tokenizer_config.json", mk_tensors_dir(t));
    const char *second = mk_file_exists(config.data) ? config.data : NULL;
    const bool ok =
        mk_file_exists(json.data)
            ? mk_tokenizer_open_json(out, json.data, second, err)
            : mk_fail(err, MK_EFORMAT, "%s: no tokenizer (looked for %s)", t->path, json.data);
    mk_str_release(&json);
    mk_str_release(&config);
    return ok;
}
