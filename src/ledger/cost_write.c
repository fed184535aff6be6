/* cost.json and .accord/cost.jsonl as they are written: docs/formats/run.md. */
#include <string.h>

#include "base/file.h"
#include "ledger/cost.h"

static void count(ac_jw *w, const char *key, int64_t v, double scale)
{
    if (v < 0) ac_jw_null(w, key);
    else ac_jw_f64(w, key, (double)v / scale);
}

static void money_json(ac_jw *w, const ac_cost_part *p)
{
    ac_jw_object(w, "money");
    ac_jw_cstr(w, "currency", p->rates.currency);
    count(w, "rent", p->money.line[AC_COST_RENT], 1e6);
    count(w, "machine", p->money.line[AC_COST_MACHINE], 1e6);
    count(w, "energy", p->money.line[AC_COST_ENERGY], 1e6);
    count(w, "total", p->money.total, 1e6);
    ac_jw_cstr(w, "missing", p->money.missing);
    ac_jw_end_object(w);
}

static void rates_json(ac_jw *w, const ac_cost_rates *r)
{
    ac_jw_object(w, "rates");
    ac_jw_cstr(w, "currency", r->currency);
    ac_jw_f64(w, "machine_hour", r->machine_hour);
    ac_jw_f64(w, "machine_price", r->machine_price);
    ac_jw_f64(w, "machine_years", r->machine_years);
    ac_jw_f64(w, "machine_hours_a_year", r->machine_hours_a_year);
    ac_jw_f64(w, "kwh", r->kwh);
    ac_jw_f64(w, "watts", r->watts);
    ac_jw_f64(w, "node_hour", r->node_hour);
    ac_jw_f64(w, "node_speed", r->node_speed);
    ac_jw_end_object(w);
}

void ac_cost_part_json(ac_jw *w, const ac_cost_part *p, bool whole)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "what", p->what);
    if (whole) {
        ac_jw_cstr(w, "run", p->run);
        ac_jw_cstr(w, "project", p->project);
        ac_jw_cstr(w, "tags", p->tags);
        ac_jw_cstr(w, "lock", p->lock);
    }
    ac_jw_cstr(w, "began", p->began);
    ac_jw_cstr(w, "ended", p->ended);
    ac_jw_cstr(w, "outcome", p->outcome);
    ac_jw_cstr(w, "person", p->person);
    ac_jw_cstr(w, "user", p->user);
    ac_jw_cstr(w, "host", p->host);
    ac_jw_cstr(w, "device", p->device);
    ac_jw_cstr(w, "slurm_job", p->slurm_job);
    count(w, "wall_seconds", p->wall_ms, 1e3);
    ac_jw_cstr(w, "wall_from", p->wall_from);
    count(w, "cpu_seconds", p->cpu_ms, 1e3);
    count(w, "gpu_seconds", p->gpu_ms, 1e3);
    count(w, "peak_rss_bytes", p->peak_bytes, 1);
    count(w, "tokens", p->tokens, 1);
    ac_jw_u64(w, "from_step", p->from_step);
    count(w, "opened_seconds", p->opened_ms, 1e3);
    ac_jw_object(w, "energy");
    count(w, "kwh", p->mwh, 1e6);
    ac_jw_cstr(w, "method", p->method);
    ac_jw_cstr(w, "covers", p->covers);
    ac_jw_cstr(w, "why", p->why);
    ac_jw_bool(w, "at_least", p->energy_at_least);
    ac_jw_bool(w, "estimated", p->estimated);
    ac_jw_end_object(w);
    money_json(w, p);
    if (whole) rates_json(w, &p->rates);
    ac_jw_end_object(w);
}

