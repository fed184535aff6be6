/* Logits, gradients and ten optimizer steps of tiny random models, of LoRA and of all weights, against transformers and
 * peft (tests/oracle/gen_models.py and gen_full.py made the files in tests/oracle/models). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "formats/json.h"
#include "formats/tensors.h"
#include "model/adapter.h"
#include "model/model.h"
#include "train/train.h"

#define MODELS ACCORD_SOURCE_DIR "/tests/oracle/models/"
#define MAX_ROWS 16
#define MAX_TOKENS 64

typedef struct {
    ac_arena arena;
    const ac_json *json;
    ac_tensors *tensors;
    ac_device *device;
    ac_model *model;
    ac_adapter *adapter;
    size_t n_rows, n_targets;
    int32_t ids[MAX_ROWS][MAX_TOKENS];
    uint8_t target[MAX_ROWS][MAX_TOKENS];
    ac_sample sample[MAX_ROWS];
    int32_t seq[MAX_TOKENS];
    size_t n_seq;
} golden;

static void must(ac_status st, const ac_err *err)
{
    if (st) fail_msg("%s: %s", ac_status_name(st), err->text);
}

static size_t read_ints(int32_t *out, const ac_json *list)
{
    size_t n = 0;
    for (const ac_json *v = list->child; v; v = v->next) {
        assert_true(n < MAX_TOKENS);
        out[n++] = (int32_t)v->number;
    }
    return n;
}

static void read_rows(golden *g)
{
    const ac_json *rows = ac_json_get(g->json, "rows");
    assert_non_null(rows);
    for (const ac_json *r = rows->child; r; r = r->next) {
        int32_t target[MAX_TOKENS];
        assert_true(g->n_rows < MAX_ROWS);
        ac_sample *s = &g->sample[g->n_rows];
        s->n = read_ints(g->ids[g->n_rows], ac_json_get(r, "ids"));
        assert_int_equal(read_ints(target, ac_json_get(r, "target")), s->n);
        for (size_t i = 0; i < s->n; i++) {
            g->target[g->n_rows][i] = (uint8_t)target[i];
            s->n_target += (size_t)target[i];
        }
        s->ids = g->ids[g->n_rows];
        s->target = g->target[g->n_rows];
        s->line = g->n_rows + 1;
        g->n_targets += s->n_target;
        g->n_rows++;
    }
}

static void golden_open(golden *g, const char *family)
{
    ac_err err = { 0 };
    char path[512];
    memset(g, 0, sizeof *g);
    snprintf(path, sizeof path, MODELS "%s/golden.json", family);
    must(ac_json_parse_file(&g->json, path, &g->arena, NULL, &err), &err);
    snprintf(path, sizeof path, MODELS "%s/golden.safetensors", family);
    must(ac_safetensors_open(&g->tensors, path, &err), &err);
    snprintf(path, sizeof path, MODELS "%s", family);
    must(ac_device_open_cpu(&g->device, AC_CPU_AUTO, 2, &err), &err);
    must(ac_model_open(&g->model, g->device, path, &err), &err);
    snprintf(path, sizeof path, MODELS "%s/adapter", family);
    must(ac_adapter_load(&g->adapter, g->model, path, &err), &err);
    g->n_seq = read_ints(g->seq, ac_json_get(g->json, "ids"));
    read_rows(g);
}

static void golden_close(golden *g)
{
    ac_adapter_close(&g->adapter);
    ac_model_close(&g->model);
    ac_device_close(&g->device);
    ac_tensors_close(&g->tensors);
    ac_arena_release(&g->arena);
}

/* Largest difference as a share of the largest value. */
static double rel_diff(const float *got, const float *want, size_t n)
{
    double diff = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(got[i])) return INFINITY;
        diff = fmax(diff, fabs((double)got[i] - (double)want[i]));
        top = fmax(top, fabs((double)want[i]));
    }
    return diff / top;
}

static void check_logits(golden *g, const char *family)
{
    ac_err err = { 0 };
    const char *names[2] = { "logits", "logits_lora" };
    const size_t n = g->n_seq * ac_model_get_config(g->model)->vocab;
    float *got = test_malloc(n * sizeof *got);
    for (int lora = 0; lora < 2; lora++) {
        const ac_tensor *want = ac_tensors_find(g->tensors, names[lora]);
        assert_non_null(want);
        assert_int_equal(want->bytes, n * sizeof *got);
        must(ac_model_logits(g->model, lora ? g->adapter : NULL, g->seq, g->n_seq, got, &err), &err);
        const double d = rel_diff(got, want->data, n);
        print_message("%s %s: relative difference %.2e\n", family, names[lora], d);
        assert_true(d < 1e-4);
    }
    test_free(got);
}

