/* backend/cpu_optim.c - the optimizers' steps on the CPU. Work splits over elements, rows or columns, never over a
 * sum, so that no bit depends on the number of threads. */
#include <math.h>

#include "backend/cpu_int.h"


/* ---- moments ----------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    const ac_optim_args *a;
} optim_job;

/* One rule over n elements from i on, with moments in binary32. */
static void apply_rule(const optim_job *j, size_t i, size_t n, float *m, float *v)
{
    const ac_optim_args *a = j->a;
    float *p = a->p.buf ? cpu_f32(a->p) + i : NULL, *g = cpu_f32(a->g) + i;
    switch (a->rule) {
    case AC_RULE_ADAMW:
        j->k->adamw(p, m, v, g, n, a->grad_scale, a->keep, a->b1, a->one_minus_b1, a->b2, a->one_minus_b2, a->step,
                    a->inv_sqrt_bc2, a->eps);
        break;
    case AC_RULE_SGD: j->k->sgd(p, m, g, n, a->grad_scale, a->keep, a->b1, a->step); break;
    case AC_RULE_LION:
        j->k->lion(p, m, g, n, a->grad_scale, a->keep, a->b1, a->one_minus_b1, a->b2, a->one_minus_b2, a->step);
        break;
    case AC_RULE_NESTEROV: j->k->nesterov(g, m, g, n, a->grad_scale, a->b1, a->one_minus_b1); break;
    }
}

static void expand(const optim_job *j, float *to, const ac_moment *s, size_t block, size_t n, bool is_square)
{
    const size_t i = s->at + block * AC_STATE_BLOCK;
    if (j->a->state == AC_STATE_BF16) j->k->expand_row(to, s->data->ptr + 2 * i, AC_BF16, n);
    else j->k->code8_decode(to, s->data->ptr + i, cpu_f32(s->scale)[block], n, is_square);
}

static void store(const optim_job *j, const ac_moment *s, size_t block, const float *from, size_t n, bool is_square)
{
    const size_t i = s->at + block * AC_STATE_BLOCK;
    ac_draw d = j->a->draw;
    d.index += block * AC_STATE_BLOCK;
    d.stream += !is_square;
    if (j->a->state == AC_STATE_BF16) j->k->bf16_random((uint16_t *)(void *)s->data->ptr + i, from, n, &d);
    else j->k->code8_encode(s->data->ptr + i, cpu_f32(s->scale) + block, from, n, is_square, &d);
}

static void stored_block(const optim_job *j, size_t block)
{
    const ac_optim_args *a = j->a;
    const size_t i = block * AC_STATE_BLOCK, n = a->n - i < AC_STATE_BLOCK ? a->n - i : AC_STATE_BLOCK;
    float m[AC_STATE_BLOCK], v[AC_STATE_BLOCK];
    if (a->m.data) expand(j, m, &a->m, block, n, true);
    if (a->v.data) expand(j, v, &a->v, block, n, false);
    apply_rule(j, i, n, a->m.data ? m : NULL, a->v.data ? v : NULL);
    if (a->m.data) store(j, &a->m, block, m, n, true);
    if (a->v.data) store(j, &a->v, block, v, n, false);
}

static void optim_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const optim_job *j = ctx;
    const ac_optim_args *a = j->a;
    if (a->state != AC_STATE_F32) {
        for (size_t b = from; b < to; b++) stored_block(j, b);
        return;
    }
    const size_t i = from * AC_STATE_BLOCK, end = to * AC_STATE_BLOCK < a->n ? to * AC_STATE_BLOCK : a->n;
    float *m = a->m.data ? (float *)(void *)a->m.data->ptr + a->m.at + i : NULL;
    float *v = a->v.data ? (float *)(void *)a->v.data->ptr + a->v.at + i : NULL;
    apply_rule(j, i, end - i, m, v);
}

void cpu_optim(ac_device *dev, const ac_optim_args *a)
{
    optim_job j = { &cpu_of(dev)->k, a };
    const size_t blocks = a->n / AC_STATE_BLOCK + (a->n % AC_STATE_BLOCK != 0);
    cpu_for(cpu_of(dev), blocks, 16384 / AC_STATE_BLOCK, optim_range, &j);
}

/* ---- elementwise pieces -------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    float *y;
    const float *x;
    float a, b;
} piece;

static void scale_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const piece *j = ctx;
    j->k->scale(j->y + from, j->a, to - from);
}

static void scale_all(ac_cpu_device *d, float *y, float s, size_t n)
{
    piece j = { &d->k, y, NULL, s, 0 };
    cpu_for(d, n, 16384, scale_range, &j);
}

static void axpy_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const piece *j = ctx;
    j->k->axpy(j->y + from, j->a, j->x + from, to - from);
}

static void axpy_all(ac_cpu_device *d, float *y, float s, const float *x, size_t n)
{
    piece j = { &d->k, y, x, s, 0 };
    cpu_for(d, n, 16384, axpy_range, &j);
}

static void descend_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const piece *j = ctx;
    j->k->descend(j->y + from, j->x + from, to - from, j->a, j->b);
}

static void descend_all(ac_cpu_device *d, float *p, const float *x, size_t n, float keep, float step)
{
    piece j = { &d->k, p, x, keep, step };
    cpu_for(d, n, 16384, descend_range, &j);
}

static double norm_of(ac_device *dev, ac_ref x, size_t n)
{
    const ac_span all = { x, n };
    double sum;
    dev->op->sum_squares(dev, &all, 1, &sum);
    return sqrt(sum);
}

/* ---- Muon ---------------------------------------------------------------------------------------------- */

