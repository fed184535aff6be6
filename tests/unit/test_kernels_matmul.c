/* The matrix product: rule B3 spelled out again here by hand, threads, page ends, the distance from binary64.
 * Expansion: against blocks that the gguf package expanded, every binary16. The many shapes are in
 * tests/kernels/ck_matmul.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/size.h"
#include "kernels/kernels_int.h"

static ac_kernels g_tier[3];
static size_t g_tiers;

static void fill_tiers(void)
{
    const unsigned flags = ac_cpu_flags();
    ac_kernels_fill_mm_ref(&g_tier[0]);
    g_tier[0].tier = AC_CPU_REF;
    g_tiers = 1;
#if AC_ARCH_X86
    if (flags & AC_HAS_AVX2) {
        g_tier[1] = g_tier[0];
        ac_kernels_fill_mm_avx2(&g_tier[1]);
        g_tier[1].tier = AC_CPU_AVX2;
        g_tiers = 2;
    }
    if (flags & AC_HAS_AVX512) {
        g_tier[2] = g_tier[1];
        ac_kernels_fill_mm_avx512(&g_tier[2]);
        g_tier[2].tier = AC_CPU_AVX512;
        g_tiers = 3;
    }
#endif
    for (size_t i = g_tiers; i < 3; i++)
        print_message("not run: tier %s\n", ac_cpu_name((ac_cpu)(AC_CPU_REF + i)));
    AC_UNUSED(flags);
}

/* ---- buffers that end at a page that may not be touched ------------------------------------------ */

typedef struct {
    uint8_t *map, *ptr;
    size_t map_bytes, bytes;
} guarded;

static guarded guarded_new(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = { .bytes = bytes };
    g.map_bytes = (bytes + page - 1) / page * page + 2 * page;
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + g.map_bytes - page, page, PROT_NONE), 0);
    g.ptr = g.map + g.map_bytes - page - bytes;
    return g;
}

static void guarded_free(guarded *g)
{
    munmap(g->map, g->map_bytes);
    *g = (guarded){0};
}

/* ---- data ---------------------------------------------------------------------------------------- */

static uint64_t g_seed = 1;

static uint32_t draw(void)
{
    static uint64_t index;
    return ac_rng_u32(g_seed, AC_RNG_TEST, 0, index++);
}

/* Mostly ordinary numbers, some tiny, huge, denormal or signed zero. */
static float draw_float(void)
{
    const uint32_t r = draw(), kind = r & 63u;
    const float u = (float)(int32_t)draw() * 0x1p-31f;
    if (kind == 0) return u < 0 ? -0.0f : 0.0f;
    if (kind == 1) return u * 0x1p-130f;
    if (kind == 2) return u * 0x1p40f;
    if (kind == 3) return u * 0x1p-70f;
    return u;
}

static void fill_floats(float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = draw_float();
}

static void put_scale(uint8_t *p)
{
    const uint16_t h = (uint16_t)(0x2000u + (draw() & 0x8fffu));   /* finite, moderate, either sign */
    memcpy(p, &h, 2);
}

static void fill_stored(uint8_t *p, ac_dtype type, size_t rows, size_t row_elems, size_t row_bytes)
{
    const size_t blocks = row_elems / ac_dtype_block_elems(type), bytes = ac_dtype_block_bytes(type);
    for (size_t r = 0; r < rows; r++) {
        for (size_t b = 0; b < blocks; b++) {
            uint8_t *q = p + r * row_bytes + b * bytes;
            for (size_t i = 0; i < bytes; i++)
                q[i] = (uint8_t)draw();
            const float f = draw_float();
            switch (type) {
            case AC_F32: case AC_NF4: memcpy(q, &f, 4); break;
            case AC_F16: put_scale(q); break;
            case AC_BF16: memcpy(q, (const uint8_t *)&f + 2, 2); break;
            case AC_Q6_K: put_scale(q + 208); break;
            case AC_Q4_1: case AC_Q5_1: case AC_Q4_K: case AC_Q5_K:
                put_scale(q);
                put_scale(q + 2);
                break;
            default: put_scale(q); break;
            }
        }
    }
}

/* ---- one product ---------------------------------------------------------------------------------- */

typedef struct {
    ac_mm_form form;
    ac_dtype type;
    size_t m, n, k, pad_a, pad_b, pad_c;   /* pads: extra floats, blocks, floats a row */
    bool accumulate;
} mm_case;

typedef struct {
    ac_matmul_args args;
    guarded a, b, c;
} product;

static size_t rows_span(size_t rows, size_t stride, size_t last)
{
    return rows ? (rows - 1) * stride + last : 0;
}

