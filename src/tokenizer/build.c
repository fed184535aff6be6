/* From a tokenizer's description to the tables that encoding and decoding use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "tokenizer/tokenizer_int.h"

#define SPACE_MARK AC_VIEW("\xe2\x96\x81") /* U+2581 */
#define SCORED_MAX 512                     /* bytes of a token that score merging considers */

static bool is_ordinary(const ac_tokspec *s, uint32_t id)
{
    return s->type[id] == AC_TOK_NORMAL && !(s->flags[id] & AC_TOKF_ADDED);
}

/* ---- what each token decodes to ---- */

/* Writes the bytes behind a token in the byte-to-unicode alphabet; false when it is not spelled in it. */
static bool put_bytes(char *out, size_t *n, ac_view token)
{
    *n = 0;
    for (size_t i = 0; i < token.len;) {
        uint32_t cp;
        const size_t len = ac_utf8_decode(token.ptr + i, token.len - i, &cp);
        const int byte = len ? ac_tok_byte_of_char(cp) : -1;
        if (byte < 0) return false;
        out[(*n)++] = (char)byte;
        i += len;
    }
    return true;
}

static size_t put_spaces(char *out, ac_view token)
{
    size_t n = 0;
    for (size_t i = 0; i < token.len;) {
        if (ac_view_starts(ac_view_slice(token, i, token.len), SPACE_MARK)) {
            out[n++] = ' ';
            i += SPACE_MARK.len;
        } else {
            out[n++] = token.ptr[i++];
        }
    }
    return n;
}

static size_t put_text(char *out, const ac_tokspec *s, uint32_t id)
{
    const ac_view token = s->token[id];
    size_t n = 0;
    if (s->model == AC_TOK_BPE_SPM) {
        const int byte = s->type[id] == AC_TOK_BYTE ? ac_tok_byte_of_name(token) : -1;
        if (byte < 0) return put_spaces(out, token);
        out[0] = (char)byte;
        return 1;
    }
    if (!(s->flags[id] & AC_TOKF_ADDED) && put_bytes(out, &n, token)) return n;
    if (token.len) memcpy(out, token.ptr, token.len);
    return token.len;
}

static ac_status build_text(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    size_t total = 1, at = 0;
    for (uint32_t i = 0; i < s->n_tokens; i++) total += s->token[i].len + 1;
    char *pool = ac_arena_alloc(&t->arena, total);
    t->text = ac_arena_alloc_array(&t->arena, s->n_tokens, sizeof *t->text);
    if (!pool || !t->text || !ac_tokmap_init(&t->by_text, s->n_tokens, &t->arena))
        return ac_fail_nomem(err, total + s->n_tokens * 48ull);
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        t->text[i] = (ac_view){ pool + at, put_text(pool + at, s, i) };
        at += t->text[i].len;
    }
    /* Where two tokens read alike, an added one is the one that find means. */
    for (int added = 1; added >= 0; added--)
        for (uint32_t i = 0; i < s->n_tokens; i++)
            if ((s->flags[i] & AC_TOKF_ADDED) == (added ? AC_TOKF_ADDED : 0))
                (void)ac_tokmap_put(&t->by_text, s->type[i] == AC_TOK_BYTE ? s->token[i] : t->text[i], i);
    return AC_OK;
}

/* ---- added tokens ---- */

static ac_status build_tries(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        if (!(s->flags[i] & AC_TOKF_ADDED)) continue;
        const bool after = s->model == AC_TOK_BPE_BYTES && s->flags[i] & AC_TOKF_NORMALIZED;
        ac_trie *trie = after ? &t->normalized : &t->raw;
        ac_str form = { 0 };
        ac_status st = AC_OK;
        bool ok = true;
        if (after && s->nfc) {
            st = ac_normalize_nfc(&form, s->token[i], err);
            ok = ac_str_ok(&form) && form.len > 0 && ac_trie_add(trie, ac_str_view(&form), (int32_t)i,
                                                                 &t->arena);
        } else {
            ok = ac_trie_add(trie, s->token[i], (int32_t)i, &t->arena);
            /* A GGUF of a SentencePiece model spells the spaces of its own symbols either way. */
            if (ok && s->score && t->text[i].len > 0 && !ac_view_eq(s->token[i], t->text[i]))
                ok = ac_trie_add(trie, t->text[i], (int32_t)i, &t->arena);
        }
        ac_str_release(&form);
        if (st) return st;
        if (!ok) return ac_fail_nomem(err, 4096);
    }
    return AC_OK;
}

/* ---- symbols and merges ---- */

static ac_status build_byte_symbols(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    if (!ac_tokmap_init(&t->symbols, s->n_tokens, &t->arena)) return ac_fail_nomem(err, s->n_tokens * 48ull);
    for (uint32_t i = 0; i < s->n_tokens; i++)
        if (is_ordinary(s, i)) (void)ac_tokmap_put(&t->symbols, t->text[i], i);
    for (unsigned b = 0; b < 256; b++) {
        const char byte = (char)b;
        t->byte_id[b] = AC_NO_SYMBOL;
        if (!ac_tokmap_get(&t->symbols, (ac_view){ &byte, 1 }, &t->byte_id[b])) t->lacks_bytes = true;
    }
    return AC_OK;
}

static bool crosses_space(ac_view token)
{
    bool other = false;
    for (size_t i = 0; i < token.len;) {
        const bool mark = ac_view_starts(ac_view_slice(token, i, token.len), SPACE_MARK);
        if (mark && other) return true;
        other = other || !mark;
        i += mark ? SPACE_MARK.len : 1;
    }
    return false;
}

