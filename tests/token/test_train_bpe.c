/* Learning a vocabulary: worked examples, a plain version written from the definition, and
 * what is written is read back as the same tokenizer. */
#include "helpers.h"

#include "base/rng.h"
#include "token/int_token.h"
#include "token/train.h"

static const char *const three[] = {"<b>", "<e>", "<p>", NULL};

static struct mk_tokenizer *train(const struct mk_bpe_options *o, const char *const *texts)
{
    struct mk_bpe_trainer *t = NULL;
    struct mk_tokenizer *tok = NULL;
    struct mk_err err;
    if (!mk_bpe_trainer_new(&t, o, &err)) fail_msg("%s", err.msg);
    for (; *texts; texts++)
        if (!mk_bpe_trainer_add(t, *texts, strlen(*texts), &err)) fail_msg("%s", err.msg);
    if (!mk_bpe_trainer_run(t, NULL, NULL, &tok, &err)) fail_msg("%s", err.msg);
    mk_bpe_trainer_free(t);
    return tok;
}

static struct mk_tokenizer *train_one(const struct mk_bpe_options *o, const char *text)
{
    const char *const texts[] = {text, NULL};
    return train(o, texts);
}

static void check_token(const struct mk_tokenizer *t, int32_t id, const char *want)
{
    size_t n;
    const char *s = mk_token_bytes(t, id, &n);
    if (!s || n != strlen(want) || memcmp(s, want, n))
        fail_msg("token %d is \"%.*s\", want \"%s\"", (int)id, (int)n, s ? s : "", want);
}

/* Words with their white space: "low" 1, " low" 4, " lower" 2, " newest" 6, " widest" 3.
 *   pairs: es 9, st 9, we 8, lo 7, ow 7, (space n) 6, ne 6, ew 6, (space l) 6, ...
 *   1. es and st both 9: e is lower than s      2. (es)t 9
 *   3. lo and ow both 7: l is lower             4. (lo)w 7
 *   5. of those with 6, (space low), (space n), ne, ew, w(est), the space is lowest, and n
 *      (110) is lower than the token low        6. (space low) 6 */
static void test_by_hand(void **state)
{
    (void)state;
    static const char text[] = "low low low low low lower lower newest newest newest newest newest"
                               " newest widest widest widest";
    static const char *const want[] = {"es", "est", "lo", "low", " n", " low"};
    const struct mk_bpe_options o = {.n_vocab = 259 + 6, .specials = three};
    struct mk_tokenizer *t = train_one(&o, text);
    assert_int_equal(mk_token_count(t), 265);
    for (int i = 0; i < 6; i++) check_token(t, 259 + i, want[i]);
    const int32_t lowest[] = {264, 260}, new[] = {263, 3 + 'e', 3 + 'w'};
    check_text(t, " lowest", 0, lowest, 2);
    check_text(t, " new", 0, new, 3);
    mk_tokenizer_free(t);
}

/* ---- against the definition ---- */

enum { MAX_SYMS = 4096 };
struct plain { /* symbols of all words one after the other, -1 between words */
    int32_t sym[MAX_SYMS];
    size_t n;
    char text[512][64]; /* of symbols, from 3 on as in the tokenizer */
    int32_t n_sym;
};

static int32_t plain_symbol(struct plain *p, int32_t left, int32_t right)
{
    char text[128];
    snprintf(text, sizeof text, "%s%s", p->text[left], p->text[right]);
    for (int32_t i = 3; i < p->n_sym; i++)
        if (!strcmp(p->text[i], text)) return i;
    snprintf(p->text[p->n_sym], sizeof p->text[0], "%.63s", text);
    return p->n_sym++;
}

static size_t plain_count(const struct plain *p, int32_t left, int32_t right)
{
    size_t n = 0;
    for (size_t i = 0; i + 1 < p->n; i++) n += p->sym[i] == left && p->sym[i + 1] == right;
    return n;
}

/* The most frequent pair, of equals the lowest: counts all from the start every time. */
static bool plain_best(const struct plain *p, int32_t *left, int32_t *right)
{
    size_t most = 1;
    for (size_t i = 0; i + 1 < p->n; i++) {
        const int32_t a = p->sym[i], b = p->sym[i + 1];
        if (a < 0 || b < 0) continue;
        const size_t n = plain_count(p, a, b);
        if (n < most || n < 2) continue;
        if (n == most && (*left < a || (*left == a && *right <= b))) continue;
        most = n;
        *left = a;
        *right = b;
    }
    return most > 1;
}

static void plain_merge(struct plain *p, int32_t left, int32_t right, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const bool hit = i + 1 < p->n && p->sym[i] == left && p->sym[i + 1] == right;
        p->sym[n++] = hit ? id : p->sym[i];
        i += hit;
    }
    p->n = n;
}

