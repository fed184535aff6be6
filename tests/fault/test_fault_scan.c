/* The n-th allocation and the n-th read fail while a scanner is made and used: a clean message and nothing leaked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "data/scan.h"
#include "data_fixture.h"

static const char *rules;
static char place[512];

static ac_status scenario(ac_err *err)
{
    static ac_message m = { .role = AC_ROLE_USER,
                            .content = AC_VIEW("tok_ab12cd34 mail ann@shop.example, +44 20 7946 0958, http://a.example") };
    static const ac_row row = { .line = 1, .n_messages = 1, .message = &m };
    ac_scanner *s = NULL;
    ac_scan_tally *t = NULL, *u = NULL;
    ac_findings f = { 0 };
    ac_status st = ac_scanner_open(&s, rules, err);
    if (!st) st = ac_scan_tally_open(&t, s, "rows", err);
    if (!st) st = ac_scan_tally_open(&u, s, "rows", err);
    if (!st) st = ac_scan_tally_row(t, &row, err);
    if (!st) st = ac_scan_tally_row(u, &row, err);
    if (!st) st = ac_scan_tally_merge(u, t, err);
    if (!st) st = ac_scan_tally_report(&f, u, err);
    if (!st && f.n != 4) fail_msg("%zu findings", f.n);
    if (!st) st = ac_scan_place(&f, place, true, err);
    ac_findings_release(&f);
    ac_scan_tally_close(&t);
    ac_scan_tally_close(&u);
    ac_scanner_close(&s);
    return st;
}

/* PCRE2 goes on without compiled code when it gets no memory for that: then the same is found, more slowly. */
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
        if (st && (st != want || !err.text[0])) fail_msg("fault %ld: %s \"%s\"", nth, ac_status_name(st), err.text);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            assert_true(nth > 3);
            return;
        }
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
    if (df_open()) return 1;
    rules = df_text("rules.toml", "[allowlist]\nstopwords=['zzz']\n[[rules]]\nid='tok'\nregex='(tok_[a-z0-9]+)'\nkeywords=['tok_']\n"
                                  "[rules.allowlist]\nregexes=['^x','^y']\n[[rules]]\nid='p'\npath='p$'\nregex='a'\n");
    (void)snprintf(place, sizeof place, "%s", df_text("a.jsonl", "{}\n"));
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
