/* The guard's policy: every rule's limit and hold, what follows from it, and what never does on any input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "guard/policy.h"

typedef struct {
    ac_guard_terms terms;
    ac_guard_state s;
    ac_guard_sample in;
    ac_guard_acts out;
    unsigned seen[AC_ACT_N];
    int64_t arg[AC_ACT_N];
    uint64_t id[AC_ACT_N];
    unsigned changes;
} bench;

static const ac_reading none = { .why = "not there" };
static ac_reading val(double v) { return (ac_reading){ .measured = true, .value = v }; }

static bench start(int64_t micro)
{
    bench b;
    memset(&b, 0, sizeof b);
    b.terms = ac_guard_terms_default(micro);
    b.s = ac_guard_begin(&b.terms);
    for (size_t i = 0; i < AC_SIG_N_READ; i++) b.in.read[i] = none;
    b.in.read[AC_SIG_AVAILABLE] = val(60);
    b.in.minute = 720;
    b.in.child_runs = true;
    return b;
}

static void step(bench *b, int64_t ms)
{
    b->in.now_ms += ms;
    b->in.taken_ms = b->in.now_ms;
    b->s = ac_guard_step(b->s, &b->terms, &b->in, &b->out);
    b->changes += b->out.changed;
    for (size_t i = 0; i < b->out.n; i++) {
        const ac_guard_act *a = &b->out.act[i];
        b->seen[a->kind]++;
        b->arg[a->kind] = a->arg;
        b->id[a->kind] = a->id;
    }
}

static void run(bench *b, int64_t ms)
{
    for (int64_t at = 0; at < ms; at += 100) step(b, 100);
}

/* Values that reach a rule, and that leave it behind. */
static double reaching(const ac_guard_rule *r) { return r->above ? r->enter : r->enter - 0.25; }
static double leaving(const ac_guard_rule *r) { return r->above ? r->leave - 0.25 : r->leave; }

static void feed(bench *b, const ac_guard_rule *r, double v)
{
    b->in.read[r->signal] = val(v);
    if (r->signal == AC_SIG_BATTERY) {
        b->terms.battery_ok = true;
        b->in.read[AC_SIG_ON_BATTERY] = val(1);
    }
}

/* Each rule by itself: off just before its hold is over, on after it; still on within the milder limit's hold, then off. */
static void every_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < ac_guard_n_rules; i++) {
        const ac_guard_rule *r = &ac_guard_rules[i];
        if (r->signal >= AC_SIG_N_READ) continue;
        bench b = start(8);
        b.in.read[AC_SIG_USER_IDLE] = val(1);
        feed(&b, r, leaving(r));
        run(&b, 1000);
        assert_int_equal(b.s.level, AC_GUARD_GREEN);
        feed(&b, r, reaching(r));
        assert_true(ac_guard_level_of(r->signal, reaching(r)) >= r->level);
        for (int64_t at = 0; at < r->enter_ms; at += 100) {
            step(&b, 100);
            assert_false(b.s.latch[i].on);
        }
        run(&b, 100 * r->enter_samples);
        assert_true(b.s.latch[i].on);
        assert_true(b.s.level >= r->level);
        feed(&b, r, leaving(r));
        run(&b, r->leave_ms - 100);
        assert_true(b.s.latch[i].on);
        run(&b, 400);
        assert_false(b.s.latch[i].on);
        for (int k = 0; k < 200; k++) step(&b, 20000);
        assert_int_equal(b.s.level, AC_GUARD_GREEN);       /* at rest it comes back, within the hour of G3 */
    }
}

