/* model/backward.c - gradients of the adapter, over the device table. The base is frozen: no gradient of a
 * weight is computed, and none at all below the lowest adapted module; unless all weights are what is trained.
 * The order of operations is part of the numerics: docs/numerics.md, section "Model". */
#include <math.h>
#include "model/model_int.h"

typedef struct {
    ac_model *m;
    const ac_adapted *ad;
    const ac_batch *b;
} pass;

/* Blocks of a layer in forward order; backward ends at the lowest that has an adapter. */
typedef enum { STAGE_QKV, STAGE_O, STAGE_GATE_UP, STAGE_DOWN } stage;

static stage stage_of(ac_target t)
{
    if (t <= AC_TARGET_V) return STAGE_QKV;
    if (t == AC_TARGET_O) return STAGE_O;
    return t == AC_TARGET_DOWN ? STAGE_DOWN : STAGE_GATE_UP;
}

static void lowest_adapted(const ac_adapter *ad, size_t *layer, stage *st)
{
    *layer = SIZE_MAX;
    *st = STAGE_DOWN;
    if (ad->spec.tune == AC_TUNE_FULL) *layer = 0;
    for (size_t i = 0; i < ad->n_modules; i++) {
        const ac_lora_module *mod = &ad->module[i];
        const stage s = stage_of(mod->target);
        if (mod->layer < *layer || (mod->layer == *layer && s < *st)) *st = s;
        if (mod->layer < *layer) *layer = mod->layer;
    }
}

static bool adapted(const pass *p, size_t layer, ac_target t)
{
    return p->ad->full || ac_adapter_find(p->ad->ad, layer, t) != NULL;
}

/* Of a layer's target; lora is where its adapter is described. False: there is nothing to compute. */
static bool grad_args(const pass *p, size_t layer, ac_target t, ac_ref dx, ac_ref dy, ac_ref x, ac_lora *lora,
                      ac_linear_grad_args *a)
{
    const ac_lora_module *mod = ac_adapter_find(p->ad->ad, layer, t);
    const bool has = ac_lora_of(p->ad, layer, t, p->m->acts[layer].h[t], p->m->acts[layer].out0[t], lora);
    *a = (ac_linear_grad_args){
        .dx = dx, .dy = dy, .x = x, .rows = p->b->rows, .w = &p->m->layer[layer].w[t], .lora = has ? lora : NULL,
        .da = has ? (ac_ref){ p->ad->grad, mod->a_at } : (ac_ref){ 0 },
        .db = has ? (ac_ref){ p->ad->grad, mod->b_at } : (ac_ref){ 0 },
        .dm = has && p->ad->norms ? (ac_ref){ p->ad->grad, mod->m_at } : (ac_ref){ 0 },
        .units = p->b->units, .n_units = p->b->n_units, .scratch = p->m->temps.scratch,
    };
    return has || dx.buf;
}

/* Targets first .. first + n - 1, all of the input x; dx none: the input gradient is not wanted. */
static void linear_grads(const pass *p, size_t layer, ac_target first, const ac_ref *dy, size_t n, ac_ref dx, ac_ref x)
{
    ac_lora lora[AC_LINEARS_MAX];
    ac_linear_grad_args a[AC_LINEARS_MAX];
    size_t wanted = 0;
    for (size_t i = 0; i < n; i++) {
        const ac_target t = (ac_target)((size_t)first + i);
        if (p->ad->full) ac_full_linear_grad(p->m, p->ad, p->b, layer, t, dy[i], x);
        if (!grad_args(p, layer, t, dx, dy[i], x, &lora[i], &a[wanted])) continue;
        a[wanted++].accumulate = i > 0;
    }
    if (wanted) p->m->dev->op->linear_grads(p->m->dev, a, wanted);
}

static void linear_grad(const pass *p, size_t layer, ac_target t, ac_ref dx, ac_ref dy, ac_ref x)
{
    linear_grads(p, layer, t, &dy, 1, dx, x);
}

