#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "cli/opt.h"

static struct {
    const char *data, *text, *arg, *second;
    int64_t rank;
    uint64_t seed;
    double lr;
    bool packing, json;
    int cpu;
    ac_opt_list tags, rest;
} a;

static const char *const cpus[] = { "auto", "ref", "avx2", NULL };

static const ac_opt table[] = {
    AC_OPT_ARG("FILE", &a.arg, "first"),
    AC_OPT_ARG_OPTIONAL("OTHER", &a.second, "second"),
    AC_OPT_ARGS("MORE", &a.rest, 0, 2, "others"),
    AC_OPT_GROUP("Input"),
    AC_OPT_PATH_REQ('d', "data", &a.data, "file", "rows"),
    AC_OPT_STR(0, "text", &a.text, "s", "text"),
    AC_OPT_GROUP("Numbers"),
    AC_OPT_INT('r', "rank", &a.rank, 1, 1024, "n", "rank"),
    AC_OPT_U64(0, "seed", &a.seed, "n", "seed"),
    AC_OPT_F64(0, "lr", &a.lr, 0, 1, "x", "rate"),
    AC_OPT_BOOL('p', "packing", &a.packing, "pack"),
    AC_OPT_LIST(0, "tag", &a.tags, "t", "tags"),
    AC_OPT_END
};
static const ac_opt common[] = {
    AC_OPT_BOOL('j', "json", &a.json, "json"),
    AC_OPT_ENUM(0, "cpu", &a.cpu, cpus, "tier"),
    AC_OPT_END
};
static const ac_opt *const tables[] = { table, common, NULL };

static void reset(void)
{
    memset(&a, 0, sizeof a);
    a.rank = 8;
    a.lr = 1e-4;
    a.packing = true;
}

/* Splits at '|', so that values may hold spaces. */
static ac_status parse(const char *line, ac_err *err)
{
    static char buf[1024];
    char *argv[64] = { buf };
    int argc = 1;
    buf[0] = '\0';
    (void)strcpy(buf + 1, line);
    for (char *t = buf + 1; t && argc < 64;) {
        argv[argc++] = t;
        t = strchr(t, '|');
        if (t) *t++ = '\0';
    }
    if (line[0] == '\0') argc = 1;
    reset();
    return ac_opt_parse(tables, argc, argv, 1, NULL, "accord test", err);
}

static void values_of_every_type(void **state)
{
    (void)state;
    ac_err err = { "" };
    assert_int_equal(parse("in.txt|--data=rows.jsonl|--text=a=b|-r|16|--seed|18446744073709551615|--lr=5e-5|"
                           "--no-packing|--tag|x|--tag=y|-j|--cpu|avx2|out.txt|m1|m2", &err), AC_OK);
    assert_string_equal(a.arg, "in.txt");
    assert_string_equal(a.second, "out.txt");
    assert_int_equal(a.rest.n, 2);
    assert_string_equal(a.data, "rows.jsonl");
    assert_string_equal(a.text, "a=b");
    assert_int_equal(a.rank, 16);
    assert_true(a.seed == UINT64_MAX && a.lr == 5e-5 && !a.packing && a.json && a.cpu == 2);
    assert_int_equal(a.tags.n, 2);
    assert_string_equal(a.tags.item[1], "y");
    assert_string_equal(err.text, "");
}

static void shapes_of_the_command_line(void **state)
{
    (void)state;
    assert_int_equal(parse("-dx|-pjr3|f", NULL), AC_OK);
    assert_true(a.packing && a.json && a.rank == 3);
    assert_string_equal(a.data, "x");
    assert_int_equal(parse("-d|x|--|--rank", NULL), AC_OK);
    assert_string_equal(a.arg, "--rank");
    assert_int_equal(parse("-d|x|-", NULL), AC_OK);
    assert_string_equal(a.arg, "-");
    assert_int_equal(parse("-d|x|f|--text|--rank", NULL), AC_OK);
    assert_string_equal(a.text, "--rank");
    assert_int_equal(parse("-d|x|f|--text=", NULL), AC_OK);
    assert_string_equal(a.text, "");
    assert_int_equal(parse("-d|x|-d|y|f", NULL), AC_OK);
    assert_string_equal(a.data, "y");
}

