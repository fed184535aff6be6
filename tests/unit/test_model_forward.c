/* Logits and losses against binary64, and the promises that bits depend on nothing else: packing, batching,
 * prefill or decode, container, tier, threads. */
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

static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3" };

static ac_adapter *make_adapter(const ac_model *m, ac_tune tune, uint32_t rank)
{
    ac_err err = { 0 };
    ac_adapter *a = NULL;
    const ac_lora_spec spec = { .tune = tune, .rank = rank, .alpha = 6, .targets = 127 };
    must(ac_adapter_open(&a, m, &spec, &err), &err);
    ref_fill_adapter(a, 5);
    return a;
}

static void random_ids(int32_t *ids, size_t n, size_t vocab, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)ac_rng_below(seed, AC_RNG_TEST, 9, i, (uint32_t)vocab);
}

/* ---- values -------------------------------------------------------------------------------------------- */

static void check_values(ref_spec s, ac_tune tune)
{
    ac_err err = { 0 };
    ref_open o;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    ac_adapter *a = make_adapter(o.model, tune, 3);
    double params[8192];
    assert_true(a->n_params <= AC_COUNTOF(params));
    for (size_t i = 0; i < a->n_params; i++) params[i] = (double)a->params[i];
    enum { N = 30 };
    int32_t ids[N];
    random_ids(ids, N, s.vocab, s.seed);
    float got[N * 64];
    double want[N * 64], top = 0, worst = 0;
    for (int lora = 0; lora < 2; lora++) {
        const ref_lora lo = { .ad = a, .params = lora ? params : NULL };
        must(ac_model_logits(o.model, lora ? a : NULL, ids, N, got, &err), &err);
        ref_logits(&o.ref, &lo, ids, N, want);
        for (size_t i = 0; i < N * s.vocab; i++) {
            top = fmax(top, fabs(want[i]));
            worst = fmax(worst, fabs((double)got[i] - want[i]));
        }
    }
    print_message("%s: logits up to %.1f, largest difference %.1e\n", s.family, top, worst);
    assert_true(worst < 1e-5 * top);
    ref_units u;
    double loss[REF_UNITS];
    ref_make_units(&u, 4, 20, s.vocab, 3);
    must(ac_model_nll(o.model, a, u.unit, u.n, loss, NULL, &err), &err);
    for (size_t i = 0; i < u.n; i++) {
        const ref_lora lo = { .ad = a, .params = params };
        const double w = ref_unit_loss(&o.ref, lo, &u.unit[i]);
        assert_true(fabs(loss[i] - w) < 1e-5 * fmax(w, 1.0));
    }
    ac_adapter_close(&a);
    ref_close(&o);
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        check_values(ref_spec_of(families[i]), AC_TUNE_LORA);
        check_values(ref_spec_of(families[i]), AC_TUNE_DORA);
    }
    ref_spec s = ref_spec_of("llama");
    s.tied = true;
    s.scaling = 1;
    check_values(s, AC_TUNE_LORA);
    s = ref_spec_of("llama");
    s.scaling = 2;
    s.kv_heads = s.heads;
    check_values(s, AC_TUNE_LORA);
    s = ref_spec_of("qwen3");
    s.tied = true;
    s.layers = 1;
    check_values(s, AC_TUNE_LORA);
}

/* ---- bits: packing, batching, decoding ------------------------------------------------------------------- */

