/* shards: the cut, the fold, and whole runs: V = 1 is what it was before there were shards, and any V gives the same bytes
 * however it is computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "train/train_int.h"
#include "train_run.h"

static ac_dataset rows, valid;

static int open_all(void **state)
{
    (void)state;
    rows = tiny_rows(40, 16, 97, 1);
    valid = tiny_rows(9, 16, 97, 2);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return ac_live_bytes() == 0 ? 0 : -1;
}

static void the_cut_is_whole_and_even(void **state)
{
    (void)state;
    for (size_t v = 1; v <= AC_SHARDS_MAX; v *= 2) {
        for (size_t n = 0; n < 200; n++) {
            size_t at = 0;
            for (size_t p = 0; p < v; p++) {
                const ac_span_of_units s = ac_shard_units(n, v, p);
                assert_true(s.from == at && s.to >= s.from && s.to - s.from <= (n + v - 1) / v && s.to - s.from >= n / v);
                at = s.to;
            }
            assert_int_equal(at, n);
        }
    }
}

/* As the text of docs/numerics.md has it: all parts at once, stride doubling. */
static void fold_plainly(float *g, double *loss, size_t parts, size_t n)
{
    for (size_t s = 1; s < parts; s *= 2)
        for (size_t i = 0; i < parts; i += 2 * s) {
            for (size_t k = 0; k < n; k++) g[i * n + k] += g[(i + s) * n + k];
            loss[i] += loss[i + s];
        }
}

static float value(size_t part, size_t k)
{
    if (k % 7 == 0) return k % 2 ? -0.0f : 0.0f;         /* -0 + +0 is +0: an empty part is seen */
    const uint32_t r = ac_rng_below(5, AC_RNG_TEST, part, k, 1u << 20);
    return ((float)r - 500000.0f) * (k % 3 ? 1e-3f : 1e4f);
}

static void the_fold_is_the_tree(void **state)
{
    (void)state;
    enum { N = 333 };
    ac_device *dev = NULL;
    assert_int_equal(ac_device_open_cpu(&dev, AC_CPU_AUTO, 2, NULL), AC_OK);
    for (size_t parts = 1; parts <= AC_SHARDS_MAX; parts *= 2) {
        float *want = ac_calloc(parts * N, sizeof *want), *mine = ac_calloc(N, sizeof *mine);
        double loss[AC_SHARDS_MAX];
        ac_fold f;
        ac_err err = { 0 };
        assert_int_equal(ac_fold_open(&f, dev, mine, N, parts, &err), AC_OK);
        for (int again = 0; again < 2; again++) {        /* what a step leaves does not reach into the next */
            ac_fold_begin(&f);
            for (size_t p = 0; p < parts; p++) {
                float *g = NULL;
                assert_int_equal(ac_fold_next(&f, &g, &err), AC_OK);
                for (size_t k = 0; k < N; k++) {
                    uint32_t bits;
                    memcpy(&bits, &g[k], sizeof bits);
                    assert_int_equal(bits, 0);
                    want[p * N + k] = p % 5 == 3 ? 0.0f : value(p, k);
                    g[k] += want[p * N + k];
                    want[p * N + k] += 0.0f;
                }
                loss[p] = 1.0 / (double)(p + 3);
                assert_int_equal(ac_fold_end(&f, loss[p], &err), AC_OK);
            }
            fold_plainly(want, loss, parts, N);
            assert_memory_equal(want, mine, N * sizeof *mine);
            assert_memory_equal(loss, f.loss, sizeof *loss);
        }
        ac_fold_close(&f);
        ac_free(want);
        ac_free(mine);
    }
    ac_device_close(&dev);
}

typedef struct {
    size_t threads, micro;
    uint64_t stop_after;
} way;

static outcome_bits train(const ac_train_opts *options, way w, ac_train_result *out)
{
    const char *dir = tiny_dir();
    tiny t;
    ac_train_opts o = *options;
    ac_train_result r;
    ac_err err = { 0 };
    o.micro_batch = w.micro;
    assert_true(tiny_open(&t, TINY_LLAMA, AC_CPU_AUTO, w.threads));
    ac_train_job j = tiny_job(&t, &o, &rows, &valid, dir);
    j.stop_after_step = w.stop_after;
    ac_status st = ac_train_run(&j, &r, &err);
    if (w.stop_after) {
        assert_int_equal(st, AC_ECANCEL);
        j.stop_after_step = 0;
        j.resume = true;
        err = (ac_err){ 0 };
        st = ac_train_run(&j, &r, &err);
    }
    if (st) fail_msg("%s", err.text);
    const outcome_bits b = bits_of(dir);
    if (out) *out = r;
    tiny_close(&t);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    return b;
}

static ac_train_opts options_of(size_t shards, bool packing)
{
    ac_train_opts o = tiny_opts();
    o.shards = shards;
    o.packing = packing;
    o.batch_rows = 9;
    o.dropout = 0.1;
    return o;
}

