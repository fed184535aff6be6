/* model/work.c - the workspace of a call: one buffer, laid out before anything runs.
 *
 * With gradients each layer keeps what its backward cannot cheaply have again: residual streams, q k v, the
 * attention's output and lse, gate and up, and LoRA's h. Norms' outputs and gate * up are computed again,
 * the same bits from the same kernel. With recompute a layer keeps its input alone, and the rest is one set, filled
 * again before the layer's backward. Without gradients, and below the lowest adapted layer, all share one set. */
#include <string.h>
#include "base/size.h"
#include "model/model_int.h"

typedef struct {
    ac_buf *buf;
    size_t at;                 /* floats */
    bool overflow;
} bump;

static ac_ref take(bump *b, size_t rows, size_t cols)
{
    size_t n = 0, end = 0;
    const ac_ref r = { b->buf, b->at };
    if (!ac_size_mul(&n, rows, cols) || !ac_size_align(&n, n, 16) || !ac_size_add(&end, b->at, n))
        b->overflow = true;
    else
        b->at = end;
    return r;
}

typedef struct {
    const ac_model *m;
    const ac_adapter *ad;
    size_t rows, n_select, longest;
    bool grad, dropout, recompute;
} plan;

static void layer_acts(bump *b, const plan *p, size_t layer, ac_acts *a)
{
    const ac_model_config *c = &p->m->cfg;
    const size_t qw = c->n_heads * c->head_dim, kw = c->n_kv_heads * c->head_dim;
    memset(a, 0, sizeof *a);
    a->x0 = take(b, p->rows, c->hidden);
    a->x1 = p->grad ? take(b, p->rows, c->hidden) : a->x0;
    a->q = take(b, p->rows, qw);
    a->k = take(b, p->rows, kw);
    a->q_raw = p->grad && c->qk_norm ? take(b, p->rows, qw) : a->q;
    a->k_raw = p->grad && c->qk_norm ? take(b, p->rows, kw) : a->k;
    a->v = take(b, p->rows, kw);
    a->att = take(b, p->rows, qw);
    if (p->grad) a->lse = take(b, p->rows, c->n_heads);
    a->g = take(b, p->rows, c->ffn);
    a->u = take(b, p->rows, c->ffn);
    for (size_t t = 0; p->ad && t < AC_TARGET_COUNT; t++) {
        const bool adapted = !p->grad || ac_adapter_find(p->ad, layer, (ac_target)t);
        if (!adapted) continue;
        a->h[t] = !p->grad && t ? a->h[0] : take(b, p->rows, p->ad->spec.rank);
        if (!p->grad || !p->ad->dora) continue;
        /* Gate and up have no bias, so that without dropout it is what they give. */
        const bool same = (t == AC_TARGET_GATE || t == AC_TARGET_UP) && !p->dropout;
        if (same) a->out0[t] = t == AC_TARGET_GATE ? a->g : a->u;
        else a->out0[t] = take(b, p->rows, p->m->layer[layer].w[t].rows);
    }
}

