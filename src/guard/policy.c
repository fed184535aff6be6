#include "guard/policy.h"

#include <string.h>

#define HOUR_MS 3600000
#define DWELL_MS 30000
#define REENTRY_MS 600000
#define LEAVE_MAX_MS 1800000
#define GAP_MS 30000             /* the machine slept: what was before says nothing about now */
#define SETTLE_MS 10000          /* a smaller micro-batch needs a while to show */
#define GROW_MS 900000
#define DUTY_SETTLE_MS 60000
#define PAUSE_MAX_MS 600000      /* then the memory is given back too */

ac_guard_terms ac_guard_terms_default(int64_t micro_start)
{
    return (ac_guard_terms){ .polite = true, .can_recompute = true, .micro_start = micro_start > 1 ? micro_start : 1 };
}

static bool clock_of(int32_t *minute, ac_view v)
{
    uint64_t h, m;
    if (v.len != 5 || v.ptr[2] != ':') return false;
    if (!ac_parse_u64(ac_view_slice(v, 0, 2), &h) || !ac_parse_u64(ac_view_slice(v, 3, 5), &m)) return false;
    if (h > 23 || m > 59) return false;
    *minute = (int32_t)(h * 60 + m);
    return true;
}

ac_status ac_guard_window_parse(int32_t *from, int32_t *to, ac_view text, ac_err *err)
{
    int32_t a, b;
    if (text.len != 11 || text.ptr[5] != '-' || !clock_of(&a, ac_view_slice(text, 0, 5))
        || !clock_of(&b, ac_view_slice(text, 6, 11)))
        return ac_fail(err, AC_EARG, "window \"" AC_VIEW_FMT "\" must be two times of day, 00:00 to 23:59; write it as"
                       " \"22:00-07:00\"", AC_VIEW_ARG(text));
    if (a == b)
        return ac_fail(err, AC_EARG, "window \"" AC_VIEW_FMT "\" begins when it ends; leave it out to train at any time",
                       AC_VIEW_ARG(text));
    *from = a;
    *to = b;
    return AC_OK;
}

bool ac_guard_window_open(const ac_guard_terms *t, int32_t minute)
{
    if (t->window_from == t->window_to) return true;
    if (t->window_from < t->window_to) return minute >= t->window_from && minute < t->window_to;
    return minute >= t->window_from || minute < t->window_to;
}

ac_guard_state ac_guard_begin(const ac_guard_terms *t)
{
    ac_guard_state s = { .micro = t->micro_start > 1 ? t->micro_start : 1, .duty = 100 };
    for (size_t i = 0; i < AC_GUARD_RULES_MAX; i++)
        s.latch[i] = (ac_guard_latch){ .entering_ms = -1, .leaving_ms = -1, .off_ms = -1 };
    return s;
}

/* ---- what the rules look at ---- */

static bool wants_window(const ac_guard_terms *t)
{
    return t->window_from != t->window_to;
}

/* Late, out of order, or without the memory signals that were there before. */
static bool sample_valid(ac_guard_state *s, const ac_guard_sample *in, int64_t interval_ms)
{
    const bool available = in->read[AC_SIG_AVAILABLE].measured, footprint = in->read[AC_SIG_FOOTPRINT].measured;
    const bool lost = (s->seen_available && !available) || (s->seen_footprint && !footprint && in->child_runs);
    s->seen_available |= available;
    s->seen_footprint |= footprint;
    if (!available && !footprint && !in->read[AC_SIG_PRESSURE].measured) return false;
    if (s->begun && in->now_ms < s->last_ms) return false;
    return !lost && in->taken_ms <= in->now_ms && in->now_ms - in->taken_ms <= 2 * interval_ms;
}

