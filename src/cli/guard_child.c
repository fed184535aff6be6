/* The trainer's side of the guard: signals, orders at unit boundaries, what is told. */
#include "cli/guard_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "cli/human.h"

static volatile sig_atomic_t stop_asked, seen[2][64];
static volatile int64_t guard_pid;

/* The second signal of a kind does what it does everywhere: it ends the process. One that a whole group of processes got
 * comes twice, from its sender and from the guard, and counts once. */
static void on_stop(int sig, siginfo_t *info, void *context)
{
    const int passed_on = guard_pid > 0 && info && info->si_pid == (pid_t)guard_pid;
    (void)context;
    stop_asked = 1;
    if (sig < 0 || sig >= 64 || ++seen[passed_on][sig] < 2) return;
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

void ac_link_catch_signals(const ac_guard_link *l)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
    struct sigaction sa = { .sa_flags = SA_RESTART | SA_SIGINFO };
    sa.sa_sigaction = on_stop;
    (void)l;
    (void)sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < AC_COUNTOF(signals); i++) (void)sigaction(signals[i], &sa, NULL);
}

void ac_link_open(ac_guard_link *l, const ac_forked *f)
{
    *l = (ac_guard_link){ .guarded = f != NULL };
    ac_trainer_init(&l->t, f ? f->fd : -1, &stop_asked);
    if (f) guard_pid = f->parent;
}

void ac_link_leave(ac_guard_link *l)
{
    ac_forked f = { .fd = l->guarded ? l->t.ch.fd : -1 };
    ac_fork_close(&f);
    l->t.ch.fd = -1;
    l->guarded = false;
    l->left = true;
}

static void window_of(ac_msg *m, const ac_contract_values *v)
{
    int32_t from = 0, to = 0;
    if (v->guard_window && !ac_guard_window_parse(&from, &to, ac_view_of(v->guard_window), NULL)) {
        m->window_from = (uint64_t)from;
        m->window_to = (uint64_t)to;
    }
}

/* The plan was taken up front and is exact, so that one which fills its budget must not read as short of memory: the guard's
 * first limit is 85 % of what it is told. */
static uint64_t guarded_budget(const ac_memory_plan *p)
{
    const uint64_t roomy = p->peak + p->peak / 5;
    return p->limit && p->limit < roomy ? roomy : p->limit;
}

/* CUDA's first device, as NVML counts: the first that CUDA_VISIBLE_DEVICES names, else 0. One that is named otherwise than by its
 * number is not looked for: a GPU that is not there has no signals. */
static uint64_t gpu_of(const ac_contract_values *v)
{
    const char *shown = getenv("CUDA_VISIBLE_DEVICES");
    uint64_t index;
    if (!v->numerics || strcmp(v->numerics, "cuda-bf16") != 0) return 0;
    if (!shown || !shown[0]) return 1;
    return ac_parse_u64((ac_view){ shown, strcspn(shown, ",") }, &index) && index < 999 ? index + 1 : 1000;
}

void ac_link_hello(ac_guard_link *l, const ac_run_record *rec, const ac_train_reach *reach, uint64_t step)
{
    const ac_contract_values *v = rec->v;
    ac_msg m = { .kind = AC_MSG_HELLO, .step = step, .durable = step, .total_steps = rec->total_steps, .budget = guarded_budget(&rec->memory.plan),
                 .planned_peak = rec->memory.plan.peak, .call_bytes = rec->memory.plan.call_bytes,
                 .least_call_bytes = rec->memory.plan.least_call_bytes, .micro_start = reach->units ? reach->units : 1,
                 .recompute = rec->memory.plan.recompute, .can_recompute = strcmp(v->recompute, "none") != 0,
                 .battery = v->guard_battery, .lid = v->guard_lid, .polite = v->guard_polite, .beside = v->guard_beside };
    if (!l->guarded) return;
    m.checkpoint_bytes = rec->memory.plan.n_params * sizeof(float) * (v->valid ? 2 : 1) + rec->memory.plan.state_bytes;
    (void)snprintf(m.run_dir, sizeof m.run_dir, "%s", rec->dir);
    window_of(&m, v);
    m.gpu = gpu_of(v);
    ac_fork_own_group();
    ac_trainer_hello(&l->t, &m);
}

ac_train_order ac_link_control(void *ctx, ac_train_now *now)
{
    static const ac_train_order orders[] = { [AC_ORDER_GO_ON] = AC_TRAIN_GO_ON, [AC_ORDER_SAVE] = AC_TRAIN_SAVE,
                                             [AC_ORDER_STOP] = AC_TRAIN_STOP, [AC_ORDER_DROP] = AC_TRAIN_DROP };
    ac_guard_link *l = ctx;
    if (!l->guarded) return stop_asked ? AC_TRAIN_STOP : AC_TRAIN_GO_ON;
    const ac_order o = ac_trainer_boundary(&l->t, now->step, now->durable);
    now->micro = (size_t)l->t.micro;
    now->recompute = l->t.recompute;
    now->waited_ns = l->t.waited_ns;
    return orders[o];
}

