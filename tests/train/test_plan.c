/* Counts, hours and costs against published figures. */
#include "train/plan.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct mk_plan_arch *preset(const char *name)
{
    const struct mk_plan_arch *a = mk_plan_arch_find(name);
    if (!a) fail_msg("no preset %s", name);
    return a;
}

static void check_near(double got, double want, double relative, const char *what)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%s is %.12g, want %.12g within %g", what, got, want, relative);
}

/* To the last parameter; the counts of the published tensors. */
static void params_exact(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double n;
    } want[] = {
        {"deepseek-v3", 671026419200},        {"deepseek-v2", 235741434880},
        {"deepseek-v2-lite", 15706484224},    {"qwen2.5-1.5b", 1543714304},
        {"r1-distill-qwen-1.5b", 1777088000}, {"r1-distill-qwen-7b", 7615616512},
        {"r1-distill-qwen-14b", 14770033664}, {"r1-distill-qwen-32b", 32763876352},
        {"r1-distill-llama-8b", 8030261248},  {"r1-distill-llama-70b", 70553706496},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        check_near(mk_plan_params(preset(want[i].name)), want[i].n, 0, want[i].name);
    /* The published 13,463,426,304 hold copies of embedding and head. */
    check_near(mk_plan_mtp_params(preset("deepseek-v3")), 13463426304.0 - 2.0 * 129280 * 7168, 0,
               "prediction layer");
}

static void active(void **state)
{
    (void)state;
    const double v3 = mk_plan_active(preset("deepseek-v3"));
    if (v3 < 36.6e9 || v3 > 37.6e9) fail_msg("V3 uses %.4g parameters", v3);
    const double lite = mk_plan_active(preset("deepseek-v2-lite"));
    check_near(lite, 2.4e9, 0.06, "V2-Lite's published 2.4 G");
    /* A dense model uses all but the other rows of its embedding. */
    const struct mk_plan_arch *q = preset("r1-distill-qwen-7b");
    check_near(mk_plan_active(q), 7615616512.0 - 152063.0 * 3584, 0, "dense");
}

/* By hand: 2 per weight that multiplies, and 2 H (d_qk + d_v) (n + 1) / 2 for each layer. */
static void flops(void **state)
{
    (void)state;
    const struct mk_plan_arch *q = preset("qwen2.5-1.5b");
    const double n = 1000, layer = 1536.0 * 2048 + 1536.0 * 1536 + 3 * 1536.0 * 8960;
    const double want = 2 * (28 * layer + 151936.0 * 1536) + 28 * 12 * 256 * (n + 1);
    check_near(mk_plan_forward_flops(q, n), want, 1e-12, "forward");
    check_near(mk_plan_train_flops(q, n), 3 * want, 1e-12, "training");
    /* The mean of what each position costs when generated is the causal mean, latent apart. */
    double sum = 0;
    for (int i = 1; i <= 1000; i++) sum += mk_plan_decode_flops(q, i);
    check_near(sum / 1000, want, 1e-9, "generation");
    /* Twice the predictions, twice their cost. */
    struct mk_plan_arch two = *preset("deepseek-v3"), none = two;
    two.n_mtp = 2;
    none.n_mtp = 0;
    const double one = mk_plan_train_flops(preset("deepseek-v3"), n);
    check_near(mk_plan_train_flops(&two, n) - one, one - mk_plan_train_flops(&none, n), 1e-9,
               "MTP");
}

static void memory(void **state)
{
    (void)state;
    check_near(2 * mk_plan_kv_values(preset("deepseek-v3")), 70272, 0, "V3's keys and values");
    check_near(2 * mk_plan_kv_values(preset("deepseek-v2-lite")), 31104, 0, "V2-Lite's");
    check_near(2 * mk_plan_kv_values(preset("r1-distill-llama-70b")), 327680, 0, "Llama 70B's");
    const struct mk_plan_arch *v3 = preset("deepseek-v3");
    check_near(mk_plan_touched(v3, 1), 8, 1e-12, "experts of one token");
    check_near(mk_plan_touched(v3, 1e6), 256, 1e-12, "experts of many");
    const struct mk_plan_reads r = mk_plan_reads(v3, 1, 4096, 1, 2);
    check_near(r.weights, mk_plan_active(v3), 1e-6, "a token reads what is active");
    check_near(r.kv, 4096.0 * 70272, 0, "and its context");
    if (mk_plan_act_values(v3, true) >= mk_plan_act_values(v3, false))
        fail_msg("recomputing saves nothing");
}

