/* Every allocation and every file call of opening, training, decoding, saving and loading, failed in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "model_ref.h"

static const char *dir;
static char gguf[128], out[128];

static ac_status train_and_feed(ac_model *m, ac_adapter *a, ac_err *err)
{
    ref_units u;
    double loss[REF_UNITS];
    float logits[2 * 37], grad[4096] = { 0 };
    ref_make_units(&u, 2, 6, 37, 1);
    const ac_pass pass = { .inv_n = 0.1, .seed = 1, .step = 1, .dropout = 0.1, .recompute = true };
    ac_status st = a->n_params <= 4096 ? AC_OK : AC_ESTATE;
    if (!st) st = ac_model_grad(m, a, u.unit, u.n, &pass, grad, loss, err);
    if (!st) st = ac_model_nll(m, a, u.unit, u.n, loss, NULL, err);
    ac_kv *kv = NULL;
    if (!st) st = ac_kv_open(&kv, m, 2, 20, err);
    const ac_feed f[2] = { { 0, u.ids[0], 3 }, { 1, u.ids[1], 4 } };
    if (!st) st = ac_model_feed(m, a, kv, f, 2, logits, err);
    if (!st && (ac_kv_len(kv, 0) != 3 || ac_kv_len(kv, 1) != 4)) st = ac_fail(err, AC_ESTATE, "lengths");
    ac_kv_close(&kv);
    return st;
}

static ac_status scenario(const char *path, ac_tune tune, ac_err *err)
{
    ac_device *dev = NULL;
    ac_model *m = NULL;
    ac_adapter *a = NULL, *b = NULL;
    ac_sha256 h;
    const ac_lora_spec spec = { .tune = tune, .rank = 2, .alpha = 3, .targets = 127 };
    ac_status st = ac_device_open_cpu(&dev, AC_CPU_REF, 1, err);
    if (!st) st = ac_model_open(&m, dev, path, err);
    if (!st) st = ac_model_hash(&h, path, err);
    if (!st) st = ac_adapter_open(&a, m, &spec, err);
    if (!st) st = train_and_feed(m, a, err);
    if (!st) st = ac_adapter_hash(a, &h, err);
    if (!st) st = ac_adapter_save(a, out, "base", 0, err);
    if (!st) st = ac_adapter_load(&b, m, out, err);
    ac_adapter_close(&a);
    ac_adapter_close(&b);
    ac_model_close(&m);
    ac_device_close(&dev);
    return st;
}

static void fail_each(ac_fault_kind kind, const char *path, ac_tune tune)
{
    long nth = 1;
    for (;; nth++) {
        ac_err err = { 0 };
        const int64_t before = ac_live_bytes();
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(path, tune, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != before) fail_msg("failure %ld left %ld bytes", nth, (long)(ac_live_bytes() - before));
        if (!fired) {
            if (st) fail_msg("%s: %s", ac_status_name(st), err.text);
            break;
        }
        if (!st || !err.text[0]) fail_msg("failure %ld: %s \"%s\"", nth, ac_status_name(st), err.text);
        if (kind == AC_FAULT_ALLOC) assert_int_equal(st, AC_ENOMEM);
        else assert_true(st == AC_EIO || st == AC_ECREATE);
        assert_true(nth < 5000);
    }
    print_message("%ld failures\n", nth - 1);
}

static void test_alloc(void **state)
{
    (void)state;
    fail_each(AC_FAULT_ALLOC, dir, AC_TUNE_LORA);
    fail_each(AC_FAULT_ALLOC, gguf, AC_TUNE_DORA);
}

static void test_io(void **state)
{
    (void)state;
    fail_each(AC_FAULT_IO, dir, AC_TUNE_LORA);
    fail_each(AC_FAULT_IO, gguf, AC_TUNE_DORA);
}

int main(void)
{
    ref_model m;
    ac_err err = { 0 };
    dir = ref_temp();
    ref_make(&m, ref_spec_of("llama"));
    snprintf(gguf, sizeof gguf, "%s/m.gguf", dir);
    snprintf(out, sizeof out, "%s/adapter", dir);
    if (ref_write_gguf(&m, gguf, false, &err) || ref_write_hf(&m, dir, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    ref_free(&m);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_alloc), cmocka_unit_test(test_io) };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
