/* A tokenizer's description from the tokenizer.ggml.* keys of a GGUF. */
#include <string.h>

#include "formats/tokspec.h"
#include "formats/tokspec_int.h"

#define KEY(x) "tokenizer.ggml." x

typedef struct {
    const char *name;
    ac_tok_pre pre;
    bool ignore_merges, add_bos, nfc;
} pre_row;

/* Names that ggml's converters write for the vocabularies they know. A name missing here is refused: a near
 * miss of the pre-tokeniser changes ids without a sign. */
static const pre_row pre_rows[] = {
    { "gpt-2", AC_PRE_GPT2, false, false, false },
    { "phi-2", AC_PRE_GPT2, false, false, false },
    { "roberta-bpe", AC_PRE_GPT2, false, true, false },
    { "mpt", AC_PRE_GPT2, false, false, false },
    { "olmo", AC_PRE_GPT2, false, false, false },
    { "smollm", AC_PRE_SMOLLM, false, false, false },
    { "starcoder", AC_PRE_SMOLLM, false, false, false },
    { "refact", AC_PRE_SMOLLM, false, false, false },
    { "codeshell", AC_PRE_SMOLLM, false, false, false },
    { "llama3", AC_PRE_LLAMA3, true, true, false },
    { "llama-v3", AC_PRE_LLAMA3, true, true, false },
    { "llama-bpe", AC_PRE_LLAMA3, true, true, false },
    { "falcon3", AC_PRE_LLAMA3, true, true, false },
    { "dbrx", AC_PRE_LLAMA3, false, false, false },
    { "smaug-bpe", AC_PRE_LLAMA3, false, false, false },
    { "qwen2", AC_PRE_QWEN2, false, false, true },
    { "deepseek-r1-qwen", AC_PRE_QWEN2, false, false, false },
    { "falcon", AC_PRE_FALCON, false, false, false },
};

static ac_status read_pre(ac_tokspec *s, const ac_gguf *g, const char *name, ac_err *err)
{
    ac_view pre = { NULL, 0 };
    if (!ac_gguf_has(g, KEY("pre")))
        return ac_fail(err, AC_EFORMAT, "%s: tokenizer.ggml.pre is missing, so that the splitting into words "
                       "is not known; convert the model again with a converter of 2024 or later", name);
    ac_status st = ac_gguf_str(&pre, g, KEY("pre"), err);
    if (st) return st;
    for (size_t i = 0; i < AC_COUNTOF(pre_rows); i++) {
        if (!ac_view_eq_str(pre, pre_rows[i].name)) continue;
        s->pre = pre_rows[i].pre;
        s->ignore_merges = pre_rows[i].ignore_merges;
        s->add_bos = pre_rows[i].add_bos;
        s->nfc = pre_rows[i].nfc;
        return AC_OK;
    }
    return ac_fail(err, AC_EFORMAT, "%s: tokenizer.ggml.pre is \"" AC_VIEW_FMT "\"; known are gpt-2, phi-2, "
                   "smollm, starcoder, llama-bpe, dbrx, smaug-bpe, qwen2, deepseek-r1-qwen, falcon, "
                   "falcon3, refact, codeshell, mpt, olmo, roberta-bpe", name, AC_VIEW_ARG(pre));
}

static ac_status read_bool(bool *out, const ac_gguf *g, const char *key, ac_err *err)
{
    return ac_gguf_has(g, key) ? ac_gguf_bool(out, g, key, err) : AC_OK;
}

static ac_status read_id(int32_t *out, const ac_gguf *g, const char *key, const ac_spec_build *b, ac_err *err)
{
    uint64_t v = 0;
    if (!ac_gguf_has(g, key)) return AC_OK;
    const ac_status st = ac_gguf_u64(&v, g, key, err);
    if (st) return st;
    if (v >= b->s->n_tokens)
        return ac_fail(err, AC_EFORMAT, "%s: %s is %llu, and the vocabulary has %u tokens", b->name, key,
                       (unsigned long long)v, b->s->n_tokens);
    *out = (int32_t)v;
    return AC_OK;
}

