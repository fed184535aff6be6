/* train/forecast.c - how long a run will take, from a few of its real steps.
 *
 * The work of a call is counted in products (matrices, attention, the output over supervised tokens), so that steps of
 * other lengths can be told from those that were run. Steps are taken from the first epoch's plan where its work is in the
 * middle, a quarter and three quarters, then at other shares, until there was enough time; each is run whole: gradient, norm
 * and optimizer, on parameters that nobody keeps. Validation is timed on some of its calls. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "train/train_int.h"

#define LEAST_STEPS 3
#define MOST_STEPS 40
#define LEAST_NS 1500000000

typedef struct {
    const ac_forecast_job *job;
    const ac_train_opts *o;
    ac_model *m;
    ac_arena arena;
    ac_adapter *ad;
    ac_optimizer opt;
    ac_epoch_plan plan;
    ac_micro micro;
    double *work;                    /* of each step of the first epoch */
    size_t *by_work;                 /* their numbers, least work first */
    uint64_t taken;                  /* optimizer steps */
    double step_seconds, step_work, optim_seconds;
} forecast;

static double since(int64_t start_ns)
{
    return (double)(ac_mono_ns() - start_ns) * 1e-9;
}

/* ---- work ------------------------------------------------------------------------------------------------ */

/* Multiplications of a unit; with gradients, backward's too. */
static double unit_work(const forecast *f, const ac_dataset *d, const uint32_t *row, size_t first, size_t k, bool grad)
{
    const ac_model_config *c = ac_model_get_config(f->m);
    const double h = (double)c->hidden, qw = (double)(c->n_heads * c->head_dim), kw = (double)(c->n_kv_heads * c->head_dim);
    const double layer = 2 * h * qw + 2 * h * kw + 3 * h * (double)c->ffn, layers = (double)c->n_layers;
    const bool full = f->o->lora.tune == AC_TUNE_FULL;
    const double passes = !grad ? 1 : (full ? 3 : 2) + (f->o->recompute ? 1 : 0), outs = !grad ? 1 : full ? 3 : 2;
    double tokens = 0, targets = 0, squares = 0;
    for (size_t i = 0; i < k; i++) {
        const ac_sample *s = &d->sample[row ? row[i] : first + i];
        tokens += (double)s->n;
        targets += (double)s->n_target;
        squares += (double)s->n * (double)s->n;
    }
    return layers * (tokens * layer * passes + squares * qw * (grad ? 3.5 + (f->o->recompute ? 1 : 0) : 1))
           + targets * h * (double)c->vocab * outs;
}

static double step_work(const forecast *f, size_t step)
{
    const ac_epoch_plan *p = &f->plan;
    double sum = 0;
    for (size_t u = p->step_first[step]; u < p->step_first[step + 1]; u++)
        sum += unit_work(f, f->job->train, p->row + p->unit_first[u], 0, p->unit_first[u + 1] - p->unit_first[u], true);
    return sum;
}

typedef struct {
    double work;
    size_t step;
} weighed;

static int less_work(const void *x, const void *y)
{
    const weighed *a = x, *b = y;
    if (a->work < b->work || a->work > b->work) return a->work < b->work ? -1 : 1;
    return a->step < b->step ? -1 : a->step > b->step;
}

static ac_status weigh(forecast *f, ac_err *err)
{
    const size_t n = f->plan.n_steps;
    weighed *w = ac_arena_alloc_array(&f->arena, n, sizeof *w);
    f->work = ac_arena_alloc_array(&f->arena, n, sizeof *f->work);
    f->by_work = ac_arena_alloc_array(&f->arena, n, sizeof *f->by_work);
    if (!w || !f->work || !f->by_work) return ac_fail_nomem(err, n * sizeof *w);
    for (size_t i = 0; i < n; i++) w[i] = (weighed){ f->work[i] = step_work(f, i), i };
    qsort(w, n, sizeof *w, less_work);
    for (size_t i = 0; i < n; i++) f->by_work[i] = w[i].step;
    return AC_OK;
}

/* All steps of the run: whole epochs, and the beginning of one more. */
static double run_work(const forecast *f, uint64_t steps)
{
    const uint64_t n = f->plan.n_steps;
    double epoch = 0, rest = 0;
    for (size_t i = 0; i < n; i++) {
        epoch += f->work[i];
        if (i < steps % n) rest += f->work[i];
    }
    return (double)(steps / n) * epoch + rest;
}

/* ---- running --------------------------------------------------------------------------------------------- */

