/* kernels/x86/few_avx2.c - few rows of A against packed weights (few_int.h), AVX2. The same ways as in
 * few_avx512.c, half a strip a vector: one or two rows go over two strips at once, up to six over one. */
#include <immintrin.h>
#include "kernels/few_int.h"

enum { TALL = 6, AHEAD = 1536 };

/* Rows of A by thirds: the strides 0, 1 and 2 fit in an address. */
typedef struct {
    const float *third[2];
    size_t stride;
} rows_of_a;

typedef struct {
    __m256 v[4][TALL];         /* halves of strips, rows */
} chains;

/* Eight binary16 from half u of the strips' places. */
AC_INLINE __m256 f16_at(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

AC_INLINE __m256i bits_at(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

#define MULTIPLY(k)                                                                               \
    for (size_t r = 0; r < h; r++) {                                                              \
        const __m256 s = _mm256_broadcast_ss(&a->third[r / 3][r % 3 * a->stride + (k)]);          \
        for (size_t u = 0; u < wide; u++)                                                         \
            c.v[u][r] = _mm256_fmadd_ps(s, w[u], c.v[u][r]);                                      \
    }
#define EACH_HALF(statement)                                                                      \
    for (size_t u = 0; u < wide; u++) {                                                           \
        statement;                                                                                \
    }

AC_INLINE __m256 under_one(__m256i q, int mask)
{
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(q, _mm256_set1_epi32(mask)),
                                               _mm256_set1_epi32(0x3f800000)));
}

/* Codes 2 e and 2 e + 1 at the top of the mantissa (K3): a turn by 8 e, of which only one wraps. */
AC_INLINE __m256i turned(__m256i q, int e)
{
    if (e == 0) return q;
    if (e == 1) return _mm256_slli_epi32(q, 8);
    if (e == 3) return _mm256_srli_epi32(q, 8);
    return _mm256_or_si256(_mm256_slli_epi32(q, 16), _mm256_srli_epi32(q, 16));
}

AC_INLINE chains block_q4_1(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h)
{
    const __m256 by = _mm256_set1_ps(16);
    __m256 d1[4], d2[4], m1[4], m2[4], w[4];
    for (size_t u = 0; u < wide; u++) {
        const uint8_t *p = b + u / 2 * 320 + u % 2 * 16;
        const __m256 m = f16_at(p + 32);
        d1[u] = _mm256_mul_ps(f16_at(p), by);
        d2[u] = _mm256_mul_ps(d1[u], by);
        m1[u] = _mm256_sub_ps(m, d1[u]);
        m2[u] = _mm256_sub_ps(m, d2[u]);
    }
#define TWO_STEPS(e)                                                                              \
    {                                                                                             \
        __m256i t[4];                                                                             \
        EACH_HALF(t[u] = turned(q[u], e))                                                         \
        EACH_HALF(w[u] = _mm256_fmadd_ps(d1[u], under_one(t[u], 0xf << 19), m1[u]))               \
        MULTIPLY(8 * i + 2 * (e))                                                                 \
        EACH_HALF(w[u] = _mm256_fmadd_ps(d2[u], under_one(t[u], 0xf << 15), m2[u]))               \
        MULTIPLY(8 * i + 2 * (e) + 1)                                                             \
    }
    for (size_t i = 0; i < 4; i++) {
        __m256i q[4];
        EACH_HALF(q[u] = bits_at(b + u / 2 * 320 + 64 + 64 * i + u % 2 * 32))
        TWO_STEPS(0)
        TWO_STEPS(1)
        TWO_STEPS(2)
        TWO_STEPS(3)
    }
#undef TWO_STEPS
    return c;
}

