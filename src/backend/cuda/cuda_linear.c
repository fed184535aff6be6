/* backend/cuda/cuda_linear.c - linear layers with LoRA, forward and backward.
 *
 * The adapter's part is written first and the base's product added to it, in one rounding to bfloat16: the small summand
 * is the one that is rounded alone. An adapter's gradient is summed in binary32 over pieces of the units, which are
 * added in their order. Ranks over CUDA_RANK_MAX go through cuBLASLt, over all rows of the call at once. */
#include "backend/cuda/cuda_int.h"

/* h = alpha x A^T (b: A, r x k), or dh = alpha dy B (b: B, k x r). */
static void into_rank(cuda_device *d, cuda_bf16 *h, const cuda_bf16 *x, const cuda_bf16 *b, bool k_major, size_t rows, size_t k,
                      size_t r, float alpha)
{
    if (d->st) return;
    if (r > CUDA_RANK_MAX) {
        cuda_product(d, &(cuda_gemm){ .m = rows, .n = r, .k = k, .a = x, .lda = k, .b = b, .ldb = k_major ? r : k,
            .tb = !k_major, .c = h, .ldc = r, .alpha = alpha });
        return;
    }
    if (!k_into_rank(d->stream, h, x, b, k_major, rows, k, r, alpha))
        cuda_fail(d, AC_ESTATE, "%s: an adapter's product could not be launched", d->name);
    cuda_launched(d, "an adapter's product");
}

/* Each unit in pieces from its first row on. */
static const cuda_piece *pieces_of(cuda_device *d, const ac_linear_grad_args *a, size_t *n_out)
{
    size_t n = 0, at = 0;
    for (size_t u = 0; u < a->n_units; u++) n += (a->units[u].n + CUDA_PIECE - 1) / CUDA_PIECE;
    *n_out = n;
    cuda_piece *host = n ? d->host->alloc(n, sizeof *host) : NULL;
    if (!host) {
        cuda_fail(d, AC_ENOMEM, "no units, or no memory for %zu pieces of them", n);
        return NULL;
    }
    for (size_t u = 0; u < a->n_units; u++)
        for (size_t from = 0; from < a->units[u].n; from += CUDA_PIECE) {
            const size_t left = a->units[u].n - from;
            host[at++] = (cuda_piece){ (uint32_t)(a->units[u].first + from), (uint32_t)(left < CUDA_PIECE ? left : CUDA_PIECE) };
        }
    const cuda_piece *table = cuda_table_at(d, TABLE_PIECES, host, n * sizeof *host);
    d->host->release(host);
    return table;
}

/* g += x^T h: cols x r, or across: r x cols. */
static void rank_grad(cuda_device *d, const ac_linear_grad_args *a, float *g, const cuda_bf16 *x, const cuda_bf16 *h,
                      size_t cols, size_t r, bool across)
{
    size_t n = 0;
    if (d->st) return;
    if (r > CUDA_RANK_MAX) {
        const cuda_gemm all = { .m = across ? r : cols, .n = across ? cols : r, .k = a->rows, .a = across ? h : x,
            .lda = across ? r : cols, .ta = true, .b = across ? x : h, .ldb = across ? cols : r, .c = g, .c_f32 = true,
            .ldc = across ? cols : r, .alpha = 1.0f, .beta = 1.0f };
        cuda_product(d, &all);
        return;
    }
    const cuda_piece *pieces = pieces_of(d, a, &n);
    if (!pieces) return;
    if (!k_rank_grad(d->stream, g, x, h, pieces, n, cols, r, across, d->lt_space, CUDA_LT_SPACE / sizeof(float)))
        cuda_fail(d, AC_ESTATE, "%s: an adapter's gradient could not be launched", d->name);
    cuda_launched(d, "an adapter's gradient");
}

/* The adapter's input: dropped where there is dropout, in `room`. */
static const cuda_bf16 *adapter_input(cuda_device *d, const ac_lora *l, const cuda_bf16 *x, size_t rows, size_t cols,
                                      const ac_unit_rows *units, size_t n_units, cuda_bf16 *room)
{
    if (!l->drop.threshold) return x;
    const cuda_unit *table = cuda_table_at(d, TABLE_UNITS, units, n_units * sizeof *units);
    if (!table) return x;
    k_drop(d->stream, room, x, rows, cols, table, n_units, l->drop.seed, l->drop.step, l->module, l->drop.threshold,
           l->drop.inv_keep, false);
    cuda_launched(d, "dropout");
    return room;
}

