/* backend/cpu.c - the CPU device: memory, elementwise operations, the table. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "backend/cpu_int.h"
#include "base/mem.h"
#include "base/size.h"

/* ---- splitting ----------------------------------------------------------------------------------- */

typedef struct {
    cpu_range_fn *fn;
    void *ctx;
    size_t n, n_tasks;
} cpu_range_job;

static void range_task(void *ctx, size_t task, size_t worker)
{
    const cpu_range_job *j = ctx;
    const size_t per = j->n / j->n_tasks, extra = j->n % j->n_tasks;
    const size_t from = task * per + (task < extra ? task : extra);
    j->fn(j->ctx, from, from + per + (task < extra ? 1 : 0), worker);
}

void cpu_for(ac_cpu_device *d, size_t n, size_t grain, cpu_range_fn *fn, void *ctx)
{
    if (n == 0) return;
    if (grain == 0) grain = 1;
    size_t tasks = n / grain;
    const size_t most = d->threads > 1 ? d->threads * 4 : 1;
    if (tasks > most) tasks = most;
    if (tasks == 0) tasks = 1;
    cpu_range_job j = { fn, ctx, n, tasks };
    ac_pool_run(d->pool, tasks, range_task, &j);
}

/* ---- memory -------------------------------------------------------------------------------------- */

static ac_status cpu_buf_new(ac_buf **out, unsigned char *ptr, size_t bytes, bool owned, ac_err *err)
{
    ac_buf *b = ac_calloc(1, sizeof *b);
    if (!b) return ac_fail_nomem(err, sizeof *b);
    *b = (ac_buf){ ptr, bytes, owned };
    *out = b;
    return AC_OK;
}

static ac_status cpu_buf_open(ac_device *dev, ac_buf **out, size_t n, ac_store store, ac_err *err)
{
    AC_UNUSED(dev);
    AC_UNUSED(store);
    size_t bytes = 0;
    if (!ac_size_mul(&bytes, n, sizeof(float))) return ac_fail_nomem(err, SIZE_MAX);
    unsigned char *p = ac_malloc_aligned(bytes ? bytes : 1);
    if (!p) return ac_fail_nomem(err, bytes);
    const ac_status st = cpu_buf_new(out, p, bytes, true, err);
    if (st) ac_free(p);
    return st;
}

static ac_status cpu_buf_borrow(ac_device *dev, ac_buf **out, void *host, size_t bytes, ac_borrow mode,
                                ac_err *err)
{
    AC_UNUSED(dev);
    AC_UNUSED(mode);
    return cpu_buf_new(out, host, bytes, false, err);
}

static size_t cpu_store_bytes(const ac_device *dev, ac_store store)
{
    AC_UNUSED(dev);
    AC_UNUSED(store);
    return sizeof(float);
}

/* Host memory is where the CPU computes: nothing to keep. */
static ac_status cpu_keep(ac_device *dev, void *host, size_t bytes, ac_err *err)
{
    AC_UNUSED(dev);
    AC_UNUSED(host);
    AC_UNUSED(bytes);
    AC_UNUSED(err);
    return AC_OK;
}

static void cpu_kept(ac_device *dev, void *host)
{
    AC_UNUSED(dev);
    AC_UNUSED(host);
}

static void cpu_buf_close(ac_device *dev, ac_buf **b)
{
    AC_UNUSED(dev);
    if (!b || !*b) return;
    if ((*b)->owned) ac_free((*b)->ptr);
    ac_free(*b);
    *b = NULL;
}

static void cpu_write(ac_device *dev, ac_ref to, const void *from, size_t n)
{
    AC_UNUSED(dev);
    if (n) memcpy(cpu_f32(to), from, n * sizeof(float));
}

static void cpu_read(ac_device *dev, void *to, ac_ref from, size_t n)
{
    AC_UNUSED(dev);
    if (n) memcpy(to, cpu_f32(from), n * sizeof(float));
}

typedef struct {
    float *to;
    const float *from;
} copy_job;