/* PEFT's name of a module's A or B. */
static const ac_tensor *golden_grad(golden *g, const ac_lora_module *m, const char *part)
{
    char name[256];
    const char *block = m->target <= AC_TARGET_O ? "self_attn" : "mlp";
    snprintf(name, sizeof name, "grad.base_model.model.model.layers.%u.%s.%s.%s.weight", m->layer, block,
             ac_target_name(m->target), part);
    return ac_tensors_find(g->tensors, name);
}

static void check_gradients(golden *g, const char *family)
{
    ac_err err = { 0 };
    const uint32_t zero = 0;
    ac_unit units[MAX_ROWS];
    double loss[MAX_ROWS], worst = 0;
    float *grad = test_calloc(g->adapter->n_params, sizeof *grad);
    for (size_t i = 0; i < g->n_rows; i++) {
        units[i] = (ac_unit){ .ids = g->sample[i].ids, .target = g->sample[i].target, .n = g->sample[i].n,
                              .doc_start = &zero, .n_docs = 1, .index = i };
    }
    const ac_pass pass = { .inv_n = 1.0 / (double)g->n_targets, .seed = 1, .step = 1 };
    must(ac_model_grad(g->model, g->adapter, units, g->n_rows, &pass, grad, loss, &err), &err);
    for (size_t i = 0; i < g->adapter->n_modules; i++) {
        const ac_lora_module *m = &g->adapter->module[i];
        const ac_tensor *a = golden_grad(g, m, "lora_A"), *b = golden_grad(g, m, "lora_B");
        assert_non_null(a);
        assert_non_null(b);
        worst = fmax(worst, rel_diff(grad + m->a_at, a->data, m->in * g->adapter->spec.rank));
        worst = fmax(worst, rel_diff(grad + m->b_at, b->data, m->out * g->adapter->spec.rank));
    }
    print_message("%s: worst relative difference of a LoRA gradient %.2e over %zu modules\n", family, worst,
                  g->adapter->n_modules);
    assert_true(g->adapter->n_modules == 21);
    assert_true(worst < 1e-4);
    test_free(grad);
}

typedef struct {
    double loss[32];
    size_t n;
} steps_seen;

static ac_status on_event(void *ctx, const ac_event *e, ac_err *err)
{
    steps_seen *s = ctx;
    (void)err;
    if (e->kind == AC_EV_STEP && s->n < AC_COUNTOF(s->loss)) s->loss[s->n++] = e->loss;
    return AC_OK;
}

static double hyper(golden *g, const char *key)
{
    const ac_json *v = ac_json_get(ac_json_get(g->json, "hyper"), key);
    assert_non_null(v);
    return v->number;
}

/* Mean loss before each of ten steps, against `want`; the largest difference. */
static double steps_differ(golden *g, const char *family, const ac_lora_spec *spec, const char *init, const ac_json *want)
{
    ac_err err = { 0 };
    char dir[] = "/tmp/accord-oracle-XXXXXX";
    steps_seen seen = { 0 };
    const ac_sink sink = { on_event, &seen };
    ac_dataset data = { .n = g->n_rows, .sample = g->sample, .n_targets = g->n_targets, .max_len = MAX_TOKENS };
    const ac_train_opts opts = {
        .lora = *spec, .lr = hyper(g, "lr"), .min_lr_ratio = 1, .schedule = AC_SCHED_CONSTANT,
        .beta1 = hyper(g, "beta1"), .beta2 = hyper(g, "beta2"), .eps = hyper(g, "eps"),
        .weight_decay = hyper(g, "weight_decay"), .clip = hyper(g, "clip"), .epochs = 10,
        .batch_rows = g->n_rows, .shards = 1, .micro_batch = 3, .pack_len = MAX_TOKENS, .seed = 5, .keep_checkpoints = 1,
    };
    ac_train_result result;
    for (size_t i = 0; i < g->n_rows; i++) data.n_tokens += g->sample[i].n;
    assert_non_null(mkdtemp(dir));
    const ac_train_job job = { .opts = &opts, .model = g->model, .train = &data, .run_dir = dir,
                               .base_name = family, .init_adapter = init, .sink = &sink };
    must(ac_train_run(&job, &result, &err), &err);
    double worst = 0;
    assert_int_equal(seen.n, 10);
    for (size_t i = 0; i < 10; i++, want = want->next) worst = fmax(worst, fabs(seen.loss[i] - want->number));
    print_message("%s: ten steps, loss %.5f to %.5f, worst difference %.2e\n", family, seen.loss[0], seen.loss[9], worst);
    assert_int_equal(ac_remove_tree(dir, &err), AC_OK);
    return worst;
}

