/* Endpoint arms: the option's text, the request's body, and answers of all kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "eval/endpoint.h"

static void options(void **state)
{
    static const char *const bad[] = { "", "x", "a=b,c", "a=http://h/v1", "=http://h/v1,m", "a=http://h/v1,", "a b=http://h/v1,m",
                                       "a=ftp://h,m", "a=http://key@h/v1,m", "../x=http://h/v1,m" };
    ac_arena a = { 0 };
    ac_endpoint e = { .name = NULL };
    (void)state;
    assert_int_equal(ac_endpoint_parse(&e, "big=http://h:8080/v1,org/model-7b", &a, NULL), AC_OK);
    assert_string_equal(e.name, "endpoint:big");
    assert_string_equal(e.url, "http://h:8080/v1/chat/completions");
    assert_string_equal(e.model, "org/model-7b");
    assert_int_equal(ac_endpoint_parse(&e, "x=https://h/a,b/v1/,m", &a, NULL), AC_OK);
    assert_string_equal(e.url, "https://h/a,b/v1/chat/completions");
    assert_int_equal(ac_endpoint_parse(&e, "x=https://h/chat/completions,m", &a, NULL), AC_OK);
    assert_string_equal(e.url, "https://h/chat/completions");
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        if (ac_endpoint_parse(&e, bad[i], &a, &err) != AC_EARG || !err.text[0]) fail_msg("\"%s\" was taken", bad[i]);
    }
    ac_arena_release(&a);
}

static void request(void **state)
{
    (void)state;
    ac_message turn[] = { { .role = AC_ROLE_USER, .content = AC_VIEW("say \"a\"\n") } };
    const ac_case c = { .id = AC_VIEW("x"), .n_turns = 1, .turn = turn };
    const ac_endpoint e = { .name = "n", .url = "u", .model = "m" };
    ac_str s = { 0 };
    assert_int_equal(ac_endpoint_request(&s, &e, &c, "be brief", 80, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
                        "{\"role\":\"user\",\"content\":\"say \\\"a\\\"\\n\"}],\"temperature\":0,\"top_p\":1,\"max_tokens\":80,"
                        "\"seed\":0,\"stream\":false}");
    ac_str_release(&s);
}

static void answer(const char *body, ac_status want, const char *text, bool cut)
{
    ac_arena a = { 0 };
    ac_answer out = { .pass = false };
    ac_err err = { 0 };
    const ac_endpoint e = { .name = "n", .url = "http://h", .model = "m" };
    const ac_status st = ac_endpoint_answer(&out, ac_view_of(body), &e, &a, &err);
    if (st != want) fail_msg("%s: %s, \"%s\"", body, ac_status_name(st), err.text);
    if (!st && (!ac_view_eq_str(out.text, text) || out.cut != cut)) fail_msg("%s: " AC_VIEW_FMT, body, AC_VIEW_ARG(out.text));
    if (st && !strstr(err.text, "http://h")) fail_msg("\"%s\" does not name the server", err.text);
    ac_arena_release(&a);
}

static void answers(void **state)
{
    (void)state;
    answer("{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}", AC_OK, "hi", false);
    answer("{\"choices\":[{\"message\":{\"content\":\"h\"},\"finish_reason\":\"length\"}],\"usage\":{\"completion_tokens\":\"x\"}}", AC_OK, "h", true);
    answer("{\"choices\":[{\"message\":{\"content\":null}}]}", AC_OK, "", false);
    answer("{\"choices\":[]}", AC_EFORMAT, "", false);
    answer("{\"choices\":{}}", AC_EFORMAT, "", false);
    answer("{\"choices\":[{\"message\":\"hi\"}]}", AC_EFORMAT, "", false);
    answer("{\"choices\":[{\"message\":{\"content\":7}}]}", AC_EFORMAT, "", false);
    answer("[]", AC_EFORMAT, "", false);
    answer("<html>", AC_EFORMAT, "", false);
    answer("", AC_EFORMAT, "", false);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    ac_message turn[] = { { .role = AC_ROLE_USER, .content = AC_VIEW("q") } };
    const ac_case c = { .id = AC_VIEW("x"), .n_turns = 1, .turn = turn };
    for (long nth = 1;; nth++) {
        ac_arena a = { 0 };
        ac_endpoint e = { .name = NULL };
        ac_answer out = { .pass = false };
        ac_str s = { 0 };
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        ac_status st = ac_endpoint_parse(&e, "a=http://h/v1,m", &a, &err);
        if (!st) st = ac_endpoint_request(&s, &e, &c, NULL, 8, &err);
        if (!st) st = ac_endpoint_answer(&out, AC_VIEW("{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}"), &e, &a, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        ac_str_release(&s);
        ac_arena_release(&a);
        if (ac_live_bytes() != 0) fail_msg("allocation %ld leaks", nth);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_int_equal(st, AC_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(options), cmocka_unit_test(request), cmocka_unit_test(answers),
                                        cmocka_unit_test(each_allocation_may_fail) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
