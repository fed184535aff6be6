/* Checking a bundle of evidence with nothing but the bundle. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "cli/evidence.h"
#include "eval/verdict.h"
#include "seal/tar.h"

#define FILE_MAX ((size_t)256 << 20)

/* ---- reading ---------------------------------------------------------------------------------------------------- */

typedef struct {
    ac_evidence *e;
    char name[AC_TAR_NAME + 1];
    ac_str bytes;
} tar_in;

static ac_status begin(void *ctx, const char *name, uint64_t size, ac_err *err)
{
    tar_in *t = ctx;
    if (size > FILE_MAX) return ac_fail(err, AC_EFORMAT, "%s: has %llu bytes; no file of evidence is so large", name,
                                        (unsigned long long)size);
    memcpy(t->name, name, strlen(name) + 1);
    ac_str_reset(&t->bytes);
    return AC_OK;
}

static ac_status data(void *ctx, const void *bytes, size_t len, ac_err *err)
{
    tar_in *t = ctx;
    ac_str_append(&t->bytes, (ac_view){ bytes, len });
    return ac_str_ok(&t->bytes) ? AC_OK : ac_fail_nomem(err, len);
}

static ac_status end(void *ctx, ac_err *err)
{
    tar_in *t = ctx;
    return ac_ev_add(t->e, t->name, ac_str_view(&t->bytes), err);
}

ac_status ac_ev_read_tar(ac_evidence *e, const void *bytes, size_t len, const char *name, ac_err *err)
{
    tar_in t = { .e = e };
    ac_tar_reader r = { .visit = { begin, data, end, &t }, .where = name };
    ac_status st = ac_tar_push(&r, bytes, len, err);
    if (!st) st = ac_tar_finish(&r, err);
    ac_str_release(&t.bytes);
    return st;
}

static ac_status read_tar(ac_evidence *e, const char *path, ac_err *err)
{
    ac_map m = { .ptr = NULL };
    ac_status st = ac_map_open(&m, path, err);
    if (!st) st = ac_ev_read_tar(e, m.ptr, m.len, path, err);
    ac_map_close(&m);
    return st;
}

static ac_status read_folder(ac_evidence *e, const char *path, ac_err *err)
{
    char **names;
    size_t n = 0;
    ac_status st = ac_dir_list(path, &e->arena, &names, &n, err);
    if (!st && n > AC_EV_FILES_MAX) return ac_fail(err, AC_EFORMAT, "%s: holds %zu names; a bundle of evidence has fewer", path, n);
    for (size_t i = 0; i < n && !st; i++) {
        ac_str text = { 0 };
        const char *file = ac_path_join(&e->arena, path, names[i]);
        st = file ? ac_file_read(&text, file, FILE_MAX, err) : ac_fail_nomem(err, 256);
        if (!st) st = ac_ev_add(e, names[i], ac_str_view(&text), err);
        ac_str_release(&text);
    }
    return st;
}

ac_status ac_ev_read(ac_evidence *e, const char *path, ac_err *err)
{
    const ac_status st = ac_path_is_dir(path) ? read_folder(e, path, err) : read_tar(e, path, err);
    if (!st && !ac_ev_find(e, AC_EV_ENVELOPE))
        return ac_fail(err, AC_EFORMAT, "%s: has no " AC_EV_ENVELOPE "; expected what accord evidence wrote", path);
    return st;
}

static ac_status parse(const ac_json **out, ac_evidence *e, const char *name, ac_err *err)
{
    const ac_ev_file *f = ac_ev_find(e, name);
    if (!f) return ac_fail(err, AC_ENO, "%s: is missing", name);
    const ac_status st = ac_json_parse(out, f->bytes, &e->arena, name, 1, NULL, err);
    return st == AC_EFORMAT ? AC_ENO : st;
}

/* ---- the signature, and what it covers -------------------------------------------------------------------------- */

