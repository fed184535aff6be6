/* Products of numerics bf16/1 against whole-number arithmetic (gen_bf16.py, bf16.bin): every tier, each route that it
 * has, one and two threads, byte for byte. Strides are wider than the rows, and what lies between is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernels/kernels.h"

enum { GAP = 3, GAP_BYTE = 0x5a, POOLS = 2 };

static ac_map g_file;
static size_t g_at;
static ac_pool *g_pool[POOLS];
static ac_mm_workspace *g_ws;
static size_t g_products;

static const uint8_t *take(size_t bytes)
{
    assert_true(bytes <= g_file.len - g_at);
    g_at += bytes;
    return (const uint8_t *)g_file.ptr + g_at - bytes;
}

static uint32_t take_u32(void)
{
    uint32_t v;
    memcpy(&v, take(sizeof v), sizeof v);
    return v;
}

/* rows of cols floats out of the file (NULL: none), with GAP floats after each. */
static float *spread(const uint8_t *from, size_t rows, size_t cols)
{
    const size_t ld = cols + GAP, bytes = rows * ld * sizeof(float);
    float *to = ac_malloc(bytes ? bytes : 1);
    assert_non_null(to);
    memset(to, GAP_BYTE, bytes);
    for (size_t i = 0; i < rows && from && cols; i++)
        memcpy(to + i * ld, from + i * cols * sizeof(float), cols * sizeof(float));
    return to;
}

/* ---- one product of the file ---------------------------------------------------------------------------- */

typedef struct {
    ac_matmul_args args;
    float *a, *want;
    uint8_t *b;
    const uint8_t *old;
} product;

static product take_product(void)
{
    static const ac_dtype types[] = { AC_F32, AC_BF16, AC_Q8_0 };
    const uint32_t form = take_u32(), type = take_u32();
    const size_t m = take_u32(), n = take_u32(), k = take_u32();
    product p = { .args = { .form = (ac_mm_form)form, .m = m, .n = n, .k = k, .accumulate = take_u32() != 0,
                            .numerics = AC_NUM_BF16 } };
    assert_true(form <= AC_MM_TN && type < AC_COUNTOF(types) && m < 4096 && n < 4096 && k < 4096);
    p.args.b_type = types[type];
    const bool is_tn = form == AC_MM_TN, is_nt = form == AC_MM_NT;
    const size_t a_rows = is_tn ? k : m, a_cols = is_tn ? m : k;
    p.a = spread(take(a_rows * a_cols * sizeof(float)), a_rows, a_cols);
    p.args.a = p.a;
    p.args.lda = a_cols + GAP;
    assert_true(ac_dtype_row_bytes(&p.args.b_row_bytes, p.args.b_type, is_nt ? k : n));
    const size_t b_bytes = (is_nt ? n : k) * p.args.b_row_bytes;
    p.b = ac_malloc(b_bytes ? b_bytes : 1);
    assert_non_null(p.b);
    memcpy(p.b, take(b_bytes), b_bytes);
    p.args.b = p.b;
    p.old = take(m * n * sizeof(float));
    p.want = spread(take(m * n * sizeof(float)), m, n);
    p.args.ldc = n + GAP;
    return p;
}

static void check_product(const ac_kernels *t, const product *p, const char *route)
{
    ac_matmul_args g = p->args;
    for (size_t i = 0; i < POOLS; i++) {
        float *c = spread(p->old, g.m, g.n);
        g.c = c;
        ac_matmul(t, g_pool[i], g_ws, &g);
        if (memcmp(c, p->want, g.m * g.ldc * sizeof(float)) != 0)
            fail_msg("%s, %s, %zu threads: form %d, %s, m %zu n %zu k %zu%s", ac_cpu_name(t->tier), route, i + 1,
                     (int)g.form, ac_dtype_name(g.b_type), g.m, g.n, g.k, g.accumulate ? ", accumulating" : "");
        ac_free(c);
        g_products++;
    }
}

/* ---- tests ---------------------------------------------------------------------------------------------- */

static void test_rounding(void **state)
{
    AC_UNUSED(state);
    const size_t n = take_u32();
    assert_true(n > 400);
    for (size_t i = 0; i < n; i++) {
        const uint32_t in = take_u32(), want = take_u32();
        float x;
        uint32_t got;
        memcpy(&x, &in, sizeof x);
        x = ac_bf16_round(x);
        memcpy(&got, &x, sizeof got);
        if (got != want) fail_msg("bfloat16 of %08x: got %08x, want %08x", in, got, want);
    }
}

/* The tier's own way, and the CPU's instruction where the tier has it. One that failed its test at start-up is not
 * used, which is right for a user and would hide a mistake of ours here. */
static void check_tier(ac_cpu tier, const product *p)
{
    ac_kernels t;
    if (ac_kernels_init(&t, tier, NULL) != AC_OK) return;
    const bool has = ac_kernels_use_bf16_instruction(&t, true);
    if (tier == AC_CPU_AVX512 && (ac_cpu_flags() & AC_HAS_AVX512_BF16) && !has)
        fail_msg("avx512: vdpbf16ps failed its test at start-up: other bits than the tiles");
    if (has) check_product(&t, p, "instruction");
    ac_kernels_use_bf16_instruction(&t, false);
    check_product(&t, p, "tiles");
}

static void test_products(void **state)
{
    AC_UNUSED(state);
    const size_t n = take_u32();
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        product p = take_product();
        for (ac_cpu c = AC_CPU_REF; c <= AC_CPU_NEON; c++)
            check_tier(c, &p);
        ac_free(p.a);
        ac_free(p.b);
        ac_free(p.want);
    }
    assert_true(g_at == g_file.len);
    print_message("%zu products compared\n", g_products);
}

/* The same numbers under fp32/1 give other bits: the numerics is not ignored. */
static void test_numerics_matters(void **state)
{
    AC_UNUSED(state);
    ac_kernels t;
    assert_int_equal(ac_kernels_init(&t, AC_CPU_AUTO, NULL), AC_OK);
    const float a = 1.00390625f + 0x1p-20f, b = 1;      /* over the middle of two bfloat16 */
    float c[2];
    ac_matmul_args g = { .form = AC_MM_NT, .m = 1, .n = 1, .k = 1, .a = &a, .lda = 1, .b = &b, .b_type = AC_F32,
                         .b_row_bytes = sizeof b, .c = &c[0], .ldc = 1 };
    ac_matmul(&t, g_pool[0], g_ws, &g);
    g.numerics = AC_NUM_BF16;
    g.c = &c[1];
    ac_matmul(&t, g_pool[0], g_ws, &g);
    assert_true(c[0] == a);
    assert_true(c[1] == 1.0078125f);
}

static int open_all(void **state)
{
    AC_UNUSED(state);
    if (ac_map_open(&g_file, ACCORD_SOURCE_DIR "/tests/oracle/bf16.bin", NULL) != AC_OK) return -1;
    if (memcmp(take(4), "ACB1", 4) != 0) return -1;
    for (size_t i = 0; i < POOLS; i++)
        if (ac_pool_open(&g_pool[i], i + 1, NULL) != AC_OK) return -1;
    return ac_mm_workspace_open(&g_ws, POOLS, NULL) == AC_OK ? 0 : -1;
}

static int close_all(void **state)
{
    AC_UNUSED(state);
    ac_mm_workspace_close(&g_ws);
    for (size_t i = 0; i < POOLS; i++)
        ac_pool_close(&g_pool[i]);
    ac_map_close(&g_file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_numerics_matters),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
