/* train/plan.c - which rows a step has, and how they share units (T1, B6).
 *
 * The rows of an epoch are shuffled and cut into steps of batch_rows, the last one short; so a step's rows do not
 * depend on packing. With packing the rows of a step go, longest first (earlier in the shuffle among equals),
 * into the unit that has the least room left for them (the older one among equals), else into a new one. A packed
 * step is the same sum as an unpacked one (B8), in fewer and fuller matrix products. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "train/train_int.h"

typedef struct {
    uint32_t row, place, unit;
    size_t len;
} candidate;

static int longest_first(const void *x, const void *y)
{
    const candidate *a = x, *b = y;
    if (a->len != b->len) return a->len > b->len ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

/* Best fit over the k rows of one step; room holds what is left in each unit. Returns the number of units. */
static size_t fit_rows(candidate *c, size_t k, size_t *room, size_t pack_len)
{
    size_t n = 0;
    qsort(c, k, sizeof *c, longest_first);
    for (size_t i = 0; i < k; i++) {
        size_t best = n;
        for (size_t u = 0; u < n; u++) {
            if (room[u] >= c[i].len && (best == n || room[u] < room[best])) best = u;
        }
        if (best == n) {
            room[n++] = pack_len > c[i].len ? pack_len - c[i].len : 0;
        } else {
            room[best] -= c[i].len;
        }
        c[i].unit = (uint32_t)best;
    }
    return n;
}

static ac_status alloc_plan(ac_epoch_plan *p, uint32_t **order, candidate **c, size_t **room, size_t n,
                            size_t batch, ac_arena *a, ac_err *err)
{
    const size_t most = batch < n ? batch : n;
    p->row = ac_arena_alloc_array(a, n, sizeof *p->row);
    p->unit_first = ac_arena_alloc_array(a, n + 1, sizeof *p->unit_first);
    p->step_first = ac_arena_alloc_array(a, p->n_steps + 1, sizeof *p->step_first);
    *order = ac_arena_alloc_array(a, n, sizeof **order);
    *c = ac_arena_alloc_array(a, most, sizeof **c);
    *room = ac_arena_alloc_array(a, most, sizeof **room);
    if (p->row && p->unit_first && p->step_first && *order && *c && *room) return AC_OK;
    return ac_fail_nomem(err, (unsigned long long)n * 16);
}

static void plan_step(ac_epoch_plan *p, const ac_dataset *d, const ac_train_opts *o, const uint32_t *order,
                      size_t first, size_t k, candidate *c, size_t *room)
{
    size_t at = first;
    if (!o->packing) {
        for (size_t i = 0; i < k; i++) {
            p->unit_first[p->n_units++] = (uint32_t)at;
            p->row[at++] = order[first + i];
        }
        return;
    }
    for (size_t i = 0; i < k; i++) {
        const uint32_t row = order[first + i];
        c[i] = (candidate){ .row = row, .place = (uint32_t)i, .len = d->sample[row].n };
    }
    const size_t n = fit_rows(c, k, room, o->pack_len);
    for (size_t u = 0; u < n; u++) {
        p->unit_first[p->n_units++] = (uint32_t)at;
        for (size_t i = 0; i < k; i++) {
            if (c[i].unit == u) p->row[at++] = c[i].row;
        }
    }
}

ac_status ac_epoch_plan_make(ac_epoch_plan *out, const ac_dataset *d, const ac_train_opts *o,
                             uint64_t epoch, ac_arena *a, ac_err *err)
{
    const size_t n = d->n;
    if (n == 0) return ac_fail(err, AC_EFORMAT, "there is no training row; expected at least one");
    if (n >= UINT32_MAX) {
        return ac_fail(err, AC_EFORMAT, "there are %zu training rows; at most %u are possible; split the file", n,
                       UINT32_MAX - 1);
    }
    ac_epoch_plan p = { .n_steps = (size_t)ac_train_steps_per_epoch(o, n) };
    uint32_t *order;
    candidate *c;
    size_t *room;
    const ac_status st = alloc_plan(&p, &order, &c, &room, n, o->batch_rows, a, err);
    if (st) return st;
    ac_rng_shuffle(order, n, o->seed, AC_RNG_SHUFFLE, epoch);
    for (size_t s = 0; s < p.n_steps; s++) {
        const size_t first = s * o->batch_rows;
        const size_t k = n - first < o->batch_rows ? n - first : o->batch_rows;
        p.step_first[s] = (uint32_t)p.n_units;
        plan_step(&p, d, o, order, first, k, c, room);
    }
    p.step_first[p.n_steps] = (uint32_t)p.n_units;
    p.unit_first[p.n_units] = (uint32_t)n;
    *out = p;
    return AC_OK;
}

/* ---- units for the model ------------------------------------------------------------------------------- */

