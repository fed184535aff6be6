/* cli/table.h - tables without boxes: aligned by display width, two spaces between columns. */
#ifndef AC_CLI_TABLE_H
#define AC_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define AC_TABLE_COLS 16

typedef struct {
    ac_arena arena;
    size_t n_cols, n_cells, cap;
    bool right[AC_TABLE_COLS];
    ac_view *cell;               /* row-major; the first row holds the headings */
    bool failed;                 /* out of memory, remembered */
} ac_table;

/* align: one letter a column, 'l' or 'r'; headings: as many. */
void ac_table_init(ac_table *t, const char *align, const char *const *headings);
void ac_table_cell(ac_table *t, ac_view text);              /* copied; one after the other, row by row */
void ac_table_cellf(ac_table *t, const char *fmt, ...) AC_PRINTF(2, 3);
/* Appends the table. max_width 0: as wide as it is; else the widest left-aligned column is cut with an
 * ellipsis to fit. color: headings in bold. */
ac_status ac_table_render(const ac_table *t, ac_str *out, size_t max_width, bool color, ac_err *err);
void ac_table_release(ac_table *t);

/* Columns that a text takes on a terminal; control characters count one ('?'). */
size_t ac_text_width(ac_view v);

#endif
