#ifndef MK_CLI_REPL_H
#define MK_CLI_REPL_H
/* The chat in a terminal: a conversation that grows by turns, and commands on it. */
#include "cli/dialog.h"

struct mk_repl_stats {
    size_t n_turns, n_prompt, n_kept, n_answer, n_steps;
    double prompt_s, answer_s;
};
struct mk_repl {
    struct mk_dialog *d;
    struct mk_conversation c; /* the system message, if any, comes first */
    struct mk_str attached;   /* goes before the next message */
    struct mk_repl_stats last, total;
    bool wants_exit;
};

/* Adds the message (with what is attached) and answers it. */
void mk_repl_send(struct mk_repl *r, const char *text);
/* Answers the last user message; takes it back and gives false when there is no answer. */
bool mk_repl_turn(struct mk_repl *r);
void mk_repl_add_stats(struct mk_repl_stats *to, const struct mk_reply *reply);
void mk_repl_print_model(const struct mk_repl *r);

struct mk_repl_command {
    const char *name; /* with the slash; several separated by spaces */
    const char *args, *help;
    bool (*run)(struct mk_repl *r, char *arg, struct mk_err *err);
};
extern const struct mk_repl_command mk_repl_commands[]; /* a NULL name ends them */
/* Runs "/name arg"; fails with what was wrong. */
bool mk_repl_run(struct mk_repl *r, char *line, struct mk_err *err) MK_CHECKED;
/* The names one by one, for completion: NULL-terminated, free() the list. */
const char **mk_repl_names(void);
#endif
