/* formats/zip.c - one member of an archive, over a map of the file. Sizes are what was read, not what is
 * claimed; every offset is checked against the file's length. */
#include "formats/zip.h"

#include <string.h>
#include <zlib.h>
#include "base/file.h"
#include "base/mem.h"

#define CHUNK ((size_t)64 << 10)

enum { END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30, COMMENT_MAX = 65535 };
enum { STORED = 0, DEFLATED = 8 };
#define END_MARK   0x06054b50u
#define ENTRY_MARK 0x02014b50u
#define LOCAL_MARK 0x04034b50u

typedef struct {
    const char *path;
    const uint8_t *at;
    size_t len;
} archive;

typedef struct {
    unsigned flags, method;
    uint32_t crc, packed, plain;
    size_t local;
    ac_view name;
} entry;

static uint32_t u16_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32_at(const uint8_t *p)
{
    return u16_at(p) | u16_at(p + 2) << 16;
}

static ac_status bad(const archive *z, const char *what, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: no readable zip archive (%s); fetch it again", z->path, what);
}

/* The end record: its comment reaches exactly to the end of the file. */
static ac_status find_end(const archive *z, const uint8_t **end, ac_err *err)
{
    if (z->len < END_BYTES) return bad(z, "it is too short", err);
    for (size_t comment = 0; comment <= COMMENT_MAX && comment + END_BYTES <= z->len; comment++) {
        const uint8_t *p = z->at + (z->len - END_BYTES - comment);
        if (u32_at(p) != END_MARK || u16_at(p + 20) != comment) continue;
        *end = p;
        return AC_OK;
    }
    return bad(z, "its end record is missing", err);
}

static entry read_entry(const uint8_t *p)
{
    return (entry){ .flags = u16_at(p + 8), .method = u16_at(p + 10), .crc = u32_at(p + 16),
                    .packed = u32_at(p + 20), .plain = u32_at(p + 24), .local = u32_at(p + 42),
                    .name = { (const char *)p + ENTRY_BYTES, u16_at(p + 28) } };
}

static ac_status find_member(const archive *z, const char *suffix, entry *out, ac_err *err)
{
    const uint8_t *end = NULL;
    ac_status st = find_end(z, &end, err);
    if (st) return st;
    const size_t n = u16_at(end + 10), size = u32_at(end + 12), start = u32_at(end + 16);
    const size_t end_at = (size_t)(end - z->at);
    if (n == 0xffff || start == 0xffffffffu) return bad(z, "zip64 is not read here", err);
    if (u16_at(end + 4) || u16_at(end + 6) || u16_at(end + 8) != n)
        return bad(z, "it has several volumes", err);
    if (start > end_at || size != end_at - start) return bad(z, "its directory is not where it should be", err);
    size_t at = start, found = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = z->at + at;
        if (end_at - at < ENTRY_BYTES || u32_at(p) != ENTRY_MARK) return bad(z, "its directory is damaged", err);
        const size_t bytes = ENTRY_BYTES + u16_at(p + 28) + u16_at(p + 30) + u16_at(p + 32);
        if (bytes > end_at - at) return bad(z, "its directory is damaged", err);
        const entry e = read_entry(p);
        if (ac_view_ends(e.name, ac_view_of(suffix))) {
            *out = e;
            found++;
        }
        at += bytes;
    }
    if (at != end_at) return bad(z, "its directory is damaged", err);
    if (found == 1) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: %zu members end in \"%s\"; exactly one was expected", z->path, found, suffix);
}

/* Where the member's bytes lie, after its local header. */
static ac_status locate(const archive *z, const entry *e, const uint8_t **data, ac_err *err)
{
    if (e->flags & 1u) return bad(z, "the member is encrypted", err);
    if (e->method != STORED && e->method != DEFLATED) return bad(z, "the member's packing is unknown", err);
    if (e->packed == 0xffffffffu || e->plain == 0xffffffffu) return bad(z, "zip64 is not read here", err);
    const uint8_t *p = z->at + e->local;
    if (e->local > z->len || z->len - e->local < LOCAL_BYTES || u32_at(p) != LOCAL_MARK)
        return bad(z, "the member is not where the directory says", err);
    const size_t left = z->len - e->local - LOCAL_BYTES, name = u16_at(p + 26), skip = name + u16_at(p + 28);
    if (skip > left || e->packed > left - skip) return bad(z, "the member is cut off", err);
    if (name != e->name.len || memcmp(p + LOCAL_BYTES, e->name.ptr, name) != 0 || u16_at(p + 8) != e->method)
        return bad(z, "the member's header disagrees with the directory", err);
    *data = p + LOCAL_BYTES + skip;
    return AC_OK;
}

