/* Text to ids. */
#include <string.h>

#include "tokenizer/tokenizer_int.h"

#define TEXT_MAX ((size_t)1 << 30)             /* so that ids never number more than INT32_MAX */
#define SPACE_MARK AC_VIEW("\xe2\x96\x81")     /* U+2581 */
#define REPLACEMENT AC_VIEW("\xef\xbf\xbd")    /* U+FFFD */

typedef struct {
    const ac_tokenizer *t;
    ac_ids *out;
    unsigned flags;
    ac_merge_work work;
    ac_str form, marked;      /* the normalised stretch; with spaces replaced */
    bool last_unknown;        /* the last id is the unknown token, of this stretch */
} encoder;

/* ---- results of a word ---- */

static ac_status put_bytes(encoder *e, ac_view bytes, ac_err *err)
{
    const ac_tokspec *s = &e->t->spec;
    bool known = s->byte_fallback || s->model == AC_TOK_BPE_BYTES;
    for (size_t i = 0; known && i < bytes.len; i++)
        known = e->t->byte_id[(uint8_t)bytes.ptr[i]] != AC_NO_SYMBOL;
    if (!known) {
        if (s->unk < 0) return ac_fail(err, AC_EFORMAT, "a character has no token, and there is no unknown token");
        if (e->last_unknown && s->fuse_unk) return AC_OK;
        e->last_unknown = true;
        return ac_ids_push(e->out, s->unk, err);
    }
    e->last_unknown = false;
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < bytes.len; i++)
        st = ac_ids_push(e->out, (int32_t)e->t->byte_id[(uint8_t)bytes.ptr[i]], err);
    return st;
}

/* ---- byte-level ---- */

static ac_status byte_word(encoder *e, ac_view word, ac_err *err)
{
    const ac_tokenizer *t = e->t;
    uint32_t id;
    if (t->spec.ignore_merges && ac_tokmap_get(&t->symbols, word, &id))
        return ac_ids_push(e->out, (int32_t)id, err);
    ac_status st = AC_OK;
    e->work.n = 0;
    for (size_t i = 0; !st && i < word.len; i++) {
        id = t->byte_id[(uint8_t)word.ptr[i]];
        /* Only a vocabulary without U+FFFD comes here with a byte it lacks; unk is there then. */
        st = ac_merge_push(&e->work, id == AC_NO_SYMBOL ? (uint32_t)t->spec.unk : id, err);
    }
    if (!st) st = ac_merge_run(&t->merges, &e->work, err);
    for (uint32_t i = 0; !st && i != UINT32_MAX; i = e->work.symbol[i].next)
        st = ac_ids_push(e->out, (int32_t)e->work.symbol[i].id, err);
    return st;
}

static ac_status byte_words(encoder *e, ac_view text, bool first, ac_err *err)
{
    const ac_tokenizer *t = e->t;
    ac_status st = AC_OK;
    ac_view word;
    if (text.len == 0) return AC_OK;
    if (t->spec.prefix != AC_PREFIX_NONE && text.ptr[0] != ' ' &&
        (first || t->spec.prefix != AC_PREFIX_FIRST_UNLESS_SPACE)) {
        ac_str_reset(&e->marked);
        ac_str_append_char(&e->marked, ' ');
        ac_str_append(&e->marked, text);
        if (!ac_str_ok(&e->marked)) return ac_fail_nomem(err, text.len + 1);
        text = ac_str_view(&e->marked);
    }
    ac_words w = ac_words_of(t->spec.pre, text);
    while (!st && ac_words_next(&w, &word)) st = byte_word(e, word, err);
    return st;
}

/* A character with a byte that the vocabulary lacks becomes U+FFFD (T3). */
static void replace_lacking(const ac_tokenizer *t, ac_str *out, ac_view text)
{
    for (size_t i = 0; i < text.len;) {
        size_t len = ac_utf8_len(text.ptr + i, text.len - i);
        if (len == 0) len = 1;
        bool lacking = false;
        for (size_t k = 0; k < len; k++) lacking |= t->byte_id[(uint8_t)text.ptr[i + k]] == AC_NO_SYMBOL;
        ac_str_append(out, lacking ? REPLACEMENT : ac_view_slice(text, i, i + len));
        i += len;
    }
}

