/* kernels/matmul_blocks.c - the blocked product on one thread, the same for every tier.
 *
 *   for rows in chunks of at most 512                    (a block of A stays in the L2 cache)
 *     for columns in chunks that the sums allow          (all of them, unless C must wait for S)
 *       for k in blocks of 512                           (rule B3)
 *         lay A's chunk out, where there are columns enough to pay for it
 *         for columns in groups of 128
 *           expand the group of B into panels            (once for all rows of the chunk; none if laid out ahead)
 *           for each tile of A, for each panel: tile     (the tile of A stays in the L1 cache)
 *             and meanwhile fetch the next group's weights
 *       C = C + S where the sum could not be built in C
 *
 * C itself holds the running sum of blocks, except when it must keep its old value until the sum is
 * complete: accumulate with more than one block. Then the workspace holds it. */
#include "kernels/matmul_int.h"
#include "kernels/panels_int.h"

enum {
    GROUP = 128,               /* columns expanded at a time ...                          */
    GROUP_MAX = 256,           /* ... or one block of a K-quantised row                   */
    CHUNK_ROWS = 512,
    SUM_COLS = 640,
    DIRECT_MAX_ROWS = 48,      /* fewer rows do not pay for copying F32 rows of B         */
    LAY_MIN_COLS = 288,        /* fewer columns do not pay for laying out A of NT and NN  */
    TURN_MIN_COLS = 192,       /* fewer columns do not pay for laying out A of TN, ...    */
    TURN_MIN_LDA = 512,        /* ... nor rows that lie near enough, ...                  */
    TURN_MIN_K = 128,          /* ... nor few of them                                     */
    TURN_STEP = 8,             /* rows of A that stay near while their tiles are written  */
    TURN_COPY = 16             /* floats moved at once, at least the tallest tile         */
};

typedef struct {
    const ac_mm_isa *isa;
    const ac_matmul_args *g;
    const ac_panels *panels;               /* NULL: B is expanded here */
    float *b_pack, *sums, *a_pack;         /* a_pack NULL: A is read where it lies */
    size_t panel_stride, group, a_stride;
    size_t tiles;              /* of all rows */
    const float *laid;         /* all of A, laid out by the caller; then a_pack is NULL */
    bool rounds;               /* numerics BF16: a_pack holds the chunk's rows of A as pairs */
} job;

/* Stored rows that will be needed next, fetched a few at a time. */
typedef struct {
    const uint8_t *at;
    size_t rows, bytes, each;
} ahead;

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* First row of tile i when m rows are cut into `tiles` nearly equal ones. */
static size_t tile_row(size_t m, size_t tiles, size_t i)
{
    const size_t each = m / tiles, more = m % tiles;
    return i * each + min_of(i, more);
}

static const uint8_t *b_at(const ac_matmul_args *g, size_t k, size_t j)
{
    const size_t elems = ac_dtype_block_elems(g->b_type), bytes = ac_dtype_block_bytes(g->b_type);
    const size_t row = g->form == AC_MM_NT ? j : k, along = g->form == AC_MM_NT ? k : j;
    return (const uint8_t *)g->b + row * g->b_row_bytes + along / elems * bytes;
}

static const float *a_at(const ac_matmul_args *g, size_t i, size_t k)
{
    return g->a + (g->form == AC_MM_TN ? k * g->lda + i : i * g->lda + k);
}

/* Columns [j0, j0 + nc) of k [k0, k0 + kc) into panels. */
static void expand_group(const job *w, size_t k0, size_t kc, size_t j0, size_t nc)
{
    const ac_matmul_args *g = w->g;
    if (g->form != AC_MM_NT) {
        w->isa->panel_nn(w->b_pack, w->panel_stride, b_at(g, k0, j0), g->b_row_bytes, g->b_type, nc, kc);
        return;
    }
    float *panel = w->b_pack;
    for (size_t j = 0; j < nc; j += w->isa->nr, panel += w->panel_stride)
        w->isa->panel_nt(panel, b_at(g, k0, j0 + j), g->b_row_bytes, g->b_type,
                         min_of(nc - j, w->isa->nr), kc);
}

