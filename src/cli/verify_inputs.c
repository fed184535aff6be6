/* The run that is verified, its inputs wherever they lie now, and the project made of both. */
#include <string.h>

#include "base/file.h"
#include "cli/project.h"
#include "cli/verify.h"
#include "ledger/ledger.h"
#include "train/train.h"

#define FILE_MAX_BYTES ((size_t)256 << 20)
#define TRACE_MAX_BYTES ((size_t)1 << 30)
#define UPS_MAX 32

/* ---- the run ---- */

static ac_status read_json(const ac_json **out, ac_verify *v, const char *name, bool needed, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = FILE_MAX_BYTES };
    char *path = NULL;
    ac_status st = ac_run_path(&path, &v->arena, v->run, name, err);
    *out = NULL;
    if (!st && !ac_path_exists(path)) {
        if (needed) st = ac_fail(err, AC_ENOENT, "%s: missing; this is no complete run folder", path);
    } else if (!st) {
        st = ac_json_parse_file(out, path, &v->arena, &limits, err);
    }
    return st;
}

static const char *text_of(const ac_json *o, const char *key)
{
    const ac_json *t = ac_json_get(o, key);
    return t && t->type == AC_JSON_STRING ? t->text.ptr : NULL;
}

static ac_status disagrees(const ac_verify *v, const char *file, const char *key, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s/%s: is not what run.json says it is (%s); the run folder was changed or is incomplete, "
                   "copy it again", v->run, file, key);
}

static ac_status check_lock(ac_verify *v, ac_err *err)
{
    char *path = NULL;
    const char *said = text_of(v->record, "lock");
    ac_status st = ac_run_path(&path, &v->arena, v->run, "lock.json", err);
    if (!st) st = ac_lock_read_file(&v->lock, path, err);
    if (st) return st;
    ac_sha256_hex(v->lock_hex, &v->lock.hash);
    return said && strcmp(said, v->lock_hex) == 0 ? AC_OK : disagrees(v, "lock.json", "lock", err);
}

static ac_status check_trace(ac_verify *v, ac_err *err)
{
    char *path = NULL, hex[AC_SHA256_HEX];
    ac_sha256 h;
    const char *said = text_of(v->record, "trace_sha256");
    ac_status st = ac_run_path(&path, &v->arena, v->run, "trace.jsonl", err);
    if (!st) st = ac_trace_check(path, &v->trace_steps, &h, err);
    if (!st) st = ac_file_read(&v->trace, path, TRACE_MAX_BYTES, err);
    if (st) return st;
    ac_sha256_hex(hex, &h);
    return !v->trained || (said && strcmp(said, hex) == 0) ? AC_OK : disagrees(v, "trace.jsonl", "trace_sha256", err);
}

/* Weights in one file have the hash that run.json notes; several files are held against the rebuilt ones only. */
static ac_status check_weights(ac_verify *v, ac_err *err)
{
    static const char *const files[] = { "adapter/adapter_model.safetensors", "model/model.safetensors" };
    const char *said = text_of(v->record, "adapter_sha256");
    for (size_t i = 0; i < AC_COUNTOF(files); i++) {
        char *path = NULL, hex[AC_SHA256_HEX];
        ac_sha256 h;
        ac_status st = ac_run_path(&path, &v->arena, v->run, files[i], err);
        if (!st && !ac_path_exists(path)) continue;
        if (!st) st = ac_sha256_file(&h, path, err);
        if (st) return st;
        ac_sha256_hex(hex, &h);
        if (!said || strcmp(said, hex) != 0) return disagrees(v, files[i], "adapter_sha256", err);
    }
    return AC_OK;
}

/* Other bits are to be expected then, and only a verdict can be the same. */
static ac_status other_numerics(ac_verify *v, ac_err *err)
{
    const char *asked = ac_verify_numerics[v->o->numerics];
    const char *own = text_of(ac_json_get(ac_json_get(v->lock.tree, "values"), "method"), "numerics");
    v->numerics[0] = own;
    if (v->o->numerics == 0 || (own && strcmp(own, asked) == 0)) return AC_OK;
    if (!own) return ac_fail(err, AC_ECONTRACT, "%s/lock.json: names no method.numerics, so --numerics cannot replace it", v->run);
    if (v->prefix || !v->verdict || !v->o->ab)
        return ac_fail(err, AC_EARG, "--numerics %s: another arithmetic than the lock's %s has other bits, and only the verdict can be "
                       "compared; %s", asked, own, !v->verdict ? "the run has none (accord ab makes it)"
                                                               : "that needs the whole run, without --steps and --no-ab");
    v->numerics[1] = asked;
    return AC_OK;
}

