/* Rules against a text: keyword, pattern, entropy, allowlists, as gitleaks does it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/scan_int.h"

typedef struct {
    const ac_scanner *s;
    const char *path;
    ac_view text;
    scan_hits *out;
    pcre2_match_data *data;
    ac_err *err;
} search;

/* Matches from `at` on; *found says whether, *gave_up that the limit was met. */
static ac_status match(search *k, const pcre2_code *re, ac_view text, size_t at, bool *found, bool *gave_up)
{
    if (!k->data && !(k->data = pcre2_match_data_create(100, k->s->general))) return ac_fail_nomem(k->err, 4096);
    int n = pcre2_match(re, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, at, 0, k->data, k->s->limits);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(re, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, at, PCRE2_NO_JIT, k->data, k->s->limits);
    *found = n >= 0;
    if (n == PCRE2_ERROR_NOMEMORY || n == PCRE2_ERROR_HEAPLIMIT) return ac_fail_nomem(k->err, text.len);
    *gave_up = n < 0 && n != PCRE2_ERROR_NOMATCH;
    return AC_OK;
}

/* Of small texts: paths, targets of allowlists. Giving up counts as no match: nothing is let through for it. */
static ac_status matches(search *k, pcre2_code *const *re, size_t n, ac_view text, bool *any)
{
    *any = false;
    for (size_t i = 0; i < n && !*any; i++) {
        bool gave_up;
        const ac_status st = match(k, re[i], text, 0, any, &gave_up);
        if (st) return st;
    }
    return AC_OK;
}

/* ---- conditions on a secret ---- */

static double entropy(ac_view v)
{
    size_t count[256] = { 0 };
    double bits = 0;
    for (size_t i = 0; i < v.len; i++) count[(unsigned char)v.ptr[i]]++;
    for (size_t i = 0; i < 256; i++) {
        const double share = (double)count[i] / (double)v.len;
        if (count[i]) bits -= share * log2(share);
    }
    return bits;
}

static bool contains_lower(ac_view v, ac_view word)
{
    for (size_t i = 0; i + word.len <= v.len; i++) {
        size_t j = 0;
        while (j < word.len) {
            const char c = v.ptr[i + j];
            if ((scan_upper(c) ? (char)(c + 32) : c) != word.ptr[j]) break;
            j++;
        }
        if (j == word.len) return true;
    }
    return false;
}

static ac_view line_of(ac_view t, size_t from, size_t to)
{
    while (from > 0 && t.ptr[from - 1] != '\n') from--;
    while (to < t.len && t.ptr[to] != '\n') to++;
    return ac_view_slice(t, from, to);
}

/* OR: one of its conditions holds. AND: every kind that it has. Rows have no commits. */
static ac_status one_allows(search *k, const scan_allow *a, const char *rule, ac_view secret, ac_view whole, ac_view line, bool *yes)
{
    bool named = !a->n_only, path = false, re = false, stop = false;
    *yes = false;
    for (size_t i = 0; i < a->n_only && !named; i++) named = ac_view_eq_str(a->only_rules[i], rule);
    if (!named) return AC_OK;
    ac_status st = k->path ? matches(k, a->path, a->n_path, ac_view_of(k->path), &path) : AC_OK;
    if (!st) st = matches(k, a->re, a->n_re, a->target == SCAN_TARGET_LINE ? line : a->target == SCAN_TARGET_MATCH ? whole : secret, &re);
    for (size_t i = 0; i < a->n_stop && !stop; i++) stop = contains_lower(secret, a->stop[i]);
    if (a->all)
        *yes = !a->commits && (path || !a->n_path) && (re || !a->n_re) && (stop || !a->n_stop);
    else *yes = path || re || stop;
    return st;
}

static ac_status allowed(search *k, const scan_rule *u, ac_view secret, ac_view whole, ac_view line, bool *yes)
{
    ac_status st = AC_OK;
    *yes = ac_view_find(line, AC_VIEW("gitleaks:allow"), 0) != SIZE_MAX;
    for (size_t i = 0; i < u->n_allow && !*yes && !st; i++) st = one_allows(k, &u->allow[i], u->id, secret, whole, line, yes);
    for (size_t i = 0; i < k->s->n_allow && !*yes && !st; i++)
        st = one_allows(k, &k->s->allow[i], u->id, secret, whole, line, yes);
    return st;
}

static bool has_digit_and_letter(ac_view v)
{
    bool digit = false, letter = false;
    for (size_t i = 0; i < v.len; i++) {
        digit = digit || scan_digit(v.ptr[i]);
        letter = letter || scan_alpha(v.ptr[i]);
    }
    return digit && letter;
}

