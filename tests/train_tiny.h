/* tests/train_tiny.h - a tiny model of the oracle's, random rows and a run folder, for tests of generate and train. */
#ifndef ACCORD_TESTS_TRAIN_TINY_H
#define ACCORD_TESTS_TRAIN_TINY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "train/train.h"

#define TINY_LLAMA ACCORD_SOURCE_DIR "/tests/oracle/models/llama"

typedef struct {
    ac_device *dev;
    ac_model *model;
} tiny;

static inline bool tiny_open(tiny *t, const char *path, ac_cpu tier, size_t threads)
{
    ac_err err = { 0 };
    *t = (tiny){ 0 };
    if (ac_device_open_cpu(&t->dev, tier, threads, &err) || ac_model_open(&t->model, t->dev, path, &err)) {
        fprintf(stderr, "tiny_open: %s\n", err.text);
        return false;
    }
    return true;
}

static inline void tiny_close(tiny *t)
{
    ac_model_close(&t->model);
    ac_device_close(&t->dev);
}

/* n rows of 4 to 4 + spread tokens, the second half of each supervised; ids 3 .. vocab - 1 that climb by a fixed
 * stride, so that there is something to learn. */
static inline ac_dataset tiny_rows(size_t n, size_t spread, uint32_t vocab, uint64_t seed)
{
    ac_dataset d = { .n = n };
    d.sample = ac_arena_alloc_array(&d.arena, n, sizeof *d.sample);
    for (size_t i = 0; i < n; i++) {
        const size_t len = 4 + ac_rng_below(seed, AC_RNG_TEST, i, 0, (uint32_t)spread + 1);
        int32_t *ids = ac_arena_alloc_array(&d.arena, len, sizeof *ids);
        uint8_t *target = ac_arena_alloc(&d.arena, len);
        uint32_t id = ac_rng_below(seed, AC_RNG_TEST, i, 1, vocab - 3);
        for (size_t k = 0; k < len; k++) {
            ids[k] = (int32_t)(3 + id);
            id = (id + 5) % (vocab - 3);
            target[k] = k >= len / 2;
            d.n_targets += target[k];
            d.sample[i].n_target += target[k];
        }
        d.sample[i].ids = ids;
        d.sample[i].target = target;
        d.sample[i].n = len;
        d.sample[i].line = i + 1;
        d.n_tokens += len;
        if (len > d.max_len) d.max_len = len;
    }
    return d;
}

static inline void tiny_rows_drop(ac_dataset *d)
{
    ac_arena_release(&d->arena);
    *d = (ac_dataset){ 0 };
}

static inline ac_train_opts tiny_opts(void)
{
    return (ac_train_opts){
        .lora = { .rank = 4, .alpha = 8, .targets = (1u << AC_TARGET_COUNT) - 1 },
        .lr = 5e-3, .warmup_ratio = 0.1, .schedule = AC_SCHED_COSINE, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
        .weight_decay = 0.01, .clip = 1.0, .epochs = 2, .batch_rows = 6, .shards = 1, .micro_batch = 1, .packing = true,
        .pack_len = 48, .seed = 7, .keep_checkpoints = 2,
    };
}

/* A fresh folder; in memory where there is such a place, since these tests sync thousands of files. The static buffer
 * lasts until the next call but three. */
static inline const char *tiny_dir(void)
{
    static char buf[4][256];
    static unsigned turn;
    char *b = buf[turn++ % 4];
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 200) tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(b, sizeof buf[0], "%s/accord_train.XXXXXX", tmp);
    return mkdtemp(b);
}

static inline ac_sha256 tiny_file_hash(const char *dir, const char *name)
{
    char path[512];
    ac_sha256 h = { { 0 } };
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    if (ac_sha256_file(&h, path, NULL)) memset(h.byte, 0xee, sizeof h.byte);
    return h;
}

#endif
