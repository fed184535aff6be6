/* safetensors: reader, shards, writer, and the bad files of the project's list. */
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
#include "formats/tensors_int.h"
#include "formats_build.h"

static ac_str file;
static char dir[] = "/tmp/accord-st-XXXXXX";

static int drop(void **state)
{
    AC_UNUSED(state);
    ac_str_release(&file);
    assert_int_equal(ac_live_bytes(), 0);
    return 0;
}

static ac_status parse(ac_tensors **t, void **copy, size_t len, ac_err *err)
{
    assert_true(ac_str_ok(&file));
    *copy = ac_malloc(len);
    memcpy(*copy, ac_str_c(&file), len);
    return ac_safetensors_parse(t, *copy, len, "t.st", err);
}

static void bad_file(const char *want)
{
    ac_tensors *t = NULL;
    void *copy;
    ac_err err = { 0 };
    const ac_status st = parse(&t, &copy, file.len, &err);
    if (st != AC_EFORMAT || !strstr(err.text, want) || strncmp(err.text, "t.st: ", 6) != 0)
        fail_msg("wanted \"%s\", got %s \"%s\"", want, ac_status_name(st), err.text);
    assert_null(t);
    ac_free(copy);
    ac_str_reset(&file);
}

static void bad(const char *header, size_t data, const char *want)
{
    safetensors_file(&file, header, data);
    bad_file(want);
}

