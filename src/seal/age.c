/* The payload: 64 KiB chunks, each sealed with its number and whether it is the last. */
#include "seal/age.h"

#include <sodium.h>
#include <string.h>

#include "base/secret.h"
#include "base/size.h"
#include "seal/age_int.h"

typedef struct { uint8_t byte[12]; } chunk_nonce;

static chunk_nonce nonce_of(uint64_t number, bool last)
{
    chunk_nonce n = { { 0 } };
    for (unsigned i = 0; i < 8; i++) n.byte[10 - i] = (uint8_t)(number >> (8 * i));
    n.byte[11] = last;
    return n;
}

bool ac_age_is(const void *data, size_t len)
{
    const ac_view v = { data, len };
    return ac_view_starts(v, AC_VIEW(AC_AGE_MAGIC)) || ac_view_starts(v, AC_VIEW(AC_AGE_ARMOR));
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t key[32], plain[CHUNK];
} writer_secret;

struct ac_age_writer {
    writer_secret *s;
    uint8_t *cipher;
    size_t used;
    uint64_t number;
    ac_age_sink *sink;
    void *ctx;
};

void ac_age_writer_abort(ac_age_writer **wp)
{
    ac_age_writer *w = *wp;
    if (!w) return;
    ac_secret_free(w->s);
    ac_free(w->cipher);
    ac_free(w);
    *wp = NULL;
}

static ac_status write_head(ac_age_writer *w, const ac_age_to *to, ac_err *err)
{
    ac_str head = { 0 };
    uint8_t file_key[FILE_KEY], nonce[NONCE];
    randombytes_buf(file_key, sizeof file_key);
    randombytes_buf(nonce, sizeof nonce);
    ac_seal_hkdf(w->s->key, file_key, sizeof file_key, nonce, sizeof nonce, "payload");
    ac_status st = ac_age_header_write(&head, file_key, to, err);
    ac_wipe(file_key, sizeof file_key);
    if (!st) st = w->sink(w->ctx, head.ptr, head.len, err);
    if (!st) st = w->sink(w->ctx, nonce, sizeof nonce, err);
    ac_str_release(&head);
    return st;
}

ac_status ac_age_writer_open(ac_age_writer **out, const ac_age_to *to, ac_age_sink *sink, void *ctx, ac_err *err)
{
    if (sodium_init() < 0) return ac_fail(err, AC_ESTATE, "libsodium cannot start");
    ac_age_writer *w = ac_calloc(1, sizeof *w);
    if (!w) return ac_fail_nomem(err, sizeof *w);
    w->sink = sink;
    w->ctx = ctx;
    w->s = ac_secret_alloc(sizeof *w->s);
    w->cipher = ac_malloc(CHUNK + TAG);
    ac_status st = w->s && w->cipher ? AC_OK : ac_fail_nomem(err, 2 * CHUNK);
    if (!st) st = write_head(w, to, err);
    if (st) ac_age_writer_abort(&w);
    else *out = w;
    return st;
}

void ac_age_writer_key(const ac_age_writer *w, uint8_t key[32])
{
    memcpy(key, w->s->key, 32);
}

static ac_status seal_chunk(ac_age_writer *w, bool last, ac_err *err)
{
    const chunk_nonce n = nonce_of(w->number++, last);
    unsigned long long len = 0;
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(w->cipher, &len, w->s->plain, w->used, NULL, 0, NULL, n.byte, w->s->key);
    w->used = 0;
    return w->sink(w->ctx, w->cipher, (size_t)len, err);
}

ac_status ac_age_writer_write(ac_age_writer *w, const void *data, size_t len, ac_err *err)
{
    const uint8_t *p = data;
    while (len) {
        if (w->used == CHUNK) {                       /* more follows, so it is not the last */
            const ac_status st = seal_chunk(w, false, err);
            if (st) return st;
        }
        const size_t n = len < CHUNK - w->used ? len : CHUNK - w->used;
        memcpy(w->s->plain + w->used, p, n);
        w->used += n;
        p += n;
        len -= n;
    }
    return AC_OK;
}

