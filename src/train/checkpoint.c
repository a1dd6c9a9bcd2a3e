/* Checkpoints of a run: written whole, found again, loaded.
 *
 *   save    .step-N.tmp filled and synced -> step-N -> latest -> older ones removed
 *           a kill here: last one counts   | latest names the one before | both are whole */
#include "train/checkpoint.h"

#include "base/file.h"
#include "base/mem.h"
#include "train/int_checkpoint.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1, MAX_TRAINER_BYTES = 1 << 30, MAX_NAME = 40 };
static const char reference_file[] = "reference.safetensors";

static char *join(const char *dir, const char *name)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "%s/%s", dir, name);
    return mk_str_take(&s);
}

/* ---- names ------------------------------------------------------------------------------ */

static void step_name(char out[MAX_NAME], uint64_t step)
{
    snprintf(out, MAX_NAME, "step-%08llu", (unsigned long long)step);
}

static bool parse_step(const char *name, uint64_t *step)
{
    char again[MAX_NAME];
    if (strncmp(name, "step-", 5) || !isdigit((unsigned char)name[5])) return false;
    *step = strtoull(name + 5, NULL, 10);
    step_name(again, *step);
    return !strcmp(name, again);
}

bool mk_run_lock(struct mk_lock *out, const char *run, struct mk_err *err)
{
    if (!mk_mkdirs(run, 0777, err)) return false;
    char *path = join(run, "lock");
    const bool ok = mk_lock_take(out, path, run, err);
    free(path);
    return ok;
}

/* ---- trainer.json ----------------------------------------------------------------------- */

static bool write_trainer(const char *dir, const struct mk_checkpoint *c, struct mk_err *err)
{
    json_t *state = json_loads(c->state, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(state)) {
        json_decref(state);
        return mk_fail(err, MK_EUSAGE, "%s: the state is no JSON object", dir);
    }
    json_t *o = json_pack("{s:i, s:I, s:I, s:s, s:s, s:o}", "format", FORMAT, "step",
                          (json_int_t)c->step, "updates", (json_int_t)c->optim->n_step, "optimizer",
                          mk_optim_name(c->optim->o.kind), "run_hash", c->run_hash, "state", state);
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL; /* exact */
    char *path = join(dir, "trainer.json");
    const bool ok = text ? mk_file_write(path, text, strlen(text), err)
                         : mk_fail(err, MK_EUSAGE, "%s: run_hash is not UTF-8", path);
    json_decref(o);
    free(text);
    free(path);
    return ok;
}

static void show(const json_t *v, char *out, size_t size)
{
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    snprintf(out, size, "%s", text ? text : "not given");
    free(text);
}

/* What is off is the same as what is not there: options may be added to the program. */
static bool is_off(const json_t *v)
{
    return !v || json_is_false(v) || json_is_null(v) ||
           (json_is_number(v) && json_number_value(v) == 0);
}

/* The first member that differs; true when there is none. */
static bool compare_members(json_t *was, json_t *now, const char *file, struct mk_err *err)
{
    const char *key;
    json_t *v, *all = json_copy(was);
    bool ok = true;
    json_object_update_missing(all, now);
    json_object_foreach(all, key, v)
    {
        const json_t *a = json_object_get(was, key), *b = json_object_get(now, key);
        char x[100], y[100];
        if (!ok || (is_off(a) && is_off(b)) || json_equal(a, b)) continue;
        show(a, x, sizeof x), show(b, y, sizeof y);
        ok = mk_fail(err, MK_EUSAGE, "%s: the run was started with another %s: %s, now %s", file,
                     key, x, y);
    }
    json_decref(all);
    return ok;
}

static bool check_hash(const char *was, const char *now, const char *file, struct mk_err *err)
{
    if (!strcmp(was, now)) return true;
    json_t *a = json_loads(was, 0, NULL), *b = json_loads(now, 0, NULL);
    const bool are_objects = json_is_object(a) && json_is_object(b);
    const bool ok = are_objects && compare_members(a, b, file, err);
    json_decref(a);
    json_decref(b);
    if (are_objects) return ok;
    bool is_plain = strlen(was) <= 64;
    for (const char *c = was; *c; c++) is_plain = is_plain && isalnum((unsigned char)*c);
    return mk_fail(err, MK_EUSAGE,
                   "%s: the run was started with another configuration (run_hash %s, now %s)", file,
                   is_plain ? was : "unreadable", now);
}

