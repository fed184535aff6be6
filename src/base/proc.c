#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file_int.h"
#include "base/mem.h"
#include "base/time.h"

extern char **environ;

static int default_signals(posix_spawnattr_t *attr)
{
    sigset_t all, none;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGKILL);
    (void)sigdelset(&all, SIGSTOP);
    int e = posix_spawnattr_setsigdefault(attr, &all);
    if (!e) e = posix_spawnattr_setsigmask(attr, &none);
    if (!e) e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    return e;
}

/* Where the child's stdout and stderr go: into a pipe, or into a file beside a shared stderr. */
typedef struct {
    int out_fd;
    bool with_stderr;
    const char *out_path;      /* not NULL: stdout into this file, stderr stays ours */
} streams;

static int set_streams(posix_spawn_file_actions_t *acts, const streams *to)
{
    int e = posix_spawn_file_actions_addopen(acts, 0, "/dev/null", O_RDONLY, 0);
    if (e) return e;
    if (to->out_path) return posix_spawn_file_actions_addopen(acts, 1, to->out_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    e = posix_spawn_file_actions_adddup2(acts, to->out_fd, 1);
    if (e) return e;
    return to->with_stderr ? posix_spawn_file_actions_adddup2(acts, to->out_fd, 2)
                           : posix_spawn_file_actions_addopen(acts, 2, "/dev/null", O_WRONLY, 0);
}

/* Returns an errno value. */
static int spawn(pid_t *pid, const char *const *argv, const streams *to)
{
    posix_spawn_file_actions_t acts;
    posix_spawnattr_t attr;
    int e = posix_spawn_file_actions_init(&acts);
    if (e) return e;
    if ((e = posix_spawnattr_init(&attr))) {
        (void)posix_spawn_file_actions_destroy(&acts);
        return e;
    }
    e = default_signals(&attr);
    if (!e) e = set_streams(&acts, to);
    /* posix_spawnp's prototype lacks the const that it keeps. */
    union {
        const char *const *in;
        char *const *out;
    } v = { .in = argv };
    if (!e) e = posix_spawnp(pid, argv[0], &acts, &attr, v.out, environ);
    (void)posix_spawn_file_actions_destroy(&acts);
    (void)posix_spawnattr_destroy(&attr);
    return e;
}

static ac_status read_all(int fd, const char *name, size_t max, int64_t end_ns, ac_str *out, ac_err *err)
{
    char buf[16384];
    for (size_t total = 0;;) {
        const int64_t left_ms = (end_ns - ac_mono_ns()) / 1000000;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        const int n = left_ms > 0 ? poll(&p, 1, left_ms > 60000 ? 60000 : (int)left_ms) : 0;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot wait for its output", name);
        if (n == 0 && ac_mono_ns() < end_ns) continue;
        if (n == 0) return ac_fail(err, AC_EIO, "%s: did not finish in time and was stopped", name);
        const ssize_t got = ac_io_read(fd, buf, sizeof buf);
        if (got < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot read its output", name);
        if (got == 0) return AC_OK;
        total += (size_t)got;
        if (total > max) return ac_fail(err, AC_EIO, "%s: printed more than %zu bytes and was stopped", name, max);
        ac_str_append(out, (ac_view){ buf, (size_t)got });
    }
}

/* Its output has ended, so it is about to end; one that closed stdout and stays is killed at the deadline. */
static int await(pid_t pid, bool kill_now, int64_t end_ns)
{
    int status = 0;
    if (kill_now) (void)kill(pid, SIGKILL);
    for (;;) {
        const pid_t got = waitpid(pid, &status, kill_now ? 0 : WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR)) break;
        if (got == 0 && ac_mono_ns() > end_ns) {
            (void)kill(pid, SIGKILL);
            kill_now = true;
        } else if (got == 0) {
            (void)poll(NULL, 0, 1);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static ac_status not_started(const char *program, int e, ac_err *err)
{
    if (e == ENOENT) return ac_fail(err, AC_ENOENT, "%s: no such program in PATH; install it", program);
    return ac_fail_errno(err, AC_EIO, e, "%s: cannot be started", program);
}

static int pipe_closed_in_programs(int fd[2])
{
#if defined(__APPLE__)
    if (pipe(fd) != 0) return -1;
    for (int i = 0; i < 2; i++) (void)fcntl(fd[i], F_SETFD, FD_CLOEXEC);
    return 0;
#else
    return pipe2(fd, O_CLOEXEC);
#endif
}

ac_status ac_proc_run(const char *const *argv, const ac_proc_limits *limits, ac_str *out, int *exit_code,
                      ac_err *err)
{
    const ac_proc_limits l = limits ? *limits : (ac_proc_limits){ 0 };
    const int64_t end_ns = ac_mono_ns() + (l.timeout_ms ? l.timeout_ms : 60000) * 1000000;
    int fd[2];
    pid_t pid = 0;
    const bool failing = ac_fault_hit(AC_FAULT_IO);
    if (failing) errno = EMFILE;
    if (failing || pipe_closed_in_programs(fd) != 0)
        return ac_fail_errno(err, AC_EIO, errno, "%s: cannot make a pipe", argv[0]);
    const int e = spawn(&pid, argv, &(streams){ .out_fd = fd[1], .with_stderr = l.with_stderr });
    ac_io_close(fd[1]);
    if (e) {
        ac_io_close(fd[0]);
        return not_started(argv[0], e, err);
    }
    ac_status st = read_all(fd[0], argv[0], l.max_bytes ? l.max_bytes : (size_t)64 << 20, end_ns, out, err);
    ac_io_close(fd[0]);
    const int code = await(pid, st != AC_OK, end_ns);
    if (!st && !ac_str_ok(out)) st = ac_fail_nomem(err, out->len);
    if (!st) *exit_code = code;
    return st;
}

/* ---- a child that runs beside us ---- */

struct ac_child {
    pid_t pid;
    int exit_code;
    bool ended;
};

ac_status ac_child_start(ac_child **out, const char *const *argv, const char *stdout_path, ac_err *err)
{
    ac_child *c = ac_calloc(1, sizeof *c);
    if (!c) return ac_fail_nomem(err, sizeof *c);
    const int e = ac_fault_hit(AC_FAULT_IO) ? ENOSPC : spawn(&c->pid, argv, &(streams){ .out_path = stdout_path });
    if (e) {
        ac_free(c);
        return not_started(argv[0], e, err);
    }
    *out = c;
    return AC_OK;
}

ac_status ac_child_wait(ac_child *c, int64_t ms, bool *ended, int *exit_code, ac_err *err)
{
    const int64_t end_ns = ac_mono_ns() + ms * 1000000;
    int status = 0;
    while (!c->ended) {
        const pid_t got = waitpid(c->pid, &status, WNOHANG);
        if (got < 0 && errno != EINTR) return ac_fail_errno(err, AC_EIO, errno, "process %ld: cannot wait for it", (long)c->pid);
        if (got == c->pid) {
            c->ended = true;
            c->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        } else if (ac_mono_ns() >= end_ns) {
            break;
        } else {
            (void)poll(NULL, 0, 10);
        }
    }
    *ended = c->ended;
    if (c->ended) *exit_code = c->exit_code;
    return AC_OK;
}

void ac_child_close(ac_child **c, int64_t grace_ms)
{
    bool ended = false;
    int code;
    if (!*c) return;
    if (!(*c)->ended) {
        (void)kill((*c)->pid, SIGTERM);
        (void)ac_child_wait(*c, grace_ms, &ended, &code, NULL);
    }
    if (!(*c)->ended) (void)await((*c)->pid, true, 0);
    ac_free(*c);
    *c = NULL;
}
