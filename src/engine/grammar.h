#ifndef MK_ENGINE_GRAMMAR_H
#define MK_ENGINE_GRAMMAR_H
/* What a generation may say: a context-free grammar over bytes and special tokens, compiled
 * from JSON schemas, regular expressions and combinations of them.  constraint.h follows a
 * generation under one; mk_generation.grammar sets it.
 *
 *     struct mk_grammar_builder *b = mk_grammar_begin();
 *     const uint32_t call[] = {mk_grammar_text(b, "get_weather", 11), mk_grammar_tags(b, t, SEP),
 *                              mk_grammar_schema(b, parameters), mk_grammar_tags(b, t, END)};
 *     ok = mk_grammar_finish(&g, b, mk_grammar_seq(b, call, 4), err);
 *
 * An expression is a number that is good for its builder and may be used any number of times.
 * The first failure is kept and told by _finish: what is built after it is harmless.
 *
 * A grammar says which texts are whole.  The end of the turn is not part of it: end tokens are
 * allowed exactly where the text is whole.  Everything outside its limits is MK_ELIMIT, what
 * is understood and cannot be enforced MK_EUNSUPPORTED, and both say where.
 *
 * A grammar is read-only after _finish and may be shared by threads. */
#include "base/err.h"
#include "token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mk_grammar;
struct mk_grammar_builder;
struct json_t; /* jansson's */

enum {
    MK_GRAMMAR_NODES = 50000,    /* parts of a compiled grammar */
    MK_GRAMMAR_TEXT = 4 << 20,   /* bytes of all its literals */
    MK_GRAMMAR_HEIGHT = 512,     /* open parts at a time: some 100 nested JSON values */
    MK_SCHEMA_DEPTH = 32,        /* schemas within schemas, not counting $ref */
    MK_SCHEMA_PROPERTIES = 2000, /* of all objects together */
    MK_SCHEMA_ENUM = 4000,       /* values of all enums together */
    MK_PATTERN_BYTES = 1024,     /* of one regular expression */
    MK_PATTERN_REPEATS = 100000, /* the largest m, n of {m,n} */
};
#define MK_NO_LIMIT UINT32_MAX

struct mk_grammar_builder *mk_grammar_begin(void);
/* Frees b, whatever happens.  Fails also on a grammar that no text fits, that can come back to
 * itself with nothing in between, or whose shortest text is nested too deeply. */
bool mk_grammar_finish(struct mk_grammar **out, struct mk_grammar_builder *b, uint32_t root,
                       struct mk_err *err) MK_CHECKED;
void mk_grammar_free(struct mk_grammar *g); /* NULL is fine */

/* ---- combinations ---- */
/* Exactly these bytes, made of ordinary tokens: for names from outside. */
uint32_t mk_grammar_text(struct mk_grammar_builder *b, const char *bytes, size_t n);
/* Our own text: the special tokens and tags in it ("<think>") are themselves, never spelled. */
uint32_t mk_grammar_tags(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                         const char *text);
uint32_t mk_grammar_token(struct mk_grammar_builder *b, int32_t id); /* this special token */
uint32_t mk_grammar_seq(struct mk_grammar_builder *b, const uint32_t *list, size_t n);
uint32_t mk_grammar_choice(struct mk_grammar_builder *b, const uint32_t *list, size_t n);
/* x from min to max times; max may be MK_NO_LIMIT.  Counts cost nothing. */
uint32_t mk_grammar_repeat(struct mk_grammar_builder *b, uint32_t x, uint32_t min, uint32_t max);
/* Any text and special tokens up to the first mark and with it: {until("</think>"), schema}
 * leaves a thought free.  A mark that is one special token or tag means that token. */
uint32_t mk_grammar_until(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                          const char *mark);
/* Any text and special tokens without the mark: where it may be said or not. */
uint32_t mk_grammar_without(struct mk_grammar_builder *b, const struct mk_tokenizer *t,
                            const char *mark);

/* ---- regular expressions ----
 * The whole text must match.  ECMAScript's syntax, without flags, over Unicode characters:
 *     x  .  [a-z] [^a-z]  \d \D \w \W \s \S  \n \r \t \f \v \0 \xHH \uHHHH \u{H...} \cX
 *     (x) (?:x) (?<name>x)  x|y  x* x+ x? x{m} x{m,} x{m,n}, lazy or not: the texts are the same
 *     ^ and $ at the ends of a whole alternative, where they say nothing new
 * Look-around, back references, \b, \B, \p and inline flags are MK_EUNSUPPORTED. */
uint32_t mk_grammar_regex(struct mk_grammar_builder *b, const char *pattern, size_t n);

/* ---- JSON ----
 * White space: none around the whole; inside, after { [ , : and before } ] one space, or one line
 * break and at most 32 spaces.  So text may be compact, as Python writes it, or indented, and
 * cannot go on for ever without content.  For the same reason numbers that nothing else
 * limits have at most 18 digits (integers), or 15 before and 15 after the point and two in the
 * exponent: they fit 64 bits.  Strings are valid UTF-8 without \u0000 and half surrogates. */
uint32_t mk_grammar_json(struct mk_grammar_builder *b); /* any value */
uint32_t mk_grammar_json_object(struct mk_grammar_builder *b);
/* What a schema (draft 7 to 2020-12) allows, or a part of it where the rest is of no use:
 *   - properties come in the schema's order; without additionalProperties there are no others
 *     where it has "properties".  additionalProperties: after the declared ones, under other
 *     names (nothing keeps those from repeating)
 *   - prefixItems are all there
 *   - oneOf is anyOf: that a value fits just one of them is not enforced
 *   - $ref is to "#", or "#/..." within the document; allOf, and keywords beside anyOf, oneOf and
 *     $ref, are merged where each keyword stands once or the merge is plain (bounds, required,
 *     different properties)
 *   - pattern is a search, as the standard has it: "^...$" matches the whole.  Its characters
 *     are written in one way each.  Beside a pattern, format is a remark, and minLength and
 *     maxLength must follow from the pattern
 *   - format of strings: date-time, date, time, duration, email, hostname, ipv4, ipv6, uuid,
 *     uuid4, uri (all of bounded length); binary and password are any text.  Of numbers it is a
 *     remark
 *   - propertyNames: in objects without named properties; an enum of names anywhere
 *   - integer: bounds by digits, multipleOf up to 100 (beside it the only bound is 0); number:
 *     bounds by digits, without exponents, multipleOf a power of ten from 1 down
 *   - const and enum are written compactly
 * title, description, default, examples and the like are skipped.  Every other keyword that
 * would apply is MK_EUNSUPPORTED: "#/properties/a: uniqueItems cannot be enforced". */
uint32_t mk_grammar_schema(struct mk_grammar_builder *b, const struct json_t *schema);

/* ---- all in one ---- */
bool mk_grammar_from_schema(struct mk_grammar **out, const char *json, size_t n,
                            struct mk_err *err) MK_CHECKED;
bool mk_grammar_from_regex(struct mk_grammar **out, const char *pattern, size_t n,
                           struct mk_err *err) MK_CHECKED;
#endif
