/* Escaping, charts and the loss curve. */
#include "report/report_int.h"

#include <math.h>
#include <stdio.h>

void ac_html_text(ac_str *out, ac_view v)
{
    for (size_t i = 0; i < v.len; i++) {
        const unsigned char c = (unsigned char)v.ptr[i];
        if (c == '&') ac_str_append_c(out, "&amp;");
        else if (c == '<') ac_str_append_c(out, "&lt;");
        else if (c == '>') ac_str_append_c(out, "&gt;");
        else if (c == '"') ac_str_append_c(out, "&quot;");
        else if (c == '\n' || c == '\t' || c >= ' ') ac_str_append_char(out, (char)c);
        else ac_str_append_char(out, ' ');
    }
}

double ac_json_number_or(const ac_json *o, const char *key, double fallback)
{
    const ac_json *v = o ? ac_json_get(o, key) : NULL;
    return v && v->type == AC_JSON_NUMBER ? v->number : fallback;
}

ac_view ac_json_text_or(const ac_json *o, const char *key, const char *fallback)
{
    const ac_json *v = o ? ac_json_get(o, key) : NULL;
    return v && v->type == AC_JSON_STRING ? v->text : ac_view_of(fallback);
}

/* ---- charts --------------------------------------------------------------------------------------------- */

double ac_chart_x(const ac_chart *c, double x)
{
    return AC_CHART_LEFT + (x - c->x0) / (c->x1 - c->x0) * (AC_CHART_W - AC_CHART_LEFT - AC_CHART_RIGHT);
}

static double scaled(const ac_chart *c, double v)
{
    return c->log ? log10(fmax(v, 1e-12)) : v;
}

double ac_chart_y(const ac_chart *c, double v)
{
    return c->top + (c->y1 - scaled(c, v)) / (c->y1 - c->y0) * c->height;
}

double ac_chart_unit(double raw)
{
    const double mag = pow(10, floor(log10(fmax(raw, 1e-9))));
    return raw / mag > 5 ? 10 * mag : raw / mag > 2 ? 5 * mag : raw / mag > 1 ? 2 * mag : mag;
}

/* ---- the loss curve ------------------------------------------------------------------------------------- */

#define HEIGHT 300.0
#define TOP    12.0
#define BOTTOM 34.0

static void widen(ac_chart *f, const ac_point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double y = scaled(f, p[i].value);
        f->x0 = fmin(f->x0, p[i].x);
        f->x1 = fmax(f->x1, p[i].x);
        f->y0 = fmin(f->y0, y);
        f->y1 = fmax(f->y1, y);
    }
}

ac_chart ac_chart_of_loss(const ac_curves *c, double top, double height)
{
    ac_chart f = { 1e300, -1e300, 1e300, -1e300, top, height, true };
    widen(&f, c->train, c->n_train);
    widen(&f, c->valid, c->n_valid);
    if (!(f.x1 > f.x0)) f.x1 = f.x0 + 1;
    f.y0 -= 0.05;
    f.y1 += 0.05;
    return f;
}

static void polyline(ac_str *out, const ac_chart *f, const ac_point *p, size_t n, const char *cls)
{
    ac_str_appendf(out, "<polyline class=\"%s\" points=\"", cls);
    for (size_t i = 0; i < n; i++) ac_str_appendf(out, "%.1f,%.1f ", ac_chart_x(f, p[i].x), ac_chart_y(f, p[i].value));
    ac_str_append_c(out, "\"/>\n");
}

/* Mean of each point and the seven before it: one step's loss says little. */
static void smooth_line(ac_str *out, const ac_chart *f, const ac_point *p, size_t n)
{
    ac_str_append_c(out, "<polyline class=\"train\" points=\"");
    for (size_t i = 0; i < n; i++) {
        const size_t from = i >= 7 ? i - 7 : 0;
        double sum = 0;
        for (size_t k = from; k <= i; k++) sum += p[k].value;
        ac_str_appendf(out, "%.1f,%.1f ", ac_chart_x(f, p[i].x), ac_chart_y(f, sum / (double)(i - from + 1)));
    }
    ac_str_append_c(out, "\"/>\n");
}

void ac_html_grid(ac_str *out, const ac_chart *f, double v, const char *label)
{
    const double y = ac_chart_y(f, v);
    ac_str_appendf(out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                   "<text class=\"tick\" x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                   AC_CHART_LEFT, AC_CHART_W - AC_CHART_RIGHT, y, y, AC_CHART_LEFT - 6, y + 4, label);
}

static void loss_ticks(ac_str *out, const ac_chart *f)
{
    static const double parts[] = { 1, 2, 5 };
    char label[32];
    const bool crowded = (f->y1 - f->y0) * 45 > f->height;       /* then only the powers of ten */
    for (int e = (int)floor(f->y0); e <= (int)ceil(f->y1); e++) {
        for (size_t k = 0; k < (crowded ? 1 : AC_COUNTOF(parts)); k++) {
            const double v = parts[k] * pow(10, e), y = log10(v);
            if (y < f->y0 || y > f->y1) continue;
            (void)snprintf(label, sizeof label, "%g", v);
            ac_html_grid(out, f, v, label);
        }
    }
}

static void step_ticks(ac_str *out, const ac_chart *f)
{
    const double unit = fmax(1, ac_chart_unit((f->x1 - f->x0) / 8));
    for (double x = ceil(f->x0 / unit) * unit; x <= f->x1; x += unit)
        ac_str_appendf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%.0f</text>\n",
                       ac_chart_x(f, x), HEIGHT - BOTTOM + 16, x);
    ac_str_appendf(out, "<text class=\"tick\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">step</text>\n",
                   (AC_CHART_LEFT + AC_CHART_W - AC_CHART_RIGHT) / 2, HEIGHT - 4);
}

void ac_html_loss_lines(ac_str *out, const ac_chart *f, const ac_curves *c)
{
    loss_ticks(out, f);
    polyline(out, f, c->train, c->n_train, "raw");
    smooth_line(out, f, c->train, c->n_train);
    if (c->n_valid) polyline(out, f, c->valid, c->n_valid, "valid");
    for (size_t i = 0; i < c->n_valid; i++)
        ac_str_appendf(out, "<circle class=\"valid\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>validation loss %.5f at step "
                       "%.0f</title></circle>\n", ac_chart_x(f, c->valid[i].x), ac_chart_y(f, c->valid[i].value),
                       c->valid[i].value, c->valid[i].step);
}

void ac_html_loss_curve(ac_str *out, const ac_curves *c)
{
    if (c->n_train == 0) {
        ac_str_append_c(out, "<p class=\"note\">No steps were recorded.</p>\n");
        return;
    }
    const ac_chart f = ac_chart_of_loss(c, TOP, HEIGHT - TOP - BOTTOM);
    ac_str_appendf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"loss by step\">\n", AC_CHART_W, HEIGHT);
    step_ticks(out, &f);
    ac_html_loss_lines(out, &f, c);
    ac_str_append_c(out, "</svg>\n<p class=\"legend\"><span class=\"key train\"></span> training loss (mean of 8 steps; "
                         "thin: each step) <span class=\"key valid\"></span> validation loss &middot; logarithmic</p>\n");
}
