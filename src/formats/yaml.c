/* formats/yaml.c - libyaml's events into the tree that json.h describes.
 *
 * Only the part of YAML that cannot surprise is read: no anchors, aliases, tags, merge keys or further
 * documents; scalars mean what the core schema of YAML 1.2 says. A number keeps the spelling that JSON
 * would give it, so that writers and the canonical form need no second case. */
#include "formats/yaml.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>
#include "formats/names_int.h"

#define MAX_DEPTH  32
#define MAX_BYTES  ((size_t)1 << 20)

typedef struct {
    yaml_parser_t parser;
    ac_view text;
    const char *name;
    ac_arena *arena;
    ac_err *err;
    size_t mark;                    /* bytes of a byte order mark, which libyaml is not shown */
    size_t chars, bytes;            /* libyaml counts characters; both name the same place */
    ac_names names;
    unsigned depth;
    struct {
        ac_json *node, *last;
        bool have_key;
    } open[MAX_DEPTH];
    ac_view key[MAX_DEPTH];
} reader;

/* Events come in order, so the walk from characters to bytes is one pass over the text. */
static size_t byte_offset(reader *r, size_t chars)
{
    if (chars < r->chars) {
        r->chars = 0;
        r->bytes = r->mark;
    }
    while (r->chars < chars && r->bytes < r->text.len) {
        const size_t n = ac_utf8_len(r->text.ptr + r->bytes, r->text.len - r->bytes);
        r->bytes += n ? n : 1;
        r->chars++;
    }
    return r->bytes;
}

static ac_status refuse(reader *r, yaml_mark_t at, const char *finding)
{
    size_t line, column;
    ac_json_place(r->text, byte_offset(r, at.index), &line, &column);
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu:%zu: %s", r->name, line, column, finding);
}

/* ---- scalars ---- */

static bool one_of(ac_view v, const char *a, const char *b, const char *c)
{
    return ac_view_eq_str(v, a) || ac_view_eq_str(v, b) || ac_view_eq_str(v, c);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(ac_view v, size_t from)
{
    size_t n = 0;
    while (from + n < v.len && is_digit(v.ptr[from + n])) n++;
    return n;
}

typedef enum { NOT_A_NUMBER, NUMBER, LEADING_ZERO, NOT_FINITE, BAD_RADIX } number_kind;

/* 0x1F and 0o17 as decimal digits. */
static number_kind radix_number(ac_view v, char out[64])
{
    const unsigned base = v.ptr[1] == 'x' ? 16 : 8;
    uint64_t n = 0;
    if (v.len < 3) return NOT_A_NUMBER;
    for (size_t i = 2; i < v.len; i++) {
        const char c = v.ptr[i];
        unsigned d = 99;
        if (is_digit(c)) d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f') d = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F') d = (unsigned)(c - 'A') + 10;
        if (d >= base) return NOT_A_NUMBER;
        if (n > (UINT64_MAX - d) / base) return BAD_RADIX;
        n = n * base + d;
    }
    (void)snprintf(out, 64, "%llu", (unsigned long long)n);
    return NUMBER;
}

/* [-+]? ( digits [. digits?] | . digits ) ( [eE] [-+]? digits )? as the core schema has it; JSON's spelling
 * of the same number is appended to out. */
static number_kind decimal_number(ac_view v, ac_str *out)
{
    size_t i = 0;
    const bool minus = v.ptr[0] == '-';
    if (minus || v.ptr[0] == '+') i++;
    const size_t whole = count_digits(v, i), whole_at = i;
    i += whole;
    size_t fraction = 0;
    const bool point = i < v.len && v.ptr[i] == '.';
    if (point) {
        fraction = count_digits(v, ++i);
        i += fraction;
    }
    if (whole + fraction == 0) return NOT_A_NUMBER;
    size_t exponent_at = v.len;
    if (i < v.len && (v.ptr[i] == 'e' || v.ptr[i] == 'E')) {
        exponent_at = i++;
        if (i < v.len && (v.ptr[i] == '-' || v.ptr[i] == '+')) i++;
        const size_t n = count_digits(v, i);
        if (n == 0) return NOT_A_NUMBER;
        i += n;
    }
    if (i != v.len) return NOT_A_NUMBER;
    if (whole > 1 && v.ptr[whole_at] == '0') return LEADING_ZERO;
    if (minus) ac_str_append_char(out, '-');
    ac_str_append(out, whole ? ac_view_slice(v, whole_at, whole_at + whole) : AC_VIEW("0"));
    if (point) {
        ac_str_append_char(out, '.');
        ac_str_append(out, fraction ? ac_view_slice(v, whole_at + whole + 1, whole_at + whole + 1 + fraction)
                                    : AC_VIEW("0"));
    }
    ac_str_append(out, ac_view_slice(v, exponent_at, v.len));
    return NUMBER;
}

