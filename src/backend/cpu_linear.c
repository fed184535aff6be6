/* backend/cpu_linear.c - linear layers with LoRA: forward, input gradient, adapter gradient.
 * The order of roundings is docs/numerics.md, section "Model". */
#include "backend/cpu_int.h"

void cpu_product(ac_cpu_device *d, ac_mm_form form, size_t m, size_t n, size_t k, const float *a,
                 size_t lda, const void *b, ac_dtype b_type, size_t b_row_bytes, float *c, size_t ldc,
                 bool accumulate)
{
    const ac_matmul_args args = { .form = form, .m = m, .n = n, .k = k, .a = a, .lda = lda, .b = b,
        .b_type = b_type, .b_row_bytes = b_row_bytes, .c = c, .ldc = ldc, .accumulate = accumulate, .numerics = d->numerics };
    ac_matmul(&d->k, d->pool, d->ws, &args);
}

ac_matmul_args cpu_times_weights(const ac_cpu_device *d, const ac_matrix *w, size_t rows, const float *x, float *y)
{
    return (ac_matmul_args){ .form = AC_MM_NT, .m = rows, .n = w->rows, .k = w->cols, .a = x, .lda = w->cols,
                             .b = w->buf->ptr, .b_type = w->type, .b_row_bytes = w->row_bytes, .c = y,
                             .ldc = w->rows, .packed = w->ahead, .numerics = d->numerics };
}

/* ---- rows ---------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    float *x;
    const float *bias;
    size_t cols;
    float scale;
} rows_job;

static void bias_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const rows_job *j = ctx;
    j->k->add_row(j->x + from * j->cols, j->bias, to - from, j->cols, j->cols);
}

static void scale_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const rows_job *j = ctx;
    j->k->scale(j->x + from * j->cols, j->scale, (to - from) * j->cols);
}

static void scale_rows(ac_cpu_device *d, float *x, float scale, size_t rows, size_t cols)
{
    rows_job j = { &d->k, x, NULL, cols, scale };
    cpu_for(d, rows, cpu_grain(cols), scale_range, &j);
}

typedef struct {
    const ac_kernels *k;
    float *y;
    const float *x;
    size_t cols;
    const ac_lora *lora;
    const ac_unit_rows *units;
    size_t n_units;
} drop_job;

static void drop_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const drop_job *j = ctx;
    const ac_drop *p = &j->lora->drop;
    for (size_t u = 0; u < j->n_units; u++) {
        const ac_unit_rows *unit = &j->units[u];
        const size_t first = unit->first > from ? unit->first : from;
        const size_t end = unit->first + unit->n < to ? unit->first + unit->n : to;
        for (size_t r = first; r < end; r++) {
            float *y = j->y + r * j->cols;
            j->k->dropout(y, j->x + r * j->cols, j->cols, p->seed, p->step + (unit->index << 32),
                          (j->lora->module << 44) + ((uint64_t)(r - unit->first) << 20), p->threshold,
                          p->inv_keep);
        }
    }
}

void cpu_drop_rows(ac_cpu_device *d, float *y, const float *x, size_t rows, size_t cols, const ac_lora *lora,
                   const ac_unit_rows *units, size_t n_units)
{
    drop_job j = { &d->k, y, x, cols, lora, units, n_units };
    cpu_for(d, rows, cpu_grain(cols), drop_range, &j);
}

static void add_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const drop_job *j = ctx;
    j->k->add(j->y + from, j->y + from, j->x + from, to - from);
}

/* ---- forward --------------------------------------------------------------------------------------- */

