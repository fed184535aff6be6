/* backend/cuda/cuda_decode.cu - attention over a cache, and the greedy choice.
 *
 * Keys of a slot are cut into chunks of 256 from its first. A block has one query of one head and takes all chunks, one after another,
 * or every n-th of them, and then a second launch merges what is of each: the same sums in the same order either way (a chunk's, warp
 * by warp; then chunk by chunk), so that neither the cache's size nor the neighbours change a bit. Within a chunk a warp has 16 keys; 2 to
 * 16 lanes share a key, 16 bytes a lane, and all of a warp's keys and values are on their way at once.
 *
 * Where every feed is one token, the rotary embedding and the cache's new row come from the same launch: each block makes the row for
 * itself while the others' keys are on their way, and the first head of a group stores it. */
#include <math.h>
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_mma.cuh"

/* ---- the cache -------------------------------------------------------------------------------------------------- */

static __global__ void append_kernel(bf16 *k_cache, bf16 *v_cache, const bf16 *k, const bf16 *v, const cuda_cached_row *row, size_t slot_rows,
                                     uint32_t width)
{
    start_next();
    await_previous();
    const cuda_cached_row r = row[blockIdx.x];
    const size_t to = (r.slot * slot_rows + r.pos) * width, from = (size_t)blockIdx.x * width;
    for (uint32_t c = threadIdx.x * 8; c < width; c += blockDim.x * 8) {
        *reinterpret_cast<uint4 *>(k_cache + to + c) = *reinterpret_cast<const uint4 *>(k + from + c);
        *reinterpret_cast<uint4 *>(v_cache + to + c) = *reinterpret_cast<const uint4 *>(v + from + c);
    }
}

CUDA_C void k_append(cudaStream_t s, const cuda_cached *a)
{
    start(append_kernel, (unsigned)a->rows, 64, 0, s, (bf16 *)a->k_cache, (bf16 *)a->v_cache, (const bf16 *)a->k, (const bf16 *)a->v, a->row,
                                                   a->slot_rows, (uint32_t)(a->n_kv_heads * a->head_dim));
}

enum { KEY_WARPS = 16, WARP_KEYS = 16, CHUNK = KEY_WARPS * WARP_KEYS, SPLIT_FROM = 4 };

template <int D> struct form {
    static constexpr int LANES = D > 64 ? 16 : D / 8;    /* that share a key; of 96 wide heads four idle */
    static constexpr int KEYS = 32 / LANES, STEPS = WARP_KEYS / KEYS;
};

static __device__ __forceinline__ float low(uint32_t two) { return __uint_as_float(two << 16); }
static __device__ __forceinline__ float high(uint32_t two) { return __uint_as_float(two & 0xffff0000u); }

/* What is known of some keys: their largest score, the sum of exponentials beside it, and the values' sum (o: of one column). */
typedef struct {
    float m, l, o;
} part;

/* b's keys stand behind a's. */
static __device__ __forceinline__ part merge(const part &a, const part &b)
{
    const float m = fmaxf(a.m, b.m);
    if (m == -INFINITY) return a;
    const float by_a = __expf(a.m - m), by_b = __expf(b.m - m);
    return { m, fmaf(a.l, by_a, b.l * by_b), fmaf(a.o, by_a, b.o * by_b) };
}

/* A lane's 16 bytes of a warp's keys, and of their values. */
template <int D> struct words {
    uint4 k[form<D>::STEPS], v[form<D>::STEPS];
};

/* The lane's keys from `at` on, those in [from, to). */
template <int D> static __device__ __forceinline__ void load_keys(words<D> &w, const bf16 *k, const bf16 *v, size_t stride, uint32_t at, uint32_t from,
                                                                 uint32_t to)
{
    constexpr int LANES = form<D>::LANES, KEYS = form<D>::KEYS, STEPS = form<D>::STEPS;
    const uint32_t lane = threadIdx.x % 32, c = lane % LANES * 8;
    const bool mine = D == LANES * 8 || c < D;
#pragma unroll
    for (int i = 0; i < STEPS; i++) {
        const uint32_t key = at + i * KEYS + lane / LANES;
        const bool there = mine && key >= from && key < to;
        w.k[i] = there ? *reinterpret_cast<const uint4 *>(k + key * stride + c) : make_uint4(0, 0, 0, 0);
        w.v[i] = there ? *reinterpret_cast<const uint4 *>(v + key * stride + c) : make_uint4(0, 0, 0, 0);
    }
}

