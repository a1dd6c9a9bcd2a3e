/* minke detokenize: ids on stdin (separated by anything that is no number: spaces, commas,
 * newlines, the brackets of a list) to text on stdout. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static const char between[] = " \t\r\n,[]";

/* Accepts what `tokenize --json` prints, too. */
static const char *skip_head(const char *s)
{
    s += strspn(s, between);
    if (*s != '{') return s;
    const char *bracket = strchr(s, '[');
    return bracket ? bracket : s;
}

static void parse_ids(struct mk_ids *out, const char *s, int32_t n_vocab)
{
    for (s = skip_head(s), s += strspn(s, between); *s && *s != '}'; s += strspn(s, between)) {
        char *end;
        const long id = strtol(s, &end, 10);
        if (end == s || (*end && *end != '}' && !strchr(between, *end)))
            mk_cli_usage("detokenize", "no token id at \"%.*s\"", (int)strcspn(s, "\n"), s);
        if (id < 0 || id >= n_vocab)
            mk_cli_usage("detokenize", "token id %.*s is not in 0..%d", (int)(end - s), s,
                         (int)n_vocab - 1);
        mk_ids_add(out, (int32_t)id);
        s = end;
    }
}

int mk_cmd_detokenize(int argc, char **argv)
{
    const char *model = NULL, *tokenizer = NULL;
    bool special = false;
    const struct mk_opt opts[] = {
        {"model", 'm', MK_OPT_STR, &model, "MODEL", "folder, file or name of a model", 0, 0, NULL,
         "MINKE_MODEL"},
        {"tokenizer", 0, MK_OPT_STR, &tokenizer, "FILE", "tokenizer.json or GGUF, without a model",
         0, 0, NULL, NULL},
        {"special", 0, MK_OPT_FLAG, &special, NULL, "print the text of special tokens", 0, 0, NULL,
         NULL},
        {0},
    };
    mk_opts_parse("detokenize", opts, argc, argv, NULL, 0);
    char *path = tokenizer ? NULL : mk_cli_model_path(model);
    struct mk_tokenizer *t = mk_cli_tokenizer(tokenizer ? tokenizer : path);
    struct mk_str list = mk_cli_read("-"), text = {0};
    struct mk_ids ids = {0};
    parse_ids(&ids, mk_str_c(&list), mk_token_count(t));
    mk_detokenize(t, ids.v, ids.n, special, &text);
    fwrite(mk_str_c(&text), 1, text.len, stdout);
    mk_ids_release(&ids);
    mk_str_release(&list);
    mk_str_release(&text);
    mk_tokenizer_free(t);
    free(path);
    return 0;
}
