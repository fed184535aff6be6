/* Writing: atomic replacement (F2), append logs, lock files. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file_int.h"

#define WRITER_BUFFER ((size_t)64 << 10)

struct ac_writer {
    char *path, *temp;
    char *buf;
    size_t used;
    int fd;
    bool failed;
};

static atomic_uint temp_count;

static void writer_free(ac_writer *w)
{
    ac_io_close(w->fd);
    ac_free(w->buf);
    ac_free(w->temp);
    ac_free(w->path);
    ac_free(w);
}

static ac_status writer_names(ac_writer *w, const char *path, ac_err *err)
{
    const size_t room = strlen(path) + 48;
    w->path = ac_strdup(path);
    w->temp = ac_malloc(room);
    w->buf = ac_malloc(WRITER_BUFFER);
    if (!w->path || !w->temp || !w->buf) return ac_fail_nomem(err, WRITER_BUFFER);
    (void)snprintf(w->temp, room, "%s.tmp-%ld-%u", path, (long)getpid(),
                   atomic_fetch_add(&temp_count, 1));
    return AC_OK;
}

ac_status ac_writer_open(ac_writer **out, const char *path, ac_err *err)
{
    ac_writer *w = ac_calloc(1, sizeof *w);
    if (!w) return ac_fail_nomem(err, sizeof *w);
    w->fd = -1;
    ac_status st = writer_names(w, path, err);
    if (!st && ac_path_is_dir(path))
        st = ac_fail(err, AC_ECREATE, "%s: is a folder; expected a file name", path);
    if (!st) {
        w->fd = ac_io_open(w->temp, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (w->fd < 0) st = ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot create", path);
    }
    if (st) writer_free(w);
    else *out = w;
    return st;
}

static ac_status writer_put(ac_writer *w, const void *data, size_t len, ac_err *err)
{
    if (ac_io_write_all(w->fd, data, len) == 0) return AC_OK;
    const int e = errno;
    w->failed = true;
    return ac_fail_errno(err, AC_EIO, e, "%s: cannot write", w->path);
}

ac_status ac_writer_write(ac_writer *w, const void *data, size_t len, ac_err *err)
{
    if (w->failed) return ac_fail(err, AC_EIO, "%s: an earlier write failed", w->path);
    if (len > WRITER_BUFFER - w->used) {
        const ac_status st = writer_put(w, w->buf, w->used, err);
        if (st) return st;
        w->used = 0;
        if (len >= WRITER_BUFFER) return writer_put(w, data, len, err);
    }
    if (len) memcpy(w->buf + w->used, data, len);
    w->used += len;
    return AC_OK;
}

static ac_status sync_parent(const char *path, ac_err *err)
{
    char dir[PATH_MAX];
    const ac_status st = ac_io_parent(dir, sizeof dir, path, err);
    return st ? st : ac_dir_sync(dir, err);
}

ac_status ac_writer_commit(ac_writer **wp, ac_err *err)
{
    ac_writer *w = *wp;
    ac_status st = AC_OK;
    *wp = NULL;
    if (w->failed) st = ac_fail(err, AC_EIO, "%s: an earlier write failed", w->path);
    if (!st) st = writer_put(w, w->buf, w->used, err);
    if (!st && ac_io_fsync(w->fd) != 0)
        st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot sync", w->path);
    if (!st) {
        const int fd = w->fd;
        w->fd = -1;
        if (close(fd) != 0 && errno != EINTR)      /* NFS reports a full disk here */
            st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot close", w->path);
    }
    if (!st) st = ac_rename(w->temp, w->path, err);
    if (st) (void)unlink(w->temp);
    else st = sync_parent(w->path, err);
    writer_free(w);
    return st;
}

void ac_writer_abort(ac_writer **wp)
{
    ac_writer *w = *wp;
    if (!w) return;
    (void)unlink(w->temp);
    writer_free(w);
    *wp = NULL;
}

ac_status ac_file_write_atomic(const char *path, const void *data, size_t len, ac_err *err)
{
    ac_writer *w = NULL;
    ac_status st = ac_writer_open(&w, path, err);
    if (!st) st = ac_writer_write(w, data, len, err);
    if (!st) return ac_writer_commit(&w, err);
    ac_writer_abort(&w);
    return st;
}

/* ---- appending ---- */

struct ac_appender {
    char *path;
    ac_str line;
    int fd;
};

ac_status ac_appender_open(ac_appender **out, const char *path, ac_err *err)
{
    ac_appender *a = ac_calloc(1, sizeof *a);
    if (!a) return ac_fail_nomem(err, sizeof *a);
    a->fd = -1;
    struct stat s;
    ac_status st = AC_OK;
    if (!(a->path = ac_strdup(path))) st = ac_fail_nomem(err, strlen(path) + 1);
    if (!st) {
        a->fd = ac_io_open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0666);
        if (a->fd < 0) st = ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot open for appending",
                                          path);
    }
    if (!st && ac_io_fstat(a->fd, &s) != 0)
        st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot stat", path);
    if (!st && !S_ISREG(s.st_mode))
        st = ac_fail(err, AC_ECREATE, "%s: is not a regular file", path);
    if (st) ac_appender_close(&a);
    else *out = a;
    return st;
}

