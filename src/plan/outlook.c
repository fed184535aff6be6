#include "plan/outlook.h"

#include <math.h>

#define DAY 86400.0
#define GIB 1073741824.0

const char *ac_outlook_name(ac_outlook_verdict v)
{
    static const char *const names[] = { "here", "tonight", "a node" };
    return names[v];
}

double ac_window_span(int32_t from, int32_t to, int32_t minute, double seconds, double *wait)
{
    const double open = 60.0 * (double)((to - from + 1440) % 1440);
    const double in = 60.0 * (double)((minute - from + 1440) % 1440);     /* since the window opened last */
    const bool inside = in < open;
    *wait = inside ? 0 : DAY - in;
    const double left = inside ? open - in : open;
    if (seconds <= left) return *wait + seconds;
    /* What is left of this window, whole ones, and a part of the last. */
    const double rest = seconds - left, whole = ceil(rest / open) - 1;
    return (inside ? DAY - in : *wait + DAY) + whole * DAY + (rest - whole * open);
}

typedef struct {
    ac_outlook *o;
    const ac_outlook_facts *f;
    ac_arena *a;
    bool failed;
} work;

#define SAY(w, ...) say((w), ac_arena_printf((w)->a, __VA_ARGS__))
static void say(work *w, const char *text)
{
    if (!text) w->failed = true;
    else if (w->o->n_reasons < AC_OUTLOOK_REASONS) w->o->reason[w->o->n_reasons++] = text;
}

static double night_hours(const ac_outlook_facts *f)
{
    return f->has_window ? (double)((f->window_to - f->window_from + 1440) % 1440) / 60 : AC_NIGHT_HOURS;
}

static void money(ac_outlook *o, const ac_outlook_facts *f)
{
    const double hours = f->seconds / 3600;
    const bool machine = f->machine_hour > 0 || f->machine_price > 0;
    o->energy_kwh = f->watts > 0 ? f->watts * hours / 1000 : (double)NAN;
    o->money = o->node_hours = o->node_money = (double)NAN;
    /* Each part that a rate was given for has to be known. */
    if ((machine || f->kwh > 0) && !(f->kwh > 0 && isnan(o->energy_kwh))) {
        o->money = f->machine_hour * hours + (f->kwh > 0 ? f->kwh * o->energy_kwh : 0);
        if (f->machine_price > 0) o->money += f->machine_price / (f->machine_years * f->machine_hours_a_year) * hours;
    }
    if (f->node_speed > 0) o->node_hours = hours / f->node_speed;
    if (f->node_hour > 0) o->node_money = f->node_hour * o->node_hours;
}

static void disk(work *w)
{
    const ac_outlook_facts *f = w->f;
    const double three = 3 * f->checkpoint_bytes + (isnan(f->disk_all) ? 0 : 0.05 * f->disk_all);
    const double kept = (f->kept + 1) * f->checkpoint_bytes;              /* the next one is written before an old one goes */
    w->o->disk_need = three > kept ? three : kept;
    w->o->disk_fits = isnan(f->disk_free) || f->disk_free >= w->o->disk_need;
    if (!w->o->disk_fits)
        SAY(w, "the disk has %.1f GiB left, and %.1f GiB are needed (checkpoints, and a twentieth that stays free): make room first",
            f->disk_free / GIB, w->o->disk_need / GIB);
}

static void node_reason(work *w)
{
    const ac_outlook *o = w->o;
    if (!isnan(o->node_money)) SAY(w, "a node would take %.1f hours and cost %.2f", o->node_hours, o->node_money);
    else SAY(w, "what a node would take and cost is not known: set cost.node_hour and cost.node_speed");
}

static void by_time(work *w)
{
    ac_outlook *o = w->o;
    const ac_outlook_facts *f = w->f;
    const double hours = f->seconds / 3600, night = night_hours(f);
    if (isnan(f->seconds)) {
        o->verdict = AC_OUTLOOK_HERE;
        SAY(w, "it fits; how long it takes is not known: leave --no-measure out");
        return;
    }
    if (hours >= f->local_hours && o->nights > 1) {
        o->verdict = AC_OUTLOOK_NODE;
        SAY(w, "%.1f hours here are %.0f nights of %.1f hours", hours, ceil(o->nights), night);
        node_reason(w);
    } else if (hours >= f->local_hours) {
        o->verdict = AC_OUTLOOK_TONIGHT;
        SAY(w, "%.1f hours of full load, from %.1f on better while nobody works here; one night of %.1f hours does", hours,
            f->local_hours, night);
    } else if (f->has_window && o->wait_seconds > 0) {
        o->verdict = AC_OUTLOOK_TONIGHT;
        SAY(w, "guard.window opens in %.1f hours; the run waits until then", o->wait_seconds / 3600);
    } else {
        o->verdict = AC_OUTLOOK_HERE;
        SAY(w, "it fits, and %.1f hours are less than the %.1f from which it belongs into the night", hours, f->local_hours);
        if (f->has_window && o->wall_seconds > f->seconds + 60)
            SAY(w, "guard.window closes before it ends; the rest follows when it opens again");
    }
}

ac_status ac_outlook_decide(ac_outlook *out, const ac_outlook_facts *f, ac_arena *a, ac_err *err)
{
    ac_outlook o = { .wall_seconds = f->seconds };
    work w = { .o = &o, .f = f, .a = a };
    money(&o, f);
    o.nights = f->seconds / 3600 / night_hours(f);
    if (f->has_window && f->minute >= 0 && !isnan(f->seconds))
        o.wall_seconds = ac_window_span(f->window_from, f->window_to, f->minute, f->seconds, &o.wait_seconds);
    if (!f->fits) {
        o.verdict = AC_OUTLOOK_NODE;
        SAY(&w, "memory: the smallest run needs %.2f GiB, and %.2f GiB may be used here", (double)f->least / GIB,
            (double)f->limit / GIB);
        node_reason(&w);
    } else {
        by_time(&w);
    }
    disk(&w);
    if (w.failed) return ac_fail_nomem(err, 256);
    *out = o;
    return AC_OK;
}
