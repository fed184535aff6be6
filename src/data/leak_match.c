/* One question of a row, or one text, against the cases that share words with it. */
#include <string.h>

#include "data/leak_int.h"

/* ---- comparing one case with one exchange ---- */

static bool contains_run(const uint64_t *w, size_t n, const uint64_t *run, size_t len)
{
    for (size_t i = 0; len && i + len <= n; i++)
        if (memcmp(w + i, run, len * sizeof *w) == 0) return true;
    return false;
}

/* Is the row's answer the case's answer, or nearly? A case without one counts as near: its question is all
 * there is to compare. A text row has no separate answer: the case's must stand in it. */
static ac_status answer_near(leak *k, const leak_case *c, const leak_exchange *x, bool *near, ac_err *err)
{
    const uint64_t *w = x->w + x->answer_from;
    const size_t n = x->answer_to - x->answer_from;
    *near = true;
    if (c->answer.n == 0) return AC_OK;
    if (x->is_text) {
        *near = contains_run(w, n, c->answer.w, c->answer.n);
        return AC_OK;
    }
    if (ac_words_hash(w, 0, n) == c->answer_hash) return AC_OK;
    *near = false;
    if (n < LEAK_NEAR || c->answer.n < LEAK_NEAR) return AC_OK;
    const ac_status st = ac_leak_scratch(k, n + c->answer.n, err);
    if (st) return st;
    const size_t n_row = ac_words_grams(k->room, w, n, LEAK_NEAR);
    uint64_t *mine = k->room + n_row;
    const size_t n_mine = ac_words_grams(mine, c->answer.w, c->answer.n, LEAK_NEAR);
    size_t both = 0;
    for (size_t i = 0; i < n_mine; i++) both += ac_sorted_has(k->room, n_row, mine[i]);
    *near = (double)both >= LEAK_FAIL * (double)(n_mine + n_row - both);
    return AC_OK;
}

static bool digit_differs(const uint64_t *a, size_t na, const uint64_t *b, size_t nb)
{
    for (size_t i = 0; i < na; i++)
        if (AC_WORD_HAS_DIGIT(a[i]) && !ac_sorted_has(b, nb, a[i])) return true;
    return false;
}

/* Words that are in one question and not the other, and in one answer and not the other. */
static bool slot_differs(const leak_text *q1, const uint64_t *q2, size_t nq2, const leak_text *a1,
                         const uint64_t *a2, size_t na2)
{
    for (size_t i = 0; i < q1->n_set; i++) {
        const uint64_t v = q1->set[i];
        if (!ac_sorted_has(q2, nq2, v) && ac_sorted_has(a1->set, a1->n_set, v) && !ac_sorted_has(a2, na2, v))
            return true;
    }
    for (size_t i = 0; i < nq2; i++)
        if (!ac_sorted_has(q1->set, q1->n_set, q2[i]) && ac_sorted_has(a2, na2, q2[i])
            && !ac_sorted_has(a1->set, a1->n_set, q2[i])) return true;
    return false;
}

/* A sibling is the same template with another filling: a number differs, or a word that differs between the
 * questions differs between the answers too. */
static ac_status is_sibling(leak *k, const leak_case *c, const leak_exchange *x, bool *sibling, ac_err *err)
{
    const size_t n_ask = x->to, n_answer = x->answer_to - x->answer_from;
    const ac_status st = ac_leak_scratch(k, n_ask + n_answer, err);
    if (st) return st;
    uint64_t *ask = k->room;
    const size_t na = ac_words_set(ask, x->w, n_ask);
    uint64_t *answer = k->room + na;
    const size_t nb = ac_words_set(answer, x->w + x->answer_from, n_answer);
    *sibling = digit_differs(c->ask.set, c->ask.n_set, ask, na);
    if (x->is_text || *sibling) return AC_OK;
    *sibling = digit_differs(ask, na, c->ask.set, c->ask.n_set)
        || (c->answer.n && (digit_differs(c->answer.set, c->answer.n_set, answer, nb)
                            || digit_differs(answer, nb, c->answer.set, c->answer.n_set)
                            || slot_differs(&c->ask, ask, na, &c->answer, answer, nb)));
    return AC_OK;
}

