/* train/checkpoint.c - checkpoints that are complete or absent (T8).
 *
 *   step-N.tmp.PID/   adapter_config.json, adapter_model.safetensors   the adapter, as PEFT lays it out
 *                     or model.safetensors                             all weights, where they are trained
 *                     optimizer.safetensors                            the optimizer's state as stored
 *                     best.safetensors                                 the best parameters so far, if any
 *                     manifest.json                                    last
 *   -> step-N/        by rename, once everything is on the disk
 * Every file is synced by base/file.h as it is written, then the folder, then the rename's folder. The old ones go
 * only after the new one was read back and verified. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/tensors.h"
#include "base/time.h"
#include "train/train_int.h"

#define MANIFEST     "manifest.json"
#define MANIFEST_MAX ((size_t)64 << 10)

/* ---- names ---------------------------------------------------------------------------------------------- */

/* "step-12" and nothing else. */
static bool parse_step(const char *name, uint64_t *step)
{
    if (strncmp(name, "step-", 5) != 0 || !ac_parse_u64(ac_view_of(name + 5), step)) return false;
    char back[32];
    (void)snprintf(back, sizeof back, "step-%" PRIu64, *step);
    return strcmp(back, name) == 0;
}

static int newest_first(const void *x, const void *y)
{
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a > b ? -1 : a < b;
}

static ac_status list_steps(const char *dir, uint64_t **out, size_t *n_out, ac_arena *a, ac_err *err)
{
    char **names = NULL;
    size_t n = 0, kept = 0;
    const ac_status st = ac_dir_list(dir, a, &names, &n, err);
    if (st) return st;
    uint64_t *steps = ac_arena_alloc_array(a, n + 1, sizeof *steps);
    if (!steps) return ac_fail_nomem(err, (n + 1) * sizeof *steps);
    for (size_t i = 0; i < n; i++) {
        if (parse_step(names[i], &steps[kept])) kept++;
    }
    qsort(steps, kept, sizeof *steps, newest_first);
    *out = steps;
    *n_out = kept;
    return AC_OK;
}

static ac_status step_path(char **out, ac_arena *a, const char *dir, uint64_t step, ac_err *err)
{
    *out = ac_arena_printf(a, "%s/step-%" PRIu64, dir, step);
    return *out ? AC_OK : ac_fail_nomem(err, strlen(dir) + 32);
}

/* A name for a folder on its way in or out; swept up at the next start if we die meanwhile. */
static ac_status temp_path(char **out, ac_arena *a, const char *dir, uint64_t step, const char *what, ac_err *err)
{
    *out = ac_arena_printf(a, "%s/step-%" PRIu64 ".tmp.%s%ld", dir, step, what, (long)getpid());
    return *out ? AC_OK : ac_fail_nomem(err, strlen(dir) + 64);
}

/* Renamed first: a half-removed folder never stands under a checkpoint's name. */
static ac_status remove_step(const char *dir, uint64_t step, ac_arena *a, ac_err *err)
{
    char *path, *temp;
    ac_status st = step_path(&path, a, dir, step, err);
    if (!st) st = temp_path(&temp, a, dir, step, "old", err);
    if (!st) st = ac_rename(path, temp, err);
    if (!st) st = ac_remove_tree(temp, err);
    return st;
}

