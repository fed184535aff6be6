/* train/manifest.c - a checkpoint's manifest.json: text, and strict reading.
 *
 * Its last member, self, is the SHA-256 of the whole text with the 64 digits of self set to 0. It is checked over the
 * raw bytes before anything is parsed, so that any changed byte is found, white space included, and so that "damaged"
 * and "written by another version" can be told apart. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/json.h"
#include "train/train_int.h"

#define FORMAT_NAME "accord-checkpoint"
#define TAIL_HEAD   "  \"self\": \""
#define TAIL_END    "\"\n}\n"
#define HEX         64

/* ---- writing -------------------------------------------------------------------------------------------- */

static void put_hash(ac_jw *w, const char *key, const ac_sha256 *h)
{
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, h);
    ac_jw_cstr(w, key, hex);
}

/* Doubles travel as bits: NAN and the last digit survive, and no reader rounds. */
static void put_bits(ac_jw *w, const char *key, double v)
{
    uint64_t bits;
    char hex[17];
    memcpy(&bits, &v, sizeof bits);
    (void)snprintf(hex, sizeof hex, "%016" PRIx64, bits);
    ac_jw_cstr(w, key, hex);
}

static void put_state(ac_jw *w, const ac_train_state *s)
{
    ac_jw_u64(w, "optimizer_steps", s->optimizer_steps);
    ac_jw_u64(w, "undone", s->undone);
    ac_jw_u64(w, "undone_in_row", s->undone_in_row);
    ac_jw_i64(w, "last_eval_step", s->last_eval_step == AC_NO_EVAL ? -1 : (int64_t)s->last_eval_step);
    ac_jw_u64(w, "evals_since_best", s->evals_since_best);
    ac_jw_bool(w, "has_best", s->has_best);
    ac_jw_bool(w, "stopped_early", s->stopped_early);
    ac_jw_u64(w, "best_step", s->best_step);
    put_bits(w, "start_valid_loss_bits", s->start_valid_loss);
    put_bits(w, "best_valid_loss_bits", s->best_valid_loss);
    put_bits(w, "first_loss_bits", s->first_loss);
    put_bits(w, "last_loss_bits", s->last_loss);
    ac_jw_u64(w, "tokens", s->tokens);
    ac_jw_u64(w, "supervised_tokens", s->supervised_tokens);
    ac_jw_u64(w, "padding_tokens", s->padding_tokens);
    put_bits(w, "train_seconds_bits", s->train_seconds);
    put_bits(w, "eval_seconds_bits", s->eval_seconds);
    ac_jw_u64(w, "trace_bytes", s->trace_bytes);
    put_hash(w, "trace", &s->trace);
}

void ac_manifest_render(ac_str *out, const ac_manifest *m)
{
    const size_t start = out->len;
    ac_jw w;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "format", FORMAT_NAME);
    ac_jw_u64(&w, "schema", AC_CKPT_SCHEMA);
    ac_jw_cstr(&w, "numerics", ac_numerics_name(m->numerics));
    put_hash(&w, "lock", &m->lock);
    put_hash(&w, "fingerprint", &m->fingerprint);
    ac_jw_u64(&w, "audit_count", m->audit_count);
    put_hash(&w, "audit_head", &m->audit_head);
    ac_jw_u64(&w, "step", m->state.step);
    ac_jw_u64(&w, "total_steps", m->total_steps);
    ac_jw_u64(&w, "epoch", m->epoch);
    ac_jw_u64(&w, "epoch_step", m->epoch_step);
    put_state(&w, &m->state);
    ac_jw_array(&w, "files");
    for (size_t i = 0; i < m->n_files; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "name", m->file[i].name);
        ac_jw_u64(&w, "bytes", m->file[i].bytes);
        put_hash(&w, "sha256", &m->file[i].hash);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    char zeros[HEX + 1];
    memset(zeros, '0', HEX);
    zeros[HEX] = '\0';
    ac_jw_cstr(&w, "self", zeros);
    ac_jw_end_object(&w);
    if (!ac_str_ok(out)) return;
    while (out->len > start && out->ptr[out->len - 1] == '\n') out->len--;   /* whatever the writer ends with */
    ac_str_append_c(out, "\n");
    if (!ac_str_ok(out)) return;
    char hex[AC_SHA256_HEX];
    const ac_sha256 h = ac_sha256_of(out->ptr + start, out->len - start);
    ac_sha256_hex(hex, &h);
    memcpy(out->ptr + out->len - (sizeof TAIL_END - 1) - HEX, hex, HEX);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static bool self_ok(ac_view text)
{
    const size_t head = sizeof TAIL_HEAD - 1, end = sizeof TAIL_END - 1;
    if (text.len < head + HEX + end) return false;
    const char *digits = text.ptr + text.len - end - HEX;
    if (memcmp(digits + HEX, TAIL_END, end) != 0 || memcmp(digits - head, TAIL_HEAD, head) != 0) return false;
    char zeros[HEX], hex[AC_SHA256_HEX];
    memset(zeros, '0', HEX);
    ac_sha256_state s;
    ac_sha256 h;
    ac_sha256_init(&s);
    ac_sha256_add(&s, text.ptr, (size_t)(digits - text.ptr));
    ac_sha256_add(&s, zeros, HEX);
    ac_sha256_add(&s, digits + HEX, end);
    ac_sha256_done(&s, &h);
    ac_sha256_hex(hex, &h);
    return memcmp(hex, digits, HEX) == 0;
}