static product product_new(const mm_case *t)
{
    product p = {0};
    const size_t a_rows = t->form == AC_MM_TN ? t->k : t->m, a_cols = t->form == AC_MM_TN ? t->m : t->k;
    const size_t b_rows = t->form == AC_MM_NT ? t->n : t->k, b_cols = t->form == AC_MM_NT ? t->k : t->n;
    const size_t lda = a_cols + t->pad_a, ldc = t->n + t->pad_c, bb = ac_dtype_block_bytes(t->type);
    size_t b_bytes = 0;
    assert_true(ac_dtype_row_bytes(&b_bytes, t->type, b_cols));
    const size_t stride = b_bytes + t->pad_b * bb;
    p.a = guarded_new(rows_span(a_rows, lda, a_cols) * sizeof(float));
    p.b = guarded_new(rows_span(b_rows, stride, b_bytes));
    p.c = guarded_new(rows_span(t->m, ldc, t->n) * sizeof(float));
    fill_floats((float *)(void *)p.a.ptr, p.a.bytes / 4);
    fill_stored(p.b.ptr, t->type, b_rows, b_cols, stride);
    fill_floats((float *)(void *)p.c.ptr, p.c.bytes / 4);
    p.args = (ac_matmul_args){ .form = t->form, .m = t->m, .n = t->n, .k = t->k,
        .a = (const float *)(const void *)p.a.ptr, .lda = lda, .b = p.b.ptr, .b_type = t->type,
        .b_row_bytes = stride, .c = (float *)(void *)p.c.ptr, .ldc = ldc, .accumulate = t->accumulate };
    return p;
}

static void product_free(product *p)
{
    guarded_free(&p->a);
    guarded_free(&p->b);
    guarded_free(&p->c);
}

static void say(const char *what, ac_cpu tier, const mm_case *t)
{
    static const char *const forms[] = { "nt", "nn", "tn" };
    fprintf(stderr, "%s: tier %s, %s %s m=%zu n=%zu k=%zu pads %zu %zu %zu%s\n", what,
            ac_cpu_name(tier), forms[t->form], ac_dtype_name(t->type), t->m, t->n, t->k, t->pad_a,
            t->pad_b, t->pad_c, t->accumulate ? " accumulate" : "");
}

/* Runs the case on every tier and thread count; each must leave ref's bytes in C, and in the gaps
 * between C's rows, and must leave A and B alone. */
static void check_case(const mm_case *t, ac_pool **pools, size_t n_pools, ac_mm_workspace *ws)
{
    product p = product_new(t);
    uint8_t *start = ac_malloc(p.c.bytes), *want = ac_malloc(p.c.bytes), *in = ac_malloc(p.a.bytes + p.b.bytes);
    assert_true(start && want && in);
    memcpy(start, p.c.ptr, p.c.bytes);
    memcpy(in, p.a.ptr, p.a.bytes);
    memcpy(in + p.a.bytes, p.b.ptr, p.b.bytes);
    g_tier[0].matmul(&p.args, ws, 0);
    memcpy(want, p.c.ptr, p.c.bytes);
    for (size_t i = 0; i < g_tiers; i++) {
        for (size_t j = i ? 0 : 1; j < n_pools; j++) {
            memcpy(p.c.ptr, start, p.c.bytes);
            ac_matmul(&g_tier[i], pools[j], ws, &p.args);
            const bool same = memcmp(p.c.ptr, want, p.c.bytes) == 0 &&
                memcmp(in, p.a.ptr, p.a.bytes) == 0 && memcmp(in + p.a.bytes, p.b.ptr, p.b.bytes) == 0;
            if (!same) say("bytes differ", g_tier[i].tier, t);
            assert_true(same);
        }
    }
    ac_free(start);
    ac_free(want);
    ac_free(in);
    product_free(&p);
}

typedef struct {
    ac_pool *pool[4];
    ac_mm_workspace *ws;
} rig;

static rig rig_open(void)
{
    static const size_t counts[] = { 1, 2, 3, 7 };
    rig r;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ac_pool_open(&r.pool[i], counts[i], NULL), AC_OK);
    assert_int_equal(ac_mm_workspace_open(&r.ws, 7, NULL), AC_OK);
    return r;
}

static void rig_close(rig *r)
{
    for (size_t i = 0; i < 4; i++)
        ac_pool_close(&r->pool[i]);
    ac_mm_workspace_close(&r->ws);
}

static const ac_dtype types[] = { AC_F32, AC_F16, AC_BF16, AC_Q8_0, AC_Q4_0, AC_Q4_1, AC_Q5_0, AC_Q5_1,
                                  AC_Q4_K, AC_Q5_K, AC_Q6_K, AC_NF4 };

