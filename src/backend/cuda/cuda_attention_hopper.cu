/* backend/cuda/cuda_attention_hopper.cu - attention inside documents with Hopper's own instructions: heads of 64 and 128.
 *
 * The same three kernels as cuda_attention.cu, whose head says what they compute: forward; a tile of keys for dk and dv; a
 * tile of queries for dq. A block has 128 rows, two warpgroups multiply 64 each (wgmma), a third fetches what they go
 * along by TMA. Tiles count from a document's first row; what stands beside it is fetched and masked.
 *
 * Keys: a block computes one query head of a kv head's group, or every SPLIT-th one; the blocks of a group are a cluster
 * and add their sums in binary32 through shared memory, in the order of the blocks. */
#include <math.h>
#include "backend/cuda/cuda_hopper.cuh"

enum { ROWS = 128, HALF = 64, STEP = 64, KEYS = 128, GROUPS = 2, THREADS = 128 * (1 + GROUPS) };
#define LOG2E 1.4426950408889634f

/* Maps of rows x heads * D, in boxes of 64 x 64 or 128 x 64. */
typedef struct {
    CUtensorMap q, k, v, dout;
    bf16 *out, *dq, *dk, *dv;
    float *lse;
    const float *delta;
    const cuda_tile *tile;
    uint32_t rows, n_heads, n_kv_heads, window, split;
    float scale;
} flash;

/* ---- pieces ------------------------------------------------------------------------------------------------- */
#ifdef HOPPER

static __device__ __forceinline__ bool visible(uint32_t query, uint32_t key, uint32_t window)
{
    return key <= query && (!window || query - key < window);
}

template <int N> static __device__ __forceinline__ void clear(float (&x)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = 0.0f;
}

static __device__ __forceinline__ float quad_max(float v)
{
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

static __device__ __forceinline__ float quad_sum(float v)
{
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

/* D columns of BOX rows from `row` on, a box of 64 columns after the other. */
template <int D, int BOX> static __device__ __forceinline__ void fetch_rows(uint32_t to, const CUtensorMap *map, uint32_t head, uint32_t row,
                                                                           uint32_t bar)
{
#pragma unroll
    for (int c = 0; c < D; c += 64) fetch_tile(to + c / 64 * BOX * 128, map, head * D + c, row, bar);
}

/* s = A B^T over D: A 64 rows, B N rows, both with BOX rows a box. */
template <int D, int N, int BOX_A, int BOX_B> static __device__ __forceinline__ void scores(float (&s)[N / 2], uint32_t a, uint32_t b)
{
#pragma unroll
    for (int k = 0; k < D; k += 16)
        wgmma<N, 0>::go(s, descriptor(a + k / 64 * BOX_A * 128 + k % 64 * 2, 16), descriptor(b + k / 64 * BOX_B * 128 + k % 64 * 2, 16),
                        k > 0);
}

/* o += P B: P as fragments, B its K rows of D. */
template <int D, int K, int BOX> static __device__ __forceinline__ void add_product(float (&o)[D / 2], const uint32_t (&p)[K / 16][4],
                                                                                   uint32_t b, int add)
{
#pragma unroll
    for (int k = 0; k < K; k += 16) wgmma<D, 1>::go(o, p[k / 16], descriptor(b + k * 128, BOX * 128), add || k > 0);
}

/* 64 x K sums as the bfloat16 fragments of a product's first factor. */
template <int K> static __device__ __forceinline__ void fragments(uint32_t (&p)[K / 16][4], const float (&s)[K / 2])
{
#pragma unroll
    for (int i = 0; i < K / 16; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) p[i][e] = two_of(s[8 * i + 2 * e], s[8 * i + 2 * e + 1]);
}

/* 64 rows of sums times `by`, as bfloat16; row is the thread's first. */
template <int D> static __device__ __forceinline__ void store_rows(bf16 *to, size_t stride, uint32_t row, uint32_t n, const float (&o)[D / 2],
                                                                  float by0, float by1)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < D / 8; j += 4)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float by = h ? by1 : by0;
            uint32_t w[4];
#pragma unroll
            for (int i = 0; i < 4; i++) w[i] = two_of(o[4 * (j + i) + 2 * h] * by, o[4 * (j + i) + 2 * h + 1] * by);
            transpose_quad(w, lane);
            if (row + 8 * h < n)
                *reinterpret_cast<uint4 *>(to + (size_t)(row + 8 * h) * stride + (j + lane % 4) * 8) = make_uint4(w[0], w[1], w[2], w[3]);
        }
}

