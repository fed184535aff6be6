/* formats/json.c - the reader: one pass, no recursion, every byte looked at once. */
#include "formats/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/size.h"
#include "formats/names_int.h"

#define MAX_DEPTH          64
#define DEFAULT_MAX_BYTES  ((size_t)1 << 30)
#define DEFAULT_MAX_VALUES ((size_t)32 << 20)
#define FEW_KEYS           8          /* up to here comparing all pairs beats hashing */
#define POOL_MAX           ((size_t)64 << 10)

typedef struct {
    const char *begin, *p, *end;
    ac_arena *arena;
    const char *name;
    size_t first_line, first_column;
    ac_err *err;
    size_t values_left;
    char *pool;                       /* decoded strings are packed into pieces of the arena */
    size_t pool_left, pool_size;
    ac_names names;                   /* scratch for duplicate keys, used when an object closes */
    ac_view key;                      /* of the value to come, inside an object */
    unsigned depth;
    struct {
        ac_json *node, *last;
    } open[MAX_DEPTH];
} reader;

void ac_json_place(ac_view text, size_t offset, size_t *line, size_t *column)
{
    if (offset > text.len) offset = text.len;
    size_t n_line = 1, n_col = 1;
    for (size_t i = 0; i < offset; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n') {
            n_line++;
            n_col = 1;
        } else if ((c & 0xc0) != 0x80) {   /* columns count characters, not bytes */
            n_col++;
        }
    }
    *line = n_line;
    *column = n_col;
}

static ac_status refuse_at(reader *r, const char *at, const char *fmt, ...) AC_PRINTF(3, 4);
static ac_status refuse_at(reader *r, const char *at, const char *fmt, ...)
{
    size_t line, column;
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    ac_json_place((ac_view){ r->begin, (size_t)(r->end - r->begin) }, (size_t)(at - r->begin), &line, &column);
    if (line == 1) column += r->first_column - 1;
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu:%zu: %s", r->name, r->first_line + line - 1, column, what);
}

/* "expected X, found Y" where Y is what stands at the place. */
static ac_status unexpected(reader *r, const char *expected)
{
    if (r->p == r->end)
        return refuse_at(r, r->p, "the text ends where %s was expected; it is cut off", expected);
    const unsigned char c = (unsigned char)*r->p;
    if (c > 0x20 && c < 0x7f)
        return refuse_at(r, r->p, "expected %s, found '%c'; fix the JSON here", expected, c);
    return refuse_at(r, r->p, "expected %s, found byte 0x%02x; fix the JSON here", expected, c);
}

static ac_status no_memory(reader *r, size_t bytes)
{
    if (r->arena->max_bytes)
        return ac_fail(r->err, AC_ENOMEM, "%s: needs more than the %zu bytes allowed for reading it",
                       r->name, r->arena->max_bytes);
    return ac_fail_nomem(r->err, bytes);
}

static void skip_space(reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t')) r->p++;
}

/* ---- strings ---- */

