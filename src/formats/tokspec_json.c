/* A tokenizer's description from Hugging Face's tokenizer.json, or from GPT-2's vocab.json and merges.txt. */
#include <string.h>

#include "base/file.h"
#include "formats/json.h"
#include "formats/tokspec.h"
#include "formats/tokspec_int.h"

#define MAX_FILE ((size_t)512 << 20)

static ac_status keep(ac_view *out, ac_arena *a, ac_view v, ac_err *err)
{
    char *copy = ac_arena_strndup(a, v.ptr ? v.ptr : "", v.len);
    if (!copy) return ac_fail_nomem(err, v.len + 1);
    *out = (ac_view){ copy, v.len };
    return AC_OK;
}

static ac_status token_id(uint32_t *out, const ac_json *v, const ac_spec_build *b, ac_view what, ac_err *err)
{
    int64_t id = 0;
    if (!v || !ac_json_as_i64(v, &id))
        return ac_fail(err, AC_EFORMAT, "%s: the id of \"" AC_VIEW_FMT "\" must be an integer", b->name,
                       AC_VIEW_ARG(what));
    if (id < 0 || id > INT32_MAX)
        return ac_fail(err, AC_EFORMAT, "%s: the id of \"" AC_VIEW_FMT "\" is %lld; ids are 0 to 2147483647",
                       b->name, AC_VIEW_ARG(what), (long long)id);
    *out = (uint32_t)id;
    return AC_OK;
}

static ac_status put_token(ac_spec_build *b, uint32_t id, ac_view spelling, ac_err *err)
{
    ac_view kept = { NULL, 0 };
    if (id >= b->s->n_tokens)
        return ac_fail(err, AC_EFORMAT, "%s: \"" AC_VIEW_FMT "\" has id %u, but there are only %u tokens; ids "
                       "must be dense from 0", b->name, AC_VIEW_ARG(spelling), id, b->s->n_tokens);
    const ac_status st = keep(&kept, b->a, spelling, err);
    return st ? st : ac_spec_set_token(b, id, kept, err);
}

static ac_status read_vocab(ac_spec_build *b, const ac_json *vocab, size_t n_more, ac_err *err)
{
    if (!vocab || vocab->type != AC_JSON_OBJECT)
        return ac_fail(err, AC_EFORMAT, "%s: \"vocab\" must be an object of tokens and ids", b->name);
    ac_status st = ac_spec_alloc_tokens(b, vocab->n + n_more, err);
    for (const ac_json *v = vocab->child; !st && v; v = v->next) {
        uint32_t id = 0;
        st = token_id(&id, v, b, v->key, err);
        if (!st) st = put_token(b, id, v->key, err);
    }
    return st;
}

/* ---- added tokens ---- */

static ac_status added_fields(ac_view *content, uint32_t *id, const ac_json *t, const ac_spec_build *b,
                              ac_err *err)
{
    ac_status st = ac_json_get_str(content, t, "content", "an added token", err);
    if (!st) st = token_id(id, ac_json_get(t, "id"), b, *content, err);
    if (st) return ac_err_prefix(err, st == AC_ENOENT ? AC_EFORMAT : st, "%s", b->name);
    if (content->len == 0)
        return ac_fail(err, AC_EFORMAT, "%s: added token %u is empty; it would be found everywhere", b->name,
                       *id);
    return AC_OK;
}

/* How many added tokens are not in the vocabulary itself. */
static ac_status count_added(size_t *n, const ac_json *added, const ac_json *vocab, const ac_spec_build *b,
                             ac_err *err)
{
    ac_tokmap in_vocab = { 0 };
    *n = 0;
    if (!added || added->type == AC_JSON_NULL) return AC_OK;
    if (added->type != AC_JSON_ARRAY)
        return ac_fail(err, AC_EFORMAT, "%s: \"added_tokens\" must be an array, found %s", b->name,
                       ac_json_type_name(added->type));
    if (!vocab || !ac_tokmap_init(&in_vocab, vocab->n, b->tmp))
        return vocab ? ac_fail_nomem(err, vocab->n * 32ull)
                     : ac_fail(err, AC_EFORMAT, "%s: \"model\" has no \"vocab\"", b->name);
    for (const ac_json *v = vocab->child; v; v = v->next) ac_tokmap_put(&in_vocab, v->key, 0);
    for (const ac_json *t = added->child; t; t = t->next) {
        ac_view content = { NULL, 0 };
        uint32_t id = 0, unused;
        const ac_status st = added_fields(&content, &id, t, b, err);
        if (st) return st;
        if (!ac_tokmap_get(&in_vocab, content, &unused)) ++*n;
    }
    return AC_OK;
}

