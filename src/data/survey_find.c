/* What records of rows say when they are put side by side: copies, near duplicates, contradictions, overlaps of splits,
 * cut answers, lengths, one-sided splits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "data/survey_int.h"

#define KEEP_DEFAULT 1000
#define CUT_SHARE 98                /* per cent of long answers that end well, from which the others are looked at */
#define CUT_MIN 50                  /* and so many of them there must be */
#define SIDE_EXPECTED 12            /* rows of a class that the other split would have by its size */
#define SIDE_UNSEEN 5               /* rows of a class of validation that training never shows */
#define VALID_MIN 10
#define VALID_SHARE 0.01

typedef struct {
    ac_survey *s;
    const ac_survey_opts *o;
    const row_table *t;
    near_groups *g;
    size_t *first;                  /* of each file, in the table; and the end */
    row_key *key, *run;
    ac_findings found;              /* of the step in hand */
} compare;

static const row_rec *rec_of(const compare *c, const row_key *k)
{
    return &c->t->rec[k->row];
}

static const char *path_of(const compare *c, const row_rec *r)
{
    return c->s->file[r->file].path;
}

static ac_status flush(compare *c, const row_rec *a, const row_rec *b, ac_err *err)
{
    ac_finding *f = &c->found.finding[c->found.n - 1];
    if (a) f->path_a = path_of(c, a);
    if (b) f->path_b = path_of(c, b);
    const ac_status st = survey_keep(c->s, c->o->keep ? c->o->keep : KEEP_DEFAULT, &c->found, NULL, err);
    ac_arena_reset(&c->found.arena);
    c->found.finding = NULL;
    c->found.n = 0;
    return st;
}

/* Rows [from, to) of c->key that have the key of row `from`. */
static size_t run_end(const compare *c, size_t from, size_t n)
{
    size_t to = from + 1;
    while (to < n && c->key[to].key == c->key[from].key) to++;
    return to;
}

/* Where runs of two and more begin in c->key[0, n), in the order of their first rows: into c->run. */
static size_t runs(compare *c, size_t n)
{
    size_t n_runs = 0;
    for (size_t from = 0, to; from < n; from = to) {
        to = run_end(c, from, n);
        if (to - from > 1) c->run[n_runs++] = (row_key){ c->key[from].row, (uint32_t)from };
    }
    row_keys_sort(c->run, n_runs);
    return n_runs;
}

