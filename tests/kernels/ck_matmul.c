/* kernels/ck_matmul.c - products and expansion: every form, stored type, tier and thread count gives ref's
 * bytes; ref itself is held against binary64. */
#include "kernels/checkkern.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

typedef struct {
    ac_mm_form form;
    ac_dtype type;
    size_t m, n, k, pad_a, pad_b, pad_c;   /* pads: extra floats, blocks, floats a row */
    bool accumulate;
    ck_data data;
    ac_numerics numerics;
} mm_case;

typedef struct {
    ac_matmul_args args;
    const float *c_old;
    size_t c_floats;
} product;

static const char *const forms[] = { "nt", "nn", "tn" };
static const ac_dtype types[] = { AC_F32, AC_F16, AC_BF16, AC_Q8_0, AC_Q4_0, AC_Q4_1, AC_Q5_0, AC_Q5_1,
                                  AC_Q4_K, AC_Q5_K, AC_Q6_K, AC_NF4 };
static const size_t thread_counts[] = { 1, 2, 3, 7 };

static ac_mm_workspace *workspace(void)
{
    static ac_mm_workspace *w;
    if (!w && ac_mm_workspace_open(&w, 7, NULL)) {
        fprintf(stderr, "checkkern: no memory for a workspace\n");
        exit(70);
    }
    return w;
}

static size_t span(size_t rows, size_t stride, size_t last)
{
    return rows ? (rows - 1) * stride + last : 0;
}

/* A finite scale of either sign, or now and then a denormal or a zero. */
static bool plain_scales;      /* as files have them: offsets of the size of a few steps (few_int.h, K4) */

static void put_scale(ck *t, uint8_t *p)
{
    const uint32_t r = ck_u32(t);
    if (plain_scales) {
        const uint16_t h0 = (uint16_t)(0x2c00u + (r & 0x87ffu));
        memcpy(p, &h0, sizeof h0);
        return;
    }
    const uint16_t h = (uint16_t)(r % 32 ? 0x2000u + (r & 0x8fffu) : r >> 8 & 0x83ffu);
    memcpy(p, &h, sizeof h);
}

static void fill_block(ck *t, uint8_t *p, ac_dtype type, float plain)
{
    for (size_t i = 0; i < ac_dtype_block_bytes(type); i++)
        p[i] = (uint8_t)ck_u32(t);
    switch (type) {
    case AC_F32: case AC_NF4: memcpy(p, &plain, sizeof plain); return;
    case AC_BF16: memcpy(p, (const uint8_t *)&plain + 2, 2); return;
    case AC_Q6_K: put_scale(t, p + 208); return;
    case AC_Q4_1: case AC_Q5_1: case AC_Q4_K: case AC_Q5_K: put_scale(t, p + 2); break;
    default: break;
    }
    put_scale(t, p);
}

/* Rows of stored numbers, as an input that must come out unchanged. */
static const void *stored_rows(ck *t, ac_dtype type, ck_data data, size_t rows, size_t row_elems,
                               size_t row_bytes, size_t stride)
{
    const size_t blocks = row_elems / ac_dtype_block_elems(type), n = span(rows, stride, row_bytes);
    uint8_t *p = ck_bytes(t, n);
    const float *plain = ck_f32(t, rows * blocks, data);
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < blocks; b++)
            fill_block(t, p + r * stride + b * ac_dtype_block_bytes(type), type, plain[r * blocks + b]);
    return ck_input(t, p, n);
}

static product make_product(ck *t, const mm_case *c)
{
    const size_t a_rows = c->form == AC_MM_TN ? c->k : c->m, a_cols = c->form == AC_MM_TN ? c->m : c->k;
    const size_t b_rows = c->form == AC_MM_NT ? c->n : c->k, b_cols = c->form == AC_MM_NT ? c->k : c->n;
    size_t b_bytes = 0;
    if (!ac_dtype_row_bytes(&b_bytes, c->type, b_cols)) ck_fail(t, "the case's rows are not whole blocks");
    product p = { .args = { .form = c->form, .m = c->m, .n = c->n, .k = c->k, .lda = a_cols + c->pad_a,
        .b_type = c->type, .b_row_bytes = b_bytes + c->pad_b * ac_dtype_block_bytes(c->type),
        .ldc = c->n + c->pad_c, .accumulate = c->accumulate, .numerics = c->numerics } };
    p.args.a = ck_f32(t, span(a_rows, p.args.lda, a_cols), c->data);
    p.args.b = stored_rows(t, c->type, c->data, b_rows, b_cols, b_bytes, p.args.b_row_bytes);
    p.c_floats = span(c->m, p.args.ldc, c->n);
    p.c_old = ck_f32(t, p.c_floats, CK_UNIT);
    return p;
}

