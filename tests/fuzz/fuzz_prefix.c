/* Files of the prefix cache.  The input is up to four files, each as long as the two bytes before
 * it say, as a folder may hold them.  One byte before that says what is put right, for one who
 * knows the key: the model (1), the parent's name (2), the size (4), the keyed hash (8); names
 * always are. Whatever is there, loading leaves a session that goes on. */
#include "fuzz.h"

#include "base/folder.h"
#include "engine/int_prefix.h"
#include "engine/prefix.h"

#include <nettle/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MODEL = 1, PARENT = 2, SIZE = 4, MAC = 8, MAX_FILES = 4, N_CTX = 512 };

static char folder[] = "/tmp/mk-fuzz-prefix-XXXXXX";
static struct mk_engine *engine;
static uint8_t model[32];

static void must(bool fact)
{
    if (!fact) abort();
}

static void clean_up(void) { (void)!mk_folder_remove(folder, NULL); }

static void set_up(void)
{
    const struct mk_engine_options o = {.n_threads = 1, .kv_type = MK_F16};
    if (engine) return;
    must(mk_engine_open(&engine, "build/tiny", &o, NULL));
    must(mkdtemp(folder) && atexit(clean_up) == 0);
    mk_engine_fingerprint(engine, model);
}

static void put_right(struct mk_str *file, const struct mk_block_folder *f, unsigned what,
                      const struct mk_block_name *parent)
{
    struct mk_block_head h;
    uint8_t *bytes = (uint8_t *)file->data;
    if (file->len < MK_BLOCK_HEAD) return;
    if (what & MODEL) memcpy(bytes, "minkekv1", 8), memcpy(bytes + 8, model, sizeof model);
    if (what & PARENT) memcpy(bytes + 48, parent->v, sizeof parent->v);
    if (!(what & SIZE) || !mk_block_head_parse(&h, f, bytes)) return;
    const size_t n = mk_block_file_bytes(f, h.n);
    while (file->len < n) mk_str_addc(file, (char)('a' + file->len % 7));
    file->len = n;
    if (!(what & MAC)) return;
    bytes = (uint8_t *)file->data;
    struct hmac_sha256_ctx c;
    hmac_sha256_set_key(&c, sizeof f->key, f->key);
    hmac_sha256_update(&c, n - MK_BLOCK_MAC, bytes);
    hmac_sha256_digest(&c, MK_BLOCK_MAC, bytes + n - MK_BLOCK_MAC);
}

/* Writes it under the name that its head has; where it has none, under any. */
static void write_block(struct mk_str *file, const struct mk_block_folder *f, unsigned what,
                        struct mk_block_name *last, struct mk_block_head *head)
{
    struct mk_str path = {0};
    put_right(file, f, what, last);
    if (file->len >= MK_BLOCK_HEAD && mk_block_head_parse(head, f, (const uint8_t *)file->data))
        *last = mk_block_name_of(f, head);
    mk_str_addf(&path, "%s/", folder);
    for (size_t i = 0; i < sizeof last->v; i++) mk_str_addf(&path, "%02x", last->v[i]);
    mk_str_add(&path, ".kv");
    must(mk_file_write_hasty(path.data, mk_str_c(file), file->len, NULL));
    mk_str_release(&path);
}

/* The ids of all heads, one after the other. */
static size_t write_blocks(const uint8_t *data, size_t size, int32_t *ids, uint64_t *owner)
{
    struct mk_block_folder f = {0};
    struct mk_block_name last = {{0}};
    size_t n_ids = 0;
    const size_t tok_bytes = mk_engine_info(engine).kv_bytes_per_token;
    must(mk_block_folder_open(&f, folder, model, tok_bytes, NULL));
    for (int k = 0; k < MAX_FILES && size >= 3; k++) {
        struct mk_block_head head = {0};
        struct mk_str file = {0};
        const unsigned what = data[0];
        size_t n = data[1] | (size_t)data[2] << 8;
        data += 3, size -= 3;
        if (n > size) n = size;
        mk_str_append(&file, (const char *)data, n);
        data += n, size -= n;
        write_block(&file, &f, what, &last, &head);
        memcpy(ids + n_ids, head.ids, head.n * sizeof *ids);
        n_ids += head.n;
        if (head.n) *owner = head.owner;
        mk_str_release(&file);
    }
    mk_block_folder_close(&f);
    return n_ids;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t ids[MAX_FILES * MK_BLOCK_TOKS];
    const struct mk_prefix_options o = {1 << 20, folder, 1 << 20};
    struct mk_prefixes *p;
    struct mk_session *s;
    uint64_t owner = 0;
    size_t n;
    set_up();
    const size_t n_ids = write_blocks(data, size, ids, &owner);
    must(mk_prefixes_open(&p, engine, &o, NULL));
    must(mk_session_new(&s, engine, N_CTX, NULL));
    const size_t found = mk_prefixes_find(p, owner, ids, n_ids);
    mk_prefixes_load(p, owner, s, ids, n_ids);
    const int32_t *have = mk_session_ids(s, &n);
    must(n <= found && mk_session_pending(s) == 0 && (!n || !memcmp(have, ids, n * sizeof *ids)));
    must(mk_session_append(s, (const int32_t[]){1, 2}, 2, NULL));
    must(mk_engine_step(engine, &s, 1, 0, NULL) && mk_session_logits(s));
    mk_prefixes_keep(p, owner, s);
    mk_session_free(s);
    mk_prefixes_close(p);
    must(mk_folder_remove(folder, NULL));
    return 0;
}
