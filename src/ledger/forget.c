/* Retention: what a run holds goes, what is said of it stays. */
#include <string.h>

#include "base/file.h"
#include "ledger/ledger.h"

/* What a run's record needs; everything else of the folder goes. The verdict stays as numbers. */
static const char *const kept[] = { "run.json", "env.json", "lock.json", "metrics.jsonl", "trace.jsonl", "cost.json",
                                    "verdict.json", "README.md", "telemetry.jsonl" };

static bool stays(const char *name)
{
    for (size_t i = 0; i < AC_COUNTOF(kept); i++)
        if (strcmp(name, kept[i]) == 0) return true;
    return false;
}

ac_status ac_run_inventory(ac_str *out, const char *run, uint64_t *bytes, ac_err *err)
{
    ac_arena a = { 0 };
    char **names, hex[AC_SHA256_HEX];
    size_t n = 0, put = 0;
    uint64_t total = 0;
    ac_status st = ac_dir_files(run, &a, &names, &n, err);
    ac_str_append_char(out, '[');
    for (size_t i = 0; i < n && !st; i++) {
        ac_sha256 h;
        uint64_t size = 0;
        const char *path = ac_path_join(&a, run, names[i]);
        if (stays(names[i]) && strcmp(names[i], "verdict.json") != 0) continue;
        if (!path) st = ac_fail_nomem(err, strlen(run));
        if (!st) st = ac_file_size(path, &size, err);
        if (!st) st = ac_sha256_file(&h, path, err);
        if (st) break;
        ac_sha256_hex(hex, &h);
        ac_str_append_c(out, put++ ? ", {\"name\": " : "{\"name\": ");
        ac_json_quote(out, ac_view_of(names[i]));
        ac_str_appendf(out, ", \"bytes\": %llu, \"sha256\": \"%s\"}", (unsigned long long)size, hex);
        total += size;
    }
    ac_str_append_char(out, ']');
    if (!st && !ac_str_ok(out)) st = ac_fail_nomem(err, out->len);
    if (!st) *bytes = total;
    ac_arena_release(&a);
    return st;
}

/* The verdict without by_case: counts, comparisons and sentences, no words of cases and answers. */
static ac_status strip_verdict(const char *path, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = (size_t)256 << 20 };
    ac_arena a = { 0 };
    ac_str s = { 0 };
    const ac_json *v = NULL;
    size_t n = 0;
    ac_status st = ac_json_parse_file(&v, path, &a, &limits, err);
    ac_str_append_c(&s, "{");
    for (const ac_json *c = st ? NULL : v->child; c; c = c->next) {
        if (ac_view_eq_str(c->key, "by_case")) continue;
        ac_str_append_c(&s, n++ ? ",\n  " : "\n  ");
        ac_json_quote(&s, c->key);
        ac_str_append_c(&s, ": ");
        ac_json_write(&s, c);
    }
    ac_str_append_c(&s, "\n}\n");
    if (!st) st = ac_str_ok(&s) ? ac_file_write_atomic(path, s.ptr, s.len, err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

ac_status ac_run_forget(const char *run, ac_err *err)
{
    ac_arena a = { 0 };
    char **names;
    size_t n = 0;
    ac_status st = ac_dir_list(run, &a, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        const char *path = ac_path_join(&a, run, names[i]);
        if (!path) st = ac_fail_nomem(err, strlen(run));
        else if (strcmp(names[i], "verdict.json") == 0) st = strip_verdict(path, err);
        else if (!stays(names[i])) st = ac_remove_tree(path, err);
    }
    if (!st) st = ac_dir_sync(run, err);
    ac_arena_release(&a);
    return st;
}
