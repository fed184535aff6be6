/* backend/cuda/cuda_lora.cu - products with one side as narrow as an adapter's rank, which read their wide factor once.
 *
 * into_rank: h = alpha x A^T, of all adapters that read the same x: a block has 64 rows and all ranks, k in steps of 128.
 * rank_back: dh = alpha dy B and dB += dy^T h, which both read dy: a block has a piece of rows and some columns of dy,
 * and leaves its part of both sums. rank_grad: dA += dh^T x, of all adapters that read the same x.
 * Rows are cut into pieces of a unit's own (at most PIECE rows), and a second kernel adds what the pieces gave in their
 * order: so neither how many units a call has nor the number of blocks changes a bit (B6). Columns of dy are cut by
 * their number alone. */
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_mma.cuh"

/* A block's eight warps are two halves: a step is a TILE for each. SPLITS: parts that dy is cut into, of at least LEAST tiles. */
enum { WARPS = 4, THREADS = 32 * WARPS, WIDE = 2 * THREADS, TILE = 64, PAD = 8, LD = TILE + PAD, STEP = 2 * TILE, K_LD = STEP + PAD,
       SUBS = CUDA_PIECE / STEP, SPLITS = 8, LEAST = 2 };

/* As many stages as two blocks a multiprocessor leave room for, at most four. */
static constexpr int stages_of(size_t bytes)
{
    return bytes * 4 <= 100000 ? 4 : bytes * 3 <= 100000 ? 3 : 2;
}

static __device__ __forceinline__ const bf16 *wide_of(const cuda_bf16 *p)
{
    return reinterpret_cast<const bf16 *>(p);
}

/* ROWS x TILE of a matrix of `end` rows and `cols` columns; zeros outside. */
template <int ROWS, int COUNT>
static __device__ __forceinline__ void load_tile(bf16 *to, const bf16 *x, size_t row, size_t end, size_t col, size_t cols)
{
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * (TILE / 8); i += COUNT) {
        const size_t n = i / (TILE / 8), c = i % (TILE / 8) * 8;
        const bool there = row + n < end && col + c < cols;
        fetch_wide(to + n * LD + c, x + (there ? (row + n) * cols + col + c : 0), there);
    }
}

/* ROWS rows of at most R of a matrix whose rows are r wide, at columns from..from + R. */
template <int ROWS, int R, int STRIDE, int COUNT>
static __device__ __forceinline__ void load_narrow(bf16 *to, const bf16 *h, size_t row, size_t end, size_t from, size_t r)
{
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * (R / 8); i += COUNT) {
        const size_t n = i / (R / 8), c = i % (R / 8) * 8;
        const bool there = row + n < end && from + c < r;
        fetch16(to + n * STRIDE + c, h + (there ? (row + n) * r + from + c : 0), there);
    }
}

/* The second half of the warps gives its sums to the first, which goes on alone. */
template <int N> static __device__ __forceinline__ bool both_halves(float (&c)[N][4], unsigned char *room, int half)
{
    float4 *other = reinterpret_cast<float4 *>(room) + threadIdx.x % THREADS;
    wait_until_left<0>();
    __syncthreads();
    if (half)
#pragma unroll
        for (int t = 0; t < N; t++) other[t * THREADS] = make_float4(c[t][0], c[t][1], c[t][2], c[t][3]);
    __syncthreads();
    if (half) return false;
#pragma unroll
    for (int t = 0; t < N; t++) {
        const float4 v = other[t * THREADS];
        c[t][0] += v.x, c[t][1] += v.y, c[t][2] += v.z, c[t][3] += v.w;
    }
    return true;
}

/* ---- into the rank ------------------------------------------------------------------------------------------- */

