/* T7 for the command line: each option of train, ab and freeze is known here with what it may do. A new option fails this
 * test until somebody has said whether it can touch a result, and what tells that it was used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cli/commands.h"

typedef enum {
    SAME_BITS,       /* memory, speed, place or form: identity and test_train_* compare the bytes */
    SELECTS,         /* which run, which arms, how far: named in the run, the verdict or the opening */
    RECORDED         /* an exception: needs a reason, stands in the lock and in the audit log */
} effect;

static const struct { const char *command, *option; effect what; } known[] = {
    { "train", "resume", SELECTS }, { "train", "stop-after-step", SELECTS }, { "train", "micro-batch", SAME_BITS },
    { "train", "workers", SAME_BITS },
    { "train", "recompute", SAME_BITS }, { "train", "memory-limit", SAME_BITS }, { "train", "dry-run", SELECTS },
    { "train", "guard", SAME_BITS },
    { "ab", "run", SELECTS }, { "ab", "arms", SELECTS }, { "ab", "endpoint", SELECTS }, { "ab", "endpoint-seconds", SELECTS },
    { "ab", "untuned", SELECTS }, { "ab", "ci", SAME_BITS }, { "ab", "perplexity", SAME_BITS }, { "ab", "dry-run", SELECTS },
    { "freeze", "accept-small", RECORDED }, { "freeze", "accept-finding", RECORDED }, { "freeze", "accept-leak", RECORDED },
    { "freeze", "reason", RECORDED },
};

static const ac_cmd *command(const char *name)
{
    for (size_t i = 0; ac_cmds[i]; i++)
        if (strcmp(ac_cmds[i]->name, name) == 0) return ac_cmds[i];
    fail_msg("no command %s", name);
    return NULL;
}

static bool is_known(const char *cmd, const char *option)
{
    for (size_t i = 0; i < AC_COUNTOF(known); i++)
        if (strcmp(known[i].command, cmd) == 0 && strcmp(known[i].option, option) == 0) return true;
    return false;
}

static void every_option_is_judged(void **state)
{
    static const char *const commands[] = { "train", "ab", "freeze" };
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(commands); i++)
        for (const ac_opt *o = command(commands[i])->options; o->type != AC_OPT_TYPE_END; o++)
            if (ac_opt_is_option(o) && !is_known(commands[i], o->name))
                fail_msg("accord %s --%s: say in this test what it may do to a result", commands[i], o->name);
}

static void nothing_is_judged_that_is_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(known); i++) {
        bool there = false;
        for (const ac_opt *o = command(known[i].command)->options; o->type != AC_OPT_TYPE_END; o++)
            there |= ac_opt_is_option(o) && strcmp(o->name, known[i].option) == 0;
        if (!there) fail_msg("accord %s has no --%s", known[i].command, known[i].option);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_option_is_judged), cmocka_unit_test(nothing_is_judged_that_is_gone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
