/* cli/verify.h - a run rebuilt elsewhere from its folder and the sealed inputs, and held against what it says of itself.
 *
 * W1  The run folder is only read; everything that is rebuilt lies in a folder of its own.
 * W2  An input counts as the run's when freeze would seal it as the run's lock does; where it lies does not matter.
 * W3  The work is done by `accord train` and `accord ab` as child commands, which are printed: a person can repeat them. */
#ifndef AC_CLI_VERIFY_H
#define AC_CLI_VERIFY_H

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/cost_clock.h"
#include "contract/contract.h"

typedef struct {
    const char *run, *against, *base, *data, *keep, *report, *program;
    int numerics;                    /* 0: the lock's; else of ac_verify_numerics */
    bool anyway, full, ab;
    uint64_t steps;
} ac_verify_opts;

typedef struct {
    ac_lock_input in;
    const char *full;                /* where it was found, absolute; NULL: nowhere */
    const char *renamed;             /* its path in the rebuilt project, where that is not the lock's */
    const char *unreadable;        /* lies somewhere where it could not be read, and why; NULL: no */
    char sealed[AC_SHA256_HEX], have[AC_SHA256_HEX];
    bool same;
} ac_verify_input;

#define AC_VERIFY_ROWS 20
typedef struct {
    uint64_t line, step;             /* step: the first whose batch holds the row; 0: none */
    char was[17], is[17];            /* first half of the SHA-256 of the line; "" where there is no such line */
} ac_verify_row;

typedef enum {
    AC_VERIFY_BIT_IDENTICAL, AC_VERIFY_PREFIX_IDENTICAL, AC_VERIFY_VERDICT_IDENTICAL, AC_VERIFY_DIVERGED, AC_VERIFY_INPUTS_DIFFER
} ac_verify_outcome;
const char *ac_verify_outcome_name(ac_verify_outcome o);
extern const char *const ac_verify_numerics[];

typedef struct {
    ac_cli *cli;
    const ac_verify_opts *o;
    ac_arena arena;
    /* the run */
    char *run;
    const char *id;
    const ac_json *record, *verdict;         /* verdict: NULL where there is none */
    ac_lock lock;
    char lock_hex[AC_SHA256_HEX];
    const char *numerics[2];                 /* the lock's, and another one that was asked for; else NULL */
    bool trained;
    uint64_t trace_steps, steps;             /* in its trace, and how many of them are verified */
    bool prefix;                             /* not the whole run is verified */
    ac_str trace;
    /* its inputs */
    size_t n_inputs, n_missing, n_different;
    ac_verify_input input[AC_LOCK_INPUTS_MAX];
    size_t n_rows;                           /* changed rows of data.train; the first of them are in row[] */
    ac_verify_row row[AC_VERIFY_ROWS];
    uint64_t rows_was, rows_is;
    const char *rows_note;                   /* why rows or steps cannot be named; NULL */
    /* rebuilt */
    char *work, *project, *again;            /* again: the new run's folder */
    bool keep;
    size_t n_commands;
    const char *command[4];
    uint64_t compared, first_difference;     /* steps; 0: none */
    ac_view line[2];                         /* the first differing lines of the traces; ptr NULL: none */
    ac_str trace_again;
    bool stopped_early, weights_compared, weights_same, ab_done, verdict_same, answers_same;
    const char *weights_what;                /* the first file that differs */
    const char *verdict_text[2];
    ac_compare compare;
    ac_verify_outcome outcome;
    ac_cost_clock cost;
} ac_verify;

/* ---- verify_inputs.c ---- */
/* Reads the run and checks that it agrees with itself. */
ac_status ac_verify_open(ac_verify *v, ac_err *err);
/* Finds and hashes the inputs. AC_ENOENT names all that are missing. */
ac_status ac_verify_find_inputs(ac_verify *v, ac_err *err);
/* Makes the project: contract, lock, links to the inputs. */
ac_status ac_verify_build(ac_verify *v, ac_err *err);

/* ---- verify_rows.c ---- */
/* Which rows of data.train are not the run's, and in which step each is used first. */
ac_status ac_verify_rows(ac_verify *v, ac_err *err);

/* ---- verify_run.c ---- */
ac_status ac_verify_train(ac_verify *v, ac_err *err);
ac_status ac_verify_ab(ac_verify *v, ac_err *err);
ac_status ac_verify_weights(ac_verify *v, ac_err *err);

/* ---- verify_report.c ---- */
void ac_verify_json(ac_str *out, const ac_verify *v, const char *report);
void ac_verify_text(ac_str *out, const ac_verify *v, const char *report);
void ac_verify_markdown(ac_str *out, const ac_verify *v);

#endif
