/* minke tokenize: text on stdin, ids on stdout. */
#include "cli/cli.h"

#include <stdlib.h>

static void print_ids(const struct mk_ids *ids, bool json)
{
    if (json) fputs("{\"ids\":[", stdout);
    for (size_t i = 0; i < ids->n; i++)
        printf("%s%d", i == 0 ? "" : json ? "," : " ", (int)ids->v[i]);
    puts(json ? "]}" : "");
}

int mk_cmd_tokenize(int argc, char **argv)
{
    const char *model = NULL, *tokenizer = NULL;
    bool json = false, special = false, bos = false;
    const struct mk_opt opts[] = {
        {"model", 'm', MK_OPT_STR, &model, "MODEL", "folder, file or name of a model", 0, 0, NULL,
         "MINKE_MODEL"},
        {"tokenizer", 0, MK_OPT_STR, &tokenizer, "FILE", "tokenizer.json or GGUF, without a model",
         0, 0, NULL, NULL},
        {"special", 0, MK_OPT_FLAG, &special, NULL, "special tokens in the text count as such", 0,
         0, NULL, NULL},
        {"bos", 0, MK_OPT_FLAG, &bos, NULL, "begin with the token the tokenizer says", 0, 0, NULL,
         NULL},
        {"json", 0, MK_OPT_FLAG, &json, NULL, "print {\"ids\":[...]}", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("tokenize", opts, argc, argv, NULL, 0);
    char *path = tokenizer ? NULL : mk_cli_model_path(model);
    struct mk_tokenizer *t = mk_cli_tokenizer(tokenizer ? tokenizer : path);
    struct mk_str text = mk_cli_read("-");
    struct mk_ids ids = {0};
    mk_tokenize(t, mk_str_c(&text), text.len,
                (special ? MK_TOK_SPECIAL : 0u) | (bos ? MK_TOK_BOS : 0u), &ids);
    print_ids(&ids, json);
    mk_ids_release(&ids);
    mk_str_release(&text);
    mk_tokenizer_free(t);
    free(path);
    return 0;
}
