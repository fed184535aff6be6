/* eval/grade.h - deterministic graders (V2): an answer passes a case when all of its assertions hold.
 *
 * G1  The same answer gets the same grade everywhere: no locale, no clock, no network. A model as judge may add a
 *     column elsewhere, never a grade here.
 * G2  sql-equal runs the answer's query and the reference's on a read-only database with limits on rows, bytes
 *     and steps, and compares results: column count, then rows; in order when the reference has ORDER BY at
 *     its outer level, else as multisets; integers and reals compare as numbers within 1e-9 relative.
 * G3  is-refusal with values: the answer, trimmed, starts with one of them. Without: with the contract's fixed
 *     sentence; without that, with one of a short list of English openings (docs/verdicts.md).
 * Threads: a grader belongs to one thread. */
#ifndef AC_EVAL_GRADE_H
#define AC_EVAL_GRADE_H

#include "base/err.h"
#include "base/mem.h"
#include "eval/cases.h"

typedef struct ac_grade_ctx ac_grade_ctx;

/* database: SQLite file for sql-equal, or NULL (then a case that needs it is AC_ECONTRACT). refusal: the fixed
 * sentence, or NULL. Both are borrowed for the call only. */
ac_status ac_grade_open(ac_grade_ctx **out, const char *database, const char *refusal, ac_err *err);
void      ac_grade_close(ac_grade_ctx **g);

typedef struct {
    bool pass;
    ac_view why;          /* one line, in the arena: the first assertion that failed, or what held */
} ac_grade;
/* n_passages: how many numbered passages the answer could cite (0: none). perplexity: of the answer, as the model that gave it
 * has it; NAN: not known, as of a server's, and then an assertion about it does not hold. AC_ECONTRACT when an assertion of the
 * case itself is bad (a regex that does not compile, a reference query that fails). */
ac_status ac_grade_answer(ac_grade_ctx *g, const ac_case *c, ac_view answer, size_t n_passages, double perplexity,
                          ac_arena *a, ac_grade *out, ac_err *err);
/* A reference must pass its own case (freeze refuses one that does not). AC_OK and pass = true when the case
 * has no reference to try. Nothing is known of a reference's perplexity, so an assertion about it counts as met. */
ac_status ac_grade_reference(ac_grade_ctx *g, const ac_case *c, ac_arena *a, ac_grade *out, ac_err *err);

#endif
