#ifndef MK_ENGINE_INT_GRAMMAR_H
#define MK_ENGINE_INT_GRAMMAR_H
/* Private to engine/: how a grammar is stored, and what its builders share.
 *
 *   grammar.c           nodes and their combinations
 *   grammar_check.c     what is known of a whole grammar: empty texts, heights, left recursion
 *   grammar_chars.c     sets of characters, as UTF-8 or as JSON spells them
 *   grammar_regex.c     regular expressions
 *   grammar_range.c     numbers between bounds, digit by digit
 *   grammar_json.c      JSON without a schema
 *   grammar_schema.c    schemas: references, choices, types
 *   grammar_object.c    objects and arrays
 *   grammar_scalar.c    strings and numbers
 *   grammar_merge.c     two schemas in one */
#include "base/mem.h"
#include "base/str.h"
#include "engine/grammar.h"

#include <jansson.h>

/* A grammar is a graph of nodes; only MK_NODE_REF makes it cyclic. */
enum mk_node_kind {
    MK_NODE_EMPTY,  /* the empty text */
    MK_NODE_BYTES,  /* one byte of a set */
    MK_NODE_TEXT,   /* one or more given bytes */
    MK_NODE_TOKEN,  /* one special token */
    MK_NODE_TOKENS, /* any special token but one */
    MK_NODE_SEQ,    /* children in order, two or more */
    MK_NODE_CHOICE, /* one of the children; without any it fits no text */
    MK_NODE_REPEAT, /* a child min to max times */
    MK_NODE_REF,    /* another node, which may be made later */
};
struct mk_node {
    uint8_t kind;
    bool can_be_empty;
    uint16_t height; /* open parts that its shallowest text needs; MK_NO_HEIGHT: fits no text */
    uint32_t cost;   /* tokens that its shortest text needs at most: a byte each, or a tag */
    union {
        uint64_t set[4];      /* BYTES */
        struct mk_node_list { /* TEXT: into text; SEQ, CHOICE: into kids */
            uint32_t at, n;
        } list;
        int32_t token;          /* TOKEN; TOKENS: the one that is not meant, or -1 */
        struct mk_node_repeat { /* REPEAT */
            uint32_t kid, min, max;
        } repeat;
        struct mk_node_ref {   /* REF */
            uint32_t to, name; /* name: offset of a NUL-terminated text, for messages */
        } ref;
    };
};
enum { MK_NO_HEIGHT = UINT16_MAX };

struct mk_grammar {
    struct mk_node *nodes;
    uint32_t *kids;
    struct mk_str text;
    size_t n_nodes, cap_nodes, n_kids, cap_kids;
    uint32_t root;
};

struct mk_grammar_builder {
    struct mk_grammar *g;
    struct mk_err err; /* the first failure */
    /* Made once each, 0 while there is none. */
    uint32_t space, string, any, any_object, any_char;
};

/* x + n y, but no more than MK_NO_LIMIT. */
static inline uint32_t mk_cost_add(uint32_t x, uint32_t y, uint32_t n)
{
    const uint64_t sum = x + (uint64_t)y * n;
    return sum > MK_NO_LIMIT ? MK_NO_LIMIT : (uint32_t)sum;
}

static inline bool mk_set_has(const uint64_t *set, unsigned byte)
{
    return set[byte >> 6] >> (byte & 63) & 1;
}
static inline void mk_set_add(uint64_t *set, unsigned byte)
{
    set[byte >> 6] |= (uint64_t)1 << (byte & 63);
}

