/* kernels/vec_body_int.h - the vector kernels over v16: included by one file a tier, after that tier's v16
 * header. ref/vec_ref.c is the specification. */
#ifndef AC_KERNELS_VEC_BODY_INT_H
#define AC_KERNELS_VEC_BODY_INT_H

#include <math.h>
#include "kernels/optim_body_int.h"
#include "kernels/v16_math_int.h"

static float inverse_rms(const float *x, size_t cols, float eps)
{
    v16 acc = v16_zero();
    for (size_t i = 0; i < cols; i += AC_LANES) {
        const v16 xi = load_upto(x + i, cols - i);
        acc = keep_upto(v16_fma(xi, xi, acc), acc, cols - i);
    }
    return 1.0f / sqrtf(v16_fold_sum(acc) / (float)cols + eps);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t cols, float eps)
{
    for (size_t row = 0; row < rows; row++, x += cols, y += cols) {
        const v16 r = v16_set1(inverse_rms(x, cols, eps));
        for (size_t i = 0; i < cols; i += AC_LANES) {
            const size_t left = cols - i;
            const v16 xi = load_upto(x + i, left), wi = load_upto(w + i, left);
            store_upto(y + i, v16_mul(v16_mul(xi, r), wi), left);
        }
    }
}

static void rmsnorm_grad(float *dx, const float *dy, const float *x, const float *w, size_t rows,
                         size_t cols, float eps, bool accumulate)
{
    for (size_t row = 0; row < rows; row++, dx += cols, dy += cols, x += cols) {
        const float r = inverse_rms(x, cols, eps);
        v16 acc = v16_zero();
        for (size_t i = 0; i < cols; i += AC_LANES) {
            const size_t left = cols - i;
            const v16 g = v16_mul(load_upto(dy + i, left), load_upto(w + i, left));
            acc = keep_upto(v16_fma(g, load_upto(x + i, left), acc), acc, left);
        }
        const v16 c = v16_set1((v16_fold_sum(acc) * (r * r)) / (float)cols), rv = v16_set1(r);
        for (size_t i = 0; i < cols; i += AC_LANES) {
            const size_t left = cols - i;
            const v16 g = v16_mul(load_upto(dy + i, left), load_upto(w + i, left));
            v16 d = v16_mul(rv, v16_fnma(c, load_upto(x + i, left), g));
            if (accumulate) d = v16_add(load_upto(dx + i, left), d);
            store_upto(dx + i, d, left);
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
        for (size_t i = 0; i < half; i += AC_LANES) {
            const size_t left = half - i;
            const v16 c = load_upto(cosine + i, left), table = load_upto(sine + i, left);
            const v16 s = inverse ? v16_neg(table) : table;
            float *lo = x + row * row_stride + i;
            for (size_t h = 0; h < heads; h++, lo += head_dim) {
                const v16 x0 = load_upto(lo, left), x1 = load_upto(lo + half, left);
                store_upto(lo, v16_fma(x0, c, v16_neg(v16_mul(x1, s))), left);
                store_upto(lo + half, v16_fma(x1, c, v16_mul(x0, s)), left);
            }
        }
    }
}

AC_INLINE v16 sigmoid(v16 g)
{
    const v16 one = v16_set1(1.0f);
    return v16_div(one, v16_add(one, v16_exp(v16_neg(g))));
}

static void swiglu(float *y, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i += AC_LANES) {
        const v16 gi = load_upto(g + i, n - i), ui = load_upto(u + i, n - i);
        store_upto(y + i, v16_mul(v16_mul(gi, sigmoid(gi)), ui), n - i);
    }
}

static void swiglu_grad(float *dg, float *du, const float *dy, const float *g, const float *u, size_t n)
{
    const v16 one = v16_set1(1.0f);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        const v16 gi = load_upto(g + i, left), ui = load_upto(u + i, left), dyi = load_upto(dy + i, left);
        const v16 s = sigmoid(gi);
        const v16 slope = v16_mul(s, v16_fma(gi, v16_sub(one, s), one));
        store_upto(du + i, v16_mul(dyi, v16_mul(gi, s)), left);
        store_upto(dg + i, v16_mul(v16_mul(dyi, ui), slope), left);
    }
}

static void add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += AC_LANES)
        store_upto(y + i, v16_add(load_upto(a + i, n - i), load_upto(b + i, n - i)), n - i);
}

static void add_row(float *x, const float *bias, size_t rows, size_t cols, size_t row_stride)
{
    for (size_t row = 0; row < rows; row++) add(x + row * row_stride, x + row * row_stride, bias, cols);
}

static void scale(float *x, float s, size_t n)
{
    const v16 sv = v16_set1(s);
    for (size_t i = 0; i < n; i += AC_LANES)
        store_upto(x + i, v16_mul(load_upto(x + i, n - i), sv), n - i);
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    const v16 av = v16_set1(a);
    for (size_t i = 0; i < n; i += AC_LANES)
        store_upto(y + i, v16_fma(av, load_upto(x + i, n - i), load_upto(y + i, n - i)), n - i);
}

static float row_max(const float *x, size_t n)
{
    v16 acc = v16_set1(-INFINITY);
    for (size_t i = 0; i < n; i += AC_LANES)
        acc = keep_upto(v16_max(acc, load_upto(x + i, n - i)), acc, n - i);
    return v16_fold_max(acc);
}

