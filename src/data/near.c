/* Near duplicates among all rows, exactly, in bounded memory.
 *
 * Two rows are near when the sets of their runs of 5 words ("grams") have |A and B| / |A or B| >= 4/5, which is the same
 * as 9 |A and B| >= 4 (|A| + |B|).
 *  - Prefix filter: put the grams of every row into one order, the same for all. If A and B are near, then they have a gram in
 *    common among the first |A| - ceil(4/5 |A|) + 1 of A and the first so many of B.
 *  - The order puts grams first that were seen once only, which a sketch of two bits a slot knows without ever saying
 *    "once" wrongly. A row whose whole prefix was seen once has no near row, and most rows end here.
 *  - The other rows ("suspects") are posted under the grams of their prefix. Within a list, rows are sorted by size: sizes
 *    differ by 4/5 at most. A common gram at places i and j leaves room for 1 + min(|A|-i-1, |B|-j-1) common ones when it is
 *    the first; when it is not, the pair was judged in another list.
 *  - A bitmap of 256 bits a suspect bounds the symmetric difference from below. What is left is compared in full.
 *  - What hangs together already is not compared again: groups are exact, the pairs inside them are not all listed.
 * When there are more postings than POSTS_MAX, grams are done in parts by their hash, one pass over the rows each. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "data/survey_int.h"

#define GRAM 5
#define POSTS_MAX ((size_t)8 << 20)
#define SETS_MAX ((size_t)32 << 20)         /* grams of suspects kept in memory, 8 bytes each */
#define RANGE_ROWS 2048
#define RANGE_BYTES ((size_t)4 << 20)
#define SLOTS_MIN ((uint64_t)1 << 16)
#define SLOTS_MAX ((uint64_t)1 << 29)
#define REPEATED (UINT64_C(1) << 63)        /* in front of a gram's order: seen more than once */

/* ---- sketch ---- */

ac_status gram_sketch_init(gram_sketch *k, uint64_t text_bytes, ac_err *err)
{
    uint64_t slots = SLOTS_MIN;
    while (slots < text_bytes / 3 && slots < SLOTS_MAX) slots *= 2;
    *k = (gram_sketch){ .mask = slots - 1 };
    k->once = ac_calloc((size_t)(slots / 64), sizeof *k->once);
    k->twice = ac_calloc((size_t)(slots / 64), sizeof *k->twice);
    if (k->once && k->twice) return AC_OK;
    gram_sketch_release(k);
    return ac_fail_nomem(err, slots / 4);
}

void gram_sketch_release(gram_sketch *k)
{
    ac_free(k->once);
    ac_free(k->twice);
    *k = (gram_sketch){ 0 };
}

void gram_sketch_add(gram_sketch *k, const gram_set *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const uint64_t at = g->gram[i] & k->mask, bit = UINT64_C(1) << (at & 63);
        _Atomic uint64_t *once = &k->once[at >> 6], *twice = &k->twice[at >> 6];
        if (!(atomic_load_explicit(once, memory_order_relaxed) & bit)
            && !(atomic_fetch_or_explicit(once, bit, memory_order_relaxed) & bit)) continue;
        if (!(atomic_load_explicit(twice, memory_order_relaxed) & bit))
            (void)atomic_fetch_or_explicit(twice, bit, memory_order_relaxed);
    }
}

static bool repeated(const gram_sketch *k, uint64_t gram)
{
    const uint64_t at = gram & k->mask;
    return atomic_load_explicit(&k->twice[at >> 6], memory_order_relaxed) >> (at & 63) & 1;
}

/* ---- the set of a row ---- */

void gram_set_release(gram_set *g)
{
    ac_free(g->slot);
    ac_free(g->gram);
    ac_free(g->stamp);
    *g = (gram_set){ 0 };
}

static ac_status gram_set_room(gram_set *g, size_t n, ac_err *err)
{
    if (n > g->room) {
        uint64_t *p = ac_realloc(g->gram, n * 2 * sizeof *p);
        if (!p) return ac_fail_nomem(err, n * 16);
        g->gram = p;
        g->room = n * 2;
    }
    size_t cap = g->cap ? g->cap : 256;
    while (cap < n * 2) cap *= 2;
    if (cap == g->cap) return AC_OK;
    ac_free(g->slot);
    ac_free(g->stamp);
    g->cap = 0;
    g->now = 0;
    g->slot = ac_malloc(cap * sizeof *g->slot);
    g->stamp = ac_calloc(cap, sizeof *g->stamp);
    if (!g->slot || !g->stamp) return ac_fail_nomem(err, cap * 12);
    g->cap = cap;
    return AC_OK;
}

