/* train/memory.c - what a run will hold in memory, counted before anything of it exists, and taken before step 0.
 *
 * Every buffer of a run follows from the model, the options and the rows' lengths, so the plan asks those who will
 * open the buffers how large they will be, with the largest call that the epochs' plans can give. Where the sum is
 * over the limit, two things can be made smaller without changing a bit: how many tokens are computed at once, and
 * whether layers keep their activations. The first costs next to nothing down to about the device's call_tokens, so it is
 * tried first. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "train/train_int.h"

/* A piece of a gradient on its way, and what NCCL takes for two or three neighbours; not measured yet. */
#define PEERS_BYTES ((uint64_t)384 << 20)

/* The system keeps 8 bytes for a page of 4,096, and charges them. */
#define PAGES_A_TABLE 512

/* The most tokens that calls can come to: of one unit, of a step, and of the n longest rows for n <= batch_rows. */
typedef struct {
    const ac_train_opts *o;
    size_t unit, step, rows;
    size_t *longest_rows;                /* rows + 1 sums */
} lengths;

static int descending(const void *x, const void *y)
{
    const size_t a = *(const size_t *)x, b = *(const size_t *)y;
    return a > b ? -1 : a < b;
}

static ac_status measure_rows(lengths *l, const ac_train_opts *o, const ac_dataset *d, ac_arena *a, ac_err *err)
{
    size_t *len = ac_arena_alloc_array(a, d->n + 1, sizeof *len);
    l->o = o;
    l->rows = o->batch_rows < d->n ? o->batch_rows : d->n;
    l->longest_rows = ac_arena_alloc_array(a, l->rows + 1, sizeof *l->longest_rows);
    if (!len || !l->longest_rows) return ac_fail_nomem(err, (unsigned long long)d->n * sizeof *len);
    for (size_t i = 0; i < d->n; i++) len[i] = d->sample[i].n;
    qsort(len, d->n, sizeof *len, descending);
    for (size_t i = 0; i < l->rows; i++) l->longest_rows[i + 1] = l->longest_rows[i] + len[i];
    l->step = l->longest_rows[l->rows];
    l->unit = d->n ? len[0] : 0;
    if (o->packing && o->pack_len > l->unit) l->unit = o->pack_len < l->step ? o->pack_len : l->step;
    return AC_OK;
}

/* The most tokens that one forward of a step takes. */
static size_t call_tokens(const lengths *l, size_t micro_batch, size_t micro_tokens)
{
    size_t most = l->step;
    const size_t part = (l->rows + l->o->shards - 1) / l->o->shards;     /* a call stays in its part of the step */
    if (l->o->shards > 1 && (!micro_batch || micro_batch > part)) micro_batch = part;
    if (micro_batch) {
        size_t units = l->longest_rows[micro_batch < l->rows ? micro_batch : l->rows];
        if (l->o->packing && !ac_size_mul(&units, micro_batch, l->unit)) units = SIZE_MAX;
        if (units < most) most = units;
    }
    if (micro_tokens) {
        const size_t by_tokens = micro_tokens > l->unit ? micro_tokens : l->unit;
        if (by_tokens < most) most = by_tokens;
    }
    return most;
}

static size_t valid_tokens(const ac_dataset *d, const ac_train_opts *o, size_t micro_batch, size_t micro_tokens)
{
    size_t unit = d->max_len, most = d->n_tokens;
    if (o->packing && o->pack_len > unit) unit = o->pack_len;
    if (micro_batch && ac_size_mul(&most, micro_batch, unit) && most > d->n_tokens) most = d->n_tokens;
    if (micro_tokens && most > micro_tokens) most = micro_tokens > unit ? micro_tokens : unit;
    return most < ac_model_nll_tokens(unit) ? most : ac_model_nll_tokens(unit);
}

typedef struct {
    const ac_train_opts *o;
    const ac_memory_ask *ask;
    const ac_model *m;
    const ac_adapter *ad;
    const ac_dataset *train, *valid;
    lengths len;
} job;

/* The largest calls of a step and of validation. */
static void call_sizes(ac_call_size out[2], const job *j, size_t micro_batch, size_t micro_tokens, bool recompute)
{
    size_t tokens = call_tokens(&j->len, micro_batch, micro_tokens);
    /* A tied matrix takes one unit at a time. */
    if (j->ad->spec.tune == AC_TUNE_FULL && ac_model_get_config(j->m)->tied_output) tokens = j->len.unit;
    out[0] = (ac_call_size){ .tokens = tokens, .supervised = tokens, .longest = j->train->max_len, .grad = true,
                             .dropout = j->o->dropout > 0, .recompute = recompute };
    out[1] = (ac_call_size){ 0 };
    if (!j->valid || !j->valid->n) return;
    const size_t n = valid_tokens(j->valid, j->o, micro_batch, micro_tokens);
    out[1] = (ac_call_size){ .tokens = n, .supervised = n, .longest = j->valid->max_len };
}

