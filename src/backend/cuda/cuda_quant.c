/* backend/cuda/cuda_quant.c - weights that stay on the device as stored, and the place where a product finds them expanded.
 *
 * Q1  bfloat16 is used where it lies; F32 and F16 are rounded once, when the model is opened, since they would be no smaller;
 *     the quantised types stay as they are and are expanded before a product, expand_row's value rounded once to bfloat16.
 *     A product so sees the same bits either way.
 * Q2  The place is a ring, as large as the largest matrix, or the largest few that one product may want at once. What is
 *     still in it is not expanded again: a layer's weights between its recomputed forward and its backward, mostly.
 * Q3  A place stays good until the next cuda_weights call whose matrix is not there yet.
 * Q4  Where memory allows and somebody asks (prepare), a matrix is expanded once and for all, beside what is stored. */
#include <string.h>
#include "backend/cuda/cuda_int.h"

/* ---- when a model is opened -------------------------------------------------------------------------------- */

static size_t wide_size(const ac_matrix *w)
{
    return (w->rows * w->cols * sizeof(cuda_bf16) + 255) / 256 * 256;
}

/* Three that follow each other and have rows of one length are what a product may take together: q, k and v; gate and up. A
 * vocabulary's matrix is taken alone. */
static void need_room(cuda_device *d, const ac_matrix *w)
{
    cuda_wide *p = &d->wide;
    const size_t size = wide_size(w);
    if (p->last_cols != w->cols || w->rows > 8 * w->cols) p->last[0] = p->last[1] = 0;
    if (p->last[0] + p->last[1] + size > p->need) p->need = p->last[0] + p->last[1] + size;
    p->last[0] = p->last[1];
    p->last[1] = w->rows > 8 * w->cols ? 0 : size;
    p->last_cols = w->cols;
}

static bool expand(cuda_device *d, cuda_bf16 *to, const void *from, ac_dtype type, size_t n)
{
    if (d->st) return false;
    if (!k_expand(d->stream, to, from, type, n)) {
        cuda_fail(d, AC_EFORMAT, "%s: %zu numbers of type %d cannot be expanded", d->name, n, (int)type);
        return false;
    }
    cuda_launched(d, "an expansion");
    return !d->st;
}

/* Rounded in place of what was stored. */
static void round_once(cuda_device *d, const ac_matrix *w)
{
    ac_buf *b = w->buf;
    const size_t n = w->rows * w->cols;
    void *narrow = NULL;
    if (d->st || !cuda_ok(d, cudaMalloc(&narrow, n * sizeof(cuda_bf16)), "memory for weights")) return;
    if (!expand(d, narrow, b->ptr, w->type, n)) {
        (void)cudaFree(narrow);
        return;
    }
    (void)cuda_ok(d, cudaStreamSynchronize(d->stream), "an expansion");
    (void)cudaFree(b->ptr);
    b->ptr = narrow;
    b->bytes = n * sizeof(cuda_bf16);
}

/* In pieces through the products' workspace: the ring does not exist yet. */
static void check_stored(cuda_device *d, const ac_matrix *w)
{
    const bool large = w->type == AC_Q4_K || w->type == AC_Q5_K || w->type == AC_Q6_K;
    const size_t elems = large ? 256 : w->type == AC_NF4 ? 64 : 32, block = w->row_bytes / (w->cols / elems);
    const size_t n = w->rows * w->cols, most = CUDA_LT_SPACE / sizeof(cuda_bf16);
    for (size_t at = 0; at < n && !d->st; at += most) {
        const size_t part = n - at < most ? n - at : most;
        if (!expand(d, d->lt_space, w->buf->ptr + at / elems * block, w->type, part)) return;
        k_finite(d->stream, d->lt_space, part, d->flag);
        cuda_launched(d, "a check");
    }
}

bool cuda_all_finite(ac_device *dev, const ac_matrix *w)
{
    cuda_device *d = cuda_of(dev);
    int bad = 0;
    w->buf->width = sizeof(cuda_bf16);
    if (d->st) return true;                                                /* sync reports it */
    (void)cuda_ok(d, cudaMemsetAsync(d->flag, 0, sizeof bad, d->stream), "zeroing");
    if (w->type == AC_F32 || w->type == AC_F16) round_once(d, w);
    w->buf->stored = w->type != AC_BF16 && w->type != AC_F32 && w->type != AC_F16;
    if (w->buf->stored) {
        need_room(d, w);
        check_stored(d, w);
    } else if (!d->st) {
        k_finite(d->stream, (const cuda_bf16 *)(const void *)w->buf->ptr, w->rows * w->cols, d->flag);
        cuda_launched(d, "a check");
    }
    (void)cuda_ok(d, cudaMemcpyAsync(&bad, d->flag, sizeof bad, cudaMemcpyDeviceToHost, d->stream), "a copy");
    (void)cuda_ok(d, cudaStreamSynchronize(d->stream), "a check");
    return !bad;
}

/* ---- expanded ahead ---------------------------------------------------------------------------------------- */

size_t cuda_prepared_bytes(const ac_device *dev, const ac_matrix *w)
{
    (void)dev;
    return w->buf->stored ? wide_size(w) : 0;
}

