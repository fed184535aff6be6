/* accord freeze: everything is checked, then sealed; a refusal leaves the old lock untouched. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "contract/lock_int.h"
#include "contract/texts.h"
#include "data/scan.h"
#include "eval/cases.h"
#include "eval/stats.h"
#include "rag/rag.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

#define MIN_CASES     30
#define MIN_PER_CLASS 5
#define MAX_SHOWN     40     /* warnings; what blocks is shown up to ten times that */

typedef struct {
    ac_contract *c;
    const ac_freeze_opts *o;
    ac_str *report;
    ac_err *err;
    ac_sealed seal[AC_SEAL_COUNT];
    ac_cases cases;
    ac_row_file train, valid;
    ac_arena arena;
    ac_tokenizer *tok;
    ac_chat *chat;
    ac_scanner *scanner;
    ac_case_texts texts;                 /* the cases, as the leak check wants them */
    size_t n_warned, n_blocking, n_accepted, n_clusters;
    ac_freeze_facts facts;
    ac_str blocking;                     /* ids, for the refusal */
    ac_str blocks, warns;                /* lines for the report, worst first */
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

/* path: whose lines a text counts that names no file itself; NULL: it names them. */
static void take_finding(freezer *f, const ac_finding *x, const char *path)
{
    const char *owner = path && strncmp(x->text, path, strlen(path)) != 0 ? path : "", *colon = owner[0] ? ": " : "";
    const bool fails = x->severity == AC_FIND_FAIL, ok = fails && accepted(f, x->id);
    if (x->severity == AC_FIND_NOTE) return;
    if (!fails) {
        if (f->n_warned++ < MAX_SHOWN) ac_str_appendf(&f->warns, "warning  %s  %s%s%s\n", x->id, owner, colon, x->text);
        return;
    }
    if (ok) f->n_accepted++;
    else if (f->n_blocking++ < 10) ac_str_appendf(&f->blocking, "%s%s", f->n_blocking > 1 ? ", " : "", x->id);
    if (f->n_blocking + f->n_accepted <= 10 * MAX_SHOWN)
        ac_str_appendf(&f->blocks, "%s %s  %s%s%s\n", ok ? "accepted" : "BLOCKS  ", x->id, owner, colon, x->text);
}

static void take(freezer *f, ac_findings *list, const char *path)
{
    for (size_t i = 0; i < list->n; i++) take_finding(f, &list->finding[i], path);
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
static ac_status check_rows(freezer *f, ac_row_file *rows, const char *path)
{
    static const char *const masks[] = { "assistant", "last", "none" };
    static const char *const longs[] = { "refuse", "truncate", "drop" };
    const ac_contract_values *v = &f->c->v;
    const ac_data_opts opts = { .mask = (ac_mask)choice(v->mask, masks), .on_long = (ac_on_long)choice(v->on_long, longs),
                                .max_len = (size_t)v->max_len, .text_eos = true };
    ac_dataset set = { 0 };
    ac_findings found = { 0 };
    ac_status st = ac_rows_read(rows, path, AC_FORMAT_AUTO, f->err);
    if (!st) st = ac_dataset_build(&set, rows, f->tok, f->chat, &opts, f->o->sink, f->err);
    if (!st)
        ac_str_appendf(f->report, "%s: %zu row%s (%s), %zu tokens, %zu of them supervised, longest row %zu%s\n", path, set.n,
                       ac_plural(set.n), ac_row_format_name(rows->format), set.n_tokens, set.n_targets, set.max_len,
                       set.n_truncated + set.n_dropped ? "; long rows were cut or dropped" : "");
    if (!st && rows == &f->train) f->facts.n_train = set.n;
    if (!st && set.max_len > f->facts.longest) {
        f->facts.longest = set.max_len;
        f->facts.longest_path = path;
    }
    if (!st) st = ac_rows_check(&found, rows, f->err);
    if (!st) st = ac_scan_rows(&found, f->scanner, rows, f->err);
    if (!st) st = ac_scan_place(&found, path, false, f->err);
    take(f, &found, path);
    ac_dataset_release(&set);
    return st;
}

static ac_status read_documents(freezer *f, ac_rag_text **doc, size_t *n, ac_arena *a)
{
    return f->c->v.docs ? ac_rag_texts(doc, n, a, f->seal[AC_SEAL_DOCS].full, f->err) : AC_OK;
}

/* Rows were scanned when they were read. */
static ac_status scan_rest(freezer *f)
{
    ac_findings found = { 0 };
    ac_arena a = { 0 };
    ac_rag_text *doc = NULL;
    size_t n = 0;
    ac_status st = ac_texts_scan_cases(&found, f->scanner, &f->cases, false, f->err);
    if (!st) st = read_documents(f, &doc, &n, &a);
    if (!st) st = ac_texts_scan_documents(&found, f->scanner, doc, n, f->err);
    take(f, &found, NULL);
    ac_arena_release(&a);
    return st;
}

static ac_status check_data(freezer *f)
{
    ac_findings found = { 0 };
    ac_status st = ac_tokenizer_open(&f->tok, f->seal[AC_SEAL_BASE].full, f->err);
    /* The arms speak in the chat format even when the rows are plain text. */
    if (!st) st = ac_chat_open(&f->chat, f->tok, f->c->v.chat_format, f->err);
    if (!st) st = check_rows(f, &f->train, f->seal[AC_SEAL_TRAIN].full);
    if (!st && f->train.format == AC_FORMAT_TEXT && !strcmp(f->c->v.mask, "last"))
        st = ac_contract_refuse(f->c, "data.mask", f->err, "data.mask: last has no effect: %s holds plain text, all of which "
                                "is learnt; remove it", f->seal[AC_SEAL_TRAIN].full);
    if (st || !f->c->v.valid) return st;
    st = check_rows(f, &f->valid, f->seal[AC_SEAL_VALID].full);
    if (!st) st = ac_rows_overlap(&found, &f->train, &f->valid, f->err);
    take(f, &found, NULL);
    return st;
}

/* ---- cases ------------------------------------------------------------------------------------------------------ */

static ac_status twins(freezer *f)
{
    ac_findings found = { 0 };
    const ac_status st = ac_texts_twins(&found, &f->texts, f->err);
    take(f, &found, NULL);
    return st;
}

static ac_status leaks_in_rows(freezer *f, const ac_row_file *rows)
{
    ac_findings found = { 0 };
    const ac_status st = ac_texts_leaks_rows(&found, &f->texts, rows, f->err);
    take(f, &found, NULL);
    return st;
}

static ac_status leaks_in_documents(freezer *f)
{
    ac_arena a = { 0 };
    ac_rag_text *doc = NULL;
    ac_findings found = { 0 };
    size_t n = 0;
    ac_status st = read_documents(f, &doc, &n, &a);
    if (!st) st = ac_texts_leaks_documents(&found, &f->texts, doc, n, f->err);
    take(f, &found, NULL);
    ac_arena_release(&a);
    return st;
}

static ac_status check_model(freezer *f)
{
    f->facts.contract = f->c;
    f->facts.model = f->seal[AC_SEAL_BASE].full;
    f->facts.tok = f->tok;
    f->facts.chat = f->chat;
    f->facts.cases = &f->cases;
    return f->o->check_model ? f->o->check_model(f->o->check_ctx, &f->facts, f->err) : AC_OK;
}

static ac_status check_documents(freezer *f)
{
    const ac_contract_values *v = &f->c->v;
    const ac_rag_opts opts = { .chunk_tokens = (size_t)v->rag_chunk_tokens,
                               .overlap_tokens = (size_t)v->rag_overlap_tokens, .top = (size_t)v->rag_top };
    const char *dir = f->seal[AC_SEAL_DOCS].full;
    ac_rag *r = NULL;
    ac_status st = ac_rag_open(&r, dir, f->tok, &opts, f->err);
    if (!st) st = leaks_in_documents(f);
    if (!st) ac_str_appendf(f->report, "%s: %zu passage%s\n", dir, ac_rag_chunks(r), ac_plural(ac_rag_chunks(r)));
    if (!st && ac_rag_hidden(r))
        ac_str_appendf(&f->warns, "warning  hidden-text  %s holds %zu character%s that cannot be seen, left out\n",
                       dir, ac_rag_hidden(r), ac_plural(ac_rag_hidden(r)));
    f->facts.rag = r;
    if (!st) st = check_model(f);
    ac_rag_close(&r);
    return st;
}

static ac_status check_leaks(freezer *f)
{
    ac_status st = ac_case_texts_make(&f->texts, &f->cases, &f->arena, f->err);
    if (!st) st = twins(f);
    if (!st) st = leaks_in_rows(f, &f->train);
    if (!st && f->c->v.valid) st = leaks_in_rows(f, &f->valid);
    return st ? st : f->c->v.docs ? check_documents(f) : check_model(f);
}

/* Cases of one cluster count once in the verdict, so the smallest visible gain is that of the clusters. */
static void count_clusters(freezer *f)
{
    const ac_cases *c = &f->cases;
    for (size_t i = 0; i < c->n; i++) {
        bool first = true;
        for (size_t j = 0; first && c->item[i].cluster.ptr && j < i; j++)
            first = !(c->item[j].cluster.ptr && ac_view_eq(c->item[i].cluster, c->item[j].cluster));
        f->n_clusters += first;
    }
}

/* A database that no case asks would be sealed for nothing; a case that asks none that is there cannot be graded. */
static ac_status check_database(freezer *f)
{
    const ac_case *asks = NULL;
    for (size_t i = 0; !asks && i < f->cases.n; i++)
        for (size_t k = 0; k < f->cases.item[i].n_asserts; k++)
            if (f->cases.item[i].assert_[k].type == AC_GRADE_SQL_EQUAL) asks = &f->cases.item[i];
    if (asks && !f->c->v.database)
        return ac_fail(f->err, AC_ECONTRACT, "%s:%zu: case \"" AC_VIEW_FMT "\" uses sql-equal, and %s names no "
                       "eval.database; add it", f->cases.path, asks->line, AC_VIEW_ARG(asks->id), f->c->path);
    if (!asks && f->c->v.database)
        return ac_contract_refuse(f->c, "eval.database", f->err, "eval.database has no effect: no case of %s uses sql-equal; "
                                  "remove it", f->cases.path);
    return AC_OK;
}

/* Words that no case would ever meet are refused like keys without effect (T7). */
static ac_status check_words(freezer *f)
{
    const ac_contract_values *v = &f->c->v;
    bool falls_back = false, lacks_system = false;
    for (size_t i = 0; i < f->cases.n; i++) {
        const ac_case *c = &f->cases.item[i];
        if (c->turn[0].role != AC_ROLE_SYSTEM) lacks_system = true;
        for (size_t k = 0; k < c->n_asserts; k++)
            if (c->assert_[k].type == AC_GRADE_IS_REFUSAL && !c->assert_[k].n_values) falls_back = true;
    }
    if (v->refusal && !falls_back)
        return ac_contract_refuse(f->c, "eval.refusal", f->err, "eval.refusal has no effect: no case of %s uses is-refusal "
                                  "without a sentence of its own; remove it", f->cases.path);
    if (v->system && !lacks_system)
        return ac_contract_refuse(f->c, "base.system", f->err, "base.system has no effect: every case of %s brings a system "
                                  "turn; remove it", f->cases.path);
    return AC_OK;
}

static ac_status check_size(freezer *f)
{
    const ac_cases *c = &f->cases;
    bool small = c->n < MIN_CASES;
    for (size_t i = 0; i < AC_CLASS_COUNT; i++) small = small || c->n_class[i] < MIN_PER_CLASS;
    if (small && !f->o->accept_small_reason)
        return ac_fail(f->err, AC_EREFUSED, "%s: %zu case%s (%zu success, %zu refusal, %zu edge) %s too few for a verdict: "
                       "at least %d, and %d of each class; add some, or pass --accept-small --reason \"why\"", c->path, c->n,
                       ac_plural(c->n), c->n_class[0], c->n_class[1], c->n_class[2], c->n == 1 ? "is" : "are", MIN_CASES, MIN_PER_CLASS);
    if (small && !f->o->accept_small_reason[0])
        return ac_fail(f->err, AC_EARG, "--accept-small needs --reason: it stays in the lock and in the audit log");
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
        st = ac_fail(f->err, AC_EREFUSED, "%s: %zu reference answer%s; correct the cases",
                     f->cases.path, n, n == 1 ? " fails its own graders" : "s fail their own graders");
    }
    ac_str_release(&problems);
    return st;
}

/* ---- the verdict of the checks ----------------------------------------------------------------------------------- */

static ac_status decide(freezer *f)
{
    ac_str_append(f->report, ac_str_view(&f->blocks));
    ac_str_append(f->report, ac_str_view(&f->warns));
    if (f->n_warned > MAX_SHOWN)
        ac_str_appendf(f->report, "... and %zu more warning%s; accord data check shows them\n", f->n_warned - MAX_SHOWN,
                       ac_plural(f->n_warned - MAX_SHOWN));
    for (size_t i = 0; i < f->o->n_accept_leak; i++)
        if (!f->used[i])
            return ac_fail(f->err, AC_EARG, "--accept-finding %s: there is no such blocking finding", f->o->accept_leak[i]);
    if (f->n_accepted && !(f->o->accept_leak_reason && f->o->accept_leak_reason[0]))
        return ac_fail(f->err, AC_EARG, "--accept-finding needs --reason: it stays in the lock and in the audit log");
    if (f->n_blocking)
        return ac_fail(f->err, AC_EREFUSED, "%zu finding%s must not be sealed: %s%s; remove what they name, or accept each "
                       "with --accept-finding ID --reason \"why\"", f->n_blocking, ac_plural(f->n_blocking),
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
    ac_jw_u64(w, "clusters", f->n_clusters);
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
    ac_jw_u64(&w, "checks", AC_CHECKS_VERSION);
    ac_jw_u64(&w, "number", number);
    ac_jw_cstr(&w, "previous", previous);
    write_sealed(&w, f);
    write_cases(&w, f);
    ac_jw_f64(&w, "smallest_visible_gain_points", ac_stats_smallest_gain(f->n_clusters));
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

/* The lock that is there, if any: *had. One that cannot be read stops the freeze, for its number and its hash are
 * what the next one follows. */
static ac_status read_old(freezer *f, ac_lock *old, bool *had)
{
    ac_err own = { 0 };
    const ac_status st = ac_lock_read(old, f->c, &own);
    *had = st == AC_OK;
    return st == AC_OK || st == AC_EREFUSED ? AC_OK : ac_fail(f->err, st, "%s", own.text);
}

static ac_status write_lock(freezer *f, ac_lock *out)
{
    ac_lock old = { 0 };
    ac_str text = { 0 };
    char hex[AC_SHA256_HEX];
    bool had = false;
    const char *path = ac_path_join(&f->arena, f->c->dir, "accord.lock");
    ac_status st = path ? read_old(f, &old, &had) : ac_fail_nomem(f->err, strlen(f->c->dir));
    if (!st && had) {
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
    ac_lock made = { 0 };
    if (!st) st = ac_lock_parse(&made, ac_str_view(&text), path, f->err);
    if (!st) st = ac_file_write_atomic(path, text.ptr, text.len, f->err);
    if (st) ac_lock_release(&made);
    else *out = made;
    ac_lock_release(&old);
    ac_str_release(&text);
    return st;
}

ac_status ac_freeze(ac_lock *out, ac_contract *c, const ac_freeze_opts *o, ac_str *report, ac_err *err)
{
    freezer f = { .c = c, .o = o, .report = report, .err = err };
    f.used = ac_arena_alloc_array(&f.arena, o->n_accept_leak + 1, sizeof *f.used);
    ac_status st = f.used ? ac_contract_files(c, AC_NAMES_TRAIN | AC_NAMES_VALID | AC_NAMES_CASES | AC_NAMES_OTHERS, err)
                          : ac_fail_nomem(err, o->n_accept_leak);
    if (!st) st = ac_seal_all(f.seal, c, false, o->sink, err);
    if (!st) st = ac_cases_read(&f.cases, f.seal[AC_SEAL_CASES].full, err);
    if (!st) st = check_size(&f);
    if (!st) st = check_database(&f);
    if (!st) st = check_words(&f);
    if (!st) st = check_references(&f);
    if (!st) st = ac_scanner_open(&f.scanner, f.seal[AC_SEAL_RULES].full, err);
    if (!st) st = check_data(&f);
    if (!st) st = scan_rest(&f);
    if (!st) st = check_leaks(&f);
    if (!st) st = decide(&f);
    if (!st && !ac_str_ok(report)) st = ac_fail_nomem(err, report->len);
    if (!st) count_clusters(&f);
    if (!st) st = write_lock(&f, out);
    ac_scanner_close(&f.scanner);
    ac_chat_close(&f.chat);
    ac_tokenizer_close(&f.tok);
    ac_cases_release(&f.cases);
    ac_rows_release(&f.train);
    ac_rows_release(&f.valid);
    ac_str_release(&f.blocking);
    ac_str_release(&f.blocks);
    ac_str_release(&f.warns);
    ac_arena_release(&f.arena);
    return st;
}