static uint64_t gram_of(const uint64_t *w)
{
    uint64_t h = w[0] * UINT64_C(0x9e3779b97f4a7c15) + w[1] * UINT64_C(0xc2b2ae3d27d4eb4f);
    h += w[2] * UINT64_C(0x165667b19e3779f9) + w[3] * UINT64_C(0xd6e8feb86659fd93) + w[4] * UINT64_C(0xa0761d6478bd642f);
    return ac_mix64(h) & ~REPEATED;
}

ac_status gram_set_fill(gram_set *g, const uint64_t *w, size_t n, ac_err *err)
{
    g->n = 0;
    if (n < GRAM) return AC_OK;
    const size_t all = n - GRAM + 1;
    const ac_status st = gram_set_room(g, all, err);
    if (st) return st;
    if (++g->now == 0) {
        memset(g->stamp, 0, g->cap * sizeof *g->stamp);
        g->now = 1;
    }
    for (size_t i = 0; i < all; i++) {
        const uint64_t h = gram_of(w + i);
        size_t at = (size_t)(h >> 20) & (g->cap - 1);
        while (g->stamp[at] == g->now && g->slot[at] != h) at = (at + 1) & (g->cap - 1);
        if (g->stamp[at] == g->now) continue;
        g->stamp[at] = g->now;
        g->slot[at] = h;
        g->gram[g->n++] = h;
    }
    return AC_OK;
}

/* ---- groups ---- */

uint32_t near_root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

void near_join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = near_root(parent, a);
    b = near_root(parent, b);
    if (a < b) parent[b] = a;
    else parent[a] = b;
}

void near_groups_release(near_groups *g)
{
    ac_free(g->parent);
    ac_free(g->link);
    *g = (near_groups){ 0 };
}

static ac_status add_link(near_groups *g, near_link l, ac_err *err)
{
    if (g->n_links == g->cap) {
        const size_t cap = g->cap ? g->cap * 2 : 256;
        near_link *p = ac_realloc(g->link, cap * sizeof *p);
        if (!p) return ac_fail_nomem(err, cap * sizeof *p);
        g->link = p;
        g->cap = cap;
    }
    g->link[g->n_links++] = l;
    return AC_OK;
}

static int by_key(const void *a, const void *b)
{
    const row_key *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

void row_keys_sort(row_key *v, size_t n)
{
    if (n > 1) qsort(v, n, sizeof *v, by_key);
}

/* Rows of the same words are one group, and its first row stands for it from here on. */
static ac_status join_equal(near_groups *g, uint8_t *is_copy, const row_table *t, ac_err *err)
{
    row_key *v = ac_malloc((t->n + 1) * sizeof *v);
    g->parent = ac_malloc((t->n + 1) * sizeof *g->parent);
    if (!v || !g->parent) {
        ac_free(v);
        return ac_fail_nomem(err, t->n * 20);
    }
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        g->parent[i] = (uint32_t)i;
        if (t->rec[i].n_words) v[n++] = (row_key){ t->rec[i].words, (uint32_t)i };
    }
    row_keys_sort(v, n);
    for (size_t i = 1; i < n; i++)
        if (v[i].key == v[i - 1].key) {
            g->parent[v[i].row] = near_root(g->parent, v[i - 1].row);
            is_copy[v[i].row] = 1;
        }
    ac_free(v);
    return AC_OK;
}

/* ---- suspects and postings ---- */

typedef struct {
    uint32_t row, n;            /* n: distinct grams */
    uint64_t set;               /* where they stand among the kept ones, sorted; or UINT64_MAX */
    uint64_t bits[4];
} suspect;

typedef struct {
    uint64_t gram;
    uint32_t who, place;        /* a suspect, and the gram's place in its order */
} post;

typedef struct {
    post *post;
    suspect *who;
    uint64_t *set;
    size_t n_posts, n_who, n_set, cap_posts, cap_who, cap_set;
} hoard;

typedef struct {
    const row_table *t;
    gram_sketch *k;
    near_groups *g;
    hoard all;
    uint8_t *is_copy;           /* of the words of an earlier row */
    uint64_t part, parts;       /* grams with gram % parts == part */
    row_reader *reader;         /* one a worker of the pool; [0] serves the comparing too */
    row_reader *other;
    size_t n_readers;
} near;

