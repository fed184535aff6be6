/* Recipients and identities as text and in files. */
#include <sodium.h>
#include <string.h>

#include "base/file.h"
#include "base/secret.h"
#include "seal/age_int.h"

#define KEY_FILE_MAX ((size_t)1 << 20)
#define HRP_PUBLIC "age"
#define HRP_SECRET "age-secret-key-"

ac_status ac_age_recipient_parse(ac_age_recipient *out, ac_view text, const char *where, ac_err *err)
{
    if (ac_bech32_decode32(out->key, HRP_PUBLIC, text, false)) return AC_OK;
    if (ac_view_starts(text, AC_VIEW("AGE-SECRET-KEY-")))
        return ac_fail(err, AC_EARG, "%s: is a secret key; a recipient is the public one (age1...), and the secret one does "
                       "not belong here", where);
    return ac_fail(err, AC_EARG, "%s: \"" AC_VIEW_FMT "\" is no recipient; expected age1 and 58 characters, without a slip",
                   where, AC_VIEW_ARG(ac_view_slice(text, 0, 70)));
}

void ac_age_recipient_text(char out[AC_AGE_RECIPIENT_TEXT], const ac_age_recipient *r)
{
    ac_bech32_encode32(out, HRP_PUBLIC, r->key, false);
}

void ac_age_identity_make(ac_age_identity *out)
{
    randombytes_buf(out->secret, sizeof out->secret);
    (void)crypto_scalarmult_base(out->key, out->secret);
}

ac_status ac_age_identity_parse(ac_age_identity *out, ac_view text, const char *where, ac_err *err)
{
    if (!ac_bech32_decode32(out->secret, HRP_SECRET, text, true))
        return ac_fail(err, AC_EFORMAT, "%s: is no identity; expected AGE-SECRET-KEY-1 and 58 characters", where);
    (void)crypto_scalarmult_base(out->key, out->secret);
    return AC_OK;
}

void ac_age_identity_text(char out[AC_AGE_IDENTITY_TEXT], const ac_age_identity *i)
{
    ac_bech32_encode32(out, HRP_SECRET, i->secret, true);
}

/* The next line that says something; false at the end. */
static bool next(ac_view text, size_t *at, size_t *number, ac_view *line)
{
    while (*at < text.len) {
        const char *p = text.ptr + *at, *lf = memchr(p, '\n', text.len - *at);
        const size_t n = lf ? (size_t)(lf - p) : text.len - *at;
        *at += n + 1;
        ++*number;
        *line = ac_view_trim((ac_view){ p, n });
        if (line->len && line->ptr[0] != '#') return true;
    }
    return false;
}

ac_status ac_age_recipients_read(ac_age_recipient **out, size_t *n_out, ac_arena *a, const char *path, ac_err *err)
{
    ac_view text, line;
    size_t at = 0, number = 0, n = 0;
    ac_status st = ac_file_read_arena(&text, a, path, KEY_FILE_MAX, err);
    if (st) return st;
    ac_age_recipient *list = ac_arena_alloc_array(a, text.len / 59 + 1, sizeof *list);
    char *where = ac_arena_alloc(a, strlen(path) + 32);
    if (!list || !where) return ac_fail_nomem(err, text.len);
    while (!st && next(text, &at, &number, &line)) {
        if (line.len < 59) st = ac_fail(err, AC_EFORMAT, "%s:%zu: is no recipient; expected age1...", path, number);
        else if ((st = ac_age_recipient_parse(&list[n], line, path, err))) st = AC_EFORMAT;
        else n++;
    }
    if (!st && !n) st = ac_fail(err, AC_EFORMAT, "%s: names no recipient; expected lines age1...", path);
    if (st) return st;
    *out = list;
    *n_out = n;
    return AC_OK;
}

void ac_age_identities_release(ac_age_identities *l)
{
    ac_secret_free(l->item);
    *l = (ac_age_identities){ NULL, 0 };
}

ac_status ac_age_identities_read(ac_age_identities *out, const char *path, ac_err *err)
{
    ac_secret text = { NULL, 0 };
    ac_age_identities made = { NULL, 0 };
    ac_view line;
    size_t at = 0, number = 0;
    if (sodium_init() < 0) return ac_fail(err, AC_ESTATE, "libsodium cannot start");
    ac_status st = ac_secret_read_file(&text, path, KEY_FILE_MAX, true, err);
    if (st) return st;
    const ac_view whole = { text.ptr, text.len };
    made.item = ac_secret_alloc((text.len / 60 + 1) * sizeof *made.item);
    if (!made.item) st = ac_fail_nomem(err, text.len);
    while (!st && next(whole, &at, &number, &line)) {
        if (line.len < 60 || ac_age_identity_parse(&made.item[made.n], line, path, NULL))
            st = ac_fail(err, AC_EFORMAT, "%s:%zu: is no identity; expected AGE-SECRET-KEY-1...", path, number);
        else made.n++;
    }
    if (!st && !made.n) st = ac_fail(err, AC_EFORMAT, "%s: holds no identity", path);
    ac_secret_release(&text);
    if (st) ac_age_identities_release(&made);
    else *out = made;
    return st;
}
