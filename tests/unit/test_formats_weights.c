/* Real weight files of ../shared/data; 77 without them. The same model lies there as safetensors and as
 * GGUF, so the two readers are held against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "formats/gguf.h"
#include "formats_data.h"

static char hf[1024], gguf[1024];

static void both_agree(void **state)
{
    AC_UNUSED(state);
    static const char *const pair[][2] = {
        { "model.embed_tokens.weight", "token_embd.weight" },
        { "model.norm.weight", "output_norm.weight" },
        { "model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight" },
        { "model.layers.4.mlp.down_proj.weight", "blk.4.ffn_down.weight" },
        { "model.layers.2.self_attn.v_proj.weight", "blk.2.attn_v.weight" },
        { "model.layers.1.input_layernorm.weight", "blk.1.attn_norm.weight" },
    };
    ac_tensors *a = NULL;
    ac_gguf *g = NULL;
    ac_err err = { 0 };
    if (ac_safetensors_open(&a, hf, &err) || ac_gguf_open(&g, gguf, &err)) fail_msg("%s", err.text);
    assert_true(ac_tensors_count(a) > 40);
    for (size_t i = 0; i < AC_COUNTOF(pair); i++) {
        const ac_tensor *x = ac_tensors_find(a, pair[i][0]), *y = ac_tensors_find(ac_gguf_tensors(g), pair[i][1]);
        if (!x || !y) fail_msg("%s", pair[i][x ? 1 : 0]);
        assert_true(x->type == AC_F32 && y->type == AC_F32 && x->n_dims == y->n_dims && x->bytes == y->bytes);
        for (uint32_t d = 0; d < x->n_dims; d++) assert_int_equal(x->dim[d], y->dim[d]);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
    ac_tensors_close(&a);
    ac_gguf_close(&g);
    assert_int_equal(ac_live_bytes(), 0);
}

static void keys(void **state)
{
    AC_UNUSED(state);
    ac_gguf *g = NULL;
    ac_err err = { 0 };
    uint64_t layers = 0;
    size_t n = 0;
    double eps = 0;
    if (ac_gguf_open(&g, gguf, &err)) fail_msg("%s", err.text);
    assert_int_equal(ac_gguf_u64(&layers, g, "llama.block_count", &err), AC_OK);
    assert_int_equal(layers, 5);
    assert_int_equal(ac_gguf_f64(&eps, g, "llama.attention.layer_norm_rms_epsilon", &err), AC_OK);
    assert_true(eps > 0 && eps < 1e-3);
    assert_int_equal(ac_gguf_array_count(&n, g, "tokenizer.ggml.tokens", &err), AC_OK);
    assert_int_equal(n, 512);
    ac_view *token = ac_malloc(n * sizeof *token);
    float *score = ac_malloc(n * sizeof *score);
    int32_t *type = ac_malloc(n * sizeof *type);
    assert_int_equal(ac_gguf_str_array(token, n, g, "tokenizer.ggml.tokens", &err), AC_OK);
    assert_int_equal(ac_gguf_f32_array(score, n, g, "tokenizer.ggml.scores", &err), AC_OK);
    assert_int_equal(ac_gguf_i32_array(type, n, g, "tokenizer.ggml.token_type", &err), AC_OK);
    assert_true(ac_view_eq_str(token[1], "<s>"));
    ac_free(token);
    ac_free(score);
    ac_free(type);
    for (size_t i = 0; i < ac_gguf_key_count(g); i++) {
        ac_str s = { 0 };
        assert_true(ac_gguf_key_at(g, i, &s).len && s.len);
        ac_str_release(&s);
    }
    ac_gguf_close(&g);
}

static void tiny_random(void **state)
{
    AC_UNUSED(state);
    const char *path = shared_data("weights-tiny-random/llama-2-tiny-random.gguf");
    ac_gguf *g = NULL;
    ac_err err = { 0 };
    if (!path) skip();
    if (ac_gguf_open(&g, path, &err)) fail_msg("%s", err.text);
    assert_non_null(ac_tensors_find(ac_gguf_tensors(g), "token_embd.weight"));
    ac_gguf_close(&g);
}

int main(void)
{
    const char *path = shared_data("weights-stories260k/hf");
    if (!path) return 77;
    (void)snprintf(hf, sizeof hf, "%s", path);
    path = shared_data("weights-stories260k/stories260K.gguf");
    if (!path) return 77;
    (void)snprintf(gguf, sizeof gguf, "%s", path);
    const struct CMUnitTest tests[] = { cmocka_unit_test(both_agree), cmocka_unit_test(keys), cmocka_unit_test(tiny_random) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
