/* minke bench: tokens per second for reading a prompt and for generating, and how far from
 * this machine's ceilings that is.  A generated token reads every active weight and the keys
 * and values of all positions once and does one multiply-add for each active weight; a
 * prompt's tokens share the reading.  Multiply-adds of attention are not counted. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "formats/tensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 1, N_BATCH = 512, N_WARM = 4, N_WARM_EXPERTS = 64, MAX_ROWS = 16, ROW_SIZES = 5 };

struct bench {
    struct mk_model_opts model;
    size_t n_prompt, n_gen, n_repeat, depth, n_rows;
    bool json;
    struct mk_engine *engine;
    struct mk_session *session;
    struct mk_info info;
    struct mk_rng rng;
    int32_t *ids; /* [depth + n_prompt + n_gen] at random */
};

/* What most products are made of. */
enum unit { INT8, BF16, F32, N_UNITS };
static const char *const unit_names[N_UNITS] = {"int8", "bf16", "f32"};

struct series {
    double median, min, max;
};
struct phase {
    struct series tps;
    double bytes, mac;            /* of one token */
    double bandwidth, arithmetic; /* shares of the ceilings */
};
struct result {
    double load_s, first_s; /* first: from opening the model to the first prompt's logits */
    struct mk_ceiling before, after;
    double read_bytes, peak_mac; /* the ceilings that count */
    enum unit unit;
    struct phase prompt, gen;
    struct series row_s[ROW_SIZES]; /* seconds of steps of 1, 2, 4, ... rows */
};

/* ---- running --------------------------------------------------------------------------- */

static double evaluate(const struct bench *b, const int32_t *ids, size_t n)
{
    struct mk_err err;
    const double start = mk_now_s();
    if (!mk_session_append(b->session, ids, n, &err)) mk_cli_die(&err);
    while (mk_session_pending(b->session))
        if (!mk_engine_step(b->engine, &b->session, 1, 0, &err)) mk_cli_die(&err);
    return mk_now_s() - start;
}

static double read_prompt(const struct bench *b)
{
    mk_session_truncate(b->session, b->depth);
    return evaluate(b, b->ids + b->depth, b->n_prompt);
}

static double generate(const struct bench *b, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += evaluate(b, b->ids + b->depth + b->n_prompt + i, 1);
    return s;
}

/* A step that evaluates one token and guesses what follows, as speculation does. */
static double verify(const struct bench *b, size_t n_rows)
{
    struct mk_err err;
    const size_t at = b->depth + b->n_prompt;
    mk_session_truncate(b->session, at);
    if (!mk_session_append(b->session, b->ids + at, 1, &err)) mk_cli_die(&err);
    mk_session_guess(b->session, b->ids + at + 1, n_rows - 1);
    const double start = mk_now_s();
    if (!mk_engine_step(b->engine, &b->session, 1, 0, &err)) mk_cli_die(&err);
    return mk_now_s() - start;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct series series_of(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return (struct series){(v[(n - 1) / 2] + v[n / 2]) / 2, v[0], v[n - 1]};
}

/* All sizes by turns, so that a slow while is everybody's. */
static void measure_rows(const struct bench *b, struct result *r)
{
    double *v[ROW_SIZES];
    const size_t n = b->n_repeat * b->n_gen;
    for (size_t i = 0; i < ROW_SIZES; i++) v[i] = mk_calloc(n, sizeof *v[i]);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; (size_t)1 << i <= b->n_rows; i++) v[i][k] = verify(b, (size_t)1 << i);
    for (size_t i = 0; i < ROW_SIZES; i++) {
        r->row_s[i] = series_of(v[i], n);
        free(v[i]);
    }
}

/* The first pass over mapped weights brings their pages in.  Few tokens pass over few experts: 64
 * over nearly all, unless a prompt has done so. */
static size_t n_warm(const struct bench *b)
{
    struct mk_streaming unused;
    if (b->info.n_routed && !mk_engine_streaming(b->engine, &unused) &&
        b->depth + b->n_prompt < N_WARM_EXPERTS)
        return N_WARM_EXPERTS;
    return b->n_gen < N_WARM ? b->n_gen : N_WARM;
}

