#include "cli/train_run.h"

#include <math.h>
#include <string.h>

#include "base/exit.h"
#include "base/file.h"
#include "base/sysmem.h"
#include "base/time.h"
#include "cli/cost_clock.h"
#include "cli/guard_run.h"
#include "cli/human.h"
#include "ledger/ledger.h"

/* ---- from the contract to the engine ---- */

static ac_status targets_of(uint32_t *bits, const char *list, ac_err *err)
{
    ac_view rest = ac_view_of(list);
    *bits = 0;
    while (rest.len) {
        const size_t comma = ac_view_find(rest, AC_VIEW(","), 0);
        const ac_view word = ac_view_trim(ac_view_slice(rest, 0, comma));
        ac_target t;
        if (!ac_target_parse(word, &t))
            return ac_fail(err, AC_ECONTRACT, "targets: unknown module \"" AC_VIEW_FMT "\"", AC_VIEW_ARG(word));
        *bits |= 1u << t;
        rest = comma == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, comma + 1, rest.len);
    }
    return AC_OK;
}

static ac_status name_index(int *out, const char *key, const char *value, const char *const *names, size_t n,
                            ac_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(value, names[i]) == 0) {
            *out = (int)i;
            return AC_OK;
        }
    return ac_fail(err, AC_ECONTRACT, "%s: unknown value \"%s\"", key, value);
}

ac_status ac_train_opts_of(ac_train_opts *out, const ac_contract_values *v, ac_err *err)
{
    static const char *const schedules[] = { "cosine", "linear", "constant" };        /* ac_schedule */
    static const char *const optimizers[] = { "adamw", "sgd", "lion", "adafactor", "muon" };   /* ac_optim_kind */
    static const char *const states[] = { "fp32", "bf16", "int8" };                   /* ac_state_type */
    static const char *const tunes[] = { "lora", "full", "dora" };                    /* ac_tune */
    static const char *const numerics[] = { "fp32", "bf16", "cuda-bf16" };            /* ac_numerics */
    int schedule = 0, optimizer = 0, tune = 0, state = 0, arithmetic = 0;
    ac_train_opts o = {
        .lora = { .rank = (uint32_t)v->rank, .alpha = v->alpha, .rslora = v->rslora,
                  .last_layers = (uint32_t)v->last_layers },
        .dropout = v->dropout, .lr = v->lr, .min_lr_ratio = v->min_lr_ratio, .warmup_ratio = v->warmup_ratio,
        .warmup_steps = (uint64_t)v->warmup_steps, .momentum = v->momentum, .beta1 = v->beta1, .beta2 = v->beta2, .eps = v->eps,
        .weight_decay = v->weight_decay, .clip = v->clip, .epochs = (uint64_t)v->epochs,
        .max_steps = (uint64_t)v->max_steps, .batch_rows = (size_t)v->batch_rows,
        .shards = (size_t)v->shards, .micro_batch = (size_t)v->micro_batch, .packing = v->packing, .pack_len = (size_t)v->pack_len,
        .seed = (uint64_t)v->seed, .eval_every = (uint64_t)v->eval_every, .save_every = (uint64_t)v->save_every,
        .keep_checkpoints = (size_t)v->keep_checkpoints, .patience = (uint64_t)v->patience,
    };
    ac_status st = targets_of(&o.lora.targets, v->targets, err);
    if (!st) st = name_index(&schedule, "schedule", v->schedule, schedules, AC_COUNTOF(schedules), err);
    if (!st) st = name_index(&tune, "tune", v->tune, tunes, AC_COUNTOF(tunes), err);
    if (!st) st = name_index(&optimizer, "optimizer", v->optimizer, optimizers, AC_COUNTOF(optimizers), err);
    if (!st) st = name_index(&state, "optimizer_state", v->optimizer_state, states, AC_COUNTOF(states), err);
    if (!st) st = name_index(&arithmetic, "numerics", v->numerics, numerics, AC_COUNTOF(numerics), err);
    o.numerics = (ac_numerics)arithmetic;
    o.schedule = (ac_schedule)schedule;
    o.optimizer = (ac_optim_kind)optimizer;
    o.optimizer_state = (ac_state_type)state;
    o.lora.tune = (ac_tune)tune;
    if (!st) *out = o;
    return st;
}

