/* Which type each matrix gets.  The mixtures are those that users of GGUF files know by
 * name: a base type, and more bits where errors hurt most. */
#include "cli/convert.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What a matrix does, as far as the mixtures care. */
enum role { OTHER, OUTPUT, VALUE, DOWN, ATTN_OUT };

static const struct {
    const char *name; /* between "blk.N." and ".weight" */
    enum role role;
} roles[] = {{"output", OUTPUT},       {"nextn.shared_head_head", OUTPUT},
             {"attn_v", VALUE},        {"attn_kv_b", VALUE},
             {"attn_k_b", VALUE},      {"attn_v_b", VALUE},
             {"ffn_down", DOWN},       {"ffn_down_exps", DOWN},
             {"ffn_down_shexp", DOWN}, {"attn_output", ATTN_OUT}};

static enum role role_of(const struct mk_type_query *q)
{
    const char *s = q->gguf;
    if (!q->has_output && !strcmp(s, "token_embd.weight")) return OUTPUT;
    if (!strncmp(s, "blk.", 4)) s = strchr(s + 4, '.') + 1;
    const char *end = strstr(s, ".weight");
    for (size_t i = 0; end && i < sizeof roles / sizeof *roles; i++)
        if (strlen(roles[i].name) == (size_t)(end - s) &&
            !strncmp(roles[i].name, s, (size_t)(end - s)))
            return roles[i].role;
    return OTHER;
}

/* In which layers. */
enum where { ALL, OUTER, FIRST_8TH, FIRST_16TH, FIRST_4, FIRST_2 };

/* OUTER: the first and last eighth, and each third layer between. */
static bool is_there(enum where w, size_t i, size_t n)
{
    switch (w) {
    case OUTER:
        return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case FIRST_8TH:
        return i < n / 8;
    case FIRST_16TH:
        return i < n / 16;
    case FIRST_4:
        return i < 4;
    case FIRST_2:
        return i < 2;
    default:
        return true;
    }
}

enum { MAX_RULES = 6 };
static const struct mix {
    const char *name;
    int file_type;
    enum mk_type base;
    struct rule {
        enum role role; /* OTHER ends the rules */
        enum where where;
        enum mk_type type;
    } rules[MAX_RULES]; /* the first that matches */
} mixes[] = {
    {"Q3_K_S", 11, MK_Q3_K, {{OUTPUT, ALL, MK_Q6_K}}},
    {"Q3_K_M",
     12,
     MK_Q3_K,
     {{OUTPUT, ALL, MK_Q6_K},
      {VALUE, FIRST_2, MK_Q5_K},
      {VALUE, ALL, MK_Q4_K},
      {DOWN, FIRST_16TH, MK_Q5_K},
      {DOWN, ALL, MK_Q4_K},
      {ATTN_OUT, ALL, MK_Q4_K}}},
    {"Q3_K_L",
     13,
     MK_Q3_K,
     {{OUTPUT, ALL, MK_Q6_K},
      {VALUE, ALL, MK_Q5_K},
      {DOWN, ALL, MK_Q5_K},
      {ATTN_OUT, ALL, MK_Q5_K}}},
    {"Q4_K_S",
     14,
     MK_Q4_K,
     {{OUTPUT, ALL, MK_Q6_K}, {VALUE, FIRST_4, MK_Q5_K}, {DOWN, FIRST_8TH, MK_Q5_K}}},
    {"Q4_K_M",
     15,
     MK_Q4_K,
     {{OUTPUT, ALL, MK_Q6_K}, {VALUE, OUTER, MK_Q6_K}, {DOWN, OUTER, MK_Q6_K}}},
    {"Q5_K_S", 16, MK_Q5_K, {{OUTPUT, ALL, MK_Q6_K}}},
    {"Q5_K_M",
     17,
     MK_Q5_K,
     {{OUTPUT, ALL, MK_Q6_K}, {VALUE, OUTER, MK_Q6_K}, {DOWN, OUTER, MK_Q6_K}}},
};
enum { N_MIXES = sizeof mixes / sizeof *mixes };

