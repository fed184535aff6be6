/* seal/tar.h - tar archives of regular files in one form only.
 *
 * R1  POSIX ustar; mode 0644, no owner, no time, names of 1 to 255 bytes. The same files give the same bytes.
 * R2  Reading takes exactly what writing gives: a header that differs in a byte, padding that is not zero, bytes behind the
 *     two zero blocks, or a missing end are AC_EFORMAT. So a hash over members stands for a hash over the archive.
 * R3  A name is relative; no component is empty, "." or ".."; no control characters and no backslash. */
#ifndef AC_SEAL_TAR_H
#define AC_SEAL_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

#define AC_TAR_BLOCK 512
#define AC_TAR_NAME 256

bool ac_tar_name_ok(ac_view name);
/* AC_EARG: the name breaks R3 or does not fit. */
ac_status ac_tar_header(uint8_t out[AC_TAR_BLOCK], ac_view name, uint64_t size, ac_err *err);
/* Zero bytes that follow size bytes of content. */
size_t    ac_tar_padding(uint64_t size);

/* What a reader does with each member: begin, its bytes in pieces, end. */
typedef struct {
    ac_status (*begin)(void *ctx, const char *name, uint64_t size, ac_err *err);
    ac_status (*data)(void *ctx, const void *data, size_t len, ac_err *err);
    ac_status (*end)(void *ctx, ac_err *err);
    void *ctx;
} ac_tar_visit;

typedef struct {
    ac_tar_visit visit;
    const char *where;               /* for messages */
    uint8_t block[AC_TAR_BLOCK];
    size_t have;                     /* bytes of the block that is being gathered */
    uint64_t left;                   /* content of the member still to come */
    size_t pad;                      /* zero bytes after it still to come */
    bool in_member;
    unsigned zero_blocks;            /* 2: the archive is over */
} ac_tar_reader;                     /* { .visit = .., .where = .. } begins */

ac_status ac_tar_push(ac_tar_reader *r, const void *data, size_t len, ac_err *err);
ac_status ac_tar_finish(const ac_tar_reader *r, ac_err *err);       /* AC_EFORMAT: the end is missing */

#endif