static ac_status check_signature(const ac_json **statement, ac_evidence *e, const ac_sign_public *key, ac_sign_public *signer,
                                 ac_err *err)
{
    const ac_ev_file *pem = ac_ev_find(e, AC_EV_SIGNER), *env = ac_ev_find(e, AC_EV_ENVELOPE);
    ac_view payload;
    if (!pem || !env) return ac_fail(err, AC_ENO, "%s: is missing", pem ? AC_EV_ENVELOPE : AC_EV_SIGNER);
    if (ac_sign_public_parse(signer, pem->bytes, AC_EV_SIGNER, err)) return AC_ENO;
    if (key && memcmp(key->key, signer->key, sizeof key->key) != 0)
        return ac_fail(err, AC_ENO, "the bundle is signed by another key than the one you named");
    ac_status st = ac_dsse_verify(&payload, &e->arena, env->bytes, AC_EV_PAYLOAD, signer, AC_EV_ENVELOPE, err);
    if (!st && (st = ac_json_parse(statement, payload, &e->arena, "statement", 1, NULL, err)) == AC_EFORMAT) st = AC_ENO;
    if (!st && (!ac_view_eq_str(ac_ev_text(*statement, "_type", ""), AC_EV_STATEMENT)
                || !ac_view_eq_str(ac_ev_text(*statement, "predicateType", ""), AC_EV_PREDICATE)))
        st = ac_fail(err, AC_ENO, AC_EV_ENVELOPE ": is no in-toto statement with a test result");
    return st;
}

/* Every file is a subject with its hash, and every subject of the bundle is a file. */
static ac_status check_subjects(const ac_evidence *e, const ac_json *statement, ac_err *err)
{
    const ac_json *list = ac_json_get(statement, "subject");
    size_t seen = 0;
    for (const ac_json *s = list && list->type == AC_JSON_ARRAY ? list->child : NULL; s; s = s->next) {
        const ac_view name = ac_ev_text(s, "name", "");
        if (!ac_view_starts(name, AC_VIEW(AC_EV_PREFIX))) continue;
        const ac_ev_file *f = ac_ev_find(e, name.ptr + strlen(AC_EV_PREFIX));      /* strings of JSON end in NUL */
        if (!f) return ac_fail(err, AC_ENO, AC_VIEW_FMT ": is signed, and missing", AC_VIEW_ARG(name));
        if (!ac_view_eq_str(ac_ev_text(ac_ev_get(s, "digest", NULL), "sha256", ""), f->hex))
            return ac_fail(err, AC_ENO, "%s: was changed after it was signed", f->name);
        seen++;
    }
    for (size_t i = 0; i < e->n; i++) {
        bool found = strcmp(e->file[i].name, AC_EV_ENVELOPE) == 0;
        for (const ac_json *s = list ? list->child : NULL; s && !found; s = s->next) {
            const ac_view name = ac_ev_text(s, "name", "");
            found = ac_view_starts(name, AC_VIEW(AC_EV_PREFIX))
                    && strcmp(name.ptr + strlen(AC_EV_PREFIX), e->file[i].name) == 0;
        }
        if (!found) return ac_fail(err, AC_ENO, "%s: is not signed; it was put in afterwards", e->file[i].name);
    }
    return seen + 1 == e->n ? AC_OK : ac_fail(err, AC_ENO, "the statement names a file twice");
}

/* ---- the chain -------------------------------------------------------------------------------------------------- */

static ac_status own_hash(char hex[AC_SHA256_HEX], const ac_json *record, ac_view line, ac_arena *a, ac_err *err)
{
    ac_str s = { 0 };
    ac_json root = *record;
    ac_json *kept = NULL;
    root.child = NULL;
    root.n = 0;
    ac_json_canonical(&s, record);
    const bool canonical = ac_view_eq(ac_str_view(&s), line);
    ac_str_reset(&s);
    for (const ac_json *c = record->child; c; c = c->next) {
        if (ac_view_eq_str(c->key, "hash")) continue;
        ac_json *copy = ac_arena_alloc(a, sizeof *copy);
        if (!copy) {
            ac_str_release(&s);
            return ac_fail_nomem(err, sizeof *copy);
        }
        *copy = *c;
        copy->next = NULL;
        if (kept) kept->next = copy;
        else root.child = copy;
        kept = copy;
        root.n++;
    }
    ac_json_canonical(&s, &root);
    const bool ok = ac_str_ok(&s);
    const ac_sha256 h = ac_sha256_of(ac_str_c(&s), s.len);
    ac_sha256_hex(hex, &h);
    if (!canonical) hex[0] = '\0';                   /* matches nothing */
    ac_str_release(&s);
    return ok ? AC_OK : ac_fail_nomem(err, line.len);
}

