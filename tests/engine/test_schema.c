/* Grammars from JSON schemas: what they take and refuse, what cannot be enforced, and texts drawn
 * at random, which another reading of the schema must accept. */
#include "grammar_test.h"

#include "base/clock.h"
#include "base/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdio.h>

/* ---- taken and refused --------------------------------------------------------------- */

#define OBJ(props, more) "{\"type\":\"object\",\"properties\":{" props "}" more "}"

static const struct {
    const char *schema;
    const char *good[7], *bad[9];
} cases[] = {
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"null", "True", " true", "true "}},
    {"{\"type\":\"null\"}", {"null"}, {"nul", "0"}},
    {"{\"type\":[\"string\",\"null\"],\"maxLength\":2}", {"null", "\"ab\""}, {"\"abc\"", "1"}},
    {"true",
     {"1", "{}", "[1, {\"a\": null}]", "\"x\"", "-0.5e-7"},
     {"", "01", "[1,]", "nan", "+1"}},
    {"{}", {"{\n  \"a\": 1\n}", "[]"}, {"{\n\n\n}", "{   }", "{\"a\" : 1}", "[1 , 2]"}},
    {"{\"type\":\"string\"}",
     {"\"\"", "\"\\n\\u00e9\\\\\\/\"", "\"\\ud83d\\udc0b\"", "\"\xf0\x9f\x90\x8b\"", "\"\x7f\""},
     {"\"\n\"", "\"\\x\"", "\"\\ud83d\"", "\"\\udc0b\"", "\"\\u0000\"", "\"\xc3\"", "\"\xff\"",
      "\"\xed\xa0\x80\"", "\""}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"\\u0041\xc3\xa9\\n\"", "\"\\ud83d\\udc0bx\""},
     {"\"a\"", "\"abcd\"", "\"\\u0041\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-z]{2,4}$\"}",
     {"\"ab\"", "\"abcd\""},
     {"\"a\"", "\"ABC\"", "\"abcde\""}},
    {"{\"type\":\"string\",\"pattern\":\"b\"}",
     {"\"b\"", "\"abc\"", "\"\\n\\\"b\""},
     {"\"ac\"", "\"\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a|b$\"}", {"\"ax\"", "\"xb\""}, {"\"xa\"", "\"bx\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[^a]\\\\\\\\\\\"$\"}",
     {"\"\\n\\\\\\\"\"", "\"x\\\\\\\"\""},
     {"\"a\\\\\\\"\"", "\"\n\\\\\\\"\""}},
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2024-02-29\"", "\"1999-12-31\"", "\"2000-02-29\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-13-01\"", "\"24-01-01\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2024-02-29T23:59:59Z\"", "\"2026-01-02T03:04:05.678+01:00\""},
     {"\"2024-02-29T24:00:00Z\"", "\"2024-02-29\"", "\"2024-02-29 10:00:00Z\""}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}",
     {"\"255.0.10.199\""},
     {"\"256.1.1.1\"", "\"1.1.1\""}},
    {"{\"type\":\"string\",\"format\":\"ipv6\"}",
     {"\"::\"", "\"2001:db8::1\"", "\"1:2:3:4:5:6:7:8\""},
     {"\"1:2\"", "\"1::2::3\"", "\":::\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}",
     {"\"123e4567-e89b-42d3-a456-426614174000\""},
     {"\"123e4567e89b42d3a456426614174000\""}},
    {"{\"type\":\"string\",\"format\":\"email\",\"maxLength\":300}",
     {"\"a.b+c@x.example.org\""},
     {"\".a@x.org\"", "\"a..b@x.org\"", "\"a@org\""}},
    {"{\"type\":\"string\",\"format\":\"uri\"}",
     {"\"https://a.example/x?y=1#z\"", "\"ftp://h\""},
     {"\"example.org\"", "\"https://\"", "\"https://a b\""}},
    {"{\"type\":\"string\",\"format\":\"duration\"}",
     {"\"P3DT2H\"", "\"PT5M\"", "\"P2W\""},
     {"\"P\"", "\"PT\"", "\"3D\""}},
    {"{\"type\":\"integer\"}",
     {"0", "-7", "123456789012345678"},
     {"-0", "01", "1.0", "1e3", "1234567890123456789", "-"}},
    {"{\"type\":\"integer\",\"minimum\":-12,\"maximum\":345}",
     {"-12", "-9", "0", "99", "345"},
     {"-13", "346", "1000", "-0", "-100", "00"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":9,\"exclusiveMaximum\":12}",
     {"10", "11"},
     {"9", "12", "1", "100"}},
    {"{\"type\":\"integer\",\"minimum\":1.5,\"maximum\":3.5}", {"2", "3"}, {"1", "4"}},
    {"{\"type\":\"integer\",\"minimum\":5,\"exclusiveMinimum\":true}", {"6", "10"}, {"5", "4"}},
    {"{\"type\":\"integer\",\"maximum\":-3}", {"-3", "-44"}, {"-2", "0", "3"}},
    {"{\"type\":\"integer\",\"minimum\":-9007199254740991,\"maximum\":9007199254740991}",
     {"9007199254740991", "-9007199254740991", "0"},
     {"9007199254740992", "-9007199254740992"}},
    {"{\"type\":\"integer\",\"multipleOf\":7}", {"0", "7", "-14", "7000"}, {"6", "8", "71", "07"}},
    {"{\"type\":\"integer\",\"multipleOf\":100,\"minimum\":0}", {"0", "100"}, {"-100", "150"}},
    {"{\"type\":\"number\"}", {"0", "-1.5", "2e10", "1.25E-3"}, {".5", "1.", "1e", "00", "--1"}},
    {"{\"type\":\"number\",\"minimum\":0.25,\"maximum\":1.5}",
     {"0.25", "0.3", "1", "1.5", "1.49999", "0.250001"},
     {"0.2", "0.249", "1.51", "2", "0", "-1", "1.5001"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}",
     {"0.5", "0.001", "0.99"},
     {"0", "1", "0.0", "1.0", "-0.5"}},
    {"{\"type\":\"number\",\"minimum\":-2.5,\"exclusiveMaximum\":10}",
     {"-2.5", "-2.49", "9.999", "0"},
     {"-2.51", "10", "-3", "11", "10.0"}},
    {"{\"type\":\"number\",\"multipleOf\":0.01,\"minimum\":0}",
     {"1.25", "0", "7.5"},
     {"1.255", "-1"}},
    {"{\"const\":{\"a\":[1,0.1,\"x\"]}}", {"{\"a\":[1,0.1,\"x\"]}"}, {"{\"a\":[1,0.1]}", "{}"}},
    {"{\"enum\":[\"a\",\"ab\",1,null]}",
     {"\"a\"", "\"ab\"", "1", "null"},
     {"\"b\"", "\"abc\"", "11"}},
    {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\""}, {"1"}},
    {OBJ("\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}",
         ",\"required\":[\"a\",\"b\"],\"additionalProperties\":false"),
     {"{\"a\":1,\"b\":\"x\"}", "{\"a\": 1, \"b\": \"x\"}", "{\n  \"a\": 1,\n  \"b\": \"\"\n}"},
     {"{\"a\":1}", "{\"b\":\"x\",\"a\":1}", "{}", "{\"a\":1,\"b\":\"x\",\"c\":1}", "{\"a\":1,}"}},
    {OBJ("\"a\":true,\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"null\"}", ",\"required\":[\"b\"]"),
     {"{\"b\":null}", "{\"a\":1,\"b\":null,\"c\":null}", "{\"b\":null,\"c\":null}"},
     {"{\"a\":1}", "{,\"b\":null}", "{\"c\":null,\"b\":null}", "{\"b\":null,}"}},
    {OBJ("\"a\":{\"type\":\"null\"},\"ab\":{\"type\":\"null\"}",
         ",\"additionalProperties\":{\"type\":\"integer\"}"),
     {"{}", "{\"a\":null}", "{\"x\":1}", "{\"a\":null,\"abc\":1,\"\":2}", "{\"ab\":null,\"b\":3}"},
     {"{\"a\":1}", "{\"ab\":1}", "{\"x\":1,\"a\":null}", "{\"x\":null}", "{\"\\u0061\":1}"}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":1}",
     {"{\"x\":1}", "{\"x\":1,\"y\":2}"},
     {"{}", "{\"x\":\"y\"}"}},
    {"{\"type\":\"object\",\"propertyNames\":{\"enum\":[\"x\",\"y\"]},\"additionalProperties\":{}}",
     {"{}", "{\"y\":[]}"},
     {"{\"z\":1}"}},
    {OBJ("\"b\":{\"not\":{}}", ",\"propertyNames\":{\"enum\":[\"a\",\"b\"]},\"required\":[\"a\"],"
                               "\"additionalProperties\":{\"type\":\"null\"}"),
     {"{\"a\":null}"},
     {"{}", "{\"a\":null,\"b\":1}", "{\"a\":null,\"c\":null}", "{\"a\":null,\"a\":null}"}},
    {"{\"type\":\"object\"}", {"{}", "{\"a\":{\"b\":[]}}"}, {"[]", "1"}},
    {OBJ("", ""), {"{}"}, {"{\"a\":1}"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":3}",
     {"[true]", "[true, false,true]", "[\n  true\n]"},
     {"[]", "[true,true,true,true]", "[1]", "[true,]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}",
     {"[1,null]"},
     {"[1]", "[]", "[1,null,1]", "[null,1]"}},
    {"{\"type\":\"array\",\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":"
     "\"null\"}}",
     {"[1]", "[1,null,null]"},
     {"[]", "[1,1]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]"}, {"[1]"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}],\"title\":\"T\",\"default\":null}",
     {"5", "null"},
     {"\"5\""}},
    {"{\"type\":\"integer\",\"nullable\":true}", {"5", "null"}, {"true"}},
    {"{\"oneOf\":[" OBJ(
         "\"t\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}",
         ",\"required\":[\"t\",\"x\"]") "," OBJ("\"t\":{\"const\":\"b\"}",
                                                ",\"required\":[\"t\"]") "],\"discriminator\":{"
                                                                         "\"propertyName\":"
                                                                         "\"t\"}}",
     {"{\"t\":\"a\",\"x\":1}", "{\"t\":\"b\"}"},
     {"{\"t\":\"a\"}", "{\"t\":\"b\",\"x\":1}", "{\"t\":\"c\"}"}},
    {"{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":" OBJ(
         "\"v\":{\"type\":\"integer\"},\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},"
         "{\"type\":\"null\"}]}",
         ",\"required\":[\"v\",\"next\"]") "}}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {OBJ("\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", ",\"required\":[\"kids\"]"),
     {"{\"kids\":[]}", "{\"kids\":[{\"kids\":[]},{\"kids\":[]}]}"},
     {"{}", "{\"kids\":[1]}"}},
    {"{\"$ref\":\"#/definitions/a~1b%25c~0\",\"definitions\":{\"a/b%c~\":{\"type\":\"null\"}}}",
     {"null"},
     {"1"}},
    {"{\"allOf\":[{\"$ref\":\"#/$defs/"
     "x\"}],\"description\":\"d\",\"$defs\":{\"x\":{\"enum\":[1]}}}",
     {"1"},
     {"2"}},
    {"{\"allOf\":[" OBJ("\"a\":{\"type\":\"null\"}", ",\"required\":[\"a\"]") "," OBJ(
         "\"b\":{\"type\":\"null\"}", ",\"required\":[\"b\"]") "]}",
     {"{\"a\":null,\"b\":null}"},
     {"{\"a\":null}", "{\"b\":null}"}},
    {"{\"type\":\"number\",\"minimum\":3,\"allOf\":[{\"type\":\"integer\"},{\"minimum\":5,"
     "\"maximum\":8}]}",
     {"5", "8"},
     {"4", "9", "5.5"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}},"
     "\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
     {"{\"a\":null}", "{\"b\":null}", "{\"a\":null,\"b\":null}"},
     {"{}"}},
    {"{\"properties\":{\"a\\\"\\n\":{\"type\":\"null\"}}}",
     {"{\"a\\\"\\n\":null}", "{}"},
     {"[]", "1"}},
    {"{\"type\":\"string\",\"format\":\"email\",\"pattern\":\"^(?!\\\\.)(?!.*\\\\.\\\\.)"
     "([A-Za-z0-9_'+\\\\-\\\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\\\-]*\\\\.)+"
     "[A-Za-z]{2,}$\"}",
     {"\"a@b.cd\""},
     {"\"a@b\""}},
};

