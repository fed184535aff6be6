/* Windows of 50 letters and digits: what splits or joins words, or writes none, is found by these. */
#include <string.h>
#include <utf8proc.h>

#include "data/leak_int.h"

#define BASE UINT64_C(0x9e3779b97f4a7c15)

static bool counts(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

size_t ac_leak_chars_of(uint32_t *out, ac_view t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len;) {
        const unsigned char b = (unsigned char)t.ptr[i];
        uint32_t c = b;
        if (b < 0x80) {
            i++;
            if ((b >= 'a' && b <= 'z') || (b >= '0' && b <= '9')) out[n++] = b;
            else if (b >= 'A' && b <= 'Z') out[n++] = b + 32u;
            continue;
        }
        const size_t len = ac_utf8_decode(t.ptr + i, t.len - i, &c);
        i += len ? len : 1;
        if (len && counts(c)) out[n++] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    }
    return n;
}

static uint64_t top_power(void)
{
    uint64_t p = 1;
    for (size_t i = 1; i < LEAK_WINDOW; i++) p *= BASE;
    return p;
}

/* A polynomial in BASE, mixed: one step a character. */
static uint64_t step(uint64_t h, uint32_t in, uint32_t out, uint64_t top)
{
    return (h - (out + 1) * top) * BASE + in + 1;
}

static uint64_t start(const uint32_t *c)
{
    uint64_t h = 0;
    for (size_t i = 0; i < LEAK_WINDOW; i++) h = h * BASE + c[i] + 1;
    return h;
}

ac_status ac_leak_chars_index(leak *k, ac_err *err)
{
    const uint64_t top = top_power();
    AC_UNUSED(err);
    for (size_t i = 0; i < k->n; i++) {
        const leak_case *c = &k->item[i];
        uint64_t h = c->n_chars >= LEAK_WINDOW ? start(c->chars) : 0;
        for (size_t j = 0; j + LEAK_WINDOW <= c->n_chars; j++) {
            k->window.post[k->window.n++] = (leak_post){ ac_mix64(h), (uint32_t)i };
            if (j + LEAK_WINDOW < c->n_chars) h = step(h, c->chars[j + LEAK_WINDOW], c->chars[j], top);
        }
    }
    return AC_OK;
}

/* A stretch ends. Beside a frame its windows are nearly all frame: each adds one letter of its own. */
static void end_stretch(leak *k, uint32_t item, bool frame_behind)
{
    const uint32_t windows = k->char_run[item] >> 1;
    const bool beside_frame = frame_behind || (k->char_run[item] & 1);
    const uint32_t letters = beside_frame ? windows : windows + (uint32_t)LEAK_WINDOW - 1;
    if (windows && letters > k->char_best[item]) k->char_best[item] = letters;
    k->char_run[item] = 0;
}

/* char_run: windows in a row, twice, plus one when a frame stood in front. */
static void hit(leak *k, uint32_t item, size_t at, bool behind_frame)
{
    if (!k->char_run[item] && !k->char_best[item]) k->touched[k->n_touched++] = item;
    if (k->char_run[item] && k->char_at[item] + 1 != at) end_stretch(k, item, false);
    k->char_run[item] = k->char_run[item] ? k->char_run[item] + 2 : behind_frame ? 3 : 2;
    k->char_at[item] = at;
}

static void look_up(leak *k, uint64_t gram, size_t at, size_t *frame_at)
{
    const leak_grams *g = &k->window;
    if (!leak_bloom_has(k->bloom + LEAK_BLOOM / 8, gram)) return;
    const uint32_t *slot = ac_index_find(&g->index, gram);
    if (!slot) return;
    if (*slot == LEAK_FRAME) {
        for (size_t i = 0; i < k->n_touched; i++)
            if (k->char_run[k->touched[i]] && k->char_at[k->touched[i]] + 1 == at) end_stretch(k, k->touched[i], true);
        *frame_at = at;
        return;
    }
    for (size_t j = *slot - 1; j < g->n && g->post[j].gram == gram; j++)
        if (j + 1 >= g->n || g->post[j + 1].gram != gram || g->post[j + 1].item != g->post[j].item)
            hit(k, g->post[j].item, at, *frame_at != SIZE_MAX && *frame_at + 1 == at);
}

/* Most of the question in one stretch, and the row is no mate of it with another answer. */
static ac_status weigh(leak *k, leak_case *c, const leak_exchange *x, uint32_t best, ac_err *err)
{
    bool mate = false;
    double covered = (double)best / (double)c->n_chars;
    if (c->done_row == k->row_number || best < LEAK_WINDOW) return AC_OK;
    if (covered > 1) covered = 1;
    const ac_status st = x->is_text ? AC_OK : ac_leak_is_mate(k, c, x, &mate, err);
    if (st) return st;
    if (covered >= LEAK_FAIL && !mate) ac_leak_count(k, c, &c->fail[LEAK_CHARS], x, covered, x->from);
    else return ac_leak_judge(k, c, x, LEAK_CHARS, covered, x->from, covered >= LEAK_FAIL, err);
    return AC_OK;
}

ac_status ac_leak_chars(leak *k, const leak_exchange *x, ac_err *err)
{
    const uint64_t top = top_power();
    if (!k->window.n || x->text.len < LEAK_WINDOW) return AC_OK;
    if (x->text.len > k->chars_cap) {
        uint32_t *p = ac_realloc(k->chars, x->text.len * sizeof *p);
        if (!p) return ac_fail_nomem(err, x->text.len * sizeof *p);
        k->chars = p;
        k->chars_cap = x->text.len;
    }
    const size_t n = ac_leak_chars_of(k->chars, x->text);
    uint64_t h = n >= LEAK_WINDOW ? start(k->chars) : 0;
    size_t frame_at = SIZE_MAX;
    for (size_t i = 0; i + LEAK_WINDOW <= n; i++) {
        look_up(k, ac_mix64(h), i, &frame_at);
        if (i + LEAK_WINDOW < n) h = step(h, k->chars[i + LEAK_WINDOW], k->chars[i], top);
    }
    ac_status st = AC_OK;
    for (size_t i = 0; i < k->n_touched; i++) {
        const uint32_t item = k->touched[i];
        end_stretch(k, item, false);
        const uint32_t best = k->char_best[item];
        k->char_best[item] = 0;
        if (!st) st = weigh(k, &k->item[item], x, best, err);
    }
    k->n_touched = 0;
    return st;
}
