/* backend/cpu_int.h - the CPU device: buffers are host memory, operations call the kernel table over a pool.
 * Every kernel call is made inside ac_pool_run, which sets the rounding mode (B1). Tasks own their outputs. */
#ifndef AC_BACKEND_CPU_INT_H
#define AC_BACKEND_CPU_INT_H

#include "backend/backend.h"

struct ac_buf {
    unsigned char *ptr;
    size_t bytes;
    bool owned;
};

typedef struct {
    ac_device base;            /* first: an ac_device * is this */
    ac_kernels k;
    ac_pool *pool;
    ac_mm_workspace *ws;
    float *laid;               /* CPU_LAID_FLOATS for rows of A that several tasks read; NULL: the tier does not */
    size_t threads;
    ac_numerics numerics;      /* of products in the model's operations */
    char name[64];
} ac_cpu_device;

/* What a call needs for its products to be as fast as they get. */
enum { CPU_CALL_TOKENS = 512 };

/* 512 rows of 5,632 elements; a wider A is read where it lies. */
#define CPU_LAID_FLOATS ((size_t)3 << 20)

/* Rows of logits that exist at once: CPU_OUTPUT_CHUNK, or fewer where the vocabulary makes them large. What fewer
 * rows cost is the output weights' expansion, about four rows' worth a chunk. */
enum { CPU_OUTPUT_CHUNK = 256, CPU_OUTPUT_CHUNK_BYTES = 64 << 20 };
static inline size_t cpu_output_rows(size_t vocab)
{
    const size_t rows = CPU_OUTPUT_CHUNK_BYTES / ((vocab ? vocab : 1) * sizeof(float));
    return rows >= CPU_OUTPUT_CHUNK ? CPU_OUTPUT_CHUNK : rows > 32 ? rows : 32;
}

/* From one row of logits to the next: an odd number of pairs of cache lines. Vocabularies are multiples of large powers
 * of two, and the rows of a tile would all fall on the same sets of the caches. */
static inline size_t cpu_logits_ld(size_t vocab)
{
    return ((vocab + 31) / 32 | 1) * 32;
}

static inline ac_cpu_device *cpu_of(ac_device *d)
{
    return (ac_cpu_device *)(void *)d;
}

static inline float *cpu_f32(ac_ref r)
{
    return r.buf ? (float *)(void *)r.buf->ptr + r.at : NULL;
}

static inline const uint32_t *cpu_u32(ac_ref r)
{
    return (const uint32_t *)(const void *)cpu_f32(r);
}

static inline const int32_t *cpu_i32(ac_ref r)
{
    return (const int32_t *)(const void *)cpu_f32(r);
}

/* Calls fn over disjoint ranges that cover [0, n); a range has at least `grain` items but for the last. */
typedef void cpu_range_fn(void *ctx, size_t from, size_t to, size_t worker);
void cpu_for(ac_cpu_device *d, size_t n, size_t grain, cpu_range_fn *fn, void *ctx);

/* Items of `cost` elementary operations each that are worth a task of their own. */
static inline size_t cpu_grain(size_t cost)
{
    const size_t worth = 16384;
    return cost >= worth ? 1 : (worth + cost) / (cost ? cost : 1);
}

/* C (+)= A B; see ac_matmul_args. */
void cpu_product(ac_cpu_device *d, ac_mm_form form, size_t m, size_t n, size_t k, const float *a,
                 size_t lda, const void *b, ac_dtype b_type, size_t b_row_bytes, float *c, size_t ldc,
                 bool accumulate);

/* y = x W^T for `rows` rows, W as stored or as prepared. */
ac_matmul_args cpu_times_weights(const ac_cpu_device *d, const ac_matrix *w, size_t rows, const float *x, float *y);

/* cpu_columns.c. Outputs of several layers in one run: product, then bias, then the adapter's product, which accumulates;
 * adapter.c NULL: none. `other` tasks, which touch none of the outputs, fill the end of the run. */
typedef struct {
    ac_matmul_args product, adapter;
    const float *bias;
} cpu_column_out;
typedef struct {
    ac_cpu_device *d;
    const cpu_column_out *out;
    size_t n, n_other, pieces;                   /* pieces: set by the run */
    bool laid;                                   /* likewise: A lies in d->laid */
    ac_pool_fn *other;
    void *other_ctx;
} cpu_columns;
bool cpu_columns_pay(const ac_cpu_device *d, size_t rows, size_t cols);
void cpu_columns_run(cpu_columns *job);
/* n products of equally many rows, each row of C (dense) then times scale[i]: one run, cut by rows. */
void cpu_short_products(ac_cpu_device *d, const ac_matmul_args *args, const float *scale, size_t n);

void cpu_linears(ac_device *dev, const ac_linear_args *a, size_t n);
void cpu_linear(ac_device *dev, const ac_linear_args *a);
void cpu_linear_grad(ac_device *dev, const ac_linear_grad_args *a);
/* y = dropout(x) of an adapter's input; y may be x. */
void cpu_drop_rows(ac_cpu_device *d, float *y, const float *x, size_t rows, size_t cols, const ac_lora *lora,
                   const ac_unit_rows *units, size_t n_units);
void cpu_dora_norm(ac_device *dev, const ac_dora_norm_args *a);
void cpu_dora_linear(ac_device *dev, const ac_linear_args *a);          /* lora with a magnitude */
void cpu_dora_grad(ac_device *dev, const ac_linear_grad_args *a);
size_t cpu_dora_scratch(const ac_shape *s);                             /* beside what a plain adapter takes */
void cpu_attention(ac_device *dev, const ac_attention_args *a);
void cpu_attention_grad(ac_device *dev, const ac_attention_grad_args *a);
void cpu_attention_kv(ac_device *dev, const ac_attention_kv_args *a);
void cpu_optim(ac_device *dev, const ac_optim_args *a);
void cpu_muon(ac_device *dev, const ac_muon_args *a);
void cpu_adafactor(ac_device *dev, const ac_adafactor_args *a);
void cpu_output(ac_device *dev, const ac_output_args *a);
void cpu_loss(ac_device *dev, const ac_loss_args *a);
void cpu_weight_grad(ac_device *dev, const ac_weight_grad_args *a);
void cpu_norm_weight_grad(ac_device *dev, const ac_norm_weight_grad_args *a);
void cpu_embed_grad(ac_device *dev, const ac_embed_grad_args *a);
void cpu_output_grad(ac_device *dev, const ac_output_grad_args *a);
size_t cpu_weight_scratch_floats(const ac_shape *s);
size_t cpu_scratch_floats(const ac_device *dev, const ac_shape *s);

#endif