/* A document's token losses are the same bits alone, packed behind others, and beside other units. */
static void check_packing(const char *family, ac_tune tune)
{
    ac_err err = { 0 };
    const ref_spec s = ref_spec_of(family);
    ref_open o;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 3));
    ac_adapter *a = make_adapter(o.model, tune, 2);
    enum { N = 12, P = 17 };
    int32_t ids[P + N];
    uint8_t target[P + N];
    float alone[N], packed[P + N], grouped[2 * (P + N)];
    double loss[3];
    random_ids(ids, P + N, s.vocab, 4);
    for (size_t i = 0; i < P + N; i++) target[i] = i != 0 && i != P;
    const uint32_t starts[2] = { 0, P };
    const ac_unit one = { ids + P, target + P, N, starts, 1, 0 }, two = { ids, target, P + N, starts, 2, 1 };
    must(ac_model_nll(o.model, a, &one, 1, loss, alone, &err), &err);
    must(ac_model_nll(o.model, a, &two, 1, loss, packed, &err), &err);
    assert_memory_equal(alone, packed + P - 1, (N - 1) * sizeof(float));
    const ac_unit both[3] = { one, two, one };
    must(ac_model_nll(o.model, a, both, 3, loss, grouped, &err), &err);
    assert_memory_equal(alone, grouped, (N - 1) * sizeof(float));
    assert_memory_equal(packed, grouped + N - 1, (P + N - 2) * sizeof(float));
    assert_memory_equal(alone, grouped + N - 1 + P + N - 2, (N - 1) * sizeof(float));
    assert_true(memcmp(&loss[0], &loss[2], sizeof(double)) == 0);
    ac_adapter_close(&a);
    ref_close(&o);
}

static void test_packing(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        check_packing(families[i], AC_TUNE_LORA);
        check_packing(families[i], AC_TUNE_DORA);
    }
}

/* Feeding in any cut, beside any neighbours, gives the rows of ac_model_logits. */
static void check_feed(const char *family, ac_tune tune)
{
    ac_err err = { 0 };
    ref_spec s = ref_spec_of(family);
    s.context = 200;
    ref_open o;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    ac_adapter *a = make_adapter(o.model, tune, 2);
    enum { SLOTS = 4, N = 150 };
    static const size_t cut[SLOTS][6] = { { 150 }, { 1, 1, 1, 70, 77 }, { 64, 64, 22 }, { 5, 130, 1, 14 } };
    static int32_t ids[SLOTS][N];
    static float want[SLOTS][N * 64];
    size_t at[SLOTS] = { 0 };
    ac_kv *kv = NULL;
    must(ac_kv_open(&kv, o.model, SLOTS, N, &err), &err);
    for (size_t k = 0; k < SLOTS; k++) {
        random_ids(ids[k], N, s.vocab, 40 + k);
        must(ac_model_logits(o.model, a, ids[k], N, want[k], &err), &err);
    }
    for (size_t round = 0; round < 6; round++) {
        ac_feed f[SLOTS];
        float got[SLOTS * 64];
        size_t n = 0;
        for (size_t k = SLOTS; k-- > 0;)         /* slots in another order than the feeds */
            if (cut[k][round]) f[n++] = (ac_feed){ k, ids[k] + at[k], cut[k][round] };
        if (n == 0) break;
        must(ac_model_feed(o.model, a, kv, f, n, got, &err), &err);
        for (size_t i = 0; i < n; i++) {
            at[f[i].slot] += f[i].n;
            assert_int_equal(ac_kv_len(kv, f[i].slot), at[f[i].slot]);
            assert_memory_equal(got + i * s.vocab, want[f[i].slot] + (at[f[i].slot] - 1) * s.vocab,
                                s.vocab * sizeof(float));
        }
    }
    for (size_t k = 0; k < SLOTS; k++) assert_int_equal(at[k], N);
    /* Back to token 20 of slot 1, then on again. */
    float got[64];
    ac_kv_truncate(kv, 1, 20);
    const ac_feed again = { 1, ids[1] + 20, 30 };
    must(ac_model_feed(o.model, a, kv, &again, 1, got, &err), &err);
    assert_memory_equal(got, want[1] + 49 * s.vocab, s.vocab * sizeof(float));
    const ac_feed silent = { 1, ids[1] + 50, 10 };
    must(ac_model_feed(o.model, a, kv, &silent, 1, NULL, &err), &err);
    assert_int_equal(ac_kv_len(kv, 1), 60);
    ac_kv_close(&kv);
    ac_adapter_close(&a);
    ref_close(&o);
}