static bool has_lacking(const ac_tokenizer *t, ac_view text)
{
    if (!t->lacks_bytes) return false;
    for (size_t i = 0; i < REPLACEMENT.len; i++)
        if (t->byte_id[(uint8_t)REPLACEMENT.ptr[i]] == AC_NO_SYMBOL) return false;
    for (size_t i = 0; i < text.len; i++)
        if (t->byte_id[(uint8_t)text.ptr[i]] == AC_NO_SYMBOL) return true;
    return false;
}

static ac_status byte_stretch(encoder *e, ac_view text, bool first, ac_err *err)
{
    const ac_tokenizer *t = e->t;
    ac_status st = AC_OK;
    if (t->spec.nfc && ac_needs_nfc(text)) {
        ac_str_reset(&e->form);
        st = ac_normalize_nfc(&e->form, text, err);
        if (!st && !ac_str_ok(&e->form)) st = ac_fail_nomem(err, text.len);
        text = ac_str_view(&e->form);
    }
    ac_str whole = { 0 };
    if (!st && has_lacking(t, text)) {
        replace_lacking(t, &whole, text);
        if (!ac_str_ok(&whole)) st = ac_fail_nomem(err, text.len);
        text = ac_str_view(&whole);
    }
    for (size_t at = 0; !st && at < text.len;) {
        const ac_added_match m = ac_added_find(t, &t->normalized, text, at, e->flags);
        st = byte_words(e, ac_view_slice(text, at, m.start), first && at == 0, err);
        if (!st && m.id >= 0) st = ac_ids_push(e->out, m.id, err);
        at = m.end;
    }
    ac_str_release(&whole);
    return st;
}

/* ---- SentencePiece-style ---- */

/* Merges the symbols gathered from text and puts out what became of them. */
static ac_status flush_symbols(encoder *e, ac_view text, ac_err *err)
{
    const ac_tokenizer *t = e->t;
    size_t at = 0;
    if (e->work.n == 0) return AC_OK;
    ac_status st = ac_merge_run(&t->merges, &e->work, err);
    for (uint32_t k = 0; !st && k != UINT32_MAX; k = e->work.symbol[k].next) {
        const uint32_t id = e->work.symbol[k].id;
        if (id < t->spec.n_tokens) {
            e->last_unknown = false;
            st = ac_ids_push(e->out, (int32_t)id, err);
            at += t->spec.token[id].len;
        } else {                                    /* I1: alone in the end, so spelled by its bytes */
            const size_t n = ac_utf8_len(text.ptr + at, text.len - at), len = n ? n : 1;
            st = put_bytes(e, ac_view_slice(text, at, at + len), err);
            at += len;
        }
    }
    e->work.n = 0;
    return st;
}

/* Nothing merges across a character without a symbol: it ends what came before it. */
static ac_status spm_word(encoder *e, ac_view word, ac_err *err)
{
    size_t from = 0, at = 0;
    ac_status st = AC_OK;
    e->work.n = 0;
    while (!st && at < word.len) {
        uint32_t id;
        const size_t n = ac_utf8_len(word.ptr + at, word.len - at);
        const ac_view c = ac_view_slice(word, at, at + (n ? n : 1));
        if (ac_tokmap_get(&e->t->symbols, c, &id)) {
            st = ac_merge_push(&e->work, id, err);
        } else {
            st = flush_symbols(e, ac_view_slice(word, from, at), err);
            if (!st) st = put_bytes(e, c, err);
            from = at + c.len;
        }
        at += c.len;
    }
    return st ? st : flush_symbols(e, ac_view_slice(word, from, word.len), err);
}

