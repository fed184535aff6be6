#include "contract/texts.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

#define DOCUMENT_BYTES ((size_t)64 << 20)

/* ---- cases as the leak check wants them ---- */

static ac_status leak_text(ac_leak_text *out, const ac_case *c, ac_arena *a, ac_err *err)
{
    ac_str context = { 0 };
    for (size_t i = 0; i + 1 < c->n_turns; i++) {
        if (c->turn[i].role == AC_ROLE_SYSTEM) continue;
        if (context.len) ac_str_append_char(&context, '\n');
        ac_str_append(&context, c->turn[i].content);
    }
    *out = (ac_leak_text){ .prompt = c->turn[c->n_turns - 1].content, .answer = c->ideal };
    out->id = ac_arena_strndup(a, c->id.ptr, c->id.len);
    if (context.len) {
        char *copy = ac_arena_strndup(a, ac_str_c(&context), context.len);
        out->context = (ac_view){ copy, copy ? context.len : 0 };
    }
    const bool ok = ac_str_ok(&context) && out->id && (!context.len || out->context.ptr);
    ac_str_release(&context);
    return ok ? AC_OK : ac_fail_nomem(err, 256);
}

ac_status ac_case_texts_make(ac_case_texts *out, const ac_cases *cases, ac_arena *a, ac_err *err)
{
    ac_case_texts t = { .cases = cases, .text = ac_arena_alloc_array(a, cases->n, sizeof *t.text) };
    const ac_view canary = cases->canary;
    if (canary.len) t.canary = ac_arena_strndup(a, canary.ptr, canary.len);
    if (!t.text || (canary.len && !t.canary)) return ac_fail_nomem(err, cases->n * sizeof *t.text);
    for (size_t i = 0; i < cases->n; i++) {
        const ac_status st = leak_text(&t.text[i], &cases->item[i], a, err);
        if (st) return st;
    }
    *out = t;
    return AC_OK;
}

/* ---- secrets, personal data, odd characters ---- */

static uint64_t identity(const ac_case *c)
{
    const ac_sha256 h = ac_sha256_of(c->id.ptr, c->id.len);
    uint64_t id;
    memcpy(&id, h.byte, sizeof id);
    return id;
}

/* Turns, what assertions compare with, and the reference; the first value often is the reference itself. */
typedef ac_status text_fn(void *ctx, const ac_case *c, const char *what, size_t number, ac_view text, ac_err *err);

static ac_status each_text(const ac_case *c, text_fn *fn, void *ctx, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < c->n_turns && !st; i++) st = fn(ctx, c, "turn", i + 1, c->turn[i].content, err);
    for (size_t i = 0; i < c->n_asserts && !st; i++)
        for (size_t k = 0; k < c->assert_[i].n_values && !st; k++)
            if (c->assert_[i].value[k].ptr != c->ideal.ptr)
                st = fn(ctx, c, "assertion", i + 1, c->assert_[i].value[k], err);
    return st || !c->ideal.len ? st : fn(ctx, c, "reference", 0, c->ideal, err);
}

static ac_status scan_one(void *ctx, const ac_case *c, const char *what, size_t number, ac_view text, ac_err *err)
{
    AC_UNUSED(what);
    AC_UNUSED(number);
    return ac_scan_tally_text(ctx, c->line, identity(c), text, err);
}

static ac_status odd_one(void *ctx, const ac_case *c, const char *what, size_t number, ac_view text, ac_err *err)
{
    char place[160];
    const ac_view id = ac_view_slice(c->id, 0, 80);
    if (number) (void)snprintf(place, sizeof place, "case " AC_VIEW_FMT ": %s %zu", AC_VIEW_ARG(id), what, number);
    else (void)snprintf(place, sizeof place, "case " AC_VIEW_FMT ": its %s", AC_VIEW_ARG(id), what);
    return ac_text_unicode(ctx, AC_FIND_WARN, text, identity(c) + number + ((uint64_t)(unsigned char)what[0] << 40), c->line,
                           place, err);
}

static void set_path(ac_findings *f, size_t from, const char *path)
{
    for (size_t i = from; i < f->n; i++) f->finding[i].path_a = path;
}

