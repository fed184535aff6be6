/* compare: two runs side by side: what was asked for, where it ran, how it went, what each answered. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/compare.h"
#include "cli/project.h"
#include "cli/table.h"
#include "cli/timing.h"
#include "ledger/ledger.h"

static struct {
    const char *a, *b, *arm;
} a = { .b = "latest", .arm = "tuned" };

static const ac_opt options[] = {
    AC_OPT_ARG("A", &a.a, "a run: its id, the beginning of its id, or its path"),
    AC_OPT_ARG_OPTIONAL("B", &a.b, "another run; \"latest\" is the default"),
    AC_OPT_GROUP("Output"),
    AC_OPT_STR(0, "arm", &a.arm, "name", "the arm whose answers are compared case by case"),
    AC_OPT_END
};

static void cell(ac_table *t, const ac_json *v)
{
    ac_str s = { 0 };
    if (!v || v->type == AC_JSON_NULL) ac_str_append_char(&s, '-');
    else if (v->type == AC_JSON_STRING) ac_str_append(&s, v->text);
    else ac_json_write(&s, v);
    if (!ac_str_ok(&s)) t->failed = true;
    ac_table_cell(t, ac_str_view(&s));
    ac_str_release(&s);
}

static ac_status table_of(ac_str *out, const ac_cli *cli, const char *title, const ac_compare *c, const ac_compare_rows *rows,
                          const char *none, ac_err *err)
{
    const char *const head[] = { "", c->side[0].id, c->side[1].id };
    ac_table t;
    ac_str_appendf(out, "\n%s\n", title);
    if (!rows->n) {
        ac_str_appendf(out, "  %s\n", none);
        return AC_OK;
    }
    ac_table_init(&t, "lll", head);
    for (size_t i = 0; i < rows->n; i++) {
        ac_table_cell(&t, ac_view_of(rows->row[i].key));
        cell(&t, rows->row[i].value[0]);
        cell(&t, rows->row[i].value[1]);
    }
    const ac_status st = ac_table_render(&t, out, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    return st;
}

/* Speeds of a run that was disturbed are not set beside others. */
static void times(ac_str *out, const ac_cli *cli, const ac_compare *c)
{
    if (c->timed) return;
    ac_str_append_c(out, "  times and tokens a second are not compared:\n");
    for (size_t i = 0; i < 2; i++) {
        if (!c->side[i].timing.n) continue;
        ac_str_appendf(out, "  %c is ", i ? 'B' : 'A');
        ac_timing_text(out, cli, &c->side[i].timing);
        ac_str_append_char(out, '\n');
    }
}

static void loss_cell(ac_table *t, double v)
{
    if (isnan(v)) ac_table_cell(t, AC_VIEW("-"));
    else ac_table_cellf(t, "%.4f", v);
}

