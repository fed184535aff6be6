#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

static void expect_sha(const void *data, size_t len, const char *want)
{
    char hex[AC_SHA256_HEX];
    const ac_sha256 h = ac_sha256_of(data, len);
    ac_sha256_hex(hex, &h);
    assert_string_equal(hex, want);
}

/* The examples of FIPS 180-4's test data. */
static void fips_vectors(void **state)
{
    (void)state;
    expect_sha("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    ac_sha256_state s;
    ac_sha256 h;
    char hex[AC_SHA256_HEX], as[1000];
    memset(as, 'a', sizeof as);
    ac_sha256_init(&s);
    for (size_t left = 1000000, i = 0; left; i++) {       /* in uneven pieces */
        const size_t n = i * 37 % 1000 < left ? i * 37 % 1000 : left;
        ac_sha256_add(&s, as, n);
        left -= n;
    }
    ac_sha256_done(&s, &h);
    ac_sha256_hex(hex, &h);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* In one piece, in pieces of every awkward length, and by libsodium alone: the same. */
static void pieces_do_not_matter(void **state)
{
    static const size_t step[] = { 1, 63, 64, 65, 255, 256, 257, 1000, 4096 };
    static uint8_t data[20011];
    (void)state;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 2654435761u >> 9);
    for (size_t len = sizeof data - 700; len <= sizeof data; len += 7) {
        uint8_t want[32];
        crypto_hash_sha256(want, data, len);
        const ac_sha256 whole = ac_sha256_of(data, len);
        assert_memory_equal(whole.byte, want, 32);
        for (size_t k = 0; k < sizeof step / sizeof step[0]; k++) {
            ac_sha256_state s;
            ac_sha256 h;
            ac_sha256_init(&s);
            for (size_t at = 0, i = 0; at < len; i++) {
                const size_t wish = i % 2 ? step[k] : step[(k + i) % 9], n = wish < len - at ? wish : len - at;
                ac_sha256_add(&s, data + at, n);
                at += n;
            }
            ac_sha256_done(&s, &h);
            assert_memory_equal(h.byte, want, 32);
        }
    }
}

static void hex_is_read_back(void **state)
{
    (void)state;
    const ac_sha256 h = ac_sha256_of("abc", 3);
    ac_sha256 g = { { 0 } };
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &h);
    assert_int_equal(ac_sha256_parse(&g, ac_view_of(hex)), 0);
    assert_memory_equal(&g, &h, sizeof g);
    hex[10] = 'g';
    assert_int_equal(ac_sha256_parse(&g, ac_view_of(hex)), -1);
    assert_int_equal(ac_sha256_parse(&g, AC_VIEW("ba78")), -1);
    assert_int_equal(ac_sha256_parse(&g, (ac_view){ NULL, 0 }), -1);
    assert_memory_equal(&g, &h, sizeof g);
}

static void files_hash_as_their_bytes(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/accord_test_hash.%ld", (long)getpid());
    assert_int_equal(ac_file_write_atomic(path, "abc", 3, NULL), AC_OK);
    ac_sha256 h = { { 0 } };
    const ac_sha256 want = ac_sha256_of("abc", 3);
    assert_int_equal(ac_sha256_file(&h, path, NULL), AC_OK);
    assert_memory_equal(&h, &want, sizeof h);
    assert_int_equal(unlink(path), 0);
    ac_err err = { "" };
    assert_int_equal(ac_sha256_file(&h, path, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, path));
}

/* RFC 3720, appendix B.4. */
static void crc32c_vectors(void **state)
{
    (void)state;
    unsigned char b[32];
    assert_int_equal(ac_crc32c(0, "123456789", 9), 0xe3069283u);
    memset(b, 0, sizeof b);
    assert_int_equal(ac_crc32c(0, b, 32), 0x8a9136aau);
    memset(b, 0xff, sizeof b);
    assert_int_equal(ac_crc32c(0, b, 32), 0x62a8ab43u);
    for (unsigned char i = 0; i < 32; i++) b[i] = i;
    assert_int_equal(ac_crc32c(0, b, 32), 0x46dd794eu);
    for (size_t cut = 0; cut <= 32; cut++)
        assert_int_equal(ac_crc32c(ac_crc32c(0, b, cut), b + cut, 32 - cut), 0x46dd794eu);
    for (unsigned char i = 0; i < 32; i++) b[i] = (unsigned char)(31 - i);
    assert_int_equal(ac_crc32c(0, b, 32), 0x113fdb5cu);
}

static void expect_hmac(const char *key, size_t key_len, const char *text, const char *want)
{
    char hex[AC_SHA256_HEX];
    const ac_sha256 h = ac_hmac_sha256((ac_view){ key, key_len }, ac_view_of(text));
    ac_sha256_hex(hex, &h);
    assert_string_equal(hex, want);
}

/* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
static void hmac_vectors(void **state)
{
    (void)state;
    char key[131];
    memset(key, 0x0b, 20);
    expect_hmac(key, 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect_hmac("Jefe", 4, "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    expect_hmac(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fips_vectors),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(hex_is_read_back),
        cmocka_unit_test(files_hash_as_their_bytes),
        cmocka_unit_test(crc32c_vectors),
        cmocka_unit_test(hmac_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
