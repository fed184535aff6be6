/* Exact enumeration: n is at most a few thousand, so sums over binomials are cheap and need no approximation. */
#include "eval/stats.h"

#include <math.h>

static double log_choose(size_t n, size_t k)
{
    return lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);
}

/* P(X = k) for X ~ Binomial(n, p). */
static double binomial(size_t n, size_t k, double p)
{
    if (p <= 0) return k == 0 ? 1 : 0;
    if (p >= 1) return k == n ? 1 : 0;
    return exp(log_choose(n, k) + (double)k * log(p) + (double)(n - k) * log1p(-p));
}

double ac_stats_mcnemar_midp(size_t wins, size_t losses)
{
    const size_t n = wins + losses, low = wins < losses ? wins : losses;
    double tail = 0;
    if (n == 0) return 1;
    for (size_t k = 0; k < low; k++) tail += binomial(n, k, 0.5);
    const double p = 2 * (tail + 0.5 * binomial(n, low, 0.5));
    /* Equal wins and losses: both tails and the whole point mass, which is 1 by symmetry. */
    return wins == losses || p > 1 ? 1 : p;
}

double ac_stats_mcnemar_exact(size_t wins, size_t losses)
{
    const size_t n = wins + losses, low = wins < losses ? wins : losses;
    double tail = 0;
    for (size_t k = 0; k <= low; k++) tail += binomial(n, k, 0.5);
    return n == 0 || 2 * tail > 1 ? 1 : 2 * tail;
}

void ac_stats_wilson(size_t k, size_t n, double *low, double *high)
{
    const double z = 1.959963984540054;
    if (n == 0) {
        *low = 0;
        *high = 1;
        return;
    }
    const double nn = (double)n, p = (double)k / nn, zz = z * z;
    const double mid = p + zz / (2 * nn), half = z * sqrt(p * (1 - p) / nn + zz / (4 * nn * nn));
    *low = k == 0 ? 0 : (mid - half) / (1 + zz / nn);
    *high = k == n ? 1 : (mid + half) / (1 + zz / nn);
}

void ac_stats_holm(double *p, size_t n)
{
    /* Selection by rank: n is the number of comparisons, a handful. A done value is kept as -1 - adjusted, so
     * that it is never picked again. */
    double running = 0;
    for (size_t rank = 0; rank < n; rank++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (p[i] >= 0 && (best == n || p[i] < p[best])) best = i;
        if (best == n) break;
        const double adjusted = fmin(1, p[best] * (double)(n - rank));
        running = fmax(running, adjusted);
        p[best] = -1 - running;
    }
    for (size_t i = 0; i < n; i++) p[i] = -1 - p[i];
}

/* Fewest wins that make mid-p <= 0.05 against l losses; more than n when none do. */
static size_t wins_needed(size_t l, size_t n)
{
    for (size_t w = l + 1; w <= n; w++)
        if (ac_stats_mcnemar_midp(w, l) <= 0.05) return w;
    return n + 1;
}

double ac_stats_power(size_t n, double win, double loss)
{
    double power = 0;
    const double left = loss >= 1 ? 0 : win / (1 - loss);
    for (size_t l = 0; l <= n; l++) {
        const double pl = binomial(n, l, loss);
        if (pl < 1e-15) continue;
        const size_t need = wins_needed(l, n - l);
        double enough = 0;
        for (size_t w = need; w <= n - l; w++) enough += binomial(n - l, w, left > 1 ? 1 : left);
        power += pl * enough;
    }
    return power;
}

double ac_stats_smallest_gain(size_t n)
{
    const double loss = 0.05;
    if (n == 0) return 100;
    /* Power grows with the gain, so a bisection over half points finds the first that reaches it. */
    int low = 0, high = 190;                     /* half points; loss + gain stays at or under 1 */
    if (ac_stats_power(n, loss + (double)high / 200, loss) < 0.8) return 100;
    while (high - low > 1) {
        const int mid = (low + high) / 2;
        if (ac_stats_power(n, loss + (double)mid / 200, loss) >= 0.8) high = mid;
        else low = mid;
    }
    return (double)high / 2;
}

double ac_stats_zero_failures_limit(size_t n)
{
    return n == 0 ? 1 : 1 - exp(log(0.05) / (double)n);
}
