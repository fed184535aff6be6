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
 * The gradient of down's input ends in the gated unit's: the sums are rounded as if stored, and what is stored are the gradients of gate
 * and up, where asked in their place, and the unit's output once more.
 *
 * A block has tiles of 128 rows and TN columns: one warp fetches 64 of k at a time by TMA under the 128-byte swizzle, two warpgroups
 * multiply (wgmma). Two blocks of a cluster are neighbours in rows: each fetches half of the common tile of B for both. Blocks go on
 * to further tiles until all are done. Tiles of 128 columns are a warpgroup's, which take turns: one stores, and computes what is to
 * be stored, while the other multiplies. Wider ones are shared, 64 rows each: fewer bytes are fetched, and nothing is multiplied
 * while sums are stored. */
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
    CUtensorMap from[2];             /* grad: g and u */
    bf16 *dg, *du, *y;
} work;

enum { FORM_PLAIN, FORM_GATED, FORM_GRAD, OUTSIDE = 0x7fffff00 };

/* A unit: g and u for 64 rows of a tile, in boxes of 64 columns, first all of g. */
template <int TN, int FORM> struct sizes {
    static constexpr bool TURNS = TN == 128;
    static constexpr int BOXES = (TN + 63) / 64;                 /* of 64 columns */
    static constexpr int A = TM * TK * 2, B = BOXES * 64 * TK * 2, STAGE = A + B;
    static constexpr int BOX = 64 * 64 * 2, UNIT = TN / 64 * 2 * BOX, UNITS = FORM == FORM_GRAD ? 2 : 0;
    static constexpr int STAGES = FORM == FORM_GRAD ? 5 : TN > 192 ? 4 : TN == 192 ? 5 : 7;
    static constexpr int BARRIERS = STAGES * 2 + CONSUMERS + UNITS * (CONSUMERS + 1);
    static constexpr int BYTES = 1024 + STAGES * STAGE + UNITS * UNIT + BARRIERS * 8;
    static_assert(BYTES <= 227 * 1024, "shared memory");
    static constexpr int HALVES = TURNS ? 2 : 1;                 /* of 64 rows, a warpgroup's */
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
    uint32_t turn;                   /* TURNS: of each warpgroup, whether the other has multiplied what came before */
} ring;

template <int STAGES> static __device__ __forceinline__ void next(ring &r)
{
    if (++r.stage == STAGES) r.stage = 0, r.phase ^= 1;
}

/* Past what is another's. */
template <int STAGES> static __device__ __forceinline__ void skip(ring &r, const work &w, const output &o)
{
    uint32_t n = r.stage;
    for (uint32_t s = o.first; s < o.first + o.segments; s++) n += (w.k[s] + TK - 1) / TK;
    r.phase ^= n / STAGES & 1;
    r.stage = n % STAGES;
}

/* This block's half of B, for both: of gate or of up. */
static __device__ __forceinline__ void fetch_gated(const work &w, uint32_t to, uint32_t s, uint32_t k, uint32_t col, uint32_t block,
                                                   uint32_t full)
{
    const bool none = s && block != s - 1;
    fetch_for_both(to, block && !s ? &w.up : &w.b[s], k, none ? OUTSIDE : col, full);
}

/* One thread: everything that the two warpgroups will multiply, in their order. */
template <int TN, int TB, int FORM>
static __device__ __forceinline__ void produce(const work &w, ring r, uint32_t block, uint32_t pair, uint32_t step)
{
    typedef sizes<TN, FORM> size;
    for (; pair < w.pairs; pair += step) {
        const place p = place_of(w, pair, FORM == FORM_GATED ? TN / 2 : TN);
        const output &o = w.out[p.out];
        for (uint32_t s = o.first; s < o.first + o.segments; s++)
            for (uint32_t k = 0; k < w.k[s]; k += TK, next<size::STAGES>(r)) {
                const uint32_t full = r.full + 8 * r.stage, a = r.data + r.stage * size::STAGE, b = a + size::A;
                barrier_wait(r.empty + 8 * r.stage, r.phase ^ 1);
                barrier_expect(full, size::A + (TB ? size::B : TN * TK * 2));
                fetch_tile(a, &w.a[s], k, p.row + block * TM, full);
                if (FORM == FORM_GATED)
                    fetch_gated(w, b + block * (size::B / 2), s, k, p.col, block, full);
                else if (!TB)
                    fetch_for_both(b + block * (TN * TK), &w.b[s], k, p.col + block * (TN / 2), full);
                else
                    for (uint32_t n = 0; n < size::BOXES; n++)
                        fetch_for_both(b + n * 8192 + block * 4096, &w.b[s], p.col + n * 64, k + block * 32, full);
            }
    }
}

