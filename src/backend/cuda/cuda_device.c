/* backend/cuda/cuda_device.c - the CUDA device: memory, copies, the table. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "backend/cuda/cuda_int.h"

unsigned cuda_early;

/* ---- failures ---------------------------------------------------------------------------------------- */

void cuda_fail(cuda_device *d, ac_status st, const char *fmt, ...)
{
    if (d->st) return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(d->why, sizeof d->why, fmt, ap);
    va_end(ap);
    d->st = st;
}

bool cuda_ok(cuda_device *d, cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return true;
    const ac_status st = e == cudaErrorMemoryAllocation ? AC_ENOMEM : AC_ESTATE;
    cuda_fail(d, st, "%s: %s failed: %s", d->name, what, cudaGetErrorString(e));
    return false;
}

void cuda_launched(cuda_device *d, const char *what)
{
    (void)cuda_ok(d, cudaGetLastError(), what);
}

static ac_status sync_device(ac_device *dev, ac_err *err)
{
    cuda_device *d = cuda_of(dev);
    if (!d->st) (void)cuda_ok(d, cudaStreamSynchronize(d->stream), "waiting");
    const ac_status st = d->st;
    d->st = AC_OK;
    return st ? d->host->fail(err, st, "%s", d->why) : AC_OK;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static void note_held(cuda_device *d, size_t going);

static size_t store_bytes(const ac_device *dev, ac_store store)
{
    (void)dev;
    return store == AC_STORE_ACT ? sizeof(cuda_bf16) : sizeof(float);
}

static ac_status no_memory(cuda_device *d, size_t bytes, cudaError_t e, ac_err *err)
{
    size_t left = 0, all = 0;
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&left, &all);
    return d->host->fail(err, AC_ENOMEM, "%s: %.1f MiB cannot be had (%s; %.1f of %.1f MiB are free); lower "
                         "method.micro_tokens, or allow method.recompute", d->name, (double)bytes / 1048576.0,
                         cudaGetErrorString(e), (double)left / 1048576.0, (double)all / 1048576.0);
}

static ac_status buf_new(cuda_device *d, ac_buf **out, size_t bytes, size_t width, ac_err *err)
{
    ac_buf *b = d->host->alloc(1, sizeof *b);
    if (!b) return d->host->fail(err, AC_ENOMEM, "out of memory (%zu bytes wanted)", sizeof *b);
    void *p = NULL;
    const cudaError_t e = cudaMalloc(&p, bytes ? bytes : 1);
    if (e != cudaSuccess) {
        d->host->release(b);
        return no_memory(d, bytes, e, err);
    }
    b->ptr = p;
    b->bytes = bytes;
    b->width = width;
    *out = b;
    return AC_OK;
}

static void buf_free(cuda_device *d, ac_buf *b)
{
    (void)cudaStreamSynchronize(d->stream);
    cuda_passes_forget(d);
    cuda_weights_closed(d, b);
    note_held(d, b->bytes);
    (void)cudaFree(b->ptr);
    (void)cudaFree(b->narrow);
    d->host->release(b);
}

static ac_status buf_open(ac_device *dev, ac_buf **out, size_t n, ac_store store, ac_err *err)
{
    const size_t width = store_bytes(dev, store);
    if (n > SIZE_MAX / width) return cuda_of(dev)->host->fail(err, AC_ENOMEM, "out of memory: too large to count");
    return buf_new(cuda_of(dev), out, n * width, width, err);
}

static ac_buf **kept_of(cuda_device *d, const void *host)
{
    ac_buf **at = &d->kept;
    while (*at && (*at)->host != host) at = &(*at)->next;
    return at;
}

static ac_status copy_in(cuda_device *d, ac_buf *b, const void *host, ac_err *err)
{
    const cudaError_t e = cuda_upload(d, b->ptr, host, b->bytes);
    b->narrow_fresh = false;
    return e == cudaSuccess ? AC_OK : d->host->fail(err, AC_ESTATE, "%s: a copy failed: %s", d->name, cudaGetErrorString(e));
}

/* What was borrowed to be written last, for the next of that size: decoding takes one a token. */
static ac_buf *take_spare(cuda_device *d, size_t bytes)
{
    ac_buf *b = d->spare;
    if (!b || b->bytes != bytes) return NULL;
    d->spare = NULL;
    return b;
}

static void leave_spare(cuda_device *d, ac_buf *b)
{
    if (d->spare) buf_free(d, d->spare);
    d->spare = b;
}