/* Each element of ref's C against the sum in binary64, in ulp of the sum of magnitudes: measured 13, for
 * chains of 512 numbers of one sign; typical 2. */
static void check_accuracy(ck *t, const product *p, const float *got)
{
    const ac_matmul_args *g = &p->args;
    const size_t rows = g->form == AC_MM_NT ? g->n : g->k, cols = g->form == AC_MM_NT ? g->k : g->n;
    float *b = ck_out(t, rows * cols);
    for (size_t r = 0; r < rows; r++)
        t->ref.expand_row(b + r * cols, (const uint8_t *)g->b + r * g->b_row_bytes, g->b_type, cols);
    for (size_t i = 0; i < g->m; i++) {
        for (size_t j = 0; j < g->n; j++) {
            const double old = g->accumulate ? (double)p->c_old[i * g->ldc + j] : 0;
            double sum = old, magnitude = fabs(old);
            for (size_t q = 0; q < g->k; q++) {
                float x = g->form == AC_MM_TN ? g->a[q * g->lda + i] : g->a[i * g->lda + q];
                float y = g->form == AC_MM_NT ? b[j * cols + q] : b[q * cols + j];
                if (g->numerics == AC_NUM_BF16) {
                    x = ac_bf16_round(x);
                    y = ac_bf16_round(y);
                }
                sum += (double)x * (double)y;
                magnitude += fabs((double)x * (double)y);
            }
            ck_near_double(t, &got[i * g->ldc + j], &sum, 1, (ck_tol){ .ulp = 24, .relative_to = magnitude });
        }
    }
}

static void one_matmul(ck *t, const mm_case *c, size_t n_threads)
{
    const product p = make_product(t, c);
    float *want = ck_copy(t, p.c_old, p.c_floats), *got = ck_copy(t, p.c_old, p.c_floats);
    ac_matmul_args g = p.args;
    g.c = want;
    t->ref.matmul(&g, workspace(), 0);
    if (t->is_ref) check_accuracy(t, &p, want);
    g.c = got;
    CK_CALL(t, t->tier.matmul(&g, workspace(), 6));
    ck_same_floats(t, got, want, p.c_floats);
    for (size_t i = 0; i < n_threads; i++) {
        memcpy(got, p.c_old, p.c_floats * sizeof *got);
        CK_CALL(t, ac_matmul(&t->tier, ck_pool(t, thread_counts[i]), workspace(), &g));
        ck_same_floats(t, got, want, p.c_floats);
    }
}

/* The same from weights laid out ahead; rows from the middle of them on, too. */
static void one_packed(ck *t, const mm_case *c, size_t n_threads)
{
    const product p = make_product(t, c);
    ac_matmul_args g = p.args;
    float *want = ck_copy(t, p.c_old, p.c_floats), *got = ck_copy(t, p.c_old, p.c_floats);
    ac_packed *packed = NULL;
    ac_err err = { 0 };
    g.c = want;
    t->ref.matmul(&g, workspace(), 0);
    if (ac_packed_open(&packed, ck_pool(t, 3), g.b_type, g.b, g.b_row_bytes, g.n, g.k, &err)) {
        ck_fail(t, "%s", err.text);
        return;
    }
    g.c = got;
    g.packed = packed;
    CK_CALL(t, t->tier.matmul(&g, workspace(), 6));
    ck_same_floats(t, got, want, p.c_floats);
    for (size_t i = 0; i < n_threads; i++) {
        memcpy(got, p.c_old, p.c_floats * sizeof *got);
        CK_CALL(t, ac_matmul(&t->tier, ck_pool(t, thread_counts[i]), workspace(), &g));
        ck_same_floats(t, got, want, p.c_floats);
    }
    if (g.n > 32) {                        /* two products in one run, cut inside a group */
        ac_matmul_args two[2] = { g, g };
        memcpy(got, p.c_old, p.c_floats * sizeof *got);
        two[0].n = 32;
        two[1].n = g.n - 32;
        two[1].b = (const uint8_t *)g.b + 32 * g.b_row_bytes;
        two[1].packed_row = 32;
        two[1].c = got + 32;
        CK_CALL(t, ac_matmul_several(&t->tier, ck_pool(t, 3), workspace(), two, 2));
        ck_same_floats(t, got, want, p.c_floats);
    }
    ac_packed_close(&packed);
}

