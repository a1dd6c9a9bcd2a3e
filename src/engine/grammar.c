/* Nodes of a grammar and their combinations.  Simple ones are simplified where they are made, so
 * that following a grammar meets no needless nodes. */
#include "engine/int_grammar.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KIDS = 4 * MK_GRAMMAR_NODES };

struct mk_grammar_builder *mk_grammar_begin(void)
{
    struct mk_grammar_builder *b = mk_alloc(sizeof *b);
    b->g = mk_alloc(sizeof *b->g);
    mk_grammar_add(b, &(struct mk_node){.kind = MK_NODE_EMPTY});
    return b;
}

bool mk_grammar_finish(struct mk_grammar **out, struct mk_grammar_builder *b, uint32_t root,
                       struct mk_err *err)
{
    struct mk_grammar *g = b->g;
    bool ok = b->err.code == MK_OK;
    if (!ok && err) *err = b->err;
    free(b);
    g->root = root;
    if (ok) ok = mk_grammar_check(g, err);
    if (ok)
        *out = g;
    else
        mk_grammar_free(g);
    return ok;
}

void mk_grammar_free(struct mk_grammar *g)
{
    if (!g) return;
    free(g->nodes);
    free(g->kids);
    mk_str_release(&g->text);
    free(g);
}

uint32_t mk_grammar_fail(struct mk_grammar_builder *b, enum mk_code code, const char *fmt, ...)
{
    if (b->err.code != MK_OK) return 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b->err.msg, sizeof b->err.msg, fmt, ap);
    va_end(ap);
    for (char *p = b->err.msg; *p;) { /* one line of valid UTF-8: parts come from outside */
        const int len = mk_utf8_len(p, strlen(p));
        if (len <= 0 || (unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
        p += len > 1 ? len : 1;
    }
    b->err.code = code;
    return 0;
}

/* ---- storing ------------------------------------------------------------------------- */

uint32_t mk_grammar_add(struct mk_grammar_builder *b, const struct mk_node *n)
{
    struct mk_grammar *g = b->g;
    if (b->err.code != MK_OK) return 0;
    if (g->n_nodes == MK_GRAMMAR_NODES)
        return mk_grammar_fail(b, MK_ELIMIT, "the grammar has more than %d parts",
                               MK_GRAMMAR_NODES);
    if (g->n_nodes == g->cap_nodes) {
        g->cap_nodes = g->cap_nodes ? 2 * g->cap_nodes : 64;
        g->nodes = mk_realloc(g->nodes, g->cap_nodes * sizeof *g->nodes);
    }
    g->nodes[g->n_nodes] = *n;
    return (uint32_t)g->n_nodes++;
}

static uint32_t add_list(struct mk_grammar_builder *b, enum mk_node_kind kind, const uint32_t *list,
                         size_t n)
{
    struct mk_grammar *g = b->g;
    if (b->err.code != MK_OK) return 0;
    if (n > MAX_KIDS - g->n_kids)
        return mk_grammar_fail(b, MK_ELIMIT, "the grammar has more than %d connections", MAX_KIDS);
    while (g->n_kids + n > g->cap_kids) {
        g->cap_kids = g->cap_kids ? 2 * g->cap_kids : 64;
        g->kids = mk_realloc(g->kids, g->cap_kids * sizeof *g->kids);
    }
    if (n) memcpy(g->kids + g->n_kids, list, n * sizeof *list);
    const struct mk_node node = {.kind = (uint8_t)kind, .list = {(uint32_t)g->n_kids, (uint32_t)n}};
    g->n_kids += n;
    return mk_grammar_add(b, &node);
}

/* ---- terminals ----------------------------------------------------------------------- */

uint32_t mk_grammar_bytes(struct mk_grammar_builder *b, const uint64_t *set)
{
    struct mk_node n = {.kind = MK_NODE_BYTES};
    memcpy(n.set, set, sizeof n.set);
    return mk_grammar_add(b, &n);
}

uint32_t mk_grammar_text(struct mk_grammar_builder *b, const char *bytes, size_t n)
{
    struct mk_str *text = &b->g->text;
    if (n == 0 || b->err.code != MK_OK) return 0;
    if (n > MK_GRAMMAR_TEXT - text->len)
        return mk_grammar_fail(b, MK_ELIMIT, "the grammar has more than %d bytes of text",
                               MK_GRAMMAR_TEXT);
    const struct mk_node node = {.kind = MK_NODE_TEXT, .list = {(uint32_t)text->len, (uint32_t)n}};
    mk_str_append(text, bytes, n);
    return mk_grammar_add(b, &node);
}

uint32_t mk_grammar_str(struct mk_grammar_builder *b, const char *text)
{
    return mk_grammar_text(b, text, strlen(text));
}

uint32_t mk_grammar_token(struct mk_grammar_builder *b, int32_t id)
{
    return mk_grammar_add(b, &(struct mk_node){.kind = MK_NODE_TOKEN, .token = id});
}

uint32_t mk_grammar_tags(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                         const char *text)
{
    struct mk_ids ids = {0};
    struct mk_str plain = {0};
    uint32_t all = 0;
    mk_tokenize(t, text, strlen(text), MK_TOK_SPECIAL, &ids);
    for (size_t i = 0; i < ids.n; i++) {
        size_t n;
        const char *bytes = mk_token_bytes(t, ids.v[i], &n);
        const bool is_tag = mk_token_is_tag(t, ids.v[i]);
        if (!is_tag) mk_str_append(&plain, bytes, n);
        if (!is_tag && i + 1 < ids.n) continue;
        all = mk_grammar_pair(b, all, mk_grammar_text(b, mk_str_c(&plain), plain.len));
        mk_str_clear(&plain);
        if (is_tag) all = mk_grammar_pair(b, all, mk_grammar_token(b, ids.v[i]));
    }
    mk_ids_release(&ids);
    mk_str_release(&plain);
    return all;
}

/* ---- combinations -------------------------------------------------------------------- */

uint32_t mk_grammar_seq(struct mk_grammar_builder *b, const uint32_t *list, size_t n)
{
    uint32_t few[16], *kids = n <= 16 ? few : mk_calloc(n, sizeof *kids);
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i]) kids[m++] = list[i]; /* 0 is empty */
    const uint32_t x = m == 0 ? 0 : m == 1 ? kids[0] : add_list(b, MK_NODE_SEQ, kids, m);
    if (kids != few) free(kids);
    return x;
}

