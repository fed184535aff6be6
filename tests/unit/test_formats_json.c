#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "formats/json.h"

static ac_arena arena;

static int drop(void **state)
{
    AC_UNUSED(state);
    ac_arena_release(&arena);
    assert_int_equal(ac_live_bytes(), 0);
    return 0;
}

static const ac_json *good(const char *text)
{
    const ac_json *v = NULL;
    ac_err err = { 0 };
    if (ac_json_parse(&v, ac_view_of(text), &arena, "t", 1, NULL, &err)) fail_msg("%s: %s", text, err.text);
    assert_true(err.text[0] == '\0');
    return v;
}

static void bad_n(const char *text, size_t len, const char *want)
{
    const ac_json *v = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_json_parse(&v, (ac_view){ text, len }, &arena, "t", 1, NULL, &err);
    if (st != AC_EFORMAT || !strstr(err.text, want))
        fail_msg("%.60s: %s, wanted \"%s\", got \"%s\"", text, ac_status_name(st), want, err.text);
    assert_null(v);
}

static void bad(const char *text, const char *want) { bad_n(text, strlen(text), want); }

static void tree(void **state)
{
    AC_UNUSED(state);
    const ac_json *v = good(" {\"a\": [1, -2.5e3, true, null], \"b\": {\"c\": \"d\"}, \"\": \"x\\u0000y\"}\n");
    assert_int_equal(v->type, AC_JSON_OBJECT);
    assert_int_equal(v->n, 3);
    const ac_json *a = ac_json_get(v, "a");
    assert_int_equal(a->n, 4);
    assert_int_equal(a->offset, 7);
    assert_true(a->child->number == 1 && a->child->next->number == -2500);
    assert_true(ac_view_eq_str(a->child->next->text, "-2.5e3"));
    assert_true(a->child->next->next->boolean);
    assert_int_equal(a->child->next->next->next->type, AC_JSON_NULL);
    assert_null(a->child->next->next->next->next);
    assert_true(ac_view_eq_str(ac_json_get(ac_json_get(v, "b"), "c")->text, "d"));
    const ac_json *nul = ac_json_get(v, "");
    assert_int_equal(nul->text.len, 3);
    assert_memory_equal(nul->text.ptr, "x\0y", 4);
    assert_null(ac_json_get(v, "missing"));
    assert_null(ac_json_get(a, "a"));
    assert_null(ac_json_get(NULL, "a"));
    assert_int_equal(good("[]")->n, 0);
    assert_int_equal(good("{}")->n, 0);
    assert_int_equal(good("0")->type, AC_JSON_NUMBER);
}

