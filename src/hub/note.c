/* What is remembered beside a part: a small JSON object. */
#include "hub/int_hub.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NOTE_BYTES = 64 << 10 };

json_t *mk_note_read(const char *path)
{
    struct mk_str text = {0};
    json_t *o = NULL;
    if (mk_file_read_regular(&text, path, MAX_NOTE_BYTES, NULL))
        o = json_loadb(mk_str_c(&text), text.len, 0, NULL);
    mk_str_release(&text);
    return o;
}

bool mk_note_write(const char *path, json_t *o, uint64_t size, struct mk_err *err)
{
    if (o && size != MK_HTTP_UNKNOWN)
        json_object_set_new(o, "size", json_integer((json_int_t)size));
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    const bool ok = text ? mk_file_write(path, text, strlen(text), err)
                         : mk_fail(err, MK_EFORMAT, "%s: what belongs there is not UTF-8", path);
    free(text);
    json_decref(o);
    return ok;
}
