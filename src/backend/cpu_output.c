/* backend/cpu_output.c - the output layer, alone and fused with the loss.
 * Logits exist for the rows asked for only, and with the loss for cpu_output_rows rows at a time. */
#include "backend/cpu_int.h"

typedef struct {
    const ac_kernels *k;
    const uint32_t *rows;
    size_t cols;
    float eps;
    const float *x, *w, *dnormed;
    float *normed, *dx;
    size_t vocab, ld;                            /* ld: floats from one row of logits to the next */
    float *logits, *nll;
    const int32_t *target;
    bool grad;
    float grad_scale;
} output_job;

/* normed[i] = final norm of row rows[i] of x. */
static void gather_norm(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const output_job *j = ctx;
    for (size_t i = from; i < to; i++)
        j->k->rmsnorm(j->normed + i * j->cols, j->x + j->rows[i] * j->cols, j->w, 1, j->cols, j->eps);
}

static void norm_grad_scatter(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const output_job *j = ctx;
    for (size_t i = from; i < to; i++) {
        const size_t at = j->rows[i] * j->cols;
        j->k->rmsnorm_grad(j->dx + at, j->dnormed + i * j->cols, j->x + at, j->w, 1, j->cols, j->eps,
                           false);
    }
}

static void entropy_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const output_job *j = ctx;
    j->k->cross_entropy(j->logits + from * j->ld, to - from, j->vocab, j->ld, j->target + from,
                        j->nll + from, j->grad, j->grad_scale);
}

void cpu_output(ac_device *dev, const ac_output_args *a)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t hidden = a->w->cols, vocab = a->w->rows;
    output_job j = { .k = &d->k, .cols = hidden, .eps = a->eps, .x = cpu_f32(a->x),
                     .w = cpu_f32(a->norm_w), .normed = cpu_f32(a->scratch) };
    for (size_t at = 0; at < a->n_rows; at += CPU_OUTPUT_CHUNK) {
        const size_t n = a->n_rows - at < CPU_OUTPUT_CHUNK ? a->n_rows - at : CPU_OUTPUT_CHUNK;
        j.rows = cpu_u32(a->rows) + at;
        cpu_for(d, n, cpu_grain(hidden), gather_norm, &j);
        const ac_matmul_args p = cpu_times_weights(d, a->w, n, j.normed, cpu_f32(a->logits) + at * vocab);
        ac_matmul(&d->k, d->pool, d->ws, &p);
    }
}

static void one_product(ac_cpu_device *d, const ac_matmul_args *p)
{
    const cpu_column_out out = { .product = *p };
    if (cpu_columns_pay(d, p->m, p->n)) cpu_columns_run(&(cpu_columns){ .d = d, .out = &out, .n = 1 });
    else ac_matmul(&d->k, d->pool, d->ws, p);
}

void cpu_loss(ac_device *dev, const ac_loss_args *a)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t hidden = a->w->cols, vocab = a->w->rows;
    const size_t chunk = cpu_output_rows(vocab), most = a->n_rows < chunk ? a->n_rows : chunk;
    float *scratch = cpu_f32(a->scratch);
    output_job j = { .k = &d->k, .cols = hidden, .eps = a->eps, .x = cpu_f32(a->x),
                     .w = cpu_f32(a->norm_w), .normed = scratch, .logits = scratch + 2 * most * hidden,
                     .vocab = vocab, .ld = cpu_logits_ld(vocab), .grad = a->dx.buf != NULL, .grad_scale = a->grad_scale,
                     .dx = cpu_f32(a->dx) };
    float *dnormed = scratch + most * hidden;
    for (size_t at = 0; at < a->n_rows; at += chunk) {
        const size_t n = a->n_rows - at < chunk ? a->n_rows - at : chunk;
        j.rows = cpu_u32(a->rows) + at;
        j.target = cpu_i32(a->target) + at;
        j.nll = cpu_f32(a->nll) + at;
        cpu_for(d, n, cpu_grain(hidden), gather_norm, &j);
        ac_matmul_args p = cpu_times_weights(d, a->w, n, j.normed, j.logits);
        p.ldc = j.ld;
        one_product(d, &p);
        cpu_for(d, n, cpu_grain(vocab), entropy_range, &j);
        if (!j.grad) continue;
        one_product(d, &(ac_matmul_args){ .form = AC_MM_NN, .m = n, .n = hidden, .k = vocab, .a = j.logits, .lda = j.ld,
            .b = a->w->buf->ptr, .b_type = a->w->type, .b_row_bytes = a->w->row_bytes, .c = dnormed, .ldc = hidden,
            .numerics = d->numerics });
        j.dnormed = dnormed;
        cpu_for(d, n, cpu_grain(hidden), norm_grad_scatter, &j);
    }
}

size_t cpu_scratch_floats(const ac_device *dev, const ac_shape *s)
{
    const ac_cpu_device *d = (const ac_cpu_device *)(const void *)dev;
    const size_t rows = cpu_output_rows(s->vocab), chunk = s->output_rows < rows ? s->output_rows : rows;
    size_t most = chunk * (2 * s->hidden + cpu_logits_ld(s->vocab));
    const size_t linear = s->rows * ((s->grad ? s->rank : 0) + (s->dropout ? s->widest_in : 0)) + cpu_dora_scratch(s);
    if (linear > most) most = linear;
    if (s->grad && s->n_kv_heads) {
        const size_t each = ac_attn_scratch_floats(s->longest_doc, s->head_dim,
                                                   s->n_heads / s->n_kv_heads);
        if (each * d->threads > most) most = each * d->threads;
    }
    if (s->weights && cpu_weight_scratch_floats(s) > most) most = cpu_weight_scratch_floats(s);
    return most;
}