/* The norm's output, once more where it was not kept and an adapter's gradient needs it. */
static ac_ref norm_of(const pass *p, ac_ref kept, ac_ref x, ac_ref w, bool wanted)
{
    if (kept.buf) return kept;
    if (wanted)
        p->m->dev->op->norm(p->m->dev, &(ac_norm_args){
            .y = p->m->temps.n, .x = x, .w = w, .rows = p->b->rows, .cols = p->m->cfg.hidden,
            .eps = (float)p->m->cfg.rms_eps,
        });
    return p->m->temps.n;
}

/* temps.dx += gradient through the norm whose output gradient is temps.dn. */
static void norm_grad(const pass *p, size_t layer, size_t slot, ac_ref x, ac_ref w)
{
    if (p->ad->full) ac_full_norm_grad(p->m, p->ad, p->b, layer, slot, 0, p->m->temps.dn, x);
    p->m->dev->op->norm_grad(p->m->dev, &(ac_norm_grad_args){
        .dx = p->m->temps.dx, .dy = p->m->temps.dn, .x = x, .w = w, .rows = p->b->rows,
        .cols = p->m->cfg.hidden, .eps = (float)p->m->cfg.rms_eps, .accumulate = true,
    });
}

static void head_norm_grad(const pass *p, ac_ref d, ac_ref x, ac_ref w, size_t heads)
{
    p->m->dev->op->norm_grad(p->m->dev, &(ac_norm_grad_args){
        .dx = d, .dy = d, .x = x, .w = w, .rows = p->b->rows * heads, .cols = p->m->cfg.head_dim,
        .eps = (float)p->m->cfg.rms_eps,
    });
}

/* A device that takes da later is spared gate * up: the gated unit's gradient gives it once more, in place of g and u. */
static bool takes_later(const pass *p, size_t layer)
{
    return p->m->dev->op->adapter_grad && !p->ad->full && !p->ad->norms && !p->b->recompute && adapted(p, layer, AC_TARGET_DOWN);
}

/* Of down, and through the gated unit. */
static void gated_linear_grad(const pass *p, size_t layer, const ac_gated_grad_args *g, ac_ref x)
{
    const ac_temps *t = &p->m->temps;
    ac_lora lora;
    ac_linear_grad_args a;
    if (p->ad->full) ac_full_linear_grad(p->m, p->ad, p->b, layer, AC_TARGET_DOWN, t->dx, x);
    if (grad_args(p, layer, AC_TARGET_DOWN, g->dy, t->dx, x, &lora, &a)) p->m->dev->op->gated_linear_grad(p->m->dev, &a, g);
}

static void later_grad(const pass *p, size_t layer, ac_ref dx, ac_ref dy, ac_ref x)
{
    ac_lora lora;
    ac_linear_grad_args a;
    if (grad_args(p, layer, AC_TARGET_DOWN, dx, dy, x, &lora, &a)) p->m->dev->op->adapter_grad(p->m->dev, &a);
}

/* From temps.dx at the layer's output to temps.dx at x1; false when the lowest module was passed. */
static bool gated_block(const pass *p, size_t layer, int until)
{
    ac_model *m = p->m;
    const ac_acts *a = &m->acts[layer];
    const ac_temps *t = &m->temps;
    const ac_ref none = { 0 };
    const size_t n = p->b->rows * m->cfg.ffn;
    const bool later = until != STAGE_DOWN && takes_later(p, layer);
    if (adapted(p, layer, AC_TARGET_DOWN) && !p->b->recompute && !later)
        m->dev->op->gated(m->dev, &(ac_gated_args){ .y = t->s, .g = a->g, .u = a->u, .n = n });
    if (until == STAGE_DOWN) {
        linear_grad(p, layer, AC_TARGET_DOWN, none, t->dx, t->s);
        return false;
    }
    /* Else g and u stay: they may be what DoRA's gradient reads. */
    const ac_ref dg = later ? a->g : t->ds, du = later ? a->u : t->s;
    gated_linear_grad(p, layer, &(ac_gated_grad_args){ .dg = dg, .du = du, .y = later ? t->s : none, .dy = t->ds,
                                                       .g = a->g, .u = a->u, .n = n }, later ? none : t->s);
    if (later) later_grad(p, layer, t->ds, t->dx, t->s);
    const ac_ref normed = norm_of(p, a->n1, a->x1, m->layer[layer].ffn_norm,
                                  adapted(p, layer, AC_TARGET_GATE) || adapted(p, layer, AC_TARGET_UP));
    const ac_ref dn = until == STAGE_GATE_UP ? none : t->dn;
    linear_grads(p, layer, AC_TARGET_GATE, (const ac_ref[]){ dg, du }, 2, dn, normed);
    if (until == STAGE_GATE_UP) return false;
    norm_grad(p, layer, AC_FULL_FFN_NORM, a->x1, m->layer[layer].ffn_norm);
    return true;
}

