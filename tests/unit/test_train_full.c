/* Training of all weights: the same bytes at any micro-batch, tier and thread count and after any stop, and a result
 * that is a model of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "train_run.h"

static const char *base_path = TINY_LLAMA;
static ac_numerics numerics;

static ac_train_opts full_opts(void)
{
    ac_train_opts o = tiny_opts();
    o.lora = (ac_lora_spec){ .tune = AC_TUNE_FULL };
    o.lr = 2e-3;
    return o;
}

static outcome_bits full_bits(const char *dir)
{
    return (outcome_bits){ tiny_file_hash(dir, "model/model.safetensors"), tiny_file_hash(dir, "trace.jsonl") };
}

/* One run from start to end, stopped and resumed after every step where `stops` is set. */
static outcome_bits train(ac_cpu tier, size_t threads, size_t micro, bool stops, double losses[2])
{
    ac_err err = { 0 };
    tiny t;
    ac_train_result res = { 0 };
    const char *dir = tiny_dir();
    ac_dataset rows = tiny_rows(20, 18, 97, 3), valid = tiny_rows(5, 18, 97, 4);
    ac_train_opts o = full_opts();
    o.micro_batch = micro;
    o.numerics = numerics;
    assert_true(tiny_open(&t, base_path, tier, threads));
    ac_train_job job = tiny_job(&t, &o, &rows, &valid, dir);
    ac_status st = AC_ECANCEL;
    for (uint64_t stop = 1; stops && st == AC_ECANCEL && stop < 100; stop++) {
        err = (ac_err){ 0 };
        job.stop_after_step = stop;
        st = go_on(&job, &res, &err);
    }
    if (!stops) st = ac_train_run(&job, &res, &err);
    if (st) fail_msg("%s", err.text);
    losses[0] = res.start_valid_loss;
    losses[1] = res.best_valid_loss;
    outcome_bits b = full_bits(dir);
    assert_memory_equal(&b.adapter, &res.adapter_hash, sizeof b.adapter);
    tiny_close(&t);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    assert_int_equal(ac_live_bytes(), 0);
    return b;
}

static void check_same(const char *path)
{
    base_path = path;
    double loss[2], other[2];
    const outcome_bits want = train(AC_CPU_AUTO, 1, 1, false, loss);
    print_message("%s: validation %.4f to %.4f\n", path, loss[0], loss[1]);
    assert_true(loss[1] < loss[0] - 0.5);
    static const struct { ac_cpu tier; size_t threads, micro; bool stops; } ways[] = {
        { AC_CPU_AUTO, 2, 2, false }, { AC_CPU_AUTO, 3, 4, false }, { AC_CPU_AUTO, 2, 8, true },
        { AC_CPU_AVX2, 2, 3, false }, { AC_CPU_REF, 1, 2, false }, { AC_CPU_NEON, 1, 2, true },
    };
    for (size_t i = 0; i < AC_COUNTOF(ways); i++) {
        ac_kernels k;
        if (ac_kernels_init(&k, ways[i].tier, NULL)) continue;
        const outcome_bits got = train(ways[i].tier, ways[i].threads, ways[i].micro, ways[i].stops, other);
        assert_true(same_bits(&want, &got));
        assert_true(memcmp(loss, other, sizeof loss) == 0);
    }
}

static void test_same_bytes(void **state)
{
    (void)state;
    check_same(TINY_LLAMA);
    check_same(ACCORD_SOURCE_DIR "/tests/oracle/models/qwen2");       /* tied, with biases */
    numerics = AC_NUM_BF16;
    check_same(ACCORD_SOURCE_DIR "/tests/oracle/models/qwen2");
    check_same(ACCORD_SOURCE_DIR "/tests/oracle/models/qwen3");
    numerics = AC_NUM_FP32;
}

