/* backend/backend.h - the device table: buffers and the twenty or so operations that a transformer's forward
 * and backward need. A device answers whether it supports an operation with these types; a run is refused
 * by name before step 0 if not. No CUDA type leaves backend/cuda. */
#ifndef AC_BACKEND_BACKEND_H
#define AC_BACKEND_BACKEND_H

#include "base/err.h"
#include "base/pool.h"
#include "kernels/kernels.h"

typedef struct ac_device ac_device;

/* threads 0: as many as the process may use. */
ac_status ac_device_open_cpu(ac_device **out, ac_cpu tier, size_t threads, ac_err *err);
void      ac_device_close(ac_device **d);
const char *ac_device_name(const ac_device *d);      /* "cpu avx512, 2 threads" */

#endif
