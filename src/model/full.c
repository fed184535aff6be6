/* model/full.c - all weights as the trained parameters: their layout, start, names, and how a call computes with them.
 *
 * The parameters are the model's own tensors expanded to binary32: the embedding, then of each layer the two norms, the
 * seven linears, the biases and the head norms where the family has them, then the final norm, and the output matrix
 * where it is not tied. For the time of a call the model's table of weights points at them in place of the file's,
 * so that forward and backward are the same code. Order and gradients are docs/numerics.md, M.15. */
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/size.h"
#include "model/model_int.h"

static const char weights_name[] = "model.safetensors";
static const ac_metadata weights_meta[] = { { "format", "pt" } };

/* ---- layout ------------------------------------------------------------------------------------------- */

static size_t per_layer(const ac_model_config *c)
{
    return (size_t)AC_FULL_BIAS + (c->qkv_bias ? 3u : 0u) + (c->qk_norm ? 2u : 0u);
}

static size_t count_tensors(const ac_model_config *c)
{
    return 2 + c->n_layers * per_layer(c) + (c->tied_output ? 0 : 1);
}

/* Rows and columns of a layer's tensor; a vector has one row. */
static ac_param layer_tensor(const ac_model_config *c, size_t slot)
{
    const size_t qw = c->n_heads * c->head_dim, kw = c->n_kv_heads * c->head_dim;
    const size_t out[AC_TARGET_COUNT] = { qw, kw, kw, c->hidden, c->ffn, c->ffn, c->hidden };
    const size_t in[AC_TARGET_COUNT] = { c->hidden, c->hidden, c->hidden, qw, c->hidden, c->hidden, c->ffn };
    if (slot < AC_FULL_LINEAR) return (ac_param){ .rows = 1, .cols = c->hidden, .kind = AC_PARAM_VECTOR };
    if (slot < AC_FULL_BIAS)
        return (ac_param){ .rows = out[slot - AC_FULL_LINEAR], .cols = in[slot - AC_FULL_LINEAR],
                           .kind = AC_PARAM_MATRIX };
    if (c->qkv_bias && slot < AC_FULL_BIAS + 3)
        return (ac_param){ .rows = 1, .cols = out[slot - AC_FULL_BIAS], .kind = AC_PARAM_VECTOR };
    return (ac_param){ .rows = 1, .cols = c->head_dim, .kind = AC_PARAM_VECTOR };
}

static ac_param tensor_at(const ac_model_config *c, size_t i)
{
    const size_t each = per_layer(c), norm = 1 + c->n_layers * each;
    if (i == norm) return (ac_param){ .rows = 1, .cols = c->hidden, .kind = AC_PARAM_VECTOR };
    if (i == 0 || i > norm) return (ac_param){ .rows = c->vocab, .cols = c->hidden, .kind = AC_PARAM_EMBED };
    return layer_tensor(c, (i - 1) % each);
}

size_t ac_full_layer_at(const ac_adapter *a, const ac_model_config *c, size_t layer, size_t slot)
{
    return a->tensor[1 + layer * per_layer(c) + slot].at;
}

size_t ac_full_norm_at(const ac_adapter *a, const ac_model_config *c)
{
    return a->tensor[1 + c->n_layers * per_layer(c)].at;
}

size_t ac_full_output_at(const ac_adapter *a, const ac_model_config *c)
{
    return c->tied_output ? 0 : a->tensor[2 + c->n_layers * per_layer(c)].at;
}

static void tensor_name(char out[AC_FULL_NAME_MAX], const ac_model_config *c, size_t i)
{
    const size_t each = per_layer(c), norm = 1 + c->n_layers * each;
    if (i == 0 || i >= norm) {
        snprintf(out, AC_FULL_NAME_MAX, "%s", i == 0 ? "model.embed_tokens.weight"
                 : i == norm ? "model.norm.weight" : "lm_head.weight");
        return;
    }
    const size_t layer = (i - 1) / each, slot = (i - 1) % each, head = slot - AC_FULL_BIAS - (c->qkv_bias ? 3 : 0);
    char what[48];
    if (slot < AC_FULL_LINEAR) {
        snprintf(what, sizeof what, "%s.weight", slot ? "post_attention_layernorm" : "input_layernorm");
    } else if (slot < AC_FULL_BIAS) {
        const ac_target t = (ac_target)(slot - AC_FULL_LINEAR);
        snprintf(what, sizeof what, "%s.%s.weight", t <= AC_TARGET_O ? "self_attn" : "mlp", ac_target_name(t));
    } else if (c->qkv_bias && slot < AC_FULL_BIAS + 3) {
        snprintf(what, sizeof what, "self_attn.%s.bias", ac_target_name((ac_target)(slot - AC_FULL_BIAS)));
    } else {
        snprintf(what, sizeof what, "self_attn.%c_norm.weight", head ? 'k' : 'q');
    }
    snprintf(out, AC_FULL_NAME_MAX, "model.layers.%zu.%s", layer, what);
}

