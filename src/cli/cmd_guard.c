/* guard explain, guard table: what the guard did to a run, and by which limits. */
#include "base/file.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/project.h"
#include "cli/table.h"
#include "cli/timing.h"
#include "ledger/ledger.h"

static struct {
    const char *run;
    bool markdown;
} a = { .run = "latest" };

/* ---- explain ---------------------------------------------------------------------------------------------------- */

static const ac_opt explain_options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\", which is the default"),
    AC_OPT_END
};

static ac_status is_trained(bool *trained, ac_arena *arena, const char *dir, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = (size_t)16 << 20 };
    const ac_json *info = NULL;
    char *path = NULL;
    ac_status st = ac_run_path(&path, arena, dir, "run.json", err);
    if (!st && ac_path_exists(path)) st = ac_json_parse_file(&info, path, arena, &limits, err);
    const ac_json *state = st ? NULL : ac_json_get(info, "state");
    *trained = state && state->type == AC_JSON_STRING
               && (ac_view_eq_str(state->text, "trained") || ac_view_eq_str(state->text, "forgotten"));
    return st;
}

static ac_status explain(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_tel t = { 0 };
    ac_run_void v = { 0 };
    ac_str s = { 0 };
    char *dir = NULL, *path = NULL;
    bool trained = false;
    ac_status st = ac_run_find(&dir, &arena, ".", a.run, err);
    if (!st) st = ac_run_path(&path, &arena, dir, AC_TELEMETRY_FILE, err);
    if (!st) st = is_trained(&trained, &arena, dir, err);
    const bool there = !st && ac_path_exists(path);
    if (there) st = ac_tel_read(&t, path, err);
    if (!st) st = ac_run_void_read(&v, &arena, dir, err);
    if (!st && cli->json) ac_explain_json(&s, &t, &v, ac_run_id(dir), trained);
    else if (!st && t.n_sessions) ac_explain_text(&s, cli, &t, &v, ac_run_id(dir), trained);
    else if (!st)
        ac_str_appendf(&s, "run %s: %s, so there is nothing to explain; it ran without the guard (--no-guard), or before there was "
                       "one. Its times prove nothing.\n", ac_run_id(dir), there ? AC_TELEMETRY_FILE " is empty" : "no " AC_TELEMETRY_FILE);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_tel_release(&t);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_guard_explain = {
    .name = "guard explain",
    .group = "Look",
    .summary = "what the guard did to a run, act by act, and why",
    .text = "Each act with the time since the start, the signal's value and limit, the rule and its source, how quickly the trainer "
            "obeyed, what it changed, and which key of the contract would have it otherwise. Then the time at each level, what the "
            "guard cost, and, where the run stopped, the command to go on.",
    .options = explain_options,
    .run = explain,
};

/* ---- table ------------------------------------------------------------------------------------------------------ */

static const ac_opt table_options[] = {
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL('m', "markdown", &a.markdown, "as Markdown, as it stands in docs/guard.md"),
    AC_OPT_END
};

static void rule_row(ac_table *t, size_t i)
{
    const ac_guard_rule *r = &ac_guard_rules[i];
    const ac_signal_info *about = ac_signal_about(r->signal);
    ac_str enter = { 0 };
    char number[32];
    ac_format_f64(number, r->enter);
    ac_str_appendf(&enter, "%s %s", r->above ? ">=" : "<", number);
    if (r->enter_ms) ac_str_appendf(&enter, " for %d s", r->enter_ms / 1000);
    if (r->enter_samples > 1) ac_str_appendf(&enter, ", %d samples", r->enter_samples);
    ac_table_cellf(t, "%zu", i);
    ac_table_cell(t, ac_view_of(about->name));
    ac_table_cell(t, ac_view_of(about->unit));
    ac_table_cell(t, ac_view_of(ac_guard_level_name(r->level)));
    ac_table_cell(t, ac_view_of(ac_guard_cause_name(r->cause)));
    ac_table_cell(t, ac_str_view(&enter));
    ac_format_f64(number, r->leave);
    ac_table_cellf(t, "%s %s for %d s", r->above ? "<" : ">=", number, r->leave_ms / 1000);
    ac_table_cell(t, ac_view_of(r->source));
    if (!ac_str_ok(&enter)) t->failed = true;
    ac_str_release(&enter);
}

static void rule_json(ac_jw *w, size_t i)
{
    const ac_guard_rule *r = &ac_guard_rules[i];
    const ac_signal_info *about = ac_signal_about(r->signal);
    ac_jw_object(w, NULL);
    ac_jw_u64(w, "rule", i);
    ac_jw_cstr(w, "signal", about->name);
    ac_jw_cstr(w, "unit", about->unit);
    ac_jw_cstr(w, "what", about->what);
    ac_jw_cstr(w, "level", ac_guard_level_name(r->level));
    ac_jw_cstr(w, "cause", ac_guard_cause_name(r->cause));
    ac_jw_cstr(w, "on", r->above ? "at or above" : "below");
    ac_jw_f64(w, "enter", r->enter);
    ac_jw_f64(w, "for_seconds", r->enter_ms / 1000.0);
    ac_jw_i64(w, "samples", r->enter_samples);
    ac_jw_f64(w, "leave", r->leave);
    ac_jw_f64(w, "hold_seconds", r->leave_ms / 1000.0);
    ac_jw_cstr(w, "source", r->source);
    ac_jw_end_object(w);
}

static ac_status table(ac_cli *cli, ac_err *err)
{
    static const char *const head[] = { "rule", "signal", "unit", "level", "cause", "enter", "leave", "source" };
    ac_str s = { 0 };
    ac_table t;
    ac_jw w;
    ac_status st = AC_OK;
    ac_table_init(&t, "rlllllll", head);
    ac_jw_init(&w, &s, false);
    if (cli->json) {
        ac_jw_array(&w, NULL);
        for (size_t i = 0; i < ac_guard_n_rules; i++) rule_json(&w, i);
        ac_jw_end_array(&w);
    } else if (a.markdown) {
        ac_guard_table_md(&s);
    } else {
        for (size_t i = 0; i < ac_guard_n_rules; i++) rule_row(&t, i);
        st = ac_table_render(&t, &s, cli->out_tty ? cli->width : 0, cli->color, err);
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_table_release(&t);
    ac_str_release(&s);
    return st;
}

const ac_cmd ac_cmd_guard_table = {
    .name = "guard table",
    .group = "Look",
    .summary = "the guard's signals and limits, each with its source",
    .text = "These are the limits of this program. They stand in no file and no contract changes them; what the contract may say is "
            "under guard and memory in docs/contract.md.",
    .options = table_options,
    .run = table,
};
