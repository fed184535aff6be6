/* Leaks of evaluation cases into rows (docs/data.md, "Leaks"). The cases are few and are indexed; the rows
 * are streamed once past the index, so the time grows with the rows' text and not with rows times cases. */
#include <stdlib.h>
#include <string.h>

#include "data/leak_int.h"

/* ---- preparing the cases ---- */

static ac_status words_of(leak_text *t, ac_arena *a, ac_words *w, size_t n_head, ac_err *err)
{
    t->n = w->n;
    t->n_head = n_head;
    if (!(t->w = ac_arena_alloc_array(a, w->n, sizeof *t->w))) return ac_fail_nomem(err, w->n * 8);
    if (!(t->set = ac_arena_alloc_array(a, w->n, sizeof *t->set))) return ac_fail_nomem(err, w->n * 8);
    if (w->n) memcpy(t->w, w->word, w->n * sizeof *t->w);
    t->n_set = ac_words_set(t->set, t->w, t->n);
    return AC_OK;
}

static ac_status prepare_case(leak_case *c, const ac_leak_text *t, leak *k, ac_err *err)
{
    k->w.n = 0;
    ac_status st = ac_words_add(&k->w, t->context, err);
    const size_t n_context = k->w.n;
    if (!st) st = ac_words_add(&k->w, t->prompt, err);
    if (!st) st = words_of(&c->ask, &k->arena, &k->w, n_context, err);
    k->w.n = 0;
    if (!st) st = ac_words_add(&k->w, t->answer, err);
    if (!st) st = words_of(&c->answer, &k->arena, &k->w, 0, err);
    if (st) return st;
    c->in = t;
    c->ask_hash = ac_words_hash(c->ask.w, 0, c->ask.n);
    c->prompt_hash = ac_words_hash(c->ask.w, n_context, c->ask.n);
    c->answer_hash = ac_words_hash(c->answer.w, 0, c->answer.n);
    return AC_OK;
}

static int by_gram(const void *a, const void *b)
{
    const leak_post *x = a, *y = b;
    if (x->gram != y->gram) return x->gram < y->gram ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

/* n-grams that a tenth of the cases share are the task's own frame and are not evidence. */
static bool is_frame(size_t group, size_t n_cases)
{
    return group >= 3 && group * 10 > n_cases;
}

static ac_status grams_index(leak_grams *g, leak *k, size_t width, ac_err *err)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < k->n; i++)
        if (k->item[i].ask.n >= width) total += k->item[i].ask.n - width + 1;
    g->width = width;
    g->post = ac_arena_alloc_array(&k->arena, total + 1, sizeof *g->post);
    uint64_t *room = ac_calloc(total + 1, sizeof *room);
    if (!g->post || !room) {
        ac_free(room);
        return ac_fail_nomem(err, total * 24);
    }
    for (size_t i = 0; i < k->n; i++) {
        const size_t n = ac_words_grams(room, k->item[i].ask.w, k->item[i].ask.n, width);
        for (size_t j = 0; j < n; j++) g->post[at++] = (leak_post){ room[j], (uint32_t)i };
    }
    ac_free(room);
    if (at > 1) qsort(g->post, at, sizeof *g->post, by_gram);
    g->n = at;
    for (size_t from = 0, to; from < at; from = to) {
        for (to = from + 1; to < at && g->post[to].gram == g->post[from].gram; to++) { }
        uint32_t *slot = ac_index_at(&g->index, g->post[from].gram);
        if (!slot) return ac_fail_nomem(err, g->index.cap * 24);
        const bool frame = is_frame(to - from, k->n);
        *slot = frame ? LEAK_FRAME : (uint32_t)from + 1;
        for (size_t j = from; !frame && width == LEAK_NEAR && j < to; j++) k->item[g->post[j].item].n_grams++;
    }
    return AC_OK;
}

/* Cases with the same key form a chain; *slot holds the first, plus one. */
static ac_status chain(ac_index *x, uint64_t key, leak *k, size_t i, size_t which, ac_err *err)
{
    uint32_t *slot = ac_index_at(x, key);
    if (!slot) return ac_fail_nomem(err, x->cap * 24);
    k->item[i].next[which] = *slot == UINT32_MAX ? 0 : *slot;
    *slot = (uint32_t)i + 1;
    return AC_OK;
}

