/* Cells, states and the steps between them; int_automaton.h has the idea. */
#include "engine/int_automaton.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_CELLS = 8192,        /* of a state; an enum of 4,000 texts needs as many */
    MAX_VISITS = 1 << 14,    /* of a step */
    MAX_ALL_CELLS = 1 << 20, /* with all their parents: 24 MB */
    FULL_CELLS = MAX_ALL_CELLS / 4,
    FULL_STATES = 1 << 14, /* 1 KB each that has steps */
    FULL_MASKS = 512,
};

static uint32_t hash(const uint32_t *v, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = (h ^ v[i]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
    return (uint32_t)(h >> 16);
}

static void *grown(void *p, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return p;
    while (*cap < need) *cap = *cap ? 2 * *cap : 256;
    return mk_realloc(p, *cap * size);
}

/* ---- cells --------------------------------------------------------------------------- */

static uint32_t cell_hash(const struct mk_cell *c)
{
    const uint32_t key[] = {c->node, c->parent, c->at, c->left};
    return hash(key, 4);
}

static void put_slot(uint32_t *slots, size_t n_slots, uint32_t h, size_t index)
{
    size_t i = h & (n_slots - 1);
    while (slots[i]) i = (i + 1) & (n_slots - 1);
    slots[i] = (uint32_t)index + 1;
}

static void grow_cell_slots(struct mk_automaton *a)
{
    a->n_cell_slots = a->n_cell_slots ? 2 * a->n_cell_slots : 1024;
    free(a->cell_slots);
    a->cell_slots = mk_calloc(a->n_cell_slots, sizeof *a->cell_slots);
    for (size_t i = 0; i < a->n_cells; i++)
        put_slot(a->cell_slots, a->n_cell_slots, cell_hash(&a->cells[i]), i);
}

static uint32_t own_cost(const struct mk_grammar *g, const struct mk_cell *c)
{
    const struct mk_node *n = &g->nodes[c->node];
    uint32_t cost = 0;
    switch (n->kind) {
    case MK_NODE_TEXT:
        return n->list.n - c->at;
    case MK_NODE_SEQ:
        for (size_t i = c->at; i < n->list.n; i++)
            cost = mk_cost_add(cost, g->nodes[g->kids[n->list.at + i]].cost, 1);
        return cost;
    case MK_NODE_REPEAT:
        return mk_cost_add(0, g->nodes[n->repeat.kid].cost, c->at);
    default:
        return n->cost;
    }
}

/* The cell for these values; 0, which no caller means, when there is no room for another. */
static uint32_t cell(struct mk_automaton *a, const struct mk_cell *c)
{
    const uint32_t h = cell_hash(c);
    for (size_t i = h & (a->n_cell_slots - 1); a->cell_slots[i];
         i = (i + 1) & (a->n_cell_slots - 1)) {
        const struct mk_cell *o = &a->cells[a->cell_slots[i] - 1];
        if (o->node == c->node && o->parent == c->parent && o->at == c->at && o->left == c->left)
            return a->cell_slots[i] - 1;
    }
    if (a->n_cells == MAX_ALL_CELLS) return 0;
    a->cells = grown(a->cells, &a->cap_cells, a->n_cells + 1, sizeof *a->cells);
    a->cells[a->n_cells] = *c;
    a->cells[a->n_cells].depth = a->cells[c->parent].depth + 1;
    a->cells[a->n_cells].cost = mk_cost_add(a->cells[c->parent].cost, own_cost(a->g, c), 1);
    a->cells[a->n_cells].stamp = 0;
    if (2 * ++a->n_cells > a->n_cell_slots)
        grow_cell_slots(a);
    else
        put_slot(a->cell_slots, a->n_cell_slots, h, a->n_cells - 1);
    return (uint32_t)a->n_cells - 1;
}

/* ---- a step -------------------------------------------------------------------------- */

static void visit(struct mk_automaton *a, uint32_t c)
{
    if (a->cells[c].stamp == a->stamp || a->n_visits == MAX_VISITS) return;
    a->cells[c].stamp = a->stamp;
    a->n_visits++;
    a->todo[a->n_todo++] = c;
}

/* Goes on with a cell made of the values given, if there was room for it. */
static void visit_new(struct mk_automaton *a, const struct mk_cell *c)
{
    const uint32_t i = cell(a, c);
    if (i) visit(a, i);
}

/* To match the node, then go on with the parent. */
static void enter(struct mk_automaton *a, uint32_t node, uint32_t parent)
{
    const struct mk_node *n = &a->g->nodes[node];
    struct mk_cell c = {.node = node, .parent = parent};
    if (n->kind == MK_NODE_EMPTY) {
        visit(a, parent);
        return;
    }
    if (n->kind == MK_NODE_REPEAT) c.at = n->repeat.min, c.left = n->repeat.max;
    visit_new(a, &c);
}

/* The same where it is one of several ways: only if it can be completed within the height. */
static void attempt(struct mk_automaton *a, uint32_t node, uint32_t parent)
{
    if (a->cells[parent].depth + a->g->nodes[node].height <= MK_GRAMMAR_HEIGHT)
        enter(a, node, parent);
}

static void expand_seq(struct mk_automaton *a, const struct mk_cell *c)
{
    const struct mk_node *n = &a->g->nodes[c->node];
    const uint32_t node = a->g->kids[n->list.at + c->at];
    uint32_t after = c->parent;
    if (c->at + 1 < n->list.n) {
        after = cell(a, &(struct mk_cell){.node = c->node, .parent = c->parent, .at = c->at + 1});
        if (!after) return;
    }
    enter(a, node, after);
}

static void expand_repeat(struct mk_automaton *a, const struct mk_cell *c)
{
    const uint32_t kid = a->g->nodes[c->node].repeat.kid;
    if (c->at == 0) visit(a, c->parent);
    if (c->left == 0) return;
    struct mk_cell next = {.node = c->node, .parent = c->parent, .left = c->left};
    if (c->at) next.at = c->at - 1;
    if (c->left != MK_NO_LIMIT) next.left--;
    uint32_t after = c->parent;
    if (next.left) {
        after = cell(a, &next);
        if (!after) return;
    }
    if (c->at)
        enter(a, kid, after);
    else
        attempt(a, kid, after);
}

static void expand(struct mk_automaton *a, uint32_t index)
{
    if (index == 0) {
        a->found[a->n_found++] = 0;
        return;
    }
    const struct mk_cell c = a->cells[index];
    const struct mk_node *n = &a->g->nodes[c.node];
    switch (n->kind) {
    case MK_NODE_SEQ:
        expand_seq(a, &c);
        break;
    case MK_NODE_CHOICE:
        for (size_t i = 0; i < n->list.n; i++) attempt(a, a->g->kids[n->list.at + i], c.parent);
        break;
    case MK_NODE_REPEAT:
        expand_repeat(a, &c);
        break;
    case MK_NODE_REF:
        enter(a, n->ref.to, c.parent);
        break;
    default:
        if (a->n_found < MAX_CELLS) a->found[a->n_found++] = index;
        break;
    }
}

static void begin(struct mk_automaton *a)
{
    a->stamp++;
    a->n_todo = a->n_found = a->n_visits = 0;
}

static int compare(const void *x, const void *y)
{
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

/* The state of the cells found: an old one, if there is one. */
static uint32_t found_state(struct mk_automaton *a)
{
    const size_t size = a->n_found * sizeof *a->found;
    qsort(a->found, a->n_found, sizeof *a->found, compare);
    const uint32_t h = hash(a->found, a->n_found);
    for (size_t i = h & (a->n_state_slots - 1); a->state_slots[i];
         i = (i + 1) & (a->n_state_slots - 1)) {
        const struct mk_state *s = &a->states[a->state_slots[i] - 1];
        if (s->n == a->n_found && (!size || !memcmp(a->members + s->first, a->found, size)))
            return a->state_slots[i] - 1;
    }
    a->members = grown(a->members, &a->cap_members, a->n_members + a->n_found, sizeof *a->members);
    a->states = grown(a->states, &a->cap_states, a->n_states + 1, sizeof *a->states);
    a->states[a->n_states++] =
        (struct mk_state){.first = (uint32_t)a->n_members, .n = (uint32_t)a->n_found};
    if (size) memcpy(a->members + a->n_members, a->found, size);
    a->n_members += a->n_found;
    if (2 * a->n_states <= a->n_state_slots) {
        put_slot(a->state_slots, a->n_state_slots, h, a->n_states - 1);
        return (uint32_t)a->n_states - 1;
    }
    free(a->state_slots);
    a->n_state_slots = a->n_state_slots ? 2 * a->n_state_slots : 1024;
    a->state_slots = mk_calloc(a->n_state_slots, sizeof *a->state_slots);
    for (size_t i = 0; i < a->n_states; i++)
        put_slot(a->state_slots, a->n_state_slots,
                 hash(a->members + a->states[i].first, a->states[i].n), i);
    return (uint32_t)a->n_states - 1;
}

static uint32_t finish(struct mk_automaton *a)
{
    while (a->n_todo) expand(a, a->todo[--a->n_todo]);
    a->n_work += a->n_visits;
    return found_state(a);
}

uint32_t mk_automaton_start(struct mk_automaton *a)
{
    begin(a);
    enter(a, a->g->root, 0);
    return finish(a);
}

/* One cell over the byte. */
static void over_byte(struct mk_automaton *a, uint32_t index, unsigned byte)
{
    if (index == 0) return;
    const struct mk_cell c = a->cells[index];
    const struct mk_node *n = &a->g->nodes[c.node];
    if (n->kind == MK_NODE_BYTES && mk_set_has(n->set, byte)) visit(a, c.parent);
    if (n->kind != MK_NODE_TEXT || (unsigned char)a->g->text.data[n->list.at + c.at] != byte)
        return;
    if (c.at + 1 == n->list.n)
        visit(a, c.parent);
    else
        visit_new(a, &(struct mk_cell){.node = c.node, .parent = c.parent, .at = c.at + 1});
}

static void over_token(struct mk_automaton *a, uint32_t index, int32_t id, bool is_named)
{
    if (index == 0) return;
    const struct mk_node *n = &a->g->nodes[a->cells[index].node];
    if (n->kind == MK_NODE_TOKEN ? n->token == id
                                 : n->kind == MK_NODE_TOKENS && n->token != id && !is_named)
        visit(a, a->cells[index].parent);
}

uint32_t mk_automaton_byte(struct mk_automaton *a, uint32_t state, unsigned byte)
{
    uint32_t *next = a->states[state].next;
    if (next && next[byte] != MK_STEP_UNKNOWN) return next[byte];
    if (!next) {
        next = a->states[state].next = mk_alloc(256 * sizeof *next);
        memset(next, 0xff, 256 * sizeof *next);
    }
    const size_t first = a->states[state].first, n = a->states[state].n;
    begin(a);
    for (size_t i = 0; i < n; i++) over_byte(a, a->members[first + i], byte);
    return next[byte] = finish(a);
}

uint32_t mk_automaton_token(struct mk_automaton *a, uint32_t state, int32_t id, bool is_named)
{
    const size_t first = a->states[state].first, n = a->states[state].n;
    begin(a);
    for (size_t i = 0; i < n; i++) over_token(a, a->members[first + i], id, is_named);
    return finish(a);
}

/* ---- states -------------------------------------------------------------------------- */

bool mk_automaton_is_whole(const struct mk_automaton *a, uint32_t state)
{
    const struct mk_state *s = &a->states[state];
    return s->n && a->members[s->first] == 0;
}

bool mk_automaton_is_over(const struct mk_automaton *a, uint32_t state)
{
    return a->states[state].n == 1 && mk_automaton_is_whole(a, state);
}

uint32_t mk_automaton_cost(const struct mk_automaton *a, uint32_t state)
{
    const struct mk_state *s = &a->states[state];
    uint32_t least = MK_NO_LIMIT;
    for (size_t i = 0; i < s->n; i++) {
        const uint32_t cost = a->cells[a->members[s->first + i]].cost;
        if (cost < least) least = cost;
    }
    return least;
}

/* A cell of `from` again in a, with counts of at most max.  0: no room. */
static uint32_t copy_cell(struct mk_automaton *a, const struct mk_cell *from, uint32_t index,
                          uint32_t max)
{
    struct mk_cell chain[MK_GRAMMAR_HEIGHT + 1]; /* copies: from may be a's, which grow */
    size_t n = 0;
    for (; index; index = from[index].parent) chain[n++] = from[index];
    uint32_t parent = 0;
    while (n) {
        struct mk_cell c = chain[--n];
        c.parent = parent;
        if (a->g->nodes[c.node].kind == MK_NODE_REPEAT) {
            if (c.at > max) c.at = max;
            if (c.left > max && c.left != MK_NO_LIMIT) c.left = max;
        }
        parent = cell(a, &c);
        if (!parent) break;
    }
    return parent;
}

uint32_t mk_automaton_like(struct mk_automaton *a, uint32_t state, uint32_t n)
{
    if (a->states[state].like) return a->states[state].like;
    const size_t first = a->states[state].first, n_members = a->states[state].n;
    begin(a);
    for (size_t i = 0; i < n_members; i++) {
        const uint32_t c = a->members[first + i];
        const uint32_t same = c ? copy_cell(a, a->cells, c, n + 1) : 0;
        if ((same || !c) && a->cells[same].stamp != a->stamp) a->found[a->n_found++] = same;
        a->cells[same].stamp = a->stamp;
    }
    const uint32_t like = found_state(a);
    return a->states[state].like = like;
}

bool mk_automaton_is_full(const struct mk_automaton *a, size_t halves)
{
    return 2 * a->n_cells > halves * FULL_CELLS || 2 * a->n_states > halves * FULL_STATES ||
           2 * a->n_masks > halves * FULL_MASKS;
}

/* Cell 0 and state 0, nothing else. */
static void clear(struct mk_automaton *a)
{
    for (size_t i = 0; i < a->n_states; i++) free(a->states[i].next), free(a->states[i].mask);
    a->n_cells = a->n_states = a->n_members = a->n_masks = 0;
    free(a->cell_slots), free(a->state_slots);
    a->cell_slots = a->state_slots = NULL;
    a->n_cell_slots = a->n_state_slots = 0;
    a->cells = grown(a->cells, &a->cap_cells, 1, sizeof *a->cells);
    a->cells[0] = (struct mk_cell){.node = UINT32_MAX};
    a->n_cells = 1;
    grow_cell_slots(a);
    a->n_state_slots = 1024;
    a->state_slots = mk_calloc(a->n_state_slots, sizeof *a->state_slots);
    begin(a);
    found_state(a);
}

uint32_t mk_automaton_forget(struct mk_automaton *a, uint32_t state)
{
    struct mk_cell *old = a->cells;
    const size_t n = a->states[state].n;
    uint32_t *keep = mk_calloc(n, sizeof *keep);
    if (n) memcpy(keep, a->members + a->states[state].first, n * sizeof *keep);
    a->cells = NULL;
    a->cap_cells = 0;
    clear(a);
    for (size_t i = 0; i < n && a->n_cells <= FULL_CELLS / 4; i++)
        a->found[a->n_found++] = keep[i] ? copy_cell(a, old, keep[i], MK_NO_LIMIT) : 0;
    free(keep);
    free(old);
    return found_state(a);
}

void mk_automaton_init(struct mk_automaton *a, const struct mk_grammar *g)
{
    *a = (struct mk_automaton){.g = g};
    a->todo = mk_calloc(MAX_VISITS, sizeof *a->todo);
    a->found = mk_calloc(MAX_CELLS + 1, sizeof *a->found);
    clear(a);
}

void mk_automaton_release(struct mk_automaton *a)
{
    for (size_t i = 0; i < a->n_states; i++) free(a->states[i].next), free(a->states[i].mask);
    free(a->cells), free(a->states), free(a->members);
    free(a->cell_slots), free(a->state_slots);
    free(a->todo), free(a->found);
    *a = (struct mk_automaton){0};
}