static void temps(bump *b, const plan *p, ac_temps *t)
{
    const ac_model_config *c = &p->m->cfg;
    const size_t qw = c->n_heads * c->head_dim, kw = c->n_kv_heads * c->head_dim;
    const size_t wider = qw > c->hidden ? qw : c->hidden;
    memset(t, 0, sizeof *t);
    t->ids = take(b, p->rows, 1);
    t->pos = take(b, p->rows, 1);
    t->rows = take(b, p->n_select, 1);
    t->target = take(b, p->n_select, 1);
    t->nll = take(b, p->n_select, 1);
    t->n = take(b, p->rows, c->hidden);
    t->mid = take(b, p->rows, c->hidden);
    t->s = take(b, p->rows, c->ffn);
    t->xf = p->grad ? take(b, p->rows, c->hidden) : p->m->acts[0].x0;
    if (p->grad) {
        t->dx = take(b, p->rows, c->hidden);
        t->dn = take(b, p->rows, c->hidden);
        t->ds = take(b, p->rows, c->ffn);
        t->datt = take(b, p->rows, qw);
        t->dq = take(b, p->rows, qw);
        t->dk = take(b, p->rows, kw);
        t->dv = take(b, p->rows, kw);
    }
    const ac_shape shape = {
        .rows = p->rows, .longest_doc = p->longest, .output_rows = p->n_select, .hidden = c->hidden,
        .widest_in = wider > c->ffn ? wider : c->ffn, .vocab = c->vocab, .n_heads = c->n_heads,
        .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim, .rank = p->ad ? p->ad->spec.rank : 0,
        .grad = p->grad, .dropout = p->dropout, .dora = p->ad && p->ad->dora,
        .weights = p->grad && p->ad && p->ad->spec.tune == AC_TUNE_FULL,
    };
    t->scratch = take(b, 1, p->m->dev->op->scratch_floats(p->m->dev, &shape));
}

/* Sets every place; with buf NULL it only counts. */
static size_t lay_out(ac_acts *acts, ac_temps *t, const plan *p, ac_buf *buf, bool *overflow)
{
    bump b = { buf, 0, false };
    const size_t n = p->m->cfg.n_layers, first = p->grad ? ac_adapter_first_layer(p->ad, n) : n - 1;
    layer_acts(&b, p, first, &acts[first]);
    for (size_t i = 0; i < first; i++) acts[i] = acts[first];
    for (size_t i = first + 1; i < n; i++) {
        if (!p->recompute) {
            layer_acts(&b, p, i, &acts[i]);
            continue;
        }
        acts[i] = acts[first];
        acts[i].x0 = take(&b, p->rows, p->m->cfg.hidden);
    }
    temps(&b, p, t);
    *overflow = b.overflow;
    return b.at;
}

static ac_status grow(ac_model *m, size_t floats, ac_err *err)
{
    if (floats <= m->work_floats) return AC_OK;
    size_t bytes = 0;
    ac_model_trim(m);
    if (!ac_size_mul(&bytes, floats, sizeof(float))) return ac_fail_nomem(err, SIZE_MAX);
    const ac_status st = m->dev->op->buf_open(m->dev, &m->work, bytes, err);
    if (!st) m->work_floats = floats;
    return st;
}

ac_status ac_work_prepare(ac_model *m, const ac_adapter *ad, const ac_batch *b, bool grad, bool dropout,
                          ac_err *err)
{
    const plan p = { m, ad, b->rows, b->n_select, b->longest, grad, dropout, b->recompute };
    bool overflow = false;
    const size_t floats = lay_out(m->acts, &m->temps, &p, NULL, &overflow);
    if (overflow) return ac_fail_nomem(err, SIZE_MAX);
    const ac_status st = grow(m, floats, err);
    if (!st) lay_out(m->acts, &m->temps, &p, m->work, &overflow);
    return st;
}

size_t ac_model_call_bytes(const ac_model *m, const ac_adapter *ad, const ac_call_size *s, size_t *layers,
                           size_t *scratch)
{
    const plan p = { m, ad, s->tokens, s->supervised, s->longest, s->grad, s->dropout, s->recompute };
    bool overflow = false;
    size_t bytes = 0;
    ac_temps t;
    /* The places are recomputed by the next call's prepare, so that counting over them does no harm. */
    const size_t floats = lay_out(m->acts, &t, &p, NULL, &overflow);
    if (overflow || !ac_size_mul(&bytes, floats, sizeof(float))) return SIZE_MAX;
    if (layers) *layers = t.ids.at * sizeof(float);
    if (scratch) *scratch = bytes - t.scratch.at * sizeof(float);
    return bytes;
}

size_t ac_model_device_bytes(const ac_model *m)
{
    return m->dev->op->own_bytes(m->dev);
}
