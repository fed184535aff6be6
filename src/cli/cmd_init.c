#include "base/file.h"
#include "cli/commands.h"
#include "contract/contract.h"

static struct {
    bool force;
} a;

static const ac_opt options[] = {
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL('f', "force", &a.force, "replace an accord.yaml that is there"),
    AC_OPT_END
};

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_str s = { 0 };
    ac_status st = AC_OK;
    if (ac_path_exists("accord.yaml") && !a.force)
        st = ac_fail(err, AC_ECREATE, "accord.yaml: is there already; edit it, or pass --force to replace it");
    if (!st) st = ac_contract_template(&s, err);
    if (!st && !ac_str_ok(&s)) st = ac_fail_nomem(err, s.len);
    if (!st) st = ac_file_write_atomic("accord.yaml", s.ptr, s.len, err);
    if (!st && cli->json) ac_cli_printf(cli, "{\"written\":\"accord.yaml\"}\n");
    else if (!st)
        ac_cli_printf(cli, "accord.yaml written. Next: name the model, the rows and the cases in it, then\n"
                           "  accord data check    tells what is missing and what rows and cases look like\n"
                           "  accord freeze\n  accord train\n  accord ab\n");
    ac_str_release(&s);
    return st;
}

const ac_cmd ac_cmd_init = {
    .name = "init",
    .group = "Start",
    .summary = "write a commented accord.yaml here",
    .text = "The file has every key with its default and what it means. Nothing is trained before accord freeze has "
            "sealed what it names.",
    .options = options,
    .run = run,
};