static ac_status damaged(const archive *z, const char *what, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: a member cannot be unpacked (%s); fetch the archive again", z->path, what);
}

/* What has been written so far. */
typedef struct {
    ac_writer *w;
    uint64_t total, max;
    uLong crc;
} output;

static ac_status put(const archive *z, output *o, const void *bytes, size_t n, ac_err *err)
{
    o->total += n;
    if (o->total > o->max)
        return ac_fail(err, AC_EFORMAT, "%s: a member unpacks to more than %llu bytes", z->path,
                       (unsigned long long)o->max);
    o->crc = crc32_z(o->crc, bytes, n);
    return ac_writer_write(o->w, bytes, n, err);
}

static voidpf take(voidpf opaque, uInt items, uInt size)
{
    AC_UNUSED(opaque);
    return ac_calloc(items, size);
}

static void give(voidpf opaque, voidpf p)
{
    AC_UNUSED(opaque);
    ac_free(p);
}

static ac_status inflate_all(const archive *z, const uint8_t *data, size_t n, output *o, ac_err *err)
{
    z_stream s = { .zalloc = take, .zfree = give };
    uint8_t *buf = ac_malloc(CHUNK);
    if (!buf) return ac_fail_nomem(err, CHUNK);
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK) {
        ac_free(buf);
        return ac_fail_nomem(err, CHUNK);
    }
    ac_status st = AC_OK;
    int code = Z_OK;
    while (!st && code != Z_STREAM_END) {
        if (s.avail_in == 0) {                         /* its counter is shorter than a size_t */
            s.next_in = (z_const Bytef *)data;
            s.avail_in = (uInt)(n < CHUNK ? n : CHUNK);
            data += s.avail_in;
            n -= s.avail_in;
        }
        s.next_out = buf;
        s.avail_out = (uInt)CHUNK;
        code = inflate(&s, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR) st = ac_fail_nomem(err, CHUNK);
        else if (code != Z_OK && code != Z_STREAM_END)   /* nothing left to read is Z_BUF_ERROR */
            st = damaged(z, code == Z_BUF_ERROR ? "it ends too early" : "its bytes are damaged", err);
        if (!st) st = put(z, o, buf, CHUNK - s.avail_out, err);
    }
    if (!st && (n || s.avail_in)) st = damaged(z, "bytes are left over", err);
    (void)inflateEnd(&s);
    ac_free(buf);
    return st;
}

ac_status ac_zip_extract_suffix(const char *zip_path, const char *suffix, const char *out_path,
                                uint64_t max_bytes, ac_err *err)
{
    ac_map map = { 0 };
    ac_status st = ac_map_open(&map, zip_path, err);
    if (st) return st;
    const archive z = { zip_path, map.ptr, map.len };
    output o = { .max = max_bytes, .crc = crc32_z(0, NULL, 0) };
    const uint8_t *data = NULL;
    entry e = { 0 };
    st = find_member(&z, suffix, &e, err);
    if (!st) st = locate(&z, &e, &data, err);
    if (!st) st = ac_writer_open(&o.w, out_path, err);
    if (!st) st = e.method == STORED ? put(&z, &o, data, e.packed, err) : inflate_all(&z, data, e.packed, &o, err);
    if (!st && o.total != e.plain) st = damaged(&z, "its length is not the one recorded", err);
    if (!st && o.crc != e.crc) st = damaged(&z, "its checksum is not the one recorded", err);
    if (!st) st = ac_writer_commit(&o.w, err);
    ac_writer_abort(&o.w);
    ac_map_close(&map);
    return st;
}