static __device__ __forceinline__ float low_of(uint32_t two) { return __uint_as_float(two << 16); }
static __device__ __forceinline__ float high_of(uint32_t two) { return __uint_as_float(two & 0xffff0000u); }

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
                d[4 * j + 2 * h] += low_of(old), d[4 * j + 2 * h + 1] += high_of(old);
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
                y[i] = two_of(gated_of(low_of(a[i]), low_of(b[i])), gated_of(high_of(a[i]), high_of(b[i])));
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

/* ---- g and u, for the gated unit's gradient ---- */

typedef struct {
    uint32_t room, full, empty;      /* full: of each warpgroup and unit; empty: of each unit */
} units;

/* One thread: g and u of each tile. */
template <int TN> static __device__ __forceinline__ void produce_units(const work &w, units t, uint32_t block, uint32_t pair, uint32_t step)
{
    typedef sizes<TN, FORM_GRAD> size;
    for (uint32_t done = 0; pair < w.pairs; pair += step, done++) {
        const place p = place_of(w, pair, TN);
        for (uint32_t h = 0; h < 2; h++) {
            const uint32_t full = t.full + (done % 2 * 2 + h) * 8, to = t.room + h * size::UNIT;
            barrier_wait(t.empty + 8 * h, done % 2 ^ 1);
            barrier_expect(full, size::UNIT);
            for (uint32_t i = 0; i < TN / 64 * 2; i++)
                fetch_tile(to + i * size::BOX, &w.from[i / (TN / 64)], p.col + i % (TN / 64) * 64, p.row + block * TM + h * 64, full);
        }
    }
}

static __device__ __forceinline__ uint4 read16(uint32_t at)
{
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at) : "memory");
    return v;
}

/* Of two elements: the sums, g and u give the gradients of g and u and the unit's output. */
static __device__ __forceinline__ void two_gated_grads(uint32_t d, uint32_t &g, uint32_t &u, uint32_t &y)
{
    const gated_grads lo = gated_grad_of(low_of(d), low_of(g), low_of(u)), hi = gated_grad_of(high_of(d), high_of(g), high_of(u));
    g = two_of(lo.dg, hi.dg), u = two_of(lo.du, hi.du), y = two_of(lo.y, hi.y);
}

/* 64 rows of sums; a step is 8 rows of 32 columns a warp. */
template <int TN>
static __device__ __forceinline__ void store_grads(const float (&d)[TN / 2], const work &w, uint32_t unit, uint32_t row, uint32_t col)
{
    typedef sizes<TN, FORM_GRAD> size;
    const uint32_t lane = threadIdx.x % 32, own = threadIdx.x / 32 % 4 * 16 + lane / 4, n = w.out[0].n;
#pragma unroll
    for (int step = 0; step < TN / 16; step++) {
        const int j = step / 2 * 4, h = step % 2;
        uint32_t s[4], y[4];
#pragma unroll
        for (int i = 0; i < 4; i++) s[i] = two_of(d[4 * (j + i) + 2 * h], d[4 * (j + i) + 2 * h + 1]);
        transpose_quad(s, lane);
        const uint32_t r = own + h * 8, at = unit + j / 8 * size::BOX + r * 128 + ((j % 8 + lane % 4) ^ r % 8) * 16;
        uint4 g = read16(at), u = read16(at + size::UNIT / 2);
        two_gated_grads(s[0], g.x, u.x, y[0]);
        two_gated_grads(s[1], g.y, u.y, y[1]);
        two_gated_grads(s[2], g.z, u.z, y[2]);
        two_gated_grads(s[3], g.w, u.w, y[3]);
        const uint32_t m = row + 8 * h, c = col + (j + lane % 4) * 8;
        const size_t to = (size_t)m * n + c;
        if (m >= w.rows || c >= n) continue;
        *reinterpret_cast<uint4 *>(w.dg + to) = g;
        *reinterpret_cast<uint4 *>(w.du + to) = u;
        if (w.y) *reinterpret_cast<uint4 *>(w.y + to) = make_uint4(y[0], y[1], y[2], y[3]);
    }
}

