/* JSON schemas: references, choices of schemas, types.
 *
 * A schema is read top down.  What stands for other schemas comes first ($ref, allOf, anyOf, oneOf)
 * and leaves schemas that say something themselves: a value, or keywords for each of some types.
 * Targets of $ref wait in a list and are compiled once each, so recursion in a schema is
 * recursion in the grammar, and C's stack is as deep as the schema's text is nested. */
#include "engine/int_grammar.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { NULLS = 1, BOOLEAN = 2, INTEGER = 4, NUMBER = 8, STRING = 16, ARRAY = 32, OBJECT = 64 };
enum { ANY_TYPE = 127, NUMBERS = INTEGER | NUMBER };
static const struct {
    const char *name;
    unsigned type;
} types[] = {{"null", NULLS},    {"boolean", BOOLEAN}, {"integer", INTEGER}, {"number", NUMBER},
             {"string", STRING}, {"array", ARRAY},     {"object", OBJECT}};

/* Keywords and the types of the values that they say something about. */
static const struct keyword {
    const char *name;
    unsigned types;
    bool is_enforced;
} keywords[] = {
    {"type", ANY_TYPE, true},
    {"properties", OBJECT, true},
    {"required", OBJECT, true},
    {"additionalProperties", OBJECT, true},
    {"propertyNames", OBJECT, true},
    {"minProperties", OBJECT, true},
    {"maxProperties", OBJECT, true},
    {"items", ARRAY, true},
    {"prefixItems", ARRAY, true},
    {"additionalItems", ARRAY, true},
    {"minItems", ARRAY, true},
    {"maxItems", ARRAY, true},
    {"pattern", STRING, true},
    {"format", STRING | NUMBERS, true},
    {"minLength", STRING, true},
    {"maxLength", STRING, true},
    {"minimum", NUMBERS, true},
    {"maximum", NUMBERS, true},
    {"exclusiveMinimum", NUMBERS, true},
    {"exclusiveMaximum", NUMBERS, true},
    {"multipleOf", NUMBERS, true},
    {"patternProperties", OBJECT, false},
    {"dependentRequired", OBJECT, false},
    {"dependentSchemas", OBJECT, false},
    {"dependencies", OBJECT, false},
    {"unevaluatedProperties", OBJECT, false},
    {"uniqueItems", ARRAY, false},
    {"contains", ARRAY, false},
    {"minContains", ARRAY, false},
    {"maxContains", ARRAY, false},
    {"unevaluatedItems", ARRAY, false},
};

bool mk_schema_is_remark(const char *key)
{
    static const char *const list[] = {"title",
                                       "description",
                                       "default",
                                       "examples",
                                       "example",
                                       "deprecated",
                                       "readOnly",
                                       "writeOnly",
                                       "discriminator",
                                       "externalDocs",
                                       "contentEncoding",
                                       "definitions",
                                       "contentMediaType",
                                       "contentSchema",
                                       "strict",
                                       "$schema",
                                       "$id",
                                       "id",
                                       "$comment",
                                       "$defs",
                                       "$anchor",
                                       "$vocabulary",
                                       "xml",
                                       "markdownDescription"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(key, list[i])) return true;
    return !strncmp(key, "x-", 2);
}

/* ---- messages and places ------------------------------------------------------------- */

uint32_t mk_schema_fail(struct mk_schema *s, enum mk_code code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mk_grammar_fail(s->b, code, "%.200s: %s", mk_str_c(&s->path), text);
}

static void add_step(struct mk_str *path, const char *step)
{
    mk_str_addc(path, '/');
    mk_str_append(path, step, strnlen(step, 64));
}

static uint32_t compile(struct mk_schema *s, const json_t *schema);

uint32_t mk_schema_sub(struct mk_schema *s, const json_t *schema, const char *key, const char *name)
{
    const size_t len = s->path.len;
    add_step(&s->path, key);
    if (name) add_step(&s->path, name);
    const uint32_t x = compile(s, schema);
    s->path.len = len;
    s->path.data[len] = '\0';
    return x;
}

