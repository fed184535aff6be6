/* Leaks of evaluation cases into rows and documents (docs/data.md, "Leaks"). The cases are few and are indexed; rows and
 * documents are streamed once past the index, so the time grows with their text and not with rows times cases. */
#include <string.h>

#include "data/leak_int.h"

/* ---- a row ---- */

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
    return ac_leak_mark_known(k, err);
}

static void note_answer(leak *k, const uint64_t *w, size_t n, size_t line)
{
    const uint32_t *at = n ? ac_index_find(&k->answers, ac_words_hash(w, 0, n)) : NULL;
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_ANSWER]) {
        if (!k->item[i - 1].answered) k->item[i - 1].answer_line = line;
        k->item[i - 1].answered = true;
    }
}

/* What an assistant or a tool says: a question may stand in it, too. */
static ac_status other_turn(leak *k, const ac_row *r, size_t i, leak_exchange *x, size_t from, size_t to, ac_err *err)
{
    k->row_number++;
    x->from = from;
    x->to = x->answer_from = x->answer_to = to;
    x->text = r->message[i].content;
    const ac_status st = ac_leak_inside(k, x, from, to, false, err);
    return st ? st : ac_leak_chars(k, x, err);
}

static ac_status user_turn(leak *k, const ac_row *r, size_t i, leak_exchange *x, const size_t *ends, ac_err *err)
{
    size_t a = i + 1;
    while (a < r->n_messages && r->message[a].role != AC_ROLE_ASSISTANT && r->message[a].role != AC_ROLE_USER) a++;
    k->row_number++;
    x->from = i ? ends[i - 1] : 0;
    x->to = x->answer_from = x->answer_to = ends[i];
    x->text = r->message[i].content;
    if (a < r->n_messages && r->message[a].role == AC_ROLE_ASSISTANT) {
        x->answer_from = ends[a - 1];
        x->answer_to = ends[a];
    }
    return ac_leak_exchange(k, x, err);
}

/* Examples in a system turn are questions, too; it opens no conversation, so nothing else of it is compared. Most rows have the
 * turn of the row before. */
static ac_status system_turn(leak *k, const ac_row *r, size_t i, uint64_t row_hash, ac_err *err)
{
    const ac_view text = r->message[i].content;
    if (k->clean_system.ptr && ac_view_eq(text, k->clean_system)) return AC_OK;
    k->w.n = 0;
    ac_status st = ac_words_add(&k->w, text, err);
    if (!st) st = ac_leak_mark_known(k, err);
    if (st) return st;
    if (!k->longest_known) k->clean_system = text;
    k->row_number++;
    const leak_exchange x = { .w = k->w.word, .to = k->w.n, .answer_from = k->w.n, .answer_to = k->w.n, .line = r->line,
                              .row_hash = row_hash, .text = text };
    return ac_leak_inside(k, &x, 0, k->w.n, false, err);
}

static ac_status row_exchanges(leak *k, const ac_row *r, bool is_text, const size_t *ends, ac_err *err)
{
    leak_exchange x = { .w = k->w.word, .line = r->line, .is_text = is_text };
    x.row_hash = ac_words_hash(k->w.word, 0, k->w.n);
    if (is_text) {
        k->row_number++;
        x.to = x.answer_to = k->w.n;
        x.text = r->n_messages ? r->message[0].content : (ac_view){ NULL, 0 };
        return ac_leak_exchange(k, &x, err);
    }
    for (size_t i = 0; i < r->n_messages; i++) {
        const size_t from = i ? ends[i - 1] : 0;
        const ac_role role = r->message[i].role;
        if (role == AC_ROLE_ASSISTANT) note_answer(k, k->w.word + from, ends[i] - from, r->line);
        if (role == AC_ROLE_SYSTEM || ends[i] == from) continue;
        const ac_status st = role == AC_ROLE_USER ? user_turn(k, r, i, &x, ends, err)
                                                  : other_turn(k, r, i, &x, from, ends[i], err);
        if (st) return st;
    }
    for (size_t i = 0; i < r->n_messages; i++) {                /* last: they take the place of the row's words */
        if (r->message[i].role != AC_ROLE_SYSTEM) continue;
        const ac_status st = system_turn(k, r, i, x.row_hash, err);
        if (st) return st;
    }
    return AC_OK;
}

