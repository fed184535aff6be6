/* base/hash.h - SHA-256 (FIPS 180-4, through libsodium), HMAC over it, and CRC-32C (RFC 3720). */
#ifndef AC_BASE_HASH_H
#define AC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

#define AC_SHA256_HEX 65   /* 64 digits and a NUL */

typedef struct { uint8_t byte[32]; } ac_sha256;
typedef struct { _Alignas(16) unsigned char opaque[128]; } ac_sha256_state;

void ac_sha256_init(ac_sha256_state *s);
void ac_sha256_add(ac_sha256_state *s, const void *data, size_t len);
void ac_sha256_done(ac_sha256_state *s, ac_sha256 *out);
ac_sha256 ac_sha256_of(const void *data, size_t len);
void ac_sha256_hex(char out[AC_SHA256_HEX], const ac_sha256 *h);   /* lower case */
int  ac_sha256_parse(ac_sha256 *out, ac_view hex);                 /* 0, or -1 when not 64 hex digits */
/* Of a sealed file (base/file.h, F5): of its plain bytes. */
ac_status ac_sha256_file(ac_sha256 *out, const char *path, ac_err *err);

/* HMAC-SHA256 (RFC 2104). */
ac_sha256 ac_hmac_sha256(ac_view key, ac_view text);

uint32_t ac_crc32c(uint32_t crc, const void *data, size_t len);    /* start with 0 */

#endif
