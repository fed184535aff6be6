/* Ten steps of each optimizer against torch's and numpy's in binary64 (gen_optim.py), the same bits in every tier and at
 * any number of threads, and what 16- and 8-bit state do to the result. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "formats/json.h"
#include "train/train_int.h"

enum { PARAMS_MAX = 256, TENSORS_MAX = 8 };

typedef struct {
    ac_arena arena;
    const ac_json *root;
    ac_param tensor[TENSORS_MAX];
    ac_adapter ad;
    float params[PARAMS_MAX];
} fixture;

static fixture f;

static double number(const char *key)
{
    double v = 0;
    if (ac_json_get_f64(&v, f.root, key, "optim.json", NULL)) fail_msg("no %s", key);
    return v;
}

static size_t numbers(double *out, const ac_json *list)
{
    size_t n = 0;
    for (const ac_json *v = list->child; v; v = v->next) {
        assert_true(n < PARAMS_MAX);
        out[n++] = v->number;
    }
    return n;
}

static ac_param_kind kind_of(const ac_json *t)
{
    ac_view v;
    assert_int_equal(ac_json_get_str(&v, t, "kind", "optim.json", NULL), AC_OK);
    return ac_view_eq_str(v, "matrix") ? AC_PARAM_MATRIX : ac_view_eq_str(v, "vector") ? AC_PARAM_VECTOR : AC_PARAM_EMBED;
}

static int setup(void **state)
{
    (void)state;
    ac_err err = { 0 };
    if (ac_json_parse_file(&f.root, ACCORD_SOURCE_DIR "/tests/oracle/optim.json", &f.arena, NULL, &err)) return -1;
    f.ad = (ac_adapter){ .tensor = f.tensor, .params = f.params };
    for (const ac_json *t = ac_json_get(f.root, "tensors")->child; t; t = t->next) {
        int64_t rows = 0, cols = 0;
        (void)ac_json_get_i64(&rows, t, "rows", "optim.json", NULL);
        (void)ac_json_get_i64(&cols, t, "cols", "optim.json", NULL);
        f.tensor[f.ad.n_tensors++] = (ac_param){ .at = f.ad.n_params, .rows = (size_t)rows, .cols = (size_t)cols,
                                                 .kind = kind_of(t), .starts_part = true };
        f.ad.n_params += (size_t)(rows * cols);
    }
    return f.ad.n_params <= PARAMS_MAX ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ac_arena_release(&f.arena);
    return 0;
}

static ac_train_opts opts_of(ac_optim_kind kind, bool plain)
{
    return (ac_train_opts){
        .optimizer = kind, .beta1 = number("beta1"), .eps = number("eps"), .weight_decay = number("weight_decay"),
        .beta2 = kind == AC_OPTIM_LION ? number("lion_beta2") : number("beta2"),
        .momentum = plain ? 0 : number("momentum"), .seed = 9,
    };
}

/* Runs the steps; the parameters stay in f.params. */
static void run_steps(const ac_train_opts *o, ac_cpu tier, size_t threads)
{
    ac_device *dev = NULL;
    ac_optimizer opt;
    ac_err err = { 0 };
    double value[PARAMS_MAX], lr[64];
    if (ac_device_open_cpu(&dev, tier, threads, &err)) fail_msg("%s", err.text);
    if (ac_optimizer_open(&opt, dev, &f.ad, o, &err)) fail_msg("%s", err.text);
    const size_t n = numbers(value, ac_json_get(f.root, "start"));
    assert_int_equal(n, f.ad.n_params);
    for (size_t i = 0; i < n; i++) f.params[i] = (float)value[i];
    assert_true(numbers(lr, ac_json_get(f.root, "lr")) <= 64);
    uint64_t t = 0;
    for (const ac_json *g = ac_json_get(f.root, "grads")->child; g; g = g->next, t++) {
        assert_int_equal(numbers(value, g), n);
        for (size_t i = 0; i < n; i++) opt.grad[i] = (float)value[i];
        if (ac_optimizer_step(&opt, o, lr[t], 1.0, t + 1, &err)) fail_msg("%s", err.text);
    }
    ac_optimizer_close(&opt);
    ac_device_close(&dev);
}

