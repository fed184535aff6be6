/* kernels/x86/matmul_few_avx512.c - few rows of A against quantised rows of B (decoding), AVX-512.
 *
 * Weights go from their stored bits straight into the chains: 16 rows of B side by side are one vector of
 * outputs; each step of k makes a vector of weights in registers and multiplies it by one element of each
 * row of A. Nothing is expanded to memory. Up to 8 rows of A go over two such vectors at once, so that
 * there are chains enough; up to 16 over one. More rows come in groups, while the weights are in the L1
 * cache. There are a few heights only; a group of fewer rows is copied and filled up with zeros. */
#include "kernels/x86/turn_avx512_int.h"

enum { TALL = 16, MOST_ROWS = 24, MOST_GROUPS = 2 };

/* What a pass over a block of 32 of k knows: the rows of B of each vector, and of A by thirds (the
 * strides 0, 1 and 2 fit in an address). */
typedef struct {
    const uint8_t *row[2][16];
    const float *third[(TALL + 2) / 3];
    size_t stride;
} place;

typedef struct {
    __m512 v[2][TALL];
} chains;

/* Weights are made by WEIGHT(codes, scale, offset, shift); i is the vector of codes, k the step. */
#define STEP(i, shift, k, WEIGHT)                                                                 \
    {                                                                                             \
        __m512 w[2];                                                                              \
        for (size_t u = 0; u < wide; u++)                                                         \
            w[u] = WEIGHT(q[u][i], d[u], m[u], shift);                                            \
        for (size_t r = 0; r < h; r++) {                                                          \
            const __m512 s = _mm512_set1_ps(p->third[r / 3][r % 3 * p->stride + (k)]);            \
            for (size_t u = 0; u < wide; u++)                                                     \
                c.v[u][r] = _mm512_fmadd_ps(s, w[u], c.v[u][r]);                                  \
        }                                                                                         \
    }
#define FOUR_STEPS(i, shift, by, k, WEIGHT)                                                       \
    STEP(i, shift, (k) + 4 * (i), WEIGHT)                                                         \
    STEP(i, (shift) + (by), (k) + 4 * (i) + 1, WEIGHT)                                            \
    STEP(i, (shift) + 2 * (by), (k) + 4 * (i) + 2, WEIGHT)                                        \
    STEP(i, (shift) + 3 * (by), (k) + 4 * (i) + 3, WEIGHT)
#define SIXTEEN_STEPS(shift, by, k, WEIGHT)                                                       \
    FOUR_STEPS(0, shift, by, k, WEIGHT)                                                           \
    FOUR_STEPS(1, shift, by, k, WEIGHT)                                                           \
    FOUR_STEPS(2, shift, by, k, WEIGHT)                                                           \
    FOUR_STEPS(3, shift, by, k, WEIGHT)

/* A permutation reads the low four bits of its index: mask and conversion in one. */
#define W_Q4_1(q, d, m, e) _mm512_fmadd_ps(d, _mm512_permutexvar_ps(_mm512_srli_epi32(q, e), table), m)
#define W_Q4_0(q, d, m, e) _mm512_mul_ps(d, _mm512_permutexvar_ps(_mm512_srli_epi32(q, e), table))
#define W_Q8_0(q, d, m, e)                                                                        \
    _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(q, 24 - (e)), 24)))

AC_INLINE chains q4_block(chains c, const place *p, size_t wide, size_t h, ac_dtype type, size_t at)
{
    const __m512 plain = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 table = type == AC_Q4_1 ? plain : _mm512_sub_ps(plain, _mm512_set1_ps(8));
    __m512 d[2], m[2];
    __m512i q[2][4];
    for (size_t u = 0; u < wide; u++) {
        const __m512i head = turn_16x1(p->row[u], at);
        d[u] = low_f16(head);
        m[u] = high_f16(head);
        turn_16x4(q[u], p->row[u], at + (type == AC_Q4_1 ? 4 : 2));
    }
    if (type == AC_Q4_1) {
        SIXTEEN_STEPS(0, 8, 0, W_Q4_1)
        SIXTEEN_STEPS(4, 8, 16, W_Q4_1)
    } else {
        SIXTEEN_STEPS(0, 8, 0, W_Q4_0)
        SIXTEEN_STEPS(4, 8, 16, W_Q4_0)
    }
    return c;
}

