/* A model's numbers.  Both worlds come down to one small value type; ranges and kinds
 * are checked once, here, so that a model file never sees a number it did not ask for. */
#include "formats/config.h"

#include "base/file.h"
#include "base/str.h"
#include "formats/int_formats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARCH = 63, MAX_KEY = 127 };
#define GENERATION "generation_config"

/* ---- loading ------------------------------------------------------------------- */

static json_t *load(const char *text, size_t n, const char *file, struct mk_err *err)
{
    if (n > MK_MAX_CONFIG_BYTES) {
        mk_fail(err, MK_ELIMIT, "%s: %zu bytes, limit %d", file, n, MK_MAX_CONFIG_BYTES);
        return NULL;
    }
    json_error_t e;
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (!v) {
        mk_fail(err, MK_EFORMAT, "%s: line %d: %s", file, e.line, mk_show_str(e.text).s);
    } else if (!json_is_object(v)) {
        mk_fail(err, MK_EFORMAT, "%s: not a JSON object", file);
        json_decref(v);
        v = NULL;
    }
    return v;
}

/* NULL and null are the same: no value. */
static json_t *member(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

/* Copies o[from] to o[to] if only that one is there. */
static void alias(json_t *o, const char *from, const char *to)
{
    json_t *v = member(o, from);
    if (v && !member(o, to)) json_object_set(o, to, v);
}

/* Newer files call rope_scaling rope_parameters, say rope_type for type, put rope_theta
 * inside, and write the type "default" where older ones have no rope_scaling. */
static void normalise_rope(json_t *root)
{
    alias(root, "rope_parameters", "rope_scaling");
    json_t *rope = member(root, "rope_scaling"), *theta = member(rope, "rope_theta");
    if (!json_is_object(rope)) return;
    if (theta && !member(root, "rope_theta")) json_object_set(root, "rope_theta", theta);
    alias(rope, "rope_type", "type");
    alias(rope, "type", "rope_type");
    const char *type = json_string_value(member(rope, "type"));
    if (type && !strcmp(type, "default")) json_object_del(root, "rope_scaling");
}

bool mk_config_parse(struct mk_config *out, const char *text, size_t n, const char *file,
                     struct mk_err *err)
{
    json_t *root = load(text, n, file, err);
    if (!root) return false;
    const json_t *type = member(root, "model_type");
    const char *arch = json_string_value(type);
    if (!arch || !*arch || strlen(arch) > MAX_ARCH) {
        mk_fail(err, MK_EFORMAT, "%s: model_type %s", file,
                !type   ? "is missing"
                : !arch ? "is not a string"
                        : "is empty or too long");
        json_decref(root);
        return false;
    }
    normalise_rope(root);
    json_object_del(root, GENERATION); /* reserved for the file of that name */
    *out = (struct mk_config){.arch = mk_strdup(arch), .json = root, .file = mk_strdup(file)};
    return true;
}

/* Hangs generation_config.json, if there is one beside config.json, below the root. */
static bool add_generation(struct mk_config *c, struct mk_err *err)
{
    const char *slash = strrchr(c->file, '/');
    struct mk_str path = {0}, text = {0};
    mk_str_append(&path, c->file, slash ? (size_t)(slash + 1 - c->file) : 0);
    mk_str_add(&path, GENERATION ".json");
    bool ok = true;
    if (mk_file_exists(path.data)) {
        ok = mk_file_read_regular(&text, path.data, MK_MAX_CONFIG_BYTES, err);
        json_t *v = ok ? load(mk_str_c(&text), text.len, path.data, err) : NULL;
        ok = v && json_object_set_new(c->json, GENERATION, v) == 0;
    }
    mk_str_release(&text);
    mk_str_release(&path);
    return ok;
}

bool mk_config_open_json(struct mk_config *out, const char *path, struct mk_err *err)
{
    struct mk_str text = {0};
    struct mk_config c = {0};
    const bool ok = mk_file_read_regular(&text, path, MK_MAX_CONFIG_BYTES, err) &&
                    mk_config_parse(&c, mk_str_c(&text), text.len, path, err) &&
                    add_generation(&c, err);
    mk_str_release(&text);
    if (!ok) {
        mk_config_close(&c);
        return false;
    }
    *out = c;
    return true;
}

static bool open_dir(struct mk_config *out, const char *dir, struct mk_err *err)
{
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/config.json", dir);
    const bool ok =
        mk_file_exists(path.data)
            ? mk_config_open_json(out, path.data, err)
            : mk_fail(err, MK_EFORMAT, "%s: this part of the model is missing", path.data);
    mk_str_release(&path);
    return ok;
}

static bool open_gguf(struct mk_config *out, const struct mk_gguf *g, const char *file,
                      struct mk_err *err)
{
    struct mk_gguf_str arch;
    if (!mk_gguf_str(g, "general.architecture", &arch))
        return mk_fail(err, MK_EFORMAT, "%s: general.architecture is missing or not a string",
                       file);
    if (arch.n > MAX_ARCH || !mk_name_check(arch.s, arch.n, "general.architecture", file, err))
        return arch.n <= MAX_ARCH
                   ? false
                   : mk_fail(err, MK_EFORMAT, "%s: general.architecture %s is too long", file,
                             mk_show(arch.s, arch.n).s);
    *out = (struct mk_config){
        .arch = mk_strndup(arch.s, arch.n), .is_gguf = true, .gguf = g, .file = mk_strdup(file)};
    return true;
}

bool mk_config_open(struct mk_config *out, const struct mk_tensors *t, struct mk_err *err)
{
    return t->gguf ? open_gguf(out, t->gguf, t->path, err) : open_dir(out, mk_tensors_dir(t), err);
}

void mk_config_close(struct mk_config *c)
{
    free(c->arch);
    free(c->file);
    json_decref(c->json);
    *c = (struct mk_config){0};
}

/* ---- one value ----------------------------------------------------------------- */

/* Where a value was looked for and what is there; both NULL: nothing. */
struct value {
    const struct mk_config *c;
    char key[MAX_KEY + 1];
    const json_t *json;
    const struct mk_gguf_kv *kv;
};

static bool is_missing(const struct value *v) { return !v->json && !v->kv; }

static const json_t *follow(const json_t *o, const char *path)
{
    char part[MAX_KEY + 1];
    for (;;) {
        const size_t n = strcspn(path, ".");
        if (n > MAX_KEY) return NULL;
        memcpy(part, path, n);
        part[n] = '\0';
        o = member(o, part);
        if (!o || !path[n]) return o;
        path += n + 1;
    }
}

static struct value look_up(const struct mk_config *c, const char *hf, const char *gguf)
{
    struct value v = {.c = c};
    const char *key = c->is_gguf ? gguf : hf;
    if (!key) return v;
    if (!c->is_gguf)
        snprintf(v.key, sizeof v.key, "%s", key);
    else if (key[0] == '.')
        snprintf(v.key, sizeof v.key, "%s", key + 1);
    else
        snprintf(v.key, sizeof v.key, "%s.%s", c->arch, key);
    if (c->is_gguf)
        v.kv = mk_gguf_find(c->gguf, v.key);
    else
        v.json = follow(c->json, v.key);
    return v;
}

/* "FILE: key KEY", with the file that the key really comes from. */
static struct mk_str where(const struct value *v)
{
    static const char prefix[] = GENERATION ".";
    struct mk_str s = {0};
    const char *file = v->c->file, *slash = strrchr(file, '/'), *key = v->key;
    if (!v->c->is_gguf && !strncmp(key, prefix, sizeof prefix - 1)) {
        mk_str_append(&s, file, slash ? (size_t)(slash + 1 - file) : 0);
        mk_str_add(&s, GENERATION ".json");
        key += sizeof prefix - 1;
    } else {
        mk_str_add(&s, file);
    }
    mk_str_addf(&s, ": key %s", key);
    return s;
}

static void describe_json(struct mk_str *s, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        mk_str_add(s, "an object");
        return;
    case JSON_ARRAY:
        mk_str_add(s, "an array");
        return;
    case JSON_STRING:
        mk_str_addf(s, "\"%s\"", mk_show_str(json_string_value(v)).s);
        return;
    case JSON_INTEGER:
        mk_str_addf(s, "%lld", (long long)json_integer_value(v));
        return;
    case JSON_REAL:
        mk_str_addf(s, "%g", json_real_value(v));
        return;
    default:
        mk_str_add(s, json_is_true(v) ? "true" : "false");
        return;
    }
}

