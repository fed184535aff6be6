/* formats/json_write.c - writing: by calls, from a tree, and canonically (RFC 8785). */
#include "formats/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ac_json_quote(ac_str *out, ac_view v)
{
    size_t from = 0, i = 0;
    ac_str_append_char(out, '"');
    while (i < v.len) {
        const unsigned char c = (unsigned char)v.ptr[i];
        const size_t n = c < 0x80 ? 1 : ac_utf8_len(v.ptr + i, v.len - i);
        if (n && c >= 0x20 && c != '"' && c != '\\') {
            i += n;
            continue;
        }
        ac_str_append(out, ac_view_slice(v, from, i));
        switch (c) {
        case '"': ac_str_append_c(out, "\\\""); break;
        case '\\': ac_str_append_c(out, "\\\\"); break;
        case '\b': ac_str_append_c(out, "\\b"); break;
        case '\f': ac_str_append_c(out, "\\f"); break;
        case '\n': ac_str_append_c(out, "\\n"); break;
        case '\r': ac_str_append_c(out, "\\r"); break;
        case '\t': ac_str_append_c(out, "\\t"); break;
        default:
            if (c < 0x20) ac_str_appendf(out, "\\u%04x", c);
            else ac_str_append_c(out, "\xef\xbf\xbd");
        }
        from = ++i;
    }
    ac_str_append(out, ac_view_slice(v, from, v.len));
    ac_str_append_char(out, '"');
}

/* ---- by calls ---- */

void ac_jw_init(ac_jw *w, ac_str *out, bool pretty)
{
    *w = (ac_jw){ .out = out, .pretty = pretty };
}

static void new_line(ac_jw *w)
{
    if (!w->pretty) return;
    ac_str_append_char(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++) ac_str_append_c(w->out, "  ");
}

/* Comma, place and key of the value that comes next. */
static void before(ac_jw *w, const char *key)
{
    if (w->need_comma) ac_str_append_char(w->out, ',');
    if (w->depth) new_line(w);
    if (key) {
        ac_json_quote(w->out, ac_view_of(key));
        ac_str_append_c(w->out, w->pretty ? ": " : ":");
    }
    w->need_comma = true;
}

static void begin(ac_jw *w, const char *key, char bracket)
{
    before(w, key);
    ac_str_append_char(w->out, bracket);
    w->depth++;
    w->need_comma = false;
}

static void end(ac_jw *w, char bracket)
{
    if (w->depth) w->depth--;
    if (w->need_comma) new_line(w);      /* an empty one stays {} */
    ac_str_append_char(w->out, bracket);
    w->need_comma = true;
}

void ac_jw_object(ac_jw *w, const char *key) { begin(w, key, '{'); }
void ac_jw_array(ac_jw *w, const char *key) { begin(w, key, '['); }
void ac_jw_end_object(ac_jw *w) { end(w, '}'); }
void ac_jw_end_array(ac_jw *w) { end(w, ']'); }

void ac_jw_str(ac_jw *w, const char *key, ac_view v)
{
    before(w, key);
    ac_json_quote(w->out, v);
}

void ac_jw_cstr(ac_jw *w, const char *key, const char *v)
{
    if (v) ac_jw_str(w, key, ac_view_of(v));
    else ac_jw_null(w, key);
}

void ac_jw_i64(ac_jw *w, const char *key, int64_t v)
{
    before(w, key);
    ac_str_appendf(w->out, "%lld", (long long)v);
}

void ac_jw_u64(ac_jw *w, const char *key, uint64_t v)
{
    before(w, key);
    ac_str_appendf(w->out, "%llu", (unsigned long long)v);
}

void ac_jw_f64(ac_jw *w, const char *key, double v)
{
    char text[48];
    before(w, key);
    if (isfinite(v)) ac_format_f64(text, v);
    else memcpy(text, "null", 5);
    ac_str_append_c(w->out, text);
}

void ac_jw_bool(ac_jw *w, const char *key, bool v)
{
    before(w, key);
    ac_str_append_c(w->out, v ? "true" : "false");
}

void ac_jw_null(ac_jw *w, const char *key)
{
    before(w, key);
    ac_str_append_c(w->out, "null");
}

void ac_jw_json(ac_jw *w, const char *key, ac_view json)
{
    before(w, key);
    ac_str_append(w->out, json);
}

/* ---- canonical numbers ---- */

/* Digits and decimal exponent of a shortest form: value = 0.d1d2.. x 10^point. */
static size_t shortest_digits(double v, char d[32], int *point)
{
    char text[48];
    size_t n = 0;
    int exponent = 0, before_point = 0;
    bool in_fraction = false;
    ac_format_f64(text, v);
    for (const char *p = text; *p; p++) {
        if (*p == '.') {
            in_fraction = true;
        } else if (*p == 'e' || *p == 'E') {
            exponent = (int)strtol(p + 1, NULL, 10);
            break;
        } else if (*p >= '0' && *p <= '9') {
            if (n == 0 && *p == '0') {
                if (in_fraction) before_point--;
                continue;
            }
            if (n < 31) d[n++] = *p;
            if (!in_fraction) before_point++;
        }
    }
    while (n > 1 && d[n - 1] == '0') n--;
    *point = before_point + exponent;
    return n;
}