static void test_threads_give_refs_bytes(void **state)
{
    AC_UNUSED(state);
    static const mm_case cases[] = {
        { AC_MM_NT, AC_Q4_1, 470, 96, 640, 0, 0, 0, false }, { AC_MM_NN, AC_Q4_1, 470, 64, 640, 0, 0, 3, true },
        { AC_MM_NT, AC_F32, 30, 1400, 530, 0, 0, 0, true },  { AC_MM_NN, AC_F32, 2, 1400, 530, 1, 0, 0, true },
        { AC_MM_TN, AC_F32, 500, 16, 530, 0, 0, 0, true },   { AC_MM_TN, AC_F32, 16, 700, 530, 0, 0, 0, false },
        { AC_MM_NT, AC_Q8_0, 1, 1500, 576, 0, 0, 0, false }, { AC_MM_NT, AC_F16, 700, 600, 530, 0, 0, 0, true }, { AC_MM_NN, AC_Q6_K, 460, 512, 40, 0, 0, 0, false },
    };
    rig r = rig_open();
    for (size_t i = 0; i < AC_COUNTOF(cases); i++)
        check_case(&cases[i], &r.pool[1], 3, r.ws);
    rig_close(&r);
}

/* A small worked product whose order is written out here, apart from ref's own loops. */
static void test_order_of_operations(void **state)
{
    AC_UNUSED(state);
    for (size_t f = AC_MM_NT; f <= AC_MM_TN; f++) {
        const mm_case t = { .form = (ac_mm_form)f, .type = AC_F32, .m = 3, .n = 2, .k = 1100,
                            .accumulate = f == AC_MM_NN };
        product p = product_new(&t);
        float old[6];
        memcpy(old, p.args.c, sizeof old);
        g_tier[0].matmul(&p.args, NULL, 0);
        const float *a = p.args.a, *b = p.args.b;
        for (size_t i = 0; i < 3; i++) {
            for (size_t j = 0; j < 2; j++) {
                float block[3] = {0};
                for (size_t q = 0; q < 1100; q++) {
                    const float x = f == AC_MM_TN ? a[q * 3 + i] : a[i * 1100 + q];
                    const float y = f == AC_MM_NT ? b[j * 1100 + q] : b[q * 2 + j];
                    block[q / 512] = fmaf(x, y, block[q / 512]);
                }
                float s = block[0] + block[1];
                s = s + block[2];
                const float want = t.accumulate ? old[i * 2 + j] + s : s;
                assert_memory_equal(&want, &p.args.c[i * 2 + j], 4);
            }
        }
        product_free(&p);
    }
}

/* An error bound of the chain: every rounding is at most 2^-24 of a partial sum of magnitudes. */
static void test_distance_from_binary64(void **state)
{
    AC_UNUSED(state);
    enum { M = 20, N = 30, K = 2048 };
    float *a = ac_malloc(M * K * 4), *b = ac_malloc(N * K * 4), *c = ac_malloc(M * N * 4);
    assert_true(a && b && c);
    for (size_t i = 0; i < M * K; i++) a[i] = (float)(int32_t)draw() * 0x1p-31f;
    for (size_t i = 0; i < N * K; i++) b[i] = (float)(int32_t)draw() * 0x1p-31f;
    const ac_matmul_args g = { .form = AC_MM_NT, .m = M, .n = N, .k = K, .a = a, .lda = K, .b = b,
                               .b_type = AC_F32, .b_row_bytes = K * 4, .c = c, .ldc = N };
    g_tier[0].matmul(&g, NULL, 0);
    double worst = 0;
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double s = 0, mag = 0;
            for (size_t q = 0; q < K; q++) {
                s += (double)a[i * K + q] * (double)b[j * K + q];
                mag += fabs((double)a[i * K + q] * (double)b[j * K + q]);
            }
            const double e = fabs((double)c[i * N + j] - s) / mag;
            if (e > worst) worst = e;
        }
    }
    print_message("worst error at k=2048: %.2e of the sum of magnitudes\n", worst);
    assert_true(worst < 1.2e-7);   /* measured 4e-8; 516 roundings could make 3.1e-5 */
    ac_free(a);
    ac_free(b);
    ac_free(c);
}

/* ---- expansion ------------------------------------------------------------------------------------ */

static ac_dtype type_named(const char *name)
{
    for (size_t i = 0; i < AC_COUNTOF(types); i++)
        if (strcmp(ac_dtype_name(types[i]), name) == 0) return types[i];
    fail_msg("quants.bin names an unknown type: %s", name);
    return AC_F32;
}

