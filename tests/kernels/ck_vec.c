/* kernels/ck_vec.c - element-wise and row kernels: bytes against ref, accuracy and gradients in double. */
#include "kernels/checkkern.h"

#include <math.h>
#include <string.h>
#include "base/rng.h"

static const size_t sizes[] = { 0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 255, 576, 1000 };
static const ck_data all_data[] = { CK_UNIT, CK_WIDE, CK_TINY, CK_DENORMAL, CK_SIGNED_ZERO };

/* `n` and `d` are declared by the loop. */
#define FOR_SIZES(n) for (size_t n##_at = 0, n = sizes[0]; n##_at < AC_COUNTOF(sizes); \
                          n##_at++, n = sizes[n##_at < AC_COUNTOF(sizes) ? n##_at : 0])
#define FOR_DATA(d)  for (ck_data d##_at = 0, d = all_data[0]; d##_at < AC_COUNTOF(all_data); \
                          d##_at++, d = all_data[d##_at < AC_COUNTOF(all_data) ? d##_at : 0])

/* ---- exp and log --------------------------------------------------------------------------------- */

static void ck_exp(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "exp_%zu_%s", n, ck_data_name(d))) continue;
        const float *x = ck_f32(t, n, d);
        float *want = ck_out(t, n), *got = ck_out(t, n);
        t->ref.exp(want, x, n);
        CK_CALL(t, t->tier.exp(got, x, n));
        ck_same_floats(t, got, want, n);
    }
    /* The whole range in steps of some thousand floats, both signs. */
    if (ck_case(t, "exp_range")) {
        enum { N = 40000 };
        float *x = ck_bytes(t, N * sizeof *x), *want = ck_out(t, N), *got = ck_out(t, N);
        double *exact = ck_bytes(t, N * sizeof *exact);
        for (size_t i = 0; i < N; i++) {
            const uint32_t place = (uint32_t)((uint64_t)i / 2 * 0x42d00000u / (N / 2)) + ck_u32(t) % 50000;
            const uint32_t bits = place | (uint32_t)(i & 1) << 31;
            memcpy(&x[i], &bits, sizeof bits);
            if (x[i] > 88.72f) x[i] = 88.72f;
            exact[i] = exp((double)x[i]);
        }
        t->ref.exp(want, x, N);
        CK_CALL(t, t->tier.exp(got, x, N));
        ck_same_floats(t, got, want, N);
        ck_near_double(t, got, exact, N, (ck_tol){ .ulp = 1.1 });
    }
    if (ck_case(t, "exp_special")) {
        const float special[] = { 0.0f, -0.0f, -104.0f, -1e30f, -INFINITY, 88.8f, 89.0f, 1e30f, INFINITY };
        float got[AC_COUNTOF(special)];
        CK_CALL(t, t->tier.exp(got, special, AC_COUNTOF(special)));
        for (size_t i = 0; i < AC_COUNTOF(special); i++) {
            const bool right = i < 2 ? got[i] == 1.0f : i < 5 ? got[i] == 0.0f && !signbit(got[i])
                                                              : isinf(got[i]) && got[i] > 0;
            if (!right) ck_fail(t, "exp(%g) = %g", (double)special[i], (double)got[i]);
        }
    }
    if (ck_bench_case(t, "exp")) {
        const float *x = ck_f32(t, 4096, CK_UNIT);
        float *y = ck_out(t, 4096);
        CK_BENCH(t, 4096, "elem", t->tier.exp(y, x, 4096));
    }
}