static void describe_kv(struct mk_str *s, const struct mk_gguf_kv *kv)
{
    switch (kv->type) {
    case MK_GGUF_ARRAY:
        mk_str_addf(s, "an array of %zu", kv->array.n);
        return;
    case MK_GGUF_STR:
        mk_str_addf(s, "\"%s\"", mk_show(kv->str.s, kv->str.n).s);
        return;
    case MK_GGUF_BOOL:
        mk_str_add(s, kv->u ? "true" : "false");
        return;
    case MK_GGUF_F32:
    case MK_GGUF_F64:
        mk_str_addf(s, "%g", kv->f);
        return;
    case MK_GGUF_I8:
    case MK_GGUF_I16:
    case MK_GGUF_I32:
    case MK_GGUF_I64:
        mk_str_addf(s, "%lld", (long long)kv->i);
        return;
    default:
        mk_str_addf(s, "%llu", (unsigned long long)kv->u);
        return;
    }
}

/* "FILE: key KEY is VALUE, want ..." */
static bool fail_value(const struct value *v, const char *want, struct mk_err *err)
{
    struct mk_str s = where(v);
    mk_str_add(&s, " is ");
    if (v->json)
        describe_json(&s, v->json);
    else
        describe_kv(&s, v->kv);
    mk_fail(err, MK_EFORMAT, "%s, want %s", s.data, want);
    mk_str_release(&s);
    return false;
}

