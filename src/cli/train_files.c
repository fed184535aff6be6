/* docs/formats/run.md is the layout of everything written here. */
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/train_run.h"
#include "ledger/cost.h"
#include "ledger/ledger.h"

#define README_MAX ((size_t)1 << 20)

static void hash_member(ac_jw *w, const char *key, const ac_sha256 *h)
{
    char hex[AC_SHA256_HEX];
    if (!h) {
        ac_jw_null(w, key);
        return;
    }
    ac_sha256_hex(hex, h);
    ac_jw_cstr(w, key, hex);
}

/* Before the end the figures are null. */
static void figures(ac_jw *w, const ac_run_record *rec, const ac_train_result *r)
{
    static const char *const keys[] = { "steps", "best_step", "first_loss", "last_loss", "start_valid_loss",
                                        "best_valid_loss", "tokens", "supervised_tokens", "padding_tokens",
                                        "undone_steps", "stopped_early", "train_seconds", "eval_seconds",
                                        "tokens_per_second", "supervised_tokens_per_second" };
    ac_jw_u64(w, "total_steps", rec->total_steps);
    ac_jw_u64(w, "epochs", rec->epochs);
    if (!r) {
        for (size_t i = 0; i < AC_COUNTOF(keys); i++) ac_jw_null(w, keys[i]);
        return;
    }
    const double per_second = r->train_seconds > 0 ? 1.0 / r->train_seconds : 0.0;
    ac_jw_u64(w, "steps", r->steps);
    ac_jw_u64(w, "best_step", r->best_step);
    ac_jw_f64(w, "first_loss", r->first_loss);
    ac_jw_f64(w, "last_loss", r->last_loss);
    ac_jw_f64(w, "start_valid_loss", r->start_valid_loss);
    ac_jw_f64(w, "best_valid_loss", r->best_valid_loss);
    ac_jw_u64(w, "tokens", r->tokens);
    ac_jw_u64(w, "supervised_tokens", r->supervised_tokens);
    ac_jw_u64(w, "padding_tokens", r->padding_tokens);
    ac_jw_u64(w, "undone_steps", r->undone_steps);
    ac_jw_bool(w, "stopped_early", r->stopped_early);
    ac_jw_f64(w, "train_seconds", r->train_seconds);
    ac_jw_f64(w, "eval_seconds", r->eval_seconds);
    ac_jw_f64(w, "tokens_per_second", (double)r->tokens * per_second);
    ac_jw_f64(w, "supervised_tokens_per_second", (double)r->supervised_tokens * per_second);
}

static void identity(ac_jw *w, const ac_run_record *rec, const char *state)
{
    char now[32];
    const bool running = strcmp(state, "training") == 0;
    ac_utc_iso(now, ac_utc_ns());
    ac_jw_u64(w, "format", 1);
    ac_jw_cstr(w, "id", rec->id);
    ac_jw_cstr(w, "state", state);
    ac_jw_cstr(w, "started", rec->started);
    ac_jw_cstr(w, "finished", running ? NULL : now);
    ac_jw_cstr(w, "lock", rec->lock_hex);
    ac_jw_cstr(w, "base_model", rec->v->base_model);
    ac_jw_cstr(w, "method", rec->v->tune);
    if (strcmp(rec->v->tune, "full") == 0) {             /* there is no adapter to describe */
        ac_jw_null(w, "rank");
        ac_jw_null(w, "alpha");
        ac_jw_null(w, "targets");
    } else {
        ac_jw_i64(w, "rank", rec->v->rank);
        ac_jw_f64(w, "alpha", rec->v->alpha);
        ac_jw_cstr(w, "targets", rec->v->targets);
    }
    ac_jw_i64(w, "seed", rec->v->seed);
    ac_jw_array(w, "command");
    for (int i = 0; i < rec->cli->argc; i++) ac_jw_cstr(w, NULL, rec->cli->argv[i]);
    ac_jw_end_array(w);
    ac_jw_u64(w, "resumed", rec->resumed);
    ac_jw_bool(w, "guard", rec->guarded);
}

/* The chain as it stands, so that a cut or rewritten one can be told from it later (ledger.h, A4); null where it cannot be
 * read, for the state must be written all the same. */
