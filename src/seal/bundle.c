#include "seal/bundle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"

#define PIECE ((size_t)1 << 20)
#define LIST_MAX ((size_t)256 << 20)

/* ---- writing ---------------------------------------------------------------------------------------------------- */

typedef struct {
    ac_age_writer *age;
    ac_writer *file;
    ac_str list;
    const ac_sink *sink;
    uint64_t done;
} packer;

static ac_status to_file(void *ctx, const void *data, size_t len, ac_err *err)
{
    return ac_writer_write(ctx, data, len, err);
}

static ac_status progress(const ac_sink *sink, ac_event_kind kind, const char *text, uint64_t done, uint64_t total, ac_err *err)
{
    return ac_emit(sink, &(ac_event){ .kind = kind, .text = text, .unit = "bytes", .done = done, .total = total }, err);
}

static ac_status put_member(packer *p, const char *name, const uint8_t *data, size_t len, ac_err *err)
{
    static const uint8_t zero[AC_TAR_BLOCK];
    uint8_t head[AC_TAR_BLOCK];
    ac_status st = ac_tar_header(head, ac_view_of(name), len, err);
    if (!st) st = ac_age_writer_write(p->age, head, sizeof head, err);
    for (size_t at = 0; at < len && !st; at += PIECE) {
        const size_t n = len - at < PIECE ? len - at : PIECE;
        st = ac_age_writer_write(p->age, data + at, n, err);
        if (!st) st = progress(p->sink, AC_EV_PROGRESS, NULL, p->done += n, 0, err);
    }
    return st ? st : ac_age_writer_write(p->age, zero, ac_tar_padding(len), err);
}

static ac_status put_file(packer *p, const ac_bundle_file *f, bool first, ac_err *err)
{
    ac_map m = { .ptr = NULL };
    char hex[AC_SHA256_HEX];
    ac_status st = ac_map_open_raw(&m, f->path, err);
    if (st) return st;
    const ac_sha256 h = ac_sha256_of(m.ptr, m.len);
    ac_sha256_hex(hex, &h);
    st = put_member(p, f->name, m.ptr, m.len, err);
    ac_str_append_c(&p->list, first ? "\n    {\"name\":" : ",\n    {\"name\":");
    ac_json_quote(&p->list, ac_view_of(f->name));
    ac_str_appendf(&p->list, ",\"bytes\":%zu,\"sha256\":\"%s\"}", m.len, hex);
    ac_map_close(&m);
    return st;
}

static ac_status pack(packer *p, const ac_bundle_file *file, size_t n, const char *about, ac_err *err)
{
    static const uint8_t zero[2 * AC_TAR_BLOCK];
    ac_status st = AC_OK;
    ac_str_append_c(&p->list, "{\n  \"accord_backup\": 1,\n");
    if (about) ac_str_appendf(&p->list, "  %s,\n", about);
    ac_str_append_c(&p->list, "  \"files\": [");
    for (size_t i = 0; i < n && !st; i++) st = put_file(p, &file[i], i == 0, err);
    ac_str_append_c(&p->list, "\n  ]\n}\n");
    if (!st && !ac_str_ok(&p->list)) st = ac_fail_nomem(err, p->list.len);
    if (!st) st = put_member(p, AC_BUNDLE_LIST, (const uint8_t *)p->list.ptr, p->list.len, err);
    return st ? st : ac_age_writer_write(p->age, zero, sizeof zero, err);
}

static ac_status total_bytes(uint64_t *out, const ac_bundle_file *file, size_t n, ac_err *err)
{
    ac_status st = AC_OK;
    *out = 0;
    for (size_t i = 0; i < n && !st; i++) {
        uint64_t size = 0;
        st = ac_file_size(file[i].path, &size, err);
        *out += size;
    }
    return st;
}

static ac_status read_body(const ac_json **list, ac_arena *a, const ac_age_body *body, const char *name, const char *into,
                           const ac_sink *sink, ac_err *err);

/* B2: under the payload's key, for we need not be a recipient. */
static ac_status check_written(const char *path, const uint8_t key[32], const ac_sink *sink, ac_err *err)
{
    ac_arena a = { 0 };
    ac_map m = { .ptr = NULL };
    ac_age_body body = { .chunk = NULL };
    const ac_json *list;
    ac_status st = ac_map_open_raw(&m, path, err);
    if (!st) st = ac_age_open_with_key(&body, m.ptr, m.len, key, path, err);
    if (!st) st = read_body(&list, &a, &body, path, NULL, sink, err);
    ac_age_wipe(&body);
    ac_map_close(&m);
    ac_arena_release(&a);
    return st ? ac_err_prefix(err, st, "reading the backup again") : AC_OK;
}

