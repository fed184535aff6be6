/* telemetry.jsonl: docs/formats/telemetry.md. A failure here is told once and ends nothing. */
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/guard_run.h"
#include "formats/json.h"

#define TAIL_BYTES 65536

/* A last line without its end, as a power cut leaves one, is taken away before others follow. */
static ac_status cut_tail(const char *path, ac_err *err)
{
    ac_reader *r = NULL;
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_reader_open(&r, path, err);
    const uint64_t size = st ? 0 : ac_reader_size(r), from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    char *buf = st || !size ? NULL : ac_malloc((size_t)(size - from));
    if (!st && size && !buf) st = ac_fail_nomem(err, (unsigned long long)(size - from));
    if (!st && size) st = ac_reader_at(r, from, buf, (size_t)(size - from), err);
    ac_reader_close(&r);
    uint64_t keep = size;
    while (!st && keep > from && buf[keep - 1 - from] != '\n') keep--;
    if (!st && keep < size) st = ac_truncate(path, keep, err);
    ac_free(buf);
    return st;
}

void ac_telemetry_open(ac_telemetry *t, const char *path)
{
    t->guard_pid = (int64_t)getpid();
    t->path = path;
    ac_status st = cut_tail(path, &t->why);
    if (!st) st = ac_appender_open(&t->file, path, &t->why);
    t->failed = st != AC_OK;
}

static void put(ac_telemetry *t)
{
    if (t->failed || !t->file) return;
    const ac_status st = ac_str_ok(&t->line) ? ac_appender_line(t->file, ac_str_view(&t->line), &t->why)
                                             : ac_fail_nomem(&t->why, t->line.len);
    if (st) t->failed = true;
}

static void utc(ac_jw *w, const ac_actor *a)
{
    char now[32];
    ac_utc_iso(now, a->time.utc_ns);
    ac_jw_cstr(w, "utc", now);
}

static void head(ac_telemetry *t, ac_jw *w, const ac_actor *a, const char *kind)
{
    ac_str_reset(&t->line);
    ac_jw_init(w, &t->line, false);
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "k", kind);
    if (strcmp(kind, "begin") != 0) ac_jw_f64(w, "t", (double)(a->time.now_ms - a->begin_ms) / 1000.0);
}

static void terms(ac_jw *w, const ac_guard_terms *t)
{
    char window[64];
    ac_jw_object(w, "terms");
    (void)snprintf(window, sizeof window, "%02d:%02d-%02d:%02d", t->window_from / 60, t->window_from % 60, t->window_to / 60,
                   t->window_to % 60);
    ac_jw_cstr(w, "window", t->window_from == t->window_to ? NULL : window);
    ac_jw_bool(w, "battery", t->battery_ok);
    ac_jw_bool(w, "lid", t->lid_ok);
    ac_jw_bool(w, "polite", t->polite);
    ac_jw_bool(w, "beside", t->beside_ok);
    ac_jw_end_object(w);
}

/* Signals whose state is another than in the line before. */
static void unknown(ac_telemetry *t, ac_jw *w, const ac_actor *a)
{
    ac_jw_object(w, "unknown");
    for (size_t i = 0; i < AC_SIG_N_READ; i++) {
        const uint64_t bit = (uint64_t)1 << i;
        const bool is = a->in.read[i].measured;
        if (is != !(t->unknown & bit)) ac_jw_cstr(w, ac_signal_about((ac_signal)i)->name, is ? NULL : a->in.read[i].why);
        t->unknown = is ? t->unknown & ~bit : t->unknown | bit;
    }
    ac_jw_end_object(w);
}

