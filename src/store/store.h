/* store/store.h - SQLite behind one small header; the only room that includes sqlite3.h.
 *
 * D1  trusted_schema off, defensive on; a handle belongs to one thread; files are never trusted to hold views
 *     or triggers of ours.
 * D2  Read-only queries of strangers (a model wrote them) run with an authorizer that allows reading only,
 *     and with limits on rows, bytes and virtual-machine steps and time; nothing can be attached. */
#ifndef AC_STORE_STORE_H
#define AC_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct ac_store ac_store;

ac_status ac_store_open(ac_store **out, const char *path, bool read_only, ac_err *err); /* ":memory:" too */
void      ac_store_close(ac_store **s);
ac_status ac_store_exec(ac_store *s, const char *sql, ac_err *err);     /* our own statements */

/* Prepared statements of our own. bind indexes from 1; step gives AC_OK with *row false at the end. */
typedef struct ac_stmt ac_stmt;
ac_status ac_stmt_open(ac_stmt **out, ac_store *s, const char *sql, ac_err *err);
void      ac_stmt_close(ac_stmt **q);
ac_status ac_stmt_bind_text(ac_stmt *q, int i, ac_view v, ac_err *err);
ac_status ac_stmt_bind_i64(ac_stmt *q, int i, int64_t v, ac_err *err);
ac_status ac_stmt_bind_f64(ac_stmt *q, int i, double v, ac_err *err);
ac_status ac_stmt_step(ac_stmt *q, bool *row, ac_err *err);
void      ac_stmt_reset(ac_stmt *q);
ac_view   ac_stmt_text(ac_stmt *q, int col);     /* until the next step */
int64_t   ac_stmt_i64(ac_stmt *q, int col);
double    ac_stmt_f64(ac_stmt *q, int col);

/* One stranger's query, read-only (D2). */
typedef enum { AC_CELL_NULL, AC_CELL_INT, AC_CELL_REAL, AC_CELL_TEXT, AC_CELL_BLOB } ac_cell_type;
typedef struct { ac_cell_type type; int64_t i; double r; ac_view text; } ac_cell;
typedef struct {
    size_t n_cols, n_rows;
    char **col;          /* column names */
    ac_cell *cell;       /* row-major */
} ac_rows;
typedef struct { size_t max_rows, max_bytes; int64_t max_ms; uint64_t max_steps; } ac_query_limits;
/* The rows live in the arena. AC_EFORMAT: not one read-only statement, or SQL error (message from SQLite);
 * AC_EREFUSED: a limit was hit (message says which) or the statement would write. */
ac_status ac_store_query(ac_store *s, ac_view sql, const ac_query_limits *lim, ac_arena *a, ac_rows *out,
                         ac_err *err);
/* Of the SQLite that runs. */
const char *ac_store_version(void);

#endif
