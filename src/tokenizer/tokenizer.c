/* Opening and closing, decoding, and questions to a tokenizer. */
#include "tokenizer/tokenizer.h"

#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "tokenizer/tokenizer_int.h"

/* ---- lists of ids ---- */

ac_status ac_ids_push(ac_ids *ids, int32_t id, ac_err *err)
{
    if (ids->n == ids->cap) {
        size_t bytes;
        const size_t cap = ids->cap ? ids->cap * 2 : 64;
        if (ids->n >= INT32_MAX || !ac_size_mul(&bytes, cap, sizeof *ids->id))
            return ac_fail(err, AC_EARG, "a text of more than %d tokens", INT32_MAX);
        int32_t *more = ac_realloc(ids->id, bytes);
        if (!more) return ac_fail_nomem(err, bytes);
        ids->id = more;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return AC_OK;
}

void ac_ids_reset(ac_ids *ids)
{
    ids->n = 0;
}

void ac_ids_release(ac_ids *ids)
{
    ac_free(ids->id);
    *ids = (ac_ids){ 0 };
}

/* ---- opening ---- */

static ac_status is_gguf(bool *out, const char *path, ac_err *err)
{
    ac_map map = { 0 };
    const ac_status st = ac_map_open(&map, path, err);
    if (st) return st;
    *out = map.len >= 4 && memcmp(map.ptr, "GGUF", 4) == 0;
    ac_map_close(&map);
    return AC_OK;
}

/* The model.gguf of a folder that has nothing else to say what the tokens are. */
static const char *gguf_in_folder(ac_arena *a, const char *path)
{
    static const char *const better[] = { "tokenizer.json", "vocab.json" };
    for (size_t i = 0; i < AC_COUNTOF(better); i++) {
        const char *file = ac_path_join(a, path, better[i]);
        if (!file || ac_path_exists(file)) return NULL;
    }
    const char *gguf = ac_path_join(a, path, "model.gguf");
    return gguf && ac_path_exists(gguf) ? gguf : NULL;
}

static ac_status open_any(ac_tokenizer *t, const char *path, ac_err *err)
{
    bool gguf = false;
    ac_status st = AC_OK;
    if (ac_path_is_dir(path)) {
        const char *inside = gguf_in_folder(&t->arena, path);
        gguf = inside != NULL;
        if (gguf) path = inside;
    } else {
        st = is_gguf(&gguf, path, err);
    }
    if (!st && gguf) {
        st = ac_gguf_open(&t->gguf, path, err);
        if (!st) st = ac_tokspec_from_gguf(&t->spec, t->gguf, &t->arena, err);
    } else if (!st) {
        st = ac_tokspec_from_json(&t->spec, path, &t->arena, err);
    }
    return st ? st : ac_tokenizer_build(t, err);
}

ac_status ac_tokenizer_open(ac_tokenizer **out, const char *path, ac_err *err)
{
    ac_tokenizer *t = ac_calloc(1, sizeof *t);
    if (!t) return ac_fail_nomem(err, sizeof *t);
    const ac_status st = open_any(t, path, err);
    if (st) {
        ac_tokenizer_close(&t);
        return st;
    }
    *out = t;
    return AC_OK;
}

void ac_tokenizer_close(ac_tokenizer **t)
{
    if (!*t) return;
    ac_gguf_close(&(*t)->gguf);
    ac_arena_release(&(*t)->arena);
    ac_free(*t);
    *t = NULL;
}

/* ---- decoding ---- */

ac_status ac_tokenizer_decode(const ac_tokenizer *t, const int32_t *ids, size_t n, unsigned flags, ac_str *out,
                              ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    const bool spm = s->model == AC_TOK_BPE_SPM;
    bool strip = spm && s->prefix != AC_PREFIX_NONE && !(flags & AC_DECODE_KEEP_PREFIX_SPACE);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= s->n_tokens)
            return ac_fail(err, AC_EARG, "token id %d is out of range; the vocabulary has %u tokens", ids[i],
                           s->n_tokens);
    for (size_t i = 0; i < n; i++) {
        ac_view text = t->text[ids[i]];
        const bool added = s->flags[ids[i]] & AC_TOKF_ADDED;
        if (ac_tokenizer_is_control(t, ids[i]) && !(flags & AC_DECODE_SPECIAL)) continue;
        if (strip && !added && text.len > 0 && text.ptr[0] == ' ' && s->type[ids[i]] != AC_TOK_BYTE)
            text = ac_view_slice(text, 1, text.len);
        /* With control tokens shown, each stretch after one has its own space in front. */
        strip = added && flags & AC_DECODE_SPECIAL && spm && !(flags & AC_DECODE_KEEP_PREFIX_SPACE) &&
                (s->prefix == AC_PREFIX_ALWAYS || s->prefix == AC_PREFIX_UNLESS_SPACE);
        ac_str_append(out, text);
    }
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

/* ---- questions ---- */

size_t ac_tokenizer_size(const ac_tokenizer *t)
{
    return t->spec.n_tokens;
}

int32_t ac_tokenizer_bos(const ac_tokenizer *t)
{
    return t->spec.bos;
}

int32_t ac_tokenizer_eos(const ac_tokenizer *t)
{
    return t->spec.eos;
}

bool ac_tokenizer_is_control(const ac_tokenizer *t, int32_t id)
{
    if (id < 0 || (uint32_t)id >= t->spec.n_tokens) return false;
    return t->spec.type[id] == AC_TOK_CONTROL || t->spec.type[id] == AC_TOK_UNKNOWN;
}

int32_t ac_tokenizer_find(const ac_tokenizer *t, ac_view spelling)
{
    uint32_t id;
    return ac_tokmap_get(&t->by_text, spelling, &id) ? (int32_t)id : -1;
}

ac_view ac_tokenizer_chat_template(const ac_tokenizer *t)
{
    return t->spec.chat_template;
}

const char *ac_tokenizer_describe(const ac_tokenizer *t)
{
    return t->described;
}

/* ---- hash ---- */

static void add_u64(ac_sha256_state *h, uint64_t v)
{
    unsigned char b[8];
    for (unsigned i = 0; i < 8; i++) b[i] = (unsigned char)(v >> (8 * i));
    ac_sha256_add(h, b, sizeof b);
}

static void add_view(ac_sha256_state *h, ac_view v)
{
    add_u64(h, v.len);
    if (v.len) ac_sha256_add(h, v.ptr, v.len);
}

/* docs/formats/tokenizer.md, "Hash": every number as 64 bits, little-endian; strings by length and bytes. */
ac_status ac_tokenizer_hash(const ac_tokenizer *t, ac_sha256 *out, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    const uint64_t settings[] = {
        s->model, s->pre, s->prefix, s->ignore_merges, s->byte_fallback, s->fuse_unk, s->split_spaces, s->nfc,
        s->add_bos, s->add_eos, (uint64_t)(int64_t)s->bos, (uint64_t)(int64_t)s->eos,
        (uint64_t)(int64_t)s->unk, (uint64_t)(int64_t)s->pad, (uint64_t)(int64_t)s->eot
    };
    ac_sha256_state h;
    AC_UNUSED(err);
    ac_sha256_init(&h);
    add_view(&h, AC_VIEW("accord tokenizer 1"));
    for (size_t i = 0; i < AC_COUNTOF(settings); i++) add_u64(&h, settings[i]);
    add_u64(&h, s->n_tokens);
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        add_view(&h, s->token[i]);
        add_u64(&h, (uint64_t)s->type[i] << 8 | s->flags[i]);
    }
    add_u64(&h, s->score ? s->n_tokens : 0);
    for (uint32_t i = 0; s->score && i < s->n_tokens; i++) {
        uint32_t bits;
        memcpy(&bits, &s->score[i], sizeof bits);
        add_u64(&h, bits);
    }
    add_u64(&h, s->n_merges);
    for (uint32_t i = 0; i < s->n_merges; i++)
        add_u64(&h, (uint64_t)s->merge[i][0] << 32 | s->merge[i][1]);
    add_view(&h, s->chat_template);
    ac_sha256_done(&h, out);
    return AC_OK;
}
