#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "train/train_int.h"
#include "train_tiny.h"

static ac_epoch_plan make(const ac_dataset *d, const ac_train_opts *o, uint64_t epoch, ac_arena *a)
{
    ac_epoch_plan p;
    assert_int_equal(ac_epoch_plan_make(&p, d, o, epoch, a, NULL), AC_OK);
    return p;
}

static void every_row_once(const ac_dataset *d, const ac_epoch_plan *p)
{
    uint8_t *seen = calloc(d->n, 1);
    assert_non_null(seen);
    assert_int_equal(p->unit_first[0], 0);
    assert_int_equal(p->unit_first[p->n_units], d->n);
    assert_int_equal(p->step_first[0], 0);
    assert_int_equal(p->step_first[p->n_steps], p->n_units);
    for (size_t u = 0; u < p->n_units; u++) assert_true(p->unit_first[u] < p->unit_first[u + 1]);
    for (size_t s = 0; s < p->n_steps; s++) assert_true(p->step_first[s] < p->step_first[s + 1]);
    for (size_t i = 0; i < d->n; i++) {
        assert_true(p->row[i] < d->n);
        assert_int_equal(seen[p->row[i]]++, 0);
    }
    free(seen);
}

static size_t rows_of_step(const ac_epoch_plan *p, size_t s)
{
    return p->unit_first[p->step_first[s + 1]] - p->unit_first[p->step_first[s]];
}

static void covers_every_row(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 2, 7, 8, 9, 100, 257 };
    const size_t batches[] = { 1, 3, 8, 1000 };
    for (size_t i = 0; i < AC_COUNTOF(sizes); i++) {
        ac_dataset d = tiny_rows(sizes[i], 40, 97, i);
        for (size_t b = 0; b < AC_COUNTOF(batches); b++) {
            for (int packing = 0; packing < 2; packing++) {
                ac_arena a = { 0 };
                ac_train_opts o = tiny_opts();
                o.batch_rows = batches[b];
                o.packing = packing;
                const ac_epoch_plan p = make(&d, &o, 3, &a);
                every_row_once(&d, &p);
                assert_int_equal(p.n_steps, (sizes[i] + batches[b] - 1) / batches[b]);
                assert_int_equal(p.n_steps, ac_train_steps_per_epoch(&o, d.n));
                for (size_t s = 0; s + 1 < p.n_steps; s++) assert_int_equal(rows_of_step(&p, s), batches[b]);
                ac_arena_release(&a);
            }
        }
        tiny_rows_drop(&d);
    }
}

