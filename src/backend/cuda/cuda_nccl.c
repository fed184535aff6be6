/* backend/cuda/cuda_nccl.c - sums with the GPUs of other processes, by NCCL, which is found at run time: ACCORD_NCCL_LIB names
 * it, else libnccl.so.2 where the system's loader looks. Only its point-to-point calls are used, with a sum of our own behind them:
 * a collective's order of additions is NCCL's choice, and ours is the contract's. What is declared here is the part of nccl.h (2.x)
 * that these calls take. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "backend/cuda/cuda_int.h"

enum { NCCL_SUCCESS = 0, NCCL_IN_PROGRESS = 7, NCCL_FLOAT32 = 7 };
#define PIECE ((size_t)16 << 20)     /* floats at once: 64 MiB */

typedef struct {
    char internal[AC_PEERS_ID];
} nccl_id;

typedef struct {
    int (*get_unique_id)(nccl_id *id);
    int (*comm_init_rank)(void **comm, int n, nccl_id id, int rank);
    int (*comm_destroy)(void *comm);
    int (*comm_abort)(void *comm);
    int (*comm_async_error)(void *comm, int *result);
    int (*send)(const void *from, size_t n, int type, int peer, void *comm, cudaStream_t s);
    int (*recv)(void *to, size_t n, int type, int peer, void *comm, cudaStream_t s);
    int (*group_start)(void);
    int (*group_end)(void);
    const char *(*error_string)(int result);
} nccl_calls;

static nccl_calls nccl;
static bool nccl_there;

/* ISO C has no cast from an object's place to a function's. */
static bool find(void *lib, const char *name, void *to)
{
    void *symbol = dlsym(lib, name);
    memcpy(to, &symbol, sizeof symbol);
    return symbol != NULL;
}

static ac_status can(ac_device *dev, ac_err *err)
{
    const char *named = getenv("ACCORD_NCCL_LIB"), *path = named ? named : "libnccl.so.2";
    cuda_device *d = cuda_of(dev);
    if (nccl_there) return AC_OK;
    (void)setenv("NCCL_NVLS_ENABLE", "0", 0);        /* multicast serves collectives, which are not used */
    (void)dlerror();
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        const char *why = dlerror();
        return d->host->fail(err, AC_ENOENT, "NCCL cannot be loaded (%s); install it, or name it in ACCORD_NCCL_LIB", why ? why : path);
    }
    nccl_there = find(lib, "ncclGetUniqueId", &nccl.get_unique_id) && find(lib, "ncclCommInitRank", &nccl.comm_init_rank)
                 && find(lib, "ncclCommDestroy", &nccl.comm_destroy) && find(lib, "ncclCommAbort", &nccl.comm_abort)
                 && find(lib, "ncclCommGetAsyncError", &nccl.comm_async_error) && find(lib, "ncclSend", &nccl.send)
                 && find(lib, "ncclRecv", &nccl.recv) && find(lib, "ncclGroupStart", &nccl.group_start)
                 && find(lib, "ncclGroupEnd", &nccl.group_end) && find(lib, "ncclGetErrorString", &nccl.error_string);
    return nccl_there ? AC_OK : d->host->fail(err, AC_ENOENT, "%s is no NCCL of version 2.7 or later", path);
}

static ac_status failed(cuda_device *d, int result, const char *what, ac_err *err)
{
    return d->host->fail(err, AC_ESTATE, "%s: %s failed: %s", d->name, what, nccl.error_string(result));
}

/* D3's failure, told now. */
static ac_status dev_failed(cuda_device *d, ac_err *err)
{
    const ac_status st = d->st;
    d->st = AC_OK;
    return d->host->fail(err, st, "%s", d->why);
}

static ac_status new_id(ac_device *dev, unsigned char out[AC_PEERS_ID], ac_err *err)
{
    nccl_id id;
    const ac_status st = can(dev, err);
    if (st) return st;
    memset(&id, 0, sizeof id);
    const int r = nccl.get_unique_id(&id);
    if (r != NCCL_SUCCESS) return failed(cuda_of(dev), r, "ncclGetUniqueId", err);
    memcpy(out, id.internal, AC_PEERS_ID);
    return AC_OK;
}

static void let_group_go(cuda_device *d, bool in_order)
{
    if (d->peers.comm) (void)(in_order ? nccl.comm_destroy : nccl.comm_abort)(d->peers.comm);
    (void)cudaFree(d->peers.piece);
    d->peers = (cuda_peers){ .comm = NULL };
}

