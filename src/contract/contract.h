/* contract/contract.h - accord.yaml, accord.lock and the gate between them.
 *
 * K1  Every key has one row in the schema table: type, default, range, help. accord.yaml's comments, docs and
 *     messages come from it; an unknown key is an error with the nearest name (T7).
 * K2  The lock is canonical JSON: hashes of all that the contract names, the resolved values of every key, the
 *     smallest visible gain, class counts, margin and guards. Its own hash names it.
 * K3  The gate compares the world with the lock: what changed is AC_ECONTRACT and named; no lock is
 *     AC_EREFUSED. */
#ifndef AC_CONTRACT_CONTRACT_H
#define AC_CONTRACT_CONTRACT_H

#include <stdbool.h>
#include "base/err.h"
#include "base/event.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "eval/cases.h"
#include "formats/json.h"
#include "rag/rag.h"
#include "tokenizer/chat.h"

typedef struct {
    /* base */
    const char *base_model;        /* path, or a name from `accord model pull` */
    const char *chat_format;       /* NULL: recognised */
    const char *system;            /* system turn put in front of cases that have none; NULL: none */
    /* data */
    const char *train, *valid;     /* JSONL */
    const char *secret_rules;      /* gitleaks rules; NULL: the built-in ones */
    const char *mask;              /* assistant | last | none */
    int64_t max_len;
    const char *on_long;           /* refuse | truncate | drop */
    /* evaluation */
    const char *cases;
    const char *docs;              /* folder for the rag arms; NULL: no rag arms */
    const char *database;          /* SQLite file for sql-equal; NULL: none */
    const char *refusal;           /* the fixed sentence of is-refusal; NULL: phrase list */
    int64_t max_tokens, rag_top, rag_chunk_tokens, rag_overlap_tokens;
    bool rag_dense;                /* rank by the base model's states too */
    double margin;                 /* net gain in points of 100 that a WIN needs */
    int64_t guard_success, guard_refusal, guard_edge;  /* net losses a class may take */
    /* method */
    const char *tune;              /* lora | full | dora */
    int64_t rank, last_layers;
    double alpha, dropout;
    bool rslora;
    const char *targets;           /* comma list, canonical order */
    double lr, min_lr_ratio, warmup_ratio, beta1, beta2, eps, weight_decay, clip;
    int64_t warmup_steps, epochs, max_steps, batch_rows, shards, micro_batch, pack_len, seed, eval_every, save_every,
        keep_checkpoints, patience;
    const char *optimizer;         /* adamw | sgd | lion | adafactor | muon */
    const char *optimizer_state;   /* fp32 | bf16 | int8 */
    double momentum;
    const char *schedule;          /* cosine | linear | constant */
    bool packing;
    const char *recompute;         /* auto | none | block */
    const char *numerics;          /* fp32, bf16 or cuda-bf16 */
    /* should it be tuned at all */
    double triage_corpus_share, triage_churn_share, triage_version_share, triage_format_share, triage_bar,
        triage_headroom_gib, triage_local_hours;
    int64_t triage_churn_days, triage_few_rows, triage_local_rows, triage_many_rows, triage_trials, triage_many_trials,
        triage_sweeps_a_week;
    const char *triage_reason;     /* why a threshold differs from its default */
    /* the machine */
    const char *memory_budget, *memory_reserve;    /* "8G"; NULL: docs/contract.md */
    const char *guard_window;      /* "22:00-07:00"; NULL: any hour */
    bool guard_battery, guard_lid, guard_polite, guard_beside;
    /* money, in cost_currency */
    const char *cost_currency, *cost_project, *cost_tags;
    double cost_machine_hour, cost_machine_price, cost_machine_years, cost_machine_hours_a_year, cost_kwh, cost_watts,
        cost_node_hour, cost_node_speed;
    /* after the run */
    const char *integration_command;   /* run by sh -c before a promotion; NULL: none */
    int64_t integration_minutes;
} ac_contract_values;

typedef struct {
    uint32_t line, column;         /* line 0: the key is not given */
} ac_contract_place;

typedef struct {
    ac_arena arena;
    ac_contract_values v;
    ac_contract_place *place;      /* of each key, by its index in the schema */
    char *dir;                     /* folder of accord.yaml: relative paths start there */
    char *path;
    ac_sha256 hash;                /* of the file's bytes */
} ac_contract;

ac_status ac_contract_read(ac_contract *out, const char *dir, ac_err *err);   /* dir/accord.yaml */
void      ac_contract_release(ac_contract *c);
/* A path of the contract, relative to its folder, in the contract's arena. */
const char *ac_contract_path(ac_contract *c, const char *path);
/* Where base_model lies: a path, or the cache (ACCORD_CACHE, else XDG_CACHE_HOME/accord, else
 * ~/.cache/accord) for a known name; AC_ENOENT says how to get it. */
