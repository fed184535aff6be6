/* The steps around the model in a tokenizer.json: what comes before it, after it, and the settings beside it.
 * Each is recognised as a whole; a part that is not known is refused by its name (K2). */
#include <string.h>

#include "base/file.h"
#include "formats/json.h"
#include "formats/tokspec_int.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */
#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define TAIL "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The regular expressions of the known families, as their files spell them. They are compared, never run. */
static const struct { const char *regex; ac_tok_pre pre; } known_regex[] = {
    { CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", AC_PRE_GPT2 },
    { CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)", AC_PRE_GPT2 },
    { "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL,
      AC_PRE_LLAMA3 },
    { "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
      "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", AC_PRE_LLAMA3 },
    { "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" TAIL,
      AC_PRE_QWEN2 },
};

const char *ac_spec_regex(ac_tok_pre pre)
{
    for (size_t i = 0; i < AC_COUNTOF(known_regex); i++)
        if (known_regex[i].pre == pre) return known_regex[i].regex;
    return NULL;
}

static ac_view type_of(const ac_json *step)
{
    const ac_json *t = step ? ac_json_get(step, "type") : NULL;
    return t && t->type == AC_JSON_STRING ? t->text : (ac_view){ NULL, 0 };
}

static bool is_type(const ac_json *step, const char *name)
{
    return ac_view_eq_str(type_of(step), name);
}

static bool flag(const ac_json *step, const char *key, bool fallback)
{
    const ac_json *v = ac_json_get(step, key);
    return v && v->type == AC_JSON_BOOL ? v->boolean : fallback;
}

static bool text_is(const ac_json *o, const char *key, const char *want)
{
    const ac_json *v = o ? ac_json_get(o, key) : NULL;
    return v && v->type == AC_JSON_STRING && ac_view_eq_str(v->text, want);
}

static bool absent(const ac_json *v)
{
    return !v || v->type == AC_JSON_NULL;
}

/* One step, or a Sequence's, as a list; at most max. False when there are more. */
static bool steps_of(const ac_json **step, size_t *n, size_t max, const ac_json *v, const char *list_key)
{
    *n = 0;
    if (absent(v)) return true;
    if (!is_type(v, "Sequence")) {
        step[(*n)++] = v;
        return true;
    }
    const ac_json *list = ac_json_get(v, list_key);
    for (const ac_json *s = list ? list->child : NULL; s; s = s->next) {
        if (*n == max) return false;
        step[(*n)++] = s;
    }
    return true;
}

static ac_status refuse(const ac_spec_build *b, const char *part, const ac_json *step, ac_err *err)
{
    ac_view type = type_of(step);
    if (!type.ptr) type = AC_VIEW("a step without type");
    return ac_fail(err, AC_EFORMAT, "%s: %s \"" AC_VIEW_FMT "\" is not one of the known forms (GPT-2, SmolLM, "
                   "Llama 3, Qwen2, Falcon, SentencePiece-style); it is not approximated", b->name, part,
                   AC_VIEW_ARG(type));
}

/* ---- normalizer ---- */

typedef struct {
    bool nfc, prepend, replace;
} normal_form;

static ac_status read_normalizer(normal_form *out, const ac_spec_build *b, const ac_json *v, ac_err *err)
{
    const ac_json *step[4];
    size_t n;
    if (!steps_of(step, &n, AC_COUNTOF(step), v, "normalizers")) return refuse(b, "normalizer", v, err);
    for (size_t i = 0; i < n; i++) {
        if (is_type(step[i], "NFC") && !out->prepend && !out->replace) {
            out->nfc = true;
        } else if (is_type(step[i], "Prepend") && text_is(step[i], "prepend", SPACE_MARK) && !out->replace) {
            out->prepend = true;
        } else if (is_type(step[i], "Replace") && text_is(step[i], "content", SPACE_MARK) &&
                   text_is(ac_json_get(step[i], "pattern"), "String", " ")) {
            out->replace = true;
        } else {
            return refuse(b, "normalizer", step[i], err);
        }
    }
    if (out->prepend && !out->replace) return refuse(b, "normalizer", v, err);
    return AC_OK;
}

/* ---- pre-tokenizer ---- */

static bool regex_of(ac_tok_pre *out, const ac_json *step)
{
    const ac_json *pattern = ac_json_get(step, "pattern");
    const ac_json *regex = pattern ? ac_json_get(pattern, "Regex") : NULL;
    if (!is_type(step, "Split") || !regex || regex->type != AC_JSON_STRING) return false;
    if (flag(step, "invert", false) || !text_is(step, "behavior", "Isolated")) return false;
    for (size_t i = 0; i < AC_COUNTOF(known_regex); i++) {
        if (!ac_view_eq_str(regex->text, known_regex[i].regex)) continue;
        *out = known_regex[i].pre;
        return true;
    }
    return false;
}

static bool is_falcon(const ac_json *const *step, size_t n)
{
    if (n != 4 || !is_type(step[0], "Punctuation") || !text_is(step[0], "behavior", "Contiguous")) return false;
    if (!is_type(step[1], "ByteLevel") || !flag(step[1], "use_regex", true)) return false;
    if (!is_type(step[2], "Digits") || flag(step[2], "individual_digits", false)) return false;
    return is_type(step[3], "Split") && text_is(step[3], "behavior", "Isolated") &&
           !flag(step[3], "invert", false) &&
           text_is(ac_json_get(step[3], "pattern"), "Regex", "[0-9][0-9][0-9]");
}

static bool byte_level_form(ac_tok_pre *pre, const ac_json **bytes, const ac_json *const *step, size_t n)
{
    if (n == 1 && is_type(step[0], "ByteLevel") && flag(step[0], "use_regex", true)) {
        *pre = AC_PRE_GPT2;
        *bytes = step[0];
    } else if (n == 2 && is_type(step[0], "Digits") && flag(step[0], "individual_digits", false) &&
               is_type(step[1], "ByteLevel") && flag(step[1], "use_regex", true)) {
        *pre = AC_PRE_SMOLLM;
        *bytes = step[1];
    } else if (n == 2 && regex_of(pre, step[0]) && is_type(step[1], "ByteLevel") &&
               !flag(step[1], "use_regex", true)) {
        *bytes = step[1];
    } else if (is_falcon(step, n)) {
        *pre = AC_PRE_FALCON;
        *bytes = step[1];
    } else {
        return false;
    }
    return true;
}

/* Metaspace is SentencePiece's treatment of spaces as a pre-tokeniser. */
static bool metaspace_form(ac_tokspec *s, const ac_json *step)
{
    if (!is_type(step, "Metaspace") || !text_is(step, "replacement", SPACE_MARK)) return false;
    const ac_json *scheme = ac_json_get(step, "prepend_scheme");
    if (!scheme) s->prefix = flag(step, "add_prefix_space", true) ? AC_PREFIX_UNLESS_SPACE : AC_PREFIX_NONE;
    else if (text_is(step, "prepend_scheme", "always")) s->prefix = AC_PREFIX_UNLESS_SPACE;
    else if (text_is(step, "prepend_scheme", "first")) s->prefix = AC_PREFIX_FIRST_UNLESS_SPACE;
    else if (text_is(step, "prepend_scheme", "never")) s->prefix = AC_PREFIX_NONE;
    else return false;
    s->split_spaces = flag(step, "split", true);
    return true;
}

/* Gemma's: a split at spaces after all spaces were replaced, which never finds one. */
static bool is_idle_split(const ac_json *step)
{
    return is_type(step, "Split") && text_is(ac_json_get(step, "pattern"), "String", " ");
}

static ac_status check_decoder(const ac_spec_build *b, const ac_json *v, ac_err *err)
{
    static const char *const spm[] = { "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace" };
    const ac_json *step[6];
    size_t n;
    if (!steps_of(step, &n, AC_COUNTOF(step), v, "decoders")) return refuse(b, "decoder", v, err);
    for (size_t i = 0; i < n; i++) {
        bool ok = b->s->model == AC_TOK_BPE_BYTES && is_type(step[i], "ByteLevel");
        for (size_t k = 0; k < AC_COUNTOF(spm) && b->s->model == AC_TOK_BPE_SPM; k++)
            ok = ok || is_type(step[i], spm[k]);
        if (!ok) return refuse(b, "decoder", step[i], err);
    }
    return AC_OK;
}

ac_status ac_spec_read_pipeline(ac_spec_build *b, const ac_json *root, ac_err *err)
{
    ac_tokspec *s = b->s;
    normal_form form = { 0 };
    const ac_json *step[5], *bytes = NULL, *pre = ac_json_get(root, "pre_tokenizer");
    size_t n;
    const ac_status st = read_normalizer(&form, b, ac_json_get(root, "normalizer"), err);
    if (st) return st;
    if (!steps_of(step, &n, AC_COUNTOF(step), pre, "pretokenizers")) return refuse(b, "pre_tokenizer", pre, err);
    s->nfc = form.nfc;
    if (!form.replace && byte_level_form(&s->pre, &bytes, step, n)) {
        s->model = AC_TOK_BPE_BYTES;
        s->prefix = flag(bytes, "add_prefix_space", true) ? AC_PREFIX_UNLESS_SPACE : AC_PREFIX_NONE;
        if (s->prefix != AC_PREFIX_NONE && s->pre != AC_PRE_GPT2) return refuse(b, "pre_tokenizer", pre, err);
    } else if (form.replace && (n == 0 || (n == 1 && is_idle_split(step[0])))) {
        s->model = AC_TOK_BPE_SPM;
        s->prefix = form.prepend ? AC_PREFIX_ALWAYS : AC_PREFIX_NONE;
    } else if (!form.replace && n == 1 && metaspace_form(s, step[0])) {
        s->model = AC_TOK_BPE_SPM;
    } else {
        return refuse(b, "pre_tokenizer", n > 0 ? step[0] : pre, err);
    }
    return check_decoder(b, ac_json_get(root, "decoder"), err);
}

/* ---- post-processor: what is put around a text ---- */

static ac_status named_id(int32_t *out, const ac_spec_build *b, ac_view token, const char *where, ac_err *err)
{
    uint32_t id = 0;
    if (!ac_tokmap_get(&b->map, token, &id))
        return ac_fail(err, AC_EFORMAT, "%s: %s names \"" AC_VIEW_FMT "\", which is not in the vocabulary",
                       b->name, where, AC_VIEW_ARG(token));
    *out = (int32_t)id;
    return AC_OK;
}

static ac_status refuse_template(const ac_spec_build *b, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: post_processor's template is not of the form [BOS] text [EOS] with at "
                   "most one special token on each side", b->name);
}

