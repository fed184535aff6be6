#include "data/stream_int.h"

#include <string.h>

#include "base/size.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- opening ---- */

/* The first byte that is no white space says whether the file is one array. */
static ac_status look(ac_stream *s, ac_err *err)
{
    char head[4096];
    uint64_t at = 0;
    while (at < s->size) {
        const size_t n = s->size - at < sizeof head ? (size_t)(s->size - at) : sizeof head;
        ac_status st = ac_reader_at(s->file, at, head, n, err);
        if (!st && at == 0) st = ac_rows_bytes_ok(s->path, (ac_view){ head, n }, err);
        if (st) return st;
        size_t i = 0;
        for (; i < n && is_space(head[i]); i++) {
            s->column = head[i] == '\n' ? 1 : s->column + 1;
            s->line += head[i] == '\n';
        }
        if (i < n) {
            s->is_array = head[i] == '[';
            s->at = s->is_array ? at + i + 1 : 0;
            s->column++;
            break;
        }
        at += n;
    }
    if (!s->is_array) s->line = s->column = 1;
    return AC_OK;
}

ac_status ac_stream_open(ac_stream *s, const char *path, ac_err *err)
{
    *s = (ac_stream){ .path = path, .line = 1, .column = 1 };
    ac_status st = ac_reader_open(&s->file, path, err);
    if (!st) {
        s->size = ac_reader_size(s->file);
        st = look(s, err);
    }
    if (st) ac_stream_close(s);
    return st;
}

void ac_stream_close(ac_stream *s)
{
    ac_reader_close(&s->file);
}

void ac_block_release(ac_block *b)
{
    if (b->secret && b->buf) ac_wipe(b->buf, b->cap);
    ac_free(b->buf);
    *b = (ac_block){ 0 };
}

/* ---- cutting ---- */

static void step_place(const char *p, size_t n, size_t *line, size_t *column)
{
    const char *end = p + n, *lf;
    while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
        ++*line;
        *column = 1;
        p = lf + 1;
    }
    for (; p < end; p++) *column += ((unsigned char)*p & 0xc0) != 0x80;
}

/* Behind a string's opening quote: the place behind its closing one, or n. */
static size_t skip_string(const char *p, size_t n, size_t i)
{
    while (i < n && p[i] != '"') i += p[i] == '\\' ? 2 : 1;
    return i < n ? i + 1 : n;
}

/* Walks over array items from an item's border. Gives the end of the item at i: the comma or bracket behind it, or n
 * when it does not end here. */
static size_t item_end(const char *p, size_t n, size_t i)
{
    size_t depth = 0;
    while (i < n) {
        const char c = p[i];
        if (c == '"') {
            i = skip_string(p, n, i + 1);
            continue;
        }
        if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') {
            if (depth == 0) return i;
            depth--;
        } else if (c == ',' && depth == 0) return i;
        i++;
    }
    return n;
}

static ac_status fill(ac_stream *s, ac_block *b, size_t want, ac_err *err)
{
    if (want > b->cap) {
        char *p = ac_realloc(b->buf, want);
        if (!p) return ac_fail_nomem(err, want);
        b->buf = p;
        b->cap = want;
    }
    const ac_status st = ac_reader_at(s->file, s->at + b->len, b->buf + b->len, want - b->len, err);
    if (!st) b->len = want;
    return st;
}

/* Cuts behind the last line end; false: there is none. */
static bool cut_line(ac_block *b)
{
    size_t n = b->len;
    while (n > 0 && b->buf[n - 1] != '\n') n--;
    if (n) b->len = n;
    return n > 0;
}

/* Behind the array's bracket only white space may stand. */
static ac_status array_tail(ac_stream *s, const ac_block *b, size_t from, ac_err *err)
{
    uint64_t at = s->at + from;
    char more[4096];
    size_t line = s->line, column = s->column;
    step_place(b->buf, from, &line, &column);
    while (at < s->size) {
        const size_t n = s->size - at < sizeof more ? (size_t)(s->size - at) : sizeof more;
        const ac_status st = ac_reader_at(s->file, at, more, n, err);
        if (st) return st;
        for (size_t i = 0; i < n; i++) {
            if (!is_space(more[i]))
                return ac_fail(err, AC_EFORMAT, "%s:%zu:%zu: more text behind the array; expected its end", s->path,
                               line, column);
            step_place(more + i, 1, &line, &column);
        }
        at += n;
    }
    return AC_OK;
}

static bool blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_space(p[i])) return false;
    return true;
}

