/* backend/cuda/cuda_kernels.cu - everything but products and attention: elementwise, row and reduction kernels.
 * Rows are summed by one warp or one block in a fixed order (G2); arithmetic is binary32, bfloat16 only in memory. */
#include <cuda_bf16.h>
#include <stdint.h>
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_math.cuh"

typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ float low(uint32_t two)
{
    return __uint_as_float(two << 16);
}

static __device__ __forceinline__ float high(uint32_t two)
{
    return __uint_as_float(two & 0xffff0000u);
}

static __device__ __forceinline__ uint32_t two_of(float lo, float hi)
{
    const __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    return *reinterpret_cast<const uint32_t *>(&v);
}

static __device__ __forceinline__ void widen8(float x[8], const uint4 v)
{
    x[0] = low(v.x), x[1] = high(v.x), x[2] = low(v.y), x[3] = high(v.y);
    x[4] = low(v.z), x[5] = high(v.z), x[6] = low(v.w), x[7] = high(v.w);
}

static __device__ __forceinline__ uint4 narrow8(const float x[8])
{
    return make_uint4(two_of(x[0], x[1]), two_of(x[2], x[3]), two_of(x[4], x[5]), two_of(x[6], x[7]));
}

static __device__ __forceinline__ void load8(float x[8], const float *p)
{
    const float4 a = *reinterpret_cast<const float4 *>(p), b = *reinterpret_cast<const float4 *>(p + 4);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}

static __device__ __forceinline__ void load8(float x[8], const bf16 *p)
{
    widen8(x, *reinterpret_cast<const uint4 *>(p));
}

static __device__ __forceinline__ void store8(float *p, const float x[8])
{
    *reinterpret_cast<float4 *>(p) = make_float4(x[0], x[1], x[2], x[3]);
    *reinterpret_cast<float4 *>(p + 4) = make_float4(x[4], x[5], x[6], x[7]);
}

static __device__ __forceinline__ void store8(bf16 *p, const float x[8])
{
    *reinterpret_cast<uint4 *>(p) = narrow8(x);
}

