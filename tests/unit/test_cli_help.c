/* Parser, --help and man page come from one table; these tests hold them to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <ctype.h>

#include "base/file.h"
#include "cli/cli.h"

static void each_command(void (*check)(const ac_cmd *c, const ac_opt *o))
{
    for (size_t i = 0; ac_cmds[i]; i++) {
        for (const ac_opt *o = ac_cmds[i]->options; o->type != AC_OPT_TYPE_END; o++) check(ac_cmds[i], o);
        for (const ac_opt *o = ac_cli_common(); o->type != AC_OPT_TYPE_END; o++) check(ac_cmds[i], o);
    }
}

static void no_two_options_of_a_command_collide(void **state)
{
    (void)state;
    for (size_t i = 0; ac_cmds[i]; i++) {
        const ac_opt *all[256];
        size_t n = 0;
        const ac_opt *const tables[] = { ac_cmds[i]->options, ac_cli_common() };
        for (size_t t = 0; t < 2; t++)
            for (const ac_opt *o = tables[t]; o->type != AC_OPT_TYPE_END; o++)
                if (ac_opt_is_option(o)) all[n++] = o;
        for (size_t a = 0; a < n; a++)
            for (size_t b = a + 1; b < n; b++)
                if (strcmp(all[a]->name, all[b]->name) == 0
                    || (all[a]->letter && all[a]->letter == all[b]->letter))
                    fail_msg("accord %s: --%s and --%s collide", ac_cmds[i]->name, all[a]->name, all[b]->name);
    }
}

static void style_of_an_option(const ac_cmd *c, const ac_opt *o)
{
    if (o->type == AC_OPT_TYPE_GROUP) return;
    if (!o->help || !o->help[0]) fail_msg("accord %s: %s has no help", c->name, o->name);
    /* A name like LoRA or GGUF may stand first: its first word has another capital. */
    const size_t word = strcspn(o->help, " ");
    bool name = false;
    for (size_t i = 1; i < word; i++) name |= isupper((unsigned char)o->help[i]) != 0;
    if (isupper((unsigned char)o->help[0]) && !name)
        fail_msg("accord %s --%s: help begins with a capital", c->name, o->name);
    if (o->help[strlen(o->help) - 1] == '.')
        fail_msg("accord %s --%s: help ends in a full stop", c->name, o->name);
    if (ac_opt_is_option(o) && (o->letter == 'h' || o->letter == 'V' || strncmp(o->name, "no-", 3) == 0))
        fail_msg("accord %s --%s: this spelling is taken", c->name, o->name);
}

static void help_follows_the_style(void **state)
{
    (void)state;
    each_command(style_of_an_option);
    for (size_t i = 0; ac_cmds[i]; i++) {
        const ac_cmd *c = ac_cmds[i];
        assert_true(c->name && c->group && c->summary && c->text && c->options && c->run);
        assert_true(c->summary[0] && !isupper((unsigned char)c->summary[0]));
        assert_true(c->summary[strlen(c->summary) - 1] != '.');
    }
}

/* Without line breaks and repeated spaces, and without roff's escapes. */
static void flat(ac_str *out, const char *text)
{
    bool space = false;
    for (; *text; text++) {
        if (*text == '\\' && (text[1] == '-' || text[1] == '&' || text[1] == 'e')) {
            if (text[1] == '-') ac_str_append_char(out, '-');
            text++;
            space = false;
        } else if (*text == ' ' || *text == '\n') {
            if (!space) ac_str_append_char(out, ' ');
            space = true;
        } else {
            ac_str_append_char(out, *text);
            space = false;
        }
    }
}

static ac_str flat_man;

static void is_in_help_and_man(const ac_cmd *c, const ac_opt *o)
{
    if (o->type == AC_OPT_TYPE_GROUP) return;
    ac_str want = { 0 }, text = { 0 }, help = { 0 };
    ac_opt_spelling(&text, o);
    ac_str_appendf(&text, " %s ", o->help);
    ac_opt_default(&text, o);
    flat(&want, ac_str_c(&text));
    ac_str_reset(&text);
    ac_help_command(&text, c, 80);
    flat(&help, ac_str_c(&text));
    assert_true(ac_str_ok(&want) && ac_str_ok(&help));
    const ac_view line = ac_view_trim(ac_str_view(&want));
    if (ac_view_find(ac_str_view(&help), line, 0) == SIZE_MAX)
        fail_msg("accord %s --help lacks: %s", c->name, ac_str_c(&want));
    if (ac_view_find(ac_str_view(&flat_man), line, 0) == SIZE_MAX)
        fail_msg("the man page lacks for accord %s: %s", c->name, ac_str_c(&want));
    ac_str_release(&want);
    ac_str_release(&text);
    ac_str_release(&help);
}

static void help_and_man_hold_every_option(void **state)
{
    (void)state;
    ac_str man = { 0 };
    ac_help_man(&man);
    assert_true(ac_str_ok(&man));
    flat(&flat_man, ac_str_c(&man));
    each_command(is_in_help_and_man);
    ac_str_release(&flat_man);
    ac_str_release(&man);
}

static void the_man_page_is_committed(void **state)
{
    (void)state;
    ac_str made = { 0 }, kept = { 0 };
    ac_help_man(&made);
    assert_int_equal(ac_file_read(&kept, ACCORD_SOURCE_DIR "/docs/man/accord.1", 1 << 22, NULL), AC_OK);
    if (strcmp(ac_str_c(&made), ac_str_c(&kept)) != 0)
        fail_msg("docs/man/accord.1 is out of date: accord help --man >docs/man/accord.1");
    ac_str_release(&made);
    ac_str_release(&kept);
}

static void parses(const ac_cmd *c, const ac_opt *o)
{
    static char name[128];
    char *argv[3] = { name, name, NULL };
    int argc = 2;
    ac_err err = { "" };
    if (!ac_opt_is_option(o)) return;
    const ac_opt *const tables[] = { c->options, ac_cli_common(), NULL };
    (void)snprintf(name, sizeof name, "--%s", o->name);
    if (o->type != AC_OPT_TYPE_BOOL) {
        static char value[64];
        (void)snprintf(value, sizeof value, "%s", o->type == AC_OPT_TYPE_ENUM ? o->choices[0] : "1");
        argv[argc++] = value;
    }
    const ac_status st = ac_opt_parse(tables, argc, argv, 1, NULL, "accord", &err);
    /* What may be wrong is what else the command requires, never this option. */
    if (st && !strstr(err.text, "missing") && !strstr(err.text, "must be from"))
        fail_msg("accord %s %s: %s", c->name, name, err.text);
    if (strstr(err.text, "unknown")) fail_msg("accord %s %s: %s", c->name, name, err.text);
}

static void the_parser_takes_every_option(void **state)
{
    (void)state;
    each_command(parses);                /* last: it changes the values that help shows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_options_of_a_command_collide),
        cmocka_unit_test(help_follows_the_style),
        cmocka_unit_test(help_and_man_hold_every_option),
        cmocka_unit_test(the_man_page_is_committed),
        cmocka_unit_test(the_parser_takes_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
