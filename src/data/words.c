/* Words: what the checks compare in place of raw text (docs/data.md). */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/size.h"
#include "data/data_int.h"

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t ac_mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t ac_hash_bytes(uint64_t h, ac_view v)
{
    h ^= FNV_START;
    for (size_t i = 0; i < v.len; i++) h = (h ^ (unsigned char)v.ptr[i]) * FNV_PRIME;
    return ac_mix64(h + v.len);
}

uint64_t ac_words_hash(const uint64_t *w, size_t from, size_t to)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15) + (to - from);
    for (size_t i = from; i < to; i++) h = ac_mix64(h ^ w[i]) * FNV_PRIME;
    return h;
}

typedef struct {
    ac_words *out;
    ac_err *err;
    ac_status st;
    uint64_t h;
    bool open, digit;           /* a word is being built; it has a digit */
    bool last_digit;            /* the character before was a digit inside a word */
} scanner;

static void push(scanner *s, uint64_t h, bool digit)
{
    if (s->st) return;
    ac_words *w = s->out;
    if (w->n == w->cap) {
        const size_t cap = w->cap ? w->cap * 2 : 64;
        size_t bytes;
        uint64_t *p = ac_size_mul(&bytes, cap, sizeof *p) ? ac_realloc(w->word, bytes) : NULL;
        if (!p) {
            s->st = ac_fail_nomem(s->err, cap * sizeof *p);
            return;
        }
        w->word = p;
        w->cap = cap;
    }
    w->word[w->n++] = (ac_mix64(h) & ~UINT64_C(1)) | (digit ? 1u : 0u);
}

static void end_word(scanner *s)
{
    if (s->open) push(s, s->h, s->digit);
    s->open = s->digit = s->last_digit = false;
    s->h = FNV_START;
}

static void letter(scanner *s, uint32_t cp, bool digit)
{
    s->open = true;
    s->h = (s->h ^ cp) * FNV_PRIME;
    s->digit = s->digit || digit;
    s->last_digit = digit;
}

static void alone(scanner *s, uint32_t cp)
{
    end_word(s);
    push(s, (FNV_START ^ cp) * FNV_PRIME, false);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Operators and marks that change what a sentence asks for; other punctuation only separates. */
static bool ascii_alone(char c)
{
    return c && strchr("<>=+|~$*/%&#@", c) != NULL;
}

static void ascii(scanner *s, char c, char next)
{
    if (is_digit(c)) letter(s, (uint32_t)c, true);
    else if ((c >= 'a' && c <= 'z') || c == '_') letter(s, (uint32_t)c, false);
    else if (c >= 'A' && c <= 'Z') letter(s, (uint32_t)(c + 32), false);
    else if ((c == '.' || c == ',') && s->last_digit && is_digit(next)) letter(s, (uint32_t)c, true);
    else if (c == '-' && !s->open && is_digit(next)) letter(s, (uint32_t)c, false);
    else if (ascii_alone(c)) alone(s, (uint32_t)c);
    else end_word(s);
}

/* Scripts written without spaces: each character is a word, or n-grams would mean nothing. */
static bool ideographic(uint32_t cp)
{
    return (cp >= 0x3040 && cp <= 0x30ff) || (cp >= 0x3400 && cp <= 0x9fff)
           || (cp >= 0xf900 && cp <= 0xfaff) || (cp >= 0x20000 && cp <= 0x3ffff);
}

static void code_point(scanner *s, uint32_t cp, char next)
{
    if (cp < 0x80) {
        ascii(s, (char)cp, next);
        return;
    }
    if (ideographic(cp)) {
        alone(s, cp);
        return;
    }
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
        letter(s, cp, false);
        break;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO:
        letter(s, cp, true);
        break;
    case UTF8PROC_CATEGORY_SM: case UTF8PROC_CATEGORY_SC: case UTF8PROC_CATEGORY_SO:
        alone(s, cp);
        break;
    default:
        end_word(s);
    }
}

