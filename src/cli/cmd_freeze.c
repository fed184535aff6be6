#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/freeze_check.h"
#include "cli/keys.h"
#include "cli/prml.h"
#include "cli/project.h"
#include "eval/grade.h"
#include "eval/stats.h"
#include "ledger/ledger.h"

static struct {
    bool accept_small;
    ac_opt_list accept_finding, accept_leak;
    const char *reason;
} a;

static const ac_opt options[] = {
    AC_OPT_GROUP("Exceptions, kept in the lock and in the audit log"),
    AC_OPT_BOOL(0, "accept-small", &a.accept_small, "take fewer cases than a verdict should have; needs --reason"),
    AC_OPT_LIST(0, "accept-finding", &a.accept_finding, "id", "take this finding as it is; needs --reason"),
    AC_OPT_LIST(0, "accept-leak", &a.accept_leak, "id", "the same, by the name that it has elsewhere"),
    AC_OPT_STR(0, "reason", &a.reason, "text", "why"),
    AC_OPT_END
};

static ac_status check(ac_err *err)
{
    const bool wanted = a.accept_small || a.accept_leak.n || a.accept_finding.n;
    const bool given = a.reason && ac_view_trim(ac_view_of(a.reason)).len;
    if (wanted && !given)
        return ac_fail(err, AC_EARG, "--accept-small and --accept-finding need --reason \"why\"; it stays in the lock");
    if (!wanted && a.reason)
        return ac_fail(err, AC_EARG, "--reason has no meaning without --accept-small or --accept-finding");
    return AC_OK;
}