ac_status ac_age_writer_finish(ac_age_writer **wp, ac_err *err)
{
    const ac_status st = seal_chunk(*wp, true, err);
    ac_age_writer_abort(wp);
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

void ac_age_wipe(ac_age_body *b)
{
    ac_wipe(b->key, sizeof b->key);
    ac_free(b->armor);
    *b = (ac_age_body){ .chunk = NULL };
}

/* How many bytes the chunks give; false when no sequence of chunks has this length. */
static bool plain_size(size_t *out, size_t len)
{
    const size_t whole = len / (CHUNK + TAG), rest = len % (CHUNK + TAG);
    if (rest ? rest < TAG || (rest == TAG && whole) : !whole) return false;
    *out = whole * CHUNK + (rest ? rest - TAG : 0);
    return true;
}

/* The nonce and the chunks, which begin at payload; the nonce's 16 bytes go to *nonce. */
static ac_status take_payload(ac_age_body *b, const uint8_t **nonce, ac_view text, size_t payload, const char *name,
                              ac_err *err)
{
    const size_t left = text.len - payload;
    if (left < NONCE || !plain_size(&b->plain_bytes, left - NONCE))
        return ac_fail(err, AC_EFORMAT, "%s: is cut off: %zu bytes follow the header, which no whole payload has", name, left);
    *nonce = (const uint8_t *)text.ptr + payload;
    b->chunk = *nonce + NONCE;
    b->len = left - NONCE;
    return AC_OK;
}

ac_status ac_age_open_with_key(ac_age_body *out, const void *data, size_t len, const uint8_t key[32], const char *name,
                               ac_err *err)
{
    ac_age_body b = { .chunk = NULL };
    const uint8_t *nonce;
    size_t payload = 0;
    ac_status st = ac_age_header_check(data, len, &payload, name, err);
    if (!st) st = take_payload(&b, &nonce, (ac_view){ data, len }, payload, name, err);
    memcpy(b.key, key, sizeof b.key);
    if (st) ac_age_wipe(&b);
    else *out = b;
    return st;
}

ac_status ac_age_open(ac_age_body *out, const void *data, size_t len, const ac_age_from *from, const char *name, ac_err *err)
{
    ac_age_body b = { .chunk = NULL };
    ac_view text = { data, len };
    uint8_t file_key[FILE_KEY];
    size_t payload = 0;
    ac_status st = sodium_init() < 0 ? ac_fail(err, AC_ESTATE, "libsodium cannot start") : AC_OK;
    if (!st && ac_view_starts(text, AC_VIEW(AC_AGE_ARMOR))) {
        st = ac_age_dearmor(&b.armor, &text.len, text, name, err);
        text.ptr = (const char *)b.armor;
    }
    if (!st) st = ac_age_header_open(file_key, &payload, text, from, name, err);
    const uint8_t *nonce;
    if (!st) st = take_payload(&b, &nonce, text, payload, name, err);
    if (!st) ac_seal_hkdf(b.key, file_key, sizeof file_key, nonce, NONCE, "payload");
    ac_wipe(file_key, sizeof file_key);
    if (st) ac_age_wipe(&b);
    else *out = b;
    return st;
}

ac_status ac_age_read(const ac_age_body *b, ac_age_sink *sink, void *ctx, const char *name, ac_err *err)
{
    uint8_t *plain = ac_secret_alloc(CHUNK);
    if (!plain) return ac_fail_nomem(err, CHUNK);
    ac_status st = AC_OK;
    const uint8_t *p = b->chunk;
    size_t left = b->len;
    for (uint64_t number = 0; !st && left; number++) {
        const size_t n = left < CHUNK + TAG ? left : CHUNK + TAG;
        const chunk_nonce nonce = nonce_of(number, n == left);
        unsigned long long got = 0;
        if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, &got, NULL, p, n, NULL, 0, nonce.byte, b->key) != 0)
            st = ac_fail(err, AC_EFORMAT, "%s: chunk %llu of the sealed bytes was changed, moved or cut off; nothing of this "
                         "file is believed", name, (unsigned long long)number + 1);
        else if (got) st = sink(ctx, plain, (size_t)got, err);
        p += n;
        left -= n;
    }
    ac_secret_free(plain);
    return st;
}