static bool grow(void **p, size_t *cap, size_t n, size_t more, size_t size)
{
    if (n + more <= *cap) return true;
    size_t want = *cap ? *cap * 2 : 256;
    while (want < n + more) want *= 2;
    void *q = ac_realloc(*p, want * size);
    if (!q) return false;
    *p = q;
    *cap = want;
    return true;
}

static void hoard_release(hoard *h)
{
    ac_free(h->post);
    ac_free(h->who);
    ac_free(h->set);
    *h = (hoard){ 0 };
}

static size_t prefix_of(size_t n)
{
    return n - (4 * n + 4) / 5 + 1;
}

static void bitmap(suspect *s, const uint64_t *gram, size_t n)
{
    memset(s->bits, 0, sizeof s->bits);
    for (size_t i = 0; i < n; i++) s->bits[gram[i] >> 8 & 3] ^= UINT64_C(1) << (gram[i] >> 10 & 63);
}

typedef struct {
    near *x;
    hoard h;
    size_t from, to;
    ac_status st;
    ac_err err;
} range;

/* The row's grams in the order, those seen once in front; false: a prefix of those alone. */
static bool order_grams(const near *x, gram_set *g)
{
    size_t once = 0;
    for (size_t i = 0; i < g->n; i++) {
        if (repeated(x->k, g->gram[i])) g->gram[i] |= REPEATED;
        else once++;
    }
    if (once >= prefix_of(g->n)) return false;
    ac_sort_u64(g->gram, g->n);
    return true;
}

static ac_status post_row(void *ctx, size_t row, row_reader *r, ac_err *err)
{
    range *a = ctx;
    near *x = a->x;
    if (x->is_copy[row] || r->w.n < GRAM) return AC_OK;
    const ac_status st = gram_set_fill(&r->grams, r->w.word, r->w.n, err);
    if (st || !order_grams(x, &r->grams)) return st;
    hoard *h = &a->h;
    gram_set *g = &r->grams;
    const size_t n_prefix = prefix_of(g->n);
    if (!grow((void **)&h->post, &h->cap_posts, h->n_posts, n_prefix, sizeof *h->post)
        || !grow((void **)&h->who, &h->cap_who, h->n_who, 1, sizeof *h->who)
        || !grow((void **)&h->set, &h->cap_set, h->n_set, g->n, sizeof *h->set))
        return ac_fail_nomem(err, g->n * 24);
    const size_t before = h->n_posts;
    for (size_t i = 0; i < n_prefix; i++)
        if (g->gram[i] & REPEATED && (g->gram[i] & ~REPEATED) % x->parts == x->part)
            h->post[h->n_posts++] = (post){ g->gram[i] & ~REPEATED, (uint32_t)h->n_who, (uint32_t)i };
    if (h->n_posts == before) return AC_OK;
    suspect *s = &h->who[h->n_who++];
    *s = (suspect){ .row = (uint32_t)row, .n = (uint32_t)g->n, .set = h->n_set };
    for (size_t i = 0; i < g->n; i++) g->gram[i] &= ~REPEATED;
    ac_sort_u64(g->gram, g->n);
    bitmap(s, g->gram, g->n);
    memcpy(h->set + h->n_set, g->gram, g->n * sizeof *h->set);
    h->n_set += g->n;
    return AC_OK;
}

static void range_run(void *ctx, size_t task, size_t worker)
{
    range *a = (range *)ctx + task;
    a->st = rows_again(a->x->t, a->from, a->to, &a->x->reader[worker], post_row, a, &a->err);
}

/* Twice as many parts: what does not belong to this one any more goes. */
static void halve(near *x)
{
    size_t kept = 0;
    x->parts *= 2;
    for (size_t i = 0; i < x->all.n_posts; i++)
        if (x->all.post[i].gram % x->parts == x->part) x->all.post[kept++] = x->all.post[i];
    x->all.n_posts = kept;
}