static void ck_log(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "log_%zu_%s", n, ck_data_name(d))) continue;
        float *x = ck_copy(t, ck_f32(t, n, d), n);
        for (size_t i = 0; i < n; i++) x[i] = x[i] == 0 ? 0x1p-149f : fabsf(x[i]);
        float *want = ck_out(t, n), *got = ck_out(t, n);
        double *exact = ck_bytes(t, n * sizeof *exact);
        for (size_t i = 0; i < n; i++) exact[i] = log((double)x[i]);
        t->ref.log(want, x, n);
        CK_CALL(t, t->tier.log(got, x, n));
        ck_same_floats(t, got, want, n);
        ck_near_double(t, got, exact, n, (ck_tol){ .ulp = 2 });
    }
    if (ck_case(t, "log_range")) {
        enum { N = 40000 };
        float *x = ck_bytes(t, N * sizeof *x), *want = ck_out(t, N), *got = ck_out(t, N);
        double *exact = ck_bytes(t, N * sizeof *exact);
        for (size_t i = 0; i < N; i++) {
            const uint32_t near_one = 0x3f400000u + ck_u32(t) % 0x00800000u;
            const uint32_t bits = i % 2 ? near_one : 1u + ck_u32(t) % 0x7f7ffffeu;
            memcpy(&x[i], &bits, sizeof bits);
            exact[i] = log((double)x[i]);
        }
        t->ref.log(want, x, N);
        CK_CALL(t, t->tier.log(got, x, N));
        ck_same_floats(t, got, want, N);
        ck_near_double(t, got, exact, N, (ck_tol){ .ulp = 2 });
    }
    if (ck_bench_case(t, "log")) {
        const float *x = ck_f32(t, 4096, CK_POSITIVE);
        float *y = ck_out(t, 4096);
        CK_BENCH(t, 4096, "elem", t->tier.log(y, x, 4096));
    }
}

/* ---- norms --------------------------------------------------------------------------------------- */

static double rms_double(const double *x, size_t n, double eps)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += x[i] * x[i];
    return 1.0 / sqrt(s / (double)n + eps);
}

static void ck_rmsnorm(ck *t)
{
    FOR_SIZES(cols) FOR_DATA(d) {
        const size_t rows = cols % 3, n = rows * cols;
        if (!ck_case(t, "rmsnorm_%zux%zu_%s", rows, cols, ck_data_name(d))) continue;
        const float *x = ck_f32(t, n, d), *w = ck_f32(t, cols, CK_UNIT);
        float *want = ck_out(t, n), *got = ck_out(t, n), *in_place = ck_copy(t, x, n);
        t->ref.rmsnorm(want, x, w, rows, cols, 1e-6f);
        CK_CALL(t, t->tier.rmsnorm(got, x, w, rows, cols, 1e-6f));
        ck_same_floats(t, got, want, n);
        CK_CALL(t, t->tier.rmsnorm(in_place, in_place, w, rows, cols, 1e-6f));
        ck_same_floats(t, in_place, want, n);
        double *exact = ck_bytes(t, n * sizeof *exact), *wide = ck_bytes(t, cols * sizeof *wide);
        for (size_t r = 0; r < rows; r++) {
            for (size_t i = 0; i < cols; i++) wide[i] = (double)x[r * cols + i];
            const double inv = rms_double(wide, cols, (double)1e-6f);
            for (size_t i = 0; i < cols; i++) exact[r * cols + i] = wide[i] * inv * (double)w[i];
        }
        ck_near_double(t, got, exact, n, (ck_tol){ .ulp = 8 });
    }
    if (ck_bench_case(t, "rmsnorm_512x576")) {
        const float *x = ck_f32(t, 512 * 576, CK_UNIT), *w = ck_f32(t, 576, CK_UNIT);
        float *y = ck_out(t, 512 * 576);
        CK_BENCH(t, 512 * 576, "elem", t->tier.rmsnorm(y, x, w, 512, 576, 1e-6f));
    }
}

/* sum(dy * rmsnorm(x)) in double, of one row. */
static double rmsnorm_objective(const double *x, const float *dy, const float *w, size_t cols, double eps)
{
    const double inv = rms_double(x, cols, eps);
    double s = 0;
    for (size_t i = 0; i < cols; i++) s += (double)dy[i] * x[i] * inv * (double)w[i];
    return s;
}