static void examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_grammar *g = schema(cases[i].schema);
        for (size_t k = 0; k < 7 && cases[i].good[k]; k++)
            if (!has(g, cases[i].good[k]))
                fail_msg("%s refuses %s", cases[i].schema, cases[i].good[k]);
        for (size_t k = 0; k < 9 && cases[i].bad[k]; k++)
            if (has(g, cases[i].bad[k])) fail_msg("%s takes %s", cases[i].schema, cases[i].bad[k]);
        mk_grammar_free(g);
    }
}

static void refuses(const char *json, enum mk_code code, const char *msg)
{
    struct mk_grammar *g;
    struct mk_err err = {MK_OK, ""};
    if (mk_grammar_from_schema(&g, json, strlen(json), &err)) fail_msg("%s was taken", json);
    assert_string_equal(err.msg, msg);
    assert_int_equal(err.code, code);
}

static void refusals(void **state)
{
    (void)state;
    refuses("{\"type\":\"array\",\"uniqueItems\":true}", MK_EUNSUPPORTED,
            "#: uniqueItems cannot be enforced");
    refuses(OBJ("\"a\\u0007\":{\"type\":\"array\",\"items\":{\"not\":{\"minimum\":1}}}", ""),
            MK_EUNSUPPORTED, "#/properties/a?/items: not cannot be enforced");
    refuses(OBJ("\"a\":{\"$ref\":\"#/$defs/b\"}", ",\"$defs\":{\"b\":{\"if\":{}}}"),
            MK_EUNSUPPORTED, "#/$defs/b: if cannot be enforced");
    refuses(OBJ("\"a\":{\"type\":\"null\"}",
                ",\"propertyNames\":{\"maxLength\":3},\"additionalProperties\":true"),
            MK_EUNSUPPORTED, "#: propertyNames beside properties cannot be enforced");
    refuses("{\"type\":\"string\",\"format\":\"klingon\"}", MK_EUNSUPPORTED,
            "#: format klingon cannot be enforced");
    refuses("{\"type\":\"string\",\"pattern\":\"a(?=b)\"}", MK_EUNSUPPORTED,
            "#: the pattern's byte 2: look-around cannot be enforced");
    refuses("{\"type\":\"string\",\"pattern\":\"^a+$\",\"maxLength\":5}", MK_EUNSUPPORTED,
            "#: maxLength beside a pattern or format with longer texts");
    refuses("{\"type\":\"integer\",\"multipleOf\":3,\"minimum\":4}", MK_EUNSUPPORTED,
            "#: multipleOf is enforced up to 100, and beside it the bound 0 only");
    refuses("{\"type\":\"number\",\"multipleOf\":0.3}", MK_EUNSUPPORTED,
            "#: multipleOf 0.3 cannot be enforced");
    refuses("{\"enum\":[1],\"minimum\":0}", MK_EUNSUPPORTED,
            "#: minimum beside enum cannot be enforced");
    refuses("{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", MK_EUNSUPPORTED,
            "#: two demands by pattern cannot be merged");
    refuses("{\"$ref\":\"http://x/y\"}", MK_EUNSUPPORTED,
            "#: $ref http://x/y: only \"#\" and \"#/...\" are followed");
    refuses("{\"$ref\":\"#/$defs/a\"}", MK_EFORMAT, "#: $ref #/$defs/a leads nowhere");
    refuses("{\"$ref\":\"#\"}", MK_EFORMAT, "# leads back to itself with nothing in between");
    refuses("{\"anyOf\":[{\"$ref\":\"#/anyOf/1\"},{\"$ref\":\"#/anyOf/0\"}]}", MK_EFORMAT,
            "#/anyOf/0 leads back to itself with nothing in between");
    refuses("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\",\"minimum\":1}}}",
            MK_EFORMAT, "#/$defs/a: $ref goes round in a circle");
    refuses(OBJ("\"a\":{\"$ref\":\"#\"}", ",\"required\":[\"a\"]"), MK_EFORMAT,
            "no text fits (or none of less than 512 open parts)");
    refuses("{\"type\":\"text\"}", MK_EFORMAT, "#: type text is none");
    refuses("{\"type\":\"string\",\"minLength\":-1}", MK_EFORMAT,
            "#: minLength is not a whole number from 0 to 1e9");
    refuses("{\"properties\":[]}", MK_EFORMAT, "#: properties is not an object");
    refuses("{\"items\":3}", MK_EFORMAT, "#/items: a schema is an object or a boolean");
    refuses("[", MK_EFORMAT, "the schema is not JSON: byte 1: ']' expected near end of file");
    refuses("", MK_EFORMAT, "the schema is not JSON: byte 0: unexpected token near end of file");
}

