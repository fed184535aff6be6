/* tests/cudasim/sim_int.h - the simulated GPU: what its files share.
 *
 * S1  Operations of a stream wait in it until somebody waits for it, or until MOST_WAITING of them do; what a copy takes from
 *     ordinary memory is taken at the call, as the driver does it.
 * S2  Whatever a GPU leaves undefined and we can see ends the program with one line on stderr: fail(). What a GPU reports is
 *     reported.
 * S3  One thread of the program at a time: `lock`. */
#ifndef CUDASIM_INT_H
#define CUDASIM_INT_H

#include <functional>
#include <mutex>

#include "cuda_runtime.h"

/* A function compiled twice on x86, and which of the two this machine runs. The bits are the same: nothing is contracted. */
#if defined(__x86_64__)
#define SIM_WIDE __attribute__((target("avx2")))
#define SIM_HAS_WIDE (__builtin_cpu_supports("avx2") != 0)
#else
#define SIM_WIDE
#define SIM_HAS_WIDE false
#endif
#define SIM_INLINE inline __attribute__((always_inline))

namespace sim {

typedef float row8 __attribute__((vector_size(32)));

/* What a GPU leaves open is drawn anew for each launch, or set for all by ACCORD_SIM_ORDER, the sum of these. */
enum { BLOCKS_DOWN = 1, WARPS_DOWN = 2, LANES_DOWN = 4, COPIES_EARLY = 8, ORDERS = 16, AT_ONCE = 16 };
/* -1: not set. */
int order_set();

extern std::recursive_mutex lock;

/* Says where (the kernel and thread that run, if any) and what, and aborts. */
[[noreturn]] void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* sim_exec.cpp: runs all blocks of a launch. */
void execute(const sim_launch &l, const std::function<void()> &body);
bool in_shared(const void *p, size_t bytes);
/* A collective: all lanes of mask come with the same op; the last one has it performed on everybody's arg. */
typedef void lanes_op(void *const arg[32], unsigned mask);
void together(unsigned mask, lanes_op *op, const char *what, void *arg);
/* griddepcontrol.wait. */
void await_previous();
/* Copies that this thread has under way (cp.async). */
void copy_later(void *to, const void *from, bool there);
void copies_commit();
void copies_wait(unsigned left);

/* sim_device.cpp. */
void push(cudaStream_t s, std::function<void()> op);
void set_error(cudaError_t e);
/* Whether all of it is device memory of one block. */
bool on_device(const void *p, size_t bytes);

}

#endif
