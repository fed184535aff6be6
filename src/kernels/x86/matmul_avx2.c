/* kernels/x86/matmul_avx2.c - tiles of 6 x 16 and panels for AVX2 and FMA.
 *
 * A tile holds 12 accumulators, two vectors of B and one broadcast element of A: 15 of 16 registers.
 * Each height has its own function, so that rows can be cut evenly. */
#include "kernels/bf16_body_int.h"
#include "kernels/few_int.h"
#include "kernels/matmul_int.h"
#include "kernels/x86/expand_avx2_int.h"

enum { MR = 6, NR = 16, AHEAD = 16, A_AHEAD = 24 };

#define AP_0 a[0]
#define AP_1 a[1]
#define AP_2 a[2]
#define AP_3 a[3]
#define AP_4 a[4]
#define AP_5 a[5]
#define AR_0 p0[0]
#define AR_1 p0[rs]
#define AR_2 p0[2 * rs]
#define AR_3 p1[0]
#define AR_4 p1[rs]
#define AR_5 p1[2 * rs]

#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)

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
    const float *p0 = t->a, *p1 = p0 + 3 * rs;                                                    \
    AC_UNUSED(p1), AC_UNUSED(rs), AC_UNUSED(a_k);
#define ROWS_NEXT p0++, p1++;

