/* LoRA gradients against finite differences in binary64, and that grouping units changes no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model_ref.h"

static void must(ac_status st, const ac_err *err)
{
    if (st) fail_msg("%s: %s", ac_status_name(st), err->text);
}

static double total_loss(const ref_model *m, const ref_lora *lo, const ref_units *u)
{
    double sum = 0;
    for (size_t i = 0; i < u->n; i++) sum += ref_unit_loss(m, *lo, &u->unit[i]);
    return sum * lo->pass.inv_n;
}

/* Every element of every A and B; relative to the largest of its module. */
static void check_gradients(ref_spec s, ac_lora_spec spec, double dropout, size_t n_units)
{
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    double loss[REF_UNITS], *params, worst = 0;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    must(ac_adapter_open(&a, o.model, &spec, &err), &err);
    ref_fill_adapter(a, 21);
    ref_make_units(&u, n_units, 4, s.vocab, 6);
    const ac_pass pass = { .inv_n = 1.0 / (double)u.supervised, .seed = 9, .step = 4, .dropout = dropout };
    float *grad = test_calloc(a->n_params, sizeof *grad);
    must(ac_model_grad(o.model, a, u.unit, u.n, &pass, grad, loss, &err), &err);
    params = test_calloc(a->n_params, sizeof *params);
    for (size_t i = 0; i < a->n_params; i++) params[i] = (double)a->params[i];
    const ref_lora lo = { .ad = a, .params = params, .pass = pass };
    double sum = 0;
    for (size_t i = 0; i < u.n; i++) sum += loss[i] * pass.inv_n;
    assert_true(fabs(sum - total_loss(&o.ref, &lo, &u)) < 1e-5);
    for (size_t k = 0; k < a->n_modules; k++) {
        const ac_lora_module *mod = &a->module[k];
        const size_t from = mod->a_at, to = mod->b_at + mod->out * spec.rank + (a->dora ? mod->out : 0);
        double top = 0, diff = 0;
        for (size_t i = from; i < to; i++) {
            const double at = params[i], h = 2e-4;
            params[i] = at + h;
            const double up = total_loss(&o.ref, &lo, &u);
            params[i] = at - h;
            const double want = (up - total_loss(&o.ref, &lo, &u)) / (2 * h);
            params[i] = at;
            top = fmax(top, fabs(want));
            diff = fmax(diff, fabs((double)grad[i] - want));
        }
        assert_true(top > 0);
        worst = fmax(worst, diff / top);
    }
    print_message("%s rank %u targets %02x last %u dropout %g: %zu parameters, worst %.1e\n", s.family,
                  (unsigned)spec.rank, (unsigned)spec.targets, (unsigned)spec.last_layers, dropout, a->n_params, worst);
    assert_true(worst < 1e-4);
    test_free(params);
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
}

static ref_spec small(const char *family)
{
    ref_spec s = ref_spec_of(family);
    s.hidden = 12;
    s.ffn = 10;
    s.head_dim = 4;
    s.vocab = 17;
    return s;
}

static void test_families(void **state)
{
    (void)state;
    static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3" };
    const ac_lora_spec all = { .rank = 2, .alpha = 3, .targets = 127 };
    for (size_t i = 0; i < AC_COUNTOF(families); i++) check_gradients(small(families[i]), all, 0.0, 2);
}

/* Backward stops below the lowest adapted module: each place where it can stop. */
static void test_subsets(void **state)
{
    (void)state;
    for (uint32_t t = 0; t < AC_TARGET_COUNT; t++)
        check_gradients(small("qwen3"), (ac_lora_spec){ .rank = 1, .alpha = 1, .targets = 1u << t }, 0.0, 1);
    check_gradients(small("llama"), (ac_lora_spec){ .rank = 3, .alpha = 1, .rslora = true, .targets = 0x52,
                                                    .last_layers = 1 }, 0.0, 2);
}

