#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "generate/generate.h"
#include "generate/sample_int.h"
#include "train_tiny.h"

#define VOCAB   97
#define CONTEXT 128
#define N_REQ   13

static tiny t1;
static ac_gen_request req[N_REQ];
static int32_t prompts[N_REQ][CONTEXT];

/* Prompts of very different lengths: together over 1,024 tokens, so that some are fed in pieces. */
static int open_all(void **state)
{
    (void)state;
    static const size_t lens[N_REQ] = { 5, 1, 120, 118, 121, 119, 117, 3, 122, 116, 121, 40, 2 };
    for (size_t i = 0; i < N_REQ; i++) {
        for (size_t k = 0; k < lens[i]; k++) {
            prompts[i][k] = (int32_t)(3 + ac_rng_below(11, AC_RNG_TEST, i, k, VOCAB - 3));
        }
        req[i] = (ac_gen_request){ .prompt = prompts[i], .n_prompt = lens[i], .number = i };
    }
    return tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 1) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t1);
    return ac_live_bytes() == 0 ? 0 : -1;
}

static void run(const tiny *t, const ac_gen_opts *o, size_t n, ac_gen_answer *a)
{
    ac_err err = { 0 };
    memset(a, 0, n * sizeof *a);
    if (ac_generate(t->model, NULL, req, n, o, a, NULL, NULL, NULL, &err)) fail_msg("%s", err.text);
}

static void drop(ac_gen_answer *a, size_t n)
{
    for (size_t i = 0; i < n; i++) ac_ids_release(&a[i].ids);
}

static void same_answers(const ac_gen_answer *a, const ac_gen_answer *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].end, b[i].end);
        assert_int_equal(a[i].ids.n, b[i].ids.n);
        if (a[i].ids.n) assert_memory_equal(a[i].ids.id, b[i].ids.id, a[i].ids.n * sizeof(int32_t));
    }
}

/* The slow way: all logits of the whole sequence, for each token anew. */
static void greedy_is_the_largest_logit(void **state)
{
    (void)state;
    const ac_gen_opts o = { .max_tokens = 12, .ignore_stop = true };
    ac_gen_answer a[N_REQ];
    float *logits = ac_malloc(sizeof(float) * VOCAB * CONTEXT);
    assert_non_null(logits);
    run(&t1, &o, N_REQ, a);
    for (size_t i = 0; i < N_REQ; i++) {
        int32_t ids[CONTEXT];
        size_t n = req[i].n_prompt;
        memcpy(ids, req[i].prompt, n * sizeof *ids);
        for (size_t k = 0; k < a[i].ids.n; k++) {
            ac_err err = { 0 };
            if (ac_model_logits(t1.model, NULL, ids, n, logits, &err)) fail_msg("%s", err.text);
            const float *last = logits + (n - 1) * VOCAB;
            int32_t best = 0;
            for (int32_t v = 1; v < VOCAB; v++) {
                if (last[v] > last[best]) best = v;
            }
            assert_int_equal(a[i].ids.id[k], best);
            ids[n++] = best;
        }
        if (a[i].end == AC_GEN_CONTEXT) assert_int_equal(n, CONTEXT);
        else assert_int_equal(a[i].ids.n, 12);
        assert_int_equal(a[i].end, req[i].n_prompt + 12 > CONTEXT ? AC_GEN_CONTEXT : AC_GEN_LENGTH);
    }
    drop(a, N_REQ);
    ac_free(logits);
}