static void copy_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const copy_job *j = ctx;
    memcpy(j->to + from, j->from + from, (to - from) * sizeof(float));
}

static void cpu_copy(ac_device *dev, ac_ref to, ac_ref from, size_t n)
{
    copy_job j = { cpu_f32(to), cpu_f32(from) };
    cpu_for(cpu_of(dev), n, 65536, copy_range, &j);
}

static void zero_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    memset((float *)ctx + from, 0, (to - from) * sizeof(float));
}

static void cpu_zero(ac_device *dev, ac_ref to, size_t n)
{
    cpu_for(cpu_of(dev), n, 65536, zero_range, cpu_f32(to));
}

typedef struct {
    const ac_kernels *k;
    float *to;
    const float *from;
} add_job;

static void add_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const add_job *j = ctx;
    j->k->add(j->to + from, j->to + from, j->from + from, to - from);
}

static void cpu_add(ac_device *dev, ac_ref to, ac_ref from, size_t n)
{
    add_job j = { &cpu_of(dev)->k, cpu_f32(to), cpu_f32(from) };
    cpu_for(cpu_of(dev), n, 16384, add_range, &j);
}

static ac_status cpu_sync(ac_device *dev, ac_err *err)
{
    AC_UNUSED(dev);            /* operations are complete when they return, and none can fail */
    AC_UNUSED(err);
    return AC_OK;
}

static bool cpu_supports(const ac_device *dev, ac_op op, ac_dtype type)
{
    AC_UNUSED(dev);
    AC_UNUSED(op);
    return ac_dtype_is_weight(type);
}

static const char *cpu_lacks(const ac_device *dev, const ac_shape *s)
{
    AC_UNUSED(dev);
    AC_UNUSED(s);
    return NULL;
}

static bool cpu_has_rule(const ac_device *dev, ac_rule rule, ac_state_type state)
{
    AC_UNUSED(dev);
    AC_UNUSED(rule);
    AC_UNUSED(state);
    return true;
}

static bool cpu_set_numerics(ac_device *dev, ac_numerics n)
{
    if (n > AC_NUM_BF16) return false;
    cpu_of(dev)->numerics = n;
    return true;
}

/* ---- elementwise and row operations ---------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    float *y;
    const int32_t *ids;
    const ac_matrix *table;
} embed_job;

static void embed_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const embed_job *j = ctx;
    const size_t cols = j->table->cols;
    for (size_t i = from; i < to; i++) {
        const unsigned char *row = j->table->buf->ptr + (size_t)j->ids[i] * j->table->row_bytes;
        j->k->expand_row(j->y + i * cols, row, j->table->type, cols);
    }
}

static void cpu_embed(ac_device *dev, const ac_embed_args *a)
{
    embed_job j = { &cpu_of(dev)->k, cpu_f32(a->y), cpu_i32(a->ids), a->table };
    cpu_for(cpu_of(dev), a->rows, cpu_grain(a->table->cols), embed_range, &j);
}

typedef struct {
    const ac_kernels *k;
    float *y, *sum;
    const float *x, *add, *w;
    size_t cols;
    float eps;
} norm_job;

static void norm_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const norm_job *j = ctx;
    for (size_t i = from; i < to; i++) {         /* row by row, so that the sum is still in the cache */
        const float *x = j->x + i * j->cols;
        if (j->add) {
            j->k->add(j->sum + i * j->cols, x, j->add + i * j->cols, j->cols);
            x = j->sum + i * j->cols;
        }
        if (j->y) j->k->rmsnorm(j->y + i * j->cols, x, j->w, 1, j->cols, j->eps);
    }
}

static void cpu_norm(ac_device *dev, const ac_norm_args *a)
{
    norm_job j = { &cpu_of(dev)->k, cpu_f32(a->y), cpu_f32(a->sum), cpu_f32(a->x), cpu_f32(a->add),
                   cpu_f32(a->w), a->cols, a->eps };
    cpu_for(cpu_of(dev), a->rows, cpu_grain(a->cols), norm_range, &j);
}

