/* Parts without an end, and all parts of a project. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "ledger/cost.h"
#include "ledger/ledger.h"
#include "ledger/telemetry.h"

#define LINE_MAX_BYTES ((size_t)64 << 10)
#define MOST_SECONDS 1e12

/* ---- C5 ---- */

/* Seconds of the lines of metrics.jsonl behind `from`. */
static double metrics_seconds(const char *path, uint64_t from, int64_t *tokens)
{
    ac_lines *l = NULL;
    ac_view line;
    double sum = 0;
    if (ac_lines_open(&l, path, LINE_MAX_BYTES, NULL)) return 0;
    while (ac_lines_next(l, &line, NULL, NULL) == AC_OK && line.ptr) {
        ac_arena a = { 0 };
        const ac_json *o = NULL;
        if (ac_json_parse(&o, line, &a, "", 1, NULL, NULL) == AC_OK) {
            const ac_json *step = ac_json_get(o, "step"), *seconds = ac_json_get(o, "seconds"), *n = ac_json_get(o, "tokens");
            const bool ours = step && step->type == AC_JSON_NUMBER && step->number > (double)from;
            if (ours && seconds && seconds->type == AC_JSON_NUMBER && seconds->number > 0 && seconds->number < 1e9) sum += seconds->number;
            if (ours && n && n->type == AC_JSON_NUMBER && n->number > 0 && n->number < 1e9) *tokens += (int64_t)n->number;
        }
        ac_arena_release(&a);
    }
    ac_lines_close(&l);
    return sum < MOST_SECONDS ? sum : 0;
}

/* How long the guard saw it, when the last of its sessions is this part's. */
static double guard_seconds(const char *path, uint64_t from, double *cpu)
{
    ac_tel t = { .until = 0 };
    double seconds = 0;
    if (ac_tel_read(&t, path, NULL) == AC_OK && t.n_sessions) {
        const ac_tel_session *s = &t.session[t.n_sessions - 1];
        if (s->resumed_at == from) {
            seconds = s->until - s->from;
            if (t.last.sample && t.last.cpu_seconds > 0) *cpu = t.last.cpu_seconds;
        }
    }
    ac_tel_release(&t);
    return seconds > 0 && seconds < MOST_SECONDS ? seconds : 0;
}

ac_status ac_cost_complete(ac_cost_part *p, const char *dir, ac_arena *a, ac_err *err)
{
    const char *metrics = ac_path_join(a, dir, "metrics.jsonl"), *guard = ac_path_join(a, dir, AC_TELEMETRY_FILE);
    const bool train = strcmp(p->what, "train") == 0;
    int64_t tokens = 0;
    double cpu = 0;
    if (!metrics || !guard) return ac_fail_nomem(err, 128);
    if (!train || (p->outcome && p->wall_ms >= 0)) return AC_OK;
    const double opened = p->opened_ms > 0 ? (double)p->opened_ms / 1e3 : 0;
    const double by_metrics = opened + metrics_seconds(metrics, p->from_step, &tokens);
    const double by_guard = opened + guard_seconds(guard, p->from_step, &cpu);
    const int64_t own = p->wall_ms, best = llround(1e3 * (by_guard > by_metrics ? by_guard : by_metrics));
    if (best > own && best > 0) {
        p->wall_ms = best;
        p->wall_from = by_guard > by_metrics ? "counted up to the guard's last line" : "counted up to the last line of metrics.jsonl";
    } else if (own >= 0) {
        p->wall_from = "counted up to the last checkpoint";
    }
    if (cpu > 0 && cpu < MOST_SECONDS && llround(cpu * 1e3) > p->cpu_ms) p->cpu_ms = llround(cpu * 1e3);
    if (tokens > p->tokens) p->tokens = tokens;
    if (p->mwh >= 0 && p->wall_ms > own) p->energy_at_least = true;
    return AC_OK;
}

ac_status ac_cost_run_read(ac_cost_run *out, ac_arena *a, const char *dir, ac_err *err)
{
    ac_cost_run r = { .gain = NAN };
    ac_status st = ac_cost_run_raw(&r, a, dir, err);
    for (size_t i = 0; i < r.n_parts && !st; i++) {
        st = ac_cost_complete(&r.part[i], dir, a, err);
        if (!st) ac_cost_money_of(&r.part[i].money, &r.part[i]);
    }
    if (st) return st;
    ac_cost_apply_notes(&r);
    *out = r;
    return AC_OK;
}

/* ---- all of a project ---- */

typedef struct {
    ac_cost_part *part;
    size_t n, cap;
    ac_arena *a;
} list;

