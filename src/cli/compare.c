#include "cli/compare.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "cli/project.h"
#include "eval/stats.h"

#define FILE_MAX_BYTES ((size_t)256 << 20)
#define LINE_MAX_BYTES ((size_t)1 << 20)

static ac_status read_object(const ac_json **out, ac_arena *a, const char *dir, const char *name, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = FILE_MAX_BYTES };
    char *path = NULL;
    const ac_status st = ac_run_path(&path, a, dir, name, err);
    *out = NULL;
    if (st || !ac_path_exists(path)) return st;
    return ac_json_parse_file(out, path, a, &limits, err);
}

static ac_status open_side(ac_compare *c, size_t i, ac_arena *a, const char *dir, ac_err *err)
{
    c->side[i].dir = dir;
    c->side[i].id = ac_run_id(dir);
    ac_status st = read_object(&c->side[i].run, a, dir, "run.json", err);
    if (!st && !c->side[i].run) st = ac_fail(err, AC_ENOENT, "%s: has no run.json; it is no run folder", dir);
    if (!st) st = read_object(&c->side[i].lock, a, dir, "lock.json", err);
    if (!st) st = read_object(&c->side[i].env, a, dir, "env.json", err);
    if (!st) st = ac_run_void_read(&c->side[i].timing, a, dir, err);
    return st ? st : read_object(&c->side[i].verdict, a, dir, "verdict.json", err);
}

/* ---- rows ---- */

static ac_status add_row(ac_compare_rows *r, ac_arena *a, const char *key, const ac_json *x, const ac_json *y, ac_err *err)
{
    if (!key) return ac_fail_nomem(err, 64);
    if (r->n == r->cap) {
        const size_t cap = r->cap ? r->cap * 2 : 16;
        ac_compare_row *more = ac_arena_alloc_array(a, cap, sizeof *more);
        if (!more) return ac_fail_nomem(err, cap * sizeof *more);
        if (r->n) memcpy(more, r->row, r->n * sizeof *more);
        r->row = more;
        r->cap = cap;
    }
    r->row[r->n++] = (ac_compare_row){ .key = key, .value = { x, y } };
    return AC_OK;
}

static bool same_value(const ac_json *x, const ac_json *y)
{
    ac_str s = { 0 }, t = { 0 };
    if (!x || !y) return x == y;
    ac_json_canonical(&s, x);
    ac_json_canonical(&t, y);
    const bool same = ac_str_ok(&s) && ac_str_ok(&t) && ac_view_eq(ac_str_view(&s), ac_str_view(&t));
    ac_str_release(&s);
    ac_str_release(&t);
    return same;
}

static const ac_json *get(const ac_json *o, ac_view key)
{
    if (!o || o->type != AC_JSON_OBJECT) return NULL;
    for (const ac_json *c = o->child; c; c = c->next)
        if (ac_view_eq(c->key, key)) return c;
    return NULL;
}

static char *joined(ac_arena *a, const char *prefix, ac_view key)
{
    return ac_arena_printf(a, "%s%s" AC_VIEW_FMT, prefix, prefix[0] ? "." : "", AC_VIEW_ARG(key));
}

/* Every leaf that differs; both trees are walked so that a key of one side only shows too. */
static ac_status differences(ac_compare_rows *r, ac_arena *a, const char *prefix, const ac_json *x, const ac_json *y,
                             unsigned depth, ac_err *err)
{
    const ac_json *of[2] = { x, y };
    ac_status st = AC_OK;
    for (size_t s = 0; s < 2; s++)
        for (const ac_json *c = of[s] && of[s]->type == AC_JSON_OBJECT ? of[s]->child : NULL; c && !st; c = c->next) {
            const ac_json *other = get(of[1 - s], c->key);
            if (s == 1 && other) continue;               /* seen from the first side */
            char *key = joined(a, prefix, c->key);
            const ac_json *v = s ? NULL : c, *w = s ? c : other;
            if (!key) return ac_fail_nomem(err, 64);
            if (v && w && v->type == AC_JSON_OBJECT && w->type == AC_JSON_OBJECT && depth < 8)
                st = differences(r, a, key, v, w, depth + 1, err);
            else if (!same_value(v, w)) st = add_row(r, a, key, v, w, err);
        }
    return st;
}