/* Words of few letters, so that ties and runs like "aaaa" are common, and so are tokens that two
 * pairs can make. */
static void test_plain(void **state)
{
    (void)state;
    struct mk_rng r = {5};
    static struct plain p;
    for (int round = 0; round < 40; round++) {
        p.n = 0;
        p.n_sym = 259;
        for (int b = 0; b < 256; b++) snprintf(p.text[3 + b], sizeof p.text[0], "%c", b);
        struct mk_str text = {0};
        const unsigned n_letters = 2 + (unsigned)(mk_rng_u64(&r) % 4);
        for (int w = 0; w < 60; w++) {
            mk_str_addc(&text, '\n'); /* a piece of its own in this family */
            p.sym[p.n++] = -1;
            for (size_t k = 1 + mk_rng_u64(&r) % 12; k-- > 0;) {
                const char c = (char)('a' + mk_rng_u64(&r) % n_letters);
                mk_str_addc(&text, c);
                p.sym[p.n++] = 3 + c;
            }
        }
        const size_t n_new = 1 + mk_rng_u64(&r) % 20;
        struct mk_tokenizer *t = train_one(
            &(struct mk_bpe_options){.n_vocab = 259 + n_new, .specials = three}, text.data);
        size_t at = 0;
        while ((size_t)p.n_sym < 259 + n_new) {
            int32_t left = 0, right = 0;
            assert_true(plain_best(&p, &left, &right));
            const int32_t id = plain_symbol(&p, left, right);
            plain_merge(&p, left, right, id);
            bool again = false; /* a pair that comes together again has its rule already */
            for (size_t i = 0; i < at; i++)
                again |= t->vocab.merges[i].left == left && t->vocab.merges[i].right == right;
            if (again) continue;
            assert_true(at < t->vocab.n_merges);
            assert_int_equal(t->vocab.merges[at].left, left);
            assert_int_equal(t->vocab.merges[at].right, right);
            assert_int_equal(t->vocab.merges[at].id, id);
            check_token(t, id, p.text[id]);
            at++;
        }
        assert_int_equal(at, t->vocab.n_merges);
        mk_tokenizer_free(t);
        mk_str_release(&text);
    }
}

/* ---- properties ---- */

static const char lines[] = "Anna has 12 apples and buys 30 more: 12 + 30 = 42. How many apples?\n"
                            "Ben has 12 pears (and 7 plums), so 12 + 7 = 19; is 19 > 12? Yes!\n"
                            "Caf\xc3\xa9 na\xc3\xafve, caf\xc3\xa9: the cafe sells coffee, and "
                            "apples; and many more apples. <think> <think> 5*5/5-5\n";

static void check_same(const struct mk_tokenizer *a, const struct mk_tokenizer *b)
{
    struct mk_str x = {0}, y = {0};
    mk_tokenizer_put_json(a, &x);
    mk_tokenizer_put_json(b, &y);
    mk_tokenizer_put_config(a, &x);
    mk_tokenizer_put_config(b, &y);
    assert_string_equal(x.data, y.data);
    mk_str_release(&x);
    mk_str_release(&y);
}

/* Neither the order of texts nor how they are given changes anything. */
static void test_order(void **state)
{
    (void)state;
    const struct mk_bpe_options o = {.n_vocab = 263 + 40};
    const char *const ab[] = {lines, "apples and pears\n", "Anna buys coffee", NULL};
    const char *const ba[] = {"Anna buys coffee", "apples and pears\n", lines, NULL};
    struct mk_tokenizer *a = train(&o, ab), *b = train(&o, ba);
    check_same(a, b);
    mk_tokenizer_free(a);
    mk_tokenizer_free(b);
}

static bool has_single(const struct mk_tokenizer *t, int32_t id)
{
    size_t n;
    const char *s = mk_token_bytes(t, id, &n);
    for (size_t i = 0; i < n; i++)
        if (s[i] && strchr(MK_BPE_SINGLE, s[i])) return true;
    return false;
}

static size_t count_single(const char *single)
{
    const struct mk_bpe_options o = {.n_vocab = 263 + 40, .single = single};
    const char *const texts[] = {lines, lines, NULL};
    struct mk_tokenizer *t = train(&o, texts);
    size_t n = 0;
    for (int32_t id = 259; id < 299; id++) n += has_single(t, id);
    if (single) {
        const int32_t ids[] = {3 + '1', 3 + '2', 3 + ' ', 3 + '+', 3 + '7', 3 + '?', 3 + '!'};
        check_text(t, "12 +7?!", 0, ids, 7);
    }
    mk_tokenizer_free(t);
    return n;
}