static void ck_rmsnorm_grad(ck *t)
{
    FOR_SIZES(cols) FOR_DATA(d) {
        const size_t rows = cols % 3, n = rows * cols;
        if (!ck_case(t, "rmsnorm_grad_%zux%zu_%s", rows, cols, ck_data_name(d))) continue;
        const float *x = ck_f32(t, n, d), *w = ck_f32(t, cols, CK_UNIT), *dy = ck_f32(t, n, d);
        const float *before = ck_f32(t, n, CK_UNIT);
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            float *want = ck_copy(t, before, n), *got = ck_copy(t, before, n);
            t->ref.rmsnorm_grad(want, dy, x, w, rows, cols, 1e-5f, accumulate);
            CK_CALL(t, t->tier.rmsnorm_grad(got, dy, x, w, rows, cols, 1e-5f, accumulate));
            ck_same_floats(t, got, want, n);
            if (accumulate) continue;
            float *over = ck_copy(t, dy, n);
            CK_CALL(t, t->tier.rmsnorm_grad(over, over, x, w, rows, cols, 1e-5f, false));
            ck_same_floats(t, over, want, n);
        }
    }
    if (ck_case(t, "rmsnorm_grad_differences")) {
        enum { COLS = 37 };
        const float *x = ck_f32(t, COLS, CK_UNIT), *w = ck_f32(t, COLS, CK_UNIT);
        const float *dy = ck_f32(t, COLS, CK_UNIT);
        float *dx = ck_out(t, COLS);
        CK_CALL(t, t->tier.rmsnorm_grad(dx, dy, x, w, 1, COLS, 1e-5f, false));
        double wide[COLS];
        for (size_t i = 0; i < COLS; i++) wide[i] = (double)x[i];
        for (size_t i = 0; i < COLS; i++) {
            const double h = 1e-5, keep = wide[i];
            wide[i] = keep + h;
            const double up = rmsnorm_objective(wide, dy, w, COLS, (double)1e-5f);
            wide[i] = keep - h;
            const double down = rmsnorm_objective(wide, dy, w, COLS, (double)1e-5f);
            wide[i] = keep;
            ck_near_relative(t, (double)dx[i], (up - down) / (2 * h), 1.0, 2e-6, "dx");
        }
    }
    if (ck_bench_case(t, "rmsnorm_grad_512x576")) {
        const float *x = ck_f32(t, 512 * 576, CK_UNIT), *w = ck_f32(t, 576, CK_UNIT);
        const float *dy = ck_f32(t, 512 * 576, CK_UNIT);
        float *dx = ck_out(t, 512 * 576);
        CK_BENCH(t, 512 * 576, "elem", t->tier.rmsnorm_grad(dx, dy, x, w, 512, 576, 1e-6f, false));
    }
}

/* ---- rotary -------------------------------------------------------------------------------------- */

static void ck_rope(ck *t)
{
    static const size_t dims[] = { 2, 8, 16, 30, 32, 34, 64, 66, 128 };
    for (size_t k = 0; k < AC_COUNTOF(dims) * 2; k++) {
        const size_t dim = dims[k / 2], half = dim / 2, heads = 1 + k % 3, rows = 5;
        const bool inverse = k % 2;
        const size_t stride = heads * dim + (k % 5), n = (rows - 1) * stride + heads * dim;
        if (!ck_case(t, "rope_%zux%zu%s", heads, dim, inverse ? "_inverse" : "")) continue;
        const uint32_t places[] = { 0, 1, 6, 2, 6 };
        const uint32_t *pos = ck_input(t, places, sizeof places);
        float *cosine = ck_bytes(t, 7 * half * sizeof *cosine), *sine = ck_bytes(t, 7 * half * sizeof *sine);
        for (size_t i = 0; i < 7 * half; i++) {
            const double frequency = ac_pow_f64(100.0, -(double)(i % half) / (double)half);
            ac_sincos((double)(i / half) * frequency, &sine[i], &cosine[i]);
        }
        const float *x = ck_f32(t, n, k % 4 < 2 ? CK_UNIT : CK_WIDE);
        float *want = ck_copy(t, x, n), *got = ck_copy(t, x, n);
        t->ref.rope(want, stride, rows, heads, dim, pos, cosine, sine, inverse);
        CK_CALL(t, t->tier.rope(got, stride, rows, heads, dim, pos, cosine, sine, inverse));
        ck_same_floats(t, got, want, n);
        double *exact = ck_bytes(t, n * sizeof *exact);
        for (size_t i = 0; i < n; i++) exact[i] = (double)x[i];
        for (size_t r = 0; r < rows; r++) {
            for (size_t i = 0; i < heads * half; i++) {
                const size_t lo = r * stride + i / half * dim + i % half, e = pos[r] * half + i % half;
                const double c = (double)cosine[e], s = inverse ? -(double)sine[e] : (double)sine[e];
                exact[lo] = (double)x[lo] * c - (double)x[lo + half] * s;
                exact[lo + half] = (double)x[lo + half] * c + (double)x[lo] * s;
            }
        }
        if (k % 4 < 2) ck_near_double(t, got, exact, n, (ck_tol){ .ulp = 1.5, .relative_to = 1 });
        /* Rotation and back: the gradient of an orthogonal map is its inverse. */
        CK_CALL(t, t->tier.rope(got, stride, rows, heads, dim, pos, cosine, sine, !inverse));
        for (size_t i = 0; i < n; i++) exact[i] = (double)x[i];
        if (k % 4 < 2) ck_near_double(t, got, exact, n, (ck_tol){ .ulp = 4, .relative_to = 1 });
    }
    if (ck_bench_case(t, "rope_512x9x64")) {
        uint32_t pos[512];
        for (uint32_t i = 0; i < 512; i++) pos[i] = i;
        const float *c = ck_f32(t, 512 * 32, CK_UNIT), *s = ck_f32(t, 512 * 32, CK_UNIT);
        float *x = ck_bytes(t, 512 * 576 * sizeof *x);
        CK_BENCH(t, 512 * 576, "elem", t->tier.rope(x, 576, 512, 9, 64, pos, c, s, false));
    }
}

