/* tests/cudasim/sim_device.cpp - an invented GPU's memory, streams and events.
 *
 * Device memory is the heap's, one allocation a block, so that AddressSanitizer sees its ends; without it, what lies before
 * and behind is compared when the block goes. Fresh memory is filled with ones, which are NaN in binary32 and bfloat16. */
#include <stdio.h>
#include <stdlib.h>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "sim_int.h"

namespace sim {

std::recursive_mutex lock;

enum { MOST_WAITING = 512, FRESH = 0xff, EDGE = 0xa5 };
constexpr size_t MEMORY = (size_t)8 << 30, CONTEXT = (size_t)256 << 20, DEFAULT_SHARED = 48 << 10, SHARED = 163 << 10;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t MARGIN = 0;
#else
constexpr size_t MARGIN = 256;
#endif

static std::map<const unsigned char *, size_t> blocks, pinned;
static size_t used;
static cudaError_t last;
static std::map<const void *, size_t> asked;     /* dynamic shared memory, by kernel */

int order_set()
{
    static const char *const text = getenv("ACCORD_SIM_ORDER");
    static const int value = text ? atoi(text) : -1;
    return value;
}

void set_error(cudaError_t e)
{
    if (e != cudaSuccess) last = e;
}

static cudaError_t told(cudaError_t e)
{
    set_error(e);
    return e;
}

static bool within(const std::map<const unsigned char *, size_t> &of, const void *p, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)p;
    auto i = of.upper_bound(at);
    if (i == of.begin()) return false;
    --i;
    return at >= i->first && at + bytes <= i->first + i->second;
}

bool on_device(const void *p, size_t bytes)
{
    return within(blocks, p, bytes);
}

static void check_edges(const unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < MARGIN; i++)
        if (p[bytes + i] != EDGE || *(p - 1 - i) != EDGE)
            fail("device memory of %zu bytes was written outside, %zu bytes %s", bytes, i,
                 p[bytes + i] != EDGE ? "behind its end" : "before its start");
}

static void release(void *p)
{
    if (!p) return;
    auto i = blocks.find((const unsigned char *)p);
    if (i == blocks.end()) fail("what is freed (%p) is no device memory", p);
    check_edges(i->first, i->second);
    used -= i->second;
    blocks.erase(i);
    free((unsigned char *)p - MARGIN);
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

typedef std::vector<std::function<void()>> recorded;
struct stream {
    std::deque<std::function<void()>> waiting;
    std::unique_ptr<recorded> recording;         /* operations go there in place of `waiting` */
};
static std::map<cudaStream_t, std::unique_ptr<stream>> streams;

static stream *of(cudaStream_t s)
{
    auto i = streams.find(s);
    if (i != streams.end()) return i->second.get();
    if (s) fail("a stream that was not created, or was destroyed");
    return (streams[nullptr] = std::make_unique<stream>()).get();
}

static void drain(stream *s)
{
    if (s->recording) fail("a stream is waited for while its operations are recorded");
    while (!s->waiting.empty()) {
        const std::function<void()> op = std::move(s->waiting.front());
        s->waiting.pop_front();
        op();
    }
}

static void drain_all()
{
    for (auto &s : streams) drain(s.second.get());
}

void push(cudaStream_t at, std::function<void()> op)
{
    stream *s = of(at);
    if (s->recording) {
        s->recording->push_back(std::move(op));
        return;
    }
    s->waiting.push_back(std::move(op));
    if (s->waiting.size() > MOST_WAITING || (order_set() >= 0 && order_set() & AT_ONCE)) drain(s);
}

/* How much a launch may have. One by <<<>>> does not say which kernel it is: then as much as any was given. */
static size_t shared_for(const void *kernel)
{
    size_t most = DEFAULT_SHARED;
    for (const auto &i : asked)
        if ((!kernel || i.first == kernel) && i.second > most) most = i.second;
    return most;
}

}

using namespace sim;
typedef std::lock_guard<std::recursive_mutex> guard;

/* ---- launches ---------------------------------------------------------------------------------------------------- */

void sim_launch::run(std::function<void()> body) const
{
    const guard g(lock);
    const size_t threads = (size_t)block.x * block.y * block.z;
    if (!threads || threads > 1024 || !grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 ||
        shared > shared_for(kernel)) {
        set_error(cudaErrorInvalidConfiguration);
        return;
    }
    push(stream, [launch = *this, body]() { execute(launch, body); });
}

cudaError_t sim_set_attribute(const void *kernel, cudaFuncAttribute what, int value)
{
    const guard g(lock);
    if (what != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || (size_t)value > SHARED) return told(cudaErrorInvalidValue);
    asked[kernel] = (size_t)value;
    return cudaSuccess;
}

/* ---- the device ---------------------------------------------------------------------------------------------------- */

extern "C" {

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNotReady: return "device not ready";
    }
    return "unknown error";
}

cudaError_t cudaGetLastError(void)
{
    const guard g(lock);
    const cudaError_t e = last;
    last = cudaSuccess;
    return e;
}