uint32_t mk_grammar_choice(struct mk_grammar_builder *b, const uint32_t *list, size_t n)
{
    return n == 1 ? list[0] : add_list(b, MK_NODE_CHOICE, list, n);
}

static uint32_t product(uint32_t a, uint32_t b)
{
    return a == MK_NO_LIMIT || b == MK_NO_LIMIT || (uint64_t)a * b > MK_NO_LIMIT ? MK_NO_LIMIT
                                                                                 : a * b;
}

/* A repeat of a repeat is one repeat where every count between is possible: (x?){0,9} and (x+)*
 * are x{0,9} and x*.  Without this each way to share out the count is followed. */
static void join_repeats(const struct mk_grammar *g, uint32_t *x, uint32_t *min, uint32_t *max)
{
    const struct mk_node *n = &g->nodes[*x];
    while (n->kind == MK_NODE_REPEAT &&
           (n->repeat.min == 0 || (n->repeat.min == 1 && n->repeat.max == MK_NO_LIMIT))) {
        *min *= n->repeat.min;
        *max = product(*max, n->repeat.max);
        *x = n->repeat.kid;
        n = &g->nodes[*x];
    }
}

uint32_t mk_grammar_repeat(struct mk_grammar_builder *b, uint32_t x, uint32_t min, uint32_t max)
{
    if (min > max)
        return mk_grammar_fail(b, MK_EUSAGE, "a repeat of %u to %u times", (unsigned)min,
                               (unsigned)max);
    if (x == 0 || max == 0) return 0;
    if (min == 1 && max == 1) return x;
    join_repeats(b->g, &x, &min, &max);
    return mk_grammar_add(b, &(struct mk_node){.kind = MK_NODE_REPEAT, .repeat = {x, min, max}});
}

uint32_t mk_grammar_pair(struct mk_grammar_builder *b, uint32_t x, uint32_t y)
{
    return mk_grammar_seq(b, (const uint32_t[]){x, y}, 2);
}

uint32_t mk_grammar_either(struct mk_grammar_builder *b, uint32_t x, uint32_t y)
{
    return mk_grammar_choice(b, (const uint32_t[]){x, y}, 2);
}

uint32_t mk_grammar_maybe(struct mk_grammar_builder *b, uint32_t x)
{
    return mk_grammar_repeat(b, x, 0, 1);
}

uint32_t mk_grammar_never(struct mk_grammar_builder *b)
{
    return add_list(b, MK_NODE_CHOICE, NULL, 0);
}

uint32_t mk_grammar_forward(struct mk_grammar_builder *b, const char *name)
{
    struct mk_str *text = &b->g->text;
    const size_t n = strlen(name) + 1;
    if (b->err.code != MK_OK) return 0;
    if (n > MK_GRAMMAR_TEXT - text->len)
        return mk_grammar_fail(b, MK_ELIMIT, "the grammar has more than %d bytes of names",
                               MK_GRAMMAR_TEXT);
    const struct mk_node node = {.kind = MK_NODE_REF, .ref = {0, (uint32_t)text->len}};
    mk_str_append(text, name, n);
    return mk_grammar_add(b, &node);
}

