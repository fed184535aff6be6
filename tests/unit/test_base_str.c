#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

static void views(void **state)
{
    (void)state;
    const ac_view none = { NULL, 0 }, v = AC_VIEW("  hello world\t\n");
    assert_true(ac_view_eq(none, AC_VIEW("")));
    assert_true(ac_view_eq(ac_view_of(NULL), none));
    assert_true(ac_view_eq_str(ac_view_trim(v), "hello world"));
    assert_true(ac_view_trim(AC_VIEW(" \t ")).len == 0);
    assert_true(ac_view_starts(v, AC_VIEW("  h")) && ac_view_starts(v, none));
    assert_false(ac_view_starts(none, AC_VIEW("x")));
    assert_true(ac_view_ends(v, AC_VIEW("\t\n")) && ac_view_ends(none, none));
    assert_int_equal(ac_view_find(v, AC_VIEW("o"), 0), 6);
    assert_int_equal(ac_view_find(v, AC_VIEW("o"), 7), 9);
    assert_true(ac_view_find(v, AC_VIEW("o"), 10) == SIZE_MAX);
    assert_true(ac_view_find(v, AC_VIEW("o"), 1000) == SIZE_MAX);
    assert_int_equal(ac_view_find(v, none, 3), 3);
    assert_true(ac_view_eq_str(ac_view_slice(v, 2, 7), "hello"));
    assert_int_equal(ac_view_slice(v, 9, 3).len, 0);
    assert_int_equal(ac_view_slice(v, 0, SIZE_MAX).len, v.len);
    assert_true(ac_view_cmp(AC_VIEW("a"), AC_VIEW("ab")) < 0);
    assert_true(ac_view_cmp(AC_VIEW("\xff"), AC_VIEW("a")) > 0);
    assert_int_equal(ac_view_cmp(none, AC_VIEW("")), 0);
    assert_true(ac_view_hash(AC_VIEW("abcdefgh1")) != ac_view_hash(AC_VIEW("abcdefgh2")));
    assert_true(ac_view_hash(AC_VIEW("a\0b")) != ac_view_hash(AC_VIEW("a")));
}

static void hashes_spread(void **state)
{
    (void)state;
    static unsigned bucket[4096];
    for (unsigned i = 0; i < 65536; i++) {
        char key[16];
        const int n = snprintf(key, sizeof key, "key%u", i);
        bucket[ac_view_hash((ac_view){ key, (size_t)n }) & 4095]++;
    }
    for (size_t i = 0; i < 4096; i++) assert_in_range(bucket[i], 1, 48);
}

