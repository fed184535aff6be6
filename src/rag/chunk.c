/* rag/chunk.c - cuts a document into chunks.
 *
 * A section runs from heading to heading. It is taken apart into pieces (sentences, lines) whose tokens are
 * counted; a chunk is a run of neighbouring pieces, so its text is a slice of the document as it stands there.
 * Chunks end at paragraphs where that leaves them at least half full, and begin with the last pieces of the one
 * before (the overlap). */
#include "rag/rag_int.h"

#include <string.h>
#include "base/size.h"

#define CHUNKS_MAX ((size_t)1 << 20)
#define LEVELS     6

typedef struct {
    size_t begin, end, tokens;
    bool paragraph;            /* the first of its paragraph */
} piece;

typedef struct {
    ac_rag_list_of_chunks *out;
    ac_view source, text;
    const ac_tokenizer *tok;
    const ac_rag_opts *o;
    ac_arena *a;
    ac_err *err;
    ac_ids ids;
    piece *piece;
    size_t n, cap;
    ac_view level[LEVELS];     /* open headings */
} chunker;

static ac_status count_tokens(chunker *c, size_t begin, size_t end, size_t *out)
{
    ac_ids_reset(&c->ids);
    const ac_status st = ac_tokenizer_encode(c->tok, ac_view_slice(c->text, begin, end), 0, &c->ids, c->err);
    if (!st) *out = c->ids.n;
    return st;
}

static ac_status push_piece(chunker *c, piece p)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64, bytes;
        if (!ac_size_mul(&bytes, cap, sizeof p)) return ac_fail_nomem(c->err, cap);
        piece *all = ac_realloc(c->piece, bytes);
        if (!all) return ac_fail_nomem(c->err, bytes);
        c->piece = all;
        c->cap = cap;
    }
    c->piece[c->n++] = p;
    return AC_OK;
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || ch == '\f' || ch == '\v';
}

/* ---- pieces ---- */

/* Where to cut near `want` bytes behind begin: after white space if there is some in the second half, else
 * between two characters; always forward. */
static size_t cut_near(const chunker *c, size_t begin, size_t end, size_t want)
{
    size_t at = want >= end - begin ? end : begin + want;
    if (at == end) return end;
    for (size_t i = at; i > begin + want / 2; i--)
        if (is_space(c->text.ptr[i - 1])) return i;
    while (at > begin && ((unsigned char)c->text.ptr[at] & 0xc0) == 0x80) at--;
    if (at > begin) return at;
    for (at = begin + 1; at < end && ((unsigned char)c->text.ptr[at] & 0xc0) == 0x80;) at++;
    return at;
}

/* A sentence that alone is larger than a chunk: a table row, a base64 blob, text without stops. */
static ac_status push_large(chunker *c, size_t begin, size_t end, size_t tokens, bool paragraph)
{
    const size_t limit = c->o->chunk_tokens;
    size_t stride = (end - begin) / tokens * limit;         /* bytes that should hold `limit` tokens */
    if (stride == 0) stride = limit;
    while (begin < end) {
        size_t want = stride, at = 0, n = 0;
        for (;;) {
            at = cut_near(c, begin, end, want);
            const ac_status st = count_tokens(c, begin, at, &n);
            if (st) return st;
            if (n <= limit || want <= 1 || at - begin <= 4) break;
            want /= 2;
        }
        const ac_status st = push_piece(c, (piece){ begin, at, n, paragraph });
        if (st) return st;
        paragraph = false;
        begin = at;
    }
    return AC_OK;
}

static ac_status push_sentence(chunker *c, size_t begin, size_t end, bool paragraph)
{
    size_t tokens = 0;
    const ac_status st = count_tokens(c, begin, end, &tokens);
    if (st) return st;
    if (tokens > c->o->chunk_tokens) return push_large(c, begin, end, tokens, paragraph);
    return push_piece(c, (piece){ begin, end, tokens, paragraph });
}

/* The end of the sentence or line that begins at `at`, white space behind it included. */
static size_t sentence_end(ac_view t, size_t at, size_t end)
{
    for (size_t i = at; i < end; i++) {
        const char ch = t.ptr[i];
        const bool stop = (ch == '.' || ch == '!' || ch == '?') && (i + 1 == end || is_space(t.ptr[i + 1]));
        if (ch != '\n' && !stop) continue;
        for (i++; i < end && is_space(t.ptr[i]); i++) { }
        return i;
    }
    return end;
}

static bool blank_line_between(ac_view t, size_t from, size_t to)
{
    int lines = 0;
    for (size_t i = from; i < to; i++) lines += t.ptr[i] == '\n';
    return lines >= 2;
}

static ac_status take_apart(chunker *c, size_t begin, size_t end)
{
    bool paragraph = true;
    c->n = 0;
    while (begin < end && is_space(c->text.ptr[begin])) begin++;
    while (begin < end) {
        const size_t next = sentence_end(c->text, begin, end);
        size_t last = next;
        while (last > begin && is_space(c->text.ptr[last - 1])) last--;
        const ac_status st = push_sentence(c, begin, last, paragraph);
        if (st) return st;
        paragraph = blank_line_between(c->text, last, next);
        begin = next;
    }
    return AC_OK;
}

/* ---- chunks ---- */

