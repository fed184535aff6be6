#include "base/team.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include "base/fault.h"
#include "base/file_int.h"
#include "base/fork.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "base/time.h"

enum { BITS = 6 };               /* log2 of AC_TEAM_MAX */
enum { IDLE_MS = 50, BLAME_MS = 3000, SILENT_TIMES = 6 };
enum { KIND_WORD = 0x4163576f, KIND_GAVE_UP = 0x41634775 };

typedef struct {
    uint32_t kind;
    int32_t status;
    uint64_t bytes;
} head;

struct ac_team {
    size_t rank, n;
    int word[AC_TEAM_MAX];       /* the leader: to each worker; a worker: [0] alone */
    int edge[BITS];              /* to the rank that differs in this bit */
    pid_t pid[AC_TEAM_MAX];      /* the leader's */
    bool ended[AC_TEAM_MAX];
    bool broken;
    ac_status why_status;
    ac_err why;
    ac_team_say *say;            /* the leader's; NULL: nobody listens */
    void *say_ctx;
    int64_t say_after_ms;
};

/* ---- making one ---------------------------------------------------------------------------------------- */

typedef struct {                 /* every socket there is, until each process has kept its own; -1: none */
    int word[AC_TEAM_MAX][2], edge[AC_TEAM_MAX][BITS];
} mesh;

static bool pair(int *a, int *b)
{
    int fd[2];
    if (ac_fault_hit(AC_FAULT_IO)) {
        errno = EMFILE;
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0) return false;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fd[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
    }
    *a = fd[0];
    *b = fd[1];
    return true;
}

static bool open_mesh(mesh *m, size_t n)
{
    memset(m, 0xff, sizeof *m);                          /* -1 everywhere */
    for (size_t k = 1; k < n; k++)
        if (!pair(&m->word[k][0], &m->word[k][1])) return false;
    for (size_t k = 0; k < n; k++)
        for (size_t b = 0; (size_t)1 << b < n; b++)
            if (!(k >> b & 1) && !pair(&m->edge[k][b], &m->edge[k | (size_t)1 << b][b])) return false;
    return true;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) ac_io_close(*fd);
    *fd = -1;
}

/* What belongs to this rank moves into t; all else is closed in this process. */
static void keep_own(ac_team *t, mesh *m)
{
    for (size_t k = 0; k < AC_TEAM_MAX; k++) t->word[k] = -1;
    for (size_t b = 0; b < BITS; b++) {
        t->edge[b] = m->edge[t->rank][b];
        m->edge[t->rank][b] = -1;
    }
    for (size_t k = 1; k < t->n; k++) {
        if (t->rank != 0 && t->rank != k) continue;
        int *own = &m->word[k][t->rank != 0];
        t->word[t->rank ? 0 : k] = *own;
        *own = -1;
    }
    for (size_t k = 0; k < t->n; k++) {
        for (size_t i = 0; i < 2; i++) close_fd(&m->word[k][i]);
        for (size_t b = 0; b < BITS; b++) close_fd(&m->edge[k][b]);
    }
}

/* M3, M4. Signals are still blocked. */
static void become_worker(pid_t leader)
{
    static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < AC_COUNTOF(ignored); i++) (void)signal(ignored[i], SIG_IGN);
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != leader) _exit(0);                   /* it died before it was asked for */
}

static pid_t fork_one(void)
{
    sigset_t all, before;
    const pid_t leader = getpid();
    if (ac_fault_hit(AC_FAULT_IO)) {
        errno = EAGAIN;
        return -1;
    }
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    const pid_t pid = fork();
    const int e = errno;
    if (pid == 0) become_worker(leader);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    errno = e;
    return pid;
}