static void strings_grow(void **state)
{
    (void)state;
    ac_str s = { 0 };
    assert_string_equal(ac_str_c(&s), "");
    ac_str_append(&s, AC_VIEW("abc"));
    ac_str_append(&s, (ac_view){ NULL, 0 });
    ac_str_append_char(&s, '-');
    ac_str_append_c(&s, "def");
    ac_str_appendf(&s, "%s%05d", ":", 42);
    assert_string_equal(ac_str_c(&s), "abc-def:00042");
    for (int i = 0; i < 1000; i++) ac_str_appendf(&s, "%d,", i);
    assert_true(ac_str_ok(&s));
    assert_int_equal(strlen(ac_str_c(&s)), s.len);
    assert_int_equal(s.len, 13 + 10 * 2 + 90 * 3 + 900 * 4);
    ac_str_reset(&s);
    assert_int_equal(ac_str_view(&s).len, 0);
    ac_str_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

static void strings_have_a_maximum(void **state)
{
    (void)state;
    ac_str s = { .max_bytes = 10 };
    ac_str_append(&s, AC_VIEW("0123456789"));
    assert_true(ac_str_ok(&s));
    ac_str_append_char(&s, 'x');
    assert_false(ac_str_ok(&s));
    ac_str_reset(&s);
    ac_str_append(&s, AC_VIEW("0123"));
    ac_str_appendf(&s, "%d", 12345678);
    assert_false(ac_str_ok(&s));
    assert_string_equal(ac_str_c(&s), "0123");
    ac_str_append(&s, AC_VIEW("4"));
    assert_string_equal(ac_str_c(&s), "0123");
    ac_str_release(&s);
    assert_int_equal(s.max_bytes, 10);
}

static void sizes(void **state)
{
    (void)state;
    uint64_t u;
    assert_true(ac_parse_size(AC_VIEW("900M"), &u) && u == 900u << 20);
    assert_true(ac_parse_size(AC_VIEW("4g"), &u) && u == 4ull << 30);
    assert_true(ac_parse_size(AC_VIEW("16777215T"), &u) && u == 16777215ull << 40);
    assert_true(ac_parse_size(AC_VIEW("1"), &u) && u == 1);
    static const char *const bad_size[] = { "", "G", "0", "0K", "16777216T", "4X", "4GB", "-1K", "4 G" };
    for (size_t k = 0; k < AC_COUNTOF(bad_size); k++) assert_false(ac_parse_size(ac_view_of(bad_size[k]), &u));
    assert_false(ac_parse_size((ac_view){ "1\0", 2 }, &u));
}

static void integers(void **state)
{
    (void)state;
    int64_t i = 7;
    uint64_t u = 7;
    assert_true(ac_parse_i64(AC_VIEW("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(ac_parse_i64(AC_VIEW("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(ac_parse_u64(AC_VIEW("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(ac_parse_u64(AC_VIEW("007"), &u) && u == 7);
    static const char *const bad_u[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1e3", "1.0",
                                         "18446744073709551616", "99999999999999999999999" };
    for (size_t k = 0; k < AC_COUNTOF(bad_u); k++) assert_false(ac_parse_u64(ac_view_of(bad_u[k]), &u));
    static const char *const bad_i[] = { "", "-", "--1", "9223372036854775808", "-9223372036854775809" };
    for (size_t k = 0; k < AC_COUNTOF(bad_i); k++) assert_false(ac_parse_i64(ac_view_of(bad_i[k]), &i));
    assert_true(i == INT64_MAX && u == 7);
}

static void doubles_are_read_correctly_rounded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
    } good[] = {
        { "0", 0.0 }, { "1e-4", 1e-4 }, { "-2.5E+3", -2500.0 }, { ".5", 0.5 }, { "5.", 5.0 },
        { "000001.5", 1.5 }, { "0.000000001", 1e-9 },
        { "2.2250738585072011e-308", 0x0.fffffffffffffp-1022 },
        { "1.7976931348623157e308", 0x1.fffffffffffffp+1023 },
        { "4.9406564584124654e-324", 0x1p-1074 }, { "1e-999999999999999999999", 0.0 },
        { "0e999999999999999999999", 0.0 },
        /* half way between two doubles, and a hair above it, 800 digits later */
        { "9007199254740993", 9007199254740992.0 },
        { "9007199254740993.00000000000000000000000000000001", 9007199254740994.0 },
    };
    double d = 7;
    for (size_t i = 0; i < AC_COUNTOF(good); i++) {
        assert_true(ac_parse_f64(ac_view_of(good[i].text), &d));
        assert_memory_equal(&d, &good[i].want, sizeof d);
    }
    assert_true(ac_parse_f64(AC_VIEW("-0"), &d) && d == 0 && signbit(d));
    char lengthy[2000];
    memset(lengthy, '0', sizeof lengthy);
    memcpy(lengthy, "9007199254740993.", 17);
    assert_true(ac_parse_f64((ac_view){ lengthy, 1999 }, &d) && d == 9007199254740992.0);
    lengthy[1998] = '1';
    assert_true(ac_parse_f64((ac_view){ lengthy, 1999 }, &d) && d == 9007199254740994.0);
    memset(lengthy, '1', sizeof lengthy);
    memcpy(lengthy + 1900, "e-1899", 6);
    assert_true(ac_parse_f64((ac_view){ lengthy, 1906 }, &d) && d == 1.1111111111111112);
    static const char *const bad[] = { "", "-", ".", "e5", "1e", "1e+", "nan", "inf", "-inf", "0x1p3",
                                       "1.0.0", "1 ", " 1", "1,5", "+1", "1e999", "-1e309", "1f" };
    d = 7;
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) assert_false(ac_parse_f64(ac_view_of(bad[i]), &d));
    assert_true(d == 7);
}

static void doubles_are_written_shortest(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } rows[] = {
        { 0.1, "0.1" }, { 1.0, "1" }, { 1e-4, "0.0001" }, { 1.0 / 3, "0.3333333333333333" },
        { 0.1 + 0.2, "0.30000000000000004" }, { 1e22, "1e+22" }, { -0.0, "-0" },
        { 0x1p-1074, "5e-324" }, { 0x1.fffffffffffffp+1023, "1.7976931348623157e+308" },
        { 123456789.0, "123456789" },
    };
    char s[32];
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_format_f64(s, rows[i].v);
        assert_string_equal(s, rows[i].want);
    }
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t bits = (uint64_t)ac_rng_u32(5, AC_RNG_TEST, 0, 2 * i) << 32
                              | ac_rng_u32(5, AC_RNG_TEST, 0, 2 * i + 1);
        double v, back;
        memcpy(&v, &bits, 8);
        if (!isfinite(v)) continue;
        ac_format_f64(s, v);
        assert_true(ac_parse_f64(ac_view_of(s), &back));
        assert_memory_equal(&v, &back, 8);
    }
}

/* Robustness item 71: a locale whose decimal point is a comma. */
static void the_locale_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE" };
    bool set = false;
    for (size_t i = 0; i < AC_COUNTOF(names) && !set; i++) set = setlocale(LC_ALL, names[i]) != NULL;
    if (!set) {
        print_message("not run: no locale with a decimal comma is installed\n");
        skip();
    }
    char s[32];
    double d;
    ac_str t = { 0 };
    ac_format_f64(s, 1.5);
    ac_str_appendf(&t, "%.2f", 2.25);
    const bool read = ac_parse_f64(AC_VIEW("2.5"), &d), comma = ac_parse_f64(AC_VIEW("2,5"), &d);
    setlocale(LC_ALL, "C");
    assert_string_equal(s, "1.5");
    assert_string_equal(ac_str_c(&t), "2.25");
    assert_true(read && !comma && d == 2.5);
    ac_str_release(&t);
}

