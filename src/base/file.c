/* Reading: whole files, lines, maps. */
#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "base/file_int.h"
#include "base/size.h"

static ac_status too_long(const char *path, uint64_t size, size_t max_bytes, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: has %llu bytes; at most %zu are read here", path,
                   (unsigned long long)size, max_bytes);
}

/* Fills buf, of cap bytes, until it is full or the file ends. */
static ac_status read_up_to(int fd, const char *path, char *buf, size_t cap, size_t *len, ac_err *err)
{
    size_t n = 0;
    while (n < cap) {
        const ssize_t got = ac_io_read(fd, buf + n, cap - n);
        if (got < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot read", path);
        if (got == 0) break;
        n += (size_t)got;
    }
    *len = n;
    return AC_OK;
}

/* Copies what was sealed into the caller's room, which then counts as secret, and wipes the first copy. */
static ac_status give_plain(ac_secret *plain, const char *path, size_t max_bytes, char *(*room)(void *, size_t, bool),
                            void *ctx, char **text, size_t *len, ac_err *err)
{
    const size_t bytes = plain->len;
    ac_status st = bytes > max_bytes ? too_long(path, bytes, max_bytes, err) : AC_OK;
    char *p = st ? NULL : room(ctx, bytes + 1, true);
    if (p) {
        memcpy(p, plain->ptr, bytes);
        p[bytes] = '\0';
        *text = p;
        *len = bytes;
    } else if (!st) {
        st = ac_fail_nomem(err, bytes);
    }
    ac_secret_release(plain);
    return st;
}

/* Opens, checks the size, and reads into what `room` gives for size + 1 bytes. A file that grew or
 * shrank since its size was asked for is refused: half a change is worse than none. */
static ac_status read_whole(const char *path, size_t max_bytes, char *(*room)(void *, size_t, bool),
                            void *ctx, char **text, size_t *len, ac_err *err)
{
    int fd;
    uint64_t size;
    ac_secret plain;
    ac_status st = ac_io_open_input(&fd, &size, path, err);
    if (st) return st;
    st = ac_io_unseal(&plain, fd, size, path, err);
    if (st || plain.ptr) {
        ac_io_close(fd);
        return st ? st : give_plain(&plain, path, max_bytes, room, ctx, text, len, err);
    }
    size_t bytes = 0, with_nul = 0, got = 0;
    char *p = NULL;
    if (size > max_bytes || !ac_size_from_u64(&bytes, size) || !ac_size_add(&with_nul, bytes, 1))
        st = too_long(path, size, max_bytes, err);
    if (!st && !(p = room(ctx, with_nul, false))) st = ac_fail_nomem(err, with_nul);
    if (!st) st = read_up_to(fd, path, p, with_nul, &got, err);
    if (!st && got != bytes)
        st = ac_fail(err, AC_EIO, "%s: changed while it was read (%zu bytes, then %s); try again",
                     path, bytes, got > bytes ? "more" : "fewer");
    ac_io_close(fd);
    if (st) return st;
    p[bytes] = '\0';
    *text = p;
    *len = bytes;
    return AC_OK;
}

static char *room_in_arena(void *ctx, size_t bytes, bool secret)
{
    return secret ? ac_arena_alloc_secret(ctx, bytes) : ac_arena_alloc(ctx, bytes);
}

static char *room_in_str(void *ctx, size_t bytes, bool secret)
{
    ac_str *s = ctx;
    if (s->secret && s->ptr) ac_wipe(s->ptr, s->cap);
    if (secret) s->secret = true;
    if (s->cap < bytes) {
        char *p = ac_realloc(s->ptr, bytes);
        if (!p) return NULL;
        s->ptr = p;
        s->cap = bytes;
    }
    s->ptr[0] = '\0';
    return s->ptr;
}

ac_status ac_file_read(ac_str *out, const char *path, size_t max_bytes, ac_err *err)
{
    char *text;
    ac_str_reset(out);
    if (out->max_bytes && max_bytes > out->max_bytes) max_bytes = out->max_bytes;
    const ac_status st = read_whole(path, max_bytes, room_in_str, out, &text, &out->len, err);
    if (st) ac_str_reset(out);
    return st;
}

ac_status ac_file_read_arena(ac_view *out, ac_arena *a, const char *path, size_t max_bytes,
                             ac_err *err)
{
    char *text;
    size_t len;
    const ac_status st = read_whole(path, max_bytes, room_in_arena, a, &text, &len, err);
    if (!st) *out = (ac_view){ text, len };
    return st;
}

/* ---- lines ---- */

#define LINES_CHUNK ((size_t)64 << 10)

struct ac_lines {
    char *path;
    char *buf;
    size_t cap, start, end;     /* unread bytes are buf[start, end) */
    size_t scanned;             /* of them, these hold no LF */
    size_t max_line, number;
    int fd;
    bool at_end;
    ac_secret plain;            /* of a sealed file: the whole of it, and buf is its ptr */
};

ac_status ac_lines_open(ac_lines **out, const char *path, size_t max_line_bytes, ac_err *err)
{
    ac_lines *l = ac_calloc(1, sizeof *l);
    if (!l) return ac_fail_nomem(err, sizeof *l);
    l->fd = -1;
    l->max_line = max_line_bytes;
    l->cap = LINES_CHUNK;
    uint64_t size;
    ac_status st = AC_OK;
    if (!(l->path = ac_strdup(path)) || !(l->buf = ac_malloc(l->cap)))
        st = ac_fail_nomem(err, l->cap);
    if (!st) st = ac_io_open_input(&l->fd, &size, path, err);
    if (!st) st = ac_io_unseal(&l->plain, l->fd, size, path, err);
    if (!st && l->plain.ptr) {
        ac_free(l->buf);
        l->buf = l->plain.ptr;
        l->end = l->cap = l->plain.len;
        l->at_end = true;
    }
    if (st) ac_lines_close(&l);
    else *out = l;
    return st;
}

void ac_lines_close(ac_lines **lp)
{
    ac_lines *l = *lp;
    if (!l) return;
    ac_io_close(l->fd);
    if (l->plain.ptr) ac_secret_release(&l->plain);
    else ac_free(l->buf);
    ac_free(l->path);
    ac_free(l);
    *lp = NULL;
}

/* Moves the unread bytes to the front, grows when they fill the buffer, and reads on. */
static ac_status lines_fill(ac_lines *l, ac_err *err)
{
    const size_t kept = l->end - l->start;
    if (l->start > 0) {
        memmove(l->buf, l->buf + l->start, kept);
        l->start = 0;
        l->end = kept;
    }
    if (l->end == l->cap) {
        size_t cap;
        if (!ac_size_mul(&cap, l->cap, 2)) return ac_fail_nomem(err, l->cap);
        char *p = ac_realloc(l->buf, cap);
        if (!p) return ac_fail_nomem(err, cap);
        l->buf = p;
        l->cap = cap;
    }
    const ssize_t got = ac_io_read(l->fd, l->buf + l->end, l->cap - l->end);
    if (got < 0)
        return ac_fail_errno(err, AC_EIO, errno, "%s:%zu: cannot read", l->path, l->number + 1);
    if (got == 0) l->at_end = true;
    l->end += (size_t)got;
    return AC_OK;
}

static ac_status lines_give(ac_lines *l, size_t len, size_t eat, ac_view *line, size_t *number,
                            ac_err *err)
{
    const char *p = l->buf + l->start;
    if (len > 0 && eat > len && p[len - 1] == '\r') len--;
    if (len > l->max_line)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: line is longer than %zu bytes", l->path,
                       l->number + 1, l->max_line);
    l->start += eat;
    l->scanned = 0;
    l->number++;
    *line = (ac_view){ p, len };
    if (number) *number = l->number;
    return AC_OK;
}

