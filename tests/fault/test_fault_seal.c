/* Keys and sealed files, with the n-th allocation or I/O call failing: a clean message, and nothing half done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/hash.h"
#include "base/secret.h"
#include "seal/age.h"
#include "seal/bundle.h"
#include "seal/sign.h"

static char dir[64] = "/tmp/accord_fault_seal.XXXXXX", path[96];

static ac_status collect(void *ctx, const void *data, size_t len, ac_err *err)
{
    ac_str_append(ctx, (ac_view){ data, len });
    return ac_str_ok(ctx) ? AC_OK : ac_fail_nomem(err, len);
}

static ac_status age_round(ac_err *err)
{
    ac_str sealed = { 0 }, plain = { 0 };
    ac_arena a = { 0 };
    ac_age_writer *w = NULL;
    ac_age_body body = { .chunk = NULL };
    ac_age_identities ids = { NULL, 0 };
    ac_age_identity made = { .secret = { 0 } };
    ac_age_recipient r, *list = NULL;
    char secret[AC_AGE_IDENTITY_TEXT], public_[AC_AGE_RECIPIENT_TEXT];
    size_t n = 0;
    ac_age_identity_make(&made);
    ac_age_identity_text(secret, &made);
    memcpy(r.key, made.key, sizeof r.key);
    ac_age_recipient_text(public_, &r);
    (void)unlink(path);
    ac_status st = ac_file_write_new(path, secret, strlen(secret), false, err);
    if (st && ac_path_exists(path)) fail_msg("half a key file was left");
    if (!st) st = ac_age_identities_read(&ids, path, err);
    if (!st && unlink(path) == 0) st = ac_file_write_new(path, public_, strlen(public_), true, err);
    if (!st) st = ac_age_recipients_read(&list, &n, &a, path, err);
    if (!st) st = ac_age_writer_open(&w, &(ac_age_to){ .recipient = list, .n = n }, collect, &sealed, err);
    if (!st) st = ac_age_writer_write(w, "rows", 4, err);
    if (!st) st = ac_age_writer_finish(&w, err);
    ac_age_writer_abort(&w);
    if (!st) st = ac_age_open(&body, sealed.ptr, sealed.len, &(ac_age_from){ .identity = ids.item, .n = ids.n }, "f", err);
    if (!st) st = ac_age_read(&body, collect, &plain, "f", err);
    if (!st) assert_true(ac_view_eq_str(ac_str_view(&plain), "rows"));
    ac_age_wipe(&body);
    ac_age_identities_release(&ids);
    ac_arena_release(&a);
    ac_str_release(&sealed);
    ac_str_release(&plain);
    return st;
}

static ac_status sign_round(ac_err *err)
{
    ac_str s = { 0 };
    ac_arena a = { 0 };
    ac_sign_key k = { .seed = { 0 } }, again = { .seed = { 0 } };
    char text[AC_SIGN_PUBLIC_TEXT];
    ac_view payload = { NULL, 0 };
    ac_status st = ac_sign_key_make(&k, err);
    if (!st) st = ac_sign_key_text(text, &k);
    (void)unlink(path);
    if (!st) st = ac_file_write_new(path, text, strlen(text), false, err);
    if (!st) st = ac_sign_key_read(&again, path, err);
    if (!st) st = ac_dsse_sign(&s, AC_VIEW("{}"), "application/x", &again, err);
    if (!st) st = ac_dsse_verify(&payload, &a, ac_str_view(&s), "application/x", &k.pub, "e", err);
    if (!st) assert_true(ac_view_eq_str(payload, "{}"));
    ac_arena_release(&a);
    ac_str_release(&s);
    return st;
}

static ac_status unseal_as_is(ac_secret *plain, const void *data, size_t len, const char *name, ac_err *err)
{
    (void)name;
    if (!(plain->ptr = ac_secret_alloc(len + 1))) return ac_fail_nomem(err, len);
    memcpy(plain->ptr, data, len);
    plain->len = len;
    return AC_OK;
}

/* Every way to read a sealed file; what its decoder does is tried above. */
static ac_status reading(ac_err *err)
{
    static const char text[] = AC_AGE_MAGIC "a line of a file that is long enough\n";
    ac_str s = { 0 };
    ac_arena a = { 0 };
    ac_map m = { .ptr = NULL };
    ac_lines *l = NULL;
    ac_view v;
    ac_sha256 h;
    (void)unlink(path);
    ac_file_set_unsealer(&(ac_unsealer){ ac_age_is, unseal_as_is });
    ac_status st = ac_file_write_new(path, text, strlen(text), false, err);
    if (!st) st = ac_file_read(&s, path, 1000, err);
    if (!st) ac_str_append(&s, (ac_view){ text, strlen(text) });
    if (!st && !ac_str_ok(&s)) st = ac_fail_nomem(err, s.len);
    if (!st) st = ac_file_read_arena(&v, &a, path, 1000, err);
    if (!st) st = ac_sha256_file(&h, path, err);
    if (!st) st = ac_map_open(&m, path, err);
    if (!st) st = ac_lines_open(&l, path, 1000, err);
    if (!st) st = ac_lines_next(l, &v, NULL, err);
    ac_lines_close(&l);
    ac_map_close(&m);
    ac_str_release(&s);
    ac_arena_release(&a);
    ac_file_set_unsealer(NULL);
    return st;
}

