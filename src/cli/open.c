/* From -m to an open engine or tokenizer: where models are, and how failures end the
 * program. */
#include "cli/cli.h"
#include "cli/embedded.h"
#include "cli/term.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/resident.h"
#include "hub/hub.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_INPUT_BYTES = 64 << 20 };

void mk_cli_die(const struct mk_err *err)
{
    struct mk_str line = {0};
    mk_term_clean(&line, err->msg, strlen(err->msg)); /* names in files may hold escapes */
    fflush(stdout);
    fprintf(stderr, "minke: %s\n", mk_str_c(&line));
    exit(mk_code_exit(err->code));
}

struct mk_str mk_cli_read(const char *path)
{
    struct mk_str s = {0};
    struct mk_err err;
    if (!mk_file_read(&s, path, MAX_INPUT_BYTES, &err)) mk_cli_die(&err);
    return s;
}

char *mk_cli_xdg(const char *var, const char *fallback, const char *leaf)
{
    const char *dir = getenv(var), *home = getenv("HOME");
    struct mk_str path = {0};
    if (dir && dir[0] == '/') /* relative ones are to be ignored */
        mk_str_addf(&path, "%s/minke/%s", dir, leaf);
    else if (home && home[0] == '/')
        mk_str_addf(&path, "%s/%s/minke/%s", home, fallback, leaf);
    else
        return NULL;
    return mk_str_take(&path);
}

/* Takes path: itself if something is there, else NULL. */
static char *if_exists(char *path)
{
    if (path && mk_file_exists(path)) return path;
    free(path);
    return NULL;
}

static char *join(const char *a, const char *b, const char *c)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "%s%s%s", a, b, c);
    return mk_str_take(&s);
}

/* OWNER/NAME as the Hugging Face tools keep it:
 * hub/models--OWNER--NAME/refs/main holds the name of a folder in snapshots/. */
static char *in_hf_cache(const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/') || strstr(name, ".."))
        return NULL;
    const char *hf = getenv("HF_HOME"), *home = getenv("HOME");
    struct mk_str dir = {0}, ref = {0}, revision = {0};
    if (hf && hf[0] == '/')
        mk_str_add(&dir, hf);
    else
        mk_str_addf(&dir, "%s/.cache/huggingface", home ? home : "");
    mk_str_addf(&dir, "/hub/models--%.*s--%s", (int)(slash - name), name, slash + 1);
    mk_str_addf(&ref, "%s/refs/main", dir.data);
    char *found = NULL;
    if (mk_file_read_regular(&revision, ref.data, 256, NULL)) {
        const size_t n = strcspn(mk_str_c(&revision), "\r\n/");
        mk_str_addf(&dir, "/snapshots/%.*s", (int)n, mk_str_c(&revision));
        found = n ? if_exists(mk_strdup(dir.data)) : NULL;
    }
    mk_str_release(&dir);
    mk_str_release(&ref);
    mk_str_release(&revision);
    return found;
}

static char *in_data_folder(const char *name)
{
    char *models = mk_cli_xdg("XDG_DATA_HOME", ".local/share", "models");
    char *path = models ? mk_hub_find(models, name) : NULL;
    free(models);
    return path;
}

/* Takes path; a run stands for its newest checkpoint. */
static char *of_run(char *path)
{
    char *model = path ? mk_run_model(path) : NULL;
    free(path);
    return model;
}

char *mk_cli_find_model(const char *name)
{
    char *path = name ? of_run(if_exists(mk_strdup(name))) : NULL;
    if (!name) name = "tiny";
    if (!path) path = in_data_folder(name);
    if (!path && !strcmp(name, "tiny")) path = mk_strdup(MK_EMBEDDED_TINY);
    return path ? path : in_hf_cache(name);
}

char *mk_cli_model_path(const char *name)
{
    char *path = mk_cli_find_model(name);
    if (path) return path;
    struct mk_err err;
    char *models = mk_cli_xdg("XDG_DATA_HOME", ".local/share", "models");
    if (mk_hub_catalogue_find(name))
        mk_fail(&err, MK_EIO, "%s is not here yet; minke pull %s fetches it", name, name);
    else if (models && !strchr(name, '/'))
        mk_fail(&err, MK_EIO, "%s: no such file or folder here or in %s", name, models);
    else
        mk_fail(&err, MK_EIO, "%s: no such file or folder", name);
    free(models);
    mk_cli_die(&err);
}

enum mk_type mk_cli_kv_type(const struct mk_model_opts *o)
{
    return (enum mk_type)mk_type_of_name(o->kv ? o->kv : "f16");
}

/* ---- memory ----------------------------------------------------------------------------- */

struct mk_ram mk_cli_ram(const struct mk_model_opts *o)
{
    return (struct mk_ram){.n_bytes = o->ram ? o->ram : mk_memory_available(),
                           .is_auto = o->ram == 0};
}

static double gb(double n_bytes) { return n_bytes / 1e9; }

