/* model/config_hf.c - config.json of Hugging Face. What would change the mathematics and is not run here is
 * refused by its name; keys that only training or generation scripts look at are passed over. */
#include <stdio.h>
#include <string.h>
#include "base/size.h"
#include "model/model_int.h"

typedef struct {
    const ac_json *root;
    const char *where;
    ac_err *err;
} hf;

static bool is_set(const ac_json *v)
{
    return v && v->type != AC_JSON_NULL;
}

static ac_status get_size(const hf *h, const char *key, const size_t *fallback, size_t *out)
{
    const ac_json *v = ac_json_get(h->root, key);
    int64_t n = 0;
    if (!is_set(v)) {
        if (!fallback)
            return ac_fail(h->err, AC_EFORMAT, "%s: \"%s\" is missing; a model of this family has it", h->where,
                           key);
        *out = *fallback;
        return AC_OK;
    }
    if (!ac_json_as_i64(v, &n) || !ac_size_from_i64(out, n))
        return ac_fail(h->err, AC_EFORMAT, "%s: \"%s\" must be a whole number of at least 0", h->where, key);
    return AC_OK;
}

static ac_status get_real(const hf *h, const ac_json *o, const char *key, const double *fallback, double *out)
{
    const ac_json *v = ac_json_get(o, key);
    if (!is_set(v) && fallback) {
        *out = *fallback;
        return AC_OK;
    }
    if (!is_set(v) || v->type != AC_JSON_NUMBER)
        return ac_fail(h->err, AC_EFORMAT, "%s: \"%s\" must be a number, found %s", h->where, key,
                       is_set(v) ? ac_json_type_name(v->type) : "nothing");
    *out = v->number;
    return AC_OK;
}

static ac_status get_bool(const hf *h, const char *key, bool fallback, bool *out)
{
    const ac_json *v = ac_json_get(h->root, key);
    *out = fallback;
    if (!is_set(v)) return AC_OK;
    if (v->type != AC_JSON_BOOL)
        return ac_fail(h->err, AC_EFORMAT, "%s: \"%s\" must be true or false, found %s", h->where, key,
                       ac_json_type_name(v->type));
    *out = v->boolean;
    return AC_OK;
}

static ac_status get_text(const hf *h, const ac_json *o, const char *key, ac_view *out)
{
    const ac_json *v = ac_json_get(o, key);
    *out = (ac_view){ 0 };
    if (!is_set(v)) return AC_OK;
    if (v->type != AC_JSON_STRING)
        return ac_fail(h->err, AC_EFORMAT, "%s: \"%s\" must be a string, found %s", h->where, key,
                       ac_json_type_name(v->type));
    *out = v->text;
    return AC_OK;
}

/* ---- family ------------------------------------------------------------------------------------------ */

static ac_status read_family(const hf *h, const ac_family **out)
{
    ac_view type;
    ac_status st = get_text(h, h->root, "model_type", &type);
    if (st) return st;
    if (!type.ptr)
        return ac_fail(h->err, AC_EFORMAT, "%s: \"model_type\" is missing; expected one of %s", h->where,
                       ac_family_list());
    const ac_family *f = ac_family_by_hf(type);
    if (!f)
        return ac_fail(h->err, AC_EFORMAT, "%s: model_type \"" AC_VIEW_FMT "\" is not supported; this version "
                       "runs %s", h->where, AC_VIEW_ARG(type), ac_family_list());
    const ac_json *classes = ac_json_get(h->root, "architectures");
    const ac_json *c = is_set(classes) && classes->type == AC_JSON_ARRAY ? classes->child : NULL;
    for (; c; c = c->next) {
        bool known = false;
        for (size_t i = 0; i < AC_COUNTOF(f->hf_class); i++)
            if (f->hf_class[i] && c->type == AC_JSON_STRING && ac_view_eq_str(c->text, f->hf_class[i]))
                known = true;
        if (!known)
            return ac_fail(h->err, AC_EFORMAT, "%s: architecture \"" AC_VIEW_FMT "\" is not supported; expected "
                           "%s, a causal language model", h->where, AC_VIEW_ARG(c->text), f->hf_class[0]);
    }
    *out = f;
    return AC_OK;
}

/* ---- what is refused ------------------------------------------------------------------------------------ */