/* A bundle written and restored: after a fault there is no bundle and no folder. */
static ac_status bundle(ac_err *err)
{
    ac_arena a = { 0 };
    ac_age_identity id = { .secret = { 0 } };
    ac_age_recipient r;
    const ac_json *list = NULL;
    uint64_t bytes = 0;
    char out[128], back[128];
    (void)snprintf(out, sizeof out, "%s/b.age", dir);
    (void)snprintf(back, sizeof back, "%s/back", dir);
    ac_age_identity_make(&id);
    memcpy(r.key, id.key, sizeof r.key);
    (void)unlink(path);
    (void)unlink(out);
    ac_status st = ac_file_write_new(path, "bytes", 5, false, err);
    const ac_bundle_file files[] = { { "x/f", path }, { "g", path } };
    if (!st && (st = ac_bundle_write(out, &(ac_age_to){ .recipient = &r, .n = 1 }, files, 2, NULL, NULL, &bytes, err))
        && ac_path_exists(out))
        fail_msg("a failed backup has its name: %s", err->text);
    if (!st && (st = ac_bundle_read(&list, &a, out, &(ac_age_from){ .identity = &id, .n = 1 }, back, NULL, err))
        && ac_path_exists(back))
        fail_msg("a failed restore has its name: %s", err->text);
    ac_arena_release(&a);
    const bool fired = ac_fault_fired();
    ac_fault_disarm();
    (void)ac_remove_tree(back, NULL);
    if (!fired) assert_int_equal(st, AC_OK);
    return st;
}

static void each_fault(ac_fault_kind kind, ac_status (*scenario)(ac_err *))
{
    for (long nth = 1;; nth++) {
        ac_err err = { "" };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != 0) fail_msg("fault %ld leaks %lld bytes", nth, (long long)ac_live_bytes());
        if (!fired) {
            if (st) fail_msg("without a fault: %s", err.text);
            break;
        }
        if (!st || !err.text[0]) fail_msg("fault %ld gave %s and \"%s\"", nth, ac_status_name(st), err.text);
        if (kind == AC_FAULT_ALLOC) assert_int_equal(st, AC_ENOMEM);
    }
}

static void test_allocations(void **state)
{
    (void)state;
    each_fault(AC_FAULT_ALLOC, age_round);
    each_fault(AC_FAULT_ALLOC, sign_round);
    each_fault(AC_FAULT_ALLOC, reading);
    each_fault(AC_FAULT_ALLOC, bundle);
}

static void test_io(void **state)
{
    (void)state;
    each_fault(AC_FAULT_IO, age_round);
    each_fault(AC_FAULT_IO, sign_round);
    each_fault(AC_FAULT_IO, reading);
    each_fault(AC_FAULT_IO, bundle);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    (void)snprintf(path, sizeof path, "%s/k", dir);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_allocations), cmocka_unit_test(test_io) };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