/* ---- opening -------------------------------------------------------------------------------------------- */

/* A stored matrix, expanded row by row by the device's own embedding. */
static ac_status expand(ac_model *m, const ac_matrix *w, ac_buf *params, size_t at, ac_err *err)
{
    enum { ROWS = 256 };
    int32_t ids[ROWS];
    ac_buf *id_buf = NULL;
    ac_status st = AC_OK;
    for (size_t r = 0; !st && r < w->rows; r += ROWS) {
        const size_t n = w->rows - r < ROWS ? w->rows - r : ROWS;
        for (size_t i = 0; i < n; i++) ids[i] = (int32_t)(r + i);
        st = m->dev->op->buf_borrow(m->dev, &id_buf, ids, n * sizeof *ids, AC_BORROW_READ, err);
        if (st) break;
        m->dev->op->embed(m->dev, &(ac_embed_args){ .y = { params, at + r * w->cols }, .ids = { id_buf, 0 }, .rows = n,
                                                    .table = w });
        st = m->dev->op->sync(m->dev, err);
        m->dev->op->buf_close(m->dev, &id_buf);
    }
    return st;
}

static ac_status expand_layer(ac_model *m, const ac_adapter *a, ac_buf *params, size_t layer, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    const ac_layer *l = &m->layer[layer];
    const ac_ref small[] = { l->bias[0], l->bias[1], l->bias[2], l->q_norm, l->k_norm };
    const ac_ref *rest = small + (c->qkv_bias ? 0 : 3);
    ac_status st = AC_OK;
    for (size_t s = 0; !st && s < per_layer(c); s++) {
        const size_t at = ac_full_layer_at(a, c, layer, s);
        if (s >= AC_FULL_LINEAR && s < AC_FULL_BIAS) {
            st = expand(m, &l->w[s - AC_FULL_LINEAR], params, at, err);
            continue;
        }
        const ac_ref from = s == 0 ? l->attn_norm : s == 1 ? l->ffn_norm : rest[s - AC_FULL_BIAS];
        m->dev->op->copy(m->dev, (ac_ref){ params, at }, from, layer_tensor(c, s).cols);
    }
    return st;
}

static ac_status expand_all(ac_model *m, ac_adapter *a, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    ac_buf *params = NULL;
    ac_status st = m->dev->op->buf_borrow(m->dev, &params, a->params, a->n_params * sizeof(float), AC_BORROW_WRITE, err);
    if (!st) st = expand(m, &m->embed, params, 0, err);
    for (size_t i = 0; !st && i < c->n_layers; i++) st = expand_layer(m, a, params, i, err);
    if (!st) m->dev->op->copy(m->dev, (ac_ref){ params, ac_full_norm_at(a, c) }, m->final_norm, c->hidden);
    if (!st && !c->tied_output) st = expand(m, &m->output, params, ac_full_output_at(a, c), err);
    if (!st) st = m->dev->op->sync(m->dev, err);
    m->dev->op->buf_close(m->dev, &params);
    return st;
}

ac_status ac_full_outline(ac_adapter *a, const ac_model_config *c, ac_err *err)
{
    a->n_tensors = count_tensors(c);
    a->tensor = ac_calloc(a->n_tensors, sizeof *a->tensor);
    if (!a->tensor) return ac_fail_nomem(err, a->n_tensors * sizeof *a->tensor);
    for (size_t i = 0; i < a->n_tensors; i++) {
        size_t n = 0;
        a->tensor[i] = tensor_at(c, i);
        a->tensor[i].at = a->n_params;
        a->tensor[i].starts_part = true;
        if (!ac_size_mul(&n, a->tensor[i].rows, a->tensor[i].cols) || !ac_size_add(&a->n_params, a->n_params, n))
            return ac_fail_nomem(err, SIZE_MAX);
    }
    a->name = ac_calloc(a->n_tensors, sizeof *a->name);
    if (!a->name) return ac_fail_nomem(err, a->n_tensors * sizeof *a->name);
    for (size_t i = 0; i < a->n_tensors; i++) tensor_name(a->name[i], c, i);
    return AC_OK;
}

