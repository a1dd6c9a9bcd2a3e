/* Requests through the handlers of the server, with the model inside the program.  The input is a
 * path, a line break and a body.  What a handler submits is not computed: it is checked, and gets a
 * thought, an answer and a call, which the API must put into words.  What comes out is JSON or
 * events of JSON, and what is refused says why. */
#include "fuzz.h"

#include "server/int_server.h"

#include <stdlib.h>
#include <string.h>

static void must(bool fact)
{
    if (!fact) abort();
}

/* ---- the server -------------------------------------------------------------------- */

static struct mk_server *server(void)
{
    static struct mk_server s = {.watch_event = -1};
    const struct mk_engine_options o = {.n_threads = 1};
    if (s.engine) return &s;
    must(mk_engine_open(&s.engine, "models/tiny/tiny.gguf", &o, NULL) &&
         (s.tokenizer = mk_engine_tokenizer(s.engine, NULL)) &&
         mk_sampling_defaults(s.engine, &s.sampling, NULL) &&
         mk_template_detect(&s.o.template, s.tokenizer, NULL));
    s.o.model_name = "tiny";
    s.o.default_thinking = true;
    mk_shapes_init(&s.shapes);
    pthread_mutex_init(&s.watch_lock, NULL);
    return &s;
}

enum { N_CTX = 1024 };

/* Linked in the place of mk_service_submit(): what the engine's thread relies on. */
bool __wrap_mk_service_submit(struct mk_service *s, struct mk_job *j, struct mk_err *err);
bool __wrap_mk_service_submit(struct mk_service *s, struct mk_job *j, struct mk_err *err)
{
    (void)s;
    const int32_t n_vocab = (int32_t)mk_engine_info(server()->engine).n_vocab;
    if (j->prompt.n >= N_CTX) return mk_fail(err, MK_ELIMIT, "the prompt is too long");
    must(j->prompt.n && mk_sampling_check(&j->sampling, (size_t)n_vocab, NULL));
    for (size_t i = 0; i < j->prompt.n; i++) must(j->prompt.v[i] >= 0 && j->prompt.v[i] < n_vocab);
    must(j->n_stops <= 16 && j->n_stop_ids <= 8);
    for (size_t i = 0; i < j->n_stops; i++) must(j->stops[i][0]);
    must(!j->template == !j->tokenizer && (!j->shape || j->shape->grammar));
    return true;
}

static const struct mk_route *find_route(const char *path, size_t n)
{
    for (const struct mk_route *r = mk_routes; r->method; r++)
        if (!strcmp(r->method, "POST") && strlen(r->path) == n && !memcmp(r->path, path, n))
            return r;
    return NULL;
}

/* ---- answers ----------------------------------------------------------------------- */

static void say(struct mk_exchange *x, enum mk_piece_kind kind, const char *text)
{
    static const struct mk_sampled tok = {.id = 7, .logprob = -1};
    const struct mk_piece p = {.kind = kind, .n = strlen(text), .n_toks = 1};
    x->wire->piece(x, &p, text, &tok);
}

static void answer(struct mk_exchange *x)
{
    x->now = (struct mk_job_status){.n_prompt = x->job->prompt.n, .stop = SIZE_MAX};
    if (x->job->tells_progress) x->wire->progress(x, &x->now);
    say(x, MK_PIECE_REASONING, "a thought\n");
    say(x, MK_PIECE_REASONING, "");
    say(x, MK_PIECE_ANSWER, "\"\xe6\xbc\xa2\" \\");
    for (int i = 0; i < 2; i++) {
        say(x, MK_PIECE_CALL, "add");
        say(x, MK_PIECE_ARGUMENTS, "{\"a\": ");
        say(x, MK_PIECE_ARGUMENTS, "[]}");
    }
    x->now.state = MK_JOB_ENDED;
    x->now.finish = MK_FINISH_STOP;
    x->now.n_made = 9;
    x->now.n_thought = 2;
    if (x->job->n_stops) x->now.stop = 0;
    x->wire->end(x, &x->now);
}

static void check_json(const char *text, size_t n, const char *key)
{
    json_t *v = json_loadb(text, n, JSON_ALLOW_NUL, NULL);
    must(json_is_object(v) && (!key || json_object_get(v, key)));
    json_decref(v);
}

/* "event: NAME", "data: {...}", an empty line, and so on; DeepSeek's and OpenAI's old APIs end with
 * [DONE]. */
static void check_events(const char *s)
{
    static const char data[] = "data: ", done[] = "[DONE]\n\n";
    size_t n_events = 0;
    for (; *s; n_events++) {
        if (!strncmp(s, "event: ", 7)) s += strcspn(s, "\n") + 1;
        must(!strncmp(s, data, sizeof data - 1));
        s += sizeof data - 1;
        if (!strcmp(s, done)) return;
        const char *end = strstr(s, "\n\n");
        must(end && !memchr(s, '\n', (size_t)(end - s)));
        check_json(s, (size_t)(end - s), NULL);
        s = end + 2;
    }
    must(n_events > 1);
}

static bool is_stream(const struct mk_exchange *x) { return x->job && x->streams && !x->status; }

static void check_answer(const struct mk_exchange *x)
{
    if (is_stream(x))
        check_events(mk_str_c(&x->out));
    else
        check_json(mk_str_c(&x->out), x->out.len, x->status >= 400 ? "error" : NULL);
}

/* As http.c ends one. */
static void release(struct mk_exchange *x)
{
    if (x->job) {
        mk_watch_remove(x);
        mk_job_listen(x->job, NULL, NULL);
        if (!x->status) mk_job_release(x->job); /* the service's reference */
        mk_job_release(x->job);
    }
    if (x->wire) x->wire->free(x->state);
    mk_str_release(&x->body);
    mk_str_release(&x->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *line = size ? memchr(text, '\n', size) : NULL;
    const struct mk_route *r = line ? find_route(text, (size_t)(line - text)) : NULL;
    if (!r) return 0;
    struct mk_exchange x = {.server = server(), .route = r, .path = r->path, .id = "0123456789"};
    mk_str_append(&x.body, line + 1, size - (size_t)(line + 1 - text));
    r->handler(&x);
    must(x.status || x.job);
    if (!x.status) answer(&x);
    check_answer(&x);
    release(&x);
    return 0;
}
