/* What is here: /health, /models, /props, /metrics. */
#include "base/clock.h"
#include "base/str.h"
#include "server/wire.h"

#include <string.h>
#include <time.h>

void mk_api_health(struct mk_exchange *x)
{
    mk_answer_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

/* OpenAI's fields and Anthropic's. */
static json_t *model_json(const struct mk_server *s)
{
    char date[32] = "";
    struct tm tm;
    const time_t created = (time_t)s->created;
    if (gmtime_r(&created, &tm)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:s, s:s, s:s}", "id", s->o.model_name, "object",
                     "model", "created", (json_int_t)s->created, "owned_by", "minke",
                     "context_window", (json_int_t)mk_service_n_ctx(s->service), "type", "model",
                     "display_name", s->o.model_name, "created_at", date);
}

void mk_api_models(struct mk_exchange *x)
{
    const char *name = x->server->o.model_name;
    mk_answer_json(x, 200,
                   json_pack("{s:s, s:[o], s:b, s:s, s:s}", "object", "list", "data",
                             model_json(x->server), "has_more", 0, "first_id", name, "last_id",
                             name));
}

/* Nothing is paid for here, but DeepSeek's clients ask. */
void mk_api_balance(struct mk_exchange *x)
{
    mk_answer_json(x, 200,
                   json_pack("{s:b, s:[{s:s, s:s, s:s, s:s}]}", "is_available", 1, "balance_infos",
                             "currency", "USD", "total_balance", "0.00", "granted_balance", "0.00",
                             "topped_up_balance", "0.00"));
}

/* llama-server's form, without anything of the texts. */
void mk_api_slots(struct mk_exchange *x)
{
    struct mk_service *s = x->server->service;
    struct mk_place_info p;
    json_t *list = json_array();
    for (size_t i = 0; mk_service_place(s, i, &p); i++)
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "id", (json_int_t)i, "n_ctx",
                            (json_int_t)mk_service_n_ctx(s), "is_processing", p.is_running,
                            "n_past", (json_int_t)p.n_toks, "n_prompt_tokens",
                            (json_int_t)p.n_prompt, "n_prompt_tokens_processed",
                            (json_int_t)p.n_read, "n_decoded", (json_int_t)p.n_made));
    mk_answer_json(x, 200, list);
}

void mk_api_model(struct mk_exchange *x)
{
    const char *id = strchr(x->path + 1, '/') + 1;
    if (!strcmp(id, x->server->o.model_name))
        mk_answer_json(x, 200, model_json(x->server));
    else
        mk_answer_error(x, 404, "model", "model_not_found",
                        "there is no model %.200s here, only %s", id, x->server->o.model_name);
}

void mk_api_props(struct mk_exchange *x)
{
    const struct mk_server *s = x->server;
    const struct mk_info i = mk_engine_info(s->engine);
    mk_answer_json(
        x, 200,
        json_pack("{s:s, s:s, s:s?, s:I, s:I, s:b, s:b, s:I, s:s, s:{s:o, s:o, s:i, s:o}, s:s}",
                  "model", s->o.model_name, "kind", i.kind, "template",
                  s->o.template ? s->o.template->name : NULL, "n_ctx",
                  (json_int_t)mk_service_n_ctx(s->service), "total_slots",
                  (json_int_t)s->o.n_places, "thinks", s->o.default_thinking, "can_choose_thinking",
                  s->o.template && s->o.template->can_think && s->o.template->can_not_think,
                  "n_expert", (json_int_t)i.n_expert, "cpu", i.cpu, "default_generation_settings",
                  "temperature", mk_setting_json(s->sampling.temperature), "top_p",
                  mk_setting_json(s->sampling.top_p), "top_k", (int)s->sampling.top_k, "min_p",
                  mk_setting_json(s->sampling.min_p), "build_info", MK_VERSION));
}

/* ---- metrics: Prometheus' text format ---------------------------------------------- */

