/* formats/zip.c - one member of an archive, by libzip. Sizes are what was read, not what is claimed. */
#include "formats/zip.h"

#include <string.h>
#include <zip.h>
#include "base/file.h"
#include "base/mem.h"

#define CHUNK ((size_t)64 << 10)

static ac_status open_archive(zip_t **out, const char *path, ac_err *err)
{
    uint64_t size;
    ac_status st = ac_file_size(path, &size, err);     /* tells a missing file from a bad one */
    if (st) return st;
    int code = 0;
    *out = zip_open(path, ZIP_RDONLY, &code);
    if (*out) return AC_OK;
    zip_error_t e;
    zip_error_init_with_code(&e, code);
    st = ac_fail(err, AC_EFORMAT, "%s: no readable zip archive (%s); fetch it again", path, zip_error_strerror(&e));
    zip_error_fini(&e);
    return st;
}

static ac_status find_member(zip_t *z, const char *path, const char *suffix, uint64_t *index, ac_err *err)
{
    const ac_view end = ac_view_of(suffix);
    const zip_int64_t n = zip_get_num_entries(z, 0);
    size_t found = 0;
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(z, (zip_uint64_t)i, 0);
        if (!name || !ac_view_ends(ac_view_of(name), end)) continue;
        *index = (uint64_t)i;
        found++;
    }
    if (found == 1) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: %zu members end in \"%s\"; exactly one was expected", path, found, suffix);
}

static ac_status copy_member(zip_file_t *f, ac_writer *w, const char *path, uint64_t max_bytes, ac_err *err)
{
    char *buf = ac_malloc(CHUNK);
    if (!buf) return ac_fail_nomem(err, CHUNK);
    uint64_t total = 0;
    ac_status st = AC_OK;
    while (!st) {
        const zip_int64_t got = zip_fread(f, buf, CHUNK);
        if (got == 0) break;
        if (got < 0) {                                 /* a wrong checksum shows here too */
            st = ac_fail(err, AC_EFORMAT, "%s: a member cannot be unpacked (%s); fetch the archive again", path,
                         zip_error_strerror(zip_file_get_error(f)));
            break;
        }
        total += (uint64_t)got;
        if (total > max_bytes)
            st = ac_fail(err, AC_EFORMAT, "%s: a member unpacks to more than %llu bytes", path,
                         (unsigned long long)max_bytes);
        if (!st) st = ac_writer_write(w, buf, (size_t)got, err);
    }
    ac_free(buf);
    return st;
}

ac_status ac_zip_extract_suffix(const char *zip_path, const char *suffix, const char *out_path,
                                uint64_t max_bytes, ac_err *err)
{
    zip_t *z = NULL;
    zip_file_t *f = NULL;
    ac_writer *w = NULL;
    uint64_t index = 0;
    ac_status st = open_archive(&z, zip_path, err);
    if (!st) st = find_member(z, zip_path, suffix, &index, err);
    if (!st && !(f = zip_fopen_index(z, index, 0)))
        st = ac_fail(err, AC_EFORMAT, "%s: a member cannot be opened (%s)", zip_path, zip_strerror(z));
    if (!st) st = ac_writer_open(&w, out_path, err);
    if (!st) st = copy_member(f, w, zip_path, max_bytes, err);
    if (!st) st = ac_writer_commit(&w, err);
    ac_writer_abort(&w);
    if (f) (void)zip_fclose(f);
    if (z) zip_discard(z);
    return st;
}
