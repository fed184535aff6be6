/* kernels/x86/matmul_avx512.c - tiles of 14 x 32 and panels for AVX-512.
 *
 * A tile holds 28 accumulators, two vectors of B and one broadcast element of A: 31 registers. Each
 * height has its own function, so that rows can be cut evenly instead of into full tiles and a short
 * one. B is prefetched 16 steps ahead: its panels come out of the L2 cache. */
#include "kernels/bf16_body_int.h"
#include "kernels/few_int.h"
#include "kernels/matmul_int.h"
#include "kernels/x86/turn_avx512_int.h"

void ac_mm_pair_tile_avx512bf16(const ac_mm_tile *t, size_t rows);   /* matmul_avx512bf16.c */

enum { MR = 14, NR = 32, AHEAD = 16, A_AHEAD = 24 };

/* Row r of A: side by side in the transposed form; else five pointers reach all rows with the strides 0, 1
 * and 2 that an address can hold. */
#define AP_0 a[0]
#define AP_1 a[1]
#define AP_2 a[2]
#define AP_3 a[3]
#define AP_4 a[4]
#define AP_5 a[5]
#define AP_6 a[6]
#define AP_7 a[7]
#define AP_8 a[8]
#define AP_9 a[9]
#define AP_10 a[10]
#define AP_11 a[11]
#define AP_12 a[12]
#define AP_13 a[13]
#define AR_0 p0[0]
#define AR_1 p0[rs]
#define AR_2 p0[2 * rs]
#define AR_3 p1[0]
#define AR_4 p1[rs]
#define AR_5 p1[2 * rs]
#define AR_6 p2[0]
#define AR_7 p2[rs]
#define AR_8 p2[2 * rs]
#define AR_9 p3[0]
#define AR_10 p3[rs]
#define AR_11 p3[2 * rs]
#define AR_12 p4[0]
#define AR_13 p4[rs]

#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)
#define ROWS_7(X) ROWS_6(X) X(6)
#define ROWS_8(X) ROWS_7(X) X(7)
#define ROWS_9(X) ROWS_8(X) X(8)
#define ROWS_10(X) ROWS_9(X) X(9)
#define ROWS_11(X) ROWS_10(X) X(10)
#define ROWS_12(X) ROWS_11(X) X(11)
#define ROWS_13(X) ROWS_12(X) X(12)
#define ROWS_14(X) ROWS_13(X) X(13)

#define BESIDE_POINTERS const float *a = t->a, *next = t->next ? t->next : t->b;
#define BESIDE_NEXT                                                                               \
    {                                                                                             \
        _mm_prefetch((const char *)(a + A_AHEAD * a_k), _MM_HINT_T0);                             \
        _mm_prefetch((const char *)next, _MM_HINT_T1);                                            \
        a += a_k;                                                                                 \
        next += 16;                                                                               \
    }
#define ROWS_POINTERS                                                                             \
    const size_t rs = t->a_row;                                                                   \
    const float *p0 = t->a, *p1 = p0 + 3 * rs, *p2 = p0 + 6 * rs, *p3 = p0 + 9 * rs,              \
                *p4 = p0 + 12 * rs;                                                               \
    AC_UNUSED(p1), AC_UNUSED(p2), AC_UNUSED(p3), AC_UNUSED(p4), AC_UNUSED(rs), AC_UNUSED(a_k);
#define ROWS_NEXT       { p0++; p1++; p2++; p3++; p4++; }