ac_status ac_full_blank(ac_adapter **out, const ac_model_config *c, ac_err *err)
{
    ac_adapter *a = ac_calloc(1, sizeof *a);
    if (!a) return ac_fail_nomem(err, sizeof *a);
    a->spec.tune = AC_TUNE_FULL;
    ac_status st = ac_full_outline(a, c, err);
    if (!st && !(a->params = ac_calloc(a->n_params, sizeof *a->params)))
        st = ac_fail_nomem(err, (unsigned long long)a->n_params * sizeof *a->params);
    if (st) ac_adapter_close(&a);
    else *out = a;
    return st;
}

ac_status ac_full_start(ac_adapter *a, const ac_model *m, ac_err *err)
{
    /* Reading a model's weights changes nothing that its owner can see. */
    return expand_all((ac_model *)(uintptr_t)m, a, err);
}

bool ac_full_fits(const ac_adapter *a, const ac_model *m)
{
    if (a->n_tensors != count_tensors(&m->cfg)) return false;
    for (size_t i = 0; i < a->n_tensors; i++) {
        const ac_param t = tensor_at(&m->cfg, i);
        if (t.rows != a->tensor[i].rows || t.cols != a->tensor[i].cols) return false;
    }
    return true;
}

/* ---- a call's weights ------------------------------------------------------------------------------------ */

struct ac_full_view {
    ac_layer *layer, *base_layer;
    ac_matrix base_embed, base_output;
    ac_ref base_norm;
    ac_buf **buf;
    size_t n_bufs;
};

static ac_status view_matrix(ac_model *m, ac_full_view *v, const ac_adapter *a, size_t at, const ac_matrix *like,
                             ac_matrix *out, ac_err *err)
{
    ac_matrix w = { .type = AC_F32, .rows = like->rows, .cols = like->cols, .row_bytes = like->cols * sizeof(float) };
    const ac_status st = m->dev->op->buf_borrow(m->dev, &w.buf, a->params + at, w.rows * w.row_bytes, AC_BORROW_READ, err);
    if (st) return st;
    v->buf[v->n_bufs++] = w.buf;
    *out = w;
    return AC_OK;
}

static ac_status view_layer(ac_model *m, ac_full_view *v, const ac_adapted *ad, size_t layer, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    const ac_adapter *a = ad->ad;
    ac_layer *l = &v->layer[layer];
    ac_status st = AC_OK;
    for (size_t t = 0; !st && t < AC_TARGET_COUNT; t++)
        st = view_matrix(m, v, a, ac_full_layer_at(a, c, layer, AC_FULL_LINEAR + t), &m->layer[layer].w[t], &l->w[t], err);
    l->attn_norm = (ac_ref){ ad->params, ac_full_layer_at(a, c, layer, AC_FULL_ATTN_NORM) };
    l->ffn_norm = (ac_ref){ ad->params, ac_full_layer_at(a, c, layer, AC_FULL_FFN_NORM) };
    for (size_t t = 0; c->qkv_bias && t < 3; t++)
        l->bias[t] = (ac_ref){ ad->params, ac_full_layer_at(a, c, layer, AC_FULL_BIAS + t) };
    const size_t head = AC_FULL_BIAS + (c->qkv_bias ? 3 : 0);
    if (c->qk_norm) {
        l->q_norm = (ac_ref){ ad->params, ac_full_layer_at(a, c, layer, head) };
        l->k_norm = (ac_ref){ ad->params, ac_full_layer_at(a, c, layer, head + 1) };
    }
    return st;
}