static void memory_yellow_then_red(void **state)
{
    (void)state;
    bench b = start(4);
    b.in.read[AC_SIG_FOOTPRINT] = val(86);
    run(&b, 300);
    assert_int_equal(b.s.level, AC_GUARD_YELLOW);
    assert_int_equal(b.s.micro, 2);
    run(&b, 10000);
    assert_int_equal(b.s.micro, 1);
    assert_false(b.s.recompute);
    run(&b, 10000);
    assert_true(b.s.recompute);
    run(&b, 60000);
    assert_int_equal(b.seen[AC_ACT_MICRO], 2);             /* nothing smaller: nothing more is asked */
    assert_int_equal(b.seen[AC_ACT_RECOMPUTE], 1);
    b.in.read[AC_SIG_FOOTPRINT] = val(96);
    run(&b, 200);
    assert_int_equal(b.arg[AC_ACT_CHECKPOINT_EXIT], 76);   /* it cannot get smaller: move it */
    assert_int_equal(b.seen[AC_ACT_ADVISE_MOVE], 1);
    bench c = start(4);
    c.in.read[AC_SIG_FOOTPRINT] = val(96);
    run(&c, 200);
    assert_int_equal(c.arg[AC_ACT_CHECKPOINT_EXIT], 75);
    assert_int_equal(c.seen[AC_ACT_PAUSE], 0);             /* a pause frees nothing */
}

static void micro_grows_back(void **state)
{
    (void)state;
    bench b = start(6);
    b.in.read[AC_SIG_FOOTPRINT] = val(86);
    run(&b, 11000);
    assert_int_equal(b.s.micro, 1);
    b.in.read[AC_SIG_FOOTPRINT] = val(50);
    run(&b, 61000);
    assert_int_equal(b.s.level, AC_GUARD_GREEN);
    run(&b, 898000);
    assert_int_equal(b.s.micro, 1);
    run(&b, 3000);
    assert_int_equal(b.s.micro, 2);
    run(&b, 3 * 900000);
    assert_int_equal(b.s.micro, 6);
    run(&b, 900000);
    assert_int_equal(b.s.micro, 6);
}

/* The one way to a signal: a command to end, unanswered; and each once. */
static void unanswered(void **state)
{
    (void)state;
    bench b = start(4);
    b.in.read[AC_SIG_FOOTPRINT] = val(111);
    step(&b, 100);
    assert_int_equal(b.arg[AC_ACT_DROP_EXIT], 75);
    run(&b, 900);
    assert_int_equal(b.seen[AC_ACT_TERM], 0);
    run(&b, 100);
    assert_int_equal(b.seen[AC_ACT_TERM], 1);
    assert_int_equal(b.id[AC_ACT_TERM], b.id[AC_ACT_DROP_EXIT]);
    run(&b, 900);
    assert_int_equal(b.seen[AC_ACT_KILL], 0);
    run(&b, 60000);
    assert_int_equal(b.seen[AC_ACT_KILL], 1);
    assert_int_equal(b.seen[AC_ACT_TERM], 1);
    bench c = start(4);                                    /* one that obeys is left alone */
    c.in.read[AC_SIG_FOOTPRINT] = val(96);
    run(&c, 200);
    c.in.child_runs = false;
    run(&c, 60000);
    assert_int_equal(c.seen[AC_ACT_TERM] + c.seen[AC_ACT_KILL], 0);
    bench d = start(4);                                    /* answered, then silent: the time begins again, once */
    d.in.checkpoint_ms = 4000;
    d.in.read[AC_SIG_FOOTPRINT] = val(96);
    run(&d, 200);
    run(&d, 10000);
    d.in.answered = d.id[AC_ACT_CHECKPOINT_EXIT];
    run(&d, 11900);
    assert_int_equal(d.seen[AC_ACT_TERM], 0);
    run(&d, 300);
    assert_int_equal(d.seen[AC_ACT_TERM], 1);
}