static bool fail_missing(const struct value *v, struct mk_err *err)
{
    struct mk_str s = where(v);
    mk_fail(err, MK_EFORMAT, "%s is missing", s.data);
    mk_str_release(&s);
    return false;
}

/* ---- kinds --------------------------------------------------------------------- */

/* 4096.0 is an integer too: JSON does not tell them apart. */
static bool double_int(double f, int64_t *out)
{
    if (!(fabs(f) <= 0x1p53) || f != floor(f)) return false;
    *out = (int64_t)f;
    return true;
}

static bool json_int(const json_t *v, int64_t *out)
{
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    return json_is_real(v) && double_int(json_real_value(v), out);
}

static bool kv_int(const struct mk_gguf_kv *kv, int64_t *out)
{
    switch (kv->type) {
    case MK_GGUF_U8:
    case MK_GGUF_U16:
    case MK_GGUF_U32:
    case MK_GGUF_U64:
        if (kv->u > INT64_MAX) return false;
        *out = (int64_t)kv->u;
        return true;
    case MK_GGUF_I8:
    case MK_GGUF_I16:
    case MK_GGUF_I32:
    case MK_GGUF_I64:
        *out = kv->i;
        return true;
    default:
        return false;
    }
}

static bool read_int(const struct value *v, int64_t lo, int64_t hi, int64_t *out,
                     struct mk_err *err)
{
    int64_t n;
    if ((v->json ? json_int(v->json, &n) : kv_int(v->kv, &n)) && n >= lo && n <= hi) {
        *out = n;
        return true;
    }
    char want[80];
    snprintf(want, sizeof want, "an integer in [%lld, %lld]", (long long)lo, (long long)hi);
    return fail_value(v, want, err);
}

bool mk_config_has(const struct mk_config *c, const char *hf, const char *gguf)
{
    const struct value v = look_up(c, hf, gguf);
    return !is_missing(&v);
}

bool mk_config_int(const struct mk_config *c, const char *hf, const char *gguf, int64_t lo,
                   int64_t hi, int64_t missing, int64_t *out, struct mk_err *err)
{
    const struct value v = look_up(c, hf, gguf);
    if (!is_missing(&v)) return read_int(&v, lo, hi, out, err);
    *out = missing;
    return true;
}

