/* kernels/optim_body_int.h - the optimizers' kernels beside AdamW over v16, included by vec_body_int.h.
 * ref/optim_ref.c is the specification. Codes of stored state are integers: those loops are plain C, which the
 * compiler turns into vectors, and whose results no compiler can change. */
#ifndef AC_KERNELS_OPTIM_BODY_INT_H
#define AC_KERNELS_OPTIM_BODY_INT_H

#include "kernels/v16_math_int.h"

static void sgd(float *p, float *m, const float *g, size_t n, float grad_scale, float keep, float mu, float lr)
{
    const v16 gs = v16_set1(grad_scale), k = v16_set1(keep), muv = v16_set1(mu), l = v16_set1(lr);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        v16 d = v16_mul(load_upto(g + i, left), gs);
        if (m) {
            d = v16_fma(muv, load_upto(m + i, left), d);
            store_upto(m + i, d, left);
        }
        store_upto(p + i, v16_fnma(l, d, v16_mul(load_upto(p + i, left), k)), left);
    }
}

/* 1 or -1; a zero stays as it is. The least denormal times 2^254 is 2^105. */
AC_INLINE v16 v16_sign(v16 c)
{
    const v16 big = v16_set1(0x1p127f);
    const v16 far = v16_mul(v16_mul(c, big), big);
    return v16_min(v16_max(far, v16_set1(-1.0f)), v16_set1(1.0f));
}

static void lion(float *p, float *m, const float *g, size_t n, float grad_scale, float keep, float b1,
                 float one_minus_b1, float b2, float one_minus_b2, float lr)
{
    const v16 gs = v16_set1(grad_scale), k = v16_set1(keep), l = v16_set1(lr), b1v = v16_set1(b1);
    const v16 a1 = v16_set1(one_minus_b1), b2v = v16_set1(b2), a2 = v16_set1(one_minus_b2);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        const v16 gi = v16_mul(load_upto(g + i, left), gs), mi = load_upto(m + i, left);
        const v16 s = v16_sign(v16_fma(b1v, mi, v16_mul(a1, gi)));
        store_upto(p + i, v16_fnma(l, s, v16_mul(load_upto(p + i, left), k)), left);
        store_upto(m + i, v16_fma(b2v, mi, v16_mul(a2, gi)), left);
    }
}

static void nesterov(float *u, float *m, const float *g, size_t n, float grad_scale, float mu, float one_minus_mu)
{
    const v16 gs = v16_set1(grad_scale), muv = v16_set1(mu), a = v16_set1(one_minus_mu);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        const v16 part = v16_mul(a, v16_mul(load_upto(g + i, left), gs));
        const v16 mi = v16_fma(muv, load_upto(m + i, left), part);
        store_upto(m + i, mi, left);
        store_upto(u + i, v16_fma(muv, mi, part), left);
    }
}

static void descend(float *p, const float *x, size_t n, float keep, float step)
{
    const v16 k = v16_set1(keep), s = v16_set1(step);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        store_upto(p + i, v16_fnma(s, load_upto(x + i, left), v16_mul(load_upto(p + i, left), k)), left);
    }
}

static void col_squares(float *sum, const float *x, size_t rows, size_t cols, size_t row_stride)
{
    for (size_t j = 0; j < cols; j += AC_LANES) {
        const size_t left = cols - j;
        v16 total = v16_zero();
        for (size_t first = 0; first < rows; first += AC_K_BLOCK) {
            const size_t end = rows - first < AC_K_BLOCK ? rows : first + AC_K_BLOCK;
            v16 chain = v16_zero();
            for (size_t i = first; i < end; i++) {
                const v16 xi = load_upto(x + i * row_stride + j, left);
                chain = v16_fma(xi, xi, chain);
            }
            total = v16_add(total, chain);
        }
        store_upto(sum + j, total, left);
    }
}

static void factored(float *x, const float *c, size_t n, float a, float least)
{
    const v16 av = v16_set1(a), low = v16_set1(least);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const v16 v = v16_max(v16_mul(load_upto(c + i, n - i), av), low);
        store_upto(x + i, v16_div(load_upto(x + i, n - i), v16_sqrt(v)), n - i);
    }
}

static void unfactored(float *x, float *v, size_t n, float b, float one_minus_b, float least)
{
    const v16 bv = v16_set1(b), a = v16_set1(one_minus_b), low = v16_set1(least);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const size_t left = n - i;
        const v16 xi = load_upto(x + i, left);
        const v16 vi = v16_fma(bv, load_upto(v + i, left), v16_mul(a, v16_mul(xi, xi)));
        store_upto(v + i, vi, left);
        store_upto(x + i, v16_div(xi, v16_sqrt(v16_max(vi, low))), left);
    }
}

/* ---- stored state ------------------------------------------------------------------------------------ */

enum { DRAW_AT_ONCE = 128, DRAW_WORDS = DRAW_AT_ONCE + 64 };