/* As ECMAScript prints a number: plain from 1e-6 up to below 1e21, with an exponent outside. */
static void canonical_double(ac_str *out, double v)
{
    char d[32];
    int point;
    if (v == 0) {
        ac_str_append_char(out, '0');
        return;
    }
    if (v < 0) ac_str_append_char(out, '-');
    const int n = (int)shortest_digits(fabs(v), d, &point);
    if (n <= point && point <= 21) {
        ac_str_append(out, (ac_view){ d, (size_t)n });
        for (int i = n; i < point; i++) ac_str_append_char(out, '0');
    } else if (0 < point && point <= 21) {
        ac_str_appendf(out, "%.*s.%.*s", point, d, n - point, d + point);
    } else if (-6 < point && point <= 0) {
        ac_str_append_c(out, "0.");
        for (int i = point; i < 0; i++) ac_str_append_char(out, '0');
        ac_str_append(out, (ac_view){ d, (size_t)n });
    } else {
        ac_str_append_char(out, d[0]);
        if (n > 1) ac_str_appendf(out, ".%.*s", n - 1, d + 1);
        ac_str_appendf(out, "e%c%d", point > 0 ? '+' : '-', abs(point - 1));
    }
}

static void canonical_number(ac_str *out, const ac_json *v)
{
    int64_t i;
    uint64_t u;
    /* 64-bit integers that a double would round keep their digits: two different values must never
     * have one canonical form. */
    const bool small = fabs(v->number) <= 9007199254740991.0;
    if (!small && (ac_parse_i64(v->text, &i) || ac_parse_u64(v->text, &u)))
        ac_str_append(out, v->text);
    else
        canonical_double(out, v->number);
}

/* ---- trees ---- */

/* Rank of a code point in UTF-16 order: the supplementary planes come before U+E000..U+FFFF. */
static uint32_t utf16_rank(uint32_t cp)
{
    if (cp >= 0x10000) return cp - 0x10000 + 0xd800;
    return cp >= 0xd800 ? cp + 0x100000 : cp;
}

static int key_order(const void *pa, const void *pb)
{
    const ac_view a = (*(const ac_json *const *)pa)->key, b = (*(const ac_json *const *)pb)->key;
    size_t i = 0, j = 0;
    while (i < a.len && j < b.len) {
        uint32_t ca = (unsigned char)a.ptr[i], cb = (unsigned char)b.ptr[j];
        const size_t na = ac_utf8_decode(a.ptr + i, a.len - i, &ca);
        const size_t nb = ac_utf8_decode(b.ptr + j, b.len - j, &cb);
        if (ca != cb) return utf16_rank(ca) < utf16_rank(cb) ? -1 : 1;
        i += na ? na : 1;
        j += nb ? nb : 1;
    }
    return i < a.len ? 1 : j < b.len ? -1 : 0;
}

typedef struct {
    ac_str *out;
    ac_arena scratch;
    bool canonical;
} tree_writer;

static void write_value(tree_writer *t, const ac_json *v);

static void write_member(tree_writer *t, const ac_json *v, bool first)
{
    if (!first) ac_str_append_char(t->out, ',');
    ac_json_quote(t->out, v->key);
    ac_str_append_char(t->out, ':');
    write_value(t, v);
}

static void write_sorted(tree_writer *t, const ac_json *object)
{
    const ac_json **member = ac_arena_alloc_array(&t->scratch, object->n, sizeof *member);
    size_t n = 0;
    if (!member) {
        t->out->failed = true;
        return;
    }
    for (const ac_json *c = object->child; c && n < object->n; c = c->next) member[n++] = c;
    if (n) qsort(member, n, sizeof *member, key_order);
    for (size_t i = 0; i < n; i++) write_member(t, member[i], i == 0);
}

/* Recursion is bounded by the reader's depth limit (J1). */
static void write_value(tree_writer *t, const ac_json *v)
{
    switch (v->type) {
    case AC_JSON_NULL: ac_str_append_c(t->out, "null"); return;
    case AC_JSON_BOOL: ac_str_append_c(t->out, v->boolean ? "true" : "false"); return;
    case AC_JSON_STRING: ac_json_quote(t->out, v->text); return;
    case AC_JSON_NUMBER:
        if (t->canonical) canonical_number(t->out, v);
        else ac_str_append(t->out, v->text);
        return;
    case AC_JSON_ARRAY:
        ac_str_append_char(t->out, '[');
        for (const ac_json *c = v->child; c; c = c->next) {
            if (c != v->child) ac_str_append_char(t->out, ',');
            write_value(t, c);
        }
        ac_str_append_char(t->out, ']');
        return;
    case AC_JSON_OBJECT:
        ac_str_append_char(t->out, '{');
        if (t->canonical) {
            write_sorted(t, v);
        } else {
            for (const ac_json *c = v->child; c; c = c->next) write_member(t, c, c == v->child);
        }
        ac_str_append_char(t->out, '}');
        return;
    }
}

void ac_json_canonical(ac_str *out, const ac_json *v)
{
    tree_writer t = { .out = out, .canonical = true };
    write_value(&t, v);
    ac_arena_release(&t.scratch);
}

void ac_json_write(ac_str *out, const ac_json *v)
{
    tree_writer t = { .out = out };
    write_value(&t, v);
}