uint32_t mk_schema_sub_at(struct mk_schema *s, const json_t *schema, const char *key, size_t i)
{
    char name[24];
    snprintf(name, sizeof name, "%zu", i);
    return mk_schema_sub(s, schema, key, name);
}

json_t *mk_schema_get(struct mk_schema *s, const json_t *schema, const char *key, json_type type)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string"};
    json_t *v = json_object_get(schema, key);
    if (!v || json_typeof(v) == type) return v;
    mk_schema_fail(s, MK_EFORMAT, "%s is not %s", key, names[type]);
    return NULL;
}

uint32_t mk_schema_count(struct mk_schema *s, const json_t *schema, const char *key,
                         uint32_t absent)
{
    const json_t *v = json_object_get(schema, key);
    if (!v) return absent;
    const double d = json_number_value(v);
    if (!json_is_number(v) || d < 0 || d > 1e9 || floor(d) < d)
        return mk_schema_fail(s, MK_EFORMAT, "%s is not a whole number from 0 to 1e9", key);
    return (uint32_t)d;
}

/* ---- values -------------------------------------------------------------------------- */

static unsigned types_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return OBJECT;
    case JSON_ARRAY:
        return ARRAY;
    case JSON_STRING:
        return STRING;
    case JSON_INTEGER:
        return NUMBERS;
    case JSON_REAL:
        return floor(json_real_value(v)) < json_real_value(v) ? NUMBER : NUMBERS;
    case JSON_NULL:
        return NULLS;
    default:
        return BOOLEAN;
    }
}

static unsigned type_named(struct mk_schema *s, const json_t *name)
{
    for (size_t i = 0; json_is_string(name) && i < sizeof types / sizeof *types; i++)
        if (!strcmp(json_string_value(name), types[i].name)) return types[i].type;
    return mk_schema_fail(s, MK_EFORMAT, "type %.40s is none",
                          json_is_string(name) ? json_string_value(name) : "");
}

/* The types that "type" names; without it 0. */
static unsigned declared_types(struct mk_schema *s, const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    unsigned all = 0;
    if (!type) return 0;
    if (!json_is_array(type)) return type_named(s, type);
    if (json_array_size(type) == 0) return mk_schema_fail(s, MK_EFORMAT, "type is an empty list");
    for (size_t i = 0; i < json_array_size(type); i++)
        all |= type_named(s, json_array_get(type, i));
    return all;
}

static const struct keyword *find_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (!strcmp(keywords[i].name, name)) return &keywords[i];
    return NULL;
}

/* Without "type" the keywords tell what is meant; without keywords everything is. */
static unsigned implied_types(const json_t *schema)
{
    unsigned all = 0;
    for (size_t i = 1; i < sizeof keywords / sizeof *keywords; i++)
        if (json_object_get(schema, keywords[i].name))
            all |= keywords[i].types & STRING ? STRING : keywords[i].types;
    return all ? all : ANY_TYPE;
}

/* enum and const.  Nothing else may narrow them but the type. */
static uint32_t compile_values(struct mk_schema *s, const json_t *schema)
{
    const json_t *one = json_object_get(schema, "const");
    const json_t *list = mk_schema_get(s, schema, "enum", JSON_ARRAY);
    const unsigned want = declared_types(s, schema);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)schema, key,
                        v) if (strcmp(key, "const") != 0 && strcmp(key, "enum") != 0 &&
                               strcmp(key, "type") != 0 &&
                               !mk_schema_is_remark(
                                   key)) return mk_schema_fail(s, MK_EUNSUPPORTED,
                                                               "%.60s beside %s cannot be enforced",
                                                               key, one ? "const" : "enum");
    if (mk_schema_has_failed(s)) return 0;
    const size_t n = list ? json_array_size(list) : 1;
    if ((s->n_enum += n) > MK_SCHEMA_ENUM)
        return mk_schema_fail(s, MK_ELIMIT, "more than %d values in all enums", MK_SCHEMA_ENUM);
    uint32_t *ways = mk_calloc(n, sizeof *ways);
    size_t n_ways = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = list ? json_array_get(list, i) : one;
        if (list && one && !json_equal(value, one)) continue;
        if (want && !(types_of(value) & want)) continue;
        ways[n_ways++] = mk_grammar_const(s->b, value);
    }
    const uint32_t x = mk_grammar_choice(s->b, ways, n_ways);
    free(ways);
    return x;
}