/* Nearly the same length, and seven of ten words the same. */
ac_status ac_leak_is_mate(leak *k, const leak_case *c, const leak_exchange *x, bool *mate, ac_err *err)
{
    const size_t n = c->ask.n, m = x->to, more = n > m ? n : m, less = n > m ? m : n;
    const size_t slack = more / 4 > 3 ? more / 4 : 3;
    *mate = false;
    if (x->is_text || more - less > slack) return AC_OK;
    const ac_status st = ac_leak_scratch(k, m, err);
    if (st) return st;
    const size_t n_set = ac_words_set(k->room, x->w, m);
    size_t both = 0;
    for (size_t i = 0; i < c->ask.n_set; i++) both += ac_sorted_has(k->room, n_set, c->ask.set[i]);
    const size_t larger = n_set > c->ask.n_set ? n_set : c->ask.n_set;
    *mate = both * 10 >= larger * 7;
    return AC_OK;
}

/* Longest run of words in both, for the person who reads the finding. */
static size_t longest_run(const leak_text *t, const uint64_t *w, size_t n)
{
    size_t best = 0;
    if (n > 100000 / (t->n + 1) * 100) return 0;             /* a book against a page: not worth the time */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < t->n; j++) {
            size_t len = 0;
            if (i && j && w[i - 1] == t->w[j - 1]) continue;
            while (i + len < n && j + len < t->n && w[i + len] == t->w[j + len]) len++;
            if (len > best) best = len;
        }
    return best;
}

static size_t line_at(const leak_exchange *x, size_t word)
{
    size_t lo = 0, hi = x->n_lines;
    if (!x->line_words) return x->line;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (x->line_words[mid] <= word) lo = mid + 1;
        else hi = mid;
    }
    return lo ? lo : 1;
}

void ac_leak_count(leak *k, leak_case *c, leak_count *n, const leak_exchange *x, double score, size_t at)
{
    const size_t line = line_at(x, at);
    if (n->n == 0 || score > n->score) {
        n->score = score;
        n->line = line;
        n->run = longest_run(&c->ask, x->w, x->to);
    }
    if (line != n->last_line || n->n == 0) n->n++;
    n->last_line = line;
    n->identity += x->row_hash;
    c->done_row = k->row_number;
}

/* Similar questions: `score` is their similarity; at: the word at which it shows. */
ac_status ac_leak_judge(leak *k, leak_case *c, const leak_exchange *x, leak_kind kind, double score, size_t at, bool may_fail,
                        ac_err *err)
{
    bool near = false, sibling = false;
    ac_status st = may_fail ? answer_near(k, c, x, &near, err) : AC_OK;
    if (!st && near) st = is_sibling(k, c, x, &sibling, err);
    if (!st) ac_leak_count(k, c, near && !sibling ? &c->fail[kind] : &c->warn[kind], x, score, at);
    return st;
}

/* ---- runs of words ---- */

ac_status ac_leak_mark_known(leak *k, ac_err *err)
{
    const size_t n = k->w.n;
    size_t run = 0;
    k->longest_known = 0;
    if (n > k->known_cap) {
        uint8_t *p = ac_realloc(k->known, n * 2);
        if (!p) return ac_fail_nomem(err, n * 2);
        k->known = p;
        k->known_cap = n * 2;
    }
    for (size_t i = 0; i < n; i++) {
        k->known[i] = 0;
        if (i + LEAK_NEAR <= n) {
            const uint64_t gram = ac_words_hash(k->w.word, i, i + LEAK_NEAR);
            k->known[i] = leak_bloom_has(k->bloom, gram) && ac_index_find(&k->near.index, gram);
        }
        run = k->known[i] ? run + 1 : 0;
        if (run > k->longest_known) k->longest_known = run;
    }
    return AC_OK;
}

