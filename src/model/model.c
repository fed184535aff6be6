/* model/model.c - opening, closing, rotary tables, the hash of the weights' files. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/size.h"
#include "model/model_int.h"

/* ---- rotary frequencies ----------------------------------------------------------------------------- */

/* Llama 3's scaling: long waves by the factor, short ones not, a blend between. The divisor is rounded to
 * binary32, as files that store it have it. */
static double llama3_divisor(const ac_model_config *c, double freq)
{
    const double two_pi = 6.283185307179586476925286766559;
    const double wave = two_pi / freq;
    if (wave < c->rope_original / c->rope_high) return 1.0;
    if (wave > c->rope_original / c->rope_low) return c->rope_factor;
    const double smooth = (c->rope_original / wave - c->rope_low) / (c->rope_high - c->rope_low);
    return (double)(float)(1.0 / ((1.0 - smooth) / c->rope_factor + smooth));
}

static ac_status stored_divisors(const ac_model *m, const float **out, ac_err *err)
{
    *out = NULL;
    if (!m->src.gguf) return AC_OK;
    const ac_tensor *t = ac_tensors_find(m->src.tensors, "rope_freqs.weight");
    if (!t) return AC_OK;
    if (t->type != AC_F32 || t->n_dims != 1 || t->dim[0] != m->cfg.head_dim / 2)
        return ac_fail(err, AC_EFORMAT, "%s: rope_freqs.weight must be %zu F32 values", m->path,
                       m->cfg.head_dim / 2);
    const float *f = t->data;
    for (size_t i = 0; i < t->dim[0]; i++)
        if (!(f[i] >= 1e-6f && f[i] <= 1e6f))
            return ac_fail(err, AC_EFORMAT, "%s: rope_freqs.weight[%zu] is %g, expected a positive factor",
                           m->path, i, (double)f[i]);
    *out = f;
    return AC_OK;
}

static ac_status make_frequencies(ac_model *m, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    const size_t half = c->head_dim / 2;
    const float *divisor = NULL;
    const ac_status st = stored_divisors(m, &divisor, err);
    if (st) return st;
    m->inv_freq = ac_arena_alloc_array(&m->arena, half, sizeof *m->inv_freq);
    if (!m->inv_freq) return ac_fail_nomem(err, half * sizeof *m->inv_freq);
    for (size_t i = 0; i < half; i++) {
        double f = 1.0 / ac_pow_f64(c->rope_theta, 2.0 * (double)i / (double)c->head_dim);
        if (c->rope_scaling == 1) f /= c->rope_factor;
        if (c->rope_scaling == 2) f /= llama3_divisor(c, f);
        if (divisor) f /= (double)divisor[i];
        m->inv_freq[i] = f;
    }
    return AC_OK;
}

static size_t rope_rows(const ac_model *m, size_t rows)
{
    if (rows <= m->rope_rows) return m->rope_rows;
    size_t want = m->rope_rows * 2 > rows ? m->rope_rows * 2 : rows;
    if (want < 256) want = 256;
    return want > m->cfg.context && rows <= m->cfg.context ? m->cfg.context : want;
}

size_t ac_model_table_bytes(const ac_model *m, size_t longest)
{
    return 2 * rope_rows(m, longest) * (m->cfg.head_dim / 2) * sizeof(float);
}

ac_status ac_rope_prepare(ac_model *m, size_t rows, ac_err *err)
{
    if (rows <= m->rope_rows) return AC_OK;
    const size_t want = rope_rows(m, rows);
    const size_t half = m->cfg.head_dim / 2, bytes = want * half * sizeof(float);
    float *host = ac_malloc(2 * bytes);
    if (!host) return ac_fail_nomem(err, 2 * bytes);
    const ac_fp_state fp = ac_fp_enter();
    for (size_t p = 0; p < want; p++)
        for (size_t i = 0; i < half; i++)
            ac_sincos((double)p * m->inv_freq[i], &host[(want + p) * half + i], &host[p * half + i]);
    ac_fp_leave(fp);
    ac_buf *c = NULL, *s = NULL;
    ac_status st = m->dev->op->buf_open(m->dev, &c, want * half, AC_STORE_F32, err);
    if (!st) st = m->dev->op->buf_open(m->dev, &s, want * half, AC_STORE_F32, err);
    if (!st) {
        m->dev->op->write(m->dev, (ac_ref){ c, 0 }, host, want * half);
        m->dev->op->write(m->dev, (ac_ref){ s, 0 }, host + want * half, want * half);
        m->dev->op->buf_close(m->dev, &m->cos_buf);
        m->dev->op->buf_close(m->dev, &m->sin_buf);
        m->cos_buf = c;
        m->sin_buf = s;
        m->rope_rows = want;
    } else {
        m->dev->op->buf_close(m->dev, &c);
    }
    ac_free(host);
    return st;
}