/* ---- types --------------------------------------------------------------------------- */

/* Every keyword is enforced, a remark, or about types that are not meant. */
static bool check_keywords(struct mk_schema *s, const json_t *schema, unsigned want)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)schema, key, v)
    {
        const struct keyword *k = find_keyword(key);
        if (mk_schema_is_remark(key) || (k && (k->is_enforced || !(k->types & want)))) continue;
        if (k && json_is_false(v) && !strcmp(key, "uniqueItems")) continue;
        mk_schema_fail(s, MK_EUNSUPPORTED, "%.60s cannot be enforced", key);
    }
    return !mk_schema_has_failed(s);
}

static uint32_t compile_types(struct mk_schema *s, const json_t *schema)
{
    unsigned want = declared_types(s, schema);
    if (!want) want = implied_types(schema);
    if (!check_keywords(s, schema, want)) return 0;
    if (want == ANY_TYPE) return mk_grammar_json(s->b);
    uint32_t ways[8];
    size_t n = 0;
    if (want & OBJECT) ways[n++] = mk_schema_object(s, schema);
    if (want & ARRAY) ways[n++] = mk_schema_array(s, schema);
    if (want & STRING) ways[n++] = mk_schema_string(s, schema);
    if (want & NUMBERS) ways[n++] = mk_schema_number(s, schema, !(want & NUMBER));
    if (want & BOOLEAN) ways[n++] = mk_grammar_str(s->b, "true");
    if (want & BOOLEAN) ways[n++] = mk_grammar_str(s->b, "false");
    if (want & NULLS) ways[n++] = mk_grammar_str(s->b, "null");
    return mk_grammar_choice(s->b, ways, n);
}

/* ---- schemas that stand for others --------------------------------------------------- */

static uint32_t reference(struct mk_schema *s, const char *ref)
{
    const json_t *target = mk_schema_find(s, ref);
    if (!target) return 0;
    for (size_t i = 0; i < s->n_refs; i++)
        if (s->refs[i].schema == target) return s->refs[i].node;
    if (s->n_refs == MK_SCHEMA_REFS)
        return mk_schema_fail(s, MK_ELIMIT, "more than %d targets of $ref", MK_SCHEMA_REFS);
    if (s->n_refs == s->cap_refs) {
        s->cap_refs = s->cap_refs ? 2 * s->cap_refs : 16;
        s->refs = mk_realloc(s->refs, s->cap_refs * sizeof *s->refs);
    }
    struct mk_str name = {0};
    mk_str_addc(&name, '#');
    if (ref[0] && ref[1]) add_step(&name, ref + 2);
    const uint32_t node = mk_grammar_forward(s->b, name.data);
    s->refs[s->n_refs++] = (struct mk_schema_ref){target, mk_str_take(&name), node};
    return node;
}

static bool says_something(const json_t *schema)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)schema, key,
                        v) if (!mk_schema_is_remark(key)) return true;
    return false;
}

/* Compiles what is made for it; NULL: that failed. */
static uint32_t compile_made(struct mk_schema *s, json_t *made)
{
    const uint32_t x = made ? compile(s, made) : 0;
    json_decref(made);
    return x;
}

static uint32_t compile_ref(struct mk_schema *s, const json_t *schema)
{
    const json_t *ref = mk_schema_get(s, schema, "$ref", JSON_STRING);
    if (!ref) return 0;
    json_t *rest = mk_schema_without(schema, "$ref");
    const bool is_alone = !says_something(rest);
    json_decref(rest);
    if (is_alone) return reference(s, json_string_value(ref));
    return compile_made(s, mk_schema_resolve(s, schema));
}

