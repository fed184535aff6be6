/* Money, time and weeks: whole numbers (C2). */
#include "ledger/cost.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* No part costs more than a thousand million of anything; over it a figure is not counted. */
#define MOST_MICRO 1e15

static int64_t micro_of(double v)
{
    return v >= 0 && v <= MOST_MICRO ? llround(v) : AC_COST_UNKNOWN;
}

static int64_t per_hour(double rate, int64_t wall_ms)
{
    return wall_ms < 0 ? AC_COST_UNKNOWN : micro_of(rate * 1e6 * (double)wall_ms / 3600000.0);
}

void ac_cost_money_of(ac_cost_money *out, const ac_cost_part *p)
{
    const ac_cost_rates *r = &p->rates;
    const bool rented = r->machine_hour > 0, owned = r->machine_price > 0;
    *out = (ac_cost_money){ .line = { AC_COST_UNKNOWN, AC_COST_UNKNOWN, AC_COST_UNKNOWN }, .total = AC_COST_UNKNOWN };
    if (!r->currency) {
        out->missing = "the lock knows no rates";
        return;
    }
    if (rented) out->line[AC_COST_RENT] = per_hour(r->machine_hour, p->wall_ms);
    if (owned && r->machine_years > 0 && r->machine_hours_a_year > 0)
        out->line[AC_COST_MACHINE] = per_hour(r->machine_price / (r->machine_years * r->machine_hours_a_year), p->wall_ms);
    if (r->kwh > 0 && p->mwh >= 0) out->line[AC_COST_ENERGY] = micro_of((double)p->mwh * r->kwh);
    for (size_t i = 0; i < AC_COST_LINES; i++)
        if (out->line[i] >= 0) out->total = (out->total < 0 ? 0 : out->total) + out->line[i];
    /* Who rents a machine has paid for its electricity. */
    if (!rented && !owned && !(r->kwh > 0)) out->missing = "the lock's rates are all 0";
    else if (!rented && !owned) out->missing = "the machine has no price (cost.machine_hour, cost.machine_price)";
    else if ((rented && out->line[AC_COST_RENT] < 0) || (owned && out->line[AC_COST_MACHINE] < 0)) out->missing = "its time is not known";
    else if (r->kwh > 0 && p->mwh < 0) out->missing = "its energy was not measured";
    else if (r->kwh > 0 && out->line[AC_COST_ENERGY] < 0) out->missing = "its energy is out of range";
    else if (!(r->kwh > 0) && !rented) out->missing = "electricity has no price (cost.kwh)";
    else if (r->kwh > 0 && p->energy_at_least) out->missing = "not all of its energy was measured";
    else if (p->wall_from && strcmp(p->wall_from, "measured") != 0) out->missing = "its end was not written";
}

void ac_cost_apply_notes(ac_cost_run *r)
{
    if (!r->n_notes) return;
    const ac_cost_note *n = &r->note[r->n_notes - 1];
    const size_t parts = n->n_parts < r->n_parts ? n->n_parts : r->n_parts;
    int64_t wall = 0, left = n->mwh;
    for (size_t i = 0; i < parts; i++)
        if (r->part[i].wall_ms > 0) wall += r->part[i].wall_ms;
    for (size_t i = 0; i < parts; i++) {
        ac_cost_part *p = &r->part[i];
        const double share = wall && p->wall_ms > 0 ? (double)p->wall_ms / (double)wall : 0;
        int64_t mine = i + 1 == parts ? left : (int64_t)((double)n->mwh * share);
        if (mine > left) mine = left;
        left -= mine;
        p->mwh = mine;
        p->method = "manual";
        p->covers = n->reason;
        p->why = NULL;
        p->energy_at_least = p->estimated = false;
        ac_cost_money_of(&p->money, p);
    }
}

/* ---- texts ---- */

void ac_cost_micro_text(char out[32], int64_t micro)
{
    (void)snprintf(out, 32, "%lld.%06lld", (long long)(micro / 1000000), (long long)(micro % 1000000));
}

void ac_cost_wh_text(char out[32], int64_t mwh)
{
    (void)snprintf(out, 32, "%lld.%03lld", (long long)(mwh / 1000), (long long)(mwh % 1000));
}

