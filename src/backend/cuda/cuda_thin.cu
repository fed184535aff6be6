/* backend/cuda/cuda_thin.cu - products of at most 32 rows, which read each weight once at the memory's speed.
 *
 * A block has 16 columns of the output (rows of W) at a time and all rows of x, eight to a product of the tensor cores; there
 * are no more blocks than multiprocessors, and a block goes on to further columns. W is the product's first factor. Its eight
 * warps take 64 of k in turns; a lane reads 16 bytes of two rows of W and of the rows of x, twice a turn, and multiplies what it
 * read itself: so its pieces of W can be on their way into its own places in shared memory, five turns ahead and across columns,
 * and nobody waits for anybody before the warps' sums are added, in the warps' order. A row's bits depend on no other row.
 *
 * Weights that no launch still under way writes are asked for before the launch before has ended; with 100 kB a block two
 * launches are on a multiprocessor at once, so that the next product's first 10 MB arrive while this one ends.
 */
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_mma.cuh"

enum { WARPS = 8, THREADS = 32 * WARPS, COLS = 16, PIECE = 32, PIECES = 2, TURN = WARPS * PIECES * PIECE, STAGES = 6 };
enum { SLOT = 8, STAGE = 2 * PIECES * THREADS * SLOT };   /* elements: of a fetch, of a turn */

typedef struct {
    cuda_thin p;
    uint32_t first[CUDA_JOINED + 1]; /* groups of columns of each output */
    uint32_t groups;
} thin_work;

template <int TILES> struct room {
    static constexpr int PITCH = 8 * TILES + 1, BYTES = STAGES * STAGE * 2 + WARPS * COLS * PITCH * 4;
};

/* A place in the order of a block's turns. */
typedef struct {
    uint32_t group, out, col, segment, at;
} cursor;

/* Two sets of eight rows of weights (NULL: none), what they meet, and how long these are. */
typedef struct {
    const bf16 *lo, *hi, *x;
    uint32_t k;
} source;

static __device__ __forceinline__ void enter(cursor &c, const thin_work &w)
{
    c.out = c.segment = c.at = 0;
    if (c.group >= w.groups) return;
    while (c.group >= w.first[c.out + 1]) c.out++;
    c.col = (c.group - w.first[c.out]) * COLS;
}

static __device__ __forceinline__ source source_of(const thin_work &w, const cursor &c)
{
    const cuda_joined_out &o = w.p.out[c.out];
    const cuda_segment &g = o.segment[c.segment];
    const uint32_t row = c.col + threadIdx.x % 32 / 4, n = (uint32_t)o.n;
    const bf16 *b = (const bf16 *)g.b + (size_t)row * g.k;
    return { row < n ? b : NULL, row + 8 < n ? b + (size_t)8 * g.k : NULL, (const bf16 *)g.a, (uint32_t)g.k };
}

static __device__ __forceinline__ void advance(cursor &c, const thin_work &w, uint32_t k)
{
    c.at += TURN;
    if (c.at < k) return;
    c.at = 0;
    if (++c.segment < w.p.out[c.out].segments) return;
    c.group += gridDim.x;
    enter(c, w);
}

/* Of a turn's 512 of k the first that is this lane's; its second piece is PIECE on. */
static __device__ __forceinline__ uint32_t own_k(void)
{
    return threadIdx.x / 32 * PIECES * PIECE + threadIdx.x % 4 * SLOT;
}

/* This lane's weights of a turn into its places of a stage; the cursor goes on. */
static __device__ __forceinline__ void fetch_turn(bf16 *stage, cursor &c, const thin_work &w, bool &awaited)
{
    if (c.group < w.groups) {
        if (!awaited && (c.segment || !w.p.settled)) {
            await_previous();
            awaited = true;
        }
        const source s = source_of(w, c);
#pragma unroll
        for (int i = 0; i < PIECES; i++) {
            const uint32_t k = c.at + own_k() + i * PIECE;
            bf16 *to = stage + (2 * i * THREADS + threadIdx.x) * SLOT;
            fetch16(to, s.lo + k, s.lo && k < s.k);
            fetch16(to + THREADS * SLOT, s.hi + k, s.hi && k < s.k);
        }
        advance(c, w, s.k);
    }
    commit();
}

template <int TILES> static __device__ __forceinline__ void load_x(uint4 (&x)[PIECES][TILES], const cursor &c, const thin_work &w)
{
    if (c.group >= w.groups) return;
    const source s = source_of(w, c);
#pragma unroll
    for (int i = 0; i < PIECES; i++)
#pragma unroll
        for (int t = 0; t < TILES; t++) {
            const uint32_t k = c.at + own_k() + i * PIECE, row = t * 8 + threadIdx.x % 32 / 4;
            x[i][t] = row < w.p.rows && k < s.k ? __ldg(reinterpret_cast<const uint4 *>(s.x + (size_t)row * s.k + k)) : make_uint4(0, 0, 0, 0);
        }
}

