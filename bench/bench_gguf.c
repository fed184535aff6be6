/* bench_gguf.c - writes GGUF version 3: keys, tensors' names and places, data. Weights are random numbers of about
 * +-0.035, in a megabyte of blocks that is written over and over from another block on. */
#include "bench_gguf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS = 512, POOL_BLOCKS = 8191, ALIGN = 32, U32 = 4, F32 = 6, STRING = 8 };

typedef struct {
    char name[64];
    size_t rows, cols, bytes;      /* rows 0: a norm or a bias, F32 */
} item;

typedef struct {
    FILE *f;
    uint64_t state;
    item item[TENSORS];
    size_t n;
    unsigned char *pool;
    bool ok;
} writer;

static void put(writer *w, const void *p, size_t n)
{
    w->ok = w->ok && fwrite(p, 1, n, w->f) == n;
}

static void put_int(writer *w, uint64_t v, size_t bytes)
{
    unsigned char b[8];
    for (size_t i = 0; i < bytes; i++) b[i] = (unsigned char)(v >> 8 * i);
    put(w, b, bytes);
}

static void put_text(writer *w, const char *s)
{
    put_int(w, strlen(s), 8);
    put(w, s, strlen(s));
}

static void key_int(writer *w, const char *arch, const char *name, size_t v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    put_text(w, key);
    put_int(w, U32, 4);
    put_int(w, v, 4);
}

static void key_float(writer *w, const char *arch, const char *name, float v)
{
    char key[96];
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    snprintf(key, sizeof key, "%s.%s", arch, name);
    put_text(w, key);
    put_int(w, F32, 4);
    put_int(w, u, 4);
}

/* A binary16 near x, towards zero; 2^-24 <= |x| < 1. */
static void put_half(unsigned char *b, double x)
{
    uint32_t h = x < 0 ? 0x8000 : 0;
    int e = 15;
    for (x = x < 0 ? -x : x; x < 1 && e > 1; e--) x *= 2;
    h |= x < 1 ? (uint32_t)(x * 1024) : (uint32_t)e << 10 | (uint32_t)((x - 1) * 1024);
    b[0] = (unsigned char)h;
    b[1] = (unsigned char)(h >> 8);
}

static void fill_block(writer *w, unsigned char *b, ac_dtype type)
{
    static const double scale[AC_DTYPE_COUNT] = { [AC_Q8_0] = 2.7e-4, [AC_Q4_0] = 4.4e-3, [AC_Q4_1] = 4.4e-3, [AC_Q5_0] = 2.2e-3,
        [AC_Q5_1] = 2.2e-3, [AC_Q4_K] = 7e-5, [AC_Q5_K] = 3.5e-5, [AC_Q6_K] = 8.5e-6 };
    static const double least[AC_DTYPE_COUNT] = { [AC_Q4_1] = -3.3e-2, [AC_Q5_1] = -3.3e-2, [AC_Q4_K] = 5.2e-4, [AC_Q5_K] = 5.2e-4 };
    const size_t bytes = ac_dtype_block_bytes(type);
    for (size_t i = 0; i < bytes; i++) {
        w->state = w->state * 6364136223846793005u + 1442695040888963407u;
        b[i] = (unsigned char)(w->state >> 56);
    }
    const float x = 0.035f * ((float)(w->state >> 40) / (float)(1 << 23) - 1.0f);
    if (type == AC_F32) memcpy(b, &x, sizeof x);
    else if (type == AC_F16) put_half(b, (double)x);
    else if (type == AC_BF16) memcpy(b, (const unsigned char *)&x + 2, 2);
    else put_half(b + (type == AC_Q6_K ? 208 : 0), scale[type]);
    if (least[type] != 0) put_half(b + 2, least[type]);
}

