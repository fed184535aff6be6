/* rag/words.c - what counts as a word, on both sides: in the index and in a question. */
#include "rag/rag_int.h"

#include <string.h>
#include <utf8proc.h>

#define TERMS_MAX 256
#define TERM_BYTES 128

static bool in_word(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

/* Han, kana, Thai, Lao, Khmer, Burmese: written without spaces. */
static bool unspaced(uint32_t c)
{
    return (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff)
        || (c >= 0x0e00 && c <= 0x0eff) || (c >= 0x1000 && c <= 0x109f) || (c >= 0x1780 && c <= 0x17ff);
}

/* The next word at or after *at, {NULL, 0} at the end. *single: one character of an unspaced script. */
static ac_view next_word(ac_view text, size_t *at, bool *single)
{
    size_t from = SIZE_MAX, i = *at;
    *single = false;
    while (i < text.len) {
        uint32_t c = 0;
        size_t n = ac_utf8_decode(text.ptr + i, text.len - i, &c);
        const bool word = n && in_word(c);
        if (!n) n = 1;
        if (word && unspaced(c)) {
            if (from == SIZE_MAX) {
                *single = true;
                *at = i + n;
                return (ac_view){ text.ptr + i, n };
            }
            break;
        }
        if (word && from == SIZE_MAX) from = i;
        if (!word && from != SIZE_MAX) break;
        i += n;
    }
    *at = i;
    return from == SIZE_MAX ? (ac_view){ NULL, 0 } : (ac_view){ text.ptr + from, i - from };
}

void ac_rag_words(ac_str *out, ac_view text)
{
    size_t at = 0;
    bool single;
    for (ac_view w = next_word(text, &at, &single); w.ptr; w = next_word(text, &at, &single)) {
        if (out->len) ac_str_append_char(out, ' ');
        ac_str_append(out, w);
    }
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

typedef struct {
    char text[TERM_BYTES * 2 + 2];
    size_t len;
} term;

/* A term seen before adds nothing but weight to a word that somebody typed twice. */
static bool seen(const term *terms, size_t n, const term *t)
{
    for (size_t i = 0; i < n; i++)
        if (terms[i].len == t->len && memcmp(terms[i].text, t->text, t->len) == 0) return true;
    return false;
}

static void term_of(term *t, ac_view first, ac_view second)
{
    t->len = 0;
    for (size_t i = 0; i < first.len && i < TERM_BYTES; i++) t->text[t->len++] = lower(first.ptr[i]);
    if (!second.len) return;
    t->text[t->len++] = ' ';
    for (size_t i = 0; i < second.len && i < TERM_BYTES; i++) t->text[t->len++] = lower(second.ptr[i]);
}

void ac_rag_query(ac_str *out, ac_view question)
{
    term terms[TERMS_MAX];
    size_t n = 0, at = 0;
    bool single, single_before = false;
    ac_view before = { NULL, 0 };
    for (ac_view w = next_word(question, &at, &single); w.ptr && n < TERMS_MAX; w = next_word(question, &at, &single)) {
        /* Neighbours of an unspaced script are asked for as a pair: single characters say too little. */
        const bool pair = single && single_before && before.ptr + before.len == w.ptr;
        bool alone = false;
        if (single && !pair) {
            size_t ahead = at;
            bool next_single;
            const ac_view next = next_word(question, &ahead, &next_single);
            alone = !(next_single && next.ptr == w.ptr + w.len);
        }
        if ((!single || pair || alone) && w.len <= TERM_BYTES) {
            term_of(&terms[n], pair ? before : w, pair ? w : (ac_view){ NULL, 0 });
            if (!seen(terms, n, &terms[n])) n++;
        }
        before = w;
        single_before = single;
    }
    for (size_t i = 0; i < n; i++) {
        if (i) ac_str_append_c(out, " OR ");
        ac_str_append_char(out, '"');
        ac_str_append(out, (ac_view){ terms[i].text, terms[i].len });
        ac_str_append_char(out, '"');
    }
}