#define START(r)                                                                                  \
    float *const c##r = t->c + (r) * t->ldc;                                                      \
    __m256 x##r, y##r;                                                                            \
    if (t->mode == AC_TILE_CONTINUE) {                                                            \
        x##r = _mm256_loadu_ps(c##r);                                                             \
        y##r = _mm256_loadu_ps(c##r + 8);                                                         \
    } else {                                                                                      \
        x##r = _mm256_setzero_ps();                                                               \
        y##r = _mm256_setzero_ps();                                                               \
        _mm_prefetch((const char *)c##r, _MM_HINT_T0);                                            \
    }
#define FMA(r, element)                                                                           \
    {                                                                                             \
        const __m256 s = _mm256_broadcast_ss(&element);                                           \
        x##r = _mm256_fmadd_ps(s, b0, x##r);                                                      \
        y##r = _mm256_fmadd_ps(s, b1, y##r);                                                      \
    }
#define FINISH(r)                                                                                 \
    if (t->mode == AC_TILE_ADD) {                                                                 \
        x##r = _mm256_add_ps(_mm256_loadu_ps(c##r), x##r);                                        \
        y##r = _mm256_add_ps(_mm256_loadu_ps(c##r + 8), y##r);                                    \
    }                                                                                             \
    _mm256_storeu_ps(c##r, x##r);                                                                 \
    _mm256_storeu_ps(c##r + 8, y##r);

#define FMA_BESIDE(r) FMA(r, AP_##r)
#define FMA_ROWS(r)   FMA(r, AR_##r)

#define DEFINE_TILE(h, kind, FMA_KIND, POINTERS, NEXT)                                            \
    static void tile_##kind##_##h(const ac_mm_tile *t)                                            \
    {                                                                                             \
        const size_t b_k = t->b_k, a_k = t->a_k;                                                  \
        const float *b = t->b;                                                                    \
        POINTERS                                                                                  \
        ROWS_##h(START)                                                                           \
        for (size_t k = t->kc; k; k--) {                                                          \
            const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);                    \
            _mm_prefetch((const char *)(b + AHEAD * b_k), _MM_HINT_T0);                           \
            b += b_k;                                                                             \
            ROWS_##h(FMA_KIND)                                                                    \
            NEXT                                                                                  \
        }                                                                                         \
        ROWS_##h(FINISH)                                                                          \
    }
#define DEFINE_HEIGHT(h)                                                                          \
    DEFINE_TILE(h, beside, FMA_BESIDE, BESIDE_POINTERS, BESIDE_NEXT)                              \
    DEFINE_TILE(h, rows, FMA_ROWS, ROWS_POINTERS, ROWS_NEXT)

DEFINE_HEIGHT(1)
DEFINE_HEIGHT(2)
DEFINE_HEIGHT(3)
DEFINE_HEIGHT(4)
DEFINE_HEIGHT(5)
DEFINE_HEIGHT(6)

typedef void tile_fn(const ac_mm_tile *t);
#define HEIGHTS(name) { name##_1, name##_2, name##_3, name##_4, name##_5, name##_6 }
static tile_fn *const tiles[2][MR] = { HEIGHTS(tile_beside), HEIGHTS(tile_rows) };

/* A panel's last columns go through a full tile beside C. */
static void narrow_tile(const ac_mm_tile *t, size_t rows)
{
    float beside[MR * NR] = {0};
    ac_mm_tile full = *t;
    full.c = beside;
    full.ldc = NR;
    full.cols = NR;
    for (size_t i = 0; i < rows && t->mode != AC_TILE_STORE; i++)
        memcpy(beside + i * NR, t->c + i * t->ldc, t->cols * sizeof(float));
    tiles[t->a_row != 1][rows - 1](&full);
    for (size_t i = 0; i < rows; i++)
        memcpy(t->c + i * t->ldc, beside + i * NR, t->cols * sizeof(float));
}

static void tile(const ac_mm_tile *t, size_t rows)
{
    if (t->cols < NR) narrow_tile(t, rows);
    else tiles[t->a_row != 1][rows - 1](t);
}

enum { WIDE_ROWS = 1, WIDE_PANELS = 4 };

/* One row over four panels: eight chains. */
static void tile_wide(const ac_mm_tile *t, size_t rows, size_t panel_stride)
{
    __m256 acc[2 * WIDE_PANELS];
    const float *a = t->a, *b = t->b;
    AC_UNUSED(rows);
    for (size_t v = 0; v < 2 * WIDE_PANELS; v++)
        acc[v] = t->mode == AC_TILE_CONTINUE ? _mm256_loadu_ps(t->c + 8 * v) : _mm256_setzero_ps();
    for (size_t k = 0; k < t->kc; k++, a += t->a_k, b += NR) {
        const __m256 s = _mm256_broadcast_ss(a);
        for (size_t p = 0; p < WIDE_PANELS; p++) {
            acc[2 * p] = _mm256_fmadd_ps(s, _mm256_loadu_ps(b + p * panel_stride), acc[2 * p]);
            acc[2 * p + 1] = _mm256_fmadd_ps(s, _mm256_loadu_ps(b + p * panel_stride + 8), acc[2 * p + 1]);
        }
    }
    for (size_t v = 0; v < 2 * WIDE_PANELS; v++)
        _mm256_storeu_ps(t->c + 8 * v, acc[v]);
}

/* ---- 8 rows to columns -------------------------------------------------------------------------------- */

/* 16 bytes from each of 8 rows, turned: q[i] has dword i of every row. The vector of rows p and 4 + p
 * keeps the turn inside its lanes. */
AC_INLINE void turn_8x4(__m256i q[4], const uint8_t *const row[8], size_t at)
{
    __m256i v[4];
    for (size_t p = 0; p < 4; p++) {
        v[p] = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(row[p] + at)));
        v[p] = _mm256_inserti128_si256(v[p],
            _mm_loadu_si128((const __m128i *)(const void *)(row[4 + p] + at)), 1);
    }
    const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
    const __m256i c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    q[0] = _mm256_unpacklo_epi64(a, c);
    q[1] = _mm256_unpackhi_epi64(a, c);
    q[2] = _mm256_unpacklo_epi64(b, d);
    q[3] = _mm256_unpackhi_epi64(b, d);
}

AC_INLINE __m256 column_of(const uint8_t *const row[8], size_t p)
{
    float v[8];
    for (size_t r = 0; r < 8; r++)
        memcpy(&v[r], row[r] + 4 * p, 4);
    return _mm256_loadu_ps(v);
}

/* dst[p * stride + r] = float p of row r; 8 floats are stored each time. */
AC_INLINE void turn_floats(float *dst, size_t stride, const uint8_t *const row[8], size_t kc)
{
    size_t p = 0;
    for (; p + 4 <= kc; p += 4) {
        __m256i q[4];
        turn_8x4(q, row, 4 * p);
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_ps(dst + (p + i) * stride, _mm256_castsi256_ps(q[i]));
    }
    for (; p < kc; p++)
        _mm256_storeu_ps(dst + p * stride, column_of(row, p));
}

