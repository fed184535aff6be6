/* model/work.c - the workspace of a call: one buffer for each width of element, laid out before anything runs.
 *
 * With gradients each layer keeps what its backward cannot cheaply have again: residual streams, q k v, the
 * attention's output and lse, gate and up, and LoRA's h. Norms' outputs (but on a device that keeps them)
 * and gate * up are computed again, the same bits from the same kernel. With recompute a layer keeps its input alone, and the rest is one set, filled
 * again before the layer's backward. Without gradients, and below the lowest adapted layer, all share one set. */
#include <string.h>
#include "base/size.h"
#include "model/model_int.h"

typedef struct {
    ac_buf *const *buf;        /* by home; NULL: only counts */
    size_t home[AC_STORE_COUNT], width[AC_STORE_COUNT], at[AC_STORE_COUNT];
    bool overflow;
} bump;

/* Stores of one width share a buffer, so that a device which keeps all of them alike has one. */
static void bump_init(bump *b, const ac_device *dev, ac_buf *const *buf)
{
    *b = (bump){ .buf = buf };
    for (size_t i = 0; i < AC_STORE_COUNT; i++) {
        b->width[i] = dev->op->store_bytes(dev, (ac_store)i);
        while (b->width[b->home[i]] != b->width[i]) b->home[i]++;
    }
}

static ac_ref take(bump *b, ac_store store, size_t rows, size_t cols)
{
    size_t n = 0, end = 0;
    const size_t home = b->home[store];
    const ac_ref r = { b->buf ? b->buf[home] : NULL, b->at[home] };
    if (!ac_size_mul(&n, rows, cols) || !ac_size_align(&n, n, 16) || !ac_size_add(&end, b->at[home], n))
        b->overflow = true;
    else
        b->at[home] = end;
    return r;
}

/* Of all that was taken so far; SIZE_MAX: too many. */
static size_t bump_bytes(const bump *b)
{
    size_t sum = 0, bytes = 0;
    for (size_t i = 0; i < AC_STORE_COUNT; i++)
        if (!ac_size_mul(&bytes, b->at[i], b->width[i]) || !ac_size_add(&sum, sum, bytes)) return SIZE_MAX;
    return b->overflow ? SIZE_MAX : sum;
}

typedef struct {
    const ac_model *m;
    const ac_adapter *ad;
    size_t rows, n_select, longest;
    bool grad, dropout, recompute;
} plan;

/* Without gradients targets share places but for those whose products a device may join. */
static const size_t first_like[AC_TARGET_COUNT] = {
    [AC_TARGET_Q] = AC_TARGET_Q, [AC_TARGET_K] = AC_TARGET_K, [AC_TARGET_V] = AC_TARGET_V, [AC_TARGET_O] = AC_TARGET_Q,
    [AC_TARGET_GATE] = AC_TARGET_Q, [AC_TARGET_UP] = AC_TARGET_K, [AC_TARGET_DOWN] = AC_TARGET_Q,
};

static void layer_acts(bump *b, const plan *p, size_t layer, ac_acts *a)
{
    const ac_model_config *c = &p->m->cfg;
    const size_t qw = c->n_heads * c->head_dim, kw = c->n_kv_heads * c->head_dim;
    memset(a, 0, sizeof *a);
    a->x0 = take(b, AC_STORE_STREAM, p->rows, c->hidden);
    a->x1 = p->grad ? take(b, AC_STORE_STREAM, p->rows, c->hidden) : a->x0;
    if (p->grad && p->m->dev->keeps_norms) {
        a->n0 = take(b, AC_STORE_ACT, p->rows, c->hidden);
        a->n1 = take(b, AC_STORE_ACT, p->rows, c->hidden);
    }
    a->q = take(b, AC_STORE_ACT, p->rows, qw);
    a->k = take(b, AC_STORE_ACT, p->rows, kw);
    a->q_raw = p->grad && c->qk_norm ? take(b, AC_STORE_ACT, p->rows, qw) : a->q;
    a->k_raw = p->grad && c->qk_norm ? take(b, AC_STORE_ACT, p->rows, kw) : a->k;
    a->v = take(b, AC_STORE_ACT, p->rows, kw);
    a->att = take(b, AC_STORE_ACT, p->rows, qw);
    if (p->grad) a->lse = take(b, AC_STORE_F32, p->rows, c->n_heads);
    a->g = take(b, AC_STORE_ACT, p->rows, c->ffn);
    a->u = take(b, AC_STORE_ACT, p->rows, c->ffn);
    for (size_t t = 0; p->ad && t < AC_TARGET_COUNT; t++) {
        const bool adapted = !p->grad || ac_adapter_find(p->ad, layer, (ac_target)t);
        if (!adapted) continue;
        const size_t like = p->grad ? t : first_like[t];
        a->h[t] = like < t ? a->h[like] : take(b, AC_STORE_ACT, p->rows, p->ad->spec.rank);
        if (!p->grad || !p->ad->dora) continue;
        /* Gate and up have no bias, so that without dropout it is what they give. */
        const bool same = (t == AC_TARGET_GATE || t == AC_TARGET_UP) && !p->dropout;
        if (same) a->out0[t] = t == AC_TARGET_GATE ? a->g : a->u;
        else a->out0[t] = take(b, AC_STORE_ACT, p->rows, p->m->layer[layer].w[t].rows);
    }
}