/* Both options' ids, each once: what the checks and the records go by. */
static size_t accepted(const char *out[2 * AC_OPT_LIST_MAX])
{
    size_t n = 0;
    const ac_opt_list *const lists[] = { &a.accept_finding, &a.accept_leak };
    for (size_t k = 0; k < AC_COUNTOF(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            size_t j = 0;
            while (j < n && strcmp(out[j], lists[k]->item[i]) != 0) j++;
            if (j == n) out[n++] = lists[k]->item[i];
        }
    return n;
}

/* The inside of the audit record and of the --json answer. */
static void fields(ac_str *s, const ac_lock *l, const char *hex)
{
    const char *ids[2 * AC_OPT_LIST_MAX];
    const size_t n = accepted(ids);
    ac_str_appendf(s, "\"lock\":\"%s\",\"number\":%llu,\"cases\":%zu,\"success\":%zu,\"refusal\":%zu,\"edge\":%zu", hex,
                   (unsigned long long)l->number, l->n_cases, l->n_class[0], l->n_class[1], l->n_class[2]);
    char gain[32];
    ac_format_f64(gain, l->smallest_gain_points);
    ac_str_appendf(s, ",\"smallest_visible_gain_points\":%s", gain);
    if (a.accept_small) ac_str_append_c(s, ",\"accept_small\":true");
    if (n) {
        ac_str_append_c(s, ",\"accepted\":[");
        for (size_t i = 0; i < n; i++) {
            if (i) ac_str_append_char(s, ',');
            ac_json_quote(s, ac_view_of(ids[i]));
        }
        ac_str_append_char(s, ']');
    }
    if (a.reason) {
        ac_str_append_c(s, ",\"reason\":");
        ac_json_quote(s, ac_view_of(a.reason));
    }
}

/* With documents there is a rag arm, so tuned is compared twice. */
static double shared_gain(const ac_lock *l)
{
    const ac_json *n = ac_json_get(ac_json_get(l->tree, "cases"), "clusters");
    return ac_stats_smallest_gain_of(n && n->number > 0 ? (size_t)n->number : 0, 2);
}

static ac_status show(ac_cli *cli, const ac_lock *l, const char *hex, const ac_str *report, const ac_str *inside, bool two,
                      ac_err *err)
{
    ac_str s = { 0 };
    if (cli->json) {
        ac_str_appendf(&s, "{%s,", ac_str_c(inside));
        if (two) ac_str_appendf(&s, "\"smallest_visible_gain_points_of_two\":%.1f,", shared_gain(l));
        ac_str_append_c(&s, "\"report\":");
        ac_json_quote(&s, ac_str_view(report));
        ac_str_append_c(&s, "}");
    } else {
        ac_cli_foreign(&s, cli, ac_str_view(report));
        if (report->len && report->ptr[report->len - 1] != '\n') ac_str_append_char(&s, '\n');
        ac_str_appendf(&s, "accord.lock %s: %.16s..., %zu case%s (%zu success, %zu refusal, %zu edge)\n",
                       l->unchanged ? "unchanged" : "written", hex,
                       l->n_cases, ac_plural(l->n_cases), l->n_class[0], l->n_class[1], l->n_class[2]);
        ac_str_appendf(&s, "the smallest net gain that so many cases can show: %.1f points", l->smallest_gain_points);
        if (two) ac_str_appendf(&s, "; %.1f where two comparisons share the risk", shared_gain(l));
        ac_str_append_c(&s, "\n");
        if (!ac_json_get(ac_json_get(l->tree, "cases"), "canary"))
            ac_str_append_c(&s, "advice: the cases have no canary, so nobody can find out later whether they were learnt from; "
                            "docs/formats/cases.md shows the line\n");
    }
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

/* Tries each reference answer on its own case's graders (contract.h, ac_check_reference). */
static ac_status check_references(void *ctx, const char *database, const char *refusal, const char *cases_path,
                                  ac_str *problems, size_t *n_problems, ac_err *err)
{
    ac_cases cases = { .n = 0 };
    ac_grade_ctx *g = NULL;
    ac_arena arena = { 0 };
    AC_UNUSED(ctx);
    ac_status st = ac_cases_read(&cases, cases_path, err);
    if (!st) st = ac_grade_open(&g, database, refusal, err);
    for (size_t i = 0; i < cases.n && !st; i++) {
        ac_grade grade = { 0 };
        st = ac_grade_reference(g, &cases.item[i], &arena, &grade, err);
        if (st || grade.pass) continue;
        ++*n_problems;
        ac_str_appendf(problems, "BLOCKS   %s:%zu: the reference of case \"" AC_VIEW_FMT "\" fails: " AC_VIEW_FMT "\n",
                       cases_path, cases.item[i].line, AC_VIEW_ARG(cases.item[i].id), AC_VIEW_ARG(grade.why));
    }
    if (!st && !ac_str_ok(problems)) st = ac_fail_nomem(err, problems->len);
    ac_grade_close(&g);
    ac_cases_release(&cases);
    ac_arena_release(&arena);
    return st;
}

/* The record names the lock before and what differs; the pre-registration lies beside the new lock. */
static ac_status record(const ac_lock *l, const ac_lock *before, const ac_contract *c, ac_str *inside, ac_err *err)
{
    ac_str text = { 0 };
    char hex[AC_SHA256_HEX];
    ac_status st = AC_OK;
    if (before->tree) {
        ac_sha256_hex(hex, &before->hash);
        ac_str_appendf(inside, ",\"previous\":\"%s\",\"changed\":", hex);
        st = ac_lock_changes(inside, before->tree, l->tree, err);
    }
    if (!st) st = ac_prml_text(&text, l, c, ac_utc_ns(), err);
    if (!st) st = ac_file_write_atomic("accord.prml.yaml", text.ptr, text.len, err);
    if (!st) st = ac_str_ok(inside) ? ac_audit_append(".", "freeze", ac_str_c(inside), err) : ac_fail_nomem(err, inside->len);
    ac_str_release(&text);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_contract c = { .dir = NULL };
    ac_lock l = { .n_cases = 0 }, before = { .n_cases = 0 };
    ac_str report = { 0 }, inside = { 0 };
    char hex[AC_SHA256_HEX];
    const char *ids[2 * AC_OPT_LIST_MAX];
    const size_t n_ids = accepted(ids);
    const ac_freeze_opts o = { .check_reference = check_references, .check_model = ac_freeze_check_model, .sink = &cli->sink,
                               .accept_small_reason = a.accept_small ? a.reason : NULL,
                               .accept_leak = ids, .n_accept_leak = n_ids,
                               .accept_leak_reason = n_ids ? a.reason : NULL };
    ac_view key = { NULL, 0 };
    ac_status st = check(err);
    if (!st) st = ac_keys_audit(&key, err);               /* a lock that could not be recorded is not to be written */
    if (!st) st = ac_contract_read(&c, ".", err);
    if (!st) {
        (void)ac_lock_read(&before, &c, NULL);            /* none, or one that freeze itself will judge */
        st = ac_freeze(&l, &c, &o, &report, err);
        /* What was found is worth reading when it was refused, too. */
        if (st && report.len && ac_str_ok(&report) && !cli->json) {
            ac_str s = { 0 };
            ac_cli_foreign(&s, cli, ac_str_view(&report));
            (void)ac_cli_result(cli, &s, NULL);
            ac_str_release(&s);
        }
        if (st) st = ac_project_refused("freeze", st, err);
    }
    if (!st) {
        ac_sha256_hex(hex, &l.hash);
        fields(&inside, &l, hex);
        if (l.unchanged) ac_str_append_c(&report, "the lock that is there seals exactly this already; it stays\n");
        else st = record(&l, &before, &c, &inside, err);
    }
    if (!st) st = show(cli, &l, hex, &report, &inside, c.v.docs != NULL, err);
    ac_str_release(&inside);
    ac_str_release(&report);
    ac_lock_release(&before);
    ac_lock_release(&l);
    ac_contract_release(&c);
    return st;
}

static const char *const examples[] = {
    "accord freeze",
    "accord freeze --accept-small --reason 'pilot: 20 cases until the interviews are done'",
    NULL
};

const ac_cmd ac_cmd_freeze = {
    .name = "freeze",
    .group = "Tune",
    .summary = "check everything that accord.yaml names, and seal it in accord.lock",
    .text = "Rows, cases, references against their own graders, and leaks between them are checked, and all of it is searched "
            "for secrets, personal data and hidden characters; then the hashes of "
            "model, rows, cases, documents and every resolved setting are written to accord.lock. Training needs it, and "
            "stops when anything it seals has changed. A refusal leaves the old lock as it was.",
    .examples = examples,
    .options = options,
    .run = run,
};
