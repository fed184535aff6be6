/* kernels/selftest_int.h - the self-test's inside, for its own test. */
#ifndef AC_KERNELS_SELFTEST_INT_H
#define AC_KERNELS_SELFTEST_INT_H

#include "kernels/kernels_int.h"

/* Runs every check with both tables until one differs. */
ac_status ac_selftest_run(const ac_kernels *ref, const ac_kernels *tier, ac_selftest *out, ac_err *err);

#endif
