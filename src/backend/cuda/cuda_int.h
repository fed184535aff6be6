/* backend/cuda/cuda_int.h - the CUDA device: what its files share. Nothing here leaves this folder.
 *
 * G1  One stream, so operations run in their order; nothing is read back but by read, sum_squares, pull, all_finite
 *     and the close of a buffer borrowed for writing.
 * G2  No float is added atomically: every sum has one order, which depends on shapes alone.
 * G3  Activations and factors of products are bfloat16, the residual stream, sums and parameters binary32.
 * Threads: as backend.h, one. */
#ifndef AC_BACKEND_CUDA_INT_H
#define AC_BACKEND_CUDA_INT_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include "backend/cuda_abi.h"

typedef uint16_t cuda_bf16;          /* bits; the .cu files know them as __nv_bfloat16 */

struct ac_buf {
    unsigned char *ptr;
    size_t bytes;
    size_t width;                    /* of an element: 4, or 2 for bfloat16 */
    void *host;                      /* borrowed from there, copied back at close where `back` */
    bool back, kept;                 /* kept: D6, closed by let_go alone */
    cuda_bf16 *narrow;               /* the same values rounded, made when a product needs them */
    bool narrow_fresh, stored;       /* stored: weights in their own quantised type (cuda_quant.c) */
    ac_buf *next;                    /* among those kept */
};

/* ---- cuda_gemm.c ------------------------------------------------------------------------------------- */

/* C (+)= alpha op(A) op(B), all row-major: C is m x n; A is m x k, or k x m with ta; B is k x n, or n x k with tb. */
typedef struct {
    size_t m, n, k;
    const cuda_bf16 *a, *b;
    size_t lda, ldb, ldc;
    bool ta, tb, c_f32;
    void *c;
    float alpha, beta;
} cuda_gemm;

typedef struct cuda_plan cuda_plan;  /* a shape's chosen algorithm */

enum { CUDA_TABLES = 6, CUDA_PLAN_SLOTS = 1024 };
typedef enum { TABLE_Q_TILES, TABLE_K_TILES, TABLE_SPANS, TABLE_UNITS, TABLE_PIECES, TABLE_FEEDS } cuda_table_slot;

typedef struct {
    void *host, *dev;
    size_t bytes, room;
} cuda_table;

typedef struct {                     /* a matrix that lies expanded in the ring */
    const ac_buf *of;
    size_t at, bytes;
} cuda_wide_part;

enum { CUDA_WIDE_PARTS = 32 };
typedef struct {                     /* cuda_quant.c */
    unsigned char *ptr;
    size_t room, need, at, n;        /* need: what the open models ask for */
    size_t last[2], last_cols;
    cuda_wide_part part[CUDA_WIDE_PARTS];
} cuda_wide;

enum { CUDA_UPLOADS = 4 };
typedef struct {                     /* cuda_upload.c */
    void *copiers;
    unsigned char *pinned;
    cudaEvent_t done[CUDA_UPLOADS];
    size_t next;
    bool none;                       /* there can be none */
} cuda_uploads;

typedef struct {                     /* cuda_nccl.c */
    void *comm;                      /* NULL: in no group */
    float *piece;                    /* device: what comes from a partner, room floats */
    size_t room;
} cuda_peers;

enum { CUDA_THIN_ROWS = 32 };
typedef struct {                     /* cuda_pass.c */
    ac_recurring of;                 /* its feeds are not looked at */
    bool seen;
    cudaGraphExec_t graph;           /* NULL: not recorded yet */
} cuda_pass;

typedef struct {
    ac_device base;                  /* first: an ac_device * is this */
    const ac_cuda_host *host;
    int ordinal;
    unsigned processors;
    size_t shared;                   /* bytes of shared memory that a block may ask for */
    bool hopper;                     /* compute capability 9.0: cuda_segments.cu */
    cudaStream_t stream;
    cublasLtHandle_t lt;
    void *lt_space;
    cuda_plan *plan[CUDA_PLAN_SLOTS];
    cuda_table table[CUDA_TABLES];
    ac_buf *kept, *spare;            /* spare: one buffer, or NULL */
    cuda_wide wide;
    double *sums;                    /* device, sums_room of them */
    size_t sums_room;
    int *flag;
    size_t used_first, held_most;    /* of the GPU's memory: when this was opened; the most since */
    cuda_uploads up;
    cuda_peers peers;
    cuda_pass pass[CUDA_THIN_ROWS];  /* by the number of sequences */
    cuda_pass *recording;            /* or NULL */
    bool no_passes;                  /* a driver that records none */
    ac_status st;                    /* D3 */
    char why[256];
    char name[128];
} cuda_device;

