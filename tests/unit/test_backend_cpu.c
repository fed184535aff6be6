/* The CPU device's memory, copies and the operations that the model's own tests do not reach one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "base/rng.h"

static ac_device *dev;

static ac_buf *borrow(void *p, size_t bytes)
{
    ac_buf *b = NULL;
    assert_int_equal(dev->op->buf_borrow(dev, &b, p, bytes, AC_BORROW_BOTH, NULL), AC_OK);
    return b;
}

static void random_floats(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) x[i] = 2.0f * ac_rng_unit(seed, AC_RNG_TEST, 0, i) - 1.0f;
}

static void test_memory(void **state)
{
    (void)state;
    ac_buf *b = NULL;
    float in[100], out[100] = { 0 };
    random_floats(in, 100, 1);
    assert_int_equal(dev->op->buf_open(dev, &b, 400, AC_STORE_ACT, NULL), AC_OK);
    const ac_ref r = { b, 0 };
    dev->op->zero(dev, r, 400);
    dev->op->write(dev, ac_ref_at(r, 50), in, 100);
    dev->op->copy(dev, ac_ref_at(r, 200), ac_ref_at(r, 50), 100);
    dev->op->read(dev, out, ac_ref_at(r, 200), 100);
    assert_memory_equal(in, out, sizeof in);
    dev->op->read(dev, out, ac_ref_at(r, 300), 100);
    for (size_t i = 0; i < 100; i++) assert_true(out[i] == 0.0f);
    assert_int_equal(dev->op->sync(dev, NULL), AC_OK);
    dev->op->buf_close(dev, &b);
    assert_null(b);
    dev->op->buf_close(dev, &b);
    assert_true(dev->op->supports(dev, AC_OP_LINEAR, AC_Q4_1));
    assert_false(dev->op->supports(dev, AC_OP_EMBED, AC_I32));
}

/* Loss over chosen rows: nll from output's logits, gradient by central differences; other rows untouched. */
static void test_loss(void **state)
{
    (void)state;
    enum { ROWS = 7, HIDDEN = 6, VOCAB = 300, SEL = 3 };
    float x[ROWS * HIDDEN], w[VOCAB * HIDDEN], norm[HIDDEN], logits[SEL * VOCAB], nll[SEL], dx[ROWS * HIDDEN];
    uint32_t rows[SEL] = { 5, 0, 3 };
    int32_t target[SEL] = { 17, 299, 0 };
    random_floats(x, ROWS * HIDDEN, 2);
    random_floats(w, VOCAB * HIDDEN, 3);
    random_floats(norm, HIDDEN, 4);
    memset(dx, 0x7f, sizeof dx);
    ac_buf *bx = borrow(x, sizeof x), *bw = borrow(w, sizeof w), *bn = borrow(norm, sizeof norm);
    ac_buf *bl = borrow(logits, sizeof logits), *bs = NULL, *bq = borrow(nll, sizeof nll), *bd = borrow(dx, sizeof dx);
    ac_buf *br = borrow(rows, sizeof rows), *bt = borrow(target, sizeof target);
    const ac_shape shape = { .rows = ROWS, .longest_doc = ROWS, .output_rows = SEL, .hidden = HIDDEN, .vocab = VOCAB };
    const size_t scratch = dev->op->scratch_floats(dev, &shape);
    assert_int_equal(dev->op->buf_open(dev, &bs, scratch, AC_STORE_F32, NULL), AC_OK);
    const ac_matrix m = { bw, AC_F32, VOCAB, HIDDEN, HIDDEN * sizeof(float), NULL };
    const ac_output_args out = { .x = { bx, 0 }, .rows = { br, 0 }, .norm_w = { bn, 0 }, .logits = { bl, 0 },
                                 .n_rows = SEL, .eps = 1e-5f, .w = &m, .scratch = { bs, 0 } };
    ac_loss_args loss = { .x = { bx, 0 }, .rows = { br, 0 }, .target = { bt, 0 }, .norm_w = { bn, 0 },
                          .nll = { bq, 0 }, .dx = { bd, 0 }, .n_rows = SEL, .eps = 1e-5f, .grad_scale = 0.5f,
                          .w = &m, .scratch = { bs, 0 } };
    dev->op->output(dev, &out);
    dev->op->loss(dev, &loss);
    for (size_t i = 0; i < SEL; i++) {
        double sum = 0;
        for (size_t t = 0; t < VOCAB; t++) sum += exp((double)logits[i * VOCAB + t]);
        assert_true(fabs((double)nll[i] - (log(sum) - (double)logits[i * VOCAB + (size_t)target[i]])) < 1e-5);
    }
    float grad[ROWS * HIDDEN], untouched;
    memcpy(grad, dx, sizeof grad);
    memset(&untouched, 0x7f, sizeof untouched);
    loss.dx = (ac_ref){ 0 };
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < HIDDEN; c++) {
            float *at = &x[r * HIDDEN + c];
            const float was = *at, h = 1.0f / 128;
            double up = 0, down = 0;
            *at = was + h;
            dev->op->loss(dev, &loss);
            for (size_t i = 0; i < SEL; i++) up += (double)nll[i];
            *at = was - h;
            dev->op->loss(dev, &loss);
            for (size_t i = 0; i < SEL; i++) down += (double)nll[i];
            *at = was;
            const bool chosen = r == 5 || r == 0 || r == 3;
            if (!chosen) assert_memory_equal(&grad[r * HIDDEN + c], &untouched, sizeof untouched);
            else assert_true(fabs((double)grad[r * HIDDEN + c] - 0.5 * (up - down) / (2.0 / 128)) < 5e-3);
        }
    ac_buf *all[] = { bx, bw, bn, bl, bs, bq, bd, br, bt };
    for (size_t i = 0; i < AC_COUNTOF(all); i++) dev->op->buf_close(dev, &all[i]);
}