static ac_status prepare(leak *k, const ac_leak_text *cases, size_t n, ac_err *err)
{
    if (n >= UINT32_MAX - 1) return ac_fail(err, AC_EARG, "too many cases (%zu)", n);
    k->n = n;
    k->item = ac_arena_alloc_array(&k->arena, n, sizeof *k->item);
    k->hits = ac_arena_alloc_array(&k->arena, n, sizeof *k->hits);
    k->long_hits = ac_arena_alloc_array(&k->arena, n, sizeof *k->long_hits);
    k->touched = ac_arena_alloc_array(&k->arena, n, sizeof *k->touched);
    if (!k->item || !k->hits || !k->long_hits || !k->touched) return ac_fail_nomem(err, n * sizeof *k->item);
    for (size_t i = 0; i < n; i++) {
        leak_case *c = &k->item[i];
        ac_status st = prepare_case(c, &cases[i], k, err);
        if (!st && c->ask.n) st = chain(&k->asks, c->ask_hash, k, i, LEAK_BY_ASK, err);
        if (!st && c->ask.n > c->ask.n_head) st = chain(&k->prompts, c->prompt_hash, k, i, LEAK_BY_PROMPT, err);
        if (!st && c->answer.n) st = chain(&k->answers, c->answer_hash, k, i, LEAK_BY_ANSWER, err);
        if (!st && c->ask.n >= LEAK_NEAR)
            st = chain(&k->heads, ac_words_hash(c->ask.w, 0, LEAK_NEAR), k, i, LEAK_BY_HEAD, err);
        if (st) return st;
    }
    const ac_status st = grams_index(&k->near, k, LEAK_NEAR, err);
    return st ? st : grams_index(&k->span, k, LEAK_SPAN, err);
}

/* ---- comparing one case with one exchange of a row ---- */

static ac_status scratch(leak *k, size_t n, ac_err *err)
{
    if (n <= k->n_room) return AC_OK;
    uint64_t *p = ac_realloc(k->room, n * 2 * sizeof *p);
    if (!p) return ac_fail_nomem(err, n * 16);
    k->room = p;
    k->n_room = n * 2;
    return AC_OK;
}

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
    const ac_status st = scratch(k, n + c->answer.n, err);
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
    const ac_status st = scratch(k, n_ask + n_answer, err);
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

static void count(leak_count *n, const leak_exchange *x, double score)
{
    if (n->n == 0 || score > n->score) {
        n->score = score;
        n->line = x->line;
    }
    if (x->line != n->last_line || n->n == 0) n->n++;
    n->last_line = x->line;
    n->identity += x->row_hash;
}

/* Similar questions: `score` is their similarity. */
static ac_status judge(leak *k, leak_case *c, const leak_exchange *x, leak_kind kind, double score, bool may_fail,
                       ac_err *err)
{
    bool near = false, sibling = false;
    ac_status st = may_fail ? answer_near(k, c, x, &near, err) : AC_OK;
    if (!st && near) st = is_sibling(k, c, x, &sibling, err);
    if (!st) count(near && !sibling ? &c->fail[kind] : &c->warn[kind], x, score);
    return st;
}

/* ---- one exchange past the index ---- */

static void touch(leak *k, uint32_t item)
{
    if (k->hits[item] == 0 && k->long_hits[item] == 0) k->touched[k->n_touched++] = item;
}

static ac_status count_grams(leak *k, const leak_exchange *x, const leak_grams *g, uint32_t *hits, size_t *n_row,
                             size_t *n_known, ac_err *err)
{
    *n_row = *n_known = 0;
    const ac_status st = scratch(k, x->to, err);
    if (st) return st;
    const size_t n = ac_words_grams(k->room, x->w, x->to, g->width);
    for (size_t i = 0; i < n; i++) {
        const uint32_t *slot = ac_index_find(&g->index, k->room[i]);
        if (slot) ++*n_known;
        if (!slot || *slot != LEAK_FRAME) ++*n_row;
        if (!slot || *slot == LEAK_FRAME) continue;
        for (size_t j = *slot - 1; j < g->n && g->post[j].gram == k->room[i]; j++) {
            touch(k, g->post[j].item);
            hits[g->post[j].item]++;
        }
    }
    return AC_OK;
}

