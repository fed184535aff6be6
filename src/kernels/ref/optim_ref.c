/* kernels/ref/optim_ref.c - the optimizers' kernels beside AdamW, and the stored forms of their state, in plain C.
 * This is the specification: every operation in its order, one rounding each. */
#include "kernels/vec_int.h"

#include <math.h>

static void sgd(float *p, float *m, const float *g, size_t n, float grad_scale, float keep, float mu, float lr)
{
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * grad_scale;
        if (m) d = m[i] = fmaf(mu, m[i], d);
        p[i] = fmaf(-lr, d, p[i] * keep);
    }
}

static void lion(float *p, float *m, const float *g, size_t n, float grad_scale, float keep, float b1,
                 float one_minus_b1, float b2, float one_minus_b2, float lr)
{
    for (size_t i = 0; i < n; i++) {
        const float gs = g[i] * grad_scale;
        const float c = fmaf(b1, m[i], one_minus_b1 * gs);
        const float sign = c > 0 ? 1.0f : c < 0 ? -1.0f : c;
        p[i] = fmaf(-lr, sign, p[i] * keep);
        m[i] = fmaf(b2, m[i], one_minus_b2 * gs);
    }
}

static void nesterov(float *u, float *m, const float *g, size_t n, float grad_scale, float mu, float one_minus_mu)
{
    for (size_t i = 0; i < n; i++) {
        const float part = one_minus_mu * (g[i] * grad_scale);
        m[i] = fmaf(mu, m[i], part);
        u[i] = fmaf(mu, m[i], part);
    }
}

static void descend(float *p, const float *x, size_t n, float keep, float step)
{
    for (size_t i = 0; i < n; i++) p[i] = fmaf(-step, x[i], p[i] * keep);
}

static void col_squares(float *sum, const float *x, size_t rows, size_t cols, size_t row_stride)
{
    for (size_t j = 0; j < cols; j++) {
        float total = 0;
        for (size_t first = 0; first < rows; first += AC_K_BLOCK) {
            const size_t end = rows - first < AC_K_BLOCK ? rows : first + AC_K_BLOCK;
            float chain = 0;
            for (size_t i = first; i < end; i++) chain = fmaf(x[i * row_stride + j], x[i * row_stride + j], chain);
            total = total + chain;
        }
        sum[j] = total;
    }
}

static void factored(float *x, const float *c, size_t n, float a, float least)
{
    for (size_t i = 0; i < n; i++) x[i] = x[i] / sqrtf(ac_max_one(c[i] * a, least));
}

static void unfactored(float *x, float *v, size_t n, float b, float one_minus_b, float least)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = fmaf(b, v[i], one_minus_b * (x[i] * x[i]));
        x[i] = x[i] / sqrtf(ac_max_one(v[i], least));
    }
}

/* ---- stored state ------------------------------------------------------------------------------------ */

static void bf16_random(uint16_t *dst, const float *x, size_t n, const ac_draw *d)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t word = ac_rng_u32(d->seed, d->stream, d->step, d->index + i);
        dst[i] = (uint16_t)((ac_bits_of_f32(x[i]) + (word & 0xffffu)) >> 16);
    }
}

/* The code's value as a share of the block's scale. */
static float share(float code, bool is_square)
{
    const float t = code * (is_square ? AC_CODE8_SQUARE_UNIT : AC_CODE8_FOURTH_UNIT), s = t * t;
    return is_square ? s : s * s;
}

static void code8_encode(uint8_t *q, float *scale, const float *x, size_t n, bool is_square, const ac_draw *d)
{
    const int top = is_square ? 127 : 255;
    float most = 0;
    for (size_t i = 0; i < n; i++) most = ac_max_one(fabsf(x[i]), most);
    *scale = most;
    for (size_t i = 0; i < n; i++) {
        const float r = most > 0 ? fabsf(x[i]) / most : 0.0f;
        const float root = is_square ? sqrtf(r) : sqrtf(sqrtf(r));
        const int low = (int)(root * (float)top);
        const float at = share((float)low, is_square), gap = share((float)(low + 1), is_square) - at;
        const float u = (float)(ac_rng_u32(d->seed, d->stream, d->step, d->index + i) >> 8) * 0x1p-24f;
        int code = low + (r - at > u * gap);
        if (code > top) code = top;
        if (!is_square && code == 0 && x[i] > 0) code = 1;      /* a second moment never becomes 0 by rounding */
        q[i] = (uint8_t)(is_square && x[i] < 0 ? -code : code);
    }
}

static void code8_decode(float *x, const uint8_t *q, float scale, size_t n, bool is_square)
{
    for (size_t i = 0; i < n; i++) {
        if (is_square) {
            const int code = q[i] < 128 ? q[i] : (int)q[i] - 256;
            const float s = share((float)code, true) * scale;
            x[i] = code < 0 ? -s : s;
        } else {
            x[i] = share((float)q[i], false) * scale;
        }
    }
}

void ac_kernels_fill_optim_ref(ac_kernels *t)
{
    t->sgd = sgd;
    t->lion = lion;
    t->nesterov = nesterov;
    t->descend = descend;
    t->col_squares = col_squares;
    t->factored = factored;
    t->unfactored = unfactored;
    t->bf16_random = bf16_random;
    t->code8_encode = code8_encode;
    t->code8_decode = code8_decode;
}