/* Signals as the terms have them: what is allowed reads as if all were well. */
static ac_reading reading_of(const ac_guard_state *s, const ac_guard_terms *t, const ac_guard_sample *in, ac_signal sig)
{
    const ac_reading *raw = in->read;
    const ac_reading well = { .measured = true, .value = 0 };
    switch (sig) {
    case AC_SIG_WINDOW:
        if (!wants_window(t)) return well;
        if (in->minute < 0 || in->minute >= 1440) return (ac_reading){ .why = "local time unknown" };
        return (ac_reading){ .measured = true, .value = ac_guard_window_open(t, in->minute) ? 0 : 1 };
    case AC_SIG_BLIND:
        return (ac_reading){ .measured = true, .value = s->invalid };
    case AC_SIG_ON_BATTERY:
        return t->battery_ok && raw[sig].measured ? well : raw[sig];
    case AC_SIG_BATTERY:                                   /* a charge that grows is no worry */
        if (raw[AC_SIG_ON_BATTERY].measured && raw[AC_SIG_ON_BATTERY].value < 1)
            return (ac_reading){ .measured = true, .value = 100 };
        return raw[AC_SIG_ON_BATTERY].measured ? raw[sig] : (ac_reading){ .why = "mains unknown" };
    case AC_SIG_LID:
        return t->lid_ok && raw[sig].measured ? well : raw[sig];
    case AC_SIG_BESIDE:
        return t->beside_ok && raw[sig].measured ? well : raw[sig];
    case AC_SIG_FOREIGN_CPU:
        if (!raw[sig].measured) return raw[sig];
        /* Politeness needs somebody: where nobody is known to be there, as on a server, others share as the system has it. */
        if (!t->polite || !raw[AC_SIG_USER_IDLE].measured || raw[AC_SIG_USER_IDLE].value >= 180) return well;
        return raw[sig];
    default:
        return raw[sig];
    }
}

ac_reading ac_guard_judged(const ac_guard_terms *t, const ac_guard_sample *in, ac_signal sig)
{
    const ac_guard_state s = { .begun = false };
    return reading_of(&s, t, in, sig);
}

static void latch_on(ac_guard_latch *l, const ac_guard_rule *r, int64_t now)
{
    const bool again = l->off_ms >= 0 && now - l->off_ms < REENTRY_MS;
    const int64_t twice = l->leave_ms * 2 < LEAVE_MAX_MS ? l->leave_ms * 2 : LEAVE_MAX_MS;
    l->leave_ms = again ? twice : r->leave_ms;
    l->on = true;
    l->leaving_ms = -1;
}

/* A latch that is on leaves when the value stays behind `leave`; one that is off enters when the limit is reached. */
static void latch_feed(ac_guard_latch *l, const ac_guard_rule *r, ac_reading v, int64_t now)
{
    const bool known = v.measured && v.value == v.value;
    const bool reached = known && (r->above ? v.value >= r->enter : v.value < r->enter);
    const bool behind = known && (r->above ? v.value < r->leave : v.value >= r->leave);
    if (!reached) {
        l->entering_ms = -1;
        l->samples = 0;
    } else {
        if (l->entering_ms < 0) l->entering_ms = now;
        if (l->samples < INT32_MAX) l->samples++;
        if (!l->on && now - l->entering_ms >= r->enter_ms && l->samples >= r->enter_samples) latch_on(l, r, now);
    }
    if (!behind) l->leaving_ms = -1;
    else if (l->on && l->leaving_ms < 0) l->leaving_ms = now;
    if (l->on && l->leaving_ms >= 0 && now - l->leaving_ms >= l->leave_ms) {
        l->on = false;
        l->off_ms = now;
        l->leaving_ms = -1;
    }
}

static bool other_cause_on(const ac_guard_state *s)
{
    for (size_t i = 0; i < ac_guard_n_rules; i++)
        if (s->latch[i].on && ac_guard_rules[i].cause != AC_CAUSE_SLOW) return true;
    return false;
}

