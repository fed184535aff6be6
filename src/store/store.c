#include "store/store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"

struct ac_store {
    sqlite3 *db;
    bool read_only;
};

struct ac_stmt {
    sqlite3_stmt *q;
    sqlite3 *db;
};

static ac_status failed(sqlite3 *db, int rc, const char *what, ac_err *err)
{
    const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return ac_fail(err, AC_ENOMEM, "%s: %s", what, text);
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ac_fail(err, AC_EIO, "%s: %s", what, text);
    case SQLITE_CANTOPEN: return ac_fail(err, AC_ECREATE, "%s: %s", what, text);
    default: return ac_fail(err, AC_EFORMAT, "%s: %s", what, text);
    }
}

/* D1. Attaching is off for every handle: nothing of ours needs it. */
static int harden(sqlite3 *db)
{
    int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (!rc) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (!rc) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    if (!rc) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
    sqlite3_limit(db, SQLITE_LIMIT_EXPR_DEPTH, 200);
    sqlite3_limit(db, SQLITE_LIMIT_COMPOUND_SELECT, 50);
    if (!rc) rc = sqlite3_busy_timeout(db, 5000);
    return rc;
}

ac_status ac_store_open(ac_store **out, const char *path, bool read_only, ac_err *err)
{
    const bool memory = strcmp(path, ":memory:") == 0;
    if (read_only && !memory && !ac_path_exists(path))
        return ac_fail(err, AC_ENOENT, "%s: no such database; check the path", path);
    ac_store *s = ac_calloc(1, sizeof *s);
    if (!s) return ac_fail_nomem(err, sizeof *s);
    const int mode = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, &s->db, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!rc) rc = harden(s->db);
    /* Opening alone reads nothing: a text file would be found out only at the first query. */
    if (!rc) rc = sqlite3_exec(s->db, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, NULL, NULL);
    s->read_only = read_only;
    ac_status st = rc ? failed(s->db, rc, path, err) : AC_OK;
    if (st) ac_store_close(&s);
    else *out = s;
    return st;
}

void ac_store_close(ac_store **s)
{
    if (!s || !*s) return;
    sqlite3_close_v2((*s)->db);
    ac_free(*s);
    *s = NULL;
}

ac_status ac_store_exec(ac_store *s, const char *sql, ac_err *err)
{
    const int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc ? failed(s->db, rc, "database", err) : AC_OK;
}

/* ---- our own statements ----------------------------------------------------------------------------------- */

ac_status ac_stmt_open(ac_stmt **out, ac_store *s, const char *sql, ac_err *err)
{
    ac_stmt *q = ac_calloc(1, sizeof *q);
    if (!q) return ac_fail_nomem(err, sizeof *q);
    q->db = s->db;
    const int rc = sqlite3_prepare_v2(s->db, sql, -1, &q->q, NULL);
    const ac_status st = rc ? failed(s->db, rc, "database", err) : AC_OK;
    if (st) ac_stmt_close(&q);
    else *out = q;
    return st;
}

void ac_stmt_close(ac_stmt **q)
{
    if (!q || !*q) return;
    sqlite3_finalize((*q)->q);
    ac_free(*q);
    *q = NULL;
}

