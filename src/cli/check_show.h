/* cli/check_show.h - what `data check` found, on a page or as JSON. */
#ifndef AC_CLI_CHECK_SHOW_H
#define AC_CLI_CHECK_SHOW_H

#include "cli/cli.h"
#include "data/survey.h"
#include "eval/cases.h"

#define AC_CHECK_KINDS 64

typedef struct {
    const ac_survey *survey;
    const ac_findings *more;                     /* lists from elsewhere: cases, documents, leaks; path_a is set */
    size_t n_more;
    const ac_cases *cases;                       /* NULL: none were looked at */
    const char *docs;                            /* NULL: none */
    size_t n_docs;
    uint64_t docs_bytes;
    const char *absent;                          /* the training rows that the contract names, when they are not there */
    ac_view masks;                               /* rows with their masks, shown already as text */
    bool has_masks;
    size_t limit;                                /* findings on the page; 0: all */
    double seconds;
    size_t by[3];                                /* filled by ac_check_count, like the kinds */
    ac_survey_count kind[AC_CHECK_KINDS];
    size_t n_kinds;
} ac_check_page;

void      ac_check_count(ac_check_page *p);
void      ac_check_json(ac_str *s, const ac_check_page *p);
ac_status ac_check_text(ac_str *s, const ac_check_page *p, const ac_cli *cli, ac_err *err);

#endif
