/* base/err.h - one status type for every room, and one sentence for the person.
 *
 * E1  AC_OK is 0; every failure is negative. Outputs of a call change on success only.
 * E2  The status is for the program, ac_err for the person. On success ac_err is untouched.
 * E3  ac_err keeps the text of the first failure; callers may put a place in front of it.
 * E4  A message gives place, finding, expectation and next step:
 *     rows.jsonl:812:40: "role" must be a string, found a number; fix the row
 * E5  Only cli prints or exits. Bad input never meets an assert; asserts catch our own mistakes.
 * Threads: an ac_err belongs to one thread. */
#ifndef AC_BASE_ERR_H
#define AC_BASE_ERR_H

#include "base/compiler.h"

typedef enum {
    AC_OK = 0,
    AC_ENOMEM = -1,    /* allocation failed                                      exit 70 */
    AC_EIO = -2,       /* read or write failed                                   exit 74 */
    AC_EFORMAT = -3,   /* a file's content is bad                                exit 65 */
    AC_EARG = -4,      /* a value the caller or the user gave is out of range    exit 64 */
    AC_ESTATE = -5,    /* not possible in this state; our own fault if it shows  exit 70 */
    AC_ECANCEL = -6,   /* stopped on request, at a safe point                    exit 75 */
    AC_ENOENT = -7,    /* an input that was named is missing                     exit 66 */
    AC_EREFUSED = -8,  /* the contract forbids it                                exit 77 */
    AC_ECONTRACT = -9, /* the contract or lock itself is bad or was changed      exit 78 */
    AC_EDIVERGED = -10,/* not finite three times in a row                        exit 79 */
    AC_ECREATE = -11,  /* an output cannot be created                            exit 73 */
    AC_ENO = -12,      /* checked, and the answer is no                          exit 1  */
    AC_EMOVE = -13     /* does not fit on this machine                           exit 76 */
} ac_status;

#define AC_ERR_TEXT_MAX 1024

typedef struct {
    char text[AC_ERR_TEXT_MAX]; /* "" while nothing failed */
} ac_err;

/* Sets the text if err is given and still empty, and returns st, so that a failure is one line:
 *     return ac_fail(err, AC_EFORMAT, "%s:%zu: ...", path, line);
 * Control characters in the formatted text are replaced by '?' (names come from files). */
ac_status ac_fail(ac_err *err, ac_status st, const char *fmt, ...) AC_PRINTF(3, 4);

/* Puts "<prefix>: " in front of a text that is set; err may be NULL. Returns st. */
ac_status ac_err_prefix(ac_err *err, ac_status st, const char *fmt, ...) AC_PRINTF(3, 4);

/* "out of memory (N bytes wanted)". */
ac_status ac_fail_nomem(ac_err *err, unsigned long long bytes);

/* Appends errno's text: "<formatted>: No space left on device". */
ac_status ac_fail_errno(ac_err *err, ac_status st, int errno_value, const char *fmt, ...)
    AC_PRINTF(4, 5);

const char *ac_status_name(ac_status st); /* "EFORMAT" */

#endif
