/* Training under numerics bf16/1: the same bits in every way of computing, other bits than fp32/1 and a loss close to
 * its; a device that has trained answers with fp32/1 again; a run is gone on with under its own numerics only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "backend/cpu_int.h"
#include "train_run.h"

static tiny t1;
static ac_dataset rows, valid;

static int open_all(void **state)
{
    (void)state;
    rows = tiny_rows(40, 16, 97, 1);
    valid = tiny_rows(9, 16, 97, 2);
    return tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 1) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t1);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return ac_live_bytes() == 0 ? 0 : -1;
}

static ac_train_opts opts_of(ac_numerics n)
{
    ac_train_opts o = tiny_opts();
    o.numerics = n;
    return o;
}

static outcome_bits run_with(const tiny *t, const ac_train_opts *o, ac_train_result *res)
{
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(t, o, &rows, &valid, dir);
    ac_err err = { 0 };
    ac_train_result r = { 0 };
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    const outcome_bits b = bits_of(dir);
    assert_memory_equal(&b.adapter, &r.adapter_hash, sizeof b.adapter);
    if (res) *res = r;
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    return b;
}

/* bfloat16 keeps 8 digits, so a product's factors are off by up to 2^-9: losses agree to about two decimals. */
static void learns_as_well_with_other_bits(void **state)
{
    (void)state;
    ac_train_opts fp32 = opts_of(AC_NUM_FP32), bf16 = opts_of(AC_NUM_BF16);
    fp32.epochs = bf16.epochs = 8;
    ac_train_result r32, r16;
    const outcome_bits b32 = run_with(&t1, &fp32, &r32), b16 = run_with(&t1, &bf16, &r16);
    print_message("validation loss: fp32 %.5f to %.5f, bf16 %.5f to %.5f\n", r32.start_valid_loss, r32.best_valid_loss,
                  r16.start_valid_loss, r16.best_valid_loss);
    assert_false(same_bits(&b32, &b16));
    assert_true(r16.start_valid_loss != r32.start_valid_loss);      /* validation is computed in it too */
    assert_true(fabs(r16.start_valid_loss - r32.start_valid_loss) < 0.02);
    assert_true(fabs(r16.best_valid_loss - r32.best_valid_loss) < 0.05);
    assert_true(isfinite(r16.last_loss) && r16.last_loss < r16.first_loss - 0.5);
    assert_true(r16.best_valid_loss < r16.start_valid_loss - 0.5);
}

static void micro_batch_and_recompute_change_no_bit(void **state)
{
    (void)state;
    ac_train_opts o = opts_of(AC_NUM_BF16);
    for (int packing = 0; packing < 2; packing++) {
        o.packing = packing;
        o.dropout = packing ? 0.1 : 0;
        o.micro_batch = 1;
        o.recompute = false;
        const outcome_bits want = run_with(&t1, &o, NULL);
        for (size_t m = 1; m <= 8; m *= 2) {
            o.micro_batch = m;
            o.recompute = m == 1 || m == 8;
            const outcome_bits got = run_with(&t1, &o, NULL);
            if (!same_bits(&got, &want)) fail_msg("micro-batch %zu differs, packing %d", m, packing);
        }
    }
}

