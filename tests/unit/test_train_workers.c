/* Workers: whole runs shared by processes give the bytes of one that is alone; one that dies, errs or never starts ends the
 * run with a text and a checkpoint, and nobody is left over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/time.h"
#include "train_run.h"

/* An emulated CPU takes ten to fifty times as long: fewer of a kind there. */
#if defined(ACCORD_EMULATED)
enum { EMULATED = 1 };
#else
enum { EMULATED = 0 };
#endif

#define TINY_TIED ACCORD_SOURCE_DIR "/tests/oracle/models/qwen2"

/* ---- a wire that does things to whoever uses it ------------------------------------------------------------- */

typedef enum { BE_GOOD, STOP_BEFORE_WORD, DIE_IN_EXCHANGE, FLIP_RECEIVED, FLIP_START } mischief;
typedef struct {
    ac_transport to;
    mischief what;
    size_t rank;                 /* who does it */
    long at, seen, told;
} wire;

static void flip(void *data, size_t bytes)
{
    ((unsigned char *)data)[bytes / 8 * 4 + 2] ^= 0x40;    /* far up in a float's fraction: no rounding loses it */
}

static ac_status exchange(void *ctx, size_t partner, const void *send, void *recv, size_t bytes, const ac_idle *idle, ac_err *err)
{
    wire *w = ctx;
    const bool now = w->to.rank == w->rank && ++w->seen == w->at;
    if (now && w->what == DIE_IN_EXCHANGE) (void)raise(SIGKILL);
    const ac_status st = w->to.exchange(w->to.ctx, partner, send, recv, bytes, idle, err);
    if (!st && now && w->what == FLIP_RECEIVED) flip(recv, bytes);
    return st;
}

static ac_status tell(void *ctx, size_t to, const void *data, size_t bytes, ac_err *err)
{
    wire *w = ctx;
    if (w->what == STOP_BEFORE_WORD && w->to.rank == w->rank && ++w->told == w->at) (void)raise(SIGSTOP);
    return w->to.tell(w->to.ctx, to, data, bytes, err);
}

static ac_status hear(void *ctx, size_t from, void *data, size_t bytes, const ac_idle *idle, ac_err *err)
{
    wire *w = ctx;
    const ac_status st = w->to.hear(w->to.ctx, from, data, bytes, idle, err);
    if (!st && w->what == FLIP_START && w->to.rank == w->rank && ++w->seen == w->at) flip(data, bytes);
    return st;
}

static bool has_word(void *ctx, size_t from)
{
    wire *w = ctx;
    return w->to.has_word(w->to.ctx, from);
}

static bool whole_team(void *ctx)
{
    wire *w = ctx;
    return w->to.whole(w->to.ctx);
}

/* ---- a run by several ----------------------------------------------------------------------------------------- */

typedef struct {
    const char *model, *dir;
    ac_train_opts o;
    size_t workers, threads[4];
    bool resume, no_valid;
    uint64_t stop_after, sick;   /* sick: this step's loss is not finite, in every process */
    mischief what;
    size_t who;
    long at;
    ac_fault_kind kind;
    long fault;                  /* the leader's call of that kind that fails first */
    bool fired;
    bool shrink;                 /* the leader's control makes the micro-batch 1, then 2 ... */
    bool ends;                   /* it saves, and ends the run after half a second in which nothing was recorded */
    ac_train_result r;
    ac_err err;
} job;

static uint64_t boundary;

static ac_train_order shrink(void *ctx, ac_train_now *now)
{
    (void)ctx;
    now->micro = 1 + boundary++ % 3;
    now->recompute = boundary % 2;
    return boundary % 7 ? AC_TRAIN_GO_ON : AC_TRAIN_SAVE;
}

static uint64_t stands_at;
static int64_t stands_since;

static ac_train_order end_of_waiting(void *ctx, ac_train_now *now)
{
    (void)ctx;
    if (now->step != stands_at || !stands_since) {
        stands_at = now->step;
        stands_since = ac_mono_ns();
        return AC_TRAIN_SAVE;
    }
    return ac_mono_ns() - stands_since > 500000000 ? AC_TRAIN_STOP : AC_TRAIN_GO_ON;
}

/* The device's own table but for the gradient norm of one step. Workers ask for the parameters' sum besides. */
static ac_device_ops sick_ops;
static const ac_device_ops *sound_ops;
static uint64_t sums, sick_step, sums_a_step;

