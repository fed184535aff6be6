/* kernels/checkkern.h - one list of cases for correctness and speed of all kernels.
 *
 * A test is a function that opens cases; it runs once for each tier of this machine, ref included (accuracy,
 * bounds and gradients are judged there; the other tiers must give ref's bytes).
 * K1  Buffers end at an unmapped page: touching what lies behind faults, and the case fails by name.
 * K2  Inputs (ck_f32, ck_input) must come out of a case unchanged; the 64 bytes before any buffer too.
 * K3  Everything a case got lives until the next case opens. Data depends on the seed and the case's name
 *     alone, so that a name filter changes nothing.
 * K4  The summary line of a tier ends in a digest of ref's outputs over all cases: the same on every compiler and
 *     machine, for one seed and one list of cases. So inputs never come from libm.
 * To add a file: define `const ck_test ck_x_tests[]` ending in { 0 }, declare it below, list it in checkkern.c. */
#ifndef AC_TESTS_CHECKKERN_H
#define AC_TESTS_CHECKKERN_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/pool.h"
#include "kernels/kernels.h"

typedef enum {
    CK_UNIT,        /* uniform in (-1, 1)                                     */
    CK_POSITIVE,    /* uniform in (0, 1]                                      */
    CK_WIDE,        /* signed, exponents from 2^-20 to 2^20                   */
    CK_TINY,        /* signed, around the smallest normal number              */
    CK_DENORMAL,    /* signed denormals, some zeros of both signs             */
    CK_SIGNED_ZERO, /* half zeros of both signs, the rest CK_UNIT             */
    CK_LOGITS,      /* like a row of logits: around 0, spread 5, a few at 20  */
    CK_N_DATA
} ck_data;

typedef struct ck ck;
typedef struct {
    const char *name;
    void (*run)(ck *t);
} ck_test;

typedef struct {
    double ulp;         /* allowed distance in ulp of the wanted value ...             */
    double relative_to; /* ... or of this magnitude where it is larger (a sum's terms) */
} ck_tol;

struct ck {
    ac_kernels ref, tier;
    const char *tier_name;
    bool is_ref;            /* the tier under test is ref itself */
    bool bench, verbose;
    sigjmp_buf trap;
    char name[96];
    bool active;
};

extern const ck_test ck_vec_tests[], ck_optim_tests[], ck_attn_tests[], ck_loss_tests[], ck_matmul_tests[];

/* Opens a case; false when filtered out, or when benchmarks are asked for and this is none (and reversely). */
bool ck_case(ck *t, const char *format, ...) AC_PRINTF(2, 3);
bool ck_bench_case(ck *t, const char *format, ...) AC_PRINTF(2, 3);
const char *ck_data_name(ck_data d);

/* Gives read-only input; a copy to be changed; an output filled with a NaN pattern; zeroed bytes. */
const float *ck_f32(ck *t, size_t n, ck_data data);
const void  *ck_input(ck *t, const void *bytes, size_t n_bytes);
float       *ck_copy(ck *t, const float *from, size_t n);
float       *ck_out(ck *t, size_t n);
void        *ck_bytes(ck *t, size_t n_bytes);
uint32_t     ck_u32(ck *t);                       /* random word of this case */
ac_pool     *ck_pool(ck *t, size_t threads);      /* 1 to 7; opened once, kept */

void ck_fail(ck *t, const char *format, ...) AC_PRINTF(2, 3);
void ck_same_bytes(ck *t, const void *got, const void *want, size_t n_bytes);
void ck_same_floats(ck *t, const float *got, const float *want, size_t n);   /* bytes; says which float */
void ck_near_double(ck *t, const float *got, const double *want, size_t n, ck_tol tol);
/* |got - want| <= tol * (|want| + scale), for gradients. */
void ck_near_relative(ck *t, double got, double want, double scale, double tol, const char *what);

/* Around each call of a kernel under test: a fault or an illegal instruction in there fails the case and ends
 * this test (its later cases are reported as not run), not the program. */
#define CK_CALL(t, call) \
    do {                 \
        ck_enter(t);     \
        call;            \
        ck_leave(t);     \
    } while (0)

/* Prints nanoseconds a call and, with work > 0, units of work a nanosecond (flop: GFLOP/s; byte: GB/s). */
#define CK_BENCH(t, work, unit, call)                             \
    do {                                                          \
        for (ck_bench b_ = ck_bench_begin(); ck_bench_more(&b_);) { \
            for (size_t i_ = 0; i_ < b_.rounds; i_++) call;       \
            ck_bench_end(&b_);                                    \
        }                                                         \
        ck_bench_print(t, (double)(work), unit);                  \
    } while (0)

typedef struct {
    size_t rounds, batch;
    int64_t start_ns;
} ck_bench;
void     ck_enter(ck *t);
void     ck_leave(ck *t);
ck_bench ck_bench_begin(void);
bool     ck_bench_more(ck_bench *b);
void     ck_bench_end(ck_bench *b);
void     ck_bench_print(ck *t, double work, const char *unit);

#endif
