/* zip_build.h - writes zip archives for tests, with zlib alone. */
#ifndef AC_TESTS_ZIP_BUILD_H
#define AC_TESTS_ZIP_BUILD_H

#include <stdlib.h>
#include <zlib.h>
#include "base/str.h"

static void zip_u16(ac_str *s, unsigned v)
{
    const char b[2] = { (char)v, (char)(v >> 8) };
    ac_str_append(s, (ac_view){ b, 2 });
}

static void zip_u32(ac_str *s, size_t v)
{
    zip_u16(s, (unsigned)v & 0xffffu);
    zip_u16(s, (unsigned)(v >> 16) & 0xffffu);
}

/* Version 2.0, no flags, no time: the fields that local header and directory share, then the name's length
 * and that of the extra field. */
static void zip_common(ac_str *s, bool deflated, uLong crc, size_t packed, size_t plain, size_t name)
{
    zip_u16(s, 20);
    zip_u16(s, 0);
    zip_u16(s, deflated ? 8 : 0);
    zip_u32(s, 0);
    zip_u32(s, crc);
    zip_u32(s, packed);
    zip_u32(s, plain);
    zip_u16(s, (unsigned)name);
    zip_u16(s, 0);
}

/* Every member has the same body; stored or deflated. s is emptied first. */
static void zip_build(ac_str *s, const char *const *names, size_t n, const void *body, size_t len, bool deflated)
{
    const uLong bound = compressBound((uLong)len);
    Bytef *packed = malloc(bound);
    z_stream z = { .next_in = (z_const Bytef *)body, .avail_in = (uInt)len, .next_out = packed,
                   .avail_out = (uInt)bound };
    if (!packed || deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END) abort();
    const ac_view data = deflated ? (ac_view){ (const char *)packed, z.total_out } : (ac_view){ body, len };
    const uLong crc = crc32_z(0, body, len);
    ac_str directory = { 0 };
    s->len = 0;
    for (size_t i = 0; i < n; i++) {
        const ac_view name = ac_view_of(names[i]);
        zip_u32(&directory, 0x02014b50u);
        zip_u16(&directory, 20);
        zip_common(&directory, deflated, crc, data.len, len, name.len);
        for (int k = 0; k < 3; k++) zip_u16(&directory, 0);
        zip_u32(&directory, 0);
        zip_u32(&directory, s->len);
        ac_str_append(&directory, name);
        zip_u32(s, 0x04034b50u);
        zip_common(s, deflated, crc, data.len, len, name.len);
        ac_str_append(s, name);
        ac_str_append(s, data);
    }
    const size_t start = s->len;
    ac_str_append(s, (ac_view){ directory.ptr, directory.len });
    zip_u32(s, 0x06054b50u);
    zip_u32(s, 0);
    zip_u16(s, (unsigned)n);
    zip_u16(s, (unsigned)n);
    zip_u32(s, directory.len);
    zip_u32(s, start);
    zip_u16(s, 0);
    (void)deflateEnd(&z);
    free(packed);
    ac_str_release(&directory);
}

#endif