static void sick_sum(ac_device *d, const ac_span *part, size_t n, double *out)
{
    sound_ops->sum_squares(d, part, n, out);
    if (sums++ == (sick_step - 1) * sums_a_step) out[n - 1] = (double)NAN;
}

static void make_sick(tiny *t, uint64_t step, bool shared)
{
    if (!step) return;
    sums = 0;
    sick_step = step;
    sums_a_step = shared ? 2 : 1;
    sound_ops = t->dev->op;
    sick_ops = *sound_ops;
    sick_ops.sum_squares = sick_sum;
    t->dev->op = &sick_ops;
}

static ac_status run_here(job *j, const ac_transport *t)
{
    tiny m;
    ac_dataset rows = tiny_rows(40, 16, 97, 1), valid = tiny_rows(9, 16, 97, 2);
    const size_t rank = t ? t->rank : 0;
    if (!tiny_open(&m, j->model ? j->model : TINY_LLAMA, AC_CPU_AUTO, j->threads[rank % 4] ? j->threads[rank % 4] : 1)) return AC_ESTATE;
    ac_train_job run = tiny_job(&m, &j->o, &rows, j->no_valid ? NULL : &valid, rank ? NULL : j->dir);
    run.workers = t;
    run.resume = j->resume;
    run.stop_after_step = j->stop_after;
    if (j->shrink && !rank) run.control = shrink;
    if (j->ends && !rank) run.control = end_of_waiting;
    stands_since = 0;
    make_sick(&m, j->sick, t != NULL);
    if (j->fault && !rank) ac_fault_arm(j->kind, j->fault);
    const ac_status st = ac_train_run(&run, &j->r, &j->err);
    j->fired = ac_fault_fired();
    ac_fault_disarm();
    tiny_close(&m);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return st;
}

/* Returns in the leader alone. */
static ac_status run(job *j)
{
    ac_team *team = NULL;
    j->err = (ac_err){ 0 };
    if (j->workers < 2) return run_here(j, NULL);
    ac_status st = ac_team_fork(&team, j->workers, &j->err);
    if (st) return st;
    wire w = { .to = ac_team_transport(team), .what = j->what, .rank = j->who, .at = j->at };
    const ac_transport t = { w.to.rank, w.to.n, &w, exchange, tell, hear, has_word, whole_team };
    st = run_here(j, &t);
    const size_t rank = ac_team_rank(team);
    if (rank && st && st != AC_ECANCEL && st != AC_EDIVERGED) ac_team_give_up(team, st, j->err.text);
    ac_team_close(&team, 5000);
    if (rank) _exit(ac_live_bytes() == 0 ? 0 : 9);
    return st;
}

static ac_train_opts options(size_t shards)
{
    ac_train_opts o = tiny_opts();
    o.shards = shards;
    o.packing = false;
    o.batch_rows = 9;
    o.micro_batch = 2;
    o.dropout = 0.1;
    o.eval_every = 3;
    o.save_every = 2;
    return o;
}

static void must(ac_status st, const job *j)
{
    if (st) fail_msg("%s", j->err.text);
}

static outcome_bits whole(job j)
{
    j.dir = tiny_dir();
    must(run(&j), &j);
    outcome_bits b = bits_of(j.dir);
    if (j.o.lora.tune == AC_TUNE_FULL) b.adapter = tiny_file_hash(j.dir, "model/model.safetensors");
    assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
    return b;
}

static void same(const job *alone, const job *shared, const char *what)
{
    const outcome_bits want = whole(*alone), got = whole(*shared);
    if (!same_bits(&want, &got)) fail_msg("%s: %zu workers give other bytes than one", what, shared->workers);
}

/* ---- the same bytes -------------------------------------------------------------------------------------------- */

static void any_number_of_workers(void **state)
{
    (void)state;
    for (int packing = 0; packing < 2; packing++)
        for (size_t shards = EMULATED ? 4 : 2; shards <= (EMULATED ? 4 : 8); shards *= 2) {
            job alone = { .o = options(shards), .workers = 1 };
            alone.o.packing = packing;
            for (size_t w = 2; w <= shards; w *= 2) {
                job shared = alone;
                shared.workers = w;
                shared.threads[1] = 2;                   /* nobody computes as another does */
                shared.threads[3] = 3;
                shared.o.micro_batch = 1 + w;
                same(&alone, &shared, packing ? "packed" : "unpacked");
            }
        }
}

