/* Character classes and normal form C over utf8proc's tables. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "tokenizer/tokenizer_int.h"

/* White_Space of Unicode, which \s means in Oniguruma and in Rust's regex crate. */
static bool is_space(uint32_t cp)
{
    if (cp <= 0x20) return cp == 0x20 || (cp >= 9 && cp <= 13);
    if (cp < 0x1680) return cp == 0x85 || cp == 0xa0;
    return cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f ||
           cp == 0x205f || cp == 0x3000;
}

static ac_char_class class_of(uint32_t cp)
{
    if (is_space(cp)) return AC_CH_SPACE;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO:
        return AC_CH_LETTER;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO:
        return AC_CH_NUMBER;
    default:
        return AC_CH_OTHER;
    }
}

ac_char_class ac_char_class_at(const char *p, size_t remaining, size_t *len)
{
    const unsigned char c = (unsigned char)*p;
    uint32_t cp;
    *len = 1;
    if (c < 0x80) {
        const unsigned char low = c | 0x20;
        if (low >= 'a' && low <= 'z') return AC_CH_LETTER;
        if (c >= '0' && c <= '9') return AC_CH_NUMBER;
        return is_space(c) ? AC_CH_SPACE : AC_CH_OTHER;
    }
    const size_t n = ac_utf8_decode(p, remaining, &cp);
    if (n == 0) return AC_CH_OTHER;
    *len = n;
    return class_of(cp);
}

bool ac_char_is_punctuation(const char *p, size_t remaining, size_t *len)
{
    uint32_t cp;
    const size_t n = ac_utf8_decode(p, remaining, &cp);
    *len = n ? n : 1;
    if (n == 0) return false;
    if (cp < 0x80)
        return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
               (cp >= '{' && cp <= '~');
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE: case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return true;
    default:
        return false;
    }
}

/* ---- normal form C ----
 * Characters below U+0300 are starters that never combine with what stands before them, so the text is cut in
 * front of each of them and only the pieces with something above are worked on. utf8proc's own way sorts long
 * runs of marks in quadratic time, so the three steps are done here: decompose, sort marks, compose. */

#define FIRST_MARK 0x300u

bool ac_needs_nfc(ac_view text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0xcc) return true;     /* lead byte of U+0300 */
    return false;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Marks by combining class, those of one class in their order: (class, place, character) in one number. */
static ac_status sort_marks(int32_t *cp, size_t n, ac_err *err)
{
    uint64_t few[64], *key = n <= AC_COUNTOF(few) ? few : ac_malloc(n * sizeof *key);
    if (!key) return ac_fail_nomem(err, n * sizeof *key);
    for (size_t i = 0; i < n; i++) {
        const uint64_t ccc = (uint64_t)utf8proc_get_property(cp[i])->combining_class;
        key[i] = ccc << 53 | (uint64_t)i << 21 | (uint32_t)cp[i];
    }
    qsort(key, n, sizeof *key, by_value);
    for (size_t i = 0; i < n; i++) cp[i] = (int32_t)(key[i] & 0x1fffff);
    if (key != few) ac_free(key);
    return AC_OK;
}

static ac_status reorder(int32_t *cp, size_t n, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < n;) {
        size_t end = i;
        bool sorted = true;
        int last = 0;
        while (end < n) {
            const int ccc = utf8proc_get_property(cp[end])->combining_class;
            if (ccc == 0) break;
            sorted = sorted && ccc >= last;
            last = ccc;
            end++;
        }
        if (!sorted) st = sort_marks(cp + i, end - i, err);
        i = end + 1;
    }
    return st;
}

/* One piece of valid UTF-8; cp has room for 4 times its bytes. */
static ac_status compose_piece(ac_str *out, ac_view piece, int32_t *cp, ac_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < piece.len;) {
        uint32_t c = 0;
        int boundary = 0;
        const size_t len = ac_utf8_decode(piece.ptr + i, piece.len - i, &c);
        const utf8proc_ssize_t got = utf8proc_decompose_char((utf8proc_int32_t)c, cp + n, 4,
                                                             UTF8PROC_DECOMPOSE, &boundary);
        if (len == 0 || got < 1 || got > 4) return ac_fail(err, AC_ESTATE, "normal form C: bad decomposition");
        n += (size_t)got;
        i += len;
    }
    const ac_status st = reorder(cp, n, err);
    if (st) return st;
    const utf8proc_ssize_t m = utf8proc_normalize_utf32(cp, (utf8proc_ssize_t)n,
                                                        UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (utf8proc_ssize_t i = 0; i < m; i++) {
        char utf8[4];
        const size_t len = ac_utf8_encode(utf8, (uint32_t)cp[i]);
        ac_str_append(out, (ac_view){ utf8, len });
    }
    return m < 0 ? ac_fail(err, AC_ESTATE, "normal form C: %s", utf8proc_errmsg(m)) : AC_OK;
}

/* End of the piece that begins at from, which is cut before a character below U+0300 or a bad byte.
 * marked: something of U+0300 or above is in it. */
static size_t piece_end(ac_view text, size_t from, bool *marked)
{
    size_t at = from;
    *marked = false;
    while (at < text.len) {
        uint32_t cp = 0;
        const size_t len = ac_utf8_decode(text.ptr + at, text.len - at, &cp);
        if (len == 0) return at > from ? at : at + 1;
        if (cp < FIRST_MARK && at > from) return at;
        *marked = *marked || cp >= FIRST_MARK;
        at += len;
    }
    return at;
}

ac_status ac_normalize_nfc(ac_str *out, ac_view text, ac_err *err)
{
    int32_t *cp = NULL;
    size_t cap = 0;
    ac_status st = AC_OK;
    for (size_t at = 0; !st && at < text.len;) {
        bool marked;
        const size_t end = piece_end(text, at, &marked);
        const ac_view piece = ac_view_slice(text, at, end);
        at = end;
        if (!marked) {
            ac_str_append(out, piece);
            continue;
        }
        /* A character of U+0300 or above has two bytes or more and at most four parts. */
        if (piece.len * 2 + 8 > cap) {
            cap = piece.len * 4 + 64;
            ac_free(cp);
            cp = ac_malloc(cap * sizeof *cp);
            if (!cp) return ac_fail_nomem(err, cap * sizeof *cp);
        }
        st = compose_piece(out, piece, cp, err);
    }
    ac_free(cp);
    return st;
}