/* Reads members one after another; the first failure stays and the rest become no-ops. */
typedef struct {
    const ac_json *o;
    const char *path;
    ac_status st;
    ac_err *err;
} reader;

static void get_u64(reader *r, const char *key, uint64_t *out)
{
    int64_t v = 0;
    if (r->st) return;
    r->st = ac_json_get_i64(&v, r->o, key, r->path, r->err);
    if (!r->st && v < 0) r->st = ac_fail(r->err, AC_EFORMAT, "%s: \"%s\" is negative", r->path, key);
    if (!r->st) *out = (uint64_t)v;
}

static void get_bool(reader *r, const char *key, bool *out)
{
    if (!r->st) r->st = ac_json_get_bool(out, r->o, key, r->path, r->err);
}

static void get_hash(reader *r, const char *key, ac_sha256 *out)
{
    ac_view v = { 0 };
    if (r->st) return;
    r->st = ac_json_get_str(&v, r->o, key, r->path, r->err);
    if (!r->st && ac_sha256_parse(out, v)) {
        r->st = ac_fail(r->err, AC_EFORMAT, "%s: \"%s\" is not a SHA-256", r->path, key);
    }
}

static void get_bits(reader *r, const char *key, double *out)
{
    ac_view v = { 0 };
    uint64_t bits = 0;
    if (r->st) return;
    r->st = ac_json_get_str(&v, r->o, key, r->path, r->err);
    if (r->st) return;
    bool ok = v.len == 16;
    for (size_t i = 0; ok && i < 16; i++) {
        const char c = v.ptr[i];
        const int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0) ok = false;
        else bits = bits << 4 | (uint64_t)d;
    }
    if (!ok) r->st = ac_fail(r->err, AC_EFORMAT, "%s: \"%s\" is not 16 hexadecimal digits", r->path, key);
    else memcpy(out, &bits, sizeof bits);
}

static void get_state(reader *r, ac_train_state *s)
{
    int64_t last_eval = -1;
    get_u64(r, "step", &s->step);
    get_u64(r, "optimizer_steps", &s->optimizer_steps);
    get_u64(r, "undone", &s->undone);
    get_u64(r, "undone_in_row", &s->undone_in_row);
    if (!r->st) r->st = ac_json_get_i64(&last_eval, r->o, "last_eval_step", r->path, r->err);
    s->last_eval_step = last_eval < 0 ? AC_NO_EVAL : (uint64_t)last_eval;
    get_u64(r, "evals_since_best", &s->evals_since_best);
    get_bool(r, "has_best", &s->has_best);
    get_bool(r, "stopped_early", &s->stopped_early);
    get_u64(r, "best_step", &s->best_step);
    get_bits(r, "start_valid_loss_bits", &s->start_valid_loss);
    get_bits(r, "best_valid_loss_bits", &s->best_valid_loss);
    get_bits(r, "first_loss_bits", &s->first_loss);
    get_bits(r, "last_loss_bits", &s->last_loss);
    get_u64(r, "tokens", &s->tokens);
    get_u64(r, "supervised_tokens", &s->supervised_tokens);
    get_u64(r, "padding_tokens", &s->padding_tokens);
    get_bits(r, "train_seconds_bits", &s->train_seconds);
    get_bits(r, "eval_seconds_bits", &s->eval_seconds);
    get_u64(r, "trace_bytes", &s->trace_bytes);
    get_hash(r, "trace", &s->trace);
}

