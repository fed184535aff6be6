#include "report/report.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "ledger/cost.h"
#include "ledger/telemetry.h"
#include "report/report_int.h"

#define MAX_FILE ((size_t)256 << 20)
#define MAX_LINE ((size_t)1 << 20)

static const char style[] =
    ":root{color-scheme:light dark;--fg:#1c2024;--bg:#fff;--mute:#667;--line:#dde;--card:#f6f7fa;--a:#2563a8;--b:#c2560c;"
    "--ok:#1a7f37;--no:#b42318}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6e8ec;--bg:#14171b;--mute:#98a;--line:#333a44;--card:#1d2229;--a:#6aa9e9;"
    "--b:#f0964e;--ok:#4cc26b;--no:#ff7b6e}}"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1100px;margin:2rem auto;padding:0 1rem}"
    "h1{margin:0 0 .2rem}h2{margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}"
    ".note,.why,.tick,.legend{color:var(--mute);font-size:.85rem}table{border-collapse:collapse;width:100%;font-size:.92rem}"
    "th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600}"
    ".num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.hash,code,pre{font-family:ui-monospace,monospace;"
    "font-size:.82rem;overflow-wrap:anywhere}pre{white-space:pre-wrap;margin:.3rem 0}svg{width:100%;height:auto}"
    "svg.bar{width:220px;vertical-align:middle}.back{fill:var(--line)}.fill{fill:var(--a)}.ci{stroke:var(--fg);stroke-width:2}"
    ".grid{stroke:var(--line)}.tick{fill:var(--mute);font-size:12px}polyline{fill:none}.raw{stroke:var(--a);opacity:.25}"
    ".train{stroke:var(--a);stroke-width:2}polyline.valid{stroke:var(--b);stroke-width:2}circle.valid{fill:var(--b)}"
    ".key{display:inline-block;width:1.6em;height:.25em;vertical-align:middle;margin:0 .3em 0 1em}.key.train{background:var(--a)}"
    ".key.valid{background:var(--b)}.verdict{display:inline-block;padding:.3rem .9rem;border-radius:.4rem;font-weight:700;"
    "font-size:1.3rem;color:#fff;background:var(--mute)}.verdict.WIN{background:var(--ok)}.verdict.LOSS{background:var(--no)}"
    ".case{border:1px solid var(--line);border-radius:.4rem;margin:.4rem 0;padding:.35rem .7rem;background:var(--card)}"
    "summary{cursor:pointer}.cls{color:var(--mute);font-size:.85rem}.mark{margin:0 .1rem;font-weight:700}.mark.pass,.pass .arm"
    "{color:var(--ok)}.mark.fail,.fail .arm{color:var(--no)}.turn{margin:.4rem 0}.role{color:var(--mute);font-size:.8rem;"
    "display:inline-block;min-width:5.5rem}.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:.6rem}"
    ".answer{border-top:2px solid var(--line);padding-top:.2rem}.arm{font-weight:600}"
    ".void{color:var(--no);font-weight:600}.green{fill:var(--ok)}.yellow{fill:#d9a400}.red{fill:#d1382c}.emergency{fill:#8a1c7c}"
    "rect.tint{opacity:.14}.paused{fill:var(--mute)}.full{fill:var(--line)}.small{fill:var(--a);opacity:.55}"
    ".foot{stroke:var(--a);stroke-width:2}.avail{stroke:var(--ok);stroke-width:2}.range{fill:var(--a);opacity:.22}"
    ".range.avail{fill:var(--ok);stroke:none}.limit{stroke:var(--no);stroke-dasharray:6 4}.act{stroke:var(--fg);opacity:.45;"
    "stroke-dasharray:2 3}.mark rect{fill:var(--fg)}.mark text{fill:var(--bg);font-size:11px;font-weight:600}"
    ".seam{stroke:var(--fg)}.panel{fill:var(--mute);font-size:12px;font-weight:600}.strip{fill:var(--fg);font-size:11px}.strip.on{fill:var(--bg)}"
    "table.acts td{padding:.2rem .6rem}";

/* ---- reading -------------------------------------------------------------------------------------------- */