#define START(r)                                                                                  \
    float *const c##r = t->c + (r) * t->ldc;                                                      \
    __m512 x##r, y##r;                                                                            \
    if (t->mode == AC_TILE_CONTINUE) {                                                            \
        x##r = _mm512_maskz_loadu_ps(m0, c##r);                                                   \
        y##r = _mm512_maskz_loadu_ps(m1, c##r + 16);                                              \
    } else {                                                                                      \
        x##r = _mm512_setzero_ps();                                                               \
        y##r = _mm512_setzero_ps();                                                               \
        _mm_prefetch((const char *)c##r, _MM_HINT_T0);                                            \
        _mm_prefetch((const char *)(c##r + 16), _MM_HINT_T0);                                     \
    }
#define FMA(r, element)                                                                           \
    {                                                                                             \
        const __m512 s = _mm512_set1_ps(element);                                                 \
        x##r = _mm512_fmadd_ps(s, b0, x##r);                                                      \
        y##r = _mm512_fmadd_ps(s, b1, y##r);                                                      \
    }
#define FINISH(r)                                                                                 \
    if (t->mode == AC_TILE_ADD) {                                                                 \
        x##r = _mm512_add_ps(_mm512_maskz_loadu_ps(m0, c##r), x##r);                              \
        y##r = _mm512_add_ps(_mm512_maskz_loadu_ps(m1, c##r + 16), y##r);                         \
    }                                                                                             \
    _mm512_mask_storeu_ps(c##r, m0, x##r);                                                        \
    _mm512_mask_storeu_ps(c##r + 16, m1, y##r);

/* One vector of columns: the skinny products. */
#define START_1(r)                                                                                \
    float *const c##r = t->c + (r) * t->ldc;                                                      \
    __m512 x##r = t->mode == AC_TILE_CONTINUE ? _mm512_maskz_loadu_ps(m0, c##r)                   \
                                              : _mm512_setzero_ps();
#define FMA_1(r, element) x##r = _mm512_fmadd_ps(_mm512_set1_ps(element), b0, x##r);
#define FINISH_1(r)                                                                               \
    if (t->mode == AC_TILE_ADD) x##r = _mm512_add_ps(_mm512_maskz_loadu_ps(m0, c##r), x##r);      \
    _mm512_mask_storeu_ps(c##r, m0, x##r);

#define FMA_BESIDE(r)   FMA(r, AP_##r)
#define FMA_ROWS(r)     FMA(r, AR_##r)
#define FMA_1_BESIDE(r) FMA_1(r, AP_##r)
#define FMA_1_ROWS(r)   FMA_1(r, AR_##r)

#define STEP_OF_K(h, FMA_KIND, NEXT)                                                              \
    {                                                                                             \
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);                       \
        _mm_prefetch((const char *)(b + AHEAD * b_k), _MM_HINT_T0);                               \
        _mm_prefetch((const char *)(b + AHEAD * b_k + 16), _MM_HINT_T0);                          \
        b += b_k;                                                                                 \
        ROWS_##h(FMA_KIND)                                                                        \
        NEXT                                                                                      \
    }
#define DEFINE_TILE(h, kind, FMA_KIND, FMA_1_KIND, POINTERS, NEXT)                                \
    static void tile2_##kind##_##h(const ac_mm_tile *t)                                           \
    {                                                                                             \
        const size_t b_k = t->b_k, a_k = t->a_k;                                                  \
        const __mmask16 m0 = 0xffff, m1 = ac_tail_mask(t->cols - 16);                             \
        const float *b = t->b;                                                                    \
        POINTERS                                                                                  \
        ROWS_##h(START)                                                                           \
        for (size_t k = t->kc / 2; k; k--) {                                                      \
            STEP_OF_K(h, FMA_KIND, NEXT)                                                          \
            STEP_OF_K(h, FMA_KIND, NEXT)                                                          \
        }                                                                                         \
        if (t->kc % 2) STEP_OF_K(h, FMA_KIND, NEXT)                                               \
        ROWS_##h(FINISH)                                                                          \
    }                                                                                             \
    static void tile1_##kind##_##h(const ac_mm_tile *t)                                           \
    {                                                                                             \
        const size_t b_k = t->b_k, a_k = t->a_k;                                                  \
        const __mmask16 m0 = ac_tail_mask(t->cols);                                               \
        const float *b = t->b;                                                                    \
        POINTERS                                                                                  \
        ROWS_##h(START_1)                                                                         \
        for (size_t k = t->kc; k; k--) {                                                          \
            const __m512 b0 = _mm512_loadu_ps(b);                                                 \
            b += b_k;                                                                             \
            ROWS_##h(FMA_1_KIND)                                                                  \
            NEXT                                                                                  \
        }                                                                                         \
        ROWS_##h(FINISH_1)                                                                        \
    }
#define DEFINE_HEIGHT(h)                                                                          \
    DEFINE_TILE(h, beside, FMA_BESIDE, FMA_1_BESIDE, BESIDE_POINTERS, BESIDE_NEXT)                \
    DEFINE_TILE(h, rows, FMA_ROWS, FMA_1_ROWS, ROWS_POINTERS, ROWS_NEXT)

DEFINE_HEIGHT(1)
DEFINE_HEIGHT(2)
DEFINE_HEIGHT(3)
DEFINE_HEIGHT(4)
DEFINE_HEIGHT(5)
DEFINE_HEIGHT(6)
DEFINE_HEIGHT(7)
DEFINE_HEIGHT(8)
DEFINE_HEIGHT(9)
DEFINE_HEIGHT(10)
DEFINE_HEIGHT(11)
DEFINE_HEIGHT(12)
DEFINE_HEIGHT(13)
DEFINE_HEIGHT(14)

typedef void tile_fn(const ac_mm_tile *t);
#define HEIGHTS(name)                                                                             \
    { name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8, name##_9,   \
      name##_10, name##_11, name##_12, name##_13, name##_14 }
static tile_fn *const tiles[2][2][MR] = {
    { HEIGHTS(tile1_beside), HEIGHTS(tile2_beside) },
    { HEIGHTS(tile1_rows), HEIGHTS(tile2_rows) },
};

static void tile(const ac_mm_tile *t, size_t rows)
{
    tiles[t->a_row != 1][t->cols > 16][rows - 1](t);
}

/* ---- few rows: eight vectors of columns, so that the chains hide each other's latency --------------- */

enum { WIDE_ROWS = 3, WIDE_PANELS = 4, WIDE_VECTORS = 8 };

AC_INLINE void wide_body(const ac_mm_tile *t, size_t panel_stride, const size_t rows)
{
    __m512 acc[WIDE_ROWS][WIDE_VECTORS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < WIDE_VECTORS; v++)
            acc[r][v] = t->mode == AC_TILE_CONTINUE ? _mm512_loadu_ps(t->c + r * t->ldc + 16 * v)
                                                    : _mm512_setzero_ps();
    const float *b0 = t->b, *b1 = b0 + panel_stride, *b2 = b1 + panel_stride, *b3 = b2 + panel_stride;
    const float *a = t->a;
    for (size_t k = 0; k < t->kc; k++) {
        for (size_t r = 0; r < rows; r++) {
            const __m512 s = _mm512_set1_ps(a[r * t->a_row]);
            acc[r][0] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b0), acc[r][0]);
            acc[r][1] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b0 + 16), acc[r][1]);
            acc[r][2] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b1), acc[r][2]);
            acc[r][3] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b1 + 16), acc[r][3]);
            acc[r][4] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b2), acc[r][4]);
            acc[r][5] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b2 + 16), acc[r][5]);
            acc[r][6] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b3), acc[r][6]);
            acc[r][7] = _mm512_fmadd_ps(s, _mm512_loadu_ps(b3 + 16), acc[r][7]);
        }
        b0 += NR, b1 += NR, b2 += NR, b3 += NR;
        a += t->a_k;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < WIDE_VECTORS; v++)
            _mm512_storeu_ps(t->c + r * t->ldc + 16 * v, acc[r][v]);
}

