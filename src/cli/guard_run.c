/* The guard's process: forks the trainer, relays signals, turns the actor's loop, keeps the record, ends as the trainer did. */
#include "cli/guard_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"

#define LOST_WAIT_MS 100
#define FAKED_WAIT_MS 20         /* a turned clock does not wake anybody */

typedef struct {
    ac_cli *cli;
    ac_forked f;
    int relay, wake;             /* wake: the kernel tells that tasks wait for memory; -1: it does not */
    const char *root;            /* ACCORD_GUARD_ROOT: /proc and /sys are looked for below it, the clock in its file "clock" */
    ac_actor actor;
    ac_telemetry record;
    char record_path[AC_MSG_PATH + 32];
} guard;

/* ---- time ---- */

/* "<milliseconds to add> <minute of the day>", for tests. */
static void turn(ac_actor_time *t, const char *root)
{
    char path[1024];
    ac_str s = { 0 };
    int64_t add = 0, minute = -1;
    (void)snprintf(path, sizeof path, "%s/clock", root);
    if (!ac_file_read(&s, path, 64, NULL)) {
        const ac_view all = ac_view_trim(ac_str_view(&s));
        const size_t blank = ac_view_find(all, AC_VIEW(" "), 0);
        if (ac_parse_i64(ac_view_slice(all, 0, blank), &add) && add > 0) {
            t->now_ms += add;
            t->boot_ms += add;
        }
        if (blank != SIZE_MAX && ac_parse_i64(ac_view_slice(all, blank + 1, all.len), &minute) && minute >= 0 && minute < 1440)
            t->minute = (int32_t)minute;
    }
    ac_str_release(&s);
}

static ac_actor_time now(const guard *g)
{
    ac_actor_time t = { .now_ms = ac_mono_ns() / 1000000, .boot_ms = ac_boot_ns() / 1000000, .utc_ns = ac_utc_ns() };
    t.minute = ac_local_minute(t.utc_ns);
    if (g->root[0]) turn(&t, g->root);
    return t;
}

/* ---- what the actor tells ---- */

static void say(const guard *g, const char *text)
{
    if (g->cli->err_tty) (void)fputs("\r\x1b[K", g->cli->err);    /* the trainer's bar is drawn again with the next step */
    (void)fprintf(g->cli->err, "guard: %s\n", text);
    (void)fflush(g->cli->err);
}

static void told_begin(void *ctx, const ac_actor *a)
{
    guard *g = ctx;
    (void)snprintf(g->record_path, sizeof g->record_path, "%s/telemetry.jsonl", a->hello.run_dir);
    ac_telemetry_open(&g->record, g->record_path);
    ac_telemetry_begin(&g->record, a);
}

/* The record is given up once, aloud; the guarding goes on. */
static void check_record(guard *g)
{
    char text[AC_ERR_TEXT_MAX + 80];
    if (!g->record.failed || !g->record.why.text[0]) return;
    (void)snprintf(text, sizeof text, "the record of this run stays incomplete: %s", g->record.why.text);
    say(g, text);
    g->record.why.text[0] = '\0';
}

static void told_sample(void *ctx, const ac_actor *a)
{
    guard *g = ctx;
    ac_telemetry_sample(&g->record, a);
    check_record(g);
}

static void told_act(void *ctx, const ac_actor *a, const ac_actor_note *n)
{
    guard *g = ctx;
    if (n->loud || !g->cli->quiet) say(g, n->text);
    ac_telemetry_act(&g->record, a, n);
}

static void told_ack(void *ctx, const ac_actor *a, const ac_msg *m, int64_t took_ms)
{
    guard *g = ctx;
    ac_telemetry_ack(&g->record, a, m, took_ms);
}

static void told_kill(void *ctx, bool hard)
{
    guard *g = ctx;
    ac_fork_signal(&g->f, hard ? SIGKILL : SIGTERM);
}

/* ---- the loop ---- */

static void relay_signals(guard *g, bool *ended)
{
    for (int sig; (sig = ac_relay_next(g->relay)) != 0;) {
        if (sig == SIGCHLD) {
            *ended = true;
        } else if (sig == SIGTSTP) {                     /* Ctrl-Z: both stand still, and go on together */
            ac_fork_signal(&g->f, SIGSTOP);
            ac_stop_self();
            ac_fork_signal(&g->f, SIGCONT);
        } else {
            ac_fork_signal(&g->f, sig);
        }
    }
}