/* ---- drawn at random ----------------------------------------------------------------- */

static const json_t *root;

static size_t n_chars(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += (*s & 0xc0) != 0x80;
    return n;
}

static bool is_type(const json_t *v, const char *t)
{
    return (!strcmp(t, "object") && json_is_object(v)) ||
           (!strcmp(t, "array") && json_is_array(v)) ||
           (!strcmp(t, "string") && json_is_string(v)) ||
           (!strcmp(t, "number") && json_is_number(v)) ||
           (!strcmp(t, "integer") && json_is_integer(v)) ||
           (!strcmp(t, "null") && json_is_null(v)) || (!strcmp(t, "boolean") && json_is_boolean(v));
}

static bool valid(json_t *schema, json_t *v);

static bool valid_type(json_t *schema, json_t *v)
{
    const json_t *t = json_object_get(schema, "type");
    if (!t || (json_is_null(v) && json_is_true(json_object_get(schema, "nullable")))) return true;
    if (json_is_string(t)) return is_type(v, json_string_value(t));
    for (size_t i = 0; i < json_array_size(t); i++)
        if (is_type(v, json_string_value(json_array_get(t, i)))) return true;
    return false;
}

static bool valid_number(json_t *schema, double d)
{
    const json_t *x = json_object_get(schema, "minimum");
    if (x && d < json_number_value(x)) return false;
    x = json_object_get(schema, "maximum");
    if (x && d > json_number_value(x)) return false;
    x = json_object_get(schema, "exclusiveMinimum");
    if (x && d <= json_number_value(x)) return false;
    x = json_object_get(schema, "exclusiveMaximum");
    if (x && d >= json_number_value(x)) return false;
    x = json_object_get(schema, "multipleOf");
    const double q = x ? d / json_number_value(x) : 0;
    return fabs(q) > 1e12 || fabs(q - round(q)) < 1e-3;
}