static __device__ __forceinline__ float warp_sum(float v)
{
    for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

static __device__ __forceinline__ float warp_max(float v)
{
    for (int d = 16; d; d >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}

static unsigned blocks_for(size_t n, size_t each)
{
    const size_t b = (n + each - 1) / each;
    return (unsigned)(b ? b : 1);
}

/* ---- embedding --------------------------------------------------------------------------------------- */

static __global__ void embed_kernel(float *y, const int32_t *ids, const bf16 *table, size_t rows, size_t cols)
{
    start_next();
    await_previous();
    const size_t per_row = cols / 8, n = rows * per_row;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        const size_t r = i / per_row, c = i % per_row * 8;
        float x[8];
        load8(x, table + (size_t)ids[r] * cols + c);
        store8(y + r * cols + c, x);
    }
}

CUDA_C void k_embed(cudaStream_t s, float *y, const int32_t *ids, const cuda_bf16 *table, size_t rows, size_t cols)
{
    if (!rows) return;
    start(embed_kernel, blocks_for(rows * cols / 8, 256), 256, 0, s, y, ids, (const bf16 *)table, rows, cols);
}

/* ---- norms: a warp a row, four rows a block ------------------------------------------------------------ */

enum { NORM_WARPS = 4 };

template <typename TX>
static __global__ void norm_kernel(bf16 *y, float *sum, const TX *x, const bf16 *add, const float *w,
                                   const uint32_t *index, size_t rows, size_t cols, float eps)
{
    start_next();
    await_previous();
    const size_t row = blockIdx.x * (size_t)NORM_WARPS + threadIdx.x / 32;
    const size_t lane = threadIdx.x % 32;
    if (row >= rows) return;
    const size_t at = (index ? index[row] : row) * cols, to = row * cols;
    float total = 0.0f;
    for (size_t c = lane * 8; c < cols; c += 256) {
        float v[8];
        load8(v, x + at + c);
        if (add) {
            float a[8];
            load8(a, add + at + c);
            for (int i = 0; i < 8; i++) v[i] += a[i];
            store8(sum + at + c, v);
        }
        for (int i = 0; i < 8; i++) total = fmaf(v[i], v[i], total);
    }
    if (!y) return;
    const float r = 1.0f / sqrtf(warp_sum(total) / (float)cols + eps);
    for (size_t c = lane * 8; c < cols; c += 256) {
        float v[8], g[8];
        if (add) load8(v, sum + at + c);         /* what this thread wrote itself */
        else load8(v, x + at + c);
        load8(g, w + c);
        for (int i = 0; i < 8; i++) v[i] = v[i] * r * g[i];
        store8(y + to + c, v);
    }
}

/* The same, to the last bit, by a block a row: all of it is on its way at once, and lies in shared memory for the sums, which each warp
 * adds up in the order above. */
enum { ALONE = 256, ALONE_EACH = 4, ALONE_COLS = ALONE * 8 * ALONE_EACH };

template <typename TX>
static __global__ void __launch_bounds__(ALONE) norm_alone_kernel(bf16 *y, float *sum, const TX *x, const bf16 *add, const float *w,
                                                                 const uint32_t *index, uint32_t cols, float eps)
{
    __shared__ __align__(16) float row[ALONE_COLS];
    float v[ALONE_EACH][8], g[ALONE_EACH][8];
    start_next();
#pragma unroll
    for (int i = 0; i < ALONE_EACH; i++) {
        const uint32_t c = (i * ALONE + threadIdx.x) * 8;
        if (y && c < cols) load8(g[i], w + c);
    }
    await_previous();
    const size_t at = (size_t)(index ? index[blockIdx.x] : blockIdx.x) * cols, to = (size_t)blockIdx.x * cols;
#pragma unroll
    for (int i = 0; i < ALONE_EACH; i++) {
        const uint32_t c = (i * ALONE + threadIdx.x) * 8;
        float a[8];
        if (c >= cols) continue;
        load8(v[i], x + at + c);
        if (!add) continue;
        load8(a, add + at + c);
        for (int k = 0; k < 8; k++) v[i][k] += a[k];
    }
#pragma unroll
    for (int i = 0; i < ALONE_EACH; i++) {
        const uint32_t c = (i * ALONE + threadIdx.x) * 8;
        if (c >= cols) continue;
        if (add) store8(sum + at + c, v[i]);
        store8(row + c, v[i]);
    }
    if (!y) return;
    __syncthreads();
    float total = 0.0f;
    for (uint32_t c = threadIdx.x % 32 * 8; c < cols; c += 256) {
        float part[8];
        load8(part, row + c);
        for (int k = 0; k < 8; k++) total = fmaf(part[k], part[k], total);
    }
    const float r = 1.0f / sqrtf(warp_sum(total) / (float)cols + eps);
#pragma unroll
    for (int i = 0; i < ALONE_EACH; i++) {
        const uint32_t c = (i * ALONE + threadIdx.x) * 8;
        if (c >= cols) continue;
        for (int k = 0; k < 8; k++) v[i][k] = v[i][k] * r * g[i][k];
        store8(y + to + c, v[i]);
    }
}

template <typename TX>
static void norm(cudaStream_t s, bf16 *y, float *sum, const TX *x, const bf16 *add, const float *w, const uint32_t *index, size_t rows,
                 size_t cols, float eps)
{
    enum { FEW = 32, NARROW = 512 };
    if (rows <= FEW && cols >= NARROW && cols <= ALONE_COLS)
        start(norm_alone_kernel<TX>, (unsigned)rows, ALONE, 0, s, y, sum, x, add, w, index, (uint32_t)cols, eps);
    else
        start(norm_kernel<TX>, blocks_for(rows, NORM_WARPS), NORM_WARPS * 32, 0, s, y, sum, x, add, w, index, rows, cols, eps);
}

CUDA_C void k_norm(cudaStream_t s, cuda_bf16 *y, float *sum, const void *x, bool x_f32, const cuda_bf16 *add,
                   const float *w, const uint32_t *index, size_t rows, size_t cols, float eps)
{
    if (!rows) return;
    if (x_f32) norm(s, (bf16 *)y, sum, (const float *)x, (const bf16 *)add, w, index, rows, cols, eps);
    else norm(s, (bf16 *)y, sum, (const bf16 *)x, (const bf16 *)add, w, index, rows, cols, eps);
}

template <typename TX>
static __global__ void norm_grad_kernel(bf16 *dx, const bf16 *dy, const TX *x, const float *w, const uint32_t *index,
                                        size_t rows, size_t cols, float eps, bool accumulate)
{
    start_next();
    await_previous();
    const size_t row = blockIdx.x * (size_t)NORM_WARPS + threadIdx.x / 32;
    const size_t lane = threadIdx.x % 32;
    if (row >= rows) return;
    const size_t at = (index ? index[row] : row) * cols, from = row * cols;
    float square = 0.0f, dot = 0.0f;
    for (size_t c = lane * 8; c < cols; c += 256) {
        float v[8], d[8], g[8];
        load8(v, x + at + c);
        load8(d, dy + from + c);
        load8(g, w + c);
        for (int i = 0; i < 8; i++) {
            square = fmaf(v[i], v[i], square);
            dot = fmaf(d[i] * g[i], v[i], dot);
        }
    }
    const float r = 1.0f / sqrtf(warp_sum(square) / (float)cols + eps);
    const float k = warp_sum(dot) * (r * r) / (float)cols;
    for (size_t c = lane * 8; c < cols; c += 256) {
        float v[8], d[8], g[8], old[8];
        load8(v, x + at + c);
        load8(d, dy + from + c);
        load8(g, w + c);
        if (accumulate) load8(old, dx + at + c);
        for (int i = 0; i < 8; i++) {
            v[i] = r * fmaf(-k, v[i], d[i] * g[i]);
            if (accumulate) v[i] += old[i];
        }
        store8(dx + at + c, v);
    }
}

CUDA_C void k_norm_grad(cudaStream_t s, cuda_bf16 *dx, const cuda_bf16 *dy, const void *x, bool x_f32, const float *w,
                        const uint32_t *index, size_t rows, size_t cols, float eps, bool accumulate)
{
    if (!rows) return;
    const unsigned grid = blocks_for(rows, NORM_WARPS);
    if (x_f32)
        start(norm_grad_kernel<float>, grid, NORM_WARPS * 32, 0, s, (bf16 *)dx, (const bf16 *)dy, (const float *)x, w, index, rows,
                                                          cols, eps, accumulate);
    else
        start(norm_grad_kernel<bf16>, grid, NORM_WARPS * 32, 0, s, (bf16 *)dx, (const bf16 *)dy, (const bf16 *)x, w, index, rows,
                                                          cols, eps, accumulate);
}

/* ---- rotary embedding: a thread eight neighbouring pairs ------------------------------------------------ */

static __global__ void rotary_kernel(bf16 *q, bf16 *k, const uint32_t *pos, const float *cosine, const float *sine,
                                     uint32_t n_heads, uint32_t n_kv_heads, uint32_t head_dim, float sign)
{
    start_next();
    await_previous();
    const uint32_t half = head_dim / 2, pieces = half / 8, per_row = (n_heads + n_kv_heads) * pieces;
    const uint32_t in_block = blockIdx.y * blockDim.x + threadIdx.x, row = blockIdx.x;
    if (in_block >= per_row) return;
    const uint32_t h = in_block / pieces, j = in_block % pieces * 8;
    bf16 *x = h < n_heads ? q + ((size_t)row * n_heads + h) * head_dim : k + ((size_t)row * n_kv_heads + h - n_heads) * head_dim;
    const size_t t = (size_t)pos[row] * half + j;
    float lo[8], hi[8], c[8], s[8];
    load8(lo, x + j);
    load8(hi, x + half + j);
    load8(c, cosine + t);
    load8(s, sine + t);
    for (int i = 0; i < 8; i++) {
        const float sn = sign * s[i], a = lo[i], b = hi[i];
        lo[i] = fmaf(a, c[i], -(b * sn));
        hi[i] = fmaf(b, c[i], a * sn);
    }
    store8(x + j, lo);
    store8(x + half + j, hi);
}

CUDA_C void k_rotary(cudaStream_t s, cuda_bf16 *q, cuda_bf16 *k, const uint32_t *pos, const float *cosine,
                     const float *sine, size_t rows, size_t n_heads, size_t n_kv_heads, size_t head_dim, bool inverse)
{
    if (!rows) return;
    const size_t per_row = (n_heads + n_kv_heads) * head_dim / 16, threads = (per_row + 31) / 32 * 32;
    const unsigned block = threads < 256 ? (unsigned)threads : 256;
    start(rotary_kernel, dim3((unsigned)rows, blocks_for(per_row, block)), block, 0, s,
        (bf16 *)q, (bf16 *)k, pos, cosine, sine, (uint32_t)n_heads, (uint32_t)n_kv_heads, (uint32_t)head_dim,
        inverse ? -1.0f : 1.0f);
}

/* ---- gated unit ------------------------------------------------------------------------------------------ */

static __global__ void gated_kernel(bf16 *y, const bf16 *g, const bf16 *u, size_t n)
{
    start_next();
    await_previous();
    for (size_t i = (blockIdx.x * (size_t)blockDim.x + threadIdx.x) * 8; i < n; i += (size_t)gridDim.x * blockDim.x * 8) {
        float a[8], b[8];
        load8(a, g + i);
        load8(b, u + i);
        for (int k = 0; k < 8; k++) a[k] = gated_of(a[k], b[k]);
        store8(y + i, a);
    }
}

CUDA_C void k_gated(cudaStream_t s, cuda_bf16 *y, const cuda_bf16 *g, const cuda_bf16 *u, size_t n)
{
    if (!n) return;
    start(gated_kernel, blocks_for(n / 8, 256), 256, 0, s, (bf16 *)y, (const bf16 *)g, (const bf16 *)u, n);
}

static __global__ void gated_grad_kernel(bf16 *dg, bf16 *du, bf16 *y, const bf16 *dy, const bf16 *g, const bf16 *u, size_t n)
{
    start_next();
    await_previous();
    for (size_t i = (blockIdx.x * (size_t)blockDim.x + threadIdx.x) * 8; i < n; i += (size_t)gridDim.x * blockDim.x * 8) {
        float a[8], b[8], d[8], e[8];
        load8(a, g + i);
        load8(b, u + i);
        load8(d, dy + i);
        for (int k = 0; k < 8; k++) {
            const gated_grads x = gated_grad_of(d[k], a[k], b[k]);
            d[k] = x.dg, e[k] = x.du, b[k] = x.y;
        }
        store8(dg + i, d);
        store8(du + i, e);
        if (y) store8(y + i, b);
    }
}

CUDA_C void k_gated_grad(cudaStream_t s, cuda_bf16 *dg, cuda_bf16 *du, cuda_bf16 *y, const cuda_bf16 *dy, const cuda_bf16 *g,
                         const cuda_bf16 *u, size_t n)
{
    if (!n) return;
    start(gated_grad_kernel, blocks_for(n / 8, 256), 256, 0, s, (bf16 *)dg, (bf16 *)du, (bf16 *)y, (const bf16 *)dy,
                                                             (const bf16 *)g, (const bf16 *)u, n);
}

/* ---- bias, conversions, dropout ------------------------------------------------------------------------- */

static __global__ void bias_kernel(bf16 *y, const float *bias, size_t n, size_t cols)
{
    start_next();
    await_previous();
    for (size_t i = (blockIdx.x * (size_t)blockDim.x + threadIdx.x) * 8; i < n; i += (size_t)gridDim.x * blockDim.x * 8) {
        float a[8], b[8];
        load8(a, y + i);
        load8(b, bias + i % cols);
        for (int k = 0; k < 8; k++) a[k] += b[k];
        store8(y + i, a);
    }
}

CUDA_C void k_add_bias(cudaStream_t s, cuda_bf16 *y, const float *bias, size_t rows, size_t cols)
{
    if (!rows) return;
    start(bias_kernel, blocks_for(rows * cols / 8, 256), 256, 0, s, (bf16 *)y, bias, rows * cols, cols);
}

static __global__ void narrow_kernel(bf16 *y, const float *x, size_t n)
{
    start_next();
    await_previous();
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        y[i] = __float2bfloat16_rn(x[i]);
}

CUDA_C void k_narrow(cudaStream_t s, cuda_bf16 *y, const float *x, size_t n)
{
    if (!n) return;
    start(narrow_kernel, blocks_for(n, 1024), 256, 0, s, (bf16 *)y, x, n);
}

static __global__ void widen_kernel(float *y, const bf16 *x, size_t n)
{
    start_next();
    await_previous();
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        y[i] = __bfloat162float(x[i]);
}

CUDA_C void k_widen(cudaStream_t s, float *y, const cuda_bf16 *x, size_t n)
{
    if (!n) return;
    start(widen_kernel, blocks_for(n, 1024), 256, 0, s, y, (const bf16 *)x, n);
}

/* Philox4x32-10 as base/rng.c has it: the same words as on the CPU. */
static __device__ void philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ stream;
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)step, c3 = (uint32_t)(step >> 32);
    for (int round = 0; round < 10; round++) {
        const uint32_t h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
        const uint32_t h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0;
        c2 = h0 ^ c3 ^ k1;
        c1 = l1;
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

enum { DROPOUT_STREAM = 3 };         /* AC_RNG_DROPOUT */

/* A block a row, four neighbours a thread: they come from one counter. */
static __global__ void drop_kernel(bf16 *y, const bf16 *x, size_t cols, const cuda_unit *unit, size_t n_units,
                                   uint64_t seed, uint64_t step, uint64_t module, uint32_t threshold, float inv_keep,
                                   bool add)
{
    start_next();
    await_previous();
    const uint64_t row = blockIdx.x;
    size_t u = 0;
    while (u + 1 < n_units && row >= unit[u + 1].first) u++;
    const uint64_t base = (module << 44) + ((row - unit[u].first) << 20), key = step + (unit[u].index << 32);
    for (size_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        uint32_t word[4];
        philox(word, seed, DROPOUT_STREAM, key, (base + c) / 4);
        for (int i = 0; i < 4; i++) {
            const size_t at = row * cols + c + i;
            const float v = word[i] >= threshold ? __bfloat162float(x[at]) * inv_keep : 0.0f;
            y[at] = __float2bfloat16_rn(add ? __bfloat162float(y[at]) + v : v);
        }
    }
}

CUDA_C void k_drop(cudaStream_t s, cuda_bf16 *y, const cuda_bf16 *x, size_t rows, size_t cols, const cuda_unit *unit,
                   size_t n_units, uint64_t seed, uint64_t step, uint64_t module, uint32_t threshold, float inv_keep,
                   bool add)
{
    if (!rows) return;
    start(drop_kernel, (unsigned)rows, 128, 0, s, (bf16 *)y, (const bf16 *)x, cols, unit, n_units, seed, step, module,
                                               threshold, inv_keep, add);
}

/* ---- loss: a block a row --------------------------------------------------------------------------------- */

enum { LOSS_THREADS = 1024, LOSS_AHEAD = 4 };

/* The block's largest value, or its sum: warps in order. */
static __device__ float block_fold(float v, bool is_max, float *room)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = LOSS_THREADS / 32;
    v = is_max ? warp_max(v) : warp_sum(v);
    __syncthreads();
    if (lane == 0) room[warp] = v;
    __syncthreads();
    v = room[lane % warps];
    for (int d = warps / 2; d; d >>= 1) {
        const float o = __shfl_xor_sync(0xffffffffu, v, d);
        v = is_max ? fmaxf(v, o) : v + o;
    }
    return v;
}