AC_INLINE chains block_q4(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h, bool offset)
{
    const size_t codes = offset ? 64 : 32, bytes = codes + 256;
    __m256 d[4], m[4], w[4];
    for (size_t u = 0; u < wide; u++) {
        const uint8_t *p = b + u / 2 * bytes + u % 2 * 16;
        d[u] = f16_at(p);
        m[u] = offset ? f16_at(p + 32) : _mm256_setzero_ps();
    }
#define ONE_STEP(e, at)                                                                           \
    for (size_t u = 0; u < wide; u++) {                                                           \
        const __m256i t = _mm256_and_si256(_mm256_srli_epi32(turned(q[u], (e) / 2), at), fifteen);\
        const __m256 v = _mm256_cvtepi32_ps(offset ? t : _mm256_sub_epi32(t, _mm256_set1_epi32(8)));\
        w[u] = offset ? _mm256_fmadd_ps(d[u], v, m[u]) : _mm256_mul_ps(d[u], v);                  \
    }                                                                                             \
    MULTIPLY(8 * i + (e))
    const __m256i fifteen = _mm256_set1_epi32(15);
    for (size_t i = 0; i < 4; i++) {
        __m256i q[4];
        EACH_HALF(q[u] = bits_at(b + u / 2 * bytes + codes + 64 * i + u % 2 * 32))
        ONE_STEP(0, 19)
        ONE_STEP(1, 15)
        ONE_STEP(2, 19)
        ONE_STEP(3, 15)
        ONE_STEP(4, 19)
        ONE_STEP(5, 15)
        ONE_STEP(6, 19)
        ONE_STEP(7, 15)
    }
#undef ONE_STEP
    return c;
}

AC_INLINE chains block_q8_0(chains c, const rows_of_a *a, const uint8_t *b, size_t wide, size_t h)
{
    __m256 d[4], w[4];
    EACH_HALF(d[u] = f16_at(b + u / 2 * 544 + u % 2 * 16))
    for (size_t k = 0; k < 32; k++) {
        for (size_t u = 0; u < wide; u++) {
            const uint8_t *p = b + u / 2 * 544 + 32 + 16 * k + u % 2 * 8;
            const __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)p);
            w[u] = _mm256_mul_ps(d[u], _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
        }
        MULTIPLY(k)
    }
    return c;
}

/* kc elements of a type without scales. */
AC_INLINE chains run_plain(chains c, const rows_of_a *a, const uint8_t *b, size_t stride, size_t kc, size_t wide,
                           size_t h, ac_way type)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    const size_t bytes = type == AC_WAY_F16 ? 32 : 64, half = bytes / 2;
    __m256 w[4];
    size_t k = 0;
#define PLACE (b + u / 2 * bytes + u % 2 * half)
    if (type == AC_WAY_BF16) {
        for (; k + 2 <= kc; k += 2, b += stride) {
            EACH_HALF(if (u % 2 == 0) _mm_prefetch((const char *)(b + AHEAD + u / 2 * bytes), _MM_HINT_T0))
            EACH_HALF(w[u] = _mm256_castsi256_ps(_mm256_slli_epi32(bits_at(PLACE), 16)))
            MULTIPLY(k)
            EACH_HALF(w[u] = _mm256_castsi256_ps(_mm256_and_si256(bits_at(PLACE), high)))
            MULTIPLY(k + 1)
        }
        if (k < kc) {
            EACH_HALF(w[u] = _mm256_castsi256_ps(_mm256_slli_epi32(bits_at(PLACE), 16)))
            MULTIPLY(k)
        }
        return c;
    }
    for (; k < kc; k++, b += stride) {
        EACH_HALF(if (u % 2 == 0) _mm_prefetch((const char *)(b + AHEAD + u / 2 * bytes), _MM_HINT_T0))
        EACH_HALF(w[u] = type == AC_WAY_F16 ? f16_at(PLACE) : _mm256_castsi256_ps(bits_at(PLACE)))
        MULTIPLY(k)
    }
#undef PLACE
    return c;
}