static ac_status open_group(ac_device *dev, const unsigned char from[AC_PEERS_ID], size_t rank, size_t n, ac_err *err)
{
    cuda_device *d = cuda_of(dev);
    nccl_id id;
    const ac_status st = can(dev, err);
    if (st) return st;
    if (d->peers.comm) return d->host->fail(err, AC_ESTATE, "%s is in a group of GPUs already", d->name);
    memcpy(id.internal, from, AC_PEERS_ID);
    const int r = nccl.comm_init_rank(&d->peers.comm, (int)n, id, (int)rank);
    if (r == NCCL_SUCCESS) return AC_OK;
    d->peers.comm = NULL;
    return failed(d, r, "ncclCommInitRank", err);
}

static ac_status room_for(cuda_device *d, size_t n, ac_err *err)
{
    const size_t want = n < PIECE ? n : PIECE;
    void *p = NULL;
    if (d->peers.room >= want) return AC_OK;
    (void)cudaFree(d->peers.piece);
    d->peers.piece = NULL;
    d->peers.room = 0;
    if (!cuda_ok(d, cudaMalloc(&p, want * sizeof(float)), "memory for the exchange with other GPUs")) return dev_failed(d, err);
    d->peers.piece = p;
    d->peers.room = want;
    return AC_OK;
}

/* The stream runs empty, or idle wants to leave, or NCCL found an error. */
static ac_status wait_for(cuda_device *d, const ac_idle *idle, ac_err *err)
{
    const struct timespec nap = { .tv_nsec = 50000 };
    cudaError_t e;
    for (unsigned turn = 1; (e = cudaStreamQuery(d->stream)) == cudaErrorNotReady; turn++) {
        int r = NCCL_SUCCESS;
        if (turn < 1000) continue;                   /* a sum takes less than a nap as a rule */
        (void)nanosleep(&nap, NULL);
        if (turn % 256) continue;
        if (nccl.comm_async_error(d->peers.comm, &r) == NCCL_SUCCESS && r != NCCL_SUCCESS && r != NCCL_IN_PROGRESS)
            return failed(d, r, "the exchange with another GPU", err);
        const ac_status st = idle ? idle->fn(idle->ctx, err) : AC_OK;
        if (st) return st;
    }
    return cuda_ok(d, e, "the exchange with another GPU") ? AC_OK : dev_failed(d, err);
}

static ac_status add(ac_device *dev, size_t partner, ac_ref to, size_t n, const ac_idle *idle, ac_err *err)
{
    cuda_device *d = cuda_of(dev);
    if (!d->peers.comm) return d->host->fail(err, AC_ESTATE, "%s is in no group of GPUs", d->name);
    ac_status st = d->st ? dev_failed(d, err) : room_for(d, n, err);
    for (size_t at = 0; !st && at < n; at += d->peers.room) {
        const size_t k = n - at < d->peers.room ? n - at : d->peers.room;
        float *own = cuda_f32(to) + at;
        int r = nccl.group_start();
        if (r == NCCL_SUCCESS) r = nccl.send(own, k, NCCL_FLOAT32, (int)partner, d->peers.comm, d->stream);
        if (r == NCCL_SUCCESS) r = nccl.recv(d->peers.piece, k, NCCL_FLOAT32, (int)partner, d->peers.comm, d->stream);
        const int end = nccl.group_end();
        if (r == NCCL_SUCCESS) r = end;
        if (r != NCCL_SUCCESS) {
            st = failed(d, r, "the exchange with another GPU", err);
            break;
        }
        /* Behind both in the stream. own + theirs is theirs + own, to the bit: no NaN is ever kept. */
        k_add(d->stream, own, d->peers.piece, k);
        cuda_launched(d, "a sum");
    }
    if (!st) st = wait_for(d, idle, err);
    if (!st && d->st) st = dev_failed(d, err);
    cuda_wrote(to);
    if (st) let_group_go(d, false);
    return st;
}

/* What NCCL destroys it may wait for others to destroy too; so a group that others may still hold is aborted. */
static void close_group(ac_device *dev, bool in_order)
{
    let_group_go(cuda_of(dev), in_order);
}

const ac_peers_ops cuda_peers_ops = { .can = can, .id = new_id, .open = open_group, .add = add, .close = close_group };