/* ---- gated unit ---------------------------------------------------------------------------------- */

static void ck_swiglu(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "swiglu_%zu_%s", n, ck_data_name(d))) continue;
        const float *g = ck_f32(t, n, d), *u = ck_f32(t, n, d), *dy = ck_f32(t, n, d);
        float *want = ck_out(t, n), *got = ck_out(t, n), *in_place = ck_copy(t, g, n);
        t->ref.swiglu(want, g, u, n);
        CK_CALL(t, t->tier.swiglu(got, g, u, n));
        ck_same_floats(t, got, want, n);
        CK_CALL(t, t->tier.swiglu(in_place, in_place, u, n));
        ck_same_floats(t, in_place, want, n);
        double *exact = ck_bytes(t, n * sizeof *exact);
        for (size_t i = 0; i < n; i++)
            exact[i] = (double)g[i] / (1.0 + exp(-(double)g[i])) * (double)u[i];
        if (d != CK_WIDE) ck_near_double(t, got, exact, n, (ck_tol){ .ulp = 4 });

        float *want_dg = ck_out(t, n), *want_du = ck_out(t, n);
        float *dg = ck_copy(t, g, n), *du = ck_copy(t, u, n);
        t->ref.swiglu_grad(want_dg, want_du, dy, g, u, n);
        CK_CALL(t, t->tier.swiglu_grad(dg, du, dy, dg, du, n));
        ck_same_floats(t, dg, want_dg, n);
        ck_same_floats(t, du, want_du, n);
    }
    if (ck_case(t, "swiglu_grad_differences")) {
        enum { N = 64 };
        float *g = ck_copy(t, ck_f32(t, N, CK_UNIT), N);
        for (size_t i = 0; i < N; i++) g[i] *= 8.0f;
        const float *u = ck_f32(t, N, CK_UNIT), *dy = ck_f32(t, N, CK_UNIT);
        float *dg = ck_out(t, N), *du = ck_out(t, N);
        CK_CALL(t, t->tier.swiglu_grad(dg, du, dy, g, u, N));
        for (size_t i = 0; i < N; i++) {
            const double h = 1e-5, x = (double)g[i], hi = x + h, lo = x - h;
            const double slope = (hi / (1 + exp(-hi)) - lo / (1 + exp(-lo))) / (2 * h);
            ck_near_relative(t, (double)dg[i], slope * (double)u[i] * (double)dy[i], 1.0, 1e-6, "dg");
            ck_near_relative(t, (double)du[i], x / (1 + exp(-x)) * (double)dy[i], 1.0, 1e-6, "du");
        }
    }
    if (ck_bench_case(t, "swiglu")) {
        const float *g = ck_f32(t, 8192, CK_UNIT), *u = ck_f32(t, 8192, CK_UNIT);
        float *y = ck_out(t, 8192);
        CK_BENCH(t, 8192, "elem", t->tier.swiglu(y, g, u, 8192));
    }
    if (ck_bench_case(t, "swiglu_grad")) {
        const float *g = ck_f32(t, 8192, CK_UNIT), *u = ck_f32(t, 8192, CK_UNIT);
        const float *dy = ck_f32(t, 8192, CK_UNIT);
        float *dg = ck_out(t, 8192), *du = ck_out(t, 8192);
        CK_BENCH(t, 8192, "elem", t->tier.swiglu_grad(dg, du, dy, g, u, 8192));
    }
}