#define CUDA_LT_SPACE ((size_t)64 << 20)
#define CUDA_LATER    ((size_t)64 << 20)   /* kernels that are loaded when first launched, and the rounding of buffers */
#define CUDA_NOTED    ((size_t)8 << 20)    /* a buffer of this size makes a difference */

static inline cuda_device *cuda_of(ac_device *d)
{
    return (cuda_device *)(void *)d;
}

static inline void *cuda_at(ac_ref r)
{
    return r.buf ? r.buf->ptr + r.at * r.buf->width : NULL;
}

static inline float *cuda_f32(ac_ref r)
{
    return (float *)cuda_at(r);
}

static inline cuda_bf16 *cuda_act(ac_ref r)
{
    return (cuda_bf16 *)cuda_at(r);
}

/* ---- cuda_device.c ----------------------------------------------------------------------------------- */

void cuda_fail(cuda_device *d, ac_status st, const char *fmt, ...) AC_PRINTF(3, 4);
bool cuda_ok(cuda_device *d, cudaError_t e, const char *what);
void cuda_launched(cuda_device *d, const char *what);    /* after a kernel's launch */
/* A host table on the device; copied again only where it changed. NULL: failed. */
const void *cuda_table_at(cuda_device *d, cuda_table_slot slot, const void *host, size_t bytes);
/* A float buffer's values rounded, from r on. */
const cuda_bf16 *cuda_narrow(cuda_device *d, ac_ref r);
void cuda_wrote(ac_ref r);                               /* its rounded copy is stale */

/* ---- cuda_nccl.c ------------------------------------------------------------------------------------- */

extern const ac_peers_ops cuda_peers_ops;

/* ---- cuda_pass.c ------------------------------------------------------------------------------------- */

bool cuda_pass_begin(ac_device *dev, const ac_recurring *r);
bool cuda_pass_end(ac_device *dev);
void cuda_passes_forget(cuda_device *d);                 /* device memory goes or moves */

/* ---- cuda_upload.c ----------------------------------------------------------------------------------- */

/* cudaMemcpyAsync from pageable memory, in pinned pieces where it is long; `from` is free on return. */
cudaError_t cuda_upload(cuda_device *d, void *to, const void *from, size_t bytes);
/* Complete on return. */
cudaError_t cuda_download(cuda_device *d, void *to, const void *from, size_t bytes);
void cuda_upload_close(cuda_device *d);

/* ---- cuda_quant.c ------------------------------------------------------------------------------------ */

/* A matrix as a product reads it; good until the next call with one that is not expanded yet. NULL: failed. */
const cuda_bf16 *cuda_weights(cuda_device *d, const ac_matrix *w);
bool cuda_weights_settled(const ac_matrix *w);   /* they are not expanded for each product */
/* The same for several that one product reads. */
void cuda_weights_group(cuda_device *d, const ac_matrix *const *w, size_t n, const cuda_bf16 **out);
/* Nothing is expanded: to be called where launches are recorded to be run again, before and after. */
void cuda_weights_forget(cuda_device *d);
void cuda_weights_closed(cuda_device *d, const ac_buf *b);
bool cuda_wide_take(cuda_device *d, size_t bytes);
ac_status cuda_prepare(ac_device *dev, ac_matrix *w, ac_err *err);
void cuda_unprepare(ac_device *dev, ac_matrix *w);
size_t cuda_prepared_bytes(const ac_device *dev, const ac_matrix *w);
bool cuda_all_finite(ac_device *dev, const ac_matrix *w);
void cuda_embed(ac_device *dev, const ac_embed_args *a);

/* ---- the rest of the table --------------------------------------------------------------------------- */

void cuda_product(cuda_device *d, const cuda_gemm *g);
void cuda_plans_close(cuda_device *d);

