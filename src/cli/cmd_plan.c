/* minke plan: what training or serving a shape costs, before anything runs.  Two presets are
 * derivations of published bills: deepseek-v3-paper and deepseek-r1-paper. */
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "kernels/kernels.h"
#include "model/stream.h"
#include "quant/quant.h"
#include "train/plan.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define V3_PAPER "deepseek-v3-paper"
#define R1_PAPER "deepseek-r1-paper"

struct args {
    const char *model, *preset, *hardware, *toks, *weights, *kv, *moments;
    size_t n_batch, n_micro, n_ctx, n_devices, ram;
    double tflops, bandwidth, memory, price, mfu, ghz, mean_len, share;
    bool recomputes, json, lists;
};

/* ---- the machine ------------------------------------------------------------------------- */

/* Bytes of memory for one core; half a gigabyte where the system does not tell. */
static double core_memory(unsigned n_cores)
{
    enum { MAX_BYTES = 1 << 20 };
    struct mk_str text = {0};
    double kib = 0;
    if (mk_file_read(&text, "/proc/meminfo", MAX_BYTES, NULL)) {
        const char *line = strstr(mk_str_c(&text), "MemTotal:");
        if (line) kib = strtod(line + 9, NULL);
    }
    mk_str_release(&text);
    return kib > 0 ? kib * 1024 / n_cores : 0x1p29;
}

static void list_presets(FILE *to)
{
    fputs("shapes     ", to);
    for (size_t i = 0; mk_plan_arch_at(i); i++) fprintf(to, " %s", mk_plan_arch_at(i)->name);
    fputs("\nderivations " V3_PAPER " " R1_PAPER "\nhardware    this", to);
    for (size_t i = 0; mk_plan_hardware_at(i); i++)
        fprintf(to, " %s", mk_plan_hardware_at(i)->name);
    fputc('\n', to);
}

static struct mk_plan_hardware choose_hardware(const struct args *a, double *n_devices)
{
    struct mk_plan_hardware h;
    const struct mk_plan_hardware *found = a->hardware ? mk_plan_hardware_find(a->hardware) : NULL;
    *n_devices = (double)a->n_devices;
    if (found) {
        h = *found;
    } else if (!a->hardware || !strcmp(a->hardware, "this")) {
        h = mk_plan_cpu_core(mk_cpu_name(mk_cpu_detect()), a->ghz);
        h.memory = core_memory(mk_cpu_count());
        if (!a->n_devices) *n_devices = mk_cpu_count();
    } else {
        mk_cli_usage("plan", "no hardware \"%s\"; --list shows what there is", a->hardware);
    }
    const char *given = "as given";
    if (a->tflops > 0) h.flops = a->tflops * 1e12, h.source = given;
    if (a->bandwidth > 0) h.bandwidth = a->bandwidth * 1e9;
    if (a->memory > 0) h.memory = a->memory * 1e9;
    if (a->price > 0) h.price = a->price, h.price_source = given;
    if (a->mfu > 0) h.mfu = a->mfu, h.mfu_source = given;
    return h;
}

/* ---- the shape ------------------------------------------------------------------------------- */

/* A config.json alone, by its name. */
static bool is_config_file(const char *path)
{
    const size_t n = strlen(path);
    return n >= 5 && !strcmp(path + n - 5, ".json") && !mk_is_dir(path);
}

static void read_config_file(struct mk_plan_arch *out, const char *path)
{
    struct mk_err err;
    struct mk_config c = {0};
    struct mk_str text = mk_cli_read(path);
    if (!mk_config_parse(&c, mk_str_c(&text), text.len, path, &err) ||
        !mk_plan_arch_from_config(out, &c, &err))
        mk_cli_die(&err);
    mk_config_close(&c);
    mk_str_release(&text);
}