/* A JSON file of the run; *out is NULL when there is none. */
static ac_status read_optional(const ac_json **out, ac_arena *a, const char *dir, const char *name, ac_err *err)
{
    const char *path = ac_path_join(a, dir, name);
    const ac_json_limits limits = { .max_bytes = MAX_FILE };
    *out = NULL;
    if (!path) return ac_fail_nomem(err, strlen(dir));
    return ac_path_exists(path) ? ac_json_parse_file(out, path, a, &limits, err) : AC_OK;
}

typedef struct {
    ac_point *p;
    size_t n, cap;
} points;

static bool add_point(points *list, ac_arena *a, double step, double value)
{
    if (list->n == list->cap) {
        const size_t cap = list->cap ? list->cap * 2 : 256;
        ac_point *bigger = ac_arena_alloc_array(a, cap, sizeof *bigger);
        if (!bigger) return false;
        if (list->n) memcpy(bigger, list->p, list->n * sizeof *bigger);
        list->p = bigger;
        list->cap = cap;
    }
    list->p[list->n++] = (ac_point){ step, value, step };
    return true;
}

static ac_status add_line(ac_view line, size_t number, const char *path, ac_arena *a, points *train, points *valid,
                          ac_err *err)
{
    const ac_json *o = NULL;
    const ac_status st = ac_json_parse(&o, line, a, path, number, NULL, err);
    if (st) return st;
    const double step = ac_json_number_or(o, "step", -1), loss = ac_json_number_or(o, "loss", -1);
    if (step < 0 || loss < 0) return AC_OK;
    const ac_view kind = ac_json_text_or(o, "event", "");
    points *to = ac_view_eq_str(kind, "step") ? train : ac_view_eq_str(kind, "eval") ? valid : NULL;
    return !to || add_point(to, a, step, loss) ? AC_OK : ac_fail_nomem(err, sizeof(ac_point));
}

static ac_status read_curves(ac_curves *out, ac_arena *a, const char *dir, ac_err *err)
{
    const char *path = ac_path_join(a, dir, "metrics.jsonl");
    ac_lines *lines = NULL;
    points train = { 0 }, valid = { 0 };
    if (!path) return ac_fail_nomem(err, strlen(dir));
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_lines_open(&lines, path, MAX_LINE, err);
    while (!st) {
        ac_view line;
        size_t number;
        st = ac_lines_next(lines, &line, &number, err);
        if (st || !line.ptr) break;
        /* The tree borrows from the line only until the next one is read, and nothing of it is kept. */
        if (ac_view_trim(line).len) st = add_line(line, number, path, a, &train, &valid, err);
    }
    ac_lines_close(&lines);
    *out = (ac_curves){ .train = train.p, .valid = valid.p, .n_train = train.n, .n_valid = valid.n };
    return st;
}

/* What the guard saw, *there false when it kept no record. One that cannot be read is no reason to show no report: the
 * times are VOID then, with what is wrong with it. */
static ac_status read_guard(ac_tel *t, bool *there, ac_arena *a, const char *dir, ac_err *err)
{
    const char *path = ac_path_join(a, dir, AC_TELEMETRY_FILE);
    ac_err own = { 0 };
    if (!path) return ac_fail_nomem(err, strlen(dir));
    const ac_status st = ac_path_exists(path) ? ac_tel_read(t, path, &own) : AC_OK;
    *there = !st && t->n_samples > 0;
    return st == AC_ENOMEM ? ac_fail(err, st, "%s", own.text) : AC_OK;
}

/* Puts the points to the times at which their steps were finished; those that have none go. */
static size_t to_time(ac_point *p, size_t n, const ac_tel *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        p[i].x = ac_tel_time_of_step(t, p[i].step);
        if (p[i].x >= 0) p[kept++] = p[i];
    }
    return kept;
}

/* ---- the page --------------------------------------------------------------------------------------------- */

static void verdict_badge(ac_str *out, ac_view outcome)
{
    if (!outcome.len) {
        ac_str_append_c(out, "<p class=\"note\">Not scored yet: <code>accord ab</code> gives the verdict.</p>\n");
        return;
    }
    const char *cls = ac_view_eq_str(outcome, "WIN") ? " WIN" : ac_view_eq_str(outcome, "LOSS") ? " LOSS" : "";
    ac_str_appendf(out, "<p><span class=\"verdict%s\">", cls);
    ac_html_text(out, outcome);
    ac_str_append_c(out, "</span></p>\n");
}