static char *pool_take(reader *r, size_t bytes)
{
    if (bytes > r->pool_left) {
        if (bytes > POOL_MAX / 4) return ac_arena_alloc(r->arena, bytes);
        r->pool_size = r->pool_size ? r->pool_size * 2 : 256;
        if (r->pool_size > POOL_MAX) r->pool_size = POOL_MAX;
        if (r->pool_size < bytes) r->pool_size = bytes;
        r->pool = ac_arena_alloc(r->arena, r->pool_size);
        if (!r->pool) {
            r->pool_left = 0;
            return NULL;
        }
        r->pool_left = r->pool_size;
    }
    char *out = r->pool;
    r->pool += bytes;
    r->pool_left -= bytes;
    return out;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Four hex digits behind \u; false when they are not there. */
static bool hex4(const reader *r, const char *p, uint32_t *out)
{
    uint32_t v = 0;
    if (r->end - p < 4) return false;
    for (int i = 0; i < 4; i++) {
        const int d = hex_digit(p[i]);
        if (d < 0) return false;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return true;
}

/* r->p stands on the u of \uXXXX; a pair of surrogates is one character. */
static ac_status unicode_escape(reader *r, char **out)
{
    const char *at = r->p - 1;
    uint32_t cp, low;
    if (!hex4(r, r->p + 1, &cp)) return refuse_at(r, at, "\\u needs four hexadecimal digits");
    r->p += 5;
    if (cp >= 0xdc00 && cp <= 0xdfff)
        return refuse_at(r, at, "\\u%04x is the second half of a surrogate pair without its first; "
                         "write the character itself", (unsigned)cp);
    if (cp >= 0xd800 && cp <= 0xdbff) {
        if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u' || !hex4(r, r->p + 2, &low)
            || low < 0xdc00 || low > 0xdfff)
            return refuse_at(r, at, "\\u%04x is the first half of a surrogate pair without its second; "
                             "write the character itself", (unsigned)cp);
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        r->p += 6;
    }
    *out += ac_utf8_encode(*out, cp);
    return AC_OK;
}

static ac_status escape(reader *r, char **out)
{
    r->p++;                                        /* the backslash */
    if (r->p == r->end) return refuse_at(r, r->p, "the text ends inside a string; it is cut off");
    char c = *r->p;
    switch (c) {
    case '"': case '\\': case '/': break;
    case 'b': c = '\b'; break;
    case 'f': c = '\f'; break;
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 't': c = '\t'; break;
    case 'u': return unicode_escape(r, out);
    default:
        return refuse_at(r, r->p - 1, "unknown escape in a string; only \\\" \\\\ \\/ \\b \\f \\n \\r \\t "
                         "and \\uXXXX exist in JSON");
    }
    *(*out)++ = c;
    r->p++;
    return AC_OK;
}

/* The string's end, its bytes checked; *escapes tells whether decoding is needed. r->p stands behind
 * the opening quote and is left there. */
static ac_status scan_string(reader *r, const char **close, bool *escapes)
{
    const char *p = r->p;
    *escapes = false;
    while (p < r->end && *p != '"') {
        const unsigned char c = (unsigned char)*p;
        if (c == '\\') {
            *escapes = true;
            p += r->end - p > 1 ? 2 : 1;           /* what follows is judged while decoding */
            if ((unsigned char)p[-1] >= 0x80) p--;
        } else if (c >= 0x80) {
            const size_t n = ac_utf8_len(p, (size_t)(r->end - p));
            if (!n)
                return refuse_at(r, p, "byte 0x%02x is not valid UTF-8; save the file as UTF-8", c);
            p += n;
        } else if (c < 0x20) {
            return refuse_at(r, p, "control character 0x%02x inside a string; write it as \\u%04x", c, c);
        } else {
            p++;
        }
    }
    if (p >= r->end)
        return refuse_at(r, r->p - 1, "this string is never closed; the text is cut off or a quote is missing");
    *close = p;
    return AC_OK;
}

/* r->p stands on the opening quote. A decoded string is never longer than its literal. */
static ac_status read_string(reader *r, ac_view *out)
{
    const char *close = r->p;
    bool escapes = false;
    r->p++;
    const ac_status scanned = scan_string(r, &close, &escapes);
    if (scanned) return scanned;
    const size_t len = (size_t)(close - r->p);
    char *text = pool_take(r, len + 1), *w = text;
    if (!text) return no_memory(r, len + 1);
    if (!escapes) {
        memcpy(text, r->p, len);
        w = text + len;
        r->p = close;
    }
    while (r->p < close) {
        if (*r->p == '\\') {
            const ac_status st = escape(r, &w);
            if (st) return st;
        } else {
            *w++ = *r->p++;
        }
    }
    *w = '\0';
    r->p = close + 1;
    *out = (ac_view){ text, (size_t)(w - text) };
    return AC_OK;
}

/* ---- numbers and words ---- */

static bool digits(reader *r)
{
    const char *from = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    return r->p > from;
}

static ac_status scan_number(reader *r, bool *integer)
{
    *integer = true;
    if (*r->p == '-') r->p++;
    const char *first = r->p;
    if (!digits(r)) return unexpected(r, "a digit");
    if (*first == '0' && r->p - first > 1)
        return refuse_at(r, first, "a number must not begin with 0; leave the zero out or quote the value");
    if (r->p < r->end && *r->p == '.') {
        *integer = false;
        r->p++;
        if (!digits(r)) return unexpected(r, "a digit behind the point");
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        *integer = false;
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
        if (!digits(r)) return unexpected(r, "a digit of the exponent");
    }
    return AC_OK;
}

static ac_status read_number(reader *r, ac_json *v)
{
    const char *from = r->p;
    bool integer;
    int64_t i;
    const ac_status st = scan_number(r, &integer);
    if (st) return st;
    const size_t len = (size_t)(r->p - from);
    char *text = pool_take(r, len + 1);
    if (!text) return no_memory(r, len + 1);
    memcpy(text, from, len);
    text[len] = '\0';
    v->type = AC_JSON_NUMBER;
    v->text = (ac_view){ text, len };
    if (integer && len <= 15 && text[0] != '-' && ac_parse_i64(v->text, &i)) {
        v->number = (double)i;                     /* below 10^15: exact */
        return AC_OK;
    }
    if (!ac_parse_f64(v->text, &v->number))
        return refuse_at(r, from, "this number lies outside the range of a double (about 1.8e308); "
                         "write a smaller one");
    return AC_OK;
}

static bool word(reader *r, const char *w)
{
    const size_t n = strlen(w);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n) != 0) return false;
    r->p += n;
    return true;
}