static ac_status template_token(int32_t *out, const ac_spec_build *b, const ac_json *special,
                                const ac_json *table, ac_err *err)
{
    const ac_json *name = ac_json_get(special, "id");
    if (!name || name->type != AC_JSON_STRING) return refuse_template(b, err);
    const ac_json *entry = NULL;
    for (const ac_json *e = table ? table->child : NULL; e && !entry; e = e->next)
        if (ac_view_eq(e->key, name->text)) entry = e;
    const ac_json *ids = entry ? ac_json_get(entry, "ids") : NULL;
    int64_t id = -1;
    if (!ids)
        return ac_fail(err, AC_EFORMAT, "%s: post_processor's template uses \"" AC_VIEW_FMT "\", which its "
                       "special_tokens do not define", b->name, AC_VIEW_ARG(name->text));
    if (ids->n != 1 || !ac_json_as_i64(ids->child, &id) || id < 0 || id >= b->s->n_tokens)
        return ac_fail(err, AC_EFORMAT, "%s: post_processor's special token \"" AC_VIEW_FMT "\" must have one "
                       "id of the vocabulary", b->name, AC_VIEW_ARG(name->text));
    *out = (int32_t)id;
    return AC_OK;
}

static ac_status read_template(ac_spec_build *b, const ac_json *step, ac_err *err)
{
    const ac_json *single = ac_json_get(step, "single"), *table = ac_json_get(step, "special_tokens");
    bool seen_text = false;
    if (!single || single->type != AC_JSON_ARRAY) return refuse_template(b, err);
    for (const ac_json *p = single->child; p; p = p->next) {
        const ac_json *special = ac_json_get(p, "SpecialToken"), *text = ac_json_get(p, "Sequence");
        int32_t id = -1;
        if (text && !seen_text) {
            seen_text = true;
            continue;
        }
        bool *add = seen_text ? &b->s->add_eos : &b->s->add_bos;
        if (!special || *add) return refuse_template(b, err);
        const ac_status st = template_token(&id, b, special, table, err);
        if (st) return st;
        *add = true;
        *(seen_text ? &b->s->eos : &b->s->bos) = id;
    }
    return seen_text ? AC_OK : refuse_template(b, err);
}