static void read_model(struct mk_plan_arch *out, const char *name)
{
    struct mk_err err;
    struct mk_tensors t = {0};
    struct mk_config c = {0};
    char *path = mk_cli_model_path(name);
    struct mk_str config = {0};
    mk_str_addf(&config, "%s/config.json", path);
    if (mk_is_dir(path) && mk_file_exists(config.data)) {
        read_config_file(out, config.data); /* also of a folder without weights */
    } else {
        if (!mk_tensors_open(&t, path, &err) || !mk_config_open(&c, &t, &err) ||
            !mk_plan_arch_from_config(out, &c, &err))
            mk_cli_die(&err);
        out->is_tied = t.gguf && !mk_tensors_find(&t, "output.weight");
        mk_config_close(&c);
        mk_tensors_close(&t);
    }
    mk_str_release(&config);
    free(path);
}

static struct mk_plan_arch choose_shape(const struct args *a)
{
    struct mk_plan_arch out;
    if (a->model && a->preset) mk_cli_usage("plan", "-m and --preset exclude each other");
    if (a->model) {
        (is_config_file(a->model) ? read_config_file : read_model)(&out, a->model);
        return out;
    }
    if (!a->preset) mk_cli_usage("plan", "-m MODEL or --preset NAME is needed; --list shows names");
    const struct mk_plan_arch *found = mk_plan_arch_find(a->preset);
    if (!found) {
        const char *names[64];
        size_t n = 0;
        for (; mk_plan_arch_at(n) && n < 62; n++) names[n] = mk_plan_arch_at(n)->name;
        names[n++] = V3_PAPER;
        names[n++] = R1_PAPER;
        const char *near = mk_cli_nearest(a->preset, names, n);
        if (near) mk_cli_usage("plan", "no preset \"%s\", did you mean \"%s\"?", a->preset, near);
        mk_cli_usage("plan", "no preset \"%s\"; --list shows what there is", a->preset);
    }
    return *found;
}

/* ---- the job -------------------------------------------------------------------------------- */

/* "14.8T": powers of 1000. */
static double parse_count(const char *option, const char *s)
{
    static const char letters[] = "kMGT";
    char *end;
    double v = strtod(s, &end);
    const char *letter = *end ? strchr(letters, *end == 'K'   ? 'k'
                                                : *end == 'B' ? 'G'
                                                              : *end)
                              : NULL;
    for (const char *l = letters; letter && l <= letter; l++) v *= 1000;
    if (end == s || (*end && (!letter || end[1])) || !isfinite(v) || v < 1 || v > 1e18)
        mk_cli_usage("plan", "%s %s is not a number like 300M or 14.8T", option, s);
    return v;
}

static double bytes_of(const char *option, const char *type)
{
    const int t = mk_type_of_name(strcmp(type, "f8") ? type : "f8_e4m3");
    if (t < 0 || mk_quants[t].kind == MK_PLAIN)
        mk_cli_usage("plan", "%s %s is not a type of weights", option, type);
    return (double)mk_quants[t].block_bytes / (double)mk_quants[t].block_len;
}

static struct mk_plan_job make_job(const struct args *a)
{
    struct mk_plan_job j = {.arch = choose_shape(a)};
    j.hardware = choose_hardware(a, &j.n_devices);
    j.n_ctx = (double)(a->n_ctx ? a->n_ctx : j.arch.n_ctx < 4096 ? j.arch.n_ctx : 4096);
    j.n_batch = (double)a->n_batch;
    j.n_micro = (double)a->n_micro;
    j.n_toks = a->toks ? parse_count("--toks", a->toks) : 0;
    j.weight_type = a->weights ? a->weights : j.arch.is_f8 ? "f8" : "bf16";
    j.weight_bytes = bytes_of("--weights", j.weight_type);
    j.kv_type = a->kv ? a->kv : "f16";
    j.kv_bytes = bytes_of("--kv", j.kv_type);
    j.moment_bytes = a->moments && !strcmp(a->moments, "bf16") ? 2 : 4;
    j.recomputes = a->recomputes;
    return j;
}

static void print(struct mk_str *out)
{
    fwrite(mk_str_c(out), 1, out->len, stdout);
    mk_str_release(out);
}