/* What the host gets back never depends on what lay in that memory before. */
static ac_status cleared(cuda_device *d, ac_buf *b, ac_err *err)
{
    const cudaError_t e = cudaMemsetAsync(b->ptr, 0, b->bytes, d->stream);
    return e == cudaSuccess ? AC_OK : d->host->fail(err, AC_ESTATE, "%s: memory cannot be cleared: %s", d->name, cudaGetErrorString(e));
}

static ac_status buf_borrow(ac_device *dev, ac_buf **out, void *host, size_t bytes, ac_borrow mode, ac_err *err)
{
    cuda_device *d = cuda_of(dev);
    ac_buf *kept = *kept_of(d, host);
    if (kept) {
        *out = kept;
        return AC_OK;
    }
    ac_buf *b = mode == AC_BORROW_WRITE ? take_spare(d, bytes) : NULL;
    ac_status st = b ? AC_OK : buf_new(d, &b, bytes, sizeof(float), err);
    if (!st && (mode & AC_BORROW_READ)) st = copy_in(d, b, host, err);
    else if (!st && !b->host) st = cleared(d, b, err);
    if (st) {
        if (b) buf_free(d, b);
        return st;
    }
    b->host = host;
    b->back = (mode & AC_BORROW_WRITE) != 0;
    *out = b;
    return AC_OK;
}

static void copy_back(cuda_device *d, ac_buf *b)
{
    if (d->st) return;
    (void)cuda_ok(d, cuda_download(d, b->host, b->ptr, b->bytes), "a copy");
}

static void buf_close(ac_device *dev, ac_buf **b)
{
    if (!b || !*b) return;
    cuda_device *d = cuda_of(dev);
    if (!(*b)->kept) {
        if ((*b)->back) copy_back(d, *b);
        if ((*b)->back && !(*b)->narrow) leave_spare(d, *b);
        else buf_free(d, *b);
    }
    *b = NULL;
}

/* ---- kept arrays (D6) -------------------------------------------------------------------------------- */

static ac_status keep(ac_device *dev, void *host, size_t bytes, ac_err *err)
{
    cuda_device *d = cuda_of(dev);
    ac_buf *b = NULL;
    if (*kept_of(d, host)) return d->host->fail(err, AC_ESTATE, "an array is kept on the device twice");
    ac_status st = buf_new(d, &b, bytes, sizeof(float), err);
    if (!st) st = copy_in(d, b, host, err);
    if (st) {
        if (b) buf_free(d, b);
        return st;
    }
    b->host = host;
    b->kept = true;
    b->next = d->kept;
    d->kept = b;
    return AC_OK;
}

static void pull(ac_device *dev, void *host)
{
    ac_buf *b = *kept_of(cuda_of(dev), host);
    if (b) copy_back(cuda_of(dev), b);
}

static void push(ac_device *dev, void *host)
{
    cuda_device *d = cuda_of(dev);
    ac_buf *b = *kept_of(d, host);
    if (!b || d->st) return;
    (void)cuda_ok(d, cudaMemcpyAsync(b->ptr, host, b->bytes, cudaMemcpyHostToDevice, d->stream), "a copy");
    b->narrow_fresh = false;
}

static void let_go(ac_device *dev, void *host)
{
    cuda_device *d = cuda_of(dev);
    ac_buf **at = kept_of(d, host), *b = *at;
    if (!b) return;
    *at = b->next;
    buf_free(d, b);
}

/* ---- copies ------------------------------------------------------------------------------------------ */

/* A float array on the device for the length of a conversion. */
static float *temporary(cuda_device *d, size_t n)
{
    void *p = NULL;
    return cuda_ok(d, cudaMallocAsync(&p, n * sizeof(float), d->stream), "memory for a copy") ? p : NULL;
}

static void write_to(ac_device *dev, ac_ref to, const void *from, size_t n)
{
    cuda_device *d = cuda_of(dev);
    if (!n || d->st) return;
    cuda_wrote(to);
    const bool narrow = to.buf->width == sizeof(cuda_bf16);
    float *at = narrow ? temporary(d, n) : cuda_f32(to);
    if (!at) return;
    (void)cuda_ok(d, cudaMemcpyAsync(at, from, n * sizeof(float), cudaMemcpyHostToDevice, d->stream), "a copy");
    if (!narrow) return;
    k_narrow(d->stream, cuda_act(to), at, n);
    cuda_launched(d, "a conversion");
    (void)cudaFreeAsync(at, d->stream);
}