/* The calls of a step until the time is up, but one at least; *done: the share of the step's tokens. */
static ac_status run_calls(forecast *f, const ac_unit_list *u, double seconds, double *done, ac_err *err)
{
    const int64_t start = ac_mono_ns();
    const ac_pass pass = { .inv_n = 1.0 / (double)(u->supervised ? u->supervised : 1), .seed = f->o->seed, .step = 1,
                           .dropout = f->o->dropout, .recompute = f->o->recompute };
    uint64_t tokens = 0;
    ac_status st = AC_OK;
    ac_unit_list part = *u;                              /* a call stays in its part of the step */
    size_t p = 0;
    for (size_t i = 0, n; !st && i < u->n && (i == 0 || since(start) < seconds); i += n) {
        while ((part.n = ac_shard_units(u->n, f->o->shards, p).to) <= i) p++;
        n = ac_units_at_once(f->micro, &part, i);
        st = ac_model_grad(f->m, f->ad, u->unit + i, n, &pass, f->opt.grad, u->loss + i, err);
        for (size_t k = 0; k < n; k++) tokens += u->unit[i + k].n;
    }
    *done = u->tokens ? (double)tokens / (double)u->tokens : 1;
    return st;
}

static ac_status run_step(forecast *f, size_t step, double seconds, bool count, ac_err *err)
{
    ac_arena a = { 0 };
    ac_unit_list u = { 0 };
    double norm = 0, done = 0;
    const int64_t start = ac_mono_ns();
    ac_status st = ac_units_of_step(&u, f->job->train, &f->plan, step, &a, err);
    if (!st) st = ac_optimizer_zero_grad(&f->opt, err);
    if (!st) st = run_calls(f, &u, seconds, &done, err);
    const double calls = since(start);
    if (!st) st = ac_optimizer_norm(&f->opt, &norm, err);
    if (!st) st = ac_optimizer_step(&f->opt, f->o, f->o->lr, norm, ++f->taken, err);
    if (!st && count) {
        f->step_seconds += calls;
        f->step_work += f->work[step] * done;
        f->optim_seconds += since(start) - calls;
    }
    ac_arena_release(&a);
    return st;
}

static ac_status tell(const forecast *f, ac_event_kind kind, const char *text, uint64_t done, uint64_t total, ac_err *err)
{
    const ac_event e = { .kind = kind, .text = text, .unit = "steps", .done = done, .total = total };
    return ac_emit(f->job->sink, &e, err);
}

/* Shares of the steps by work: 1/2, 1/4, 3/4, 1/8, 3/8, ... */
static size_t pick(const forecast *f, size_t i)
{
    size_t half = 2;
    i++;
    while (half <= i) half *= 2;
    const double share = ((double)(i - half / 2) * 2 + 1) / (double)half;
    const size_t n = f->plan.n_steps, at = (size_t)(share * (double)n);
    return f->by_work[at < n ? at : n - 1];
}

static ac_status run_steps(forecast *f, ac_forecast *out, ac_err *err)
{
    const int64_t start = ac_mono_ns();
    const double most = f->job->seconds;
    ac_status st = tell(f, AC_EV_STAGE, "measure", 0, LEAST_STEPS, err);
    if (!st) st = run_step(f, pick(f, 0), 0, false, err);                /* the first call of all is slower */
    size_t n = 0;
    while (!st && n < MOST_STEPS) {
        const double left = most - since(start);
        if (n && (left <= 0 || (n >= LEAST_STEPS && ac_mono_ns() - start > LEAST_NS))) break;
        st = run_step(f, pick(f, n), left > 0 ? left : 0, true, err);
        n++;
        if (!st) st = tell(f, AC_EV_PROGRESS, NULL, n, n < LEAST_STEPS ? LEAST_STEPS : n, err);
    }
    out->measured_steps = n;
    return st ? st : tell(f, AC_EV_STAGE_END, "measure", n, n, err);
}

/* ---- validation ------------------------------------------------------------------------------------------ */

/* Work of validation unit `at`: its rows follow one another, and each of its documents is one. */
static double valid_work(const forecast *f, const ac_unit_list *u, size_t at, size_t *row)
{
    const double w = unit_work(f, f->job->valid, NULL, *row, u->unit[at].n_docs, false);
    *row += u->unit[at].n_docs;
    return w;
}