/* ---- grammar.c ---- */
/* Node 0 is the empty text; functions that fail return it. */
uint32_t mk_grammar_fail(struct mk_grammar_builder *b, enum mk_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
uint32_t mk_grammar_add(struct mk_grammar_builder *b, const struct mk_node *n);
uint32_t mk_grammar_bytes(struct mk_grammar_builder *b, const uint64_t *set);
uint32_t mk_grammar_str(struct mk_grammar_builder *b, const char *text);
uint32_t mk_grammar_pair(struct mk_grammar_builder *b, uint32_t x, uint32_t y); /* x y */
uint32_t mk_grammar_either(struct mk_grammar_builder *b, uint32_t x, uint32_t y);
uint32_t mk_grammar_maybe(struct mk_grammar_builder *b, uint32_t x);
uint32_t mk_grammar_never(struct mk_grammar_builder *b);
/* A node for what is not made yet; _bind says what it is.  name: for messages. */
uint32_t mk_grammar_forward(struct mk_grammar_builder *b, const char *name);
void mk_grammar_bind(struct mk_grammar_builder *b, uint32_t ref, uint32_t to);

/* ---- grammar_check.c ---- */
bool mk_grammar_check(struct mk_grammar *g, struct mk_err *err) MK_CHECKED;

/* ---- grammar_chars.c ---- */
struct mk_chars { /* zeroed is empty; ranges of code points */
    struct mk_char_range {
        uint32_t lo, hi;
    } * v;
    size_t n, cap;
};
void mk_chars_add(struct mk_chars *c, uint32_t lo, uint32_t hi);
void mk_chars_sort(struct mk_chars *c);   /* in order, disjoint, no surrogates */
void mk_chars_invert(struct mk_chars *c); /* sorts first */
void mk_chars_release(struct mk_chars *c);
/* How a character is written: itself, or inside a JSON string, with escapes where JSON demands
 * them and only there, so that a character has one spelling. */
enum mk_spelling { MK_SPELL_PLAIN, MK_SPELL_JSON };
/* One character of the set.  Sorts it. */
uint32_t mk_grammar_chars(struct mk_grammar_builder *b, struct mk_chars *c, enum mk_spelling s);
void mk_str_add_spelled(struct mk_str *out, uint32_t cp, enum mk_spelling s);

/* ---- grammar_regex.c ---- */
struct mk_regex_lengths { /* in characters; max MK_NO_LIMIT: none */
    uint32_t min, max;
};
struct mk_regex_use {
    enum mk_spelling spelling;
    bool is_search;    /* a match anywhere in the text will do */
    const char *where; /* for messages */
};
/* lengths may be NULL. */
uint32_t mk_grammar_regex_for(struct mk_grammar_builder *b, const char *pattern, size_t n,
                              const struct mk_regex_use *use, struct mk_regex_lengths *lengths);
uint32_t mk_grammar_re(struct mk_grammar_builder *b, const char *pattern); /* our own */

/* ---- grammar_range.c ---- */
/* A bound as a decimal: digits without the point, n_frac of them behind it. */
struct mk_bound {
    bool is_set, is_negative, is_open; /* open: the bound itself is out */
    char digits[40];                   /* at least one before the point, no other leading zeros */
    int n_frac;
};
/* Decimals from lo to hi with at most n_frac digits after the point; 0: integers. */
uint32_t mk_grammar_range(struct mk_grammar_builder *b, const struct mk_bound *lo,
                          const struct mk_bound *hi, int n_frac);
/* Integers that n divides, 1 <= n <= MK_MAX_MULTIPLE: 0 and those of the signs named. */
enum { MK_MAX_MULTIPLE = 100 };
uint32_t mk_grammar_multiples(struct mk_grammar_builder *b, unsigned n, bool negative,
                              bool positive);

/* ---- grammar_json.c ---- */
uint32_t mk_grammar_space(struct mk_grammar_builder *b);
uint32_t mk_grammar_json_char(struct mk_grammar_builder *b);   /* one, in any spelling */
uint32_t mk_grammar_json_string(struct mk_grammar_builder *b); /* any, with its quotes */
uint32_t mk_grammar_quoted(struct mk_grammar_builder *b, uint32_t x);
/* open, space, x, space, close. */
uint32_t mk_grammar_bracket(struct mk_grammar_builder *b, const char *open, uint32_t x,
                            const char *close);
/* min to max times x with commas between; first is true when nothing comes before. */
uint32_t mk_grammar_list(struct mk_grammar_builder *b, uint32_t x, uint32_t min, uint32_t max);
/* Comma, space, x. */
uint32_t mk_grammar_next(struct mk_grammar_builder *b, uint32_t x);
/* Key (with its quotes), colon, space, value. */
uint32_t mk_grammar_member(struct mk_grammar_builder *b, uint32_t key, uint32_t value);
uint32_t mk_grammar_json_number(struct mk_grammar_builder *b);
uint32_t mk_grammar_const(struct mk_grammar_builder *b, const json_t *v); /* written compactly */

/* ---- schemas ---- */
enum { MK_SCHEMA_REFS = 2000 }; /* different targets of $ref */
struct mk_schema {
    struct mk_grammar_builder *b;
    const json_t *root;
    struct mk_str path; /* "#/properties/a": of the schema being read */
    unsigned depth;
    size_t n_properties, n_enum;
    /* Targets of $ref in the order met. */
    struct mk_schema_ref {
        const json_t *schema;
        char *name;
        uint32_t node;
    } * refs;
    size_t n_refs, cap_refs;
};
/* grammar_schema.c: a schema within the one being read: its path is "key" or "key/name" on. */
uint32_t mk_schema_sub(struct mk_schema *s, const json_t *schema, const char *key,
                       const char *name);
uint32_t mk_schema_sub_at(struct mk_schema *s, const json_t *schema, const char *key, size_t i);
uint32_t mk_schema_fail(struct mk_schema *s, enum mk_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool mk_schema_has_failed(const struct mk_schema *s)
{
    return s->b->err.code != MK_OK;
}
/* A keyword that is a count from 0 up; absent: what it is without it. */
uint32_t mk_schema_count(struct mk_schema *s, const json_t *schema, const char *key,
                         uint32_t absent);
/* A keyword whose value has this type, NULL if it is absent; fails on other types. */
json_t *mk_schema_get(struct mk_schema *s, const json_t *schema, const char *key, json_type type);
bool mk_schema_is_remark(const char *key); /* says nothing about values */
/* grammar_merge.c.  What a reference points to, NULL after a failure. */
const json_t *mk_schema_find(struct mk_schema *s, const char *ref);
/* A new schema for what both demand, NULL after a failure. */
json_t *mk_schema_merge(struct mk_schema *s, const json_t *x, const json_t *y);
/* A copy without a keyword. */
json_t *mk_schema_without(const json_t *schema, const char *key);
/* The same schema without a $ref of its own, NULL after a failure. */
json_t *mk_schema_resolve(struct mk_schema *s, const json_t *schema);
/* grammar_object.c */
uint32_t mk_schema_object(struct mk_schema *s, const json_t *schema);
uint32_t mk_schema_array(struct mk_schema *s, const json_t *schema);
/* grammar_scalar.c */
uint32_t mk_schema_string(struct mk_schema *s, const json_t *schema);
uint32_t mk_schema_number(struct mk_schema *s, const json_t *schema, bool is_integer);
#endif