void cuda_linear(ac_device *dev, const ac_linear_args *a);
void cuda_linears(ac_device *dev, const ac_linear_args *a, size_t n);
void cuda_gated(ac_device *dev, const ac_gated_args *a);
void cuda_gated_grad(ac_device *dev, const ac_gated_grad_args *a);
void cuda_gated_linears(ac_device *dev, const ac_linear_args a[2], const ac_gated_args *g);
void cuda_linear_grad(ac_device *dev, const ac_linear_grad_args *a);
void cuda_linear_grads(ac_device *dev, const ac_linear_grad_args *a, size_t n);
void cuda_gated_linear_grad(ac_device *dev, const ac_linear_grad_args *a, const ac_gated_grad_args *g);
void cuda_adapter_grad(ac_device *dev, const ac_linear_grad_args *a);
void cuda_output(ac_device *dev, const ac_output_args *a);
void cuda_loss(ac_device *dev, const ac_loss_args *a);
void cuda_attention(ac_device *dev, const ac_attention_args *a);
void cuda_attention_kv(ac_device *dev, const ac_attention_kv_args *a);
typedef struct {
    uint32_t slot, pos;
} cuda_cached_row;
/* Slot and position of each row fed, on the device. NULL: failed. */
const cuda_cached_row *cuda_rows_of(cuda_device *d, const ac_feed_rows *feeds, size_t n_feeds, size_t *rows);
void cuda_largest(ac_device *dev, ac_ref out, ac_ref logits, size_t rows, size_t cols);
void cuda_attention_grad(ac_device *dev, const ac_attention_grad_args *a);
size_t cuda_scratch_floats(const ac_device *dev, const ac_shape *s);
bool cuda_head_dim_ok(size_t head_dim);

/* ---- kernels (.cu). Places are device memory; bf16 rows are `cols` apart; x_f32 says what x is ----------- */
#ifdef __cplusplus
#define CUDA_C extern "C"
#else
#define CUDA_C extern
#endif

/* Attributes that start() gives a launch: 1 where the GPU knows launches that depend on each other. */
#ifdef __cplusplus
extern "C" unsigned cuda_early;
#else
extern unsigned cuda_early;
#endif

CUDA_C void k_embed(cudaStream_t s, float *y, const int32_t *ids, const cuda_bf16 *table, size_t rows, size_t cols);
/* cuda_quant.cu. n, cols: multiples of 8, and of the type's blocks; false: no such type. */
CUDA_C bool k_expand(cudaStream_t s, cuda_bf16 *y, const void *x, ac_dtype type, size_t n);
CUDA_C bool k_gather(cudaStream_t s, float *y, const int32_t *ids, const void *table, ac_dtype type, size_t rows, size_t cols);
/* index: row i reads row index[i] of x; NULL: row i. */
CUDA_C void k_norm(cudaStream_t s, cuda_bf16 *y, float *sum, const void *x, bool x_f32, const cuda_bf16 *add,
                   const float *w, const uint32_t *index, size_t rows, size_t cols, float eps);
/* index: row i of dy belongs to row index[i] of x and dx. */
CUDA_C void k_norm_grad(cudaStream_t s, cuda_bf16 *dx, const cuda_bf16 *dy, const void *x, bool x_f32, const float *w,
                        const uint32_t *index, size_t rows, size_t cols, float eps, bool accumulate);
CUDA_C void k_rotary(cudaStream_t s, cuda_bf16 *q, cuda_bf16 *k, const uint32_t *pos, const float *cosine,
                     const float *sine, size_t rows, size_t n_heads, size_t n_kv_heads, size_t head_dim, bool inverse);
CUDA_C void k_gated(cudaStream_t s, cuda_bf16 *y, const cuda_bf16 *g, const cuda_bf16 *u, size_t n);
/* y: silu(g) u once more, or NULL. */
CUDA_C void k_gated_grad(cudaStream_t s, cuda_bf16 *dg, cuda_bf16 *du, cuda_bf16 *y, const cuda_bf16 *dy, const cuda_bf16 *g,
                         const cuda_bf16 *u, size_t n);
CUDA_C void k_add_bias(cudaStream_t s, cuda_bf16 *y, const float *bias, size_t rows, size_t cols);
/* dlogits NULL: the losses alone. Both dense rows of vocab. */
/* shared: bytes of it that a block may have. vocab: a multiple of 8. */
CUDA_C bool k_entropy(cudaStream_t s, const float *logits, const int32_t *target, float *nll, cuda_bf16 *dlogits,
                      size_t rows, size_t vocab, float scale, size_t shared);