/* Words of indices index .. index + n - 1, n <= DRAW_AT_ONCE, somewhere in buf. */
AC_INLINE const uint32_t *draw_words(uint32_t buf[DRAW_WORDS], const ac_draw *d, size_t at, size_t n)
{
    const uint64_t first = d->index + at;
    const size_t skip = (size_t)(first % 4);
    for (size_t have = 0; have < skip + n; have += 64)
        v16_philox(buf + have, d->seed, d->stream, d->step, first / 4 + have / 4);
    return buf + skip;
}

static void bf16_random(uint16_t *dst, const float *x, size_t n, const ac_draw *d)
{
    uint32_t buf[DRAW_WORDS], bits[DRAW_AT_ONCE];
    for (size_t from = 0; from < n; from += DRAW_AT_ONCE) {
        const size_t some = n - from < DRAW_AT_ONCE ? n - from : DRAW_AT_ONCE;
        const uint32_t *word = draw_words(buf, d, from, some);
        memcpy(bits, x + from, some * sizeof *bits);
        for (size_t i = 0; i < some; i++) dst[from + i] = (uint16_t)((bits[i] + (word[i] & 0xffffu)) >> 16);
    }
}

AC_INLINE v16 v16_abs(v16 x)
{
    return v16_max(x, v16_neg(x));
}

static float largest(const float *x, size_t n)
{
    v16 most = v16_zero();                         /* a masked lane holds +0, which is never over it */
    for (size_t i = 0; i < n; i += AC_LANES) most = v16_max(v16_abs(load_upto(x + i, n - i)), most);
    const float m = v16_fold_max(most);
    return m > 0 ? m : 0.0f;
}

/* code, and whether the draw takes the one above it: both arrays of n <= DRAW_AT_ONCE. */
AC_INLINE void code8_round(int32_t *code, const float *r, const float *root, const uint32_t *word, size_t n,
                           float unit, float top, bool is_square)
{
    const int32_t most = (int32_t)top;
    for (size_t i = 0; i < n; i++) {
        const int32_t low = (int32_t)(root[i] * top);
        const float a = (float)low * unit, b = (float)(low + 1) * unit, a2 = a * a, b2 = b * b;
        const float at = is_square ? a2 : a2 * a2, gap = (is_square ? b2 : b2 * b2) - at;
        const float u = (float)(int32_t)(word[i] >> 8) * 0x1p-24f;
        const int32_t up = low + (r[i] - at > u * gap ? 1 : 0);
        code[i] = up > most ? most : up;
    }
}

static void code8_some(uint8_t *q, const float *x, size_t n, float most, bool is_square, const uint32_t *word)
{
    float r[DRAW_AT_ONCE], root[DRAW_AT_ONCE];
    int32_t code[DRAW_AT_ONCE];
    const v16 m = v16_set1(most);
    for (size_t i = 0; i < n; i += AC_LANES) {
        const v16 ri = v16_div(v16_abs(load_upto(x + i, n - i)), m);
        const v16 s = v16_sqrt(ri);
        store_upto(r + i, ri, n - i);
        store_upto(root + i, is_square ? s : v16_sqrt(s), n - i);
    }
    if (is_square) {
        code8_round(code, r, root, word, n, AC_CODE8_SQUARE_UNIT, 127, true);
        for (size_t i = 0; i < n; i++) q[i] = (uint8_t)(x[i] < 0 ? -code[i] : code[i]);
    } else {
        code8_round(code, r, root, word, n, AC_CODE8_FOURTH_UNIT, 255, false);
        for (size_t i = 0; i < n; i++) q[i] = (uint8_t)(code[i] == 0 && x[i] > 0 ? 1 : code[i]);
    }
}

static void code8_encode(uint8_t *q, float *scale, const float *x, size_t n, bool is_square, const ac_draw *d)
{
    uint32_t buf[DRAW_WORDS];
    const float most = largest(x, n);
    *scale = most;
    if (!(most > 0)) {
        if (n) memset(q, 0, n);
        return;
    }
    for (size_t from = 0; from < n; from += DRAW_AT_ONCE) {
        const size_t some = n - from < DRAW_AT_ONCE ? n - from : DRAW_AT_ONCE;
        code8_some(q + from, x + from, some, most, is_square, draw_words(buf, d, from, some));
    }
}

static void code8_decode(float *x, const uint8_t *q, float scale, size_t n, bool is_square)
{
    if (is_square) {
        for (size_t i = 0; i < n; i++) {
            const int32_t code = (int32_t)(q[i] ^ 128u) - 128;
            const float t = (float)code * AC_CODE8_SQUARE_UNIT, s = (t * t) * scale;
            x[i] = code < 0 ? -s : s;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            const float t = (float)(int32_t)q[i] * AC_CODE8_FOURTH_UNIT, s = t * t;
            x[i] = (s * s) * scale;
        }
    }
}

static void fill_optim_body(ac_kernels *t)
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

#endif