static bool valid_string(json_t *schema, const char *s)
{
    const json_t *min = json_object_get(schema, "minLength");
    const json_t *max = json_object_get(schema, "maxLength");
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    if (min && (json_int_t)n_chars(s) < json_integer_value(min)) return false;
    if (max && (json_int_t)n_chars(s) > json_integer_value(max)) return false;
    if (!pattern) return true;
    int code;
    size_t at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX, &code, &at, NULL);
    assert_non_null(re);
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    const bool ok = pcre2_match(re, (PCRE2_SPTR)s, strlen(s), 0, 0, m, NULL) >= 0;
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    return ok;
}

static bool valid_object(json_t *schema, json_t *v)
{
    json_t *properties = json_object_get(schema, "properties");
    json_t *more = json_object_get(schema, "additionalProperties");
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    json_t *member;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_object_get(v, json_string_value(json_array_get(required, i)))) return false;
    json_object_foreach(v, key, member)
    {
        json_t *sub = json_object_get(properties, key);
        if (!sub) sub = more;
        if (sub && !valid(sub, member)) return false;
    }
    return true;
}

static bool valid_array(json_t *schema, json_t *v)
{
    const json_t *min = json_object_get(schema, "minItems");
    const json_t *max = json_object_get(schema, "maxItems");
    const json_t *prefix = json_object_get(schema, "prefixItems");
    json_t *items = json_object_get(schema, "items");
    if (min && (json_int_t)json_array_size(v) < json_integer_value(min)) return false;
    if (max && (json_int_t)json_array_size(v) > json_integer_value(max)) return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *sub = i < json_array_size(prefix) ? json_array_get(prefix, i) : items;
        if (sub && !valid(sub, json_array_get(v, i))) return false;
    }
    return true;
}