void mk_grammar_bind(struct mk_grammar_builder *b, uint32_t ref, uint32_t to)
{
    if (b->err.code != MK_OK) return;
    assert(b->g->nodes[ref].kind == MK_NODE_REF);
    b->g->nodes[ref].ref.to = to;
}

/* ---- free text ----------------------------------------------------------------------- */

/* How much of the mark matches after byte c when m bytes of it did (Knuth, Morris, Pratt). */
static size_t follow(const char *mark, const size_t *border, size_t m, unsigned c)
{
    while (m && (unsigned char)mark[m] != c) m = border[m - 1];
    return m + ((unsigned char)mark[m] == c);
}

/* border[i]: the longest proper beginning of mark[0..i] that also ends it. */
static size_t *borders(const char *mark, size_t n)
{
    size_t *border = mk_calloc(n, sizeof *border);
    for (size_t i = 1; i < n; i++)
        border[i] = follow(mark, border, border[i - 1], (unsigned char)mark[i]);
    return border;
}

/* What may come when m bytes of the mark match: each way on leads to the node of its match. */
static uint32_t ways_on(struct mk_grammar_builder *b, const char *mark, size_t n,
                        const size_t *border, size_t m, const uint32_t *at, bool is_until)
{
    uint32_t *ways = mk_calloc(n + 3, sizeof *ways);
    size_t n_ways = 0;
    uint64_t(*sets)[4] = mk_calloc(n + 1, sizeof *sets);
    for (unsigned c = 0; c < 256; c++) mk_set_add(sets[follow(mark, border, m, c)], c);
    for (size_t to = 0; to <= n; to++) {
        if (!(sets[to][0] | sets[to][1] | sets[to][2] | sets[to][3])) continue;
        const uint32_t byte = mk_grammar_bytes(b, sets[to]);
        if (to < n)
            ways[n_ways++] = mk_grammar_pair(b, byte, at[to]);
        else if (is_until)
            ways[n_ways++] = byte;
    }
    const struct mk_node any = {.kind = MK_NODE_TOKENS, .token = -1};
    ways[n_ways++] = mk_grammar_pair(b, mk_grammar_add(b, &any), at[0]);
    if (!is_until) ways[n_ways++] = 0;
    const uint32_t x = mk_grammar_choice(b, ways, n_ways);
    free(sets);
    free(ways);
    return x;
}

static uint32_t text_by_bytes(struct mk_grammar_builder *b, const char *mark, bool is_until)
{
    const size_t n = strlen(mark);
    if (n == 0 || n > 256)
        return mk_grammar_fail(b, MK_EUSAGE, "a mark of %zu bytes, want 1 to 256", n);
    size_t *border = borders(mark, n);
    uint32_t *at = mk_calloc(n, sizeof *at);
    for (size_t m = 0; m < n; m++) at[m] = mk_grammar_forward(b, "free text");
    for (size_t m = 0; m < n; m++)
        mk_grammar_bind(b, at[m], ways_on(b, mark, n, border, m, at, is_until));
    const uint32_t x = at[0];
    free(border);
    free(at);
    return x;
}

static uint32_t free_text(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                          const char *mark, bool is_until)
{
    const int32_t id = mk_token_find(t, mark);
    if (id < 0 || !mk_token_is_tag(t, id)) return text_by_bytes(b, mark, is_until);
    const uint64_t all[4] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    const struct mk_node other = {.kind = MK_NODE_TOKENS, .token = id};
    const uint32_t one = mk_grammar_either(b, mk_grammar_bytes(b, all), mk_grammar_add(b, &other));
    const uint32_t text = mk_grammar_repeat(b, one, 0, MK_NO_LIMIT);
    return is_until ? mk_grammar_pair(b, text, mk_grammar_token(b, id)) : text;
}

uint32_t mk_grammar_until(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                          const char *mark)
{
    return free_text(b, t, mark, true);
}

uint32_t mk_grammar_without(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                            const char *mark)
{
    return free_text(b, t, mark, false);
}

/* ---- all in one ---------------------------------------------------------------------- */

bool mk_grammar_from_schema(struct mk_grammar **out, const char *json, size_t n, struct mk_err *err)
{
    json_error_t e;
    json_t *schema = json_loadb(n ? json : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    struct mk_grammar_builder *b = mk_grammar_begin();
    const uint32_t root =
        schema ? mk_grammar_schema(b, schema)
               : mk_grammar_fail(b, MK_EFORMAT, "the schema is not JSON: byte %d: %.100s",
                                 e.position, e.text);
    json_decref(schema);
    return mk_grammar_finish(out, b, root, err);
}

bool mk_grammar_from_regex(struct mk_grammar **out, const char *pattern, size_t n,
                           struct mk_err *err)
{
    struct mk_grammar_builder *b = mk_grammar_begin();
    return mk_grammar_finish(out, b, mk_grammar_regex(b, pattern, n), err);
}
