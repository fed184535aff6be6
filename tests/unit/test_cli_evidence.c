/* cli/evidence.h: a bundle holds, and none that was changed in any byte does; nor one whose signer tells untruths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "evidence_fixture.h"

static ac_sign_key key, other;

static int make(void **state)
{
    (void)state;
    return ac_sign_key_make(&key, NULL) || ac_sign_key_make(&other, NULL) ? -1 : fix_make();
}

static int clean(void **state)
{
    (void)state;
    fix_remove();
    return 0;
}

static void build(ac_evidence *e, bool words)
{
    ac_err err = { "" };
    ac_status st = ac_ev_collect(e, FIX_RUN, words, &err);
    if (!st) st = ac_ev_card(e, &err);
    if (!st) st = ac_ev_bom(e, &err);
    if (!st) st = ac_ev_sign(e, &key, &err);
    if (st) fail_msg("%s", err.text);
}

/* The bundle as a tar file in memory. */
static void build_tar(ac_str *out)
{
    ac_evidence e = { .n = 0 };
    ac_err err = { "" };
    build(&e, false);
    (void)unlink("e.tar");
    if (ac_ev_write(&e, "e.tar", &err) || ac_file_read(out, "e.tar", 1 << 24, &err)) fail_msg("%s", err.text);
    ac_evidence_release(&e);
}

static ac_status check_tar(const ac_str *tar, const ac_sign_public *named, ac_err *err)
{
    ac_evidence e = { .n = 0 };
    ac_str said = { 0 };
    ac_sign_public signer;
    ac_status st = ac_ev_read_tar(&e, tar->ptr, tar->len, "e.tar", err);
    if (!st) st = ac_ev_check(&e, named, NULL, &said, &signer, err);
    ac_str_release(&said);
    ac_evidence_release(&e);
    return st;
}

static void test_holds(void **state)
{
    (void)state;
    ac_str tar = { 0 };
    ac_err err = { "" };
    build_tar(&tar);
    if (check_tar(&tar, NULL, &err) || check_tar(&tar, &key.pub, &err)) fail_msg("%s", err.text);
    assert_int_equal(check_tar(&tar, &other.pub, &err), AC_ENO);
    assert_non_null(strstr(err.text, "another key"));
    ac_str_release(&tar);
}

static void test_every_byte(void **state)
{
    (void)state;
    ac_str tar = { 0 };
    build_tar(&tar);
    for (size_t i = 0; i < tar.len; i++) {
        ac_err err = { "" };
        tar.ptr[i] = (char)(tar.ptr[i] ^ (1 << i % 7));
        const ac_status st = check_tar(&tar, NULL, &err);
        if ((st != AC_ENO && st != AC_EFORMAT) || !err.text[0]) fail_msg("byte %zu changed unseen (%d)", i, st);
        tar.ptr[i] = (char)(tar.ptr[i] ^ (1 << i % 7));
    }
    for (size_t n = 0; n < tar.len; n += 64) {
        ac_err err = { "" };
        const ac_str cut = { .ptr = tar.ptr, .len = n };
        if (check_tar(&cut, NULL, &err) == AC_OK) fail_msg("cut at %zu unseen", n);
    }
    ac_str_release(&tar);
}

static void test_files(void **state)
{
    (void)state;
    ac_sign_public signer;
    for (size_t gone = 0;; gone++) {                 /* each file taken out */
        ac_evidence e = { .n = 0 }, less = { .n = 0 };
        ac_str said = { 0 };
        ac_err err = { "" };
        build(&e, false);
        const bool more = gone < e.n;
        for (size_t i = 0; i < e.n; i++)
            if (i != gone) assert_int_equal(ac_ev_add(&less, e.file[i].name, e.file[i].bytes, NULL), AC_OK);
        const ac_status st = ac_ev_check(&less, NULL, NULL, &said, &signer, &err);
        assert_int_equal(st, more ? AC_ENO : AC_OK);
        ac_str_release(&said);
        ac_evidence_release(&e);
        ac_evidence_release(&less);
        if (!more) break;
    }
    ac_evidence e = { .n = 0 };                      /* and one put in */
    ac_str said = { 0 };
    ac_err err = { "" };
    build(&e, false);
    assert_int_equal(ac_ev_add(&e, "note.txt", AC_VIEW("x"), NULL), AC_OK);
    assert_int_equal(ac_ev_check(&e, NULL, NULL, &said, &signer, &err), AC_ENO);
    assert_non_null(strstr(err.text, "put in afterwards"));
    ac_str_release(&said);
    ac_evidence_release(&e);
}

