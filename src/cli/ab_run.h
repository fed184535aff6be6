/* cli/ab_run.h - the arms over the sealed cases: opening, answers, verdict, files. */
#ifndef AC_CLI_AB_RUN_H
#define AC_CLI_AB_RUN_H

#include "cli/cost_clock.h"
#include "cli/load.h"
#include "cli/project.h"
#include "eval/endpoint.h"
#include "eval/verdict.h"
#include "ledger/ledger.h"

#define AC_AB_ENDPOINTS ((size_t)4)

typedef struct {
    const char *run;        /* as accord runs names them */
    const char *arms;       /* comma list; NULL: all that the contract gives */
    const ac_opt_list *endpoints;   /* NAME=URL,MODEL */
    int64_t endpoint_seconds;
    bool dry_run, untuned, ci;      /* ci: one line */
    bool perplexity;                /* of answers and references, as a column */
} ac_ab_cli;

typedef struct {
    ac_cli *cli;
    const ac_ab_cli *o;
    ac_project project;
    ac_loaded l;
    ac_arena arena;
    char *dir;                              /* of the run */
    const char *id;
    char adapter_hex[AC_SHA256_HEX];
    ac_cases cases;
    ac_grade_ctx *grader;
    ac_rag *rag;
    float *passage_vectors, *question_vector;   /* of a dense index */
    ac_arm arm[AC_ARM_COUNT];
    size_t n_arms;
    ac_endpoint endpoint[AC_AB_ENDPOINTS];
    size_t n_endpoints;
    ac_arm_result result[AC_ARM_COUNT + AC_AB_ENDPOINTS];
    size_t n_results;
    uint64_t openings, locks;
    ac_audit_head audit;                    /* the chain's, with this opening */
    ac_verdict verdict;
    ac_cost_clock cost;
    ac_sink sink;                           /* the cost's, before cli's */
} ac_ab;

ac_status ac_ab_command(ac_cli *cli, const ac_ab_cli *o, ac_err *err);

/* ---- ab_show.c ---- */
ac_status ac_ab_write_files(const ac_ab *ab, ac_err *err);
ac_status ac_ab_show(const ac_ab *ab, ac_err *err);
/* Without a tuned arm: .accord/untuned.json (docs/formats/run.md), and the table of arms. */
ac_status ac_ab_write_untuned(const ac_ab *ab, double seconds, ac_err *err);
ac_status ac_ab_show_untuned(const ac_ab *ab, ac_err *err);

#endif