/* Root mean square of the difference to the oracle, as a share of how far the oracle's parameters went. */
static double distance(const char *key, double *worst)
{
    double want[PARAMS_MAX], start[PARAMS_MAX], far = 0, off = 0;
    const size_t n = numbers(want, ac_json_get(f.root, key));
    assert_int_equal(n, f.ad.n_params);
    (void)numbers(start, ac_json_get(f.root, "start"));
    *worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)f.params[i] - want[i], s = want[i] - start[i];
        if (fabs(d) > *worst) *worst = fabs(d);
        off += d * d;
        far += s * s;
    }
    return sqrt(off / far);
}

typedef struct {
    ac_optim_kind kind;
    bool plain;
    const char *key;
    double tol;                                       /* largest difference of a parameter */
} oracle_case;

/* Measured: 1.3e-7, 1.13e-7, 1.28e-7, 1.49e-7, 1.25e-7, 1.08e-7, with parameters up to 1. */
static const oracle_case cases[] = {
    { AC_OPTIM_ADAMW, false, "adamw", 2.6e-7 },
    { AC_OPTIM_SGD, false, "sgd", 2.6e-7 },
    { AC_OPTIM_SGD, true, "sgd_plain", 2.6e-7 },
    { AC_OPTIM_LION, false, "lion", 3e-7 },
    { AC_OPTIM_ADAFACTOR, false, "adafactor", 2.6e-7 },
    { AC_OPTIM_MUON, false, "muon", 2.6e-7 },
};

static void ten_steps_are_the_oracles(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        const ac_train_opts o = opts_of(cases[i].kind, cases[i].plain);
        double worst;
        run_steps(&o, AC_CPU_AUTO, 1);
        const double share = distance(cases[i].key, &worst);
        if (!(worst <= cases[i].tol))
            fail_msg("%s: off by %.3g (%.3g of the way)", cases[i].key, worst, share);
    }
}

static void bits_do_not_depend_on_the_machine(void **state)
{
    (void)state;
    static const struct { ac_cpu tier; unsigned flag; size_t threads; } how[] = {
        { AC_CPU_REF, 0, 3 }, { AC_CPU_AVX2, AC_HAS_AVX2, 2 }, { AC_CPU_AVX512, AC_HAS_AVX512, 7 },
        { AC_CPU_NEON, AC_HAS_NEON, 2 },
    };
    float want[PARAMS_MAX];
    for (size_t i = 0; i < AC_COUNTOF(cases); i++)
        for (ac_state_type s = AC_STATE_F32; s <= AC_STATE_INT8; s++) {
            ac_train_opts o = opts_of(cases[i].kind, cases[i].plain);
            o.optimizer_state = s;
            if (s && (cases[i].plain || cases[i].kind == AC_OPTIM_ADAFACTOR)) continue;
            run_steps(&o, AC_CPU_REF, 1);
            memcpy(want, f.params, sizeof want);
            for (size_t k = 0; k < AC_COUNTOF(how); k++) {
                if ((ac_cpu_flags() & how[k].flag) != how[k].flag) continue;
                run_steps(&o, how[k].tier, how[k].threads);
                assert_memory_equal(f.params, want, f.ad.n_params * sizeof *want);
            }
        }
}

/* Ten steps with stored state end near those with binary32 state: measured shares of the way 0.0032 at most with bf16
 * (SGD), 0.018 with int8 (AdamW), 0.057 for Lion, whose step is a sign. */
static void stored_state_stays_near(void **state)
{
    (void)state;
    static const double most[] = { 0, 0.006, 0.04 };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++)
        for (ac_state_type s = AC_STATE_BF16; s <= AC_STATE_INT8; s++) {
            ac_train_opts o = opts_of(cases[i].kind, cases[i].plain);
            double worst;
            o.optimizer_state = s;
            if (cases[i].plain || cases[i].kind == AC_OPTIM_ADAFACTOR) continue;
            run_steps(&o, AC_CPU_AUTO, 1);
            const double share = distance(cases[i].key, &worst);
            const double bound = cases[i].kind == AC_OPTIM_LION && s == AC_STATE_INT8 ? 0.12 : most[s];
            if (!(share <= bound)) fail_msg("%s, %s state: %.3g of the way off", cases[i].key, ac_state_name(s), share);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_are_the_oracles),
        cmocka_unit_test(bits_do_not_depend_on_the_machine),
        cmocka_unit_test(stored_state_stays_near),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