static const char two[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[16,28]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
    "\"z\":{\"dtype\":\"I8\",\"shape\":[0,7],\"data_offsets\":[16,16]}}   ";

static void good(void **state)
{
    AC_UNUSED(state);
    ac_tensors *t;
    void *copy;
    ac_err err = { 0 };
    safetensors_file(&file, two, 28);
    if (parse(&t, &copy, file.len, &err)) fail_msg("%s", err.text);
    assert_int_equal(ac_tensors_count(t), 3);
    const ac_tensor *a = ac_tensors_at(t, 0), *b = ac_tensors_find(t, "b"), *z = ac_tensors_at(t, 1);
    assert_true(ac_view_eq_str(a->name, "a") && a->type == AC_F32 && a->n_dims == 1 && a->dim[0] == 4 && a->bytes == 16);
    assert_true(b->type == AC_BF16 && b->n_dims == 2 && b->dim[0] == 2 && b->dim[1] == 3 && b->dim[2] == 1);
    assert_true(((const uint8_t *)a->data)[3] == 3 && ((const uint8_t *)b->data)[0] == 16);
    assert_true((uintptr_t)a->data % 4 == 0);          /* the header's length puts it at an odd place in the file */
    assert_true(ac_view_eq_str(z->name, "z") && z->bytes == 0);
    assert_true(ac_view_eq_str(ac_safetensors_metadata(t, "format"), "pt"));
    assert_null(ac_safetensors_metadata(t, "none").ptr);
    ac_tensors_close(&t);
    assert_null(t);
    ac_tensors_close(&t);
    ac_free(copy);
    ac_str_reset(&file);
    safetensors_file(&file, "{}", 0);
    assert_int_equal(parse(&t, &copy, file.len, NULL), AC_OK);
    assert_int_equal(ac_tensors_count(t), 0);
    ac_tensors_close(&t);
    ac_free(copy);
    ac_str_reset(&file);
    safetensors_file(&file, "{\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8);
    assert_int_equal(parse(&t, &copy, file.len, NULL), AC_OK);
    assert_int_equal(ac_tensors_at(t, 0)->n_dims, 0);
    ac_tensors_close(&t);
    ac_free(copy);
}

/* 25, 26, 34 */
static void headers(void **state)
{
    AC_UNUSED(state);
    for (size_t n = 0; n < 8; n++) {
        put_zeros(&file, n);
        bad_file("too few for a safetensors file");
    }
    const uint64_t lengths[] = { UINT64_MAX, UINT64_MAX - 7, 100, 100000001, (uint64_t)1 << 63 };
    for (size_t i = 0; i < AC_COUNTOF(lengths); i++) {
        put_le(&file, lengths[i], 8), ac_str_append_c(&file, "{}");
        bad_file("claims a header of");
    }
    bad("", 0, "must begin with '{'");
    bad(" {}", 0, "must begin with '{'");
    bad("[]", 0, "must begin with '{'");
    bad("{", 0, "header:1:2: the text ends");
    bad("{}x", 0, "more text behind the value");
    bad("{\"\xff\":1}", 0, "not valid UTF-8");
    put_le(&file, 3, 8), ac_str_append(&file, (ac_view){ "{}\0", 3 });
    bad_file("more text behind");
    for (int i = 0; i < 100000; i++) ac_str_append_c(&file, "{\"a\":");
    char *deep = ac_strdup(ac_str_c(&file));
    ac_str_reset(&file);
    bad(deep, 0, "nested deeper than 64");
    ac_free(deep);
    ac_str_append_c(&file, "GGUF"), put_zeros(&file, 32);
    bad_file("is a GGUF file");
    ac_str_append_c(&file, "PK\x03\x04"), put_zeros(&file, 32);
    bad_file("zip archive, probably a PyTorch checkpoint");
    ac_str_append_c(&file, "\x80\x02}q\x01(X\x05");
    bad_file("is a Python pickle");
}

#define ONE(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

/* 27 to 30, 32 */
static void entries(void **state)
{
    AC_UNUSED(state);
    bad("{" ONE("a", "F32", "[1]", 0, 4) "," ONE("a", "F32", "[1]", 4, 8) "}", 8, "key \"a\" stands twice");
    bad("{\"a\":7}", 0, "its entry must be an object");
    bad("{\"a\":{}}", 0, "must hold dtype, shape and data_offsets");
    bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "and nothing else");
    bad("{" ONE("", "F32", "[1]", 0, 4) "}", 4, "must not be empty");
    bad("{" ONE("a\\u0000", "F32", "[1]", 0, 4) "}", 4, "contain NUL");
    bad("{" ONE("a", "F8_E4M3", "[4]", 0, 4) "}", 4, "dtype \"F8_E4M3\" is not supported; convert");
    bad("{" ONE("a", "F4", "[1]", 0, 0) "}", 0, "dtype \"F4\" is not supported");
    bad("{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "\"dtype\" must be a string");
    bad("{" ONE("a", "F32", "4", 0, 4) "}", 4, "\"shape\" must be an array");
    bad("{" ONE("a", "F32", "[1,1,1,1,1]", 0, 4) "}", 4, "has 5 dimensions; at most 4");
    static const char *const dims[] = { "1e0", "1.0", "\"1\"", "-1", "-0", "null", "9007199254740993", "[1]", "1e3" };
    for (size_t i = 0; i < AC_COUNTOF(dims); i++) {
        ac_str h = { 0 };
        ac_str_appendf(&h, "{\"a\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,4]}}", dims[i]);
        bad(ac_str_c(&h), 4, "each dimension must be a whole number");
        ac_str_reset(&h);
        ac_str_appendf(&h, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,%s]}}", dims[i]);
        bad(ac_str_c(&h), 4, "\"data_offsets\" must be two whole numbers");
        ac_str_release(&h);
    }
    bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two whole numbers");
    bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "two whole numbers");
    bad("{" ONE("a", "F32", "[1]", 4, 0) "}", 4, "claims bytes 4 to 0 of 4");
    bad("{" ONE("a", "F32", "[2]", 0, 8) "}", 4, "claims bytes 0 to 8 of 4");
    bad("{" ONE("a", "F32", "[2]", 0, 4) "}", 4, "needs 8 bytes by shape and dtype");
    bad("{" ONE("a", "F32", "[4503599627370496,4503599627370496]", 0, 4) "}", 4, "larger than any file");
    bad("{" ONE("a", "F32", "[4611686018427387904]", 0, 0) "}", 0, "each dimension");
}