/* The same with A laid out once by the caller, in two cuts; counted in no digest, as not every tier does it. */
static void one_laid(ck *t, const ac_matmul_args *whole, const product *p, const float *want)
{
    ac_matmul_args g = *whole;
    const size_t tiles = ac_laid_tiles(&t->tier, g.m), floats = ac_laid_floats(&t->tier, g.m, g.k);
    if (!floats || g.form == AC_MM_TN) return;
    float *laid = ac_malloc_aligned(floats * sizeof *laid);
    if (!laid) {
        ck_fail(t, "no memory for A laid out");
        return;
    }
    CK_CALL(t, t->tier.lay_a(laid, g.a, g.lda, g.m, g.k, tiles / 2, tiles));
    CK_CALL(t, t->tier.lay_a(laid, g.a, g.lda, g.m, g.k, 0, tiles / 2));
    g.laid = laid;
    g.c = ck_copy(t, p->c_old, p->c_floats);
    CK_CALL(t, t->tier.matmul(&g, workspace(), 6));
    if (p->c_floats && memcmp(g.c, want, p->c_floats * sizeof *want) != 0) ck_fail(t, "A laid out once gives other bits");
    ac_free(laid);
}

/* The same from panels, and on the fly beside it. Where the tier makes use of them B itself is zeros, so that
 * nothing but the panels can give what ref gives. */
static void one_panels(ck *t, const mm_case *c, size_t n_threads)
{
    const product p = make_product(t, c);
    ac_matmul_args g = p.args;
    float *want = ck_copy(t, p.c_old, p.c_floats), *got = ck_copy(t, p.c_old, p.c_floats);
    ac_panels *panels = NULL;
    ac_err err = { 0 };
    g.c = want;
    t->ref.matmul(&g, workspace(), 0);
    if (ac_panels_open(&panels, &t->tier, ck_pool(t, 3), c->form, g.b_type, g.b, g.b_row_bytes, g.n, g.k, &err)) {
        ck_fail(t, "%s", err.text);
        return;
    }
    g.c = got;
    CK_CALL(t, t->tier.matmul(&g, workspace(), 6));         /* on the fly */
    ck_same_floats(t, got, want, p.c_floats);
    one_laid(t, &g, &p, want);
    g.panels = panels;
    one_laid(t, &g, &p, want);
    if (t->tier.panel_cols) {
        const size_t rows = c->form == AC_MM_NT ? c->n : c->k;
        uint8_t *other = ck_bytes(t, span(rows, g.b_row_bytes, g.b_row_bytes));
        memset(other, 0, span(rows, g.b_row_bytes, g.b_row_bytes));
        g.b = other;
    }
    memcpy(got, p.c_old, p.c_floats * sizeof *got);
    CK_CALL(t, t->tier.matmul(&g, workspace(), 6));
    ck_same_floats(t, got, want, p.c_floats);
    for (size_t i = 0; i < n_threads; i++) {
        memcpy(got, p.c_old, p.c_floats * sizeof *got);
        CK_CALL(t, ac_matmul(&t->tier, ck_pool(t, thread_counts[i]), workspace(), &g));
        ck_same_floats(t, got, want, p.c_floats);
    }
    ac_panels_close(&panels);
}