static void read_from(ac_device *dev, void *to, ac_ref from, size_t n)
{
    cuda_device *d = cuda_of(dev);
    if (!n || d->st) return;
    const bool narrow = from.buf->width == sizeof(cuda_bf16);
    float *at = narrow ? temporary(d, n) : cuda_f32(from);
    if (!at) return;
    if (narrow) {
        k_widen(d->stream, at, cuda_act(from), n);
        cuda_launched(d, "a conversion");
    }
    (void)cuda_ok(d, cudaMemcpyAsync(to, at, n * sizeof(float), cudaMemcpyDeviceToHost, d->stream), "a copy");
    if (narrow) (void)cudaFreeAsync(at, d->stream);
    (void)cuda_ok(d, cudaStreamSynchronize(d->stream), "a copy");
}

static void copy_on(ac_device *dev, ac_ref to, ac_ref from, size_t n)
{
    cuda_device *d = cuda_of(dev);
    if (!n || d->st) return;
    cuda_wrote(to);
    (void)cuda_ok(d, cudaMemcpyAsync(cuda_at(to), cuda_at(from), n * to.buf->width, cudaMemcpyDeviceToDevice, d->stream),
                  "a copy");
}

static void zero(ac_device *dev, ac_ref to, size_t n)
{
    cuda_device *d = cuda_of(dev);
    if (!n || d->st) return;
    cuda_wrote(to);
    (void)cuda_ok(d, cudaMemsetAsync(cuda_at(to), 0, n * to.buf->width, d->stream), "zeroing");
}

static void add_to(ac_device *dev, ac_ref to, ac_ref from, size_t n)
{
    cuda_device *d = cuda_of(dev);
    if (!n || d->st) return;
    k_add(d->stream, cuda_f32(to), cuda_f32(from), n);
    cuda_launched(d, "a sum");
    cuda_wrote(to);
}

const void *cuda_table_at(cuda_device *d, cuda_table_slot slot, const void *host, size_t bytes)
{
    cuda_table *t = &d->table[slot];
    if (d->st) return NULL;
    if (t->host && t->bytes == bytes && memcmp(t->host, host, bytes) == 0) return t->dev;
    if (t->room < bytes) {
        d->host->release(t->host);
        (void)cudaStreamSynchronize(d->stream);
        cuda_passes_forget(d);
        (void)cudaFree(t->dev);
        *t = (cuda_table){ .host = d->host->alloc(1, bytes) };
        if (!t->host) {
            cuda_fail(d, AC_ENOMEM, "out of memory (%zu bytes wanted)", bytes);
            return NULL;
        }
        if (!cuda_ok(d, cudaMalloc(&t->dev, bytes), "memory for a table")) return NULL;
        t->room = bytes;
    }
    memcpy(t->host, host, bytes);
    t->bytes = bytes;
    if (!cuda_ok(d, cudaMemcpyAsync(t->dev, t->host, bytes, cudaMemcpyHostToDevice, d->stream), "a copy")) return NULL;
    return t->dev;
}

void cuda_wrote(ac_ref r)
{
    r.buf->narrow_fresh = false;
}

const cuda_bf16 *cuda_narrow(cuda_device *d, ac_ref r)
{
    ac_buf *b = r.buf;
    if (d->st) return NULL;
    const size_t n = b->bytes / sizeof(float);
    if (!b->narrow) {
        void *p = NULL;
        if (!cuda_ok(d, cudaMalloc(&p, n * sizeof(cuda_bf16)), "memory for rounded parameters")) return NULL;
        b->narrow = p;
    }
    if (!b->narrow_fresh) {
        k_narrow(d->stream, b->narrow, (const float *)(const void *)b->ptr, n);
        cuda_launched(d, "a conversion");
        b->narrow_fresh = true;
    }
    return b->narrow + r.at;
}

/* ---- what there is ----------------------------------------------------------------------------------- */

static bool supports(const ac_device *dev, ac_op op, ac_dtype type)
{
    (void)dev;
    return op != AC_OP_WEIGHT_GRAD && type <= AC_NF4;
}

static const char *lacks(const ac_device *dev, const ac_shape *s)
{
    (void)dev;
    if (s->weights) return "training of all weights";
    if (s->dora) return "DoRA";
    if (!cuda_head_dim_ok(s->head_dim)) return "attention with heads of this width (it has 16, 32, 64, 96 and 128)";
    if (s->hidden % 8 || s->ffn % 8 || s->rank % 8) return "rows that are not a multiple of 8 wide (hidden, ffn, rank)";
    if (s->vocab % 8) return "a vocabulary that is no multiple of 8";
    return NULL;
}