static void v3_bill(void **state)
{
    (void)state;
    const struct mk_plan_v3 v = mk_plan_v3(0);
    check_near(v.total, 2.788e6, 0.05, "hours");
    check_near(v.cost, 5.576e6, 0.05, "cost");
    check_near(v.pretrain, 2.664e6, 0.05, "pre-training");
    /* 3.7 days on 2048 GPUs for each trillion tokens (V3 report, section 1). */
    check_near(v.pretrain / 14.8 / 2048 / 24, 3.7, 0.05, "days");
    /* Derived, not fitted: half the share takes twice the time. */
    const struct mk_plan_v3 half = mk_plan_v3(0.3894 / 2);
    check_near(half.pretrain, 2 * v.pretrain, 1e-12, "at half the share");
}

static void r1_speed(void **state)
{
    (void)state;
    const struct mk_plan_r1 r = {.mean_len = 7000, .share = 0.7};
    check_near(mk_plan_r1_speed(&r), 10400.0 * 512 * 7000 / (101e3 * 3600 * 0.7), 1e-12, "speed");
    const struct mk_plan_r1 longer = {.mean_len = 14000, .share = 0.7};
    check_near(mk_plan_r1_speed(&longer), 2 * mk_plan_r1_speed(&r), 1e-12, "twice as long");
}

/* ---- configurations ---------------------------------------------------------------------- */

static const char v3_json[] =
    "{\"model_type\":\"deepseek_v3\",\"vocab_size\":129280,\"hidden_size\":7168,"
    "\"intermediate_size\":18432,\"moe_intermediate_size\":2048,\"num_hidden_layers\":61,"
    "\"first_k_dense_replace\":3,\"moe_layer_freq\":1,\"num_attention_heads\":128,"
    "\"num_key_value_heads\":128,\"q_lora_rank\":1536,\"kv_lora_rank\":512,"
    "\"qk_nope_head_dim\":128,\"qk_rope_head_dim\":64,\"v_head_dim\":128,\"n_routed_experts\":256,"
    "\"n_shared_experts\":1,\"num_experts_per_tok\":8,\"num_nextn_predict_layers\":1,"
    "\"max_position_embeddings\":163840,\"quantization_config\":{\"quant_method\":\"fp8\"}}";

static bool parse(struct mk_plan_arch *a, const char *json, struct mk_err *err)
{
    struct mk_config c = {0};
    if (!mk_config_parse(&c, json, strlen(json), "config.json", err)) return false;
    const bool ok = mk_plan_arch_from_config(a, &c, err);
    mk_config_close(&c);
    return ok;
}

static void from_config(void **state)
{
    (void)state;
    struct mk_err err;
    struct mk_plan_arch a;
    if (!parse(&a, v3_json, &err)) fail_msg("%s", err.msg);
    check_near(mk_plan_params(&a), 671026419200, 0, "V3 from its config");
    check_near(mk_plan_train_flops(&a, 4096), mk_plan_train_flops(preset("deepseek-v3"), 4096), 0,
               "its FLOP");
    assert_true(a.is_f8);
    if (!parse(&a,
               "{\"model_type\":\"qwen2\",\"vocab_size\":151936,\"hidden_size\":1536,"
               "\"intermediate_size\":8960,\"num_hidden_layers\":28,\"num_attention_heads\":12,"
               "\"num_key_value_heads\":2,\"tie_word_embeddings\":true}",
               &err))
        fail_msg("%s", err.msg);
    check_near(mk_plan_params(&a), 1543714304, 0, "Qwen2.5-1.5B from its config");
}

