/* The guard under the loss curve: one picture on one axis of time, its acts as numbered marks, and the list of them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/report_int.h"

#define MARKS_Y   14.0
#define LOSS_TOP  30.0
#define LOSS_H    200.0
#define SHARE_TOP 258.0
#define SHARE_H   90.0
#define AVAIL_TOP 376.0
#define AVAIL_H   60.0
#define LEVEL_TOP 450.0
#define SET_TOP   470.0
#define STRIP_H   14.0
#define TICKS_TOP 502.0
#define HEIGHT    532.0
#define RIGHT     (AC_CHART_W - AC_CHART_RIGHT)
#define ACTS_OPEN ((size_t)25)       /* longer lists are folded */
#define ACTS_LISTED ((size_t)1000)

/* 0:07, 12:34, 1:02:03 */
static void clock_text(char out[32], double seconds)
{
    const unsigned long long s = (unsigned long long)(fmin(fmax(seconds, 0), 3.6e9) + 0.5);
    if (s >= 3600) (void)snprintf(out, 32, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else (void)snprintf(out, 32, "%llu:%02llu", s / 60, s % 60);
}

static void panel_name(ac_str *out, double top, const char *name)
{
    ac_str_appendf(out, "<text class=\"panel\" x=\"%.0f\" y=\"%.0f\">%s</text>\n", AC_CHART_LEFT, top - 6, name);
}

static void box(ac_str *out, const char *cls, double x0, double x1, double y, double h, const char *title)
{
    ac_str_appendf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\"><title>%s</title></rect>\n", cls, x0, y,
                   fmax(x1 - x0, 1), h, title);
}

/* ---- levels and settings ---------------------------------------------------------------------------------------- */

static void levels(ac_str *out, const ac_chart *x, const ac_tel *t)
{
    char from[32], to[32], title[128], cls[32];
    for (size_t i = 0; i < t->n_levels; i++) {
        const double end = i + 1 < t->n_levels ? t->level[i + 1].t : t->until;
        const char *name = ac_tel_level_name(t->level[i].level);
        const double x0 = ac_chart_x(x, t->level[i].t), x1 = ac_chart_x(x, end);
        clock_text(from, t->level[i].t);
        clock_text(to, end);
        (void)snprintf(title, sizeof title, "%s from %s to %s", name, from, to);
        box(out, name, x0, x1, LEVEL_TOP, STRIP_H, title);
        if (t->level[i].level == AC_TEL_GREEN) continue;
        (void)snprintf(cls, sizeof cls, "tint %s", name);
        box(out, cls, x0, x1, LOSS_TOP, LEVEL_TOP - LOSS_TOP, title);
    }
}

static void setting_words(char *out, size_t size, const ac_tel_setting *s)
{
    char duty[40] = "";
    if (s->duty < 100) (void)snprintf(duty, sizeof duty, ", duty %lld %%", (long long)s->duty);
    if (s->paused) (void)snprintf(out, size, "paused");
    else (void)snprintf(out, size, "micro-batch %lld%s%s", (long long)s->micro, s->recompute ? ", recompute" : "", duty);
}

