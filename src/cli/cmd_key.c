/* key new and key show: one age identity to open sealed data, one Ed25519 key to sign evidence. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/keys.h"
#include "formats/json.h"
#include "seal/sign.h"

typedef struct {
    ac_arena arena;
    char *dir, *identity, *signing;
} places;

static const ac_opt options[] = { AC_OPT_END };

static ac_status find(places *p, ac_err *err)
{
    ac_status st = ac_keys_path(&p->identity, &p->arena, AC_KEYS_IDENTITY, err);
    if (!st) st = ac_keys_path(&p->signing, &p->arena, AC_KEYS_SIGNING, err);
    if (st) return st;
    p->dir = ac_arena_strndup(&p->arena, p->identity, strlen(p->identity) - strlen("/" AC_KEYS_IDENTITY));
    return p->dir ? AC_OK : ac_fail_nomem(err, 64);
}

static ac_status show(ac_cli *cli, const places *p, const ac_age_recipient *me, const ac_sign_public *pub, ac_err *err)
{
    char recipient[AC_AGE_RECIPIENT_TEXT], pem[AC_SIGN_PUBLIC_TEXT], keyid[AC_SHA256_HEX];
    ac_str s = { 0 };
    ac_jw w;
    ac_age_recipient_text(recipient, me);
    ac_sign_public_text(pem, pub);
    ac_sign_keyid(keyid, pub);
    if (cli->json) {
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "recipient", recipient);
        ac_jw_cstr(&w, "signing_key", pem);
        ac_jw_cstr(&w, "signing_key_id", keyid);
        ac_jw_cstr(&w, "identity_file", p->identity);
        ac_jw_cstr(&w, "signing_file", p->signing);
        ac_jw_end_object(&w);
    } else {
        ac_str_appendf(&s, "recipient    %s\nsigning key  %s\n%s", recipient, keyid, pem);
    }
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

/* ---- new ----------------------------------------------------------------------------------------------------------- */

static ac_status write_identity(const places *p, ac_age_identity *id, ac_err *err)
{
    char secret[AC_AGE_IDENTITY_TEXT], recipient[AC_AGE_RECIPIENT_TEXT], utc[32], text[256];
    ac_utc_iso(utc, ac_utc_ns());
    ac_age_identity_make(id);
    ac_age_identity_text(secret, id);
    ac_age_recipient me;
    memcpy(me.key, id->key, sizeof me.key);
    ac_age_recipient_text(recipient, &me);
    /* As age-keygen writes it, so that age -d -i takes it. */
    const int n = snprintf(text, sizeof text, "# created: %s\n# public key: %s\n%s\n", utc, recipient, secret);
    const ac_status st = ac_file_write_new(p->identity, text, (size_t)n, false, err);
    ac_wipe(secret, sizeof secret);
    ac_wipe(text, sizeof text);
    return st;
}

static ac_status write_signing(const places *p, ac_sign_key *key, ac_err *err)
{
    char text[AC_SIGN_PUBLIC_TEXT];
    ac_status st = ac_sign_key_make(key, err);
    if (!st) st = ac_sign_key_text(text, key);
    if (!st) st = ac_file_write_new(p->signing, text, strlen(text), false, err);
    ac_wipe(text, sizeof text);
    return st;
}

static ac_status run_new(ac_cli *cli, ac_err *err)
{
    places p = { .dir = NULL };
    ac_age_identity id = { { 0 }, { 0 } };
    ac_sign_key key = { .seed = { 0 } };
    ac_age_recipient me;
    ac_status st = find(&p, err);
    const char *there = st ? NULL : ac_path_exists(p.identity) ? p.identity : ac_path_exists(p.signing) ? p.signing : NULL;
    if (there)
        st = ac_fail(err, AC_ECREATE, "%s: is there already; a key that is replaced opens nothing any more. Move it away, or "
                     "set ACCORD_KEY to another folder", there);
    if (!st) st = ac_mkdir_private(p.dir, err);
    if (!st) st = write_signing(&p, &key, err);
    if (!st && (st = write_identity(&p, &id, err))) (void)unlink(p.signing);     /* both or none */
    if (!st) {
        memcpy(me.key, id.key, sizeof me.key);
        st = show(cli, &p, &me, &key.pub, err);
    }
    if (!st) ac_cli_note(cli, "keep a copy of the key folder elsewhere: what is sealed for a lost key stays sealed");
    ac_wipe(&id, sizeof id);
    ac_sign_key_wipe(&key);
    ac_arena_release(&p.arena);
    return st;
}