static void test_feed(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        check_feed(families[i], AC_TUNE_LORA);
        check_feed(families[i], AC_TUNE_DORA);
    }
}

/* Weights laid out ahead change no bit: few rows with and without them, prefill and decode, every tier. */
static void test_prepared(void **state)
{
    (void)state;
    static const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AUTO };
    enum { N = 20 };
    static float first[N * 64], want[N * 64], got[N * 64];
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        for (size_t t = 0; t < AC_COUNTOF(tiers); t++) {
            ac_err err = { 0 };
            const ref_spec s = ref_spec_of(families[i]);
            ref_open o;
            assert_true(ref_open_spec(&o, s, tiers[t], 3));
            int32_t ids[N];
            random_ids(ids, N, s.vocab, 77);
            must(ac_model_logits(o.model, NULL, ids, N, want, &err), &err);
            const size_t bytes = ac_model_decode_bytes(o.model);
            assert_true(t == 0 ? bytes == 0 : bytes > 0 || !(ac_cpu_flags() & AC_HAS_AVX2));
            const int64_t before = ac_live_bytes();
            must(ac_model_prepare_decode(o.model, &err), &err);
            assert_true(ac_live_bytes() >= before + (int64_t)bytes);
            must(ac_model_logits(o.model, NULL, ids, N, got, &err), &err);
            assert_memory_equal(got, want, N * s.vocab * sizeof(float));
            ac_kv *kv = NULL;
            must(ac_kv_open(&kv, o.model, 1, N, &err), &err);
            for (size_t k = 0; k < N; k++) {
                const ac_feed f = { 0, ids + k, 1 };
                must(ac_model_feed(o.model, NULL, kv, &f, 1, got + k * s.vocab, &err), &err);
            }
            assert_memory_equal(got, want, N * s.vocab * sizeof(float));
            if (t == 0) memcpy(first, want, N * s.vocab * sizeof(float));
            else assert_memory_equal(first, want, N * s.vocab * sizeof(float));
            ac_kv_close(&kv);
            ref_close(&o);
        }
    }
}

/* More tokens than one pass takes, over several slots. */
static void test_feed_long(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ref_spec s = ref_spec_of("llama");
    s.context = 1500;
    s.layers = 1;
    ref_open o;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    enum { N = 1400 };
    static int32_t ids[N];
    static float want[N * 37];
    random_ids(ids, N, s.vocab, 8);
    must(ac_model_logits(o.model, NULL, ids, N, want, &err), &err);
    ac_kv *kv = NULL;
    must(ac_kv_open(&kv, o.model, 3, N, &err), &err);
    const ac_feed f[3] = { { 2, ids, 900 }, { 0, ids, N }, { 1, ids, 3 } };
    float got[3 * 37];
    must(ac_model_feed(o.model, NULL, kv, f, 3, got, &err), &err);
    assert_memory_equal(got, want + 899 * 37, 37 * sizeof(float));
    assert_memory_equal(got + 37, want + (N - 1) * 37, 37 * sizeof(float));
    assert_memory_equal(got + 74, want + 2 * 37, 37 * sizeof(float));
    ac_kv_close(&kv);
    ref_close(&o);
}

/* A device whose bits depend on who is joined gets single tokens together, so many at most, and each longer feed alone,
 * cut from its own start. */
static struct {
    ac_device_ops op;
    const ac_device_ops *sound;
    size_t n, feeds[16], rows[16];
} spied;

static void spy_attention_kv(ac_device *d, const ac_attention_kv_args *a)
{
    size_t rows = 0;
    for (size_t i = 0; i < a->n_feeds; i++) rows += a->feeds[i].n;
    assert_true(spied.n < AC_COUNTOF(spied.feeds));
    spied.feeds[spied.n] = a->n_feeds;
    spied.rows[spied.n++] = rows;
    spied.sound->attention_kv(d, a);
}