ac_status ac_verify_open(ac_verify *v, ac_err *err)
{
    char *record = ac_path_join(&v->arena, v->o->run, "run.json");
    ac_status st = record ? AC_OK : ac_fail_nomem(err, 64);
    if (!st && ac_path_exists(record)) v->run = ac_arena_strndup(&v->arena, v->o->run, strlen(v->o->run));
    else if (!st) st = ac_run_find(&v->run, &v->arena, ".", v->o->run, err);
    if (!st && !v->run) st = ac_fail_nomem(err, 64);
    if (!st) {
        for (size_t n = strlen(v->run); n > 1 && v->run[n - 1] == '/'; n--) v->run[n - 1] = '\0';
        st = read_json(&v->record, v, "run.json", true, err);
    }
    if (!st) st = read_json(&v->verdict, v, "verdict.json", false, err);
    if (st) return st;
    v->id = text_of(v->record, "id") ? text_of(v->record, "id") : ac_run_id(v->run);
    const char *state = text_of(v->record, "state");
    v->trained = state && strcmp(state, "trained") == 0;
    st = check_lock(v, err);
    if (!st) st = check_trace(v, err);
    if (!st && v->trained) st = check_weights(v, err);
    if (!st && v->trace_steps == 0)
        st = ac_fail(err, AC_EFORMAT, "%s: has not finished a step, so there is nothing to verify", v->run);
    v->steps = v->o->steps && v->o->steps < v->trace_steps ? v->o->steps : v->trace_steps;
    v->prefix = !v->trained || v->steps < v->trace_steps;
    return st ? st : other_numerics(v, err);
}

/* ---- where inputs may lie ---- */

static ac_status try_path(ac_verify *v, ac_verify_input *in, const char *path, ac_err *err)
{
    char real[4096], hex[AC_SHA256_HEX];
    ac_sha256 h;
    ac_err own = { "" };
    if (in->same || !path || !ac_path_exists(path) || !ac_path_real(real, sizeof real, path)) return AC_OK;
    const ac_status st = ac_lock_input_hash(&h, &in->in, real, &own);
    if (st == AC_ENOMEM) return ac_fail(err, st, "%s", own.text);
    if (st == AC_EIO && !in->unreadable && !(in->unreadable = ac_arena_strndup(&v->arena, own.text, strlen(own.text))))
        return ac_fail_nomem(err, strlen(own.text));
    if (st) return AC_OK;                                /* not readable as this input: look on */
    ac_sha256_hex(hex, &h);
    const bool same = strcmp(hex, in->sealed) == 0;
    if (in->full && !same) return AC_OK;                 /* the first place that has something stays */
    in->full = ac_arena_strndup(&v->arena, real, strlen(real));
    if (!in->full) return ac_fail_nomem(err, strlen(real));
    memcpy(in->have, hex, sizeof hex);
    in->same = same;
    return AC_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_base(const ac_verify_input *in)
{
    return strncmp(in->in.name, "base.", 5) == 0;
}

static ac_status find_one(ac_verify *v, ac_verify_input *in, ac_err *err)
{
    const char *path = in->in.path;
    const char *up = ac_arena_printf(&v->arena, "%s/../../..", v->run), *next = ac_arena_printf(&v->arena, "%s/..", v->run);
    if (!up || !next) return ac_fail_nomem(err, strlen(v->run));
    if (is_base(in) && v->o->base) return try_path(v, in, v->o->base, err);
    ac_status st = AC_OK;
    if (v->o->data && !is_base(in)) {
        if (path[0] != '/') st = try_path(v, in, ac_path_join(&v->arena, v->o->data, path), err);
        if (!st) st = try_path(v, in, ac_path_join(&v->arena, v->o->data, base_name(path)), err);
    }
    if (!st && v->o->against && !in->full) st = try_path(v, in, ac_path_join(&v->arena, v->o->against, path), err);
    if (st || in->full) return st;                       /* a place that was named is believed */
    const char *const roots[] = { ".", up, next, v->run };
    for (size_t i = 0; i < AC_COUNTOF(roots) && !st; i++) st = try_path(v, in, ac_path_join(&v->arena, roots[i], path), err);
    if (!st && is_base(in) && ac_path_component_ok(ac_view_of(path)))
        st = try_path(v, in, ac_cache_model_path(&v->arena, path), err);
    return st;
}

static ac_status say_missing(const ac_verify *v, ac_err *err)
{
    ac_str s = { 0 };
    /* What is there and cannot be read is not missing, and looking for it elsewhere would not help. */
    for (size_t i = 0; i < v->n_inputs; i++)
        if (!v->input[i].full && v->input[i].unreadable)
            return ac_fail(err, AC_EIO, "run %s: %s: %s", v->id, v->input[i].in.name, v->input[i].unreadable);
    for (size_t i = 0; i < v->n_inputs; i++)
        if (!v->input[i].full)
            ac_str_appendf(&s, "%s%s (%s, sha-256 %.16s...)", s.len ? ", " : "", v->input[i].in.name, v->input[i].in.path,
                           v->input[i].sealed);
    const ac_status st = ac_fail(err, AC_ENOENT, "run %s: not found here: %s; name their places with --against, --data or --base",
                                 v->id, ac_str_c(&s));
    ac_str_release(&s);
    return st;
}

ac_status ac_verify_find_inputs(ac_verify *v, ac_err *err)
{
    ac_lock_input list[AC_LOCK_INPUTS_MAX];
    ac_status st = ac_lock_inputs(list, &v->n_inputs, &v->lock, err);
    ac_cli_stage(v->cli, "look for inputs", "inputs", v->n_inputs);
    for (size_t i = 0; i < v->n_inputs && !st; i++) {
        v->input[i].in = list[i];
        ac_sha256_hex(v->input[i].sealed, &list[i].sealed);
        st = find_one(v, &v->input[i], err);
        if (!v->input[i].full) v->n_missing++;
        else if (!v->input[i].same) v->n_different++;
        ac_cli_stage_at(v->cli, i + 1);
    }
    ac_cli_stage_end(v->cli);
    return st || !v->n_missing ? st : say_missing(v, err);
}

/* ---- the project ---- */

/* How many folders a relative path leaves upwards. */
static unsigned ups_of(const char *path)
{
    unsigned ups = 0;
    int depth = 0;
    ac_view rest = ac_view_of(path);
    while (rest.len) {
        const size_t slash = ac_view_find(rest, AC_VIEW("/"), 0);
        const ac_view part = ac_view_slice(rest, 0, slash);
        if (ac_view_eq(part, AC_VIEW(".."))) depth--;
        else if (part.len && !ac_view_eq(part, AC_VIEW("."))) depth++;
        if (depth < 0 && (unsigned)-depth > ups) ups = (unsigned)-depth;
        rest = slash == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, slash + 1, rest.len);
    }
    return ups;
}