/* The new row, which was not there to be loaded. */
template <int D> static __device__ __forceinline__ void put_key(words<D> &w, const bf16 *k, const bf16 *v, uint32_t at, uint32_t key)
{
    constexpr int LANES = form<D>::LANES, KEYS = form<D>::KEYS, STEPS = form<D>::STEPS;
    const uint32_t lane = threadIdx.x % 32, c = lane % LANES * 8;
    if (D != LANES * 8 && c >= D) return;
#pragma unroll
    for (int i = 0; i < STEPS; i++)
        if (at + i * KEYS + lane / LANES == key) {
            w.k[i] = *reinterpret_cast<const uint4 *>(k + c);
            w.v[i] = *reinterpret_cast<const uint4 *>(v + c);
        }
}

/* A warp's keys: largest score, sum, and this lane's eight columns of the values' sum. */
template <int D> static __device__ __forceinline__ void add_keys(float (&o)[8], float &m, float &l, const words<D> &w, const float (&q)[8], uint32_t at,
                                                                uint32_t from, uint32_t to)
{
    constexpr int LANES = form<D>::LANES, KEYS = form<D>::KEYS, STEPS = form<D>::STEPS;
    const uint32_t lane = threadIdx.x % 32;
    float score[STEPS];
    m = -INFINITY;
#pragma unroll
    for (int i = 0; i < STEPS; i++) {
        const uint32_t key = at + i * KEYS + lane / LANES, x[4] = { w.k[i].x, w.k[i].y, w.k[i].z, w.k[i].w };
        float s = 0.0f;
#pragma unroll
        for (int e = 0; e < 4; e++) s = fmaf(high(x[e]), q[2 * e + 1], fmaf(low(x[e]), q[2 * e], s));
#pragma unroll
        for (int d = LANES / 2; d; d >>= 1) s += __shfl_xor_sync(0xffffffffu, s, d);
        score[i] = key >= from && key < to ? s : -INFINITY;
        m = fmaxf(m, score[i]);
    }
#pragma unroll
    for (int d = LANES; d < 32; d <<= 1) m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, d));
    l = 0.0f;
#pragma unroll
    for (int e = 0; e < 8; e++) o[e] = 0.0f;
#pragma unroll
    for (int i = 0; i < STEPS; i++) {
        const float p = score[i] == -INFINITY ? 0.0f : __expf(score[i] - m);
        const uint32_t x[4] = { w.v[i].x, w.v[i].y, w.v[i].z, w.v[i].w };
        l += p;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            o[2 * e] = fmaf(p, low(x[e]), o[2 * e]);
            o[2 * e + 1] = fmaf(p, high(x[e]), o[2 * e + 1]);
        }
    }
#pragma unroll
    for (int d = LANES; d < 32; d <<= 1) {
        l += __shfl_xor_sync(0xffffffffu, l, d);
#pragma unroll
        for (int e = 0; e < 8; e++) o[e] += __shfl_xor_sync(0xffffffffu, o[e], d);
    }
}

/* A block's query and new row, and what its warps know of a chunk. */
template <int D> struct row_room {
    bf16 q[D], k[D], v[D];
    float m[KEY_WARPS], l[KEY_WARPS], o[KEY_WARPS][D];
};

/* A pair of a head's columns, turned to its position and rounded. */
static __device__ __forceinline__ void turn(bf16 *lo_out, bf16 *hi_out, const bf16 *lo, const bf16 *hi, float c, float s)
{
    const float a = __bfloat162float(*lo), b = __bfloat162float(*hi);
    *lo_out = __float2bfloat16_rn(fmaf(a, c, -(b * s)));
    *hi_out = __float2bfloat16_rn(fmaf(b, c, a * s));
}

/* The query, and where it is still to be made the new row. */
template <int D> static __device__ __forceinline__ void load_row(row_room<D> &room, const cuda_cached &a, uint32_t pos, uint32_t head, uint32_t kv)
{
    constexpr uint32_t HALF = D / 2;
    const bf16 *q = (const bf16 *)a.q + ((size_t)blockIdx.x * a.n_heads + head) * D;
    const size_t at = ((size_t)blockIdx.x * a.n_kv_heads + kv) * D;
    const uint32_t t = threadIdx.x;
    if (!a.cosine) {
        if (t < D) room.q[t] = q[t];
    } else if (t < D) {
        const bf16 *from = t < HALF ? q : (const bf16 *)a.k + at;
        bf16 *to = t < HALF ? room.q : room.k;
        const uint32_t j = t % HALF;
        turn(to + j, to + HALF + j, from + j, from + HALF + j, a.cosine[(size_t)pos * HALF + j], a.sine[(size_t)pos * HALF + j]);
    } else if (t < 2 * D) {
        room.v[t - D] = ((const bf16 *)a.v)[at + t - D];
    }
}