static void test_optimizer(void **state)
{
    (void)state;
    enum { N = 40001 };
    static float p[N], m[N], v[N], g[N], q[N], qm[N], qv[N];
    random_floats(p, N, 5);
    random_floats(g, N, 6);
    memcpy(q, p, sizeof q);
    ac_buf *b[4] = { borrow(p, sizeof p), borrow(m, sizeof m), borrow(v, sizeof v), borrow(g, sizeof g) };
    const ac_optim_args a = { .rule = AC_RULE_ADAMW, .p = { b[0], 0 }, .m = { .data = b[1] }, .v = { .data = b[2] },
                              .g = { b[3], 0 }, .n = N, .grad_scale = 0.5f, .keep = 0.999f, .b1 = 0.9f,
                              .one_minus_b1 = 0.1f, .b2 = 0.99f, .one_minus_b2 = 0.01f, .step = 0.02f,
                              .inv_sqrt_bc2 = 1.5f, .eps = 1e-8f };
    dev->op->optim(dev, &a);
    ac_kernels k;
    assert_int_equal(ac_kernels_init(&k, AC_CPU_REF, NULL), AC_OK);
    k.adamw(q, qm, qv, g, N, 0.5f, 0.999f, 0.9f, 0.1f, 0.99f, 0.01f, 0.02f, 1.5f, 1e-8f);
    assert_memory_equal(p, q, sizeof p);
    assert_memory_equal(m, qm, sizeof m);
    assert_memory_equal(v, qv, sizeof v);
    const double want[2] = { k.sum_squares(g, 3), k.sum_squares(g + 1, N - 1) };
    const ac_span part[2] = { { { b[3], 0 }, 3 }, { { b[3], 1 }, N - 1 } };
    double got[2];
    dev->op->sum_squares(dev, part, 2, got);
    assert_memory_equal(got, want, sizeof got);
    for (size_t i = 0; i < 4; i++) dev->op->buf_close(dev, &b[i]);
}

static void test_all_finite(void **state)
{
    (void)state;
    static float w[40 * 300];
    random_floats(w, 40 * 300, 7);
    ac_buf *b = borrow(w, sizeof w);
    const ac_matrix m = { b, AC_F32, 40, 300, 300 * sizeof(float), NULL };
    assert_true(dev->op->all_finite(dev, &m));
    w[39 * 300 + 299] = INFINITY;
    assert_false(dev->op->all_finite(dev, &m));
    dev->op->buf_close(dev, &b);
    uint8_t q[34 * 4] = { 0 };                   /* Q8_0: a block's scale is not finite */
    q[34 * 2 + 1] = 0x7c;
    q[34 * 2 + 2] = 1;
    b = borrow(q, sizeof q);
    const ac_matrix mq = { b, AC_Q8_0, 2, 64, 68, NULL };
    assert_false(dev->op->all_finite(dev, &mq));
    q[34 * 2 + 1] = 0x3c;
    assert_true(dev->op->all_finite(dev, &mq));
    dev->op->buf_close(dev, &b);
}

static void test_open(void **state)
{
    (void)state;
    ac_device *d = NULL;
    ac_err err = { 0 };
    assert_int_equal(ac_device_open_cpu(&d, AC_CPU_REF, 1, &err), AC_OK);
    assert_string_equal(ac_device_name(d), "cpu ref, 1 thread");
    ac_device_close(&d);
    assert_null(d);
    ac_device_close(&d);
#if AC_ARCH_X86
    assert_int_equal(ac_device_open_cpu(&d, AC_CPU_NEON, 1, &err), AC_EARG);
    assert_true(err.text[0] && !d);
#endif
}

static int setup(void **state)
{
    (void)state;
    return ac_device_open_cpu(&dev, AC_CPU_AUTO, 3, NULL);
}

static int teardown(void **state)
{
    (void)state;
    ac_device_close(&dev);
    return ac_live_bytes() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_loss), cmocka_unit_test(test_optimizer),
        cmocka_unit_test(test_all_finite), cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