static ac_status read_tokens(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    size_t n = 0;
    ac_status st = ac_gguf_array_count(&n, g, KEY("tokens"), err);
    if (!st) st = ac_spec_alloc_tokens(b, n, err);
    if (st) return st;
    ac_view *text = ac_arena_alloc_array(b->tmp, n, sizeof *text);
    if (!text) return ac_fail_nomem(err, n * sizeof *text);
    st = ac_gguf_str_array(text, n, g, KEY("tokens"), err);
    for (size_t i = 0; !st && i < n; i++) st = ac_spec_set_token(b, (uint32_t)i, text[i], err);
    return st;
}

static ac_status check_count(size_t got, const ac_spec_build *b, const char *key, ac_err *err)
{
    if (got == b->s->n_tokens) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: %s has %zu entries and tokenizer.ggml.tokens %u; expected as many",
                   b->name, key, got, b->s->n_tokens);
}

static ac_status read_types(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    size_t n = 0;
    if (!ac_gguf_has(g, KEY("token_type"))) return AC_OK;
    ac_status st = ac_gguf_array_count(&n, g, KEY("token_type"), err);
    if (!st) st = check_count(n, b, KEY("token_type"), err);
    if (st) return st;
    int32_t *type = ac_arena_alloc_array(b->tmp, n, sizeof *type);
    if (!type) return ac_fail_nomem(err, n * sizeof *type);
    st = ac_gguf_i32_array(type, n, g, KEY("token_type"), err);
    for (size_t i = 0; !st && i < n; i++) {
        if (type[i] < AC_TOK_NORMAL || type[i] > AC_TOK_BYTE)
            return ac_fail(err, AC_EFORMAT, "%s: tokenizer.ggml.token_type[%zu] is %d; expected 1 to 6",
                           b->name, i, type[i]);
        b->s->type[i] = (uint8_t)type[i];
        if (type[i] == AC_TOK_USER && ac_spec_looks_special(b->s->token[i])) b->s->type[i] = AC_TOK_CONTROL;
    }
    return st;
}

static ac_status read_scores(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    size_t n = 0;
    if (!ac_gguf_has(g, KEY("scores"))) return AC_OK;
    ac_status st = ac_gguf_array_count(&n, g, KEY("scores"), err);
    if (!st) st = check_count(n, b, KEY("scores"), err);
    if (st) return st;
    float *score = ac_arena_alloc_array(b->a, n, sizeof *score);
    if (!score) return ac_fail_nomem(err, n * sizeof *score);
    st = ac_gguf_f32_array(score, n, g, KEY("scores"), err);
    for (size_t i = 0; !st && i < n; i++)
        if (!(score[i] >= -3.4e38f && score[i] <= 3.4e38f))
            return ac_fail(err, AC_EFORMAT, "%s: tokenizer.ggml.scores[%zu] is not finite", b->name, i);
    if (!st) b->s->score = score;
    return st;
}

static ac_status read_merges(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    size_t n = 0;
    ac_status st = ac_gguf_array_count(&n, g, KEY("merges"), err);
    if (!st) st = ac_spec_alloc_merges(b, n, err);
    if (st) return st;
    ac_view *line = ac_arena_alloc_array(b->tmp, n, sizeof *line);
    if (!line) return ac_fail_nomem(err, n * sizeof *line);
    st = ac_gguf_str_array(line, n, g, KEY("merges"), err);
    for (size_t i = 0; !st && i < n; i++) st = ac_spec_set_merge_line(b, (uint32_t)i, line[i], err);
    return st;
}

static ac_status read_ids(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    ac_tokspec *s = b->s;
    ac_status st = read_id(&s->bos, g, KEY("bos_token_id"), b, err);
    if (!st) st = read_id(&s->eos, g, KEY("eos_token_id"), b, err);
    if (!st) st = read_id(&s->unk, g, KEY("unknown_token_id"), b, err);
    if (!st) st = read_id(&s->pad, g, KEY("padding_token_id"), b, err);
    if (!st) st = read_id(&s->eot, g, KEY("eot_token_id"), b, err);
    if (!st) st = read_bool(&s->add_bos, g, KEY("add_bos_token"), err);
    if (!st) st = read_bool(&s->add_eos, g, KEY("add_eos_token"), err);
    return st;
}