static void beyond_ascii(scanner *s, uint32_t cp, char next)
{
    utf8proc_int32_t part[32];
    int last = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(
        (utf8proc_int32_t)cp, part, (utf8proc_ssize_t)AC_COUNTOF(part),
        (utf8proc_option_t)(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE), &last);
    if (n < 0 || n > (utf8proc_ssize_t)AC_COUNTOF(part)) {
        code_point(s, cp, next);
        return;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        code_point(s, (uint32_t)part[i], i + 1 < n && part[i + 1] < 0x80 ? (char)part[i + 1] : next);
}

ac_status ac_words_add(ac_words *w, ac_view text, ac_err *err)
{
    scanner s = { .out = w, .err = err, .h = FNV_START };
    for (size_t i = 0; i < text.len && !s.st;) {
        const char c = text.ptr[i];
        if ((unsigned char)c < 0x80) {
            i++;
            ascii(&s, c, i < text.len ? text.ptr[i] : '\0');
            continue;
        }
        uint32_t cp;
        const size_t len = ac_utf8_decode(text.ptr + i, text.len - i, &cp);
        i += len ? len : 1;
        if (len) beyond_ascii(&s, cp, i < text.len ? text.ptr[i] : '\0');
        else end_word(&s);
    }
    end_word(&s);
    return s.st;
}

void ac_words_release(ac_words *w)
{
    ac_free(w->word);
    *w = (ac_words){ 0 };
}

/* ---- sets of n-grams ---- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void ac_sort_u64(uint64_t *v, size_t n)
{
    if (n > 1) qsort(v, n, sizeof *v, by_value);
}

bool ac_sorted_has(const uint64_t *v, size_t n, uint64_t x)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid] < x) lo = mid + 1;
        else hi = mid;
    }
    return lo < n && v[lo] == x;
}

static size_t sort_distinct(uint64_t *v, size_t n)
{
    size_t kept = 0;
    ac_sort_u64(v, n);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || v[kept - 1] != v[i]) v[kept++] = v[i];
    return kept;
}

size_t ac_words_grams(uint64_t *room, const uint64_t *w, size_t count, size_t n)
{
    if (n == 0 || count < n) return 0;
    const size_t all = count - n + 1;
    for (size_t i = 0; i < all; i++) room[i] = ac_words_hash(w, i, i + n);
    return sort_distinct(room, all);
}

size_t ac_words_set(uint64_t *room, const uint64_t *w, size_t count)
{
    if (count) memcpy(room, w, count * sizeof *room);
    return sort_distinct(room, count);
}

/* ---- index ---- */

/* A value of 0 marks a free slot, so callers never store 0. */
static size_t slot_of(const ac_index *x, uint64_t key)
{
    size_t i = (size_t)ac_mix64(key) & (x->cap - 1);
    while (x->val[i] != 0 && x->key[i] != key) i = (i + 1) & (x->cap - 1);
    return i;
}

static bool grow(ac_index *x)
{
    ac_index fresh = { .cap = x->cap ? x->cap * 2 : 64, .n = x->n };
    fresh.key = ac_calloc(fresh.cap, sizeof *fresh.key);
    fresh.val = ac_calloc(fresh.cap, sizeof *fresh.val);
    if (!fresh.key || !fresh.val) {
        ac_index_release(&fresh);
        return false;
    }
    for (size_t i = 0; i < x->cap; i++) {
        if (x->val[i] == 0) continue;
        const size_t at = slot_of(&fresh, x->key[i]);
        fresh.key[at] = x->key[i];
        fresh.val[at] = x->val[i];
    }
    ac_index_release(x);
    *x = fresh;
    return true;
}

uint32_t *ac_index_at(ac_index *x, uint64_t key)
{
    if (x->n * 2 >= x->cap && !grow(x)) return NULL;
    const size_t i = slot_of(x, key);
    if (x->val[i] == 0) {
        x->key[i] = key;
        x->val[i] = UINT32_MAX;
        x->n++;
    }
    return &x->val[i];
}

uint32_t *ac_index_find(const ac_index *x, uint64_t key)
{
    if (x->cap == 0) return NULL;
    const size_t i = slot_of(x, key);
    return x->val[i] ? &x->val[i] : NULL;
}

void ac_index_release(ac_index *x)
{
    ac_free(x->key);
    ac_free(x->val);
    *x = (ac_index){ 0 };
}