static void run(struct bench *b, struct result *r)
{
    struct mk_err err;
    const size_t warm = n_warm(b), n_more = b->n_gen > b->n_rows ? b->n_gen : b->n_rows;
    const size_t n = b->depth + b->n_prompt + (n_more > warm ? n_more : warm);
    if (!mk_session_new(&b->session, b->engine, n + 1, &err)) mk_cli_die(&err);
    b->ids = mk_calloc(n, sizeof *b->ids);
    for (size_t i = 0; i < n; i++) b->ids[i] = (int32_t)(mk_rng_u64(&b->rng) % b->info.n_vocab);
    double *prompt = mk_calloc(b->n_repeat, sizeof *prompt);
    double *gen = mk_calloc(b->n_repeat, sizeof *gen);
    if (b->depth) evaluate(b, b->ids, b->depth);
    r->first_s = r->load_s + read_prompt(b);
    if (warm) evaluate(b, b->ids + b->depth + b->n_prompt, warm);
    for (size_t i = 0; i < b->n_repeat; i++) {
        prompt[i] = (double)b->n_prompt / read_prompt(b);
        gen[i] = (double)b->n_gen / generate(b, b->n_gen);
    }
    if (b->n_rows) measure_rows(b, r);
    r->prompt.tps = series_of(prompt, b->n_repeat);
    r->gen.tps = series_of(gen, b->n_repeat);
    free(prompt);
    free(gen);
    free(b->ids);
    mk_session_free(b->session);
}

/* ---- ceilings -------------------------------------------------------------------------- */

static struct mk_ceiling measure(const struct bench *b)
{
    struct mk_kernels k;
    unsigned cpu = mk_cpu_detect();
    if (b->model.cpu && !mk_cpu_limit(&cpu, b->model.cpu))
        mk_cli_usage("bench", "no level \"%s\" here", b->model.cpu);
    mk_kernels_select(&k, cpu);
    struct mk_pool *pool = mk_pool_new(b->info.n_threads);
    const struct mk_ceiling c = mk_measure(pool, &k);
    mk_pool_free(pool);
    return c;
}

static enum unit unit_of(const struct bench *b, enum mk_type type)
{
    const bool rounds = !b->model.inputs || !strcmp(b->model.inputs, "bf16");
    if (mk_quants[type].codes) return INT8;
    return rounds && (type == MK_BF16 || type == MK_F8_E4M3) ? BF16 : F32;
}

/* The bytes that one pass over the whole model reads, and what most of them are multiplied by. */
static size_t weight_bytes(const struct bench *b, enum unit *unit)
{
    struct mk_err err;
    struct mk_tensors t;
    if (!mk_tensors_open(&t, b->info.path, &err)) mk_cli_die(&err);
    size_t n[N_UNITS] = {0}, all = 0;
    for (size_t i = 0; i < t.n; i++) {
        n[unit_of(b, t.list[i].type)] += t.list[i].n_bytes;
        all += t.list[i].n_bytes;
    }
    const struct mk_tensor *embed = mk_tensors_find(&t, "token_embd.weight");
    if (!embed) embed = mk_tensors_find(&t, "model.embed_tokens.weight");
    const bool has_head =
        mk_tensors_find(&t, "output.weight") || mk_tensors_find(&t, "lm_head.weight");
    const size_t unread = embed && has_head ? embed->n_bytes : 0; /* a few rows are */
    *unit = INT8;
    for (int i = 0; i < N_UNITS; i++)
        if (n[i] > n[*unit]) *unit = (enum unit)i;
    mk_tensors_close(&t);
    return all - unread;
}

static void set_shares(struct phase *p, const struct result *r)
{
    p->bandwidth = p->tps.median * p->bytes / r->read_bytes;
    p->arithmetic = p->tps.median * p->mac / r->peak_mac;
}

static double peak_of(const struct mk_ceiling *c, enum unit unit)
{
    return unit == INT8 ? c->i8_mac : unit == BF16 ? c->bf16_mac : c->f32_mac;
}

