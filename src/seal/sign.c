#include "seal/sign.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "formats/json.h"
#include "seal/age_int.h"

#define PEM_MAX ((size_t)4096)
#define SECRET_HEAD "-----BEGIN PRIVATE KEY-----\n"
#define SECRET_TAIL "\n-----END PRIVATE KEY-----\n"
#define PUBLIC_HEAD "-----BEGIN PUBLIC KEY-----\n"
#define PUBLIC_TAIL "\n-----END PUBLIC KEY-----\n"

/* The DER forms of RFC 8410 are these bytes and 32 more. */
static const uint8_t secret_der[16] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
                                        0x04, 0x20 };
static const uint8_t public_der[12] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };

static void pair_of(ac_sign_key *k)
{
    uint8_t both[crypto_sign_SECRETKEYBYTES];
    (void)crypto_sign_seed_keypair(k->pub.key, both, k->seed);
    ac_wipe(both, sizeof both);
}

ac_status ac_sign_key_make(ac_sign_key *out, ac_err *err)
{
    if (sodium_init() < 0) return ac_fail(err, AC_ESTATE, "libsodium cannot start");
    randombytes_buf(out->seed, sizeof out->seed);
    pair_of(out);
    return AC_OK;
}

void ac_sign_key_wipe(ac_sign_key *k)
{
    ac_wipe(k, sizeof *k);
}

static void pem(char out[AC_SIGN_PUBLIC_TEXT], const char *head, const uint8_t *lead, size_t n, const uint8_t key[32],
                const char *tail)
{
    uint8_t der[48];
    char text[72];
    memcpy(der, lead, n);
    memcpy(der + n, key, 32);
    (void)sodium_bin2base64(text, sizeof text, der, n + 32, sodium_base64_VARIANT_ORIGINAL);
    (void)snprintf(out, AC_SIGN_PUBLIC_TEXT, "%s%s%s", head, text, tail);
    ac_wipe(der, sizeof der);
    ac_wipe(text, sizeof text);
}

/* Strict: exactly what pem() writes, blanks around it aside. */
static bool unpem(uint8_t key[32], ac_view text, const char *head, const uint8_t *lead, size_t n, const char *tail)
{
    uint8_t der[48];
    size_t len = 0;
    const ac_view h = ac_view_of(head), t = ac_view_trim(ac_view_of(tail));
    text = ac_view_trim(text);
    bool ok = ac_view_starts(text, h) && ac_view_ends(text, t) && text.len > h.len + t.len;
    if (ok) {
        const ac_view inner = ac_view_trim(ac_view_slice(text, h.len, text.len - t.len));
        ok = ac_seal_unb64(der, sizeof der, &len, inner, true) && len == n + 32 && memcmp(der, lead, n) == 0;
    }
    if (ok) memcpy(key, der + n, 32);
    ac_wipe(der, sizeof der);
    return ok;
}

ac_status ac_sign_key_text(char out[AC_SIGN_PUBLIC_TEXT], const ac_sign_key *k)
{
    pem(out, SECRET_HEAD, secret_der, sizeof secret_der, k->seed, SECRET_TAIL);
    return AC_OK;
}

ac_status ac_sign_key_read(ac_sign_key *out, const char *path, ac_err *err)
{
    ac_secret text = { NULL, 0 };
    ac_sign_key k;
    if (sodium_init() < 0) return ac_fail(err, AC_ESTATE, "libsodium cannot start");
    ac_status st = ac_secret_read_file(&text, path, PEM_MAX, true, err);
    if (!st && !unpem(k.seed, (ac_view){ text.ptr, text.len }, SECRET_HEAD, secret_der, sizeof secret_der, SECRET_TAIL))
        st = ac_fail(err, AC_EFORMAT, "%s: is no Ed25519 key in PEM; expected one that accord key new made", path);
    ac_secret_release(&text);
    if (st) return st;
    pair_of(&k);
    *out = k;
    ac_sign_key_wipe(&k);
    return AC_OK;
}

void ac_sign_public_text(char out[AC_SIGN_PUBLIC_TEXT], const ac_sign_public *p)
{
    pem(out, PUBLIC_HEAD, public_der, sizeof public_der, p->key, PUBLIC_TAIL);
}

ac_status ac_sign_public_parse(ac_sign_public *out, ac_view text, const char *where, ac_err *err)
{
    if (unpem(out->key, text, PUBLIC_HEAD, public_der, sizeof public_der, PUBLIC_TAIL)) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: is no Ed25519 public key in PEM; expected what accord key show prints", where);
}