/* ---- plain vectors ------------------------------------------------------------------------------- */

static void ck_simple(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "add_scale_axpy_%zu_%s", n, ck_data_name(d))) continue;
        const float *a = ck_f32(t, n, d), *b = ck_f32(t, n, d);
        float *want = ck_out(t, n), *got = ck_out(t, n);
        t->ref.add(want, a, b, n);
        CK_CALL(t, t->tier.add(got, a, b, n));
        ck_same_floats(t, got, want, n);
        for (size_t i = 0; i < n; i++)
            if (got[i] != a[i] + b[i]) ck_fail(t, "add: [%zu] = %a", i, (double)got[i]);
        t->ref.axpy(want, 0.3f, a, n);
        CK_CALL(t, t->tier.axpy(got, 0.3f, a, n));
        ck_same_floats(t, got, want, n);
        t->ref.scale(want, -1.7f, n);
        CK_CALL(t, t->tier.scale(got, -1.7f, n));
        ck_same_floats(t, got, want, n);
        float *in_place = ck_copy(t, a, n);
        t->ref.add(want, a, b, n);
        CK_CALL(t, t->tier.add(in_place, in_place, b, n));
        ck_same_floats(t, in_place, want, n);
    }
    FOR_SIZES(cols) {
        if (!ck_case(t, "add_row_%zu", cols)) continue;
        const size_t rows = 3, stride = cols + 5, n = 2 * stride + cols;
        const float *bias = ck_f32(t, cols, CK_UNIT), *x = ck_f32(t, n, CK_WIDE);
        float *want = ck_copy(t, x, n), *got = ck_copy(t, x, n);
        t->ref.add_row(want, bias, rows, cols, stride);
        CK_CALL(t, t->tier.add_row(got, bias, rows, cols, stride));
        ck_same_floats(t, got, want, n);
    }
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "sum_squares_%zu_%s", n, ck_data_name(d))) continue;
        const float *x = ck_f32(t, n, d);
        double got = -1, exact = 0;
        const double want = t->ref.sum_squares(x, n);
        CK_CALL(t, got = t->tier.sum_squares(x, n));
        ck_same_bytes(t, &got, &want, sizeof got);
        for (size_t i = 0; i < n; i++) exact += (double)x[i] * (double)x[i];
        if (!(fabs(got - exact) <= 1e-13 * exact)) ck_fail(t, "%g, expected %g", got, exact);
    }
    FOR_SIZES(n) {
        if (!ck_case(t, "all_finite_%zu", n)) continue;
        float *x = ck_copy(t, ck_f32(t, n, CK_WIDE), n);
        bool got = false;
        CK_CALL(t, got = t->tier.all_finite(x, n));
        if (!got) ck_fail(t, "finite data was called not finite");
        for (size_t i = 0; i < n; i++) {
            const float keep = x[i];
            x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
            CK_CALL(t, got = t->tier.all_finite(x, n));
            if (got) ck_fail(t, "[%zu] = %g was called finite", i, (double)x[i]);
            x[i] = keep;
        }
    }
}

/* ---- dropout ------------------------------------------------------------------------------------- */

