/* train/loop.c - the run: steps, validation, checkpoints, and what ends it (T1 to T8).
 *
 * Between two steps a run is its ac_train_state and four arrays (S1). The loop below looks at that state alone to
 * decide what comes next - evaluate, save, stop, step - so a resumed run takes the same decisions as one that was
 * never interrupted, whatever moment it was interrupted at. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "train/train_int.h"

#define UNDONE_MAX 3

typedef struct {
    const ac_train_job *job;
    const ac_train_opts *o;
    const ac_sink *sink;
    ac_arena arena, plan_arena;      /* the run's; the current epoch's */
    char *adapter_dir, *trace_path;
    ac_lockfile *lock;
    ac_appender *trace;
    ac_adapter *ad;
    ac_optimizer opt;
    ac_fold fold;
    ac_crew crew;
    ac_train_opts own;               /* of a worker: with the leader's choice */
    float *best;
    ac_ckpt ckpt;
    ac_unit_list valid;
    ac_epoch_plan plan;
    uint64_t plan_epoch;
    bool has_plan;
    uint64_t per_epoch, total;
    ac_train_state s, good;          /* now; after the last step that was not undone */
    bool has_good, has_saved;
    uint64_t saved_step;
    ac_train_reach reach;            /* of a forward as planned */
    ac_train_now now;                /* what control sees and sets */
    ac_micro micro;                  /* what a forward takes at most now */
    ac_train_order asked;            /* by control while there was nothing whole; GO_ON: nothing */
    bool drop;                       /* control wants no checkpoint at the end */
} run;

static bool is_finite(double v)
{
    return v - v == 0;
}

/* Rank 0, or alone: it writes, decides and tells. */
static bool leads(const run *r)
{
    return ac_crew_rank(&r->crew) == 0;
}

static bool is_full(const run *r)
{
    return r->o->lora.tune == AC_TUNE_FULL;
}

static double seconds_since(int64_t start_ns)
{
    return (double)(ac_mono_ns() - start_ns) / 1e9;
}

/* ---- saving --------------------------------------------------------------------------------------------- */

static ac_status save_state(run *r, const ac_train_state *s, ac_err *err)
{
    if (!leads(r) || (r->has_saved && r->saved_step == s->step)) return AC_OK;
    r->ckpt.head.epoch = s->step / r->per_epoch;
    r->ckpt.head.epoch_step = s->step % r->per_epoch;
    const ac_ckpt_data d = { .ad = r->ad, .state = r->opt.array, .best = r->best };
    ac_status st = ac_appender_sync(r->trace, err);
    if (!st) st = ac_optimizer_pull(&r->opt, true, err);
    if (!st) st = ac_ckpt_write(&r->ckpt, s, &d, err);
    if (!st) {
        r->has_saved = true;
        r->saved_step = s->step;
    }
    return st;
}

/* ---- running units -------------------------------------------------------------------------------------- */

/* A smaller micro-batch takes fewer tokens too, else the memory of one that tokens bound would not shrink. */
static void take_settings(run *r, size_t micro, bool recompute)
{
    const bool all = micro >= r->reach.units;
    const size_t tokens = r->reach.units ? r->reach.tokens * micro / r->reach.units : 0;
    const bool smaller = micro < r->now.micro || (recompute && !r->now.recompute);
    r->now.micro = micro;
    r->now.recompute = recompute;
    r->micro = all ? (ac_micro){ r->o->micro_batch, r->o->micro_tokens } : (ac_micro){ micro, tokens ? tokens : 1 };
    if (!smaller) return;
    ac_model_trim(r->job->model);
    ac_mem_give_back();
}

static ac_status look_at_leader(run *r, ac_err *err)
{
    ac_crew_settings s = { 0 };
    bool any = false;
    const ac_status st = ac_crew_look(&r->crew, &any, &s, err);
    if (any) take_settings(r, (size_t)s.micro, s.recompute != 0);
    return st;
}

/* AC_ECANCEL without a text when the caller wants to stop. A checkpoint holds the last whole step: parameters and
 * moments change at a step's end alone, so that the gradient of the step in flight goes on growing after it. */
