/* Test collections in BEIR's layout: three files, joined by ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "formats/json.h"
#include "rag/rag.h"

#define LINE_MAX_BYTES ((size_t)16 << 20)
#define ITEMS_MAX ((size_t)50000000)

typedef struct {
    const char *id;
    size_t at;
} entry;

typedef struct {
    entry *item;                 /* sorted by id once all are there */
    size_t n, cap;
} ids;

static int by_id(const void *x, const void *y)
{
    entry a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    return strcmp(a.id, b.id);
}

/* Twice the room; NULL: no memory, and nothing changed. */
static void *grow(void *items, size_t *cap, size_t size)
{
    const size_t want = *cap ? *cap * 2 : 1024;
    size_t bytes = 0;
    void *more = ac_size_mul(&bytes, want, size) ? ac_realloc(items, bytes) : NULL;
    if (more) *cap = want;
    return more;
}

static ac_status add_id(ids *t, const char *id, ac_err *err)
{
    if (t->n == t->cap) {
        entry *more = grow(t->item, &t->cap, sizeof *more);
        if (!more) return ac_fail_nomem(err, t->cap * sizeof *more);
        t->item = more;
    }
    t->item[t->n] = (entry){ id, t->n };
    t->n++;
    return AC_OK;
}

static ac_status sort_ids(ids *t, const char *path, ac_err *err)
{
    if (t->n) qsort(t->item, t->n, sizeof *t->item, by_id);
    for (size_t i = 1; i < t->n; i++)
        if (strcmp(t->item[i - 1].id, t->item[i].id) == 0)
            return ac_fail(err, AC_EFORMAT, "%s: the id \"%.80s\" stands there twice", path, t->item[i].id);
    return AC_OK;
}

/* SIZE_MAX: unknown. */
static size_t find_id(const ids *t, const char *id)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int c = strcmp(t->item[mid].id, id);
        if (c == 0) return t->item[mid].at;
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return SIZE_MAX;
}

/* ---- the two JSON files ---- */

typedef struct {
    ac_rag_collection *c;
    ids *index;
    bool corpus;
    size_t cap;
} reader;

static ac_status room_for(reader *r, ac_err *err)
{
    const size_t n = r->corpus ? r->c->n_passages : r->c->n_queries, size = r->corpus ? sizeof *r->c->passage : sizeof *r->c->query;
    if (n < r->cap) return AC_OK;
    if (n >= ITEMS_MAX) return ac_fail(err, AC_EFORMAT, "more than %zu items", ITEMS_MAX);
    const size_t cap = r->cap ? r->cap * 2 : 1024;
    void *more = ac_arena_alloc_array(&r->c->arena, cap, size);
    if (!more) return ac_fail_nomem(err, cap * size);
    if (n) memcpy(more, r->corpus ? (void *)r->c->passage : (void *)r->c->query, n * size);
    if (r->corpus) r->c->passage = more;
    else r->c->query = more;
    r->cap = cap;
    return AC_OK;
}

static ac_status copy(ac_view *out, ac_arena *a, const ac_json *o, const char *key, bool needed, const char *where, ac_err *err)
{
    ac_view v = { "", 0 };
    const ac_json *is = ac_json_get(o, key);
    ac_status st = AC_OK;
    if (needed || (is && is->type != AC_JSON_NULL)) st = ac_json_get_str(&v, o, key, where, err);
    if (st) return st == AC_ENOENT ? AC_EFORMAT : st;
    const char *kept = ac_arena_strndup(a, v.ptr, v.len);
    if (!kept) return ac_fail_nomem(err, v.len);
    *out = (ac_view){ kept, v.len };
    return AC_OK;
}

static ac_status take(reader *r, const ac_json *o, const char *where, ac_err *err)
{
    ac_rag_collection *c = r->c;
    ac_view id, title = { "", 0 }, text;
    ac_status st = room_for(r, err);
    if (!st) st = copy(&id, &c->arena, o, "_id", true, where, err);
    if (!st && r->corpus) st = copy(&title, &c->arena, o, "title", false, where, err);
    if (!st) st = copy(&text, &c->arena, o, "text", true, where, err);
    if (!st) st = add_id(r->index, id.ptr, err);
    if (st) return st;
    if (r->corpus) {
        c->passage[c->n_passages] = (ac_passage){ .number = c->n_passages, .source = id, .heading = title, .text = text };
        c->n_passages++;
    } else {
        c->query[c->n_queries++] = (ac_rag_query_item){ .id = id.ptr, .text = text };
    }
    return AC_OK;
}

static ac_status read_jsonl(reader *r, const char *path, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    size_t number = 0;
    ac_status st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    while (!st) {
        ac_arena one = { 0 };
        const ac_json *o = NULL;
        st = ac_lines_next(l, &line, &number, err);
        if (st || !line.ptr) break;
        if (!ac_view_trim(line).len) continue;
        st = ac_json_parse(&o, line, &one, path, number, NULL, err);
        if (!st) {
            char where[512];
            (void)snprintf(where, sizeof where, "%.400s:%zu", path, number);
            st = take(r, o, where, err);
        }
        ac_arena_release(&one);
    }
    ac_lines_close(&l);
    const size_t n = r->corpus ? r->c->n_passages : r->c->n_queries;
    if (!st && !n) st = ac_fail(err, AC_EFORMAT, "%s: holds no %s", path, r->corpus ? "passage" : "query");
    return st ? st : sort_ids(r->index, path, err);
}