/* Already found as the same question. */
static bool is_whole(const leak_case *c, const leak_exchange *x)
{
    if (x->is_text) return contains_run(x->w, x->to, c->ask.w, c->ask.n);
    return c->ask.n == x->to && memcmp(c->ask.w, x->w, x->to * sizeof *x->w) == 0;
}

static ac_status similar(leak *k, const leak_exchange *x, ac_err *err)
{
    size_t n_row, n_known, ignore;
    ac_status st = count_grams(k, x, &k->near, k->hits, &n_row, &n_known, err);
    /* A shared run of 13 words shares nine runs of 5. */
    if (!st && n_known >= LEAK_SPAN - LEAK_NEAR + 1)
        st = count_grams(k, x, &k->span, k->long_hits, &ignore, &ignore, err);
    for (size_t i = 0; i < k->n_touched; i++) {
        leak_case *c = &k->item[k->touched[i]];
        const double both = k->hits[k->touched[i]], span = k->long_hits[k->touched[i]];
        k->hits[k->touched[i]] = k->long_hits[k->touched[i]] = 0;
        if (st || is_whole(c, x)) continue;
        const double all = x->is_text ? (double)c->n_grams : (double)c->n_grams + (double)n_row - both;
        const double score = all > 0 ? both / all : 0;
        const double covered = (span + LEAK_SPAN - 1) / (double)(c->ask.n ? c->ask.n : 1);
        /* One judgement a pair: the rule that may fail goes before the one that can only warn. */
        if (score >= LEAK_FAIL) st = judge(k, c, x, LEAK_SIMILAR, score, true, err);
        else if (span > 0 && covered >= LEAK_FAIL)
            st = judge(k, c, x, LEAK_NGRAM, covered < 1 ? covered : 1, true, err);
        else if (score >= LEAK_WARN) st = judge(k, c, x, LEAK_SIMILAR, score, false, err);
        else if (span > 0) st = judge(k, c, x, LEAK_NGRAM, covered, false, err);
    }
    k->n_touched = 0;
    return st;
}

static ac_status same_words(leak *k, const leak_exchange *x, ac_err *err)
{
    const uint32_t *at = ac_index_find(&k->asks, ac_words_hash(x->w, 0, x->to));
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_ASK])
        count(&k->item[i - 1].fail[LEAK_EXACT], x, 1);
    if (x->is_text) return AC_OK;
    at = ac_index_find(&k->prompts, ac_words_hash(x->w, x->from, x->to));
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_PROMPT]) {
        leak_case *c = &k->item[i - 1];
        const size_t n = c->ask.n - c->ask.n_head;
        if (n < LEAK_NEAR || (c->ask.n == x->to && c->ask_hash == ac_words_hash(x->w, 0, x->to))) continue;
        const ac_status st = judge(k, c, x, LEAK_PROMPT, 1, true, err);
        if (st) return st;
    }
    return AC_OK;
}

/* A whole question inside a text row. */
static ac_status inside_text(leak *k, const leak_exchange *x, ac_err *err)
{
    for (size_t i = 0; i + LEAK_NEAR <= x->to; i++) {
        const uint32_t *at = ac_index_find(&k->heads, ac_words_hash(x->w, i, i + LEAK_NEAR));
        for (uint32_t j = at ? *at : 0; j; j = k->item[j - 1].next[LEAK_BY_HEAD]) {
            leak_case *c = &k->item[j - 1];
            if (c->ask.n > x->to - i || memcmp(c->ask.w, x->w + i, c->ask.n * sizeof *x->w) != 0) continue;
            if (c->ask.n >= LEAK_WHOLE) count(&c->fail[LEAK_EXACT], x, 1);
            else {
                const ac_status st = judge(k, c, x, LEAK_EXACT, 1, true, err);
                if (st) return st;
            }
        }
    }
    return AC_OK;
}