ac_status ac_train_data(ac_dataset *out, ac_row_file *rows, ac_loaded *l, ac_contract *c, const char *path,
                        const ac_sink *sink, ac_err *err)
{
    static const char *const masks[] = { "assistant", "last", "none" };               /* ac_mask */
    static const char *const longs[] = { "refuse", "truncate", "drop" };              /* ac_on_long */
    int mask = 0, on_long = 0;
    const char *full = ac_contract_path(c, path);
    if (!full) return ac_fail_nomem(err, strlen(path));
    ac_status st = name_index(&mask, "mask", c->v.mask, masks, AC_COUNTOF(masks), err);
    if (!st) st = name_index(&on_long, "on_long", c->v.on_long, longs, AC_COUNTOF(longs), err);
    if (!st) st = ac_rows_read(rows, full, AC_FORMAT_AUTO, err);
    if (!st && rows->format != AC_FORMAT_TEXT && !l->chat) st = ac_load_chat(l, c->v.chat_format, err);
    const ac_data_opts o = { .mask = (ac_mask)mask, .on_long = (ac_on_long)on_long, .max_len = (size_t)c->v.max_len,
                             .text_eos = true };
    return st ? st : ac_dataset_build(out, rows, l->tokenizer, l->chat, &o, sink, err);
}

/* ---- the run ---- */

#define WORKERS_WAIT_MS 5000     /* one that computes looks up at the next unit */
#define LOCK_WAIT_MS 5000        /* a trainer whose guard was killed still writes its checkpoint */

typedef struct {
    ac_cli *cli;
    const ac_train_cli *o;
    ac_project project;
    ac_train_inputs in;
    ac_arena arena;
    char *dir;
    ac_run_record rec;
    ac_recorder events;
    ac_train_reach reach;
    ac_cost_clock cost;
    ac_team *team;               /* NULL: alone */
    ac_err why;                  /* the team broke */
} work;

static ac_status dry_run(work *w, ac_err *err)
{
    const ac_memory_plan *p = &w->in.memory.plan;
    ac_str s = { 0 };
    char tokens[32], params[32];
    ac_human_count(tokens, w->in.train.n_tokens);
    ac_human_count(params, p->n_params);
    if (w->cli->json) {
        ac_jw j;
        ac_jw_init(&j, &s, true);
        ac_jw_object(&j, NULL);
        ac_jw_u64(&j, "rows", w->in.train.n);
        ac_jw_u64(&j, "valid_rows", w->in.valid.n);
        ac_jw_u64(&j, "tokens", w->in.train.n_tokens);
        ac_jw_u64(&j, "supervised_tokens", w->in.train.n_targets);
        ac_jw_u64(&j, "steps", w->rec.total_steps);
        ac_jw_u64(&j, "parameters", p->n_params);
        ac_jw_u64(&j, "optimizer_bytes", p->state_bytes);
        ac_memory_json(&j, &w->in.memory);
        ac_jw_end_object(&j);
    } else {
        ac_str_appendf(&s, "%zu row%s, %s tokens; %zu validation row%s\n%llu step%s, %s parameters to train by "
                       "%s (state %s)\n", w->in.train.n, ac_plural(w->in.train.n), tokens, w->in.valid.n, ac_plural(w->in.valid.n),
                       (unsigned long long)w->rec.total_steps, ac_plural(w->rec.total_steps), params,
                       ac_optim_name(w->in.opts.optimizer), ac_state_name(w->in.opts.optimizer_state));
        ac_memory_table(&s, &w->in.memory);
    }
    const ac_status st = ac_cli_result(w->cli, &s, err);
    ac_str_release(&s);
    w->cli->answered = !st;
    return st || p->fits ? st : ac_memory_refuse(&w->in.memory, err);
}