/* One block of AC_K_BLOCK (or what is left of k) from b on. */
AC_INLINE chains run_block(chains c, rows_of_a *a, const uint8_t *b, size_t stride, size_t kc, size_t wide,
                           size_t h, ac_way type)
{
    if (type <= AC_WAY_BF16) return run_plain(c, a, b, stride, kc, wide, h, type);
    const size_t bytes = type == AC_WAY_Q8_0 ? 544 : type == AC_WAY_Q4_0 ? 288 : 320;
    for (size_t k = 0; k < kc; k += 32, b += stride) {
        for (size_t at = 0; at < wide / 2 * bytes; at += 64)
            _mm_prefetch((const char *)(b + AHEAD + at), _MM_HINT_T0);
        c = type == AC_WAY_Q8_0 ? block_q8_0(c, a, b, wide, h)
          : type == AC_WAY_Q4_1 ? block_q4_1(c, a, b, wide, h)
                             : block_q4(c, a, b, wide, h, type == AC_WAY_Q4_1_PLAIN);
        for (size_t i = 0; 3 * i < h; i++)
            a->third[i] += 32;
    }
    return c;
}

static void put(const ac_matmul_args *g, size_t row, size_t j, __m256 s)
{
    float *c = g->c + row * g->ldc + j;
    if (g->n - j >= 8) {
        if (g->accumulate) s = _mm256_add_ps(_mm256_loadu_ps(c), s);
        _mm256_storeu_ps(c, s);
        return;
    }
    float v[8];
    _mm256_storeu_ps(v, s);
    for (size_t i = 0; i < g->n - j; i++)
        c[i] = g->accumulate ? c[i] + v[i] : v[i];
}

/* A group of rows by `wide` halves of strips from b on, columns from j; type, wide and h are constants. */
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
                c.v[u][r] = _mm256_setzero_ps();
        c = run_block(c, &a, b, stride, kc, wide, h, type);
        for (size_t u = 0; u < wide; u++)
            for (size_t r = 0; r < h; r++)
                sum.v[u][r] = k0 ? _mm256_add_ps(sum.v[u][r], c.v[u][r]) : c.v[u][r];
    }
    for (size_t u = 0; u < wide && j + 8 * u < g->n; u++)
        for (size_t r = 0; r < of->rows; r++)
            put(g, of->row + r, j + 8 * u, sum.v[u][r]);
}

#define DEFINE_FEW(type, wide, h)                                                                 \
    static void few_##type##_##wide##_##h(const ac_matmul_args *g, const ac_few_rows *of, size_t j,     \
                                          const uint8_t *b, size_t stride)                        \
    {                                                                                             \
        few_strips(g, of, j, b, stride, AC_WAY_##type, wide, h);                                     \
    }
#define DEFINE_HEIGHTS(type)                                                                      \
    DEFINE_FEW(type, 4, 1)                                                                        \
    DEFINE_FEW(type, 4, 2)                                                                        \
    DEFINE_FEW(type, 2, 1)                                                                        \
    DEFINE_FEW(type, 2, 2)                                                                        \
    DEFINE_FEW(type, 2, 4)                                                                        \
    DEFINE_FEW(type, 2, 6)
DEFINE_HEIGHTS(F32)
DEFINE_HEIGHTS(F16)
DEFINE_HEIGHTS(BF16)
DEFINE_HEIGHTS(Q8_0)
DEFINE_HEIGHTS(Q4_0)
DEFINE_HEIGHTS(Q4_1)
DEFINE_HEIGHTS(Q4_1_PLAIN)

/* Over as many strips as that height takes at once; over one, for what a group has left. */
#define EACH_HEIGHT(type)                                                                         \
    { { few_##type##_4_1, few_##type##_4_2, few_##type##_2_4, few_##type##_2_6 },                 \
      { few_##type##_2_1, few_##type##_2_2, few_##type##_2_4, few_##type##_2_6 } }
static const ac_few_isa isa = {
    .most_rows = 8, .n_heights = 4, .height = { 1, 2, 4, 6 }, .strips = { 2, 2, 1, 1 },
    .fn = { EACH_HEIGHT(F32), EACH_HEIGHT(F16), EACH_HEIGHT(BF16), EACH_HEIGHT(Q8_0), EACH_HEIGHT(Q4_0),
            EACH_HEIGHT(Q4_1), EACH_HEIGHT(Q4_1_PLAIN) },
};

bool ac_few_packed_avx2(const ac_matmul_args *g, float *scratch, size_t scratch_floats)
{
    return ac_few_product(&isa, g, scratch, scratch_floats);
}
