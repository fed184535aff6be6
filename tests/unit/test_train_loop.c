#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "formats/json.h"
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
    double loss[512], eval[512], lr[512];
    size_t n_steps, n_evals, n_warnings, n_checkpoints, n_best;
    int flags[512];
    char last_warning[512];
} seen;

static ac_status watch(void *ctx, const ac_event *e, ac_err *err)
{
    (void)err;
    seen *s = ctx;
    if (e->kind == AC_EV_STEP && s->n_steps < 512) {
        s->flags[s->n_steps] = e->flag;
        s->lr[s->n_steps] = e->lr;
        s->loss[s->n_steps++] = e->loss;
    }
    if (e->kind == AC_EV_EVAL && s->n_evals < 512) {
        s->eval[s->n_evals++] = e->loss;
        s->n_best += (size_t)e->flag;
    }
    if (e->kind == AC_EV_WARN) {
        s->n_warnings++;
        (void)snprintf(s->last_warning, sizeof s->last_warning, "%s", e->text);
    }
    if (e->kind == AC_EV_CHECKPOINT) s->n_checkpoints++;
    return AC_OK;
}

static outcome_bits run_with(const tiny *t, const ac_train_opts *o, const ac_dataset *v, seen *s, ac_train_result *res)
{
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(t, o, &rows, v, dir);
    ac_err err = { 0 };
    ac_train_result r = { 0 };
    ac_sink sink = { watch, s };
    if (s) j.sink = &sink;
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    const outcome_bits b = bits_of(dir);
    assert_memory_equal(&b.adapter, &r.adapter_hash, sizeof b.adapter);
    if (res) *res = r;
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    return b;
}

static void learns(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.epochs = 8;
    seen s = { 0 };
    ac_train_result r;
    (void)run_with(&t1, &o, &valid, &s, &r);
    assert_int_equal(r.steps, 56);
    assert_int_equal(s.n_steps, 56);
    assert_int_equal(s.n_evals, 9);                     /* before the first step, and once an epoch */
    assert_int_equal(s.n_checkpoints, 8);
    assert_true(s.eval[8] < s.eval[0] - 0.5);
    assert_true(r.last_loss < r.first_loss - 0.5);
    assert_true(r.best_valid_loss <= s.eval[8]);
    assert_true(r.start_valid_loss == s.eval[0] && r.first_loss == s.loss[0] && r.last_loss == s.loss[55]);
    assert_int_equal(r.tokens, 8 * rows.n_tokens);
    assert_int_equal(r.supervised_tokens, 8 * rows.n_targets);
    assert_int_equal(r.padding_tokens, 0);
    assert_true(r.train_seconds > 0 && r.eval_seconds > 0);
    for (uint64_t i = 0; i < 56; i++) assert_true(s.lr[i] == ac_lr_at(&o, i + 1, 56));
}

static void micro_batch_changes_no_bit(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    for (int packing = 0; packing < 4; packing++) {
        o.lora.tune = packing < 2 ? AC_TUNE_LORA : AC_TUNE_DORA;
        o.packing = packing % 2;
        o.dropout = o.packing ? 0.1 : 0;
        o.micro_batch = 1;
        const outcome_bits want = run_with(&t1, &o, &valid, NULL, NULL);
        for (size_t m = 2; m <= 8; m *= 2) {
            o.micro_batch = m;
            const outcome_bits got = run_with(&t1, &o, &valid, NULL, NULL);
            assert_true(same_bits(&got, &want));
        }
        for (size_t m = 1; m <= 8; m *= 8) {
            o.micro_batch = m;
            o.recompute = true;
            const outcome_bits got = run_with(&t1, &o, &valid, NULL, NULL);
            assert_true(same_bits(&got, &want));
            o.recompute = false;
        }
    }
}