/* An eighth of the GPU stays free; without the memory the ring serves. */
ac_status cuda_prepare(ac_device *dev, ac_matrix *w, ac_err *err)
{
    cuda_device *d = cuda_of(dev);
    ac_buf *b = w->buf;
    void *p = NULL;
    size_t left = 0, all = 0;
    if (!b->stored || w->ahead) return AC_OK;
    if (!b->narrow) {
        const bool room = cudaMemGetInfo(&left, &all) == cudaSuccess && left >= all / 8 + wide_size(w);
        if (d->st || !room || cudaMalloc(&p, wide_size(w)) != cudaSuccess) {
            (void)cudaGetLastError();
            return AC_OK;
        }
        if (!expand(d, p, b->ptr, w->type, w->rows * w->cols)) {
            (void)cudaFree(p);
            return dev->op->sync(dev, err);
        }
        cuda_weights_closed(d, b);
        b->narrow = p;
    }
    w->ahead = b->narrow;
    return AC_OK;
}

void cuda_unprepare(ac_device *dev, ac_matrix *w)
{
    cuda_device *d = cuda_of(dev);
    w->ahead = NULL;
    if (!w->buf->stored || !w->buf->narrow) return;
    (void)cudaStreamSynchronize(d->stream);
    cuda_passes_forget(d);
    (void)cudaFree(w->buf->narrow);
    w->buf->narrow = NULL;
}

/* ---- the ring ---------------------------------------------------------------------------------------------- */

void cuda_weights_forget(cuda_device *d)
{
    d->wide.n = 0;
}

void cuda_weights_closed(cuda_device *d, const ac_buf *b)
{
    cuda_wide *p = &d->wide;
    for (size_t i = 0; i < p->n; i++)
        if (p->part[i].of == b) p->part[i].of = NULL;
}

bool cuda_wide_take(cuda_device *d, size_t bytes)
{
    cuda_wide *p = &d->wide;
    void *at = NULL;
    if (p->room >= bytes) return true;
    (void)cudaStreamSynchronize(d->stream);
    cuda_passes_forget(d);
    (void)cudaFree(p->ptr);
    p->ptr = NULL;
    p->room = p->at = p->n = 0;
    if (d->st || !cuda_ok(d, cudaMalloc(&at, bytes), "memory for expanded weights")) return false;
    p->ptr = at;
    p->room = bytes;
    return true;
}

static const cuda_wide_part *held(const cuda_wide *p, const ac_buf *b)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->part[i].of == b) return &p->part[i];
    return NULL;
}

/* A place of that size that overlaps none of the parts still listed. */
static cuda_bf16 *claim(cuda_wide *p, const ac_buf *b, size_t bytes)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->n; i++) {
        const cuda_wide_part *x = &p->part[i];
        const bool apart = x->at + x->bytes <= p->at || p->at + bytes <= x->at;
        if (x->of && apart) p->part[kept++] = *x;
    }
    if (kept == CUDA_WIDE_PARTS) memmove(p->part, p->part + 1, --kept * sizeof *p->part);
    p->part[kept] = (cuda_wide_part){ b, p->at, bytes };
    p->n = kept + 1;
    p->at += bytes;
    return (cuda_bf16 *)(void *)(p->ptr + p->part[kept].at);
}

static bool in_ring(const ac_buf *b)
{
    return b->stored && !b->narrow;
}

bool cuda_weights_settled(const ac_matrix *w)
{
    return !in_ring(w->buf);
}

static const cuda_bf16 *lying(const ac_buf *b)
{
    return b->stored ? b->narrow : (const cuda_bf16 *)(const void *)b->ptr;
}

void cuda_weights_group(cuda_device *d, const ac_matrix *const *w, size_t n, const cuda_bf16 **out)
{
    cuda_wide *p = &d->wide;
    size_t bytes = 0;
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        const bool ring = in_ring(w[i]->buf);
        const cuda_wide_part *x = ring ? held(p, w[i]->buf) : NULL;
        out[i] = ring ? x ? (const cuda_bf16 *)(const void *)(p->ptr + x->at) : NULL : lying(w[i]->buf);
        if (ring) bytes += wide_size(w[i]);
        all = all && out[i];
    }
    if (all) return;
    for (size_t i = 0; i < n; i++) {
        if (!in_ring(w[i]->buf)) continue;
        cuda_weights_closed(d, w[i]->buf);
        out[i] = NULL;
    }
    if (!cuda_wide_take(d, bytes)) return;
    if (p->at + bytes > p->room) p->at = 0;
    for (size_t i = 0; i < n && !d->st; i++) {
        if (!in_ring(w[i]->buf)) continue;
        cuda_bf16 *to = claim(p, w[i]->buf, wide_size(w[i]));
        if (expand(d, to, w[i]->buf->ptr, w[i]->type, w[i]->rows * w[i]->cols)) out[i] = to;
    }
}

const cuda_bf16 *cuda_weights(cuda_device *d, const ac_matrix *w)
{
    const cuda_bf16 *at = NULL;
    if (!in_ring(w->buf)) return lying(w->buf);
    cuda_weights_group(d, &w, 1, &at);
    return at;
}

void cuda_embed(ac_device *dev, const ac_embed_args *a)
{
    cuda_device *d = cuda_of(dev);
    if (d->st) return;
    const ac_buf *b = a->table->buf;
    if (!b->stored)
        k_embed(d->stream, cuda_f32(a->y), cuda_at(a->ids), (const cuda_bf16 *)(const void *)b->ptr, a->rows, a->table->cols);
    else if (!k_gather(d->stream, cuda_f32(a->y), cuda_at(a->ids), b->ptr, a->table->type, a->rows, a->table->cols))
        cuda_fail(d, AC_EFORMAT, "%s: no embedding of this stored type", d->name);
    cuda_launched(d, "the embedding");
}
