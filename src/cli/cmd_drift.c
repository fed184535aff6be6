/* drift: production chats against what the model was trained and tested on (plan/drift.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/drift.h"
#include "cli/table.h"
#include "ledger/ledger.h"

static ac_drift_opts a = { .sample = 300, .add = 10, .novel_limit = 0.2, .psi_limit = 0.25, .unseen_limit = 0.2,
                           .refusal_limit = 10 };

static const ac_opt options[] = {
    AC_OPT_GROUP("Input"),
    AC_OPT_PATH_REQ('l', "logs", &a.logs, "file", "chats from production, JSON lines in any format of training rows"),
    AC_OPT_INT(0, "sample", &a.sample, 20, 100000, "n", "texts of each kind that are turned into vectors; drawn with seed 0"),
    AC_OPT_GROUP("Limits; over one of them the answer is \"drifted\""),
    AC_OPT_F64(0, "novel", &a.novel_limit, 0, 1, "share", "of chats further from every row than rows are from each other"),
    AC_OPT_F64(0, "psi", &a.psi_limit, 0, 100, "index", "population stability index over topics"),
    AC_OPT_F64(0, "unseen", &a.unseen_limit, 0, 1, "share", "of words that no training row has"),
    AC_OPT_F64(0, "refusals", &a.refusal_limit, 0, 100, "points", "by which the share of refusals differs from the rows'"),
    AC_OPT_GROUP("Output"),
    AC_OPT_INT('n', "add", &a.add, 0, 1000, "n", "chats to suggest as new cases"),
    AC_OPT_PATH('o', "output", &a.output, "file", "write them as cases that still lack their ideal answers"),
    AC_OPT_END
};

typedef struct {
    const char *what, *logs, *rows, *limit;
    bool over;
} line;

typedef struct {
    size_t n, over;
    line row[12];
    ac_arena *arena;
    bool failed;
} lines;

#define TEXT(l, ...) text((l), ac_arena_printf((l)->arena, __VA_ARGS__))
static const char *text(lines *l, const char *s)
{
    if (!s) l->failed = true;
    return s ? s : "";
}

static void put(lines *l, const char *what, const char *logs, const char *rows, const char *limit, bool over)
{
    l->row[l->n++] = (line){ what, logs, rows, limit, over };
    l->over += over;
}

static const char *percent(lines *l, double share)
{
    return isnan(share) ? "unknown: under 20 rows" : TEXT(l, "%.1f %%", 100 * share);
}

static void build(lines *l, const ac_drift_result *r)
{
    for (size_t i = 0; i < 2; i++) {
        const ac_drift_lengths *n = &r->length[i];
        /* With many texts any difference is significant: it must also be one that can be felt. */
        put(l, i ? "words an answer, median and 95 of 100" : "words a question, median and 95 of 100",
            TEXT(l, "%.0f, %.0f", n->log_median, n->log_p95), TEXT(l, "%.0f, %.0f", n->row_median, n->row_p95),
            TEXT(l, "KS %.2f (p %.3f); 0.20 and p 0.01", n->ks, n->p), n->ks > 0.2 && n->p < 0.01);
    }
    put(l, "words that no row has", percent(l, r->unseen_share), "-", percent(l, a.unseen_limit), r->unseen_share > a.unseen_limit);
    put(l, "unlike every row", percent(l, r->novel_share), "5.0 %", percent(l, a.novel_limit), r->novel_share > a.novel_limit);
    put(l, "topics, stability index", TEXT(l, "%.3f", r->topics.psi), "0", TEXT(l, "%.3f", a.psi_limit), r->topics.psi > a.psi_limit);
    put(l, "refusals", percent(l, r->refusal_logs), percent(l, r->refusal_rows), TEXT(l, "%.0f points", a.refusal_limit),
        fabs(r->refusal_logs - r->refusal_rows) * 100 > a.refusal_limit);
    put(l, "sealed cases among the chats", TEXT(l, "%zu", r->leaks.n), "-", "0", r->leaks.n > 0);
}

