/* Checks of a file of rows by itself, and of two files against each other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/data_int.h"
#include "data/scan.h"
#include "data/unread.h"

/* ---- findings ---- */

void ac_findings_release(ac_findings *f)
{
    ac_arena_release(&f->arena);
    *f = (ac_findings){ 0 };
}

/* The list doubles in the arena; its capacity is the next power of two over n. */
static bool make_room(ac_findings *f)
{
    if (f->n & (f->n - 1)) return true;
    if (f->n == 1) return true;                      /* the first block has room for two */
    ac_finding *p = ac_arena_alloc_array(&f->arena, f->n ? f->n * 2 : 2, sizeof *p);
    if (!p) return false;
    if (f->n) memcpy(p, f->finding, f->n * sizeof *p);
    f->finding = p;
    return true;
}

ac_status ac_finding_add(ac_findings *f, ac_severity sev, const char *kind, uint64_t identity,
                         size_t line_a, size_t line_b, double score, ac_err *err, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++)                    /* rows may hold anything; a terminal may not get it */
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
    const unsigned id = (unsigned)(ac_mix64(identity) >> 32);
    const char *id_text = ac_arena_printf(&f->arena, "%s-%08x", kind, id);
    const char *copy = ac_arena_strndup(&f->arena, text, n < 0 ? 0 : strlen(text));
    if (!id_text || !copy || !make_room(f)) return ac_fail_nomem(err, sizeof text);
    f->finding[f->n++] = (ac_finding){ sev, kind, id_text, line_a, line_b, score, copy, NULL, NULL };
    return AC_OK;
}

ac_status ac_finding_copy(ac_findings *f, const ac_finding *x, ac_err *err)
{
    const char *id = ac_arena_strndup(&f->arena, x->id, strlen(x->id));
    const char *text = ac_arena_strndup(&f->arena, x->text, strlen(x->text));
    if (!id || !text || !make_room(f)) return ac_fail_nomem(err, sizeof *x);
    ac_finding *y = &f->finding[f->n++];
    *y = *x;
    y->id = id;
    y->text = text;
    return AC_OK;
}

/* ---- a row's identity ---- */

static uint64_t turns_hash(const ac_message *list, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        h = ac_mix64(h ^ (uint64_t)list[i].role);
        h = ac_hash_bytes(h, list[i].content);
        h = ac_hash_bytes(h, list[i].tool_calls);
    }
    return h;
}

uint64_t ac_row_hash(const ac_row *r)
{
    uint64_t h = turns_hash(r->message, r->n_messages);
    if (r->n_rejected) h = ac_mix64(h ^ turns_hash(r->rejected, r->n_rejected));
    return r->label > 0 ? ac_mix64(h + 1) : h;
}

static bool same_row(const ac_row *a, const ac_row *b)
{
    if (a->n_messages != b->n_messages) return false;
    for (size_t i = 0; i < a->n_messages; i++) {
        const ac_message *x = &a->message[i], *y = &b->message[i];
        if (x->role != y->role || !ac_view_eq(x->content, y->content)
            || !ac_view_eq(x->tool_calls, y->tool_calls)) return false;
    }
    return true;
}

/* Words of all turns up to the last answer, then the answer's own hash. A text row is all question. */
static ac_status question_hash(const ac_row *r, ac_words *w, uint64_t *question, uint64_t *answer, bool *empty,
                               ac_err *err)
{
    size_t last = r->n_messages;
    while (last > 0 && r->message[last - 1].role != AC_ROLE_ASSISTANT) last--;
    const size_t end = last ? last - 1 : r->n_messages;
    uint64_t h = 1;
    *empty = true;
    for (size_t i = 0; i < end; i++) {
        w->n = 0;
        const ac_status st = ac_words_add(w, r->message[i].content, err);
        if (st) return st;
        if (w->n && r->message[i].role != AC_ROLE_SYSTEM) *empty = false;
        h = ac_mix64(h ^ ac_words_hash(w->word, 0, w->n) ^ (uint64_t)r->message[i].role);
    }
    w->n = 0;
    const ac_status st = last ? ac_words_add(w, r->message[last - 1].content, err) : AC_OK;
    if (st) return st;
    *question = h;
    *answer = ac_words_hash(w->word, 0, w->n);
    return AC_OK;
}

/* ---- groups of rows with the same key ---- */

/* next[i]: the following row of the group, 0 at its end; row numbers count from 1. */
typedef struct {
    ac_index first;
    uint32_t *next, *last;
    size_t n;
} groups;

static void groups_release(groups *g)
{
    ac_index_release(&g->first);
    ac_free(g->next);
    ac_free(g->last);
}

