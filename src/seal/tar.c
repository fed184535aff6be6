#include "seal/tar.h"

#include <stdio.h>
#include <string.h>

#define OCTAL_MAX ((uint64_t)0777777777777 >> 3)     /* 11 octal digits */

bool ac_tar_name_ok(ac_view name)
{
    size_t part = 0;
    if (name.len == 0 || name.len >= AC_TAR_NAME || !ac_utf8_valid(name, NULL)) return false;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.ptr[i] != '/') {
            const unsigned char c = (unsigned char)name.ptr[i];
            if (c < 0x20 || c == 0x7f || c == '\\') return false;
            continue;
        }
        const ac_view p = ac_view_slice(name, part, i);
        if (p.len == 0 || ac_view_eq_str(p, ".") || ac_view_eq_str(p, "..")) return false;
        part = i + 1;
    }
    return true;
}

/* Where a name over 100 bytes is divided into prefix and name; 0: not at all. false: it does not fit. */
static bool divide(size_t *at, ac_view name)
{
    *at = 0;
    if (name.len <= 100) return true;
    for (size_t i = name.len - 101; i < name.len && i <= 155; i++)
        if (name.ptr[i] == '/' && i > 0) {
            *at = i;
            return true;
        }
    return false;
}

static void put_size(uint8_t *out, uint64_t size)
{
    char text[16];
    if (size <= OCTAL_MAX) {
        (void)snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
        memcpy(out, text, 12);
        return;
    }
    out[0] = 0x80;                                    /* base 256, as GNU and libarchive have it */
    for (unsigned i = 0; i < 8; i++) out[11 - i] = (uint8_t)(size >> (8 * i));
}

static bool get_size(uint64_t *out, const uint8_t *in)
{
    uint64_t v = 0;
    if (in[0] == 0x80) {
        for (unsigned i = 4; i < 12; i++) v = v << 8 | in[i];
    } else {
        for (unsigned i = 0; i < 11; i++) {
            if (in[i] < '0' || in[i] > '7') return false;
            v = v << 3 | (uint64_t)(in[i] - '0');
        }
    }
    *out = v;
    return v <= INT64_MAX;
}

ac_status ac_tar_header(uint8_t out[AC_TAR_BLOCK], ac_view name, uint64_t size, ac_err *err)
{
    size_t at;
    unsigned sum = 0;
    char text[8];
    if (!ac_tar_name_ok(name) || !divide(&at, name))
        return ac_fail(err, AC_EARG, "\"" AC_VIEW_FMT "\": cannot be a name in a bundle; expected a relative path of at most 255 "
                       "bytes without \"..\" and control characters", AC_VIEW_ARG(name));
    memset(out, 0, AC_TAR_BLOCK);
    memcpy(out, name.ptr + (at ? at + 1 : 0), name.len - (at ? at + 1 : 0));
    if (at) memcpy(out + 345, name.ptr, at);
    memcpy(out + 100, "0000644", 7);
    memcpy(out + 108, "0000000", 7);
    memcpy(out + 116, "0000000", 7);
    put_size(out + 124, size);
    memcpy(out + 136, "00000000000", 11);
    memset(out + 148, ' ', 8);
    out[156] = '0';
    memcpy(out + 257, "ustar\0" "00", 8);
    for (size_t i = 0; i < AC_TAR_BLOCK; i++) sum += out[i];
    (void)snprintf(text, sizeof text, "%06o", sum);
    memcpy(out + 148, text, 7);
    return AC_OK;
}

size_t ac_tar_padding(uint64_t size)
{
    return (size_t)((AC_TAR_BLOCK - size % AC_TAR_BLOCK) % AC_TAR_BLOCK);
}

/* ---- reading ---- */

static ac_status bad(const ac_tar_reader *r, const char *what, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: %s; expected a bundle as accord writes it", r->where, what);
}

static size_t text_len(const uint8_t *p, size_t room)
{
    const uint8_t *end = memchr(p, 0, room);
    return end ? (size_t)(end - p) : room;
}

static ac_status take_header(ac_tar_reader *r, ac_err *err)
{
    static const uint8_t zero[AC_TAR_BLOCK];
    uint8_t again[AC_TAR_BLOCK];
    char name[AC_TAR_NAME + 1];
    uint64_t size = 0;
    if (memcmp(r->block, zero, AC_TAR_BLOCK) == 0) {
        r->zero_blocks++;
        return AC_OK;
    }
    if (r->zero_blocks) return bad(r, "a member follows the end mark", err);
    const size_t prefix = text_len(r->block + 345, 155), rest = text_len(r->block, 100);
    const size_t len = prefix ? prefix + 1 + rest : rest;
    if (len > AC_TAR_NAME) return bad(r, "a member's name is too long", err);
    memcpy(name, r->block + 345, prefix);
    if (prefix) name[prefix] = '/';
    memcpy(name + len - rest, r->block, rest);
    name[len] = '\0';
    /* The header is right when it is what writing gives for this name and size, and only then. */
    if (!get_size(&size, r->block + 124) || ac_tar_header(again, (ac_view){ name, len }, size, NULL)
        || memcmp(again, r->block, AC_TAR_BLOCK) != 0)
        return bad(r, "a member's header is damaged or of another kind", err);
    r->left = size;
    r->pad = ac_tar_padding(size);
    r->in_member = true;
    return r->visit.begin(r->visit.ctx, name, size, err);
}

static ac_status end_if_over(ac_tar_reader *r, ac_err *err)
{
    if (!r->in_member || r->left || r->pad) return AC_OK;
    r->in_member = false;
    return r->visit.end(r->visit.ctx, err);
}

ac_status ac_tar_push(ac_tar_reader *r, const void *data, size_t len, ac_err *err)
{
    const uint8_t *p = data;
    ac_status st = AC_OK;
    while (!st && len) {
        size_t n;
        if (r->in_member && r->left) {
            n = r->left < len ? (size_t)r->left : len;
            st = r->visit.data(r->visit.ctx, p, n, err);
            r->left -= n;
        } else if (r->in_member) {
            n = r->pad < len ? r->pad : len;
            for (size_t i = 0; i < n && !st; i++)
                if (p[i]) st = bad(r, "bytes stand between two members", err);
            r->pad -= n;
        } else {
            if (r->zero_blocks == 2) return bad(r, "bytes follow the end", err);
            n = AC_TAR_BLOCK - r->have < len ? AC_TAR_BLOCK - r->have : len;
            memcpy(r->block + r->have, p, n);
            r->have += n;
            if (r->have == AC_TAR_BLOCK) {
                r->have = 0;
                st = take_header(r, err);
            }
        }
        p += n;
        len -= n;
        if (!st) st = end_if_over(r, err);
    }
    return st;
}

ac_status ac_tar_finish(const ac_tar_reader *r, ac_err *err)
{
    return r->zero_blocks == 2 && !r->have ? AC_OK : bad(r, "it ends in the middle", err);
}
