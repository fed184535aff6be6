#include "cli/keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"

static struct {
    bool loaded;
    ac_age_identities identities;
    ac_secret passphrase;
    ac_age_cache *cache;
    ac_age_from from;
    ac_sha256 *audit;              /* a key has the size of a hash */
} k;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

static const char *setting(const char *name)
{
    const char *v = getenv(name);
    return v && v[0] ? v : NULL;
}

ac_status ac_keys_path(char **out, ac_arena *a, const char *name, ac_err *err)
{
    const char *own = setting("ACCORD_KEY"), *xdg = setting("XDG_CONFIG_HOME"), *home = setting("HOME");
    char *p = own ? ac_arena_printf(a, "%s/%s", own, name)
        : xdg && xdg[0] == '/' ? ac_arena_printf(a, "%s/accord/%s", xdg, name)
        : home ? ac_arena_printf(a, "%s/.config/accord/%s", home, name) : NULL;
    if (!p && !own && !xdg && !home)
        return ac_fail(err, AC_ENOENT, "there is no folder for keys: set ACCORD_KEY, or HOME");
    if (!p) return ac_fail_nomem(err, 256);
    *out = p;
    return AC_OK;
}

/* ---- passphrases ------------------------------------------------------------------------------------------------- */

static ac_status ask_twice(ac_secret *out, ac_err *err)
{
    ac_secret first = { NULL, 0 }, again = { NULL, 0 };
    ac_status st = ac_secret_ask(&first, "Passphrase: ", AC_PASSPHRASE_MAX, err);
    if (!st) st = ac_secret_ask(&again, "The same again: ", AC_PASSPHRASE_MAX, err);
    if (!st && (first.len != again.len || memcmp(first.ptr, again.ptr, first.len) != 0))
        st = ac_fail(err, AC_EARG, "the two passphrases differ; nothing was sealed");
    ac_secret_release(&again);
    if (st) ac_secret_release(&first);
    else *out = first;
    return st;
}

static ac_status get_passphrase(ac_secret *out, bool twice, ac_err *err)
{
    const char *file = setting("ACCORD_PASSPHRASE_FILE"), *fd = setting("ACCORD_PASSPHRASE_FD");
    int64_t n = -1;
    if (file) return ac_secret_read_line(out, file, AC_PASSPHRASE_MAX, true, err);
    if (fd && (!ac_parse_i64(ac_view_of(fd), &n) || n < 0 || n > 1000000))
        return ac_fail(err, AC_EARG, "ACCORD_PASSPHRASE_FD: expected the number of an open descriptor");
    if (fd) return ac_secret_read_line_fd(out, (int)n, AC_PASSPHRASE_MAX, err);
    return twice ? ask_twice(out, err) : ac_secret_ask(out, "Passphrase of the sealed data: ", AC_PASSPHRASE_MAX, err);
}

/* One passphrase serves a whole command, so it is asked for once. */
static ac_status kept_passphrase(bool twice, ac_view *out, ac_err *err)
{
    ac_status st = AC_OK;
    if (!k.passphrase.ptr) st = get_passphrase(&k.passphrase, twice, err);
    if (!st) *out = (ac_view){ k.passphrase.ptr, k.passphrase.len };
    return st;
}

static ac_status passphrase_wanted(void *ctx, ac_view *out, ac_err *err)
{
    (void)ctx;
    (void)pthread_mutex_lock(&guard);
    const ac_status st = kept_passphrase(false, out, err);
    (void)pthread_mutex_unlock(&guard);
    return st;
}

/* ---- identities -------------------------------------------------------------------------------------------------- */

static ac_status load(ac_err *err)
{
    ac_arena a = { 0 };
    const char *named = setting("ACCORD_IDENTITY");
    char *own = NULL;
    ac_status st = AC_OK;
    if (named) st = ac_age_identities_read(&k.identities, named, err);
    else if (ac_keys_path(&own, &a, AC_KEYS_IDENTITY, NULL) == AC_OK && ac_path_exists(own))
        st = ac_age_identities_read(&k.identities, own, err);
    if (!st && !(k.cache = ac_secret_alloc(sizeof *k.cache))) st = ac_fail_nomem(err, sizeof *k.cache);
    if (!st) {
        k.from = (ac_age_from){ k.identities.item, k.identities.n, passphrase_wanted, NULL, k.cache };
        k.loaded = true;
    } else {
        ac_age_identities_release(&k.identities);
    }
    ac_arena_release(&a);
    return st;
}

ac_status ac_keys_from(const ac_age_from **out, ac_err *err)
{
    (void)pthread_mutex_lock(&guard);
    const ac_status st = k.loaded ? AC_OK : load(err);
    (void)pthread_mutex_unlock(&guard);
    if (!st) *out = &k.from;
    return st;
}

/* ---- the key of the audit log ------------------------------------------------------------------------------------ */