static __device__ __forceinline__ float largest(float4 v)
{
    return fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w));
}

/* A block has a row, and keeps the first `kept` logits of it in shared memory between its two passes: a row of 49,152 is read
 * once, a longer one mostly. Each thread reads back what it wrote. */
static __global__ void __launch_bounds__(LOSS_THREADS) entropy_kernel(const float *logits, const int32_t *target, float *nll, bf16 *dlogits,
                                                                      size_t vocab, size_t kept, float scale)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    __shared__ float folded[32];
    float *near = reinterpret_cast<float *>(room);
    const size_t row = blockIdx.x, own = threadIdx.x * 4;
    const float *x = logits + row * vocab;
    float m = -INFINITY, sum = 0.0f;
    for (size_t c = own; c < vocab; c += LOSS_AHEAD * LOSS_THREADS * 4) {
        float4 v[LOSS_AHEAD];
        float most = -INFINITY;
#pragma unroll
        for (int a = 0; a < LOSS_AHEAD; a++) {
            const size_t at = c + a * LOSS_THREADS * 4;
            const float4 *from = reinterpret_cast<const float4 *>(x + at);
            v[a] = at < kept ? __ldcs(from) : at < vocab ? *from : make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
        }
#pragma unroll
        for (int a = 0; a < LOSS_AHEAD; a++) {
            const size_t at = c + a * LOSS_THREADS * 4;
            if (at < kept) *reinterpret_cast<float4 *>(near + at) = v[a];
            most = fmaxf(most, largest(v[a]));
        }
        if (most > m) {
            sum *= __expf(m - most);
            m = most;
        }
#pragma unroll
        for (int a = 0; a < LOSS_AHEAD; a++) sum += __expf(v[a].x - m) + __expf(v[a].y - m) + __expf(v[a].z - m) + __expf(v[a].w - m);
    }
    const float top = block_fold(m, true, folded);
    sum = block_fold(m == -INFINITY ? 0.0f : sum * __expf(m - top), false, folded);
    const float lse = top + logf(sum);
    const size_t aim = (size_t)target[row];
    if (threadIdx.x == 0) nll[row] = lse - x[aim];
    if (!dlogits) return;
    bf16 *d = dlogits + row * vocab;
    for (size_t c = own; c < vocab; c += LOSS_THREADS * 4) {
        const float4 v = c < kept ? *reinterpret_cast<const float4 *>(near + c) : *reinterpret_cast<const float4 *>(x + c);
        float p[4] = { __expf(v.x - lse), __expf(v.y - lse), __expf(v.z - lse), __expf(v.w - lse) };
        for (int i = 0; i < 4; i++) p[i] = (p[i] - (c + i == aim ? 1.0f : 0.0f)) * scale;
        *reinterpret_cast<uint2 *>(d + c) = make_uint2(two_of(p[0], p[1]), two_of(p[2], p[3]));
    }
}

