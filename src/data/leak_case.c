/* The cases of a leak check, indexed by words, runs of words and windows of characters. */
#include <stdlib.h>
#include <string.h>

#include "data/leak_int.h"

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
    if (!(c->chars = ac_arena_alloc_array(&k->arena, t->prompt.len, sizeof *c->chars)))
        return ac_fail_nomem(err, t->prompt.len * sizeof *c->chars);
    c->n_chars = ac_leak_chars_of(c->chars, t->prompt);
    return AC_OK;
}

static int by_gram(const void *a, const void *b)
{
    const leak_post *x = a, *y = b;
    if (x->gram != y->gram) return x->gram < y->gram ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

/* Runs that a tenth of the cases share are the task's own frame and are not evidence. */
bool ac_leak_is_frame(size_t group, size_t n_cases)
{
    return group >= 3 && group * 10 > n_cases;
}

static ac_status grams_room(leak_grams *g, leak *k, size_t total, ac_err *err)
{
    g->post = ac_arena_alloc_array(&k->arena, total + 1, sizeof *g->post);
    g->seen_line = ac_arena_alloc_array(&k->arena, total + 1, sizeof *g->seen_line);
    g->rows = ac_arena_alloc_array(&k->arena, g->prompts && g->width == LEAK_SPAN ? total + 1 : 1, sizeof *g->rows);
    return g->post && g->seen_line && g->rows ? AC_OK : ac_fail_nomem(err, total * sizeof *g->rows);
}

static ac_status grams_slots(leak_grams *g, leak *k, ac_err *err)
{
    if (g->n > 1) qsort(g->post, g->n, sizeof *g->post, by_gram);
    for (size_t from = 0, to; from < g->n; from = to) {
        for (to = from + 1; to < g->n && g->post[to].gram == g->post[from].gram; to++) { }
        uint32_t *slot = ac_index_at(&g->index, g->post[from].gram);
        if (!slot) return ac_fail_nomem(err, g->index.cap * 24);
        const bool frame = ac_leak_is_frame(to - from, k->n);
        *slot = frame ? LEAK_FRAME : (uint32_t)from + 1;
        for (size_t j = from; !frame && g == &k->near && j < to; j++) k->item[g->post[j].item].n_grams++;
        if (g == &k->near) ac_leak_bloom_add(k->bloom, g->post[from].gram);
        if (g == &k->window) ac_leak_bloom_add(k->bloom + LEAK_BLOOM / 8, g->post[from].gram);
    }
    return AC_OK;
}

static ac_status grams_index(leak_grams *g, leak *k, size_t width, bool prompts, ac_err *err)
{
    size_t total = 0;
    g->width = width;
    g->prompts = prompts;
    for (size_t i = 0; i < k->n; i++) {
        const size_t n = k->item[i].ask.n - (prompts ? k->item[i].ask.n_head : 0);
        if (n >= width) total += n - width + 1;
    }
    ac_status st = grams_room(g, k, total, err);
    uint64_t *room = st ? NULL : ac_calloc(total + 1, sizeof *room);
    if (!st && !room) st = ac_fail_nomem(err, total * 8);
    for (size_t i = 0; i < k->n && !st; i++) {
        const leak_text *t = &k->item[i].ask;
        const size_t skip = prompts ? t->n_head : 0;
        const size_t n = ac_words_grams(room, t->w + skip, t->n - skip, width);
        for (size_t j = 0; j < n; j++) g->post[g->n++] = (leak_post){ room[j], (uint32_t)i };
    }
    ac_free(room);
    return st ? st : grams_slots(g, k, err);
}

/* Windows of characters: hashes that roll (leak_chars.c). */
static ac_status windows_index(leak *k, ac_err *err)
{
    leak_grams *g = &k->window;
    size_t total = 0;
    g->width = LEAK_WINDOW;
    for (size_t i = 0; i < k->n; i++)
        if (k->item[i].n_chars >= LEAK_WINDOW) total += k->item[i].n_chars - LEAK_WINDOW + 1;
    ac_status st = grams_room(g, k, total, err);
    if (!st) st = ac_leak_chars_index(k, err);
    return st ? st : grams_slots(g, k, err);
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

static ac_status room_for_cases(leak *k, size_t n, ac_err *err)
{
    k->n = n;
    k->item = ac_arena_alloc_array(&k->arena, n, sizeof *k->item);
    uint32_t **const counters[] = { &k->hits, &k->long_hits, &k->prompt_hits, &k->touched, &k->char_run, &k->char_best };
    for (size_t i = 0; i < AC_COUNTOF(counters); i++)
        if (!(*counters[i] = ac_arena_alloc_array(&k->arena, n, sizeof **counters[i]))) return ac_fail_nomem(err, n * 4);
    k->char_at = ac_arena_alloc_array(&k->arena, n, sizeof *k->char_at);
    k->bloom = ac_arena_alloc(&k->arena, 2 * LEAK_BLOOM / 8);
    return k->item && k->char_at && k->bloom ? AC_OK : ac_fail_nomem(err, n * sizeof *k->item);
}

ac_status ac_leak_prepare(leak *k, const ac_leak_text *cases, size_t n, ac_err *err)
{
    if (n >= UINT32_MAX - 1) return ac_fail(err, AC_EARG, "too many cases (%zu)", n);
    ac_status st = room_for_cases(k, n, err);
    for (size_t i = 0; i < n && !st; i++) {
        leak_case *c = &k->item[i];
        st = prepare_case(c, &cases[i], k, err);
        const leak_text *t = &c->ask;
        if (!st && t->n) st = chain(&k->asks, c->ask_hash, k, i, LEAK_BY_ASK, err);
        if (!st && t->n > t->n_head) st = chain(&k->prompts, c->prompt_hash, k, i, LEAK_BY_PROMPT, err);
        if (!st && c->answer.n) st = chain(&k->answers, c->answer_hash, k, i, LEAK_BY_ANSWER, err);
        if (!st && t->n - t->n_head >= LEAK_NEAR)
            st = chain(&k->heads, ac_words_hash(t->w, t->n_head, t->n_head + LEAK_NEAR), k, i, LEAK_BY_HEAD, err);
    }
    if (!st) st = grams_index(&k->near, k, LEAK_NEAR, false, err);
    if (!st) st = grams_index(&k->eight, k, LEAK_EIGHT, true, err);
    if (!st) st = grams_index(&k->span, k, LEAK_SPAN, false, err);
    if (!st) st = grams_index(&k->prompt_span, k, LEAK_SPAN, true, err);
    return st ? st : windows_index(k, err);
}

void ac_leak_release(leak *k)
{
    ac_index_release(&k->asks);
    ac_index_release(&k->prompts);
    ac_index_release(&k->answers);
    ac_index_release(&k->heads);
    ac_index_release(&k->near.index);
    ac_index_release(&k->eight.index);
    ac_index_release(&k->span.index);
    ac_index_release(&k->prompt_span.index);
    ac_index_release(&k->window.index);
    ac_words_release(&k->w);
    ac_free(k->known);
    ac_free(k->room);
    ac_free(k->chars);
    ac_arena_release(&k->arena);
}

void ac_leak_bloom_add(uint8_t *bloom, uint64_t gram)
{
    const size_t bit = (size_t)(gram >> 40) & (LEAK_BLOOM - 1);
    bloom[bit >> 3] = (uint8_t)(bloom[bit >> 3] | 1u << (bit & 7));
}

ac_status ac_leak_scratch(leak *k, size_t n, ac_err *err)
{
    if (n <= k->n_room) return AC_OK;
    uint64_t *p = ac_realloc(k->room, n * 2 * sizeof *p);
    if (!p) return ac_fail_nomem(err, n * 16);
    k->room = p;
    k->n_room = n * 2;
    return AC_OK;
}