static ac_status emit(void *ctx, const ac_event *e, ac_err *err)
{
    ac_guard_link *l = ctx;
    if (l->guarded && e->kind == AC_EV_STEP) ac_trainer_step(&l->t, e->step, e->seconds, e->tokens);
    if (l->guarded && e->kind == AC_EV_CHECKPOINT) ac_trainer_saved(&l->t, e->step, e->seconds, e->done);
    return ac_emit(&l->next, e, err);
}

ac_sink ac_link_sink(ac_guard_link *l, ac_sink next)
{
    l->next = next;
    return (ac_sink){ emit, l };
}

void ac_link_end(ac_guard_link *l, const char *failure)
{
    if (l->guarded) ac_trainer_end(&l->t, l->t.step, l->t.durable, failure);
}

int ac_link_stopped(const ac_guard_link *l, const ac_run_record *rec, uint64_t step, const char *why, ac_err *err)
{
    const int code = l->guarded ? l->t.end_code : 0;
    const unsigned long long at = (unsigned long long)step, total = (unsigned long long)rec->total_steps;
    if (err) *err = (ac_err){ "" };
    if (code == AC_EXIT_SICK)
        (void)ac_fail(err, AC_ECANCEL, "this machine is sick: the run was left after step %llu of %llu, its last checkpoint is of step "
                      "%llu; go on elsewhere with: accord train --resume %s", at, total, (unsigned long long)l->t.durable, rec->id);
    else if (l->t.dropped)
        (void)ac_fail(err, AC_ECANCEL, "left after step %llu of %llu without a new checkpoint, the last one is of step %llu; go on with: "
                      "accord train --resume %s", at, total, (unsigned long long)l->t.durable, rec->id);
    else
        (void)ac_fail(err, AC_ECANCEL, "%s%s%scheckpointed after step %llu of %llu; go on%s with: accord train --resume %s", why,
                      why[0] ? "; " : "", l->guarded && l->t.alone && !code ? "the guard is gone; " : "", at, total,
                      code == AC_EXIT_MOVE ? " where there is more memory" : "", rec->id);
    return code == AC_EXIT_RESUME ? 0 : code;
}

/* ---- moving ---- */

static uint64_t bytes_below(const char *path)
{
    ac_arena a = { 0 };
    char **names = NULL;
    size_t n = 0;
    uint64_t sum = 0, size = 0;
    if (!ac_path_is_dir(path)) return ac_file_size(path, &sum, NULL) ? 0 : sum;
    if (ac_dir_files(path, &a, &names, &n, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        const char *full = ac_path_join(&a, path, names[i]);
        if (full && !ac_file_size(full, &size, NULL)) sum += size;
    }
    ac_arena_release(&a);
    return sum;
}

static void advice_line(ac_cli *cli, const char *what, const char *path, uint64_t *sum)
{
    char size[32], text[1400];
    const uint64_t bytes = bytes_below(path);
    *sum += bytes;
    ac_human_bytes(size, bytes);
    (void)snprintf(text, sizeof text, "guard:   %-14s %9s  %s", what, size, path);
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_WARN, .text = text }, NULL);
}

void ac_guard_advice(ac_cli *cli, const ac_run_record *rec, const ac_lock *lock, ac_contract *c)
{
    ac_lock_input in[AC_LOCK_INPUTS_MAX];
    const char *model = NULL;
    uint64_t sum = 0;
    size_t n = 0;
    char text[1400], size[32];
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_WARN, .text = "guard: to go on elsewhere, these files leave this machine:" },
                  NULL);
    if (ac_lock_inputs(in, &n, lock, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_model = strncmp(in[i].name, "base.", 5) == 0;
        if (is_model && (model || ac_contract_model_path(c, &model, NULL))) continue;
        const char *full = is_model ? model : ac_contract_path(c, in[i].path);
        if (full) advice_line(cli, is_model ? "base model" : in[i].name, full, &sum);
    }
    advice_line(cli, "contract", "accord.yaml", &sum);
    advice_line(cli, "lock", "accord.lock", &sum);
    advice_line(cli, "audit log", ".accord/audit.jsonl", &sum);
    advice_line(cli, "run", rec->dir, &sum);
    ac_human_bytes(size, sum);
    (void)snprintf(text, sizeof text, "guard: %s in all; from this folder: rsync -aR accord.yaml accord.lock .accord/audit.jsonl %s <the files "
                   "above> HOST:DIR && ssh HOST 'cd DIR && accord train --resume %s'", size, rec->dir, rec->id);
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_WARN, .text = text }, NULL);
}