/* The engine holds the run and has refused nothing: from here on it is a training. */
static ac_status begin(void *ctx, ac_err *err)
{
    work *w = ctx;
    char fields[256];
    (void)snprintf(fields, sizeof fields, "\"run\":\"%s\",\"lock\":\"%s\",\"resumed\":%s", w->rec.id, w->project.lock_hex,
                   w->o->resume ? "true" : "false");
    ac_status st = ac_audit_append(".", "train", fields, err);
    if (!st) st = ac_run_write_start(&w->rec, &w->project, err);
    if (!st) st = ac_cost_clock_open(&w->cost, w->dir, w->events.last_step, err);
    if (!st) ac_link_hello(w->o->link, &w->rec, &w->reach, w->events.last_step);
    return st;
}

static ac_status record_end(const work *w, const ac_train_result *r, ac_err *err)
{
    char fields[512], adapter[AC_SHA256_HEX], trace[AC_SHA256_HEX];
    ac_sha256_hex(adapter, &r->adapter_hash);
    ac_sha256_hex(trace, &r->trace_hash);
    (void)snprintf(fields, sizeof fields,
                   "\"run\":\"%s\",\"lock\":\"%s\",\"steps\":%llu,\"adapter_sha256\":\"%s\",\"trace_sha256\":\"%s\"",
                   w->rec.id, w->project.lock_hex, (unsigned long long)r->steps, adapter, trace);
    return ac_audit_append(".", "trained", fields, err);
}

static ac_status open_run(work *w, ac_err *err)
{
    w->rec.cli = w->cli;
    w->rec.lock_hex = w->project.lock_hex;
    w->rec.v = &w->project.contract.v;
    w->rec.tier = ac_device_name(w->in.l.device);
    w->rec.guarded = w->o->link->guarded;
    ac_status st = w->o->resume ? ac_run_find(&w->dir, &w->arena, ".", w->o->resume, err)
                                : ac_run_create(&w->dir, &w->arena, ".", err);
    if (st) return st;
    w->rec.dir = w->dir;
    w->rec.id = ac_run_id(w->dir);
    if (w->o->resume) st = ac_run_read_state(&w->rec, err);
    else ac_utc_iso(w->rec.started, ac_utc_ns());
    return st;
}

static ac_status train(work *w, ac_train_result *r, ac_err *err)
{
    char *metrics = NULL;
    ac_audit_head head = { .count = 0 };
    ac_status st = ac_memory_note(&w->rec.memory, &w->cli->sink, err);
    if (!st) st = ac_run_path(&metrics, &w->arena, w->dir, "metrics.jsonl", err);
    if (!st) st = ac_audit_verify(".", &head, err);
    if (st) return st == AC_ENO ? AC_ESTATE : st;       /* a damaged chain stops everything that would append */
    w->events.next = w->cli->sink;
    w->events.path = metrics;
    w->events.begin = begin;
    w->events.ctx = w;
    const bool one_at_a_time = w->in.opts.lora.tune == AC_TUNE_FULL && ac_model_get_config(w->in.l.model)->tied_output;
    st = ac_train_reach_of(&w->reach, &w->in.opts, &w->in.train, one_at_a_time, err);
    if (st) return st;
    const ac_sink sink = ac_cost_clock_sink(&w->cost, ac_link_sink(w->o->link, ac_recorder_sink(&w->events)));
    ac_transport t = { .n = 1 };
    if (w->team) t = ac_team_transport(w->team);
    const ac_train_job job = {
        .opts = &w->in.opts, .model = w->in.l.model, .train = &w->in.train, .valid = w->in.valid.n ? &w->in.valid : NULL,
        .run_dir = w->dir, .base_name = w->rec.v->base_model, .lock_hash = w->project.lock.hash,
        .resume = w->o->resume != NULL, .sink = &sink, .stop_after_step = w->o->stop_after,
        .audit_count = head.count, .audit_head = head.head, .control = ac_link_control, .control_ctx = w->o->link,
        .lock_wait_ms = LOCK_WAIT_MS, .workers = w->team ? &t : NULL,
    };
    return ac_train_run(&job, r, err);
}

