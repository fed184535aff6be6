#include "cli/triage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/proc.h"
#include "base/sysmem.h"
#include "base/time.h"
#include "cli/train_run.h"
#include "eval/cases.h"
#include "eval/stats.h"
#include "ledger/ledger.h"
#include "rag/rag.h"

#define DAY_NS (86400LL * 1000000000LL)
#define AUDIT_LINE_MAX ((size_t)1 << 20)
#define VERDICT_MAX ((size_t)256 << 20)

/* Answers of fewer letters stand in any text by chance. */
#define ANSWER_LEAST ((size_t)8)

typedef struct {
    ac_triage_facts *f;
    ac_cli *cli;
    ac_contract *c;
    ac_arena *a;
    ac_row_file rows;
    ac_cases cases;
    size_t n_versions, n_texts;
} work;

static ac_status path_of(const char **out, work *w, const char *path, ac_err *err)
{
    *out = ac_contract_path(w->c, path);
    return *out ? AC_OK : ac_fail_nomem(err, strlen(path));
}

/* ---- rows ---- */

static const ac_message *target_of(const ac_row *r)
{
    for (size_t i = r->n_messages; i-- > 0;)
        if (r->message[i].role == AC_ROLE_ASSISTANT) return &r->message[i];
    return NULL;
}

static ac_status measure_rows(work *w, ac_err *err)
{
    const char *path = NULL;
    size_t n = 0;
    ac_status st = path_of(&path, w, w->c->v.train, err);
    if (!st) st = ac_rows_read(&w->rows, path, AC_FORMAT_AUTO, err);
    if (st) return st;
    w->f->n_rows = w->rows.n;
    ac_view *target = ac_arena_alloc_array(w->a, w->rows.n + 1, sizeof *target);
    if (!target) return ac_fail_nomem(err, w->rows.n * sizeof *target);
    for (size_t i = 0; i < w->rows.n && w->rows.format != AC_FORMAT_TEXT; i++) {
        const ac_message *m = target_of(&w->rows.row[i]);
        if (!m) continue;
        target[n++] = m->content.len || !m->tool_calls.len ? m->content : m->tool_calls;
        w->n_versions += ac_text_names_version(m->content);
    }
    w->n_texts += n;
    w->f->format_share = (double)NAN;
    return n ? ac_text_form_share(&w->f->format_share, &w->f->format, target, n, w->a, err) : AC_OK;
}

/* ---- documents ---- */

static bool stands_in(const ac_str *words, ac_view text, ac_str *room, ac_err *err)
{
    ac_str_reset(room);
    if (ac_text_words(room, text, err)) return false;
    return ac_view_find(ac_str_view(words), ac_str_view(room), 0) != SIZE_MAX;
}

static ac_status answers_in(work *w, const ac_rag_text *doc, size_t n_docs, ac_err *err)
{
    ac_str all = { 0 }, one = { 0 };
    size_t found = 0;
    ac_status st = AC_OK;
    for (size_t i = 0; i < n_docs && !st; i++) st = ac_text_words(&all, doc[i].text, err);
    for (size_t i = 0; i < w->cases.n && !st; i++) {
        const ac_case *k = &w->cases.item[i];
        if (k->cls == AC_CLASS_REFUSAL || ac_view_trim(k->ideal).len < ANSWER_LEAST) continue;
        w->f->n_answers++;
        found += stands_in(&all, k->ideal, &one, err);
        if (!ac_str_ok(&one)) st = ac_fail_nomem(err, one.len);
    }
    w->f->corpus_share = w->f->n_answers ? (double)found / (double)w->f->n_answers : (double)NAN;
    ac_str_release(&all);
    ac_str_release(&one);
    return st;
}

/* Distinct names that git tells of commits since then, counted among the documents of today. */
static ac_status git_churn(work *w, const char *dir, const ac_rag_text *doc, size_t n, bool *known, ac_err *err)
{
    char since[64];
    ac_str out = { 0 };
    int code = 0;
    (void)snprintf(since, sizeof since, "--since=%lld.days", (long long)w->c->v.triage_churn_days);
    const char *const argv[] = { "git", "-C", dir, "log", since, "--relative", "--name-only", "--pretty=format:", "--", ".", NULL };
    const char *const any[] = { "git", "-C", dir, "log", "-1", "--pretty=%H", "--", ".", NULL };
    *known = false;
    ac_status st = ac_proc_run(any, NULL, &out, &code, NULL);
    if (!st && code == 0 && ac_view_trim(ac_str_view(&out)).len) {
        ac_str_reset(&out);
        st = ac_proc_run(argv, NULL, &out, &code, NULL);
        *known = !st && code == 0;
    }
    for (size_t i = 0; i < n && *known; i++) {
        ac_str line = { 0 };
        ac_str_appendf(&line, "\n%s\n", doc[i].name);
        ac_str_append_char(&out, '\n');
        ac_view all = ac_str_view(&out);
        const bool first = all.len > line.len - 1 && ac_view_eq(ac_view_slice(all, 0, line.len - 1), ac_view_slice(ac_str_view(&line), 1, line.len));
        w->f->n_docs_changed += first || ac_view_find(all, ac_str_view(&line), 0) != SIZE_MAX;
        if (!ac_str_ok(&line)) *known = false;
        ac_str_release(&line);
    }
    ac_str_release(&out);
    return st == AC_ENOMEM ? ac_fail_nomem(err, 0) : AC_OK;
}

