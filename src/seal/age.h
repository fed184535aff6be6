/* seal/age.h - files in the age v1 format (age-encryption.org/v1), which the age tool opens and writes.
 *
 * E1  A file key of 16 random bytes is wrapped for each X25519 recipient, or under one passphrase (scrypt, then
 *     alone). The header's MAC is checked before anything else of the file is believed.
 * E2  The payload goes in chunks of 64 KiB, each authenticated with its number and "this is the last": a changed,
 *     moved, repeated or missing chunk, also a cut at a chunk's edge, is refused. No byte of a chunk is given out
 *     before that chunk was verified, but earlier ones were: a failure makes all of it void.
 * E3  Keys lie in secret memory (base/secret.h) and are wiped.
 * Not here: where keys come from (cli), other recipient types (their stanzas are skipped).
 * Threads: none of its own; a writer belongs to one. */
#ifndef AC_SEAL_AGE_H
#define AC_SEAL_AGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define AC_AGE_MAGIC "age-encryption.org/v1\n"
#define AC_AGE_ARMOR "-----BEGIN AGE ENCRYPTED FILE-----"
#define AC_AGE_RECIPIENT_TEXT 64      /* "age1..." and a NUL */
#define AC_AGE_IDENTITY_TEXT 80       /* "AGE-SECRET-KEY-1..." and a NUL */
#define AC_AGE_WORK_DEFAULT 18        /* 2^18 rounds of scrypt: 256 MiB, about a second */
#define AC_AGE_WORK_MAX 20            /* 1 GiB; more is refused on reading */

typedef struct { uint8_t key[32]; } ac_age_recipient;
typedef struct { uint8_t secret[32], key[32]; } ac_age_identity;
typedef struct {
    ac_age_identity *item;            /* secret memory */
    size_t n;
} ac_age_identities;

/* The first bytes of a file say whether it is an age file, binary or armored. */
bool ac_age_is(const void *data, size_t len);

/* where: what the text stands in, for messages. */
ac_status ac_age_recipient_parse(ac_age_recipient *out, ac_view text, const char *where, ac_err *err);
void      ac_age_recipient_text(char out[AC_AGE_RECIPIENT_TEXT], const ac_age_recipient *r);
/* One recipient a line; empty lines and lines with # are left out. The list lives in the arena. */
ac_status ac_age_recipients_read(ac_age_recipient **out, size_t *n, ac_arena *a, const char *path, ac_err *err);

void      ac_age_identity_make(ac_age_identity *out);
ac_status ac_age_identity_parse(ac_age_identity *out, ac_view text, const char *where, ac_err *err);
void      ac_age_identity_text(char out[AC_AGE_IDENTITY_TEXT], const ac_age_identity *i);
/* An identity file as age-keygen writes it; AC_EREFUSED when others may read it. */
ac_status ac_age_identities_read(ac_age_identities *out, const char *path, ac_err *err);
void      ac_age_identities_release(ac_age_identities *l);

/* ---- writing ---- */
typedef struct {
    const ac_age_recipient *recipient;
    size_t n;
    ac_view passphrase;               /* when it is not empty, n must be 0 */
    unsigned work;                    /* 0: AC_AGE_WORK_DEFAULT */
} ac_age_to;

typedef ac_status ac_age_sink(void *ctx, const void *data, size_t len, ac_err *err);
typedef struct ac_age_writer ac_age_writer;
/* Gives the header to the sink at once, then ciphertext as it comes. AC_EARG: nobody to write for. */
ac_status ac_age_writer_open(ac_age_writer **out, const ac_age_to *to, ac_age_sink *sink, void *ctx, ac_err *err);
ac_status ac_age_writer_write(ac_age_writer *w, const void *data, size_t len, ac_err *err);
/* Seals the last chunk; closes and clears *w in any case. */
ac_status ac_age_writer_finish(ac_age_writer **w, ac_err *err);
void      ac_age_writer_abort(ac_age_writer **w);
/* The payload's key, so that who has just written a file can check what lies on the disk without being a recipient. */
void      ac_age_writer_key(const ac_age_writer *w, uint8_t key[32]);

/* ---- reading ---- */
typedef struct {                      /* what scrypt gave before, so that a project sealed with one passphrase */
    unsigned n, next;                 /* does not wait a second for each look at each file; secret memory */
    struct { uint8_t salt[16], key[32]; unsigned work; } item[16];
} ac_age_cache;
typedef struct {
    const ac_age_identity *identity;
    size_t n;
    /* Called when the file wants a passphrase: sets *out, which must stay valid. NULL: none is to be had. */
    ac_status (*passphrase)(void *ctx, ac_view *out, ac_err *err);
    void *ctx;
    ac_age_cache *cache;              /* of this one passphrase; may be NULL */
} ac_age_from;

typedef struct {
    uint8_t key[32];                  /* of the payload */
    const uint8_t *chunk;             /* borrowed from the file's bytes, or from armor */
    size_t len;                       /* of all chunks */
    size_t plain_bytes;               /* what reading will give */
    uint8_t *armor;                   /* decoded armor; freed by wipe */
} ac_age_body;

/* Opens the header. AC_EFORMAT: no age file, changed, or none of the keys opens it; AC_ENOENT: no key was given. */
ac_status ac_age_open(ac_age_body *out, const void *data, size_t len, const ac_age_from *from, const char *name,
                      ac_err *err);
ac_status ac_age_open_with_key(ac_age_body *out, const void *data, size_t len, const uint8_t key[32], const char *name,
                               ac_err *err);
ac_status ac_age_read(const ac_age_body *b, ac_age_sink *sink, void *ctx, const char *name, ac_err *err);
void      ac_age_wipe(ac_age_body *b);

/* Only the syntax of a header: where its payload begins. For tests and tools. */
ac_status ac_age_header_check(const void *data, size_t len, size_t *payload, const char *name, ac_err *err);

#endif