void ac_cost_time_text(char out[32], int64_t ms)
{
    const long long s = (long long)(ms / 1000), rest = (long long)(ms % 1000);
    if (s >= 3600) (void)snprintf(out, 32, "%lld:%02lld:%02lld.%03lld", s / 3600, s / 60 % 60, s % 60, rest);
    else (void)snprintf(out, 32, "%lld:%02lld.%03lld", s / 60, s % 60, rest);
}

/* ---- dates: the proleptic Gregorian calendar, UTC ---- */

/* Days since 1970-01-01. March is the year's first month here, so that the leap day is its last. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    const int64_t era = y / 400, of_era = y - era * 400;
    const int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t year_of(int64_t days)
{
    int64_t y = 1970 + days / 366;                           /* not above it */
    while (days_of(y + 1, 1, 1) <= days) y++;
    return y;
}

static bool digits(int64_t *out, ac_view t, size_t from, size_t n)
{
    int64_t v = 0;
    if (from + n > t.len) return false;
    for (size_t i = from; i < from + n; i++) {
        if (t.ptr[i] < '0' || t.ptr[i] > '9') return false;
        v = v * 10 + (t.ptr[i] - '0');
    }
    *out = v;
    return true;
}

bool ac_cost_date_parse(int64_t *out, ac_view t)
{
    static const int64_t month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t y, m, d, hour = 0, minute = 0, second = 0;
    if (t.len != 10 && t.len != 20) return false;
    if (!digits(&y, t, 0, 4) || t.ptr[4] != '-' || !digits(&m, t, 5, 2) || t.ptr[7] != '-' || !digits(&d, t, 8, 2)) return false;
    const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (y < 1970 || m < 1 || m > 12 || d < 1 || d > month_days[m - 1] + (m == 2 && leap ? 1 : 0)) return false;
    if (t.len == 20 && (t.ptr[10] != 'T' || !digits(&hour, t, 11, 2) || t.ptr[13] != ':' || !digits(&minute, t, 14, 2)
                        || t.ptr[16] != ':' || !digits(&second, t, 17, 2) || t.ptr[19] != 'Z' || hour > 23 || minute > 59
                        || second > 60))
        return false;
    *out = ((days_of(y, m, d) * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}

/* A week belongs to the year that holds its Thursday. */
void ac_cost_week_text(char out[16], int64_t unix_s)
{
    const int64_t days = unix_s >= 0 ? unix_s / 86400 : 0, weekday = (days + 3) % 7;     /* Monday 0; 1970-01-01 was a Thursday */
    const int64_t thursday = days - weekday + 3, year = year_of(thursday);
    (void)snprintf(out, 16, "%04u-W%02u", (unsigned)(year % 10000), (unsigned)((thursday - days_of(year, 1, 1)) / 7 + 1) % 100);
}

bool ac_cost_week_parse(int64_t *out, ac_view t)
{
    int64_t y, w;
    char back[16];
    if (t.len != 8 || !digits(&y, t, 0, 4) || t.ptr[4] != '-' || t.ptr[5] != 'W' || !digits(&w, t, 6, 2) || y < 1971 || w < 1) return false;
    const int64_t jan4 = days_of(y, 1, 4), monday = jan4 - (jan4 + 3) % 7 + (w - 1) * 7;  /* 4 January is always in week 1 */
    ac_cost_week_text(back, monday * 86400);
    if (!ac_view_eq_str(t, back)) return false;              /* week 53 of a year that has none */
    *out = monday * 86400;
    return true;
}

/* ---- a node instead ---- */

void ac_cost_node_of(ac_cost_node *out, const ac_cost_rates *r, int64_t wall_ms, int64_t here_micro)
{
    *out = (ac_cost_node){ .here_micro = here_micro };
    if (!r->currency || !(r->node_hour > 0) || !(r->node_speed > 0) || wall_ms < 0) return;
    const double ms = (double)wall_ms / r->node_speed;
    if (!(ms <= MOST_MICRO)) return;
    out->node_ms = llround(ms);
    out->node_micro = per_hour(r->node_hour, out->node_ms);
    out->price_micro = r->machine_price > 0 ? micro_of(r->machine_price * 1e6) : 0;
    out->known = out->node_micro >= 0 && out->price_micro >= 0;
    if (!out->known || !out->price_micro) return;
    const int64_t saved = out->node_micro - (here_micro > 0 ? here_micro : 0);
    out->runs = saved <= 0 ? -1 : (out->price_micro + saved - 1) / saved;
}
