/* train/optimizer_int.h - the optimizers: one table, one small file a family.
 *
 * O1  A step is a function of parameters, gradient, state, options, lr, norm and t alone; docs/numerics.md, section 8,
 *     has every operation in its order.
 * O2  Moments are stored as binary32, bfloat16 or 8-bit codes; Adafactor's factors are binary32 always.
 * O3  Parameters are stepped in parts: runs of neighbouring tensors under one rule, all with weight decay or none of
 *     them. Blocks of 8-bit state start anew at each part. */
#ifndef AC_TRAIN_OPTIMIZER_INT_H
#define AC_TRAIN_OPTIMIZER_INT_H

#include "base/mem.h"
#include "train/train.h"

#define AC_STATE_ARRAYS 5

/* State as it lies in memory and, by its name, in optimizer.safetensors; n 0: this optimizer has none. */
typedef struct {
    const char *name;
    ac_dtype type;
    size_t n;
    void *data;
} ac_state_array;
enum { AC_STATE_M, AC_STATE_M_SCALE, AC_STATE_V, AC_STATE_V_SCALE, AC_STATE_FACTORS };

typedef struct {
    ac_rule rule;
    size_t at, n;                    /* parameters */
    size_t m_at, v_at, m_block, v_block;
    bool has_v, decays;
} ac_optim_part;

/* Norm weights and biases are not drawn towards 0 (as Hugging Face's trainer has it; torch alone draws everything). */
static inline bool ac_param_decays(const ac_param *p)
{
    return p->kind != AC_PARAM_VECTOR;
}

/* What an optimizer needs for an adapter's tensors. */
typedef struct {
    size_t m, v, m_blocks, v_blocks, factors, scratch, parts;
} ac_optim_need;

typedef struct {
    ac_device *dev;
    ac_adapter *ad;                  /* borrowed */
    float *grad;                     /* n_params; a step may change it */
    ac_state_array array[AC_STATE_ARRAYS];   /* zeroed on opening */
    ac_optim_part *part;
    size_t n_parts;
    float *scratch;
    size_t n_scratch;
    ac_span *norm_part;              /* n_tensors, and what each sums to */
    double *norm_square;
} ac_optimizer;

typedef struct {
    const ac_train_opts *opts;
    double lr;
    float grad_scale, keep;          /* keep: 1 - lr * weight_decay */
    uint64_t t;                      /* from 1; undone steps do not count */
    ac_ref p, g, scratch;
    ac_buf *state[AC_STATE_ARRAYS];
} ac_optim_step;

typedef struct {
    const char *name;
    ac_rule rule;                    /* that the device must have for it */
    /* Adds what the tensors need; fills part[] where it is given. */
    void (*plan)(const ac_train_opts *o, const ac_adapter *ad, ac_optim_need *need, ac_optim_part *part);
    void (*step)(ac_optimizer *o, const ac_optim_step *s);
} ac_optim_family;

void ac_plan_moments(const ac_train_opts *o, const ac_adapter *ad, ac_optim_need *need, ac_optim_part *part);
void ac_plan_adafactor(const ac_train_opts *o, const ac_adapter *ad, ac_optim_need *need, ac_optim_part *part);
void ac_step_moments(ac_optimizer *o, const ac_optim_step *s);   /* AdamW, SGD, Lion, and Muon's momentum */
void ac_step_adafactor(ac_optimizer *o, const ac_optim_step *s);
void ac_step_muon(ac_optimizer *o, const ac_optim_step *s);

ac_status ac_optimizer_open(ac_optimizer *o, ac_device *dev, ac_adapter *ad, const ac_train_opts *opts, ac_err *err);
void      ac_optimizer_touch(ac_optimizer *o);      /* every page of its memory is there from now on */
void      ac_optimizer_close(ac_optimizer *o);
/* Parameters, gradient and state live on the device from here on (D6): once their host arrays hold what a run starts
 * with. pull makes the host's parameters, and with state_too the optimizer's state, what the device has. */
ac_status ac_optimizer_keep(ac_optimizer *o, ac_err *err);
ac_status ac_optimizer_pull(ac_optimizer *o, bool state_too, ac_err *err);
ac_status ac_optimizer_zero_grad(ac_optimizer *o, ac_err *err);
/* sqrt of the sum over the adapter's parts, in order, of sums of squares in binary64. */
ac_status ac_optimizer_norm(ac_optimizer *o, double *norm, ac_err *err);
/* The sum of squares of the parameters, in the same order: their checksum among workers. */
ac_status ac_optimizer_checksum(ac_optimizer *o, double *sum, ac_err *err);
/* One step; t counts from 1. */
ac_status ac_optimizer_step(ac_optimizer *o, const ac_train_opts *opts, double lr, double norm, uint64_t t,
                            ac_err *err);

#endif