ac_status ac_team_fork(ac_team **out, size_t n, ac_err *err)
{
    mesh m;
    ac_status st = AC_OK;
    if (n < 2 || n > AC_TEAM_MAX || (n & (n - 1)) != 0)
        return ac_fail(err, AC_EARG, "a team of %zu processes; expected 2, 4, 8, 16, 32 or 64", n);
    ac_team *t = ac_calloc(1, sizeof *t);
    if (!t) return ac_fail_nomem(err, sizeof *t);
    t->n = n;
    if (!open_mesh(&m, n)) st = ac_fail_errno(err, AC_EIO, errno, "cannot make the sockets between %zu workers", n);
    (void)fflush(stdout);                                /* what is buffered would be written more than once */
    (void)fflush(stderr);
    for (size_t k = 1; !st && k < n; k++) {
        const pid_t pid = fork_one();
        if (pid < 0) st = ac_fail_errno(err, AC_EIO, errno, "cannot start worker %zu of %zu", k, n);
        if (pid == 0) {
            t->rank = k;
            memset(t->pid, 0, sizeof t->pid);
            break;
        }
        if (pid > 0) t->pid[k] = pid;
    }
    keep_own(t, &m);
    if (st) ac_team_close(&t, 0);
    else *out = t;
    return st;
}

size_t ac_team_rank(const ac_team *t)
{
    return t->rank;
}

/* ---- why it broke ---------------------------------------------------------------------------------------- */

static ac_status give_text(ac_team *t, ac_err *err)
{
    return ac_fail(err, t->why_status, "%s", t->why.text);
}

static void set_why(ac_team *t, ac_status st, const char *text)
{
    if (!t->why.text[0]) t->why_status = ac_fail(&t->why, st, "%s", text);
}