void mk_cli_say_streaming(bool is_streaming, const struct mk_streaming *s)
{
    if (!is_streaming) return;
    fprintf(stderr,
            "minke: %.1f GB of weights in %.1f GB of memory: %.1f GB stay, %.1f GB hold %zu of %zu "
            "experts, the others are read when they are needed",
            gb((double)s->n_file_bytes), gb((double)s->ram_bytes), gb((double)s->n_dense_bytes),
            gb((double)s->n_cache_bytes), s->n_fit, s->n_experts);
    if (s->disk_bytes_per_s > 0 && isfinite(s->tps))
        fprintf(stderr, "; at %.1f GB/s of disk at most %.2g tokens/s if all are used evenly",
                gb(s->disk_bytes_per_s), s->tps);
    fputc('\n', stderr);
}

static double percent(uint64_t part, uint64_t all)
{
    return all ? 100 * (double)part / (double)all : 0;
}

void mk_cli_say_experts(const struct mk_engine *e)
{
    struct mk_streaming s;
    if (!mk_engine_streaming(e, &s) || !s.n_need) return;
    fprintf(stderr,
            "[experts: %.0f %% from memory, %.0f %% read ahead, %.0f %% waited for; %.2f GB read; "
            "%.0f %% of %llu guesses right; %.1f s of waiting]\n",
            percent(s.n_hit, s.n_need), percent(s.n_right, s.n_need),
            percent(s.n_need - s.n_hit - s.n_right, s.n_need), gb((double)s.n_read_bytes),
            percent(s.n_right, s.n_guess), (unsigned long long)s.n_guess, s.wait_s);
}

static enum mk_speculate speculate_mode(const struct mk_speculate_opts *o)
{
    static const struct {
        const char *name;
        enum mk_speculate mode;
    } modes[] = {{"auto", MK_SPECULATE_AUTO},
                 {"off", MK_SPECULATE_OFF},
                 {"ngram", MK_SPECULATE_NGRAM},
                 {"mtp", MK_SPECULATE_MTP},
                 {"draft", MK_SPECULATE_DRAFT}};
    size_t i = 0;
    while (o->mode && strcmp(modes[i].name, o->mode) != 0) i++;
    return modes[i].mode;
}

struct mk_engine *mk_cli_open(const struct mk_model_opts *o,
                              const struct mk_speculate_opts *speculate)
{
    const struct mk_ram ram = mk_cli_ram(o);
    struct mk_streaming streaming;
    struct mk_engine_options eo = {
        .n_threads = (unsigned)o->n_threads,
        .cpu = o->cpu,
        .kv_type = mk_cli_kv_type(o),
        .input_type = (enum mk_type)mk_type_of_name(o->inputs ? o->inputs : "bf16"),
        .n_batch = o->n_batch,
        .ram_bytes = ram.n_bytes,
        .ram_is_auto = ram.is_auto};
    struct mk_engine *e;
    struct mk_err err;
    char *path = mk_cli_model_path(o->model), *draft = NULL;
    if (speculate) {
        if (speculate->draft) draft = mk_cli_model_path(speculate->draft);
        eo.speculation = (struct mk_speculation){
            .mode = speculate_mode(speculate), .max = speculate->max, .draft = draft};
    }
    const bool ok = mk_engine_open(&e, path, &eo, &err);
    free(path);
    free(draft);
    if (!ok) mk_cli_die(&err);
    mk_cli_say_streaming(mk_engine_streaming(e, &streaming), &streaming);
    return e;
}

/* ---- only the tokenizer --------------------------------------------------------------- */

static bool tokenizer_json(struct mk_tokenizer **out, const char *json, struct mk_err *err)
{
    const char *slash = strrchr(json, '/');
    struct mk_str config = {0};
    mk_str_addf(&config, "%.*stokenizer_config.json", slash ? (int)(slash + 1 - json) : 0, json);
    const bool has_config = mk_file_exists(config.data);
    const bool ok = mk_tokenizer_open_json(out, json, has_config ? config.data : NULL, err);
    mk_str_release(&config);
    return ok;
}

/* A GGUF file, or weights that have a tokenizer.json beside them. */
static bool tokenizer_beside(struct mk_tokenizer **out, const char *path, struct mk_err *err)
{
    struct mk_tensors t;
    if (!mk_tensors_open(&t, path, err)) return false;
    const bool ok = mk_tokenizer_open(out, &t, err);
    mk_tensors_close(&t);
    return ok;
}

static bool begins_as_json(const char *path)
{
    struct mk_map m;
    if (!mk_map_open(&m, path, NULL)) return false;
    size_t i = 0;
    while (i < m.size && (m.data[i] == ' ' || (m.data[i] >= '\t' && m.data[i] <= '\r'))) i++;
    const bool is_json = i < m.size && m.data[i] == '{';
    mk_map_close(&m);
    return is_json;
}

struct mk_tokenizer *mk_cli_tokenizer(const char *path)
{
    struct mk_tokenizer *t;
    struct mk_err err;
    char *json = join(path, "/tokenizer.json", "");
    const bool ok = mk_file_exists(json)   ? tokenizer_json(&t, json, &err)
                    : begins_as_json(path) ? tokenizer_json(&t, path, &err)
                                           : tokenizer_beside(&t, path, &err);
    free(json);
    if (!ok) mk_cli_die(&err);
    return t;
}