static void bad_config(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"model_type\":\"gpt2\"}", "gpt2"},
        {"{\"model_type\":\"qwen2\"}", "hidden_size"},
        {"{\"model_type\":\"qwen2\",\"hidden_size\":1e9}", "hidden_size"},
        {"{\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":8,\"intermediate_size\":8,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":3}",
         "num_key_value_heads"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_err err;
        struct mk_plan_arch a = {.n_layer = 7};
        if (parse(&a, cases[i].json, &err)) fail_msg("accepted: %s", cases[i].json);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("no \"%s\" in \"%s\"", cases[i].says, err.msg);
        assert_int_equal(a.n_layer, 7);
    }
}

/* ---- reports ------------------------------------------------------------------------------ */

static double member(const char *text, const char *section, const char *row, const char *col)
{
    json_error_t e;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    if (!o) fail_msg("line %d: %s", e.line, e.text);
    const json_t *v = json_object_get(json_object_get(json_object_get(o, section), row), col);
    if (!json_is_number(v)) fail_msg("no %s.%s.%s in %s", section, row, col, text);
    const double x = json_number_value(v);
    json_decref(o);
    return x;
}

static void reports(void **state)
{
    (void)state;
    struct mk_str out = {0};
    mk_plan_v3_report(&out, 0, true);
    check_near(member(out.data, "gpu_hours", "total", "derived"), 2.788e6, 0.05, "hours in JSON");
    check_near(member(out.data, "gpu_hours", "cost", "derived"), 5.576e6, 0.05, "cost in JSON");
    mk_str_clear(&out);
    const struct mk_plan_r1 r = mk_plan_r1_defaults();
    mk_plan_r1_report(&out, &r, true);
    check_near(member(out.data, "published", "together", "cost"), 294e3, 1e-9, "R1's cost");
    check_near(member(out.data, "implied_r1_zero", "rollout_speed_of_a_gpu", "value"),
               mk_plan_r1_speed(&r), 1e-9, "R1's speed");
    mk_str_clear(&out);
    for (size_t i = 0; mk_plan_arch_at(i); i++)
        for (size_t h = 0; mk_plan_hardware_at(h); h++) {
            const struct mk_plan_job j = {.arch = *mk_plan_arch_at(i),
                                          .hardware = *mk_plan_hardware_at(h),
                                          .n_toks = 1e9,
                                          .n_batch = 8,
                                          .n_micro = 1,
                                          .n_ctx = 4096,
                                          .weight_bytes = 2,
                                          .kv_bytes = 2,
                                          .moment_bytes = 4,
                                          .weight_type = "bf16",
                                          .kv_type = "bf16"};
            mk_plan_report(&out, &j, true);
            const double hours =
                1e9 * mk_plan_train_flops(&j.arch, 4096) / j.hardware.flops / j.hardware.mfu / 3600;
            check_near(member(out.data, "training", "gpu_hours", "value"), hours, 1e-9, "hours");
            mk_str_clear(&out);
            mk_plan_report(&out, &j, false);
            if (strstr(out.data, "nan") || strstr(out.data, "inf ")) fail_msg("%s", out.data);
            mk_str_clear(&out);
        }
    mk_str_release(&out);
}

static void hardware(void **state)
{
    (void)state;
    assert_non_null(mk_plan_hardware_find("H800"));
    assert_null(mk_plan_hardware_find("h8000"));
    assert_null(mk_plan_arch_find("deepseek-v33"));
    const struct mk_plan_hardware a = mk_plan_cpu_core("avx2", 3), b = mk_plan_cpu_core("avx2", 6);
    check_near(a.flops, 96e9, 0, "two 8-lane multiply-adds at 3 GHz");
    check_near(b.flops, 2 * a.flops, 0, "at twice the clock");
    assert_true(mk_plan_cpu_core("no such level", 3).flops > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(params_exact), cmocka_unit_test(active),     cmocka_unit_test(flops),
        cmocka_unit_test(memory),       cmocka_unit_test(v3_bill),    cmocka_unit_test(r1_speed),
        cmocka_unit_test(from_config),  cmocka_unit_test(bad_config), cmocka_unit_test(reports),
        cmocka_unit_test(hardware),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
