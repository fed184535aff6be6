/* Reading a big file in pieces, at any place. */
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/file_int.h"

struct ac_reader {
    char *path;
    uint64_t size;
    ac_secret plain;            /* of a sealed file (F5); else read from fd */
    int fd;
};

ac_status ac_reader_open(ac_reader **out, const char *path, ac_err *err)
{
    ac_reader *r = ac_calloc(1, sizeof *r);
    if (!r) return ac_fail_nomem(err, sizeof *r);
    r->fd = -1;
    ac_status st = AC_OK;
    if (!(r->path = ac_strdup(path))) st = ac_fail_nomem(err, 0);
    if (!st) st = ac_io_open_input(&r->fd, &r->size, path, err);
    if (!st) st = ac_io_unseal(&r->plain, r->fd, r->size, path, err);
    if (!st && r->plain.ptr) r->size = r->plain.len;
    if (st) ac_reader_close(&r);
    else *out = r;
    return st;
}

uint64_t ac_reader_size(const ac_reader *r)
{
    return r->size;
}

bool ac_reader_sealed(const ac_reader *r)
{
    return r->plain.ptr != NULL;
}

ac_status ac_reader_at(const ac_reader *r, uint64_t offset, void *buf, size_t len, ac_err *err)
{
    size_t n = 0;
    if (offset > r->size || len > r->size - offset)
        return ac_fail(err, AC_ESTATE, "%s: read behind its end", r->path);
    if (r->plain.ptr && len) {
        memcpy(buf, r->plain.ptr + offset, len);
        return AC_OK;
    }
    while (n < len) {
        const ssize_t got = ac_io_pread(r->fd, (char *)buf + n, len - n, (off_t)(offset + n));
        if (got < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot read", r->path);
        if (got == 0)
            return ac_fail(err, AC_EIO, "%s: became shorter while it was read; try again", r->path);
        n += (size_t)got;
    }
    return AC_OK;
}

void ac_reader_close(ac_reader **rp)
{
    ac_reader *r = *rp;
    if (!r) return;
    ac_io_close(r->fd);
    ac_secret_release(&r->plain);
    ac_free(r->path);
    ac_free(r);
    *rp = NULL;
}