/* Norms and biases are not drawn to 0, matrices and embeddings are. */
static void test_decay(void **state)
{
    (void)state;
    ac_err err = { 0 };
    tiny t;
    ac_train_result res;
    const char *dir = tiny_dir();
    char path[512];
    ac_adapter *before = NULL, *after = NULL;
    ac_dataset rows = tiny_rows(6, 8, 97, 3);
    ac_train_opts o = full_opts();
    o.lr = 1e-3, o.weight_decay = 10, o.epochs = 5, o.schedule = AC_SCHED_CONSTANT, o.warmup_ratio = 0;
    assert_true(tiny_open(&t, ACCORD_SOURCE_DIR "/tests/oracle/models/qwen2", AC_CPU_AUTO, 1));
    const ac_train_job job = tiny_job(&t, &o, &rows, NULL, dir);
    if (ac_train_run(&job, &res, &err)) fail_msg("%s", err.text);
    (void)snprintf(path, sizeof path, "%s/model", dir);
    assert_int_equal(ac_adapter_open(&before, t.model, &o.lora, &err), AC_OK);
    assert_int_equal(ac_adapter_load(&after, t.model, path, &err), AC_OK);
    /* Five steps of Adam at 1e-3 move an element by about 5e-3, the decay takes 5 % of it. */
    for (size_t i = 0; i < before->n_tensors; i++) {
        const ac_param *p = &before->tensor[i];
        for (size_t k = p->at; k < p->at + p->rows * p->cols; k++) {
            const double moved = (double)after->params[k] - (double)before->params[k];
            if (p->kind == AC_PARAM_VECTOR) assert_true(moved < 6e-3 && moved > -6e-3);
            else if (before->params[k] > 0.2f) assert_true(moved < -2e-3);
        }
    }
    ac_adapter_close(&before);
    ac_adapter_close(&after);
    tiny_close(&t);
    tiny_rows_drop(&rows);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

/* The result opens as a model, holds the base's other files, and goes on as the base of a next run. */
static void test_result(void **state)
{
    (void)state;
    ac_err err = { 0 };
    tiny t, tuned;
    ac_train_result res;
    const char *dir = tiny_dir(), *dir2 = tiny_dir();
    char path[512];
    ac_dataset rows = tiny_rows(12, 8, 97, 3);
    ac_train_opts o = full_opts();
    assert_true(tiny_open(&t, TINY_LLAMA, AC_CPU_AUTO, 1));
    ac_train_job job = tiny_job(&t, &o, &rows, NULL, dir);
    if (ac_train_run(&job, &res, &err)) fail_msg("%s", err.text);
    (void)snprintf(path, sizeof path, "%s/model", dir);
    assert_true(tiny_open(&tuned, path, AC_CPU_AUTO, 1));
    const ac_model_config *c = ac_model_get_config(tuned.model), *was = ac_model_get_config(t.model);
    assert_true(c->vocab == was->vocab && c->n_layers == was->n_layers && c->tied_output == was->tied_output);
    assert_string_equal(c->weight_types, "F32 (30)");
    job = tiny_job(&tuned, &o, &rows, NULL, dir2);
    const double last = res.last_loss;
    if (ac_train_run(&job, &res, &err)) fail_msg("%s", err.text);
    assert_true(res.first_loss < last + 0.5);
    /* Refused by name: an adapter's dropout, and a folder with another kind of parameters to start from. */
    o.dropout = 0.1;
    assert_int_equal(ac_train_run(&job, &res, &err), AC_EARG);
    assert_non_null(strstr(err.text, "dropout"));
    o.dropout = 0;
    err = (ac_err){ 0 };
    job.run_dir = tiny_dir();
    job.init_adapter = TINY_LLAMA "/adapter";
    assert_int_equal(ac_train_run(&job, &res, &err), AC_EARG);
    assert_int_equal(ac_remove_tree(job.run_dir, NULL), AC_OK);
    tiny_close(&tuned);
    tiny_close(&t);
    tiny_rows_drop(&rows);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    assert_int_equal(ac_remove_tree(dir2, NULL), AC_OK);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_decay), cmocka_unit_test(test_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
