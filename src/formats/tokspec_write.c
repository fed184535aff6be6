/* A byte-level tokenizer as Hugging Face's files, so that weights trained from a GGUF can be loaded by anyone. */
#include <string.h>

#include "base/file.h"
#include "formats/json.h"
#include "formats/tokspec_int.h"

ac_status ac_tokspec_can_write(const ac_tokspec *s, ac_err *err)
{
    if (s->model == AC_TOK_BPE_BYTES) return AC_OK;
    return ac_fail(err, AC_EARG, AC_VIEW_FMT ": its SentencePiece-style tokenizer cannot be written as a tokenizer.json; "
                   "start from the model's Hugging Face folder, or tune with lora", AC_VIEW_ARG(s->source));
}

static void byte_level(ac_jw *w, const char *key, bool prefix, bool use_regex)
{
    ac_jw_object(w, key);
    ac_jw_cstr(w, "type", "ByteLevel");
    ac_jw_bool(w, "add_prefix_space", prefix);
    ac_jw_bool(w, "trim_offsets", true);
    ac_jw_bool(w, "use_regex", use_regex);
    ac_jw_end_object(w);
}

static void split(ac_jw *w, const char *regex)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "type", "Split");
    ac_jw_object(w, "pattern");
    ac_jw_cstr(w, "Regex", regex);
    ac_jw_end_object(w);
    ac_jw_cstr(w, "behavior", "Isolated");
    ac_jw_bool(w, "invert", false);
    ac_jw_end_object(w);
}

static void digits(ac_jw *w, bool individual)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "type", "Digits");
    ac_jw_bool(w, "individual_digits", individual);
    ac_jw_end_object(w);
}

static void pre_tokenizer(ac_jw *w, const ac_tokspec *s)
{
    const bool prefix = s->prefix != AC_PREFIX_NONE;
    if (s->pre == AC_PRE_GPT2 || s->pre == AC_PRE_NONE) {
        byte_level(w, "pre_tokenizer", prefix, true);
        return;
    }
    ac_jw_object(w, "pre_tokenizer");
    ac_jw_cstr(w, "type", "Sequence");
    ac_jw_array(w, "pretokenizers");
    if (s->pre == AC_PRE_SMOLLM) {
        digits(w, true);
        byte_level(w, NULL, prefix, true);
    } else if (s->pre == AC_PRE_FALCON) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "type", "Punctuation");
        ac_jw_cstr(w, "behavior", "Contiguous");
        ac_jw_end_object(w);
        byte_level(w, NULL, prefix, true);
        digits(w, false);
        split(w, "[0-9][0-9][0-9]");
    } else {
        split(w, ac_spec_regex(s->pre));
        byte_level(w, NULL, prefix, false);
    }
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static bool is_added(const ac_tokspec *s, uint32_t i)
{
    return s->type[i] == AC_TOK_CONTROL || s->type[i] == AC_TOK_USER || s->flags[i] & AC_TOKF_ADDED;
}

static void added_tokens(ac_jw *w, const ac_tokspec *s)
{
    ac_jw_array(w, "added_tokens");
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        if (!is_added(s, i)) continue;
        ac_jw_object(w, NULL);
        ac_jw_u64(w, "id", i);
        ac_jw_str(w, "content", s->token[i]);
        ac_jw_bool(w, "single_word", false);
        ac_jw_bool(w, "lstrip", s->flags[i] & AC_TOKF_LSTRIP);
        ac_jw_bool(w, "rstrip", s->flags[i] & AC_TOKF_RSTRIP);
        ac_jw_bool(w, "normalized", s->flags[i] & AC_TOKF_NORMALIZED);
        ac_jw_bool(w, "special", s->type[i] == AC_TOK_CONTROL);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
}

static void special_piece(ac_jw *w, const ac_tokspec *s, int32_t id)
{
    ac_jw_object(w, NULL);
    ac_jw_object(w, "SpecialToken");
    ac_jw_str(w, "id", s->token[id]);
    ac_jw_u64(w, "type_id", 0);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
}

