/* Reading a request's JSON.  Unknown fields are ignored; a known one that is wrong is an error that
 * names it and says what was found. */
#include "base/mem.h"
#include "server/int_server.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_DEPTH = 64, MAX_STOPS = 16, MAX_BIASES = 1024 };

/* Whether brackets nest deeper than the reader should follow. */
static bool is_too_deep(const struct mk_str *s)
{
    size_t depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < s->len; i++) {
        const char c = s->data[i];
        if (in_text && c == '\\')
            i++;
        else if (c == '"')
            in_text = !in_text;
        else if (!in_text && (c == '[' || c == '{') && ++depth > MAX_DEPTH)
            return true;
        else if (!in_text && (c == ']' || c == '}') && depth)
            depth--;
    }
    return false;
}

bool mk_fields_read(struct mk_fields *f, struct mk_exchange *x)
{
    json_error_t e;
    *f = (struct mk_fields){.x = x};
    if (is_too_deep(&x->body)) {
        mk_answer_error(x, 400, NULL, NULL, "the body nests deeper than %d levels", MAX_DEPTH);
        return false;
    }
    f->v = json_loadb(mk_str_c(&x->body), x->body.len, 0, &e);
    if (json_is_object(f->v)) return true;
    if (f->v)
        mk_answer_error(x, 400, NULL, NULL, "the body is not a JSON object");
    else
        mk_answer_error(x, 400, NULL, NULL, "the body is not JSON: %s at line %d, column %d",
                        e.text, e.line, e.column);
    mk_fields_release(f);
    return false;
}

void mk_fields_release(struct mk_fields *f)
{
    json_decref(f->v);
    f->v = NULL;
}

static bool fail(const struct mk_fields *f, const char *name, const json_t *v, const char *want)
{
    char *seen = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    mk_answer_error(f->x, 400, name, NULL, "%s is %.60s%s, want %s", name,
                    seen ? seen : "unreadable", seen && strlen(seen) > 60 ? "..." : "", want);
    free(seen);
    return false;
}

static bool get(const struct mk_fields *f, const char *name, json_t **v)
{
    *v = json_object_get(f->v, name);
    return *v && !json_is_null(*v);
}

bool mk_field_float(const struct mk_fields *f, const char *name, double lo, double hi, float *out)
{
    json_t *v;
    if (!get(f, name, &v)) return true;
    char want[64];
    snprintf(want, sizeof want, "a number in %g..%g", lo, hi);
    if (!json_is_number(v)) return fail(f, name, v, want);
    const double d = json_number_value(v);
    if (!(d >= lo && d <= hi)) return fail(f, name, v, want);
    *out = (float)d;
    return true;
}

bool mk_field_int(const struct mk_fields *f, const char *name, int64_t lo, int64_t hi, int64_t *out)
{
    json_t *v;
    if (!get(f, name, &v)) return true;
    char want[80];
    snprintf(want, sizeof want, "an integer in %lld..%lld", (long long)lo, (long long)hi);
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        return fail(f, name, v, want);
    *out = json_integer_value(v);
    return true;
}

bool mk_field_bool(const struct mk_fields *f, const char *name, bool *out)
{
    json_t *v;
    if (!get(f, name, &v)) return true;
    if (!json_is_boolean(v)) return fail(f, name, v, "true or false");
    *out = json_is_true(v);
    return true;
}

bool mk_field_text(const struct mk_fields *f, const char *name, const char **out)
{
    json_t *v;
    if (!get(f, name, &v)) return true;
    if (!json_is_string(v)) return fail(f, name, v, "a string");
    *out = json_string_value(v);
    return true;
}

bool mk_field_object(const struct mk_fields *f, const char *name, json_t **out)
{
    json_t *v;
    *out = NULL;
    if (!get(f, name, &v)) return true;
    if (!json_is_object(v)) return fail(f, name, v, "an object");
    *out = v;
    return true;
}

/* ---- what all generating APIs share ------------------------------------------------ */