/* From the gradient at the attention's output to those at q, k and v as the linear layers gave them. */
static void attention_grad(const pass *p, size_t layer)
{
    ac_model *m = p->m;
    const ac_model_config *c = &m->cfg;
    const ac_acts *a = &m->acts[layer];
    const ac_temps *t = &m->temps;
    m->dev->op->attention_grad(m->dev, &(ac_attention_grad_args){
        .fwd = { .q = a->q, .k = a->k, .v = a->v, .out = a->att, .lse = a->lse, .rows = p->b->rows,
                 .n_heads = c->n_heads, .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim,
                 .window = c->window, .scale = (float)(1.0 / sqrt((double)c->head_dim)),
                 .docs = p->b->docs, .n_docs = p->b->n_docs },
        .dout = t->datt, .dq = t->dq, .dk = t->dk, .dv = t->dv, .scratch = t->scratch,
    });
    m->dev->op->rotary(m->dev, &(ac_rotary_args){
        .q = t->dq, .k = t->dk, .pos = t->pos, .cos_table = { m->cos_buf, 0 },
        .sin_table = { m->sin_buf, 0 }, .rows = p->b->rows, .n_heads = c->n_heads,
        .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim, .inverse = true,
    });
    if (!c->qk_norm) return;
    if (p->ad->full) {                           /* before the gradients are overwritten */
        ac_full_head_norm_grad(m, p->ad, p->b, layer, false, t->dq, a->q_raw);
        ac_full_head_norm_grad(m, p->ad, p->b, layer, true, t->dk, a->k_raw);
    }
    head_norm_grad(p, t->dq, a->q_raw, m->layer[layer].q_norm, c->n_heads);
    head_norm_grad(p, t->dk, a->k_raw, m->layer[layer].k_norm, c->n_kv_heads);
}

/* From temps.dx at x1 to temps.dx at x0. */
static bool attention_block(const pass *p, size_t layer, int until)
{
    ac_model *m = p->m;
    const ac_acts *a = &m->acts[layer];
    const ac_temps *t = &m->temps;
    const ac_ref none = { 0 };
    linear_grad(p, layer, AC_TARGET_O, until == STAGE_O ? none : t->datt, t->dx, a->att);
    if (until == STAGE_O) return false;
    attention_grad(p, layer);
    const ac_ref normed = norm_of(p, a->n0, a->x0, m->layer[layer].attn_norm,
        adapted(p, layer, AC_TARGET_Q) || adapted(p, layer, AC_TARGET_K) || adapted(p, layer, AC_TARGET_V));
    const ac_ref dn = until == STAGE_QKV ? none : t->dn;
    linear_grads(p, layer, AC_TARGET_Q, (const ac_ref[]){ t->dq, t->dk, t->dv }, 3, dn, normed);
    if (until == STAGE_QKV) return false;
    norm_grad(p, layer, AC_FULL_ATTN_NORM, a->x0, m->layer[layer].attn_norm);
    return true;
}

void ac_backward(ac_model *m, const ac_adapted *ad, const ac_batch *b)
{
    const pass p = { m, ad, b };
    size_t lowest;
    stage last;
    lowest_adapted(ad->ad, &lowest, &last);
    if (lowest == SIZE_MAX) return;
    for (size_t i = m->cfg.n_layers; i-- > lowest;) {
        /* The last layer's are still there from the forward pass. */
        if (b->recompute && i + 1 < m->cfg.n_layers) ac_forward_again(m, ad, b, i);
        const int until = i == lowest && !ad->full ? (int)last : -1;
        if (!gated_block(&p, i, until) || !attention_block(&p, i, until)) return;
    }
    if (ad->full) ac_full_embed_grad(m, ad, b);
}
