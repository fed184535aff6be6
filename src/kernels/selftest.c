/* kernels/selftest.c - does this CPU do what it claims? Each tier that it offers is run once a process on small
 * inputs, before anything else uses it, and its bytes are compared with ref's.
 *
 * Not a proof (checkkern is the test of the code): it catches a CPU, an emulator or a hypervisor that claims an
 * instruction and then lacks it, or computes it otherwise. An illegal instruction in the middle is caught and is
 * a finding like any other. All of it takes about two milliseconds. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/selftest_int.h"

enum { IN_FLOATS = 16384, OUT_FLOATS = 8192, WEIGHT_BYTES = 8192 };

/* What a check reads, and what it needs beside it. */
typedef struct {
    ac_mm_workspace *ws;
    float *in;               /* in (-1, 1) */
    uint8_t *weights;        /* stored numbers whose scales are finite */
    float *scratch;
} bench;

/* A check computes with the table that it is given and says how many floats it wrote to out. */
typedef size_t check_fn(const ac_kernels *k, const bench *b, float *out);

static size_t product(const ac_kernels *k, const bench *b, float *out, ac_mm_form form, ac_dtype type, size_t m,
                      size_t n, size_t depth, ac_numerics numerics)
{
    const size_t row = form == AC_MM_NT ? depth : n;
    const ac_matmul_args args = { .form = form, .m = m, .n = n, .k = depth, .a = b->in,
        .lda = form == AC_MM_TN ? m : depth, .b = type == AC_F32 ? (const void *)(b->in + 5000) : b->weights,
        .b_type = type, .c = out, .ldc = n, .numerics = numerics,
        .b_row_bytes = row / ac_dtype_block_elems(type) * ac_dtype_block_bytes(type) };
    k->matmul(&args, b->ws, 0);
    return m * n;
}

static size_t product_nt(const ac_kernels *k, const bench *b, float *out)
{
    return product(k, b, out, AC_MM_NT, AC_F32, 7, 19, 515, AC_NUM_FP32);      /* more than one block of k */
}

static size_t product_nn(const ac_kernels *k, const bench *b, float *out)
{
    return product(k, b, out, AC_MM_NN, AC_Q8_0, 15, 96, 33, AC_NUM_FP32);
}

static size_t product_tn(const ac_kernels *k, const bench *b, float *out)
{
    return product(k, b, out, AC_MM_TN, AC_F32, 18, 40, 21, AC_NUM_FP32);
}

static size_t product_one_row(const ac_kernels *k, const bench *b, float *out)
{
    return product(k, b, out, AC_MM_NT, AC_Q4_1, 1, 35, 96, AC_NUM_FP32);
}

/* The tiles' own way; that of the CPU's instruction is tested where it is timed (bf16.c). */
static size_t product_bf16(const ac_kernels *k, const bench *b, float *out)
{
    return product(k, b, out, AC_MM_NT, AC_F32, 6, 11, 515, AC_NUM_BF16);
}

static size_t stored_types(const ac_kernels *k, const bench *b, float *out)
{
    static const ac_dtype types[] = { AC_F16, AC_BF16, AC_Q8_0, AC_Q4_0, AC_Q4_1, AC_Q5_0, AC_Q5_1,
                                      AC_Q4_K, AC_Q5_K, AC_Q6_K };
    for (size_t i = 0; i < AC_COUNTOF(types); i++)
        k->expand_row(out + 256 * i, b->weights + 64 * i, types[i], 256);
    return 256 * AC_COUNTOF(types);
}

static size_t exponential(const ac_kernels *k, const bench *b, float *out)
{
    for (size_t i = 0; i < 203; i++) b->scratch[i] = b->in[i] * 105.0f;      /* to denormals, to 0 and to Inf */
    k->exp(out, b->scratch, 203);
    return 203;
}

static size_t logarithm(const ac_kernels *k, const bench *b, float *out)
{
    k->exp(b->scratch, b->in, 90);
    for (size_t i = 90; i < 99; i++) b->scratch[i] = (float)i * 0x1p-149f;
    k->log(out, b->scratch, 99);
    return 99;
}

static size_t norm(const ac_kernels *k, const bench *b, float *out)
{
    k->rmsnorm(out, b->in, b->in + 100, 3, 77, 1e-6f);
    k->rmsnorm_grad(out + 231, b->in + 300, b->in, b->in + 100, 3, 77, 1e-6f, false);
    return 462;
}