static void ck_dropout(ck *t)
{
    const uint64_t index[] = { 0, 1, 2, 3, 4 * 0xfffffffcull + 2, 0x123456789abcdefull };
    FOR_SIZES(n) {
        for (size_t k = 0; k < AC_COUNTOF(index); k++) {
            if (!ck_case(t, "dropout_%zu_at_%zu", n, k)) continue;
            const float *x = ck_f32(t, n, CK_WIDE);
            const uint32_t threshold = k == 3 ? 0u : k == 4 ? 0x80000000u : 0x1999999au;
            const uint64_t seed = 0x1234567800000000ull | ck_u32(t), step = ck_u32(t);
            float *want = ck_out(t, n), *got = ck_out(t, n), *in_place = ck_copy(t, x, n);
            for (size_t i = 0; i < n; i++) {
                const uint32_t word = ac_rng_u32(seed, AC_RNG_DROPOUT, step, index[k] + i);
                want[i] = word >= threshold ? x[i] * 1.25f : 0.0f;
            }
            CK_CALL(t, t->tier.dropout(got, x, n, seed, step, index[k], threshold, 1.25f));
            ck_same_floats(t, got, want, n);
            CK_CALL(t, t->tier.dropout(in_place, in_place, n, seed, step, index[k], threshold, 1.25f));
            ck_same_floats(t, in_place, want, n);
        }
    }
    if (ck_bench_case(t, "dropout")) {
        const float *x = ck_f32(t, 8192, CK_UNIT);
        float *y = ck_out(t, 8192);
        CK_BENCH(t, 8192, "elem", t->tier.dropout(y, x, 8192, 7, 3, 0, 0x1999999au, 1.1f));
    }
}

/* ---- AdamW --------------------------------------------------------------------------------------- */

static void ck_adamw(ck *t)
{
    const float lr = 1e-3f, wd = 0.01f, b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "adamw_%zu_%s", n, ck_data_name(d))) continue;
        const float *g = ck_f32(t, n, d), *p0 = ck_f32(t, n, CK_UNIT), *m0 = ck_f32(t, n, d);
        const float *v0 = ck_f32(t, n, CK_POSITIVE);
        float *p[2], *m[2], *v[2];
        for (size_t k = 0; k < 2; k++) {
            p[k] = ck_copy(t, p0, n);
            m[k] = ck_copy(t, m0, n);
            v[k] = ck_copy(t, v0, n);
        }
        const float bc1 = 1 - b1 * b1 * b1, bc2 = 1 - b2 * b2 * b2;
        t->ref.adamw(p[0], m[0], v[0], g, n, 0.5f, 1 - lr * wd, b1, 1 - b1, b2, 1 - b2, lr / bc1,
                     1 / sqrtf(bc2), eps);
        CK_CALL(t, t->tier.adamw(p[1], m[1], v[1], g, n, 0.5f, 1 - lr * wd, b1, 1 - b1, b2, 1 - b2, lr / bc1,
                                 1 / sqrtf(bc2), eps));
        ck_same_floats(t, p[1], p[0], n);
        ck_same_floats(t, m[1], m[0], n);
        ck_same_floats(t, v[1], v[0], n);
        double *exact = ck_bytes(t, n * sizeof *exact);
        for (size_t i = 0; i < n; i++) {
            const double gs = (double)g[i] * 0.5;
            const double mi = (double)b1 * (double)m0[i] + (1 - (double)b1) * gs;
            const double vi = (double)b2 * (double)v0[i] + (1 - (double)b2) * gs * gs;
            exact[i] = (double)p0[i] * (1 - (double)lr * (double)wd)
                       - (double)lr / (double)bc1 * mi / (sqrt(vi) / sqrt((double)bc2) + (double)eps);
        }
        ck_near_double(t, p[1], exact, n, (ck_tol){ .ulp = 8, .relative_to = 1 });
    }
    if (ck_bench_case(t, "adamw")) {
        const float *g = ck_f32(t, 8192, CK_UNIT);
        float *p = ck_bytes(t, 8192 * 4), *m = ck_bytes(t, 8192 * 4), *v = ck_bytes(t, 8192 * 4);
        CK_BENCH(t, 8192, "elem", t->tier.adamw(p, m, v, g, 8192, 1, 1, b1, 1 - b1, b2, 1 - b2, lr, 1, eps));
    }
}

const ck_test ck_vec_tests[] = {
    { "exp", ck_exp },         { "log", ck_log },       { "rmsnorm", ck_rmsnorm },
    { "rmsnorm_grad", ck_rmsnorm_grad }, { "rope", ck_rope }, { "swiglu", ck_swiglu },
    { "simple", ck_simple },   { "dropout", ck_dropout }, { "adamw", ck_adamw }, { 0 },
};
