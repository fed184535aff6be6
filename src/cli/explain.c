/* accord guard explain: the acts in order, and what they came to. */
#include <math.h>
#include <string.h>

#include "base/exit.h"
#include "cli/explain.h"
#include "cli/human.h"
#include "cli/timing.h"

/* ---- text ------------------------------------------------------------------------------------------------------- */

typedef struct {
    ac_str *out;
    const ac_cli *cli;
    size_t width;
} page;

/* "    label   text", wrapped at the terminal's width under the text. */
static void entry(const page *p, const char *label, ac_view text)
{
    static const size_t indent = 15;
    ac_str safe = { 0 };
    ac_cli_foreign(&safe, p->cli, text);
    const ac_view v = ac_str_view(&safe);
    size_t at = indent;
    ac_str_appendf(p->out, "     %-10s", label);
    for (size_t i = 0; i < v.len;) {
        size_t end = ac_view_find(v, AC_VIEW(" "), i);
        if (end == SIZE_MAX) end = v.len;
        if (at > indent && at + 1 + end - i > p->width) {
            ac_str_appendf(p->out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            ac_str_append_char(p->out, ' ');
            at++;
        }
        ac_str_append(p->out, ac_view_slice(v, i, end));
        at += end - i;
        i = end + 1;
    }
    ac_str_append_char(p->out, '\n');
    if (!ac_str_ok(&safe)) p->out->failed = true;
    ac_str_release(&safe);
}

static void entry_str(const page *p, const char *label, ac_str *s)
{
    entry(p, label, ac_str_view(s));
    if (!ac_str_ok(s)) p->out->failed = true;
    ac_str_reset(s);
}

static const char *colour(const page *p, ac_tel_level l)
{
    static const char *const codes[] = { "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[1;31m" };
    return p->cli->color ? codes[l] : "";
}

/* A change of level names no rule: the acts of the same moment do. */
static const ac_tel_act *reason_beside(const ac_tel *t, size_t i)
{
    for (size_t k = i + 1; k < t->n_acts && t->act[k].session == t->act[i].session && t->act[k].t - t->act[i].t < 1; k++)
        if (t->act[k].signal && !t->act[k].is_level) return &t->act[k];
    return NULL;
}

static void level_why(ac_str *s, const ac_tel *t, size_t i)
{
    const ac_tel_act *a = &t->act[i], *other = a->signal ? a : reason_beside(t, i);
    if (a->to < a->from)
        ac_str_append_c(s, "no limit of the level before was reached for as long as its hold is; it gets better one level at a time");
    else if (other && other != a) ac_str_appendf(s, "%s, as act %zu tells", other->signal, (size_t)(other - t->act) + 1);
    else if (other) ac_explain_because(s, other);
    else if (a->text) ac_str_append_c(s, a->text);
    else ac_str_append_c(s, "a limit was reached; the acts that follow name it");
}

static void one_act(const page *p, const ac_tel *t, size_t i)
{
    const ac_tel_act *a = &t->act[i];
    ac_str s = { 0 };
    char at[32];
    ac_human_time(at, a->t);
    ac_str_appendf(p->out, "\n%3zu  %-8s  %s", i + 1, at, colour(p, a->is_level ? a->to : a->level));
    ac_explain_headline(&s, a);
    ac_cli_foreign(p->out, p->cli, ac_str_view(&s));
    ac_str_appendf(p->out, "%s   (step %llu)\n", p->cli->color ? "\x1b[0m" : "", (unsigned long long)a->step);
    ac_str_reset(&s);
    if (a->is_level) level_why(&s, t, i);
    else ac_explain_because(&s, a);
    entry_str(p, "because", &s);
    if (!a->is_level && !a->id && a->text && a->signal) entry(p, "said", ac_view_of(a->text));
    if (ac_explain_obeyed(&s, a)) entry_str(p, "obeyed", &s);
    if (ac_explain_changed(a)) entry(p, "changed", ac_view_of(ac_explain_changed(a)));
    if (!a->is_level && ac_explain_otherwise(a)) entry(p, "otherwise", ac_view_of(ac_explain_otherwise(a)));
    ac_str_release(&s);
}

static void process_head(const page *p, const ac_tel *t, size_t i)
{
    const ac_tel_session *s = &t->session[i];
    char bytes[32];
    ac_str line = { 0 };
    ac_str_appendf(p->out, "%sprocess %zu, ", i ? "\n" : "", i + 1);
    ac_cli_foreign(p->out, p->cli, ac_view_of(s->utc));
    ac_str_appendf(p->out, ": from step %llu of %llu, micro-batch %llu, recompute %s\n", (unsigned long long)s->resumed_at,
                   (unsigned long long)s->total_steps, (unsigned long long)s->micro_start, s->recompute ? "on" : "off");
    if (s->planned_bytes >= 0) {
        ac_human_bytes(bytes, (uint64_t)fmin(s->planned_bytes, 1e18));
        ac_str_appendf(&line, "planned peak %s", bytes);
    }
    if (s->budget_bytes >= 0) {
        ac_human_bytes(bytes, (uint64_t)fmin(s->budget_bytes, 1e18));
        ac_str_appendf(&line, "%sbudget %s", line.len ? ", " : "", bytes);
    }
    if (line.len) entry_str(p, "memory", &line);
    ac_str_appendf(&line, "hours %s; on battery %s; lid closed %s; others' need of the processors %s; beside a server %s",
                   s->terms.window ? s->terms.window : "all", s->terms.battery ? "on" : "pause", s->terms.lid ? "on" : "pause",
                   s->terms.polite ? "respected" : "ignored", s->terms.beside ? "full size" : "half size");
    entry_str(p, "terms", &line);
    for (size_t k = 0; k < s->n_unknown; k++) ac_str_appendf(&line, "%s%s", k ? ", " : "", s->unknown[k].name);
    if (s->n_unknown) entry_str(p, "not read", &line);                        /* --json tells why */
    ac_str_release(&line);
}

static void process_end(const page *p, const ac_tel *t, size_t i)
{
    const ac_tel_session *s = &t->session[i];
    const char *meaning = s->exit >= 0 ? ac_exit_meaning((int)s->exit) : NULL;
    char at[32];
    ac_human_time(at, s->until);
    ac_str_appendf(p->out, "\n     %-8s  ", at);
    if (!s->ended) ac_str_append_c(p->out, i + 1 < t->n_sessions ? "the record breaks off here" : "the record goes up to here");
    else if (s->exit < 0) ac_str_appendf(p->out, "signal %lld ended the trainer", (long long)s->signal);
    else ac_str_appendf(p->out, "exit %lld%s%s", (long long)s->exit, meaning ? ": " : "", meaning ? meaning : "");
    ac_str_appendf(p->out, ", step %llu done, step %llu durable\n", (unsigned long long)s->step, (unsigned long long)s->durable);
}

static void level_times(const page *p, const ac_tel *t)
{
    double seconds[AC_TEL_LEVELS + 1], all = 0;
    char at[32];
    ac_str s = { 0 };
    ac_tel_level_seconds(t, seconds);
    for (size_t i = 0; i < AC_TEL_LEVELS; i++) all += seconds[i];
    for (size_t i = 0; i < AC_TEL_LEVELS; i++) {
        if (i && seconds[i] <= 0) continue;
        ac_human_time(at, seconds[i]);
        ac_str_appendf(&s, "%s%s %s", s.len ? ", " : "", ac_tel_level_name((ac_tel_level)i), at);
        if (all > 0) ac_str_appendf(&s, " (%.1f %%)", 100 * seconds[i] / all);
    }
    if (seconds[AC_TEL_LEVELS] > 0) {
        ac_human_time(at, seconds[AC_TEL_LEVELS]);
        ac_str_appendf(&s, "; paused %s of it", at);
    }
    entry_str(p, "levels", &s);
    ac_str_release(&s);
}

static void costs(const page *p, const ac_tel *t)
{
    const double each = ac_tel_step_seconds(t), cost = ac_tel_cost_seconds(t);
    double cpu = 0, wall = 0;
    char at[32];
    ac_str s = { 0 };
    for (size_t i = 0; i < t->n_sessions; i++) {
        cpu += isnan(t->session[i].guard_cpu_seconds) ? 0 : t->session[i].guard_cpu_seconds;
        wall += t->session[i].until - t->session[i].from;
    }
    if (isnan(cost)) ac_str_append_c(&s, "not known: no step was done undisturbed");
    else {
        ac_human_time(at, cost);
        ac_str_appendf(&s, "about %s, against %.2f s a step undisturbed", at, each);
    }
    entry_str(p, "cost", &s);
    for (size_t i = 0; i < t->n_spent && t->n_spent > 1; i++) {
        const ac_tel_spent *e = &t->spent[i];
        ac_human_time(at, e->seconds);
        ac_str_appendf(&s, "%s%s, %llu step%s: ", i ? "; " : "", at, (unsigned long long)e->steps, ac_plural(e->steps));
        if (e->s.paused) ac_str_append_c(&s, "paused");
        else ac_str_appendf(&s, "micro-batch %lld, recompute %s, %lld %% of the time", (long long)e->s.micro,
                            e->s.recompute ? "on" : "off", (long long)e->s.duty);
    }
    if (s.len) entry_str(p, "settings", &s);
    ac_str_appendf(&s, "%.2f CPU seconds, %.2f %% of a core", cpu, wall > 0 ? 100 * cpu / wall : 0);
    entry_str(p, "the guard", &s);
    ac_str_release(&s);
}

void ac_explain_text(ac_str *out, const ac_cli *cli, const ac_tel *t, const ac_run_void *v, const char *id, bool trained)
{
    const page p = { out, cli, cli->width > 40 ? cli->width : 40 };
    ac_str s = { 0 };
    size_t next = 0;
    ac_str_appendf(out, "run %s: %zu process%s, %zu act%s\n", id, t->n_sessions, t->n_sessions == 1 ? "" : "es", t->n_acts,
                   ac_plural(t->n_acts));
    for (size_t i = 0; i < t->n_sessions; i++) {
        process_head(&p, t, i);
        if (next == t->n_acts || t->act[next].session != i) ac_str_append_c(out, "\n     nothing to do: no act\n");
        for (; next < t->n_acts && t->act[next].session == i; next++) one_act(&p, t, next);
        process_end(&p, t, i);
    }
    ac_str_append_c(out, "\nsummary\n");
    level_times(&p, t);
    costs(&p, t);
    ac_timing_text(&s, cli, v);
    if (!v->n) ac_str_append_c(&s, "hold: nothing disturbed this run");
    entry_str(&p, "times", &s);
    if (t->left_out) {
        ac_str_appendf(&s, "%zu record%s beyond what is kept", t->left_out, ac_plural(t->left_out));
        entry_str(&p, "left out", &s);
    }
    if (ac_explain_next(&s, t, id, trained)) entry_str(&p, "go on", &s);
    ac_str_release(&s);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void put(ac_jw *w, const char *key, ac_str *s)
{
    if (!ac_str_ok(s)) w->out->failed = true;
    ac_jw_str(w, key, ac_str_view(s));
    ac_str_reset(s);
}

static void rule_json(ac_jw *w, const ac_tel_act *a)
{
    const ac_guard_rule *r = ac_explain_rule(a);
    if (a->rule < 0 || !r) {
        if (a->rule < 0) ac_jw_null(w, "rule");
        else ac_jw_i64(w, "rule", a->rule);
        return;
    }
    ac_jw_object(w, "rule");
    ac_jw_i64(w, "number", a->rule);
    ac_jw_cstr(w, "level", ac_guard_level_name(r->level));
    ac_jw_cstr(w, "on", r->above ? "at or above" : "below");
    ac_jw_f64(w, "enter", r->enter);
    ac_jw_f64(w, "for_seconds", r->enter_ms / 1000.0);
    ac_jw_i64(w, "samples", r->enter_samples);
    ac_jw_f64(w, "leave", r->leave);
    ac_jw_f64(w, "hold_seconds", r->leave_ms / 1000.0);
    ac_jw_cstr(w, "source", r->source);
    ac_jw_end_object(w);
}

static void act_json(ac_jw *w, const ac_tel *t, size_t i)
{
    const ac_tel_act *a = &t->act[i];
    ac_str s = { 0 };
    ac_jw_object(w, NULL);
    ac_jw_u64(w, "process", a->session + 1);
    ac_jw_f64(w, "t", a->t);
    ac_jw_cstr(w, "utc", a->utc);
    ac_jw_cstr(w, "act", a->act);
    ac_jw_f64(w, "arg", a->arg);
    ac_jw_f64(w, "before", a->before);
    ac_jw_u64(w, "step", a->step);
    ac_jw_cstr(w, "level", ac_tel_level_name(a->level));
    ac_jw_cstr(w, "cause", a->cause);
    ac_jw_cstr(w, "signal", a->signal);
    ac_jw_f64(w, "value", a->value);
    ac_jw_f64(w, "limit", a->limit);
    rule_json(w, a);
    ac_explain_headline(&s, a);
    put(w, "what", &s);
    if (a->is_level) level_why(&s, t, i);
    else ac_explain_because(&s, a);
    put(w, "because", &s);
    ac_jw_cstr(w, "text", a->text);
    if (a->acked) {
        ac_jw_object(w, "obeyed");
        ac_jw_bool(w, "ok", a->ok);
        ac_jw_f64(w, "ms", a->ack_ms);
        ac_jw_u64(w, "step", a->ack_step);
        ac_jw_u64(w, "durable", a->ack_durable);
        ac_jw_cstr(w, "text", a->ack_text);
        ac_jw_end_object(w);
    } else {
        ac_jw_null(w, "obeyed");
    }
    ac_jw_cstr(w, "changed", ac_explain_changed(a));
    ac_jw_cstr(w, "otherwise", a->is_level ? NULL : ac_explain_otherwise(a));
    ac_jw_end_object(w);
    ac_str_release(&s);
}

static void process_json(ac_jw *w, const ac_tel_session *s)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "utc", s->utc);
    ac_jw_u64(w, "from_step", s->resumed_at);
    ac_jw_u64(w, "total_steps", s->total_steps);
    ac_jw_f64(w, "budget_bytes", s->budget_bytes);
    ac_jw_f64(w, "planned_peak_bytes", s->planned_bytes);
    ac_jw_u64(w, "micro_start", s->micro_start);
    ac_jw_bool(w, "recompute", s->recompute);
    ac_jw_object(w, "not_read");
    for (size_t i = 0; i < s->n_unknown; i++) ac_jw_cstr(w, s->unknown[i].name, s->unknown[i].text);
    ac_jw_end_object(w);
    ac_jw_f64(w, "from", s->from);
    ac_jw_f64(w, "until", s->until);
    ac_jw_bool(w, "ended", s->ended);
    if (s->ended && s->exit >= 0) ac_jw_i64(w, "exit", s->exit);
    else ac_jw_null(w, "exit");
    if (s->ended && s->exit < 0) ac_jw_i64(w, "signal", s->signal);
    else ac_jw_null(w, "signal");
    ac_jw_u64(w, "step", s->step);
    ac_jw_u64(w, "durable", s->durable);
    ac_jw_f64(w, "guard_cpu_seconds", s->guard_cpu_seconds);
    ac_jw_f64(w, "guard_peak_rss_bytes", s->guard_peak_bytes);
    ac_jw_end_object(w);
}