static bool valid_one_of(const json_t *list, json_t *v)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (valid(json_array_get(list, i), v)) return true;
    return false;
}

static json_t *follow_ref(const char *ref)
{
    json_t *at = (json_t *)(uintptr_t)root;
    char copy[100];
    snprintf(copy, sizeof copy, "%s", ref);
    strtok(copy, "/");
    for (const char *step; (step = strtok(NULL, "/"));) at = json_object_get(at, step);
    assert_non_null(at);
    return at;
}

static bool valid(json_t *schema, json_t *v)
{
    if (json_is_boolean(schema)) return json_is_true(schema);
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *values = json_object_get(schema, "enum"), *all = json_object_get(schema, "allOf");
    const json_t *any = json_object_get(schema, "anyOf"), *one = json_object_get(schema, "oneOf");
    json_t *constant = json_object_get(schema, "const");
    bool is_in = !values;
    for (size_t i = 0; i < json_array_size(values); i++)
        is_in |= json_equal(v, json_array_get(values, i)) == 1;
    for (size_t i = 0; i < json_array_size(all); i++)
        if (!valid(json_array_get(all, i), v)) return false;
    return is_in && (!ref || valid(follow_ref(ref), v)) && (!any || valid_one_of(any, v)) &&
           (!one || valid_one_of(one, v)) && (!constant || json_equal(constant, v)) &&
           valid_type(schema, v) &&
           (!json_is_number(v) || valid_number(schema, json_number_value(v))) &&
           (!json_is_string(v) || valid_string(schema, json_string_value(v))) &&
           (!json_is_object(v) || valid_object(schema, v)) &&
           (!json_is_array(v) || valid_array(schema, v));
}