static ac_status groups_init(groups *g, size_t n, ac_err *err)
{
    *g = (groups){ .n = n };
    if (n >= UINT32_MAX - 1) return ac_fail(err, AC_EFORMAT, "more than %u rows in a file", UINT32_MAX - 2);
    g->next = ac_calloc(n + 1, sizeof *g->next);
    g->last = ac_calloc(n + 1, sizeof *g->last);
    return g->next && g->last ? AC_OK : ac_fail_nomem(err, n * 8);
}

static ac_status groups_add(groups *g, uint32_t row, uint64_t key, ac_err *err)
{
    uint32_t *at = ac_index_at(&g->first, key);
    if (!at) return ac_fail_nomem(err, g->first.cap * 24);
    if (*at == UINT32_MAX) {
        *at = row;
        g->last[row] = row;
    } else {
        g->next[g->last[*at]] = row;
        g->last[*at] = row;
    }
    return AC_OK;
}

static bool is_first(const groups *g, uint32_t row)
{
    return g->last[row] != 0;                        /* only a group's first row keeps its last */
}

/* "3, 17, 29 and 5 more" */
static void line_list(char *out, size_t size, const ac_row_file *f, const groups *g, uint32_t row)
{
    size_t n = 0, shown = 0, left = 0;
    out[0] = '\0';
    for (uint32_t r = g->next[row]; r; r = g->next[r]) {
        if (shown == 5) left++;
        else n += (size_t)snprintf(out + n, size - n, "%s%zu", shown++ ? ", " : "", f->row[r - 1].line);
    }
    if (left) (void)snprintf(out + n, size - n, " and %zu more", left);
}

static ac_status find_duplicates(ac_findings *out, const ac_row_file *f, ac_err *err)
{
    groups g;
    ac_status st = groups_init(&g, f->n, err);
    for (uint32_t i = 1; !st && i <= f->n; i++) st = groups_add(&g, i, ac_row_hash(&f->row[i - 1]), err);
    for (uint32_t i = 1; !st && i <= f->n; i++) {
        if (!is_first(&g, i) || !g.next[i]) continue;
        size_t copies = 0;
        for (uint32_t r = g.next[i]; r; r = g.next[r])
            if (same_row(&f->row[i - 1], &f->row[r - 1])) copies++;
        if (!copies) continue;
        char lines[160];
        line_list(lines, sizeof lines, f, &g, i);
        st = ac_finding_add(out, AC_FIND_WARN, "duplicate", ac_row_hash(&f->row[i - 1]) + copies, f->row[i - 1].line,
                            f->row[g.next[i] - 1].line, (double)copies, err,
                            "line %zu stands again in line%s %s; each copy weighs the row once more",
                            f->row[i - 1].line, copies > 1 ? "s" : "", lines);
    }
    groups_release(&g);
    return st;
}

static ac_status report_conflict(ac_findings *out, const ac_row_file *f, const groups *g, uint32_t row,
                                 const uint64_t *answer, uint64_t identity, ac_err *err)
{
    size_t others = 0;
    uint32_t other = 0;
    for (uint32_t r = g->next[row]; r; r = g->next[r])
        if (answer[r] != answer[row]) {
            if (!other) other = r;
            others++;
        }
    if (!others) return AC_OK;
    return ac_finding_add(out, AC_FIND_WARN, "conflict", identity + others, f->row[row - 1].line,
                          f->row[other - 1].line, (double)others, err,
                          "line %zu is asked again in line %zu%s with another answer; the model cannot learn both",
                          f->row[row - 1].line, f->row[other - 1].line, others > 1 ? " and more" : "");
}

/* Same question, other answer (by words). Text rows have no question. */
static ac_status find_conflicts(ac_findings *out, const ac_row_file *f, ac_err *err)
{
    if (f->format == AC_FORMAT_TEXT) return AC_OK;
    groups g;
    ac_words w = { 0 };
    uint64_t *answer = ac_calloc(f->n + 1, sizeof *answer), *question = ac_calloc(f->n + 1, sizeof *question);
    ac_status st = groups_init(&g, f->n, err);
    if (!st && (!answer || !question)) st = ac_fail_nomem(err, f->n * 16);
    for (uint32_t i = 1; !st && i <= f->n; i++) {
        bool empty;
        st = question_hash(&f->row[i - 1], &w, &question[i], &answer[i], &empty, err);
        if (!st && !empty) st = groups_add(&g, i, question[i], err);
    }
    for (uint32_t i = 1; !st && i <= f->n; i++)
        if (is_first(&g, i) && g.next[i]) st = report_conflict(out, f, &g, i, answer, question[i], err);
    groups_release(&g);
    ac_words_release(&w);
    ac_free(answer);
    ac_free(question);
    return st;
}

