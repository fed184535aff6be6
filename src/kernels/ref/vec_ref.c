/* kernels/ref/vec_ref.c - the vector kernels in plain C. This is the specification: every operation is
 * written in its order, one rounding each, and the other tiers must give the same bytes. */
#include "kernels/vec_int.h"

#include <math.h>

static float sum_of_products(const float *a, const float *b, size_t n)
{
    float lane[AC_LANES] = { 0 };
    for (size_t i = 0; i < n; i++) lane[i % AC_LANES] = fmaf(a[i], b[i], lane[i % AC_LANES]);
    return ac_fold_sum(lane);
}

static float inverse_rms(const float *x, size_t cols, float eps)
{
    const float mean = sum_of_products(x, x, cols) / (float)cols;
    return 1.0f / sqrtf(mean + eps);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t cols, float eps)
{
    for (size_t row = 0; row < rows; row++, x += cols, y += cols) {
        const float r = inverse_rms(x, cols, eps);
        for (size_t i = 0; i < cols; i++) y[i] = (x[i] * r) * w[i];
    }
}

static void rmsnorm_grad(float *dx, const float *dy, const float *x, const float *w, size_t rows,
                         size_t cols, float eps, bool accumulate)
{
    for (size_t row = 0; row < rows; row++, dx += cols, dy += cols, x += cols) {
        const float r = inverse_rms(x, cols, eps);
        float lane[AC_LANES] = { 0 };
        for (size_t i = 0; i < cols; i++)
            lane[i % AC_LANES] = fmaf(dy[i] * w[i], x[i], lane[i % AC_LANES]);
        const float c = (ac_fold_sum(lane) * (r * r)) / (float)cols;
        for (size_t i = 0; i < cols; i++) {
            const float d = r * fmaf(-c, x[i], dy[i] * w[i]);
            dx[i] = accumulate ? dx[i] + d : d;
        }
    }
}

static void rope(float *x, size_t row_stride, size_t rows, size_t heads, size_t head_dim,
                 const uint32_t *pos, const float *cos_table, const float *sin_table, bool inverse)
{
    const size_t half = head_dim / 2;
    for (size_t row = 0; row < rows; row++) {
        const float *cosine = cos_table + (size_t)pos[row] * half;
        const float *sine = sin_table + (size_t)pos[row] * half;
        for (size_t h = 0; h < heads; h++) {
            float *lo = x + row * row_stride + h * head_dim, *hi = lo + half;
            for (size_t i = 0; i < half; i++) {
                const float c = cosine[i], s = inverse ? -sine[i] : sine[i];
                const float x0 = lo[i], x1 = hi[i];
                lo[i] = fmaf(x0, c, -(x1 * s));
                hi[i] = fmaf(x1, c, x0 * s);
            }
        }
    }
}

static float sigmoid(float g)
{
    return 1.0f / (1.0f + ac_exp_one(-g));
}

static void swiglu(float *y, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = (g[i] * sigmoid(g[i])) * u[i];
}

static void swiglu_grad(float *dg, float *du, const float *dy, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = g[i], ui = u[i], dyi = dy[i], s = sigmoid(gi);
        const float slope = s * fmaf(gi, 1.0f - s, 1.0f);
        du[i] = dyi * (gi * s);
        dg[i] = (dyi * ui) * slope;
    }
}

static void add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void add_row(float *x, const float *bias, size_t rows, size_t cols, size_t row_stride)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < cols; i++) x[row * row_stride + i] = x[row * row_stride + i] + bias[i];
}

