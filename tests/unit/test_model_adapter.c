/* Adapters: start, files as PEFT writes them, and what is refused on reading (robustness item 37). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "formats/json.h"
#include "model_ref.h"

static void must(ac_status st, const ac_err *err)
{
    if (st) fail_msg("%s: %s", ac_status_name(st), err->text);
}

static ref_open base;

static ac_adapter *make(ac_lora_spec spec)
{
    ac_err err = { 0 };
    ac_adapter *a = NULL;
    must(ac_adapter_open(&a, base.model, &spec, &err), &err);
    ref_fill_adapter(a, 3);
    return a;
}

static const ac_lora_spec all = { .rank = 3, .alpha = 6, .targets = 127 };
static const ac_lora_spec dora = { .tune = AC_TUNE_DORA, .rank = 3, .alpha = 6, .targets = 127 };

/* ---- layout ------------------------------------------------------------------------------------------------ */

static void test_layout(void **state)
{
    (void)state;
    ac_adapter *a = make(all);
    assert_int_equal(a->n_modules, 14);
    assert_true(a->scale == 2.0f);
    size_t at = 0;
    for (size_t i = 0; i < a->n_modules; i++) {
        const ac_lora_module *m = &a->module[i];
        assert_int_equal(m->layer, i / 7);
        assert_int_equal(m->target, i % 7);
        assert_int_equal(m->a_at, at);
        assert_int_equal(m->b_at, at + 3 * m->in);
        at = m->b_at + 3 * m->out;
        assert_ptr_equal(ac_adapter_find(a, m->layer, m->target), m);
    }
    assert_int_equal(a->n_params, at);
    assert_null(ac_adapter_find(a, 2, AC_TARGET_Q));
    ac_adapter_close(&a);
    a = make((ac_lora_spec){ .rank = 4, .alpha = 6, .rslora = true, .targets = 0x42, .last_layers = 1 });
    assert_true(a->scale == 3.0f);               /* 6 / sqrt(4) */
    assert_int_equal(a->n_modules, 2);
    assert_null(ac_adapter_find(a, 0, AC_TARGET_K));
    assert_null(ac_adapter_find(a, 1, AC_TARGET_Q));
    assert_ptr_equal(ac_adapter_find(a, 1, AC_TARGET_DOWN), &a->module[1]);
    ac_adapter_close(&a);
}

static void test_init(void **state)
{
    (void)state;
    ac_adapter *a = make(all), *b = make((ac_lora_spec){ .rank = 3, .alpha = 6, .targets = 8, .last_layers = 1 });
    ac_adapter_init(a, 42);
    ac_adapter_init(b, 42);
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < a->n_modules; i++) {
        const ac_lora_module *m = &a->module[i];
        const float bound = (float)(1.0 / sqrt((double)m->in));
        for (size_t k = 0; k < 3 * m->in; k++, n++) {
            assert_true(fabsf(a->params[m->a_at + k]) <= bound);
            sum += (double)(a->params[m->a_at + k] / bound);
        }
        for (size_t k = 0; k < 3 * m->out; k++) assert_true(a->params[m->b_at + k] == 0.0f);
    }
    assert_true(fabs(sum / (double)n) < 0.1);
    /* A module starts the same, whatever else is adapted. */
    const ac_lora_module *m = ac_adapter_find(a, 1, AC_TARGET_O);
    assert_memory_equal(a->params + m->a_at, b->params, 3 * m->in * sizeof(float));
    const float first = b->params[0];
    ac_adapter_init(b, 43);
    assert_true(b->params[0] != first);
    ac_adapter_close(&a);
    ac_adapter_close(&b);
}

static void test_names(void **state)
{
    (void)state;
    ac_target t;
    for (unsigned i = 0; i < AC_TARGET_COUNT; i++) {
        assert_true(ac_target_parse(ac_view_of(ac_target_name((ac_target)i)), &t));
        assert_int_equal(t, i);
    }
    assert_true(ac_target_parse(AC_VIEW("gate"), &t) && t == AC_TARGET_GATE);
    assert_false(ac_target_parse(AC_VIEW("gate_"), &t));
    assert_false(ac_target_parse(AC_VIEW(""), &t));
}

