/* formats/toml.c - TOML 1.0, strictly (toml.h). Debian has no C library for it.
 *
 * A table remembers how it came to be, for that decides what may still be added: [a.b] makes a implicitly, and [a] may
 * follow once; a table made by a.b = 1 or written inline is closed to headers. */
#include "formats/toml.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 32u
#define MAX_BYTES ((size_t)4 << 20)
#define MAX_KEYS  4096u

typedef enum { IMPLICIT, DEFINED, DOTTED, INLINE, TABLES /* an array of them */, PLAIN } how;

typedef struct node node;
struct node {
    ac_json j;                  /* first, so that the tree is one of ac_json */
    node *last;
    how how;
};

typedef struct {
    ac_view t;
    size_t at;
    const char *name;
    ac_arena *arena;
    ac_err *err;
    ac_str scratch;
    unsigned depth;
} reader;

static ac_status refuse_at(reader *r, size_t offset, const char *finding)
{
    size_t line, column;
    ac_json_place(r->t, offset, &line, &column);
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu:%zu: %s", r->name, line, column, finding);
}

static ac_status refuse(reader *r, const char *finding)
{
    return refuse_at(r, r->at, finding);
}

/* ---- characters ---- */

static char peek(const reader *r, size_t ahead)
{
    return r->at + ahead < r->t.len ? r->t.ptr[r->at + ahead] : '\0';
}

static bool at_end(const reader *r)
{
    return r->at >= r->t.len;
}

static bool take(reader *r, const char *text)
{
    const size_t n = strlen(text);
    if (r->t.len - r->at < n || memcmp(r->t.ptr + r->at, text, n) != 0) return false;
    r->at += n;
    return true;
}

static bool control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static bool newline(reader *r)
{
    return take(r, "\n") || take(r, "\r\n");
}

static void blanks(reader *r)
{
    while (!at_end(r) && (peek(r, 0) == ' ' || peek(r, 0) == '\t')) r->at++;
}

static ac_status comment(reader *r)
{
    blanks(r);
    if (at_end(r) || peek(r, 0) != '#') return AC_OK;
    while (!at_end(r) && peek(r, 0) != '\n' && !(peek(r, 0) == '\r' && peek(r, 1) == '\n')) {
        if (control(peek(r, 0))) return refuse(r, "a control character in a comment");
        r->at++;
    }
    return AC_OK;
}

/* Blanks, comments and line ends, as between the values of an array. */
static ac_status gap(reader *r)
{
    do {
        const ac_status st = comment(r);
        if (st) return st;
    } while (newline(r));
    return AC_OK;
}

static ac_status line_end(reader *r)
{
    const ac_status st = comment(r);
    if (st) return st;
    return at_end(r) || newline(r) ? AC_OK : refuse(r, "expected the end of the line");
}

/* ---- nodes ---- */

static node *make(reader *r, ac_json_type type, how h, size_t offset)
{
    node *n = ac_arena_alloc(r->arena, sizeof *n);
    if (!n) {
        (void)ac_fail_nomem(r->err, sizeof *n);
        return NULL;
    }
    n->j.type = type;
    n->j.offset = offset;
    n->how = h;
    return n;
}

static void append(node *parent, node *child)
{
    if (parent->last) parent->last->j.next = &child->j;
    else parent->j.child = &child->j;
    parent->last = child;
    parent->j.n++;
}

static node *find(node *table, ac_view key)
{
    for (const ac_json *c = table->j.child; c; c = c->next)
        if (ac_view_eq(c->key, key)) return (node *)(uintptr_t)c;      /* ours: every node of the tree is */
    return NULL;
}

static ac_status put(reader *r, node *table, ac_view key, node *child)
{
    if (table->j.n >= MAX_KEYS) return refuse(r, "too many keys in one table");
    child->j.key = key;
    append(table, child);
    return AC_OK;
}

/* ---- strings ---- */

