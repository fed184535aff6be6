/* Configurations and weight files that must be read, and those that must be refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model_ref.h"

static void must(ac_status st, const ac_err *err)
{
    if (st) fail_msg("%s: %s", ac_status_name(st), err->text);
}

static ac_device *dev;

/* ---- config.json ------------------------------------------------------------------------------------------ */

/* A folder with the model's weights and the given config.json; the status of opening it. */
static ac_status open_with(const ref_model *m, const char *config, ac_model_config *out, ac_err *err)
{
    char path[256];
    ac_model *model = NULL;
    const char *dir = ref_temp();
    must(ref_write_hf(m, dir, err), err);
    snprintf(path, sizeof path, "%s/config.json", dir);
    if (config) must(ac_file_write_atomic(path, config, strlen(config), err), err);
    const ac_status st = ac_model_open(&model, dev, dir, err);
    if (!st && out) *out = *ac_model_get_config(model);
    ac_model_close(&model);
    must(ac_remove_tree(dir, NULL), err);
    return st;
}

/* config.json of the model with one piece of text replaced. */
static void edited(ac_str *out, const ref_model *m, const char *from, const char *to)
{
    ac_str c = { 0 };
    ac_str_reset(out);
    ref_config_text(&c, &m->s);
    const size_t at = ac_view_find(ac_str_view(&c), ac_view_of(from), 0);
    assert_true(at != SIZE_MAX);
    ac_str_append(out, ac_view_slice(ac_str_view(&c), 0, at));
    ac_str_append_c(out, to);
    ac_str_append(out, ac_view_slice(ac_str_view(&c), at + strlen(from), c.len));
    ac_str_release(&c);
}

typedef struct {
    const char *family, *from, *to, *says;
} edit;