static ac_status refuse(const hf *h, const char *what, const char *next)
{
    return ac_fail(h->err, AC_EFORMAT, "%s: %s is not supported; %s", h->where, what, next);
}

/* bitsandbytes' NF4 is read (formats/nf4.c); which tensors are stored so, each of them says itself. */
static bool is_nf4(const ac_json *q)
{
    const ac_json *method = ac_json_get(q, "quant_method"), *four = ac_json_get(q, "load_in_4bit");
    const ac_json *type = ac_json_get(q, "bnb_4bit_quant_type");
    return method && method->type == AC_JSON_STRING && ac_view_eq_str(method->text, "bitsandbytes") &&
           four && four->type == AC_JSON_BOOL && four->boolean && type && type->type == AC_JSON_STRING &&
           ac_view_eq_str(type->text, "nf4");
}

static ac_status refuse_unsupported(const hf *h, const ac_family *f)
{
    static const char *const never[] = { "quantization_config", "quantization", "auto_map", "num_experts",
                                         "num_local_experts", "logits_scaling", "embedding_multiplier" };
    for (size_t i = 0; i < AC_COUNTOF(never); i++) {
        const ac_json *value = ac_json_get(h->root, never[i]);
        if (!is_set(value) || (i == 0 && is_nf4(value))) continue;
        char what[64];
        snprintf(what, sizeof what, "\"%s\"", never[i]);
        return refuse(h, what, strncmp(never[i], "quantization", 12) == 0
                      ? "take the unquantised safetensors, bitsandbytes' NF4, or a GGUF" : "take a plain model of this family");
    }
    ac_view act;
    ac_status st = get_text(h, h->root, "hidden_act", &act);
    if (st) return st;
    if (act.ptr && !ac_view_eq_str(act, "silu") && !ac_view_eq_str(act, "swish"))
        return ac_fail(h->err, AC_EFORMAT, "%s: hidden_act \"" AC_VIEW_FMT "\" is not supported; expected \"silu\"",
                       h->where, AC_VIEW_ARG(act));
    bool attention_bias, mlp_bias, window_on;
    st = get_bool(h, "attention_bias", f->qkv_bias, &attention_bias);
    if (!st) st = get_bool(h, "mlp_bias", false, &mlp_bias);
    if (!st) st = get_bool(h, "use_sliding_window", false, &window_on);
    if (st) return st;
    if (attention_bias != f->qkv_bias)
        return refuse(h, attention_bias ? "\"attention_bias\": true" : "\"attention_bias\": false",
                      "this family is run as its makers publish it");
    if (mlp_bias) return refuse(h, "\"mlp_bias\": true", "take a model without it");
    if (window_on && !f->window)
        return refuse(h, "\"use_sliding_window\": true", "take a model with full attention");
    double rotary = 1.0;
    st = get_real(h, h->root, "partial_rotary_factor", &rotary, &rotary);
    if (st) return st;
    if (rotary < 1.0 || rotary > 1.0) return refuse(h, "\"partial_rotary_factor\" other than 1", "take a model that rotates whole heads");
    return AC_OK;
}

static ac_status read_window(const hf *h, const ac_family *f, ac_model_config *c)
{
    const size_t none = 0;
    ac_status st = AC_OK;
    c->window = 0;
    if (f->window) st = get_size(h, "sliding_window", &none, &c->window);
    const ac_json *types = ac_json_get(h->root, "layer_types");
    if (st || !is_set(types)) return st;
    const char *want = c->window ? "sliding_attention" : "full_attention";
    const ac_json *t = types->type == AC_JSON_ARRAY ? types->child : types;
    for (; t; t = t->next)
        if (t->type != AC_JSON_STRING || !ac_view_eq_str(t->text, want))
            return refuse(h, "\"layer_types\" that mixes kinds of attention", "take a model with one kind");
    return AC_OK;
}

/* ---- rotary embedding ------------------------------------------------------------------------------------- */