static void touch(leak *k, uint32_t item)
{
    if (k->hits[item] == 0 && k->long_hits[item] == 0 && k->prompt_hits[item] == 0) k->touched[k->n_touched++] = item;
}

/* Different rows only: a row that is copied a thousand times is one. */
static void remember_row(leak *k, leak_grams *g, uint32_t *slot, uint64_t row_hash)
{
    uint64_t *rows = g->rows[*slot - 1];
    for (size_t i = 0; i < LEAK_COMMON; i++) {
        if (rows[i] == row_hash) return;
        if (rows[i]) continue;
        rows[i] = row_hash ? row_hash : 1;
        if (i + 1 == LEAK_COMMON) k->n_new_frames++;
        return;
    }
}

static ac_status count_grams(leak *k, const leak_exchange *x, leak_grams *g, uint32_t *hits, size_t *n_row, ac_err *err)
{
    *n_row = 0;
    const ac_status st = ac_leak_scratch(k, x->to, err);
    if (st) return st;
    const size_t n = ac_words_grams(k->room, x->w, x->to, g->width);
    for (size_t i = 0; i < n; i++) {
        uint32_t *slot = ac_index_find(&g->index, k->room[i]);
        if (!slot || *slot != LEAK_FRAME) ++*n_row;
        if (!slot || *slot == LEAK_FRAME) continue;
        if (g == &k->prompt_span && !x->is_document) remember_row(k, g, slot, x->row_hash);
        for (size_t j = *slot - 1; j < g->n && g->post[j].gram == k->room[i]; j++) {
            touch(k, g->post[j].item);
            hits[g->post[j].item]++;
        }
    }
    return AC_OK;
}

/* Which runs of 8 words stand anywhere: four runs of 5 in a row may be one of 8. */
static void mark_eights(leak *k, const leak_exchange *x)
{
    const size_t overlap = LEAK_EIGHT - LEAK_NEAR + 1;
    size_t run = 0;
    for (size_t i = 0; i + LEAK_NEAR <= x->to; i++) {
        run = k->known[i] ? run + 1 : 0;
        if (run < overlap) continue;
        const size_t from = i + 1 - overlap;
        const uint32_t *slot = ac_index_find(&k->eight.index, ac_words_hash(x->w, from, from + LEAK_EIGHT));
        if (slot && *slot != LEAK_FRAME && !k->eight.seen_line[*slot - 1]) k->eight.seen_line[*slot - 1] = line_at(x, from);
    }
}

/* Where the first run of 13 of a question begins, for its line in a document. */
static size_t place_of_span(const leak *k, const leak_exchange *x, const leak_case *c)
{
    for (size_t i = 0; x->line_words && i + LEAK_NEAR <= x->to; i++)
        for (size_t j = c->ask.n_head; k->known[i] && j + LEAK_NEAR <= c->ask.n; j++)
            if (memcmp(x->w + i, c->ask.w + j, LEAK_NEAR * sizeof *x->w) == 0) return i;
    return x->from;
}

/* A run of 13 words of the question itself. In a template's next filling it may stand; anywhere else it was copied. */
static ac_status weigh_span(leak *k, leak_case *c, const leak_exchange *x, double covered, ac_err *err)
{
    bool mate = false;
    const size_t at = place_of_span(k, x, c);
    const ac_status st = ac_leak_is_mate(k, c, x, &mate, err);
    if (st) return st;
    if (mate) return ac_leak_judge(k, c, x, LEAK_NGRAM, covered, at, true, err);
    /* A document may share a sentence with a question; it must not hold the question. */
    if (x->is_document && covered < LEAK_WARN) ac_leak_count(k, c, &c->warn[LEAK_NGRAM], x, covered, at);
    else ac_leak_count(k, c, &c->fail[LEAK_NGRAM], x, covered, at);
    return AC_OK;
}

