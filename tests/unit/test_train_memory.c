/* The memory plan: what a run takes is what was planned, and what a limit makes smaller changes no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "train_run.h"

static tiny t1;
static ac_dataset rows, valid;

static int open_all(void **state)
{
    (void)state;
    rows = tiny_rows(90, 90, 97, 1);
    valid = tiny_rows(30, 90, 97, 2);
    return tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 2) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t1);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return ac_live_bytes() == 0 ? 0 : -1;
}

static ac_train_opts wide_opts(void)
{
    ac_train_opts o = tiny_opts();
    o.batch_rows = 45;
    o.pack_len = 100;
    o.max_steps = 2;
    o.micro_batch = 0;
    return o;
}

static ac_memory_plan plan(ac_train_opts *o, ac_recompute r, uint64_t limit)
{
    ac_memory_plan p = { 0 };
    ac_err err = { 0 };
    const ac_memory_ask ask = { .recompute = r, .limit = limit, .held = 1000 };
    if (ac_memory_plan_make(&p, o, &ask, t1.model, &rows, &valid, &err)) fail_msg("%s", err.text);
    uint64_t sum = 0;
    for (size_t i = 0; i < p.n_lines; i++) sum += p.line[i].bytes;
    assert_true(sum == p.peak && p.n_lines <= AC_MEMORY_LINES);
    assert_true(!limit || p.peak <= limit);
    assert_true(o->recompute == p.recompute && o->micro_batch == p.micro_batch && o->micro_tokens == p.micro_tokens);
    return p;
}

static outcome_bits run_as(const ac_train_opts *o)
{
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, o, &rows, &valid, dir);
    ac_err err = { 0 };
    ac_train_result r;
    if (ac_train_run(&j, &r, &err)) fail_msg("%s", err.text);
    const outcome_bits b = bits_of(dir);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    return b;
}

/* First in this program, so that the peak of all blocks is this run's. Smallest first, since a peak never falls. */
static void takes_what_was_planned(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        ac_train_opts o = wide_opts();
        o.dropout = i > 1 ? 0.1 : 0;
        o.micro_batch = i % 2 ? 90 : 0;
        o.batch_rows = 90;                               /* all rows a step: the largest step is each step */
        ac_model_trim(t1.model);
        const int64_t before = ac_live_bytes();
        const ac_memory_plan p = plan(&o, i < 2 ? AC_RECOMPUTE_BLOCK : AC_RECOMPUTE_NONE, 0);
        (void)run_as(&o);
        const double took = (double)(ac_peak_bytes() - before);
        const double promised = (double)(p.peak - 1000 - ac_model_get_config(t1.model)->weight_bytes
                                         - ac_model_device_bytes(t1.model));
        print_message("%zu tokens at once: %.0f bytes planned, %.0f taken\n", p.tokens, promised, took);
        if (i == 2) continue;                            /* smaller than the one before */
        assert_true(took <= promised * 1.05 && took >= promised * 0.85);
    }
}

static void limits_shrink_and_change_no_bit(void **state)
{
    (void)state;
    ac_train_opts o = wide_opts();
    const ac_memory_plan all = plan(&o, AC_RECOMPUTE_AUTO, 0);
    assert_true(all.micro_tokens == 512 && all.tokens == 512 && !all.recompute && !all.shrunk);
    const outcome_bits want = run_as(&o);
    ac_memory_plan last = all;
    size_t plans = 0, blocks = 0;
    for (uint64_t limit = all.peak; plans < 20; limit = last.peak - 1, plans++) {
        ac_train_opts next = wide_opts();
        const ac_memory_ask ask = { .recompute = AC_RECOMPUTE_AUTO, .limit = limit, .held = 1000 };
        ac_memory_plan p;
        ac_err err = { 0 };
        const ac_status st = ac_memory_plan_make(&p, &next, &ask, t1.model, &rows, &valid, &err);
        assert_int_equal(st, AC_OK);
        assert_true(p.least == p.least_recomputed && p.least <= all.peak);
        if (!p.fits) {                                                   /* the smallest, and it says so */
            assert_true(p.peak > limit && p.peak == p.least && p.least == last.peak && p.recompute);
            break;
        }
        assert_true(p.peak <= limit && p.peak >= p.least && p.shrunk == (plans > 0));
        assert_true(p.recompute >= last.recompute);                      /* only once the micro-batch is small */
        if (p.recompute == last.recompute) assert_true(p.tokens <= last.tokens);
        blocks += p.recompute;
        const outcome_bits got = run_as(&next);
        assert_true(same_bits(&got, &want));
        last = p;
    }
    assert_true(plans >= 4 && plans < 20 && blocks >= 1 && last.tokens == 100);
    ac_train_opts kept = wide_opts();
    ac_memory_plan p;
    assert_int_equal(ac_memory_plan_make(&p, &kept, &(ac_memory_ask){ .recompute = AC_RECOMPUTE_NONE, .limit = last.peak, .held = 1000 }, t1.model,
                                         &rows, &valid, NULL), AC_OK);
    assert_true(!p.fits && !p.recompute && p.tokens == 100 && p.peak == p.least && p.least_recomputed == last.peak);
}