/* "3, 17, 29 and 5 more": the lines of all but the first. */
static void line_list(char *out, size_t size, const compare *c, size_t from, size_t to)
{
    size_t n = 0, shown = 0;
    out[0] = '\0';
    for (size_t i = from; i < to && shown < 5; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%u", shown++ ? ", " : "", rec_of(c, &c->key[i])->line);
    if (to - from > shown) (void)snprintf(out + n, size - n, " and %zu more", to - from - shown);
}

/* ---- copies ---- */

static ac_status copies(compare *c, size_t file, ac_err *err)
{
    const size_t base = c->first[file], n = c->first[file + 1] - base;
    for (size_t i = 0; i < n; i++) c->key[i] = (row_key){ c->t->rec[base + i].bytes, (uint32_t)(base + i) };
    row_keys_sort(c->key, n);
    const size_t n_runs = runs(c, n);
    for (size_t r = 0; r < n_runs; r++) {
        const size_t from = c->run[r].row, to = run_end(c, from, n), more = to - from - 1;
        char lines[160];
        const row_rec *a = rec_of(c, &c->key[from]), *b = rec_of(c, &c->key[from + 1]);
        c->s->file[file].n_copies += more;
        line_list(lines, sizeof lines, c, from + 1, to);
        ac_status st = ac_finding_add(&c->found, AC_FIND_WARN, "duplicate", a->bytes + more, a->line, b->line,
                                      (double)more, err, "line %u stands again in line%s %s; each copy weighs the row once "
                                      "more", a->line, more > 1 ? "s" : "", lines);
        if (!st) st = flush(c, a, b, err);
        if (st) return st;
    }
    return AC_OK;
}

/* ---- near duplicates ---- */

static int by_bytes(const void *pa, const void *pb)
{
    const row_key *a = pa, *b = pb;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static int by_row(const void *pa, const void *pb)
{
    const row_key *a = pa, *b = pb;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* One group of one file, rows [from, to) of c->key; byte for byte copies count once. */
static ac_status near_group(compare *c, size_t file, size_t from, size_t to, uint32_t root, float score, ac_err *err)
{
    uint64_t identity = 0;
    size_t n = 0;
    for (size_t i = from; i < to; i++) c->key[i].key = rec_of(c, &c->key[i])->bytes;
    qsort(c->key + from, to - from, sizeof *c->key, by_bytes);
    for (size_t i = from; i < to; i++)
        if (i == from || c->key[i].key != c->key[i - 1].key) {
            identity += ac_mix64(c->key[i].key);
            c->key[from + n++] = c->key[i];
        }
    for (size_t i = 0; i < n; i++) c->key[from + i].key = root;
    if (n < 2) return AC_OK;
    qsort(c->key + from, n, sizeof *c->key, by_row);
    c->s->file[file].n_near_groups++;
    c->s->file[file].n_near += n;
    const row_rec *a = rec_of(c, &c->key[from]), *b = rec_of(c, &c->key[from + 1]);
    char lines[160];
    line_list(lines, sizeof lines, c, from + 1, from + n);
    const ac_status st = ac_finding_add(&c->found, AC_FIND_WARN, "near-duplicate", identity, a->line, b->line, (double)score,
                                        err, "line %u and line%s %s say nearly the same (similarity %.2f)", a->line,
                                        n > 2 ? "s" : "", lines, (double)score);
    return st ? st : flush(c, a, b, err);
}

/* The first link of each root, in the order of roots. */
typedef struct {
    uint32_t root;
    float score;
} root_score;

static int by_root(const void *a, const void *b)
{
    const root_score *x = a, *y = b;
    if (x->root != y->root) return x->root < y->root ? -1 : 1;
    return x->score < y->score ? -1 : x->score > y->score;
}

static float score_of(const root_score *v, size_t n, uint32_t root)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid].root < root) lo = mid + 1;
        else hi = mid;
    }
    return lo < n && v[lo].root == root ? v[lo].score : 1.0F;
}

static ac_status near_groups_of(compare *c, size_t file, const root_score *v, ac_err *err)
{
    const size_t base = c->first[file], n = c->first[file + 1] - base;
    for (size_t i = 0; i < n; i++)
        c->key[i] = (row_key){ near_root(c->g->parent, (uint32_t)(base + i)), (uint32_t)(base + i) };
    row_keys_sort(c->key, n);
    const size_t n_runs = runs(c, n);
    for (size_t r = 0; r < n_runs; r++) {
        const size_t from = c->run[r].row, to = run_end(c, from, n);
        const uint32_t root = (uint32_t)c->key[from].key;
        const ac_status st = near_group(c, file, from, to, root, score_of(v, c->g->n_links, root), err);
        if (st) return st;
    }
    return AC_OK;
}

static ac_status near_all(compare *c, ac_err *err)
{
    root_score *v = ac_malloc((c->g->n_links + 1) * sizeof *v);
    ac_status st = AC_OK;
    if (!v) return ac_fail_nomem(err, c->g->n_links * sizeof *v);
    for (size_t i = 0; i < c->g->n_links; i++)
        v[i] = (root_score){ near_root(c->g->parent, c->g->link[i].a), c->g->link[i].score };
    if (c->g->n_links > 1) qsort(v, c->g->n_links, sizeof *v, by_root);
    for (size_t i = 0; i < c->s->n_files && !st; i++) st = near_groups_of(c, i, v, err);
    ac_free(v);
    return st;
}

