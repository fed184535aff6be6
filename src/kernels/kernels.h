/* kernels/kernels.h - the deterministic kernels: a contract and a slot per operation, and dispatch.
 *
 * The bit contract (docs/numerics.md, version AC_NUMERICS_FP32):
 * B1  IEEE binary32, nearest-even, denormals kept; binary64 only where a contract here names it; fused
 *     multiply-add only where written (fma(a,b,c) below is one rounding).
 * B2  Only + - * / sqrt, fma, compares and integer operations. exp, log, sin, cos are our own polynomials.
 *     max is compare-and-select: max(a,b) = a > b ? a : b.
 * B3  Matrix products: each output element alone; k in blocks of AC_K_BLOCK, a block is one fma chain from +0
 *     with k ascending, blocks are added in order.
 * B4  Sums along a row: 16 virtual lanes, lane l takes elements l, l+16, ... in order (each lane starts at +0
 *     and adds, or fmas where said); lanes fold 8, 4, 2, 1: lane[l] += lane[l+8], then 4, 2, 1.
 * B5  Stored types expand to binary32 by one formula each (expand_row).
 * Every slot of every tier gives the same bytes for finite inputs. NaN and Inf may come out, never
 * compared: the caller checks for finiteness.
 * Sizes may be 0 where not said otherwise. Pointers need 4-byte alignment only. Slots are single-threaded
 * and touch only their outputs; splitting work over threads is the caller's, over outputs, never over a
 * sum. Threads: the table is read-only after init. */
#ifndef AC_KERNELS_KERNELS_H
#define AC_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/dtype.h"
#include "base/err.h"
#include "base/pool.h"

#define AC_NUMERICS_FP32 "fp32/1"
#define AC_NUMERICS_BF16 "bf16/1"
#define AC_NUMERICS_CUDA_BF16 "cuda-bf16/1"
#define AC_K_BLOCK       512    /* B3 */
#define AC_LANES         16     /* B4 */
#define AC_ATTN_BLOCK    64     /* keys a block, see attn_forward */

/* ---- tiers ------------------------------------------------------------------------------------- */

typedef enum { AC_CPU_AUTO, AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON } ac_cpu;

enum {
    AC_HAS_AVX2 = 1,      /* AVX2, FMA, F16C, and the OS saves ymm */
    AC_HAS_AVX512 = 2,    /* F, BW, DQ, VL, and the OS saves zmm */
    AC_HAS_NEON = 4,
    AC_HAS_AVX512_BF16 = 8 /* vdpbf16ps, with AVX512 */
};
unsigned    ac_cpu_flags(void);                 /* detected once */
const char *ac_cpu_name(ac_cpu c);              /* "avx512" */
bool        ac_cpu_offers(ac_cpu c);            /* CPU and system have the tier (not AUTO) */
const char *ac_cpu_lacks(ac_cpu c);             /* what is missing for it; NULL when it is offered */
bool        ac_cpu_parse(const char *name, ac_cpu *out);
const char *ac_cpu_model(void);                 /* "Intel(R) Xeon(R) ...", "" when unknown */

/* ---- matrix product ---------------------------------------------------------------------------- */

/* The arithmetics of products. CUDA_BF16 is no kernel's here (B10). BF16: both factors are rounded to bfloat16 (ac_bf16_round); in a block of k the
 * chain takes the pairs (0,1), (2,3), ... of its elements, in each the odd one first: chain = fma(a1, b1, chain),
 * then chain = fma(a0, b0, chain); a lone last element is even, and its odd partner is +0 times +0. Everything
 * else is as in FP32. */
typedef enum { AC_NUM_FP32, AC_NUM_BF16, AC_NUM_CUDA_BF16 } ac_numerics;
const char *ac_numerics_name(ac_numerics n);    /* "fp32/1", "bf16/1", "cuda-bf16/1" */
/* Nearest, ties to even; under 2^-55 a zero of x's sign, so that no product of two is a denormal. */
float       ac_bf16_round(float x);

/* C (+)= A B in one of three forms; C is m x n with rows ldc floats apart.
 *   NT  A: m rows of k (lda floats apart); B: n rows of k stored as b_type. Forward of a linear layer.
 *   NN  A: m rows of k; B: k rows of n stored as b_type. Its input gradient.
 *   TN  A: k rows of m; B: k rows of n, F32 only. Its weight gradient; k is the unit's tokens.
 * A row of B takes b_row_bytes bytes. S = fold of blocks (B3); C = S, or C = C_old + S when accumulate (S is
 * complete before it is added). k = 0: S = +0. */
