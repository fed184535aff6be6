/* kernels/x86/few_avx512.c - few rows of A against packed weights (few_int.h), AVX-512.
 *
 * A strip is one vector of outputs. Each step of k makes a vector of weights in registers, from one load or
 * from the bits of an earlier one, and multiplies it by one element of each row of A. Up to two rows go over four
 * strips at once, up to eight over two, so that there are chains enough and registers for all. More rows go over a
 * whole group in pieces of k: the weights of a piece become numbers in the first cache once, tiles of rows follow.
 * There are a few heights only; a group of fewer rows is copied and filled up with zeros. */
#include <immintrin.h>
#include "kernels/few_int.h"

enum { TALL = 16, AHEAD = 1536 };

/* Rows of A by thirds: the strides 0, 1 and 2 fit in an address. */
typedef struct {
    const float *third[(TALL + 2) / 3];
    size_t stride;
    float *out;              /* h = 0: where weights are written, a strip's 16 after another's, k by k */
} rows_of_a;

typedef struct {
    __m512 v[4][TALL];
} chains;

AC_INLINE __m512 f16_at(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

AC_INLINE __m512i bits_at(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

/* One step: element k of each row of A times the weights w; with no rows, the weights themselves. */
#define MULTIPLY(k)                                                                               \
    for (size_t u = 0; h == 0 && u < wide; u++)                                                   \
        _mm512_store_ps(a->out + ((k) * wide + u) * AC_STRIP, w[u]);                              \
    for (size_t r = 0; r < h; r++) {                                                              \
        const __m512 s = _mm512_set1_ps(a->third[r / 3][r % 3 * a->stride + (k)]);                \
        for (size_t u = 0; u < wide; u++)                                                         \
            c.v[u][r] = _mm512_fmadd_ps(s, w[u], c.v[u][r]);                                      \
    }
#define EACH_STRIP(statement)                                                                     \
    for (size_t u = 0; u < wide; u++) {                                                           \
        statement;                                                                                \
    }

/* K4: the code's bits under the exponent of 1. */
AC_INLINE __m512 under_one(__m512i q, __m512i mask, __m512i one)
{
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(q, mask, one, 0xea));   /* (q & mask) | one */
}

AC_INLINE chains block_q4_1(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h)
{
    const __m512i one = _mm512_set1_epi32(0x3f800000);
    const __m512i first = _mm512_set1_epi32(0xf << 19), second = _mm512_set1_epi32(0xf << 15);
    const __m512 by = _mm512_set1_ps(16);
    __m512 d1[4], d2[4], m1[4], m2[4], w[4];
    __m512i q[4];
    for (size_t u = 0; u < wide; u++) {
        const uint8_t *p = b + u * 320;
        const __m512 m = f16_at(p + 32);
        d1[u] = _mm512_mul_ps(f16_at(p), by);
        d2[u] = _mm512_mul_ps(d1[u], by);
        m1[u] = _mm512_sub_ps(m, d1[u]);
        m2[u] = _mm512_sub_ps(m, d2[u]);
    }
#define TWO_STEPS(k)                                                                              \
    EACH_STRIP(w[u] = _mm512_fmadd_ps(d1[u], under_one(q[u], first, one), m1[u]))                 \
    MULTIPLY(k)                                                                                   \
    EACH_STRIP(w[u] = _mm512_fmadd_ps(d2[u], under_one(q[u], second, one), m2[u]))                \
    MULTIPLY((k) + 1)
    for (size_t i = 0; i < 4; i++) {
        EACH_STRIP(q[u] = bits_at(b + u * 320 + 64 + 64 * i))
        TWO_STEPS(8 * i)
        EACH_STRIP(q[u] = _mm512_rol_epi32(q[u], 8))
        TWO_STEPS(8 * i + 2)
        EACH_STRIP(q[u] = _mm512_rol_epi32(q[u], 8))
        TWO_STEPS(8 * i + 4)
        EACH_STRIP(q[u] = _mm512_rol_epi32(q[u], 8))
        TWO_STEPS(8 * i + 6)
    }
#undef TWO_STEPS
    return c;
}

/* A permutation reads the low four bits of its index: mask and conversion in one. */
AC_INLINE chains block_q4(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h, bool offset)
{
    const size_t codes = offset ? 64 : 32, bytes = codes + 256;
    const __m512 plain = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 table = offset ? plain : _mm512_sub_ps(plain, _mm512_set1_ps(8));
    __m512 d[4], m[4], w[4];
    __m512i q[4];
    for (size_t u = 0; u < wide; u++) {
        d[u] = f16_at(b + u * bytes);
        m[u] = offset ? f16_at(b + u * bytes + 32) : _mm512_setzero_ps();
    }
#define ONE_STEP(e, at)                                                                           \
    for (size_t u = 0; u < wide; u++) {                                                           \
        const __m512 v = _mm512_permutexvar_ps(_mm512_ror_epi32(q[u], at), table);                \
        w[u] = offset ? _mm512_fmadd_ps(d[u], v, m[u]) : _mm512_mul_ps(d[u], v);                  \
    }                                                                                             \
    MULTIPLY(8 * i + (e))
    for (size_t i = 0; i < 4; i++) {
        EACH_STRIP(q[u] = bits_at(b + u * bytes + codes + 64 * i))
        ONE_STEP(0, 19)
        ONE_STEP(1, 15)
        ONE_STEP(2, 11)
        ONE_STEP(3, 7)
        ONE_STEP(4, 3)
        ONE_STEP(5, 31)
        ONE_STEP(6, 27)
        ONE_STEP(7, 23)
    }
#undef ONE_STEP
    return c;
}

AC_INLINE chains block_q8_0(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h)
{
    __m512 d[4], w[4];
    EACH_STRIP(d[u] = f16_at(b + u * 544))
    for (size_t k = 0; k < 32; k++) {
        for (size_t u = 0; u < wide; u++) {
            const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(b + u * 544 + 32 + 16 * k));
            w[u] = _mm512_mul_ps(d[u], _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
        }
        MULTIPLY(k)
    }
    return c;
}

/* kc elements of a type without scales. */
AC_INLINE chains run_plain(chains c, const rows_of_a *a, const uint8_t *b, size_t stride, size_t kc, size_t wide,
                           size_t h, ac_way type)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    const size_t bytes = type == AC_WAY_F16 ? 32 : 64;
    __m512 w[4];
    size_t k = 0;
    if (type == AC_WAY_BF16) {
        for (; k + 2 <= kc; k += 2, b += stride) {
            EACH_STRIP(_mm_prefetch((const char *)(b + AHEAD + u * bytes), _MM_HINT_T0))
            EACH_STRIP(w[u] = _mm512_castsi512_ps(_mm512_slli_epi32(bits_at(b + u * bytes), 16)))
            MULTIPLY(k)
            EACH_STRIP(w[u] = _mm512_castsi512_ps(_mm512_and_si512(bits_at(b + u * bytes), high)))
            MULTIPLY(k + 1)
        }
        if (k < kc) {
            EACH_STRIP(w[u] = _mm512_castsi512_ps(_mm512_slli_epi32(bits_at(b + u * bytes), 16)))
            MULTIPLY(k)
        }
        return c;
    }
    for (; k < kc; k++, b += stride) {
        EACH_STRIP(_mm_prefetch((const char *)(b + AHEAD + u * bytes), _MM_HINT_T0))
        EACH_STRIP(w[u] = type == AC_WAY_F16 ? f16_at(b + u * bytes) : _mm512_castsi512_ps(bits_at(b + u * bytes)))
        MULTIPLY(k)
    }
    return c;
}