typedef struct {
    const ac_kernels *k;
    const ac_norm_grad_args *a;
    float *dx;
    const float *dy, *x, *w;
} norm_grad_job;

static void norm_grad_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const norm_grad_job *j = ctx;
    const size_t at = from * j->a->cols;
    j->k->rmsnorm_grad(j->dx + at, j->dy + at, j->x + at, j->w, to - from, j->a->cols, j->a->eps,
                       j->a->accumulate);
}

static void cpu_norm_grad(ac_device *dev, const ac_norm_grad_args *a)
{
    norm_grad_job j = { &cpu_of(dev)->k, a, cpu_f32(a->dx), cpu_f32(a->dy), cpu_f32(a->x),
                        cpu_f32(a->w) };
    cpu_for(cpu_of(dev), a->rows, cpu_grain(a->cols), norm_grad_range, &j);
}

typedef struct {
    const ac_kernels *k;
    const ac_rotary_args *a;
} rotary_job;

static void rotary_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const rotary_job *j = ctx;
    const ac_rotary_args *a = j->a;
    const size_t qw = a->n_heads * a->head_dim, kw = a->n_kv_heads * a->head_dim;
    const uint32_t *pos = cpu_u32(a->pos) + from;
    const float *c = cpu_f32(a->cos_table), *s = cpu_f32(a->sin_table);
    j->k->rope(cpu_f32(a->q) + from * qw, qw, to - from, a->n_heads, a->head_dim, pos, c, s, a->inverse);
    j->k->rope(cpu_f32(a->k) + from * kw, kw, to - from, a->n_kv_heads, a->head_dim, pos, c, s,
               a->inverse);
}

static void cpu_rotary(ac_device *dev, const ac_rotary_args *a)
{
    rotary_job j = { &cpu_of(dev)->k, a };
    cpu_for(cpu_of(dev), a->rows, cpu_grain((a->n_heads + a->n_kv_heads) * a->head_dim), rotary_range, &j);
}

typedef struct {
    const ac_kernels *k;
    float *y, *z;
    const float *dy, *g, *u;
} gated_job;

static void gated_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const gated_job *j = ctx;
    j->k->swiglu(j->y + from, j->g + from, j->u + from, to - from);
}

static void cpu_gated(ac_device *dev, const ac_gated_args *a)
{
    gated_job j = { &cpu_of(dev)->k, cpu_f32(a->y), NULL, NULL, cpu_f32(a->g), cpu_f32(a->u) };
    cpu_for(cpu_of(dev), a->n, 8192, gated_range, &j);
}

static void cpu_gated_linears(ac_device *dev, const ac_linear_args a[2], const ac_gated_args *g)
{
    cpu_linears(dev, a, 2);
    cpu_gated(dev, g);
}

static void gated_grad_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const gated_job *j = ctx;
    j->k->swiglu_grad(j->y + from, j->z + from, j->dy + from, j->g + from, j->u + from, to - from);
}

static void cpu_gated_grad(ac_device *dev, const ac_gated_grad_args *a)
{
    gated_job j = { &cpu_of(dev)->k, cpu_f32(a->dg), cpu_f32(a->du), cpu_f32(a->dy), cpu_f32(a->g),
                    cpu_f32(a->u) };
    cpu_for(cpu_of(dev), a->n, 8192, gated_grad_range, &j);
}

static void cpu_gated_linear_grad(ac_device *dev, const ac_linear_grad_args *a, const ac_gated_grad_args *g)
{
    cpu_linear_grad(dev, a);
    cpu_gated_grad(dev, g);
}