/* Rows past the last one repeat it: nobody stores what comes of them. */
AC_INLINE void set_rows(const uint8_t *row[8], const uint8_t *b, size_t row_bytes, size_t rows)
{
    for (size_t r = 0; r < 8; r++)
        row[r] = b + (r < rows ? r : rows - 1) * row_bytes;
}

/* ---- panels, B's rows along k ------------------------------------------------------------------------- */

AC_INLINE __m256 gather_f16(const uint8_t *const row[8], size_t at)
{
    uint16_t h[8];
    for (size_t r = 0; r < 8; r++)
        h[r] = ac_load_u16(row[r] + at);
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)h));
}

/* The 4-bit types of 32: byte i holds elements i and i + 16. */
AC_INLINE void half_panel_q4(float *dst, const uint8_t *const row[8], ac_dtype type, size_t kc)
{
    const size_t bytes = type == AC_Q4_1 ? 20 : 18, codes = type == AC_Q4_1 ? 4 : 2;
    const __m256i low = _mm256_set1_epi32(15), eight = _mm256_set1_epi32(8);
    for (size_t p = 0, at = 0; p < kc; p += 32, at += bytes, dst += 32 * NR) {
        const __m256 d = gather_f16(row, at);
        const __m256 m = type == AC_Q4_1 ? gather_f16(row, at + 2) : _mm256_setzero_ps();
        __m256i q[4];
        turn_8x4(q, row, at + codes);
        for (size_t i = 0; i < 4; i++) {
            for (int e = 0; e < 8; e++) {
                __m256i n = _mm256_and_si256(_mm256_srli_epi32(q[i], 4 * e), low);
                if (type == AC_Q4_0) n = _mm256_sub_epi32(n, eight);
                const __m256 v = _mm256_cvtepi32_ps(n);
                const size_t k = 4 * i + (size_t)e / 2 + (size_t)e % 2 * 16;
                _mm256_storeu_ps(dst + k * NR, type == AC_Q4_1 ? _mm256_fmadd_ps(d, v, m)
                                                               : _mm256_mul_ps(d, v));
            }
        }
    }
}

AC_INLINE void half_panel_q8_0(float *dst, const uint8_t *const row[8], size_t kc)
{
    for (size_t p = 0, at = 0; p < kc; p += 32, at += 34, dst += 32 * NR) {
        const __m256 d = gather_f16(row, at);
        for (size_t half = 0; half < 2; half++) {
            __m256i q[4];
            turn_8x4(q, row, at + 2 + 16 * half);
            for (size_t i = 0; i < 4; i++) {
                for (int e = 0; e < 4; e++) {
                    const __m256i s = _mm256_srai_epi32(_mm256_slli_epi32(q[i], 24 - 8 * e), 24);
                    _mm256_storeu_ps(dst + (16 * half + 4 * i + (size_t)e) * NR,
                                     _mm256_mul_ps(d, _mm256_cvtepi32_ps(s)));
                }
            }
        }
    }
}

/* All other types: rows are expanded in pieces of 256 and turned. */
AC_INLINE void half_panel_any(float *dst, const uint8_t *const row[8], ac_dtype type, size_t rows,
                              size_t kc)
{
    float piece[8][256];
    const uint8_t *from[8];
    const size_t elems = ac_dtype_block_elems(type), bytes = ac_dtype_block_bytes(type);
    set_rows(from, (const uint8_t *)piece, sizeof piece[0], rows);
    for (size_t p = 0; p < kc; p += 256) {
        const size_t n = kc - p < 256 ? kc - p : 256;
        for (size_t r = 0; r < rows; r++)
            ac_expand_row_avx2(piece[r], row[r] + p / elems * bytes, type, n);
        turn_floats(dst + p * NR, NR, from, n);
    }
}