static size_t char_len(ac_view v, size_t at)
{
    const size_t n = ac_utf8_len(v.ptr + at, v.len - at);
    return n ? n : 1;
}

/* Characters that stand in longer tokens and are none themselves (I1). */
static ac_status add_characters(ac_tokenizer *t, ac_view token, uint32_t *next, ac_err *err)
{
    for (size_t i = 0; i < token.len; i += char_len(token, i)) {
        const ac_view c = { token.ptr + i, char_len(token, i) };
        uint32_t known;
        if (ac_tokmap_get(&t->symbols, c, &known)) continue;
        if (t->symbols.n > t->symbols.mask / 2)
            return ac_fail(err, AC_EFORMAT, AC_VIEW_FMT ": more than %zu characters of tokens are no tokens "
                           "themselves; this is no SentencePiece-style vocabulary",
                           AC_VIEW_ARG(t->spec.source), t->symbols.mask / 2 - t->spec.n_tokens);
        (void)ac_tokmap_put(&t->symbols, c, (*next)++);
    }
    return AC_OK;
}

static ac_status build_spm_symbols(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    uint32_t next = s->n_tokens;
    if (!ac_tokmap_init(&t->symbols, s->n_tokens + 4096u, &t->arena))
        return ac_fail_nomem(err, s->n_tokens * 48ull);
    t->no_cross_space = true;
    for (unsigned b = 0; b < 256; b++) t->byte_id[b] = AC_NO_SYMBOL;
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        if (s->type[i] == AC_TOK_BYTE) t->byte_id[ac_tok_byte_of_name(s->token[i]) & 255] = i;
        if (!is_ordinary(s, i) || s->token[i].len == 0) continue;
        (void)ac_tokmap_put(&t->symbols, s->token[i], i);
        t->no_cross_space = t->no_cross_space && !crosses_space(s->token[i]);
    }
    ac_status st = AC_OK;
    for (uint32_t i = 0; !st && s->score && i < s->n_tokens; i++)
        if (is_ordinary(s, i) && s->token[i].len <= SCORED_MAX) st = add_characters(t, s->token[i], &next, err);
    return st;
}

static ac_status build_merges(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    if (!ac_merge_table_init(&t->merges, s->n_merges, &t->arena)) return ac_fail_nomem(err, s->n_merges * 32ull);
    for (uint32_t i = 0; i < s->n_merges; i++) {
        const uint32_t to = s->merge_to[i];
        if (s->type[to] == AC_TOK_CONTROL || s->type[to] == AC_TOK_UNKNOWN) continue;       /* I2 */
        ac_merge_table_set(&t->merges, s->merge[i][0], s->merge[i][1], i, to);
    }
    return AC_OK;
}

typedef struct {
    float score;
    uint32_t id;
} scored;

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Counts (table NULL) or enters the ways in which two symbols join to this token. */
static size_t splits_of(const ac_tokenizer *t, ac_merge_table *table, uint32_t id, uint32_t rank)
{
    const ac_view token = t->spec.token[id];
    size_t n = 0;
    for (size_t i = char_len(token, 0); i < token.len; i += char_len(token, i)) {
        uint32_t l, r;
        if (!ac_tokmap_get(&t->symbols, ac_view_slice(token, 0, i), &l)) continue;
        if (!ac_tokmap_get(&t->symbols, ac_view_slice(token, i, token.len), &r)) continue;
        if (table) ac_merge_table_set(table, l, r, rank, id);
        n++;
    }
    return n;
}

/* SentencePiece joins the neighbours whose token has the highest score; tokens of one score share a rank, and
 * then the leftmost place decides. */
static ac_status build_scored_merges(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    size_t n = 0, n_merges = 0;
    scored *order = ac_malloc(s->n_tokens * sizeof *order);
    if (!order) return ac_fail_nomem(err, s->n_tokens * sizeof *order);
    for (uint32_t i = 0; i < s->n_tokens; i++)
        if (is_ordinary(s, i) && s->token[i].len > 1 && s->token[i].len <= SCORED_MAX) {
            order[n++] = (scored){ s->score[i], i };
            n_merges += splits_of(t, NULL, i, 0);
        }
    qsort(order, n, sizeof *order, by_score);
    ac_status st = AC_OK;
    if (!ac_merge_table_init(&t->merges, n_merges, &t->arena)) st = ac_fail_nomem(err, n_merges * 32ull);
    uint32_t rank = 0;
    for (size_t i = 0; !st && i < n; i++) {
        if (i > 0 && order[i].score < order[i - 1].score) rank = (uint32_t)i;
        (void)splits_of(t, &t->merges, order[i].id, rank);
    }
    ac_free(order);
    return st;
}

ac_status ac_tokenizer_build(ac_tokenizer *t, ac_err *err)
{
    const ac_tokspec *s = &t->spec;
    const bool bytes = s->model == AC_TOK_BPE_BYTES;
    ac_status st = build_text(t, err);
    if (!st) st = build_tries(t, err);
    if (!st) st = bytes ? build_byte_symbols(t, err) : build_spm_symbols(t, err);
    if (!st) st = s->score && !bytes ? build_scored_merges(t, err) : build_merges(t, err);
    if (bytes)
        snprintf(t->described, sizeof t->described, "byte-level BPE, %u tokens, %s", s->n_tokens,
                 ac_tok_pre_name(s->pre));
    else
        snprintf(t->described, sizeof t->described, "SentencePiece-style BPE, %u tokens, by %s", s->n_tokens,
                 s->score ? "score" : "merges");
    return st;
}
