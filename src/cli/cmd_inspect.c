#include "base/file.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/load.h"
#include "cli/table.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/tensors.h"

static struct {
    const char *path;
    bool all;
} a;

static const ac_opt options[] = {
    AC_OPT_ARG("PATH", &a.path, "GGUF file, folder, .safetensors file, or a pulled model's name"),
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL(0, "all", &a.all, "list every tensor and key in the text too; --json always does"),
    AC_OPT_END
};

typedef struct {
    ac_loaded l;
    ac_gguf *gguf;
    ac_tensors *own;                 /* of a safetensors file or folder */
    const ac_tensors *tensors;
    bool has_config;
    ac_model_config config;
    const char *chat;                /* format's name, or NULL */
    ac_err chat_why;                 /* why there is none */
    uint64_t bytes;                  /* of all tensors */
} facts;

/* The tokenizer is part of the model only where its file is; a model without one is still a model. */
static void look_at_tokenizer(facts *f)
{
    if (ac_load_tokenizer(&f->l, f->l.path, &f->chat_why)) return;
    if (ac_load_chat(&f->l, NULL, &f->chat_why)) return;
    f->chat = ac_chat_format_name(ac_chat_format_of(f->l.chat));
}

static ac_status gather(facts *f, ac_err *err)
{
    ac_status st = ac_model_locate(&f->l.path, &f->l.arena, a.path, err);
    if (st) return st;
    const bool tensors_only = ac_view_ends(ac_view_of(f->l.path), AC_VIEW(".safetensors"));
    const bool hf = tensors_only || ac_path_is_dir(f->l.path);
    if (hf) st = ac_safetensors_open(&f->own, f->l.path, err);
    else st = ac_gguf_open(&f->gguf, f->l.path, err);
    if (st) return st;
    f->tensors = hf ? f->own : ac_gguf_tensors(f->gguf);
    for (size_t i = 0; i < ac_tensors_count(f->tensors); i++)
        f->bytes += ac_tensors_at(f->tensors, i)->bytes;
    if (tensors_only) return AC_OK;
    st = ac_model_read_config(&f->config, f->l.path, err);
    if (st) return st;
    f->has_config = true;
    look_at_tokenizer(f);
    return AC_OK;
}

static void config_json(ac_jw *w, const ac_model_config *c)
{
    ac_jw_object(w, "config");
    ac_jw_cstr(w, "family", c->family);
    ac_jw_u64(w, "layers", c->n_layers);
    ac_jw_u64(w, "hidden", c->hidden);
    ac_jw_u64(w, "ffn", c->ffn);
    ac_jw_u64(w, "heads", c->n_heads);
    ac_jw_u64(w, "kv_heads", c->n_kv_heads);
    ac_jw_u64(w, "head_dim", c->head_dim);
    ac_jw_u64(w, "vocab", c->vocab);
    ac_jw_u64(w, "context", c->context);
    ac_jw_u64(w, "window", c->window);
    ac_jw_f64(w, "rms_eps", c->rms_eps);
    ac_jw_f64(w, "rope_theta", c->rope_theta);
    ac_jw_cstr(w, "rope_scaling", c->rope_scaling == 0 ? NULL : c->rope_scaling == 1 ? "linear" : "llama3");
    if (c->rope_scaling) ac_jw_f64(w, "rope_factor", c->rope_factor);
    ac_jw_bool(w, "tied_output", c->tied_output);
    ac_jw_bool(w, "qkv_bias", c->qkv_bias);
    ac_jw_bool(w, "qk_norm", c->qk_norm);
    ac_jw_u64(w, "parameters", c->n_params);
    ac_jw_u64(w, "weight_bytes", c->weight_bytes);
    ac_jw_cstr(w, "weight_types", c->weight_types);
    ac_jw_cstr(w, "source", c->source);
    ac_jw_end_object(w);
}

static void tokenizer_json(ac_jw *w, const facts *f)
{
    if (!f->l.tokenizer) {
        ac_jw_null(w, "tokenizer");
        return;
    }
    ac_jw_object(w, "tokenizer");
    ac_jw_cstr(w, "kind", ac_tokenizer_describe(f->l.tokenizer));
    ac_jw_u64(w, "tokens", ac_tokenizer_size(f->l.tokenizer));
    ac_jw_i64(w, "bos", ac_tokenizer_bos(f->l.tokenizer));
    ac_jw_i64(w, "eos", ac_tokenizer_eos(f->l.tokenizer));
    ac_jw_cstr(w, "chat_format", f->chat);
    ac_jw_end_object(w);
}