/* ---- show ---------------------------------------------------------------------------------------------------------- */

static ac_status run_show(ac_cli *cli, ac_err *err)
{
    places p = { .dir = NULL };
    ac_age_identities ids = { NULL, 0 };
    ac_sign_key key = { .seed = { 0 } };
    ac_age_recipient me;
    ac_status st = find(&p, err);
    if (!st && !ac_path_exists(p.identity))
        st = ac_fail(err, AC_ENOENT, "%s: there is no key yet; make one: accord key new", p.identity);
    if (!st) st = ac_age_identities_read(&ids, p.identity, err);
    if (!st) st = ac_sign_key_read(&key, p.signing, err);
    if (!st) {
        memcpy(me.key, ids.item[0].key, sizeof me.key);
        st = show(cli, &p, &me, &key.pub, err);
    }
    ac_age_identities_release(&ids);
    ac_sign_key_wipe(&key);
    ac_arena_release(&p.arena);
    return st;
}

const ac_cmd ac_cmd_key_new = {
    .name = "key new",
    .group = "Keep and prove",
    .summary = "make an identity to open sealed data and a key to sign evidence",
    .text = "Writes identity.txt (an age identity, which age -d -i takes as well) and signing.pem (Ed25519) to ACCORD_KEY, else "
            "to ~/.config/accord, readable by you alone, and shows the public halves. Keys that are there are never "
            "replaced.",
    .options = options,
    .run = run_new,
};

const ac_cmd ac_cmd_key_show = {
    .name = "key show",
    .group = "Keep and prove",
    .summary = "show the public halves of your keys",
    .text = "The recipient (age1...) is what others seal data for; the PEM text is what they verify your evidence with.",
    .options = options,
    .run = run_show,
};

/* ---- audit --------------------------------------------------------------------------------------------------------- */

static const char *audit_file;

static const ac_opt audit_options[] = {
    AC_OPT_ARG("FILE", &audit_file, "where to write it, outside of the project; it is never replaced"),
    AC_OPT_END
};

static ac_status run_audit(ac_cli *cli, ac_err *err)
{
    ac_sha256 key;
    char text[AC_SHA256_HEX + 1];
    ac_str s = { 0 };
    ac_jw w;
    ac_random_secret(key.byte, sizeof key.byte);
    ac_sha256_hex(text, &key);
    text[AC_SHA256_HEX - 1] = '\n';
    ac_status st = ac_file_write_new(audit_file, text, AC_SHA256_HEX, false, err);
    ac_wipe(&key, sizeof key);
    ac_wipe(text, sizeof text);
    if (st) return st;
    if (cli->json) {
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "file", audit_file);
        ac_jw_end_object(&w);
    } else {
        ac_str_appendf(&s, "audit key  %s\nto use it: export ACCORD_AUDIT_KEY=%s\n", audit_file, audit_file);
    }
    st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    if (!st) ac_cli_note(cli, "keep a copy elsewhere: without it nobody can tell the records' MACs from others");
    return st;
}

const ac_cmd ac_cmd_key_audit = {
    .name = "key audit",
    .group = "Keep and prove",
    .summary = "make a key for the records of the audit log",
    .text = "While ACCORD_AUDIT_KEY names the file, every record carries a MAC that only the key's holders can make: accord audit "
            "verify then finds a log that was written anew by somebody without it. It proves nothing against those who have it.",
    .options = audit_options,
    .run = run_audit,
};
