#include "server/shape.h"

#include "base/mem.h"
#include "server/digest.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CALLS = 32 }; /* of one answer */

/* ---- grammars ---------------------------------------------------------------------- */

static bool is_strict(const json_t *f) { return json_is_true(json_object_get(f, "strict")); }

static bool has_strict(const json_t *tools)
{
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (is_strict(json_object_get(json_array_get(tools, i), "function"))) return true;
    return false;
}

bool mk_shape_has_form(const struct mk_shape_want *w)
{
    return w->schema || w->any_object || w->regex;
}

bool mk_shape_is_free(const struct mk_shape_want *w)
{
    return !mk_shape_has_form(w) && !w->must_call && !has_strict(w->tools);
}

/* One call of one tool, as the template writes it. */
static uint32_t call_of(struct mk_grammar_builder *b, const struct mk_call_tags *tags,
                        const struct mk_tokenizer *t, const json_t *f)
{
    const char *name = json_string_value(json_object_get(f, "name"));
    const json_t *parameters = json_object_get(f, "parameters");
    const uint32_t parts[] = {
        mk_grammar_tags(b, t, tags->begin),
        mk_grammar_tags(b, t, tags->before_name),
        mk_grammar_text(b, name, strlen(name)),
        mk_grammar_tags(b, t, tags->after_name),
        json_object_size(parameters) ? mk_grammar_schema(b, parameters) : mk_grammar_json_object(b),
        mk_grammar_tags(b, t, tags->after_args),
        mk_grammar_tags(b, t, tags->end),
    };
    return mk_grammar_seq(b, parts, sizeof parts / sizeof *parts);
}

static uint32_t calls_of(struct mk_grammar_builder *b, const struct mk_shape_want *w,
                         const struct mk_call_tags *tags, const struct mk_tokenizer *t)
{
    const size_t n = json_array_size(w->tools);
    uint32_t *list = mk_calloc(n + 1, sizeof *list);
    size_t n_list = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *f = json_object_get(json_array_get(w->tools, i), "function");
        const char *name = json_string_value(json_object_get(f, "name"));
        if (!w->tool || !strcmp(w->tool, name)) list[n_list++] = call_of(b, tags, t, f);
    }
    const uint32_t one = mk_grammar_choice(b, list, n_list);
    const uint32_t all[] = {mk_grammar_tags(b, t, tags->all_begin),
                            mk_grammar_repeat(b, one, 1, w->is_parallel ? MAX_CALLS : 1),
                            mk_grammar_tags(b, t, tags->all_end)};
    free(list);
    return mk_grammar_seq(b, all, 3);
}

/* What comes after the thought. */
static uint32_t answer_of(struct mk_grammar_builder *b, const struct mk_shape_want *w,
                          const struct mk_template *t, const struct mk_tokenizer *tokenizer)
{
    if (w->schema) return mk_grammar_schema(b, w->schema);
    if (w->any_object) return mk_grammar_json_object(b);
    if (w->regex) return mk_grammar_regex(b, w->regex, strlen(w->regex));
    const uint32_t calls = calls_of(b, w, t->calls, tokenizer);
    if (w->must_call) return calls;
    const uint32_t parts[] = {mk_grammar_without(b, tokenizer, t->calls->all_begin),
                              mk_grammar_repeat(b, calls, 0, 1)};
    return mk_grammar_seq(b, parts, 2);
}

/* A thought that is open, or may be opened, and the line breaks that models put after it. */
static uint32_t thought_of(struct mk_grammar_builder *b, const struct mk_shape_want *w,
                           const struct mk_template *t, const struct mk_tokenizer *tokenizer)
{
    static const char breaks[] = "\n{0,2}";
    const uint32_t rest[] = {mk_grammar_until(b, tokenizer, t->think_close),
                             mk_grammar_regex(b, breaks, sizeof breaks - 1)};
    const uint32_t open = mk_grammar_seq(b, rest, 2);
    if (w->in_reasoning) return open;
    const uint32_t whole[] = {mk_grammar_tags(b, tokenizer, t->think_open), open};
    return mk_grammar_repeat(b, mk_grammar_seq(b, whole, 2), 0, 1);
}

static bool compile(struct mk_grammar **out, const struct mk_shape_want *w,
                    const struct mk_template *t, const struct mk_tokenizer *tokenizer,
                    struct mk_err *err)
{
    const bool has_thought = t->think_close && (w->in_reasoning || w->may_think);
    struct mk_grammar_builder *b = mk_grammar_begin();
    uint32_t root = answer_of(b, w, t, tokenizer);
    if (has_thought) {
        const uint32_t parts[] = {thought_of(b, w, t, tokenizer), root};
        root = mk_grammar_seq(b, parts, 2);
    }
    return mk_grammar_finish(out, b, root, err);
}

/* ---- keeping them ------------------------------------------------------------------ */

void mk_shape_release(struct mk_shape *s)
{
    if (!s || atomic_fetch_sub(&s->n_refs, 1) > 1) return;
    mk_grammar_free(s->grammar);
    free(s);
}

void mk_shapes_init(struct mk_shapes *s)
{
    *s = (struct mk_shapes){0};
    pthread_mutex_init(&s->lock, NULL);
}

void mk_shapes_release(struct mk_shapes *s)
{
    for (size_t i = 0; i < MK_SHAPES; i++) mk_shape_release(s->list[i].shape);
    pthread_mutex_destroy(&s->lock);
}

static void key_of(uint8_t key[32], const struct mk_shape_want *w)
{
    json_t *v = json_pack("{s:O?, s:b, s:s?, s:O?, s:b, s:s?, s:b, s:b, s:b}", "schema", w->schema,
                          "any", w->any_object, "regex", w->regex, "tools", w->tools, "must",
                          w->must_call, "tool", w->tool, "parallel", w->is_parallel, "thought",
                          w->in_reasoning, "think", w->may_think);
    char *text = json_dumps(v, JSON_COMPACT);
    mk_digest(key, text, strlen(text));
    free(text);
    json_decref(v);
}

/* With one more reference, or NULL. */
static struct mk_shape *find(struct mk_shapes *s, const uint8_t key[32])
{
    struct mk_shape *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < MK_SHAPES && !found; i++)
        if (s->list[i].shape && !memcmp(s->list[i].key, key, 32)) {
            found = s->list[i].shape;
            s->list[i].used = ++s->clock;
            atomic_fetch_add(&found->n_refs, 1);
        }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void keep(struct mk_shapes *s, const uint8_t key[32], struct mk_shape *shape)
{
    size_t oldest = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < MK_SHAPES; i++)
        if (s->list[i].used < s->list[oldest].used) oldest = i;
    mk_shape_release(s->list[oldest].shape);
    memcpy(s->list[oldest].key, key, 32);
    s->list[oldest].shape = shape;
    s->list[oldest].used = ++s->clock;
    atomic_fetch_add(&shape->n_refs, 1);
    pthread_mutex_unlock(&s->lock);
}

bool mk_shapes_get(struct mk_shape **out, struct mk_shapes *s, const struct mk_shape_want *w,
                   const struct mk_template *t, const struct mk_tokenizer *tokenizer,
                   struct mk_err *err)
{
    uint8_t key[32];
    struct mk_grammar *g;
    key_of(key, w);
    struct mk_shape *shape = find(s, key);
    if (!shape) {
        if (!compile(&g, w, t, tokenizer, err)) return false;
        shape = mk_alloc(sizeof *shape);
        shape->grammar = g;
        atomic_init(&shape->n_refs, 1);
        keep(s, key, shape);
    }
    *out = shape;
    return true;
}