static ac_status results(ac_compare *c, ac_arena *a, ac_err *err)
{
    static const char *const keys[] = {
        "state", "steps", "first_loss", "last_loss", "best_step", "best_valid_loss", "tokens", "peak_rss_bytes",
        "adapter_sha256", "trace_sha256",
    };
    static const char *const times[] = { "train_seconds", "tokens_per_second", "cpu_seconds" };
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(keys) && !st; i++)
        st = add_row(&c->result, a, keys[i], ac_json_get(c->side[0].run, keys[i]), ac_json_get(c->side[1].run, keys[i]), err);
    c->timed = !c->side[0].timing.n && !c->side[1].timing.n;
    for (size_t i = 0; i < AC_COUNTOF(times) && !st && c->timed; i++)
        st = add_row(&c->result, a, times[i], ac_json_get(c->side[0].run, times[i]), ac_json_get(c->side[1].run, times[i]), err);
    return st;
}

static const ac_json *arm_of(const ac_json *verdict, ac_view name)
{
    const ac_json *arms = verdict ? ac_json_get(verdict, "arms") : NULL;
    for (const ac_json *c = arms ? arms->child : NULL; c; c = c->next) {
        const ac_json *n = ac_json_get(c, "arm");
        if (n && n->type == AC_JSON_STRING && ac_view_eq(n->text, name)) return c;
    }
    return NULL;
}

static ac_status verdict_rows(ac_compare *c, ac_arena *a, ac_err *err)
{
    static const char *const keys[] = { "verdict", "cases", "openings", "locks" };
    const ac_json *v[2] = { c->side[0].verdict, c->side[1].verdict };
    ac_status st = AC_OK;
    if (!v[0] && !v[1]) return AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(keys) && !st; i++)
        st = add_row(&c->verdict, a, keys[i], v[0] ? ac_json_get(v[0], keys[i]) : NULL,
                     v[1] ? ac_json_get(v[1], keys[i]) : NULL, err);
    for (size_t s = 0; s < 2; s++) {
        const ac_json *arms = v[s] ? ac_json_get(v[s], "arms") : NULL;
        for (const ac_json *arm = arms ? arms->child : NULL; arm && !st; arm = arm->next) {
            const ac_json *name = ac_json_get(arm, "arm");
            if (!name || name->type != AC_JSON_STRING) continue;
            const ac_json *other = arm_of(v[1 - s], name->text);
            if (s == 1 && other) continue;
            const ac_json *x = s ? NULL : ac_json_get(arm, "passed"), *y = s ? ac_json_get(arm, "passed") : NULL;
            if (!s && other) y = ac_json_get(other, "passed");
            st = add_row(&c->verdict, a, joined(a, "passed", name->text), x, y, err);
        }
    }
    return st;
}

/* ---- curves ---- */

static ac_status metrics(ac_json const ***out, size_t *n_out, ac_arena *a, const char *dir, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    size_t number = 0, n = 0, cap = 0;
    const ac_json **list = NULL;
    char *path = NULL;
    ac_status st = ac_run_path(&path, a, dir, "metrics.jsonl", err);
    if (!st && ac_path_exists(path)) st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    while (!st && l) {
        st = ac_lines_next(l, &line, &number, err);
        if (st || !line.ptr) break;
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            const ac_json **more = ac_arena_alloc_array(a, cap, sizeof *more);
            if (!more) st = ac_fail_nomem(err, cap * sizeof *more);
            else if (n) memcpy(more, list, n * sizeof *more);
            list = more;
        }
        if (!st) st = ac_json_parse(&list[n], line, a, path, number, NULL, err);
        if (!st) n++;
    }
    ac_lines_close(&l);
    *out = list;
    *n_out = n;
    return st;
}

static double number(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_NUMBER ? v->number : (double)NAN;
}

