#ifndef MK_SERVER_WIRE_H
#define MK_SERVER_WIRE_H
/* Words that the APIs share. */
#include "server/int_server.h"

/* "stop", "length", "tool_calls", "repetition"; NULL when the client went away. */
const char *mk_finish_reason(const struct mk_job_status *s, bool has_calls);
/* DeepSeek's usage: prompt, completion and cached tokens; thoughts if the model thinks. */
json_t *mk_usage_json(const struct mk_job_status *s, bool thinks);
/* llama-server's timings: tokens and milliseconds. */
json_t *mk_timings_json(const struct mk_job_status *s);
/* A setting as it was written: 0.95 and not 0.949999988. */
json_t *mk_setting_json(float v);
/* [{"token", "logprob", "bytes", "top_logprobs"}] appended to list. */
void mk_logprobs_add(json_t *list, const struct mk_tokenizer *t, const struct mk_sampled *toks,
                     size_t n, size_t n_top);
/* logprobs (bool) and top_logprobs (0..20). */
bool mk_fields_logprobs(const struct mk_fields *f, struct mk_sampling *s);
/* stream, and stream_options.include_usage. */
bool mk_fields_stream(const struct mk_fields *f, bool *streams, bool *wants_usage);
/* The prompt of a conversation in OpenAI's form (mk_conversation_parse), and what ends its turn.
 * with_tools false: as if there were none.  False: the exchange has the error. */
bool mk_job_prompt(struct mk_exchange *x, struct mk_job *j, const char *json, size_t n, bool thinks,
                   bool with_tools);
/* thinking.budget_tokens of the object o (NULL: none). */
bool mk_fields_budget(const struct mk_fields *f, json_t *o, struct mk_job *j);
/* Keeps the users of one key apart; 0 for NULL. */
uint64_t mk_user_hash(const char *user);
/* Makes the answer have the shape that is wanted, after mk_job_prompt(); fills in where the answer
 * starts.  False: the exchange has the error, which names param. */
bool mk_job_shape(struct mk_exchange *x, struct mk_job *j, struct mk_shape_want *w, bool thinks,
                  const char *param);
/* Tools whose schema is in the field of that name in OpenAI's form; other kinds of tools are left
 * out. */
json_t *mk_tools_json(const json_t *tools, const char *schema);
/* mk_job_prompt() and mk_job_shape() for a conversation in OpenAI's form, which it takes.
 * shape_param: the field that asked for text of a shape. */
bool mk_job_conversation(struct mk_exchange *x, struct mk_job *j, json_t *conversation,
                         struct mk_shape_want *w, bool thinks, bool with_tools,
                         const char *shape_param);
#endif