/* ---- values ---- */

static ac_status duplicate(reader *r, const ac_json *again)
{
    return refuse_at(r, r->begin + again->offset, "key \"%.*s\" stands twice in the same object; keep one of the two",
                     again->key.len > 80 ? 80 : (int)again->key.len, again->key.ptr);
}

/* Few keys are compared with each other, many go through a hash set. */
static ac_status check_keys(reader *r, const ac_json *object)
{
    if (object->n <= FEW_KEYS) {
        for (const ac_json *a = object->child; a; a = a->next)
            for (const ac_json *b = a->next; b; b = b->next)
                if (ac_view_eq(a->key, b->key)) return duplicate(r, b);
        return AC_OK;
    }
    const ac_status st = ac_names_reset(&r->names, object->n, r->err);
    if (st) return st;
    for (const ac_json *a = object->child; a; a = a->next)
        if (ac_names_add(&r->names, &a->key, 0)) return duplicate(r, a);
    return AC_OK;
}

static ac_status new_value(reader *r, ac_json **out)
{
    if (r->values_left == 0)
        return refuse_at(r, r->p, "more values than are read here; split the file");
    r->values_left--;
    ac_json *v = ac_arena_alloc(r->arena, sizeof *v);
    if (!v) return no_memory(r, sizeof *v);
    v->offset = (size_t)(r->p - r->begin);
    if (r->depth) {
        ac_json *parent = r->open[r->depth - 1].node, *last = r->open[r->depth - 1].last;
        if (parent->n == UINT32_MAX) return refuse_at(r, r->p, "too many values in one place; split the file");
        if (parent->type == AC_JSON_OBJECT) v->key = r->key;
        if (last) last->next = v;
        else parent->child = v;
        r->open[r->depth - 1].last = v;
        parent->n++;
    }
    *out = v;
    return AC_OK;
}

static ac_status open_value(reader *r, ac_json *v, ac_json_type type)
{
    if (r->depth == MAX_DEPTH)
        return refuse_at(r, r->p, "nested deeper than %d levels; flatten the structure", MAX_DEPTH);
    v->type = type;
    r->open[r->depth].node = v;
    r->open[r->depth].last = NULL;
    r->depth++;
    r->p++;
    return AC_OK;
}

/* Reads one value's beginning: a scalar whole, an array's or object's bracket. */
static ac_status read_value(reader *r, ac_json **out)
{
    skip_space(r);
    if (r->p == r->end) return unexpected(r, "a value");
    ac_json *v = NULL;
    ac_status st = new_value(r, &v);
    if (st) return st;
    *out = v;
    switch (*r->p) {
    case '{': return open_value(r, v, AC_JSON_OBJECT);
    case '[': return open_value(r, v, AC_JSON_ARRAY);
    case '"':
        v->type = AC_JSON_STRING;
        return read_string(r, &v->text);
    case 't': case 'f': {
        const bool t = *r->p == 't';
        v->type = AC_JSON_BOOL;
        v->boolean = t;
        return word(r, t ? "true" : "false") ? AC_OK : unexpected(r, "a value (true, false, null, ...)");
    }
    case 'n':
        v->type = AC_JSON_NULL;
        return word(r, "null") ? AC_OK : unexpected(r, "a value (true, false, null, ...)");
    default:
        if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) return read_number(r, v);
        return unexpected(r, "a value");
    }
}

