/* base/secret.h - memory for keys, passphrases and opened data, and files that only their owner reads.
 *
 * Z1  Secret memory is its own mapping: locked against swapping where the system allows it (best effort), left out of
 *     core dumps, and wiped before it is given back.
 * Z2  A secret file is made with mode 0600 and never replaces one; it is refused on reading when others may read it.
 * Z3  A passphrase comes from a terminal without echo, a descriptor or a file; never from a command line. */
#ifndef AC_BASE_SECRET_H
#define AC_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

void *ac_secret_alloc(size_t bytes);      /* zeroed; NULL: out of memory */
void  ac_secret_free(void *p);            /* accepts NULL */
void  ac_random_secret(void *p, size_t bytes);   /* from the system's generator: for keys, never for results */
void  ac_wipe(void *p, size_t bytes);     /* not optimised away; p may be NULL when bytes is 0 */

/* A small text that is secret: {0} is empty; ptr comes from ac_secret_alloc and ends in NUL. */
typedef struct {
    char *ptr;
    size_t len;
} ac_secret;
void ac_secret_release(ac_secret *s);

/* The first line of a file (its CR and LF cut off), of at most max_bytes. With owner_only a file that group or others may
 * read is AC_EREFUSED. An empty line is AC_EFORMAT. */
ac_status ac_secret_read_line(ac_secret *out, const char *path, size_t max_bytes, bool owner_only, ac_err *err);
/* The same from an open descriptor, which stays open. */
ac_status ac_secret_read_line_fd(ac_secret *out, int fd, size_t max_bytes, ac_err *err);
/* A whole small file. */
ac_status ac_secret_read_file(ac_secret *out, const char *path, size_t max_bytes, bool owner_only, ac_err *err);
/* Asks on the terminal (/dev/tty), which does not show what is typed. AC_ENOENT: there is no terminal. */
ac_status ac_secret_ask(ac_secret *out, const char *prompt, size_t max_bytes, ac_err *err);

/* Makes a file that was not there, mode 0600 (or 0644 when shown), and syncs it and its folder; AC_ECREATE when it is. */
ac_status ac_file_write_new(const char *path, const void *data, size_t len, bool shown, ac_err *err);
/* mkdir -p, the last folder with mode 0700 when it is made here. */
ac_status ac_mkdir_private(const char *path, ac_err *err);

#endif