void ac_explain_json(ac_str *out, const ac_tel *t, const ac_run_void *v, const char *id, bool trained)
{
    double seconds[AC_TEL_LEVELS + 1];
    ac_str s = { 0 };
    ac_jw w;
    ac_jw_init(&w, out, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "run", id);
    ac_jw_bool(&w, "telemetry", t->n_sessions > 0);
    ac_jw_array(&w, "processes");
    for (size_t i = 0; i < t->n_sessions; i++) process_json(&w, &t->session[i]);
    ac_jw_end_array(&w);
    ac_jw_array(&w, "acts");
    for (size_t i = 0; i < t->n_acts; i++) act_json(&w, t, i);
    ac_jw_end_array(&w);
    ac_tel_level_seconds(t, seconds);
    ac_jw_object(&w, "seconds");
    for (size_t i = 0; i < AC_TEL_LEVELS; i++) ac_jw_f64(&w, ac_tel_level_name((ac_tel_level)i), seconds[i]);
    ac_jw_f64(&w, "paused", seconds[AC_TEL_LEVELS]);
    ac_jw_end_object(&w);
    ac_jw_array(&w, "settings");
    for (size_t i = 0; i < t->n_spent; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_i64(&w, "micro", t->spent[i].s.micro);
        ac_jw_bool(&w, "recompute", t->spent[i].s.recompute);
        ac_jw_i64(&w, "duty", t->spent[i].s.duty);
        ac_jw_bool(&w, "paused", t->spent[i].s.paused);
        ac_jw_f64(&w, "seconds", t->spent[i].seconds);
        ac_jw_u64(&w, "steps", t->spent[i].steps);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_f64(&w, "step_seconds", ac_tel_step_seconds(t));
    ac_jw_f64(&w, "cost_seconds", ac_tel_cost_seconds(t));
    ac_timing_json(&w, v);
    ac_jw_u64(&w, "left_out", t->left_out);
    if (ac_explain_next(&s, t, id, trained)) put(&w, "go_on", &s);
    else ac_jw_null(&w, "go_on");
    ac_jw_end_object(&w);
    ac_str_release(&s);
}