static void heat(void **state)
{
    (void)state;
    bench b = start(4);
    b.in.read[AC_SIG_TRIP_MARGIN] = val(3);
    run(&b, 31000);
    assert_int_equal(b.s.duty, 75);
    run(&b, 61000);
    assert_int_equal(b.s.duty, 50);
    b.in.read[AC_SIG_HOT_MARGIN] = val(0);
    run(&b, 200);
    assert_true(b.s.paused);
    assert_int_equal(b.s.micro, 4);                        /* no lever for heat */
    b.in.read[AC_SIG_HOT_MARGIN] = b.in.read[AC_SIG_TRIP_MARGIN] = val(20);
    run(&b, 121000);
    assert_false(b.s.paused);
    assert_int_equal(b.seen[AC_ACT_RESUME], 1);
    bench c = start(4);                                    /* too long a pause gives the memory back */
    c.in.read[AC_SIG_HOT_MARGIN] = val(0);
    run(&c, 600000);
    assert_int_equal(c.seen[AC_ACT_CHECKPOINT_EXIT], 0);
    run(&c, 300);
    assert_int_equal(c.arg[AC_ACT_CHECKPOINT_EXIT], 75);
}

static void battery_and_lid(void **state)
{
    (void)state;
    bench b = start(4);
    b.in.read[AC_SIG_ON_BATTERY] = val(0);
    b.in.read[AC_SIG_BATTERY] = val(10);                   /* charging: fine */
    b.in.read[AC_SIG_LID] = val(0);
    run(&b, 20000);
    assert_int_equal(b.s.level, AC_GUARD_GREEN);
    b.in.read[AC_SIG_BATTERY] = val(80);
    b.in.read[AC_SIG_ON_BATTERY] = val(1);
    run(&b, 10200);
    assert_true(b.s.paused);
    b.in.read[AC_SIG_BATTERY] = val(29);
    run(&b, 2200);
    assert_int_equal(b.arg[AC_ACT_CHECKPOINT_EXIT], 75);
    bench c = start(4);
    c.in.read[AC_SIG_LID] = val(1);
    run(&c, 10200);
    assert_true(c.s.paused);
    bench d = start(4);
    d.terms.lid_ok = d.terms.battery_ok = true;
    d.in.read[AC_SIG_LID] = d.in.read[AC_SIG_ON_BATTERY] = val(1);
    d.in.read[AC_SIG_BATTERY] = val(50);
    run(&d, 60000);
    assert_int_equal(d.s.level, AC_GUARD_GREEN);
}

static void others(void **state)
{
    (void)state;
    bench b = start(4);
    b.in.read[AC_SIG_BESIDE] = val(1);
    strcpy(b.in.beside, "llama-server");
    run(&b, 60000);
    assert_int_equal(b.s.micro, 2);                        /* once: it is no measure of memory */
    assert_int_equal(b.seen[AC_ACT_NAME], 1);
    assert_int_equal(b.seen[AC_ACT_TERM] + b.seen[AC_ACT_KILL], 0);
    bench c = start(4);
    c.terms.beside_ok = true;
    c.in.read[AC_SIG_BESIDE] = val(1);
    run(&c, 60000);
    assert_int_equal(c.s.micro, 4);
    bench d = start(4);
    d.in.read[AC_SIG_FOREIGN_CPU] = val(90);
    d.in.read[AC_SIG_USER_IDLE] = val(200);                /* nobody there to be polite to */
    run(&d, 200000);
    assert_int_equal(d.s.level, AC_GUARD_GREEN);
    d.in.read[AC_SIG_USER_IDLE] = (ac_reading){ .why = "a server" };
    run(&d, 200000);
    assert_int_equal(d.s.level, AC_GUARD_GREEN);
    d.in.read[AC_SIG_USER_IDLE] = val(1);
    run(&d, 60200);
    assert_int_equal(d.s.duty, 75);
    run(&d, 61000);
    assert_true(d.s.paused);
}

