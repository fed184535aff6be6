/* model/full_folder.c - what makes trained weights a model that anyone can load: config.json beside them, and the base's
 * tokenizer. A base from Hugging Face keeps its own config.json but for the stored type; one from a GGUF gets one of
 * the same meaning. */
#include <string.h>
#include "base/file.h"
#include "formats/tokspec.h"
#include "model/model_int.h"

enum { CONFIG_MAX = 1 << 20, TOKENIZER_MAX = 256 << 20 };

static void member(ac_str *out, bool *first, ac_view key, ac_view value)
{
    ac_str_append_c(out, *first ? "{\n  " : ",\n  ");
    *first = false;
    ac_json_quote(out, key);
    ac_str_append_c(out, ": ");
    ac_str_append(out, value);
}

/* The base's own, in its order; transformers 5 says dtype, older ones torch_dtype. */
static ac_status rewrite_config(ac_str *out, const char *path, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str value = { 0 };
    const ac_json *root = NULL;
    const ac_json_limits limits = { .max_bytes = CONFIG_MAX, .max_values = 100000 };
    bool first = true;
    ac_status st = ac_json_parse_file(&root, path, &arena, &limits, err);
    for (const ac_json *c = st ? NULL : root->child; c; c = c->next) {
        const bool type = ac_view_eq_str(c->key, "dtype") || ac_view_eq_str(c->key, "torch_dtype");
        ac_str_reset(&value);
        if (type) ac_str_append_c(&value, "\"float32\"");
        else ac_json_write(&value, c);
        if (!ac_str_ok(&value)) out->failed = true;
        member(out, &first, c->key, ac_str_view(&value));
    }
    ac_str_append_c(out, "\n}\n");
    ac_str_release(&value);
    ac_arena_release(&arena);
    return st;
}

static void write_rope(ac_jw *w, const ac_model_config *c)
{
    ac_jw_f64(w, "rope_theta", c->rope_theta);
    if (!c->rope_scaling) return;
    ac_jw_object(w, "rope_scaling");
    ac_jw_cstr(w, "rope_type", c->rope_scaling == 1 ? "linear" : "llama3");
    ac_jw_f64(w, "factor", c->rope_factor);
    if (c->rope_scaling == 2) {
        ac_jw_f64(w, "low_freq_factor", c->rope_low);
        ac_jw_f64(w, "high_freq_factor", c->rope_high);
        ac_jw_f64(w, "original_max_position_embeddings", c->rope_original);
    }
    ac_jw_end_object(w);
}

static void compose_config(ac_str *out, const ac_model *m, const ac_tokspec *t)
{
    const ac_model_config *c = &m->cfg;
    const bool mistral = m->src.family == &ac_family_llama && c->window > 0;
    ac_jw w;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_array(&w, "architectures");
    ac_jw_cstr(&w, NULL, mistral ? "MistralForCausalLM" : m->src.family->hf_class[0]);
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "model_type", mistral ? "mistral" : m->src.family->hf_type[0]);
    ac_jw_cstr(&w, "torch_dtype", "float32");
    ac_jw_cstr(&w, "hidden_act", "silu");
    ac_jw_u64(&w, "vocab_size", c->vocab);
    ac_jw_u64(&w, "hidden_size", c->hidden);
    ac_jw_u64(&w, "intermediate_size", c->ffn);
    ac_jw_u64(&w, "num_hidden_layers", c->n_layers);
    ac_jw_u64(&w, "num_attention_heads", c->n_heads);
    ac_jw_u64(&w, "num_key_value_heads", c->n_kv_heads);
    ac_jw_u64(&w, "head_dim", c->head_dim);
    ac_jw_u64(&w, "max_position_embeddings", c->context);
    ac_jw_f64(&w, "rms_norm_eps", c->rms_eps);
    if (mistral) ac_jw_u64(&w, "sliding_window", c->window);
    write_rope(&w, c);
    ac_jw_bool(&w, "tie_word_embeddings", c->tied_output);
    if (t->bos >= 0) ac_jw_i64(&w, "bos_token_id", t->bos);
    if (t->eos >= 0) ac_jw_i64(&w, "eos_token_id", t->eos);
    ac_jw_end_object(&w);
    ac_str_append_char(out, '\n');
}