static uint64_t last_step(const ac_json *const *list, size_t n)
{
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        const double s = number(list[i], "step");
        if (s > (double)last && s < 9e15) last = (uint64_t)s;
    }
    return last;
}

/* The training loss of the step itself; the newest validation up to it. */
static void fill_point(ac_compare_point *p, size_t side, const ac_json *const *list, size_t n)
{
    p->loss[side] = p->valid[side] = (double)NAN;
    for (size_t i = 0; i < n; i++) {
        const ac_json *event = ac_json_get(list[i], "event");
        const double step = number(list[i], "step");
        if (!event || event->type != AC_JSON_STRING || !(step <= (double)p->step)) continue;
        if (ac_view_eq_str(event->text, "step") && step >= (double)p->step) p->loss[side] = number(list[i], "loss");
        if (ac_view_eq_str(event->text, "eval")) p->valid[side] = number(list[i], "loss");
    }
}

static ac_status curves(ac_compare *c, ac_arena *a, ac_err *err)
{
    const ac_json **list[2] = { NULL, NULL };
    size_t n[2] = { 0, 0 };
    uint64_t last = 0;
    for (size_t s = 0; s < 2; s++) {
        const ac_status st = metrics(&list[s], &n[s], a, c->side[s].dir, err);
        if (st) return st;
        const uint64_t own = last_step(list[s], n[s]);
        if (own > last) last = own;
    }
    const uint64_t points = last < AC_COMPARE_POINTS ? last : AC_COMPARE_POINTS;
    for (uint64_t i = 1; i <= points; i++) {
        ac_compare_point *p = &c->point[c->n_points++];
        p->step = last * i / points;
        for (size_t s = 0; s < 2; s++) fill_point(p, s, list[s], n[s]);
    }
    return AC_OK;
}

/* ---- trace ---- */

static ac_status traces(ac_compare *c, ac_arena *a, ac_err *err)
{
    ac_lines *l[2] = { NULL, NULL };
    ac_status st = AC_OK;
    for (size_t s = 0; s < 2 && !st; s++) {
        char *path = NULL;
        st = ac_run_path(&path, a, c->side[s].dir, "trace.jsonl", err);
        if (!st && ac_path_exists(path)) st = ac_lines_open(&l[s], path, LINE_MAX_BYTES, err);
    }
    for (uint64_t step = 1; !st; step++) {
        ac_view line[2] = { { NULL, 0 }, { NULL, 0 } };
        for (size_t s = 0; s < 2 && !st; s++) {
            if (l[s]) st = ac_lines_next(l[s], &line[s], NULL, err);
            if (!st && line[s].ptr) c->n_trace[s]++;
        }
        if (st || (!line[0].ptr && !line[1].ptr)) break;
        const bool same = line[0].ptr && line[1].ptr && ac_view_eq(line[0], line[1]);
        if (!same && !c->first_difference) c->first_difference = step;
    }
    for (size_t s = 0; s < 2; s++) ac_lines_close(&l[s]);
    return st;
}

/* ---- cases ---- */

static const ac_json *case_of(const ac_json *verdict, ac_view id)
{
    const ac_json *list = verdict ? ac_json_get(verdict, "by_case") : NULL;
    for (const ac_json *c = list ? list->child : NULL; c; c = c->next) {
        const ac_json *own = ac_json_get(c, "id");
        if (own && own->type == AC_JSON_STRING && ac_view_eq(own->text, id)) return c;
    }
    return NULL;
}

static bool answer_of(const ac_json *k, const char *arm, bool *pass, ac_view *text)
{
    const ac_json *answers = k ? ac_json_get(k, "answers") : NULL, *own = answers ? ac_json_get(answers, arm) : NULL;
    const ac_json *p = own ? ac_json_get(own, "pass") : NULL, *t = own ? ac_json_get(own, "text") : NULL;
    if (!p || p->type != AC_JSON_BOOL) return false;
    *pass = p->boolean;
    *text = t && t->type == AC_JSON_STRING ? t->text : AC_VIEW("");
    return true;
}

