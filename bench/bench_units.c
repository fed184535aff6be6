/* bench_units - the units that `accord train` computes, as JSON, so that other trainers get the same rows.
 *
 * usage: bench_units DIR STEPS. DIR holds accord.yaml. Prints {"pack_len":..,"steps":[[unit,..],..]}; a unit has its
 * ids, a mask (1: this token is predicted and learnt) and the first token of each document in it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "cli/train_run.h"
#include "contract/contract.h"
#include "train/train_int.h"

typedef struct {
    ac_contract contract;
    ac_loaded l;
    ac_row_file rows;
    ac_dataset data;
    ac_train_opts opts;
    ac_arena arena;
} source;

static ac_status read_source(source *s, const char *dir, ac_err *err)
{
    const char *model = NULL;
    const ac_sink silent = { NULL, NULL };
    ac_status st = ac_contract_read(&s->contract, dir, err);
    if (!st) st = ac_contract_model_path(&s->contract, &model, err);
    if (!st) st = ac_load_tokenizer(&s->l, model, err);
    if (!st) st = ac_train_opts_of(&s->opts, &s->contract.v, err);
    if (!st) st = ac_train_data(&s->data, &s->rows, &s->l, &s->contract, s->contract.v.train, &silent, err);
    return st;
}

static void print_unit(const ac_unit *u)
{
    printf("{\"ids\":[");
    for (size_t i = 0; i < u->n; i++) printf("%s%d", i ? "," : "", u->ids[i]);
    printf("],\"target\":[");
    for (size_t i = 0; i < u->n; i++) printf("%s%d", i ? "," : "", u->target[i]);
    printf("],\"doc_start\":[");
    for (size_t i = 0; i < u->n_docs; i++) printf("%s%u", i ? "," : "", u->doc_start[i]);
    printf("]}");
}

static ac_status print_steps(source *s, uint64_t steps, ac_err *err)
{
    const uint64_t per_epoch = ac_train_steps_per_epoch(&s->opts, s->data.n);
    ac_epoch_plan plan = { .n_units = 0 };
    ac_status st = AC_OK;
    printf("{\"pack_len\":%zu,\"steps\":[", s->opts.pack_len);
    for (uint64_t i = 0; i < steps && !st; i++) {
        ac_unit_list u = { .n = 0 };
        if (i % per_epoch == 0) st = ac_epoch_plan_make(&plan, &s->data, &s->opts, i / per_epoch, &s->arena, err);
        if (!st) st = ac_units_of_step(&u, &s->data, &plan, (size_t)(i % per_epoch), &s->arena, err);
        printf("%s[", i ? ",\n" : "\n");
        for (size_t j = 0; j < u.n; j++) {
            if (j) printf(",\n ");
            print_unit(&u.unit[j]);
        }
        printf("]");
    }
    printf("\n]}\n");
    return st;
}

int main(int argc, char **argv)
{
    static source s;
    ac_err err = { 0 };
    char *end = NULL;
    const uint64_t steps = argc == 3 ? strtoull(argv[2], &end, 10) : 0;
    if (!steps || *end) {
        fprintf(stderr, "usage: bench_units DIR STEPS\n");
        return 64;
    }
    ac_status st = read_source(&s, argv[1], &err);
    if (!st) st = print_steps(&s, steps, &err);
    if (st) fprintf(stderr, "bench_units: %s\n", err.text);
    ac_dataset_release(&s.data);
    ac_rows_release(&s.rows);
    ac_loaded_release(&s.l);
    ac_contract_release(&s.contract);
    ac_arena_release(&s.arena);
    return st ? 65 : 0;
}
