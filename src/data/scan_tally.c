/* What was found in a file: one line for each distinct value, and how often. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/scan_int.h"

#define MAX_GROUPS ((size_t)1 << 16)     /* distinct values kept; more are counted only */

typedef struct {
    uint64_t key;                        /* of entity and value */
    const char *entity;
    ac_scan_class class;
    ac_severity severity;
    size_t n, line;                      /* how often; where first */
    double score;
    uint64_t identity;                   /* sum over rows: order does not matter */
    const char *mask;
} group;

typedef struct {
    const char *entity;
    size_t n;
} count;

struct ac_scan_tally {
    const ac_scanner *s;
    const char *path;
    ac_arena arena;
    ac_index index;                      /* key to group plus one */
    group *group;
    size_t n, cap;
    count *count;
    size_t n_counts, cap_counts;
    size_t n_beyond[2], line_beyond[2];  /* by class */
    ac_str mask;
    /* the text in hand */
    size_t line;
    uint64_t row_hash;
    ac_view text;
    bool document;                       /* lines are counted in it */
    size_t counted, lines;               /* so far: bytes, line ends in them */
};

ac_status ac_scan_tally_open(ac_scan_tally **out, const ac_scanner *s, const char *path, ac_err *err)
{
    ac_scan_tally *t = ac_calloc(1, sizeof *t);
    if (!t) return ac_fail_nomem(err, sizeof *t);
    t->s = s;
    t->path = path;
    *out = t;
    return AC_OK;
}

void ac_scan_tally_close(ac_scan_tally **tally)
{
    ac_scan_tally *t = *tally;
    *tally = NULL;
    if (!t) return;
    ac_index_release(&t->index);
    ac_str_release(&t->mask);
    ac_free(t->group);
    ac_free(t->count);
    ac_arena_release(&t->arena);
    ac_free(t);
}

static ac_status add_count(ac_scan_tally *t, const char *entity, size_t n, ac_err *err)
{
    for (size_t i = 0; i < t->n_counts; i++)
        if (!strcmp(t->count[i].entity, entity)) {
            t->count[i].n += n;
            return AC_OK;
        }
    if (t->n_counts == t->cap_counts) {
        const size_t cap = t->cap_counts ? t->cap_counts * 2 : 16;
        count *p = ac_realloc(t->count, cap * sizeof *p);
        if (!p) return ac_fail_nomem(err, cap * sizeof *p);
        t->count = p;
        t->cap_counts = cap;
    }
    t->count[t->n_counts++] = (count){ entity, n };
    return AC_OK;
}

static ac_status add_group(ac_scan_tally *t, const group *g, ac_err *err)
{
    if (t->n >= MAX_GROUPS && !ac_index_find(&t->index, g->key)) {
        if (!t->n_beyond[g->class] || g->line < t->line_beyond[g->class]) t->line_beyond[g->class] = g->line;
        t->n_beyond[g->class] += g->n;
        return AC_OK;
    }
    if (t->n == t->cap) {
        const size_t cap = t->cap ? t->cap * 2 : 16;
        group *p = ac_realloc(t->group, cap * sizeof *p);
        if (!p) return ac_fail_nomem(err, cap * sizeof *p);
        t->group = p;
        t->cap = cap;
    }
    uint32_t *at = ac_index_at(&t->index, g->key);
    if (!at) return ac_fail_nomem(err, t->index.cap * 24);
    if (*at == UINT32_MAX) {
        *at = (uint32_t)t->n + 1;
        t->group[t->n] = *g;
        t->group[t->n].mask = ac_arena_strndup(&t->arena, g->mask, strlen(g->mask));
        if (!t->group[t->n++].mask) return ac_fail_nomem(err, strlen(g->mask));
        return AC_OK;
    }
    group *old = &t->group[*at - 1];
    if (g->line < old->line) old->line = g->line;
    old->n += g->n;
    old->identity += g->identity;
    return AC_OK;
}

/* Hits come in order twice: secrets, then personal data. */
static size_t line_of(ac_scan_tally *t, size_t at)
{
    if (!t->document) return t->line;
    if (at < t->counted) t->counted = t->lines = 0;
    for (; t->counted < at; t->counted++) t->lines += t->text.ptr[t->counted] == '\n';
    return t->line + t->lines;
}

static ac_status take(void *ctx, const ac_scan_hit *h, ac_err *err)
{
    ac_scan_tally *t = ctx;
    const bool note = h->severity == AC_FIND_NOTE;
    const uint64_t kind = ac_hash_bytes(h->class, ac_view_of(h->entity));
    group g = { .entity = h->entity, .class = h->class, .severity = h->severity, .n = 1, .line = line_of(t, h->from),
                .score = h->score };
    /* Of notes only the number is told; a rule that gave up stands once a file. */
    g.key = note || h->score <= 0 ? kind : ac_hash_bytes(kind, ac_view_slice(t->text, h->from, h->to));
    g.identity = ac_mix64(t->row_hash ^ kind);
    ac_str_reset(&t->mask);
    if (!note && h->score > 0) ac_scan_mask(&t->mask, h, t->text);
    if (!ac_str_ok(&t->mask)) return ac_fail_nomem(err, t->mask.len);
    g.mask = ac_str_c(&t->mask);
    const ac_status st = add_count(t, h->entity, 1, err);
    return st ? st : add_group(t, &g, err);
}

ac_status ac_scan_tally_text(ac_scan_tally *t, size_t line, uint64_t row_hash, ac_view text, ac_err *err)
{
    t->line = line;
    t->row_hash = row_hash;
    t->text = text;
    return ac_scan_text(t->s, t->path, text, take, t, err);
}