/* All warps' keys, their largest scores first. */
template <int D> static __device__ __forceinline__ part chunk_of(const row_room<D> &room)
{
    part p = { room.m[0], 0.0f, 0.0f };
#pragma unroll
    for (int w = 1; w < KEY_WARPS; w++) p.m = fmaxf(p.m, room.m[w]);
#pragma unroll
    for (int w = 0; w < KEY_WARPS; w++) {
        const float by = room.m[w] == -INFINITY ? 0.0f : __expf(room.m[w] - p.m);
        p.l = fmaf(room.l[w], by, p.l);
        p.o = fmaf(room.o[w][threadIdx.x], by, p.o);
    }
    return p;
}

/* A block has one query of one head; keys 0 .. pos of its slot, or the last `window` of them. */
template <int D> static __global__ void __launch_bounds__(32 * KEY_WARPS) cached_kernel(const cuda_cached a)
{
    __shared__ __align__(16) row_room<D> room;
    start_next();
    await_previous();
    constexpr int LANES = form<D>::LANES;
    const cuda_cached_row r = a.row[blockIdx.x];
    const uint32_t group = (uint32_t)(a.n_heads / a.n_kv_heads), head = blockIdx.y, kv = head / group;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, c0 = lane % LANES * 8;
    const size_t stride = a.n_kv_heads * D, slot = r.slot * a.slot_rows * stride + kv * D, at = (size_t)blockIdx.x * a.n_heads + head;
    const uint32_t to = r.pos + 1, from = a.window && to > a.window ? to - (uint32_t)a.window : 0;
    const uint32_t chunk0 = from / CHUNK, chunks = (to + CHUNK - 1) / CHUNK - chunk0, loaded = a.cosine ? r.pos : to;
    bf16 *const keys = (bf16 *)a.k_cache + slot, *const values = (bf16 *)a.v_cache + slot;
    if (blockIdx.z >= chunks) return;
    words<D> w;
    part sum = { -INFINITY, 0.0f, 0.0f };        /* of column threadIdx.x */
    float q[8];
    for (uint32_t chunk = blockIdx.z; chunk < chunks; chunk += gridDim.z) {
        const uint32_t first = (chunk0 + chunk) * CHUNK + warp * WARP_KEYS;
        float own[8], top, all;
        load_keys<D>(w, keys, values, stride, first, from, loaded);
        if (chunk == blockIdx.z) {
            load_row<D>(room, a, r.pos, head, kv);
            __syncthreads();
#pragma unroll
            for (int e = 0; e < 8; e++) q[e] = D == LANES * 8 || c0 < D ? __bfloat162float(room.q[c0 + e]) * a.scale : 0.0f;
            if (a.cosine && head % group == 0 && !blockIdx.z && threadIdx.x < D) {
                keys[r.pos * stride + threadIdx.x] = room.k[threadIdx.x];
                values[r.pos * stride + threadIdx.x] = room.v[threadIdx.x];
            }
        }
        if (a.cosine) put_key<D>(w, room.k, room.v, first, r.pos);
        add_keys<D>(own, top, all, w, q, first, from, to);
        if (lane == 0) room.m[warp] = top, room.l[warp] = all;
        if (lane < LANES && (D == LANES * 8 || c0 < D))
#pragma unroll
            for (int e = 0; e < 8; e++) room.o[warp][c0 + e] = own[e];
        __syncthreads();
        if (threadIdx.x < D) {
            const part p = chunk_of<D>(room);
            if (gridDim.z > 1) {
                float *const place = a.part + (at * a.chunks + chunk) * (D + 2);
                place[threadIdx.x] = p.o;
                if (threadIdx.x == 0) place[D] = p.m, place[D + 1] = p.l;
            } else {
                sum = chunk ? merge(sum, p) : p;
            }
        }
        __syncthreads();
    }
    if (gridDim.z == 1 && threadIdx.x < D) ((bf16 *)a.out)[at * D + threadIdx.x] = __float2bfloat16_rn(sum.o / sum.l);
}

/* A block has one query of one head: its chunks in their order. */
template <int D> static __global__ void __launch_bounds__(D) merge_kernel(const cuda_cached a)
{
    start_next();
    await_previous();
    const uint32_t to = a.row[blockIdx.x].pos + 1, from = a.window && to > a.window ? to - (uint32_t)a.window : 0;
    const uint32_t chunks = (to + CHUNK - 1) / CHUNK - from / CHUNK;
    const size_t at = (size_t)blockIdx.x * a.n_heads + blockIdx.y;
    const float *place = a.part + at * a.chunks * (D + 2);
    part sum = { place[D], place[D + 1], place[threadIdx.x] };
    for (uint32_t i = 1; i < chunks; i++) {
        place += D + 2;
        sum = merge(sum, { place[D], place[D + 1], place[threadIdx.x] });
    }
    ((bf16 *)a.out)[at * D + threadIdx.x] = __float2bfloat16_rn(sum.o / sum.l);
}

