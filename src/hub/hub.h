#ifndef MK_HUB_HUB_H
#define MK_HUB_HUB_H
/* Models from the network: what a name means, the folder they are kept in, and downloads that can
 * be cut at any moment and go on.
 *
 * Below the models folder every model is one entry, which appears when it is whole:
 *
 *     deepseek-r1:7b-q4_k_m.gguf      a name of the catalogue, one file
 *     deepseek-r1:671b-q4_k_m/        the same, a split set; also a folder of safetensors
 *     OWNER/NAME/                     a repository
 *     OWNER/NAME:FILE.gguf            a file of one
 *
 * What is on its way is ENTRY.part, with ENTRY.part.json beside it. */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MK_HUB_ENDPOINT "https://huggingface.co"

/* ---- names ------------------------------------------------------------------------------- */

struct mk_hub_entry {
    const char *name, *repo, *file; /* see catalogue.def */
    size_t size_mb;
};
extern const struct mk_hub_entry mk_hub_catalogue[]; /* a NULL name ends it */
/* NULL: not in the catalogue. */
const struct mk_hub_entry *mk_hub_catalogue_find(const char *name);

struct mk_hub_name { /* zeroed is valid and empty */
    char *target;    /* the entry below the models folder */
    char *repo;      /* OWNER/NAME on the hub, NULL: url */
    char *revision;  /* of the repository */
    char *file;      /* a GGUF file of it, NULL: all that a model needs */
    char *url;
    bool is_folder; /* the target */
};
/* A name of the catalogue, OWNER/NAME, OWNER/NAME:FILE.gguf or OWNER/NAME/FILE.gguf, the same as
 * an address at hf.co or huggingface.co, or any address of a .gguf file. */
bool mk_hub_name_parse(struct mk_hub_name *out, const char *text, struct mk_err *err) MK_CHECKED;
void mk_hub_name_release(struct mk_hub_name *n);

/* A relative path of letters, digits and "._-" that stays below where it starts; no part of it
 * begins with a dot. */
bool mk_hub_is_safe_path(const char *path);
/* Whether file ends in -00002-of-00009.gguf; then also how long it is without that, and 9. */
bool mk_hub_is_split(const char *file, size_t *n_stem, unsigned *n_parts);

/* ---- downloads --------------------------------------------------------------------------- */

enum mk_hub_event_kind {
    MK_HUB_HERE,     /* the model is there already */
    MK_HUB_FOUND,    /* what will be there is known: total (UINT64_MAX: not) and done so far */
    MK_HUB_CHECK,    /* file_done bytes that are here are being hashed */
    MK_HUB_BEGIN,    /* a file begins, or goes on at file_done */
    MK_HUB_PROGRESS, /* some bytes came */
    MK_HUB_RETRY,    /* text says why; wait_s is until the next attempt */
    MK_HUB_END       /* a file is whole and verified */
};
struct mk_hub_event {
    enum mk_hub_event_kind kind;
    const char *file; /* NULL: none in particular */
    uint64_t file_done, file_total, done, total;
    const char *text;
    double wait_s;
};
struct mk_hub_options {
    const char *models;   /* the folder; made if need be */
    const char *endpoint; /* of the hub, without a slash at the end */
    const char *token;    /* sent to the endpoint and nowhere else; NULL: none */
    bool allows_http;     /* also to other machines than this one */
    unsigned n_retries;   /* attempts in a row that bring nothing new */
    bool (*is_stopped)(void);
    void (*tell)(void *arg, const struct mk_hub_event *e);
    void *arg;
};
/* Fetches what the name stands for, or goes on with it.  *path (free it) is where it is.  A model
 * that is there already is left as it is: to have it anew, remove it.  MK_EBUSY: another process
 * fetches it. */
bool mk_hub_pull(const struct mk_hub_options *o, const char *name, char **path,
                 struct mk_err *err) MK_CHECKED;

/* ---- the models folder ------------------------------------------------------------------- */

/* The model of that name in the folder: as the path below it, with .gguf added, or as what
 * mk_hub_name_parse() makes of it.  NULL: none; free() it. */
char *mk_hub_find(const char *models, const char *name);

struct mk_hub_model {
    char *name;                /* as -m takes it */
    char *entry;               /* below the models folder, when it is whole */
    char *path;                /* of what is there now */
    const char *kind;          /* "gguf", "safetensors", "" while nothing is there that tells */
    uint64_t n_bytes, n_total; /* there now, and when it is whole; n_total 0: not known */
    int64_t time_s;            /* of the last change, since 1970 */
    bool is_part;              /* not whole yet */
};
struct mk_hub_models { /* zeroed is valid and empty */
    struct mk_hub_model *v;
    size_t n;
};
/* What is in the folder, by name.  A folder that does not exist is empty. */
bool mk_hub_list(struct mk_hub_models *out, const char *models, struct mk_err *err) MK_CHECKED;
void mk_hub_models_release(struct mk_hub_models *m);

/* By its name, its entry or what mk_hub_name_parse() makes of the name; NULL: none. */
const struct mk_hub_model *mk_hub_models_find(const struct mk_hub_models *m, const char *name);

/* Removes a model and what is on its way of it. */
bool mk_hub_remove(const char *models, const struct mk_hub_model *m, struct mk_err *err) MK_CHECKED;
#endif
