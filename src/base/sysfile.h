/* base/sysfile.h - small files that a kernel makes up when asked: /proc, /sys, and what lies in /run and /dev.
 *
 * Y1  They have no size to ask for; what is longer than the buffer is cut off. Nothing is allocated.
 * Y2  Nothing here waits: a pipe or a terminal in the place of a file is refused.
 * Threads: any. */
#ifndef AC_BASE_SYSFILE_H
#define AC_BASE_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads root + path, ends it with NUL and sets *len (which may be NULL). NULL: done; else why not, a constant: "no such
 * file", "permission denied", "cannot be read". */
const char *ac_sysfile_read(char *buf, size_t size, size_t *len, const char *root, const char *path);
/* When a file or device was last read from, since 1970. The same reasons. */
const char *ac_sysfile_atime_ns(int64_t *out, const char *root, const char *path);
/* Opens for reading and writing, writes text in one piece, and gives the descriptor, to be closed with ac_sysfile_close:
 * how a kernel is asked to wake somebody up. */
const char *ac_sysfile_arm(int *fd, const char *root, const char *path, const char *text);
void        ac_sysfile_close(int fd);
/* Of the file system that holds path: bytes that this user may still take, and all of them. */
bool        ac_fs_room(const char *path, double *free_bytes, double *all_bytes);

#endif
