#include "base/hash.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/file_int.h"
#include "base/hash_int.h"
#include "base/secret.h"

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(ac_sha256_state),
               "libsodium's state must fit the opaque one");
_Static_assert(_Alignof(crypto_hash_sha256_state) <= _Alignof(ac_sha256_state),
               "libsodium's state must be aligned in the opaque one");

static crypto_hash_sha256_state *inner(ac_sha256_state *s)
{
    return (crypto_hash_sha256_state *)(void *)s->opaque;
}

void ac_sha256_init(ac_sha256_state *s)
{
    crypto_hash_sha256_init(inner(s));
}

/* Whether the CPU's own instructions give libsodium's answer; asked once. */
static bool fast_blocks(void)
{
    static atomic_int known;                         /* 0: not asked, 1: no, 2: yes */
    int k = atomic_load_explicit(&known, memory_order_relaxed);
    if (k == 0) {
        crypto_hash_sha256_state a, b;
        uint8_t data[192];
        k = 1;
        if (ac_sha256_has_fast()) {
            for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 167 + 13);
            crypto_hash_sha256_init(&a);
            b = a;
            crypto_hash_sha256_update(&a, data, sizeof data);
            ac_sha256_blocks_fast(b.state, data, 3);
            k = memcmp(a.state, b.state, sizeof a.state) == 0 ? 2 : 1;
        }
        atomic_store_explicit(&known, k, memory_order_relaxed);
    }
    return k == 2;
}

/* libsodium's plain C goes through a few hundred MB/s, and the gate hashes whole models. So whole blocks go through the
 * CPU's instructions where it has them; what is cut off at either end, and the padding, stay libsodium's. */
void ac_sha256_add(ac_sha256_state *s, const void *data, size_t len)
{
    crypto_hash_sha256_state *in = inner(s);
    const uint8_t *p = data;
    const size_t held = (size_t)(in->count >> 3 & 63), to_edge = held ? 64 - held : 0;
    if (len >= 256 && fast_blocks()) {
        const size_t blocks = (len - to_edge) / 64;
        if (to_edge) crypto_hash_sha256_update(in, p, to_edge);
        ac_sha256_blocks_fast(in->state, p + to_edge, blocks);
        in->count += (uint64_t)blocks << 9;
        p += to_edge + blocks * 64;
        len -= to_edge + blocks * 64;
    }
    if (len) crypto_hash_sha256_update(in, p, len);
}

void ac_sha256_done(ac_sha256_state *s, ac_sha256 *out)
{
    crypto_hash_sha256_final(inner(s), out->byte);
}

ac_sha256 ac_sha256_of(const void *data, size_t len)
{
    ac_sha256_state s;
    ac_sha256 h;
    ac_sha256_init(&s);
    ac_sha256_add(&s, data, len);
    ac_sha256_done(&s, &h);
    return h;
}

ac_sha256 ac_hmac_sha256(ac_view key, ac_view text)
{
    crypto_auth_hmacsha256_state s;
    ac_sha256 h;
    crypto_auth_hmacsha256_init(&s, (const uint8_t *)key.ptr, key.len);
    crypto_auth_hmacsha256_update(&s, (const uint8_t *)text.ptr, text.len);
    crypto_auth_hmacsha256_final(&s, h.byte);
    sodium_memzero(&s, sizeof s);
    return h;
}

void ac_sha256_hex(char out[AC_SHA256_HEX], const ac_sha256 *h)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digit[h->byte[i] >> 4];
        out[2 * i + 1] = digit[h->byte[i] & 15];
    }
    out[64] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int ac_sha256_parse(ac_sha256 *out, ac_view hex)
{
    ac_sha256 h;
    if (hex.len != 64) return -1;
    for (size_t i = 0; i < 32; i++) {
        const int hi = nibble(hex.ptr[2 * i]), lo = nibble(hex.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0) return -1;
        h.byte[i] = (uint8_t)(hi * 16 + lo);
    }
    *out = h;
    return 0;
}

ac_status ac_sha256_file(ac_sha256 *out, const char *path, ac_err *err)
{
    /* Read in pieces, not mapped: the pages of a map would count as this process's memory. */
    uint8_t piece[16384];
    ac_sha256_state s;
    int fd;
    uint64_t size;
    ssize_t got;
    ac_secret plain = { NULL, 0 };
    ac_status st = ac_io_open_input(&fd, &size, path, err);
    if (st) return st;
    st = ac_io_unseal(&plain, fd, size, path, err);
    if (st || plain.ptr) {                           /* what is hashed is what is read */
        ac_io_close(fd);
        if (!st) *out = ac_sha256_of(plain.ptr, plain.len);
        ac_secret_release(&plain);
        return st;
    }
    ac_sha256_init(&s);
    while ((got = ac_io_read(fd, piece, sizeof piece)) > 0) ac_sha256_add(&s, piece, (size_t)got);
    if (got < 0) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot read", path);
    ac_io_close(fd);
    if (!st) ac_sha256_done(&s, out);
    return st;
}

/* Eight tables, so that a step takes eight bytes; filled once. Racing threads write the same
 * values, and the flag is set after them. */
static uint32_t crc_table[8][256];
static atomic_int crc_ready;   /* 0 empty, 1 being filled, 2 ready */

static void crc_fill(void)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&crc_ready, &none, 1)) {
        while (atomic_load_explicit(&crc_ready, memory_order_acquire) != 2) { }
        return;
    }
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0);
        crc_table[0][i] = c;
    }
    for (size_t t = 1; t < 8; t++)
        for (size_t i = 0; i < 256; i++)
            crc_table[t][i] = (crc_table[t - 1][i] >> 8) ^ crc_table[0][crc_table[t - 1][i] & 255];
    atomic_store_explicit(&crc_ready, 2, memory_order_release);
}

uint32_t ac_crc32c(uint32_t crc, const void *data, size_t len)
{
    if (atomic_load_explicit(&crc_ready, memory_order_acquire) != 2) crc_fill();
    const uint8_t *p = data;
    uint32_t c = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = crc_table[7][c & 255] ^ crc_table[6][c >> 8 & 255] ^ crc_table[5][c >> 16 & 255]
            ^ crc_table[4][c >> 24] ^ crc_table[3][p[4]] ^ crc_table[2][p[5]]
            ^ crc_table[1][p[6]] ^ crc_table[0][p[7]];
    }
    for (; len; len--, p++) c = (c >> 8) ^ crc_table[0][(c ^ *p) & 255];
    return ~c;
}

/* Here because this file alone of the room has libsodium. */
void ac_random_secret(void *p, size_t bytes)
{
    randombytes_buf(p, bytes);
}
