/* seal-data: FILE becomes FILE.age, which the age tool opens and every command here reads as it is. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "cli/commands.h"
#include "cli/keys.h"
#include "formats/json.h"
#include "seal/age.h"

#define PIECE ((size_t)1 << 20)

static struct {
    ac_opt_list files;
    ac_seal_opts to;
    bool remove_;
} a = { .to.work = AC_AGE_WORK_DEFAULT };

static const ac_opt options[] = {
    AC_OPT_ARGS("FILE", &a.files, 1, AC_OPT_LIST_MAX, "what to seal; FILE.age must not be there yet"),
    AC_SEAL_OPTIONS(a.to),
    AC_OPT_GROUP("Original"),
    AC_OPT_BOOL(0, "remove", &a.remove_,
                "remove FILE after FILE.age was opened again and gave the same bytes; needs a key that opens it"),
    AC_OPT_END
};

static ac_status to_file(void *ctx, const void *data, size_t len, ac_err *err)
{
    return ac_writer_write(ctx, data, len, err);
}

static ac_status to_hash(void *ctx, const void *data, size_t len, ac_err *err)
{
    (void)err;
    ac_sha256_add(ctx, data, len);
    return AC_OK;
}

static ac_status seal(ac_cli *cli, const ac_map *m, const char *name, const char *out, const ac_age_to *to, ac_err *err)
{
    ac_writer *file = NULL;
    ac_age_writer *w = NULL;
    ac_status st = ac_writer_open(&file, out, err);
    if (!st) st = ac_age_writer_open(&w, to, to_file, file, err);
    ac_cli_stage(cli, name, "bytes", m->len);
    for (size_t at = 0; !st && at < m->len; at += PIECE) {
        st = ac_age_writer_write(w, m->ptr + at, m->len - at < PIECE ? m->len - at : PIECE, err);
        ac_cli_stage_at(cli, at);
    }
    if (!st) st = ac_age_writer_finish(&w, err);
    ac_age_writer_abort(&w);
    ac_cli_stage_end(cli);
    if (!st) return ac_writer_commit(&file, err);
    ac_writer_abort(&file);
    return st;
}

/* Opens what was written as anybody would, and compares. */
static ac_status check(const char *path, const ac_sha256 *want, const ac_age_to *to, ac_err *err)
{
    const ac_age_from *from = NULL;
    ac_map m = { .ptr = NULL };
    ac_age_body body = { .chunk = NULL };
    ac_sha256_state s;
    ac_sha256 got;
    ac_status st = ac_keys_from(&from, err);
    if (!st) st = ac_map_open_raw(&m, path, err);
    if (!st && to->n && !from->n)
        st = ac_fail(err, AC_ENOENT, "no identity here opens it, so it cannot be checked");
    if (!st) st = ac_age_open(&body, m.ptr, m.len, from, path, err);
    ac_sha256_init(&s);
    if (!st) st = ac_age_read(&body, to_hash, &s, path, err);
    ac_sha256_done(&s, &got);
    if (!st && memcmp(got.byte, want->byte, sizeof got.byte) != 0)
        st = ac_fail(err, AC_EIO, "opening it gives other bytes");
    ac_age_wipe(&body);
    ac_map_close(&m);
    return st ? ac_err_prefix(err, st, "%s: the original stays", path) : AC_OK;
}

static ac_status one(ac_cli *cli, const char *path, const ac_age_to *to, ac_jw *w, ac_str *text, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_map m = { .ptr = NULL };
    char hex[AC_SHA256_HEX];
    ac_sha256 hash = { { 0 } };
    char *out = ac_arena_printf(&arena, "%s.age", path);
    ac_status st = out ? ac_map_open_raw(&m, path, err) : ac_fail_nomem(err, strlen(path));
    if (!st && ac_age_is(m.ptr, m.len)) st = ac_fail(err, AC_EARG, "%s: is sealed already", path);
    if (!st && ac_path_exists(out)) st = ac_fail(err, AC_ECREATE, "%s: is there already and is not replaced", out);
    if (!st) {
        hash = ac_sha256_of(m.ptr, m.len);
        ac_sha256_hex(hex, &hash);
        st = seal(cli, &m, path, out, to, err);
    }
    if (!st && a.remove_) st = check(out, &hash, to, err);
    if (!st && a.remove_ && unlink(path) != 0) st = ac_fail(err, AC_EIO, "%s: cannot be removed; %s is whole", path, out);
    if (!st) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "file", path);
        ac_jw_cstr(w, "sealed", out);
        ac_jw_u64(w, "bytes", m.len);
        ac_jw_cstr(w, "sha256", hex);
        ac_jw_bool(w, "removed", a.remove_);
        ac_jw_end_object(w);
        ac_str_appendf(text, "%s  %zu bytes%s\n", out, m.len, a.remove_ ? ", checked; the original is removed" : "");
    }
    ac_map_close(&m);
    ac_arena_release(&arena);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_age_to to = { .n = 0 };
    ac_str json = { 0 }, text = { 0 };
    ac_jw w;
    ac_status st = ac_keys_to(&to, &arena, &a.to, err);
    ac_jw_init(&w, &json, false);
    ac_jw_array(&w, NULL);
    for (size_t i = 0; i < a.files.n && !st; i++) st = one(cli, a.files.item[i], &to, &w, &text, err);
    ac_jw_end_array(&w);
    if (!st) st = ac_cli_result(cli, cli->json ? &json : &text, err);
    ac_str_release(&json);
    ac_str_release(&text);
    ac_arena_release(&arena);
    return st;
}

static const char *const examples[] = {
    "accord seal-data data/train.jsonl evals/cases.jsonl --self --recipients-file team.txt",
    "accord seal-data data/train.jsonl --passphrase --remove",
    NULL
};

const ac_cmd ac_cmd_seal_data = {
    .name = "seal-data",
    .group = "Keep and prove",
    .summary = "encrypt data at rest, in files that the age tool opens",
    .text = "Writes FILE.age for recipients or under a passphrase. Name it in accord.yaml in place of FILE: every command opens "
            "it in memory when it is read, with the identity in ACCORD_IDENTITY (else your own of accord key) or the "
            "passphrase, and writes nothing of it to disk.\n\nRemoving a file does not erase its bytes from every disk; an "
            "encrypted disk does.",
    .examples = examples,
    .options = options,
    .run = run,
};