static ac_status load_audit(const char *path, ac_err *err)
{
    ac_secret line = { NULL, 0 };
    ac_status st = ac_secret_read_line(&line, path, 256, true, err);
    if (!st && !(k.audit = ac_secret_alloc(sizeof *k.audit))) st = ac_fail_nomem(err, sizeof *k.audit);
    if (!st && ac_sha256_parse(k.audit, ac_view_trim((ac_view){ line.ptr, line.len })) != 0) {
        st = ac_fail(err, AC_EFORMAT, "%s: is no key of an audit log (64 hex digits); accord key audit makes one", path);
        ac_secret_free(k.audit);
        k.audit = NULL;
    }
    ac_secret_release(&line);
    return st;
}

ac_status ac_keys_audit(ac_view *key, ac_err *err)
{
    const char *path = setting("ACCORD_AUDIT_KEY");
    if (!path) return AC_OK;
    (void)pthread_mutex_lock(&guard);
    const ac_status st = k.audit ? AC_OK : load_audit(path, err);
    (void)pthread_mutex_unlock(&guard);
    if (st) return ac_err_prefix(err, st, "ACCORD_AUDIT_KEY");
    *key = (ac_view){ (const char *)k.audit->byte, sizeof k.audit->byte };
    return AC_OK;
}

void ac_keys_release(void)
{
    ac_secret_free(k.audit);
    k.audit = NULL;

    ac_age_identities_release(&k.identities);
    ac_secret_release(&k.passphrase);
    ac_secret_free(k.cache);
    k.cache = NULL;
    k.loaded = false;
}

/* ---- reading sealed inputs ---------------------------------------------------------------------------------------- */

static ac_status append(void *ctx, const void *data, size_t len, ac_err *err)
{
    ac_secret *s = ctx;
    (void)err;
    memcpy(s->ptr + s->len, data, len);             /* plain_bytes was computed from the file's length */
    s->len += len;
    return AC_OK;
}

static ac_status open_sealed(ac_secret *plain, const void *data, size_t len, const char *path, ac_err *err)
{
    const ac_age_from *from = NULL;
    ac_age_body body = { .chunk = NULL };
    ac_secret s = { NULL, 0 };
    ac_status st = ac_keys_from(&from, err);
    if (!st) st = ac_age_open(&body, data, len, from, path, err);
    if (!st && !(s.ptr = ac_secret_alloc(body.plain_bytes + 1))) st = ac_fail_nomem(err, body.plain_bytes);
    if (!st) st = ac_age_read(&body, append, &s, path, err);
    ac_age_wipe(&body);
    if (st) ac_secret_release(&s);
    else *plain = s;
    return st;
}

void ac_keys_open_sealed(void)
{
    ac_file_set_unsealer(&(ac_unsealer){ ac_age_is, open_sealed });
}

/* ---- for whom ---------------------------------------------------------------------------------------------------- */

static ac_status add_self(ac_age_recipient *list, size_t *n, ac_err *err)
{
    const ac_age_from *from = NULL;
    const ac_status st = ac_keys_from(&from, err);
    if (st) return st;
    if (!from->n) return ac_fail(err, AC_ENOENT, "--self: there is no identity here; make one: accord key new");
    memcpy(list[(*n)++].key, from->identity[0].key, sizeof list->key);
    return AC_OK;
}

ac_status ac_keys_to(ac_age_to *out, ac_arena *a, const ac_seal_opts *o, ac_err *err)
{
    ac_age_recipient *filed = NULL, *list;
    size_t n_filed = 0, n = 0;
    ac_age_to to = { .work = (unsigned)o->work };
    ac_status st = AC_OK;
    const bool named = o->recipients.n || o->recipients_file || o->self;
    if (named && o->passphrase)
        return ac_fail(err, AC_EARG, "--passphrase stands alone in an age file: give it, or recipients, not both");
    if (!named && !o->passphrase)
        return ac_fail(err, AC_EARG, "for whom? Give --recipient age1..., --recipients-file FILE, --self or --passphrase");
    if (o->passphrase) {
        (void)pthread_mutex_lock(&guard);
        st = kept_passphrase(true, &to.passphrase, err);
        (void)pthread_mutex_unlock(&guard);
        if (!st) *out = to;
        return st;
    }
    if (o->recipients_file) st = ac_age_recipients_read(&filed, &n_filed, a, o->recipients_file, err);
    if (st) return st;
    if (!(list = ac_arena_alloc_array(a, o->recipients.n + n_filed + 1, sizeof *list))) return ac_fail_nomem(err, 64);
    for (size_t i = 0; i < o->recipients.n && !st; i++)
        st = ac_age_recipient_parse(&list[n++], ac_view_of(o->recipients.item[i]), "--recipient", err);
    if (n_filed) memcpy(list + n, filed, n_filed * sizeof *list);
    n += n_filed;
    if (!st && o->self) st = add_self(list, &n, err);
    to.recipient = list;
    to.n = n;
    if (!st) *out = to;
    return st;
}