void cuda_linear(ac_device *dev, const ac_linear_args *a)
{
    cuda_device *d = cuda_of(dev);
    const size_t in = a->w->cols, out = a->w->rows;
    const ac_lora *l = a->lora;
    const cuda_bf16 *x = cuda_act(a->x);
    cuda_bf16 *y = cuda_act(a->y);
    if (l) {
        const cuda_bf16 *own = adapter_input(d, l, x, a->rows, in, a->units, a->n_units, cuda_at(a->scratch));
        into_rank(d, cuda_act(l->h), own, cuda_narrow(d, l->a), false, a->rows, in, l->rank, l->scale);
        if (y)
            cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = out, .k = l->rank, .a = cuda_act(l->h), .lda = l->rank,
                .b = cuda_narrow(d, l->b), .ldb = l->rank, .tb = true, .c = y, .ldc = out, .alpha = 1.0f });
    }
    if (!y) return;
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = out, .k = in, .a = x, .lda = in, .b = cuda_weights(d, a->w), .ldb = in,
        .tb = true, .c = y, .ldc = out, .alpha = 1.0f, .beta = l ? 1.0f : 0.0f });
    if (a->bias.buf) {
        k_add_bias(d->stream, y, cuda_f32(a->bias), a->rows, out);
        cuda_launched(d, "bias");
    }
}

void cuda_linears(ac_device *dev, const ac_linear_args *a, size_t n)
{
    for (size_t i = 0; i < n; i++) cuda_linear(dev, &a[i]);
}

/* dA += dh^T x', dB += dy^T h, and what the adapter adds to dx. Leaves true where dx was begun. */
static bool adapter_grad(cuda_device *d, const ac_linear_grad_args *a)
{
    const size_t in = a->w->cols, out = a->w->rows;
    const ac_lora *l = a->lora;
    const cuda_bf16 *dy = cuda_act(a->dy), *x = cuda_act(a->x);
    cuda_bf16 *dh = cuda_at(a->scratch);
    /* 16 elements are what a place's alignment is counted in. */
    cuda_bf16 *room = dh + (a->rows * l->rank + 15) / 16 * 16;
    into_rank(d, dh, dy, cuda_narrow(d, l->b), true, a->rows, out, l->rank, l->scale);
    rank_grad(d, a, cuda_f32(a->db), dy, cuda_act(l->h), out, l->rank, false);
    const cuda_bf16 *own = adapter_input(d, l, x, a->rows, in, a->units, a->n_units, room);
    rank_grad(d, a, cuda_f32(a->da), own, dh, in, l->rank, true);
    if (!a->dx.buf || l->drop.threshold) return false;
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = in, .k = l->rank, .a = dh, .lda = l->rank, .b = cuda_narrow(d, l->a),
        .ldb = in, .c = cuda_act(a->dx), .ldc = in, .alpha = 1.0f, .beta = a->accumulate ? 1.0f : 0.0f });
    return true;
}

/* dx += dropout(dh A), whose mask stands between the product and the sum. */
static void dropped_input_grad(cuda_device *d, const ac_linear_grad_args *a)
{
    const size_t in = a->w->cols;
    const ac_lora *l = a->lora;
    cuda_bf16 *dh = cuda_at(a->scratch), *room = dh + (a->rows * l->rank + 15) / 16 * 16;
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = in, .k = l->rank, .a = dh, .lda = l->rank, .b = cuda_narrow(d, l->a),
        .ldb = in, .c = room, .ldc = in, .alpha = 1.0f });
    const cuda_unit *table = cuda_table_at(d, TABLE_UNITS, a->units, a->n_units * sizeof *a->units);
    if (!table) return;
    k_drop(d->stream, cuda_act(a->dx), room, a->rows, in, table, a->n_units, l->drop.seed, l->drop.step, l->module,
           l->drop.threshold, l->drop.inv_keep, true);
    cuda_launched(d, "dropout's gradient");
}

void cuda_linear_grad(ac_device *dev, const ac_linear_grad_args *a)
{
    cuda_device *d = cuda_of(dev);
    const size_t in = a->w->cols, out = a->w->rows;
    const bool begun = a->lora && adapter_grad(d, a);
    if (!a->dx.buf) return;
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = in, .k = out, .a = cuda_act(a->dy), .lda = out,
        .b = cuda_weights(d, a->w), .ldb = in, .c = cuda_act(a->dx), .ldc = in, .alpha = 1.0f,
        .beta = begun || a->accumulate ? 1.0f : 0.0f });
    if (a->lora && a->lora->drop.threshold) dropped_input_grad(d, a);
}