ac_status ac_appender_line(ac_appender *a, ac_view line, ac_err *err)
{
    ac_str_reset(&a->line);
    ac_str_append(&a->line, line);
    ac_str_append_char(&a->line, '\n');
    if (!ac_str_ok(&a->line)) return ac_fail_nomem(err, line.len);
    struct stat s;
    if (ac_io_fstat(a->fd, &s) != 0)
        return ac_fail_errno(err, AC_EIO, errno, "%s: cannot stat", a->path);
    if (ac_io_write_all(a->fd, a->line.ptr, a->line.len) == 0) return AC_OK;
    const int e = errno;
    /* A full disk can take half a line: take it back, so that the log stays readable. */
    const bool undone = ftruncate(a->fd, s.st_size) == 0;
    return ac_fail_errno(err, AC_EIO, e, "%s: cannot append%s", a->path,
                         undone ? "" : " (the last line may be incomplete)");
}

ac_status ac_appender_sync(ac_appender *a, ac_err *err)
{
    if (ac_io_fsync(a->fd) == 0) return AC_OK;
    return ac_fail_errno(err, AC_EIO, errno, "%s: cannot sync", a->path);
}

void ac_appender_close(ac_appender **ap)
{
    ac_appender *a = *ap;
    if (!a) return;
    ac_io_close(a->fd);
    ac_str_release(&a->line);
    ac_free(a->path);
    ac_free(a);
    *ap = NULL;
}

ac_status ac_truncate(const char *path, uint64_t len, ac_err *err)
{
    const int fd = ac_io_open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        const ac_status st = errno == ENOENT ? AC_ENOENT : AC_EIO;
        return ac_fail_errno(err, st, errno, "%s: cannot open", path);
    }
    ac_status st = AC_OK;
    if (len > (uint64_t)INT64_MAX) st = ac_fail(err, AC_EARG, "%s: length is too large", path);
    else if (ac_io_ftruncate(fd, (off_t)len) != 0 || ac_io_fsync(fd) != 0)
        st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot shorten", path);
    ac_io_close(fd);
    return st;
}

/* ---- lock files ---- */

struct ac_lockfile {
    char *path;
    int fd;
};

/* The file under the path is still the one that is locked; the last holder removes its file, and
 * somebody who opened it before that holds a lock on nothing. */
static bool lock_is_current(const char *path, int fd)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static ac_status lock_taken(const char *path, int fd, ac_err *err)
{
    char pid[32] = "";
    const ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    if (n > 0) pid[strcspn(pid, "\n")] = '\0';
    return ac_fail(err, AC_ESTATE, "%s: locked by process %s; wait for it, or stop it", path,
                   pid[0] ? pid : "unknown");
}

static ac_status lock_try(int *out, const char *path, ac_err *err)
{
    for (;;) {
        const int fd = ac_io_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
        if (fd < 0)
            return ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot create the lock file", path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            const int e = errno;
            const ac_status st = e == EWOULDBLOCK
                ? lock_taken(path, fd, err)
                : ac_fail_errno(err, AC_EIO, e, "%s: cannot lock", path);
            ac_io_close(fd);
            return st;
        }
        if (lock_is_current(path, fd)) {
            *out = fd;
            return AC_OK;
        }
        ac_io_close(fd);
    }
}

ac_status ac_lockfile_take(ac_lockfile **out, const char *path, ac_err *err)
{
    ac_lockfile *l = ac_calloc(1, sizeof *l);
    if (!l) return ac_fail_nomem(err, sizeof *l);
    l->fd = -1;
    ac_status st = AC_OK;
    if (!(l->path = ac_strdup(path))) st = ac_fail_nomem(err, strlen(path) + 1);
    if (!st) st = lock_try(&l->fd, path, err);
    if (!st) {
        char pid[32];
        const int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ac_io_ftruncate(l->fd, 0) != 0 || ac_io_write_all(l->fd, pid, (size_t)n) != 0)
            st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot write", path);
    }
    if (st) ac_lockfile_drop(&l);
    else *out = l;
    return st;
}

void ac_lockfile_drop(ac_lockfile **lp)
{
    ac_lockfile *l = *lp;
    if (!l) return;
    if (l->fd >= 0) {
        (void)unlink(l->path);          /* while it is still locked */
        ac_io_close(l->fd);
    }
    ac_free(l->path);
    ac_free(l);
    *lp = NULL;
}
