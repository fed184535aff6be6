/* backend/cpu_attention.c - attention over packed documents and over a KV cache.
 * A query's result depends on its own keys alone (kernels.h), so queries, heads and documents may be cut
 * into tasks in any way; the gradient's smallest piece is a document's key/value head. */
#include <string.h>
#include "backend/cpu_int.h"

enum { QUERY_BLOCK = 128 };    /* queries a task */

/* Runs n tasks, all on the caller when the work does not pay for waking others. */
typedef struct {
    ac_pool_fn *fn;
    void *ctx;
    size_t n;
} all_job;

static void all_tasks(void *ctx, size_t task, size_t worker)
{
    AC_UNUSED(task);
    const all_job *j = ctx;
    for (size_t i = 0; i < j->n; i++) j->fn(j->ctx, i, worker);
}

static void run_tasks(ac_cpu_device *d, size_t n, size_t work, ac_pool_fn *fn, void *ctx)
{
    if (work >= 32768 && d->threads > 1) {
        ac_pool_run(d->pool, n, fn, ctx);
        return;
    }
    all_job j = { fn, ctx, n };
    ac_pool_run(d->pool, 1, all_tasks, &j);
}

/* ---- packed documents -------------------------------------------------------------------------------- */

typedef struct {
    ac_cpu_device *d;
    const ac_attention_args *a;
} attention_job;

static void attention_task(void *ctx, size_t task, size_t worker)
{
    AC_UNUSED(worker);
    const attention_job *j = ctx;
    const ac_attention_args *a = j->a;
    size_t doc = 0, blocks;
    for (;; doc++) {                             /* tasks are numbered by document, head, block */
        blocks = (a->docs[doc].n + QUERY_BLOCK - 1) / QUERY_BLOCK;
        if (task < blocks * a->n_heads) break;
        task -= blocks * a->n_heads;
    }
    const size_t head = task / blocks, q0 = task % blocks * QUERY_BLOCK;
    const size_t kv = head / (a->n_heads / a->n_kv_heads), hd = a->head_dim;
    const ac_doc_rows *r = &a->docs[doc];
    ac_attn_args p = {
        .q_stride = a->n_heads * hd, .k_stride = a->n_kv_heads * hd, .v_stride = a->n_kv_heads * hd,
        .n_q = r->n - q0 < QUERY_BLOCK ? r->n - q0 : QUERY_BLOCK, .q_pos = q0, .head_dim = hd,
        .window = a->window, .scale = a->scale, .out_stride = a->n_heads * hd,
    };
    p.q = cpu_f32(a->q) + (r->first + q0) * p.q_stride + head * hd;
    p.k = cpu_f32(a->k) + r->first * p.k_stride + kv * hd;
    p.v = cpu_f32(a->v) + r->first * p.v_stride + kv * hd;
    p.out = cpu_f32(a->out) + (r->first + q0) * p.out_stride + head * hd;
    p.lse = a->lse.buf ? cpu_f32(a->lse) + head * a->rows + r->first + q0 : NULL;
    j->d->k.attn_forward(&p);
}

void cpu_attention(ac_device *dev, const ac_attention_args *a)
{
    attention_job j = { cpu_of(dev), a };
    size_t tasks = 0, work = 0;
    for (size_t i = 0; i < a->n_docs; i++) {
        tasks += (a->docs[i].n + QUERY_BLOCK - 1) / QUERY_BLOCK * a->n_heads;
        work += a->docs[i].n * a->docs[i].n * a->head_dim * a->n_heads;
    }
    run_tasks(j.d, tasks, work, attention_task, &j);
}

typedef struct {
    ac_cpu_device *d;
    const ac_attention_grad_args *a;
    float *scratch;
    size_t scratch_each;
} attention_grad_job;

static void attention_grad_task(void *ctx, size_t task, size_t worker)
{
    const attention_grad_job *j = ctx;
    const ac_attention_args *f = &j->a->fwd;
    const ac_doc_rows *r = &f->docs[task / f->n_kv_heads];
    const size_t kv = task % f->n_kv_heads, hd = f->head_dim, group = f->n_heads / f->n_kv_heads;
    const size_t qw = f->n_heads * hd, kw = f->n_kv_heads * hd;
    const size_t q_at = r->first * qw + kv * group * hd, k_at = r->first * kw + kv * hd;
    const ac_attn_grad_args p = {
        .q = cpu_f32(f->q) + q_at, .k = cpu_f32(f->k) + k_at, .v = cpu_f32(f->v) + k_at,
        .out = cpu_f32(f->out) + q_at, .dout = cpu_f32(j->a->dout) + q_at,
        .lse = cpu_f32(f->lse) + kv * group * f->rows + r->first,
        .q_stride = qw, .k_stride = kw, .v_stride = kw, .out_stride = qw, .dout_stride = qw,
        .lse_stride = f->rows, .n = r->n, .head_dim = hd, .group = group, .window = f->window,
        .scale = f->scale,
        .dq = cpu_f32(j->a->dq) + q_at, .dk = cpu_f32(j->a->dk) + k_at, .dv = cpu_f32(j->a->dv) + k_at,
        .dq_stride = qw, .dk_stride = kw, .dv_stride = kw,
        .scratch = j->scratch + worker * j->scratch_each,
    };
    j->d->k.attn_grad(&p);
}