static void tile_wide(const ac_mm_tile *t, size_t rows, size_t panel_stride)
{
    if (rows == 1) wide_body(t, panel_stride, 1);
    else if (rows == 2) wide_body(t, panel_stride, 2);
    else wide_body(t, panel_stride, 3);
}

/* ---- panels, B's rows along k ------------------------------------------------------------------------- */

/* The 4-bit types of 32: byte i holds elements i and i + 16; a permutation reads the low four bits of
 * its index and so is both mask and conversion. */
AC_INLINE void half_panel_q4(float *dst, const uint8_t *const row[16], ac_dtype type, size_t kc)
{
    const size_t bytes = type == AC_Q4_1 ? 20 : 18, codes = type == AC_Q4_1 ? 4 : 2;
    const __m512 plain = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 table = type == AC_Q4_1 ? plain : _mm512_sub_ps(plain, _mm512_set1_ps(8));
    for (size_t p = 0, at = 0; p < kc; p += 32, at += bytes, dst += 32 * NR) {
        const __m512i head = turn_16x1(row, at);
        const __m512 d = low_f16(head), m = high_f16(head);
        __m512i q[4];
        turn_16x4(q, row, at + codes);
        for (size_t i = 0; i < 4; i++) {
            for (unsigned e = 0; e < 8; e++) {
                const __m512 v = _mm512_permutexvar_ps(_mm512_srli_epi32(q[i], 4 * e), table);
                const size_t k = 4 * i + e / 2 + e % 2 * 16;
                _mm512_storeu_ps(dst + k * NR, type == AC_Q4_1 ? _mm512_fmadd_ps(d, v, m)
                                                               : _mm512_mul_ps(d, v));
            }
        }
    }
}