static void check_steps(golden *g, const char *family)
{
    char init[512];
    snprintf(init, sizeof init, MODELS "%s/adapter", family);
    assert_true(steps_differ(g, family, &g->adapter->spec, init, ac_json_get(g->json, "losses")->child) < 1e-4);
}

/* All weights: every fifth element of each gradient, and ten steps. */
static void check_full(golden *g, const char *family)
{
    const ac_lora_spec spec = { .tune = AC_TUNE_FULL };
    const uint32_t zero = 0;
    ac_err err = { 0 };
    ac_adapter *a = NULL;
    ac_tensors *want = NULL;
    const ac_json *json = NULL;
    ac_unit units[MAX_ROWS];
    double loss[MAX_ROWS], worst = 0;
    char path[512];
    snprintf(path, sizeof path, MODELS "%s/full.safetensors", family);
    must(ac_safetensors_open(&want, path, &err), &err);
    snprintf(path, sizeof path, MODELS "%s/full.json", family);
    must(ac_json_parse_file(&json, path, &g->arena, NULL, &err), &err);
    must(ac_adapter_open(&a, g->model, &spec, &err), &err);
    float *grad = test_calloc(a->n_params, sizeof *grad), *some = test_calloc(a->n_params, sizeof *some);
    for (size_t i = 0; i < g->n_rows; i++) {
        units[i] = (ac_unit){ .ids = g->sample[i].ids, .target = g->sample[i].target, .n = g->sample[i].n,
                              .doc_start = &zero, .n_docs = 1, .index = i };
    }
    const ac_pass pass = { .inv_n = 1.0 / (double)g->n_targets, .seed = 1, .step = 1 };
    must(ac_model_grad(g->model, a, units, g->n_rows, &pass, grad, loss, &err), &err);
    assert_int_equal(ac_tensors_count(want), a->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        char name[128];
        snprintf(name, sizeof name, "grad.%s", a->name[i]);
        const ac_tensor *t = ac_tensors_find(want, name);
        const size_t n = (a->tensor[i].rows * a->tensor[i].cols + 4) / 5;
        assert_non_null(t);
        assert_int_equal(t->bytes, n * sizeof *some);
        for (size_t k = 0; k < n; k++) some[k] = grad[a->tensor[i].at + 5 * k];
        worst = fmax(worst, rel_diff(some, t->data, n));
    }
    print_message("%s: worst relative difference of a weight's gradient %.2e over %zu tensors\n", family, worst, a->n_tensors);
    assert_true(worst < 1e-4);
    assert_true(steps_differ(g, family, &spec, NULL, ac_json_get(json, "losses")->child) < 1e-4);
    test_free(some);
    test_free(grad);
    ac_adapter_close(&a);
    ac_tensors_close(&want);
}

static void check_family(const char *family)
{
    golden g;
    golden_open(&g, family);
    check_logits(&g, family);
    check_gradients(&g, family);
    check_steps(&g, family);
    if (strcmp(family, "mistral") != 0) check_full(&g, family);
    golden_close(&g);
}

/* ---- DoRA ---------------------------------------------------------------------------------------------- */

static const ac_tensor *dora_tensor(golden *g, const char *prefix, const ac_lora_module *m, const char *part)
{
    char name[256];
    snprintf(name, sizeof name, "%s.base_model.model.model.layers.%u.%s.%s.%s", prefix, m->layer,
             m->target <= AC_TARGET_O ? "self_attn" : "mlp", ac_target_name(m->target), part);
    const ac_tensor *t = ac_tensors_find(g->tensors, name);
    if (!t) fail_msg("no tensor %s", name);
    return t;
}

