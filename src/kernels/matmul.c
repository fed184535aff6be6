/* kernels/matmul.c - the product over a pool, and its workspace.
 *
 * Only outputs are split (B3), so the cut changes no bit. Cutting columns costs least, since then no weight
 * is expanded twice; rows are cut as well when there are too few columns to go round evenly. Long products
 * are cut finer than the threads, so that a thread that a neighbour slows down gets fewer parts. */
#include "base/mem.h"
#include "kernels/few_int.h"

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

size_t ac_mm_workspace_bytes(size_t threads)
{
    return (threads ? threads : 1) * AC_MM_WS_FLOATS * sizeof(float);
}

void ac_mm_workspace_touch(ac_mm_workspace *w, size_t worker)
{
    if (worker < w->threads) ac_mem_touch(w->base + worker * AC_MM_WS_FLOATS, AC_MM_WS_FLOATS * sizeof(float));
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
    g.packed_row += j0;
    g.panels_col += j0;
    g.a += g.form == AC_MM_TN ? i0 : i0 * g.lda;
    g.c += i0 * g.ldc + j0;
    g.m = i1 - i0;
    g.n = j1 - j0;
    if (g.m && g.n) s->t->matmul(&g, s->ws, worker);
}

enum { PARTS_A_THREAD = 4 };
static const double SHORT_NS = 8e3, LONG_NS = 1e6;   /* of a product; of a thread's share */

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* How long the threads work when `cols` x `rows` units are cut into cp x rp parts, in units: each column of
 * a part costs its rows, and about one more for the expansion of its weights. */
static size_t time_of(size_t cols, size_t rows, size_t cp, size_t rp, size_t threads, bool rounds)
{
    /* In quarters; BF16 rounds each row of a part, at about a third of what a column costs it. */
    const size_t cost = 4 * ceil_div(cols, cp) + (rounds ? 1 : 0);
    return ceil_div(cp * rp, threads) * cost * (ceil_div(rows, rp) + 1);
}

static void choose_parts(split *s, size_t cols, size_t rows, size_t threads, bool many)
{
    const bool rounds = s->args->numerics == AC_NUM_BF16;
    const size_t most = threads * (many ? PARTS_A_THREAD : 1);
    size_t best = SIZE_MAX;
    for (size_t cp = 1; cp <= most && cp <= cols; cp++) {
        for (size_t rp = 1; cp * rp <= most && rp <= rows; rp++) {
            const size_t t = time_of(cols, rows, cp, rp, threads, rounds);
            if (t < best) best = t;
        }
    }
    const size_t near = best + best / 32;
    size_t parts = 0;
    for (size_t cp = 1; cp <= most && cp <= cols; cp++) {
        for (size_t rp = 1; cp * rp <= most && rp <= rows; rp++) {
            if (time_of(cols, rows, cp, rp, threads, rounds) > near || cp * rp < parts) continue;
            parts = cp * rp;
            s->col_parts = cp;
            s->row_parts = rp;
        }
    }
}

/* ---- few rows over packed weights --------------------------------------------------------------------- */

enum { FEW_ROWS = 32, FEW_PARTS_A_THREAD = 6 };
static const double PART_NS = 1e4;           /* of a part worth its own turn; shorter ones as many as above */

/* The columns of all products stand in one row of groups, which is cut into nearly equal parts. Where a part is a
 * group and the groups do not go round evenly, the last one is two parts (halves: 1). */
typedef struct {
    const ac_kernels *t;
    ac_mm_workspace *ws;
    const ac_matmul_args *args;
    size_t n, groups, parts, halves;
} several;

enum { HALF = AC_GROUP_ROWS / 2 };