static number_kind number_of(ac_view v, ac_str *out)
{
    char text[64];
    const ac_view bare = ac_view_slice(v, v.len && (v.ptr[0] == '-' || v.ptr[0] == '+') ? 1 : 0, v.len);
    if (v.len == 0) return NOT_A_NUMBER;
    if (one_of(bare, ".inf", ".Inf", ".INF") || one_of(v, ".nan", ".NaN", ".NAN")) return NOT_FINITE;
    if (v.len >= 2 && v.ptr[0] == '0' && (v.ptr[1] == 'x' || v.ptr[1] == 'o')) {
        const number_kind k = radix_number(v, text);
        if (k == NUMBER) ac_str_append_c(out, text);
        return k;
    }
    return decimal_number(v, out);
}

static ac_status keep_string(reader *r, ac_view v, ac_view *out)
{
    const char *own = ac_arena_strndup(r->arena, v.ptr, v.len);
    if (!own) return ac_fail_nomem(r->err, v.len);
    *out = (ac_view){ own, v.len };
    return AC_OK;
}

static ac_status plain_scalar(reader *r, ac_json *v, ac_view text, yaml_mark_t at)
{
    if (text.len == 0 || ac_view_eq_str(text, "~") || one_of(text, "null", "Null", "NULL")) {
        v->type = AC_JSON_NULL;
        return AC_OK;
    }
    v->boolean = one_of(text, "true", "True", "TRUE");
    if (v->boolean || one_of(text, "false", "False", "FALSE")) {
        v->type = AC_JSON_BOOL;
        return AC_OK;
    }
    ac_str number = { .max_bytes = MAX_BYTES };
    ac_status st = AC_OK;
    switch (number_of(text, &number)) {
    case NOT_A_NUMBER:
        v->type = AC_JSON_STRING;
        st = keep_string(r, text, &v->text);
        break;
    case NUMBER:
        v->type = AC_JSON_NUMBER;
        if (!ac_str_ok(&number)) st = ac_fail_nomem(r->err, text.len);
        else if (!ac_parse_f64(ac_str_view(&number), &v->number))
            st = refuse(r, at, "this number lies outside the range of a double; write a smaller one");
        else st = keep_string(r, ac_str_view(&number), &v->text);
        break;
    case LEADING_ZERO:
        st = refuse(r, at, "a number must not begin with 0 (some readers take it as octal); leave the zero out, "
                    "or quote the value if it is text");
        break;
    case NOT_FINITE:
        st = refuse(r, at, "infinity and NaN are not allowed; write a finite number or quote the value");
        break;
    case BAD_RADIX:
        st = refuse(r, at, "this number does not fit into 64 bits; write a smaller one");
        break;
    }
    ac_str_release(&number);
    return st;
}

/* ---- nodes ---- */

static ac_status new_node(reader *r, yaml_mark_t at, ac_json **out)
{
    ac_json *v = ac_arena_alloc(r->arena, sizeof *v);
    if (!v) return ac_fail_nomem(r->err, sizeof *v);
    v->offset = byte_offset(r, at.index);
    if (r->depth) {
        ac_json *parent = r->open[r->depth - 1].node, *last = r->open[r->depth - 1].last;
        if (parent->type == AC_JSON_OBJECT) {
            v->key = r->key[r->depth - 1];
            r->open[r->depth - 1].have_key = false;
        }
        if (last) last->next = v;
        else parent->child = v;
        r->open[r->depth - 1].last = v;
        parent->n++;
    }
    *out = v;
    return AC_OK;
}

/* True when the next scalar is a key of the mapping that is open. */
static bool wants_key(const reader *r)
{
    return r->depth && r->open[r->depth - 1].node->type == AC_JSON_OBJECT && !r->open[r->depth - 1].have_key;
}

static ac_status take_key(reader *r, const yaml_event_t *e)
{
    const ac_view text = { (const char *)e->data.scalar.value, e->data.scalar.length };
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && ac_view_eq_str(text, "<<"))
        return refuse(r, e->start_mark, "merge keys (<<) are not read; write the settings out");
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && text.len == 0)
        return refuse(r, e->start_mark, "a key is missing in front of ':'");
    r->open[r->depth - 1].have_key = true;
    return keep_string(r, text, &r->key[r->depth - 1]);
}

static ac_status take_scalar(reader *r, const yaml_event_t *e, ac_json **out)
{
    const ac_view text = { (const char *)e->data.scalar.value, e->data.scalar.length };
    ac_json *v = NULL;
    ac_status st;
    if (e->data.scalar.anchor) return refuse(r, e->start_mark, "anchors (&name) are not read; write the value out");
    if (e->data.scalar.tag) return refuse(r, e->start_mark, "tags (!name) are not read; leave the tag out");
    if (wants_key(r)) return take_key(r, e);
    st = new_node(r, e->start_mark, &v);
    if (st) return st;
    *out = v;
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) return plain_scalar(r, v, text, e->start_mark);
    v->type = AC_JSON_STRING;
    return keep_string(r, text, &v->text);
}