static uint64_t line_of(const ac_memory_plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_lines; i++)
        if (!strcmp(p->line[i].name, name)) return p->line[i].bytes;
    return 0;
}

/* One worker keeps a gradient for each doubling of the shards; several keep fewer each, and there are more of them. */
static void shards_and_workers_are_counted(void **state)
{
    (void)state;
    ac_memory_plan p[3];
    const size_t workers[] = { 1, 2, 8 };
    for (size_t i = 0; i < AC_COUNTOF(workers); i++) {
        ac_train_opts o = wide_opts();
        o.shards = 8;
        ac_err err = { 0 };
        const ac_memory_ask ask = { .recompute = AC_RECOMPUTE_NONE, .held = 1000, .workers = workers[i] };
        if (ac_memory_plan_make(&p[i], &o, &ask, t1.model, &rows, &valid, &err)) fail_msg("%s", err.text);
    }
    const uint64_t gradient = line_of(&p[0], "gradient");
    assert_true(gradient && line_of(&p[0], "gradients of parts that wait") == 3 * gradient);
    assert_true(line_of(&p[1], "gradients of parts that wait") == 2 * gradient && line_of(&p[2], "gradients of parts that wait") == 0);
    const uint64_t one = line_of(&p[1], "the other workers"), seven = line_of(&p[2], "the other workers");
    assert_true(line_of(&p[0], "the other workers") == 0 && one > 3 * gradient && seven > 6 * (one - 2 * gradient));
    assert_true(p[0].peak < p[1].peak && p[1].peak < p[2].peak);
    assert_true(p[1].call_bytes == 2 * p[0].call_bytes);
}

static void a_given_micro_batch_is_the_most(void **state)
{
    (void)state;
    ac_train_opts o = wide_opts();
    o.micro_batch = 7;
    const ac_memory_plan p = plan(&o, AC_RECOMPUTE_NONE, 0);
    assert_true(p.micro_batch == 7 && p.micro_tokens == 0 && p.tokens == 700);
    const ac_memory_plan less = plan(&o, AC_RECOMPUTE_NONE, p.peak - 1);
    assert_true(less.micro_batch == 3 && less.tokens == 300 && less.shrunk);
    o = wide_opts();
    o.packing = false;
    o.micro_batch = 65536;                               /* no more than a step has */
    const ac_memory_plan most = plan(&o, AC_RECOMPUTE_NONE, 0);
    assert_true(most.tokens <= rows.n_tokens && most.tokens > rows.n_tokens / 2);
}

static ac_device_memory four_gigabytes(const ac_device *d)
{
    (void)d;
    return (ac_device_memory){ .free = (uint64_t)3 << 30, .context = (uint64_t)500 << 20, .held = (uint64_t)524 << 20 };
}

static size_t a_megabyte(const ac_device *d, const ac_matrix *w)
{
    (void)d;
    return w ? (size_t)1 << 20 : 0;
}

static uint64_t part(const ac_memory_plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_lines; i++)
        if (strcmp(p->line[i].name, name) == 0) return p->line[i].bytes;
    return 0;
}

