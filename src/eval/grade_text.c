/* Distances between texts: Levenshtein's over code points, ROUGE-N and ROUGE-L (Lin 2004) as F1 over words. Words are runs of
 * letters and digits in lower case, without stemming; bytes above ASCII count as letters. */
#include "eval/grade_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- Levenshtein ---------------------------------------------------------------------------------------- */

/* Code points; a byte that is no UTF-8 counts as one of its own. */
static ac_status points(uint32_t **out, size_t *n, ac_view v, ac_arena *a, ac_err *err)
{
    uint32_t *p = ac_arena_alloc_array(a, v.len + 1, sizeof *p);
    size_t count = 0;
    if (!p) return ac_fail_nomem(err, v.len * sizeof *p);
    for (size_t i = 0; i < v.len;) {
        const size_t len = ac_utf8_decode(v.ptr + i, v.len - i, &p[count]);
        if (len == 0) p[count] = 0x110000u + (unsigned char)v.ptr[i];
        i += len ? len : 1;
        count++;
    }
    *out = p;
    *n = count;
    return AC_OK;
}

static size_t least(size_t x, size_t y) { return x < y ? x : y; }

/* Ukkonen's band: only cells within `most` of the diagonal can lie on a path of at most `most` edits. row: m + 1 cells. */
static size_t banded(const uint32_t *x, size_t n, const uint32_t *y, size_t m, size_t most, size_t *row)
{
    if ((n > m ? n - m : m - n) > most) return most + 1;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        const size_t from = i > most ? i - most : 1, to = least(m, i + most);
        size_t diagonal = row[from - 1];
        row[from - 1] = from == 1 ? i : most + 1;
        size_t best = row[from - 1];
        for (size_t j = from; j <= to; j++) {
            const size_t above = j == i + most ? most + 1 : row[j];
            const size_t edit = least(least(above, row[j - 1]) + 1, diagonal + (x[i - 1] != y[j - 1]));
            diagonal = row[j];
            row[j] = edit;
            best = least(best, edit);
        }
        if (best > most) return most + 1;
    }
    return row[m] > most ? most + 1 : row[m];
}

ac_status ac_grade_edits(size_t *out, ac_view answer, ac_view reference, size_t most, ac_arena *a, ac_err *err)
{
    uint32_t *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    ac_status st = points(&x, &n, answer, a, err);
    if (!st) st = points(&y, &m, reference, a, err);
    size_t *row = st ? NULL : ac_arena_alloc_array(a, m + 1, sizeof *row);
    if (!st && !row) st = ac_fail_nomem(err, m * sizeof *row);
    if (!st) *out = banded(x, n, y, m, most, row);
    return st;
}

/* ---- ROUGE ------------------------------------------------------------------------------------------------ */

typedef struct {
    ac_view *word;          /* in one text with a space between two, so that neighbours are one view */
    size_t n;
} word_list;

static ac_status read_words(word_list *out, ac_view v, ac_arena *a, ac_err *err)
{
    ac_view low;
    const ac_status st = ac_grade_fold(&low, v, a, err);
    if (st) return st;
    char *kept = ac_arena_alloc(a, low.len + 2);
    out->word = ac_arena_alloc_array(a, low.len / 2 + 1, sizeof *out->word);
    if (!kept || !out->word) return ac_fail_nomem(err, low.len * sizeof *out->word);
    size_t used = 0, start = 0;
    for (size_t i = 0; i <= low.len; i++) {
        const unsigned char c = i < low.len ? (unsigned char)low.ptr[i] : ' ';
        if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')) {
            kept[used++] = (char)c;
        } else if (used > start) {
            out->word[out->n++] = (ac_view){ kept + start, used - start };
            kept[used++] = ' ';
            start = used;
        }
    }
    return AC_OK;
}

static double f1_of(size_t common, size_t n, size_t m)
{
    return common ? 2.0 * (double)common / (double)(n + m) : 0;      /* 2PR / (P + R) with P = c/n, R = c/m */
}

static int by_text(const void *x, const void *y)
{
    return ac_view_cmp(*(const ac_view *)x, *(const ac_view *)y);
}

/* Sorted runs of n words in place of the words. */
static void make_grams(word_list *w, unsigned n)
{
    w->n = w->n >= n ? w->n - n + 1 : 0;
    for (size_t i = 0; i < w->n; i++) {
        const ac_view last = w->word[i + n - 1];
        w->word[i].len = (size_t)(last.ptr + last.len - w->word[i].ptr);
    }
    qsort(w->word, w->n, sizeof *w->word, by_text);
}

static double rouge_n(word_list *x, word_list *y, unsigned n)
{
    size_t common = 0;
    make_grams(x, n);
    make_grams(y, n);
    for (size_t i = 0, j = 0; i < x->n && j < y->n;) {
        const int order = ac_view_cmp(x->word[i], y->word[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return f1_of(common, x->n, y->n);
}

/* Longest common subsequence, one row of the table at a time. */
static double rouge_l(const word_list *x, const word_list *y, size_t *row)
{
    for (size_t i = 0; i < x->n; i++) {
        size_t diagonal = 0;
        for (size_t j = 0; j < y->n; j++) {
            const size_t above = row[j + 1];
            if (ac_view_eq(x->word[i], y->word[j])) row[j + 1] = diagonal + 1;
            else if (row[j] > above) row[j + 1] = row[j];
            diagonal = above;
        }
    }
    return f1_of(row[y->n], x->n, y->n);
}

ac_status ac_grade_rouge(double *out, ac_view answer, ac_view reference, unsigned n_gram, ac_arena *a, ac_err *err)
{
    word_list x = { 0 }, y = { 0 };
    ac_status st = read_words(&x, answer, a, err);
    if (!st) st = read_words(&y, reference, a, err);
    size_t *row = st ? NULL : ac_arena_alloc_array(a, y.n + 1, sizeof *row);
    if (!st && !row) st = ac_fail_nomem(err, y.n * sizeof *row);
    if (!st) *out = n_gram ? rouge_n(&x, &y, n_gram) : rouge_l(&x, &y, row);
    return st;
}

/* ---- the assertions ---------------------------------------------------------------------------------------- */

static ac_status edits(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err)
{
    const size_t most = (size_t)as->threshold;
    size_t best = most + 1;
    ac_status st = AC_OK;
    for (size_t i = 0; i < as->n_values && !st; i++) {
        size_t n = 0;
        st = ac_grade_edits(&n, answer, ac_view_trim(as->value[i]), most, a, err);
        if (!st) best = least(best, n);
    }
    out->hold = best <= most;
    out->why = ac_arena_printf(a, "levenshtein %zu%s, allowed %zu", best, best > most ? " or more" : "", most);
    return st;
}

ac_status ac_grade_distance(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err)
{
    double best = 0;
    ac_status st = AC_OK;
    if (as->type == AC_GRADE_LEVENSHTEIN) return edits(as, answer, a, out, err);
    for (size_t i = 0; i < as->n_values && !st; i++) {
        double score = 0;
        st = ac_grade_rouge(&score, answer, as->value[i], as->type == AC_GRADE_ROUGE_N ? as->n_gram : 0, a, err);
        if (!st && score > best) best = score;
    }
    out->hold = best >= as->threshold;
    if (as->type == AC_GRADE_ROUGE_N) out->why = ac_arena_printf(a, "rouge-%u %.3f, needed %.3f", as->n_gram, best, as->threshold);
    else out->why = ac_arena_printf(a, "rouge-l %.3f, needed %.3f", best, as->threshold);
    return st;
}