static void latches_feed(ac_guard_state *s, const ac_guard_terms *t, const ac_guard_sample *in, bool valid, int64_t now)
{
    for (size_t pass = 0; pass < 2; pass++)                /* slow steps last: they count when nothing else explains them */
        for (size_t i = 0; i < ac_guard_n_rules; i++) {
            const ac_guard_rule *r = &ac_guard_rules[i];
            const bool slow = r->cause == AC_CAUSE_SLOW;
            if (slow != (pass == 1)) continue;
            if (!valid && r->signal != AC_SIG_BLIND && r->signal != AC_SIG_WINDOW) continue;
            ac_reading v = reading_of(s, t, in, r->signal);
            if (slow && !s->latch[i].on && other_cause_on(s)) v.measured = false;
            latch_feed(&s->latch[i], r, v, now);
        }
}

/* ---- the level ---- */

static void forget_changes(ac_guard_state *s, int64_t now)
{
    size_t keep = 0;
    for (size_t i = 0; i < s->n_changes; i++)
        if (now - s->change_ms[i] < HOUR_MS) s->change_ms[keep++] = s->change_ms[i];
    s->n_changes = keep;
}

static void level_set(ac_guard_state *s, ac_guard_level l, int64_t now, ac_guard_acts *out)
{
    if (s->n_changes < AC_GUARD_CHANGES_MAX) s->change_ms[s->n_changes++] = now;
    s->level = l;
    s->level_ms = now;
    out->changed = true;
}

/* G3. Changes so far and those that could still follow (one a level upwards) never exceed six in an hour. */
static void level_follow(ac_guard_state *s, int64_t now, ac_guard_acts *out)
{
    ac_guard_level worst = AC_GUARD_GREEN;
    for (size_t i = 0; i < ac_guard_n_rules; i++)
        if (s->latch[i].on && ac_guard_rules[i].level > worst) worst = ac_guard_rules[i].level;
    forget_changes(s, now);
    if (worst > s->level) {
        level_set(s, worst, now, out);
    } else if (worst < s->level && now - s->level_ms >= DWELL_MS) {
        const int better = (int)s->level - 1;
        if ((int)s->n_changes + 1 + ((int)AC_GUARD_EMERGENCY - better) <= AC_GUARD_CHANGES_MAX)
            level_set(s, (ac_guard_level)better, now, out);
        else
            out->held = s->lowered = true;
    }
}

/* ---- the actions ---- */

static void act(ac_guard_state *s, ac_guard_acts *out, ac_guard_act_kind kind, int64_t arg, int32_t rule, ac_guard_cause c)
{
    const bool command = kind <= AC_ACT_DROP_EXIT;
    if (out->n == AC_GUARD_ACTS_MAX) return;
    out->act[out->n++] = (ac_guard_act){ .kind = kind, .arg = arg, .id = command ? ++s->last_id : 0, .rule = rule,
                                         .cause = c };
}

/* The first latch of a cause that is on at a level or above it; -1: none. */
static int32_t on_for(const ac_guard_state *s, ac_guard_cause c, ac_guard_level at_least)
{
    for (size_t i = 0; i < ac_guard_n_rules; i++)
        if (s->latch[i].on && ac_guard_rules[i].cause == c && ac_guard_rules[i].level >= at_least) return (int32_t)i;
    return -1;
}

static int32_t signal_on(const ac_guard_state *s, ac_signal sig)
{
    for (size_t i = 0; i < ac_guard_n_rules; i++)
        if (s->latch[i].on && ac_guard_rules[i].signal == sig) return (int32_t)i;
    return -1;
}

static bool disk_full(const ac_guard_state *s)
{
    for (size_t i = 0; i < ac_guard_n_rules; i++)
        if (s->latch[i].on && ac_guard_rules[i].signal == AC_SIG_DISK && ac_guard_rules[i].level == AC_GUARD_RED) return true;
    return false;
}

