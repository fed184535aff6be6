/* accord freeze: everything is checked, then sealed; a refusal leaves the old lock untouched. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "contract/lock_int.h"
#include "data/data.h"
#include "eval/cases.h"
#include "eval/stats.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

#define MIN_CASES     30
#define MIN_PER_CLASS 5
#define MAX_SHOWN     40

typedef struct {
    ac_contract *c;
    const ac_freeze_opts *o;
    ac_str *report;
    ac_err *err;
    ac_sealed seal[AC_SEAL_COUNT];
    ac_cases cases;
    ac_row_file train, valid;
    ac_arena arena;
    size_t n_shown, n_blocking, n_accepted;
    ac_str blocking;                     /* ids, for the refusal */
    bool *used;                          /* which accepted ids met a finding */
} freezer;

/* ---- findings ----------------------------------------------------------------------------------------------- */

static bool accepted(freezer *f, const char *id)
{
    for (size_t i = 0; i < f->o->n_accept_leak; i++) {
        if (strcmp(f->o->accept_leak[i], id)) continue;
        f->used[i] = true;
        return true;
    }
    return false;
}

static void take_finding(freezer *f, const ac_finding *x, const char *file)
{
    const bool fails = x->severity == AC_FIND_FAIL, ok = fails && accepted(f, x->id);
    if (fails && ok) f->n_accepted++;
    if (fails && !ok) {
        if (f->n_blocking < 10) ac_str_appendf(&f->blocking, "%s%s", f->n_blocking ? ", " : "", x->id);
        f->n_blocking++;
    }
    if (x->severity == AC_FIND_NOTE || ++f->n_shown > MAX_SHOWN) return;
    ac_str_appendf(f->report, "%s %s  %s: %s\n", ok ? "accepted" : fails ? "BLOCKS  " : "warning ", x->id, file, x->text);
}

