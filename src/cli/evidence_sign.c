/* The statement over a bundle, its signature, and the bundle on the disk. */
#include <string.h>

#include "base/file.h"
#include "cli/evidence.h"
#include "seal/tar.h"

static void descriptor(ac_jw *w, ac_view prefix, ac_view name, ac_view hex)
{
    ac_str whole = { 0 };
    ac_str_append(&whole, prefix);
    ac_str_append(&whole, name);
    ac_jw_object(w, NULL);
    ac_jw_str(w, "name", ac_str_view(&whole));
    ac_jw_object(w, "digest");
    ac_jw_str(w, "sha256", hex);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
    if (!ac_str_ok(&whole)) w->out->failed = true;
    ac_str_release(&whole);
}

/* Which cases the tuned arm passed, and which it did not. */
static void cases(ac_jw *w, const char *key, const ac_evidence *e, bool passed)
{
    const ac_json *list = ac_json_get(e->verdict, "by_case");
    ac_jw_array(w, key);
    for (const ac_json *c = list && list->type == AC_JSON_ARRAY ? list->child : NULL; c; c = c->next) {
        const ac_json *a = ac_ev_get(c, "answers", "tuned"), *p = ac_ev_get(a, "pass", NULL);
        if (p && p->type == AC_JSON_BOOL && p->boolean == passed) ac_jw_str(w, NULL, ac_ev_text(c, "id", "?"));
    }
    ac_jw_end_array(w);
}

static const char *result_of(const ac_evidence *e)
{
    const ac_view v = ac_ev_text(e->verdict, "verdict", "");
    return ac_view_eq_str(v, "WIN") ? "PASSED" : ac_view_eq_str(v, "LOSS") ? "FAILED" : "WARNED";
}

static void predicate(ac_jw *w, const ac_evidence *e)
{
    const ac_json *sealed = ac_json_get(e->lock, "sealed");
    ac_jw_object(w, "predicate");
    ac_jw_cstr(w, "result", result_of(e));
    ac_jw_array(w, "configuration");
    descriptor(w, AC_VIEW(""), AC_VIEW("accord.lock"), ac_view_of(e->lock_hex));
    for (const ac_json *c = sealed ? sealed->child : NULL; c; c = c->next)
        descriptor(w, AC_VIEW(""), c->key, ac_ev_text(c, "sha256", ""));
    ac_jw_end_array(w);
    cases(w, "passedTests", e, true);
    ac_jw_array(w, "warnedTests");
    ac_jw_end_array(w);
    cases(w, "failedTests", e, false);
    ac_jw_object(w, "accord");                       /* ours; others pass over it */
    ac_jw_cstr(w, "version", ACCORD_VERSION);
    ac_jw_cstr(w, "utc", e->utc);
    ac_jw_cstr(w, "run", e->id);
    ac_jw_cstr(w, "folder", e->folder);
    ac_jw_str(w, "verdict", ac_ev_text(e->verdict, "verdict", "?"));
    ac_jw_u64(w, "audit_records", e->records);
    ac_jw_cstr(w, "audit_head", e->head);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
}

ac_status ac_ev_sign(ac_evidence *e, const ac_sign_key *k, ac_err *err)
{
    char pem[AC_SIGN_PUBLIC_TEXT];
    ac_str s = { 0 }, envelope = { 0 }, folder = { 0 };
    ac_jw w;
    ac_sign_public_text(pem, &k->pub);
    ac_status st = ac_ev_add(e, AC_EV_SIGNER, ac_view_of(pem), err);
    ac_str_appendf(&folder, "%s/", e->folder);
    ac_jw_init(&w, &s, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "_type", AC_EV_STATEMENT);
    ac_jw_array(&w, "subject");
    for (const ac_json *f = e->adapter->child; f; f = f->next) descriptor(&w, ac_str_view(&folder), f->key, f->text);
    for (size_t i = 0; i < e->n; i++)
        descriptor(&w, AC_VIEW(AC_EV_PREFIX), ac_view_of(e->file[i].name), ac_view_of(e->file[i].hex));
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "predicateType", AC_EV_PREDICATE);
    predicate(&w, e);
    ac_jw_end_object(&w);
    if (!st && (!ac_str_ok(&s) || !ac_str_ok(&folder))) st = ac_fail_nomem(err, s.len);
    if (!st) st = ac_dsse_sign(&envelope, ac_str_view(&s), AC_EV_PAYLOAD, k, err);
    if (!st) st = ac_ev_add(e, AC_EV_ENVELOPE, ac_str_view(&envelope), err);
    ac_str_release(&s);
    ac_str_release(&envelope);
    ac_str_release(&folder);
    return st;
}

/* ---- the disk --------------------------------------------------------------------------------------------------- */

static ac_status write_tar(const ac_evidence *e, const char *out, ac_err *err)
{
    static const uint8_t zero[2 * AC_TAR_BLOCK];
    uint8_t head[AC_TAR_BLOCK];
    ac_writer *w = NULL;
    ac_status st = ac_writer_open(&w, out, err);
    for (size_t i = 0; i < e->n && !st; i++) {
        const ac_ev_file *f = &e->file[i];
        st = ac_tar_header(head, ac_view_of(f->name), f->bytes.len, err);
        if (!st) st = ac_writer_write(w, head, sizeof head, err);
        if (!st) st = ac_writer_write(w, f->bytes.ptr, f->bytes.len, err);
        if (!st) st = ac_writer_write(w, zero, ac_tar_padding(f->bytes.len), err);
    }
    if (!st) st = ac_writer_write(w, zero, sizeof zero, err);
    if (!st) return ac_writer_commit(&w, err);
    ac_writer_abort(&w);
    return st;
}

static ac_status write_folder(const ac_evidence *e, const char *out, ac_err *err)
{
    ac_arena a = { 0 };
    ac_status st = ac_mkdir_p(out, err);
    /* The envelope is the last one: a folder without it is no bundle. */
    for (size_t i = 0; i < e->n && !st; i++) {
        const char *path = ac_path_join(&a, out, e->file[i].name);
        st = path ? ac_file_write_atomic(path, e->file[i].bytes.ptr, e->file[i].bytes.len, err) : ac_fail_nomem(err, 256);
    }
    ac_arena_release(&a);
    return st;
}

ac_status ac_ev_write(const ac_evidence *e, const char *out, ac_err *err)
{
    if (ac_path_exists(out)) return ac_fail(err, AC_ECREATE, "%s: is there already and is not replaced", out);
    return ac_view_ends(ac_view_of(out), AC_VIEW(".tar")) ? write_tar(e, out, err) : write_folder(e, out, err);
}
