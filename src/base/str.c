#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

#include "base/mem.h"
#include "base/secret.h"
#include "base/size.h"

/* ---- views ---- */

ac_view ac_view_of(const char *s)
{
    return (ac_view){ s, s ? strlen(s) : 0 };
}

bool ac_view_eq(ac_view a, ac_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool ac_view_eq_str(ac_view a, const char *b)
{
    return ac_view_eq(a, ac_view_of(b));
}

bool ac_view_starts(ac_view v, ac_view prefix)
{
    return v.len >= prefix.len && ac_view_eq((ac_view){ v.ptr, prefix.len }, prefix);
}

bool ac_view_ends(ac_view v, ac_view suffix)
{
    if (v.len < suffix.len) return false;
    if (suffix.len == 0) return true;
    return memcmp(v.ptr + (v.len - suffix.len), suffix.ptr, suffix.len) == 0;
}

size_t ac_view_find(ac_view v, ac_view needle, size_t from)
{
    if (from > v.len || needle.len > v.len - from) return SIZE_MAX;
    if (needle.len == 0) return from;
    const char *hit = memmem(v.ptr + from, v.len - from, needle.ptr, needle.len);
    return hit ? (size_t)(hit - v.ptr) : SIZE_MAX;
}

ac_view ac_view_slice(ac_view v, size_t from, size_t to)
{
    if (to > v.len) to = v.len;
    if (from > to) from = to;
    return (ac_view){ v.ptr ? v.ptr + from : NULL, to - from };
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

ac_view ac_view_trim(ac_view v)
{
    while (v.len && is_space(v.ptr[0])) {
        v.ptr++;
        v.len--;
    }
    while (v.len && is_space(v.ptr[v.len - 1])) v.len--;
    return v;
}

int ac_view_cmp(ac_view a, ac_view b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (c) return c;
    return a.len < b.len ? -1 : a.len > b.len;
}

uint64_t ac_view_hash(ac_view v)
{
    const uint64_t m = 0x9E3779B97F4A7C15u;
    uint64_t h = v.len * m;
    size_t i = 0;
    for (; v.len - i >= 8; i += 8) {
        uint64_t w;
        memcpy(&w, v.ptr + i, 8);
        h = (h ^ w) * m;
        h ^= h >> 32;
    }
    uint64_t tail = 0;
    for (unsigned shift = 0; i < v.len; i++, shift += 8)
        tail |= (uint64_t)(unsigned char)v.ptr[i] << shift;
    h = (h ^ tail) * m;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ (h >> 32);
}

/* ---- growing strings ---- */

#define STR_MAX_DEFAULT ((size_t)1 << 30)

/* Room for `more` bytes and the NUL; false and failed when there is none. */
static bool reserve(ac_str *s, size_t more)
{
    if (s->failed) return false;
    const size_t max = s->max_bytes ? s->max_bytes : STR_MAX_DEFAULT;
    size_t need, with_nul;
    if (!ac_size_add(&need, s->len, more) || need > max || !ac_size_add(&with_nul, need, 1)) {
        s->failed = true;
        return false;
    }
    if (with_nul <= s->cap) return true;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < with_nul) cap = cap > SIZE_MAX / 2 ? with_nul : cap * 2;
    char *p = s->secret ? ac_malloc(cap) : ac_realloc(s->ptr, cap);
    if (!p) {
        s->failed = true;
        return false;
    }
    if (s->secret && s->ptr) {                      /* realloc would leave the old bytes behind */
        memcpy(p, s->ptr, s->cap < cap ? s->cap : cap);
        ac_wipe(s->ptr, s->cap);
        ac_free(s->ptr);
    }
    s->ptr = p;
    s->cap = cap;
    return true;
}

void ac_str_append(ac_str *s, ac_view text)
{
    if (!reserve(s, text.len)) return;
    if (text.len) memcpy(s->ptr + s->len, text.ptr, text.len);
    s->len += text.len;
    s->ptr[s->len] = '\0';
}

void ac_str_append_c(ac_str *s, const char *text)
{
    ac_str_append(s, ac_view_of(text));
}

void ac_str_append_char(ac_str *s, char c)
{
    if (!reserve(s, 1)) return;
    s->ptr[s->len++] = c;
    s->ptr[s->len] = '\0';
}

void ac_str_appendf(ac_str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ac_str_vappendf(s, fmt, ap);
    va_end(ap);
}

/* The C locale; NULL only if the system cannot give one (glibc's is a constant). */
static locale_t c_locale(void)
{
    static _Atomic(locale_t) cached;
    locale_t l = cached;
    if (l) return l;
    l = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t none = (locale_t)0;
    if (l && !atomic_compare_exchange_strong(&cached, &none, l)) {
        freelocale(l);
        l = none;
    }
    return l;
}

/* vsnprintf whose decimal point is a point. */
static int format_c(char *out, size_t size, const char *fmt, va_list ap)
{
    const locale_t c = c_locale();
    const locale_t old = c ? uselocale(c) : (locale_t)0;
    const int n = vsnprintf(out, size, fmt, ap);
    if (c) (void)uselocale(old);
    return n;
}

void ac_str_vappendf(ac_str *s, const char *fmt, va_list ap)
{
    if (!reserve(s, 0)) return;
    va_list again;
    va_copy(again, ap);
    const size_t room = s->cap - s->len;
    const int n = format_c(s->ptr + s->len, room, fmt, ap);
    if (n < 0) s->failed = true;
    else if (reserve(s, (size_t)n)) {
        if ((size_t)n >= room) (void)format_c(s->ptr + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
    s->ptr[s->len] = '\0';               /* after a failure: nothing is kept in part */
}

void ac_str_reset(ac_str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->ptr) s->ptr[0] = '\0';
}

void ac_str_release(ac_str *s)
{
    const size_t max = s->max_bytes;
    if (s->secret && s->ptr) ac_wipe(s->ptr, s->cap);
    ac_free(s->ptr);
    *s = (ac_str){ .max_bytes = max };
}

bool ac_str_ok(const ac_str *s)
{
    return !s->failed;
}

ac_view ac_str_view(const ac_str *s)
{
    return (ac_view){ s->ptr, s->len };
}

const char *ac_str_c(const ac_str *s)
{
    return s->ptr ? s->ptr : "";
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool ac_parse_u64(ac_view v, uint64_t *out)
{
    uint64_t n = 0;
    if (v.len == 0) return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!is_digit(v.ptr[i])) return false;
        const uint64_t d = (uint64_t)(v.ptr[i] - '0');
        if (n > (UINT64_MAX - d) / 10) return false;
        n = n * 10 + d;
    }
    *out = n;
    return true;
}

bool ac_parse_i64(ac_view v, int64_t *out)
{
    const bool minus = v.len > 0 && v.ptr[0] == '-';
    uint64_t n;
    if (!ac_parse_u64(ac_view_slice(v, minus ? 1 : 0, v.len), &n)) return false;
    if (n > (uint64_t)INT64_MAX + (minus ? 1u : 0u)) return false;
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

bool ac_parse_size(ac_view v, uint64_t *out)
{
    static const char units[] = "KMGT";
    uint64_t n = 0;
    unsigned shift = 0;
    const char last = v.len ? v.ptr[v.len - 1] : '0';
    const char *unit = last ? strchr(units, last >= 'a' && last <= 'z' ? last - 'a' + 'A' : last) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        v.len--;
    }
    if (!ac_parse_u64(v, &n) || n == 0 || n > UINT64_MAX >> shift) return false;
    *out = n << shift;
    return true;
}

/* A double is decided by its first 767 significant digits and by whether anything follows them,
 * so that numbers of any length are read in a fixed buffer. */
#define KEPT_DIGITS 800

typedef struct {
    char digits[KEPT_DIGITS + 48];
    size_t n;
    int64_t exponent;   /* value = digits x 10^exponent */
    bool sticky;        /* something other than zeros was left out behind the digits */
} decimal;

static void decimal_digit(decimal *d, char c, bool in_fraction)
{
    if (d->n == 1 && d->digits[0] == '0') d->n = 0;      /* leading zeros */
    if (d->n < KEPT_DIGITS) {
        d->digits[d->n++] = c;
        if (in_fraction) d->exponent--;
    } else {
        d->sticky |= c != '0';
        if (!in_fraction) d->exponent++;
    }
}

/* [-]digits[.digits][e[+-]digits], at least one digit in front of or behind the point. */
static bool decimal_read(decimal *d, ac_view v)
{
    size_t i = 0;
    const size_t first = i;
    for (; i < v.len && is_digit(v.ptr[i]); i++) decimal_digit(d, v.ptr[i], false);
    size_t seen = i - first;
    if (i < v.len && v.ptr[i] == '.') {
        const size_t point = ++i;
        for (; i < v.len && is_digit(v.ptr[i]); i++) decimal_digit(d, v.ptr[i], true);
        seen += i - point;
    }
    if (seen == 0) return false;
    if (i < v.len && (v.ptr[i] == 'e' || v.ptr[i] == 'E')) {
        i++;
        bool minus = false;
        if (i < v.len && (v.ptr[i] == '+' || v.ptr[i] == '-')) minus = v.ptr[i++] == '-';
        const size_t start = i;
        int64_t e = 0;
        for (; i < v.len && is_digit(v.ptr[i]); i++)
            if (e < INT64_MAX / 100) e = e * 10 + (v.ptr[i] - '0');
        if (i == start) return false;
        d->exponent += minus ? -e : e;
    }
    return i == v.len;
}

bool ac_parse_f64(ac_view v, double *out)
{
    decimal d = { .n = 0 };
    const bool minus = v.len > 0 && v.ptr[0] == '-';
    if (!decimal_read(&d, ac_view_slice(v, minus ? 1 : 0, v.len))) return false;
    if (d.sticky) {
        d.digits[d.n++] = '1';
        d.exponent--;
    }
    (void)snprintf(d.digits + d.n, sizeof d.digits - d.n, "e%lld", (long long)d.exponent);
    const locale_t c = c_locale();
    const double r = c ? strtod_l(d.digits, NULL, c) : strtod(d.digits, NULL);
    if (!isfinite(r)) return false;
    *out = minus ? -r : r;
    return true;
}

/* At most 24 characters at 17 digits: sign, digits, point, e-308. */
static void print_g(char out[32], int precision, double v)
{
    char text[48] = "";
    const locale_t c = c_locale();
    const locale_t old = c ? uselocale(c) : (locale_t)0;
    (void)snprintf(text, sizeof text, "%.*g", precision, v);
    if (c) (void)uselocale(old);
    text[31] = '\0';
    memcpy(out, text, 32);
}

void ac_format_f64(char *out, double v)
{
    /* A normal double that has a form of 15 digits or fewer prints it at 15, without the zeros. */
    for (int precision = isnormal(v) ? 15 : 1; precision <= 17; precision++) {
        double back;
        print_g(out, precision, v);
        if (!isfinite(v) || (ac_parse_f64(ac_view_of(out), &back) && back == v)) return;
    }
}

/* ---- UTF-8 ---- */

size_t ac_utf8_decode(const char *p, size_t remaining, uint32_t *cp)
{
    if (remaining == 0) return 0;
    const unsigned char *b = (const unsigned char *)p;
    if (b[0] < 0x80) {
        *cp = b[0];
        return 1;
    }
    static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n;
    uint32_t c;
    if ((b[0] & 0xe0) == 0xc0) {
        n = 2;
        c = b[0] & 0x1fu;
    } else if ((b[0] & 0xf0) == 0xe0) {
        n = 3;
        c = b[0] & 0x0fu;
    } else if ((b[0] & 0xf8) == 0xf0) {
        n = 4;
        c = b[0] & 0x07u;
    } else {
        return 0;
    }
    if (remaining < n) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (b[i] & 0x3fu);
    }
    if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
    *cp = c;
    return n;
}