/* ---- one row by itself ---- */

static ac_status find_empty(ac_findings *out, ac_row_format format, const ac_row *r, ac_err *err)
{
    bool answer = false;
    for (size_t i = 0; i < r->n_messages; i++) {
        const ac_message *m = &r->message[i];
        if (m->role == AC_ROLE_ASSISTANT) answer = true;
        if (ac_view_trim(m->content).len || m->tool_calls.len || m->role == AC_ROLE_SYSTEM) continue;
        const ac_status st = ac_finding_add(out, AC_FIND_WARN, "empty", ac_row_hash(r) + i, r->line, 0, 0, err,
                                            "line %zu: turn %zu (%s) is empty", r->line, i + 1,
                                            format == AC_FORMAT_TEXT ? "text" : ac_role_name(m->role));
        if (st) return st;
    }
    if (answer) return AC_OK;
    return ac_finding_add(out, AC_FIND_WARN, "no-answer", ac_row_hash(r), r->line, 0, 0, err,
                          "line %zu has no assistant turn: nothing to learn unless mask is none", r->line);
}

/* The first turn that cannot stand where it stands, or none. */
static const char *order_fault(const ac_row *r, size_t *at)
{
    const ac_message *m = r->message;
    for (size_t i = 0; i < r->n_messages; i++) {
        const bool first = i == 0 || (i == 1 && m[0].role == AC_ROLE_SYSTEM);
        *at = i;
        if (m[i].role == AC_ROLE_SYSTEM && i > 0) return "a system turn behind the first one";
        if (first && m[i].role == AC_ROLE_TOOL) return "a tool turn that nothing called";
        if (first && m[i].role == AC_ROLE_ASSISTANT) return "an answer before any question";
        if (first) continue;
        if (m[i].role == AC_ROLE_USER && m[i - 1].role == AC_ROLE_USER) return "two user turns in a row";
        if (m[i].role == AC_ROLE_USER && m[i - 1].role == AC_ROLE_TOOL) return "a tool's result that is never answered";
        if (m[i].role == AC_ROLE_ASSISTANT && m[i - 1].role == AC_ROLE_ASSISTANT) return "two assistant turns in a row";
        if (m[i].role == AC_ROLE_TOOL && m[i - 1].role == AC_ROLE_USER) return "a tool turn that nothing called";
    }
    if (r->n_messages && m[r->n_messages - 1].role != AC_ROLE_ASSISTANT) {
        *at = r->n_messages - 1;
        return m[*at].role == AC_ROLE_TOOL ? "a tool's result that is never answered" : "a question that is never answered";
    }
    return NULL;
}

static ac_status find_order(ac_findings *out, const ac_row *r, ac_err *err)
{
    size_t at = 0;
    const char *what = order_fault(r, &at);
    /* A row without any answer is "no-answer" already. */
    if (!what || ac_row_last_answer(r) == SIZE_MAX) return AC_OK;
    return ac_finding_add(out, AC_FIND_WARN, "role-order", ac_row_hash(r) + at, r->line, 0, (double)(at + 1), err,
                          "line %zu: turn %zu (%s) is %s", r->line, at + 1, ac_role_name(r->message[at].role), what);
}

static bool same_turns(const ac_message *x, const ac_message *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i].role != y[i].role || !ac_view_eq(ac_view_trim(x[i].content), ac_view_trim(y[i].content))
            || !ac_view_eq(x[i].tool_calls, y[i].tool_calls)) return false;
    return true;
}

static ac_status find_same_pair(ac_findings *out, const ac_row *r, ac_err *err)
{
    if (r->n_rejected > r->n_messages
        || !same_turns(r->message + (r->n_messages - r->n_rejected), r->rejected, r->n_rejected)) return AC_OK;
    return ac_finding_add(out, AC_FIND_FAIL, "same-pair", ac_row_hash(r), r->line, 0, 0, err,
                          "line %zu: chosen and rejected are the same; there is nothing to prefer", r->line);
}

ac_status ac_row_faults(ac_findings *out, const ac_row *r, ac_row_format format, ac_err *err)
{
    ac_status st = find_empty(out, format, r, err);
    if (!st && format != AC_FORMAT_TEXT) st = find_order(out, r, err);
    if (!st && r->n_rejected) st = find_same_pair(out, r, err);
    return st ? st : ac_row_unicode(out, r, ac_row_hash(r), err);
}

