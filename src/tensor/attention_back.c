/* Backward of attention, without the matrix of probabilities: tiles of it are computed again
 * from the log-sum-exp of each query (Dao et al. 2022, section 3 and appendix B).  With o the
 * output, do its gradient and D = sum_j do[j] o[j] for each query:
 *
 *   p = e^(scale q.k - lse)       dp = do.v             ds = scale p (dp - D)
 *   dv += p do                    dk += ds q            dq += ds k
 *
 * Tiles are kept key by key, [key][query]: then every product is one of mul_t, and only
 * queries, their gradients and keys are turned, never a tile.  lse and D ride along as one more
 * dimension of q and do, whose partner in k and v is 1.
 *
 * A unit is one head of one sequence.  Rows that several query heads read get their gradients
 * in scratch first, one piece for each head, which a second pass adds up in order. */
#include "tensor/int_attention.h"
#include "tensor/tape.h"

#include <string.h>

enum {
    T = 64,    /* keys and queries of a tile */
    STRIP = 16 /* keys of the diagonal's tile that go together, with the queries from there on */
};

struct back_job {
    struct mk_work *wk;
    const struct mk_heads *h;
    float *scratch; /* per thread */
    size_t n_scratch, n_tiles;
    float *shared[MK_N_PARTS]; /* [n_tok][n_head][d] where heads share rows */
};

struct unit {
    const struct mk_heads *h;
    const struct mk_kernels *k;
    struct mk_panel *panel;
    const struct mk_sequence *seq;
    size_t head;
    const float *q, *dout; /* of this head, rows ld_q and ld_o apart */
    size_t ld_q, ld_o;
    /* For each tile of queries. */
    float *qt;  /* [d_k + 1][T]: scale q, then -lse */
    float *dot; /* [d_v + 1][T]: scale do, then -scale D */
    float *dqt; /* [d_k][T] */
    /* The tile of keys at hand. */
    float *key, *val;   /* [T][d_k + 1], [T][d_v + 1]: followed by 1 */
    float *keyt;        /* [d_k][T] */
    float *dkey, *dval; /* [T][d_k], [T][d_v] */
    float *p, *ds;      /* [keys][queries] */
    float *turned;      /* [T][d_k padded to 16] */
};

static size_t pad16(size_t n) { return (n + 15) / 16 * 16; }

/* Cuts a thread's scratch into pieces; with scratch NULL says how much it needs. */
static size_t unit_memory(struct unit *u, size_t n_tiles, float *scratch)
{
    const size_t d_k = u->h->d_k, d_v = u->h->d_v;
    const struct {
        float **at;
        size_t n;
    } pieces[] = {
        {&u->qt, n_tiles * (d_k + 1) * T},
        {&u->dot, n_tiles * (d_v + 1) * T},
        {&u->dqt, n_tiles * d_k * T},
        {&u->key, T * (d_k + 1)},
        {&u->val, T * (d_v + 1)},
        {&u->keyt, d_k * T},
        {&u->dkey, T * d_k},
        {&u->dval, T * d_v},
        {&u->p, T * T},
        {&u->ds, T * T},
        {&u->turned, T * pad16(d_k)},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        if (scratch) *pieces[i].at = scratch + n;
        n += pad16(pieces[i].n);
    }
    return n;
}

/* out[d][ld_out] = the transpose of n rows of d values. */
static void turn(const struct unit *u, float *out, size_t ld_out, const float *rows, size_t ld,
                 size_t n, size_t d)
{
    for (size_t i = 0; i < n; i += MK_PANEL_ROWS)
        for (size_t j = 0; j < d; j += MK_PANEL_K_F32) {
            const size_t n_j = d - j < MK_PANEL_K_F32 ? d - j : MK_PANEL_K_F32;
            const size_t n_i = n - i < MK_PANEL_ROWS ? n - i : MK_PANEL_ROWS;
            u->k->unpack[MK_F32](u->panel, (const uint8_t *)(rows + i * ld + j), ld * sizeof *rows,
                                 (unsigned)n_i, n_j);
            for (size_t c = 0; c < n_j; c++)
                if (n_i == MK_PANEL_ROWS)
                    memcpy(out + (j + c) * ld_out + i, u->panel->f[c], sizeof u->panel->f[c]);
                else
                    memcpy(out + (j + c) * ld_out + i, u->panel->f[c], n_i * sizeof *out);
        }
}

static void load_tile(const struct unit *u, size_t i, size_t n)
{
    const struct mk_heads *h = u->h;
    const size_t d_k = h->d_k, d_v = h->d_v, at = (u->seq->first + i) * h->n_head + u->head;
    const float *q = u->q + i * u->ld_q, *dout = u->dout + i * u->ld_o;
    float *qt = u->qt + i * (d_k + 1), *dot = u->dot + i * (d_v + 1);
    if (n % 16) { /* lanes that are no query must not hold slow numbers */
        memset(qt, 0, T * (d_k + 1) * sizeof *qt);
        memset(dot, 0, T * (d_v + 1) * sizeof *dot);
    }
    turn(u, qt, T, q, u->ld_q, n, d_k);
    turn(u, dot, T, dout, u->ld_o, n, d_v);
    u->k->scale(qt, h->scale, d_k * T);
    u->k->scale(dot, h->scale, d_v * T);
    for (size_t c = 0; c < n; c++) {
        const size_t row = at + c * h->n_head;
        qt[d_k * T + c] = -h->lse[row];
        dot[d_v * T + c] = -h->scale * u->k->dot(dout + c * u->ld_o, h->out + row * d_v, d_v);
    }
}

