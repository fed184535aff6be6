/* A LoRA step and the decoding of one token, on the 135 M model's file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench.h"
#include "model/adapter.h"
#include "model/model.h"

enum { UNIT = 512, DOC = 64, UNITS = 1, PROMPT = 32, ROOM = 512, SLOTS = 16 };

typedef struct {
    ac_device *dev;
    ac_model *model;
    ac_adapter *ad;
    ac_kv *kv;
    float *grad, *logits;
} opened;
static opened at_threads[3];
static char why[128];

static int32_t ids[UNIT];
static uint8_t target[UNIT];
static uint32_t doc_start[UNIT / DOC];

static ac_status open_model(opened *o, const bench *b, const env *e, ac_err *err)
{
    const ac_lora_spec spec = { .rank = 16, .alpha = 32, .targets = (1u << AC_TARGET_COUNT) - 1 };
    ac_status st = ac_device_open_cpu(&o->dev, e->kernels.tier, e->threads, err);
    if (!st) st = ac_model_open(&o->model, o->dev, b->model, err);
    if (!st) st = ac_adapter_open(&o->ad, o->model, &spec, err);
    if (!st) ac_adapter_init(o->ad, 1);
    if (!st) st = ac_kv_open(&o->kv, o->model, SLOTS, ROOM, err);
    if (st) return st;
    o->grad = ac_calloc(o->ad->n_params, sizeof *o->grad);
    o->logits = ac_calloc(ac_model_get_config(o->model)->vocab * SLOTS, sizeof *o->logits);
    return o->grad && o->logits ? AC_OK : ac_fail_nomem(err, o->ad->n_params * 4);
}

static void close_model(opened *o)
{
    ac_free(o->grad);
    ac_free(o->logits);
    ac_kv_close(&o->kv);
    ac_adapter_close(&o->ad);
    ac_model_close(&o->model);
    ac_device_close(&o->dev);
    *o = (opened){ 0 };
}

void bench_model_close(void)
{
    for (size_t i = 0; i < 3; i++) close_model(&at_threads[i]);
}

static opened *model_for(const bench *b, const env *e)
{
    opened *o = &at_threads[e->threads];
    ac_err err = { 0 };
    if (o->model) return o;
    if (why[0]) return NULL;
    if (!b->model) {
        (void)snprintf(why, sizeof why, "no --model; run: accord model pull smollm2-135m-instruct");
        return NULL;
    }
    if (open_model(o, b, e, &err)) {
        (void)snprintf(why, sizeof why, "%.120s", err.text);
        close_model(o);
        return NULL;
    }
    for (size_t i = 0; i < UNIT; i++) {
        ids[i] = (int32_t)(i * 2654435761u % (ac_model_get_config(o->model)->vocab - 1));
        target[i] = i % DOC != 0;
        doc_start[i / DOC] = (uint32_t)(i / DOC * DOC);
    }
    return o;
}

/* Two for each multiply-add that the mathematics asks for: forward and input gradient of every layer, the adapter's six
 * products, attention over each document, and the output layer at supervised tokens. What is computed twice to save
 * memory counts once. */
static double unit_flops(const opened *o)
{
    const ac_model_config *c = ac_model_get_config(o->model);
    const double q = (double)(c->n_heads * c->head_dim), kv = (double)(c->n_kv_heads * c->head_dim);
    const double hidden = (double)c->hidden, layers = (double)c->n_layers, tokens = UNIT;
    const double weights = layers * (hidden * (2 * q + 2 * kv) + 3 * hidden * (double)c->ffn);
    const double adapter = (double)o->ad->n_params;
    const double pairs = (double)DOC * (DOC + 1) / 2 * (UNIT / DOC);
    const double supervised = UNIT - UNIT / DOC;
    return 4 * weights * tokens + 6 * adapter * tokens + layers * pairs * q * 14 +
           4 * hidden * (double)c->vocab * supervised;
}

static bool one_unit(opened *o, size_t index)
{
    const ac_unit u = { .ids = ids, .target = target, .n = UNIT, .doc_start = doc_start, .n_docs = UNIT / DOC,
                        .index = index };
    const ac_pass pass = { .inv_n = 1.0 / (UNITS * UNIT), .seed = 1, .step = 1 };
    double loss = 0;
    ac_err err = { 0 };
    if (ac_model_grad(o->model, o->ad, &u, 1, &pass, o->grad, &loss, &err) == AC_OK) return true;
    (void)snprintf(why, sizeof why, "%.120s", err.text);
    return false;
}

static double seconds_since(const env *e, int64_t from)
{
    return (double)(bench_ns(e->pool) - from) * 1e-9;
}

