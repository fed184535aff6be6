#include <string.h>

#include "cli/commands.h"
#include "contract/contract.h"

static struct {
    bool man, contract;
    ac_opt_list words;
} a;

static const ac_opt options[] = {
    AC_OPT_ARGS("COMMAND", &a.words, 0, 2, "command to explain; none: the list of all"),
    AC_OPT_GROUP("Form"),
    AC_OPT_BOOL(0, "man", &a.man, "the whole manual as a man page, or the page of the command"),
    AC_OPT_BOOL(0, "contract", &a.contract, "every key of accord.yaml, as docs/contract.md has it"),
    AC_OPT_END
};

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_str s = { 0 }, name = { 0 };
    ac_status st = AC_OK;
    const bool man = a.man, contract = a.contract;
    for (size_t i = 0; i < a.words.n; i++) ac_str_appendf(&name, "%s%s", i ? " " : "", a.words.item[i]);
    memset(&a, 0, sizeof a);             /* what help shows are the defaults */
    ac_cli_common_reset();
    const ac_cmd *cmd = NULL;
    const char *names[128];
    size_t n = 0;
    for (; n < AC_COUNTOF(names) && ac_cmds[n]; n++) {
        names[n] = ac_cmds[n]->name;
        if (strcmp(names[n], ac_str_c(&name)) == 0) cmd = ac_cmds[n];
    }
    if (contract && (name.len || man))
        st = ac_fail(err, AC_EARG, "--contract stands alone: it holds every key");
    else if (name.len && !cmd) {
        const char *near = ac_opt_nearest(ac_str_view(&name), names, n);
        st = ac_fail(err, AC_EARG, "unknown command \"%s\"%s%s%s accord --help", ac_str_c(&name),
                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"? See" : "; see");
    } else if (contract) st = ac_contract_docs(&s, err);
    else if (cli->json && !man) ac_help_json(&s, cmd);
    else if (man && cmd) ac_help_man_command(&s, cmd);
    else if (man) ac_help_man(&s);
    else if (cmd) ac_help_command(&s, cmd, cli->width);
    else ac_help_list(&s, cli->width);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&name);
    ac_str_release(&s);
    return st;
}

const ac_cmd ac_cmd_help = {
    .name = "help",
    .group = "Machine",
    .summary = "explain a command, or make the man page",
    .text = "The texts come from the same tables that the options are read with.",
    .options = options,
    .run = run,
};
