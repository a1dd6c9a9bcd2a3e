/* The models folder as it is found: pulled models, and what people put there by hand.  A folder
 * that holds a model's files is a model; another one, at the top, is an owner of models. */
#include "hub/int_hub.h"

#include "base/file.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *without(const char *s, const char *suffix)
{
    return mk_strndup(s, strlen(s) - (mk_hub_ends_with(s, suffix) ? strlen(suffix) : 0));
}

/* ---- finding ----------------------------------------------------------------------------- */

/* Takes path: itself if something is there, else NULL. */
static char *if_exists(char *path)
{
    if (mk_file_exists(path)) return path;
    free(path);
    return NULL;
}

static bool stays_below(const char *name)
{
    return *name && *name != '/' && *name != '.' && !strstr(name, "/.");
}

char *mk_hub_find(const char *models, const char *name)
{
    struct mk_hub_name n;
    char *path = NULL, *folder = mk_hub_join(models, "/", "");
    if (stays_below(name)) {
        path = if_exists(mk_hub_join(folder, name, ""));
        if (!path) path = if_exists(mk_hub_join(folder, name, ".gguf"));
    }
    if (!path && mk_hub_name_parse(&n, name, NULL)) {
        path = if_exists(mk_hub_join(folder, n.target, ""));
        mk_hub_name_release(&n);
    }
    free(folder);
    return path;
}

/* ---- listing ----------------------------------------------------------------------------- */

static const char *kind_of_file(const char *name)
{
    if (mk_hub_ends_with(name, ".gguf")) return "gguf";
    return mk_hub_ends_with(name, ".safetensors") ? "safetensors" : NULL;
}

/* Of the files in a folder, whole or on their way; adds up what they take.  NULL: no model's.
 * NAME:FILE in a folder is a model by itself. */
static const char *kind_of_folder(const char *path, uint64_t *n_bytes)
{
    struct mk_folder_list l;
    const char *kind = NULL;
    if (!mk_folder_list(&l, path, NULL)) return NULL;
    for (size_t i = 0; i < l.n; i++) {
        struct stat st;
        char *file = mk_hub_join(path, "/", l.v[i]);
        char *name = without(l.v[i], ".part");
        if (!strchr(name, ':') && !stat(file, &st) && S_ISREG(st.st_mode)) {
            *n_bytes += (uint64_t)st.st_size;
            if (!kind) kind = kind_of_file(name);
        }
        free(name);
        free(file);
    }
    mk_folder_list_release(&l);
    return kind;
}

/* How large it will be, by the note beside a part; 0: not known. */
static uint64_t size_in_note(const char *part)
{
    char *note = mk_hub_join(part, ".json", "");
    json_t *o = mk_note_read(note);
    const json_int_t size = json_integer_value(json_object_get(o, "size"));
    json_decref(o);
    free(note);
    return size > 0 ? (uint64_t)size : 0;
}

static void add_model(struct mk_hub_models *out, const char *file, const char *path,
                      const char *kind, uint64_t n_bytes, const struct stat *st)
{
    const bool is_part = mk_hub_ends_with(file, ".part");
    char *entry = without(file, ".part");
    out->v = mk_realloc(out->v, (out->n + 1) * sizeof *out->v);
    out->v[out->n++] = (struct mk_hub_model){.name = strchr(entry, '/') ? mk_strdup(entry)
                                                                        : without(entry, ".gguf"),
                                             .entry = entry,
                                             .path = mk_strdup(path),
                                             .kind = kind,
                                             .n_bytes = n_bytes,
                                             .n_total = is_part ? size_in_note(path) : n_bytes,
                                             .time_s = (int64_t)st->st_mtime,
                                             .is_part = is_part};
}

static bool add_folder(struct mk_hub_models *out, const char *models, const char *owner,
                       struct mk_err *err);

