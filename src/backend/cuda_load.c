/* backend/cuda_load.c - finds libaccord_cuda.so and checks that it belongs to this program (cuda_abi.h). */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cuda.h"
#include "backend/cuda_abi.h"
#include "base/mem.h"

enum { PATH_ROOM = 4096 };

#if AC_HAVE_DLOPEN

/* A few threads read a mapped file, its page faults, and write pinned memory as fast as a bus takes it. */
enum { COPIERS = 8 };

static void *copiers_open(void)
{
    ac_pool *p = NULL;
    const size_t cpus = ac_cpu_count();
    return ac_pool_open(&p, cpus < COPIERS ? cpus : COPIERS, NULL) ? NULL : p;
}

static void copiers_close(void *copiers)
{
    ac_pool *p = copiers;
    ac_pool_close(&p);
}

typedef struct {
    unsigned char *to;
    const unsigned char *from;
    size_t n;
} copy_job;

#define COPY_SLICE ((size_t)256 << 10)

static void copy_slice(void *ctx, size_t task, size_t worker)
{
    const copy_job *j = ctx;
    const size_t at = task * COPY_SLICE, left = j->n - at;
    AC_UNUSED(worker);
    memcpy(j->to + at, j->from + at, left < COPY_SLICE ? left : COPY_SLICE);
}

static void copy(void *copiers, void *to, const void *from, size_t n)
{
    copy_job j = { to, from, n };
    ac_pool_run(copiers, (n + COPY_SLICE - 1) / COPY_SLICE, copy_slice, &j);
}

static const ac_cuda_host host = { ac_calloc, ac_free, ac_fail, copiers_open, copiers_close, copy };

/* Beside the program, or where an installation has it. */
static void *open_near(const char *under)
{
    char path[PATH_ROOM];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash) return NULL;
    const size_t at = (size_t)(slash - path);
    const int len = snprintf(slash, sizeof path - at, "/%s%s", under, AC_CUDA_LIBRARY);
    if (len < 0 || (size_t)len >= sizeof path - at || access(path, R_OK) != 0) return NULL;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static ac_status find(void **out, ac_err *err)
{
    const char *named = getenv("ACCORD_CUDA_LIB");
    void *lib = NULL;
    (void)dlerror();
    if (named) {
        lib = dlopen(named, RTLD_NOW | RTLD_LOCAL);
    } else {
        lib = open_near("");
        if (!lib) lib = open_near("../lib/accord/");
        if (!lib) lib = dlopen(AC_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    }
    const char *why = lib ? NULL : dlerror();
    if (!lib)
        return ac_fail(err, AC_ENOENT, "the CUDA backend cannot be loaded: %s; build it with cmake -DACCORD_CUDA=ON (it "
                       "needs nvcc) and put it beside the program or name it in ACCORD_CUDA_LIB", why ? why : AC_CUDA_LIBRARY);
    *out = lib;
    return AC_OK;
}

ac_status ac_device_open_cuda(ac_device **out, int ordinal, ac_err *err)
{
    void *lib = NULL;
    const ac_status st = find(&lib, err);
    if (st) return st;
    ac_cuda_library_fn *entry = NULL;
    void *symbol = dlsym(lib, AC_CUDA_SYMBOL);
    memcpy(&entry, &symbol, sizeof entry);       /* ISO C has no cast between the two */
    const ac_cuda_library *l = entry ? entry() : NULL;
    if (!l || l->abi != AC_CUDA_ABI || l->ops_bytes != sizeof(ac_device_ops) || strcmp(l->version, ACCORD_VERSION) != 0)
        return ac_fail(err, AC_ENOENT, "%s was built from another source than this program (%s, %s); build both again",
                       AC_CUDA_LIBRARY, l ? l->version : "no version", ACCORD_VERSION);
    /* The library stays loaded: the driver keeps threads and exit handlers in it. */
    return l->open(out, &host, ordinal, err);
}

#else

ac_status ac_device_open_cuda(ac_device **out, int ordinal, ac_err *err)
{
    AC_UNUSED(out);
    AC_UNUSED(ordinal);
    return ac_fail(err, AC_ENOENT, "this program is linked statically and loads no CUDA backend; build the ordinary one");
}

#endif
