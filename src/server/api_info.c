/* What is here: /health, /models, /props, /metrics. */
#include "base/clock.h"
#include "base/str.h"
#include "server/wire.h"

#include <string.h>

void mk_api_health(struct mk_exchange *x)
{
    mk_answer_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

static json_t *model_json(const struct mk_server *s)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:I}", "id", s->o.model_name, "object", "model",
                     "created", (json_int_t)s->created, "owned_by", "minke", "context_window",
                     (json_int_t)mk_service_n_ctx(s->service));
}

void mk_api_models(struct mk_exchange *x)
{
    mk_answer_json(x, 200,
                   json_pack("{s:s, s:[o]}", "object", "list", "data", model_json(x->server)));
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
        json_pack(
            "{s:s, s:s, s:s?, s:I, s:I, s:b, s:b, s:s, s:{s:o, s:o, s:i, s:o}, s:s}", "model",
            s->o.model_name, "kind", i.kind, "template", s->o.template ? s->o.template->name : NULL,
            "n_ctx", (json_int_t)mk_service_n_ctx(s->service), "total_slots",
            (json_int_t)s->o.n_places, "thinks", s->o.default_thinking, "can_choose_thinking",
            s->o.template && s->o.template->can_think && s->o.template->can_not_think, "cpu", i.cpu,
            "default_generation_settings", "temperature", mk_setting_json(s->sampling.temperature),
            "top_p", mk_setting_json(s->sampling.top_p), "top_k", (int)s->sampling.top_k, "min_p",
            mk_setting_json(s->sampling.min_p), "build_info", MK_VERSION));
}

/* ---- metrics: Prometheus' text format ---------------------------------------------- */

static void add_metric(struct mk_str *out, const char *name, const char *type, const char *help,
                       double v)
{
    mk_str_addf(out, "# HELP minke_%s %s\n# TYPE minke_%s %s\nminke_%s %.17g\n", name, help, name,
                type, name, v);
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
    add_metric(o, "steps_total", "counter", "Forward passes.", (double)t.n_steps);
    add_metric(o, "uptime_seconds", "gauge", "Since the start.", mk_now_s() - x->server->start_s);
    mk_str_add(o, "# HELP minke_request_success_total Requests that ended.\n"
                  "# TYPE minke_request_success_total counter\n");
    for (int i = 1; i < MK_N_FINISH; i++)
        mk_str_addf(o, "minke_request_success_total{finished_reason=\"%s\"} %llu\n",
                    mk_finish_name((enum mk_finish)i), (unsigned long long)t.n_finished[i]);
    x->status = 200;
    x->type = "text/plain; version=0.0.4";
}