static ac_status read_flag(bool *out, const ac_json *t, const char *key, const ac_spec_build *b, ac_err *err)
{
    const ac_json *v = ac_json_get(t, key);
    *out = false;
    if (!v) return AC_OK;
    if (v->type != AC_JSON_BOOL)
        return ac_fail(err, AC_EFORMAT, "%s: \"%s\" of an added token must be true or false, found %s",
                       b->name, key, ac_json_type_name(v->type));
    *out = v->boolean;
    return AC_OK;
}

static ac_status read_added_token(ac_spec_build *b, const ac_json *t, ac_err *err)
{
    static const struct { const char *key; uint8_t flag; } keys[] = {
        { "lstrip", AC_TOKF_LSTRIP }, { "rstrip", AC_TOKF_RSTRIP }, { "normalized", AC_TOKF_NORMALIZED }
    };
    ac_tokspec *s = b->s;
    ac_view content = { NULL, 0 };
    uint32_t id = 0, known = 0;
    uint8_t flags = AC_TOKF_ADDED;
    bool special = false, word = false, on = false;
    ac_status st = added_fields(&content, &id, t, b, err);
    if (!st) st = read_flag(&special, t, "special", b, err);
    if (!st) st = read_flag(&word, t, "single_word", b, err);
    for (size_t i = 0; !st && i < AC_COUNTOF(keys); i++) {
        st = read_flag(&on, t, keys[i].key, b, err);
        if (on) flags = (uint8_t)(flags | keys[i].flag);
    }
    if (st) return st;
    if (word)
        return ac_fail(err, AC_EFORMAT, "%s: added token \"" AC_VIEW_FMT "\" has single_word, which is not "
                       "supported", b->name, AC_VIEW_ARG(content));
    if (!ac_tokmap_get(&b->map, content, &known)) {
        st = put_token(b, id, content, err);
        if (st) return st;
    } else if (known != id) {
        return ac_fail(err, AC_EFORMAT, "%s: \"" AC_VIEW_FMT "\" has id %u in the vocabulary and %u as an "
                       "added token", b->name, AC_VIEW_ARG(content), known, id);
    } else if (s->flags[id] & AC_TOKF_ADDED) {
        return ac_fail(err, AC_EFORMAT, "%s: added token \"" AC_VIEW_FMT "\" stands twice", b->name,
                       AC_VIEW_ARG(content));
    }
    s->flags[id] = flags;
    s->type[id] = special || ac_spec_looks_special(content) ? AC_TOK_CONTROL : AC_TOK_USER;
    return AC_OK;
}

/* ---- model ---- */

static ac_status read_merges(ac_spec_build *b, const ac_json *merges, ac_err *err)
{
    uint32_t rank = 0;
    if (!merges || merges->type != AC_JSON_ARRAY)
        return ac_fail(err, AC_EFORMAT, "%s: \"merges\" must be an array", b->name);
    ac_status st = ac_spec_alloc_merges(b, merges->n, err);
    for (const ac_json *m = merges->child; !st && m; m = m->next, rank++) {
        const ac_json *l = m->type == AC_JSON_ARRAY ? m->child : NULL;
        if (m->type == AC_JSON_STRING)
            st = ac_spec_set_merge_line(b, rank, m->text, err);
        else if (l && m->n == 2 && l->type == AC_JSON_STRING && l->next->type == AC_JSON_STRING)
            st = ac_spec_set_merge(b, rank, l->text, l->next->text, err);
        else
            st = ac_fail(err, AC_EFORMAT, "%s: merge %u must be \"left right\" or [\"left\", \"right\"]",
                         b->name, rank);
    }
    return st;
}

static bool empty_or_null(const ac_json *v)
{
    return !v || v->type == AC_JSON_NULL || (v->type == AC_JSON_STRING && v->text.len == 0);
}

