/* kernels/ref/matmul_ref.c - the matrix product as rule B3 says it, one element at a time.
 *
 *   S = block 0; for b = 1, 2, ...: S = S + block b            (k = 0: S = +0)
 *   block b = fma chain from +0 over k = 512 b .. 512 b + 511, ascending
 *   C = S, or C = C_old + S
 * Numerics BF16 rounds both factors and takes the k of a block in pairs, the odd one first.
 *
 * Only the expansion of B is done in pieces (a panel of 32 columns by one block of k), because a
 * quantised block cannot be read an element at a time without expanding it again and again. */
#include <math.h>
#include "kernels/kernels_int.h"

enum { COLS = 32, ROWS = 64, MAX_BLOCK = 256 };

/* panel[p][j] = element (k0 + p, j0 + j) of B for p < kc, j < nc. */
static void load_panel(float (*panel)[COLS], const ac_matmul_args *g, size_t k0, size_t kc, size_t j0,
                       size_t nc)
{
    const uint8_t *b = g->b;
    const size_t elems = ac_dtype_block_elems(g->b_type), bytes = ac_dtype_block_bytes(g->b_type);
    if (g->form == AC_MM_NT) {
        float row[AC_K_BLOCK];
        for (size_t j = 0; j < nc; j++) {
            ac_expand_row_ref(row, b + (j0 + j) * g->b_row_bytes + k0 / elems * bytes, g->b_type, kc);
            for (size_t p = 0; p < kc; p++)
                panel[p][j] = row[p];
        }
        return;
    }
    /* A panel may begin inside a block of 256 columns: expand from the block's start. */
    const size_t from = j0 / elems * elems, skip = j0 - from;
    const size_t take = (skip + nc + elems - 1) / elems * elems;
    for (size_t p = 0; p < kc; p++) {
        float row[MAX_BLOCK + COLS];
        ac_expand_row_ref(row, b + (k0 + p) * g->b_row_bytes + from / elems * bytes, g->b_type, take);
        memcpy(panel[p], row + skip, nc * sizeof(float));
    }
}

static float element_a(const ac_matmul_args *g, size_t i, size_t p)
{
    return g->form == AC_MM_TN ? g->a[p * g->lda + i] : g->a[i * g->lda + p];
}

/* One element's block of k, by the numerics asked for. */
static float block_fp32(const ac_matmul_args *g, float (*panel)[COLS], size_t i, size_t j, size_t k0, size_t kc)
{
    float chain = 0.0f;
    for (size_t p = 0; p < kc; p++)
        chain = fmaf(element_a(g, i, k0 + p), panel[p][j], chain);
    return chain;
}

static float block_bf16(const ac_matmul_args *g, float (*panel)[COLS], size_t i, size_t j, size_t k0, size_t kc)
{
    float chain = 0.0f;
    for (size_t p = 0; p < kc; p += 2) {
        const bool lone = p + 1 == kc;
        chain = fmaf(lone ? 0.0f : ac_bf16_round(element_a(g, i, k0 + p + 1)),
                     lone ? 0.0f : ac_bf16_round(panel[p + 1][j]), chain);
        chain = fmaf(ac_bf16_round(element_a(g, i, k0 + p)), ac_bf16_round(panel[p][j]), chain);
    }
    return chain;
}

static void tile(const ac_matmul_args *g, size_t i0, size_t mc, size_t j0, size_t nc)
{
    float sum[ROWS][COLS] = {{0}}, panel[AC_K_BLOCK][COLS];
    for (size_t k0 = 0; k0 < g->k; k0 += AC_K_BLOCK) {
        const size_t kc = g->k - k0 < AC_K_BLOCK ? g->k - k0 : AC_K_BLOCK;
        load_panel(panel, g, k0, kc, j0, nc);
        for (size_t i = 0; i < mc; i++) {
            for (size_t j = 0; j < nc; j++) {
                const float chain = g->numerics == AC_NUM_BF16 ? block_bf16(g, panel, i0 + i, j, k0, kc)
                                                               : block_fp32(g, panel, i0 + i, j, k0, kc);
                sum[i][j] = k0 ? sum[i][j] + chain : chain;
            }
        }
    }
    for (size_t i = 0; i < mc; i++) {
        float *c = g->c + (i0 + i) * g->ldc + j0;
        for (size_t j = 0; j < nc; j++)
            c[j] = g->accumulate ? c[j] + sum[i][j] : sum[i][j];
    }
}

static void matmul_ref(const ac_matmul_args *g, ac_mm_workspace *ws, size_t worker)
{
    AC_UNUSED(ws);
    AC_UNUSED(worker);
    for (size_t j0 = 0; j0 < g->n; j0 += COLS)
        for (size_t i0 = 0; i0 < g->m; i0 += ROWS)
            tile(g, i0, g->m - i0 < ROWS ? g->m - i0 : ROWS, j0, g->n - j0 < COLS ? g->n - j0 : COLS);
}

void ac_kernels_fill_mm_ref(ac_kernels *t)
{
    t->matmul = matmul_ref;
    t->expand_row = ac_expand_row_ref;
}
