#include <math.h>

#include "cli/commands.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/timing.h"
#include "formats/json.h"
#include "ledger/ledger.h"

static struct {
    int64_t limit;
} a;

static const ac_opt options[] = {
    AC_OPT_GROUP("Output"),
    AC_OPT_INT('n', "limit", &a.limit, 0, 1e9, "n", "only the newest n; 0: all"),
    AC_OPT_END
};

static void loss_cell(ac_table *t, double v)
{
    if (isnan(v)) ac_table_cell(t, AC_VIEW("-"));
    else ac_table_cellf(t, "%.4f", v);
}

static void row(ac_table *t, const ac_run_info *r, const ac_run_void *v)
{
    char took[32];
    ac_table_cell(t, ac_view_of(r->id));
    ac_table_cell(t, ac_view_of(r->state));
    if (r->has_steps) ac_table_cellf(t, "%llu", (unsigned long long)r->steps);
    else ac_table_cell(t, AC_VIEW("-"));
    loss_cell(t, r->train_loss);
    loss_cell(t, r->valid_loss);
    if (!isnan(r->seconds)) ac_human_time(took, r->seconds);
    if (isnan(r->seconds)) ac_table_cell(t, AC_VIEW("-"));
    else ac_table_cellf(t, "%s%s", took, v->n ? " VOID" : "");
    ac_table_cell(t, ac_view_of(r->verdict ? r->verdict : "-"));
}

static void object(ac_jw *w, const ac_run_info *r, const ac_run_void *v)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "id", r->id);
    ac_jw_cstr(w, "path", r->path);
    ac_jw_cstr(w, "state", r->state);
    ac_jw_cstr(w, "started", r->started);
    if (r->has_steps) ac_jw_u64(w, "steps", r->steps);
    else ac_jw_null(w, "steps");
    ac_jw_f64(w, "train_loss", r->train_loss);
    ac_jw_f64(w, "valid_loss", r->valid_loss);
    ac_jw_f64(w, "seconds", r->seconds);
    ac_jw_cstr(w, "verdict", r->verdict);
    ac_timing_json(w, v);
    ac_jw_end_object(w);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    static const char *const head[] = { "run", "state", "steps", "loss", "validation", "time", "verdict" };
    ac_arena arena = { 0 };
    ac_run_info *runs = NULL;
    size_t n = 0;
    ac_run_void timing = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    ac_table t;
    ac_status st = ac_runs_list(&runs, &n, &arena, ".", err);
    const size_t from = a.limit && (size_t)a.limit < n ? n - (size_t)a.limit : 0;
    ac_table_init(&t, "llrrrrl", head);
    ac_jw_init(&w, &s, true);
    if (!st && cli->json) {
        ac_jw_array(&w, NULL);
        for (size_t i = from; i < n && !st; i++) {
            st = ac_run_void_read(&timing, &arena, runs[i].path, err);
            if (!st) object(&w, &runs[i], &timing);
        }
        ac_jw_end_array(&w);
    } else if (!st && n == 0) {
        ac_str_append_c(&s, "no runs yet; accord train makes one\n");
    } else if (!st) {
        for (size_t i = from; i < n && !st; i++) {
            st = ac_run_void_read(&timing, &arena, runs[i].path, err);
            if (!st) row(&t, &runs[i], &timing);
        }
        if (!st) st = ac_table_render(&t, &s, cli->out_tty ? cli->width : 0, cli->color, err);
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_table_release(&t);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_runs = {
    .name = "runs",
    .group = "Look",
    .summary = "the runs of this project, oldest first",
    .text = "Each is a folder below .accord/runs that is complete by itself; accord show tells more of one. A time that is "
            "marked VOID was disturbed, or nothing watched it: it is no measure of the machine.",
    .options = options,
    .run = run,
};
