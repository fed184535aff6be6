/* Run folders (A3). A folder's name is its id: <utc>-<8 hex>, so that names sort by time. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/time.h"
#include "ledger/ledger.h"

#define RUN_JSON_MAX ((size_t)16 << 20)

static char *runs_dir(ac_arena *a, const char *project)
{
    char *dir = ac_path_join(a, project, ".accord");
    return dir ? ac_path_join(a, dir, "runs") : NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* 20260131T093000Z-0123abcd */
static bool is_run_name(const char *s)
{
    if (strlen(s) != 25 || s[8] != 'T' || s[15] != 'Z' || s[16] != '-') return false;
    for (size_t i = 0; i < 15; i++)
        if (i != 8 && !is_digit(s[i])) return false;
    for (size_t i = 17; i < 25; i++)
        if (!is_digit(s[i]) && !(s[i] >= 'a' && s[i] <= 'f')) return false;
    return true;
}

/* Names of run folders, oldest first; none when there is no folder yet. */
static ac_status run_names(const char *dir, ac_arena *a, char ***out, size_t *n_out, ac_err *err)
{
    char **names = NULL;
    size_t n = 0, kept = 0;
    if (ac_path_exists(dir)) {
        const ac_status st = ac_dir_list(dir, a, &names, &n, err);
        if (st) return st;
    }
    for (size_t i = 0; i < n; i++)
        if (is_run_name(names[i])) names[kept++] = names[i];
    *out = names;
    *n_out = kept;
    return AC_OK;
}

/* "latest" is the last name, so a second run of the same second must sort behind the first one. */
static bool sorts_last(const char *name, char *const *names, size_t n)
{
    return n == 0 || strncmp(names[n - 1], name, 16) != 0 || strcmp(names[n - 1], name) < 0;
}

ac_status ac_run_create(char **path, ac_arena *a, const char *project, ac_err *err)
{
    static atomic_uint made;
    const char *dir = runs_dir(a, project);
    if (!dir) return ac_fail_nomem(err, 64);
    for (int attempt = 0; attempt < 256; attempt++) {
        char utc[32], **names;
        size_t n;
        const int64_t now = ac_utc_ns();
        const struct {
            int64_t now, mono, pid, number;
        } seed = { now, ac_mono_ns(), (int64_t)getpid(), (int64_t)atomic_fetch_add(&made, 1) };
        const ac_sha256 h = ac_sha256_of(&seed, sizeof seed);
        ac_utc_compact(utc, now);
        char *name = ac_arena_printf(a, "%s-%02x%02x%02x%02x", utc, h.byte[0], h.byte[1], h.byte[2], h.byte[3]);
        char *p = name ? ac_path_join(a, dir, name) : NULL;
        if (!p) return ac_fail_nomem(err, 128);
        ac_status st = run_names(dir, a, &names, &n, err);
        if (!st && !sorts_last(name, names, n)) {
            const struct timespec wait = { 0, 20000000 };    /* at most the rest of the second, 256 times */
            (void)nanosleep(&wait, NULL);
            continue;
        }
        if (!st) st = ac_mkdir_p(p, err);
        if (!st) *path = p;
        return st;
    }
    return ac_fail(err, AC_ECREATE, "%s: no free run name; is the clock stuck?", dir);
}

static ac_status ambiguous(const char *name, char *const *names, size_t first, size_t n, ac_err *err)
{
    return ac_fail(err, AC_EARG, "run \"%s\" could be %s, %s%s; give more letters", name, names[first], names[first + 1],
                   n > 2 ? " or others" : "");
}