/* cuda_loss_hopper.cu: the same for rows that no block can keep; compute capability 9.0. false: not such a row. */
CUDA_C bool k_entropy_wide(cudaStream_t s, const float *logits, const int32_t *target, float *nll, cuda_bf16 *dlogits,
                           size_t rows, size_t vocab, float scale, size_t shared);
CUDA_C void k_narrow(cudaStream_t s, cuda_bf16 *y, const float *x, size_t n);
CUDA_C void k_widen(cudaStream_t s, float *y, const cuda_bf16 *x, size_t n);
CUDA_C void k_add(cudaStream_t s, float *to, const float *from, size_t n);     /* to += from */
CUDA_C void k_finite(cudaStream_t s, const cuda_bf16 *x, size_t n, int *bad);
typedef struct {
    const float *x;
    size_t n;
} cuda_span;
CUDA_C void k_sum_squares(cudaStream_t s, const cuda_span *part, size_t n, double *out);
CUDA_C void k_adamw(cudaStream_t s, float *p, float *m, float *v, const float *g, size_t n, float grad_scale, float keep,
                    float b1, float one_minus_b1, float b2, float one_minus_b2, float step, float inv_sqrt_bc2, float eps);
/* y (+)= x where kept, times inv_keep. unit[u] = { first, n, index }. */
typedef struct {
    uint64_t first, n, index;
} cuda_unit;
CUDA_C void k_drop(cudaStream_t s, cuda_bf16 *y, const cuda_bf16 *x, size_t rows, size_t cols, const cuda_unit *unit,
                   size_t n_units, uint64_t seed, uint64_t step, uint64_t module, uint32_t threshold, float inv_keep,
                   bool add);

/* cuda_lora.cu, for ranks up to CUDA_RANK_MAX, of up to CUDA_SHARED adapters of one rank at once. part: room for part_floats
 * sums. false: the launch could not be set up. */
enum { CUDA_RANK_MAX = 64, CUDA_PIECE = 512, CUDA_SHARED = 3 };
typedef struct {                     /* rows that are summed together: at most CUDA_PIECE, of one unit */
    uint32_t first, n;
} cuda_piece;
typedef struct {                     /* h = alpha x a^T; a: r x k */
    const cuda_bf16 *x, *a[CUDA_SHARED];
    cuda_bf16 *h[CUDA_SHARED];
    float alpha[CUDA_SHARED];
    size_t n, rows, k, r;
} cuda_into_rank;
typedef struct {                     /* dh = alpha dy b, db += dy^T h; b and db: out x r */
    const cuda_bf16 *dy[CUDA_SHARED], *h[CUDA_SHARED], *b[CUDA_SHARED];
    cuda_bf16 *dh[CUDA_SHARED];
    float *db[CUDA_SHARED], alpha[CUDA_SHARED];
    size_t out[CUDA_SHARED], n, r;
    const cuda_piece *piece;
    size_t pieces;
} cuda_rank_back;
typedef struct {                     /* da += dh^T x; da: r x cols */
    const cuda_bf16 *x, *dh[CUDA_SHARED];
    float *da[CUDA_SHARED];
    size_t n, cols, r;
    const cuda_piece *piece;
    size_t pieces;
} cuda_rank_grad;
CUDA_C bool k_into_rank(cudaStream_t s, const cuda_into_rank *p);
CUDA_C bool k_rank_back(cudaStream_t s, const cuda_rank_back *p, float *part, size_t part_floats);
CUDA_C bool k_rank_grad(cudaStream_t s, const cuda_rank_grad *p, float *part, size_t part_floats);

