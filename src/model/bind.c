/* model/bind.c - finds each tensor of the family by name, checks its shape, and puts it on the device.
 * Every tensor of the file must be used: one that would be ignored is refused by name. */
#include <stdio.h>
#include <string.h>
#include "base/size.h"
#include "model/model_int.h"

static const struct { const char *hf, *gguf; } linear_names[AC_TARGET_COUNT] = {
    [AC_TARGET_Q] = { "self_attn.q_proj", "attn_q" },
    [AC_TARGET_K] = { "self_attn.k_proj", "attn_k" },
    [AC_TARGET_V] = { "self_attn.v_proj", "attn_v" },
    [AC_TARGET_O] = { "self_attn.o_proj", "attn_output" },
    [AC_TARGET_GATE] = { "mlp.gate_proj", "ffn_gate" },
    [AC_TARGET_UP] = { "mlp.up_proj", "ffn_up" },
    [AC_TARGET_DOWN] = { "mlp.down_proj", "ffn_down" },
};

typedef struct {
    ac_model *m;
    const char *path;
    bool gguf;
    const ac_tensor **used;       /* tensors found so far */
    size_t n_used, cap_used;
    size_t small_at, small_floats;
    ac_err *err;
} binder;

/* ---- finding ---------------------------------------------------------------------------------------- */

static void name_of(const binder *b, char out[128], size_t layer, const char *hf, const char *gguf,
                    const char *kind)
{
    if (b->gguf) snprintf(out, 128, "blk.%zu.%s.%s", layer, gguf, kind);
    else snprintf(out, 128, "model.layers.%zu.%s.%s", layer, hf, kind);
}

/* The tensor of that name with dims {rows, cols}, or {cols} when rows is 0. */
static ac_status find(binder *b, const char *name, size_t rows, size_t cols, const ac_tensor **out)
{
    const ac_tensor *t = ac_tensors_find(b->m->src.tensors, name);
    if (!t)
        return ac_fail(b->err, AC_EFORMAT, "%s: the tensor %s is missing; the file is not a whole %s model",
                       b->path, name, b->m->cfg.family);
    const uint32_t dims = rows ? 2 : 1;
    const bool fits = t->n_dims == dims && (rows ? t->dim[0] == rows && t->dim[1] == cols : t->dim[0] == cols);
    if (!fits && rows)
        return ac_fail(b->err, AC_EFORMAT, "%s: %s is %zu x %zu (%u dimensions), but the configuration asks for "
                       "%zu x %zu", b->path, name, t->dim[0], t->dim[1], (unsigned)t->n_dims, rows, cols);
    if (!fits)
        return ac_fail(b->err, AC_EFORMAT, "%s: %s has %zu elements in %u dimensions, but the configuration asks "
                       "for %zu in one", b->path, name, t->dim[0], (unsigned)t->n_dims, cols);
    if (!ac_dtype_is_weight(t->type))
        return ac_fail(b->err, AC_EFORMAT, "%s: %s is stored as %s; expected F32, F16, BF16 or a GGUF "
                       "quantisation", b->path, name, ac_dtype_name(t->type));
    if (b->n_used < b->cap_used) b->used[b->n_used++] = t;
    *out = t;
    return AC_OK;
}

static bool ignorable(const binder *b, ac_view name)
{
    if (b->gguf) return ac_view_eq_str(name, "rope_freqs.weight");
    return ac_view_ends(name, AC_VIEW(".self_attn.rotary_emb.inv_freq")) ||
           (b->m->cfg.tied_output && ac_view_eq_str(name, "lm_head.weight"));
}

static ac_status refuse_unused(binder *b)
{
    const ac_tensors *all = b->m->src.tensors;
    for (size_t i = 0; i < ac_tensors_count(all); i++) {
        const ac_tensor *t = ac_tensors_at(all, i);
        bool used = ignorable(b, t->name);
        for (size_t k = 0; !used && k < b->n_used; k++) used = b->used[k] == t;
        if (!used)
            return ac_fail(b->err, AC_EFORMAT, "%s: the tensor " AC_VIEW_FMT " is not part of a %s model of %zu "
                           "layers and would be ignored; the file is of another kind", b->path,
                           AC_VIEW_ARG(t->name), b->m->cfg.family, b->m->cfg.n_layers);
    }
    return AC_OK;
}

/* ---- matrices --------------------------------------------------------------------------------------- */

static ac_status check_finite(binder *b, const char *name, const ac_matrix *w)
{
    if (b->m->dev->op->all_finite(b->m->dev, w)) return AC_OK;
    return ac_fail(b->err, AC_EFORMAT, "%s: %s holds values that are not finite; the file is damaged or was "
                   "saved from a diverged run", b->path, name);
}