static void windows(void **state)
{
    (void)state;
    int32_t from = -7, to = -7;
    static const char *const bad[] = { "", "25:00-07:00", "22:00", "22:00-22:00", "22:60-07:00", "22-00-07:00", "22:00_07:00",
                                       " 2:00-07:00", "22:00-07:001", "-1:00-07:00" };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        assert_int_equal(ac_guard_window_parse(&from, &to, ac_view_of(bad[i]), &err), AC_EARG);
        assert_true(err.text[0] && from == -7 && to == -7);
    }
    assert_int_equal(ac_guard_window_parse(&from, &to, AC_VIEW("22:00-07:00"), NULL), AC_OK);
    bench b = start(4);
    b.terms.window_from = from;
    b.terms.window_to = to;
    for (int32_t m = 0; m < 1440; m++)
        assert_int_equal(ac_guard_window_open(&b.terms, m), m >= 1320 || m < 420);
    b.in.minute = 418;
    b.in.checkpoint_ms = 20000;
    run(&b, 1000);
    assert_int_equal(b.seen[AC_ACT_CHECKPOINT], 0);
    b.in.minute = 419;
    run(&b, 1000);
    assert_int_equal(b.seen[AC_ACT_CHECKPOINT], 1);
    b.in.minute = 420;
    run(&b, 200);
    assert_true(b.s.paused);
    b.in.minute = 1320;
    run(&b, 61000);
    assert_false(b.s.paused);
}

static void blind(void **state)
{
    (void)state;
    bench b = start(4);
    run(&b, 500);
    b.in.read[AC_SIG_AVAILABLE] = none;
    step(&b, 1000);
    step(&b, 1000);
    assert_int_equal(b.s.level, AC_GUARD_GREEN);
    step(&b, 1000);
    assert_int_equal(b.s.level, AC_GUARD_YELLOW);
    for (int i = 0; i < 27; i++) step(&b, 100);
    assert_true(b.s.paused);
    b.in.read[AC_SIG_AVAILABLE] = val(60);
    run(&b, 31000);
    assert_false(b.s.paused);
}

/* A sleep of hours between two samples is not "the limit was reached for hours". */
static void sleeping(void **state)
{
    (void)state;
    bench b = start(4);
    b.in.read[AC_SIG_TRIP_MARGIN] = val(1);
    run(&b, 2000);
    step(&b, 8 * 3600000);
    assert_int_equal(b.s.level, AC_GUARD_GREEN);
    assert_int_equal(b.out.n, 0);
}

static void noise(void **state)
{
    (void)state;
    bench b = start(8);
    for (int i = 0; i < 36000; i++) {                      /* an hour around one limit */
        b.in.read[AC_SIG_AVAILABLE] = val(i / 80 % 2 ? 14 : 60);
        step(&b, 100);
    }
    assert_true(b.changes <= 6);
    assert_int_equal(b.seen[AC_ACT_CHECKPOINT_EXIT], 0);
}

/* How a trainer may take a command to end: it ends soon; answers, and ends late; answers, and never ends; is silent. */
typedef enum { ENDS, ENDS_LATE, HEARS, SILENT, HABITS } habit;

typedef struct {
    habit how;
    int64_t told_ms, ended_ms, late_ms;      /* -1: not yet */
    int64_t deadline_ms;                     /* after the command; the worst that the policy's words allow */
    bool term, kill;
} trainee;

static void told_to_end(trainee *c, const bench *b, const ac_guard_act *a)
{
    const int64_t ckpt = b->in.checkpoint_ms, save = ckpt * 3 > 5000 ? ckpt * 3 : 5000;
    const int64_t wait = a->kind == AC_ACT_DROP_EXIT ? 1000 : save, term = a->cause == AC_CAUSE_MEMORY ? 1000 : 5000;
    const int64_t units = b->in.unit_ms * 2;
    c->told_ms = b->in.now_ms;
    c->deadline_ms = 2 * (wait > units ? wait : units) + (term > units ? term : units);
}