static void one_shard_is_what_was_before(void **state)
{
    (void)state;
    /* Written down from the program as it was before there were shards. */
    static const char *const want[2][2] = {
        { "1f4e4a82c0027e220ee7e15c926939c75baa79b09f0ce8236a6f09d4981d21f3", "61693062e79db20a202d9386380d15feb018aca0a80e8e2a675abb5d407408dd" },
        { "f6202c871e966294dfd496d9a9518b0a68a0167d50424a20bad3b5492cea2c9f", "20797338fae597ee036a3470886649c00a11d96814bc717a1ab7dabddc5afb24" },
    };
    for (int packing = 0; packing < 2; packing++) {
        const ac_train_opts o = options_of(1, packing);
        const outcome_bits b = train(&o, (way){ .threads = 1, .micro = 4 }, NULL);
        char adapter[AC_SHA256_HEX], trace[AC_SHA256_HEX];
        ac_sha256_hex(adapter, &b.adapter);
        ac_sha256_hex(trace, &b.trace);
        assert_string_equal(adapter, want[packing][0]);
        assert_string_equal(trace, want[packing][1]);
    }
}

static void any_way_to_compute_it_gives_its_bytes(void **state)
{
    (void)state;
    static const way ways[] = { { 2, 1, 0 }, { 1, 3, 0 }, { 1, 9, 3 }, { 2, 2, 5 } };
    outcome_bits seen[3];
    size_t n = 0;
    for (size_t shards = 2; shards <= 8; shards *= 2)
        for (int packing = 0; packing < 2; packing++) {
            const ac_train_opts o = options_of(shards, packing);
            const outcome_bits want = train(&o, (way){ .threads = 1, .micro = 1 }, NULL);
            for (size_t i = 0; i < AC_COUNTOF(ways); i++) {
                const outcome_bits got = train(&o, ways[i], NULL);
                if (!same_bits(&got, &want)) fail_msg("%zu shards, way %zu: other bytes", shards, i);
            }
            if (packing) continue;                       /* three or four units: eight parts may be the tree of four */
            for (size_t i = 0; i < n; i++) assert_false(same_bits(&seen[i], &want));   /* the contract decides them */
            seen[n++] = want;
        }
}

/* The same sum in another order: the same learning. */
static void shards_do_not_change_what_is_learnt(void **state)
{
    (void)state;
    ac_train_result one, eight;
    const ac_train_opts a = options_of(1, false), b = options_of(8, false);
    (void)train(&a, (way){ .threads = 1, .micro = 1 }, &one);
    (void)train(&b, (way){ .threads = 1, .micro = 1 }, &eight);
    assert_true(one.last_loss - eight.last_loss < 1e-4 && eight.last_loss - one.last_loss < 1e-4);
    assert_true(one.best_valid_loss - eight.best_valid_loss < 1e-4 && eight.best_valid_loss - one.best_valid_loss < 1e-4);
}

typedef struct {
    size_t warnings;
    char text[256];
} seen;

static ac_status watch(void *ctx, const ac_event *e, ac_err *err)
{
    (void)err;
    seen *s = ctx;
    if (e->kind != AC_EV_WARN) return AC_OK;
    s->warnings++;
    (void)snprintf(s->text, sizeof s->text, "%s", e->text);
    return AC_OK;
}

static void empty_parts_are_told_of(void **state)
{
    (void)state;
    for (int packing = 0; packing < 2; packing++) {
        const char *dir = tiny_dir();
        tiny t;
        seen s = { 0 };
        const ac_sink sink = { watch, &s };
        ac_train_opts o = options_of(8, packing);        /* packed, nine rows are three or four units */
        ac_train_result r;
        ac_err err = { 0 };
        assert_true(tiny_open(&t, TINY_LLAMA, AC_CPU_AUTO, 1));
        ac_train_job j = tiny_job(&t, &o, &rows, &valid, dir);
        j.sink = &sink;
        if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
        assert_int_equal(s.warnings, packing);
        if (packing) assert_non_null(strstr(s.text, "5 of the 5 steps of an epoch have fewer units than method.shards, 8"));
        tiny_close(&t);
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

static void a_resume_needs_the_same_shards(void **state)
{
    (void)state;
    const char *dir = tiny_dir();
    tiny t;
    ac_train_opts o = options_of(4, true);
    ac_train_result r;
    ac_err err = { 0 };
    assert_true(tiny_open(&t, TINY_LLAMA, AC_CPU_AUTO, 1));
    ac_train_job j = tiny_job(&t, &o, &rows, &valid, dir);
    j.stop_after_step = 2;
    assert_int_equal(ac_train_run(&j, &r, &err), AC_ECANCEL);
    o.shards = 2;
    j.resume = true;
    j.stop_after_step = 0;
    err = (ac_err){ 0 };
    assert_int_equal(ac_train_run(&j, &r, &err), AC_ECONTRACT);
    o.shards = 3;
    err = (ac_err){ 0 };
    assert_int_equal(ac_train_run(&j, &r, &err), AC_EARG);
    assert_non_null(strstr(err.text, "shards"));
    tiny_close(&t);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_is_whole_and_even),
        cmocka_unit_test(the_fold_is_the_tree),
        cmocka_unit_test(one_shard_is_what_was_before),
        cmocka_unit_test(any_way_to_compute_it_gives_its_bytes),
        cmocka_unit_test(shards_do_not_change_what_is_learnt),
        cmocka_unit_test(empty_parts_are_told_of),
        cmocka_unit_test(a_resume_needs_the_same_shards),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