static ac_status take_range(near *x, const range *a, ac_err *err)
{
    hoard *to = &x->all;
    const hoard *h = &a->h;
    const bool keep = to->n_set + h->n_set <= SETS_MAX;
    if (!grow((void **)&to->post, &to->cap_posts, to->n_posts, h->n_posts, sizeof *to->post)
        || !grow((void **)&to->who, &to->cap_who, to->n_who, h->n_who, sizeof *to->who)
        || (keep && !grow((void **)&to->set, &to->cap_set, to->n_set, h->n_set, sizeof *to->set)))
        return ac_fail_nomem(err, h->n_posts * sizeof(post) + h->n_set * 8);
    for (size_t i = 0; i < h->n_posts; i++)
        if (h->post[i].gram % x->parts == x->part) {
            post p = h->post[i];
            p.who += (uint32_t)to->n_who;
            to->post[to->n_posts++] = p;
        }
    for (size_t i = 0; i < h->n_who; i++) {
        suspect s = h->who[i];
        s.set = keep ? s.set + to->n_set : UINT64_MAX;
        to->who[to->n_who++] = s;
    }
    if (keep && h->n_set) memcpy(to->set + to->n_set, h->set, h->n_set * sizeof *to->set);
    if (keep) to->n_set += h->n_set;
    while (to->n_posts > POSTS_MAX && x->parts < (UINT64_C(1) << 20)) halve(x);
    return AC_OK;
}

/* The next rows of one file that are worth one task. */
static size_t range_end(const row_table *t, size_t from)
{
    size_t to = from + 1;
    while (to < t->n && to - from < RANGE_ROWS && t->rec[to].file == t->rec[from].file
           && t->rec[to].offset + t->rec[to].len - t->rec[from].offset <= RANGE_BYTES) to++;
    return to;
}

static ac_status collect(near *x, ac_err *err)
{
    const size_t most = x->n_readers * 4;
    range *a = ac_calloc(most, sizeof *a);
    if (!a) return ac_fail_nomem(err, most * sizeof *a);
    ac_event e = { .kind = AC_EV_PROGRESS, .unit = "rows", .total = x->t->n };
    ac_status st = AC_OK;
    for (size_t at = 0; at < x->t->n && !st;) {
        size_t n = 0;
        for (; n < most && at < x->t->n; n++) {
            a[n].x = x;
            a[n].st = AC_OK;
            a[n].from = at;
            a[n].to = at = range_end(x->t, at);
            a[n].h.n_posts = a[n].h.n_who = a[n].h.n_set = 0;
        }
        ac_pool_run(x->t->pool, n, range_run, a);
        for (size_t i = 0; i < n && !st; i++) st = a[i].st ? ac_fail(err, a[i].st, "%s", a[i].err.text) : take_range(x, &a[i], err);
        e.done = at;
        if (!st) st = ac_emit(x->t->sink, &e, err);
    }
    for (size_t i = 0; i < most; i++) hoard_release(&a[i].h);
    ac_free(a);
    return st;
}

/* ---- comparing ---- */

static ac_status sorted_grams(void *ctx, size_t row, row_reader *r, ac_err *err)
{
    (void)ctx;
    (void)row;
    const ac_status st = gram_set_fill(&r->grams, r->w.word, r->w.n, err);
    if (!st) ac_sort_u64(r->grams.gram, r->grams.n);
    return st;
}

static ac_status set_of(near *x, const suspect *s, row_reader *r, const uint64_t **out, ac_err *err)
{
    if (s->set != UINT64_MAX) {
        *out = x->all.set + s->set;
        return AC_OK;
    }
    const ac_status st = rows_again(x->t, s->row, (size_t)s->row + 1, r, sorted_grams, NULL, err);
    *out = r->grams.gram;
    return st;
}

static size_t common(const uint64_t *a, size_t na, const uint64_t *b, size_t nb, size_t wanted)
{
    size_t i = 0, j = 0, n = 0;
    while (i < na && j < nb) {
        const uint64_t x = a[i], y = b[j];
        if (n + (na - i < nb - j ? na - i : nb - j) < wanted) return 0;
        n += x == y;
        i += x <= y;
        j += y <= x;
    }
    return n;
}

static size_t wanted_of(size_t a, size_t b)
{
    return (4 * (a + b) + 8) / 9;
}

static size_t ones(uint64_t v)
{
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
    v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (size_t)(v * UINT64_C(0x0101010101010101) >> 56);
}

static ac_status judge(near *x, const suspect *a, const suspect *b, ac_err *err)
{
    const size_t wanted = wanted_of(a->n, b->n);
    size_t differ = 0;
    for (size_t i = 0; i < 4; i++) differ += ones(a->bits[i] ^ b->bits[i]);
    if ((size_t)a->n + b->n < 2 * wanted + differ) return AC_OK;     /* |A| + |B| - 2 |A and B| >= differ */
    const uint64_t *u, *v;
    ac_status st = set_of(x, a, &x->reader[0], &u, err);
    if (!st) st = set_of(x, b, x->other, &v, err);
    if (st) return st;
    const size_t both = common(u, a->n, v, b->n, wanted);
    if (both < wanted) return AC_OK;
    const near_link l = { a->row < b->row ? a->row : b->row, a->row < b->row ? b->row : a->row,
                          (float)((double)both / (double)((size_t)a->n + b->n - both)) };
    near_join(x->g->parent, a->row, b->row);
    return add_link(x->g, l, err);
}

