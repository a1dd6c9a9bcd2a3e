#ifndef MK_CLI_CLI_H
#define MK_CLI_CLI_H
/* What the subcommands share: options, the model to open, output.  Only this folder reads
 * argv and the environment, and only main() and these helpers end the program. */
#include "base/err.h"
#include "base/str.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- options --------------------------------------------------------------------------
 * "--name VALUE", "--name=VALUE", "-x VALUE"; "--" ends options.  A value out of range is a
 * usage error that names the option and the value. */
enum mk_opt_kind {
    MK_OPT_FLAG,  /* bool *      no value */
    MK_OPT_STR,   /* const char ** */
    MK_OPT_SIZE,  /* size_t *    also 4k, 2M, 1G (powers of 1024) */
    MK_OPT_INT,   /* int64_t * */
    MK_OPT_FLOAT, /* double * */
    MK_OPT_LIST,  /* struct mk_strs *  may be given several times */
    MK_OPT_CHOICE /* const char **  one of choices */
};
struct mk_strs {
    const char **v;
    size_t n;
};
struct mk_opt {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* 0: none */
    enum mk_opt_kind kind;
    void *out;
    const char *value;   /* how help calls the value: "FILE" */
    const char *help;    /* one line */
    double lo, hi;       /* numbers: allowed range; both 0: any */
    const char *choices; /* "on|off" */
    const char *env;     /* environment variable that gives the default, or NULL */
};
/* Every command calls this before anything else, also when it has no options ({0}): help,
 * completions and the man page learn its table from this call.  Reads the environment, then
 * argv[1..]; what is not an option goes to *rest (at most max_rest; NULL if none).  "--help"
 * and "-h" print the command's help to stdout and exit 0; a wrong option prints one line
 * with the nearest match to stderr and exits 2.  Lists live until the program ends. */
void mk_opts_parse(const char *command, const struct mk_opt *opts, int argc, char **argv,
                   struct mk_strs *rest, size_t max_rest);
/* An option "config" of a table names a JSON file whose members are options of the same table,
 * read before the command line.  This is the other way: the values of all options but those in
 * `without` (" a b ") as such an object; free() it. */
char *mk_opts_json(const struct mk_opt *opts, const char *without);

/* The options every command with a model has; put them first in a table with MK_OPTS_MODEL. */
struct mk_model_opts {
    const char *model; /* -m: a folder, file or name; $MINKE_MODEL; NULL: see mk_cli_model_path() */
    size_t n_threads;  /* -t */
    size_t n_ctx;      /* -c */
    size_t n_batch;
    const char *kv;     /* f32 | f16 | bf16 | q8_0 */
    const char *inputs; /* f32 | bf16 */
    const char *cpu;    /* $MK_CPU */
    size_t ram;         /* 0: what there is, if the model does not fit */
};
#define MK_OPTS_MODEL(o)                                                                       \
    {"model", 'm', MK_OPT_STR, &(o).model,   "MODEL", "folder, file or name (tiny)",           \
     0,       0,   NULL,       "MINKE_MODEL"},                                                 \
        {"threads", 't',  MK_OPT_SIZE, &(o).n_threads, "N", "threads (all CPUs)",              \
         1,         1024, NULL,        "MINKE_THREADS"},                                       \
        {"ctx", 'c',     MK_OPT_SIZE, &(o).n_ctx, "N", "longest context in tokens",            \
         1,     1 << 28, NULL,        NULL},                                                   \
        {"batch", 'b',   MK_OPT_SIZE, &(o).n_batch, "N", "most prompt tokens of a step (512)", \
         1,       65536, NULL,        NULL},                                                   \
        {"kv", 0, MK_OPT_CHOICE,       &(o).kv, "TYPE", "type of keys and values (f16)",       \
         0,    0, "f32|f16|bf16|q8_0", NULL},                                                  \
        {"inputs",    0,      MK_OPT_CHOICE,                                                   \
         &(o).inputs, "TYPE", "of products with BF16 and FP8 weights (bf16)",                  \
         0,           0,      "f32|bf16",                                                      \
         NULL},                                                                                \
    {                                                                                          \
        "cpu", 0, MK_OPT_STR, &(o).cpu, "LEVEL", "highest instruction-set level", 0, 0, NULL,  \
            "MK_CPU"                                                                           \
    }