/* Turns of a conversation over a kept cache say what they say without one, while most of each prompt is reused. */
static void a_kept_cache_changes_nothing(void **state)
{
    (void)state;
    static const ac_gen_opts modes[] = {
        { .max_tokens = 9, .ignore_stop = true },
        { .max_tokens = 9, .ignore_stop = true, .temperature = 1.1, .top_p = 1, .seed = 5 },
    };
    for (size_t m = 0; m < AC_COUNTOF(modes); m++) {
        ac_gen_cache cache = { 0 };
        int32_t ids[CONTEXT] = { 7, 9, 11 };
        size_t n = 3;
        for (size_t turn = 0; turn < 8; turn++) {
            ac_err err = { 0 };
            ac_gen_opts o = modes[m];
            const ac_gen_request r = { .prompt = ids, .n_prompt = n, .number = turn };
            ac_gen_answer want = { 0 }, got = { 0 };
            if (ac_generate(t1.model, NULL, &r, 1, &o, &want, NULL, NULL, NULL, &err)) fail_msg("%s", err.text);
            o.cache = &cache;
            if (ac_generate(t1.model, NULL, &r, 1, &o, &got, NULL, NULL, NULL, &err)) fail_msg("%s", err.text);
            same_answers(&got, &want, 1);
            /* Turn 3 asks the same again, turn 5 begins anew; the cache is opened larger in turn 1 and later. */
            if (turn == 4) assert_int_equal(cache.reused, n - 1);
            if (turn == 6) assert_int_equal(cache.reused, 1);
            assert_true(turn == 0 || cache.reused < n);
            if (turn != 3) {
                for (size_t i = 0; i < want.ids.n; i++) ids[n++] = want.ids.id[i];
                ids[n++] = (int32_t)(5 + turn);
            }
            if (turn == 5) {
                n = 2;
                ids[1] = 50;
            }
            drop(&want, 1);
            drop(&got, 1);
        }
        assert_true(cache.reused > 2);
        ac_err err = { 0 };
        ac_gen_opts o = modes[m];
        o.cache = &cache;
        ac_gen_answer two[2] = { 0 };
        assert_int_equal(ac_generate(t1.model, NULL, req, 2, &o, two, NULL, NULL, NULL, &err), AC_EARG);
        ac_gen_cache_close(&cache);
    }
}

/* G1 */
static void batches_change_nothing(void **state)
{
    (void)state;
    const ac_gen_opts modes[] = {
        { .max_tokens = 20, .ignore_stop = true },
        { .max_tokens = 20, .ignore_stop = true, .temperature = 1.1, .top_p = 1, .seed = 5 },
        { .max_tokens = 20, .ignore_stop = true, .temperature = 0.8, .top_k = 20, .top_p = 0.9, .min_p = 0.02, .seed = 5 },
    };
    for (size_t m = 0; m < AC_COUNTOF(modes); m++) {
        ac_gen_opts o = modes[m];
        ac_gen_answer want[N_REQ], got[N_REQ];
        o.max_batch = 1;
        run(&t1, &o, N_REQ, want);
        static const size_t sizes[] = { 0, 2, 3, 8, 100 };
        for (size_t s = 0; s < AC_COUNTOF(sizes); s++) {
            o.max_batch = sizes[s];
            run(&t1, &o, N_REQ, got);
            same_answers(got, want, N_REQ);
            drop(got, N_REQ);
        }
        o.max_batch = 4;
        run(&t1, &o, 3, got);                           /* fewer neighbours */
        same_answers(got, want, 3);
        drop(got, 3);
        tiny t;
        assert_true(tiny_open(&t, TINY_LLAMA, AC_CPU_REF, 2));
        run(&t, &o, N_REQ, got);
        same_answers(got, want, N_REQ);
        drop(got, N_REQ);
        tiny_close(&t);
        drop(want, N_REQ);
    }
}

static void stops(void **state)
{
    (void)state;
    ac_gen_opts o = { .max_tokens = 6, .ignore_stop = true };
    ac_gen_answer free_run[2], a[2];
    run(&t1, &o, 2, free_run);
    const int32_t stop = free_run[0].ids.id[3];
    size_t first = 0;
    while (free_run[0].ids.id[first] != stop) first++;
    o.stop = &stop;
    o.n_stop = 1;
    run(&t1, &o, 2, a);
    same_answers(a, free_run, 2);                       /* ignore_stop */
    drop(a, 2);
    o.ignore_stop = false;
    run(&t1, &o, 1, a);
    assert_int_equal(a[0].end, AC_GEN_STOP);
    assert_int_equal(a[0].ids.n, first);                /* not part of the answer */
    drop(a, 1);
    o.max_tokens = 0;
    run(&t1, &o, 2, a);
    assert_int_equal(a[1].ids.n, 0);
    assert_int_equal(a[1].end, AC_GEN_LENGTH);
    drop(free_run, 2);
}

typedef struct {
    size_t calls, per_request[N_REQ];
} heard;

static bool twice(void *ctx, size_t request, int32_t id)
{
    heard *h = ctx;
    assert_in_range(id, 0, VOCAB - 1);
    h->calls++;
    return ++h->per_request[request] < 2;
}

static ac_status last_progress(void *ctx, const ac_event *e, ac_err *err)
{
    (void)err;
    if (e->kind == AC_EV_PROGRESS) *(ac_event *)ctx = *e;
    return AC_OK;
}

