/* seal/age.h: round trips, an age file that the age tool wrote, and every way of damaging one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/secret.h"
#include "seal/age.h"
#include "seal/age_int.h"

static ac_status collect(void *ctx, const void *data, size_t len, ac_err *err)
{
    ac_str_append(ctx, (ac_view){ data, len });
    return ac_str_ok(ctx) ? AC_OK : ac_fail_nomem(err, len);
}

static void seal(ac_str *out, ac_view plain, const ac_age_to *to)
{
    ac_age_writer *w = NULL;
    ac_err err = { "" };
    ac_status st = ac_age_writer_open(&w, to, collect, out, &err);
    /* In odd pieces, so that chunks fill across calls. */
    for (size_t at = 0; !st && at < plain.len; at += 40009)
        st = ac_age_writer_write(w, plain.ptr + at, plain.len - at < 40009 ? plain.len - at : 40009, &err);
    if (!st) st = ac_age_writer_finish(&w, &err);
    ac_age_writer_abort(&w);
    if (st) fail_msg("%s", err.text);
}

static ac_status open_with(ac_str *out, ac_view sealed, const ac_age_from *from, ac_err *err)
{
    ac_age_body b = { .chunk = NULL };
    ac_status st = ac_age_open(&b, sealed.ptr, sealed.len, from, "f.age", err);
    if (!st) st = ac_age_read(&b, collect, out, "f.age", err);
    if (!st && out->len != b.plain_bytes) fail_msg("plain_bytes is %zu, %zu came", b.plain_bytes, out->len);
    ac_age_wipe(&b);
    return st;
}

static ac_age_identity me, other;
static ac_age_recipient to_me, to_other;
static ac_age_from mine = { .identity = &me, .n = 1 }, others = { .identity = &other, .n = 1 };

static int make_keys(void **state)
{
    (void)state;
    if (sodium_init() < 0) return -1;
    ac_age_identity_make(&me);
    ac_age_identity_make(&other);
    memcpy(to_me.key, me.key, 32);
    memcpy(to_other.key, other.key, 32);
    return 0;
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 131072, 200000 };
    (void)state;
    char *plain = ac_malloc(200000);
    assert_non_null(plain);
    randombytes_buf(plain, 200000);
    const ac_age_recipient both[] = { to_other, to_me };
    for (size_t i = 0; i < AC_COUNTOF(sizes); i++) {
        ac_str sealed = { 0 }, again = { 0 };
        ac_err err = { "" };
        seal(&sealed, (ac_view){ plain, sizes[i] }, &(ac_age_to){ .recipient = both, .n = 2 });
        if (open_with(&again, ac_str_view(&sealed), &mine, &err)) fail_msg("%zu bytes: %s", sizes[i], err.text);
        assert_true(ac_view_eq(ac_str_view(&again), (ac_view){ plain, sizes[i] }));
        ac_str_reset(&again);
        assert_int_equal(open_with(&again, ac_str_view(&sealed), &others, &err), AC_OK);
        /* A cut at every chunk's edge, and just beside it. */
        size_t payload = 0;
        assert_int_equal(ac_age_header_check(sealed.ptr, sealed.len, &payload, "f", &err), AC_OK);
        for (size_t edge = payload + 16; edge < sealed.len; edge += 65536 + 16) {
            for (size_t d = 0; d < 3; d++) {
                ac_err e = { "" };
                ac_str_reset(&again);
                const ac_view cut = { sealed.ptr, edge + d - 1 };
                if (cut.len < sealed.len) assert_int_equal(open_with(&again, cut, &mine, &e), AC_EFORMAT);
            }
        }
        ac_str_release(&sealed);
        ac_str_release(&again);
    }
    ac_free(plain);
}

static void test_every_byte(void **state)
{
    (void)state;
    ac_str sealed = { 0 }, again = { 0 };
    seal(&sealed, AC_VIEW("{\"text\":\"private\"}\n"), &(ac_age_to){ .recipient = &to_me, .n = 1 });
    for (size_t i = 0; i < sealed.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            ac_err err = { "" };
            ac_str_reset(&again);
            sealed.ptr[i] = (char)(sealed.ptr[i] ^ (1 << bit));
            if (open_with(&again, ac_str_view(&sealed), &mine, &err) == AC_OK || !err.text[0])
                fail_msg("bit %u of byte %zu changed unseen", bit, i);
            sealed.ptr[i] = (char)(sealed.ptr[i] ^ (1 << bit));
        }
    }
    for (size_t n = 0; n < sealed.len; n++) {
        ac_err err = { "" };
        ac_str_reset(&again);
        if (open_with(&again, (ac_view){ sealed.ptr, n }, &mine, &err) == AC_OK) fail_msg("cut at %zu unseen", n);
    }
    ac_err err = { "" };
    ac_str_append_char(&sealed, 'x');
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &mine, &err), AC_EFORMAT);
    ac_str_release(&sealed);
    ac_str_release(&again);
}

