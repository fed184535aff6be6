/* contract/texts.h - what the checks look at in cases and documents; freeze and `data check` share it (docs/data.md).
 *
 * X1  Of cases, everything that they say and want to hear is looked at; of documents, the whole text.
 * X2  Hidden text only warns here: a case may test it on purpose, and the rag arms leave it out of documents.
 * X3  Findings carry path_a, and lines of that file (not numbers of cases); ids do not depend on either. */
#ifndef AC_CONTRACT_TEXTS_H
#define AC_CONTRACT_TEXTS_H

#include "data/scan.h"
#include "eval/cases.h"
#include "rag/rag.h"

typedef struct {
    const ac_cases *cases;         /* borrowed */
    ac_leak_text *text;            /* one a case */
    const char *canary;            /* NULL: none */
} ac_case_texts;
/* Made in the arena, and as long-lived as arena and cases. */
ac_status ac_case_texts_make(ac_case_texts *out, const ac_cases *cases, ac_arena *a, ac_err *err);

/* Each of these adds to f. s may be NULL: no secrets, no personal data. readers: as ac_scan_place. */
ac_status ac_texts_scan_cases(ac_findings *f, const ac_scanner *s, const ac_cases *c, bool readers, ac_err *err);
ac_status ac_texts_scan_documents(ac_findings *f, const ac_scanner *s, const ac_rag_text *doc, size_t n, ac_err *err);
/* Odd characters of documents as they lie there, before any are left out. */
ac_status ac_texts_odd_documents(ac_findings *f, const ac_rag_text *doc, size_t n, ac_err *err);

/* Each of these gives *f, which is empty before. Cases against each other: copies, and near ones. */
ac_status ac_texts_twins(ac_findings *f, const ac_case_texts *t, ac_err *err);
/* Cases against rows; what is about the cases alone is left out. */
ac_status ac_texts_leaks_rows(ac_findings *f, const ac_case_texts *t, const ac_row_file *rows, ac_err *err);
/* Whole documents, so that nothing is cut in two at a passage's end. Only what fails counts: documents may hold answers, and
 * questions like the cases'. */
ac_status ac_texts_leaks_documents(ac_findings *f, const ac_case_texts *t, const ac_rag_text *doc, size_t n, ac_err *err);

#endif
