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
 *
 * Gate and up with the gated unit behind them are one product: its 16 rows of W are eight of each, and what one thread adds up in the
 * end are both factors of an output. They are rounded as if they had been stored. */
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_math.cuh"
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
    c.col = (c.group - w.first[c.out]) * (w.p.gated ? COLS / 2 : COLS);
}

/* Gate's own segments are followed by up's; the first is of both. */
static __device__ __forceinline__ uint32_t segments_of(const thin_work &w, const cursor &c)
{
    return w.p.gated ? w.p.out[0].segments + w.p.out[1].segments - 1 : (uint32_t)w.p.out[c.out].segments;
}

static __device__ __forceinline__ source source_of(const thin_work &w, const cursor &c)
{
    const cuda_joined_out *o = &w.p.out[c.out];
    uint32_t s = c.segment;
    const bool second = w.p.gated && s >= o->segments;
    if (second) {
        s -= (uint32_t)o->segments - 1;
        o++;
    }
    const cuda_segment &g = o->segment[s];
    const uint32_t row = c.col + threadIdx.x % 32 / 4, n = (uint32_t)o->n;
    const bf16 *b = (const bf16 *)g.b, *there = row < n ? b + (size_t)row * g.k : NULL;
    source from = { there, NULL, (const bf16 *)g.a, (uint32_t)g.k };
    if (!w.p.gated) {
        from.hi = row + 8 < n ? b + (size_t)(row + 8) * g.k : NULL;
    } else if (second) {
        from.lo = NULL;
        from.hi = there;
    } else if (!s) {
        from.hi = row < n ? (const bf16 *)o[1].segment[0].b + (size_t)row * g.k : NULL;
    }
    return from;
}

static __device__ __forceinline__ void advance(cursor &c, const thin_work &w, uint32_t k)
{
    c.at += TURN;
    if (c.at < k) return;
    c.at = 0;
    if (++c.segment < segments_of(w, c)) return;
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

template <int TILES> static __device__ __forceinline__ void store_gated(const float *part, const thin_work &w, uint32_t col)
{
    const uint32_t n = (uint32_t)w.p.out[0].n;
    for (uint32_t at = threadIdx.x; at < COLS / 2 * 8 * TILES; at += THREADS) {
        const uint32_t j = at % (COLS / 2), row = at / (COLS / 2);
        if (row >= w.p.rows || col + j >= n) continue;
        const float g = __bfloat162float(__float2bfloat16_rn(add_warps<TILES>(part, j, row) * w.p.alpha[0]));
        const float u = __bfloat162float(__float2bfloat16_rn(add_warps<TILES>(part, j + COLS / 2, row) * w.p.alpha[1]));
        ((bf16 *)w.p.gated)[(size_t)row * n + col + j] = __float2bfloat16_rn(g * sigmoid(g) * u);
    }
}

template <int TILES> static __device__ __forceinline__ void store(const float *part, const thin_work &w, const cursor &c)
{
    const cuda_joined_out &o = w.p.out[c.out];
    if (w.p.gated) {
        store_gated<TILES>(part, w, c.col);
        return;
    }
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
    const size_t outputs = p->gated ? 1 : p->outputs, cols = p->gated ? COLS / 2 : COLS;
    for (size_t i = 0; i < outputs; i++) w.first[i + 1] = w.first[i] + (uint32_t)((p->out[i].n + cols - 1) / cols);
    w.groups = w.first[outputs];
    for (size_t i = outputs; i < CUDA_JOINED; i++) w.first[i + 1] = UINT32_MAX;
    return p->rows <= 8 ? launch<1>(s, w, processors) : p->rows <= 16 ? launch<2>(s, w, processors) : launch<4>(s, w, processors);
}