static void tensors_json(ac_jw *w, const ac_tensors *tensors)
{
    ac_jw_array(w, "tensors");
    for (size_t i = 0; i < ac_tensors_count(tensors); i++) {
        const ac_tensor *t = ac_tensors_at(tensors, i);
        ac_jw_object(w, NULL);
        ac_jw_str(w, "name", t->name);
        ac_jw_cstr(w, "type", ac_dtype_name(t->type));
        ac_jw_array(w, "shape");
        for (uint32_t d = 0; d < t->n_dims; d++) ac_jw_u64(w, NULL, t->dim[d]);
        ac_jw_end_array(w);
        ac_jw_u64(w, "bytes", t->bytes);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
}

static void keys_json(ac_jw *w, const ac_gguf *g)
{
    ac_str value = { 0 };
    ac_jw_array(w, "keys");
    for (size_t i = 0; i < ac_gguf_key_count(g); i++) {
        ac_str_reset(&value);
        ac_jw_object(w, NULL);
        ac_jw_str(w, "key", ac_gguf_key_at(g, i, &value));
        ac_jw_str(w, "value", ac_str_view(&value));
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    if (!ac_str_ok(&value)) w->out->failed = true;
    ac_str_release(&value);
}

static void as_json(ac_str *s, const facts *f)
{
    ac_jw w;
    ac_jw_init(&w, s, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "path", f->l.path);
    if (f->gguf) ac_jw_u64(&w, "gguf_version", ac_gguf_version(f->gguf));
    if (f->has_config) {
        config_json(&w, &f->config);
        tokenizer_json(&w, f);
    }
    ac_jw_u64(&w, "tensor_count", ac_tensors_count(f->tensors));
    ac_jw_u64(&w, "tensor_bytes", f->bytes);
    tensors_json(&w, f->tensors);
    if (f->gguf) keys_json(&w, f->gguf);
    ac_jw_end_object(&w);
}

static void config_text(ac_str *s, const ac_model_config *c)
{
    char params[32], bytes[32];
    ac_human_count(params, c->n_params);
    ac_human_bytes(bytes, c->weight_bytes);
    ac_str_appendf(s, "family     %s, from %s\n", c->family, c->source);
    ac_str_appendf(s, "size       %s parameters, %s: %s\n", params, bytes, c->weight_types);
    ac_str_appendf(s, "layers     %zu of width %zu, inner %zu\n", c->n_layers, c->hidden, c->ffn);
    ac_str_appendf(s, "attention  %zu heads of %zu, %zu for keys and values%s%s\n", c->n_heads, c->head_dim,
                   c->n_kv_heads, c->qkv_bias ? ", with bias" : "", c->qk_norm ? ", q and k normalised" : "");
    ac_str_appendf(s, "context    %zu tokens", c->context);
    if (c->window) ac_str_appendf(s, ", window %zu", c->window);
    ac_str_appendf(s, "; rope base %g%s\n", c->rope_theta,
                   c->rope_scaling == 0 ? "" : c->rope_scaling == 1 ? ", scaled linearly" : ", scaled as Llama 3");
    ac_str_appendf(s, "vocabulary %zu%s\n", c->vocab, c->tied_output ? ", output tied to the embedding" : "");
}

static ac_status tensors_text(ac_str *s, const ac_cli *cli, const ac_tensors *tensors, ac_err *err)
{
    static const char *const head[] = { "tensor", "type", "shape", "bytes" };
    ac_table t;
    ac_table_init(&t, "lllr", head);
    for (size_t i = 0; i < ac_tensors_count(tensors); i++) {
        const ac_tensor *e = ac_tensors_at(tensors, i);
        char shape[128] = "", bytes[32];
        for (uint32_t d = 0, n = 0; d < e->n_dims && n < sizeof shape; d++)
            n += (uint32_t)snprintf(shape + n, sizeof shape - n, "%s%zu", d ? " x " : "", e->dim[d]);
        ac_human_count(bytes, e->bytes);
        ac_table_cell(&t, e->name);
        ac_table_cell(&t, ac_view_of(ac_dtype_name(e->type)));
        ac_table_cell(&t, ac_view_of(shape));
        ac_table_cell(&t, ac_view_of(bytes));
    }
    ac_str_append_char(s, '\n');
    const ac_status st = ac_table_render(&t, s, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    return st;
}

static ac_status keys_text(ac_str *s, const ac_cli *cli, const ac_gguf *g, ac_err *err)
{
    static const char *const head[] = { "key", "value" };
    ac_table t;
    ac_str value = { 0 };
    ac_table_init(&t, "ll", head);
    for (size_t i = 0; i < ac_gguf_key_count(g); i++) {
        ac_str_reset(&value);
        ac_table_cell(&t, ac_gguf_key_at(g, i, &value));
        ac_table_cell(&t, ac_str_view(&value));
    }
    ac_str_append_char(s, '\n');
    ac_status st = ac_table_render(&t, s, cli->out_tty ? cli->width : 0, cli->color, err);
    if (!st && !ac_str_ok(&value)) st = ac_fail_nomem(err, value.len);
    ac_table_release(&t);
    ac_str_release(&value);
    return st;
}

static ac_status as_text(ac_str *s, const ac_cli *cli, const facts *f, ac_err *err)
{
    char bytes[32];
    ac_status st = AC_OK;
    ac_human_bytes(bytes, f->bytes);
    ac_str_append_c(s, "path       ");
    ac_cli_foreign(s, cli, ac_view_of(f->l.path));
    ac_str_append_char(s, '\n');
    if (f->has_config) config_text(s, &f->config);
    if (f->l.tokenizer) ac_str_appendf(s, "tokenizer  %s\n", ac_tokenizer_describe(f->l.tokenizer));
    if (f->chat) ac_str_appendf(s, "chat       %s\n", f->chat);
    else if (f->has_config) ac_str_appendf(s, "chat       none: %s\n", f->chat_why.text);
    ac_str_appendf(s, "tensors    %zu, %s\n", ac_tensors_count(f->tensors), bytes);
    if (a.all) st = tensors_text(s, cli, f->tensors, err);
    if (!st && a.all && f->gguf) st = keys_text(s, cli, f->gguf, err);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    facts f = { .chat = NULL };
    ac_str s = { 0 };
    ac_status st = gather(&f, err);
    if (!st && cli->json) as_json(&s, &f);
    else if (!st) st = as_text(&s, cli, &f, err);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_loaded_release(&f.l);
    ac_tensors_close(&f.own);
    ac_gguf_close(&f.gguf);
    return st;
}

const ac_cmd ac_cmd_model_inspect = {
    .name = "model inspect",
    .group = "Start",
    .summary = "what a model file or folder holds",
    .text = "Shows family, sizes, attention, context, tokenizer and chat format, and checks the file's whole "
            "layout on the way; weights are not read.",
    .options = options,
    .run = run,
};