static bool has_rule(const ac_device *dev, ac_rule rule, ac_state_type state)
{
    (void)dev;
    return rule == AC_RULE_ADAMW && state == AC_STATE_F32;
}

static bool set_numerics(ac_device *dev, ac_numerics n)
{
    (void)dev;
    return n == AC_NUM_CUDA_BF16;
}

/* What others hold of the GPU is told from our context by size alone: a context is never as large as CONTEXT_MOST. */
#define CONTEXT_MOST ((size_t)1 << 30)

/* Sampled when there is more than ever: at the end of a step, and before something large goes. */
static ac_device_memory memory(const ac_device *dev)
{
    const cuda_device *d = (const cuda_device *)(const void *)dev;
    size_t left = 0, all = 0;
    if (cudaMemGetInfo(&left, &all) != cudaSuccess) return (ac_device_memory){ .free = 0 };
    const size_t used = all - left, held = used > d->used_first ? used - d->used_first : 0;
    const size_t context = d->used_first < CONTEXT_MOST ? d->used_first : CONTEXT_MOST;
    const size_t most = held > d->held_most ? held : d->held_most;
    return (ac_device_memory){ .free = left, .context = context, .held = held, .peak = context + most };
}

static void note_held(cuda_device *d, size_t going)
{
    if (going < CUDA_NOTED) return;
    const ac_device_memory m = memory(&d->base);
    if (m.held > d->held_most) d->held_most = m.held;
}

static size_t own_bytes(const ac_device *dev)
{
    return CUDA_LATER + ((const cuda_device *)(const void *)dev)->wide.need;
}

static void take_own(ac_device *dev)
{
    (void)cuda_wide_take(cuda_of(dev), cuda_of(dev)->wide.need);
}

/* ---- operations -------------------------------------------------------------------------------------- */

static bool is_f32(ac_ref r)
{
    return r.buf && r.buf->width == sizeof(float);
}

static void norm(ac_device *dev, const ac_norm_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    k_norm(d->stream, cuda_act(a->y), a->add.buf ? cuda_f32(a->sum) : NULL, cuda_at(a->x), is_f32(a->x), cuda_act(a->add),
           cuda_f32(a->w), NULL, a->rows, a->cols, a->eps);
    cuda_launched(d, "a norm");
}

static void norm_grad(ac_device *dev, const ac_norm_grad_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    k_norm_grad(d->stream, cuda_act(a->dx), cuda_act(a->dy), cuda_at(a->x), is_f32(a->x), cuda_f32(a->w), NULL, a->rows,
                a->cols, a->eps, a->accumulate);
    cuda_launched(d, "a norm's gradient");
}

static void rotary(ac_device *dev, const ac_rotary_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    k_rotary(d->stream, cuda_act(a->q), cuda_act(a->k), cuda_at(a->pos), cuda_f32(a->cos_table), cuda_f32(a->sin_table),
             a->rows, a->n_heads, a->n_kv_heads, a->head_dim, a->inverse);
    cuda_launched(d, "the rotary embedding");
}

void cuda_gated(ac_device *dev, const ac_gated_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    k_gated(d->stream, cuda_act(a->y), cuda_act(a->g), cuda_act(a->u), a->n);
    cuda_launched(d, "the gated unit");
}

void cuda_gated_grad(ac_device *dev, const ac_gated_grad_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    k_gated_grad(d->stream, cuda_act(a->dg), cuda_act(a->du), a->y.buf ? cuda_act(a->y) : NULL, cuda_act(a->dy), cuda_act(a->g),
                 cuda_act(a->u), a->n);
    cuda_launched(d, "the gated unit's gradient");
}

static bool room_for_sums(cuda_device *d, size_t n)
{
    if (n <= d->sums_room) return true;
    (void)cudaStreamSynchronize(d->stream);
    (void)cudaFree(d->sums);
    d->sums = NULL;
    d->sums_room = 0;
    void *p = NULL;
    if (!cuda_ok(d, cudaMalloc(&p, n * sizeof(double)), "memory for sums")) return false;
    d->sums = p;
    d->sums_room = n;
    return true;
}