static void test_bad_specs(void **state)
{
    (void)state;
    static const ac_lora_spec bad[] = {
        { .rank = 0, .alpha = 1, .targets = 1 },   { .rank = 1025, .alpha = 1, .targets = 1 },
        { .rank = 1, .alpha = 0, .targets = 1 },   { .rank = 1, .alpha = NAN, .targets = 1 },
        { .rank = 1, .alpha = 1, .targets = 0 },   { .rank = 1, .alpha = 1, .targets = 128 },
        { .rank = 1, .alpha = 1, .targets = 1, .last_layers = 3 },
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_adapter *a = NULL;
        ac_err err = { 0 };
        assert_int_equal(ac_adapter_open(&a, base.model, &bad[i], &err), bad[i].last_layers ? AC_ECONTRACT : AC_EARG);
        assert_true(err.text[0] && !a);
    }
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static void round_trip(ac_lora_spec spec)
{
    ac_err err = { 0 };
    ac_adapter *a = make(spec), *b = NULL;
    ac_sha256 would, is, again;
    char path[256], dir[128];
    const char *top = ref_temp();
    snprintf(dir, sizeof dir, "%s/made/here", top);
    must(ac_adapter_hash(a, &would, &err), &err);
    must(ac_adapter_save(a, dir, "some/base", 0.05, &err), &err);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    must(ac_sha256_file(&is, path, &err), &err);
    assert_memory_equal(&would, &is, sizeof is);
    must(ac_adapter_load(&b, base.model, dir, &err), &err);
    assert_int_equal(a->n_params, b->n_params);
    assert_memory_equal(a->params, b->params, a->n_params * sizeof(float));
    assert_true(a->scale <= b->scale && a->scale >= b->scale);
    assert_int_equal(a->spec.targets, b->spec.targets);
    assert_int_equal(a->spec.last_layers, b->spec.last_layers);
    assert_true(a->spec.rslora == b->spec.rslora && a->spec.tune == b->spec.tune && !a->dora == !b->dora);
    must(ac_adapter_hash(b, &again, &err), &err);
    assert_memory_equal(&would, &again, sizeof again);
    ac_adapter_close(&a);
    ac_adapter_close(&b);
    must(ac_remove_tree(top, &err), &err);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip(all);
    round_trip(dora);
    round_trip((ac_lora_spec){ .tune = AC_TUNE_DORA, .rank = 1, .alpha = 6, .targets = 5, .last_layers = 1 });
    round_trip((ac_lora_spec){ .rank = 1, .alpha = 0.5, .rslora = true, .targets = 0x11 });
    round_trip((ac_lora_spec){ .rank = 5, .alpha = 10, .targets = 0x48, .last_layers = 1 });
}

/* Names, shapes and keys that PEFT reads. */
static void test_peft_layout(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode",
        "init_lora_weights", "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config",
        "lora_alpha", "lora_dropout", "megatron_config", "megatron_core", "modules_to_save", "peft_type", "r",
        "rank_pattern", "revision", "target_modules", "task_type", "use_dora", "use_rslora",
    };
    ac_err err = { 0 };
    ac_adapter *a = make(all);
    ac_arena arena = { 0 };
    const ac_json *j = NULL;
    ac_tensors *t = NULL;
    char path[128];
    const char *dir = ref_temp();
    must(ac_adapter_save(a, dir, NULL, 0.25, &err), &err);
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    must(ac_json_parse_file(&j, path, &arena, NULL, &err), &err);
    for (size_t i = 0; i < AC_COUNTOF(keys); i++) assert_non_null(ac_json_get(j, keys[i]));
    assert_int_equal(j->n, AC_COUNTOF(keys));
    assert_true(ac_json_get(j, "lora_dropout")->number > 0.24);
    assert_int_equal(ac_json_get(j, "target_modules")->n, 7);
    assert_true(ac_view_eq_str(ac_json_get(j, "task_type")->text, "CAUSAL_LM"));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    must(ac_safetensors_open(&t, path, &err), &err);
    assert_true(ac_view_eq_str(ac_safetensors_metadata(t, "format"), "pt"));
    assert_int_equal(ac_tensors_count(t), 28);
    const ac_tensor *x = ac_tensors_find(t, "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
    assert_non_null(x);
    assert_int_equal(x->dim[0], 20);
    assert_int_equal(x->dim[1], 3);
    x = ac_tensors_find(t, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    assert_int_equal(x->dim[0], 3);
    assert_int_equal(x->dim[1], 20);
    ac_tensors_close(&t);
    ac_arena_release(&arena);
    ac_adapter_close(&a);
    must(ac_remove_tree(dir, &err), &err);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

/* Saves a good adapter, replaces text in its configuration, and loads. */
static ac_status load_edited(ac_lora_spec spec, const char *from, const char *to, ac_err *err)
{
    ac_adapter *a = make(spec), *b = NULL;
    ac_str c = { 0 }, d = { 0 };
    char path[128];
    const char *dir = ref_temp();
    must(ac_adapter_save(a, dir, "base", 0, err), err);
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    must(ac_file_read(&c, path, 1 << 20, err), err);
    const size_t at = ac_view_find(ac_str_view(&c), ac_view_of(from), 0);
    assert_true(at != SIZE_MAX);
    ac_str_append(&d, ac_view_slice(ac_str_view(&c), 0, at));
    ac_str_append_c(&d, to);
    ac_str_append(&d, ac_view_slice(ac_str_view(&c), at + strlen(from), c.len));
    must(ac_file_write_atomic(path, d.ptr, d.len, err), err);
    const ac_status st = ac_adapter_load(&b, base.model, dir, err);
    ac_adapter_close(&a);
    ac_adapter_close(&b);
    ac_str_release(&c);
    ac_str_release(&d);
    must(ac_remove_tree(dir, NULL), err);
    return st;
}

static void test_config_refusals(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *says; } bad[] = {
        { "\"use_dora\": false", "\"use_dora\": true", "lora_magnitude_vector is missing" },
        { "\"use_dora\": false", "\"use_dora\": 1", "use_dora" },
        { "\"bias\": \"none\"", "\"bias\": \"all\"", "bias" },
        { "\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true", "fan_in_fan_out" },
        { "\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "modules_to_save" },
        { "\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 4}", "rank_pattern" },
        { "\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": 4}", "alpha_pattern" },
        { "\"layer_replication\": null", "\"layer_replication\": [[0, 2]]", "layer_replication" },
        { "\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"", "init_lora_weights" },
        { "\"revision\": null", "\"lora_bias\": true", "lora_bias" },
        { "\"revision\": null", "\"target_parameters\": [\"x\"]", "target_parameters" },
        { "\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\"", "IA3" },
        { "\"r\": 3", "\"r\": 0", "\"r\"" },
        { "\"r\": 3", "\"r\": 2.5", "\"r\"" },
        { "\"r\": 3", "\"r\": 4", "rank or base model differ" },
        { "\"r\": 3", "\"q\": 3", "\"r\"" },
        { "\"lora_alpha\": 6", "\"lora_alpha\": 0", "lora_alpha" },
        { "\"lora_alpha\": 6", "\"lora_alpha\": -1", "lora_alpha" },
        { "\"lora_alpha\": 6", "\"lora_alpha\": \"6\"", "lora_alpha" },
        { "\"use_rslora\": false", "\"use_rslora\": 1", "use_rslora" },
        { "\"q_proj\"", "\"lm_head\"", "lm_head" },
        { "\"peft_type\": \"LORA\"", "\"fine_tune_type\": \"lora\"", "mlx" },
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        const ac_status st = load_edited(all, bad[i].from, bad[i].to, &err);
        if (st != AC_EFORMAT || !strstr(err.text, bad[i].says))
            fail_msg("case %zu (%s): %s \"%s\"", i, bad[i].to, ac_status_name(st), err.text);
    }
    ac_err err = { 0 };                          /* magnitudes would be ignored */
    assert_int_equal(load_edited(dora, "\"use_dora\": true", "\"use_dora\": false", &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "lora_magnitude_vector is not a LoRA weight"));
    err = (ac_err){ 0 };                         /* unknown keys are tolerated */
    must(load_edited(all, "\"revision\": null", "\"revision\": \"main\", \"peft_version\": \"9\", \"new\": [1]", &err), &err);
    must(load_edited(all, "\"q_proj\"", "\"model.layers.0.self_attn.q_proj\"", &err), &err);
}

typedef struct {
    char name[96];
    ac_tensor_out t;
} part;

/* Writes a full set of tensors (rank 3), changed by `spoil`, and loads. */
static ac_status load_tensors(void (*spoil)(part *p, size_t *n), ac_err *err)
{
    ac_adapter *a = make(all), *b = NULL;
    part p[40] = { { { 0 }, { 0 } } };
    ac_tensor_out out[40];
    size_t n = 0;
    char path[128];
    const char *dir = ref_temp();
    for (size_t i = 0; i < a->n_modules; i++)
        for (int is_b = 0; is_b < 2; is_b++, n++) {
            const ac_lora_module *m = &a->module[i];
            snprintf(p[n].name, sizeof p[n].name, "base_model.model.model.layers.%u.%s.%s.lora_%c.weight",
                     (unsigned)m->layer, m->target <= AC_TARGET_O ? "self_attn" : "mlp", ac_target_name(m->target),
                     is_b ? 'B' : 'A');
            p[n].t = (ac_tensor_out){ .type = AC_F32, .n_dims = 2, .data = a->params + (is_b ? m->b_at : m->a_at) };
            p[n].t.dim[0] = is_b ? m->out : 3;
            p[n].t.dim[1] = is_b ? 3 : m->in;
        }
    must(ac_adapter_save(a, dir, "base", 0, err), err);
    if (spoil) spoil(p, &n);
    for (size_t i = 0; i < n; i++) out[i] = p[i].t, out[i].name = p[i].name;
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    must(ac_safetensors_write(path, out, n, NULL, 0, err), err);
    const ac_status st = ac_adapter_load(&b, base.model, dir, err);
    ac_adapter_close(&a);
    ac_adapter_close(&b);
    must(ac_remove_tree(dir, NULL), err);
    return st;
}

static void rename_to(part *p, const char *name) { snprintf(p->name, sizeof p->name, "%s", name); }
static void swap_a(part *p, size_t *n) { (void)n; p[0].t.dim[0] = 20, p[0].t.dim[1] = 3; }
static void other_width(part *p, size_t *n) { (void)n; p[8].t.dim[1] = 10; }
static void drop_one(part *p, size_t *n) { (void)p; (*n)--; }
static void drop_all(part *p, size_t *n) { (void)p; *n = 0; }
static void magnitude(part *p, size_t *n) { (void)n; rename_to(p, "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"); }
static void lm_head(part *p, size_t *n) { (void)n; rename_to(p, "base_model.model.lm_head.lora_A.weight"); }
static void far_layer(part *p, size_t *n) { (void)n; rename_to(p, "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"); }
static void huge_layer(part *p, size_t *n) { (void)n; rename_to(p, "base_model.model.model.layers.4294967296.self_attn.q_proj.lora_A.weight"); }
static void wrong_block(part *p, size_t *n) { (void)n; rename_to(p, "base_model.model.model.layers.0.mlp.q_proj.lora_A.weight"); }
static void plain_weight(part *p, size_t *n) { (void)n; rename_to(p, "model.layers.0.self_attn.q_proj.weight"); }
static void integers(part *p, size_t *n) { (void)n; p[0].t.type = AC_I32; }
static void not_finite(part *p, size_t *n)
{
    static float bad[60] = { 0 };
    (void)n;
    bad[59] = NAN;
    p[0].t.data = bad;
}
static void half(part *p, size_t *n)
{
    static const uint16_t ones[60] = { 0x3c00 };
    (void)n;
    p[0].t.type = AC_F16;
    p[0].t.data = ones;
}

static void test_tensor_refusals(void **state)
{
    (void)state;
    static const struct { void (*spoil)(part *, size_t *); const char *says; } bad[] = {
        { swap_a, "transposed" },           { other_width, "rank or base model differ" },
        { drop_one, "is missing" },         { drop_all, "no tensors" },
        { magnitude, "lora_magnitude_vector" }, { lm_head, "lm_head" },
        { far_layer, "layer 7" },           { huge_layer, "4294967296" },
        { wrong_block, "mlp.q_proj" },      { plain_weight, "model.layers.0.self_attn.q_proj.weight" },
        { integers, "I32" },                { not_finite, "not finite" },
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        const ac_status st = load_tensors(bad[i].spoil, &err);
        if (st != AC_EFORMAT || !strstr(err.text, bad[i].says))
            fail_msg("case %zu (%s): %s \"%s\"", i, bad[i].says, ac_status_name(st), err.text);
    }
    ac_err err = { 0 };
    must(load_tensors(NULL, &err), &err);
    must(load_tensors(half, &err), &err);
}

static void test_missing(void **state)
{
    (void)state;
    ac_adapter *a = NULL;
    ac_err err = { 0 };
    assert_int_equal(ac_adapter_load(&a, base.model, "/nowhere/at/all", &err), AC_ENOENT);
    assert_null(a);
    a = make(all);
    err = (ac_err){ 0 };
    const ac_status st = ac_adapter_save(a, "/dev/null/x", "b", 0, &err);
    assert_true(st == AC_ECREATE || st == AC_EIO);
    ac_adapter_close(&a);
}

static int setup(void **state)
{
    (void)state;
    return ref_open_spec(&base, ref_spec_of("qwen3"), AC_CPU_AUTO, 1) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ref_close(&base);
    return ac_live_bytes() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout), cmocka_unit_test(test_init), cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_specs), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_peft_layout),
        cmocka_unit_test(test_config_refusals), cmocka_unit_test(test_tensor_refusals), cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
