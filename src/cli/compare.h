/* cli/compare.h - what two run folders have in common and what not. Both are read, nothing is written. */
#ifndef AC_CLI_COMPARE_H
#define AC_CLI_COMPARE_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/json.h"
#include "ledger/telemetry.h"

#define AC_COMPARE_POINTS ((size_t)20)

typedef struct {
    const char *key;                 /* "method.rank" */
    const ac_json *value[2];         /* NULL: that run has none */
} ac_compare_row;
typedef struct {
    size_t n, cap;
    ac_compare_row *row;
} ac_compare_rows;

typedef struct {
    uint64_t step;
    double loss[2], valid[2];        /* NAN: none at this step */
} ac_compare_point;

typedef struct {
    ac_view id, cls, text[2];
    bool pass[2];
} ac_compare_case;

typedef struct {
    struct {
        const char *dir, *id;
        const ac_json *run, *lock, *env, *verdict;
        ac_run_void timing;
    } side[2];
    ac_compare_rows config, fingerprint, verdict;    /* what differs */
    ac_compare_rows result;
    bool timed;                                      /* neither is VOID: times stand among the results */
    size_t n_points;
    ac_compare_point point[AC_COMPARE_POINTS];       /* spread evenly over the longer run, its last step with them */
    size_t n_trace[2];
    uint64_t first_difference;                       /* step; 0: none */
    size_t n_both, both_pass, both_fail, only[2], other_cases;
    double mid_p;                                    /* two-sided, over the cases that both answered */
    size_t n_case;
    ac_compare_case *cases;                          /* those with different results */
} ac_compare;

/* All of *out lives in the arena. AC_ENOENT: one of them is no run folder. */
ac_status ac_compare_runs(ac_compare *out, ac_arena *a, const char *dir_a, const char *dir_b, const char *arm, ac_err *err);
/* A value as it stands, or null. */
void ac_compare_value_json(ac_jw *w, const char *key, const ac_json *v);

#endif
