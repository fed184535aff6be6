/* GGUF: what is read, and the bad files of the project's list, built here byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "formats/gguf_int.h"
#include "formats_build.h"

static ac_str file;

static int drop(void **state)
{
    AC_UNUSED(state);
    ac_str_release(&file);
    assert_int_equal(ac_live_bytes(), 0);
    return 0;
}

/* Parses a copy of exactly the file's size, so that a read past the end is seen by ASan. */
static ac_status parse(ac_gguf **g, void **copy, size_t len, ac_err *err)
{
    assert_true(ac_str_ok(&file));
    *copy = ac_malloc(len);
    memcpy(*copy, ac_str_c(&file), len);
    return ac_gguf_parse(g, *copy, len, "t.gguf", err);
}

/* The file built so far is refused with a text that contains want; starts a new one. */
static void bad(const char *want)
{
    ac_gguf *g = NULL;
    void *copy;
    ac_err err = { 0 };
    const ac_status st = parse(&g, &copy, file.len, &err);
    if (st != AC_EFORMAT || !strstr(err.text, want) || strncmp(err.text, "t.gguf: ", 8) != 0)
        fail_msg("wanted \"%s\", got %s \"%s\"", want, ac_status_name(st), err.text);
    assert_null(g);
    ac_free(copy);
    ac_str_reset(&file);
}

static void good(void **state)
{
    AC_UNUSED(state);
    for (uint64_t version = 2; version <= 3; version++) {
        ac_str_reset(&file);
        gguf_small(&file, version);
        ac_gguf *g;
        void *copy;
        ac_err err = { 0 };
        if (parse(&g, &copy, file.len, &err)) fail_msg("%s", err.text);
        assert_int_equal(ac_gguf_version(g), version);
        assert_string_equal(ac_gguf_path(g), "t.gguf");
        const ac_tensors *t = ac_gguf_tensors(g);
        assert_int_equal(ac_tensors_count(t), 2);
        const ac_tensor *one = ac_tensors_find(t, "one"), *two = ac_tensors_at(t, 1);
        assert_true(one->type == AC_F32 && one->n_dims == 2 && one->dim[0] == 2 && one->dim[1] == 4);
        assert_true(one->dim[2] == 1 && one->bytes == 32 && ((const uint8_t *)one->data)[31] == 31);
        assert_true(two->type == AC_Q8_0 && two->n_dims == 1 && two->dim[0] == 32 && two->bytes == 34);
        assert_int_equal(((const uint8_t *)two->data)[0], 32);
        assert_null(ac_tensors_find(t, "three"));
        assert_null(ac_tensors_at(t, 2));
        ac_gguf_close(&g);
        assert_null(g);
        ac_gguf_close(&g);
        ac_free(copy);
    }
}