CUDA_C bool k_entropy(cudaStream_t s, const float *logits, const int32_t *target, float *nll, cuda_bf16 *dlogits,
                      size_t rows, size_t vocab, float scale, size_t shared)
{
    const size_t most = shared > 1024 ? (shared - 1024) / 16 * 4 : 0, kept = !dlogits ? 0 : vocab < most ? vocab : most;
    const size_t bytes = (kept ? kept : 4) * sizeof(float);
    if (!rows) return true;
    if (cudaFuncSetAttribute(entropy_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess) return false;
    start(entropy_kernel, (unsigned)rows, LOSS_THREADS, bytes, s, logits, target, nll, (bf16 *)dlogits, vocab, kept, scale);
    return true;
}

/* ---- checks, sums, the optimizer ------------------------------------------------------------------------- */

static __global__ void finite_kernel(const bf16 *x, size_t n, int *bad)
{
    start_next();
    await_previous();
    const uint16_t *bits = reinterpret_cast<const uint16_t *>(x);
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        if ((bits[i] & 0x7f80u) == 0x7f80u) *bad = 1;    /* every writer writes the same */
}

CUDA_C void k_finite(cudaStream_t s, const cuda_bf16 *x, size_t n, int *bad)
{
    if (!n) return;
    start(finite_kernel, blocks_for(n, 4096), 256, 0, s, (const bf16 *)x, n, bad);
}

static __global__ void add_kernel(float *to, const float *from, size_t n)
{
    start_next();
    await_previous();
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        to[i] = __fadd_rn(to[i], from[i]);
}

CUDA_C void k_add(cudaStream_t s, float *to, const float *from, size_t n)
{
    if (!n) return;
    start(add_kernel, blocks_for(n, 1024), 256, 0, s, to, from, n);
}

/* A block a part; binary64, threads folded in halves. */
static __global__ void squares_kernel(const cuda_span *part, double *out)
{
    start_next();
    await_previous();
    __shared__ double room[256];
    const cuda_span p = part[blockIdx.x];
    double sum = 0.0;
    for (size_t i = threadIdx.x; i < p.n; i += 256) sum += (double)p.x[i] * (double)p.x[i];
    room[threadIdx.x] = sum;
    __syncthreads();
    for (int d = 128; d; d >>= 1) {
        if ((int)threadIdx.x < d) room[threadIdx.x] += room[threadIdx.x + d];
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = room[0];
}

CUDA_C void k_sum_squares(cudaStream_t s, const cuda_span *part, size_t n, double *out)
{
    if (!n) return;
    start(squares_kernel, (unsigned)n, 256, 0, s, part, out);
}

static __global__ void adamw_kernel(float *p, float *m, float *v, const float *g, size_t n, float grad_scale, float keep,
                                    float b1, float one_minus_b1, float b2, float one_minus_b2, float step,
                                    float inv_sqrt_bc2, float eps)
{
    start_next();
    await_previous();
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        const float gs = __fmul_rn(g[i], grad_scale);
        const float mi = __fmaf_rn(b1, m[i], __fmul_rn(one_minus_b1, gs));
        const float vi = __fmaf_rn(b2, v[i], __fmul_rn(one_minus_b2, __fmul_rn(gs, gs)));
        const float u = __fdiv_rn(mi, __fmaf_rn(__fsqrt_rn(vi), inv_sqrt_bc2, eps));
        m[i] = mi;
        v[i] = vi;
        p[i] = __fmaf_rn(-step, u, __fmul_rn(p[i], keep));
    }
}

CUDA_C void k_adamw(cudaStream_t s, float *p, float *m, float *v, const float *g, size_t n, float grad_scale, float keep,
                    float b1, float one_minus_b1, float b2, float one_minus_b2, float step, float inv_sqrt_bc2, float eps)
{
    if (!n) return;
    start(adamw_kernel, blocks_for(n, 1024), 256, 0, s, p, m, v, g, n, grad_scale, keep, b1, one_minus_b1, b2, one_minus_b2,
                                                     step, inv_sqrt_bc2, eps);
}
