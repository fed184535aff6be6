/* Only + - * / and sqrt: the smallest visible gain is sealed in locks, so it must come out the same on every
 * machine, and the C library's exp and lgamma do not promise that. */
#include "eval/stats.h"

#include <math.h>

#define ALPHA       0.05
#define POWER       0.80
#define TRUE_LOSSES 0.05

/* ---- McNemar ----
 * Binomial terms relative to the middle one: going outwards they only shrink, so nothing overflows, and what
 * underflows to 0 is far below any p that matters. */

typedef struct {
    double below, at, total;    /* sums of C(n, i) over i < k, i == k, all i; same scale */
} binomial_sums;

static binomial_sums binomial_half(size_t n, size_t k)
{
    binomial_sums s = { 0, 0, 0 };
    const size_t mid = n / 2;
    double term = 1.0;
    for (size_t i = mid;; i--) {                  /* mid downwards; the upper half mirrors it */
        if (i < k) s.below += term;
        else if (i == k) s.at = term;
        s.total += i * 2 == n ? term : 2.0 * term;
        if (i == 0) break;
        term = term * (double)i / (double)(n - i + 1);
    }
    return s;                                       /* n odd: mid and mid + 1 are both counted by the doubling */
}

static double mcnemar(size_t wins, size_t losses, double share_at)
{
    const size_t n = wins + losses, k = wins < losses ? wins : losses;
    if (wins == losses) return 1.0;
    const binomial_sums s = binomial_half(n, k);
    const double p = 2.0 * (s.below + share_at * s.at) / s.total;
    return p < 1.0 ? p : 1.0;
}

double ac_stats_mcnemar_exact(size_t wins, size_t losses)
{
    return mcnemar(wins, losses, 1.0);
}

double ac_stats_mcnemar_midp(size_t wins, size_t losses)
{
    return mcnemar(wins, losses, 0.5);
}

/* ---- intervals ---- */

#define Z95 1.959963984540054   /* the standard normal's 97.5 % point */

void ac_stats_wilson(size_t k, size_t n, double *low, double *high)
{
    *low = 0.0;
    *high = 1.0;
    if (n == 0) return;
    const double m = (double)n, p = (double)k / m, z2 = Z95 * Z95;
    const double centre = p + z2 / (2.0 * m), scale = 1.0 + z2 / m;
    const double half = Z95 * sqrt(p * (1.0 - p) / m + z2 / (4.0 * m * m));
    if (k != 0) *low = (centre - half) / scale;     /* 0 and 1 are exact at the ends, but for rounding */
    if (k != n) *high = (centre + half) / scale;
}

static double power_of(double x, size_t n)
{
    double r = 1.0;
    for (; n; n >>= 1) {
        if (n & 1) r *= x;
        x *= x;
    }
    return r;
}

double ac_stats_zero_failures_limit(size_t n)
{
    double low = 0.0, high = 1.0;                   /* (1 - p)^n = 5 % by bisection: no logarithm (S1) */
    if (n == 0) return 1.0;
    for (int i = 0; i < 60; i++) {
        const double mid = 0.5 * (low + high);
        if (power_of(1.0 - mid, n) > ALPHA) low = mid;
        else high = mid;
    }
    return high;
}

/* ---- several comparisons ---- */

void ac_stats_holm(double *p, size_t m)
{
    /* Selection by rank: m is a handful. Adjusted p of rank r is the largest of (m - s) p(s) over ranks s <= r,
     * so each value is computed from the others' originals; the pass goes from the smallest up. */
    double floor = 0.0;
    for (size_t rank = 0; rank < m; rank++) {
        size_t at = m;
        for (size_t i = 0; i < m; i++)
            if (p[i] >= 0.0 && (at == m || p[i] < p[at])) at = i;
        if (at == m) break;
        const double adjusted = p[at] * (double)(m - rank);
        if (adjusted > floor) floor = adjusted < 1.0 ? adjusted : 1.0;
        p[at] = -1.0 - floor;                       /* done: marked by the sign, undone below */
    }
    for (size_t i = 0; i < m; i++)
        if (p[i] < 0.0) p[i] = -1.0 - p[i];
}

