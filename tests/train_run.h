/* tests/train_run.h - whole runs on the tiny model, and comparing what they leave. */
#ifndef ACCORD_TESTS_TRAIN_RUN_H
#define ACCORD_TESTS_TRAIN_RUN_H

#include "train_tiny.h"

/* What two runs of one contract must agree on. */
typedef struct {
    ac_sha256 adapter, trace;
} outcome_bits;

static inline outcome_bits bits_of(const char *dir)
{
    return (outcome_bits){ tiny_file_hash(dir, "adapter/adapter_model.safetensors"), tiny_file_hash(dir, "trace.jsonl") };
}

static inline bool same_bits(const outcome_bits *a, const outcome_bits *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline ac_train_job tiny_job(const tiny *t, const ac_train_opts *o, const ac_dataset *train,
                                    const ac_dataset *valid, const char *dir)
{
    ac_train_job j = { .opts = o, .model = t->model, .train = train, .valid = valid, .run_dir = dir,
                       .base_name = "tiny" };
    j.lock_hash = ac_sha256_of("lock", 4);
    return j;
}

/* Resumes where there is something to resume, starts otherwise: what a person's shell loop would do. */
static inline ac_status go_on(ac_train_job *j, ac_train_result *res, ac_err *err)
{
    ac_err none = { 0 };
    j->resume = true;
    const ac_status st = ac_train_run(j, res, &none);
    if (st != AC_ENOENT) {
        if (st && err && !err->text[0]) *err = none;
        return st;
    }
    j->resume = false;
    return ac_train_run(j, res, err);
}

#endif