static void a_listener_can_stop_a_sequence(void **state)
{
    (void)state;
    const ac_gen_opts o = { .max_tokens = 30, .ignore_stop = true, .max_batch = 3 };
    heard h = { 0 };
    ac_event e = { 0 };
    const ac_sink sink = { last_progress, &e };
    ac_gen_answer a[N_REQ] = { 0 };
    assert_int_equal(ac_generate(t1.model, NULL, req, N_REQ, &o, a, twice, &h, &sink, NULL), AC_OK);
    assert_int_equal(h.calls, 2 * N_REQ);
    assert_int_equal(e.done, 2 * N_REQ);
    assert_int_equal(e.total, e.done);
    for (size_t i = 0; i < N_REQ; i++) {
        assert_int_equal(a[i].ids.n, 2);
        assert_int_equal(a[i].end, AC_GEN_STOP);
    }
    drop(a, N_REQ);
}

static void refused(const ac_gen_request *r, const ac_gen_opts *o, const char *text)
{
    ac_err err = { 0 };
    ac_gen_answer a = { 0 };
    assert_int_equal(ac_generate(t1.model, NULL, r, 1, o, &a, NULL, NULL, NULL, &err), AC_EARG);
    if (!strstr(err.text, text)) fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    assert_null(a.ids.id);
}

static void bad_requests(void **state)
{
    (void)state;
    static int32_t many[CONTEXT + 1], wrong[2] = { 5, VOCAB }, negative = -1;
    ac_gen_opts o = { .max_tokens = 4 };
    refused(&(ac_gen_request){ .prompt = many, .n_prompt = 0 }, &o, "empty prompt");
    refused(&(ac_gen_request){ .prompt = many, .n_prompt = CONTEXT + 1 }, &o, "context is 128");
    refused(&(ac_gen_request){ .prompt = wrong, .n_prompt = 2 }, &o, "token id 97");
    refused(&(ac_gen_request){ .prompt = &negative, .n_prompt = 1 }, &o, "token id -1");
    o.temperature = -1;
    refused(req, &o, "temperature");
    o.temperature = NAN;
    refused(req, &o, "temperature");
    o.temperature = 1;
    refused(req, &o, "top-p");
    o.top_p = 1;
    o.min_p = 2;
    refused(req, &o, "min-p");
    ac_gen_answer a = { 0 };                            /* a prompt as long as the context says nothing */
    o = (ac_gen_opts){ .max_tokens = 4 };
    assert_int_equal(ac_generate(t1.model, NULL, &(ac_gen_request){ .prompt = many, .n_prompt = CONTEXT }, 1, &o, &a,
                                 NULL, NULL, NULL, NULL), AC_OK);
    assert_int_equal(a.end, AC_GEN_CONTEXT);
    assert_int_equal(a.ids.n, 0);
}

/* ---- the sampler alone -------------------------------------------------------------------------------------- */

/* Logits log(1) .. log(8): id i has weight i + 1. */
static void counts(const ac_gen_opts *o, size_t *count, size_t draws)
{
    float x[8];
    ac_sampler s;
    for (size_t i = 0; i < 8; i++) x[i] = logf((float)(i + 1));
    assert_int_equal(ac_sampler_open(&s, 8, o, NULL), AC_OK);
    memset(count, 0, 8 * sizeof *count);
    for (size_t i = 0; i < draws; i++) {
        int32_t id = -1;
        assert_int_equal(ac_sampler_take(&s, x, o, i / 100, i % 100, &id, NULL), AC_OK);
        assert_in_range(id, 0, 7);
        count[id]++;
    }
    ac_sampler_close(&s);
}

static void like(const size_t *count, const double *weight, size_t draws)
{
    double sum = 0;
    for (size_t i = 0; i < 8; i++) sum += weight[i];
    for (size_t i = 0; i < 8; i++) {
        const double p = weight[i] / sum, expect = p * (double)draws;
        const double sigma = sqrt(expect * (1 - p));
        if (fabs((double)count[i] - expect) > 5 * sigma) {
            fail_msg("id %zu was drawn %zu times, expected %.0f", i, count[i], expect);
        }
    }
}