AC_INLINE chains q8_block(chains c, const place *p, size_t wide, size_t h, size_t at)
{
    __m512 d[2];
    __m512i q[2][4];
    for (size_t u = 0; u < wide; u++) {
        d[u] = low_f16(turn_16x1(p->row[u], at));
        turn_16x4(q[u], p->row[u], at + 2);
    }
    SIXTEEN_STEPS(0, 8, 0, W_Q8_0)
    for (size_t u = 0; u < wide; u++)
        turn_16x4(q[u], p->row[u], at + 18);
    SIXTEEN_STEPS(0, 8, 16, W_Q8_0)
    return c;
}

AC_INLINE void put(const ac_matmul_args *g, size_t row, size_t j, __m512 s)
{
    float *c = g->c + row * g->ldc + j;
    const __mmask16 mask = ac_tail_mask(g->n - j);
    if (g->accumulate) s = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), s);
    _mm512_mask_storeu_ps(c, mask, s);
}

/* Rows row .. row + rows - 1 of A and C; a: where they lie, with h of them readable. */
typedef struct {
    const float *a;
    size_t lda, row, rows, height;
} group;

static void set_place(place *p, const ac_matmul_args *g, const group *of, size_t j, size_t wide, size_t h)
{
    const uint8_t *b = (const uint8_t *)g->b + j * g->b_row_bytes;
    for (size_t u = 0; u < wide; u++) {
        const size_t left = g->n - j > 16 * u ? g->n - j - 16 * u : 0;   /* 0: anything, not stored */
        set_rows(p->row[u], left ? b + 16 * u * g->b_row_bytes : b, g->b_row_bytes,
                 left > 16 ? 16 : left ? left : 1);
    }
    for (size_t i = 0; 3 * i < h; i++)
        p->third[i] = of->a + 3 * i * of->lda;
    p->stride = of->lda;
}

/* The next columns' weights, one cache line of each row. */
AC_INLINE void fetch_rows(const ac_matmul_args *g, size_t j, size_t cols, size_t at)
{
    const uint8_t *b = (const uint8_t *)g->b + j * g->b_row_bytes + at;
    for (size_t r = 0; r < cols; r++)
        _mm_prefetch((const char *)(b + r * g->b_row_bytes), _MM_HINT_T1);
}

/* A group of rows by columns j .. j + 16 wide - 1; type, wide and h are constants where this is inlined. */
AC_INLINE void few_columns(const ac_matmul_args *g, const group *of, size_t j, ac_dtype type, size_t wide,
                           size_t h)
{
    const size_t bytes = ac_dtype_block_bytes(type), after = j + 16 * wide;
    const size_t next = of->row || after >= g->n ? 0 : g->n - after < 16 * wide ? g->n - after : 16 * wide;
    place p;
    chains sum, c;
    set_place(&p, g, of, j, wide, h);
    for (size_t u = 0; u < wide; u++)
        for (size_t r = 0; r < h; r++)
            sum.v[u][r] = _mm512_setzero_ps();
    for (size_t k0 = 0, at = 0, fetched = 0; k0 < g->k; k0 += AC_K_BLOCK) {
        const size_t kc = g->k - k0 < AC_K_BLOCK ? g->k - k0 : AC_K_BLOCK;
        for (size_t u = 0; u < wide; u++)
            for (size_t r = 0; r < h; r++)
                c.v[u][r] = _mm512_setzero_ps();
        for (size_t k = 0; k < kc; k += 32, at += bytes) {
            if (fetched <= at) {
                fetch_rows(g, after, next, fetched);
                fetched += 64;
            }
            c = type == AC_Q8_0 ? q8_block(c, &p, wide, h, at) : q4_block(c, &p, wide, h, type, at);
            for (size_t i = 0; 3 * i < h; i++)
                p.third[i] += 32;
        }
        for (size_t u = 0; u < wide; u++)
            for (size_t r = 0; r < h; r++)
                sum.v[u][r] = k0 ? _mm512_add_ps(sum.v[u][r], c.v[u][r]) : c.v[u][r];
    }
    for (size_t u = 0; u < wide && j + 16 * u < g->n; u++)
        for (size_t r = 0; r < of->rows; r++)
            put(g, of->row + r, j + 16 * u, sum.v[u][r]);
}

