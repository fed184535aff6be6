/* eval/verdict.h - what the arms' results bear, and no more (V3, V4).
 *
 * V1  tuned against base, and tuned against rag where there is a rag arm (tuned+rag stands in for tuned there when
 *     asked): paired by case. Cases of one cluster count once: a cluster passes when all of its cases do.
 * V2  WIN: Holm-adjusted mid-p <= 0.05, net gain >= margin, and no class loses more cases than its guard allows.
 *     LOSS: the mirror image without guards. Else NO CLEAR LIFT. The run's verdict is the weakest of its comparisons:
 *     WIN only when each one is a WIN, LOSS when any is a LOSS.
 * V3  The sentences say why, and what so few cases cannot show. */
#ifndef AC_EVAL_VERDICT_H
#define AC_EVAL_VERDICT_H

#include "eval/arms.h"
#include "formats/json.h"

typedef enum { AC_NO_CLEAR_LIFT, AC_WIN, AC_LOSS } ac_outcome;
const char *ac_outcome_name(ac_outcome o);       /* "NO CLEAR LIFT" */

typedef struct {
    ac_arm a, b;                                  /* a against b */
    size_t wins, losses, ties;                    /* clusters */
    size_t class_wins[AC_CLASS_COUNT], class_losses[AC_CLASS_COUNT];   /* cases */
    double net_points;                            /* of 100, over clusters */
    double mid_p, holm_p;
    ac_outcome outcome;
    const char *reason;                           /* one sentence */
} ac_comparison;

typedef struct {
    size_t n_cases, n_clusters, n_class[AC_CLASS_COUNT];
    size_t n_comparisons;
    ac_comparison comparison[4];
    double smallest_gain;                         /* points, from the number of clusters */
    ac_outcome outcome;
    const char *sentence[6];
    size_t n_sentences;
    uint64_t openings, locks;                     /* shown with every verdict */
} ac_verdict;

typedef struct {
    double margin;                                /* points of 100 */
    size_t guard[AC_CLASS_COUNT];                 /* losses a class may take */
    uint64_t openings, locks;
    double smallest_gain;                         /* points, as sealed; 0: worked out from the clusters */
} ac_verdict_rules;

/* arms: results in any order; base and one tuned arm are needed (AC_EARG otherwise). Texts live in the arena. */
ac_status ac_verdict_make(ac_verdict *out, const ac_cases *cases, const ac_arm_result *arms, size_t n_arms,
                          const ac_verdict_rules *rules, ac_arena *a, ac_err *err);
/* The members "arms" and "by_case" of verdict.json alone. */
void ac_arms_write(ac_jw *w, const ac_cases *cases, const ac_arm_result *arms, size_t n_arms);
/* verdict.json: docs/formats/run.md. */
void ac_verdict_write(ac_jw *w, const ac_verdict *v, const ac_cases *cases, const ac_arm_result *arms, size_t n_arms);

#endif
