/* forget: the bytes of a run go, its record stays. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "base/user.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/project.h"
#include "ledger/ledger.h"

static struct {
    const char *run, *reason;
    bool force, dry_run;
} a;

static const ac_opt options[] = {
    AC_OPT_ARG("RUN", &a.run, "its id, the beginning of its id, or its path"),
    AC_OPT_GROUP("Forgetting"),
    AC_OPT_STR(0, "reason", &a.reason, "text", "why; kept in run.json and in the audit log; needed"),
    AC_OPT_BOOL(0, "force", &a.force, "also a run that is promoted"),
    AC_OPT_BOOL('n', "dry-run", &a.dry_run, "say what would go, and leave everything"),
    AC_OPT_END
};

typedef struct {
    ac_arena arena;
    char *dir;
    const char *id;
    ac_str files;
    uint64_t bytes;
    bool again;                      /* it was forgotten before; what is left goes */
} work;

/* Refuses a run that some channel still stands on, now or after a rollback. */
static ac_status check_promoted(work *w, ac_err *err)
{
    char **names;
    size_t n = 0;
    ac_status st = AC_OK;
    if (a.force || !ac_path_is_dir(".accord/promoted")) return AC_OK;
    st = ac_dir_list(".accord/promoted", &w->arena, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        const ac_view v = ac_view_of(names[i]);
        ac_promotions h;
        if (!ac_view_ends(v, AC_VIEW(".json"))) continue;
        char *channel = ac_arena_strndup(&w->arena, names[i], v.len - 5);
        st = channel ? ac_promotions_read(&h, &w->arena, ".", channel, err) : ac_fail_nomem(err, v.len);
        for (size_t k = 0; !st && k < h.n_stack; k++)
            if (strcmp(h.act[h.stack[k]].run, w->id) == 0)
                st = ac_fail(err, AC_EREFUSED, "run %s %s channel %s; promote another one first, or say --force", w->id,
                             k + 1 == h.n_stack ? "serves on" : "is what a rollback would go back to on", channel);
    }
    return st;
}

static ac_status check_state(work *w, ac_err *err)
{
    char *path = NULL;
    const ac_json *run = NULL;
    ac_view state;
    ac_status st = ac_run_path(&path, &w->arena, w->dir, "run.json", err);
    if (!st) st = ac_json_parse_file(&run, path, &w->arena, NULL, err);
    if (!st) st = ac_json_get_str(&state, run, "state", path, err);
    if (st) return st;
    w->again = ac_view_eq_str(state, "forgotten");
    if (ac_view_eq_str(state, "training"))
        return ac_fail(err, AC_EREFUSED, "run %s says that it is training; stop it, or let it end, first", w->id);
    return AC_OK;
}

/* run.json first says what goes: a stop in between leaves a run that says so, and forgetting again finishes. */
static ac_status write_stub(const work *w, ac_err *err)
{
    char utc[32], by[AC_USER_NAME];
    ac_str s = { 0 };
    ac_arena arena = { 0 };
    char *path = NULL;
    ac_utc_iso(utc, ac_utc_ns());
    ac_user_name(by);
    ac_str_appendf(&s, "{\"utc\": \"%s\", \"by\": ", utc);
    ac_json_quote(&s, ac_view_of(by));
    ac_str_append_c(&s, ", \"reason\": ");
    ac_json_quote(&s, ac_view_of(a.reason));
    ac_str_appendf(&s, ", \"bytes\": %llu, \"files\": ", (unsigned long long)w->bytes);
    ac_str_append(&s, ac_str_view(&w->files));
    ac_str_append_c(&s, "}");
    ac_status st = ac_str_ok(&s) ? ac_run_path(&path, &arena, w->dir, "run.json", err) : ac_fail_nomem(err, s.len);
    if (!st && !w->again) st = ac_json_file_set(path, "forgotten", ac_str_view(&s), err);
    if (!st) st = ac_json_file_set(path, "state", AC_VIEW("\"forgotten\""), err);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

static ac_status record(const work *w, ac_err *err)
{
    ac_str s = { 0 };
    const ac_sha256 h = ac_sha256_of(ac_str_c(&w->files), w->files.len);
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &h);
    ac_str_appendf(&s, "\"run\":\"%s\",\"bytes\":%llu,\"files_sha256\":\"%s\",\"force\":%s,\"reason\":", w->id,
                   (unsigned long long)w->bytes, hex, a.force ? "true" : "false");
    ac_json_quote(&s, ac_view_of(a.reason));
    const ac_status st = ac_str_ok(&s) ? ac_audit_append(".", "forget", ac_str_c(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status show(ac_cli *cli, const work *w, ac_err *err)
{
    ac_str s = { 0 };
    char size[32];
    ac_human_bytes(size, w->bytes);
    if (cli->json) {
        ac_str_appendf(&s, "{\"run\":\"%s\",\"bytes\":%llu,\"dry_run\":%s,\"files\":", w->id, (unsigned long long)w->bytes,
                       a.dry_run ? "true" : "false");
        ac_str_append(&s, ac_str_view(&w->files));
        ac_str_append_c(&s, "}");
    } else {
        ac_str_appendf(&s, "%s  %s %s; run.json keeps their names and hashes\n", w->id, size,
                       a.dry_run ? "would go" : "forgotten");
    }
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    work w = { .dir = NULL };
    ac_status st = a.reason && a.reason[0] ? AC_OK
        : ac_fail(err, AC_EARG, "give --reason TEXT: the record keeps why the bytes went");
    if (!st && strcmp(a.run, "latest") == 0)
        st = ac_fail(err, AC_EARG, "name the run by its id: \"latest\" may be another one than you think");
    if (!st) st = ac_run_find(&w.dir, &w.arena, ".", a.run, err);
    if (!st) {
        w.id = ac_run_id(w.dir);
        st = check_promoted(&w, err);
    }
    if (!st) st = check_state(&w, err);
    if (!st) st = ac_run_inventory(&w.files, w.dir, &w.bytes, err);
    if (!st && !a.dry_run) {
        st = record(&w, err);
        if (!st) st = write_stub(&w, err);
        if (!st) st = ac_run_forget(w.dir, err);
    }
    if (!st) st = show(cli, &w, err);
    ac_str_release(&w.files);
    ac_arena_release(&w.arena);
    return st;
}

const ac_cmd ac_cmd_forget = {
    .name = "forget",
    .group = "Keep and prove",
    .summary = "remove the bytes of a run and keep its record",
    .text = "Weights, checkpoints, samples and the report go, and the words of cases and answers in verdict.json. What stays: "
            "run.json (with the name, size and SHA-256 of each file that went, who, when and why), lock, trace, metrics, cost, "
            "the verdict's numbers, and the audit record. What backups hold, they hold.",
    .options = options,
    .run = run,
};
