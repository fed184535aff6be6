/* seal/sign.h - Ed25519 keys in PEM (RFC 8410, as OpenSSL writes them) and DSSE envelopes.
 *
 * D1  A key's id is the lower-case hex SHA-256 of its public key's DER form.
 * D2  An envelope is one line of canonical JSON {"payload","payloadType","signatures":[{"keyid","sig"}]}; reading
 *     accepts exactly the bytes that writing would give, so that no byte of it can change unseen. */
#ifndef AC_SEAL_SIGN_H
#define AC_SEAL_SIGN_H

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#define AC_SIGN_PUBLIC_TEXT 128       /* the PEM form and a NUL */

typedef struct { uint8_t key[32]; } ac_sign_public;
typedef struct { uint8_t seed[32]; ac_sign_public pub; } ac_sign_key;

ac_status ac_sign_key_make(ac_sign_key *out, ac_err *err);
/* PEM of the secret key; the string is the caller's to wipe. */
ac_status ac_sign_key_text(char out[AC_SIGN_PUBLIC_TEXT], const ac_sign_key *k);
/* AC_EREFUSED when others may read the file. */
ac_status ac_sign_key_read(ac_sign_key *out, const char *path, ac_err *err);
void      ac_sign_key_wipe(ac_sign_key *k);

void      ac_sign_public_text(char out[AC_SIGN_PUBLIC_TEXT], const ac_sign_public *p);
ac_status ac_sign_public_parse(ac_sign_public *out, ac_view pem, const char *where, ac_err *err);
void      ac_sign_keyid(char out[AC_SHA256_HEX], const ac_sign_public *p);

/* Appends the envelope and a line end. */
ac_status ac_dsse_sign(ac_str *out, ac_view payload, const char *payload_type, const ac_sign_key *k, ac_err *err);
/* *payload lives in the arena. AC_ENO: the signature or any other byte is not as `pub` made it. */
ac_status ac_dsse_verify(ac_view *payload, ac_arena *a, ac_view envelope, const char *payload_type,
                         const ac_sign_public *pub, const char *name, ac_err *err);

#endif
