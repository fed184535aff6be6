/* promote and rollback: which run serves on a channel. What is shipped is what was scored (V6): the adapter's bytes are
 * held against run.json and verdict.json, and the contract's integration command passes, before the link moves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/proc.h"
#include "base/time.h"
#include "base/user.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/project.h"
#include "ledger/ledger.h"

#define VERDICT_MAX ((size_t)256 << 20)
#define OUTPUT_SHOWN ((size_t)4096)

static struct {
    const char *run, *channel, *reason, *to;
    bool without_win;
} a = { .run = "latest", .channel = "production" };

static const ac_opt promote_options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\", which is the default"),
    AC_OPT_GROUP("Promotion"),
    AC_OPT_STR('c', "channel", &a.channel, "name", "what it serves: lower-case letters, digits and dashes"),
    AC_OPT_BOOL(0, "without-win", &a.without_win, "promote a run whose verdict is no WIN; needs --reason"),
    AC_OPT_STR(0, "reason", &a.reason, "text", "why; kept in the history and in the audit log"),
    AC_OPT_END
};

static const ac_opt rollback_options[] = {
    AC_OPT_GROUP("Rollback"),
    AC_OPT_STR('c', "channel", &a.channel, "name", "what it serves"),
    AC_OPT_STR(0, "to", &a.to, "run", "id (or its beginning) of a run that served before; none: the one before this"),
    AC_OPT_STR(0, "reason", &a.reason, "text", "why; kept in the history and in the audit log"),
    AC_OPT_END
};

typedef struct {
    ac_cli *cli;
    ac_arena arena;
    ac_project project;
    char *dir;                       /* the run's folder */
    const ac_json *run, *verdict;
    ac_promotion act;
    ac_promotions history;
    ac_str files, output;
    char utc[32], by[AC_USER_NAME];
} work;

static void release(work *w)
{
    ac_str_release(&w->files);
    ac_str_release(&w->output);
    ac_project_release(&w->project);
    ac_arena_release(&w->arena);
}

static ac_status open_history(work *w, ac_err *err)
{
    if (!ac_channel_ok(a.channel))
        return ac_fail(err, AC_EARG, "--channel \"%.60s\": use 1 to 40 lower-case letters, digits and dashes", a.channel);
    ac_utc_iso(w->utc, ac_utc_ns());
    ac_user_name(w->by);
    w->act.utc = w->utc;
    w->act.by = w->by;
    w->act.reason = a.reason;
    const ac_status st = ac_promotions_read(&w->history, &w->arena, ".", a.channel, err);
    return st ? st : ac_promotions_relink(&w->history, ".", a.channel, err);
}

static const ac_promotion *serving(const ac_promotions *h)
{
    return h->n_stack ? &h->act[h->stack[h->n_stack - 1]] : NULL;
}

static ac_status parse_in(work *w, const ac_json **out, const char *name, bool needed, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = VERDICT_MAX };
    char *path = NULL;
    const ac_status st = ac_run_path(&path, &w->arena, w->dir, name, err);
    if (st || (!needed && !ac_path_exists(path))) return st;
    return ac_json_parse_file(out, path, &w->arena, &limits, err);
}

static ac_status member(const char **out, work *w, const ac_json *o, const char *key, const char *where, ac_err *err)
{
    ac_view v;
    const ac_status st = ac_json_get_str(&v, o, key, where, err);
    if (st) return st;
    *out = ac_arena_strndup(&w->arena, v.ptr, v.len);
    return *out ? AC_OK : ac_fail_nomem(err, v.len);
}

static ac_status refuse_unscored(const work *w, const char *what, ac_err *err)
{
    if (a.without_win && a.reason) return AC_OK;
    return ac_fail(err, AC_EREFUSED, "run %s %s; only a WIN is promoted%s", ac_run_id(w->dir), what,
                   a.without_win ? ": give --reason beside --without-win" : " (or say --without-win --reason TEXT)");
}

