/* cli/show_cases.h - each case of a verdict: the question, what each arm said, which passages it had, which grader and why. */
#ifndef AC_CLI_SHOW_CASES_H
#define AC_CLI_SHOW_CASES_H

#include "cli/commands.h"
#include "formats/json.h"

typedef enum { AC_SHOW_NONE, AC_SHOW_ALL, AC_SHOW_FAILED, AC_SHOW_DIFFERING } ac_show_which;

typedef struct {
    ac_show_which which;         /* failed: by tuned; differing: not all arms the same */
    const char *const *id;       /* only these; n_ids 0: any */
    size_t n_ids;
} ac_show_cases;

/* Appends to out. AC_ENOENT names an id that the verdict does not have. */
ac_status ac_show_cases_text(ac_str *out, const ac_cli *cli, const ac_json *verdict, const ac_show_cases *o, ac_err *err);

#endif