/* What a tile multiplies of kc elements (T5). */
static size_t steps_of(const job *w, size_t kc)
{
    if (!w->rounds) return kc;
    return w->isa->pair_tile ? (kc + 1) / 2 : (kc + 1) / 2 * 2;
}

static void round_group(const job *w, size_t kc, size_t nc)
{
    if (!w->rounds) return;
    for (size_t j = 0; j < nc; j += w->isa->nr)
        w->isa->pairs_b(w->b_pack + j / w->isa->nr * w->panel_stride, kc);
}

static ahead next_weights(const job *w, size_t k0, size_t kc, size_t j0, size_t nc, size_t calls)
{
    const ac_matmul_args *g = w->g;
    const size_t elems = ac_dtype_block_elems(g->b_type), bytes = ac_dtype_block_bytes(g->b_type);
    const bool nt = g->form == AC_MM_NT;
    ahead a = { .at = b_at(g, k0, j0), .rows = nt ? nc : kc, .bytes = (nt ? kc : nc) / elems * bytes };
    a.each = (a.rows + calls - 1) / calls;
    return a;
}

static void fetch_some(const job *w, ahead *a)
{
    for (size_t i = 0; i < a->each && a->rows; i++, a->rows--, a->at += w->g->b_row_bytes)
        w->isa->fetch(a->at, a->bytes);
}

/* The chunk's tiles of A in TN, kc rows of as many columns as the tile is tall, one tile after another. A row goes over in
 * moves of one size; what they write beyond the tile's height is written again by the next row. */
static void lay_tile(float *dst, const float *src, size_t lda, size_t rows, size_t kc, bool exact)
{
    for (size_t k = 0; k < kc; k++, dst += rows, src += lda) {
        if (exact) memcpy(dst, src, rows * sizeof *dst);
        else if (rows <= TURN_COPY / 2) memcpy(dst, src, TURN_COPY / 2 * sizeof *dst);
        else memcpy(dst, src, TURN_COPY * sizeof *dst);
    }
}

static void lay_chunk(const job *w, size_t tile0, size_t tile1, size_t k0, size_t kc)
{
    const ac_matmul_args *g = w->g;
    if (g->form != AC_MM_TN) {
        for (size_t i = tile0; i < tile1; i++) {
            const size_t row = tile_row(g->m, w->tiles, i), rows = tile_row(g->m, w->tiles, i + 1) - row;
            w->isa->turn_a(w->a_pack + (i - tile0) * w->a_stride, a_at(g, row, k0), g->lda, rows, kc);
        }
        return;
    }
    for (size_t k = 0; k < kc; k += TURN_STEP) {
        const size_t step = min_of(kc - k, TURN_STEP);
        for (size_t i = tile0; i < tile1; i++) {
            const size_t row = tile_row(g->m, w->tiles, i), rows = tile_row(g->m, w->tiles, i + 1) - row;
            lay_tile(w->a_pack + (i - tile0) * w->a_stride + k * rows, a_at(g, row, k0 + k), g->lda, rows, step,
                     row + TURN_COPY > g->m);
        }
    }
}

/* Panel j of the group at j0: where it lies, and the line of the next group's that tile number i asks for first. All
 * tiles together ask for the whole panel, so that it is in the L2 cache when its turn comes. */
static void place_panel(const job *w, ac_mm_tile *t, size_t i, size_t k0, size_t j0, size_t j)
{
    const size_t col = w->g->panels_col + j0 + j, lines = w->isa->nr / 16, next = col + w->group;
    t->b = ac_panels_at(w->panels, k0, col);
    t->next = NULL;
    if (i >= lines) return;
    if (j0 + j + w->group < w->g->n) t->next = ac_panels_at(w->panels, k0, next) + i * t->kc * 16;
    else if (k0 + t->kc < w->g->k) t->next = ac_panels_at(w->panels, k0 + t->kc, w->g->panels_col + j) + i * t->kc * 16;
}