void ac_telemetry_begin(ac_telemetry *t, const ac_actor *a)
{
    const ac_msg *h = &a->hello;
    const char *slash = strrchr(h->run_dir, '/');
    ac_jw w;
    head(t, &w, a, "begin");
    utc(&w, a);
    ac_jw_u64(&w, "format", 1);
    ac_jw_cstr(&w, "run", slash ? slash + 1 : h->run_dir);
    ac_jw_i64(&w, "guard_pid", t->guard_pid);
    ac_jw_i64(&w, "pid", a->from.pid);
    ac_jw_u64(&w, "resumed_at_step", h->step);
    ac_jw_u64(&w, "total_steps", h->total_steps);
    if (h->budget) ac_jw_u64(&w, "budget_bytes", h->budget);
    else ac_jw_null(&w, "budget_bytes");
    ac_jw_u64(&w, "planned_peak_bytes", h->planned_peak);
    ac_jw_u64(&w, "micro_start", h->micro_start);
    ac_jw_bool(&w, "recompute", h->recompute);
    terms(&w, &a->terms);
    t->unknown = 0;
    unknown(t, &w, a);
    ac_jw_end_object(&w);
    put(t);
}

static void bytes(ac_jw *w, const char *key, int64_t v)
{
    if (v >= 0) ac_jw_i64(w, key, v);
    else ac_jw_null(w, key);
}

static void signals(ac_telemetry *t, ac_jw *w, const ac_actor *a)
{
    ac_jw_object(w, "signals");
    for (size_t i = 0; i < AC_SIG_N_READ; i++)
        if (a->in.read[i].measured) ac_jw_f64(w, ac_signal_about((ac_signal)i)->name, a->in.read[i].value);
    ac_jw_end_object(w);
    unknown(t, w, a);
}

void ac_telemetry_sample(ac_telemetry *t, const ac_actor *a)
{
    const long ticks = sysconf(_SC_CLK_TCK);
    ac_jw w;
    head(t, &w, a, "sample");
    utc(&w, a);
    ac_jw_cstr(&w, "level", ac_guard_level_name(a->state.level));
    ac_jw_u64(&w, "step", a->step);
    ac_jw_u64(&w, "durable", a->durable);
    ac_jw_u64(&w, "micro", a->micro);
    ac_jw_bool(&w, "recompute", a->recompute);
    ac_jw_u64(&w, "duty", a->duty);
    ac_jw_bool(&w, "paused", a->paused);
    bytes(&w, "footprint_bytes", a->signals.footprint_bytes);
    bytes(&w, "available_bytes", a->signals.available_bytes);
    if (a->signals.had_cpu && ticks > 0) ac_jw_f64(&w, "cpu_seconds", (double)a->signals.cpu_own / (double)ticks);
    else ac_jw_null(&w, "cpu_seconds");
    ac_jw_null(&w, "watts");
    signals(t, &w, a);
    ac_jw_cstr(&w, "beside", a->in.beside[0] ? a->in.beside : NULL);
    ac_jw_bool(&w, "valid", a->valid);
    ac_jw_end_object(&w);
    put(t);
}

void ac_telemetry_act(ac_telemetry *t, const ac_actor *a, const ac_actor_note *n)
{
    const ac_guard_act *act = n->act;
    const int32_t rule = act ? act->rule : -1;
    ac_jw w;
    head(t, &w, a, "act");
    utc(&w, a);
    ac_jw_cstr(&w, "act", act ? ac_guard_act_name(act->kind) : "level");
    ac_jw_i64(&w, "arg", act ? act->arg : (int64_t)a->state.level);
    ac_jw_u64(&w, "id", act ? act->id : 0);
    ac_jw_cstr(&w, "level", ac_guard_level_name(a->state.level));
    ac_jw_cstr(&w, "cause", act && act->cause != AC_CAUSE_N ? ac_guard_cause_name(act->cause) : NULL);
    ac_jw_i64(&w, "rule", rule);
    ac_jw_cstr(&w, "signal", rule < 0 ? NULL : ac_signal_about(ac_guard_rules[rule].signal)->name);
    if (rule >= 0 && n->value.measured) ac_jw_f64(&w, "value", n->value.value);
    else ac_jw_null(&w, "value");
    if (rule >= 0) ac_jw_f64(&w, "limit", ac_guard_rules[rule].enter);
    else ac_jw_null(&w, "limit");
    if (!act) {
        ac_jw_cstr(&w, "from", ac_guard_level_name(n->from));
        ac_jw_cstr(&w, "to", ac_guard_level_name(a->state.level));
    }
    ac_jw_cstr(&w, "text", n->text);
    ac_jw_end_object(&w);
    put(t);
}