static int by_value(const void *x, const void *y)
{
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static void packing_keeps_the_rows_of_a_step(void **state)
{
    (void)state;
    ac_dataset d = tiny_rows(61, 30, 97, 5);
    ac_arena a = { 0 };
    ac_train_opts o = tiny_opts();
    o.batch_rows = 8;
    const ac_epoch_plan packed = make(&d, &o, 0, &a);
    o.packing = false;
    const ac_epoch_plan plain = make(&d, &o, 0, &a);
    assert_int_equal(plain.n_units, d.n);
    assert_true(packed.n_units < plain.n_units);
    assert_int_equal(packed.n_steps, plain.n_steps);
    for (size_t s = 0; s < plain.n_steps; s++) {
        const size_t n = rows_of_step(&plain, s), at = s * 8;
        uint32_t x[8], y[8];
        assert_int_equal(n, rows_of_step(&packed, s));
        memcpy(x, plain.row + at, n * sizeof *x);
        memcpy(y, packed.row + at, n * sizeof *y);
        qsort(x, n, sizeof *x, by_value);
        qsort(y, n, sizeof *y, by_value);
        assert_memory_equal(x, y, n * sizeof *x);
    }
    for (size_t u = 0; u < packed.n_units; u++) {
        size_t tokens = 0;
        for (uint32_t i = packed.unit_first[u]; i < packed.unit_first[u + 1]; i++) tokens += d.sample[packed.row[i]].n;
        assert_true(tokens <= o.pack_len);
    }
    ac_arena_release(&a);
    tiny_rows_drop(&d);
}

static void depends_on_seed_and_epoch_alone(void **state)
{
    (void)state;
    ac_dataset d = tiny_rows(50, 30, 97, 5);
    ac_arena a = { 0 };
    ac_train_opts o = tiny_opts();
    const ac_epoch_plan p = make(&d, &o, 1, &a);
    o.micro_batch = 9;
    o.save_every = o.eval_every = 2;
    const ac_epoch_plan same = make(&d, &o, 1, &a);
    assert_memory_equal(p.row, same.row, d.n * sizeof *p.row);
    const ac_epoch_plan other = make(&d, &o, 2, &a);
    assert_memory_not_equal(p.row, other.row, d.n * sizeof *p.row);
    o.seed++;
    const ac_epoch_plan seeded = make(&d, &o, 1, &a);
    assert_memory_not_equal(p.row, seeded.row, d.n * sizeof *p.row);
    ac_arena_release(&a);
    tiny_rows_drop(&d);
}

static void long_rows_stand_alone(void **state)
{
    (void)state;
    ac_dataset d = tiny_rows(12, 30, 97, 2);
    ac_arena a = { 0 };
    ac_train_opts o = tiny_opts();
    o.pack_len = 10;
    const ac_epoch_plan p = make(&d, &o, 0, &a);
    every_row_once(&d, &p);
    for (size_t u = 0; u < p.n_units; u++) {
        const uint32_t n = p.unit_first[u + 1] - p.unit_first[u];
        if (d.sample[p.row[p.unit_first[u]]].n > o.pack_len) assert_int_equal(n, 1);
    }
    ac_arena_release(&a);
    tiny_rows_drop(&d);
}

static void units_hold_their_rows(void **state)
{
    (void)state;
    ac_dataset d = tiny_rows(23, 20, 97, 8);
    ac_arena a = { 0 };
    ac_train_opts o = tiny_opts();
    const ac_epoch_plan p = make(&d, &o, 0, &a);
    size_t tokens = 0, supervised = 0;
    for (size_t s = 0; s < p.n_steps; s++) {
        ac_unit_list l;
        assert_int_equal(ac_units_of_step(&l, &d, &p, s, &a, NULL), AC_OK);
        assert_int_equal(l.n, p.step_first[s + 1] - p.step_first[s]);
        tokens += l.tokens;
        supervised += l.supervised;
        for (size_t u = 0; u < l.n; u++) {
            const ac_unit *x = &l.unit[u];
            const uint32_t *row = p.row + p.unit_first[p.step_first[s] + u];
            assert_int_equal(x->index, u);
            for (size_t k = 0; k < x->n_docs; k++) {
                const ac_sample *r = &d.sample[row[k]];
                const size_t end = k + 1 < x->n_docs ? x->doc_start[k + 1] : x->n;
                assert_int_equal(end - x->doc_start[k], r->n);
                assert_memory_equal(x->ids + x->doc_start[k], r->ids, r->n * sizeof *r->ids);
                assert_memory_equal(x->target + x->doc_start[k], r->target, r->n);
            }
        }
    }
    assert_int_equal(tokens, d.n_tokens);
    assert_int_equal(supervised, d.n_targets);
    for (int packing = 0; packing < 2; packing++) {
        ac_unit_list all;
        o.packing = packing;
        assert_int_equal(ac_units_of_all(&all, &d, &o, &a, NULL), AC_OK);
        assert_int_equal(all.tokens, d.n_tokens);
        assert_int_equal(all.supervised, d.n_targets);
        if (!packing) assert_int_equal(all.n, d.n);
        else assert_true(all.n < d.n);
        for (size_t u = 0; packing && u < all.n; u++) assert_true(all.unit[u].n <= o.pack_len);
    }
    ac_arena_release(&a);
    tiny_rows_drop(&d);
}

static void no_rows(void **state)
{
    (void)state;
    ac_dataset d = { 0 };
    ac_arena a = { 0 };
    ac_epoch_plan p;
    ac_err err = { 0 };
    const ac_train_opts o = tiny_opts();
    assert_int_equal(ac_epoch_plan_make(&p, &d, &o, 0, &a, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "no training row"));
    ac_arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_every_row),
        cmocka_unit_test(packing_keeps_the_rows_of_a_step),
        cmocka_unit_test(depends_on_seed_and_epoch_alone),
        cmocka_unit_test(long_rows_stand_alone),
        cmocka_unit_test(units_hold_their_rows),
        cmocka_unit_test(no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