static ac_status check_model(const ac_json *model, const ac_spec_build *b, ac_err *err)
{
    if (!model || model->type != AC_JSON_OBJECT)
        return ac_fail(err, AC_EFORMAT, "%s: \"model\" must be an object; is this a tokenizer.json?", b->name);
    const ac_json *type = ac_json_get(model, "type");
    if (type && (type->type != AC_JSON_STRING || !ac_view_eq_str(type->text, "BPE")))
        return ac_fail(err, AC_EFORMAT, "%s: the model's type is \"" AC_VIEW_FMT "\"; only BPE is supported",
                       b->name, AC_VIEW_ARG(type->text));
    const ac_json *dropout = ac_json_get(model, "dropout");
    if (dropout && dropout->type != AC_JSON_NULL &&
        !(dropout->type == AC_JSON_NUMBER && !(dropout->number > 0) && !(dropout->number < 0)))
        return ac_fail(err, AC_EFORMAT, "%s: the model has \"dropout\"; ids would depend on chance", b->name);
    if (!empty_or_null(ac_json_get(model, "continuing_subword_prefix")) ||
        !empty_or_null(ac_json_get(model, "end_of_word_suffix")))
        return ac_fail(err, AC_EFORMAT, "%s: continuing_subword_prefix and end_of_word_suffix are not "
                       "supported", b->name);
    return AC_OK;
}

static bool is_true(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_BOOL && v->boolean;
}

static ac_status read_model(ac_spec_build *b, const ac_json *root, ac_err *err)
{
    const ac_json *model = ac_json_get(root, "model"), *added = ac_json_get(root, "added_tokens");
    size_t n_added = 0;
    ac_status st = check_model(model, b, err);
    if (st) return st;
    const ac_json *vocab = ac_json_get(model, "vocab");
    st = count_added(&n_added, added, vocab, b, err);
    if (!st) st = read_vocab(b, vocab, n_added, err);
    if (!st) st = read_merges(b, ac_json_get(model, "merges"), err);
    if (st) return st;
    b->s->byte_fallback = is_true(model, "byte_fallback");
    b->s->ignore_merges = is_true(model, "ignore_merges");
    b->s->fuse_unk = is_true(model, "fuse_unk");
    const ac_json *unk = ac_json_get(model, "unk_token");
    if (!empty_or_null(unk)) {
        uint32_t id = 0;
        if (unk->type != AC_JSON_STRING || !ac_tokmap_get(&b->map, unk->text, &id))
            return ac_fail(err, AC_EFORMAT, "%s: unk_token \"" AC_VIEW_FMT "\" is not in the vocabulary",
                           b->name, AC_VIEW_ARG(unk->text));
        b->model_unk = id;
        b->s->unk = (int32_t)id;
    }
    for (const ac_json *t = added ? added->child : NULL; !st && t; t = t->next)
        st = read_added_token(b, t, err);
    return st;
}

/* What trims and pads there has no part in the ids; but a file that contradicts itself is no good file. */
static ac_status check_limits(const ac_json *root, const ac_spec_build *b, ac_err *err)
{
    const ac_json *cut = ac_json_get(root, "truncation"), *pad = ac_json_get(root, "padding");
    int64_t length = 0, stride = 0, fixed = 0;
    if (cut && cut->type == AC_JSON_OBJECT && ac_json_get(cut, "max_length") && ac_json_get(cut, "stride")) {
        ac_status st = ac_json_get_i64(&length, cut, "max_length", "truncation", err);
        if (!st) st = ac_json_get_i64(&stride, cut, "stride", "truncation", err);
        if (st) return ac_err_prefix(err, st, "%s", b->name);
        if (length < 0 || stride < 0 || (stride > 0 && stride >= length))
            return ac_fail(err, AC_EFORMAT, "%s: truncation has stride %lld and max_length %lld; the stride "
                           "must be smaller", b->name, (long long)stride, (long long)length);
    }
    const ac_json *strategy = pad ? ac_json_get(pad, "strategy") : NULL;
    const ac_json *size = strategy ? ac_json_get(strategy, "Fixed") : NULL;
    if (size && (!ac_json_as_i64(size, &fixed) || fixed < 1))
        return ac_fail(err, AC_EFORMAT, "%s: padding has the fixed length " AC_VIEW_FMT "; expected 1 or more",
                       b->name, AC_VIEW_ARG(size->text));
    return AC_OK;
}

static ac_status read_tokenizer_json(ac_spec_build *b, const char *path, const char *dir, ac_err *err)
{
    const ac_json *root = NULL;
    const ac_json_limits limits = { .max_bytes = MAX_FILE };
    ac_status st = ac_json_parse_file(&root, path, b->tmp, &limits, err);
    if (st) return st;
    if (root->type != AC_JSON_OBJECT)
        return ac_fail(err, AC_EFORMAT, "%s: expected an object, found %s", b->name,
                       ac_json_type_name(root->type));
    st = check_limits(root, b, err);
    if (!st) st = read_model(b, root, err);
    if (!st) st = ac_spec_read_pipeline(b, root, err);
    if (!st) st = ac_spec_read_post(b, root, err);
    if (!st) st = ac_spec_read_config(b, dir, err);
    return st;
}

