/* train/train.h - training of LoRA or of all weights, with the same bits on every CPU, after any kill and resume.
 *
 * T1..T8 of docs/training.md hold here. In short: every row once an epoch, the last short batch counts; the loss
 * is the mean over the step's supervised tokens; rows, order and N of a step are fixed before its first
 * micro-batch; a checkpoint is complete or absent; a non-finite step is undone, three in a row end the run.
 * Knows neither contract nor terminal: plain options in, events out. */
#ifndef AC_TRAIN_TRAIN_H
#define AC_TRAIN_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/event.h"
#include "base/hash.h"
#include "base/team.h"
#include "data/data.h"
#include "model/adapter.h"
#include "model/model.h"

#define AC_SHARDS_MAX 64

typedef enum { AC_SCHED_COSINE, AC_SCHED_LINEAR, AC_SCHED_CONSTANT } ac_schedule;

typedef enum { AC_OPTIM_ADAMW, AC_OPTIM_SGD, AC_OPTIM_LION, AC_OPTIM_ADAFACTOR, AC_OPTIM_MUON } ac_optim_kind;
const char *ac_optim_name(ac_optim_kind k);       /* "adamw" */
const char *ac_state_name(ac_state_type t);       /* "fp32", "bf16", "int8" */

typedef struct {
    ac_lora_spec lora;
    double dropout;
    double lr, min_lr_ratio;      /* the schedule ends at lr * min_lr_ratio */
    double warmup_ratio;          /* share of all steps, when warmup_steps is 0 */
    uint64_t warmup_steps;
    ac_schedule schedule;
    ac_optim_kind optimizer;
    ac_state_type optimizer_state;
    ac_numerics numerics;         /* of training and validation; whoever answers with the result uses FP32 */
    double momentum;              /* SGD (0: none) and Muon */
    double beta1, beta2, eps, weight_decay;
    double clip;                  /* gradient norm; 0: none */
    uint64_t epochs;              /* read when max_steps is 0 */
    uint64_t max_steps;           /* 0: epochs decide; else as many epochs as it takes */
    size_t batch_rows;            /* rows a step, packed or not: packing never changes which rows a step has */
    size_t shards;                /* parts of a step whose gradients are folded in a tree (shards.c): 1, 2, 4 .. 64 */
    size_t micro_batch;           /* units a forward at most; 0: as micro_tokens says. Changes no bit on a CPU */
    size_t micro_tokens;          /* tokens a forward at most, but a unit at least; 0: as micro_batch says */
    bool recompute;               /* ac_pass.recompute: less memory, more time; changes no bit */
    bool ahead;                   /* stored weights are expanded once, where a device has room for it; changes no bit */
    bool packing;                 /* several rows of a step in one unit, block-diagonal attention */
    size_t pack_len;              /* tokens a unit holds at most; a longer row is a unit of its own */
    uint64_t seed;
    uint64_t eval_every, save_every;   /* steps; 0: at the end of each epoch */
    size_t keep_checkpoints;      /* >= 1 */
    uint64_t patience;            /* evaluations without improvement before stopping; 0: off */
} ac_train_opts;

/* Each value in its range, or AC_EARG naming it. */
ac_status ac_train_opts_check(const ac_train_opts *o, ac_err *err);

/* Bytes of an optimizer's state and working space, beside parameters and gradient. */
size_t ac_optimizer_state_bytes(const ac_train_opts *opts, const ac_adapter *ad);

/* Order and grouping of an epoch (from 0): depends on lengths, options, seed and epoch alone. */
typedef struct {
    size_t n_units;
    uint32_t *unit_first;         /* n_units + 1: offsets into row */
    uint32_t *row;                /* sample indices in unit order */
    size_t n_steps;
    uint32_t *step_first;         /* n_steps + 1: offsets into units */
    uint64_t padding_tokens;      /* 0 where units are ragged: nothing is padded on the CPU */
} ac_epoch_plan;
ac_status ac_epoch_plan_make(ac_epoch_plan *out, const ac_dataset *d, const ac_train_opts *o,
                             uint64_t epoch, ac_arena *a, ac_err *err);