ac_status ac_bundle_write(const char *out, const ac_age_to *to, const ac_bundle_file *file, size_t n, const char *about,
                          const ac_sink *sink, uint64_t *bytes, ac_err *err)
{
    packer p = { .sink = sink };
    ac_arena a = { 0 };
    uint8_t key[32];
    const char *part = ac_arena_printf(&a, "%s.part", out);
    ac_status st = part ? total_bytes(bytes, file, n, err) : ac_fail_nomem(err, strlen(out));
    if (!st && ac_path_exists(out)) st = ac_fail(err, AC_ECREATE, "%s: is there already and is not replaced", out);
    if (!st) st = progress(sink, AC_EV_STAGE, "pack", 0, *bytes, err);
    if (!st) st = ac_writer_open(&p.file, part, err);
    if (!st) st = ac_age_writer_open(&p.age, to, to_file, p.file, err);
    if (!st) st = pack(&p, file, n, about, err);
    if (!st) {
        ac_age_writer_key(p.age, key);
        st = ac_age_writer_finish(&p.age, err);
    }
    ac_age_writer_abort(&p.age);
    const bool written = !st;
    if (!st) st = ac_writer_commit(&p.file, err);
    ac_writer_abort(&p.file);
    if (!st) st = progress(sink, AC_EV_STAGE_END, NULL, 0, 0, err);
    if (!st) st = check_written(part, key, sink, err);
    if (!st) st = ac_rename(part, out, err);
    if (st && written) (void)unlink(part);
    ac_wipe(key, sizeof key);
    ac_str_release(&p.list);
    ac_arena_release(&a);
    return st;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

typedef struct {
    ac_arena *a;                     /* for the list */
    const char *where, *into;        /* into NULL: check only */
    const ac_sink *sink;
    uint64_t done;
    char name[AC_TAR_NAME + 1];
    uint64_t size;
    ac_sha256_state hash;
    ac_writer *file;
    bool is_list, have_list;
    ac_str list, seen;               /* seen: a line a member, as the list has to name them */
    uint64_t members;
    const ac_json *parsed;
} unpacker;

static ac_status open_member(unpacker *u, ac_err *err)
{
    ac_arena a = { 0 };
    char *path = ac_path_join(&a, u->into, u->name);
    ac_status st = path ? AC_OK : ac_fail_nomem(err, strlen(u->into));
    char *slash = path ? strrchr(path, '/') : NULL;
    if (!st && slash) {
        *slash = '\0';
        st = ac_mkdir_p(path, err);
        *slash = '/';
    }
    if (!st && ac_path_exists(path)) st = ac_fail(err, AC_EFORMAT, "%s: names %s twice", u->where, u->name);
    if (!st) st = ac_writer_open(&u->file, path, err);
    ac_arena_release(&a);
    return st;
}

static ac_status begin(void *ctx, const char *name, uint64_t size, ac_err *err)
{
    unpacker *u = ctx;
    if (u->have_list) return ac_fail(err, AC_EFORMAT, "%s: a member follows the list of members", u->where);
    (void)snprintf(u->name, sizeof u->name, "%s", name);
    u->size = size;
    u->is_list = strcmp(name, AC_BUNDLE_LIST) == 0;
    if (u->is_list && size > LIST_MAX) return ac_fail(err, AC_EFORMAT, "%s: its list has %llu bytes", u->where,
                                                      (unsigned long long)size);
    ac_sha256_init(&u->hash);
    return !u->is_list && u->into ? open_member(u, err) : AC_OK;
}

static ac_status data(void *ctx, const void *bytes, size_t len, ac_err *err)
{
    unpacker *u = ctx;
    ac_status st = progress(u->sink, AC_EV_PROGRESS, NULL, u->done += len, 0, err);
    if (st) return st;
    if (u->is_list) {
        ac_str_append(&u->list, (ac_view){ bytes, len });
        return ac_str_ok(&u->list) ? AC_OK : ac_fail_nomem(err, len);
    }
    ac_sha256_add(&u->hash, bytes, len);
    return u->file ? ac_writer_write(u->file, bytes, len, err) : AC_OK;
}

static void describe(ac_str *out, ac_view name, uint64_t bytes, ac_view hex)
{
    ac_json_quote(out, name);
    ac_str_appendf(out, " %llu " AC_VIEW_FMT "\n", (unsigned long long)bytes, AC_VIEW_ARG(hex));
}

/* B1: the list names what was seen, all of it, in this order. */
static ac_status check_list(unpacker *u, ac_err *err)
{
    ac_str said = { 0 };
    int64_t version = 0;
    ac_status st = ac_json_parse(&u->parsed, ac_str_view(&u->list), u->a, AC_BUNDLE_LIST, 1, NULL, err);
    if (!st) st = ac_json_get_i64(&version, u->parsed, "accord_backup", AC_BUNDLE_LIST, err);
    if (st == AC_ENOENT) st = AC_EFORMAT;
    const ac_json *files = st ? NULL : ac_json_get(u->parsed, "files");
    if (!st && (version != 1 || !files || files->type != AC_JSON_ARRAY))
        st = ac_fail(err, AC_EFORMAT, "%s: its list is of another version or lacks its files", u->where);
    for (const ac_json *f = files ? files->child : NULL; f && !st; f = f->next) {
        ac_view name = { NULL, 0 }, hex = { NULL, 0 };
        int64_t bytes = 0;
        st = ac_json_get_str(&name, f, "name", AC_BUNDLE_LIST, err);
        if (!st) st = ac_json_get_str(&hex, f, "sha256", AC_BUNDLE_LIST, err);
        if (!st) st = ac_json_get_i64(&bytes, f, "bytes", AC_BUNDLE_LIST, err);
        if (st == AC_ENOENT) st = AC_EFORMAT;
        if (!st) describe(&said, name, (uint64_t)bytes, hex);
    }
    if (!st && (!ac_str_ok(&said) || !ac_str_ok(&u->seen))) st = ac_fail_nomem(err, said.len);
    if (!st && !ac_view_eq(ac_str_view(&said), ac_str_view(&u->seen)))
        st = ac_fail(err, AC_EFORMAT, "%s: what it holds is not what its list says", u->where);
    ac_str_release(&said);
    return st;
}

static ac_status end(void *ctx, ac_err *err)
{
    unpacker *u = ctx;
    ac_sha256 h;
    char hex[AC_SHA256_HEX];
    if (u->is_list) {
        u->have_list = true;
        return check_list(u, err);
    }
    ac_sha256_done(&u->hash, &h);
    ac_sha256_hex(hex, &h);
    describe(&u->seen, ac_view_of(u->name), u->size, ac_view_of(hex));
    u->members++;
    return u->file ? ac_writer_commit(&u->file, err) : AC_OK;
}

static ac_status push(void *ctx, const void *bytes, size_t len, ac_err *err)
{
    return ac_tar_push(ctx, bytes, len, err);
}

static ac_tar_reader reader_of(unpacker *u)
{
    return (ac_tar_reader){ .visit = { begin, data, end, u }, .where = u->where };
}

static ac_status finish(unpacker *u, const ac_tar_reader *r, ac_err *err)
{
    const ac_status st = ac_tar_finish(r, err);
    return !st && !u->have_list ? ac_fail(err, AC_EFORMAT, "%s: lacks its list of members", u->where) : st;
}

static void release(unpacker *u)
{
    ac_writer_abort(&u->file);
    ac_str_release(&u->list);
    ac_str_release(&u->seen);
}

static ac_status read_body(const ac_json **list, ac_arena *a, const ac_age_body *body, const char *name, const char *into,
                           const ac_sink *sink, ac_err *err)
{
    unpacker u = { .a = a, .where = name, .into = into, .sink = sink };
    ac_tar_reader r = reader_of(&u);
    ac_status st = progress(sink, AC_EV_STAGE, into ? "unpack" : "check", 0, body->plain_bytes, err);
    if (!st) st = ac_age_read(body, push, &r, name, err);
    if (!st) st = finish(&u, &r, err);
    if (!st) st = progress(sink, AC_EV_STAGE_END, NULL, 0, 0, err);
    release(&u);
    if (!st) *list = u.parsed;
    return st;
}

ac_status ac_bundle_check_tar(const void *bytes, size_t len, const char *name, ac_err *err)
{
    ac_arena a = { 0 };
    unpacker u = { .a = &a, .where = name };
    ac_tar_reader r = reader_of(&u);
    ac_status st = ac_tar_push(&r, bytes, len, err);
    if (!st) st = finish(&u, &r, err);
    release(&u);
    ac_arena_release(&a);
    return st;
}

/* B3: absent, or an empty folder. */
static ac_status check_target(const char *into, ac_err *err)
{
    ac_arena a = { 0 };
    char **names;
    size_t n = 0;
    ac_status st = AC_OK;
    if (ac_path_exists(into)) st = ac_dir_list(into, &a, &names, &n, err);
    ac_arena_release(&a);
    if (!st && n) return ac_fail(err, AC_ECREATE, "%s: is not empty; a backup is restored into a new or empty folder", into);
    return st;
}

ac_status ac_bundle_read(const ac_json **list, ac_arena *a, const char *path, const ac_age_from *from, const char *into,
                         const ac_sink *sink, ac_err *err)
{
    ac_map m = { .ptr = NULL };
    ac_age_body body = { .chunk = NULL };
    char *beside = NULL;
    ac_status st = into ? check_target(into, err) : AC_OK;
    if (!st && into) {
        size_t n = strlen(into);
        while (n > 1 && into[n - 1] == '/') n--;
        beside = ac_arena_printf(a, "%.*s.restoring-%ld", (int)n, into, (long)getpid());
        if (!beside) st = ac_fail_nomem(err, n);
    }
    if (!st) st = ac_map_open_raw(&m, path, err);
    if (!st) st = ac_age_open(&body, m.ptr, m.len, from, path, err);
    if (!st && beside) st = ac_remove_tree(beside, err);      /* of a restore that was stopped under this number */
    if (!st && beside) st = ac_mkdir_p(beside, err);
    if (!st) st = read_body(list, a, &body, path, beside, sink, err);
    if (!st && beside) st = ac_rename(beside, into, err);
    if (st && beside) (void)ac_remove_tree(beside, NULL);
    ac_age_wipe(&body);
    ac_map_close(&m);
    return st;
}