static void scale(float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = x[i] * s;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static float row_max(const float *x, size_t n)
{
    float lane[AC_LANES];
    for (size_t l = 0; l < AC_LANES; l++) lane[l] = -INFINITY;
    for (size_t i = 0; i < n; i++) lane[i % AC_LANES] = ac_max_one(lane[i % AC_LANES], x[i]);
    return ac_fold_max(lane);
}

static void cross_entropy(float *logits, size_t rows, size_t cols, size_t row_stride,
                          const int32_t *target, float *nll, bool grad, float grad_scale)
{
    for (size_t row = 0; row < rows; row++) {
        float *x = logits + row * row_stride;
        const size_t hit = (size_t)target[row];
        const float max = row_max(x, cols);
        float lane[AC_LANES] = { 0 };
        for (size_t i = 0; i < cols; i++)
            lane[i % AC_LANES] = lane[i % AC_LANES] + ac_exp_one(x[i] - max);
        const float lse = max + ac_log_one(ac_fold_sum(lane));
        nll[row] = lse - x[hit];
        if (!grad) continue;
        for (size_t i = 0; i < cols; i++) {
            const float p = ac_exp_one(x[i] - lse);
            x[i] = (i == hit ? p - 1.0f : p) * grad_scale;
        }
    }
}

static void softmax(float *y, const float *x, size_t n)
{
    const float max = row_max(x, n);
    float lane[AC_LANES] = { 0 };
    for (size_t i = 0; i < n; i++) {
        y[i] = ac_exp_one(x[i] - max);
        lane[i % AC_LANES] = lane[i % AC_LANES] + y[i];
    }
    const float sum = ac_fold_sum(lane);
    for (size_t i = 0; i < n; i++) y[i] = y[i] / sum;
}

static size_t argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void dropout(float *y, const float *x, size_t n, uint64_t seed, uint64_t step, uint64_t index,
                    uint32_t threshold, float inv_keep)
{
    for (size_t i = 0; i < n; i++) {
        const bool keep = ac_rng_u32(seed, AC_RNG_DROPOUT, step, index + i) >= threshold;
        y[i] = keep ? x[i] * inv_keep : 0.0f;
    }
}

static double sum_squares(const float *x, size_t n)
{
    double lane[AC_LANES] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i % AC_LANES] = lane[i % AC_LANES] + (double)x[i] * (double)x[i];
    for (size_t width = AC_LANES / 2; width; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] = lane[l] + lane[l + width];
    return lane[0];
}

static bool all_finite(const float *x, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) finite &= (ac_bits_of_f32(x[i]) & 0x7f800000u) != 0x7f800000u;
    return finite;
}

static void adamw(float *p, float *m, float *v, const float *g, size_t n, float grad_scale,
                  float one_minus_lr_wd, float b1, float one_minus_b1, float b2, float one_minus_b2,
                  float lr_over_bc1, float inv_sqrt_bc2, float eps)
{
    for (size_t i = 0; i < n; i++) {
        const float gs = g[i] * grad_scale;
        m[i] = fmaf(b1, m[i], one_minus_b1 * gs);
        v[i] = fmaf(b2, v[i], one_minus_b2 * (gs * gs));
        const float step = m[i] / fmaf(sqrtf(v[i]), inv_sqrt_bc2, eps);
        p[i] = fmaf(-lr_over_bc1, step, p[i] * one_minus_lr_wd);
    }
}

static void exp_slot(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = ac_exp_one(x[i]);
}

static void log_slot(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = ac_log_one(x[i]);
}

void ac_kernels_fill_vec_ref(ac_kernels *t)
{
    t->rmsnorm = rmsnorm;
    t->rmsnorm_grad = rmsnorm_grad;
    t->rope = rope;
    t->attn_forward = ac_attn_forward_ref;
    t->attn_grad = ac_attn_grad_ref;
    t->swiglu = swiglu;
    t->swiglu_grad = swiglu_grad;
    t->add = add;
    t->add_row = add_row;
    t->scale = scale;
    t->axpy = axpy;
    t->cross_entropy = cross_entropy;
    t->softmax = softmax;
    t->argmax = argmax;
    t->dropout = dropout;
    t->sum_squares = sum_squares;
    t->all_finite = all_finite;
    t->adamw = adamw;
    ac_kernels_fill_optim_ref(t);
    t->exp = exp_slot;
    t->log = log_slot;
}