/* Has worker k ended? By a signal it tells by itself what happened. */
static bool reap(ac_team *t, size_t k)
{
    int status = 0;
    char text[160];
    if (t->ended[k] || t->pid[k] <= 0) return true;
    const pid_t got = waitpid(t->pid[k], &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    t->ended[k] = true;
    if (got > 0 && WIFSIGNALED(status)) {
        (void)snprintf(text, sizeof text, "worker %zu (process %ld) was ended by signal %d%s", k, (long)t->pid[k], WTERMSIG(status),
                       WTERMSIG(status) == SIGKILL ? ", as the kernel does when memory runs out" : "");
        set_why(t, AC_EIO, text);
    }
    return true;
}

/* All of it, or false: the other side is gone, or does not send what it should within the time. */
static bool read_by(int fd, void *buf, size_t len, int64_t end_ns)
{
    for (size_t at = 0; at < len;) {
        const int64_t n = ac_fd_read(fd, (char *)buf + at, len - at);
        if (n == 0 || n == -2) return false;
        if (n > 0) at += (size_t)n;
        else if (ac_mono_ns() >= end_ns) return false;
        else (void)ac_wait_fds(&fd, 1, -1, 10);
    }
    return true;
}

static void take_give_up(ac_team *t, size_t from, const head *h, int64_t end_ns)
{
    char said[AC_ERR_TEXT_MAX - 64] = "", text[AC_ERR_TEXT_MAX];
    if (h->bytes >= sizeof said || !read_by(t->word[from], said, (size_t)h->bytes, end_ns)) return;
    said[h->bytes] = '\0';
    (void)snprintf(text, sizeof text, "worker %zu: %s", from, said[0] ? said : "it failed");
    set_why(t, h->status < 0 ? (ac_status)h->status : AC_EIO, text);
}

/* What worker k said last, behind words that nobody will hear any more. */
static void last_words(ac_team *t, size_t k)
{
    const int64_t end_ns = ac_mono_ns() + (int64_t)BLAME_MS * 1000000;
    char skipped[256];
    head h;
    while (t->word[k] >= 0 && !t->why.text[0] && read_by(t->word[k], &h, sizeof h, ac_mono_ns() + 1000000)) {
        if (h.kind == KIND_GAVE_UP) {
            take_give_up(t, k, &h, end_ns);
            return;
        }
        for (uint64_t left = h.bytes; left; left -= left < sizeof skipped ? left : sizeof skipped)
            if (!read_by(t->word[k], skipped, left < sizeof skipped ? (size_t)left : sizeof skipped, end_ns)) return;
    }
}

/* Somebody is gone: a worker sees the end of the run in it, the leader looks for the first cause. Those that miss it end as
 * well, so who was killed is asked before who ended. */
static ac_status lost(ac_team *t, size_t from, ac_err *err)
{
    const int64_t end_ns = ac_mono_ns() + (int64_t)BLAME_MS * 1000000;
    char text[96];
    t->broken = true;
    if (t->rank) return ac_fail(err, AC_EIO, "worker %zu is gone", from);
    while (!t->why.text[0] && ac_mono_ns() < end_ns) {
        bool all = true;
        for (size_t k = 1; k < t->n; k++) all &= reap(t, k);
        for (size_t k = 1; k < t->n && !t->why.text[0]; k++) last_words(t, k);
        if (all || t->why.text[0]) break;
        ac_sleep_ms(10);
    }
    (void)snprintf(text, sizeof text, "worker %zu (process %ld) left the others", from, (long)t->pid[from]);
    set_why(t, AC_EIO, text);
    return give_text(t, err);
}

const char *ac_team_broken(const ac_team *t)
{
    return t->broken ? t->why.text : NULL;
}

/* ---- sending and receiving -------------------------------------------------------------------------------- */

/* Both directions at once, each as far as the sockets take it. */
typedef struct {
    int fd;
    const char *out;
    char *in;
    size_t out_left, in_left;
} duplex;

/* 1: something moved; 0: it waited for a while; -1: the other side is gone. */
static int move(duplex *d)
{
    bool moved = false;
    if (d->out_left) {
        const int64_t n = ac_fd_write(d->fd, d->out, d->out_left);
        if (n == -2) return -1;
        if (n > 0) {
            d->out += n;
            d->out_left -= (size_t)n;
            moved = true;
        }
    }
    if (d->in_left) {
        const int64_t n = ac_fd_read(d->fd, d->in, d->in_left);
        if (n == 0 || n == -2) return -1;
        if (n > 0) {
            d->in += n;
            d->in_left -= (size_t)n;
            moved = true;
        }
    }
    if (moved) return 1;
    struct pollfd p = { .fd = d->fd, .events = (short)((d->in_left ? POLLIN : 0) | (d->out_left ? POLLOUT : 0)) };
    (void)poll(&p, 1, IDLE_MS);
    return 0;
}

/* ---- a worker that does not answer (M6) ---- */

typedef struct {
    int64_t from_ns, next_ms;    /* since when nothing has moved; 0: it moves */
    size_t who;
    bool said;
} silence;

/* Stopped by a signal or a debugger, as the system tells. */
static bool is_stopped(const ac_team *t, size_t k)
{
#if defined(__linux__)
    char path[64], text[512];
    if (t->ended[k] || t->pid[k] <= 0) return false;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)t->pid[k]);
    if (ac_sysfile_read(text, sizeof text, NULL, "", path)) return false;
    const char *state = strrchr(text, ')');              /* behind the name, which may hold anything */
    return state && state[1] == ' ' && (state[2] == 'T' || state[2] == 't');
#else
    (void)t;
    (void)k;
    return false;
#endif
}

static void say_silence(const ac_team *t, size_t partner, silence *s, int64_t waited_ms)
{
    char text[200];
    size_t stopped = 1;
    while (stopped < t->n && !is_stopped(t, stopped)) stopped++;
    if (stopped == t->n && waited_ms < t->say_after_ms * SILENT_TIMES) {
        s->next_ms = t->say_after_ms * SILENT_TIMES;
        return;
    }
    s->who = stopped < t->n ? stopped : partner;
    const long pid = (long)t->pid[s->who];
    if (stopped < t->n)
        (void)snprintf(text, sizeof text, "worker %zu (process %ld) is stopped and has not answered for %lld s; the run waits; kill "
                       "-CONT %ld lets it go on", s->who, pid, (long long)(waited_ms / 1000), pid);
    else
        (void)snprintf(text, sizeof text, "worker %zu (process %ld) has not answered for %lld s; the run waits for it", s->who, pid,
                       (long long)(waited_ms / 1000));
    t->say(t->say_ctx, text);
    s->said = true;
    s->next_ms = waited_ms * 4;
}