static void add_metric(struct mk_str *out, const char *name, const char *type, const char *help,
                       double v)
{
    mk_str_addf(out, "# HELP minke_%s %s\n# TYPE minke_%s %s\nminke_%s %.17g\n", name, help, name,
                type, name, v);
}

static void add_streaming(struct mk_str *o, const struct mk_streaming *s)
{
    add_metric(o, "experts_needed_total", "counter", "Experts that layers asked for.",
               (double)s->n_need);
    add_metric(o, "experts_in_memory_total", "counter", "Of these in memory.", (double)s->n_hit);
    add_metric(o, "experts_read_ahead_total", "counter", "Of these read because they were guessed.",
               (double)s->n_right);
    add_metric(o, "experts_guessed_total", "counter", "Experts read because they were guessed.",
               (double)s->n_guess);
    add_metric(o, "experts_read_bytes_total", "counter", "Bytes of experts read from disk.",
               (double)s->n_read_bytes);
    add_metric(o, "experts_wait_seconds_total", "counter", "Time spent waiting for the disk.",
               s->wait_s);
}

void mk_api_metrics(struct mk_exchange *x)
{
    const struct mk_service_stats t = mk_service_stats(x->server->service);
    struct mk_str *o = &x->out;
    add_metric(o, "num_requests_running", "gauge", "Requests that are computed.",
               (double)t.n_running);
    add_metric(o, "num_requests_waiting", "gauge", "Requests that wait.", (double)t.n_waiting);
    add_metric(o, "prompt_tokens_total", "counter", "Tokens of prompts that were read.",
               (double)t.n_prompt_toks);
    add_metric(o, "cached_tokens_total", "counter", "Tokens of prompts that were known already.",
               (double)t.n_cached_toks);
    add_metric(o, "generation_tokens_total", "counter", "Tokens of answers.",
               (double)t.n_answer_toks);
    add_metric(o, "prompt_seconds_total", "counter", "Time spent reading prompts.", t.prompt_s);
    add_metric(o, "generation_seconds_total", "counter", "Time spent answering.", t.answer_s);
    add_metric(o, "steps_total", "counter", "Forward passes.", (double)t.n_passes);
    add_metric(o, "spec_decode_num_draft_tokens_total", "counter", "Tokens that were guessed.",
               (double)t.n_guessed);
    add_metric(o, "spec_decode_num_accepted_tokens_total", "counter",
               "Of those the ones that came.", (double)t.n_right);
    const struct mk_prefix_stats *p = &t.prefixes;
    add_metric(o, "prefix_cache_bytes", "gauge", "Keys and values kept in memory.",
               (double)p->n_bytes);
    add_metric(o, "prefix_cache_blocks", "gauge", "Blocks of up to 64 tokens in memory.",
               (double)p->n_blocks);
    add_metric(o, "prefix_cache_file_bytes", "gauge", "And in files.", (double)p->n_file_bytes);
    add_metric(o, "prefix_cache_files", "gauge", "Their number.", (double)p->n_files);
    add_metric(o, "prefix_cache_unwritten_blocks", "gauge", "Blocks that are to be written.",
               (double)p->n_unwritten);
    add_metric(o, "prefix_cache_bad_files_total", "counter", "Files that had to be removed.",
               (double)p->n_bad);
    add_metric(o, "prefix_cache_write_errors_total", "counter", "Blocks that were not written.",
               (double)p->n_failed);
    if (t.is_streaming) add_streaming(o, &t.streaming);
    add_metric(o, "uptime_seconds", "gauge", "Since the start.", mk_now_s() - x->server->start_s);
    mk_str_add(o, "# HELP minke_request_success_total Requests that ended.\n"
                  "# TYPE minke_request_success_total counter\n");
    for (int i = 1; i < MK_N_FINISH; i++)
        mk_str_addf(o, "minke_request_success_total{finished_reason=\"%s\"} %llu\n",
                    mk_finish_name((enum mk_finish)i), (unsigned long long)t.n_finished[i]);
    x->status = 200;
    x->type = "text/plain; version=0.0.4";
}