/* ACCORD_SIM_GPUS: so many are there, all alike; a process uses one. */
static int gpus()
{
    const char *n = getenv("ACCORD_SIM_GPUS");
    const int all = n ? atoi(n) : 1;
    return all > 0 ? all : 1;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = gpus();
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal)
{
    return told(ordinal >= 0 && ordinal < gpus() ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int ordinal)
{
    if (ordinal < 0 || ordinal >= gpus()) return told(cudaErrorInvalidDevice);
    *prop = cudaDeviceProp();
    (void)snprintf(prop->name, sizeof prop->name, "simulated GPU");
    prop->totalGlobalMem = MEMORY;
    prop->sharedMemPerBlock = DEFAULT_SHARED;
    prop->sharedMemPerBlockOptin = SHARED;
    prop->major = 8;
    prop->minor = 0;
    prop->multiProcessorCount = 4;
    prop->maxThreadsPerBlock = 1024;
    prop->warpSize = 32;
    return cudaSuccess;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    const guard g(lock);
    *all = MEMORY;
    *left = MEMORY - CONTEXT - used;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    const guard g(lock);
    void *at = nullptr;
    *p = nullptr;
    if (!bytes) return cudaSuccess;
    if (bytes > MEMORY - CONTEXT - used || posix_memalign(&at, 256, bytes + 2 * MARGIN)) return told(cudaErrorMemoryAllocation);
    unsigned char *own = (unsigned char *)at + MARGIN;
    memset(at, EDGE, MARGIN);
    memset(own, FRESH, bytes);
    memset(own + bytes, EDGE, MARGIN);
    blocks[own] = bytes;
    used += bytes;
    *p = own;
    return cudaSuccess;
}

/* Waits for everything, as the driver does. */
cudaError_t cudaFree(void *p)
{
    const guard g(lock);
    drain_all();
    release(p);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t s)
{
    (void)s;
    return cudaMalloc(p, bytes);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t s)
{
    const guard g(lock);
    push(s, [p]() { release(p); });
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    const guard g(lock);
    *p = malloc(bytes);
    if (!*p) return told(cudaErrorMemoryAllocation);
    pinned[(const unsigned char *)*p] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    const guard g(lock);
    if (!p) return cudaSuccess;
    if (!pinned.erase((const unsigned char *)p)) fail("what is freed (%p) is no pinned memory", p);
    drain_all();
    free(p);
    return cudaSuccess;
}

static void check_device(const void *p, size_t bytes, const char *what)
{
    if (!on_device(p, bytes)) fail("%s %zu bytes at %p: not within one block of device memory", what, bytes, p);
}

/* What a recorded copy reads of ordinary memory it reads when it is run: not what is there now. */
static void check_not_recorded(cudaStream_t s)
{
    if (of(s)->recording) fail("a copy from or to the host's memory is recorded");
}

static void check_host(const void *p, const char *what)
{
    if (on_device(p, 1)) fail("%s %p: device memory, where the host's is named", what, p);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t s)
{
    const guard g(lock);
    if (!bytes) return cudaSuccess;
    if (kind != cudaMemcpyDeviceToDevice) check_not_recorded(s);
    if (kind == cudaMemcpyHostToDevice) {
        check_host(from, "a copy from");
        if (!within(pinned, from, bytes)) {
            auto taken = std::make_shared<std::vector<unsigned char>>((const unsigned char *)from, (const unsigned char *)from + bytes);
            push(s, [=]() {
                check_device(to, bytes, "a copy of");
                memcpy(to, taken->data(), bytes);
            });
            return cudaSuccess;
        }
    } else if (kind == cudaMemcpyDeviceToHost) {
        check_host(to, "a copy to");
    } else if (kind != cudaMemcpyDeviceToDevice) {
        return told(cudaErrorInvalidValue);
    }
    push(s, [=]() {
        if (kind != cudaMemcpyHostToDevice) check_device(from, bytes, "a copy of");
        if (kind != cudaMemcpyDeviceToHost) check_device(to, bytes, "a copy of");
        memmove(to, from, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    const guard g(lock);
    drain_all();
    const cudaError_t e = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    drain_all();
    return e;
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t s)
{
    const guard g(lock);
    push(s, [=]() {
        if (bytes) check_device(to, bytes, "setting");
        memset(to, byte, bytes);
    });
    return cudaSuccess;
}

/* ---- streams and events ------------------------------------------------------------------------------------------------ */

struct CUstream_st {
    int unused;
};
struct CUevent_st {
    cudaStream_t after;
};

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    const guard g(lock);
    (void)flags;
    *s = new CUstream_st();
    streams[*s] = std::make_unique<stream>();
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    const guard g(lock);
    drain(of(s));
    streams.erase(s);
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    const guard g(lock);
    drain(of(s));
    return cudaSuccess;
}

/* Nothing is ever under way when it is asked. */
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    return cudaStreamSynchronize(s);
}

cudaError_t cudaDeviceSynchronize(void)
{
    const guard g(lock);
    drain_all();
    return cudaSuccess;
}

/* ---- recorded operations: a graph runs them in the order in which they were given ---- */

struct CUgraph_st {
    recorded ops;
};
struct CUgraphExec_st {
    recorded ops;
};

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode)
{
    const guard g(lock);
    (void)mode;
    if (of(s)->recording) return told(cudaErrorInvalidValue);
    of(s)->recording = std::make_unique<recorded>();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    const guard g(lock);
    *graph = nullptr;
    if (!of(s)->recording) return told(cudaErrorInvalidValue);
    *graph = new CUgraph_st{ std::move(*of(s)->recording) };
    of(s)->recording.reset();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    *exec = new CUgraphExec_st{ graph->ops };
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    const guard g(lock);
    for (const auto &op : exec->ops) push(s, op);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    const guard g(lock);
    drain_all();
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    (void)flags;
    *e = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}

/* Waiting for an event waits for its whole stream: more than a GPU does, never less. */
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    e->after = s;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    return e->after ? cudaStreamSynchronize(e->after) : cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)s;
    (void)flags;
    return cudaEventSynchronize(e);
}

}
