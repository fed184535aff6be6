/* All weights as parameters: gradients against finite differences in binary64, the same bits however units are grouped
 * and on every tier, and that computing with the parameters is computing with a model that has them as weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model_ref.h"

static const ac_lora_spec full = { .tune = AC_TUNE_FULL };

static void must(ac_status st, const ac_err *err)
{
    if (st) fail_msg("%s: %s", ac_status_name(st), err->text);
}

static double total_loss(const ref_model *m, const ref_units *u, double inv_n)
{
    double sum = 0;
    for (size_t i = 0; i < u->n; i++) sum += ref_unit_loss(m, (ref_lora){ 0 }, &u->unit[i]);
    return sum * inv_n;
}

/* Central difference over what the two neighbouring binary32 values really are. */
static double difference(ref_open *o, const ref_units *u, double inv_n, float *w)
{
    const float at = *w;
    *w = at + 5e-4f;
    const double up = (double)*w, high = total_loss(&o->ref, u, inv_n);
    *w = at - 5e-4f;
    const double low = total_loss(&o->ref, u, inv_n), step = up - (double)*w;
    *w = at;
    return (high - low) / step;
}

/* Every element of every tensor; relative to the largest of its tensor. */
static void check_gradients(const char *family, bool tied)
{
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    double loss[REF_UNITS], worst = 0;
    ref_spec s = ref_spec_of(family);
    s.hidden = 12, s.ffn = 10, s.head_dim = 4, s.vocab = 17, s.tied = tied;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    must(ac_adapter_open(&a, o.model, &full, &err), &err);
    ref_make_units(&u, 2, 4, s.vocab, 6);
    const ac_pass pass = { .inv_n = 1.0 / (double)u.supervised, .seed = 9, .step = 4 };
    float *grad = test_calloc(a->n_params, sizeof *grad);
    must(ac_model_grad(o.model, a, u.unit, u.n, &pass, grad, loss, &err), &err);
    assert_int_equal(a->n_tensors, o.ref.n);
    for (size_t k = 0; k < a->n_tensors; k++) {
        const ac_param *t = &a->tensor[k];
        float *w = ref_find(&o.ref, a->name[k]);
        double top = 0, diff = 0;
        assert_non_null(w);
        assert_memory_equal(w, a->params + t->at, t->rows * t->cols * sizeof *w);
        for (size_t i = 0; i < t->rows * t->cols; i++) {
            const double want = difference(&o, &u, pass.inv_n, &w[i]);
            top = fmax(top, fabs(want));
            diff = fmax(diff, fabs((double)grad[t->at + i] - want));
        }
        assert_true(top > 0);
        worst = fmax(worst, diff / top);
    }
    print_message("%s%s: %zu parameters in %zu tensors, worst %.1e\n", family, tied ? ", tied" : "", a->n_params,
                  a->n_tensors, worst);
    assert_true(worst < 1e-4);
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
}

static void test_families(void **state)
{
    (void)state;
    static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3" };
    for (size_t i = 0; i < AC_COUNTOF(families); i++) check_gradients(families[i], i % 2);
}

/* The gradient of six units on one tier, grouped and recomputed in every way; the first is returned. */
static float *gradient_on(const char *family, bool tied, ac_cpu tier, size_t threads, size_t *n_params, double loss0[6])
{
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL;
    ref_units u;
    ref_spec s = ref_spec_of(family);
    s.tied = tied;
    assert_true(ref_open_spec(&o, s, tier, threads));
    must(ac_adapter_open(&a, o.model, &full, &err), &err);
    ref_make_units(&u, 6, 25, 37, 8);
    ac_pass pass = { .inv_n = 1.0 / (double)u.supervised, .seed = 9, .step = 4 };
    static const size_t groups[][7] = { { 6 }, { 1, 1, 1, 1, 1, 1 }, { 4, 2 }, { 2, 3, 1 } };
    float *first = test_calloc(a->n_params, sizeof *first), *grad = test_calloc(a->n_params, sizeof *grad);
    double loss[6];
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
    *n_params = a->n_params;
    test_free(grad);
    ac_adapter_close(&a);
    ref_close(&o);
    return first;
}

static void test_same_bits(void **state)
{
    (void)state;
    static const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };
    static const char *const families[] = { "llama", "qwen2", "qwen3" };
    for (size_t f = 0; f < 2 * AC_COUNTOF(families); f++) {
        size_t n = 0, n2 = 0;
        double loss[6], loss2[6];
        float *want = gradient_on(families[f / 2], f % 2, AC_CPU_REF, 1, &n, loss);
        for (size_t t = 0; t < AC_COUNTOF(tiers); t++) {
            ac_kernels k;
            if (ac_kernels_init(&k, tiers[t], NULL)) continue;
            float *got = gradient_on(families[f / 2], f % 2, tiers[t], 1 + t, &n2, loss2);
            assert_int_equal(n, n2);
            assert_memory_equal(want, got, n * sizeof *got);
            assert_memory_equal(loss, loss2, sizeof loss);
            test_free(got);
        }
        test_free(want);
    }
}

