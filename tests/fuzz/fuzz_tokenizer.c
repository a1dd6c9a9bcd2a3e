/* tokenizer.json.  One that opens must cut any text into ids that exist and have bytes,
 * and must be the same tokenizer after it is written and read again. */
#include "fuzz.h"

#include "token/token.h"

#include <stdlib.h>
#include <string.h>

static void must(bool fact)
{
    if (!fact) abort();
}

static void check_ids(const struct mk_tokenizer *t, const struct mk_ids *ids, size_t n_text)
{
    must(ids->n <= 3 * n_text + 1); /* a malformed byte becomes three */
    for (size_t i = 0; i < ids->n; i++) {
        size_t n;
        must(ids->v[i] >= 0 && ids->v[i] < mk_token_count(t));
        must(mk_token_bytes(t, ids->v[i], &n) != NULL && n > 0);
    }
    struct mk_str all = {0}, streamed = {0};
    struct mk_token_stream s = {0};
    mk_detokenize(t, ids->v, ids->n, false, &all);
    for (size_t i = 0; i < ids->n; i++) mk_token_stream_add(&s, t, ids->v[i], false, &streamed);
    mk_token_stream_end(&s, &streamed);
    must(all.len == streamed.len && !memcmp(mk_str_c(&all), mk_str_c(&streamed), all.len));
    must(mk_utf8_valid(mk_str_c(&all), all.len) == all.len);
    mk_str_release(&all);
    mk_str_release(&streamed);
}

static void check_text(const struct mk_tokenizer *t, const struct mk_tokenizer *again,
                       const char *text, size_t n, unsigned flags)
{
    struct mk_ids a = {0}, b = {0};
    mk_tokenize(t, text, n, flags, &a);
    check_ids(t, &a, n);
    if (again) {
        mk_tokenize(again, text, n, flags, &b);
        must(a.n == b.n && (!a.n || !memcmp(a.v, b.v, a.n * sizeof *a.v)));
    }
    mk_ids_release(&a);
    mk_ids_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char sample[] =
        "<\xef\xbd\x9cUser\xef\xbd\x9c> the  whale's 12345\r\n\te\xcc\x81 "
        "\xe9\xb2\xb8\xe9\xb1\xbc <think>\xc3\xb8</think> ......\xff\xf0\x9f";
    struct mk_tokenizer *t = NULL, *again = NULL;
    struct mk_err err = {MK_OK, ""};
    if (!mk_tokenizer_parse(&t, (const char *)data, size, "f", &err)) {
        must(t == NULL && err.code != MK_OK && err.msg[0]);
        return 0;
    }
    struct mk_str json = {0};
    mk_tokenizer_put_json(t, &json);
    /* Ids are bounded by the size of the file, which may have shrunk. */
    if (!mk_tokenizer_parse(&again, json.data, json.len, "f", &err))
        must(strstr(err.msg, "size of the file") != NULL);
    mk_str_release(&json);
    for (unsigned flags = 0; flags < 4; flags++) {
        check_text(t, again, sample, sizeof sample - 1, flags);
        check_text(t, again, (const char *)data, size < 3000 ? size : 3000, flags);
    }
    mk_tokenizer_free(again);
    mk_tokenizer_free(t);
    return 0;
}
