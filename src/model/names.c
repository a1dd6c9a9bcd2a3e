#include "model/int_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matches text against a pattern in which '#' and '@' stand for decimal numbers. */
static bool match(const char *pattern, const char *text, long *layer, long *expert)
{
    for (; *pattern; pattern++) {
        if (*pattern != '#' && *pattern != '@') {
            if (*pattern != *text++) return false;
            continue;
        }
        char *end;
        if (*text < '0' || *text > '9') return false;
        *(*pattern == '#' ? layer : expert) = strtol(text, &end, 10);
        text = end;
    }
    return *text == '\0';
}

static void fill(const char *pattern, long layer, char *out, size_t size)
{
    const char *hole = strchr(pattern, '#');
    if (hole)
        snprintf(out, size, "%.*s%ld%s", (int)(hole - pattern), pattern, layer, hole + 1);
    else
        snprintf(out, size, "%s", pattern);
}

bool mk_name_to_gguf(const struct mk_name *names, const char *hf, char *out, size_t size,
                     long *expert)
{
    for (const struct mk_name *n = names; n->hf; n++) {
        long layer = 0, e = -1;
        if (!match(n->hf, hf, &layer, &e)) continue;
        fill(n->gguf, layer, out, size);
        *expert = e;
        return true;
    }
    return false;
}