/* The run must be trained, under the lock that stands, and scored as it lies there. */
static ac_status check_run(work *w, ac_err *err)
{
    const char *state = NULL, *scored = NULL;
    char text[160];
    ac_status st = ac_run_find(&w->dir, &w->arena, ".", a.run, err);
    if (!st) st = parse_in(w, &w->run, "run.json", true, err);
    if (!st) st = parse_in(w, &w->verdict, "verdict.json", false, err);
    if (!st) st = member(&state, w, w->run, "state", "run.json", err);
    if (st) return st;
    w->act.run = ac_run_id(w->dir);
    if (strcmp(state, "trained") != 0)
        return ac_fail(err, AC_EREFUSED, "run %s is not trained (state: %.40s)", w->act.run, state);
    st = member(&w->act.lock, w, w->run, "lock", "run.json", err);
    if (!st) st = member(&w->act.adapter_sha256, w, w->run, "adapter_sha256", "run.json", err);
    if (st) return st;
    if (strcmp(w->act.lock, w->project.lock_hex) != 0)
        return ac_fail(err, AC_ECONTRACT, "run %s was trained under another lock (%.16s...) than accord.lock (%.16s...); "
                       "promote what this contract made, or put its lock back", w->act.run, w->act.lock,
                       w->project.lock_hex);
    if (!w->verdict) return refuse_unscored(w, "has no verdict yet: run accord ab first", err);
    st = member(&w->act.verdict, w, w->verdict, "verdict", "verdict.json", err);
    if (!st) st = member(&scored, w, w->verdict, "adapter_sha256", "verdict.json", err);
    if (st) return st;
    if (strcmp(scored, w->act.adapter_sha256) != 0)
        return ac_fail(err, AC_ECONTRACT, "run %s: the verdict is about %.16s..., the run trained %.16s...; score it again: "
                       "accord ab", w->act.run, scored, w->act.adapter_sha256);
    if (strcmp(w->act.verdict, "WIN") == 0) return AC_OK;
    (void)snprintf(text, sizeof text, "ended in %.40s", w->act.verdict);
    return refuse_unscored(w, text, err);
}

/* The bytes that will serve are the bytes that were trained. */
static ac_status check_weights(work *w, ac_err *err)
{
    ac_loaded l = { .path = NULL };
    ac_sha256 h;
    char hex[AC_SHA256_HEX];
    const char *model = NULL;
    char *folder = NULL;
    ac_status st = ac_run_path(&folder, &w->arena, w->dir, "adapter", err);
    if (st) return st;
    w->act.folder = ac_path_is_dir(folder) ? "adapter" : "model";
    st = ac_contract_model_path(&w->project.contract, &model, err);
    if (!st) st = ac_load_model(&l, w->cli, model, w->dir, err);
    if (!st) st = ac_adapter_hash(l.adapter, &h, err);
    ac_loaded_release(&l);
    if (st) return st;
    ac_sha256_hex(hex, &h);
    if (strcmp(hex, w->act.adapter_sha256) != 0)
        return ac_fail(err, AC_ECONTRACT, "%s: SHA-256 of what it trained is %.16s..., the run wrote %.16s...; it was changed "
                       "after training", w->dir, hex, w->act.adapter_sha256);
    return ac_run_files_json(&w->files, w->dir, w->act.folder, err);
}

/* The last part of what the command printed, so that a failure can be understood at once. */
static ac_view tail_of(const ac_str *s)
{
    const ac_view all = ac_str_view(s);
    if (all.len <= OUTPUT_SHOWN) return ac_view_trim(all);
    return ac_view_trim(ac_view_slice(all, all.len - OUTPUT_SHOWN, all.len));
}