AC_INLINE chains block_of(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h, ac_way type)
{
    return type == AC_WAY_Q8_0 ? block_q8_0(c, a, b, wide, h)
         : type == AC_WAY_Q4_1 ? block_q4_1(c, a, b, wide, h)
                               : block_q4(c, a, b, wide, h, type == AC_WAY_Q4_1_PLAIN);
}

/* One block of AC_K_BLOCK (or what is left of k) from b on. */
AC_INLINE chains run_block(chains c, rows_of_a *a, const uint8_t *b, size_t stride, size_t kc, size_t wide,
                           size_t h, ac_way type)
{
    if (type <= AC_WAY_BF16) return run_plain(c, a, b, stride, kc, wide, h, type);
    const size_t bytes = type == AC_WAY_Q8_0 ? 544 : type == AC_WAY_Q4_0 ? 288 : 320;
    for (size_t k = 0; k < kc; k += 32, b += stride) {
        for (size_t at = 0; at < wide * bytes; at += 64)
            _mm_prefetch((const char *)(b + AHEAD + at), _MM_HINT_T0);
        c = block_of(c, a, b, wide, h, type);
        for (size_t i = 0; 3 * i < h; i++)
            a->third[i] += 32;
    }
    return c;
}

static __mmask16 tail_mask(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

AC_INLINE void put(const ac_matmul_args *g, size_t row, size_t j, __m512 s)
{
    float *c = g->c + row * g->ldc + j;
    const __mmask16 mask = tail_mask(g->n - j);
    if (g->accumulate) s = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), s);
    _mm512_mask_storeu_ps(c, mask, s);
}

