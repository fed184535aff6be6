/* Whole models on the CUDA device: gradients, losses and logits against the CPU's fp32 with the same (bfloat16) weights,
 * ten steps of training beside the CPU's, the same adapter bytes twice, with recompute and after a resume. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/cuda.h"
#include "cudasim/simulated.h"
#include "model_ref.h"
#include "train_run.h"

static int failures;
static ac_device *gpu;

static void stop(const char *what, const ac_err *err)
{
    fprintf(stderr, "test_train_cuda: %s: %s\n", what, err->text);
    exit(1);
}

static void check(bool ok, const char *name, double value, double most)
{
    failures += !ok;
    printf("%-56s %.3e of %.0e  %s\n", name, value, most, ok ? "ok" : "FAILED");
}

static double apart(const float *got, const float *want, size_t n)
{
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];
        diff += d * d;
        size += (double)want[i] * (double)want[i];
    }
    return sqrt(diff / (size > 0 ? size : 1));
}

/* ---- a model on both ------------------------------------------------------------------------------------------ */

typedef struct {
    ref_model ref;
    const char *dir;
    ac_device *cpu;
    ac_model *on_cpu, *on_gpu;
} pair;

/* Weights a bfloat16 holds, of a size at which a model's activations stay near 1. */
static void tame(ref_model *m)
{
    const double by = 2.5 / sqrt((double)m->s.hidden);
    for (size_t i = 0; i < m->n; i++) {
        const bool matrix = m->t[i].n_dims == 2, embed = i == 0;
        const size_t n = m->t[i].dim[0] * (matrix ? m->t[i].dim[1] : 1);
        for (size_t k = 0; k < n; k++) {
            float x = m->data[i][k] * (float)(matrix && !embed ? by : 1.0);
            uint32_t u;
            memcpy(&u, &x, sizeof u);
            u = (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
            memcpy(&m->data[i][k], &u, sizeof u);
        }
    }
}

static ref_spec spec_of(const char *family)
{
    ref_spec s = ref_spec_of(family);
    s.layers = 3;
    s.hidden = 128;
    s.ffn = 336;
    s.heads = 4;
    s.kv_heads = 2;
    s.head_dim = 32;
    s.vocab = 304;
    s.context = 512;
    if (s.window) s.window = 40;
    if (simulated(gpu)) s.layers = 2, s.hidden = 64, s.ffn = 136, s.heads = 2, s.kv_heads = 1, s.vocab = 104;
    return s;
}

static void open_pair(pair *p, ref_spec s)
{
    ac_err err = { 0 };
    memset(p, 0, sizeof *p);
    ref_make(&p->ref, s);
    tame(&p->ref);
    p->dir = ref_temp();
    ac_status st = p->dir ? ref_write_hf(&p->ref, p->dir, &err) : AC_EIO;
    if (!st) st = ac_device_open_cpu(&p->cpu, AC_CPU_AUTO, 0, &err);
    if (!st) st = ac_model_open(&p->on_cpu, p->cpu, p->dir, &err);
    if (!st) st = ac_model_open(&p->on_gpu, gpu, p->dir, &err);
    if (st) stop("opening a model", &err);
}

static void close_pair(pair *p)
{
    ac_model_close(&p->on_gpu);
    ac_model_close(&p->on_cpu);
    ac_device_close(&p->cpu);
    ref_free(&p->ref);
    if (p->dir) (void)ac_remove_tree(p->dir, NULL);
}

/* ---- gradients -------------------------------------------------------------------------------------------------- */

enum { UNITS = 4, LONG = 200 };
static int32_t unit_ids[UNITS][LONG];
static uint8_t unit_target[UNITS][LONG];
static uint32_t unit_start[UNITS][2];

static void make_units(ac_unit units[UNITS], size_t vocab, size_t *supervised)
{
    *supervised = 0;
    for (size_t u = 0; u < UNITS; u++) {
        const size_t n = simulated(gpu) ? 20 + 16 * u : 60 + 40 * u;
        for (size_t i = 0; i < n; i++) {
            unit_ids[u][i] = (int32_t)ac_rng_below(5, AC_RNG_TEST, u, i, (uint32_t)vocab);
            unit_target[u][i] = i > 3 && i != n / 3 && ac_rng_below(5, AC_RNG_TEST, 100 + u, i, 3) > 0;
            *supervised += unit_target[u][i];
        }
        unit_start[u][0] = 0;
        unit_start[u][1] = (uint32_t)(n / 3);
        units[u] = (ac_unit){ unit_ids[u], unit_target[u], n, unit_start[u], 2, 5 + u };
    }
}

static void test_gradients(const char *family, double dropout)
{
    pair p;
    char name[96];
    ac_err err = { 0 };
    ac_adapter *a = NULL;
    ac_unit units[UNITS];
    size_t supervised;
    double loss[3][UNITS], worst = 0;
    open_pair(&p, spec_of(family));
    const ac_lora_spec lora = { .rank = 8, .alpha = 16, .targets = (1u << AC_TARGET_COUNT) - 1 };
    if (ac_adapter_open(&a, p.on_cpu, &lora, &err)) stop("an adapter", &err);
    for (size_t i = 0; i < a->n_params; i++) a->params[i] = 0.05f * (2.0f * ac_rng_unit(21, AC_RNG_TEST, 77, i) - 1.0f);
    make_units(units, p.ref.s.vocab, &supervised);
    ac_pass pass = { .inv_n = 1.0 / (double)supervised, .seed = 9, .step = 4, .dropout = dropout };
    float *g[3];
    for (int i = 0; i < 3; i++) {
        g[i] = calloc(a->n_params, sizeof **g);
        if (!g[i]) exit(1);
        pass.recompute = i == 2;
        if (ac_model_grad(i ? p.on_gpu : p.on_cpu, a, units, UNITS, &pass, g[i], loss[i], &err)) stop("a gradient", &err);
    }
    for (size_t k = 0; k < a->n_modules; k++) {
        const ac_lora_module *m = &a->module[k];
        const size_t n = (m->in + m->out) * lora.rank;
        worst = fmax(worst, apart(g[1] + m->a_at, g[0] + m->a_at, n));
    }
    double diff = 0;
    for (size_t u = 0; u < UNITS; u++) diff = fmax(diff, fabs(loss[1][u] / loss[0][u] - 1.0));
    snprintf(name, sizeof name, "%s%s: a unit's loss, worst", family, dropout > 0 ? ", dropout" : "");
    check(diff < 2e-3, name, diff, 2e-3);
    snprintf(name, sizeof name, "%s%s: gradient of all", family, dropout > 0 ? ", dropout" : "");
    const double all = apart(g[1], g[0], a->n_params);
    check(all < 2e-2, name, all, 2e-2);
    snprintf(name, sizeof name, "%s: of a module, worst", family);
    check(worst < 4e-2, name, worst, 4e-2);
    const bool same = memcmp(g[1], g[2], a->n_params * sizeof **g) == 0 && memcmp(loss[1], loss[2], sizeof loss[1]) == 0;
    snprintf(name, sizeof name, "%s: recompute gives the same bytes", family);
    check(same, name, apart(g[2], g[1], a->n_params), 0);
    for (int i = 0; i < 3; i++) free(g[i]);
    ac_adapter_close(&a);
    close_pair(&p);
}

static void test_logits(const char *family)
{
    pair p;
    char name[96];
    ac_err err = { 0 };
    ac_unit units[UNITS];
    size_t supervised;
    open_pair(&p, spec_of(family));
    make_units(units, p.ref.s.vocab, &supervised);
    const size_t n = units[3].n * p.ref.s.vocab;
    float *x = calloc(2 * n, sizeof *x);
    if (!x) exit(1);
    if (ac_model_logits(p.on_cpu, NULL, units[3].ids, units[3].n, x, &err)) stop("logits", &err);
    if (ac_model_logits(p.on_gpu, NULL, units[3].ids, units[3].n, x + n, &err)) stop("logits", &err);
    snprintf(name, sizeof name, "%s: logits", family);
    const double d = apart(x + n, x, n);
    check(d < 2e-2, name, d, 2e-2);
    free(x);
    close_pair(&p);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

typedef struct {
    double loss[64];
    size_t n;
} losses;

static ac_status collect(void *ctx, const ac_event *e, ac_err *err)
{
    losses *l = ctx;
    AC_UNUSED(err);
    if (e->kind == AC_EV_STEP && l->n < AC_COUNTOF(l->loss)) l->loss[l->n++] = e->loss;
    return AC_OK;
}

static ac_train_opts options(void)
{
    ac_train_opts o = tiny_opts();
    o.lora.rank = 8;
    o.max_steps = 10;
    o.micro_batch = 0;
    o.micro_tokens = 4096;
    o.eval_every = 5;
    o.save_every = 4;
    if (simulated(gpu)) o.batch_rows = 4;
    return o;
}

static outcome_bits train(ac_model *m, ac_train_opts o, const ac_dataset *rows, const ac_dataset *valid, uint64_t stop_after,
                          losses *l)
{
    const tiny t = { NULL, m };
    const char *dir = tiny_dir();
    ac_err err = { 0 };
    ac_train_result r;
    ac_train_job j = tiny_job(&t, &o, rows, valid, dir);
    const ac_sink sink = { collect, l };
    j.sink = &sink;
    j.stop_after_step = stop_after;
    ac_status st = ac_train_run(&j, &r, &err);
    if (stop_after && st == AC_ECANCEL) {
        err = (ac_err){ 0 };
        j.stop_after_step = 0;
        j.resume = true;
        st = ac_train_run(&j, &r, &err);
    }
    if (st) stop("training", &err);
    const outcome_bits b = bits_of(dir);
    (void)ac_remove_tree(dir, NULL);
    return b;
}

static void test_training(void)
{
    pair p;
    open_pair(&p, spec_of("llama"));
    const bool small = simulated(gpu);
    ac_dataset rows = tiny_rows(small ? 12 : 24, small ? 20 : 60, (uint32_t)p.ref.s.vocab, 3);
    ac_dataset valid = tiny_rows(small ? 2 : 5, small ? 20 : 40, (uint32_t)p.ref.s.vocab, 4);
    ac_train_opts o = options();
    losses cpu = { .n = 0 }, first = { .n = 0 }, again = { .n = 0 }, resumed = { .n = 0 }, block = { .n = 0 }, single = { .n = 0 };
    (void)train(p.on_cpu, o, &rows, &valid, 0, &cpu);
    o.numerics = AC_NUM_CUDA_BF16;
    const outcome_bits a = train(p.on_gpu, o, &rows, &valid, 0, &first), b = train(p.on_gpu, o, &rows, &valid, 0, &again);
    const outcome_bits c = train(p.on_gpu, o, &rows, &valid, 5, &resumed);
    o.micro_batch = 1;
    const outcome_bits e = train(p.on_gpu, o, &rows, &valid, 0, &single);
    o.micro_batch = 0;
    o.recompute = true;
    const outcome_bits d = train(p.on_gpu, o, &rows, &valid, 0, &block);
    double diff = 0;
    for (size_t i = 0; i < cpu.n; i++) diff = fmax(diff, fabs(first.loss[i] / cpu.loss[i] - 1.0));
    printf("losses, CPU and GPU: first %.5f %.5f, last %.5f %.5f\n", cpu.loss[0], first.loss[0], cpu.loss[cpu.n - 1],
           first.loss[first.n - 1]);
    check(cpu.n == 10 && first.n == 10 && diff < 1e-2, "ten steps: a loss, worst", diff, 1e-2);
    check(same_bits(&a, &b), "the same adapter and trace twice", 0, 0);
    check(same_bits(&a, &c), "the same after a resume", 0, 0);
    check(same_bits(&a, &d), "the same with recompute", 0, 0);
    printf("one unit a forward instead of all: %s\n", same_bits(&a, &e) ? "the same bytes" : "other bytes");
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    close_pair(&p);
}

/* Each is refused before anything is computed, by name. */
static void test_refusals(void)
{
    pair p;
    ac_err err = { 0 };
    losses l = { .n = 0 };
    ac_train_result r;
    open_pair(&p, spec_of("llama"));
    ac_dataset rows = tiny_rows(24, 60, (uint32_t)p.ref.s.vocab, 3);
    const tiny t = { NULL, p.on_gpu };
    const ac_sink sink = { collect, &l };
    static const struct { const char *what, *says; } cases[] = {
        { "numerics", "does not compute numerics fp32/1" }, { "optimizer", "has no optimizer lion" },
        { "state", "with state int8" }, { "full", "computes no gradients through weights" },
        { "rank", "rows that are not a multiple of 8" } };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        const char *dir = tiny_dir();
        ac_train_opts o = options();
        o.numerics = i == 0 ? AC_NUM_FP32 : AC_NUM_CUDA_BF16;
        if (i == 1) o.optimizer = AC_OPTIM_LION;
        if (i == 2) o.optimizer_state = AC_STATE_INT8;
        if (i == 3) o.lora.tune = AC_TUNE_FULL;
        if (i == 4) o.lora.rank = 5;
        ac_train_job j = tiny_job(&t, &o, &rows, NULL, dir);
        j.sink = &sink;
        err = (ac_err){ 0 };
        const ac_status st = ac_train_run(&j, &r, &err);
        failures += !st || !strstr(err.text, cases[i].says);
        printf("refused, %-10s %s\n", cases[i].what, err.text);
        (void)ac_remove_tree(dir, NULL);
    }
    tiny_rows_drop(&rows);
    close_pair(&p);
}

/* ---- decoding ------------------------------------------------------------------------------------------------- */

enum { SLOTS = 3, PROMPT = 70, TURNS = 6 };

/* Prompts of different lengths, then tokens one at a time in slots of them at once; logits of every turn, or the greedy choices. */
static ac_status feed_turns(ac_model *m, const ac_adapter *ad, ac_kv *kv, size_t from, size_t slots, size_t vocab, bool piecewise, float *all,
                            int32_t *chosen, ac_err *err)
{
    static int32_t ids[SLOTS][PROMPT + TURNS];
    ac_status st = AC_OK;
    for (size_t s = 0; s < slots; s++)
        for (size_t i = 0; i < PROMPT + TURNS; i++) ids[s][i] = (int32_t)ac_rng_below(9, AC_RNG_TEST, s, i, (uint32_t)vocab);
    for (size_t t = 0; !st && t <= TURNS; t++) {
        ac_feed f[SLOTS];
        for (size_t s = 0; s < slots; s++) {
            const size_t first = PROMPT - 25 * (from + s);
            int32_t *own = ids[from + s];
            f[s] = (ac_feed){ .slot = s, .ids = t ? own + first + t - 1 : own, .n = t ? 1 : first };
            if (!piecewise || t) continue;
            const ac_feed half = { .slot = s, .ids = own, .n = first / 2 };
            st = ac_model_feed(m, ad, kv, &half, 1, NULL, err);
            f[s].ids += first / 2;
            f[s].n -= first / 2;
        }
        if (!st && all) st = ac_model_feed(m, ad, kv, f, slots, all + t * slots * vocab, err);
        else if (!st) st = ac_model_feed_greedy(m, ad, kv, f, slots, chosen + t * slots, err);
    }
    return st;
}

static float *decode(ac_model *m, const ac_adapter *ad, size_t from, size_t slots, size_t vocab, bool piecewise)
{
    float *all = calloc((TURNS + 1) * slots * vocab, sizeof *all);
    ac_kv *kv = NULL;
    ac_err err = { 0 };
    ac_status st = all ? ac_kv_open(&kv, m, slots, PROMPT + TURNS, &err) : AC_ENOMEM;
    if (!st) st = feed_turns(m, ad, kv, from, slots, vocab, piecewise, all, NULL, &err);
    if (st) stop("decoding", &err);
    ac_kv_close(&kv);
    return all;
}

/* With the adapter kept and one cache, passes of single tokens are recorded: the same bytes as without, also when the adapter has changed
 * since, and greedy choices that are the logits' largest. */
static void test_recorded(ac_model *m, ac_adapter *ad, size_t vocab)
{
    ac_device *dev = ac_model_device(m);
    const size_t turn = SLOTS * vocab;
    float *all = calloc((TURNS + 1) * turn, sizeof *all);
    int32_t chosen[(TURNS + 1) * SLOTS];
    ac_kv *kv = NULL;
    ac_err err = { 0 };
    ac_status st = all ? ac_kv_open(&kv, m, SLOTS, PROMPT + TURNS, &err) : AC_ENOMEM;
    if (!st) st = dev->op->keep(dev, ad->params, ad->n_params * sizeof *ad->params, &err);
    for (int round = 0; !st && round < 4; round++) {
        for (size_t s = 0; s < SLOTS; s++) ac_kv_truncate(kv, s, 0);
        if (round >= 2) {
            for (size_t i = 0; round == 2 && i < ad->n_params; i++) ad->params[i] *= 0.75f;
            dev->op->push(dev, ad->params);
        }
        st = feed_turns(m, ad, kv, 0, SLOTS, vocab, false, round % 2 ? NULL : all, chosen, &err);
        if (st || !(round % 2)) continue;
        bool largest = true;
        for (size_t i = 0; i < (TURNS + 1) * SLOTS; i++)
            for (size_t k = 0; k < vocab; k++) {
                const float *row = all + i * vocab;
                largest = largest && chosen[i] >= 0 && (k < (size_t)chosen[i] ? row[k] < row[chosen[i]] : row[k] <= row[chosen[i]]);
            }
        check(largest, round == 1 ? "  recorded: greedy choices" : "  and with another adapter there", 0, 0);
    }
    dev->op->let_go(dev, ad->params);
    if (st) stop("recorded passes", &err);
    ac_kv_close(&kv);
    float *fresh = decode(m, ad, 0, SLOTS, vocab, false);
    check(memcmp(fresh, all, (TURNS + 1) * turn * sizeof *all) == 0, "  recorded: the same bytes", 0, 0);
    free(fresh), free(all);
}

static void test_decoding(const char *family)
{
    pair p;
    char name[96];
    ac_err err = { 0 };
    ac_adapter *ad = NULL;
    const ac_lora_spec spec = { .rank = 8, .alpha = 16, .targets = (1u << AC_TARGET_COUNT) - 1 };
    open_pair(&p, spec_of(family));
    const size_t vocab = p.ref.s.vocab, turn = SLOTS * vocab;
    if (ac_adapter_open(&ad, p.on_cpu, &spec, &err)) stop("an adapter", &err);
    ac_adapter_init(ad, 3);
    for (size_t i = 0; i < ad->n_params; i++)
        if (ad->params[i] == 0.0f) ad->params[i] = (float)((double)ac_rng_below(4, AC_RNG_TEST, 1, i, 2001) - 1000.0) * 5e-5f;
    float *cpu = decode(p.on_cpu, ad, 0, SLOTS, vocab, false), *gpu_all = decode(p.on_gpu, ad, 0, SLOTS, vocab, false);
    float *again = decode(p.on_gpu, ad, 0, SLOTS, vocab, false), *alone[SLOTS];
    float *pieces = decode(p.on_gpu, ad, 0, SLOTS, vocab, true), *bare = decode(p.on_gpu, NULL, 0, SLOTS, vocab, false);
    for (size_t s = 0; s < SLOTS; s++) alone[s] = decode(p.on_gpu, ad, s, 1, vocab, false);
    const double diff = apart(gpu_all, cpu, (TURNS + 1) * turn), cut = apart(pieces, cpu, (TURNS + 1) * turn);
    snprintf(name, sizeof name, "%s: decoding, logits", family);
    check(diff < 2e-2, name, diff, 2e-2);
    check(cut < 2e-2, "  a prompt in two pieces", cut, 2e-2);
    check(apart(bare, cpu, turn) > 5.0 * diff, "  the adapter counts", apart(bare, cpu, turn), 1);
    check(memcmp(gpu_all, again, (TURNS + 1) * turn * sizeof *again) == 0, "  the same bytes twice", 0, 0);
    bool same = true;
    for (size_t t = 0; t <= TURNS; t++)
        for (size_t s = 0; s < SLOTS; s++)
            same = same && memcmp(gpu_all + t * turn + s * vocab, alone[s] + t * vocab, vocab * sizeof(float)) == 0;
    check(same, "  a slot alone: the same bytes as among others", 0, 0);
    test_recorded(p.on_gpu, ad, vocab);
    for (size_t i = 0; i < SLOTS; i++) free(alone[i]);
    free(cpu), free(gpu_all), free(again), free(pieces), free(bare);
    ac_adapter_close(&ad);
    close_pair(&p);
}

int main(void)
{
    ac_err err = { 0 };
    const ac_status st = ac_device_open_cuda(&gpu, 0, &err);
    if (st == AC_ENOENT) {
        printf("not run: %s\n", err.text);
        return 77;
    }
    if (st) stop("the GPU", &err);
    static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3" };
    for (size_t i = 0; i < AC_COUNTOF(families); i++) {
        test_logits(families[i]);
        test_gradients(families[i], 0.0);
    }
    for (size_t i = 0; i < AC_COUNTOF(families); i += simulated(gpu) ? 3 : 1) test_decoding(families[i]);
    test_gradients("llama", 0.1);
    test_training();
    test_refusals();
    ac_device_close(&gpu);
    printf("%d failed\n", failures);
    return failures != 0;
}