/* First key that any row from `query` on sees, at a tile's start. */
static __device__ __forceinline__ uint32_t first_key(uint32_t query, uint32_t window, uint32_t tile)
{
    return window && query + 1 > window ? (query + 1 - window) / tile * tile : 0;
}

typedef struct {
    uint32_t full, empty, data, stage, phase;
} ring;

template <int STAGES> static __device__ __forceinline__ void next(ring &r)
{
    if (++r.stage == STAGES) r.stage = 0, r.phase ^= 1;
}

/* STAGES places of `bytes` behind `data`, their barriers behind them; `once` is one more barrier. */
template <int STAGES> static __device__ __forceinline__ ring make_ring(uint32_t data, uint32_t bytes, uint32_t producers, uint32_t *once)
{
    const uint32_t bars = data + STAGES * bytes;
    ring r = { bars, bars + 8 * STAGES, data, 0, 0 };
    *once = bars + 16 * STAGES;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(r.full + 8 * i, producers);
            barrier_init(r.empty + 8 * i, GROUPS * 4);
        }
        barrier_init(*once, 1);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    return r;
}

/* One lane speaks for its warp, when all of them have read. */
static __device__ __forceinline__ void release(uint32_t bar)
{
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(bar);
}

/* ---- forward ------------------------------------------------------------------------------------------------- */

/* One step of the running maximum m and sum l of a thread's two rows: s becomes exp(s - m), o and l are scaled. */
template <int D> static __device__ __forceinline__ void softmax_step(float (&s)[KEYS / 2], float (&o)[D / 2], float (&m)[2], float (&l)[2],
                                                                    float by, bool edge, uint32_t row, uint32_t at, uint32_t window)
{
    const int lane = threadIdx.x % 32;
    if (edge)
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (!visible(row + e / 2 * 8, at + i * 8 + lane % 4 * 2 + e % 2, window)) s[4 * i + e] = -INFINITY;
    float most[2] = { m[0], m[1] }, zero[2], shrink[2];
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
        most[0] = fmaxf(most[0], fmaxf(s[4 * i], s[4 * i + 1]));
        most[1] = fmaxf(most[1], fmaxf(s[4 * i + 2], s[4 * i + 3]));
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        most[h] = quad_max(most[h]);
        zero[h] = most[h] == -INFINITY ? 0.0f : most[h] * by;
        shrink[h] = power2(fmaf(m[h], by, -zero[h]));
        m[h] = most[h];
        l[h] *= shrink[h];
    }
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++) s[4 * i + e] = power2(fmaf(s[4 * i + e], by, -zero[e / 2]));
        l[0] += s[4 * i] + s[4 * i + 1];
        l[1] += s[4 * i + 2] + s[4 * i + 3];
    }
#pragma unroll
    for (int i = 0; i < D / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) o[4 * i + e] *= shrink[e / 2];
}