ac_status ac_lines_next(ac_lines *l, ac_view *line, size_t *number, ac_err *err)
{
    for (;;) {
        const size_t have = l->end - l->start;
        const char *p = l->buf + l->start;
        const char *lf = have > l->scanned ? memchr(p + l->scanned, '\n', have - l->scanned) : NULL;
        if (lf) {
            const size_t len = (size_t)(lf - p);
            return lines_give(l, len, len + 1, line, number, err);
        }
        l->scanned = have;
        if (l->at_end) {
            if (have) return lines_give(l, have, have, line, number, err);
            *line = (ac_view){ NULL, 0 };
            return AC_OK;
        }
        /* + 1: the CR of a CRLF is not part of the line. */
        if (have > l->max_line && have - l->max_line > 1)
            return ac_fail(err, AC_EFORMAT, "%s:%zu: line is longer than %zu bytes", l->path,
                           l->number + 1, l->max_line);
        const ac_status st = lines_fill(l, err);
        if (st) return st;
    }
}

/* ---- maps ---- */

ac_status ac_io_map(const uint8_t **out, int fd, size_t len, const char *path, ac_err *err)
{
    void *p = MAP_FAILED;
    if (ac_fault_hit(AC_FAULT_IO)) errno = ENOSPC;
    else p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot map", path);
    *out = p;
    return AC_OK;
}

void ac_io_unmap(const uint8_t *ptr, size_t len)
{
    /* munmap wants the pointer that mmap gave; the bytes are not written through it. */
    union {
        const uint8_t *in;
        void *out;
    } p = { .in = ptr };
    (void)munmap(p.out, len);
}

static ac_status map_open(ac_map *out, const char *path, bool raw, ac_err *err)
{
    int fd;
    uint64_t size;
    ac_secret plain = { NULL, 0 };
    ac_status st = ac_io_open_input(&fd, &size, path, err);
    if (st) return st;
    ac_map m = { NULL, 0, NULL };
    if (!ac_size_from_u64(&m.len, size))
        st = ac_fail(err, AC_EFORMAT, "%s: too large to map (%llu bytes)", path,
                     (unsigned long long)size);
    if (!st && !raw) st = ac_io_unseal(&plain, fd, size, path, err);
    if (plain.ptr) m = (ac_map){ (const uint8_t *)plain.ptr, plain.len, plain.ptr };
    else if (!st && m.len > 0) st = ac_io_map(&m.ptr, fd, m.len, path, err);
    ac_io_close(fd);
    if (!st) *out = m;
    return st;
}

ac_status ac_map_open(ac_map *out, const char *path, ac_err *err)
{
    return map_open(out, path, false, err);
}

ac_status ac_map_open_raw(ac_map *out, const char *path, ac_err *err)
{
    return map_open(out, path, true, err);
}

void ac_map_close(ac_map *m)
{
    if (m->plain) ac_secret_free(m->plain);
    else if (m->ptr) ac_io_unmap(m->ptr, m->len);
    *m = (ac_map){ NULL, 0, NULL };
}