static void every_kind_of_training(void **state)
{
    (void)state;
    static const struct { const char *name; ac_tune tune; ac_optim_kind optimizer; ac_state_type s; const char *model; } kind[] = {
        { "all weights", AC_TUNE_FULL, AC_OPTIM_ADAMW, AC_STATE_F32, NULL },
        { "all weights, tied", AC_TUNE_FULL, AC_OPTIM_ADAFACTOR, AC_STATE_F32, TINY_TIED },
        { "DoRA", AC_TUNE_DORA, AC_OPTIM_LION, AC_STATE_BF16, NULL },
        { "Muon", AC_TUNE_LORA, AC_OPTIM_MUON, AC_STATE_INT8, NULL },
        { "SGD", AC_TUNE_LORA, AC_OPTIM_SGD, AC_STATE_F32, NULL },
    };
    for (size_t i = 0; i < AC_COUNTOF(kind); i += EMULATED ? 3 : 1) {
        job alone = { .o = options(4), .workers = 1, .model = kind[i].model };
        alone.o.lora.tune = kind[i].tune;
        alone.o.optimizer = kind[i].optimizer;
        alone.o.optimizer_state = kind[i].s;
        alone.o.momentum = 0.9;
        if (kind[i].tune == AC_TUNE_FULL) {
            alone.o.dropout = 0;
            alone.o.lr = 1e-3;
        }
        job shared = alone;
        shared.workers = i % 2 ? 2 : 4;
        same(&alone, &shared, kind[i].name);
    }
}

static void without_validation_and_with_an_early_end(void **state)
{
    (void)state;
    job alone = { .o = options(4), .workers = 1, .no_valid = true }, shared = alone;
    shared.workers = 4;
    same(&alone, &shared, "no validation");
    alone = (job){ .o = options(2), .workers = 1 };
    alone.o.patience = 1;
    alone.o.eval_every = 1;
    alone.o.lr = 0.5;
    alone.o.epochs = 6;
    shared = alone;
    shared.workers = 2;
    same(&alone, &shared, "patience");
}

static void a_step_is_undone(void **state)
{
    (void)state;
    for (uint64_t step = 1; step <= 10; step += EMULATED ? 5 : 3) {
        job alone = { .o = options(4), .workers = 1, .sick = step }, shared = alone;
        shared.workers = 4;
        same(&alone, &shared, "an undone step");
        alone.sick = 0;
        const outcome_bits well = whole(alone), ill = whole(shared);
        assert_false(same_bits(&well, &ill));
    }
}

/* The leader's micro-batch changes at every boundary, and it saves in between. */
static void settings_reach_everybody(void **state)
{
    (void)state;
    job alone = { .o = options(4), .workers = 1 }, shared = alone;
    shared.workers = 4;
    shared.shrink = true;
    same(&alone, &shared, "a control that changes settings");
}

static void a_resume_with_another_number(void **state)
{
    (void)state;
    job j = { .o = options(4), .workers = 4, .stop_after = 3 };
    const outcome_bits want = whole((job){ .o = options(4), .workers = 1 });
    j.dir = tiny_dir();
    assert_int_equal(run(&j), AC_ECANCEL);
    j.resume = true;
    j.stop_after = 5;
    j.workers = 1;
    assert_int_equal(run(&j), AC_ECANCEL);
    j.stop_after = 0;
    j.workers = 2;
    must(run(&j), &j);
    const outcome_bits got = bits_of(j.dir);
    assert_true(same_bits(&got, &want));
    assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
}

/* ---- what goes wrong -------------------------------------------------------------------------------------------- */

static void resumed_it_is_whole(job *j, const outcome_bits *want)
{
    j->what = BE_GOOD;
    j->resume = true;
    j->workers = j->workers == 4 ? 2 : 4;
    must(run(j), j);
    const outcome_bits got = bits_of(j->dir);
    if (!same_bits(&got, want)) fail_msg("after a death and a resume the bytes differ");
    assert_int_equal(ac_remove_tree(j->dir, NULL), AC_OK);
}

static bool has_checkpoint(const char *dir, unsigned step)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/checkpoints/step-%u/manifest.json", dir, step);
    return ac_path_exists(path);
}

