/* kernels/matmul_int.h - the seam between the blocked product (matmul_blocks.c) and the tiers' tiles.
 *
 * T1  A tile owns its outputs: rows x cols of C, each with one chain over the k that it is given.
 * T2  A panel of B is nr columns wide and stands as [k][nr]; columns past the last one hold anything,
 *     because a tile never stores them.
 * T3  A is read at the strides a_row and a_k: where it lies, or, for enough columns, from a chunk that was laid out first,
 *     once for all of them: tile by tile, a step's elements side by side (a_row 1). A tile and its panel do not fit the
 *     L1 cache together, so A comes out of the L2 cache each time, and one stream of it comes sooner than fourteen;
 *     in TN a tile's k would be a walk over pages.
 * T4  The blocks call a tier with k cut on the blocks of B's type, so panels begin on block borders.
 * T5  Numerics BF16: A and B are packed as pairs of rounded elements, and a tile's kc counts what it multiplies.
 *     Without pair_tile the elements stand as binary32, the two of a pair exchanged, and `tile` does the written
 *     order; with it a pair is one 32-bit word, the even element below.
 * None of this can change a bit: every choice here is about where numbers lie and when they are moved. */
#ifndef AC_KERNELS_MATMUL_INT_H
#define AC_KERNELS_MATMUL_INT_H

#include "kernels/kernels_int.h"

typedef enum {
    AC_TILE_STORE,      /* c = chain from +0                                              */
    AC_TILE_ADD,        /* c = c + chain from +0                                          */
    AC_TILE_CONTINUE    /* c = chain that starts from c: a block of k given in pieces     */
} ac_tile_mode;

typedef struct {
    size_t kc;
    const float *a;
    size_t a_row, a_k;
    const float *b;
    size_t b_k;
    float *c;
    size_t ldc, cols;
    ac_tile_mode mode;
    const float *next;                 /* asked for, a line a step, where a_row is 1; NULL: nothing */
} ac_mm_tile;

typedef struct {
    size_t mr, nr;                     /* tallest tile; columns of a panel (divides 256) */
    void (*tile)(const ac_mm_tile *t, size_t rows);
    /* The same for few rows over several panels at once, so that enough chains are in flight; panel p
     * is at b + p * panel_stride and cols may reach wide_panels * nr. */
    size_t wide_rows, wide_panels;
    void (*tile_wide)(const ac_mm_tile *t, size_t rows, size_t panel_stride);
    /* One panel from cols <= nr rows of B; kc elements of each, starting on a block border. */
    void (*panel_nt)(float *panel, const uint8_t *b, size_t row_bytes, ac_dtype type, size_t cols,
                     size_t kc);
    /* Panels from kc rows of B, cols <= 256 elements of each, starting on a block border. */
    void (*panel_nn)(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                     ac_dtype type, size_t cols, size_t kc);
    /* c = s, or c = c + s with add. Turned: c[j * ldc + i] of s[i * lds + j], rows (of s) at most 16. */
    void (*put)(float *c, size_t ldc, const float *s, size_t lds, size_t rows, size_t cols, bool add);
    void (*put_turned)(float *c, size_t ldc, const float *s, size_t lds, size_t rows, size_t cols, bool add);
    /* Asks for bytes to be brought near, without waiting. */
    void (*fetch)(const uint8_t *p, size_t bytes);
    /* A path of its own for few rows; says whether it took the product. NULL: none. */
    bool (*few)(const ac_matmul_args *g, float *scratch, size_t scratch_floats);
    /* The same from g->packed (few_int.h). NULL: none. */
    bool (*few_packed)(const ac_matmul_args *g, float *scratch, size_t scratch_floats);
    /* T5. A: rows of kc elements at the strides, to dst, dense. B: a panel of kc rows, in place. */
    void (*pairs_a)(float *dst, const float *a, size_t a_row, size_t a_k, size_t rows, size_t kc);
    void (*pairs_b)(float *panel, size_t kc);
    void (*pair_tile)(const ac_mm_tile *t, size_t rows);
    /* T3: dst[k * rows + r] of rows <= mr rows of A; may write up to 16 floats behind the last. NULL: none. */
    void (*turn_a)(float *dst, const float *a, size_t lda, size_t rows, size_t kc);
} ac_mm_isa;

/* C (+)= A B on one thread with that tier's tiles. */
void ac_mm_blocks(const ac_mm_isa *isa, const ac_matmul_args *g, ac_mm_workspace *ws, size_t worker);
/* ac_kernels.lay_a with that tier's tiles. */
void ac_mm_lay_a(const ac_mm_isa *isa, float *dst, const float *a, size_t lda, size_t m, size_t k, size_t from, size_t to);
/* matmul_thin.c: TN with a short side; false when it is not one. space: AC_MM_WS_FLOATS floats. */
bool ac_mm_thin(const ac_mm_isa *isa, const ac_matmul_args *g, float *space);

#endif
