/* cli/train_run.h - one training from contract to run folder: wires contract, engine and ledger together. */
#ifndef AC_CLI_TRAIN_RUN_H
#define AC_CLI_TRAIN_RUN_H

#include "base/file.h"
#include "base/team.h"
#include "cli/load.h"
#include "cli/project.h"
#include "data/data.h"
#include "plan/budget.h"
#include "train/train.h"

typedef struct ac_guard_link ac_guard_link;      /* guard_run.h */

typedef struct {
    const char *resume;
    int64_t micro_batch;
    int recompute;               /* 0: as the contract says; else 1 + ac_recompute */
    const char *memory_limit;    /* "900M"; NULL: what the system has */
    uint64_t stop_after;
    bool dry_run, guard;
    int64_t workers;             /* processes that share the run; 0 as 1 */
    size_t rank;                 /* of this process among them: 0 is the leader */
    ac_guard_link *link;         /* set by ac_guard_train */
} ac_train_cli;

ac_status ac_train_command(ac_cli *cli, const ac_train_cli *o, ac_err *err);

/* The engine's options from the contract's values. */
ac_status ac_train_opts_of(ac_train_opts *out, const ac_contract_values *v, ac_err *err);
/* Rows, masks and limits from the contract's values; opens the chat format where rows need one. */
ac_status ac_train_data(ac_dataset *out, ac_row_file *rows, ac_loaded *l, ac_contract *c, const char *path,
                        const ac_sink *sink, ac_err *err);

/* ---- several processes (train_workers.c) ---- */
ac_status ac_workers_check(const ac_train_cli *o, const ac_contract_values *v, ac_err *err);
/* Before there are threads. Returns in each of them (o->rank), with its share of the threads; *out stays NULL for one alone. */
ac_status ac_workers_start(ac_team **out, ac_cli *cli, ac_train_cli *o, ac_err *err);
/* All that a worker does, after which it has nothing to say: AC_OK. */
ac_status ac_worker_run(ac_team *team, ac_cli *cli, const ac_train_cli *o, ac_project *p);

/* ---- memory (train_memory.c) ---- */
typedef struct {
    ac_memory_plan plan;
    ac_budget budget;
    bool courtesy;               /* it fits only because a reserve that nobody wrote is not kept */
    bool recompute_refused;
} ac_train_memory;
/* The plan under the contract's and the command line's wishes; the choice goes into o. AC_OK even where nothing fits
 * (plan.fits). mapped_before: pages of mapped files that the process held before the model was opened. */
ac_status ac_train_plan_memory(ac_train_memory *out, ac_train_opts *o, const ac_cli *common, const ac_train_cli *cli,
                               const ac_contract_values *v, const ac_loaded *l, const ac_dataset *train,
                               const ac_dataset *valid, int64_t mapped_before, ac_err *err);
ac_status ac_memory_refuse(const ac_train_memory *m, ac_err *err);   /* AC_EMOVE: what it needs, and the way out */
void      ac_memory_table(ac_str *out, const ac_train_memory *m);
ac_status ac_memory_note(const ac_train_memory *m, const ac_sink *sink, ac_err *err);   /* two lines, and a warning */
void      ac_memory_json(ac_jw *w, const ac_train_memory *m);                           /* a member "memory" */

/* ---- what a training is made from (train_inputs.c) ---- */
typedef struct {
    ac_loaded l;
    ac_row_file train_rows, valid_rows;
    ac_dataset train, valid;
    ac_train_opts opts;          /* with the choice of the memory plan */
    ac_train_memory memory;
    uint64_t total_steps, epochs;
    double seconds;              /* that this took */
} ac_train_inputs;               /* {0} is valid */
/* Opens all of it and plans the memory; AC_OK even where it does not fit. */
ac_status ac_train_inputs_open(ac_train_inputs *in, ac_cli *cli, const ac_train_cli *o, ac_contract *c, ac_err *err);
void      ac_train_inputs_close(ac_train_inputs *in);

/* ---- run.json and its neighbours (train_files.c) ---- */
typedef struct {
    const ac_cli *cli;
    const ac_contract_values *v;
    const char *dir, *id, *lock_hex, *tier, *numerics;
    size_t threads, workers;
    char started[32];
    uint64_t resumed, total_steps, epochs;
    ac_train_memory memory;
    bool guarded;
} ac_run_record;
/* error and r may be NULL. */
ac_status ac_run_write_state(const ac_run_record *rec, const char *state, const ac_train_result *r,
                             const char *error, ac_err *err);
/* env.json, lock.json, README.md, rows.txt, run.json. */
ac_status ac_run_write_start(const ac_run_record *rec, ac_project *p, ac_err *err);
/* rows.txt (verify_rows.c): half a SHA-256 for each line of the training and validation rows; nothing of sealed files. */
ac_status ac_rows_write(const char *run, ac_contract *c, ac_err *err);
/* What the training cost, as the last section of README.md. */
ac_status ac_run_readme_cost(const ac_run_record *rec, ac_err *err);
/* Reads what a resume needs from run.json: when it began and how often it was resumed. AC_ECONTRACT when it stands
 * under another lock. */
ac_status ac_run_read_state(ac_run_record *rec, ac_err *err);

/* ---- metrics.jsonl (train_events.c) ---- */
typedef struct {
    ac_sink next;                /* gets every event too */
    const char *path;
    /* Called once, when the engine has checked everything and holds the run: until then nothing is written, so
     * that a refused resume, or a second one, leaves the run as it was. */
    ac_status (*begin)(void *ctx, ac_err *err);
    void *ctx;
    ac_appender *metrics;        /* opened when training begins */
    ac_str line;
    uint64_t last_step;
    bool began;
} ac_recorder;
ac_sink ac_recorder_sink(ac_recorder *r);
void    ac_recorder_close(ac_recorder *r);

#endif