/* What comes after the product of the weights: bias and adapter. */
static void after_product(ac_cpu_device *d, const ac_linear_args *a)
{
    const size_t in = a->w->cols, out = a->w->rows, rows = a->rows;
    const float *x = cpu_f32(a->x);
    float *y = cpu_f32(a->y);
    if (y && a->bias.buf) {
        rows_job j = { &d->k, y, cpu_f32(a->bias), out, 0.0f };
        cpu_for(d, rows, cpu_grain(out), bias_range, &j);
    }
    const ac_lora *l = a->lora;
    if (!l) return;
    if (l->drop.threshold) {
        float *dropped = cpu_f32(a->scratch);
        cpu_drop_rows(d, dropped, x, rows, in, l, a->units, a->n_units);
        x = dropped;
    }
    float *h = cpu_f32(l->h);
    cpu_product(d, AC_MM_NT, rows, l->rank, in, x, in, cpu_f32(l->a), AC_F32, in * sizeof(float), h,
                l->rank, false);
    scale_rows(d, h, l->scale, rows, l->rank);
    if (!y) return;
    cpu_product(d, AC_MM_NT, rows, out, l->rank, h, l->rank, cpu_f32(l->b), AC_F32,
                l->rank * sizeof(float), y, out, true);
}

static bool has_magnitude(const ac_linear_args *a)
{
    return a->lora && a->lora->magnitude.buf;
}

/* h = x A^T, before it is scaled. */
static ac_matmul_args into_rank(const ac_cpu_device *d, const ac_linear_args *a)
{
    const ac_lora *l = a->lora;
    return (ac_matmul_args){ .form = AC_MM_NT, .m = a->rows, .n = l->rank, .k = a->w->cols, .a = cpu_f32(a->x),
        .lda = a->w->cols, .b = cpu_f32(l->a), .b_type = AC_F32, .b_row_bytes = a->w->cols * sizeof(float),
        .c = cpu_f32(l->h), .ldc = l->rank, .numerics = d->numerics };
}

static ac_matmul_args out_of_rank(const ac_cpu_device *d, const ac_linear_args *a)
{
    const ac_lora *l = a->lora;
    return (ac_matmul_args){ .form = AC_MM_NT, .m = a->rows, .n = a->w->rows, .k = l->rank, .a = cpu_f32(l->h),
        .lda = l->rank, .b = cpu_f32(l->b), .b_type = AC_F32, .b_row_bytes = l->rank * sizeof(float),
        .c = cpu_f32(a->y), .ldc = a->w->rows, .accumulate = true, .numerics = d->numerics };
}

/* All of it in two runs, where there is enough of it and nothing stands between the two. */
static bool linears_at_once(ac_cpu_device *d, const ac_linear_args *a, size_t n)
{
    size_t cols = 0;
    for (size_t i = 0; i < n; i++) {
        if (!a[i].y.buf || has_magnitude(&a[i]) || (a[i].lora && a[i].lora->drop.threshold) || a[i].rows != a[0].rows)
            return false;
        cols += a[i].w->rows;
        for (size_t k = 0; k < i; k++)           /* forward alone, all of them share one h */
            if (a[i].lora && a[k].lora && cpu_f32(a[i].lora->h) == cpu_f32(a[k].lora->h)) return false;
    }
    if (!n || !cpu_columns_pay(d, a[0].rows, cols)) return false;
    ac_matmul_args ranks[AC_LINEARS_MAX];
    float scale[AC_LINEARS_MAX];
    cpu_column_out out[AC_LINEARS_MAX] = { 0 };
    size_t n_ranks = 0;
    for (size_t i = 0; i < n; i++) {
        out[i].product = cpu_times_weights(d, a[i].w, a[i].rows, cpu_f32(a[i].x), cpu_f32(a[i].y));
        out[i].bias = cpu_f32(a[i].bias);
        if (!a[i].lora) continue;
        out[i].adapter = out_of_rank(d, &a[i]);
        scale[n_ranks] = a[i].lora->scale;
        ranks[n_ranks++] = into_rank(d, &a[i]);
    }
    cpu_short_products(d, ranks, scale, n_ranks);
    cpu_columns_run(&(cpu_columns){ .d = d, .out = out, .n = n });
    return true;
}