static void run(const struct args *a)
{
    struct mk_str out = {0};
    if (a->preset && !strcmp(a->preset, V3_PAPER)) {
        mk_plan_v3_report(&out, a->mfu, a->json);
    } else if (a->preset && !strcmp(a->preset, R1_PAPER)) {
        struct mk_plan_r1 r = mk_plan_r1_defaults();
        if (a->mean_len > 0) r.mean_len = a->mean_len;
        if (a->share > 0) r.share = a->share;
        mk_plan_r1_report(&out, &r, a->json);
    } else {
        const struct mk_plan_job j = make_job(a);
        mk_plan_report(&out, &j, a->json);
    }
    print(&out);
}

/* ---- a model larger than memory ------------------------------------------------------------- */

static void print_ram(const struct args *a, const struct mk_stream_plan *p, double disk)
{
    const double tps = mk_stream_tps(p, disk), miss = 1 - p->n_fit / (double)p->n_experts;
    const double per_token = miss * (double)p->n_used_bytes;
    if (a->json) {
        json_t *o = json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "ram_bytes",
            (json_int_t)a->ram, "file_bytes", (json_int_t)p->n_file_bytes, "resident_bytes",
            (json_int_t)p->n_dense_bytes, "embedding_bytes", (json_int_t)p->n_table_bytes,
            "cache_bytes", (json_int_t)p->n_cache_bytes, "experts", (json_int_t)p->n_experts,
            "experts_that_fit", p->n_fit, "miss_rate", miss, "read_bytes_per_token", per_token,
            "disk_bytes_per_s", disk, "tokens_per_s", isfinite(tps) ? json_real(tps) : json_null());
        json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(o);
        return;
    }
    printf("in the file        %9.2f GB\n", (double)p->n_file_bytes / 1e9);
    printf("stays in memory    %9.2f GB  what every token reads\n", (double)p->n_dense_bytes / 1e9);
    printf("read by row        %9.2f GB  embedding\n", (double)p->n_table_bytes / 1e9);
    printf("memory for experts %9.2f GB  of %.2f that are allowed\n",
           (double)p->n_cache_bytes / 1e9, (double)a->ram / 1e9);
    printf("experts            %9zu     %.1f MB each; %.0f fit\n", p->n_experts,
           (double)p->n_expert_bytes / (double)p->n_experts / 1e6, p->n_fit);
    printf("a token uses       %9zu     and reads %.2f GB of disk if all are used evenly\n",
           p->n_used, per_token / 1e9);
    printf("disk               %9.2f GB/s, measured\n", disk / 1e9);
    if (isfinite(tps))
        printf("at most            %9.2f tokens/s; more where some experts are used more\n", tps);
    else
        printf("all experts fit: the disk is no limit\n");
}

static void plan_ram(const struct args *a)
{
    enum { MEASURE_MS = 500 };
    struct mk_err err;
    struct mk_model m;
    struct mk_stream_plan p;
    if (!a->model) mk_cli_usage("plan", "--ram goes with -m MODEL");
    char *path = mk_cli_model_path(a->model);
    if (!mk_model_open(&m, path, &err)) mk_cli_die(&err);
    free(path);
    if (!mk_stream_plan(&m, a->ram, &p)) {
        mk_fail(&err, MK_EUNSUPPORTED,
                "%s: has no routed experts: every token reads all of it, and so all must fit",
                m.tensors.path);
        mk_cli_die(&err);
    }
    const double disk = mk_stream_measure(&m, MEASURE_MS / 1e3, &err);
    if (disk <= 0) mk_cli_die(&err);
    print_ram(a, &p, disk);
    mk_model_close(&m);
}

