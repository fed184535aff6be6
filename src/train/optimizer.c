/* train/optimizer.c - gradient norm, clipping, state, and the table of optimizers. */
#include <math.h>
#include <string.h>

#include "train/train_int.h"

static const ac_optim_family families[] = {                 /* by ac_optim_kind */
    { "adamw", AC_RULE_ADAMW, ac_plan_moments, ac_step_moments },
    { "sgd", AC_RULE_SGD, ac_plan_moments, ac_step_moments },
    { "lion", AC_RULE_LION, ac_plan_moments, ac_step_moments },
    { "adafactor", AC_RULE_NESTEROV, ac_plan_adafactor, ac_step_adafactor },
    { "muon", AC_RULE_NESTEROV, ac_plan_moments, ac_step_muon },
};

const char *ac_optim_name(ac_optim_kind k)
{
    return (size_t)k < AC_COUNTOF(families) ? families[k].name : "unknown";
}

const char *ac_state_name(ac_state_type t)
{
    static const char *const names[] = { "fp32", "bf16", "int8" };
    return (size_t)t < AC_COUNTOF(names) ? names[t] : "unknown";
}

/* ---- memory -------------------------------------------------------------------------------------------- */

static void fill_arrays(ac_state_array out[AC_STATE_ARRAYS], ac_state_type state, const ac_optim_need *need)
{
    static const ac_dtype of[] = { AC_F32, AC_BF16, AC_U8 };
    const bool coded = state == AC_STATE_INT8;
    const ac_state_array a[AC_STATE_ARRAYS] = {
        [AC_STATE_M] = { .name = "exp_avg", .type = coded ? AC_I8 : of[state], .n = need->m },
        [AC_STATE_M_SCALE] = { .name = "exp_avg_scale", .type = AC_F32, .n = coded ? need->m_blocks : 0 },
        [AC_STATE_V] = { .name = "exp_avg_sq", .type = of[state], .n = need->v },
        [AC_STATE_V_SCALE] = { .name = "exp_avg_sq_scale", .type = AC_F32, .n = coded ? need->v_blocks : 0 },
        [AC_STATE_FACTORS] = { .name = "factors", .type = AC_F32, .n = need->factors },
    };
    memcpy(out, a, sizeof a);
}

size_t ac_optimizer_state_bytes(const ac_train_opts *opts, const ac_adapter *ad)
{
    ac_optim_need need = { 0 };
    ac_state_array a[AC_STATE_ARRAYS];
    families[opts->optimizer].plan(opts, ad, &need, NULL);
    fill_arrays(a, opts->optimizer_state, &need);
    size_t bytes = need.scratch * sizeof(float);
    for (size_t i = 0; i < AC_STATE_ARRAYS; i++) bytes += a[i].n * ac_dtype_block_bytes(a[i].type);
    return bytes;
}

ac_status ac_optimizer_open(ac_optimizer *o, ac_device *dev, ac_adapter *ad, const ac_train_opts *opts, ac_err *err)
{
    ac_optim_need need = { 0 };
    *o = (ac_optimizer){ .dev = dev, .ad = ad };
    if (!dev->op->has_rule(dev, families[opts->optimizer].rule, opts->optimizer_state))
        return ac_fail(err, AC_EARG, "the device %s has no optimizer %s with state %s; name another in the contract, or "
                       "train on the CPU", dev->name, ac_optim_name(opts->optimizer), ac_state_name(opts->optimizer_state));
    families[opts->optimizer].plan(opts, ad, &need, NULL);
    fill_arrays(o->array, opts->optimizer_state, &need);
    o->n_scratch = need.scratch;
    o->n_parts = need.parts;
    o->grad = ac_calloc(ad->n_params, sizeof(float));
    bool ok = o->grad != NULL;
    for (size_t i = 0; ok && i < AC_STATE_ARRAYS; i++) {
        if (!o->array[i].n) continue;
        o->array[i].data = ac_calloc(o->array[i].n, ac_dtype_block_bytes(o->array[i].type));
        ok = o->array[i].data != NULL;
    }
    if (ok && need.scratch) ok = (o->scratch = ac_calloc(need.scratch, sizeof(float))) != NULL;
    if (ok) ok = (o->norm_part = ac_calloc(ad->n_tensors, sizeof *o->norm_part)) != NULL;
    if (ok) ok = (o->norm_square = ac_calloc(ad->n_tensors, sizeof *o->norm_square)) != NULL;
    if (ok && need.parts) ok = (o->part = ac_calloc(need.parts, sizeof *o->part)) != NULL;
    if (!ok) {
        ac_optimizer_close(o);
        return ac_fail_nomem(err, (unsigned long long)ad->n_params * sizeof(float)
                                      + ac_optimizer_state_bytes(opts, ad));
    }
    need = (ac_optim_need){ 0 };
    families[opts->optimizer].plan(opts, ad, &need, o->part);
    return AC_OK;
}