static ac_status table(ac_str *s, const ac_cli *cli, const lines *l, ac_err *err)
{
    static const char *const head[] = { "", "production", "rows", "limit", "" };
    ac_table t;
    ac_table_init(&t, "llll" "l", head);
    for (size_t i = 0; i < l->n; i++) {
        ac_table_cell(&t, ac_view_of(l->row[i].what));
        ac_table_cell(&t, ac_view_of(l->row[i].logs));
        ac_table_cell(&t, ac_view_of(l->row[i].rows));
        ac_table_cell(&t, ac_view_of(l->row[i].limit));
        ac_table_cell(&t, l->row[i].over ? AC_VIEW("OVER") : AC_VIEW(""));
    }
    const ac_status st = ac_table_render(&t, s, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    return st;
}

static void short_text(ac_str *s, const ac_cli *cli, ac_view v)
{
    ac_str one = { 0 };
    const ac_view cut = ac_view_slice(v, 0, 90);
    for (size_t i = 0; i < cut.len; i++) ac_str_append_char(&one, cut.ptr[i] == '\n' ? ' ' : cut.ptr[i]);
    ac_cli_foreign(s, cli, ac_str_view(&one));
    if (cut.len < v.len) ac_str_append_c(s, "...");
    if (!ac_str_ok(&one)) s->failed = true;
    ac_str_release(&one);
}

static void details(ac_str *s, const ac_cli *cli, const ac_drift_result *r)
{
    if (r->n_words) {
        ac_str_append_c(s, "\nnew words: ");
        for (size_t i = 0; i < r->n_words; i++) ac_str_appendf(s, "%s%s (%zu)", i ? ", " : "", r->word[i].word, r->word[i].count);
        ac_str_append_char(s, '\n');
    }
    ac_str_append_c(s, "\ntopics (share of rows, share of chats, an example)\n");
    for (size_t i = 0; i < r->topics.n; i++) {
        ac_str_appendf(s, "  %5.1f %%  %5.1f %%  ", 100 * r->topics.topic[i].row_share, 100 * r->topics.topic[i].log_share);
        short_text(s, cli, r->topic_text[i]);
        ac_str_append_char(s, '\n');
    }
    for (size_t i = 0; i < r->leaks.n; i++)
        ac_str_appendf(s, "%s%s\n", i ? "" : "\nsealed cases that production has seen: keep these chats out of training\n",
                       r->leaks.finding[i].text);
    if (r->n_far) ac_str_append_c(s, "\ncases to add: furthest from what is trained and tested, each unlike the others\n");
    for (size_t i = 0; i < r->n_far; i++) {
        ac_str_appendf(s, "  %s:%zu (%.3f)  ", a.logs, r->far[i].line, r->far[i].distance);
        short_text(s, cli, r->far[i].question);
        ac_str_append_char(s, '\n');
    }
}

static void json(ac_str *s, const lines *l, const ac_drift_result *r)
{
    ac_jw w;
    ac_jw_init(&w, s, false);
    ac_jw_object(&w, NULL);
    ac_jw_bool(&w, "drifted", l->over > 0);
    ac_jw_u64(&w, "chats", r->n_logs);
    ac_jw_u64(&w, "rows", r->n_rows);
    ac_jw_array(&w, "measures");
    for (size_t i = 0; i < l->n; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "what", l->row[i].what);
        ac_jw_cstr(&w, "production", l->row[i].logs);
        ac_jw_cstr(&w, "rows", l->row[i].rows);
        ac_jw_cstr(&w, "limit", l->row[i].limit);
        ac_jw_bool(&w, "over", l->row[i].over);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_f64(&w, "unseen_share", r->unseen_share);
    ac_jw_f64(&w, "novel_share", r->novel_share);
    ac_jw_f64(&w, "psi", r->topics.psi);
    ac_jw_f64(&w, "refusals_chats", r->refusal_logs);
    ac_jw_f64(&w, "refusals_rows", r->refusal_rows);
    ac_jw_u64(&w, "sealed_cases_seen", r->leaks.n);
    ac_jw_array(&w, "cases_to_add");
    for (size_t i = 0; i < r->n_far; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_u64(&w, "line", r->far[i].line);
        ac_jw_f64(&w, "distance", r->far[i].distance);
        ac_jw_str(&w, "question", r->far[i].question);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
}

/* Cases without an ideal answer: freeze refuses them until a person has written it. */
static ac_status write_cases(const ac_drift_result *r, ac_err *err)
{
    ac_str s = { 0 };
    if (ac_path_exists(a.output)) return ac_fail(err, AC_ECREATE, "%s: is there already; name another file", a.output);
    for (size_t i = 0; i < r->n_far; i++) {
        char id[64];
        ac_jw w;
        (void)snprintf(id, sizeof id, "drift-%zu", r->far[i].line);
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "id", id);
        ac_jw_cstr(&w, "class", "edge");
        ac_jw_str(&w, "input", r->far[i].question);
        ac_jw_end_object(&w);
        ac_str_append_char(&s, '\n');
    }
    const ac_status st = ac_str_ok(&s) ? ac_file_write_atomic(a.output, s.ptr ? s.ptr : "", s.len, err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status show(ac_cli *cli, lines *l, const ac_drift_result *r, ac_err *err)
{
    ac_str s = { 0 };
    ac_status st = AC_OK;
    build(l, r);
    if (l->failed) return ac_fail_nomem(err, 256);
    if (cli->json) {
        json(&s, l, r);
    } else {
        ac_str_appendf(&s, "%zu chat%s against %zu row%s and %zu case%s\n", r->n_logs, ac_plural(r->n_logs), r->n_rows,
                       ac_plural(r->n_rows), r->n_cases, ac_plural(r->n_cases));
        st = table(&s, cli, l, err);
        details(&s, cli, r);
        if (l->over) ac_str_appendf(&s, "\nDRIFT: %zu of %zu measures over their limits\n", l->over, l->n);
        else ac_str_append_c(&s, "\nDRIFT: none that these measures can see\n");
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_drift_result r = { .n_logs = 0 };
    lines l = { .arena = &arena };
    char fields[128];
    ac_status st = ac_drift_measure(&r, &arena, cli, &a, err);
    if (!st && a.output) st = write_cases(&r, err);
    if (!st) st = show(cli, &l, &r, err);
    (void)snprintf(fields, sizeof fields, "\"chats\":%zu,\"drifted\":%s", r.n_logs, l.over ? "true" : "false");
    if (!st) st = ac_audit_append(".", "drift", fields, err);
    if (!st && l.over) st = AC_ENO;
    ac_findings_release(&r.leaks);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_drift = {
    .name = "drift",
    .group = "After a run",
    .summary = "do production chats still look like the rows and cases",
    .text = "Lengths, words, topics (by the base model's own states), refusals, sealed cases that came back as questions, and "
            "chats worth adding to the cases. The exit code is 1 when a measure is over its limit.",
    .options = options,
    .run = run,
};