static void test_feed_apart(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ref_spec s = ref_spec_of("llama");
    s.context = 1500;
    s.layers = 1;
    ref_open o;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 2));
    enum { N = 1400, SLOTS = 7 };
    static const size_t n[SLOTS] = { 1, 1, 1, N, 1, 5, 1 };
    static const size_t want_feeds[] = { 2, 1, 1, 1, 1, 1, 1 }, want_rows[] = { 2, 1, 1024, N - 1024, 1, 5, 1 };
    static int32_t ids[N];
    static float joined[SLOTS * 37], apart[SLOTS * 37];
    random_ids(ids, N, s.vocab, 8);
    ac_feed f[SLOTS];
    for (size_t i = 0; i < SLOTS; i++) f[i] = (ac_feed){ i, ids, n[i] };
    for (int turn = 0; turn < 2; turn++) {
        ac_kv *kv = NULL;
        must(ac_kv_open(&kv, o.model, SLOTS, N, &err), &err);
        must(ac_model_feed(o.model, NULL, kv, f, SLOTS, turn ? apart : joined, &err), &err);
        ac_kv_close(&kv);
        if (turn) break;
        spied.sound = o.dev->op;
        spied.op = *o.dev->op;
        spied.op.attention_kv = spy_attention_kv;
        o.dev->op = &spied.op;
        o.dev->feed_rows = 2;
    }
    o.dev->op = spied.sound;
    assert_int_equal(spied.n, AC_COUNTOF(want_feeds));
    assert_memory_equal(spied.feeds, want_feeds, sizeof want_feeds);
    assert_memory_equal(spied.rows, want_rows, sizeof want_rows);
    assert_memory_equal(joined, apart, sizeof joined);
    ref_close(&o);
}

/* ---- bits: tiers and threads --------------------------------------------------------------------------------- */

static void test_tiers_and_threads(void **state)
{
    (void)state;
    ac_err err = { 0 };
    static const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };
    for (size_t f = 0; f < AC_COUNTOF(families); f++) {
        float first[30 * 37], got[30 * 37], grad0[8192], grad[8192];
        double loss0[REF_UNITS], loss[REF_UNITS];
        bool have = false;
        for (size_t k = 0; k < AC_COUNTOF(tiers); k++)
            for (size_t threads = 1; threads <= 3; threads++) {
                ac_device *probe = NULL;
                if (ac_device_open_cpu(&probe, tiers[k], 1, NULL)) {
                    if (f == 0 && threads == 1) print_message("tier %s: not run\n", ac_cpu_name(tiers[k]));
                    continue;
                }
                ac_device_close(&probe);
                ref_open o;
                assert_true(ref_open_spec(&o, ref_spec_of(families[f]), tiers[k], threads));
                ac_adapter *a = make_adapter(o.model, f % 2 ? AC_TUNE_DORA : AC_TUNE_LORA, 3);
                int32_t ids[30];
                random_ids(ids, 30, 37, 1);
                must(ac_model_logits(o.model, a, ids, 30, got, &err), &err);
                ref_units u;
                ref_make_units(&u, 4, 20, 37, 3);
                const ac_pass pass = { .inv_n = 1.0 / (double)u.supervised, .seed = 7, .step = 2, .dropout = 0.1 };
                memset(grad, 0, sizeof grad);
                must(ac_model_grad(o.model, a, u.unit, u.n, &pass, grad, loss, &err), &err);
                if (!have) {
                    memcpy(first, got, sizeof got);
                    memcpy(grad0, grad, sizeof grad);
                    memcpy(loss0, loss, sizeof loss);
                }
                have = true;
                assert_memory_equal(first, got, sizeof got);
                assert_memory_equal(grad0, grad, a->n_params * sizeof(float));
                assert_memory_equal(loss0, loss, u.n * sizeof(double));
                ac_adapter_close(&a);
                ref_close(&o);
            }
    }
}

