#include "cli/drift.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "cli/embed.h"
#include "contract/contract.h"
#include "eval/cases.h"
#include "eval/grade.h"

typedef struct {
    size_t n;
    ac_view *question, *answer;    /* of each chat: the last user turn, and what was said to it */
    size_t *line;
} texts;

typedef struct {
    ac_cli *cli;
    ac_arena *a;
    const ac_drift_opts *o;
    ac_contract contract;
    ac_row_file logs, rows;
    ac_cases cases;
    ac_loaded l;
    ac_drift_result *r;
    texts log, row;
    ac_view *question;             /* of the cases */
} work;

static ac_status texts_of(texts *t, const ac_row_file *f, ac_arena *a, ac_err *err)
{
    t->question = ac_arena_alloc_array(a, f->n + 1, sizeof *t->question);
    t->answer = ac_arena_alloc_array(a, f->n + 1, sizeof *t->answer);
    t->line = ac_arena_alloc_array(a, f->n + 1, sizeof *t->line);
    if (!t->question || !t->answer || !t->line) return ac_fail_nomem(err, f->n * sizeof *t->question);
    for (size_t i = 0; i < f->n; i++) {
        const ac_row *r = &f->row[i];
        size_t at = r->n_messages;
        while (at > 0 && r->message[at - 1].role != AC_ROLE_USER) at--;
        if (!at) continue;                              /* nobody asked anything */
        t->question[t->n] = r->message[at - 1].content;
        t->answer[t->n] = at < r->n_messages ? r->message[r->n_messages - 1].content : AC_VIEW("");
        t->line[t->n++] = r->line;
    }
    return AC_OK;
}

static ac_status open_all(work *w, ac_err *err)
{
    const char *model = NULL, *train = NULL, *cases = NULL;
    ac_status st = ac_contract_read(&w->contract, ".", err);
    if (st) return st;
    train = ac_contract_path(&w->contract, w->contract.v.train);
    cases = ac_contract_path(&w->contract, w->contract.v.cases);
    if (!train || !cases) return ac_fail_nomem(err, 0);
    st = ac_rows_read(&w->logs, w->o->logs, AC_FORMAT_AUTO, err);
    if (!st) st = ac_rows_read(&w->rows, train, AC_FORMAT_AUTO, err);
    if (!st) st = ac_cases_read(&w->cases, cases, err);
    if (!st) st = ac_contract_model_path(&w->contract, &model, err);
    if (!st) st = ac_load_model(&w->l, w->cli, model, NULL, err);
    if (!st) st = ac_load_tokenizer(&w->l, model, err);
    if (!st) st = texts_of(&w->log, &w->logs, w->a, err);
    if (!st) st = texts_of(&w->row, &w->rows, w->a, err);
    if (!st && (!w->log.n || !w->row.n))
        st = ac_fail(err, AC_EFORMAT, "%s: holds no chat with a question", w->log.n ? train : w->o->logs);
    return st;
}

/* ---- words ---- */

static size_t count_words(ac_view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        const bool blank = v.ptr[i] == ' ' || v.ptr[i] == '\n' || v.ptr[i] == '\t' || v.ptr[i] == '\r';
        const bool first = i == 0 || v.ptr[i - 1] == ' ' || v.ptr[i - 1] == '\n' || v.ptr[i - 1] == '\t' || v.ptr[i - 1] == '\r';
        n += !blank && first;
    }
    return n;
}

static double *lengths_of(const ac_view *t, size_t n, ac_arena *a)
{
    double *v = ac_arena_alloc_array(a, n + 1, sizeof *v);
    for (size_t i = 0; v && i < n; i++) v[i] = (double)count_words(t[i]);
    return v;
}

static ac_status lengths(work *w, ac_err *err)
{
    for (size_t i = 0; i < 2; i++) {
        ac_drift_lengths *d = &w->r->length[i];
        double *log = lengths_of(i ? w->log.answer : w->log.question, w->log.n, w->a);
        double *row = lengths_of(i ? w->row.answer : w->row.question, w->row.n, w->a);
        if (!log || !row) return ac_fail_nomem(err, w->row.n * sizeof *row);
        d->ks = ac_drift_ks(log, w->log.n, row, w->row.n, &d->p);
        d->log_median = ac_drift_quantile(log, w->log.n, 0.5);
        d->log_p95 = ac_drift_quantile(log, w->log.n, 0.95);
        d->row_median = ac_drift_quantile(row, w->row.n, 0.5);
        d->row_p95 = ac_drift_quantile(row, w->row.n, 0.95);
    }
    return AC_OK;
}

