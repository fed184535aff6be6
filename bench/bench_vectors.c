/* exp, silu and softmax beside libm, RMS norm, and attention. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bench.h"

enum { N = 4096, COLS = 576, ROWS = 512 };

typedef struct {
    env *e;
    float *x, *y, *z, *w;
    volatile float sink;
} vectors;

static void our_exp(void *ctx)
{
    vectors *v = ctx;
    v->e->kernels.exp(v->y, v->x, N);
}

static void libm_exp(void *ctx)
{
    vectors *v = ctx;
    for (size_t i = 0; i < N; i++) v->y[i] = expf(v->x[i]);
}

static void our_silu(void *ctx)
{
    vectors *v = ctx;
    v->e->kernels.swiglu(v->y, v->x, v->z, N);
}

static void libm_silu(void *ctx)
{
    vectors *v = ctx;
    for (size_t i = 0; i < N; i++) v->y[i] = v->x[i] / (1.0f + expf(-v->x[i])) * v->z[i];
}

static void our_softmax(void *ctx)
{
    vectors *v = ctx;
    v->e->kernels.softmax(v->y, v->x, N);
}

static void libm_softmax(void *ctx)
{
    vectors *v = ctx;
    float most = v->x[0], sum = 0;
    for (size_t i = 1; i < N; i++) most = v->x[i] > most ? v->x[i] : most;
    for (size_t i = 0; i < N; i++) sum += v->y[i] = expf(v->x[i] - most);
    for (size_t i = 0; i < N; i++) v->y[i] /= sum;
}

static void our_rmsnorm(void *ctx)
{
    vectors *v = ctx;
    v->e->kernels.rmsnorm(v->y, v->x, v->w, ROWS, COLS, 1e-5f);
}

/* Distance in units of the last place of the exact result, over [-87, 88]. */
static double exp_ulp(const env *e)
{
    double worst = 0;
    float x[256], y[256];
    for (size_t i = 0; i < 4000; i++) {
        for (size_t j = 0; j < 256; j++)
            x[j] = -87.0f + 175.0f * (float)((i * 256 + j) * 2654435761u % 1048573u) / 1048573.0f;
        e->kernels.exp(y, x, 256);
        for (size_t j = 0; j < 256; j++) {
            const double want = exp((double)x[j]);
            int exponent;
            (void)frexp(want, &exponent);
            const double ulp = ldexp(1.0, exponent - 24), off = fabs((double)y[j] - want) / ulp;
            if (off > worst) worst = off;
        }
    }
    return worst;
}

void bench_vectors(bench *b, env *e)
{
    static bool filled;
    if (e->threads > 1) return;                           /* slots are single-threaded */
    vectors v = { .e = e, .x = b->a, .y = b->c, .z = b->a + ROWS * COLS, .w = b->a + 2 * ROWS * COLS };
    static float x[N];
    if (!filled) {
        for (size_t i = 0; i < N; i++) x[i] = (float)(i * 2654435761u % 2003u) * 0.01f - 10.0f;
        filled = true;
    }
    bench_add(bench_figure(b, e, &(demand){ "rmsnorm", "512 x 576, read and written", "GB/s", 0, 0, false }), e,
              2.0 * ROWS * COLS * 4 / 1e9 * 100 / bench_seconds(e, our_rmsnorm, &v, 100));
    v.x = x;
    bench_add(bench_figure(b, e, &(demand){ "exp.times", "against libm", "x", 5, 0, false }), e,
              bench_times(e, our_exp, &v, libm_exp, &v));
    bench_add(bench_figure(b, e, &(demand){ "silu.times", "gated unit, against libm", "x", 5, 0, false }), e,
              bench_times(e, our_silu, &v, libm_silu, &v));
    bench_add(bench_figure(b, e, &(demand){ "softmax.times", "against libm", "x", 5, 0, false }), e,
              bench_times(e, our_softmax, &v, libm_softmax, &v));
    figure *f = bench_figure(b, e, &(demand){ "exp.ulp", "largest error", "ulp", 1.1, 0, true });
    if (!f->n) bench_add(f, e, exp_ulp(e));               /* the same in every round */
    memset(b->c, 0, N * sizeof *b->c);
}

/* ---- attention --------------------------------------------------------------------------------------------- */

typedef struct {
    env *e;
    size_t n, docs;
    ac_attn_args fwd;
    ac_attn_grad_args grad;
} attention;

enum { HEAD = 64, HEADS = 9, KV_HEADS = 3, TOKENS = 512 };