static ac_status exchange(leak *k, const leak_exchange *x, ac_err *err)
{
    ac_status st = same_words(k, x, err);
    if (!st && x->is_text) st = inside_text(k, x, err);
    return st ? st : similar(k, x, err);
}

/* ---- rows ---- */

static ac_status row_words(leak *k, const ac_row *r, size_t *ends, ac_err *err)
{
    k->w.n = 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        if (r->message[i].role != AC_ROLE_SYSTEM) {
            const ac_status st = ac_words_add(&k->w, r->message[i].content, err);
            if (st) return st;
        }
        ends[i] = k->w.n;
    }
    return AC_OK;
}

static void note_answer(leak *k, const uint64_t *w, size_t n)
{
    const uint32_t *at = n ? ac_index_find(&k->answers, ac_words_hash(w, 0, n)) : NULL;
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_ANSWER]) k->item[i - 1].answered = true;
}

static ac_status row_exchanges(leak *k, const ac_row *r, bool is_text, const size_t *ends, ac_err *err)
{
    leak_exchange x = { .w = k->w.word, .line = r->line, .is_text = is_text };
    x.row_hash = ac_words_hash(k->w.word, 0, k->w.n);
    if (is_text) {
        x.to = x.answer_to = k->w.n;
        return exchange(k, &x, err);
    }
    for (size_t i = 0; i < r->n_messages; i++) {
        const size_t from = i ? ends[i - 1] : 0;
        if (r->message[i].role == AC_ROLE_ASSISTANT) note_answer(k, k->w.word + from, ends[i] - from);
        if (r->message[i].role != AC_ROLE_USER || ends[i] == from) continue;
        size_t a = i + 1;
        while (a < r->n_messages && r->message[a].role != AC_ROLE_ASSISTANT && r->message[a].role != AC_ROLE_USER) a++;
        x.from = from;
        x.to = ends[i];
        x.answer_from = x.answer_to = ends[i];
        if (a < r->n_messages && r->message[a].role == AC_ROLE_ASSISTANT) {
            x.answer_from = ends[a - 1];
            x.answer_to = ends[a];
        }
        const ac_status st = exchange(k, &x, err);
        if (st) return st;
    }
    return AC_OK;
}

static ac_status stream(leak *k, const ac_row_file *rows, const char *canary, ac_err *err)
{
    const ac_view mark = ac_view_of(canary);
    size_t *ends = NULL, cap = 0;
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < rows->n; i++) {
        const ac_row *r = &rows->row[i];
        if (r->n_messages > cap) {
            size_t *p = ac_realloc(ends, r->n_messages * 2 * sizeof *p);
            if (!p) {
                st = ac_fail_nomem(err, r->n_messages * 2 * sizeof *p);
                break;
            }
            ends = p;
            cap = r->n_messages * 2;
        }
        for (size_t j = 0; mark.len && j < r->n_messages; j++)
            if (ac_view_find(r->message[j].content, mark, 0) != SIZE_MAX && k->n_canary++ == 0)
                k->canary_line = r->line;
        st = row_words(k, r, ends, err);
        if (!st) st = row_exchanges(k, r, rows->format == AC_FORMAT_TEXT, ends, err);
    }
    ac_free(ends);
    return st;
}

ac_status ac_leak_check(ac_findings *out, const ac_leak_text *cases, size_t n_cases,
                        const ac_row_file *rows, const char *canary, ac_err *err)
{
    leak k = { 0 };
    ac_findings f = { 0 };
    ac_status st = prepare(&k, cases, n_cases, err);
    if (!st) st = stream(&k, rows, canary, err);
    if (!st) st = ac_leak_report(&f, &k, rows, err);
    ac_index_release(&k.asks);
    ac_index_release(&k.prompts);
    ac_index_release(&k.answers);
    ac_index_release(&k.heads);
    ac_index_release(&k.near.index);
    ac_index_release(&k.span.index);
    ac_words_release(&k.w);
    ac_free(k.room);
    ac_arena_release(&k.arena);
    if (st) ac_findings_release(&f);
    else *out = f;
    return st;
}