ac_status ac_ckpt_sweep(const ac_ckpt *c, bool *any, ac_err *err)
{
    ac_arena a = { 0 };
    char **names = NULL;
    size_t n = 0;
    bool found = false;
    ac_status st = ac_dir_list(c->dir, &a, &names, &n, err);
    for (size_t i = 0; !st && i < n; i++) {
        uint64_t step;
        if (parse_step(names[i], &step)) found = true;
        if (!strstr(names[i], ".tmp.")) continue;
        char *path = ac_path_join(&a, c->dir, names[i]);
        st = path ? ac_remove_tree(path, err) : ac_fail_nomem(err, strlen(names[i]));
    }
    ac_arena_release(&a);
    if (!st) *any = found;
    return st;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static ac_tensor_out flat(const char *name, ac_dtype type, const void *data, size_t n)
{
    return (ac_tensor_out){ .name = name, .type = type, .n_dims = 1, .dim = { n, 1, 1, 1 }, .data = data };
}

static ac_status write_tensors(const char *dir, const char *name, const ac_tensor_out *t, size_t n, ac_arena *a,
                               ac_err *err)
{
    const char *path = ac_path_join(a, dir, name);
    return path ? ac_safetensors_write(path, t, n, NULL, 0, err) : ac_fail_nomem(err, strlen(dir));
}

static ac_status list_file(ac_manifest *m, const char *dir, const char *name, ac_arena *a, ac_err *err)
{
    ac_manifest_file *f = &m->file[m->n_files];
    const char *path = ac_path_join(a, dir, name);
    if (!path) return ac_fail_nomem(err, strlen(dir));
    (void)snprintf(f->name, sizeof f->name, "%s", name);
    ac_status st = ac_file_size(path, &f->bytes, err);
    if (!st) st = ac_sha256_file(&f->hash, path, err);
    if (!st) m->n_files++;
    return st;
}

static ac_status write_files(const ac_ckpt *c, const char *dir, ac_manifest *m, const ac_ckpt_data *d, ac_arena *a,
                             ac_err *err)
{
    const size_t n = d->ad->n_params;
    ac_tensor_out state[AC_STATE_ARRAYS];
    size_t n_state = 0;
    for (size_t i = 0; i < AC_STATE_ARRAYS; i++) {
        const ac_state_array *s = &d->state[i];
        if (s->n) state[n_state++] = flat(s->name, s->type, s->data, s->n);
    }
    ac_status st = ac_adapter_save(d->ad, dir, c->base_name, c->dropout, err);
    if (!st) st = write_tensors(dir, "optimizer.safetensors", state, n_state, a, err);
    if (!st && d->ad->spec.tune != AC_TUNE_FULL) st = list_file(m, dir, "adapter_config.json", a, err);
    if (!st) st = list_file(m, dir, ac_adapter_file(d->ad), a, err);
    if (!st) st = list_file(m, dir, "optimizer.safetensors", a, err);
    if (!st && m->state.has_best) {
        const ac_tensor_out best = flat("params", AC_F32, d->best, n);
        st = write_tensors(dir, "best.safetensors", &best, 1, a, err);
        if (!st) st = list_file(m, dir, "best.safetensors", a, err);
    }
    return st;
}

static ac_status write_manifest(const char *dir, const ac_manifest *m, ac_arena *a, ac_err *err)
{
    const char *path = ac_path_join(a, dir, MANIFEST);
    ac_str text = { 0 };
    ac_manifest_render(&text, m);
    ac_status st = path && ac_str_ok(&text) ? AC_OK : ac_fail_nomem(err, MANIFEST_MAX);
    if (!st) st = ac_file_write_atomic(path, text.ptr, text.len, err);
    if (!st) st = ac_dir_sync(dir, err);
    ac_str_release(&text);
    return st;
}

static ac_status prune(const ac_ckpt *c, ac_arena *a, ac_err *err)
{
    uint64_t *steps = NULL;
    size_t n = 0;
    ac_status st = list_steps(c->dir, &steps, &n, a, err);
    for (size_t i = c->keep; !st && i < n; i++) st = remove_step(c->dir, steps[i], a, err);
    return st;
}

static ac_status install(const ac_ckpt *c, const char *temp, const char *path, uint64_t step, ac_arena *a,
                         ac_err *err)
{
    ac_status st = AC_OK;
    if (ac_path_exists(path)) st = remove_step(c->dir, step, a, err);
    if (!st) st = ac_rename(temp, path, err);
    if (!st) st = ac_dir_sync(c->dir, err);
    return st;
}

ac_status ac_ckpt_write(const ac_ckpt *c, const ac_train_state *s, const ac_ckpt_data *d, ac_err *err)
{
    ac_arena a = { 0 };
    ac_manifest m = c->head, back;
    m.state = *s;
    m.n_files = 0;
    char *temp = NULL, *path = NULL;
    const int64_t start = ac_mono_ns();
    ac_status st = temp_path(&temp, &a, c->dir, s->step, "", err);
    if (!st) st = step_path(&path, &a, c->dir, s->step, err);
    if (!st) st = ac_remove_tree(temp, err);
    if (!st) st = ac_mkdir_p(temp, err);
    if (!st) st = write_files(c, temp, &m, d, &a, err);
    if (!st) st = write_manifest(temp, &m, &a, err);
    if (!st) st = install(c, temp, path, s->step, &a, err);
    if (st && temp) (void)ac_remove_tree(temp, NULL);          /* gone already once it was renamed */
    if (!st) {
        st = ac_ckpt_verify(&back, path, s->step, err);
        if (st) (void)ac_err_prefix(err, st, "a checkpoint that was just written does not read back");
    }
    if (!st) st = prune(c, &a, err);
    if (!st) {
        ac_event e = { .kind = AC_EV_CHECKPOINT, .step = s->step, .text = path, .unit = "bytes",
                       .seconds = (double)(ac_mono_ns() - start) * 1e-9 };
        for (size_t i = 0; i < m.n_files; i++) e.done += m.file[i].bytes;
        st = ac_emit(c->sink, &e, err);
    }
    ac_arena_release(&a);
    return st;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static ac_status verify_file(const ac_manifest_file *f, const char *dir, ac_arena *a, ac_err *err)
{
    const char *path = ac_path_join(a, dir, f->name);
    uint64_t size = 0;
    ac_sha256 h;
    if (!path) return ac_fail_nomem(err, strlen(dir));
    ac_status st = ac_file_size(path, &size, err);
    if (!st && size != f->bytes) {
        return ac_fail(err, AC_EFORMAT, "%s: has %" PRIu64 " bytes, its manifest says %" PRIu64 "; the file is damaged",
                       path, size, f->bytes);
    }
    if (!st) st = ac_sha256_file(&h, path, err);
    if (!st && memcmp(h.byte, f->hash.byte, sizeof h.byte) != 0) {
        return ac_fail(err, AC_EFORMAT, "%s: has another SHA-256 than its manifest says; the file is damaged", path);
    }
    return st;
}

static bool lists(const ac_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->n_files; i++) {
        if (strcmp(m->file[i].name, name) == 0) return true;
    }
    return false;
}

static ac_status verify_in(ac_manifest *m, const char *dir, uint64_t step, ac_arena *a, ac_err *err)
{
    const char *path = ac_path_join(a, dir, MANIFEST);
    ac_view text = { 0 };
    if (!path) return ac_fail_nomem(err, strlen(dir));
    ac_status st = ac_file_read_arena(&text, a, path, MANIFEST_MAX, err);
    if (!st) st = ac_manifest_parse(m, text, path, err);
    if (st) return st;
    if (m->state.step != step) {
        return ac_fail(err, AC_EFORMAT, "%s: is of step %" PRIu64 ", its folder of step %" PRIu64 "; the checkpoint was "
                       "mixed up", path, m->state.step, step);
    }
    const bool adapter = lists(m, "adapter_config.json") && lists(m, "adapter_model.safetensors");
    if ((!adapter && !lists(m, "model.safetensors")) || !lists(m, "optimizer.safetensors") || (m->state.has_best && !lists(m, "best.safetensors"))) {
        return ac_fail(err, AC_EFORMAT, "%s: does not list every file of a checkpoint", path);
    }
    for (size_t i = 0; !st && i < m->n_files; i++) st = verify_file(&m->file[i], dir, a, err);
    return st;
}

ac_status ac_ckpt_verify(ac_manifest *out, const char *step_dir, uint64_t step, ac_err *err)
{
    ac_arena a = { 0 };
    ac_manifest m;
    const ac_status st = verify_in(&m, step_dir, step, &a, err);
    ac_arena_release(&a);
    if (!st) *out = m;
    return st;
}

/* step-N.bad, or step-N.bad-2 and so on: nothing is deleted that might still be looked into. */
static ac_status quarantine(const ac_ckpt *c, const char *path, const char *why, ac_arena *a, ac_err *err)
{
    char *bad = ac_arena_printf(a, "%s.bad", path);
    for (unsigned n = 2; bad && ac_path_exists(bad) && n < 1000; n++) bad = ac_arena_printf(a, "%s.bad-%u", path, n);
    if (!bad) return ac_fail_nomem(err, strlen(path));
    ac_status st = ac_rename(path, bad, err);
    if (!st) st = ac_dir_sync(c->dir, err);
    if (st) return st;
    const char *text = ac_arena_printf(a, "%s; set aside as %s, going on with the checkpoint before it", why, bad);
    const ac_event e = { .kind = AC_EV_WARN, .text = text ? text : bad };
    return ac_emit(c->sink, &e, err);
}

static ac_status same_run(const ac_ckpt *c, const ac_manifest *m, const char *path, ac_err *err)
{
    char was[AC_SHA256_HEX], is[AC_SHA256_HEX];
    if (memcmp(m->lock.byte, c->head.lock.byte, sizeof m->lock.byte) != 0) {
        ac_sha256_hex(was, &m->lock);
        ac_sha256_hex(is, &c->head.lock);
        return ac_fail(err, AC_ECONTRACT, "%s: was made under lock %.12s, this is lock %.12s; resume under its own lock "
                       "or start a new run", path, was, is);
    }
    if (memcmp(m->fingerprint.byte, c->head.fingerprint.byte, sizeof m->fingerprint.byte) != 0 ||
        m->total_steps != c->head.total_steps) {
        return ac_fail(err, AC_ECONTRACT, "%s: was made with other training options or other rows; expected the same "
                       "ones to resume; put them back or start a new run", path);
    }
    return AC_OK;
}

ac_status ac_ckpt_find(const ac_ckpt *c, ac_manifest *out, char **step_dir, ac_arena *a, ac_err *err)
{
    uint64_t *steps = NULL;
    size_t n = 0;
    ac_status st = list_steps(c->dir, &steps, &n, a, err);
    for (size_t i = 0; !st && i < n; i++) {
        char *path;
        ac_err why = { 0 };
        st = step_path(&path, a, c->dir, steps[i], err);
        if (st) return st;
        st = ac_ckpt_verify(out, path, steps[i], &why);
        if (!st) {
            st = same_run(c, out, path, err);
            if (!st) *step_dir = path;
            return st;
        }
        if (st != AC_EFORMAT && st != AC_ENOENT) return ac_fail(err, st, "%s", why.text);
        st = quarantine(c, path, why.text, a, err);
    }
    return st ? st : ac_fail(err, AC_ENOENT, "%s: holds no complete checkpoint; start the run without resume", c->dir);
}

static ac_status read_flat(const ac_state_array *to, const ac_tensors *t, const char *path, ac_err *err)
{
    const ac_tensor *x = ac_tensors_find(t, to->name);
    if (!x || x->type != to->type || x->n_dims != 1 || x->dim[0] != to->n) {
        return ac_fail(err, AC_EFORMAT, "%s: expected the tensor %s of %zu values of type %s; the checkpoint is of another "
                       "adapter or optimizer", path, to->name, to->n, ac_dtype_name(to->type));
    }
    memcpy(to->data, x->data, to->n * ac_dtype_block_bytes(to->type));
    return AC_OK;
}

static ac_status load_flat(const char *dir, const char *file, const ac_state_array *to, size_t n, ac_arena *a,
                           ac_err *err)
{
    ac_tensors *t = NULL;
    const char *path = ac_path_join(a, dir, file);
    ac_status st = path ? ac_safetensors_open(&t, path, err) : ac_fail_nomem(err, strlen(dir));
    for (size_t i = 0; !st && i < n; i++) {
        if (to[i].n) st = read_flat(&to[i], t, path, err);
    }
    ac_tensors_close(&t);
    return st;
}

static ac_status load_adapter(ac_adapter *ad, const ac_model *m, const char *dir, ac_err *err)
{
    ac_adapter *from = NULL;
    ac_status st = ac_adapter_load(&from, m, dir, err);
    if (!st && (from->n_params != ad->n_params || from->spec.tune != ad->spec.tune || from->spec.rank != ad->spec.rank ||
                from->spec.targets != ad->spec.targets)) {
        st = ac_fail(err, AC_EFORMAT, "%s: holds an adapter of another shape than this run's", dir);
    }
    if (!st) memcpy(ad->params, from->params, ad->n_params * sizeof *ad->params);
    ac_adapter_changed(ad);
    ac_adapter_close(&from);
    return st;
}

ac_status ac_ckpt_load(const char *step_dir, const ac_manifest *man, const ac_model *m, ac_ckpt_data *d,
                       ac_err *err)
{
    ac_arena a = { 0 };
    const ac_state_array best = { .name = "params", .type = AC_F32, .n = d->ad->n_params, .data = d->best };
    ac_status st = load_adapter(d->ad, m, step_dir, err);
    if (!st) st = load_flat(step_dir, "optimizer.safetensors", d->state, AC_STATE_ARRAYS, &a, err);
    if (!st && man->state.has_best) st = load_flat(step_dir, "best.safetensors", &best, 1, &a, err);
    ac_arena_release(&a);
    return st;
}