/* ---- the same question ---- */

static size_t distinct_bytes(compare *c, size_t from, size_t to, uint64_t *room)
{
    for (size_t i = from; i < to; i++) room[i - from] = rec_of(c, &c->key[i])->ask_bytes;
    ac_sort_u64(room, to - from);
    size_t n = 0;
    for (size_t i = 0; i < to - from; i++) n += i == 0 || room[i] != room[i - 1];
    return n;
}

static ac_status conflicts(compare *c, size_t file, uint64_t *room, ac_err *err)
{
    const size_t base = c->first[file], all = c->first[file + 1] - base;
    ac_survey_file *f = &c->s->file[file];
    size_t n = 0;
    for (size_t i = 0; i < all; i++)
        if (!(c->t->rec[base + i].flags & ROW_NO_ASK))
            c->key[n++] = (row_key){ c->t->rec[base + i].ask, (uint32_t)(base + i) };
    row_keys_sort(c->key, n);
    const size_t n_runs = runs(c, n);
    for (size_t r = 0; r < n_runs; r++) {
        const size_t from = c->run[r].row, to = run_end(c, from, n);
        const row_rec *a = rec_of(c, &c->key[from]), *other = NULL;
        size_t others = 0;
        for (size_t i = from + 1; i < to; i++)
            if (rec_of(c, &c->key[i])->answer != a->answer) {
                if (!others++) other = rec_of(c, &c->key[i]);
            }
        f->n_asked_again += to - from - 1;
        f->n_asked_again_bytes += to - from - distinct_bytes(c, from, to, room);
        f->n_other_answer += others;
        if (!other) continue;
        ac_status st = ac_finding_add(&c->found, AC_FIND_WARN, "conflict", a->ask + others, a->line, other->line,
                                      (double)others, err, "line %u is asked again in line %u%s with another answer; the "
                                      "model cannot learn both", a->line, other->line, others > 1 ? " and more" : "");
        if (!st) st = flush(c, a, other, err);
        if (st) return st;
    }
    return AC_OK;
}

/* ---- two splits ---- */

static bool key_in(const row_key *v, size_t n, uint64_t key, uint32_t *row)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid].key < key) lo = mid + 1;
        else hi = mid;
    }
    if (lo == n || v[lo].key != key) return false;
    if (row) *row = v[lo].row;
    return true;
}

enum { BY_BYTES, BY_PAIR, BY_ASK, BY_ASK_BYTES, BY_GROUP };

static bool record_key(const compare *c, size_t i, int by, uint64_t *out)
{
    const row_rec *r = &c->t->rec[i];
    const bool asks = !(r->flags & ROW_NO_ASK);
    switch (by) {
    case BY_BYTES: *out = r->bytes; return true;
    case BY_PAIR: *out = asks ? ac_mix64(r->ask) ^ r->answer : r->words; return r->n_words > 0;
    case BY_ASK: *out = r->ask; return asks;
    case BY_ASK_BYTES: *out = r->ask_bytes; return asks;
    default: *out = near_root(c->g->parent, (uint32_t)i); return true;
    }
}

/* Which rows of file b have a key that file a has too: a mark of 1 << by in mark[], and the row of a in mate[]. */
static void mark_common(compare *c, size_t a, size_t b, int by, uint8_t *mark, uint32_t *mate)
{
    size_t n = 0;
    uint64_t key;
    for (size_t i = c->first[a]; i < c->first[a + 1]; i++)
        if (record_key(c, i, by, &key)) c->key[n++] = (row_key){ key, (uint32_t)i };
    row_keys_sort(c->key, n);
    for (size_t i = c->first[b]; i < c->first[b + 1]; i++) {
        uint32_t row;
        if (!record_key(c, i, by, &key) || !key_in(c->key, n, key, &row)) continue;
        uint8_t *m = &mark[i - c->first[b]];
        if (!(*m & (1u << BY_PAIR | 1u << BY_ASK)) && by != BY_BYTES && by != BY_ASK_BYTES) mate[i - c->first[b]] = row;
        *m |= (uint8_t)(1u << by);
    }
}