static void test_dora(void **state)
{
    (void)state;
    static const char *const families[] = { "llama", "qwen2", "qwen3" };
    const ac_lora_spec all = { .tune = AC_TUNE_DORA, .rank = 2, .alpha = 3, .targets = 127 };
    for (size_t i = 0; i < AC_COUNTOF(families); i++) check_gradients(small(families[i]), all, 0.0, 2);
    check_gradients(small("qwen2"), all, 0.3, 2);
    for (uint32_t t = 0; t < AC_TARGET_COUNT; t++)
        check_gradients(small("qwen2"), (ac_lora_spec){ .tune = AC_TUNE_DORA, .rank = 1, .alpha = 1, .targets = 1u << t },
                        t % 2 ? 0.2 : 0.0, 1);
}

static void test_dropout(void **state)
{
    (void)state;
    check_gradients(small("qwen2"), (ac_lora_spec){ .rank = 2, .alpha = 3, .targets = 127 }, 0.3, 2);
}

/* B6: the same bytes whether units go in one call, one by one, or otherwise grouped, and whether activations are
 * kept or computed again; with dropout as well. */
static void check_grouping(ac_tune tune, const char *family, double dropout, uint32_t targets, uint32_t last_layers)
{
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    const ac_lora_spec spec = { .tune = tune, .rank = 3, .alpha = 3, .targets = targets, .last_layers = last_layers };
    assert_true(ref_open_spec(&o, ref_spec_of(family), AC_CPU_AUTO, 2));
    must(ac_adapter_open(&a, o.model, &spec, &err), &err);
    ref_fill_adapter(a, 2);
    ref_make_units(&u, 6, 25, 37, 8);
    ac_pass pass = { .inv_n = 1.0 / (double)u.supervised, .seed = 9, .step = 4, .dropout = dropout };
    static const size_t groups[][7] = { { 6 }, { 1, 1, 1, 1, 1, 1 }, { 4, 2 }, { 2, 3, 1 } };
    float *first = test_calloc(a->n_params, sizeof *first), *grad = test_calloc(a->n_params, sizeof *grad);
    double loss0[6], loss[6];
    for (size_t i = 0; i < 2 * AC_COUNTOF(groups); i++) {
        const size_t g = i % AC_COUNTOF(groups);
        float *to = i ? grad : first;
        pass.recompute = i >= AC_COUNTOF(groups);
        memset(to, 0, a->n_params * sizeof *to);
        for (size_t k = 0, at = 0; groups[g][k]; at += groups[g][k++])
            must(ac_model_grad(o.model, a, u.unit + at, groups[g][k], &pass, to, (i ? loss : loss0) + at, &err), &err);
        if (!i) continue;
        assert_memory_equal(first, grad, a->n_params * sizeof *grad);
        assert_memory_equal(loss0, loss, sizeof loss);
    }
    test_free(first);
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
}

static void test_grouping(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const ac_tune tune = i ? AC_TUNE_DORA : AC_TUNE_LORA;
        check_grouping(tune, "llama", 0.0, 127, 0);
        check_grouping(tune, "qwen2", 0.25, 127, 0);
        check_grouping(tune, "qwen3", 0.0, 127, 1);
        for (uint32_t t = 0; t < AC_TARGET_COUNT; t++) check_grouping(tune, "qwen3", 0.1, 1u << t, t % 3);
    }
}

/* Memory: what a call takes is what was promised, and trim gives it back. Returns it. */
static int64_t check_memory(bool recompute)
{
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    double loss[REF_UNITS];
    const ac_lora_spec spec = { .rank = 3, .alpha = 3, .targets = 127 };
    assert_true(ref_open_spec(&o, ref_spec_of("llama"), AC_CPU_AUTO, 1));
    must(ac_adapter_open(&a, o.model, &spec, &err), &err);
    ref_make_units(&u, 5, 25, 37, 8);
    size_t tokens = 0;
    for (size_t i = 0; i < u.n; i++) tokens += u.unit[i].n;
    const ac_pass pass = { .inv_n = 1, .seed = 1, .step = 1, .dropout = 0.5, .recompute = recompute };
    float *grad = test_calloc(a->n_params, sizeof *grad);
    must(ac_model_grad(o.model, a, u.unit, 1, &pass, grad, loss, &err), &err);   /* rotary tables exist now */
    ac_model_trim(o.model);
    const int64_t before = ac_live_bytes();
    must(ac_model_grad(o.model, a, u.unit, u.n, &pass, grad, loss, &err), &err);
    const int64_t took = ac_live_bytes() - before;
    ac_call_size size = { .tokens = tokens, .supervised = u.supervised, .longest = 25, .grad = true, .dropout = true,
                          .recompute = recompute };
    const size_t promised = ac_model_call_bytes(o.model, a, &size, NULL, NULL);
    assert_true(took > 0 && (uint64_t)took <= promised + 256 && (uint64_t)took + 256 >= promised);
    size.tokens *= 2;
    assert_true(ac_model_call_bytes(o.model, a, &size, NULL, NULL) > promised);
    size.grad = false;
    assert_true(ac_model_call_bytes(o.model, a, &size, NULL, NULL) < promised);
    size.tokens = SIZE_MAX / 8;
    assert_true(ac_model_call_bytes(o.model, a, &size, NULL, NULL) == SIZE_MAX);
    ac_model_trim(o.model);
    assert_int_equal(ac_live_bytes(), before);
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
    assert_int_equal(ac_live_bytes(), 0);
    return took;
}

