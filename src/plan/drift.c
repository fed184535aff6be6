#include "plan/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/triage.h"

/* ---- lengths ---- */

static int by_value(const void *x, const void *y)
{
    double a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    return (a > b) - (a < b);
}

double ac_drift_quantile(const double *sorted, size_t n, double q)
{
    if (!n) return 0;
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    const double rest = at - (double)i;
    return i + 1 < n ? sorted[i] * (1 - rest) + sorted[i + 1] * rest : sorted[n - 1];
}

/* 2 sum (-1)^(j-1) exp(-2 j^2 x^2) */
static double kolmogorov(double x)
{
    double sum = 0, sign = 2;
    if (x < 0.2) return 1;
    for (int j = 1; j <= 100; j++) {
        const double term = exp(-2.0 * j * j * x * x);
        sum += sign * term;
        if (term < 1e-12) break;
        sign = -sign;
    }
    return sum > 1 ? 1 : sum < 0 ? 0 : sum;
}

double ac_drift_ks(double *a, size_t n, double *b, size_t m, double *p)
{
    size_t i = 0, k = 0;
    double d = 0;
    *p = 1;
    if (!n || !m) return 0;
    qsort(a, n, sizeof *a, by_value);
    qsort(b, m, sizeof *b, by_value);
    while (i < n && k < m) {
        const double x = a[i] < b[k] ? a[i] : b[k];
        while (i < n && a[i] <= x) i++;
        while (k < m && b[k] <= x) k++;
        const double here = fabs((double)i / (double)n - (double)k / (double)m);
        if (here > d) d = here;
    }
    const double e = sqrt((double)n * (double)m / (double)(n + m));
    *p = kolmogorov((e + 0.12 + 0.11 / e) * d);
    return d;
}

/* ---- vocabulary ---- */

static int by_text(const void *x, const void *y)
{
    ac_view a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    return ac_view_cmp(a, b);
}

static int by_count(const void *x, const void *y)
{
    ac_drift_word a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    if (a.count != b.count) return a.count < b.count ? 1 : -1;
    return strcmp(a.word, b.word);
}

typedef struct {
    ac_str text;                 /* " word word " of all */
    ac_view *word;               /* sorted */
    size_t n;
} word_list;

static bool counts(ac_view w)
{
    bool number = true;
    for (size_t i = 0; i < w.len; i++) number &= w.ptr[i] >= '0' && w.ptr[i] <= '9';
    return w.len > 1 && !number;
}

static ac_status words_of(word_list *l, const ac_view *text, size_t n, ac_arena *a, ac_err *err)
{
    size_t most = 0;
    ac_status st = AC_OK;
    for (size_t i = 0; i < n && !st; i++) st = ac_text_words(&l->text, text[i], err);
    if (st) return st;
    for (size_t i = 0; i < l->text.len; i++) most += l->text.ptr[i] == ' ';
    l->word = ac_arena_alloc_array(a, most + 1, sizeof *l->word);
    if (!l->word) return ac_fail_nomem(err, most * sizeof *l->word);
    for (size_t i = 0; i < l->text.len;) {
        size_t end = i;
        while (end < l->text.len && l->text.ptr[end] != ' ') end++;
        const ac_view w = { l->text.ptr + i, end - i };
        if (counts(w)) l->word[l->n++] = w;
        i = end + 1;
    }
    qsort(l->word, l->n, sizeof *l->word, by_text);
    return AC_OK;
}