/* Relative paths of the lock may lead upwards: the project stands so deep that none leaves the folder of our own. */
static ac_status make_folders(ac_verify *v, ac_err *err)
{
    unsigned ups = 0;
    ac_status st = AC_OK;
    v->keep = v->o->keep != NULL;
    if (!v->keep) {
        st = ac_temp_dir(&v->work, &v->arena, "verify", err);
    } else if (ac_path_exists(v->o->keep)) {
        st = ac_fail(err, AC_ECREATE, "--keep %s: is there already; name a new folder", v->o->keep);
    } else {
        char real[4096];
        st = ac_mkdir_p(v->o->keep, err);
        if (!st && ac_path_real(real, sizeof real, v->o->keep)) v->work = ac_arena_strndup(&v->arena, real, strlen(real));
        if (!st && !v->work) st = ac_fail_nomem(err, sizeof real);
    }
    for (size_t i = 0; i < v->n_inputs; i++) {
        const unsigned own = v->input[i].in.path[0] == '/' ? 0 : ups_of(v->input[i].in.path);
        if (own > ups) ups = own;
    }
    if (!st && ups > UPS_MAX) st = ac_fail(err, AC_EFORMAT, "lock.json: a path leads up %u folders", ups);
    v->project = v->work;
    for (unsigned i = 0; i < ups && !st; i++)
        if (!(v->project = ac_path_join(&v->arena, v->project, "up"))) st = ac_fail_nomem(err, 64);
    if (!st && !(v->project = ac_path_join(&v->arena, v->project, "project"))) st = ac_fail_nomem(err, 64);
    return st ? st : ac_mkdir_p(v->project, err);
}