static void open_and_run(ck *t, const mm_case *c, size_t n_threads)
{
    if (ck_case(t, "matmul_%s_%s_%zux%zux%zu%s_%s%s", forms[c->form], ac_dtype_name(c->type), c->m, c->n, c->k,
                c->accumulate ? "_add" : "", ck_data_name(c->data), c->numerics == AC_NUM_BF16 ? "_bf16" : ""))
        one_matmul(t, c, n_threads);
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Around the tiles of all tiers (6 x 16, 14 x 32) and around the block of k; sides that a quantised type
 * cannot have grow to its next block. */
static void ck_matmul_shapes(ck *t)
{
    static const struct { size_t m, n, k; } shapes[] = {
        { 0, 5, 7 }, { 5, 0, 7 }, { 3, 5, 0 }, { 1, 1, 1 }, { 2, 3, 5 }, { 1, 33, 64 }, { 6, 16, 32 },
        { 7, 17, 33 }, { 13, 31, 31 }, { 14, 32, 32 }, { 15, 33, 65 }, { 29, 47, 511 }, { 5, 64, 512 },
        { 17, 40, 513 }, { 28, 96, 576 }, { 43, 16, 300 }, { 16, 70, 1023 }, { 9, 20, 1024 },
        { 4, 130, 1025 }, { 1, 200, 700 }, { 2, 161, 96 }, { 3, 129, 520 }, { 8, 65, 1600 },
        { 100, 48, 17 }, { 64, 16, 16 }, { 20, 15, 40 },
    };
    for (size_t i = 0; i < AC_COUNTOF(shapes); i++) {
        for (size_t f = AC_MM_NT; f <= AC_MM_TN; f++) {
            for (size_t j = 0; j < AC_COUNTOF(types); j++) {
                if (f == AC_MM_TN && types[j] != AC_F32) continue;
                mm_case c = { .form = (ac_mm_form)f, .type = types[j], .m = shapes[i].m, .n = shapes[i].n,
                    .k = shapes[i].k, .pad_a = i % 3 * 5, .pad_b = i % 2 * 3, .pad_c = i % 5,
                    .accumulate = (i + j + f) % 2 != 0, .data = (i + j) % 3 ? CK_UNIT : CK_WIDE };
                size_t *along = f == AC_MM_NT ? &c.k : &c.n;
                *along = round_up(*along, ac_dtype_block_elems(types[j]));
                open_and_run(t, &c, 2);
            }
        }
    }
}

/* Both ways of summing, all kinds of numbers, over more than one block of k. */
static void ck_matmul_data(ck *t)
{
    for (size_t d = 0; d < CK_N_DATA; d++)
        for (size_t f = AC_MM_NT; f <= AC_MM_TN; f++)
            for (size_t add = 0; add < 2; add++)
                open_and_run(t, &(mm_case){ (ac_mm_form)f, AC_F32, 19, 37, 530, 1, 0, 2, add != 0, (ck_data)d, AC_NUM_FP32 }, 1);
}

/* Every height of tile against every width of a panel. */
static void ck_matmul_tiles(ck *t)
{
    for (size_t m = 1; m <= 30; m++) {
        const size_t n = 1 + m * 7 % 66;
        open_and_run(t, &(mm_case){ AC_MM_NT, AC_F32, m, n, 37, 0, 0, 0, m % 2 != 0, CK_UNIT, AC_NUM_FP32 }, 1);
        open_and_run(t, &(mm_case){ AC_MM_TN, AC_F32, m, n, 37, 0, 0, 0, m % 2 == 0, CK_UNIT, AC_NUM_FP32 }, 1);
        open_and_run(t, &(mm_case){ AC_MM_NT, AC_Q4_1, m, n + 90, 160, 0, 0, 0, m % 3 == 0, CK_UNIT, AC_NUM_FP32 }, 1);
    }
}

/* Large enough for every loop and for each cut over threads. */
static void ck_matmul_large(ck *t)
{
    static const mm_case cases[] = {
        { AC_MM_NT, AC_Q4_1, 530, 96, 640, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NN, AC_Q4_1, 530, 64, 640, 0, 0, 3, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_F32, 30, 1400, 530, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NN, AC_F32, 2, 1400, 530, 1, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NN, AC_F32, 60, 700, 530, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_TN, AC_F32, 560, 16, 530, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_TN, AC_F32, 16, 700, 530, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        /* A laid side by side: two chunks; blocks of k, few rows of a wide matrix */
        { AC_MM_TN, AC_F32, 530, 196, 130, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_TN, AC_F32, 33, 200, 530, 490, 1, 3, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_F32, 640, 16, 300, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_Q8_0, 1, 1500, 576, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_F16, 700, 160, 200, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NN, AC_Q6_K, 130, 768, 40, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_Q5_K, 40, 90, 1280, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        /* sums beside C, more columns than they hold, of blocks of 256 */
        { AC_MM_NN, AC_Q4_K, 20, 1024, 530, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
    };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++)
        open_and_run(t, &cases[i], AC_COUNTOF(thread_counts));
}

/* Numerics BF16: every form and type around the pairs of k and its blocks, all kinds of numbers, each height. */
static void ck_matmul_bf16(ck *t)
{
    static const struct { size_t m, n, k; } shapes[] = {
        { 5, 7, 0 }, { 1, 1, 1 }, { 2, 3, 2 }, { 3, 33, 3 }, { 14, 32, 64 }, { 15, 33, 65 }, { 29, 47, 511 }, { 5, 64, 512 },
        { 17, 40, 513 }, { 43, 16, 300 }, { 16, 70, 1023 }, { 9, 20, 1024 }, { 4, 130, 1025 }, { 64, 16, 16 }, { 13, 16, 577 },
    };
    for (size_t i = 0; i < AC_COUNTOF(shapes); i++) {
        for (size_t f = AC_MM_NT; f <= AC_MM_TN; f++) {
            for (size_t j = 0; j < AC_COUNTOF(types); j++) {
                if (f == AC_MM_TN && types[j] != AC_F32) continue;
                mm_case c = { .form = (ac_mm_form)f, .type = types[j], .m = shapes[i].m, .n = shapes[i].n,
                    .k = shapes[i].k, .pad_a = i % 3 * 5, .pad_b = i % 2 * 3, .pad_c = i % 5,
                    .accumulate = (i + j + f) % 2 != 0, .data = (i + j) % 3 ? CK_UNIT : CK_WIDE,
                    .numerics = AC_NUM_BF16 };
                size_t *along = f == AC_MM_NT ? &c.k : &c.n;
                *along = round_up(*along, ac_dtype_block_elems(types[j]));
                open_and_run(t, &c, 1);
            }
        }
    }
    for (size_t d = 0; d < CK_N_DATA; d++)
        for (size_t f = AC_MM_NT; f <= AC_MM_TN; f++)
            for (size_t add = 0; add < 2; add++)
                open_and_run(t, &(mm_case){ (ac_mm_form)f, AC_F32, 19, 37, 530, 1, 0, 2, add != 0, (ck_data)d, AC_NUM_BF16 }, 1);
    for (size_t m = 1; m <= 30; m++)
        open_and_run(t, &(mm_case){ AC_MM_NT, AC_F32, m, 1 + m * 7 % 66, 37, 0, 0, 0, m % 2 != 0, CK_UNIT, AC_NUM_BF16 }, 1);
    open_and_run(t, &(mm_case){ AC_MM_NN, AC_Q4_1, 530, 64, 640, 0, 0, 3, true, CK_UNIT, AC_NUM_BF16 }, 4);
    open_and_run(t, &(mm_case){ AC_MM_TN, AC_F32, 560, 16, 530, 0, 0, 0, true, CK_UNIT, AC_NUM_BF16 }, 4);
    open_and_run(t, &(mm_case){ AC_MM_NT, AC_F16, 700, 160, 200, 0, 0, 0, true, CK_UNIT, AC_NUM_BF16 }, 4);
}

/* The rounding itself, against the nearest of the two neighbours in binary64. */
static void ck_bf16_round(ck *t)
{
    if (!ck_case(t, "bf16_round")) return;
    for (size_t i = 0; i < 200000; i++) {
        uint32_t u = ck_u32(t), low, high;
        if (i % 5 == 0) u = (u & 0x8000ffffu) | (0x23ff0000u + ((uint32_t)(i / 5 % 3) << 16));      /* about 2^-55 */
        if (i % 5 == 1) u = (u & 0xffff0000u) | 0x8000u;                              /* ties */
        if ((u & 0x7f800000u) == 0x7f800000u) continue;
        float x, lo, hi;
        low = u & 0xffff0000u, high = low + 0x10000u;
        memcpy(&x, &u, 4), memcpy(&lo, &low, 4), memcpy(&hi, &high, 4);
        const float got = ac_bf16_round(x);
        const double below = fabs((double)x - (double)lo), above = fabs((double)hi - (double)x);
        float want = below < above || (below == above && !(low >> 16 & 1)) ? lo : hi;
        if (fabsf(x) < 0x1p-55f) want = copysignf(0.0f, x);
        if ((high & 0x7f800000u) == 0x7f800000u) continue;                            /* above is no number */
        ck_same_floats(t, &got, &want, 1);
    }
}

/* ---- expansion ------------------------------------------------------------------------------------------- */

static void ck_expand(ck *t)
{
    for (size_t j = 0; j < AC_COUNTOF(types); j++) {
        const size_t elems = ac_dtype_block_elems(types[j]), bytes = ac_dtype_block_bytes(types[j]);
        for (size_t blocks = 0; blocks <= (elems > 1 ? 9u : 70u); blocks++) {
            const size_t n = blocks * elems;
            if (!ck_case(t, "expand_%s_%zu", ac_dtype_name(types[j]), n)) continue;
            const void *src = stored_rows(t, types[j], CK_WIDE, 1, n, blocks * bytes, blocks * bytes);
            float *want = ck_out(t, n), *got = ck_out(t, n);
            t->ref.expand_row(want, src, types[j], n);
            CK_CALL(t, t->tier.expand_row(got, src, types[j], n));
            ck_same_floats(t, got, want, n);
        }
    }
}

/* tests/oracle/quants.bin: blocks and what the gguf package makes of them (gen_quants.py). */
static void ck_expand_oracle(ck *t)
{
    ac_map m;
    if (ac_map_open(&m, ACCORD_SOURCE_DIR "/tests/oracle/quants.bin", NULL)) {
        if (ck_case(t, "expand_oracle")) ck_fail(t, "tests/oracle/quants.bin cannot be read");
        return;
    }
    for (size_t at = 4; at + 16 <= m.len;) {
        char name[9] = {0};
        uint32_t n, raw;
        memcpy(name, m.ptr + at, 8);
        memcpy(&n, m.ptr + at + 8, 4);
        memcpy(&raw, m.ptr + at + 12, 4);
        at += 16;
        if (ck_case(t, "expand_oracle_%s", name)) {
            size_t j = 0;
            while (j < AC_COUNTOF(types) && strcmp(ac_dtype_name(types[j]), name) != 0) j++;
            if (j == AC_COUNTOF(types) || at + raw + 4 * (size_t)n > m.len) {
                ck_fail(t, "quants.bin is not what this test reads");
            } else {
                const void *src = ck_input(t, m.ptr + at, raw);
                float *got = ck_out(t, n);
                CK_CALL(t, t->tier.expand_row(got, src, types[j], n));
                ck_same_bytes(t, got, m.ptr + at + raw, 4 * (size_t)n);
            }
        }
        at += raw + 4 * (size_t)n;
    }
    ac_map_close(&m);
}

/* ---- speed ------------------------------------------------------------------------------------------------ */

/* A taste; bench/bench_matmul has the shapes of whole models and their share of the peak. */
static void ck_matmul_speed(ck *t)
{
    static const mm_case cases[] = {
        { AC_MM_NT, AC_Q4_1, 256, 576, 576, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NN, AC_Q4_1, 256, 576, 576, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_Q8_0, 256, 576, 576, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_F32, 256, 576, 576, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_NT, AC_Q4_1, 1, 1536, 576, 0, 0, 0, false, CK_UNIT, AC_NUM_FP32 },
        { AC_MM_TN, AC_F32, 16, 576, 256, 0, 0, 0, true, CK_UNIT, AC_NUM_FP32 },
    };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        const mm_case *c = &cases[i];
        if (!ck_bench_case(t, "matmul_%s_%s_%zux%zux%zu", forms[c->form], ac_dtype_name(c->type), c->m, c->n, c->k))
            continue;
        const product p = make_product(t, c);
        ac_matmul_args g = p.args;
        g.c = ck_copy(t, p.c_old, p.c_floats);
        CK_BENCH(t, 2 * c->m * c->n * c->k, "flop", t->tier.matmul(&g, workspace(), 0));
    }
}

/* Few rows over weights laid out ahead: every height, columns and k around strips, groups and blocks. */
static void ck_packed(ck *t)
{
    static const struct { size_t n, k; } shapes[] = { { 1, 32 }, { 15, 96 }, { 17, 544 }, { 64, 512 }, { 100, 1056 },
                                                      { 131, 64 }, { 200, 608 } };
    static const ck_data data[] = { CK_UNIT, CK_WIDE, CK_TINY };
    for (size_t i = 0; i < AC_COUNTOF(types); i++) {
        const size_t elems = ac_dtype_block_elems(types[i]);
        if (!ac_packed_bytes(types[i], 1, elems)) continue;
        for (size_t j = 0; j < AC_COUNTOF(shapes); j++) {
            for (size_t m = 1; m <= 33; m += j == 5 ? 1 : m < 3 ? 1 : m < 12 ? 5 : 9) {
                const mm_case c = { .form = AC_MM_NT, .type = types[i], .m = m, .n = shapes[j].n,
                    .k = shapes[j].k - (elems == 1 ? m % 3 : 0), .pad_a = m % 2 * 3, .pad_b = j % 2, .pad_c = j,
                    .accumulate = (m + j) % 3 == 0, .data = data[(m + j) % AC_COUNTOF(data)] };
                plain_scales = m % 2;
                if (ck_case(t, "packed_%s_%zux%zux%zu%s_%s", ac_dtype_name(c.type), m, c.n, c.k,
                            c.accumulate ? "_add" : "", ck_data_name(c.data)))
                    one_packed(t, &c, j == 6 ? AC_COUNTOF(thread_counts) : 0);
                plain_scales = false;
            }
        }
    }
}

/* Weights laid out ahead for any m: the heights of all tiers, several chunks of rows, columns and k around panels,
 * groups and blocks, each stored type. */
static void ck_panels(ck *t)
{
    static const struct { size_t m, n, k; } shapes[] = {
        { 1, 64, 32 }, { 3, 96, 512 }, { 12, 160, 544 }, { 13, 32, 1024 }, { 29, 288, 576 }, { 64, 96, 1056 },
        { 64, 448, 96 }, { 65, 672, 544 }, { 530, 128, 64 }, { 1030, 96, 544 },
    };
    static const ck_data data[] = { CK_UNIT, CK_WIDE, CK_TINY };
    for (size_t i = 0; i < AC_COUNTOF(types); i++) {
        const size_t elems = ac_dtype_block_elems(types[i]);
        for (size_t j = 0; j < AC_COUNTOF(shapes); j++) {
            if (i && (shapes[j].m > 100 || (i + j) % 3)) continue;     /* other types: some of the small ones */
            for (size_t f = AC_MM_NT; f <= AC_MM_NN; f++) {
                mm_case c = { .form = (ac_mm_form)f, .type = types[i], .m = shapes[j].m,
                    .n = shapes[j].n - (elems == 1 ? j % 4 * 5 : 0), .k = shapes[j].k - (elems == 1 ? j % 3 : 0),
                    .pad_a = j % 2 * 3, .pad_b = j % 2, .pad_c = j % 5, .accumulate = (i + j + f) % 2 == 0,
                    .data = data[(i + j) % AC_COUNTOF(data)] };
                size_t *along = f == AC_MM_NT ? &c.k : &c.n;
                *along = round_up(*along, elems);
                if (ck_case(t, "panels_%s_%s_%zux%zux%zu%s_%s", forms[f], ac_dtype_name(c.type), c.m, c.n, c.k,
                            c.accumulate ? "_add" : "", ck_data_name(c.data)))
                    one_panels(t, &c, j % 3 == 0 ? AC_COUNTOF(thread_counts) : 1);
            }
        }
    }
    for (size_t m = 1; m <= 30; m++) {
        const mm_case c = { .form = m % 2 ? AC_MM_NT : AC_MM_NN, .type = AC_F32, .m = m, .n = 70 + m * 7 % 66, .k = 37,
                            .accumulate = m % 3 == 0, .data = CK_UNIT };
        if (ck_case(t, "panels_%s_height_%zu", forms[c.form], m)) one_panels(t, &c, 2);
    }
}

const ck_test ck_matmul_tests[] = {
    { "panels", ck_panels },
    { "packed", ck_packed },
    { "matmul_shapes", ck_matmul_shapes }, { "matmul_data", ck_matmul_data },
    { "matmul_tiles", ck_matmul_tiles },   { "matmul_large", ck_matmul_large },
    { "matmul_bf16", ck_matmul_bf16 },     { "bf16_round", ck_bf16_round },
    { "expand", ck_expand },               { "expand_oracle", ck_expand_oracle },
    { "matmul_speed", ck_matmul_speed },   { 0 },
};
