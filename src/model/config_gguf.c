/* model/config_gguf.c - the same configuration out of a GGUF's keys. */
#include <stdio.h>
#include <string.h>
#include "base/size.h"
#include "model/model_int.h"

typedef struct {
    const ac_gguf *g;
    const ac_family *f;
    ac_err *err;
} gg;

/* Keys of the architecture: "llama.block_count". */
static void own_key(const gg *x, char key[96], const char *name)
{
    snprintf(key, 96, "%s.%s", x->f->name, name);
}

static ac_status get_size(const gg *x, const char *name, const size_t *fallback, size_t *out)
{
    char key[96];
    uint64_t v = 0;
    own_key(x, key, name);
    if (!ac_gguf_has(x->g, key) && fallback) {
        *out = *fallback;
        return AC_OK;
    }
    if (!ac_gguf_has(x->g, key))
        return ac_fail(x->err, AC_EFORMAT, "%s: the key %s is missing; a model of this family has it",
                       ac_gguf_path(x->g), key);
    const ac_status st = ac_gguf_u64(&v, x->g, key, x->err);
    if (st) return st;
    if (!ac_size_from_u64(out, v))
        return ac_fail(x->err, AC_EFORMAT, "%s: %s is out of range", ac_gguf_path(x->g), key);
    return AC_OK;
}

static ac_status get_real(const gg *x, const char *name, const double *fallback, double *out)
{
    char key[96];
    own_key(x, key, name);
    if (!ac_gguf_has(x->g, key) && fallback) {
        *out = *fallback;
        return AC_OK;
    }
    if (!ac_gguf_has(x->g, key))
        return ac_fail(x->err, AC_EFORMAT, "%s: the key %s is missing; a model of this family has it",
                       ac_gguf_path(x->g), key);
    return ac_gguf_f64(out, x->g, key, x->err);
}

static ac_status read_family(gg *x)
{
    ac_view arch;
    const ac_status st = ac_gguf_str(&arch, x->g, "general.architecture", x->err);
    if (st) return st == AC_ENOENT ? AC_EFORMAT : st;
    x->f = ac_family_by_gguf(arch);
    if (!x->f)
        return ac_fail(x->err, AC_EFORMAT, "%s: architecture \"" AC_VIEW_FMT "\" is not supported; this version "
                       "runs llama, qwen2 and qwen3", ac_gguf_path(x->g), AC_VIEW_ARG(arch));
    return AC_OK;
}

static ac_status read_rope(const gg *x, ac_model_config *c)
{
    const double theta = 10000.0;
    size_t rotated = 0;
    ac_status st = get_real(x, "rope.freq_base", &theta, &c->rope_theta);
    if (!st) st = get_size(x, "rope.dimension_count", &c->head_dim, &rotated);
    if (st) return st;
    if (rotated != c->head_dim)
        return ac_fail(x->err, AC_EFORMAT, "%s: rope.dimension_count %zu is not the head width %zu; partial rotary "
                       "embeddings are not supported", ac_gguf_path(x->g), rotated, c->head_dim);
    char key[96];
    own_key(x, key, "rope.scaling.type");
    if (!ac_gguf_has(x->g, key)) return AC_OK;
    ac_view type;
    st = ac_gguf_str(&type, x->g, key, x->err);
    if (st || ac_view_eq_str(type, "none")) return st;
    if (!ac_view_eq_str(type, "linear"))
        return ac_fail(x->err, AC_EFORMAT, "%s: rope scaling \"" AC_VIEW_FMT "\" is not supported; expected none or "
                       "linear", ac_gguf_path(x->g), AC_VIEW_ARG(type));
    c->rope_scaling = 1;
    return get_real(x, "rope.scaling.factor", NULL, &c->rope_factor);
}