static void test_memory(void **state)
{
    (void)state;
    const int64_t kept = check_memory(false), again = check_memory(true);
    print_message("workspace: %lld bytes, %lld with recompute\n", (long long)kept, (long long)again);
    assert_true(again < kept);
}

static void test_bad_pass(void **state)
{
    (void)state;
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    double loss[REF_UNITS];
    const ac_lora_spec spec = { .rank = 1, .alpha = 3, .targets = 1 };
    assert_true(ref_open_spec(&o, ref_spec_of("llama"), AC_CPU_AUTO, 1));
    assert_int_equal(ac_adapter_open(&a, o.model, &spec, NULL), AC_OK);
    ref_make_units(&u, 1, 5, 37, 8);
    float *grad = test_calloc(a->n_params, sizeof *grad);
    static const double bad[] = { 1.0, -0.1, 7.0 };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++)
        assert_int_equal(ac_model_grad(o.model, a, u.unit, 1, &(ac_pass){ .inv_n = 1, .dropout = bad[i] }, grad, loss, NULL), AC_EARG);
    a->module[0].out++;                          /* an adapter of another model */
    assert_int_equal(ac_model_grad(o.model, a, u.unit, 1, &(ac_pass){ .inv_n = 1 }, grad, loss, NULL), AC_EARG);
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
}

/* A device that lacks an operation is refused by name, before anything runs. */
static ac_op lacking;

static bool supports_but(const ac_device *d, ac_op op, ac_dtype type)
{
    (void)d;
    return op != lacking && ac_dtype_is_weight(type);
}

static void test_lacking_device(void **state)
{
    (void)state;
    static const ac_op ops[] = { AC_OP_EMBED, AC_OP_LINEAR, AC_OP_OUTPUT, AC_OP_LINEAR_GRAD, AC_OP_LOSS_GRAD };
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    double loss[REF_UNITS];
    const ac_lora_spec spec = { .rank = 1, .alpha = 3, .targets = 1 };
    assert_true(ref_open_spec(&o, ref_spec_of("qwen2"), AC_CPU_AUTO, 1));
    assert_int_equal(ac_adapter_open(&a, o.model, &spec, NULL), AC_OK);
    ref_make_units(&u, 1, 5, 37, 8);
    float *grad = test_calloc(a->n_params, sizeof *grad);
    ac_device_ops table = *o.dev->op;
    table.supports = supports_but;
    o.dev->op = &table;
    for (size_t i = 0; i < AC_COUNTOF(ops); i++) {
        ac_err err = { 0 };
        ac_model *other = NULL;
        lacking = ops[i];
        const bool forward = i < 3;
        const ac_status st = forward ? ac_model_open(&other, o.dev, o.dir, &err)
                                     : ac_model_grad(o.model, a, u.unit, 1, &(ac_pass){ .inv_n = 1 }, grad, loss, &err);
        assert_int_equal(st, AC_EFORMAT);
        assert_non_null(strstr(err.text, "F32"));
        assert_non_null(strstr(err.text, ac_device_name(o.dev)));
    }
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_subsets), cmocka_unit_test(test_dropout), cmocka_unit_test(test_dora),
        cmocka_unit_test(test_grouping), cmocka_unit_test(test_memory), cmocka_unit_test(test_bad_pass),
        cmocka_unit_test(test_lacking_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