/* ---- GPT-2's two files ---- */

static ac_status read_merges_txt(ac_spec_build *b, const char *path, ac_err *err)
{
    ac_view text = { NULL, 0 };
    ac_status st = ac_file_read_arena(&text, b->tmp, path, MAX_FILE, err);
    if (st) return st;
    for (int pass = 0; pass < 2; pass++) {      /* count, then store */
        uint32_t rank = 0;
        size_t at = 0;
        while (!st && at < text.len) {
            size_t end = ac_view_find(text, AC_VIEW("\n"), at);
            if (end == SIZE_MAX) end = text.len;
            ac_view line = ac_view_slice(text, at, end);
            if (ac_view_ends(line, AC_VIEW("\r"))) line.len--;
            const bool skip = line.len == 0 || (at == 0 && ac_view_starts(line, AC_VIEW("#version")));
            at = end + 1;
            if (skip) continue;
            if (pass == 1) st = ac_spec_set_merge_line(b, rank, line, err);
            rank++;
        }
        if (pass == 0) st = ac_spec_alloc_merges(b, rank, err);
    }
    return st;
}

static ac_status read_gpt2_folder(ac_spec_build *b, const char *dir, ac_err *err)
{
    const ac_json *vocab = NULL;
    const ac_json_limits limits = { .max_bytes = MAX_FILE };
    const char *merges = ac_path_join(b->tmp, dir, "merges.txt");
    if (!merges) return ac_fail_nomem(err, 64);
    ac_status st = ac_json_parse_file(&vocab, b->name, b->tmp, &limits, err);
    if (!st) st = read_vocab(b, vocab, 0, err);
    if (!st) b->name = merges;
    if (!st) st = read_merges_txt(b, merges, err);
    if (st) return st;
    uint32_t end = 0;
    b->s->model = AC_TOK_BPE_BYTES;
    b->s->pre = AC_PRE_GPT2;
    if (ac_tokmap_get(&b->map, AC_VIEW("<|endoftext|>"), &end)) b->s->bos = b->s->eos = (int32_t)end;
    return ac_spec_read_config(b, dir, err);
}

/* ---- opening ---- */

static ac_status pick_files(const char **json, const char **dir, bool *gpt2, const char *path, ac_arena *tmp,
                            ac_err *err)
{
    *gpt2 = false;
    if (!ac_path_is_dir(path)) {
        const char *slash = strrchr(path, '/');
        *json = path;
        *dir = !slash ? "." : ac_arena_strndup(tmp, path, slash == path ? 1 : (size_t)(slash - path));
        return *dir ? AC_OK : ac_fail_nomem(err, strlen(path));
    }
    *dir = path;
    *json = ac_path_join(tmp, path, "tokenizer.json");
    const char *vocab = ac_path_join(tmp, path, "vocab.json"), *merges = ac_path_join(tmp, path, "merges.txt");
    if (!*json || !vocab || !merges) return ac_fail_nomem(err, strlen(path) + 16);
    if (ac_path_exists(*json)) return AC_OK;
    if (!ac_path_exists(vocab) || !ac_path_exists(merges))
        return ac_fail(err, AC_ENOENT, "%s: no tokenizer.json in this folder (nor vocab.json and merges.txt)",
                       path);
    *json = vocab;
    *gpt2 = true;
    return AC_OK;
}

ac_status ac_tokspec_from_json(ac_tokspec *out, const char *path, ac_arena *a, ac_err *err)
{
    ac_arena tmp = { 0 };
    ac_tokspec s = { 0 };
    ac_spec_build b = { .s = &s, .a = a, .tmp = &tmp };
    const char *dir = NULL;
    bool gpt2 = false;
    ac_status st = pick_files(&b.name, &dir, &gpt2, path, &tmp, err);
    if (!st) st = gpt2 ? read_gpt2_folder(&b, dir, err) : read_tokenizer_json(&b, b.name, dir, err);
    if (!st) st = ac_spec_finish(&b, err);
    if (!st) st = keep(&s.source, a, ac_view_of(b.name), err);
    ac_arena_release(&tmp);
    if (st) return st;
    *out = s;
    return AC_OK;
}
