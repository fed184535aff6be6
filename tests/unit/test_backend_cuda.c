/* Every operation of the CUDA device against the CPU's fp32, on the same inputs (those that it keeps as bfloat16 are
 * rounded first). What is compared is the error's length over the result's: bfloat16 results alone give 1.7e-3 (half of
 * 2^-8 over the square root of three), a product's factors add to it, and an operation that rounds in between up to
 * twice that. Each operation runs twice, and must give the same bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda.h"
#include "base/rng.h"
#include "cudasim/simulated.h"

static ac_device *dev[2];                        /* the CPU, the GPU */
static int failures, cases;

static void stop(const char *what, const ac_err *err)
{
    fprintf(stderr, "test_backend_cuda: %s: %s\n", what, err->text);
    exit(1);
}

static float rounded(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* ---- a place on both ------------------------------------------------------------------------------------- */

typedef struct {
    ac_ref at[2];
    size_t n;
    ac_store store;
} both;

static uint64_t seed = 1;

static both place(size_t n, ac_store store)
{
    both b = { .n = n, .store = store };
    ac_err err = { 0 };
    for (int i = 0; i < 2; i++) {
        if (dev[i]->op->buf_open(dev[i], &b.at[i].buf, n + 16, store, &err)) stop("memory", &err);
        b.at[i].at = 16;                         /* places are not always a buffer's start */
        dev[i]->op->zero(dev[i], (ac_ref){ b.at[i].buf, 0 }, 16);
    }
    return b;
}

static void set(const both *b, const void *values)
{
    for (int i = 0; i < 2; i++) dev[i]->op->write(dev[i], b->at[i], values, b->n);
}

static void fill(const both *b, double scale, double centre, bool round)
{
    float *x = malloc(b->n * sizeof *x);
    if (!x) exit(1);
    seed++;
    for (size_t i = 0; i < b->n; i++) {
        x[i] = (float)(centre + scale * (2.0 * (double)ac_rng_unit(seed, AC_RNG_TEST, 0, i) - 1.0));
        if (round || b->store == AC_STORE_ACT) x[i] = rounded(x[i]);
    }
    set(b, x);
    free(x);
}

static both random_place(size_t n, ac_store store, double scale)
{
    const both b = place(n, store);
    fill(&b, scale, 0.0, false);
    return b;
}

static both integers(const uint32_t *values, size_t n)
{
    const both b = place(n, AC_STORE_F32);
    set(&b, values);
    return b;
}

static void drop(both *b)
{
    for (int i = 0; i < 2; i++) dev[i]->op->buf_close(dev[i], &b->at[i].buf);
}

static float *values_of(const both *b, int i)
{
    ac_err err = { 0 };
    float *x = malloc(b->n * sizeof *x);
    if (!x) exit(1);
    dev[i]->op->read(dev[i], x, b->at[i], b->n);
    if (dev[i]->op->sync(dev[i], &err)) stop("read", &err);
    return x;
}

static void verdict(const char *name, const float *want, const float *got, size_t n, double most)
{
    double diff = 0, size = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];
        diff += d * d;
        size += (double)want[i] * (double)want[i];
        if (fabs(d) > worst || d != d) worst = fabs(d);
    }
    const double error = size > 0 ? sqrt(diff / size) : sqrt(diff);
    const bool ok = error <= most;               /* false for NaN */
    cases++;
    failures += !ok;
    printf("%-46s %9zu  %.2e of %.0e, at most %.2e  %s\n", name, n, error, most, worst, ok ? "ok" : "FAILED");
}

static void compare(const char *name, const both *b, double most)
{
    float *want = values_of(b, 0), *got = values_of(b, 1);
    verdict(name, want, got, b->n, most);
    free(want);
    free(got);
}

/* The GPU's bytes, to be compared with those of a second run. */
static void same_again(const char *name, const both *b, const float *first)
{
    float *again = values_of(b, 1);
    cases++;
    if (memcmp(first, again, b->n * sizeof *again) != 0) {
        failures++;
        printf("%-46s other bytes the second time  FAILED\n", name);
    }
    free(again);
}

enum { FEW = 32 };                               /* rows up to which a row's bits depend on no other */
#define NARROW 4e-3      /* one rounding of the result, and of what went into it */
#define TWICE  8e-3