static size_t rotary(const ac_kernels *k, const bench *b, float *out)
{
    static const uint32_t pos[3] = { 0, 2, 1 };
    memcpy(out, b->in, 3 * 2 * 40 * sizeof *out);
    k->rope(out, 80, 3, 2, 40, pos, b->in + 400, b->in + 500, false);
    return 240;
}

static size_t gated_unit(const ac_kernels *k, const bench *b, float *out)
{
    k->swiglu(out, b->in, b->in + 100, 83);
    k->swiglu_grad(out + 83, out + 166, b->in + 200, b->in, b->in + 100, 83);
    return 249;
}

static size_t loss(const ac_kernels *k, const bench *b, float *out)
{
    static const int32_t target[2] = { 5, 90 };
    memcpy(out, b->in, 2 * 91 * sizeof *out);
    k->cross_entropy(out, 2, 91, 91, target, out + 182, true, 0.25f);
    k->softmax(out + 184, b->in, 50);
    return 234;
}

static size_t attention(const ac_kernels *k, const bench *b, float *out)
{
    enum { N = 67, D = 8 };                                       /* more than one block of keys */
    float *lse = out + N * D, *dq = lse + N, *dk = dq + N * D, *dv = dk + N * D;
    const float *q = b->in, *key = b->in + N * D, *v = key + N * D, scale = 0.35355338f;
    const ac_attn_args a = { .q = q, .k = key, .v = v, .q_stride = D, .k_stride = D, .v_stride = D, .n_q = N,
                             .head_dim = D, .scale = scale, .out = out, .out_stride = D, .lse = lse };
    k->attn_forward(&a);
    const ac_attn_grad_args g = { .q = q, .k = key, .v = v, .out = out, .dout = v + N * D, .lse = lse,
        .q_stride = D, .k_stride = D, .v_stride = D, .out_stride = D, .dout_stride = D, .lse_stride = N,
        .n = N, .head_dim = D, .group = 1, .scale = scale, .dq = dq, .dk = dk, .dv = dv, .dq_stride = D,
        .dk_stride = D, .dv_stride = D, .scratch = b->scratch };
    k->attn_grad(&g);
    return (size_t)(dv + N * D - out);
}

static size_t optimizer(const ac_kernels *k, const bench *b, float *out)
{
    memcpy(out, b->in, 150 * sizeof *out);
    for (size_t i = 100; i < 150; i++) out[i] *= out[i];          /* second moments are never negative */
    k->adamw(out, out + 50, out + 100, b->in + 200, 50, 0.5f, 0.99f, 0.9f, 0.1f, 0.95f, 0.05f, 1e-3f, 3.0f, 1e-8f);
    const double sum = k->sum_squares(b->in, 301);
    memcpy(out + 150, &sum, sizeof sum);
    return 152;
}

static size_t random_zeros(const ac_kernels *k, const bench *b, float *out)
{
    k->dropout(out, b->in, 150, 9, 3, 0xfffffffbull * 4, 0x60000000u, 1.6f);   /* the counter's low word wraps */
    return 150;
}

/* A line here is all that a further check needs. */
static const struct {
    const char *name;
    check_fn *run;
} checks[] = {
    { "product NT", product_nt },   { "product NN", product_nn },    { "product TN", product_tn },
    { "product of one row", product_one_row }, { "product in bf16", product_bf16 }, { "stored types", stored_types },
    { "exp", exponential },         { "log", logarithm },            { "norm", norm },
    { "rotary", rotary },           { "gated unit", gated_unit },    { "loss", loss },
    { "attention", attention },     { "optimizer", optimizer },      { "dropout", random_zeros },
};

size_t ac_selftest_checks(void)
{
    return AC_COUNTOF(checks);
}

/* ---- an illegal instruction is an answer ------------------------------------------------------------------- */

static _Thread_local sigjmp_buf g_back;
static _Thread_local volatile sig_atomic_t g_guarded;
static struct sigaction g_before;

/* Of another thread: what would have been done without us. */
static void on_illegal(int sig)
{
    if (g_guarded) siglongjmp(g_back, 1);
    (void)sigaction(sig, &g_before, NULL);     /* the instruction is met again, under the old action */
}