/* ["</s>", 2]: a pair of spelling and id. */
static ac_status read_roberta(ac_spec_build *b, const ac_json *step, ac_err *err)
{
    const char *const key[] = { "cls", "sep" };
    int32_t *const out[] = { &b->s->bos, &b->s->eos };
    for (size_t i = 0; i < 2; i++) {
        const ac_json *pair = ac_json_get(step, key[i]);
        if (!pair || pair->n != 2 || pair->child->type != AC_JSON_STRING)
            return ac_fail(err, AC_EFORMAT, "%s: post_processor's \"%s\" must be [\"token\", id]", b->name,
                           key[i]);
        const ac_status st = named_id(out[i], b, pair->child->text, "post_processor", err);
        if (st) return st;
    }
    b->s->add_bos = b->s->add_eos = true;
    return AC_OK;
}

ac_status ac_spec_read_post(ac_spec_build *b, const ac_json *root, ac_err *err)
{
    const ac_json *step[4], *v = ac_json_get(root, "post_processor");
    size_t n;
    ac_status st = AC_OK;
    if (!steps_of(step, &n, AC_COUNTOF(step), v, "processors")) return refuse(b, "post_processor", v, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (is_type(step[i], "ByteLevel")) continue;      /* moves offsets only */
        if (is_type(step[i], "TemplateProcessing")) st = read_template(b, step[i], err);
        else if (is_type(step[i], "RobertaProcessing")) st = read_roberta(b, step[i], err);
        else st = refuse(b, "post_processor", step[i], err);
    }
    return st;
}

