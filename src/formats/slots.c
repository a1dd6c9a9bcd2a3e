/* Filling the places of a file in the order of a list, which need not be the order in
 * the file. */
#include "formats/int_slots.h"

#include "formats/int_formats.h"

#include <stdlib.h>
#include <string.h>

bool mk_slots_set(struct mk_slots *s, const struct mk_tensor *list, size_t n, struct mk_err *err)
{
    s->v = mk_calloc(n, sizeof *s->v);
    for (size_t i = 0; i < n; i++) {
        struct mk_tensor t = list[i];
        t.file = s->out.path;
        if (!mk_name_check(t.name, strlen(t.name), "tensor name", t.file, err) ||
            !mk_tensor_measure(&t, err))
            return false;
        s->v[s->n++] = (struct mk_slot){.name = mk_strdup(t.name), .n_bytes = t.n_bytes};
    }
    return true;
}

static bool seek(struct mk_out *o, uint64_t at, struct mk_err *err)
{
    if (o->pos == at) return true;
    if (fseeko(o->f, (off_t)at, SEEK_SET))
        return mk_fail_errno(err, "%s: position %llu", o->temp, (unsigned long long)at);
    o->pos = at;
    return true;
}

bool mk_slots_add(struct mk_slots *s, const void *bytes, size_t n, struct mk_err *err)
{
    if (s->cur == s->n)
        return mk_fail(err, MK_EUSAGE, "%s: %zu bytes after the last tensor", s->out.path, n);
    const struct mk_slot *slot = &s->v[s->cur];
    if (n > slot->n_bytes - s->done)
        return mk_fail(err, MK_EUSAGE, "%s: tensor %s: %zu bytes, %zu are left of %zu", s->out.path,
                       mk_show_str(slot->name).s, n, slot->n_bytes - s->done, slot->n_bytes);
    if (!seek(&s->out, slot->at + s->done, err) || !mk_out_write(&s->out, bytes, n, err))
        return false;
    s->done += n;
    if (s->done == slot->n_bytes) {
        s->cur++;
        s->done = 0;
    }
    return true;
}

bool mk_slots_full(const struct mk_slots *s, struct mk_err *err)
{
    if (s->cur == s->n) return true;
    return mk_fail(err, MK_EUSAGE, "%s: tensor %s: %zu of %zu bytes written", s->out.path,
                   mk_show_str(s->v[s->cur].name).s, s->done, s->v[s->cur].n_bytes);
}

void mk_slots_release(struct mk_slots *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->v[i].name);
    free(s->v);
    mk_out_abandon(&s->out);
    *s = (struct mk_slots){0};
}
