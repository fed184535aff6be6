/* train/train_int.h - what the files of this room share: the state of a run, trace, checkpoints, optimizer.
 *
 * S1  ac_train_state, the adapter's parameters, the optimizer's state and the best parameters so far are
 *     all that a run is between two steps; everything else follows from options, data and the step number.
 * S2  A checkpoint is the folder checkpoints/step-N; its manifest.json is written last, covers every file by size
 *     and SHA-256 and itself by its last member, `self`. What fails to verify is never loaded.
 * Threads: as ac_train_run, one. */
#ifndef AC_TRAIN_TRAIN_INT_H
#define AC_TRAIN_TRAIN_INT_H

#include "base/file.h"
#include "base/mem.h"
#include "train/optimizer_int.h"
#include "train/train.h"

#define AC_CKPT_SCHEMA     1
#define AC_CKPT_FILES_MAX  8
#define AC_TRACE_LINE_MAX  224
#define AC_NO_EVAL         UINT64_MAX

typedef struct {
    uint64_t step;                   /* whole steps, undone ones included */
    uint64_t optimizer_steps;        /* without them: t of Adam's bias correction */
    uint64_t undone, undone_in_row;
    uint64_t last_eval_step;         /* AC_NO_EVAL: none yet */
    uint64_t evals_since_best;
    bool has_best, stopped_early;
    uint64_t best_step;
    double start_valid_loss, best_valid_loss, first_loss, last_loss;
    uint64_t tokens, supervised_tokens, padding_tokens;
    double train_seconds, eval_seconds;
    uint64_t trace_bytes;            /* of trace.jsonl after this step */
    ac_sha256 trace;                 /* h_t; 32 zero bytes before the first step */
} ac_train_state;

/* ---- plan.c: units of a step or of the validation rows, ready for the model ------------------------- */

typedef struct {
    ac_unit *unit;
    size_t n;
    uint64_t tokens, supervised;
    double *loss;                    /* one a unit */
} ac_unit_list;
/* Rows of one step of a plan; a unit of one row borrows the sample, others are joined in the arena. */
ac_status ac_units_of_step(ac_unit_list *out, const ac_dataset *d, const ac_epoch_plan *p, size_t step_in_epoch,
                           ac_arena *a, ac_err *err);
/* All rows in file order, joined up to pack_len with packing (T4). */
ac_status ac_units_of_all(ac_unit_list *out, const ac_dataset *d, const ac_train_opts *o, ac_arena *a, ac_err *err);

/* What one forward takes at most; 0: no such bound. */
typedef struct {
    size_t units, tokens;
} ac_micro;
/* Units that the next forward takes, from unit `first` on; >= 1 where there is one. */
size_t ac_units_at_once(ac_micro most, const ac_unit_list *u, size_t first);

/* ---- shards.c: parts of a step and their fold (B6) ------------------------------------------------------- */

typedef struct {
    size_t from, to;
} ac_span_of_units;
ac_span_of_units ac_shard_units(size_t n_units, size_t shards, size_t part);

/* Gradients of parts that are done and wait for the other side of their sum: grad[0] is the optimizer's, and holds the fold
 * of all parts in the end, as loss[0] does. */
enum { AC_FOLD_MAX = 7 };            /* 1 + log2 AC_SHARDS_MAX */
typedef struct {
    ac_device *dev;
    size_t n, levels, depth, done;
    float *grad[AC_FOLD_MAX];
    double loss[AC_FOLD_MAX];
} ac_fold;
size_t    ac_fold_levels(size_t parts);          /* gradients that the fold of so many parts takes beside the first */
ac_status ac_fold_open(ac_fold *f, ac_device *dev, float *grad, size_t n, size_t parts, ac_err *err);
void      ac_fold_touch(ac_fold *f);
ac_status ac_fold_keep(ac_fold *f, ac_err *err);
void      ac_fold_close(ac_fold *f);             /* accepts what was never opened */
void      ac_fold_begin(ac_fold *f);
/* For each part in order: an array of zeros to add to, then its loss. */
ac_status ac_fold_next(ac_fold *f, float **grad, ac_err *err);
ac_status ac_fold_end(ac_fold *f, double loss, ac_err *err);

/* ---- workers.c: several processes, one run --------------------------------------------------------------- */

typedef struct {
    const ac_transport *t;           /* NULL: alone */
    ac_device *dev;
    float *piece;                    /* what comes from a partner */
    double *losses;                  /* n_losses: a partner's, of validation units */
    size_t n_losses;
    bool lost;                       /* somebody is gone */
    bool direct;                     /* the devices add up by themselves */
    char how[256];                   /* in a sentence; "" on CPUs */
} ac_crew;

static inline size_t ac_crew_rank(const ac_crew *c)
{
    return c->t ? c->t->rank : 0;
}
static inline size_t ac_crew_size(const ac_crew *c)
{
    return c->t ? c->t->n : 1;
}

/* What a worker computes with: changes no bit. */
typedef struct {
    uint64_t micro_batch, micro_tokens, recompute;
} ac_crew_choice;
/* What a micro-batch shrinks to while the run goes on (ac_train_now). */
typedef struct {
    uint64_t micro, recompute;
} ac_crew_settings;