typedef struct {
    size_t n;
    const row_rec *a, *b;
    uint64_t identity;
} overlap;

static void count_overlap(overlap *o, const row_rec *a, const row_rec *b, uint64_t key)
{
    if (o->n++ == 0) {
        o->a = a;
        o->b = b;
    }
    o->identity += ac_mix64(key);
}

static size_t distinct(uint64_t *v, size_t n)
{
    size_t kept = 0;
    ac_sort_u64(v, n);
    for (size_t i = 0; i < n; i++) kept += i == 0 || v[i] != v[i - 1];
    return kept;
}

static ac_status report_overlap(compare *c, const ac_survey_overlap *v, const overlap *pair, const overlap *ask,
                                const overlap *near, ac_err *err)
{
    const char *in = c->s->file[v->a].path, *of = c->s->file[v->b].path;
    const ac_split sa = c->s->file[v->a].split, sb = c->s->file[v->b].split;
    const bool splits = sa && sb && sa != sb;
    ac_status st = AC_OK;
    if (pair->n) {
        st = ac_finding_add(&c->found, splits ? AC_FIND_FAIL : AC_FIND_WARN, splits ? "train-valid" : "both-files",
                            pair->identity, pair->b->line, pair->a->line, (double)pair->n, err,
                            "%zu row%s of %s stand%s in %s too (%zu byte for byte, %zu of them distinct), first line %u = "
                            "line %u%s", pair->n, pair->n > 1 ? "s" : "", of, pair->n > 1 ? "" : "s", in, v->pairs_bytes,
                            v->pairs_distinct, pair->b->line, pair->a->line,
                            splits ? "; what is measured on it would flatter" : "");
        if (!st) st = flush(c, pair->b, pair->a, err);
    }
    if (!st && ask->n) {
        st = ac_finding_add(&c->found, AC_FIND_WARN, splits ? "train-valid-prompt" : "both-files-prompt", ask->identity,
                            ask->b->line, ask->a->line, (double)ask->n, err,
                            "%zu more row%s of %s ask%s what %s asks too, with another answer; with the rows above, %zu "
                            "prompts stand there byte for byte, %zu of them distinct; first line %u, line %u", ask->n,
                            ask->n > 1 ? "s" : "", of, ask->n > 1 ? "" : "s", in, v->prompts_bytes, v->prompts_distinct,
                            ask->b->line, ask->a->line);
        if (!st) st = flush(c, ask->b, ask->a, err);
    }
    if (!st && near->n) {
        st = ac_finding_add(&c->found, AC_FIND_WARN, splits ? "train-valid-near" : "both-files-near", near->identity,
                            near->b->line, near->a->line, (double)near->n, err,
                            "%zu more row%s of %s hang%s together with rows of %s by near duplicates, first line %u with line "
                            "%u", near->n, near->n > 1 ? "s" : "", of, near->n > 1 ? "" : "s", in, near->b->line,
                            near->a->line);
        if (!st) st = flush(c, near->b, near->a, err);
    }
    return st;
}