static ac_status check_record(uint64_t *seq, char head[AC_SHA256_HEX], ac_view line, const char *lock, const char *run,
                              uint64_t *kept, ac_err *err)
{
    ac_arena a = { 0 };
    const ac_json *o = NULL;
    char hex[AC_SHA256_HEX];
    int64_t number = 0;
    ac_status st = ac_json_parse(&o, line, &a, "audit.jsonl", (size_t)*seq + 1, NULL, err);
    if (st == AC_EFORMAT) st = AC_ENO;
    if (!st) {
        const ac_json *n = ac_json_get(o, "seq"), *gone = ac_json_get(o, "elided");
        const ac_view prev = ac_ev_text(o, "prev", ""), hash = ac_ev_text(o, "hash", "");
        if (!n || !ac_json_as_i64(n, &number) || number < 1 || (*seq && (uint64_t)number != *seq + 1))
            st = ac_fail(err, AC_ENO, "audit.jsonl: record %lld does not follow record %llu", (long long)number,
                         (unsigned long long)*seq);
        else if (*seq && !ac_view_eq_str(prev, head))
            st = ac_fail(err, AC_ENO, "audit.jsonl: record %lld is not linked to the one before", (long long)number);
        else if (!gone) {
            st = own_hash(hex, o, line, &a, err);
            if (!st && !ac_view_eq_str(hash, hex))
                st = ac_fail(err, AC_ENO, "audit.jsonl: record %lld does not match its own hash", (long long)number);
            if (!st && ac_view_eq_str(ac_ev_text(o, "act", ""), "opening") && ac_view_eq_str(ac_ev_text(o, "run", ""), run)
                && ac_view_eq_str(ac_ev_text(o, "lock", ""), lock))
                (*kept)++;
        }
        if (!st && hash.len != 64) st = ac_fail(err, AC_ENO, "audit.jsonl: record %lld has no hash", (long long)number);
        if (!st) {
            memcpy(head, hash.ptr, 65);
            *seq = (uint64_t)number;
        }
    }
    ac_arena_release(&a);
    return st;
}

ac_status ac_ev_check_chain(ac_view text, uint64_t *records, char head[AC_SHA256_HEX], const char *lock, const char *run,
                            uint64_t *kept, ac_err *err)
{
    ac_status st = AC_OK;
    size_t at = 0;
    *records = *kept = 0;
    head[0] = '\0';
    while (!st && at < text.len) {
        const size_t lf = ac_view_find(text, AC_VIEW("\n"), at);
        if (lf == SIZE_MAX) return ac_fail(err, AC_ENO, "audit.jsonl: its last line is cut");
        st = check_record(records, head, ac_view_slice(text, at, lf), lock, run, kept, err);
        at = lf + 1;
    }
    return st;
}

/* ---- the verdict, counted again --------------------------------------------------------------------------------- */

static bool class_of(ac_class *out, ac_view name)
{
    for (int i = 0; i < AC_CLASS_COUNT; i++)
        if (ac_view_eq_str(name, ac_class_name((ac_class)i))) {
            *out = (ac_class)i;
            return true;
        }
    return false;
}

static ac_status read_case(ac_cases *cases, ac_arm_result *arms, size_t n_arms, const ac_json *c, size_t i, ac_err *err)
{
    ac_case *item = &cases->item[i];
    const ac_view cluster = ac_ev_text(c, "cluster", "");
    item->id = ac_ev_text(c, "id", "");
    item->cluster = cluster.len ? cluster : (ac_view){ NULL, 0 };
    if (!class_of(&item->cls, ac_ev_text(c, "class", "")))
        return ac_fail(err, AC_ENO, "verdict.json: case %zu has no class", i + 1);
    cases->n_class[item->cls]++;
    for (size_t k = 0; k < n_arms; k++) {
        const ac_json *pass = ac_ev_get(ac_ev_get(c, "answers", ac_arm_name(arms[k].arm)), "pass", NULL);
        if (!pass || pass->type != AC_JSON_BOOL)
            return ac_fail(err, AC_ENO, "verdict.json: case %zu does not say whether %s passed", i + 1, ac_arm_name(arms[k].arm));
        arms[k].answer[i].pass = pass->boolean;
        arms[k].n_pass += pass->boolean;
        arms[k].n_pass_class[item->cls] += pass->boolean;
    }
    return AC_OK;
}

/* A number from a stranger's file as a count. */
static uint64_t as_count(const ac_json *o, const char *key)
{
    const double d = ac_ev_number(o, key, 0);
    return d >= 0 && d <= 1e15 ? (uint64_t)d : 0;
}