static ac_status integration(work *w, ac_err *err)
{
    const ac_contract_values *v = &w->project.contract.v;
    char *folder = NULL, *log = NULL, whole[4096];
    int code = 0;
    if (!v->integration_command) {
        ac_cli_note(w->cli, "the contract names no integration.command: none was run");
        return AC_OK;
    }
    ac_status st = ac_run_path(&folder, &w->arena, w->dir, w->act.folder, err);
    if (!st) st = ac_run_path(&log, &w->arena, w->dir, "integration.log", err);
    if (st) return st;
    if (!realpath(folder, whole)) return ac_fail(err, AC_EIO, "%s: cannot find its full path", folder);
    if (setenv("ACCORD_RUN", w->act.run, 1) != 0 || setenv("ACCORD_ADAPTER", whole, 1) != 0) return ac_fail_nomem(err, 64);
    const char *const argv[] = { "/bin/sh", "-c", v->integration_command, NULL };
    const ac_proc_limits limits = { .timeout_ms = v->integration_minutes * 60000, .with_stderr = true };
    ac_cli_stage(w->cli, "integration", "", 0);
    st = ac_proc_run(argv, &limits, &w->output, &code, err);
    ac_cli_stage_end(w->cli);
    if (w->output.len && !st) st = ac_file_write_atomic(log, w->output.ptr, w->output.len, err);
    if (st) return ac_err_prefix(err, st == AC_EIO ? AC_EREFUSED : st, "integration.command");
    if (code == 0) {
        w->act.integration = v->integration_command;
        return AC_OK;
    }
    const ac_view tail = tail_of(&w->output);
    if (tail.len) (void)fprintf(w->cli->err, AC_VIEW_FMT "\n", AC_VIEW_ARG(tail));
    return ac_fail(err, AC_EREFUSED, "integration.command failed with exit code %d, so nothing was promoted; its output is in "
                   "%s: %.200s", code, log, v->integration_command);
}