/* The outputs of one group of columns for the tiles of a chunk; c is the place of (chunk row, j0). */
static void multiply_group(const job *w, ac_mm_tile t, size_t tile0, size_t tile1, size_t k0, size_t j0,
                           size_t nc, float *c, ahead *fetch)
{
    const ac_matmul_args *g = w->g;
    const size_t nr = w->isa->nr, chunk_row = tile_row(g->m, w->tiles, tile0);
    const bool direct = !w->panels && !w->rounds && g->b_type == AC_F32 && g->form != AC_MM_NT &&
                        g->m <= DIRECT_MAX_ROWS && nc % nr == 0 && g->b_row_bytes % sizeof(float) == 0;
    if (direct) t.b_k = g->b_row_bytes / sizeof(float);
    else if (!w->panels) expand_group(w, k0, t.kc, j0, nc);
    round_group(w, t.kc, nc);
    t.kc = steps_of(w, t.kc);
    for (size_t i = tile0; i < tile1; i++) {
        const size_t row = tile_row(g->m, w->tiles, i), rows = tile_row(g->m, w->tiles, i + 1) - row;
        if (w->rounds) t.a = w->a_pack + (row - chunk_row) * t.a_row;
        else if (w->laid) t.a = w->laid + (k0 / AC_K_BLOCK * w->tiles + i) * w->a_stride;
        else t.a = w->a_pack ? w->a_pack + (i - tile0) * w->a_stride : a_at(g, row, k0);
        if ((w->a_pack || w->laid) && !w->rounds) t.a_k = rows;
        for (size_t j = 0; j < nc; j += nr) {
            t.b = direct ? (const float *)(const void *)b_at(g, k0, j0 + j)
                         : w->b_pack + j / nr * w->panel_stride;
            if (w->panels) place_panel(w, &t, i - tile0, k0, j0, j);
            t.c = c + (row - chunk_row) * t.ldc + j;
            t.cols = min_of(nc - j, nr);
            if (w->rounds && w->isa->pair_tile) w->isa->pair_tile(&t, rows);
            else w->isa->tile(&t, rows);
            fetch_some(w, fetch);
        }
    }
}

static void multiply_chunk(const job *w, size_t tile0, size_t tile1, size_t j0, size_t nc)
{
    const ac_matmul_args *g = w->g;
    const size_t row0 = tile_row(g->m, w->tiles, tile0), row1 = tile_row(g->m, w->tiles, tile1);
    const bool apart = g->accumulate && g->k > AC_K_BLOCK;
    float *c = apart ? w->sums : g->c + row0 * g->ldc + j0;
    ac_mm_tile t = { .ldc = apart ? SUM_COLS : g->ldc, .a_row = g->form == AC_MM_TN || w->a_pack || w->laid ? 1 : g->lda,
                     .a_k = g->form == AC_MM_TN ? g->lda : 1, .b_k = w->isa->nr };
    for (size_t k0 = 0; k0 < g->k; k0 += AC_K_BLOCK) {
        t.kc = min_of(g->k - k0, AC_K_BLOCK);
        t.mode = k0 || (g->accumulate && !apart) ? AC_TILE_ADD : AC_TILE_STORE;
        if (w->rounds) {
            w->isa->pairs_a(w->a_pack, a_at(g, row0, k0), g->form == AC_MM_TN ? 1 : g->lda,
                            g->form == AC_MM_TN ? g->lda : 1, row1 - row0, t.kc);
            t.a_row = steps_of(w, t.kc);
            t.a_k = 1;
        } else if (w->a_pack) {
            lay_chunk(w, tile0, tile1, k0, t.kc);
        }
        for (size_t j = 0; j < nc; j += w->group) {
            const size_t width = min_of(nc - j, w->group);
            const size_t calls = (tile1 - tile0) * ((width + w->isa->nr - 1) / w->isa->nr);
            ahead next = {0};
            if (w->panels) next.each = 0;            /* the tiles ask for them */
            else if (j + width < nc)
                next = next_weights(w, k0, t.kc, j0 + j + width, min_of(nc - j - width, w->group), calls);
            else if (k0 + t.kc < g->k)
                next = next_weights(w, k0 + t.kc, min_of(g->k - k0 - t.kc, AC_K_BLOCK), j0,
                                    min_of(nc, w->group), calls);
            multiply_group(w, t, tile0, tile1, k0, j0 + j, width, c + j, &next);
        }
    }
    if (apart) w->isa->put(g->c + row0 * g->ldc + j0, g->ldc, w->sums, SUM_COLS, row1 - row0, nc, true);
}

