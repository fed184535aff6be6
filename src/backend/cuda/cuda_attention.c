/* backend/cuda/cuda_attention.c - documents cut into tiles, for the kernels of cuda_attention.cu. */
#include <string.h>
#include "backend/cuda/cuda_int.h"

bool cuda_head_dim_ok(size_t head_dim)
{
    return head_dim == 16 || head_dim == 32 || head_dim == 64 || head_dim == 96 || head_dim == 128;
}

static size_t count_tiles(const ac_attention_args *a, size_t rows)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_docs; i++) n += (a->docs[i].n + rows - 1) / rows;
    return n;
}

/* Queries: the last tiles, which see the most keys, come first; keys: the first, which most queries see. */
static void fill_tiles(cuda_tile *q, cuda_tile *k, const ac_attention_args *a, size_t n, size_t rows)
{
    size_t at = 0, deepest = 0;
    for (size_t i = 0; i < a->n_docs; i++) {
        const size_t tiles = (a->docs[i].n + rows - 1) / rows;
        if (tiles > deepest) deepest = tiles;
    }
    for (size_t t = 0; t < deepest; t++)
        for (size_t i = 0; i < a->n_docs; i++) {
            if (t * rows >= a->docs[i].n) continue;
            const cuda_tile tile = { (uint32_t)a->docs[i].first, (uint32_t)a->docs[i].n, (uint32_t)(t * rows) };
            k[at] = tile;
            q[n - 1 - at++] = tile;
        }
}

/* false: nothing to do, or failed. */
static bool tiles(cuda_device *d, const ac_attention_args *a, cuda_attn *out, size_t rows)
{
    const size_t n = count_tiles(a, rows), bytes = n * sizeof(cuda_tile);
    if (d->st || !n) return false;
    cuda_tile *host = d->host->alloc(2 * n, sizeof *host);
    if (!host) {
        cuda_fail(d, AC_ENOMEM, "out of memory (%zu bytes wanted)", 2 * bytes);
        return false;
    }
    fill_tiles(host, host + n, a, n, rows);
    out->q_tile = cuda_table_at(d, TABLE_Q_TILES, host, bytes);
    out->k_tile = cuda_table_at(d, TABLE_K_TILES, host + n, bytes);
    out->n_tiles = n;
    d->host->release(host);
    return out->q_tile && out->k_tile;
}

static cuda_attn common(const ac_attention_args *a)
{
    return (cuda_attn){ .q = cuda_act(a->q), .k = cuda_act(a->k), .v = cuda_act(a->v), .out = cuda_act(a->out),
                        .lse = cuda_f32(a->lse), .rows = a->rows, .n_heads = a->n_heads, .n_kv_heads = a->n_kv_heads,
                        .head_dim = a->head_dim, .window = a->window, .scale = a->scale };
}

static bool for_tma(const cuda_bf16 *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* Whether cuda_attention_hopper.cu computes this. */
static bool is_flash(const cuda_device *d, const cuda_attn *a)
{
    return d->hopper && (a->head_dim == 64 || a->head_dim == 128) && for_tma(a->q) && for_tma(a->k) && for_tma(a->v) &&
           for_tma(a->out) && for_tma(a->dout) && for_tma(a->dq) && for_tma(a->dk) && for_tma(a->dv);
}

void cuda_attention(ac_device *dev, const ac_attention_args *a)
{
    cuda_device *d = cuda_of(dev);
    cuda_attn x = common(a);
    const bool flash = is_flash(d, &x);
    if (!tiles(d, a, &x, flash ? CUDA_FLASH_TILE : CUDA_TILE)) return;
    if (!(flash ? k_flash : k_attention)(d->stream, &x)) cuda_fail(d, AC_ESTATE, "%s: attention could not be launched", d->name);
    cuda_launched(d, "attention");
}

void cuda_attention_grad(ac_device *dev, const ac_attention_grad_args *a)
{
    cuda_device *d = cuda_of(dev);
    cuda_attn x = common(&a->fwd);
    x.dout = cuda_act(a->dout);
    x.dq = cuda_act(a->dq);
    x.dk = cuda_act(a->dk);
    x.dv = cuda_act(a->dv);
    x.delta = cuda_f32(a->scratch);
    const bool flash = is_flash(d, &x);
    if (!tiles(d, &a->fwd, &x, flash ? CUDA_FLASH_TILE : CUDA_TILE)) return;
    if (flash) k_delta(d->stream, &x);
    if (!(flash ? k_flash_grad : k_attention_grad)(d->stream, &x)) cuda_fail(d, AC_ESTATE, "%s: attention's gradient could not be launched", d->name);
    cuda_launched(d, "attention's gradient");
}
