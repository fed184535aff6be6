/* model/config.c - families by name, checks that hold for every container, and opening a source. */
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/size.h"
#include "model/model_int.h"

static const ac_family *const families[] = { &ac_family_llama, &ac_family_qwen2, &ac_family_qwen3 };

const ac_family *ac_family_by_hf(ac_view model_type)
{
    for (size_t i = 0; i < AC_COUNTOF(families); i++)
        for (size_t j = 0; j < AC_COUNTOF(families[i]->hf_type); j++)
            if (families[i]->hf_type[j] && ac_view_eq_str(model_type, families[i]->hf_type[j]))
                return families[i];
    return NULL;
}

const ac_family *ac_family_by_gguf(ac_view architecture)
{
    for (size_t i = 0; i < AC_COUNTOF(families); i++)
        if (ac_view_eq_str(architecture, families[i]->name)) return families[i];
    return NULL;
}

const char *ac_family_list(void)
{
    return "llama, mistral, qwen2, qwen3";
}

/* ---- checks ---------------------------------------------------------------------------------------- */

static ac_status check_range(const char *where, const char *what, size_t v, size_t lo, size_t hi, ac_err *err)
{
    if (v >= lo && v <= hi) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: %s is %zu, expected %zu to %zu; the file is damaged or not a model "
                   "that this version runs", where, what, v, lo, hi);
}

static ac_status check_real(const char *where, const char *what, double v, double lo, double hi, ac_err *err)
{
    if (v > lo && v < hi) return AC_OK;          /* false for NaN */
    return ac_fail(err, AC_EFORMAT, "%s: %s is %g, expected a number between %g and %g", where, what, v, lo,
                   hi);
}

static ac_status check_rope(const ac_model_config *c, const char *where, ac_err *err)
{
    ac_status st = check_real(where, "rope theta", c->rope_theta, 1.0, 1e12, err);
    if (!st && c->rope_scaling) st = check_real(where, "rope scaling factor", c->rope_factor, 0.0, 1e6, err);
    if (st || c->rope_scaling != 2) return st;
    st = check_real(where, "rope low_freq_factor", c->rope_low, 0.0, 1e6, err);
    if (!st) st = check_real(where, "rope high_freq_factor", c->rope_high, 0.0, 1e6, err);
    if (!st) st = check_real(where, "rope original context", c->rope_original, 0.0, 1e9, err);
    if (!st && c->rope_high <= c->rope_low)
        st = ac_fail(err, AC_EFORMAT, "%s: rope high_freq_factor %g must be above low_freq_factor %g", where,
                     c->rope_high, c->rope_low);
    return st;
}

ac_status ac_config_check(const ac_model_config *c, const char *where, ac_err *err)
{
    const struct { const char *what; size_t v, lo, hi; } range[] = {
        { "number of layers", c->n_layers, 1, 1024 },
        { "hidden size", c->hidden, 1, 65536 },
        { "feed-forward size", c->ffn, 1, 1u << 20 },
        { "number of attention heads", c->n_heads, 1, 1024 },
        { "number of key/value heads", c->n_kv_heads, 1, 1024 },
        { "head width", c->head_dim, 2, 256 },
        { "vocabulary", c->vocab, 1, 1u << 24 },
        { "context length", c->context, 1, 1u << 24 },
        { "sliding window", c->window, 0, 1u << 24 },
    };
    for (size_t i = 0; i < AC_COUNTOF(range); i++) {
        const ac_status st = check_range(where, range[i].what, range[i].v, range[i].lo, range[i].hi, err);
        if (st) return st;
    }
    if (c->n_heads % c->n_kv_heads != 0)
        return ac_fail(err, AC_EFORMAT, "%s: %zu attention heads cannot share %zu key/value heads evenly",
                       where, c->n_heads, c->n_kv_heads);
    if (c->head_dim % 2 != 0)
        return ac_fail(err, AC_EFORMAT, "%s: head width %zu is odd; the rotary embedding needs pairs", where,
                       c->head_dim);
    const ac_status st = check_real(where, "RMS norm epsilon", c->rms_eps, 0.0, 1.0, err);
    return st ? st : check_rope(c, where, err);
}