static ac_status churn(work *w, const char *dir, const ac_rag_text *doc, size_t n, ac_err *err)
{
    bool known = false;
    ac_status st = git_churn(w, dir, doc, n, &known, err);
    if (st) return st;
    w->f->churn_method = "git";
    if (!known) {
        const int64_t from = ac_utc_ns() - w->c->v.triage_churn_days * DAY_NS;
        w->f->churn_method = "file times";
        for (size_t i = 0; i < n && !st; i++) {
            int64_t at = 0;
            st = ac_file_mtime_ns(doc[i].path, &at, err);
            w->f->n_docs_changed += at >= from;
        }
    }
    w->f->churn_share = n ? (double)w->f->n_docs_changed / (double)n : (double)NAN;
    return st;
}

static ac_status measure_docs(work *w, ac_err *err)
{
    ac_arena own = { 0 };
    ac_rag_text *doc = NULL;
    const char *dir = NULL;
    size_t n = 0;
    w->f->corpus_share = w->f->churn_share = (double)NAN;
    if (!w->c->v.docs) return AC_OK;
    ac_status st = path_of(&dir, w, w->c->v.docs, err);
    if (!st) st = ac_rag_texts(&doc, &n, &own, dir, err);
    w->f->n_docs = n;
    if (!st) st = answers_in(w, doc, n, err);
    if (!st) st = churn(w, dir, doc, n, err);
    ac_arena_release(&own);
    return st;
}

/* ---- cases and what was scored on them ---- */

static ac_status measure_cases(work *w, ac_err *err)
{
    const char *path = NULL;
    ac_status st = path_of(&path, w, w->c->v.cases, err);
    if (!st) st = ac_cases_read(&w->cases, path, err);
    if (st) return st;
    w->f->n_cases = w->cases.n;
    w->f->smallest_gain = ac_stats_smallest_gain(w->cases.n);
    for (size_t i = 0; i < w->cases.n; i++) w->n_versions += ac_text_names_version(w->cases.item[i].ideal);
    w->n_texts += w->cases.n;
    w->f->version_share = w->n_texts ? (double)w->n_versions / (double)w->n_texts : (double)NAN;
    return AC_OK;
}

static double points_of(const ac_json *verdict, const char *arm)
{
    const ac_json *arms = ac_json_get(verdict, "arms");
    for (const ac_json *c = arms ? arms->child : NULL; c; c = c->next) {
        const ac_json *name = ac_json_get(c, "arm"), *passed = ac_json_get(c, "passed"), *n = ac_json_get(c, "cases");
        if (!name || name->type != AC_JSON_STRING || !ac_view_eq_str(name->text, arm)) continue;
        if (passed && n && passed->type == AC_JSON_NUMBER && n->type == AC_JSON_NUMBER && n->number > 0)
            return 100 * passed->number / n->number;
    }
    return (double)NAN;
}

/* The scores count when the file is about the cases of today. */
static ac_status take_scores(work *w, const char *path, const char *what, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = VERDICT_MAX };
    const ac_json *v = NULL;
    if (!ac_path_exists(path)) return AC_OK;
    const ac_status st = ac_json_parse_file(&v, path, w->a, &limits, err);
    if (st) return st;
    const ac_json *list = ac_json_get(v, "by_case");
    if (!list || list->n != w->cases.n) return AC_OK;
    size_t i = 0;
    for (const ac_json *k = list->child; k; k = k->next, i++) {
        const ac_json *id = ac_json_get(k, "id");
        if (!id || id->type != AC_JSON_STRING || !ac_view_eq(id->text, w->cases.item[i].id)) return AC_OK;
    }
    const double base = points_of(v, "base"), rag = points_of(v, "rag");
    if (!isnan(base)) w->f->base_points = base;
    if (!isnan(rag)) w->f->rag_points = rag;
    if (!isnan(base) || !isnan(rag)) w->f->measured_by = what;
    return AC_OK;
}

/* ---- earlier runs ---- */

