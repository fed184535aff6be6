/* Every optimizer with every kind of stored state in whole runs: it learns, it resumes to the same bytes, state that is
 * stored smaller follows binary32's, and a checkpoint of another optimizer is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tensors.h"
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

typedef struct {
    ac_optim_kind kind;
    double lr, momentum, beta2;
    double margin[3];              /* of the validation loss against binary32 state's; measured: half of it at most */
} method;

static const method methods[] = {
    { AC_OPTIM_ADAMW, 5e-3, 0, 0.999, { 0, 0.001, 0.004 } },
    { AC_OPTIM_SGD, 0.1, 0.9, 0.999, { 0, 0.004, 0.006 } },
    { AC_OPTIM_LION, 3e-3, 0, 0.99, { 0, 0.008, 0.008 } },
    { AC_OPTIM_ADAFACTOR, 0.2, 0, 0.999, { 0, 0, 0 } },
    { AC_OPTIM_MUON, 2e-2, 0.95, 0.999, { 0, 0.004, 0.022 } },
};

static ac_train_opts opts_of(const method *m, ac_state_type s)
{
    ac_train_opts o = tiny_opts();
    o.optimizer = m->kind;
    o.optimizer_state = s;
    o.lr = m->lr;
    o.momentum = m->momentum;
    o.beta2 = m->beta2;
    return o;
}

static bool has_state(const method *m, ac_state_type s)
{
    return s == AC_STATE_F32 || m->kind != AC_OPTIM_ADAFACTOR;
}

static outcome_bits run_on(const tiny *t, const ac_train_opts *o, ac_train_result *res)
{
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(t, o, &rows, &valid, dir);
    ac_err err = { 0 };
    ac_train_result r = { 0 };
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    const outcome_bits b = bits_of(dir);
    if (res) *res = r;
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    return b;
}

#define EACH(m, s) \
    for (const method *m = methods; m < methods + AC_COUNTOF(methods); m++) \
        for (ac_state_type s = AC_STATE_F32; s <= AC_STATE_INT8; s++) \
            if (has_state(m, s))

static void each_learns_and_small_state_follows(void **state)
{
    (void)state;
    double full = 0;
    EACH(m, s) {
        ac_train_opts o = opts_of(m, s);
        ac_train_result r;
        o.epochs = 8;
        (void)run_on(&t1, &o, &r);
        if (s == AC_STATE_F32) full = r.best_valid_loss;
        const double off = r.best_valid_loss - full;
        print_message("%s %s: %.4f to %.4f, %+.4f\n", ac_optim_name(m->kind), ac_state_name(s), r.start_valid_loss,
                      r.best_valid_loss, off);
        assert_true(r.best_valid_loss < r.start_valid_loss - 0.5);
        assert_true(off <= m->margin[s] && -off <= m->margin[s]);
    }
}

