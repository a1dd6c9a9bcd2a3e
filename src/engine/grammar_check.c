/* What is known of a whole grammar before it is used.
 *
 * Three facts of each node follow from its children: whether the empty text fits it; its height,
 * the number of open parts (sequences and repeats to come back to) that its shallowest text needs;
 * and its cost, the tokens that its shortest text needs.  They are least fixed points: nodes are
 * evaluated again whenever a child changed. A node without a height fits no text.  While
 * generating, a part is entered only if its height fits into MK_GRAMMAR_HEIGHT, so that whatever
 * was begun can be ended.
 *
 * Left recursion, a way from a node to itself without a byte in between, is refused: so the
 * nodes that can come next are finitely many. */
#include "engine/int_grammar.h"

#include <stdlib.h>

/* Children whatever the kind. */
static size_t n_kids(const struct mk_node *n)
{
    switch (n->kind) {
    case MK_NODE_SEQ:
    case MK_NODE_CHOICE:
        return n->list.n;
    case MK_NODE_REPEAT:
    case MK_NODE_REF:
        return 1;
    default:
        return 0;
    }
}
static uint32_t kid(const struct mk_grammar *g, const struct mk_node *n, size_t i)
{
    return n->kind == MK_NODE_REPEAT ? n->repeat.kid
           : n->kind == MK_NODE_REF  ? n->ref.to
                                     : g->kids[n->list.at + i];
}

static uint16_t above(uint16_t height)
{
    return height >= MK_GRAMMAR_HEIGHT ? MK_NO_HEIGHT : (uint16_t)(height + 1);
}

static bool seq_is_empty(const struct mk_grammar *g, const struct mk_node *n)
{
    for (size_t i = 0; i < n->list.n; i++)
        if (!g->nodes[kid(g, n, i)].can_be_empty) return false;
    return true;
}

static uint16_t seq_height(const struct mk_grammar *g, const struct mk_node *n)
{
    uint16_t most = 1;
    for (size_t i = 0; i < n->list.n; i++) {
        uint16_t h = g->nodes[kid(g, n, i)].height;
        if (i + 1 < n->list.n) h = above(h);
        if (h > most) most = h;
    }
    return most;
}

static uint32_t seq_cost(const struct mk_grammar *g, const struct mk_node *n)
{
    uint32_t cost = 0;
    for (size_t i = 0; i < n->list.n; i++) cost = mk_cost_add(cost, g->nodes[kid(g, n, i)].cost, 1);
    return cost;
}

/* Evaluates a node; true when something changed. */
static bool evaluate(const struct mk_grammar *g, struct mk_node *n)
{
    bool empty = false;
    uint16_t height = 1;
    uint32_t cost = 1;
    switch (n->kind) {
    case MK_NODE_EMPTY:
        empty = true;
        cost = 0;
        break;
    case MK_NODE_TEXT:
        cost = n->list.n;
        break;
    case MK_NODE_SEQ:
        empty = seq_is_empty(g, n);
        height = seq_height(g, n);
        cost = seq_cost(g, n);
        break;
    case MK_NODE_CHOICE:
        height = MK_NO_HEIGHT;
        cost = MK_NO_LIMIT;
        for (size_t i = 0; i < n->list.n; i++) {
            const struct mk_node *k = &g->nodes[kid(g, n, i)];
            empty |= k->can_be_empty;
            if (k->height < height) height = k->height;
            if (k->cost < cost) cost = k->cost;
        }
        break;
    case MK_NODE_REPEAT:
        empty = n->repeat.min == 0 || g->nodes[n->repeat.kid].can_be_empty;
        if (n->repeat.min) height = above(g->nodes[n->repeat.kid].height);
        cost = mk_cost_add(0, g->nodes[n->repeat.kid].cost, n->repeat.min);
        break;
    case MK_NODE_REF:
        empty = g->nodes[n->ref.to].can_be_empty;
        height = g->nodes[n->ref.to].height;
        cost = g->nodes[n->ref.to].cost;
        break;
    default: /* terminals */
        break;
    }
    if (empty == n->can_be_empty && height == n->height && cost == n->cost) return false;
    n->can_be_empty = empty;
    n->height = height;
    n->cost = cost;
    return true;
}

