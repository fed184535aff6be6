#include "guard/trainer.h"

#include <stdio.h>
#include <string.h>

#include "base/fork.h"
#include "base/time.h"

#define TELL_NS ((int64_t)200000000)     /* steps of a small model would be thousands of messages */
#define GO_WAIT_NS ((int64_t)3000000000)
#define ANSWER_MS 1000

void ac_trainer_init(ac_trainer *t, int fd, const volatile sig_atomic_t *stop)
{
    *t = (ac_trainer){ .stop = stop, .duty = 100, .micro = 1 };
    ac_channel_init(&t->ch, fd);
}

static void answer(ac_trainer *t, uint64_t id, bool ok, const char *text)
{
    ac_msg m = { .kind = AC_MSG_ACK, .id = id, .step = t->step, .durable = t->durable, .ok = ok };
    (void)snprintf(m.text, sizeof m.text, "%s", text ? text : "");
    for (char *c = m.text; *c; c++)                      /* the channel takes text of one plain line */
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f) *c = '?';
    (void)ac_channel_send(&t->ch, &m, ANSWER_MS);
}

static void heard(ac_trainer *t, uint64_t id)
{
    (void)ac_channel_send(&t->ch, &(ac_msg){ .kind = AC_MSG_HEARD, .id = id }, ANSWER_MS);
}

/* GO_ON where the command is done with. */
static ac_order obey(ac_trainer *t, const ac_msg *m)
{
    switch (m->kind) {
    case AC_MSG_GO: t->went = true; break;
    case AC_MSG_MICRO:
        t->micro = m->arg;
        t->unit_ns = t->unit_told_ns = 0;
        answer(t, m->id, true, NULL);
        break;
    case AC_MSG_RECOMPUTE:
        if (m->arg && !t->can_recompute) {
            answer(t, m->id, false, "method.recompute: none forbids it");
            break;
        }
        t->recompute = m->arg != 0;
        answer(t, m->id, true, NULL);
        break;
    case AC_MSG_DUTY:
        t->duty = m->arg;
        answer(t, m->id, true, NULL);
        break;
    case AC_MSG_PAUSE:
    case AC_MSG_RESUME:
        t->paused = m->kind == AC_MSG_PAUSE;
        answer(t, m->id, true, NULL);
        break;
    case AC_MSG_CHECKPOINT:
        heard(t, m->id);
        t->save_id = m->id;
        return AC_ORDER_SAVE;
    case AC_MSG_EXIT:
        t->end_code = (int)m->arg;
        if (m->save) {
            heard(t, m->id);
            t->end_id = m->id;
            return AC_ORDER_STOP;
        }
        t->dropped = true;
        answer(t, m->id, true, NULL);
        return AC_ORDER_DROP;
    default: break;                                      /* an answer is no command */
    }
    return AC_ORDER_GO_ON;
}

static ac_order listen_once(ac_trainer *t)
{
    ac_msg m;
    bool got = true;
    while (!t->alone && got) {
        if (ac_channel_next(&t->ch, &m, &got, NULL)) got = false;
        const ac_order o = got ? obey(t, &m) : AC_ORDER_GO_ON;
        if (o != AC_ORDER_GO_ON) return o;
        if (t->ch.fd < 0 && !got) t->alone = true;
    }
    return t->alone || *t->stop ? AC_ORDER_STOP : AC_ORDER_GO_ON;
}

static void wait(ac_trainer *t, int64_t ns)
{
    (void)ac_wait_fds(&t->ch.fd, 1, -1, (ns + 999999) / 1000000);
}

/* Pause and duty: listens while it waits, so that the next command is obeyed at once. */
static ac_order rest(ac_trainer *t, int64_t busy_ns)
{
    const int64_t start = ac_mono_ns();
    ac_order o = AC_ORDER_GO_ON;
    for (;;) {
        const int64_t rested = ac_mono_ns() - start, slept = busy_ns * (100 - (int64_t)t->duty) / (int64_t)t->duty;
        const int64_t left = t->paused ? 250000000 : slept - rested;
        if (left <= 0) break;
        wait(t, left > 250000000 ? 250000000 : left);    /* a signal may come just before poll */
        o = listen_once(t);
        if (o != AC_ORDER_GO_ON) break;
    }
    t->waited_ns += ac_mono_ns() - start;
    return o;
}

static void tell_steps(ac_trainer *t)
{
    if (t->tokens == 0 && t->unit_ns <= t->unit_told_ns + t->unit_told_ns / 8) return;
    const ac_msg m = { .kind = AC_MSG_STEP, .step = t->step, .durable = t->durable, .seconds = t->seconds, .tokens = t->tokens,
                       .ms = (uint64_t)(t->unit_ns / 1000000) };
    t->told_ns = ac_mono_ns();
    if (!ac_channel_send(&t->ch, &m, 0)) return;         /* the next one tells of these too */
    t->unit_told_ns = t->unit_ns;
    t->tokens = 0;
    t->seconds = 0;
}

void ac_trainer_hello(ac_trainer *t, const ac_msg *hello)
{
    const int64_t until = ac_mono_ns() + GO_WAIT_NS;
    t->micro = hello->micro_start;
    t->recompute = hello->recompute;
    t->can_recompute = hello->can_recompute || hello->recompute;
    t->step = hello->step;
    t->durable = hello->durable;
    if (!ac_channel_send(&t->ch, hello, ANSWER_MS)) t->alone = t->ch.fd < 0;
    while (!t->went && !t->alone && !*t->stop && !t->end_code && ac_mono_ns() < until) {
        wait(t, 50000000);
        t->save_due |= listen_once(t) == AC_ORDER_SAVE;
    }
    t->left_ns = ac_mono_ns();
}

ac_order ac_trainer_boundary(ac_trainer *t, uint64_t step, uint64_t durable)
{
    const int64_t busy = t->left_ns ? ac_mono_ns() - t->left_ns : 0;
    t->step = step;
    t->durable = durable;
    if (busy > t->unit_ns) t->unit_ns = busy;
    if (t->save_due) {
        t->save_due = false;
        return AC_ORDER_SAVE;
    }
    if (t->save_id) {
        answer(t, t->save_id, true, NULL);
        t->save_id = 0;
    }
    ac_order o = t->end_id ? AC_ORDER_STOP : t->dropped ? AC_ORDER_DROP : listen_once(t);
    if (o == AC_ORDER_GO_ON && (t->paused || t->duty < 100)) o = rest(t, busy);
    if (ac_mono_ns() - t->told_ns >= TELL_NS) tell_steps(t);
    t->left_ns = ac_mono_ns();
    return o;
}

void ac_trainer_step(ac_trainer *t, uint64_t step, double seconds, uint64_t tokens)
{
    t->step = step;
    t->seconds += seconds;
    t->tokens += tokens;
}

void ac_trainer_saved(ac_trainer *t, uint64_t step, double seconds, uint64_t bytes)
{
    const double ms = seconds * 1e3 + 0.5;
    t->durable = step;
    tell_steps(t);
    (void)ac_channel_send(&t->ch, &(ac_msg){ .kind = AC_MSG_SAVED, .step = step, .ms = ms > 1 ? (uint64_t)ms : 1, .bytes = bytes },
                          ANSWER_MS);
}

void ac_trainer_end(ac_trainer *t, uint64_t step, uint64_t durable, const char *text)
{
    t->step = step;
    t->durable = durable;
    tell_steps(t);
    if (t->save_id) answer(t, t->save_id, !text, text);
    if (t->end_id) answer(t, t->end_id, !text, text);
    t->save_id = t->end_id = 0;
}