static ac_status at_boundary(run *r, ac_err *err)
{
    if (!leads(r)) return look_at_leader(r, err);
    if (!r->job->control) return AC_OK;
    for (;;) {
        ac_train_now now = r->now;
        now.step = r->s.step;
        now.has_durable = r->has_saved;
        now.durable = r->has_saved ? r->saved_step : 0;
        const ac_train_order order = r->asked ? r->asked : r->job->control(r->job->control_ctx, &now);
        r->asked = AC_TRAIN_GO_ON;
        r->now.waited_ns = now.waited_ns;
        if (now.micro && (now.micro != r->now.micro || now.recompute != r->now.recompute)) {
            take_settings(r, now.micro, now.recompute);
            ac_crew_tell(&r->crew, (ac_crew_settings){ now.micro, now.recompute });
        }
        r->drop = order == AC_TRAIN_DROP;
        if (order == AC_TRAIN_STOP || order == AC_TRAIN_DROP) return AC_ECANCEL;
        if (order != AC_TRAIN_SAVE) return AC_OK;
        const ac_status st = save_state(r, &r->s, err);
        if (st) return st;
    }
}

/* While others are waited for, the same holds as between two units: nothing of the step in flight is needed. */
static ac_status while_waiting(void *ctx, ac_err *err)
{
    return at_boundary(ctx, err);
}

/* Between the end of a step and its record there is nothing whole to save: an order waits for the next boundary, and one to end
 * ends this wait. */
static ac_status while_agreeing(void *ctx, ac_err *err)
{
    run *r = ctx;
    (void)err;
    if (r->job->control && !r->asked) {
        ac_train_now now = r->now;
        now.step = r->s.step;
        now.has_durable = r->has_saved;
        now.durable = r->has_saved ? r->saved_step : 0;
        r->asked = r->job->control(r->job->control_ctx, &now);
        r->now.waited_ns = now.waited_ns;
    }
    return r->asked == AC_TRAIN_STOP || r->asked == AC_TRAIN_DROP ? AC_ECANCEL : AC_OK;
}

/* Some of the units, a micro-batch at a time; with pass their gradients are added to grad. */
static ac_status run_units(run *r, const ac_unit_list *all, ac_span_of_units some, ac_pass *pass, float *grad, ac_err *err)
{
    ac_status st = AC_OK;
    ac_unit_list list = *all;
    const ac_unit_list *u = &list;
    list.n = some.to;
    for (size_t i = some.from, n; !st && i < u->n; i += n) {
        st = at_boundary(r, err);
        if (st) break;
        n = ac_units_at_once(r->micro, u, i);
        if (pass) {
            pass->recompute = r->now.recompute;
            st = ac_model_grad(r->job->model, r->ad, u->unit + i, n, pass, grad, u->loss + i, err);
        } else {
            st = ac_model_nll(r->job->model, r->ad, u->unit + i, n, u->loss + i, NULL, err);
        }
    }
    return st;
}

static double sum_loss(const ac_unit_list *u, ac_span_of_units some)
{
    double sum = 0;
    for (size_t i = some.from; i < some.to; i++) sum += u->loss[i];
    return sum;
}

/* Gradient and loss of the whole step: part after part, folded; then with those of the other workers. */
static ac_status run_step(run *r, const ac_unit_list *u, ac_pass *pass, double *loss, ac_err *err)
{
    ac_status st = AC_OK;
    const size_t own = r->o->shards / ac_crew_size(&r->crew), first = ac_crew_rank(&r->crew) * own;
    const ac_idle idle = { while_waiting, r };
    ac_fold_begin(&r->fold);
    for (size_t p = first; !st && p < first + own; p++) {
        const ac_span_of_units part = ac_shard_units(u->n, r->o->shards, p);
        float *grad = NULL;
        st = ac_fold_next(&r->fold, &grad, err);
        if (!st) st = run_units(r, u, part, pass, grad, err);
        if (!st) st = ac_fold_end(&r->fold, sum_loss(u, part), err);
    }
    double sum = r->fold.loss[0];
    if (!st) st = ac_crew_sum(&r->crew, r->opt.grad, r->ad->n_params, &sum, &idle, err);
    *loss = sum / (double)u->supervised;
    return st;
}

/* ---- validation (T4) ------------------------------------------------------------------------------------ */

static bool due(const run *r, uint64_t every)
{
    return r->s.step > 0 && r->s.step % (every ? every : r->per_epoch) == 0;
}

static bool finished(const run *r)
{
    return r->s.step >= r->total || r->s.stopped_early;
}

