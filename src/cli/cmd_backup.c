/* backup, backup verify, backup restore: a project's record in one encrypted file. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/keys.h"
#include "cli/project.h"
#include "ledger/ledger.h"
#include "seal/bundle.h"

static struct {
    ac_opt_list runs;
    bool all, data;
    const char *out, *file, *into;
    ac_seal_opts to;
} a = { .to.work = AC_AGE_WORK_DEFAULT };

static const ac_opt write_options[] = {
    AC_OPT_GROUP("What"),
    AC_OPT_LIST(0, "run", &a.runs, "run", "this run only; may be given again"),
    AC_OPT_BOOL(0, "all", &a.all, "all runs; so it is without --run"),
    AC_OPT_BOOL(0, "data", &a.data, "rows, cases, documents and database of the contract, too, as they lie"),
    AC_OPT_GROUP("Where to"),
    AC_OPT_PATH_REQ('o', "out", &a.out, "file", "the backup; must not be there yet"),
    AC_SEAL_OPTIONS(a.to),
    AC_OPT_END
};

static const ac_opt verify_options[] = {
    AC_OPT_ARG("FILE", &a.file, "the backup"),
    AC_OPT_END
};

static const ac_opt restore_options[] = {
    AC_OPT_ARG("FILE", &a.file, "the backup"),
    AC_OPT_GROUP("Where to"),
    AC_OPT_PATH_REQ(0, "into", &a.into, "folder", "a new or empty folder"),
    AC_OPT_END
};

#define FILES_MAX ((size_t)1 << 20)

typedef struct {
    ac_arena arena;
    ac_bundle_file *file;
    size_t n, cap;
    ac_str about;
    size_t n_runs;
} plan;

static ac_status add(plan *p, const char *name, ac_err *err)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->file[i].name, name) == 0) return AC_OK;
    if (p->n == p->cap) {
        const size_t more = p->cap ? p->cap * 2 : 256;
        ac_bundle_file *f = more > FILES_MAX ? NULL : ac_arena_alloc_array(&p->arena, more, sizeof *f);
        if (!f) return ac_fail_nomem(err, more * sizeof *f);
        if (p->n) memcpy(f, p->file, p->n * sizeof *f);
        p->file = f;
        p->cap = more;
    }
    char *copy = ac_arena_strndup(&p->arena, name, strlen(name));
    if (!copy) return ac_fail_nomem(err, strlen(name));
    p->file[p->n++] = (ac_bundle_file){ copy, copy };       /* the project's folder is the current one */
    return AC_OK;
}

static ac_status add_if_there(plan *p, const char *name, ac_err *err)
{
    return ac_path_exists(name) && !ac_path_is_dir(name) ? add(p, name, err) : AC_OK;
}

/* Lock files and half-written ones belong to who is at work now. */
static bool passing(const char *name)
{
    const ac_view v = ac_view_of(name);
    return ac_view_find(v, AC_VIEW(".tmp-"), 0) != SIZE_MAX || ac_view_find(v, AC_VIEW(".tmp."), 0) != SIZE_MAX
           || ac_view_ends(v, AC_VIEW("/lock")) || ac_view_ends(v, AC_VIEW(".lock"));
}

static ac_status add_folder(plan *p, const char *dir, ac_err *err)
{
    char **names;
    size_t n = 0;
    ac_status st = ac_dir_files(dir, &p->arena, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        const char *name = ac_arena_printf(&p->arena, "%s/%s", dir, names[i]);
        if (!name) st = ac_fail_nomem(err, strlen(dir));
        else if (!passing(names[i])) st = add(p, name, err);
    }
    return st;
}

/* A run has to lie in this project: its place in the bundle is its place here. */
static ac_status add_run(plan *p, const char *name, ac_err *err)
{
    char *dir = NULL;
    ac_status st = ac_run_find(&dir, &p->arena, ".", name, err);
    const char *id = st ? NULL : ac_run_id(dir);
    const char *here = id ? ac_arena_printf(&p->arena, ".accord/runs/%s", id) : NULL;
    if (!st && !here) st = ac_fail_nomem(err, 64);
    if (!st && !ac_path_is_dir(here)) st = ac_fail(err, AC_EARG, "%s: is no run of this project", name);
    if (!st) st = add_folder(p, here, err);
    p->n_runs++;
    return st;
}