static void a_worker_that_is_killed(void **state)
{
    (void)state;
    const outcome_bits want = whole((job){ .o = options(4), .workers = 1 });
    for (long at = 1; at < 40; at += EMULATED ? 26 : 13)
        for (size_t who = 1; who < 4; who += EMULATED ? 2 : 1) {
            job j = { .o = options(4), .workers = 4, .what = DIE_IN_EXCHANGE, .who = who, .at = at, .dir = tiny_dir() };
            j.o.save_every = 100;
            assert_int_equal(run(&j), AC_ECANCEL);
            char says[64];
            (void)snprintf(says, sizeof says, "worker %zu (process ", who);
            if (strncmp(j.err.text, says, strlen(says)) != 0 || !strstr(j.err.text, "was ended by signal 9")
                || !strstr(j.err.text, "a checkpoint of step"))
                fail_msg("%s", j.err.text);
            j.o.save_every = 2;
            resumed_it_is_whole(&j, &want);
        }
}

/* Everybody holds the pipe's writing end: its end is theirs. */
static void a_leader_that_is_killed(void **state)
{
    (void)state;
    const outcome_bits want = whole((job){ .o = options(4), .workers = 1 });
    for (long at = 3; at < 48; at += EMULATED ? 28 : 14) {
        job j = { .o = options(4), .workers = 4, .what = DIE_IN_EXCHANGE, .who = 0, .at = at, .dir = tiny_dir() };
        int fd[2], status = 0;
        char byte;
        j.o.save_every = 1;
        assert_int_equal(pipe(fd), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)close(fd[0]);
            _exit(run(&j) ? 1 : 0);
        }
        (void)close(fd[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        struct pollfd p = { .fd = fd[0], .events = POLLIN };
        assert_true(poll(&p, 1, 20000) == 1 && read(fd[0], &byte, 1) == 0);
        (void)close(fd[0]);
        if (has_checkpoint(j.dir, 1) || has_checkpoint(j.dir, 2) || has_checkpoint(j.dir, 3) || has_checkpoint(j.dir, 4))
            resumed_it_is_whole(&j, &want);
        else assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
    }
}

static void one_that_computes_something_else(void **state)
{
    (void)state;
    /* Two exchanges a bit and step; the start is choice, state, parameters, ... */
    const struct { mischief what; size_t who; long at; const char *step, *what_differs; } m[] = {
        { FLIP_RECEIVED, 1, 2 * 4 + 2, "step 3: worker 1 ", "" }, { FLIP_RECEIVED, 3, 2 * 4 + 4, "step 3: worker 3 ", "" },
        { FLIP_START, 2, 3, "step 1: worker 2 ", "the parameters differ" },
    };
    for (size_t i = 0; i < AC_COUNTOF(m); i++) {
        job j = { .o = options(4), .workers = 4, .what = m[i].what, .who = m[i].who, .at = m[i].at, .dir = tiny_dir() };
        j.o.eval_every = 100;
        j.no_valid = true;
        assert_int_equal(run(&j), AC_ESTATE);
        if (strncmp(j.err.text, m[i].step, strlen(m[i].step)) != 0 || !strstr(j.err.text, m[i].what_differs)) fail_msg("%s", j.err.text);
        assert_false(has_checkpoint(j.dir, 3));
        if (m[i].what == FLIP_RECEIVED) assert_true(has_checkpoint(j.dir, 2));
        assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
    }
}

static void more_workers_than_shards(void **state)
{
    (void)state;
    job j = { .o = options(2), .workers = 4, .dir = tiny_dir() };
    assert_int_equal(run(&j), AC_EARG);
    assert_non_null(strstr(j.err.text, "4 workers for a step of 2 shards"));
    assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
}

/* A worker that fails by itself: the leader says what it said. */
static void one_that_cannot_begin(void **state)
{
    (void)state;
    ac_team *team = NULL;
    ac_err err = { 0 };
    assert_int_equal(ac_team_fork(&team, 2, &err), AC_OK);
    if (ac_team_rank(team)) {
        ac_team_give_up(team, AC_ENOENT, "there is no GPU 1");
        ac_team_close(&team, 0);
        _exit(0);
    }
    job j = { .o = options(2), .workers = 2, .dir = tiny_dir() };
    const ac_transport t = ac_team_transport(team);
    const ac_status st = run_here(&j, &t);
    assert_string_equal(j.err.text, "worker 1: there is no GPU 1");
    assert_int_equal(st, AC_ENOENT);
    assert_string_equal(ac_team_broken(team), j.err.text);
    ac_team_close(&team, 1000);
    assert_false(has_checkpoint(j.dir, 0));
    assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
}

/* ---- the team itself --------------------------------------------------------------------------------------------- */

static void words_and_exchanges(void **state)
{
    (void)state;
    enum { N = 3 << 20 };
    ac_team *team = NULL;
    ac_err err = { 0 };
    unsigned char *mine = ac_calloc(1, N), *theirs = ac_calloc(1, N);
    assert_int_equal(ac_team_fork(&team, 4, &err), AC_OK);
    const ac_transport t = ac_team_transport(team);
    bool ok = t.n == 4;
    uint64_t word = 7 + t.rank, got = 0;
    memset(mine, (int)t.rank + 1, N);
    for (size_t bit = 1; bit < 4; bit *= 2) {
        ok = ok && !t.exchange(t.ctx, t.rank ^ bit, mine, theirs, N, NULL, &err);
        for (size_t i = 0; i < N; i += 997) ok = ok && theirs[i] == (t.rank ^ bit) + 1;
    }
    if (t.rank) {
        ok = ok && !t.tell(t.ctx, 0, &word, sizeof word, &err) && !t.hear(t.ctx, 0, &got, sizeof got, NULL, &err) && got == 100 + t.rank;
        ok = ok && t.hear(t.ctx, 0, &got, sizeof got, NULL, &err) == AC_EIO && t.has_word(t.ctx, 0);     /* the leader has closed */
        ac_team_close(&team, 0);
        _exit(ok ? 0 : 1);
    }
    for (uint64_t k = 1; k < 4; k++) {
        ok = ok && !t.hear(t.ctx, k, &got, sizeof got, NULL, &err) && got == 7 + k;
        const uint64_t answer = 100 + k;
        ok = ok && !t.tell(t.ctx, k, &answer, sizeof answer, &err);
    }
    ok = ok && t.exchange(t.ctx, 3, mine, theirs, 1, NULL, &err) == AC_ESTATE;      /* two bits away */
    assert_true(ok);
    assert_true(ac_team_cpu_seconds(team) >= 0);
    ac_team_close(&team, 5000);
    ac_free(mine);
    ac_free(theirs);
}

/* What a worker computes is seen while it runs, and is a child's when it has ended. */
static void the_time_of_workers(void **state)
{
    (void)state;
    ac_team *team = NULL;
    const double before = ac_cpu_seconds_children();
    char end;
    assert_int_equal(ac_team_fork(&team, 2, NULL), AC_OK);
    const ac_transport t = ac_team_transport(team);
    if (t.rank) {
        while (ac_cpu_seconds() < 0.1) {}
        (void)t.hear(t.ctx, 0, &end, 1, NULL, NULL);
        ac_team_close(&team, 0);
        _exit(0);
    }
#if defined(__linux__)
    for (int i = 0; i < 3000 && ac_team_cpu_seconds(team) < 0.1; i++) ac_sleep_ms(10);
    assert_true(ac_team_cpu_seconds(team) >= 0.1);
#endif
    (void)t.tell(t.ctx, 1, "", 1, NULL);
    ac_team_close(&team, 10000);
    assert_true(ac_cpu_seconds_children() - before >= 0.09);
}

static void a_word_of_another_length(void **state)
{
    (void)state;
    ac_team *team = NULL;
    ac_err err = { 0 };
    uint32_t four = 4;
    uint64_t eight;
    assert_int_equal(ac_team_fork(&team, 2, &err), AC_OK);
    const ac_transport t = ac_team_transport(team);
    if (t.rank) {
        (void)t.tell(t.ctx, 0, &four, sizeof four, &err);
        (void)t.hear(t.ctx, 0, &four, sizeof four, NULL, &err);
        ac_team_close(&team, 0);
        _exit(0);
    }
    assert_int_equal(t.hear(t.ctx, 1, &eight, sizeof eight, NULL, &err), AC_ESTATE);
    ac_team_close(&team, 5000);
    for (size_t n = 0; n < 4; n++)
        if (n != 2) assert_int_equal(ac_team_fork(&team, n, NULL), AC_EARG);
}

/* A worker is stopped when it should say what it computed: the leader can be asked to end all the same, and keeps that step. */
static void a_worker_that_is_stopped(void **state)
{
    (void)state;
    for (long at = 2; at <= 4; at++) {                   /* 1: that it is ready */
        job j = { .o = options(4), .workers = 4, .what = STOP_BEFORE_WORD, .who = 3, .at = at, .ends = true, .dir = tiny_dir() };
        const int64_t start = ac_mono_ns();
        const ac_status st = run(&j);
        if (st != AC_ECANCEL) fail_msg("stopped before word %ld: %s, \"%s\"", at, ac_status_name(st), j.err.text);
        assert_true(ac_mono_ns() - start < 20000000000);
        if (!has_checkpoint(j.dir, (unsigned)at - 1)) fail_msg("stopped before word %ld: %s", at, j.err.text);
        job on = { .o = options(4), .workers = 2, .resume = true, .dir = j.dir }, alone = { .o = options(4), .workers = 1 };
        must(run(&on), &on);
        const outcome_bits want = whole(alone), got = bits_of(on.dir);
        assert_true(same_bits(&want, &got));
        assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
    }
}

static char said[4][200];
static size_t n_said;

static void listen(void *ctx, const char *text)
{
    (void)ctx;
    (void)snprintf(said[n_said++ % 4], sizeof said[0], "%s", text);
}

/* The leader names the one that is stopped, not the one that it waits for, and says when it goes on. */
static void a_silence_is_told(void **state)
{
    (void)state;
    ac_team *team = NULL;
    ac_err err = { 0 };
    char byte = 0;
    pid_t pid = 0;
    n_said = 0;
    assert_int_equal(ac_team_fork(&team, 4, &err), AC_OK);
    const ac_transport t = ac_team_transport(team);
    if (t.rank) {
        pid = getpid();
        (void)t.tell(t.ctx, 0, &pid, sizeof pid, &err);
        if (t.rank == 3) (void)raise(SIGSTOP);
        if (t.rank == 3) (void)t.exchange(t.ctx, 2, &byte, &byte, 1, NULL, &err);
        if (t.rank == 2) (void)t.exchange(t.ctx, 3, &byte, &byte, 1, NULL, &err);      /* waits for 3, and 0 for it */
        (void)t.tell(t.ctx, 0, &byte, 1, &err);
        (void)t.hear(t.ctx, 0, &byte, 1, NULL, &err);
        ac_team_close(&team, 0);
        _exit(0);
    }
    for (size_t k = 1; k < 4; k++) assert_int_equal(t.hear(t.ctx, k, &pid, sizeof pid, NULL, &err), AC_OK);
    ac_team_on_silence(team, 200, listen, NULL);
    /* Somebody lets it go on. */
    const pid_t helper = fork();
    if (helper == 0) {
        ac_sleep_ms(600);
        (void)kill(pid, SIGCONT);
        _exit(0);
    }
    assert_int_equal(t.hear(t.ctx, 2, &byte, 1, NULL, &err), AC_OK);
    (void)waitpid(helper, NULL, 0);
    ac_team_close(&team, 5000);
#if defined(__linux__)
    char want[64];
    (void)snprintf(want, sizeof want, "worker 3 (process %ld) is stopped", (long)pid);
    assert_int_equal(n_said, 2);
    assert_non_null(strstr(said[0], want));
    assert_non_null(strstr(said[1], "worker 3 answers again, after "));
#endif
}

static ac_status enough(void *ctx, ac_err *err)
{
    return ++*(int *)ctx > 2 ? ac_fail(err, AC_ECANCEL, "enough") : AC_OK;
}

/* One that neither sends nor ends: the wait can be left, and close kills it. */
static void one_that_stands_still(void **state)
{
    (void)state;
    ac_team *team = NULL;
    ac_err err = { 0 };
    int asked = 0;
    char byte = 1, other;
    assert_int_equal(ac_team_fork(&team, 2, &err), AC_OK);
    const ac_transport t = ac_team_transport(team);
    if (t.rank)
        for (;;) (void)pause();
    const ac_idle idle = { enough, &asked };
    assert_int_equal(t.exchange(t.ctx, 1, &byte, &other, 1, &idle, &err), AC_ECANCEL);
    assert_null(ac_team_broken(team));
    const int64_t start = ac_mono_ns();
    ac_team_close(&team, 100);
    assert_true(ac_mono_ns() - start < 3000000000);
}

static void a_team_that_cannot_be_made(void **state)
{
    (void)state;
    long nth = 1;
    for (;; nth++) {
        ac_team *team = NULL;
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_IO, nth);
        const ac_status st = ac_team_fork(&team, 4, &err);
        const bool fired = ac_fault_fired();
        if (!st && ac_team_rank(team)) _exit(0);         /* workers of a whole team */
        ac_fault_disarm();
        if (!st) {
            ac_team_close(&team, 1000);
            assert_false(fired);
            break;
        }
        assert_true(st == AC_EIO && err.text[0] && !team);
        assert_int_equal(ac_live_bytes(), 0);
        assert_true(waitpid(-1, NULL, WNOHANG) < 0);     /* no child is left */
    }
    assert_int_equal(nth, 3 + 4 + 3 + 1);                /* words, edges, processes */
}