void ac_telemetry_ack(ac_telemetry *t, const ac_actor *a, const ac_msg *m, int64_t took_ms)
{
    ac_jw w;
    head(t, &w, a, "ack");
    ac_jw_u64(&w, "id", m->id);
    bytes(&w, "ms", took_ms);
    ac_jw_u64(&w, "step", m->step);
    ac_jw_u64(&w, "durable", m->durable);
    ac_jw_bool(&w, "ok", m->ok);
    ac_jw_cstr(&w, "text", m->text[0] ? m->text : NULL);
    ac_jw_end_object(&w);
    put(t);
}

static void reason(ac_jw *w, int64_t ms, const char *what)
{
    char text[200];
    if (ms <= 0) return;
    (void)snprintf(text, sizeof text, "%s for %.1f s", what, (double)ms / 1000.0);
    ac_jw_cstr(w, NULL, text);
}

/* Why the run's times are no measure of the machine. */
static void voided(ac_jw *w, const ac_actor *a)
{
    const int64_t not_green = a->level_ms[AC_GUARD_YELLOW] + a->level_ms[AC_GUARD_RED] + a->level_ms[AC_GUARD_EMERGENCY];
    char text[120];
    ac_jw_array(w, "void");
    reason(w, not_green, "the guard was not at green");
    (void)snprintf(text, sizeof text, "the micro-batch was down to %llu instead of %llu, smaller",
                   (unsigned long long)a->least_micro, (unsigned long long)a->hello.micro_start);
    reason(w, a->small_ms, text);
    reason(w, a->recompute_ms, "layers were computed again on the way back");
    reason(w, a->paused_ms, "the run was paused");
    (void)snprintf(text, sizeof text, "the run computed part of the time, down to %llu %%,", (unsigned long long)a->least_duty);
    reason(w, a->slow_ms, text);
    reason(w, a->foreign_ms, "other programs took more than a quarter of the processors");
    ac_jw_end_array(w);
}

void ac_telemetry_end(ac_telemetry *t, const ac_actor *a, const ac_fork_end *e)
{
    static const char *const levels[] = { "green", "yellow", "red", "emergency" };
    const int64_t slept = a->time.boot_ms - a->time.now_ms - a->begin_sleep_ms;
    ac_jw w;
    head(t, &w, a, "end");
    utc(&w, a);
    if (e->signal) ac_jw_null(&w, "exit");
    else ac_jw_i64(&w, "exit", e->exit_code);
    if (e->signal) ac_jw_i64(&w, "signal", e->signal);
    else ac_jw_null(&w, "signal");
    ac_jw_u64(&w, "step", a->step);
    ac_jw_u64(&w, "durable", a->durable);
    ac_jw_object(&w, "seconds");
    for (size_t i = 0; i < AC_COUNTOF(levels); i++) ac_jw_f64(&w, levels[i], (double)a->level_ms[i] / 1000.0);
    ac_jw_f64(&w, "paused", (double)a->paused_ms / 1000.0);
    ac_jw_f64(&w, "slept", slept > 0 ? (double)slept / 1000.0 : 0.0);
    ac_jw_end_object(&w);
    ac_jw_object(&w, "guard");
    ac_jw_f64(&w, "cpu_seconds", ac_cpu_seconds());
    ac_jw_i64(&w, "peak_rss_bytes", ac_peak_rss_bytes());
    ac_jw_end_object(&w);
    voided(&w, a);
    ac_jw_end_object(&w);
    put(t);
    if (t->file && !t->failed) (void)ac_appender_sync(t->file, NULL);
}

void ac_telemetry_close(ac_telemetry *t)
{
    ac_appender_close(&t->file);
    ac_str_release(&t->line);
}