static ac_status weigh(leak *k, leak_case *c, const leak_exchange *x, double both, size_t n_row, double span, double own,
                       ac_err *err)
{
    const double all = x->is_text ? (double)c->n_grams : (double)c->n_grams + (double)n_row - both;
    const double score = all > 0 ? both / all : 0;
    const double covered = (span + LEAK_SPAN - 1) / (double)(c->ask.n ? c->ask.n : 1);
    const double mine = (own + LEAK_SPAN - 1) / (double)(c->ask.n > c->ask.n_head ? c->ask.n - c->ask.n_head : 1);
    /* One judgement a pair: the rule that may fail goes before the one that can only warn. */
    if (x->is_document && score >= LEAK_FAIL) ac_leak_count(k, c, &c->fail[LEAK_SIMILAR], x, score, place_of_span(k, x, c));
    else if (score >= LEAK_FAIL) return ac_leak_judge(k, c, x, LEAK_SIMILAR, score, x->from, true, err);
    else if (own > 0) return weigh_span(k, c, x, mine < 1 ? mine : 1, err);
    else if (span > 0 && covered >= LEAK_FAIL)
        return ac_leak_judge(k, c, x, LEAK_NGRAM, covered < 1 ? covered : 1, x->from, true, err);
    else if (score >= LEAK_WARN) return ac_leak_judge(k, c, x, LEAK_SIMILAR, score, x->from, false, err);
    else if (span > 0) return ac_leak_judge(k, c, x, LEAK_NGRAM, covered, x->from, false, err);
    return AC_OK;
}

static ac_status similar(leak *k, const leak_exchange *x, ac_err *err)
{
    size_t n_row, ignore;
    if (!k->longest_known) return AC_OK;
    ac_status st = count_grams(k, x, &k->near, k->hits, &n_row, err);
    if (!st && k->longest_known >= LEAK_EIGHT - LEAK_NEAR + 1) mark_eights(k, x);
    if (!st && k->longest_known >= LEAK_SPAN - LEAK_NEAR + 1) {
        st = count_grams(k, x, &k->span, k->long_hits, &ignore, err);
        if (!st) st = count_grams(k, x, &k->prompt_span, k->prompt_hits, &ignore, err);
    }
    for (size_t i = 0; i < k->n_touched; i++) {
        const uint32_t t = k->touched[i];
        const double both = k->hits[t], span = k->long_hits[t], own = k->prompt_hits[t];
        k->hits[t] = k->long_hits[t] = k->prompt_hits[t] = 0;
        if (!st && k->item[t].done_row != k->row_number) st = weigh(k, &k->item[t], x, both, n_row, span, own, err);
    }
    k->n_touched = 0;
    return st;
}

ac_status ac_leak_near_cases(leak *k, const leak_exchange *x, size_t i, ac_err *err)
{
    size_t n_row;
    ac_status st = k->longest_known ? count_grams(k, x, &k->near, k->hits, &n_row, err) : AC_OK;
    for (size_t t = 0; t < k->n_touched; t++) {
        leak_case *c = &k->item[k->touched[t]];
        const double both = k->hits[k->touched[t]], all = (double)c->n_grams + (double)n_row - both;
        k->hits[k->touched[t]] = 0;
        if (st || k->touched[t] >= i || all <= 0 || both / all < LEAK_FAIL) continue;
        st = ac_leak_judge(k, c, x, LEAK_SIMILAR, both / all, x->from, true, err);
    }
    k->n_touched = 0;
    return st;
}

/* ---- the same words ---- */

static ac_status same_words(leak *k, const leak_exchange *x, ac_err *err)
{
    const uint32_t *at = ac_index_find(&k->asks, ac_words_hash(x->w, 0, x->to));
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_ASK])
        ac_leak_count(k, &k->item[i - 1], &k->item[i - 1].fail[LEAK_EXACT], x, 1, 0);
    if (x->is_text) return AC_OK;
    at = ac_index_find(&k->prompts, ac_words_hash(x->w, x->from, x->to));
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_PROMPT]) {
        leak_case *c = &k->item[i - 1];
        const size_t n = c->ask.n - c->ask.n_head;
        if (n < LEAK_NEAR || (c->ask.n == x->to && c->ask_hash == ac_words_hash(x->w, 0, x->to))) continue;
        const ac_status st = ac_leak_judge(k, c, x, LEAK_PROMPT, 1, x->from, true, err);
        if (st) return st;
    }
    return AC_OK;
}