static ac_status unseen(double *share, ac_drift_word *top, size_t *n_top, const word_list *log, const word_list *known,
                        ac_arena *a, ac_err *err)
{
    ac_drift_word *found = ac_arena_alloc_array(a, log->n + 1, sizeof *found);
    size_t n = 0, k = 0, missing = 0;
    if (!found) return ac_fail_nomem(err, log->n * sizeof *found);
    for (size_t i = 0; i < log->n;) {
        size_t end = i;
        while (end < log->n && ac_view_eq(log->word[end], log->word[i])) end++;
        while (k < known->n && ac_view_cmp(known->word[k], log->word[i]) < 0) k++;
        if (k == known->n || !ac_view_eq(known->word[k], log->word[i])) {
            missing += end - i;
            found[n].word = ac_arena_strndup(a, log->word[i].ptr, log->word[i].len);
            if (!found[n].word) return ac_fail_nomem(err, log->word[i].len);
            found[n++].count = end - i;
        }
        i = end;
    }
    qsort(found, n, sizeof *found, by_count);
    if (n < *n_top) *n_top = n;
    for (size_t i = 0; i < *n_top; i++) top[i] = found[i];
    *share = log->n ? (double)missing / (double)log->n : 0;
    return AC_OK;
}

ac_status ac_drift_unseen(double *share, ac_drift_word *top, size_t *n_top, const ac_view *logs, size_t n_logs,
                          const ac_view *known, size_t n_known, ac_arena *a, ac_err *err)
{
    word_list log = { .n = 0 }, own = { .n = 0 };
    ac_status st = words_of(&log, logs, n_logs, a, err);
    if (!st) st = words_of(&own, known, n_known, a, err);
    if (!st) st = unseen(share, top, n_top, &log, &own, a, err);
    ac_str_release(&log.text);
    ac_str_release(&own.text);
    return st;
}

/* ---- vectors ---- */

static double distance(const float *x, const float *y, size_t hidden)
{
    double dot = 0;
    for (size_t i = 0; i < hidden; i++) dot += (double)x[i] * (double)y[i];
    return 1 - dot;
}

/* To the nearest of n vectors, one of them left out (n: none). */
static double nearest(const float *x, const float *of, size_t n, size_t but, size_t hidden)
{
    double best = 2;
    for (size_t i = 0; i < n; i++) {
        const double d = i == but ? 2 : distance(x, of + i * hidden, hidden);
        if (d < best) best = d;
    }
    return best;
}

double ac_drift_novel(const float *logs, size_t n_logs, const float *rows, size_t n_rows, size_t hidden, double *limit,
                      ac_arena *a)
{
    double *own = n_rows < 20 ? NULL : ac_arena_alloc_array(a, n_rows, sizeof *own);
    size_t far = 0;
    *limit = (double)NAN;
    if (!own || !n_logs) return (double)NAN;
    for (size_t i = 0; i < n_rows; i++) own[i] = nearest(rows + i * hidden, rows, n_rows, i, hidden);
    qsort(own, n_rows, sizeof *own, by_value);
    *limit = ac_drift_quantile(own, n_rows, 0.95);
    for (size_t i = 0; i < n_logs; i++) far += nearest(logs + i * hidden, rows, n_rows, n_rows, hidden) > *limit;
    return (double)far / (double)n_logs;
}

typedef struct {
    size_t k, hidden;
    double *middle;              /* k x hidden */
    size_t *count;
} means;

static size_t closest(const means *m, const float *x, double *at)
{
    size_t best = 0;
    double least = 0;
    for (size_t c = 0; c < m->k; c++) {
        double d = 0;
        for (size_t i = 0; i < m->hidden; i++) {
            const double e = (double)x[i] - m->middle[c * m->hidden + i];
            d += e * e;
        }
        if (c == 0 || d < least) {
            best = c;
            least = d;
        }
    }
    if (at) *at = least;
    return best;
}

/* Each next middle is the row furthest from those before it. */
static void start(means *m, const float *rows, size_t n)
{
    const size_t k = m->k;
    for (size_t i = 0; i < m->hidden; i++) m->middle[i] = (double)rows[i];
    for (m->k = 1; m->k < k; m->k++) {
        size_t pick = 0;
        double most = -1;
        for (size_t r = 0; r < n; r++) {
            double d;
            (void)closest(m, rows + r * m->hidden, &d);
            if (d > most) {
                most = d;
                pick = r;
            }
        }
        for (size_t i = 0; i < m->hidden; i++) m->middle[m->k * m->hidden + i] = (double)rows[pick * m->hidden + i];
    }
}