/* After them, for commands that can run a model larger than memory. */
#define MK_OPT_RAM(o)                                                                          \
    {                                                                                          \
        "ram", 0, MK_OPT_SIZE, &(o).ram, "SIZE",                                               \
            "most memory to use: experts beyond it are read from disk", 1 << 20, 0x1p60, NULL, \
            "MINKE_RAM"                                                                        \
    }

/* Those of commands that answer: see engine/speculate.h. */
struct mk_speculate_opts {
    const char *mode, *draft;
    size_t max;
};
#define MK_OPTS_SPECULATE(o)                                                                       \
    {"speculate", 0,     MK_OPT_CHOICE,                                                            \
     &(o).mode,   "HOW", "guess tokens ahead (auto)",                                              \
     0,           0,     "auto|off|ngram|mtp|draft",                                               \
     NULL},                                                                                        \
        {"draft-model",                                                                            \
         0,                                                                                        \
         MK_OPT_STR,                                                                               \
         &(o).draft,                                                                               \
         "MODEL",                                                                                  \
         "small model with the same tokens",                                                       \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL},                                                                                    \
    {                                                                                              \
        "draft-max", 0, MK_OPT_SIZE, &(o).max, "N", "most guesses at a time (8)", 1, MK_GUESS_MAX, \
            NULL, NULL                                                                             \
    }

/* Opens the engine or prints the error and exits with its code.  speculate may be NULL: off. */
struct mk_engine *mk_cli_open(const struct mk_model_opts *o,
                              const struct mk_speculate_opts *speculate);
/* What --ram says, or the machine. */
struct mk_ram mk_cli_ram(const struct mk_model_opts *o);
/* To stderr: what a budget means, and what was read under it.  Nothing if all weights are mapped.
 */
void mk_cli_say_streaming(bool is_streaming, const struct mk_streaming *s);
void mk_cli_say_experts(const struct mk_engine *e);
/* The path that -m NAME stands for: itself if it exists (of a run its newest checkpoint), else what
 * mk_hub_find() finds in the models folder ($XDG_DATA_HOME/minke/models), else for "tiny" the model
 * inside the program, else OWNER/NAME in Hugging Face's cache.  NULL means "tiny", but not in the
 * current folder. When there is none mk_cli_model_path exits with a message, mk_cli_find_model
 * gives NULL. free() it. */
char *mk_cli_model_path(const char *name);
char *mk_cli_find_model(const char *name);
/* The tokenizer of a model without opening the weights: a folder, a tokenizer.json, a GGUF
 * file (a vocabulary alone will do), or a .safetensors file with a tokenizer.json beside
 * it.  Exits with a message on failure. */
struct mk_tokenizer *mk_cli_tokenizer(const char *path);
enum mk_type mk_cli_kv_type(const struct mk_model_opts *o);

/* Prints "minke: message" to stderr and exits with the code's status. */
_Noreturn void mk_cli_die(const struct mk_err *err);
_Noreturn void mk_cli_usage(const char *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Ends the program if what was printed so far could not be written: quietly (exit 141) when
 * nobody reads it any more, else with a message. */
void mk_cli_flush(void);
/* All of a file, or of stdin for "-"; exits with a message on failure. */
struct mk_str mk_cli_read(const char *path);
/* The one of the n names that looks most like s, NULL if none is close. */
const char *mk_cli_nearest(const char *s, const char *const *names, size_t n);

/* $VAR/minke/leaf, or ~/fallback/minke/leaf when VAR is unset or relative ("XDG_DATA_HOME",
 * ".local/share").  NULL without a home.  free() it. */
char *mk_cli_xdg(const char *var, const char *fallback, const char *leaf);

/* ---- the commands ----------------------------------------------------------------------- */
#define C(name, synopsis, about) int mk_cmd_##name(int argc, char **argv);
#include "cli/commands.def"
#undef C

struct mk_command {
    const char *name, *synopsis, *about;
    int (*run)(int argc, char **argv);
};
extern const struct mk_command mk_commands[];               /* a NULL name ends them */
const struct mk_command *mk_command_find(const char *name); /* NULL: none */

/* Calls fn with the option table of a command, which does not run. */
typedef void mk_opts_fn(void *arg, const struct mk_command *c, const struct mk_opt *opts);
void mk_opts_visit(const struct mk_command *c, mk_opts_fn *fn, void *arg);
/* The help text of a command, and the overview of all. */
void mk_help_command(FILE *to, const struct mk_command *c, const struct mk_opt *opts);
void mk_help_all(FILE *to);
#endif
