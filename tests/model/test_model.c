/* Opening checkpoints: what is understood, and what is refused with which words. */
#include "base/file.h"
#include "formats/safetensors.h"
#include "model/int_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/models/"

/* A copy of a golden model's folder with one text of config.json replaced; the weights are
 * linked. */
struct copy {
    char dir[64];
};

static void copy_make(struct copy *c, const char *model, const char *from, const char *to)
{
    struct mk_str path = {0}, text = {0}, out = {0};
    struct mk_err err;
    struct mk_out f;
    char cwd[512];
    strcpy(c->dir, "/tmp/mk-model-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    assert_non_null(getcwd(cwd, sizeof cwd));
    mk_str_addf(&path, GOLDEN "%s/config.json", model);
    assert_true(mk_file_read(&text, path.data, 1 << 20, &err));
    char *at = strstr(text.data, from);
    assert_non_null(at);
    mk_str_append(&out, text.data, (size_t)(at - text.data));
    mk_str_add(&out, to);
    mk_str_add(&out, at + strlen(from));
    mk_str_clear(&path);
    mk_str_addf(&path, "%s/config.json", c->dir);
    assert_true(mk_out_open(&f, path.data, &err) && mk_out_write(&f, out.data, out.len, &err) &&
                mk_out_close(&f, &err));
    mk_str_clear(&path);
    mk_str_clear(&text);
    mk_str_addf(&path, "%s/model.safetensors", c->dir);
    mk_str_addf(&text, "%s/" GOLDEN "%s/model.safetensors", cwd, model);
    assert_int_equal(symlink(text.data, path.data), 0);
    mk_str_release(&path), mk_str_release(&text), mk_str_release(&out);
}

static void copy_remove(const struct copy *c)
{
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", c->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", c->dir);
    unlink(path);
    rmdir(c->dir);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *model, *from, *to;
        enum mk_code code;
        const char *says;
    } cases[] = {
        {"qwen2", "\"qwen2\"", "\"gpt_oss\"", MK_EUNSUPPORTED,
         "architecture \"gpt_oss\" is not supported; supported are deepseek_v3"},
        {"qwen2", "\"hidden_size\": 96", "\"hidden_size\": 97", MK_EFORMAT, "[256, 97]"},
        {"qwen2", "\"hidden_size\": 96", "\"hidden_size\": -96", MK_EFORMAT, "hidden_size"},
        {"qwen2", "\"hidden_size\": 96", "\"hidden_size\": \"96\"", MK_EFORMAT, "hidden_size"},
        {"qwen2", "\"hidden_size\": 96,", "", MK_EFORMAT, "hidden_size"},
        {"qwen2", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", MK_EFORMAT,
         "tensor model.layers.3.input_layernorm.weight is missing"},
        {"qwen2", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", MK_EFORMAT,
         "6 heads are not a multiple of 4"},
        {"qwen2", "\"num_attention_heads\": 6", "\"num_attention_heads\": 0", MK_EFORMAT,
         "num_attention_heads"},
        {"qwen2", "\"vocab_size\": 256", "\"vocab_size\": 300", MK_EFORMAT, "want [300, 96]"},
        {"qwen2", "\"silu\"", "\"gelu\"", MK_EUNSUPPORTED, "hidden_act \"gelu\""},
        {"qwen2", "\"use_sliding_window\": false", "\"use_sliding_window\": true", MK_EUNSUPPORTED,
         "use_sliding_window"},
        {"llama3", "\"llama3\"", "\"dynamic\"", MK_EUNSUPPORTED, "\"dynamic\""},
        {"deepseek-v3-fp8", "\"sigmoid\"", "\"tanh\"", MK_EUNSUPPORTED, "scoring_func \"tanh\""},
        {"deepseek-v3-fp8", "\"noaux_tc\"", "\"best\"", MK_EUNSUPPORTED, "topk_method \"best\""},
        {"deepseek-v3-fp8", "\"n_group\": 4", "\"n_group\": 5", MK_EFORMAT, "of 5 groups"},
        {"deepseek-v3-fp8", "\"num_experts_per_tok\": 4", "\"num_experts_per_tok\": 40", MK_EFORMAT,
         "40 of 16 experts"},
        {"deepseek-v3-fp8", "\"qk_rope_head_dim\": 16", "\"qk_rope_head_dim\": 15", MK_EFORMAT,
         "qk_rope_head_dim"},
        {"deepseek-v3-fp8", "\"yarn\"", "\"linear\"", MK_EUNSUPPORTED, "\"linear\""},
        {"deepseek-v3-fp8", "\"kv_lora_rank\": 32", "\"kv_lora_rank\": 999999999999999999999",
         MK_EFORMAT, "config.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct copy c;
        struct mk_model m;
        struct mk_err err = {0};
        copy_make(&c, cases[i].model, cases[i].from, cases[i].to);
        assert_false(mk_model_open(&m, c.dir, &err));
        if (!strstr(err.msg, cases[i].says) || err.code != cases[i].code)
            fail_msg("%s: code %d, \"%s\"", cases[i].to, err.code, err.msg);
        copy_remove(&c);
    }
}

static void understood(void **state)
{
    (void)state;
    struct mk_model m;
    struct mk_err err;
    assert_true(mk_model_open(&m, GOLDEN "deepseek-v3-fp8", &err));
    assert_true(mk_model_has_mtp(&m));
    assert_int_equal(m.n_layer, 3);
    assert_int_equal(m.kv.d_row[0], 48);
    assert_int_equal(m.eos[0], 1);
    /* Two of three layers have 16 experts of which 4 are used. */
    const size_t expert = 3 * 40 * 144;
    assert_true(m.n_params - m.n_params_active > 2 * 12 * expert);
    mk_model_close(&m);
    mk_model_close(&m); /* closed is valid and empty */
    struct copy c;      /* newer files say rope_parameters */
    copy_make(&c, "deepseek-v3-fp8", "rope_scaling", "rope_parameters");
    assert_true(mk_model_open(&m, c.dir, &err));
    mk_model_close(&m);
    copy_remove(&c);
}

static void names_translate(void **state)
{
    (void)state;
    struct mk_model m;
    struct mk_err err;
    char gguf[64];
    long expert;
    assert_true(mk_model_open(&m, GOLDEN "deepseek-v3-fp8", &err));
    const struct mk_name *names = m.family->names;
    assert_true(mk_name_to_gguf(names, "model.layers.12.mlp.experts.255.up_proj.weight", gguf,
                                sizeof gguf, &expert));
    assert_string_equal(gguf, "blk.12.ffn_up_exps.weight");
    assert_int_equal(expert, 255);
    assert_true(mk_name_to_gguf(names, "model.norm.weight", gguf, sizeof gguf, &expert));
    assert_string_equal(gguf, "output_norm.weight");
    assert_int_equal(expert, -1);
    assert_false(
        mk_name_to_gguf(names, "model.layers.x.mlp.up_proj.weight", gguf, sizeof gguf, &expert));
    mk_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(understood),
        cmocka_unit_test(names_translate),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
