/* report/report_int.h - pieces of the page. All append to out and leave failures in it. */
#ifndef AC_REPORT_REPORT_INT_H
#define AC_REPORT_REPORT_INT_H

#include <stddef.h>

#include "base/mem.h"
#include "base/str.h"
#include "formats/json.h"

typedef struct {
    double step, value;
} ac_point;

typedef struct {
    ac_point *train, *valid;
    size_t n_train, n_valid;
} ac_curves;

/* Text with &, <, >, " and control characters made harmless. */
void ac_html_text(ac_str *out, ac_view v);
void ac_html_loss_curve(ac_str *out, const ac_curves *c);
/* A bar per arm with its 95 % interval. */
void ac_html_arms(ac_str *out, const ac_json *verdict);
void ac_html_comparisons(ac_str *out, const ac_json *verdict);
void ac_html_cases(ac_str *out, const ac_json *verdict);

/* Reads that never fail: a missing value, or one of another type, gives the fallback. o may be NULL. */
double  ac_json_number_or(const ac_json *o, const char *key, double fallback);
ac_view ac_json_text_or(const ac_json *o, const char *key, const char *fallback);

#endif