static void sum_squares(ac_device *dev, const ac_span *part, size_t n, double *out)
{
    cuda_device *d = cuda_of(dev);
    memset(out, 0, n * sizeof *out);
    if (!n || d->st || !room_for_sums(d, n)) return;
    cuda_span *spans = d->host->alloc(n, sizeof *spans);
    if (!spans) {
        cuda_fail(d, AC_ENOMEM, "out of memory (%zu bytes wanted)", n * sizeof *spans);
        return;
    }
    for (size_t i = 0; i < n; i++) spans[i] = (cuda_span){ cuda_f32(part[i].at), part[i].n };
    const cuda_span *table = cuda_table_at(d, TABLE_SPANS, spans, n * sizeof *spans);
    d->host->release(spans);
    if (!table) return;
    k_sum_squares(d->stream, table, n, d->sums);
    cuda_launched(d, "a sum of squares");
    (void)cuda_ok(d, cudaMemcpyAsync(out, d->sums, n * sizeof *out, cudaMemcpyDeviceToHost, d->stream), "a copy");
    (void)cuda_ok(d, cudaStreamSynchronize(d->stream), "a sum of squares");
}

static void optim(ac_device *dev, const ac_optim_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    if (!has_rule(dev, a->rule, a->state)) {
        cuda_fail(d, AC_ESTATE, "%s has no such optimizer", d->name);
        return;
    }
    k_adamw(d->stream, cuda_f32(a->p), (float *)(void *)a->m.data->ptr + a->m.at, (float *)(void *)a->v.data->ptr + a->v.at,
            cuda_f32(a->g), a->n, a->grad_scale, a->keep, a->b1, a->one_minus_b1, a->b2, a->one_minus_b2, a->step,
            a->inv_sqrt_bc2, a->eps);
    cuda_launched(d, "the optimizer");
    cuda_wrote(a->p);
}

/* What lacks() refused before: these are reached only by a caller that did not ask. */
static void none(ac_device *dev, const char *what)
{
    cuda_fail(cuda_of(dev), AC_ESTATE, "%s: %s is not there on this device", cuda_of(dev)->name, what);
}
static void no_dora_norm(ac_device *dev, const ac_dora_norm_args *a) { (void)a; none(dev, "DoRA"); }
static void no_weight_grad(ac_device *dev, const ac_weight_grad_args *a) { (void)a; none(dev, "a weight's gradient"); }
static void no_norm_weight_grad(ac_device *dev, const ac_norm_weight_grad_args *a) { (void)a; none(dev, "a weight's gradient"); }
static void no_embed_grad(ac_device *dev, const ac_embed_grad_args *a) { (void)a; none(dev, "a weight's gradient"); }
static void no_output_grad(ac_device *dev, const ac_output_grad_args *a) { (void)a; none(dev, "a weight's gradient"); }
static void no_muon(ac_device *dev, const ac_muon_args *a) { (void)a; none(dev, "Muon"); }
static void no_adafactor(ac_device *dev, const ac_adafactor_args *a) { (void)a; none(dev, "Adafactor"); }

/* ---- life -------------------------------------------------------------------------------------------- */

static void close_device(ac_device **dev)
{
    cuda_device *d = cuda_of(*dev);
    void (*release)(void *) = d->host->release;
    if (d->stream) (void)cudaStreamSynchronize(d->stream);
    cuda_peers_ops.close(*dev, false);
    cuda_passes_forget(d);
    while (d->kept) let_go(*dev, d->kept->host);
    if (d->spare) buf_free(d, d->spare);
    cuda_plans_close(d);
    for (size_t i = 0; i < CUDA_TABLES; i++) {
        release(d->table[i].host);
        (void)cudaFree(d->table[i].dev);
    }
    cuda_upload_close(d);
    (void)cudaFree(d->wide.ptr);
    (void)cudaFree(d->sums);
    (void)cudaFree(d->flag);
    (void)cudaFree(d->lt_space);
    if (d->lt) (void)cublasLtDestroy(d->lt);
    if (d->stream) (void)cudaStreamDestroy(d->stream);
    release(d);
    *dev = NULL;
}