ac_status ac_full_view_open(ac_adapted *ad, ac_model *m, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    ac_matrix embed = m->embed, output = m->output;
    ac_full_view *v = ac_calloc(1, sizeof *v);
    if (!v) return ac_fail_nomem(err, sizeof *v);
    v->layer = ac_calloc(c->n_layers, sizeof *v->layer);
    v->buf = ac_calloc(c->n_layers * AC_TARGET_COUNT + 2, sizeof *v->buf);
    ac_status st = v->layer && v->buf ? AC_OK : ac_fail_nomem(err, c->n_layers * sizeof *v->layer);
    for (size_t i = 0; !st && i < c->n_layers; i++) st = view_layer(m, v, ad, i, err);
    if (!st) st = view_matrix(m, v, ad->ad, 0, &m->embed, &embed, err);
    if (!st && c->tied_output) output = embed;
    else if (!st) st = view_matrix(m, v, ad->ad, ac_full_output_at(ad->ad, c), &m->output, &output, err);
    v->base_layer = m->layer;
    v->base_embed = m->embed;
    v->base_output = m->output;
    v->base_norm = m->final_norm;
    ad->full = v;
    if (st) {
        ac_full_view_close(ad, m);
        return st;
    }
    m->layer = v->layer;
    m->embed = embed;
    m->output = output;
    m->final_norm = (ac_ref){ ad->params, ac_full_norm_at(ad->ad, c) };
    return AC_OK;
}

void ac_full_view_close(ac_adapted *ad, ac_model *m)
{
    ac_full_view *v = ad->full;
    if (!v) return;
    m->layer = v->base_layer;
    m->embed = v->base_embed;
    m->output = v->base_output;
    m->final_norm = v->base_norm;
    for (size_t i = 0; i < v->n_bufs; i++) m->dev->op->buf_close(m->dev, &v->buf[i]);
    ac_free(v->buf);
    ac_free(v->layer);
    ac_free(v);
    ad->full = NULL;
}

/* ---- gradients -------------------------------------------------------------------------------------------- */

void ac_full_linear_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer, ac_target t, ac_ref dy,
                         ac_ref x)
{
    const ac_model_config *c = &m->cfg;
    const ac_matrix *w = &m->layer[layer].w[t];
    ac_weight_grad_args a = { .dy = dy, .x = x, .in = w->cols, .out = w->rows, .units = b->units, .n_units = b->n_units,
                              .scratch = m->temps.scratch };
    a.dw = (ac_ref){ ad->grad, ac_full_layer_at(ad->ad, c, layer, AC_FULL_LINEAR + (size_t)t) };
    if (c->qkv_bias && t <= AC_TARGET_V)
        a.dbias = (ac_ref){ ad->grad, ac_full_layer_at(ad->ad, c, layer, AC_FULL_BIAS + (size_t)t) };
    m->dev->op->weight_grad(m->dev, &a);
}

void ac_full_norm_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer, size_t slot, size_t heads,
                       ac_ref dy, ac_ref x)
{
    m->dev->op->norm_weight_grad(m->dev, &(ac_norm_weight_grad_args){
        .dw = { ad->grad, ac_full_layer_at(ad->ad, &m->cfg, layer, slot) }, .dy = dy, .x = x,
        .cols = heads ? m->cfg.head_dim : m->cfg.hidden, .rows_per_token = heads ? heads : 1,
        .eps = (float)m->cfg.rms_eps, .units = b->units, .n_units = b->n_units, .scratch = m->temps.scratch,
    });
}

void ac_full_head_norm_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer, bool is_k, ac_ref dy,
                            ac_ref x)
{
    const size_t slot = (size_t)AC_FULL_BIAS + (m->cfg.qkv_bias ? 3u : 0u) + (is_k ? 1u : 0u);
    ac_full_norm_grad(m, ad, b, layer, slot, is_k ? m->cfg.n_kv_heads : m->cfg.n_heads, dy, x);
}

void ac_full_embed_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b)
{
    m->dev->op->embed_grad(m->dev, &(ac_embed_grad_args){
        .dw = { ad->grad, 0 }, .dy = m->temps.dx, .ids = m->temps.ids, .rows = b->rows, .cols = m->cfg.hidden });
}

void ac_full_output_grad(ac_model *m, const ac_adapted *ad, const ac_loss_args *loss, const size_t *unit_rows,
                         size_t n_units)
{
    m->dev->op->output_grad(m->dev, &(ac_output_grad_args){
        .loss = loss, .dw = { ad->grad, ac_full_output_at(ad->ad, &m->cfg) },
        .dnorm_w = { ad->grad, ac_full_norm_at(ad->ad, &m->cfg) }, .unit_rows = unit_rows, .n_units = n_units });
}

/* ---- files ------------------------------------------------------------------------------------------------- */