template <int R, int N>
static __device__ __forceinline__ void load_step(bf16 *sx, bf16 *sa, const cuda_into_rank &p, size_t row, size_t at)
{
#pragma unroll
    for (int i = threadIdx.x; i < TILE * (STEP / 8); i += WIDE) {
        const size_t n = i / (STEP / 8), c = i % (STEP / 8) * 8;
        const bool there = row + n < p.rows && at + c < p.k;
        fetch_wide(sx + n * K_LD + c, wide_of(p.x) + (there ? (row + n) * p.k + at + c : 0), there);
    }
#pragma unroll
    for (int j = 0; j < N; j++)
        for (int i = threadIdx.x; i < R * (STEP / 8); i += WIDE) {
            const size_t n = i / (STEP / 8), c = i % (STEP / 8) * 8;
            const bool there = n < p.r && at + c < p.k;
            fetch16(sa + (j * R + n) * K_LD + c, wide_of(p.a[j]) + (there ? n * p.k + at + c : 0), there);
        }
}

template <int R, int N> struct into_rank_sizes {
    static constexpr int X = TILE * K_LD, STAGE = X + R * N * K_LD, STAGES = stages_of(STAGE * sizeof(bf16));
    static constexpr size_t BYTES = STAGES * STAGE * sizeof(bf16);
};

/* Each half of the warps has its own TILE columns of a step. */
template <int R, int N>
static __global__ void __launch_bounds__(WIDE) into_rank_kernel(const __grid_constant__ cuda_into_rank p)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    typedef into_rank_sizes<R, N> size;
    bf16 *ring = reinterpret_cast<bf16 *>(room);
    const size_t row = blockIdx.x * (size_t)TILE;
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 % WARPS * 16, half = threadIdx.x / THREADS;
    const int steps = (int)((p.k + STEP - 1) / STEP);
    float c[N * R / 8][4] = { { 0.0f } };
    for (int s = 0; s < size::STAGES - 1; s++) {
        bf16 *stage = ring + s * size::STAGE;
        if (s < steps) load_step<R, N>(stage, stage + size::X, p, row, (size_t)s * STEP);
        commit();
    }
    for (int s = 0; s < steps; s++) {
        wait_until_left<size::STAGES - 2>();
        __syncthreads();                         /* the stage is there, and the one that is filled next was read */
        const int next = s + size::STAGES - 1;
        bf16 *fill = ring + next % size::STAGES * size::STAGE;
        if (next < steps) load_step<R, N>(fill, fill + size::X, p, row, (size_t)next * STEP);
        commit();
        const bf16 *tx = ring + s % size::STAGES * size::STAGE + half * TILE, *ta = tx + size::X;
#pragma unroll
        for (int kk = 0; kk < TILE; kk += 16) {
            uint32_t fa[4];
            load_a<K_LD>(fa, tx, own, kk);
#pragma unroll
            for (int n = 0; n < N * R; n += 16) {
                uint32_t fb[4];
                load_b<K_LD>(fb, ta, n, kk);
                mma(c[n / 8], fa, fb[0], fb[1]);
                mma(c[n / 8 + 1], fa, fb[2], fb[3]);
            }
        }
    }
    if (!both_halves<N * R / 8>(c, room, half)) return;
    const size_t r0 = row + own + lane / 4, r1 = r0 + 8;
#pragma unroll
    for (int t = 0; t < N * R / 8; t++) {
        const size_t n = t * 8 % R + lane % 4 * 2;
        const float alpha = p.alpha[t * 8 / R];
        cuda_bf16 *h = p.h[t * 8 / R];
        if (n >= p.r) continue;
        if (r0 < p.rows) *reinterpret_cast<uint32_t *>(h + r0 * p.r + n) = two_of(c[t][0] * alpha, c[t][1] * alpha);
        if (r1 < p.rows) *reinterpret_cast<uint32_t *>(h + r1 * p.r + n) = two_of(c[t][2] * alpha, c[t][3] * alpha);
    }
}