ac_status ac_rows_check(ac_findings *out, const ac_row_file *rows, ac_err *err)
{
    ac_findings f = { 0 };
    ac_status st = ac_unread_report(&f, &rows->unread, rows->format, err);
    if (!st) st = find_duplicates(&f, rows, err);
    if (!st) st = find_conflicts(&f, rows, err);
    for (size_t i = 0; !st && i < rows->n; i++) st = ac_row_faults(&f, &rows->row[i], rows->format, err);
    if (st) ac_findings_release(&f);
    else *out = f;
    return st;
}

/* ---- training against validation ---- */

typedef struct {
    size_t n, first_valid, first_train;
    uint64_t identity;
} overlap;

static void count_overlap(overlap *o, size_t valid_line, size_t train_line, uint64_t key)
{
    if (o->n++ == 0) {
        o->first_valid = valid_line;
        o->first_train = train_line;
    }
    o->identity += ac_mix64(key);                    /* order does not matter */
}

typedef struct {
    ac_index bytes, rows, questions;
    ac_words w;
    overlap exact, asked;
    size_t n_bytes;             /* of the exact ones, equal byte for byte */
} overlap_scan;

static ac_status remember(ac_index *x, uint64_t key, size_t i, ac_err *err)
{
    uint32_t *at = ac_index_at(x, key);
    if (!at) return ac_fail_nomem(err, x->cap * 24);
    if (*at == UINT32_MAX) *at = (uint32_t)i + 1;
    return AC_OK;
}

static ac_status overlap_index(overlap_scan *s, const ac_row_file *train, ac_err *err)
{
    for (size_t i = 0; i < train->n; i++) {
        const ac_row *r = &train->row[i];
        uint64_t q, a;
        bool empty;
        const ac_status st = question_hash(r, &s->w, &q, &a, &empty, err);
        if (st) return st;
        ac_status add = remember(&s->rows, ac_mix64(q) ^ a, i, err);
        if (!add) add = remember(&s->bytes, ac_row_hash(r), i, err);
        if (!add && !empty && train->format != AC_FORMAT_TEXT) add = remember(&s->questions, q, i, err);
        if (add) return add;
    }
    return AC_OK;
}

static ac_status overlap_seek(overlap_scan *s, const ac_row_file *train, const ac_row_file *valid, ac_err *err)
{
    for (size_t i = 0; i < valid->n; i++) {
        uint64_t q, a;
        bool empty;
        const ac_status st = question_hash(&valid->row[i], &s->w, &q, &a, &empty, err);
        if (st) return st;
        const size_t line = valid->row[i].line;
        const uint32_t *at = ac_index_find(&s->bytes, ac_row_hash(&valid->row[i]));
        if (at && same_row(&valid->row[i], &train->row[*at - 1])) s->n_bytes++;
        at = ac_index_find(&s->rows, ac_mix64(q) ^ a);
        if (at) count_overlap(&s->exact, line, train->row[*at - 1].line, ac_mix64(q) ^ a);
        else if (!empty && (at = ac_index_find(&s->questions, q)))
            count_overlap(&s->asked, line, train->row[*at - 1].line, q);
    }
    return AC_OK;
}

ac_status ac_rows_overlap(ac_findings *out, const ac_row_file *train, const ac_row_file *valid, ac_err *err)
{
    overlap_scan s = { 0 };
    ac_findings f = { 0 };
    if (train->n >= UINT32_MAX - 1) return ac_fail(err, AC_EFORMAT, "%s: too many rows", train->path);
    ac_status st = overlap_index(&s, train, err);
    if (!st) st = overlap_seek(&s, train, valid, err);
    if (!st && s.exact.n)
        st = ac_finding_add(&f, AC_FIND_FAIL, "train-valid", s.exact.identity, s.exact.first_valid,
                            s.exact.first_train, (double)s.exact.n, err,
                            "%zu validation row%s in the training rows too (%zu byte for byte), first validation "
                            "line %zu = training line %zu; the validation loss would flatter", s.exact.n,
                            s.exact.n > 1 ? "s stand" : " stands", s.n_bytes, s.exact.first_valid,
                            s.exact.first_train);
    if (!st && s.asked.n)
        st = ac_finding_add(&f, AC_FIND_WARN, "train-valid-prompt", s.asked.identity, s.asked.first_valid,
                            s.asked.first_train, (double)s.asked.n, err,
                            "%zu more validation row%s a question that training rows ask too, with another answer; "
                            "first validation line %zu, training line %zu", s.asked.n, s.asked.n > 1 ? "s ask" : " asks",
                            s.asked.first_valid, s.asked.first_train);
    ac_index_release(&s.bytes);
    ac_index_release(&s.rows);
    ac_index_release(&s.questions);
    ac_words_release(&s.w);
    if (st) ac_findings_release(&f);
    else *out = f;
    return st;
}
