/* tests/model_ref.h - a small random model of any family, its files, and its mathematics in binary64.
 *
 * The forward pass here is written from the models' papers with plain loops and shares nothing with src/: it is
 * what logits, losses and (by finite differences) LoRA gradients are compared with. */
#ifndef ACCORD_TESTS_MODEL_REF_H
#define ACCORD_TESTS_MODEL_REF_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/str.h"
#include "formats/tensors.h"
#include "formats_build.h"
#include "model/adapter.h"
#include "model/model.h"

typedef struct {
    const char *family;           /* llama, mistral, qwen2, qwen3 */
    size_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab, context, window;
    bool tied;
    double eps, theta;
    int scaling;                  /* 0, 1 linear by 4, 2 llama3 */
    uint64_t seed;
} ref_spec;

enum { REF_MAX_TENSORS = 128 };

typedef struct {
    ref_spec s;
    size_t n;
    ac_tensor_out t[REF_MAX_TENSORS];
    char name[REF_MAX_TENSORS][96];
    float *data[REF_MAX_TENSORS];
} ref_model;

static inline bool ref_bias(const ref_spec *s) { return strcmp(s->family, "qwen2") == 0; }
static inline bool ref_qk_norm(const ref_spec *s) { return strcmp(s->family, "qwen3") == 0; }

/* Small models of the three families: GQA, odd widths, with and without tied output. */
static inline ref_spec ref_spec_of(const char *family)
{
    ref_spec s = { .family = family, .layers = 2, .hidden = 20, .ffn = 28, .heads = 4, .kv_heads = 2,
                   .head_dim = 6, .vocab = 37, .context = 64, .eps = 1e-5, .theta = 1000.0, .seed = 11 };
    if (strcmp(family, "llama") == 0) s.head_dim = 5 * 2, s.heads = 2, s.kv_heads = 1;
    if (strcmp(family, "mistral") == 0) s.window = 3, s.tied = true;
    if (strcmp(family, "qwen2") == 0) s.tied = true, s.kv_heads = 4;
    if (strcmp(family, "qwen3") == 0) s.head_dim = 8;
    return s;
}

/* ---- weights --------------------------------------------------------------------------------------------- */

static inline float *ref_add(ref_model *m, const char *name, size_t rows, size_t cols, double scale, double centre)
{
    const size_t i = m->n++, n = (rows ? rows : 1) * cols;
    snprintf(m->name[i], sizeof m->name[i], "%s", name);
    m->data[i] = malloc(n * sizeof(float));
    for (size_t k = 0; k < n; k++)
        m->data[i][k] = (float)(centre + scale * (2.0 * (double)ac_rng_unit(m->s.seed, AC_RNG_TEST, i, k) - 1.0));
    m->t[i] = (ac_tensor_out){ .name = m->name[i], .type = AC_F32, .n_dims = rows ? 2 : 1, .data = m->data[i] };
    m->t[i].dim[0] = rows ? rows : cols;
    m->t[i].dim[1] = rows ? cols : 0;
    return m->data[i];
}

static inline float *ref_find(const ref_model *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->name[i], name) == 0) return m->data[i];
    return NULL;
}

static const char *const ref_linear[7] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                           "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };

static inline void ref_dims(const ref_spec *s, size_t t, size_t *out, size_t *in)
{
    const size_t qw = s->heads * s->head_dim, kw = s->kv_heads * s->head_dim;
    const size_t o[7] = { qw, kw, kw, s->hidden, s->ffn, s->ffn, s->hidden };
    const size_t i[7] = { s->hidden, s->hidden, s->hidden, qw, s->hidden, s->hidden, s->ffn };
    *out = o[t];
    *in = i[t];
}

static inline const char *ref_name(size_t layer, const char *module, const char *kind)
{
    static char buf[4][96];
    static unsigned turn;
    char *b = buf[turn++ % 4];
    snprintf(b, 96, "model.layers.%zu.%s.%s", layer, module, kind);
    return b;
}

