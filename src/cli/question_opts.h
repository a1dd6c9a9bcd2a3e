#ifndef MK_CLI_QUESTION_OPTS_H
#define MK_CLI_QUESTION_OPTS_H
/* Which questions are asked: built-in tasks, or --task FILE with a verifier. */
#include "cli/cli.h"
#include "train/questions.h"

struct mk_question_opts {
    const char *tasks, *file, *verifier, *command;
    double limit_s;
    bool is_whole;
};
#define MK_OPTS_QUESTIONS(q)                                                                     \
    {                                                                                            \
        "tasks",    0,      MK_OPT_STR,                                                          \
        &(q).tasks, "LIST", "built-in tasks with weights, \"add,mul:2\" (all)",                  \
        0,          0,      NULL,                                                                \
        NULL},                                                                                   \
        {"task",    0,      MK_OPT_STR,                                                          \
         &(q).file, "FILE", "questions of your own: JSONL of prompt and answer",                 \
         0,         0,      NULL,                                                                \
         NULL},                                                                                  \
        {"verifier", 0,                                                                          \
         MK_OPT_STR, &(q).verifier,                                                              \
         "NAME",     "for --task: exact, number, number:0.01, number:1%, set, regex, json",      \
         0,          0,                                                                          \
         NULL,       NULL},                                                                      \
        {"verifier-command",                                                                     \
         0,                                                                                      \
         MK_OPT_STR,                                                                             \
         &(q).command,                                                                           \
         "CMD",                                                                                  \
         "for --task: gets a line of JSON, prints a reward from 0 to 1",                         \
         0,                                                                                      \
         0,                                                                                      \
         NULL,                                                                                   \
         NULL},                                                                                  \
        {"verifier-limit",                                                                       \
         0,                                                                                      \
         MK_OPT_FLOAT,                                                                           \
         &(q).limit_s,                                                                           \
         "S",                                                                                    \
         "seconds it has for each (10)",                                                         \
         0.001,                                                                                  \
         1e6,                                                                                    \
         NULL,                                                                                   \
         NULL},                                                                                  \
    {                                                                                            \
        "whole", 0, MK_OPT_FLAG, &(q).is_whole, NULL, "of --task: hold nothing out", 0, 0, NULL, \
            NULL                                                                                 \
    }
/* Or ends the program with a message. */
struct mk_questions *mk_questions_cli(const struct mk_question_opts *o);

#define MK_OPENINGS "free|think|direct"
enum mk_opening mk_opening_cli(const char *name);
/* Which of "a|b|c" s is. */
int mk_choice(const char *s, const char *choices);
#endif