/* After an undone step the parameters are those that were judged before. */
static bool needs_eval(const run *r)
{
    if (r->valid.n == 0 || r->s.last_eval_step == r->s.step || r->s.undone_in_row >= UNDONE_MAX) return false;
    if (r->s.step == 0 || r->s.step >= r->total) return true;
    return r->s.undone_in_row == 0 && due(r, r->o->eval_every);
}

static ac_status evaluate(run *r, ac_err *err)
{
    const int64_t start = ac_mono_ns(), waited = r->now.waited_ns;
    const ac_span_of_units all = { 0, r->valid.n };
    const ac_idle idle = { while_waiting, r };
    ac_status st = run_units(r, &r->valid, ac_crew_units(&r->crew, r->valid.n), NULL, NULL, err);
    if (!st) st = ac_crew_gather(&r->crew, r->valid.loss, r->valid.n, &idle, err);
    if (st) return st;
    ac_train_state *s = &r->s;
    const double loss = sum_loss(&r->valid, all) / (double)r->valid.supervised, seconds = seconds_since(start + (r->now.waited_ns - waited));
    s->eval_seconds += seconds;
    s->last_eval_step = s->step;
    bool best = false;
    if (leads(r)) st = ac_optimizer_pull(&r->opt, false, err);
    if (st) return st;
    if (s->step == 0) {
        s->start_valid_loss = loss;
    } else if (is_finite(loss) && (!s->has_best || loss < s->best_valid_loss)) {
        best = true;
        s->has_best = true;
        s->best_step = s->step;
        s->best_valid_loss = loss;
        s->evals_since_best = 0;
        if (r->best) memcpy(r->best, r->ad->params, r->ad->n_params * sizeof *r->best);
    } else {
        s->evals_since_best++;
    }
    if (r->o->patience && s->evals_since_best >= r->o->patience) s->stopped_early = true;
    const ac_event e = { .kind = AC_EV_EVAL, .step = s->step, .epoch = s->step / r->per_epoch, .loss = loss,
                         .seconds = seconds, .supervised_tokens = r->valid.supervised, .tokens = r->valid.tokens,
                         .done = s->step, .total = r->total, .flag = best };
    return ac_emit(r->sink, &e, err);
}

/* ---- one step ------------------------------------------------------------------------------------------- */

static ac_status plan_for(run *r, uint64_t epoch, ac_err *err)
{
    if (r->has_plan && r->plan_epoch == epoch) return AC_OK;
    r->has_plan = false;
    ac_arena_release(&r->plan_arena);
    const ac_status st = ac_epoch_plan_make(&r->plan, r->job->train, r->o, epoch, &r->plan_arena, err);
    r->has_plan = !st;
    r->plan_epoch = epoch;
    return st;
}

/* "4, 9, 17 and 5 more": the file's lines of the step's rows. */
static void name_rows(const run *r, size_t in_epoch, ac_str *out)
{
    const uint32_t *row = r->plan.row;
    const uint32_t from = r->plan.unit_first[r->plan.step_first[in_epoch]];
    const uint32_t to = r->plan.unit_first[r->plan.step_first[in_epoch + 1]];
    for (uint32_t i = from; i < to && i < from + 8; i++) {
        ac_str_appendf(out, "%s%zu", i > from ? ", " : "", r->job->train->sample[row[i]].line);
    }
    if (to - from > 8) ac_str_appendf(out, " and %u more", to - from - 8);
}

static ac_status warn_undone(run *r, uint64_t step, size_t in_epoch, ac_err *err)
{
    ac_str rows = { 0 }, text = { 0 };
    name_rows(r, in_epoch, &rows);
    ac_str_appendf(&text, "step %" PRIu64 " was undone: its loss or gradient is not finite (rows at lines %s)", step,
                   ac_str_c(&rows));
    const ac_event e = { .kind = AC_EV_WARN, .step = step, .text = ac_str_c(&text) };
    const ac_status st = ac_emit(r->sink, &e, err);
    ac_str_release(&rows);
    ac_str_release(&text);
    return st;
}

typedef struct {
    uint64_t step, epoch, tokens, supervised;
    size_t in_epoch;
    double loss, norm, lr;
    bool undone;
    int64_t start_ns, waited_ns;
} outcome;

