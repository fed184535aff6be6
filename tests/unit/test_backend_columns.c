/* Linear layers of many rows, which the CPU device computes in pieces of columns with bias and adapter at once, against
 * the same in slices of few rows, which it computes one product after another: equal bits at any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "base/rng.h"

enum { ROWS = 131, SLICE = 40, IN = 544, RANK = 16, LAYERS = 3, MOST_OUT = 640, OUT_SUM = 640 + 224 + 512 };
static const size_t outs[LAYERS] = { 640, 224, 512 };

/* What all runs read, and what one writes. */
static float x[ROWS * IN], bias[MOST_OUT], dy[ROWS * MOST_OUT], old_dx[ROWS * IN];
static float lora_a[LAYERS * RANK * IN], lora_b[OUT_SUM * RANK];
static unsigned char weights[OUT_SUM * IN];
typedef struct {
    float y[ROWS * OUT_SUM], h[LAYERS * ROWS * RANK], dx[LAYERS * ROWS * IN];
    float da[LAYERS * RANK * IN], db[OUT_SUM * RANK], scratch[ROWS * RANK];
} results;
static results expected, got;

static ac_device *dev;
static ac_buf *bufs[32];
static size_t n_bufs;

static ac_ref ref(void *p, size_t bytes)
{
    ac_buf *b = NULL;
    assert_int_equal(dev->op->buf_borrow(dev, &b, p, bytes, AC_BORROW_BOTH, NULL), AC_OK);
    bufs[n_bufs++] = b;
    return (ac_ref){ b, 0 };
}

static void fill(float *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = 2.0f * ac_rng_unit(seed, AC_RNG_TEST, 0, i) - 1.0f;
}

typedef struct {
    ac_ref y, h, dx, da, db, scratch, x, bias, dy, a, b;
    ac_matrix w[LAYERS];
} placed;

static placed place(results *r)
{
    placed p = { .y = ref(r->y, sizeof r->y), .h = ref(r->h, sizeof r->h), .dx = ref(r->dx, sizeof r->dx),
                 .da = ref(r->da, sizeof r->da), .db = ref(r->db, sizeof r->db),
                 .scratch = ref(r->scratch, sizeof r->scratch), .x = ref(x, sizeof x), .bias = ref(bias, sizeof bias),
                 .dy = ref(dy, sizeof dy), .a = ref(lora_a, sizeof lora_a), .b = ref(lora_b, sizeof lora_b) };
    const size_t row = IN / ac_dtype_block_elems(AC_Q4_1) * ac_dtype_block_bytes(AC_Q4_1);
    for (size_t i = 0, at = 0; i < LAYERS; at += outs[i++] * row)
        p.w[i] = (ac_matrix){ .buf = ref(weights + at, outs[i] * row).buf, .type = AC_Q4_1, .rows = outs[i], .cols = IN,
                              .row_bytes = row };
    return p;
}

/* Layer i over the whole, rows first .. first + n - 1: the second has no adapter, the third a bias. */
static ac_lora lora_at(const placed *p, size_t i, size_t first)
{
    size_t b_at = 0;
    for (size_t k = 0; k < i; k++) b_at += outs[k] * RANK;
    return (ac_lora){ .rank = RANK, .scale = 1.7f, .a = ac_ref_at(p->a, i * RANK * IN), .b = ac_ref_at(p->b, b_at),
                      .h = ac_ref_at(p->h, (i * ROWS + first) * RANK) };
}

static void forward(const placed *p, size_t first, size_t n)
{
    ac_lora lora[LAYERS];
    ac_linear_args a[LAYERS];
    for (size_t i = 0, y_at = 0; i < LAYERS; y_at += ROWS * outs[i++]) {
        lora[i] = lora_at(p, i, first);
        a[i] = (ac_linear_args){ .y = ac_ref_at(p->y, y_at + first * outs[i]), .x = ac_ref_at(p->x, first * IN),
                                 .bias = i == 2 ? p->bias : (ac_ref){ 0 }, .rows = n, .w = &p->w[i],
                                 .lora = i == 1 ? NULL : &lora[i] };
    }
    dev->op->linears(dev, a, LAYERS);
}