static void test_hf_refusals(void **state)
{
    (void)state;
    static const edit edits[] = {
        { "llama", "\"model_type\": \"llama\"", "\"model_type\": \"gpt2\"", "gpt2" },
        { "llama", "\"model_type\": \"llama\"", "\"model_type\": 3", "model_type" },
        { "llama", "\"model_type\": \"llama\",", "", "model_type" },
        { "llama", "LlamaForCausalLM", "LlamaForSequenceClassification", "LlamaForSequenceClassification" },
        { "llama", "\"silu\"", "\"gelu\"", "gelu" },
        { "llama", "\"head_dim\"", "\"attention_bias\": true, \"head_dim\"", "attention_bias" },
        { "llama", "\"head_dim\"", "\"mlp_bias\": true, \"head_dim\"", "mlp_bias" },
        { "qwen2", "\"head_dim\"", "\"use_sliding_window\": true, \"head_dim\"", "use_sliding_window" },
        { "qwen2", "\"head_dim\"", "\"layer_types\": [\"full_attention\", \"sliding_attention\"], \"head_dim\"",
          "layer_types" },
        { "llama", "\"head_dim\"", "\"quantization_config\": {\"bits\": 4}, \"head_dim\"", "quantization_config" },
        { "llama", "\"head_dim\"", "\"quantization\": {\"bits\": 4}, \"head_dim\"", "quantization" },
        { "llama", "\"head_dim\"", "\"auto_map\": {\"AutoModel\": \"x.y\"}, \"head_dim\"", "auto_map" },
        { "llama", "\"head_dim\"", "\"partial_rotary_factor\": 0.5, \"head_dim\"", "partial_rotary_factor" },
        { "llama", "\"head_dim\"", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}, \"head_dim\"", "yarn" },
        { "llama", "\"head_dim\"", "\"rope_scaling\": {\"type\": \"linear\"}, \"head_dim\"", "factor" },
        { "llama", "\"head_dim\"", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": -1}, \"head_dim\"", "factor" },
        { "llama", "\"head_dim\"", "\"rope_scaling\": 7, \"head_dim\"", "rope_scaling" },
        { "llama", "\"head_dim\"", "\"rope_parameters\": {\"rope_type\": \"dynamic\"}, \"head_dim\"", "dynamic" },
        { "llama", "\"head_dim\"", "\"rope_parameters\": {\"partial_rotary_factor\": 0.5}, \"head_dim\"", "partial_rotary" },
        { "llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", "layers" },
        { "llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000000", "layers" },
        { "llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": -2", "num_hidden_layers" },
        { "llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2.5", "num_hidden_layers" },
        { "llama", "\"num_hidden_layers\": 2, ", "", "num_hidden_layers" },
        { "llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2" },
        { "llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "would be ignored" },
        { "llama", "\"num_attention_heads\": 2", "\"num_attention_heads\": 0", "num_attention_heads" },
        { "llama", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", "q_proj" },
        { "llama", "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", "share" },
        { "llama", "\"head_dim\": 10", "\"head_dim\": 9", "odd" },
        { "llama", "\"head_dim\": 10", "\"head_dim\": 512", "head width" },
        { "llama", "\"hidden_size\": 20", "\"hidden_size\": 24", "configuration" },
        { "llama", "\"vocab_size\": 37", "\"vocab_size\": 0", "vocabulary" },
        { "llama", "\"vocab_size\": 37", "\"vocab_size\": 38", "embed_tokens" },
        { "llama", "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 9223372036854775807", "context" },
        { "llama", "\"rms_norm_eps\": ", "\"rms_norm_eps\": 0, \"was\": ", "epsilon" },
        { "llama", "\"rope_theta\": 1000", "\"rope_theta\": 0", "theta" },
        { "llama", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": \"no\"", "tie_word_embeddings" },
        { "mistral", "\"sliding_window\": 3", "\"sliding_window\": \"x\"", "sliding_window" },
        { "qwen2", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", "lm_head" },
        { "qwen3", "\"model_type\": \"qwen3\"", "\"model_type\": \"llama\"", "not supported" },
    };
    for (size_t i = 0; i < AC_COUNTOF(edits); i++) {
        ref_model m;
        ac_str c = { 0 };
        ac_err err = { 0 };
        ref_make(&m, ref_spec_of(edits[i].family));
        edited(&c, &m, edits[i].from, edits[i].to);
        const ac_status st = open_with(&m, c.ptr, NULL, &err);
        if (st != AC_EFORMAT || !strstr(err.text, edits[i].says))
            fail_msg("edit %zu (%s): %s \"%s\"", i, edits[i].to, ac_status_name(st), err.text);
        ac_str_release(&c);
        ref_free(&m);
    }
}

static void test_hf_accepted(void **state)
{
    (void)state;
    static const edit edits[] = {
        { "llama", "\"head_dim\"", "\"rope_scaling\": null, \"attention_bias\": false, \"head_dim\"", "" },
        { "llama", "\"head_dim\"", "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 7}, \"head_dim\"", "" },
        { "llama", "\"head_dim\": 10", "\"head_dim\": null", "" },
        { "llama", "\"tie_word_embeddings\": false", "\"x\": 1", "" },
        { "qwen2", "\"head_dim\"", "\"sliding_window\": 4096, \"use_sliding_window\": false, \"head_dim\"", "" },
        { "qwen2", "\"tie_word_embeddings\": true", "\"x\": 1", "" },
    };
    for (size_t i = 0; i < AC_COUNTOF(edits); i++) {
        ref_model m;
        ac_str c = { 0 };
        ac_err err = { 0 };
        ac_model_config got;
        ref_make(&m, ref_spec_of(edits[i].family));
        edited(&c, &m, edits[i].from, edits[i].to);
        must(open_with(&m, c.ptr, &got, &err), &err);
        assert_int_equal(got.window, 0);
        assert_int_equal(got.head_dim, m.s.head_dim);
        assert_true(got.tied_output == m.s.tied);
        if (i == 1) assert_true(got.rope_theta > 6.9 && got.rope_theta < 7.1);
        ac_str_release(&c);
        ref_free(&m);
    }
}

static void test_config_values(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_model_config c, d;
    ref_model m;
    ref_spec s = ref_spec_of("mistral");
    s.eps = 0.0000152587890625;
    s.scaling = 0;
    ref_make(&m, s);
    char path[128];
    const char *dir = ref_temp();
    must(ref_write_hf(&m, dir, &err), &err);
    must(ac_model_read_config(&c, dir, &err), &err);
    assert_string_equal(c.family, "llama");
    assert_string_equal(c.source, "safetensors");
    assert_string_equal(c.weight_types, "F32 (20)");
    assert_int_equal(c.window, 3);
    assert_int_equal(c.n_layers, 2);
    assert_int_equal(c.weight_bytes, 4 * c.n_params);
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    must(ref_write_gguf(&m, path, false, &err), &err);
    must(ac_model_read_config(&d, path, &err), &err);
    assert_string_equal(d.source, "gguf");
    snprintf(d.source, sizeof d.source, "%s", c.source);
    assert_int_equal(c.hidden, d.hidden);
    assert_int_equal(c.window, d.window);
    assert_int_equal(c.context, d.context);
    assert_int_equal(c.vocab, d.vocab);
    assert_int_equal(c.n_params, d.n_params);
    assert_true(memcmp(&c.rms_eps, &d.rms_eps, sizeof c.rms_eps) == 0);
    /* Hashes: of the file itself, and of a folder's sorted lines. */
    ac_sha256 h, f;
    must(ac_model_hash(&h, path, &err), &err);
    must(ac_sha256_file(&f, path, &err), &err);
    assert_memory_equal(&h, &f, sizeof h);
    must(ac_model_hash(&h, dir, &err), &err);
    must(ac_model_hash(&f, dir, &err), &err);
    assert_memory_equal(&h, &f, sizeof h);
    snprintf(path, sizeof path, "%s/config.json", dir);
    must(ac_file_write_atomic(path, "{}", 2, &err), &err);
    must(ac_model_hash(&f, dir, &err), &err);
    assert_true(memcmp(&h, &f, sizeof h) != 0);
    must(ac_remove_tree(dir, &err), &err);
    assert_int_equal(ac_model_hash(&h, dir, NULL), AC_ENOENT);
    ref_free(&m);
}

static void test_missing(void **state)
{
    (void)state;
    ac_model *m = NULL;
    ac_err err = { 0 };
    char path[128];
    const char *dir = ref_temp();
    assert_int_equal(ac_model_open(&m, dev, "/nowhere/at/all", &err), AC_ENOENT);
    assert_int_equal(ac_model_open(&m, dev, dir, NULL), AC_ENOENT);      /* no config.json */
    snprintf(path, sizeof path, "%s/pytorch_model.bin", dir);
    must(ac_file_write_atomic(path, "PK", 2, &err), &(ac_err){ 0 });
    err = (ac_err){ 0 };
    assert_int_equal(ac_model_open(&m, dev, path, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, ".bin"));
    snprintf(path, sizeof path, "%s/config.json", dir);
    must(ac_file_write_atomic(path, "[1]", 3, &err), &(ac_err){ 0 });
    assert_int_equal(ac_model_open(&m, dev, dir, NULL), AC_EFORMAT);
    assert_null(m);
    must(ac_remove_tree(dir, NULL), &err);
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

static void expect_bad(ref_model *m, const char *says)
{
    ac_err err = { 0 };
    const ac_status st = open_with(m, NULL, NULL, &err);
    if (st != AC_EFORMAT || !strstr(err.text, says))
        fail_msg("wanted \"%s\": %s \"%s\"", says, ac_status_name(st), err.text);
    ref_free(m);
}

static void test_tensors(void **state)
{
    (void)state;
    ref_model m;
    ref_make(&m, ref_spec_of("llama"));
    m.t[2].dim[0] = 10, m.t[2].dim[1] = 40;      /* the right number of elements in the wrong shape */
    expect_bad(&m, "self_attn.q_proj.weight is 10 x 40");
    ref_make(&m, ref_spec_of("llama"));
    m.t[1].n_dims = 2, m.t[1].dim[0] = 4, m.t[1].dim[1] = 5;
    expect_bad(&m, "input_layernorm");
    ref_make(&m, ref_spec_of("llama"));
    m.t[4].type = AC_I32;
    expect_bad(&m, "I32");
    ref_make(&m, ref_spec_of("llama"));
    m.t[m.n - 1].name = "lm_head.bias";
    expect_bad(&m, "lm_head.weight");
    ref_make(&m, ref_spec_of("qwen2"));
    m.t[m.n].name = "model.layers.7.mlp.up_proj.weight";
    m.t[m.n].type = AC_F32, m.t[m.n].n_dims = 1, m.t[m.n].dim[0] = 3, m.t[m.n].data = m.data[0];
    m.n++;
    m.data[m.n - 1] = NULL;
    expect_bad(&m, "model.layers.7.mlp.up_proj.weight");
    for (size_t i = 0; i < 3; i++) {             /* item 36: not finite, in a matrix, a norm, the embedding */
        ref_make(&m, ref_spec_of("qwen3"));
        const size_t where[3] = { 6, 1, 0 };
        m.data[where[i]][7] = i == 1 ? INFINITY : NAN;
        expect_bad(&m, m.name[where[i]]);
    }
    /* With a tied output a stored copy of it is passed over; so are old rotary buffers. */
    ac_err err = { 0 };
    ref_make(&m, ref_spec_of("qwen2"));
    ref_add(&m, "lm_head.weight", 37, 20, 1.0, 0.0);
    ref_add(&m, "model.layers.0.self_attn.rotary_emb.inv_freq", 0, 3, 1.0, 0.0);
    must(open_with(&m, NULL, NULL, &err), &err);
    ref_free(&m);
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------- */

/* The tiny GGUF with every occurrence of a key's name changed, or four bytes after the key's type set. */
static ac_status gguf_with(const char *family, const char *key, const char *new_key, int64_t value, ac_err *err)
{
    ref_model m;
    ac_model *model = NULL;
    ac_str bytes = { 0 };
    char path[128];
    const char *dir = ref_temp();
    ref_make(&m, ref_spec_of(family));
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    must(ref_write_gguf(&m, path, false, err), err);
    must(ac_file_read(&bytes, path, 1 << 20, err), err);
    const size_t at = ac_view_find(ac_str_view(&bytes), ac_view_of(key), 0);
    assert_true(at != SIZE_MAX);
    if (new_key) memcpy(bytes.ptr + at, new_key, strlen(new_key));
    else for (size_t i = 0; i < 4; i++) bytes.ptr[at + strlen(key) + 4 + i] = (char)(value >> (8 * i));
    must(ac_file_write_atomic(path, bytes.ptr, bytes.len, err), err);
    const ac_status st = ac_model_open(&model, dev, path, err);
    ac_model_close(&model);
    ac_str_release(&bytes);
    ref_free(&m);
    must(ac_remove_tree(dir, NULL), err);
    return st;
}

static void test_gguf_refusals(void **state)
{
    (void)state;
    static const struct { const char *family, *key, *new_key; int64_t value; const char *says; } bad[] = {
        { "llama", "general.architecture", "general.architecturx", 0, "general.architecture" },
        { "llama", "llama.block_count", NULL, 0, "layers" },
        { "llama", "llama.block_count", NULL, 3, "blk.2" },
        { "llama", "llama.block_count", NULL, 1, "would be ignored" },
        { "llama", "llama.block_count", "llama.block_xount", 0, "block_count" },
        { "llama", "llama.attention.head_count", NULL, 0, "head_count" },
        { "llama", "llama.attention.head_count_kv", NULL, 3, "share" },
        { "llama", "llama.attention.key_length", NULL, 9, "width" },
        { "llama", "llama.attention.value_length", NULL, 8, "width" },
        { "llama", "llama.rope.dimension_count", NULL, 4, "rotary" },
        { "llama", "llama.rope.freq_base", NULL, 0, "theta" },
        { "llama", "llama.attention.layer_norm_rms_epsilon", NULL, 0x7fc00000, "epsilon" },
        { "llama", "llama.attention.layer_norm_rms_epsilon", NULL, 0, "epsilon" },
        { "llama", "llama.context_length", NULL, 0, "context" },
        { "llama", "llama.embedding_length", NULL, 24, "token_embd" },
        { "qwen2", "blk.1.attn_k.bias", "blk.1.attn_k.bixs", 0, "blk.1.attn_k.bias" },
        { "llama", "blk.1.ffn_up.weight", "blk.9.ffn_up.weight", 0, "blk.1.ffn_up" },
        { "qwen3", "blk.0.attn_q_norm", "blk.0.attn_q_nxrm", 0, "blk.0.attn_q_norm" },
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        const ac_status st = gguf_with(bad[i].family, bad[i].key, bad[i].new_key, bad[i].value, &err);
        if (st != AC_EFORMAT || !strstr(err.text, bad[i].says))
            fail_msg("case %zu (%s): %s \"%s\"", i, bad[i].key, ac_status_name(st), err.text);
    }
}

static int setup(void **state)
{
    (void)state;
    return ac_device_open_cpu(&dev, AC_CPU_AUTO, 2, NULL);
}

static int teardown(void **state)
{
    (void)state;
    ac_device_close(&dev);
    return ac_live_bytes() == 0 ? 0 : -1;        /* no refusal left anything behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf_refusals), cmocka_unit_test(test_hf_accepted), cmocka_unit_test(test_config_values),
        cmocka_unit_test(test_missing), cmocka_unit_test(test_tensors), cmocka_unit_test(test_gguf_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