static ac_status bind_matrix(binder *b, const char *name, const ac_tensor *t, const void *data, ac_matrix *out)
{
    ac_model *m = b->m;
    ac_matrix w = { .type = t->type, .rows = t->dim[0], .cols = t->dim[1] };
    if (!ac_dtype_row_bytes(&w.row_bytes, t->type, w.cols))
        return ac_fail(b->err, AC_EFORMAT, "%s: rows of %s have %zu elements, not whole blocks of %s", b->path,
                       name, w.cols, ac_dtype_name(t->type));
    /* The device never writes to what it borrows for reading. */
    void *bytes = (void *)(uintptr_t)data;
    const ac_status st = m->dev->op->buf_borrow(m->dev, &w.buf, bytes, t->bytes, AC_BORROW_READ, b->err);
    if (st) return st;
    m->weight_buf[m->n_weight_bufs++] = w.buf;
    *out = w;
    return check_finite(b, name, &w);
}

/* GGUF's llama keeps the rows of a q or k head as pairs (x_0, x_h/2, x_1, x_h/2+1, ...); put them back into
 * halves, as Hugging Face has them. Rows are whole blocks, so this works in any stored type. */
static ac_status rows_in_halves(binder *b, const ac_tensor *t, size_t heads, const void **out)
{
    const size_t hd = b->m->cfg.head_dim, row = t->bytes / t->dim[0];
    unsigned char *to = ac_arena_alloc(&b->m->arena, t->bytes);
    if (!to) return ac_fail_nomem(b->err, t->bytes);
    const unsigned char *from = t->data;
    for (size_t h = 0; h < heads; h++)
        for (size_t j = 0; j < hd / 2; j++)
            for (size_t half = 0; half < 2; half++)
                memcpy(to + (h * hd + half * hd / 2 + j) * row, from + (h * hd + 2 * j + half) * row, row);
    *out = to;
    return AC_OK;
}

static ac_status bind_linear(binder *b, size_t layer, ac_target target, size_t rows, size_t cols)
{
    char name[128];
    const ac_tensor *t = NULL;
    name_of(b, name, layer, linear_names[target].hf, linear_names[target].gguf, "weight");
    ac_status st = find(b, name, rows, cols, &t);
    if (st) return st;
    const void *data = t->data;
    const bool rotated = target == AC_TARGET_Q || target == AC_TARGET_K;
    if (b->gguf && rotated && b->m->src.family->gguf_pairs)
        st = rows_in_halves(b, t, rows / b->m->cfg.head_dim, &data);
    return st ? st : bind_matrix(b, name, t, data, &b->m->layer[layer].w[target]);
}

/* ---- norms and biases: expanded once ---------------------------------------------------------------- */

static ac_status bind_small(binder *b, const char *name, size_t n, ac_ref *out)
{
    ac_model *m = b->m;
    const ac_tensor *t = NULL;
    ac_status st = find(b, name, 0, n, &t);
    if (st) return st;
    if (t->type != AC_F32 && t->type != AC_F16 && t->type != AC_BF16)
        return ac_fail(b->err, AC_EFORMAT, "%s: %s is stored as %s; expected F32, F16 or BF16", b->path, name,
                       ac_dtype_name(t->type));
    float *wide = ac_malloc(n * sizeof *wide);
    if (!wide) return ac_fail_nomem(b->err, n * sizeof *wide);
    ac_kernels ref;
    st = ac_kernels_init(&ref, AC_CPU_REF, b->err);
    if (!st) {
        ref.expand_row(wide, t->data, t->type, n);
        if (!ref.all_finite(wide, n))
            st = ac_fail(b->err, AC_EFORMAT, "%s: %s holds values that are not finite; the file is damaged or was "
                         "saved from a diverged run", b->path, name);
    }
    if (!st) {
        *out = (ac_ref){ m->small, b->small_at };
        b->small_at += (n + 15) / 16 * 16;
        m->dev->op->write(m->dev, *out, wide, n);
    }
    ac_free(wide);
    return st;
}