typedef void few_fn(const ac_matmul_args *g, const group *of, size_t j);
#define DEFINE_FEW(type, wide, h)                                                                 \
    static void few_##type##_##h(const ac_matmul_args *g, const group *of, size_t j)              \
    {                                                                                             \
        few_columns(g, of, j, AC_##type, wide, h);                                                \
    }
#define DEFINE_HEIGHTS(type)                                                                      \
    DEFINE_FEW(type, 2, 1)                                                                        \
    DEFINE_FEW(type, 2, 2)                                                                        \
    DEFINE_FEW(type, 2, 4)                                                                        \
    DEFINE_FEW(type, 2, 6)                                                                        \
    DEFINE_FEW(type, 2, 8)                                                                        \
    DEFINE_FEW(type, 1, 12)                                                                       \
    DEFINE_FEW(type, 1, 16)
DEFINE_HEIGHTS(Q4_1)
DEFINE_HEIGHTS(Q4_0)
DEFINE_HEIGHTS(Q8_0)

enum { HEIGHTS = 7, ONE_VECTOR = 5 };   /* heights from ONE_VECTOR on go over one vector */
static const size_t heights[HEIGHTS] = { 1, 2, 4, 6, 8, 12, 16 };
#define EACH_HEIGHT(type)                                                                         \
    { few_##type##_1, few_##type##_2, few_##type##_4, few_##type##_6, few_##type##_8,             \
      few_##type##_12, few_##type##_16 }
static few_fn *const few[3][HEIGHTS] = { EACH_HEIGHT(Q4_1), EACH_HEIGHT(Q4_0), EACH_HEIGHT(Q8_0) };

/* Sets a group's height; copies its rows when they are fewer. Returns the floats that it took. */
static size_t set_group(group *of, const ac_matmul_args *g, size_t least_height, float *scratch)
{
    of->height = least_height;
    while (heights[of->height] < of->rows)
        of->height++;
    of->a = g->a + of->row * g->lda;
    of->lda = g->lda;
    const size_t h = heights[of->height];
    if (h == of->rows) return 0;
    for (size_t r = 0; r < of->rows; r++)
        memcpy(scratch + r * g->k, of->a + r * g->lda, g->k * sizeof(float));
    memset(scratch + of->rows * g->k, 0, (h - of->rows) * g->k * sizeof(float));
    of->a = scratch;
    of->lda = g->k;
    return h * g->k;
}

bool ac_mm_few_avx512(const ac_matmul_args *g, float *scratch, size_t scratch_floats)
{
    if (g->form != AC_MM_NT || g->m > MOST_ROWS || g->k > scratch_floats / MOST_ROWS) return false;
    const size_t of_type = g->b_type == AC_Q4_1 ? 0 : g->b_type == AC_Q4_0 ? 1 : g->b_type == AC_Q8_0 ? 2 : 3;
    if (of_type == 3) return false;
    const size_t n_groups = (g->m + TALL - 1) / TALL;
    group groups[MOST_GROUPS];
    for (size_t i = 0, row = 0; i < n_groups; i++) {
        groups[i].row = row;
        groups[i].rows = (g->m - row + n_groups - i - 1) / (n_groups - i);
        row += groups[i].rows;
        scratch += set_group(&groups[i], g, n_groups > 1 ? ONE_VECTOR : 0, scratch);
    }
    const size_t step = groups[0].height < ONE_VECTOR ? 32 : 16;
    for (size_t j = 0; j < g->n; j += step) {
        for (size_t i = 0; i < n_groups; i++)
            few[of_type][groups[i].height](g, &groups[i], j);
    }
    return true;
}