static void take_all(freezer *f, ac_findings *list, const char *file)
{
    for (size_t i = 0; i < list->n; i++) take_finding(f, &list->finding[i], file);
    ac_findings_release(list);
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static int choice(const char *value, const char *const *names)
{
    int i = 0;
    while (strcmp(value, names[i])) i++;
    return i;
}

/* The rows as training will see them: masks, lengths, rows without a target. */
static ac_status check_rows(freezer *f, ac_row_file *rows, const char *path, const ac_tokenizer *tok, ac_chat **chat)
{
    static const char *const masks[] = { "assistant", "last", "none" };
    static const char *const longs[] = { "refuse", "truncate", "drop" };
    const ac_contract_values *v = &f->c->v;
    const ac_data_opts opts = { .mask = (ac_mask)choice(v->mask, masks), .on_long = (ac_on_long)choice(v->on_long, longs),
                                .max_len = (size_t)v->max_len, .text_eos = true };
    ac_dataset set = { 0 };
    ac_findings found = { 0 };
    ac_status st = ac_rows_read(rows, path, AC_FORMAT_AUTO, f->err);
    if (!st && rows->format != AC_FORMAT_TEXT && !*chat) st = ac_chat_open(chat, tok, v->chat_format, f->err);
    if (!st) st = ac_dataset_build(&set, rows, tok, *chat, &opts, f->o->sink, f->err);
    if (!st)
        ac_str_appendf(f->report, "%s: %zu rows (%s), %zu tokens, %zu of them supervised, longest row %zu%s\n", path, set.n,
                       ac_row_format_name(rows->format), set.n_tokens, set.n_targets, set.max_len,
                       set.n_truncated + set.n_dropped ? "; long rows were cut or dropped" : "");
    if (!st) st = ac_rows_check(&found, rows, f->err);
    take_all(f, &found, path);
    ac_dataset_release(&set);
    return st;
}

static ac_status check_data(freezer *f)
{
    ac_tokenizer *tok = NULL;
    ac_chat *chat = NULL;
    ac_findings found = { 0 };
    ac_status st = ac_tokenizer_open(&tok, f->seal[AC_SEAL_BASE].full, f->err);
    if (!st) st = check_rows(f, &f->train, f->seal[AC_SEAL_TRAIN].full, tok, &chat);
    if (!st && f->c->v.valid) {
        st = check_rows(f, &f->valid, f->seal[AC_SEAL_VALID].full, tok, &chat);
        if (!st) st = ac_rows_overlap(&found, &f->train, &f->valid, f->err);
        take_all(f, &found, f->seal[AC_SEAL_VALID].full);
    }
    /* The arms speak in the chat format even when the rows are plain text. */
    if (!st && !chat) st = ac_chat_open(&chat, tok, f->c->v.chat_format, f->err);
    ac_chat_close(&chat);
    ac_tokenizer_close(&tok);
    return st;
}

/* ---- cases ------------------------------------------------------------------------------------------------------ */

static ac_status leak_text(freezer *f, const ac_case *c, ac_leak_text *out)
{
    ac_str context = { 0 };
    for (size_t i = 0; i + 1 < c->n_turns; i++) {
        if (c->turn[i].role == AC_ROLE_SYSTEM) continue;
        if (context.len) ac_str_append_char(&context, '\n');
        ac_str_append(&context, c->turn[i].content);
    }
    *out = (ac_leak_text){ .prompt = c->turn[c->n_turns - 1].content, .answer = c->ideal };
    out->id = ac_arena_strndup(&f->arena, c->id.ptr, c->id.len);
    if (context.len) {
        char *copy = ac_arena_strndup(&f->arena, ac_str_c(&context), context.len);
        out->context = (ac_view){ copy, copy ? context.len : 0 };
    }
    const bool ok = ac_str_ok(&context) && out->id && (!context.len || out->context.ptr);
    ac_str_release(&context);
    return ok ? AC_OK : ac_fail_nomem(f->err, 256);
}

static ac_status check_leaks(freezer *f)
{
    ac_findings found = { 0 };
    ac_leak_text *texts = ac_arena_alloc_array(&f->arena, f->cases.n, sizeof *texts);
    char *canary = f->cases.canary.ptr ? ac_arena_strndup(&f->arena, f->cases.canary.ptr, f->cases.canary.len) : NULL;
    if (!texts || (f->cases.canary.ptr && !canary)) return ac_fail_nomem(f->err, f->cases.n * sizeof *texts);
    ac_status st = AC_OK;
    for (size_t i = 0; i < f->cases.n && !st; i++) st = leak_text(f, &f->cases.item[i], &texts[i]);
    if (!st) st = ac_leak_check(&found, texts, f->cases.n, &f->train, canary, f->err);
    take_all(f, &found, f->seal[AC_SEAL_TRAIN].full);
    if (!st && f->c->v.valid) st = ac_leak_check(&found, texts, f->cases.n, &f->valid, canary, f->err);
    take_all(f, &found, f->seal[AC_SEAL_VALID].path ? f->seal[AC_SEAL_VALID].full : "");
    return st;
}

static ac_status check_size(freezer *f)
{
    const ac_cases *c = &f->cases;
    bool small = c->n < MIN_CASES;
    for (size_t i = 0; i < AC_CLASS_COUNT; i++) small = small || c->n_class[i] < MIN_PER_CLASS;
    if (small && !f->o->accept_small_reason)
        return ac_fail(f->err, AC_EREFUSED, "%s: %zu cases (%zu success, %zu refusal, %zu edge) are too few for a verdict: "
                       "at least %d, and %d of each class; add some, or pass --accept-small --reason \"why\"", c->path, c->n,
                       c->n_class[0], c->n_class[1], c->n_class[2], MIN_CASES, MIN_PER_CLASS);
    if (!small && f->o->accept_small_reason)
        return ac_fail(f->err, AC_EARG, "--accept-small has no meaning here: the cases are enough");
    return AC_OK;
}

static ac_status check_references(freezer *f)
{
    ac_str problems = { 0 };
    size_t n = 0;
    if (!f->o->check_reference) return AC_OK;
    ac_status st = f->o->check_reference(f->o->check_ctx, f->seal[AC_SEAL_DATABASE].full, f->c->v.refusal,
                                         f->seal[AC_SEAL_CASES].full, &problems, &n, f->err);
    if (!st && n) {
        ac_str_append(f->report, ac_str_view(&problems));
        st = ac_fail(f->err, AC_EREFUSED, "%s: %zu reference answers fail their own graders; correct the cases",
                     f->cases.path, n);
    }
    ac_str_release(&problems);
    return st;
}

/* ---- the verdict of the checks ----------------------------------------------------------------------------------- */

static ac_status decide(freezer *f)
{
    if (f->n_shown > MAX_SHOWN) ac_str_appendf(f->report, "... and %zu more findings\n", f->n_shown - MAX_SHOWN);
    for (size_t i = 0; i < f->o->n_accept_leak; i++)
        if (!f->used[i])
            return ac_fail(f->err, AC_EARG, "--accept-leak %s: there is no such blocking finding", f->o->accept_leak[i]);
    if (f->n_blocking)
        return ac_fail(f->err, AC_EREFUSED, "%zu finding%s would fool the verdict: %s%s; remove those rows, or accept each "
                       "with --accept-leak ID --reason \"why\"", f->n_blocking, f->n_blocking == 1 ? "" : "s",
                       ac_str_c(&f->blocking), f->n_blocking > 10 ? ", ..." : "");
    return AC_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static void write_sealed(ac_jw *w, const freezer *f)
{
    ac_jw_object(w, "sealed");
    for (size_t i = 0; i < AC_SEAL_COUNT; i++) {
        char hex[AC_SHA256_HEX];
        if (!f->seal[i].path) continue;
        ac_sha256_hex(hex, &f->seal[i].hash);
        ac_jw_object(w, f->seal[i].name);
        ac_jw_cstr(w, "path", f->seal[i].path);
        ac_jw_cstr(w, "sha256", hex);
        if (i == AC_SEAL_TRAIN) ac_jw_u64(w, "rows", f->train.n);
        if (i == AC_SEAL_VALID) ac_jw_u64(w, "rows", f->valid.n);
        ac_jw_end_object(w);
    }
    ac_jw_end_object(w);
}

static void write_cases(ac_jw *w, const freezer *f)
{
    ac_jw_object(w, "cases");
    ac_jw_u64(w, "n", f->cases.n);
    for (size_t i = 0; i < AC_CLASS_COUNT; i++) ac_jw_u64(w, ac_class_name((ac_class)i), f->cases.n_class[i]);
    if (f->cases.canary.ptr) ac_jw_str(w, "canary", f->cases.canary);
    ac_jw_end_object(w);
}

/* The lock's text with the given number and predecessor, so that it can be compared with the one that is there. */
static ac_status compose(ac_str *out, const freezer *f, uint64_t number, const char *previous)
{
    ac_str plain = { 0 };
    ac_arena a = { 0 };
    ac_jw w;
    const ac_json *tree = NULL;
    ac_jw_init(&w, &plain, false);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "accord_lock", 1);
    ac_jw_u64(&w, "number", number);
    ac_jw_cstr(&w, "previous", previous);
    write_sealed(&w, f);
    write_cases(&w, f);
    ac_jw_f64(&w, "smallest_visible_gain_points", ac_stats_smallest_gain(f->cases.n));
    ac_jw_cstr(&w, "accept_small", f->o->accept_small_reason);
    ac_jw_array(&w, "accepted");
    for (size_t i = 0; i < f->o->n_accept_leak; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "id", f->o->accept_leak[i]);
        ac_jw_cstr(&w, "reason", f->o->accept_leak_reason);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_lock_write_values(&w, "values", &f->c->v);
    ac_jw_end_object(&w);
    ac_status st = ac_str_ok(&plain) ? ac_json_parse(&tree, ac_str_view(&plain), &a, "lock", 1, NULL, f->err)
                                     : ac_fail_nomem(f->err, plain.len);
    if (!st) {
        ac_json_canonical(out, tree);
        ac_str_append_char(out, '\n');
        if (!ac_str_ok(out)) st = ac_fail_nomem(f->err, plain.len);
    }
    ac_str_release(&plain);
    ac_arena_release(&a);
    return st;
}

/* previous of a lock that is there, as it stands in its tree. */
static const char *previous_of(const ac_lock *l)
{
    const ac_json *p = ac_json_get(l->tree, "previous");
    return p && p->type == AC_JSON_STRING ? p->text.ptr : NULL;
}

static ac_status write_lock(freezer *f, ac_lock *out)
{
    ac_lock old = { 0 };
    ac_err ignored = { 0 };
    ac_str text = { 0 };
    char hex[AC_SHA256_HEX];
    const char *path = ac_path_join(&f->arena, f->c->dir, "accord.lock");
    if (!path) return ac_fail_nomem(f->err, strlen(f->c->dir));
    /* A lock that cannot be read any more has no say; a new one follows nothing. */
    const bool had = ac_lock_read(&old, f->c, &ignored) == AC_OK;
    ac_status st = AC_OK;
    if (had) {
        st = compose(&text, f, old.number, previous_of(&old));
        if (!st && ac_view_eq(ac_str_view(&text), ac_str_view(&old.text))) {
            *out = old;
            out->unchanged = true;
            ac_str_release(&text);
            return AC_OK;
        }
        ac_sha256_hex(hex, &old.hash);
        ac_str_reset(&text);
    }
    if (!st) st = compose(&text, f, had ? old.number + 1 : 1, had ? hex : NULL);
    if (!st) st = ac_file_write_atomic(path, text.ptr, text.len, f->err);
    if (!st) st = ac_lock_parse(out, ac_str_view(&text), path, f->err);
    ac_lock_release(&old);
    ac_str_release(&text);
    return st;
}

ac_status ac_freeze(ac_lock *out, ac_contract *c, const ac_freeze_opts *o, ac_str *report, ac_err *err)
{
    freezer f = { .c = c, .o = o, .report = report, .err = err };
    f.used = ac_arena_alloc_array(&f.arena, o->n_accept_leak + 1, sizeof *f.used);
    ac_status st = f.used ? ac_seal_all(f.seal, c, o->sink, err) : ac_fail_nomem(err, o->n_accept_leak);
    if (!st) st = ac_cases_read(&f.cases, f.seal[AC_SEAL_CASES].full, err);
    if (!st) st = check_size(&f);
    if (!st) st = check_references(&f);
    if (!st) st = check_data(&f);
    if (!st) st = check_leaks(&f);
    if (!st) st = decide(&f);
    if (!st && !ac_str_ok(report)) st = ac_fail_nomem(err, report->len);
    if (!st) st = write_lock(&f, out);
    ac_cases_release(&f.cases);
    ac_rows_release(&f.train);
    ac_rows_release(&f.valid);
    ac_str_release(&f.blocking);
    ac_arena_release(&f.arena);
    return st;
}