static bool read_stops(const struct mk_fields *f, struct mk_job *j)
{
    static const char want[] = "a string or a list of at most 16, none of them empty";
    json_t *v;
    if (!get(f, "stop", &v)) return true;
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n > MAX_STOPS) return fail(f, "stop", v, want);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!text || !*text) return fail(f, "stop", v, want);
        mk_job_add_stop(j, text);
    }
    return true;
}

/* {"ID": number} */
static bool read_biases(const struct mk_fields *f, struct mk_job *j)
{
    json_t *all, *v;
    const char *key;
    if (!mk_field_object(f, "logit_bias", &all)) return false;
    if (!all) return true;
    if (json_object_size(all) > MAX_BIASES)
        return fail(f, "logit_bias", all, "at most 1024 tokens");
    j->sampling.bias = j->bias = mk_calloc(json_object_size(all) + 1, sizeof *j->bias);
    const size_t n_vocab = mk_engine_info(f->x->server->engine).n_vocab;
    json_object_foreach(all, key, v)
    {
        char *end;
        const long id = strtol(key, &end, 10);
        const double add = json_number_value(v);
        if (end == key || *end || id < 0 || (size_t)id >= n_vocab || !json_is_number(v) ||
            fabs(add) > 100)
            return fail(f, "logit_bias", all, "token ids with numbers in -100..100");
        j->bias[j->sampling.n_bias++] =
            (struct mk_bias){.id = (int32_t)id, .add = add > -100 ? (float)add : -INFINITY};
    }
    return true;
}

static bool read_seed(const struct mk_fields *f, struct mk_job *j)
{
    int64_t seed = -1;
    if (!mk_field_int(f, "seed", -1, INT64_MAX, &seed)) return false;
    uint32_t any = 0;
    if (seed < 0 && getrandom(&any, sizeof any, 0) != sizeof any) any = (uint32_t)(uintptr_t)j;
    j->sampling.seed = seed < 0 ? any : (uint64_t)seed;
    return true;
}

static bool read_max_toks(const struct mk_fields *f, struct mk_job *j)
{
    int64_t n = 0;
    if (!mk_field_int(f, "max_tokens", 1, 1 << 28, &n) ||
        !mk_field_int(f, "max_completion_tokens", 1, 1 << 28, &n))
        return false;
    j->max_toks = (size_t)n;
    return true;
}

bool mk_json_ids(struct mk_exchange *x, const char *name, const json_t *list, struct mk_ids *out)
{
    const size_t n_vocab = mk_engine_info(x->server->engine).n_vocab;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t id = json_integer_value(v);
        if (!json_is_integer(v) || id < 0 || (size_t)id >= n_vocab) {
            mk_answer_error(x, 400, name, NULL, "%s[%zu] is not a token id in 0..%zu", name, i,
                            n_vocab - 1);
            return false;
        }
        mk_ids_add(out, (int32_t)id);
    }
    return true;
}

bool mk_fields_job(const struct mk_fields *f, struct mk_job *j)
{
    struct mk_sampling *s = &j->sampling;
    *s = f->x->server->sampling;
    int64_t top_k = s->top_k;
    bool may_reuse = true;
    if (!mk_field_float(f, "temperature", 0, 2, &s->temperature) ||
        !mk_field_float(f, "top_p", 0, 1, &s->top_p) ||
        !mk_field_float(f, "min_p", 0, 1, &s->min_p) ||
        !mk_field_int(f, "top_k", 0, 1 << 24, &top_k) ||
        !mk_field_float(f, "repetition_penalty", 0.01, 100, &s->repetition_penalty) ||
        !mk_field_float(f, "presence_penalty", -2, 2, &s->presence_penalty) ||
        !mk_field_float(f, "frequency_penalty", -2, 2, &s->frequency_penalty) ||
        !mk_field_bool(f, "ignore_eos", &j->ignores_eos) ||
        !mk_field_bool(f, "cache_prompt", &may_reuse))
        return false;
    s->top_k = (int32_t)top_k;
    j->reads_anew = !may_reuse;
    return read_seed(f, j) && read_max_toks(f, j) && read_stops(f, j) && read_biases(f, j);
}
