/* kernels/ck_optim.c - SGD, Lion, Muon's momentum, Adafactor's pieces and the stored forms of state: bytes against
 * ref, and ref against double. */
#include "kernels/checkkern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"

static const size_t sizes[] = { 0, 1, 15, 16, 17, 33, 100, 255, 256, 257, 1000 };
static const ck_data all_data[] = { CK_UNIT, CK_WIDE, CK_TINY, CK_DENORMAL, CK_SIGNED_ZERO };

#define FOR_SIZES(n) for (size_t n##_at = 0, n = sizes[0]; n##_at < AC_COUNTOF(sizes); \
                          n##_at++, n = sizes[n##_at < AC_COUNTOF(sizes) ? n##_at : 0])
#define FOR_DATA(d)  for (ck_data d##_at = 0, d = all_data[0]; d##_at < AC_COUNTOF(all_data); \
                          d##_at++, d = all_data[d##_at < AC_COUNTOF(all_data) ? d##_at : 0])

static const ck_tol close = { .ulp = 4, .relative_to = 1 };

typedef struct {
    const float *g, *p0, *m0;
    float *p[2], *m[2];
    double *exact;
} pair;

static pair pair_of(ck *t, size_t n, ck_data d)
{
    pair x = { .g = ck_f32(t, n, d), .p0 = ck_f32(t, n, CK_UNIT), .m0 = ck_f32(t, n, d) };
    for (size_t k = 0; k < 2; k++) {
        x.p[k] = ck_copy(t, x.p0, n);
        x.m[k] = ck_copy(t, x.m0, n);
    }
    x.exact = ck_bytes(t, n * sizeof *x.exact);
    return x;
}

static void compare(ck *t, const pair *x, size_t n)
{
    ck_same_floats(t, x->p[1], x->p[0], n);
    ck_same_floats(t, x->m[1], x->m[0], n);
}

static void ck_sgd(ck *t)
{
    const float mu = 0.9f, lr = 0.01f, keep = 0.9999f;
    FOR_SIZES(n) FOR_DATA(d) for (unsigned plain = 0; plain < 2; plain++) {
        if (!ck_case(t, "sgd_%s%zu_%s", plain ? "plain_" : "", n, ck_data_name(d))) continue;
        pair x = pair_of(t, n, d);
        t->ref.sgd(x.p[0], plain ? NULL : x.m[0], x.g, n, 0.5f, keep, mu, lr);
        CK_CALL(t, t->tier.sgd(x.p[1], plain ? NULL : x.m[1], x.g, n, 0.5f, keep, mu, lr));
        compare(t, &x, n);
        for (size_t i = 0; i < n; i++) {
            const double step = (double)x.g[i] * 0.5 + (plain ? 0 : (double)mu * (double)x.m0[i]);
            x.exact[i] = (double)x.p0[i] * (double)keep - (double)lr * step;
        }
        if (d != CK_WIDE) ck_near_double(t, x.p[1], x.exact, n, close);
    }
}

static void ck_lion(ck *t)
{
    const float b1 = 0.9f, b2 = 0.99f, lr = 0.01f, keep = 0.9999f;
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "lion_%zu_%s", n, ck_data_name(d))) continue;
        pair x = pair_of(t, n, d);
        t->ref.lion(x.p[0], x.m[0], x.g, n, 0.5f, keep, b1, 1 - b1, b2, 1 - b2, lr);
        CK_CALL(t, t->tier.lion(x.p[1], x.m[1], x.g, n, 0.5f, keep, b1, 1 - b1, b2, 1 - b2, lr));
        compare(t, &x, n);
        for (size_t i = 0; i < n; i++) {
            const float c = fmaf(b1, x.m0[i], (1 - b1) * (x.g[i] * 0.5f));       /* its sign is what counts */
            x.exact[i] = (double)x.p0[i] * (double)keep - (double)lr * (double)((c > 0) - (c < 0));
        }
        ck_near_double(t, x.p[1], x.exact, n, close);
    }
}