/* units of the rows first .. first + n - 1, counted from first; the last layer's dx is added to. */
static void backward(const placed *p, size_t first, size_t n, const ac_unit_rows *units, size_t n_units)
{
    for (size_t i = 0, b_at = 0; i < LAYERS; b_at += outs[i++] * RANK) {
        const ac_lora lora = lora_at(p, i, first);
        dev->op->linear_grad(dev, &(ac_linear_grad_args){
            .dx = ac_ref_at(p->dx, (i * ROWS + first) * IN), .dy = ac_ref_at(p->dy, first * outs[i]),
            .x = ac_ref_at(p->x, first * IN), .accumulate = i == 2, .rows = n, .w = &p->w[i],
            .lora = i == 1 ? NULL : &lora, .da = ac_ref_at(p->da, i * RANK * IN), .db = ac_ref_at(p->db, b_at),
            .units = units, .n_units = n_units, .scratch = p->scratch });
    }
}

static void compute(results *r, size_t threads, size_t slice)
{
    ac_unit_rows units[ROWS / SLICE + 1];
    size_t n_units = 0;
    memset(r, 0, sizeof *r);
    memcpy(r->dx + 2 * ROWS * IN, old_dx, sizeof old_dx);
    assert_int_equal(ac_device_open_cpu(&dev, AC_CPU_AUTO, threads, NULL), AC_OK);
    const placed p = place(r);
    for (size_t at = 0; at < ROWS; at += SLICE, n_units++)
        units[n_units] = (ac_unit_rows){ at, ROWS - at < SLICE ? ROWS - at : SLICE, n_units };
    for (size_t at = 0; at < ROWS; at += slice) {
        const size_t n = ROWS - at < slice ? ROWS - at : slice;
        const ac_unit_rows one = { 0, n, at / slice };
        forward(&p, at, n);
        if (slice == SLICE) backward(&p, at, n, &one, 1);
        else backward(&p, at, n, units, n_units);
    }
    memset(r->scratch, 0, sizeof r->scratch);
    while (n_bufs) dev->op->buf_close(dev, &bufs[--n_bufs]);
    ac_device_close(&dev);
}

static void test_same_bits(void **state)
{
    (void)state;
    fill(x, ROWS * IN, 1);
    fill(bias, MOST_OUT, 2);
    fill(dy, ROWS * MOST_OUT, 3);
    fill(old_dx, ROWS * IN, 4);
    fill(lora_a, LAYERS * RANK * IN, 5);
    fill(lora_b, OUT_SUM * RANK, 6);
    for (size_t i = 0; i < sizeof weights; i += 20) {                /* scale, least (binary16), 32 codes of 4 bits */
        static const unsigned char head[4] = { 0x66, 0x2e, 0x00, 0xb8 };
        for (size_t k = 0; k < 20 && i + k < sizeof weights; k++)
            weights[i + k] = k < 4 ? head[k] : (unsigned char)(i * 31 + k * 77 + i / 113);
    }
    compute(&expected, 1, SLICE);
    for (size_t threads = 1; threads <= 3; threads++) {
        compute(&got, threads, ROWS);
        assert_memory_equal(expected.h, got.h, sizeof got.h);
        assert_memory_equal(expected.y, got.y, sizeof got.y);
        assert_memory_equal(expected.dx, got.dx, sizeof got.dx);
        assert_memory_equal(expected.da, got.da, sizeof got.da);
        assert_memory_equal(expected.db, got.db, sizeof got.db);
    }
    float sum = 0.0f;
    for (size_t i = 0; i < ROWS * OUT_SUM; i++) sum += got.y[i] * got.y[i];
    assert_true(sum > 1.0f && sum < 1e12f);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_bits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
