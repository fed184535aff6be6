/* Runs shared by GPUs, one a process: the same bytes as on one, by NCCL and through the host, and after a death. Needs two
 * GPUs; tests/cudasim has as many as ACCORD_SIM_GPUS says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "backend/cuda.h"
#include "base/time.h"
#include "model_ref.h"
#include "train_run.h"

static int failures;
static const char *model_dir;

static void check(bool ok, const char *what, const char *why)
{
    failures += !ok;
    printf("%-72s %s%s%s\n", what, ok ? "ok" : "FAILED", !ok && why[0] ? ": " : "", !ok ? why : "");
}

typedef struct {
    size_t workers, die;         /* die: this rank, at the third step; 0: nobody */
    bool resume;
    const char *dir;
    char how[256];               /* what was said about the exchange */
    ac_err err;
    size_t rank;
} job;

static ac_status on_event(void *ctx, const ac_event *e, ac_err *err)
{
    job *j = ctx;
    AC_UNUSED(err);
    if (e->text && strstr(e->text, "workers'")) (void)snprintf(j->how, sizeof j->how, "%s", e->text);
    return AC_OK;
}

static ac_status exchange(void *ctx, size_t partner, const void *send, void *recv, size_t bytes, const ac_idle *idle, ac_err *err)
{
    static unsigned seen;
    ac_transport *t = ctx;
    if (t[1].rank == t->rank && t->rank && ++seen == 3) (void)raise(SIGKILL);
    return t->exchange(t->ctx, partner, send, recv, bytes, idle, err);
}
static ac_status tell(void *ctx, size_t to, const void *data, size_t bytes, ac_err *err)
{
    ac_transport *t = ctx;
    return t->tell(t->ctx, to, data, bytes, err);
}
static ac_status hear(void *ctx, size_t from, void *data, size_t bytes, const ac_idle *idle, ac_err *err)
{
    ac_transport *t = ctx;
    return t->hear(t->ctx, from, data, bytes, idle, err);
}
static bool has_word(void *ctx, size_t from)
{
    ac_transport *t = ctx;
    return t->has_word(t->ctx, from);
}
static bool whole(void *ctx)
{
    ac_transport *t = ctx;
    return t->whole(t->ctx);
}

static ac_status train(job *j, const ac_transport *t)
{
    ac_device *dev = NULL;
    ac_model *m = NULL;
    ac_train_result r;
    ac_dataset rows = tiny_rows(12, 20, 104, 3), valid = tiny_rows(3, 20, 104, 4);
    ac_train_opts o = tiny_opts();
    o.lora.rank = 8;
    o.max_steps = 4;
    o.packing = false;
    o.batch_rows = 6;
    o.shards = 4;
    o.micro_batch = 0;
    o.micro_tokens = 4096;
    o.eval_every = 2;
    o.numerics = AC_NUM_CUDA_BF16;
    const size_t rank = t ? t->rank : 0;
    ac_status st = ac_device_open_cuda(&dev, (int)rank, &j->err);
    if (!st) st = ac_model_open(&m, dev, model_dir, &j->err);
    const tiny both = { NULL, m };
    const ac_sink sink = { on_event, j };
    ac_train_job run = tiny_job(&both, &o, &rows, &valid, rank ? NULL : j->dir);
    if (!rank) run.sink = &sink;
    run.workers = t;
    run.resume = j->resume;
    if (!st) st = ac_train_run(&run, &r, &j->err);
    ac_model_close(&m);
    ac_device_close(&dev);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return st;
}

/* A process of its own for the leader too: no process that has used a GPU is ever forked. Its outcome comes back in a file. */
static ac_status lead(job *j)
{
    ac_team *team = NULL;
    if (j->workers < 2) return train(j, NULL);
    ac_status st = ac_team_fork(&team, j->workers, &j->err);
    if (st) return st;
    ac_transport both[2] = { ac_team_transport(team), { .rank = j->die } };
    const ac_transport t = { both[0].rank, both[0].n, both, exchange, tell, hear, has_word, whole };
    j->rank = t.rank;
    st = train(j, &t);
    if (t.rank && st && st != AC_ECANCEL) ac_team_give_up(team, st, j->err.text);
    ac_team_close(&team, 10000);
    if (t.rank) _exit(0);
    return st;
}