static void utf8(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp += cp < 0x3000 ? 1 : 61) {
        char b[4];
        uint32_t back = 0;
        const size_t n = ac_utf8_encode(b, cp);
        if (cp >= 0xd800 && cp < 0xe000) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_int_equal(n, cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4);
        assert_int_equal(ac_utf8_decode(b, n, &back), n);
        assert_int_equal(back, cp);
        for (size_t cut = 0; cut < n; cut++) assert_int_equal(ac_utf8_len(b, cut), 0);
    }
    char b[4];
    assert_int_equal(ac_utf8_encode(b, 0x110000), 0);
    static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                                       "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
                                       "\xff", "\xc3(", "\xe2\x82(" };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        size_t at = 99;
        char text[16];
        (void)snprintf(text, sizeof text, "ok%s", bad[i]);
        assert_false(ac_utf8_valid(ac_view_of(text), &at));
        assert_int_equal(at, 2);
    }
    assert_true(ac_utf8_valid(AC_VIEW("a\0\xc3\xa4\xf0\x9f\x98\x80"), NULL));
    assert_true(ac_utf8_valid((ac_view){ NULL, 0 }, NULL));
}

static void edit_distances(void **state)
{
    (void)state;
    assert_int_equal(ac_edit_distance(AC_VIEW("kitten"), AC_VIEW("sitting"), 9), 3);
    assert_int_equal(ac_edit_distance(AC_VIEW("kitten"), AC_VIEW("sitting"), 2), 2);
    assert_int_equal(ac_edit_distance(AC_VIEW(""), AC_VIEW("abc"), 9), 3);
    assert_int_equal(ac_edit_distance(AC_VIEW("abc"), AC_VIEW(""), 9), 3);
    assert_int_equal(ac_edit_distance(AC_VIEW("same"), AC_VIEW("same"), 9), 0);
    char lengthy[300];
    memset(lengthy, 'a', sizeof lengthy);
    assert_int_equal(ac_edit_distance((ac_view){ lengthy, 300 }, AC_VIEW("a"), 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(hashes_spread),
        cmocka_unit_test(strings_grow),
        cmocka_unit_test(strings_have_a_maximum),
        cmocka_unit_test(sizes), cmocka_unit_test(integers),
        cmocka_unit_test(doubles_are_read_correctly_rounded),
        cmocka_unit_test(doubles_are_written_shortest),
        cmocka_unit_test(the_locale_changes_nothing),
        cmocka_unit_test(utf8),
        cmocka_unit_test(edit_distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