/* Larger ones than above, as clients write them. */
static const char *const drawn[] = {
    OBJ("\"location\":{\"type\":\"string\",\"description\":\"city\"},\"unit\":{\"type\":\"string\","
        "\"enum\":[\"celsius\",\"fahrenheit\"]},\"days\":{\"type\":\"integer\",\"minimum\":1,"
        "\"maximum\":14}",
        ",\"required\":[\"location\",\"unit\",\"days\"],\"additionalProperties\":false"),
    OBJ("\"steps\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
        "Step\"}},\"answer\":{\"anyOf\":"
        "[{\"type\":\"string\"},{\"type\":\"null\"}],\"default\":null}",
        ",\"required\":[\"steps\"],\"$defs\":{\"Step\":" OBJ(
            "\"text\":{\"title\":\"Text\",\"type\":\"string\",\"maxLength\":12},\"sub\":{\"type\":"
            "\"array\",\"items\":{\"$ref\":\"#/$defs/Step\"},\"maxItems\":2}",
            ",\"required\":[\"text\",\"sub\"]") "}"),
    "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"array\",\"items\":{\"type\":"
    "\"number\",\"minimum\":-1,\"maximum\":1},\"maxItems\":4}}",
    OBJ("\"id\":{\"type\":\"integer\",\"exclusiveMinimum\":0},\"price\":{\"type\":\"number\","
        "\"multipleOf\":0.01,\"minimum\":0.5,\"maximum\":19.99},\"code\":{\"type\":\"string\","
        "\"pattern\":\"^[A-Z]{3}-\\\\d{2,4}$\"},\"tags\":{\"type\":\"array\",\"items\":{\"type\":"
        "\"string\",\"minLength\":1,\"maxLength\":3},\"minItems\":1,\"maxItems\":3}",
        ",\"required\":[\"id\",\"price\",\"code\",\"tags\"],\"additionalProperties\":{\"type\":"
        "\"boolean\"}"),
    "{\"anyOf\":[{\"type\":\"integer\",\"multipleOf\":12},{\"type\":\"string\",\"pattern\":"
    "\"b\\\"\"},"
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"number\"}],\"items\":"
    "{\"type\":\"boolean\"},\"maxItems\":5}]}",
    "{\"type\":\"number\",\"minimum\":-0.001,\"exclusiveMaximum\":0.0305}",
    "{\"type\":\"number\",\"exclusiveMinimum\":99.5}",
    "{\"type\":\"integer\",\"minimum\":-1000,\"maximum\":-10}",
    "{\"type\":\"string\",\"pattern\":\"^(\\\\w+ ?){1,3}[^\\\\x00-\\\\x7f\\\\n]$\"}",
};