static ac_status keep(reader *r, ac_view *out)
{
    char *copy = ac_str_ok(&r->scratch) ? ac_arena_strndup(r->arena, ac_str_c(&r->scratch), r->scratch.len) : NULL;
    if (!copy) return ac_fail_nomem(r->err, r->scratch.len);
    *out = (ac_view){ copy, r->scratch.len };
    return AC_OK;
}

static ac_status unicode_escape(reader *r, size_t digits)
{
    uint32_t cp = 0;
    char bytes[4];
    for (size_t i = 0; i < digits; i++) {
        const char c = peek(r, 0);
        unsigned d;
        if (c >= '0' && c <= '9') d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f') d = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F') d = (unsigned)(c - 'A') + 10;
        else return refuse(r, "expected hexadecimal digits after \\u (4) or \\U (8)");
        cp = cp << 4 | d;
        r->at++;
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) return refuse(r, "the escape names no character");
    ac_str_append(&r->scratch, (ac_view){ bytes, ac_utf8_encode(bytes, cp) });
    return AC_OK;
}

static ac_status escape(reader *r, bool multi)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    const char c = peek(r, 0), *p = c ? strchr(from, c) : NULL;
    if (p) {
        ac_str_append_char(&r->scratch, to[p - from]);
        r->at++;
        return AC_OK;
    }
    if (c == 'u' || c == 'U') {
        r->at++;
        return unicode_escape(r, c == 'u' ? 4 : 8);
    }
    if (multi) {                                     /* a backslash before the line's end joins lines */
        const size_t back = r->at;
        blanks(r);
        if (newline(r)) {
            do blanks(r);
            while (newline(r));
            return AC_OK;
        }
        r->at = back;
    }
    return refuse(r, "unknown escape; a 'literal' string takes backslashes as they are");
}

/* Behind the opening quotes. */
static ac_status string_body(reader *r, char quote, bool multi, size_t start)
{
    ac_str_reset(&r->scratch);
    if (multi) (void)newline(r);
    for (;;) {
        if (at_end(r)) return refuse_at(r, start, "the string never ends");
        const char c = peek(r, 0);
        if (c == quote && !multi) {
            r->at++;
            return AC_OK;
        }
        if (c == quote && peek(r, 1) == quote && peek(r, 2) == quote) {
            r->at += 3;
            for (int i = 0; i < 2 && peek(r, 0) == quote; i++, r->at++) ac_str_append_char(&r->scratch, quote);
            return AC_OK;
        }
        if (c == '\\' && quote == '"') {
            r->at++;
            const ac_status st = escape(r, multi);
            if (st) return st;
            continue;
        }
        if (multi && newline(r)) {
            ac_str_append_char(&r->scratch, '\n');
            continue;
        }
        if (control(c)) return refuse(r, "a control character or line end in the string");
        ac_str_append_char(&r->scratch, c);
        r->at++;
    }
}

static ac_status string(reader *r, ac_view *out)
{
    const size_t start = r->at;
    const char quote = peek(r, 0);
    const bool multi = peek(r, 1) == quote && peek(r, 2) == quote;
    r->at += multi ? 3 : 1;
    const ac_status st = string_body(r, quote, multi, start);
    return st ? st : keep(r, out);
}

/* ---- keys ---- */

static bool bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static ac_status key_part(reader *r, ac_view *out)
{
    const char c = peek(r, 0);
    if (c == '"' || c == '\'') {
        if (peek(r, 1) == c && peek(r, 2) == c) return refuse(r, "a key cannot be a multi-line string");
        return string(r, out);
    }
    const size_t from = r->at;
    while (!at_end(r) && bare(peek(r, 0))) r->at++;
    if (r->at == from) return refuse(r, "expected a key");
    char *copy = ac_arena_strndup(r->arena, r->t.ptr + from, r->at - from);
    if (!copy) return ac_fail_nomem(r->err, r->at - from);
    *out = (ac_view){ copy, r->at - from };
    return AC_OK;
}

