/* Objects and arrays of schemas. */
#include "engine/int_grammar.h"

#include <stdlib.h>
#include <string.h>

/* ---- names that are not taken -------------------------------------------------------- */

enum { MAX_NAME = 128 }; /* bytes of a name that further properties must differ from */

struct names {
    struct mk_schema *s;
    const char **v;        /* sorted */
    uint32_t beyond, rest; /* a character beyond ASCII; any characters */
};

static bool is_plain(unsigned c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

/* Names that differ from v[lo..hi), which agree in their first `at` bytes: they go on with
 * another byte, end where none of them ends, or follow some of them further.  Only plain ASCII
 * is followed, and left where those need an escape or are beyond it. */
static uint32_t other_names(struct names *n, size_t lo, size_t hi, size_t at)
{
    struct mk_grammar_builder *b = n->s->b;
    uint32_t ways[128 + 2];
    size_t n_ways = 0;
    uint64_t free_bytes[4] = {0};
    bool has_end = false, has_beyond = false;
    if (at > MAX_NAME)
        return mk_schema_fail(n->s, MK_ELIMIT,
                              "names of more than %d bytes beside additionalProperties", MAX_NAME);
    for (unsigned c = ' '; c < 0x7f; c++)
        if (is_plain(c)) mk_set_add(free_bytes, c);
    for (size_t i = lo; i < hi && b->err.code == MK_OK;) {
        const unsigned c = (unsigned char)n->v[i][at];
        size_t to = i + 1;
        while (to < hi && (unsigned char)n->v[to][at] == c) to++;
        has_end |= c == 0;
        has_beyond |= c >= 0x80;
        if (is_plain(c)) {
            uint64_t one[4] = {0};
            mk_set_add(one, c);
            free_bytes[c >> 6] &= ~one[c >> 6];
            ways[n_ways++] =
                mk_grammar_pair(b, mk_grammar_bytes(b, one), other_names(n, i, to, at + 1));
        }
        i = to;
    }
    ways[n_ways++] = mk_grammar_pair(b, mk_grammar_bytes(b, free_bytes), n->rest);
    if (!has_beyond) ways[n_ways++] = mk_grammar_pair(b, n->beyond, n->rest);
    const uint32_t x = mk_grammar_choice(b, ways, n_ways);
    return has_end ? x : mk_grammar_maybe(b, x);
}

static int compare(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* A key that is none of the object's, with its quotes. */
static uint32_t other_key(struct mk_schema *s, const json_t *properties)
{
    const size_t n = json_object_size(properties);
    struct names names = {.s = s, .v = mk_calloc(n, sizeof *names.v)};
    const char *key;
    json_t *v;
    size_t i = 0;
    json_object_foreach((json_t *)(uintptr_t)properties, key, v) names.v[i++] = key;
    qsort(names.v, n, sizeof *names.v, compare);
    names.beyond = mk_grammar_re(s->b, "[^\\0-\\x7f]");
    const uint32_t plain = mk_grammar_re(s->b, "[^\\0-\\x1f\"\\\\\\x7f]");
    names.rest = mk_grammar_repeat(s->b, plain, 0, MK_NO_LIMIT);
    const uint32_t x = mk_grammar_quoted(s->b, other_names(&names, 0, n, 0));
    free(names.v);
    return x;
}

/* ---- objects ------------------------------------------------------------------------- */

struct object {
    json_t *properties; /* all that are named, required ones without a schema as well */
    const json_t *required;
    uint32_t extra; /* a further member, 0: there are none */
};

static bool is_required(const struct object *o, const char *name)
{
    for (size_t i = 0; i < json_array_size(o->required); i++)
        if (!strcmp(json_string_value(json_array_get(o->required, i)), name)) return true;
    return false;
}

/* Required names that have no schema get the one for further properties. */
static bool add_required(struct mk_schema *s, struct object *o, json_t *additional)
{
    for (size_t i = 0; i < json_array_size(o->required); i++) {
        const char *name = json_string_value(json_array_get(o->required, i));
        if (!name) return mk_schema_fail(s, MK_EFORMAT, "required is not a list of names");
        if (!json_object_get(o->properties, name)) json_object_set(o->properties, name, additional);
    }
    return true;
}

/* The members in order; behind each, what may follow when something was written before
 * (`rest`, beginning with a comma) and when nothing was (`first`). */
static uint32_t members(struct mk_schema *s, const struct object *o)
{
    struct mk_grammar_builder *b = s->b;
    const size_t n = json_object_size(o->properties);
    uint32_t *list = mk_calloc(n, sizeof *list);
    bool *needed = mk_calloc(n, sizeof *needed);
    const char *name;
    json_t *v;
    size_t i = 0;
    json_object_foreach(o->properties, name, v)
    {
        json_t *key = json_string(name);
        const uint32_t quoted = mk_grammar_const(b, key);
        json_decref(key);
        list[i] = mk_grammar_member(b, quoted, mk_schema_sub(s, v, "properties", name));
        needed[i++] = is_required(o, name);
    }
    uint32_t rest = 0, first = 0;
    if (o->extra) {
        rest = mk_grammar_repeat(b, mk_grammar_next(b, o->extra), 0, MK_NO_LIMIT);
        first = mk_grammar_maybe(b, mk_grammar_pair(b, o->extra, rest));
    }
    while (i-- > 0) {
        const uint32_t with = mk_grammar_pair(b, list[i], rest);
        first = needed[i] ? with : mk_grammar_either(b, with, first);
        const uint32_t next = mk_grammar_pair(b, mk_grammar_next(b, list[i]), rest);
        rest = needed[i] ? next : mk_grammar_either(b, next, rest);
    }
    free(list);
    free(needed);
    return first;
}

/* Whether propertyNames says no more than that names are strings and, perhaps, which. */
static bool is_plain_names(const json_t *names)
{
    const char *type = json_string_value(json_object_get(names, "type")), *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)names, key,
                        v) if (strcmp(key, "type") != 0 && strcmp(key, "enum") != 0 &&
                               !mk_schema_is_remark(key)) return false;
    return json_is_object(names) && (!type || !strcmp(type, "string"));
}