CUDA_C size_t k_cached_chunks(size_t slot_rows, size_t window)
{
    const size_t all = (slot_rows + CHUNK - 1) / CHUNK, seen = window ? (window + CHUNK - 2) / CHUNK + 1 : all;
    return seen < all ? seen : all;
}

template <int D> static bool cached(cudaStream_t s, const cuda_cached *a)
{
    const unsigned z = a->part && a->chunks >= SPLIT_FROM ? (unsigned)(a->chunks < 32 ? a->chunks : 32) : 1;
    start(cached_kernel<D>, dim3((unsigned)a->rows, (unsigned)a->n_heads, z), 32 * KEY_WARPS, 0, s, *a);
    if (z > 1) start(merge_kernel<D>, dim3((unsigned)a->rows, (unsigned)a->n_heads), D, 0, s, *a);
    return true;
}

CUDA_C bool k_cached(cudaStream_t s, const cuda_cached *a)
{
    switch (a->head_dim) {
    case 16: return cached<16>(s, a);
    case 32: return cached<32>(s, a);
    case 64: return cached<64>(s, a);
    case 96: return cached<96>(s, a);
    case 128: return cached<128>(s, a);
    default: return false;
    }
}

/* ---- the largest of a row ----------------------------------------------------------------------------------------- */

enum { PARTS = 32, PART_THREADS = 256 };
constexpr uint64_t NOT_FINITE = ~(uint64_t)0;

/* The order of numbers as integers, both zeros alike; among equals the first is the largest. */
static __device__ __forceinline__ uint64_t rank_of(float x, uint32_t at)
{
    const uint32_t bits = __float_as_uint(x + 0.0f), order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    if ((bits & 0x7f800000u) == 0x7f800000u) return NOT_FINITE;
    return (uint64_t)order << 32 | (uint32_t)~at;
}

static __device__ __forceinline__ uint64_t block_max(uint64_t v, uint64_t *room)
{
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int d = 16; d; d >>= 1) {
        const uint64_t other = __shfl_xor_sync(0xffffffffu, v, d);
        v = other > v ? other : v;
    }
    if (lane == 0) room[warp] = v;
    __syncthreads();
    for (uint32_t w = 0; w < blockDim.x / 32; w++) v = room[w] > v ? room[w] : v;
    return v;
}

static __global__ void __launch_bounds__(PART_THREADS) part_max_kernel(uint64_t *part, const float *x, uint32_t cols)
{
    __shared__ uint64_t room[PART_THREADS / 32];
    start_next();
    await_previous();
    const float *row = x + (size_t)blockIdx.x * cols;
    uint64_t most = 0;
    for (uint32_t c = (blockIdx.y * PART_THREADS + threadIdx.x) * 4; c < cols; c += PARTS * PART_THREADS * 4) {
        const float4 v = *reinterpret_cast<const float4 *>(row + c);
        const uint64_t r[4] = { rank_of(v.x, c), rank_of(v.y, c + 1), rank_of(v.z, c + 2), rank_of(v.w, c + 3) };
        for (int i = 0; i < 4; i++) most = r[i] > most ? r[i] : most;
    }
    most = block_max(most, room);
    if (threadIdx.x == 0) part[blockIdx.x * PARTS + blockIdx.y] = most;
}

static __global__ void __launch_bounds__(PARTS) max_kernel(int32_t *out, const uint64_t *part)
{
    __shared__ uint64_t room[1];
    start_next();
    await_previous();
    const uint64_t most = block_max(part[blockIdx.x * PARTS + threadIdx.x], room);
    if (threadIdx.x == 0) out[blockIdx.x] = most == NOT_FINITE ? -1 : (int32_t)~(uint32_t)most;
}

CUDA_C size_t k_largest_parts(void)
{
    return PARTS;
}

CUDA_C void k_largest(cudaStream_t s, int32_t *out, uint64_t *part, const float *x, size_t rows, size_t cols)
{
    start(part_max_kernel, dim3((unsigned)rows, PARTS), PART_THREADS, 0, s, part, x, (uint32_t)cols);
    start(max_kernel, (unsigned)rows, PARTS, 0, s, out, (const uint64_t *)part);
}
