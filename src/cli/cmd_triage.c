/* triage: facts from the project, thresholds from the contract, one verdict (plan/triage.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/table.h"
#include "cli/triage.h"
#include "contract/contract.h"
#include "ledger/ledger.h"


static const ac_opt options[] = { AC_OPT_END };

static ac_triage_rules rules_of(const ac_contract_values *v)
{
    return (ac_triage_rules){
        .corpus_share = v->triage_corpus_share, .churn_share = v->triage_churn_share, .churn_days = v->triage_churn_days,
        .version_share = v->triage_version_share, .format_share = v->triage_format_share, .few_rows = v->triage_few_rows,
        .local_rows = v->triage_local_rows, .many_rows = v->triage_many_rows, .trials = v->triage_trials,
        .many_trials = v->triage_many_trials, .bar = v->triage_bar, .headroom_gib = v->triage_headroom_gib,
        .local_hours = v->triage_local_hours, .sweeps_a_week = v->triage_sweeps_a_week,
    };
}

static void json(ac_str *s, const ac_triage *t, const char *moved)
{
    ac_jw w;
    ac_jw_init(&w, s, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "verdict", ac_triage_name(t->verdict));
    ac_jw_bool(&w, "tune", t->verdict == AC_TRIAGE_HERE || t->verdict == AC_TRIAGE_NODE);
    ac_jw_array(&w, "reasons");
    for (size_t i = 0; i < t->n_reasons; i++) ac_jw_cstr(&w, NULL, t->reason[i]);
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "thresholds_moved_because", moved);
    ac_jw_array(&w, "signals");
    for (size_t i = 0; i < t->n_rows; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "signal", t->row[i].signal);
        ac_jw_cstr(&w, "evidence", t->row[i].evidence);
        ac_jw_cstr(&w, "threshold", t->row[i].threshold);
        ac_jw_cstr(&w, "speaks_for", t->row[i].speaks_for);
        ac_jw_bool(&w, "decided", t->row[i].decided);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
}

static ac_status text(ac_str *s, const ac_cli *cli, const ac_triage *t, const char *moved, ac_err *err)
{
    static const char *const head[] = { "signal", "evidence", "threshold", "speaks for", "" };
    ac_table table;
    ac_table_init(&table, "lllll", head);
    for (size_t i = 0; i < t->n_rows; i++) {
        ac_table_cell(&table, ac_view_of(t->row[i].signal));
        ac_table_cell(&table, ac_view_of(t->row[i].evidence));
        ac_table_cell(&table, ac_view_of(t->row[i].threshold));
        ac_table_cell(&table, ac_view_of(t->row[i].speaks_for));
        ac_table_cell(&table, t->row[i].decided ? AC_VIEW("decided") : AC_VIEW(""));
    }
    const ac_status st = ac_table_render(&table, s, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&table);
    if (moved) {
        ac_str_append_c(s, "thresholds differ from their defaults because: ");
        ac_cli_foreign(s, cli, ac_view_of(moved));
        ac_str_append_char(s, '\n');
    }
    ac_str_appendf(s, "\nTRIAGE: %s\n", ac_triage_name(t->verdict));
    for (size_t i = 0; i < t->n_reasons; i++) ac_str_appendf(s, "%s\n", t->reason[i]);
    return st;
}

static ac_status record(const ac_triage *t, ac_err *err)
{
    ac_str s = { 0 };
    ac_str_append_c(&s, "\"verdict\":");
    ac_json_quote(&s, ac_view_of(ac_triage_name(t->verdict)));
    ac_str_append_c(&s, ",\"reasons\":[");
    for (size_t i = 0; i < t->n_reasons; i++) {
        if (i) ac_str_append_char(&s, ',');
        ac_json_quote(&s, ac_view_of(t->reason[i]));
    }
    ac_str_append_char(&s, ']');
    const ac_status st = ac_str_ok(&s) ? ac_audit_append(".", "triage", ac_str_c(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_contract c = { .path = NULL };
    ac_triage_facts facts;
    ac_triage t;
    ac_str s = { 0 };
    ac_status st = ac_contract_read(&c, ".", err);
    if (!st) st = ac_triage_measure(&facts, cli, &c, &arena, err);
    if (!st) {
        const ac_triage_rules rules = rules_of(&c.v);
        st = ac_triage_decide(&t, &facts, &rules, &arena, err);
    }
    if (!st) st = record(&t, err);
    if (!st && cli->json) json(&s, &t, c.v.triage_reason);
    else if (!st) st = text(&s, cli, &t, c.v.triage_reason, err);
    if (!st) st = ac_cli_result(cli, &s, err);
    if (!st && t.verdict != AC_TRIAGE_HERE && t.verdict != AC_TRIAGE_NODE) st = AC_ENO;
    ac_str_release(&s);
    ac_contract_release(&c);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_triage = {
    .name = "triage",
    .group = "Contract",
    .summary = "should this be tuned at all: prompt, retrieval, here, or on a node",
    .text = "Each line is measured from the project and stands beside its threshold, which the contract may move with a "
            "reason (triage.reason). Scores of the base model come from the newest verdict or from accord ab --untuned. "
            "The exit code is 0 when tuning is worth a try, 1 when it is not.",
    .options = options,
    .run = run,
};