/* Is the run [from, to) of a text's words a sentence, a line or more of it, and not a part of one? Words that stand in
 * front of sentence ends are counted as the text is read again, which happens for findings only. */
static ac_status is_bounded(ac_view t, size_t from, size_t to, bool *yes, ac_err *err)
{
    ac_words w = { 0 };
    bool begins = from == 0, ends = false;
    ac_status st = AC_OK;
    for (size_t i = 0, start = 0; i <= t.len && !st; i++) {
        const char c = i < t.len ? t.ptr[i] : '\n', d = i + 1 < t.len ? t.ptr[i + 1] : '\n';
        const bool mark = c && strchr(".?!:;", c) && (d == ' ' || d == '\n' || d == '\t' || d == '"' || d == '\'' || d == '\r');
        if (!(c == '\n' || c == '"' || mark)) continue;
        st = ac_words_add(&w, ac_view_slice(t, start, i), err);
        start = i + 1;
        begins = begins || w.n == from;
        ends = ends || w.n == to;
    }
    ac_words_release(&w);
    *yes = begins && ends;
    return st;
}

static ac_status found_inside(leak *k, leak_case *c, const leak_exchange *x, size_t from, size_t to, size_t at, bool is_question,
                              ac_err *err)
{
    const size_t n = c->ask.n - c->ask.n_head, others = to - from - n;
    const leak_kind kind = x->is_text ? LEAK_EXACT : LEAK_INSIDE;
    bool bounded = false;
    if (n < LEAK_WHOLE && c->ask.n_head) return AC_OK;       /* a short follow-up that any talk may hold */
    if (x->is_text || is_question) {
        const ac_status st = is_bounded(x->text, at - from, at - from + n, &bounded, err);
        if (st) return st;
    }
    const bool fails = n >= LEAK_WHOLE ? x->is_text || !is_question || bounded || others >= n : x->is_document && bounded;
    if (fails) ac_leak_count(k, c, &c->fail[kind], x, 1, at);
    else return ac_leak_judge(k, c, x, kind, 1, at, x->is_text || is_question, err);
    return AC_OK;
}

ac_status ac_leak_inside(leak *k, const leak_exchange *x, size_t from, size_t to, bool is_question, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = from; k->longest_known && i + LEAK_NEAR <= to && !st; i++) {
        if (!k->known[i]) continue;
        const uint32_t *at = ac_index_find(&k->heads, ac_words_hash(x->w, i, i + LEAK_NEAR));
        for (uint32_t j = at ? *at : 0; j && !st; j = k->item[j - 1].next[LEAK_BY_HEAD]) {
            leak_case *c = &k->item[j - 1];
            const size_t n = c->ask.n - c->ask.n_head;
            if (n > to - i || memcmp(c->ask.w + c->ask.n_head, x->w + i, n * sizeof *x->w) != 0) continue;
            if (!x->is_text && is_question && n == to - from) continue;          /* that is the whole question */
            if (!x->is_document && c->done_row == k->row_number) continue;
            st = found_inside(k, c, x, from, to, i, is_question, err);
        }
    }
    return st;
}

ac_status ac_leak_exchange(leak *k, const leak_exchange *x, ac_err *err)
{
    ac_status st = same_words(k, x, err);
    if (!st && x->is_text) st = ac_leak_inside(k, x, 0, x->to, false, err);
    else if (!st) st = ac_leak_inside(k, x, x->from, x->to, true, err);
    if (!st) st = similar(k, x, err);
    return st ? st : ac_leak_chars(k, x, err);
}
