/* Every allocation and every read of opening a tokenizer, encoding, decoding and rendering fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "tokenizer/chat.h"
#include "tokenizer_fixture.h"

static char *dir;

static ac_status encode_and_back(const ac_tokenizer *t, ac_err *err)
{
    ac_ids ids = { 0 };
    ac_str back = { 0 };
    ac_sha256 hash;
    const ac_view text = AC_VIEW("hello the e\xcc\xa3\xcc\x81 <think> hellohellohellohellohellohello \xff");
    ac_status st = ac_tokenizer_encode(t, text, AC_ENCODE_SPECIAL | AC_ENCODE_EOS, &ids, err);
    if (!st) st = ac_tokenizer_decode(t, ids.id, ids.n, AC_DECODE_SPECIAL, &back, err);
    if (!st) st = ac_tokenizer_hash(t, &hash, err);
    ac_ids_release(&ids);
    ac_str_release(&back);
    return st;
}

static ac_status render(const ac_tokenizer *t, const char *format, ac_err *err)
{
    const ac_message m[] = {
        { .role = AC_ROLE_USER, .content = AC_VIEW("hello the") },
        { .role = AC_ROLE_ASSISTANT, .content = AC_VIEW("there"),
          .tool_calls = AC_VIEW("[{\"name\":\"f\",\"arguments\":{\"x\":[1,\"two\"]}}]") },
    };
    ac_chat *c = NULL;
    ac_rendered r = { 0 };
    ac_status st = ac_chat_open(&c, t, format, err);
    if (!st) st = ac_chat_render(c, m, format ? 2 : 1, false, &r, err);
    ac_rendered_release(&r);
    ac_chat_close(&c);
    return st;
}

static ac_status scenario(ac_err *err)
{
    ac_tokenizer *t = NULL;
    ac_status st = ac_tokenizer_open(&t, dir, err);
    if (!st) st = encode_and_back(t, err);
    if (!st) st = render(t, "qwen3", err);
    if (!st) st = render(t, NULL, err);
    ac_tokenizer_close(&t);
    return st;
}

static void fail_each(ac_fault_kind kind, unsigned least)
{
    const int64_t before = ac_live_bytes();
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (!fired) {
            if (st) fail_msg("without a fault: %s", err.text);
            assert_true(nth > (long)least);
            return;
        }
        if (kind == AC_FAULT_ALLOC) assert_int_equal(st, AC_ENOMEM);
        else assert_true(st == AC_EIO || st == AC_ENOENT);
        assert_true(err.text[0] != 0);
        assert_int_equal(ac_live_bytes(), before);
    }
}

static void allocations(void **state) { (void)state; fail_each(AC_FAULT_ALLOC, 20); }
static void reads(void **state) { (void)state; fail_each(AC_FAULT_IO, 3); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(allocations), cmocka_unit_test(reads) };
    dir = tf_make_dir();
    tf_write_byte_level(dir, "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                             "\"add_prefix_space\":true}");
    tf_write(dir, "chat_template.jinja",
             AC_VIEW("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                     "'<|im_end|>' + '\\n'}}{% endfor %}"));
    int rc = cmocka_run_group_tests_name("byte-level", tests, NULL, NULL);
    if (!rc) {
        char *spm = tf_make_dir();
        tf_write_spm(spm, NULL);
        ac_tokenizer *t = NULL;
        ac_err err = { 0 };
        if (ac_tokenizer_open(&t, spm, &err)) tf_fail(spm, &err);
        for (long nth = 1; !rc; nth++) {
            ac_err e = { 0 };
            ac_fault_arm(AC_FAULT_ALLOC, nth);
            const ac_status st = encode_and_back(t, &e);
            const bool fired = ac_fault_fired();
            ac_fault_disarm();
            rc = fired ? st != AC_ENOMEM : st != AC_OK;
            if (!fired) break;
        }
        ac_tokenizer_close(&t);
        tf_remove_dir(spm);
    }
    tf_remove_dir(dir);
    return rc;
}