static ac_status push(list *l, const ac_cost_part *p, size_t n, ac_err *err)
{
    if (l->n + n > l->cap) {
        const size_t cap = (l->n + n) * 2 + 64;
        ac_cost_part *more = ac_arena_alloc_array(l->a, cap, sizeof *more);
        if (!more) return ac_fail_nomem(err, cap * sizeof *more);
        if (l->n) memcpy(more, l->part, l->n * sizeof *more);
        l->part = more;
        l->cap = cap;
    }
    if (n) memcpy(l->part + l->n, p, n * sizeof *p);
    l->n += n;
    return AC_OK;
}

static ac_status add_lines(list *l, const char *path, ac_str *bad_lines, ac_err *err)
{
    ac_lines *f = NULL;
    ac_view line;
    size_t number = 0;
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_lines_open(&f, path, LINE_MAX_BYTES, err);
    while (!st) {
        ac_cost_part p;
        ac_err one = { "" };
        st = ac_lines_next(f, &line, &number, err);
        if (st || !line.ptr) break;
        st = ac_cost_parse_line(&p, line, path, number, l->a, &one);
        if (!st) st = push(l, &p, 1, err);
        else if (st != AC_EFORMAT) (void)ac_fail(err, st, "%s", one.text);
        else {                                               /* torn by a power cut: the others still count */
            ac_str_appendf(bad_lines, "%s\n", one.text);
            st = AC_OK;
        }
    }
    ac_lines_close(&f);
    return st;
}

/* What belongs to a run that is here has its state and verdict, too. */
static void adopt(list *l, size_t from)
{
    for (size_t i = from; i < l->n; i++)
        for (size_t k = 0; l->part[i].run && k < from; k++)
            if (strcmp(l->part[k].run, l->part[i].run) == 0) {
                l->part[i].verdict = l->part[k].verdict;
                l->part[i].state = l->part[k].state;
                l->part[i].gain = l->part[k].gain;
                break;
            }
}

ac_status ac_cost_run_lines(ac_cost_run *r, ac_str *bad_lines, ac_arena *a, const char *project, ac_err *err)
{
    list all = { .a = a }, own = { .a = a };
    const char *path = ac_path_join(a, project, ".accord/cost.jsonl");
    ac_status st = path ? push(&own, r->part, r->n_parts, err) : ac_fail_nomem(err, 64);
    if (!st) st = add_lines(&all, path, bad_lines, err);
    for (size_t i = 0; i < all.n && !st; i++) {
        ac_cost_part *p = &all.part[i];
        if (!p->run || strcmp(p->run, r->id) != 0) continue;
        p->state = r->state;
        p->verdict = r->verdict;
        p->gain = r->gain;
        st = push(&own, p, 1, err);
    }
    if (st) return st;
    r->part = own.part;
    r->n_parts = own.n;
    return AC_OK;
}

static int by_time(const void *a, const void *b)
{
    const ac_cost_part *x = a, *y = b;
    if (x->began_s != y->began_s) return x->began_s < y->began_s ? -1 : 1;
    const int c = strcmp(x->run ? x->run : "", y->run ? y->run : "");
    return c ? c : x->from_step < y->from_step ? -1 : x->from_step > y->from_step;
}

ac_status ac_cost_read_all(ac_cost_part **out, size_t *n, ac_str *bad_runs, ac_arena *a, const char *project, ac_err *err)
{
    list l = { .a = a };
    ac_run_info *runs = NULL;
    size_t n_runs = 0;
    const char *own = ac_path_join(a, project, ".accord/cost.jsonl");
    if (!own) return ac_fail_nomem(err, 64);
    ac_status st = ac_runs_list(&runs, &n_runs, a, project, err);
    for (size_t i = 0; i < n_runs && !st; i++) {
        ac_cost_run r;
        ac_err one = { "" };
        st = ac_cost_run_read(&r, a, runs[i].path, &one);
        if (st == AC_ENOMEM) return ac_fail(err, st, "%s", one.text);
        if (st) ac_str_appendf(bad_runs, "%s\n", one.text);
        st = st ? AC_OK : push(&l, r.part, r.n_parts, err);
    }
    const size_t of_runs = l.n;
    if (!st) st = add_lines(&l, own, bad_runs, err);
    if (st) return st;
    adopt(&l, of_runs);
    if (l.n) qsort(l.part, l.n, sizeof *l.part, by_time);
    if (!ac_str_ok(bad_runs)) return ac_fail_nomem(err, bad_runs->len);
    *out = l.part;
    *n = l.n;
    return AC_OK;
}
