/* kernels/matmul.c - the product over a pool, and its workspace.
 *
 * Only outputs are split (B3), so the cut changes no bit. Columns are cut first: then no weight is
 * expanded by two threads. Rows are cut when there are too few columns to go round. */
#include "base/mem.h"
#include "kernels/kernels_int.h"

ac_status ac_mm_workspace_open(ac_mm_workspace **out, size_t threads, ac_err *err)
{
    if (threads == 0) threads = 1;
    const size_t part = AC_MM_WS_FLOATS * sizeof(float);
    if (threads > SIZE_MAX / part) return ac_fail_nomem(err, SIZE_MAX);
    ac_mm_workspace *w = ac_malloc(sizeof *w);
    if (!w) return ac_fail_nomem(err, sizeof *w);
    w->threads = threads;
    w->base = ac_malloc_aligned(threads * part);
    if (!w->base) {
        ac_free(w);
        return ac_fail_nomem(err, threads * part);
    }
    *out = w;
    return AC_OK;
}

void ac_mm_workspace_close(ac_mm_workspace **w)
{
    if (!*w) return;
    ac_free((*w)->base);
    ac_free(*w);
    *w = NULL;
}

typedef struct {
    const ac_kernels *t;
    ac_mm_workspace *ws;
    const ac_matmul_args *args;
    size_t col_parts, row_parts, col_unit, row_unit;
} split;

/* [*from, *to) is part i of n cut into `parts` nearly equal pieces whose ends lie on `unit`. */
static void part_of(size_t n, size_t unit, size_t parts, size_t i, size_t *from, size_t *to)
{
    const size_t units = (n + unit - 1) / unit, each = units / parts, more = units % parts;
    const size_t a = i * each + (i < more ? i : more), b = a + each + (i < more ? 1 : 0);
    *from = a * unit < n ? a * unit : n;
    *to = b * unit < n ? b * unit : n;
}

static void run_part(void *ctx, size_t task, size_t worker)
{
    const split *s = ctx;
    ac_matmul_args g = *s->args;
    size_t i0, i1, j0, j1;
    part_of(g.m, s->row_unit, s->row_parts, task / s->col_parts, &i0, &i1);
    part_of(g.n, s->col_unit, s->col_parts, task % s->col_parts, &j0, &j1);
    const size_t elems = ac_dtype_block_elems(g.b_type), bytes = ac_dtype_block_bytes(g.b_type);
    const uint8_t *b = g.b;
    g.b = g.form == AC_MM_NT ? b + j0 * g.b_row_bytes : b + j0 / elems * bytes;
    g.a += g.form == AC_MM_TN ? i0 : i0 * g.lda;
    g.c += i0 * g.ldc + j0;
    g.m = i1 - i0;
    g.n = j1 - j0;
    if (g.m && g.n) s->t->matmul(&g, s->ws, worker);
}

void ac_matmul(const ac_kernels *t, ac_pool *pool, ac_mm_workspace *ws, const ac_matmul_args *args)
{
    if (!args->m || !args->n) return;
    if (ws && ac_pool_threads(pool) > ws->threads) pool = NULL;   /* each worker needs its part */
    const size_t threads = ac_pool_threads(pool);
    split s = { .t = t, .ws = ws, .args = args, .col_unit = 32, .row_unit = 14 };
    const size_t elems = ac_dtype_block_elems(args->b_type);
    if (args->form != AC_MM_NT && elems > s.col_unit) s.col_unit = elems;
    const size_t cols = (args->n + s.col_unit - 1) / s.col_unit;
    const size_t rows = (args->m + s.row_unit - 1) / s.row_unit;
    s.col_parts = cols < threads ? cols : threads;
    s.row_parts = threads / s.col_parts;
    if (s.row_parts > rows) s.row_parts = rows;
    ac_pool_run(pool, s.col_parts * s.row_parts, run_part, &s);
}