static ac_status overlap_of(compare *c, size_t a, size_t b, ac_survey_overlap *out, ac_err *err)
{
    const size_t n = c->first[b + 1] - c->first[b];
    uint8_t *mark = ac_calloc(n + 1, 1);
    uint32_t *mate = ac_calloc(n + 1, sizeof *mate);
    uint64_t *pairs = ac_malloc((n + 1) * sizeof *pairs), *asks = ac_malloc((n + 1) * sizeof *asks);
    overlap pair = { 0 }, ask = { 0 }, near = { 0 };
    ac_status st = mark && mate && pairs && asks ? AC_OK : ac_fail_nomem(err, n * 21);
    *out = (ac_survey_overlap){ .a = a, .b = b };
    for (int by = BY_BYTES; by <= BY_GROUP && !st; by++)
        if (by != BY_GROUP || c->o->near) mark_common(c, a, b, by, mark, mate);
    for (size_t i = 0; i < n && !st; i++) {
        const row_rec *r = &c->t->rec[c->first[b] + i], *m = &c->t->rec[mate[i]];
        const unsigned k = mark[i];
        if (k & 1u << BY_BYTES) pairs[out->pairs_bytes++] = r->bytes;
        if (k & 1u << BY_ASK_BYTES) asks[out->prompts_bytes++] = r->ask_bytes;
        if (k & 1u << BY_ASK) out->prompts_words++;
        if (k & 1u << BY_PAIR) count_overlap(&pair, m, r, ac_mix64(r->ask) ^ r->answer);
        else if (k & 1u << BY_ASK) count_overlap(&ask, m, r, r->ask);
        else if (k & 1u << BY_GROUP) count_overlap(&near, m, r, r->words);
    }
    out->pairs_words = pair.n;
    out->near = near.n;
    if (!st) out->pairs_distinct = distinct(pairs, out->pairs_bytes);
    if (!st) out->prompts_distinct = distinct(asks, out->prompts_bytes);
    if (!st) st = report_overlap(c, out, &pair, &ask, &near, err);
    ac_free(mark);
    ac_free(mate);
    ac_free(pairs);
    ac_free(asks);
    return st;
}

static ac_status overlaps(compare *c, ac_err *err)
{
    ac_survey *s = c->s;
    const size_t n = s->n_files;
    if (n < 2) return AC_OK;
    s->overlap = ac_arena_alloc_array(&s->arena, n * (n - 1) / 2, sizeof *s->overlap);
    if (!s->overlap) return ac_fail_nomem(err, n * n * sizeof *s->overlap);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            const bool turned = s->file[j].split && s->file[j].split < s->file[i].split;      /* train first */
            const ac_status st = overlap_of(c, turned ? j : i, turned ? i : j, &s->overlap[s->n_overlaps++], err);
            if (st) return st;
        }
    return AC_OK;
}

/* ---- cut answers ---- */

static ac_status cut_answers(compare *c, size_t file, ac_err *err)
{
    size_t prose = 0, ends = 0, closed = 0;
    for (size_t i = c->first[file]; i < c->first[file + 1]; i++) {
        const unsigned f = c->t->rec[i].flags;
        if (!(f & ROW_PROSE)) continue;
        prose++;
        ends += (f & ROW_END_OK) != 0;
        closed += !(f & ROW_OPEN);
    }
    const bool judge = prose >= CUT_MIN && ends * 100 >= prose * CUT_SHARE;
    const bool brackets = prose >= CUT_MIN && closed * 100 >= prose * CUT_SHARE;
    for (size_t i = c->first[file]; i < c->first[file + 1]; i++) {
        const row_rec *r = &c->t->rec[i];
        const unsigned f = r->flags;
        const char *why = NULL;
        if (!(f & ROW_ANSWER)) continue;
        if (f & ROW_CUT_FORM) why = "a code fence or a JSON text is still open";
        else if (brackets && f & ROW_OPEN && !(f & ROW_END_OK)) why = "a bracket is still open";
        else if (judge && f & ROW_CUT_WORD) why = "its last word wants more";
        else if (judge && f & ROW_CUT_LINE && !(f & ROW_END_OK)) why = "a sentence without an end, where the others have one";
        if (!why) continue;
        ac_status st = ac_finding_add(&c->found, AC_FIND_WARN, "cut-answer", r->bytes, r->line, 0, 0, err,
                                      "line %u: the answer seems to end in the middle: %s", r->line, why);
        if (!st) st = flush(c, r, NULL, err);
        if (st) return st;
    }
    return AC_OK;
}

/* ---- lengths ---- */