static void count_case(ac_compare *c, const ac_json *k, const ac_json *other, const char *arm)
{
    ac_compare_case e = { .cls = AC_VIEW("-") };
    const ac_json *id = ac_json_get(k, "id"), *cls = ac_json_get(k, "class");
    if (!answer_of(k, arm, &e.pass[0], &e.text[0]) || !answer_of(other, arm, &e.pass[1], &e.text[1])) {
        c->other_cases++;
        return;
    }
    c->n_both++;
    c->both_pass += e.pass[0] && e.pass[1];
    c->both_fail += !e.pass[0] && !e.pass[1];
    if (e.pass[0] == e.pass[1]) return;
    c->only[e.pass[0] ? 0 : 1]++;
    e.id = id->text;
    if (cls && cls->type == AC_JSON_STRING) e.cls = cls->text;
    c->cases[c->n_case++] = e;
}

static ac_status by_case(ac_compare *c, ac_arena *a, const char *arm, ac_err *err)
{
    const ac_json *list[2];
    for (size_t s = 0; s < 2; s++) list[s] = c->side[s].verdict ? ac_json_get(c->side[s].verdict, "by_case") : NULL;
    c->mid_p = 1;
    if (!list[0] || !list[1]) return AC_OK;
    c->cases = ac_arena_alloc_array(a, list[0]->n + 1, sizeof *c->cases);
    if (!c->cases) return ac_fail_nomem(err, list[0]->n * sizeof *c->cases);
    for (const ac_json *k = list[0]->child; k; k = k->next) {
        const ac_json *id = ac_json_get(k, "id");
        if (id && id->type == AC_JSON_STRING) count_case(c, k, case_of(c->side[1].verdict, id->text), arm);
    }
    for (const ac_json *k = list[1]->child; k; k = k->next) {
        const ac_json *id = ac_json_get(k, "id");
        if (id && id->type == AC_JSON_STRING && !case_of(c->side[0].verdict, id->text)) c->other_cases++;
    }
    c->mid_p = ac_stats_mcnemar_midp(c->only[1], c->only[0]);
    return AC_OK;
}

ac_status ac_compare_runs(ac_compare *out, ac_arena *a, const char *dir_a, const char *dir_b, const char *arm, ac_err *err)
{
    ac_compare c = { .n_both = 0 };
    ac_status st = open_side(&c, 0, a, dir_a, err);
    if (!st) st = open_side(&c, 1, a, dir_b, err);
    if (!st) st = differences(&c.config, a, "", c.side[0].lock ? ac_json_get(c.side[0].lock, "values") : NULL,
                              c.side[1].lock ? ac_json_get(c.side[1].lock, "values") : NULL, 0, err);
    if (!st) st = differences(&c.config, a, "sealed", c.side[0].lock ? ac_json_get(c.side[0].lock, "sealed") : NULL,
                              c.side[1].lock ? ac_json_get(c.side[1].lock, "sealed") : NULL, 0, err);
    if (!st) st = differences(&c.fingerprint, a, "", c.side[0].env, c.side[1].env, 0, err);
    if (!st) st = results(&c, a, err);
    if (!st) st = curves(&c, a, err);
    if (!st) st = traces(&c, a, err);
    if (!st) st = verdict_rows(&c, a, err);
    if (!st) st = by_case(&c, a, arm, err);
    if (!st) *out = c;
    return st;
}

void ac_compare_value_json(ac_jw *w, const char *key, const ac_json *v)
{
    if (!v) {
        ac_jw_null(w, key);
        return;
    }
    switch (v->type) {
    case AC_JSON_STRING: ac_jw_str(w, key, v->text); break;
    case AC_JSON_NUMBER: ac_jw_f64(w, key, v->number); break;
    case AC_JSON_BOOL: ac_jw_bool(w, key, v->boolean); break;
    case AC_JSON_NULL: ac_jw_null(w, key); break;
    default: {
        ac_str s = { 0 };
        ac_json_write(&s, v);
        if (!ac_str_ok(&s)) w->out->failed = true;
        ac_jw_str(w, key, ac_str_view(&s));
        ac_str_release(&s);
    }
    }
}