static void end(ac_guard_state *s, const ac_guard_sample *in, ac_guard_acts *out, ac_guard_act_kind kind, int64_t code,
                int32_t rule, ac_guard_cause c)
{
    if (code == 76) act(s, out, AC_ACT_ADVISE_MOVE, 76, rule, c);
    act(s, out, kind, code, rule, c);
    s->end_id = s->last_id;
    s->end_ms = in->now_ms;
    s->end_wait_ms = kind == AC_ACT_DROP_EXIT ? 1000 : in->checkpoint_ms > 5000 / 3 ? 3 * in->checkpoint_ms : 5000;
    s->term_wait_ms = c == AC_CAUSE_MEMORY ? 1000 : 5000;
    /* It hears at unit boundaries only: two long units are no silence. */
    const int64_t units_ms = in->unit_ms > 0 && in->unit_ms < HOUR_MS ? 2 * in->unit_ms : 0;
    if (s->end_wait_ms < units_ms) s->end_wait_ms = units_ms;
    if (s->term_wait_ms < units_ms) s->term_wait_ms = units_ms;
    s->term_ms = -1;
}

/* G6: the command to end was given; is it obeyed? */
static void see_it_end(ac_guard_state *s, const ac_guard_sample *in, ac_guard_acts *out)
{
    if (!in->child_runs || s->killed) return;
    if (s->term_ms < 0 && !s->end_answered && in->answered >= s->end_id) {
        s->end_answered = true;                            /* heard: the time for doing it begins */
        s->end_ms = in->now_ms;
    }
    if (s->term_ms < 0 && in->now_ms - s->end_ms >= s->end_wait_ms) {
        act(s, out, AC_ACT_TERM, 0, -1, AC_CAUSE_N);
        out->act[out->n - 1].id = s->end_id;
        s->term_ms = in->now_ms;
    } else if (s->term_ms >= 0 && in->now_ms - s->term_ms >= s->term_wait_ms) {
        act(s, out, AC_ACT_KILL, 0, -1, AC_CAUSE_N);
        out->act[out->n - 1].id = s->end_id;
        s->killed = true;
    }
}

static bool smallest(const ac_guard_state *s, const ac_guard_terms *t)
{
    return s->micro == 1 && (s->recompute || !t->can_recompute);
}

/* True when the run ends with this call. */
static bool ends(ac_guard_state *s, const ac_guard_terms *t, const ac_guard_sample *in, ac_guard_acts *out)
{
    int32_t rule = on_for(s, AC_CAUSE_SICK, AC_GUARD_EMERGENCY);
    if (rule >= 0) return end(s, in, out, AC_ACT_DROP_EXIT, 80, rule, AC_CAUSE_SICK), true;
    rule = on_for(s, AC_CAUSE_MEMORY, AC_GUARD_EMERGENCY);
    if (rule >= 0) return end(s, in, out, AC_ACT_DROP_EXIT, 75, rule, AC_CAUSE_MEMORY), true;
    rule = on_for(s, AC_CAUSE_MEMORY, AC_GUARD_RED);
    if (rule >= 0) return end(s, in, out, AC_ACT_CHECKPOINT_EXIT, smallest(s, t) ? 76 : 75, rule, AC_CAUSE_MEMORY), true;
    rule = signal_on(s, AC_SIG_BATTERY);
    if (rule >= 0) return end(s, in, out, AC_ACT_CHECKPOINT_EXIT, 75, rule, AC_CAUSE_POWER), true;
    /* A pause that lasts gives its memory back, unless there is no room for the checkpoint. */
    if (s->paused && in->now_ms - s->pause_ms >= PAUSE_MAX_MS && !disk_full(s))
        return end(s, in, out, AC_ACT_CHECKPOINT_EXIT, 75, -1, AC_CAUSE_N), true;
    return false;
}

static void set_micro(ac_guard_state *s, int64_t micro, const ac_guard_sample *in, ac_guard_acts *out, int32_t rule,
                      ac_guard_cause c)
{
    s->micro = micro;
    s->micro_ms = in->now_ms;
    act(s, out, AC_ACT_MICRO, micro, rule, c);
}