template <int R, int N> static bool into_rank(cudaStream_t s, const cuda_into_rank *p)
{
    constexpr size_t bytes = into_rank_sizes<R, N>::BYTES;
    if (cudaFuncSetAttribute(into_rank_kernel<R, N>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess)
        return false;
    start(into_rank_kernel<R, N>, (unsigned)((p->rows + TILE - 1) / TILE), WIDE, bytes, s, *p);
    return true;
}

template <int R> static bool into_rank_of(cudaStream_t s, const cuda_into_rank *p)
{
    return p->n == 1 ? into_rank<R, 1>(s, p) : p->n == 2 ? into_rank<R, 2>(s, p) : into_rank<R, 3>(s, p);
}

CUDA_C bool k_into_rank(cudaStream_t s, const cuda_into_rank *p)
{
    if (!p->rows || !p->n) return true;
    if (p->r <= 16) return into_rank_of<16>(s, p);
    if (p->r <= 32) return into_rank_of<32>(s, p);
    for (size_t i = 0; i < p->n; i++) {
        cuda_into_rank one = *p;
        one.n = 1;
        one.a[0] = p->a[i];
        one.h[0] = p->h[i];
        one.alpha[0] = p->alpha[i];
        if (!into_rank<64, 1>(s, &one)) return false;
    }
    return true;
}

/* ---- the pieces' sums ------------------------------------------------------------------------------------------ */

typedef struct {                     /* to += the pieces' n values, or with dh: dh's rows of each piece = its parts' sum */
    float *to;
    bf16 *dh;
    const float *from;
    size_t n, step, parts;
    float alpha;
} sum_job;

enum { JOBS = 2 * CUDA_SHARED };
typedef struct {
    sum_job job[JOBS];
    const cuda_piece *piece;
    size_t pieces, r;
} sums;

static __device__ __forceinline__ void add4(float4 *sum, float4 v)
{
    sum->x += v.x, sum->y += v.y, sum->z += v.z, sum->w += v.w;
}

/* Eight read together, added in order. */
static __device__ __forceinline__ float4 sum_of(float4 sum, const float *from, size_t n, size_t step)
{
    size_t p = 0;
    for (; p + 8 <= n; p += 8) {
        float4 v[8];
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = *reinterpret_cast<const float4 *>(from + (p + k) * step);
#pragma unroll
        for (int k = 0; k < 8; k++) add4(&sum, v[k]);
    }
    for (; p < n; p++) add4(&sum, *reinterpret_cast<const float4 *>(from + p * step));
    return sum;
}

static __global__ void add_pieces_kernel(const __grid_constant__ sums s)
{
    start_next();
    await_previous();
    const sum_job &j = s.job[blockIdx.y];
    const size_t i = (blockIdx.x * (size_t)blockDim.x + threadIdx.x) * 4;
    if (i >= j.n) return;
    if (!j.dh) {
        float *to = j.to + i;
        const float4 sum = sum_of(make_float4(to[0], to[1], to[2], to[3]), j.from + i, s.pieces, j.step);
        to[0] = sum.x, to[1] = sum.y, to[2] = sum.z, to[3] = sum.w;
        return;
    }
    const size_t each = CUDA_PIECE * s.r, p = i / each, at = i % each;
    if (at / s.r >= s.piece[p].n) return;
    const float4 sum = sum_of(make_float4(0.0f, 0.0f, 0.0f, 0.0f), j.from + p * j.parts * each + at, j.parts, each);
    *reinterpret_cast<uint2 *>(j.dh + s.piece[p].first * s.r + at) =
        make_uint2(two_of(sum.x * j.alpha, sum.y * j.alpha), two_of(sum.z * j.alpha, sum.w * j.alpha));
}

static void add_pieces(cudaStream_t stream, const sums *s, unsigned jobs)
{
    size_t most = 0;
    for (unsigned i = 0; i < jobs; i++) most = s->job[i].n > most ? s->job[i].n : most;
    start(add_pieces_kernel, dim3((unsigned)((most / 4 + 127) / 128), jobs), 128, 0, stream, *s);
}

/* ---- dh and the gradient of B -------------------------------------------------------------------------------------- */

typedef struct {
    cuda_rank_back p;
    float *db[CUDA_SHARED], *dh[CUDA_SHARED];      /* parts: [piece][out][r], [piece][split][PIECE][r] */
    unsigned first[CUDA_SHARED + 1];               /* blocks of a layer */
    unsigned chunks[CUDA_SHARED];                  /* columns of a block, in TILEs */
} back_work;

template <int R> struct back_sizes {
    static constexpr int LR = R + PAD, X = STEP * LD, H = CUDA_PIECE * LR, B = TILE * LR, STAGES = 3;
    static constexpr size_t SUM = (H + STAGES * (X + B)) * sizeof(bf16), BYTES = SUM + 2 * THREADS * R / 8 * sizeof(float4);
};

/* dB of TILE columns from two halves of rows, the other's in shared memory. */
template <int R>
static __device__ __forceinline__ void store_db(float *to, const float (&db)[R / 8][4], const float4 *other, size_t c0, size_t out,
                                                size_t from, size_t r)
{
    const size_t c1 = c0 + 8;
#pragma unroll
    for (int t = 0; t < R / 8; t++) {
        const float4 v = other[t * THREADS];
        const size_t n = from + t * 8 + threadIdx.x % 4 * 2;
        if (n >= r) continue;
        if (c0 < out) *reinterpret_cast<float2 *>(to + c0 * r + n) = make_float2(db[t][0] + v.x, db[t][1] + v.y);
        if (c1 < out) *reinterpret_cast<float2 *>(to + c1 * r + n) = make_float2(db[t][2] + v.z, db[t][3] + v.w);
    }
}

/* Steps go down a piece's rows before the next columns. For dh a warp has 16 rows of a step, for dB 16 columns of half its
 * rows; the halves meet in shared memory. */
template <int R>
static __global__ void __launch_bounds__(WIDE, R == 16 ? 2 : 1) rank_back_kernel(const __grid_constant__ back_work w, unsigned from)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    typedef back_sizes<R> size;
    bf16 *sh = reinterpret_cast<bf16 *>(room), *sx = sh + size::H, *sb = sx + size::STAGES * size::X;
    const cuda_rank_back &p = w.p;
    const unsigned i = blockIdx.x < w.first[1] ? 0 : blockIdx.x < w.first[2] ? 1 : 2, split = blockIdx.x - w.first[i];
    const size_t out = p.out[i], col = (size_t)split * w.chunks[i] * TILE, r = p.r, left = (out - col + TILE - 1) / TILE;
    const int chunks = (int)(left < w.chunks[i] ? left : w.chunks[i]);
    const cuda_piece piece = p.piece[blockIdx.y];
    const size_t row = piece.first, end = row + piece.n;
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16, subs = (int)((piece.n + STEP - 1) / STEP);
    const int cols = own % TILE, half = own / TILE * TILE;
    float4 *other = reinterpret_cast<float4 *>(room + size::SUM) + threadIdx.x % THREADS;
    const bf16 *dy = wide_of(p.dy[i]), *b = wide_of(p.b[i]);
    float *to_db = w.db[i] + blockIdx.y * out * r;
    int f_chunk = 0, f_sub = 0, f_stage = 0;       /* what is fetched next */
    auto fetch = [&](void) {
        if (f_chunk < chunks) {
            if (f_sub == 0) load_narrow<TILE, R, size::LR, WIDE>(sb + f_chunk % size::STAGES * size::B, b, col + (size_t)f_chunk * TILE, out, from, r);
            load_tile<STEP, WIDE>(sx + f_stage * size::X, dy, row + (size_t)f_sub * STEP, end, col + (size_t)f_chunk * TILE, out);
            if (++f_sub == subs) f_sub = 0, f_chunk++;
            if (++f_stage == size::STAGES) f_stage = 0;
        }
        commit();
    };
    load_narrow<CUDA_PIECE, R, size::LR, WIDE>(sh, wide_of(p.h[i]), row, end, from, r);
    for (int s = 0; s < size::STAGES - 1; s++) fetch();
    float dh[SUBS][R / 8][4] = { { { 0.0f } } }, db[R / 8][4];
    int stage = 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
        uint32_t fb[TILE / 16][R / 16][4];
#pragma unroll
        for (int sub = 0; sub < SUBS; sub++) {
            if (sub >= subs) break;
            wait_until_left<size::STAGES - 2>();
            __syncthreads();
            fetch();
            if (sub == 0) {
                if (chunk && !half)
                    store_db<R>(to_db, db, other + (chunk - 1) % 2 * THREADS * R / 8, col + (size_t)(chunk - 1) * TILE + cols + lane / 4, out, from, r);
#pragma unroll
                for (int t = 0; t < R / 8; t++) db[t][0] = db[t][1] = db[t][2] = db[t][3] = 0.0f;
#pragma unroll
                for (int kk = 0; kk < TILE; kk += 16)
#pragma unroll
                    for (int n = 0; n < R; n += 16)
                        load_b_t<size::LR>(fb[kk / 16][n / 16], sb + chunk % size::STAGES * size::B, kk, n);
            }
            const bf16 *tx = sx + stage * size::X;
            if (++stage == size::STAGES) stage = 0;
#pragma unroll
            for (int kk = 0; kk < TILE; kk += 16) {
                uint32_t fa[4], ft[4];
                load_a<LD>(fa, tx, own, kk);
                load_a_t<LD>(ft, tx, half + kk, cols);
#pragma unroll
                for (int n = 0; n < R; n += 16) {
                    uint32_t fh[4];
                    load_b_t<size::LR>(fh, sh, sub * STEP + half + kk, n);
                    mma(dh[sub][n / 8], fa, fb[kk / 16][n / 16][0], fb[kk / 16][n / 16][1]);
                    mma(dh[sub][n / 8 + 1], fa, fb[kk / 16][n / 16][2], fb[kk / 16][n / 16][3]);
                    mma(db[n / 8], ft, fh[0], fh[1]);
                    mma(db[n / 8 + 1], ft, fh[2], fh[3]);
                }
            }
        }
        if (half)
#pragma unroll
            for (int t = 0; t < R / 8; t++)
                other[(chunk % 2 * R / 8 + t) * THREADS] = make_float4(db[t][0], db[t][1], db[t][2], db[t][3]);
    }
    wait_until_left<0>();
    __syncthreads();
    if (!half)
        store_db<R>(to_db, db, other + (chunks - 1) % 2 * THREADS * R / 8, col + (size_t)(chunks - 1) * TILE + cols + lane / 4, out, from, r);
    float *to = w.dh[i] + (blockIdx.y * (size_t)(w.first[i + 1] - w.first[i]) + split) * CUDA_PIECE * r;