ac_status ac_stmt_bind_text(ac_stmt *q, int i, ac_view v, ac_err *err)
{
    const int rc = sqlite3_bind_text64(q->q, i, v.ptr ? v.ptr : "", v.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    return rc ? failed(q->db, rc, "database", err) : AC_OK;
}

ac_status ac_stmt_bind_i64(ac_stmt *q, int i, int64_t v, ac_err *err)
{
    const int rc = sqlite3_bind_int64(q->q, i, v);
    return rc ? failed(q->db, rc, "database", err) : AC_OK;
}

ac_status ac_stmt_bind_f64(ac_stmt *q, int i, double v, ac_err *err)
{
    const int rc = sqlite3_bind_double(q->q, i, v);
    return rc ? failed(q->db, rc, "database", err) : AC_OK;
}

ac_status ac_stmt_step(ac_stmt *q, bool *row, ac_err *err)
{
    const int rc = sqlite3_step(q->q);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return failed(q->db, rc, "database", err);
    *row = rc == SQLITE_ROW;
    return AC_OK;
}

void ac_stmt_reset(ac_stmt *q)
{
    sqlite3_reset(q->q);
    sqlite3_clear_bindings(q->q);
}

ac_view ac_stmt_text(ac_stmt *q, int col)
{
    const char *p = (const char *)sqlite3_column_text(q->q, col);
    return (ac_view){ p ? p : "", (size_t)sqlite3_column_bytes(q->q, col) };
}

int64_t ac_stmt_i64(ac_stmt *q, int col) { return sqlite3_column_int64(q->q, col); }
double ac_stmt_f64(ac_stmt *q, int col) { return sqlite3_column_double(q->q, col); }

/* ---- a stranger's query ------------------------------------------------------------------------------------- */

typedef struct {
    const ac_query_limits *lim;
    int64_t deadline_ns;
    uint64_t steps;
    const char *hit;          /* which limit stopped it */
    bool wrote;               /* the authorizer denied something */
} guard;

#define STEPS_A_CALL 1000

/* Called every STEPS_A_CALL instructions of SQLite's virtual machine; not 0 interrupts. */
static int on_progress(void *ctx)
{
    guard *g = ctx;
    g->steps += STEPS_A_CALL;
    if (g->lim->max_steps && g->steps > g->lim->max_steps) g->hit = "too much work";
    else if (g->lim->max_ms && ac_mono_ns() > g->deadline_ns) g->hit = "too slow";
    return g->hit != NULL;
}

static bool function_denied(const char *name)
{
    /* What reads files or clocks or changes from run to run: an answer must not depend on it. */
    static const char *const denied[] = { "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer",
                                          "random", "randomblob", "sqlite_compileoption_get", "current_time",
                                          "current_date", "current_timestamp", "zeroblob" };
    for (size_t i = 0; i < AC_COUNTOF(denied); i++)
        if (name && sqlite3_stricmp(name, denied[i]) == 0) return true;
    return false;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *db, const char *trigger)
{
    guard *g = ctx;
    (void)a;
    (void)db;
    (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION:
        if (!function_denied(b)) return SQLITE_OK;
        break;
    default: break;
    }
    g->wrote = true;
    return SQLITE_DENY;
}

static bool only_blanks(const char *p, const char *end)
{
    for (; p < end; p++)
        if (!strchr(" \t\r\n;", *p)) return false;
    return true;
}

typedef struct {
    sqlite3_stmt *q;
    ac_arena *a;
    ac_rows *out;
    size_t cap_rows, bytes;
    guard *g;
    ac_err *err;
} collector;

static ac_status add_cell(collector *c, int col, ac_cell *cell)
{
    const int type = sqlite3_column_type(c->q, col);
    *cell = (ac_cell){ AC_CELL_NULL, 0, 0, { NULL, 0 } };
    if (type == SQLITE_INTEGER) {
        cell->type = AC_CELL_INT;
        cell->i = sqlite3_column_int64(c->q, col);
    } else if (type == SQLITE_FLOAT) {
        cell->type = AC_CELL_REAL;
        cell->r = sqlite3_column_double(c->q, col);
    } else if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
        const char *p = type == SQLITE_TEXT ? (const char *)sqlite3_column_text(c->q, col)
                                            : sqlite3_column_blob(c->q, col);
        const size_t n = (size_t)sqlite3_column_bytes(c->q, col);
        char *copy = ac_arena_strndup(c->a, p ? p : "", p ? n : 0);
        if (!copy) return ac_fail_nomem(c->err, n);
        cell->type = type == SQLITE_TEXT ? AC_CELL_TEXT : AC_CELL_BLOB;
        cell->text = (ac_view){ copy, p ? n : 0 };
        c->bytes += n;
    }
    return AC_OK;
}

static ac_status grow_rows(collector *c)
{
    const size_t cols = c->out->n_cols, cap = c->cap_rows ? c->cap_rows * 2 : 32;
    if (c->out->n_rows < c->cap_rows) return AC_OK;
    ac_cell *bigger = ac_arena_alloc_array(c->a, cap * cols, sizeof *bigger);
    if (!bigger) return ac_fail_nomem(c->err, cap * cols * sizeof *bigger);
    if (c->out->n_rows) memcpy(bigger, c->out->cell, c->out->n_rows * cols * sizeof *bigger);
    c->out->cell = bigger;
    c->cap_rows = cap;
    return AC_OK;
}

static ac_status add_row(collector *c)
{
    const ac_query_limits *lim = c->g->lim;
    if (lim->max_rows && c->out->n_rows >= lim->max_rows) {
        c->g->hit = "too many rows";
        return AC_OK;
    }
    ac_status st = grow_rows(c);
    for (size_t i = 0; !st && i < c->out->n_cols; i++)
        st = add_cell(c, (int)i, &c->out->cell[c->out->n_rows * c->out->n_cols + i]);
    if (!st) c->out->n_rows++;
    if (lim->max_bytes && c->bytes > lim->max_bytes) c->g->hit = "too many bytes";
    return st;
}