static void one_head(void *ctx, size_t task, size_t worker)
{
    attention *a = ctx;
    const size_t doc = task / HEADS, h = task % HEADS, row = doc * a->n;
    ac_attn_args g = a->fwd;
    AC_UNUSED(worker);
    g.q += row * g.q_stride + h * HEAD;
    g.k += row * g.k_stride + h / (HEADS / KV_HEADS) * HEAD;
    g.v += row * g.v_stride + h / (HEADS / KV_HEADS) * HEAD;
    g.out += row * g.out_stride + h * HEAD;
    g.lse += h * TOKENS + row;
    a->e->kernels.attn_forward(&g);
}

static void one_group(void *ctx, size_t task, size_t worker)
{
    attention *a = ctx;
    const size_t doc = task / KV_HEADS, k = task % KV_HEADS, row = doc * a->n, h = k * (HEADS / KV_HEADS);
    ac_attn_grad_args g = a->grad;
    g.q += row * g.q_stride + h * HEAD;
    g.out += row * g.out_stride + h * HEAD;
    g.dout += row * g.dout_stride + h * HEAD;
    g.dq += row * g.dq_stride + h * HEAD;
    g.k += row * g.k_stride + k * HEAD;
    g.v += row * g.v_stride + k * HEAD;
    g.dk += row * g.dk_stride + k * HEAD;
    g.dv += row * g.dv_stride + k * HEAD;
    g.lse += h * TOKENS + row;
    g.scratch += worker * ac_attn_scratch_floats(a->n, HEAD, HEADS / KV_HEADS);
    a->e->kernels.attn_grad(&g);
}

static void run_forward(void *ctx)
{
    attention *a = ctx;
    ac_pool_run(a->e->pool, a->docs * HEADS, one_head, a);
}

static void run_grad(void *ctx)
{
    attention *a = ctx;
    ac_pool_run(a->e->pool, a->docs * KV_HEADS, one_group, a);
}

/* Work as counted for a causal triangle: two products of n*n/2*d forward, five backward, each fma as two. */
static void attention_over(bench *b, env *e, size_t n, const char *fwd_id, const char *grad_id)
{
    float *p = b->c;
    attention a = { .e = e, .n = n, .docs = TOKENS / n };
    const size_t wide = HEADS * HEAD, narrow = KV_HEADS * HEAD;
    const float scale = 0.125f;
    /* All operands in one place: q k v dout from the fixed numbers, the rest is written. */
    const float *q = b->a, *k = q + TOKENS * wide, *v = k + TOKENS * narrow, *dout = v + TOKENS * narrow;
    float *out = p, *lse = out + TOKENS * wide, *dq = lse + TOKENS * HEADS, *dk = dq + TOKENS * wide;
    float *dv = dk + TOKENS * narrow, *scratch = dv + TOKENS * narrow;
    a.fwd = (ac_attn_args){ .q = q, .k = k, .v = v, .q_stride = wide, .k_stride = narrow, .v_stride = narrow,
        .n_q = n, .head_dim = HEAD, .scale = scale, .out = out, .out_stride = wide, .lse = lse };
    a.grad = (ac_attn_grad_args){ .q = q, .k = k, .v = v, .out = out, .dout = dout, .lse = lse, .q_stride = wide,
        .k_stride = narrow, .v_stride = narrow, .out_stride = wide, .dout_stride = wide, .lse_stride = TOKENS, .n = n,
        .head_dim = HEAD, .group = HEADS / KV_HEADS, .scale = scale, .dq = dq, .dk = dk, .dv = dv, .dq_stride = wide,
        .dk_stride = narrow, .dv_stride = narrow, .scratch = scratch };
    const double pairs = (double)n * (double)(n + 1) / 2 * HEADS * (double)a.docs;
    bench_add(bench_figure(b, e, &(demand){ fwd_id, "causal, 9 heads of 64, 3 of keys, 512 tokens", "%", 0, 0, false }), e,
              bench_share(e, run_forward, &a, 4 * pairs * HEAD));
    bench_add(bench_figure(b, e, &(demand){ grad_id, "its gradient", "%", 0, 0, false }), e,
              bench_share(e, run_grad, &a, 10 * pairs * HEAD));
    memset(b->c, 0, (size_t)(scratch - b->c) * sizeof(float));
}

void bench_attention(bench *b, env *e)
{
    if (!e->main_tier) return;
    attention_over(b, e, 512, "attention.512", "attention.512.grad");
    attention_over(b, e, 64, "attention.64", "attention.64.grad");
}
