/* Matrix products of the models' layers: from binary32 and stored weights, and the adapter's thin ones. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "bench.h"

const layer_shape bench_layers[8] = {
    { "135m.q", 576, 576 },  { "135m.kv", 192, 576 },  { "135m.up", 1536, 576 },  { "135m.down", 576, 1536 },
    { "0.5b.q", 896, 896 },  { "0.5b.kv", 128, 896 },  { "0.5b.up", 4864, 896 },  { "0.5b.down", 896, 4864 },
};

#define AHEAD_BYTES ((size_t)32 << 20)     /* of panels at a time: far more than an L2 cache */

static const size_t rows_of[] = { 64, 512, 2048 };
static const char *const form_name[] = { "nt", "nn", "tn" };

/* Random codes under one plain scale; every byte below 0x40 keeps all two-byte scales finite. Types without scales get
 * numbers of [0.5, 1): products of denormals would measure the CPU's assists. */
static void fill(bench *b, ac_dtype type)
{
    if (b->filled == type) return;
    for (size_t i = 0; i < WEIGHT_BYTES; i++) {
        const uint8_t r = (uint8_t)((i * 2654435761u >> 13) & 0x3f);
        uint8_t v = r;
        if (type == AC_F32 && i % 4 >= 2) v = i % 4 == 3 ? 0x3f : r;
        if (type == AC_BF16 && i % 2) v = 0x3f;
        b->weights[i] = v;
    }
    b->filled = type;
}

bool bench_product(product *p, bench *b, env *e, ac_mm_form form, ac_dtype type, size_t m, size_t out, size_t in)
{
    /* TN: dW = dy^T x, an out x in product over the tokens. */
    const size_t n = form == AC_MM_NT ? out : in, k = form == AC_MM_NT ? in : form == AC_MM_NN ? out : m;
    const size_t rows = form == AC_MM_NT ? n : k, cols = form == AC_MM_NT ? k : n;
    const size_t height = form == AC_MM_TN ? out : m;
    size_t row_bytes = 0;
    if (!ac_dtype_row_bytes(&row_bytes, type, cols) || row_bytes * rows > WEIGHT_BYTES) return false;
    fill(b, type);
    *p = (product){ .e = e, .bytes = row_bytes * rows, .weights = b->weights };
    p->copies = WEIGHT_BYTES / p->bytes < 64 ? WEIGHT_BYTES / p->bytes : 64;
    p->args = (ac_matmul_args){ .form = form, .m = height, .n = n, .k = k, .a = b->a,
        .lda = form == AC_MM_TN ? height : k, .b_type = type, .b_row_bytes = row_bytes, .c = b->c, .ldc = n };
    return true;
}

bool bench_product_ahead(product *p)
{
    const ac_matmul_args *g = &p->args;
    const size_t most = AHEAD_BYTES / (g->n * g->k * sizeof(float)) + 2;
    ac_err err = { 0 };
    if (p->copies > most) p->copies = most;
    for (size_t i = 0; i < p->copies; i++) {
        if (ac_panels_open(&p->panels[i], &p->e->kernels, p->e->pool, g->form, g->b_type, p->weights + i * p->bytes,
                           g->b_row_bytes, g->n, g->k, &err)) {
            fprintf(stderr, "accord-bench: %s\n", err.text);
            bench_product_close(p);
            return false;
        }
    }
    return true;
}

void bench_product_close(product *p)
{
    for (size_t i = 0; i < AC_COUNTOF(p->panels); i++) ac_panels_close(&p->panels[i]);
}

void bench_product_run(void *ctx)
{
    product *p = ctx;
    const size_t i = p->at++ % p->copies;
    p->args.b = p->weights + i * p->bytes;
    p->args.panels = p->panels[i];
    ac_matmul(&p->e->kernels, p->e->pool, p->e->ws, &p->args);
}

double bench_product_flops(const product *p)
{
    return 2.0 * (double)p->args.m * (double)p->args.n * (double)p->args.k;
}

typedef struct {
    double log_sum, worst;
    size_t n;
    char where[40];
} mean;

static void mean_add(mean *g, const layer_shape *l, size_t m, double share)
{
    if (!(share > 0)) return;
    if (!g->n || share < g->worst) {
        g->worst = share;
        (void)snprintf(g->where, sizeof g->where, "%s m=%zu", l->name, m);
    }
    g->log_sum += log(share);
    g->n++;
}

static double mean_value(const mean *g)
{
    return g->n ? exp(g->log_sum / (double)g->n) : (double)NAN;
}

/* The demands speak of weights laid out ahead; a weight gradient has none. */
static figure *fp32_figure(bench *b, env *e, ac_mm_form form, bool ahead)
{
    const bool asked = ahead || form == AC_MM_TN;
    const double at_least = !e->main_tier ? 0.85 : e->threads == 1 ? 0.88 : 0.85;
    const double aim = !e->main_tier ? 0.90 : e->threads == 1 ? 0.93 : 0.92;
    const char *text = form == AC_MM_TN ? "fp32, weight gradients, geometric mean"
                       : ahead ? "fp32, weights packed ahead, geometric mean"
                               : "fp32, weights packed at each call, geometric mean";
    char id[40];
    (void)snprintf(id, sizeof id, "products.%s.%s", ahead ? "ahead" : "fp32", form_name[form]);
    return bench_figure(b, e, &(demand){ id, text, "%", asked ? at_least : 0, asked ? aim : 0, false });
}