template <int D, int STAGES> static __device__ __forceinline__ void forward_rows(const flash &a, const cuda_tile &t, ring r, uint32_t q, uint32_t once,
                                                                                uint32_t group, uint32_t head)
{
    const int lane = threadIdx.x % 32;
    const uint32_t own = t.start + group * HALF, row = own + threadIdx.x % 128 / 32 * 16 + lane / 4;
    const uint32_t end = min(t.n, t.start + ROWS), begin = first_key(t.start, a.window, KEYS);
    const float by = a.scale * LOG2E;
    float o[D / 2], s[KEYS / 2], m[2] = { -INFINITY, -INFINITY }, l[2] = { 0.0f, 0.0f };
    clear(o);
    clear(s);
    barrier_wait(once, 0);
    for (uint32_t at = begin; at < end; at += KEYS, next<STAGES>(r)) {
        const uint32_t k = r.data + r.stage * 2 * KEYS * D * 2, v = k + KEYS * D * 2;
        uint32_t p[KEYS / 16][4];
        barrier_wait(r.full + 8 * r.stage, r.phase);
        wgmma_begin();
        scores<D, KEYS, HALF, KEYS>(s, q + group * HALF * D * 2, k);
        wgmma_commit();
        wgmma_wait<0>();
        const bool edge = at + KEYS > own || (a.window && own + HALF > at + a.window);
        softmax_step<D>(s, o, m, l, by, edge, row, at, a.window);
        fragments<KEYS>(p, s);
        wgmma_begin();
        add_product<D, KEYS, KEYS>(o, p, v, 1);
        wgmma_commit();
        wgmma_wait<0>();
        release(r.empty + 8 * r.stage);
    }
    const float l0 = quad_sum(l[0]), l1 = quad_sum(l[1]);
    store_rows<D>(a.out + (size_t)t.first * a.n_heads * D + head * D, (size_t)a.n_heads * D, row, t.n, o, 1.0f / l0, 1.0f / l1);
    if (!a.lse || lane % 4) return;
    float *lse = a.lse + (size_t)head * a.rows + t.first;
    if (row < t.n) lse[row] = m[0] * a.scale + logf(l0);
    if (row + 8 < t.n) lse[row + 8] = m[1] * a.scale + logf(l1);
}
#endif

template <int D> struct forward_size {
    static constexpr int STAGES = D == 64 ? 4 : 3, STAGE = 2 * KEYS * D * 2, Q = ROWS * D * 2;
    static constexpr int BYTES = 1024 + Q + STAGES * STAGE + STAGES * 16 + 8;
};

template <int D> static __global__ void __launch_bounds__(THREADS, 1) flash_forward(const __grid_constant__ flash a)
{
    start_next();
#ifndef HOPPER
    await_previous();
#else
    extern __shared__ unsigned char room[];
    typedef forward_size<D> size;
    const cuda_tile t = a.tile[blockIdx.x];
    const uint32_t head = blockIdx.y, kv = head / (a.n_heads / a.n_kv_heads), q = (shared_place(room) + 1023) & ~1023u;
    uint32_t once;
    ring r = make_ring<size::STAGES>(q + size::Q, size::STAGE, 1, &once);
    __syncthreads();
    await_previous();
    const uint32_t group = threadIdx.x / 128;
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x) return;
        barrier_expect(once, size::Q);
        for (uint32_t i = 0; i < GROUPS; i++) fetch_rows<D, HALF>(q + i * HALF * D * 2, &a.q, head, t.first + t.start + i * HALF, once);
        const uint32_t end = min(t.n, t.start + ROWS);
        for (uint32_t at = first_key(t.start, a.window, KEYS); at < end; at += KEYS, next<size::STAGES>(r)) {
            const uint32_t k = r.data + r.stage * size::STAGE, full = r.full + 8 * r.stage;
            barrier_wait(r.empty + 8 * r.stage, r.phase ^ 1);
            barrier_expect(full, size::STAGE);
            fetch_rows<D, KEYS>(k, &a.k, kv, t.first + at, full);
            fetch_rows<D, KEYS>(k + KEYS * D * 2, &a.v, kv, t.first + at, full);
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        forward_rows<D, size::STAGES>(a, t, r, q, once, group - 1, head);
    }
#endif
}