void ac_sign_keyid(char out[AC_SHA256_HEX], const ac_sign_public *p)
{
    uint8_t der[sizeof public_der + 32];
    memcpy(der, public_der, sizeof public_der);
    memcpy(der + sizeof public_der, p->key, 32);
    const ac_sha256 h = ac_sha256_of(der, sizeof der);
    ac_sha256_hex(out, &h);
}

/* ---- DSSE ---------------------------------------------------------------------------------------------------------- */

/* What is signed: the payload with its type, each with its length. */
static ac_status pae(ac_str *out, ac_view payload, const char *type, ac_err *err)
{
    ac_str_appendf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, payload.len);
    ac_str_append(out, payload);
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, payload.len);
}

static ac_status append_b64(ac_str *out, const void *data, size_t len, ac_err *err)
{
    const size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *text = ac_malloc(room);
    if (!text) return ac_fail_nomem(err, room);
    (void)sodium_bin2base64(text, room, data, len, sodium_base64_VARIANT_ORIGINAL);
    ac_str_append_c(out, text);
    ac_free(text);
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, room);
}

static ac_status write_envelope(ac_str *out, ac_view payload, const char *type, const ac_sign_public *pub,
                                const uint8_t sig[64], ac_err *err)
{
    char keyid[AC_SHA256_HEX];
    ac_sign_keyid(keyid, pub);
    ac_str_append_c(out, "{\"payload\":\"");
    ac_status st = append_b64(out, payload.ptr, payload.len, err);
    ac_str_appendf(out, "\",\"payloadType\":\"%s\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"", type, keyid);
    if (!st) st = append_b64(out, sig, 64, err);
    ac_str_append_c(out, "\"}]}\n");
    return st ? st : ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

ac_status ac_dsse_sign(ac_str *out, ac_view payload, const char *type, const ac_sign_key *k, ac_err *err)
{
    ac_str s = { 0 };
    uint8_t sig[crypto_sign_BYTES], both[crypto_sign_SECRETKEYBYTES];
    ac_sign_public pub;
    if (sodium_init() < 0) return ac_fail(err, AC_ESTATE, "libsodium cannot start");
    ac_status st = pae(&s, payload, type, err);
    if (!st) {
        (void)crypto_sign_seed_keypair(pub.key, both, k->seed);
        (void)crypto_sign_detached(sig, NULL, (const uint8_t *)s.ptr, s.len, both);
        ac_wipe(both, sizeof both);
        st = write_envelope(out, payload, type, &k->pub, sig, err);
    }
    ac_str_release(&s);
    return st;
}

static bool unb64(void *out, size_t room, size_t *len, const ac_json *v)
{
    return v && v->type == AC_JSON_STRING && ac_seal_unb64(out, room, len, v->text, true);
}

ac_status ac_dsse_verify(ac_view *payload, ac_arena *a, ac_view envelope, const char *type, const ac_sign_public *pub,
                         const char *name, ac_err *err)
{
    const ac_json *o = NULL;
    ac_str s = { 0 };
    uint8_t sig[64];
    size_t len = 0, sig_len = 0;
    if (sodium_init() < 0) return ac_fail(err, AC_ESTATE, "libsodium cannot start");
    char *bytes = ac_arena_alloc(a, envelope.len + 1);
    if (!bytes) return ac_fail_nomem(err, envelope.len);
    ac_status st = ac_json_parse(&o, envelope, a, name, 1, NULL, err);
    if (st) return st == AC_EFORMAT ? AC_ENO : st;
    const ac_json *list = ac_json_get(o, "signatures"), *one = list && list->type == AC_JSON_ARRAY ? list->child : NULL;
    if (!one || list->n != 1 || !unb64(bytes, envelope.len, &len, ac_json_get(o, "payload"))
        || !unb64(sig, sizeof sig, &sig_len, ac_json_get(one, "sig")) || sig_len != sizeof sig)
        return ac_fail(err, AC_ENO, "%s: is no DSSE envelope with one signature", name);
    const ac_view got = { bytes, len };
    st = write_envelope(&s, got, type, pub, sig, err);
    if (!st && !ac_view_eq(ac_str_view(&s), envelope))
        st = ac_fail(err, AC_ENO, "%s: is not signed by this key, or is not written as accord writes it: it was changed", name);
    ac_str_reset(&s);
    if (!st) st = pae(&s, got, type, err);
    if (!st && crypto_sign_verify_detached(sig, (const uint8_t *)s.ptr, s.len, pub->key) != 0)
        st = ac_fail(err, AC_ENO, "%s: the signature does not fit: the statement was changed", name);
    ac_str_release(&s);
    if (!st) *payload = got;
    return st;
}