/* ---- power ----
 * D discordant pairs are Binomial(n, w + l), and of them W wins are Binomial(d, w / (w + l)). For each d there
 * is a least number of wins that is significant, and it never falls as d grows. */

/* Walks a binomial's terms outwards from its mode; probabilities below this share of the mode's add nothing. */
#define NEGLIGIBLE 1e-22

/* P(X >= from) for X ~ Binomial(n, p). */
static double upper_tail(size_t n, double p, size_t from)
{
    const double q = 1.0 - p, odds = q > 0.0 ? p / q : 0.0;
    if (from > n) return 0.0;
    if (from == 0 || q <= 0.0) return 1.0;
    size_t mode = (size_t)((double)(n + 1) * p);
    if (mode > n) mode = n;
    double total = 1.0, tail = mode >= from ? 1.0 : 0.0, term = 1.0;
    for (size_t i = mode; i < n && term > NEGLIGIBLE; i++) {
        term = term * (double)(n - i) / (double)(i + 1) * odds;
        total += term;
        if (i + 1 >= from) tail += term;
    }
    term = 1.0;
    for (size_t i = mode; i > 0 && term > NEGLIGIBLE; i--) {
        term = term * (double)i / (double)(n - i + 1) / odds;
        total += term;
        if (i - 1 >= from) tail += term;
    }
    return tail / total;
}

/* Least wins among d discordant pairs that are significant; d + 1 when none is. At least `from`. */
static size_t critical_wins(size_t d, size_t from, double alpha)
{
    size_t w = from > d / 2 + 1 ? from : d / 2 + 1;
    while (w <= d && ac_stats_mcnemar_midp(w, d - w) > alpha) w++;
    return w;
}

/* What d pairs add: the chance of d (relative to the mode's) times the chance of enough wins among them. */
static double detected(size_t d, size_t critical, double share)
{
    return critical > d ? 0.0 : upper_tail(d, share, critical);
}

static double power_at(size_t n, double win, double loss, double alpha)
{
    const double p = win + loss, q = 1.0 - p;
    if (n == 0 || win <= 0.0) return 0.0;
    const double share = win / p;
    if (q <= 1e-12) return detected(n, critical_wins(n, 0, alpha), share);
    size_t mode = (size_t)((double)(n + 1) * p);
    if (mode > n) mode = n;
    const double odds = p / q;
    const size_t at_mode = critical_wins(mode, 0, alpha);
    double total = 1.0, power = detected(mode, at_mode, share), term = 1.0;
    size_t critical = at_mode;
    for (size_t d = mode; d < n && term > NEGLIGIBLE; d++) {
        term = term * (double)(n - d) / (double)(d + 1) * odds;
        critical = critical_wins(d + 1, critical ? critical - 1 : 0, alpha);
        total += term;
        power += term * detected(d + 1, critical, share);
    }
    term = 1.0;
    for (size_t d = mode; d > 0 && term > NEGLIGIBLE; d--) {
        term = term * (double)d / (double)(n - d + 1) / odds;
        total += term;
        power += term * detected(d - 1, critical_wins(d - 1, 0, alpha), share);
    }
    return power / total;
}

double ac_stats_power(size_t n, double win, double loss)
{
    return power_at(n, win, loss, ALPHA);
}

double ac_stats_smallest_gain_of(size_t n, size_t comparisons)
{
    const int most = (int)((1.0 - 2.0 * TRUE_LOSSES) * 200.0 + 0.5);  /* wins + losses <= 1 */
    int low = 0, high = most + 1;                   /* low: not enough; high: enough, or past the end */
    while (high - low > 1) {
        const int mid = low + (high - low) / 2;
        const double wins = TRUE_LOSSES + (double)mid / 200.0;
        if (power_at(n, wins, TRUE_LOSSES, ALPHA / (double)comparisons) >= POWER) high = mid;
        else low = mid;
    }
    return high > most ? 100.0 : (double)high / 2.0;
}

double ac_stats_smallest_gain(size_t n)
{
    return ac_stats_smallest_gain_of(n, 1);
}
