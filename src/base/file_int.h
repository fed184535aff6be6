/* base/file_int.h - the system calls of base's file access, each with its fault hook (F3). */
#ifndef AC_BASE_FILE_INT_H
#define AC_BASE_FILE_INT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/secret.h"

/* As the calls they are named after: -1 and errno on failure; EINTR is retried. */
int     ac_io_open(const char *path, int flags, mode_t mode);
ssize_t ac_io_read(int fd, void *buf, size_t len);
ssize_t ac_io_pread(int fd, void *buf, size_t len, off_t at);
ssize_t ac_io_write(int fd, const void *buf, size_t len);
int     ac_io_fsync(int fd);
int     ac_io_fstat(int fd, struct stat *st);
int     ac_io_rename(const char *from, const char *to);
int     ac_io_symlink(const char *target, const char *path);
int     ac_io_mkdir(const char *path, mode_t mode);
int     ac_io_ftruncate(int fd, off_t len);
int     ac_io_unlinkat(int dir_fd, const char *name, int flags);
void    ac_io_close(int fd);                 /* keeps errno */
int     ac_io_write_all(int fd, const void *buf, size_t len);

/* Opens a regular file for reading (F1, F4) and gives its size. */
ac_status ac_io_open_input(int *fd, uint64_t *size, const char *path, ac_err *err);
/* F5: when the file is sealed and somebody opens such files, sets plain (ptr is not NULL then). fd stays at its start. */
ac_status ac_io_unseal(ac_secret *plain, int fd, uint64_t size, const char *path, ac_err *err);
/* Maps len > 0 bytes. */
ac_status ac_io_map(const uint8_t **out, int fd, size_t len, const char *path, ac_err *err);
void      ac_io_unmap(const uint8_t *p, size_t len);
/* Folder part of path in out ("." when there is none); AC_EARG when it does not fit. */
ac_status ac_io_parent(char *out, size_t size, const char *path, ac_err *err);

#endif