static void panel_nt(float *panel, const uint8_t *b, size_t row_bytes, ac_dtype type, size_t cols,
                     size_t kc)
{
    for (size_t j = 0; j < cols; j += 8, panel += 8) {
        const size_t rows = cols - j < 8 ? cols - j : 8;
        const uint8_t *row[8];
        set_rows(row, b + j * row_bytes, row_bytes, rows);
        switch (type) {
        case AC_F32:  turn_floats(panel, NR, row, kc); break;
        case AC_Q8_0: half_panel_q8_0(panel, row, kc); break;
        case AC_Q4_0: half_panel_q4(panel, row, AC_Q4_0, kc); break;
        case AC_Q4_1: half_panel_q4(panel, row, AC_Q4_1, kc); break;
        default:      half_panel_any(panel, row, type, rows, kc); break;
        }
    }
}

/* ---- panels, B's rows along n ------------------------------------------------------------------------- */

AC_INLINE void panels_plain(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                            ac_dtype type, size_t cols, size_t kc)
{
    for (size_t p = 0; p < kc; p++, b += row_bytes, panels += NR) {
        size_t j = 0;
        for (; j + 8 <= cols; j += 8)
            _mm256_storeu_ps(panels + j / NR * panel_stride + j % NR, ac_load8_avx2(b, type, j));
        for (; j < cols; j++)
            panels[j / NR * panel_stride + j % NR] = ac_load1_avx2(b, type, j);
    }
}

AC_INLINE void panels_quant(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                            ac_dtype type, size_t cols, size_t kc)
{
    const size_t elems = type == AC_NF4 ? 64 : type >= AC_Q4_K ? 256 : 32, bytes = ac_dtype_block_bytes(type);
    for (size_t p = 0; p < kc; p++, b += row_bytes, panels += NR) {
        for (size_t j = 0; j < cols; j += 32) {
            float *to = panels + j / NR * panel_stride;
            ac_expand32_avx2(to, to + panel_stride, b + j / elems * bytes, type, j % elems / 32);
        }
    }
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

AC_INLINE void put_some(float *c, const float *s, size_t n, bool add)
{
    size_t j = 0;
    for (; j + 8 <= n; j += 8) {
        const __m256 v = _mm256_loadu_ps(s + j);
        _mm256_storeu_ps(c + j, add ? _mm256_add_ps(_mm256_loadu_ps(c + j), v) : v);
    }
    for (; j < n; j++)
        c[j] = add ? c[j] + s[j] : s[j];
}

static void put(float *c, size_t ldc, const float *s, size_t lds, size_t rows, size_t cols, bool add)
{
    for (size_t i = 0; i < rows; i++)
        put_some(c + i * ldc, s + i * lds, cols, add);
}

static void put_turned(float *c, size_t ldc, const float *s, size_t lds, size_t rows, size_t cols, bool add)
{
    enum { PIECE = 32 };
    float turned[PIECE * 8];
    for (size_t i = 0; i < rows; i += 8) {
        const size_t some = rows - i < 8 ? rows - i : 8;
        for (size_t j = 0; j < cols; j += PIECE) {
            const size_t n = cols - j < PIECE ? cols - j : PIECE;
            const uint8_t *row[8];
            set_rows(row, (const uint8_t *)(s + i * lds + j), lds * sizeof(float), some);
            turn_floats(turned, 8, row, n);
            for (size_t p = 0; p < n; p++)
                put_some(c + (j + p) * ldc + i, turned + 8 * p, some, add);
        }
    }
}

/* The vectors of a step reach past the tile's height; the next step writes there again. */
static void turn_a(float *dst, const float *a, size_t lda, size_t rows, size_t kc)
{
    const uint8_t *row[8];
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
                                put_turned, fetch, NULL, ac_few_packed_avx2, pairs_a, pairs_b, NULL, turn_a };

static void matmul_avx2(const ac_matmul_args *args, ac_mm_workspace *ws, size_t worker)
{
    ac_mm_blocks(&isa, args, ws, worker);
}

static void lay_a(float *dst, const float *a, size_t lda, size_t m, size_t k, size_t from, size_t to)
{
    ac_mm_lay_a(&isa, dst, a, lda, m, k, from, to);
}

void ac_kernels_fill_mm_avx2(ac_kernels *t)
{
    t->matmul = matmul_avx2;
    t->laid_rows = MR;
    t->lay_a = lay_a;
    t->packs = true;
    t->panel_cols = NR;
    t->expand_row = ac_expand_row_avx2;
}
