/* What an answer cites, and whether what it quotes stands there. */
#include <string.h>

#include "rag/rag_int.h"

/* ---- words in comparable form: " word word " ---- */

static void folded(ac_str *out, ac_view v)
{
    ac_str words = { 0 };
    ac_rag_words(&words, v);
    ac_str_append_char(out, ' ');
    for (size_t i = 0; i < words.len; i++) {
        const char c = words.ptr[i];
        ac_str_append_char(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    ac_str_append_char(out, ' ');
    if (!ac_str_ok(&words)) out->failed = true;
    ac_str_release(&words);
}

static size_t word_count(const ac_str *f)
{
    size_t n = 0;
    for (size_t i = 1; i < f->len; i++) n += f->ptr[i] == ' ' && f->ptr[i - 1] != ' ';
    return n;
}

/* ---- the answer's marks ---- */

/* "[12]" at i: its number and *end behind it; 0: none. */
static size_t citation_at(ac_view v, size_t i, size_t *end)
{
    size_t k = i + 1, number = 0;
    if (v.ptr[i] != '[') return 0;
    while (k < v.len && k < i + 8 && v.ptr[k] >= '0' && v.ptr[k] <= '9') number = number * 10 + (size_t)(v.ptr[k++] - '0');
    if (k == i + 1 || k >= v.len || v.ptr[k] != ']') return 0;
    *end = k + 1;
    return number ? number : SIZE_MAX;
}

/* Length of a quotation mark that may open a quote at i, and the mark that closes it. */
static size_t opens(ac_view v, size_t i, ac_view *close)
{
    static const struct { const char *open, *close; } pairs[] = {
        { "\"", "\"" }, { "\xe2\x80\x9c", "\xe2\x80\x9d" }, { "\xe2\x80\x9e", "\xe2\x80\x9c" }, { "\xc2\xab", "\xc2\xbb" },
    };
    for (size_t k = 0; k < AC_COUNTOF(pairs); k++) {
        if (!ac_view_starts(ac_view_slice(v, i, v.len), ac_view_of(pairs[k].open))) continue;
        *close = ac_view_of(pairs[k].close);
        return strlen(pairs[k].open);
    }
    return 0;
}

/* The first citation behind `from` on the same line; 0: none. */
static size_t citation_behind(ac_view v, size_t from)
{
    for (size_t i = from; i < v.len && v.ptr[i] != '\n'; i++) {
        size_t end;
        const size_t number = citation_at(v, i, &end);
        if (number) return number;
    }
    return 0;
}

/* ---- support ---- */

static ac_status stands_in(bool *out, const ac_str *quote, const ac_passage *p, ac_err *err)
{
    ac_str text = { 0 };
    folded(&text, p->heading);
    ac_str_append_c(&text, "| ");
    folded(&text, p->text);
    const ac_status st = ac_str_ok(&text) ? AC_OK : ac_fail_nomem(err, text.len);
    *out = !st && ac_view_find(ac_str_view(&text), ac_str_view(quote), 0) != SIZE_MAX;
    ac_str_release(&text);
    return st;
}

static ac_status check_quote(ac_rag_cites *c, ac_view span, size_t number, const ac_passage *p, size_t n, ac_err *err)
{
    ac_str quote = { 0 };
    bool held = false;
    folded(&quote, span);
    ac_status st = ac_str_ok(&quote) ? AC_OK : ac_fail_nomem(err, span.len);
    if (!st && word_count(&quote) >= 3) {
        c->n_quotes++;
        const size_t from = number && number <= n ? number - 1 : 0, to = number ? (number <= n ? number : 0) : n;
        for (size_t i = from; i < to && !held && !st; i++) st = stands_in(&held, &quote, &p[i], err);
        if (!st && !held && c->n_unsupported++ == 0) c->first_unsupported = span;
    }
    ac_str_release(&quote);
    return st;
}

ac_status ac_rag_check_cites(ac_rag_cites *out, ac_view answer, const ac_passage *p, size_t n, ac_err *err)
{
    ac_rag_cites c = { 0 };
    ac_status st = AC_OK;
    for (size_t i = 0; i < answer.len && !st;) {
        ac_view close = { NULL, 0 };
        size_t end = i + 1;
        const size_t number = citation_at(answer, i, &end), open = opens(answer, i, &close);
        if (number) {
            c.n_citations++;
            c.n_out_of_range += number > n;
        } else if (open) {
            const size_t to = ac_view_find(answer, close, i + open);
            end = i + open;
            if (to != SIZE_MAX) {
                end = to + close.len;
                st = check_quote(&c, ac_view_slice(answer, i + open, to), citation_behind(answer, end), p, n, err);
            }
        }
        i = end;
    }
    if (!st) *out = c;
    return st;
}