static void special_entry(ac_jw *w, ac_str *name, const ac_tokspec *s, int32_t id)
{
    ac_str_reset(name);
    ac_str_append(name, s->token[id]);
    ac_jw_object(w, ac_str_c(name));
    ac_jw_str(w, "id", s->token[id]);
    ac_jw_array(w, "ids");
    ac_jw_i64(w, NULL, id);
    ac_jw_end_array(w);
    ac_jw_array(w, "tokens");
    ac_jw_str(w, NULL, s->token[id]);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static void post_processor(ac_jw *w, const ac_tokspec *s, ac_str *name)
{
    const bool bos = s->add_bos && s->bos >= 0, eos = s->add_eos && s->eos >= 0;
    if (!bos && !eos) {
        byte_level(w, "post_processor", false, true);
        return;
    }
    ac_jw_object(w, "post_processor");
    ac_jw_cstr(w, "type", "TemplateProcessing");
    ac_jw_array(w, "single");
    if (bos) special_piece(w, s, s->bos);
    ac_jw_object(w, NULL);
    ac_jw_object(w, "Sequence");
    ac_jw_cstr(w, "id", "A");
    ac_jw_u64(w, "type_id", 0);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
    if (eos) special_piece(w, s, s->eos);
    ac_jw_end_array(w);
    ac_jw_array(w, "pair");
    ac_jw_end_array(w);
    ac_jw_object(w, "special_tokens");
    if (bos) special_entry(w, name, s, s->bos);
    if (eos && (!bos || s->eos != s->bos)) special_entry(w, name, s, s->eos);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
}

static void model(ac_jw *w, const ac_tokspec *s, ac_str *name)
{
    ac_jw_object(w, "model");
    ac_jw_cstr(w, "type", "BPE");
    ac_jw_null(w, "dropout");
    ac_jw_null(w, "unk_token");
    ac_jw_null(w, "continuing_subword_prefix");
    ac_jw_null(w, "end_of_word_suffix");
    ac_jw_bool(w, "fuse_unk", s->fuse_unk);
    ac_jw_bool(w, "byte_fallback", s->byte_fallback);
    ac_jw_bool(w, "ignore_merges", s->ignore_merges);
    ac_jw_object(w, "vocab");
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        ac_str_reset(name);
        ac_str_append(name, s->token[i]);
        ac_jw_u64(w, ac_str_c(name), i);
    }
    ac_jw_end_object(w);
    ac_jw_array(w, "merges");
    for (uint32_t i = 0; i < s->n_merges; i++) {
        ac_jw_array(w, NULL);
        ac_jw_str(w, NULL, s->token[s->merge[i][0]]);
        ac_jw_str(w, NULL, s->token[s->merge[i][1]]);
        ac_jw_end_array(w);
    }
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static void tokenizer_json(ac_jw *w, const ac_tokspec *s, ac_str *name)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "version", "1.0");
    ac_jw_null(w, "truncation");
    ac_jw_null(w, "padding");
    added_tokens(w, s);
    if (s->nfc) {
        ac_jw_object(w, "normalizer");
        ac_jw_cstr(w, "type", "NFC");
        ac_jw_end_object(w);
    } else {
        ac_jw_null(w, "normalizer");
    }
    pre_tokenizer(w, s);
    post_processor(w, s, name);
    byte_level(w, "decoder", true, true);
    model(w, s, name);
    ac_jw_end_object(w);
}

static void named(ac_jw *w, const char *key, const ac_tokspec *s, int32_t id)
{
    if (id >= 0) ac_jw_str(w, key, s->token[id]);
}

static void tokenizer_config(ac_jw *w, const ac_tokspec *s)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "tokenizer_class", "PreTrainedTokenizerFast");
    named(w, "bos_token", s, s->bos);
    named(w, "eos_token", s, s->eos);
    named(w, "unk_token", s, s->unk);
    named(w, "pad_token", s, s->pad);
    if (s->chat_template.ptr) ac_jw_str(w, "chat_template", s->chat_template);
    ac_jw_end_object(w);
}

static ac_status put(const char *dir, const char *name, ac_str *text, ac_err *err)
{
    ac_arena arena = { 0 };
    const char *path = ac_path_join(&arena, dir, name);
    ac_str_append_char(text, '\n');
    ac_status st = path && ac_str_ok(text) ? AC_OK : ac_fail_nomem(err, text->len);
    if (!st) st = ac_file_write_atomic(path, text->ptr, text->len, err);
    ac_arena_release(&arena);
    ac_str_reset(text);
    return st;
}

ac_status ac_tokspec_write_folder(const ac_tokspec *s, const char *dir, ac_err *err)
{
    ac_str text = { 0 }, name = { 0 };
    ac_jw w;
    ac_status st = ac_tokspec_can_write(s, err);
    ac_jw_init(&w, &text, false);
    if (!st) {
        tokenizer_json(&w, s, &name);
        st = ac_str_ok(&name) ? put(dir, "tokenizer.json", &text, err) : ac_fail_nomem(err, name.len);
    }
    ac_jw_init(&w, &text, true);
    if (!st) {
        tokenizer_config(&w, s);
        st = put(dir, "tokenizer_config.json", &text, err);
    }
    ac_str_release(&text);
    ac_str_release(&name);
    return st;
}
