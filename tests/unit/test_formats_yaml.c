#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "formats/yaml.h"

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
    if (ac_yaml_parse(&v, ac_view_of(text), &arena, "a.yaml", &err)) fail_msg("%s: %s", text, err.text);
    return v;
}

/* The tree, seen as compact JSON. */
static void gives(const char *yaml, const char *json)
{
    ac_str s = { 0 };
    ac_json_write(&s, good(yaml));
    assert_string_equal(ac_str_c(&s), json);
    ac_str_release(&s);
}

static void bad(const char *text, const char *want)
{
    const ac_json *v = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_yaml_parse(&v, ac_view_of(text), &arena, "a.yaml", &err);
    if (st != AC_EFORMAT || !strstr(err.text, want))
        fail_msg("%s: %s, wanted \"%s\", got \"%s\"", text, ac_status_name(st), want, err.text);
    assert_null(v);
}

static void trees(void **state)
{
    AC_UNUSED(state);
    gives("a: 1\nb:\n  - x\n  - {c: d, e: [1, 2]}\n", "{\"a\":1,\"b\":[\"x\",{\"c\":\"d\",\"e\":[1,2]}]}");
    gives("---\na: |\n  two\n  lines\nb: >-\n  folded\n  text\n...\n", "{\"a\":\"two\\nlines\\n\",\"b\":\"folded text\"}");
    gives("{\"json\": [true, null, \"x\"]}", "{\"json\":[true,null,\"x\"]}");
    gives("# comment\r\na: b # c\r\n", "{\"a\":\"b\"}");
    gives("1: x\ntrue: y\n'': z\n", "{\"1\":\"x\",\"true\":\"y\",\"\":\"z\"}");
    gives("\xef\xbb\xbf" "a: 1", "{\"a\":1}");
    gives("\xef\xbb\xbf" "a:\r\n  b: 1\r\nc: 2\r\n", "{\"a\":{\"b\":1},\"c\":2}");
    gives("- a\n-\n- b", "[\"a\",null,\"b\"]");
    gives("word", "\"word\"");
    gives("a: {}\nb: []\nc: ''", "{\"a\":{},\"b\":[],\"c\":\"\"}");
}

static void scalars(void **state)
{
    AC_UNUSED(state);
    gives("[null, Null, NULL, ~, '', \"null\", nUll]", "[null,null,null,null,\"\",\"null\",\"nUll\"]");
    gives("[true, True, TRUE, false, False, FALSE, 'true', yes, no, on, off, y, n, tRue]",
          "[true,true,true,false,false,false,\"true\",\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"tRue\"]");
    gives("[1e-5, 1E5, 2.5, -0, +7, .5, -.5, 1., +1.e3, 0.0, 0, 00x]",
          "[1e-5,1E5,2.5,-0,7,0.5,-0.5,1.0,1.0e3,0.0,0,\"00x\"]");
    gives("[0x1F, 0o17, 0xff, 0xFFFFFFFFFFFFFFFF, 0xg, 0o8, 0x, 0b1]",
          "[31,15,255,18446744073709551615,\"0xg\",\"0o8\",\"0x\",\"0b1\"]");
    gives("[1_000, 1e, 1e+, e5, '12', 12:30, 2026-01-31, 1.2.3, -, +, ., 1e-4x, --1]",
          "[\"1_000\",\"1e\",\"1e+\",\"e5\",\"12\",\"12:30\",\"2026-01-31\",\"1.2.3\",\"-\",\"+\",\".\",\"1e-4x\",\"--1\"]");
    assert_true(good("1e-5")->number == 1e-5);
    assert_true(good("9007199254740993")->type == AC_JSON_NUMBER);
    int64_t i;
    assert_true(ac_json_as_i64(good("9223372036854775807"), &i) && i == INT64_MAX);
    bad("a: 010", "a.yaml:1:4: a number must not begin with 0");
    bad("a: -007", "must not begin with 0");
    bad("a: .inf", "infinity and NaN are not allowed");
    bad("a: -.INF", "infinity and NaN are not allowed");
    bad("a: .nan", "infinity and NaN are not allowed");
    bad("a: 1e999", "outside the range of a double");
    bad("a: 0x10000000000000000", "does not fit into 64 bits");
}

