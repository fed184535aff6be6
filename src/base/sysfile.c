#include "base/sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fault.h"
#include "base/file_int.h"

#define PATH_BYTES 4096

static const char *why(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR: return "no such file";
    case EACCES:
    case EPERM: return "permission denied";
    default: return "cannot be read";
    }
}

static bool full_path(char out[PATH_BYTES], const char *root, const char *path)
{
    const int n = snprintf(out, PATH_BYTES, "%s%s", root, path);
    return n > 0 && n < PATH_BYTES;
}

const char *ac_sysfile_read(char *buf, size_t size, size_t *len, const char *root, const char *path)
{
    char full[PATH_BYTES];
    struct stat st;
    size_t n = 0;
    ssize_t got = 1;
    buf[0] = '\0';
    if (!full_path(full, root, path)) return why(0);
    const int fd = ac_io_open(full, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) return why(errno);
    errno = 0;
    if (ac_io_fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) got = -1;
    while (got > 0 && n < size - 1) {
        got = ac_io_read(fd, buf + n, size - 1 - n);
        if (got > 0) n += (size_t)got;
    }
    const int error = errno;
    ac_io_close(fd);
    buf[got < 0 ? 0 : n] = '\0';
    if (got < 0) return why(error);
    if (len) *len = n;
    return NULL;
}

const char *ac_sysfile_atime_ns(int64_t *out, const char *root, const char *path)
{
    char full[PATH_BYTES];
    struct stat st;
    if (!full_path(full, root, path) || ac_fault_hit(AC_FAULT_IO)) return why(0);
    if (stat(full, &st) != 0) return why(errno);
#if defined(__APPLE__)
    *out = (int64_t)st.st_atimespec.tv_sec * 1000000000 + st.st_atimespec.tv_nsec;
#else
    *out = (int64_t)st.st_atim.tv_sec * 1000000000 + st.st_atim.tv_nsec;
#endif
    return NULL;
}

const char *ac_sysfile_arm(int *fd, const char *root, const char *path, const char *text)
{
    char full[PATH_BYTES];
    if (!full_path(full, root, path)) return why(0);
    const int f = ac_io_open(full, O_RDWR | O_NONBLOCK, 0);
    if (f < 0) return why(errno);
    const ssize_t n = ac_io_write(f, text, strlen(text) + 1);       /* the kernel wants the final NUL */
    if (n != (ssize_t)strlen(text) + 1) {
        const int error = n < 0 ? errno : 0;
        ac_io_close(f);
        return error == EACCES || error == EPERM ? "permission denied" : "the kernel takes no such request";
    }
    *fd = f;
    return NULL;
}

void ac_sysfile_close(int fd)
{
    if (fd >= 0) ac_io_close(fd);
}

bool ac_fs_room(const char *path, double *free_bytes, double *all_bytes)
{
    struct statvfs v;
    if (ac_fault_hit(AC_FAULT_IO) || statvfs(path, &v) != 0) return false;
    *free_bytes = (double)v.f_bavail * (double)v.f_frsize;
    *all_bytes = (double)v.f_blocks * (double)v.f_frsize;
    return true;
}