/* Memory yellow: smaller, smaller, recompute; a step each time that the limit is still reached after a while. */
static void memory(ac_guard_state *s, const ac_guard_terms *t, const ac_guard_sample *in, ac_guard_acts *out)
{
    const int32_t rule = on_for(s, AC_CAUSE_MEMORY, AC_GUARD_YELLOW);
    if (rule >= 0) {
        const bool first = s->micro_ms < s->level_ms || s->micro_ms == 0;
        if (s->latch[rule].entering_ms < 0 || (!first && in->now_ms - s->micro_ms < SETTLE_MS)) return;
        if (s->micro > 1) {
            set_micro(s, s->micro / 2, in, out, rule, AC_CAUSE_MEMORY);
        } else if (!s->recompute && t->can_recompute) {
            s->recompute = true;
            s->micro_ms = in->now_ms;
            act(s, out, AC_ACT_RECOMPUTE, 1, rule, AC_CAUSE_MEMORY);
        }
        return;
    }
    const int32_t beside = signal_on(s, AC_SIG_BESIDE);
    if (beside >= 0) {
        if (s->micro == t->micro_start && s->micro > 1)
            set_micro(s, s->micro / 2, in, out, beside, AC_CAUSE_OTHERS);
        return;
    }
    const int64_t rest_ms = s->micro_ms > s->level_ms ? s->micro_ms : s->level_ms;
    if (s->level == AC_GUARD_GREEN && !s->lowered && s->micro < t->micro_start && in->now_ms - rest_ms >= GROW_MS) {
        const int64_t twice = s->micro > t->micro_start / 2 ? t->micro_start : s->micro * 2;
        if (in->micro_fits > 0 && twice > in->micro_fits) return;
        set_micro(s, twice, in, out, -1, AC_CAUSE_N);
    }
}

static const ac_guard_cause pausing[] = { AC_CAUSE_HEAT, AC_CAUSE_POWER, AC_CAUSE_OTHERS, AC_CAUSE_DISK, AC_CAUSE_WINDOW,
                                          AC_CAUSE_BLIND };
static const ac_guard_cause slowing[] = { AC_CAUSE_HEAT, AC_CAUSE_POWER, AC_CAUSE_OTHERS, AC_CAUSE_SLOW };

static void set_duty(ac_guard_state *s, int64_t duty, const ac_guard_sample *in, ac_guard_acts *out, int32_t rule,
                     ac_guard_cause c)
{
    if (s->duty == duty) return;
    s->duty = duty;
    s->duty_ms = in->now_ms;
    act(s, out, AC_ACT_DUTY, duty, rule, c);
}

/* A pause lasts until the state has left red, a lower duty until it is green: latches may come and go in between. */
static void pace(ac_guard_state *s, const ac_guard_sample *in, ac_guard_acts *out)
{
    for (size_t i = 0; i < AC_COUNTOF(pausing) && !s->paused; i++) {
        const int32_t rule = on_for(s, pausing[i], AC_GUARD_RED);
        if (rule < 0 || s->level < AC_GUARD_RED) continue;
        s->paused = true;
        s->pause_ms = in->now_ms;
        act(s, out, AC_ACT_PAUSE, 0, rule, pausing[i]);
    }
    if (s->paused && s->level < AC_GUARD_RED) {
        s->paused = false;
        act(s, out, AC_ACT_RESUME, 0, -1, AC_CAUSE_N);
    }
    if (s->paused) return;
    if (s->level == AC_GUARD_GREEN) {
        set_duty(s, 100, in, out, -1, AC_CAUSE_N);
        return;
    }
    for (size_t i = 0; i < AC_COUNTOF(slowing); i++) {
        const int32_t rule = on_for(s, slowing[i], AC_GUARD_YELLOW);
        if (rule < 0) continue;
        const bool more = s->duty == 75 && s->latch[rule].entering_ms >= 0 && in->now_ms - s->duty_ms >= DUTY_SETTLE_MS;
        if (s->duty == 100) set_duty(s, 75, in, out, rule, slowing[i]);
        else if (more) set_duty(s, 50, in, out, rule, slowing[i]);
        return;
    }
}