static void load_queries(const struct unit *u)
{
    const size_t n = u->seq->n;
    for (size_t i = 0; i < n; i += T) load_tile(u, i, n - i < T ? n - i : T);
    memset(u->dqt, 0, (n + T - 1) / T * u->h->d_k * T * sizeof *u->dqt);
}

static void load_keys(const struct unit *u, size_t t, size_t n)
{
    const struct mk_heads *h = u->h;
    const size_t d_k = h->d_k, d0 = h->part[MK_KEY].d, d1 = h->part[MK_ROPE].d;
    for (size_t i = 0; i < n; i++) {
        float *key = u->key + i * (d_k + 1), *val = u->val + i * (h->d_v + 1);
        memcpy(key, mk_heads_row(h, u->seq, u->head, MK_KEY, t + i), d0 * sizeof *key);
        if (d1)
            memcpy(key + d0, mk_heads_row(h, u->seq, u->head, MK_ROPE, t + i), d1 * sizeof *key);
        memcpy(val, mk_heads_row(h, u->seq, u->head, MK_VAL, t + i), h->d_v * sizeof *val);
        key[d_k] = val[h->d_v] = 1.0f;
    }
    turn(u, u->keyt, T, u->key, d_k + 1, n, d_k);
    memset(u->dkey, 0, n * d_k * sizeof *u->dkey);
    memset(u->dval, 0, n * h->d_v * sizeof *u->dval);
}

/* Keys [key, key + n_key) of the tile at hand with queries [from, from + n_q) of tile i.  Rows
 * of p and ds are whole vectors; their lanes past n_q go nowhere.  On the diagonal the first key
 * is that of the first query. */
static void pairs(const struct unit *u, size_t key, size_t n_key, size_t i, size_t from, size_t n_q,
                  bool is_diagonal)
{
    const struct mk_heads *h = u->h;
    const struct mk_kernels *k = u->k;
    const size_t d_k = h->d_k, d_v = h->d_v, row = i * T + from;
    const size_t ld = pad16(n_q), n = n_key * ld;
    memset(u->p, 0, n * sizeof *u->p);
    k->mul_t(u->p, ld, u->qt + i * (d_k + 1) * T + from, T, d_k + 1, ld, u->key + key * (d_k + 1),
             d_k + 1, n_key);
    k->exp_sum(u->p, n, 0.0f);
    for (size_t r = 1; is_diagonal && r < n_key; r++) memset(u->p + r * ld, 0, r * sizeof *u->p);
    memset(u->ds, 0, n * sizeof *u->ds);
    k->mul_t(u->ds, ld, u->dot + i * (d_v + 1) * T + from, T, d_v + 1, ld, u->val + key * (d_v + 1),
             d_v + 1, n_key);
    k->softmax_back(u->ds, u->p, u->ds, n, 0.0f);
    k->mul_t(u->dval + key * d_v, d_v, u->dout + row * u->ld_o, u->ld_o, n_q, d_v, u->p, ld, n_key);
    k->mul_t(u->dkey + key * d_k, d_k, u->q + row * u->ld_q, u->ld_q, n_q, d_k, u->ds, ld, n_key);
    k->mul_t(u->dqt + i * d_k * T + from, T, u->ds, ld, n_key, ld, u->keyt + key, T, d_k);
}

/* n rows to the gradient of a part from row t on, or to what a second pass adds up. */
static void give(const struct back_job *j, const struct unit *u, int part, const float *rows,
                 size_t ld, size_t t, size_t n)
{
    const struct mk_part *p = &u->h->part[part];
    float *grad = mk_grad(j->wk, u->seq->part[part]);
    if (!grad) return;
    for (size_t i = 0; i < n; i++, rows += ld)
        if (p->n_share == 1)
            u->k->axpy(grad + (t + i) * p->ld + u->head * p->step, 1.0f, rows, p->d);
        else
            memcpy(j->shared[part] + ((u->seq->first + t + i) * u->h->n_head + u->head) * p->d,
                   rows, p->d * sizeof *rows);
}

