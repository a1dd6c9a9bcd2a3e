#include "cli/question_opts.h"

#include <string.h>

struct mk_questions *mk_questions_cli(const struct mk_question_opts *o)
{
    struct mk_err err;
    struct mk_questions *q;
    const struct mk_questions_options qo = {.tasks = o->tasks,
                                            .own = {o->file, o->verifier, o->command, o->limit_s},
                                            .is_whole = o->is_whole};
    if (!mk_questions_open(&q, &qo, &err)) mk_cli_die(&err);
    return q;
}

int mk_choice(const char *s, const char *choices)
{
    int i = 0;
    const size_t n = strlen(s);
    for (; strncmp(choices, s, n) || (choices[n] && choices[n] != '|'); i++)
        choices = strchr(choices, '|') + 1;
    return i;
}

enum mk_opening mk_opening_cli(const char *name)
{
    return (enum mk_opening)mk_choice(name, MK_OPENINGS);
}
