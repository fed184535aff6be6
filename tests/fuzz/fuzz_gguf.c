/* Every key is shown and read as every type; the first and last byte of every tensor is touched. */
#include "fuzz.h"

#include "formats/gguf_int.h"

static void read_key(const ac_gguf *g, const char *key)
{
    uint64_t u;
    double d;
    bool b;
    ac_view v;
    size_t n = 0;
    (void)ac_gguf_u64(&u, g, key, NULL);
    (void)ac_gguf_f64(&d, g, key, NULL);
    (void)ac_gguf_bool(&b, g, key, NULL);
    (void)ac_gguf_str(&v, g, key, NULL);
    if (ac_gguf_array_count(&n, g, key, NULL)) return;
    ac_view *strs = ac_calloc(n, sizeof *strs);
    float *floats = ac_calloc(n, sizeof *floats);
    int32_t *ints = ac_calloc(n, sizeof *ints);
    FUZZ_CHECK(strs && floats && ints);                  /* n was compared with the file's size */
    (void)ac_gguf_str_array(strs, n, g, key, NULL);
    (void)ac_gguf_f32_array(floats, n, g, key, NULL);
    (void)ac_gguf_i32_array(ints, n, g, key, NULL);
    ac_free(strs);
    ac_free(floats);
    ac_free(ints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    static volatile uint8_t sink;
    ac_gguf *g = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_gguf_parse(&g, data, len, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    for (size_t i = 0; !st && i < ac_gguf_key_count(g); i++) {
        ac_str text = { 0 };
        const ac_view key = ac_gguf_key_at(g, i, &text);
        char *name = ac_calloc(key.len + 1, 1);
        FUZZ_CHECK(name);
        for (size_t k = 0; k < key.len; k++) name[k] = key.ptr[k];
        FUZZ_CHECK(ac_gguf_has(g, name));
        read_key(g, name);
        ac_free(name);
        ac_str_release(&text);
    }
    for (size_t i = 0; !st && i < ac_tensors_count(ac_gguf_tensors(g)); i++) {
        const ac_tensor *t = ac_tensors_at(ac_gguf_tensors(g), i);
        const uint8_t *p = t->data;
        FUZZ_CHECK(t->bytes > 0 && p >= data && t->bytes <= len && (size_t)(p - data) <= len - t->bytes);
        sink = (uint8_t)(p[0] ^ p[t->bytes - 1]);
    }
    (void)sink;
    ac_gguf_close(&g);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