/* 28, 30, 31 */
static void coverage(void **state)
{
    AC_UNUSED(state);
    bad("{" ONE("a", "F32", "[1]", 4, 8) "}", 8, "(hole)");
    bad("{" ONE("a", "F32", "[1]", 0, 4) "," ONE("b", "F32", "[1]", 8, 12) "}", 12, "(hole)");
    bad("{" ONE("a", "F32", "[2]", 0, 8) "," ONE("b", "F32", "[1]", 4, 8) "}", 8, "(overlap)");
    bad("{" ONE("a", "F32", "[1]", 0, 4) "," ONE("b", "F32", "[1]", 0, 4) "}", 4, "(overlap)");
    bad("{" ONE("a", "F32", "[1]", 0, 4) "}", 8, "the tensors end at byte 4 of the data, but the file holds 8");
    bad("{}", 1, "end at byte 0 of the data");
    bad("{" ONE("a", "F32", "[2]", 0, 8) "," ONE("e", "F32", "[0]", 4, 4) "}", 8, "(overlap)");   /* 30: inside */
    ac_str h = { 0 };
    ac_str_append_c(&h, "{");
    for (int i = 0; i < 20000; i++)
        ac_str_appendf(&h, "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}", i ? "," : "", i);
    ac_str_append_c(&h, "}");
    bad(ac_str_c(&h), 16, "(overlap)");
    ac_str_release(&h);
}