/* M3, for the end of the array at b->buf[at]. */
static ac_status end_array(ac_stream *s, ac_block *b, size_t at, size_t item, ac_err *err)
{
    if (b->buf[at] != ']')
        return ac_fail(err, AC_EFORMAT, "%s:%zu: '}' closes nothing; fix the JSON here", s->path, s->line);
    if (s->want_item && blank(b->buf + item, at - item))
        return ac_fail(err, AC_EFORMAT, "%s:%zu: a comma stands before ']'; expected one more row, or no comma",
                       s->path, s->line);
    const ac_status st = array_tail(s, b, at + 1, err);
    if (st) return st;
    s->ended = true;
    b->len = at;
    return AC_OK;
}

/* Cuts behind the last comma between items; *more: none is in the buffer yet. */
static ac_status cut_array(ac_stream *s, ac_block *b, bool *more, ac_err *err)
{
    size_t i = 0, cut = 0;
    *more = false;
    for (;;) {
        const size_t end = item_end(b->buf, b->len, i);
        if (end == b->len) break;
        if (b->buf[end] != ',') return end_array(s, b, end, i, err);
        s->want_item = true;
        cut = i = end + 1;
    }
    if (cut) {
        b->len = cut;
        return AC_OK;
    }
    if (s->at + b->len == s->size)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: the array is not closed; the file is cut off", s->path, s->line);
    *more = true;
    return AC_OK;
}

ac_status ac_stream_next(ac_stream *s, ac_block *b, bool *end, ac_err *err)
{
    const uint64_t left = s->size - s->at;
    *end = s->ended || left == 0;
    if (*end && s->is_array && !s->ended)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: the array is not closed; the file is cut off", s->path, s->line);
    if (*end) return AC_OK;
    b->offset = s->at;
    b->line = s->line;
    b->column = s->column;
    b->len = 0;
    b->secret = b->secret || ac_reader_sealed(s->file);
    bool more = true;
    for (size_t want = AC_BLOCK_BYTES; more; want *= 2) {
        if (want > 2 * AC_ROW_MAX_BYTES)
            return ac_fail(err, AC_EFORMAT, "%s:%zu:%zu: a row has more than %zu bytes; split the row", s->path, s->line,
                           s->column, AC_ROW_MAX_BYTES);
        const ac_status st = fill(s, b, want < left ? want : (size_t)left, err);
        if (st) return st;
        more = false;
        if (s->is_array) {
            const ac_status cut = cut_array(s, b, &more, err);
            if (cut) return cut;
        } else if (b->len < left) more = !cut_line(b);
    }
    step_place(b->buf, b->len, &s->line, &s->column);
    s->at += b->len;
    return AC_OK;
}

/* ---- items ---- */

void ac_items_start(ac_items *x, const ac_stream *s, const ac_block *b)
{
    *x = (ac_items){ .b = b, .is_array = s->is_array, .line = b->line, .column = b->column };
}

static void advance(ac_items *x, size_t to)
{
    step_place(x->b->buf + x->at, to - x->at, &x->line, &x->column);
    x->at = to;
}

static void give(ac_items *x, size_t from, size_t to, ac_item *out)
{
    while (to > from && is_space(x->b->buf[to - 1])) to--;
    *out = (ac_item){ { x->b->buf + from, to - from }, x->b->offset + from, x->line, x->column };
}

static bool next_in_array(ac_items *x, ac_item *out)
{
    const ac_block *b = x->b;
    size_t from = x->at;
    while (from < b->len && is_space(b->buf[from])) from++;
    if (from == b->len) return false;
    advance(x, from);
    const size_t end = item_end(b->buf, b->len, from);
    give(x, from, end, out);
    advance(x, end < b->len ? end + 1 : end);
    return true;
}

bool ac_items_next(ac_items *x, ac_item *out)
{
    const ac_block *b = x->b;
    if (x->is_array) return next_in_array(x, out);
    while (x->at < b->len) {
        const char *p = b->buf + x->at, *lf = memchr(p, '\n', b->len - x->at);
        const size_t from = x->at, end = lf ? (size_t)(lf - b->buf) : b->len;
        const size_t line = x->line++;
        x->at = end + (lf ? 1 : 0);
        if (blank(p, end - from)) continue;
        size_t to = end;
        if (to > from && b->buf[to - 1] == '\r') to--;
        *out = (ac_item){ { p, to - from }, b->offset + from, line, 1 };
        return true;
    }
    return false;
}