ac_status ac_run_find(char **path, ac_arena *a, const char *project, const char *name, ac_err *err)
{
    const char *dir = runs_dir(a, project);
    char **names, *found = NULL;
    size_t n, first = 0, matches = 0;
    if (!dir) return ac_fail_nomem(err, 64);
    if (strchr(name, '/')) {                         /* a path, perhaps of a copied run */
        if (!ac_path_is_dir(name))
            return ac_fail(err, AC_ENOENT, "%s: no such run folder; see: accord runs", name);
        found = ac_arena_strndup(a, name, strlen(name));
    } else {
        const ac_status st = run_names(dir, a, &names, &n, err);
        if (st) return st;
        const bool latest = strcmp(name, "latest") == 0;
        for (size_t i = 0; i < n && !latest; i++) {
            if (strncmp(names[i], name, strlen(name)) != 0
                && strncmp(names[i] + 17, name, strlen(name)) != 0) continue;
            if (matches++ == 0) first = i;
            else if (matches == 2) {                 /* for the message: put them side by side */
                char *second = names[i];
                names[i] = names[first + 1];
                names[first + 1] = second;
            }
        }
        if (latest && n) {
            first = n - 1;
            matches = 1;
        }
        if (!matches)
            return ac_fail(err, AC_ENOENT, n ? "%s: no run \"%s\"; see: accord runs"
                                             : "%s: no run yet (\"%s\" was asked for); run: accord train", dir, name);
        if (matches > 1) return ambiguous(name, names, first, matches, err);
        found = ac_path_join(a, dir, names[first]);
    }
    if (!found) return ac_fail_nomem(err, 128);
    *path = found;
    return AC_OK;
}

/* ---- listing ---- */

static const char *text_of(const ac_json *o, const char *key, ac_arena *a)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_STRING ? ac_arena_strndup(a, v->text.ptr, v->text.len) : NULL;
}

static double number_of(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_NUMBER ? v->number : (double)NAN;
}

/* The object in a run's file; NULL when it is absent or unreadable: one broken run must not hide the others. */
static ac_status read_object(const ac_json **out, const char *run, const char *file, ac_arena *a, ac_err *err)
{
    const ac_json_limits lim = { .max_bytes = RUN_JSON_MAX };
    const char *path = ac_path_join(a, run, file);
    *out = NULL;
    if (!path) return ac_fail_nomem(err, 128);
    if (!ac_path_exists(path)) return AC_OK;
    ac_err own = { 0 };
    const ac_status st = ac_json_parse_file(out, path, a, &lim, &own);
    if (st == AC_ENOMEM) return ac_fail(err, st, "%s", own.text);
    if (st || (*out)->type != AC_JSON_OBJECT) *out = NULL;
    return AC_OK;
}

static ac_status run_info(ac_run_info *r, const char *dir, const char *name, ac_arena *a, ac_err *err)
{
    const ac_json *run, *verdict;
    int64_t steps;
    *r = (ac_run_info){ .id = name, .path = ac_path_join(a, dir, name) };
    if (!r->path) return ac_fail_nomem(err, 128);
    ac_status st = read_object(&run, r->path, "run.json", a, err);
    if (!st) st = read_object(&verdict, r->path, "verdict.json", a, err);
    if (st) return st;
    r->state = run ? text_of(run, "state", a) : NULL;
    if (!r->state) r->state = "unknown";
    r->started = run ? text_of(run, "started", a) : NULL;
    r->verdict = verdict ? text_of(verdict, "verdict", a) : NULL;
    r->train_loss = number_of(run, "last_loss");
    r->valid_loss = number_of(run, "best_valid_loss");
    r->seconds = number_of(run, "train_seconds");
    const ac_json *n = ac_json_get(run, "steps");
    r->has_steps = n && ac_json_as_i64(n, &steps) && steps >= 0;
    if (r->has_steps) r->steps = (uint64_t)steps;
    return AC_OK;
}

ac_status ac_runs_list(ac_run_info **out, size_t *n_out, ac_arena *a, const char *project, ac_err *err)
{
    char **names;
    size_t n;
    const char *dir = runs_dir(a, project);
    ac_status st = dir ? run_names(dir, a, &names, &n, err) : ac_fail_nomem(err, 64);
    if (st) return st;
    ac_run_info *list = ac_arena_alloc_array(a, n, sizeof *list);
    if (!list) return ac_fail_nomem(err, n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        if ((st = run_info(&list[i], dir, names[i], a, err))) return st;
    *out = list;
    *n_out = n;
    return AC_OK;
}