/* Names from an enum are properties, and no others are. */
static bool name_all(const json_t *schema, struct object *o, json_t **additional)
{
    const json_t *property_names = json_object_get(schema, "propertyNames");
    const json_t *names = json_object_get(property_names, "enum");
    if (!json_is_array(names) || !is_plain_names(property_names)) return false;
    json_t *all = json_object();
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        json_t *own = name ? json_object_get(o->properties, name) : NULL;
        if (name) json_object_set(all, name, own ? own : *additional);
    }
    json_decref(o->properties);
    o->properties = all;
    *additional = json_false();
    return true;
}

/* No property has a name of its own. */
static uint32_t map(struct mk_schema *s, const json_t *schema, json_t *additional)
{
    uint32_t key = mk_grammar_json_string(s->b);
    const json_t *names = json_object_get(schema, "propertyNames");
    if (names) {
        json_t *text = json_pack("{s:s}", "type", "string");
        json_t *resolved = mk_schema_resolve(s, names);
        json_t *both = resolved ? mk_schema_merge(s, resolved, text) : NULL;
        if (both) key = mk_schema_sub(s, both, "propertyNames", NULL);
        json_decref(text), json_decref(resolved), json_decref(both);
    }
    const uint32_t min = mk_schema_count(s, schema, "minProperties", 0);
    const uint32_t max = mk_schema_count(s, schema, "maxProperties", MK_NO_LIMIT);
    if (min > max) return mk_schema_fail(s, MK_EFORMAT, "minProperties above maxProperties");
    if (json_is_false(additional)) return min ? mk_grammar_never(s->b) : 0;
    const uint32_t value = mk_schema_sub(s, additional, "additionalProperties", NULL);
    return mk_grammar_list(s->b, mk_grammar_member(s->b, key, value), min, max);
}

/* Counts beside named properties must follow from them. */
static bool check_counts(struct mk_schema *s, const json_t *schema, const struct object *o)
{
    size_t n_required = 0;
    const char *name;
    json_t *v;
    json_object_foreach(o->properties, name, v) n_required += is_required(o, name);
    const size_t most = o->extra ? MK_NO_LIMIT : json_object_size(o->properties);
    if (mk_schema_count(s, schema, "minProperties", 0) > n_required)
        return mk_schema_fail(s, MK_EUNSUPPORTED,
                              "minProperties beside properties cannot be enforced");
    if (mk_schema_count(s, schema, "maxProperties", MK_NO_LIMIT) < most)
        return mk_schema_fail(s, MK_EUNSUPPORTED,
                              "maxProperties beside properties cannot be enforced");
    const json_t *names = json_object_get(schema, "propertyNames");
    if (names && !is_plain_names(names))
        return mk_schema_fail(s, MK_EUNSUPPORTED,
                              "propertyNames beside properties cannot be enforced");
    return true;
}