/* Every signal goes to a command that was given to our own child, which runs, and did not do it. */
static void trainee_sees(trainee *c, bench *b)
{
    for (size_t i = 0; i < b->out.n; i++) {
        const ac_guard_act *a = &b->out.act[i];
        if (a->kind == AC_ACT_CHECKPOINT_EXIT || a->kind == AC_ACT_DROP_EXIT) {
            assert_true(c->told_ms < 0);
            told_to_end(c, b, a);
        }
        if (a->kind <= AC_ACT_DROP_EXIT) assert_true(a->id > 0);
        if (a->kind != AC_ACT_TERM && a->kind != AC_ACT_KILL) continue;
        assert_true(c->told_ms >= 0 && b->in.child_runs && a->id == b->s.end_id && a->id > 0);
        assert_true(a->kind == AC_ACT_TERM ? !c->term : c->term && !c->kill);
        assert_true(c->how != ENDS);
        if (a->kind == AC_ACT_TERM) c->term = true;
        else c->kill = true;
    }
    if (b->s.last_id && c->how != SILENT) b->in.answered = b->s.last_id;
    const int64_t since = c->told_ms < 0 ? -1 : b->in.now_ms - c->told_ms;
    if (since >= 0 && ((c->how == ENDS && since >= 500) || (c->how == ENDS_LATE && since >= c->late_ms) || c->kill))
        b->in.child_runs = false;
}

/* Random traces: values near and across every limit, signals that come and go, clocks that jump. */
static void trace(uint64_t seed, unsigned ended_by[3])
{
    bench b = start(1 + ac_rng_below(seed, AC_RNG_TEST, 0, 0, 64));
    trainee child = { .how = (habit)(seed / 2 % HABITS), .told_ms = -1 };
    int64_t change[512], last_micro = b.s.micro, last_grown = -1;
    size_t n_change = 0;
    bool ended = false;
    b.terms.window_from = 1320;
    b.terms.window_to = 420;
    b.in.checkpoint_ms = (int64_t)ac_rng_below(seed, AC_RNG_TEST, 0, 1, 20000);
    b.in.unit_ms = (int64_t)ac_rng_below(seed, AC_RNG_TEST, 0, 2, 8000);
    child.late_ms = (int64_t)ac_rng_below(seed, AC_RNG_TEST, 0, 3, 60000);
    const bool rough = seed % 2;                           /* else one signal at a time */
    for (uint64_t k = 1; k <= 400; k++) {
        uint32_t r[4];
        ac_philox(r, seed, AC_RNG_TEST, k, 0);
        const ac_guard_rule *rule = &ac_guard_rules[r[0] % ac_guard_n_rules];
        if (rule->signal < AC_SIG_N_READ && (rough || rule->level < AC_GUARD_EMERGENCY))
            b.in.read[rule->signal] = r[1] % 16 == 0 ? none : r[1] % 16 == 1 ? val((double)NAN)
                                    : val(r[1] % 3 ? leaving(rule) : reaching(rule));
        b.in.minute = r[2] % 8 ? b.in.minute : (int32_t)(r[3] % 1500) - 20;
        if (r[3] % 64 == 0 && !ended) b.in.now_ms -= 5000;
        const bool was_paused = b.s.paused;
        const ac_guard_state before = b.s;
        step(&b, ended && b.in.child_runs ? 100 + r[2] % 900 : r[2] % 100 == 99 ? 3600000 : 100 + r[2] % 40000);
        if (seed % 8 == 0) {                               /* G1: the same state and sample give the same acts */
            ac_guard_acts twin;
            const ac_guard_state after = ac_guard_step(before, &b.terms, &b.in, &twin);
            assert_true(twin.n == b.out.n && twin.changed == b.out.changed && twin.next_ms == b.out.next_ms && after.level == b.s.level);
            for (size_t i = 0; i < twin.n; i++)
                assert_true(twin.act[i].kind == b.out.act[i].kind && twin.act[i].arg == b.out.act[i].arg
                            && twin.act[i].id == b.out.act[i].id && twin.act[i].rule == b.out.act[i].rule);
        }
        trainee_sees(&child, &b);
        if (child.told_ms >= 0 && b.in.child_runs && !child.kill)      /* in time, whatever the trainer does */
            assert_true(b.in.now_ms - child.told_ms <= child.deadline_ms + 3000);
        assert_true(b.s.micro >= 1 && b.s.micro <= b.terms.micro_start);
        assert_true(b.s.duty == 100 || b.s.duty == 75 || b.s.duty == 50);
        if (b.s.micro > last_micro) {
            assert_true(b.s.level == AC_GUARD_GREEN && b.s.micro <= 2 * last_micro + 1);
            if (last_grown >= 0) assert_true(b.s.last_ms - last_grown >= 900000);
            last_grown = b.s.last_ms;
        }
        last_micro = b.s.micro;
        if (b.out.changed) {
            change[n_change++] = b.s.last_ms;
            if (n_change > 6) assert_true(change[n_change - 1] - change[n_change - 7] >= 3600000);
        }
        for (size_t i = 0; i < b.out.n; i++) {
            const ac_guard_act *a = &b.out.act[i];
            if (ended) assert_true(a->kind == AC_ACT_TERM || a->kind == AC_ACT_KILL);
            if (a->kind == AC_ACT_RESUME) assert_true(was_paused);
            if (a->kind == AC_ACT_PAUSE) assert_true(!was_paused);
            if (a->rule >= 0) assert_true(b.s.latch[a->rule].on);
        }
        for (size_t i = 0; i < ac_guard_n_rules; i++)      /* G7 */
            if (b.s.latch[i].on && ac_guard_rules[i].cause == AC_CAUSE_MEMORY && ac_guard_rules[i].level >= AC_GUARD_RED)
                assert_true(b.s.end_id != 0);
        ended = b.s.end_id != 0;
        ac_guard_acts again;                               /* G5: the same sample asks for nothing twice */
        (void)ac_guard_step(b.s, &b.terms, &b.in, &again);
        if (b.out.n && !ended && b.in.now_ms >= b.s.last_ms)
            for (size_t i = 0; i < again.n; i++)
                for (size_t j = 0; j < b.out.n; j++)
                    assert_false(again.act[i].kind == b.out.act[j].kind && again.act[i].rule == b.out.act[j].rule
                                 && again.act[i].arg == b.out.act[j].arg);
    }
    ended_by[child.kill ? 2 : child.term ? 1 : 0] += ended && !b.in.child_runs;
}