static void compare(const struct bench *b, struct result *r)
{
    const struct mk_info *i = &b->info;
    const size_t n_batch = b->model.n_batch ? b->model.n_batch : N_BATCH;
    const size_t n_steps = (b->n_prompt + n_batch - 1) / n_batch;
    const double kv = (double)i->kv_bytes_per_token;
    const size_t n_head = i->n_vocab * i->d_model; /* a prompt needs its scores once */
    r->read_bytes = (r->before.read_bytes + r->after.read_bytes) / 2;
    r->prompt.bytes = (double)(weight_bytes(b, &r->unit) * n_steps) / (double)b->n_prompt;
    r->prompt.mac = (double)i->n_params_active - (double)n_head * (1 - 1 / (double)b->n_prompt);
    r->gen.bytes =
        (double)i->n_bytes_active + kv * ((double)(b->depth + b->n_prompt) + (double)b->n_gen / 2);
    r->gen.mac = (double)i->n_params_active;
    r->peak_mac = (peak_of(&r->before, r->unit) + peak_of(&r->after, r->unit)) / 2;
    set_shares(&r->prompt, r);
    set_shares(&r->gen, r);
}

static const char *bound(const struct phase *p)
{
    const double most = p->bandwidth > p->arithmetic ? p->bandwidth : p->arithmetic;
    if (most < 0.3) return "neither: attention, threads or small matrices";
    return p->bandwidth > p->arithmetic ? "memory" : "arithmetic";
}

/* ---- output ------------------------------------------------------------------------------ */

static void set_real(json_t *o, const char *phase, const char *key, double v)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", phase, key);
    json_object_set_new(o, name, json_real(v));
}

static void set_phase(json_t *o, const char *phase, const struct phase *p)
{
    char name[64];
    set_real(o, phase, "_tps", p->tps.median);
    set_real(o, phase, "_tps_min", p->tps.min);
    set_real(o, phase, "_tps_max", p->tps.max);
    set_real(o, phase, "_bandwidth_share", p->bandwidth);
    set_real(o, phase, "_arithmetic_share", p->arithmetic);
    snprintf(name, sizeof name, "%s_bound", phase);
    json_object_set_new(o, name, json_string(bound(p)));
}

static void print_json(const struct bench *b, const struct result *r)
{
    json_t *o = json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "model", b->info.path,
                          "cpu", b->info.cpu, "threads", (int)b->info.n_threads, "prompt_tokens",
                          (json_int_t)b->n_prompt, "gen_tokens", (json_int_t)b->n_gen, "depth",
                          (json_int_t)b->depth, "repeats", (json_int_t)b->n_repeat, "n_params",
                          (json_int_t)b->info.n_params, "n_bytes", (json_int_t)b->info.n_bytes);
    set_phase(o, "prompt", &r->prompt);
    set_phase(o, "gen", &r->gen);
    for (size_t i = 0; (size_t)1 << i <= b->n_rows; i++) {
        char name[32];
        snprintf(name, sizeof name, "rows_%zu_ms", (size_t)1 << i);
        set_real(o, "", name, 1e3 * r->row_s[i].median);
    }
    set_real(o, "", "bytes_per_token", r->gen.bytes);
    set_real(o, "", "load_s", r->load_s);
    set_real(o, "", "first_token_s", r->first_s);
    set_real(o, "", "read_gb_s", r->read_bytes / 1e9);
    set_real(o, "", "read_gb_s_before", r->before.read_bytes / 1e9);
    set_real(o, "", "read_gb_s_after", r->after.read_bytes / 1e9);
    set_real(o, "", "peak_gmac_s", r->peak_mac / 1e9);
    json_object_set_new(o, "arithmetic", json_string(unit_names[r->unit]));
    json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

static void print_phase(const char *name, size_t n, const struct phase *p)
{
    printf("%-10s %6zu %10.2f %10.2f .. %-10.2f %9.1f %% %9.1f %%  %s\n", name, n, p->tps.median,
           p->tps.min, p->tps.max, 100 * p->bandwidth, 100 * p->arithmetic, bound(p));
}