static uint32_t named(struct mk_schema *s, const json_t *schema, struct object *o,
                      json_t *additional)
{
    if (!add_required(s, o, additional)) return 0;
    s->n_properties += json_object_size(o->properties);
    if (s->n_properties > MK_SCHEMA_PROPERTIES)
        return mk_schema_fail(s, MK_ELIMIT, "more than %d properties in all", MK_SCHEMA_PROPERTIES);
    if (!json_is_false(additional)) {
        const uint32_t value = mk_schema_sub(s, additional, "additionalProperties", NULL);
        o->extra = mk_grammar_member(s->b, other_key(s, o->properties), value);
    }
    return check_counts(s, schema, o) ? members(s, o) : 0;
}

uint32_t mk_schema_object(struct mk_schema *s, const json_t *schema)
{
    json_t *properties = mk_schema_get(s, schema, "properties", JSON_OBJECT);
    json_t *additional = json_object_get(schema, "additionalProperties");
    struct object o = {.required = mk_schema_get(s, schema, "required", JSON_ARRAY)};
    if (mk_schema_has_failed(s)) return 0;
    if (!additional) additional = properties ? json_false() : json_true();
    o.properties = properties ? json_copy(properties) : json_object();
    const bool has_all = name_all(schema, &o, &additional);
    const bool is_map = !has_all && !json_object_size(o.properties) && !json_array_size(o.required);
    const uint32_t x = is_map ? map(s, schema, additional) : named(s, schema, &o, additional);
    json_decref(o.properties);
    return x ? mk_grammar_bracket(s->b, "{", x, "}") : mk_grammar_str(s->b, "{}");
}

/* ---- arrays -------------------------------------------------------------------------- */

/* All items of the prefix that max allows, then min - n to max - n others. */
static uint32_t tuple(struct mk_schema *s, const json_t *prefix, const char *key, uint32_t rest,
                      uint32_t min, uint32_t max)
{
    const uint32_t size = (uint32_t)json_array_size(prefix), n = size < max ? size : max;
    uint32_t *list = mk_calloc((size_t)n + 1, sizeof *list);
    for (uint32_t i = 0; i < n && !mk_schema_has_failed(s); i++) {
        const uint32_t x = mk_schema_sub_at(s, json_array_get(prefix, i), key, i);
        list[i] = i ? mk_grammar_next(s->b, x) : x;
    }
    list[n] = mk_grammar_repeat(s->b, mk_grammar_next(s->b, rest), min > n ? min - n : 0,
                                max == MK_NO_LIMIT ? max : max - n);
    const uint32_t x = mk_grammar_seq(s->b, list, (size_t)n + 1);
    free(list);
    return x;
}

uint32_t mk_schema_array(struct mk_schema *s, const json_t *schema)
{
    json_t *items = json_object_get(schema, "items");
    const bool is_old = json_is_array(items);
    const json_t *prefix = is_old ? items : mk_schema_get(s, schema, "prefixItems", JSON_ARRAY);
    const char *rest_key = is_old ? "additionalItems" : "items";
    json_t *others = json_object_get(schema, rest_key);
    const uint32_t n = (uint32_t)json_array_size(prefix);
    const uint32_t min = mk_schema_count(s, schema, "minItems", 0);
    uint32_t max = mk_schema_count(s, schema, "maxItems", MK_NO_LIMIT);
    if (mk_schema_has_failed(s)) return 0;
    if (min > max) return mk_schema_fail(s, MK_EFORMAT, "minItems above maxItems");
    if (!others) others = n && min <= n ? json_false() : json_true();
    if (json_is_false(others) && max > n) max = n;
    if (min > max) return mk_grammar_never(s->b);
    const uint32_t rest = max > n ? mk_schema_sub(s, others, rest_key, NULL) : 0;
    const uint32_t x = n ? tuple(s, prefix, is_old ? "items" : "prefixItems", rest, min, max)
                         : mk_grammar_list(s->b, rest, min, max);
    return x ? mk_grammar_bracket(s->b, "[", x, "]") : mk_grammar_str(s->b, "[]");
}
