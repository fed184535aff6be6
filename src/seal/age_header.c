/* The header: stanzas that wrap the file key, and the MAC over them. */
#include <sodium.h>
#include <string.h>

#include "base/secret.h"
#include "seal/age_int.h"

#define X25519_INFO "age-encryption.org/v1/X25519"
#define SCRYPT_SALT "age-encryption.org/v1/scrypt"
#define LINE 64
#define B64_32 44            /* 32 bytes in base64 without padding, and a NUL */

static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

void ac_seal_hkdf(uint8_t out[32], const void *ikm, size_t ikm_len, const void *salt, size_t salt_len, const char *info)
{
    crypto_auth_hmacsha256_state s;
    uint8_t prk[32];
    const uint8_t one = 1;
    crypto_auth_hmacsha256_init(&s, salt, salt_len);
    crypto_auth_hmacsha256_update(&s, ikm, ikm_len);
    crypto_auth_hmacsha256_final(&s, prk);
    crypto_auth_hmacsha256_init(&s, prk, sizeof prk);
    crypto_auth_hmacsha256_update(&s, (const uint8_t *)info, strlen(info));
    crypto_auth_hmacsha256_update(&s, &one, 1);
    crypto_auth_hmacsha256_final(&s, out);
    ac_wipe(prk, sizeof prk);
    ac_wipe(&s, sizeof s);
}

static void mac_of(uint8_t out[32], const uint8_t file_key[FILE_KEY], const char *text, size_t len)
{
    uint8_t key[32];
    crypto_auth_hmacsha256_state s;
    ac_seal_hkdf(key, file_key, FILE_KEY, "", 0, "header");
    crypto_auth_hmacsha256_init(&s, key, sizeof key);
    crypto_auth_hmacsha256_update(&s, (const uint8_t *)text, len);
    crypto_auth_hmacsha256_final(&s, out);
    ac_wipe(key, sizeof key);
    ac_wipe(&s, sizeof s);
}

static void b64(char *out, size_t room, const uint8_t *data, size_t len)
{
    (void)sodium_bin2base64(out, room, data, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

bool ac_seal_unb64(uint8_t *out, size_t room, size_t *len, ac_view text, bool padded)
{
    *len = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'
              || (padded && c == '=')))
            return false;
    }
    return text.len == 0 || sodium_base642bin(out, room, text.ptr, text.len, NULL, len, NULL, padded
        ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0;
}

/* As headers have it: no padding, no stray bits. */
static bool unb64(uint8_t *out, size_t room, size_t *len, ac_view text)
{
    return ac_seal_unb64(out, room, len, text, false);
}

/* ---- wrapping keys -------------------------------------------------------------------------------------------- */

static bool x25519_key(uint8_t out[32], const uint8_t secret[32], const uint8_t their[32], const uint8_t share[32],
                       const uint8_t recipient[32])
{
    uint8_t shared[32], salt[64];
    const bool ok = crypto_scalarmult(shared, secret, their) == 0;      /* refuses an all-zero result */
    memcpy(salt, share, 32);
    memcpy(salt + 32, recipient, 32);
    if (ok) ac_seal_hkdf(out, shared, sizeof shared, salt, sizeof salt, X25519_INFO);
    ac_wipe(shared, sizeof shared);
    return ok;
}

static ac_status scrypt_key(uint8_t out[32], ac_view passphrase, const uint8_t salt[16], unsigned work, ac_err *err)
{
    uint8_t whole[sizeof SCRYPT_SALT - 1 + 16];
    memcpy(whole, SCRYPT_SALT, sizeof SCRYPT_SALT - 1);
    memcpy(whole + sizeof SCRYPT_SALT - 1, salt, 16);
    if (crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)passphrase.ptr, passphrase.len, whole, sizeof whole,
                                              (uint64_t)1 << work, 8, 1, out, 32) == 0)
        return AC_OK;
    return ac_fail_nomem(err, (unsigned long long)1024 << work);
}

/* The same through the reader's cache. */
static ac_status scrypt_cached(uint8_t out[32], const ac_age_from *from, const uint8_t salt[16], unsigned work, ac_err *err)
{
    ac_age_cache *c = from->cache;
    ac_view pass = { NULL, 0 };
    for (unsigned i = 0; c && i < c->n; i++) {
        if (c->item[i].work != work || memcmp(c->item[i].salt, salt, 16) != 0) continue;
        memcpy(out, c->item[i].key, 32);
        return AC_OK;
    }
    ac_status st = from->passphrase(from->ctx, &pass, err);
    if (!st) st = scrypt_key(out, pass, salt, work, err);
    if (st || !c) return st;
    const unsigned at = c->next++ % (unsigned)AC_COUNTOF(c->item);
    if (c->n < AC_COUNTOF(c->item)) c->n++;
    memcpy(c->item[at].salt, salt, 16);
    memcpy(c->item[at].key, out, 32);
    c->item[at].work = work;
    return AC_OK;
}

