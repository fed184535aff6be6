/* backend/cuda/cuda_decode.c - decoding over a cache: new rows are appended, then attend over their slot; greedy choice. */
#include "backend/cuda/cuda_int.h"

const cuda_cached_row *cuda_rows_of(cuda_device *d, const ac_feed_rows *feeds, size_t n_feeds, size_t *n_out)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < n_feeds; i++) n += feeds[i].n;
    *n_out = n;
    cuda_cached_row *host = n ? d->host->alloc(n, sizeof *host) : NULL;
    if (!host) {
        if (n) cuda_fail(d, AC_ENOMEM, "out of memory for %zu rows of a cache", n);
        return NULL;
    }
    for (size_t i = 0; i < n_feeds; i++)
        for (size_t k = 0; k < feeds[i].n; k++) host[at++] = (cuda_cached_row){ (uint32_t)feeds[i].slot, (uint32_t)(feeds[i].pos + k) };
    const cuda_cached_row *table = cuda_table_at(d, TABLE_FEEDS, host, n * sizeof *host);
    d->host->release(host);
    return table;
}

/* Whole prompts of empty slots need no cache to attend: each is a document. */
static bool as_documents(cuda_device *d, const ac_attention_kv_args *a, size_t rows)
{
    ac_doc_rows *docs = NULL;
    if (rows <= CUDA_THIN_ROWS) return false;
    for (size_t i = 0; i < a->n_feeds; i++)
        if (a->feeds[i].pos) return false;
    docs = d->host->alloc(a->n_feeds, sizeof *docs);
    if (!docs) {
        cuda_fail(d, AC_ENOMEM, "out of memory for %zu documents", a->n_feeds);
        return true;
    }
    for (size_t i = 0; i < a->n_feeds; i++) docs[i] = (ac_doc_rows){ a->feeds[i].first, a->feeds[i].n };
    cuda_attention(&d->base, &(ac_attention_args){ .q = a->q, .k = a->k, .v = a->v, .out = a->out, .rows = rows, .n_heads = a->n_heads,
        .n_kv_heads = a->n_kv_heads, .head_dim = a->head_dim, .window = a->window, .scale = a->scale, .docs = docs, .n_docs = a->n_feeds });
    d->host->release(docs);
    return true;
}

/* Every feed is one token: what its row needs can be done where it is read. */
static bool all_single(const ac_attention_kv_args *a)
{
    for (size_t i = 0; i < a->n_feeds; i++)
        if (a->feeds[i].n != 1) return false;
    return true;
}

void cuda_attention_kv(ac_device *dev, const ac_attention_kv_args *a)
{
    cuda_device *d = cuda_of(dev);
    size_t rows = 0;
    if (d->st) return;
    const cuda_cached_row *table = cuda_rows_of(d, a->feeds, a->n_feeds, &rows);
    if (!table) return;
    cuda_cached x = { .q = cuda_act(a->q), .k = cuda_act(a->k), .v = cuda_act(a->v), .out = cuda_act(a->out),
        .k_cache = cuda_act(a->k_cache), .v_cache = cuda_act(a->v_cache), .row = table, .rows = rows, .slot_rows = a->slot_rows,
        .n_heads = a->n_heads, .n_kv_heads = a->n_kv_heads, .head_dim = a->head_dim, .window = a->window, .scale = a->scale,
        .chunks = k_cached_chunks(a->slot_rows, a->window) };
    if (rows * a->n_heads * x.chunks * (a->head_dim + 2) * sizeof *x.part <= CUDA_LT_SPACE) x.part = d->lt_space;
    if (a->rotary && all_single(a)) {
        x.cosine = cuda_f32(a->rotary->cos_table);
        x.sine = cuda_f32(a->rotary->sin_table);
    } else {
        if (a->rotary) dev->op->rotary(dev, a->rotary);
        k_append(d->stream, &x);
        cuda_launched(d, "a cache");
        if (as_documents(d, a, rows)) return;
    }
    if (!k_cached(d->stream, &x)) cuda_fail(d, AC_ESTATE, "%s: attention over a cache could not be launched", d->name);
    cuda_launched(d, "attention over a cache");
}

void cuda_largest(ac_device *dev, ac_ref out, ac_ref logits, size_t rows, size_t cols)
{
    cuda_device *d = cuda_of(dev);
    const size_t most = CUDA_LT_SPACE / (k_largest_parts() * sizeof(uint64_t));
    for (size_t at = 0; at < rows && !d->st; at += most) {
        const size_t n = rows - at < most ? rows - at : most;
        k_largest(d->stream, (int32_t *)cuda_at(out) + at, d->lt_space, cuda_f32(logits) + at * cols, n, cols);
        cuda_launched(d, "the largest logit");
    }
}