typedef enum { AC_MM_NT, AC_MM_NN, AC_MM_TN } ac_mm_form;
typedef struct ac_kernels ac_kernels;
typedef struct ac_packed ac_packed;
typedef struct ac_panels ac_panels;
typedef struct {
    ac_mm_form form;
    size_t m, n, k;
    const float *a;
    size_t lda;
    const void *b;
    ac_dtype b_type;
    size_t b_row_bytes;
    float *c;
    size_t ldc;
    bool accumulate;
    const ac_packed *packed;   /* NULL, or the whole of B laid out ahead (NT only): same bits, sooner */
    size_t packed_row;         /* row of it that b's first row is: a multiple of 16 */
    ac_numerics numerics;
    const ac_panels *panels;   /* NULL, or the whole of B laid out for any m (NT and NN): same bits, sooner */
    size_t panels_col;         /* column of it that C's first column is: a multiple of 32 */
    const float *laid;         /* NULL, or all of these m rows and k of A as lay_a leaves them (NT and NN): same bits */
} ac_matmul_args;

/* Stored weights laid out ahead (few_int.h), for products of few rows of A: rows of B stand side by side in
 * their stored precision, so a product reads them once, in order. Bytes: about those of B, with n filled up to
 * a multiple of 16; 0 for a type that has no such form. Does not keep b; the pool may be NULL. */
size_t    ac_packed_bytes(ac_dtype type, size_t n, size_t k);
ac_status ac_packed_open(ac_packed **out, ac_pool *pool, ac_dtype type, const void *b, size_t row_bytes,
                         size_t n, size_t k, ac_err *err);
void      ac_packed_close(ac_packed **p);

/* Weights expanded and laid out ahead for products of any number of rows, as the tier's tiles read them (panels_int.h);
 * FP32 only. b as the form stores it, n and k as in ac_matmul_args. Bytes: four for each weight, n filled up to a
 * panel. Of use to tables of one tier alone: another passes it over. Does not keep b; the pool may be NULL. */
size_t    ac_panels_bytes(const ac_kernels *t, size_t n, size_t k);
ac_status ac_panels_open(ac_panels **out, const ac_kernels *t, ac_pool *pool, ac_mm_form form, ac_dtype type,
                         const void *b, size_t row_bytes, size_t n, size_t k, ac_err *err);
void      ac_panels_close(ac_panels **p);

size_t    ac_laid_tiles(const ac_kernels *t, size_t m);             /* 0: the tier lays nothing out */
size_t    ac_laid_floats(const ac_kernels *t, size_t m, size_t k);

/* Pool-wide workspace for packing, sized once for a thread count. */
typedef struct ac_mm_workspace ac_mm_workspace;
ac_status ac_mm_workspace_open(ac_mm_workspace **out, size_t threads, ac_err *err);
void      ac_mm_workspace_close(ac_mm_workspace **w);
size_t    ac_mm_workspace_bytes(size_t threads);
void      ac_mm_workspace_touch(ac_mm_workspace *w, size_t worker);   /* every page of its part is there from now on */

/* ---- attention ---------------------------------------------------------------------------------- */

/* One query head over one document's keys; causal. Query row i stands at position q_pos + i (at q_pos with
 * one_pos: rows are then heads that share these keys) and sees keys max(0, pos + 1 - window) .. pos (window 0:
 * all). Rows of q/k/v/out are *_stride floats apart.
 * For a query: keys in blocks of AC_ATTN_BLOCK counted from key 0; within a block
 *   s_j = (fma chain over d ascending of q_d k_jd, from +0) * scale     for the visible keys j
 *   m' = the largest of m and the s_j (m = -inf at first; which zero wins a tie of -0 and +0 reaches no output)
 *   c = exp(m - m') (0 for the first block seen); p_j = exp(s_j - m')
 *   l = fma(l, c, sum of the p_j by B4, key j in lane j mod 16)
 *   acc_d = acc_d * c, then fma(p_j, v_jd, acc_d) keys ascending
 * at the end out_d = acc_d / l and lse = m + log(l). Blocks without a visible key are skipped. So a result
 * depends on the query and its keys alone: not on n_q, packing or prefill against decode (B8). out overlaps
 * no input. */