static void let_go(ac_optimizer *o);

void ac_optimizer_touch(ac_optimizer *o)
{
    ac_mem_touch(o->grad, o->ad->n_params * sizeof(float));
    for (size_t i = 0; i < AC_STATE_ARRAYS; i++)
        ac_mem_touch(o->array[i].data, o->array[i].n * ac_dtype_block_bytes(o->array[i].type));
    ac_mem_touch(o->scratch, o->n_scratch * sizeof(float));
}

void ac_optimizer_close(ac_optimizer *o)
{
    let_go(o);
    ac_free(o->norm_part);
    ac_free(o->norm_square);
    ac_free(o->grad);
    for (size_t i = 0; i < AC_STATE_ARRAYS; i++) ac_free(o->array[i].data);
    ac_free(o->scratch);
    ac_free(o->part);
    *o = (ac_optimizer){ 0 };
}

/* ---- a step -------------------------------------------------------------------------------------------- */

/* Of n_params values, in parts. */
static ac_status squares_of(ac_optimizer *o, float *values, double *out, ac_err *err)
{
    const ac_adapter *ad = o->ad;
    ac_buf *g = NULL;
    ac_status st = o->dev->op->buf_borrow(o->dev, &g, values, ad->n_params * sizeof(float), AC_BORROW_READ, err);
    if (st) return st;
    size_t n = 0;
    for (size_t i = 0, next; i < ad->n_tensors; i = next) {
        for (next = i + 1; next < ad->n_tensors && !ad->tensor[next].starts_part;) next++;
        const size_t from = ad->tensor[i].at, end = next < ad->n_tensors ? ad->tensor[next].at : ad->n_params;
        o->norm_part[n++] = (ac_span){ { g, from }, end - from };
    }
    o->dev->op->sum_squares(o->dev, o->norm_part, n, o->norm_square);
    st = o->dev->op->sync(o->dev, err);
    o->dev->op->buf_close(o->dev, &g);
    if (st) return st;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += o->norm_square[i];
    *out = sum;
    return AC_OK;
}

ac_status ac_optimizer_norm(ac_optimizer *o, double *norm, ac_err *err)
{
    double sum = 0;
    const ac_status st = squares_of(o, o->grad, &sum, err);
    if (!st) *norm = sqrt(sum);
    return st;
}

ac_status ac_optimizer_checksum(ac_optimizer *o, double *sum, ac_err *err)
{
    return squares_of(o, o->ad->params, sum, err);
}

/* ---- arrays whose home is the device (D6) ------------------------------------------------------------------- */

enum { KEPT_MAX = AC_STATE_ARRAYS + 2 };