AC_INLINE void half_panel_q8_0(float *dst, const uint8_t *const row[16], size_t kc)
{
    for (size_t p = 0, at = 0; p < kc; p += 32, at += 34, dst += 32 * NR) {
        const __m512 d = low_f16(turn_16x1(row, at));
        for (size_t half = 0; half < 2; half++) {
            __m512i q[4];
            turn_16x4(q, row, at + 2 + 16 * half);
            for (size_t i = 0; i < 4; i++) {
                for (unsigned e = 0; e < 4; e++) {
                    const __m512i s = _mm512_srai_epi32(_mm512_slli_epi32(q[i], 24 - 8 * e), 24);
                    _mm512_storeu_ps(dst + (16 * half + 4 * i + e) * NR,
                                     _mm512_mul_ps(d, _mm512_cvtepi32_ps(s)));
                }
            }
        }
    }
}

/* bfloat16: a dword holds two elements of a row, a shift and a mask widen both. */
AC_INLINE void half_panel_bf16(float *dst, const uint8_t *const row[16], size_t kc)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    size_t p = 0;
    for (; p + 8 <= kc; p += 8) {
        __m512i q[4];
        turn_16x4(q, row, 2 * p);
        for (size_t i = 0; i < 4; i++) {
            _mm512_storeu_si512(dst + (p + 2 * i) * NR, _mm512_slli_epi32(q[i], 16));
            _mm512_storeu_si512(dst + (p + 2 * i + 1) * NR, _mm512_and_si512(q[i], high));
        }
    }
    for (; p < kc; p++) {
        uint32_t v[16];
        for (size_t r = 0; r < 16; r++)
            v[r] = (uint32_t)ac_load_u16(row[r] + 2 * p) << 16;
        _mm512_storeu_si512(dst + p * NR, _mm512_loadu_si512(v));
    }
}

static void panel_nt(float *panel, const uint8_t *b, size_t row_bytes, ac_dtype type, size_t cols,
                     size_t kc)
{
    for (size_t j = 0; j < cols; j += 16, panel += 16) {
        const size_t rows = cols - j < 16 ? cols - j : 16;
        const uint8_t *row[16];
        set_rows(row, b + j * row_bytes, row_bytes, rows);
        switch (type) {
        case AC_F32:  turn_floats(panel, NR, row, kc); break;
        case AC_BF16: half_panel_bf16(panel, row, kc); break;
        case AC_Q8_0: half_panel_q8_0(panel, row, kc); break;
        case AC_Q4_0: half_panel_q4(panel, row, AC_Q4_0, kc); break;
        case AC_Q4_1: half_panel_q4(panel, row, AC_Q4_1, kc); break;
        default:      ac_mm_half_panel_avx512(panel, row, type, kc); break;
        }
    }
}

/* ---- panels, B's rows along n ------------------------------------------------------------------------- */

AC_INLINE void panels_plain(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                            ac_dtype type, size_t cols, size_t kc)
{
    for (size_t p = 0; p < kc; p++, b += row_bytes, panels += NR) {
        for (size_t j = 0; j < cols; j += 16) {
            float *to = panels + j / NR * panel_stride + j % NR;
            _mm512_storeu_ps(to, ac_load16_avx512(b, type, j, ac_tail_mask(cols - j)));
        }
    }
}

AC_INLINE void panels_quant(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                            ac_dtype type, size_t cols, size_t kc)
{
    const size_t elems = type == AC_NF4 ? 64 : type >= AC_Q4_K ? 256 : 32, bytes = ac_dtype_block_bytes(type);
    for (size_t p = 0; p < kc; p++, b += row_bytes, panels += NR)
        for (size_t j = 0; j < cols; j += NR)
            ac_expand32_avx512(panels + j / NR * panel_stride, b + j / elems * bytes, type,
                               j % elems / 32);
}

static void panel_nn(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                     ac_dtype type, size_t cols, size_t kc)
{
    switch (type) {
    case AC_F32:  panels_plain(panels, panel_stride, b, row_bytes, AC_F32, cols, kc); return;
    case AC_F16:  panels_plain(panels, panel_stride, b, row_bytes, AC_F16, cols, kc); return;
    case AC_BF16: panels_plain(panels, panel_stride, b, row_bytes, AC_BF16, cols, kc); return;
    default: break;
    }
#define PANELS(t) panels_quant(panels, panel_stride, b, row_bytes, t, cols, kc)
    AC_EACH_QUANT(type, PANELS)
#undef PANELS
}