/* More supervised tokens than a run of logits has rows, in one unit and beside others. */
static void test_long_unit(void **state)
{
    (void)state;
    enum { N = 700 };
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL;
    ref_spec s = ref_spec_of("llama");
    s.context = 1024;
    int32_t ids[3][N];
    uint8_t target[3][N];
    const uint32_t start = 0;
    ac_unit unit[3];
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < N; k++) {
            ids[i][k] = (int32_t)ac_rng_below(3, AC_RNG_TEST, i, k, 37);
            target[i][k] = k > 0 && (i != 1 || k % 3 == 0);
        }
        unit[i] = (ac_unit){ ids[i], target[i], N - i, &start, 1, i };
    }
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    must(ac_adapter_open(&a, o.model, &full, &err), &err);
    float *one = test_calloc(a->n_params, sizeof *one), *two = test_calloc(a->n_params, sizeof *two);
    double loss[3], loss2[3];
    const ac_pass pass = { .inv_n = 1e-3 };
    must(ac_model_grad(o.model, a, unit, 3, &pass, one, loss, &err), &err);
    for (size_t i = 0; i < 3; i++) must(ac_model_grad(o.model, a, unit + i, 1, &pass, two, loss2 + i, &err), &err);
    assert_memory_equal(one, two, a->n_params * sizeof *one);
    assert_memory_equal(loss, loss2, sizeof loss);
    test_free(one);
    test_free(two);
    ac_adapter_close(&a);
    ref_close(&o);
}

/* Changed parameters, computed with beside the base, saved as a folder, and that folder opened as a model of its own. */
static void check_folder(const char *family, bool gguf)
{
    ac_err err = { 0 };
    ref_open o;
    ac_adapter *a = NULL, *b = NULL;
    ac_model *tuned = NULL, *base = NULL;
    ac_sha256 h1, h2;
    const ref_spec s = ref_spec_of(family);
    const int32_t ids[] = { 3, 9, 1, 22, 30, 5, 5, 36 };
    float *x = test_calloc(8 * s.vocab, sizeof *x), *y = test_calloc(8 * s.vocab, sizeof *y);
    char path[256];
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    (void)snprintf(path, sizeof path, "%s/base.gguf", o.dir);
    must(ref_write_gguf(&o.ref, path, false, &err), &err);
    must(ac_model_open(&base, o.dev, gguf ? path : o.dir, &err), &err);
    must(ac_adapter_open(&a, base, &full, &err), &err);
    must(ac_model_logits(base, NULL, ids, 8, x, &err), &err);
    must(ac_model_logits(base, a, ids, 8, y, &err), &err);
    assert_memory_equal(x, y, 8 * s.vocab * sizeof *x);          /* unchanged yet */
    for (size_t i = 0; i < a->n_params; i++) a->params[i] += 0.1f * (ac_rng_unit(4, AC_RNG_TEST, 5, i) - 0.5f);
    must(ac_model_logits(base, a, ids, 8, y, &err), &err);
    assert_memory_not_equal(x, y, 8 * s.vocab * sizeof *x);
    must(ac_model_logits(base, NULL, ids, 8, x + 0, &err), &err);   /* the base is what it was */
    const char *dir = ref_temp();
    must(ac_adapter_save(a, dir, "base", 0, &err), &err);
    must(ac_adapter_hash(a, &h1, &err), &err);
    (void)snprintf(path, sizeof path, "%s/%s", dir, ac_adapter_file(a));
    must(ac_sha256_file(&h2, path, &err), &err);
    assert_memory_equal(&h1, &h2, sizeof h1);
    must(ac_adapter_load(&b, base, dir, &err), &err);
    assert_int_equal(b->spec.tune, AC_TUNE_FULL);
    assert_memory_equal(a->params, b->params, a->n_params * sizeof(float));
    if (!gguf) {                                                  /* these GGUFs have no tokenizer */
        must(ac_full_complete(base, dir, &err), &err);
        must(ac_model_open(&tuned, o.dev, dir, &err), &err);
        must(ac_model_logits(tuned, NULL, ids, 8, x, &err), &err);
        assert_memory_equal(x, y, 8 * s.vocab * sizeof *x);
    } else {
        assert_int_equal(ac_full_check(base, &err), AC_EFORMAT);
    }
    ac_adapter_close(&a);
    ac_adapter_close(&b);
    ac_model_close(&tuned);
    ac_model_close(&base);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    test_free(x);
    test_free(y);
    ref_close(&o);
    assert_int_equal(ac_live_bytes(), 0);
}