static void values(void **state)
{
    AC_UNUSED(state);
    ac_gguf *g;
    void *copy;
    uint64_t u = 0;
    double d = 0;
    bool b = false;
    ac_view s, strs[3];
    float f[2];
    int32_t ints[5];
    size_t n;
    ac_err err = { 0 };
    gguf_small(&file, 3);
    assert_int_equal(parse(&g, &copy, file.len, NULL), AC_OK);
    assert_true(ac_gguf_u64(&u, g, "a.u8", NULL) == AC_OK && u == 200);
    assert_int_equal(ac_gguf_u64(&u, g, "a.i64", &err), AC_EFORMAT);
    assert_string_equal(err.text, "t.gguf: key \"a.i64\" is -5 and must not be negative");
    assert_true(ac_gguf_f64(&d, g, "a.f32", NULL) == AC_OK && d == 0.5);
    assert_true(ac_gguf_f64(&d, g, "a.f64", NULL) == AC_OK && d == 0.5);
    assert_true(ac_gguf_bool(&b, g, "a.bool", NULL) == AC_OK && b);
    assert_true(ac_gguf_str(&s, g, "general.architecture", NULL) == AC_OK && ac_view_eq_str(s, "llama"));
    assert_true(ac_gguf_array_count(&n, g, "a.strs", NULL) == AC_OK && n == 3);
    assert_int_equal(ac_gguf_str_array(strs, 3, g, "a.strs", NULL), AC_OK);
    assert_true(ac_view_eq_str(strs[0], "x") && strs[1].len == 0 && ac_view_eq_str(strs[2], "yz"));
    assert_int_equal(ac_gguf_i32_array(ints, 5, g, "a.ints", NULL), AC_OK);
    assert_true(ints[0] == -2 && ints[4] == 2);
    assert_int_equal(ac_gguf_f32_array(f, 2, g, "a.floats", NULL), AC_OK);
    assert_true(f[0] == 1 && f[1] == -2);
    /* wrong type, wrong count, absent */
    const ac_status wrong[] = {
        ac_gguf_u64(&u, g, "a.f32", NULL), ac_gguf_u64(&u, g, "a.strs", NULL), ac_gguf_f64(&d, g, "a.u8", NULL),
        ac_gguf_bool(&b, g, "a.u8", NULL), ac_gguf_str(&s, g, "a.strs", NULL), ac_gguf_array_count(&n, g, "a.u8", NULL),
        ac_gguf_str_array(strs, 3, g, "a.ints", NULL), ac_gguf_str_array(strs, 2, g, "a.strs", NULL),
        ac_gguf_i32_array(ints, 2, g, "a.floats", NULL), ac_gguf_i32_array(ints, 3, g, "a.strs", NULL),
        ac_gguf_f32_array(f, 2, g, "a.ints", NULL), ac_gguf_f32_array(f, 1, g, "a.floats", NULL),
    };
    for (size_t i = 0; i < AC_COUNTOF(wrong); i++) assert_int_equal(wrong[i], AC_EFORMAT);
    err = (ac_err){ 0 };
    assert_int_equal(ac_gguf_f32_array(f, 2, g, "a.strs", &err), AC_EFORMAT);
    assert_string_equal(err.text, "t.gguf: key \"a.strs\" must be an array of FLOAT32, found an array of STRING; "
                        "write the file anew");
    err = (ac_err){ 0 };
    assert_int_equal(ac_gguf_str(&s, g, "none", &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "key \"none\" is missing"));
    assert_true(ac_gguf_has(g, "a.u8") && !ac_gguf_has(g, "none"));
    ac_gguf_close(&g);
    ac_free(copy);
}

static void shown(void **state)
{
    AC_UNUSED(state);
    static const char *const want[] = { "\"llama\"", "200", "-1", "-5", "0.5", "0.5", "true", "[\"x\", \"\", \"yz\"]",
                                        "[-2, -1, 0, 1, ... (5 INT32)]", "[1, -2]" };
    ac_gguf *g;
    void *copy;
    gguf_small(&file, 3);
    assert_int_equal(parse(&g, &copy, file.len, NULL), AC_OK);
    assert_int_equal(ac_gguf_key_count(g), AC_COUNTOF(want));
    for (size_t i = 0; i < AC_COUNTOF(want); i++) {
        ac_str s = { 0 };
        assert_true(ac_gguf_key_at(g, i, &s).len > 0);
        assert_string_equal(ac_str_c(&s), want[i]);
        ac_str_release(&s);
    }
    assert_true(ac_view_eq_str(ac_gguf_key_at(g, 1, NULL), "a.u8"));
    assert_null(ac_gguf_key_at(g, 10, NULL).ptr);
    ac_gguf_close(&g);
    ac_free(copy);
}

/* 1, 2 */
static void beginnings(void **state)
{
    AC_UNUSED(state);
    bad("does not begin with \"GGUF\"");
    for (size_t n = 1; n <= 8; n++) {
        ac_str_append(&file, (ac_view){ "GGUF\3\0\0\0", n });
        bad(n < 4 ? "does not begin" : "the file ends where");
    }
    ac_str_append_c(&file, "GGUG"), put_zeros(&file, 100);
    bad("does not begin");
    const uint64_t versions[] = { 0, 1, 4, 0x03000000, 0x02000000, 0xffffffff };
    for (size_t i = 0; i < AC_COUNTOF(versions); i++) {
        gguf_head(&file, versions[i], 0, 0);
        bad(versions[i] == 0x03000000 || versions[i] == 0x02000000 ? "big-endian" : "byte 4: is GGUF version");
    }
}

/* 3, 4 */
static void counts(void **state)
{
    AC_UNUSED(state);
    const uint64_t n[] = { UINT64_MAX, (uint64_t)1 << 61, (uint64_t)1 << 62, 1000, 300000, 1 };
    for (size_t i = 0; i < AC_COUNTOF(n); i++) {
        gguf_head(&file, 3, n[i], 0);
        bad(i == 4 ? "claims 300000 tensors" : "tensors, more than the file can hold");
        gguf_head(&file, 3, 0, n[i]);
        bad("keys, more than the file can hold");
    }
}