static ac_status read_sizes(const gg *x, ac_model_config *c)
{
    ac_status st = get_size(x, "block_count", NULL, &c->n_layers);
    if (!st) st = get_size(x, "embedding_length", NULL, &c->hidden);
    if (!st) st = get_size(x, "feed_forward_length", NULL, &c->ffn);
    if (!st) st = get_size(x, "context_length", NULL, &c->context);
    if (!st) st = get_size(x, "attention.head_count", NULL, &c->n_heads);
    if (!st) st = get_size(x, "attention.head_count_kv", &c->n_heads, &c->n_kv_heads);
    if (st) return st;
    if (c->n_heads == 0)
        return ac_fail(x->err, AC_EFORMAT, "%s: attention.head_count is 0, expected at least 1",
                       ac_gguf_path(x->g));
    const size_t own = c->hidden / c->n_heads;
    size_t value = 0;
    st = get_size(x, "attention.key_length", &own, &c->head_dim);
    if (!st) st = get_size(x, "attention.value_length", &c->head_dim, &value);
    if (st) return st;
    if (value != c->head_dim)
        return ac_fail(x->err, AC_EFORMAT, "%s: heads have keys of width %zu and values of width %zu; only equal "
                       "widths are supported", ac_gguf_path(x->g), c->head_dim, value);
    const size_t none = 0;
    c->window = 0;
    if (x->f->window) st = get_size(x, "attention.sliding_window", &none, &c->window);
    return st;
}

/* The vocabulary is the embedding's rows; the tokenizer inside the file must agree with it. */
static ac_status read_vocab(const gg *x, ac_model_config *c)
{
    const char *path = ac_gguf_path(x->g);
    const ac_tensor *e = ac_tensors_find(ac_gguf_tensors(x->g), "token_embd.weight");
    if (!e || e->n_dims != 2)
        return ac_fail(x->err, AC_EFORMAT, "%s: the tensor token_embd.weight is %s; the file holds no whole model",
                       path, e ? "not a matrix" : "missing");
    c->vocab = e->dim[0];
    size_t said = 0;
    ac_status st = get_size(x, "vocab_size", &c->vocab, &said);
    if (!st && said != c->vocab)
        return ac_fail(x->err, AC_EFORMAT, "%s: vocab_size is %zu, but token_embd.weight has %zu rows", path, said,
                       c->vocab);
    if (st || !ac_gguf_has(x->g, "tokenizer.ggml.tokens")) return st;
    st = ac_gguf_array_count(&said, x->g, "tokenizer.ggml.tokens", x->err);
    if (!st && said != c->vocab)
        return ac_fail(x->err, AC_EFORMAT, "%s: the tokenizer has %zu tokens, but token_embd.weight has %zu rows",
                       path, said, c->vocab);
    return st;
}

static ac_status refuse_unsupported(const gg *x)
{
    size_t n = 0;
    const size_t none = 0;
    ac_status st = get_size(x, "expert_count", &none, &n);
    if (!st && n > 0)
        return ac_fail(x->err, AC_EFORMAT, "%s: a mixture of %zu experts is not supported; take a dense model",
                       ac_gguf_path(x->g), n);
    if (st || !ac_gguf_has(x->g, "split.count")) return st;
    uint64_t parts = 0;
    st = ac_gguf_u64(&parts, x->g, "split.count", x->err);
    if (!st && parts > 1)
        return ac_fail(x->err, AC_EFORMAT, "%s: the file is one of %llu parts; join them first (llama-gguf-split "
                       "--merge)", ac_gguf_path(x->g), (unsigned long long)parts);
    return st;
}

ac_status ac_config_from_gguf(ac_model_config *out, const ac_family **family, const ac_gguf *g, ac_err *err)
{
    gg x = { g, NULL, err };
    ac_model_config c = { 0 };
    ac_view type;
    if (ac_gguf_has(g, "general.type")) {
        const ac_status bad = ac_gguf_str(&type, g, "general.type", err);
        if (bad) return bad;
        if (!ac_view_eq_str(type, "model"))
            return ac_fail(err, AC_EFORMAT, "%s: the file holds \"" AC_VIEW_FMT "\", expected a model",
                           ac_gguf_path(g), AC_VIEW_ARG(type));
    }
    ac_status st = read_family(&x);
    if (!st) st = refuse_unsupported(&x);
    if (!st) st = read_sizes(&x, &c);
    if (!st) st = read_rope(&x, &c);
    if (!st) st = get_real(&x, "attention.layer_norm_rms_epsilon", NULL, &c.rms_eps);
    if (!st) st = read_vocab(&x, &c);
    if (st) return st;
    snprintf(c.family, sizeof c.family, "%s", x.f->name);
    c.qkv_bias = x.f->qkv_bias;
    c.qk_norm = x.f->qk_norm;
    *out = c;
    *family = x.f;
    return AC_OK;
}