static bool unwrap(uint8_t file_key[FILE_KEY], const uint8_t key[32], const uint8_t body[FILE_KEY + TAG])
{
    unsigned long long n;
    return crypto_aead_chacha20poly1305_ietf_decrypt(file_key, &n, NULL, body, FILE_KEY + TAG, NULL, 0, zero_nonce, key) == 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void put_body(ac_str *out, const uint8_t file_key[FILE_KEY], const uint8_t key[32])
{
    uint8_t body[FILE_KEY + TAG];
    char text[B64_32];
    crypto_aead_chacha20poly1305_ietf_encrypt(body, NULL, file_key, FILE_KEY, NULL, 0, NULL, zero_nonce, key);
    b64(text, sizeof text, body, sizeof body);
    ac_str_appendf(out, "%s\n", text);
}

static ac_status put_x25519(ac_str *out, const uint8_t file_key[FILE_KEY], const ac_age_recipient *to, ac_err *err)
{
    uint8_t secret[32], share[32], key[32];
    char text[B64_32];
    randombytes_buf(secret, sizeof secret);
    ac_status st = AC_OK;
    if (crypto_scalarmult_base(share, secret) != 0 || !x25519_key(key, secret, to->key, share, to->key))
        st = ac_fail(err, AC_EARG, "the recipient's key is of low order and protects nothing; check it");
    if (!st) {
        b64(text, sizeof text, share, sizeof share);
        ac_str_appendf(out, "-> X25519 %s\n", text);
        put_body(out, file_key, key);
    }
    ac_wipe(secret, sizeof secret);
    ac_wipe(key, sizeof key);
    return st;
}

static ac_status put_scrypt(ac_str *out, const uint8_t file_key[FILE_KEY], ac_view passphrase, unsigned work, ac_err *err)
{
    uint8_t salt[16], key[32];
    char text[B64_32];
    randombytes_buf(salt, sizeof salt);
    const ac_status st = scrypt_key(key, passphrase, salt, work, err);
    if (st) return st;
    b64(text, sizeof text, salt, sizeof salt);
    ac_str_appendf(out, "-> scrypt %s %u\n", text, work);
    put_body(out, file_key, key);
    ac_wipe(key, sizeof key);
    return AC_OK;
}

ac_status ac_age_header_write(ac_str *out, const uint8_t file_key[FILE_KEY], const ac_age_to *to, ac_err *err)
{
    const unsigned work = to->work ? to->work : AC_AGE_WORK_DEFAULT;
    uint8_t mac[32];
    char text[B64_32];
    ac_status st = AC_OK;
    if (!to->n == !to->passphrase.len)
        return ac_fail(err, AC_EARG, "an age file is for recipients or for one passphrase; give one of the two");
    if (work > AC_AGE_WORK_MAX) return ac_fail(err, AC_EARG, "scrypt work factor %u: at most %d", work, AC_AGE_WORK_MAX);
    ac_str_append_c(out, AC_AGE_MAGIC);
    for (size_t i = 0; i < to->n && !st; i++) st = put_x25519(out, file_key, &to->recipient[i], err);
    if (!st && !to->n) st = put_scrypt(out, file_key, to->passphrase, work, err);
    ac_str_append_c(out, "---");
    if (!st && !ac_str_ok(out)) st = ac_fail_nomem(err, out->len);
    if (st) return st;
    mac_of(mac, file_key, ac_str_c(out), out->len);
    b64(text, sizeof text, mac, sizeof mac);
    ac_str_appendf(out, " %s\n", text);
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

typedef struct {
    ac_view text;
    size_t at, line;
    const char *name;
} cursor;

typedef struct {
    size_t n_args;
    ac_view arg[3];
    uint8_t body[FILE_KEY + TAG];
    size_t body_len;             /* of the whole body */
} stanza;

static ac_status bad(const cursor *c, const char *what, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s:%zu: %s; this is no whole age file", c->name, c->line, what);
}

static ac_status next_line(cursor *c, ac_view *out, ac_err *err)
{
    const char *p = c->text.ptr + c->at;
    const size_t left = c->text.len - c->at;
    const char *lf = left ? memchr(p, '\n', left) : NULL;
    c->line++;
    if (!lf) return bad(c, "the header ends in the middle", err);
    *out = (ac_view){ p, (size_t)(lf - p) };
    c->at += out->len + 1;
    return AC_OK;
}

static ac_status read_args(cursor *c, stanza *s, ac_view line, ac_err *err)
{
    size_t from = 3;
    if (!ac_view_starts(line, AC_VIEW("-> "))) return bad(c, "expected a stanza (\"-> \") or the MAC (\"--- \")", err);
    for (size_t i = from; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < 0x20 || (unsigned char)line.ptr[i] > 0x7e)
            return bad(c, "a stanza's arguments hold a byte that is no printable ASCII", err);
    while (from <= line.len) {
        size_t to = ac_view_find(line, AC_VIEW(" "), from);
        if (to == SIZE_MAX) to = line.len;
        if (to == from) return bad(c, "a stanza has an empty argument", err);
        if (s->n_args < AC_COUNTOF(s->arg)) s->arg[s->n_args] = ac_view_slice(line, from, to);
        s->n_args++;
        from = to + 1;
    }
    return AC_OK;
}

static ac_status read_body(cursor *c, stanza *s, ac_err *err)
{
    for (;;) {
        ac_view line;
        uint8_t bytes[LINE / 4 * 3];
        size_t n = 0;
        const ac_status st = next_line(c, &line, err);
        if (st) return st;
        if (line.len > LINE) return bad(c, "a stanza's line is longer than 64 columns", err);
        if (!unb64(bytes, sizeof bytes, &n, line)) return bad(c, "a stanza's body is no strict base64", err);
        for (size_t i = 0; i < n; i++, s->body_len++)
            if (s->body_len < sizeof s->body) s->body[s->body_len] = bytes[i];
        if (line.len < LINE) return AC_OK;
    }
}

/* The next stanza, or the MAC: then *mac_at is where "---" ends and the header is over. */
static ac_status next_stanza(cursor *c, stanza *s, size_t *mac_at, uint8_t mac[32], ac_err *err)
{
    ac_view line;
    size_t n = 0;
    *s = (stanza){ 0 };
    *mac_at = 0;
    const size_t start = c->at;
    ac_status st = next_line(c, &line, err);
    if (st) return st;
    if (ac_view_starts(line, AC_VIEW("---"))) {
        if (!ac_view_starts(line, AC_VIEW("--- ")) || line.len != 4 + 43
            || !unb64(mac, 32, &n, ac_view_slice(line, 4, line.len)) || n != 32)
            return bad(c, "the header's MAC is no strict base64 of 32 bytes", err);
        *mac_at = start + 3;
        return AC_OK;
    }
    st = read_args(c, s, line, err);
    return st ? st : read_body(c, s, err);
}

typedef struct {
    size_t n, n_x25519, n_scrypt;
    size_t mac_at;
    uint8_t mac[32];
} survey;

static ac_status begin(cursor *c, ac_view text, const char *name, ac_err *err)
{
    *c = (cursor){ .text = text, .name = name };
    if (!ac_view_starts(text, AC_VIEW(AC_AGE_MAGIC)))
        return ac_fail(err, AC_EFORMAT, "%s: does not begin with \"age-encryption.org/v1\"; expected an age file", name);
    c->at = sizeof AC_AGE_MAGIC - 1;
    c->line = 1;
    return AC_OK;
}

static ac_status survey_header(survey *v, cursor *c, ac_err *err)
{
    *v = (survey){ 0 };
    while (!v->mac_at) {
        stanza s;
        const ac_status st = next_stanza(c, &s, &v->mac_at, v->mac, err);
        if (st) return st;
        if (v->mac_at) break;
        v->n++;
        v->n_x25519 += ac_view_eq_str(s.arg[0], "X25519");
        v->n_scrypt += ac_view_eq_str(s.arg[0], "scrypt");
    }
    if (!v->n) return bad(c, "the header has no stanza", err);
    if (v->n_scrypt && v->n > 1) return bad(c, "a passphrase stanza must stand alone", err);
    return AC_OK;
}

static ac_status try_x25519(uint8_t file_key[FILE_KEY], bool *found, const cursor *c, const stanza *s,
                            const ac_age_from *from, ac_err *err)
{
    uint8_t share[32], key[32];
    size_t n = 0;
    if (s->n_args != 2 || !unb64(share, sizeof share, &n, s->arg[1]) || n != 32 || s->body_len != FILE_KEY + TAG)
        return bad(c, "an X25519 stanza is malformed", err);
    for (size_t i = 0; i < from->n && !*found; i++) {
        const ac_age_identity *me = &from->identity[i];
        if (!x25519_key(key, me->secret, share, share, me->key)) return bad(c, "an X25519 share is of low order", err);
        *found = unwrap(file_key, key, s->body);
    }
    ac_wipe(key, sizeof key);
    return AC_OK;
}

static ac_status try_scrypt(uint8_t file_key[FILE_KEY], bool *found, const cursor *c, const stanza *s,
                            const ac_age_from *from, ac_err *err)
{
    uint8_t salt[16], key[32];
    size_t n = 0;
    int64_t work = 0;
    if (s->n_args != 3 || !unb64(salt, sizeof salt, &n, s->arg[1]) || n != 16 || s->body_len != FILE_KEY + TAG
        || s->arg[2].ptr[0] < '1' || s->arg[2].ptr[0] > '9' || !ac_parse_i64(s->arg[2], &work))
        return bad(c, "a passphrase stanza is malformed", err);
    if (work > AC_AGE_WORK_MAX)
        return ac_fail(err, AC_EFORMAT, "%s: wants 2^%lld rounds of scrypt; at most 2^%d (1 GiB of memory) are done here",
                       c->name, (long long)work, AC_AGE_WORK_MAX);
    if (!from->passphrase) return AC_OK;
    const ac_status st = scrypt_cached(key, from, salt, (unsigned)work, err);
    if (!st) *found = unwrap(file_key, key, s->body);
    ac_wipe(key, sizeof key);
    return st;
}

static ac_status no_key(const survey *v, const ac_age_from *from, const char *name, ac_err *err)
{
    if (v->n_scrypt && from->passphrase)
        return ac_fail(err, AC_EFORMAT, "%s: the passphrase does not open it; check it", name);
    if (v->n_scrypt) return ac_fail(err, AC_ENOENT, "%s: is sealed with a passphrase, and none was given", name);
    if (!from->n)
        return ac_fail(err, AC_ENOENT, "%s: is sealed for recipients, and there is no identity here; set ACCORD_IDENTITY to "
                       "your identity file", name);
    return ac_fail(err, AC_EFORMAT, "%s: none of %zu identit%s opens it; it was sealed for others", name, from->n,
                   from->n == 1 ? "y" : "ies");
}

ac_status ac_age_header_open(uint8_t file_key[FILE_KEY], size_t *payload, ac_view text, const ac_age_from *from,
                             const char *name, ac_err *err)
{
    cursor c;
    survey v = { 0 };
    uint8_t mac[32];
    bool found = false;
    ac_status st = begin(&c, text, name, err);
    if (!st) st = survey_header(&v, &c, err);
    if (!st) *payload = c.at;
    if (!st) st = begin(&c, text, name, err);
    for (size_t i = 0; !st && i < v.n && !found; i++) {
        stanza s;
        size_t end;
        st = next_stanza(&c, &s, &end, mac, err);
        if (!st && ac_view_eq_str(s.arg[0], "X25519")) st = try_x25519(file_key, &found, &c, &s, from, err);
        if (!st && ac_view_eq_str(s.arg[0], "scrypt")) st = try_scrypt(file_key, &found, &c, &s, from, err);
    }
    if (st) return st;
    if (!found) return no_key(&v, from, name, err);
    mac_of(mac, file_key, text.ptr, v.mac_at);
    if (sodium_memcmp(mac, v.mac, sizeof mac) != 0)
        return ac_fail(err, AC_EFORMAT, "%s: the header does not match its MAC: it was changed", name);
    return AC_OK;
}

ac_status ac_age_header_check(const void *data, size_t len, size_t *payload, const char *name, ac_err *err)
{
    cursor c;
    survey v;
    ac_status st = begin(&c, (ac_view){ data, len }, name, err);
    if (!st) st = survey_header(&v, &c, err);
    if (!st) *payload = c.at;
    return st;
}

/* ---- armor ------------------------------------------------------------------------------------------------------ */

static bool armor_line(ac_view text, size_t *at, ac_view *line)
{
    const char *p = text.ptr + *at, *lf = *at < text.len ? memchr(p, '\n', text.len - *at) : NULL;
    if (*at >= text.len) return false;
    size_t n = lf ? (size_t)(lf - p) : text.len - *at;
    *at += n + (lf != NULL);
    if (n && p[n - 1] == '\r') n--;
    *line = (ac_view){ p, n };
    return true;
}

ac_status ac_age_dearmor(uint8_t **out, size_t *len, ac_view text, const char *name, ac_err *err)
{
    uint8_t *p = ac_malloc(text.len);
    size_t at = 0, n = 0;
    ac_view line = { NULL, 0 };
    bool last = false, ended = false;
    if (!p) return ac_fail_nomem(err, text.len);
    bool ok = armor_line(text, &at, &line) && ac_view_eq_str(line, AC_AGE_ARMOR);
    while (ok && !ended && (ok = armor_line(text, &at, &line))) {
        size_t got = 0;
        ended = ac_view_eq_str(line, "-----END AGE ENCRYPTED FILE-----");
        if (ended) break;
        ok = !last && line.len > 0 && line.len <= LINE
             && ac_seal_unb64(p + n, text.len - n, &got, line, true);
        last = got < LINE / 4 * 3;
        n += got;
    }
    if (ok && ended && ac_view_trim(ac_view_slice(text, at, text.len)).len == 0) {
        *out = p;
        *len = n;
        return AC_OK;
    }
    ac_free(p);
    return ac_fail(err, AC_EFORMAT, "%s: the armor of this age file is damaged", name);
}
