/* cli/evidence.h - a bundle that says what a run is, and that can be believed or refuted without the project.
 *
 * I1  Files: lock.json, run.json, verdict.json, hashes.json, telemetry.json, audit.jsonl, MODEL_CARD.md, bom.cdx.json,
 *     signer.pem; env.json and cost.json where the run has them. Over them stands evidence.dsse.json: an in-toto
 *     Statement (test-result) whose subjects are the adapter's files and every file of the bundle, in a DSSE envelope.
 * I2  Only evidence.dsse.json is not among the subjects, and of it every byte is fixed (seal/sign.h, D2). So each byte of
 *     the bundle is under the signature. As a tar file it has one form only (seal/tar.h).
 * I3  Checking trusts the signer in nothing that it can compute: hashes, the chain's links, and the verdict. */
#ifndef AC_CLI_EVIDENCE_H
#define AC_CLI_EVIDENCE_H

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "formats/json.h"
#include "seal/sign.h"

#define AC_EV_ENVELOPE "evidence.dsse.json"
#define AC_EV_SIGNER "signer.pem"
#define AC_EV_PREFIX "evidence/"
#define AC_EV_PAYLOAD "application/vnd.in-toto+json"
#define AC_EV_STATEMENT "https://in-toto.io/Statement/v1"
#define AC_EV_PREDICATE "https://in-toto.io/attestation/test-result/v0.1"
#define AC_EV_FILES_MAX 24

typedef struct {
    const char *name;
    ac_view bytes;
    char hex[AC_SHA256_HEX];
} ac_ev_file;

typedef struct {
    ac_arena arena;
    ac_ev_file file[AC_EV_FILES_MAX];
    size_t n;
    const ac_json *lock, *run, *verdict, *cost, *env;    /* cost, env: NULL where the run has none */
    const ac_json *adapter;                              /* {"name": "hex"} of adapter/ or model/ */
    const char *folder;                                  /* "adapter" or "model" */
    const char *dir, *id;
    char lock_hex[AC_SHA256_HEX], verdict_hex[AC_SHA256_HEX];   /* verdict_hex: of the run's own, with its words */
    char utc[32];
    uint64_t records;                                    /* of the audit chain, and its head */
    char head[AC_SHA256_HEX];
} ac_evidence;

void ac_evidence_release(ac_evidence *e);
/* Takes a file into the bundle; its bytes are copied. */
ac_status ac_ev_add(ac_evidence *e, const char *name, ac_view bytes, ac_err *err);
const ac_ev_file *ac_ev_find(const ac_evidence *e, const char *name);

/* Members by path: ac_ev_get(o, "a", "b") is o.a.b; NULL when one is missing. */
const ac_json *ac_ev_get(const ac_json *o, const char *a, const char *b);
ac_view ac_ev_text(const ac_json *o, const char *key, const char *otherwise);   /* of a string; else otherwise */
double  ac_ev_number(const ac_json *o, const char *key, double otherwise);

/* Collects everything of a run but card, bom and envelope. words: cases and answers, too. */
ac_status ac_ev_collect(ac_evidence *e, const char *run, bool words, ac_err *err);
ac_status ac_ev_card(ac_evidence *e, ac_err *err);        /* MODEL_CARD.md */
ac_status ac_ev_bom(ac_evidence *e, ac_err *err);         /* bom.cdx.json */
/* signer.pem, and the statement over all there is. */
ac_status ac_ev_sign(ac_evidence *e, const ac_sign_key *k, ac_err *err);
/* out ends in .tar: one file; else a new folder. */
ac_status ac_ev_write(const ac_evidence *e, const char *out, ac_err *err);

/* ---- checking ---- */
ac_status ac_ev_read(ac_evidence *e, const char *path, ac_err *err);            /* a folder or a tar file */
ac_status ac_ev_read_tar(ac_evidence *e, const void *data, size_t len, const char *name, ac_err *err);
/* audit.jsonl alone: links, hashes, head. AC_ENO says where it breaks. */
ac_status ac_ev_check_chain(ac_view text, uint64_t *records, char head[AC_SHA256_HEX], const char *lock, const char *run,
                            uint64_t *kept, ac_err *err);
/* Counts verdict.json's cases again under the lock's rules and compares. AC_ENO names what differs. */
ac_status ac_ev_check_verdict(const ac_json *verdict, const ac_json *lock, ac_err *err);
/* Everything; key: whose signature it must be, or NULL; adapter: a folder that must be the one that was scored, or NULL.
 * Each check that passed is a line of said. AC_ENO: one does not. */
ac_status ac_ev_check(ac_evidence *e, const ac_sign_public *key, const char *adapter, ac_str *said, ac_sign_public *signer,
                      ac_err *err);

#endif