/* ---- judgements ---- */

typedef struct {
    size_t query;
    ac_rag_gold gold;
} judgement;

typedef struct {
    judgement *item;
    size_t n, cap;
} judgements;

static ac_status add_judgement(judgements *j, judgement one, ac_err *err)
{
    if (j->n == j->cap) {
        judgement *more = grow(j->item, &j->cap, sizeof *more);
        if (!more) return ac_fail_nomem(err, j->cap * sizeof *more);
        j->item = more;
    }
    j->item[j->n++] = one;
    return AC_OK;
}

/* The line's next field in buf, up to a tab; false when there is none or it is too long. */
static bool field(char buf[512], ac_view *rest)
{
    const size_t tab = ac_view_find(*rest, AC_VIEW("\t"), 0);
    const ac_view f = ac_view_trim(ac_view_slice(*rest, 0, tab));
    *rest = tab == SIZE_MAX ? (ac_view){ "", 0 } : ac_view_slice(*rest, tab + 1, rest->len);
    if (!f.len || f.len >= 512) return false;
    memcpy(buf, f.ptr, f.len);
    buf[f.len] = '\0';
    return true;
}

static ac_status one_line(ac_rag_collection *c, judgements *all, ac_view line, const ids *passages, const ids *queries,
                          const char *path, size_t number, ac_err *err)
{
    char q[512], p[512], score[512];
    ac_view rest = line;
    double gain = 0;
    const bool three = field(q, &rest) && field(p, &rest) && field(score, &rest);
    if (!three || !ac_parse_f64(ac_view_of(score), &gain)) {
        if (number == 1) return AC_OK;                   /* the heading */
        return ac_fail(err, AC_EFORMAT, "%s:%zu: expected query, passage and judgement, parted by tabs", path, number);
    }
    const size_t at = find_id(queries, q), passage = find_id(passages, p);
    if (at == SIZE_MAX || passage == SIZE_MAX) {
        c->n_unknown++;
        return AC_OK;
    }
    return gain > 0 ? add_judgement(all, (judgement){ at, { passage, gain } }, err) : AC_OK;
}

static int by_query(const void *x, const void *y)
{
    judgement a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    if (a.query != b.query) return a.query < b.query ? -1 : 1;
    return (a.gold.passage > b.gold.passage) - (a.gold.passage < b.gold.passage);
}

/* Gives each query its judgements and leaves out queries without any. */
static ac_status join(ac_rag_collection *c, judgements *all, ac_err *err)
{
    size_t kept = 0, at = 0;
    if (all->n) qsort(all->item, all->n, sizeof *all->item, by_query);
    ac_rag_gold *gold = ac_arena_alloc_array(&c->arena, all->n + 1, sizeof *gold);
    if (!gold) return ac_fail_nomem(err, all->n * sizeof *gold);
    for (size_t i = 0; i < all->n; i++) gold[i] = all->item[i].gold;
    for (size_t q = 0; q < c->n_queries; q++) {
        ac_rag_query_item one = c->query[q];
        one.gold = gold + at;
        while (at < all->n && all->item[at].query == q) {
            at++;
            one.n_gold++;
        }
        if (one.n_gold) c->query[kept++] = one;
    }
    c->n_queries = kept;
    return AC_OK;
}

static ac_status read_qrels(ac_rag_collection *c, const char *path, const ids *passages, const ids *queries, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    size_t number = 0;
    judgements all = { 0 };
    ac_status st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    while (!st) {
        st = ac_lines_next(l, &line, &number, err);
        if (st || !line.ptr) break;
        if (ac_view_trim(line).len) st = one_line(c, &all, line, passages, queries, path, number, err);
    }
    ac_lines_close(&l);
    if (!st && !all.n)
        st = ac_fail(err, AC_EFORMAT, "%s: no judgement above 0 about a query and a passage that are there", path);
    if (!st) st = join(c, &all, err);
    ac_free(all.item);
    return st;
}

ac_status ac_rag_collection_read(ac_rag_collection *out, const char *corpus, const char *queries, const char *qrels,
                                 ac_err *err)
{
    ac_rag_collection c = { .n_passages = 0 };
    ids passages = { 0 }, questions = { 0 };
    reader r = { .c = &c, .index = &passages, .corpus = true };
    ac_status st = read_jsonl(&r, corpus, err);
    r = (reader){ .c = &c, .index = &questions };
    if (!st) st = read_jsonl(&r, queries, err);
    if (!st) st = read_qrels(&c, qrels, &passages, &questions, err);
    ac_free(passages.item);
    ac_free(questions.item);
    if (st) ac_arena_release(&c.arena);
    else *out = c;
    return st;
}

void ac_rag_collection_release(ac_rag_collection *c)
{
    ac_arena_release(&c->arena);
    *c = (ac_rag_collection){ .n_passages = 0 };
}