static ac_status push_chunk(chunker *c, ac_view heading, size_t begin, size_t end)
{
    ac_rag_list_of_chunks *l = c->out;
    if (l->n == CHUNKS_MAX)
        return ac_fail(c->err, AC_EFORMAT, "more than %zu chunks; use fewer documents or larger chunks", CHUNKS_MAX);
    if (l->n == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 64;
        ac_rag_chunk *p = ac_realloc(l->chunk, cap * sizeof *p);
        if (!p) return ac_fail_nomem(c->err, cap * sizeof *p);
        l->chunk = p;
        l->cap = cap;
    }
    l->chunk[l->n++] = (ac_rag_chunk){ c->source, heading, ac_view_slice(c->text, begin, end) };
    return AC_OK;
}

/* The end of the chunk that begins with piece `first`. */
static size_t chunk_end(const chunker *c, size_t first)
{
    size_t sum = c->piece[first].tokens, at = first + 1, paragraph = 0;
    while (at < c->n && sum + c->piece[at].tokens <= c->o->chunk_tokens) {
        if (c->piece[at].paragraph && sum * 2 >= c->o->chunk_tokens) paragraph = at;
        sum += c->piece[at++].tokens;
    }
    if (at < c->n && c->piece[at].paragraph) return at;
    return at < c->n && paragraph ? paragraph : at;
}

/* Where the next chunk begins: some pieces back from `end`, as far as the overlap reaches and the first new
 * piece still fits behind them; always after the chunk before began. */
static size_t next_begin(const chunker *c, size_t first, size_t end)
{
    size_t at = end, sum = 0;
    while (at > first + 1) {
        const size_t more = sum + c->piece[at - 1].tokens;
        if (more > c->o->overlap_tokens || more + c->piece[end].tokens > c->o->chunk_tokens) break;
        sum = more;
        at--;
    }
    return at;
}

static ac_status heading_path(const chunker *c, ac_view *out)
{
    ac_str s = { 0 };
    for (size_t i = 0; i < LEVELS; i++) {
        if (!c->level[i].len) continue;
        if (s.len) ac_str_append_c(&s, " > ");
        ac_str_append(&s, c->level[i]);
    }
    char *own = ac_str_ok(&s) ? ac_arena_strndup(c->a, ac_str_c(&s), s.len) : NULL;
    const size_t len = s.len;
    ac_str_release(&s);
    if (!own) return ac_fail_nomem(c->err, len);
    *out = (ac_view){ own, len };
    return AC_OK;
}

static ac_status section(chunker *c, size_t begin, size_t end)
{
    ac_view heading = { NULL, 0 };
    ac_status st = take_apart(c, begin, end);
    if (!st && c->n) st = heading_path(c, &heading);
    for (size_t i = 0; i < c->n && !st;) {
        const size_t last = chunk_end(c, i);
        st = push_chunk(c, heading, c->piece[i].begin, c->piece[last - 1].end);
        if (last == c->n) break;
        i = next_begin(c, i, last);
    }
    return st;
}

/* ---- headings ---- */

static size_t line_end(ac_view t, size_t at)
{
    const char *lf = memchr(t.ptr + at, '\n', t.len - at);
    return lf ? (size_t)(lf - t.ptr) : t.len;
}

/* "## Title ##": the level, and the title without marks; 0 when the line is no heading. */
static size_t heading_of(ac_view line, ac_view *title)
{
    size_t i = 0, level = 0;
    while (i < line.len && i < 3 && line.ptr[i] == ' ') i++;
    while (i < line.len && line.ptr[i] == '#') i++, level++;
    if (level == 0 || level > LEVELS || (i < line.len && line.ptr[i] != ' ' && line.ptr[i] != '\t')) return 0;
    ac_view t = ac_view_trim(ac_view_slice(line, i, line.len));
    size_t n = t.len;
    while (n && t.ptr[n - 1] == '#') n--;
    if (n < t.len && (n == 0 || is_space(t.ptr[n - 1]))) t = ac_view_trim(ac_view_slice(t, 0, n));
    *title = t;
    return level;
}

/* ``` or ~~~ opens a block in which # is no heading; the same mark closes it. */
static void fence(ac_view line, char *open)
{
    const ac_view t = ac_view_trim(line);
    if (t.len < 3 || (t.ptr[0] != '`' && t.ptr[0] != '~') || t.ptr[1] != t.ptr[0] || t.ptr[2] != t.ptr[0]) return;
    if (!*open) *open = t.ptr[0];
    else if (*open == t.ptr[0]) *open = 0;
}

static ac_status walk(chunker *c, bool markdown)
{
    size_t begin = 0;
    char open = 0;
    ac_status st = AC_OK;
    for (size_t at = 0; markdown && at < c->text.len && !st;) {
        const size_t end = line_end(c->text, at);
        const ac_view line = ac_view_slice(c->text, at, end);
        ac_view title = { NULL, 0 };
        fence(line, &open);
        const size_t level = open ? 0 : heading_of(line, &title);
        if (level) {
            st = section(c, begin, at);
            c->level[level - 1] = title;
            for (size_t i = level; i < LEVELS; i++) c->level[i] = (ac_view){ NULL, 0 };
            begin = end;
        }
        at = end < c->text.len ? end + 1 : end;
    }
    return st ? st : section(c, begin, c->text.len);
}

ac_status ac_rag_chunk_doc(ac_rag_list_of_chunks *out, ac_view source, ac_view text, bool markdown,
                           const ac_tokenizer *tok, const ac_rag_opts *o, ac_arena *a, ac_err *err)
{
    chunker c = { .out = out, .source = source, .text = text, .tok = tok, .o = o, .a = a, .err = err };
    const ac_status st = walk(&c, markdown);
    ac_ids_release(&c.ids);
    ac_free(c.piece);
    return st;
}