static void dora_open(golden *g, const char *family)
{
    ac_err err = { 0 };
    char path[512];
    golden_open(g, family);
    ac_adapter_close(&g->adapter);
    ac_tensors_close(&g->tensors);
    snprintf(path, sizeof path, MODELS "%s/dora.safetensors", family);
    must(ac_safetensors_open(&g->tensors, path, &err), &err);
    snprintf(path, sizeof path, MODELS "%s/dora", family);
    must(ac_adapter_load(&g->adapter, g->model, path, &err), &err);
    assert_int_equal(g->adapter->spec.tune, AC_TUNE_DORA);
}

/* Logits, the magnitudes that a fresh adapter starts with, and gradients, against PEFT. */
static void check_dora(golden *g, const char *family)
{
    ac_err err = { 0 };
    const uint32_t zero = 0;
    const size_t n = g->n_seq * ac_model_get_config(g->model)->vocab;
    ac_adapter *fresh = NULL;
    ac_unit units[MAX_ROWS];
    double loss[MAX_ROWS], worst = 0, start = 0;
    float *got = test_malloc(n * sizeof *got), *grad = test_calloc(g->adapter->n_params, sizeof *grad);
    must(ac_model_logits(g->model, g->adapter, g->seq, g->n_seq, got, &err), &err);
    const double logits = rel_diff(got, ac_tensors_find(g->tensors, "logits")->data, n);
    must(ac_adapter_open(&fresh, g->model, &g->adapter->spec, &err), &err);
    ac_adapter_init(fresh, 1);
    for (size_t i = 0; i < g->n_rows; i++)
        units[i] = (ac_unit){ .ids = g->sample[i].ids, .target = g->sample[i].target, .n = g->sample[i].n,
                              .doc_start = &zero, .n_docs = 1, .index = i };
    const ac_pass pass = { .inv_n = 1.0 / (double)g->n_targets, .seed = 1, .step = 1, .recompute = true };
    must(ac_model_grad(g->model, g->adapter, units, g->n_rows, &pass, grad, loss, &err), &err);
    for (size_t i = 0; i < g->adapter->n_modules; i++) {
        const ac_lora_module *m = &g->adapter->module[i];
        const size_t rank = g->adapter->spec.rank;
        const char *part[] = { "lora_A.weight", "lora_B.weight", "lora_magnitude_vector" };
        const size_t at[] = { m->a_at, m->b_at, m->m_at }, size[] = { m->in * rank, m->out * rank, m->out };
        for (int k = 0; k < 3; k++)
            worst = fmax(worst, rel_diff(grad + at[k], dora_tensor(g, "grad", m, part[k])->data, size[k]));
        start = fmax(start, rel_diff(fresh->params + m->m_at, dora_tensor(g, "start", m, part[2])->data, m->out));
    }
    print_message("%s with DoRA: relative difference of logits %.1e, of gradients %.1e, of first magnitudes %.1e\n", family,
                  logits, worst, start);
    assert_true(logits < 1e-4 && worst < 1e-4 && start < 1e-6);
    ac_adapter_close(&fresh);
    test_free(grad);
    test_free(got);
}

static void check_dora_steps(golden *g, const char *family)
{
    ac_err err = { 0 };
    const ac_json *json = NULL;
    char path[512], init[512];
    snprintf(path, sizeof path, MODELS "%s/dora.json", family);
    must(ac_json_parse_file(&json, path, &g->arena, NULL, &err), &err);
    snprintf(init, sizeof init, MODELS "%s/dora", family);
    assert_true(steps_differ(g, family, &g->adapter->spec, init, ac_json_get(json, "losses")->child) < 1e-4);
}

static void test_dora(void **state)
{
    (void)state;
    static const char *const families[] = { "llama", "qwen2", "qwen3" };
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        golden g;
        dora_open(&g, families[i]);
        check_dora(&g, families[i]);
        check_dora_steps(&g, families[i]);
        golden_close(&g);
    }
}

static void test_llama(void **state) { (void)state; check_family("llama"); }
static void test_llama3(void **state) { (void)state; check_family("llama3"); }
static void test_mistral(void **state) { (void)state; check_family("mistral"); }
static void test_qwen2(void **state) { (void)state; check_family("qwen2"); }
static void test_qwen3(void **state) { (void)state; check_family("qwen3"); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dora), cmocka_unit_test(test_llama), cmocka_unit_test(test_llama3), cmocka_unit_test(test_mistral),
        cmocka_unit_test(test_qwen2), cmocka_unit_test(test_qwen3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