static void check_threads_and_tiers(ac_tune tune)
{
    ac_train_opts o = tiny_opts();
    o.lora.tune = tune;
    o.dropout = 0.1;
    const outcome_bits want = run_with(&t1, &o, &valid, NULL, NULL);
    const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++) {
        for (size_t threads = 1; threads <= 2; threads++) {
            tiny t;
            ac_kernels k;
            if (ac_kernels_init(&k, tiers[i], NULL)) {
                if (threads == 1) printf("not run: %s\n", ac_cpu_name(tiers[i]));
                continue;
            }
            assert_true(tiny_open(&t, TINY_LLAMA, tiers[i], threads));
            const outcome_bits got = run_with(&t, &o, &valid, NULL, NULL);
            if (!same_bits(&got, &want)) fail_msg("%s at %zu threads differs", ac_cpu_name(tiers[i]), threads);
            tiny_close(&t);
        }
    }
}

static void threads_and_tiers_change_no_bit(void **state)
{
    (void)state;
    check_threads_and_tiers(AC_TUNE_LORA);
    check_threads_and_tiers(AC_TUNE_DORA);
}

/* The bytes themselves, the same from every compiler and on every CPU. They change only together with
 * AC_NUMERICS_FP32 or with what docs/training.md says. */
static void the_bits_are_known(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.dropout = 0.1;
    const outcome_bits b = run_with(&t1, &o, &valid, NULL, NULL);
    char adapter[AC_SHA256_HEX], trace[AC_SHA256_HEX];
    ac_sha256_hex(adapter, &b.adapter);
    ac_sha256_hex(trace, &b.trace);
    assert_string_equal(adapter, "be5ac53570df1896df28a880c91fe1dded2de4d59a3e695c6d04eb71e5acc360");
    assert_string_equal(trace, "6c3282382b17c151778ea79a4a2d4d67931da8222f0dc750c3f19c9edba1ad95");
    for (int i = 0; i < 2; i++) {                /* DoRA, without dropout and with it */
        static const char *const known[2][2] = { { "44a024a940b98df2356dbc1d2d03ac64b403781dde051c92a7a6ed042df1713d", "6ebfc1f66856db31da1482c61e2505e334d76d905ba96b53927e75a5ea73284e" }, { "405112c6bb940dd4c4a34fa30c3451a4547e30bdaaa83ab4be2bab9b9fc52524", "609c99aab111ae10fe751a9ee3f93f3a5a77a672a9675c9227bc6d2e0cae8aed" } };
        o.lora.tune = AC_TUNE_DORA;
        o.dropout = i ? 0.1 : 0;
        const outcome_bits d = run_with(&t1, &o, &valid, NULL, NULL);
        ac_sha256_hex(adapter, &d.adapter);
        ac_sha256_hex(trace, &d.trace);
        assert_string_equal(adapter, known[i][0]);
        assert_string_equal(trace, known[i][1]);
    }
}

static void cadence_changes_no_bit(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    const outcome_bits want = run_with(&t1, &o, NULL, NULL, NULL);
    o.save_every = 1;
    const outcome_bits often = run_with(&t1, &o, NULL, NULL, NULL);
    assert_true(same_bits(&often, &want));
    o.save_every = 0;
    o.eval_every = 1;
    const outcome_bits judged = run_with(&t1, &o, &valid, NULL, NULL);
    assert_memory_equal(&judged.trace, &want.trace, sizeof want.trace);
}

static void packing_learns_the_same(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    seen packed = { 0 }, plain = { 0 };
    (void)run_with(&t1, &o, &valid, &packed, NULL);
    o.packing = false;
    (void)run_with(&t1, &o, &valid, &plain, NULL);
    assert_int_equal(packed.n_steps, plain.n_steps);
    for (size_t i = 0; i < plain.n_steps; i++) assert_true(fabs(packed.loss[i] - plain.loss[i]) < 1e-4);
    for (size_t i = 0; i < plain.n_evals; i++) assert_true(fabs(packed.eval[i] - plain.eval[i]) < 1e-4);
}

