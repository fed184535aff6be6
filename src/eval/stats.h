/* eval/stats.h - exact small-sample statistics for paired pass/fail results. All in binary64, by enumeration.
 *
 * S1  McNemar's test looks at the discordant pairs alone: w wins and l losses are Binomial(w + l, 1/2) when there
 *     is no difference. mid-p: two-sided, P(more extreme) + half P(as extreme) (Fagerland, Lydersen, Laake 2013).
 * S2  Wilson's interval (1927) for a proportion. Holm's step-down (1979) for several comparisons.
 * S3  Smallest visible gain: the smallest net gain g such that, with true losses of 5 % of the cases and true wins
 *     of g + 5 %, the mid-p test at 5 % finds tuned better in at least 80 % of draws of n cases. */
#ifndef AC_EVAL_STATS_H
#define AC_EVAL_STATS_H

#include <stddef.h>

/* Two-sided mid-p; 1 when there is no discordant pair. */
double ac_stats_mcnemar_midp(size_t wins, size_t losses);
/* The p that the side with more discordant pairs is better by exact doubling, for tables. */
double ac_stats_mcnemar_exact(size_t wins, size_t losses);
/* 95 % Wilson interval of k out of n, as shares; n = 0 gives 0..1. */
void   ac_stats_wilson(size_t k, size_t n, double *low, double *high);
/* Adjusted p values in place, n of them, order kept. */
void   ac_stats_holm(double *p, size_t n);
/* Power to see wins at share win of n cases against losses at share loss. */
double ac_stats_power(size_t n, double win, double loss);
/* S3, in points of 100, on a grid of half points; 100 when even that is not seen. */
double ac_stats_smallest_gain(size_t n);
/* The same where so many comparisons (>= 1) share the 5 %: what the first of Holm's steps, the strictest, can show. */
double ac_stats_smallest_gain_of(size_t n, size_t comparisons);
/* Upper one-sided 95 % limit of a failure rate after 0 failures in n (n >= 1): 1 - 0.05^(1/n). */
double ac_stats_zero_failures_limit(size_t n);

#endif
