#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "base/dtype.h"
#include "base/err.h"
#include "base/event.h"
#include "base/exit.h"
#include "base/time.h"

static void the_first_failure_stays(void **state)
{
    (void)state;
    ac_err e = { "" };
    assert_int_equal(ac_fail(&e, AC_EFORMAT, "a.txt:%d: bad", 3), AC_EFORMAT);
    assert_string_equal(e.text, "a.txt:3: bad");
    assert_int_equal(ac_fail(&e, AC_EIO, "later"), AC_EIO);
    assert_string_equal(e.text, "a.txt:3: bad");
    assert_int_equal(ac_err_prefix(&e, AC_EFORMAT, "run %s", "x"), AC_EFORMAT);
    assert_string_equal(e.text, "run x: a.txt:3: bad");
}

static void null_and_empty(void **state)
{
    (void)state;
    ac_err e = { "" };
    assert_int_equal(ac_fail(NULL, AC_EARG, "x"), AC_EARG);
    assert_int_equal(ac_err_prefix(NULL, AC_EARG, "x"), AC_EARG);
    assert_int_equal(ac_fail_errno(NULL, AC_EIO, ENOSPC, "x"), AC_EIO);
    assert_int_equal(ac_err_prefix(&e, AC_EARG, "x"), AC_EARG);
    assert_string_equal(e.text, "");
    assert_int_equal(ac_fail_nomem(&e, 7), AC_ENOMEM);
    assert_string_equal(e.text, "out of memory (7 bytes wanted)");
    e = (ac_err){ "" };
    ac_fail_errno(&e, AC_EIO, ENOSPC, "f: cannot write");
    assert_string_equal(e.text, "f: cannot write: No space left on device");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    ac_err e = { "" };
    (void)ac_fail(&e, AC_EFORMAT, "%s", "a\x1b[31mb\nc\x7f\xc2\x9b" "d\xc3\xa4");
    assert_string_equal(e.text, "a?[31mb?c???d\xc3\xa4");
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char longer[3000];
    memset(longer, 'x', sizeof longer);
    for (size_t lead = 0; lead < 4; lead++) {
        ac_err e = { "" };
        for (size_t i = lead; i + 3 < sizeof longer; i += 3) memcpy(longer + i, "\xe2\x82\xac", 3);
        longer[sizeof longer - 1] = '\0';
        (void)ac_fail(&e, AC_EFORMAT, "%s", longer);
        const size_t n = strlen(e.text);
        assert_true(n >= AC_ERR_TEXT_MAX - 4 && n < AC_ERR_TEXT_MAX);
        assert_int_equal((n - lead) % 3, 0);
        (void)ac_err_prefix(&e, AC_EFORMAT, "place");
        assert_memory_equal(e.text, "place: ", 7);
        memset(longer, 'x', sizeof longer);
    }
}

static void each_status_has_a_name_and_a_code(void **state)
{
    (void)state;
    static const struct {
        ac_status st;
        int code;
        const char *name;
    } rows[] = {
        { AC_OK, 0, "OK" }, { AC_ENOMEM, 70, "ENOMEM" }, { AC_EIO, 74, "EIO" },
        { AC_EFORMAT, 65, "EFORMAT" }, { AC_EARG, 64, "EARG" }, { AC_ESTATE, 70, "ESTATE" },
        { AC_ECANCEL, 75, "ECANCEL" }, { AC_ENOENT, 66, "ENOENT" },
        { AC_EREFUSED, 77, "EREFUSED" }, { AC_ECONTRACT, 78, "ECONTRACT" },
        { AC_EDIVERGED, 79, "EDIVERGED" }, { AC_ECREATE, 73, "ECREATE" }, { AC_ENO, 1, "ENO" },
        { AC_EMOVE, 76, "EMOVE" },
    };
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        assert_int_equal(ac_exit_of(rows[i].st), rows[i].code);
        assert_string_equal(ac_status_name(rows[i].st), rows[i].name);
        assert_int_equal(rows[i].st, -(int)i);
    }
    assert_int_equal(ac_exit_of((ac_status)-99), 70);
}