static void test_swapped_chunks(void **state)
{
    (void)state;
    const size_t chunk = 65536 + 16;
    ac_str sealed = { 0 }, again = { 0 };
    ac_err err = { "" };
    size_t payload = 0;
    char *plain = ac_calloc(1, 3 * 65536), *kept = ac_malloc(chunk);
    assert_true(plain && kept);
    seal(&sealed, (ac_view){ plain, 3 * 65536 }, &(ac_age_to){ .recipient = &to_me, .n = 1 });
    assert_int_equal(ac_age_header_check(sealed.ptr, sealed.len, &payload, "f", &err), AC_OK);
    char *first = sealed.ptr + payload + 16;
    memcpy(kept, first, chunk);
    memcpy(first, first + chunk, chunk);
    memcpy(first + chunk, kept, chunk);
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &mine, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "chunk 1"));
    ac_str_release(&sealed);
    ac_str_release(&again);
    ac_free(plain);
    ac_free(kept);
}

static void test_wrong_key(void **state)
{
    (void)state;
    ac_str sealed = { 0 }, again = { 0 };
    ac_err err = { "" }, none = { "" };
    seal(&sealed, AC_VIEW("x"), &(ac_age_to){ .recipient = &to_me, .n = 1 });
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &others, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "sealed for others"));
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &(ac_age_from){ .n = 0 }, &none), AC_ENOENT);
    assert_non_null(strstr(none.text, "ACCORD_IDENTITY"));
    assert_int_equal(again.len, 0);
    ac_str_release(&sealed);
    ac_str_release(&again);
}

static ac_view pass;
static int asked;
static ac_status give_pass(void *ctx, ac_view *out, ac_err *err)
{
    (void)ctx;
    (void)err;
    asked++;
    *out = pass;
    return AC_OK;
}

static void test_passphrase(void **state)
{
    (void)state;
    ac_str sealed = { 0 }, again = { 0 };
    ac_err err = { "" };
    ac_age_cache cache = { .n = 0 };
    const ac_age_from from = { .passphrase = give_pass };
    seal(&sealed, AC_VIEW("secret rows"), &(ac_age_to){ .passphrase = AC_VIEW("correct horse"), .work = 10 });
    pass = AC_VIEW("wrong horse");
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &from, &err), AC_EFORMAT);
    pass = AC_VIEW("correct horse");
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &from, NULL), AC_OK);
    assert_true(ac_view_eq_str(ac_str_view(&again), "secret rows"));
    asked = 0;
    for (int i = 0; i < 3; i++) {                  /* the cache saves the second scrypt */
        ac_str_reset(&again);
        assert_int_equal(open_with(&again, ac_str_view(&sealed), &(ac_age_from){ .passphrase = give_pass, .cache = &cache }, NULL),
                         AC_OK);
    }
    assert_int_equal(asked, 1);
    /* More rounds than are allowed: refused before the passphrase is asked for. */
    char *work = strstr(sealed.ptr, " 10\n");
    assert_non_null(work);
    memcpy(work, " 29\n", 4);
    err = (ac_err){ "" };
    assert_int_equal(open_with(&again, ac_str_view(&sealed), &from, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "2^29"));
    ac_age_writer *w = NULL;
    assert_int_equal(ac_age_writer_open(&w, &(ac_age_to){ .n = 0 }, collect, &again, NULL), AC_EARG);
    assert_int_equal(ac_age_writer_open(&w, &(ac_age_to){ .n = 1, .recipient = &to_me, .passphrase = pass }, collect, &again,
                                        NULL), AC_EARG);
    assert_null(w);
    ac_str_release(&sealed);
    ac_str_release(&again);
}

/* Made with age 1.1.1: age -r, and age -a -r. */
static const char kat_identity[] = "AGE-SECRET-KEY-1S4K2H76W5ECYR07CRYD6HN2V9V3J537CWJPXWE20CTZAVQA26W4SL0J2FE";
static const char kat_binary[] =
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSByMkU5RFBEcjdla0ZnVWE1SFNxdDIvbnNiL3I2UTZ2MHg3M2hzWkZiTUNF"
    "CkZvR3FodUdvdXh2N2ptVC9MeEhQV1NsRklzZHFDZFg2blVZT0lEQ3dHanMKLS0tIEVMYjM4ZkhZV1dSRkRDcHk0YnNPQTloSXdM"
    "MVMyUFdBSUhqd3B4cVl5VGMK8bPVO/ObZoVksCY0ze6ev5xgceWMJpDUQ82gAR+ixriUWjn/YTuIYBUiFxrQr4OhVwUTDc92lw==";