ac_status ac_scan_tally_document(ac_scan_tally *t, ac_view text, ac_err *err)
{
    t->document = true;
    t->counted = t->lines = 0;
    const ac_status st = ac_scan_tally_text(t, 1, ac_hash_bytes(0, text), text, err);
    t->document = false;
    return st;
}

static ac_status turns(ac_scan_tally *t, size_t line, uint64_t hash, const ac_message *m, size_t n, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        st = ac_scan_tally_text(t, line, hash, m[i].content, err);
        if (!st && m[i].tool_calls.len) st = ac_scan_tally_text(t, line, hash, m[i].tool_calls, err);
    }
    return st;
}

ac_status ac_scan_tally_row(ac_scan_tally *t, const ac_row *r, ac_err *err)
{
    uint64_t h = r->n_messages;
    for (size_t i = 0; i < r->n_messages; i++)
        h = ac_hash_bytes(ac_hash_bytes(h, r->message[i].content), r->message[i].tool_calls);
    const ac_status st = turns(t, r->line, h, r->message, r->n_messages, err);
    return st ? st : turns(t, r->line, h, r->rejected, r->n_rejected, err);
}

ac_status ac_scan_tally_merge(ac_scan_tally *into, const ac_scan_tally *from, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < from->n_counts && !st; i++) st = add_count(into, from->count[i].entity, from->count[i].n, err);
    for (size_t i = 0; i < from->n && !st; i++) st = add_group(into, &from->group[i], err);
    for (size_t c = 0; c < 2; c++) {
        if (!from->n_beyond[c]) continue;
        if (!into->n_beyond[c] || from->line_beyond[c] < into->line_beyond[c]) into->line_beyond[c] = from->line_beyond[c];
        into->n_beyond[c] += from->n_beyond[c];
    }
    return st;
}

static int by_line(const void *a, const void *b)
{
    const group *x = *(const group *const *)a, *y = *(const group *const *)b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    const int c = strcmp(x->entity, y->entity);
    return c ? c : x->key < y->key ? -1 : x->key > y->key;
}

static ac_status report_one(ac_findings *f, const ac_scan_tally *t, const group *g, ac_err *err)
{
    const char *kind = g->class == AC_SCAN_SECRET ? "secret" : g->severity == AC_FIND_NOTE ? "url" : "personal";
    const uint64_t id = ac_hash_bytes(g->identity, ac_view_of(g->entity));
    char more[64] = "";
    if (g->severity == AC_FIND_NOTE)
        return ac_finding_add(f, g->severity, kind, id, g->line, 0, (double)g->n, err, "%s:%zu:%s:%.2f %zu in all", t->path,
                              g->line, g->entity, g->score, g->n);
    if (g->score <= 0)
        return ac_finding_add(f, g->severity, kind, id, g->line, 0, 0, err, "%s:%zu:%s:0.00 the rule's pattern takes too long "
                              "on %zu text%s; nobody knows whether it matches there", t->path, g->line, g->entity, g->n,
                              g->n > 1 ? "s" : "");
    if (g->n > 1) (void)snprintf(more, sizeof more, ", %zu more time%s", g->n - 1, g->n > 2 ? "s" : "");
    return ac_finding_add(f, g->severity, kind, id, g->line, 0, g->score, err, "%s:%zu:%s:%.2f %s%s", t->path, g->line,
                          g->entity, g->score, g->mask, more);
}

ac_status ac_scan_tally_report(ac_findings *f, const ac_scan_tally *t, ac_err *err)
{
    const group **order = ac_calloc(t->n + 1, sizeof *order);
    ac_status st = order ? AC_OK : ac_fail_nomem(err, t->n * sizeof *order);
    for (size_t i = 0; i < t->n && !st; i++) order[i] = &t->group[i];
    if (!st && t->n > 1) qsort(order, t->n, sizeof *order, by_line);
    for (size_t i = 0; i < t->n && !st; i++) st = report_one(f, t, order[i], err);
    for (size_t c = 0; c < 2 && !st; c++)
        if (t->n_beyond[c])
            st = ac_finding_add(f, c == AC_SCAN_SECRET ? AC_FIND_FAIL : AC_FIND_WARN, c == AC_SCAN_SECRET ? "secret" : "personal",
                                ac_hash_bytes(t->n_beyond[c], ac_view_of("beyond")), t->line_beyond[c], 0, (double)t->n_beyond[c],
                                err, "%s:%zu and later: %zu more of %s, of values not listed here", t->path, t->line_beyond[c],
                                t->n_beyond[c], c == AC_SCAN_SECRET ? "secrets" : "personal data");
    ac_free(order);
    return st;
}

size_t ac_scan_tally_count(const ac_scan_tally *t, const char *entity)
{
    for (size_t i = 0; i < t->n_counts; i++)
        if (!strcmp(t->count[i].entity, entity)) return t->count[i].n;
    return 0;
}

ac_status ac_scan_rows(ac_findings *f, const ac_scanner *s, const ac_row_file *rows, ac_err *err)
{
    ac_scan_tally *t = NULL;
    ac_status st = ac_scan_tally_open(&t, s, rows->path, err);
    for (size_t i = 0; i < rows->n && !st; i++) st = ac_scan_tally_row(t, &rows->row[i], err);
    if (!st) st = ac_scan_tally_report(f, t, err);
    ac_scan_tally_close(&t);
    return st;
}