static ac_status keep(void *ctx, const ac_event *e, ac_err *err)
{
    (void)err;
    *(uint64_t *)ctx = e->done;
    return AC_ECANCEL;
}

static void events_reach_the_sink(void **state)
{
    (void)state;
    uint64_t seen = 0;
    const ac_sink none = { 0 }, s = { keep, &seen };
    const ac_event e = { .kind = AC_EV_PROGRESS, .done = 12 };
    assert_int_equal(ac_emit(NULL, &e, NULL), AC_OK);
    assert_int_equal(ac_emit(&none, &e, NULL), AC_OK);
    assert_int_equal(ac_emit(&s, &e, NULL), AC_ECANCEL);
    assert_int_equal(seen, 12);
}

static void types_have_the_geometry_of_their_formats(void **state)
{
    (void)state;
    static const struct {
        ac_dtype t;
        size_t elems, bytes;
        const char *name;
    } rows[] = {
        { AC_F32, 1, 4, "F32" }, { AC_F16, 1, 2, "F16" }, { AC_BF16, 1, 2, "BF16" },
        { AC_Q8_0, 32, 34, "Q8_0" }, { AC_Q4_0, 32, 18, "Q4_0" }, { AC_Q4_1, 32, 20, "Q4_1" },
        { AC_Q5_0, 32, 22, "Q5_0" }, { AC_Q5_1, 32, 24, "Q5_1" }, { AC_Q4_K, 256, 144, "Q4_K" },
        { AC_Q5_K, 256, 176, "Q5_K" }, { AC_Q6_K, 256, 210, "Q6_K" }, { AC_NF4, 64, 36, "NF4" }, { AC_BOOL, 1, 1, "BOOL" },
    };
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        size_t bytes = 0;
        assert_int_equal(ac_dtype_block_elems(rows[i].t), rows[i].elems);
        assert_int_equal(ac_dtype_block_bytes(rows[i].t), rows[i].bytes);
        assert_string_equal(ac_dtype_name(rows[i].t), rows[i].name);
        assert_true(ac_dtype_row_bytes(&bytes, rows[i].t, 512));
        assert_int_equal(bytes, 512 / rows[i].elems * rows[i].bytes);
        assert_int_equal(ac_dtype_is_weight(rows[i].t), rows[i].t <= AC_NF4);
    }
    size_t untouched = 5;
    assert_false(ac_dtype_row_bytes(&untouched, AC_Q8_0, 33));
    assert_false(ac_dtype_row_bytes(&untouched, AC_F32, SIZE_MAX / 2));
    assert_false(ac_dtype_row_bytes(&untouched, AC_DTYPE_COUNT, 1));
    assert_int_equal(untouched, 5);
    for (int t = 0; t < AC_DTYPE_COUNT; t++) assert_true(ac_dtype_block_bytes((ac_dtype)t) > 0);
}

static void times_are_written_in_utc(void **state)
{
    (void)state;
    char s[32];
    ac_utc_iso(s, INT64_C(1769851800) * 1000000000 + 999);
    assert_string_equal(s, "2026-01-31T09:30:00Z");
    ac_utc_compact(s, INT64_C(1769851800) * 1000000000);
    assert_string_equal(s, "20260131T093000Z");
    ac_utc_iso(s, -1);
    assert_string_equal(s, "1969-12-31T23:59:59Z");
    const int64_t a = ac_mono_ns(), b = ac_mono_ns();
    assert_true(b >= a);
    assert_true(ac_utc_ns() > INT64_C(1600000000) * 1000000000);
    assert_true(ac_peak_rss_bytes() > 100000);
    assert_true(ac_cpu_seconds() >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failure_stays),
        cmocka_unit_test(null_and_empty),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(each_status_has_a_name_and_a_code),
        cmocka_unit_test(events_reach_the_sink),
        cmocka_unit_test(types_have_the_geometry_of_their_formats),
        cmocka_unit_test(times_are_written_in_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
