/* backend/cuda/cuda_loss_hopper.cu - the loss of rows that no block's shared memory holds: a cluster of eight has a row.
 *
 * Each block reads its eighth of the logits once, keeps it in shared memory, and finds its largest and the sum of exponentials beside it; the
 * eight pairs are merged by each block in the blocks' order; then each writes its eighth of the gradient. A row of 151,936 takes 76 kB
 * a block, so that three clusters are on the same multiprocessors: one reads while another writes. */
#include "backend/cuda/cuda_hopper.cuh"
#include "backend/cuda/cuda_launch.cuh"

enum { PARTS = 8, THREADS = 512, AHEAD = 4, EACH = 4 * THREADS };

#ifdef HOPPER
typedef struct {
    float m, sum;
} share;

static __device__ __forceinline__ float largest(float4 v)
{
    return fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w));
}

/* b's logits stand behind a's. */
static __device__ __forceinline__ share merge(const share &a, const share &b)
{
    const float m = fmaxf(a.m, b.m);
    if (m == -INFINITY) return a;
    return { m, fmaf(a.sum, __expf(a.m - m), b.sum * __expf(b.m - m)) };
}

/* A thread's logits, which it leaves in `near`. */
static __device__ __forceinline__ share read_part(float *near, const float *x, uint32_t n)
{
    share own = { -INFINITY, 0.0f };
    for (uint32_t c = threadIdx.x * 4; c < n; c += AHEAD * EACH) {
        float4 v[AHEAD];
        float most = -INFINITY;
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            const uint32_t at = c + a * EACH;
            v[a] = at < n ? __ldcs(reinterpret_cast<const float4 *>(x + at)) : make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            const uint32_t at = c + a * EACH;
            if (at < n) *reinterpret_cast<float4 *>(near + at) = v[a];
            most = fmaxf(most, largest(v[a]));
        }
        if (most > own.m) {
            own.sum *= __expf(own.m - most);
            own.m = most;
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
            own.sum += __expf(v[a].x - own.m) + __expf(v[a].y - own.m) + __expf(v[a].z - own.m) + __expf(v[a].w - own.m);
    }
    return own;
}

/* All threads' shares: lanes in pairs, then warps in their order. */
static __device__ __forceinline__ share fold_block(share v, share *room)
{
    for (int d = 1; d < 32; d *= 2) {
        const share o = { __shfl_xor_sync(0xffffffffu, v.m, d), __shfl_xor_sync(0xffffffffu, v.sum, d) };
        v = threadIdx.x & d ? merge(o, v) : merge(v, o);
    }
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;
    __syncthreads();
    v = room[0];
    for (int w = 1; w < THREADS / 32; w++) v = merge(v, room[w]);
    return v;
}

static __device__ __forceinline__ share share_of(const share *room, uint32_t block)
{
    share v;
    asm volatile("{ .reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %2, %3;\n"
                 "ld.shared::cluster.v2.f32 {%0, %1}, [there]; }" : "=f"(v.m), "=f"(v.sum) : "r"(shared_place(room)), "r"(block) : "memory");
    return v;
}

static __device__ __forceinline__ void write_part(bf16 *d, const float *near, uint32_t n, uint32_t aim, float lse, float scale)
{
    for (uint32_t c = threadIdx.x * 8; c < n; c += 2 * EACH) {
        const float4 a = *reinterpret_cast<const float4 *>(near + c), b = *reinterpret_cast<const float4 *>(near + c + 4);
        float p[8] = { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w };
#pragma unroll
        for (int i = 0; i < 8; i++) p[i] = (__expf(p[i] - lse) - (c + i == aim ? 1.0f : 0.0f)) * scale;
        *reinterpret_cast<uint4 *>(d + c) = make_uint4(two_of(p[0], p[1]), two_of(p[2], p[3]), two_of(p[4], p[5]), two_of(p[6], p[7]));
    }
}
#endif

template <bool GRAD> static __global__ void __launch_bounds__(THREADS, 3) __cluster_dims__(PARTS, 1, 1)
    row_kernel(const float *logits, const int32_t *target, float *nll, bf16 *dlogits, uint32_t vocab, uint32_t each, float scale)
{
    start_next();
    await_previous();
#ifdef HOPPER
    extern __shared__ __align__(16) unsigned char room[];
    __shared__ share warps[THREADS / 32], mine;
    float *const near = reinterpret_cast<float *>(room);
    const uint32_t part = blockIdx.x % PARTS, first = part * each, n = first < vocab ? min(each, vocab - first) : 0;
    const size_t row = blockIdx.x / PARTS, at = row * vocab + first;
    const share own = fold_block(read_part(near, logits + at, n), warps);
    if (threadIdx.x == 0) mine = own;
    cluster_sync();
    share all = share_of(&mine, 0);
    for (uint32_t b = 1; b < PARTS; b++) all = merge(all, share_of(&mine, b));
    const float lse = all.m + logf(all.sum);
    const uint32_t aim = (uint32_t)target[row];
    if (aim - first < n && threadIdx.x == 0) nll[row] = lse - near[aim - first];
    if (GRAD) write_part(dlogits + at, near, n, aim - first, lse, scale);
    cluster_sync();                              /* a block's share may still be read */
#endif
}

template <bool GRAD> static bool launch(cudaStream_t s, const float *logits, const int32_t *target, float *nll, cuda_bf16 *dlogits, size_t rows,
                                       size_t vocab, size_t each, float scale)
{
    const size_t bytes = each * sizeof(float);
    if (cudaFuncSetAttribute(row_kernel<GRAD>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess ||
        cudaFuncSetAttribute(row_kernel<GRAD>, cudaFuncAttributePreferredSharedMemoryCarveout, 100) != cudaSuccess)
        return false;
    return start(row_kernel<GRAD>, (unsigned)(rows * PARTS), THREADS, bytes, s, logits, target, nll, (bf16 *)dlogits, (uint32_t)vocab,
                 (uint32_t)each, scale);
}

CUDA_C bool k_entropy_wide(cudaStream_t s, const float *logits, const int32_t *target, float *nll, cuda_bf16 *dlogits, size_t rows, size_t vocab,
                           float scale, size_t shared)
{
    const size_t each = ((vocab + PARTS - 1) / PARTS + 7) / 8 * 8;
    if (each * sizeof(float) + 1024 > shared || vocab > INT32_MAX || rows > INT32_MAX / PARTS) return false;
    if (!rows) return true;
    return dlogits ? launch<true>(s, logits, target, nll, dlogits, rows, vocab, each, scale)
                   : launch<false>(s, logits, target, nll, dlogits, rows, vocab, each, scale);
}