/* ---- sums to their places -------------------------------------------------------------------------------- */

AC_INLINE void put16(float *c, __mmask16 m, __m512 s, bool add)
{
    if (add) s = _mm512_add_ps(_mm512_maskz_loadu_ps(m, c), s);
    _mm512_mask_storeu_ps(c, m, s);
}

static void put(float *c, size_t ldc, const float *s, size_t lds, size_t rows, size_t cols, bool add)
{
    for (size_t i = 0; i < rows; i++, c += ldc, s += lds) {
        for (size_t j = 0; j < cols; j += 16) {
            const __mmask16 m = ac_tail_mask(cols - j);
            put16(c + j, m, _mm512_maskz_loadu_ps(m, s + j), add);
        }
    }
}

static void put_turned(float *c, size_t ldc, const float *s, size_t lds, size_t rows, size_t cols, bool add)
{
    const __mmask16 m = ac_tail_mask(rows);
    const uint8_t *row[16];
    size_t j = 0;
    set_rows(row, (const uint8_t *)s, lds * sizeof(float), rows);
    for (; j + 4 <= cols; j += 4) {
        __m512i q[4];
        turn_16x4(q, row, 4 * j);
        for (size_t i = 0; i < 4; i++)
            put16(c + (j + i) * ldc, m, _mm512_castsi512_ps(q[i]), add);
    }
    for (; j < cols; j++)
        put16(c + j * ldc, m, column_of(row, j), add);
}

/* The vectors of a step reach past the tile's height; the next step writes there again. */
static void turn_a(float *dst, const float *a, size_t lda, size_t rows, size_t kc)
{
    const uint8_t *row[16];
    set_rows(row, (const uint8_t *)a, lda * sizeof *a, rows);
    turn_floats(dst, rows, row, kc);
}

static void fetch(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)(p + i), _MM_HINT_T1);
    if (bytes) _mm_prefetch((const char *)(p + bytes - 1), _MM_HINT_T1);
}

/* ---- numerics BF16 ---------------------------------------------------------------------------------------- */

static void pairs_a(float *dst, const float *a, size_t a_row, size_t a_k, size_t rows, size_t kc)
{
    ac_bf16_pairs_a(dst, a, a_row, a_k, rows, kc, false);
}

static void pairs_b(float *panel, size_t kc)
{
    ac_bf16_pairs_b(panel, NR, kc, false);
}

static const ac_mm_isa isa = { MR, NR, tile, WIDE_ROWS, WIDE_PANELS, tile_wide, panel_nt, panel_nn, put,
                                put_turned, fetch, ac_mm_few_avx512, ac_few_packed_avx512, pairs_a, pairs_b, NULL,
                                turn_a };

static void words_a(float *dst, const float *a, size_t a_row, size_t a_k, size_t rows, size_t kc)
{
    ac_bf16_pairs_a(dst, a, a_row, a_k, rows, kc, true);
}

static void words_b(float *panel, size_t kc)
{
    ac_bf16_pairs_b(panel, NR, kc, true);
}

static const ac_mm_isa isa_words = { MR, NR, tile, WIDE_ROWS, WIDE_PANELS, tile_wide, panel_nt, panel_nn, put,
                                     put_turned, fetch, ac_mm_few_avx512, ac_few_packed_avx512, words_a, words_b,
                                     ac_mm_pair_tile_avx512bf16, turn_a };

static void matmul_avx512_bf16(const ac_matmul_args *args, ac_mm_workspace *ws, size_t worker)
{
    ac_mm_blocks(&isa_words, args, ws, worker);
}

void ac_kernels_fill_mm_avx512_bf16(ac_kernels *t)
{
    t->matmul = matmul_avx512_bf16;
}

static void matmul_avx512(const ac_matmul_args *args, ac_mm_workspace *ws, size_t worker)
{
    ac_mm_blocks(&isa, args, ws, worker);
}

static void lay_a(float *dst, const float *a, size_t lda, size_t m, size_t k, size_t from, size_t to)
{
    ac_mm_lay_a(&isa, dst, a, lda, m, k, from, to);
}

void ac_kernels_fill_mm_avx512(ac_kernels *t)
{
    t->matmul = matmul_avx512;
    t->laid_rows = MR;
    t->lay_a = lay_a;
    t->packs = true;
    t->panel_cols = NR;
    t->expand_row = ac_expand_row_avx512;
}