static void settings(ac_str *out, const ac_chart *x, const ac_tel *t)
{
    const ac_tel_session *first = &t->session[0];
    char from[32], words[96], title[192];
    for (size_t i = 0; i < t->n_settings; i++) {
        const ac_tel_setting *s = &t->setting[i].s;
        const double end = i + 1 < t->n_settings ? t->setting[i + 1].t : t->until;
        const double x0 = ac_chart_x(x, t->setting[i].t), x1 = ac_chart_x(x, end);
        const bool full = s->micro == (int64_t)first->micro_start && s->recompute == first->recompute && s->duty == 100;
        setting_words(words, sizeof words, s);
        clock_text(from, t->setting[i].t);
        (void)snprintf(title, sizeof title, "from %s: %s", from, words);
        box(out, s->paused ? "paused" : full ? "full" : "small", x0, x1, SET_TOP, STRIP_H, title);
        if (x1 - x0 > 6.5 * (double)strlen(words))
            ac_str_appendf(out, "<text class=\"strip%s\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n", s->paused ? " on" : "",
                           (x0 + x1) / 2, SET_TOP + 11, words);
    }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* What a value is multiplied by: GiB, or the share of the budget, which another process may have had otherwise. */
static double scale_of(const ac_tel *t, const ac_tel_bucket *b, bool shares)
{
    return shares ? 100 / t->session[b->session].budget_bytes : 1.0 / (1 << 30);
}

static double most(const ac_tel *t, ac_tel_curve c, bool shares)
{
    double hi = 0;
    for (size_t i = 0; i < AC_TEL_BUCKETS; i++)
        if (t->bucket[i].n) hi = fmax(hi, t->bucket[i].c[c].hi * scale_of(t, &t->bucket[i], shares));
    return hi;
}

/* The range of each interval as an area, its last value as a line; a gap where nothing was measured. */
static void curve(ac_str *out, const ac_chart *f, const ac_tel *t, ac_tel_curve c, bool shares, const char *cls)
{
    bool open = false;
    for (size_t i = 0; i < AC_TEL_BUCKETS; i++) {
        const ac_tel_bucket *b = &t->bucket[i];
        if (!b->n || isnan(b->c[c].last)) continue;
        const double scale = scale_of(t, b, shares);
        const double lo = ac_chart_y(f, b->c[c].lo * scale), hi = ac_chart_y(f, b->c[c].hi * scale);
        if (lo - hi >= 1)
            ac_str_appendf(out, "<rect class=\"range %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", cls,
                           ac_chart_x(f, b->t0), hi, fmax(1, ac_chart_x(f, b->t1) - ac_chart_x(f, b->t0)), lo - hi);
    }
    for (size_t i = 0; i < AC_TEL_BUCKETS; i++) {
        const ac_tel_bucket *b = &t->bucket[i];
        if (!b->n) continue;
        const bool known = !isnan(b->c[c].last);
        if (!known && open) ac_str_append_c(out, "\"/>\n");
        if (known && !open) ac_str_appendf(out, "<polyline class=\"%s\" points=\"", cls);
        open = known;
        if (known) ac_str_appendf(out, "%.1f,%.1f ", ac_chart_x(f, b->t1), ac_chart_y(f, b->c[c].last * scale_of(t, b, shares)));
    }
    if (open) ac_str_append_c(out, "\"/>\n");
}

static void unit_grid(ac_str *out, const ac_chart *f, double lines, const char *unit)
{
    char label[48];
    const double step = ac_chart_unit((f->y1 - f->y0) / lines);
    for (double v = 0; v <= f->y1; v += step) {
        (void)snprintf(label, sizeof label, "%g%s", v, unit);
        ac_html_grid(out, f, v, label);
    }
}

static void bytes_text(char out[32], double v)
{
    if (v >= (double)(1 << 30)) (void)snprintf(out, 32, "%.2f GiB", v / (1 << 30));
    else (void)snprintf(out, 32, "%.1f MiB", v / (1 << 20));
}

/* The share of the budget; small shares are not pressed flat by a line far above them. */
static void share_panel(ac_str *out, const ac_chart *x, const ac_tel *t)
{
    char name[160], budget[32];
    bool shares = true, one = true;
    for (size_t i = 0; i < t->n_sessions; i++) {
        shares = shares && t->session[i].budget_bytes > 0;
        one = one && !(fabs(t->session[i].budget_bytes - t->session[0].budget_bytes) > 0);
    }
    const double top = most(t, AC_TEL_FOOTPRINT, shares);
    const bool near = shares && top >= 40;
    ac_chart f = { x->x0, x->x1, 0, near ? fmax(top, 100) * 1.08 : fmax(top * 1.25, 1e-3), SHARE_TOP, SHARE_H, false };
    bytes_text(budget, t->session[0].budget_bytes);
    if (!shares) (void)snprintf(name, sizeof name, "memory of the run, GiB (no budget)");
    else (void)snprintf(name, sizeof name, "memory of the run, %% of %s%s, at most %.3g %%",
                        one ? "the budget of " : "each process's budget", one ? budget : "", top);
    panel_name(out, SHARE_TOP, name);
    unit_grid(out, &f, 3, shares ? " %" : "");
    if (near)
        ac_str_appendf(out, "<line class=\"limit\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", AC_CHART_LEFT, RIGHT,
                       ac_chart_y(&f, 100), ac_chart_y(&f, 100));
    if (top > 0) curve(out, &f, t, AC_TEL_FOOTPRINT, shares, "foot");
    else ac_str_appendf(out, "<text class=\"tick\" x=\"%.0f\" y=\"%.0f\">not measured</text>\n", AC_CHART_LEFT + 8, SHARE_TOP + 40);
}

static void available_panel(ac_str *out, const ac_chart *x, const ac_tel *t)
{
    const double top = most(t, AC_TEL_AVAILABLE, false);
    ac_chart f = { x->x0, x->x1, 0, fmax(top, 1e-3) * 1.12, AVAIL_TOP, AVAIL_H, false };
    panel_name(out, AVAIL_TOP, "available memory of the machine, GiB");
    unit_grid(out, &f, 3, "");
    if (top > 0) curve(out, &f, t, AC_TEL_AVAILABLE, false, "avail");
    else ac_str_appendf(out, "<text class=\"tick\" x=\"%.0f\" y=\"%.0f\">not measured</text>\n", AC_CHART_LEFT + 8, AVAIL_TOP + 30);
}

/* ---- the axis --------------------------------------------------------------------------------------------------- */

static double time_unit(double raw)
{
    static const double units[] = { 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200 };
    for (size_t i = 0; i < AC_COUNTOF(units); i++)
        if (units[i] >= raw) return units[i];
    return ceil(raw / 86400) * 86400;
}

static void tick(ac_str *out, double x, double y, const char *anchor, const char *text)
{
    ac_str_appendf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, text);
}

