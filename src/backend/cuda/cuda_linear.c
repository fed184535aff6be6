/* backend/cuda/cuda_linear.c - linear layers with LoRA, forward and backward.
 *
 * The adapter's part is written first and the base's product added to it, in one rounding to bfloat16: the small summand
 * is the one that is rounded alone. An adapter's gradient is one product over all rows of the call, summed in binary32
 * (so it depends on the micro-batch, docs/cuda.md). */
#include "backend/cuda/cuda_int.h"

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
        cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = l->rank, .k = in, .a = own, .lda = in, .b = cuda_narrow(d, l->a),
            .ldb = in, .tb = true, .c = cuda_act(l->h), .ldc = l->rank, .alpha = l->scale });
        if (y)
            cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = out, .k = l->rank, .a = cuda_act(l->h), .lda = l->rank,
                .b = cuda_narrow(d, l->b), .ldb = l->rank, .tb = true, .c = y, .ldc = out, .alpha = 1.0f });
    }
    if (!y) return;
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = out, .k = in, .a = x, .lda = in, .b = cuda_weights(a->w), .ldb = in,
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
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = l->rank, .k = out, .a = dy, .lda = out, .b = cuda_narrow(d, l->b),
        .ldb = l->rank, .c = dh, .ldc = l->rank, .alpha = l->scale });
    cuda_product(d, &(cuda_gemm){ .m = out, .n = l->rank, .k = a->rows, .a = dy, .lda = out, .ta = true,
        .b = cuda_act(l->h), .ldb = l->rank, .c = cuda_f32(a->db), .c_f32 = true, .ldc = l->rank, .alpha = 1.0f, .beta = 1.0f });
    const cuda_bf16 *own = adapter_input(d, l, x, a->rows, in, a->units, a->n_units, room);
    cuda_product(d, &(cuda_gemm){ .m = l->rank, .n = in, .k = a->rows, .a = dh, .lda = l->rank, .ta = true, .b = own,
        .ldb = in, .c = cuda_f32(a->da), .c_f32 = true, .ldc = in, .alpha = 1.0f, .beta = 1.0f });
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
        .b = cuda_weights(a->w), .ldb = in, .c = cuda_act(a->dx), .ldc = in, .alpha = 1.0f,
        .beta = begun || a->accumulate ? 1.0f : 0.0f });
    if (a->lora && a->lora->drop.threshold) dropped_input_grad(d, a);
}
