/* backend/cuda_abi.h - between the program and libaccord_cuda.so, which is built apart (docs/cuda.md).
 *
 * X1  The library exports accord_cuda_library and nothing else, and calls the program through ac_cuda_host alone, so
 *     that it links against neither.
 * X2  abi and ops_bytes must be the program's own, or the library is refused by name: the two are built from one source.
 * X3  No CUDA type appears on this side. */
#ifndef AC_BACKEND_CUDA_ABI_H
#define AC_BACKEND_CUDA_ABI_H

#include "backend/backend.h"

#define AC_CUDA_ABI 9u

typedef struct {
    void *(*alloc)(size_t n, size_t size);
    void (*release)(void *p);
    ac_status (*fail)(ac_err *err, ac_status st, const char *fmt, ...) AC_PRINTF(3, 4);
    /* A copy by several threads; NULL from open: there are none, and copy takes that. */
    void *(*copiers_open)(void);
    void (*copiers_close)(void *copiers);
    void (*copy)(void *copiers, void *to, const void *from, size_t n);
} ac_cuda_host;

typedef struct {
    uint32_t abi;
    size_t ops_bytes;                /* sizeof(ac_device_ops) */
    const char *version;             /* ACCORD_VERSION */
    ac_status (*open)(ac_device **out, const ac_cuda_host *host, int ordinal, ac_err *err);
} ac_cuda_library;

typedef const ac_cuda_library *ac_cuda_library_fn(void);
#define AC_CUDA_SYMBOL "accord_cuda_library"

#endif
