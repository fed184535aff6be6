/* backend/cuda/cuda_segments.cu - products on Hopper's tensor cores: C = sum over segments of A_s B_s, one launch.
 *
 * A segment is one factor pair with its own width k: a linear layer's x W^T and its adapter's h B^T are two, the input
 * gradient of q, k and v with their adapters is six. All are summed in one accumulator, in binary32, in their order
 * and k ascending; then the bias is added and the sum is rounded once. What an element is does not depend on the rows
 * beside it, on their number or on the tile: the same k order for every shape (B6).
 *
 * Gate and up are one product with the gated unit behind it: a tile's columns are 128 of gate and the same 128 of up, so that a thread
 * has both factors of an output. Their adapters' parts are segments whose other half of B lies outside its matrix, which TMA fills with
 * zeros. Both sums are rounded and stored, and the unit is computed from what was rounded: the bits of three operations.
 *
 * A block has 128 rows and TN columns: one warp fetches tiles of 64 of k by TMA under the 128-byte swizzle, two
 * warpgroups multiply 64 rows each (wgmma). Two blocks of a cluster are neighbours in rows: each fetches half of the
 * common tile of B for both. Blocks go on to further tiles until all are done; while sums are stored the next tiles
 * are on their way. */
#include "backend/cuda/cuda_hopper.cuh"
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_math.cuh"

enum { TM = 128, TK = 64, GROUP_M = 8, CONSUMERS = 2, THREADS = 128 * (1 + CONSUMERS), BLOCKS = 2 };

typedef struct {
    void *c;
    const float *bias;
    uint32_t n, ldc, first, segments, pairs;     /* pairs of tiles up to this output's last */
    uint32_t add, tiles_n;
} output;

typedef struct {
    CUtensorMap a[CUDA_SEGMENTS], b[CUDA_SEGMENTS];
    uint32_t k[CUDA_SEGMENTS];
    output out[CUDA_JOINED];
    uint32_t rows, pairs_m, pairs, outputs;
    CUtensorMap up;                  /* gated: the second half of the first segment's B; the second segment has none, the third no first */
    void *gated;                     /* y; out[0] is gate's, with all segments, out[1] up's */
} work;

enum { FORM_PLAIN, FORM_F32, FORM_GATED, OUTSIDE = 0x7fffff00 };

template <int TN> struct sizes {
    static constexpr int A = TM * TK * 2, B = TN * TK * 2, STAGE = A + B, STAGES = TN == 256 ? 4 : TN == 192 ? 5 : 6;
    static constexpr int BYTES = 1024 + STAGES * STAGE + STAGES * 16;
};

#ifdef HOPPER
/* ---- the kernel ---------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t out, row, col;          /* first row of the pair, first column */
} place;

/* Pairs of tiles go down GROUP_M pairs of rows before the next columns, so that what a wave reads stays in the L2. */
static __device__ __forceinline__ place place_of(const work &w, uint32_t pair, uint32_t tn)
{
    place p = { 0, 0, 0 };
    while (pair >= w.out[p.out].pairs) p.out++;
    const uint32_t at = pair - (p.out ? w.out[p.out - 1].pairs : 0), wide = w.out[p.out].tiles_n * GROUP_M;
    const uint32_t first = at / wide * GROUP_M, left = w.pairs_m - first, high = left < GROUP_M ? left : GROUP_M;
    p.row = (first + at % wide % high) * TM * BLOCKS;
    p.col = at % wide / high * tn;
    return p;
}

typedef struct {
    uint32_t full, empty, data, stage, phase;
} ring;

template <int TN> static __device__ __forceinline__ void next(ring &r)
{
    if (++r.stage == sizes<TN>::STAGES) r.stage = 0, r.phase ^= 1;
}

/* This block's half of B, for both: of gate or of up. */
static __device__ __forceinline__ void fetch_gated(const work &w, uint32_t to, uint32_t s, uint32_t k, uint32_t col, uint32_t block, uint32_t full)
{
    const bool none = s && block != s - 1;
    fetch_for_both(to, block && !s ? &w.up : &w.b[s], k, none ? OUTSIDE : col, full);
}

