/* tests/formats_build.h - builds small GGUF and safetensors files, good and bad ones, in memory. */
#ifndef ACCORD_TESTS_FORMATS_BUILD_H
#define ACCORD_TESTS_FORMATS_BUILD_H

#include <string.h>
#include "base/str.h"

static inline void put_le(ac_str *s, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) ac_str_append_char(s, (char)(unsigned char)(v >> (8 * i)));
}

static inline void put_zeros(ac_str *s, size_t n)
{
    for (size_t i = 0; i < n; i++) ac_str_append_char(s, '\0');
}

static inline void put_str(ac_str *s, const char *text)
{
    put_le(s, strlen(text), 8);
    ac_str_append_c(s, text);
}

static inline void gguf_head(ac_str *s, uint64_t version, uint64_t n_tensors, uint64_t n_kv)
{
    ac_str_append_c(s, "GGUF");
    put_le(s, version, 4);
    put_le(s, n_tensors, 8);
    put_le(s, n_kv, 8);
}

static inline void gguf_key(ac_str *s, const char *key, uint64_t type)
{
    put_str(s, key);
    put_le(s, type, 4);
}

/* dims in the file's order: fastest first. */
static inline void gguf_info(ac_str *s, const char *name, uint64_t n_dims, const uint64_t *dims, uint64_t type,
                             uint64_t offset)
{
    put_str(s, name);
    put_le(s, n_dims, 4);
    for (uint64_t i = 0; i < n_dims && i < 8; i++) put_le(s, dims[i], 8);
    put_le(s, type, 4);
    put_le(s, offset, 8);
}

static inline void pad_to(ac_str *s, size_t align)
{
    while (s->len % align) ac_str_append_char(s, '\0');
}

/* A complete file: some keys of every type, an F32 {2,4} and a Q8_0 {1,32} tensor. */
static inline void gguf_small(ac_str *s, uint64_t version)
{
    gguf_head(s, version, 2, 10);
    gguf_key(s, "general.architecture", 8), put_str(s, "llama");
    gguf_key(s, "a.u8", 0), put_le(s, 200, 1);
    gguf_key(s, "a.i8", 1), put_le(s, 0xff, 1);
    gguf_key(s, "a.i64", 11), put_le(s, (uint64_t)-5, 8);
    gguf_key(s, "a.f32", 6), put_le(s, 0x3f000000, 4);
    gguf_key(s, "a.f64", 12), put_le(s, 0x3fe0000000000000, 8);
    gguf_key(s, "a.bool", 7), put_le(s, 1, 1);
    gguf_key(s, "a.strs", 9), put_le(s, 8, 4), put_le(s, 3, 8), put_str(s, "x"), put_str(s, ""), put_str(s, "yz");
    gguf_key(s, "a.ints", 9), put_le(s, 5, 4), put_le(s, 5, 8);
    for (uint64_t i = 0; i < 5; i++) put_le(s, i - 2, 4);
    gguf_key(s, "a.floats", 9), put_le(s, 6, 4), put_le(s, 2, 8), put_le(s, 0x3f800000, 4), put_le(s, 0xc0000000, 4);
    gguf_info(s, "one", 2, (const uint64_t[]){ 4, 2 }, 0, 0);
    gguf_info(s, "two", 1, (const uint64_t[]){ 32 }, 8, 32);
    pad_to(s, 32);
    for (int i = 0; i < 66; i++) ac_str_append_char(s, (char)i);
}

/* Header text with its length in front, then data_len bytes 0, 1, 2, ... */
static inline void safetensors_file(ac_str *s, const char *header, size_t data_len)
{
    put_le(s, strlen(header), 8);
    ac_str_append_c(s, header);
    for (size_t i = 0; i < data_len; i++) ac_str_append_char(s, (char)(unsigned char)i);
}

#endif
