/* backend/cpu_columns.c - several products with their bias and adapter as one run of the pool.
 *
 * Outputs are cut by columns, which expands no weight twice. What is done to a piece of columns is all done by the task
 * that owns it, while it is still near: the product, the bias, the adapter's part. Pieces get narrower as fewer columns
 * are left, so that the threads end together however unequal they are; no cut changes a bit (B3). */
#include "backend/cpu_int.h"

enum { COLUMNS = 32, WIDEST = 8 };               /* columns of a unit; units of a piece */

static size_t step_of(const ac_matmul_args *p)
{
    const size_t elems = ac_dtype_block_elems(p->b_type);
    return p->form != AC_MM_NT && elems > COLUMNS ? elems : COLUMNS;
}

static size_t all_columns(const cpu_columns *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n; i++) n += job->out[i].product.n;
    return n;
}

/* Columns of the next piece, when `left` of all are left. */
static size_t piece_width(const cpu_columns *job, size_t left, size_t step)
{
    const size_t threads = job->d->threads, units = (left + COLUMNS - 1) / COLUMNS;
    size_t w = threads == 1 ? WIDEST : (units + 2 * threads - 1) / (2 * threads);
    if (w > WIDEST) w = WIDEST;
    return (w * COLUMNS + step - 1) / step * step;
}

/* Piece `task`; false, with the number of pieces in *which, when there are not so many. */
static bool find_piece(const cpu_columns *job, size_t task, size_t *which, size_t *from, size_t *to)
{
    size_t left = all_columns(job), at = 0;
    for (size_t i = 0; i < job->n; i++) {
        const ac_matmul_args *p = &job->out[i].product;
        const size_t step = step_of(p);
        for (size_t j = 0; j < p->n; at++) {
            const size_t w = piece_width(job, left, step), end = p->n - j < w ? p->n : j + w;
            if (at == task) {
                *which = i;
                *from = j;
                *to = end;
                return true;
            }
            left -= end - j;
            j = end;
        }
    }
    *which = at;
    return false;
}

static void multiply(ac_cpu_device *d, const ac_matmul_args *whole, size_t from, size_t to, size_t worker)
{
    ac_matmul_args g = *whole;
    const size_t elems = ac_dtype_block_elems(g.b_type), bytes = ac_dtype_block_bytes(g.b_type);
    const unsigned char *b = g.b;
    g.b = g.form == AC_MM_NT ? b + from * g.b_row_bytes : b + from / elems * bytes;
    g.packed = NULL;                             /* which is for few rows alone */
    g.panels_col += from;
    g.c += from;
    g.n = to - from;
    d->k.matmul(&g, d->ws, worker);
}

static void column_task(void *ctx, size_t task, size_t worker)
{
    const cpu_columns *job = ctx;
    size_t i, from, to;
    if (task >= job->pieces) {
        job->other(job->other_ctx, task - job->pieces, worker);
        return;
    }
    if (!find_piece(job, task, &i, &from, &to)) return;
    const cpu_column_out *o = &job->out[i];
    ac_matmul_args product = o->product;
    product.laid = job->laid ? job->d->laid : NULL;
    multiply(job->d, &product, from, to, worker);
    if (o->bias) job->d->k.add_row(o->product.c + from, o->bias + from, o->product.m, to - from, o->product.ldc);
    if (o->adapter.c) multiply(job->d, &o->adapter, from, to, worker);
}

/* ---- A laid out once for all pieces ---------------------------------------------------------------------- */

typedef struct {
    ac_cpu_device *d;
    const ac_matmul_args *p;
    size_t tiles;
} lay_job;

static void lay_range(void *ctx, size_t from, size_t to, size_t worker)
{
    const lay_job *j = ctx;
    AC_UNUSED(worker);
    j->d->k.lay_a(j->d->laid, j->p->a, j->p->lda, j->p->m, j->p->k, from, to);
}

/* True when the products have an A in common that fits; then it lies in d->laid. */
static bool lay_common(ac_cpu_device *d, const cpu_column_out *out, size_t n)
{
    const ac_matmul_args *p = &out[0].product;
    const size_t floats = ac_laid_floats(&d->k, p->m, p->k);
    if (!floats || floats > CPU_LAID_FLOATS || p->numerics != AC_NUM_FP32) return false;
    for (size_t i = 1; i < n; i++) {
        const ac_matmul_args *o = &out[i].product;
        if (o->a != p->a || o->lda != p->lda || o->m != p->m || o->k != p->k) return false;
    }
    lay_job j = { d, p, ac_laid_tiles(&d->k, p->m) };
    cpu_for(d, j.tiles, 1, lay_range, &j);
    return true;
}

bool cpu_columns_pay(const ac_cpu_device *d, size_t rows, size_t cols)
{
    /* Numerics bf16 would round the rows of A again for each piece. */
    return d->numerics == AC_NUM_FP32 && rows >= 64 && cols / COLUMNS >= 4 * d->threads;
}

void cpu_columns_run(cpu_columns *job)
{
    size_t unused;
    job->laid = lay_common(job->d, job->out, job->n);
    (void)find_piece(job, SIZE_MAX, &job->pieces, &unused, &unused);
    ac_pool_run(job->d->pool, job->pieces + job->n_other, column_task, job);
}

/* ---- the adapter's short products ----------------------------------------------------------------------- */

typedef struct {
    ac_cpu_device *d;
    const ac_matmul_args *args;
    const float *scale;
    size_t n, rows, parts;
} short_job;

static void short_task(void *ctx, size_t task, size_t worker)
{
    const short_job *j = ctx;
    const size_t from = task * j->rows;
    for (size_t i = 0; i < j->n; i++) {
        ac_matmul_args g = j->args[i];
        g.m = g.m - from < j->rows ? g.m - from : j->rows;
        g.a += from * g.lda;
        g.c += from * g.ldc;
        j->d->k.matmul(&g, j->d->ws, worker);
        j->d->k.scale(g.c, j->scale[i], g.m * g.ldc);
    }
}

void cpu_short_products(ac_cpu_device *d, const ac_matmul_args *args, const float *scale, size_t n)
{
    if (!n) return;
    enum { TILE = 14, PARTS_A_THREAD = 3 };
    const size_t m = args[0].m, most = d->threads == 1 ? 1 : PARTS_A_THREAD * d->threads;
    short_job j = { .d = d, .args = args, .scale = scale, .n = n };
    j.rows = ((m + most - 1) / most + TILE - 1) / TILE * TILE;
    j.parts = (m + j.rows - 1) / j.rows;
    ac_pool_run(d->pool, j.parts, short_task, &j);
}