/* 24 shapes in one form; the other tier without m = 2048. */
static void one_form(bench *b, env *e, ac_mm_form form, bool ahead, mean *all)
{
    mean g = { 0 };
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < (e->main_tier ? 3 : 2); j++) {
            product p;
            if (!bench_product(&p, b, e, form, AC_F32, rows_of[j], bench_layers[i].out, bench_layers[i].in) ||
                (ahead && !bench_product_ahead(&p)))
                continue;
            const double share = bench_share(e, bench_product_run, &p, bench_product_flops(&p));
            mean_add(&g, &bench_layers[i], rows_of[j], share);
            mean_add(all, &bench_layers[i], rows_of[j], share);
            bench_product_close(&p);
        }
    }
    figure *f = fp32_figure(b, e, form, ahead);
    bench_add(f, e, mean_value(&g));
    (void)snprintf(f->note, sizeof f->note, "least: %s", g.where);
}

void bench_products(bench *b, env *e)
{
    mean all[2] = { 0 };
    one_form(b, e, AC_MM_NT, true, &all[1]);
    one_form(b, e, AC_MM_NT, false, &all[0]);
    one_form(b, e, AC_MM_NN, true, &all[1]);
    one_form(b, e, AC_MM_NN, false, &all[0]);
    one_form(b, e, AC_MM_TN, false, &all[0]);
    for (size_t i = 2; i-- > 0;) {
        figure *f = bench_figure(b, e, &(demand){ i ? "products.ahead.least" : "products.fp32.least",
                                                  i ? "the slowest of those packed ahead" : "the slowest of the others",
                                                  "%", i && e->main_tier ? 0.80 : 0, 0, false });
        bench_add(f, e, all[i].worst);
        (void)snprintf(f->note, sizeof f->note, "%s", all[i].where);
    }
}

#ifdef AC_NUMERICS_BF16
static void bf16_numerics(bench *b, env *e);
#endif

void bench_stored(bench *b, env *e)
{
    static const struct { ac_dtype type; const char *id; } types[] = {
        { AC_BF16, "stored.bf16" }, { AC_Q8_0, "stored.q8_0" }, { AC_Q4_1, "stored.q4_1" } };
    if (!e->main_tier) return;
    for (size_t t = 0; t < AC_COUNTOF(types); t++) {
        mean g = { 0 };
        for (size_t i = 0; i < 16; i++) {
            product p;
            const layer_shape *l = &bench_layers[i / 2];
            if (bench_product(&p, b, e, i % 2 ? AC_MM_NN : AC_MM_NT, types[t].type, 512, l->out, l->in))
                mean_add(&g, l, 512, bench_share(e, bench_product_run, &p, bench_product_flops(&p)));
        }
        figure *f = bench_figure(b, e, &(demand){ types[t].id, "weights expanded at each call, m = 512, nt and nn", "%",
                                                  0.80, 0.88, false });
        bench_add(f, e, mean_value(&g));
        (void)snprintf(f->note, sizeof f->note, "least: %s", g.where);
    }
#ifdef AC_NUMERICS_BF16
    bf16_numerics(b, e);
#endif
}

#ifdef AC_NUMERICS_BF16
/* Both arithmetics over the same stored weights. */
static void bf16_numerics(bench *b, env *e)
{
    figure *f = bench_figure(b, e, &(demand){ "numerics.bf16", "times as fast as fp32, bf16 weights, m = 512, nt and nn",
                                              "x", 1.85, 1.95, false });
    mean g = { 0 };
    for (size_t i = 0; i < 16; i++) {
        product fp32, bf16;
        const layer_shape *l = &bench_layers[i / 2];
        if (!bench_product(&fp32, b, e, i % 2 ? AC_MM_NN : AC_MM_NT, AC_BF16, 512, l->out, l->in)) continue;
        bf16 = fp32;
        bf16.args.numerics = AC_NUM_BF16;
        mean_add(&g, l, 512, bench_times(e, bench_product_run, &bf16, bench_product_run, &fp32));
    }
    bench_add(f, e, mean_value(&g));
    (void)snprintf(f->note, sizeof f->note, "%s", ac_kernels_bf16_route().used ? "by vdpbf16ps" : "by the fp32 tiles");
}
#endif

/* The six products of a rank 16 adapter over 512 tokens, as they take time in a step: sum of work over sum of time. */
void bench_thin(bench *b, env *e)
{
    static const char *const id[6] = { "thin.xA", "thin.hB", "thin.dyB", "thin.dhA", "thin.dA", "thin.dB" };
    if (!e->main_tier) return;
    for (size_t i = 0; i < 6; i++) {
        mean g = { 0 };
        for (size_t j = 0; j < 4; j++) {
            const layer_shape *l = &bench_layers[j];
            const ac_mm_form form = i < 2 ? AC_MM_NT : i < 4 ? AC_MM_NN : AC_MM_TN;
            /* out x in of the factor that stands at the right, or of the gradient */
            const size_t out = i == 0 ? 16 : i == 1 ? l->out : i == 2 ? l->out : i == 3 ? 16 : i == 4 ? 16 : l->out;
            const size_t in = i == 0 ? l->in : i == 1 ? 16 : i == 2 ? 16 : i == 3 ? l->in : i == 4 ? l->in : 16;
            product p;
            if (!bench_product(&p, b, e, form, AC_F32, 512, out, in)) continue;
            p.copies = p.copies < 4 ? p.copies : 4;      /* activations were just written: they are in the cache */
            p.args.accumulate = i != 0 && i != 2;
            mean_add(&g, l, 512, bench_share(e, bench_product_run, &p, bench_product_flops(&p)));
        }
        bench_add(bench_figure(b, e, &(demand){ id[i], "rank 16, 135 M, 512 tokens", "%", 0, 0, false }), e,
                  mean_value(&g));
    }
}
