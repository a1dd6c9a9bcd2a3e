/* Writing safetensors.  The format allows no gaps, so tensors are laid out by falling
 * element size: then each is aligned whatever their lengths. */
#include "formats/safetensors.h"

#include "base/str.h"
#include "formats/int_formats.h"
#include "formats/int_slots.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ELEMENT = 8, HEADER_ALIGN = 8 };

struct mk_st_writer {
    struct mk_slots slots;
};

static bool add_quoted(struct mk_str *s, const char *text, const char *file, struct mk_err *err)
{
    json_t *v = json_string(text);
    char *quoted = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    if (quoted) mk_str_add(s, quoted);
    json_decref(v);
    free(quoted);
    return quoted || mk_fail(err, MK_EFORMAT, "%s: %s is not UTF-8", file, mk_show_str(text).s);
}

static bool add_metadata(struct mk_str *s, const char *const *metadata, const char *file,
                         struct mk_err *err)
{
    if (!metadata || !metadata[0]) return true;
    mk_str_add(s, "\"__metadata__\":");
    for (size_t i = 0; metadata[i]; i += 2) {
        mk_str_addc(s, i ? ',' : '{');
        if (!add_quoted(s, metadata[i], file, err)) return false;
        mk_str_addc(s, ':');
        if (!add_quoted(s, metadata[i + 1], file, err)) return false;
    }
    mk_str_addc(s, '}');
    return true;
}

static bool add_entry(struct mk_str *s, const struct mk_tensor *t, const struct mk_slot *slot,
                      const char *file, struct mk_err *err)
{
    if (s->len > 1) mk_str_addc(s, ',');
    if (!add_quoted(s, t->name, file, err)) return false;
    mk_str_addf(s, ":{\"dtype\":\"%s\",\"shape\":[", mk_quants[t->type].safetensors);
    for (unsigned i = 0; i < t->n_dims; i++) mk_str_addf(s, "%s%zu", i ? "," : "", t->dims[i]);
    mk_str_addf(s, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)slot->at,
                (unsigned long long)slot->at + slot->n_bytes);
    return true;
}

/* Gives each slot its place, counted from the data part. */
static bool build_header(struct mk_str *s, struct mk_slots *slots, const struct mk_tensor *list,
                         const char *const *metadata, struct mk_err *err)
{
    const char *file = slots->out.path;
    uint64_t at = 0;
    mk_str_addc(s, '{');
    if (!add_metadata(s, metadata, file, err)) return false;
    for (size_t unit = MAX_ELEMENT; unit; unit /= 2)
        for (size_t i = 0; i < slots->n; i++) {
            if (mk_quants[list[i].type].block_bytes != unit) continue;
            slots->v[i].at = at;
            at += slots->v[i].n_bytes;
            if (!add_entry(s, &list[i], &slots->v[i], file, err)) return false;
        }
    mk_str_addc(s, '}');
    while (s->len % HEADER_ALIGN) mk_str_addc(s, ' ');
    return true;
}

static bool start(struct mk_slots *slots, const struct mk_tensor *list, size_t n,
                  const char *const *metadata, struct mk_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!mk_quants[list[i].type].safetensors)
            return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s: safetensors has no type %s",
                           slots->out.path, mk_show_str(list[i].name).s,
                           mk_quants[list[i].type].name);
    struct mk_str header = {0};
    bool ok =
        mk_slots_set(slots, list, n, err) && build_header(&header, slots, list, metadata, err);
    const uint64_t n_header = header.len;
    ok = ok && mk_out_write(&slots->out, &n_header, sizeof n_header, err) &&
         mk_out_write(&slots->out, mk_str_c(&header), header.len, err);
    for (size_t i = 0; i < slots->n; i++) slots->v[i].at += slots->out.pos;
    mk_str_release(&header);
    return ok;
}

bool mk_st_writer_open(struct mk_st_writer **out, const char *path, const struct mk_tensor *list,
                       size_t n, const char *const *metadata, struct mk_err *err)
{
    struct mk_st_writer *w = mk_alloc(sizeof *w);
    if (!mk_out_open(&w->slots.out, path, err) || !start(&w->slots, list, n, metadata, err)) {
        mk_st_writer_abandon(w);
        return false;
    }
    *out = w;
    return true;
}

bool mk_st_writer_add(struct mk_st_writer *w, const void *bytes, size_t n, struct mk_err *err)
{
    return mk_slots_add(&w->slots, bytes, n, err);
}

bool mk_st_writer_close(struct mk_st_writer *w, struct mk_err *err)
{
    const bool ok = mk_slots_full(&w->slots, err) && mk_out_close(&w->slots.out, err);
    mk_st_writer_abandon(w);
    return ok;
}

void mk_st_writer_abandon(struct mk_st_writer *w)
{
    if (!w) return;
    mk_slots_release(&w->slots);
    free(w);
}