static const char kat_armor[] =
    "-----BEGIN AGE ENCRYPTED FILE-----\n"
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBLV2hFdC81Y3NuR0hzaVlv\n"
    "MUwrd1RaNmZySStlUzh4WDdXRDJ6VHo4M0RrCmZpa21DM2FGOVZCaGtxMEJveUZB\n"
    "RFZodFFUVVlzejJ4eUxEbmt1ZzVKM00KLS0tIGZEY21HREZtQmhIZWxsbCt5cnVR\n"
    "alNjR3pzdTlsRnNtOUpzK2JTNW92SWcKaqFpXkkEuB0b5qWBgAj8813HJ3XskT19\n"
    "VK+HgMoahCYlTTivStjqtLoUasr+7gINFYYfjjAS2Q==\n"
    "-----END AGE ENCRYPTED FILE-----\n";

static void test_other_tool(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t len = 0;
    ac_age_identity id;
    ac_str again = { 0 };
    ac_err err = { "" };
    assert_int_equal(ac_age_identity_parse(&id, ac_view_of(kat_identity), "kat", &err), AC_OK);
    assert_int_equal(sodium_base642bin(bytes, sizeof bytes, kat_binary, strlen(kat_binary), NULL, &len, NULL,
                                       sodium_base64_VARIANT_ORIGINAL), 0);
    const ac_age_from from = { .identity = &id, .n = 1 };
    if (open_with(&again, (ac_view){ (const char *)bytes, len }, &from, &err)) fail_msg("%s", err.text);
    assert_true(ac_view_eq_str(ac_str_view(&again), "sealed by another tool\n"));
    ac_str_reset(&again);
    if (open_with(&again, ac_view_of(kat_armor), &from, &err)) fail_msg("%s", err.text);
    assert_true(ac_view_eq_str(ac_str_view(&again), "sealed by another tool\n"));
    /* Armor that lacks its end, or holds a stray line. */
    assert_int_equal(open_with(&again, (ac_view){ kat_armor, strlen(kat_armor) - 20 }, &from, NULL), AC_EFORMAT);
    ac_str_release(&again);
}

static void test_keys(void **state)
{
    (void)state;
    char text[AC_AGE_RECIPIENT_TEXT], secret[AC_AGE_IDENTITY_TEXT];
    ac_age_recipient r;
    ac_age_identity id;
    ac_err err = { "" };
    ac_age_recipient_text(text, &to_me);
    ac_age_identity_text(secret, &me);
    assert_int_equal(strlen(text), 62);
    assert_int_equal(strlen(secret), 74);
    assert_int_equal(ac_age_recipient_parse(&r, ac_view_of(text), "t", &err), AC_OK);
    assert_memory_equal(r.key, to_me.key, 32);
    assert_int_equal(ac_age_identity_parse(&id, ac_view_of(secret), "t", &err), AC_OK);
    assert_memory_equal(id.key, me.key, 32);
    for (size_t i = 0; i < strlen(text); i++) {      /* the checksum finds every single slip */
        const char was = text[i];
        text[i] = was == 'q' ? 'p' : 'q';
        assert_int_equal(ac_age_recipient_parse(&r, ac_view_of(text), "t", NULL), AC_EARG);
        text[i] = was;
    }
    assert_int_equal(ac_age_recipient_parse(&r, ac_view_of(secret), "t", &err), AC_EARG);
    assert_non_null(strstr(err.text, "secret key"));
    assert_null(strstr(err.text, secret));
}

static void write_text(const char *path, const char *text, bool shown)
{
    (void)unlink(path);
    if (ac_file_write_new(path, text, strlen(text), shown, NULL)) fail_msg("cannot write %s", path);
}

