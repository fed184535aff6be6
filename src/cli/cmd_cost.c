/* cost: what runs cost, by whom, when, and for what. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "base/user.h"
#include "cli/commands.h"
#include "cli/cost_clock.h"
#include "cli/cost_show.h"
#include "ledger/ledger.h"

static struct {
    const char *run, *since, *until, *person, *tag, *note, *reason;
    int by;
    double kwh;
    bool csv, focus;
} a = { .by = AC_COST_BY_RUN };

static const ac_opt options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\"; none: all of this project"),
    AC_OPT_GROUP("What is counted"),
    AC_OPT_ENUM(0, "by", &a.by, ac_cost_by_names, "what a row stands for"),
    AC_OPT_STR(0, "since", &a.since, "day", "from this day (2026-01-31) or week (2026-W05) on, in UTC"),
    AC_OPT_STR(0, "until", &a.until, "day", "up to this day or week, which is counted too"),
    AC_OPT_STR(0, "person", &a.person, "text", "only persons whose name, address or login holds this"),
    AC_OPT_STR(0, "tag", &a.tag, "word", "only what carries this tag"),
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL(0, "csv", &a.csv, "print rows with commas: the parts themselves, or those of --by person, project, week, verdict, tag"),
    AC_OPT_BOOL(0, "focus", &a.focus, "print CSV with the columns of FOCUS 1.2, a row a line of money"),
    AC_OPT_GROUP("A figure of your own"),
    AC_OPT_STR(0, "note", &a.note, "run", "book --kwh as the energy of this run so far, in place of what was measured"),
    AC_OPT_F64(0, "kwh", &a.kwh, 0, 1e6, "n", "kilowatt-hours"),
    AC_OPT_STR(0, "reason", &a.reason, "text", "where the figure is from; kept with it and in the audit log"),
    AC_OPT_END
};

/* ---- what is counted ---- */

/* A day or a week; end: the first second behind it. */
static ac_status moment(int64_t *out, const char *option, const char *text, bool end, ac_err *err)
{
    const ac_view v = ac_view_of(text);
    int64_t week = 0;
    if (v.len == 10 && ac_cost_date_parse(out, v)) *out += end ? 86400 : 0;
    else if (ac_cost_week_parse(&week, v)) *out = week + (end ? 7 * 86400 : 0);
    else return ac_fail(err, AC_EARG, "--%s: \"%s\" is neither a day like 2026-01-31 nor a week like 2026-W05", option, text);
    return AC_OK;
}

static bool holds(const char *text, const char *part)
{
    return text && ac_view_find(ac_view_of(text), ac_view_of(part), 0) != SIZE_MAX;
}

static bool has_tag(const char *list, const char *tag)
{
    ac_view rest = ac_view_of(list);
    while (rest.len) {
        const size_t comma = ac_view_find(rest, AC_VIEW(","), 0);
        if (ac_view_eq_str(ac_view_trim(ac_view_slice(rest, 0, comma)), tag)) return true;
        rest = comma == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, comma + 1, rest.len);
    }
    return false;
}

static ac_status filter(ac_cost_view *v, ac_err *err)
{
    int64_t from = INT64_MIN, to = INT64_MAX;
    size_t kept = 0;
    ac_status st = a.since ? moment(&from, "since", a.since, false, err) : AC_OK;
    if (!st && a.until) st = moment(&to, "until", a.until, true, err);
    if (st) return st;
    for (size_t i = 0; i < v->n; i++) {
        const ac_cost_part *p = &v->part[i];
        if (p->began_s < from || p->began_s >= to) continue;
        if (a.person && !holds(p->person, a.person) && !holds(p->user, a.person)) continue;
        if (a.tag && !has_tag(p->tags, a.tag)) continue;
        v->part[kept++] = *p;
    }
    v->n = kept;
    return AC_OK;
}

/* ---- a person's figure ---- */