/* One thread: everything that the two warpgroups will multiply, in their order. */
template <int TN, int TB, int FORM> static __device__ __forceinline__ void produce(const work &w, ring r, uint32_t block, uint32_t pair, uint32_t step)
{
    for (; pair < w.pairs; pair += step) {
        const place p = place_of(w, pair, FORM == FORM_GATED ? TN / 2 : TN);
        const output &o = w.out[p.out];
        for (uint32_t s = o.first; s < o.first + o.segments; s++)
            for (uint32_t k = 0; k < w.k[s]; k += TK, next<TN>(r)) {
                const uint32_t full = r.full + 8 * r.stage, a = r.data + r.stage * sizes<TN>::STAGE, b = a + sizes<TN>::A;
                barrier_wait(r.empty + 8 * r.stage, r.phase ^ 1);
                barrier_expect(full, sizes<TN>::STAGE);
                fetch_tile(a, &w.a[s], k, p.row + block * TM, full);
                if (FORM == FORM_GATED)
                    fetch_gated(w, b + block * (sizes<TN>::B / 2), s, k, p.col, block, full);
                else if (!TB)
                    fetch_for_both(b + block * (sizes<TN>::B / 2), &w.b[s], k, p.col + block * (TN / 2), full);
                else
                    for (uint32_t n = 0; n < TN / 64; n++)
                        fetch_for_both(b + n * 8192 + block * 4096, &w.b[s], p.col + n * 64, k + block * 32, full);
            }
    }
}

/* Adds what the output asks for to 64 rows of sums, in place. */
template <int TN> static __device__ __forceinline__ void add_to_sums(float (&d)[TN / 2], const output &o, uint32_t row, uint32_t col,
                                                                    uint32_t rows)
{
    const int lane = threadIdx.x % 32;
    if (o.bias)
#pragma unroll
        for (int j = 0; j < TN / 8; j++) {
            const uint32_t n = col + j * 8 + lane % 4 * 2;
            const float2 b = n < o.n ? *reinterpret_cast<const float2 *>(o.bias + n) : make_float2(0.0f, 0.0f);
            d[4 * j] += b.x, d[4 * j + 1] += b.y, d[4 * j + 2] += b.x, d[4 * j + 3] += b.y;
        }
    if (o.add)
#pragma unroll
        for (int j = 0; j < TN / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const uint32_t n = col + j * 8 + lane % 4 * 2, m = row + 8 * h;
                const uint32_t *at = (const uint32_t *)((const bf16 *)o.c + (size_t)m * o.ldc + n);
                const uint32_t old = m < rows && n < o.n ? *at : 0;
                d[4 * j + 2 * h] += __uint_as_float(old << 16), d[4 * j + 2 * h + 1] += __uint_as_float(old & 0xffff0000u);
            }
}

template <int TN> static __device__ __forceinline__ void store_bf16(const float (&d)[TN / 2], const output &o, uint32_t row, uint32_t col,
                                                                   uint32_t rows)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < TN / 8; j += 4)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            uint32_t w[4];
#pragma unroll
            for (int i = 0; i < 4; i++) w[i] = two_of(d[4 * (j + i) + 2 * h], d[4 * (j + i) + 2 * h + 1]);
            transpose_quad(w, lane);
            const uint32_t n = col + (j + lane % 4) * 8, m = row + 8 * h;
            if (m < rows && n < o.n)
                *reinterpret_cast<uint4 *>((bf16 *)o.c + (size_t)m * o.ldc + n) = make_uint4(w[0], w[1], w[2], w[3]);
        }
}

template <int TN> static __device__ __forceinline__ void store_f32(const float (&d)[TN / 2], const output &o, uint32_t row, uint32_t col,
                                                                  uint32_t rows)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < TN / 8; j++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t n = col + j * 8 + lane % 4 * 2, m = row + 8 * h;
            if (m < rows && n < o.n)
                *reinterpret_cast<float2 *>((float *)o.c + (size_t)m * o.ldc + n) = make_float2(d[4 * j + 2 * h], d[4 * j + 2 * h + 1]);
        }
}