static void draw_from(const char *text, struct mk_rng *r, int n)
{
    json_t *whole = json_loads(text, JSON_DECODE_ANY, NULL);
    struct mk_grammar *g = schema(text);
    root = whole;
    for (int i = 0; i < n; i++) {
        struct mk_str s = draw(g, r, 4000);
        if (s.len < 4000) {
            json_error_t e;
            json_t *v = json_loadb(mk_str_c(&s), s.len, JSON_DECODE_ANY, &e);
            if (!v) fail_msg("%s: %s in %s", text, e.text, mk_str_c(&s));
            if (!valid(whole, v)) fail_msg("%s: drew %s", text, mk_str_c(&s));
            json_decref(v);
        }
        mk_str_release(&s);
    }
    mk_grammar_free(g);
    json_decref(whole);
}

static void random_texts(void **state)
{
    (void)state;
    struct mk_rng r = {2};
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) draw_from(drawn[i], &r, 12);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strstr(cases[i].schema, "\"items\":[") && !strstr(cases[i].schema, "true,\"min") &&
            !strstr(cases[i].schema, "exclusiveMinimum\":true") && !strstr(cases[i].schema, "~") &&
            !strstr(cases[i].schema, "(?!"))
            draw_from(cases[i].schema, &r, 4);
}

/* ---- hostile inputs ------------------------------------------------------------------ */

/* Code of what comes of it; MK_OK: it was taken, and something is allowed at its start. */
static enum mk_code fate(const struct mk_str *json)
{
    struct mk_grammar *g;
    struct mk_err err = {MK_OK, ""};
    if (!mk_grammar_from_schema(&g, mk_str_c(json), json->len, &err)) {
        assert_true(err.code != MK_OK && err.msg[0]);
        return err.code;
    }
    struct mk_constraint *c = follow(g);
    const bool *allowed = mk_constraint_allowed(c, SIZE_MAX);
    size_t n = 0;
    for (size_t i = 0; i < lexicon->n_vocab; i++) n += allowed[i];
    assert_true(n > 0);
    mk_constraint_free(c);
    mk_grammar_free(g);
    return MK_OK;
}

