/* seal/tar.h and seal/bundle.h: one form only, every byte of it counts, and names stay inside the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/file.h"
#include "seal/bundle.h"

static void header(ac_str *out, const char *name, uint64_t size)
{
    uint8_t head[AC_TAR_BLOCK];
    ac_err err = { "" };
    if (ac_tar_header(head, ac_view_of(name), size, &err)) fail_msg("%s", err.text);
    ac_str_append(out, (ac_view){ (const char *)head, sizeof head });
}

static void zeros(ac_str *out, size_t n)
{
    while (n--) ac_str_append_char(out, '\0');
}

static void member(ac_str *out, const char *name, ac_view content)
{
    header(out, name, content.len);
    ac_str_append(out, content);
    zeros(out, ac_tar_padding(content.len));
}

/* One file and its list. */
static void small_archive(ac_str *out)
{
    ac_str list = { 0 };
    char hex[AC_SHA256_HEX];
    const ac_sha256 h = ac_sha256_of("rows", 4);
    ac_sha256_hex(hex, &h);
    ac_str_appendf(&list, "{\"accord_backup\":1,\"files\":[{\"name\":\"a/f\",\"bytes\":4,\"sha256\":\"%s\"}]}", hex);
    member(out, "a/f", AC_VIEW("rows"));
    member(out, AC_BUNDLE_LIST, ac_str_view(&list));
    zeros(out, 2 * AC_TAR_BLOCK);
    ac_str_release(&list);
}

static ac_status check(const ac_str *s)
{
    ac_err err = { "" };
    const ac_status st = ac_bundle_check_tar(s->ptr, s->len, "b", &err);
    if (!st == !!err.text[0]) fail_msg("status %d with \"%s\"", st, err.text);
    return st;
}

static void test_every_byte(void **state)
{
    (void)state;
    ac_str s = { 0 };
    small_archive(&s);
    assert_int_equal(check(&s), AC_OK);
    /* In the list's text a blank may change; what it says may not, and in an age file nothing may. */
    const size_t list = 512 + 512 + 512;
    for (size_t i = 0; i < s.len; i++) {
        if (i >= list && i < list + 120) continue;
        s.ptr[i] = (char)(s.ptr[i] ^ 1);
        if (check(&s) == AC_OK) fail_msg("byte %zu changed unseen", i);
        s.ptr[i] = (char)(s.ptr[i] ^ 1);
    }
    for (size_t n = 0; n < s.len; n++) {
        const ac_str cut = { .ptr = s.ptr, .len = n };
        if (check(&cut) == AC_OK) fail_msg("cut at %zu unseen", n);
    }
    zeros(&s, 1);
    assert_int_equal(check(&s), AC_EFORMAT);
    ac_str_release(&s);
}

static void test_names(void **state)
{
    static const char *const good[] = { "a", "a/b", ".accord/runs/x-1/adapter/f.json", "\xc3\xbc/f", "a b/c" };
    static const char *const bad[] = { "", "/a", "../a", "a/../b", "a/..", "a//b", "a/", "./a", "a/./b", "a\\b", "a\nb",
                                       "a\x7f", "\xff" };
    (void)state;
    uint8_t head[AC_TAR_BLOCK];
    char name[400];
    for (size_t i = 0; i < AC_COUNTOF(good); i++) assert_int_equal(ac_tar_header(head, ac_view_of(good[i]), 1, NULL), AC_OK);
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        assert_int_equal(ac_tar_header(head, ac_view_of(bad[i]), 1, NULL), AC_EARG);
        /* By hand, with a right checksum: refused by the reader as well. */
        ac_str s = { 0 };
        header(&s, "aaaaaaaaaa", 0);
        unsigned sum = 0;
        memset(s.ptr, 0, 100);
        memcpy(s.ptr, bad[i], strlen(bad[i]));
        memset(s.ptr + 148, ' ', 8);
        for (size_t k = 0; k < 512; k++) sum += (unsigned char)s.ptr[k];
        (void)snprintf(s.ptr + 148, 7, "%06o", sum);
        zeros(&s, 1024);
        assert_int_equal(check(&s), AC_EFORMAT);
        ac_str_release(&s);
    }
    memset(name, 'd', sizeof name);
    name[120] = name[240] = '/';
    name[300] = '\0';
    assert_int_equal(ac_tar_header(head, ac_view_of(name), 1, NULL), AC_EARG);          /* 300 bytes */
    name[200] = '\0';
    assert_int_equal(ac_tar_header(head, ac_view_of(name), 1, NULL), AC_OK);            /* 120 and 79 */
    name[120] = 'd';
    assert_int_equal(ac_tar_header(head, ac_view_of(name), 1, NULL), AC_EARG);          /* cannot be divided */
}