static void add(writer *w, const gguf_shape *s, const char *name, size_t rows, size_t cols)
{
    item *t = &w->item[w->n++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->rows = rows;
    t->cols = cols;
    t->bytes = rows ? rows * (cols / ac_dtype_block_elems(s->type)) * ac_dtype_block_bytes(s->type) : cols * sizeof(float);
}

static void list(writer *w, const gguf_shape *s)
{
    const size_t qw = s->heads * s->head_dim, kw = s->kv_heads * s->head_dim;
    const struct { const char *name; size_t rows, cols; } linear[] = {
        { "attn_q", qw, s->hidden }, { "attn_k", kw, s->hidden }, { "attn_v", kw, s->hidden }, { "attn_output", s->hidden, qw },
        { "ffn_gate", s->ffn, s->hidden }, { "ffn_up", s->ffn, s->hidden }, { "ffn_down", s->hidden, s->ffn } };
    char name[64];
    add(w, s, "token_embd.weight", s->vocab, s->hidden);
    for (size_t i = 0; i < s->layers; i++) {
        for (size_t t = 0; t < 7; t++) {
            snprintf(name, sizeof name, "blk.%zu.%s.weight", i, linear[t].name);
            add(w, s, name, linear[t].rows, linear[t].cols);
            snprintf(name, sizeof name, "blk.%zu.%s.bias", i, linear[t].name);
            if (t < 3 && s->bias) add(w, s, name, 0, linear[t].rows);
        }
        snprintf(name, sizeof name, "blk.%zu.attn_norm.weight", i);
        add(w, s, name, 0, s->hidden);
        snprintf(name, sizeof name, "blk.%zu.ffn_norm.weight", i);
        add(w, s, name, 0, s->hidden);
    }
    add(w, s, "output_norm.weight", 0, s->hidden);
    if (!s->tied) add(w, s, "output.weight", s->vocab, s->hidden);
}

static void put_head(writer *w, const gguf_shape *s)
{
    static const uint32_t number[AC_DTYPE_COUNT] = { [AC_F16] = 1, [AC_Q4_0] = 2, [AC_Q4_1] = 3, [AC_Q5_0] = 6, [AC_Q5_1] = 7,
        [AC_Q8_0] = 8, [AC_Q4_K] = 12, [AC_Q5_K] = 13, [AC_Q6_K] = 14, [AC_BF16] = 30 };
    put(w, "GGUF", 4);
    put_int(w, 3, 4);
    put_int(w, w->n, 8);
    put_int(w, 11, 8);
    put_text(w, "general.architecture");
    put_int(w, STRING, 4);
    put_text(w, s->arch);
    key_int(w, s->arch, "block_count", s->layers);
    key_int(w, s->arch, "embedding_length", s->hidden);
    key_int(w, s->arch, "feed_forward_length", s->ffn);
    key_int(w, s->arch, "context_length", 8192);
    key_int(w, s->arch, "attention.head_count", s->heads);
    key_int(w, s->arch, "attention.head_count_kv", s->kv_heads);
    key_int(w, s->arch, "attention.key_length", s->head_dim);
    key_int(w, s->arch, "rope.dimension_count", s->head_dim);
    key_float(w, s->arch, "rope.freq_base", 100000.0f);
    key_float(w, s->arch, "attention.layer_norm_rms_epsilon", 1e-5f);
    uint64_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        const item *t = &w->item[i];
        put_text(w, t->name);
        put_int(w, t->rows ? 2 : 1, 4);
        put_int(w, t->cols, 8);
        if (t->rows) put_int(w, t->rows, 8);
        put_int(w, t->rows ? number[s->type] : 0, 4);
        put_int(w, at, 8);
        at += (t->bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
}

static void put_data(writer *w, const gguf_shape *s)
{
    static const unsigned char zero[ALIGN];
    const size_t block = ac_dtype_block_bytes(s->type);
    const float one = 1.0f;
    for (size_t i = 0; i < w->n && w->ok; i++) {
        const item *t = &w->item[i];
        for (size_t k = 0; !t->rows && k < t->cols; k++) put(w, &one, sizeof one);
        for (size_t done = 0; t->rows && done < t->bytes;) {
            const size_t from = (i * 131 + done / block * 7) % POOL_BLOCKS, left = t->bytes - done;
            const size_t there = (POOL_BLOCKS - from) * block, n = there < left ? there : left;
            put(w, w->pool + from * block, n);
            done += n;
        }
        put(w, zero, (ALIGN - t->bytes % ALIGN) % ALIGN);
    }
}

bool bench_gguf_write(const gguf_shape *s, const char *path)
{
    static writer w;
    static const unsigned char zero[ALIGN];
    const size_t elems = ac_dtype_block_elems(s->type), block = ac_dtype_block_bytes(s->type);
    if (s->hidden % elems || s->ffn % elems || s->heads * s->head_dim % elems) {
        fprintf(stderr, "bench_gguf: rows of this shape are not whole blocks of %s\n", ac_dtype_name(s->type));
        return false;
    }
    w = (writer){ .f = fopen(path, "wb"), .state = 42, .ok = true, .pool = malloc(POOL_BLOCKS * block) };
    w.ok = w.f && w.pool;
    for (size_t i = 0; w.ok && i < POOL_BLOCKS; i++) fill_block(&w, w.pool + i * block, s->type);
    if (w.ok) {
        list(&w, s);
        put_head(&w, s);
        put(&w, zero, (size_t)(ALIGN - ftell(w.f) % ALIGN) % ALIGN);
        put_data(&w, s);
    }
    if (w.f && fclose(w.f) != 0) w.ok = false;
    free(w.pool);
    if (!w.ok) fprintf(stderr, "bench_gguf: %s could not be written\n", path);
    return w.ok;
}