/* ---- tokenizer_config.json and chat_template.jinja ---- */

static ac_status config_token(int32_t *out, ac_spec_build *b, const ac_json *config, const char *key,
                              bool must, ac_err *err)
{
    const ac_json *v = ac_json_get(config, key);
    if (v && v->type == AC_JSON_OBJECT) v = ac_json_get(v, "content");
    if (!v || v->type != AC_JSON_STRING) return AC_OK;
    uint32_t id = 0;
    if (ac_tokmap_get(&b->map, v->text, &id)) *out = (int32_t)id;
    else if (must) return named_id(out, b, v->text, key, err);
    return AC_OK;
}

static ac_status keep_template(ac_spec_build *b, ac_view text, ac_err *err)
{
    char *copy = ac_arena_strndup(b->a, text.ptr ? text.ptr : "", text.len);
    if (!copy) return ac_fail_nomem(err, text.len);
    b->s->chat_template = (ac_view){ copy, text.len };
    return AC_OK;
}

static ac_status config_template(ac_spec_build *b, const ac_json *config, ac_err *err)
{
    const ac_json *v = ac_json_get(config, "chat_template");
    if (!v) return AC_OK;
    if (v->type == AC_JSON_STRING) return keep_template(b, v->text, err);
    for (const ac_json *t = v->type == AC_JSON_ARRAY ? v->child : NULL; t; t = t->next) {
        const ac_json *text = ac_json_get(t, "template");
        if (text && text->type == AC_JSON_STRING && text_is(t, "name", "default"))
            return keep_template(b, text->text, err);
    }
    return AC_OK;
}

ac_status ac_spec_read_config(ac_spec_build *b, const char *dir, ac_err *err)
{
    const char *path = ac_path_join(b->tmp, dir, "tokenizer_config.json");
    const char *jinja = ac_path_join(b->tmp, dir, "chat_template.jinja");
    const ac_json *config = NULL;
    ac_status st = AC_OK;
    if (!path || !jinja) return ac_fail_nomem(err, strlen(dir) + 32);
    if (ac_path_exists(path)) {
        const ac_json_limits limits = { .max_bytes = (size_t)64 << 20 };
        st = ac_json_parse_file(&config, path, b->tmp, &limits, err);
        if (!st) st = config_token(&b->s->bos, b, config, "bos_token", true, err);
        if (!st) st = config_token(&b->s->eos, b, config, "eos_token", true, err);
        if (!st) st = config_token(&b->s->unk, b, config, "unk_token", false, err);
        if (!st) st = config_token(&b->s->pad, b, config, "pad_token", false, err);
        if (!st) st = config_template(b, config, err);
    }
    if (!st && ac_path_exists(jinja)) {
        ac_view text = { NULL, 0 };
        st = ac_file_read_arena(&text, b->tmp, jinja, (size_t)16 << 20, err);
        if (!st) st = keep_template(b, text, err);
    }
    return st;
}
