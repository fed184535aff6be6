#include "base/file.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "ledger/ledger.h"
#include "report/report.h"

static struct {
    const char *run, *output;
} a = { .run = "latest" };

static const ac_opt options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\", which is the default"),
    AC_OPT_GROUP("Output"),
    AC_OPT_PATH('o', "output", &a.output, "file", "page to write; none: report.html in the run's folder"),
    AC_OPT_END
};

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str page = { 0 }, s = { 0 };
    char *dir = NULL, *path = NULL;
    ac_status st = ac_run_find(&dir, &arena, ".", a.run, err);
    if (!st) st = ac_report_html(&page, dir, err);
    if (!st && !ac_str_ok(&page)) st = ac_fail_nomem(err, page.len);
    if (!st) st = ac_run_path(&path, &arena, a.output ? "" : dir, a.output ? a.output : "report.html", err);
    if (!st) st = ac_file_write_atomic(path, page.ptr, page.len, err);
    if (!st && cli->json) {
        ac_str_append_c(&s, "{\"path\":");
        ac_json_quote(&s, ac_view_of(path));
        ac_str_append_c(&s, "}");
    } else if (!st) {
        ac_cli_foreign(&s, cli, ac_view_of(path));
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&page);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_report = {
    .name = "report",
    .group = "Look",
    .summary = "one HTML page about a run: loss curve, verdict, cases side by side, hashes",
    .text = "The page needs nothing else: no script, no font, no picture from elsewhere. Its path is printed.",
    .options = options,
    .run = run,
};