static ac_status count_again(ac_verdict *out, ac_cases *cases, ac_arm_result *arms, size_t *n_arms, const ac_json *verdict,
                             const ac_json *lock, ac_arena *a, ac_err *err)
{
    const ac_json *list = ac_json_get(verdict, "arms"), *all = ac_json_get(verdict, "by_case");
    const ac_json *eval = ac_ev_get(lock, "values", "eval");
    ac_status st = AC_OK;
    size_t i = 0;
    if (!list || list->type != AC_JSON_ARRAY || !all || all->type != AC_JSON_ARRAY || !all->n || !eval)
        return ac_fail(err, AC_ENO, "verdict.json lacks its cases or arms, or the lock its rules");
    cases->n = all->n;
    cases->item = ac_arena_alloc_array(a, all->n, sizeof *cases->item);
    if (!cases->item) return ac_fail_nomem(err, all->n * sizeof *cases->item);
    for (const ac_json *r = list->child; r; r = r->next) {
        ac_arm which;
        if (*n_arms == AC_ARM_COUNT || !ac_arm_parse(ac_ev_text(r, "arm", ""), &which)) continue;   /* servers: not compared */
        ac_arm_result *arm = &arms[(*n_arms)++];
        *arm = (ac_arm_result){ .arm = which, .n = all->n, .answer = ac_arena_alloc_array(a, all->n, sizeof *arm->answer) };
        if (!arm->answer) return ac_fail_nomem(err, all->n * sizeof *arm->answer);
    }
    for (const ac_json *c = all->child; c && !st; c = c->next) st = read_case(cases, arms, *n_arms, c, i++, err);
    const ac_verdict_rules rules = {
        .margin = ac_ev_number(eval, "margin", (double)NAN),
        .guard = { as_count(eval, "guard_success"), as_count(eval, "guard_refusal"), as_count(eval, "guard_edge") },
        .openings = as_count(verdict, "openings"), .locks = as_count(verdict, "locks"),
    };
    if (!st && (st = ac_verdict_make(out, cases, arms, *n_arms, &rules, a, err)) == AC_EARG) st = AC_ENO;
    return st;
}

/* Member by member in canonical form; arms are compared by what they passed. */
static ac_status compare(const ac_json *said, const ac_json *made, const char *key, ac_err *err)
{
    ac_str x = { 0 }, y = { 0 };
    const ac_json *a = ac_json_get(said, key), *b = ac_json_get(made, key);
    if (a) ac_json_canonical(&x, a);
    if (b) ac_json_canonical(&y, b);
    ac_status st = ac_str_ok(&x) && ac_str_ok(&y) ? AC_OK : ac_fail_nomem(err, x.len);
    if (!st && (!a || !b || !ac_view_eq(ac_str_view(&x), ac_str_view(&y))))
        st = ac_fail(err, AC_ENO, "verdict.json: \"%s\" is " AC_VIEW_FMT ", the cases give " AC_VIEW_FMT, key,
                     AC_VIEW_ARG(ac_view_slice(ac_str_view(&x), 0, 300)), AC_VIEW_ARG(ac_view_slice(ac_str_view(&y), 0, 300)));
    ac_str_release(&x);
    ac_str_release(&y);
    return st;
}

static ac_status compare_arms(const ac_json *verdict, const ac_arm_result *arms, size_t n, ac_err *err)
{
    for (const ac_json *r = ac_json_get(verdict, "arms")->child; r; r = r->next)
        for (size_t k = 0; k < n; k++)
            if (ac_view_eq_str(ac_ev_text(r, "arm", ""), ac_arm_name(arms[k].arm))
                && (ac_ev_number(r, "passed", -1) != (double)arms[k].n_pass || ac_ev_number(r, "cases", -1) != (double)arms[k].n))
                return ac_fail(err, AC_ENO, "verdict.json: arm %s is said to have passed %.0f, its cases give %zu",
                               ac_arm_name(arms[k].arm), ac_ev_number(r, "passed", -1), arms[k].n_pass);
    return AC_OK;
}

