/* backend/cuda.h - the CUDA device, as far as the program knows it: a library found at run time.
 * It is looked for as ACCORD_CUDA_LIB names it, else beside the program, in ../lib/accord of it, and where the system's
 * loader looks. Threads: as backend.h. */
#ifndef AC_BACKEND_CUDA_H
#define AC_BACKEND_CUDA_H

#include "backend/backend.h"

#define AC_CUDA_LIBRARY "libaccord_cuda.so"

/* GPU number `ordinal`. AC_ENOENT: the library, or a GPU, is missing; the text says which and what to do. */
ac_status ac_device_open_cuda(ac_device **out, int ordinal, ac_err *err);

#endif