static ac_fork_end watch(guard *g)
{
    ac_fork_end e = { .ended = false };
    while (!e.ended) {
        ac_actor_time t = now(g);
        int64_t wait = ac_actor_wait_ms(&g->actor, t.now_ms);
        if (g->root[0] && (wait < 0 || wait > FAKED_WAIT_MS)) wait = FAKED_WAIT_MS;
        if (g->actor.ch.fd < 0) {                        /* closed, or not to be trusted: the trainer sees its end, and stops */
            ac_fork_close(&g->f);
            if (wait < 0 || wait > LOST_WAIT_MS) wait = LOST_WAIT_MS;
        }
        const int fds[] = { g->relay, g->f.fd };
        bool look = g->f.fd < 0;
        const int woken = ac_wait_fds(fds, 2, g->wake, wait);
        if (woken < 0) {
            ac_signals_wake_close(g->wake);
            g->wake = -1;
        }
        relay_signals(g, &look);
        t = now(g);
        ac_actor_receive(&g->actor, &t);
        ac_actor_tick(&g->actor, &t, woken > 0);
        if (look) e = ac_fork_poll(&g->f);
    }
    return e;
}

static ac_status finish(guard *g, const ac_fork_end *e, ac_err *err)
{
    ac_actor_time t = now(g);
    const char *id = strrchr(g->actor.hello.run_dir, '/');
    ac_actor_receive(&g->actor, &t);
    ac_actor_end(&g->actor, &t);
    if (g->actor.looked) ac_telemetry_end(&g->record, &g->actor, e);
    check_record(g);
    ac_telemetry_close(&g->record);
    ac_fork_close(&g->f);
    if (!e->signal && e->exit_code == 0) return AC_OK;
    if (e->signal && g->actor.end_code) {                /* it was to end, and did not in time */
        g->cli->exit_as = g->actor.end_code;
        return ac_fail(err, AC_ECANCEL, "the trainer did not stop in time and was ended; its last checkpoint is of step %llu; go on with: "
                       "accord train --resume %s", (unsigned long long)g->actor.durable, id ? id + 1 : "");
    }
    g->cli->exit_as = e->exit_code;
    if (!e->signal) return AC_ENO;                       /* the trainer has said why */
    if (e->signal == SIGINT || e->signal == SIGTERM || e->signal == SIGHUP || e->signal == SIGUSR1 || e->signal == SIGUSR2)
        ac_die_by(e->signal);
    return ac_fail(err, AC_ESTATE, "the trainer was ended by signal %d%s%s; %s%s", e->signal,
                   e->signal == SIGKILL ? ", as the kernel does when memory runs out" : "",
                   g->actor.begun ? ", its last checkpoint stands" : " before it began", g->actor.begun ? "go on with: accord train --resume " : "run accord train again",
                   g->actor.begun && id ? id + 1 : "");
}

static ac_status be_guard(ac_cli *cli, const ac_forked *f, ac_err *err)
{
    static guard g;              /* the stack stays small; zero until here */
    const char *root = getenv("ACCORD_GUARD_ROOT");
    const ac_actor_watch told = { .ctx = &g, .begin = told_begin, .sample = told_sample, .act = told_act, .ack = told_ack,
                                  .kill = told_kill };
    g.cli = cli;
    g.f = *f;
    g.root = root ? root : "";
    const ac_status st = ac_relay_open(&g.relay, err);
    if (st) {                                            /* the closed socket stops the trainer */
        ac_fork_close(&g.f);
        ac_fork_unblock();
        return st;
    }
    const char *why;             /* an older kernel, or one that asks for a privilege: a look a second is what there is */
    g.wake = ac_signals_wake_open(g.root, &why);
    ac_drop_clean_pages();
    ac_lock_memory();
    ac_actor_init(&g.actor, f->fd, f->pid, g.root, &told);
    const ac_fork_end e = watch(&g);
    ac_signals_wake_close(g.wake);
    return finish(&g, &e, err);
}

ac_status ac_guard_train(ac_cli *cli, const ac_train_cli *o, ac_err *err)
{
    ac_guard_link link;
    ac_train_cli own = *o;
    ac_forked f = { .fd = -1 };
    const bool guarded = o->guard && !o->dry_run;
    if (guarded) {
        const ac_status st = ac_fork(&f, SIGUSR2, err);
        if (st) return st;
        if (!f.is_child) return be_guard(cli, &f, err);
        ac_oom_score_set(500);
        ac_fork_unblock();
    }
    ac_link_open(&link, guarded ? &f : NULL);
    own.link = &link;
    const ac_status st = ac_train_command(cli, &own, err);
    if (!link.left) ac_fork_close(&f);
    return st;
}