static void test_folder(void **state)
{
    (void)state;
    static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3" };
    for (size_t i = 0; i < 2 * AC_COUNTOF(families); i++) check_folder(families[i / 2], i % 2);
}

static void test_other_model(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ref_open o, p;
    ac_adapter *a = NULL, *b = NULL;
    float x[37];
    const int32_t id = 3;
    ref_spec s = ref_spec_of("llama");
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 1));
    s.ffn += 2;
    assert_true(ref_open_spec(&p, s, AC_CPU_AUTO, 1));
    must(ac_adapter_open(&a, o.model, &full, &err), &err);
    assert_int_equal(ac_model_logits(p.model, a, &id, 1, x, &err), AC_EARG);
    assert_non_null(strstr(err.text, "another shape"));
    const char *dir = ref_temp();
    must(ac_adapter_save(a, dir, "base", 0, &err), &err);
    err = (ac_err){ 0 };
    assert_int_equal(ac_adapter_load(&b, p.model, dir, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "another base"));
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    ac_adapter_close(&a);
    ref_close(&o);
    ref_close(&p);
    assert_int_equal(ac_live_bytes(), 0);
}

/* M.17: deviation, norms and biases; the same seed the same bytes, another seed others; what is refused leaves nothing. */
static void test_fresh(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ref_open o;
    ac_model *m = NULL;
    ac_adapter *a = NULL;
    uint64_t n = 0;
    ac_sha256 h[3];
    char config[256], dir[256];
    ref_spec s = ref_spec_of("qwen2");
    s.hidden = 96, s.heads = 4, s.kv_heads = 2, s.head_dim = 24, s.vocab = 301;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 1));
    (void)snprintf(config, sizeof config, "%s/config.json", o.dir);
    for (uint64_t i = 0; i < 3; i++) {
        (void)snprintf(dir, sizeof dir, "%s/new%d", o.dir, (int)i);
        must(ac_model_new(dir, config, config, i / 2, &n, &err), &err);
        must(ac_model_hash(&h[i], dir, &err), &err);
    }
    assert_memory_equal(&h[0], &h[1], sizeof h[0]);
    assert_memory_not_equal(&h[0], &h[2], sizeof h[0]);
    must(ac_model_open(&m, o.dev, dir, &err), &err);
    must(ac_adapter_open(&a, m, &full, &err), &err);
    assert_int_equal(a->n_params, n);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const ac_param *p = &a->tensor[i];
        const float *w = a->params + p->at;
        const size_t count = p->rows * p->cols;
        double sum = 0, squares = 0;
        for (size_t k = 0; k < count; k++) sum += (double)w[k], squares += (double)w[k] * (double)w[k];
        if (p->kind == AC_PARAM_VECTOR) {
            assert_true(sum > -1e-9 && sum < (double)count + 1e-9 && (squares < 1e-9 || fabs(sum - (double)count) < 1e-9));
            assert_true((squares < 1e-9) == (strstr(a->name[i], ".bias") != NULL));
            continue;
        }
        assert_true(fabs(sum / (double)count) < 4 * 0.02 / sqrt((double)count));
        assert_true(fabs(sqrt(squares / (double)count) / 0.02 - 1.0) < 4 / sqrt(2 * (double)count));
    }
    /* The bits of the first elements: those of a computation in binary64 by the rule. */
    for (uint32_t k = 0; k < 50; k++) {
        const double u = ((double)ac_rng_u32(1, AC_RNG_INIT, (uint64_t)1 << 32, 2 * k) + 1) / 4294967296.0;
        const double v = (double)ac_rng_u32(1, AC_RNG_INIT, (uint64_t)1 << 32, 2 * k + 1) / 4294967296.0;
        const double r = 0.02 * sqrt(-2 * log(u)), t = 2 * acos(-1.0) * v;
        assert_true(fabs((double)a->params[2 * k] - r * cos(t)) < 1e-8);
        assert_true(fabs((double)a->params[2 * k + 1] - r * sin(t)) < 1e-8);
    }
    assert_int_equal(ac_model_new(dir, config, config, 1, &n, &err), AC_ECREATE);
    err = (ac_err){ 0 };
    (void)snprintf(dir, sizeof dir, "%s/none", o.dir);
    assert_int_equal(ac_model_new(dir, "/nowhere/config.json", config, 1, &n, &err), AC_ENOENT);
    assert_false(ac_path_exists(dir));
    ac_adapter_close(&a);
    ac_model_close(&m);
    ref_close(&o);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_same_bits), cmocka_unit_test(test_long_unit),
        cmocka_unit_test(test_folder), cmocka_unit_test(test_other_model), cmocka_unit_test(test_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
