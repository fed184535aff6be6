#if defined(__APPLE__)
#define __STDC_WANT_LIB_EXT1__ 1                  /* memset_s */
#endif
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/file_int.h"
#include "base/mem_int.h"
#include "base/size.h"

#define LEAD ((size_t)64)      /* in front of the caller's bytes: the mapping's size and theirs */

typedef struct {
    size_t mapped, bytes;
} lead;

void ac_wipe(void *p, size_t bytes)
{
#if defined(__APPLE__)
    if (bytes) (void)memset_s(p, bytes, 0, bytes);
#else
    if (bytes) explicit_bzero(p, bytes);
#endif
}

void *ac_secret_alloc(size_t bytes)
{
    size_t whole, mapped;
    const long page = sysconf(_SC_PAGESIZE);
    if (ac_fault_hit(AC_FAULT_ALLOC) || page <= 0 || !ac_size_add(&whole, bytes, LEAD)
        || !ac_size_align(&mapped, whole, (size_t)page))
        return NULL;
    char *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    (void)mlock(p, mapped);                       /* best effort: unprivileged users may lock little */
#if defined(MADV_DONTDUMP)
    (void)madvise(p, mapped, MADV_DONTDUMP);
#endif
    *(lead *)(void *)p = (lead){ mapped, bytes };
    ac_mem_count((int64_t)bytes);
    return p + LEAD;
}

void ac_secret_free(void *user)
{
    if (!user) return;
    char *p = (char *)user - LEAD;
    const lead l = *(lead *)(void *)p;
    ac_wipe(p, l.mapped);
    ac_mem_count(-(int64_t)l.bytes);
    (void)munmap(p, l.mapped);
}