/* What only a person can change is said once for as long as it lasts. */
static void tell(ac_guard_state *s, const ac_guard_sample *in, ac_guard_acts *out)
{
    for (size_t i = 0; i < ac_guard_n_rules; i++) {
        const ac_guard_cause c = ac_guard_rules[i].cause;
        if (c != AC_CAUSE_DISK && c != AC_CAUSE_SLOW && c != AC_CAUSE_BLIND) continue;
        const uint64_t bit = (uint64_t)1 << i;
        if (s->latch[i].on && !(s->warned & bit)) act(s, out, AC_ACT_WARN, 0, (int32_t)i, c);
        s->warned = s->latch[i].on ? s->warned | bit : s->warned & ~bit;
    }
    const int32_t rule = signal_on(s, AC_SIG_BESIDE);
    if (rule >= 0 && in->beside[0] && strncmp(s->named, in->beside, sizeof s->named) != 0) {
        memcpy(s->named, in->beside, sizeof s->named);
        s->named[sizeof s->named - 1] = '\0';
        act(s, out, AC_ACT_NAME, 0, rule, AC_CAUSE_OTHERS);
    }
    if (rule < 0) memset(s->named, 0, sizeof s->named);
    if (out->held && !s->held_said) {
        s->held_said = true;
        act(s, out, AC_ACT_WARN, 0, -1, AC_CAUSE_N);
    }
}

/* A checkpoint shortly before the hours end: twice the time that one takes, a minute at least. */
static void save_before_window(ac_guard_state *s, const ac_guard_terms *t, const ac_guard_sample *in, ac_guard_acts *out)
{
    if (!wants_window(t) || in->minute < 0 || in->minute >= 1440) return;
    const int64_t lead = in->checkpoint_ms > 0 && in->checkpoint_ms < HOUR_MS ? (2 * in->checkpoint_ms + 59999) / 60000 : 1;
    const int64_t left = (t->window_to - in->minute + 1440) % 1440;
    const bool near = ac_guard_window_open(t, in->minute) && left <= lead;
    if (near && !s->window_saved && !s->paused) act(s, out, AC_ACT_CHECKPOINT, 0, -1, AC_CAUSE_WINDOW);
    s->window_saved = near;
}

ac_guard_state ac_guard_step(ac_guard_state s, const ac_guard_terms *t, const ac_guard_sample *in, ac_guard_acts *out)
{
    static const int64_t interval_ms[] = { 1000, 200, 100, 100 };
    *out = (ac_guard_acts){ 0 };
    const bool valid = sample_valid(&s, in, interval_ms[s.level]);
    const int64_t now = s.begun && in->now_ms < s.last_ms ? s.last_ms : in->now_ms;
    ac_guard_sample at = *in;
    at.now_ms = now;
    if (!s.begun) s.level_ms = now;
    if (s.begun && now - s.last_ms > GAP_MS)
        for (size_t i = 0; i < ac_guard_n_rules; i++) {
            s.latch[i].entering_ms = s.latch[i].leaving_ms = -1;
            s.latch[i].samples = 0;
        }
    s.begun = true;
    s.last_ms = now;
    s.invalid = valid ? 0 : s.invalid < 1000 ? s.invalid + 1 : s.invalid;
    latches_feed(&s, t, &at, valid, now);
    level_follow(&s, now, out);
    if (s.end_id) {
        see_it_end(&s, &at, out);
    } else if (!ends(&s, t, &at, out)) {
        save_before_window(&s, t, &at, out);
        memory(&s, t, &at, out);
        pace(&s, &at, out);
        tell(&s, &at, out);
    }
    out->next_ms = interval_ms[s.level];
    return s;
}