/* Phi-3's special tokens swallow the white space after them; the GGUF has no field for it. */
static ac_status mark_phi3(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    ac_view arch = { NULL, 0 };
    if (!ac_gguf_has(g, "general.architecture")) return AC_OK;
    const ac_status st = ac_gguf_str(&arch, g, "general.architecture", err);
    if (st || !ac_view_eq_str(arch, "phi3")) return st;
    for (uint32_t i = 0; i < b->s->n_tokens; i++) {
        const ac_view t = b->s->token[i];
        if (b->s->type[i] != AC_TOK_CONTROL && b->s->type[i] != AC_TOK_USER) continue;
        if (ac_view_eq_str(t, "<s>") || ac_view_eq_str(t, "<|endoftext|>")) continue;
        b->s->flags[i] |= AC_TOKF_RSTRIP;
    }
    return AC_OK;
}

static ac_status read_spm(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    ac_tokspec *s = b->s;
    bool prefix = true, squeeze = false;
    ac_status st = read_bool(&prefix, g, KEY("add_space_prefix"), err);
    if (!st) st = read_bool(&squeeze, g, KEY("remove_extra_whitespaces"), err);
    if (st) return st;
    if (squeeze || ac_gguf_has(g, KEY("precompiled_charsmap")))
        return ac_fail(err, AC_EFORMAT, "%s: the tokenizer normalises text by %s, which is not supported",
                       b->name, squeeze ? "removing white space" : "a precompiled character map");
    s->prefix = prefix ? AC_PREFIX_ALWAYS : AC_PREFIX_NONE;
    s->byte_fallback = s->fuse_unk = true;
    st = read_scores(b, g, err);
    if (!st && !s->score && ac_gguf_has(g, KEY("merges"))) return read_merges(b, g, err);
    if (!st && !s->score)
        return ac_fail(err, AC_EFORMAT, "%s: neither tokenizer.ggml.scores nor tokenizer.ggml.merges is there",
                       b->name);
    return st;
}

static ac_status read_model(ac_spec_build *b, const ac_gguf *g, ac_err *err)
{
    ac_tokspec *s = b->s;
    ac_view model = { NULL, 0 };
    ac_status st = ac_gguf_str(&model, g, KEY("model"), err);
    if (!st) st = read_tokens(b, g, err);
    if (!st) st = read_types(b, g, err);
    if (st) return st;
    if (ac_view_eq_str(model, "gpt2")) {
        s->model = AC_TOK_BPE_BYTES;
        st = read_pre(s, g, b->name, err);
        if (!st) st = read_merges(b, g, err);
    } else if (ac_view_eq_str(model, "llama")) {
        s->model = AC_TOK_BPE_SPM;
        s->add_bos = true;
        st = read_spm(b, g, err);
    } else {
        return ac_fail(err, AC_EFORMAT, "%s: tokenizer.ggml.model is \"" AC_VIEW_FMT "\"; supported are gpt2 "
                       "(byte-level BPE) and llama (SentencePiece-style BPE)", b->name, AC_VIEW_ARG(model));
    }
    return st;
}

ac_status ac_tokspec_from_gguf(ac_tokspec *out, const ac_gguf *g, ac_arena *a, ac_err *err)
{
    ac_arena tmp = { 0 };
    ac_tokspec s = { 0 };
    ac_spec_build b = { .s = &s, .a = a, .tmp = &tmp, .name = ac_gguf_path(g) };
    ac_status st = read_model(&b, g, err);
    if (!st) st = read_ids(&b, g, err);
    if (!st) st = mark_phi3(&b, g, err);
    if (!st && ac_gguf_has(g, "tokenizer.chat_template"))
        st = ac_gguf_str(&s.chat_template, g, "tokenizer.chat_template", err);
    if (!st) st = ac_spec_finish(&b, err);
    ac_arena_release(&tmp);
    if (st) return st == AC_ENOENT ? AC_EFORMAT : st;   /* the file is there, a key in it is not */
    s.source = ac_view_of(ac_gguf_path(g));
    *out = s;
    return AC_OK;
}