static void test_expand_against_oracle(void **state)
{
    AC_UNUSED(state);
    ac_map m;
    assert_int_equal(ac_map_open(&m, ACCORD_SOURCE_DIR "/tests/oracle/quants.bin", NULL), AC_OK);
    size_t at = 4, seen = 0;
    assert_memory_equal(m.ptr, "ACQ1", 4);
    while (at + 16 <= m.len) {
        char name[9] = {0};
        memcpy(name, m.ptr + at, 8);
        const ac_dtype type = type_named(name);
        const size_t n = ac_load_u32(m.ptr + at + 8), raw = ac_load_u32(m.ptr + at + 12);
        at += 16;
        assert_true(at + raw + 4 * n <= m.len);
        for (size_t i = 0; i < g_tiers; i++) {
            guarded src = guarded_new(raw), dst = guarded_new(4 * n);
            memcpy(src.ptr, m.ptr + at, raw);
            g_tier[i].expand_row((float *)(void *)dst.ptr, src.ptr, type, n);
            const bool same = memcmp(dst.ptr, m.ptr + at + raw, 4 * n) == 0;
            if (!same) fprintf(stderr, "expand_row: tier %s, type %s\n", ac_cpu_name(g_tier[i].tier), name);
            assert_true(same);
            guarded_free(&src);
            guarded_free(&dst);
        }
        at += raw + 4 * n;
        seen++;
    }
    assert_int_equal(at, m.len);
    assert_int_equal(seen, 10);
    ac_map_close(&m);
}

static void test_expand_tiers_agree(void **state)
{
    AC_UNUSED(state);
    for (size_t j = 0; j < AC_COUNTOF(types); j++) {
        const size_t elems = ac_dtype_block_elems(types[j]);
        for (size_t blocks = 0; blocks < 40; blocks++) {
            const size_t n = blocks * elems, raw = blocks * ac_dtype_block_bytes(types[j]);
            guarded src = guarded_new(raw), want = guarded_new(4 * n), got = guarded_new(4 * n);
            fill_stored(src.ptr, types[j], 1, n, raw);
            g_tier[0].expand_row((float *)(void *)want.ptr, src.ptr, types[j], n);
            for (size_t i = 1; i < g_tiers; i++) {
                memset(got.ptr, 0xff, 4 * n);
                g_tier[i].expand_row((float *)(void *)got.ptr, src.ptr, types[j], n);
                assert_true(memcmp(got.ptr, want.ptr, 4 * n) == 0);
            }
            guarded_free(&src);
            guarded_free(&want);
            guarded_free(&got);
        }
    }
}

static void test_f16_every_value(void **state)
{
    AC_UNUSED(state);
    uint16_t *h = ac_malloc(65536 * 2);
    float *f = ac_malloc(65536 * 4);
    assert_true(h && f);
    for (size_t i = 0; i < 65536; i++)
        h[i] = (uint16_t)i;
    for (size_t t = 0; t < g_tiers; t++) {
        g_tier[t].expand_row(f, h, AC_F16, 65536);
        for (size_t i = 0; i < 65536; i++) {
            const int e = (int)(i >> 10 & 31), man = (int)(i & 1023);
            if (e == 31) {
                assert_true(man ? isnan(f[i]) : isinf(f[i]));
                continue;
            }
            const double mag = e ? ldexp(1024 + man, e - 25) : ldexp(man, -24);
            const float want = (float)(i & 0x8000 ? -mag : mag);
            assert_memory_equal(&want, &f[i], 4);
        }
    }
    ac_free(h);
    ac_free(f);
}

static void test_workspace_faults(void **state)
{
    AC_UNUSED(state);
    ac_mm_workspace *w = NULL;
    ac_err err = {0};
    assert_int_equal(ac_mm_workspace_open(&w, SIZE_MAX / 2, &err), AC_ENOMEM);
    assert_null(w);
    assert_true(err.text[0]);
    ac_mm_workspace_close(&w);
    assert_int_equal(ac_mm_workspace_open(&w, 0, NULL), AC_OK);
    ac_mm_workspace_close(&w);
    assert_null(w);
}

int main(void)
{
    fill_tiers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_operations),
        cmocka_unit_test(test_distance_from_binary64),
        cmocka_unit_test(test_expand_against_oracle),
        cmocka_unit_test(test_expand_tiers_agree),
        cmocka_unit_test(test_f16_every_value),
        cmocka_unit_test(test_threads_give_refs_bytes),
        cmocka_unit_test(test_workspace_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