struct trainer {
    json_t *root, *state;
    uint64_t step, n_updates;
};

static bool parse_trainer(struct trainer *t, const char *path, const char *optimizer,
                          const char *run_hash, struct mk_err *err)
{
    json_error_t e;
    json_int_t format, step, n_updates;
    const char *kind, *hash;
    struct mk_str text = {0};
    if (!mk_file_read_regular(&text, path, MAX_TRAINER_BYTES, err)) return false;
    t->root = json_loadb(mk_str_c(&text), text.len, JSON_REJECT_DUPLICATES, &e);
    mk_str_release(&text);
    if (!t->root) return mk_fail(err, MK_EFORMAT, "%s: line %d: not JSON", path, e.line);
    if (json_unpack_ex(t->root, &e, 0, "{s:I, s:I, s:I, s:s, s:s, s:o}", "format", &format, "step",
                       &step, "updates", &n_updates, "optimizer", &kind, "run_hash", &hash, "state",
                       &t->state))
        return mk_fail(err, MK_EFORMAT, "%s: %s", path, e.text);
    if (format != FORMAT)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: format %lld, want %d", path, (long long)format,
                       FORMAT);
    if (step < 0 || n_updates < 0 || !json_is_object(t->state))
        return mk_fail(err, MK_EFORMAT, "%s: %s", path,
                       step < 0        ? "step is negative"
                       : n_updates < 0 ? "updates is negative"
                                       : "state is not an object");
    if (!check_hash(hash, run_hash, path, err)) return false;
    if (strcmp(kind, optimizer))
        return mk_fail(err, MK_EUSAGE, "%s: optimizer is not %s", path, optimizer);
    t->step = (uint64_t)step, t->n_updates = (uint64_t)n_updates;
    return true;
}

/* ---- saving ----------------------------------------------------------------------------- */