/* The leader's n-th call fails, and all after it: a text, no child left, and a resume ends with the same bytes. */
static bool fails_at(ac_fault_kind kind, long nth, const outcome_bits *want)
{
    job j = { .o = options(2), .workers = 2, .dir = tiny_dir(), .kind = kind, .fault = nth };
    ac_team *team = NULL;
    assert_int_equal(ac_team_fork(&team, 2, &j.err), AC_OK);
    const ac_transport t = ac_team_transport(team);
    ac_status st = run_here(&j, &t);
    ac_team_close(&team, 5000);
    if (t.rank) _exit(0);
    const bool fired = j.fired;
    if (st) {
        if (!j.err.text[0]) fail_msg("call %ld has no text", nth);
        if (kind == AC_FAULT_ALLOC && st != AC_ENOMEM) fail_msg("allocation %ld: %s", nth, j.err.text);
        j.workers = 1;
        j.fault = 0;
        j.resume = true;
        st = run(&j);
        j.resume = false;
        if (st == AC_ENOENT) st = run(&j);
        if (st) fail_msg("after call %ld: %s", nth, j.err.text);
    }
    const outcome_bits got = bits_of(j.dir);
    if (!same_bits(&got, want)) fail_msg("after call %ld the bytes differ", nth);
    assert_int_equal(ac_remove_tree(j.dir, NULL), AC_OK);
    assert_int_equal(ac_live_bytes(), 0);
    return fired;
}