ac_status ac_texts_scan_cases(ac_findings *f, const ac_scanner *s, const ac_cases *c, bool readers, ac_err *err)
{
    const size_t from = f->n;
    ac_scan_tally *t = NULL;
    ac_status st = s ? ac_scan_tally_open(&t, s, c->path, err) : AC_OK;
    for (size_t i = 0; t && i < c->n && !st; i++) st = each_text(&c->item[i], scan_one, t, err);
    if (t && !st) st = ac_scan_tally_report(f, t, err);
    ac_scan_tally_close(&t);
    for (size_t i = 0; i < c->n && !st; i++) st = each_text(&c->item[i], odd_one, f, err);
    if (!st) st = ac_scan_place(f, c->path, readers, err);
    set_path(f, from, c->path);
    return st;
}

ac_status ac_texts_scan_documents(ac_findings *f, const ac_scanner *s, const ac_rag_text *doc, size_t n, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        const size_t from = f->n;
        ac_scan_tally *t = NULL;
        st = ac_scan_tally_open(&t, s, doc[i].path, err);
        if (!st) st = ac_scan_tally_document(t, doc[i].text, err);
        if (!st) st = ac_scan_tally_report(f, t, err);
        ac_scan_tally_close(&t);
        set_path(f, from, doc[i].path);
    }
    return st;
}

ac_status ac_texts_odd_documents(ac_findings *f, const ac_rag_text *doc, size_t n, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        const size_t from = f->n;
        ac_arena a = { 0 };
        ac_view raw = { NULL, 0 };
        st = ac_file_read_arena(&raw, &a, doc[i].path, DOCUMENT_BYTES, err);
        if (!st && ac_view_starts(raw, AC_VIEW("\xef\xbb\xbf"))) raw = ac_view_slice(raw, 3, raw.len);
        if (!st) st = ac_document_unicode(f, AC_FIND_WARN, raw, doc[i].path, err);
        ac_arena_release(&a);
        set_path(f, from, doc[i].path);
    }
    return st;
}

/* ---- leaks ---- */

static bool about_cases(const ac_finding *x)
{
    return !strcmp(x->kind, "case-duplicate") || !strcmp(x->kind, "case-near");
}

static size_t line_of(const ac_case_texts *t, size_t number)
{
    return number && number <= t->cases->n ? t->cases->item[number - 1].line : 0;
}

/* Keeps what is wanted of a list and turns numbers of cases into lines. */
static void settle(ac_findings *f, const ac_case_texts *t, bool twins, bool failures, const char *other)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        ac_finding x = f->finding[i];
        if (about_cases(&x) != twins || (failures && x.severity != AC_FIND_FAIL)) continue;
        x.line_a = line_of(t, x.line_a);
        x.path_a = t->cases->path;
        if (twins) x.line_b = line_of(t, x.line_b);
        if (twins) x.path_b = t->cases->path;
        else if (other) x.path_b = other;
        f->finding[n++] = x;
    }
    f->n = n;
}

ac_status ac_texts_twins(ac_findings *f, const ac_case_texts *t, ac_err *err)
{
    const ac_row_file none = { .path = t->cases->path };
    const ac_status st = ac_leak_check(f, t->text, t->cases->n, &none, NULL, err);
    settle(f, t, true, false, NULL);
    return st;
}

ac_status ac_texts_leaks_rows(ac_findings *f, const ac_case_texts *t, const ac_row_file *rows, ac_err *err)
{
    ac_status st = ac_leak_check(f, t->text, t->cases->n, rows, t->canary, err);
    if (!st) st = ac_leak_alike(f, t->text, t->cases->n, rows, err);
    settle(f, t, false, false, rows->path);
    return st;
}

ac_status ac_texts_leaks_documents(ac_findings *f, const ac_case_texts *t, const ac_rag_text *doc, size_t n, ac_err *err)
{
    ac_arena a = { 0 };
    ac_leak_document *docs = ac_arena_alloc_array(&a, n + 1, sizeof *docs);
    ac_status st = docs ? AC_OK : ac_fail_nomem(err, n * sizeof *docs);
    for (size_t i = 0; i < n && !st; i++) docs[i] = (ac_leak_document){ doc[i].path, doc[i].text };
    if (!st) st = ac_leak_documents(f, t->text, t->cases->n, docs, n, t->canary, err);
    settle(f, t, false, true, NULL);
    ac_arena_release(&a);
    return st;
}
