/* tests/cudasim/test_cudasim.cu - the simulated GPU itself: kernels that are right compute what they should in every order, and
 * each fault that it is there to find is found. A fault's kernel runs in a process of its own, in each order that a launch can
 * have (ACCORD_SIM_ORDER); it is found if one of them ends with the message, or gives a wrong result. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cublasLt.h>
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_mma.cuh"

enum { N = 256, THREADS = 64, LD = 24 };
static int failures, cases;

static void expect(const char *what, bool ok)
{
    cases++;
    failures += !ok;
    if (!ok) printf("%-60s FAILED\n", what);
}

/* ---- memory of both sides -------------------------------------------------------------------------------------- */

static cudaStream_t stream;

template <typename T> static T *device(size_t n)
{
    void *p = nullptr;
    if (cudaMalloc(&p, n * sizeof(T)) != cudaSuccess) abort();
    return (T *)p;
}

template <typename T> static T *device(const T *from, size_t n)
{
    T *p = device<T>(n);
    cudaMemcpyAsync(p, from, n * sizeof(T), cudaMemcpyHostToDevice, stream);
    return p;
}

template <typename T> static void host(T *to, const T *from, size_t n)
{
    cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
}

/* ---- kernels that are right -------------------------------------------------------------------------------------- */

/* A block turns its part round: a barrier between writing and reading. `faults` leave something out. */
enum { NO_BARRIER = 1, NO_LAST_BARRIER = 2 };
static __global__ void turn_kernel(int *y, const int *x, int rounds, int faults)
{
    __shared__ int room[THREADS];
    const int at = threadIdx.x;
    for (int r = 0; r < rounds; r++) {
        const int base = (blockIdx.x * rounds + r) * THREADS;
        room[at] = x[base + at];
        if (!(faults & NO_BARRIER)) __syncthreads();
        y[base + at] = room[THREADS - 1 - at];
        if (!(faults & NO_LAST_BARRIER)) __syncthreads();
    }
}

static bool turns(int faults)
{
    int x[N], y[N];
    for (int i = 0; i < N; i++) x[i] = 3 * i + 1;
    int *dx = device(x, N), *dy = device<int>(N);
    turn_kernel<<<2, THREADS, 0, stream>>>(dy, dx, N / THREADS / 2, faults);
    host(y, dy, N);
    cudaFree(dx), cudaFree(dy);
    for (int i = 0; i < N; i++)
        if (y[i] != x[i / THREADS * THREADS + THREADS - 1 - i % THREADS]) return false;
    return true;
}

/* c (16 x 16) = a b of 16 x 16, a by rows, b by rows of k, or of n. */
enum { NO_WAIT = 1, EARLY = 2 };
static __global__ void product_kernel(float *c, const bf16 *a, const bf16 *b, bool b_rows_of_n, int faults)
{
    extern __shared__ __align__(16) bf16 room[];
    bf16 *sa = room, *sb = room + 16 * LD;
    const int lane = threadIdx.x;
    fetch16(sa + lane / 2 * LD + lane % 2 * 8, a + lane * 8, true);
    commit();
    fetch16(sb + lane / 2 * LD + lane % 2 * 8, b + lane * 8, true);
    commit();
    wait_until_left<1>();
    if (!(faults & NO_WAIT)) wait_until_left<0>();
    __syncthreads();
    if (faults & EARLY) {            /* asks for the next tile before this one was read */
        fetch16(sa + lane / 2 * LD + lane % 2 * 8, b + lane * 8, true);
        commit();
    }
    uint32_t fa[4], fb[4];
    float s[2][4] = { { 0.0f } };
    load_a<LD>(fa, sa, 0, 0);
    if (b_rows_of_n) load_b<LD>(fb, sb, 0, 0);
    else load_b_t<LD>(fb, sb, 0, 0);
    mma(s[0], fa, fb[0], fb[1]);
    mma(s[1], fa, fb[2], fb[3]);
    for (int t = 0; t < 2; t++)
        for (int e = 0; e < 4; e++) c[(lane / 4 + e / 2 * 8) * 16 + t * 8 + lane % 4 * 2 + e % 2] = s[t][e];
}