static void several_part(void *ctx, size_t task, size_t worker)
{
    const several *s = ctx;
    size_t from, to;
    const size_t whole = s->parts - s->halves;
    if (task < whole) part_of(2 * (s->groups - s->halves), 2, whole, task, &from, &to);
    else {
        from = 2 * (s->groups - 1) + task - whole;
        to = from + 1;
    }
    for (size_t i = 0; i < s->n && from < to; i++) {
        ac_matmul_args g = s->args[i];
        const size_t there = 2 * ceil_div(g.n, AC_GROUP_ROWS), end = to < there ? to : there;
        if (from < there) {
            const size_t j0 = from * HALF < g.n ? from * HALF : g.n, j1 = end * HALF < g.n ? end * HALF : g.n;
            g.b = (const uint8_t *)g.b + j0 * g.b_row_bytes;
            g.packed_row += j0;
            g.c += j0;
            g.n = j1 - j0;
            if (g.n) s->t->matmul(&g, s->ws, worker);
            from = end;
        }
        from -= from < there ? from : there;
        to -= to < there ? to : there;
    }
}

/* The weights' time, were they read from memory at 16 GB/s or multiplied at 60 GFLOP/s. */
static double few_ns(const ac_matmul_args *g)
{
    const double each = g->m < 4 ? 1.0 / 12 : (double)g->m / 40;
    return (double)g->n * (double)g->k * each;
}

static bool is_few(const ac_kernels *t, const ac_matmul_args *g)
{
    return t->packs && g->packed && g->numerics == AC_NUM_FP32 && g->form == AC_MM_NT && g->m <= FEW_ROWS &&
           g->m && g->n && g->k;
}

void ac_matmul_several(const ac_kernels *t, ac_pool *pool, ac_mm_workspace *ws, const ac_matmul_args *args,
                       size_t n)
{
    bool few = true;
    for (size_t i = 0; i < n; i++) few = few && is_few(t, &args[i]);
    for (size_t i = 0; !few && i < n; i++) ac_matmul(t, pool, ws, &args[i]);
    if (!few || !n) return;
    const size_t threads = ac_pool_threads(pool);
    several s = { .t = t, .ws = ws, .args = args, .n = n, .parts = 1 };
    double ns = 0;
    for (size_t i = 0; i < n; i++) {
        s.groups += ceil_div(args[i].n, AC_GROUP_ROWS);
        ns += few_ns(&args[i]);
    }
    const bool own = threads == 1 || ns < SHORT_NS || threads > ws->threads;
    if (!own) {
        const double most = ns / (SHORT_NS / 4), least = (double)(threads * FEW_PARTS_A_THREAD);
        const double cap = ns / PART_NS > least ? ns / PART_NS : least;
        s.parts = (size_t)(most < cap ? most : cap);
        if (s.parts >= s.groups) {
            s.parts = s.groups;
            s.halves = args->m >= 4 && s.groups > 1 && s.groups % threads ? 1 : 0;
        }
    }
    ac_pool_run(own ? NULL : pool, s.parts + s.halves, several_part, &s);
}

void ac_matmul(const ac_kernels *t, ac_pool *pool, ac_mm_workspace *ws, const ac_matmul_args *args)
{
    if (!args->m || !args->n) return;
    if (ws && is_few(t, args)) {
        ac_matmul_several(t, pool, ws, args, 1);
        return;
    }
    /* Roughly, on one thread: 160 GFLOP/s, and each weight is expanded once. */
    const double ns = (double)args->n * (double)args->k * ((double)args->m / 80 + 0.05);
    const bool own = ac_pool_threads(pool) == 1 || ns < SHORT_NS ||
                     (ws && ac_pool_threads(pool) > ws->threads);   /* each worker needs its part of it */
    split s = { .t = t, .ws = ws, .args = args, .col_parts = 1, .row_parts = 1, .col_unit = 32,
                .row_unit = t->tier == AC_CPU_AVX2 || t->tier == AC_CPU_NEON ? 12 : 14 };
    const size_t elems = ac_dtype_block_elems(args->b_type);
    if (args->form != AC_MM_NT && elems > s.col_unit) s.col_unit = elems;
    if (args->packed) s.col_unit = AC_GROUP_ROWS;
    if (!own) {
        const size_t threads = ac_pool_threads(pool);
        choose_parts(&s, ceil_div(args->n, s.col_unit), ceil_div(args->m, s.row_unit), threads,
                     ns > LONG_NS * (double)threads);
    }
    ac_pool_run(own ? NULL : pool, s.col_parts * s.row_parts, run_part, &s);
}