static void strings(void **state)
{
    AC_UNUSED(state);
    assert_string_equal(good("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")->text.ptr, "\"\\/\b\f\n\r\t");
    assert_string_equal(good("\"\\u00e9\\u20AC\\ud83d\\ude00\"")->text.ptr, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string_equal(good("\"\xc3\xa9\xf0\x9f\x98\x80\"")->text.ptr, "\xc3\xa9\xf0\x9f\x98\x80");
    bad("\"\\ud800\"", "t:1:2: \\ud800 is the first half");
    bad("\"\\ud800\\u0041\"", "first half");
    bad("\"\\udc00\"", "second half");
    bad("\"\\u12g4\"", "four hexadecimal digits");
    bad("\"\\u12\"", "four hexadecimal digits");
    bad("\"\\x\"", "unknown escape");
    bad("\"\\\xc3\xa9\"", "unknown escape");
    bad("\"\\\xff\"", "0xff is not valid UTF-8");
    bad("\"a\nb\"", "t:1:3: control character 0x0a");
    bad("\"abc", "t:1:1: this string is never closed");
    bad("\"abc\\", "never closed");
    bad("\"\xc0\xaf\"", "not valid UTF-8");
    bad("\"\xed\xa0\x80\"", "not valid UTF-8");
    bad_n("\"a\0b\"", 5, "control character 0x00");
    /* longer than a pool piece */
    char big[50000];
    memset(big, 'x', sizeof big);
    big[0] = big[sizeof big - 2] = '"';
    big[sizeof big - 1] = '\0';
    assert_int_equal(good(big)->text.len, sizeof big - 3);
}

static void numbers(void **state)
{
    AC_UNUSED(state);
    int64_t i;
    assert_true(good("0.1")->number == 0.1);
    assert_true(good("-0")->number == 0 && signbit(good("-0")->number));
    assert_true(good("1e-5")->number == 1e-5);
    assert_true(good("123456789012345")->number == 123456789012345.0);
    assert_true(good("1e-999")->number == 0);
    assert_true(ac_json_as_i64(good("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(ac_json_as_i64(good("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_false(ac_json_as_i64(good("9223372036854775808"), &i));
    assert_false(ac_json_as_i64(good("1.5"), &i));
    assert_false(ac_json_as_i64(good("1e300"), &i));
    assert_false(ac_json_as_i64(good("\"1\""), &i));
    assert_false(ac_json_as_i64(NULL, &i));
    assert_true(ac_json_as_i64(good("1e3"), &i) && i == 1000);
    assert_true(ac_json_as_i64(good("-16.0"), &i) && i == -16);
    bad("1e9999", "t:1:1: this number lies outside the range");
    bad("01", "must not begin with 0");
    bad("-", "the text ends where a digit");
    bad("1.", "a digit behind the point");
    bad("1e", "a digit of the exponent");
    bad("+1", "expected a value, found '+'");
    bad("NaN", "expected a value, found 'N'");
    bad("nan", "expected a value (true, false, null");
    bad("Infinity", "expected a value");
    bad(".5", "expected a value");
    bad("0x10", "more text behind the value");
}

static void structure(void **state)
{
    AC_UNUSED(state);
    bad("", "t:1:1: is empty");
    bad(" \n ", "is empty");
    bad("\xef\xbb\xbf{}", "byte order mark");
    bad("\xff\xfe{\0", "UTF-16");
    bad("{} {}", "t:1:4: more text behind the value");
    bad("[1,]", "t:1:4: expected a value, found ']'");
    bad("[1 2]", "t:1:4: expected ',' or ']', found '2'");
    bad("[1}", "expected ',' or ']', found '}'");
    bad("{\"a\":1,}", "t:1:8: expected a key in double quotes, found '}'");
    bad("{a:1}", "a key in double quotes, found 'a'");
    bad("{\"a\" 1}", "':' behind the key");
    bad("{\"a\":}", "expected a value, found '}'");
    bad("[", "the text ends where a value");
    bad("{", "the text ends where a key");
    bad("{\"a\":1", "the text ends where ',' or '}'");
    bad("\n\n  [\n\xc3\xa9]", "t:4:1: expected a value, found byte 0xc3");
    bad("{\n  \"\xc3\xa9\": x}", "t:2:8: expected a value, found 'x'");   /* columns count characters */
    bad("// c\n1", "expected a value, found '/'");
    bad_n("1\0", 2, "more text behind the value");
}

static void first_line(void **state)
{
    AC_UNUSED(state);
    const ac_json *v;
    ac_err err = { 0 };
    assert_int_equal(ac_json_parse(&v, AC_VIEW("{\"a\":tru}"), &arena, "rows.jsonl", 812, NULL, &err), AC_EFORMAT);
    assert_int_equal(strncmp(err.text, "rows.jsonl:812:6: ", 18), 0);
}

static void depth(void **state)
{
    AC_UNUSED(state);
    enum { DEEP = 100000 };
    char *text = ac_malloc(DEEP * 2 + 1);
    for (size_t n = 64; n <= 65; n++) {
        memset(text, '[', n);
        memset(text + n, ']', n);
        text[2 * n] = '\0';
        if (n == 64) (void)good(text);
        else bad(text, "t:1:65: nested deeper than 64 levels");
    }
    memset(text, '[', DEEP);
    text[DEEP] = '\0';
    bad(text, "nested deeper");
    for (size_t i = 0; i < DEEP; i++) memcpy(text + 5 * (i % 30000), "{\"a\":", 5);
    text[150000] = '\0';
    bad(text, "nested deeper");
    ac_free(text);
}

static void duplicates(void **state)
{
    AC_UNUSED(state);
    bad("{\"a\":1,\"b\":2,\"a\":3}", "t:1:18: key \"a\" stands twice");
    bad("{\"a\":1,\"\\u0061\":2}", "key \"a\" stands twice");
    bad("[{\"x\":{\"\":1,\"\":2}}]", "key \"\" stands twice");
    (void)good("[{\"a\":1},{\"a\":2}]");
    ac_str s = { 0 };
    ac_str_append_c(&s, "{");
    for (int i = 0; i < 20000; i++) ac_str_appendf(&s, "\"key%d\":{\"a\":[],\"b\":%d},", i, i);
    const size_t keep = s.len;
    ac_str_append_c(&s, "\"last\":1}");
    assert_int_equal(good(ac_str_c(&s))->n, 20001);
    s.len = keep;
    ac_str_append_c(&s, "\"key777\":1}");
    bad(ac_str_c(&s), "key \"key777\" stands twice");
    ac_str_release(&s);
}

/* Many objects behind one large one: the scratch table must not make this quadratic. */
static void many_objects(void **state)
{
    AC_UNUSED(state);
    ac_str s = { 0 };
    ac_str_append_c(&s, "[{");
    for (int i = 0; i < 50000; i++) ac_str_appendf(&s, "%s\"k%d\":0", i ? "," : "", i);
    ac_str_append_c(&s, "}");
    for (int i = 0; i < 20000; i++)
        ac_str_append_c(&s, ",{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0}");
    ac_str_append_c(&s, "]");
    assert_int_equal(good(ac_str_c(&s))->n, 20001);
    ac_str_release(&s);
}

static void limits(void **state)
{
    AC_UNUSED(state);
    const ac_json *v;
    ac_err err = { 0 };
    const ac_json_limits few = { .max_values = 3 }, small = { .max_bytes = 4 };
    assert_int_equal(ac_json_parse(&v, AC_VIEW("[1,2]"), &arena, "t", 1, &few, &err), AC_OK);
    assert_int_equal(ac_json_parse(&v, AC_VIEW("[1,2,3]"), &arena, "t", 1, &few, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "more values"));
    err = (ac_err){ 0 };
    assert_int_equal(ac_json_parse(&v, AC_VIEW("[1,2]"), &arena, "t", 1, &small, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "at most 4"));
    ac_arena tight = { .max_bytes = 200 };
    err = (ac_err){ 0 };
    assert_int_equal(ac_json_parse(&v, AC_VIEW("[1,2,3,4]"), &tight, "t", 1, NULL, &err), AC_ENOMEM);
    assert_non_null(strstr(err.text, "200 bytes"));
    ac_arena_release(&tight);
}

static void typed(void **state)
{
    AC_UNUSED(state);
    const ac_json *o = good("{\"s\":\"x\",\"i\":7,\"f\":0.5,\"b\":true,\"z\":null}");
    ac_view s;
    int64_t i;
    double f;
    bool b = false;
    ac_err err = { 0 };
    assert_int_equal(ac_json_get_str(&s, o, "s", "w", &err), AC_OK);
    assert_int_equal(ac_json_get_i64(&i, o, "i", "w", &err), AC_OK);
    assert_int_equal(ac_json_get_f64(&f, o, "f", "w", &err), AC_OK);
    assert_int_equal(ac_json_get_bool(&b, o, "b", "w", &err), AC_OK);
    assert_true(ac_view_eq_str(s, "x") && i == 7 && f == 0.5 && b);
    assert_int_equal(ac_json_get_i64(&i, o, "none", "config.json", &err), AC_ENOENT);
    assert_string_equal(err.text, "config.json: \"none\" is missing; it must be a number");
    err = (ac_err){ 0 };
    assert_int_equal(ac_json_get_str(&s, o, "i", "config.json", &err), AC_EFORMAT);
    assert_string_equal(err.text, "config.json: \"i\" must be a string, found a number; correct the file");
    err = (ac_err){ 0 };
    assert_int_equal(ac_json_get_i64(&i, o, "f", "w", &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "whole number"));
    assert_int_equal(ac_json_get_bool(&b, o, "z", "w", NULL), AC_EFORMAT);
    assert_int_equal(ac_json_get_f64(&f, o, "s", "w", NULL), AC_EFORMAT);
    assert_true(i == 7 && f == 0.5);                 /* outputs change on success only */
}

static void writer(void **state)
{
    AC_UNUSED(state);
    for (int pretty = 0; pretty < 2; pretty++) {
        ac_str s = { 0 };
        ac_jw w;
        ac_jw_init(&w, &s, pretty);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "a", "q\"\\\n\x01\x7f\xc3\xa9");
        ac_jw_array(&w, "list");
        ac_jw_i64(&w, NULL, INT64_MIN);
        ac_jw_u64(&w, NULL, UINT64_MAX);
        ac_jw_f64(&w, NULL, 1e-5);
        ac_jw_f64(&w, NULL, NAN);
        ac_jw_object(&w, NULL);
        ac_jw_end_object(&w);
        ac_jw_end_array(&w);
        ac_jw_array(&w, "none");
        ac_jw_end_array(&w);
        ac_jw_bool(&w, "yes", true);
        ac_jw_cstr(&w, "null", NULL);
        ac_jw_end_object(&w);
        assert_string_equal(ac_str_c(&s), pretty
            ? "{\n  \"a\": \"q\\\"\\\\\\n\\u0001\x7f\xc3\xa9\",\n  \"list\": [\n    -9223372036854775808,\n"
              "    18446744073709551615,\n    1e-05,\n    null,\n    {}\n  ],\n  \"none\": [],\n"
              "  \"yes\": true,\n  \"null\": null\n}"
            : "{\"a\":\"q\\\"\\\\\\n\\u0001\x7f\xc3\xa9\",\"list\":[-9223372036854775808,18446744073709551615,"
              "1e-05,null,{}],\"none\":[],\"yes\":true,\"null\":null}");
        (void)good(ac_str_c(&s));
        ac_str_release(&s);
    }
    ac_str s = { 0 };
    ac_json_quote(&s, AC_VIEW("a\xff\xc3(\xe2\x82"));
    assert_string_equal(ac_str_c(&s), "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"");
    ac_str_release(&s);
}

static void canonical_is(const char *text, const char *want)
{
    ac_str s = { 0 };
    ac_json_canonical(&s, good(text));
    assert_true(ac_str_ok(&s));
    assert_string_equal(ac_str_c(&s), want);
    ac_str_release(&s);
}

/* The samples of RFC 8785, 3.2.2, 3.2.3 and appendix B. */
static void canonical(void **state)
{
    AC_UNUSED(state);
    canonical_is("{\"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],"
                 "\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
                 "\"literals\": [null, true, false]}",
                 "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
                 "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
    canonical_is("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
                 "{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":5,"
                 "\"\xef\xac\xb3\":3}");
    canonical_is("[-0, 5e-324, 1.7976931348623157e308, 9007199254740992, 295147905179352830000, 1e21, 1e20, 1e-6,"
                 "1e-7, 333333333.3333332, 100, -123.456e2, 0.1]",
                 "[0,5e-324,1.7976931348623157e+308,9007199254740992,295147905179352830000,1e+21,"
                 "100000000000000000000,0.000001,1e-7,333333333.3333332,100,-12345.6,0.1]");
    canonical_is("[9007199254740993,9223372036854775807,18446744073709551615]",
                 "[9007199254740993,9223372036854775807,18446744073709551615]");
    canonical_is("{\"b\":{\"z\":[],\"y\":{}},\"a\":\"\",\"aa\":1}", "{\"a\":\"\",\"aa\":1,\"b\":{\"y\":{},\"z\":[]}}");
    ac_str s = { 0 };
    ac_json_write(&s, good("{ \"b\" : 1.50, \"a\" : [ 1e3, {} ] }"));
    assert_string_equal(ac_str_c(&s), "{\"b\":1.50,\"a\":[1e3,{}]}");
    ac_str_release(&s);
    ac_str tight = { .max_bytes = 5 };
    ac_json_canonical(&tight, good("[1,2,3,4]"));
    assert_false(ac_str_ok(&tight));
    ac_str_release(&tight);
}

/* Every byte changed, every length cut: a value or AC_EFORMAT with a message, nothing else. */
static void mutations(void **state)
{
    AC_UNUSED(state);
    static const char text[] = "{\"k\\u00e9\":[1.5e3,-0,true,\"\xf0\x9f\x98\x80\\ud83d\\ude00\"],\"m\":{\"n\":null,\"\":{}}}";
    const size_t n = sizeof text - 1;
    for (size_t cut = 0; cut <= n; cut++) {
        char *copy = ac_malloc(cut);                   /* exact size: a read past it is seen by ASan */
        memcpy(copy, text, cut);
        for (size_t at = 0; at < (cut == n ? n : 1); at++) {
            for (unsigned x = 0; x < 256; x++) {
                if (cut < n && x) break;
                if (cut == n) copy[at] = (char)(text[at] ^ (char)x);
                const ac_json *v = NULL;
                ac_err err = { 0 };
                const ac_status st = ac_json_parse(&v, (ac_view){ copy, cut }, &arena, "t", 1, NULL, &err);
                assert_true(st == AC_OK ? v && !err.text[0] : st == AC_EFORMAT && err.text[0]);
                if (cut < n) assert_int_equal(st, AC_EFORMAT);
            }
            if (cut == n) copy[at] = text[at];
            ac_arena_release(&arena);
        }
        ac_free(copy);
    }
}

static void place(void **state)
{
    AC_UNUSED(state);
    size_t line, col;
    ac_json_place(AC_VIEW("a\nb\xc3\xa9z"), 5, &line, &col);
    assert_true(line == 2 && col == 3);
    ac_json_place(AC_VIEW("abc"), 99, &line, &col);
    assert_true(line == 1 && col == 4);
    ac_json_place((ac_view){ NULL, 0 }, 0, &line, &col);
    assert_true(line == 1 && col == 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, drop)
    const struct CMUnitTest tests[] = {
        T(tree), T(strings), T(numbers), T(structure), T(first_line), T(depth), T(duplicates),
        T(many_objects), T(limits), T(typed), T(writer), T(canonical), T(mutations), T(place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
