#include "formats/tokspec.h"

#include <string.h>

#include "base/size.h"
#include "formats/tokspec_int.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

/* ---- map ---- */

bool ac_tokmap_init(ac_tokmap *m, size_t capacity, ac_arena *a)
{
    size_t slots = 16;
    while (slots / 2 < capacity) {
        if (slots > SIZE_MAX / 4) return false;
        slots *= 2;
    }
    ac_tokmap got = { .mask = slots - 1 };
    got.key = ac_arena_alloc_array(a, slots, sizeof *got.key);
    got.value = ac_arena_alloc_array(a, slots, sizeof *got.value);
    if (!got.key || !got.value) return false;
    *m = got;
    return true;
}

static size_t map_slot(const ac_tokmap *m, ac_view key)
{
    size_t at = (size_t)ac_view_hash(key) & m->mask;
    while (m->key[at].ptr && !ac_view_eq(m->key[at], key)) at = (at + 1) & m->mask;
    return at;
}

bool ac_tokmap_put(ac_tokmap *m, ac_view key, uint32_t value)
{
    if (!key.ptr) key.ptr = "";
    const size_t at = map_slot(m, key);
    if (m->key[at].ptr) return false;
    m->key[at] = key;
    m->value[at] = value;
    m->n++;
    return true;
}

bool ac_tokmap_get(const ac_tokmap *m, ac_view key, uint32_t *value)
{
    if (!m->key) return false;
    if (!key.ptr) key.ptr = "";
    const size_t at = map_slot(m, key);
    if (!m->key[at].ptr) return false;
    *value = m->value[at];
    return true;
}

/* ---- names and alphabets ---- */

const char *ac_tok_pre_name(ac_tok_pre p)
{
    switch (p) {
    case AC_PRE_NONE: return "none";
    case AC_PRE_GPT2: return "gpt2";
    case AC_PRE_SMOLLM: return "smollm";
    case AC_PRE_LLAMA3: return "llama3";
    case AC_PRE_QWEN2: return "qwen2";
    case AC_PRE_FALCON: return "falcon";
    }
    return "unknown";
}

/* GPT-2 shows each byte as a printable character: the printable ones of Latin-1 as themselves, the other
 * 68 from U+0100 on, in the order of their bytes (0-32, 127-160, 173). */
int ac_tok_byte_of_char(uint32_t cp)
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255)) return (int)cp;
    if (cp < 256 || cp >= 256 + 68) return -1;
    const uint32_t i = cp - 256;
    if (i < 33) return (int)i;
    if (i < 33 + 34) return (int)(127 + i - 33);
    return 173;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