/* The sums over all parts, for readers who want no more, with notes applied; the parts below stay as they were measured. */
static ac_status totals(ac_jw *w, const ac_cost_run *r, ac_arena *a, ac_err *err)
{
    ac_cost_run own = *r;
    ac_cost_sum s = { .key = NULL };
    ac_cost_money m = { .total = AC_COST_UNKNOWN };
    const char *method = NULL;
    own.part = ac_arena_alloc_array(a, r->n_parts + 1, sizeof *own.part);
    if (!own.part) return ac_fail_nomem(err, r->n_parts * sizeof *own.part);
    if (r->n_parts) memcpy(own.part, r->part, r->n_parts * sizeof *own.part);
    ac_cost_apply_notes(&own);
    ac_status st = AC_OK;
    for (size_t i = 0; i < own.n_parts && !st; i++) {
        const ac_cost_part *p = &own.part[i];
        st = ac_cost_add(&s, p, err);
        if (p->money.missing) m.missing = p->money.missing;
        method = !method || (p->method && strcmp(method, p->method) == 0) ? p->method : "several, see parts";
    }
    if (st) return st;
    count(w, "wall_seconds", s.no_wall == s.n_parts ? AC_COST_UNKNOWN : s.wall_ms, 1e3);
    count(w, "cpu_seconds", s.no_cpu == s.n_parts ? AC_COST_UNKNOWN : s.cpu_ms, 1e3);
    count(w, "gpu_seconds", s.gpu_ms, 1e3);
    count(w, "peak_rss_bytes", s.peak_bytes, 1);
    count(w, "energy_kwh", s.no_energy == s.n_parts ? AC_COST_UNKNOWN : s.mwh, 1e6);
    ac_jw_cstr(w, "energy_method", method);
    count(w, "money", s.n_money ? s.money[0].micro : AC_COST_UNKNOWN, 1e6);
    ac_jw_cstr(w, "currency", r->rates.currency);
    ac_jw_cstr(w, "missing", m.missing);
    return AC_OK;
}

ac_status ac_cost_run_write(const ac_cost_run *r, ac_err *err)
{
    ac_arena a = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "format", 2);
    ac_jw_cstr(&w, "run", r->id);
    ac_jw_cstr(&w, "project", r->project);
    ac_jw_cstr(&w, "tags", r->tags);
    ac_jw_cstr(&w, "verdict", r->verdict);
    ac_status st = totals(&w, r, &a, err);
    ac_jw_array(&w, "parts");
    for (size_t i = 0; i < r->n_parts; i++) ac_cost_part_json(&w, &r->part[i], false);
    ac_jw_end_array(&w);
    ac_jw_array(&w, "notes");
    for (size_t i = 0; i < r->n_notes; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "utc", r->note[i].utc);
        ac_jw_cstr(&w, "by", r->note[i].by);
        count(&w, "kwh", r->note[i].mwh, 1e6);
        ac_jw_u64(&w, "parts", r->note[i].n_parts);
        ac_jw_cstr(&w, "reason", r->note[i].reason);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    ac_str_append_char(&s, '\n');
    const char *path = ac_path_join(&a, r->dir, "cost.json");
    if (!st && (!path || !ac_str_ok(&s))) st = ac_fail_nomem(err, s.len);
    if (!st) st = ac_file_write_atomic(path, s.ptr, s.len, err);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

ac_status ac_cost_append(const char *project, const ac_cost_part *p, ac_err *err)
{
    ac_arena a = { 0 };
    ac_appender *f = NULL;
    ac_str s = { 0 };
    ac_jw w;
    const char *dir = ac_path_join(&a, project, ".accord"), *path = dir ? ac_path_join(&a, dir, "cost.jsonl") : NULL;
    ac_jw_init(&w, &s, false);
    ac_cost_part_json(&w, p, true);
    ac_status st = path && ac_str_ok(&s) ? ac_mkdir_p(dir, err) : ac_fail_nomem(err, s.len);
    if (!st) st = ac_appender_open(&f, path, err);
    if (!st) st = ac_appender_line(f, ac_str_view(&s), err);
    if (!st) st = ac_appender_sync(f, err);
    ac_appender_close(&f);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}