/* ---- gradient of a tile of queries ----------------------------------------------------------------------------- */
#ifdef HOPPER

template <int D, int STAGES> static __device__ __forceinline__ void query_rows(const flash &a, const cuda_tile &t, ring r, uint32_t q, uint32_t once,
                                                                              uint32_t group, uint32_t head)
{
    const int lane = threadIdx.x % 32;
    const uint32_t own = t.start + group * HALF, row = own + threadIdx.x % 128 / 32 * 16 + lane / 4;
    const uint32_t end = min(t.n, t.start + ROWS), begin = first_key(t.start, a.window, STEP);
    const uint32_t mine = q + group * HALF * D * 2, dout = mine + ROWS * D * 2;
    const size_t from = (size_t)head * a.rows + t.first;
    const float by = a.scale * LOG2E;
    float lse[2], delta[2], dq[D / 2], s[STEP / 2], dp[STEP / 2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        lse[h] = row + 8 * h < t.n ? a.lse[from + row + 8 * h] * LOG2E : 0.0f;
        delta[h] = row + 8 * h < t.n ? a.delta[from + row + 8 * h] : 0.0f;
    }
    clear(dq);
    clear(s);
    clear(dp);
    barrier_wait(once, 0);
    for (uint32_t at = begin; at < end; at += STEP, next<STAGES>(r)) {
        const uint32_t k = r.data + r.stage * 2 * STEP * D * 2, v = k + STEP * D * 2;
        uint32_t ds[STEP / 16][4];
        barrier_wait(r.full + 8 * r.stage, r.phase);
        wgmma_begin();
        scores<D, STEP, HALF, STEP>(s, mine, k);
        wgmma_commit();
        scores<D, STEP, HALF, STEP>(dp, dout, v);
        wgmma_commit();
        wgmma_wait<1>();
        const bool edge = at + STEP > own || (a.window && own + HALF > at + a.window);
#pragma unroll
        for (int i = 0; i < STEP / 2; i++) s[i] = power2(fmaf(s[i], by, -lse[i % 4 / 2]));
        if (edge)
#pragma unroll
            for (int i = 0; i < STEP / 2; i++)
                if (!visible(row + i % 4 / 2 * 8, at + i / 4 * 8 + lane % 4 * 2 + i % 2, a.window)) s[i] = 0.0f;
        wgmma_wait<0>();
#pragma unroll
        for (int i = 0; i < STEP / 2; i++) dp[i] = s[i] * (dp[i] - delta[i % 4 / 2]);
        fragments<STEP>(ds, dp);
        wgmma_begin();
        add_product<D, STEP, STEP>(dq, ds, k, 1);
        wgmma_commit();
        wgmma_wait<0>();
        release(r.empty + 8 * r.stage);
    }
    store_rows<D>(a.dq + (size_t)t.first * a.n_heads * D + head * D, (size_t)a.n_heads * D, row, t.n, dq, a.scale, a.scale);
}
#endif

template <int D> struct query_size {
    static constexpr int STAGES = D == 64 ? 4 : 3, STAGE = 2 * STEP * D * 2, Q = 2 * ROWS * D * 2;
    static constexpr int BYTES = 1024 + Q + STAGES * STAGE + STAGES * 16 + 8;
};