static void test_key_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/accord_seal.XXXXXX", path[64], text[400], one[AC_AGE_RECIPIENT_TEXT], secret[AC_AGE_IDENTITY_TEXT];
    ac_age_identities ids = { NULL, 0 };
    ac_age_recipient *list = NULL;
    ac_arena a = { 0 };
    ac_err err = { "" };
    size_t n = 0;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/k", dir);
    ac_age_identity_text(secret, &me);
    ac_age_recipient_text(one, &to_me);
    (void)snprintf(text, sizeof text, "# a comment\r\n\n%s\r\n", secret);
    write_text(path, text, false);
    assert_int_equal(ac_age_identities_read(&ids, path, &err), AC_OK);
    assert_true(ids.n == 1 && memcmp(ids.item[0].key, me.key, 32) == 0);
    ac_age_identities_release(&ids);
    assert_int_equal(ac_file_write_new(path, "x", 1, false, NULL), AC_ECREATE);       /* never replaced */
    write_text(path, text, true);
    assert_int_equal(ac_age_identities_read(&ids, path, &err), AC_EREFUSED);
    assert_non_null(strstr(err.text, "chmod 600"));
    write_text(path, "# nothing\n", false);
    assert_int_equal(ac_age_identities_read(&ids, path, NULL), AC_EFORMAT);
    write_text(path, "AGE-SECRET-KEY-1QQQQ\n", false);
    assert_int_equal(ac_age_identities_read(&ids, path, NULL), AC_EFORMAT);
    (void)snprintf(text, sizeof text, "%s\n# who\n  %s\n", one, one);
    write_text(path, text, true);
    assert_int_equal(ac_age_recipients_read(&list, &n, &a, path, &err), AC_OK);
    assert_int_equal(n, 2);
    write_text(path, "age1nobody\n", true);
    assert_int_equal(ac_age_recipients_read(&list, &n, &a, path, NULL), AC_EFORMAT);
    ac_arena_release(&a);
    (void)ac_remove_tree(dir, NULL);
}

/* Headers that the format forbids, although a careless reader would take them. */
static void test_strict_headers(void **state)
{
    static const char *const bad[] = {
        "", "age-encryption.org/v1", "age-encryption.org/v2\n-> X25519 a\n\n--- \n",
        "age-encryption.org/v1\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n->  a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> a \n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> \n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> a\nAB==\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> a\nAB\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> a\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\r\n-> a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> a\n\n---AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "age-encryption.org/v1\n-> a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n",
        "age-encryption.org/v1\n-> a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA \n",
        "age-encryption.org/v1\n-> scrypt a 1\n\n-> X25519 a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
    };
    static const char good[] = "age-encryption.org/v1\n-> grease ~x 1\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
    (void)state;
    size_t payload = 0;
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { "" };
        if (ac_age_header_check(bad[i], strlen(bad[i]), &payload, "h", &err) != AC_EFORMAT || !err.text[0])
            fail_msg("header %zu passes", i);
    }
    assert_int_equal(ac_age_header_check(good, strlen(good), &payload, "h", NULL), AC_OK);
    assert_int_equal(payload, strlen(good));
}

/* Some readers of base64 take bytes over 127 for letters. */
static void test_alphabet(void **state)
{
    (void)state;
    uint8_t out[8];
    size_t n = 0;
    for (int c = 0; c < 256; c++) {
        const char text[4] = { 'A', (char)c, 'A', 'A' };
        const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
        assert_int_equal(ac_seal_unb64(out, sizeof out, &n, (ac_view){ text, 4 }, false), letter);
        assert_int_equal(ac_seal_unb64(out, sizeof out, &n, (ac_view){ text, 4 }, true), letter);
    }
}

static void test_secret_memory(void **state)
{
    (void)state;
    const int64_t before = ac_live_bytes();
    uint8_t *p = ac_secret_alloc(100000);
    assert_non_null(p);
    for (size_t i = 0; i < 100000; i++) assert_int_equal(p[i], 0);
    assert_true(ac_live_bytes() == before + 100000);
    ac_secret_free(p);
    assert_true(ac_live_bytes() == before);
    int fd[2];
    ac_secret s = { NULL, 0 };
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "one\r\ntwo", 8), 8);
    assert_int_equal(ac_secret_read_line_fd(&s, fd[0], 100, NULL), AC_OK);
    assert_string_equal(s.ptr, "one");
    ac_secret_release(&s);
    close(fd[1]);
    assert_int_equal(ac_secret_read_line_fd(&s, fd[0], 100, NULL), AC_OK);      /* the rest stayed in the pipe */
    assert_string_equal(s.ptr, "two");
    ac_secret_release(&s);
    assert_int_equal(ac_secret_read_line_fd(&s, fd[0], 100, NULL), AC_EFORMAT);
    close(fd[0]);
    assert_true(ac_live_bytes() == before);
}