static void resumes_to_the_same_bytes(void **state)
{
    (void)state;
    EACH(m, s) {
        ac_train_opts o = opts_of(m, s);
        o.save_every = 3;
        const outcome_bits want = run_on(&t1, &o, NULL);
        const char *dir = tiny_dir();
        ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
        ac_train_result r;
        for (uint64_t stop = 2; stop <= 11; stop += 3) {
            ac_err err = { 0 };
            j.stop_after_step = stop;
            if (go_on(&j, &r, &err) != AC_ECANCEL) fail_msg("%s %s: %s", ac_optim_name(m->kind), ac_state_name(s), err.text);
        }
        j.stop_after_step = 0;
        assert_int_equal(go_on(&j, &r, NULL), AC_OK);
        const outcome_bits got = bits_of(dir);
        if (!same_bits(&got, &want)) fail_msg("%s %s differs after a resume", ac_optim_name(m->kind), ac_state_name(s));
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

static void threads_and_tiers_change_no_bit(void **state)
{
    (void)state;
    static const struct { ac_cpu tier; unsigned flag; size_t threads; } how[] = {
        { AC_CPU_REF, 0, 2 }, { AC_CPU_AVX2, AC_HAS_AVX2, 3 }, { AC_CPU_NEON, AC_HAS_NEON, 3 },
    };
    for (size_t k = 0; k < AC_COUNTOF(how); k++) {
        tiny other;
        if ((ac_cpu_flags() & how[k].flag) != how[k].flag) continue;
        assert_true(tiny_open(&other, TINY_LLAMA, how[k].tier, how[k].threads));
        EACH(m, s) {
            ac_train_opts o = opts_of(m, s);
            o.max_steps = 4;
            const outcome_bits want = run_on(&t1, &o, NULL), got = run_on(&other, &o, NULL);
            if (!same_bits(&got, &want)) fail_msg("%s %s differs", ac_optim_name(m->kind), ac_state_name(s));
        }
        tiny_close(&other);
    }
}

/* All weights: vectors and the embedding take AdamW beside Muon's matrices, Adafactor keeps whole second moments of
 * vectors, and parts of 8-bit state end where decay does. */
static void all_weights_too(void **state)
{
    (void)state;
    tiny other;
    assert_true(tiny_open(&other, TINY_LLAMA, AC_CPU_REF, 3));
    EACH(m, s) {
        ac_train_opts o = opts_of(m, s);
        ac_train_result r;
        ac_err err = { 0 };
        if (s == AC_STATE_BF16) continue;
        o.lora = (ac_lora_spec){ .tune = AC_TUNE_FULL };
        o.lr = m->lr / 5;
        o.max_steps = 8;
        const char *dir = tiny_dir();
        ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
        if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
        print_message("all weights, %s %s: %.4f to %.4f\n", ac_optim_name(m->kind), ac_state_name(s), r.start_valid_loss,
                      r.best_valid_loss);
        assert_true(r.best_valid_loss < r.start_valid_loss - 0.05);
        const ac_sha256 want = r.adapter_hash, trace = r.trace_hash;
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
        dir = tiny_dir();
        j = tiny_job(&other, &o, &rows, &valid, dir);
        j.stop_after_step = 3;
        assert_int_equal(go_on(&j, &r, &err), AC_ECANCEL);
        j.stop_after_step = 0;
        err = (ac_err){ 0 };
        if (go_on(&j, &r, &err)) fail_msg("%s", err.text);
        assert_memory_equal(&r.adapter_hash, &want, sizeof want);
        assert_memory_equal(&r.trace_hash, &trace, sizeof trace);
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
    tiny_close(&other);
}

/* Every choice leads to bits of its own: none is ignored. */
static void no_choice_is_ignored(void **state)
{
    (void)state;
    outcome_bits seen[16];
    size_t n = 0;
    EACH(m, s) {
        ac_train_opts o = opts_of(m, s);
        o.max_steps = 4;
        o.lr = 5e-3;
        seen[n] = run_on(&t1, &o, NULL);
        for (size_t i = 0; i < n; i++) assert_false(same_bits(&seen[i], &seen[n]));
        n++;
    }
    ac_train_opts o = opts_of(&methods[1], AC_STATE_F32);
    const outcome_bits with = run_on(&t1, &o, NULL);
    o.momentum = 0;
    const outcome_bits without = run_on(&t1, &o, NULL);
    assert_false(same_bits(&with, &without));
}

static void a_checkpoint_of_another_optimizer_is_refused(void **state)
{
    (void)state;
    const char *dir = tiny_dir();
    ac_train_opts o = opts_of(&methods[0], AC_STATE_INT8);
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result r;
    j.stop_after_step = 2;
    assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
    j.resume = true;
    EACH(m, s) {
        ac_err err = { 0 };
        if (m->kind == AC_OPTIM_ADAMW && s == AC_STATE_INT8) continue;
        o = opts_of(m, s);
        o.lr = methods[0].lr;
        o.momentum = methods[0].momentum;
        o.beta2 = methods[0].beta2;
        if (m->kind == AC_OPTIM_SGD && s) continue;      /* no momentum, no state: refused as an option */
        assert_int_equal(ac_train_run(&j, &r, &err), AC_ECONTRACT);
        assert_non_null(strstr(err.text, "other training options"));
    }
    o = opts_of(&methods[0], AC_STATE_INT8);
    assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void useless_options_are_refused(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_train_opts o = opts_of(&methods[3], AC_STATE_BF16);
    assert_int_equal(ac_train_opts_check(&o, &err), AC_EARG);
    assert_non_null(strstr(err.text, "optimizer_state"));
    o = opts_of(&methods[1], AC_STATE_INT8);
    assert_int_equal(ac_train_opts_check(&o, NULL), AC_OK);
    o.momentum = 0;
    assert_int_equal(ac_train_opts_check(&o, NULL), AC_EARG);
    o.momentum = 1;
    assert_int_equal(ac_train_opts_check(&o, NULL), AC_EARG);
}

/* State is stored as small as it says, in memory and in the file. */
static void state_has_its_size(void **state)
{
    (void)state;
    ac_adapter *ad = NULL;
    ac_train_opts o = opts_of(&methods[0], AC_STATE_F32);
    assert_int_equal(ac_adapter_open(&ad, t1.model, &o.lora, NULL), AC_OK);
    const size_t n = ad->n_params, blocks = (n + 255) / 256;
    assert_int_equal(ac_optimizer_state_bytes(&o, ad), 8 * n);
    o.optimizer_state = AC_STATE_BF16;
    assert_int_equal(ac_optimizer_state_bytes(&o, ad), 4 * n);
    o.optimizer_state = AC_STATE_INT8;
    assert_int_equal(ac_optimizer_state_bytes(&o, ad), 2 * n + 8 * blocks);
    o.optimizer = AC_OPTIM_LION;
    assert_int_equal(ac_optimizer_state_bytes(&o, ad), n + 4 * blocks);
    o = opts_of(&methods[1], AC_STATE_F32);
    o.momentum = 0;
    assert_int_equal(ac_optimizer_state_bytes(&o, ad), 0);
    o.optimizer = AC_OPTIM_ADAFACTOR;
    size_t sides = 0, widest = 0;
    for (size_t i = 0; i < ad->n_tensors; i++) {
        sides += ad->tensor[i].rows + ad->tensor[i].cols;
        if (ad->tensor[i].cols > widest) widest = ad->tensor[i].cols;
    }
    assert_int_equal(ac_optimizer_state_bytes(&o, ad), 4 * (sides + widest));
    ac_adapter_close(&ad);

    static const struct { const char *name; ac_dtype type[3]; } parts[] = {
        { "exp_avg", { AC_F32, AC_BF16, AC_I8 } }, { "exp_avg_sq", { AC_F32, AC_BF16, AC_U8 } },
    };
    for (ac_state_type s = AC_STATE_F32; s <= AC_STATE_INT8; s++) {
        const char *dir = tiny_dir();
        char path[512];
        ac_tensors *file = NULL;
        o = opts_of(&methods[0], s);
        ac_train_job j = tiny_job(&t1, &o, &rows, NULL, dir);
        ac_train_result r;
        j.stop_after_step = 1;
        assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
        (void)snprintf(path, sizeof path, "%s/checkpoints/step-1/optimizer.safetensors", dir);
        assert_int_equal(ac_safetensors_open(&file, path, NULL), AC_OK);
        for (size_t k = 0; k < AC_COUNTOF(parts); k++) {
            const ac_tensor *x = ac_tensors_find(file, parts[k].name);
            assert_non_null(x);
            assert_int_equal(x->type, parts[k].type[s]);
            assert_int_equal(x->dim[0], n);
        }
        assert_int_equal(ac_tensors_find(file, "exp_avg_scale") != NULL, s == AC_STATE_INT8);
        ac_tensors_close(&file);
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_learns_and_small_state_follows),
        cmocka_unit_test(resumes_to_the_same_bytes),
        cmocka_unit_test(threads_and_tiers_change_no_bit),
        cmocka_unit_test(all_weights_too),
        cmocka_unit_test(no_choice_is_ignored),
        cmocka_unit_test(a_checkpoint_of_another_optimizer_is_refused),
        cmocka_unit_test(useless_options_are_refused),
        cmocka_unit_test(state_has_its_size),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