bool mk_config_need(const struct mk_config *c, const char *hf, const char *gguf, int64_t lo,
                    int64_t hi, int64_t *out, struct mk_err *err)
{
    const struct value v = look_up(c, hf, gguf);
    return is_missing(&v) ? fail_missing(&v, err) : read_int(&v, lo, hi, out, err);
}

bool mk_config_float(const struct mk_config *c, const char *hf, const char *gguf, double lo,
                     double hi, double missing, double *out, struct mk_err *err)
{
    const struct value v = look_up(c, hf, gguf);
    if (is_missing(&v)) {
        *out = missing;
        return true;
    }
    double f = (double)NAN;
    int64_t i;
    if (v.json && json_is_number(v.json))
        f = json_number_value(v.json);
    else if (v.kv && (v.kv->type == MK_GGUF_F32 || v.kv->type == MK_GGUF_F64))
        f = v.kv->f;
    else if (v.kv && kv_int(v.kv, &i))
        f = (double)i;
    if (isfinite(f) && f >= lo && f <= hi) {
        *out = f;
        return true;
    }
    char want[80];
    snprintf(want, sizeof want, "a number in [%g, %g]", lo, hi);
    return fail_value(&v, want, err);
}

bool mk_config_bool(const struct mk_config *c, const char *hf, const char *gguf, bool missing,
                    bool *out, struct mk_err *err)
{
    const struct value v = look_up(c, hf, gguf);
    if (is_missing(&v))
        *out = missing;
    else if (v.json && json_is_boolean(v.json))
        *out = json_is_true(v.json);
    else if (v.kv && v.kv->type == MK_GGUF_BOOL)
        *out = v.kv->u != 0;
    else
        return fail_value(&v, "true or false", err);
    return true;
}

bool mk_config_str(const struct mk_config *c, const char *hf, const char *gguf, const char *missing,
                   char *out, size_t size, struct mk_err *err)
{
    const struct value v = look_up(c, hf, gguf);
    struct mk_gguf_str s = {missing, strlen(missing)};
    if (v.json && json_is_string(v.json))
        s = (struct mk_gguf_str){json_string_value(v.json), json_string_length(v.json)};
    else if (v.kv && v.kv->type == MK_GGUF_STR)
        s = v.kv->str;
    else if (!is_missing(&v))
        return fail_value(&v, "a string", err);
    if (s.n >= size || memchr(s.s, '\0', s.n)) {
        char want[80];
        snprintf(want, sizeof want, "at most %zu bytes without NUL", size - 1);
        return fail_value(&v, want, err);
    }
    memcpy(out, s.s, s.n);
    out[s.n] = '\0';
    return true;
}

/* Element i of a list, or the value itself when it is not one. */
static bool element(const struct value *v, bool is_list, size_t i, int64_t *out)
{
    if (v->json) return json_int(is_list ? json_array_get(v->json, i) : v->json, out);
    if (!is_list) return kv_int(v->kv, out);
    struct mk_gguf_kv e = {.type = v->kv->array.type};
    if (!v->kv->array.data) return false;
    mk_gguf_load(&e, v->kv->array.data + i * mk_gguf_type_bytes[e.type]);
    return kv_int(&e, out);
}

bool mk_config_ints(const struct mk_config *c, const char *hf, const char *gguf, int64_t lo,
                    int64_t hi, int64_t *out, size_t max, size_t *n, struct mk_err *err)
{
    const struct value v = look_up(c, hf, gguf);
    size_t count = is_missing(&v) ? 0 : 1;
    const bool is_list = v.json ? json_is_array(v.json) : v.kv && v.kv->type == MK_GGUF_ARRAY;
    if (is_list) count = v.json ? json_array_size(v.json) : v.kv->array.n;
    char want[96];
    if (count > max) {
        snprintf(want, sizeof want, "at most %zu integers", max);
        return fail_value(&v, want, err);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t e;
        if (!element(&v, is_list, i, &e) || e < lo || e > hi) {
            snprintf(want, sizeof want, "integers in [%lld, %lld] (see element %zu)", (long long)lo,
                     (long long)hi, i);
            return fail_value(&v, want, err);
        }
        out[i] = e;
    }
    *n = count;
    return true;
}
