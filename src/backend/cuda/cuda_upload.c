/* backend/cuda/cuda_upload.c - large copies between host memory and the device: weights from a mapped file, logits back.
 *
 * The driver's own copy from pageable memory is one thread's, and waits for the disk page by page. Here several threads copy
 * a piece into pinned memory while the pieces before it are on the bus; the other way round they copy out of it. */
#include <string.h>
#include "backend/cuda/cuda_int.h"

#define PIECE ((size_t)8 << 20)
#define LONG  ((size_t)1 << 20)      /* shorter ones are not worth it */
#define LONG_BACK ((size_t)1 << 17)  /* a row of logits is: decoding waits for it */

void cuda_upload_close(cuda_device *d)
{
    cuda_uploads *u = &d->up;
    if (d->stream) (void)cudaStreamSynchronize(d->stream);
    for (size_t i = 0; i < CUDA_UPLOADS; i++)
        if (u->done[i]) (void)cudaEventDestroy(u->done[i]);
    (void)cudaFreeHost(u->pinned);
    if (u->copiers) d->host->copiers_close(u->copiers);
    *u = (cuda_uploads){ .copiers = NULL };
}

static bool ready(cuda_device *d)
{
    cuda_uploads *u = &d->up;
    void *p = NULL;
    if (u->pinned || u->none) return u->pinned != NULL;
    bool ok = cudaMallocHost(&p, CUDA_UPLOADS * PIECE) == cudaSuccess;
    for (size_t i = 0; ok && i < CUDA_UPLOADS; i++)
        ok = cudaEventCreateWithFlags(&u->done[i], cudaEventDisableTiming) == cudaSuccess;
    u->pinned = p;
    if (!ok) {                       /* the driver's own way is slower and no worse */
        (void)cudaGetLastError();
        cuda_upload_close(d);
        u->none = true;
        return false;
    }
    u->copiers = d->host->copiers_open();
    return true;
}

cudaError_t cuda_upload(cuda_device *d, void *to, const void *from, size_t bytes)
{
    cuda_uploads *u = &d->up;
    if (bytes < LONG || !ready(d)) return cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, d->stream);
    cudaError_t e = cudaSuccess;
    for (size_t at = 0; at < bytes && e == cudaSuccess; at += PIECE) {
        const size_t n = bytes - at < PIECE ? bytes - at : PIECE, slot = u->next++ % CUDA_UPLOADS;
        unsigned char *via = u->pinned + slot * PIECE;
        e = cudaEventSynchronize(u->done[slot]);
        if (e != cudaSuccess) break;
        d->host->copy(u->copiers, via, (const unsigned char *)from + at, n);
        e = cudaMemcpyAsync((unsigned char *)to + at, via, n, cudaMemcpyHostToDevice, d->stream);
        if (e == cudaSuccess) e = cudaEventRecord(u->done[slot], d->stream);
    }
    return e;
}

cudaError_t cuda_download(cuda_device *d, void *to, const void *from, size_t bytes)
{
    cuda_uploads *u = &d->up;
    cudaError_t e = cudaSuccess;
    const bool pinned = bytes >= LONG_BACK && ready(d);
    if (!pinned) e = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, d->stream);
    for (size_t at = 0; pinned && at < bytes && e == cudaSuccess; at += CUDA_UPLOADS * PIECE) {
        const size_t left = bytes - at, n = left < CUDA_UPLOADS * PIECE ? left : CUDA_UPLOADS * PIECE;
        e = cudaMemcpyAsync(u->pinned, (const unsigned char *)from + at, n, cudaMemcpyDeviceToHost, d->stream);
        if (e == cudaSuccess) e = cudaStreamSynchronize(d->stream);
        if (e == cudaSuccess) d->host->copy(u->copiers, (unsigned char *)to + at, u->pinned, n);
    }
    return e == cudaSuccess && !pinned ? cudaStreamSynchronize(d->stream) : e;
}
