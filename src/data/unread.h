/* data/unread.h - keys of rows and turns that nothing reads (docs/data.md, "Keys that nothing reads").
 *
 * U1  A key counts once a row, and only where it says something: null and empty values do not.
 * U2  Of a file the first AC_UNREAD_MAX keys are kept by name; rows with others are counted together.
 * U3  Lists of parts of a file, merged in order, are the list of the file.
 * Not here: keys that are refused, because they would be ignored and cannot be meant otherwise (convert.c). */
#ifndef AC_DATA_UNREAD_H
#define AC_DATA_UNREAD_H

#include "data/data.h"
#include "formats/json.h"

#define AC_UNREAD_MAX 64

/* Looks at one row, read as this format, that begins in this line. */
ac_status ac_unread_row(ac_unread *u, const ac_json *row, ac_row_format format, size_t line, ac_err *err);
ac_status ac_unread_merge(ac_unread *into, const ac_unread *part, ac_err *err);
/* Appends an "unread-key" finding for each key: a warning where it seems meant to change what is learnt, else a note. */
ac_status ac_unread_report(ac_findings *f, const ac_unread *u, ac_row_format format, ac_err *err);
void      ac_unread_reset(ac_unread *u);
void      ac_unread_release(ac_unread *u);

#endif
