/* formats/json.h - strict, bounded JSON (RFC 8259) as a tree in an arena, and a writer.
 *
 * J1  One complete value, UTF-8 only, no BOM, no comments, no NaN; depth at most 64; duplicate keys are an
 *     error; lone surrogates are an error; numbers outside binary64's range are an error.
 * J2  Each node knows where it stood: offset in the text, from which line and column are computed.
 * J3  Strings and number literals are decoded into the arena, NUL-terminated; a string contains NUL only
 *     where \u0000 stood. The text may be dropped after parsing.
 * J4  The parser is iterative; memory is 80 bytes a value plus the decoded strings.
 * The YAML reader (formats/yaml.h) gives the same tree, so that code that reads settings has one form. */
#ifndef AC_FORMATS_JSON_H
#define AC_FORMATS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

typedef enum {
    AC_JSON_NULL, AC_JSON_BOOL, AC_JSON_NUMBER, AC_JSON_STRING, AC_JSON_ARRAY, AC_JSON_OBJECT
} ac_json_type;

typedef struct ac_json ac_json;
struct ac_json {
    ac_json_type type;
    uint32_t n;            /* children of an array or object */
    size_t offset;         /* of the value's first byte in the text */
    ac_view key;           /* when the parent is an object */
    ac_view text;          /* STRING: decoded; NUMBER: the literal as written */
    double number;         /* NUMBER */
    bool boolean;          /* BOOL */
    const ac_json *child;  /* first child; then ->next */
    const ac_json *next;
};

typedef struct {
    size_t max_bytes;      /* 0: 1 GiB */
    size_t max_values;     /* 0: 32 million */
    size_t first_column;   /* where the text begins in its first line, for messages; 0: 1 */
} ac_json_limits;

/* Borrows text for the call; nodes and strings live in the arena.
 * name and first_line place messages: "<name>:<line>:<column>: ...". limits may be NULL. */
ac_status ac_json_parse(const ac_json **out, ac_view text, ac_arena *a, const char *name,
                        size_t first_line, const ac_json_limits *limits, ac_err *err);
ac_status ac_json_parse_file(const ac_json **out, const char *path, ac_arena *a,
                             const ac_json_limits *limits, ac_err *err);

const ac_json *ac_json_get(const ac_json *object, const char *key); /* NULL when absent or no object */
const char *ac_json_type_name(ac_json_type t);                      /* "a string" */
/* Typed reads that refuse another type, for files with a fixed layout. Each sets *out on success; a
 * missing key is AC_ENOENT with a message, a wrong type AC_EFORMAT. where names the object. */
ac_status ac_json_get_str(ac_view *out, const ac_json *o, const char *key, const char *where, ac_err *err);
ac_status ac_json_get_i64(int64_t *out, const ac_json *o, const char *key, const char *where, ac_err *err);
ac_status ac_json_get_f64(double *out, const ac_json *o, const char *key, const char *where, ac_err *err);
ac_status ac_json_get_bool(bool *out, const ac_json *o, const char *key, const char *where, ac_err *err);
bool ac_json_as_i64(const ac_json *v, int64_t *out);   /* whole numbers only; 1e3 and 16.0 are */
/* Line and column (from 1) of an offset. */
void ac_json_place(ac_view text, size_t offset, size_t *line, size_t *column);

/* Writer. Pretty (two spaces) or compact; keys in the order written. Failures stay in the ac_str. */
typedef struct {
    ac_str *out;
    unsigned depth;
    bool pretty, need_comma;
} ac_jw;
void ac_jw_init(ac_jw *w, ac_str *out, bool pretty);
void ac_jw_object(ac_jw *w, const char *key);   /* key NULL inside an array or at the top */
void ac_jw_array(ac_jw *w, const char *key);
void ac_jw_end_object(ac_jw *w);
void ac_jw_end_array(ac_jw *w);
void ac_jw_str(ac_jw *w, const char *key, ac_view v);      /* invalid UTF-8 becomes U+FFFD */
void ac_jw_cstr(ac_jw *w, const char *key, const char *v); /* NULL becomes null */
void ac_jw_i64(ac_jw *w, const char *key, int64_t v);
void ac_jw_u64(ac_jw *w, const char *key, uint64_t v);
void ac_jw_f64(ac_jw *w, const char *key, double v);       /* shortest; not finite becomes null */
void ac_jw_bool(ac_jw *w, const char *key, bool v);
void ac_jw_null(ac_jw *w, const char *key);
void ac_jw_json(ac_jw *w, const char *key, ac_view json);  /* as it is: the caller's word that it is one JSON value */
/* Appends a JSON string literal with quotes. */
void ac_json_quote(ac_str *out, ac_view v);
/* Canonical form of a tree (RFC 8785): keys sorted by UTF-16 units, shortest numbers, no spaces. One
 * step beyond it: 64-bit integers over 2^53 keep their digits, so that no two of them look the same. */
void ac_json_canonical(ac_str *out, const ac_json *v);
/* The tree as compact JSON in its own key order. */
void ac_json_write(ac_str *out, const ac_json *v);

#endif
