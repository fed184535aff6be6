#include "guard/actor.h"

#include <stdio.h>
#include <string.h>

#define RECORD_MS 1000
#define IDLE_RECORD_MS 10000
#define SEND_MS 100

void ac_actor_init(ac_actor *a, int fd, int64_t pid, const char *root, const ac_actor_watch *watch)
{
    *a = (ac_actor){ .child_runs = true, .duty = 100, .least_duty = 100 };
    if (watch) a->watch = *watch;
    ac_channel_init(&a->ch, fd);
    a->from = (ac_signals_from){ .root = root, .pid = pid };
}

uint64_t ac_actor_peak(const ac_msg *h, uint64_t micro)
{
    if (micro >= h->micro_start) return h->planned_peak;
    const double part = (double)h->call_bytes * (double)micro / (double)h->micro_start;
    const uint64_t calls = part > (double)h->least_call_bytes ? (uint64_t)part : h->least_call_bytes;
    return h->planned_peak - h->call_bytes + calls;
}

/* ---- what the trainer says ---- */

static void take_hello(ac_actor *a, const ac_msg *m)
{
    if (a->begun) return;
    a->hello = *m;
    a->terms = (ac_guard_terms){
        .window_from = (int32_t)m->window_from, .window_to = (int32_t)m->window_to, .battery_ok = m->battery, .lid_ok = m->lid,
        .polite = m->polite, .beside_ok = m->beside, .can_recompute = m->can_recompute, .micro_start = (int64_t)m->micro_start,
    };
    a->state = ac_guard_begin(&a->terms);
    a->state.recompute = a->recompute = m->recompute;
    a->micro = a->least_micro = m->micro_start;
    a->step = m->step;
    a->durable = m->durable;
    a->checkpoint_bytes = m->checkpoint_bytes;
    a->from.budget_bytes = (int64_t)m->budget;
    a->from.checkpoint_dir = a->hello.run_dir;
    a->from.checkpoint_bytes = (int64_t)m->checkpoint_bytes;
    if (m->gpu && !a->from.gpus) (void)ac_nvml_open(&a->from.gpus, NULL, NULL);      /* not there: its signals say so */
    a->from.gpu = (int32_t)m->gpu - 1;
    a->begin_ms = a->sum_ms = a->time.now_ms;
    a->told_ms = a->time.now_ms - IDLE_RECORD_MS;
    a->begin_sleep_ms = a->time.boot_ms - a->time.now_ms;
    a->begun = true;
    a->next_ms = a->time.now_ms;
}

static double median(const double *v, size_t n)
{
    double s[AC_ACTOR_STEPS] = { 0 };
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && s[at - 1] > v[i]; at--) s[at] = s[at - 1];
        s[at] = v[i];
    }
    return s[n / 2];
}

/* The first full window of steps is what later ones are compared with; other settings begin anew. */
static void take_steps(ac_actor *a, const ac_msg *m)
{
    a->step = m->step;
    if (m->durable > a->durable) a->durable = m->durable;
    a->unit_ms = (int64_t)m->ms;
    if (m->tokens == 0) return;
    a->per_token[a->n_steps++ % AC_ACTOR_STEPS] = m->seconds / (double)m->tokens;
    if (a->n_steps < AC_ACTOR_STEPS) return;
    const double now = median(a->per_token, AC_ACTOR_STEPS);
    if (a->baseline <= 0) a->baseline = now;
    a->from.step_ratio = a->baseline > 0 ? now / a->baseline : 0;
}

static void forget_steps(ac_actor *a)
{
    a->n_steps = 0;
    a->baseline = a->from.step_ratio = 0;
}

static void take_answer(ac_actor *a, const ac_msg *m)
{
    int64_t took = -1;
    if (m->id > a->answered) a->answered = m->id;
    if (m->kind == AC_MSG_HEARD) return;
    for (size_t i = 0; i < a->n_sent; i++)
        if (a->sent[i].id == m->id) took = a->time.now_ms - a->sent[i].ms;
    a->step = m->step;
    if (m->durable > a->durable) a->durable = m->durable;
    if (a->watch.ack) a->watch.ack(a->watch.ctx, a, m, took);
}

