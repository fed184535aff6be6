/* kernels/few_int.h - weights laid out ahead for products of few rows (decoding), and what a tier does with
 * them. NT only: outputs lie along n, so 16 stored rows stand side by side.
 *
 * K1  A strip is 16 rows; a group is four strips (64 rows), the last one perhaps fewer. Rows past the last
 *     one repeat it: nobody stores what comes of them.
 * K2  Along k a strip is a sequence of blocks (`step` elements of k, `bytes` bytes). A group stands as
 *     [block][strip], so a product reads a group from its first byte to its last.
 * K3  Lane r below is row r of the strip. A block is
 *       F32   16 binary32                                              step 1
 *       F16   16 binary16                                              step 1
 *       BF16  16 dwords: k in the low half, k + 1 in the high one      step 2 (an odd last k: +0 above)
 *       Q8_0  16 d, then 32 times 16 codes                             step 32
 *       Q4_0  16 d, then 4 times 16 dwords of 8 codes                  step 32
 *       Q4_1  16 d, 16 m, then as Q4_0                                 step 32
 *     Code e of dword i is k = 8 i + e, at bits (19 - 4 e) mod 32: two neighbours at a time lie at the top of a
 *     binary32's mantissa, and a turn by 8 brings the next two there.
 * K4  Q4_1 without a conversion: with a code q at the mantissa's top, F = 1 + q / 16 is the bits themselves,
 *     and d q + m = 16 d F + (m - 16 d), which is the same rounding of the same real number where
 *     m - 16 d is exact (for the second place: 256 in place of 16). Packing looks at every block;
 *     groups with one that is not exact are marked and go the plain way.
 * The layout is the same for every tier. */
#ifndef AC_KERNELS_FEW_INT_H
#define AC_KERNELS_FEW_INT_H

#include "kernels/kernels_int.h"

#define AC_STRIP        16
#define AC_GROUP_STRIPS 4
#define AC_GROUP_ROWS   (AC_STRIP * AC_GROUP_STRIPS)

struct ac_packed {
    ac_dtype type;
    size_t n, k;
    size_t step, bytes, blocks;   /* of a strip: K2 */
    uint8_t *data;
    uint8_t *inexact;             /* a mark for each group: K4 */
};

/* Strip s (of the whole matrix): its first block, and the bytes from one block to the next. */
AC_INLINE const uint8_t *ac_packed_strip(const ac_packed *p, size_t s, size_t *block_stride)
{
    const size_t strips = (p->n + AC_STRIP - 1) / AC_STRIP, group = s / AC_GROUP_STRIPS;
    const size_t left = strips - group * AC_GROUP_STRIPS;
    *block_stride = (left < AC_GROUP_STRIPS ? left : AC_GROUP_STRIPS) * p->bytes;
    return p->data + group * AC_GROUP_STRIPS * p->blocks * p->bytes + s % AC_GROUP_STRIPS * p->bytes;
}

/* The ways to make weights: the stored types, and Q4_1 where K4's marks forbid the short one. */
typedef enum {
    AC_WAY_F32, AC_WAY_F16, AC_WAY_BF16, AC_WAY_Q8_0, AC_WAY_Q4_0, AC_WAY_Q4_1, AC_WAY_Q4_1_PLAIN, AC_WAYS
} ac_way;

/* Rows row .. row + rows - 1 of A and C. a: where those of A lie, with the height's number of them readable. */
typedef struct {
    const float *a;
    size_t lda, row, rows, height;       /* the height by its index */
} ac_few_rows;

/* These rows times some strips from b on, columns from j on. */
typedef void ac_few_fn(const ac_matmul_args *g, const ac_few_rows *of, size_t j, const uint8_t *b, size_t stride);

/* What a tier has: a function for each way and height (rows at once, ascending), over `strips` strips at once
 * and over one. */
enum { AC_FEW_HEIGHTS_MAX = 8 };
typedef struct {
    size_t most_rows, n_heights;
    size_t height[AC_FEW_HEIGHTS_MAX], strips[AC_FEW_HEIGHTS_MAX];
    ac_few_fn *fn[AC_WAYS][2][AC_FEW_HEIGHTS_MAX];
} ac_few_isa;

/* matmul_few.c: the product on one thread, when it has few enough rows; false and nothing done otherwise. */
bool ac_few_product(const ac_few_isa *isa, const ac_matmul_args *g, float *scratch, size_t scratch_floats);

bool ac_few_packed_avx2(const ac_matmul_args *g, float *scratch, size_t scratch_floats);
bool ac_few_packed_avx512(const ac_matmul_args *g, float *scratch, size_t scratch_floats);

#endif
