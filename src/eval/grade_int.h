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
ac_status ac_grade_tool_call(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err);
/* levenshtein, rouge-l, rouge-n. */
ac_status ac_grade_distance(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err);

/* Edits of one code point between the texts; most + 1 when there are more than most. */
ac_status ac_grade_edits(size_t *out, ac_view answer, ac_view reference, size_t most, ac_arena *a, ac_err *err);
/* ROUGE as F1: of runs of n_gram words, or of the longest common subsequence (n_gram 0). */
ac_status ac_grade_rouge(double *out, ac_view answer, ac_view reference, unsigned n_gram, ac_arena *a, ac_err *err);
/* Lower case by Unicode; what is no UTF-8 stays as it is. */
ac_status ac_grade_fold(ac_view *out, ac_view v, ac_arena *a, ac_err *err);
ac_status ac_grade_same_json(bool *same, const ac_json *x, const ac_json *y, ac_err *err);
/* What a model wrote as JSON: *out is NULL when it is none. Fails only for want of memory, which must not become a grade. */
ac_status ac_grade_parse_json(const ac_json **out, ac_view text, ac_arena *a, ac_err *err);
/* The next {...} or [...] from *at on that parses, *at behind it; NULL: there is none. Fails as the call above. */
ac_status ac_grade_find_json(const ac_json **out, ac_view text, size_t *at, ac_arena *a, ac_err *err);
/* Token F1 over lower-cased words without ASCII punctuation and articles (SQuAD's normalisation). */
ac_status ac_grade_token_f1(double *out, ac_view answer, ac_view reference, ac_arena *a, ac_err *err);

#endif