static ac_status bind_layer_small(binder *b, size_t i)
{
    ac_layer *l = &b->m->layer[i];
    const ac_model_config *c = &b->m->cfg;
    const size_t width[3] = { c->n_heads * c->head_dim, c->n_kv_heads * c->head_dim,
                              c->n_kv_heads * c->head_dim };
    char name[128];
    name_of(b, name, i, "input_layernorm", "attn_norm", "weight");
    ac_status st = bind_small(b, name, c->hidden, &l->attn_norm);
    if (!st) {
        name_of(b, name, i, "post_attention_layernorm", "ffn_norm", "weight");
        st = bind_small(b, name, c->hidden, &l->ffn_norm);
    }
    for (size_t k = 0; !st && c->qkv_bias && k < 3; k++) {
        name_of(b, name, i, linear_names[k].hf, linear_names[k].gguf, "bias");
        st = bind_small(b, name, width[k], &l->bias[k]);
    }
    if (st || !c->qk_norm) return st;
    name_of(b, name, i, "self_attn.q_norm", "attn_q_norm", "weight");
    st = bind_small(b, name, c->head_dim, &l->q_norm);
    if (st) return st;
    name_of(b, name, i, "self_attn.k_norm", "attn_k_norm", "weight");
    return bind_small(b, name, c->head_dim, &l->k_norm);
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static ac_status check_support(binder *b)
{
    const ac_device *dev = b->m->dev;
    const struct { ac_op op; const char *what; const ac_matrix *w; } need[] = {
        { AC_OP_EMBED, "embedding", &b->m->embed },
        { AC_OP_OUTPUT, "output layer", &b->m->output },
        { AC_OP_LINEAR, "linear layer", &b->m->layer[0].w[0] },
    };
    for (size_t i = 0; i < AC_COUNTOF(need); i++)
        if (!dev->op->supports(dev, need[i].op, need[i].w->type))
            return ac_fail(b->err, AC_EFORMAT, "%s: the device %s has no %s for weights of type %s", b->path,
                           dev->name, need[i].what, ac_dtype_name(need[i].w->type));
    for (size_t i = 0; i < b->m->cfg.n_layers; i++)
        for (size_t t = 0; t < AC_TARGET_COUNT; t++)
            if (!dev->op->supports(dev, AC_OP_LINEAR, b->m->layer[i].w[t].type))
                return ac_fail(b->err, AC_EFORMAT, "%s: the device %s has no linear layer for weights of type %s",
                               b->path, dev->name, ac_dtype_name(b->m->layer[i].w[t].type));
    return AC_OK;
}

static ac_status bind_globals(binder *b)
{
    ac_model *m = b->m;
    const ac_model_config *c = &m->cfg;
    const char *embed = b->gguf ? "token_embd.weight" : "model.embed_tokens.weight";
    const char *output = b->gguf ? "output.weight" : "lm_head.weight";
    const ac_tensor *t = NULL;
    ac_status st = find(b, embed, c->vocab, c->hidden, &t);
    if (!st) st = bind_matrix(b, embed, t, t->data, &m->embed);
    if (!st) st = bind_small(b, b->gguf ? "output_norm.weight" : "model.norm.weight", c->hidden, &m->final_norm);
    if (st) return st;
    m->output = m->embed;
    if (c->tied_output) return AC_OK;
    st = find(b, output, c->vocab, c->hidden, &t);
    return st ? st : bind_matrix(b, output, t, t->data, &m->output);
}

static ac_status bind_all(binder *b)
{
    const ac_model_config *c = &b->m->cfg;
    const size_t qw = c->n_heads * c->head_dim, kw = c->n_kv_heads * c->head_dim;
    const size_t rows[AC_TARGET_COUNT] = { qw, kw, kw, c->hidden, c->ffn, c->ffn, c->hidden };
    const size_t cols[AC_TARGET_COUNT] = { c->hidden, c->hidden, c->hidden, qw, c->hidden, c->hidden, c->ffn };
    ac_status st = bind_globals(b);
    for (size_t i = 0; !st && i < c->n_layers; i++) {
        st = bind_layer_small(b, i);
        for (size_t t = 0; !st && t < AC_TARGET_COUNT; t++)
            st = bind_linear(b, i, (ac_target)t, rows[t], cols[t]);
    }
    if (!st) st = refuse_unused(b);
    if (!st) st = check_support(b);
    return st ? st : b->m->dev->op->sync(b->m->dev, b->err);
}

ac_status ac_model_bind(ac_model *m, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    binder b = { .m = m, .gguf = m->src.gguf != NULL, .err = err };
    b.path = b.gguf ? ac_gguf_path(m->src.gguf) : m->path;
    /* The checked configuration bounds each factor: no product here can overflow. */
    const size_t qkv = (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
    const size_t per_layer = 2 * c->hidden + qkv + 2 * c->head_dim + 7 * 16;
    b.small_floats = c->n_layers * per_layer + c->hidden + 16;
    b.cap_used = c->n_layers * 14 + 3;
    const size_t matrices = c->n_layers * AC_TARGET_COUNT + 2;
    b.used = ac_arena_alloc_array(&m->arena, b.cap_used, sizeof *b.used);
    m->layer = ac_arena_alloc_array(&m->arena, c->n_layers, sizeof *m->layer);
    m->acts = ac_arena_alloc_array(&m->arena, c->n_layers, sizeof *m->acts);
    m->weight_buf = ac_arena_alloc_array(&m->arena, matrices, sizeof *m->weight_buf);
    if (!b.used || !m->layer || !m->acts || !m->weight_buf)
        return ac_fail_nomem(err, c->n_layers * (sizeof *m->layer + sizeof *m->acts));
    const ac_status st = m->dev->op->buf_open(m->dev, &m->small, b.small_floats, AC_STORE_F32, err);
    return st ? st : bind_all(&b);
}