/* Files of a tokenizer, those of them that are there. */
static ac_status copy_tokenizer(const char *from, const char *to, ac_err *err)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                         "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
                                         "generation_config.json" };
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < AC_COUNTOF(names); i++) {
        ac_arena arena = { 0 };
        ac_str text = { 0 };
        const char *in = ac_path_join(&arena, from, names[i]), *out = ac_path_join(&arena, to, names[i]);
        if (!in || !out) st = ac_fail_nomem(err, strlen(from) + strlen(to));
        else if (ac_path_exists(in)) {
            st = ac_file_read(&text, in, TOKENIZER_MAX, err);
            if (!st) st = ac_file_write_atomic(out, text.ptr, text.len, err);
        }
        ac_str_release(&text);
        ac_arena_release(&arena);
    }
    return st;
}

static ac_status write_config(const char *dir, const ac_str *text, ac_err *err)
{
    ac_arena arena = { 0 };
    const char *path = ac_path_join(&arena, dir, "config.json");
    ac_status st = path && ac_str_ok(text) ? AC_OK : ac_fail_nomem(err, text->len);
    if (!st) st = ac_file_write_atomic(path, text->ptr, text->len, err);
    ac_arena_release(&arena);
    return st;
}

static ac_status complete_from_gguf(const ac_model *m, const char *dir, ac_str *config, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_tokspec spec;
    ac_status st = ac_tokspec_from_gguf(&spec, m->src.gguf, &arena, err);
    if (!st) st = ac_tokspec_write_folder(&spec, dir, err);
    if (!st) compose_config(config, m, &spec);
    ac_arena_release(&arena);
    return st;
}

ac_status ac_full_complete(const ac_model *m, const char *dir, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str config = { 0 };
    ac_status st = AC_OK;
    if (m->src.gguf) {
        st = complete_from_gguf(m, dir, &config, err);
    } else {
        const char *path = ac_path_join(&arena, m->path, "config.json");
        st = path ? copy_tokenizer(m->path, dir, err) : ac_fail_nomem(err, strlen(m->path));
        if (!st) st = rewrite_config(&config, path, err);
    }
    if (!st) st = write_config(dir, &config, err);
    ac_str_release(&config);
    ac_arena_release(&arena);
    return st;
}

/* The folder of a path that may name tokenizer.json itself. */
static const char *folder_of(ac_arena *a, const char *path)
{
    if (ac_path_is_dir(path)) return path;
    const char *slash = strrchr(path, '/');
    return slash ? ac_arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path)) : ".";
}

ac_status ac_full_describe(const char *dir, const char *config, const char *tokenizer, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str text = { 0 };
    const char *from = folder_of(&arena, tokenizer);
    ac_status st = from ? copy_tokenizer(from, dir, err) : ac_fail_nomem(err, strlen(tokenizer));
    if (!st) st = rewrite_config(&text, config, err);
    if (!st) st = write_config(dir, &text, err);
    ac_str_release(&text);
    ac_arena_release(&arena);
    return st;
}

ac_status ac_full_check(const ac_model *m, ac_err *err)
{
    if (!m->src.gguf) return AC_OK;
    if (ac_tensors_find(m->src.tensors, "rope_freqs.weight"))
        return ac_fail(err, AC_EARG, "%s: holds rotary factors (rope_freqs.weight) that no config.json can say; train all "
                       "weights from the model's safetensors, or tune with lora", m->path);
    ac_arena arena = { 0 };
    ac_tokspec spec;
    ac_status st = ac_tokspec_from_gguf(&spec, m->src.gguf, &arena, err);
    if (!st) st = ac_tokspec_can_write(&spec, err);
    ac_arena_release(&arena);
    return st;
}