static void ck_nesterov(ck *t)
{
    const float mu = 0.95f;
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "nesterov_%zu_%s", n, ck_data_name(d))) continue;
        pair x = pair_of(t, n, d);
        float *in_place = ck_copy(t, x.g, n);
        t->ref.nesterov(x.p[0], x.m[0], x.g, n, 0.5f, mu, 1 - mu);
        CK_CALL(t, t->tier.nesterov(in_place, x.m[1], in_place, n, 0.5f, mu, 1 - mu));
        ck_same_floats(t, in_place, x.p[0], n);
        ck_same_floats(t, x.m[1], x.m[0], n);
        for (size_t i = 0; i < n; i++) {
            const double part = (1 - (double)mu) * (double)x.g[i] * 0.5;
            x.exact[i] = (double)mu * ((double)mu * (double)x.m0[i] + part) + part;
        }
        if (d != CK_WIDE) ck_near_double(t, in_place, x.exact, n, close);
    }
}

static void ck_descend(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "descend_%zu_%s", n, ck_data_name(d))) continue;
        pair x = pair_of(t, n, d);
        t->ref.descend(x.p[0], x.g, n, 0.99f, 0.5f);
        CK_CALL(t, t->tier.descend(x.p[1], x.g, n, 0.99f, 0.5f));
        compare(t, &x, n);
        for (size_t i = 0; i < n; i++) x.exact[i] = (double)x.p0[i] * (double)0.99f - 0.5 * (double)x.g[i];
        if (d != CK_WIDE) ck_near_double(t, x.p[1], x.exact, n, close);
    }
}

static void ck_col_squares(ck *t)
{
    static const size_t rows[] = { 0, 1, 3, 511, 512, 513, 1100 }, cols[] = { 1, 15, 16, 17, 40 };
    for (size_t r = 0; r < AC_COUNTOF(rows); r++)
        for (size_t c = 0; c < AC_COUNTOF(cols); c++) {
            const size_t stride = cols[c] + c % 3;
            if (!ck_case(t, "col_squares_%zux%zu", rows[r], cols[c])) continue;
            const float *x = ck_f32(t, rows[r] * stride, CK_UNIT);
            float *want = ck_out(t, cols[c]), *got = ck_out(t, cols[c]);
            double *exact = ck_bytes(t, cols[c] * sizeof *exact);
            t->ref.col_squares(want, x, rows[r], cols[c], stride);
            CK_CALL(t, t->tier.col_squares(got, x, rows[r], cols[c], stride));
            ck_same_floats(t, got, want, cols[c]);
            for (size_t i = 0; i < rows[r]; i++)
                for (size_t j = 0; j < cols[c]; j++)
                    exact[j] += (double)x[i * stride + j] * (double)x[i * stride + j];
            ck_near_double(t, got, exact, cols[c], (ck_tol){ .ulp = 16, .relative_to = 1 });
        }
}

static void ck_adafactor(ck *t)
{
    const float b = 0.9f, least = 0x1p-46f;
    FOR_SIZES(n) FOR_DATA(d) {
        if (!ck_case(t, "adafactor_%zu_%s", n, ck_data_name(d))) continue;
        const float *x0 = ck_f32(t, n, d), *v0 = ck_f32(t, n, CK_POSITIVE);
        float *x[4], *v[2];
        double *exact = ck_bytes(t, n * sizeof *exact);
        for (size_t k = 0; k < 4; k++) x[k] = ck_copy(t, x0, n);
        for (size_t k = 0; k < 2; k++) v[k] = ck_copy(t, v0, n);
        t->ref.factored(x[0], v0, n, 0.75f, least);
        CK_CALL(t, t->tier.factored(x[1], v0, n, 0.75f, least));
        ck_same_floats(t, x[1], x[0], n);
        for (size_t i = 0; i < n; i++) exact[i] = (double)x0[i] / sqrt(fmax((double)v0[i] * 0.75, (double)least));
        ck_near_double(t, x[1], exact, n, (ck_tol){ .ulp = 4 });
        t->ref.unfactored(x[2], v[0], n, b, 1 - b, least);
        CK_CALL(t, t->tier.unfactored(x[3], v[1], n, b, 1 - b, least));
        ck_same_floats(t, x[3], x[2], n);
        ck_same_floats(t, v[1], v[0], n);
        for (size_t i = 0; i < n; i++) {
            const double vi = (double)b * (double)v0[i] + (1 - (double)b) * (double)x0[i] * (double)x0[i];
            exact[i] = (double)x0[i] / sqrt(fmax(vi, (double)least));
        }
        ck_near_double(t, x[3], exact, n, (ck_tol){ .ulp = 4 });
    }
}

