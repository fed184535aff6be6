/* eval/grade_int.h - pieces of the graders that have files of their own. */
#ifndef AC_EVAL_GRADE_INT_H
#define AC_EVAL_GRADE_INT_H

#include "eval/grade.h"
#include "store/store.h"

struct ac_grade_ctx {
    ac_store *db;
    char *database;       /* for messages */
    char *refusal;
};

/* Result of one assertion; why is set in both cases. */
typedef struct {
    bool hold;
    const char *why;      /* in the arena; NULL: out of memory */
} ac_verdict_one;

ac_status ac_grade_sql(ac_grade_ctx *g, const ac_case *c, const ac_assert *as, ac_view answer, ac_arena *a,
                       ac_verdict_one *out, ac_err *err);
ac_status ac_grade_json(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err);
/* Token F1 over lower-cased words without ASCII punctuation and articles (SQuAD's normalisation). */
ac_status ac_grade_token_f1(double *out, ac_view answer, ac_view reference, ac_arena *a, ac_err *err);

#endif