int mk_file_type(enum mk_type t)
{
    static const struct {
        enum mk_type type;
        int n;
    } list[] = {{MK_F32, 0},   {MK_F16, 1},    {MK_Q4_0, 2},    {MK_Q4_1, 3},
                {MK_Q8_0, 7},  {MK_Q5_0, 8},   {MK_Q5_1, 9},    {MK_Q2_K, 10},
                {MK_Q3_K, 11}, {MK_Q4_K, 14},  {MK_Q5_K, 16},   {MK_Q6_K, 18},
                {MK_BF16, 32}, {MK_MXFP4, 38}, {MK_IQ4_NL, 25}, {MK_IQ4_XS, 30}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].type == t) return list[i].n;
    return -1;
}

const char *mk_recipe_mixes(void)
{
    static char text[N_MIXES * 8];
    size_t n = 0;
    for (size_t i = 0; i < N_MIXES; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i ? ", %s" : "%s", mixes[i].name);
    return text;
}

static bool unknown(const char *name, bool has_mixes, struct mk_err *err)
{
    struct mk_str s = {0};
    for (int i = 0; i < MK_N_TYPES; i++)
        if (mk_quants[i].kind != MK_PLAIN) mk_str_addf(&s, "%s, ", mk_quants[i].name);
    mk_fail(err, MK_EUSAGE, "--type %s is unknown; known are %s%s", name, mk_str_c(&s),
            has_mixes ? mk_recipe_mixes() : "keep");
    mk_str_release(&s);
    return false;
}

bool mk_recipe_find(struct mk_recipe *out, const char *name, bool has_mixes, struct mk_err *err)
{
    struct mk_recipe r = {.name = name, .mix = -1, .file_type = -1};
    if (!name || (!has_mixes && !strcasecmp(name, "keep"))) {
        *out = (struct mk_recipe){.name = "keep", .keeps = true, .mix = -1, .file_type = -1};
        return true;
    }
    for (int i = 0; has_mixes && i < N_MIXES; i++)
        if (!strcasecmp(name, mixes[i].name)) {
            *out = (struct mk_recipe){.name = mixes[i].name,
                                      .type = mixes[i].base,
                                      .mix = i,
                                      .file_type = mixes[i].file_type};
            return true;
        }
    const int type = strcasecmp(name, "f8") ? mk_type_of_name(name) : MK_F8_E4M3;
    if (type < 0 || mk_quants[type].kind == MK_PLAIN) return unknown(name, has_mixes, err);
    r.name = mk_quants[type].name;
    r.type = (enum mk_type)type;
    r.file_type = mk_file_type(r.type);
    *out = r;
    return true;
}

/* A type with shorter blocks and no fewer bits; for the shortest, a 16-bit float. */
static enum mk_type shorter(enum mk_type t, bool is_bf16)
{
    static const enum mk_type next[MK_N_TYPES] = {
        [MK_Q2_K] = MK_Q4_0, [MK_Q3_K] = MK_Q4_0, [MK_Q4_K] = MK_Q5_0,
        [MK_Q5_K] = MK_Q5_1, [MK_Q6_K] = MK_Q8_0, [MK_IQ4_XS] = MK_IQ4_NL};
    return next[t] ? next[t] : is_bf16 ? MK_BF16 : MK_F16;
}

enum mk_type mk_recipe_type(const struct mk_recipe *r, const struct mk_type_query *q,
                            enum mk_type *wanted)
{
    enum mk_type t = r->type;
    const enum role role = r->mix < 0 ? OTHER : role_of(q);
    for (int i = 0; role != OTHER && i < MAX_RULES; i++) {
        const struct rule *rule = &mixes[r->mix].rules[i];
        if (rule->role != role ||
            (q->layer >= 0 && !is_there(rule->where, (size_t)q->layer, q->n_layer)))
            continue;
        t = rule->type;
        break;
    }
    *wanted = t;
    while (q->n_cols % mk_quants[t].block_len) t = shorter(t, q->is_bf16);
    return t;
}