static const ac_device_ops ops = {
    .buf_open = buf_open, .buf_borrow = buf_borrow, .buf_close = buf_close, .store_bytes = store_bytes,
    .keep = keep, .pull = pull, .push = push, .let_go = let_go,
    .write = write_to, .read = read_from, .copy = copy_on, .zero = zero, .add = add_to, .sync = sync_device,
    .supports = supports, .lacks = lacks, .has_rule = has_rule, .set_numerics = set_numerics,
    .scratch_floats = cuda_scratch_floats, .memory = memory, .own_bytes = own_bytes, .take_own = take_own,
    .prepare = cuda_prepare, .unprepare = cuda_unprepare, .prepared_bytes = cuda_prepared_bytes,
    .embed = cuda_embed, .norm = norm, .norm_grad = norm_grad,
    .linear = cuda_linear, .linears = cuda_linears, .linear_grad = cuda_linear_grad,
    .linear_grads = cuda_linear_grads, .gated_linear_grad = cuda_gated_linear_grad, .adapter_grad = cuda_adapter_grad,
    .rotary = rotary, .attention = cuda_attention, .attention_grad = cuda_attention_grad,
    .gated = cuda_gated, .gated_linears = cuda_gated_linears, .gated_grad = cuda_gated_grad, .output = cuda_output, .loss = cuda_loss,
    .sum_squares = sum_squares, .all_finite = cuda_all_finite, .optim = optim,
    .dora_norm = no_dora_norm, .attention_kv = cuda_attention_kv, .weight_grad = no_weight_grad,
    .norm_weight_grad = no_norm_weight_grad, .embed_grad = no_embed_grad, .output_grad = no_output_grad,
    .muon = no_muon, .adafactor = no_adafactor,
    .largest = cuda_largest, .pass_begin = cuda_pass_begin, .pass_end = cuda_pass_end,
    .peers = &cuda_peers_ops,
    .close = close_device,
};

static ac_status open_parts(cuda_device *d, ac_err *err)
{
    void *p = NULL;
    bool ok = cuda_ok(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "a stream");
    if (ok && cublasLtCreate(&d->lt) != CUBLAS_STATUS_SUCCESS) {
        cuda_fail(d, AC_ESTATE, "%s: cuBLASLt does not start", d->name);
        ok = false;
    }
    ok = ok && cuda_ok(d, cudaMalloc(&d->lt_space, CUDA_LT_SPACE), "memory for products");
    if (ok && cuda_ok(d, cudaMalloc(&p, sizeof *d->flag), "memory for a flag")) d->flag = p;
    size_t left = 0, all = 0;
    if (ok && cuda_ok(d, cudaMemGetInfo(&left, &all), "asking for memory")) d->used_first = all - left;
    return d->st ? d->host->fail(err, d->st, "%s", d->why) : AC_OK;
}

static ac_status open_device(ac_device **out, const ac_cuda_host *host, int ordinal, ac_err *err)
{
    int count = 0;
    struct cudaDeviceProp prop;
    cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess)
        return host->fail(err, AC_ENOENT, "no GPU can be used: %s", cudaGetErrorString(e));
    if (ordinal < 0 || ordinal >= count)
        return host->fail(err, AC_ENOENT, "there is no GPU number %d; this machine has %d, counted from 0", ordinal, count);
    e = cudaSetDevice(ordinal);
    if (e == cudaSuccess) e = cudaGetDeviceProperties(&prop, ordinal);
    if (e != cudaSuccess) return host->fail(err, AC_ENOENT, "GPU number %d: %s", ordinal, cudaGetErrorString(e));
    if (prop.major < 8)
        return host->fail(err, AC_ENOENT, "%s has compute capability %d.%d; bfloat16 products need 8.0", prop.name,
                          prop.major, prop.minor);
    cuda_device *d = host->alloc(1, sizeof *d);
    if (!d) return host->fail(err, AC_ENOMEM, "out of memory (%zu bytes wanted)", sizeof *d);
    d->host = host;
    d->ordinal = ordinal;
    d->processors = (unsigned)prop.multiProcessorCount;
    d->shared = prop.sharedMemPerBlockOptin;
    cuda_early = prop.major >= 9;
    d->hopper = prop.major == 9 && k_segments_built();
    (void)snprintf(d->name, sizeof d->name, "cuda %.100s", prop.name);
    d->base = (ac_device){ .op = &ops, .name = d->name, .call_tokens = 16384, .keeps_norms = true,
                           .feed_rows = CUDA_THIN_ROWS };
    const ac_status st = open_parts(d, err);
    ac_device *dev = &d->base;
    if (st) close_device(&dev);
    else *out = dev;
    return st;
}

__attribute__((visibility("default"))) const ac_cuda_library *accord_cuda_library(void);

const ac_cuda_library *accord_cuda_library(void)
{
    static const ac_cuda_library library = { AC_CUDA_ABI, sizeof(ac_device_ops), ACCORD_VERSION, open_device };
    return &library;
}