static void lengths(compare *c, size_t file, uint64_t *k)
{
    const size_t n = c->first[file + 1] - c->first[file];
    ac_lengths *l = &c->s->file[file].length;
    for (size_t i = 0; i < n; i++) {
        const uint32_t t = c->t->rec[c->first[file] + i].tokens;
        size_t bin = 0;
        while (bin + 1 < AC_LENGTH_BINS && t >> bin) bin++;
        l->bin[bin]++;
        k[i] = t;
    }
    ac_sort_u64(k, n);
    l->n = n;
    if (!n) return;
    l->min = (uint32_t)k[0];
    l->median = (uint32_t)k[(n - 1) / 2];
    l->p95 = (uint32_t)k[(n * 95 + 99) / 100 - 1];
    l->max = (uint32_t)k[n - 1];
}

/* ---- splits as a whole ---- */

static uint32_t class_of(const row_rec *r, bool opening)
{
    return opening ? r->opening : r->shape;
}

/* Classes of rows that file a has and file b has not, although it should by its size. */
static ac_status one_sided(compare *c, size_t a, size_t b, bool opening, ac_err *err)
{
    const size_t na = c->first[a + 1] - c->first[a], nb = c->first[b + 1] - c->first[b];
    const ac_survey_file *fa = &c->s->file[a], *fb = &c->s->file[b];
    const bool unseen = fa->split != AC_SPLIT_TRAIN;       /* what a has, training never shows */
    row_key *other = ac_malloc((nb + 1) * sizeof *other);
    ac_status st = other ? AC_OK : ac_fail_nomem(err, nb * sizeof *other);
    for (size_t i = 0; i < nb && !st; i++) other[i] = (row_key){ class_of(&c->t->rec[c->first[b] + i], opening), (uint32_t)i };
    for (size_t i = 0; i < na && !st; i++)
        c->key[i] = (row_key){ class_of(&c->t->rec[c->first[a] + i], opening), (uint32_t)(c->first[a] + i) };
    if (!st) row_keys_sort(other, nb);
    if (!st) row_keys_sort(c->key, na);
    for (size_t from = 0, to; from < na && !st; from = to) {
        to = run_end(c, from, na);
        const size_t n = to - from;
        const bool many = unseen ? n >= SIDE_UNSEEN && n * 20 >= na : (double)n * (double)nb / (double)na >= SIDE_EXPECTED;
        if (!c->key[from].key || !many || key_in(other, nb, c->key[from].key, NULL)) continue;
        const row_rec *r = rec_of(c, &c->key[from]);
        st = ac_finding_add(&c->found, AC_FIND_WARN, "one-sided", c->key[from].key + n, r->line, 0, (double)n, err,
                            "%zu of %zu rows of %s %s those of line %u, and none of the %zu rows of %s does", n, na, fa->path,
                            opening ? "begin their question as" : "have the form (system turn, number of turns, kind of "
                            "answer) of", r->line, nb, fb->path);
        if (!st) st = flush(c, r, NULL, err);
    }
    ac_free(other);
    return st;
}

static ac_status say(compare *c, ac_severity sev, const char *kind, size_t file, const char *text, ac_err *err)
{
    const ac_status st = ac_finding_add(&c->found, sev, kind, ac_hash_bytes(file, ac_view_of(text)), 0, 0, 0, err, "%s", text);
    if (st) return st;
    c->found.finding[c->found.n - 1].path_a = c->s->file[file].path;
    return flush(c, NULL, NULL, err);
}