static void nth_call_of_the_leader(void **state)
{
    (void)state;
    const outcome_bits want = whole((job){ .o = options(2), .workers = 1 });
    long nth = 1;
    while (fails_at(AC_FAULT_IO, nth, &want)) nth += EMULATED ? 131 : nth < 60 ? 7 : 67;
}

static void nth_allocation_of_the_leader(void **state)
{
    (void)state;
    const outcome_bits want = whole((job){ .o = options(2), .workers = 1 });
    long nth = 1;
    while (fails_at(AC_FAULT_ALLOC, nth, &want)) nth += EMULATED ? 307 : nth < 40 ? 3 : 101;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_exchanges),
        cmocka_unit_test(the_time_of_workers),
        cmocka_unit_test(a_word_of_another_length),
        cmocka_unit_test(one_that_stands_still), cmocka_unit_test(a_worker_that_is_stopped),
        cmocka_unit_test(a_silence_is_told),
        cmocka_unit_test(a_team_that_cannot_be_made),
        cmocka_unit_test(any_number_of_workers),
        cmocka_unit_test(every_kind_of_training),
        cmocka_unit_test(without_validation_and_with_an_early_end),
        cmocka_unit_test(a_step_is_undone),
        cmocka_unit_test(settings_reach_everybody),
        cmocka_unit_test(a_resume_with_another_number),
        cmocka_unit_test(more_workers_than_shards),
        cmocka_unit_test(one_that_cannot_begin),
        cmocka_unit_test(a_worker_that_is_killed),
        cmocka_unit_test(a_leader_that_is_killed),
        cmocka_unit_test(one_that_computes_something_else),
        cmocka_unit_test(nth_call_of_the_leader),
        cmocka_unit_test(nth_allocation_of_the_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