static ac_status read_rope(const hf *h, ac_model_config *c)
{
    const double theta = 10000.0;
    const ac_json *o = ac_json_get(h->root, "rope_scaling");
    const ac_json *params = ac_json_get(h->root, "rope_parameters");   /* its name since transformers 5 */
    if (is_set(params)) o = params;
    ac_status st = get_real(h, is_set(params) && ac_json_get(params, "rope_theta") ? params : h->root,
                            "rope_theta", &theta, &c->rope_theta);
    if (st || !is_set(o)) return st;
    if (o->type != AC_JSON_OBJECT)
        return ac_fail(h->err, AC_EFORMAT, "%s: \"rope_scaling\" must be an object, found %s", h->where,
                       ac_json_type_name(o->type));
    double rotary = 1.0;
    ac_view type;
    st = get_real(h, o, "partial_rotary_factor", &rotary, &rotary);
    if (st) return st;
    if (rotary < 1.0 || rotary > 1.0) return refuse(h, "\"partial_rotary_factor\" other than 1", "take a model that rotates whole heads");
    st = get_text(h, o, "rope_type", &type);
    if (!st && !type.ptr) st = get_text(h, o, "type", &type);
    if (st) return st;
    if (!type.ptr || ac_view_eq_str(type, "default")) return AC_OK;
    if (ac_view_eq_str(type, "linear")) {
        c->rope_scaling = 1;
        return get_real(h, o, "factor", NULL, &c->rope_factor);
    }
    if (!ac_view_eq_str(type, "llama3"))
        return ac_fail(h->err, AC_EFORMAT, "%s: rope type \"" AC_VIEW_FMT "\" is not supported; expected default, "
                       "linear or llama3", h->where, AC_VIEW_ARG(type));
    c->rope_scaling = 2;
    st = get_real(h, o, "factor", NULL, &c->rope_factor);
    if (!st) st = get_real(h, o, "low_freq_factor", NULL, &c->rope_low);
    if (!st) st = get_real(h, o, "high_freq_factor", NULL, &c->rope_high);
    if (!st) st = get_real(h, o, "original_max_position_embeddings", NULL, &c->rope_original);
    return st;
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static ac_status read_sizes(const hf *h, const ac_family *f, ac_model_config *c)
{
    const struct { const char *key; size_t *out; } need[] = {
        { "num_hidden_layers", &c->n_layers }, { "hidden_size", &c->hidden },
        { "intermediate_size", &c->ffn },      { "num_attention_heads", &c->n_heads },
        { "vocab_size", &c->vocab },           { "max_position_embeddings", &c->context },
    };
    for (size_t i = 0; i < AC_COUNTOF(need); i++) {
        const ac_status st = get_size(h, need[i].key, NULL, need[i].out);
        if (st) return st;
    }
    /* Only Llama's own default is "as many as heads"; the others' defaults fit no published model. */
    const bool llama = f == &ac_family_llama;
    ac_status st = get_size(h, "num_key_value_heads", llama ? &c->n_heads : NULL, &c->n_kv_heads);
    if (st) return st;
    if (c->n_heads == 0)
        return ac_fail(h->err, AC_EFORMAT, "%s: \"num_attention_heads\" is 0, expected at least 1", h->where);
    const size_t own = c->hidden / c->n_heads;
    if (!is_set(ac_json_get(h->root, "head_dim")) && c->hidden % c->n_heads != 0)
        return ac_fail(h->err, AC_EFORMAT, "%s: hidden_size %zu is not a multiple of num_attention_heads %zu, and "
                       "\"head_dim\" is not given", h->where, c->hidden, c->n_heads);
    return get_size(h, "head_dim", &own, &c->head_dim);
}

ac_status ac_config_from_hf(ac_model_config *out, const ac_family **family, const ac_json *root,
                            const char *where, ac_err *err)
{
    const hf h = { root, where, err };
    ac_model_config c = { 0 };
    const ac_family *f = NULL;
    const double eps = 1e-6;
    if (root->type != AC_JSON_OBJECT)
        return ac_fail(err, AC_EFORMAT, "%s: expected an object, found %s", where,
                       ac_json_type_name(root->type));
    ac_status st = read_family(&h, &f);
    if (!st) st = refuse_unsupported(&h, f);
    if (!st) st = read_sizes(&h, f, &c);
    if (!st) st = read_window(&h, f, &c);
    if (!st) st = read_rope(&h, &c);
    if (!st) st = get_real(&h, root, "rms_norm_eps", &eps, &c.rms_eps);
    if (!st) st = get_bool(&h, "tie_word_embeddings", false, &c.tied_output);
    if (st) return st;
    snprintf(c.family, sizeof c.family, "%s", f->name);
    c.qkv_bias = f->qkv_bias;
    c.qk_norm = f->qk_norm;
    *out = c;
    *family = f;
    return AC_OK;
}