/* Gate's sums are the first half of d, up's the second. */
template <int TN> static __device__ __forceinline__ void store_gated(const float (&d)[TN / 2], const work &w, uint32_t row, uint32_t col)
{
    const int lane = threadIdx.x % 32;
    const output &g = w.out[0], &u = w.out[1];
#pragma unroll
    for (int j = 0; j < TN / 16; j += 4)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            uint32_t a[4], b[4], y[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int at = 4 * (j + i) + 2 * h;
                a[i] = two_of(d[at], d[at + 1]);
                b[i] = two_of(d[TN / 4 + at], d[TN / 4 + at + 1]);
                const float g0 = __uint_as_float(a[i] << 16), g1 = __uint_as_float(a[i] & 0xffff0000u);
                y[i] = two_of(g0 * sigmoid(g0) * __uint_as_float(b[i] << 16), g1 * sigmoid(g1) * __uint_as_float(b[i] & 0xffff0000u));
            }
            transpose_quad(a, lane);
            transpose_quad(b, lane);
            transpose_quad(y, lane);
            const uint32_t n = col + (j + lane % 4) * 8, m = row + 8 * h;
            if (m >= w.rows || n >= g.n) continue;
            *reinterpret_cast<uint4 *>((bf16 *)g.c + (size_t)m * g.ldc + n) = make_uint4(a[0], a[1], a[2], a[3]);
            *reinterpret_cast<uint4 *>((bf16 *)u.c + (size_t)m * u.ldc + n) = make_uint4(b[0], b[1], b[2], b[3]);
            *reinterpret_cast<uint4 *>((bf16 *)w.gated + (size_t)m * g.n + n) = make_uint4(y[0], y[1], y[2], y[3]);
        }
}

static __device__ __forceinline__ void release(uint32_t bar)
{
    if (threadIdx.x % 32 < BLOCKS) barrier_arrive_at(bar, threadIdx.x % 32);
}

template <int TN, int TB, int FORM> static __device__ __forceinline__ void consume(const work &w, ring r, uint32_t block, uint32_t pair,
                                                                                  uint32_t step, uint32_t group)
{
    const uint32_t warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32, own = group * 64;
    const uint32_t b_step = TB ? 2048 >> 4 : 32 >> 4;
    for (; pair < w.pairs; pair += step) {
        const place p = place_of(w, pair, FORM == FORM_GATED ? TN / 2 : TN);
        const output &o = w.out[p.out];
        float d[TN / 2];
        int add = 0;
        uint32_t before = 0;
        for (uint32_t s = o.first; s < o.first + o.segments; s++)
            for (uint32_t k = 0; k < w.k[s]; k += TK, next<TN>(r)) {
                const uint32_t tile = r.data + r.stage * sizes<TN>::STAGE;
                const uint64_t a = descriptor(tile + own * 128, 16), b = descriptor(tile + sizes<TN>::A, TB ? 8192 : 16);
                barrier_wait(r.full + 8 * r.stage, r.phase);
                wgmma_begin();
                if (w.k[s] - k >= TK) {
#pragma unroll
                    for (int i = 0; i < TK / 16; i++) {
                        wgmma<TN, TB>::go(d, a + i * 2, b + i * b_step, add);
                        add = 1;
                    }
                    wgmma_commit();
                } else {
                    for (uint32_t i = 0; i * 16 < w.k[s] - k; i++) {
                        wgmma<TN, TB>::go(d, a + i * 2, b + i * b_step, add);
                        add = 1;
                    }
                    wgmma_commit();
                }
                wgmma_wait<1>();
                if (before) release(before);
                before = r.empty + 8 * r.stage;
            }
        wgmma_wait<0>();
        if (before) release(before);
        const uint32_t row = p.row + block * TM + own + warp * 16 + lane / 4;
        if (FORM == FORM_GATED) {
            store_gated<TN>(d, w, row, p.col);
            continue;
        }
        if (o.bias || o.add) add_to_sums<TN>(d, o, row, p.col, w.rows);
        if (FORM == FORM_F32) store_f32<TN>(d, o, row, p.col, w.rows);
        else store_bf16<TN>(d, o, row, p.col, w.rows);
    }
}
#endif

