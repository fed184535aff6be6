/* Byte pair encoding: of all neighbouring symbols that have a merge, the pair of the lowest rank is joined,
 * the leftmost first, until none is left. A heap of candidates makes it O(n log n); a candidate that no
 * longer fits is recognised when it is taken out, because the pair at its place has another rank by then. */
#include <string.h>

#include "tokenizer/tokenizer_int.h"

#define NONE UINT32_MAX
#define FREE_SLOT UINT64_MAX
#define SCAN_MAX 24                          /* up to here looking at all pairs is faster than a heap */
#define WORD_MAX ((size_t)1 << 24)

bool ac_merge_table_init(ac_merge_table *m, size_t capacity, ac_arena *a)
{
    size_t slots = 16;
    while (slots / 2 < capacity) {
        if (slots > SIZE_MAX / 4) return false;
        slots *= 2;
    }
    ac_merge_table got = { .mask = slots - 1 };
    got.pair = ac_arena_alloc_array(a, slots, sizeof *got.pair);
    got.rank = ac_arena_alloc_array(a, slots, sizeof *got.rank);
    got.to = ac_arena_alloc_array(a, slots, sizeof *got.to);
    if (!got.pair || !got.rank || !got.to) return false;
    memset(got.pair, 0xff, slots * sizeof *got.pair);
    *m = got;
    return true;
}

static size_t slot_of(const ac_merge_table *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    size_t at = (size_t)h & m->mask;
    while (m->pair[at] != pair && m->pair[at] != FREE_SLOT) at = (at + 1) & m->mask;
    return at;
}

/* The last rank of a pair that stands twice counts, as in the reference's map. */
void ac_merge_table_set(ac_merge_table *m, uint32_t left, uint32_t right, uint32_t rank, uint32_t to)
{
    const uint64_t pair = (uint64_t)left << 32 | right;
    const size_t at = slot_of(m, pair);
    if (m->pair[at] == FREE_SLOT) m->n++;
    m->pair[at] = pair;
    m->rank[at] = rank;
    m->to[at] = to;
}

/* Slot of the merge of symbol i and the one after it, SIZE_MAX when there is none. */
static size_t merge_at(const ac_merge_table *m, const ac_symbol *s, uint32_t i)
{
    const uint32_t next = s[i].next;
    if (next == NONE) return SIZE_MAX;
    const size_t at = slot_of(m, (uint64_t)s[i].id << 32 | s[next].id);
    return m->pair[at] == FREE_SLOT ? SIZE_MAX : at;
}

static void join(ac_symbol *s, uint32_t i, uint32_t to)
{
    const uint32_t gone = s[i].next, after = s[gone].next;
    s[i].id = to;
    s[i].next = after;
    if (after != NONE) s[after].prev = i;
    s[gone].id = NONE;
    s[gone].next = NONE;
}

/* ---- short words: look at all pairs each time ---- */

static void merge_short(const ac_merge_table *m, ac_symbol *s, size_t n)
{
    uint32_t rank[SCAN_MAX] = { 0 };
    size_t slot[SCAN_MAX] = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        slot[i] = merge_at(m, s, i);
        rank[i] = slot[i] == SIZE_MAX ? NONE : m->rank[slot[i]];
    }
    for (;;) {
        uint32_t best = NONE, at = 0;
        for (uint32_t i = 0; i != NONE; i = s[i].next)
            if (rank[i] < best) {
                best = rank[i];
                at = i;
            }
        if (best == NONE) return;
        join(s, at, m->to[slot[at]]);
        const uint32_t touched[2] = { at, s[at].prev };
        for (size_t k = 0; k < 2; k++) {
            const uint32_t i = touched[k];
            if (i == NONE) continue;
            slot[i] = merge_at(m, s, i);
            rank[i] = slot[i] == SIZE_MAX ? NONE : m->rank[slot[i]];
        }
    }
}

/* ---- long words: a binary heap ---- */

static void sift_down(uint64_t *h, size_t n, size_t i)
{
    const uint64_t v = h[i];
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= n) break;
        if (c + 1 < n && h[c + 1] < h[c]) c++;
        if (h[c] >= v) break;
        h[i] = h[c];
        i = c;
    }
    h[i] = v;
}

static void heap_push(uint64_t *h, size_t *n, uint64_t v)
{
    size_t i = (*n)++;
    while (i > 0 && h[(i - 1) / 2] > v) {
        h[i] = h[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h[i] = v;
}

static void offer(const ac_merge_table *m, ac_merge_work *w, size_t *n, uint32_t i)
{
    const size_t slot = i == NONE ? SIZE_MAX : merge_at(m, w->symbol, i);
    if (slot != SIZE_MAX) heap_push(w->heap, n, (uint64_t)m->rank[slot] << 32 | i);
}

static ac_status merge_long(const ac_merge_table *m, ac_merge_work *w, ac_err *err)
{
    /* n - 1 candidates at first; each join takes one out and puts at most two in: 2 n are enough. */
    const size_t want = 2 * w->n;
    if (w->heap_cap < want) {
        uint64_t *heap = ac_realloc(w->heap, want * sizeof *heap);
        if (!heap) return ac_fail_nomem(err, want * sizeof *heap);
        w->heap = heap;
        w->heap_cap = want;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const size_t slot = merge_at(m, w->symbol, i);
        if (slot != SIZE_MAX) w->heap[n++] = (uint64_t)m->rank[slot] << 32 | i;
    }
    for (size_t i = n / 2; i-- > 0;) sift_down(w->heap, n, i);
    while (n > 0) {
        const uint32_t i = (uint32_t)w->heap[0], rank = (uint32_t)(w->heap[0] >> 32);
        w->heap[0] = w->heap[--n];
        if (n > 0) sift_down(w->heap, n, 0);
        if (w->symbol[i].id == NONE) continue;
        const size_t slot = merge_at(m, w->symbol, i);
        if (slot == SIZE_MAX || m->rank[slot] != rank) continue;
        join(w->symbol, i, m->to[slot]);
        offer(m, w, &n, i);
        offer(m, w, &n, w->symbol[i].prev);
    }
    return AC_OK;
}

ac_status ac_merge_push(ac_merge_work *w, uint32_t id, ac_err *err)
{
    if (w->n == w->cap) {
        if (w->n >= WORD_MAX)
            return ac_fail(err, AC_EFORMAT, "a word of more than %zu characters without a break; split the "
                           "text", WORD_MAX);
        const size_t cap = w->cap ? w->cap * 2 : 256;
        ac_symbol *s = ac_realloc(w->symbol, cap * sizeof *s);
        if (!s) return ac_fail_nomem(err, cap * sizeof *s);
        w->symbol = s;
        w->cap = cap;
    }
    const uint32_t i = (uint32_t)w->n++;
    w->symbol[i] = (ac_symbol){ .id = id, .prev = i ? i - 1 : NONE, .next = NONE };
    if (i) w->symbol[i - 1].next = i;
    return AC_OK;
}

ac_status ac_merge_run(const ac_merge_table *m, ac_merge_work *w, ac_err *err)
{
    if (w->n < 2) return AC_OK;
    if (w->n > SCAN_MAX) return merge_long(m, w, err);
    merge_short(m, w->symbol, w->n);
    return AC_OK;
}

void ac_merge_release(ac_merge_work *w)
{
    ac_free(w->symbol);
    ac_free(w->heap);
    *w = (ac_merge_work){ 0 };
}