static ac_status curve(ac_str *out, const ac_cli *cli, const ac_compare *c, ac_err *err)
{
    const char *const head[] = { "step", "loss A", "loss B", "validation A", "validation B" };
    ac_table t;
    ac_str_append_c(out, "\ncurves\n");
    ac_table_init(&t, "rrrrr", head);
    for (size_t i = 0; i < c->n_points; i++) {
        const ac_compare_point *p = &c->point[i];
        ac_table_cellf(&t, "%llu", (unsigned long long)p->step);
        loss_cell(&t, p->loss[0]);
        loss_cell(&t, p->loss[1]);
        loss_cell(&t, p->valid[0]);
        loss_cell(&t, p->valid[1]);
    }
    const ac_status st = ac_table_render(&t, out, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    return st;
}

static void trace_line(ac_str *out, const ac_compare *c)
{
    if (!c->n_trace[0] || !c->n_trace[1]) ac_str_append_c(out, "\ntrace: one of the two runs has none\n");
    else if (c->first_difference)
        ac_str_appendf(out, "\ntrace: the first difference in bits is at step %llu\n", (unsigned long long)c->first_difference);
    else ac_str_appendf(out, "\ntrace: the same bits in all %zu step%s\n", c->n_trace[0], ac_plural(c->n_trace[0]));
}

static ac_status cases(ac_str *out, const ac_cli *cli, const ac_compare *c, ac_err *err)
{
    const char *const head[] = { "case", "class", "A", "B", "what B said" };
    ac_table t;
    ac_str_appendf(out, "\ncases (arm %s)\n", a.arm);
    if (!c->n_both) {
        ac_str_append_c(out, "  no case that both runs answered with this arm\n");
        return AC_OK;
    }
    ac_str_appendf(out, "  both passed %zu, both failed %zu, only A %zu, only B %zu of %zu; mid-p %.4f\n", c->both_pass,
                   c->both_fail, c->only[0], c->only[1], c->n_both, c->mid_p);
    if (c->other_cases) ac_str_appendf(out, "  %zu case%s in one of the two only: the sealed sets differ\n", c->other_cases,
                                       c->other_cases == 1 ? " stands" : "s stand");
    ac_str_append_c(out, "  (to choose between runs, look at the validation loss: choosing by sealed cases uses them up)\n");
    if (!c->n_case) return AC_OK;
    ac_table_init(&t, "lllll", head);
    for (size_t i = 0; i < c->n_case; i++) {
        const ac_compare_case *k = &c->cases[i];
        ac_table_cell(&t, k->id);
        ac_table_cell(&t, k->cls);
        ac_table_cell(&t, k->pass[0] ? AC_VIEW("pass") : AC_VIEW("fail"));
        ac_table_cell(&t, k->pass[1] ? AC_VIEW("pass") : AC_VIEW("fail"));
        ac_table_cell(&t, ac_view_slice(k->text[1], 0, 60));
    }
    const ac_status st = ac_table_render(&t, out, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    return st;
}

static ac_status text(ac_str *out, const ac_cli *cli, const ac_compare *c, ac_err *err)
{
    ac_str_appendf(out, "A %s\nB %s\n", c->side[0].dir, c->side[1].dir);
    ac_status st = table_of(out, cli, "configuration", c, &c->config, "the same in every key", err);
    if (!st) st = table_of(out, cli, "machine and program", c, &c->fingerprint, "the same", err);
    if (!st) st = table_of(out, cli, "result", c, &c->result, "the same", err);
    if (!st) times(out, cli, c);
    if (!st) st = curve(out, cli, c, err);
    if (!st) trace_line(out, c);
    if (!st) st = table_of(out, cli, "verdict", c, &c->verdict, "none in either run", err);
    return st ? st : cases(out, cli, c, err);
}

static void rows_json(ac_jw *w, const char *key, const ac_compare_rows *rows)
{
    ac_jw_array(w, key);
    for (size_t i = 0; i < rows->n; i++) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "key", rows->row[i].key);
        for (size_t s = 0; s < 2; s++) ac_compare_value_json(w, s ? "b" : "a", rows->row[i].value[s]);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
}

static void points_json(ac_jw *w, const ac_compare *c)
{
    ac_jw_array(w, "curve");
    for (size_t i = 0; i < c->n_points; i++) {
        const ac_compare_point *p = &c->point[i];
        ac_jw_object(w, NULL);
        ac_jw_u64(w, "step", p->step);
        ac_jw_f64(w, "loss_a", p->loss[0]);
        ac_jw_f64(w, "loss_b", p->loss[1]);
        ac_jw_f64(w, "valid_a", p->valid[0]);
        ac_jw_f64(w, "valid_b", p->valid[1]);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
}

static void cases_json(ac_jw *w, const ac_compare *c)
{
    ac_jw_object(w, "cases");
    ac_jw_cstr(w, "arm", a.arm);
    ac_jw_u64(w, "both", c->n_both);
    ac_jw_u64(w, "both_pass", c->both_pass);
    ac_jw_u64(w, "both_fail", c->both_fail);
    ac_jw_u64(w, "only_a", c->only[0]);
    ac_jw_u64(w, "only_b", c->only[1]);
    ac_jw_u64(w, "in_one_run_only", c->other_cases);
    ac_jw_f64(w, "mid_p", c->mid_p);
    ac_jw_array(w, "different");
    for (size_t i = 0; i < c->n_case; i++) {
        ac_jw_object(w, NULL);
        ac_jw_str(w, "id", c->cases[i].id);
        ac_jw_str(w, "class", c->cases[i].cls);
        ac_jw_bool(w, "pass_a", c->cases[i].pass[0]);
        ac_jw_bool(w, "pass_b", c->cases[i].pass[1]);
        ac_jw_str(w, "text_a", c->cases[i].text[0]);
        ac_jw_str(w, "text_b", c->cases[i].text[1]);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static void json(ac_str *out, const ac_compare *c)
{
    ac_jw w;
    ac_jw_init(&w, out, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "a", c->side[0].id);
    ac_jw_cstr(&w, "b", c->side[1].id);
    rows_json(&w, "configuration", &c->config);
    rows_json(&w, "fingerprint", &c->fingerprint);
    rows_json(&w, "result", &c->result);
    ac_jw_object(&w, "timing");
    ac_jw_bool(&w, "compared", c->timed);
    for (size_t i = 0; i < 2; i++) {
        ac_jw_object(&w, i ? "b" : "a");
        ac_timing_json(&w, &c->side[i].timing);
        ac_jw_end_object(&w);
    }
    ac_jw_end_object(&w);
    points_json(&w, c);
    if (c->first_difference) ac_jw_u64(&w, "first_different_step", c->first_difference);
    else ac_jw_null(&w, "first_different_step");
    rows_json(&w, "verdict", &c->verdict);
    cases_json(&w, c);
    ac_jw_end_object(&w);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_compare c = { .n_both = 0 };
    ac_str s = { 0 };
    char *dir[2] = { NULL, NULL };
    ac_status st = ac_run_find(&dir[0], &arena, ".", a.a, err);
    if (!st) st = ac_run_find(&dir[1], &arena, ".", a.b, err);
    if (!st && strcmp(dir[0], dir[1]) == 0) st = ac_fail(err, AC_EARG, "both are run %s; name two runs", ac_run_id(dir[0]));
    if (!st) st = ac_compare_runs(&c, &arena, dir[0], dir[1], a.arm, err);
    if (!st && cli->json) json(&s, &c);
    else if (!st) st = text(&s, cli, &c, err);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_compare = {
    .name = "compare",
    .group = "Look",
    .summary = "two runs side by side: configuration, machine, curves, verdicts, cases",
    .text = "Only what differs is listed, except for the curves and the result. Times and tokens a second are compared only where "
            "the telemetry of both runs shows that nothing disturbed them; else it is said why not.",
    .options = options,
    .run = run,
};