/* entry: NAME or OWNER/NAME. */
static bool add_entry(struct mk_hub_models *out, const char *models, const char *entry,
                      struct mk_err *err)
{
    struct stat st;
    uint64_t n_bytes = 0;
    const char *kind = NULL;
    char *path = mk_hub_join(models, "/", entry);
    bool ok = true;
    if (stat(path, &st)) {
        kind = NULL; /* a link to nothing */
    } else if (S_ISREG(st.st_mode)) {
        char *name = without(entry, ".part");
        kind = kind_of_file(name);
        n_bytes = (uint64_t)st.st_size;
        free(name);
    } else if (S_ISDIR(st.st_mode)) {
        kind = kind_of_folder(path, &n_bytes);
        if (!kind && mk_hub_ends_with(entry, ".part")) kind = "";
        if (!kind && !strchr(entry, '/')) ok = add_folder(out, models, entry, err);
    }
    if (kind) add_model(out, entry, path, kind, n_bytes, &st);
    free(path);
    return ok;
}

/* All of a folder; owner: NULL for the models folder itself. */
static bool add_folder(struct mk_hub_models *out, const char *models, const char *owner,
                       struct mk_err *err)
{
    struct mk_folder_list l;
    char *path = mk_hub_join(models, owner ? "/" : "", owner ? owner : "");
    bool ok = mk_folder_list(&l, path, err);
    free(path);
    if (!ok) return false;
    for (size_t i = 0; ok && i < l.n; i++) {
        if (l.v[i][0] == '.') continue;
        char *entry = mk_hub_join(owner ? owner : "", owner ? "/" : "", l.v[i]);
        ok = add_entry(out, models, entry, err);
        free(entry);
    }
    mk_folder_list_release(&l);
    return ok;
}

bool mk_hub_list(struct mk_hub_models *out, const char *models, struct mk_err *err)
{
    struct mk_hub_models all = {0};
    const bool ok = !mk_is_dir(models) || add_folder(&all, models, NULL, err);
    if (ok)
        *out = all;
    else
        mk_hub_models_release(&all);
    return ok;
}

const struct mk_hub_model *mk_hub_models_find(const struct mk_hub_models *m, const char *name)
{
    struct mk_hub_name n = {0};
    const bool is_parsed = mk_hub_name_parse(&n, name, NULL);
    const struct mk_hub_model *found = NULL;
    for (size_t i = 0; !found && i < m->n; i++) {
        const struct mk_hub_model *x = &m->v[i];
        if (!strcmp(x->name, name) || !strcmp(x->entry, name) ||
            (is_parsed && !strcmp(x->entry, n.target)))
            found = x;
    }
    mk_hub_name_release(&n);
    return found;
}

void mk_hub_models_release(struct mk_hub_models *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].name);
        free(m->v[i].entry);
        free(m->v[i].path);
    }
    free(m->v);
    *m = (struct mk_hub_models){0};
}

/* ---- locking and removing ---------------------------------------------------------------- */

/* Locks stay in a folder of their own: removing one would give two processes two of them. */
bool mk_hub_lock(struct mk_lock *out, const char *models, const char *target, struct mk_err *err)
{
    char *folder = mk_hub_join(models, "/", ".locks"), *path = mk_hub_join(folder, "/", target);
    for (char *s = path + strlen(folder) + 1; *s; s++)
        if (*s == '/') *s = '+';
    const bool ok = mk_mkdirs(folder, 0777, err) && mk_lock_take(out, path, target, err);
    free(path);
    free(folder);
    return ok;
}

bool mk_hub_remove(const char *models, const struct mk_hub_model *m, struct mk_err *err)
{
    static const char *const suffixes[] = {"", ".part", ".part.json"};
    struct mk_lock lock;
    if (!mk_hub_lock(&lock, models, m->entry, err)) return false;
    char *whole = mk_hub_join(models, "/", m->entry), *slash = strrchr(whole, '/');
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof suffixes / sizeof *suffixes; i++) {
        char *path = mk_hub_join(whole, suffixes[i], "");
        ok = mk_folder_remove(path, err);
        free(path);
    }
    *slash = '\0';
    if (ok && strchr(m->entry, '/')) rmdir(whole); /* the owner; stays while others are in it */
    free(whole);
    mk_lock_release(&lock);
    return ok;
}