static bool multiplies(bool b_rows_of_n, int faults)
{
    bf16 a[N], b[N];
    float c[N];
    for (int i = 0; i < N; i++) a[i] = __float2bfloat16_rn((float)(i % 13) - 6), b[i] = __float2bfloat16_rn((float)(i * 7 % 17) - 8);
    bf16 *da = device(a, N), *db = device(b, N);
    float *dc = device<float>(N);
    product_kernel<<<1, 32, 32 * LD * sizeof(bf16), stream>>>(dc, da, db, b_rows_of_n, faults);
    host(c, dc, N);
    cudaFree(da), cudaFree(db), cudaFree(dc);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            float want = 0;
            for (int k = 0; k < 16; k++) want += __bfloat162float(a[i * 16 + k]) * __bfloat162float(b[b_rows_of_n ? j * 16 + k : k * 16 + j]);
            if (!(c[i * 16 + j] == want)) return false;
        }
    return true;
}

static __global__ void lanes_kernel(int *y)
{
    const int lane = threadIdx.x % 32, v = 100 + threadIdx.x;
    int *own = y + 6 * threadIdx.x;
    own[0] = __shfl_xor_sync(0xffffffffu, v, 5);
    own[1] = __shfl_sync(0xffffffffu, v, 3, 8);
    own[2] = __shfl_down_sync(0xffffffffu, v, 2);
    own[3] = __shfl_up_sync(0xffffffffu, v, 2, 16);
    own[4] = (int)__ballot_sync(0xffffffffu, lane % 3 == 0);
    own[5] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, v, 1) : __shfl_xor_sync(0xffff0000u, v, 2);
}

static bool exchanges()
{
    int y[6 * THREADS], *dy = device<int>(6 * THREADS);
    lanes_kernel<<<1, THREADS, 0, stream>>>(dy);
    host(y, dy, 6 * THREADS);
    cudaFree(dy);
    for (int i = 0; i < THREADS; i++) {
        const int lane = i % 32, base = 100 + i - lane;
        const int want[6] = { base + (lane ^ 5), base + lane / 8 * 8 + 3, base + (lane + 2 < 32 ? lane + 2 : lane),
                              base + (lane % 16 >= 2 ? lane - 2 : lane), 0x49249249, base + (lane ^ (lane < 16 ? 1 : 2)) };
        for (int k = 0; k < 6; k++)
            if (y[6 * i + k] != want[k]) return false;
    }
    return true;
}

/* ---- faults ---------------------------------------------------------------------------------------------------------- */

static __global__ void bent_kernel(int *y, int what)
{
    __shared__ int room[THREADS];
    if (what == 0 && threadIdx.x < 5) return;
    if (what == 0) __syncthreads();
    if (what == 1 && threadIdx.x % 32 == 7) return;
    if (what == 1) y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
    if (what == 2 && threadIdx.x >= 32) __syncthreads();
    if (what == 3) {
        if (threadIdx.x == 1) __syncwarp();
        else y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
    }
    if (what == 4) y[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20);
    if (what == 5) y[threadIdx.x] = room[threadIdx.x];
    if (what == 6 && threadIdx.x == 0) y[N] = 1;
}

static __global__ void places_kernel(const bf16 *x, int what)
{
    if (what != 7) await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    bf16 *s = reinterpret_cast<bf16 *>(room);
    uint32_t r[4];
    if (what == 0) fetch16(s + 4, x, true);
    if (what == 1) fetch16(s, x + 4, true);
    if (what == 2) fetch16(s + 128, x, true);
    if (what == 3) fetch16(s, x + N, true);
    if (what == 4) matrices(r, s + 1);
    if (what == 5) matrices(r, s + 128);
}

static bool bent(int what)
{
    int y[N], *dy = device<int>(N);
    bent_kernel<<<1, THREADS, 0, stream>>>(dy, what);
    host(y, dy, N);
    cudaFree(dy);
    return what != 5 || (y[0] != -1 && y[THREADS - 1] != -1);        /* what nobody wrote is all ones */
}