static ac_status say_done(work *w, const ac_train_result *r, ac_err *err)
{
    const bool full = w->in.opts.lora.tune == AC_TUNE_FULL;
    ac_str s = { 0 };
    ac_audit_head head = { .count = 0 };
    char hex[AC_SHA256_HEX], took[32], tokens[32], rss[32], planned[32], at[AC_AUDIT_HEAD_TEXT];
    ac_sha256_hex(hex, &r->adapter_hash);
    if (w->cli->json) {
        ac_jw j;
        ac_jw_init(&j, &s, true);
        ac_jw_object(&j, NULL);
        ac_jw_cstr(&j, "run", w->rec.id);
        ac_jw_cstr(&j, "path", w->dir);
        ac_jw_cstr(&j, "lock", w->project.lock_hex);
        ac_jw_u64(&j, "steps", r->steps);
        ac_jw_u64(&j, "best_step", r->best_step);
        ac_jw_f64(&j, "first_loss", r->first_loss);
        ac_jw_f64(&j, "last_loss", r->last_loss);
        ac_jw_f64(&j, "best_valid_loss", r->best_valid_loss);
        ac_jw_f64(&j, "seconds", r->train_seconds + r->eval_seconds);
        ac_jw_u64(&j, "tokens", r->tokens);
        ac_jw_cstr(&j, "adapter_sha256", hex);
        ac_sha256_hex(hex, &r->trace_hash);
        ac_jw_cstr(&j, "trace_sha256", hex);
        ac_jw_i64(&j, "peak_rss_bytes", ac_peak_rss_bytes());
        ac_memory_json(&j, &w->rec.memory);
        ac_jw_end_object(&j);
    } else {
        ac_human_time(took, r->train_seconds + r->eval_seconds);
        ac_human_count(tokens, r->tokens);
        const bool on_device = w->rec.memory.plan.on_device;
        const ac_device *dev = w->in.l.device;
        ac_human_bytes(rss, on_device ? dev->op->memory(dev).peak : (uint64_t)ac_peak_rss_bytes());
        ac_str_appendf(&s, "run        %s\n", w->rec.id);
        ac_str_appendf(&s, "loss       %.4f at first, %.4f at last", r->first_loss, r->last_loss);
        if (!isnan(r->best_valid_loss))
            ac_str_appendf(&s, "; validation %.4f at step %llu", r->best_valid_loss, (unsigned long long)r->best_step);
        ac_str_appendf(&s, "\nsteps      %llu of %llu%s, %s tokens in %s (%.0f tokens/s)\n",
                       (unsigned long long)r->steps, (unsigned long long)w->rec.total_steps,
                       r->stopped_early ? ", stopped early" : "", tokens, took,
                       r->train_seconds > 0 ? (double)r->tokens / r->train_seconds : 0);
        if (r->undone_steps) ac_str_appendf(&s, "undone     %llu step%s\n", (unsigned long long)r->undone_steps,
                                             ac_plural(r->undone_steps));
        const uint64_t all = r->tokens + r->padding_tokens;
        ac_str_appendf(&s, "padding    %.1f %% of the computed positions\n",
                       all ? 100.0 * (double)r->padding_tokens / (double)all : 0.0);
        ac_human_bytes(planned, w->rec.memory.plan.peak);
        const bool shared = w->rec.workers > 1 && !on_device;
        ac_str_appendf(&s, "memory     %s%s at most, %s planned%s\n%-10s %s/%s\nsha-256    %s\n", rss,
                       on_device ? " of the GPU" : shared ? " of the first worker" : "", planned, shared ? " for all" : "",
                       full ? "model" : "adapter", w->dir, full ? "model" : "adapter", hex);
        if (!ac_audit_verify(".", &head, NULL)) {
            ac_audit_head_text(at, &head);
            ac_str_appendf(&s, "audit      %s\n", at);
        }
        ac_str_append_c(&s, "next       accord ab\n");
    }
    const ac_status st = ac_cli_result(w->cli, &s, err);
    ac_str_release(&s);
    return st;
}