#define AC_CREW_PIECE ((size_t)1 << 18)      /* floats that are exchanged at once */
#define AC_CREW_BYTES (AC_CREW_PIECE * sizeof(float))
ac_status ac_crew_open(ac_crew *c, const ac_transport *t, ac_device *dev, size_t n_valid_units, ac_err *err);
void      ac_crew_close(ac_crew *c, bool in_order);      /* in_order: the run went to its end */
/* The leader's choice to everybody; a worker gets it. */
ac_status ac_crew_choose(ac_crew *c, ac_crew_choice *choice, ac_err *err);
/* All are ready, with the same options and rows; then the leader's state, parameters and optimizer's state are everybody's. */
ac_status ac_crew_start(ac_crew *c, const ac_sha256 *fingerprint, ac_train_state *s, ac_adapter *ad, ac_optimizer *opt, ac_err *err);
/* Gradient (n values) and loss of the own parts become those of all: with the rank that differs in bit 0, 1, ... */
ac_status ac_crew_sum(ac_crew *c, float *grad, size_t n, double *loss, const ac_idle *idle, ac_err *err);
/* Validation units of a rank; then each loss is everybody's. */
ac_span_of_units ac_crew_units(const ac_crew *c, size_t n_units);
ac_status ac_crew_gather(ac_crew *c, double *loss, size_t n, const ac_idle *idle, ac_err *err);
/* A step is computed: are its trace and the parameters that it left the same everywhere? AC_ESTATE names step and rank. One
 * that is gone disagrees with nobody; the next exchange misses it. */
ac_status ac_crew_agree(ac_crew *c, uint64_t step, const ac_sha256 *trace, double params, const ac_idle *idle, ac_err *err);
/* The leader's settings to everybody. */
void      ac_crew_tell(ac_crew *c, ac_crew_settings s);
/* A worker, at a unit's boundary: new settings (*any), or AC_EIO when the run is over. */
ac_status ac_crew_look(ac_crew *c, bool *any, ac_crew_settings *s, ac_err *err);

/* ---- memory.c ------------------------------------------------------------------------------------------- */

/* Takes the workspace of the largest calls that these options and rows can give. */
ac_status ac_memory_reserve(const ac_train_opts *o, ac_model *m, const ac_adapter *ad, const ac_dataset *train,
                            const ac_dataset *valid, ac_err *err);

/* ---- schedule.c ------------------------------------------------------------------------------------- */

/* SHA-256 over the options that steer a run and over the rows: a checkpoint of others is not resumed. */
ac_status ac_train_fingerprint(ac_sha256 *out, const ac_train_opts *o, const ac_dataset *train,
                               const ac_dataset *valid, ac_err *err);

double ac_pow_int(double base, uint64_t n);   /* by squaring: only products, so the same on every CPU */

/* ---- trace.c (B9) ----------------------------------------------------------------------------------- */

/* h and the line of a step; undone steps hash the bits 7ff8000000000000 twice. Returns the line's length. */
size_t ac_trace_line(char out[AC_TRACE_LINE_MAX], ac_sha256 *h, uint64_t step, double loss, double norm,
                     bool undone);
/* Checks that the first `step` lines are `bytes` long and lead to h, then cuts off what follows. */
ac_status ac_trace_cut(const char *path, uint64_t step, uint64_t bytes, const ac_sha256 *h, ac_err *err);

/* ---- manifest.c ------------------------------------------------------------------------------------- */

typedef struct {
    char name[64];
    uint64_t bytes;
    ac_sha256 hash;
} ac_manifest_file;

typedef struct {
    ac_sha256 lock, fingerprint, audit_head;
    uint64_t total_steps, epoch, epoch_step, audit_count;
    ac_numerics numerics;
    ac_train_state state;
    size_t n_files;
    ac_manifest_file file[AC_CKPT_FILES_MAX];
} ac_manifest;

/* Appends the text; failures stay in the ac_str. */
void ac_manifest_render(ac_str *out, const ac_manifest *m);
/* AC_EFORMAT or AC_ENOENT: damaged. AC_ECONTRACT: whole, but of another schema. */
ac_status ac_manifest_parse(ac_manifest *out, ac_view text, const char *path, ac_err *err);

/* ---- checkpoint.c ----------------------------------------------------------------------------------- */

typedef struct {
    const char *dir;                 /* run_dir/checkpoints */
    const char *base_name;
    double dropout;
    size_t keep;
    ac_manifest head;                /* lock, fingerprint, audit, total: the same in every manifest */
    const ac_sink *sink;
} ac_ckpt;

typedef struct {
    ac_adapter *ad;
    const ac_state_array *state;     /* AC_STATE_ARRAYS of the optimizer's */
    float *best;                     /* written and read when has_best */
} ac_ckpt_data;

/* Writes step-N, verifies it by reading it again, then removes what is older than the newest `keep`. */
ac_status ac_ckpt_write(const ac_ckpt *c, const ac_train_state *s, const ac_ckpt_data *d, ac_err *err);
/* Reads the manifest and hashes every file. Statuses as ac_manifest_parse; AC_EIO where the disk fails. */
ac_status ac_ckpt_verify(ac_manifest *out, const char *step_dir, uint64_t step, ac_err *err);
/* The newest checkpoint that verifies; damaged ones on the way are renamed step-N.bad with a WARN event.
 * AC_ENOENT: none. AC_ECONTRACT: it belongs to another lock or to other options or rows. */
ac_status ac_ckpt_find(const ac_ckpt *c, ac_manifest *out, char **step_dir, ac_arena *a, ac_err *err);
/* Fills data (arrays of n_params) from a verified folder. */
ac_status ac_ckpt_load(const char *step_dir, const ac_manifest *man, const ac_model *m, ac_ckpt_data *d,
                       ac_err *err);
/* Removes what a killed process left. Sets *any when there is a step-N folder. */
ac_status ac_ckpt_sweep(const ac_ckpt *c, bool *any, ac_err *err);

#endif