typedef struct {
    uint32_t n, who, place, skip;        /* skip: how many before this one hang together with it */
} entry;

static int by_size(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->who < y->who ? -1 : x->who > y->who;
}

/* All pairs of one list that can be near, smaller rows before larger ones. */
static ac_status judge_list(near *x, entry *v, size_t n, ac_err *err)
{
    qsort(v, n, sizeof *v, by_size);
    for (size_t i = 1; i < n; i++) {
        const suspect *a = &x->all.who[v[i].who];
        uint32_t mine = near_root(x->g->parent, a->row);
        for (size_t j = i; j-- > 0;) {
            if ((uint64_t)v[j].n * 5 < (uint64_t)v[i].n * 4) break;
            const suspect *b = &x->all.who[v[j].who];
            if (near_root(x->g->parent, b->row) == mine) {
                j -= v[j].skip;
                continue;
            }
            const size_t left_a = v[i].n - v[i].place, left_b = v[j].n - v[j].place;
            if ((left_a < left_b ? left_a : left_b) < wanted_of(a->n, b->n)) continue;
            const ac_status st = judge(x, a, b, err);
            if (st) return st;
            mine = near_root(x->g->parent, a->row);
        }
        const suspect *before = &x->all.who[v[i - 1].who];
        if (near_root(x->g->parent, before->row) == mine) v[i].skip = v[i - 1].skip + 1;
    }
    return AC_OK;
}

static int by_gram(const void *a, const void *b)
{
    const post *x = a, *y = b;
    if (x->gram != y->gram) return x->gram < y->gram ? -1 : 1;
    return x->who < y->who ? -1 : x->who > y->who;
}

static ac_status judge_all(near *x, ac_err *err)
{
    hoard *h = &x->all;
    entry *v = NULL;
    size_t cap = 0;
    ac_status st = AC_OK;
    if (h->n_posts > 1) qsort(h->post, h->n_posts, sizeof *h->post, by_gram);
    for (size_t from = 0, to; from < h->n_posts && !st; from = to) {
        for (to = from + 1; to < h->n_posts && h->post[to].gram == h->post[from].gram; to++) { }
        if (to - from < 2) continue;
        if (!grow((void **)&v, &cap, 0, to - from, sizeof *v)) {
            st = ac_fail_nomem(err, (to - from) * sizeof *v);
            break;
        }
        for (size_t i = from; i < to; i++)
            v[i - from] = (entry){ h->who[h->post[i].who].n, h->post[i].who, h->post[i].place, 0 };
        st = judge_list(x, v, to - from, err);
    }
    ac_free(v);
    return st;
}

ac_status near_find(near_groups *out, const row_table *t, gram_sketch *k, ac_err *err)
{
    near_groups g = { 0 };
    near x = { .t = t, .k = k, .g = &g, .parts = 1, .n_readers = ac_pool_threads(t->pool) };
    x.is_copy = ac_calloc(t->n + 1, 1);
    ac_status st = x.is_copy ? join_equal(&g, x.is_copy, t, err) : ac_fail_nomem(err, t->n);
    if (!st && k && k->once) {
        x.reader = ac_calloc(x.n_readers + 1, sizeof *x.reader);
        if (!x.reader) st = ac_fail_nomem(err, x.n_readers * sizeof *x.reader);
        else x.other = &x.reader[x.n_readers];
        ac_event e = { .kind = AC_EV_STAGE, .text = "near duplicates", .unit = "rows", .total = t->n };
        if (!st) st = ac_emit(t->sink, &e, err);
        for (; x.part < x.parts && !st; x.part++) {
            x.all.n_posts = x.all.n_who = x.all.n_set = 0;
            st = collect(&x, err);
            if (!st) st = judge_all(&x, err);
        }
        e.kind = AC_EV_STAGE_END;
        e.done = t->n;
        if (!st) st = ac_emit(t->sink, &e, err);
        for (size_t i = 0; x.reader && i <= x.n_readers; i++) row_reader_release(&x.reader[i]);
        ac_free(x.reader);
        hoard_release(&x.all);
    }
    ac_free(x.is_copy);
    if (st) near_groups_release(&g);
    else *out = g;
    return st;
}
