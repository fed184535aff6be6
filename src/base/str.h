/* base/str.h - views of bytes, and growing strings with a maximum.
 *
 * S1  A view borrows; it need not end in NUL. {NULL, 0} is the empty view and also "none".
 * S2  An ac_str always ends in NUL once it holds anything. It remembers a failure (out of memory,
 *     over max_bytes) and ignores what is appended after it: check ac_str_ok once at the end.
 * S3  Number formatting and parsing never look at the locale. */
#ifndef AC_BASE_STR_H
#define AC_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/err.h"

typedef struct {
    const char *ptr;
    size_t len;
} ac_view;

#define AC_VIEW(literal) ((ac_view){ (literal), sizeof(literal) - 1 })
#define AC_VIEW_FMT      "%.*s"
#define AC_VIEW_ARG(v)   (int)((v).len > 0x7fffffff ? 0x7fffffff : (v).len), ((v).ptr ? (v).ptr : "")

ac_view ac_view_of(const char *s);                       /* s may be NULL */
bool    ac_view_eq(ac_view a, ac_view b);
bool    ac_view_eq_str(ac_view a, const char *b);
bool    ac_view_starts(ac_view v, ac_view prefix);
bool    ac_view_ends(ac_view v, ac_view suffix);
/* Index of the first occurrence at or after from; SIZE_MAX when there is none. */
size_t  ac_view_find(ac_view v, ac_view needle, size_t from);
ac_view ac_view_slice(ac_view v, size_t from, size_t to); /* clamped */
ac_view ac_view_trim(ac_view v);                          /* ASCII white space, both ends */
int     ac_view_cmp(ac_view a, ac_view b);                /* bytewise, as memcmp */
uint64_t ac_view_hash(ac_view v);                         /* not stable across versions */

typedef struct {
    char *ptr;
    size_t len, cap;
    size_t max_bytes;   /* 0: 1 GiB */
    bool failed;
    bool secret;        /* overwritten before its memory is given back */
} ac_str;               /* {0} is a valid empty string */

void ac_str_append(ac_str *s, ac_view text);
void ac_str_append_c(ac_str *s, const char *text);
void ac_str_append_char(ac_str *s, char c);
void ac_str_appendf(ac_str *s, const char *fmt, ...) AC_PRINTF(2, 3);
void ac_str_vappendf(ac_str *s, const char *fmt, va_list ap);
void ac_str_reset(ac_str *s);      /* empties, keeps memory, clears failed */
void ac_str_release(ac_str *s);
bool ac_str_ok(const ac_str *s);
ac_view ac_str_view(const ac_str *s);
const char *ac_str_c(const ac_str *s);   /* "" when empty */

/* The whole view must be a number; no white space, no locale. */
bool ac_parse_i64(ac_view v, int64_t *out);
bool ac_parse_u64(ac_view v, uint64_t *out);
bool ac_parse_size(ac_view v, uint64_t *out);  /* "123456", "900M", "4g": K, M, G, T are powers of 1024; above 0 */
bool ac_parse_f64(ac_view v, double *out);     /* correctly rounded; inf, nan, overflow: false */
/* Shortest decimal that reads back to the same double; out holds at least 32 bytes. */
void ac_format_f64(char *out, double v);

/* Length of the valid UTF-8 sequence at p (1..4), 0 when it is invalid or cut off. */
size_t ac_utf8_len(const char *p, size_t remaining);
/* Decodes one code point; returns its length, 0 when invalid. */
size_t ac_utf8_decode(const char *p, size_t remaining, uint32_t *cp);
size_t ac_utf8_encode(char out[4], uint32_t cp);
bool   ac_utf8_valid(ac_view v, size_t *bad_offset);
/* The end of a counted word: "%zu row%s". */
static inline const char *ac_plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}
/* Levenshtein distance in bytes, at most cap (which then means "cap or more"): for "did you mean" over option and key names. */
unsigned ac_edit_distance(ac_view a, ac_view b, unsigned cap);

#endif