static void print_text(const struct bench *b, const struct result *r)
{
    printf("model      %s\n           %s, %.2f GB\n", b->info.path, b->info.kind,
           (double)b->info.n_bytes / 1e9);
    printf("machine    %s, %u threads: reads %.1f GB/s (%.1f before, %.1f after), %.0f %s GMAC/s\n",
           b->info.cpu, b->info.n_threads, r->read_bytes / 1e9, r->before.read_bytes / 1e9,
           r->after.read_bytes / 1e9, r->peak_mac / 1e9, unit_names[r->unit]);
    printf("per token  reads %.3f GB, multiplies %.3f G\n", r->gen.bytes / 1e9, r->gen.mac / 1e9);
    printf("first      %.2f s to the first token of a prompt of %zu (%.2f s to load)\n\n",
           r->first_s, b->n_prompt, r->load_s);
    printf("%-10s %6s %10s %10s .. %-10s %11s %11s  %s\n", "phase", "tokens", "tokens/s", "min",
           "max", "bandwidth", "arithmetic", "bound by");
    print_phase("prompt", b->n_prompt, &r->prompt);
    print_phase("generation", b->n_gen, &r->gen);
    if (b->depth) printf("\nafter %zu tokens\n", b->depth);
    if (b->n_rows)
        printf("\n%-10s %10s %10s  speculation pays from so many guesses right\n", "rows", "ms",
               "of one");
    for (size_t i = 0; (size_t)1 << i <= b->n_rows; i++) {
        const double times = r->row_s[i].median / r->row_s[0].median;
        printf("%-10zu %10.3f %10.2f", (size_t)1 << i, 1e3 * r->row_s[i].median, times);
        if (i) printf("  %.2f of %zu", times - 1, ((size_t)1 << i) - 1);
        putchar('\n');
    }
}

int mk_cmd_bench(int argc, char **argv)
{
    static struct bench b = {.n_prompt = 512, .n_gen = 64, .n_repeat = 3, .rng = {SEED}};
    static const struct mk_opt opts[] = {
        MK_OPTS_MODEL(b.model),
        MK_OPT_RAM(b.model),
        {"prompt", 'p', MK_OPT_SIZE, &b.n_prompt, "N", "tokens of the prompt (512)", 1, 1 << 24,
         NULL, NULL},
        {"gen", 'n', MK_OPT_SIZE, &b.n_gen, "N", "tokens to generate (64)", 1, 1 << 24, NULL, NULL},
        {"repeat", 'r', MK_OPT_SIZE, &b.n_repeat, "N", "runs after the first (3)", 1, 1000, NULL,
         NULL},
        {"depth", 'd', MK_OPT_SIZE, &b.depth, "N", "tokens before the prompt (0)", 0, 1 << 24, NULL,
         NULL},
        {"rows", 0, MK_OPT_SIZE, &b.n_rows, "N",
         "also steps of 1, 2, 4, ... N rows, which speculation takes (0)", 0, MAX_ROWS, NULL, NULL},
        {"json", 0, MK_OPT_FLAG, &b.json, NULL, "one JSON object", 0, 0, NULL, NULL},
        {0},
    };
    struct mk_strs rest = {0};
    mk_opts_parse("bench", opts, argc, argv, &rest, 0);
    struct result r = {0};
    const double start = mk_now_s();
    b.engine = mk_cli_open(&b.model, NULL);
    r.load_s = mk_now_s() - start;
    b.info = mk_engine_info(b.engine);
    r.before = measure(&b);
    run(&b, &r);
    struct mk_streaming streaming; /* then the memory is full, and the budget counts */
    r.after = mk_engine_streaming(b.engine, &streaming) ? r.before : measure(&b);
    compare(&b, &r);
    (b.json ? print_json : print_text)(&b, &r);
    mk_cli_flush();
    mk_cli_say_experts(b.engine);
    mk_engine_close(b.engine);
    return 0;
}