/* ---- stored state ------------------------------------------------------------------------------------ */

static const ac_draw draws[] = {
    { .seed = 1, .step = 1, .index = 0, .stream = 7 },
    { .seed = 0x123456789abcdefu, .step = 1u << 30, .index = 1023, .stream = 8 },
    { .seed = 3, .step = 0x100000001u, .index = 0xfffffffeu, .stream = 7 },
};

static void ck_bf16_random(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) for (size_t r = 0; r < AC_COUNTOF(draws); r++) {
        if (!ck_case(t, "bf16_random_%zu_%s_%zu", n, ck_data_name(d), r)) continue;
        const float *x = ck_f32(t, n, d);
        uint16_t *want = ck_bytes(t, n * 2), *got = ck_bytes(t, n * 2);
        t->ref.bf16_random(want, x, n, &draws[r]);
        CK_CALL(t, t->tier.bf16_random(got, x, n, &draws[r]));
        ck_same_bytes(t, got, want, n * 2);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            if (got[i] != bits >> 16 && (got[i] != (bits >> 16) + 1 || !(bits & 0xffffu)))
                ck_fail(t, "%g went to %04x", (double)x[i], got[i]);
        }
    }
}

static double share(int code, bool is_square)
{
    const double s = (double)code / (is_square ? 127 : 255);
    return is_square ? s * s : s * s * s * s;
}

/* A value becomes one of its two neighbours in the code, never 0 where it is a second moment. */
static void judge_codes(ck *t, const float *x, const uint8_t *q, const float *back, float scale, size_t n, bool is_square)
{
    for (size_t i = 0; i < n; i++) {
        const int code = is_square ? abs(q[i] < 128 ? (int)q[i] : (int)q[i] - 256) : q[i];
        const double r = scale > 0 ? fabs((double)x[i]) / (double)scale : 0;
        const bool raised = !is_square && code == 1 && x[i] > 0;
        const double low = code && !raised ? share(code - 1, is_square) : 0, high = share(code + 1, is_square);
        if (r < low - 1e-5 || r > high + 1e-5) ck_fail(t, "%g of %g went to %d", (double)x[i], (double)scale, code);
        if (!is_square && x[i] > 0 && code == 0) ck_fail(t, "%g became 0", (double)x[i]);
        const double want = share(code, is_square) * (double)scale * (is_square && x[i] < 0 ? -1 : 1);
        if (fabs((double)back[i] - want) > 1e-6 * fabs(want) + 1e-44) ck_fail(t, "code %d reads %g", code, (double)back[i]);
    }
}

static void ck_code8(ck *t)
{
    FOR_SIZES(n) FOR_DATA(d) for (size_t r = 0; r < AC_COUNTOF(draws) * 2; r++) {
        const bool is_square = r % 2;
        if (n > 257 || !ck_case(t, "code8_%zu_%s_%zu", n, ck_data_name(d), r)) continue;
        float *x = ck_copy(t, ck_f32(t, n, d), n), scale[2];
        for (size_t i = 0; i < n && !is_square; i++) x[i] = fabsf(x[i]);
        uint8_t *q[2] = { ck_bytes(t, n), ck_bytes(t, n) };
        float *back[2] = { ck_out(t, n), ck_out(t, n) };
        t->ref.code8_encode(q[0], &scale[0], x, n, is_square, &draws[r / 2]);
        CK_CALL(t, t->tier.code8_encode(q[1], &scale[1], x, n, is_square, &draws[r / 2]));
        ck_same_bytes(t, q[1], q[0], n);
        ck_same_floats(t, &scale[1], &scale[0], 1);
        t->ref.code8_decode(back[0], q[0], scale[0], n, is_square);
        CK_CALL(t, t->tier.code8_decode(back[1], q[0], scale[0], n, is_square));
        ck_same_floats(t, back[1], back[0], n);
        judge_codes(t, x, q[1], back[1], scale[1], n, is_square);
    }
    if (ck_case(t, "code8_zero")) {
        const float zero[3] = { 0.0f, -0.0f, 0.0f };
        uint8_t q[3] = { 9, 9, 9 };
        float scale = 1, back[3];
        CK_CALL(t, t->tier.code8_encode(q, &scale, zero, 3, true, &draws[0]));
        CK_CALL(t, t->tier.code8_decode(back, q, scale, 3, true));
        if (q[0] || q[1] || q[2] || scale != 0 || signbit(scale) || back[1] != 0) ck_fail(t, "zeros do not stay zeros");
    }
}