static ac_status key_path(reader *r, ac_view part[MAX_DEPTH], size_t *n)
{
    *n = 0;
    for (;;) {
        blanks(r);
        if (*n == MAX_DEPTH) return refuse(r, "nested too deeply");
        const ac_status st = key_part(r, &part[*n]);
        if (st) return st;
        ++*n;
        blanks(r);
        if (!take(r, ".")) return AC_OK;
    }
}

/* ---- values ---- */

static ac_status value(reader *r, node **out);

static bool is_digit(char c, unsigned base)
{
    if (base == 16 && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) return true;
    return c >= '0' && c < (char)('0' + (base < 10 ? base : 10));
}

/* Digits with single underscores between them, which are dropped. */
static bool digits(ac_view v, size_t *at, unsigned base, ac_str *out)
{
    bool any = false;
    for (; *at < v.len; ++*at) {
        const char c = v.ptr[*at];
        if (c == '_') {
            if (!any || *at + 1 >= v.len || !is_digit(v.ptr[*at + 1], base) || v.ptr[*at - 1] == '_') return false;
        } else if (is_digit(c, base)) {
            any = true;
            ac_str_append_char(out, c);
        } else break;
    }
    return any;
}

static ac_status radix(reader *r, ac_view v, node *n)
{
    const unsigned base = v.ptr[1] == 'x' ? 16 : v.ptr[1] == 'o' ? 8 : 2;
    size_t at = 2;
    uint64_t x = 0;
    if (!digits(v, &at, base, &r->scratch) || at != v.len) return refuse_at(r, n->j.offset, "bad number");
    for (size_t i = 0; i < r->scratch.len; i++) {
        const char c = r->scratch.ptr[i];
        const unsigned d = c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 32) - 'a' + 10;
        if (x > (uint64_t)INT64_MAX / base) return refuse_at(r, n->j.offset, "the number needs more than 64 bits");
        x = x * base + d;
        if (x > (uint64_t)INT64_MAX) return refuse_at(r, n->j.offset, "the number needs more than 64 bits");
    }
    ac_str_reset(&r->scratch);
    ac_str_appendf(&r->scratch, "%llu", (unsigned long long)x);
    return AC_OK;
}

static ac_status decimal(reader *r, ac_view v, node *n)
{
    size_t at = 0;
    bool whole = true;
    if (v.ptr[0] == '+' || v.ptr[0] == '-') {
        if (v.ptr[0] == '-') ac_str_append_char(&r->scratch, '-');
        at++;
    }
    const size_t first = at;
    bool good = digits(v, &at, 10, &r->scratch) && !(v.ptr[first] == '0' && at > first + 1);
    if (good && at < v.len && v.ptr[at] == '.') {
        ac_str_append_char(&r->scratch, '.');
        at++;
        whole = false;
        good = digits(v, &at, 10, &r->scratch);
    }
    if (good && at < v.len && (v.ptr[at] == 'e' || v.ptr[at] == 'E')) {
        ac_str_append_char(&r->scratch, 'e');
        at++;
        whole = false;
        if (at < v.len && (v.ptr[at] == '+' || v.ptr[at] == '-')) ac_str_append_char(&r->scratch, v.ptr[at++]);
        good = digits(v, &at, 10, &r->scratch);
    }
    int64_t x;
    if (!good || at != v.len) return refuse_at(r, n->j.offset, "expected a value: a string, number, true, false, [ or {");
    if (whole && ac_str_ok(&r->scratch) && !ac_parse_i64(ac_str_view(&r->scratch), &x))
        return refuse_at(r, n->j.offset, "the number needs more than 64 bits");
    return AC_OK;
}

static bool looks_like_date(ac_view v)
{
    return (v.len >= 10 && v.ptr[4] == '-' && v.ptr[7] == '-') || (v.len >= 5 && v.ptr[2] == ':');
}