/* ---- weights ---------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    const ac_matrix *w;
    atomic_bool bad;
} finite_job;

static void finite_range(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    finite_job *j = ctx;
    enum { PIECE = 2048 };                       /* a multiple of every block */
    float piece[PIECE];
    const size_t elems = ac_dtype_block_elems(j->w->type), bytes = ac_dtype_block_bytes(j->w->type);
    for (size_t r = from; r < to; r++) {
        const unsigned char *row = j->w->buf->ptr + r * j->w->row_bytes;
        for (size_t c = 0; c < j->w->cols; c += PIECE) {
            const size_t n = j->w->cols - c < PIECE ? j->w->cols - c : PIECE;
            j->k->expand_row(piece, row + c / elems * bytes, j->w->type, n);
            if (!j->k->all_finite(piece, n)) atomic_store(&j->bad, true);
        }
    }
}

static bool cpu_all_finite(ac_device *dev, const ac_matrix *w)
{
    finite_job j = { &cpu_of(dev)->k, w, false };
    cpu_for(cpu_of(dev), w->rows, cpu_grain(w->cols), finite_range, &j);
    return !atomic_load(&j.bad);
}

static size_t cpu_prepared_bytes(const ac_device *dev, const ac_matrix *w)
{
    const ac_cpu_device *d = (const ac_cpu_device *)(const void *)dev;
    return d->k.packs ? ac_packed_bytes(w->type, w->rows, w->cols) : 0;
}

static ac_status cpu_prepare(ac_device *dev, ac_matrix *w, ac_err *err)
{
    if (w->ahead || cpu_of(dev)->numerics != AC_NUM_FP32 || !cpu_prepared_bytes(dev, w)) return AC_OK;
    ac_packed *p = NULL;
    const ac_status st = ac_packed_open(&p, cpu_of(dev)->pool, w->type, w->buf->ptr, w->row_bytes, w->rows,
                                        w->cols, err);
    w->ahead = p;
    return st;
}

static void cpu_unprepare(ac_device *dev, ac_matrix *w)
{
    AC_UNUSED(dev);
    ac_packed *p = w->ahead;
    ac_packed_close(&p);
    w->ahead = NULL;
}

/* ---- optimizer ------------------------------------------------------------------------------------- */

typedef struct {
    const ac_kernels *k;
    const float *x;
    size_t n;
    double sum;
} squares_job;

static void squares_task(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    squares_job *j = ctx;
    AC_UNUSED(from);
    AC_UNUSED(to);
    j->sum = j->k->sum_squares(j->x, j->n);      /* one sum, one thread: its order is the contract's */
}

static void cpu_sum_squares(ac_device *dev, const ac_span *part, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        squares_job j = { &cpu_of(dev)->k, cpu_f32(part[i].at), part[i].n, 0.0 };
        cpu_for(cpu_of(dev), 1, 1, squares_task, &j);
        out[i] = j.sum;
    }
}

static ac_device_memory cpu_memory(const ac_device *dev)
{
    AC_UNUSED(dev);
    return (ac_device_memory){ .free = 0 };
}

static size_t cpu_own_bytes(const ac_device *dev)
{
    const ac_cpu_device *d = (const ac_cpu_device *)(const void *)dev;
    return ac_mm_workspace_bytes(d->threads) + (d->laid ? CPU_LAID_FLOATS * sizeof(float) : 0);
}

/* Each worker its own part first, so that it lies near the processor that uses it. */
static void touch_part(void *ctx, size_t task, size_t worker)
{
    ac_cpu_device *d = ctx;
    AC_UNUSED(task);
    ac_mm_workspace_touch(d->ws, worker);
}

static void cpu_take_own(ac_device *dev)
{
    ac_cpu_device *d = cpu_of(dev);
    ac_pool_run(d->pool, d->threads, touch_part, d);
    for (size_t i = 0; i < d->threads; i++) ac_mm_workspace_touch(d->ws, i);
    if (d->laid) ac_mem_touch(d->laid, CPU_LAID_FLOATS * sizeof *d->laid);
}

/* ---- the table ------------------------------------------------------------------------------------- */

