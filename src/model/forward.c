/* model/forward.c - the transformer's forward pass, over the device table.
 * The order of operations is part of the numerics: docs/numerics.md, section "Model". */
#include <math.h>
#include "model/model_int.h"

bool ac_lora_of(const ac_adapted *ad, size_t layer, ac_target t, ac_ref h, ac_ref out0, ac_lora *out)
{
    const ac_lora_module *mod = ad->ad ? ac_adapter_find(ad->ad, layer, t) : NULL;
    if (!mod) return false;
    *out = (ac_lora){
        .rank = ad->ad->spec.rank, .scale = ad->ad->scale, .a = { ad->params, mod->a_at },
        .b = { ad->params, mod->b_at }, .h = h, .drop = ad->drop,
        .module = layer * AC_TARGET_COUNT + (size_t)t,
    };
    if (ad->norms) {
        out->magnitude = (ac_ref){ ad->params, mod->m_at };
        out->norm = (ac_ref){ ad->norms, mod->norm_at };
        out->out0 = out0;
    }
    return true;
}

typedef struct {
    ac_model *m;
    const ac_adapted *ad;
    const ac_batch *b;
} pass;

/* Targets first .. first + n - 1, all of the input x; g: then the gated unit, or NULL. */
static void linears(const pass *p, size_t layer, ac_target first, const ac_ref *y, size_t n, ac_ref x, const ac_gated_args *g)
{
    const ac_layer *l = &p->m->layer[layer];
    const ac_acts *kept = &p->m->acts[layer];
    ac_lora lora[AC_LINEARS_MAX];
    ac_linear_args a[AC_LINEARS_MAX];
    for (size_t i = 0; i < n; i++) {
        const ac_target t = (ac_target)((size_t)first + i);
        const bool adapted = ac_lora_of(p->ad, layer, t, kept->h[t], kept->out0[t], &lora[i]);
        a[i] = (ac_linear_args){
            .y = y[i], .x = x, .bias = t <= AC_TARGET_V ? l->bias[t] : (ac_ref){ 0 }, .rows = p->b->rows,
            .w = &l->w[t], .lora = adapted ? &lora[i] : NULL, .units = p->b->units,
            .n_units = p->b->n_units, .scratch = p->m->temps.scratch,
        };
    }
    if (g) p->m->dev->op->gated_linears(p->m->dev, a, g);
    else p->m->dev->op->linears(p->m->dev, a, n);
}

static void linear(const pass *p, size_t layer, ac_target t, ac_ref y, ac_ref x)
{
    linears(p, layer, t, &y, 1, x, NULL);
}

static void norm(const pass *p, ac_ref y, ac_ref sum, ac_ref x, ac_ref add, ac_ref w)
{
    p->m->dev->op->norm(p->m->dev, &(ac_norm_args){
        .y = y, .sum = sum, .x = x, .add = add, .w = w, .rows = p->b->rows, .cols = p->m->cfg.hidden,
        .eps = (float)p->m->cfg.rms_eps,
    });
}

static void head_norm(const pass *p, ac_ref y, ac_ref x, ac_ref w, size_t heads)
{
    p->m->dev->op->norm(p->m->dev, &(ac_norm_args){
        .y = y, .x = x, .w = w, .rows = p->b->rows * heads, .cols = p->m->cfg.head_dim,
        .eps = (float)p->m->cfg.rms_eps,
    });
}

/* Rotary embedding and attention. */
static void attend(const pass *p, size_t layer, const ac_acts *a, bool keep)
{
    const ac_model_config *c = &p->m->cfg;
    const ac_batch *b = p->b;
    const float scale = (float)(1.0 / sqrt((double)c->head_dim));
    const ac_rotary_args rotary = {
        .q = a->q, .k = a->k, .pos = p->m->temps.pos, .cos_table = { p->m->cos_buf, 0 }, .sin_table = { p->m->sin_buf, 0 },
        .rows = b->rows, .n_heads = c->n_heads, .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim,
    };
    if (b->n_feeds) {
        const size_t at = layer * b->kv->layer_floats;
        p->m->dev->op->attention_kv(p->m->dev, &(ac_attention_kv_args){
            .q = a->q, .k = a->k, .v = a->v, .out = a->att, .k_cache = { b->kv->k, at },
            .v_cache = { b->kv->v, at }, .slot_rows = b->kv->max_tokens, .n_heads = c->n_heads,
            .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim, .window = c->window, .scale = scale,
            .feeds = b->feeds, .n_feeds = b->n_feeds, .rotary = &rotary,
        });
        return;
    }
    p->m->dev->op->rotary(p->m->dev, &rotary);
    p->m->dev->op->attention(p->m->dev, &(ac_attention_args){
        .q = a->q, .k = a->k, .v = a->v, .out = a->att, .lse = keep ? a->lse : (ac_ref){ 0 },
        .rows = b->rows, .n_heads = c->n_heads, .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim,
        .window = c->window, .scale = scale, .docs = b->docs, .n_docs = b->n_docs,
    });
}