static size_t kept_arrays(const ac_optimizer *o, void *host[KEPT_MAX], size_t bytes[KEPT_MAX])
{
    size_t n = 0;
    host[n] = o->ad->params;
    bytes[n++] = o->ad->n_params * sizeof(float);
    host[n] = o->grad;
    bytes[n++] = o->ad->n_params * sizeof(float);
    for (size_t i = 0; i < AC_STATE_ARRAYS; i++) {
        if (!o->array[i].n) continue;
        host[n] = o->array[i].data;
        bytes[n++] = o->array[i].n * ac_dtype_block_bytes(o->array[i].type);
    }
    return n;
}

ac_status ac_optimizer_keep(ac_optimizer *o, ac_err *err)
{
    void *host[KEPT_MAX];
    size_t bytes[KEPT_MAX];
    const size_t n = kept_arrays(o, host, bytes);
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < n; i++) st = o->dev->op->keep(o->dev, host[i], bytes[i], err);
    return st;
}

ac_status ac_optimizer_pull(ac_optimizer *o, bool state_too, ac_err *err)
{
    void *host[KEPT_MAX];
    size_t bytes[KEPT_MAX];
    const size_t n = kept_arrays(o, host, bytes);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || (i > 1 && state_too)) o->dev->op->pull(o->dev, host[i]);
    return o->dev->op->sync(o->dev, err);
}

static void let_go(ac_optimizer *o)
{
    void *host[KEPT_MAX];
    size_t bytes[KEPT_MAX];
    if (!o->dev || !o->ad) return;
    const size_t n = kept_arrays(o, host, bytes);
    for (size_t i = 0; i < n; i++) o->dev->op->let_go(o->dev, host[i]);
}

ac_status ac_optimizer_zero_grad(ac_optimizer *o, ac_err *err)
{
    ac_buf *g = NULL;
    const size_t n = o->ad->n_params;
    const ac_status st = o->dev->op->buf_borrow(o->dev, &g, o->grad, n * sizeof(float), AC_BORROW_WRITE, err);
    if (st) return st;
    o->dev->op->zero(o->dev, (ac_ref){ g, 0 }, n);
    o->dev->op->buf_close(o->dev, &g);
    return AC_OK;
}

/* ---- a step, in full --------------------------------------------------------------------------------------- */

static ac_status borrow(ac_optimizer *o, ac_buf **out, void *host, size_t bytes, ac_err *err)
{
    return bytes ? o->dev->op->buf_borrow(o->dev, out, host, bytes, AC_BORROW_BOTH, err) : AC_OK;
}

ac_status ac_optimizer_step(ac_optimizer *o, const ac_train_opts *opts, double lr, double norm, uint64_t t,
                            ac_err *err)
{
    const ac_device_ops *op = o->dev->op;
    const size_t bytes = o->ad->n_params * sizeof(float);
    ac_optim_step s = {
        .opts = opts, .lr = lr, .t = t, .keep = (float)(1.0 - lr * opts->weight_decay),
        .grad_scale = opts->clip > 0 && norm > opts->clip ? (float)(opts->clip / norm) : 1.0f,
    };
    ac_status st = borrow(o, &s.p.buf, o->ad->params, bytes, err);
    if (!st) st = borrow(o, &s.g.buf, o->grad, bytes, err);
    if (!st) st = borrow(o, &s.scratch.buf, o->scratch, o->n_scratch * sizeof(float), err);
    for (size_t i = 0; !st && i < AC_STATE_ARRAYS; i++) {
        const ac_state_array *a = &o->array[i];
        st = borrow(o, &s.state[i], a->data, a->n * ac_dtype_block_bytes(a->type), err);
    }
    if (!st) {
        families[opts->optimizer].step(o, &s);
        st = op->sync(o->dev, err);
        ac_adapter_changed(o->ad);
    }
    for (size_t i = 0; i < AC_STATE_ARRAYS; i++) op->buf_close(o->dev, &s.state[i]);
    op->buf_close(o->dev, &s.scratch.buf);
    op->buf_close(o->dev, &s.g.buf);
    op->buf_close(o->dev, &s.p.buf);
    return st;
}
