/* The screen of accord top. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/explain.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/timing.h"
#include "cli/top.h"

#define SILENT_SECONDS 30
#define FIXED_LINES 12
#define ACTS_SHOWN ((size_t)6)

typedef struct {
    ac_str *out;
    const ac_top_screen *s;
    size_t used;                     /* columns of this line */
} frame;

static void end_line(frame *f)
{
    ac_str_append_char(f->out, '\n');
    f->used = 0;
}

/* A piece of the line, cut where the screen ends; control characters become '?'. */
static void put(frame *f, const char *color, const char *fmt, ...) AC_PRINTF(3, 4);
static void put(frame *f, const char *color, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const ac_view v = ac_view_of(text);
    const bool painted = color && f->s->color;
    if (painted) ac_str_append_c(f->out, color);
    for (size_t i = 0, n; i < v.len; i += n) {
        n = ac_utf8_len(v.ptr + i, v.len - i);
        const unsigned char c = (unsigned char)v.ptr[i];
        const bool control = n == 0 || c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)v.ptr[i + 1] < 0xa0);
        if (n == 0) n = 1;
        const ac_view one = control ? AC_VIEW("?") : ac_view_slice(v, i, i + n);
        const size_t w = ac_text_width(one);
        if (f->used + w > f->s->width) break;
        f->used += w;
        ac_str_append(f->out, one);
    }
    if (painted) ac_str_append_c(f->out, "\x1b[0m");
}

static void label(frame *f, const char *name)
{
    put(f, "\x1b[2m", "%-10s", name);
}

/* "[####------]", as wide as fits beside what comes behind it, at most 30; nothing on narrow screens. */
static void bar(frame *f, double share, const char *color, size_t behind)
{
    char text[40];
    const size_t room = f->s->width > f->used + behind ? f->s->width - f->used - behind : 0, cells = room > 30 ? 30 : room;
    if (cells < 6 || isnan(share)) return;
    const size_t full = (size_t)(fmin(fmax(share, 0), 1) * (double)cells + 0.5);
    for (size_t i = 0; i < cells; i++) text[i] = i < full ? '#' : '-';
    text[cells] = '\0';
    put(f, NULL, "[");
    put(f, color, "%.*s", (int)full, text);
    put(f, NULL, "%s]  ", text + full);
}

/* Least to most in eight heights; the newest on the right. */
static void sparkline(frame *f, const ac_top *t, size_t cells)
{
    static const char *const blocks[] = { "\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
                                          "\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88" };
    double lo = 1e300, hi = -1e300;
    if (t->n_points < 2) return;
    const size_t n = cells < t->n_points ? cells : t->n_points;
    double v[AC_TOP_POINTS];
    for (size_t i = 0; i < n; i++) {
        const size_t from = i * t->n_points / n, to = (i + 1) * t->n_points / n;
        v[i] = 0;
        for (size_t k = from; k < to; k++) v[i] += t->point[k] / (double)(to - from);
        lo = fmin(lo, v[i]);
        hi = fmax(hi, v[i]);
    }
    for (size_t i = 0; i < n; i++) put(f, NULL, "%s", blocks[hi > lo ? (size_t)((v[i] - lo) / (hi - lo) * 7.999) : 0]);
}