/* Each tier at one and two threads; AVX-512 by its tiles and, where the CPU has it, by its own instruction. */
static void threads_tiers_and_routes_change_no_bit(void **state)
{
    (void)state;
    ac_train_opts o = opts_of(AC_NUM_BF16);
    o.dropout = 0.1;
    const outcome_bits want = run_with(&t1, &o, NULL);
    const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };
    for (size_t i = 0; i < 4 * AC_COUNTOF(tiers); i++) {
        const ac_cpu tier = tiers[i / 4];
        const size_t threads = 1 + i % 2;
        const bool instruction = i / 2 % 2;
        ac_kernels k;
        if (ac_kernels_init(&k, tier, NULL)) {
            if (i % 4 == 0) print_message("not run: %s\n", ac_cpu_name(tier));
            continue;
        }
        tiny t;
        assert_true(tiny_open(&t, TINY_LLAMA, tier, threads));
        const bool has = ac_kernels_use_bf16_instruction(&cpu_of(t.dev)->k, instruction);
        if (has || !instruction) {
            const outcome_bits got = run_with(&t, &o, NULL);
            if (!same_bits(&got, &want))
                fail_msg("%s at %zu threads differs%s", ac_cpu_name(tier), threads, instruction ? ", instruction" : "");
        } else if (tier == AC_CPU_AVX512 && threads == 1) {
            print_message("not run: vdpbf16ps\n");
        }
        tiny_close(&t);
    }
}

static void device_answers_in_fp32_again(void **state)
{
    (void)state;
    const ac_train_opts fp32 = opts_of(AC_NUM_FP32), bf16 = opts_of(AC_NUM_BF16);
    const uint32_t zero = 0;
    const ac_sample *v = &valid.sample[0];
    const ac_unit u = { .ids = v->ids, .target = v->target, .n = v->n, .doc_start = &zero, .n_docs = 1 };
    double before = 0, after = 0;
    assert_int_equal(ac_model_nll(t1.model, NULL, &u, 1, &before, NULL, NULL), AC_OK);
    const outcome_bits first = run_with(&t1, &fp32, NULL);
    (void)run_with(&t1, &bf16, NULL);
    assert_int_equal(ac_model_nll(t1.model, NULL, &u, 1, &after, NULL, NULL), AC_OK);
    assert_true(before == after);
    const outcome_bits second = run_with(&t1, &fp32, NULL);
    assert_true(same_bits(&first, &second));
}

/* Stops a run of one numerics after step 3 and goes on with another's options. */
static void resumes_under_its_own_numerics_only(void **state)
{
    (void)state;
    for (int n = 0; n < 2; n++) {
        ac_train_opts own = opts_of(n ? AC_NUM_BF16 : AC_NUM_FP32), other = opts_of(n ? AC_NUM_FP32 : AC_NUM_BF16);
        const outcome_bits want = run_with(&t1, &own, NULL);
        const char *dir = tiny_dir();
        ac_train_job j = tiny_job(&t1, &own, &rows, &valid, dir);
        ac_train_result r = { 0 };
        ac_err err = { 0 };
        j.stop_after_step = 3;
        assert_int_equal(ac_train_run(&j, &r, &err), AC_ECANCEL);
        double loss = 0, base = 0;
        j.stop_after_step = 0;
        j.resume = true;
        j.opts = &other;
        err = (ac_err){ 0 };
        assert_int_equal(ac_train_run(&j, &r, &err), AC_ECONTRACT);
        assert_non_null(strstr(err.text, "options"));
        const uint32_t zero = 0;
        const ac_sample *v = &valid.sample[0];
        const ac_unit u = { .ids = v->ids, .target = v->target, .n = v->n, .doc_start = &zero, .n_docs = 1 };
        assert_int_equal(ac_model_nll(t1.model, NULL, &u, 1, &loss, NULL, NULL), AC_OK);
        cpu_of(t1.dev)->numerics = AC_NUM_FP32;
        assert_int_equal(ac_model_nll(t1.model, NULL, &u, 1, &base, NULL, NULL), AC_OK);
        assert_true(loss == base);                                  /* a refused run leaves the device as it was */
        j.opts = &own;
        err = (ac_err){ 0 };
        if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
        const outcome_bits got = bits_of(dir);
        assert_true(same_bits(&got, &want));
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_as_well_with_other_bits),
        cmocka_unit_test(micro_batch_and_recompute_change_no_bit),
        cmocka_unit_test(threads_tiers_and_routes_change_no_bit),
        cmocka_unit_test(device_answers_in_fp32_again),
        cmocka_unit_test(resumes_under_its_own_numerics_only),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