template <int D> static __global__ void __launch_bounds__(THREADS, 1) flash_query_grad(const __grid_constant__ flash a)
{
    start_next();
#ifndef HOPPER
    await_previous();
#else
    extern __shared__ unsigned char room[];
    typedef query_size<D> size;
    const cuda_tile t = a.tile[blockIdx.x];
    const uint32_t head = blockIdx.y, kv = head / (a.n_heads / a.n_kv_heads), q = (shared_place(room) + 1023) & ~1023u;
    uint32_t once;
    ring r = make_ring<size::STAGES>(q + size::Q, size::STAGE, 1, &once);
    __syncthreads();
    await_previous();
    const uint32_t group = threadIdx.x / 128;
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x) return;
        barrier_expect(once, size::Q);
        for (uint32_t i = 0; i < GROUPS; i++) {
            fetch_rows<D, HALF>(q + i * HALF * D * 2, &a.q, head, t.first + t.start + i * HALF, once);
            fetch_rows<D, HALF>(q + (ROWS + i * HALF) * D * 2, &a.dout, head, t.first + t.start + i * HALF, once);
        }
        const uint32_t end = min(t.n, t.start + ROWS);
        for (uint32_t at = first_key(t.start, a.window, STEP); at < end; at += STEP, next<size::STAGES>(r)) {
            const uint32_t k = r.data + r.stage * size::STAGE, full = r.full + 8 * r.stage;
            barrier_wait(r.empty + 8 * r.stage, r.phase ^ 1);
            barrier_expect(full, size::STAGE);
            fetch_rows<D, STEP>(k, &a.k, kv, t.first + at, full);
            fetch_rows<D, STEP>(k + STEP * D * 2, &a.v, kv, t.first + at, full);
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        query_rows<D, size::STAGES>(a, t, r, q, once, group - 1, head);
    }
#endif
}

/* ---- gradients of a tile of keys --------------------------------------------------------------------------------- */

/* Queries at a time: with 128 wide heads the accumulators leave no registers for more than 48. */
template <int D> struct key_size {
    static constexpr int STEP = D == 64 ? 64 : 48, STAGES = D == 64 ? 4 : 3, PLACE = STEP * D * 2, STAGE = 2 * PLACE, KV = 2 * ROWS * D * 2;
    static constexpr int LANES = STAGES * STEP * 2 * 4;      /* lse and delta of a stage's queries */
    static constexpr int LOOP = KV + STAGES * STAGE, SUMS = 2 * ROWS * D * 4;
    static constexpr int BYTES = 1024 + (LOOP > SUMS ? LOOP : SUMS) + STAGES * 16 + 8 + LANES;
};

#ifdef HOPPER
/* What a block goes along: its query heads, each from the tile's first row to the last that sees a key of it. */
typedef struct {
    uint32_t first_head, heads, steps;
} walk;

static __device__ __forceinline__ walk walk_of(const flash &a, const cuda_tile &t, uint32_t kv, uint32_t part, uint32_t step)
{
    const uint32_t group = a.n_heads / a.n_kv_heads, last = min(t.n, t.start + ROWS) - 1;
    const uint32_t end = a.window && last + a.window < t.n ? last + a.window : t.n;
    const uint32_t heads = group / a.split;
    return (walk){ kv * group + part * heads, heads, (end - t.start + step - 1) / step };
}

/* A warp: one thread fetches, all bring lse (in powers of 2) and delta; queries past the document get an infinite lse. */
template <int D> static __device__ __forceinline__ void key_produce(const flash &a, const cuda_tile &t, ring r, uint32_t kv_place, uint32_t once,
                                                                   float *lanes, uint32_t kv, walk w)
{
    typedef key_size<D> size;
    constexpr uint32_t STEP = size::STEP;
    const uint32_t lane = threadIdx.x;
    if (lane == 0) {
        barrier_expect(once, size::KV);
        for (uint32_t i = 0; i < GROUPS; i++) {
            fetch_rows<D, HALF>(kv_place + i * HALF * D * 2, &a.k, kv, t.first + t.start + i * HALF, once);
            fetch_rows<D, HALF>(kv_place + (ROWS + i * HALF) * D * 2, &a.v, kv, t.first + t.start + i * HALF, once);
        }
    }
    for (uint32_t h = w.first_head; h < w.first_head + w.heads; h++)
        for (uint32_t i = 0; i < w.steps; i++, next<size::STAGES>(r)) {
            const uint32_t at = t.start + i * STEP, full = r.full + 8 * r.stage, place = r.data + r.stage * size::STAGE;
            const size_t from = (size_t)h * a.rows + t.first;
            barrier_wait(r.empty + 8 * r.stage, r.phase ^ 1);
            if (lane == 0) {
                barrier_expect(full, size::STAGE);
                fetch_rows<D, STEP>(place, &a.q, h, t.first + at, full);
                fetch_rows<D, STEP>(place + size::PLACE, &a.dout, h, t.first + at, full);
            }
            float *own = lanes + r.stage * STEP * 2;
            for (uint32_t c = lane; c < STEP; c += 32) {
                own[c] = at + c < t.n ? a.lse[from + at + c] * LOG2E : INFINITY;
                own[STEP + c] = at + c < t.n ? a.delta[from + at + c] : 0.0f;
            }
            barrier_arrive(full);
        }
}