void ac_actor_receive(ac_actor *a, const ac_actor_time *now)
{
    ac_msg m;
    bool got = true;
    a->time = *now;
    while (got && !ac_channel_next(&a->ch, &m, &got, NULL) && got) {
        switch (m.kind) {
        case AC_MSG_HELLO:
            take_hello(a, &m);
            break;
        case AC_MSG_STEP: take_steps(a, &m); break;
        case AC_MSG_HEARD:
        case AC_MSG_ACK: take_answer(a, &m); break;
        case AC_MSG_SAVED:
            a->durable = m.step;
            a->checkpoint_ms = (int64_t)m.ms;
            if (m.bytes) a->checkpoint_bytes = m.bytes;
            a->from.checkpoint_bytes = (int64_t)a->checkpoint_bytes;
            break;
        default: break;                                  /* commands come from here, not from there */
        }
    }
}

/* ---- acting ---- */

static void put_value(ac_str *s, const ac_guard_rule *r, ac_reading v)
{
    const ac_signal_info *about = ac_signal_about(r->signal);
    const bool is_yes = strcmp(about->unit, "yes = 1") == 0 || strcmp(about->unit, "closed = 1") == 0
                        || strcmp(about->unit, "outside = 1") == 0;
    ac_str_append_c(s, r->signal == AC_SIG_WINDOW ? "outside its hours" : r->signal == AC_SIG_LID ? "the lid is closed"
                       : r->signal == AC_SIG_ON_BATTERY ? "runs on battery" : about->name);
    if (!is_yes && v.measured) ac_str_appendf(s, " %.3g %s, limit %.3g", v.value, about->unit, r->enter);
}

static void put_act(ac_str *s, const ac_actor *a, const ac_guard_act *act)
{
    switch (act->kind) {
    case AC_ACT_MICRO:
        ac_str_appendf(s, "micro-batch %llu -> %lld, no bit changes", (unsigned long long)a->micro, (long long)act->arg);
        break;
    case AC_ACT_RECOMPUTE: ac_str_append_c(s, "layers are computed again on the way back, no bit changes"); break;
    case AC_ACT_DUTY:
        if (act->arg == 100) ac_str_append_c(s, "computes all the time again");
        else ac_str_appendf(s, "computes %lld %% of the time", (long long)act->arg);
        break;
    case AC_ACT_PAUSE: ac_str_append_c(s, "pause"); break;
    case AC_ACT_RESUME: ac_str_append_c(s, "goes on"); break;
    case AC_ACT_CHECKPOINT: ac_str_append_c(s, "checkpoint"); break;
    case AC_ACT_CHECKPOINT_EXIT: ac_str_appendf(s, "checkpoint, then exit %lld", (long long)act->arg); break;
    case AC_ACT_DROP_EXIT:
        ac_str_appendf(s, "leaves the step in flight, exit %lld; the last checkpoint is of step %llu", (long long)act->arg,
                       (unsigned long long)a->durable);
        break;
    case AC_ACT_ADVISE_MOVE: ac_str_append_c(s, "this run does not fit here; how to move it follows"); break;
    case AC_ACT_WARN:
        ac_str_append_c(s, act->rule < 0 ? "it changed too often: settings stay low for the rest of the run" : "please look at it");
        break;
    case AC_ACT_NAME: ac_str_appendf(s, "%s needs the machine too", a->in.beside); break;
    case AC_ACT_TERM: ac_str_append_c(s, "the trainer does not answer: SIGTERM"); break;
    case AC_ACT_KILL: ac_str_append_c(s, "the trainer does not end: SIGKILL"); break;
    case AC_ACT_N: break;
    }
}

static ac_reading value_of(const ac_actor *a, int32_t rule)
{
    if (rule < 0) return (ac_reading){ .why = "no rule" };
    const ac_signal sig = ac_guard_rules[rule].signal;
    if (sig == AC_SIG_WINDOW) return (ac_reading){ .measured = true, .value = 1 };
    if (sig == AC_SIG_BLIND) return (ac_reading){ .measured = true, .value = a->state.invalid };
    return a->in.read[sig];
}