static void head(ac_str *out, const ac_json *run, const ac_json *verdict)
{
    const ac_view id = ac_json_text_or(run, "id", "run");
    ac_str_append_c(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                         "content=\"width=device-width,initial-scale=1\"><title>Accord run ");
    ac_html_text(out, id);
    ac_str_append_c(out, "</title><style>");
    ac_str_append_c(out, style);
    ac_str_append_c(out, "</style></head><body>\n<h1>Accord run ");
    ac_html_text(out, id);
    ac_str_append_c(out, "</h1>\n<p class=\"note\">");
    ac_html_text(out, ac_json_text_or(run, "state", "?"));
    ac_str_append_c(out, " &middot; base ");
    ac_html_text(out, ac_json_text_or(run, "base_model", "?"));
    ac_str_append_c(out, " &middot; started ");
    ac_html_text(out, ac_json_text_or(run, "started", "?"));
    ac_str_append_c(out, "</p>\n");
    verdict_badge(out, ac_json_text_or(verdict, "verdict", ""));
}

static void verdict_part(ac_str *out, const ac_json *verdict)
{
    if (!verdict) return;
    ac_str_append_c(out, "<h2>Verdict</h2>\n");
    ac_html_arms(out, verdict);
    ac_str_append_c(out, "<br>\n");
    ac_html_comparisons(out, verdict);
    ac_str_appendf(out, "<p class=\"note\">Openings of the sealed cases: %.0f &middot; locks of this contract: %.0f</p>\n",
                   ac_json_number_or(verdict, "openings", 0), ac_json_number_or(verdict, "locks", 0));
}

static void figure(ac_str *out, const char *name, const ac_json *run, const char *key, int digits, double scale)
{
    const ac_json *v = ac_json_get(run, key);
    if (!v || v->type != AC_JSON_NUMBER) return;
    ac_str_appendf(out, "<tr><td>%s</td><td class=\"num\">%.*f</td></tr>\n", name, digits, v->number * scale);
}

/* A figure that is a time, or made of one. */
static void time_figure(ac_str *out, const char *name, const ac_json *run, const char *key, const ac_run_void *v)
{
    const ac_json *n = ac_json_get(run, key);
    if (!n || n->type != AC_JSON_NUMBER) return;
    ac_str_appendf(out, "<tr><td>%s%s</td><td class=\"num\">%.1f</td></tr>\n", name,
                   v->n ? " <span class=\"void\">VOID</span>" : "", n->number);
}

static void void_note(ac_str *out, const ac_run_void *v)
{
    if (!v->n) return;
    ac_str_append_c(out, "<p class=\"note\"><span class=\"void\">VOID for timing claims:</span> ");
    for (size_t i = 0; i < v->n; i++) {
        if (i) ac_str_append_c(out, "; ");
        ac_html_text(out, ac_view_of(v->why[i]));
    }
    ac_str_append_c(out, ".</p>\n");
}

static void training_part(ac_str *out, const ac_json *run, ac_curves *c, const ac_tel *t, const ac_run_void *v)
{
    ac_str_append_c(out, "<h2>Training</h2>\n");
    if (t) {
        c->n_train = to_time(c->train, c->n_train, t);
        c->n_valid = to_time(c->valid, c->n_valid, t);
        ac_html_guard_curves(out, c, t);
    } else {
        ac_html_loss_curve(out, c);
    }
    ac_str_append_c(out, "<table><tbody>\n");
    figure(out, "steps", run, "steps", 0, 1);
    figure(out, "first loss", run, "first_loss", 5, 1);
    figure(out, "last loss", run, "last_loss", 5, 1);
    figure(out, "best validation loss", run, "best_valid_loss", 5, 1);
    figure(out, "best step", run, "best_step", 0, 1);
    figure(out, "tokens computed", run, "tokens", 0, 1);
    figure(out, "tokens supervised", run, "supervised_tokens", 0, 1);
    time_figure(out, "training, seconds", run, "train_seconds", v);
    time_figure(out, "tokens a second", run, "tokens_per_second", v);
    figure(out, "peak memory, MB", run, "peak_rss_bytes", 0, 1e-6);
    time_figure(out, "CPU seconds", run, "cpu_seconds", v);
    ac_str_append_c(out, "</tbody></table>\n");
    void_note(out, v);
    if (t) ac_html_guard_sums(out, t);
}

