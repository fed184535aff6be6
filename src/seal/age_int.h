/* seal/age_int.h - what header, payload and keys of an age file share. */
#ifndef AC_SEAL_AGE_INT_H
#define AC_SEAL_AGE_INT_H

#include "seal/age.h"

#define FILE_KEY 16
#define CHUNK ((size_t)65536)
#define TAG 16
#define NONCE 16

/* HKDF-SHA-256 (RFC 5869) with an output of 32 bytes. */
void ac_seal_hkdf(uint8_t out[32], const void *ikm, size_t ikm_len, const void *salt, size_t salt_len, const char *info);

/* base64 in the standard alphabet, without white space; false on anything else. libsodium's reader takes some bytes over
 * 127 for letters, so the alphabet is checked here. */
bool ac_seal_unb64(uint8_t *out, size_t room, size_t *len, ac_view text, bool padded);

/* Bech32 (BIP 173) without its length limit. hrp in lower case; out holds hrp + 60 bytes. */
void ac_bech32_encode32(char *out, const char *hrp, const uint8_t data[32], bool upper);
bool ac_bech32_decode32(uint8_t out[32], const char *hrp, ac_view text, bool upper);

/* Wraps the file key for everybody and writes the whole header. */
ac_status ac_age_header_write(ac_str *out, const uint8_t file_key[FILE_KEY], const ac_age_to *to, ac_err *err);
/* Finds the file key and checks the MAC; *payload is the offset behind the header. */
ac_status ac_age_header_open(uint8_t file_key[FILE_KEY], size_t *payload, ac_view text, const ac_age_from *from,
                             const char *name, ac_err *err);
/* Armor to bytes. */
ac_status ac_age_dearmor(uint8_t **out, size_t *len, ac_view text, const char *name, ac_err *err);

#endif