static void product(ac_cpu_device *d, ac_mm_form form, size_t m, size_t n, size_t k, const float *a, size_t lda,
                    const float *b, size_t ldb, float *c)
{
    /* Always FP32: numerics is about the model's products. */
    const ac_matmul_args args = { .form = form, .m = m, .n = n, .k = k, .a = a, .lda = lda, .b = b, .b_type = AC_F32,
                                  .b_row_bytes = ldb * sizeof(float), .c = c, .ldc = n };
    ac_matmul(&d->k, d->pool, d->ws, &args);
}

/* The smaller Gram matrix of X is symmetric to the bit (a chain's factors may be exchanged), so a tall X needs no
 * transposition: X (b A + c A A) is the transpose of the wide rule. */
void cpu_muon(ac_device *dev, const ac_muon_args *a)
{
    static const float ca = 3.4445f, cb = -4.7750f, cc = 2.0315f;
    ac_cpu_device *d = cpu_of(dev);
    const size_t rows = a->rows, cols = a->cols, n = rows * cols, side = rows < cols ? rows : cols;
    float *x = cpu_f32(a->x), *next = cpu_f32(a->scratch), *gram = next + n, *square = gram + side * side;
    const double norm = norm_of(dev, a->x, n);
    scale_all(d, x, (float)(1.0 / (norm > 1e-7 ? norm : 1e-7)), n);
    for (int i = 0; i < 5; i++) {
        if (rows <= cols) product(d, AC_MM_NT, side, side, cols, x, cols, x, cols, gram);
        else product(d, AC_MM_TN, side, side, rows, x, cols, x, cols, gram);
        product(d, AC_MM_NN, side, side, side, gram, side, gram, side, square);
        scale_all(d, gram, cb, side * side);
        axpy_all(d, gram, cc, square, side * side);
        if (rows <= cols) product(d, AC_MM_NN, rows, cols, side, gram, side, x, cols, next);
        else product(d, AC_MM_NN, rows, cols, side, x, cols, gram, side, next);
        axpy_all(d, next, ca, x, n);
        float *was = x;
        x = next;
        next = was;
    }
    descend_all(d, cpu_f32(a->p), x, n, a->keep, a->step);
}

/* ---- Adafactor ------------------------------------------------------------------------------------------ */

#define FACTOR_EPS1 0x1p-23        /* least second moment is its square */
#define FACTOR_EPS2 1e-3           /* least size of a tensor, of which lr is a share */

typedef struct {
    const ac_kernels *k;
    const ac_adafactor_args *a;
    float *g, *row, *col, *v, *sums;
    float mean_row;
} factor_job;

static void row_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const factor_job *j = ctx;
    const size_t cols = j->a->cols;
    for (size_t i = from; i < to; i++) {
        const float mean = (float)(j->k->sum_squares(j->g + i * cols, cols) / (double)cols);
        j->row[i] = fmaf(j->a->b2, j->row[i], j->a->one_minus_b2 * mean);
    }
}

static void col_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const factor_job *j = ctx;
    j->k->col_squares(j->sums + from, j->g + from, j->a->rows, to - from, j->a->cols);
    for (size_t c = from; c < to; c++) {
        const float mean = j->sums[c] / (float)j->a->rows;
        j->col[c] = fmaf(j->a->b2, j->col[c], j->a->one_minus_b2 * mean);
    }
}

static void mean_task(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(from);
    AC_UNUSED(to);
    AC_UNUSED(worker);
    factor_job *j = ctx;
    double sum = 0;
    for (size_t i = 0; i < j->a->rows; i++) sum += (double)j->row[i];
    const float mean = (float)(sum / (double)j->a->rows);
    j->mean_row = mean > (float)FACTOR_EPS1 ? mean : (float)FACTOR_EPS1;
}

static void update_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const factor_job *j = ctx;
    const size_t cols = j->a->cols;
    for (size_t i = from; i < to; i++) {
        j->k->factored(j->g + i * cols, j->col, cols, j->row[i] / j->mean_row, (float)(FACTOR_EPS1 * FACTOR_EPS1));
    }
}

static void vector_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const factor_job *j = ctx;
    j->k->unfactored(j->g + from, j->v + from, to - from, j->a->b2, j->a->one_minus_b2,
                     (float)(FACTOR_EPS1 * FACTOR_EPS1));
}

void cpu_adafactor(ac_device *dev, const ac_adafactor_args *a)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t n = a->rows * a->cols;
    factor_job j = { &d->k, a, cpu_f32(a->g), cpu_f32(a->row), cpu_f32(a->col), cpu_f32(a->v), cpu_f32(a->scratch), 0 };
    const double root = sqrt((double)n), size = norm_of(dev, a->p, n) / root;
    scale_all(d, j.g, a->grad_scale, n);
    if (a->row.buf) {
        cpu_for(d, a->rows, cpu_grain(a->cols), row_range, &j);
        cpu_for(d, a->cols, cpu_grain(a->rows), col_range, &j);
        cpu_for(d, 1, 1, mean_task, &j);
        cpu_for(d, a->rows, cpu_grain(a->cols), update_range, &j);
    } else {
        cpu_for(d, n, 16384, vector_range, &j);
    }
    const double change = norm_of(dev, a->g, n) / root;
    const double step = (size > FACTOR_EPS2 ? size : FACTOR_EPS2) * a->rho / (change > 1.0 ? change : 1.0);
    descend_all(d, cpu_f32(a->p), j.g, n, a->keep, (float)step);
}
