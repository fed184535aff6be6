/* sql-equal: runs both queries on the contract's database, read-only and bounded, and compares the results. */
#include "eval/grade_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps bound the work the same on every machine; the clock is only a net under it. */
static const ac_query_limits limits = { .max_rows = 10000, .max_bytes = 4u << 20, .max_ms = 5000,
                                        .max_steps = 20000000 };

/* Models like to wrap a query in a fence or end it with text; only a fence is taken off. */
static ac_view unfence(ac_view v)
{
    if (!ac_view_starts(v, AC_VIEW("```"))) return v;
    size_t from = ac_view_find(v, AC_VIEW("\n"), 0);
    if (from == SIZE_MAX) return v;
    size_t to = ac_view_find(v, AC_VIEW("```"), from);
    return ac_view_trim(ac_view_slice(v, from + 1, to == SIZE_MAX ? v.len : to));
}

static bool word_at(ac_view v, size_t i, const char *word)
{
    const size_t n = strlen(word);
    if (i + n > v.len) return false;
    for (size_t k = 0; k < n; k++) {
        const char c = v.ptr[i + k];
        if ((c >= 'a' && c <= 'z' ? c - 32 : c) != word[k]) return false;
    }
    return true;
}

/* ORDER BY outside parentheses, quotes and comments: then the order of rows is part of the answer. */
static bool orders_rows(ac_view sql)
{
    int depth = 0;
    for (size_t i = 0; i < sql.len; i++) {
        const char c = sql.ptr[i];
        if (c == '\'' || c == '"' || c == '`') {
            while (++i < sql.len && sql.ptr[i] != c) {}
        } else if (c == '-' && i + 1 < sql.len && sql.ptr[i + 1] == '-') {
            while (++i < sql.len && sql.ptr[i] != '\n') {}
        } else if (c == '(') {
            depth++;
        } else if (c == ')') {
            depth--;
        } else if (depth == 0 && word_at(sql, i, "ORDER") && (i == 0 || strchr(" \t\n\r)", sql.ptr[i - 1]))) {
            size_t j = i + 5;
            while (j < sql.len && strchr(" \t\n\r", sql.ptr[j])) j++;
            if (j > i + 5 && word_at(sql, j, "BY")) return true;
        }
    }
    return false;
}

static double as_number(const ac_cell *c) { return c->type == AC_CELL_INT ? (double)c->i : c->r; }

/* A total order for sorting; numbers before text, NULL first. Reals are compared as they are: rows that differ by
 * rounding alone may sort apart only when nothing before them differs, which the comparison then tolerates. */
static int cell_order(const ac_cell *x, const ac_cell *y)
{
    const bool nx = x->type == AC_CELL_INT || x->type == AC_CELL_REAL;
    const bool ny = y->type == AC_CELL_INT || y->type == AC_CELL_REAL;
    const int kx = x->type == AC_CELL_NULL ? 0 : nx ? 1 : 2, ky = y->type == AC_CELL_NULL ? 0 : ny ? 1 : 2;
    if (kx != ky) return kx < ky ? -1 : 1;
    if (kx == 0) return 0;
    if (kx == 1) {
        const double a = as_number(x), b = as_number(y);
        return a < b ? -1 : a > b;
    }
    return ac_view_cmp(x->text, y->text);
}

static bool cell_equal(const ac_cell *x, const ac_cell *y)
{
    const bool nx = x->type == AC_CELL_INT || x->type == AC_CELL_REAL;
    const bool ny = y->type == AC_CELL_INT || y->type == AC_CELL_REAL;
    if (nx && ny) {
        const double a = as_number(x), b = as_number(y);
        return a == b || fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
    }
    if (nx != ny || (x->type == AC_CELL_NULL) != (y->type == AC_CELL_NULL)) return false;
    return x->type == AC_CELL_NULL || ac_view_eq(x->text, y->text);
}

/* qsort has no context; a row carries its width. */
typedef struct {
    const ac_cell *cell;
    size_t n;
} row_ref;

static int row_order(const void *x, const void *y)
{
    const row_ref *a = x, *b = y;
    int order = 0;
    for (size_t i = 0; order == 0 && i < a->n; i++) order = cell_order(&a->cell[i], &b->cell[i]);
    return order;
}

static row_ref *rows_of(const ac_rows *r, bool sorted, ac_arena *a)
{
    row_ref *list = ac_arena_alloc_array(a, r->n_rows + 1, sizeof *list);
    if (!list) return NULL;
    for (size_t i = 0; i < r->n_rows; i++) list[i] = (row_ref){ r->cell + i * r->n_cols, r->n_cols };
    if (sorted) qsort(list, r->n_rows, sizeof *list, row_order);
    return list;
}

static ac_status compare(const ac_rows *got, const ac_rows *want, bool ordered, ac_arena *a, ac_verdict_one *out,
                         ac_err *err)
{
    if (got->n_cols != want->n_cols) {
        out->why = ac_arena_printf(a, "sql-equal: %zu columns, the reference has %zu", got->n_cols, want->n_cols);
        return AC_OK;
    }
    if (got->n_rows != want->n_rows) {
        out->why = ac_arena_printf(a, "sql-equal: %zu rows, the reference has %zu", got->n_rows, want->n_rows);
        return AC_OK;
    }
    const row_ref *x = rows_of(got, !ordered, a), *y = rows_of(want, !ordered, a);
    if (!x || !y) return ac_fail_nomem(err, got->n_rows * sizeof *x);
    for (size_t i = 0; i < got->n_rows; i++) {
        for (size_t j = 0; j < got->n_cols; j++) {
            if (cell_equal(&x[i].cell[j], &y[i].cell[j])) continue;
            out->why = ac_arena_printf(a, "sql-equal: row %zu of %zu differs in column %zu%s", i + 1, got->n_rows,
                                       j + 1, ordered ? " (order counts)" : "");
            return AC_OK;
        }
    }
    out->hold = true;
    out->why = ac_arena_printf(a, "sql-equal: same %zu row%s%s", got->n_rows, got->n_rows == 1 ? "" : "s",
                               ordered ? " in the same order" : "");
    return AC_OK;
}

ac_status ac_grade_sql(ac_grade_ctx *g, const ac_case *c, const ac_assert *as, ac_view answer, ac_arena *a,
                       ac_verdict_one *out, ac_err *err)
{
    (void)c;
    if (!g->db)
        return ac_fail(err, AC_ECONTRACT, "sql-equal needs a database; name one under eval.database in accord.yaml");
    ac_rows got = { 0 };
    ac_err query_err = { 0 };
    const ac_view sql = unfence(answer);
    const ac_status answered = ac_store_query(g->db, sql, &limits, a, &got, &query_err);
    if (answered == AC_ENOMEM) return ac_fail(err, AC_ENOMEM, "%s", query_err.text);
    out->hold = false;
    for (size_t i = 0; i < as->n_values && !out->hold; i++) {
        ac_rows want = { 0 };
        /* The reference runs even when the answer failed: a bad case must not hide behind a bad answer. */
        const ac_status st = ac_store_query(g->db, as->value[i], &limits, a, &want, err);
        if (st) return ac_err_prefix(err, st == AC_ENOMEM ? st : AC_ECONTRACT, "the reference query of sql-equal");
        if (answered) continue;
        const ac_status cmp = compare(&got, &want, orders_rows(as->value[i]), a, out, err);
        if (cmp) return cmp;
    }
    if (answered) out->why = ac_arena_printf(a, "sql-equal: %s", query_err.text);
    return AC_OK;
}