typedef struct {
    const float *q, *k, *v;
    size_t q_stride, k_stride, v_stride;
    size_t n_q, q_pos;         /* keys up to the last row's position are readable */
    bool one_pos;
    size_t head_dim;           /* 1..256 */
    size_t window;
    float scale;
    float *out;
    size_t out_stride;
    float *lse;                /* n_q values, or NULL */
} ac_attn_args;

/* Gradient for one key/value head and the `group` query heads that share it; whole document (q_pos 0).
 * Head h of the group has q + h*head_dim (same for out, dout, dq) and lse + h*lse_stride.
 * delta_i = sum_d dout*out (B4, fma into the lanes); P_ij = exp(s_ij - lse_i), with s_ij as in forward;
 * dP_ij = fma chain over d ascending of dout_id v_jd from +0; dS_ij = P_ij * (dP_ij - delta_i);
 *   dq_id = (fma chain over visible keys j ascending of dS_ij k_jd, from +0) * scale
 *   dv_jd = chain over heads ascending, then queries ascending, of fma(P_ij, dout_id, .) from +0
 *   dk_jd = (the same chain of fma(dS_ij, q_id, .)) * scale
 * dq, dk and dv are overwritten and overlap no input. */
typedef struct {
    const float *q, *k, *v, *out, *dout, *lse;
    size_t q_stride, k_stride, v_stride, out_stride, dout_stride, lse_stride;
    size_t n, head_dim, group, window;
    float scale;
    float *dq, *dk, *dv;
    size_t dq_stride, dk_stride, dv_stride;
    float *scratch;            /* ac_attn_scratch_floats(n, head_dim, group) floats */
} ac_attn_grad_args;
size_t ac_attn_scratch_floats(size_t n, size_t head_dim, size_t group);   /* 0: too large to count */

/* ---- the table ----------------------------------------------------------------------------------- */

/* Where random words come from: ac_rng_u32(seed, stream, step, index + i) for element i of a call. */
typedef struct {
    uint64_t seed, step, index;
    uint32_t stream;
} ac_draw;

struct ac_kernels {
    ac_cpu tier;
    bool packs;                /* matmul makes use of ac_matmul_args.packed */
    size_t panel_cols;         /* columns of a panel of ac_matmul_args.panels; 0: matmul makes no use of them */

    /* A of several products NT or NN that have it in common, laid out once as the tiles read it: ac_laid_floats(t, m, k)
     * floats, 64-byte aligned; the call fills the tiles [from, to) of ac_laid_tiles(t, m). laid_rows 0, and lay_a NULL: the
     * tier has no such form, and matmul passes `laid` over. */
    size_t laid_rows;
    void (*lay_a)(float *dst, const float *a, size_t lda, size_t m, size_t k, size_t from, size_t to);

    /* Products. One call computes C for rows [0,m) and columns [0,n) of args on one thread; worker picks
     * its part of the workspace. ac_matmul splits over threads. */
    void (*matmul)(const ac_matmul_args *args, ac_mm_workspace *ws, size_t worker);

    /* dst[i] = element i of a stored row; n elements, a multiple of the type's block (B5). */
    void (*expand_row)(float *dst, const void *src, ac_dtype type, size_t n);

