/* JSON values to text in Python's spelling: keys in their order, ", " and ": ", characters
 * beyond ASCII as they are, floats in the shortest form that reads back the same. */
#include "chat/int_chat.h"

#include <stdlib.h>
#include <string.h>

static void add_string(struct mk_str *out, const char *s, size_t n)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    mk_str_addc(out, '"');
    for (size_t i = 0; i < n; i++) {
        const char *p = s[i] ? strchr(plain, s[i]) : NULL;
        if (p)
            mk_str_addc(out, '\\'), mk_str_addc(out, letter[p - plain]);
        else if ((unsigned char)s[i] < 0x20)
            mk_str_addf(out, "\\u%04x", (unsigned)(unsigned char)s[i]);
        else
            mk_str_addc(out, s[i]);
    }
    mk_str_addc(out, '"');
}

/* d = 0.d1 d2 d3... x 10^(exp + 1), n digits; Python writes exponents from 16 up and below
 * -4.  The digits are read off printf's %e, whatever the locale's decimal point is. */
static void add_real(struct mk_str *out, double d)
{
    char text[40], digits[24];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, d);
        if (!(strtod(text, NULL) < d) && !(strtod(text, NULL) > d)) break;
    }
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    const int exp = atoi(p + 1);
    if (text[0] == '-') mk_str_addc(out, '-');
    if (exp < -4 || exp >= 16) {
        mk_str_addc(out, digits[0]);
        if (n > 1) mk_str_addc(out, '.'), mk_str_append(out, digits + 1, (size_t)n - 1);
        mk_str_addf(out, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
        return;
    }
    if (exp < 0) mk_str_addc(out, '0');
    for (int i = 0; i <= exp; i++) mk_str_addc(out, i < n ? digits[i] : '0');
    mk_str_addc(out, '.');
    for (int i = exp + 1; i < 0; i++) mk_str_addc(out, '0');
    for (int i = exp < 0 ? 0 : exp + 1; i < n; i++) mk_str_addc(out, digits[i]);
    if (exp >= n - 1) mk_str_addc(out, '0');
}

static void add_object(struct mk_str *out, json_t *v, bool is_compact)
{
    mk_str_addc(out, '{');
    const char *sep = "";
    for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it)) {
        const char *key = json_object_iter_key(it);
        mk_str_add(out, sep);
        add_string(out, key, strlen(key));
        mk_str_add(out, is_compact ? ":" : ": ");
        mk_json_text(out, json_object_iter_value(it), is_compact);
        sep = is_compact ? "," : ", ";
    }
    mk_str_addc(out, '}');
}

static void add_array(struct mk_str *out, json_t *v, bool is_compact)
{
    mk_str_addc(out, '[');
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i) mk_str_add(out, is_compact ? "," : ", ");
        mk_json_text(out, json_array_get(v, i), is_compact);
    }
    mk_str_addc(out, ']');
}

/* Recursion is as deep as the value, which jansson's parser limits to 2048. */
void mk_json_text(struct mk_str *out, json_t *v, bool is_compact)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        add_object(out, v, is_compact);
        break;
    case JSON_ARRAY:
        add_array(out, v, is_compact);
        break;
    case JSON_STRING:
        add_string(out, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        mk_str_addf(out, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        add_real(out, json_real_value(v));
        break;
    case JSON_TRUE:
        mk_str_add(out, "true");
        break;
    case JSON_FALSE:
        mk_str_add(out, "false");
        break;
    case JSON_NULL:
        mk_str_add(out, "null");
        break;
    }
}