/* Gradient of the whole step into opt.grad; loss and norm, finite or not. */
static ac_status measure(run *r, outcome *x, ac_err *err)
{
    ac_arena a = { 0 };
    ac_unit_list u = { 0 };
    ac_status st = plan_for(r, x->epoch, err);
    if (!st) st = ac_units_of_step(&u, r->job->train, &r->plan, x->in_epoch, &a, err);
    if (!st && u.supervised == 0) {
        st = ac_fail(err, AC_EFORMAT, "step %" PRIu64 " has no supervised token; expected at least one a row", x->step);
    }
    if (!st) {
        ac_pass pass = { .inv_n = 1.0 / (double)u.supervised, .seed = r->o->seed, .step = x->step,
                         .dropout = r->o->dropout };
        st = run_step(r, &u, &pass, &x->loss, err);
    }
    if (!st) st = ac_optimizer_norm(&r->opt, &x->norm, err);
    if (!st) {
        x->tokens = u.tokens;
        x->supervised = u.supervised;
        /* A norm over 1e15 would overflow the second moment: as good as not finite. */
        x->undone = !is_finite(x->loss) || !(x->norm <= 1e15);
    }
    ac_arena_release(&a);
    return st;
}

/* Only what all have alike is recorded. */
static ac_status agree(run *r, uint64_t step, const ac_sha256 *trace, ac_err *err)
{
    double params = 0;
    if (!r->crew.t) return AC_OK;
    const ac_idle idle = { while_agreeing, r };
    const ac_status st = ac_optimizer_checksum(&r->opt, &params, err);
    return st ? st : ac_crew_agree(&r->crew, step, trace, params, &idle, err);
}

static ac_status record(run *r, const outcome *x, ac_err *err)
{
    ac_train_state s = r->s;
    char line[AC_TRACE_LINE_MAX];
    const size_t n = ac_trace_line(line, &s.trace, x->step, x->loss, x->norm, x->undone);
    ac_status st = agree(r, x->step, &s.trace, err);
    if (!st && leads(r)) st = ac_appender_line(r->trace, (ac_view){ line, n }, err);
    if (st) return st;
    s.trace_bytes += n + 1;
    s.step = x->step;
    s.tokens += x->tokens;
    s.supervised_tokens += x->supervised;
    if (x->undone) {
        s.undone++;
        s.undone_in_row++;
    } else {
        if (s.optimizer_steps++ == 0) s.first_loss = x->loss;
        s.last_loss = x->loss;
        s.undone_in_row = 0;
    }
    const double seconds = seconds_since(x->start_ns + (r->now.waited_ns - x->waited_ns));
    s.train_seconds += seconds;
    r->s = s;
    const ac_event e = { .kind = AC_EV_STEP, .step = x->step, .epoch = x->epoch, .done = x->step, .total = r->total,
                         .loss = x->loss, .grad_norm = x->norm, .lr = x->lr, .seconds = seconds, .tokens = x->tokens,
                         .supervised_tokens = x->supervised, .unit = "steps", .flag = x->undone };
    st = ac_emit(r->sink, &e, err);
    if (!st && x->undone) st = warn_undone(r, x->step, x->in_epoch, err);
    return st;
}