/* Launched so that it may begin before the launch before it has ended. */
static bool not_awaited(int what)
{
    bf16 *dx = device<bf16>(N);
    start(places_kernel, 1, 32, 256, stream, dx, what);
    cudaStreamSynchronize(stream);
    cudaFree(dx);
    return true;
}

static bool misplaced(int what)
{
    bf16 *dx = device<bf16>(N);
    places_kernel<<<1, 32, 256, stream>>>(dx, what);
    cudaStreamSynchronize(stream);
    cudaFree(dx);
    return true;
}

static bool wrong_product(int what)
{
    cublasLtMatmulDesc_t d;
    cublasLtMatrixLayout_t l;
    cublasLtMatmulAlgo_t algo = {};
    const float one = 1, none = 0;
    bf16 *x = device<bf16>(64 + (what == 0 ? -1 : 0)), *y = device<bf16>(72);
    cudaMemsetAsync(x, 0, 63 * sizeof *x, stream);
    algo.data[1] = 16;
    cublasLtMatmulDescCreate(&d, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&l, CUDA_R_16BF, 8, 8, 8);
    cublasLtMatmul(nullptr, d, &one, x, l, x, l, &none, y, l, y + (what == 1 ? 1 : 0), l, &algo, nullptr, 0, stream);
    cudaStreamSynchronize(stream);
    return true;
}

static bool host_memory(int what)
{
    float x[8] = { 0 }, *d = device<float>(8);
    if (what == 0) cudaMemcpyAsync(d, x, 9 * sizeof *d, cudaMemcpyHostToDevice, stream);
    if (what == 1) cudaMemcpyAsync(x, x + 4, 4, cudaMemcpyDeviceToHost, stream);
    if (what == 2) cudaMemcpyAsync(d, d, 4, cudaMemcpyHostToDevice, stream);
    if (what == 3) cudaFree(x);
    cudaStreamSynchronize(stream);
    cudaFree(d);
    return true;
}

static bool barrier_missing(int) { return turns(NO_BARRIER); }
static bool last_barrier_missing(int) { return turns(NO_LAST_BARRIER); }
static bool wait_missing(int) { return multiplies(true, NO_WAIT); }
static bool copy_too_early(int) { return multiplies(true, EARLY); }

/* In a process of its own: its last words, and whether it ended well with a right result. */
static bool alone(bool (*run)(int), int what, int order, char *words, size_t room)
{
    int ends[2], status = 0;
    char text[8];
    fflush(stdout);
    if (pipe(ends)) abort();
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        snprintf(text, sizeof text, "%d", order);
        setenv("ACCORD_SIM_ORDER", text, 1);
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        _exit(run(what) ? 0 : 1);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < room && (got = read(ends[0], words + n, room - 1 - n)) > 0;) n += (size_t)got;
    words[n] = '\0';
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) abort();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

enum { ALL_ORDERS = 16 };

/* says NULL: only the result shows it. */
static void found(const char *name, bool (*run)(int), int what, const char *says)
{
    static char words[1 << 16];
    bool seen = false;
    for (int order = 0; order < ALL_ORDERS && !seen; order++)
        seen = !alone(run, what, order, words, sizeof words) && (!says || strstr(words, says) || strstr(words, "AddressSanitizer"));
    expect(name, seen);
    if (!seen) printf("  it said: %.200s\n", words);
}

static bool right(int)
{
    return turns(0) && multiplies(true, 0) && multiplies(false, 0) && exchanges();
}

/* ---- what a GPU reports ------------------------------------------------------------------------------------------------ */

