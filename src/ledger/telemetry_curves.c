/* Curves in bounded memory, and the times that they tell. */
#include <math.h>

#include "ledger/telemetry_int.h"

/* ---- curves ----------------------------------------------------------------------------------------------------- */

static void point(ac_tel_bucket *b, size_t i, double lo, double hi, double last)
{
    if (isnan(last)) return;
    if (isnan(b->c[i].last) || lo < b->c[i].lo) b->c[i].lo = lo;
    if (isnan(b->c[i].last) || hi > b->c[i].hi) b->c[i].hi = hi;
    b->c[i].last = last;
}

/* Puts a later interval to an earlier one. */
static void put(ac_tel_bucket *to, const ac_tel_bucket *b)
{
    if (!b->n) return;
    if (!to->n) {
        *to = *b;
        return;
    }
    to->n += b->n;
    to->t1 = b->t1;
    to->step1 = b->step1;
    to->session = b->session;
    if (b->worst > to->worst) to->worst = b->worst;
    for (size_t i = 0; i < AC_TEL_CURVES; i++) point(to, i, b->c[i].lo, b->c[i].hi, b->c[i].last);
}

/* Two neighbours become one: the same room holds twice the time. */
static void halve(ac_tel *t)
{
    for (size_t i = 0; i < AC_TEL_BUCKETS; i++) {
        ac_tel_bucket both = { 0 };
        if (2 * i < AC_TEL_BUCKETS) {
            both = t->bucket[2 * i];
            put(&both, &t->bucket[2 * i + 1]);
        }
        t->bucket[i] = both;
    }
    t->width *= 2;
}

bool ac_tel_curves_add(ac_tel *t)
{
    if (!t->bucket) {
        t->bucket = ac_arena_alloc_array(&t->arena, AC_TEL_BUCKETS, sizeof *t->bucket);
        if (!t->bucket) return false;
        t->width = 1;
    }
    const ac_tel_now *n = &t->now;
    while (n->t / t->width >= (double)AC_TEL_BUCKETS) halve(t);
    ac_tel_bucket b = { .n = 1, .t0 = n->t, .t1 = n->t, .step0 = n->step, .step1 = n->step, .session = t->n_sessions - 1,
                        .worst = n->level };
    for (size_t i = 0; i < AC_TEL_CURVES; i++) b.c[i].lo = b.c[i].hi = b.c[i].last = n->c[i];
    put(&t->bucket[(size_t)(n->t / t->width)], &b);
    return true;
}

/* ---- times ------------------------------------------------------------------------------------------------------ */

/* From the back, to the last stretch in which the steps went past this one: what a resume does again is what counts. */
double ac_tel_time_of_step(const ac_tel *t, double step)
{
    const ac_tel_session *last = t->n_sessions ? &t->session[t->n_sessions - 1] : NULL;
    const bool told = last && (double)last->step >= step;        /* by the end, after the last sample */
    double t_after = told ? t->until : (double)NAN, s_after = told ? (double)last->step : 0;
    for (size_t i = t->bucket ? AC_TEL_BUCKETS : 0; i > 0; i--) {
        const ac_tel_bucket *b = &t->bucket[i - 1];
        if (!b->n) continue;
        const double ends[2][2] = { { b->t1, (double)b->step1 }, { b->t0, (double)b->step0 } };
        for (size_t k = 0; k < 2; k++) {
            if (ends[k][1] < step)
                return isnan(t_after) ? t_after
                                      : ends[k][0] + (t_after - ends[k][0]) * (step - ends[k][1]) / (s_after - ends[k][1]);
            t_after = ends[k][0];
            s_after = ends[k][1];
        }
    }
    return t_after;                                  /* done when the first sample was taken */
}

double ac_tel_step_seconds(const ac_tel *t)
{
    double seconds = 0, steps = 0;
    for (size_t i = 0; i < t->n_spent; i++) {
        if (!t->spent[i].full) continue;
        seconds += t->spent[i].seconds;
        steps += (double)t->spent[i].steps;
    }
    return steps > 0 ? seconds / steps : (double)NAN;
}

double ac_tel_cost_seconds(const ac_tel *t)
{
    const double each = ac_tel_step_seconds(t);
    double all = 0, steps = 0;
    for (size_t i = 0; i < t->n_spent; i++) {
        all += t->spent[i].seconds;
        steps += (double)t->spent[i].steps;
    }
    return isnan(each) ? each : fmax(0, all - steps * each);
}

void ac_tel_level_seconds(const ac_tel *t, double out[AC_TEL_LEVELS + 1])
{
    for (size_t i = 0; i <= AC_TEL_LEVELS; i++) out[i] = 0;
    for (size_t k = 0; k < t->n_sessions; k++) {
        for (size_t i = 0; i < AC_TEL_LEVELS; i++) out[i] += t->session[k].seconds[i];
        out[AC_TEL_LEVELS] += t->session[k].paused;
    }
}
