/* Keywords: one pass over a text tells which rules may match in it. */
#include <stdlib.h>
#include <string.h>

#include "data/scan_int.h"

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

static int by_word(const void *a, const void *b)
{
    const scan_word *x = a, *y = b;
    const int c = ac_view_cmp(x->word, y->word);
    return c ? c : x->rule < y->rule ? -1 : x->rule > y->rule;
}

static void classes(scan_words *w, const scan_word *list, size_t n)
{
    w->n_classes = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].word.len; k++) {
            const unsigned char c = (unsigned char)list[i].word.ptr[k];
            if (!w->class_of[c]) w->class_of[c] = (uint8_t)w->n_classes++;
        }
    for (unsigned c = 'A'; c <= 'Z'; c++) w->class_of[c] = w->class_of[lower((unsigned char)c)];
}

/* The tree of all words; 0 is the root and also "no edge yet". */
static void plant(scan_words *w, ac_view word, size_t number)
{
    size_t state = 0;
    for (size_t k = 0; k < word.len; k++) {
        uint16_t *edge = &w->next[state * w->n_classes + w->class_of[(unsigned char)word.ptr[k]]];
        if (!*edge) *edge = (uint16_t)w->n_states++;
        state = *edge;
    }
    w->found[state] = (uint16_t)(number + 1);
}

/* Breadth first: an edge that is missing goes where the longest proper suffix's edge goes. */
static void close_edges(scan_words *w, uint16_t *queue, uint16_t *suffix)
{
    size_t head = 0, tail = 0;
    for (unsigned c = 0; c < w->n_classes; c++)
        if (w->next[c]) queue[tail++] = w->next[c];
    while (head < tail) {
        const size_t s = queue[head++];
        const size_t f = suffix[s];
        w->also[s] = w->found[f] ? (uint16_t)f : w->also[f];
        for (unsigned c = 0; c < w->n_classes; c++) {
            uint16_t *edge = &w->next[s * w->n_classes + c];
            const uint16_t fall = w->next[f * w->n_classes + c];
            if (!*edge) *edge = fall;
            else {
                suffix[*edge] = fall;
                queue[tail++] = *edge;
            }
        }
    }
}

ac_status ac_scan_words_build(scan_words *w, scan_word *list, size_t n, ac_arena *a, ac_err *err)
{
    size_t most = 1, at = 0;
    for (size_t i = 0; i < n; i++) most += list[i].word.len;
    if (most > UINT16_MAX) return ac_fail(err, AC_EFORMAT, "the rules' keywords have %zu letters; at most %u", most, UINT16_MAX);
    if (n > 1) qsort(list, n, sizeof *list, by_word);
    classes(w, list, n);
    w->next = ac_arena_alloc_array(a, most * w->n_classes, sizeof *w->next);
    w->found = ac_arena_alloc_array(a, most, sizeof *w->found);
    w->also = ac_arena_alloc_array(a, most, sizeof *w->also);
    w->word_rules = ac_arena_alloc_array(a, n + 1, sizeof *w->word_rules);
    w->rule_of = ac_arena_alloc_array(a, 2 * n + 1, sizeof *w->rule_of);
    uint16_t *room = ac_calloc(2 * most, sizeof *room);
    if (!w->next || !w->found || !w->also || !w->word_rules || !w->rule_of || !room) {
        ac_free(room);
        return ac_fail_nomem(err, most * w->n_classes * 2);
    }
    w->n_states = 1;
    for (size_t i = 0; i < n;) {
        const ac_view word = list[i].word;
        w->word_rules[w->n_words] = (uint32_t)at;
        for (; i < n && ac_view_eq(list[i].word, word); i++) w->rule_of[at++] = list[i].rule + 1;
        w->rule_of[at++] = 0;
        plant(w, word, w->n_words++);
    }
    close_edges(w, room, room + most);
    ac_free(room);
    return AC_OK;
}

bool ac_scan_words_mark(const scan_words *w, ac_view text, uint8_t *on)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t state = 0;
    bool any = false;
    if (!w->n_words) return false;
    for (size_t i = 0; i < text.len; i++) {
        state = w->next[state * w->n_classes + w->class_of[p[i]]];
        for (size_t s = state; w->found[s] || w->also[s]; s = w->also[s]) {
            if (w->found[s]) {
                any = true;
                for (const uint32_t *r = &w->rule_of[w->word_rules[w->found[s] - 1u]]; *r; r++) on[*r - 1] = 1;
            }
            if (!w->also[s]) break;
        }
    }
    return any;
}