static ac_status link_to(ac_verify *v, const char *full, const char *at, const char *name, ac_err *err)
{
    char parent[4096], real[4096], own[4096];
    const char *slash = strrchr(at, '/');
    if (ac_path_exists(at)) return AC_OK;                /* within a folder that is linked already */
    if (!slash || (size_t)(slash - at) >= sizeof parent) return ac_fail(err, AC_EARG, "%s: path is too long", at);
    memcpy(parent, at, (size_t)(slash - at));
    parent[slash - at] = '\0';
    const ac_status st = ac_mkdir_p(parent, err);
    if (st) return st;
    /* Never through a link into somebody's folder. */
    if (!ac_path_real(real, sizeof real, parent) || !ac_path_real(own, sizeof own, v->work)
        || strncmp(real, own, strlen(own)) != 0)
        return ac_fail(err, AC_ENOENT, "%s: lies in a folder that was found elsewhere, without it; bring both together", name);
    return ac_symlink_replace(full, at, err);
}

/* An absolute path of the lock is used where it lies there; otherwise it gets a name in the project, and the lock with it. */
static ac_status link_input(ac_verify *v, ac_verify_input *in, ac_err *err)
{
    const char *path = in->in.path;
    if (is_base(in) && !ac_view_starts(ac_view_of(in->in.name), AC_VIEW("base.model"))) return AC_OK;   /* it lies in the model */
    if (path[0] == '/') {
        char real[4096];
        if (ac_path_real(real, sizeof real, path) && strcmp(real, in->full) == 0) return AC_OK;
        in->renamed = ac_arena_printf(&v->arena, "inputs/%d-%s", in->in.kind, base_name(path));
        if (!in->renamed) return ac_fail_nomem(err, strlen(path));
        path = in->renamed;
    }
    const char *at = ac_path_join(&v->arena, v->project, path);
    return at ? link_to(v, in->full, at, in->in.path, err) : ac_fail_nomem(err, strlen(path));
}

static ac_status link_inputs(ac_verify *v, ac_err *err)
{
    bool done[AC_LOCK_INPUTS_MAX] = { false };
    for (size_t k = 0; k < v->n_inputs; k++) {           /* short paths first: a folder before what lies in it */
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < v->n_inputs; i++)
            if (!done[i] && (best == SIZE_MAX || strlen(v->input[i].in.path) < strlen(v->input[best].in.path))) best = i;
        done[best] = true;
        const ac_status st = link_input(v, &v->input[best], err);
        if (st) return st;
    }
    return AC_OK;
}

static ac_status write_in(ac_verify *v, const char *name, const ac_str *text, ac_err *err)
{
    char *path = NULL;
    const ac_status st = ac_str_ok(text) ? ac_run_path(&path, &v->arena, v->project, name, err) : ac_fail_nomem(err, text->len);
    return st ? st : ac_file_write_atomic(path, text->ptr, text->len, err);
}

ac_status ac_verify_build(ac_verify *v, ac_err *err)
{
    ac_str yaml = { 0 }, text = { 0 }, mark = { 0 };
    ac_lock lock = { 0 };
    ac_lock_change change[AC_LOCK_INPUTS_MAX + 1];
    size_t n = 0;
    ac_status st = make_folders(v, err);
    if (!st) st = link_inputs(v, err);
    for (size_t i = 0; i < v->n_inputs && !st; i++) {
        const ac_verify_input *in = &v->input[i];
        const char *renamed = in->renamed;
        for (size_t k = 0; k < v->n_inputs && !renamed; k++)   /* the tokenizer goes with its model */
            if (v->input[k].renamed && is_base(in) && is_base(&v->input[k])) renamed = v->input[k].renamed;
        if (renamed || !in->same) change[n++] = (ac_lock_change){ in->in.name, renamed, in->same ? NULL : in->have };
    }
    if (v->numerics[1]) change[n++] = (ac_lock_change){ "method.numerics", v->numerics[1], NULL };
    /* Without a change this is the run's own lock, byte for byte. */
    if (!st) st = ac_lock_changed(&text, &v->lock, change, n, err);
    if (!st) st = write_in(v, "accord.lock", &text, err);
    char *path = NULL;
    if (!st) st = ac_run_path(&path, &v->arena, v->project, "accord.lock", err);
    if (!st) st = ac_lock_read_file(&lock, path, err);
    if (!st) st = ac_lock_yaml(&yaml, &lock, err);
    if (!st) st = write_in(v, "accord.yaml", &yaml, err);
    ac_str_append_c(&mark, v->id);
    if (!st) st = write_in(v, AC_REBUILD_MARK, &mark, err);
    ac_lock_release(&lock);
    ac_str_release(&yaml);
    ac_str_release(&text);
    ac_str_release(&mark);
    return st;
}