static uint32_t compile_all_of(struct mk_schema *s, const json_t *schema)
{
    enum { MOST = 100 };
    const json_t *list = mk_schema_get(s, schema, "allOf", JSON_ARRAY);
    json_t *all = mk_schema_without(schema, "allOf");
    if (json_array_size(list) > MOST)
        mk_schema_fail(s, MK_ELIMIT, "allOf has more than 100 schemas");
    if (json_array_size(list) == 1 && !says_something(all)) {
        json_decref(all);
        return mk_schema_sub_at(s, json_array_get(list, 0), "allOf", 0);
    }
    for (size_t i = 0; all && !mk_schema_has_failed(s) && i < json_array_size(list); i++) {
        json_t *one = mk_schema_resolve(s, json_array_get(list, i));
        json_t *both = one ? mk_schema_merge(s, all, one) : NULL;
        json_decref(one);
        json_decref(all);
        all = both;
    }
    return compile_made(s, all);
}

static uint32_t compile_any_of(struct mk_schema *s, const json_t *schema, const char *key)
{
    const json_t *list = mk_schema_get(s, schema, key, JSON_ARRAY);
    const size_t n = json_array_size(list);
    json_t *rest = mk_schema_without(schema, key);
    const bool is_alone = !says_something(rest);
    uint32_t *ways = mk_calloc(n, sizeof *ways);
    for (size_t i = 0; i < n && !mk_schema_has_failed(s); i++) {
        const json_t *one = json_array_get(list, i);
        if (is_alone) {
            ways[i] = mk_schema_sub_at(s, one, key, i);
            continue;
        }
        json_t *whole = mk_schema_resolve(s, one);
        ways[i] = compile_made(s, whole ? mk_schema_merge(s, rest, whole) : NULL);
        json_decref(whole);
    }
    const uint32_t x = mk_grammar_choice(s->b, ways, n);
    json_decref(rest);
    free(ways);
    return x;
}

/* {"not": {}}: what clients write for false. */
static bool is_never(const json_t *schema)
{
    const json_t *not = json_object_get(schema, "not");
    return json_is_true(not ) || (json_is_object(not ) && !says_something(not ));
}

static uint32_t compile_object(struct mk_schema *s, const json_t *schema)
{
    if (json_object_get(schema, "nullable")) {
        const bool nullable = json_is_true(json_object_get(schema, "nullable"));
        const uint32_t x = compile_made(s, mk_schema_without(schema, "nullable"));
        return nullable ? mk_grammar_either(s->b, x, mk_grammar_str(s->b, "null")) : x;
    }
    if (json_object_get(schema, "$ref")) return compile_ref(s, schema);
    if (json_object_get(schema, "allOf")) return compile_all_of(s, schema);
    if (json_object_get(schema, "anyOf")) return compile_any_of(s, schema, "anyOf");
    if (json_object_get(schema, "oneOf")) return compile_any_of(s, schema, "oneOf");
    if (is_never(schema)) return mk_grammar_never(s->b);
    if (json_object_get(schema, "const") || json_object_get(schema, "enum"))
        return compile_values(s, schema);
    return compile_types(s, schema);
}

static uint32_t compile(struct mk_schema *s, const json_t *schema)
{
    if (mk_schema_has_failed(s)) return 0;
    if (json_is_true(schema)) return mk_grammar_json(s->b);
    if (json_is_false(schema)) return mk_grammar_never(s->b);
    if (!json_is_object(schema))
        return mk_schema_fail(s, MK_EFORMAT, "a schema is an object or a boolean");
    if (s->depth == MK_SCHEMA_DEPTH)
        return mk_schema_fail(s, MK_ELIMIT, "more than %d schemas in each other", MK_SCHEMA_DEPTH);
    s->depth++;
    const uint32_t x = compile_object(s, schema);
    s->depth--;
    return x;
}

uint32_t mk_grammar_schema(struct mk_grammar_builder *b, const struct json_t *schema)
{
    struct mk_schema s = {.b = b, .root = schema};
    mk_str_addc(&s.path, '#');
    const uint32_t x = compile(&s, schema);
    for (size_t i = 0; i < s.n_refs && !mk_schema_has_failed(&s); i++) {
        mk_str_clear(&s.path);
        mk_str_add(&s.path, s.refs[i].name);
        mk_grammar_bind(b, s.refs[i].node, compile(&s, s.refs[i].schema));
    }
    for (size_t i = 0; i < s.n_refs; i++) free(s.refs[i].name);
    free(s.refs);
    mk_str_release(&s.path);
    return x;
}