template <int D> static __device__ __forceinline__ void key_rows(const flash &a, const cuda_tile &t, ring r, uint32_t kv_place, uint32_t once,
                                                                const float *lanes, uint32_t group, walk w, float (&dk)[D / 2], float (&dv)[D / 2])
{
    typedef key_size<D> size;
    constexpr int STEP = size::STEP;
    const int lane = threadIdx.x % 32;
    const uint32_t own = t.start + group * HALF, key = own + threadIdx.x % 128 / 32 * 16 + lane / 4;
    const uint32_t k = kv_place + group * HALF * D * 2, v = k + ROWS * D * 2;
    const float by = a.scale * LOG2E;
    float s[STEP / 2], dp[STEP / 2];
    uint32_t p[STEP / 16][4];
    clear(s);
    clear(dp);
    barrier_wait(once, 0);
    uint32_t before = 0;
    for (uint32_t n = 0; n < w.heads; n++)
        for (uint32_t i = 0; i < w.steps; i++, next<size::STAGES>(r)) {
            const uint32_t at = t.start + i * STEP, q = r.data + r.stage * size::STAGE, dout = q + size::PLACE;
            const float *line = lanes + r.stage * STEP * 2 + lane % 4 * 2;
            barrier_wait(r.full + 8 * r.stage, r.phase);
            wgmma_begin();
            scores<D, STEP, HALF, STEP>(s, k, q);
            wgmma_commit();
            scores<D, STEP, HALF, STEP>(dp, v, dout);
            wgmma_commit();
            wgmma_wait<1>();
            if (before) release(before);
            const bool edge = at < own + HALF || (a.window && at + STEP > own + a.window);
#pragma unroll
            for (int c = 0; c < STEP / 8; c++) {
                const float2 lse = *reinterpret_cast<const float2 *>(line + c * 8);
#pragma unroll
                for (int e = 0; e < 4; e++) s[4 * c + e] = power2(fmaf(s[4 * c + e], by, -(e % 2 ? lse.y : lse.x)));
            }
            if (edge)
#pragma unroll
                for (int c = 0; c < STEP / 2; c++)
                    if (!visible(at + c / 4 * 8 + lane % 4 * 2 + c % 2, key + c % 4 / 2 * 8, a.window)) s[c] = 0.0f;
            fragments<STEP>(p, s);
            wgmma_begin();
            add_product<D, STEP, STEP>(dv, p, dout, 1);
            wgmma_commit();
            wgmma_wait<1>();
#pragma unroll
            for (int c = 0; c < STEP / 8; c++) {
                const float2 delta = *reinterpret_cast<const float2 *>(line + STEP + c * 8);
#pragma unroll
                for (int e = 0; e < 4; e++) dp[4 * c + e] = s[4 * c + e] * (dp[4 * c + e] - (e % 2 ? delta.y : delta.x));
            }
            wgmma_wait<0>();                     /* p was dv's until here */
            fragments<STEP>(p, dp);
            wgmma_begin();
            add_product<D, STEP, STEP>(dk, p, q, 1);
            wgmma_commit();
            before = r.empty + 8 * r.stage;
        }
    wgmma_wait<0>();
}