static void no_move(const ac_team *t, size_t partner, silence *s)
{
    const int64_t now = ac_mono_ns();
    if (t->rank || !t->say) return;
    if (!s->from_ns) {
        s->from_ns = now;
        s->next_ms = t->say_after_ms;
    }
    const int64_t waited_ms = (now - s->from_ns) / 1000000;
    if (waited_ms >= s->next_ms) say_silence(t, partner, s, waited_ms);
}

static void moves_again(const ac_team *t, silence *s)
{
    char text[96];
    if (s->said) {
        (void)snprintf(text, sizeof text, "worker %zu answers again, after %lld s", s->who,
                       (long long)((ac_mono_ns() - s->from_ns) / 1000000000));
        t->say(t->say_ctx, text);
    }
    *s = (silence){ .from_ns = 0 };
}

void ac_team_on_silence(ac_team *t, int64_t after_ms, ac_team_say *fn, void *ctx)
{
    t->say_after_ms = after_ms;
    t->say = fn;
    t->say_ctx = ctx;
}

/* The other side still has it: then it was our own call that failed. */
static bool is_open(int fd)
{
    struct pollfd p = { .fd = fd };
    return poll(&p, 1, 0) == 0;
}

static ac_status failed(ac_team *t, size_t partner, ac_err *err)
{
    char text[96];
    (void)snprintf(text, sizeof text, "cannot send to worker %zu, or receive from it", partner);
    t->broken = true;
    set_why(t, AC_EIO, text);
    return give_text(t, err);
}

static ac_status run_duplex(ac_team *t, size_t partner, duplex d, const ac_idle *idle, ac_err *err)
{
    silence quiet = { .from_ns = 0 };
    if (d.fd < 0) return lost(t, partner, err);
    while (d.out_left || d.in_left) {
        const int moved = move(&d);
        if (moved == 0) no_move(t, partner, &quiet);
        else if (moved > 0 && quiet.from_ns) moves_again(t, &quiet);
        if (moved < 0) return is_open(d.fd) ? failed(t, partner, err) : lost(t, partner, err);
        const ac_status st = moved == 0 && idle ? idle->fn(idle->ctx, err) : AC_OK;
        if (st) return st;
    }
    return AC_OK;
}

static ac_status exchange(void *ctx, size_t partner, const void *send_from, void *recv_to, size_t bytes, const ac_idle *idle,
                          ac_err *err)
{
    ac_team *t = ctx;
    size_t bit = 0;
    while (bit < BITS && (t->rank ^ partner) != (size_t)1 << bit) bit++;
    if (bit == BITS || partner >= t->n) return ac_fail(err, AC_ESTATE, "rank %zu does not exchange with rank %zu", t->rank, partner);
    return run_duplex(t, partner, (duplex){ t->edge[bit], send_from, recv_to, bytes, bytes }, idle, err);
}

static int word_fd(const ac_team *t, size_t other)
{
    return other < t->n && (t->rank == 0) != (other == 0) ? t->word[other] : -1;
}

static ac_status tell(void *ctx, size_t to, const void *data, size_t bytes, ac_err *err)
{
    ac_team *t = ctx;
    const head h = { .kind = KIND_WORD, .bytes = bytes };
    const ac_status st = run_duplex(t, to, (duplex){ word_fd(t, to), (const char *)&h, NULL, sizeof h, 0 }, NULL, err);
    return st ? st : run_duplex(t, to, (duplex){ word_fd(t, to), data, NULL, bytes, 0 }, NULL, err);
}

