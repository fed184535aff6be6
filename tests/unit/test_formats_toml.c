/* TOML as it is written: values, tables, what is refused and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "formats/toml.h"

/* The tree as JSON, or the message. */
static void expect(const char *toml, const char *json)
{
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_str s = { 0 };
    const ac_json *v = NULL;
    const ac_status st = ac_toml_parse(&v, ac_view_of(toml), &a, "t", &err);
    if (st) ac_str_append_c(&s, err.text);
    else ac_json_write(&s, v);
    if (!strstr(ac_str_c(&s), json)) fail_msg("%s\ngives    %s\nexpected %s", toml, ac_str_c(&s), json);
    ac_str_release(&s);
    ac_arena_release(&a);
}

static void values(void **state)
{
    (void)state;
    expect("", "{}");
    expect("a = 1 # comment\n\nb=\"x\\ty\\u00e9\"\r\n", "{\"a\":1,\"b\":\"x\\ty\xc3\xa9\"}");
    expect("a = 'C:\\d+'", "{\"a\":\"C:\\\\d+\"}");
    expect("a = '''\nline 'one'\nline \\two'''", "{\"a\":\"line 'one'\\nline \\\\two\"}");
    expect("a = \"\"\"\none \\\n   two \"quoted\"\"\"\"", "{\"a\":\"one two \\\"quoted\\\"\"}");
    expect("a = +1_000\nb = 0xFF\nc = 0o17\nd = 0b101\ne = -0.5e-3\nf = 1e5", "{\"a\":1000,\"b\":255,\"c\":15,\"d\":5,\"e\":-0.5e-3,\"f\":1e5}");
    expect("a = [1, [2, 3,], # c\n 'x' ,\n]\nb = [ ]", "{\"a\":[1,[2,3],\"x\"],\"b\":[]}");
    expect("a = { b = 1, c.d = true, e = {} }", "{\"a\":{\"b\":1,\"c\":{\"d\":true},\"e\":{}}}");
    expect("a.b.c = 1\na.b.d = 2\n\"x y\".'z.w' = false", "{\"a\":{\"b\":{\"c\":1,\"d\":2}},\"x y\":{\"z.w\":false}}");
}

static void tables(void **state)
{
    (void)state;
    expect("[a.b]\nx=1\n[a]\ny=2\n[a.c]\n", "{\"a\":{\"b\":{\"x\":1},\"y\":2,\"c\":{}}}");
    expect("[[r]]\nid='1'\n[[r.l]]\nk=1\n[[r.l]]\nk=2\n[[r]]\nid='2'\n[r.t]\nz=1", "{\"r\":[{\"id\":\"1\",\"l\":[{\"k\":1},{\"k\":2}]},"
           "{\"id\":\"2\",\"t\":{\"z\":1}}]}");
    expect("[a]\n[a]", "t:2:1: the table is there already");
    expect("a=1\na=2", "t:2:1: the key is there already");
    expect("a={b=1}\n[a.c]", "t:2:1: the header reaches into a value");
    expect("a={b=1}\na.c=2", "t:2:1: the key reaches into a table that was closed");
    expect("a.b=1\n[a]", "t:2:1: the table is there already");
    expect("a=[1]\n[[a]]", "t:2:1: the name is no array of tables");
    expect("[[a]]\n[a]", "t:2:1: the table is there already");
    expect("[a]\nb=1\n[a.b.c]", "t:3:1: the header reaches into a value");
}

static void refused(void **state)
{
    (void)state;
    expect("a = 1979-05-27", "t:1:5: dates and times are not supported");
    expect("a = 07:32:00", "t:1:5: dates and times are not supported");
    expect("a = inf", "t:1:5: not a finite number");
    expect("a = 012", "t:1:5: expected a value");
    expect("a = 1__2", "t:1:5: expected a value");
    expect("a = 9223372036854775808", "t:1:5: the number needs more than 64 bits");
    expect("a = yes", "t:1:5: expected a value");
    expect("a = ", "t:1:5: expected a value");
    expect("a = \"x", "t:1:5: the string never ends");
    expect("a = \"x\ny\"", "t:1:7: a control character or line end");
    expect("a = \"\\q\"", "t:1:7: unknown escape");
    expect("a = \"\\ud800\"", "the escape names no character");
    expect("a = [1", "t:1:5: the array never ends");
    expect("a = [1 2]", "t:1:8: expected , or ]");
    expect("a = {b=1,}", "t:1:10: expected a key");
    expect("a = 1 b = 2", "t:1:7: expected the end of the line");
    expect("= 1", "t:1:1: expected a key");
    expect("[a", "t:1:3: expected ] after the name");
    expect("a \xff", "t:1:3: not UTF-8");
    char deep[200] = "a = ";
    memset(deep + 4, '[', 40);
    expect(deep, "nested too deeply");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(tables), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