static void test_single(void **state)
{
    (void)state;
    assert_true(count_single(NULL) > 0);
    assert_int_equal(count_single(MK_BPE_SINGLE), 0);
}

/* Where tokens are, and what the default speaks. */
static void test_layout(void **state)
{
    (void)state;
    const struct mk_bpe_options o = {.n_vocab = 263 + 10};
    struct mk_tokenizer *t = train_one(&o, lines);
    static const struct {
        int32_t id;
        const char *text;
        bool is_special;
    } want[] = {{0, "<｜begin▁of▁sentence｜>", true},
                {1, "<｜end▁of▁sentence｜>", true},
                {2, "<｜▁pad▁｜>", true},
                {3 + 'A', "A", false},
                {269, "<｜User｜>", true},
                {270, "<｜Assistant｜>", true},
                {271, "<think>", false},
                {272, "</think>", false}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        check_token(t, want[i].id, want[i].text);
        assert_int_equal(mk_token_find(t, want[i].text), want[i].id);
        assert_int_equal(mk_token_is_special(t, want[i].id), want[i].is_special);
    }
    for (unsigned b = 0; b < 256; b++) {
        size_t n;
        const char *s = mk_token_bytes(t, 3 + (int32_t)b, &n);
        assert_int_equal(n, 1);
        assert_int_equal((unsigned char)s[0], b);
    }
    assert_int_equal(mk_token_count(t), 273);
    assert_int_equal(mk_token_bos(t), 0);
    assert_int_equal(mk_token_eos(t), 1);
    assert_int_equal(t->pad, 2);
    assert_true(mk_token_adds_bos(t));
    assert_string_equal(mk_tokenizer_pre(t), "deepseek-v3");
    assert_string_equal(mk_tokenizer_template(t), mk_deepseek_jinja);
    mk_tokenizer_free(t);
}

static void write_text(const char *path, const struct mk_str *s)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(s->data, 1, s->len, f), s->len);
    assert_int_equal(fclose(f), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const pres[] = {"deepseek-v3", "deepseek-llm", "deepseek-coder", "qwen2",
                                       "llama-bpe"};
    char dir[] = "/tmp/mk-bpe-XXXXXX", json[64], config[64];
    assert_non_null(mkdtemp(dir));
    snprintf(json, sizeof json, "%s/tokenizer.json", dir);
    snprintf(config, sizeof config, "%s/tokenizer_config.json", dir);
    struct mk_str text = read_text(GOLDEN "texts.inp");
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        const struct mk_bpe_options o = {.n_vocab = 263 + 120, .pre = pres[i]};
        const char *const texts[] = {text.data, lines, NULL};
        struct mk_tokenizer *t = train(&o, texts);
        struct mk_str s = {0};
        mk_tokenizer_put_json(t, &s);
        write_text(json, &s);
        mk_str_clear(&s);
        mk_tokenizer_put_config(t, &s);
        write_text(config, &s);
        struct mk_tokenizer *back = open_json(json, config);
        check_same(t, back);
        assert_int_equal(back->pad, 2);
        struct mk_ids ids = {0};
        mk_tokenize(t, text.data, text.len, 0, &ids);
        assert_true(ids.n < text.len);
        check_ids(back, text.data, text.len, 0, ids.v, ids.n);
        mk_ids_release(&ids);
        mk_str_release(&s);
        mk_tokenizer_free(back);
        mk_tokenizer_free(t);
    }
    mk_str_release(&text);
    unlink(json);
    unlink(config);
    rmdir(dir);
}

/* A merge may not spell a special token: files name tokens by their text. */
static void test_forbidden(void **state)
{
    (void)state;
    static const char *const specials[] = {"<b>", "<e>", "<p>", "abc", "\xc4\xa0z", NULL};
    const char text[] = "abc abcd abcd abcd abc abc z z z zq zq";
    const struct mk_bpe_options o = {.n_vocab = 261 + 3, .specials = specials};
    struct mk_tokenizer *t = train_one(&o, text);
    for (int32_t id = 259; id < 262; id++) {
        size_t n;
        const char *s = mk_token_bytes(t, id, &n);
        assert_false(n == 3 && !memcmp(s, "abc", 3));
        assert_false(n == 2 && !memcmp(s, " z", 2)); /* which a file writes as U+0120 z */
    }
    struct mk_str json = {0};
    mk_tokenizer_put_json(t, &json);
    struct mk_tokenizer *back = parse(json.data, json.len);
    assert_int_equal(mk_token_count(back), 264);
    mk_str_release(&json);
    mk_tokenizer_free(back);
    mk_tokenizer_free(t);
}

