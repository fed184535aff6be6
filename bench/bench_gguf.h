/* bench_gguf.h - a GGUF model of a real shape with random stored weights, for benchmarks. */
#ifndef AC_BENCH_GGUF_H
#define AC_BENCH_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include "base/dtype.h"

typedef struct {
    const char *arch;              /* "llama", "qwen2" */
    size_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab;
    bool tied, bias;
    ac_dtype type;                 /* of matrices; rows must be whole blocks */
} gguf_shape;

/* False, and a message: it could not be written. */
bool bench_gguf_write(const gguf_shape *s, const char *path);

#endif
