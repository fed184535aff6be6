/* train/shards.c - a step cut into parts, and their gradients folded in a fixed tree (B6).
 *
 * Part p of V takes the units [p n / V, (p + 1) n / V) of a step of n units. Its gradient starts at +0 and its units are
 * added in order, and so is its loss; then, for s = 1, 2, 4 .. V / 2, part i gets part i + s for each i that is a multiple
 * of 2 s. A part without units is +0 and is added as any other. V parts that follow one another, their number and the
 * first one multiples of a power of two, are a subtree; so whoever has them folds them alone.
 *
 * They are computed one after another, and a sum is taken as soon as both of its sides are there: of the parts done so far
 * there is one gradient for each bit that is set in their number. */
#include "train/train_int.h"

ac_span_of_units ac_shard_units(size_t n_units, size_t shards, size_t part)
{
    return (ac_span_of_units){ part * n_units / shards, (part + 1) * n_units / shards };
}

size_t ac_fold_levels(size_t parts)
{
    size_t levels = 0;
    while (parts >> (levels + 1)) levels++;
    return levels;
}

ac_status ac_fold_open(ac_fold *f, ac_device *dev, float *grad, size_t n, size_t parts, ac_err *err)
{
    *f = (ac_fold){ .dev = dev, .n = n, .grad = { grad }, .levels = ac_fold_levels(parts) };
    for (size_t i = 1; i <= f->levels; i++) {
        f->grad[i] = ac_calloc(n, sizeof(float));
        if (f->grad[i]) continue;
        ac_fold_close(f);
        return ac_fail_nomem(err, (unsigned long long)n * sizeof(float));
    }
    return AC_OK;
}

void ac_fold_touch(ac_fold *f)
{
    for (size_t i = 1; i <= f->levels; i++) ac_mem_touch(f->grad[i], f->n * sizeof(float));
}

ac_status ac_fold_keep(ac_fold *f, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 1; !st && i <= f->levels; i++) st = f->dev->op->keep(f->dev, f->grad[i], f->n * sizeof(float), err);
    return st;
}

void ac_fold_close(ac_fold *f)
{
    for (size_t i = 1; i <= f->levels; i++) {
        if (f->grad[i]) f->dev->op->let_go(f->dev, f->grad[i]);
        ac_free(f->grad[i]);
    }
    *f = (ac_fold){ .dev = NULL };
}

void ac_fold_begin(ac_fold *f)
{
    f->depth = f->done = 0;
}

static ac_status zero(const ac_fold *f, float *grad, ac_err *err)
{
    ac_buf *g = NULL;
    const ac_status st = f->dev->op->buf_borrow(f->dev, &g, grad, f->n * sizeof(float), AC_BORROW_WRITE, err);
    if (st) return st;
    f->dev->op->zero(f->dev, (ac_ref){ g, 0 }, f->n);
    f->dev->op->buf_close(f->dev, &g);
    return AC_OK;
}

static ac_status add(const ac_fold *f, float *to, float *from, ac_err *err)
{
    const ac_device_ops *op = f->dev->op;
    ac_buf *t = NULL, *g = NULL;
    ac_status st = op->buf_borrow(f->dev, &t, to, f->n * sizeof(float), AC_BORROW_BOTH, err);
    if (!st) st = op->buf_borrow(f->dev, &g, from, f->n * sizeof(float), AC_BORROW_READ, err);
    if (!st) op->add(f->dev, (ac_ref){ t, 0 }, (ac_ref){ g, 0 }, f->n);
    op->buf_close(f->dev, &g);
    op->buf_close(f->dev, &t);
    return st;
}

ac_status ac_fold_next(ac_fold *f, float **grad, ac_err *err)
{
    *grad = f->grad[f->depth];
    return zero(f, *grad, err);
}

/* The lowest bits that are set in the number of parts done before are the sums that this part completes. */
ac_status ac_fold_end(ac_fold *f, double loss, ac_err *err)
{
    ac_status st = AC_OK;
    f->loss[f->depth] = loss;
    for (size_t bit = f->done; !st && (bit & 1); bit >>= 1) {
        st = add(f, f->grad[f->depth - 1], f->grad[f->depth], err);
        f->loss[f->depth - 1] += f->loss[f->depth];
        f->depth--;
    }
    f->depth++;
    f->done++;
    return st;
}