static ac_status scalar(reader *r, node *n)
{
    const size_t from = r->at;
    while (!at_end(r) && (bare(peek(r, 0)) || strchr("+.:", peek(r, 0)))) {
        if (peek(r, 0) == '\0') break;
        r->at++;
    }
    const ac_view v = ac_view_slice(r->t, from, r->at);
    if (ac_view_eq_str(v, "true") || ac_view_eq_str(v, "false")) {
        n->j.type = AC_JSON_BOOL;
        n->j.boolean = v.len == 4;
        return AC_OK;
    }
    if (!v.len) return refuse_at(r, from, "expected a value: a string, number, true, false, [ or {");
    if (looks_like_date(v)) return refuse_at(r, from, "dates and times are not supported; write a string");
    const ac_view plain = v.ptr[0] == '+' || v.ptr[0] == '-' ? ac_view_slice(v, 1, v.len) : v;
    if (ac_view_eq_str(plain, "inf") || ac_view_eq_str(plain, "nan")) return refuse_at(r, from, "not a finite number");
    n->j.type = AC_JSON_NUMBER;
    ac_str_reset(&r->scratch);
    const bool prefixed = v.len > 2 && v.ptr[0] == '0' && strchr("xob", v.ptr[1]);
    ac_status st = prefixed ? radix(r, v, n) : decimal(r, v, n);
    if (!st) st = keep(r, &n->j.text);
    if (!st && !ac_parse_f64(n->j.text, &n->j.number)) st = refuse_at(r, from, "the number is out of range");
    return st;
}

static ac_status array(reader *r, node *n)
{
    n->j.type = AC_JSON_ARRAY;
    r->at++;
    for (;;) {
        node *item = NULL;
        ac_status st = gap(r);
        if (!st && take(r, "]")) return AC_OK;
        if (!st && at_end(r)) st = refuse_at(r, n->j.offset, "the array never ends");
        if (!st) st = value(r, &item);
        if (!st) append(n, item);
        if (!st) st = gap(r);
        if (st) return st;
        if (take(r, ",")) continue;
        if (take(r, "]")) return AC_OK;
        return at_end(r) ? refuse_at(r, n->j.offset, "the array never ends") : refuse(r, "expected , or ] in the array");
    }
}

static ac_status assign(reader *r, node *table);

static ac_status inline_table(reader *r, node *n)
{
    n->j.type = AC_JSON_OBJECT;
    r->at++;
    blanks(r);
    if (take(r, "}")) return AC_OK;
    for (;;) {
        const ac_status st = assign(r, n);
        if (st) return st;
        blanks(r);
        if (take(r, "}")) return AC_OK;
        if (!take(r, ",")) return refuse(r, "expected , or } in the inline table");
    }
}

static void close_inline(node *n)
{
    n->how = INLINE;
    for (const ac_json *c = n->j.child; c; c = c->next)
        if (c->type == AC_JSON_OBJECT) close_inline((node *)(uintptr_t)c);
}

static ac_status value(reader *r, node **out)
{
    node *n = make(r, AC_JSON_NULL, PLAIN, r->at);
    ac_status st;
    if (!n) return AC_ENOMEM;
    if (++r->depth > MAX_DEPTH) return refuse(r, "nested too deeply");
    const char c = peek(r, 0);
    if (c == '"' || c == '\'') {
        n->j.type = AC_JSON_STRING;
        st = string(r, &n->j.text);
    } else if (c == '[') st = array(r, n);
    else if (c == '{') {
        n->how = DEFINED;
        st = inline_table(r, n);
        if (!st) close_inline(n);
    } else st = scalar(r, n);
    r->depth--;
    if (!st) *out = n;
    return st;
}