/* A key and its colon; r->p stands where the key should. */
static ac_status read_key(reader *r)
{
    skip_space(r);
    if (r->p == r->end || *r->p != '"') return unexpected(r, "a key in double quotes");
    const ac_status st = read_string(r, &r->key);
    if (st) return st;
    skip_space(r);
    if (r->p == r->end || *r->p != ':') return unexpected(r, "':' behind the key");
    r->p++;
    return AC_OK;
}

static ac_status close_value(reader *r)
{
    const ac_json *v = r->open[--r->depth].node;
    r->p++;
    return v->type == AC_JSON_OBJECT ? check_keys(r, v) : AC_OK;
}

/* Behind a value: closes what ends here; *more says that another value follows. */
static ac_status after_value(reader *r, bool *more)
{
    *more = false;
    while (r->depth) {
        const bool object = r->open[r->depth - 1].node->type == AC_JSON_OBJECT;
        skip_space(r);
        const char c = r->p < r->end ? *r->p : '\0';
        if (c == ',') {
            r->p++;
            *more = true;
            return object ? read_key(r) : AC_OK;
        }
        if (c != (object ? '}' : ']'))
            return unexpected(r, object ? "',' or '}'" : "',' or ']'");
        const ac_status st = close_value(r);
        if (st) return st;
    }
    return AC_OK;
}

/* Just behind an opening bracket: an empty one closes at once. */
static ac_status after_open(reader *r, bool *empty)
{
    const bool object = r->open[r->depth - 1].node->type == AC_JSON_OBJECT;
    skip_space(r);
    *empty = r->p < r->end && *r->p == (object ? '}' : ']');
    if (*empty) return close_value(r);
    return object ? read_key(r) : AC_OK;
}

static ac_status read_all(reader *r, ac_json **root)
{
    ac_status st = AC_OK;
    bool more = true;
    *root = NULL;
    while (more && !st) {
        ac_json *v = NULL;
        const unsigned depth = r->depth;
        st = read_value(r, &v);
        if (st) break;
        if (!*root) *root = v;
        bool empty = true;
        if (r->depth > depth) st = after_open(r, &empty);
        if (!st && empty) st = after_value(r, &more);
    }
    if (st) return st;
    skip_space(r);
    if (r->p < r->end)
        return refuse_at(r, r->p, "more text behind the value; a file or line holds one JSON value");
    return AC_OK;
}

static ac_status check_beginning(reader *r, size_t len, size_t max_bytes)
{
    if (len > max_bytes)
        return ac_fail(r->err, AC_EFORMAT, "%s: has %zu bytes of JSON; at most %zu are read here", r->name,
                       len, max_bytes);
    if (len >= 3 && memcmp(r->begin, "\xef\xbb\xbf", 3) == 0)
        return refuse_at(r, r->p, "begins with a byte order mark; save the file as UTF-8 without BOM");
    if (len >= 2 && (memcmp(r->begin, "\xff\xfe", 2) == 0 || memcmp(r->begin, "\xfe\xff", 2) == 0))
        return refuse_at(r, r->p, "is UTF-16; save the file as UTF-8");
    skip_space(r);
    if (r->p == r->end) return refuse_at(r, r->begin, "is empty; one JSON value was expected");
    return AC_OK;
}

ac_status ac_json_parse(const ac_json **out, ac_view text, ac_arena *a, const char *name,
                        size_t first_line, const ac_json_limits *limits, ac_err *err)
{
    const char *begin = text.ptr ? text.ptr : "";
    reader r = { .begin = begin, .p = begin, .end = begin + text.len, .arena = a, .name = name,
                 .first_line = first_line ? first_line : 1, .err = err };
    r.first_column = limits && limits->first_column ? limits->first_column : 1;
    r.values_left = limits && limits->max_values ? limits->max_values : DEFAULT_MAX_VALUES;
    ac_json *root = NULL;
    ac_status st = check_beginning(&r, text.len,
                                   limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES);
    if (!st) st = read_all(&r, &root);
    ac_names_release(&r.names);
    if (!st) *out = root;
    return st;
}

ac_status ac_json_parse_file(const ac_json **out, const char *path, ac_arena *a,
                             const ac_json_limits *limits, ac_err *err)
{
    const size_t max = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES;
    ac_str text = { .max_bytes = max };
    ac_status st = ac_file_read(&text, path, max, err);
    if (!st) st = ac_json_parse(out, ac_str_view(&text), a, path, 1, limits, err);
    ac_str_release(&text);               /* nodes own their strings */
    return st;
}
