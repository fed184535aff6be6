/* kernels/matmul_thin.c - weight gradients with one short side (adapters of low rank): C = A^T B with A
 * k x m, B k x n and the lesser of m and n at most 16.
 *
 * The long side is read where it lies, 64 rows of 256 columns at a time, so that the memory sees long runs;
 * the chains of these outputs wait in the workspace from piece to piece. (Laying the pieces into panels
 * was measured and lost: then the memory waits while the tiles compute.) Vectors lie along the long side,
 * whichever it is: a product does not depend on the order of its factors, so C may be built turned and put
 * down the other way. */
#include "kernels/matmul_int.h"

enum { THIN = 16, WIDTH = 256, PIECE = 64 };

typedef struct {
    const ac_mm_isa *isa;
    const float *small, *large;            /* k rows of `rows` and of `cols` floats */
    size_t small_ld, large_ld, rows, cols;
    float *chain, *total, *tail;           /* rows x WIDTH, twice; PIECE x nr */
} thin;

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One panel of a piece, for all rows. */
static void panel_tiles(const thin *w, ac_mm_tile t, size_t k0)
{
    const size_t tiles = (w->rows + w->isa->mr - 1) / w->isa->mr;
    float *c = t.c;
    for (size_t i = 0, row = 0; i < tiles; i++) {
        const size_t rows = (w->rows - row + tiles - i - 1) / (tiles - i);
        t.a = w->small + k0 * w->small_ld + row;
        t.c = c + row * WIDTH;
        w->isa->tile(&t, rows);
        row += rows;
    }
}

static void piece(const thin *w, size_t k0, size_t kc, size_t j0, size_t nc)
{
    const size_t nr = w->isa->nr;
    ac_mm_tile t = { .kc = kc, .a_row = 1, .a_k = w->small_ld, .b_k = w->large_ld, .ldc = WIDTH, .cols = nr,
                     .mode = k0 % AC_K_BLOCK ? AC_TILE_CONTINUE : AC_TILE_STORE };
    size_t j = 0;
    for (; j + nr <= nc; j += nr) {
        t.b = w->large + k0 * w->large_ld + j0 + j;
        t.c = w->chain + j;
        panel_tiles(w, t, k0);
    }
    if (j == nc) return;
    for (size_t p = 0; p < kc; p++)        /* a tile reads whole panels: not past the end of a row */
        memcpy(w->tail + p * nr, w->large + (k0 + p) * w->large_ld + j0 + j, (nc - j) * sizeof(float));
    t.b = w->tail;
    t.b_k = nr;
    t.c = w->chain + j;
    t.cols = nc - j;
    panel_tiles(w, t, k0);
}

bool ac_mm_thin(const ac_mm_isa *isa, const ac_matmul_args *g, float *space)
{
    if (g->form != AC_MM_TN || g->b_row_bytes % sizeof(float) || (g->m > THIN && g->n > THIN)) return false;
    const bool turned = g->n < g->m, one_block = g->k <= AC_K_BLOCK;
    const float *b = g->b;
    const size_t ldb = g->b_row_bytes / sizeof(float);
    const thin w = { .isa = isa, .small = turned ? b : g->a, .large = turned ? g->a : b,
        .small_ld = turned ? ldb : g->lda, .large_ld = turned ? g->lda : ldb, .rows = turned ? g->n : g->m,
        .cols = turned ? g->m : g->n, .chain = space, .total = space + THIN * WIDTH,
        .tail = space + 2 * THIN * WIDTH };
    for (size_t j0 = 0; j0 < w.cols; j0 += WIDTH) {
        const size_t nc = min_of(w.cols - j0, WIDTH);
        for (size_t k0 = 0; k0 < g->k; k0 += PIECE) {
            const size_t kc = min_of(g->k - k0, PIECE), end = k0 + kc;
            piece(&w, k0, kc, j0, nc);
            if (!one_block && (end == g->k || end % AC_K_BLOCK == 0))
                isa->put(w.total, WIDTH, w.chain, WIDTH, w.rows, nc, end > AC_K_BLOCK);
        }
        const float *sum = one_block ? w.chain : w.total;
        if (turned) isa->put_turned(g->c + j0 * g->ldc, g->ldc, sum, WIDTH, w.rows, nc, g->accumulate);
        else isa->put(g->c + j0, g->ldc, sum, WIDTH, w.rows, nc, g->accumulate);
    }
    return true;
}
