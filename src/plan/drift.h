/* plan/drift.h - does production still look like what was trained and tested on? Measures over texts and their vectors.
 *
 * D1  All sums are binary64 in a fixed order; ties go to the lower index: the same input gives the same figures.
 * D2  A vector is `hidden` floats of length 1 (ac_model_embed); the distance of two is 1 - their inner product. */
#ifndef AC_PLAN_DRIFT_H
#define AC_PLAN_DRIFT_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* Two-sample Kolmogorov-Smirnov: the largest distance of the two distribution functions, and the p of the asymptotic
 * formula with Stephens' small-sample term (Press et al., Numerical Recipes, 14.3). a and b are sorted in place. */
double ac_drift_ks(double *a, size_t n, double *b, size_t m, double *p);
/* Quantile q of sorted values, between neighbours in proportion; 0 when there are none. */
double ac_drift_quantile(const double *sorted, size_t n, double q);

/* Share of words of `logs` that no text of `known` has; words of one letter and numbers are left out. The commonest of
 * them, at most *n_top, go to top with their counts, in the arena. */
typedef struct {
    const char *word;
    size_t count;
} ac_drift_word;
ac_status ac_drift_unseen(double *share, ac_drift_word *top, size_t *n_top, const ac_view *logs, size_t n_logs,
                          const ac_view *known, size_t n_known, ac_arena *a, ac_err *err);

/* Share of logs that lie further from every row than 95 of 100 rows lie from their nearest other row; that distance goes to
 * *limit. Fewer than 20 rows: NAN. */
double ac_drift_novel(const float *logs, size_t n_logs, const float *rows, size_t n_rows, size_t hidden, double *limit,
                      ac_arena *a);

/* Topics: k means of the rows' vectors (k: one for each 20 rows, 2 to 12; farthest-first start, 20 rounds). psi is the
 * population stability index of the logs' shares against the rows', half a count where there is none. */
#define AC_DRIFT_TOPICS ((size_t)12)
typedef struct {
    size_t n;
    double psi;
    struct {
        size_t example;              /* row nearest to the middle */
        double row_share, log_share;
    } topic[AC_DRIFT_TOPICS];
} ac_drift_topics;
ac_status ac_drift_topics_find(ac_drift_topics *out, const float *logs, size_t n_logs, const float *rows, size_t n_rows,
                               size_t hidden, ac_arena *a, ac_err *err);

/* Logs that stand furthest from the known texts and from each other, the furthest first; *n of them at most. */
ac_status ac_drift_far(size_t *pick, double *distance, size_t *n, const float *logs, size_t n_logs, const float *known,
                       size_t n_known, size_t hidden, ac_arena *a, ac_err *err);

#endif
