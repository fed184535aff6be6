/* backend/cpu_dora.c - linear layers whose rows have a magnitude of their own (DoRA, Liu et al. 2024):
 * y = f * (W x + scale * B A x) + bias, f = magnitude / norm of the row of W + scale * B A, the norm held constant in
 * the gradient. Written over the plain linear layer; the order of roundings is docs/numerics.md, M.16. */
#include <math.h>
#include <string.h>
#include "backend/cpu_int.h"

/* ---- norms of rows ------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    const ac_dora_norm_args *a;
} norm_job;

enum { PIECE = 2048 };                           /* a multiple of every block and of the lanes */

/* v = W row + sum of (B * scale) A row, in pieces; squares go into 16 lanes of binary64. */
static float row_norm(const norm_job *j, size_t row)
{
    const ac_dora_norm_args *a = j->a;
    const size_t elems = ac_dtype_block_elems(a->w->type), bytes = ac_dtype_block_bytes(a->w->type);
    const unsigned char *w = a->w->buf->ptr + row * a->w->row_bytes;
    const float *la = cpu_f32(a->a), *lb = cpu_f32(a->b);
    double lane[16] = { 0 };
    float v[PIECE];
    for (size_t at = 0; at < a->w->cols; at += PIECE) {
        const size_t n = a->w->cols - at < PIECE ? a->w->cols - at : PIECE;
        j->k->expand_row(v, w + at / elems * bytes, a->w->type, n);
        for (size_t r = 0; r < a->rank; r++)
            j->k->axpy(v, lb[row * a->rank + r] * a->scale, la + r * a->w->cols + at, n);
        for (size_t i = 0; i < n; i++) lane[i % 16] += (double)v[i] * (double)v[i];
    }
    for (size_t half = 8; half; half /= 2)
        for (size_t l = 0; l < half; l++) lane[l] += lane[l + half];
    const float norm = (float)sqrt(lane[0]);
    return norm > 0.0f || norm != norm ? norm : 1.0f;   /* a row of zeros has no direction: it stays 0 */
}

static void norm_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const norm_job *j = ctx;
    for (size_t i = from; i < to; i++) cpu_f32(j->a->norm)[i] = row_norm(j, i);
}

void cpu_dora_norm(ac_device *dev, const ac_dora_norm_args *a)
{
    norm_job j = { &cpu_of(dev)->k, a };
    cpu_for(cpu_of(dev), a->w->rows, cpu_grain(a->w->cols * (a->rank + 1)), norm_range, &j);
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

typedef struct {
    const float *f, *bias, *a, *b;
    float *p, *y;
    size_t cols;
} rows_job;

/* p = f * p; then y = p, or (a - b) + p with dropout, and + bias, where y is another place. */
static void forward_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const rows_job *j = ctx;
    for (size_t r = from; r < to; r++) {
        const size_t at = r * j->cols;
        float *p = j->p + at;
        for (size_t i = 0; i < j->cols; i++) p[i] = j->f[i] * p[i];
        if (!j->y) continue;
        float *y = j->y + at;
        if (j->b)
            for (size_t i = 0; i < j->cols; i++) y[i] = (y[i] - j->b[at + i]) + p[i];
        else if (y != p)
            memcpy(y, p, j->cols * sizeof *y);
        if (j->bias)
            for (size_t i = 0; i < j->cols; i++) y[i] = y[i] + j->bias[i];
    }
}

/* y = f * a, or f * a - a where b is given. */
static void scale_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const rows_job *j = ctx;
    for (size_t r = from; r < to; r++) {
        const float *a = j->a + r * j->cols;
        float *y = j->y + r * j->cols;
        for (size_t i = 0; i < j->cols; i++) y[i] = j->f[i] * a[i];
        if (j->b)
            for (size_t i = 0; i < j->cols; i++) y[i] = y[i] - a[i];
    }
}

/* f into the beginning of the scratch; returns what is left of it. */
static ac_ref factors(const ac_lora *l, size_t out, ac_ref scratch)
{
    float *f = cpu_f32(scratch);
    const float *m = cpu_f32(l->magnitude), *norm = cpu_f32(l->norm);
    for (size_t i = 0; i < out; i++) f[i] = m[i] / norm[i];
    return ac_ref_at(scratch, (out + 15) / 16 * 16);
}

static ac_lora plain(const ac_lora *l)
{
    ac_lora p = *l;
    p.magnitude = p.norm = p.out0 = (ac_ref){ 0 };
    return p;
}

/* ---- forward ------------------------------------------------------------------------------------------------- */

/* PEFT's way with dropout: y = W x + (f - 1) W x' + f scale B A x', x' = dropout(x). */
static void dropped_linear(ac_device *dev, const ac_linear_args *a, const float *f, ac_ref rest)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t in = a->w->cols, out = a->w->rows, n = a->rows * out;
    ac_lora l = plain(a->lora);
    const ac_ref x = rest, t = ac_ref_at(rest, a->rows * in), p = a->lora->out0;
    cpu_drop_rows(d, cpu_f32(x), cpu_f32(a->x), a->rows, in, &l, a->units, a->n_units);
    l.drop.threshold = 0;
    const ac_linear_args w = { .y = a->y, .x = a->x, .rows = a->rows, .w = a->w };
    if (a->y.buf) cpu_linear(dev, &w);
    const ac_linear_args wd = { .y = t, .x = x, .rows = a->rows, .w = a->w };
    cpu_linear(dev, &wd);
    dev->op->copy(dev, p, t, n);
    const ac_linear_args h = { .x = x, .rows = a->rows, .w = a->w, .lora = &l };
    cpu_linear(dev, &h);
    cpu_product(d, AC_MM_NT, a->rows, out, l.rank, cpu_f32(l.h), l.rank, cpu_f32(l.b), AC_F32,
                l.rank * sizeof(float), cpu_f32(p), out, true);
    rows_job j = { .f = f, .bias = cpu_f32(a->bias), .b = cpu_f32(t), .p = cpu_f32(p), .y = cpu_f32(a->y), .cols = out };
    cpu_for(d, a->rows, cpu_grain(out), forward_range, &j);
}