ac_status ac_memory_reserve(const ac_train_opts *o, ac_model *m, const ac_adapter *ad, const ac_dataset *train,
                            const ac_dataset *valid, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_call_size size[2];
    job j = { .o = o, .m = m, .ad = ad, .train = train, .valid = valid };
    ac_status st = measure_rows(&j.len, o, train, &arena, err);
    if (!st) {
        call_sizes(size, &j, o->micro_batch, o->micro_tokens, o->recompute);
        if (o->ahead) st = ac_model_prepare_decode(m, err);
        if (!st) st = ac_model_reserve(m, ad, size, size[1].tokens ? 2 : 1, err);
    }
    ac_arena_release(&arena);
    return st;
}

/* ---- counting ------------------------------------------------------------------------------------------- */

static void add(ac_memory_plan *p, const char *name, uint64_t bytes)
{
    if (!bytes) return;
    p->line[p->n_lines++] = (ac_memory_line){ name, bytes };
    p->peak = p->peak > UINT64_MAX - bytes ? UINT64_MAX : p->peak + bytes;
}

/* Units and their tokens of a step and of all validation rows, an epoch's plan, what a checkpoint's files are made with. */
static uint64_t small_things(const job *j, size_t tokens)
{
    const ac_dataset *v = j->valid;
    const uint64_t joined = j->o->packing ? 5 : 0, unit = sizeof(ac_unit) + sizeof(double) + 32;
    uint64_t n = (uint64_t)tokens * 24 + (uint64_t)j->len.step * joined + (uint64_t)j->len.rows * 3 * unit;
    n += (uint64_t)j->train->n * 16 + (uint64_t)j->ad->n_tensors * 1024;
    if (v) n += (uint64_t)v->n * unit + (uint64_t)v->n_tokens * joined;
    return n;
}

/* A checkpoint is read before gradient and activations are taken: the parameters beside a copy and the file that it comes from,
 * then the state beside its file, then the best ones. What that takes more than the rest of the run. */
static uint64_t more_for_reading(const job *j, uint64_t params, uint64_t state, uint64_t best, uint64_t later)
{
    const uint64_t run = 2 * params + state + best + later;
    uint64_t most = 3 * params;
    if (params + 2 * state > most) most = params + 2 * state;
    if (best && 3 * params + state > most) most = 3 * params + state;
    return j->ask->resume && most > run ? most - run : 0;
}

/* Each of the others holds what the leader does, but for the mapped weights and the best parameters; the pieces that they
 * exchange, and losses of validation. */
static void add_workers(ac_memory_plan *p, const job *j, uint64_t each)
{
    const uint64_t n = j->ask->workers ? j->ask->workers : 1;
    if (n == 1) return;
    add(p, "pieces that workers exchange", n * AC_CREW_BYTES);
    add(p, "the other workers", (n - 1) * each);
    p->call_bytes *= n;
    p->least_call_bytes *= n;
}

static void count(ac_memory_plan *p, const job *j)
{
    const bool has_valid = j->valid && j->valid->n, full = j->ad->spec.tune == AC_TUNE_FULL;
    const uint64_t params = (uint64_t)j->ad->n_params * sizeof(float);
    ac_call_size size[2];
    call_sizes(size, j, p->micro_batch, p->micro_tokens, p->recompute);
    p->n_lines = 0;
    p->peak = 0;
    p->tokens = size[0].tokens;
    size_t layers = 0, scratch = 0, score = 0;
    const size_t call = ac_model_call_bytes(j->m, j->ad, &size[0], &layers, &scratch);
    if (has_valid) score = ac_model_call_bytes(j->m, j->ad, &size[1], NULL, NULL);
    const ac_device *dev = ac_model_device(j->m);
    const ac_device_memory own = dev->op->memory(dev);
    const size_t act = dev->op->store_bytes(dev, AC_STORE_ACT);
    p->on_device = own.free != 0;
    if (p->on_device) add(p, "driver, libraries, their workspace", own.context);
    add(p, p->on_device ? "weights" : "weights, mapped", p->on_device ? own.held : ac_model_get_config(j->m)->weight_bytes);
    if (p->ahead) add(p, "weights, expanded ahead", ac_model_decode_bytes(j->m));
    add(p, "program, tokenizer and rows", j->ask->held);
    add(p, full ? "parameters" : "adapter", params);
    add(p, "gradient", params);
    add(p, "gradients of parts that wait", ac_fold_levels(j->o->shards / (j->ask->workers ? j->ask->workers : 1)) * params);
    add(p, "optimizer", ac_optimizer_state_bytes(j->o, j->ad));
    if (p->on_device) add(p, "adapter, as products read it", (uint64_t)j->ad->n_params * act);
    else add(p, full ? "best parameters so far" : "best adapter so far", has_valid ? params : 0);
    if (call == SIZE_MAX || score == SIZE_MAX) {
        add(p, "activations, too many to count", UINT64_MAX);
        return;
    }
    const size_t least_tokens = j->len.unit < p->tokens ? j->len.unit : p->tokens;
    p->call_bytes = score > call ? score : call;
    p->least_call_bytes = p->tokens ? (uint64_t)((double)p->call_bytes * (double)least_tokens / (double)p->tokens) : 0;
    const size_t longest = size[1].longest > size[0].longest ? size[1].longest : size[0].longest;
    add(p, "activations of the layers", layers);
    add(p, "activations between layers", call - layers - scratch);
    add(p, "logits and scratch", scratch);
    add(p, "more for validation", score > call ? score - call : 0);    /* the same memory serves both */
    add(p, "lengths of adapted rows", j->ad->dora ? j->ad->dora->n * sizeof(float) : 0);
    add(p, "rotary tables", ac_model_table_bytes(j->m, longest));
    add(p, p->on_device ? "expanded weights, kernels" : "matrix kernels", ac_model_device_bytes(j->m));
    if (p->on_device) {
        if (j->ask->workers > 1) add(p, "exchange with other GPUs", PEERS_BYTES);
        return;
    }
    add(p, "units, checkpoint headers", small_things(j, p->tokens));
    add(p, "more while the checkpoint is read",
        more_for_reading(j, params, ac_optimizer_state_bytes(j->o, j->ad), has_valid ? params : 0,
                         (score > call ? score : call) + ac_model_device_bytes(j->m)));
    add(p, "page tables", p->peak / PAGES_A_TABLE);
    add_workers(p, j, p->peak - ac_model_get_config(j->m)->weight_bytes - (has_valid ? params : 0));
}