/* Parents of each node: list[first[i] .. first[i + 1]). */
struct parents {
    uint32_t *first, *list;
};
static struct parents find_parents(const struct mk_grammar *g)
{
    struct parents p = {.first = mk_calloc(g->n_nodes + 2, sizeof *p.first)};
    size_t n_all = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = n_kids(&g->nodes[i]); k-- > 0; n_all++)
            p.first[kid(g, &g->nodes[i], k) + 2]++;
    p.list = mk_calloc(n_all, sizeof *p.list);
    for (size_t i = 2; i < g->n_nodes + 2; i++) p.first[i] += p.first[i - 1];
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = n_kids(&g->nodes[i]); k-- > 0;)
            p.list[p.first[kid(g, &g->nodes[i], k) + 1]++] = (uint32_t)i;
    return p;
}

static void find_facts(struct mk_grammar *g)
{
    const struct parents p = find_parents(g);
    uint32_t *todo = mk_calloc(g->n_nodes, sizeof *todo); /* a ring: each node is in it once */
    bool *waits = mk_calloc(g->n_nodes, sizeof *waits);
    size_t n = g->n_nodes, first = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        g->nodes[i].height = MK_NO_HEIGHT;
        g->nodes[i].cost = MK_NO_LIMIT;
        todo[i] = (uint32_t)i, waits[i] = true;
    }
    while (n) {
        const uint32_t i = todo[first];
        first = (first + 1) % g->n_nodes, n--;
        waits[i] = false;
        if (!evaluate(g, &g->nodes[i])) continue;
        for (uint32_t k = p.first[i]; k < p.first[i + 1]; k++) {
            if (waits[p.list[k]]) continue;
            waits[p.list[k]] = true;
            todo[(first + n++) % g->n_nodes] = p.list[k];
        }
    }
    free(p.first), free(p.list), free(todo), free(waits);
}

/* ---- left recursion ------------------------------------------------------------------ */

struct visit {
    uint32_t node, next; /* the child to go to next */
};

/* Whether child i can be reached before any byte. */
static bool is_first(const struct mk_grammar *g, const struct mk_node *n, size_t i)
{
    if (i >= n_kids(n)) return false;
    return n->kind != MK_NODE_SEQ || i == 0 || g->nodes[kid(g, n, i - 1)].can_be_empty;
}

static bool fail_recursion(const struct mk_grammar *g, const struct visit *path, size_t n,
                           struct mk_err *err)
{
    while (n > 1 && g->nodes[path[n - 1].node].kind != MK_NODE_REF) n--;
    const struct mk_node *ref = &g->nodes[path[n - 1].node];
    return mk_fail(err, MK_EFORMAT, "%.200s leads back to itself with nothing in between",
                   ref->kind == MK_NODE_REF ? g->text.data + ref->ref.name : "the grammar");
}

/* Depth first along first children: a node met again on the way to it is a circle. */
enum { NEW, OPEN, DONE };
static bool search(const struct mk_grammar *g, uint32_t start, uint8_t *mark, struct visit *path,
                   struct mk_err *err)
{
    size_t n = 1;
    path[0] = (struct visit){.node = start};
    mark[start] = OPEN;
    while (n) {
        struct visit *v = &path[n - 1];
        const struct mk_node *node = &g->nodes[v->node];
        if (!is_first(g, node, v->next)) {
            mark[v->node] = DONE;
            n--;
            continue;
        }
        const uint32_t to = kid(g, node, v->next++);
        if (mark[to] == OPEN) return fail_recursion(g, path, n, err);
        if (mark[to] == NEW) mark[to] = OPEN, path[n++] = (struct visit){.node = to};
    }
    return true;
}

static bool refuse_left_recursion(const struct mk_grammar *g, struct mk_err *err)
{
    uint8_t *mark = mk_calloc(g->n_nodes, 1);
    struct visit *path = mk_calloc(g->n_nodes, sizeof *path);
    bool ok = true;
    for (size_t i = 0; ok && i < g->n_nodes; i++)
        if (mark[i] == NEW) ok = search(g, (uint32_t)i, mark, path, err);
    free(mark);
    free(path);
    return ok;
}

bool mk_grammar_check(struct mk_grammar *g, struct mk_err *err)
{
    find_facts(g);
    for (size_t i = 0; i < g->n_nodes; i++) { /* empty rounds fill up what is missing */
        struct mk_node *n = &g->nodes[i];
        if (n->kind == MK_NODE_REPEAT && g->nodes[n->repeat.kid].can_be_empty) n->repeat.min = 0;
    }
    if (!refuse_left_recursion(g, err)) return false;
    if (g->nodes[g->root].height == MK_NO_HEIGHT)
        return mk_fail(err, MK_EFORMAT, "no text fits (or none of less than %d open parts)",
                       MK_GRAMMAR_HEIGHT);
    return true;
}