static void move(means *m, const float *rows, size_t n, size_t *of)
{
    for (size_t r = 0; r < n; r++) of[r] = closest(m, rows + r * m->hidden, NULL);
    memset(m->count, 0, m->k * sizeof *m->count);
    for (size_t r = 0; r < n; r++) m->count[of[r]]++;
    for (size_t c = 0; c < m->k; c++)
        if (m->count[c]) memset(m->middle + c * m->hidden, 0, m->hidden * sizeof *m->middle);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < m->hidden; i++)
            m->middle[of[r] * m->hidden + i] += (double)rows[r * m->hidden + i] / (double)m->count[of[r]];
}

static void shares(ac_drift_topics *t, const means *m, const float *logs, size_t n_logs, const float *rows, size_t n_rows)
{
    double log_n[AC_DRIFT_TOPICS] = { 0 }, row_n[AC_DRIFT_TOPICS] = { 0 }, best[AC_DRIFT_TOPICS] = { 0 };
    for (size_t r = 0; r < n_rows; r++) {
        double d;
        const size_t c = closest(m, rows + r * m->hidden, &d);
        if (row_n[c] < 0.5 || d < best[c]) {
            best[c] = d;
            t->topic[c].example = r;
        }
        row_n[c] += 1;
    }
    for (size_t r = 0; r < n_logs; r++) log_n[closest(m, logs + r * m->hidden, NULL)] += 1;
    t->n = m->k;
    for (size_t c = 0; c < m->k; c++) {
        t->topic[c].row_share = row_n[c] / (double)n_rows;
        t->topic[c].log_share = log_n[c] / (double)n_logs;
        const double p = (row_n[c] > 0 ? row_n[c] : 0.5) / (double)n_rows, q = (log_n[c] > 0 ? log_n[c] : 0.5) / (double)n_logs;
        t->psi += (q - p) * log(q / p);
    }
}

ac_status ac_drift_topics_find(ac_drift_topics *out, const float *logs, size_t n_logs, const float *rows, size_t n_rows,
                               size_t hidden, ac_arena *a, ac_err *err)
{
    ac_drift_topics t = { 0 };
    means m = { .k = n_rows / 20, .hidden = hidden };
    if (m.k < 2) m.k = 2;
    if (m.k > AC_DRIFT_TOPICS) m.k = AC_DRIFT_TOPICS;
    *out = t;
    if (n_rows < m.k || !n_logs) return AC_OK;
    m.middle = ac_arena_alloc_array(a, m.k * hidden, sizeof *m.middle);
    m.count = ac_arena_alloc_array(a, m.k, sizeof *m.count);
    size_t *of = ac_arena_alloc_array(a, n_rows, sizeof *of);
    if (!m.middle || !m.count || !of) return ac_fail_nomem(err, m.k * hidden * sizeof *m.middle);
    start(&m, rows, n_rows);
    for (int round = 0; round < 20; round++) move(&m, rows, n_rows, of);
    shares(&t, &m, logs, n_logs, rows, n_rows);
    *out = t;
    return AC_OK;
}

ac_status ac_drift_far(size_t *pick, double *far, size_t *n, const float *logs, size_t n_logs, const float *known,
                       size_t n_known, size_t hidden, ac_arena *a, ac_err *err)
{
    double *d = ac_arena_alloc_array(a, n_logs + 1, sizeof *d);
    size_t got = 0;
    if (!d) return ac_fail_nomem(err, n_logs * sizeof *d);
    for (size_t i = 0; i < n_logs; i++) d[i] = nearest(logs + i * hidden, known, n_known, n_known, hidden);
    while (got < *n && got < n_logs) {
        size_t best = 0;
        for (size_t i = 1; i < n_logs; i++)
            if (d[i] > d[best]) best = i;
        if (!(d[best] > 1e-6)) break;                    /* the rest are copies of what is known or picked */
        pick[got] = best;
        far[got++] = d[best];
        for (size_t i = 0; i < n_logs; i++) {
            const double e = distance(logs + i * hidden, logs + best * hidden, hidden);
            if (e < d[i]) d[i] = e;
        }
    }
    *n = got;
    return AC_OK;
}