static const char *level_color(ac_tel_level l)
{
    static const char *const codes[] = { "\x1b[1;32m", "\x1b[1;33m", "\x1b[1;31m", "\x1b[1;37;41m" };
    return codes[l];
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static double elapsed(const ac_top *t)
{
    return t->tel.n_sessions ? t->tel.until : t->trained_seconds;
}

static void title(frame *f, const ac_top *t)
{
    char at[32];
    ac_human_time(at, elapsed(t));
    put(f, "\x1b[1m", "%s", t->id);
    put(f, NULL, "  %s, %s", t->state[0] ? t->state : "no run.json yet", at);
    if (!ac_top_ended(t) && t->age_seconds > SILENT_SECONDS) {
        ac_human_time(at, t->age_seconds);
        put(f, "\x1b[33m", "  no sign for %s", at);
    }
    end_line(f);
}

static void level_line(frame *f, const ac_top *t)
{
    char at[32];
    label(f, "level");
    if (!t->tel.n_sessions) {
        put(f, "\x1b[2m", "not watched: no telemetry");
    } else {
        const ac_tel_session *s = &t->tel.session[t->tel.n_sessions - 1];
        const ac_tel_level_at *l = &t->tel.level[t->tel.n_levels - 1];
        ac_human_time(at, t->tel.until - l->t);
        put(f, level_color(l->level), "%s", ac_tel_level_name(l->level));
        put(f, NULL, " for %s", at);
        if (t->tel.now.any && t->tel.now.s.paused && !s->ended) put(f, "\x1b[31m", "  paused");
        if (t->tel.now.any && !t->tel.now.valid) put(f, "\x1b[33m", "  blind");
        if (s->ended && s->exit >= 0) put(f, NULL, "  ended with exit %lld", (long long)s->exit);
        else if (s->ended) put(f, "\x1b[31m", "  ended by signal %lld", (long long)s->signal);
    }
    end_line(f);
}

static void step_line(frame *f, const ac_top *t)
{
    char left[32], step[32], of[32];
    const double each = ac_top_step_seconds(t), wait = ac_top_seconds_left(t);
    ac_human_count(step, t->step);
    ac_human_count(of, t->total_steps);
    label(f, "step");
    put(f, NULL, "%s", step);
    if (t->total_steps) {
        put(f, NULL, "/%s  ", of);
        bar(f, (double)t->step / (double)t->total_steps, "\x1b[34m", 30);
    } else {
        put(f, NULL, "  ");
    }
    if (!isnan(each)) put(f, NULL, each < 1 ? "%.2f s/step" : "%.1f s/step", each);
    if (!isnan(wait) && t->total_steps) {
        ac_human_time(left, wait);
        put(f, NULL, "  %s left", left);
    }
    end_line(f);
}

static void loss_line(frame *f, const ac_top *t)
{
    label(f, "loss");
    if (!t->any_loss) put(f, "\x1b[2m", "no step yet");
    else put(f, NULL, "%-9.4g ", t->loss);
    const size_t rest = t->any_valid ? 38 : 4;
    if (t->any_loss && f->s->width > f->used + rest + 8) {
        const size_t room = f->s->width - f->used - rest;
        sparkline(f, t, room < 60 ? room : 60);
    }
    if (t->any_valid) put(f, NULL, "  validation %.4g (best %.4g)", t->valid, t->best);
    end_line(f);
}

static void bytes_of(char out[32], double v)
{
    if (isnan(v)) (void)snprintf(out, 32, "?");
    else ac_human_bytes(out, (uint64_t)fmin(fmax(v, 0), 9e18));
}

static void memory_lines(frame *f, const ac_top *t)
{
    const ac_tel_session *s = &t->tel.session[t->tel.n_sessions - 1];
    const double used = t->tel.now.c[AC_TEL_FOOTPRINT], share = used / s->budget_bytes;
    char a[32], b[32];
    label(f, "memory");
    bytes_of(a, used);
    bytes_of(b, s->budget_bytes);
    put(f, NULL, "%s", a);
    if (!isnan(s->budget_bytes)) {
        put(f, NULL, " of %s  ", b);
        bar(f, share, share >= 0.95 ? "\x1b[31m" : share >= 0.85 ? "\x1b[33m" : "\x1b[32m", 12);
        if (!isnan(share)) put(f, NULL, "%.0f %%", 100 * share);
    }
    end_line(f);
    label(f, "available");
    bytes_of(a, t->tel.now.c[AC_TEL_AVAILABLE]);
    put(f, NULL, "%s", a);
    if (!isnan(t->tel.now.available_share)) put(f, NULL, " (%.1f %% of the memory)", t->tel.now.available_share);
    end_line(f);
}

static void machine_line(frame *f, const ac_top *t)
{
    const double *c = t->tel.now.c;
    label(f, "machine");
    if (isnan(c[AC_TEL_CORES])) put(f, NULL, "cores ?");
    else put(f, NULL, "%.1f cores", c[AC_TEL_CORES]);
    if (!isnan(c[AC_TEL_OTHERS])) put(f, c[AC_TEL_OTHERS] >= 25 ? "\x1b[33m" : NULL, ", others %.0f %%", c[AC_TEL_OTHERS]);
    if (!isnan(c[AC_TEL_MARGIN])) put(f, c[AC_TEL_MARGIN] < 5 ? "\x1b[33m" : NULL, ", %.0f C to the trip point", c[AC_TEL_MARGIN]);
    else put(f, NULL, ", heat not measured");
    if (!isnan(c[AC_TEL_WATTS])) put(f, NULL, ", %.0f W", c[AC_TEL_WATTS]);
    if (!isnan(t->tel.now.battery)) put(f, NULL, ", battery %.0f %%", t->tel.now.battery);
    if (t->tel.now.beside[0]) put(f, "\x1b[33m", ", beside %s", t->tel.now.beside);
    end_line(f);
}

static void setting_line(frame *f, const ac_top *t)
{
    const ac_tel_session *s = &t->tel.session[t->tel.n_sessions - 1];
    const ac_tel_setting *now = &t->tel.now.s;
    label(f, "setting");
    put(f, now->micro < (int64_t)s->micro_start ? "\x1b[33m" : NULL, "micro-batch %lld of %llu", (long long)now->micro,
        (unsigned long long)s->micro_start);
    put(f, NULL, ", recompute %s, ", now->recompute ? "on" : "off");
    put(f, now->duty < 100 ? "\x1b[33m" : NULL, "duty %lld %%", (long long)now->duty);
    put(f, NULL, ", durable: step %llu", (unsigned long long)s->durable);
    end_line(f);
}

/* "micro-batch 4 instead of 8: footprint 87 % of budget, limit 85" */
static void act_words(ac_str *s, const ac_tel_act *a)
{
    const ac_signal_info *about = ac_explain_signal(a->signal);
    ac_explain_headline(s, a);
    if (a->signal && !isnan(a->value)) {
        ac_str_appendf(s, ": %s %.4g", a->signal, a->value);
        if (about) ac_str_appendf(s, " %s", about->unit);
        if (!isnan(a->limit)) ac_str_appendf(s, ", limit %.4g", a->limit);
    } else if (a->text && !a->is_level) {
        ac_str_appendf(s, ": %s", a->text);
    }
}

static void act_lines(frame *f, const ac_top *t)
{
    const size_t room = f->s->height > FIXED_LINES ? f->s->height - FIXED_LINES : f->s->height ? 1 : ACTS_SHOWN;
    const size_t n = t->tel.n_acts < room ? t->tel.n_acts : room;
    char at[32];
    ac_str s = { 0 };
    label(f, "acts");
    put(f, NULL, t->tel.n_acts ? "%zu, the last of them:" : "none", t->tel.n_acts);
    end_line(f);
    for (size_t i = t->tel.n_acts - n; i < t->tel.n_acts; i++) {
        const ac_tel_act *a = &t->tel.act[i];
        ac_human_time(at, a->t);
        ac_str_reset(&s);
        act_words(&s, a);
        put(f, NULL, "%8s  ", at);
        put(f, a->is_level ? level_color(a->to) : NULL, "%s", ac_str_c(&s));
        if (a->acked && !isnan(a->ack_ms)) put(f, "\x1b[2m", "  %s after %.1f s", a->ok ? "obeyed" : "refused", a->ack_ms / 1000);
        end_line(f);
    }
    if (!ac_str_ok(&s)) f->out->failed = true;
    ac_str_release(&s);
}

void ac_top_frame(ac_str *out, const ac_top *t, const ac_top_screen *s)
{
    frame f = { out, s, 0 };
    title(&f, t);
    level_line(&f, t);
    step_line(&f, t);
    loss_line(&f, t);
    if (t->tel.n_sessions && t->tel.now.any) {
        memory_lines(&f, t);
        machine_line(&f, t);
        setting_line(&f, t);
    }
    if (t->tel.n_sessions) act_lines(&f, t);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void acts_json(ac_jw *w, const ac_top *t)
{
    const size_t n = t->tel.n_acts < ACTS_SHOWN ? t->tel.n_acts : ACTS_SHOWN;
    ac_str s = { 0 };
    ac_jw_array(w, "last_acts");
    for (size_t i = t->tel.n_acts - n; i < t->tel.n_acts; i++) {
        const ac_tel_act *a = &t->tel.act[i];
        ac_jw_object(w, NULL);
        ac_jw_f64(w, "t", a->t);
        ac_jw_cstr(w, "act", a->act);
        ac_str_reset(&s);
        act_words(&s, a);
        ac_jw_str(w, "what", ac_str_view(&s));
        ac_jw_f64(w, "ms", a->ack_ms);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    if (!ac_str_ok(&s)) w->out->failed = true;
    ac_str_release(&s);
}

static void watched_json(ac_jw *w, const ac_top *t)
{
    const ac_tel_session *s = &t->tel.session[t->tel.n_sessions - 1];
    const ac_tel_level_at *l = &t->tel.level[t->tel.n_levels - 1];
    const ac_tel_now *n = &t->tel.now;
    ac_jw_cstr(w, "level", ac_tel_level_name(l->level));
    ac_jw_f64(w, "level_seconds", t->tel.until - l->t);
    if (s->ended && s->exit >= 0) ac_jw_i64(w, "exit", s->exit);
    else ac_jw_null(w, "exit");
    ac_jw_f64(w, "budget_bytes", s->budget_bytes);
    ac_jw_u64(w, "micro_start", s->micro_start);
    ac_jw_u64(w, "acts", t->tel.n_acts);
    acts_json(w, t);
    if (!n->any) return;
    ac_jw_u64(w, "durable", s->durable);
    ac_jw_f64(w, "footprint_bytes", n->c[AC_TEL_FOOTPRINT]);
    ac_jw_f64(w, "available_bytes", n->c[AC_TEL_AVAILABLE]);
    ac_jw_f64(w, "cores", n->c[AC_TEL_CORES]);
    ac_jw_f64(w, "foreign_cpu", n->c[AC_TEL_OTHERS]);
    ac_jw_f64(w, "trip_margin", n->c[AC_TEL_MARGIN]);
    ac_jw_f64(w, "watts", n->c[AC_TEL_WATTS]);
    ac_jw_i64(w, "micro", n->s.micro);
    ac_jw_bool(w, "recompute", n->s.recompute);
    ac_jw_i64(w, "duty", n->s.duty);
    ac_jw_bool(w, "paused", n->s.paused);
    ac_jw_cstr(w, "beside", n->beside[0] ? n->beside : NULL);
}

void ac_top_json(ac_str *out, const ac_top *t)
{
    ac_jw w;
    ac_jw_init(&w, out, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "run", t->id);
    ac_jw_cstr(&w, "state", t->state[0] ? t->state : NULL);
    ac_jw_bool(&w, "ended", ac_top_ended(t));
    ac_jw_f64(&w, "age_seconds", t->age_seconds);
    ac_jw_f64(&w, "seconds", elapsed(t));
    ac_jw_u64(&w, "step", t->step);
    ac_jw_u64(&w, "total_steps", t->total_steps);
    ac_jw_f64(&w, "step_seconds", ac_top_step_seconds(t));
    ac_jw_f64(&w, "seconds_left", ac_top_seconds_left(t));
    ac_jw_f64(&w, "loss", t->any_loss ? t->loss : (double)NAN);
    ac_jw_f64(&w, "valid_loss", t->any_valid ? t->valid : (double)NAN);
    ac_jw_f64(&w, "best_valid_loss", t->any_valid ? t->best : (double)NAN);
    ac_jw_bool(&w, "telemetry", t->tel.n_sessions > 0);
    if (t->tel.n_sessions) watched_json(&w, t);
    ac_jw_end_object(&w);
}