/* false: the CPU refused an instruction. */
static bool run_guarded(check_fn *run, const ac_kernels *k, const bench *b, float *out, size_t *n)
{
    if (sigsetjmp(g_back, 1)) {
        g_guarded = 0;
        return false;
    }
    g_guarded = 1;
    *n = run(k, b, out);
    g_guarded = 0;
    return true;
}

/* ---- one tier ---------------------------------------------------------------------------------------------- */

static void fill_inputs(const bench *b)
{
    for (size_t i = 0; i < IN_FLOATS; i += 4) {
        uint32_t w[4];
        ac_philox(w, 20240607, AC_RNG_TEST, 0, i / 4);
        for (size_t j = 0; j < 4; j++) b->in[i + j] = (float)((int32_t)(w[j] >> 7) - (1 << 24)) * 0x1p-24f;
    }
    /* Bit 6 of every byte is clear, so that no binary16 or bfloat16 is Inf or NaN. */
    memcpy(b->weights, b->in, WEIGHT_BYTES);
    for (size_t i = 0; i < WEIGHT_BYTES; i++) b->weights[i] = (uint8_t)((b->weights[i] ^ i >> 2) & 0xbfu);
}

static const char *first_difference(const ac_kernels *ref, const ac_kernels *tier, const bench *b, float *want,
                                    float *got, bool *illegal)
{
    for (size_t i = 0; i < AC_COUNTOF(checks); i++) {
        size_t n = 0, n_tier = 0;
        memset(want, 0, OUT_FLOATS * sizeof *want);
        memset(got, 0, OUT_FLOATS * sizeof *got);
        n = checks[i].run(ref, b, want);
        *illegal = !run_guarded(checks[i].run, tier, b, got, &n_tier);
        if (*illegal || memcmp(want, got, n * sizeof *want) != 0) return checks[i].name;
    }
    return NULL;
}

ac_status ac_selftest_run(const ac_kernels *ref, const ac_kernels *tier, ac_selftest *out, ac_err *err)
{
    bench b = { 0 };
    const size_t scratch = ac_attn_scratch_floats(67, 8, 1) + 256;
    const size_t bytes = (IN_FLOATS + 2 * (size_t)OUT_FLOATS + scratch) * sizeof(float) + WEIGHT_BYTES;
    ac_status st = ac_mm_workspace_open(&b.ws, 1, err);
    if (st) return st;
    b.in = ac_malloc_aligned(bytes);
    if (!b.in) {
        ac_mm_workspace_close(&b.ws);
        return ac_fail_nomem(err, bytes);
    }
    float *want = b.in + IN_FLOATS, *got = want + OUT_FLOATS;
    b.scratch = got + OUT_FLOATS;
    b.weights = (uint8_t *)(b.scratch + scratch);
    const ac_fp_state fp = ac_fp_enter();
    fill_inputs(&b);
    struct sigaction act = { .sa_handler = on_illegal };
    (void)sigemptyset(&act.sa_mask);
    const bool caught = sigaction(SIGILL, &act, &g_before) == 0;
    ac_selftest result = { .done = true };
    result.differs = first_difference(ref, tier, &b, want, got, &result.illegal);
    if (caught) (void)sigaction(SIGILL, &g_before, NULL);
    ac_fp_leave(fp);
    ac_free(b.in);
    ac_mm_workspace_close(&b.ws);
    *out = result;
    return AC_OK;
}

/* ---- once a process ------------------------------------------------------------------------------------------ */

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static ac_selftest g_results[AC_CPU_NEON + 1];

ac_status ac_kernels_selftest(ac_cpu tier, ac_selftest *out, ac_err *err)
{
    *out = (ac_selftest){ .done = tier == AC_CPU_REF };
    if (tier == AC_CPU_REF || !ac_cpu_offers(tier)) return AC_OK;
    ac_status st = AC_OK;
    (void)pthread_mutex_lock(&g_lock);
    if (!g_results[tier].done) {
        ac_kernels ref, k;
        ac_kernels_fill(&ref, AC_CPU_REF);
        ac_kernels_fill(&k, tier);
        st = ac_selftest_run(&ref, &k, &g_results[tier], err);
    }
    if (!st) *out = g_results[tier];
    (void)pthread_mutex_unlock(&g_lock);
    return st;
}