ac_status ac_ev_check_verdict(const ac_json *verdict, const ac_json *lock, ac_err *err)
{
    static const char *const keys[] = { "verdict", "cases", "clusters", "classes", "smallest_visible_gain_points", "comparisons",
                                        "sentences" };
    ac_arena a = { 0 };
    ac_cases cases = { .n = 0 };
    ac_arm_result arms[AC_ARM_COUNT] = { { .n = 0 } };
    ac_verdict v;
    ac_str s = { 0 };
    ac_jw w;
    const ac_json *made = NULL;
    size_t n_arms = 0;
    ac_status st = count_again(&v, &cases, arms, &n_arms, verdict, lock, &a, err);
    if (!st) st = compare_arms(verdict, arms, n_arms, err);
    if (!st) {
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_verdict_write(&w, &v, &cases, arms, n_arms);
        ac_jw_end_object(&w);
        st = ac_str_ok(&s) ? ac_json_parse(&made, ac_str_view(&s), &a, "verdict", 1, NULL, err) : ac_fail_nomem(err, s.len);
    }
    for (size_t i = 0; i < AC_COUNTOF(keys) && !st; i++) st = compare(verdict, made, keys[i], err);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static ac_status same(ac_view a, ac_view b, const char *what, ac_err *err)
{
    return a.len && ac_view_eq(a, b) ? AC_OK : ac_fail(err, AC_ENO, "%s do not agree", what);
}

static ac_status check_records(ac_evidence *e, const ac_json *statement, ac_err *err)
{
    const ac_json *hashes = NULL, *pred = ac_json_get(statement, "predicate"), *ours = ac_ev_get(pred, "accord", NULL);
    ac_status st = parse(&e->lock, e, "lock.json", err);
    if (!st) st = parse(&e->run, e, "run.json", err);
    if (!st) st = parse(&e->verdict, e, "verdict.json", err);
    if (!st) st = parse(&hashes, e, "hashes.json", err);
    if (st) return st;
    const ac_view lock = ac_view_of(ac_ev_find(e, "lock.json")->hex), adapter = ac_ev_text(e->run, "adapter_sha256", "");
    e->id = ac_ev_text(ours, "run", "").ptr;
    st = same(ac_ev_text(e->run, "lock", ""), lock, "run.json and the lock", err);
    if (!st) st = same(ac_ev_text(e->verdict, "lock", ""), lock, "verdict.json and the lock", err);
    if (!st) st = same(ac_ev_text(hashes, "lock", ""), lock, "hashes.json and the lock", err);
    if (!st) st = same(adapter, ac_ev_text(e->verdict, "adapter_sha256", ""), "the adapters of run.json and verdict.json", err);
    if (!st) st = same(adapter, ac_ev_text(hashes, "adapter_sha256", ""), "the adapters of run.json and hashes.json", err);
    if (!st) st = same(ac_ev_text(e->run, "id", ""), ac_ev_text(ours, "run", "!"), "run.json and the statement", err);
    if (!st) st = same(ac_ev_text(e->verdict, "verdict", ""), ac_ev_text(ours, "verdict", "!"), "verdict and statement", err);
    const ac_json *inputs = ac_json_get(hashes, "inputs"), *sealed = ac_json_get(e->lock, "sealed");
    for (const ac_json *c = sealed ? sealed->child : NULL; c && !st; c = c->next)
        st = same(ac_ev_text(c, "sha256", ""), ac_ev_text(ac_ev_get(inputs, c->key.ptr, NULL), "sha256", "!"),
                  "the hashes of inputs in hashes.json and the lock", err);
    return st;
}

static ac_status check_chain(ac_evidence *e, const ac_json *statement, uint64_t *kept, ac_err *err)
{
    const ac_json *ours = ac_ev_get(ac_json_get(statement, "predicate"), "accord", NULL);
    const ac_ev_file *f = ac_ev_find(e, "audit.jsonl");
    if (!f) return ac_fail(err, AC_ENO, "audit.jsonl: is missing");
    const ac_status st = ac_ev_check_chain(f->bytes, &e->records, e->head, ac_ev_find(e, "lock.json")->hex, e->id, kept, err);
    if (st) return st;
    if (!ac_view_eq_str(ac_ev_text(ours, "audit_head", ""), e->head)
        || ac_ev_number(ours, "audit_records", -1) != (double)e->records)
        return ac_fail(err, AC_ENO, "audit.jsonl: does not end in the head that was signed");
    if (!*kept) return ac_fail(err, AC_ENO, "audit.jsonl: has no record that this run's cases were opened under this lock");
    return AC_OK;
}

/* The other subjects are the adapter's files, with the hashes of hashes.json; on_disk: and so is this folder. */
static ac_status check_adapter(ac_evidence *e, const ac_json *statement, const char *on_disk, ac_err *err)
{
    const ac_json *hashes = NULL, *list = ac_json_get(statement, "subject");
    const ac_view folder = ac_ev_text(ac_ev_get(ac_json_get(statement, "predicate"), "accord", NULL), "folder", "");
    size_t seen = 0;
    ac_status st = parse(&hashes, e, "hashes.json", err);
    e->folder = folder.ptr;
    const ac_json *files = st ? NULL : ac_json_get(hashes, folder.ptr);
    for (const ac_json *s = list->child; s && !st; s = s->next) {
        const ac_view name = ac_ev_text(s, "name", ""), hex = ac_ev_text(ac_ev_get(s, "digest", NULL), "sha256", "");
        if (ac_view_starts(name, AC_VIEW(AC_EV_PREFIX))) continue;
        const bool ours = ac_view_starts(name, folder) && name.len > folder.len && name.ptr[folder.len] == '/';
        const char *file = ours ? name.ptr + folder.len + 1 : "";
        if (!ours || !ac_path_component_ok(ac_view_of(file)) || !ac_view_eq(ac_ev_text(files, file, "!"), hex))
            return ac_fail(err, AC_ENO, "hashes.json and the statement differ over " AC_VIEW_FMT, AC_VIEW_ARG(name));
        seen++;
        if (on_disk) {
            ac_sha256 h;
            char is[AC_SHA256_HEX];
            const char *path = ac_path_join(&e->arena, on_disk, file);
            st = path ? ac_sha256_file(&h, path, err) : ac_fail_nomem(err, 256);
            if (st == AC_ENOENT) st = AC_ENO;
            if (st) break;
            ac_sha256_hex(is, &h);
            if (!ac_view_eq_str(hex, is)) st = ac_fail(err, AC_ENO, "%s: is another file than the one that was scored", path);
        }
    }
    if (!st && (!seen || !files || files->n != seen)) st = ac_fail(err, AC_ENO, "hashes.json names other files than the statement");
    return st;
}

/* What passed is what the verdict says. */
static ac_status check_statement(ac_evidence *e, const ac_json *statement, ac_err *err)
{
    const ac_json *pred = ac_json_get(statement, "predicate"), *list = ac_ev_get(pred, "passedTests", NULL);
    const ac_json *failed = ac_ev_get(pred, "failedTests", NULL);
    const ac_view verdict = ac_ev_text(e->verdict, "verdict", ""), result = ac_ev_text(pred, "result", "");
    const char *want = ac_view_eq_str(verdict, "WIN") ? "PASSED" : ac_view_eq_str(verdict, "LOSS") ? "FAILED" : "WARNED";
    if (!ac_view_eq_str(result, want))
        return ac_fail(err, AC_ENO, "the statement's result is " AC_VIEW_FMT ", the verdict " AC_VIEW_FMT, AC_VIEW_ARG(result),
                       AC_VIEW_ARG(verdict));
    size_t passed = 0, lost = 0;
    for (const ac_json *c = ac_json_get(e->verdict, "by_case")->child; c; c = c->next) {
        const ac_json *p = ac_ev_get(ac_ev_get(c, "answers", "tuned"), "pass", NULL);
        if (!p) continue;
        passed += p->boolean;
        lost += !p->boolean;
    }
    if (!list || !failed || list->n != passed || failed->n != lost)
        return ac_fail(err, AC_ENO, "the statement lists other cases as passed or failed than verdict.json");
    return AC_OK;
}

static void line(ac_str *said, const char *what)
{
    ac_str_appendf(said, "ok  %s\n", what);
}

ac_status ac_ev_check(ac_evidence *e, const ac_sign_public *key, const char *adapter, ac_str *said, ac_sign_public *signer,
                      ac_err *err)
{
    const ac_json *statement = NULL;
    uint64_t openings = 0;
    ac_status st = check_signature(&statement, e, key, signer, err);
    if (!st) line(said, "signature over the in-toto statement");
    if (!st && !(st = check_subjects(e, statement, err))) ac_str_appendf(said, "ok  hashes of %zu file%s\n", e->n - 1, ac_plural(e->n - 1));
    if (!st && !(st = check_records(e, statement, err))) line(said, "lock, run, verdict and inputs name the same hashes");
    if (!st && !(st = check_adapter(e, statement, adapter, err)) && adapter) line(said, "the adapter's files are those that were scored");
    if (!st && !(st = check_chain(e, statement, &openings, err)))
        ac_str_appendf(said, "ok  audit records up to number %llu, linked; %llu opening%s of this run\n",
                       (unsigned long long)e->records, (unsigned long long)openings, ac_plural(openings));
    if (!st && !(st = ac_ev_check_verdict(e->verdict, e->lock, err))) line(said, "verdict counted again from the cases");
    if (!st && !(st = check_statement(e, statement, err))) line(said, "result of the statement");
    return st ? st : ac_str_ok(said) ? AC_OK : ac_fail_nomem(err, said->len);
}