/* ---- life ------------------------------------------------------------------------------------------- */

ac_status ac_model_open(ac_model **out, ac_device *dev, const char *path, ac_err *err)
{
    ac_model *m = ac_calloc(1, sizeof *m);
    if (!m) return ac_fail_nomem(err, sizeof *m);
    m->dev = dev;
    ac_status st = ac_source_open(&m->src, path, err);
    if (!st) {
        m->cfg = m->src.config;
        m->path = ac_arena_strndup(&m->arena, path, strlen(path));
        if (!m->path) st = ac_fail_nomem(err, strlen(path));
    }
    const ac_fp_state fp = ac_fp_enter();
    if (!st) st = make_frequencies(m, err);
    ac_fp_leave(fp);
    if (!st) st = ac_model_bind(m, err);
    if (st) {
        ac_model_close(&m);
        return st;
    }
    *out = m;
    return AC_OK;
}

void ac_model_trim(ac_model *m)
{
    for (size_t i = 0; i < AC_STORE_COUNT; i++) {
        m->dev->op->buf_close(m->dev, &m->work[i]);
        m->work_elems[i] = 0;
    }
}

void ac_model_close(ac_model **model)
{
    if (!model || !*model) return;
    ac_model *m = *model;
    ac_model_trim(m);
    m->dev->op->buf_close(m->dev, &m->cos_buf);
    m->dev->op->buf_close(m->dev, &m->sin_buf);
    m->dev->op->buf_close(m->dev, &m->small);
    ac_model_unprepare(m);
    for (size_t i = 0; i < m->n_weight_bufs; i++) m->dev->op->buf_close(m->dev, &m->weight_buf[i]);
    ac_source_close(&m->src);
    ac_arena_release(&m->arena);
    ac_free(m);
    *model = NULL;
}

ac_device *ac_model_device(const ac_model *m)
{
    return m->dev;
}

const ac_model_config *ac_model_get_config(const ac_model *m)
{
    return &m->cfg;
}

/* ---- hash ------------------------------------------------------------------------------------------- */

static bool is_weight_file(const char *name)
{
    return strcmp(name, "config.json") == 0 || strcmp(name, "model.safetensors.index.json") == 0 ||
           ac_view_ends(ac_view_of(name), AC_VIEW(".safetensors"));
}

/* A folder's hash is that of the lines "<sha256>  <name>\n" of its configuration and weight files in bytewise
 * order: what `LC_ALL=C sha256sum config.json *.safetensors* | sha256sum` prints. */
static ac_status hash_folder(ac_sha256 *out, const char *path, ac_err *err)
{
    ac_arena a = { 0 };
    char **names = NULL;
    size_t n = 0, found = 0;
    ac_sha256_state state;
    ac_sha256_init(&state);
    ac_status st = ac_dir_list(path, &a, &names, &n, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (!is_weight_file(names[i])) continue;
        char hex[AC_SHA256_HEX];
        ac_sha256 h;
        const char *file = ac_path_join(&a, path, names[i]);
        st = file ? ac_sha256_file(&h, file, err) : ac_fail_nomem(err, strlen(path));
        if (st) break;
        ac_sha256_hex(hex, &h);
        ac_sha256_add(&state, hex, 64);
        ac_sha256_add(&state, "  ", 2);
        ac_sha256_add(&state, names[i], strlen(names[i]));
        ac_sha256_add(&state, "\n", 1);
        found++;
    }
    if (!st && found < 2)
        st = ac_fail(err, AC_ENOENT, "%s: the folder holds no model (config.json and *.safetensors)", path);
    if (!st) ac_sha256_done(&state, out);
    ac_arena_release(&a);
    return st;
}

ac_status ac_model_hash(ac_sha256 *out, const char *path, ac_err *err)
{
    return ac_path_is_dir(path) ? hash_folder(out, path, err) : ac_sha256_file(out, path, err);
}