/* Units one after another with bursts of the peak between them; the norm and the update count as time. */
static void lora_step(bench *b, env *e, opened *o)
{
    figure *f = bench_figure(b, e, &(demand){ "lora.step", "135 M, rank 16, seven linears, units of 512", "%", 0.65, 0.75,
                                              false });
    figure *rate = bench_figure(b, e, &(demand){ "lora.tokens", "the same", "tokens/s", 0, 0, false });
    double seconds = 0, peak = 0;
    memset(o->grad, 0, o->ad->n_params * sizeof *o->grad);
    for (size_t i = 0; i < UNITS; i++) {
        for (size_t j = 0; j < 8; j++) peak += bench_peak_gflops(e->pool, e->kernels.tier) / (16 * UNITS);
        const int64_t from = bench_ns(e->pool);
        if (!one_unit(o, i)) {
            bench_not_run(f, why);
            return;
        }
        seconds += seconds_since(e, from);
        for (size_t j = 0; j < 8; j++) peak += bench_peak_gflops(e->pool, e->kernels.tier) / (16 * UNITS);
    }
    const int64_t from = bench_ns(e->pool);
    (void)e->kernels.sum_squares(o->grad, o->ad->n_params);
    seconds += seconds_since(e, from);
    bench_add(f, e, UNITS * unit_flops(o) / seconds * 1e-9 / peak);
    bench_add(rate, e, UNITS * UNIT / seconds);
}

/* Sixteen sequences at once against one. */
static void batch(bench *b, env *e, opened *o, double one)
{
    figure *f = bench_figure(b, e, &(demand){ "decode.batch16", "tokens/s of 16 sequences over those of one", "x", 4, 0,
                                              false });
    ac_feed feed[SLOTS];
    double best = 1e9;
    ac_err err = { 0 };
    ac_status st = AC_OK;
    for (size_t i = 0; i < SLOTS; i++) {
        ac_kv_truncate(o->kv, i, 0);
        feed[i] = (ac_feed){ .slot = i, .ids = ids, .n = PROMPT };
    }
    for (size_t i = 0; i < 5 && !st; i++) {               /* the first feeds the prompts */
        const int64_t from = bench_ns(e->pool);
        st = ac_model_feed(o->model, NULL, o->kv, feed, SLOTS, o->logits, &err);
        const double s = seconds_since(e, from);
        if (i && s < best) best = s;
        for (size_t j = 0; j < SLOTS; j++) feed[j].n = 1;
    }
    if (st) bench_not_run(f, err.text);
    else bench_add(f, e, SLOTS * one / best);
}

static void decode(bench *b, env *e, opened *o)
{
    figure *f = bench_figure(b, e, &(demand){ "decode.one", "one token: weights read once, of reading 96 MiB", "%", 0.80,
                                              0.90, false });
    figure *rate = bench_figure(b, e, &(demand){ "decode.tokens", "the same", "tokens/s", 0, 0, false });
    const double bytes = (double)ac_model_get_config(o->model)->weight_bytes;
    double best = 1e9, read = 0;
    ac_err err = { 0 };
    ac_kv_truncate(o->kv, 0, 0);
    ac_feed feed = { .slot = 0, .ids = ids, .n = PROMPT };
    ac_status st = ac_model_feed(o->model, NULL, o->kv, &feed, 1, o->logits, &err);
    feed.n = 1;
    for (size_t i = 0; i < 12 && !st; i++) {
        const double r = bench_read_gbytes(e->pool, e->kernels.tier, b->weights, WEIGHT_BYTES);
        const int64_t from = bench_ns(e->pool);
        for (size_t j = 0; j < 2 && !st; j++) st = ac_model_feed(o->model, NULL, o->kv, &feed, 1, o->logits, &err);
        const double s = seconds_since(e, from) / 2;
        if (r > read) read = r;
        if (s < best) best = s;
    }
    if (st) {
        bench_not_run(f, err.text);
        return;
    }
    bench_add(f, e, bytes / best * 1e-9 / read);
    bench_add(rate, e, 1 / best);
    batch(b, e, o, best);
}

void bench_model(bench *b, env *e)
{
    if (!e->main_tier) return;
    opened *o = model_for(b, e);
    if (!o) {
        bench_not_run(bench_figure(b, e, &(demand){ "lora.step", "135 M", "%", 0.65, 0.75, false }), why);
        bench_not_run(bench_figure(b, e, &(demand){ "decode.one", "135 M", "%", 0.80, 0.90, false }), why);
        return;
    }
    lora_step(b, e, o);
    decode(b, e, o);
}
