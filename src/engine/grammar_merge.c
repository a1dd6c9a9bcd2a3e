/* References within a document, and two schemas in one. */
#include "engine/int_grammar.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HOPS = 32, MAX_POINTER = 1024 };

/* ---- references ---------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* The next step of a JSON pointer in a fragment: %41 and then ~0, ~1 are undone. */
static const char *next_step(const char *p, struct mk_str *out)
{
    mk_str_clear(out);
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '%' && hex(p[1]) > 0 && hex(p[2]) >= 0)
            c = (char)(hex(p[1]) << 4 | hex(p[2])), p += 2;
        const bool is_tilde = out->len && out->data[out->len - 1] == '~';
        if (is_tilde && (c == '0' || c == '1'))
            out->data[out->len - 1] = c == '0' ? '\x01' : '/'; /* 1 stands for ~ until the end */
        else
            mk_str_addc(out, c);
    }
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i] == '\x01') out->data[i] = '~';
    return *p ? p + 1 : NULL;
}

static const json_t *element(const json_t *v, const char *step)
{
    if (!json_is_array(v)) return json_object_get(v, step);
    char *end;
    const unsigned long i = strtoul(step, &end, 10);
    return *step >= '0' && *step <= '9' && !*end ? json_array_get(v, i) : NULL;
}

const json_t *mk_schema_find(struct mk_schema *s, const char *ref)
{
    struct mk_str step = {0};
    const json_t *v = s->root;
    if (ref[0] != '#' || (ref[1] && ref[1] != '/')) {
        mk_schema_fail(s, MK_EUNSUPPORTED, "$ref %.100s: only \"#\" and \"#/...\" are followed",
                       ref);
        return NULL;
    }
    if (strlen(ref) > MAX_POINTER) {
        mk_schema_fail(s, MK_ELIMIT, "$ref has more than %d bytes", MAX_POINTER);
        return NULL;
    }
    for (const char *p = ref[1] ? ref + 2 : NULL; p && v;) {
        p = next_step(p, &step);
        v = element(v, mk_str_c(&step));
    }
    mk_str_release(&step);
    if (!v) mk_schema_fail(s, MK_EFORMAT, "$ref %.100s leads nowhere", ref);
    return v;
}

json_t *mk_schema_without(const json_t *schema, const char *key)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)schema);
    json_object_del(copy, key);
    return copy;
}

json_t *mk_schema_resolve(struct mk_schema *s, const json_t *schema)
{
    json_t *v = json_incref((json_t *)(uintptr_t)schema);
    for (int hops = 0; v && json_object_get(v, "$ref"); hops++) {
        const json_t *ref = mk_schema_get(s, v, "$ref", JSON_STRING);
        const json_t *target = ref ? mk_schema_find(s, json_string_value(ref)) : NULL;
        if (hops == MAX_HOPS) mk_schema_fail(s, MK_EFORMAT, "$ref goes round in a circle");
        json_t *rest = mk_schema_without(v, "$ref");
        json_t *both = target && hops < MAX_HOPS ? mk_schema_merge(s, rest, target) : NULL;
        json_decref(rest);
        json_decref(v);
        v = both;
    }
    return v;
}

/* ---- merging ------------------------------------------------------------------------- */

static json_t *clash(struct mk_schema *s, const char *key)
{
    mk_schema_fail(s, MK_EUNSUPPORTED, "two demands by %.60s cannot be merged", key);
    return NULL;
}

static json_t *join_lists(const json_t *x, const json_t *y)
{
    json_t *all = json_copy((json_t *)(uintptr_t)x);
    json_array_extend(all, (json_t *)(uintptr_t)y);
    return all;
}

/* Properties that both have must say the same. */
static json_t *join_properties(struct mk_schema *s, const json_t *x, const json_t *y)
{
    json_t *all = json_copy((json_t *)(uintptr_t)x);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)y, key, v)
    {
        const json_t *old = json_object_get(all, key);
        if (old && !json_equal(old, v)) {
            json_decref(all);
            return clash(s, key);
        }
        json_object_set(all, key, v);
    }
    return all;
}

/* "integer" is a "number". */
static json_t *join_types(struct mk_schema *s, json_t *x, json_t *y)
{
    const char *a = json_string_value(x), *b = json_string_value(y);
    if (a && b && !strcmp(a, "integer") && !strcmp(b, "number")) return json_incref(x);
    if (a && b && !strcmp(a, "number") && !strcmp(b, "integer")) return json_incref(y);
    return clash(s, "type");
}

static bool is_one_of(const char *key, const char *const *list)
{
    while (*list && strcmp(key, *list) != 0) list++;
    return *list != NULL;
}

/* What a keyword says that both have, with different values. */
static json_t *join(struct mk_schema *s, const char *key, json_t *x, json_t *y)
{
    static const char *const lower[] = {"minimum",  "exclusiveMinimum", "minLength",
                                        "minItems", "minProperties",    NULL};
    static const char *const upper[] = {"maximum",  "exclusiveMaximum", "maxLength",
                                        "maxItems", "maxProperties",    NULL};
    static const char *const all[] = {"required", "allOf", NULL};
    const bool are_numbers = json_is_number(x) && json_is_number(y);
    const bool x_is_more = are_numbers && json_number_value(x) > json_number_value(y);
    if (are_numbers && is_one_of(key, lower)) return json_incref(x_is_more ? x : y);
    if (are_numbers && is_one_of(key, upper)) return json_incref(x_is_more ? y : x);
    if (json_is_array(x) && json_is_array(y) && is_one_of(key, all)) return join_lists(x, y);
    if (json_is_object(x) && json_is_object(y) && !strcmp(key, "properties"))
        return join_properties(s, x, y);
    if (!strcmp(key, "type")) return join_types(s, x, y);
    return clash(s, key);
}

/* A schema that allows no names but its own does not go with names of another. */
static bool closes(const json_t *x, const json_t *y)
{
    const json_t *own = json_object_get(x, "properties");
    const json_t *additional = json_object_get(x, "additionalProperties");
    const char *key;
    json_t *v;
    if (!additional || json_is_true(additional)) return false;
    json_object_foreach(json_object_get(y, "properties"), key,
                        v) if (!json_object_get(own, key)) return true;
    return false;
}

json_t *mk_schema_merge(struct mk_schema *s, const json_t *x, const json_t *y)
{
    if (json_is_true(y)) return json_copy((json_t *)(uintptr_t)x);
    if (!json_is_object(x) || !json_is_object(y)) {
        mk_schema_fail(s, MK_EUNSUPPORTED, "only objects can be merged");
        return NULL;
    }
    if (closes(x, y) || closes(y, x)) return clash(s, "additionalProperties");
    json_t *both = json_copy((json_t *)(uintptr_t)x);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)y, key, v)
    {
        json_t *old = json_object_get(both, key);
        if (mk_schema_is_remark(key) || (old && json_equal(old, v))) continue;
        json_t *now = old ? join(s, key, old, v) : json_incref(v);
        if (!now) {
            json_decref(both);
            return NULL;
        }
        json_object_set_new(both, key, now);
    }
    return both;
}
