#ifndef MK_CLI_DATA_OPTS_H
#define MK_CLI_DATA_OPTS_H
/* What to learn from: --data FILE, or the built-in tasks. */
#include "cli/cli.h"
#include "cli/stage.h"
#include "train/data.h"

struct mk_data_opts {
    const char *file, *chat_template, *tasks, *demos;
    size_t n_epochs;
    bool allow_duplicates;
    double direct, talk, check, slip, noise, easy;
};
struct mk_data_opts mk_data_defaults(void);
#define MK_OPTS_DATA(d)                                                                            \
    {"data",    'd',    MK_OPT_STR,                                                                \
     &(d).file, "FILE", "JSONL of text, prompt and completion, or messages; or a token .bin",      \
     0,         0,      NULL,                                                                      \
     NULL},                                                                                        \
        {"epochs", 0,   MK_OPT_SIZE, &(d).n_epochs, "N", "of the file; 0: as many as steps need",  \
         0,        1e9, NULL,        NULL},                                                        \
        {"template", 0,    MK_OPT_STR, &(d).chat_template, "NAME", "chat template of the file", 0, \
         0,          NULL, NULL},                                                                  \
        {"allow-duplicates",                                                                       \
         0,                                                                                        \
         MK_OPT_FLAG,                                                                              \
         &(d).allow_duplicates,                                                                    \
         NULL,                                                                                     \
         "take lines that are the same",                                                           \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"tasks",    0,      MK_OPT_STR,                                                           \
         &(d).tasks, "LIST", "without --data: tasks with weights, \"add,mul:2\" (all)",            \
         0,          0,      NULL,                                                                 \
         NULL},                                                                                    \
        {"demos",    0,      MK_OPT_STR,                                                           \
         &(d).demos, "LIST", "tasks with few known thoughts, and how many: \"countdown:1000\"",    \
         0,          0,      NULL,                                                                 \
         NULL},                                                                                    \
        {"direct", 0, MK_OPT_FLOAT, &(d).direct, "SHARE", "answers without a thought",             \
         0,        1, NULL,         NULL},                                                         \
        {"talk", 0, MK_OPT_FLOAT, &(d).talk, "SHARE", "small talk (0.08)", 0, 1, NULL, NULL},      \
        {"check", 0, MK_OPT_FLOAT, &(d).check, "SHARE", "thoughts with a check (0.2)",             \
         0,       1, NULL,         NULL},                                                          \
        {"slip", 0, MK_OPT_FLOAT, &(d).slip, "SHARE", "thoughts with a corrected slip (0.2)",      \
         0,      1, NULL,         NULL},                                                           \
        {"noise", 0, MK_OPT_FLOAT, &(d).noise, "SHARE", "thoughts with a wrong digit",             \
         0,       1, NULL,         NULL},                                                          \
    {                                                                                              \
        "easy", 0, MK_OPT_FLOAT, &(d).easy, "SHARE", "problems of a lower level (0.2)", 0, 1,      \
            NULL, NULL                                                                             \
    }
/* A stage that learns such text, from opening to closing; the command's exit status. */
int mk_data_run(const char *command, const struct mk_stage_opts *o, const struct mk_data_opts *d,
                const struct mk_opt *opts);
#endif