void cpu_attention_grad(ac_device *dev, const ac_attention_grad_args *a)
{
    attention_grad_job j = { cpu_of(dev), a, cpu_f32(a->scratch), 0 };
    const ac_attention_args *f = &a->fwd;
    size_t longest = 0, work = 0;
    for (size_t i = 0; i < f->n_docs; i++) {
        if (f->docs[i].n > longest) longest = f->docs[i].n;
        work += f->docs[i].n * f->docs[i].n * f->head_dim * f->n_heads;
    }
    j.scratch_each = ac_attn_scratch_floats(longest, f->head_dim, f->n_heads / f->n_kv_heads);
    run_tasks(j.d, f->n_docs * f->n_kv_heads, work, attention_grad_task, &j);
}

/* ---- cache --------------------------------------------------------------------------------------------- */

typedef struct {
    ac_cpu_device *d;
    const ac_attention_kv_args *a;
} kv_job;

static void kv_store(void *ctx, size_t from, size_t to, size_t worker)
{
    AC_UNUSED(worker);
    const kv_job *j = ctx;
    const ac_attention_kv_args *a = j->a;
    const size_t kw = a->n_kv_heads * a->head_dim;
    for (size_t i = from; i < to; i++) {
        const ac_feed_rows *f = &a->feeds[i];
        const size_t at = (f->slot * a->slot_rows + f->pos) * kw;
        memcpy(cpu_f32(a->k_cache) + at, cpu_f32(a->k) + f->first * kw, f->n * kw * sizeof(float));
        memcpy(cpu_f32(a->v_cache) + at, cpu_f32(a->v) + f->first * kw, f->n * kw * sizeof(float));
    }
}

/* Of one query the heads that share keys go together, so that these are turned once. */
static size_t kv_tasks(const ac_attention_kv_args *a, const ac_feed_rows *f)
{
    return f->n == 1 ? a->n_kv_heads : (f->n + QUERY_BLOCK - 1) / QUERY_BLOCK * a->n_heads;
}

static void kv_task(void *ctx, size_t task, size_t worker)
{
    AC_UNUSED(worker);
    const kv_job *j = ctx;
    const ac_attention_kv_args *a = j->a;
    size_t i = 0;
    for (; task >= kv_tasks(a, &a->feeds[i]); i++) task -= kv_tasks(a, &a->feeds[i]);
    const ac_feed_rows *f = &a->feeds[i];
    const size_t group = a->n_heads / a->n_kv_heads, hd = a->head_dim;
    const size_t blocks = (f->n + QUERY_BLOCK - 1) / QUERY_BLOCK, q0 = task % blocks * QUERY_BLOCK;
    const size_t head = f->n == 1 ? task * group : task / blocks, kv = head / group;
    ac_attn_args p = {
        .q_stride = a->n_heads * hd, .k_stride = a->n_kv_heads * hd, .v_stride = a->n_kv_heads * hd,
        .n_q = f->n - q0 < QUERY_BLOCK ? f->n - q0 : QUERY_BLOCK, .q_pos = f->pos + q0, .head_dim = hd,
        .window = a->window, .scale = a->scale, .out_stride = a->n_heads * hd, .lse = NULL,
    };
    const size_t cache_at = f->slot * a->slot_rows * p.k_stride + kv * hd;
    p.q = cpu_f32(a->q) + (f->first + q0) * p.q_stride + head * hd;
    p.k = cpu_f32(a->k_cache) + cache_at;
    p.v = cpu_f32(a->v_cache) + cache_at;
    p.out = cpu_f32(a->out) + (f->first + q0) * p.out_stride + head * hd;
    if (f->n == 1) {
        p.one_pos = true;
        p.n_q = group;
        p.q_stride = p.out_stride = hd;
    }
    j->d->k.attn_forward(&p);
}

void cpu_attention_kv(ac_device *dev, const ac_attention_kv_args *a)
{
    kv_job j = { cpu_of(dev), a };
    size_t tasks = 0, work = 0, rows = 0;
    if (a->rotary) dev->op->rotary(dev, a->rotary);
    for (size_t i = 0; i < a->n_feeds; i++) {
        const ac_feed_rows *f = &a->feeds[i];
        tasks += kv_tasks(a, f);
        work += f->n * (f->pos + f->n) * a->head_dim * a->n_heads;
        rows += f->n;
    }
    if (tasks == 0) return;
    cpu_for(j.d, a->n_feeds, cpu_grain(rows * a->n_kv_heads * a->head_dim / a->n_feeds / 4), kv_store, &j);
    run_tasks(j.d, tasks, work, kv_task, &j);
}