void cpu_dora_linear(ac_device *dev, const ac_linear_args *a)
{
    const size_t out = a->w->rows;
    const ac_ref rest = factors(a->lora, out, a->scratch);
    const float *f = cpu_f32(a->scratch);
    if (a->lora->drop.threshold) {
        dropped_linear(dev, a, f, rest);
        return;
    }
    const ac_lora l = plain(a->lora);
    ac_linear_args u = *a;
    u.y = a->lora->out0.buf ? a->lora->out0 : a->y;
    u.bias = (ac_ref){ 0 };
    u.lora = &l;
    u.scratch = rest;
    cpu_linear(dev, &u);
    rows_job j = { .f = f, .bias = cpu_f32(a->bias), .p = cpu_f32(u.y), .y = cpu_f32(a->y), .cols = out };
    cpu_for(cpu_of(dev), a->rows, cpu_grain(out), forward_range, &j);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

typedef struct {
    const ac_linear_grad_args *a;
    size_t cols;
} magnitude_job;

/* dm_j += (sum over the unit's tokens of dy * out0) / m_j, unit by unit; columns are cut, tokens never. */
static void magnitude_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const magnitude_job *j = ctx;
    const ac_lora *l = j->a->lora;
    const float *m = cpu_f32(l->magnitude);
    float *dm = cpu_f32(j->a->dm), sum[64];
    for (size_t c = from; c < to; c += 64) {
        const size_t n = to - c < 64 ? to - c : 64;
        for (size_t u = 0; u < j->a->n_units; u++) {
            const ac_unit_rows *unit = &j->a->units[u];
            memset(sum, 0, sizeof sum);
            for (size_t t = unit->first; t < unit->first + unit->n; t++) {
                const float *dy = cpu_f32(j->a->dy) + t * j->cols + c, *p = cpu_f32(l->out0) + t * j->cols + c;
                for (size_t i = 0; i < n; i++) sum[i] = sum[i] + dy[i] * p[i];
            }
            for (size_t i = 0; i < n; i++)
                if (m[c + i] > 0.0f || m[c + i] < 0.0f) dm[c + i] = dm[c + i] + sum[i] / m[c + i];
        }
    }
}

typedef struct {
    const ac_kernels *k;
    float *y;
    const float *x;
} add_job;

static void add_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const add_job *j = ctx;
    j->k->add(j->y + from, j->y + from, j->x + from, to - from);
}

/* With dropout: dx (+)= dy W, then dx += dropout((f dy - dy) W + dh A). `inner` begins with dh, as the adapter's
 * gradient left it; e is (f dy - dy). */
static void dropped_input_grad(ac_cpu_device *d, const ac_linear_grad_args *a, const float *e, float *inner)
{
    const ac_lora *l = a->lora;
    const size_t in = a->w->cols, out = a->w->rows;
    const float *dh = inner;
    float *wide = inner + a->rows * l->rank, *dx = cpu_f32(a->dx);
    cpu_product(d, AC_MM_NN, a->rows, in, out, cpu_f32(a->dy), out, a->w->buf->ptr, a->w->type, a->w->row_bytes, dx, in,
                a->accumulate);
    cpu_product(d, AC_MM_NN, a->rows, in, out, e, out, a->w->buf->ptr, a->w->type, a->w->row_bytes, wide, in, false);
    cpu_product(d, AC_MM_NN, a->rows, in, l->rank, dh, l->rank, cpu_f32(l->a), AC_F32, in * sizeof(float), wide, in,
                true);
    cpu_drop_rows(d, wide, wide, a->rows, in, l, a->units, a->n_units);
    add_job j = { &d->k, dx, wide };
    cpu_for(d, a->rows * in, 16384, add_range, &j);
}

void cpu_dora_grad(ac_device *dev, const ac_linear_grad_args *a)
{
    ac_cpu_device *d = cpu_of(dev);
    const size_t out = a->w->rows;
    const bool drop = a->lora->drop.threshold != 0;
    const ac_ref du = factors(a->lora, out, a->scratch), inner = ac_ref_at(du, a->rows * out);
    const ac_lora l = plain(a->lora);
    magnitude_job m = { a, out };
    cpu_for(d, out, cpu_grain(a->rows), magnitude_range, &m);
    rows_job j = { .f = cpu_f32(a->scratch), .a = cpu_f32(a->dy), .y = cpu_f32(du), .cols = out };
    cpu_for(d, a->rows, cpu_grain(out), scale_range, &j);
    ac_linear_grad_args g = *a;
    g.dy = du;
    g.lora = &l;
    g.scratch = inner;
    if (drop) g.dx = (ac_ref){ 0 };
    cpu_linear_grad(dev, &g);
    if (!drop || !a->dx.buf) return;
    j.b = cpu_f32(a->dy);                        /* du is read no more: f dy - dy takes its place */
    cpu_for(d, a->rows, cpu_grain(out), scale_range, &j);
    dropped_input_grad(d, a, cpu_f32(du), cpu_f32(inner));
}

size_t cpu_dora_scratch(const ac_shape *s)
{
    const size_t wide = s->widest_in;            /* of inputs and of outputs, which are the same widths */
    if (!s->dora) return 0;
    return (wide + 15) / 16 * 16 + s->rows * wide * (s->grad || s->dropout ? 1 + (size_t)s->dropout : 0);
}