#pragma unroll
    for (int sub = 0; sub < SUBS; sub++) {
        if (sub >= subs) break;
        const size_t r0 = sub * STEP + own + lane / 4;
#pragma unroll
        for (int t = 0; t < R / 8; t++) {
            const size_t n = from + t * 8 + lane % 4 * 2;
            if (n >= r) continue;
            *reinterpret_cast<float2 *>(to + r0 * r + n) = make_float2(dh[sub][t][0], dh[sub][t][1]);
            *reinterpret_cast<float2 *>(to + (r0 + 8) * r + n) = make_float2(dh[sub][t][2], dh[sub][t][3]);
        }
    }
}

template <int R> static bool back_ready(void)
{
    if (cudaFuncSetAttribute(rank_back_kernel<R>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)back_sizes<R>::BYTES) ==
        cudaSuccess)
        return true;
    (void)cudaGetLastError();
    return false;
}

CUDA_C bool k_rank_back(cudaStream_t s, const cuda_rank_back *p, float *part, size_t part_floats)
{
    back_work w = {};
    size_t need = 0;
    if (!p->pieces || !p->n) return true;
    w.p = *p;
    for (size_t i = 0; i < p->n; i++) {
        const size_t all = (p->out[i] + TILE - 1) / TILE, each = (all + SPLITS - 1) / SPLITS;
        w.chunks[i] = (unsigned)(each > (size_t)LEAST ? each : (size_t)LEAST);
        w.first[i + 1] = w.first[i] + (unsigned)((all + w.chunks[i] - 1) / w.chunks[i]);
        need += p->out[i] * p->r + (w.first[i + 1] - w.first[i]) * CUDA_PIECE * p->r;
    }
    for (size_t i = p->n; i < CUDA_SHARED; i++) w.first[i + 1] = w.first[i];
    const size_t most = part_floats / need;        /* pieces at once */
    const bool wide = p->r > 16 && back_ready<32>();
    if (!most || (!wide && !back_ready<16>())) return false;
    for (size_t from = 0; from < p->pieces; from += most) {
        const size_t n = p->pieces - from < most ? p->pieces - from : most;
        sums all = {};
        all.piece = p->piece + from;
        all.pieces = n;
        all.r = p->r;
        size_t at = 0;
        w.p.piece = p->piece + from;
        for (size_t i = 0; i < p->n; i++) {
            const size_t splits = w.first[i + 1] - w.first[i];
            w.db[i] = part + at;
            w.dh[i] = w.db[i] + n * p->out[i] * p->r;
            at += n * (p->out[i] * p->r + splits * CUDA_PIECE * p->r);
            all.job[i] = { p->db[i], NULL, w.db[i], p->out[i] * p->r, p->out[i] * p->r, 0, 0.0f };
            all.job[p->n + i] = { NULL, (bf16 *)p->dh[i], w.dh[i], n * CUDA_PIECE * p->r, 0, splits, p->alpha[i] };
        }
        const dim3 grid(w.first[CUDA_SHARED], (unsigned)n);
        for (unsigned k = 0; k < p->r; k += wide ? 32 : 16)
            if (wide) start(rank_back_kernel<32>, grid, WIDE, back_sizes<32>::BYTES, s, w, k);
            else start(rank_back_kernel<16>, grid, WIDE, back_sizes<16>::BYTES, s, w, k);
        add_pieces(s, &all, (unsigned)(2 * p->n));
    }
    return true;
}