static void seeds_and_options_change_bits(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    const outcome_bits a = run_with(&t1, &o, NULL, NULL, NULL);
    o.seed++;
    const outcome_bits b = run_with(&t1, &o, NULL, NULL, NULL);
    assert_memory_not_equal(&a.adapter, &b.adapter, sizeof a.adapter);
    o.seed--;
    o.dropout = 0.2;
    const outcome_bits c = run_with(&t1, &o, NULL, NULL, NULL);
    assert_memory_not_equal(&a.adapter, &c.adapter, sizeof a.adapter);
}

/* ---- validation ------------------------------------------------------------------------------------------- */

static void the_best_adapter_is_kept(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.lr = 0.2;                                         /* far too high: later is worse */
    o.clip = 0;
    o.schedule = AC_SCHED_CONSTANT;
    o.warmup_ratio = 0;
    o.eval_every = 1;
    o.patience = 3;
    o.epochs = 6;
    seen s = { 0 };
    ac_train_result r;
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_sink sink = { watch, &s };
    ac_err err = { 0 };
    j.sink = &sink;
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    double best = INFINITY;
    size_t at = 0;
    for (size_t i = 1; i < s.n_evals; i++) {
        if (s.eval[i] < best) {
            best = s.eval[i];
            at = i;
        }
    }
    assert_true(r.best_valid_loss == best);
    assert_int_equal(r.best_step, at);
    assert_true(r.stopped_early);
    assert_int_equal(r.steps, at + 3);
    ac_adapter *ad = NULL;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/adapter", dir);
    assert_int_equal(ac_adapter_load(&ad, t1.model, path, &err), AC_OK);
    double sum = 0;
    for (size_t i = 0; i < valid.n; i++) {              /* the exported file scores what was reported */
        const uint32_t zero = 0;
        const ac_sample *v = &valid.sample[i];
        const ac_unit u = { .ids = v->ids, .target = v->target, .n = v->n, .doc_start = &zero, .n_docs = 1 };
        double loss;
        assert_int_equal(ac_model_nll(t1.model, ad, &u, 1, &loss, NULL, &err), AC_OK);
        sum += loss;
    }
    assert_true(fabs(sum / (double)valid.n_targets - best) < 1e-9);
    ac_adapter_close(&ad);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

/* ---- stopping and resuming ---------------------------------------------------------------------------------- */

static void check_resume_after_any_step(ac_tune tune)
{
    ac_train_opts o = tiny_opts();
    o.lora.tune = tune;
    o.dropout = 0.1;
    o.eval_every = 3;
    const outcome_bits want = run_with(&t1, &o, &valid, NULL, NULL);
    for (uint64_t stop = 1; stop < 14; stop++) {
        const char *dir = tiny_dir();
        ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
        ac_train_result r = { 0 };
        ac_err err = { 0 };
        j.stop_after_step = stop;
        assert_int_equal(ac_train_run(&j, &r, &err), AC_ECANCEL);
        assert_non_null(strstr(err.text, "checkpoint"));
        assert_false(ac_path_exists("adapter"));
        j.stop_after_step = 0;
        j.resume = true;
        o.micro_batch = 1 + (size_t)stop % 3;
        o.recompute = stop % 2;
        if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
        const outcome_bits got = bits_of(dir);
        if (!same_bits(&got, &want)) fail_msg("resumed after step %u differs", (unsigned)stop);
        assert_int_equal(r.steps, 14);
        assert_int_equal(r.tokens, 2 * rows.n_tokens);
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

static void resume_after_any_step(void **state)
{
    (void)state;
    check_resume_after_any_step(AC_TUNE_LORA);
    check_resume_after_any_step(AC_TUNE_DORA);
}

typedef struct {
    long left;
} countdown;

static ac_train_order stop_now(void *ctx, ac_train_now *now)
{
    countdown *c = ctx;
    (void)now;
    return c->left-- <= 0 ? AC_TRAIN_STOP : AC_TRAIN_GO_ON;
}

/* Stopped at every unit boundary in turn, in steps and in evaluations alike. */
static void stop_at_any_unit(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.epochs = 1;
    o.packing = false;
    o.eval_every = 2;
    const outcome_bits want = run_with(&t1, &o, &valid, NULL, NULL);
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result r = { 0 };
    countdown c;
    j.control = stop_now;
    j.control_ctx = &c;
    size_t stops = 0;
    for (long n = 3;; n += 4) {
        ac_err err = { 0 };
        c.left = n;
        const ac_status st = go_on(&j, &r, &err);
        if (!st) break;
        if (st != AC_ECANCEL) fail_msg("%s", err.text);
        assert_true(++stops < 100);
    }
    assert_true(stops >= 4);
    const outcome_bits got = bits_of(dir);
    assert_true(same_bits(&got, &want));
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

typedef struct {
    uint64_t turn, saves, drop_at;
    bool asked;
} driver;

/* Another size and another way at each unit; a checkpoint at every third. */
static ac_train_order restless(void *ctx, ac_train_now *now)
{
    driver *d = ctx;
    assert_true(now->micro >= 1 && (!now->has_durable || now->durable <= now->step));
    if (d->asked) {                                      /* asked again once it was saved */
        assert_true(now->has_durable && now->durable == now->step);
        d->asked = false;
        d->saves++;
        return AC_TRAIN_GO_ON;
    }
    d->turn++;
    now->micro = 1 + (size_t)(d->turn * 7 % 5);
    now->recompute = d->turn % 2 != 0;
    now->waited_ns += 1000;
    if (d->drop_at && d->turn >= d->drop_at) return AC_TRAIN_DROP;
    d->asked = d->turn % 3 == 0;
    return d->asked ? AC_TRAIN_SAVE : AC_TRAIN_GO_ON;
}

static void settings_change_at_any_unit(void **state)
{
    (void)state;
    for (int tune = 0; tune < 2; tune++) {
        ac_train_opts o = tiny_opts();
        o.lora.tune = tune ? AC_TUNE_DORA : AC_TUNE_LORA;
        o.epochs = 1;
        o.packing = false;
        o.batch_rows = 9;
        o.micro_batch = 5;
        o.eval_every = 2;
        o.dropout = 0.1;
        const outcome_bits want = run_with(&t1, &o, &valid, NULL, NULL);
        const char *dir = tiny_dir();
        ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
        ac_train_result r = { 0 };
        ac_err err = { 0 };
        driver d = { 0 };
        j.control = restless;
        j.control_ctx = &d;
        if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
        assert_true(d.saves >= 5);
        const outcome_bits got = bits_of(dir);
        assert_true(same_bits(&got, &want));
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

/* Left without a checkpoint at any unit, also before the first one: the resume leads to the same end. */
static void left_at_any_unit(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.epochs = 1;
    o.packing = false;
    o.micro_batch = 2;
    o.save_every = 3;
    const outcome_bits want = run_with(&t1, &o, &valid, NULL, NULL);
    for (uint64_t at = 1; at < 30; at += 4) {
        const char *dir = tiny_dir();
        ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
        ac_train_result r = { 0 };
        ac_err err = { 0 };
        driver d = { .drop_at = at };
        j.control = restless;
        j.control_ctx = &d;
        assert_int_equal(ac_train_run(&j, &r, &err), AC_ECANCEL);
        assert_non_null(strstr(err.text, "left in step"));
        j.control = NULL;
        j.resume = true;
        err = (ac_err){ "" };
        if (ac_train_run(&j, &r, &err)) fail_msg("left at unit %u: %s", (unsigned)at, err.text);
        const outcome_bits got = bits_of(dir);
        assert_true(same_bits(&got, &want));
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
}

/* Half as many units at once hold half the activations, from the next unit on. */
static ac_train_order halve_in_the_middle(void *ctx, ac_train_now *now)
{
    int64_t *held = ctx;
    if (now->step == 1 && !held[0]) held[0] = ac_live_bytes();
    if (now->step == 1) now->micro = 1;
    if (now->step == 2 && !held[1]) held[1] = ac_live_bytes();
    return AC_TRAIN_GO_ON;
}

static void a_smaller_micro_batch_gives_memory_back(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.packing = false;
    o.batch_rows = o.micro_batch = 16;
    o.max_steps = 3;
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &o, &rows, NULL, dir);
    ac_train_result r = { 0 };
    ac_train_reach reach;
    ac_err err = { 0 };
    int64_t held[2] = { 0, 0 };
    ac_model_trim(t1.model);
    assert_int_equal(ac_train_reach_of(&reach, &o, &rows, false, NULL), AC_OK);
    assert_true(reach.units == 16 && reach.tokens > 100);
    const int64_t before = ac_live_bytes();
    j.control = halve_in_the_middle;
    j.control_ctx = held;
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    print_message("bytes held beside the model: %lld with 16 units at once, %lld with 1\n", (long long)(held[0] - before),
                  (long long)(held[1] - before));
    assert_true(held[0] > 0 && held[1] > 0 && (held[0] - held[1]) * 2 > held[0] - before);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void a_finished_run_resumes_to_itself(void **state)
{
    (void)state;
    const ac_train_opts o = tiny_opts();
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result a, b;
    ac_err err = { 0 };
    assert_int_equal(ac_train_run(&j, &a, &err), AC_OK);
    const outcome_bits want = bits_of(dir);
    ac_err again = { 0 };
    assert_int_equal(ac_train_run(&j, &b, &again), AC_EARG);          /* without resume: refused */
    assert_non_null(strstr(again.text, "holds checkpoints already"));
    j.resume = true;
    assert_int_equal(ac_train_run(&j, &b, &err), AC_OK);
    const outcome_bits got = bits_of(dir);
    assert_true(same_bits(&got, &want));
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void nothing_to_resume(void **state)
{
    (void)state;
    const ac_train_opts o = tiny_opts();
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result r;
    ac_err err = { 0 };
    j.resume = true;
    assert_int_equal(ac_train_run(&j, &r, &err), AC_ENOENT);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

/* ---- T6 ----------------------------------------------------------------------------------------------------- */

/* The device's own table but for the gradient norm, which is not finite in the steps of bad_steps. */
static ac_device_ops sick_ops;
static const ac_device_ops *sound_ops;
static uint64_t now_step, bad_steps[4];

static void sick_sum(ac_device *d, const ac_span *part, size_t n, double *out)
{
    sound_ops->sum_squares(d, part, n, out);
    for (size_t i = 0; i < AC_COUNTOF(bad_steps); i++) {
        if (bad_steps[i] == now_step) out[n - 1] = now_step % 2 ? (double)NAN : (double)INFINITY;
    }
}

static ac_status watch_step(void *ctx, const ac_event *e, ac_err *err)
{
    if (e->kind == AC_EV_STAGE) now_step = e->done + 1;
    if (e->kind == AC_EV_STEP) now_step = e->step + 1;
    return watch(ctx, e, err);
}

static void make_sick(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t steps[4] = { a, b, c, d };
    memcpy(bad_steps, steps, sizeof steps);
    sound_ops = t1.dev->op;
    sick_ops = *sound_ops;
    sick_ops.sum_squares = sick_sum;
    t1.dev->op = &sick_ops;
}

static void steps_are_undone(void **state)
{
    (void)state;
    const char *dir = tiny_dir();
    ac_train_opts o = tiny_opts();
    o.eval_every = 3;
    seen s = { 0 };
    const ac_sink sink = { watch_step, &s };
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result r;
    ac_err err = { 0 };
    j.sink = &sink;
    make_sick(3, 5, 6, 14);
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.undone_steps, 4);
    assert_int_equal(s.n_warnings, 4);
    assert_non_null(strstr(s.last_warning, "step 14"));
    assert_non_null(strstr(s.last_warning, "lines "));
    for (size_t i = 0; i < s.n_steps; i++) assert_int_equal(s.flags[i], i == 2 || i == 4 || i == 5 || i == 13);
    assert_int_equal(s.n_evals, 4);             /* 0, 9, 12, 14: not after an undone step but for the last */
    assert_true(r.last_loss == s.loss[12]);
    ac_str trace = { 0 };
    char path[400];
    (void)snprintf(path, sizeof path, "%s/trace.jsonl", dir);
    assert_int_equal(ac_file_read(&trace, path, 1 << 20, NULL), AC_OK);
    assert_non_null(strstr(trace.ptr, "{\"step\":5,\"loss_bits\":\"7ff8000000000000\",\"grad_norm_bits\":"
                           "\"7ff8000000000000\",\"undone\":true,\"h\":\""));
    ac_str_release(&trace);
    const outcome_bits want = bits_of(dir);
    for (uint64_t stop = 1; stop < 14; stop++) {        /* resumed in the middle it is the same run */
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
        j.stop_after_step = stop;
        j.resume = false;
        assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
        j.stop_after_step = 0;
        j.resume = true;
        assert_int_equal(ac_train_run(&j, &r, NULL), AC_OK);
        const outcome_bits got = bits_of(dir);
        assert_true(same_bits(&got, &want));
    }
    t1.dev->op = sound_ops;
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void three_in_a_row_end_the_run(void **state)
{
    (void)state;
    const char *dir = tiny_dir(), *good = tiny_dir();
    ac_train_opts o = tiny_opts();
    o.save_every = 2;
    seen s = { 0 };
    const ac_sink sink = { watch_step, &s };
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result r = { 0 };
    j.sink = &sink;
    for (uint64_t first = 4; first <= 5; first++) {     /* with and without a checkpoint among the undone */
        ac_err err = { 0 }, again = { 0 };
        char text[64], a[400], b[400];
        make_sick(first, first + 1, first + 2, 0);
        j.resume = false;
        j.run_dir = dir;
        assert_int_equal(ac_train_run(&j, &r, &err), AC_EDIVERGED);
        (void)snprintf(text, sizeof text, "steps %u to %u", (unsigned)first, (unsigned)first + 2);
        assert_non_null(strstr(err.text, text));
        (void)snprintf(a, sizeof a, "%s/adapter", dir);
        assert_false(ac_path_exists(a));
        j.resume = true;                                /* what is left leads to the same end */
        assert_int_equal(ac_train_run(&j, &r, &again), AC_EDIVERGED);
        assert_string_equal(again.text, err.text);
        t1.dev->op = sound_ops;
        /* The adapter that was kept is that of a sound run's last good step. */
        j.resume = false;
        j.run_dir = good;
        j.stop_after_step = first - 1;
        assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
        j.stop_after_step = 0;
        (void)snprintf(b, sizeof b, "checkpoints/step-%u/adapter_model.safetensors", (unsigned)first - 1);
        const ac_sha256 want = tiny_file_hash(good, b);
        const ac_sha256 got = tiny_file_hash(dir, first == 4 ? "checkpoints/step-4/adapter_model.safetensors"
                                                             : "checkpoints/step-6/adapter_model.safetensors");
        assert_memory_equal(&got, &want, sizeof got);
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
        assert_int_equal(ac_remove_tree(good, NULL), AC_OK);
    }
}

/* The tiny model with an output layer so large that the logits overflow, under dir/model. */
static void blow_up(const char *dir)
{
    ac_tensors *in = NULL;
    ac_err err = { 0 };
    if (ac_safetensors_open(&in, TINY_LLAMA "/model.safetensors", &err)) fail_msg("%s", err.text);
    const size_t n = ac_tensors_count(in);
    ac_arena a = { 0 };
    ac_tensor_out *out = ac_arena_alloc_array(&a, n, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const ac_tensor *x = ac_tensors_at(in, i);
        float *data = ac_arena_alloc(&a, x->bytes);
        memcpy(data, x->data, x->bytes);
        out[i] = (ac_tensor_out){ .name = ac_arena_strndup(&a, x->name.ptr, x->name.len), .type = x->type,
                                  .n_dims = x->n_dims, .data = data };
        memcpy(out[i].dim, x->dim, sizeof x->dim);
        for (size_t k = 0; strstr(out[i].name, "lm_head") && k < x->bytes / sizeof *data; k++) data[k] *= 1e38f;
    }
    char path[400];
    ac_str config = { 0 };
    (void)snprintf(path, sizeof path, "%s/model", dir);
    assert_int_equal(ac_mkdir_p(path, NULL), AC_OK);
    (void)snprintf(path, sizeof path, "%s/model/model.safetensors", dir);
    if (ac_safetensors_write(path, out, n, NULL, 0, &err)) fail_msg("%s", err.text);
    (void)snprintf(path, sizeof path, "%s/model/config.json", dir);
    assert_int_equal(ac_file_read(&config, TINY_LLAMA "/config.json", 1 << 20, NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(path, config.ptr, config.len, NULL), AC_OK);
    ac_str_release(&config);
    ac_tensors_close(&in);
    ac_arena_release(&a);
}

static void logits_that_overflow(void **state)
{
    (void)state;
    const char *dir = tiny_dir();
    char model[300], run[300];
    tiny t;
    blow_up(dir);
    (void)snprintf(model, sizeof model, "%s/model", dir);
    (void)snprintf(run, sizeof run, "%s/run", dir);
    assert_true(tiny_open(&t, model, AC_CPU_AUTO, 1));
    const ac_train_opts o = tiny_opts();
    ac_train_job j = tiny_job(&t, &o, &rows, &valid, run);
    ac_train_result r;
    ac_err err = { 0 };
    assert_int_equal(ac_train_run(&j, &r, &err), AC_EDIVERGED);
    assert_non_null(strstr(err.text, "steps 1 to 3"));
    tiny_close(&t);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

/* ---- against peft -------------------------------------------------------------------------------------------- */

static ac_dataset golden_rows(const ac_json *root, ac_arena *a)
{
    const ac_json *list = ac_json_get(root, "rows");
    ac_dataset d = { .n = list->n, .sample = ac_arena_alloc_array(a, list->n, sizeof *d.sample) };
    size_t i = 0;
    for (const ac_json *row = list->child; row; row = row->next, i++) {
        const ac_json *ids = ac_json_get(row, "ids"), *target = ac_json_get(row, "target");
        int32_t *id = ac_arena_alloc_array(a, ids->n, sizeof *id);
        uint8_t *on = ac_arena_alloc(a, ids->n);
        size_t k = 0;
        for (const ac_json *v = ids->child; v; v = v->next) id[k++] = (int32_t)v->number;
        k = 0;
        for (const ac_json *v = target->child; v; v = v->next) {
            on[k] = (uint8_t)v->number;
            d.sample[i].n_target += on[k++];
        }
        d.sample[i].ids = id;
        d.sample[i].target = on;
        d.sample[i].n = k;
        d.sample[i].line = i + 1;
    }
    return d;
}

static void ten_steps_of(const char *family)
{
    char path[400], adapter[420];
    ac_arena a = { 0 };
    const ac_json *root = NULL;
    ac_err err = { 0 };
    (void)snprintf(path, sizeof path, "%s/tests/oracle/models/%s/golden.json", ACCORD_SOURCE_DIR, family);
    if (ac_json_parse_file(&root, path, &a, NULL, &err)) fail_msg("%s", err.text);
    ac_dataset d = golden_rows(root, &a);
    const ac_json *hyper = ac_json_get(root, "hyper");
    ac_train_opts o = tiny_opts();
    o.schedule = AC_SCHED_CONSTANT;
    o.warmup_ratio = 0;
    assert_int_equal(ac_json_get_f64(&o.lr, hyper, "lr", path, &err), AC_OK);
    assert_int_equal(ac_json_get_f64(&o.weight_decay, hyper, "weight_decay", path, &err), AC_OK);
    assert_int_equal(ac_json_get_f64(&o.clip, hyper, "clip", path, &err), AC_OK);
    o.max_steps = 10;
    o.batch_rows = d.n;
    (void)snprintf(path, sizeof path, "%s/tests/oracle/models/%s", ACCORD_SOURCE_DIR, family);
    (void)snprintf(adapter, sizeof adapter, "%s/adapter", path);
    tiny t;
    assert_true(tiny_open(&t, path, AC_CPU_AUTO, 1));
    seen s = { 0 };
    ac_sink sink = { watch, &s };
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t, &o, &d, NULL, dir);
    ac_train_result r;
    j.sink = &sink;
    j.init_adapter = adapter;
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    double worst = 0;
    size_t i = 0;
    for (const ac_json *want = ac_json_get(root, "losses")->child; want; want = want->next, i++) {
        worst = fmax(worst, fabs(want->number - s.loss[i]));
    }
    assert_int_equal(i, 10);
    printf("%s: ten losses within %.2g of peft's\n", family, worst);
    assert_true(worst < 1e-4);
    tiny_close(&t);
    ac_arena_release(&a);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void follows_peft(void **state)
{
    (void)state;
    static const char *const families[] = { "llama", "llama3", "mistral", "qwen2", "qwen3" };
    for (size_t i = 0; i < AC_COUNTOF(families); i++) ten_steps_of(families[i]);
}

static void another_start_is_refused(void **state)
{
    (void)state;
    ac_train_opts o = tiny_opts();
    o.lora.rank = 8;
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &o, &rows, NULL, dir);
    ac_train_result r;
    ac_err err = { 0 };
    j.init_adapter = TINY_LLAMA "/adapter";
    assert_int_equal(ac_train_run(&j, &r, &err), AC_EARG);
    assert_non_null(strstr(err.text, "rank 4"));
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static ac_status full(void *ctx, const ac_event *e, ac_err *err)
{
    (void)ctx;
    if (e->kind != AC_EV_STEP || e->step != 3) return AC_OK;
    return ac_fail(err, AC_EIO, "metrics.jsonl: cannot append: No space left on device");
}

static void a_sink_that_fails_stops_the_run(void **state)
{
    (void)state;
    const ac_train_opts o = tiny_opts();
    const char *dir = tiny_dir();
    const ac_sink sink = { full, NULL };
    ac_train_job j = tiny_job(&t1, &o, &rows, &valid, dir);
    ac_train_result r;
    ac_err err = { 0 };
    j.sink = &sink;
    assert_int_equal(ac_train_run(&j, &r, &err), AC_EIO);
    assert_non_null(strstr(err.text, "metrics.jsonl"));
    j.sink = NULL;
    ac_err none = { 0 };
    if (go_on(&j, &r, &none)) fail_msg("%s", none.text);
    const outcome_bits got = bits_of(dir), want = run_with(&t1, &o, &valid, NULL, NULL);
    assert_true(same_bits(&got, &want));
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns),
        cmocka_unit_test(follows_peft),
        cmocka_unit_test(micro_batch_changes_no_bit),
        cmocka_unit_test(threads_and_tiers_change_no_bit),
        cmocka_unit_test(the_bits_are_known),
        cmocka_unit_test(cadence_changes_no_bit),
        cmocka_unit_test(packing_learns_the_same),
        cmocka_unit_test(seeds_and_options_change_bits),
        cmocka_unit_test(the_best_adapter_is_kept),
        cmocka_unit_test(resume_after_any_step),
        cmocka_unit_test(stop_at_any_unit),
        cmocka_unit_test(settings_change_at_any_unit),
        cmocka_unit_test(left_at_any_unit),
        cmocka_unit_test(a_smaller_micro_batch_gives_memory_back),
        cmocka_unit_test(a_finished_run_resumes_to_itself),
        cmocka_unit_test(nothing_to_resume),
        cmocka_unit_test(steps_are_undone),
        cmocka_unit_test(three_in_a_row_end_the_run),
        cmocka_unit_test(logits_that_overflow),
        cmocka_unit_test(another_start_is_refused),
        cmocka_unit_test(a_sink_that_fails_stops_the_run),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