/* dq, and zeros in do. */
static void finish_queries(const struct back_job *j, const struct unit *u)
{
    const struct mk_heads *h = u->h;
    const size_t n = u->seq->n, at = u->seq->first * h->n_head + u->head, ld = pad16(h->d_k);
    float *dq = mk_grad(j->wk, h->q), *dout = mk_grad(j->wk, h->out) + at * h->d_v;
    for (size_t i = 0; dq && i < n; i += T) {
        const size_t n_q = n - i < T ? n - i : T;
        turn(u, u->turned, ld, u->dqt + i * h->d_k, T, h->d_k, n_q);
        for (size_t c = 0; c < n_q; c++)
            u->k->axpy(dq + (at + (i + c) * h->n_head) * h->d_k, 1.0f, u->turned + c * ld, h->d_k);
    }
    for (size_t i = 0; i < n; i++) memset(dout + i * h->n_head * h->d_v, 0, h->d_v * sizeof *dout);
}

static void head_back(const struct back_job *j, const struct unit *u)
{
    const struct mk_heads *h = u->h;
    const size_t n = u->seq->n, n_tiles = (n + T - 1) / T, d0 = h->part[MK_KEY].d;
    load_queries(u);
    for (size_t t = 0; t < n_tiles; t++) {
        const size_t n_key = n - t * T < T ? n - t * T : T;
        load_keys(u, t * T, n_key);
        for (size_t s = 0; s < n_key; s += STRIP)
            pairs(u, s, n_key - s < STRIP ? n_key - s : STRIP, t, s, n_key - s, true);
        for (size_t i = t + 1; i < n_tiles; i++)
            pairs(u, 0, n_key, i, 0, n - i * T < T ? n - i * T : T, false);
        give(j, u, MK_KEY, u->dkey, h->d_k, t * T, n_key);
        if (h->part[MK_ROPE].d) give(j, u, MK_ROPE, u->dkey + d0, h->d_k, t * T, n_key);
        give(j, u, MK_VAL, u->dval, h->d_v, t * T, n_key);
    }
    finish_queries(j, u);
}

static void heads_back(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct back_job *j = arg;
    const struct mk_heads *h = j->h;
    for (size_t i = first; i < last; i++) {
        struct unit u = {.h = h, .k = &j->wk->k, .panel = j->wk->panels[thread]};
        u.seq = &h->seq[i / h->n_head];
        u.head = i % h->n_head;
        u.ld_q = h->n_head * h->d_k, u.ld_o = h->n_head * h->d_v;
        u.q = h->q + u.seq->first * u.ld_q + u.head * h->d_k;
        u.dout = mk_grad(j->wk, h->out) + u.seq->first * u.ld_o + u.head * h->d_v;
        unit_memory(&u, j->n_tiles, j->scratch + thread * j->n_scratch);
        head_back(j, &u);
    }
}

/* Units are sequences: gradients of rows that heads share, head by head. */
static void add_shared(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct back_job *j = arg;
    const struct mk_heads *h = j->h;
    for (size_t s = first; s < last; s++)
        for (int part = 0; part < MK_N_PARTS; part++) {
            const struct mk_sequence *seq = &h->seq[s];
            const struct mk_part *p = &h->part[part];
            float *grad = mk_grad(j->wk, seq->part[part]);
            if (!grad || p->n_share == 1) continue;
            const float *from = j->shared[part] + seq->first * h->n_head * p->d;
            for (size_t i = 0; i < seq->n; i++)
                for (size_t head = 0; head < h->n_head; head++, from += p->d)
                    j->wk->k.axpy(grad + i * p->ld + head / p->n_share * p->step, 1.0f, from, p->d);
        }
}

static void attention_back(struct mk_work *wk, void *saved)
{
    const struct mk_heads *h = saved;
    struct back_job j = {.wk = wk, .h = h};
    size_t n_tok = 0, n_max = 0;
    for (size_t s = 0; s < h->n_seq; s++) {
        const size_t end = h->seq[s].first + h->seq[s].n;
        n_tok = end > n_tok ? end : n_tok;
        n_max = h->seq[s].n > n_max ? h->seq[s].n : n_max;
    }
    j.n_tiles = (n_max + T - 1) / T;
    j.n_scratch = unit_memory(&(struct unit){.h = h}, j.n_tiles, NULL);
    j.scratch = mk_floats(wk, mk_pool_size(wk->pool) * j.n_scratch);
    bool has_shared = false;
    for (int i = 0; i < MK_N_PARTS; i++)
        if (h->part[i].d && h->part[i].n_share > 1) {
            j.shared[i] = mk_floats(wk, n_tok * h->n_head * h->part[i].d);
            has_shared = true;
        }
    const size_t n_mac = n_tok / h->n_seq * n_max * (3 * h->d_k + 2 * h->d_v) / 2;
    mk_pool_run(wk->pool, h->n_seq * h->n_head, mk_grain(wk, n_mac), heads_back, &j);
    if (has_shared)
        mk_pool_run(wk->pool, h->n_seq, mk_grain(wk, n_max * h->n_head * h->d_k), add_shared, &j);
}

void mk_heads_record(struct mk_work *wk, const struct mk_heads *h)
{
    if (!mk_grad(wk, h->out)) return;
    struct mk_heads *s = mk_tape_push(wk, attention_back, sizeof *s);
    *s = *h;
}