/* The state on disk says how it ended; the first failure is the one that is told. */
static ac_status settle(work *w, ac_status st, const ac_train_result *r, ac_err *err)
{
    if (st && !w->events.began) {                        /* refused: nothing of it stays */
        if (!w->o->resume) (void)ac_remove_tree(w->dir, NULL);
        return ac_project_refused("train", st, err);
    }
    if (st == AC_ECANCEL) {
        (void)ac_run_write_state(&w->rec, "stopped", NULL, NULL, NULL);
        if (!ac_cost_clock_end(&w->cost, "stopped", NULL, NULL)) (void)ac_run_readme_cost(&w->rec, NULL);
        w->cli->exit_as = ac_link_stopped(w->o->link, &w->rec, w->events.last_step, w->why.text, err);
        if (w->cli->exit_as == AC_EXIT_MOVE) ac_guard_advice(w->cli, &w->rec, &w->project.lock, &w->project.contract);
        return st;                                       /* the engine cannot know how to go on: the link says it */
    }
    if (st) {
        (void)ac_run_write_state(&w->rec, "failed", NULL, err ? err->text : NULL, NULL);
        if (!ac_cost_clock_end(&w->cost, "failed", NULL, NULL)) (void)ac_run_readme_cost(&w->rec, NULL);
        return ac_err_prefix(err, st, "run %s", w->rec.id);
    }
    st = ac_cost_clock_end(&w->cost, "trained", NULL, err);
    if (!st) st = ac_run_readme_cost(&w->rec, err);
    if (!st) st = record_end(w, r, err);
    return st ? st : ac_run_write_state(&w->rec, "trained", r, NULL, err);
}

static ac_status run_it(work *w, ac_err *err)
{
    ac_train_result r = { .steps = 0 };
    if (!w->in.memory.plan.fits) {                       /* nothing is written for a run that cannot be */
        const ac_status noted = ac_memory_note(&w->in.memory, &w->cli->sink, err);
        return noted ? noted : ac_memory_refuse(&w->in.memory, err);
    }
    ac_link_catch_signals(w->o->link);                   /* before there is anything to leave half done */
    ac_status st = open_run(w, err);
    if (st) return ac_project_refused("train", st, err);
    st = train(w, &r, err);
    const char *broken = w->team ? ac_team_broken(w->team) : NULL;
    if (broken) (void)ac_fail(&w->why, AC_EIO, "%s", broken);
    ac_cost_clock_team(&w->cost, NULL, w->rec.workers);
    ac_team_close(&w->team, WORKERS_WAIT_MS);            /* what they took is among our children's from here on */
    ac_link_end(w->o->link, st && st != AC_ECANCEL ? err ? err->text : "it failed" : NULL);
    st = settle(w, st, &r, err);
    return st ? st : say_done(w, &r, err);
}

static ac_status lead(work *w, ac_err *err)
{
    ac_cost_clock_team(&w->cost, w->team, w->rec.workers);
    ac_status st = ac_train_inputs_open(&w->in, w->cli, w->o, &w->project.contract, err);
    w->rec.memory = w->in.memory;
    w->rec.total_steps = w->in.total_steps;
    w->rec.epochs = w->in.epochs;
    w->rec.numerics = ac_numerics_name(w->in.opts.numerics);
    if (!st && !w->o->dry_run) st = ac_cost_clock_terms(&w->cost, &w->project.contract.v, ac_device_name(w->in.l.device), err);
    if (!st) st = w->o->dry_run ? dry_run(w, err) : run_it(w, err);
    return st;
}

ac_status ac_train_command(ac_cli *cli, const ac_train_cli *asked, ac_err *err)
{
    ac_train_cli own = *asked;
    work w = { .cli = cli, .o = &own };
    if (!own.workers) own.workers = 1;
    w.rec.workers = (size_t)own.workers;
    w.rec.threads = cli->threads ? (size_t)cli->threads : ac_cpu_count();
    ac_cost_clock_start(&w.cost, "train");
    ac_status st = ac_project_open(&w.project, "train", err);
    if (!st) st = ac_workers_check(&own, &w.project.contract.v, err);
    if (!st && !own.dry_run) st = ac_workers_start(&w.team, cli, &own, err);
    const bool leads = own.rank == 0;
    if (!leads) st = ac_worker_run(w.team, cli, &own, &w.project);
    else if (!st) st = lead(&w, err);
    ac_team_close(&w.team, WORKERS_WAIT_MS);
    ac_recorder_close(&w.events);
    ac_cost_clock_release(&w.cost);
    ac_train_inputs_close(&w.in);
    ac_arena_release(&w.arena);
    ac_project_release(&w.project);
    return st;
}