/* row: indices, or NULL for first, first + 1, ... */
static ac_status join(ac_unit *u, const ac_dataset *d, const uint32_t *row, size_t first, size_t k, ac_arena *a,
                      ac_err *err)
{
    uint32_t *start = ac_arena_alloc_array(a, k, sizeof *start);
    if (!start) return ac_fail_nomem(err, (unsigned long long)k * sizeof *start);
    u->doc_start = start;
    u->n_docs = k;
    if (k == 1) {
        const ac_sample *s = &d->sample[row ? row[0] : first];
        u->ids = s->ids;
        u->target = s->target;
        u->n = s->n;
        return AC_OK;
    }
    size_t n = 0;
    for (size_t i = 0; i < k; i++) {
        if (!ac_size_add(&n, n, d->sample[row ? row[i] : first + i].n)) return ac_fail_nomem(err, UINT64_MAX);
    }
    int32_t *ids = ac_arena_alloc_array(a, n, sizeof *ids);
    uint8_t *target = ac_arena_alloc(a, n);
    if (!ids || !target) return ac_fail_nomem(err, (unsigned long long)n * 5);
    for (size_t i = 0, at = 0; i < k; i++) {
        const ac_sample *s = &d->sample[row ? row[i] : first + i];
        start[i] = (uint32_t)at;
        memcpy(ids + at, s->ids, s->n * sizeof *ids);
        memcpy(target + at, s->target, s->n);
        at += s->n;
    }
    u->ids = ids;
    u->target = target;
    u->n = n;
    return AC_OK;
}

static ac_status alloc_list(ac_unit_list *l, size_t n, ac_arena *a, ac_err *err)
{
    *l = (ac_unit_list){ .unit = ac_arena_alloc_array(a, n, sizeof *l->unit),
                         .loss = ac_arena_alloc_array(a, n, sizeof *l->loss) };
    if (l->unit && l->loss) return AC_OK;
    return ac_fail_nomem(err, (unsigned long long)n * (sizeof *l->unit + sizeof *l->loss));
}

static ac_status add_unit(ac_unit_list *l, const ac_dataset *d, const uint32_t *row, size_t first, size_t k,
                          ac_arena *a, ac_err *err)
{
    ac_unit *u = &l->unit[l->n];
    const ac_status st = join(u, d, row, first, k, a, err);
    if (st) return st;
    u->index = l->n++;
    l->tokens += u->n;
    for (size_t i = 0; i < k; i++) l->supervised += d->sample[row ? row[i] : first + i].n_target;
    return AC_OK;
}

ac_status ac_units_of_step(ac_unit_list *out, const ac_dataset *d, const ac_epoch_plan *p, size_t step_in_epoch,
                           ac_arena *a, ac_err *err)
{
    const size_t from = p->step_first[step_in_epoch], to = p->step_first[step_in_epoch + 1];
    ac_unit_list l;
    ac_status st = alloc_list(&l, to - from, a, err);
    for (size_t u = from; !st && u < to; u++) {
        const uint32_t first = p->unit_first[u];
        st = add_unit(&l, d, p->row + first, 0, p->unit_first[u + 1] - first, a, err);
    }
    if (!st) *out = l;
    return st;
}

size_t ac_units_at_once(ac_micro most, const ac_unit_list *u, size_t first)
{
    size_t n = 0;
    for (uint64_t tokens = 0; first + n < u->n; n++) {
        if (n && most.units && n >= most.units) break;
        tokens += u->unit[first + n].n;
        if (n && most.tokens && tokens > most.tokens) break;
    }
    return n;
}

/* One step's forwards, as run_units takes them. Whether a part is empty. */
static bool reach_of_step(ac_train_reach *r, const ac_train_opts *o, const ac_unit_list *u)
{
    bool has_empty = false;
    for (size_t p = 0; p < o->shards; p++) {
        const ac_span_of_units part = ac_shard_units(u->n, o->shards, p);
        ac_unit_list list = *u;
        list.n = part.to;
        has_empty |= part.from == part.to;
        for (size_t i = part.from, n; i < part.to; i += n) {
            size_t tokens = 0;
            n = ac_units_at_once((ac_micro){ o->micro_batch, o->micro_tokens }, &list, i);
            for (size_t k = 0; k < n; k++) tokens += u->unit[i + k].n;
            if (n > r->units) r->units = n;
            if (tokens > r->tokens) r->tokens = tokens;
        }
    }
    return has_empty;
}

ac_status ac_train_reach_of(ac_train_reach *out, const ac_train_opts *o, const ac_dataset *train, bool one_at_a_time,
                            ac_err *err)
{
    ac_arena a = { 0 };
    ac_epoch_plan p = { 0 };
    ac_train_reach r = { 0 };
    ac_train_opts opts = *o;
    if (one_at_a_time) opts.micro_batch = 1;
    ac_status st = ac_epoch_plan_make(&p, train, &opts, 0, &a, err);
    for (size_t i = 0; !st && i < p.n_steps; i++) {
        ac_arena step = { 0 };
        ac_unit_list u = { 0 };
        st = ac_units_of_step(&u, train, &p, i, &step, err);
        if (!st) r.with_empty += reach_of_step(&r, &opts, &u);
        ac_arena_release(&step);
    }
    ac_arena_release(&a);
    r.steps = p.n_steps;
    if (!st) *out = r;
    return st;
}

ac_status ac_units_of_all(ac_unit_list *out, const ac_dataset *d, const ac_train_opts *o, ac_arena *a, ac_err *err)
{
    ac_unit_list l;
    ac_status st = alloc_list(&l, d->n, a, err);
    for (size_t first = 0, k; !st && first < d->n; first += k) {
        size_t tokens = d->sample[first].n;
        for (k = 1; o->packing && first + k < d->n; k++) {
            const size_t more = d->sample[first + k].n;
            if (tokens > o->pack_len || more > o->pack_len - tokens) break;
            tokens += more;
        }
        st = add_unit(&l, d, NULL, first, k, a, err);
    }
    if (!st) *out = l;
    return st;
}