static ac_status run(job *j)
{
    int fd[2];
    struct {
        ac_status st;
        job j;
    } got = { .st = AC_EIO };
    (void)fflush(stdout);
    if (pipe(fd)) return AC_EIO;
    const pid_t pid = fork();
    if (pid == 0) {
        (void)close(fd[0]);
        got.j = *j;
        got.st = lead(&got.j);
        const ssize_t n = write(fd[1], &got, sizeof got);
        _exit(n == (ssize_t)sizeof got ? 0 : 1);
    }
    (void)close(fd[1]);
    size_t at = 0;
    for (ssize_t n; at < sizeof got && (n = read(fd[0], (char *)&got + at, sizeof got - at)) > 0;) at += (size_t)n;
    (void)close(fd[0]);
    (void)waitpid(pid, NULL, 0);
    if (at != sizeof got) return AC_EIO;
    *j = got.j;
    return got.st;
}

static outcome_bits run_whole(job *j, const char *what)
{
    j->dir = tiny_dir();
    const ac_status st = run(j);
    if (st) check(false, what, j->err.text);
    const outcome_bits b = bits_of(j->dir);
    (void)ac_remove_tree(j->dir, NULL);
    return b;
}

static void is_same(const outcome_bits *want, size_t workers, const char *how, const char *what)
{
    job j = { .workers = workers };
    const outcome_bits got = run_whole(&j, what);
    check(same_bits(&got, want), what, "other bytes");
    check(strstr(j.how, how) != NULL, "  and it says how", j.how);
    if (!failures) printf("  %s\n", j.how);
}

static void a_worker_dies(const outcome_bits *want, const char *what)
{
    job j = { .workers = 4, .die = 3, .dir = tiny_dir() };
    ac_status st = run(&j);
    check(st == AC_ECANCEL && strstr(j.err.text, "was ended by signal 9"), what, j.err.text);
    j = (job){ .workers = 2, .dir = j.dir, .resume = true };
    st = run(&j);
    const outcome_bits got = bits_of(j.dir);
    check(!st && same_bits(&got, want), "  and resumed by two it is the same", j.err.text);
    (void)ac_remove_tree(j.dir, NULL);
}

/* How many GPUs there are, asked in a process that ends with the answer. */
static int gpus(ac_err *err)
{
    int n = 0;
    for (; n < 4; n++) {
        ac_device *dev = NULL;
        if (ac_device_open_cuda(&dev, n, err)) break;
        ac_device_close(&dev);
    }
    return n;
}

int main(void)
{
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        ac_err err = { 0 };
        const int n = gpus(&err);
        if (n < 2) printf("not run: %s\n", err.text);
        (void)fflush(stdout);
        _exit(n);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 1;
    const int n = WEXITSTATUS(status);
    if (n < 2) return 77;

    ref_model ref;
    ref_spec s = ref_spec_of("llama");
    s.layers = 2, s.hidden = 64, s.ffn = 136, s.heads = 2, s.kv_heads = 1, s.head_dim = 32, s.vocab = 104, s.context = 512;
    ref_make(&ref, s);
    ac_err err = { 0 };
    model_dir = ref_temp();
    if (!model_dir || ref_write_hf(&ref, model_dir, &err)) {
        fprintf(stderr, "test_train_gpus: %s\n", err.text);
        return 1;
    }
    job one = { .workers = 1 };
    const outcome_bits want = run_whole(&one, "one GPU");
    is_same(&want, 2, "by NCCL", "two GPUs, by NCCL");
    if (n >= 4) is_same(&want, 4, "by NCCL", "four GPUs, by NCCL");
    if (n >= 4) a_worker_dies(&want, "one of four dies in the middle of a sum");
    if (setenv("ACCORD_SIM_NCCL", "broken", 1) == 0 && getenv("ACCORD_SIM_GPUS"))
        is_same(&want, 2, "through the host's memory", "two GPUs whose group does not come together");
    if (setenv("ACCORD_NCCL_LIB", "/nowhere/libnccl.so", 1) == 0)
        is_same(&want, n >= 4 ? 4 : 2, "/nowhere/libnccl.so", "GPUs without NCCL");
    job many = { .workers = 8 };
    many.dir = tiny_dir();
    (void)run(&many);
    check(strstr(many.err.text, "8 workers for a step of 4 shards") != NULL, "more workers than shards", many.err.text);
    (void)ac_remove_tree(many.dir, NULL);
    ref_free(&ref);
    (void)ac_remove_tree(model_dir, NULL);
    printf("%d failed\n", failures);
    return failures != 0;
}