void cpu_linears(ac_device *dev, const ac_linear_args *a, size_t n)
{
    ac_cpu_device *d = cpu_of(dev);
    if (linears_at_once(d, a, n)) return;
    /* What is not possible for all may be for one: those that share one h. */
    if (n > 1 && a[0].lora && cpu_columns_pay(d, a[0].rows, a[0].w->rows)) {
        for (size_t i = 0; i < n; i++) cpu_linears(dev, &a[i], 1);
        return;
    }
    ac_matmul_args p[AC_LINEARS_MAX] = { 0 };
    size_t products = 0;
    for (size_t i = 0; i < n; i++)
        if (a[i].y.buf && !has_magnitude(&a[i]))
            p[products++] = cpu_times_weights(d, a[i].w, a[i].rows, cpu_f32(a[i].x), cpu_f32(a[i].y));
    ac_matmul_several(&d->k, d->pool, d->ws, p, products);
    for (size_t i = 0; i < n; i++) {
        if (has_magnitude(&a[i])) cpu_dora_linear(dev, &a[i]);
        else after_product(d, &a[i]);
    }
}

void cpu_linear(ac_device *dev, const ac_linear_args *a)
{
    cpu_linears(dev, a, 1);
}

/* ---- gradients --------------------------------------------------------------------------------------- */

typedef struct {
    ac_cpu_device *d;
    const ac_linear_grad_args *a;
    const float *x, *dh;
    size_t a_tasks, a_cols, b_tasks, b_rows;     /* how the outputs are cut */
} adapter_job;

/* A cut of dA (columns) or dB (rows); units in order, each complete before it is added (B6). */
static void adapter_task(void *ctx, size_t task, size_t worker)
{
    const adapter_job *j = ctx;
    const ac_linear_grad_args *a = j->a;
    const size_t in = a->w->cols, out = a->w->rows, rank = a->lora->rank;
    ac_matmul_args p = { .form = AC_MM_TN, .b_type = AC_F32, .accumulate = true, .numerics = j->d->numerics };
    if (task < j->a_tasks) {
        const size_t from = task * j->a_cols;
        p.m = rank;
        p.n = in - from < j->a_cols ? in - from : j->a_cols;
        p.lda = rank;
        p.b_row_bytes = in * sizeof(float);
        p.ldc = in;
        p.c = cpu_f32(a->da) + from;
        for (size_t u = 0; u < a->n_units; u++) {
            p.k = a->units[u].n;
            p.a = j->dh + a->units[u].first * rank;
            p.b = j->x + a->units[u].first * in + from;
            j->d->k.matmul(&p, j->d->ws, worker);
        }
        return;
    }
    const size_t from = (task - j->a_tasks) * j->b_rows;
    p.m = out - from < j->b_rows ? out - from : j->b_rows;
    p.n = rank;
    p.lda = out;
    p.b_row_bytes = rank * sizeof(float);
    p.ldc = rank;
    p.c = cpu_f32(a->db) + from * rank;
    for (size_t u = 0; u < a->n_units; u++) {
        p.k = a->units[u].n;
        p.a = cpu_f32(a->dy) + a->units[u].first * out + from;
        p.b = cpu_f32(a->lora->h) + a->units[u].first * rank;
        j->d->k.matmul(&p, j->d->ws, worker);
    }
}

/* Width of a cut: a multiple of 32 outputs, about two tasks a thread. */
static size_t cut_width(const ac_cpu_device *d, size_t n)
{
    const size_t want = n / (2 * d->threads);
    const size_t width = (want + 31) / 32 * 32;
    return width ? width : 32;
}

static adapter_job adapter_cuts(ac_cpu_device *d, const ac_linear_grad_args *a, const float *x, const float *dh)
{
    adapter_job j = { .d = d, .a = a, .x = x, .dh = dh };
    j.a_cols = cut_width(d, a->w->cols);
    j.b_rows = cut_width(d, a->w->rows);
    j.a_tasks = (a->w->cols + j.a_cols - 1) / j.a_cols;
    j.b_tasks = (a->w->rows + j.b_rows - 1) / j.b_rows;
    return j;
}

static void adapter_grad(ac_cpu_device *d, const ac_linear_grad_args *a, const float *x, const float *dh)
{
    adapter_job j = adapter_cuts(d, a, x, dh);
    ac_pool_run(d->pool, j.a_tasks + j.b_tasks, adapter_task, &j);
}