/* Whether that much arithmetic is left out: a simulated GPU gets the small cases, a sanitizer those that ACCORD_TEST_PRODUCTS lets it. */
static bool too_much(double products)
{
    const char *most = getenv("ACCORD_TEST_PRODUCTS");
    return products > (simulated(dev[1]) ? 1e7 : most ? atof(most) : HUGE_VAL);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static void test_memory(void)
{
    enum { N = 1000 };
    ac_err err = { 0 };
    float in[N], out[N];
    const both a = random_place(N, AC_STORE_ACT, 3.0), b = place(N, AC_STORE_ACT), f = random_place(N, AC_STORE_F32, 3.0);
    for (int i = 0; i < 2; i++) {
        dev[i]->op->zero(dev[i], b.at[i], N);
        dev[i]->op->copy(dev[i], ac_ref_at(b.at[i], 100), a.at[i], 800);
    }
    compare("zero, copy", &b, 0.0);
    compare("write, read", &f, 0.0);
    for (size_t i = 0; i < N; i++) in[i] = (float)i;
    if (dev[1]->op->keep(dev[1], in, sizeof in, &err)) stop("keep", &err);
    ac_buf *k = NULL;
    if (dev[1]->op->buf_borrow(dev[1], &k, in, sizeof in, AC_BORROW_BOTH, &err)) stop("borrow", &err);
    dev[1]->op->zero(dev[1], (ac_ref){ k, 0 }, 10);
    dev[1]->op->buf_close(dev[1], &k);
    cases++;
    failures += in[5] != 5.0f;                   /* the host's is old until pull */
    dev[1]->op->pull(dev[1], in);
    failures += in[5] != 0.0f || in[10] != 10.0f;
    in[7] = 70.0f;
    dev[1]->op->push(dev[1], in);
    in[7] = 0.0f;
    dev[1]->op->pull(dev[1], in);
    failures += in[7] != 70.0f;
    dev[1]->op->let_go(dev[1], in);
    dev[1]->op->let_go(dev[1], in);
    if (dev[1]->op->buf_borrow(dev[1], &k, in, sizeof in, AC_BORROW_READ, &err)) stop("borrow", &err);
    dev[1]->op->read(dev[1], out, (ac_ref){ k, 0 }, N);
    failures += memcmp(in, out, sizeof in) != 0;
    dev[1]->op->buf_close(dev[1], &k);
    if (dev[1]->op->sync(dev[1], &err)) stop("memory", &err);
    both gone[3] = { a, b, f };
    for (int i = 0; i < 3; i++) drop(&gone[i]);
}

/* ---- matrices ----------------------------------------------------------------------------------------------- */

typedef struct {
    ac_matrix m[2];
    float *host;
    uint16_t *bits;
} weights;

static weights make_weights(size_t rows, size_t cols, double scale, ac_dtype type)
{
    ac_err err = { 0 };
    weights w = { .host = malloc(rows * cols * sizeof(float)), .bits = malloc(rows * cols * 2) };
    if (!w.host || !w.bits) exit(1);
    seed++;
    for (size_t i = 0; i < rows * cols; i++) {
        uint32_t u;
        w.host[i] = rounded((float)(scale * (2.0 * (double)ac_rng_unit(seed, AC_RNG_TEST, 0, i) - 1.0)));
        memcpy(&u, &w.host[i], sizeof u);
        w.bits[i] = (uint16_t)(u >> 16);
    }
    const size_t each = type == AC_BF16 ? 2 : 4;
    void *from = type == AC_BF16 ? (void *)w.bits : (void *)w.host;
    for (int i = 0; i < 2; i++) {
        w.m[i] = (ac_matrix){ .type = type, .rows = rows, .cols = cols, .row_bytes = cols * each };
        if (dev[i]->op->buf_borrow(dev[i], &w.m[i].buf, from, rows * cols * each, AC_BORROW_READ, &err)) stop("weights", &err);
        if (!dev[i]->op->all_finite(dev[i], &w.m[i])) failures++;
    }
    return w;
}

static void drop_weights(weights *w)
{
    for (int i = 0; i < 2; i++) dev[i]->op->buf_close(dev[i], &w->m[i].buf);
    free(w->host);
    free(w->bits);
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static void test_norm(size_t rows, size_t cols, bool stream)
{
    char name[64];
    both x = random_place(rows * cols, stream ? AC_STORE_STREAM : AC_STORE_ACT, 2.0), w = place(cols, AC_STORE_F32);
    both y = place(rows * cols, AC_STORE_ACT), sum = place(rows * cols, AC_STORE_STREAM);
    both add = random_place(rows * cols, AC_STORE_ACT, 1.0), dy = random_place(rows * cols, AC_STORE_ACT, 0.5);
    both dx = random_place(rows * cols, AC_STORE_ACT, 0.5);
    fill(&w, 0.5, 1.0, false);
    for (int i = 0; i < 2; i++) {
        ac_norm_args a = { .y = y.at[i], .x = x.at[i], .w = w.at[i], .rows = rows, .cols = cols, .eps = 1e-5f };
        if (stream) {
            a.sum = sum.at[i];
            a.add = add.at[i];
        }
        dev[i]->op->norm(dev[i], &a);
        ac_norm_grad_args g = { .dx = dx.at[i], .dy = dy.at[i], .x = x.at[i], .w = w.at[i], .rows = rows, .cols = cols,
                                .eps = 1e-5f, .accumulate = stream };
        dev[i]->op->norm_grad(dev[i], &g);
    }
    snprintf(name, sizeof name, "norm %zux%zu%s", rows, cols, stream ? " + residual" : "");
    compare(name, &y, NARROW);
    if (stream) compare("  sum", &sum, 0.0);
    compare("  gradient", &dx, NARROW);
    drop(&x), drop(&w), drop(&y), drop(&sum), drop(&add), drop(&dy), drop(&dx);
}

static void test_embed(ac_dtype type)
{
    enum { ROWS = 33, COLS = 72, VOCAB = 50 };
    uint32_t id[ROWS];
    for (size_t i = 0; i < ROWS; i++) id[i] = (uint32_t)(i * 7 % VOCAB);
    weights t = make_weights(VOCAB, COLS, 1.0, type);
    both ids = integers(id, ROWS), y = place(ROWS * COLS, AC_STORE_STREAM);
    for (int i = 0; i < 2; i++)
        dev[i]->op->embed(dev[i], &(ac_embed_args){ .y = y.at[i], .ids = ids.at[i], .rows = ROWS, .table = &t.m[i] });
    compare(type == AC_BF16 ? "embed" : "embed, stored as F32", &y, 0.0);
    drop(&ids), drop(&y), drop_weights(&t);
}

static void test_rotary(size_t head_dim, bool inverse)
{
    enum { ROWS = 37, H = 3, KV = 1, POSITIONS = 64 };
    char name[64];
    uint32_t p[ROWS];
    for (size_t i = 0; i < ROWS; i++) p[i] = (uint32_t)(i * 11 % POSITIONS);
    both q = random_place(ROWS * H * head_dim, AC_STORE_ACT, 2.0), k = random_place(ROWS * KV * head_dim, AC_STORE_ACT, 2.0);
    both c = random_place(POSITIONS * head_dim / 2, AC_STORE_F32, 1.0), s = random_place(POSITIONS * head_dim / 2, AC_STORE_F32, 1.0);
    both pos = integers(p, ROWS);
    for (int i = 0; i < 2; i++)
        dev[i]->op->rotary(dev[i], &(ac_rotary_args){ .q = q.at[i], .k = k.at[i], .pos = pos.at[i], .cos_table = c.at[i],
            .sin_table = s.at[i], .rows = ROWS, .n_heads = H, .n_kv_heads = KV, .head_dim = head_dim, .inverse = inverse });
    snprintf(name, sizeof name, "rotary, heads of %zu%s", head_dim, inverse ? ", inverse" : "");
    compare(name, &q, NARROW);
    compare("  k", &k, NARROW);
    drop(&q), drop(&k), drop(&c), drop(&s), drop(&pos);
}

static void test_gated(size_t n)
{
    both g = random_place(n, AC_STORE_ACT, 8.0), u = random_place(n, AC_STORE_ACT, 2.0), y = place(n, AC_STORE_ACT);
    both dy = random_place(n, AC_STORE_ACT, 1.0), du = place(n, AC_STORE_ACT), again = place(n, AC_STORE_ACT);
    for (int i = 0; i < 2; i++) {
        dev[i]->op->gated(dev[i], &(ac_gated_args){ .y = y.at[i], .g = g.at[i], .u = u.at[i], .n = n });
        dev[i]->op->gated_grad(dev[i], &(ac_gated_grad_args){ .dg = dy.at[i], .du = du.at[i], .dy = dy.at[i], .g = g.at[i],
                                                             .u = u.at[i], .y = i ? again.at[i] : (ac_ref){ 0 }, .n = n });
    }
    float *first = values_of(&y, 1);
    same_again("gated, once more beside its gradient", &again, first);
    free(first);
    compare("gated", &y, NARROW);
    compare("  dg", &dy, NARROW);
    compare("  du", &du, NARROW);
    drop(&g), drop(&u), drop(&y), drop(&dy), drop(&du), drop(&again);
}

/* ---- linear layers --------------------------------------------------------------------------------------------- */

typedef struct {
    size_t rows, in, out, rank;
    bool bias, dropout, accumulate;
} linear_case;

static void test_linear(const linear_case *t)
{
    char name[96];
    if (too_much((double)t->rows * (double)t->in * (double)t->out)) return;
    const size_t half = t->rows / 3;
    const ac_unit_rows units[2] = { { 0, half, 4 }, { half, t->rows - half, 9 } };
    weights w = make_weights(t->out, t->in, 1.0 / sqrt((double)t->in), AC_BF16);
    const size_t r = t->rank ? t->rank : 8;
    both x = random_place(t->rows * t->in, AC_STORE_ACT, 1.0), y = place(t->rows * t->out, AC_STORE_ACT);
    both a = place(r * t->in, AC_STORE_F32), b = place(r * t->out, AC_STORE_F32), h = place(t->rows * r, AC_STORE_ACT);
    both bias = random_place(t->out, AC_STORE_F32, 0.5), dy = random_place(t->rows * t->out, AC_STORE_ACT, 1.0);
    both dx = random_place(t->rows * t->in, AC_STORE_ACT, 0.5), da = random_place(r * t->in, AC_STORE_F32, 1.0);
    both db = random_place(r * t->out, AC_STORE_F32, 1.0);
    const ac_shape shape = { .rows = t->rows, .hidden = t->in, .ffn = t->out, .widest_in = t->in > t->out ? t->in : t->out,
                             .rank = r, .grad = true, .dropout = t->dropout, .head_dim = 64, .vocab = 8 };
    both scratch[2];
    for (int i = 0; i < 2; i++) scratch[i] = place(dev[i]->op->scratch_floats(dev[i], &shape), AC_STORE_F32);
    fill(&a, 1.0 / sqrt((double)t->in), 0.0, true);
    fill(&b, 0.3, 0.0, true);
    float *first = NULL;
    for (int run = 0; run < 3; run++) {          /* the CPU, the GPU, the GPU again */
        const int i = run > 0;
        if (run == 2) first = values_of(&y, 1);
        const ac_lora l = { .rank = r, .scale = 2.0f, .a = a.at[i], .b = b.at[i], .h = h.at[i], .module = 5,
            .drop = { .seed = 3, .step = 7, .threshold = t->dropout ? 0x30000000u : 0, .inv_keep = t->dropout ? 1.25f : 1.0f } };
        dev[i]->op->linear(dev[i], &(ac_linear_args){ .y = y.at[i], .x = x.at[i], .bias = t->bias ? bias.at[i] : (ac_ref){ 0 },
            .rows = t->rows, .w = &w.m[i], .lora = t->rank ? &l : NULL, .units = units, .n_units = 2, .scratch = scratch[i].at[i] });
        if (run == 2) continue;
        dev[i]->op->linear_grad(dev[i], &(ac_linear_grad_args){ .dx = dx.at[i], .dy = dy.at[i], .x = x.at[i],
            .accumulate = t->accumulate, .rows = t->rows, .w = &w.m[i], .lora = t->rank ? &l : NULL,
            .da = t->rank ? da.at[i] : (ac_ref){ 0 }, .db = t->rank ? db.at[i] : (ac_ref){ 0 }, .units = units, .n_units = 2,
            .scratch = scratch[i].at[i] });
    }
    snprintf(name, sizeof name, "linear %zu x %zu -> %zu, rank %zu%s%s", t->rows, t->in, t->out, t->rank,
             t->bias ? ", bias" : "", t->dropout ? ", dropout" : "");
    same_again(name, &y, first);
    compare(name, &y, NARROW);
    compare(t->accumulate ? "  dx, added to" : "  dx", &dx, TWICE);
    if (t->rank) {
        compare("  h", &h, NARROW);
        compare("  da", &da, NARROW);
        compare("  db", &db, NARROW);
    }
    free(first);
    drop(&x), drop(&y), drop(&a), drop(&b), drop(&h), drop(&bias), drop(&dy), drop(&dx), drop(&da), drop(&db);
    drop(&scratch[0]), drop(&scratch[1]), drop_weights(&w);
}

/* Three layers that share x and add to one dx, as q, k and v; the second without an adapter where `gap`. */
typedef struct {
    size_t rows, in, out[3], rank;
    bool dropout, gap;
} shared_case;

static void test_shared(const shared_case *t)
{
    enum { N = 3 };
    char name[96];
    if (too_much((double)t->rows * (double)t->in * (double)(t->out[0] + t->out[1] + t->out[2]))) return;
    const size_t half = t->rows / 3, r = t->rank;
    const ac_unit_rows units[2] = { { 0, half, 4 }, { half, t->rows - half, 9 } };
    both x = random_place(t->rows * t->in, AC_STORE_ACT, 1.0), dx = random_place(t->rows * t->in, AC_STORE_ACT, 0.5);
    both y[N], dy[N], a[N], b[N], h[N], da[N], db[N], scratch[2];
    weights w[N];
    size_t widest = t->in;
    for (int k = 0; k < N; k++) {
        const size_t out = t->out[k];
        widest = out > widest ? out : widest;
        w[k] = make_weights(out, t->in, 1.0 / sqrt((double)t->in), AC_BF16);
        y[k] = place(t->rows * out, AC_STORE_ACT), dy[k] = random_place(t->rows * out, AC_STORE_ACT, 1.0);
        a[k] = place(r * t->in, AC_STORE_F32), b[k] = place(r * out, AC_STORE_F32), h[k] = place(t->rows * r, AC_STORE_ACT);
        da[k] = random_place(r * t->in, AC_STORE_F32, 1.0), db[k] = random_place(r * out, AC_STORE_F32, 1.0);
        fill(&a[k], 1.0 / sqrt((double)t->in), 0.0, true);
        fill(&b[k], 0.3, 0.0, true);
    }
    const ac_shape shape = { .rows = t->rows, .hidden = t->in, .ffn = widest, .widest_in = widest, .rank = r, .grad = true,
                             .dropout = t->dropout, .head_dim = 64, .vocab = 8 };
    for (int i = 0; i < 2; i++) {
        scratch[i] = place(dev[i]->op->scratch_floats(dev[i], &shape), AC_STORE_F32);
        ac_lora l[N];
        ac_linear_args f[N];
        ac_linear_grad_args g[N];
        for (int k = 0; k < N; k++) {
            const bool has = !t->gap || k != 1;
            l[k] = (ac_lora){ .rank = r, .scale = 2.0f, .a = a[k].at[i], .b = b[k].at[i], .h = h[k].at[i], .module = (uint64_t)k,
                .drop = { .seed = 3, .step = 7, .threshold = t->dropout ? 0x30000000u : 0, .inv_keep = t->dropout ? 1.25f : 1.0f } };
            f[k] = (ac_linear_args){ .y = y[k].at[i], .x = x.at[i], .rows = t->rows, .w = &w[k].m[i], .lora = has ? &l[k] : NULL,
                .units = units, .n_units = 2, .scratch = scratch[i].at[i] };
            g[k] = (ac_linear_grad_args){ .dx = dx.at[i], .dy = dy[k].at[i], .x = x.at[i], .accumulate = k > 0, .rows = t->rows,
                .w = &w[k].m[i], .lora = f[k].lora, .da = has ? da[k].at[i] : (ac_ref){ 0 }, .db = has ? db[k].at[i] : (ac_ref){ 0 },
                .units = units, .n_units = 2, .scratch = scratch[i].at[i] };
        }
        dev[i]->op->linears(dev[i], f, N);
        dev[i]->op->linear_grads(dev[i], g, N);
    }
    snprintf(name, sizeof name, "three of %zu x %zu, rank %zu%s%s", t->rows, t->in, r, t->gap ? ", one bare" : "",
             t->dropout ? ", dropout" : "");
    compare(name, &y[0], NARROW);
    compare("  y", &y[1], NARROW);
    compare("  y", &y[2], NARROW);
    compare("  dx", &dx, 2 * TWICE);
    for (int k = 0; k < N; k++) {
        if (!t->gap || k != 1) {
            compare("  h", &h[k], NARROW);
            compare("  da", &da[k], NARROW);
            compare("  db", &db[k], NARROW);
        }
        drop(&y[k]), drop(&dy[k]), drop(&a[k]), drop(&b[k]), drop(&h[k]), drop(&da[k]), drop(&db[k]), drop_weights(&w[k]);
    }
    drop(&x), drop(&dx), drop(&scratch[0]), drop(&scratch[1]);
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t doc[6], heads, kv_heads, head_dim, window;
} attention_case;

static void test_attention(const attention_case *t)
{
    char name[96];
    ac_doc_rows docs[6];
    size_t rows = 0, n_docs = 0, longest = 0;
    for (; n_docs < 6 && t->doc[n_docs]; n_docs++) {
        docs[n_docs] = (ac_doc_rows){ rows, t->doc[n_docs] };
        rows += t->doc[n_docs];
        if (t->doc[n_docs] > longest) longest = t->doc[n_docs];
    }
    if (too_much((double)longest * (double)longest / 2 * (double)(t->heads * t->head_dim))) return;
    const size_t qn = rows * t->heads * t->head_dim, kn = rows * t->kv_heads * t->head_dim;
    both q = random_place(qn, AC_STORE_ACT, 2.0), k = random_place(kn, AC_STORE_ACT, 2.0), v = random_place(kn, AC_STORE_ACT, 1.0);
    both out = place(qn, AC_STORE_ACT), lse = place(rows * t->heads, AC_STORE_F32), dout = random_place(qn, AC_STORE_ACT, 1.0);
    both dq = place(qn, AC_STORE_ACT), dk = place(kn, AC_STORE_ACT), dv = place(kn, AC_STORE_ACT);
    const ac_shape shape = { .rows = rows, .longest_doc = longest, .n_heads = t->heads, .n_kv_heads = t->kv_heads,
                             .head_dim = t->head_dim, .grad = true, .vocab = 8, .hidden = 8 };
    both scratch[2];
    for (int i = 0; i < 2; i++) scratch[i] = place(dev[i]->op->scratch_floats(dev[i], &shape), AC_STORE_F32);
    float *first[3] = { NULL };
    for (int run = 0; run < 3; run++) {
        const int i = run > 0;
        if (run == 2) first[0] = values_of(&dq, 1), first[1] = values_of(&dk, 1), first[2] = values_of(&dv, 1);
        const ac_attention_args a = { .q = q.at[i], .k = k.at[i], .v = v.at[i], .out = out.at[i], .lse = lse.at[i], .rows = rows,
            .n_heads = t->heads, .n_kv_heads = t->kv_heads, .head_dim = t->head_dim, .window = t->window,
            .scale = (float)(1.0 / sqrt((double)t->head_dim)), .docs = docs, .n_docs = n_docs };
        dev[i]->op->attention(dev[i], &a);
        dev[i]->op->attention_grad(dev[i], &(ac_attention_grad_args){ .fwd = a, .dout = dout.at[i], .dq = dq.at[i],
            .dk = dk.at[i], .dv = dv.at[i], .scratch = scratch[i].at[i] });
    }
    snprintf(name, sizeof name, "attention %zu rows %zu/%zu heads of %zu w%zu", rows, t->heads, t->kv_heads, t->head_dim, t->window);
    same_again(name, &dq, first[0]);
    same_again(name, &dk, first[1]);
    same_again(name, &dv, first[2]);
    compare(name, &out, NARROW);
    compare("  lse", &lse, 1e-5);
    compare("  dq", &dq, TWICE);
    compare("  dk", &dk, TWICE);
    compare("  dv", &dv, TWICE);
    for (int i = 0; i < 3; i++) free(first[i]);
    drop(&q), drop(&k), drop(&v), drop(&out), drop(&lse), drop(&dout), drop(&dq), drop(&dk), drop(&dv);
    drop(&scratch[0]), drop(&scratch[1]);
}

/* ---- output and loss ------------------------------------------------------------------------------------------------ */

static void test_loss(size_t rows, size_t select, size_t hidden, size_t vocab)
{
    char name[96];
    if (too_much((double)select * (double)hidden * (double)vocab)) return;
    uint32_t *row = malloc(select * sizeof *row), *target = malloc(select * sizeof *target);
    if (!row || !target) exit(1);
    for (size_t i = 0; i < select; i++) {
        row[i] = (uint32_t)(i * rows / select);
        target[i] = (uint32_t)((i * 7919 + 3) % vocab);
    }
    weights w = make_weights(vocab, hidden, 3.0 / sqrt((double)hidden), AC_BF16);
    both x = random_place(rows * hidden, AC_STORE_STREAM, 2.0), norm = place(hidden, AC_STORE_F32), dx = place(rows * hidden, AC_STORE_ACT);
    both nll = place(select, AC_STORE_F32), at = integers(row, select), aim = integers(target, select);
    both logits = place(select * vocab, AC_STORE_F32);
    const ac_shape shape = { .rows = rows, .output_rows = select, .hidden = hidden, .vocab = vocab, .grad = true, .head_dim = 64 };
    both scratch[2];
    for (int i = 0; i < 2; i++) scratch[i] = place(dev[i]->op->scratch_floats(dev[i], &shape), AC_STORE_F32);
    fill(&norm, 0.5, 1.0, false);
    for (int i = 0; i < 2; i++) {
        dev[i]->op->zero(dev[i], dx.at[i], dx.n);
        dev[i]->op->output(dev[i], &(ac_output_args){ .x = x.at[i], .rows = at.at[i], .norm_w = norm.at[i], .logits = logits.at[i],
            .n_rows = select, .eps = 1e-5f, .w = &w.m[i], .scratch = scratch[i].at[i] });
        dev[i]->op->loss(dev[i], &(ac_loss_args){ .x = x.at[i], .rows = at.at[i], .target = aim.at[i], .norm_w = norm.at[i],
            .nll = nll.at[i], .dx = dx.at[i], .n_rows = select, .eps = 1e-5f, .grad_scale = 1.0f / 64, .w = &w.m[i],
            .scratch = scratch[i].at[i] });
    }
    snprintf(name, sizeof name, "output %zu of %zu rows, %zu x %zu", select, rows, vocab, hidden);
    compare(name, &logits, NARROW);
    compare("  losses", &nll, 1e-3);
    compare("  dx", &dx, TWICE);
    free(row), free(target);
    drop(&x), drop(&norm), drop(&dx), drop(&nll), drop(&at), drop(&aim), drop(&logits), drop(&scratch[0]), drop(&scratch[1]);
    drop_weights(&w);
}

/* ---- decoding ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t heads, kv_heads, head_dim, window, slot_rows;
    bool rotary;
} cache_case;

/* Rounds of feeds: prompts of empty slots; a row each; rows behind others, more and fewer than are few; many keys. The last round is
 * single rows near the end of the slots. */
static void test_cache(const cache_case *t)
{
    enum { SLOTS = 3, ROUNDS = 6, MOST = 120 };
    ac_feed_rows round[ROUNDS][SLOTS] = {
        { { 0, 70, 0, 0 }, { 70, 1, 2, 0 }, { 71, 33, 1, 0 } }, { { 0, 1, 2, 1 }, { 1, 1, 0, 70 }, { 2, 1, 1, 33 } },
        { { 0, 40, 1, 34 }, { 40, 1, 0, 71 } }, { { 0, 90, 0, 72 }, { 90, 5, 2, 2 } }, { { 0, 1, 0, 162 }, { 1, 20, 2, 7 } },
        { { 0, 1, 1, t->slot_rows - 2 }, { 1, 1, 2, t->slot_rows - 1 } } };
    const size_t q_width = t->heads * t->head_dim, width = t->kv_heads * t->head_dim;
    char name[128];
    both q = place(MOST * q_width, AC_STORE_ACT), k = place(MOST * width, AC_STORE_ACT), v = place(MOST * width, AC_STORE_ACT);
    both out = place(MOST * q_width, AC_STORE_ACT), kc = random_place(SLOTS * t->slot_rows * width, AC_STORE_ACT, 2.0);
    both vc = random_place(SLOTS * t->slot_rows * width, AC_STORE_ACT, 1.0);
    both c = random_place(t->slot_rows * t->head_dim / 2, AC_STORE_F32, 1.0), s = random_place(t->slot_rows * t->head_dim / 2, AC_STORE_F32, 1.0);
    for (size_t r = 0; r < ROUNDS; r++) {
        size_t n = 0, rows = 0;
        uint32_t p[MOST];
        for (; n < SLOTS && round[r][n].n; n++)
            for (size_t i = 0; i < round[r][n].n; i++) p[rows++] = (uint32_t)(round[r][n].pos + i);
        both pos = integers(p, rows);
        fill(&q, 2.0, 0.0, false), fill(&k, 2.0, 0.0, false), fill(&v, 1.0, 0.0, false);
        for (int i = 0; i < 2; i++) {
            const ac_rotary_args turn = { .q = q.at[i], .k = k.at[i], .pos = pos.at[i], .cos_table = c.at[i], .sin_table = s.at[i], .rows = rows,
                                          .n_heads = t->heads, .n_kv_heads = t->kv_heads, .head_dim = t->head_dim };
            dev[i]->op->zero(dev[i], out.at[i], out.n);
            dev[i]->op->attention_kv(dev[i], &(ac_attention_kv_args){ .q = q.at[i], .k = k.at[i], .v = v.at[i], .out = out.at[i],
                .k_cache = kc.at[i], .v_cache = vc.at[i], .slot_rows = t->slot_rows, .n_heads = t->heads, .n_kv_heads = t->kv_heads,
                .head_dim = t->head_dim, .window = t->window, .scale = (float)(1.0 / sqrt((double)t->head_dim)),
                .feeds = round[r], .n_feeds = n, .rotary = t->rotary ? &turn : NULL });
        }
        snprintf(name, sizeof name, "cache of %zu, round %zu, %zu rows %zu/%zu heads of %zu w%zu%s", t->slot_rows, r + 1, rows, t->heads,
                 t->kv_heads, t->head_dim, t->window, t->rotary ? ", rotary" : "");
        compare(name, &out, t->rotary ? TWICE : NARROW);
        compare("  keys", &kc, NARROW);
        compare("  values", &vc, NARROW);
        drop(&pos);
    }
    drop(&q), drop(&k), drop(&v), drop(&out), drop(&kc), drop(&vc), drop(&c), drop(&s);
}

/* A cache of 1,100 rows, whose chunks are computed by several blocks, gives what one of 500 gives, where one block has them all. */
static void test_cache_room(size_t head_dim)
{
    enum { H = 2, LONG = 1100, SHORT = 500 };
    const size_t width = H * head_dim, room[2] = { SHORT, LONG };
    both q = random_place(width, AC_STORE_ACT, 2.0), k = random_place(width, AC_STORE_ACT, 2.0), v = random_place(width, AC_STORE_ACT, 1.0);
    both out = place(width, AC_STORE_ACT), kc = random_place(LONG * width, AC_STORE_ACT, 2.0), vc = random_place(LONG * width, AC_STORE_ACT, 1.0);
    const ac_feed_rows feed = { 0, 1, 0, 470 };
    float *first = NULL;
    for (int r = 0; r < 2; r++) {
        dev[1]->op->attention_kv(dev[1], &(ac_attention_kv_args){ .q = q.at[1], .k = k.at[1], .v = v.at[1], .out = out.at[1],
            .k_cache = kc.at[1], .v_cache = vc.at[1], .slot_rows = room[r], .n_heads = H, .n_kv_heads = H, .head_dim = head_dim,
            .scale = 0.1f, .feeds = &feed, .n_feeds = 1 });
        if (!r) first = values_of(&out, 1);
    }
    same_again("a larger cache", &out, first);
    free(first);
    drop(&q), drop(&k), drop(&v), drop(&out), drop(&kc), drop(&vc);
}

/* The first of a row's largest; a zero is as large as another; a row with a number that is not finite has none. */
static void test_largest(size_t cols)
{
    enum { ROWS = 6 };
    const int32_t wanted[ROWS] = { (int32_t)cols - 1, 3, 5, 2, -1, -1 };
    int32_t got[ROWS];
    float *x = calloc(ROWS * cols, sizeof *x);
    for (size_t i = 0; i < 2 * cols; i++) x[i] = (float)(i % 97) - 200.0f;
    x[cols - 1] = -3.5f;
    x[cols + 3] = x[cols + 7] = 5.0f;
    for (size_t i = 2 * cols; i < 3 * cols; i++) x[i] = -1.0f;
    x[2 * cols + 5] = -0.0f, x[2 * cols + 6] = 0.0f;
    x[3 * cols + 2] = 1e38f, x[3 * cols + 1] = -1e38f;
    x[4 * cols + 1] = INFINITY;
    x[5 * cols + cols / 2] = NAN;
    both logits = place(ROWS * cols, AC_STORE_F32), out = place(ROWS, AC_STORE_F32);
    set(&logits, x);
    dev[1]->op->largest(dev[1], out.at[1], logits.at[1], ROWS, cols);
    dev[1]->op->read(dev[1], got, out.at[1], ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        cases++;
        if (got[i] == wanted[i]) continue;
        failures++;
        printf("largest of %zu, row %zu: %d, not %d  FAILED\n", cols, i + 1, (int)got[i], (int)wanted[i]);
    }
    free(x);
    drop(&logits), drop(&out);
}

/* Gate and up with the gated unit behind them: what the three operations give, whether in one launch or not. units: as in training. */
static void test_gated_linears(size_t rows, size_t in, size_t ffn, size_t rank, bool training)
{
    enum { N = 2 };
    char name[96];
    if (too_much((double)rows * (double)in * (double)ffn)) return;
    both x = random_place(rows * in, AC_STORE_ACT, 1.0), out = place(rows * ffn, AC_STORE_ACT), apart = place(rows * ffn, AC_STORE_ACT);
    both y[N], a[N], b[N], h[N];
    weights w[N];
    const ac_unit_rows unit = { 0, rows, 0 };
    for (int k = 0; k < N; k++) {
        w[k] = make_weights(ffn, in, 1.0 / sqrt((double)in), AC_BF16);
        y[k] = place(rows * ffn, AC_STORE_ACT), h[k] = place(rows * rank, AC_STORE_ACT);
        a[k] = place(rank * in, AC_STORE_F32), b[k] = place(rank * ffn, AC_STORE_F32);
        fill(&a[k], 1.0 / sqrt((double)in), 0.0, true);
        fill(&b[k], 0.3, 0.0, true);
    }
    both scratch = place(65536, AC_STORE_F32);
    for (int i = 0; i < 2; i++) {
        ac_lora l[N];
        ac_linear_args f[N];
        for (int k = 0; k < N; k++) {
            l[k] = (ac_lora){ .rank = rank, .scale = 2.0f, .a = a[k].at[i], .b = b[k].at[i], .h = h[k].at[i], .module = (uint64_t)k,
                              .drop = { .inv_keep = 1.0f } };
            f[k] = (ac_linear_args){ .y = y[k].at[i], .x = x.at[i], .rows = rows, .w = &w[k].m[i], .lora = k && rank == 8 ? NULL : &l[k],
                                     .units = training ? &unit : NULL, .n_units = training, .scratch = scratch.at[i] };
        }
        const ac_gated_args g = { .y = out.at[i], .g = y[0].at[i], .u = y[1].at[i], .n = rows * ffn };
        dev[i]->op->gated_linears(dev[i], f, &g);
        dev[i]->op->linears(dev[i], f, N);
        dev[i]->op->gated(dev[i], &(ac_gated_args){ .y = apart.at[i], .g = g.g, .u = g.u, .n = g.n });
    }
    snprintf(name, sizeof name, "gate and up: %zu rows of %zu to %zu, rank %zu%s", rows, in, ffn, rank, training ? ", training" : "");
    compare(name, &out, TWICE);
    float *first = values_of(&out, 1);
    same_again(name, &apart, first);
    free(first);
    for (int k = 0; k < N; k++) drop(&y[k]), drop(&a[k]), drop(&b[k]), drop(&h[k]), drop_weights(&w[k]);
    drop(&x), drop(&out), drop(&apart), drop(&scratch);
}

/* The gradient of down's input and of the gated unit before it: what the two operations give, whether in one launch or not. in_place: as in
 * training, with x once more for what takes it later; else as where activations are computed again. */
static void test_gated_linear_grad(size_t rows, size_t out, size_t ffn, size_t rank, bool in_place, uint32_t threshold)
{
    char name[112];
    if (too_much((double)rows * (double)out * (double)ffn)) return;
    const size_t n = rows * ffn;
    weights w = make_weights(out, ffn, 1.0 / sqrt((double)ffn), AC_BF16);
    both dy = random_place(rows * out, AC_STORE_ACT, 1.0), g = random_place(n, AC_STORE_ACT, 1.5), u = random_place(n, AC_STORE_ACT, 1.0);
    both x = random_place(n, AC_STORE_ACT, 1.0), h = random_place(rows * (rank + 1), AC_STORE_ACT, 1.0);
    both a = place(rank * ffn + 8, AC_STORE_F32), b = place(rank * out + 8, AC_STORE_F32), da = place(rank * ffn + 8, AC_STORE_F32), db = place(rank * out + 8, AC_STORE_F32);
    both ds = place(n, AC_STORE_ACT), s = place(n, AC_STORE_ACT), dg = place(n, AC_STORE_ACT), du = place(n, AC_STORE_ACT), y = place(n, AC_STORE_ACT);
    both scratch = place(rows * (ffn + rank) + 65536, AC_STORE_F32);
    const ac_unit_rows unit = { 0, rows, 0 };
    fill(&a, 1.0 / sqrt((double)ffn), 0.0, true);
    fill(&b, 0.3, 0.0, true);
    float *x_values = values_of(&x, 0), *g_values = values_of(&g, 0), *u_values = values_of(&u, 0);
    set(&s, x_values);
    for (int i = 0; i < 2; i++) {
        const ac_lora l = { .rank = rank, .scale = 2.0f, .a = a.at[i], .b = b.at[i], .h = h.at[i],
                            .drop = { .seed = 7, .step = 3, .threshold = threshold, .inv_keep = threshold ? 1.25f : 1.0f } };
        const ac_ref none = { 0 };
        ac_linear_grad_args f = { .dx = ds.at[i], .dy = dy.at[i], .x = !in_place ? s.at[i] : dev[i]->op->adapter_grad ? none : x.at[i], .rows = rows, .w = &w.m[i],
                                  .lora = rank ? &l : NULL, .da = da.at[i], .db = db.at[i], .units = &unit, .n_units = 1,
                                  .scratch = scratch.at[i] };
        dev[i]->op->linear_grads(dev[i], &f, 1);
        dev[i]->op->gated_grad(dev[i], &(ac_gated_grad_args){ .dg = dg.at[i], .du = du.at[i], .y = in_place ? y.at[i] : none, .dy = ds.at[i],
                                                              .g = g.at[i], .u = u.at[i], .n = n });
        ac_gated_grad_args t = { .dg = in_place ? g.at[i] : ds.at[i], .du = in_place ? u.at[i] : s.at[i], .y = in_place ? s.at[i] : none,
                                 .dy = ds.at[i], .g = g.at[i], .u = u.at[i], .n = n };
        dev[i]->op->gated_linear_grad(dev[i], &f, &t);
    }
    snprintf(name, sizeof name, "gated gradient: %zu rows of %zu from %zu, rank %zu%s%s", rows, ffn, out, rank, in_place ? ", in place" : "", threshold ? ", dropout" : "");
    float *first[3] = { values_of(&dg, 1), values_of(&du, 1), values_of(&y, 1) };
    both *const again[3] = { in_place ? &g : &ds, in_place ? &u : &s, &s };
    compare(name, &dg, 3 * TWICE);
    compare("  du", &du, 3 * TWICE);
    for (int i = 0; i < 2 + in_place; i++) same_again(name, again[i], first[i]);
    for (int i = 0; i < 3; i++) free(first[i]);
    free(x_values), free(g_values), free(u_values);
    drop(&dy), drop(&g), drop(&u), drop(&x), drop(&h), drop(&a), drop(&b), drop(&da), drop(&db), drop(&ds), drop(&s), drop(&dg), drop(&du);
    drop(&y), drop(&scratch), drop_weights(&w);
}

/* Three layers of few rows that share x; the second without an adapter, the third with a bias. Its first row alone is the same. */
static void test_few(size_t rows, size_t in, size_t rank)
{
    enum { N = 3 };
    static const size_t width[N] = { 200, 24, 72 };
    char name[96];
    both x = random_place(rows * in, AC_STORE_ACT, 1.0), bias = random_place(width[2], AC_STORE_F32, 0.5);
    both y[N], a[N], b[N], h[N];
    weights w[N];
    for (int k = 0; k < N; k++) {
        w[k] = make_weights(width[k], in, 1.0 / sqrt((double)in), AC_BF16);
        y[k] = place(rows * width[k], AC_STORE_ACT), h[k] = place(rows * rank, AC_STORE_ACT);
        a[k] = place(rank * in, AC_STORE_F32), b[k] = place(rank * width[k], AC_STORE_F32);
        fill(&a[k], 1.0 / sqrt((double)in), 0.0, true);
        fill(&b[k], 0.3, 0.0, true);
    }
    snprintf(name, sizeof name, "few: %zu rows of %zu, rank %zu", rows, in, rank);
    for (int run = 0; run < 3; run++) {          /* the CPU, the GPU, the GPU with one row */
        const int i = run > 0;
        ac_lora l[N];
        ac_linear_args f[N];
        float *first[N] = { NULL };
        for (int k = 0; k < N; k++) {
            if (run == 2) first[k] = values_of(&y[k], 1);
            l[k] = (ac_lora){ .rank = rank, .scale = 2.0f, .a = a[k].at[i], .b = b[k].at[i], .h = h[k].at[i], .module = (uint64_t)k,
                              .drop = { .inv_keep = 1.0f } };
            f[k] = (ac_linear_args){ .y = y[k].at[i], .x = x.at[i], .rows = run == 2 ? 1 : rows, .w = &w[k].m[i],
                                     .lora = k == 1 ? NULL : &l[k], .bias = k == 2 ? bias.at[i] : (ac_ref){ 0 } };
        }
        dev[i]->op->linears(dev[i], f, N);
        if (run == 1)
            for (int k = 0; k < N; k++) compare(k ? "  y" : name, &y[k], NARROW);
        if (run == 2 && rows <= FEW)
            for (int k = 0; k < N; k++) same_again(name, &y[k], first[k]);
        for (int k = 0; k < N; k++) free(first[k]);
    }
    for (int k = 0; k < N; k++) drop(&y[k]), drop(&a[k]), drop(&b[k]), drop(&h[k]), drop_weights(&w[k]);
    drop(&x), drop(&bias);
}

/* ---- the optimizer ---------------------------------------------------------------------------------------------------- */

static void test_optimizer(void)
{
    enum { N = 5003 };
    both p = random_place(N, AC_STORE_F32, 1.0), g = random_place(N, AC_STORE_F32, 1.0), m = random_place(N, AC_STORE_F32, 0.1);
    both v = place(N, AC_STORE_F32);
    fill(&v, 0.4, 0.5, false);
    double sum[2][2], found[2][2];
    for (int i = 0; i < 2; i++) {
        const ac_span part[2] = { { g.at[i], 17 }, { ac_ref_at(g.at[i], 17), N - 17 } };
        dev[i]->op->sum_squares(dev[i], part, 2, found[i]);
        memcpy(sum[i], found[i], sizeof sum[i]);         /* they are there when it returns */
        dev[i]->op->optim(dev[i], &(ac_optim_args){ .rule = AC_RULE_ADAMW, .state = AC_STATE_F32, .p = p.at[i], .g = g.at[i],
            .m = { m.at[i].buf, m.at[i].at, { NULL, 0 } }, .v = { v.at[i].buf, v.at[i].at, { NULL, 0 } }, .n = N,
            .grad_scale = 0.5f, .keep = 0.999f, .b1 = 0.9f, .one_minus_b1 = 0.1f, .b2 = 0.99f, .one_minus_b2 = 0.01f,
            .step = 0.02f, .inv_sqrt_bc2 = 1.5f, .eps = 1e-8f });
    }
    compare("adamw, parameters", &p, 0.0);
    compare("  first moment", &m, 0.0);
    compare("  second moment", &v, 0.0);
    cases++;
    for (int i = 0; i < 2; i++) failures += !(fabs(sum[1][i] / sum[0][i] - 1.0) < 1e-13);
    printf("%-46s %.17g and %.17g\n", "sum of squares", sum[0][1], sum[1][1]);
    drop(&p), drop(&g), drop(&m), drop(&v);
}

int main(void)
{
    ac_err err = { 0 };
    const ac_status st = ac_device_open_cuda(&dev[1], 0, &err);
    if (st == AC_ENOENT) {
        printf("not run: %s\n", err.text);
        return 77;
    }
    if (st) stop("the GPU", &err);
    if (ac_device_open_cpu(&dev[0], AC_CPU_AUTO, 0, &err)) stop("the CPU", &err);
    printf("%s against %s\n", ac_device_name(dev[1]), ac_device_name(dev[0]));
    test_memory();
    test_embed(AC_BF16);
    test_embed(AC_F32);
    static const size_t norms[][2] = { { 1, 8 }, { 5, 64 }, { 130, 576 }, { 33, 2048 } };
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        test_norm(norms[i][0], norms[i][1], true);
        test_norm(norms[i][0], norms[i][1], false);
    }
    static const size_t dims[] = { 16, 32, 64, 96, 128 };
    for (size_t i = 0; i < 5; i++) {
        test_rotary(dims[i], false);
        test_rotary(dims[i], true);
    }
    test_gated(8);
    test_gated(100008);
    static const linear_case linears[] = {
        { 1, 64, 64, 0, false, false, false }, { 130, 576, 192, 16, false, false, true }, { 130, 576, 192, 8, true, false, false },
        { 257, 1536, 576, 16, false, false, false }, { 1000, 576, 1536, 64, false, false, true },
        { 130, 128, 200, 24, false, false, false }, { 700, 72, 136, 40, false, false, false },
        { 3900, 64, 896, 16, true, false, false }, { 3900, 896, 72, 16, false, false, true },      /* tiles of 224 columns */
        { 2000, 64, 72, 128, false, false, false }, { 65, 128, 336, 16, false, true, false }, { 65, 128, 336, 16, true, true, true }, { 64, 896, 128, 0, true, false, true } };
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) test_linear(&linears[i]);
    static const shared_case shared[] = {
        { 600, 72, { 72, 24, 24 }, 16, false, false },
        { 1300, 576, { 576, 192, 192 }, 16, false, false }, { 700, 72, { 136, 8, 1536 }, 8, false, true },
        { 130, 576, { 192, 576, 200 }, 24, false, false }, { 600, 128, { 64, 128, 336 }, 16, true, false },
        { 300, 64, { 136, 72, 200 }, 40, false, true }, { 70, 64, { 136, 72, 200 }, 64, true, false },
        { 200, 64, { 136, 72, 200 }, 128, false, false } };
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) test_shared(&shared[i]);
    static const attention_case attentions[] = {
        { { 1 }, 1, 1, 64, 0 }, { { 64 }, 2, 1, 64, 0 }, { { 65, 63, 1, 130 }, 3, 1, 64, 0 }, { { 300, 17 }, 4, 4, 32, 0 },
        { { 200, 129 }, 6, 2, 128, 0 }, { { 100, 30 }, 4, 2, 16, 0 }, { { 150 }, 2, 2, 96, 0 }, { { 500 }, 9, 3, 64, 0 },
        { { 300, 70 }, 4, 2, 64, 50 }, { { 200 }, 2, 1, 128, 64 }, { { 90 }, 2, 1, 32, 2 },
        { { 128, 256, 127, 129 }, 2, 2, 64, 0 }, { { 700, 1, 129 }, 12, 2, 128, 0 }, { { 333 }, 7, 1, 64, 0 },
        { { 400, 5 }, 8, 1, 128, 100 }, { { 260 }, 16, 1, 64, 130 }, { { 150, 150 }, 5, 5, 128, 3 } };
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++) test_attention(&attentions[i]);
    test_loss(9, 5, 64, 104);
    test_loss(70, 66, 128, 328);
    test_loss(300, 300, 128, 768);
    test_loss(1500, 1400, 576, 49152);
    test_loss(40, 37, 64, 60008);
    test_loss(3, 1, 64, 151936);
    static const cache_case caches[] = { { 3, 1, 64, 0, 180, false }, { 4, 2, 16, 0, 700, true }, { 2, 2, 32, 50, 180, true },
        { 3, 3, 96, 0, 1300, true }, { 4, 1, 128, 3, 180, false }, { 4, 2, 128, 0, 257, true }, { 2, 1, 64, 300, 1100, true } };
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) test_cache(&caches[i]);
    test_cache_room(64);
    test_cache_room(128);
    test_largest(8);
    test_largest(49160);
    static const size_t few[] = { 1, 8, 9, 17, 32, 33 };
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        test_few(few[i], 72, 8);
        test_few(few[i], 1096, 24);
    }
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        test_gated_linears(few[i], 72, 136, 8, false);
        test_gated_linears(few[i], 1096, 40, 24, false);
    }
    test_gated_linears(5, 128, 264, 16, true);
    test_gated_linears(300, 200, 712, 16, true);
    test_gated_linears(2048, 896, 4864, 16, true);
    for (int i = 0; i < 2; i++) {
        test_gated_linear_grad(5, 128, 264, 16, i, 0);
        test_gated_linear_grad(300, 200, 712, 8, i, 0);
        test_gated_linear_grad(300, 200, 712, 0, i, 0);
        test_gated_linear_grad(2048, 896, 4864, 16, i, 0);
    }
    test_gated_linear_grad(64, 72, 136, 16, false, 0x33333333u);
    test_optimizer();
    if (dev[1]->op->sync(dev[1], &err)) stop("the GPU", &err);
    ac_device_close(&dev[0]);
    ac_device_close(&dev[1]);
    printf("%d of %d cases failed\n", failures, cases);
    return failures != 0;
}
