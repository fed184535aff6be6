/* Archives are made here (zip_build.h), so no file is needed. */
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
#include "formats/zip.h"
#include "zip_build.h"

static char dir[] = "/tmp/accord-zip-XXXXXX";
static char archive[128], target[128];
static char body[100000];

static void make(const char *const *names, size_t n, bool deflated)
{
    ac_str s = { 0 };
    zip_build(&s, names, n, body, sizeof body, deflated);
    assert_true(ac_str_ok(&s));
    assert_int_equal(ac_file_write_atomic(archive, s.ptr, s.len, NULL), AC_OK);
    ac_str_release(&s);
}

static void bad(const char *suffix, uint64_t max, const char *want)
{
    ac_err err = { 0 };
    (void)unlink(target);
    const ac_status st = ac_zip_extract_suffix(archive, suffix, target, max, &err);
    if (st != AC_EFORMAT || !strstr(err.text, want)) fail_msg("%s: %s", ac_status_name(st), err.text);
    assert_false(ac_path_exists(target));
}

static void extracts(void **state)
{
    AC_UNUSED(state);
    static const char *const names[] = { "p/a.txt", "p/data/model.gguf", "p/__init__.py" };
    for (int deflated = 0; deflated < 2; deflated++) {
        ac_err err = { 0 };
        ac_str got = { 0 };
        make(names, 3, deflated);
        if (ac_zip_extract_suffix(archive, ".gguf", target, sizeof body, &err)) fail_msg("%s", err.text);
        assert_int_equal(ac_file_read(&got, target, 1 << 20, NULL), AC_OK);
        assert_int_equal(got.len, sizeof body);
        assert_memory_equal(got.ptr, body, sizeof body);
        ac_str_release(&got);
        bad(".gguf", sizeof body - 1, "unpacks to more than 99999 bytes");
        bad(".bin", 1 << 20, "0 members end in \".bin\"");
        bad("", 1 << 20, "3 members end in");
    }
}

/* One field of a good archive set to something that is not read here. */
static void not_read_here(void **state)
{
    AC_UNUSED(state);
    static const char *const names[] = { "m.gguf" };
    static const struct { size_t from_end, bytes; uint32_t value; const char *want; } t[] = {
        { 22 + 52 - 8, 2, 1, "encrypted" },         /* of the directory's one entry: flags, */
        { 22 + 52 - 10, 2, 14, "packing is unknown" },                      /* method,       */
        { 22 + 52 - 24, 4, 0xffffffffu, "zip64" },                          /* plain length, */
        { 22 + 52 - 24, 4, 5, "length is not" },
        { 22 + 52 - 16, 4, 7, "checksum is not" },                          /* CRC,          */
        { 22 + 52 - 42, 4, 3, "not where the directory says" },             /* and place     */
        { 22 - 10, 2, 0xffff, "zip64" }, { 22 - 4, 2, 1, "several volumes" },
    };
    for (size_t i = 0; i < AC_COUNTOF(t); i++) {
        ac_str s = { 0 };
        zip_build(&s, names, 1, body, sizeof body, true);
        for (size_t k = 0; k < t[i].bytes; k++) s.ptr[s.len - t[i].from_end + k] = (char)(t[i].value >> 8 * k);
        assert_int_equal(ac_file_write_atomic(archive, s.ptr, s.len, NULL), AC_OK);
        bad(".gguf", 1 << 20, t[i].want);
        ac_str_release(&s);
    }
}

static void damaged(void **state)
{
    AC_UNUSED(state);
    static const char *const names[] = { "m.gguf" };
    ac_str raw = { 0 };
    make(names, 1, true);
    assert_int_equal(ac_file_read(&raw, archive, 1 << 20, NULL), AC_OK);
    size_t caught = 0;
    for (size_t at = 0; at < raw.len; at++) {                /* every byte: an error, or the same content */
        ac_err err = { 0 };
        ac_str got = { 0 };
        raw.ptr[at] = (char)~raw.ptr[at];
        assert_int_equal(ac_file_write_atomic(archive, raw.ptr, raw.len, NULL), AC_OK);
        (void)unlink(target);
        const ac_status st = ac_zip_extract_suffix(archive, ".gguf", target, 1 << 20, &err);
        if (st) {
            assert_true(st == AC_EFORMAT && err.text[0] && !ac_path_exists(target));
            caught++;
        } else {
            assert_int_equal(ac_file_read(&got, target, 1 << 20, NULL), AC_OK);
            assert_true(got.len == sizeof body && memcmp(got.ptr, body, sizeof body) == 0);
        }
        ac_str_release(&got);
        raw.ptr[at] = (char)~raw.ptr[at];
    }
    assert_true(caught > raw.len / 2);
    for (size_t len = 0; len < raw.len; len += 7) {
        assert_int_equal(ac_file_write_atomic(archive, raw.ptr, len, NULL), AC_OK);
        bad(".gguf", 1 << 20, archive);
    }
    ac_str_release(&raw);
}

static void missing(void **state)
{
    AC_UNUSED(state);
    ac_err err = { 0 };
    (void)unlink(archive);
    assert_int_equal(ac_zip_extract_suffix(archive, ".gguf", target, 1, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, archive));
}

static int no_leak(void **state)
{
    AC_UNUSED(state);
    assert_int_equal(ac_live_bytes(), 0);
    return 0;
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    (void)snprintf(archive, sizeof archive, "%s/a.zip", dir);
    (void)snprintf(target, sizeof target, "%s/out", dir);
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)(i / 700);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(extracts, no_leak), cmocka_unit_test_teardown(damaged, no_leak),
        cmocka_unit_test_teardown(missing, no_leak), cmocka_unit_test_teardown(not_read_here, no_leak),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
