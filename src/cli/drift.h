/* cli/drift.h - reads logs, rows and cases of a project and measures how far they are apart. */
#ifndef AC_CLI_DRIFT_H
#define AC_CLI_DRIFT_H

#include "cli/cli.h"
#include "data/data.h"
#include "plan/drift.h"

typedef struct {
    const char *logs, *output;
    int64_t sample, add;
    double novel_limit, psi_limit, unseen_limit, refusal_limit;
} ac_drift_opts;

typedef struct {
    double log_median, log_p95, row_median, row_p95, ks, p;
} ac_drift_lengths;

typedef struct {
    size_t n_logs, n_rows, n_cases;
    ac_drift_lengths length[2];            /* questions, answers */
    double unseen_share;
    size_t n_words;
    ac_drift_word word[10];
    double novel_share, novel_distance;
    ac_drift_topics topics;
    ac_view topic_text[AC_DRIFT_TOPICS];
    double refusal_logs, refusal_rows;     /* shares of answers */
    ac_findings leaks;                     /* cases that stand in the logs */
    size_t n_far;
    struct {
        size_t line;
        double distance;
        ac_view question;
    } *far;
} ac_drift_result;

/* Works in the project of the current folder. Texts live in the arena; release leaks. */
ac_status ac_drift_measure(ac_drift_result *out, ac_arena *a, ac_cli *cli, const ac_drift_opts *o, ac_err *err);

#endif