/* ---- bits: containers ------------------------------------------------------------------------------------------ */

static void check_container(ref_spec s, bool q8)
{
    ac_err err = { 0 };
    ref_model m;
    ac_device *dev = NULL;
    ac_model *hf = NULL, *gguf = NULL;
    char path[128];
    const char *dir = ref_temp();
    ref_make(&m, s);
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    must(ref_write_gguf(&m, path, q8, &err), &err);
    must(ref_write_hf(&m, dir, &err), &err);     /* after: it holds what Q8_0 kept */
    must(ac_device_open_cpu(&dev, AC_CPU_AUTO, 2, &err), &err);
    must(ac_model_open(&hf, dev, dir, &err), &err);
    must(ac_model_open(&gguf, dev, path, &err), &err);
    assert_string_equal(ac_model_get_config(gguf)->source, "gguf");
    assert_int_equal(ac_model_get_config(gguf)->n_params, ac_model_get_config(hf)->n_params);
    assert_true(ac_model_get_config(gguf)->tied_output == s.tied);
    ac_adapter *a = make_adapter(hf, AC_TUNE_DORA, 2), *b = make_adapter(gguf, AC_TUNE_DORA, 2);
    int32_t ids[20];
    float x[20 * 37], y[20 * 37], gx[8192] = { 0 }, gy[8192] = { 0 };
    double loss[REF_UNITS];
    random_ids(ids, 20, s.vocab, 2);
    must(ac_model_logits(hf, a, ids, 20, x, &err), &err);
    must(ac_model_logits(gguf, b, ids, 20, y, &err), &err);
    assert_memory_equal(x, y, 20 * s.vocab * sizeof(float));
    ref_units u;
    ref_make_units(&u, 3, 12, s.vocab, 3);
    const ac_pass pass = { .inv_n = 0.1, .seed = 1, .step = 1 };
    must(ac_model_grad(hf, a, u.unit, u.n, &pass, gx, loss, &err), &err);
    must(ac_model_grad(gguf, b, u.unit, u.n, &pass, gy, loss, &err), &err);
    assert_memory_equal(gx, gy, sizeof gx);
    ac_adapter_close(&a);
    ac_adapter_close(&b);
    ac_model_close(&hf);
    ac_model_close(&gguf);
    ac_device_close(&dev);
    ref_free(&m);
    must(ac_remove_tree(dir, &err), &err);
}