/* A group of rows by `wide` strips from b on, columns from j; type, wide and h are constants here. */
AC_INLINE void few_strips(const ac_matmul_args *g, const ac_few_rows *of, size_t j, const uint8_t *b, size_t stride,
                          ac_way type, size_t wide, size_t h)
{
    const size_t per_block = type == AC_WAY_F32 || type == AC_WAY_F16 ? AC_K_BLOCK
                           : type == AC_WAY_BF16 ? AC_K_BLOCK / 2 : AC_K_BLOCK / 32;
    chains sum, c;
    for (size_t k0 = 0; k0 < g->k; k0 += AC_K_BLOCK, b += per_block * stride) {
        const size_t kc = g->k - k0 < AC_K_BLOCK ? g->k - k0 : AC_K_BLOCK;
        rows_of_a a = { .stride = of->lda };
        for (size_t i = 0; 3 * i < h; i++)
            a.third[i] = of->a + 3 * i * of->lda + k0;
        for (size_t u = 0; u < wide; u++)
            for (size_t r = 0; r < h; r++)
                c.v[u][r] = _mm512_setzero_ps();
        c = run_block(c, &a, b, stride, kc, wide, h, type);
        for (size_t u = 0; u < wide; u++)
            for (size_t r = 0; r < h; r++)
                sum.v[u][r] = k0 ? _mm512_add_ps(sum.v[u][r], c.v[u][r]) : c.v[u][r];
    }
    for (size_t u = 0; u < wide && j + 16 * u < g->n; u++)
        for (size_t r = 0; r < of->rows; r++)
            put(g, of->row + r, j + 16 * u, sum.v[u][r]);
}

/* ---- many rows over a group ------------------------------------------------------------------------------ */

/* PIECE steps of k are 24 KB of numbers; with the rows' part and the sums they stay in the first cache. */
enum { PIECE = 96, TILE_ROWS = 6 };

/* `steps` elements of k of the four strips at b, as numbers. */
AC_INLINE void expand_piece(float *out, const uint8_t *b, size_t stride, size_t steps, ac_way type)
{
    chains none;
    none.v[0][0] = _mm512_setzero_ps();
    rows_of_a a = { .out = out };
    if (type <= AC_WAY_BF16) {
        (void)run_plain(none, &a, b, stride, steps, AC_GROUP_STRIPS, 0, type);
        return;
    }
    for (size_t k = 0; k < steps; k += 32, b += stride, a.out += 32 * AC_GROUP_ROWS)
        (void)block_of(none, &a, b, AC_GROUP_STRIPS, 0, type);
}