static void test_words(void **state)
{
    (void)state;
    ac_evidence e = { .n = 0 };
    build(&e, false);
    assert_true(ac_view_find(ac_ev_find(&e, "verdict.json")->bytes, AC_VIEW("what was said"), 0) == SIZE_MAX);
    ac_evidence_release(&e);
    e = (ac_evidence){ .n = 0 };
    build(&e, true);
    assert_true(ac_view_find(ac_ev_find(&e, "verdict.json")->bytes, AC_VIEW("what was said"), 0) != SIZE_MAX);
    ac_str said = { 0 };
    ac_sign_public signer;
    assert_int_equal(ac_ev_check(&e, NULL, NULL, &said, &signer, NULL), AC_OK);
    ac_str_release(&said);
    ac_evidence_release(&e);
}

/* Rightly signed, and untrue. */
static void expect_untrue(const char *why)
{
    ac_str tar = { 0 };
    ac_err err = { "" };
    build_tar(&tar);
    assert_int_equal(check_tar(&tar, &key.pub, &err), AC_ENO);
    if (!strstr(err.text, why)) fail_msg("expected \"%s\", said \"%s\"", why, err.text);
    ac_str_release(&tar);
}

static void test_untrue_verdict(void **state)
{
    (void)state;
    fix_verdict("\"verdict\":\"WON\"");
    expect_untrue("verdict.json");
    fix_verdict(NULL);
    ac_str v = { 0 };
    assert_int_equal(ac_file_read(&v, ".accord/runs/" FIX_RUN "/verdict.json", 1 << 20, NULL), AC_OK);
    char *at = strstr(v.ptr, "\"pass\":true");         /* one case that passed is said to have failed */
    assert_non_null(at);
    ac_str changed = { 0 };
    ac_str_append(&changed, (ac_view){ v.ptr, (size_t)(at - v.ptr) });
    ac_str_append_c(&changed, "\"pass\":false");
    ac_str_append_c(&changed, at + strlen("\"pass\":true"));
    fix_write("verdict.json", changed.ptr);
    expect_untrue("passed");
    fix_verdict(NULL);
    ac_str_release(&v);
    ac_str_release(&changed);
}

static ac_status chain_of(ac_view text, uint64_t *kept)
{
    uint64_t records;
    char head[AC_SHA256_HEX];
    ac_err err = { "" };
    const ac_status st = ac_ev_check_chain(text, &records, head, fix_lock_hex, FIX_RUN, kept, &err);
    assert_true(!st == !err.text[0]);
    return st;
}

static void test_chain(void **state)
{
    (void)state;
    ac_evidence e = { .n = 0 };
    uint64_t kept = 0;
    build(&e, false);
    const ac_view text = ac_ev_find(&e, "audit.jsonl")->bytes;
    assert_int_equal(chain_of(text, &kept), AC_OK);
    assert_int_equal(kept, 1);
    assert_true(ac_view_find(text, AC_VIEW("another"), 0) == SIZE_MAX);       /* what is not ours is a link only */
    assert_true(ac_view_find(text, AC_VIEW("elided"), 0) != SIZE_MAX);
    size_t at = 0, n = 0;
    while (at < text.len) {                          /* a record taken out, and one doubled */
        const size_t lf = ac_view_find(text, AC_VIEW("\n"), at);
        ac_str s = { 0 };
        ac_str_append(&s, ac_view_slice(text, 0, at));
        ac_str_append(&s, ac_view_slice(text, lf + 1, text.len));
        if (at > 0 && lf + 1 < text.len) assert_int_equal(chain_of(ac_str_view(&s), &kept), AC_ENO);
        ac_str_reset(&s);
        ac_str_append(&s, ac_view_slice(text, 0, lf + 1));
        ac_str_append(&s, ac_view_slice(text, at, text.len));
        assert_int_equal(chain_of(ac_str_view(&s), &kept), AC_ENO);
        ac_str_release(&s);
        at = lf + 1;
        n++;
    }
    assert_int_equal(n, 5);
    ac_evidence_release(&e);
}

static void test_refusals(void **state)
{
    (void)state;
    ac_evidence e = { .n = 0 };
    ac_err err = { "" };
    fix_write("verdict.json", "{}");
    assert_int_equal(ac_ev_collect(&e, FIX_RUN, false, &err), AC_ECONTRACT);
    ac_evidence_release(&e);
    e = (ac_evidence){ .n = 0 };
    (void)unlink(".accord/runs/" FIX_RUN "/verdict.json");
    assert_int_equal(ac_ev_collect(&e, FIX_RUN, false, &(ac_err){ "" }), AC_EREFUSED);
    ac_evidence_release(&e);
    fix_verdict(NULL);
    e = (ac_evidence){ .n = 0 };
    assert_int_equal(ac_ev_collect(&e, "2031", false, &(ac_err){ "" }), AC_ENOENT);
    ac_evidence_release(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds), cmocka_unit_test(test_every_byte),     cmocka_unit_test(test_files),
        cmocka_unit_test(test_words), cmocka_unit_test(test_untrue_verdict), cmocka_unit_test(test_chain),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
