/* Escaping and the loss curve. */
#include "report/report_int.h"

#include <math.h>

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

/* ---- the loss curve ------------------------------------------------------------------------------------- */

#define W      860.0
#define H      300.0
#define LEFT   56.0
#define RIGHT  14.0
#define TOP    12.0
#define BOTTOM 34.0

typedef struct {
    double x0, x1, y0, y1;    /* data range; y in log10 */
} frame;

static double px(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (W - LEFT - RIGHT);
}

static double py(const frame *f, double v)
{
    const double y = log10(fmax(v, 1e-12));
    return TOP + (f->y1 - y) / (f->y1 - f->y0) * (H - TOP - BOTTOM);
}

static void widen(frame *f, const ac_point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double y = log10(fmax(p[i].value, 1e-12));
        f->x0 = fmin(f->x0, p[i].step);
        f->x1 = fmax(f->x1, p[i].step);
        f->y0 = fmin(f->y0, y);
        f->y1 = fmax(f->y1, y);
    }
}

static void polyline(ac_str *out, const frame *f, const ac_point *p, size_t n, const char *cls)
{
    ac_str_appendf(out, "<polyline class=\"%s\" points=\"", cls);
    for (size_t i = 0; i < n; i++) ac_str_appendf(out, "%.1f,%.1f ", px(f, p[i].step), py(f, p[i].value));
    ac_str_append_c(out, "\"/>\n");
}

/* Mean of each point and the seven before it: one step's loss says little. */
static void smooth_line(ac_str *out, const frame *f, const ac_point *p, size_t n)
{
    ac_str_append_c(out, "<polyline class=\"train\" points=\"");
    for (size_t i = 0; i < n; i++) {
        const size_t from = i >= 7 ? i - 7 : 0;
        double sum = 0;
        for (size_t k = from; k <= i; k++) sum += p[k].value;
        ac_str_appendf(out, "%.1f,%.1f ", px(f, p[i].step), py(f, sum / (double)(i - from + 1)));
    }
    ac_str_append_c(out, "\"/>\n");
}

static void loss_ticks(ac_str *out, const frame *f)
{
    static const double parts[] = { 1, 2, 5 };
    for (int e = (int)floor(f->y0); e <= (int)ceil(f->y1); e++) {
        for (size_t k = 0; k < AC_COUNTOF(parts); k++) {
            const double v = parts[k] * pow(10, e), y = log10(v);
            if (y < f->y0 || y > f->y1) continue;
            ac_str_appendf(out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                           "<text class=\"tick\" x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                           LEFT, W - RIGHT, py(f, v), py(f, v), LEFT - 6, py(f, v) + 4, v);
        }
    }
}

static void step_ticks(ac_str *out, const frame *f)
{
    const double raw = (f->x1 - f->x0) / 8, mag = pow(10, floor(log10(fmax(raw, 1))));
    const double unit = raw / mag > 5 ? 10 * mag : raw / mag > 2 ? 5 * mag : raw / mag > 1 ? 2 * mag : mag;
    for (double x = ceil(f->x0 / unit) * unit; x <= f->x1; x += unit)
        ac_str_appendf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%.0f</text>\n",
                       px(f, x), H - BOTTOM + 16, x);
    ac_str_appendf(out, "<text class=\"tick\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">step</text>\n",
                   (LEFT + W - RIGHT) / 2, H - 4);
}

void ac_html_loss_curve(ac_str *out, const ac_curves *c)
{
    if (c->n_train == 0) {
        ac_str_append_c(out, "<p class=\"note\">No steps were recorded.</p>\n");
        return;
    }
    frame f = { 1e300, -1e300, 1e300, -1e300 };
    widen(&f, c->train, c->n_train);
    widen(&f, c->valid, c->n_valid);
    if (f.x1 <= f.x0) f.x1 = f.x0 + 1;
    f.y0 -= 0.05;
    f.y1 += 0.05;
    ac_str_appendf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"loss by step\">\n", W, H);
    loss_ticks(out, &f);
    step_ticks(out, &f);
    polyline(out, &f, c->train, c->n_train, "raw");
    smooth_line(out, &f, c->train, c->n_train);
    if (c->n_valid) polyline(out, &f, c->valid, c->n_valid, "valid");
    for (size_t i = 0; i < c->n_valid; i++)
        ac_str_appendf(out, "<circle class=\"valid\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>validation loss %.5f at step "
                       "%.0f</title></circle>\n", px(&f, c->valid[i].step), py(&f, c->valid[i].value), c->valid[i].value,
                       c->valid[i].step);
    ac_str_append_c(out, "</svg>\n<p class=\"legend\"><span class=\"key train\"></span> training loss (mean of 8 steps; "
                         "thin: each step) <span class=\"key valid\"></span> validation loss &middot; logarithmic</p>\n");
}