/* F5: whatever call of base/file.h reads a sealed file, it gives the plain bytes; raw gives what lies there. */
static ac_status unseal_mine(ac_secret *plain, const void *data, size_t len, const char *path, ac_err *err)
{
    ac_str s = { 0 };
    (void)path;
    const ac_status st = open_with(&s, (ac_view){ data, len }, &mine, err);
    if (!st) {
        plain->ptr = ac_secret_alloc(s.len + 1);
        assert_non_null(plain->ptr);
        memcpy(plain->ptr, s.ptr, s.len);
        plain->len = s.len;
    }
    ac_str_release(&s);
    return st;
}

static void test_reading(void **state)
{
    (void)state;
    static const char text[] = "first line\nsecond line\r\nlast";
    char dir[] = "/tmp/accord_seal.XXXXXX", path[64];
    const int64_t live = ac_live_bytes();
    ac_str sealed = { 0 }, s = { 0 };
    ac_arena a = { 0 };
    ac_view v;
    ac_map m = { .ptr = NULL };
    ac_lines *l = NULL;
    ac_sha256 h, want = ac_sha256_of(text, strlen(text));
    size_t n = 0;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/f", dir);
    seal(&sealed, ac_view_of(text), &(ac_age_to){ .recipient = &to_me, .n = 1 });
    assert_int_equal(ac_file_write_atomic(path, sealed.ptr, sealed.len, NULL), AC_OK);
    assert_int_equal(ac_file_read(&s, path, 10000, NULL), AC_OK);
    assert_true(ac_view_eq(ac_str_view(&s), ac_str_view(&sealed)));          /* nobody opens it yet */
    ac_file_set_unsealer(&(ac_unsealer){ ac_age_is, unseal_mine });
    assert_true(ac_file_is_sealed(path) && !ac_file_is_sealed(dir) && !ac_file_is_sealed("/nowhere"));
    const uint64_t before = ac_file_unsealed();
    assert_int_equal(ac_file_read(&s, path, 10000, NULL), AC_OK);
    assert_true(ac_view_eq_str(ac_str_view(&s), text) && s.secret);
    assert_int_equal(ac_file_read(&s, path, 5, NULL), AC_EFORMAT);           /* the limit is on plain bytes */
    assert_int_equal(ac_file_read_arena(&v, &a, path, 10000, NULL), AC_OK);
    assert_true(ac_view_eq_str(v, text) && a.wipe && v.ptr[v.len] == '\0');
    assert_int_equal(ac_sha256_file(&h, path, NULL), AC_OK);
    assert_memory_equal(h.byte, want.byte, 32);
    assert_int_equal(ac_map_open(&m, path, NULL), AC_OK);
    assert_true(m.len == strlen(text) && memcmp(m.ptr, text, m.len) == 0);
    ac_map_close(&m);
    assert_int_equal(ac_map_open_raw(&m, path, NULL), AC_OK);
    assert_true(m.len == sealed.len);
    ac_map_close(&m);
    assert_int_equal(ac_lines_open(&l, path, 100, NULL), AC_OK);
    assert_true(ac_lines_next(l, &v, &n, NULL) == AC_OK && ac_view_eq_str(v, "first line") && n == 1);
    assert_true(ac_lines_next(l, &v, &n, NULL) == AC_OK && ac_view_eq_str(v, "second line"));
    assert_true(ac_lines_next(l, &v, &n, NULL) == AC_OK && ac_view_eq_str(v, "last") && n == 3);
    assert_true(ac_lines_next(l, &v, &n, NULL) == AC_OK && !v.ptr);
    ac_lines_close(&l);
    assert_int_equal(ac_file_unsealed() - before, 6);
    sealed.ptr[sealed.len - 1] = (char)(sealed.ptr[sealed.len - 1] ^ 1);
    assert_int_equal(ac_file_write_atomic(path, sealed.ptr, sealed.len, NULL), AC_OK);
    assert_int_equal(ac_lines_open(&l, path, 100, NULL), AC_EFORMAT);
    assert_int_equal(ac_map_open(&m, path, NULL), AC_EFORMAT);
    assert_int_equal(ac_sha256_file(&h, path, NULL), AC_EFORMAT);
    ac_file_set_unsealer(NULL);
    ac_str_release(&sealed);
    ac_str_release(&s);
    ac_arena_release(&a);
    (void)ac_remove_tree(dir, NULL);
    assert_true(ac_live_bytes() == live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_swapped_chunks),
        cmocka_unit_test(test_wrong_key),    cmocka_unit_test(test_passphrase), cmocka_unit_test(test_other_tool),
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_key_files),  cmocka_unit_test(test_strict_headers),
        cmocka_unit_test(test_secret_memory), cmocka_unit_test(test_reading),
        cmocka_unit_test(test_alphabet),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