static void hash_row(ac_str *out, const char *name, const ac_json *o, const char *key)
{
    const ac_view v = ac_json_text_or(o, key, "");
    if (!v.len) return;
    ac_str_appendf(out, "<tr><td>%s</td><td class=\"hash\">", name);
    ac_html_text(out, v);
    ac_str_append_c(out, "</td></tr>\n");
}

/* Every plain value of env.json, objects one level deep. */
static void env_rows(ac_str *out, const ac_json *o, ac_view prefix)
{
    for (const ac_json *v = o ? o->child : NULL; v; v = v->next) {
        if (v->type == AC_JSON_OBJECT && !prefix.len) {
            env_rows(out, v, v->key);
            continue;
        }
        ac_str plain = { 0 };
        ac_str_append_c(out, "<tr><td>");
        ac_html_text(out, prefix);
        if (prefix.len) ac_str_append_c(out, ".");
        ac_html_text(out, v->key);
        ac_str_append_c(out, "</td><td class=\"hash\">");
        if (v->type == AC_JSON_STRING) ac_str_append(&plain, v->text);
        else ac_json_write(&plain, v);
        ac_html_text(out, ac_str_view(&plain));
        ac_str_release(&plain);
        ac_str_append_c(out, "</td></tr>\n");
    }
}

static void hashes_part(ac_str *out, const ac_json *run, const ac_json *env)
{
    ac_str_append_c(out, "<h2>Hashes</h2>\n<table><tbody>\n");
    hash_row(out, "lock", run, "lock");
    hash_row(out, "adapter", run, "adapter_sha256");
    hash_row(out, "trace", run, "trace_sha256");
    ac_str_append_c(out, "</tbody></table>\n<p class=\"note\">The same contract gives the same adapter hash on every CPU; "
                         "<code>trace.jsonl</code> tells at which step two runs parted.</p>\n<h2>Machine</h2>\n<table><tbody>\n");
    env_rows(out, env, (ac_view){ NULL, 0 });
    ac_str_append_c(out, "</tbody></table>\n");
}

/* A cost.json that cannot be read is said, and the rest of the page stands. */
static ac_status cost_part(ac_str *out, const char *run_dir, ac_err *err)
{
    ac_str line = { 0 };
    ac_err own = { "" };
    const ac_status st = ac_cost_run_sentence(&line, run_dir, &own);
    if (st == AC_ENOMEM) {
        ac_str_release(&line);
        return ac_fail(err, st, "%s", own.text);
    }
    ac_str_append_c(out, "<p>Cost: ");
    ac_html_text(out, st ? ac_view_of(own.text) : ac_str_view(&line));
    ac_str_append_c(out, "</p>\n");
    ac_str_release(&line);
    return AC_OK;
}

ac_status ac_report_html(ac_str *out, const char *run_dir, ac_err *err)
{
    ac_arena a = { 0 };
    ac_curves curves = { 0 };
    ac_tel tel = { 0 };
    ac_run_void timing = { 0 };
    bool watched = false;
    const ac_json *run = NULL, *verdict = NULL, *env = NULL;
    ac_status st = read_optional(&run, &a, run_dir, "run.json", err);
    if (!st && !run)
        st = ac_fail(err, AC_ENOENT, "%s: no run.json; name a run folder (accord runs lists them)", run_dir);
    if (!st) st = read_optional(&verdict, &a, run_dir, "verdict.json", err);
    if (!st) st = read_optional(&env, &a, run_dir, "env.json", err);
    if (!st) st = read_curves(&curves, &a, run_dir, err);
    if (!st) st = read_guard(&tel, &watched, &a, run_dir, err);
    if (!st) st = ac_run_void_read(&timing, &a, run_dir, err);
    if (!st) {
        head(out, run, verdict);
        verdict_part(out, verdict);
        training_part(out, run, &curves, watched ? &tel : NULL, &timing);
        st = cost_part(out, run_dir, err);
        if (verdict) {
            ac_str_append_c(out, "<h2>Cases</h2>\n");
            ac_html_cases(out, verdict);
        }
        hashes_part(out, run, env);
        ac_str_append_c(out, "</body></html>\n");
        if (!ac_str_ok(out)) st = ac_fail_nomem(err, out->len);
    }
    ac_tel_release(&tel);
    ac_arena_release(&a);
    return st;
}