/* 33 */
static void metadata(void **state)
{
    AC_UNUSED(state);
    bad("{\"__metadata__\":[]}", 0, "must be an object of strings");
    bad("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ \"a\" must be a string, found a number");
    bad("{" ONE("__metadata__", "F32", "[1]", 0, 4) "}", 4, "__metadata__ \"shape\" must be a string");
    ac_str h = { 0 };
    ac_str_append_c(&h, "{\"__metadata__\":{\"a\":\"");
    for (int i = 0; i < 17 << 14; i++)
        ac_str_append_c(&h, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    ac_str_append_c(&h, "\"}}");
    bad(ac_str_c(&h), 0, "__metadata__ holds more than");
    ac_str_release(&h);
}

static void mutations(void **state)
{
    AC_UNUSED(state);
    ac_tensors *t = NULL;
    void *copy;
    safetensors_file(&file, two, 28);
    for (size_t len = 0; len < file.len; len++) {
        ac_err err = { 0 };
        assert_int_equal(parse(&t, &copy, len, &err), AC_EFORMAT);
        assert_true(err.text[0] && !t);
        ac_free(copy);
    }
    for (size_t at = 0; at < file.len; at++) {
        for (unsigned x = 1; x < 256; x++) {
            ac_err err = { 0 };
            file.ptr[at] = (char)(file.ptr[at] ^ (char)x);
            const ac_status st = parse(&t, &copy, file.len, &err);
            assert_true(st == AC_OK || (st == AC_EFORMAT && err.text[0] && !t));
            ac_tensors_close(&t);
            ac_free(copy);
            file.ptr[at] = (char)(file.ptr[at] ^ (char)x);
        }
    }
}

/* ---- files ---- */

static const char *in(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void save(const char *name, const char *header, size_t data)
{
    ac_str_reset(&file);
    safetensors_file(&file, header, data);
    assert_int_equal(ac_file_write_atomic(in(name), file.ptr, file.len, NULL), AC_OK);
}

static void save_text(const char *name, const char *text)
{
    assert_int_equal(ac_file_write_atomic(in(name), text, strlen(text), NULL), AC_OK);
}

static void open_bad(const char *name, ac_status want_st, const char *want)
{
    ac_tensors *t = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_safetensors_open(&t, name ? in(name) : dir, &err);
    if (st != want_st || !strstr(err.text, want))
        fail_msg("wanted %s \"%s\", got %s \"%s\"", ac_status_name(want_st), want, ac_status_name(st), err.text);
    assert_null(t);
}

static int fresh_dir(void **state)
{
    AC_UNUSED(state);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    assert_int_equal(ac_mkdir_p(dir, NULL), AC_OK);
    return 0;
}

/* Names, types, shapes and bytes come back; the file is read by our own strict reader. */
static void round_trip(void **state)
{
    AC_UNUSED(state);
    static const float f[6] = { 1, -2, 3.5f, 0, 5, 6 };
    static const uint16_t h[3] = { 0x3c00, 1, 2 };
    const ac_tensor_out out[] = {
        { "model.a", AC_F32, 2, { 2, 3, 1, 1 }, f }, { "quote\"\xc3\xa9", AC_F16, 1, { 3, 1, 1, 1 }, h },
        { "none", AC_I64, 2, { 0, 5, 1, 1 }, NULL }, { "scalar", AC_U16, 0, { 1, 1, 1, 1 }, h },
    };
    const ac_metadata meta[] = { { "format", "pt" }, { "what", "line\nbreak" } };
    ac_err err = { 0 };
    if (ac_safetensors_write(in("w.safetensors"), out, 4, meta, 2, &err)) fail_msg("%s", err.text);
    ac_tensors *t;
    if (ac_safetensors_open(&t, in("w.safetensors"), &err)) fail_msg("%s", err.text);
    assert_int_equal(ac_tensors_count(t), 4);
    for (size_t i = 0; i < 4; i++) {
        const ac_tensor *x = ac_tensors_find(t, out[i].name);
        assert_true(x && x->type == out[i].type && x->n_dims == out[i].n_dims);
        for (uint32_t d = 0; d < x->n_dims; d++) assert_int_equal(x->dim[d], out[i].dim[d]);
        if (x->bytes) assert_memory_equal(x->data, out[i].data, x->bytes);
    }
    assert_true(ac_view_eq_str(ac_safetensors_metadata(t, "what"), "line\nbreak"));
    assert_int_equal((uintptr_t)ac_tensors_find(t, "model.a")->data % 8, 0);
    ac_tensors_close(&t);
    if (ac_safetensors_open(&t, dir, &err)) fail_msg("%s", err.text);      /* the only file of the folder */
    ac_tensors_close(&t);
}

static void write_refusals(void **state)
{
    AC_UNUSED(state);
    static const float f[4] = { 0 };
    const ac_tensor_out ok = { "a", AC_F32, 1, { 4, 1, 1, 1 }, f };
    const ac_tensor_out cases[] = {
        { "", AC_F32, 1, { 4, 1, 1, 1 }, f }, { "__metadata__", AC_F32, 1, { 4, 1, 1, 1 }, f },
        { "\xff", AC_F32, 1, { 4, 1, 1, 1 }, f }, { "q", AC_Q8_0, 1, { 32, 1, 1, 1 }, f },
        { "n", AC_F32, 5, { 1, 1, 1, 1 }, f }, { "big", AC_F32, 2, { SIZE_MAX, 2, 1, 1 }, f },
        { "null", AC_F32, 1, { 4, 1, 1, 1 }, NULL }, { "a", AC_F32, 1, { 4, 1, 1, 1 }, f },
        { NULL, AC_F32, 1, { 4, 1, 1, 1 }, f },
    };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        const ac_tensor_out pair[] = { ok, cases[i] };
        ac_err err = { 0 };
        assert_int_equal(ac_safetensors_write(in("x.safetensors"), pair, 2, NULL, 0, &err), AC_EARG);
        assert_true(err.text[0] && !ac_path_exists(in("x.safetensors")));
    }
    assert_int_equal(ac_safetensors_write(in("no/such/x"), &ok, 1, NULL, 0, NULL), AC_ECREATE);
}

#define SHARD_A "{" ONE("a", "F32", "[1]", 0, 4) "}"
#define SHARD_B "{" ONE("b", "F32", "[1]", 0, 4) "," ONE("c", "F32", "[1]", 4, 8) "}"

static void sharded(void **state)
{
    AC_UNUSED(state);
    save("m-2.safetensors", SHARD_B, 8);
    save("m-1.safetensors", SHARD_A, 4);
    open_bad(NULL, AC_ENOENT, "holds 2 .safetensors files and no model.safetensors.index.json");
    save_text("model.safetensors.index.json", "{\"metadata\":{\"total_size\":12},\"weight_map\":{\"c\":\"m-2.safetensors\","
              "\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}");
    for (int by_folder = 0; by_folder < 2; by_folder++) {
        ac_tensors *t;
        ac_err err = { 0 };
        if (ac_safetensors_open(&t, by_folder ? dir : in("model.safetensors.index.json"), &err)) fail_msg("%s", err.text);
        assert_int_equal(ac_tensors_count(t), 3);
        assert_true(ac_view_eq_str(ac_tensors_at(t, 0)->name, "a") && ac_view_eq_str(ac_tensors_at(t, 2)->name, "c"));
        assert_int_equal(((const uint8_t *)ac_tensors_find(t, "c")->data)[0], 4);
        assert_null(ac_safetensors_metadata(t, "x").ptr);
        ac_tensors_close(&t);
    }
}

/* 35 */
static void bad_indexes(void **state)
{
    AC_UNUSED(state);
    static const struct {
        const char *map, *want;
        ac_status st;
    } cases[] = {
        { "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", "must name a file in the same folder", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "must name a file in the same folder", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"..\"}}", "must name a file in the same folder", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"\"}}", "must name a file in the same folder", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"m\\u00001.safetensors\"}}", "must name a file in the same folder", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":7}}", "must name a file in the same folder", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"pytorch_model.bin\"}}", "which is no .safetensors file", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"gone.safetensors\"}}", "names a missing shard", AC_ENOENT },
        { "{\"weight_map\":{\"a\":\"m-2.safetensors\"}}", "tensor \"a\" should stand in m-2.safetensors and does not", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\",\"c\":\"m-2.safetensors\"}}",
          "tensor \"b\" should stand in m-1.safetensors", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}", "the shards hold 3 tensors", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"x\":\"m-3.safetensors\"}}", "tensor \"a\" stands there twice", AC_EFORMAT },
        { "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\"}}", "key \"a\" stands twice", AC_EFORMAT },
        { "{\"weight_map\":{}}", "\"weight_map\" must be an object", AC_EFORMAT },
        { "[]", "\"weight_map\" must be an object", AC_EFORMAT },
        { "", "is empty", AC_EFORMAT },
    };
    save("m-1.safetensors", SHARD_A, 4);
    save("m-2.safetensors", SHARD_B, 8);
    save("m-3.safetensors", SHARD_A, 4);
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        save_text("model.safetensors.index.json", cases[i].map);
        open_bad("model.safetensors.index.json", cases[i].st, cases[i].want);
    }
}

static void missing(void **state)
{
    AC_UNUSED(state);
    open_bad(NULL, AC_ENOENT, "holds no .safetensors file");
    open_bad("none.safetensors", AC_ENOENT, "none.safetensors");
    save_text("model.safetensors", "");
    open_bad(NULL, AC_EFORMAT, "has 0 bytes, too few");
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
#define T(f) cmocka_unit_test_teardown(f, drop)
#define F(f) cmocka_unit_test_setup_teardown(f, fresh_dir, drop)
    const struct CMUnitTest tests[] = {
        T(good), T(headers), T(entries), T(coverage), T(metadata), T(mutations),
        F(round_trip), F(write_refusals), F(sharded), F(bad_indexes), F(missing),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