/* Every k-th call, so that short and long rows are seen, within a quarter of the time. */
static ac_status run_valid(forecast *f, ac_forecast *out, ac_err *err)
{
    ac_unit_list u = { 0 };
    if (!f->job->valid || !f->job->valid->n) return AC_OK;
    ac_status st = ac_units_of_all(&u, f->job->valid, f->o, &f->arena, err);
    double all = 0, seen = 0, seconds = 0;
    size_t row = 0, calls = 0;
    for (size_t i = 0; !st && i < u.n; i++) all += valid_work(f, &u, i, &row);
    row = 0;
    for (size_t i = 0; !st && i < u.n; i += ac_units_at_once(f->micro, &u, i)) calls++;
    const size_t every = calls > 16 ? calls / 16 : 1;
    for (size_t i = 0, c = 0, n; !st && i < u.n; i += n, c++) {
        n = ac_units_at_once(f->micro, &u, i);
        double work = 0;
        for (size_t k = 0; k < n; k++) work += valid_work(f, &u, i + k, &row);
        if (c % every || (seen > 0 && seconds > f->job->seconds / 4)) continue;
        const int64_t start = ac_mono_ns();
        st = ac_model_nll(f->m, f->ad, u.unit + i, n, u.loss + i, NULL, err);
        seconds += since(start);
        seen += work;
    }
    if (!st && seen > 0) out->eval_seconds = seconds / seen * all;
    return st;
}

/* ---- the forecast ------------------------------------------------------------------------------------------ */

static uint64_t times(uint64_t total, uint64_t every, uint64_t per_epoch)
{
    const uint64_t k = every ? every : per_epoch;
    return total / k + (total % k != 0);
}

ac_status ac_forecast_counts(ac_forecast *f, const ac_train_opts *o, const ac_dataset *train, const ac_dataset *valid, ac_err *err)
{
    if (train->n == 0) return ac_fail(err, AC_EFORMAT, "there is no training row; expected at least one");
    const uint64_t per_epoch = ac_train_steps_per_epoch(o, train->n);
    f->steps = ac_train_total_steps(o, train->n);
    f->saves = times(f->steps, o->save_every, per_epoch);
    f->evals = valid && valid->n ? times(f->steps, o->eval_every, per_epoch) + 1 : 0;
    f->tokens = (uint64_t)((double)train->n_tokens * (double)f->steps / (double)per_epoch);
    return AC_OK;
}

static ac_status open_all(forecast *f, ac_err *err)
{
    ac_device *dev = ac_model_device(f->m);
    if (!dev->op->set_numerics(dev, f->o->numerics))
        return ac_fail(err, AC_EARG, "%s does not compute numerics %s; use fp32 there", ac_device_name(dev),
                       ac_numerics_name(f->o->numerics));
    ac_status st = ac_adapter_open(&f->ad, f->m, &f->o->lora, err);
    if (!st) st = ac_optimizer_open(&f->opt, dev, f->ad, f->o, err);
    if (!st) ac_adapter_init(f->ad, f->o->seed);
    if (!st) ac_optimizer_touch(&f->opt);
    if (!st) st = ac_memory_reserve(f->o, f->m, f->ad, f->job->train, f->job->valid, err);
    if (!st) st = ac_optimizer_keep(&f->opt, err);
    if (!st) st = ac_epoch_plan_make(&f->plan, f->job->train, f->o, 0, &f->arena, err);
    return st ? st : weigh(f, err);
}

ac_status ac_train_forecast(ac_forecast *out, const ac_forecast_job *job, ac_err *err)
{
    forecast f = { .job = job, .o = job->opts, .m = job->model, .micro = { job->opts->micro_batch, job->opts->micro_tokens } };
    ac_forecast r = { .steps = 0 };
    const int64_t start = ac_mono_ns();
    ac_status st = ac_forecast_counts(&r, job->opts, job->train, job->valid, err);
    if (!st) st = open_all(&f, err);
    r.open_seconds = since(start);
    if (!st) st = run_steps(&f, &r, err);
    if (!st) st = run_valid(&f, &r, err);
    if (!st) {
        const double a_step = f.optim_seconds / (double)r.measured_steps;
        r.train_seconds = f.step_seconds / f.step_work * run_work(&f, r.steps) + a_step * (double)r.steps;
        r.measure_seconds = since(start);
        *out = r;
    }
    ac_device *dev = ac_model_device(job->model);
    dev->op->set_numerics(dev, AC_NUM_FP32);
    ac_model_trim(job->model);
    ac_optimizer_close(&f.opt);
    ac_adapter_close(&f.ad);
    ac_arena_release(&f.arena);
    return st;
}
