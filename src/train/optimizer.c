/* train/optimizer.c - gradient norm, clipping and AdamW over the device table. */
#include <math.h>
#include <string.h>

#include "train/train_int.h"

ac_status ac_optimizer_open(ac_optimizer *o, ac_device *dev, ac_adapter *ad, ac_err *err)
{
    *o = (ac_optimizer){ .dev = dev, .ad = ad };
    o->grad = ac_calloc(ad->n_params, sizeof(float));
    o->m = ac_calloc(ad->n_params, sizeof(float));
    o->v = ac_calloc(ad->n_params, sizeof(float));
    if (o->grad && o->m && o->v) return AC_OK;
    ac_optimizer_close(o);
    return ac_fail_nomem(err, (unsigned long long)ad->n_params * 3 * sizeof(float));
}

void ac_optimizer_close(ac_optimizer *o)
{
    ac_free(o->grad);
    ac_free(o->m);
    ac_free(o->v);
    *o = (ac_optimizer){ 0 };
}

ac_status ac_optimizer_norm(ac_optimizer *o, double *norm, ac_err *err)
{
    const ac_adapter *ad = o->ad;
    ac_buf *g = NULL;
    ac_status st = o->dev->op->buf_borrow(o->dev, &g, o->grad, ad->n_params * sizeof(float), AC_BORROW_READ, err);
    if (st) return st;
    double sum = 0;
    for (size_t i = 0, next; i < ad->n_tensors; i = next) {
        for (next = i + 1; next < ad->n_tensors && !ad->tensor[next].starts_part;) next++;
        const size_t from = ad->tensor[i].at, end = next < ad->n_tensors ? ad->tensor[next].at : ad->n_params;
        sum += o->dev->op->sum_squares(o->dev, (ac_ref){ g, from }, end - from);
    }
    st = o->dev->op->sync(o->dev, err);
    o->dev->op->buf_close(o->dev, &g);
    if (!st) *norm = sqrt(sum);
    return st;
}

ac_status ac_optimizer_step(ac_optimizer *o, const ac_train_opts *opts, double lr, double norm, uint64_t t,
                            ac_err *err)
{
    const ac_device_ops *op = o->dev->op;
    const size_t bytes = o->ad->n_params * sizeof(float);
    float *const host[4] = { o->ad->params, o->m, o->v, o->grad };
    ac_buf *buf[4] = { NULL };
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < 4; i++) {
        st = op->buf_borrow(o->dev, &buf[i], host[i], bytes, i < 3 ? AC_BORROW_BOTH : AC_BORROW_READ, err);
    }
    if (!st) {
        const double bc1 = 1.0 - ac_pow_int(opts->beta1, t), bc2 = 1.0 - ac_pow_int(opts->beta2, t);
        const ac_adamw_args a = {
            .p = { buf[0], 0 }, .m = { buf[1], 0 }, .v = { buf[2], 0 }, .g = { buf[3], 0 },
            .n = o->ad->n_params,
            .grad_scale = opts->clip > 0 && norm > opts->clip ? (float)(opts->clip / norm) : 1.0f,
            .one_minus_lr_wd = (float)(1.0 - lr * opts->weight_decay),
            .b1 = (float)opts->beta1, .one_minus_b1 = (float)(1.0 - opts->beta1),
            .b2 = (float)opts->beta2, .one_minus_b2 = (float)(1.0 - opts->beta2),
            .lr_over_bc1 = (float)(lr / bc1), .inv_sqrt_bc2 = (float)(1.0 / sqrt(bc2)),
            .eps = (float)opts->eps,
        };
        op->adamw(o->dev, &a);
        st = op->sync(o->dev, err);
    }
    for (size_t i = 0; i < 4; i++) op->buf_close(o->dev, &buf[i]);
    return st;
}
