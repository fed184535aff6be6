/* report/report_int.h - pieces of the page. All append to out and leave failures in it. */
#ifndef AC_REPORT_REPORT_INT_H
#define AC_REPORT_REPORT_INT_H

#include <stddef.h>

#include "base/mem.h"
#include "base/str.h"
#include "formats/json.h"
#include "ledger/telemetry.h"

typedef struct {
    double step, value;
    double x;                        /* where it stands on the axis: the step, or when it was finished */
} ac_point;

typedef struct {
    ac_point *train, *valid;
    size_t n_train, n_valid;
} ac_curves;

/* Text with &, <, >, " and control characters made harmless. */
void ac_html_text(ac_str *out, ac_view v);
void ac_html_loss_curve(ac_str *out, const ac_curves *c);
/* The same on the time axis, and under it memory, levels, settings and the guard's acts with their list. */
void ac_html_guard_curves(ac_str *out, const ac_curves *c, const ac_tel *t);
/* A table: time at each level, what the guard cost. */
void ac_html_guard_sums(ac_str *out, const ac_tel *t);
/* A bar per arm with its 95 % interval. */
void ac_html_arms(ac_str *out, const ac_json *verdict);
void ac_html_comparisons(ac_str *out, const ac_json *verdict);
void ac_html_cases(ac_str *out, const ac_json *verdict);

/* ---- charts: all as wide, so that they stand under each other ---- */
#define AC_CHART_W     860.0
#define AC_CHART_LEFT  56.0
#define AC_CHART_RIGHT 14.0
typedef struct {
    double x0, x1, y0, y1;           /* data range; y in log10 where log is set */
    double top, height;
    bool log;
} ac_chart;
double   ac_chart_x(const ac_chart *c, double x);
double   ac_chart_y(const ac_chart *c, double v);
double   ac_chart_unit(double raw);                    /* 1, 2 or 5 times a power of ten, not below raw */
ac_chart ac_chart_of_loss(const ac_curves *c, double top, double height);
void     ac_html_loss_lines(ac_str *out, const ac_chart *f, const ac_curves *c);
void     ac_html_grid(ac_str *out, const ac_chart *f, double v, const char *label);    /* a line with its label at the left */

/* Reads that never fail: a missing value, or one of another type, gives the fallback. o may be NULL. */
double  ac_json_number_or(const ac_json *o, const char *key, double fallback);
ac_view ac_json_text_or(const ac_json *o, const char *key, const char *fallback);

#endif
