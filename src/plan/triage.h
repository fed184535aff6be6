/* plan/triage.h - should a model be tuned at all? A pure decision over facts that were measured from the project.
 *
 * T1  Every rule compares one measured fact with one threshold of the contract, and says both. A fact that was not
 *     measured decides nothing and says how it can be had.
 * T2  The verdict is the first that holds: the prompt is enough; retrieval is enough or fits better; nothing
 *     fixed is to be learnt; tune on a node; tune here. The rows that decided are marked.
 * T3  Same facts, same verdict: no clock, no machine state is read here. */
#ifndef AC_PLAN_TRIAGE_H
#define AC_PLAN_TRIAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct {
    double corpus_share;     /* of case answers found in the documents, from which retrieval fits better */
    double churn_share;      /* of documents changed in the last churn_days */
    int64_t churn_days;
    double version_share;    /* of answers that name a version or a date */
    double format_share;     /* of targets with one form, from which a small tuning is worth trying */
    int64_t few_rows;        /* fewer rows than this teach nothing that a prompt could not */
    int64_t local_rows;      /* up to here a nightly local job will do */
    int64_t many_rows;       /* from here the experiments belong on nodes */
    int64_t trials, many_trials;
    double bar;              /* points of 100 at which an arm is good enough */
    double headroom_gib;     /* kept for the system; a quarter of the memory on machines under 32 GiB */
    double local_hours;      /* from here: at night or on a node */
    int64_t sweeps_a_week;
} ac_triage_rules;

typedef struct {
    size_t n_rows;
    double format_share;             /* NAN: no chat rows */
    const char *format;              /* "SELECT ..." */
    size_t n_answers;                /* case answers long enough to be looked for */
    double corpus_share;             /* NAN: no documents, or no answers to look for */
    size_t n_docs, n_docs_changed;
    double churn_share;              /* NAN: unknown */
    const char *churn_method;        /* "git", "file times" */
    double version_share;            /* over targets and case answers */
    size_t n_cases;
    double base_points, rag_points;  /* of 100; NAN: not measured */
    const char *measured_by;         /* what scored them */
    double smallest_gain;            /* points */
    double hours;                    /* of one training at full load; NAN: unknown */
    const char *hours_method;
    int64_t need_bytes, total_bytes; /* -1: unknown */
    const char *need_method;
    uint64_t sweeps_last_week;
} ac_triage_facts;

typedef enum { AC_TRIAGE_PROMPT, AC_TRIAGE_RAG, AC_TRIAGE_HERE, AC_TRIAGE_NODE } ac_triage_verdict;
const char *ac_triage_name(ac_triage_verdict v);   /* "do not tune: RAG" */

typedef struct {
    const char *signal, *evidence, *threshold;
    const char *speaks_for;          /* "prompt", "RAG", "tuning", "here", "node", "-" */
    bool decided;
} ac_triage_row;

#define AC_TRIAGE_ROWS ((size_t)16)
#define AC_TRIAGE_REASONS ((size_t)8)
typedef struct {
    ac_triage_verdict verdict;
    size_t n_rows, n_reasons;
    ac_triage_row row[AC_TRIAGE_ROWS];
    const char *reason[AC_TRIAGE_REASONS];
} ac_triage;
ac_status ac_triage_decide(ac_triage *out, const ac_triage_facts *f, const ac_triage_rules *r, ac_arena *a, ac_err *err);

/* ---- what texts show (signals.c) ---- */

/* A version ("v2", "1.4.2", "3.10-rc1", "release 12") or a calendar date ("2026-01-31", "31 January 2026"). */
bool ac_text_names_version(ac_view text);
/* Share of targets that have the commonest form: the same keys of a JSON object, a fenced block of one language, a list, a
 * label of up to three words, or else the same first word; texts that repeat word for word in at least 1 % of the rows
 * (3 at least) count with it. The form's description goes into *name. */
ac_status ac_text_form_share(double *share, const char **name, const ac_view *target, size_t n, ac_arena *a, ac_err *err);
/* The text's words, lower case, with one space around each: a space, "word", a space, "word", a space. */
ac_status ac_text_words(ac_str *out, ac_view text, ac_err *err);

#endif