static void refused(void **state)
{
    AC_UNUSED(state);
    bad("a: &x 1", "a.yaml:1:4: anchors");
    bad("a: &x {b: 1}", "anchors");
    bad("a: &x [1]", "anchors");
    bad("&k a: 1", "anchors");
    bad("a: *x", "a.yaml:1:4: aliases");
    bad("a: !!str 1", "tags");
    bad("a: !x [1]", "tags");
    bad("a: !!python/object/apply:os.system [ls]", "tags");
    bad("<<: {a: 1}", "merge keys");
    bad("? [a]\n: 1", "a key must be a plain word");
    bad("{a: 1}: 2", "a key must be a plain word");
    bad("?\n: 1", "a key is missing");
    bad(": 1", "did not find expected key");
    bad("a: 1\nb: 2\na: 3\n", "a.yaml:3:4: key \"a\" stands twice");
    bad("x:\n  k: 1\n  'k': 2\n", "key \"k\" stands twice");
    bad("a: 1\n---\nb: 2\n", "a second document begins here");
    bad("", "a.yaml:1:1: is empty");
    bad("# only a comment\n", "is empty");
    bad("a: \"open", "fix the YAML here");
    bad("a: [1, 2", "fix the YAML here");
    bad("a:\n\t- b", "a.yaml:2:1: ");
    bad("a: b: c", "a.yaml:1:5: mapping values are not allowed");
    bad("\xef\xbb\xbf" "a: 1\nb: &x 2\n", "a.yaml:2:4: ");
    bad("\xc3\xa9: \xff", "a.yaml:1:4: is not valid UTF-8");
    bad("a: \x01", "control characters are not allowed");
    bad("%YAML 3.0\n---\na: 1\n", "a.yaml:");
}

static void limits(void **state)
{
    AC_UNUSED(state);
    ac_str s = { 0 };
    for (int i = 0; i < 32; i++) ac_str_append_char(&s, '[');
    for (int i = 0; i < 32; i++) ac_str_append_char(&s, ']');
    (void)good(ac_str_c(&s));
    ac_str_reset(&s);
    for (int i = 0; i < 100000; i++) ac_str_append_char(&s, '[');
    bad(ac_str_c(&s), "a.yaml:1:33: nested deeper than 32");
    ac_str_reset(&s);
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < i; k++) ac_str_append_char(&s, ' ');
        ac_str_append_c(&s, "k:\n");
    }
    bad(ac_str_c(&s), "a.yaml:33:33: nested deeper than 32");
    ac_str_reset(&s);
    while (s.len <= 1 << 20) ac_str_append_c(&s, "# a comment that is only there to be long\n");
    bad(ac_str_c(&s), "settings of at most 1048576");
    ac_str_release(&s);
}

/* libyaml counts characters, the tree bytes: places stay right behind wide ones and CRLF. */
static void places(void **state)
{
    AC_UNUSED(state);
    const char *text = "# \xf0\x9f\x98\x80\xc3\xa9\r\na: \"\xc3\xa9\"\r\nbb: 12\r\n";
    const ac_json *v = good(text);
    const ac_json *b = ac_json_get(v, "bb");
    assert_memory_equal(text + b->offset, "12", 2);
    size_t line, col;
    ac_json_place(ac_view_of(text), b->offset, &line, &col);
    assert_true(line == 3 && col == 5);
    assert_memory_equal(text + ac_json_get(v, "a")->offset, "\"\xc3\xa9", 3);
}

static void mutations(void **state)
{
    AC_UNUSED(state);
    static const char text[] = "base: m.gguf # c\nlora:\n  rank: 16\n  scale: 2.0\nkeys: [q, 'k', \"v\\u00e9\"]\n"
                               "text: |\n  one\n  two\nnone: ~\n";
    char copy[sizeof text];
    for (size_t at = 0; at < sizeof text; at++) {
        for (unsigned x = 0; x < 256; x++) {
            memcpy(copy, text, sizeof text);
            copy[at] = (char)(copy[at] ^ (char)x);
            const ac_json *v = NULL;
            ac_err err = { 0 };
            const size_t len = x ? sizeof text - 1 : at;
            const ac_status st = ac_yaml_parse(&v, (ac_view){ copy, len }, &arena, "a.yaml", &err);
            assert_true(st == AC_OK ? v && !err.text[0] : st == AC_EFORMAT && err.text[0]);
        }
        ac_arena_release(&arena);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, drop)
    const struct CMUnitTest tests[] = { T(trees), T(scalars), T(refused), T(limits), T(places), T(mutations) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
