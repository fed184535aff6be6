#include "base/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include "base/fault.h"
#include "base/file.h"
#include "base/file_int.h"

static const int relayed[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGCHLD };
static sigset_t before_fork;
static int relay_in = -1;

static void block_all(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before_fork);
}

void ac_fork_unblock(void)
{
    (void)sigprocmask(SIG_SETMASK, &before_fork, NULL);
}

static bool open_pair(int fd[2])
{
    if (ac_fault_hit(AC_FAULT_IO)) {
        errno = EMFILE;
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0) return false;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fd[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

ac_status ac_fork(ac_forked *out, int death_signal, ac_err *err)
{
    int fd[2];
    const pid_t parent = getpid();
    if (!open_pair(fd)) return ac_fail_errno(err, AC_EIO, errno, "cannot make a socket between guard and trainer");
    (void)fflush(stdout);                /* what is buffered would be written twice */
    (void)fflush(stderr);
    block_all();
    const pid_t pid = fork();
    if (pid < 0) {
        const int e = errno;
        ac_fork_unblock();
        ac_io_close(fd[0]);
        ac_io_close(fd[1]);
        return ac_fail_errno(err, AC_EIO, e, "cannot start the trainer as a process of its own; --no-guard trains without");
    }
    ac_io_close(fd[pid != 0]);
    *out = (ac_forked){ .is_child = pid == 0, .parent = parent, .pid = pid ? pid : getpid(), .fd = fd[pid == 0] };
#if defined(__linux__)
    if (pid == 0) (void)prctl(PR_SET_PDEATHSIG, death_signal);
#endif
    if (pid == 0 && getppid() != parent) (void)raise(death_signal);      /* it died before it was asked for */
    return AC_OK;
}

void ac_fork_close(ac_forked *f)
{
    if (f->fd >= 0) ac_io_close(f->fd);
    f->fd = -1;
}

ac_fork_end ac_fork_poll(const ac_forked *f)
{
    ac_fork_end e = { .ended = false };
    int status = 0;
    pid_t got;
    do got = waitpid((pid_t)f->pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == 0) return e;
    e.ended = true;
    if (got < 0) {                       /* somebody else took its end: nothing is known of it */
        e.exit_code = 70;
    } else if (WIFSIGNALED(status)) {
        e.signal = WTERMSIG(status);
        e.exit_code = 128 + e.signal;
    } else {
        e.exit_code = WEXITSTATUS(status);
    }
    return e;
}

void ac_fork_signal(const ac_forked *f, int sig)
{
    if (f->pid > 1) (void)kill((pid_t)f->pid, sig);
}

void ac_fork_own_group(void)
{
    (void)setpgid(0, 0);
    (void)signal(SIGTTOU, SIG_IGN);      /* progress is still drawn where "stty tostop" is set */
}

void ac_oom_score_set(int score)
{
    char text[16];
    const int n = snprintf(text, sizeof text, "%d", score);
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    const ssize_t put = write(fd, text, (size_t)n);
    ac_io_close(fd);
    (void)put;
}

/* smaps: "55d0-7ffe r-xp 00000000 08:01 123  /usr/lib/..." and then one line a fact. A mapping without anonymous pages has
 * no page that differs from its file. */
void ac_drop_clean_pages(void)
{
#if defined(__linux__)
    ac_lines *l = NULL;
    ac_view line;
    unsigned long from = 0, to = 0;
    bool clean = false;
    if (ac_lines_open(&l, "/proc/self/smaps", 65536, NULL)) return;
    while (!ac_lines_next(l, &line, NULL, NULL) && line.ptr) {
        char text[512], perms[8] = "", path[8] = "";
        unsigned long a, b;
        (void)snprintf(text, sizeof text, AC_VIEW_FMT, AC_VIEW_ARG(line));
        if (sscanf(text, "%lx-%lx %7s %*s %*s %*s %7s", &a, &b, perms, path) >= 3) {
            from = a;
            to = b;
            clean = path[0] == '/' && (!strcmp(perms, "r-xp") || !strcmp(perms, "r--p"));
        } else if (clean && !strncmp(text, "Anonymous:", 10)) {
            const char *digit = text + strcspn(text, "0123456789");
            if (!strcmp(digit, "0 kB") && from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
        }
    }
    ac_lines_close(&l);
#endif
}

void ac_lock_memory(void)
{
#if defined(MCL_ONFAULT)
    (void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
#endif
}

/* ---- signals ---- */

static void on_signal(int sig)
{
    const int e = errno;
    const unsigned char byte = (unsigned char)sig;
    const ssize_t n = write(relay_in, &byte, 1);      /* full: more than enough of them wait already */
    (void)n;
    errno = e;
}

ac_status ac_relay_open(int *out, ac_err *err)
{
    int fd[2];
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    if (ac_fault_hit(AC_FAULT_IO) || pipe(fd) != 0)
        return ac_fail_errno(err, AC_EIO, errno, "cannot make a pipe for signals");
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fd[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
    }
    relay_in = fd[1];
    (void)sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < AC_COUNTOF(relayed); i++) (void)sigaction(relayed[i], &sa, NULL);
    ac_fork_unblock();
    *out = fd[0];
    return AC_OK;
}

int ac_relay_next(int fd)
{
    unsigned char byte;
    ssize_t n;
    do n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? byte : 0;
}

void ac_die_by(int sig)
{
    sigset_t one;
    (void)fflush(NULL);
    (void)signal(sig, SIG_DFL);
    (void)sigemptyset(&one);
    (void)sigaddset(&one, sig);
    (void)raise(sig);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
}

void ac_stop_self(void)
{
    (void)raise(SIGSTOP);
}

/* ---- descriptors ---- */

int ac_wait_fds(const int *fd, int n, int urgent, int64_t ms)
{
    struct pollfd p[5];
    int used = 0;
    for (int i = 0; i < n && used < 4; i++)
        if (fd[i] >= 0) p[used++] = (struct pollfd){ .fd = fd[i], .events = POLLIN };
    if (urgent >= 0) p[used++] = (struct pollfd){ .fd = urgent, .events = POLLPRI };
    const int ready = poll(p, (nfds_t)used, ms < 0 ? -1 : ms > 60000 ? 60000 : (int)ms);
    if (ready <= 0 || urgent < 0) return 0;
    const short told = p[used - 1].revents;
    return told & (POLLERR | POLLHUP | POLLNVAL) ? -1 : (told & POLLPRI) != 0;
}

int64_t ac_fd_read(int fd, void *buf, size_t len)
{
    const ssize_t n = ac_io_read(fd, buf, len);
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : -2;
}

int64_t ac_fd_write(int fd, const void *buf, size_t len)
{
    ssize_t n;
    if (ac_fault_hit(AC_FAULT_IO)) return -2;
    do n = send(fd, buf, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : -2;
}