static ac_status record(const work *w, ac_err *err)
{
    ac_str s = { 0 };
    ac_str_appendf(&s, "\"channel\":\"%s\",\"run\":\"%s\",\"lock\":\"%s\",\"adapter_sha256\":\"%s\",\"verdict\":", a.channel,
                   w->act.run, w->act.lock, w->act.adapter_sha256);
    if (w->act.verdict) ac_json_quote(&s, ac_view_of(w->act.verdict));
    else ac_str_append_c(&s, "null");
    const char *const keys[] = { "by", "reason", "integration" };
    const char *const values[] = { w->act.by, w->act.reason, w->act.integration };
    for (size_t i = 0; i < AC_COUNTOF(keys); i++) {
        ac_str_appendf(&s, ",\"%s\":", keys[i]);
        if (values[i]) ac_json_quote(&s, ac_view_of(values[i]));
        else ac_str_append_c(&s, "null");
    }
    const ac_status st = ac_str_ok(&s)
        ? ac_audit_append(".", w->act.rollback ? "rollback" : "promote", ac_str_c(&s), err)
        : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status show(const work *w, const ac_promotion *before, ac_err *err)
{
    ac_str s = { 0 };
    ac_jw j;
    if (w->cli->json) {
        ac_jw_init(&j, &s, false);
        ac_jw_object(&j, NULL);
        ac_jw_cstr(&j, "channel", a.channel);
        ac_jw_cstr(&j, "run", w->act.run);
        ac_jw_cstr(&j, "before", before ? before->run : NULL);
        ac_jw_cstr(&j, "lock", w->act.lock);
        ac_jw_cstr(&j, "verdict", w->act.verdict);
        ac_jw_cstr(&j, "adapter_sha256", w->act.adapter_sha256);
        ac_jw_cstr(&j, "integration", w->act.integration);
        ac_jw_end_object(&j);
    } else {
        ac_str_appendf(&s, "%s now serves %s (%s)\n", a.channel, w->act.run, w->act.verdict ? w->act.verdict : "no verdict");
        if (before) ac_str_appendf(&s, "before   %s; back to it: accord rollback%s%s\n", before->run,
                                   strcmp(a.channel, "production") ? " --channel " : "",
                                   strcmp(a.channel, "production") ? a.channel : "");
        ac_str_appendf(&s, "link     .accord/promoted/%s\n", a.channel);
    }
    const ac_status st = ac_cli_result(w->cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status promote(ac_cli *cli, ac_err *err)
{
    work w = { .cli = cli };
    ac_promotion before = { 0 };
    bool had = false;
    ac_status st = a.without_win && !a.reason ? ac_fail(err, AC_EARG, "--without-win needs --reason TEXT") : AC_OK;
    if (!st) st = open_history(&w, err);
    if (!st) st = ac_project_open(&w.project, "promote", err);
    if (!st) {
        st = check_run(&w, err);
        if (!st) st = check_weights(&w, err);
        if (!st) st = integration(&w, err);
        st = ac_project_refused("promote", st, err);
    }
    const ac_promotion *top = serving(&w.history);
    if (!st && top && strcmp(top->run, w.act.run) == 0)
        st = ac_fail(err, AC_EARG, "%s serves on %s already", w.act.run, a.channel);
    if (!st && top) {
        before = *top;
        had = true;
    }
    if (!st) st = record(&w, err);
    if (!st) st = ac_promotions_push(".", a.channel, &w.act, ac_str_c(&w.files), err);
    if (!st) st = show(&w, had ? &before : NULL, err);
    release(&w);
    return st;
}

static ac_status find_earlier(const ac_promotion **out, const ac_promotions *h, ac_err *err)
{
    if (!h->n)
        return ac_fail(err, AC_ENOENT, "nothing was promoted on channel %s yet", a.channel);
    for (size_t i = h->n_stack - 1; i-- > 0;) {
        const ac_promotion *p = &h->act[h->stack[i]];
        if (!a.to || strncmp(p->run, a.to, strlen(a.to)) == 0 || strncmp(p->run + 17, a.to, strlen(a.to)) == 0) {
            *out = p;
            return AC_OK;
        }
    }
    if (a.to) return ac_fail(err, AC_ENOENT, "run \"%.60s\" did not serve on %s before the one that serves now", a.to, a.channel);
    return ac_fail(err, AC_EREFUSED, "%s is the first run that serves on %s; there is none to go back to",
                   serving(h)->run, a.channel);
}

static ac_status rollback(ac_cli *cli, ac_err *err)
{
    work w = { .cli = cli };
    const ac_promotion *to = NULL;
    char *dir = NULL;
    ac_status st = open_history(&w, err);
    if (!st) st = find_earlier(&to, &w.history, err);
    if (!st) st = ac_run_find(&dir, &w.arena, ".", to->run, err);
    if (!st) st = ac_run_files_check(dir, to->folder, to->files, err);
    if (!st) {
        w.act.rollback = true;
        w.act.run = to->run;
        w.act.folder = to->folder;
        w.act.lock = to->lock;
        w.act.verdict = to->verdict;
        w.act.adapter_sha256 = to->adapter_sha256;
        st = record(&w, err);
    }
    if (!st) st = ac_promotions_push(".", a.channel, &w.act, NULL, err);
    if (!st) st = show(&w, NULL, err);
    release(&w);
    return st;
}

const ac_cmd ac_cmd_promote = {
    .name = "promote",
    .group = "After a run",
    .summary = "let a run serve: checked, integrated, recorded",
    .text = "Holds the adapter against run.json and the verdict, runs integration.command of the contract (with "
            "ACCORD_ADAPTER, the folder to load, and ACCORD_RUN in its environment; exit code 0 passes), and then points "
            ".accord/promoted/CHANNEL at the adapter. The history stays in .accord/promoted/CHANNEL.json.",
    .options = promote_options,
    .run = promote,
};

const ac_cmd ac_cmd_rollback = {
    .name = "rollback",
    .group = "After a run",
    .summary = "let the run before serve again",
    .text = "The files that served then are compared with the hashes of their promotion before the link moves.",
    .options = rollback_options,
    .run = rollback,
};
