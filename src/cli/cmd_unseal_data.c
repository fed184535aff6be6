/* unseal-data: FILE.age becomes FILE again, as age -d would. */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/keys.h"
#include "formats/json.h"
#include "seal/age.h"

static struct {
    ac_opt_list files;
} a;

static const ac_opt options[] = {
    AC_OPT_ARGS("FILE.age", &a.files, 1, AC_OPT_LIST_MAX, "what to open; FILE must not be there"),
    AC_OPT_END
};

static ac_status to_file(void *ctx, const void *data, size_t len, ac_err *err)
{
    return ac_writer_write(ctx, data, len, err);
}

static ac_status one(const char *path, ac_jw *w, ac_str *text, ac_err *err)
{
    const ac_age_from *from = NULL;
    ac_arena arena = { 0 };
    ac_map m = { .ptr = NULL };
    ac_age_body body = { .chunk = NULL };
    ac_writer *file = NULL;
    const ac_view v = ac_view_of(path);
    if (!ac_view_ends(v, AC_VIEW(".age")) || v.len == 4)
        return ac_fail(err, AC_EARG, "%s: expected a name that ends in .age", path);
    char *out = ac_arena_strndup(&arena, path, v.len - 4);
    ac_status st = out ? ac_keys_from(&from, err) : ac_fail_nomem(err, v.len);
    if (!st && ac_path_exists(out)) st = ac_fail(err, AC_ECREATE, "%s: is there already and is not replaced", out);
    if (!st) st = ac_map_open_raw(&m, path, err);
    if (!st) st = ac_age_open(&body, m.ptr, m.len, from, path, err);
    if (!st) st = ac_writer_open(&file, out, err);
    if (!st) st = ac_age_read(&body, to_file, file, path, err);
    if (!st) st = ac_writer_commit(&file, err);
    ac_writer_abort(&file);
    if (!st) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "sealed", path);
        ac_jw_cstr(w, "file", out);
        ac_jw_u64(w, "bytes", body.plain_bytes);
        ac_jw_end_object(w);
        ac_str_appendf(text, "%s  %zu bytes\n", out, body.plain_bytes);
    }
    ac_age_wipe(&body);
    ac_map_close(&m);
    ac_arena_release(&arena);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_str json = { 0 }, text = { 0 };
    ac_jw w;
    ac_status st = AC_OK;
    (void)umask(077);                    /* what lay sealed is its owner's alone */
    ac_jw_init(&w, &json, false);
    ac_jw_array(&w, NULL);
    for (size_t i = 0; i < a.files.n && !st; i++) st = one(a.files.item[i], &w, &text, err);
    ac_jw_end_array(&w);
    if (!st) st = ac_cli_result(cli, cli->json ? &json : &text, err);
    ac_str_release(&json);
    ac_str_release(&text);
    return st;
}

const ac_cmd ac_cmd_unseal_data = {
    .name = "unseal-data",
    .group = "Keep and prove",
    .summary = "write sealed data out again",
    .text = "Opens FILE.age with the identity in ACCORD_IDENTITY (else your own of accord key) or its passphrase and writes "
            "FILE, whole or not at all. No other command needs this: sealed files are read as they are.",
    .options = options,
    .run = run,
};