/* c += W[16 of rows] x[8 of rows]^T over a piece: elements of k stand in the fragments as both sides' lanes read them. */
static __device__ __forceinline__ void piece(float c[4], const uint4 &lo, const uint4 &hi, const uint4 &x)
{
    const uint32_t first[4] = { lo.x, hi.x, lo.y, hi.y }, second[4] = { lo.z, hi.z, lo.w, hi.w };
    mma(c, first, x.x, x.y);
    mma(c, second, x.z, x.w);
}

/* The warps' sums of column j of 16 and one row, in their order. */
template <int TILES> static __device__ __forceinline__ float add_warps(const float *part, uint32_t j, uint32_t row)
{
    float sum = 0.0f;
#pragma unroll
    for (int v = 0; v < WARPS; v++) sum += part[(v * COLS + j) * room<TILES>::PITCH + row];
    return sum;
}

template <int TILES> static __device__ __forceinline__ void store(const float *part, const thin_work &w, const cursor &c)
{
    const cuda_joined_out &o = w.p.out[c.out];
    for (uint32_t at = threadIdx.x; at < COLS * 8 * TILES; at += THREADS) {
        const uint32_t j = at % COLS, row = at / COLS;
        if (row >= w.p.rows || c.col + j >= o.n) continue;
        float sum = add_warps<TILES>(part, j, row) * w.p.alpha[c.out];
        if (o.bias) sum += o.bias[c.col + j];
        const size_t to = (size_t)row * o.ldc + c.col + j;
        if (w.p.f32) ((float *)o.c)[to] = sum;
        else ((bf16 *)o.c)[to] = __float2bfloat16_rn(sum);
    }
}

template <int TILES> static __global__ void __launch_bounds__(THREADS, 2) thin_kernel(const __grid_constant__ thin_work w)
{
    extern __shared__ __align__(16) unsigned char shared[];
    bf16 *const ring = (bf16 *)shared;
    float *const part = (float *)(shared + STAGES * STAGE * 2);
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    cursor ahead = { blockIdx.x, 0, 0, 0, 0 };
    bool awaited = false;
    uint4 x[PIECES][TILES];
    enter(ahead, w);
    cursor now = ahead;
    start_next();
    for (int s = 0; s < STAGES - 1; s++) fetch_turn(ring + s * STAGE, ahead, w, awaited);
    if (!awaited) await_previous();
    awaited = true;
    load_x<TILES>(x, now, w);
    uint32_t stage = 0, fill = STAGES - 1;
    while (now.group < w.groups) {
        float c[TILES][4] = { { 0.0f } };
        const cursor here = now;
        do {
            uint4 other[PIECES][TILES];
            advance(now, w, source_of(w, now).k);
            load_x<TILES>(other, now, w);
            wait_until_left<STAGES - 2>();
            const uint4 *own = reinterpret_cast<const uint4 *>(ring + stage * STAGE) + threadIdx.x;
#pragma unroll
            for (int i = 0; i < PIECES; i++)
#pragma unroll
                for (int t = 0; t < TILES; t++) piece(c[t], own[2 * i * THREADS], own[(2 * i + 1) * THREADS], x[i][t]);
            fetch_turn(ring + fill * STAGE, ahead, w, awaited);
            stage = stage + 1 == STAGES ? 0 : stage + 1;
            fill = fill + 1 == STAGES ? 0 : fill + 1;
#pragma unroll
            for (int i = 0; i < PIECES; i++)
#pragma unroll
                for (int t = 0; t < TILES; t++) x[i][t] = other[i][t];
        } while (now.group == here.group);
#pragma unroll
        for (int t = 0; t < TILES; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                part[(warp * COLS + lane / 4 + e / 2 * 8) * room<TILES>::PITCH + t * 8 + lane % 4 * 2 + e % 2] = c[t][e];
        __syncthreads();
        store<TILES>(part, w, here);
        __syncthreads();
    }
}

template <int TILES> static bool launch(cudaStream_t s, const thin_work &w, unsigned processors)
{
    if (cudaFuncSetAttribute(thin_kernel<TILES>, cudaFuncAttributeMaxDynamicSharedMemorySize, room<TILES>::BYTES) != cudaSuccess) return false;
    return start(thin_kernel<TILES>, w.groups < processors ? w.groups : processors, THREADS, room<TILES>::BYTES, s, w);
}

CUDA_C bool k_thin(cudaStream_t s, const cuda_thin *p, unsigned processors)
{
    thin_work w = {};
    if (!p->rows || !p->outputs) return true;
    if (p->rows > CUDA_THIN_ROWS) return false;
    w.p = *p;
    for (size_t i = 0; i < p->outputs; i++) w.first[i + 1] = w.first[i] + (uint32_t)((p->out[i].n + COLS - 1) / COLS);
    w.groups = w.first[p->outputs];
    for (size_t i = p->outputs; i < CUDA_JOINED; i++) w.first[i + 1] = UINT32_MAX;
    return p->rows <= 8 ? launch<1>(s, w, processors) : p->rows <= 16 ? launch<2>(s, w, processors) : launch<4>(s, w, processors);
}