static void axis(ac_str *out, const ac_chart *x, const ac_tel *t, const ac_curves *c)
{
    char text[32];
    const double unit = time_unit((x->x1 - x->x0) / 8);
    double right = 0;
    for (double v = 0; v <= x->x1; v += unit) {
        clock_text(text, v);
        const double at = ac_chart_x(x, v), over = at + 3.6 * (double)strlen(text) - AC_CHART_W;
        tick(out, at - fmax(over, 0), TICKS_TOP, "middle", text);
    }
    const double last = c->n_train ? c->train[c->n_train - 1].step : (double)t->now.step;
    const double steps = fmax(1, ac_chart_unit(last / 10));
    for (double s = steps; s <= last; s += steps) {
        const double at = ac_chart_x(x, ac_tel_time_of_step(t, s));
        if (isnan(at) || at < right + 6 || at > RIGHT) continue;      /* steps stand close where they were fast */
        (void)snprintf(text, sizeof text, "%.0f", s);
        tick(out, at, TICKS_TOP + 18, "middle", text);
        right = at + 7 * (double)strlen(text);
    }
    tick(out, AC_CHART_LEFT - 6, LEVEL_TOP + 11, "end", "level");
    tick(out, AC_CHART_LEFT - 6, SET_TOP + 11, "end", "setting");
    tick(out, AC_CHART_LEFT - 22, TICKS_TOP, "end", "time");
    tick(out, AC_CHART_LEFT - 22, TICKS_TOP + 18, "end", "step");
}

static void seams(ac_str *out, const ac_chart *x, const ac_tel *t)
{
    for (size_t i = 1; i < t->n_sessions; i++) {
        const double at = ac_chart_x(x, t->session[i].from);
        ac_str_appendf(out, "<line class=\"seam\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"><title>resumed at step %llu</title>"
                       "</line>\n", at, at, LOSS_TOP, SET_TOP + STRIP_H, (unsigned long long)t->session[i].resumed_at);
    }
}