/* ---- one rule ---- */

static void secret_span(const search *k, const scan_rule *u, size_t *from, size_t *to)
{
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(k->data);
    uint32_t groups = 0;
    (void)pcre2_pattern_info(u->re, PCRE2_INFO_CAPTURECOUNT, &groups);
    uint32_t g = u->group;
    for (uint32_t i = 1; !u->group && i <= groups && i < 100 && !g; i++)
        if (v[2 * i] != PCRE2_UNSET && v[2 * i + 1] > v[2 * i]) g = i;
    *from = v[2 * g];
    *to = v[2 * g + 1];
}

static ac_status take_match(search *k, const scan_rule *u, size_t whole_from, size_t whole_to, size_t from, size_t to)
{
    const ac_view secret = ac_view_slice(k->text, from, to), whole = ac_view_slice(k->text, whole_from, whole_to);
    bool yes = false;
    if (!secret.len || (u->entropy > 0 && entropy(secret) <= u->entropy)) return AC_OK;
    if (u->needs_digit && !has_digit_and_letter(secret)) return AC_OK;
    const ac_status st = allowed(k, u, secret, whole, line_of(k->text, whole_from, whole_to), &yes);
    if (st || yes) return st;
    ac_scan_hit h = { AC_SCAN_SECRET, AC_FIND_FAIL, u->id, from, to, u->score };
    if (u->builtin && contains_lower(secret, AC_VIEW("example"))) {     /* documentation's own keys say so */
        h.severity = AC_FIND_WARN;
        h.score = 0.3;
    }
    return ac_scan_hits_add(k->out, &h, k->err);
}

static ac_status run_rule(search *k, const scan_rule *u)
{
    bool found = true, gave_up = false;
    ac_status st = AC_OK;
    if (u->silent) return AC_OK;
    if (u->path) {
        st = k->path ? matches(k, &u->path, 1, ac_view_of(k->path), &found) : AC_OK;
        if (st || !k->path || !found || !u->re) return st;
    }
    for (size_t at = 0; at <= k->text.len && !st;) {
        if ((st = match(k, u->re, k->text, at, &found, &gave_up)) || !found) break;
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(k->data);
        const size_t whole_from = v[0], whole_to = v[1];
        size_t from, to;
        secret_span(k, u, &from, &to);
        at = whole_to > whole_from ? whole_to : whole_to + 1;
        if (from == PCRE2_UNSET || from > to) continue;             /* the group took no part */
        st = take_match(k, u, whole_from, whole_to, from, to);
    }
    if (!st && gave_up) {
        const ac_scan_hit h = { AC_SCAN_SECRET, AC_FIND_WARN, u->id, 0, k->text.len, 0 };
        st = ac_scan_hits_add(k->out, &h, k->err);
    }
    return st;
}

static int by_place(const void *a, const void *b)
{
    const ac_scan_hit *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    if (x->score < y->score || x->score > y->score) return x->score > y->score ? -1 : 1;
    if (x->to != y->to) return x->to > y->to ? -1 : 1;
    return strcmp(x->entity, y->entity);
}

/* A span counts once: under the rule that is surest of it. A rule that gave up (score 0) stands beside all others. */
static void drop_doubles(scan_hits *h)
{
    size_t kept = 0, last = SIZE_MAX;
    if (h->n > 1) qsort(h->hit, h->n, sizeof *h->hit, by_place);
    for (size_t i = 0; i < h->n; i++) {
        const ac_scan_hit x = h->hit[i];
        const bool overlaps = x.score > 0 && last != SIZE_MAX && x.from < h->hit[last].to;
        if (overlaps && x.score > h->hit[last].score) h->hit[last] = x;
        if (overlaps) continue;
        if (x.score > 0) last = kept;
        h->hit[kept++] = x;
    }
    h->n = kept;
}

ac_status ac_scan_secrets(const ac_scanner *s, const char *path, ac_view text, scan_hits *out, ac_err *err)
{
    uint8_t on[4096 + 256] = { 0 };
    search k = { .s = s, .path = path, .text = text, .out = out, .err = err };
    ac_status st = AC_OK;
    (void)ac_scan_words_mark(&s->words, text, on);
    for (size_t i = 0; i < s->n_rules && !st; i++)
        if (!s->rule[i].has_keywords || on[i]) st = run_rule(&k, &s->rule[i]);
    if (!st) drop_doubles(out);
    pcre2_match_data_free(k.data);
    return st;
}