/* 64 rows of sums into binary32 rows of D in shared memory. */
template <int D> static __device__ __forceinline__ void put_sums(float *to, const float (&o)[D / 2], uint32_t row)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int h = 0; h < 2; h++)
            *reinterpret_cast<float2 *>(to + (row + 8 * h) * D + j * 8 + lane % 4 * 2) = make_float2(o[4 * j + 2 * h], o[4 * j + 2 * h + 1]);
}

static __device__ __forceinline__ float4 there(uint32_t place, uint32_t block)
{
    float4 v;
    asm volatile("{ .reg .b32 at;\nmapa.shared::cluster.u32 at, %4, %5;\nld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [at]; }"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(place), "r"(block));
    return v;
}

/* The cluster's sums added in the blocks' order: this block's share of dk (`which` 0) and dv. */
template <int D> static __device__ __forceinline__ void add_blocks(const flash &a, const cuda_tile &t, uint32_t sums, uint32_t kv, uint32_t part)
{
    const uint32_t each = ROWS * D / 4, stride = a.split * GROUPS * 128;
    for (uint32_t i = part * GROUPS * 128 + threadIdx.x - 128; i < 2 * each; i += stride) {
        const uint32_t at = i % each, row = t.start + at / (D / 4);
        float4 sum = there(sums + i * 16, 0);
        for (uint32_t b = 1; b < a.split; b++) {
            const float4 v = there(sums + i * 16, b);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
        const float by = i < each ? a.scale : 1.0f;
        bf16 *to = (i < each ? a.dk : a.dv) + (size_t)(t.first + row) * a.n_kv_heads * D + kv * D + at % (D / 4) * 4;
        if (row < t.n) *reinterpret_cast<uint2 *>(to) = make_uint2(two_of(sum.x * by, sum.y * by), two_of(sum.z * by, sum.w * by));
    }
}
#endif

template <int D> static __global__ void __launch_bounds__(THREADS, 1) flash_key_grad(const __grid_constant__ flash a)
{
    start_next();
#ifndef HOPPER
    await_previous();
#else
    extern __shared__ unsigned char room[];
    typedef key_size<D> size;
    const uint32_t part = blockIdx.x % a.split, kv = blockIdx.y, base = (shared_place(room) + 1023) & ~1023u;
    const cuda_tile t = a.tile[blockIdx.x / a.split];
    constexpr uint32_t over = size::LOOP > size::SUMS ? 0 : size::SUMS - size::LOOP;
    uint32_t once;
    /* The ring's barriers stand behind what the sums will take. */
    ring r = make_ring<size::STAGES>(base + size::KV + over, size::STAGE, 1 + 32, &once);
    float *lanes = (float *)(room + (once + 8 - shared_place(room)));
    r.data -= over;
    __syncthreads();
    await_previous();
    const uint32_t group = threadIdx.x / 128;
    const walk w = walk_of(a, t, kv, part, size::STEP);
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x < 32) key_produce<D>(a, t, r, base, once, lanes, kv, w);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        float dk[D / 2], dv[D / 2];
        clear(dk);
        clear(dv);
        key_rows<D>(a, t, r, base, once, lanes, group - 1, w, dk, dv);
        const uint32_t row = (group - 1) * HALF + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
        if (a.split == 1) {
            const size_t stride = (size_t)a.n_kv_heads * D, at = (size_t)t.first * stride + kv * D;
            store_rows<D>(a.dk + at, stride, t.start + row, t.n, dk, a.scale, a.scale);
            store_rows<D>(a.dv + at, stride, t.start + row, t.n, dv, 1.0f, 1.0f);
        } else {
            float *sums = (float *)(room + (base - shared_place(room)));
            asm volatile("bar.sync 1, 256;" ::: "memory");   /* both warpgroups have read their last tile */
            put_sums<D>(sums, dk, row);
            put_sums<D>(sums + ROWS * D, dv, row);
        }
    }
    if (a.split == 1) return;
    cluster_sync();
    if (group) add_blocks<D>(a, t, base, kv, part);
    cluster_sync();