void ac_config_count(ac_model_config *c, const ac_tensors *t)
{
    size_t count[AC_DTYPE_COUNT] = { 0 };
    c->n_params = 0;
    c->weight_bytes = 0;
    for (size_t i = 0; i < ac_tensors_count(t); i++) {
        const ac_tensor *x = ac_tensors_at(t, i);
        uint64_t n = 1;
        for (uint32_t k = 0; k < x->n_dims; k++) n *= x->dim[k];   /* the reader checked the product */
        c->n_params += n;
        c->weight_bytes += x->bytes;
        count[x->type]++;
    }
    size_t at = 0;
    c->weight_types[0] = '\0';
    for (;;) {                                   /* the most frequent first */
        size_t best = 0;
        for (size_t i = 1; i < AC_DTYPE_COUNT; i++)
            if (count[i] > count[best]) best = i;
        if (count[best] == 0) break;
        const int n = snprintf(c->weight_types + at, sizeof c->weight_types - at, "%s%s (%zu)",
                               at ? ", " : "", ac_dtype_name((ac_dtype)best), count[best]);
        if (n < 0 || (size_t)n >= sizeof c->weight_types - at) {
            c->weight_types[at] = '\0';
            break;
        }
        at += (size_t)n;
        count[best] = 0;
    }
}

/* ---- sources ---------------------------------------------------------------------------------------- */

static ac_status open_folder(ac_source *s, const char *path, ac_err *err)
{
    ac_arena a = { .max_bytes = 64u << 20 };
    const ac_json *root = NULL;
    char *config = ac_path_join(&a, path, "config.json");
    ac_status st = config ? AC_OK : ac_fail_nomem(err, strlen(path));
    const ac_json_limits limits = { .max_bytes = 1u << 20, .max_values = 100000 };
    if (!st) st = ac_json_parse_file(&root, config, &a, &limits, err);
    if (!st) st = ac_config_from_hf(&s->config, &s->family, root, config, err);
    if (!st) {
        const ac_json *tied = ac_json_get(root, "tie_word_embeddings");
        s->tied_known = tied != NULL;
        st = ac_config_check(&s->config, config, err);
    }
    ac_arena_release(&a);
    if (!st) st = ac_safetensors_open(&s->safetensors, path, err);
    if (!st) s->tensors = s->safetensors;
    return st;
}

static ac_status open_gguf(ac_source *s, const char *path, ac_err *err)
{
    ac_status st = ac_gguf_open(&s->gguf, path, err);
    if (!st) st = ac_config_from_gguf(&s->config, &s->family, s->gguf, err);
    if (!st) st = ac_config_check(&s->config, path, err);
    if (!st) s->tensors = ac_gguf_tensors(s->gguf);
    return st;
}

/* Formats that execute code when read, or whose weights cannot be mapped, are refused by their name. */
static ac_status refuse_other_files(const char *path, ac_err *err)
{
    static const char *const ends[] = { ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz", ".h5", ".onnx" };
    for (size_t i = 0; i < AC_COUNTOF(ends); i++)
        if (ac_view_ends(ac_view_of(path), ac_view_of(ends[i])))
            return ac_fail(err, AC_EFORMAT, "%s: %s files are not read (reading them can run code); convert the "
                           "model to safetensors or GGUF", path, ends[i]);
    if (ac_view_ends(ac_view_of(path), AC_VIEW(".safetensors")))
        return ac_fail(err, AC_EFORMAT, "%s: give the folder that holds this file and its config.json, not the "
                       "file alone", path);
    return AC_OK;
}

ac_status ac_source_open(ac_source *out, const char *path, ac_err *err)
{
    ac_source s = { 0 };
    ac_status st;
    if (ac_path_is_dir(path)) {
        st = open_folder(&s, path, err);
        if (!st) snprintf(s.config.source, sizeof s.config.source, "safetensors");
    } else {
        st = refuse_other_files(path, err);
        if (!st) st = open_gguf(&s, path, err);
        if (!st) snprintf(s.config.source, sizeof s.config.source, "gguf");
    }
    if (st) {
        ac_source_close(&s);
        return st;
    }
    ac_config_count(&s.config, s.tensors);
    const char *output = s.gguf ? "output.weight" : "lm_head.weight";
    if (!s.tied_known) s.config.tied_output = ac_tensors_find(s.tensors, output) == NULL;
    *out = s;
    return AC_OK;
}

void ac_source_close(ac_source *s)
{
    ac_gguf_close(&s->gguf);
    ac_tensors_close(&s->safetensors);
    s->tensors = NULL;
}

ac_status ac_model_read_config(ac_model_config *out, const char *path, ac_err *err)
{
    ac_source s = { 0 };
    const ac_status st = ac_source_open(&s, path, err);
    if (st) return st;
    *out = s.config;
    ac_source_close(&s);
    return AC_OK;
}