static void cpu_close(ac_device **dev)
{
    ac_cpu_device *d = cpu_of(*dev);
    ac_mm_workspace_close(&d->ws);
    ac_free(d->laid);
    ac_pool_close(&d->pool);
    ac_free(d);
    *dev = NULL;
}

static void linear_grads(ac_device *dev, const ac_linear_grad_args *a, size_t n)
{
    for (size_t i = 0; i < n; i++) cpu_linear_grad(dev, &a[i]);
}

static const ac_device_ops cpu_ops = {
    .buf_open = cpu_buf_open,
    .buf_borrow = cpu_buf_borrow,
    .store_bytes = cpu_store_bytes,
    .keep = cpu_keep,
    .pull = cpu_kept,
    .push = cpu_kept,
    .let_go = cpu_kept,
    .buf_close = cpu_buf_close,
    .write = cpu_write,
    .read = cpu_read,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .add = cpu_add,
    .sync = cpu_sync,
    .supports = cpu_supports,
    .lacks = cpu_lacks,
    .has_rule = cpu_has_rule,
    .set_numerics = cpu_set_numerics,
    .scratch_floats = cpu_scratch_floats,
    .memory = cpu_memory,
    .own_bytes = cpu_own_bytes, .take_own = cpu_take_own,
    .prepare = cpu_prepare,
    .unprepare = cpu_unprepare,
    .prepared_bytes = cpu_prepared_bytes,
    .embed = cpu_embed,
    .norm = cpu_norm,
    .norm_grad = cpu_norm_grad,
    .linear = cpu_linear,
    .linears = cpu_linears,
    .linear_grad = cpu_linear_grad, .linear_grads = linear_grads,
    .dora_norm = cpu_dora_norm,
    .rotary = cpu_rotary,
    .attention = cpu_attention,
    .attention_grad = cpu_attention_grad,
    .attention_kv = cpu_attention_kv,
    .gated = cpu_gated, .gated_linears = cpu_gated_linears,
    .gated_grad = cpu_gated_grad, .gated_linear_grad = cpu_gated_linear_grad,
    .output = cpu_output,
    .loss = cpu_loss,
    .weight_grad = cpu_weight_grad,
    .norm_weight_grad = cpu_norm_weight_grad,
    .embed_grad = cpu_embed_grad,
    .output_grad = cpu_output_grad,
    .sum_squares = cpu_sum_squares,
    .all_finite = cpu_all_finite,
    .optim = cpu_optim,
    .muon = cpu_muon,
    .adafactor = cpu_adafactor,
    .close = cpu_close,
};

ac_status ac_device_open_cpu(ac_device **out, ac_cpu tier, size_t threads, ac_err *err)
{
    ac_cpu_device *d = ac_calloc(1, sizeof *d);
    if (!d) return ac_fail_nomem(err, sizeof *d);
    ac_status st = ac_kernels_init(&d->k, tier, err);
    if (!st) st = ac_pool_open(&d->pool, threads, err);
    if (!st) {
        d->threads = ac_pool_threads(d->pool);
        st = ac_mm_workspace_open(&d->ws, d->threads, err);
    }
    if (!st && d->k.laid_rows && !(d->laid = ac_malloc_aligned(CPU_LAID_FLOATS * sizeof *d->laid)))
        st = ac_fail_nomem(err, CPU_LAID_FLOATS * sizeof *d->laid);
    if (st) {
        ac_mm_workspace_close(&d->ws);
        ac_pool_close(&d->pool);
        ac_free(d);
        return st;
    }
    snprintf(d->name, sizeof d->name, "cpu %s, %zu thread%s", ac_cpu_name(d->k.tier), d->threads,
             d->threads == 1 ? "" : "s");
    d->base = (ac_device){ .op = &cpu_ops, .name = d->name, .call_tokens = CPU_CALL_TOKENS };
    *out = &d->base;
    return AC_OK;
}

void ac_device_close(ac_device **d)
{
    if (d && *d) (*d)->op->close(d);
}

const char *ac_device_name(const ac_device *d)
{
    return d->name;
}