static void mistakes_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *line, *want;
    } rows[] = {
        { "f|-d|x|--rnak=3", "unknown option --rnak; did you mean --rank? See accord test --help" },
        { "f|-d|x|--zzzzzzz", "unknown option --zzzzzzz; see accord test --help" },
        { "f|-d|x|--no-rank", "unknown option --no-rank" },
        { "f|-d|x|--hepl", "did you mean --help?" },
        { "f|-d|x|-z", "unknown option -z" },
        { "f|-d|x|--rank", "--rank needs a value" },
        { "f|-d", "-d needs a value" },
        { "f|-d|x|--rank=0", "--rank: must be from 1 to 1024, found \"0\"" },
        { "f|-d|x|--rank=3x", "--rank: expected a whole number, found \"3x\"" },
        { "f|-d|x|--rank=99999999999999999999", "expected a whole number" },
        { "f|-d|x|--seed=-1", "--seed: expected a whole number from 0" },
        { "f|-d|x|--lr=nan", "--lr: expected a number" },
        { "f|-d|x|--lr=1,5", "--lr: expected a number" },
        { "f|-d|x|--lr=1.5", "--lr: must be from 0 to 1" },
        { "f|-d|x|--packing=yes", "--packing takes no value; write --packing or --no-packing" },
        { "f|-d|x|--cpu=avx3", "--cpu: expected one of auto, ref, avx2; found \"avx3\"; did you mean avx2?" },
        { "f|--data=", "--data: expected a path" },
        { "f", "--data is missing; see accord test --help" },
        { "-d|x", "argument FILE is missing" },
        { "-d|x|1|2|3|4|5", "unexpected argument \"5\"" },
        { "", "argument FILE is missing" },
    };
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_err err = { "" };
        assert_int_equal(parse(rows[i].line, &err), AC_EARG);
        if (!strstr(err.text, rows[i].want)) fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].line, err.text,
                                                      rows[i].want);
    }
}

static void too_much_is_refused(void **state)
{
    (void)state;
    char *argv[3000];
    for (size_t i = 0; i < AC_COUNTOF(argv); i++) argv[i] = i % 2 ? "--tag" : "x";
    reset();
    ac_err err = { "" };
    assert_int_equal(ac_opt_parse(tables, 3000, argv, 1, NULL, "t", &err), AC_EARG);
    assert_non_null(strstr(err.text, "more than 64 times"));
    for (size_t i = 0; i < AC_COUNTOF(argv); i++) argv[i] = "x";
    err = (ac_err){ "" };
    assert_int_equal(ac_opt_parse(tables, 3000, argv, 1, NULL, "t", &err), AC_EARG);
}

static void help_is_found_and_changes_nothing(void **state)
{
    (void)state;
    reset();
    char *with[] = { "p", "--rank", "3", "--help" }, *value[] = { "p", "--text", "--help" },
         *after[] = { "p", "--", "--help" }, *letter[] = { "p", "-jh" };
    assert_true(ac_opt_wants_help(tables, 4, with, 1));
    assert_false(ac_opt_wants_help(tables, 3, value, 1));
    assert_false(ac_opt_wants_help(tables, 3, after, 1));
    assert_true(ac_opt_wants_help(tables, 2, letter, 1));
    assert_true(a.rank == 8 && !a.json);
}

static void a_first_pass_stops_at_the_command(void **state)
{
    (void)state;
    int rest = 0;
    char *argv[] = { "p", "--json", "train", "--rank", "3" };
    reset();
    assert_int_equal(ac_opt_parse(tables + 1, 5, argv, 1, &rest, "accord", NULL), AC_OK);
    assert_int_equal(rest, 2);
    assert_true(a.json);
}

static void defaults_are_shown(void **state)
{
    (void)state;
    ac_str s = { 0 };
    reset();
    for (const ac_opt *o = table; o->type != AC_OPT_TYPE_END; o++) {
        if (o->type == AC_OPT_TYPE_GROUP) continue;
        ac_opt_spelling(&s, o);
        ac_str_append_char(&s, ' ');
        ac_opt_default(&s, o);
        ac_str_append_char(&s, '\n');
    }
    ac_opt_spelling(&s, &common[1]);
    ac_opt_default(&s, &common[1]);
    ac_opt_usage(&s, tables);
    assert_string_equal(ac_str_c(&s),
                        "FILE \nOTHER \nMORE \n-d, --data <file> (required)\n--text <s> (default: none)\n"
                        "-r, --rank <n> (default: 8)\n--seed <n> (default: 0)\n--lr <x> (default: 0.0001)\n"
                        "-p, --[no-]packing (default: on)\n--tag <t> (default: none; may be given again)\n"
                        "--cpu <auto|ref|avx2>(default: auto) [options] FILE [OTHER] [MORE...]");
    ac_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type),
        cmocka_unit_test(shapes_of_the_command_line),
        cmocka_unit_test(mistakes_are_explained),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(help_is_found_and_changes_nothing),
        cmocka_unit_test(a_first_pass_stops_at_the_command),
        cmocka_unit_test(defaults_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