/* ---- refusals: the grader's own rule, or what the refusal cases ask for ---- */

static bool like_a_case(const work *w, ac_view answer)
{
    for (size_t i = 0; i < w->cases.n; i++) {
        const ac_case *c = &w->cases.item[i];
        const ac_view ideal = ac_view_trim(c->ideal);
        if (c->cls == AC_CLASS_REFUSAL && ideal.len && ac_view_starts(ac_view_trim(answer), ideal)) return true;
    }
    return false;
}

static ac_status refusal_share(double *share, const work *w, ac_grade_ctx *g, const texts *t, ac_err *err)
{
    ac_assert rule = { .type = AC_GRADE_IS_REFUSAL };
    const ac_case any = { .id = AC_VIEW("drift"), .cls = AC_CLASS_REFUSAL, .n_asserts = 1, .assert_ = &rule };
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        ac_arena own = { 0 };
        ac_grade grade;
        const ac_status st = ac_grade_answer(g, &any, t->answer[i], 0, (double)NAN, &own, &grade, err);
        if (!st) n += grade.pass || like_a_case(w, t->answer[i]);
        ac_arena_release(&own);
        if (st) return st;
    }
    *share = (double)n / (double)t->n;
    return AC_OK;
}

static ac_status refusals(work *w, ac_err *err)
{
    ac_grade_ctx *g = NULL;
    ac_status st = ac_grade_open(&g, NULL, w->contract.v.refusal, err);
    if (!st) st = refusal_share(&w->r->refusal_logs, w, g, &w->log, err);
    if (!st) st = refusal_share(&w->r->refusal_rows, w, g, &w->row, err);
    ac_grade_close(&g);
    return st;
}

/* ---- cases that came back ---- */

static ac_status leaks(work *w, ac_err *err)
{
    ac_leak_text *t = ac_arena_alloc_array(w->a, w->cases.n + 1, sizeof *t);
    char *canary = NULL;
    w->question = ac_arena_alloc_array(w->a, w->cases.n + 1, sizeof *w->question);
    if (!t || !w->question) return ac_fail_nomem(err, w->cases.n * sizeof *t);
    for (size_t i = 0; i < w->cases.n; i++) {
        const ac_case *c = &w->cases.item[i];
        w->question[i] = c->n_turns ? c->turn[c->n_turns - 1].content : AC_VIEW("");
        t[i] = (ac_leak_text){ .id = ac_arena_strndup(w->a, c->id.ptr, c->id.len), .prompt = w->question[i], .answer = c->ideal };
        if (!t[i].id) return ac_fail_nomem(err, c->id.len);
    }
    if (w->cases.canary.len && !(canary = ac_arena_strndup(w->a, w->cases.canary.ptr, w->cases.canary.len)))
        return ac_fail_nomem(err, w->cases.canary.len);
    ac_findings all = { .n = 0 };
    const ac_status st = ac_leak_check(&all, t, w->cases.n, &w->logs, canary, err);
    size_t kept = 0;
    for (size_t i = 0; !st && i < all.n; i++)           /* what is only similar is what production should be */
        if (all.finding[i].severity == AC_FIND_FAIL && all.finding[i].line_b) all.finding[kept++] = all.finding[i];
    all.n = kept;
    w->r->leaks = all;
    return st;
}

/* ---- vectors ---- */

typedef struct {
    size_t n;
    size_t *of;                    /* index of the text */
    float *vec;
} vectors;