static void note(ac_actor *a, const ac_guard_act *act, ac_guard_level from)
{
    ac_str s = { .max_bytes = 1024 };
    ac_actor_note n = { .act = act, .from = from, .value = value_of(a, act ? act->rule : -1) };
    if (!a->watch.act) return;
    if (act) {
        if (act->cause != AC_CAUSE_N) ac_str_appendf(&s, "%s: ", ac_guard_cause_name(act->cause));
        if (act->rule >= 0) {
            put_value(&s, &ac_guard_rules[act->rule], n.value);
            ac_str_append_c(&s, ": ");
        }
        put_act(&s, a, act);
        n.loud = act->kind >= AC_ACT_CHECKPOINT_EXIT && act->kind != AC_ACT_NAME;
    } else {
        ac_str_appendf(&s, "%s -> %s", ac_guard_level_name(from), ac_guard_level_name(a->state.level));
    }
    n.text = ac_str_ok(&s) ? ac_str_c(&s) : "an act (no memory for its text)";
    a->watch.act(a->watch.ctx, a, &n);
    ac_str_release(&s);
}

static void send(ac_actor *a, const ac_guard_act *act)
{
    static const ac_msg_kind kinds[] = {
        [AC_ACT_MICRO] = AC_MSG_MICRO, [AC_ACT_RECOMPUTE] = AC_MSG_RECOMPUTE, [AC_ACT_DUTY] = AC_MSG_DUTY, [AC_ACT_PAUSE] = AC_MSG_PAUSE,
        [AC_ACT_RESUME] = AC_MSG_RESUME, [AC_ACT_CHECKPOINT] = AC_MSG_CHECKPOINT, [AC_ACT_CHECKPOINT_EXIT] = AC_MSG_EXIT,
        [AC_ACT_DROP_EXIT] = AC_MSG_EXIT,
    };
    const ac_msg m = { .kind = kinds[act->kind], .id = act->id, .arg = (uint64_t)act->arg,
                       .save = act->kind == AC_ACT_CHECKPOINT_EXIT };
    if (a->n_sent == AC_ACTOR_SENT) memmove(a->sent, a->sent + 1, --a->n_sent * sizeof a->sent[0]);
    a->sent[a->n_sent].id = act->id;
    a->sent[a->n_sent++].ms = a->time.now_ms;
    (void)ac_channel_send(&a->ch, &m, SEND_MS);          /* a trainer that does not read is dealt with by the policy */
}

/* The record tells settings as they were asked for; the ack tells when they were there. */
static void settle(ac_actor *a, const ac_guard_act *act)
{
    switch (act->kind) {
    case AC_ACT_MICRO:
        a->micro = (uint64_t)act->arg;
        if (a->micro < a->least_micro) a->least_micro = a->micro;
        forget_steps(a);
        break;
    case AC_ACT_RECOMPUTE:
        a->recompute = act->arg != 0;
        forget_steps(a);
        break;
    case AC_ACT_DUTY:
        a->duty = (uint64_t)act->arg;
        if (a->duty < a->least_duty) a->least_duty = a->duty;
        break;
    case AC_ACT_PAUSE: a->paused = true; break;
    case AC_ACT_RESUME: a->paused = false; break;
    case AC_ACT_CHECKPOINT_EXIT:
    case AC_ACT_DROP_EXIT: a->end_code = (int)act->arg; break;
    default: break;
    }
}

static void do_acts(ac_actor *a, const ac_guard_acts *acts, ac_guard_level from)
{
    if (acts->changed) note(a, NULL, from);
    for (size_t i = 0; i < acts->n; i++) {
        const ac_guard_act *act = &acts->act[i];
        note(a, act, from);
        if (act->kind <= AC_ACT_DROP_EXIT) send(a, act);
        else if (act->kind >= AC_ACT_TERM && a->watch.kill) a->watch.kill(a->watch.ctx, act->kind == AC_ACT_KILL);
        settle(a, act);
    }
}

/* ---- looking ---- */

