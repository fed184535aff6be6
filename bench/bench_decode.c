/* bench_decode - prefill and decoding of a model by the number of sequences at once. JSON: for each, tokens a second,
 * and how many times the rate of one. Rounds go once through all numbers, so that neighbours who take the machine for
 * a while spoil a round and not a number; medians are printed. With one thread, times are the process's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/time.h"
#include "bench_peak.h"
#include "model/model.h"

enum { ROUNDS_MAX = 32, PROMPT = 32, STEPS = 6, MOST = 16 };
static const size_t batches[] = { 1, 4, 16 };
enum { N_BATCHES = sizeof batches / sizeof batches[0] };

typedef struct {
    ac_device *dev;
    ac_model *model;
    ac_kv *kv;
    ac_pool *clock;            /* says which clock bench_ns takes */
    float *logits;
    int32_t ids[PROMPT], next[MOST];
} bench;

static ac_status open_all(bench *b, const char *path, size_t threads, ac_err *err)
{
    ac_status st = ac_device_open_cpu(&b->dev, AC_CPU_AUTO, threads, err);
    if (!st) st = ac_model_open(&b->model, b->dev, path, err);
    if (!st) st = ac_kv_open(&b->kv, b->model, MOST, PROMPT + STEPS, err);
    if (!st) st = ac_pool_open(&b->clock, threads, err);
    if (st) return st;
    b->logits = ac_calloc(MOST * ac_model_get_config(b->model)->vocab, sizeof *b->logits);
    if (!b->logits) return ac_fail_nomem(err, MOST);
    for (size_t i = 0; i < PROMPT; i++) b->ids[i] = (int32_t)(100 + i % 800);
    return AC_OK;
}

/* Tokens a second of n sequences: their prompts (one after another), then STEPS tokens each. */
static ac_status once(bench *b, size_t n, double *prefill, double *decode, ac_err *err)
{
    ac_feed feeds[MOST];
    ac_status st = AC_OK;
    int64_t from = bench_ns(b->clock);
    for (size_t i = 0; i < n && !st; i++) {
        ac_kv_truncate(b->kv, i, 0);
        st = ac_model_feed(b->model, NULL, b->kv, &(ac_feed){ i, b->ids, PROMPT }, 1, b->logits, err);
        b->next[i] = (int32_t)(200 + i);
        feeds[i] = (ac_feed){ i, &b->next[i], 1 };
    }
    *prefill = (double)(n * PROMPT) * 1e9 / (double)(bench_ns(b->clock) - from);
    from = bench_ns(b->clock);
    for (size_t i = 0; i < STEPS && !st; i++) st = ac_model_feed(b->model, NULL, b->kv, feeds, n, b->logits, err);
    *decode = (double)(n * STEPS) * 1e9 / (double)(bench_ns(b->clock) - from);
    return st;
}

static int by_value(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static ac_status run(bench *b, size_t rounds, ac_err *err)
{
    static double rate[N_BATCHES][ROUNDS_MAX], times[N_BATCHES][ROUNDS_MAX], prefill[ROUNDS_MAX];
    double ignored = 0;
    ac_status st = once(b, 1, &ignored, &ignored, err);      /* lays the weights out */
    for (size_t r = 0; r < rounds && !st; r++) {
        for (size_t i = 0; i < N_BATCHES && !st; i++) {
            st = once(b, batches[i], &prefill[r], &rate[i][r], err);
            times[i][r] = rate[i][r] / rate[0][r];
        }
    }
    if (st) return st;
    printf("{\"device\":\"%s\",\"prefill_tokens_s\":%.1f,\"decode\":[", ac_device_name(b->dev),
           median(prefill, rounds));
    for (size_t i = 0; i < N_BATCHES; i++)
        printf("%s\n {\"sequences\":%zu,\"tokens_s\":%.1f,\"times_one\":%.2f}", i ? "," : "", batches[i],
               median(rate[i], rounds), median(times[i], rounds));
    printf("\n]}\n");
    return AC_OK;
}

int main(int argc, char **argv)
{
    static bench b;
    ac_err err = { 0 };
    const size_t threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 2, rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    if (argc < 2 || argc > 4 || !threads || !rounds || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_decode model [threads (2)] [rounds (5, at most %d)]\n", ROUNDS_MAX);
        return 64;
    }
    ac_status st = open_all(&b, argv[1], threads, &err);
    if (!st) st = run(&b, rounds, &err);
    if (st) fprintf(stderr, "bench_decode: %s\n", err.text);
    ac_free(b.logits);
    ac_pool_close(&b.clock);
    ac_kv_close(&b.kv);
    ac_model_close(&b.model);
    ac_device_close(&b.dev);
    return st ? 70 : 0;
}