/* What is read back is right on average: without that a second moment would stall at beta2 0.999. */
static void ck_unbiased(ck *t)
{
    enum { N = 256, ROUNDS = 4000 };
    if (!ck_case(t, "stored_state_unbiased")) return;
    float *x = ck_copy(t, ck_f32(t, N, CK_POSITIVE), N), back[N], scale;
    uint16_t half[N];
    uint8_t q[N];
    double sum[3][N] = { { 0 } };
    for (size_t round = 0; round < ROUNDS; round++) {
        const ac_draw d = { .seed = 5, .step = round, .stream = 7 };
        t->tier.bf16_random(half, x, N, &d);
        t->tier.expand_row(back, half, AC_BF16, N);
        for (size_t i = 0; i < N; i++) sum[0][i] += (double)back[i];
        for (unsigned is_square = 0; is_square < 2; is_square++) {
            t->tier.code8_encode(q, &scale, x, N, is_square, &d);
            t->tier.code8_decode(back, q, scale, N, is_square);
            for (size_t i = 0; i < N; i++) sum[1 + is_square][i] += (double)back[i];
        }
    }
    static const double gap[3] = { 0x1p-7, 4.0 / 255, 2.0 / 127 };
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < N; i++) {                    /* 5 standard deviations of a mean of ROUNDS */
            const double off = fabs(sum[k][i] / ROUNDS - (double)x[i]);
            if (off > 5 * 0.5 * gap[k] * 1.1 / sqrt(ROUNDS)) ck_fail(t, "form %zu reads %g for %g on average", k, sum[k][i] / ROUNDS, (double)x[i]);
        }
}

static void ck_optim_bench(ck *t)
{
    enum { N = 8192 };
    static const ac_draw d = { .seed = 1, .stream = 7 };
    if (ck_bench_case(t, "bf16_random")) {
        const float *x = ck_f32(t, N, CK_UNIT);
        uint16_t *q = ck_bytes(t, N * 2);
        CK_BENCH(t, N, "elem", t->tier.bf16_random(q, x, N, &d));
    }
    if (ck_bench_case(t, "code8_encode")) {
        const float *x = ck_f32(t, 256, CK_POSITIVE);
        uint8_t *q = ck_bytes(t, 256);
        float s;
        CK_BENCH(t, 256, "elem", t->tier.code8_encode(q, &s, x, 256, false, &d));
    }
    if (ck_bench_case(t, "code8_decode")) {
        const uint8_t *q = ck_bytes(t, 256);
        float *x = ck_out(t, 256);
        CK_BENCH(t, 256, "elem", t->tier.code8_decode(x, q, 1, 256, false));
    }
    if (ck_bench_case(t, "lion")) {
        const float *g = ck_f32(t, N, CK_UNIT);
        float *p = ck_bytes(t, N * 4), *m = ck_bytes(t, N * 4);
        CK_BENCH(t, N, "elem", t->tier.lion(p, m, g, N, 1, 1, 0.9f, 0.1f, 0.99f, 0.01f, 1e-4f));
    }
}

const ck_test ck_optim_tests[] = {
    { "sgd", ck_sgd }, { "lion", ck_lion }, { "nesterov", ck_nesterov }, { "descend", ck_descend },
    { "col_squares", ck_col_squares }, { "adafactor", ck_adafactor }, { "bf16_random", ck_bf16_random },
    { "code8", ck_code8 }, { "unbiased", ck_unbiased }, { "optim_bench", ck_optim_bench }, { 0 },
};