/* 5, 6 */
static void keys(void **state)
{
    AC_UNUSED(state);
    const uint64_t lengths[] = { UINT64_MAX, UINT64_MAX - 7, 1000, (uint64_t)1 << 63 };
    for (size_t i = 0; i < AC_COUNTOF(lengths); i++) {
        gguf_head(&file, 3, 0, 1), put_le(&file, lengths[i], 8), put_zeros(&file, 40);
        bad("byte 24: a key claims");
        gguf_head(&file, 3, 0, 1), gguf_key(&file, "k", 8), put_le(&file, lengths[i], 8), put_zeros(&file, 40);
        bad("byte 37: a string value claims");
        gguf_head(&file, 3, 0, 1), gguf_key(&file, "k", 9), put_le(&file, 8, 4), put_le(&file, 2, 8);
        put_str(&file, "ok"), put_le(&file, lengths[i], 8), put_zeros(&file, 40);
        bad("a string of an array claims");
    }
    gguf_head(&file, 3, 0, 1), gguf_key(&file, "", 0), put_zeros(&file, 8);
    bad("a key must be 1 to 65535");
    gguf_head(&file, 3, 0, 1), gguf_key(&file, "a b", 0), put_zeros(&file, 8);
    bad("printable ASCII");
    gguf_head(&file, 3, 0, 2);
    for (int i = 0; i < 2; i++) gguf_key(&file, "same.key", 4), put_le(&file, 1, 4);
    bad("key \"same.key\" stands there twice");
    for (int i = 0; i < 2; i++) {
        if (i == 0) gguf_head(&file, 3, 2, 0);
        gguf_info(&file, "w", 1, (const uint64_t[]){ 8 }, 0, 32 * (uint64_t)i);
    }
    pad_to(&file, 32), put_zeros(&file, 64);
    bad("tensor \"w\" stands there twice");
}

/* 7, 8 */
static void value_types(void **state)
{
    AC_UNUSED(state);
    const uint64_t types[] = { 13, 0xffffffff, 9 };
    for (size_t i = 0; i < AC_COUNTOF(types); i++) {
        if (i < 2) {
            gguf_head(&file, 3, 0, 1), gguf_key(&file, "k", types[i]), put_zeros(&file, 16);
            bad("byte 33: key \"k\" has a value of unknown type");
        }
        gguf_head(&file, 3, 0, 1), gguf_key(&file, "k", 9), put_le(&file, types[i], 4), put_zeros(&file, 16);
        bad(i == 2 ? "(ARRAY) are not supported" : "(unknown) are not supported");
    }
    const uint64_t sizes[] = { UINT64_MAX, (uint64_t)1 << 61, (uint64_t)1 << 62, 1000 };
    for (size_t i = 0; i < AC_COUNTOF(sizes); i++) {
        for (uint64_t elem = 0; elem < 13; elem++) {
            if (elem == 9) continue;
            gguf_head(&file, 3, 0, 1), gguf_key(&file, "k", 9), put_le(&file, elem, 4), put_le(&file, sizes[i], 8);
            put_zeros(&file, 64);
            bad("elements cannot fit in the");
        }
    }
    gguf_head(&file, 3, 0, 1), gguf_key(&file, "k", 7), put_le(&file, 2, 1), put_zeros(&file, 8);
    bad("a BOOL must be 0 or 1, found 2");
    gguf_head(&file, 3, 0, 1), gguf_key(&file, "general.alignment", 5), put_le(&file, 32, 4);
    bad("general.alignment must be UINT32, found INT32");
}

static void tensor_file(uint64_t n_dims, const uint64_t *dims, uint64_t type, uint64_t offset, size_t data)
{
    gguf_head(&file, 3, 1, 0);
    gguf_info(&file, "w", n_dims, dims, type, offset);
    pad_to(&file, 32);
    put_zeros(&file, data);
}