static void test_reports()
{
    int x[4] = { 1, 2, 3, 4 }, y[4] = { 0 }, *d = device<int>(4);
    void *p = nullptr;
    bent_kernel<<<1, 2048, 0, stream>>>(d, 9);
    expect("a block of 2048 threads is refused", cudaGetLastError() == cudaErrorInvalidConfiguration);
    bent_kernel<<<dim3(1, 70000), 32, 0, stream>>>(d, 9);
    expect("70000 blocks of y are refused", cudaGetLastError() == cudaErrorInvalidConfiguration);
    bent_kernel<<<1, 32, 60000, stream>>>(d, 9);
    expect("60000 shared bytes that were not asked for are refused", cudaGetLastError() == cudaErrorInvalidConfiguration);
    cudaFuncSetAttribute(places_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 70000);
    start(bent_kernel, 1, 32, 60000, stream, d, 9);
    expect("and those that another kernel was given", cudaGetLastError() == cudaErrorInvalidConfiguration);
    start(places_kernel, 1, 32, 60000, stream, nullptr, 9);
    expect("its own are not", cudaGetLastError() == cudaSuccess);
    expect("an error is told once", cudaGetLastError() == cudaSuccess);
    expect("more shared memory than there is", cudaFuncSetAttribute(places_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 200000) ==
                                                   cudaErrorInvalidValue && cudaGetLastError() != cudaSuccess);
    expect("more memory than there is", cudaMalloc(&p, (size_t)9 << 30) == cudaErrorMemoryAllocation && cudaGetLastError() != cudaSuccess);
    cudaMemcpyAsync(d, x, sizeof x, cudaMemcpyHostToDevice, stream);
    x[0] = 9;                        /* taken at the call */
    cudaMemcpyAsync(y, d, sizeof y, cudaMemcpyDeviceToHost, stream);
    expect("a copy has not come before somebody waits", y[0] == 0);
    cudaStreamSynchronize(stream);
    expect("and then has", y[0] == 1 && y[3] == 4);
    cudaFree(d);
    d = device<int>(4);
    host(y, d, 4);
    expect("fresh memory is all ones", y[0] == -1 && y[3] == -1);
    cudaFree(d);
}

int main()
{
    char words[4096];
    for (int order = 0; order < ALL_ORDERS; order++) expect("kernels that are right, in every order", alone(right, 0, order, words, sizeof words));
    found("a barrier is missing", barrier_missing, 0, nullptr);
    found("the barrier before shared memory is written again", last_barrier_missing, 0, nullptr);
    found("a wait for cp.async is missing", wait_missing, 0, nullptr);
    found("cp.async into what is still read", copy_too_early, 0, nullptr);
    found("a barrier that some threads have left", bent, 0, "barrier");
    found("an exchange with a lane that has returned", bent, 1, "returned or never were");
    found("a barrier that half the warps come to", bent, 2, "barrier");
    found("lanes in different exchanges", bent, 3, "another exchange");
    found("a lane outside the mask", bent, 4, "mask");
    found("shared memory that nobody wrote", bent, 5, nullptr);
    found("a write behind device memory", bent, 6, "behind its end");
    found("cp.async to a crooked place", misplaced, 0, "multiple of 16");
    found("cp.async from a crooked place", misplaced, 1, "multiple of 16");
    found("cp.async behind shared memory", misplaced, 2, "outside the block's shared memory");
    found("cp.async from behind device memory", misplaced, 3, "not device memory");
    found("ldmatrix of a crooked place", misplaced, 4, "multiple of 16");
    found("ldmatrix behind shared memory", misplaced, 5, "outside the block's shared memory");
    found("a thread that does not wait for the launch before", not_awaited, 7, "without having waited");
    expect("one that does", alone(not_awaited, 8, 0, words, sizeof words));
    found("a product behind its factor", wrong_product, 0, "within device memory");
    found("a product with a place less aligned than promised", wrong_product, 1, "aligned to 16");
    found("a copy longer than its place", host_memory, 0, "not within one block");
    found("a copy from the host's memory as the device's", host_memory, 1, "not within one block");
    found("a copy from the device's memory as the host's", host_memory, 2, "where the host's is named");
    found("freeing what is not the device's", host_memory, 3, "no device memory");
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    test_reports();
    cudaStreamDestroy(stream);
    printf("%d of %d cases failed\n", failures, cases);
    return failures != 0;
}