static bool starts_with_space(ac_view text)
{
    return ac_view_starts(text, AC_VIEW(" ")) || ac_view_starts(text, SPACE_MARK);
}

static bool wants_prefix(const encoder *e, ac_view text, bool first)
{
    if (first && e->flags & AC_ENCODE_CONTINUE) return false;
    switch (e->t->spec.prefix) {
    case AC_PREFIX_NONE: return false;
    case AC_PREFIX_ALWAYS: return true;
    case AC_PREFIX_UNLESS_SPACE: return !starts_with_space(text);
    case AC_PREFIX_FIRST_UNLESS_SPACE: return first && !starts_with_space(text);
    }
    return false;
}

static bool mark_at(ac_view v, size_t i)
{
    return v.ptr[i] == SPACE_MARK.ptr[0] && ac_view_starts(ac_view_slice(v, i, v.len), SPACE_MARK);
}

static ac_status spm_stretch(encoder *e, ac_view text, bool first, ac_err *err)
{
    const ac_tokenizer *t = e->t;
    ac_status st = AC_OK;
    if (text.len == 0) return AC_OK;
    ac_str *s = &e->marked;
    ac_str_reset(s);
    s->max_bytes = TEXT_MAX * 3 + 16;
    if (wants_prefix(e, text, first)) ac_str_append(s, SPACE_MARK);
    for (size_t i = 0; i < text.len;) {
        size_t end = i;
        while (end < text.len && text.ptr[end] != ' ') end++;
        ac_str_append(s, ac_view_slice(text, i, end));
        if (end < text.len) ac_str_append(s, SPACE_MARK);
        i = end + 1;
    }
    if (!ac_str_ok(s)) return ac_fail_nomem(err, text.len * 3);
    const ac_view v = ac_str_view(s);
    e->last_unknown = false;
    for (size_t start = 0, at = 0; !st && start < v.len; start = at) {
        bool mark = mark_at(v, at);
        at += mark ? SPACE_MARK.len : 1;
        while (at < v.len) {
            const bool next = mark_at(v, at);
            if (next && (t->spec.split_spaces || (t->no_cross_space && !mark))) break;
            mark = next;
            at += next ? SPACE_MARK.len : 1;
        }
        st = spm_word(e, ac_view_slice(v, start, at), err);
    }
    return st;
}

/* ---- the whole text ---- */

static ac_status stretches(encoder *e, ac_view text, ac_err *err)
{
    const ac_tokenizer *t = e->t;
    ac_status st = AC_OK;
    for (size_t at = 0; !st && at < text.len;) {
        const ac_added_match m = ac_added_find(t, &t->raw, text, at, e->flags);
        const ac_view stretch = ac_view_slice(text, at, m.start);
        const bool first = at == 0;
        st = t->spec.model == AC_TOK_BPE_BYTES ? byte_stretch(e, stretch, first, err)
                                               : spm_stretch(e, stretch, first, err);
        if (!st && m.id >= 0) st = ac_ids_push(e->out, m.id, err);
        at = m.end;
    }
    return st;
}

ac_status ac_tokenizer_encode(const ac_tokenizer *t, ac_view text, unsigned flags, ac_ids *out, ac_err *err)
{
    encoder e = { .t = t, .out = out, .flags = flags };
    const size_t n_before = out->n;
    ac_status st = AC_OK;
    if (text.len > TEXT_MAX)
        return ac_fail(err, AC_EARG, "a text of %zu bytes is too long to encode at once; at most %zu", text.len,
                       TEXT_MAX);
    if (flags & AC_ENCODE_BOS && t->spec.add_bos && t->spec.bos >= 0) st = ac_ids_push(out, t->spec.bos, err);
    if (!st) st = stretches(&e, text, err);
    if (!st && flags & AC_ENCODE_EOS && t->spec.eos >= 0) st = ac_ids_push(out, t->spec.eos, err);
    ac_merge_release(&e.work);
    ac_str_release(&e.form);
    ac_str_release(&e.marked);
    if (st) out->n = n_before;
    return st;
}
