/* backend/cuda/cuda_output.c - the output layer, alone and fused with the loss: logits exist for a chunk of rows only. */
#include "backend/cuda/cuda_int.h"

/* Rows of logits at once, a power of two: they and their gradient take six bytes each. */
static size_t chunk_rows(size_t vocab)
{
    size_t rows = 4096;
    while (rows > 64 && rows * 6 * vocab > (size_t)640 << 20) rows /= 2;
    return rows;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

typedef struct {
    cuda_bf16 *normed, *dnormed, *dlogits;
    float *logits;
} places;

/* Bytes of them all; sets p where base is given. */
static size_t lay_out(places *p, unsigned char *base, size_t rows, size_t hidden, size_t vocab, bool grad)
{
    const size_t narrow = aligned(rows * hidden * sizeof(cuda_bf16)), logits = aligned(rows * vocab * sizeof(float));
    if (p)
        *p = (places){ .normed = (cuda_bf16 *)(void *)base, .dnormed = (cuda_bf16 *)(void *)(base + narrow),
                       .logits = (float *)(void *)(base + 2 * narrow),
                       .dlogits = (cuda_bf16 *)(void *)(base + 2 * narrow + logits) };
    return 2 * narrow + logits + (grad ? aligned(rows * vocab * sizeof(cuda_bf16)) : 0);
}

static size_t most_rows(size_t n, size_t vocab)
{
    const size_t chunk = chunk_rows(vocab);
    return n < chunk ? n : chunk;
}

size_t cuda_scratch_floats(const ac_device *dev, const ac_shape *s)
{
    (void)dev;
    size_t most = lay_out(NULL, NULL, most_rows(s->output_rows, s->vocab), s->hidden, s->vocab, s->grad);
    const size_t room = s->dropout ? s->rows * s->widest_in : 0;
    const size_t linear = (CUDA_JOINED * (s->rows * (s->grad ? s->rank : 0) + 16) + room) * sizeof(cuda_bf16);
    const size_t attention = s->grad ? s->rows * s->n_heads * sizeof(float) : 0;
    if (linear > most) most = linear;
    if (attention > most) most = attention;
    return most / sizeof(float) + 64 + 1;        /* a place is aligned to 64 bytes, these to 256 */
}

static unsigned char *aligned_base(ac_ref scratch)
{
    return (unsigned char *)(((uintptr_t)cuda_at(scratch) + 255) / 256 * 256);
}

static void few_logits(cuda_device *d, float *logits, const cuda_bf16 *x, const ac_matrix *w, size_t rows)
{
    const size_t hidden = w->cols, vocab = w->rows;
    const cuda_thin p = { .rows = rows, .outputs = 1, .f32 = true, .settled = cuda_weights_settled(w), .alpha = { 1.0f },
        .out = { { .c = logits, .n = vocab, .ldc = vocab, .segments = 1,
                   .segment = { { .a = x, .b = cuda_weights(d, w), .lda = hidden, .ldb = hidden, .k = hidden } } } } };
    if (d->st) return;
    if (!k_thin(d->stream, &p, d->processors)) cuda_fail(d, AC_ESTATE, "%s: logits could not be launched", d->name);
    cuda_launched(d, "logits");
}

void cuda_output(ac_device *dev, const ac_output_args *a)
{
    cuda_device *d = cuda_of(dev);
    const size_t hidden = a->w->cols, vocab = a->w->rows, chunk = most_rows(a->n_rows, vocab);
    places p;
    (void)lay_out(&p, aligned_base(a->scratch), chunk, hidden, vocab, false);
    for (size_t at = 0; at < a->n_rows; at += chunk) {
        const size_t n = a->n_rows - at < chunk ? a->n_rows - at : chunk;
        const uint32_t *rows = (const uint32_t *)cuda_at(a->rows) + at;
        k_norm(d->stream, p.normed, NULL, cuda_at(a->x), true, NULL, cuda_f32(a->norm_w), rows, n, hidden, a->eps);
        cuda_launched(d, "the final norm");
        float *logits = cuda_f32(a->logits) + at * vocab;
        if (a->n_rows <= CUDA_THIN_ROWS) few_logits(d, logits, p.normed, a->w, n);
        else
            cuda_product(d, &(cuda_gemm){ .m = n, .n = vocab, .k = hidden, .a = p.normed, .lda = hidden,
                .b = cuda_weights(d, a->w), .ldb = hidden, .tb = true, .c = logits, .c_f32 = true, .ldc = vocab, .alpha = 1.0f });
    }
}

/* A row that a block's shared memory holds is read once; a longer one by a cluster, where there are any. Which depends on the vocabulary
 * alone. */
static void entropy(cuda_device *d, const places *p, const int32_t *target, float *nll, bool grad, size_t n, size_t vocab, float scale)
{
    cuda_bf16 *dlogits = grad ? p->dlogits : NULL;
    const bool wide = d->hopper && vocab * sizeof(float) + 1024 > d->shared;
    if (d->st || (wide && k_entropy_wide(d->stream, p->logits, target, nll, dlogits, n, vocab, scale, d->shared))) return;
    if (!k_entropy(d->stream, p->logits, target, nll, dlogits, n, vocab, scale, d->shared))
        cuda_fail(d, AC_ESTATE, "%s: the loss could not be launched", d->name);
    cuda_launched(d, "the loss");
}

void cuda_loss(ac_device *dev, const ac_loss_args *a)
{
    cuda_device *d = cuda_of(dev);
    const size_t hidden = a->w->cols, vocab = a->w->rows, chunk = most_rows(a->n_rows, vocab);
    const bool grad = a->dx.buf != NULL;
    places p;
    (void)lay_out(&p, aligned_base(a->scratch), chunk, hidden, vocab, grad);
    for (size_t at = 0; at < a->n_rows; at += chunk) {
        const size_t n = a->n_rows - at < chunk ? a->n_rows - at : chunk;
        const uint32_t *rows = (const uint32_t *)cuda_at(a->rows) + at;
        k_norm(d->stream, p.normed, NULL, cuda_at(a->x), true, NULL, cuda_f32(a->norm_w), rows, n, hidden, a->eps);
        cuda_launched(d, "the final norm");
        cuda_product(d, &(cuda_gemm){ .m = n, .n = vocab, .k = hidden, .a = p.normed, .lda = hidden,
            .b = cuda_weights(d, a->w), .ldb = hidden, .tb = true, .c = p.logits, .c_f32 = true, .ldc = vocab, .alpha = 1.0f });
        entropy(d, &p, (const int32_t *)cuda_at(a->target) + at, cuda_f32(a->nll) + at, grad, n, vocab, a->grad_scale);
        if (!grad) continue;
        cuda_product(d, &(cuda_gemm){ .m = n, .n = hidden, .k = vocab, .a = p.dlogits, .lda = vocab,
            .b = cuda_weights(d, a->w), .ldb = hidden, .c = p.dnormed, .ldc = hidden, .alpha = 1.0f });
        k_norm_grad(d->stream, cuda_act(a->dx), p.dnormed, cuda_at(a->x), true, cuda_f32(a->norm_w), rows, n, hidden,
                    a->eps, false);
        cuda_launched(d, "the final norm's gradient");
    }
}