/* before, n times each, after. */
static enum mk_code fate_of(const char *before, const char *each, int n, const char *after)
{
    struct mk_str s = {0};
    mk_str_add(&s, before);
    for (int i = 0; i < n; i++) {
        const char *p = each;
        for (const char *at; (at = strchr(p, '@')); p = at + 1) { /* @ is the number */
            mk_str_append(&s, p, (size_t)(at - p));
            mk_str_addf(&s, "%d", i);
        }
        mk_str_add(&s, p);
    }
    mk_str_add(&s, after);
    const enum mk_code code = fate(&s);
    mk_str_release(&s);
    return code;
}

static void hostile(void **state)
{
    (void)state;
    const double start = mk_cpu_s();
    assert_int_equal(fate_of("", "{\"items\":", 60000, "1"), MK_EFORMAT); /* not JSON to jansson */
    assert_int_equal(fate_of("", "{\"items\":", 100, "{}"), MK_EFORMAT);  /* no braces at the end */
    struct mk_str s = {0};
    for (int i = 0; i < 33; i++) mk_str_add(&s, "{\"items\":");
    mk_str_add(&s, "{}");
    for (int i = 0; i < 33; i++) mk_str_addc(&s, '}');
    assert_int_equal(fate(&s), MK_ELIMIT);
    mk_str_release(&s);
    assert_int_equal(fate_of("{\"enum\":[0", ",\"value @\"", 3999, "]}"), MK_OK);
    assert_int_equal(fate_of("{\"enum\":[0", ",\"value @\"", 4000, "]}"), MK_ELIMIT);
    assert_int_equal(fate_of("{\"properties\":{\"x\":{}", ",\"p@\":{}", 1999, "}}"), MK_OK);
    assert_int_equal(fate_of("{\"properties\":{\"x\":{}", ",\"p@\":{}", 2000, "}}"), MK_ELIMIT);
    assert_int_equal(fate_of("{\"anyOf\":[true", ",{\"pattern\":\"[^a]{1,9}[^b]*\"}", 5000, "]}"),
                     MK_ELIMIT);
    assert_int_equal(fate_of("{\"additionalProperties\":true,\"properties\":{\"x\":{}",
                             ",\"a long name of a property @@@\":{}", 1999, "}}"),
                     MK_ELIMIT);
    /* References that double thirty times, and a long chain of them. */
    assert_int_equal(
        fate_of("{\"$ref\":\"#/$defs/a0\",\"$defs\":{",
                "\"a@\":{\"anyOf\":[{\"$ref\":\"#/$defs/b@\"},{\"$ref\":\"#/$defs/b@\"}"
                "]},\"b@\":{\"$ref\":\"#/$defs/c@\"},\"c@\":{\"type\":\"null\"},",
                30, "\"z\":{}}}"),
        MK_OK);
    assert_int_equal(fate_of("{\"allOf\":[{}", ",{\"$ref\":\"#\"}", 90, "]}"), MK_ELIMIT);
    assert_int_equal(fate_of("{\"allOf\":[{}", ",{\"properties\":{\"p@\":{}}}", 101, "]}"),
                     MK_ELIMIT);
    assert_int_equal(fate_of("{\"minimum\":1,\"anyOf\":[{}", ",{\"maximum\":@}", 20000, "]}"),
                     MK_ELIMIT);
    if (mk_cpu_s() - start > 60) fail_msg("took %.1f s", mk_cpu_s() - start);
}

static int setup(void **state)
{
    (void)state;
    open_bytes();
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    close_bytes();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(refusals),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests_name("schema", tests, setup, teardown);
}
