/* Added tokens: a trie of their spellings; the leftmost match counts, of several there the longest. */
#include <string.h>

#include "tokenizer/tokenizer_int.h"

static bool grow(ac_trie *t, ac_arena *a)
{
    const uint32_t cap = t->cap ? t->cap * 2 : 256;
    if (t->cap > UINT32_MAX / 4) return false;
    uint32_t *child = ac_arena_alloc_array(a, cap, sizeof *child);
    uint32_t *sibling = ac_arena_alloc_array(a, cap, sizeof *sibling);
    uint8_t *byte = ac_arena_alloc_array(a, cap, sizeof *byte);
    int32_t *id = ac_arena_alloc_array(a, cap, sizeof *id);
    if (!child || !sibling || !byte || !id) return false;
    if (t->n_nodes) {
        memcpy(child, t->child, t->n_nodes * sizeof *child);
        memcpy(sibling, t->sibling, t->n_nodes * sizeof *sibling);
        memcpy(byte, t->byte, t->n_nodes * sizeof *byte);
        memcpy(id, t->id, t->n_nodes * sizeof *id);
    }
    t->child = child;
    t->sibling = sibling;
    t->byte = byte;
    t->id = id;
    t->cap = cap;
    return true;
}

static uint32_t step(const ac_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t c = t->child[node];
    while (c && t->byte[c] != byte) c = t->sibling[c];
    return c;
}

bool ac_trie_add(ac_trie *t, ac_view spelling, int32_t id, ac_arena *a)
{
    uint32_t node = 0;
    if (t->n_nodes == 0) {
        if (!grow(t, a)) return false;
        t->id[0] = -1;
        t->n_nodes = 1;
    }
    for (size_t i = 0; i < spelling.len; i++) {
        const uint8_t byte = (uint8_t)spelling.ptr[i];
        uint32_t next = step(t, node, byte);
        if (!next) {
            if (t->n_nodes == t->cap && !grow(t, a)) return false;
            next = t->n_nodes++;
            t->byte[next] = byte;
            t->id[next] = -1;
            t->sibling[next] = t->child[node];
            t->child[node] = next;
        }
        node = next;
    }
    t->first[(uint8_t)spelling.ptr[0]] = true;
    if (t->id[node] < 0) t->id[node] = id;
    return true;
}

static bool wanted(const ac_tokenizer *t, int32_t id, unsigned flags)
{
    return flags & AC_ENCODE_SPECIAL || t->spec.type[id] == AC_TOK_USER;
}

static size_t longest_at(const ac_tokenizer *t, const ac_trie *trie, ac_view text, size_t at, unsigned flags,
                         int32_t *id)
{
    uint32_t node = 0;
    size_t end = 0;
    for (size_t i = at; i < text.len; i++) {
        node = step(trie, node, (uint8_t)text.ptr[i]);
        if (!node) break;
        if (trie->id[node] < 0 || !wanted(t, trie->id[node], flags)) continue;
        *id = trie->id[node];
        end = i + 1;
    }
    return end;
}

static size_t space_before(ac_view text, size_t from, size_t at)
{
    while (at > from) {
        size_t back = at - 1, len;
        while (back > from && ((unsigned char)text.ptr[back] & 0xc0) == 0x80) back--;
        if (ac_char_class_at(text.ptr + back, at - back, &len) != AC_CH_SPACE || len != at - back) break;
        at = back;
    }
    return at;
}

static size_t space_after(ac_view text, size_t at)
{
    size_t len;
    while (at < text.len && ac_char_class_at(text.ptr + at, text.len - at, &len) == AC_CH_SPACE) at += len;
    return at;
}

ac_added_match ac_added_find(const ac_tokenizer *t, const ac_trie *trie, ac_view text, size_t from,
                             unsigned flags)
{
    ac_added_match m = { .start = text.len, .end = text.len, .id = -1 };
    if (trie->n_nodes == 0) return m;
    for (size_t at = from; at < text.len; at++) {
        int32_t id = -1;
        if (!trie->first[(uint8_t)text.ptr[at]]) continue;
        const size_t end = longest_at(t, trie, text, at, flags, &id);
        if (id < 0) continue;
        m = (ac_added_match){ .start = at, .end = end, .id = id };
        if (t->spec.flags[id] & AC_TOKF_LSTRIP) m.start = space_before(text, from, at);
        if (t->spec.flags[id] & AC_TOKF_RSTRIP) m.end = space_after(text, end);
        return m;
    }
    return m;
}