template <int TN, int FORM>
static __device__ __forceinline__ void store_sums(float (&d)[TN / 2], const work &w, const output &o, uint32_t row, uint32_t col)
{
    if (FORM == FORM_GATED) {
        store_gated<TN>(d, w, row, col);
        return;
    }
    if (o.bias || o.add) add_to_sums<TN>(d, o, row, col, w.rows);
    store_bf16<TN>(d, o, row, col, w.rows);
}

template <int TN, int TB, int FORM>
static __device__ __forceinline__ void consume(const work &w, ring r, units t, uint32_t block, uint32_t pair, uint32_t step, uint32_t group)
{
    typedef sizes<TN, FORM> size;
    constexpr bool TURNS = size::TURNS;
    constexpr int HALVES = size::HALVES;
    const uint32_t warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32, own = TURNS ? 0 : group * 64;
    const uint32_t b_step = TB ? 2048 >> 4 : 32 >> 4;
    for (uint32_t turn = 0, done = 0; pair < w.pairs; pair += step, turn ^= 1) {
        const place p = place_of(w, pair, FORM == FORM_GATED ? TN / 2 : TN);
        const output &o = w.out[p.out];
        if (TURNS && turn != group) {
            skip<size::STAGES>(r, w, o);
            continue;
        }
        const uint32_t row = p.row + block * TM + own + warp * 16 + lane / 4;
        /* A barrier's phase is told from the one before alone: what the other waits for must be there. */
        if (TURNS && done + group) barrier_wait(r.turn + 8 * group, (done - 1 + group) & 1);
        float d[HALVES][TN / 2];
        int add = 0;
        uint32_t before = 0;
        for (uint32_t s = o.first; s < o.first + o.segments; s++)
            for (uint32_t k = 0; k < w.k[s]; k += TK, next<size::STAGES>(r)) {
                const uint32_t tile = r.data + r.stage * size::STAGE;
                const uint64_t a = descriptor(tile + own * 128, 16), b = descriptor(tile + size::A, TB ? 8192 : 16);
                barrier_wait(r.full + 8 * r.stage, r.phase);
                wgmma_begin();
                if (w.k[s] - k >= TK) {
#pragma unroll
                    for (int i = 0; i < TK / 16; i++) {
#pragma unroll
                        for (int h = 0; h < HALVES; h++) wgmma<TN, TB>::go(d[h], a + i * 2 + h * (8192 >> 4), b + i * b_step, add);
                        add = 1;
                    }
                    wgmma_commit();
                } else {
                    for (uint32_t i = 0; i * 16 < w.k[s] - k; i++) {
#pragma unroll
                        for (int h = 0; h < HALVES; h++) wgmma<TN, TB>::go(d[h], a + i * 2 + h * (8192 >> 4), b + i * b_step, add);
                        add = 1;
                    }
                    wgmma_commit();
                }
                wgmma_wait<1>();
                if (before) release(before);
                before = r.empty + 8 * r.stage;
            }
        if (TURNS && lane == 0) barrier_arrive(r.turn + 8 * (group ^ 1));
        wgmma_wait<0>();
        if (before) release(before);
#pragma unroll
        for (int h = 0; h < HALVES; h++)
            if constexpr (FORM == FORM_GRAD) {
                barrier_wait(t.full + (group * 2 + h) * 8, done & 1);
                store_grads<TN>(d[h], w, t.room + h * size::UNIT, row + h * 64, p.col);
                if (lane == 0) barrier_arrive(t.empty + 8 * h);
            } else store_sums<TN, FORM>(d[h], w, o, row + h * 64, p.col);
        done++;
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
    typedef sizes<TN, FORM> size;
    extern __shared__ unsigned char room[];
    const uint32_t data = (shared_place(room) + 1023) & ~1023u, held = data + size::STAGES * size::STAGE;
    const uint32_t full = held + size::UNITS * size::UNIT;
    ring r = { full, full + 8 * size::STAGES, data, 0, 0, full + 16 * size::STAGES };
    const uint32_t after = r.turn + 8 * CONSUMERS;
    const units t = { held, after, after + 8 * CONSUMERS * size::UNITS };
    if (threadIdx.x == 0) {
        for (int i = 0; i < size::STAGES; i++) {
            barrier_init(r.full + 8 * i, 1);
            barrier_init(r.empty + 8 * i, BLOCKS * 4 * (size::TURNS ? 1 : CONSUMERS));
        }
        for (int i = 0; i < CONSUMERS; i++) barrier_init(r.turn + 8 * i, 4);
        for (int i = 0; i < CONSUMERS * size::UNITS; i++) barrier_init(t.full + 8 * i, 1);
        for (int i = 0; i < size::UNITS; i++) barrier_init(t.empty + 8 * i, 4);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    cluster_sync();
    await_previous();
    const uint32_t block = blockIdx.x % BLOCKS, pair = blockIdx.x / BLOCKS, step = gridDim.x / BLOCKS;
    const uint32_t group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);      /* which the compiler then knows to be a warp's */
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0) produce<TN, TB, FORM>(w, r, block, pair, step);
        if constexpr (FORM == FORM_GRAD)
            if (threadIdx.x == 32) produce_units<TN>(w, t, block, pair, step);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        consume<TN, TB, FORM>(w, r, t, block, pair, step, group - 1);
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
    typedef sizes<TN, FORM> size;
    if (cudaFuncSetAttribute(segments_kernel<TN, TB, FORM>, cudaFuncAttributeMaxDynamicSharedMemorySize, size::BYTES) != cudaSuccess)
        return false;
    const unsigned n = w->pairs < clusters ? w->pairs : clusters;
    start(segments_kernel<TN, TB, FORM>, n * BLOCKS, THREADS, size::BYTES, s, *w);
    return true;
}