/* ---- marks ------------------------------------------------------------------------------------------------------ */

typedef struct {
    size_t first, last;              /* acts, from 1; first 0: no mark */
    double left;
} mark;

static double width(const mark *m)
{
    char text[48];
    const int n = m->first == m->last ? snprintf(text, sizeof text, "%zu", m->first)
                                      : snprintf(text, sizeof text, "%zu-%zu", m->first, m->last);
    return 9 + 7.2 * n;
}

static void put_mark(ac_str *out, const mark *m)
{
    const double w = width(m);
    ac_str_appendf(out, "<g class=\"mark\"><rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"16\" rx=\"8\"/>"
                   "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%zu", m->left, MARKS_Y - 8, w, m->left + w / 2, MARKS_Y + 4,
                   m->first);
    if (m->last != m->first) ac_str_appendf(out, "-%zu", m->last);
    ac_str_append_c(out, "</text></g>\n");
}

/* Acts that would lie on each other share a mark; a mark grows to the right, and none lies on the one before it. */
static void marks(ac_str *out, const ac_chart *x, const ac_tel *t)
{
    mark now = { 0 };
    double line = -1e9, right = -1e9;                    /* of the marks that are out */
    for (size_t i = 0; i < t->n_acts; i++) {
        const double at = ac_chart_x(x, t->act[i].t);
        mark one = { i + 1, i + 1, 0 };
        if (at - line >= 1) {
            line = at;
            ac_str_appendf(out, "<line class=\"act\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>\n", line, line, MARKS_Y + 8,
                           SET_TOP + STRIP_H);
        }
        one.left = fmin(at, RIGHT - width(&one) / 2) - width(&one) / 2;
        if (now.first && one.left < now.left + width(&now) + 3) {
            now.last = one.last;
            now.left = fmax(right + 3, fmin(now.left, RIGHT - width(&now)));
            continue;
        }
        if (now.first) {
            put_mark(out, &now);
            right = now.left + width(&now);
        }
        now = one;
    }
    if (now.first) put_mark(out, &now);
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

static void what(ac_str *out, const ac_tel_act *a)
{
    if (a->is_level) {
        ac_str_appendf(out, "%s, %s before", ac_tel_level_name(a->to), ac_tel_level_name(a->from));
        return;
    }
    ac_html_text(out, ac_view_of(a->act));
    if (!isnan(a->arg) && a->arg > 0) ac_str_appendf(out, " %g", a->arg);
    if (!isnan(a->before) && fabs(a->before - a->arg) > 0) ac_str_appendf(out, " instead of %g", a->before);
}

static void act_row(ac_str *out, const ac_tel_act *a, size_t number)
{
    char at[32];
    clock_text(at, a->t);
    ac_str_appendf(out, "<tr><td class=\"num\">%zu</td><td class=\"num\">%s</td><td class=\"num\">%llu</td><td>", number, at,
                   (unsigned long long)a->step);
    what(out, a);
    ac_str_append_c(out, "</td><td>");
    if (a->text) ac_html_text(out, ac_view_of(a->text));
    else if (a->signal) {
        ac_html_text(out, ac_view_of(a->signal));
        if (!isnan(a->value)) ac_str_appendf(out, " %g", a->value);
        if (!isnan(a->limit)) ac_str_appendf(out, ", limit %g", a->limit);
    }
    ac_str_append_c(out, "</td><td>");
    if (a->acked) {
        ac_str_append_c(out, a->ok ? "obeyed" : "refused");
        if (!isnan(a->ack_ms)) ac_str_appendf(out, a->ack_ms < 1000 ? " after %.0f ms" : " after %.1f s",
                                              a->ack_ms < 1000 ? a->ack_ms : a->ack_ms / 1000);
    }
    ac_str_append_c(out, "</td></tr>\n");
}

static void act_list(ac_str *out, const ac_tel *t)
{
    const size_t n = t->n_acts < ACTS_LISTED ? t->n_acts : ACTS_LISTED;
    if (!n) {
        ac_str_append_c(out, "<p class=\"note\">The guard had nothing to do.</p>\n");
        return;
    }
    ac_str_appendf(out, "<details%s><summary>%zu act%s of the guard</summary><table class=\"acts\"><thead><tr><th class=\"num\">#</th>"
                   "<th class=\"num\">time</th><th class=\"num\">step</th><th>act</th><th>why</th><th>the trainer</th></tr></thead>"
                   "<tbody>\n", n <= ACTS_OPEN ? " open" : "", t->n_acts, ac_plural(t->n_acts));
    for (size_t i = 0; i < n; i++) act_row(out, &t->act[i], i + 1);
    ac_str_append_c(out, "</tbody></table></details>\n");
    if (t->n_acts > n || t->left_out) ac_str_append_c(out, "<p class=\"note\">Not all of them are listed.</p>\n");
    ac_str_append_c(out, "<p class=\"note\"><code>accord guard explain</code> tells each with its rule, and what in the contract would "
                         "have it otherwise.</p>\n");
}

void ac_html_guard_curves(ac_str *out, const ac_curves *c, const ac_tel *t)
{
    ac_chart f = ac_chart_of_loss(c, LOSS_TOP, LOSS_H);
    f.x0 = 0;
    f.x1 = fmax(t->until, 1);
    if (!c->n_train && !c->n_valid) {
        f.y0 = -1;
        f.y1 = 1;
    }
    ac_str_appendf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"loss, memory, levels and acts of the guard by time\">\n",
                   AC_CHART_W, HEIGHT);
    levels(out, &f, t);
    if (c->n_train || c->n_valid) ac_html_loss_lines(out, &f, c);
    else tick(out, (AC_CHART_LEFT + RIGHT) / 2, LOSS_TOP + LOSS_H / 2, "middle", "no loss is on record for this time");
    share_panel(out, &f, t);
    available_panel(out, &f, t);
    settings(out, &f, t);
    seams(out, &f, t);
    axis(out, &f, t, c);
    marks(out, &f, t);
    ac_str_append_c(out, "</svg>\n<p class=\"legend\"><span class=\"key train\"></span> training loss (mean of 8 steps; thin: each step) "
                         "<span class=\"key valid\"></span> validation loss &middot; logarithmic, over the running time; numbers: "
                         "what the guard did; coloured: not green");
    if (t->n_sessions > 1) ac_str_append_c(out, "; solid upright line: a resume");
    ac_str_append_c(out, "</p>\n");
    act_list(out, t);
}

