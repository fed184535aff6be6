/* evidence RUN, evidence verify BUNDLE. */
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/evidence.h"
#include "cli/keys.h"
#include "ledger/ledger.h"

static struct {
    const char *run, *out, *key, *bundle, *adapter;
    bool words;
} a = { .run = "latest" };

static const ac_opt write_options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\", which is the default"),
    AC_OPT_GROUP("Bundle"),
    AC_OPT_PATH_REQ('o', "out", &a.out, "path", "a new folder, or a file that ends in .tar"),
    AC_OPT_BOOL(0, "words", &a.words, "put the cases' and answers' words in, too; without: who passed which case"),
    AC_OPT_END
};

static const ac_opt verify_options[] = {
    AC_OPT_ARG("BUNDLE", &a.bundle, "the folder or the .tar file"),
    AC_OPT_GROUP("Trust"),
    AC_OPT_PATH('k', "key", &a.key, "file", "whose signature it must be: a public key in PEM, as accord key show prints it"),
    AC_OPT_PATH('a', "adapter", &a.adapter, "folder", "an adapter at hand: is it the one that was scored"),
    AC_OPT_END
};

static ac_status record(const ac_evidence *e, ac_err *err)
{
    ac_str s = { 0 };
    ac_str_appendf(&s, "\"run\":\"%s\",\"lock\":\"%s\",\"statement_sha256\":\"%s\"", e->id, e->lock_hex,
                   ac_ev_find(e, AC_EV_ENVELOPE)->hex);
    const ac_status st = ac_str_ok(&s) ? ac_audit_append(".", "evidence", ac_str_c(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status show_written(ac_cli *cli, const ac_evidence *e, const char *keyid, ac_err *err)
{
    ac_str s = { 0 };
    ac_jw w;
    const ac_view verdict = ac_ev_text(e->verdict, "verdict", "?");
    if (cli->json) {
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "bundle", a.out);
        ac_jw_cstr(&w, "run", e->id);
        ac_jw_str(&w, "verdict", verdict);
        ac_jw_cstr(&w, "lock", e->lock_hex);
        ac_jw_cstr(&w, "audit_head", e->head);
        ac_jw_cstr(&w, "signing_key_id", keyid);
        ac_jw_array(&w, "files");
        for (size_t i = 0; i < e->n; i++) ac_jw_cstr(&w, NULL, e->file[i].name);
        ac_jw_end_array(&w);
        ac_jw_end_object(&w);
    } else {
        ac_str_appendf(&s, "%s  %zu file%s about run %s (" AC_VIEW_FMT ")\nsigned by %s\naudit head %s, %llu record%s\n", a.out, e->n,
                       ac_plural(e->n), e->id, AC_VIEW_ARG(verdict), keyid, e->head, (unsigned long long)e->records,
                       ac_plural(e->records));
    }
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status run_write(ac_cli *cli, ac_err *err)
{
    ac_evidence e = { .n = 0 };
    ac_sign_key k = { .seed = { 0 } };
    char *path = NULL, keyid[AC_SHA256_HEX];
    ac_status st = ac_path_exists(a.out) ? ac_fail(err, AC_ECREATE, "%s: is there already and is not replaced", a.out) : AC_OK;
    if (!st) st = ac_keys_path(&path, &e.arena, AC_KEYS_SIGNING, err);
    if (!st && !ac_path_exists(path))
        st = ac_fail(err, AC_ENOENT, "%s: there is no key to sign with; make one: accord key new", path);
    if (!st) st = ac_sign_key_read(&k, path, err);
    if (!st) st = ac_ev_collect(&e, a.run, a.words, err);
    if (!st) st = ac_ev_card(&e, err);
    if (!st) st = ac_ev_bom(&e, err);
    if (!st) st = ac_ev_sign(&e, &k, err);
    if (!st) st = record(&e, err);
    if (!st) st = ac_ev_write(&e, a.out, err);
    if (!st) {
        ac_sign_keyid(keyid, &k.pub);
        st = show_written(cli, &e, keyid, err);
    }
    ac_sign_key_wipe(&k);
    ac_evidence_release(&e);
    return st;
}

/* ---- verify ----------------------------------------------------------------------------------------------------- */

static ac_status read_key(ac_sign_public *out, ac_err *err)
{
    ac_str text = { 0 };
    ac_status st = ac_file_read(&text, a.key, 65536, err);
    if (!st) st = ac_sign_public_parse(out, ac_str_view(&text), a.key, err);
    ac_str_release(&text);
    return st;
}

static ac_status show_checked(ac_cli *cli, const ac_evidence *e, const ac_str *said, const ac_sign_public *signer,
                              const char *why, ac_err *err)
{
    char keyid[AC_SHA256_HEX];
    ac_str s = { 0 };
    ac_jw w;
    const ac_view verdict = why ? (ac_view){ NULL, 0 } : ac_ev_text(e->verdict, "verdict", "?");
    ac_sign_keyid(keyid, signer);
    if (cli->json) {
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_jw_bool(&w, "holds", !why);
        ac_jw_cstr(&w, "why", why);
        ac_jw_cstr(&w, "signing_key_id", why ? NULL : keyid);
        ac_jw_bool(&w, "key_named", a.key != NULL);
        if (why) ac_jw_null(&w, "verdict");
        else ac_jw_str(&w, "verdict", verdict);
        ac_jw_cstr(&w, "run", why ? NULL : e->id);
        ac_jw_end_object(&w);
    } else {
        ac_str_append(&s, ac_str_view(said));
        if (why) {
            ac_str_append_c(&s, "NO  ");
            ac_cli_foreign(&s, cli, ac_view_of(why));
            ac_str_append_char(&s, '\n');
        } else {
            ac_str_appendf(&s, "signed by %s%s\nrun %s: ", keyid, a.key ? "" : ", a key that you have not named (--key): anybody can "
                           "sign with a key of their own", e->id);
            ac_cli_foreign(&s, cli, verdict);
            ac_str_append_char(&s, '\n');
        }
    }
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status run_verify(ac_cli *cli, ac_err *err)
{
    ac_evidence e = { .n = 0 };
    ac_sign_public named = { { 0 } }, signer = { { 0 } };
    ac_str said = { 0 };
    ac_err why = { "" };
    ac_status st = a.key ? read_key(&named, err) : AC_OK;
    if (!st) st = ac_ev_read(&e, a.bundle, &why);
    if (!st) st = ac_ev_check(&e, a.key ? &named : NULL, a.adapter, &said, &signer, &why);
    if (st == AC_EFORMAT && why.text[0]) st = AC_ENO;        /* damaged so that it cannot be read: that is an answer, too */
    if (st && st != AC_ENO && why.text[0]) (void)ac_fail(err, st, "%s", why.text);
    if (!st || (st == AC_ENO && why.text[0])) {
        const ac_status shown = show_checked(cli, &e, &said, &signer, st ? why.text : NULL, err);
        if (shown) st = shown;
    }
    ac_str_release(&said);
    ac_evidence_release(&e);
    return st;
}

static const char *const examples[] = {
    "accord evidence latest --out evidence.tar",
    "accord evidence verify evidence.tar --key team.pem",
    NULL
};

const ac_cmd ac_cmd_evidence = {
    .name = "evidence",
    .group = "Keep and prove",
    .summary = "a signed bundle about a run, to be checked without the project",
    .text = "Lock, hashes of inputs, telemetry, verdict, cost, the run's audit records, a model card, a CycloneDX 1.6 bill of "
            "materials, and over all of it an in-toto test-result statement in a DSSE envelope, signed with the Ed25519 key of "
            "accord key.",
    .examples = examples,
    .options = write_options,
    .run = run_write,
};

const ac_cmd ac_cmd_evidence_verify = {
    .name = "evidence verify",
    .group = "Keep and prove",
    .summary = "check a bundle of evidence with nothing but the bundle",
    .text = "Checks the signature, the hash of every file, that lock, run and verdict belong together, the links and hashes of "
            "the audit records, and counts the verdict again from the cases. Exit 0: all of it holds; 1: something does not, "
            "and what is said.",
    .examples = NULL,
    .options = verify_options,
    .run = run_verify,
};
