/* backend/cuda/cuda_pass.c - passes that come again are recorded as graphs and launched whole.
 *
 * A pass of single tokens has some two hundred launches, each of which costs the host as long as the GPU takes for it. The first time a
 * pass runs as it is given: what is allocated and rounded once happens then. The second time it is recorded, from then on it is
 * launched. What the launches read that may differ lies in device memory: ids and positions, which write put there, and the table
 * of slots. One graph for each number of sequences is kept; all go when device memory is given back that one may name. */
#include <string.h>
#include "backend/cuda/cuda_int.h"

static void drop(cuda_pass *p)
{
    if (p->graph) (void)cudaGraphExecDestroy(p->graph);
    *p = (cuda_pass){ 0 };
}

void cuda_passes_forget(cuda_device *d)
{
    for (size_t i = 0; i < CUDA_THIN_ROWS; i++) drop(&d->pass[i]);
}

static bool same(const ac_recurring *a, const ac_recurring *b)
{
    return memcmp(a->who, b->who, sizeof a->who) == 0 && memcmp(a->n, b->n, sizeof a->n) == 0 && a->params.buf == b->params.buf;
}

static void launch(cuda_device *d, cuda_pass *p)
{
    (void)cuda_ok(d, cudaGraphLaunch(p->graph, d->stream), "a recorded pass");
}

bool cuda_pass_begin(ac_device *dev, const ac_recurring *r)
{
    cuda_device *d = cuda_of(dev);
    size_t rows = 0;
    d->recording = NULL;
    if (d->st || d->no_passes || !r->n_feeds || r->n_feeds > CUDA_THIN_ROWS) return false;
    if (!cuda_rows_of(d, r->feeds, r->n_feeds, &rows) || rows != r->n_feeds) return false;
    if (r->params.buf && !cuda_narrow(d, r->params)) return false;
    cuda_pass *p = &d->pass[rows - 1];
    if (!p->seen || !same(&p->of, r)) {
        drop(p);
        p->of = *r;
        p->seen = true;
        return false;
    }
    cuda_weights_forget(d);
    if (p->graph) {
        launch(d, p);
        return true;
    }
    if (cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        (void)cudaGetLastError();
        d->no_passes = true;
        return false;
    }
    d->recording = p;
    return false;
}

bool cuda_pass_end(ac_device *dev)
{
    cuda_device *d = cuda_of(dev);
    cuda_pass *p = d->recording;
    cudaGraph_t graph = NULL;
    if (!p) return true;
    d->recording = NULL;
    cuda_weights_forget(d);
    bool ok = cudaStreamEndCapture(d->stream, &graph) == cudaSuccess && !d->st;
    ok = ok && cudaGraphInstantiate(&p->graph, graph, 0) == cudaSuccess;
    if (graph) (void)cudaGraphDestroy(graph);
    if (ok) {
        launch(d, p);
        return true;
    }
    (void)cudaGetLastError();                    /* nothing has run: it is given once more, and no pass is recorded from here on */
    d->no_passes = true;
    d->st = AC_OK;
    drop(p);
    return false;
}