static ac_status splits(compare *c, ac_err *err)
{
    ac_survey *s = c->s;
    size_t train = SIZE_MAX, valid = SIZE_MAX;
    ac_status st = AC_OK;
    for (size_t i = 0; i < s->n_files; i++) {
        const ac_survey_file *f = &s->file[i];
        if (f->split == AC_SPLIT_TRAIN && train == SIZE_MAX) train = i;
        if (f->split == AC_SPLIT_VALID && valid == SIZE_MAX) valid = i;
        if (!st && (f->format == AC_FORMAT_PREFERENCE || f->format == AC_FORMAT_KTO))
            st = say(c, AC_FIND_NOTE, "not-learnt", i, f->format == AC_FORMAT_KTO
                     ? "KTO rows are checked here; accord train does not learn from labels and refuses them"
                     : "preference rows are checked here; accord train does not learn from pairs and refuses them", err);
    }
    if (st || train == SIZE_MAX) return st;
    if (valid == SIZE_MAX)
        return say(c, AC_FIND_WARN, "no-valid", train, "no validation rows beside the training rows: nothing shows when "
                   "training goes on for too long; accord data split makes some", err);
    const size_t n_train = s->file[train].n_rows, n_valid = s->file[valid].n_rows;
    if (n_valid < VALID_MIN || (double)n_valid < VALID_SHARE * (double)(n_train + n_valid)) {
        char text[160];
        (void)snprintf(text, sizeof text, "%zu validation row%s beside %zu for training: their loss says little", n_valid,
                       ac_plural(n_valid), n_train);
        st = say(c, AC_FIND_WARN, "small-valid", valid, text, err);
    }
    for (int opening = 0; opening < 2 && !st; opening++) {
        st = one_sided(c, train, valid, opening != 0, err);
        if (!st) st = one_sided(c, valid, train, opening != 0, err);
    }
    return st;
}

/* ---- all ---- */

static ac_status compare_files(compare *c, ac_err *err)
{
    ac_survey *s = c->s;
    uint64_t *room = ac_malloc((c->t->n + 1) * sizeof *room);
    ac_status st = room ? AC_OK : ac_fail_nomem(err, c->t->n * sizeof *room);
    for (size_t i = 0; i < s->n_files && !st; i++) {
        lengths(c, i, room);
        st = copies(c, i, err);
        if (!st) st = conflicts(c, i, room, err);
        if (!st) st = cut_answers(c, i, err);
    }
    ac_free(room);
    if (!st && c->o->near) st = near_all(c, err);
    if (!st) st = overlaps(c, err);
    return st ? st : splits(c, err);
}

ac_status survey_compare(ac_survey *s, const ac_survey_opts *o, const row_table *t, near_groups *g, ac_err *err)
{
    compare c = { .s = s, .o = o, .t = t, .g = g };
    c.first = ac_calloc(s->n_files + 1, sizeof *c.first);
    c.key = ac_malloc((t->n + 1) * sizeof *c.key);
    c.run = ac_malloc((t->n / 2 + 1) * sizeof *c.run);
    ac_status st = c.first && c.key && c.run ? AC_OK : ac_fail_nomem(err, t->n * sizeof *c.key);
    if (!st) {
        for (size_t i = 0; i < s->n_files; i++) c.first[i + 1] = c.first[i] + s->file[i].n_rows;
        st = compare_files(&c, err);
    }
    ac_findings_release(&c.found);
    ac_free(c.first);
    ac_free(c.key);
    ac_free(c.run);
    return st;
}

ac_status ac_survey_run(ac_survey *out, const ac_survey_input *in, size_t n, const ac_survey_opts *o, ac_err *err)
{
    ac_survey s = { .has_tokens = o->tok != NULL };
    survey_rows rows = { .n_files = 0 };
    near_groups g = { 0 };
    const survey_job job = { .in = in, .n = n, .o = o };
    ac_status st = survey_read(&rows, &s, &job, err);
    if (!st && o->near) st = near_find(&g, &rows.table, &rows.sketch, err);
    gram_sketch_release(&rows.sketch);
    if (!st) st = survey_compare(&s, o, &rows.table, &g, err);
    near_groups_release(&g);
    survey_rows_release(&rows);
    if (st) ac_survey_release(&s);
    else *out = s;
    return st;
}

void ac_survey_release(ac_survey *s)
{
    ac_findings_release(&s->found);
    ac_arena_release(&s->arena);
    *s = (ac_survey){ 0 };
}