/* Time since the last look, in the state that it left. */
static void add_up(ac_actor *a)
{
    const int64_t d = a->time.now_ms - a->sum_ms;
    a->sum_ms = a->time.now_ms;
    if (d <= 0) return;
    a->level_ms[a->state.level] += d;
    if (a->paused) a->paused_ms += d;
    else if (a->duty < 100) a->slow_ms += d;
    if (a->micro < a->hello.micro_start) a->small_ms += d;
    if (a->recompute && !a->hello.recompute) a->recompute_ms += d;
    const ac_reading f = a->in.read[AC_SIG_FOREIGN_CPU];
    if (f.measured && f.value > 25) a->foreign_ms += d;
}

static bool moved(ac_reading was, ac_reading is)
{
    if (was.measured != is.measured) return true;
    if (!is.measured) return false;
    const double d = is.value > was.value ? is.value - was.value : was.value - is.value;
    const double old = was.value < 0 ? -was.value : was.value;
    return d > old / 20 && d > 1;
}

static bool worth_telling(const ac_actor *a)
{
    for (size_t i = 0; i < AC_SIG_N_READ; i++)
        if (moved(a->told[i], a->in.read[i])) return true;
    return false;
}

static void tell_sample(ac_actor *a, bool acted)
{
    const int64_t since = a->time.now_ms - a->told_ms;
    if (!acted && since < IDLE_RECORD_MS && (since < RECORD_MS || !worth_telling(a))) return;
    if (a->watch.sample) a->watch.sample(a->watch.ctx, a);
    a->told_ms = a->time.now_ms;
    memcpy(a->told, a->in.read, sizeof a->told);
}

/* The largest micro-batch that would leave a fifth of the memory free, were it grown to now; 0: unknown. */
static int64_t micro_that_fits(const ac_actor *a)
{
    const ac_signals *s = &a->signals;
    uint64_t micro = a->hello.micro_start;
    if (s->available_bytes < 0 || s->footprint_bytes < 0 || s->total_bytes <= 0) return 0;
    const int64_t may = s->footprint_bytes + s->available_bytes - s->total_bytes / 5;
    while (micro > 1 && (may < 0 || ac_actor_peak(&a->hello, micro) > (uint64_t)may)) micro /= 2;
    return (int64_t)micro;
}

/* Memory that runs out is looked at more often than the level asks for. */
static int64_t sooner(const ac_actor *a, int64_t ms)
{
    const ac_reading left = a->in.read[AC_SIG_AVAILABLE];
    const int64_t most = !left.measured || left.value >= 20 ? ms : left.value >= 10 ? 200 : 100;
    return most < ms ? most : ms;
}

void ac_actor_tick(ac_actor *a, const ac_actor_time *now, bool early)
{
    a->time = *now;
    const bool first = !a->looked;
    if (!a->begun || !a->child_runs || (!early && now->now_ms < a->next_ms)) return;
    a->looked = true;
    add_up(a);
    a->in.minute = now->minute;
    a->in.child_runs = a->child_runs;
    a->in.answered = a->answered;
    a->in.checkpoint_ms = a->checkpoint_ms;
    a->in.unit_ms = a->unit_ms;
    if (ac_signals_read(&a->signals, &a->from, now->now_ms, &a->in, NULL)) a->in.taken_ms = a->in.now_ms - 3600000;   /* A2 */
    a->in.micro_fits = micro_that_fits(a);
    if (first && a->watch.begin) a->watch.begin(a->watch.ctx, a);
    ac_guard_acts acts;
    const ac_guard_level from = a->state.level;
    a->state = ac_guard_step(a->state, &a->terms, &a->in, &acts);
    a->valid = a->state.invalid == 0;
    do_acts(a, &acts, from);
    if (first) (void)ac_channel_send(&a->ch, &(ac_msg){ .kind = AC_MSG_GO }, SEND_MS);
    tell_sample(a, acts.n > 0 || acts.changed);
    a->next_ms = now->now_ms + sooner(a, acts.next_ms);
}

int64_t ac_actor_wait_ms(const ac_actor *a, int64_t now_ms)
{
    if (!a->begun || !a->child_runs) return -1;
    return a->next_ms > now_ms ? a->next_ms - now_ms : 0;
}

void ac_actor_end(ac_actor *a, const ac_actor_time *now)
{
    a->time = *now;
    if (a->begun) add_up(a);
    a->child_runs = false;
    ac_nvml_close(&a->from.gpus);
}