static bool write_all(const char *dir, const struct mk_checkpoint *c, struct mk_err *err)
{
    if (!mk_model_save(dir, c->model, c->tokenizer, MK_F32, err)) return false;
    struct mk_entries e = mk_entries_of_moments(c->model->params, c->optim);
    bool ok = mk_entries_write(&e, dir, "optimizer.safetensors", err);
    mk_entries_release(&e);
    if (ok && c->reference) {
        e = mk_entries_of_values(c->model->params, c->reference, MK_F32);
        ok = mk_entries_write(&e, dir, reference_file, err);
        mk_entries_release(&e);
    }
    return ok && write_trainer(dir, c, err);
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* What a killed process began: a temporary folder or file; or did not end: removing a checkpoint
 * that was replaced. */
static bool is_leftover(const char *run, const char *name)
{
    static const char *const starts[] = {".step-", "latest.", "metrics.jsonl."};
    bool is_ours = false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        is_ours = is_ours || !strncmp(name, starts[i], strlen(starts[i]));
    if (is_ours && ends_with(name, ".tmp")) return true;
    if (strncmp(name, ".step-", 6) || !ends_with(name, ".old")) return false;
    char *path = join(run, name + 1);
    path[strlen(path) - strlen(".old")] = '\0';
    const bool is_replaced = mk_is_dir(path);
    free(path);
    return is_replaced;
}

/* How many checkpoints of the list are newer than `step`, up to `last`. */
static size_t count_between(const struct mk_folder_list *l, uint64_t step, uint64_t last)
{
    size_t n = 0;
    uint64_t at;
    for (size_t i = 0; i < l->n; i++) n += parse_step(l->v[i], &at) && at > step && at <= last;
    return n;
}

bool mk_checkpoint_prune(const char *run, uint64_t last, size_t keep, struct mk_err *err)
{
    struct mk_folder_list l;
    if (!mk_folder_list(&l, run, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < l.n; i++) {
        uint64_t at;
        const bool is_old =
            keep && parse_step(l.v[i], &at) && at <= last && count_between(&l, at, last) >= keep;
        if (!is_old && !is_leftover(run, l.v[i])) continue;
        char *path = join(run, l.v[i]);
        ok = mk_folder_remove(path, err);
        free(path);
    }
    mk_folder_list_release(&l);
    return ok;
}

bool mk_checkpoint_save(const char *run, const struct mk_checkpoint *c, size_t keep,
                        struct mk_err *err)
{
    struct mk_folder_out o;
    char name[MAX_NAME];
    step_name(name, c->step);
    char *path = join(run, name), *latest = join(run, "latest");
    bool ok = mk_folder_out_open(&o, path, err);
    if (ok) {
        ok = write_all(o.temp, c, err) && mk_folder_out_close(&o, err);
        if (!ok) mk_folder_out_abandon(&o);
    }
    strcat(name, "\n");
    ok = ok && mk_file_write(latest, name, strlen(name), err) &&
         mk_checkpoint_prune(run, c->step, keep, err);
    free(path);
    free(latest);
    return ok || mk_fail_in(err, "checkpoint of step %llu", (unsigned long long)c->step);
}

/* ---- finding ---------------------------------------------------------------------------- */

/* A first checkpoint that `latest` does not name yet. */
static char *highest(const char *run)
{
    struct mk_folder_list l;
    uint64_t step, best = 0;
    char name[MAX_NAME] = "";
    if (!mk_folder_list(&l, run, NULL)) return NULL;
    for (size_t i = 0; i < l.n; i++) {
        if (!parse_step(l.v[i], &step) || step < best) continue;
        best = step;
        step_name(name, step);
    }
    mk_folder_list_release(&l);
    return *name ? join(run, name) : NULL;
}

char *mk_checkpoint_latest(const char *run, struct mk_err *err)
{
    struct mk_str text = {0};
    uint64_t step;
    char *file = join(run, "latest"), *path = NULL;
    *err = (struct mk_err){.code = MK_OK};
    if (!mk_file_exists(file)) {
        path = highest(run);
    } else if (mk_file_read_regular(&text, file, MAX_NAME, err)) {
        if (text.len && text.data[text.len - 1] == '\n') text.data[--text.len] = '\0';
        if (!parse_step(mk_str_c(&text), &step)) {
            mk_fail(err, MK_EFORMAT, "%s: is not the name of a checkpoint (step-00000100)", file);
        } else {
            path = join(run, text.data);
            if (!mk_folder_exists(path)) {
                mk_fail(err, MK_EFORMAT, "%s: names %s, which is not there", file, text.data);
                free(path);
                path = NULL;
            }
        }
    }
    mk_str_release(&text);
    free(file);
    return path;
}

char *mk_run_model(const char *path)
{
    struct mk_err err;
    char *file = join(path, "latest");
    char *newest = mk_file_exists(file) ? mk_checkpoint_latest(path, &err) : NULL;
    free(file);
    return newest ? newest : mk_strdup(path);
}

/* ---- loading ---------------------------------------------------------------------------- */

bool mk_checkpoint_load(const char *path, const struct mk_params *p, struct mk_optim *optim,
                        const char *run_hash, uint64_t *step, struct mk_str *state,
                        struct mk_err *err)
{
    struct trainer t = {0};
    struct mk_entries values = mk_entries_of_params(p, MK_F32);
    struct mk_entries moments = mk_entries_of_moments(p, optim);
    struct mk_entries_file value_file = {0}, moment_file = {0};
    char *file = join(path, "trainer.json");
    const bool ok = parse_trainer(&t, file, mk_optim_name(optim->o.kind), run_hash, err) &&
                    mk_entries_open(&value_file, &values, path, mk_params_file(p), err) &&
                    mk_entries_open(&moment_file, &moments, path, "optimizer.safetensors", err);
    if (ok) {
        mk_entries_read(&value_file);
        mk_entries_read(&moment_file);
        optim->n_step = t.n_updates;
        *step = t.step;
        char *text = json_dumps(t.state, JSON_COMPACT | JSON_REAL_PRECISION(17));
        mk_str_clear(state);
        mk_str_add(state, text);
        free(text);
    }
    mk_entries_close(&value_file);
    mk_entries_close(&moment_file);
    mk_entries_release(&values);
    mk_entries_release(&moments);
    json_decref(t.root);
    free(file);
    return ok;
}

bool mk_checkpoint_load_reference(const char *path, const struct mk_params *p, float *reference,
                                  struct mk_err *err)
{
    struct mk_entries e = mk_entries_of_values(p, reference, MK_F32);
    struct mk_entries_file file;
    const bool ok = mk_entries_open(&file, &e, path, reference_file, err);
    if (ok) {
        mk_entries_read(&file);
        mk_entries_close(&file);
    }
    mk_entries_release(&e);
    return ok;
}
