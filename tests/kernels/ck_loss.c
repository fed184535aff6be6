/* kernels/ck_loss.c - cross-entropy, softmax, argmax. */
#include "kernels/checkkern.h"

#include <math.h>
#include <string.h>

static const size_t sizes[] = { 1, 2, 15, 16, 17, 31, 32, 33, 63, 65, 257, 512, 1000 };
static const ck_data kinds[] = { CK_UNIT, CK_WIDE, CK_TINY, CK_DENORMAL, CK_SIGNED_ZERO, CK_LOGITS };

static double lse_double(const double *x, size_t n)
{
    double max = -(double)INFINITY, s = 0;
    for (size_t i = 0; i < n; i++) max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++) s += exp(x[i] - max);
    return max + log(s);
}

static void one_cross_entropy(ck *t, size_t rows, size_t cols, ck_data d)
{
    const size_t stride = cols + 3, n = (rows - 1) * stride + cols;
    const float *x = ck_f32(t, n, d);
    int32_t *target = ck_bytes(t, rows * sizeof *target);
    for (size_t r = 0; r < rows; r++) target[r] = (int32_t)(r == 0 ? cols - 1 : ck_u32(t) % cols);
    float *want = ck_copy(t, x, n), *got = ck_copy(t, x, n), *plain = ck_copy(t, x, n);
    float *want_nll = ck_out(t, rows), *nll = ck_out(t, rows), *plain_nll = ck_out(t, rows);
    const float scale = 0.37f;
    t->ref.cross_entropy(want, rows, cols, stride, target, want_nll, true, scale);
    CK_CALL(t, t->tier.cross_entropy(got, rows, cols, stride, target, nll, true, scale));
    ck_same_floats(t, got, want, n);
    ck_same_floats(t, nll, want_nll, rows);
    CK_CALL(t, t->tier.cross_entropy(plain, rows, cols, stride, target, plain_nll, false, scale));
    ck_same_floats(t, plain, x, n);
    ck_same_floats(t, plain_nll, want_nll, rows);
    double *wide = ck_bytes(t, cols * sizeof *wide), *exact = ck_bytes(t, cols * sizeof *exact);
    for (size_t r = 0; r < rows; r++) {
        double largest = 0;
        for (size_t i = 0; i < cols; i++) {
            wide[i] = (double)x[r * stride + i];
            largest = fmax(largest, fabs(wide[i]));
        }
        const double lse = lse_double(wide, cols), want_double = lse - wide[target[r]];
        ck_near_double(t, &nll[r], &want_double, 1, (ck_tol){ .ulp = 3, .relative_to = largest + fabs(lse) });
        /* The gradient against central differences of the loss in double, at the target and elsewhere. */
        for (size_t k = 0; d == CK_LOGITS && k < 6; k++) {
            const size_t i = k ? ck_u32(t) % cols : (size_t)target[r];
            const double h = 1e-5, keep = wide[i], hit = i == (size_t)target[r] ? h : 0;
            wide[i] = keep + h;
            const double up = lse_double(wide, cols) - hit;
            wide[i] = keep - h;
            const double down = lse_double(wide, cols) + hit;
            wide[i] = keep;
            ck_near_relative(t, (double)got[r * stride + i], (up - down) / (2 * h) * (double)scale,
                             k ? 1e-2 : 1.0, 4e-6, "dlogits");   /* lse rounds at 20 */
        }
    }
}