template <int TN, int TB, int FORM>
static __global__ void __launch_bounds__(THREADS, 1) __cluster_dims__(BLOCKS, 1, 1) segments_kernel(const __grid_constant__ work w)
{
    start_next();
#ifndef HOPPER
    await_previous();
#else
    extern __shared__ unsigned char room[];
    constexpr int STAGES = sizes<TN>::STAGES;
    const uint32_t data = (shared_place(room) + 1023) & ~1023u, full = data + STAGES * sizes<TN>::STAGE;
    ring r = { full, full + 8 * STAGES, data, 0, 0 };
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(r.full + 8 * i, 1);
            barrier_init(r.empty + 8 * i, BLOCKS * CONSUMERS * 4);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    cluster_sync();
    await_previous();
    const uint32_t block = blockIdx.x % BLOCKS, pair = blockIdx.x / BLOCKS, step = gridDim.x / BLOCKS, group = threadIdx.x / 128;
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0) produce<TN, TB, FORM>(w, r, block, pair, step);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        consume<TN, TB, FORM>(w, r, block, pair, step, group - 1);
    }
    cluster_sync();
#endif
}

/* ---- the launch -------------------------------------------------------------------------------------------------- */

static bool aligned_factor(const cuda_bf16 *at, size_t ld)
{
    return (uintptr_t)at % 16 == 0 && ld % 8 == 0;
}

CUDA_C bool k_segments_fit(const cuda_joined *j)
{
    if (!j->rows || j->rows > INT32_MAX || !j->outputs || j->outputs > CUDA_JOINED || !find_encode()) return false;
    size_t all = 0;
    for (size_t i = 0; i < j->outputs; i++) {
        const cuda_joined_out *o = &j->out[i];
        all += o->segments;
        if (!o->segments || all > CUDA_SEGMENTS || o->n % 8 || o->ldc % 8 || (uintptr_t)o->c % 16 || (uintptr_t)o->bias % 8)
            return false;
        for (size_t s = 0; s < o->segments; s++)
            if (!aligned_factor(o->segment[s].a, o->segment[s].lda) || !aligned_factor(o->segment[s].b, o->segment[s].ldb))
                return false;
    }
    return true;
}

/* Pairs of tiles if a tile has tn columns, and what a wave of them costs: the widest does most for what it reads. */
static double cost_of(const cuda_joined *j, unsigned tn, unsigned clusters)
{
    size_t pairs = 0;
    for (size_t i = 0; i < j->outputs; i++) pairs += (j->rows + TM * BLOCKS - 1) / (TM * BLOCKS) * ((j->out[i].n + tn - 1) / tn);
    return (double)((pairs + clusters - 1) / clusters) * (tn + 24.0);
}

template <int TN, int TB, int FORM> static bool launch(cudaStream_t s, const work *w, unsigned clusters)
{
    if (cudaFuncSetAttribute(segments_kernel<TN, TB, FORM>, cudaFuncAttributeMaxDynamicSharedMemorySize, sizes<TN>::BYTES) != cudaSuccess)
        return false;
    const unsigned n = w->pairs < clusters ? w->pairs : clusters;
    start(segments_kernel<TN, TB, FORM>, n * BLOCKS, THREADS, sizes<TN>::BYTES, s, *w);
    return true;
}

template <int TN> static bool launch_form(cudaStream_t s, const work *w, const cuda_joined *j, unsigned clusters)
{
    if (j->f32) return j->n_contiguous ? launch<TN, 1, FORM_F32>(s, w, clusters) : launch<TN, 0, FORM_F32>(s, w, clusters);
    return j->n_contiguous ? launch<TN, 1, FORM_PLAIN>(s, w, clusters) : launch<TN, 0, FORM_PLAIN>(s, w, clusters);
}

static output output_of(const cuda_joined *j, const cuda_joined_out *o, unsigned tn)
{
    const uint32_t tiles = (uint32_t)((o->n + tn - 1) / tn), pairs_m = (uint32_t)((j->rows + TM * BLOCKS - 1) / (TM * BLOCKS));
    return (output){ .c = o->c, .bias = o->bias, .n = (uint32_t)o->n, .ldc = (uint32_t)o->ldc, .first = 0, .segments = (uint32_t)o->segments,
                     .pairs = pairs_m * tiles, .add = o->add, .tiles_n = tiles };
}