    /* y = x * r * w with r = 1 / sqrt(mean + eps), mean = (sum of x*x by B4, fma into lanes) / cols;
     * (x * r) first, then * w. y may equal x. */
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t rows, size_t cols, float eps);
    /* g = dy * w; c = ((sum_j g_j x_j by B4, fma) * (r * r)) / cols; d_i = r * fma(-c, x_i, g_i);
     * dx_i = d_i, or dx_i + d_i when accumulate. dx may equal dy. */
    void (*rmsnorm_grad)(float *dx, const float *dy, const float *x, const float *w, size_t rows,
                         size_t cols, float eps, bool accumulate);

    /* Rotary embedding in place over `heads` heads of head_dim floats in each of rows rows (row_stride
     * floats apart), halves split: (x[i], x[i+d/2]) -> (x0*c - x1*s, x1*c + x0*s), each as
     * fma(x0, c, -(x1*s)) and fma(x1, c, x0*s). cos/sin rows of head_dim/2 floats at pos[row]. inverse: the
     * gradient (s negated). */
    void (*rope)(float *x, size_t row_stride, size_t rows, size_t heads, size_t head_dim,
                 const uint32_t *pos, const float *cos_table, const float *sin_table, bool inverse);

    void (*attn_forward)(const ac_attn_args *args);
    void (*attn_grad)(const ac_attn_grad_args *args);

    /* s = 1 / (1 + exp(-g)); y = (g * s) * u. y may equal g or u. */
    void (*swiglu)(float *y, const float *g, const float *u, size_t n);
    /* s as in swiglu; du = dy * (g * s); dg = (dy * u) * (s * fma(g, 1 - s, 1)). Outputs may equal inputs. */
    void (*swiglu_grad)(float *dg, float *du, const float *dy, const float *g, const float *u, size_t n);

    void (*add)(float *y, const float *a, const float *b, size_t n);          /* y may equal a or b */
    void (*add_row)(float *x, const float *bias, size_t rows, size_t cols, size_t row_stride);
    void (*scale)(float *x, float s, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);                /* y = fma(a, x, y) */

    /* Rows of logits: lse = max + log(sum of exp(x - max)), max and sum by B4 (max lanes from -inf, lane =
     * max(lane, x)); nll[r] = lse - x[target], 0 <= target < cols. With grad, in place: x becomes
     * exp(x - lse) * grad_scale, and at the target (exp(x - lse) - 1) * grad_scale. */
    void (*cross_entropy)(float *logits, size_t rows, size_t cols, size_t row_stride,
                          const int32_t *target, float *nll, bool grad, float grad_scale);
    /* y = exp(x - max) / sum, max and sum as in cross_entropy. y may equal x. */
    void (*softmax)(float *y, const float *x, size_t n);
    size_t (*argmax)(const float *x, size_t n);              /* lowest index of the largest; n >= 1 */

    /* y_i = x_i * inv_keep where ac_rng_u32(seed, AC_RNG_DROPOUT, step, index + i) >= threshold, else +0;
     * y may equal x. The same call on dy is the gradient. */
    void (*dropout)(float *y, const float *x, size_t n, uint64_t seed, uint64_t step, uint64_t index,
                    uint32_t threshold, float inv_keep);

    /* Sum of squares in binary64 (the squares are exact there): 16 lanes of double, folded as B4. */
    double (*sum_squares)(const float *x, size_t n);
    bool   (*all_finite)(const float *x, size_t n);

    /* AdamW (Loshchilov and Hutter, 2019), decoupled decay, torch's order:
     *   g' = g * grad_scale; m = fma(b1, m, (1-b1) * g'); v = fma(b2, v, (1-b2) * (g' * g'));
     *   u = m / fma(sqrt(v), 1/sqrt(bc2), eps); p = fma(-(lr/bc1), u, p * (1 - lr*wd)),
     * bc1 = 1-b1^t, bc2 = 1-b2^t; the scalars come in ready as floats. p, m, v and g do not overlap. */
    void (*adamw)(float *p, float *m, float *v, const float *g, size_t n, float grad_scale,
                  float one_minus_lr_wd, float b1, float one_minus_b1, float b2, float one_minus_b2,
                  float lr_over_bc1, float inv_sqrt_bc2, float eps);

    /* The other optimizers; g' = g * grad_scale, keep = 1 - lr*wd (decoupled decay everywhere), m, p and g do not
     * overlap. sgd (torch's momentum): m = fma(mu, m, g'), d = m, or d = g' with m NULL; p = fma(-lr, d, p * keep). */
    void (*sgd)(float *p, float *m, const float *g, size_t n, float grad_scale, float keep, float mu, float lr);
    /* Lion (Chen et al., 2023): c = fma(b1, m, (1-b1) * g'); s = the sign of c, or c where it is a zero;
     * p = fma(-lr, s, p * keep); m = fma(b2, m, (1-b2) * g'). */
    void (*lion)(float *p, float *m, const float *g, size_t n, float grad_scale, float keep, float b1,
                 float one_minus_b1, float b2, float one_minus_b2, float lr);
    /* Muon's momentum: a = (1-mu) * g'; m = fma(mu, m, a); u = fma(mu, m, a). u may equal g. */
    void (*nesterov)(float *u, float *m, const float *g, size_t n, float grad_scale, float mu, float one_minus_mu);
    void (*descend)(float *p, const float *x, size_t n, float keep, float step);   /* p = fma(-step, x, p * keep) */
    /* Adafactor (Shazeer and Stern, 2018). Sum of squares of each column: blocks of AC_K_BLOCK rows, a block is one
     * chain fma(x, x, chain) from +0, rows ascending; the sum starts at +0 and blocks are added in order. */
    void (*col_squares)(float *sum, const float *x, size_t rows, size_t cols, size_t row_stride);
    void (*factored)(float *x, const float *c, size_t n, float a, float least);    /* x / sqrt(max(c * a, least)) */
    /* v = fma(b, v, (1-b) * (x * x)); x = x / sqrt(max(v, least)). */
    void (*unfactored)(float *x, float *v, size_t n, float b, float one_minus_b, float least);

    /* Stored state. Element i draws w = ac_rng_u32(seed, stream, step, index + i); x is finite.
     * bf16_random: the upper half of bits(x) + (w mod 2^16), so that rounding is unbiased. */
    void (*bf16_random)(uint16_t *dst, const float *x, size_t n, const ac_draw *d);
    /* One block: scale = the largest |x|, +0 where all are zero. r = |x| / scale (0 when scale is 0);
     * low = floor(sqrt(r) * 127) for is_square (signed values), floor(sqrt(sqrt(r)) * 255) else (x >= 0);
     * share(k) = t*t for is_square, (t*t)*(t*t) else, t = k * unit (the binary32 nearest to 1/127, 1/255);
     * code = low + 1 where r - share(low) > (w / 2^8 rounded down * 2^-24) * (share(low+1) - share(low)), else low;
     * at most 127 (255); where is_square is false, a code of 0 becomes 1 for x > 0. Stored: the code with x's sign
     * in two's complement, or the code. Decoding: share(code) * scale with the code's sign. */
    void (*code8_encode)(uint8_t *q, float *scale, const float *x, size_t n, bool is_square, const ac_draw *d);
    void (*code8_decode)(float *x, const uint8_t *q, float scale, size_t n, bool is_square);

    /* y may equal x. exp: within 1.1 ulp (of a denormal's spacing where the result is one); +0 from -104 down,
     * Inf from 88.8 up. log: x > 0, denormals too, within 2 ulp. */
    void (*exp)(float *y, const float *x, size_t n);
    void (*log)(float *y, const float *x, size_t n);
};