static ac_status name_columns(collector *c)
{
    const int n = sqlite3_column_count(c->q);
    c->out->n_cols = (size_t)n;
    c->out->col = ac_arena_alloc_array(c->a, (size_t)n, sizeof *c->out->col);
    if (!c->out->col) return ac_fail_nomem(c->err, (size_t)n * sizeof *c->out->col);
    for (int i = 0; i < n; i++) {
        const char *name = sqlite3_column_name(c->q, i);
        c->out->col[i] = name ? ac_arena_strndup(c->a, name, strlen(name)) : NULL;
        if (!c->out->col[i]) return ac_fail_nomem(c->err, 64);
    }
    return AC_OK;
}

static ac_status run_query(ac_store *s, sqlite3_stmt *q, guard *g, ac_arena *a, ac_rows *out, ac_err *err)
{
    collector c = { .q = q, .a = a, .out = out, .g = g, .err = err };
    ac_status st = name_columns(&c);
    int rc = SQLITE_ROW;
    while (!st && !g->hit) {
        rc = sqlite3_step(q);
        if (rc != SQLITE_ROW) break;
        st = add_row(&c);
    }
    if (st) return st;
    if (g->hit) return ac_fail(err, AC_EREFUSED, "the query was stopped: %s", g->hit);
    if ((rc & 0xff) == SQLITE_TOOBIG) return ac_fail(err, AC_EREFUSED, "the query was stopped: too many bytes");
    return rc == SQLITE_DONE ? AC_OK : failed(s->db, rc, "query", err);
}

static ac_status prepare(ac_store *s, ac_view sql, guard *g, sqlite3_stmt **q, ac_err *err)
{
    const char *rest = NULL;
    if (sql.len > 1u << 20) return ac_fail(err, AC_EFORMAT, "the query is longer than 1 MiB");
    const int rc = sqlite3_prepare_v2(s->db, sql.ptr ? sql.ptr : "", (int)sql.len, q, &rest);
    if (rc == SQLITE_AUTH || (rc && g->wrote)) return ac_fail(err, AC_EREFUSED, "the query does more than read");
    if (rc) return failed(s->db, rc, "query", err);
    if (!*q) return ac_fail(err, AC_EFORMAT, "there is no query");
    if (!only_blanks(rest, sql.ptr + sql.len)) return ac_fail(err, AC_EFORMAT, "more than one statement");
    if (!sqlite3_stmt_readonly(*q) || sqlite3_column_count(*q) == 0)
        return ac_fail(err, AC_EREFUSED, "the query does more than read");
    return AC_OK;
}

/* One instruction of the virtual machine may build a string of any length (printf, replace, group_concat) or match a
 * long pattern: the limits above are looked at only between instructions, so these hold inside them. */
#define VALUE_BYTES_LEAST (1 << 16)
#define PATTERN_BYTES     1000

static int value_bytes(const ac_query_limits *lim)
{
    if (lim->max_bytes && lim->max_bytes < VALUE_BYTES_LEAST) return VALUE_BYTES_LEAST;
    return lim->max_bytes && lim->max_bytes < 1 << 24 ? (int)lim->max_bytes : 1 << 24;
}

ac_status ac_store_query(ac_store *s, ac_view sql, const ac_query_limits *lim, ac_arena *a, ac_rows *out, ac_err *err)
{
    guard g = { .lim = lim, .deadline_ns = ac_mono_ns() + lim->max_ms * 1000000 };
    sqlite3_stmt *q = NULL;
    ac_rows rows = { 0 };
    sqlite3_set_authorizer(s->db, authorize, &g);
    sqlite3_progress_handler(s->db, STEPS_A_CALL, on_progress, &g);
    const int length_before = sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, value_bytes(lim));
    const int like_before = sqlite3_limit(s->db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES);
    ac_status st = prepare(s, sql, &g, &q, err);
    if (!st) st = run_query(s, q, &g, a, &rows, err);
    sqlite3_finalize(q);
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, length_before);
    sqlite3_limit(s->db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, like_before);
    sqlite3_progress_handler(s->db, 0, NULL, NULL);
    sqlite3_set_authorizer(s->db, NULL, NULL);
    if (!st) *out = rows;
    return st;
}

const char *ac_store_version(void)
{
    return sqlite3_libversion();
}