static ac_status add_runs(plan *p, ac_err *err)
{
    ac_run_info *info;
    size_t n = 0;
    ac_status st = AC_OK;
    for (size_t i = 0; i < a.runs.n && !st; i++) st = add_run(p, a.runs.item[i], err);
    if (st || (a.runs.n && !a.all)) return st;
    st = ac_runs_list(&info, &n, &p->arena, ".", err);
    for (size_t i = 0; i < n && !st; i++) st = add_run(p, info[i].id, err);
    return st;
}

static ac_status add_data(plan *p, ac_err *err)
{
    ac_contract c = { .path = NULL };
    ac_status st = ac_contract_read(&c, ".", err);
    const char *const paths[] = { c.v.train, c.v.valid, c.v.cases, c.v.database, c.v.docs };
    for (size_t i = 0; i < AC_COUNTOF(paths) && !st; i++) {
        if (!paths[i]) continue;
        const char *name = strncmp(paths[i], "./", 2) == 0 ? paths[i] + 2 : paths[i];
        if (!ac_tar_name_ok(ac_view_of(name)))
            st = ac_fail(err, AC_EARG, "%s: lies outside the project, so --data cannot take it", paths[i]);
        else st = ac_path_is_dir(name) ? add_folder(p, name, err) : add(p, name, err);
    }
    ac_contract_release(&c);
    return st;
}

/* What the list says of the whole; a chain that does not hold is backed up all the same, and that is said. */
static ac_status about(plan *p, ac_cli *cli, ac_err *err)
{
    ac_audit_head head = { .count = 0 };
    ac_err own = { "" };
    char utc[32], hex[AC_SHA256_HEX];
    ac_utc_iso(utc, ac_utc_ns());
    const ac_status chain = ac_audit_verify(".", &head, &own);
    if (chain && chain != AC_ENO) return ac_fail(err, chain, "%s", own.text);
    ac_sha256_hex(hex, &head.head);
    ac_str_appendf(&p->about, "\"accord\": \"%s\",\n  \"utc\": \"%s\",\n  \"runs\": %zu,\n  \"audit\": ", ACCORD_VERSION, utc,
                   p->n_runs);
    if (chain) {
        ac_cli_note(cli, own.text);
        ac_str_append_c(&p->about, "{\"intact\": false}");
    } else {
        ac_str_appendf(&p->about, "{\"intact\": true, \"records\": %llu, \"head\": \"%s\"}", (unsigned long long)head.count, hex);
    }
    return ac_str_ok(&p->about) ? AC_OK : ac_fail_nomem(err, 256);
}

static ac_status make_plan(plan *p, ac_cli *cli, ac_err *err)
{
    ac_status st = ac_path_exists("accord.yaml") ? AC_OK
        : ac_fail(err, AC_ENOENT, "there is no accord.yaml here, so no project to back up; see -C");
    if (!st) st = add(p, "accord.yaml", err);
    char **names;
    size_t n = 0;
    if (!st) st = ac_dir_list(".", &p->arena, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++)                    /* accord.lock, and the forms of it that others read */
        if (strncmp(names[i], "accord.", 7) == 0 && strcmp(names[i], "accord.yaml") != 0 && !passing(names[i] + 7)
            && !ac_view_ends(ac_view_of(names[i]), AC_VIEW(".age")))
            st = add_if_there(p, names[i], err);
    if (!st) st = add_if_there(p, ".accord/audit.jsonl", err);
    if (!st) st = add_if_there(p, ".accord/cost.jsonl", err);
    if (!st && ac_path_is_dir(".accord/promoted")) st = add_folder(p, ".accord/promoted", err);
    if (!st) st = add_runs(p, err);
    if (!st && a.data) st = add_data(p, err);
    return st ? st : about(p, cli, err);
}

