/* A conversion from beginning to end.  The last step opens the result and compares its
 * numbers with the source's: what the other format has no key for is found here, whatever
 * the family. */
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t default_shard_bytes = (size_t)5 << 30;
static const double same_within = 1e-6; /* GGUF has single floats */

/* ---- comparing --------------------------------------------------------------------------- */

static bool same_value(const json_t *a, const json_t *b)
{
    if (!json_is_number(a) || !json_is_number(b)) return json_equal(a, b);
    const double x = json_number_value(a), y = json_number_value(b);
    return fabs(x - y) <= same_within * fmax(fabs(x), fabs(y));
}

/* The first member of a that b has otherwise, NULL if none; *parent holds it. */
static const char *first_difference(json_t *a, json_t *b, json_t **parent_a, json_t **parent_b)
{
    const char *key;
    json_t *v;
    json_object_foreach(a, key, v)
    {
        json_t *other = json_object_get(b, key);
        if (json_is_object(v) && json_is_object(other)) {
            const char *inner = first_difference(v, other, parent_a, parent_b);
            if (inner) return inner;
        } else if (!other || !same_value(v, other)) {
            *parent_a = a, *parent_b = b;
            return key;
        }
    }
    return NULL;
}

static void show(const json_t *v, char *out, size_t size)
{
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7)) : NULL;
    snprintf(out, size, "%s", text ? text : "nothing");
    free(text);
}

static bool compare(const struct mk_model *a, const struct mk_model *b, struct mk_err *err)
{
    json_t *va = json_object(), *vb = json_object(), *pa = NULL, *pb = NULL;
    mk_model_put_hf(a, va);
    mk_model_put_hf(b, vb);
    const char *key = first_difference(va, vb, &pa, &pb);
    char was[96] = "", is[96] = "";
    if (key) {
        show(json_object_get(pa, key), was, sizeof was);
        show(json_object_get(pb, key), is, sizeof is);
        mk_fail(err, MK_EUNSUPPORTED, "%s: %s is %s, which would become %s in the other format",
                a->config.file, key, was, is);
    }
    json_decref(va);
    json_decref(vb);
    return !key;
}

/* A result that is not the same model is taken away again. */
static bool check_result(const struct mk_convert *c, const char *target, struct mk_err *err)
{
    struct mk_model m;
    bool ok = mk_model_open(&m, target, err);
    if (ok) {
        ok = compare(&c->model, &m, err);
        mk_model_close(&m);
    }
    if (ok) return true;
    struct mk_str path = {0};
    mk_str_addf(&path, "%s%s", target, c->to_gguf ? "" : "/config.json");
    unlink(path.data);
    mk_str_release(&path);
    return false;
}

/* ---- the steps ------------------------------------------------------------------------------ */

static bool is_gguf_path(const char *path)
{
    const size_t n = strlen(path);
    return n > 5 && !strcmp(path + n - 5, ".gguf");
}

/* Writing over a file that is mapped would be safe (it is replaced as a whole), but nobody
 * means to lose the source. */
static bool check_target(const struct mk_convert *c, const char *target, struct mk_err *err)
{
    struct stat a, b;
    const struct mk_tensors *t = &c->model.tensors;
    if (stat(target, &a)) return true;
    for (size_t i = 0; i < t->n; i++)
        if ((i == 0 || t->list[i].file != t->list[i - 1].file) && !stat(t->list[i].file, &b) &&
            a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return mk_fail(err, MK_EUSAGE, "%s is the source", target);
    if (c->to_gguf ? !S_ISREG(a.st_mode) : !S_ISDIR(a.st_mode))
        return mk_fail(err, MK_EUSAGE, "%s is there and is not a %s", target,
                       c->to_gguf ? "file" : "folder");
    return true;
}

static int mla_choice(const char *mla) { return mla ? !strcmp(mla, "new") : -1; }

static void tell_skipped(const struct mk_items *items)
{
    if (items->n_skipped)
        fprintf(stderr, "minke: left out %zu tensors that the model does not use (%s)\n",
                items->n_skipped, items->skipped);
}

static bool convert(struct mk_convert *c, const struct mk_convert_options *o,
                    void (*report)(const struct mk_convert *c), struct mk_err *err)
{
    if (!mk_convert_plan(c, mla_choice(o->mla), err)) return false;
    tell_skipped(&c->items);
    if (report) report(c);
    const size_t shard_bytes = o->shard_bytes ? o->shard_bytes : default_shard_bytes;
    return (c->to_gguf ? mk_write_gguf(c, o->target, err)
                       : mk_write_folder(c, o->target, shard_bytes, err)) &&
           check_result(c, o->target, err);
}

bool mk_convert_run(const struct mk_convert_options *o, void (*report)(const struct mk_convert *c),
                    struct mk_err *err)
{
    struct mk_convert c = {.to_gguf = is_gguf_path(o->target)};
    const double start = mk_now_s();
    if (!mk_recipe_find(&c.recipe, o->type, o->has_mixes, err)) return false;
    if (!c.to_gguf && o->mla) return mk_fail(err, MK_EUSAGE, "--mla is for GGUF");
    if (c.to_gguf && o->shard_bytes) return mk_fail(err, MK_EUSAGE, "--shard-size is for folders");
    if (!mk_model_open(&c.model, o->source, err)) return false;
    c.pool = mk_pool_new(o->n_threads ? o->n_threads : mk_cpu_count());
    const bool ok = check_target(&c, o->target, err) && convert(&c, o, report, err);
    if (ok)
        fprintf(stderr, "minke: wrote %s: %zu tensors, %.1f MB, %.1f s\n", o->target, c.n,
                (double)c.n_bytes / 1e6, mk_now_s() - start);
    mk_pool_free(c.pool);
    mk_arena_release(&c.arena);
    mk_model_close(&c.model);
    return ok;
}