#endif
}

/* ---- launches ------------------------------------------------------------------------------------------------------ */

static bool maps(flash *f, const cuda_attn *a, unsigned q_box, unsigned kv_box)
{
    const size_t qs = a->n_heads * a->head_dim, ks = a->n_kv_heads * a->head_dim;
    return find_encode() && describe(&f->q, a->q, a->rows, qs, qs, q_box) && describe(&f->k, a->k, a->rows, ks, ks, kv_box) &&
           describe(&f->v, a->v, a->rows, ks, ks, kv_box) && (!a->dout || describe(&f->dout, a->dout, a->rows, qs, qs, q_box));
}

static flash common(const cuda_attn *a)
{
    flash f = {};
    f.out = (bf16 *)a->out, f.dq = (bf16 *)a->dq, f.dk = (bf16 *)a->dk, f.dv = (bf16 *)a->dv;
    f.lse = a->lse;
    f.delta = a->delta;
    f.rows = (uint32_t)a->rows;
    f.n_heads = (uint32_t)a->n_heads;
    f.n_kv_heads = (uint32_t)a->n_kv_heads;
    f.window = (uint32_t)a->window;
    f.scale = a->scale;
    f.split = 1;
    return f;
}

/* A cluster has at most 8 blocks. */
static uint32_t split_of(size_t group)
{
    uint32_t n = group < 8 ? (uint32_t)group : 8;
    while (group % n) n--;
    return n;
}

template <typename K> static bool launch(K kernel, cudaStream_t s, const flash *f, unsigned tiles, size_t heads, size_t bytes)
{
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess) return false;
    cudaLaunchAttribute attr[2] = {};
    attr[0].id = cudaLaunchAttributeClusterDimension;
    attr[0].val.clusterDim.x = f->split;
    attr[0].val.clusterDim.y = attr[0].val.clusterDim.z = 1;
    attr[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attr[1].val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(tiles * f->split, (unsigned)heads);
    c.blockDim = dim3(THREADS);
    c.dynamicSmemBytes = bytes;
    c.stream = s;
    c.attrs = attr;
    c.numAttrs = 1 + cuda_early;
    return cudaLaunchKernelEx(&c, kernel, *f) == cudaSuccess;
}

template <int D> static bool forward(cudaStream_t s, const cuda_attn *a)
{
    flash f = common(a);
    f.tile = a->q_tile;
    return maps(&f, a, HALF, KEYS) && launch(flash_forward<D>, s, &f, (unsigned)a->n_tiles, a->n_heads, forward_size<D>::BYTES);
}

template <int D> static bool backward(cudaStream_t s, const cuda_attn *a)
{
    flash f = common(a);
    if (!maps(&f, a, HALF, STEP)) return false;
    f.tile = a->q_tile;
    if (!launch(flash_query_grad<D>, s, &f, (unsigned)a->n_tiles, a->n_heads, query_size<D>::BYTES)) return false;
    if (!maps(&f, a, key_size<D>::STEP, HALF)) return false;
    f.tile = a->k_tile;
    f.split = split_of(a->n_heads / a->n_kv_heads);
    return launch(flash_key_grad<D>, s, &f, (unsigned)a->n_tiles, a->n_kv_heads, key_size<D>::BYTES);
}

CUDA_C bool k_flash(cudaStream_t s, const cuda_attn *a)
{
    return a->head_dim == 64 ? forward<64>(s, a) : a->head_dim == 128 && forward<128>(s, a);
}

CUDA_C bool k_flash_grad(cudaStream_t s, const cuda_attn *a)
{
    return a->head_dim == 64 ? backward<64>(s, a) : a->head_dim == 128 && backward<128>(s, a);
}