static inline void ref_make(ref_model *m, ref_spec s)
{
    memset(m, 0, sizeof *m);
    m->s = s;
    ref_add(m, "model.embed_tokens.weight", s.vocab, s.hidden, 0.8, 0.0);
    for (size_t l = 0; l < s.layers; l++) {
        ref_add(m, ref_name(l, "input_layernorm", "weight"), 0, s.hidden, 0.5, 1.0);
        for (size_t t = 0; t < 7; t++) {
            size_t out, in;
            ref_dims(&s, t, &out, &in);
            ref_add(m, ref_name(l, ref_linear[t], "weight"), out, in, 0.45, 0.0);
            if (t < 3 && ref_bias(&s)) ref_add(m, ref_name(l, ref_linear[t], "bias"), 0, out, 0.4, 0.0);
        }
        if (ref_qk_norm(&s)) {
            ref_add(m, ref_name(l, "self_attn.q_norm", "weight"), 0, s.head_dim, 0.5, 1.0);
            ref_add(m, ref_name(l, "self_attn.k_norm", "weight"), 0, s.head_dim, 0.5, 1.0);
        }
        ref_add(m, ref_name(l, "post_attention_layernorm", "weight"), 0, s.hidden, 0.5, 1.0);
    }
    ref_add(m, "model.norm.weight", 0, s.hidden, 0.5, 1.0);
    if (!s.tied) ref_add(m, "lm_head.weight", s.vocab, s.hidden, 0.5, 0.0);
}