static void test_sizes(void **state)
{
    (void)state;
    uint8_t head[AC_TAR_BLOCK];
    assert_int_equal(ac_tar_header(head, AC_VIEW("big"), 077777777777, NULL), AC_OK);
    assert_memory_equal(head + 124, "77777777777", 12);
    assert_int_equal(ac_tar_header(head, AC_VIEW("big"), (uint64_t)1 << 40, NULL), AC_OK);
    assert_int_equal(head[124], 0x80);
    assert_int_equal(ac_tar_padding(0), 0);
    assert_int_equal(ac_tar_padding(1), 511);
    assert_int_equal(ac_tar_padding(512), 0);
}

static void test_lists(void **state)
{
    static const char *const bad[] = { "", "[]", "{}", "{\"accord_backup\":2,\"files\":[]}", "{\"accord_backup\":1}",
                                       "{\"accord_backup\":1,\"files\":[{}]}",
                                       "{\"accord_backup\":1,\"files\":[{\"name\":\"x\",\"bytes\":1,\"sha256\":\"0\"}]}" };
    (void)state;
    ac_str s = { 0 };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_str_reset(&s);
        member(&s, AC_BUNDLE_LIST, ac_view_of(bad[i]));
        zeros(&s, 1024);
        assert_int_equal(check(&s), AC_EFORMAT);
    }
    ac_str_reset(&s);                                /* no list; then one that is not the last */
    member(&s, "f", AC_VIEW("x"));
    zeros(&s, 1024);
    assert_int_equal(check(&s), AC_EFORMAT);
    ac_str_reset(&s);
    member(&s, AC_BUNDLE_LIST, AC_VIEW("{\"accord_backup\":1,\"files\":[]}"));
    member(&s, "f", AC_VIEW("x"));
    zeros(&s, 1024);
    assert_int_equal(check(&s), AC_EFORMAT);
    ac_str_release(&s);
}

static void test_round(void **state)
{
    (void)state;
    char dir[] = "/tmp/accord_bundle.XXXXXX";
    ac_arena a = { 0 };
    ac_age_identity id;
    ac_age_recipient r;
    ac_err err = { "" };
    const ac_json *list = NULL;
    uint64_t bytes = 0;
    assert_non_null(mkdtemp(dir));
    assert_true(sodium_init() >= 0);
    ac_age_identity_make(&id);
    memcpy(r.key, id.key, 32);
    const ac_age_to to = { .recipient = &r, .n = 1 };
    const ac_age_from from = { .identity = &id, .n = 1 };
    const char *in = ac_path_join(&a, dir, "in"), *out = ac_path_join(&a, dir, "b.age"), *back = ac_path_join(&a, dir, "back/");
    char *big = ac_calloc(1, 200000);
    assert_non_null(big);
    assert_int_equal(ac_file_write_atomic(in, big, 200000, &err), AC_OK);
    const ac_bundle_file files[] = { { "x/y/f", in }, { "g", in } };
    assert_int_equal(ac_bundle_write(out, &to, files, 2, "\"runs\": 1", NULL, &bytes, &err), AC_OK);
    assert_int_equal(bytes, 400000);
    assert_int_equal(ac_bundle_write(out, &to, files, 2, NULL, NULL, &bytes, NULL), AC_ECREATE);
    if (ac_bundle_read(&list, &a, out, &from, NULL, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(ac_json_get(list, "files")->n, 2);
    if (ac_bundle_read(&list, &a, out, &from, back, NULL, &err)) fail_msg("%s", err.text);
    ac_map m = { .ptr = NULL };
    assert_int_equal(ac_map_open(&m, ac_path_join(&a, dir, "back/x/y/f"), &err), AC_OK);
    assert_true(m.len == 200000 && memcmp(m.ptr, big, m.len) == 0);
    ac_map_close(&m);
    assert_int_equal(ac_bundle_read(&list, &a, out, &from, back, NULL, NULL), AC_ECREATE);     /* not empty now */
    ac_free(big);
    ac_arena_release(&a);
    (void)ac_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_names), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_lists),      cmocka_unit_test(test_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
