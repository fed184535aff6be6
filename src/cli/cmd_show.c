#include "base/file.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "cli/show_cases.h"
#include "cli/show_run.h"
#include "cli/timing.h"
#include "ledger/cost.h"
#include "ledger/ledger.h"

static struct {
    const char *run;
    int cases;
    ac_opt_list ids;
} a = { .run = "latest" };

static const char *const which[] = { "none", "all", "failed", "differing", NULL };      /* ac_show_which */

static const ac_opt options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\", which is the default"),
    AC_OPT_GROUP("Cases: the question, what each arm said, from which passages, which grader and why"),
    AC_OPT_ENUM(0, "cases", &a.cases, which, "show these: all, those that tuned failed, those on which the arms differ"),
    AC_OPT_LIST(0, "case", &a.ids, "id", "show this case; may be repeated"),
    AC_OPT_END
};

#define VERDICT_MAX ((size_t)256 << 20)

static ac_status read_if_there(const ac_json **out, ac_arena *arena, const char *dir, const char *name, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = VERDICT_MAX };
    char *path = NULL;
    const ac_status st = ac_run_path(&path, arena, dir, name, err);
    if (st || !ac_path_exists(path)) return st;
    return ac_json_parse_file(out, path, arena, &limits, err);
}

static void text_of(ac_str *s, const ac_cli *cli, const ac_json *object, const char *key)
{
    const ac_json *v = ac_json_get(object, key);
    if (v && v->type == AC_JSON_STRING) ac_cli_foreign(s, cli, v->text);
    else if (v) ac_json_write(s, v);
    else ac_str_append_char(s, '-');
}

/* Times stand in the table above: a run that was disturbed says so right below. */
static void timing_text(ac_str *s, const ac_cli *cli, const ac_run_void *v)
{
    if (!v->n) return;
    ac_str_append_c(s, "times      ");
    ac_timing_text(s, cli, v);
    ac_str_append_char(s, '\n');
}

static void timing_member(ac_str *s, const ac_run_void *v)
{
    ac_jw w;
    ac_jw_init(&w, s, false);
    ac_timing_json(&w, v);
}

static ac_status cost_line(ac_str *s, const ac_cli *cli, const char *dir, ac_err *err)
{
    ac_str line = { 0 };
    const ac_status st = ac_cost_run_sentence(&line, dir, err);
    ac_str_append_c(s, "cost       ");
    if (!st) ac_cli_foreign(s, cli, ac_str_view(&line));
    ac_str_append_char(s, '\n');
    ac_str_release(&line);
    return st;
}

static void verdict_text(ac_str *s, const ac_cli *cli, const ac_json *v)
{
    const ac_json *arms = ac_json_get(v, "arms"), *sentences = ac_json_get(v, "sentences");
    ac_str_append_c(s, "\nVERDICT: ");
    text_of(s, cli, v, "verdict");
    ac_str_append_char(s, '\n');
    for (const ac_json *arm = arms ? arms->child : NULL; arm; arm = arm->next) {
        ac_str_append_c(s, "  ");
        text_of(s, cli, arm, "arm");
        ac_str_append_c(s, ": ");
        text_of(s, cli, arm, "passed");
        ac_str_append_c(s, " of ");
        text_of(s, cli, arm, "cases");
        ac_str_append_char(s, '\n');
    }
    for (const ac_json *e = sentences ? sentences->child : NULL; e; e = e->next) {
        if (e->type != AC_JSON_STRING) continue;
        ac_cli_foreign(s, cli, e->text);
        ac_str_append_char(s, '\n');
    }
}

static void member(ac_str *s, const char *key, const ac_json *v)
{
    ac_str_appendf(s, "\"%s\":", key);
    if (v) ac_json_write(s, v);
    else ac_str_append_c(s, "null");
}

static ac_status cases(ac_str *s, const ac_cli *cli, const ac_json *verdict, ac_err *err)
{
    const ac_show_cases o = { .which = a.cases ? (ac_show_which)a.cases : AC_SHOW_ALL, .id = a.ids.item, .n_ids = a.ids.n };
    if (!verdict) return ac_fail(err, AC_ENOENT, "run %s has no verdict yet; run: accord ab", a.run);
    return ac_show_cases_text(s, cli, verdict, &o, err);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str s = { 0 };
    char *dir = NULL;
    const ac_json *info = NULL, *verdict = NULL, *cost = NULL;
    ac_show_channel *on = NULL;
    size_t n_on = 0;
    ac_run_void timing = { 0 };
    ac_status st = ac_run_find(&dir, &arena, ".", a.run, err);
    if (!st) st = read_if_there(&info, &arena, dir, "run.json", err);
    if (!st && !info) st = ac_fail(err, AC_ENOENT, "%s: has no run.json; it is no run folder", dir);
    if (!st) st = read_if_there(&verdict, &arena, dir, "verdict.json", err);
    if (!st) st = read_if_there(&cost, &arena, dir, "cost.json", err);
    if (!st) st = ac_show_channels(&on, &n_on, &arena, ".", ac_run_id(dir), err);
    if (!st) st = ac_run_void_read(&timing, &arena, dir, err);
    if (!st && cli->json) {
        ac_str_append_c(&s, "{\"path\":");
        ac_json_quote(&s, ac_view_of(dir));
        ac_str_append_char(&s, ',');
        member(&s, "run", info);
        ac_str_append_char(&s, ',');
        member(&s, "cost", cost);
        ac_str_append_char(&s, ',');
        member(&s, "verdict", verdict);
        ac_str_append_c(&s, ",\"channels\":");
        ac_show_channels_json(&s, on, n_on);
        ac_str_append_char(&s, ',');
        timing_member(&s, &timing);
        ac_str_append_char(&s, '}');
    } else if (!st) {
        ac_show_run_text(&s, cli, info, on, n_on);
        timing_text(&s, cli, &timing);
        st = cost_line(&s, cli, dir, err);
        if (verdict) verdict_text(&s, cli, verdict);
        if (!st && (a.cases || a.ids.n)) st = cases(&s, cli, verdict, err);
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_show = {
    .name = "show",
    .group = "Look",
    .summary = "what a run is, what it cost, its verdict, and where it serves",
    .text = "The values are those of the run's folder and of .accord/promoted; with --json they come as they stand there.",
    .options = options,
    .run = run,
};