static ac_status take_open(reader *r, const yaml_event_t *e, bool object, ac_json **out)
{
    const yaml_char_t *anchor = object ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
    const yaml_char_t *tag = object ? e->data.mapping_start.tag : e->data.sequence_start.tag;
    if (anchor) return refuse(r, e->start_mark, "anchors (&name) are not read; write the value out");
    if (tag) return refuse(r, e->start_mark, "tags (!name) are not read; leave the tag out");
    if (wants_key(r)) return refuse(r, e->start_mark, "a key must be a plain word or a string");
    if (r->depth == MAX_DEPTH) return refuse(r, e->start_mark, "nested deeper than 32 levels; flatten the structure");
    ac_json *v = NULL;
    const ac_status st = new_node(r, e->start_mark, &v);
    if (st) return st;
    v->type = object ? AC_JSON_OBJECT : AC_JSON_ARRAY;
    r->open[r->depth].node = v;
    r->open[r->depth].last = NULL;
    r->open[r->depth].have_key = false;
    r->depth++;
    *out = v;
    return AC_OK;
}

static ac_status take_close(reader *r)
{
    const ac_json *object = r->open[--r->depth].node;
    if (object->type != AC_JSON_OBJECT) return AC_OK;
    const ac_status st = ac_names_reset(&r->names, object->n, r->err);
    if (st) return st;
    for (const ac_json *v = object->child; v; v = v->next) {
        if (!ac_names_add(&r->names, &v->key, 0)) continue;
        size_t line, column;
        ac_json_place(r->text, v->offset, &line, &column);
        return ac_fail(r->err, AC_EFORMAT, "%s:%zu:%zu: key \"" AC_VIEW_FMT "\" stands twice in the same mapping; keep "
                       "one of the two", r->name, line, column, AC_VIEW_ARG(ac_view_slice(v->key, 0, 80)));
    }
    return AC_OK;
}

static ac_status take_event(reader *r, const yaml_event_t *e, ac_json **root, bool *done)
{
    ac_json *v = NULL;
    ac_status st = AC_OK;
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return refuse(r, e->start_mark, "aliases (*name) are not read; write the value out");
    case YAML_DOCUMENT_START_EVENT:
        if (*root) return refuse(r, e->start_mark, "a second document begins here; a file holds one");
        return AC_OK;
    case YAML_SCALAR_EVENT: st = take_scalar(r, e, &v); break;
    case YAML_SEQUENCE_START_EVENT: st = take_open(r, e, false, &v); break;
    case YAML_MAPPING_START_EVENT: st = take_open(r, e, true, &v); break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return take_close(r);
    case YAML_STREAM_END_EVENT: *done = true; return AC_OK;
    default: return AC_OK;
    }
    if (!st && !*root) *root = v;
    return st;
}

static ac_status parser_error(reader *r)
{
    const yaml_parser_t *p = &r->parser;
    size_t line, column;
    if (p->error == YAML_MEMORY_ERROR) return ac_fail_nomem(r->err, r->text.len);
    const bool by_byte = p->error == YAML_READER_ERROR;    /* this one counts bytes and gives no mark */
    const size_t at = by_byte ? r->mark + p->problem_offset : byte_offset(r, p->problem_mark.index);
    ac_json_place(r->text, at, &line, &column);
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu:%zu: %s%s%s; fix the YAML here", r->name, line, column,
                   p->problem ? p->problem : "cannot be read", p->context ? " " : "", p->context ? p->context : "");
}

static ac_status read_events(reader *r, ac_json **root)
{
    ac_status st = AC_OK;
    bool done = false;
    while (!st && !done) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->parser, &e)) return parser_error(r);
        st = take_event(r, &e, root, &done);
        yaml_event_delete(&e);
    }
    if (!st && !*root)
        return ac_fail(r->err, AC_EFORMAT, "%s:1:1: is empty; one mapping of settings was expected", r->name);
    return st;
}

ac_status ac_yaml_parse(const ac_json **out, ac_view text, ac_arena *a, const char *name, ac_err *err)
{
    size_t bad, line, column;
    if (text.len > MAX_BYTES)
        return ac_fail(err, AC_EFORMAT, "%s: has %zu bytes; settings of at most %zu are read", name, text.len, MAX_BYTES);
    if (!ac_utf8_valid(text, &bad)) {
        ac_json_place(text, bad, &line, &column);
        return ac_fail(err, AC_EFORMAT, "%s:%zu:%zu: is not valid UTF-8; save the file as UTF-8", name, line, column);
    }
    /* libyaml counts a byte order mark as a column: the second key would stand left of the first, and end the mapping. */
    const size_t mark = ac_view_starts(text, AC_VIEW("\xef\xbb\xbf")) ? 3 : 0;
    reader r = { .text = text, .name = name, .arena = a, .err = err, .mark = mark, .bytes = mark };
    if (!yaml_parser_initialize(&r.parser)) return ac_fail_nomem(err, text.len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.ptr ? text.ptr : "") + mark, text.len - mark);
    ac_json *root = NULL;
    const ac_status st = read_events(&r, &root);
    yaml_parser_delete(&r.parser);
    ac_names_release(&r.names);
    if (!st) *out = root;
    return st;
}

const char *ac_yaml_library(void)
{
    return yaml_get_version_string();
}