int ac_tok_byte_of_name(ac_view t)
{
    if (t.len != 6 || memcmp(t.ptr, "<0x", 3) != 0 || t.ptr[5] != '>') return -1;
    const int hi = hex_digit(t.ptr[3]), lo = hex_digit(t.ptr[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

bool ac_spec_looks_special(ac_view v)
{
    return v.len > 4 && ac_view_starts(v, AC_VIEW("<|")) && ac_view_ends(v, AC_VIEW("|>"));
}

/* ---- building ---- */

ac_status ac_spec_alloc_tokens(ac_spec_build *b, size_t n, ac_err *err)
{
    ac_tokspec *s = b->s;
    if (n == 0) return ac_fail(err, AC_EFORMAT, "%s: the vocabulary is empty; expected tokens", b->name);
    if (n > INT32_MAX)
        return ac_fail(err, AC_EFORMAT, "%s: %zu tokens, at most %d are possible", b->name, n, INT32_MAX);
    s->token = ac_arena_alloc_array(b->a, n, sizeof *s->token);
    s->type = ac_arena_alloc_array(b->a, n, sizeof *s->type);
    s->flags = ac_arena_alloc_array(b->a, n, sizeof *s->flags);
    if (!s->token || !s->type || !s->flags || !ac_tokmap_init(&b->map, n, b->tmp))
        return ac_fail_nomem(err, n * 64);
    memset(s->type, AC_TOK_NORMAL, n);
    s->n_tokens = (uint32_t)n;
    s->bos = s->eos = s->unk = s->pad = s->eot = -1;
    b->model_unk = UINT32_MAX;
    return AC_OK;
}

ac_status ac_spec_set_token(ac_spec_build *b, uint32_t id, ac_view spelling, ac_err *err)
{
    if (!spelling.ptr) spelling.ptr = "";
    if (b->s->token[id].ptr)
        return ac_fail(err, AC_EFORMAT, "%s: id %u belongs to \"" AC_VIEW_FMT "\" and to \"" AC_VIEW_FMT
                       "\"; each id must have one token", b->name, id, AC_VIEW_ARG(b->s->token[id]),
                       AC_VIEW_ARG(spelling));
    if (!ac_tokmap_put(&b->map, spelling, id))
        return ac_fail(err, AC_EFORMAT, "%s: token \"" AC_VIEW_FMT "\" stands twice in the vocabulary, the "
                       "second time with id %u; spellings must be unique", b->name, AC_VIEW_ARG(spelling),
                       id);
    b->s->token[id] = spelling;
    return AC_OK;
}

ac_status ac_spec_alloc_merges(ac_spec_build *b, size_t n, ac_err *err)
{
    ac_tokspec *s = b->s;
    if (n > INT32_MAX) return ac_fail(err, AC_EFORMAT, "%s: %zu merges are too many", b->name, n);
    s->merge = ac_arena_alloc_array(b->a, n, sizeof *s->merge);
    s->merge_to = ac_arena_alloc_array(b->a, n, sizeof *s->merge_to);
    if (!s->merge || !s->merge_to) return ac_fail_nomem(err, n * 12);
    s->n_merges = (uint32_t)n;
    return AC_OK;
}

static ac_status merge_part(uint32_t *id, const ac_spec_build *b, uint32_t rank, ac_view part, ac_err *err)
{
    if (ac_tokmap_get(&b->map, part, id)) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: merge %u uses \"" AC_VIEW_FMT "\", which is not in the vocabulary; "
                   "the file's merges and vocabulary do not belong together", b->name, rank,
                   AC_VIEW_ARG(part));
}

ac_status ac_spec_set_merge(ac_spec_build *b, uint32_t rank, ac_view left, ac_view right, ac_err *err)
{
    char both[512];
    if (left.len == 0 || right.len == 0 || left.len + right.len > sizeof both)
        return ac_fail(err, AC_EFORMAT, "%s: merge %u joins %zu and %zu bytes; expected two parts of at "
                       "least one byte, together at most %zu", b->name, rank, left.len, right.len,
                       sizeof both);
    memcpy(both, left.ptr, left.len);
    memcpy(both + left.len, right.ptr, right.len);
    uint32_t l, r, to;
    ac_status st = merge_part(&l, b, rank, left, err);
    if (!st) st = merge_part(&r, b, rank, right, err);
    if (!st) st = merge_part(&to, b, rank, (ac_view){ both, left.len + right.len }, err);
    if (st) return st;
    b->s->merge[rank][0] = l;
    b->s->merge[rank][1] = r;
    b->s->merge_to[rank] = to;
    return AC_OK;
}

ac_status ac_spec_set_merge_line(ac_spec_build *b, uint32_t rank, ac_view line, ac_err *err)
{
    const size_t gap = ac_view_find(line, AC_VIEW(" "), 1);
    if (gap == SIZE_MAX || ac_view_find(line, AC_VIEW(" "), gap + 1) != SIZE_MAX)
        return ac_fail(err, AC_EFORMAT, "%s: merge %u is \"" AC_VIEW_FMT "\"; expected two tokens parted by "
                       "one space", b->name, rank, AC_VIEW_ARG(line));
    return ac_spec_set_merge(b, rank, ac_view_slice(line, 0, gap), ac_view_slice(line, gap + 1, line.len),
                             err);
}

/* ---- K1 ---- */

static ac_status check_byte_level(const ac_spec_build *b, ac_err *err)
{
    bool have[256] = { false };
    const ac_tokspec *s = b->s;
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        uint32_t cp;
        const ac_view t = s->token[i];
        if (s->flags[i] & AC_TOKF_ADDED || t.len == 0 || t.len > 2) continue;
        if (ac_utf8_decode(t.ptr, t.len, &cp) != t.len) continue;
        const int byte = ac_tok_byte_of_char(cp);
        if (byte >= 0) have[byte] = true;
    }
    if (s->unk >= 0 || (have[0xef] && have[0xbf] && have[0xbd])) return AC_OK;
    for (unsigned i = 0; i < 256; i++)
        if (!have[i])
            return ac_fail(err, AC_EFORMAT, "%s: the vocabulary has no token for byte 0x%02x, nor for U+FFFD, "
                           "nor an unknown token; some texts could not be encoded", b->name, i);
    return AC_OK;
}

static ac_status check_byte_tokens(ac_spec_build *b, ac_err *err)
{
    ac_tokspec *s = b->s;
    char name[8] = "<0x00>";
    unsigned found = 0;
    for (unsigned i = 0; i < 256; i++) {
        uint32_t id;
        name[3] = "0123456789ABCDEF"[i >> 4];
        name[4] = "0123456789ABCDEF"[i & 15];
        if (!ac_tokmap_get(&b->map, (ac_view){ name, 6 }, &id)) continue;
        s->type[id] = AC_TOK_BYTE;
        found++;
    }
    if (found == 256 || s->unk >= 0) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: %u of the 256 byte tokens <0x00>..<0xFF> are there, and no unknown "
                   "token; some texts could not be encoded", b->name, found);
}

ac_status ac_spec_finish(ac_spec_build *b, ac_err *err)
{
    ac_tokspec *s = b->s;
    /* Not the padding token: some files name an ordinary one. */
    const int32_t control[] = { s->bos, s->eos, s->eot };
    for (size_t i = 0; i < AC_COUNTOF(control); i++)
        if (control[i] >= 0 && s->type[control[i]] != AC_TOK_UNKNOWN) s->type[control[i]] = AC_TOK_CONTROL;
    if (s->unk >= 0 && s->type[s->unk] == AC_TOK_NORMAL) s->type[s->unk] = AC_TOK_UNKNOWN;
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        if (!s->token[i].ptr)
            return ac_fail(err, AC_EFORMAT, "%s: id %u has no token, though there are %u tokens; ids must be "
                           "dense from 0", b->name, i, s->n_tokens);
        if (s->type[i] == AC_TOK_CONTROL || s->type[i] == AC_TOK_USER || s->type[i] == AC_TOK_UNKNOWN)
            s->flags[i] |= AC_TOKF_ADDED;
        if (s->flags[i] & AC_TOKF_ADDED && s->token[i].len == 0)
            return ac_fail(err, AC_EFORMAT, "%s: added token %u is empty; it would be found everywhere",
                           b->name, i);
        if (s->flags[i] & AC_TOKF_ADDED && s->token[i].len > 1024)
            return ac_fail(err, AC_EFORMAT, "%s: added token %u has %zu bytes; at most 1024 are expected",
                           b->name, i, s->token[i].len);
    }
    if (s->model == AC_TOK_BPE_BYTES) return check_byte_level(b, err);
    if (s->byte_fallback) return check_byte_tokens(b, err);
    if (s->unk >= 0) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: neither byte tokens nor an unknown token are there; some texts could "
                   "not be encoded", b->name);
}