static ac_status record_note(const ac_cost_run *r, const ac_cost_note *n, ac_err *err)
{
    ac_str s = { 0 };
    ac_str_appendf(&s, "\"run\":\"%s\",\"kwh\":%lld.%06lld,\"parts\":%zu,\"by\":", r->id, (long long)(n->mwh / 1000000),
                   (long long)(n->mwh % 1000000), n->n_parts);
    ac_json_quote(&s, ac_view_of(n->by));
    ac_str_append_c(&s, ",\"reason\":");
    ac_json_quote(&s, ac_view_of(n->reason));
    const ac_status st = ac_str_ok(&s) ? ac_audit_append(".", "cost-note", ac_str_c(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status note(ac_cost_run *r, ac_arena *arena, const char *dir, ac_err *err)
{
    char utc[32], user[AC_USER_NAME];
    const char *person = NULL;
    ac_status st = ac_cost_run_raw(r, arena, dir, err);
    if (!st && (!r->n_parts || !r->part[r->n_parts - 1].outcome))
        st = ac_fail(err, AC_EARG, "run %s: its last part has not ended; note its energy afterwards", r->id);
    if (!st) st = ac_cost_person(&person, arena, err);
    ac_cost_note *all = st ? NULL : ac_arena_alloc_array(arena, r->n_notes + 1, sizeof *all);
    if (!st && !all) st = ac_fail_nomem(err, sizeof *all);
    if (st) return st;
    ac_utc_iso(utc, ac_utc_ns());
    ac_user_name(user);
    if (r->n_notes) memcpy(all, r->note, r->n_notes * sizeof *all);
    all[r->n_notes] = (ac_cost_note){ .utc = utc, .by = person ? person : user, .reason = a.reason, .mwh = llround(a.kwh * 1e6),
                                      .n_parts = r->n_parts };
    r->note = all;
    r->n_notes++;
    st = record_note(r, &all[r->n_notes - 1], err);          /* an act is recorded before its outcome (A2) */
    return st ? st : ac_cost_run_write(r, err);
}

/* ---- the command ---- */

static ac_status check(ac_err *err)
{
    if (a.note && (!(a.kwh > 0) || !a.reason || !a.reason[0])) return ac_fail(err, AC_EARG, "--note needs --kwh above 0 and --reason");
    if (!a.note && (a.kwh > 0 || a.reason)) return ac_fail(err, AC_EARG, "--kwh and --reason go with --note RUN");
    if (a.note && (a.run || a.csv || a.focus)) return ac_fail(err, AC_EARG, "--note stands alone");
    if (a.csv && a.focus) return ac_fail(err, AC_EARG, "--csv and --focus are two formats; choose one");
    if (a.run && (a.since || a.until || a.person || a.tag || a.by != AC_COST_BY_RUN))
        return ac_fail(err, AC_EARG, "--by, --since, --until, --person and --tag choose among all runs; leave RUN out");
    return AC_OK;
}

static ac_status one_run(ac_cli *cli, ac_cost_view *v, ac_str *s, ac_str *bad, const char *name, ac_err *err)
{
    ac_cost_run r = { .n_parts = 0 };
    char *dir = NULL;
    ac_status st = ac_run_find(&dir, v->arena, ".", name, err);
    if (!st && a.note) st = note(&r, v->arena, dir, err);
    if (!st) st = ac_cost_run_read(&r, v->arena, dir, err);
    if (!st) st = ac_cost_run_lines(&r, bad, v->arena, ".", err);
    v->part = r.part;
    v->n = r.n_parts;
    if (!st && !a.csv && !a.focus) st = ac_cost_show_run(s, cli, &r, v->arena, err);
    return st;
}

static ac_status all_runs(ac_cli *cli, ac_cost_view *v, ac_str *s, ac_str *bad, ac_err *err)
{
    ac_status st = ac_cost_read_all(&v->part, &v->n, bad, v->arena, ".", err);
    v->unreadable = ac_str_c(bad);
    if (!st) st = filter(v, err);
    if (st || a.csv || a.focus) return st;
    return cli->json ? ac_cost_json_table(s, v, err) : ac_cost_show_table(s, cli, v, err);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str s = { 0 }, bad = { 0 };
    ac_cost_view v = { .by = (ac_cost_by)a.by, .arena = &arena, .unreadable = "" };
    const char *name = a.note ? a.note : a.run;
    size_t left_out = 0;
    ac_status st = check(err);
    if (!st) st = name ? one_run(cli, &v, &s, &bad, name, err) : all_runs(cli, &v, &s, &bad, err);
    if (!st && a.focus) st = ac_cost_csv_focus(&s, &v, &left_out, err);
    if (!st && a.csv && (name || v.by == AC_COST_BY_RUN)) ac_cost_csv_parts(&s, &v);
    else if (!st && a.csv) st = ac_cost_csv_table(&s, &v, err);
    if (!st && left_out) {
        char text[160];
        (void)snprintf(text, sizeof text, "at least: %zu of %zu part%s not in it, or not wholly; accord cost tells why", left_out, v.n,
                       v.n == 1 ? " is" : "s are");
        ac_cli_note(cli, text);
    }
    if (!st && (name || a.csv || a.focus) && bad.len) ac_cli_note(cli, "some of what is booked here cannot be read and is not in it; accord cost tells what");
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_str_release(&bad);
    ac_arena_release(&arena);
    return st;
}

static const char *const examples[] = {
    "accord cost latest",
    "accord cost --by person --since 2026-W05 --until 2026-W05",
    "accord cost --focus --since 2026-01-01 >costs.csv",
    "accord cost --note latest --kwh 0.42 --reason 'meter at the wall'",
    NULL
};

const ac_cmd ac_cmd_cost = {
    .name = "cost",
    .group = "Look",
    .summary = "what runs cost in time, energy and money, by whom and for what",
    .text = "Every training, stopped and failed ones too, every scoring and every verification is booked where it happens, with "
            "the method by which its energy was measured. Money is counted by the rates in the run's own lock (cost.* of the "
            "contract). What could not be measured is named and never counted as zero: such a sum says \"at least\" (\">=\").\n\n"
            "Sums are exact: a row is the sum of its parts, and the total that of the rows.",
    .examples = examples,
    .options = options,
    .run = run,
};
