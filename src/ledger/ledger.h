/* ledger/ledger.h - run folders and the audit chain.
 *
 * A1  .accord/audit.jsonl is append-only: each line is canonical JSON {"seq","utc","act",...,"prev","hash"} where
 *     hash = SHA-256 over the line without "hash", and prev is the hash before it (64 zeros first).
 * A2  seq is dense from 1. An act is recorded before its outcome is shown. A torn last line is cut off and a
 *     "recovered" act says so; any other damage is AC_ESTATE and stops every command that would append.
 * A4  A chain alone cannot show that its end was cut off or that it was written anew whole; a head (count and hash) noted
 *     elsewhere can. Every checkpoint, run.json, verdict and README of a run carries one; a lock is named by its freeze record.
 * A5  With a key each record carries "mac" too: HMAC-SHA256 over the record without "hash" and "mac"; hash covers it. Who lacks
 *     the key can write the chain anew, but not with MACs that fit.
 * A3  A run folder is .accord/runs/<utc>-<8 hex>/ and is complete by itself. */
#ifndef AC_LEDGER_LEDGER_H
#define AC_LEDGER_LEDGER_H

#include <stdbool.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "formats/json.h"

/* Appends one act; fields is the inside of a JSON object ("\"lock\":\"..\",\"cases\":48") or NULL.
 * project: the folder that holds .accord (made when absent). */
ac_status ac_audit_append(const char *project, const char *act, const char *fields, ac_err *err);
typedef struct { uint64_t count; ac_sha256 head; } ac_audit_head;
/* Verifies the whole chain. AC_ENO names the first bad line. No file: count 0. */
ac_status ac_audit_verify(const char *project, ac_audit_head *out, ac_err *err);
/* How many acts of this kind there are, and how many have "lock" equal to lock_hex (NULL: any). */
ac_status ac_audit_count(const char *project, const char *act, const char *lock_hex, uint64_t *out, ac_err *err);

/* Every record of the chain in order, up to its end: fn sees it parsed, its count (seq) and its hash. Damage is AC_ENO and
 * names the first bad line, after the good ones were seen; a torn last line is left out. */
typedef ac_status ac_audit_fn(void *ctx, const ac_json *record, uint64_t seq, const char *hash, ac_err *err);
ac_status ac_audit_each(const char *project, ac_audit_fn *fn, void *ctx, ac_err *err);
/* Was this once the chain's head? AC_ENO says whether the chain was cut off before it or written anew, and where the head came
 * from (`from`, "run X, verdict.json"). The chain itself must hold. A count of 0 is every chain's. */
ac_status ac_audit_check_head(const char *project, const ac_audit_head *head, const char *from, ac_err *err);
/* "COUNT:HASH", as it is shown; AC_EARG. */
ac_status ac_audit_head_parse(ac_audit_head *out, const char *text, ac_err *err);
#define AC_AUDIT_HEAD_TEXT (AC_SHA256_HEX + 21)
void      ac_audit_head_text(char out[AC_AUDIT_HEAD_TEXT], const ac_audit_head *head);

/* ---- records that only the key's holder can make (A5) ---- */
#define AC_AUDIT_KEY_BYTES 32
/* Gives the key's bytes, or leaves *key empty where there is none; they stay valid until the program ends. */
typedef ac_status ac_audit_key_fn(ac_view *key, ac_err *err);
void      ac_audit_use_key(ac_audit_key_fn *fn);        /* asked at each append; NULL: none. Set before threads start. */
typedef struct { uint64_t keyed, first; } ac_audit_macs;   /* how many records carry a MAC, and the first that does */
/* Every MAC must fit, every record from the first one that carries a MAC must carry one, and so must every record from number
 * `from` on (0: not asked). AC_ENO names the first that does not. The chain itself must hold. */
ac_status ac_audit_check_macs(const char *project, ac_view key, uint64_t from, ac_audit_macs *out, ac_err *err);