static void audit_head(ac_jw *w)
{
    ac_audit_head h = { .count = 0 };
    if (ac_audit_verify(".", &h, NULL)) {
        ac_jw_null(w, "audit_count");
        ac_jw_null(w, "audit_head");
        return;
    }
    ac_jw_u64(w, "audit_count", h.count);
    hash_member(w, "audit_head", &h.head);
}

ac_status ac_run_write_state(const ac_run_record *rec, const char *state, const ac_train_result *r, const char *error,
                             ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    char *path = NULL;
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    identity(&w, rec, state);
    figures(&w, rec, r);
    ac_memory_json(&w, &rec->memory);
    ac_jw_i64(&w, "peak_rss_bytes", ac_peak_rss_bytes());
    ac_jw_f64(&w, "cpu_seconds", ac_cpu_seconds() + (rec->workers > 1 ? ac_cpu_seconds_children() : 0));
    hash_member(&w, "adapter_sha256", r ? &r->adapter_hash : NULL);
    hash_member(&w, "trace_sha256", r ? &r->trace_hash : NULL);
    audit_head(&w);
    ac_jw_cstr(&w, "cpu", ac_cpu_model());
    ac_jw_cstr(&w, "tier", rec->tier);
    ac_jw_u64(&w, "threads", rec->threads);
    ac_jw_u64(&w, "workers", rec->workers);
    ac_jw_cstr(&w, "error", error);
    ac_jw_end_object(&w);
    ac_str_append_char(&s, '\n');
    ac_status st = ac_str_ok(&s) ? ac_run_path(&path, &arena, rec->dir, "run.json", err) : ac_fail_nomem(err, s.len);
    if (!st) st = ac_file_write_atomic(path, s.ptr, s.len, err);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

ac_status ac_run_read_state(ac_run_record *rec, ac_err *err)
{
    ac_arena arena = { 0 };
    const ac_json *o = NULL;
    ac_view started = { NULL, 0 }, lock = { NULL, 0 };
    char *path = NULL;
    int64_t resumed = 0;
    ac_status st = ac_run_path(&path, &arena, rec->dir, "run.json", err);
    if (!st) st = ac_json_parse_file(&o, path, &arena, NULL, err);
    if (!st) st = ac_json_get_str(&started, o, "started", path, err);
    if (!st) st = ac_json_get_str(&lock, o, "lock", path, err);
    if (!st) st = ac_json_get_i64(&resumed, o, "resumed", path, err);
    if (!st && !ac_view_eq_str(lock, rec->lock_hex))
        st = ac_fail(err, AC_ECONTRACT, "run %s stands under another lock (%.16s...) than accord.lock (%.16s...); put its "
                     "lock and files back, or start a new run", rec->id, lock.len >= 16 ? lock.ptr : "?", rec->lock_hex);
    if (!st) {
        (void)snprintf(rec->started, sizeof rec->started, AC_VIEW_FMT, AC_VIEW_ARG(started));
        rec->resumed = (uint64_t)resumed + 1;
    }
    ac_arena_release(&arena);
    return st;
}

/* An argument as a shell would have to see it. */
static void quote_arg(ac_str *s, const char *arg)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
    if (arg[0] && strspn(arg, plain) == strlen(arg)) {
        ac_str_append_c(s, arg);
        return;
    }
    ac_str_append_char(s, '\'');
    for (; *arg; arg++) {
        if (*arg == '\'') ac_str_append_c(s, "'\\''");
        else ac_str_append_char(s, *arg);
    }
    ac_str_append_char(s, '\'');
}