static inline void ref_free(ref_model *m)
{
    for (size_t i = 0; i < m->n; i++) free(m->data[i]);
    m->n = 0;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static inline const char *ref_temp(void)
{
    static char buf[8][64];
    static unsigned turn;
    char *b = buf[turn++ % 8];
    snprintf(b, 64, "%s/accord_model.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(b);
}

static inline void ref_config_text(ac_str *c, const ref_spec *s)
{
    char class[32];
    const bool mistral = strcmp(s->family, "mistral") == 0;
    snprintf(class, sizeof class, "%c%sForCausalLM", s->family[0] - 32, s->family + 1);
    ac_str_appendf(c, "{\"architectures\": [\"%s\"], \"model_type\": \"%s\", \"hidden_act\": \"silu\",\n", class,
                   s->family);
    ac_str_appendf(c, "\"num_hidden_layers\": %zu, \"hidden_size\": %zu, \"intermediate_size\": %zu,\n", s->layers,
                   s->hidden, s->ffn);
    ac_str_appendf(c, "\"num_attention_heads\": %zu, \"num_key_value_heads\": %zu, \"head_dim\": %zu,\n", s->heads,
                   s->kv_heads, s->head_dim);
    ac_str_appendf(c, "\"vocab_size\": %zu, \"max_position_embeddings\": %zu, \"rms_norm_eps\": %.17g,\n", s->vocab,
                   s->context, s->eps);
    if (mistral) ac_str_appendf(c, "\"sliding_window\": %zu,\n", s->window);
    if (s->scaling == 1) ac_str_append_c(c, "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0},\n");
    if (s->scaling == 2)
        ac_str_append_c(c, "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
                        "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 32},\n");
    ac_str_appendf(c, "\"rope_theta\": %.17g, \"tie_word_embeddings\": %s}\n", s->theta, s->tied ? "true" : "false");
}

/* Writes config.json and model.safetensors into dir. */
static inline ac_status ref_write_hf(const ref_model *m, const char *dir, ac_err *err)
{
    char path[256];
    ac_str c = { 0 };
    ref_config_text(&c, &m->s);
    snprintf(path, sizeof path, "%s/config.json", dir);
    ac_status st = ac_file_write_atomic(path, c.ptr, c.len, err);
    ac_str_release(&c);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    return st ? st : ac_safetensors_write(path, m->t, m->n, NULL, 0, err);
}

static inline void ref_key_u32(ac_str *g, const char *arch, const char *name, size_t v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    gguf_key(g, key, 4), put_le(g, v, 4);
}

static inline void ref_key_f32(ac_str *g, const char *arch, const char *name, double v)
{
    char key[96];
    const float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    snprintf(key, sizeof key, "%s.%s", arch, name);
    gguf_key(g, key, 6), put_le(g, bits, 4);
}

/* GGUF's name of tensor i. */
static inline void ref_gguf_name(const ref_model *m, size_t i, char out[96])
{
    static const char *const pair[][2] = {
        { "input_layernorm", "attn_norm" }, { "post_attention_layernorm", "ffn_norm" }, { "self_attn.q_proj", "attn_q" },
        { "self_attn.k_proj", "attn_k" },   { "self_attn.v_proj", "attn_v" },           { "self_attn.o_proj", "attn_output" },
        { "mlp.gate_proj", "ffn_gate" },    { "mlp.up_proj", "ffn_up" },                { "mlp.down_proj", "ffn_down" },
        { "self_attn.q_norm", "attn_q_norm" }, { "self_attn.k_norm", "attn_k_norm" },
    };
    const char *n = m->name[i];
    if (strcmp(n, "model.embed_tokens.weight") == 0) snprintf(out, 96, "token_embd.weight");
    else if (strcmp(n, "model.norm.weight") == 0) snprintf(out, 96, "output_norm.weight");
    else if (strcmp(n, "lm_head.weight") == 0) snprintf(out, 96, "output.weight");
    size_t layer;
    char rest[64];
    if (sscanf(n, "model.layers.%zu.%63s", &layer, rest) != 2) return;
    for (size_t k = 0; k < AC_COUNTOF(pair); k++) {
        const size_t len = strlen(pair[k][0]);
        if (strncmp(rest, pair[k][0], len) == 0 && rest[len] == '.')
            snprintf(out, 96, "blk.%zu.%s%s", layer, pair[k][1], rest + len);
    }
}

/* Bytes of tensor i as the GGUF has them: rows of q and k as pairs for llama; Q8_0 when q8 is set and rows are
 * whole blocks. data[i] is replaced by what Q8_0 holds, so that a safetensors file written after it agrees. */
static inline void ref_gguf_data(ref_model *m, size_t i, bool q8, ac_str *out, uint64_t *type)
{
    const bool llama = strcmp(m->s.family, "llama") == 0 || strcmp(m->s.family, "mistral") == 0;
    const bool is_q = strstr(m->name[i], "q_proj") != NULL, is_k = strstr(m->name[i], "k_proj") != NULL;
    const size_t rows = m->t[i].n_dims == 2 ? m->t[i].dim[0] : 1;
    const size_t cols = m->t[i].n_dims == 2 ? m->t[i].dim[1] : m->t[i].dim[0], hd = m->s.head_dim;
    q8 = q8 && m->t[i].n_dims == 2 && cols % 32 == 0;
    *type = q8 ? 8 : 0;
    for (size_t r = 0; r < rows; r++) {
        const size_t head = r / hd, in_head = r % hd;
        const bool pairs = llama && (is_q || is_k) && m->t[i].n_dims == 2;
        const size_t from = pairs ? head * hd + in_head % 2 * (hd / 2) + in_head / 2 : r;
        float *row = m->data[i] + from * cols;
        for (size_t c = 0; c < cols; c += q8 ? 32 : 1) {
            if (!q8) {
                uint32_t bits;
                memcpy(&bits, &row[c], 4);
                put_le(out, bits, 4);
                continue;
            }
            put_le(out, 0x2000, 2);              /* d = 2^-7 */
            for (size_t k = 0; k < 32; k++) {
                const long q = lround((double)row[c + k] * 128.0);
                const int8_t b = (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
                put_le(out, (uint8_t)b, 1);
                row[c + k] = (float)b / 128.0f;
            }
        }
    }
}

static inline ac_status ref_write_gguf(ref_model *m, const char *path, bool q8, ac_err *err)
{
    const ref_spec *s = &m->s;
    const char *arch = strcmp(s->family, "mistral") == 0 ? "llama" : s->family;
    ac_str g = { 0 }, data = { 0 };
    gguf_head(&g, 3, m->n, 12 + (s->window > 0));
    gguf_key(&g, "general.architecture", 8), put_str(&g, arch);
    ref_key_u32(&g, arch, "block_count", s->layers);
    ref_key_u32(&g, arch, "embedding_length", s->hidden);
    ref_key_u32(&g, arch, "feed_forward_length", s->ffn);
    ref_key_u32(&g, arch, "context_length", s->context);
    ref_key_u32(&g, arch, "attention.head_count", s->heads);
    ref_key_u32(&g, arch, "attention.head_count_kv", s->kv_heads);
    ref_key_u32(&g, arch, "attention.key_length", s->head_dim);
    ref_key_u32(&g, arch, "attention.value_length", s->head_dim);
    ref_key_u32(&g, arch, "rope.dimension_count", s->head_dim);
    ref_key_f32(&g, arch, "rope.freq_base", s->theta);
    ref_key_f32(&g, arch, "attention.layer_norm_rms_epsilon", s->eps);
    if (s->window) ref_key_u32(&g, arch, "attention.sliding_window", s->window);
    for (size_t i = 0; i < m->n; i++) {
        char name[96] = "";
        uint64_t type, dims[2] = { m->t[i].dim[m->t[i].n_dims - 1], m->t[i].dim[0] };
        ref_gguf_name(m, i, name);
        pad_to(&data, 32);
        const size_t at = data.len;
        ref_gguf_data(m, i, q8, &data, &type);
        gguf_info(&g, name, m->t[i].n_dims, dims, type, at);
    }
    pad_to(&g, 32);
    ac_str_append(&g, ac_str_view(&data));
    pad_to(&g, 32);
    const ac_status st = ac_file_write_atomic(path, g.ptr, g.len, err);
    ac_str_release(&g);
    ac_str_release(&data);
    return st;
}

/* ---- binary64 forward ---------------------------------------------------------------------------------------- */

enum { REF_WIDE = 512 };

typedef struct {                  /* LoRA as the reference sees it: parameters in binary64 */
    const ac_adapter *ad;
    const double *params;         /* NULL: no adapter */
    ac_pass pass;                 /* dropout */
    uint64_t unit_index;
    size_t unit_row;              /* place of the document's first token in its unit */
} ref_lora;

static inline void ref_norm(double *y, const double *x, const float *w, size_t n, double eps)
{
    double ss = 0;
    for (size_t i = 0; i < n; i++) ss += x[i] * x[i];
    const double r = 1.0 / sqrt(ss / (double)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * r * (double)w[i];
}

/* Length of a row of W + scale B A, with the adapter as it is (held constant where lo->params move). */
static inline double ref_row_norm(const ref_lora *lo, const ac_lora_module *mod, const float *w, size_t o)
{
    double sum = 0;
    for (size_t i = 0; i < mod->in; i++) {
        double v = (double)w[o * mod->in + i];
        for (size_t r = 0; r < lo->ad->spec.rank; r++)
            v += (double)lo->ad->scale * (double)lo->ad->params[mod->b_at + o * lo->ad->spec.rank + r]
                 * (double)lo->ad->params[mod->a_at + r * mod->in + i];
        sum += v * v;
    }
    return sqrt(sum);
}

/* y = W x + b + scale B A dropout(x), for the token in row `row` of its document; with DoRA
 * y = W x + b + (f - 1) W dropout(x) + f scale B A dropout(x), f = magnitude / row norm. */
static inline void ref_apply(const ref_model *m, size_t layer, size_t t, double *y, const double *x,
                             const ref_lora *lo, size_t row)
{
    size_t out, in;
    ref_dims(&m->s, t, &out, &in);
    const float *w = ref_find(m, ref_name(layer, ref_linear[t], "weight"));
    const float *b = ref_find(m, ref_name(layer, ref_linear[t], "bias"));
    for (size_t o = 0; o < out; o++) {
        y[o] = b ? (double)b[o] : 0.0;
        for (size_t i = 0; i < in; i++) y[o] += (double)w[o * in + i] * x[i];
    }
    const ac_lora_module *mod = lo->params ? ac_adapter_find(lo->ad, layer, (ac_target)t) : NULL;
    if (!mod) return;
    const uint32_t threshold = (uint32_t)(lo->pass.dropout * 4294967296.0);
    const bool dora = lo->ad->dora != NULL;
    double dropped[REF_WIDE], f[REF_WIDE];
    if (in > REF_WIDE || out > REF_WIDE) fail_msg("the reference is for tiny models");
    for (size_t i = 0; i < in; i++) {
        const uint64_t index = ((uint64_t)(layer * 7 + t) << 44) + ((uint64_t)(lo->unit_row + row) << 20) + i;
        const bool keep = ac_rng_u32(lo->pass.seed, AC_RNG_DROPOUT, lo->pass.step + (lo->unit_index << 32),
                                     index) >= threshold;
        dropped[i] = keep ? x[i] / (1.0 - lo->pass.dropout) : 0.0;
    }
    for (size_t o = 0; o < out; o++) f[o] = dora ? lo->params[mod->m_at + o] / ref_row_norm(lo, mod, w, o) : 1.0;
    for (size_t o = 0; dora && o < out; o++)
        for (size_t i = 0; i < in; i++) y[o] += (f[o] - 1.0) * (double)w[o * in + i] * dropped[i];
    for (size_t r = 0; r < lo->ad->spec.rank; r++) {
        double h = 0;
        for (size_t i = 0; i < in; i++) h += lo->params[mod->a_at + r * in + i] * dropped[i];
        for (size_t o = 0; o < out; o++)
            y[o] += f[o] * (double)lo->ad->scale * lo->params[mod->b_at + o * lo->ad->spec.rank + r] * h;
    }
}

static inline void ref_rotate(const ref_spec *s, double *x, size_t pos)
{
    const size_t half = s->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        double f = pow(s->theta, -2.0 * (double)i / (double)s->head_dim);
        if (s->scaling == 1) f /= 4.0;
        if (s->scaling == 2) {
            const double wave = 2.0 * acos(-1.0) / f, lo = 32.0 / 1.0, hi = 32.0 / 4.0;
            const double mix = (32.0 / wave - 1.0) / 3.0;
            if (wave > lo) f /= 8.0;
            else if (wave >= hi) f = (1.0 - mix) * f / 8.0 + mix * f;
        }
        const double c = cos((double)pos * f), sn = sin((double)pos * f), a = x[i], b = x[i + half];
        x[i] = a * c - b * sn;
        x[i + half] = b * c + a * sn;
    }
}

static inline void ref_attend(const ref_spec *s, double *out, const double *q, const double *k, const double *v,
                              size_t pos)
{
    const size_t hd = s->head_dim, kw = s->kv_heads * hd;
    const size_t from = s->window && pos + 1 > s->window ? pos + 1 - s->window : 0;
    for (size_t h = 0; h < s->heads; h++) {
        const size_t g = h / (s->heads / s->kv_heads) * hd;
        double p[256], top = -INFINITY, sum = 0;
        for (size_t j = from; j <= pos; j++) {
            p[j] = 0;
            for (size_t d = 0; d < hd; d++) p[j] += q[h * hd + d] * k[j * kw + g + d];
            p[j] /= sqrt((double)hd);
            top = p[j] > top ? p[j] : top;
        }
        for (size_t j = from; j <= pos; j++) sum += p[j] = exp(p[j] - top);
        for (size_t d = 0; d < hd; d++) {
            out[h * hd + d] = 0;
            for (size_t j = from; j <= pos; j++) out[h * hd + d] += p[j] / sum * v[j * kw + g + d];
        }
    }
}

/* Residual stream of one document through one layer, in place; n <= 256 tokens. */
static inline void ref_layer(const ref_model *m, size_t l, double *x, size_t n, const ref_lora *lo)
{
    const ref_spec *s = &m->s;
    const size_t hd = s->head_dim, qw = s->heads * hd, kw = s->kv_heads * hd;
    double *k = calloc(n * kw, sizeof *k), *v = calloc(n * kw, sizeof *v);
    double nx[256], q[256], att[256], y[256], g[256], u[256];
    const float *qn = ref_find(m, ref_name(l, "self_attn.q_norm", "weight"));
    const float *kn = ref_find(m, ref_name(l, "self_attn.k_norm", "weight"));
    for (size_t i = 0; i < n; i++) {             /* causal: earlier tokens' k and v are complete */
        double *xi = x + i * s->hidden, *ki = k + i * kw;
        ref_norm(nx, xi, ref_find(m, ref_name(l, "input_layernorm", "weight")), s->hidden, s->eps);
        ref_apply(m, l, 0, q, nx, lo, i);
        ref_apply(m, l, 1, ki, nx, lo, i);
        ref_apply(m, l, 2, v + i * kw, nx, lo, i);
        for (size_t h = 0; h < s->heads; h++) {
            if (qn) ref_norm(q + h * hd, q + h * hd, qn, hd, s->eps);
            ref_rotate(s, q + h * hd, i);
        }
        for (size_t h = 0; h < s->kv_heads; h++) {
            if (kn) ref_norm(ki + h * hd, ki + h * hd, kn, hd, s->eps);
            ref_rotate(s, ki + h * hd, i);
        }
        ref_attend(s, att, q, k, v, i);
        ref_apply(m, l, 3, y, att, lo, i);
        for (size_t c = 0; c < s->hidden; c++) xi[c] += y[c];
        ref_norm(nx, xi, ref_find(m, ref_name(l, "post_attention_layernorm", "weight")), s->hidden, s->eps);
        ref_apply(m, l, 4, g, nx, lo, i);
        ref_apply(m, l, 5, u, nx, lo, i);
        for (size_t c = 0; c < s->ffn; c++) g[c] = g[c] / (1.0 + exp(-g[c])) * u[c];
        ref_apply(m, l, 6, y, g, lo, i);
        for (size_t c = 0; c < s->hidden; c++) xi[c] += y[c];
    }
    AC_UNUSED(qw);
    free(k);
    free(v);
}

/* Logits of one document: n x vocab. */
/* The residual stream behind the final norm: n x hidden. */
static inline void ref_hidden(const ref_model *m, const ref_lora *lo, const int32_t *ids, size_t n, double *out)
{
    const ref_spec *s = &m->s;
    const float *e = ref_find(m, "model.embed_tokens.weight");
    double *x = calloc(n * s->hidden, sizeof *x);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < s->hidden; c++) x[i * s->hidden + c] = (double)e[(size_t)ids[i] * s->hidden + c];
    for (size_t l = 0; l < s->layers; l++) ref_layer(m, l, x, n, lo);
    for (size_t i = 0; i < n; i++)
        ref_norm(out + i * s->hidden, x + i * s->hidden, ref_find(m, "model.norm.weight"), s->hidden, s->eps);
    free(x);
}

static inline void ref_logits(const ref_model *m, const ref_lora *lo, const int32_t *ids, size_t n, double *out)
{
    const ref_spec *s = &m->s;
    const float *head = s->tied ? ref_find(m, "model.embed_tokens.weight") : ref_find(m, "lm_head.weight");
    double *nx = calloc(n * s->hidden, sizeof *nx);
    ref_hidden(m, lo, ids, n, nx);
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < s->vocab; t++) {
            double z = 0;
            for (size_t c = 0; c < s->hidden; c++) z += (double)head[t * s->hidden + c] * nx[i * s->hidden + c];
            out[i * s->vocab + t] = z;
        }
    free(nx);
}

/* Sum of the negative log likelihoods of a unit's supervised tokens. */
static inline double ref_unit_loss(const ref_model *m, ref_lora lo, const ac_unit *u)
{
    const size_t vocab = m->s.vocab;
    double *z = calloc(u->n * vocab, sizeof *z), loss = 0;
    lo.unit_index = u->index;
    for (size_t d = 0; d < u->n_docs; d++) {
        const size_t from = u->doc_start[d], to = d + 1 < u->n_docs ? u->doc_start[d + 1] : u->n;
        lo.unit_row = from;
        ref_logits(m, &lo, u->ids + from, to - from, z);
        for (size_t i = from + 1; i < to; i++) {
            if (!u->target[i]) continue;
            const double *row = z + (i - 1 - from) * vocab;
            double top = row[0], sum = 0;
            for (size_t t = 1; t < vocab; t++) top = row[t] > top ? row[t] : top;
            for (size_t t = 0; t < vocab; t++) sum += exp(row[t] - top);
            loss += top + log(sum) - row[u->ids[i]];
        }
    }
    free(z);
    return loss;
}

/* ---- units and adapters ------------------------------------------------------------------------------------------ */

enum { REF_UNIT_TOKENS = 40, REF_UNITS = 8 };
typedef struct {
    int32_t ids[REF_UNITS][REF_UNIT_TOKENS];
    uint8_t target[REF_UNITS][REF_UNIT_TOKENS];
    uint32_t start[REF_UNITS][3];
    ac_unit unit[REF_UNITS];
    size_t n, supervised;
} ref_units;

/* n units of 5 to 5 + spread tokens; every other one holds two or three documents. */
static inline void ref_make_units(ref_units *r, size_t n, size_t spread, size_t vocab, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->n = n;
    for (size_t u = 0; u < n; u++) {
        const size_t len = 5 + ac_rng_below(seed, AC_RNG_TEST, 1000 + u, 0, (uint32_t)spread + 1);
        const size_t docs = u % 2 == 0 ? 1 : len > 9 ? 3 : 2;
        for (size_t d = 0; d < docs; d++) r->start[u][d] = (uint32_t)(d * len / docs);
        for (size_t i = 0; i < len; i++) {
            r->ids[u][i] = (int32_t)ac_rng_below(seed, AC_RNG_TEST, 2000 + u, i, (uint32_t)vocab);
            r->target[u][i] = i && (u == 3 ? i == len - 1 : ac_rng_below(seed, AC_RNG_TEST, 3000 + u, i, 3) > 0);
        }
        for (size_t d = 0; d < docs; d++) r->target[u][r->start[u][d]] = 0;
        for (size_t i = 0; i < len; i++) r->supervised += r->target[u][i];
        r->unit[u] = (ac_unit){ r->ids[u], r->target[u], len, r->start[u], docs, 5 + u };
    }
}

/* Random A and B, both not zero. */
static inline void ref_fill_adapter(ac_adapter *a, uint64_t seed)
{
    for (size_t i = 0; i < a->n_params; i++)
        a->params[i] = 0.4f * (2.0f * ac_rng_unit(seed, AC_RNG_TEST, 77, i) - 1.0f);
    for (size_t i = 0; a->dora && i < a->n_modules; i++)         /* magnitudes near a row's length, some negative */
        for (size_t o = 0; o < a->module[i].out; o++) a->params[a->module[i].m_at + o] += o % 5 ? 0.7f : -0.6f;
    ac_adapter_changed(a);
}

/* ---- one opened model ------------------------------------------------------------------------------------------ */

typedef struct {
    ref_model ref;
    const char *dir;
    ac_device *dev;
    ac_model *model;
} ref_open;

static inline bool ref_open_spec(ref_open *o, ref_spec s, ac_cpu tier, size_t threads)
{
    ac_err err = { 0 };
    memset(o, 0, sizeof *o);
    ref_make(&o->ref, s);
    o->dir = ref_temp();
    if (o->dir && !ref_write_hf(&o->ref, o->dir, &err) && !ac_device_open_cpu(&o->dev, tier, threads, &err) &&
        !ac_model_open(&o->model, o->dev, o->dir, &err))
        return true;
    fprintf(stderr, "ref_open: %s\n", err.text);
    return false;
}

static inline void ref_close(ref_open *o)
{
    ac_model_close(&o->model);
    ac_device_close(&o->dev);
    ref_free(&o->ref);
    if (o->dir) (void)ac_remove_tree(o->dir, NULL);
}

#endif