/* Not UTF-8, words without end: counted or left out, never a failure. */
static void test_odd_text(void **state)
{
    (void)state;
    struct mk_bpe_trainer *t;
    struct mk_tokenizer *tok;
    struct mk_err err;
    const struct mk_bpe_options o = {.n_vocab = 259 + 2, .specials = three};
    struct mk_str text = {0};
    for (int i = 0; i < 5000; i++) mk_str_addc(&text, 'x');
    assert_true(mk_bpe_trainer_new(&t, &o, &err));
    assert_true(mk_bpe_trainer_add(t, text.data, text.len, &err));
    assert_true(mk_bpe_trainer_add(t, "q\xffq\xffq\xff", 6, &err)); /* U+FFFD: ef bf bd */
    assert_true(mk_bpe_trainer_run(t, NULL, NULL, &tok, &err));
    check_token(tok, 259, "\xbf\xbd");
    check_token(tok, 260, "\xef\xbf\xbd");
    mk_tokenizer_free(tok);
    mk_bpe_trainer_free(t);
    mk_str_release(&text);
}

/* ---- refused ---- */

static void check_refused(const struct mk_bpe_options *o, const char *want)
{
    struct mk_bpe_trainer *t = NULL;
    struct mk_err err;
    assert_false(mk_bpe_trainer_new(&t, o, &err));
    assert_null(t);
    if (!strstr(err.msg, want)) fail_msg("\"%s\" does not say \"%s\"", err.msg, want);
}

static void test_refused(void **state)
{
    (void)state;
    static char long_text[600];
    memset(long_text, 'x', sizeof long_text - 1);
#define SPECIALS(...) .specials = (const char *const[]){"<b>", "<e>", "<p>", __VA_ARGS__, NULL}
    check_refused(&(struct mk_bpe_options){.n_vocab = 262},
                  "256 bytes and 7 special tokens need 263");
    check_refused(&(struct mk_bpe_options){.n_vocab = 2 << 20}, "1048576 is the most");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, .pre = "gpt-9"},
                  "no pre-tokenizer gpt-9; there are deepseek-v3");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, .single = "+\xc3\x97"}, "must be ASCII");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, .specials = three + 1},
                  "2 special tokens, want begin, end and padding");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, SPECIALS("")}, "token 3 is empty");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, SPECIALS("<e>")}, "<e> is given twice");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, SPECIALS("\xff")}, "\\xff is not UTF-8");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, SPECIALS("x")}, "how a byte is written");
    check_refused(&(struct mk_bpe_options){.n_vocab = 300, SPECIALS(long_text)}, "599 bytes");
#undef SPECIALS
}

static void check_stops(size_t n_vocab, const char *text, const char *want)
{
    struct mk_bpe_trainer *t;
    struct mk_tokenizer *tok = NULL;
    struct mk_err err;
    const struct mk_bpe_options o = {.n_vocab = n_vocab, .specials = three};
    assert_true(mk_bpe_trainer_new(&t, &o, &err));
    assert_true(mk_bpe_trainer_add(t, text, strlen(text), &err));
    assert_false(mk_bpe_trainer_run(t, NULL, NULL, &tok, &err));
    assert_null(tok);
    if (!strstr(err.msg, want)) fail_msg("\"%s\" does not say \"%s\"", err.msg, want);
    mk_bpe_trainer_free(t);
}

static void test_stops(void **state)
{
    (void)state;
    check_stops(300, "", "no text to learn from");
    check_stops(300, "abcdefg",
                "0 of 41 tokens found that occur twice or more; it is enough for "
                "a vocabulary of 259");
    check_stops(300, "ab ab ab", "2 of 41"); /* ab; its space is in front of two of three */
    struct mk_tokenizer *t = train_one(&(struct mk_bpe_options){.n_vocab = 259, .specials = three},
                                       ""); /* bytes alone */
    assert_int_equal(mk_token_count(t), 259);
    mk_tokenizer_free(t);
}

static void on_progress(void *arg, size_t done, size_t total)
{
    size_t *n = arg;
    assert_int_equal(done, ++*n);
    assert_int_equal(total, 40);
}

static void test_progress(void **state)
{
    (void)state;
    struct mk_bpe_trainer *t;
    struct mk_tokenizer *tok;
    struct mk_err err;
    size_t n = 0;
    assert_true(mk_bpe_trainer_new(&t, &(struct mk_bpe_options){.n_vocab = 303}, &err));
    for (int i = 0; i < 2; i++) assert_true(mk_bpe_trainer_add(t, lines, strlen(lines), &err));
    assert_true(mk_bpe_trainer_run(t, on_progress, &n, &tok, &err));
    assert_int_equal(n, 40);
    mk_tokenizer_free(tok);
    mk_bpe_trainer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),   cmocka_unit_test(test_plain),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_single),
        cmocka_unit_test(test_layout),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_forbidden), cmocka_unit_test(test_odd_text),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_stops),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