/* ---- cuda_segments.cu: Hopper's products of several segments ---- */
enum { CUDA_SEGMENTS = 6, CUDA_JOINED = 3 };
typedef struct {                     /* A: rows x k, B: n x k, or k x n with n_contiguous */
    const cuda_bf16 *a, *b;
    size_t lda, ldb, k;
} cuda_segment;
typedef struct {                     /* c (rows x n) = (c where add) + sum of the segments' A B + bias (or NULL) */
    void *c;
    size_t n, ldc, segments;
    const float *bias;
    bool add;
    cuda_segment segment[CUDA_SEGMENTS];
} cuda_joined_out;
typedef struct {
    size_t rows, outputs;
    bool n_contiguous;
    unsigned tile;                   /* columns of a tile: 0, or 128, 192, 224, 256 */
    cuda_joined_out out[CUDA_JOINED];
} cuda_joined;
/* Whether places and shapes are such that k_segments can; it needs compute capability 9.0. */
CUDA_C bool k_segments_fit(const cuda_joined *j);
CUDA_C bool k_segments(cudaStream_t s, const cuda_joined *j, unsigned processors);
CUDA_C bool k_segments_built(void);
/* Two outputs, gate and up of one x: each is stored, and y = silu(gate) up of what was stored, rows x n. */
CUDA_C bool k_gated_segments_fit(const cuda_joined *j, const cuda_bf16 *y);
CUDA_C bool k_gated_segments(cudaStream_t s, const cuda_joined *j, cuda_bf16 *y, unsigned processors);
/* One output, of which nothing is stored (c is not written): rounded it is k_gated_grad's dy. dg may be g, du may be u. */
typedef struct {
    const cuda_bf16 *g, *u;
    cuda_bf16 *dg, *du, *y;          /* y: or NULL */
} cuda_gated_grads;
CUDA_C bool k_segments_gated_grad_fit(const cuda_joined *j, const cuda_gated_grads *g);
CUDA_C bool k_segments_gated_grad(cudaStream_t s, const cuda_joined *j, const cuda_gated_grads *g, unsigned processors);

/* ---- cuda_thin.cu ---- */
typedef struct {                     /* as cuda_joined with B: n x k, at most CUDA_THIN_ROWS rows; each sum times alpha, before the bias */
    size_t rows, outputs;
    bool f32;
    bool settled;                        /* B of each first segment is written by no launch still under way */
    float alpha[CUDA_JOINED];
    cuda_joined_out out[CUDA_JOINED];    /* add is not looked at */
} cuda_thin;
CUDA_C bool k_thin(cudaStream_t s, const cuda_thin *p, unsigned processors);

/* ---- cuda_decode.cu ---- */
/* out[i]: the first of row i's largest, or -1 where a number is not finite. part: room for k_largest_parts numbers a row. */
CUDA_C size_t k_largest_parts(void);
CUDA_C void k_largest(cudaStream_t s, int32_t *out, uint64_t *part, const float *x, size_t rows, size_t cols);
typedef struct {
    const cuda_bf16 *q, *k, *v;
    cuda_bf16 *out, *k_cache, *v_cache;
    const cuda_cached_row *row;
    size_t rows, slot_rows, n_heads, n_kv_heads, head_dim, window;
    float scale;
    const float *cosine, *sine;          /* rotary tables: q and k are turned first and the cache gets its new row. NULL: both are done */
    float *part;                         /* rows x n_heads x chunks x (head_dim + 2), or NULL: a block takes all chunks of a query */
    size_t chunks;
} cuda_cached;
/* Chunks of keys that one query may see. */
CUDA_C size_t k_cached_chunks(size_t slot_rows, size_t window);
CUDA_C void k_append(cudaStream_t s, const cuda_cached *a);
/* false: no kernel for this head_dim. */
CUDA_C bool k_cached(cudaStream_t s, const cuda_cached *a);

typedef struct {                     /* 64 rows of a document, from `start` of it on */
    uint32_t first, n, start;
} cuda_tile;
enum { CUDA_TILE = 64 };
typedef struct {
    const cuda_bf16 *q, *k, *v, *dout;
    cuda_bf16 *out, *dq, *dk, *dv;
    float *lse, *delta;              /* n_heads x rows */
    size_t rows, n_heads, n_kv_heads, head_dim, window;
    float scale;
    const cuda_tile *q_tile, *k_tile;
    size_t n_tiles;
} cuda_attn;
/* cuda_attention_hopper.cu: heads of 64 and 128, tiles of CUDA_FLASH_TILE rows. delta is there already. */
enum { CUDA_FLASH_TILE = 128 };
CUDA_C bool k_flash(cudaStream_t s, const cuda_attn *a);
CUDA_C bool k_flash_grad(cudaStream_t s, const cuda_attn *a);
CUDA_C void k_delta(cudaStream_t s, const cuda_attn *a);
/* false: no kernel for this head_dim, or the launch could not be set up. */
CUDA_C bool k_attention(cudaStream_t s, const cuda_attn *a);
CUDA_C bool k_attention_grad(cudaStream_t s, const cuda_attn *a);

#endif