static void get_files(reader *r, ac_manifest *m)
{
    const ac_json *files = ac_json_get(r->o, "files");
    if (r->st) return;
    if (!files || files->type != AC_JSON_ARRAY || files->n == 0 || files->n > AC_CKPT_FILES_MAX) {
        r->st = ac_fail(r->err, AC_EFORMAT, "%s: \"files\" must be an array of 1 to %d objects", r->path,
                        AC_CKPT_FILES_MAX);
        return;
    }
    for (const ac_json *f = files->child; f && !r->st; f = f->next) {
        ac_manifest_file *to = &m->file[m->n_files++];
        reader one = { f, r->path, AC_OK, r->err };
        ac_view name = { 0 };
        one.st = ac_json_get_str(&name, f, "name", r->path, r->err);
        if (!one.st && (!ac_path_component_ok(name) || name.len >= sizeof to->name)) {
            one.st = ac_fail(r->err, AC_EFORMAT, "%s: \"files\" names something that is no plain file name", r->path);
        }
        if (!one.st) memcpy(to->name, name.ptr, name.len);
        get_u64(&one, "bytes", &to->bytes);
        get_hash(&one, "sha256", &to->hash);
        r->st = one.st;
    }
}

static ac_status parse_tree(ac_manifest *m, const ac_json *root, const char *path, ac_err *err)
{
    reader r = { root, path, AC_OK, err };
    ac_view format = { 0 };
    uint64_t schema = 0;
    r.st = ac_json_get_str(&format, root, "format", path, err);
    if (!r.st && !ac_view_eq_str(format, FORMAT_NAME)) {
        r.st = ac_fail(err, AC_EFORMAT, "%s: is no manifest of a checkpoint", path);
    }
    get_u64(&r, "schema", &schema);
    if (!r.st && schema != AC_CKPT_SCHEMA) {
        return ac_fail(err, AC_ECONTRACT, "%s: is of schema %" PRIu64 ", this program knows schema %d; resume with the "
                       "version that wrote it", path, schema, AC_CKPT_SCHEMA);
    }
    ac_view numerics = { 0 };
    if (!r.st) r.st = ac_json_get_str(&numerics, root, "numerics", path, err);
    m->numerics = AC_NUM_FP32;
    while (m->numerics < AC_NUM_CUDA_BF16 && !ac_view_eq_str(numerics, ac_numerics_name(m->numerics))) m->numerics++;
    if (!r.st && !ac_view_eq_str(numerics, ac_numerics_name(m->numerics))) {
        return ac_fail(err, AC_ECONTRACT, "%s: was computed by numerics \"%.*s\", this program knows %s and %s; resume with "
                       "the version that wrote it", path, (int)numerics.len, numerics.ptr, AC_NUMERICS_FP32,
                       AC_NUMERICS_BF16);
    }
    get_hash(&r, "lock", &m->lock);
    get_hash(&r, "fingerprint", &m->fingerprint);
    get_u64(&r, "audit_count", &m->audit_count);
    get_hash(&r, "audit_head", &m->audit_head);
    get_u64(&r, "total_steps", &m->total_steps);
    get_u64(&r, "epoch", &m->epoch);
    get_u64(&r, "epoch_step", &m->epoch_step);
    get_state(&r, &m->state);
    get_files(&r, m);
    /* A missing key in a text that carries its own hash was never written by us. */
    return r.st == AC_ENOENT ? AC_EFORMAT : r.st;
}

ac_status ac_manifest_parse(ac_manifest *out, ac_view text, const char *path, ac_err *err)
{
    if (!self_ok(text)) {
        return ac_fail(err, AC_EFORMAT, "%s: its bytes do not give the hash at its end; the file is damaged", path);
    }
    ac_arena a = { 0 };
    const ac_json *root = NULL;
    const ac_json_limits limits = { .max_bytes = 1 << 20, .max_values = 4096 };
    ac_manifest m = { 0 };
    ac_status st = ac_json_parse(&root, text, &a, path, 1, &limits, err);
    if (!st) st = parse_tree(&m, root, path, err);
    ac_arena_release(&a);
    if (!st) *out = m;
    return st;
}