ac_status ac_contract_model_path(ac_contract *c, const char **out, ac_err *err);
/* "eval.refusal": is it given? AC_ECONTRACT with the key's place in front, for what shows only beside other files. */
bool      ac_contract_gives(const ac_contract *c, const char *key);
ac_status ac_contract_refuse(const ac_contract *c, const char *key, ac_err *err, const char *fmt, ...) AC_PRINTF(4, 5);
/* AC_ENOENT names all files of these kinds that are not there, and says what goes into them. */
enum { AC_NAMES_TRAIN = 1, AC_NAMES_VALID = 2, AC_NAMES_CASES = 4, AC_NAMES_OTHERS = 8 };
ac_status ac_contract_files(ac_contract *c, unsigned which, ac_err *err);
/* The commented file that `accord init` writes. */
ac_status ac_contract_template(ac_str *out, ac_err *err);
/* docs/contract.md. */
ac_status ac_contract_docs(ac_str *out, ac_err *err);

/* ---- lock -------------------------------------------------------------------------------------------- */

/* What a reference answer of a case is worth by the case's own graders: pass false and a reason refuse it. Given
 * by cli, which may include the graders' room together with everything they need. */
typedef ac_status ac_check_reference(void *ctx, const char *database, const char *refusal, const char *cases_path,
                                     ac_str *problems, size_t *n_problems, ac_err *err);

/* What only the model's configuration tells: whether rows, cases and settings fit it. Given by cli, too. */
typedef struct {
    const ac_contract *contract;
    const char *model;                   /* where the base lies */
    const ac_tokenizer *tok;
    const ac_chat *chat;
    const ac_cases *cases;
    ac_rag *rag;                         /* NULL: no documents */
    size_t n_train;                      /* rows that are left to be learnt */
    size_t longest;                      /* row of both files, in tokens */
    const char *longest_path;
} ac_freeze_facts;
typedef ac_status ac_check_model(void *ctx, const ac_freeze_facts *f, ac_err *err);

typedef struct {
    ac_check_reference *check_reference;  /* NULL: references are not tried */
    ac_check_model *check_model;          /* NULL: not asked */
    void *check_ctx;
    const ac_sink *sink;                  /* progress of reading and hashing; NULL: none */
    const char *accept_small_reason;     /* V1: fewer cases than asked for, with a reason; NULL: refuse */
    const char *const *accept_leak;      /* ids of findings of any check, with one reason */
    size_t n_accept_leak;
    const char *accept_leak_reason;
} ac_freeze_opts;

typedef struct {
    ac_arena arena;
    const ac_json *tree;
    ac_str text;                         /* canonical JSON, newline at the end */
    ac_sha256 hash;                      /* of text */
    size_t n_cases, n_class[3];
    double smallest_gain_points;         /* V4: at 80 % power */
    uint64_t number;                     /* which lock of this contract it is, from 1 */
    bool unchanged;                      /* ac_freeze found that the lock there already seals all this */
} ac_lock;

/* Checks everything (rows, cases, leaks, references against their own graders) and writes accord.lock
 * atomically; a refusal leaves the old lock untouched. findings text for the person goes to report. */
ac_status ac_freeze(ac_lock *out, ac_contract *c, const ac_freeze_opts *o, ac_str *report, ac_err *err);
ac_status ac_lock_read(ac_lock *out, const ac_contract *c, ac_err *err);
void      ac_lock_release(ac_lock *l);
/* Raised whenever a check that blocks begins to find more. Equal hashes mean that nothing has to be checked again, but
 * only for checks that were made: training under a lock of an older version is refused. */
#define AC_CHECKS_VERSION 3
/* K3: re-hashes everything that the lock seals. */
ac_status ac_gate(const ac_lock *l, ac_contract *c, ac_err *err);
/* AC_EREFUSED when freeze checked less than it would now. */
ac_status ac_gate_checks(const ac_lock *l, const ac_contract *c, ac_err *err);

/* ---- a lock elsewhere (rebuild.c) ------------------------------------------------------------------------ */

/* A lock under any name, as lock.json of a run. */
ac_status ac_lock_read_file(ac_lock *out, const char *path, ac_err *err);
/* An accord.yaml that resolves to exactly the lock's values. A lock of a version with other keys gives one that the gate
 * then refuses by key. */
ac_status ac_lock_yaml(ac_str *out, const ac_lock *l, ac_err *err);

#define AC_LOCK_INPUTS_MAX 16
typedef struct {
    const char *name, *path;             /* "data.train", and the path as the contract had it; both borrow from the lock */
    int kind;
    ac_sha256 sealed;
} ac_lock_input;
/* The sealed inputs; out has room for AC_LOCK_INPUTS_MAX. */
ac_status ac_lock_inputs(ac_lock_input *out, size_t *n, const ac_lock *l, ac_err *err);
/* What freeze would seal for this input if it lay at full. */
ac_status ac_lock_input_hash(ac_sha256 *out, const ac_lock_input *in, const char *full, ac_err *err);

typedef struct {
    const char *name, *path, *sha256;    /* of an input; path and sha256: NULL leaves them */
} ac_lock_change;
/* The lock's text with inputs of another path or hash: another lock, under which what is there can be trained on. */
ac_status ac_lock_changed(ac_str *out, const ac_lock *l, const ac_lock_change *c, size_t n, ac_err *err);

#endif