static void ck_cross_entropy(ck *t)
{
    for (size_t k = 0; k < AC_COUNTOF(sizes); k++)
        for (size_t d = 0; d < AC_COUNTOF(kinds); d++)
            if (ck_case(t, "cross_entropy_%zu_%s", sizes[k], ck_data_name(kinds[d])))
                one_cross_entropy(t, 1 + k % 3, sizes[k], kinds[d]);
    if (ck_case(t, "cross_entropy_49152_logits")) one_cross_entropy(t, 2, 49152, CK_LOGITS);
    if (ck_case(t, "cross_entropy_0_rows")) {
        float x = 1.0f;
        CK_CALL(t, t->tier.cross_entropy(&x, 0, 1, 1, NULL, NULL, true, 1.0f));
        if (x != 1.0f) ck_fail(t, "zero rows changed something");
    }
    const size_t vocab[] = { 49152, 151936 };
    for (size_t k = 0; k < AC_COUNTOF(vocab); k++) {
        const size_t cols = vocab[k];
        int32_t target[4] = { 1, 2, 3, 4 };
        float nll[4];
        if (ck_bench_case(t, "cross_entropy_4x%zu", cols)) {
            float *x = ck_copy(t, ck_f32(t, 4 * cols, CK_UNIT), 4 * cols);
            CK_BENCH(t, 4 * cols, "elem", t->tier.cross_entropy(x, 4, cols, cols, target, nll, false, 0.1f));
        }
        if (ck_bench_case(t, "cross_entropy_grad_4x%zu", cols)) {
            float *x = ck_copy(t, ck_f32(t, 4 * cols, CK_UNIT), 4 * cols);
            CK_BENCH(t, 4 * cols, "elem", t->tier.cross_entropy(x, 4, cols, cols, target, nll, true, 0.1f));
        }
    }
}

static void ck_softmax(ck *t)
{
    for (size_t k = 0; k <= AC_COUNTOF(sizes); k++) {
        for (size_t d = 0; d < AC_COUNTOF(kinds); d++) {
            const size_t n = k ? sizes[k - 1] : 0;
            if (!ck_case(t, "softmax_%zu_%s", n, ck_data_name(kinds[d]))) continue;
            const float *x = ck_f32(t, n, kinds[d]);
            float *want = ck_out(t, n), *got = ck_out(t, n), *in_place = ck_copy(t, x, n);
            t->ref.softmax(want, x, n);
            CK_CALL(t, t->tier.softmax(got, x, n));
            ck_same_floats(t, got, want, n);
            CK_CALL(t, t->tier.softmax(in_place, in_place, n));
            ck_same_floats(t, in_place, want, n);
            double *wide = ck_bytes(t, n * sizeof *wide), largest = 0;
            for (size_t i = 0; i < n; i++) {
                wide[i] = (double)x[i];
                largest = fmax(largest, fabs(wide[i]));
            }
            const double lse = lse_double(wide, n);
            for (size_t i = 0; i < n; i++) wide[i] = exp(wide[i] - lse);
            /* x - max rounds at the size of x, and exp turns that into a relative error. */
            if (kinds[d] != CK_WIDE) ck_near_double(t, got, wide, n, (ck_tol){ .ulp = 6 + 2 * largest });
        }
    }
}

static size_t argmax_plain(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void ck_argmax(ck *t)
{
    for (size_t k = 0; k < AC_COUNTOF(sizes); k++) {
        for (size_t d = 0; d < AC_COUNTOF(kinds); d++) {
            if (!ck_case(t, "argmax_%zu_%s", sizes[k], ck_data_name(kinds[d]))) continue;
            const size_t n = sizes[k];
            float *x = ck_copy(t, ck_f32(t, n, kinds[d]), n);
            size_t got = n;
            CK_CALL(t, got = t->tier.argmax(x, n));
            if (got != argmax_plain(x, n)) ck_fail(t, "%zu, expected %zu", got, argmax_plain(x, n));
            for (size_t i = 0; i < n; i++) x[i] = -INFINITY;
            CK_CALL(t, got = t->tier.argmax(x, n));
            if (got != 0) ck_fail(t, "all -inf: %zu, expected 0", got);
            x[n - 1] = x[n / 2] = 3.0f;                    /* a tie: the lower place */
            CK_CALL(t, got = t->tier.argmax(x, n));
            if (got != n / 2) ck_fail(t, "tie: %zu, expected %zu", got, n / 2);
        }
    }
}

const ck_test ck_loss_tests[] = {
    { "cross_entropy", ck_cross_entropy }, { "softmax", ck_softmax }, { "argmax", ck_argmax }, { 0 },
};