/* ---- few rows: weights pass once through the L1 cache ------------------------------------------------ */

/* How much of B is expanded at a time: about 32 KiB, on the borders of its blocks. */
static void small_piece(const ac_matmul_args *g, size_t wide_rows, size_t *cols, size_t *ks)
{
    const bool large_block = ac_dtype_block_elems(g->b_type) > 32;
    if (g->form == AC_MM_NT) {
        *cols = large_block && g->m > wide_rows ? 32 : 128;     /* wide tiles take 128 */
        *ks = large_block ? 256 : 64;
    } else {
        *cols = GROUP_MAX;
        *ks = 32;
    }
}

static void small_tiles(const job *w, ac_mm_tile t, size_t nc, float *c)
{
    const ac_mm_isa *isa = w->isa;
    const bool wide = w->g->m <= isa->wide_rows;
    const size_t step = wide ? isa->wide_panels * isa->nr : isa->nr;
    for (size_t j = 0; j < nc; j += step) {
        t.b = w->b_pack + j / isa->nr * w->panel_stride;
        t.c = c + j;
        t.cols = min_of(nc - j, step);
        if (wide) isa->tile_wide(&t, w->g->m, w->panel_stride);
        else isa->tile(&t, w->g->m);
    }
}

/* A block of k comes in pieces; the chains wait in `sums` between them. */
static void small_rows(job *w)
{
    const ac_matmul_args *g = w->g;
    size_t cols, ks;
    small_piece(g, w->isa->wide_rows, &cols, &ks);
    w->panel_stride = w->isa->nr * ks;
    float *chain = w->sums, *total = w->sums + w->isa->mr * GROUP_MAX;
    ac_mm_tile t = { .a_row = g->form == AC_MM_TN ? 1 : g->lda, .a_k = g->form == AC_MM_TN ? g->lda : 1,
                     .b_k = w->isa->nr, .ldc = GROUP_MAX };
    for (size_t j0 = 0; j0 < g->n; j0 += cols) {
        const size_t nc = min_of(g->n - j0, cols);
        for (size_t k0 = 0; k0 < g->k; k0 += ks) {
            t.kc = min_of(g->k - k0, ks);
            t.a = a_at(g, 0, k0);
            t.mode = k0 % AC_K_BLOCK ? AC_TILE_CONTINUE : AC_TILE_STORE;
            if (j0 + nc < g->n) {
                ahead next = next_weights(w, k0, t.kc, j0 + nc, min_of(g->n - j0 - nc, cols), 1);
                fetch_some(w, &next);
            }
            expand_group(w, k0, t.kc, j0, nc);
            small_tiles(w, t, nc, chain);
            const size_t end = k0 + t.kc;
            if (end != g->k && end % AC_K_BLOCK) continue;
            w->isa->put(total, GROUP_MAX, chain, GROUP_MAX, g->m, nc, end > AC_K_BLOCK);
        }
        w->isa->put(g->c + j0, g->ldc, total, GROUP_MAX, g->m, nc, g->accumulate);
    }
}

static void no_k(const ac_matmul_args *g)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++)
            g->c[i * g->ldc + j] = g->accumulate ? g->c[i * g->ldc + j] + 0.0f : 0.0f;
}