static ac_status hear(void *ctx, size_t from, void *data, size_t bytes, const ac_idle *idle, ac_err *err)
{
    ac_team *t = ctx;
    head h = { 0 };
    const ac_status st = run_duplex(t, from, (duplex){ word_fd(t, from), NULL, (char *)&h, 0, sizeof h }, idle, err);
    if (st) return st;
    if (h.kind == KIND_GAVE_UP && t->rank == 0) {
        t->broken = true;
        take_give_up(t, from, &h, ac_mono_ns() + (int64_t)BLAME_MS * 1000000);
        return lost(t, from, err);
    }
    if (h.kind != KIND_WORD || h.bytes != bytes)
        return ac_fail(err, AC_ESTATE, "rank %zu said a word of %llu bytes where %zu were expected", from, (unsigned long long)h.bytes,
                       bytes);
    return run_duplex(t, from, (duplex){ word_fd(t, from), NULL, data, 0, bytes }, idle, err);
}

static bool has_word(void *ctx, size_t from)
{
    ac_team *t = ctx;
    struct pollfd p = { .fd = word_fd(t, from), .events = POLLIN };
    return p.fd < 0 || poll(&p, 1, 0) > 0;
}

static bool is_gone(int fd)
{
    struct pollfd p = { .fd = fd };
    return fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static bool whole(void *ctx)
{
    const ac_team *t = ctx;
    for (size_t k = 0; k < t->n; k++)
        if (is_gone(t->word[k])) return false;
    for (size_t b = 0; b < BITS; b++)
        if (is_gone(t->edge[b])) return false;
    return true;
}

ac_transport ac_team_transport(ac_team *t)
{
    return (ac_transport){ .rank = t->rank, .n = t->n, .ctx = t, .exchange = exchange, .tell = tell, .hear = hear,
                           .has_word = has_word, .whole = whole };
}

void ac_team_give_up(ac_team *t, ac_status st, const char *text)
{
    const size_t len = strlen(text), most = AC_ERR_TEXT_MAX - 80;
    const head h = { .kind = KIND_GAVE_UP, .status = (int32_t)st, .bytes = len < most ? len : most };
    if (!t->rank || run_duplex(t, 0, (duplex){ t->word[0], (const char *)&h, NULL, sizeof h, 0 }, NULL, NULL)) return;
    (void)run_duplex(t, 0, (duplex){ t->word[0], text, NULL, (size_t)h.bytes, 0 }, NULL, NULL);
}

/* ---- its end ---------------------------------------------------------------------------------------------- */

double ac_team_cpu_seconds(const ac_team *t)
{
    double sum = 0;
#if defined(__linux__)
    for (size_t k = 1; k < t->n; k++) {
        clockid_t clock;
        struct timespec ts;
        if (t->pid[k] <= 0 || t->ended[k] || clock_getcpuclockid(t->pid[k], &clock) || clock_gettime(clock, &ts)) continue;
        sum += (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
    }
#else
    (void)t;
#endif
    return sum;
}

void ac_team_close(ac_team **team, int64_t grace_ms)
{
    ac_team *t = *team;
    if (!t) return;
    const int64_t end_ns = ac_mono_ns() + grace_ms * 1000000;
    for (size_t k = 0; k < AC_TEAM_MAX; k++) close_fd(&t->word[k]);
    for (size_t b = 0; b < BITS; b++) close_fd(&t->edge[b]);
    for (size_t k = 1; k < t->n && t->rank == 0; k++) {
        while (!reap(t, k)) {
            /* One that is stopped does not see that its sockets are closed. */
            if (ac_mono_ns() >= end_ns || is_stopped(t, k)) (void)kill(t->pid[k], SIGKILL);
            ac_sleep_ms(2);
        }
    }
    ac_free(t);
    *team = NULL;
}