CUDA_C bool k_segments(cudaStream_t s, const cuda_joined *j, unsigned processors)
{
    static const unsigned widths[] = { 256, 192, 128 };
    const unsigned clusters = processors / BLOCKS;
    unsigned tn = widths[0];
    for (unsigned i = 1; i < 3; i++)
        if (cost_of(j, widths[i], clusters) < cost_of(j, tn, clusters)) tn = widths[i];
    if (j->tile) tn = j->tile;
    work w = {};
    w.rows = (uint32_t)j->rows;
    w.pairs_m = (uint32_t)((j->rows + TM * BLOCKS - 1) / (TM * BLOCKS));
    w.outputs = (uint32_t)j->outputs;
    uint32_t at = 0;
    for (size_t i = 0; i < j->outputs; i++) {
        const cuda_joined_out *o = &j->out[i];
        w.out[i] = output_of(j, o, tn);
        w.pairs = w.out[i].pairs += w.pairs;
        w.out[i].first = at;
        for (size_t k = 0; k < o->segments; k++, at++) {
            const cuda_segment *g = &o->segment[k];
            w.k[at] = (uint32_t)g->k;
            const bool ok = describe(&w.a[at], g->a, j->rows, g->k, g->lda, TM) &&
                (j->n_contiguous ? describe(&w.b[at], g->b, g->k, o->n, g->ldb, TK / BLOCKS)
                                 : describe(&w.b[at], g->b, o->n, g->k, g->ldb, tn / BLOCKS));
            if (!ok) return false;
        }
    }
    return tn == 256 ? launch_form<256>(s, &w, j, clusters) : tn == 192 ? launch_form<192>(s, &w, j, clusters)
                                                            : launch_form<128>(s, &w, j, clusters);
}

static bool same_base(const cuda_segment *a, const cuda_segment *b)
{
    return a->a == b->a && a->lda == b->lda && a->k == b->k;
}

CUDA_C bool k_segments_gated(cudaStream_t s, const cuda_joined *j, cuda_bf16 *y, unsigned processors)
{
    enum { TN = 256 };
    const cuda_joined_out *g = &j->out[0], *u = &j->out[1];
    if (j->outputs != 2 || j->f32 || j->n_contiguous || g->n != u->n || g->bias || u->bias || g->add || u->add || (uintptr_t)y % 16 ||
        g->segments > 2 || u->segments > 2 || !same_base(&g->segment[0], &u->segment[0]))
        return false;
    work w = {};
    w.rows = (uint32_t)j->rows;
    w.pairs_m = (uint32_t)((j->rows + TM * BLOCKS - 1) / (TM * BLOCKS));
    w.outputs = 1;
    w.gated = y;
    w.out[0] = output_of(j, g, TN / 2);
    w.out[1] = output_of(j, u, TN / 2);
    w.out[0].segments = 3;                       /* an adapter that is not there has no k */
    w.pairs = w.out[0].pairs;
    const cuda_segment *of[3] = { &g->segment[0], g->segments > 1 ? &g->segment[1] : NULL, u->segments > 1 ? &u->segment[1] : NULL };
    for (int i = 0; i < 3; i++) {
        if (!of[i]) continue;
        w.k[i] = (uint32_t)of[i]->k;
        if (!describe(&w.a[i], of[i]->a, j->rows, of[i]->k, of[i]->lda, TM) ||
            !describe(&w.b[i], of[i]->b, g->n, of[i]->k, of[i]->ldb, TN / BLOCKS))
            return false;
    }
    const cuda_segment *up = &u->segment[0];
    return describe(&w.up, up->b, u->n, up->k, up->ldb, TN / BLOCKS) && launch<TN, 0, FORM_GATED>(s, &w, processors / BLOCKS);
}

/* Compiled for another architecture than 90a the kernels above are empty: a build folder may remember an older default. */
__device__ int hopper_code =
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    1;
#else
    0;
#endif

CUDA_C bool k_segments_built(void)
{
    int built = 0;
    return cudaMemcpyFromSymbol(&built, hopper_code, sizeof built) == cudaSuccess && built;
}