void ac_html_guard_sums(ac_str *out, const ac_tel *t)
{
    double seconds[AC_TEL_LEVELS + 1], cpu = 0;
    const double cost = ac_tel_cost_seconds(t);
    char at[32];
    ac_tel_level_seconds(t, seconds);
    ac_str_append_c(out, "<h2>Guard</h2>\n<table><tbody>\n");
    for (size_t i = 0; i <= AC_TEL_LEVELS; i++) {
        if (i && seconds[i] <= 0) continue;
        clock_text(at, seconds[i]);
        ac_str_appendf(out, "<tr><td>%s</td><td class=\"num\">%s</td></tr>\n",
                       i < AC_TEL_LEVELS ? ac_tel_level_name((ac_tel_level)i) : "paused, of it", at);
    }
    for (size_t i = 0; i < t->n_sessions; i++)
        if (t->session[i].guard_cpu_seconds > 0) cpu += t->session[i].guard_cpu_seconds;
    if (!isnan(cost)) {
        clock_text(at, cost);
        ac_str_appendf(out, "<tr><td>what it cost in time, about</td><td class=\"num\">%s</td></tr>\n", at);
    }
    ac_str_appendf(out, "<tr><td>CPU seconds of the guard itself</td><td class=\"num\">%.2f</td></tr>\n</tbody></table>\n", cpu);
}