static void properties(void **state)
{
    (void)state;
    unsigned ended_by[3] = { 0 };
    for (uint64_t seed = 1; seed <= 10000; seed++) trace(seed, ended_by);
    assert_true(ended_by[0] > 1000 && ended_by[1] > 100 && ended_by[2] > 1000);      /* of itself, SIGTERM, SIGKILL */
}

static void table_in_docs(void **state)
{
    (void)state;
    ac_str want = { 0 }, page = { 0 };
    ac_guard_table_md(&want);
    assert_true(ac_str_ok(&want));
    assert_int_equal(ac_file_read(&page, ACCORD_SOURCE_DIR "/docs/guard.md", 1u << 20, NULL), AC_OK);
    if (ac_view_find(ac_str_view(&page), ac_str_view(&want), 0) == SIZE_MAX) print_message("%s", want.ptr);
    assert_true(ac_view_find(ac_str_view(&page), ac_str_view(&want), 0) != SIZE_MAX);
    ac_str_release(&want);
    ac_str_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule), cmocka_unit_test(memory_yellow_then_red), cmocka_unit_test(micro_grows_back),
        cmocka_unit_test(unanswered), cmocka_unit_test(heat), cmocka_unit_test(battery_and_lid), cmocka_unit_test(others),
        cmocka_unit_test(windows), cmocka_unit_test(blind), cmocka_unit_test(sleeping), cmocka_unit_test(noise),
        cmocka_unit_test(properties), cmocka_unit_test(table_in_docs),
    };
    return cmocka_run_group_tests_name("guard policy", tests, NULL, NULL);
}
