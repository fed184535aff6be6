/* What a training is made from: model, tokenizer, rows and options as the contract says, and the memory that it will take. */
#include <string.h>

#include "base/sysmem.h"
#include "base/time.h"
#include "cli/train_run.h"

ac_status ac_train_inputs_open(ac_train_inputs *in, ac_cli *cli, const ac_train_cli *o, ac_contract *c, ac_err *err)
{
    const int64_t mapped = ac_rss_mapped_bytes(), start = ac_mono_ns();
    const char *model = NULL;
    ac_status st = ac_contract_model_path(c, &model, err);
    if (!st) st = ac_contract_files(c, AC_NAMES_TRAIN | AC_NAMES_VALID, err);
    if (!st) st = ac_train_opts_of(&in->opts, &c->v, err);
    in->l.gpu = (int)o->rank;
    in->l.wants_gpu = in->opts.numerics == AC_NUM_CUDA_BF16;
    if (!st) st = ac_load_model(&in->l, cli, model, NULL, err);
    if (!st) st = ac_load_tokenizer(&in->l, model, err);
    if (!st) st = ac_train_data(&in->train, &in->train_rows, &in->l, c, c->v.train, &cli->sink, err);
    if (!st && c->v.valid) st = ac_train_data(&in->valid, &in->valid_rows, &in->l, c, c->v.valid, &cli->sink, err);
    if (o->rank) in->opts.micro_batch = 1;               /* the leader's choice will stand here */
    else if (!st)
        st = ac_train_plan_memory(&in->memory, &in->opts, cli, o, &c->v, &in->l, &in->train, &in->valid, mapped,
                                  err);
    if (!st) st = ac_train_opts_check(&in->opts, err);
    if (st) return st;
    const uint64_t per_epoch = ac_train_steps_per_epoch(&in->opts, in->train.n);
    in->total_steps = ac_train_total_steps(&in->opts, in->train.n);
    in->epochs = per_epoch ? (in->total_steps + per_epoch - 1) / per_epoch : 0;
    in->seconds = (double)(ac_mono_ns() - start) * 1e-9;
    return AC_OK;
}

void ac_train_inputs_close(ac_train_inputs *in)
{
    ac_dataset_release(&in->train);
    ac_dataset_release(&in->valid);
    ac_rows_release(&in->train_rows);
    ac_rows_release(&in->valid_rows);
    ac_loaded_release(&in->l);
    *in = (ac_train_inputs){ .total_steps = 0 };
}