int mk_cmd_plan(int argc, char **argv)
{
    static struct args a = {.n_batch = 1, .n_micro = 1, .ghz = 3.5};
    static const struct mk_opt opts[] = {
        {"model", 'm', MK_OPT_STR, &a.model, "MODEL", "a model, or a config.json", 0, 0, NULL,
         NULL},
        {"preset", 'p', MK_OPT_STR, &a.preset, "NAME",
         "a published shape, or " V3_PAPER ", " R1_PAPER, 0, 0, NULL, NULL},
        {"list", 'l', MK_OPT_FLAG, &a.lists, NULL, "names of shapes and hardware", 0, 0, NULL,
         NULL},
        {"ram", 0, MK_OPT_SIZE, &a.ram, "SIZE",
         "what running a model (-m) in so much memory means, by this disk", 1 << 20, 0x1p60, NULL,
         NULL},
        {"toks", 'n', MK_OPT_STR, &a.toks, "N", "tokens to train on: 300M, 14.8T", 0, 0, NULL,
         NULL},
        {"batch", 'b', MK_OPT_SIZE, &a.n_batch, "N", "sequences of a step (1)", 1, 1 << 30, NULL,
         NULL},
        {"micro", 0, MK_OPT_SIZE, &a.n_micro, "N", "sequences in a device's memory (1)", 1, 1 << 20,
         NULL, NULL},
        {"ctx", 'c', MK_OPT_SIZE, &a.n_ctx, "N", "tokens of a sequence (4096)", 1, 1 << 28, NULL,
         NULL},
        {"hardware", 0, MK_OPT_STR, &a.hardware, "NAME", "this machine's cores, h800, ... (this)",
         0, 0, NULL, NULL},
        {"devices", 'd', MK_OPT_SIZE, &a.n_devices, "N", "GPUs or cores (what memory needs)", 1,
         1 << 24, NULL, NULL},
        {"tflops", 0, MK_OPT_FLOAT, &a.tflops, "X", "peak of a device", 1e-6, 1e6, NULL, NULL},
        {"bandwidth", 0, MK_OPT_FLOAT, &a.bandwidth, "GB/S", "memory bandwidth of a device", 1e-3,
         1e6, NULL, NULL},
        {"memory", 0, MK_OPT_FLOAT, &a.memory, "GB", "memory of a device", 1e-3, 1e6, NULL, NULL},
        {"price", 0, MK_OPT_FLOAT, &a.price, "USD", "an hour of a device", 0, 1e6, NULL, NULL},
        {"mfu", 0, MK_OPT_FLOAT, &a.mfu, "SHARE", "share of the peak that training reaches, 0..1",
         1e-4, 1, NULL, NULL},
        {"ghz", 0, MK_OPT_FLOAT, &a.ghz, "X", "clock of this machine's cores (3.5)", 0.1, 10, NULL,
         NULL},
        {"weights", 'w', MK_OPT_STR, &a.weights, "TYPE", "type of weights when serving (bf16)", 0,
         0, NULL, NULL},
        {"kv", 0, MK_OPT_CHOICE, &a.kv, "TYPE", "type of keys and values (f16)", 0, 0,
         "f32|f16|bf16|q8_0", NULL},
        {"moments", 0, MK_OPT_CHOICE, &a.moments, "TYPE", "type of Adam's moments (f32)", 0, 0,
         "f32|bf16", NULL},
        {"recompute", 0, MK_OPT_FLAG, &a.recomputes, NULL,
         "keep only the layers' inputs for the backward pass", 0, 0, NULL, NULL},
        {"mean-length", 0, MK_OPT_FLOAT, &a.mean_len, "N", R1_PAPER ": tokens of an answer (7000)",
         1, 1e6, NULL, NULL},
        {"rollout-share", 0, MK_OPT_FLOAT, &a.share, "SHARE",
         R1_PAPER ": share of time in rollouts (0.7)", 1e-3, 1, NULL, NULL},
        {"json", 0, MK_OPT_FLAG, &a.json, NULL, "one JSON object", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("plan", opts, argc, argv, NULL, 0);
    if (a.lists)
        list_presets(stdout);
    else if (a.ram)
        plan_ram(&a);
    else
        run(&a);
    return 0;
}
