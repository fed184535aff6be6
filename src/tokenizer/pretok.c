/* The pre-tokenisers: each regular expression of the reference as a hand-written scanner that looks at every
 * character a fixed number of times. The comment above a scanner gives the expression; alternatives are tried
 * in its order, repetitions take all they can. */
#include "tokenizer/tokenizer_int.h"

static ac_char_class class_at(const char *s, size_t at, size_t end, size_t *len)
{
    return ac_char_class_at(s + at, end - at, len);
}

/* End of the run of one class from at. */
static size_t run(const char *s, size_t at, size_t end, ac_char_class want)
{
    size_t len;
    while (at < end && class_at(s, at, end, &len) == want) at += len;
    return at;
}

static bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

/* Length of a contraction behind the apostrophe at `at`: s t m d re ve ll; 0 when there is none. With fold,
 * upper case counts, and U+017F, which folds to s. */
static size_t contraction(const char *s, size_t at, size_t end, bool fold)
{
    char c[2] = { 0, 0 };
    for (size_t i = 0; i < 2 && at + 1 + i < end; i++) {
        c[i] = s[at + 1 + i];
        if (fold && c[i] >= 'A' && c[i] <= 'Z') c[i] = (char)(c[i] + 32);
    }
    if (c[0] == 's' || c[0] == 't' || c[0] == 'm' || c[0] == 'd') return 2;
    if (c[1] == 'e' && (c[0] == 'r' || c[0] == 'v')) return 3;
    if (c[0] == 'l' && c[1] == 'l') return 3;
    return fold && c[0] == (char)0xc5 && c[1] == (char)0xbf ? 3 : 0;
}

/* \s+(?!\S)|\s+ : all of the white space at the end of the text, else all but its last character, unless it is
 * the only one. */
static size_t white(const char *s, size_t at, size_t end)
{
    size_t e = at, last = at, len;
    while (e < end && class_at(s, e, end, &len) == AC_CH_SPACE) {
        last = e;
        e += len;
    }
    return e == end || last == at ? e : last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t next_gpt2(const char *s, size_t at, size_t end)
{
    size_t len, start = at;
    if (s[at] == '\'') {
        len = contraction(s, at, end, false);
        if (len) return at + len;
    }
    if (s[at] == ' ' && at + 1 < end) start = at + 1;
    const ac_char_class c = class_at(s, start, end, &len);
    return c == AC_CH_SPACE ? white(s, at, end) : run(s, start, end, c);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
 * |\s+(?!\S)|\s+ */
static size_t next_tiktoken(const char *s, size_t at, size_t end, unsigned digits)
{
    size_t len, next_len;
    if (s[at] == '\'') {
        len = contraction(s, at, end, true);
        if (len) return at + len;
    }
    const ac_char_class c = class_at(s, at, end, &len);
    if (c == AC_CH_LETTER) return run(s, at, end, AC_CH_LETTER);
    if (c == AC_CH_NUMBER) {
        for (unsigned i = 0; i < digits && at < end && class_at(s, at, end, &len) == AC_CH_NUMBER; i++)
            at += len;
        return at;
    }
    const size_t after = at + len;
    const ac_char_class next = after < end ? class_at(s, after, end, &next_len) : AC_CH_SPACE;
    if (!is_newline(s[at]) && after < end && next == AC_CH_LETTER) return run(s, after, end, AC_CH_LETTER);
    if (c == AC_CH_OTHER || (s[at] == ' ' && after < end && next == AC_CH_OTHER)) {
        size_t e = run(s, c == AC_CH_OTHER ? at : after, end, AC_CH_OTHER);
        while (e < end && is_newline(s[e])) e++;
        return e;
    }
    const size_t e = run(s, at, end, AC_CH_SPACE);
    for (size_t k = e; k > at; k--)                /* \s*[\r\n]+ ends behind the run's last line break */
        if (is_newline(s[k - 1])) return k;
    return white(s, at, end);
}

/* ---- coarser cuts ---- */

/* SmolLM and StarCoder: each character of \p{N} alone; GPT-2's rule in what is between them. */
static size_t next_smollm(ac_words *w)
{
    size_t len;
    if (w->at >= w->part_end) {
        if (class_at(w->s, w->at, w->n, &len) == AC_CH_NUMBER) return w->part_end = w->at + len;
        size_t e = w->at;
        while (e < w->n && class_at(w->s, e, w->n, &len) != AC_CH_NUMBER) e += len;
        w->part_end = e;
    }
    return next_gpt2(w->s, w->at, w->part_end);
}

/* The reference looks for digits when the text is already in the byte-to-unicode alphabet, where the bytes of
 * superscripts and fractions in Latin-1 stand for themselves and count as numeric. */
static bool falcon_digit(char c)
{
    const unsigned char b = (unsigned char)c;
    return (b >= '0' && b <= '9') || b == 0xb2 || b == 0xb3 || b == 0xb9 || (b >= 0xbc && b <= 0xbe);
}

static bool three_digits(const char *s, size_t at, size_t end)
{
    for (size_t i = 0; i < 3; i++)
        if (at + i >= end || s[at + i] < '0' || s[at + i] > '9') return false;
    return true;
}

/* Falcon: runs of punctuation, GPT-2's rule in each part, runs of digits in each word, and those in threes. */
static size_t next_falcon(ac_words *w)
{
    size_t len;
    if (w->at >= w->part_end) {
        size_t e = w->at;
        const bool punct = ac_char_is_punctuation(w->s + e, w->n - e, &len);
        while (e < w->n && ac_char_is_punctuation(w->s + e, w->n - e, &len) == punct) e += len;
        w->part_end = e;
    }
    if (w->at >= w->word_end) w->word_end = next_gpt2(w->s, w->at, w->part_end);
    if (w->at >= w->digit_end) {
        size_t e = w->at;
        w->digits = falcon_digit(w->s[e]);
        while (e < w->word_end && falcon_digit(w->s[e]) == w->digits) e++;
        w->digit_end = e;
    }
    if (!w->digits) return w->digit_end;
    if (three_digits(w->s, w->at, w->digit_end)) return w->at + 3;
    size_t e = w->at + 1;
    while (e < w->digit_end && !three_digits(w->s, e, w->digit_end)) e++;
    return e;
}

ac_words ac_words_of(ac_tok_pre pre, ac_view text)
{
    return (ac_words){ .pre = pre, .s = text.ptr, .n = text.len };
}

bool ac_words_next(ac_words *w, ac_view *word)
{
    size_t end = w->n;
    if (w->at >= w->n) return false;
    switch (w->pre) {
    case AC_PRE_NONE: break;
    case AC_PRE_GPT2: end = next_gpt2(w->s, w->at, w->n); break;
    case AC_PRE_SMOLLM: end = next_smollm(w); break;
    case AC_PRE_LLAMA3: end = next_tiktoken(w->s, w->at, w->n, 3); break;
    case AC_PRE_QWEN2: end = next_tiktoken(w->s, w->at, w->n, 1); break;
    case AC_PRE_FALCON: end = next_falcon(w); break;
    }
    *word = (ac_view){ w->s + w->at, end - w->at };
    w->at = end;
    return true;
}