static ac_memory_plan planned_there(uint64_t limit)
{
    const ac_device_ops *sound = t1.dev->op;
    ac_device_ops own = *sound;
    ac_train_opts o = wide_opts();
    ac_memory_plan p = { 0 };
    own.memory = four_gigabytes;
    own.prepared_bytes = a_megabyte;
    t1.dev->op = &own;
    const ac_memory_ask ask = { .recompute = AC_RECOMPUTE_NONE, .limit = limit };
    const ac_status st = ac_memory_plan_make(&p, &o, &ask, t1.model, &rows, &valid, NULL);
    t1.dev->op = sound;
    assert_int_equal(st, AC_OK);
    assert_true(o.ahead == p.ahead);
    return p;
}

/* Stored weights are expanded ahead with what is left, and nothing is made smaller for it. */
static void expanded_ahead_where_there_is_room(void **state)
{
    (void)state;
    const ac_memory_plan bare = planned_there(0), tight = planned_there(bare.peak);
    const uint64_t more = ac_model_get_config(t1.model)->n_layers * 7 + 1;
    const ac_memory_plan roomy = planned_there(bare.peak + (more << 20));
    assert_true(!bare.ahead && !tight.ahead && tight.fits && tight.peak == bare.peak && part(&tight, "weights, expanded ahead") == 0);
    assert_true(roomy.ahead && roomy.fits && roomy.tokens == bare.tokens && !roomy.shrunk);
    assert_true(part(&roomy, "weights, expanded ahead") == more << 20 && roomy.peak == bare.peak + (more << 20));
    assert_false(planned_there(bare.peak - 1).ahead);
}

/* Nothing of the host's memory is in the plan of a device that has its own. */
static void a_device_with_its_own_memory(void **state)
{
    (void)state;
    const ac_device_ops *sound = t1.dev->op;
    ac_device_ops own = *sound;
    ac_train_opts o = wide_opts(), same = wide_opts();
    const ac_memory_ask ask = { .recompute = AC_RECOMPUTE_NONE };
    const ac_memory_plan here = plan(&o, AC_RECOMPUTE_NONE, 0);
    ac_memory_plan there = { 0 };
    own.memory = four_gigabytes;
    t1.dev->op = &own;
    const ac_status st = ac_memory_plan_make(&there, &same, &ask, t1.model, &rows, &valid, NULL);
    t1.dev->op = sound;
    assert_int_equal(st, AC_OK);
    assert_true(there.on_device && !here.on_device && there.tokens == here.tokens);
    assert_true(part(&there, "driver, libraries, their workspace") == (uint64_t)500 << 20);
    assert_true(part(&there, "weights") == (uint64_t)524 << 20 && part(&there, "weights, mapped") == 0);
    assert_true(part(&there, "adapter, as products read it") == there.n_params * sizeof(float));
    assert_true(part(&there, "best adapter so far") == 0 && part(&there, "page tables") == 0);
    static const char *const alike[] = { "adapter", "gradient", "optimizer", "activations of the layers", "logits and scratch" };
    for (size_t i = 0; i < AC_COUNTOF(alike); i++)
        assert_true(part(&there, alike[i]) > 0 && part(&there, alike[i]) == part(&here, alike[i]));
}

static void nth_allocation(void **state)
{
    (void)state;
    const int64_t live = ac_live_bytes();
    for (long nth = 1;; nth++) {
        ac_train_opts o = wide_opts();
        ac_memory_plan p;
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = ac_memory_plan_make(&p, &o, &(ac_memory_ask){ 0 }, t1.model, &rows, &valid, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        assert_int_equal(ac_live_bytes(), live);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_true(st == AC_ENOMEM && err.text[0] && nth < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_was_planned),
        cmocka_unit_test(limits_shrink_and_change_no_bit),
        cmocka_unit_test(shards_and_workers_are_counted),
        cmocka_unit_test(a_given_micro_batch_is_the_most),
        cmocka_unit_test(a_device_with_its_own_memory),
        cmocka_unit_test(expanded_ahead_where_there_is_room),
        cmocka_unit_test(nth_allocation),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