template <int TN> static bool launch_form(cudaStream_t s, const work *w, const cuda_joined *j, unsigned clusters)
{
    return j->n_contiguous ? launch<TN, 1, FORM_PLAIN>(s, w, clusters) : launch<TN, 0, FORM_PLAIN>(s, w, clusters);
}

static output output_of(const cuda_joined *j, const cuda_joined_out *o, unsigned tn)
{
    const uint32_t tiles = (uint32_t)((o->n + tn - 1) / tn), pairs_m = (uint32_t)((j->rows + TM * BLOCKS - 1) / (TM * BLOCKS));
    return (output){ .c = o->c, .bias = o->bias, .n = (uint32_t)o->n, .ldc = (uint32_t)o->ldc, .first = 0,
                     .segments = (uint32_t)o->segments, .pairs = pairs_m * tiles, .add = o->add, .tiles_n = tiles };
}

/* Outputs and segments for tiles of tn columns. */
static bool set_up(work *w, const cuda_joined *j, unsigned tn)
{
    w->rows = (uint32_t)j->rows;
    w->pairs_m = (uint32_t)((j->rows + TM * BLOCKS - 1) / (TM * BLOCKS));
    w->outputs = (uint32_t)j->outputs;
    uint32_t at = 0;
    for (size_t i = 0; i < j->outputs; i++) {
        const cuda_joined_out *o = &j->out[i];
        w->out[i] = output_of(j, o, tn);
        w->pairs = w->out[i].pairs += w->pairs;
        w->out[i].first = at;
        for (size_t k = 0; k < o->segments; k++, at++) {
            const cuda_segment *g = &o->segment[k];
            w->k[at] = (uint32_t)g->k;
            const bool ok = describe(&w->a[at], g->a, j->rows, g->k, g->lda, TM) &&
                (j->n_contiguous ? describe(&w->b[at], g->b, g->k, o->n, g->ldb, TK / BLOCKS)
                                 : describe(&w->b[at], g->b, o->n, g->k, g->ldb, tn / BLOCKS));
            if (!ok) return false;
        }
    }
    return true;
}

