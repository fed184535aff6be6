/* model/dora.c - the lengths of adapted rows: what DoRA's magnitudes start as, and what they are divided by.
 * Lengths belong to parameters, not to a call, so they are kept with the adapter until its parameters change. */
#include "model/model_int.h"

ac_dora *ac_dora_new(size_t n)
{
    ac_dora *d = ac_calloc(1, sizeof *d);
    if (!d) return NULL;
    d->n = n;
    d->norm = ac_calloc(n, sizeof *d->norm);
    if (d->norm) return d;
    ac_free(d);
    return NULL;
}

void ac_dora_free(ac_dora *d)
{
    if (!d) return;
    ac_free(d->norm);
    ac_free(d);
}

static void module_norm(const ac_model *m, const ac_adapter *a, const ac_lora_module *mod, ac_buf *norm, ac_buf *params,
                        size_t rank)
{
    m->dev->op->dora_norm(m->dev, &(ac_dora_norm_args){
        .norm = { norm, mod->norm_at }, .a = { params, mod->a_at }, .b = { params, mod->b_at },
        .w = &m->layer[mod->layer].w[mod->target], .rank = rank, .scale = a->scale,
    });
}

ac_status ac_dora_start(ac_adapter *a, const ac_model *m, ac_err *err)
{
    ac_buf *norm = NULL, *params = NULL;
    const size_t bytes = a->n_params * sizeof(float);
    ac_status st = m->dev->op->buf_borrow(m->dev, &params, a->params, bytes, AC_BORROW_WRITE, err);
    if (!st) st = m->dev->op->buf_borrow(m->dev, &norm, a->dora->norm, a->dora->n * sizeof(float), AC_BORROW_WRITE, err);
    for (size_t i = 0; !st && i < a->n_modules; i++) {
        const ac_lora_module *mod = &a->module[i];
        module_norm(m, a, mod, norm, params, 0);
        m->dev->op->copy(m->dev, (ac_ref){ params, mod->m_at }, (ac_ref){ norm, mod->norm_at }, mod->out);
    }
    if (!st) st = m->dev->op->sync(m->dev, err);
    m->dev->op->buf_close(m->dev, &norm);
    m->dev->op->buf_close(m->dev, &params);
    return st;
}

ac_status ac_dora_open(ac_adapted *ad, ac_model *m, ac_err *err)
{
    ac_dora *d = ad->ad->dora;
    ac_status st = m->dev->op->buf_borrow(m->dev, &ad->norms, d->norm, d->n * sizeof(float),
                                          d->known ? AC_BORROW_READ : AC_BORROW_BOTH, err);
    if (st || d->known) return st;
    for (size_t i = 0; i < ad->ad->n_modules; i++)
        module_norm(m, ad->ad, &ad->ad->module[i], ad->norms, ad->params, ad->ad->spec.rank);
    st = m->dev->op->sync(m->dev, err);
    d->known = !st;
    return st;
}