static ac_status stream(leak *k, const ac_row_file *rows, const char *canary, ac_err *err)
{
    const ac_view mark = ac_view_of(canary);
    size_t *ends = NULL, cap = 0;
    ac_status st = AC_OK;
    k->clean_system = (ac_view){ NULL, 0 };
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

/* ---- runs that many rows share ---- */

/* A run of 13 words in so many different rows is their own wording (a schema, an instruction), and no copy of a case.
 * That is known at the end only; so then the rows are gone through again without those runs. */
static bool drop_common(leak *k)
{
    bool any = false;
    leak_grams *g = &k->prompt_span;
    for (size_t i = 0; i < g->n; i++) {
        if (!g->rows[i][LEAK_COMMON - 1]) continue;
        uint32_t *slot = ac_index_find(&g->index, g->post[i].gram);
        if (slot) *slot = LEAK_FRAME;
        any = true;
    }
    return any;
}

static void forget_counts(leak *k)
{
    for (size_t i = 0; i < k->n; i++) {
        leak_case *c = &k->item[i];
        memset(c->fail, 0, sizeof c->fail);
        memset(c->warn, 0, sizeof c->warn);
        c->answered = false;
        c->done_row = 0;
    }
    if (k->eight.n) memset(k->eight.seen_line, 0, k->eight.n * sizeof *k->eight.seen_line);
    if (k->prompt_span.n) memset(k->prompt_span.rows, 0, k->prompt_span.n * sizeof *k->prompt_span.rows);
    k->n_canary = k->row_number = k->n_new_frames = 0;
}

static ac_status check_rows(leak *k, const ac_row_file *rows, const char *canary, ac_err *err)
{
    ac_status st = stream(k, rows, canary, err);
    if (st || !k->n_new_frames || !drop_common(k)) return st;
    forget_counts(k);
    return stream(k, rows, canary, err);
}

ac_status ac_leak_check(ac_findings *out, const ac_leak_text *cases, size_t n_cases,
                        const ac_row_file *rows, const char *canary, ac_err *err)
{
    leak k = { 0 };
    ac_findings f = { 0 };
    ac_status st = ac_leak_prepare(&k, cases, n_cases, err);
    if (!st) st = ac_leak_twins(&f, &k, err);
    if (!st) forget_counts(&k);
    if (!st) st = check_rows(&k, rows, canary, err);
    if (!st) st = ac_leak_report(&f, &k, rows->path, false, err);
    ac_leak_release(&k);
    if (st) ac_findings_release(&f);
    else *out = f;
    return st;
}

/* ---- documents ---- */

/* A word never goes over a line's end, so words may be read line by line, and each line knows how many stood before. */
static ac_status document_words(leak *k, ac_view text, size_t **line_words, size_t *n_lines, ac_err *err)
{
    size_t n = 1, line = 0;
    for (size_t i = 0; i < text.len; i++) n += text.ptr[i] == '\n';
    size_t *at = ac_calloc(n, sizeof *at);
    ac_status st = at ? AC_OK : ac_fail_nomem(err, n * sizeof *at);
    k->w.n = 0;
    for (size_t from = 0; !st && line < n; line++) {
        size_t to = ac_view_find(text, AC_VIEW("\n"), from);
        if (to == SIZE_MAX) to = text.len;
        at[line] = k->w.n;
        st = ac_words_add(&k->w, ac_view_slice(text, from, to), err);
        from = to + 1;
    }
    *line_words = at;
    *n_lines = n;
    return st ? st : ac_leak_mark_known(k, err);
}

static ac_status one_document(leak *k, ac_view text, const char *canary, ac_err *err)
{
    size_t *line_words = NULL, n_lines = 0;
    const ac_view mark = ac_view_of(canary);
    const size_t found = mark.len ? ac_view_find(text, mark, 0) : SIZE_MAX;
    if (found != SIZE_MAX) {
        k->n_canary = k->canary_line = 1;
        for (size_t i = 0; i < found; i++) k->canary_line += text.ptr[i] == '\n';
    }
    ac_status st = document_words(k, text, &line_words, &n_lines, err);
    leak_exchange x = { .w = k->w.word, .to = k->w.n, .answer_to = k->w.n, .line = 1, .is_text = true, .is_document = true,
                        .text = text, .line_words = line_words, .n_lines = n_lines };
    k->row_number++;
    if (!st) {
        x.row_hash = ac_words_hash(k->w.word, 0, k->w.n);
        st = ac_leak_exchange(k, &x, err);
    }
    ac_free(line_words);
    return st;
}

ac_status ac_leak_documents(ac_findings *out, const ac_leak_text *cases, size_t n_cases, const ac_leak_document *docs,
                            size_t n_docs, const char *canary, ac_err *err)
{
    leak k = { 0 };
    ac_findings f = { 0 };
    ac_status st = ac_leak_prepare(&k, cases, n_cases, err);
    for (size_t i = 0; i < n_docs && !st; i++) {
        const size_t from = f.n;
        forget_counts(&k);
        st = one_document(&k, docs[i].text, canary, err);
        if (!st) st = ac_leak_report(&f, &k, docs[i].path, true, err);
        for (size_t j = from; j < f.n; j++) f.finding[j].path_b = docs[i].path;
    }
    ac_leak_release(&k);
    if (st) ac_findings_release(&f);
    else *out = f;
    return st;
}