static ac_ref norm0(const ac_model *m, size_t layer)
{
    return m->acts[layer].n0.buf ? m->acts[layer].n0 : m->temps.n;
}

static ac_ref norm1(const ac_model *m, size_t layer)
{
    return m->acts[layer].n1.buf ? m->acts[layer].n1 : m->temps.n;
}

static void attention_block(const pass *p, size_t layer, bool keep)
{
    ac_model *m = p->m;
    const ac_layer *l = &m->layer[layer];
    const ac_acts *a = &m->acts[layer];
    linears(p, layer, AC_TARGET_Q, (ac_ref[]){ a->q_raw, a->k_raw, a->v }, 3, norm0(m, layer), NULL);
    if (m->cfg.qk_norm) {
        head_norm(p, a->q, a->q_raw, l->q_norm, m->cfg.n_heads);
        head_norm(p, a->k, a->k_raw, l->k_norm, m->cfg.n_kv_heads);
    }
    attend(p, layer, a, keep);
    linear(p, layer, AC_TARGET_O, m->temps.mid, a->att);
}

/* To the gated product in temps.s. */
static void gate(const pass *p, size_t layer)
{
    ac_model *m = p->m;
    const ac_acts *a = &m->acts[layer];
    const ac_gated_args g = { .y = m->temps.s, .g = a->g, .u = a->u, .n = p->b->rows * m->cfg.ffn };
    linears(p, layer, AC_TARGET_GATE, (ac_ref[]){ a->g, a->u }, 2, norm1(m, layer), &g);
}

void ac_forward(ac_model *m, const ac_adapted *ad, const ac_batch *b, bool keep)
{
    const pass p = { m, ad, b };
    const ac_ref none = { 0 };
    m->dev->op->embed(m->dev, &(ac_embed_args){ .y = m->acts[0].x0, .ids = m->temps.ids, .rows = b->rows,
                                                .table = &m->embed });
    for (size_t i = 0; i < m->cfg.n_layers; i++) {
        const ac_acts *a = &m->acts[i];
        if (i == 0) norm(&p, norm0(m, i), none, a->x0, none, m->layer[i].attn_norm);
        else norm(&p, norm0(m, i), a->x0, m->acts[i - 1].x1, m->temps.mid, m->layer[i].attn_norm);
        attention_block(&p, i, keep);
        norm(&p, norm1(m, i), a->x1, a->x0, m->temps.mid, m->layer[i].ffn_norm);
        gate(&p, i);
        linear(&p, i, AC_TARGET_DOWN, m->temps.mid, m->temps.s);
    }
    norm(&p, none, m->temps.xf, m->acts[m->cfg.n_layers - 1].x1, m->temps.mid, none);
}

void ac_forward_again(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer)
{
    const pass p = { m, ad, b };
    const ac_ref none = { 0 };
    const ac_acts *a = &m->acts[layer];
    norm(&p, norm0(m, layer), none, a->x0, none, m->layer[layer].attn_norm);
    attention_block(&p, layer, true);
    norm(&p, norm1(m, layer), a->x1, a->x0, m->temps.mid, m->layer[layer].ffn_norm);
    gate(&p, layer);
    /* Of the last product only what its adapter keeps is read again. */
    if (ad->ad && ac_adapter_find(ad->ad, layer, AC_TARGET_DOWN))
        linear(&p, layer, AC_TARGET_DOWN, none, m->temps.s);
}