uint64_t ac_train_steps_per_epoch(const ac_train_opts *o, size_t n_rows);
uint64_t ac_train_total_steps(const ac_train_opts *o, size_t n_rows);
uint64_t ac_train_warmup_steps(const ac_train_opts *o, uint64_t total_steps);
double ac_lr_at(const ac_train_opts *o, uint64_t step, uint64_t total_steps);  /* step from 1 */

/* ---- memory (memory.c) ---- */

typedef enum { AC_RECOMPUTE_AUTO, AC_RECOMPUTE_NONE, AC_RECOMPUTE_BLOCK } ac_recompute;

typedef struct {
    ac_recompute recompute;       /* AUTO: as little as fits */
    uint64_t limit;               /* bytes that the process may hold in all; 0: none known */
    uint64_t held;                /* bytes that it holds already, beside the mapped weights */
    bool resume;                  /* a checkpoint will be read first */
    size_t workers;               /* on this machine, this one counted; 0 as 1 */
} ac_memory_ask;

#define AC_MEMORY_LINES 20
typedef struct {
    const char *name;
    uint64_t bytes;
} ac_memory_line;

typedef struct {
    size_t n_lines;
    ac_memory_line line[AC_MEMORY_LINES];   /* each buffer of the run; their sum is the peak */
    uint64_t peak, limit;
    uint64_t least, least_recomputed;       /* peak of the smallest run that the ask allows; and with recomputation */
    size_t micro_batch, micro_tokens;       /* as in the options: what was asked for, or less */
    size_t tokens;                          /* computed at once at most */
    bool recompute, shrunk;                 /* shrunk: memory made it smaller than was asked for */
    uint64_t call_bytes, least_call_bytes;  /* what shrinks with the micro-batch, and what one unit alone takes of it */
    bool on_device, ahead;                  /* all of it is the device's own memory; stored weights lie there expanded too */
    bool fits;                              /* else this is the smallest run, and it is over the limit */
    size_t n_params, state_bytes;           /* trained values; optimizer's state and working space */
} ac_memory_plan;

/* What the run will hold, before anything of it exists. Where that is over the limit, the micro-batch is halved
 * until one unit is left, then layers are recomputed (if the ask allows): neither changes a bit. Copies the choice
 * into o. ac_train_run takes all of it before its first step, so that memory which is not there shows then. */
ac_status ac_memory_plan_make(ac_memory_plan *out, ac_train_opts *o, const ac_memory_ask *ask, const ac_model *m,
                              const ac_dataset *train, const ac_dataset *valid, ac_err *err);

/* ---- control from outside ---- */

typedef enum {
    AC_TRAIN_GO_ON,
    AC_TRAIN_SAVE,                /* checkpoint the last whole step, ask again, go on: the step in flight is kept */
    AC_TRAIN_STOP,                /* checkpoint it and return AC_ECANCEL */
    AC_TRAIN_DROP                 /* return AC_ECANCEL as things are: the newest checkpoint stays the newest */
} ac_train_order;

typedef struct {
    uint64_t step, durable;       /* the last whole step; the last one that a checkpoint holds, where has_durable */
    bool has_durable;
    size_t micro;                 /* units a forward at most, 1 to ac_train_reach.units; tokens shrink along with it */
    bool recompute;               /* neither of the two changes a bit, at whatever unit they change */
    int64_t waited_ns;            /* grows by what control slept, which is no part of a step's time */
} ac_train_now;

/* The most that a forward takes under the options: of the first epoch's steps. */
typedef struct {
    size_t units, tokens;
    size_t steps, with_empty;     /* of them, and how many have fewer units than shards, so that parts are empty */
} ac_train_reach;
ac_status ac_train_reach_of(ac_train_reach *out, const ac_train_opts *o, const ac_dataset *train, bool one_at_a_time,
                            ac_err *err);