CUDA_C bool k_segments(cudaStream_t s, const cuda_joined *j, unsigned processors)
{
    static const unsigned widths[] = { 256, 224, 192, 128 };
    const unsigned clusters = processors / BLOCKS;
    unsigned tn = widths[0];
    for (unsigned i = 1; i < 4; i++)
        if (cost_of(j, widths[i], clusters) < cost_of(j, tn, clusters)) tn = widths[i];
    if (j->tile) tn = j->tile;
    work w = {};
    if (!set_up(&w, j, tn)) return false;
    switch (tn) {
    case 256: return launch_form<256>(s, &w, j, clusters);
    case 224: return launch_form<224>(s, &w, j, clusters);
    case 192: return launch_form<192>(s, &w, j, clusters);
    default: return launch_form<128>(s, &w, j, clusters);
    }
}

/* ---- the gated unit and its gradient behind a product ---- */

static bool aligned(const void *at)
{
    return (uintptr_t)at % 16 == 0;
}

static bool same_base(const cuda_segment *a, const cuda_segment *b)
{
    return a->a == b->a && a->lda == b->lda && a->k == b->k;
}

CUDA_C bool k_gated_segments_fit(const cuda_joined *j, const cuda_bf16 *y)
{
    const cuda_joined_out *g = &j->out[0], *u = &j->out[1];
    return k_segments_fit(j) && j->outputs == 2 && !j->n_contiguous && g->n == u->n && !g->bias && !u->bias && !g->add &&
        !u->add && aligned(y) && g->segments <= 2 && u->segments <= 2 && same_base(&g->segment[0], &u->segment[0]);
}

/* Three segments: the base's, whose B is of both, and gate's and up's adapters. */
template <int TN> static bool gated_segments(cudaStream_t s, const cuda_joined *j, cuda_bf16 *y, unsigned clusters)
{
    const cuda_joined_out *g = &j->out[0], *u = &j->out[1];
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
    return describe(&w.up, up->b, u->n, up->k, up->ldb, TN / BLOCKS) && launch<TN, 0, FORM_GATED>(s, &w, clusters);
}

/* Where sums are short, what is done with them takes longer than the wider tile saves. */
CUDA_C bool k_gated_segments(cudaStream_t s, const cuda_joined *j, cuda_bf16 *y, unsigned processors)
{
    const size_t k = j->out[0].segment[0].k;
    const bool wide = j->tile ? j->tile == 256 : k >= 768;
    return wide ? gated_segments<256>(s, j, y, processors / BLOCKS) : gated_segments<128>(s, j, y, processors / BLOCKS);
}

CUDA_C bool k_segments_gated_grad_fit(const cuda_joined *j, const cuda_gated_grads *g)
{
    const cuda_joined_out *o = &j->out[0];
    return k_segments_fit(j) && j->outputs == 1 && j->n_contiguous && !o->bias && !o->add && o->ldc == o->n && aligned(g->g) &&
        aligned(g->u) && aligned(g->dg) && aligned(g->du) && aligned(g->y);
}

CUDA_C bool k_segments_gated_grad(cudaStream_t s, const cuda_joined *j, const cuda_gated_grads *g, unsigned processors)
{
    const size_t rows = j->rows, n = j->out[0].n;
    work w = {};
    w.dg = (bf16 *)g->dg, w.du = (bf16 *)g->du, w.y = (bf16 *)g->y;
    return set_up(&w, j, 128) && describe(&w.from[0], g->g, rows, n, n, 64) && describe(&w.from[1], g->u, rows, n, n, 64) &&
        launch<128, 1, FORM_GRAD>(s, &w, processors / BLOCKS);
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
