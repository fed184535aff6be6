/* The n-th allocation and the n-th read fail: a clean message and nothing leaked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "data_fixture.h"
#include "tokenizer_fixture.h"

static ac_tokenizer *tok;
static ac_chat *chat;
static const char *train, *valid;

static ac_status checks(const ac_row_file *t, const ac_row_file *v, ac_err *err)
{
    const ac_leak_text c[] = {
        { "one", AC_VIEW("How many orders are there in the shop today?"), { 0 }, AC_VIEW("SELECT 1") },
        { "two", AC_VIEW("and in May"), AC_VIEW("How many orders are there?"), { 0 } },
        { "three", AC_VIEW("how many orders are there in the shop today"), { 0 }, AC_VIEW("SELECT 2") },
    };
    const ac_leak_text alike[] = { { "four", AC_VIEW("How many orders are there in the sh\xd0\xbep today?"), { 0 }, { 0 } } };
    const ac_leak_document d = { "doc.md", AC_VIEW("# Orders\n\nHow many orders are there in the shop today? None.\n") };
    ac_findings f = { 0 }, g = { 0 }, h = { 0 }, i = { 0 }, j = { 0 };
    ac_status st = ac_rows_check(&f, t, err);
    if (!st) st = ac_rows_overlap(&g, t, v, err);
    if (!st) st = ac_leak_check(&h, c, 3, t, "canary-canary-canary", err);
    if (!st) st = ac_leak_alike(&j, alike, 1, t, err);
    if (!st) assert_string_equal(j.finding[0].kind, "similar-alike");
    ac_findings_release(&f);
    ac_findings_release(&g);
    if (!st) st = ac_leak_documents(&i, c, 3, &d, 1, "canary-canary-canary", err);
    ac_findings_release(&h);
    ac_findings_release(&i);
    ac_findings_release(&j);
    return st;
}

static ac_status scenario(ac_err *err)
{
    ac_row_file t = { 0 }, v = { 0 };
    ac_dataset d = { 0 };
    const ac_data_opts o = { AC_MASK_ALL_TURNS, 2048, AC_LONG_TRUNCATE, true };
    ac_status st = ac_rows_read(&t, train, AC_FORMAT_AUTO, err);
    if (!st) st = ac_rows_read(&v, valid, AC_FORMAT_AUTO, err);
    if (!st) st = checks(&t, &v, err);
    if (!st) st = ac_dataset_build(&d, &t, tok, chat, &o, NULL, err);
    ac_dataset_release(&d);
    ac_rows_release(&t);
    ac_rows_release(&v);
    return st;
}

static void every(ac_fault_kind kind, ac_status want)
{
    const int64_t before = ac_live_bytes();
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != before) fail_msg("fault %ld leaks %lld bytes", nth, (long long)(ac_live_bytes() - before));
        if (!fired) {
            if (st) fail_msg("%s", err.text);
            assert_true(nth > 3);
            break;
        }
        if (st != want || !err.text[0]) fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    every(AC_FAULT_ALLOC, AC_ENOMEM);
}

static void every_read(void **state)
{
    (void)state;
    every(AC_FAULT_IO, AC_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_read) };
    ac_err err = { 0 };
    if (df_open()) return 1;
    tf_write_byte_level(df_dir, NULL);
    train = df_text("train.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"How many orders are there in the shop today, caf\\u00e9?\"},"
        "{\"role\":\"assistant\",\"content\":\"SELECT \\\"1\\\"\"}],\"tools\":[{\"name\":\"t\"}],\"tols\":1,\"id\":7}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"how many orders are there in the shop today\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"name\":\"f\",\"arguments\":\"{}\"}]},"
        "{\"role\":\"tool\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"ok\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u0301\"}]},"
        "{\"role\":\"assistant\",\"content\":\"b\"}]}\n");
    valid = df_text("valid.json", "[{\"instruction\":\"i\",\"input\":\"how\",\"output\":\"o\"},"
                                  "{\"instruction\":\"i\",\"input\":\"how\",\"output\":\"o\"}]");
    if (ac_tokenizer_open(&tok, df_dir, &err) || ac_chat_open(&chat, tok, "qwen2", &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    ac_chat_close(&chat);
    ac_tokenizer_close(&tok);
    df_close();
    return rc;
}