static ac_shape shape_of(const plan *p)
{
    const ac_model_config *c = &p->m->cfg;
    const size_t qw = c->n_heads * c->head_dim, wider = qw > c->hidden ? qw : c->hidden;
    return (ac_shape){
        .rows = p->rows, .longest_doc = p->longest, .output_rows = p->n_select, .hidden = c->hidden, .ffn = c->ffn,
        .widest_in = wider > c->ffn ? wider : c->ffn, .vocab = c->vocab, .n_heads = c->n_heads,
        .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim, .rank = p->ad ? p->ad->spec.rank : 0,
        .grad = p->grad, .dropout = p->dropout, .dora = p->ad && p->ad->dora,
        .weights = p->grad && p->ad && p->ad->spec.tune == AC_TUNE_FULL,
    };
}

static void temps(bump *b, const plan *p, ac_temps *t)
{
    const ac_model_config *c = &p->m->cfg;
    const size_t qw = c->n_heads * c->head_dim, kw = c->n_kv_heads * c->head_dim;
    memset(t, 0, sizeof *t);
    t->ids = take(b, AC_STORE_F32, p->rows, 1);
    t->pos = take(b, AC_STORE_F32, p->rows, 1);
    t->rows = take(b, AC_STORE_F32, p->n_select, 1);
    t->target = take(b, AC_STORE_F32, p->n_select, 1);
    t->nll = take(b, AC_STORE_F32, p->n_select, 1);
    t->n = take(b, AC_STORE_ACT, p->rows, c->hidden);
    t->mid = take(b, AC_STORE_ACT, p->rows, c->hidden);
    t->s = take(b, AC_STORE_ACT, p->rows, c->ffn);
    t->xf = p->grad ? take(b, AC_STORE_STREAM, p->rows, c->hidden) : p->m->acts[0].x0;
    if (p->grad) {
        t->dx = take(b, AC_STORE_ACT, p->rows, c->hidden);
        t->dn = take(b, AC_STORE_ACT, p->rows, c->hidden);
        t->ds = take(b, AC_STORE_ACT, p->rows, c->ffn);
        t->datt = take(b, AC_STORE_ACT, p->rows, qw);
        t->dq = take(b, AC_STORE_ACT, p->rows, qw);
        t->dk = take(b, AC_STORE_ACT, p->rows, kw);
        t->dv = take(b, AC_STORE_ACT, p->rows, kw);
    }
    const ac_shape shape = shape_of(p);
    t->scratch = take(b, AC_STORE_F32, 1, p->m->dev->op->scratch_floats(p->m->dev, &shape));
}

/* Sets every place; with buf NULL it only counts. layers: bytes of the layers' activations. */
static void lay_out(bump *b, ac_acts *acts, ac_temps *t, const plan *p, ac_buf *const *buf, size_t *layers)
{
    bump_init(b, p->m->dev, buf);
    const size_t n = p->m->cfg.n_layers, first = p->grad ? ac_adapter_first_layer(p->ad, n) : n - 1;
    layer_acts(b, p, first, &acts[first]);
    for (size_t i = 0; i < first; i++) acts[i] = acts[first];
    for (size_t i = first + 1; i < n; i++) {
        if (!p->recompute) {
            layer_acts(b, p, i, &acts[i]);
            continue;
        }
        acts[i] = acts[first];
        acts[i].x0 = take(b, AC_STORE_STREAM, p->rows, p->m->cfg.hidden);
    }
    if (layers) *layers = bump_bytes(b);
    temps(b, p, t);
}

