#include "model/names.h"

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

const struct mk_name *mk_name_find(const struct mk_name *names, bool is_gguf, const char *name,
                                   long *layer, long *expert)
{
    for (const struct mk_name *n = names; n->hf; n++) {
        *layer = *expert = -1;
        if (match(is_gguf ? n->gguf : n->hf, name, layer, expert)) return n;
    }
    return NULL;
}

void mk_name_write(const struct mk_name *n, bool is_gguf, long layer, long expert, char *out,
                   size_t size)
{
    size_t at = 0;
    for (const char *p = is_gguf ? n->gguf : n->hf; *p && at < size; p++)
        at += *p == '#' || *p == '@'
                  ? (size_t)snprintf(out + at, size - at, "%ld", *p == '#' ? layer : expert)
                  : (size_t)snprintf(out + at, size - at, "%c", *p);
}

bool mk_name_to_gguf(const struct mk_name *names, const char *hf, char *out, size_t size,
                     long *expert)
{
    long layer;
    const struct mk_name *n = mk_name_find(names, false, hf, &layer, expert);
    if (n) mk_name_write(n, true, layer, *expert, out, size);
    return n != NULL;
}