static ac_status run_write(ac_cli *cli, ac_err *err)
{
    plan p = { .n = 0 };
    ac_age_to to = { .n = 0 };
    ac_str s = { 0 };
    char size[32];
    uint64_t bytes = 0;
    ac_status st = ac_keys_to(&to, &p.arena, &a.to, err);
    if (!st) st = make_plan(&p, cli, err);
    if (!st) st = ac_bundle_write(a.out, &to, p.file, p.n, ac_str_c(&p.about), &cli->sink, &bytes, err);
    if (!st && cli->json) {
        ac_jw w;
        ac_jw_init(&w, &s, false);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "backup", a.out);
        ac_jw_u64(&w, "files", p.n);
        ac_jw_u64(&w, "runs", p.n_runs);
        ac_jw_u64(&w, "bytes", bytes);
        ac_jw_bool(&w, "verified", true);
        ac_jw_end_object(&w);
    } else if (!st) {
        ac_human_bytes(size, bytes);
        ac_str_appendf(&s, "%s  %zu file%s of %zu run%s, %s; read again and every hash compared\n", a.out, p.n, ac_plural(p.n),
                       p.n_runs, ac_plural(p.n_runs), size);
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    ac_str_release(&p.about);
    ac_arena_release(&p.arena);
    return st;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static ac_status show_list(ac_cli *cli, const ac_json *list, const char *into, ac_err *err)
{
    const ac_json *files = ac_json_get(list, "files"), *utc = ac_json_get(list, "utc"), *runs = ac_json_get(list, "runs");
    const ac_json *audit = ac_json_get(list, "audit"), *head = ac_json_get(audit, "head");
    double bytes = 0;
    char size[32];
    ac_str s = { 0 };
    for (const ac_json *f = files->child; f; f = f->next) bytes += ac_json_get(f, "bytes")->number;
    if (cli->json) {
        ac_str_appendf(&s, "{\"intact\":true,\"into\":");
        if (into) ac_json_quote(&s, ac_view_of(into));
        else ac_str_append_c(&s, "null");
        ac_str_append_c(&s, ",\"list\":");
        ac_json_write(&s, list);
        ac_str_append_c(&s, "}");
    } else {
        ac_human_bytes(size, (uint64_t)bytes);
        ac_str_appendf(&s, "%s  %u file%s, %s, ", into ? into : "intact", files->n, ac_plural(files->n), size);
        if (runs) ac_json_write(&s, runs);
        ac_str_appendf(&s, " run%s, made ", runs && runs->type == AC_JSON_NUMBER && runs->number == 1.0 ? "" : "s");
        if (utc) ac_cli_foreign(&s, cli, utc->text);
        ac_str_append_c(&s, "\naudit head  ");
        if (head && head->type == AC_JSON_STRING) ac_cli_foreign(&s, cli, head->text);
        else ac_str_append_c(&s, "the chain did not hold when this was made");
    }
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status read_it(ac_cli *cli, const char *into, ac_err *err)
{
    ac_arena arena = { 0 };
    const ac_age_from *from = NULL;
    const ac_json *list = NULL;
    ac_status st = ac_keys_from(&from, err);
    if (!st) st = ac_bundle_read(&list, &arena, a.file, from, into, &cli->sink, err);
    if (!st) st = show_list(cli, list, into, err);
    ac_arena_release(&arena);
    return st;
}

static ac_status run_verify(ac_cli *cli, ac_err *err)
{
    return read_it(cli, NULL, err);
}

static ac_status run_restore(ac_cli *cli, ac_err *err)
{
    (void)umask(077);                    /* what lay sealed is its owner's alone */
    return read_it(cli, a.into, err);
}

static const char *const examples[] = {
    "accord backup --out ../shop.age --self --recipients-file team.txt",
    "accord backup --run latest --data --out run.age --passphrase",
    NULL
};

const ac_cmd ac_cmd_backup = {
    .name = "backup",
    .group = "Keep and prove",
    .summary = "contract, lock, audit chain and runs in one encrypted file",
    .text = "An age file with a tar archive in it; its last member lists every other one with its SHA-256. Before the file "
            "gets its name it is read again from the disk and every hash is compared. age -d FILE | tar x opens it without "
            "this program.",
    .examples = examples,
    .options = write_options,
    .run = run_write,
};

const ac_cmd ac_cmd_backup_verify = {
    .name = "backup verify",
    .group = "Keep and prove",
    .summary = "open a backup and compare every hash, writing nothing",
    .text = "Exit 0: every byte is as it was written. A damaged, cut or foreign file is refused.",
    .options = verify_options,
    .run = run_verify,
};

const ac_cmd ac_cmd_backup_restore = {
    .name = "backup restore",
    .group = "Keep and prove",
    .summary = "unpack a backup into a new or empty folder",
    .text = "Everything is unpacked beside the folder and checked; only then does it get its name. Nothing is ever "
            "overwritten.",
    .options = restore_options,
    .run = run_restore,
};