size_t ac_utf8_len(const char *p, size_t remaining)
{
    uint32_t cp;
    return ac_utf8_decode(p, remaining, &cp);
}

size_t ac_utf8_encode(char out[4], uint32_t cp)
{
    unsigned char *b = (unsigned char *)out;
    if (cp < 0x80) {
        b[0] = (unsigned char)cp;
        return 1;
    }
    if (cp < 0x800) {
        b[0] = (unsigned char)(0xc0 | cp >> 6);
        b[1] = (unsigned char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) return 0;
    if (cp < 0x10000) {
        b[0] = (unsigned char)(0xe0 | cp >> 12);
        b[1] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
        b[2] = (unsigned char)(0x80 | (cp & 0x3f));
        return 3;
    }
    b[0] = (unsigned char)(0xf0 | cp >> 18);
    b[1] = (unsigned char)(0x80 | (cp >> 12 & 0x3f));
    b[2] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
    b[3] = (unsigned char)(0x80 | (cp & 0x3f));
    return 4;
}

bool ac_utf8_valid(ac_view v, size_t *bad_offset)
{
    for (size_t i = 0; i < v.len;) {
        const size_t n = ac_utf8_len(v.ptr + i, v.len - i);
        if (n == 0) {
            if (bad_offset) *bad_offset = i;
            return false;
        }
        i += n;
    }
    return true;
}

/* ---- edit distance ---- */

#define EDIT_MAX 128

unsigned ac_edit_distance(ac_view a, ac_view b, unsigned cap)
{
    if (a.len > EDIT_MAX || b.len > EDIT_MAX) return ac_view_eq(a, b) ? 0 : cap;
    unsigned row[EDIT_MAX + 1];
    for (unsigned j = 0; j <= b.len; j++) row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            const unsigned above = row[j];
            unsigned best = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b.len] < cap ? row[b.len] : cap;
}