static ac_status grow(ac_model *m, const bump *b, ac_err *err)
{
    bool fits = true;
    ac_status st = AC_OK;
    if (bump_bytes(b) == SIZE_MAX) return ac_fail_nomem(err, SIZE_MAX);
    for (size_t i = 0; i < AC_STORE_COUNT; i++) fits = fits && b->at[i] <= m->work_elems[i];
    if (fits) return AC_OK;
    ac_model_trim(m);
    for (size_t i = 0; !st && i < AC_STORE_COUNT; i++) {
        if (!b->at[i]) continue;
        st = m->dev->op->buf_open(m->dev, &m->work[i], b->at[i], (ac_store)i, err);
        if (!st) m->work_elems[i] = b->at[i];
    }
    return st;
}

ac_status ac_work_prepare(ac_model *m, const ac_adapter *ad, const ac_batch *b, bool grad, bool dropout,
                          ac_err *err)
{
    const plan p = { m, ad, b->rows, b->n_select, b->longest, grad, dropout, b->recompute };
    ac_shape shape = shape_of(&p);
    shape.decode = b->n_feeds != 0;
    const char *lacks = m->dev->op->lacks(m->dev, &shape);
    if (lacks) return ac_fail(err, AC_EFORMAT, "%s: the device %s cannot compute this: %s", m->path, m->dev->name, lacks);
    bump at;
    lay_out(&at, m->acts, &m->temps, &p, NULL, NULL);
    const ac_status st = grow(m, &at, err);
    if (!st) lay_out(&at, m->acts, &m->temps, &p, m->work, NULL);
    return st;
}

size_t ac_model_call_bytes(const ac_model *m, const ac_adapter *ad, const ac_call_size *s, size_t *layers,
                           size_t *scratch)
{
    const plan p = { m, ad, s->tokens, s->supervised, s->longest, s->grad, s->dropout, s->recompute };
    ac_temps t;
    bump at;
    size_t of_layers = 0;
    /* The places are recomputed by the next call's prepare, so that counting over them does no harm. */
    lay_out(&at, m->acts, &t, &p, NULL, &of_layers);
    const size_t bytes = bump_bytes(&at);
    if (bytes == SIZE_MAX) return SIZE_MAX;
    if (layers) *layers = of_layers;
    if (scratch) *scratch = (at.at[at.home[AC_STORE_F32]] - t.scratch.at) * at.width[AC_STORE_F32];
    return bytes;
}

ac_status ac_model_reserve(ac_model *m, const ac_adapter *ad, const ac_call_size *sizes, size_t n, ac_err *err)
{
    ac_status st = AC_OK;
    bump most;
    bump_init(&most, m->dev, NULL);
    for (size_t i = 0; i < n && !st; i++) {
        const ac_call_size *s = &sizes[i];
        const plan p = { m, ad, s->tokens, s->supervised, s->longest, s->grad, s->dropout, s->recompute };
        bump at;
        lay_out(&at, m->acts, &m->temps, &p, NULL, NULL);
        for (size_t k = 0; k < AC_STORE_COUNT; k++)
            if (at.at[k] > most.at[k]) most.at[k] = at.at[k];
        most.overflow = most.overflow || at.overflow;
        st = ac_rope_prepare(m, s->longest, err);
    }
    if (!st) st = grow(m, &most, err);
    for (size_t k = 0; k < AC_STORE_COUNT && !st; k++)
        if (most.at[k]) m->dev->op->zero(m->dev, (ac_ref){ m->work[k], 0 }, most.at[k]);
    if (!st && m->dev->op->take_own) m->dev->op->take_own(m->dev);
    return st ? st : m->dev->op->sync(m->dev, err);
}

size_t ac_model_device_bytes(const ac_model *m)
{
    return m->dev->op->own_bytes(m->dev);
}