/* A sample without repeats, in the texts' order, the same each time. */
static ac_status draw(vectors *v, size_t n, size_t most, uint64_t stream, ac_arena *a, ac_err *err)
{
    uint32_t *order = ac_arena_alloc_array(a, n + 1, sizeof *order);
    bool *take = ac_arena_alloc_array(a, n + 1, sizeof *take);
    v->of = ac_arena_alloc_array(a, (n < most ? n : most) + 1, sizeof *v->of);
    if (!order || !take || !v->of || n > UINT32_MAX) return ac_fail_nomem(err, n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    ac_rng_shuffle(order, n, 0, AC_RNG_TEST, stream);
    for (size_t i = 0; i < n && i < most; i++) take[order[i]] = true;
    for (size_t i = 0; i < n; i++)
        if (take[i]) v->of[v->n++] = i;
    return AC_OK;
}

static ac_status embed(work *w, vectors *v, const ac_view *text, size_t n, uint64_t stream, const char *what, ac_err *err)
{
    ac_view *drawn = NULL;
    ac_status st = draw(v, n, (size_t)w->o->sample, stream, w->a, err);
    if (!st && !(drawn = ac_arena_alloc_array(w->a, v->n + 1, sizeof *drawn))) st = ac_fail_nomem(err, v->n * sizeof *drawn);
    size_t kept = 0;
    for (size_t i = 0; !st && i < v->n; i++) {
        if (!ac_view_trim(text[v->of[i]]).len) continue;       /* an empty text has no topic */
        drawn[kept] = text[v->of[i]];
        v->of[kept++] = v->of[i];
    }
    v->n = kept;
    return st ? st : ac_embed_texts(&v->vec, &w->l, w->cli, drawn, v->n, what, w->a, err);
}

static ac_status suggest(work *w, const vectors *log, const vectors *row, const vectors *cas, size_t hidden, ac_err *err)
{
    const size_t n = row->n + cas->n;
    size_t most = (size_t)w->o->add;
    float *known = ac_arena_alloc_array(w->a, n * hidden + 1, sizeof *known);
    size_t *pick = ac_arena_alloc_array(w->a, most + 1, sizeof *pick);
    double *far = ac_arena_alloc_array(w->a, most + 1, sizeof *far);
    w->r->far = ac_arena_alloc_array(w->a, most + 1, sizeof *w->r->far);
    if (!known || !pick || !far || !w->r->far) return ac_fail_nomem(err, n * hidden * sizeof *known);
    memcpy(known, row->vec, row->n * hidden * sizeof *known);
    memcpy(known + row->n * hidden, cas->vec, cas->n * hidden * sizeof *known);
    const ac_status st = ac_drift_far(pick, far, &most, log->vec, log->n, known, n, hidden, w->a, err);
    if (st) return st;
    for (size_t i = 0; i < most; i++) {
        const size_t at = log->of[pick[i]];
        w->r->far[i].line = w->log.line[at];
        w->r->far[i].distance = far[i];
        w->r->far[i].question = w->log.question[at];
    }
    w->r->n_far = most;
    return AC_OK;
}

static ac_status topics(work *w, ac_err *err)
{
    vectors log = { 0 }, row = { 0 }, cas = { 0 };
    const size_t hidden = ac_model_get_config(w->l.model)->hidden;
    ac_status st = embed(w, &log, w->log.question, w->log.n, 1, "chats", err);
    if (!st) st = embed(w, &row, w->row.question, w->row.n, 2, "rows", err);
    if (!st) st = embed(w, &cas, w->question, w->cases.n, 3, "cases", err);
    if (st) return st;
    w->r->novel_share = ac_drift_novel(log.vec, log.n, row.vec, row.n, hidden, &w->r->novel_distance, w->a);
    st = ac_drift_topics_find(&w->r->topics, log.vec, log.n, row.vec, row.n, hidden, w->a, err);
    for (size_t i = 0; !st && i < w->r->topics.n; i++) w->r->topic_text[i] = w->row.question[row.of[w->r->topics.topic[i].example]];
    return st ? st : suggest(w, &log, &row, &cas, hidden, err);
}

/* Texts that the caller shows outlive the files that they came from. */
static ac_status keep(ac_view *v, ac_arena *a, ac_err *err)
{
    const char *copy = ac_arena_strndup(a, v->ptr ? v->ptr : "", v->len);
    if (!copy) return ac_fail_nomem(err, v->len);
    v->ptr = copy;
    return AC_OK;
}

ac_status ac_drift_measure(ac_drift_result *out, ac_arena *a, ac_cli *cli, const ac_drift_opts *o, ac_err *err)
{
    work w = { .cli = cli, .a = a, .o = o, .r = out };
    ac_status st = open_all(&w, err);
    if (!st) {
        out->n_logs = w.log.n;
        out->n_rows = w.row.n;
        out->n_cases = w.cases.n;
        out->n_words = AC_COUNTOF(out->word);
        st = lengths(&w, err);
    }
    if (!st) st = ac_drift_unseen(&out->unseen_share, out->word, &out->n_words, w.log.question, w.log.n, w.row.question, w.row.n,
                                  a, err);
    if (!st) st = refusals(&w, err);
    if (!st) st = leaks(&w, err);
    if (!st) st = topics(&w, err);
    for (size_t i = 0; !st && i < out->topics.n; i++) st = keep(&out->topic_text[i], a, err);
    for (size_t i = 0; !st && i < out->n_far; i++) st = keep(&out->far[i].question, a, err);
    ac_loaded_release(&w.l);
    ac_cases_release(&w.cases);
    ac_rows_release(&w.logs);
    ac_rows_release(&w.rows);
    ac_contract_release(&w.contract);
    return st;
}