/* Fills the table for a tier. AUTO: the best that the CPU offers and that passes its self-test. A tier that the CPU
 * lacks, or that fails, is AC_EARG, with a message that says what there is. */
ac_status ac_kernels_init(ac_kernels *t, ac_cpu choice, ac_err *err);
/* The same without the self-test, for what tests the tiers; the CPU must offer it. */
void ac_kernels_fill(ac_kernels *t, ac_cpu tier);

/* What the self-test of a tier found (selftest.c): run once a process, the answer is kept. */
typedef struct {
    bool done;               /* false: the CPU does not offer this tier */
    bool illegal;            /* the CPU refused an instruction that it claims */
    const char *differs;     /* the first check whose bytes are not ref's; NULL: passed */
} ac_selftest;
ac_status ac_kernels_selftest(ac_cpu tier, ac_selftest *out, ac_err *err);
size_t    ac_selftest_checks(void);             /* how many there are */

/* How products of BF16 are computed: through the ordinary tiles, or by the CPU's own instruction. The same bits; which
 * is faster depends on the CPU, so init times both once a process. false: the CPU or this tier has no such
 * instruction, or the instruction failed its test against the written order, and nothing was changed. */
bool ac_kernels_use_bf16_instruction(ac_kernels *t, bool use);
typedef struct {
    bool has, tested, used;    /* the CPU claims it; it gave the written bits; it was the faster one */
    double times_faster;       /* than the ordinary tiles; 0: not timed */
} ac_bf16_route;
ac_bf16_route ac_kernels_bf16_route(void);      /* as found by the last init of AUTO or AVX512 */

/* The product over a pool: splits outputs only, same bits at any thread count. */
void ac_matmul(const ac_kernels *t, ac_pool *pool, ac_mm_workspace *ws, const ac_matmul_args *args);
/* n products whose outputs are apart: the same, but few rows over packed weights make one run of the pool. */
void ac_matmul_several(const ac_kernels *t, ac_pool *pool, ac_mm_workspace *ws, const ac_matmul_args *args,
                       size_t n);

/* Our own binary64 code for tables and schedules (scalar_math.c), the same bits on every CPU. cos and sin of
 * |x| up to 2^31; ac_sincos rounds once to binary32 and is within 1 ulp of it. The others are within 2 ulp
 * of binary64; pow as long as |exponent * log(base)| <= 64, base > 0 and finite (else NaN). log of 0 is -Inf, of
 * a negative number NaN. */
void   ac_sincos(double x, float *sin_out, float *cos_out);
double ac_exp_f64(double x);
double ac_log_f64(double x);
double ac_pow_f64(double base, double exponent);
double ac_cos_f64(double x);

#endif
