/* The plan for people and for machines. */
#include <math.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/human.h"
#include "cli/plan.h"

/* ---- for people ---- */

static void time_line(ac_str *s, const char *name, double seconds, const char *how)
{
    char took[32] = "unknown";
    if (!isnan(seconds) && seconds < 10) (void)snprintf(took, sizeof took, "%.1f s", seconds);
    else if (!isnan(seconds)) ac_human_time(took, seconds);
    ac_str_appendf(s, "  %-38s %10s%s%s\n", name, took, how[0] ? "  " : "", how);
}

static void time_table(ac_str *s, const ac_plan *p)
{
    char how[128];
    const ac_forecast *t = &p->time;
    ac_str_appendf(s, "\ntime, by %s\n", p->time_from ? p->time_from : "nothing: --no-measure, and no earlier run of this kind here");
    time_line(s, "model and rows", p->setup_seconds, "");
    (void)snprintf(how, sizeof how, "%llu step%s, %llu tokens", (unsigned long long)t->steps, ac_plural(t->steps),
                   (unsigned long long)t->tokens);
    time_line(s, "training", p->time_from ? t->train_seconds : (double)NAN, how);
    (void)snprintf(how, sizeof how, "%llu time%s", (unsigned long long)t->evals, ac_plural(t->evals));
    if (t->evals) time_line(s, "validation", p->time_from ? (double)t->evals * t->eval_seconds : (double)NAN, how);
    (void)snprintf(how, sizeof how, "%llu time%s, and the result", (unsigned long long)t->saves, ac_plural(t->saves));
    time_line(s, "checkpoints", p->save_seconds * (double)(t->saves + 1), how);
    time_line(s, "in all", p->total_seconds, "");
}

static void end_line(ac_str *s, const ac_plan *p)
{
    char utc[32];
    const ac_outlook *o = &p->outlook;
    if (isnan(o->wall_seconds) || o->wall_seconds > 3e8) return;
    ac_utc_iso(utc, ac_utc_ns() + (int64_t)(o->wall_seconds * 1e9));
    ac_str_appendf(s, "  it would end %s", utc);
    if (p->facts.has_window)
        ac_str_appendf(s, ", in the hours of guard.window: %.1f nights%s", o->nights, o->wait_seconds > 0 ? ", begun when it opens" : "");
    ac_str_append_char(s, '\n');
}

/* missing: what would have to be set for it to be known. */
static void amount(ac_str *s, const char *name, double v, const char *unit, int digits, const char *missing)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.*f %s", digits, v, unit);
    if (isnan(v)) ac_str_appendf(s, "  %-38s %10s  %s\n", name, "not known", missing);
    else ac_str_appendf(s, "  %-38s %10s\n", name, text);
}

static void cost_table(ac_str *s, const ac_plan *p, const ac_contract_values *v)
{
    const ac_outlook *o = &p->outlook;
    const char *no_time = isnan(p->total_seconds) ? "the time is not known" : NULL;
    ac_str_append_c(s, "\nenergy and money\n");
    amount(s, "energy (cost.watts x time)", o->energy_kwh, "kWh", 3, no_time ? no_time : "set cost.watts");
    amount(s, "here", o->money, v->cost_currency, 2,
           no_time ? no_time : "set cost.machine_hour or cost.machine_price, and cost.kwh with cost.watts");
    amount(s, "on a node", o->node_money, v->cost_currency, 2, no_time ? no_time : "set cost.node_hour and cost.node_speed");
}

static void disk_table(ac_str *s, const ac_plan *p)
{
    char one[32], need[32], left[32] = "unknown";
    ac_human_bytes(one, (uint64_t)p->checkpoint_bytes);
    ac_human_bytes(need, (uint64_t)p->outlook.disk_need);
    if (!isnan(p->facts.disk_free)) ac_human_bytes(left, (uint64_t)p->facts.disk_free);
    ac_str_append_c(s, "\ndisk\n");
    ac_str_appendf(s, "  %-38s %10s  %zu are kept, and the result\n", "a checkpoint", one, p->in.opts.keep_checkpoints);
    ac_str_appendf(s, "  %-38s %10s  of %s that are free\n", "needed, with a twentieth to spare", need, left);
}