void ac_mm_lay_a(const ac_mm_isa *isa, float *dst, const float *a, size_t lda, size_t m, size_t k, size_t from, size_t to)
{
    const size_t tiles = (m + isa->mr - 1) / isa->mr, stride = isa->mr * AC_K_BLOCK + TURN_COPY;
    for (size_t k0 = 0; k0 < k; k0 += AC_K_BLOCK)
        for (size_t i = from; i < to; i++) {
            const size_t row = tile_row(m, tiles, i), rows = tile_row(m, tiles, i + 1) - row;
            isa->turn_a(dst + (k0 / AC_K_BLOCK * tiles + i) * stride, a + row * lda + k0, lda, rows, min_of(k - k0, AC_K_BLOCK));
        }
}

size_t ac_laid_tiles(const ac_kernels *t, size_t m)
{
    return t->laid_rows ? (m + t->laid_rows - 1) / t->laid_rows : 0;
}

size_t ac_laid_floats(const ac_kernels *t, size_t m, size_t k)
{
    return (k + AC_K_BLOCK - 1) / AC_K_BLOCK * ac_laid_tiles(t, m) * (t->laid_rows * AC_K_BLOCK + TURN_COPY);
}

void ac_mm_blocks(const ac_mm_isa *isa, const ac_matmul_args *g, ac_mm_workspace *ws, size_t worker)
{
    if (!g->m || !g->n) return;
    if (!g->k) {
        no_k(g);
        return;
    }
    float *base = ws->base + worker * AC_MM_WS_FLOATS;
    const bool plain = g->numerics == AC_NUM_FP32;
    if (plain && g->packed && isa->few_packed && isa->few_packed(g, base, AC_MM_WS_FLOATS)) return;
    if (plain && !g->panels && isa->few && isa->few(g, base, AC_MM_WS_FLOATS)) return;
    if (plain && ac_mm_thin(isa, g, base)) return;
    const bool wide_block = g->form != AC_MM_NT && ac_dtype_block_elems(g->b_type) > GROUP;
    job w = { .isa = isa, .g = g, .b_pack = base, .sums = base + AC_MM_WS_B_FLOATS,
              .panel_stride = isa->nr * AC_K_BLOCK + 48, .group = wide_block ? GROUP_MAX : GROUP,
              .tiles = (g->m + isa->mr - 1) / isa->mr,
              .panels = plain && g->form != AC_MM_TN && g->panels && g->panels->nr == isa->nr ? g->panels : NULL,
              .rounds = !plain, .a_pack = plain ? NULL : base + AC_MM_WS_B_FLOATS + AC_MM_WS_S_FLOATS };
    if (plain && !w.panels && w.tiles == 1 && (g->b_type != AC_F32 || g->form == AC_MM_NT)) {
        small_rows(&w);
        return;
    }
    if (plain && g->form == AC_MM_TN && g->n >= TURN_MIN_COLS && g->lda >= TURN_MIN_LDA && g->k >= TURN_MIN_K &&
        isa->mr <= TURN_COPY) {
        w.a_pack = w.sums + AC_MM_WS_S_FLOATS;
        w.a_stride = isa->mr * AC_K_BLOCK + TURN_COPY;
    }
    if (plain && g->form != AC_MM_TN && isa->turn_a) {
        w.a_stride = isa->mr * AC_K_BLOCK + TURN_COPY;
        w.laid = g->laid;
        if (!w.laid && g->n >= LAY_MIN_COLS) w.a_pack = w.sums + AC_MM_WS_S_FLOATS;
    }
    const size_t chunk = CHUNK_ROWS / isa->mr, chunks = (w.tiles + chunk - 1) / chunk;
    /* A step begins on a block border (T4). */
    const size_t sum_cols = wide_block ? SUM_COLS / GROUP_MAX * GROUP_MAX : SUM_COLS;
    const size_t col_step = g->accumulate && g->k > AC_K_BLOCK ? sum_cols : g->n;
    for (size_t i = 0; i < chunks; i++)
        for (size_t j = 0; j < g->n; j += col_step)
            multiply_chunk(&w, tile_row(w.tiles, chunks, i), tile_row(w.tiles, chunks, i + 1), j,
                           min_of(g->n - j, col_step));
}
