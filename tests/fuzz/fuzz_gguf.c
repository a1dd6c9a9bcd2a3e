/* GGUF: metadata, directory, and every look-up that reads what the parser kept. */
#include "fuzz.h"

#include "formats/config.h"
#include "formats/gguf.h"

static void look_up(const struct mk_gguf *g)
{
    volatile double sink = 0;
    for (size_t i = 0; i < g->n_kv; i++) {
        const struct mk_gguf_kv *kv = &g->kv[i];
        uint64_t u;
        if (mk_gguf_u64(g, kv->key, &u)) sink += (double)u;
        if (kv->type != MK_GGUF_ARRAY || !kv->array.n) continue;
        const size_t last = kv->array.n - 1;
        if (kv->array.strs)
            sink += kv->array.strs[last].n ? kv->array.strs[last].s[0] : 0;
        else
            sink += mk_gguf_at(kv, 0) + mk_gguf_at(kv, last);
    }
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mk_map map = {data, size};
    char file[] = "f";
    struct mk_gguf g;
    struct mk_tensors t = {.gguf = &g, .path = file};
    struct mk_err err;
    if (mk_gguf_parse(&t.arena, &g, &t.list, &t.n, &map, file, &err)) {
        struct mk_config c;
        fuzz_touch(t.list, t.n);
        look_up(&g);
        if (mk_config_open(&c, &t, &err)) {
            fuzz_config(&c);
            mk_config_close(&c);
        }
    }
    mk_arena_release(&t.arena);
    return 0;
}
