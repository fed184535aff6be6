#include "base/file_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"

static bool failing(void)
{
    if (AC_LIKELY(!ac_fault_hit(AC_FAULT_IO))) return false;
    errno = ENOSPC;
    return true;
}

int ac_io_open(const char *path, int flags, mode_t mode)
{
    if (failing()) return -1;
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

ssize_t ac_io_read(int fd, void *buf, size_t len)
{
    if (failing()) return -1;
    ssize_t n;
    do n = read(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t ac_io_pread(int fd, void *buf, size_t len, off_t at)
{
    if (failing()) return -1;
    ssize_t n;
    do n = pread(fd, buf, len, at);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t ac_io_write(int fd, const void *buf, size_t len)
{
    if (failing()) return -1;
    ssize_t n;
    do n = write(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n;
}

int ac_io_write_all(int fd, const void *buf, size_t len)
{
    const char *p = buf;
    while (len) {
        const ssize_t n = ac_io_write(fd, p, len);
        if (n < 0) return -1;
        if (n == 0) {
            errno = EIO;
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int ac_io_fsync(int fd)
{
    if (failing()) return -1;
#if defined(F_FULLFSYNC)      /* fsync of macOS leaves the data in the drive's own memory */
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    return fsync(fd);
}

int ac_io_fstat(int fd, struct stat *st)
{
    if (failing()) return -1;
    return fstat(fd, st);
}

int ac_io_rename(const char *from, const char *to)
{
    if (failing()) return -1;
    return rename(from, to);
}

int ac_io_symlink(const char *target, const char *path)
{
    if (failing()) return -1;
    return symlink(target, path);
}

int ac_io_mkdir(const char *path, mode_t mode)
{
    if (failing()) return -1;
    return mkdir(path, mode);
}

int ac_io_ftruncate(int fd, off_t len)
{
    if (failing()) return -1;
    int rc;
    do rc = ftruncate(fd, len);
    while (rc < 0 && errno == EINTR);
    return rc;
}

int ac_io_unlinkat(int dir_fd, const char *name, int flags)
{
    if (failing()) return -1;
    return unlinkat(dir_fd, name, flags);
}

void ac_io_close(int fd)
{
    const int saved = errno;
    if (fd >= 0) (void)close(fd);
    errno = saved;
}

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode)) return "a folder";
    if (S_ISFIFO(mode)) return "a FIFO";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

ac_status ac_io_open_input(int *out, uint64_t *size, const char *path, ac_err *err)
{
    /* O_NONBLOCK: opening a FIFO must not wait for a writer; on a regular file it does nothing. */
    const int fd = ac_io_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        const int e = errno;
        if (e == ENOENT || e == ENOTDIR)
            return ac_fail(err, AC_ENOENT, "%s: no such file; check the path", path);
        return ac_fail_errno(err, AC_EIO, e, "%s: cannot open", path);
    }
    struct stat st;
    if (ac_io_fstat(fd, &st) != 0) {
        const int e = errno;
        ac_io_close(fd);
        return ac_fail_errno(err, AC_EIO, e, "%s: cannot stat", path);
    }
    if (!S_ISREG(st.st_mode)) {
        ac_io_close(fd);
        return ac_fail(err, AC_EFORMAT, "%s: is %s; expected a regular file", path,
                       kind_of(st.st_mode));
    }
    *out = fd;
    *size = (uint64_t)st.st_size;
    return AC_OK;
}

ac_status ac_io_parent(char *out, size_t size, const char *path, ac_err *err)
{
    const char *slash = strrchr(path, '/');
    const size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n + 2 > size) return ac_fail(err, AC_EARG, "%.80s...: path is too long", path);
    if (n == 0) (void)strcpy(out, ".");
    else {
        memcpy(out, path, n);
        out[n] = '\0';
    }
    return AC_OK;
}