static void test_containers(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        ref_spec s = ref_spec_of(families[i]);
        s.theta = 10000.0;                       /* exact in the GGUF's binary32; so is the next */
        s.eps = 0.0000152587890625;
        check_container(s, false);
        s.hidden = 32;
        s.ffn = 64;
        s.head_dim = 8;
        s.heads = 4;
        check_container(s, true);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void test_bad_calls(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ref_open o;
    assert_true(ref_open_spec(&o, ref_spec_of("llama"), AC_CPU_AUTO, 1));
    int32_t ids[80] = { 1, 2, 36, 3 };
    uint8_t target[80] = { 0, 1, 1, 1 };
    uint32_t start[2] = { 0, 2 };
    double loss[2];
    float logits[4 * 37];
    ac_unit u = { ids, target, 4, start, 1, 0 };
    must(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, &err), &err);
    ids[2] = 37;
    assert_int_equal(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, &err), AC_EARG);
    assert_non_null(strstr(err.text, "37"));
    ids[2] = -1;
    assert_int_equal(ac_model_logits(o.model, NULL, ids, 4, logits, NULL), AC_EARG);
    ids[2] = 5;
    u.n_docs = 2;                                /* the second document's first token is supervised */
    assert_int_equal(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, NULL), AC_EARG);
    target[2] = 0;
    must(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, &(ac_err){ 0 }), &err);
    start[1] = 4;
    assert_int_equal(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, NULL), AC_EARG);
    u.n_docs = 1;
    u.n = 65;                                    /* context is 64 */
    err = (ac_err){ 0 };
    assert_int_equal(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, &err), AC_EARG);
    assert_non_null(strstr(err.text, "context"));
    u.n = 0;
    assert_int_equal(ac_model_nll(o.model, NULL, &u, 1, loss, NULL, NULL), AC_EARG);
    ac_kv *kv = NULL;
    assert_int_equal(ac_kv_open(&kv, o.model, 1, 65, NULL), AC_EARG);
    assert_int_equal(ac_kv_open(&kv, o.model, 0, 8, NULL), AC_EARG);
    must(ac_kv_open(&kv, o.model, 2, 5, &err), &err);
    ac_feed f[2] = { { 0, ids, 3 }, { 1, ids, 6 } };
    assert_int_equal(ac_model_feed(o.model, NULL, kv, f, 2, NULL, NULL), AC_EARG);
    assert_int_equal(ac_kv_len(kv, 0), 0);       /* nothing was changed */
    f[1] = (ac_feed){ 0, ids, 1 };
    assert_int_equal(ac_model_feed(o.model, NULL, kv, f, 2, NULL, NULL), AC_EARG);
    f[1] = (ac_feed){ 2, ids, 1 };
    assert_int_equal(ac_model_feed(o.model, NULL, kv, f, 2, NULL, NULL), AC_EARG);
    ac_kv_close(&kv);
    ref_close(&o);
}

/* ---- texts as vectors -------------------------------------------------------------------------------------- */

/* Against binary64; then the same bits alone, on the plain tier and on three threads. */
static void check_embed(const char *family)
{
    ac_err err = { 0 };
    const ref_spec s = ref_spec_of(family);
    ref_open o, plain;
    ref_units u;
    assert_true(ref_open_spec(&o, s, AC_CPU_AUTO, 3));
    assert_true(ref_open_spec(&plain, s, AC_CPU_REF, 1));
    ref_make_units(&u, REF_UNITS, 20, s.vocab, 8);
    float got[REF_UNITS * 256], alone[256];
    assert_true(s.hidden <= 256);
    must(ac_model_embed(o.model, u.unit, u.n, got, &err), &err);
    for (size_t i = 0; i < u.n; i++) {
        const ac_unit *unit = &u.unit[i];
        double hidden[REF_UNIT_TOKENS * 256], mean[256] = { 0 }, length = 0;
        const ref_lora none = { .ad = NULL };
        for (size_t d = 0; d < unit->n_docs; d++) {
            const size_t from = unit->doc_start[d], to = d + 1 < unit->n_docs ? unit->doc_start[d + 1] : unit->n;
            ref_hidden(&o.ref, &none, unit->ids + from, to - from, hidden + from * s.hidden);
        }
        for (size_t t = 0; t < unit->n; t++)
            for (size_t c = 0; c < s.hidden; c++) mean[c] += hidden[t * s.hidden + c];
        for (size_t c = 0; c < s.hidden; c++) length += mean[c] * mean[c];
        for (size_t c = 0; c < s.hidden; c++) assert_true(fabs((double)got[i * s.hidden + c] - mean[c] / sqrt(length)) < 1e-5);
        must(ac_model_embed(plain.model, unit, 1, alone, &err), &err);
        assert_memory_equal(alone, got + i * s.hidden, s.hidden * sizeof *alone);
    }
    ref_close(&o);
    ref_close(&plain);
}

static void test_embed(void **state)
{
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(families); i++) check_embed(families[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_packing), cmocka_unit_test(test_feed),
        cmocka_unit_test(test_feed_long), cmocka_unit_test(test_feed_apart), cmocka_unit_test(test_prepared), cmocka_unit_test(test_tiers_and_threads),
        cmocka_unit_test(test_containers), cmocka_unit_test(test_embed), cmocka_unit_test(test_bad_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
