#include "ledger/tail.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

#define CHUNK ((size_t)64 << 10)

typedef struct {
    char *buf;
    size_t cap, len, scanned;        /* buf[0, scanned) holds no LF */
} window;

/* Gives the whole lines of the window and keeps the rest at its front. */
static ac_status give(ac_tail *t, window *w, ac_tail_fn *fn, void *ctx, ac_err *err)
{
    size_t from = 0;
    ac_status st = AC_OK;
    for (const char *lf; !st && (lf = memchr(w->buf + w->scanned, '\n', w->len - w->scanned));) {
        const size_t end = (size_t)(lf - w->buf), cr = end > from && w->buf[end - 1] == '\r';
        t->at += end + 1 - from;
        t->number++;
        st = fn(ctx, (ac_view){ w->buf + from, end - from - cr }, t->number, err);
        from = w->scanned = end + 1;
    }
    memmove(w->buf, w->buf + from, w->len - from);
    w->scanned = w->len -= from;
    return st;
}

static ac_status grow(window *w, size_t max_line, size_t number, const char *path, ac_err *err)
{
    if (w->len < w->cap) return AC_OK;
    if (w->len > max_line)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: line is longer than %zu bytes", path, number, max_line);
    const size_t cap = w->cap ? w->cap * 2 : CHUNK;
    char *more = ac_realloc(w->buf, cap);
    if (!more) return ac_fail_nomem(err, cap);
    w->buf = more;
    w->cap = cap;
    return AC_OK;
}

ac_status ac_tail_read(ac_tail *t, const char *path, size_t max_line, ac_tail_fn *fn, void *ctx, ac_err *err)
{
    ac_reader *r = NULL;
    window w = { 0 };
    ac_status st = ac_reader_open(&r, path, err);
    if (st) return st;
    const uint64_t size = ac_reader_size(r);
    uint64_t pos = t->at;
    if (size < t->at) {
        *t = (ac_tail){ .shrank = true };
        pos = size;
    } else {
        t->shrank = false;
    }
    while (!st && pos < size) {
        st = grow(&w, max_line, t->number + 1, path, err);
        const size_t room = w.cap - w.len, n = size - pos < room ? (size_t)(size - pos) : room;
        if (!st) st = ac_reader_at(r, pos, w.buf + w.len, n, err);
        if (st) break;
        w.len += n;
        pos += n;
        st = give(t, &w, fn, ctx, err);
    }
    ac_free(w.buf);
    ac_reader_close(&r);
    return st;
}