static float row_sum_exp(const float *x, size_t n, float max)
{
    const v16 m = v16_set1(max);
    v16 acc = v16_zero();
    for (size_t i = 0; i < n; i += AC_LANES) {
        const v16 e = v16_exp(v16_sub(load_upto(x + i, n - i), m));
        acc = keep_upto(v16_add(acc, e), acc, n - i);
    }
    return v16_fold_sum(acc);
}

static void cross_entropy(float *logits, size_t rows, size_t cols, size_t row_stride,
                          const int32_t *target, float *nll, bool grad, float grad_scale)
{
    for (size_t row = 0; row < rows; row++) {
        float *x = logits + row * row_stride;
        const size_t hit = (size_t)target[row];
        const float max = row_max(x, cols);
        const float lse = max + ac_log_one(row_sum_exp(x, cols, max)), x_hit = x[hit];
        nll[row] = lse - x_hit;
        if (!grad) continue;
        const v16 l = v16_set1(lse), gs = v16_set1(grad_scale);
        for (size_t i = 0; i < cols; i += AC_LANES) {
            const v16 p = v16_exp(v16_sub(load_upto(x + i, cols - i), l));
            store_upto(x + i, v16_mul(p, gs), cols - i);
        }
        x[hit] = (ac_exp_one(x_hit - lse) - 1.0f) * grad_scale;
    }
}

static void softmax(float *y, const float *x, size_t n)
{
    const v16 m = v16_set1(row_max(x, n));
    v16 acc = v16_zero();
    for (size_t i = 0; i < n; i += AC_LANES) {
        const v16 e = v16_exp(v16_sub(load_upto(x + i, n - i), m));
        acc = keep_upto(v16_add(acc, e), acc, n - i);
        store_upto(y + i, e, n - i);
    }
    const v16 sum = v16_set1(v16_fold_sum(acc));
    for (size_t i = 0; i < n; i += AC_LANES)
        store_upto(y + i, v16_div(load_upto(y + i, n - i), sum), n - i);
}

/* The largest first, then the lowest place that holds it. */
static size_t argmax(const float *x, size_t n)
{
    const float max = row_max(x, n);
    const v16 m = v16_set1(max);
    size_t i = 0;
    while (i + AC_LANES <= n && !v16_equal_bits(v16_load(x + i), m)) i += AC_LANES;
    for (; i < n; i++)
        if (x[i] == max) return i;
    return 0;                                      /* all NaN: not compared */
}

static void dropout(float *y, const float *x, size_t n, uint64_t seed, uint64_t step, uint64_t index,
                    uint32_t threshold, float inv_keep)
{
    uint32_t words[64];
    const v16 s = v16_set1(inv_keep), zero = v16_zero();
    size_t i = 0;
    while (i < n) {
        const size_t skip = (size_t)((index + i) % 4);           /* words of this counter already used */
        size_t end = i + AC_COUNTOF(words) - skip;
        if (end > n) end = n;
        v16_philox(words, seed, AC_RNG_DROPOUT, step, (index + i) / 4);
        const uint32_t *w = words + skip;
        for (; i + AC_LANES <= end; i += AC_LANES, w += AC_LANES)
            v16_store(y + i, v16_pick(m16_at_least(w, threshold), v16_mul(v16_load(x + i), s), zero));
        for (; i < end; i++, w++) y[i] = *w >= threshold ? x[i] * inv_keep : 0.0f;
    }
}

static double sum_squares(const float *x, size_t n)
{
    v16d acc = v16d_zero();                        /* a masked lane adds +0 to what is never -0 */
    for (size_t i = 0; i < n; i += AC_LANES) acc = v16d_add_square(acc, load_upto(x + i, n - i));
    return v16d_fold_sum(acc);
}

static bool all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i += AC_LANES) bad |= v16_not_finite_bits(load_upto(x + i, n - i));
    return !bad;
}

static void adamw(float *p, float *m, float *v, const float *g, size_t n, float grad_scale,
                  float one_minus_lr_wd, float b1, float one_minus_b1, float b2, float one_minus_b2,
                  float lr_over_bc1, float inv_sqrt_bc2, float eps)
{
    const v16 b1v = v16_set1(b1), a1 = v16_set1(one_minus_b1), b2v = v16_set1(b2);
    const v16 a2 = v16_set1(one_minus_b2), gs = v16_set1(grad_scale), lr = v16_set1(lr_over_bc1);
    const v16 decay = v16_set1(one_minus_lr_wd), root = v16_set1(inv_sqrt_bc2), e = v16_set1(eps);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        const v16 gi = v16_mul(load_upto(g + i, left), gs);
        const v16 mi = v16_fma(b1v, load_upto(m + i, left), v16_mul(a1, gi));
        const v16 vi = v16_fma(b2v, load_upto(v + i, left), v16_mul(a2, v16_mul(gi, gi)));
        const v16 step = v16_div(mi, v16_fma(v16_sqrt(vi), root, e));
        store_upto(m + i, mi, left);
        store_upto(v + i, vi, left);
        store_upto(p + i, v16_fnma(lr, step, v16_mul(load_upto(p + i, left), decay)), left);
    }
}

static void exp_slot(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += AC_LANES) store_upto(y + i, v16_exp(load_upto(x + i, n - i)), n - i);
}

static void log_slot(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += AC_LANES) store_upto(y + i, v16_log(load_upto(x + i, n - i)), n - i);
}

static void fill_vec_body(ac_kernels *t)
{
    t->rmsnorm = rmsnorm;
    t->rmsnorm_grad = rmsnorm_grad;
    t->rope = rope;
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
    fill_optim_body(t);
    t->exp = exp_slot;
    t->log = log_slot;
}

#endif
