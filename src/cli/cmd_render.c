/* minke render: messages in JSON to the prompt that the model would read, as text and ids. */
#include "cli/dialog.h"

#include <stdlib.h>
#include <string.h>

const struct mk_template *mk_cli_template(const char *command, const char *name)
{
    const char *names[64];
    size_t n = 0;
    struct mk_str list = {0};
    for (; mk_templates[n] && n < 64; n++) {
        names[n] = mk_templates[n]->name;
        if (!strcmp(names[n], name)) return mk_templates[n];
    }
    for (size_t i = 0; i < n; i++) mk_str_addf(&list, "%s%s", i ? ", " : "", names[i]);
    const char *near = mk_cli_nearest(name, names, n);
    if (near) mk_cli_usage(command, "no template \"%s\"; did you mean \"%s\"?", name, near);
    mk_cli_usage(command, "no template \"%s\"; there are %s", name, mk_str_c(&list));
}

static void print_prompt(const struct mk_prompt *p, const struct mk_tokenizer *t)
{
    struct mk_ids ids = {0};
    mk_prompt_tokenize(p, t, &ids);
    json_t *list = json_array();
    for (size_t i = 0; i < ids.n; i++) json_array_append_new(list, json_integer(ids.v[i]));
    struct mk_str text = {0};
    mk_str_add_utf8(&text, mk_str_c(&p->text), p->text.len);
    json_t *out =
        json_pack("{s:o, s:o}", "text", json_stringn(mk_str_c(&text), text.len), "ids", list);
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(out);
    mk_str_release(&text);
    mk_ids_release(&ids);
}

int mk_cmd_render(int argc, char **argv)
{
    const char *model = NULL, *tokenizer = NULL, *name = NULL, *messages = NULL, *thinking = NULL;
    bool no_prompt = false;
    const struct mk_opt opts[] = {
        {"model", 'm', MK_OPT_STR, &model, "MODEL", "folder, file or name of a model", 0, 0, NULL,
         "MINKE_MODEL"},
        {"tokenizer", 0, MK_OPT_STR, &tokenizer, "FILE", "tokenizer.json or GGUF, without a model",
         0, 0, NULL, NULL},
        {"template", 0, MK_OPT_STR, &name, "NAME", "instead of the checkpoint's own", 0, 0, NULL,
         NULL},
        {"messages", 0, MK_OPT_STR, &messages, "FILE",
         "messages, or an object with messages and tools", 0, 0, NULL, NULL},
        {"thinking", 0, MK_OPT_CHOICE, &thinking, NULL,
         "think first, where it can be chosen (as the template says)", 0, 0, "on|off", NULL},
        {"no-generation-prompt", 0, MK_OPT_FLAG, &no_prompt, NULL,
         "do not open the assistant's turn", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("render", opts, argc, argv, NULL, 0);
    if (!messages) mk_cli_usage("render", "--messages FILE is missing");
    const struct mk_template *template = name ? mk_cli_template("render", name) : NULL;
    char *path = tokenizer ? NULL : mk_cli_model_path(model);
    struct mk_tokenizer *t = mk_cli_tokenizer(tokenizer ? tokenizer : path);
    struct mk_err err;
    struct mk_conversation c;
    struct mk_prompt prompt = {0};
    struct mk_str json = mk_cli_read(messages);
    if (!template && !mk_template_detect(&template, t, &err)) mk_cli_die(&err);
    const bool thinks = thinking ? !strcmp(thinking, "on") : mk_template_thinks(template, t);
    const struct mk_chat_options o = {.thinking = thinks, .no_generation_prompt = no_prompt};
    if (!mk_conversation_parse(&c, mk_str_c(&json), json.len, &err) ||
        !mk_chat_render(&prompt, template, &c, &o, &err)) {
        mk_fail_in(&err, "%s", messages);
        mk_cli_die(&err);
    }
    print_prompt(&prompt, t);
    mk_prompt_release(&prompt);
    mk_conversation_release(&c);
    mk_str_release(&json);
    mk_tokenizer_free(t);
    free(path);
    return 0;
}