/* ---- choosing ------------------------------------------------------------------------------------------- */

/* Halves what is computed at once; false when one unit is left. */
static bool shrink(ac_memory_plan *p, const lengths *l)
{
    if (p->tokens <= l->unit) return false;
    if (p->micro_batch) p->micro_batch = (p->micro_batch < l->rows ? p->micro_batch : l->rows) / 2;
    else p->micro_tokens = (p->tokens < p->micro_tokens ? p->tokens : p->micro_tokens) / 2;
    if (p->micro_batch == 0 && p->micro_tokens == 0) p->micro_batch = 1;
    return true;
}

/* With what is left, and only then: it saves a few percent of a step. */
static void expand_ahead(ac_memory_plan *p, const job *j)
{
    p->ahead = p->on_device && p->limit && ac_model_decode_bytes(j->m) > 0;
    if (!p->ahead) return;
    count(p, j);
    if (p->peak <= p->limit) return;
    p->ahead = false;
    count(p, j);
}

/* The first choice that fits, or the smallest. */
static void choose(ac_memory_plan *p, const job *j)
{
    const ac_recompute asked = j->ask->recompute;
    const size_t micro_batch = j->o->micro_batch;
    const size_t micro_tokens = micro_batch || j->o->micro_tokens ? j->o->micro_tokens : ac_model_device(j->m)->call_tokens;
    *p = (ac_memory_plan){ .limit = j->ask->limit };
    for (int block = asked == AC_RECOMPUTE_BLOCK; block <= (asked != AC_RECOMPUTE_NONE); block++) {
        p->recompute = block;
        p->micro_batch = micro_batch;
        p->micro_tokens = micro_tokens;
        do {
            count(p, j);
            p->fits = !p->limit || p->peak <= p->limit;
            p->shrunk = p->micro_batch != micro_batch || p->micro_tokens != micro_tokens ||
                        (p->recompute && asked == AC_RECOMPUTE_AUTO);
            if (p->fits) {
                expand_ahead(p, j);
                return;
            }
        } while (shrink(p, &j->len));
    }
}

static uint64_t least_of(const job *j, ac_recompute recompute)
{
    ac_memory_plan p;
    job least = *j;
    const ac_memory_ask ask = { .recompute = recompute, .limit = 1, .held = j->ask->held,
                                .resume = j->ask->resume, .workers = j->ask->workers };
    least.ask = &ask;
    choose(&p, &least);
    return p.peak;
}

ac_status ac_memory_plan_make(ac_memory_plan *out, ac_train_opts *o, const ac_memory_ask *ask, const ac_model *m,
                              const ac_dataset *train, const ac_dataset *valid, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_adapter *ad = NULL;
    ac_memory_plan p = { 0 };
    job j = { .o = o, .ask = ask, .m = m, .train = train, .valid = valid };
    ac_status st = measure_rows(&j.len, o, train, &arena, err);
    if (!st) st = ac_adapter_outline(&ad, m, &o->lora, err);
    j.ad = ad;
    if (!st) {
        choose(&p, &j);
        p.n_params = ad->n_params;
        p.state_bytes = ac_optimizer_state_bytes(o, ad);
        p.least = least_of(&j, ask->recompute);
        p.least_recomputed = least_of(&j, AC_RECOMPUTE_BLOCK);
    }
    ac_adapter_close(&ad);
    ac_arena_release(&arena);
    if (st) return st;
    o->micro_batch = p.micro_batch;
    o->micro_tokens = p.micro_tokens;
    o->recompute = p.recompute;
    o->ahead = p.ahead;
    *out = p;
    return AC_OK;
}