/* ---- the gradient of A --------------------------------------------------------------------------------------------- */

template <int R, int N> struct grad_sizes {
    static constexpr int LR = R * N + PAD, X = STEP * LD, STAGE = X + STEP * LR, STAGES = stages_of(STAGE * sizeof(bf16));
    static constexpr size_t BYTES = STAGES * STAGE * sizeof(bf16);
};

template <int R, int N>
static __device__ __forceinline__ void load_rows(bf16 *sx, bf16 *sh, const cuda_rank_grad &p, size_t row, size_t end, size_t col)
{
    load_tile<STEP, WIDE>(sx, wide_of(p.x), row, end, col, p.cols);
#pragma unroll
    for (int j = 0; j < N; j++) load_narrow<STEP, R, grad_sizes<R, N>::LR, WIDE>(sh + j * R, wide_of(p.dh[j]), row, end, 0, p.r);
}

/* part[piece][adapter][r][cols]: sums over the piece's rows. */
template <int R, int N>
static __global__ void __launch_bounds__(WIDE) rank_grad_kernel(const __grid_constant__ cuda_rank_grad p, float *part)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    typedef grad_sizes<R, N> size;
    bf16 *ring = reinterpret_cast<bf16 *>(room);
    const cuda_piece piece = p.piece[blockIdx.y];
    const size_t col = blockIdx.x * (size_t)TILE, row = piece.first, end = row + piece.n;
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 % WARPS * 16, half = threadIdx.x / THREADS;
    const int steps = (int)((piece.n + STEP - 1) / STEP);
    float c[N * R / 8][4] = { { 0.0f } };
    for (int s = 0; s < size::STAGES - 1; s++) {
        bf16 *stage = ring + s * size::STAGE;
        if (s < steps) load_rows<R, N>(stage, stage + size::X, p, row + (size_t)s * STEP, end, col);
        commit();
    }
    for (int s = 0; s < steps; s++) {
        wait_until_left<size::STAGES - 2>();
        __syncthreads();
        const int next = s + size::STAGES - 1;
        bf16 *fill = ring + next % size::STAGES * size::STAGE;
        if (next < steps) load_rows<R, N>(fill, fill + size::X, p, row + (size_t)next * STEP, end, col);
        commit();
        const bf16 *tx = ring + s % size::STAGES * size::STAGE, *th = tx + size::X;
#pragma unroll
        for (int kk = 0; kk < TILE; kk += 16) {
            uint32_t fb[4];
            load_b_t<LD>(fb, tx, half * TILE + kk, own);
#pragma unroll
            for (int m = 0; m < N * R; m += 16) {
                uint32_t fa[4];
                load_a_t<size::LR>(fa, th, half * TILE + kk, m);
                mma(c[m / 8], fa, fb[0], fb[1]);
                mma(c[m / 8 + 1], fa, fb[2], fb[3]);
            }
        }
    }
    if (!both_halves<N * R / 8>(c, room, half)) return;