static void readme(ac_str *s, const ac_run_record *rec)
{
    ac_str_appendf(s, "# Run %s\n\nBegun %s under the lock `%s` (`lock.json`), base model `%s`.\n\n", rec->id,
                   rec->started, rec->lock_hex, rec->v->base_model);
    ac_str_append_c(s, "The command, as it was given:\n\n    ");
    for (int i = 0; i < rec->cli->argc; i++) {
        if (i) ac_str_append_char(s, ' ');
        quote_arg(s, rec->cli->argv[i]);
    }
    ac_str_appendf(s, "\n\naccord %s, numerics %s, computed by %s", ACCORD_VERSION, rec->numerics, rec->tier);
    if (rec->workers > 1) ac_str_appendf(s, " in the first of %zu workers", rec->workers);
    ac_str_appendf(s, "; `env.json` has the rest. %s\n\n", strcmp(rec->numerics, AC_NUMERICS_CUDA_BF16) == 0
                       ? "The bits are those of this GPU model, driver\nand cuBLAS."
                       : "Neither instruction set nor threads nor workers change a bit.");
    ac_audit_head h = { .count = 0 };
    if (!ac_audit_verify(".", &h, NULL) && h.count) {
        char head[AC_AUDIT_HEAD_TEXT];
        ac_audit_head_text(head, &h);
        ac_str_appendf(s, "When it began, the audit log stood at `%s`; `accord audit verify --head` and\n`--run` tell whether it was "
                       "cut off or written anew since.\n\n", head);
    }
    ac_str_appendf(s, "To rebuild it anywhere, from this folder and the files that the lock names:\n\n    accord verify %s\n\n"
                   "Or by hand: put the files where accord.yaml says, make sure that `sha256sum accord.lock` gives the hash\n"
                   "above, and run `accord train`. The new run's `adapter_sha256` and `trace_sha256` in `run.json` must equal\n"
                   "this one's; where they differ, the first differing line of `trace.jsonl` is the step to look at.\n", rec->dir);
}

static ac_status write_text(const ac_run_record *rec, ac_arena *a, const char *name, const ac_str *s, ac_err *err)
{
    char *path = NULL;
    ac_status st = ac_str_ok(s) ? ac_run_path(&path, a, rec->dir, name, err) : ac_fail_nomem(err, s->len);
    return st ? st : ac_file_write_atomic(path, s->ptr, s->len, err);
}

ac_status ac_run_write_start(const ac_run_record *rec, ac_project *p, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str env = { 0 }, text = { 0 }, diff = { 0 };
    const ac_env_facts facts = {
        .argc = rec->cli->argc, .argv = rec->cli->argv, .tier = rec->tier, .threads = rec->threads, .project = ".",
        .tier_why = ac_tier_why(rec->cli), .lock = rec->lock_hex, .diff = &diff,
        .numerics = rec->numerics,
    };
    ac_status st = ac_env_json(&env, &facts, err);
    if (!st && diff.len) st = write_text(rec, &arena, "changes.diff", &diff, err);
    if (!st) st = write_text(rec, &arena, "env.json", &env, err);
    if (!st) st = write_text(rec, &arena, "lock.json", &p->lock.text, err);
    readme(&text, rec);
    if (!st) st = write_text(rec, &arena, "README.md", &text, err);
    if (!st) st = ac_rows_write(rec->dir, &p->contract, err);
    if (!st) st = ac_run_write_state(rec, "training", NULL, NULL, err);
    ac_str_release(&env);
    ac_str_release(&text);
    ac_str_release(&diff);
    ac_arena_release(&arena);
    return st;
}

/* The README gets its last section, or a new one in its place where a resume goes on. */
ac_status ac_run_readme_cost(const ac_run_record *rec, ac_err *err)
{
    static const char head[] = "\n## What it cost\n";
    ac_arena arena = { 0 };
    ac_str text = { 0 };
    char *path = NULL;
    ac_status st = ac_run_path(&path, &arena, rec->dir, "README.md", err);
    if (!st) st = ac_file_read(&text, path, README_MAX, err);
    const size_t at = st ? SIZE_MAX : ac_view_find(ac_str_view(&text), AC_VIEW(head), 0);
    if (at != SIZE_MAX) text.ptr[text.len = at] = '\0';
    ac_str_appendf(&text, "%s\nAt the end of the training: ", head);
    if (!st) st = ac_cost_run_sentence(&text, rec->dir, err);
    ac_str_appendf(&text, ".\n`accord cost %s` tells what was booked since, by which methods and rates.\n", rec->id);
    if (!st) st = write_text(rec, &arena, "README.md", &text, err);
    ac_str_release(&text);
    ac_arena_release(&arena);
    return st;
}
