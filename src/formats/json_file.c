/* JSON documents of a checkpoint as files. */
#include "base/file.h"
#include "base/str.h"
#include "formats/config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIGITS = 15 };

/* The fewest digits that give the same float, or a few that give its neighbour, are what
 * someone once wrote. */
static bool is_short_for(double d, int digits, double was)
{
    return (float)d == (float)was || (digits <= 5 && fabs(d - was) <= 0x1p-23 * fabs(was));
}

void mk_json_shorten(void *json)
{
    const char *key;
    json_t *v = json, *member;
    json_object_foreach(v, key, member)
    {
        if (json_is_object(member)) mk_json_shorten(member);
        if (!json_is_real(member)) continue;
        const double was = json_real_value(member);
        for (int digits = 1; digits < DIGITS; digits++) {
            char text[40];
            snprintf(text, sizeof text, "%.*g", digits, was);
            const double d = strtod(text, NULL);
            if (!is_short_for(d, digits, was)) continue;
            json_real_set(member, d);
            break;
        }
    }
}

bool mk_json_write(const char *dir, const char *name, const void *json, struct mk_err *err)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS));
    struct mk_str line = {0}, path = {0};
    mk_str_addf(&path, "%s/%s", dir, name);
    if (text) mk_str_addf(&line, "%s\n", text);
    const bool ok = text ? mk_file_write(path.data, line.data, line.len, err)
                         : mk_fail(err, MK_EFORMAT, "%s: some text in it is not UTF-8", path.data);
    free(text);
    mk_str_release(&line);
    mk_str_release(&path);
    return ok;
}