#pragma unroll
    for (int m = 0; m < N * R; m += 16) {
        const size_t n0 = m % R + lane / 4, n1 = n0 + 8;
        float *to = part + (blockIdx.y * (size_t)N + m / R) * p.r * p.cols;
#pragma unroll
        for (int t = 0; t < 2; t++) {
            const size_t at = col + own + t * 8 + lane % 4 * 2;
            if (at >= p.cols) continue;
            if (n0 < p.r) *reinterpret_cast<float2 *>(to + n0 * p.cols + at) = make_float2(c[m / 8 + t][0], c[m / 8 + t][1]);
            if (n1 < p.r) *reinterpret_cast<float2 *>(to + n1 * p.cols + at) = make_float2(c[m / 8 + t][2], c[m / 8 + t][3]);
        }
    }
}

template <int R, int N> static bool rank_grad(cudaStream_t s, const cuda_rank_grad *p, float *part, size_t part_floats)
{
    constexpr size_t bytes = grad_sizes<R, N>::BYTES;
    const size_t one = p->r * p->cols, most = part_floats / (N * one);
    if (cudaFuncSetAttribute(rank_grad_kernel<R, N>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess) return false;
    if (!most) return false;
    for (size_t from = 0; from < p->pieces; from += most) {
        const size_t n = p->pieces - from < most ? p->pieces - from : most;
        cuda_rank_grad some = *p;
        sums all = {};
        all.piece = p->piece + from;
        all.pieces = n;
        all.r = p->r;
        some.piece = all.piece;
        for (size_t i = 0; i < N; i++)
            all.job[i] = { p->da[i], NULL, part + i * one, one, N * one, 0, 0.0f };
        start(rank_grad_kernel<R, N>, dim3((unsigned)((p->cols + TILE - 1) / TILE), (unsigned)n), WIDE, bytes, s, some, part);
        add_pieces(s, &all, N);
    }
    return true;
}

template <int R> static bool rank_grad_of(cudaStream_t s, const cuda_rank_grad *p, float *part, size_t part_floats)
{
    return p->n == 1 ? rank_grad<R, 1>(s, p, part, part_floats) : p->n == 2 ? rank_grad<R, 2>(s, p, part, part_floats)
                                                                           : rank_grad<R, 3>(s, p, part, part_floats);
}

CUDA_C bool k_rank_grad(cudaStream_t s, const cuda_rank_grad *p, float *part, size_t part_floats)
{
    if (!p->pieces || !p->n) return true;
    if (p->r <= 16) return rank_grad_of<16>(s, p, part, part_floats);
    if (p->r <= 32) return rank_grad_of<32>(s, p, part, part_floats);
    for (size_t i = 0; i < p->n; i++) {
        cuda_rank_grad one = *p;
        one.n = 1;
        one.dh[0] = p->dh[i];
        one.da[0] = p->da[i];
        if (!rank_grad<64, 1>(s, &one, part, part_floats)) return false;
    }
    return true;
}