static double number(const ac_json *o, const char *key)
{
    const ac_json *v = o ? ac_json_get(o, key) : NULL;
    return v && v->type == AC_JSON_NUMBER ? v->number : (double)NAN;
}

static ac_status take_run(work *w, const ac_run_info *r, ac_err *err)
{
    char *path = ac_path_join(w->a, r->path, "run.json");
    const ac_json *o = NULL;
    if (!path) return ac_fail_nomem(err, 128);
    ac_status st = ac_json_parse_file(&o, path, w->a, NULL, err);
    if (st) return st;
    const double peak = number(ac_json_get(o, "memory"), "planned_peak_bytes");
    const double seconds = number(o, "train_seconds"), steps = number(o, "steps"), total = number(o, "total_steps");
    if (peak > 0 && peak < 9e15) {
        w->f->need_bytes = (int64_t)peak;
        w->f->need_method = "planned by the newest run";
    }
    if (seconds > 0 && steps > 0 && total > 0) {
        w->f->hours = seconds / steps * total / 3600;
        w->f->hours_method = ac_arena_printf(w->a, "as run %s went", r->id);
        if (!w->f->hours_method) return ac_fail_nomem(err, 64);
    }
    path = ac_path_join(w->a, r->path, "verdict.json");
    const char *what = ac_arena_printf(w->a, "run %s", r->id);
    if (!path || !what) return ac_fail_nomem(err, 128);
    return take_scores(w, path, what, err);
}

static ac_status measure_runs(work *w, ac_err *err)
{
    ac_run_info *list = NULL;
    size_t n = 0;
    ac_status st = ac_runs_list(&list, &n, w->a, ".", err);
    for (size_t i = 0; i < n && !st; i++)                   /* oldest first: the newest that knows wins */
        if (strcmp(list[i].state, "trained") == 0) st = take_run(w, &list[i], err);
    return st ? st : take_scores(w, ".accord/untuned.json", "accord ab --untuned", err);
}

/* Without a run, the base's own size is the least that it needs. */
static ac_status measure_machine(work *w, ac_err *err)
{
    const char *model = NULL;
    uint64_t bytes = 0;
    w->f->total_bytes = ac_memory_total();
    if (w->f->need_bytes >= 0) return AC_OK;
    const ac_status st = ac_contract_model_path(w->c, &model, err);
    if (st || ac_path_is_dir(model)) return st;
    if (ac_file_size(model, &bytes, NULL) == AC_OK && bytes < INT64_MAX) {
        w->f->need_bytes = (int64_t)bytes;
        w->f->need_method = "the base alone";
    }
    return AC_OK;
}

static ac_status measure_sweeps(work *w, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    char from[32];
    size_t number_of_line = 0;
    if (!ac_path_exists(".accord/audit.jsonl")) return AC_OK;
    ac_utc_iso(from, ac_utc_ns() - 7 * DAY_NS);
    ac_status st = ac_lines_open(&l, ".accord/audit.jsonl", AUDIT_LINE_MAX, err);
    while (!st) {
        ac_arena own = { 0 };
        const ac_json *o = NULL;
        st = ac_lines_next(l, &line, &number_of_line, err);
        if (st || !line.ptr) break;
        st = ac_json_parse(&o, line, &own, ".accord/audit.jsonl", number_of_line, NULL, err);
        const ac_json *act = st ? NULL : ac_json_get(o, "act"), *utc = st ? NULL : ac_json_get(o, "utc");
        if (act && utc && act->type == AC_JSON_STRING && utc->type == AC_JSON_STRING)
            w->f->sweeps_last_week += ac_view_eq_str(act->text, "sweep") && ac_view_cmp(utc->text, ac_view_of(from)) >= 0;
        ac_arena_release(&own);
    }
    ac_lines_close(&l);
    return st;
}

ac_status ac_triage_measure(ac_triage_facts *out, ac_cli *cli, ac_contract *c, ac_arena *a, ac_err *err)
{
    ac_triage_facts f = { .base_points = (double)NAN, .rag_points = (double)NAN, .hours = (double)NAN, .need_bytes = -1 };
    work w = { .f = &f, .cli = cli, .c = c, .a = a };
    ac_status st = ac_contract_files(c, AC_NAMES_TRAIN | AC_NAMES_CASES | AC_NAMES_OTHERS, err);
    if (!st) st = measure_rows(&w, err);
    if (!st) st = measure_cases(&w, err);
    if (!st) st = measure_docs(&w, err);
    if (!st) st = measure_runs(&w, err);
    if (!st) st = measure_machine(&w, err);
    if (!st) st = measure_sweeps(&w, err);
    ac_cases_release(&w.cases);
    ac_rows_release(&w.rows);
    if (!st) *out = f;
    return st;
}