void ac_secret_release(ac_secret *s)
{
    ac_secret_free(s->ptr);
    *s = (ac_secret){ NULL, 0 };
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static ac_status read_fd(ac_secret *out, int fd, const char *name, size_t max_bytes, bool line, ac_err *err)
{
    ac_secret s = { ac_secret_alloc(max_bytes + 2), 0 };
    ac_status st = s.ptr ? AC_OK : ac_fail_nomem(err, max_bytes);
    while (!st) {
        /* By single bytes where a line is wanted: what follows it in a pipe is not ours. */
        const ssize_t n = ac_io_read(fd, s.ptr + s.len, line ? 1 : max_bytes + 1 - s.len);
        if (n < 0) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot read", name);
        if (n <= 0 || (line && s.ptr[s.len] == '\n')) break;
        s.len += (size_t)n;
        if (s.len > max_bytes) st = ac_fail(err, AC_EFORMAT, "%s: is longer than %zu bytes", name, max_bytes);
    }
    if (!st && line && s.len && s.ptr[s.len - 1] == '\r') s.len--;
    if (!st && line && s.len == 0) st = ac_fail(err, AC_EFORMAT, "%s: is empty; expected one line", name);
    if (st) {
        ac_secret_release(&s);
        return st;
    }
    s.ptr[s.len] = '\0';
    *out = s;
    return AC_OK;
}

static ac_status read_path(ac_secret *out, const char *path, size_t max_bytes, bool owner_only, bool line, ac_err *err)
{
    int fd;
    uint64_t size;
    struct stat s;
    ac_status st = ac_io_open_input(&fd, &size, path, err);
    if (st) return st;
    if (ac_io_fstat(fd, &s) != 0) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot stat", path);
    else if (owner_only && (s.st_mode & 077))
        st = ac_fail(err, AC_EREFUSED, "%s: group or others may use this file (mode %03o); a key is its owner's alone: "
                     "chmod 600 it", path, (unsigned)(s.st_mode & 0777));
    if (!st) st = read_fd(out, fd, path, max_bytes, line, err);
    ac_io_close(fd);
    return st;
}

ac_status ac_secret_read_line(ac_secret *out, const char *path, size_t max_bytes, bool owner_only, ac_err *err)
{
    return read_path(out, path, max_bytes, owner_only, true, err);
}

ac_status ac_secret_read_line_fd(ac_secret *out, int fd, size_t max_bytes, ac_err *err)
{
    char name[48];
    (void)snprintf(name, sizeof name, "descriptor %d", fd);
    return read_fd(out, fd, name, max_bytes, true, err);
}

ac_status ac_secret_read_file(ac_secret *out, const char *path, size_t max_bytes, bool owner_only, ac_err *err)
{
    return read_path(out, path, max_bytes, owner_only, false, err);
}

static volatile sig_atomic_t ask_caught;

static void on_ask_signal(int sig)
{
    ask_caught = sig;
}

static int wait_in(int fd, const sigset_t *let_in)
{
#if defined(__APPLE__)                            /* no ppoll, and its poll does not know terminals */
    fd_set in;
    if (fd >= FD_SETSIZE) return errno = EINVAL, -1;
    FD_ZERO(&in);
    FD_SET(fd, &in);
    return pselect(fd + 1, &in, NULL, NULL, NULL, let_in);
#else
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return ppoll(&p, 1, NULL, let_in);
#endif
}

/* Waits for a byte with signals let in, so that Ctrl-C ends the wait, and only the wait. */
static ac_status wait_key(int fd, const sigset_t *let_in, ac_err *err)
{
    while (wait_in(fd, let_in) < 0) {
        if (errno != EINTR) return ac_fail_errno(err, AC_EIO, errno, "/dev/tty: cannot wait");
        if (ask_caught) return ac_fail(err, AC_ECANCEL, "stopped while the passphrase was asked for; nothing was done");
    }
    return AC_OK;
}

static ac_status read_typed(ac_secret *out, int fd, size_t max_bytes, const sigset_t *let_in, ac_err *err)
{
    ac_secret s = { ac_secret_alloc(max_bytes + 1), 0 };
    ac_status st = s.ptr ? AC_OK : ac_fail_nomem(err, max_bytes);
    while (!st && !(st = wait_key(fd, let_in, err))) {
        const ssize_t n = ac_io_read(fd, s.ptr + s.len, 1);
        if (n < 0) st = ac_fail_errno(err, AC_EIO, errno, "/dev/tty: cannot read");
        if (n <= 0 || s.ptr[s.len] == '\n') break;
        if (++s.len > max_bytes) st = ac_fail(err, AC_EFORMAT, "the passphrase is longer than %zu bytes", max_bytes);
    }
    if (!st && s.len == 0) st = ac_fail(err, AC_EFORMAT, "the passphrase is empty");
    if (st) {
        ac_secret_release(&s);
        return st;
    }
    s.ptr[s.len] = '\0';
    *out = s;
    return AC_OK;
}

ac_status ac_secret_ask(ac_secret *out, const char *prompt, size_t max_bytes, ac_err *err)
{
    struct termios before, quiet;
    struct sigaction act = { .sa_handler = on_ask_signal }, was_int, was_term;
    sigset_t stop, old;
    const int fd = ac_io_open("/dev/tty", O_RDWR | O_NOCTTY, 0);
    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        ac_io_close(fd);
        return ac_fail(err, AC_ENOENT, "a passphrase is needed and there is no terminal to ask on; set "
                       "ACCORD_PASSPHRASE_FILE or ACCORD_PASSPHRASE_FD");
    }
    /* No signal may leave the terminal mute: they are let in only while a key is waited for, and passed on at the end. */
    ask_caught = 0;
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGINT);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &stop, &old);
    (void)sigaction(SIGINT, &act, &was_int);
    (void)sigaction(SIGTERM, &act, &was_term);
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    quiet.c_lflag |= ICANON | ISIG;
    quiet.c_cc[VSUSP] = _POSIX_VDISABLE;
    ac_status st = AC_OK;
    if (tcsetattr(fd, TCSAFLUSH, &quiet) != 0)
        st = ac_fail_errno(err, AC_EIO, errno, "/dev/tty: cannot turn the echo off");
    if (!st && ac_io_write_all(fd, prompt, strlen(prompt)) != 0)
        st = ac_fail_errno(err, AC_EIO, errno, "/dev/tty: cannot write");
    if (!st) st = read_typed(out, fd, max_bytes, &old, err);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    (void)ac_io_write_all(fd, "\n", 1);
    ac_io_close(fd);
    (void)sigaction(SIGINT, &was_int, NULL);
    (void)sigaction(SIGTERM, &was_term, NULL);
    if (ask_caught) (void)raise((int)ask_caught);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    return st;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

ac_status ac_file_write_new(const char *path, const void *data, size_t len, bool shown, ac_err *err)
{
    char dir[PATH_MAX];
    ac_status st = ac_io_parent(dir, sizeof dir, path, err);
    if (st) return st;
    const int fd = ac_io_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, shown ? 0644 : 0600);
    if (fd < 0 && errno == EEXIST)
        return ac_fail(err, AC_ECREATE, "%s: is there already and is not replaced", path);
    if (fd < 0) return ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot create", path);
    if (ac_io_write_all(fd, data, len) != 0) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot write", path);
    else if (ac_io_fsync(fd) != 0) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot sync", path);
    ac_io_close(fd);
    if (!st) st = ac_dir_sync(dir, err);
    if (st) (void)unlink(path);
    return st;
}

ac_status ac_mkdir_private(const char *path, ac_err *err)
{
    char dir[PATH_MAX];
    ac_status st = ac_io_parent(dir, sizeof dir, path, err);
    if (!st) st = ac_mkdir_p(dir, err);
    if (st) return st;
    if (ac_io_mkdir(path, 0700) == 0 || (errno == EEXIST && ac_path_is_dir(path))) return AC_OK;
    return ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot create the folder", path);
}
