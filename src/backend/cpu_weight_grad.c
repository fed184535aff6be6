/* backend/cpu_weight_grad.c - gradients of the weights themselves: linear layers, biases, norms, embedding, output.
 *
 * Everything here is made of the products of kernels.h, so that a unit's part is complete before it is added and
 * every tier has it already: a sum over rows is a product with a row of ones, and the terms of a norm's weight,
 * (x * r) * dy, are rmsnorm's own output with dy in the place of w. docs/numerics.md, M.15. */
#include <assert.h>

#include "backend/cpu_int.h"

/* dw += a^T b over one run of n rows: m x cols. */
static void add_product(ac_cpu_device *d, float *dw, const float *a, size_t m, const float *b, size_t cols, size_t n)
{
    cpu_product(d, AC_MM_TN, m, cols, n, a, m, b, AC_F32, cols * sizeof(float), dw, cols, true);
}

/* dw += the sum of n rows of b: binary32 under every numerics, as norms and biases are forward. */
static void add_rows(ac_cpu_device *d, float *dw, const float *ones, const float *b, size_t cols, size_t n)
{
    const ac_matmul_args a = { .form = AC_MM_TN, .m = 1, .n = cols, .k = n, .a = ones, .lda = 1, .b = b, .b_type = AC_F32,
                               .b_row_bytes = cols * sizeof(float), .c = dw, .ldc = cols, .accumulate = true,
                               .numerics = AC_NUM_FP32 };
    ac_matmul(&d->k, d->pool, d->ws, &a);
}

static const float *fill_ones(float *ones, size_t n)
{
    for (size_t i = 0; i < n; i++) ones[i] = 1.0f;
    return ones;
}

static size_t longest_unit(const ac_unit_rows *units, size_t n_units)
{
    size_t most = 0;
    for (size_t u = 0; u < n_units; u++)
        if (units[u].n > most) most = units[u].n;
    return most;
}

void cpu_weight_grad(ac_device *dev, const ac_weight_grad_args *a)
{
    ac_cpu_device *d = cpu_of(dev);
    const float *x = cpu_f32(a->x), *dy = cpu_f32(a->dy);
    const float *ones = a->dbias.buf ? fill_ones(cpu_f32(a->scratch), longest_unit(a->units, a->n_units)) : NULL;
    for (size_t u = 0; u < a->n_units; u++) {
        const ac_unit_rows *unit = &a->units[u];
        const float *dyu = dy + unit->first * a->out;
        add_product(d, cpu_f32(a->dw), dyu, a->out, x + unit->first * a->in, a->in, unit->n);
        if (ones) add_rows(d, cpu_f32(a->dbias), ones, dyu, a->out, unit->n);
    }
}

/* ---- norms ----------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    float *p;
    const float *x, *dy;
    const uint32_t *rows;      /* of x; NULL: row i */
    size_t cols;
    float eps;
} terms_job;

static void terms_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const terms_job *j = ctx;
    for (size_t i = from; i < to; i++) {
        const float *x = j->x + (j->rows ? j->rows[i] : i) * j->cols;
        j->k->rmsnorm(j->p + i * j->cols, x, j->dy + i * j->cols, 1, j->cols, j->eps);
    }
}

void cpu_norm_weight_grad(ac_device *dev, const ac_norm_weight_grad_args *a)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t each = a->rows_per_token, most = longest_unit(a->units, a->n_units) * each;
    const float *ones = fill_ones(cpu_f32(a->scratch), most);
    float *p = cpu_f32(a->scratch) + most;
    for (size_t u = 0; u < a->n_units; u++) {
        const size_t at = a->units[u].first * each * a->cols, n = a->units[u].n * each;
        terms_job j = { &d->k, p, cpu_f32(a->x) + at, cpu_f32(a->dy) + at, NULL, a->cols, a->eps };
        cpu_for(d, n, cpu_grain(a->cols), terms_range, &j);
        add_rows(d, cpu_f32(a->dw), ones, p, a->cols, n);
    }
}

/* ---- embedding --------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    float *dw;
    const float *dy;
    const int32_t *ids;
    size_t rows, cols;
} scatter_job;

/* Columns are split, rows are not: each element gets its additions in token order. */
static void scatter_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const scatter_job *j = ctx;
    for (size_t i = 0; i < j->rows; i++) {
        float *w = j->dw + (size_t)j->ids[i] * j->cols + from;
        j->k->add(w, w, j->dy + i * j->cols + from, to - from);
    }
}

void cpu_embed_grad(ac_device *dev, const ac_embed_grad_args *a)
{
    scatter_job j = { &cpu_of(dev)->k, cpu_f32(a->dw), cpu_f32(a->dy), cpu_i32(a->ids), a->rows, a->cols };
    cpu_for(cpu_of(dev), a->cols, 64, scatter_range, &j);
}

/* ---- output layer ------------------------------------------------------------------------------------ */

/* Supervised positions whose logits enter one product: the specification's, whatever is held at once elsewhere. */
static size_t run_rows(size_t vocab)
{
    const size_t rows = ((size_t)1 << 24) / vocab;
    return rows > 256 ? 256 : rows < 32 ? 32 : rows;
}

/* One run: cpu_loss leaves the normed rows, their gradient and that of the logits in its scratch, one after another. */
static void output_run(ac_device *dev, const ac_loss_args *run, const ac_output_grad_args *a, const float *ones)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t hidden = run->w->cols, vocab = run->w->rows, n = run->n_rows;
    assert(n <= cpu_output_rows(vocab));         /* or only the last chunk would be there */
    cpu_loss(dev, run);
    float *normed = cpu_f32(run->scratch), *dnormed = normed + n * hidden, *dlogits = dnormed + n * hidden;
    cpu_product(d, AC_MM_TN, vocab, hidden, n, dlogits, cpu_logits_ld(vocab), normed, AC_F32, hidden * sizeof(float),
                cpu_f32(a->dw), hidden, true);
    terms_job j = { &d->k, normed, cpu_f32(run->x), dnormed, cpu_u32(run->rows), hidden, run->eps };
    cpu_for(d, n, cpu_grain(hidden), terms_range, &j);
    add_rows(d, cpu_f32(a->dnorm_w), ones, normed, hidden, n);
}

void cpu_output_grad(ac_device *dev, const ac_output_grad_args *a)
{
    ac_loss_args run = *a->loss;
    const size_t most = run_rows(a->loss->w->rows);
    const float *ones = fill_ones(cpu_f32(a->loss->scratch), most);
    run.scratch = ac_ref_at(run.scratch, most);
    size_t at = 0;
    for (size_t u = 0; u < a->n_units; u++)
        for (size_t left = a->unit_rows[u]; left; left -= run.n_rows, at += run.n_rows) {
            run.n_rows = left < most ? left : most;
            run.rows = ac_ref_at(a->loss->rows, at);
            run.target = ac_ref_at(a->loss->target, at);
            run.nll = ac_ref_at(a->loss->nll, at);
            output_run(dev, &run, a, ones);
        }
}

size_t cpu_weight_scratch_floats(const ac_shape *s)
{
    const size_t heads = s->n_heads * s->head_dim, wide = heads > s->hidden ? heads : s->hidden;
    const size_t norms = s->rows * (wide + (s->n_heads ? s->n_heads : 1));
    const size_t most = run_rows(s->vocab), chunk = s->output_rows < most ? s->output_rows : most;
    const size_t output = most + chunk * (2 * s->hidden + cpu_logits_ld(s->vocab));
    return norms > output ? norms : output;
}