typedef struct {
    const ac_train_opts *opts;
    ac_model *model;
    const ac_dataset *train, *valid;     /* valid may be NULL */
    const char *run_dir;                 /* checkpoints/, adapter/, trace.jsonl are written below it */
    const char *base_name;               /* for adapter_config.json */
    ac_sha256 lock_hash;                 /* a resume under another is AC_ECONTRACT (78) */
    bool resume;                         /* from the newest complete checkpoint; AC_ENOENT without one */
    const char *init_adapter;            /* PEFT folder to start from, or NULL */
    const ac_sink *sink;
    int64_t lock_wait_ms;                /* a resume waits so long for another process to leave the run */
    /* Asked at each unit boundary, in steps and validations alike; may change micro and recompute. May be NULL. */
    ac_train_order (*control)(void *ctx, ac_train_now *now);
    void *control_ctx;
    /* Workers that share the run, a power of two of at most opts->shards; NULL: this process alone. Each of them calls
     * ac_train_run with the same contract and rows; rank 0 is the run as described here, and the others need no run_dir,
     * write nothing, ask no control, and take their start, micro-batch and recomputation from it. A worker that loses the
     * others comes back with AC_ECANCEL. In rank 0 losing one is AC_ECANCEL too, after a checkpoint of the last whole step
     * (the transport knows why), and AC_ESTATE says that one of them computed something else. */
    const ac_transport *workers;
    uint64_t stop_after_step;            /* 0: none. For tests of resume: checkpoint after it, AC_ECANCEL */
    uint64_t audit_count;                /* head of the audit chain, copied into every manifest */
    ac_sha256 audit_head;
} ac_train_job;

typedef struct {
    uint64_t steps, best_step;
    double first_loss, last_loss;        /* of the first and last step that was not undone */
    double start_valid_loss, best_valid_loss;  /* NAN without validation; start: before the first step */
    uint64_t tokens, supervised_tokens, padding_tokens;
    double train_seconds, eval_seconds;
    uint64_t undone_steps;
    bool stopped_early;
    ac_sha256 adapter_hash;              /* of adapter_model.safetensors under run_dir/adapter */
    ac_sha256 trace_hash;                /* h_t after the last step (B9) */
} ac_train_result;

/* The best adapter by validation loss (the last one without validation) ends in run_dir/adapter, which is not
 * there before; all weights, as a whole Hugging Face folder, in run_dir/model. AC_ECANCEL: stopped, a checkpoint holds the last whole step. AC_EDIVERGED: a checkpoint holds the
 * last good step. AC_ESTATE: another process trains in run_dir. Without resume a run_dir that has checkpoints is
 * AC_EARG. On AC_EIO the newest checkpoint is intact; resume once there is space. A run that was ended before its first
 * checkpoint is resumed from the beginning. */
ac_status ac_train_run(const ac_train_job *job, ac_train_result *out, ac_err *err);

/* ---- time (forecast.c) ---- */

typedef struct {
    const ac_train_opts *opts;           /* with the memory plan's choice */
    ac_model *model;
    const ac_dataset *train, *valid;     /* valid may be NULL */
    const ac_sink *sink;
    double seconds;                      /* that measuring may take, about; one call of the model is made in any case */
} ac_forecast_job;
typedef struct {
    uint64_t steps, evals, saves, tokens;
    size_t measured_steps;
    double open_seconds;                 /* until the first step: parameters, memory */
    double train_seconds;                /* of all steps */
    double eval_seconds;                 /* of one validation */
    double measure_seconds;
} ac_forecast;
/* Only what can be counted. */
ac_status ac_forecast_counts(ac_forecast *f, const ac_train_opts *o, const ac_dataset *train, const ac_dataset *valid, ac_err *err);
/* Runs a few steps and some of the validation in memory; writes nothing, and what was trained is gone. */
ac_status ac_train_forecast(ac_forecast *out, const ac_forecast_job *job, ac_err *err);

/* Whether each line of a trace follows from the ones before it (B9): how many there are, and h after the last. A last line
 * without its end, as a killed run leaves one, is not counted. AC_EFORMAT names the first line that does not follow. */
ac_status ac_trace_check(const char *path, uint64_t *steps, ac_sha256 *h, ac_err *err);

#endif
