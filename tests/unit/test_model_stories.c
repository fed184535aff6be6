/* A real model (stories260K): GGUF and safetensors, tiers and threads give the same bytes; greedy ids are the
 * oracle's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "formats/json.h"
#include "model_ref.h"

static char hf[512], gguf[512];

static void must(ac_status st, const ac_err *err)
{
    if (st) fail_msg("%s: %s", ac_status_name(st), err->text);
}

/* Logits, dropped-out gradients and losses of one set-up, in one hash. */
static ac_sha256 digest(const char *path, ac_cpu tier, size_t threads)
{
    ac_err err = { 0 };
    ac_device *dev = NULL;
    ac_model *m = NULL;
    ac_adapter *a = NULL;
    enum { N = 200 };
    static float logits[N * 512];
    int32_t ids[N];
    uint8_t target[N];
    const uint32_t start[3] = { 0, 77, 141 };
    const ac_lora_spec spec = { .rank = 8, .alpha = 16, .targets = 127 };
    double loss[3];
    must(ac_device_open_cpu(&dev, tier, threads, &err), &err);
    must(ac_model_open(&m, dev, path, &err), &err);
    for (size_t i = 0; i < N; i++) {
        ids[i] = (int32_t)ac_rng_below(1, AC_RNG_TEST, 0, i, 512);
        target[i] = i != 0 && i != 77 && i != 141 && i % 3 != 0;
    }
    must(ac_model_logits(m, NULL, ids, N, logits, &err), &err);
    must(ac_adapter_open(&a, m, &spec, &err), &err);
    ref_fill_adapter(a, 4);
    float *grad = test_calloc(a->n_params, sizeof *grad);
    const ac_unit u[3] = { { ids, target, N, start, 3, 0 }, { ids, target, 77, start, 1, 1 },
                           { ids + 77, target + 77, 64, start, 1, 2 } };
    const ac_pass pass = { .inv_n = 0.01, .seed = 3, .step = 5, .dropout = 0.1 };
    must(ac_model_grad(m, a, u, 3, &pass, grad, loss, &err), &err);
    ac_sha256_state s;
    ac_sha256 h;
    ac_sha256_init(&s);
    ac_sha256_add(&s, logits, sizeof logits);
    ac_sha256_add(&s, grad, a->n_params * sizeof *grad);
    ac_sha256_add(&s, loss, sizeof loss);
    ac_sha256_done(&s, &h);
    test_free(grad);
    ac_adapter_close(&a);
    ac_model_close(&m);
    ac_device_close(&dev);
    return h;
}

static void test_same_bytes(void **state)
{
    (void)state;
    static const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };
    const ac_sha256 want = digest(hf, AC_CPU_REF, 1);
    for (size_t k = 0; k < AC_COUNTOF(tiers); k++) {
        ac_device *probe = NULL;
        if (ac_device_open_cpu(&probe, tiers[k], 1, NULL)) {
            print_message("tier %s: not run\n", ac_cpu_name(tiers[k]));
            continue;
        }
        ac_device_close(&probe);
        for (size_t threads = tiers[k] == AC_CPU_REF ? 3 : 1; threads <= 3; threads++) {
            const ac_sha256 got = digest(threads == 2 ? hf : gguf, tiers[k], threads);
            assert_memory_equal(&want, &got, sizeof want);
        }
    }
}

static void test_greedy(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_arena arena = { 0 };
    const ac_json *j = NULL;
    must(ac_json_parse_file(&j, ACCORD_SOURCE_DIR "/tests/oracle/stories260k.json", &arena, NULL, &err), &err);
    int32_t ids[256];
    size_t n = 0;
    for (const ac_json *v = ac_json_get(j, "prompt_ids")->child; v; v = v->next) ids[n++] = (int32_t)v->number;
    ac_device *dev = NULL;
    ac_model *m = NULL;
    ac_kv *kv = NULL;
    float logits[512];
    must(ac_device_open_cpu(&dev, AC_CPU_AUTO, 2, &err), &err);
    must(ac_model_open(&m, dev, gguf, &err), &err);
    must(ac_kv_open(&kv, m, 1, 256, &err), &err);
    ac_feed f = { 0, ids, n };
    size_t same = 0;
    for (const ac_json *v = ac_json_get(j, "greedy_ids")->child; v; v = v->next, same++) {
        must(ac_model_feed(m, NULL, kv, &f, 1, logits, &err), &err);
        int32_t best = 0;
        for (int32_t t = 1; t < 512; t++)
            if (logits[t] > logits[best]) best = t;
        assert_int_equal(best, (int32_t)v->number);
        ids[0] = best;
        f.n = 1;
    }
    assert_int_equal(same, 200);
    ac_kv_close(&kv);
    ac_model_close(&m);
    ac_device_close(&dev);
    ac_arena_release(&arena);
}

int main(void)
{
    const char *shared = getenv("ACCORD_SHARED_DATA");
    if (!shared) shared = ACCORD_SOURCE_DIR "/../shared/data";
    snprintf(hf, sizeof hf, "%s/weights-stories260k/hf", shared);
    snprintf(gguf, sizeof gguf, "%s/weights-stories260k/stories260K.gguf", shared);
    if (!ac_path_is_dir(hf)) {
        printf("not run: no ../shared/data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_greedy) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