/* 9, 10, 11 */
static void shapes(void **state)
{
    AC_UNUSED(state);
    const uint64_t aligns[] = { 0, 1, 3, 4, 13, 8192, 0x80000000 };
    for (size_t i = 0; i < AC_COUNTOF(aligns); i++) {
        gguf_head(&file, 3, 0, 1), gguf_key(&file, "general.alignment", 4), put_le(&file, aligns[i], 4);
        bad("it must be a power of two from 8 to 4096");
    }
    const uint64_t ranks[] = { 0, 5, 0xffffffff };
    for (size_t i = 0; i < AC_COUNTOF(ranks); i++) {
        tensor_file(ranks[i], (const uint64_t[]){ 1, 1, 1, 1, 1, 1, 1, 1 }, 0, 0, 64);
        bad("dimensions; 1 to 4 are possible");
    }
    const uint64_t dims[] = { 0, UINT64_MAX, (uint64_t)1 << 63, (uint64_t)-32 };
    for (size_t i = 0; i < AC_COUNTOF(dims); i++) {
        tensor_file(2, (const uint64_t[]){ 4, dims[i] }, 0, 0, 64);
        bad("dimension 1 is");
        tensor_file(2, (const uint64_t[]){ dims[i], 4 }, 0, 0, 64);
        bad("dimension 0 is");
    }
    const uint64_t big = INT64_MAX, half = (uint64_t)1 << 32;
    tensor_file(2, (const uint64_t[]){ big, 8 }, 0, 0, 64);
    bad("larger than any file");
    tensor_file(4, (const uint64_t[]){ half, half, 1, 1 }, 0, 0, 64);
    bad("larger than any file");
    tensor_file(2, (const uint64_t[]){ (uint64_t)1 << 61, 2 }, 0, 0, 64);       /* elements fit, bytes do not */
    bad("larger than any file");
    tensor_file(2, (const uint64_t[]){ (uint64_t)1 << 59, 31 }, 8, 0, 64);      /* the same, in blocks of 34 bytes */
    bad("larger than any file");
}

/* 12, 13, 14 */
static void sizes(void **state)
{
    AC_UNUSED(state);
    tensor_file(1, (const uint64_t[]){ ((uint64_t)1 << 62) - 1 }, 0, 0, 64);    /* SIZE_MAX - 3 bytes */
    bad("needs bytes 0 to 18446744073709551612 of the data");
    gguf_head(&file, 3, 3, 0);
    const uint64_t third = (uint64_t)1 << 61, bytes = third * 4;
    gguf_info(&file, "a", 1, &third, 0, 0);
    gguf_info(&file, "b", 1, &third, 0, bytes);
    gguf_info(&file, "c", 1, &third, 0, 0);                                     /* the sum wraps to here */
    pad_to(&file, 32), put_zeros(&file, 64);
    bad("tensor \"a\" needs bytes");
    tensor_file(1, (const uint64_t[]){ 33 }, 8, 0, 128);
    bad("rows of 33 elements do not divide into blocks of 32 (Q8_0)");
    tensor_file(2, (const uint64_t[]){ 128, 2 }, 12, 0, 1024);
    bad("blocks of 256 (Q4_K)");
    const uint64_t types[] = { 0xffffffff, 4, 5, 31, 36, 40, 1000 };
    for (size_t i = 0; i < AC_COUNTOF(types); i++) {
        tensor_file(1, (const uint64_t[]){ 256 }, types[i], 0, 1024);
        bad("is of unknown type");
    }
    tensor_file(1, (const uint64_t[]){ 256 }, 10, 0, 1024);
    bad("is Q2_K, which is not supported; use a file in F32");
}

/* 15, 16 */
static void offsets(void **state)
{
    AC_UNUSED(state);
    const uint64_t at[] = { 4, 32, (uint64_t)1 << 40, UINT64_MAX - 31 };
    for (size_t i = 0; i < AC_COUNTOF(at); i++) {
        tensor_file(1, (const uint64_t[]){ 8 }, 0, at[i], 256);
        bad("has offset");
    }
    const uint64_t pairs[][2] = { { 0, 0 }, { 0, 16 }, { 64, 0 }, { 0, 64 }, { 32, 0 } };
    for (size_t i = 0; i < AC_COUNTOF(pairs); i++) {
        gguf_head(&file, 3, 2, 0);
        gguf_info(&file, "a", 1, (const uint64_t[]){ 8 }, 0, pairs[i][0]);
        gguf_info(&file, "b", 1, (const uint64_t[]){ 8 }, 0, pairs[i][1]);
        pad_to(&file, 32), put_zeros(&file, 256);
        bad("has offset");
    }
    tensor_file(1, (const uint64_t[]){ 8 }, 0, 0, 31);
    bad("needs bytes 0 to 32 of the data, and the file holds 31");
    gguf_head(&file, 3, 1, 0), gguf_info(&file, "w", 1, (const uint64_t[]){ 8 }, 0, 0);
    bad("ends in front of the tensor data");
}

