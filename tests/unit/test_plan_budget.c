/* How much memory a run may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plan/budget.h"

#define GIB ((int64_t)1 << 30)
#define MIB ((int64_t)1 << 20)

static void the_first_that_is_given_decides(void **state)
{
    (void)state;
    ac_budget_facts f = { .machine = 64 * GIB, .available = 40 * GIB, .held = 7, .asked = 1000, .budget = 2000, .reserve = 3000 };
    ac_budget b = ac_budget_decide(&f);
    assert_true(b.source == AC_BUDGET_ASKED && b.limit == 1000 && b.at_most == 1000);
    f.asked = 0;
    b = ac_budget_decide(&f);
    assert_true(b.source == AC_BUDGET_CONTRACT && b.limit == 2000 && b.at_most == 2000 && !b.cut);
    f.budget = 0;
    b = ac_budget_decide(&f);
    assert_true(b.source == AC_BUDGET_FREE && b.limit == (uint64_t)(40 * GIB) - 3000 + 7 && !b.reserve_is_default);
    assert_true(b.at_most == b.limit && b.reserve == 3000);
}

/* Machine, free, limit, at most: in MiB. */
static void what_is_free_less_the_default_reserve(void **state)
{
    (void)state;
    static const int64_t row[][4] = {
        { 64 << 10, 48 << 10, 36 << 10, 45 << 10 },      /* 12 GiB from 32 GiB on */
        { 32 << 10, 30 << 10, 18 << 10, 28800 },
        { 32767, 30 << 10, 30720 - 8191, 28800 },        /* a quarter below */
        { 16 << 10, 12 << 10, 8 << 10, 11520 },
        { 4 << 10, 512, 0, 480 },                        /* a small machine: nothing is left, but at_most is */
        { 256, 250, 250 - 64, 250 - 250 / 16 },
        { 1 << 20, 1 << 20, (1 << 20) - (64 << 10), (1 << 20) - (64 << 10) },   /* never more than all but a sixteenth */
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        const ac_budget_facts f = { .machine = row[i][0] * MIB, .available = row[i][1] * MIB };
        const ac_budget b = ac_budget_decide(&f);
        const double limit = (double)b.limit / (double)MIB, most = (double)b.at_most / (double)MIB;
        assert_true(b.reserve_is_default && limit - (double)row[i][2] < 1 && (double)row[i][2] - limit < 1);
        assert_true(most - (double)row[i][3] < 1 && (double)row[i][3] - most < 1);
        assert_true(b.limit >= 1 && b.limit <= b.at_most);
    }
}

static void a_written_reserve_is_a_wall(void **state)
{
    (void)state;
    const ac_budget_facts f = { .machine = 8 * GIB, .available = 2 * GIB, .held = 5, .reserve = (uint64_t)(3 * GIB) };
    const ac_budget b = ac_budget_decide(&f);
    assert_true(b.limit == 5 && b.at_most == 5 && !b.reserve_is_default);
    const ac_budget_facts little = { .machine = 8 * GIB, .available = 2 * GIB, .reserve = 1 << 20 };
    assert_true(ac_budget_decide(&little).limit == (uint64_t)(2 * GIB - MIB));
}

static void a_budget_from_elsewhere_is_cut(void **state)
{
    (void)state;
    const ac_budget_facts f = { .machine = 8 * GIB, .available = 4 * GIB, .held = 100, .budget = (uint64_t)(6 * GIB) };
    const ac_budget b = ac_budget_decide(&f);
    assert_true(b.cut && b.limit == 100 + (uint64_t)(4 * GIB - GIB / 4) && b.at_most == b.limit);
}

static void what_is_unknown_limits_nothing(void **state)
{
    (void)state;
    const ac_budget_facts none = { .machine = -1, .available = -1, .reserve = 5 };
    assert_true(ac_budget_decide(&none).source == AC_BUDGET_UNKNOWN && ac_budget_decide(&none).limit == 0);
    const ac_budget_facts some = { .machine = -1, .available = 16 * MIB };
    const ac_budget b = ac_budget_decide(&some);
    assert_true(b.limit == (uint64_t)(15 * MIB) && b.at_most == b.limit && b.reserve == 0);
    const ac_budget_facts budget = { .machine = -1, .available = -1, .budget = 9 };
    assert_true(ac_budget_decide(&budget).limit == 9 && !ac_budget_decide(&budget).cut);
}

static void texts_say_where_it_comes_from(void **state)
{
    (void)state;
    static const struct { ac_budget_facts f; const char *text; } row[] = {
        { { -1, -1, 0, 0, 0, 0 }, "not known" },
        { { 8 * GIB, 4 * GIB, 0, 9, 0, 0 }, "--memory-limit" },
        { { 8 * GIB, 4 * GIB, 0, 0, 9, 0 }, "memory.budget" },
        { { 8 * GIB, 4 * GIB, 0, 0, 1ull << 40, 0 }, "cut down to the 4.0 GiB" },
        { { 8 * GIB, 4 * GIB, 0, 0, 0, 1 << 30 }, "4.0 GiB free less memory.reserve (1.0 GiB)" },
        { { 8 * GIB, 4 * GIB, 0, 0, 0, 0 }, "4.0 GiB free less a reserve of 2.0 GiB (a quarter of 8.0 GiB)" },
        { { 64 * GIB, 40 * GIB, 0, 0, 0, 0 }, "less a reserve of 12.0 GiB (out of 64.0 GiB)" },
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char text[160];
        const ac_budget b = ac_budget_decide(&row[i].f);
        ac_budget_text(text, &b);
        if (!strstr(text, row[i].text)) fail_msg("\"%s\" lacks \"%s\"", text, row[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_is_given_decides),
        cmocka_unit_test(what_is_free_less_the_default_reserve),
        cmocka_unit_test(a_written_reserve_is_a_wall),
        cmocka_unit_test(a_budget_from_elsewhere_is_cut),
        cmocka_unit_test(what_is_unknown_limits_nothing),
        cmocka_unit_test(texts_say_where_it_comes_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