/* a.b.c = value, from the given table on. */
static ac_status assign(reader *r, node *table)
{
    ac_view part[MAX_DEPTH];
    size_t n;
    node *v = NULL;
    const size_t start = r->at;
    ac_status st = key_path(r, part, &n);
    for (size_t i = 0; !st && i + 1 < n; i++) {
        node *next = find(table, part[i]);
        if (!next) {
            if (!(next = make(r, AC_JSON_OBJECT, DOTTED, start))) return AC_ENOMEM;
            st = put(r, table, part[i], next);
        } else if (next->how != DOTTED) {
            st = refuse_at(r, start, "the key reaches into a table that was closed, or into a value");
        }
        table = next;
    }
    if (!st && find(table, part[n - 1])) st = refuse_at(r, start, "the key is there already");
    if (!st) {
        blanks(r);
        if (!take(r, "=")) st = refuse(r, "expected = after the key");
    }
    blanks(r);
    if (!st) st = value(r, &v);
    return st ? st : put(r, table, part[n - 1], v);
}

/* ---- headers ---- */

static ac_status open_last(reader *r, node *table, ac_view key, bool list, size_t start, node **out)
{
    node *there = find(table, key);
    if (!list) {
        if (there && (there->j.type != AC_JSON_OBJECT || there->how != IMPLICIT))
            return refuse_at(r, start, "the table is there already");
        if (there) there->how = DEFINED;
        else if (!(there = make(r, AC_JSON_OBJECT, DEFINED, start))) return AC_ENOMEM;
        else {
            const ac_status st = put(r, table, key, there);
            if (st) return st;
        }
        *out = there;
        return AC_OK;
    }
    if (there && there->how != TABLES) return refuse_at(r, start, "the name is no array of tables");
    if (!there) {
        if (!(there = make(r, AC_JSON_ARRAY, TABLES, start))) return AC_ENOMEM;
        const ac_status st = put(r, table, key, there);
        if (st) return st;
    }
    node *item = make(r, AC_JSON_OBJECT, DEFINED, start);
    if (!item) return AC_ENOMEM;
    append(there, item);
    *out = item;
    return AC_OK;
}

static ac_status header(reader *r, node *root, node **out)
{
    ac_view part[MAX_DEPTH];
    size_t n;
    const size_t start = r->at;
    const bool list = peek(r, 1) == '[';
    node *table = root;
    r->at += list ? 2 : 1;
    ac_status st = key_path(r, part, &n);
    if (!st && !take(r, list ? "]]" : "]")) st = refuse(r, list ? "expected ]] after the name" : "expected ] after the name");
    for (size_t i = 0; !st && i + 1 < n; i++) {
        node *next = find(table, part[i]);
        if (!next) {
            if (!(next = make(r, AC_JSON_OBJECT, IMPLICIT, start))) return AC_ENOMEM;
            st = put(r, table, part[i], next);
        } else if (next->how == TABLES) next = next->last;
        else if (next->j.type != AC_JSON_OBJECT || next->how == INLINE)
            st = refuse_at(r, start, "the header reaches into a value");
        table = next;
    }
    return st ? st : open_last(r, table, part[n - 1], list, start, out);
}

ac_status ac_toml_parse(const ac_json **out, ac_view text, ac_arena *a, const char *name, ac_err *err)
{
    reader r = { .t = text, .name = name, .arena = a, .err = err };
    size_t bad = 0;
    if (text.len > MAX_BYTES) return ac_fail(err, AC_EFORMAT, "%s: over %zu MiB", name, MAX_BYTES >> 20);
    if (!ac_utf8_valid(text, &bad)) return refuse_at(&r, bad, "not UTF-8");
    node *root = make(&r, AC_JSON_OBJECT, DEFINED, 0), *table = root;
    ac_status st = root ? AC_OK : AC_ENOMEM;
    while (!st && !at_end(&r)) {
        if ((st = comment(&r)) || newline(&r) || at_end(&r)) continue;
        st = peek(&r, 0) == '[' ? header(&r, root, &table) : assign(&r, table);
        if (!st) st = line_end(&r);
    }
    ac_str_release(&r.scratch);
    if (!st) *out = &root->j;
    return st;
}