static void frequencies(void **state)
{
    (void)state;
    enum { DRAWS = 40000 };
    size_t c[8];
    ac_gen_opts o = { .temperature = 1, .top_p = 1, .seed = 3 };
    counts(&o, c, DRAWS);
    like(c, (double[]){ 1, 2, 3, 4, 5, 6, 7, 8 }, DRAWS);
    o.temperature = 0.5;                                /* weights squared */
    counts(&o, c, DRAWS);
    like(c, (double[]){ 1, 4, 9, 16, 25, 36, 49, 64 }, DRAWS);
    o.temperature = 1;
    o.top_k = 3;
    counts(&o, c, DRAWS);
    like(c, (double[]){ 0, 0, 0, 0, 0, 6, 7, 8 }, DRAWS);
    o.top_p = 0.7;                                      /* of 21: 8 + 7 = 15 holds 71 % */
    counts(&o, c, DRAWS);
    like(c, (double[]){ 0, 0, 0, 0, 0, 0, 7, 8 }, DRAWS);
    o.top_k = 0;                                        /* of 36: 8 + 7 + 6 + 5 = 26 holds 72 % */
    counts(&o, c, DRAWS);
    like(c, (double[]){ 0, 0, 0, 0, 5, 6, 7, 8 }, DRAWS);
    o.min_p = 0.74;                                     /* of 8: from 5.92 up */
    counts(&o, c, DRAWS);
    like(c, (double[]){ 0, 0, 0, 0, 0, 6, 7, 8 }, DRAWS);
    o.top_p = 1;
    o.min_p = 0.45;
    counts(&o, c, DRAWS);
    like(c, (double[]){ 0, 0, 0, 4, 5, 6, 7, 8 }, DRAWS);
    o = (ac_gen_opts){ .temperature = 1, .top_p = 1e-9, .seed = 3 };
    counts(&o, c, 500);
    assert_int_equal(c[7], 500);
    o = (ac_gen_opts){ .temperature = 1e-3, .top_p = 1, .seed = 3 };
    counts(&o, c, 500);
    assert_int_equal(c[7], 500);
}

/* Vocabularies around the pieces of sample.c: the first of the largest, zeros of either sign alike. */
static void long_rows(void **state)
{
    AC_UNUSED(state);
    static const float values[] = { -0.0f, 0.0f, 1e-40f, -1e-40f, -1.0f, -2.5f, -3e38f, 0.5f, 3.5f };
    enum { MOST = 3100, FEW = sizeof values / sizeof *values };
    static float x[MOST];
    uint32_t seed = 7;
    for (size_t round = 0; round < 1000; round++) {
        const size_t n = 1 + round * 31 % MOST, kinds = 2 + round % (FEW - 1);
        const float sign = round % 3 ? 1.0f : -1.0f;
        size_t best = 0;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            x[i] = sign * values[(seed >> 16) % kinds];
            if (x[i] > x[best]) best = i;
        }
        ac_sampler s;
        const ac_gen_opts o = { .temperature = 0 };
        int32_t id = -1;
        assert_int_equal(ac_sampler_open(&s, n, &o, NULL), AC_OK);
        assert_int_equal(ac_sampler_take(&s, x, &o, 0, 0, &id, NULL), AC_OK);
        assert_int_equal(id, best);
        static const float bad[] = { INFINITY, -INFINITY, NAN };
        x[seed % n] = bad[round % 3];
        assert_int_equal(ac_sampler_take(&s, x, &o, 0, 0, &id, NULL), AC_EDIVERGED);
        ac_sampler_close(&s);
    }
}

static void ties_and_bad_logits(void **state)
{
    (void)state;
    float x[5] = { 1, 7, 7, -2, 7 };
    ac_gen_opts o = { 0 };
    ac_sampler s;
    int32_t id = -1;
    ac_err err = { 0 };
    assert_int_equal(ac_sampler_open(&s, 5, &o, NULL), AC_OK);
    assert_int_equal(ac_sampler_take(&s, x, &o, 0, 0, &id, NULL), AC_OK);
    assert_int_equal(id, 1);                            /* G2: the lowest id among equals */
    x[3] = NAN;
    assert_int_equal(ac_sampler_take(&s, x, &o, 0, 0, &id, &err), AC_EDIVERGED);
    assert_non_null(strstr(err.text, "not finite"));
    x[3] = -INFINITY;
    assert_int_equal(ac_sampler_take(&s, x, &o, 0, 0, &id, NULL), AC_EDIVERGED);
    ac_sampler_close(&s);
    o = (ac_gen_opts){ .temperature = 1, .top_k = 2, .top_p = 1, .seed = 1 };
    assert_int_equal(ac_sampler_open(&s, 5, &o, NULL), AC_OK);
    x[3] = -2;
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(ac_sampler_take(&s, x, &o, 0, i, &id, NULL), AC_OK);
        assert_true(id == 1 || id == 2);                /* top-k keeps the lower ids */
    }
    ac_sampler_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_is_the_largest_logit),
        cmocka_unit_test(a_kept_cache_changes_nothing),
        cmocka_unit_test(batches_change_nothing),
        cmocka_unit_test(stops),
        cmocka_unit_test(a_listener_can_stop_a_sequence),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(frequencies),
        cmocka_unit_test(long_rows),
        cmocka_unit_test(ties_and_bad_logits),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
