#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "train/train_int.h"
#include "train_tiny.h"

static void near_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-15)) fail_msg("%.17g is not %.17g", got, want);
}

/* What transformers' schedulers give for the first optimizer steps (warm-up 3 of 10; 2 of 8). */
static void as_transformers_do(void **state)
{
    (void)state;
    static const double cosine[10] = { 0.0, 0.3333333333333333, 0.6666666666666666, 1.0, 0.9504844339512095,
        0.8117449009293668, 0.6112604669781572, 0.38873953302184283, 0.18825509907063326, 0.04951556604879048 };
    static const double linear[8] = { 0.0, 0.5, 1.0, 0.8333333333333334, 0.6666666666666666, 0.5, 0.3333333333333333,
        0.16666666666666666 };
    ac_train_opts o = { .lr = 1, .warmup_steps = 3, .schedule = AC_SCHED_COSINE };
    for (uint64_t t = 1; t <= 10; t++) near_to(ac_lr_at(&o, t, 10), cosine[t - 1]);
    o.min_lr_ratio = 0.1;
    for (uint64_t t = 4; t <= 10; t++) near_to(ac_lr_at(&o, t, 10), 0.1 + 0.9 * cosine[t - 1]);
    o = (ac_train_opts){ .lr = 1, .warmup_steps = 2, .schedule = AC_SCHED_LINEAR };
    for (uint64_t t = 1; t <= 8; t++) near_to(ac_lr_at(&o, t, 8), linear[t - 1]);
    o = (ac_train_opts){ .lr = 2, .warmup_steps = 4, .schedule = AC_SCHED_CONSTANT };
    near_to(ac_lr_at(&o, 1, 50), 0);
    near_to(ac_lr_at(&o, 3, 50), 1);
    near_to(ac_lr_at(&o, 5, 50), 2);
    near_to(ac_lr_at(&o, 50, 50), 2);
}

static void warmup_by_ratio_rounds_up(void **state)
{
    (void)state;
    ac_train_opts o = { .lr = 1, .warmup_ratio = 0.03, .schedule = AC_SCHED_CONSTANT };
    near_to(ac_lr_at(&o, 1, 100), 0);                   /* 3 steps */
    near_to(ac_lr_at(&o, 4, 100), 1);
    near_to(ac_lr_at(&o, 4, 101), 0.75);                /* 3.03: 4 steps */
    o.warmup_ratio = 0;
    near_to(ac_lr_at(&o, 1, 100), 1);
    o.warmup_steps = 200;                               /* longer than the run: climbs to its end */
    near_to(ac_lr_at(&o, 101, 100), 0.5);
}

static void totals(void **state)
{
    (void)state;
    ac_train_opts o = { .epochs = 3, .batch_rows = 8 };
    assert_int_equal(ac_train_total_steps(&o, 17), 9);
    o.max_steps = 5;
    assert_int_equal(ac_train_total_steps(&o, 17), 5);
    o = (ac_train_opts){ .epochs = UINT64_MAX, .batch_rows = 1 };
    assert_true(ac_train_total_steps(&o, 1000) <= (uint64_t)1 << 40);
}

static void powers(void **state)
{
    (void)state;
    near_to(ac_pow_int(0.9, 0), 1);
    near_to(ac_pow_int(0.9, 1), 0.9);
    near_to(ac_pow_int(0.5, 10), 1.0 / 1024);
    assert_true(fabs(ac_pow_int(0.999, 1000) - 0.36769542477096373) < 1e-15 * 40);
    near_to(ac_pow_int(0, 3), 0);
}

static void bad(const ac_train_opts *o, const char *name)
{
    ac_err err = { 0 };
    assert_int_equal(ac_train_opts_check(o, &err), AC_EARG);
    if (!strstr(err.text, name)) fail_msg("\"%s\" does not name %s", err.text, name);
}

static void ranges(void **state)
{
    (void)state;
    const ac_train_opts good = tiny_opts();
    ac_train_opts o = good;
    assert_int_equal(ac_train_opts_check(&o, NULL), AC_OK);
    o.lr = NAN; bad(&o, "lr"); o.lr = INFINITY; bad(&o, "lr"); o.lr = -1; bad(&o, "lr"); o.lr = 0; bad(&o, "lr");
    o = good; o.dropout = 1; bad(&o, "dropout"); o.dropout = NAN; bad(&o, "dropout");
    o = good; o.beta2 = 1; bad(&o, "beta2");
    o = good; o.eps = 0; bad(&o, "eps");
    o = good; o.clip = -1; bad(&o, "clip");
    o = good; o.epochs = 0; bad(&o, "epochs");
    o = good; o.batch_rows = 0; bad(&o, "batch_rows");
    o = good; o.micro_batch = 0; bad(&o, "micro_batch");
    o = good; o.pack_len = 0; bad(&o, "pack_len");
    o = good; o.keep_checkpoints = 0; bad(&o, "keep_checkpoints");
    o = good; o.max_steps = UINT64_MAX; bad(&o, "max_steps");
    o = good; o.min_lr_ratio = 1.5; bad(&o, "min_lr_ratio");
    o = good; o.warmup_ratio = -0.1; bad(&o, "warmup_ratio");
    o = good; o.weight_decay = NAN; bad(&o, "weight_decay");
    o = good; o.schedule = (ac_schedule)9; bad(&o, "schedule");
}

static bool same_print(const ac_train_opts *x, const ac_dataset *dx, const ac_train_opts *y, const ac_dataset *dy)
{
    ac_sha256 a, b;
    assert_int_equal(ac_train_fingerprint(&a, x, dx, NULL, NULL), AC_OK);
    assert_int_equal(ac_train_fingerprint(&b, y, dy, NULL, NULL), AC_OK);
    return memcmp(&a, &b, sizeof a) == 0;
}

static void fingerprint(void **state)
{
    (void)state;
    ac_dataset d = tiny_rows(5, 9, 97, 1), e = tiny_rows(5, 9, 97, 2);
    const ac_train_opts x = tiny_opts();
    ac_train_opts y = x;
    y.micro_batch = 4;
    y.micro_tokens = 64;
    y.recompute = true;
    y.save_every = 3;
    y.keep_checkpoints = 9;
    assert_true(same_print(&x, &d, &y, &d));            /* what changes no bit */
    assert_false(same_print(&x, &d, &x, &e));
    y = x; y.lr = nextafter(x.lr, 1); assert_false(same_print(&x, &d, &y, &d));
    y = x; y.seed++; assert_false(same_print(&x, &d, &y, &d));
    y = x; y.lora.targets = 1; assert_false(same_print(&x, &d, &y, &d));
    y = x; y.eval_every = 5; assert_false(same_print(&x, &d, &y, &d));
    tiny_rows_drop(&d);
    tiny_rows_drop(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_transformers_do),
        cmocka_unit_test(warmup_by_ratio_rounds_up),
        cmocka_unit_test(totals),
        cmocka_unit_test(powers),
        cmocka_unit_test(ranges),
        cmocka_unit_test(fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
