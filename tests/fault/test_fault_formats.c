/* Every reader and writer of the room, failed at its n-th allocation and its n-th I/O call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/fault.h"
#include "base/file.h"
#include "formats/gguf.h"
#include "formats/yaml.h"
#include "formats/zip.h"
#include "formats_build.h"
#include "zip_build.h"

static char dir[] = "/tmp/accord-fault-formats-XXXXXX";

static const char *in(char buf[160], const char *name)
{
    (void)snprintf(buf, 160, "%s/%s", dir, name);
    return buf;
}

static ac_status trees(ac_err *err)
{
    char p[160];
    ac_arena a = { 0 };
    ac_str s = { 0 };
    const ac_json *v = NULL;
    ac_status st = ac_json_parse_file(&v, in(p, "big.json"), &a, NULL, err);
    if (!st) {
        ac_json_canonical(&s, v);
        ac_json_write(&s, v);
        if (!ac_str_ok(&s)) st = ac_fail_nomem(err, s.len);
    }
    if (!st) st = ac_yaml_parse(&v, AC_VIEW("a: [1, x, {b: 0x10}]\nlong: >\n  some text\n"), &a, "y", err);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

static ac_status weights(ac_err *err)
{
    static const float data[8] = { 1 };
    char p[160];
    const ac_tensor_out out[] = { { "x", AC_F32, 1, { 8, 1, 1, 1 }, data }, { "y", AC_F32, 2, { 2, 4, 1, 1 }, data } };
    const ac_metadata meta = { "k", "v" };
    ac_tensors *t = NULL;
    ac_gguf *g = NULL;
    ac_view strs[3];
    ac_status st = ac_safetensors_write(in(p, "out.safetensors"), out, 2, &meta, 1, err);
    if (!st) st = ac_safetensors_open(&t, in(p, "out.safetensors"), err);
    ac_tensors_close(&t);
    if (!st) st = ac_safetensors_open(&t, in(p, "shards"), err);      /* misaligned data: copied */
    ac_tensors_close(&t);
    if (!st) st = ac_gguf_open(&g, in(p, "small.gguf"), err);
    if (!st) st = ac_gguf_str_array(strs, 3, g, "a.strs", err);
    ac_gguf_close(&g);
    return st;
}

static ac_status scenario(ac_err *err)
{
    char p[160], q[160];
    ac_status st = trees(err);
    if (!st) st = weights(err);
    if (!st) st = ac_zip_extract_suffix(in(p, "a.zip"), ".bin", in(q, "unzipped"), 1000, err);
    return st;
}

static void fail_each(ac_fault_kind kind)
{
    char p[160];
    long nth = 1;
    for (;; nth++) {
        ac_err err = { "" };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        assert_int_equal(ac_live_bytes(), 0);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        if (!err.text[0]) fail_msg("point %ld: no text", nth);
        if (kind == AC_FAULT_ALLOC) assert_int_equal(st, AC_ENOMEM);
        else assert_true(st == AC_EIO || st == AC_ECREATE);
        if (kind == AC_FAULT_IO && ac_path_exists(in(p, "out.safetensors"))) {      /* complete or absent */
            ac_tensors *t = NULL;
            assert_int_equal(ac_safetensors_open(&t, p, NULL), AC_OK);
            ac_tensors_close(&t);
        }
        assert_int_equal(ac_remove_tree(in(p, "out.safetensors"), NULL), AC_OK);
        assert_int_equal(ac_remove_tree(in(p, "unzipped"), NULL), AC_OK);
    }
    print_message("%ld points failed\n", nth - 1);
    assert_true(nth > 20);
}

static void every_allocation(void **state)
{
    AC_UNUSED(state);
    fail_each(AC_FAULT_ALLOC);
}

static void every_io_call(void **state)
{
    AC_UNUSED(state);
    fail_each(AC_FAULT_IO);
}

static void save(const char *name, ac_str *s)
{
    char p[160];
    assert_true(ac_str_ok(s));
    assert_int_equal(ac_file_write_atomic(in(p, name), s->ptr, s->len, NULL), AC_OK);
    ac_str_reset(s);
}

static int prepare(void **state)
{
    AC_UNUSED(state);
    static const char *const map = "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";
    char p[160];
    ac_str s = { 0 };
    if (!mkdtemp(dir)) return -1;
    assert_int_equal(ac_mkdir_p(in(p, "shards"), NULL), AC_OK);
    ac_str_append_c(&s, "{\"list\":[");
    for (int i = 0; i < 300; i++) ac_str_appendf(&s, "%s\"text %d\\n\",%d.5", i ? "," : "", i, i);
    ac_str_append_c(&s, "]");
    for (int i = 0; i < 50; i++) ac_str_appendf(&s, ",\"key %d\":{\"x\":null}", i);
    ac_str_append_c(&s, "}");
    save("big.json", &s);
    gguf_small(&s, 3);
    save("small.gguf", &s);
    safetensors_file(&s, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} ", 8);
    save("shards/1.safetensors", &s);
    safetensors_file(&s, "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    save("shards/2.safetensors", &s);
    ac_str_append_c(&s, map);
    save("shards/model.safetensors.index.json", &s);
    static const char *const names[] = { "m.bin" };
    zip_build(&s, names, 1, "content", 7, true);
    save("a.zip", &s);
    ac_str_release(&s);
    return 0;
}

static int clean(void **state)
{
    AC_UNUSED(state);
    return ac_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    return cmocka_run_group_tests(tests, prepare, clean);
}