static ac_status list_out(const ac_adapter *a, ac_arena *arena, ac_tensor_out **out, ac_err *err)
{
    ac_tensor_out *t = ac_arena_alloc_array(arena, a->n_tensors, sizeof *t);
    if (!t) return ac_fail_nomem(err, a->n_tensors * sizeof *t);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const ac_param *p = &a->tensor[i];
        const bool vector = p->kind == AC_PARAM_VECTOR;
        t[i] = (ac_tensor_out){ .name = a->name[i], .type = AC_F32, .n_dims = vector ? 1 : 2, .data = a->params + p->at };
        t[i].dim[0] = vector ? p->cols : p->rows;
        t[i].dim[1] = vector ? 1 : p->cols;
    }
    *out = t;
    return AC_OK;
}

ac_status ac_full_save(const ac_adapter *a, const char *dir, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_tensor_out *t = NULL;
    const char *path = ac_path_join(&arena, dir, weights_name);
    ac_status st = path ? list_out(a, &arena, &t, err) : ac_fail_nomem(err, strlen(dir));
    if (!st) st = ac_mkdir_p(dir, err);
    if (!st) st = ac_safetensors_write(path, t, a->n_tensors, weights_meta, 1, err);
    ac_arena_release(&arena);
    return st;
}

ac_status ac_full_hash(const ac_adapter *a, ac_sha256 *out, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_tensor_out *t = NULL;
    ac_status st = list_out(a, &arena, &t, err);
    if (!st) st = ac_safetensors_hash(out, t, a->n_tensors, weights_meta, 1, err);
    ac_arena_release(&arena);
    return st;
}

static ac_status read_tensor(const ac_tensors *t, const char *path, const ac_tensor_out *want, float *to,
                             const ac_kernels *k, ac_err *err)
{
    const ac_tensor *x = ac_tensors_find(t, want->name);
    const size_t n = want->dim[0] * want->dim[1];
    if (!x)
        return ac_fail(err, AC_EFORMAT, "%s: the tensor %s is missing; the folder belongs to another base", path, want->name);
    if (x->n_dims != want->n_dims || x->dim[0] != want->dim[0] || x->dim[1] != want->dim[1])
        return ac_fail(err, AC_EFORMAT, "%s: %s is %zu x %zu, expected %zu x %zu; the folder belongs to another base", path,
                       want->name, x->dim[0], x->dim[1], want->dim[0], want->dim[1]);
    if (x->type != AC_F32 && x->type != AC_F16 && x->type != AC_BF16)
        return ac_fail(err, AC_EFORMAT, "%s: %s is stored as %s; expected F32, F16 or BF16", path, want->name,
                       ac_dtype_name(x->type));
    k->expand_row(to, x->data, x->type, n);
    if (!k->all_finite(to, n))
        return ac_fail(err, AC_EFORMAT, "%s: %s holds values that are not finite", path, want->name);
    return AC_OK;
}

bool ac_full_is_folder(const char *dir)
{
    ac_arena arena = { 0 };
    const char *path = ac_path_join(&arena, dir, weights_name);
    const bool is = path && ac_path_exists(path);
    ac_arena_release(&arena);
    return is;
}

ac_status ac_full_load(ac_adapter **out, const ac_model *m, const char *dir, ac_err *err)
{
    const ac_lora_spec spec = { .tune = AC_TUNE_FULL };
    ac_arena arena = { 0 };
    ac_tensors *t = NULL;
    ac_adapter *a = NULL;
    ac_tensor_out *want = NULL;
    ac_kernels k;
    const char *path = ac_path_join(&arena, dir, weights_name);
    ac_status st = path ? ac_kernels_init(&k, AC_CPU_REF, err) : ac_fail_nomem(err, strlen(dir));
    if (!st) st = ac_safetensors_open(&t, path, err);
    if (!st) st = ac_adapter_open(&a, m, &spec, err);
    if (!st) st = list_out(a, &arena, &want, err);
    if (!st && ac_tensors_count(t) != a->n_tensors)
        st = ac_fail(err, AC_EFORMAT, "%s: holds %zu tensors, expected %zu; the folder belongs to another base", path,
                     ac_tensors_count(t), a->n_tensors);
    for (size_t i = 0; !st && i < a->n_tensors; i++)
        st = read_tensor(t, path, &want[i], a->params + a->tensor[i].at, &k, err);
    ac_tensors_close(&t);
    ac_arena_release(&arena);
    if (st) ac_adapter_close(&a);
    else *out = a;
    return st;
}