static ac_matmul_args through_weights(const ac_cpu_device *d, const ac_linear_grad_args *a)
{
    const size_t in = a->w->cols, out = a->w->rows;
    return (ac_matmul_args){ .form = AC_MM_NN, .m = a->rows, .n = in, .k = out, .a = cpu_f32(a->dy), .lda = out,
        .b = a->w->buf->ptr, .b_type = a->w->type, .b_row_bytes = a->w->row_bytes, .c = cpu_f32(a->dx), .ldc = in,
        .accumulate = a->accumulate, .numerics = d->numerics };
}

/* dh, then everything that needs it: two runs, where nothing stands between. */
static bool grad_at_once(ac_cpu_device *d, const ac_linear_grad_args *a)
{
    const ac_lora *l = a->lora;
    const size_t in = a->w->cols, out = a->w->rows;
    if (!l || l->drop.threshold || !a->dx.buf || !cpu_columns_pay(d, a->rows, in)) return false;
    float *dh = cpu_f32(a->scratch);
    const ac_matmul_args rank = { .form = AC_MM_NN, .m = a->rows, .n = l->rank, .k = out, .a = cpu_f32(a->dy),
        .lda = out, .b = cpu_f32(l->b), .b_type = AC_F32, .b_row_bytes = l->rank * sizeof(float), .c = dh,
        .ldc = l->rank, .numerics = d->numerics };
    cpu_short_products(d, &rank, &l->scale, 1);
    adapter_job j = adapter_cuts(d, a, cpu_f32(a->x), dh);
    const cpu_column_out dx = { .product = through_weights(d, a), .adapter = { .form = AC_MM_NN, .m = a->rows, .n = in,
        .k = l->rank, .a = dh, .lda = l->rank, .b = cpu_f32(l->a), .b_type = AC_F32, .b_row_bytes = in * sizeof(float),
        .c = cpu_f32(a->dx), .ldc = in, .accumulate = true, .numerics = d->numerics } };
    cpu_columns_run(&(cpu_columns){ .d = d, .out = &dx, .n = 1, .n_other = j.a_tasks + j.b_tasks, .other = adapter_task,
                                    .other_ctx = &j });
    return true;
}

void cpu_linear_grad(ac_device *dev, const ac_linear_grad_args *a)
{
    if (a->lora && a->lora->magnitude.buf) {
        cpu_dora_grad(dev, a);
        return;
    }
    ac_cpu_device *d = cpu_of(dev);
    if (grad_at_once(d, a)) return;
    const ac_lora *l = a->lora;
    const size_t in = a->w->cols, out = a->w->rows, rows = a->rows;
    const float *dy = cpu_f32(a->dy);
    float *dh = cpu_f32(a->scratch), *wide = NULL;
    if (l) {
        cpu_product(d, AC_MM_NN, rows, l->rank, out, dy, out, cpu_f32(l->b), AC_F32,
                    l->rank * sizeof(float), dh, l->rank, false);
        scale_rows(d, dh, l->scale, rows, l->rank);
        const float *x = cpu_f32(a->x);
        if (l->drop.threshold) {
            wide = dh + rows * l->rank;
            cpu_drop_rows(d, wide, x, rows, in, l, a->units, a->n_units);
            x = wide;
        }
        adapter_grad(d, a, x, dh);
    }
    if (!a->dx.buf) return;
    float *dx = cpu_f32(a->dx);
    const ac_matmul_args p = through_weights(d, a);
    ac_matmul(&d->k, d->pool, d->ws, &p);
    if (!l) return;
    cpu_product(d, AC_MM_NN, rows, in, l->rank, dh, l->rank, cpu_f32(l->a), AC_F32, in * sizeof(float),
                wide ? wide : dx, in, !wide);
    if (!wide) return;
    cpu_drop_rows(d, wide, wide, rows, in, l, a->units, a->n_units);
    drop_job j = { .k = &d->k, .y = dx, .x = wide };
    cpu_for(d, rows * in, 16384, add_range, &j);
}
