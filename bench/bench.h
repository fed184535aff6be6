/* bench.h - figures that are ratios to what the machine could do in the same round, and their report.
 *
 * A round goes through every group once and adds one value to each figure, so that a machine that changes under the
 * run spoils rounds and not figures; reported are the median, the least and the largest. Within a round a value is
 * the best of a few samples, each beside a sample of what it is compared with.
 * Figures at two threads need two cores: a round whose two-thread peak is under 1.8 times its one-thread peak is
 * skipped for them, and counted. */
#ifndef AC_BENCH_H
#define AC_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include "bench_peak.h"
#include "kernels/kernels.h"

enum { MAX_ROUNDS = 32, MAX_FIGURES = 160, MAX_ENVS = 4 };

typedef struct {
    char id[72];                   /* "products.nt.avx512.1t" */
    const char *text, *tier;
    double at_least, aim;          /* 0: no demand */
    bool at_most;                  /* the demand is a ceiling */
    const char *unit;              /* "%" prints as a share */
    double value[MAX_ROUNDS];
    size_t n, skipped;
    char note[64];                 /* the worst shape, or why it was not run */
} figure;

/* One tier at one number of threads. */
typedef struct {
    ac_kernels kernels;
    ac_pool *pool;
    ac_mm_workspace *ws;
    size_t threads;
    const char *tier;
    bool main_tier, skip;          /* skip: this round has no two cores */
    double peak;                   /* GFLOP/s, best burst of this round */
} env;

typedef struct {
    env env[MAX_ENVS];
    size_t n_envs;
    figure figure[MAX_FIGURES];
    size_t n_figures;
    const char *only;              /* part of a group's name, or NULL */
    const char *model;             /* GGUF file of the 135 M model, or NULL */
    bool one_core;
    uint8_t *weights;              /* WEIGHT_BYTES */
    float *a, *c;                  /* FLOATS each */
    ac_dtype filled;
} bench;

#define WEIGHT_BYTES ((size_t)96 << 20)
#define FLOATS       ((size_t)2048 * 4864)

/* What a figure is and asks; made by the first round. `e` adds tier and threads to the id. */
typedef struct {
    const char *id, *text, *unit;
    double at_least, aim;
    bool at_most;
} demand;
figure *bench_figure(bench *b, const env *e, const demand *d);
/* Adds a round's value; not when the round is to be skipped for this env. */
void bench_add(figure *f, const env *e, double value);
void bench_not_run(figure *f, const char *why);

/* ---- samples ---------------------------------------------------------------------------------------- */

typedef void op(void *ctx);

/* Seconds of `reps` calls. */
double bench_seconds(const env *e, op *run, void *ctx, size_t reps);
/* Calls that take about `seconds`. */
size_t bench_reps(const env *e, op *run, void *ctx, double seconds);
/* GFLOP/s of the best sample over GFLOP/s of the best burst of fma chains beside it. */
double bench_share(const env *e, op *run, void *ctx, double flops);
/* How many times faster `run` is than `other`, each at its best. */
double bench_times(const env *e, op *run, void *ctx, op *other, void *other_ctx);

/* ---- groups: one round of each ------------------------------------------------------------------------ */

void bench_peaks(bench *b, env *e);
void bench_products(bench *b, env *e);         /* bench_products.c */
void bench_stored(bench *b, env *e);
void bench_thin(bench *b, env *e);
void bench_libraries(bench *b, env *e);        /* bench_blas.c */
void bench_vectors(bench *b, env *e);          /* bench_vectors.c */
void bench_attention(bench *b, env *e);
void bench_model(bench *b, env *e);            /* bench_model.c */
void bench_model_close(void);

/* The linear layers of the 135 M and the 0.5 B model, out x in. */
typedef struct {
    const char *name;
    size_t out, in;
} layer_shape;
extern const layer_shape bench_layers[8];
/* A product on the bench's buffers; weights rotate over copies, so that they come from memory as in a model. */
typedef struct {
    env *e;
    ac_matmul_args args;
    size_t bytes, copies, at;
    const uint8_t *weights;
    ac_panels *panels[64];         /* the copies laid out ahead, or NULL */
} product;
bool bench_product(product *p, bench *b, env *e, ac_mm_form form, ac_dtype type, size_t m, size_t out, size_t in);
/* Lays its copies out ahead, fewer of them. False and a message when there is no memory. */
bool bench_product_ahead(product *p);
void bench_product_close(product *p);
void bench_product_run(void *p);
double bench_product_flops(const product *p);

/* ---- report ------------------------------------------------------------------------------------------- */

void bench_print_table(const bench *b);
void bench_print_json(const bench *b);
/* Appends a line a figure; 0 when the file could not be written. */
bool bench_append_csv(const bench *b, const char *path, const char *date, const char *commit);

#endif