typedef struct {
    const float *a;
    size_t lda;
    float *sums;                         /* [row][column of the group] */
    const float *w;
    size_t steps;
    const uint8_t *next;                 /* to be read soon: this much further a step */
    size_t next_step;
} tile;

AC_INLINE void tile_rows(const tile *t, const size_t rows)
{
    __m512 c[TILE_ROWS][AC_GROUP_STRIPS];
    const float *a[2] = { t->a, rows > 3 ? t->a + 3 * t->lda : t->a }, *w = t->w;
    const uint8_t *next = t->next;
    for (size_t r = 0; r < rows; r++)
        for (size_t u = 0; u < AC_GROUP_STRIPS; u++)
            c[r][u] = _mm512_load_ps(t->sums + r * AC_GROUP_ROWS + u * AC_STRIP);
    for (size_t k = 0; k < t->steps; k++, w += AC_GROUP_ROWS, next += t->next_step) {
        __m512 b[AC_GROUP_STRIPS];
        _mm_prefetch((const char *)next, _MM_HINT_T0);
        for (size_t u = 0; u < AC_GROUP_STRIPS; u++)
            b[u] = _mm512_load_ps(w + u * AC_STRIP);
        for (size_t r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(a[r / 3][r % 3 * t->lda + k]);
            for (size_t u = 0; u < AC_GROUP_STRIPS; u++)
                c[r][u] = _mm512_fmadd_ps(x, b[u], c[r][u]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t u = 0; u < AC_GROUP_STRIPS; u++)
            _mm512_store_ps(t->sums + r * AC_GROUP_ROWS + u * AC_STRIP, c[r][u]);
}

static AC_NOINLINE void run_tile(const tile *t, size_t rows)
{
    switch (rows) {
    case 6: tile_rows(t, 6); return;
    case 5: tile_rows(t, 5); return;
    case 4: tile_rows(t, 4); return;
    case 3: tile_rows(t, 3); return;
    case 2: tile_rows(t, 2); return;
    default: tile_rows(t, 1); return;
    }
}

/* The rows over a piece in nearly equal tiles; the first asks for what the next piece is made of. */
AC_INLINE void run_tiles(const tile *all, size_t rows)
{
    const size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    tile t = *all;
    for (size_t i = 0; i < tiles; i++) {
        const size_t n = (rows + tiles - i - 1) / (tiles - i);
        run_tile(&t, n);
        rows -= n;
        t.a += n * t.lda;
        t.sums += n * AC_GROUP_ROWS;
        t.next = (const uint8_t *)t.w;
        t.next_step = 0;
    }
}

/* All rows over the four strips of a group. */
AC_INLINE void few_group(const ac_matmul_args *g, const ac_few_rows *of, size_t j, const uint8_t *b, size_t stride,
                         ac_way type)
{
    _Alignas(64) float w[PIECE * AC_GROUP_ROWS], c[TALL * AC_GROUP_ROWS], sum[TALL * AC_GROUP_ROWS];
    const size_t step = type == AC_WAY_F32 || type == AC_WAY_F16 ? 1 : type == AC_WAY_BF16 ? 2 : 32;
    for (size_t k0 = 0; k0 < g->k; k0 += AC_K_BLOCK) {
        const size_t kc = g->k - k0 < AC_K_BLOCK ? g->k - k0 : AC_K_BLOCK;
        memset(c, 0, of->rows * AC_GROUP_ROWS * sizeof(float));
        for (size_t k = 0; k < kc; k += PIECE) {
            const size_t steps = kc - k < PIECE ? kc - k : PIECE;
            expand_piece(w, b, stride, steps, type);
            b += (steps + step - 1) / step * stride;
            run_tiles(&(tile){ of->a + k0 + k, of->lda, c, w, steps, b, stride / step }, of->rows);
        }
        for (size_t i = 0; i < of->rows * AC_GROUP_ROWS; i += AC_STRIP) {
            const __m512 s = _mm512_load_ps(c + i);
            _mm512_store_ps(sum + i, k0 ? _mm512_add_ps(_mm512_load_ps(sum + i), s) : s);
        }
    }
    for (size_t r = 0; r < of->rows; r++)
        for (size_t u = 0; u < AC_GROUP_STRIPS && j + AC_STRIP * u < g->n; u++)
            put(g, of->row + r, j + AC_STRIP * u, _mm512_load_ps(sum + r * AC_GROUP_ROWS + u * AC_STRIP));
}

#define DEFINE_GROUP(type)                                                                              \
    static void few_##type##_group(const ac_matmul_args *g, const ac_few_rows *of, size_t j,            \
                                   const uint8_t *b, size_t stride)                                     \
    {                                                                                                   \
        few_group(g, of, j, b, stride, AC_WAY_##type);                                                  \
    }
DEFINE_GROUP(F32)
DEFINE_GROUP(F16)
DEFINE_GROUP(BF16)
DEFINE_GROUP(Q8_0)
DEFINE_GROUP(Q4_0)
DEFINE_GROUP(Q4_1)
DEFINE_GROUP(Q4_1_PLAIN)

#define DEFINE_FEW(type, wide, h)                                                                 \
    static void few_##type##_##wide##_##h(const ac_matmul_args *g, const ac_few_rows *of, size_t j,     \
                                          const uint8_t *b, size_t stride)                        \
    {                                                                                             \
        few_strips(g, of, j, b, stride, AC_WAY_##type, wide, h);                                     \
    }
#define DEFINE_HEIGHTS(type)                                                                      \
    DEFINE_FEW(type, 4, 1)                                                                        \
    DEFINE_FEW(type, 4, 2)                                                                        \
    DEFINE_FEW(type, 2, 4)                                                                        \
    DEFINE_FEW(type, 2, 6)                                                                        \
    DEFINE_FEW(type, 2, 8)                                                                        \
    DEFINE_FEW(type, 1, 1)                                                                        \
    DEFINE_FEW(type, 1, 2)                                                                        \
    DEFINE_FEW(type, 1, 4)                                                                        \
    DEFINE_FEW(type, 1, 6)                                                                        \
    DEFINE_FEW(type, 1, 8)                                                                        \
    DEFINE_FEW(type, 1, 12)                                                                       \
    DEFINE_FEW(type, 1, 16)
DEFINE_HEIGHTS(F32)
DEFINE_HEIGHTS(F16)
DEFINE_HEIGHTS(BF16)
DEFINE_HEIGHTS(Q8_0)
DEFINE_HEIGHTS(Q4_0)
DEFINE_HEIGHTS(Q4_1)
DEFINE_HEIGHTS(Q4_1_PLAIN)

/* Over as many strips as that height takes at once; over one, for what a group has left. */
#define EACH_HEIGHT(type)                                                                         \
    { { few_##type##_4_1, few_##type##_4_2, few_##type##_2_4, few_##type##_2_6, few_##type##_2_8, \
        few_##type##_group, few_##type##_group },                                                    \
      { few_##type##_1_1, few_##type##_1_2, few_##type##_1_4, few_##type##_1_6, few_##type##_1_8, \
        few_##type##_1_12, few_##type##_1_16 } }
static const ac_few_isa isa = {
    .most_rows = 32, .n_heights = 7, .height = { 1, 2, 4, 6, 8, 12, 16 }, .strips = { 4, 4, 2, 2, 2, 4, 4 },
    .fn = { EACH_HEIGHT(F32), EACH_HEIGHT(F16), EACH_HEIGHT(BF16), EACH_HEIGHT(Q8_0), EACH_HEIGHT(Q4_0),
            EACH_HEIGHT(Q4_1), EACH_HEIGHT(Q4_1_PLAIN) },
};

bool ac_few_packed_avx512(const ac_matmul_args *g, float *scratch, size_t scratch_floats)
{
    return ac_few_product(&isa, g, scratch, scratch_floats);
}