/* 18 */
static void names(void **state)
{
    AC_UNUSED(state);
    char name[80];
    memset(name, 'n', sizeof name);
    name[64] = '\0';
    gguf_head(&file, 3, 1, 0), gguf_info(&file, name, 1, (const uint64_t[]){ 8 }, 0, 0), pad_to(&file, 32);
    put_zeros(&file, 64);
    bad("a tensor's name must be 1 to 63 printable");
    static const char *const odd[] = { "", "a\xff", "a\x01", "blk. 0", "\xc3\xa9" };
    for (size_t i = 0; i < AC_COUNTOF(odd); i++) {
        gguf_head(&file, 3, 1, 0), gguf_info(&file, odd[i], 1, (const uint64_t[]){ 8 }, 0, 0), pad_to(&file, 32);
        put_zeros(&file, 64);
        bad("printable ASCII");
    }
    gguf_head(&file, 3, 1, 0), put_le(&file, 3, 8), ac_str_append(&file, (ac_view){ "a\0b", 3 });
    put_zeros(&file, 64);
    bad("printable ASCII");
}

/* 21: a hundred thousand names cost linear time, and counts are capped. */
static void many(void **state)
{
    AC_UNUSED(state);
    enum { N = 60000 };
    char key[32];
    file.max_bytes = (size_t)64 << 20;
    gguf_head(&file, 3, 0, N);
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "key.%d", i);
        gguf_key(&file, key, 0);
        put_le(&file, 0, 1);
    }
    ac_gguf *g;
    void *copy;
    assert_int_equal(parse(&g, &copy, file.len, NULL), AC_OK);
    assert_true(ac_gguf_has(g, "key.59999"));
    ac_gguf_close(&g);
    ac_free(copy);
    ac_str_reset(&file);
    gguf_head(&file, 3, 0, 65537), put_zeros(&file, 65537 * 14);
    bad("claims 65537 keys");
}

/* Every byte changed in three ways and every length: opened or refused with a message. */
static void mutations(void **state)
{
    AC_UNUSED(state);
    ac_gguf *g = NULL;
    void *copy;
    gguf_small(&file, 3);
    for (size_t len = 0; len < file.len; len++) {
        ac_err err = { 0 };
        assert_int_equal(parse(&g, &copy, len, &err), AC_EFORMAT);      /* a cut is always seen */
        assert_true(err.text[0] && !g);
        ac_free(copy);
    }
    for (size_t at = 0; at < file.len; at++) {
        for (unsigned x = 1; x < 256; x = x * 2 + 1) {
            ac_err err = { 0 };
            ac_str text = { 0 };
            file.ptr[at] = (char)(file.ptr[at] ^ (char)x);
            const ac_status st = parse(&g, &copy, file.len, &err);
            assert_true(st == AC_OK || (st == AC_EFORMAT && err.text[0] && !g));
            for (size_t i = 0; g && i < ac_gguf_key_count(g); i++) (void)ac_gguf_key_at(g, i, &text);
            ac_gguf_close(&g);
            ac_free(copy);
            ac_str_release(&text);
            file.ptr[at] = (char)(file.ptr[at] ^ (char)x);
        }
    }
}

static void from_file(void **state)
{
    AC_UNUSED(state);
    char path[] = "/tmp/accord-gguf-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    gguf_small(&file, 3);
    assert_int_equal(ac_file_write_atomic(path, file.ptr, file.len, NULL), AC_OK);
    ac_gguf *g = NULL;
    ac_err err = { 0 };
    if (ac_gguf_open(&g, path, &err)) fail_msg("%s", err.text);
    assert_string_equal(ac_gguf_path(g), path);
    ac_gguf_close(&g);
    assert_int_equal(ac_file_write_atomic(path, "", 0, NULL), AC_OK);
    assert_int_equal(ac_gguf_open(&g, path, &err), AC_EFORMAT);
    (void)unlink(path);
    err = (ac_err){ 0 };
    assert_int_equal(ac_gguf_open(&g, path, &err), AC_ENOENT);
    assert_int_equal(ac_gguf_open(&g, "/tmp", NULL), AC_EFORMAT);       /* F1: a folder is no regular file */
    assert_null(g);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, drop)
    const struct CMUnitTest tests[] = {
        T(good), T(values), T(shown), T(beginnings), T(counts), T(keys), T(value_types), T(shapes), T(sizes),
        T(offsets), T(names), T(many), T(mutations), T(from_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