static ac_status one_step(run *r, ac_err *err)
{
    outcome x = { .step = r->s.step + 1, .start_ns = ac_mono_ns(), .waited_ns = r->now.waited_ns };
    x.epoch = r->s.step / r->per_epoch;
    x.in_epoch = (size_t)(r->s.step % r->per_epoch);
    x.lr = ac_lr_at(r->o, x.step, r->total);
    ac_status st = measure(r, &x, err);
    if (!st && !x.undone) {
        st = ac_optimizer_step(&r->opt, r->o, x.lr, x.norm, r->s.optimizer_steps + 1, err);
    }
    return st ? st : record(r, &x, err);
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

/* T6: parameters and moments are still those of the last good step. */
static ac_status diverged(run *r, ac_err *err)
{
    if (!leads(r)) return ac_fail(err, AC_EDIVERGED, "three steps in a row were not finite");
    const bool kept = !r->has_good || (r->has_saved && r->saved_step >= r->good.step);
    const ac_status st = kept ? AC_OK : save_state(r, &r->good, err);
    if (st) return st;
    return ac_fail(err, AC_EDIVERGED, "steps %" PRIu64 " to %" PRIu64 " gave a loss or gradient that is not finite; the "
                   "last good step is kept as a checkpoint; look at those rows, or lower lr in the contract",
                   r->s.step - UNDONE_MAX + 1, r->s.step);
}

/* The step in flight has changed nothing yet, so the last whole one can be kept. */
static ac_status left_alone(run *r, ac_err *err)
{
    ac_err own = { "" };
    const ac_status st = save_state(r, &r->s, &own);
    if (st) return ac_fail(err, st, "%s", own.text);
    const char *text = err && err->text[0] ? err->text : "a worker is gone";
    ac_err all = { "" };
    (void)ac_fail(&all, AC_ECANCEL, "%s; a checkpoint of step %" PRIu64 " of %" PRIu64 " was written, resume to go on, with as many workers "
                  "as you like", text, r->s.step, r->total);
    if (err) *err = all;
    return AC_ECANCEL;
}

static ac_status cancelled(run *r, ac_err *err)
{
    if (!leads(r)) return ac_fail(err, AC_ECANCEL, "the leader ended the run");
    if (r->drop)
        return ac_fail(err, AC_ECANCEL, "left in step %" PRIu64 " of %" PRIu64 "; resume to go on after the newest checkpoint",
                       r->s.step + 1, r->total);
    const ac_status st = save_state(r, &r->s, err);
    if (st) return st;
    return ac_fail(err, AC_ECANCEL, "stopped after step %" PRIu64 " of %" PRIu64 "; a checkpoint was written, resume to "
                   "go on", r->s.step, r->total);
}

static ac_status steps(run *r, ac_err *err)
{
    ac_status st = AC_OK;
    while (!st) {
        if (needs_eval(r)) st = evaluate(r, err);
        if (st) break;
        if (r->s.undone_in_row >= UNDONE_MAX) return diverged(r, err);
        if (r->s.undone_in_row == 0) {
            r->good = r->s;
            r->has_good = true;
        }
        if (finished(r) || due(r, r->o->save_every)) st = save_state(r, &r->s, err);
        if (st || finished(r)) break;
        if (leads(r) && r->job->stop_after_step && r->s.step >= r->job->stop_after_step) st = AC_ECANCEL;
        if (!st) st = one_step(r, err);
    }
    if (st == AC_EIO && r->crew.lost && leads(r)) return left_alone(r, err);
    return st == AC_ECANCEL ? cancelled(r, err) : st;
}

/* ---- beginning and end ---------------------------------------------------------------------------------- */

/* A run whose guard was killed still writes its checkpoint. */
static ac_status take_lock(run *r, const char *path, ac_err *err)
{
    const int64_t until = ac_mono_ns() + (r->job->resume ? r->job->lock_wait_ms : 0) * 1000000;
    for (;;) {
        const bool last = ac_mono_ns() >= until;
        const ac_status st = ac_lockfile_take(&r->lock, path, last ? err : NULL);
        if (st != AC_ESTATE || last) {
            return st && !last ? ac_lockfile_take(&r->lock, path, err) : st;
        }
        ac_sleep_ms(50);
    }
}

static ac_status make_paths(run *r, ac_err *err)
{
    r->adapter_dir = ac_path_join(&r->arena, r->job->run_dir, is_full(r) ? "model" : "adapter");
    r->trace_path = ac_path_join(&r->arena, r->job->run_dir, "trace.jsonl");
    r->ckpt.dir = ac_path_join(&r->arena, r->job->run_dir, "checkpoints");
    const char *lock = ac_path_join(&r->arena, r->job->run_dir, "train.lock");
    if (!r->adapter_dir || !r->trace_path || !r->ckpt.dir || !lock) return ac_fail_nomem(err, 4096);
    if (r->job->resume && !ac_path_is_dir(r->ckpt.dir)) {
        return ac_fail(err, AC_ENOENT, "%s: no such folder, so there is nothing to resume; start the run without resume",
                       r->ckpt.dir);
    }
    const ac_status st = ac_mkdir_p(r->ckpt.dir, err);
    return st ? st : take_lock(r, lock, err);
}

static ac_status make_arrays(run *r, ac_err *err)
{
    ac_status st = ac_adapter_open(&r->ad, r->job->model, &r->o->lora, err);
    if (!st) st = ac_optimizer_open(&r->opt, ac_model_device(r->job->model), r->ad, r->o, err);
    if (!st) st = ac_fold_open(&r->fold, ac_model_device(r->job->model), r->opt.grad, r->ad->n_params,
                               r->o->shards / ac_crew_size(&r->crew), err);
    if (!st && r->job->valid && r->job->valid->n) {
        st = ac_units_of_all(&r->valid, r->job->valid, r->o, &r->arena, err);
        if (!st && r->valid.supervised == 0) {
            st = ac_fail(err, AC_EFORMAT, "the validation rows have no supervised token; expected at least one");
        }
        if (!st && leads(r) && !(r->best = ac_calloc(r->ad->n_params, sizeof *r->best))) {
            st = ac_fail_nomem(err, (unsigned long long)r->ad->n_params * sizeof *r->best);
        }
    }
    return st;
}

static ac_status start_adapter(run *r, ac_err *err)
{
    if (!r->job->init_adapter) {
        ac_adapter_init(r->ad, r->o->seed);
        return AC_OK;
    }
    ac_adapter *from = NULL;
    ac_status st = ac_adapter_load(&from, r->job->model, r->job->init_adapter, err);
    if (!st && (from->n_params != r->ad->n_params || from->spec.tune != r->ad->spec.tune || from->spec.rank != r->ad->spec.rank ||
                from->spec.targets != r->ad->spec.targets || from->n_modules != r->ad->n_modules ||
                memcmp(&from->scale, &r->ad->scale, sizeof from->scale) != 0)) {
        st = ac_fail(err, AC_EARG, "%s: has rank %u, scale %g and %zu modules, the run's options give rank %u, scale %g "
                     "and %zu modules; make them agree", r->job->init_adapter, from->spec.rank, (double)from->scale,
                     from->n_modules, r->ad->spec.rank, (double)r->ad->scale, r->ad->n_modules);
    }
    if (!st) memcpy(r->ad->params, from->params, r->ad->n_params * sizeof *r->ad->params);
    ac_adapter_changed(r->ad);
    ac_adapter_close(&from);
    return st;
}

static ac_status start_fresh(run *r, bool has_checkpoints, ac_err *err)
{
    if (has_checkpoints) {
        return ac_fail(err, AC_EARG, "%s: holds checkpoints already; resume them or train into another folder",
                       r->ckpt.dir);
    }
    r->s.last_eval_step = AC_NO_EVAL;
    r->s.start_valid_loss = r->s.best_valid_loss = r->s.first_loss = r->s.last_loss = (double)NAN;
    ac_status st = start_adapter(r, err);
    if (!st && ac_path_exists(r->trace_path)) st = ac_truncate(r->trace_path, 0, err);
    return st;
}

static ac_status start_again(run *r, ac_err *err)
{
    ac_manifest m;
    char *dir = NULL;
    ac_status st = ac_ckpt_find(&r->ckpt, &m, &dir, &r->arena, err);
    if (!st && m.state.has_best && !r->best) {
        st = ac_fail(err, AC_ECONTRACT, "%s: was made with validation rows, this run has none; give them", dir);
    }
    if (st) return st;
    ac_ckpt_data d = { .ad = r->ad, .state = r->opt.array, .best = r->best };
    st = ac_ckpt_load(dir, &m, r->job->model, &d, err);
    if (!st) st = ac_trace_cut(r->trace_path, m.state.step, m.state.trace_bytes, &m.state.trace, err);
    if (st) return st;
    r->s = m.state;
    r->has_saved = true;
    r->saved_step = m.state.step;
    const char *text = ac_arena_printf(&r->arena, "resuming after step %" PRIu64 " of %" PRIu64, m.state.step, r->total);
    const ac_event e = { .kind = AC_EV_NOTE, .step = m.state.step, .text = text ? text : "resuming" };
    return ac_emit(r->sink, &e, err);
}

static ac_status go_on(run *r, ac_err *err)
{
    char **names = NULL;
    size_t n = 0;
    ac_status st = ac_dir_list(r->ckpt.dir, &r->arena, &names, &n, err);
    if (st || n) return st ? st : start_again(r, err);
    st = start_fresh(r, false, err);
    const ac_event e = { .kind = AC_EV_NOTE, .text = "it was ended before its first checkpoint: from the beginning" };
    return st ? st : ac_emit(r->sink, &e, err);
}

/* All memory that the run will need, taken now: a plan that was accepted is kept to its end. */
static ac_status take_memory(run *r, ac_err *err)
{
    const size_t params = r->ad->n_params * sizeof(float);
    ac_mem_touch(r->ad->params, params);
    ac_mem_touch(r->best, r->best ? params : 0);
    ac_optimizer_touch(&r->opt);
    ac_fold_touch(&r->fold);
    return ac_memory_reserve(r->o, r->job->model, r->ad, r->job->train, r->job->valid, err);
}

/* Empty parts change nothing that is right or wrong, but the reader of `shards: 8` expects eight workers with something to
 * do. The last, short step of an epoch is nothing to speak of. */
static ac_status warn_empty(const run *r, ac_err *err)
{
    if (r->reach.with_empty * 4 <= r->reach.steps) return AC_OK;
    char text[256];
    (void)snprintf(text, sizeof text, "%zu of the %zu step%s of an epoch %s fewer units than method.shards, %zu: parts of them are "
                   "empty, and their workers idle; more rows a step or fewer shards fill them", r->reach.with_empty, r->reach.steps,
                   ac_plural(r->reach.steps), r->reach.with_empty == 1 ? "has" : "have", r->o->shards);
    const ac_event e = { .kind = AC_EV_WARN, .text = text };
    return ac_emit(r->sink, &e, err);
}

/* Before anything is opened: a worker computes as the leader does. */
static ac_status join(run *r, ac_err *err)
{
    const ac_train_job *j = r->job;
    const ac_transport *t = j->workers && j->workers->n > 1 ? j->workers : NULL;
    if (t && (t->n > r->o->shards || (t->n & (t->n - 1)) != 0))
        return ac_fail(err, AC_EARG, "%zu workers for a step of %zu shards; expected a power of two that is at most that", t->n, r->o->shards);
    ac_status st = ac_crew_open(&r->crew, t, ac_model_device(j->model), j->valid ? j->valid->n : 0, err);
    ac_crew_choice c = { r->o->micro_batch, r->o->micro_tokens, r->o->recompute };
    if (!st) st = ac_crew_choose(&r->crew, &c, err);
    if (st || leads(r)) return st;
    r->own = *r->o;
    r->own.micro_batch = (size_t)c.micro_batch;
    r->own.micro_tokens = (size_t)c.micro_tokens;
    r->own.recompute = c.recompute != 0;
    r->o = &r->own;
    return AC_OK;
}

/* What every worker needs. */
static ac_status prepare(run *r, ac_err *err)
{
    const ac_train_job *j = r->job;
    ac_device *dev = ac_model_device(j->model);
    ac_status st = is_full(r) ? ac_full_check(j->model, err) : AC_OK;
    if (!st && j->train->n == 0) st = ac_fail(err, AC_EFORMAT, "there is no training row; expected at least one");
    if (st) return st;
    r->per_epoch = ac_train_steps_per_epoch(r->o, j->train->n);
    r->total = ac_train_total_steps(r->o, j->train->n);
    if (!dev->op->set_numerics(dev, r->o->numerics)) {
        return ac_fail(err, AC_EARG, "%s does not compute numerics %s; choose another device, or other numerics in the "
                       "contract", ac_device_name(dev),
                       ac_numerics_name(r->o->numerics));
    }
    r->ckpt = (ac_ckpt){ .base_name = j->base_name, .dropout = r->o->dropout, .keep = r->o->keep_checkpoints,
                         .sink = r->sink };
    r->ckpt.head.lock = j->lock_hash;
    r->ckpt.head.audit_count = j->audit_count;
    r->ckpt.head.audit_head = j->audit_head;
    r->ckpt.head.total_steps = r->total;
    r->ckpt.head.numerics = r->o->numerics;
    st = ac_train_fingerprint(&r->ckpt.head.fingerprint, r->o, j->train, j->valid, err);
    if (!st) st = ac_train_reach_of(&r->reach, r->o, j->train, is_full(r) && ac_model_get_config(j->model)->tied_output, err);
    if (!st) take_settings(r, r->reach.units, r->o->recompute);
    if (!st && leads(r)) st = warn_empty(r, err);
    return st ? st : make_arrays(r, err);
}

/* The run folder: where the run stands, and nobody else in it. */
static ac_status enter(run *r, ac_err *err)
{
    bool has_checkpoints = false;
    ac_status st = make_paths(r, err);
    if (!st) st = ac_ckpt_sweep(&r->ckpt, &has_checkpoints, err);
    return st ? st : r->job->resume ? go_on(r, err) : start_fresh(r, has_checkpoints, err);
}

static ac_status begin(run *r, ac_err *err)
{
    ac_status st = ac_train_opts_check(r->o, err);
    if (!st) st = join(r, err);
    if (!st) st = prepare(r, err);
    if (!st && leads(r)) st = enter(r, err);
    if (!st) st = take_memory(r, err);
    if (!st) st = ac_crew_start(&r->crew, &r->ckpt.head.fingerprint, &r->s, r->ad, &r->opt, err);
    if (!st) st = ac_optimizer_keep(&r->opt, err);
    if (!st) st = ac_fold_keep(&r->fold, err);
    if (st || !leads(r)) return st;
    const ac_event how = { .kind = r->crew.direct ? AC_EV_NOTE : AC_EV_WARN, .text = r->crew.how };
    if (r->crew.how[0]) st = ac_emit(r->sink, &how, err);
    if (st) return st;
    /* An adapter folder says that the run is finished. */
    if (!finished(r)) st = ac_remove_tree(r->adapter_dir, err);
    if (!st) st = ac_appender_open(&r->trace, r->trace_path, err);
    if (!st) st = ac_dir_sync(r->job->run_dir, err);    /* the names of trace and checkpoints outlive a power cut */
    if (st) return st;
    const ac_event e = { .kind = AC_EV_STAGE, .text = "train", .unit = "steps", .done = r->s.step, .total = r->total };
    return ac_emit(r->sink, &e, err);
}

static ac_status export_adapter(run *r, ac_train_result *out, ac_err *err)
{
    ac_status st = ac_optimizer_pull(&r->opt, false, err);
    if (st) return st;
    ac_model_trim(r->job->model);              /* what writing takes has room where the activations were */
    if (r->s.has_best) memcpy(r->ad->params, r->best, r->ad->n_params * sizeof *r->best);
    ac_adapter_changed(r->ad);
    st = ac_adapter_save(r->ad, r->adapter_dir, r->job->base_name, r->o->dropout, err);
    if (!st && is_full(r)) st = ac_full_complete(r->job->model, r->adapter_dir, err);
    if (!st) st = ac_adapter_hash(r->ad, &out->adapter_hash, err);
    if (st) return st;
    const ac_event e = { .kind = AC_EV_STAGE_END, .text = "train", .done = r->s.step, .total = r->total };
    return ac_emit(r->sink, &e, err);
}

static void fill_result(const run *r, ac_train_result *out)
{
    const ac_train_state *s = &r->s;
    out->steps = s->step;
    out->best_step = s->has_best ? s->best_step : s->step;
    out->first_loss = s->first_loss;
    out->last_loss = s->last_loss;
    out->start_valid_loss = s->start_valid_loss;
    out->best_valid_loss = s->best_valid_loss;
    out->tokens = s->tokens;
    out->supervised_tokens = s->supervised_tokens;
    out->padding_tokens = s->padding_tokens;
    out->train_seconds = s->train_seconds;
    out->eval_seconds = s->eval_seconds;
    out->undone_steps = s->undone;
    out->stopped_early = s->stopped_early;
    out->trace_hash = s->trace;
}

static void end(run *r, bool in_order)
{
    ac_device *dev = ac_model_device(r->job->model);
    dev->op->set_numerics(dev, AC_NUM_FP32);
    ac_model_trim(r->job->model);
    ac_appender_close(&r->trace);
    ac_crew_close(&r->crew, in_order);
    ac_fold_close(&r->fold);
    ac_optimizer_close(&r->opt);
    ac_adapter_close(&r->ad);
    ac_free(r->best);
    ac_lockfile_drop(&r->lock);
    ac_arena_release(&r->plan_arena);
    ac_arena_release(&r->arena);
}

ac_status ac_train_run(const ac_train_job *job, ac_train_result *out, ac_err *err)
{
    static const ac_sink silent;
    run r = { .job = job, .o = job->opts, .sink = job->sink ? job->sink : &silent };
    ac_train_result result = { 0 };
    ac_status st = begin(&r, err);
    if (!st) st = steps(&r, err);
    if (!st && leads(&r)) st = export_adapter(&r, &result, err);
    if (!st) {
        fill_result(&r, &result);
        *out = result;
    }
    end(&r, !st);
    return st;
}