/* Makes a fresh run folder and gives its path. */
ac_status ac_run_create(char **path, ac_arena *a, const char *project, ac_err *err);
/* By id, unique prefix of an id, path, or "latest". */
ac_status ac_run_find(char **path, ac_arena *a, const char *project, const char *name, ac_err *err);
typedef struct {
    const char *id, *path, *state;   /* "training", "trained", "stopped", "failed" */
    const char *started;             /* ISO */
    const char *verdict;             /* "WIN", "LOSS", "NO CLEAR LIFT", or NULL */
    double train_loss, valid_loss, seconds;   /* NAN where unknown */
    bool has_steps;            /* a run that was stopped or still goes on has not counted them */
    uint64_t steps;
} ac_run_info;
ac_status ac_runs_list(ac_run_info **out, size_t *n, ac_arena *a, const char *project, ac_err *err);

/* ---- what serves (promote.c; docs/formats/promoted.md) ------------------------------------------------------
 * P1  .accord/promoted/<channel>.json holds the history of a channel, oldest act first; it is replaced atomically and
 *     only grows. A promotion puts a run on top; a rollback takes the top off again. Who stands on top serves.
 * P2  .accord/promoted/<channel> is a symbolic link to the adapter (or model) folder of that run: a server that is
 *     given this path needs no other change. It moves after the history; the next command sets it right.
 * P3  Each promotion holds the SHA-256 of every file of the folder; a rollback compares them first. */
typedef struct {
    bool rollback;                   /* else a promotion */
    const char *run;                 /* id: what this act put on top */
    const char *folder;              /* "adapter" or "model" */
    const char *lock, *verdict, *adapter_sha256;
    const char *utc, *by, *reason;   /* reason: NULL where none was needed */
    const char *integration;         /* command that passed; NULL: the contract names none */
    const ac_json *files;            /* {"adapter/x": "hex", ..}; of promotions */
} ac_promotion;
typedef struct {
    size_t n;
    ac_promotion *act;               /* oldest first */
    size_t n_stack;
    size_t *stack;                   /* indices of the promotions that stand, the serving one last */
} ac_promotions;
bool      ac_channel_ok(const char *channel);       /* [a-z0-9-], 1 to 40 of them */
/* No file: n = 0. A history that does not hold together is AC_EFORMAT. */
ac_status ac_promotions_read(ac_promotions *out, ac_arena *a, const char *project, const char *channel, ac_err *err);
/* Appends an act and points the link. files_json: the object of P3, or NULL for a rollback. */
ac_status ac_promotions_push(const char *project, const char *channel, const ac_promotion *p, const char *files_json,
                             ac_err *err);
/* Points the link at what serves by the history: a stop between the two leaves it behind. */
ac_status ac_promotions_relink(const ac_promotions *h, const char *project, const char *channel, ac_err *err);
/* Hashes of all files below <run>/<folder> as a JSON object with sorted names. */
ac_status ac_run_files_json(ac_str *out, const char *run, const char *folder, ac_err *err);
/* AC_ECONTRACT names the first file that is missing, changed or new. */
ac_status ac_run_files_check(const char *run, const char *folder, const ac_json *files, ac_err *err);

/* ---- retention (forget.c) ---------------------------------------------------------------------------------------- */
/* [{"name","bytes","sha256"}, ..] of all that ac_run_forget takes away or changes. */
ac_status ac_run_inventory(ac_str *out, const char *run, uint64_t *bytes, ac_err *err);
/* Removes weights, checkpoints, samples, report and whatever else is no record, and the words of cases and answers from
 * verdict.json. May be repeated after a stop. */
ac_status ac_run_forget(const char *run, ac_err *err);

/* env.json, the fingerprint of this machine and build: program and its SHA-256, compiler and flags, CPU, tier, threads, OS,
 * libc, GPU, libraries, locale, timezone, ACCORD_ variables, argv, git. What only the caller knows is in the facts. */
typedef struct {
    int argc;
    char *const *argv;
    const char *tier, *tier_why;     /* tier_why, numerics, lock may be NULL */
    const char *numerics, *lock;
    size_t threads;
    const char *project;             /* whose git commit is noted */
    ac_str *diff;                    /* gets what git diff says there, at most AC_ENV_DIFF_MAX bytes of it; may be NULL */
} ac_env_facts;
#define AC_ENV_DIFF_MAX ((size_t)1 << 20)
ac_status ac_env_json(ac_str *out, const ac_env_facts *facts, ac_err *err);

#endif