ac_status ac_plan_text(ac_str *s, const ac_plan *p, const ac_contract_values *v, ac_err *err)
{
    char tokens[32], params[32];
    ac_human_count(tokens, p->in.train.n_tokens);
    ac_human_count(params, p->in.memory.plan.n_params);
    ac_str_appendf(s, "%zu row%s, %s tokens; %zu validation row%s; %s parameters to train (%s)\n", p->in.train.n,
                   ac_plural(p->in.train.n), tokens, p->in.valid.n, ac_plural(p->in.valid.n), params, v->tune);
    ac_memory_table(s, &p->in.memory);
    time_table(s, p);
    end_line(s, p);
    cost_table(s, p, v);
    disk_table(s, p);
    ac_str_appendf(s, "\nPLAN: %s\n", ac_outlook_name(p->outlook.verdict));
    for (size_t i = 0; i < p->outlook.n_reasons; i++) ac_str_appendf(s, "%s\n", p->outlook.reason[i]);
    return ac_str_ok(s) ? AC_OK : ac_fail_nomem(err, s->len);
}

/* ---- for machines ---- */

static void f64(ac_jw *w, const char *key, double v)
{
    if (isnan(v)) ac_jw_null(w, key);
    else ac_jw_f64(w, key, v);
}

static void time_json(ac_jw *w, const ac_plan *p)
{
    const bool known = p->time_from != NULL;
    ac_jw_object(w, "time");
    ac_jw_cstr(w, "from", p->time_from);
    ac_jw_u64(w, "measured_steps", p->time.measured_steps);
    f64(w, "setup_seconds", p->setup_seconds);
    f64(w, "train_seconds", known ? p->time.train_seconds : (double)NAN);
    f64(w, "eval_seconds", known && p->time.evals ? (double)p->time.evals * p->time.eval_seconds : (double)NAN);
    f64(w, "checkpoint_seconds", p->save_seconds * (double)(p->time.saves + 1));
    f64(w, "seconds", p->total_seconds);
    f64(w, "wall_seconds", p->outlook.wall_seconds);
    f64(w, "wait_seconds", p->outlook.wait_seconds);
    f64(w, "nights", p->outlook.nights);
    ac_jw_end_object(w);
}

void ac_plan_json(ac_str *s, const ac_plan *p, const ac_contract_values *v)
{
    ac_jw w;
    const ac_outlook *o = &p->outlook;
    ac_jw_init(&w, s, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "verdict", ac_outlook_name(o->verdict));
    ac_jw_array(&w, "reasons");
    for (size_t i = 0; i < o->n_reasons; i++) ac_jw_cstr(&w, NULL, o->reason[i]);
    ac_jw_end_array(&w);
    ac_jw_u64(&w, "rows", p->in.train.n);
    ac_jw_u64(&w, "valid_rows", p->in.valid.n);
    ac_jw_u64(&w, "steps", p->time.steps);
    ac_jw_u64(&w, "tokens", p->time.tokens);
    ac_jw_u64(&w, "evals", p->time.evals);
    ac_jw_u64(&w, "checkpoints", p->time.saves);
    ac_jw_u64(&w, "parameters", p->in.memory.plan.n_params);
    ac_memory_json(&w, &p->in.memory);
    time_json(&w, p);
    ac_jw_object(&w, "cost");
    ac_jw_cstr(&w, "currency", v->cost_currency);
    f64(&w, "energy_kwh", o->energy_kwh);
    ac_jw_cstr(&w, "energy_method", isnan(o->energy_kwh) ? "not known" : "cost.watts x time");
    f64(&w, "money", o->money);
    f64(&w, "node_hours", o->node_hours);
    f64(&w, "node_money", o->node_money);
    ac_jw_end_object(&w);
    ac_jw_object(&w, "disk");
    ac_jw_f64(&w, "checkpoint_bytes", p->checkpoint_bytes);
    ac_jw_u64(&w, "kept", p->in.opts.keep_checkpoints);
    ac_jw_f64(&w, "needed_bytes", o->disk_need);
    f64(&w, "free_bytes", p->facts.disk_free);
    ac_jw_bool(&w, "fits", o->disk_fits);
    ac_jw_end_object(&w);
    ac_jw_end_object(&w);
}
