/* kernels/arm/matmul_neon.c - tiles of 12 x 8 and panels for NEON.
 *
 * A tile holds 24 accumulators and two quads of B; each element of A is loaded alone and multiplied by lane,
 * which needs no copy of it across a register. Each height has its own function, so that rows can be cut
 * evenly. */
#include "kernels/bf16_body_int.h"
#include "kernels/matmul_int.h"
#include "kernels/arm/expand_neon_int.h"

enum { MR = 12, NR = 8 };

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

/* A's elements of one k: beside each other (TN), or one in each row. */
#define BESIDE_SET(r)
#define BESIDE_START       const float *a = t->a;
#define BESIDE_ELEMENT(r)  a[r]
#define BESIDE_NEXT        a += a_k;
#define ROWS_SET(r)        const float *const a##r = t->a + (r) * t->a_row;
#define ROWS_START         AC_UNUSED(a_k);
#define ROWS_ELEMENT(r)    a##r[k]
#define ROWS_NEXT

#define START(r)                                                                                  \
    float *const c##r = t->c + (r) * t->ldc;                                                      \
    float32x4_t x##r, y##r;                                                                       \
    if (t->mode == AC_TILE_CONTINUE) {                                                            \
        x##r = vld1q_f32(c##r);                                                                   \
        y##r = vld1q_f32(c##r + 4);                                                               \
    } else {                                                                                      \
        x##r = vdupq_n_f32(0);                                                                    \
        y##r = vdupq_n_f32(0);                                                                    \
        AC_PREFETCH_WRITE(c##r);                                                                  \
    }
#define FMA(r, element)                                                                           \
    {                                                                                             \
        const float s = element;                                                                  \
        x##r = vfmaq_n_f32(x##r, b0, s);                                                          \
        y##r = vfmaq_n_f32(y##r, b1, s);                                                          \
    }
#define FINISH(r)                                                                                 \
    if (t->mode == AC_TILE_ADD) {                                                                 \
        x##r = vaddq_f32(vld1q_f32(c##r), x##r);                                                  \
        y##r = vaddq_f32(vld1q_f32(c##r + 4), y##r);                                              \
    }                                                                                             \
    vst1q_f32(c##r, x##r);                                                                        \
    vst1q_f32(c##r + 4, y##r);

#define BESIDE_FMA(r) FMA(r, BESIDE_ELEMENT(r))
#define ROWS_FMA(r)   FMA(r, ROWS_ELEMENT(r))

#define DEFINE_TILE(h, kind, KIND)                                                                \
    static void tile_##kind##_##h(const ac_mm_tile *t)                                            \
    {                                                                                             \
        const size_t b_k = t->b_k, a_k = t->a_k, kc = t->kc;                                      \
        const float *b = t->b;                                                                    \
        KIND##_START                                                                              \
        ROWS_##h(KIND##_SET)                                                                      \
        ROWS_##h(START)                                                                           \
        for (size_t k = 0; k < kc; k++, b += b_k) {                                               \
            const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4);                           \
            ROWS_##h(KIND##_FMA)                                                                  \
            KIND##_NEXT                                                                           \
        }                                                                                         \
        ROWS_##h(FINISH)                                                                          \
    }
#define DEFINE_HEIGHT(h)                                                                          \
    DEFINE_TILE(h, beside, BESIDE)                                                                \
    DEFINE_TILE(h, rows, ROWS)

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

typedef void tile_fn(const ac_mm_tile *t);
#define HEIGHTS(name)                                                                             \
    { name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8, name##_9,   \
      name##_10, name##_11, name##_12 }
static tile_fn *const tiles[2][MR] = { HEIGHTS(tile_beside), HEIGHTS(tile_rows) };

static void full_tile(const ac_mm_tile *t, size_t rows)
{
    tiles[t->a_row != 1][rows - 1](t);
}

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
    full_tile(&full, rows);
    for (size_t i = 0; i < rows; i++)
        memcpy(t->c + i * t->ldc, beside + i * NR, t->cols * sizeof(float));
}

static void tile(const ac_mm_tile *t, size_t rows)
{
    if (t->cols < NR) narrow_tile(t, rows);
    else full_tile(t, rows);
}

enum { WIDE_ROWS = 2, WIDE_PANELS = 4 };

/* One or two rows over four panels: eight or sixteen chains. */
AC_INLINE void wide_rows(const ac_mm_tile *t, const size_t rows, size_t panel_stride)
{
    float32x4_t acc[WIDE_ROWS][2 * WIDE_PANELS];
    const float *a = t->a, *b = t->b;
    const size_t a_row = t->a_row, a_k = t->a_k;
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2 * WIDE_PANELS; v++)
            acc[r][v] = t->mode == AC_TILE_CONTINUE ? vld1q_f32(t->c + r * t->ldc + 4 * v) : vdupq_n_f32(0);
    for (size_t k = t->kc; k; k--, a += a_k, b += NR) {
        for (size_t p = 0; p < WIDE_PANELS; p++) {
            const float32x4_t b0 = vld1q_f32(b + p * panel_stride), b1 = vld1q_f32(b + p * panel_stride + 4);
            for (size_t r = 0; r < rows; r++) {
                acc[r][2 * p] = vfmaq_n_f32(acc[r][2 * p], b0, a[r * a_row]);
                acc[r][2 * p + 1] = vfmaq_n_f32(acc[r][2 * p + 1], b1, a[r * a_row]);
            }
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2 * WIDE_PANELS; v++)
            vst1q_f32(t->c + r * t->ldc + 4 * v, acc[r][v]);
}

static void tile_wide(const ac_mm_tile *t, size_t rows, size_t panel_stride)
{
    if (rows == 1) wide_rows(t, 1, panel_stride);
    else wide_rows(t, 2, panel_stride);
}

/* ---- 4 rows to columns ---------------------------------------------------------------------------------- */

/* 16 bytes from each of 4 rows, turned: q[i] has dword i of every row. */
AC_INLINE void turn_4x4(uint32x4_t q[4], const uint32x4_t r[4])
{
    const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(r[0], r[1]));
    const uint64x2_t b = vreinterpretq_u64_u32(vtrn2q_u32(r[0], r[1]));
    const uint64x2_t c = vreinterpretq_u64_u32(vtrn1q_u32(r[2], r[3]));
    const uint64x2_t d = vreinterpretq_u64_u32(vtrn2q_u32(r[2], r[3]));
    q[0] = vreinterpretq_u32_u64(vtrn1q_u64(a, c));
    q[1] = vreinterpretq_u32_u64(vtrn1q_u64(b, d));
    q[2] = vreinterpretq_u32_u64(vtrn2q_u64(a, c));
    q[3] = vreinterpretq_u32_u64(vtrn2q_u64(b, d));
}

AC_INLINE void turn_bytes(uint32x4_t q[4], const uint8_t *const row[4], size_t at)
{
    uint32x4_t r[4];
    for (size_t i = 0; i < 4; i++)
        r[i] = vreinterpretq_u32_u8(vld1q_u8(row[i] + at));
    turn_4x4(q, r);
}

/* dst[p * stride + r] = element p of row r, of a type without blocks; 4 floats are stored each time. */
AC_INLINE void turn_plain(float *dst, size_t stride, const uint8_t *const row[4], ac_dtype type, size_t kc)
{
    size_t p = 0;
    for (; p + 4 <= kc; p += 4) {
        uint32x4_t r[4], q[4];
        for (size_t i = 0; i < 4; i++)
            r[i] = vreinterpretq_u32_f32(ac_load4_neon(row[i], type, p));
        turn_4x4(q, r);
        for (size_t i = 0; i < 4; i++)
            vst1q_f32(dst + (p + i) * stride, vreinterpretq_f32_u32(q[i]));
    }
    for (; p < kc; p++)
        for (size_t i = 0; i < 4; i++)
            dst[p * stride + i] = ac_load1_neon(row[i], type, p);
}

/* Rows past the last one repeat it: nobody stores what comes of them. */
AC_INLINE void set_rows(const uint8_t *row[4], const uint8_t *b, size_t row_bytes, size_t rows)
{
    for (size_t r = 0; r < 4; r++)
        row[r] = b + (r < rows ? r : rows - 1) * row_bytes;
}

/* ---- panels, B's rows along k ------------------------------------------------------------------------- */

AC_INLINE float32x4_t gather_f16(const uint8_t *const row[4], size_t at)
{
    uint16_t h[4];
    for (size_t r = 0; r < 4; r++)
        h[r] = ac_load_u16(row[r] + at);
    return ac_f16x4_neon(vld1_u16(h));
}

/* The 4-bit types of 32: byte i holds elements i and i + 16. */
AC_INLINE void half_panel_q4(float *dst, const uint8_t *const row[4], ac_dtype type, size_t kc)
{
    const size_t bytes = type == AC_Q4_1 ? 20 : 18, codes = type == AC_Q4_1 ? 4 : 2;
    const uint32x4_t low = vdupq_n_u32(15);
    for (size_t p = 0, at = 0; p < kc; p += 32, at += bytes, dst += 32 * NR) {
        const float32x4_t d = gather_f16(row, at);
        const float32x4_t m = type == AC_Q4_1 ? gather_f16(row, at + 2) : vdupq_n_f32(0);
        uint32x4_t q[4];
        turn_bytes(q, row, at + codes);
        for (size_t i = 0; i < 4; i++) {
            for (int e = 0; e < 8; e++) {
                int32x4_t n = vreinterpretq_s32_u32(vandq_u32(vshlq_u32(q[i], vdupq_n_s32(-4 * e)), low));
                if (type == AC_Q4_0) n = vsubq_s32(n, vdupq_n_s32(8));
                const float32x4_t v = vcvtq_f32_s32(n);
                const size_t k = 4 * i + (size_t)e / 2 + (size_t)e % 2 * 16;
                vst1q_f32(dst + k * NR, type == AC_Q4_1 ? vfmaq_f32(m, d, v) : vmulq_f32(d, v));
            }
        }
    }
}

AC_INLINE void half_panel_q8_0(float *dst, const uint8_t *const row[4], size_t kc)
{
    for (size_t p = 0, at = 0; p < kc; p += 32, at += 34, dst += 32 * NR) {
        const float32x4_t d = gather_f16(row, at);
        for (size_t half = 0; half < 2; half++) {
            uint32x4_t q[4];
            turn_bytes(q, row, at + 2 + 16 * half);
            for (size_t i = 0; i < 4; i++) {
                for (int e = 0; e < 4; e++) {
                    const int32x4_t up = vshlq_s32(vreinterpretq_s32_u32(q[i]), vdupq_n_s32(24 - 8 * e));
                    vst1q_f32(dst + (16 * half + 4 * i + (size_t)e) * NR,
                              vmulq_f32(d, vcvtq_f32_s32(vshrq_n_s32(up, 24))));
                }
            }
        }
    }
}

/* All other types: rows are expanded in pieces of 256 and turned. */
AC_INLINE void half_panel_any(float *dst, const uint8_t *const row[4], ac_dtype type, size_t rows, size_t kc)
{
    float piece[4][256];
    const uint8_t *from[4];
    const size_t elems = ac_dtype_block_elems(type), bytes = ac_dtype_block_bytes(type);
    set_rows(from, (const uint8_t *)piece, sizeof piece[0], rows);
    for (size_t p = 0; p < kc; p += 256) {
        const size_t n = kc - p < 256 ? kc - p : 256;
        for (size_t r = 0; r < rows; r++)
            ac_expand_row_neon(piece[r], row[r] + p / elems * bytes, type, n);
        turn_plain(dst + p * NR, NR, from, AC_F32, n);
    }
}

static void panel_nt(float *panel, const uint8_t *b, size_t row_bytes, ac_dtype type, size_t cols, size_t kc)
{
    for (size_t j = 0; j < cols; j += 4, panel += 4) {
        const size_t rows = cols - j < 4 ? cols - j : 4;
        const uint8_t *row[4];
        set_rows(row, b + j * row_bytes, row_bytes, rows);
        switch (type) {
        case AC_F32:  turn_plain(panel, NR, row, AC_F32, kc); break;
        case AC_F16:  turn_plain(panel, NR, row, AC_F16, kc); break;
        case AC_BF16: turn_plain(panel, NR, row, AC_BF16, kc); break;
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
        for (; j + 4 <= cols; j += 4)
            vst1q_f32(panels + j / NR * panel_stride + j % NR, ac_load4_neon(b, type, j));
        for (; j < cols; j++)
            panels[j / NR * panel_stride + j % NR] = ac_load1_neon(b, type, j);
    }
}

AC_INLINE void panels_quant(float *panels, size_t panel_stride, const uint8_t *b, size_t row_bytes,
                            ac_dtype type, size_t cols, size_t kc)
{
    const size_t elems = type == AC_NF4 ? 64 : type >= AC_Q4_K ? 256 : 32, bytes = ac_dtype_block_bytes(type);
    for (size_t p = 0; p < kc; p++, b += row_bytes, panels += NR)
        for (size_t j = 0; j < cols; j += 32)
            ac_expand32_neon(panels + j / NR * panel_stride, panel_stride, b + j / elems * bytes, type,
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

AC_INLINE void put_some(float *c, const float *s, size_t n, bool add)
{
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
        const float32x4_t v = vld1q_f32(s + j);
        vst1q_f32(c + j, add ? vaddq_f32(vld1q_f32(c + j), v) : v);
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
    float turned[PIECE * 4];
    for (size_t i = 0; i < rows; i += 4) {
        const size_t some = rows - i < 4 ? rows - i : 4;
        for (size_t j = 0; j < cols; j += PIECE) {
            const size_t n = cols - j < PIECE ? cols - j : PIECE;
            const uint8_t *row[4];
            set_rows(row, (const uint8_t *)(s + i * lds + j), lds * sizeof(float), some);
            turn_plain(turned, 4, row, AC_F32, n);
            for (size_t p = 0; p < n; p++)
                put_some(c + (j + p) * ldc + i, turned + 4 * p, some, add);
        }
    }
}

static void fetch(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        AC_PREFETCH_FAR(p + i);
    if (bytes) AC_PREFETCH_FAR(p + bytes - 1);
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
                                put_turned, fetch, NULL, NULL, pairs_a, pairs_b, NULL, NULL };

static void matmul_neon(const ac_matmul_args *args, ac_mm_workspace *ws, size_t worker)
{
    ac_mm_blocks(&isa, args, ws, worker);
}

void ac_kernels_fill_mm_neon(ac_kernels *t)
{
    t->matmul = matmul_neon;
    t->panel_cols = NR;
    t->expand_row = ac_expand_row_neon;
}
