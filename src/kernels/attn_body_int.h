/* kernels/attn_body_int.h - attention over v16: included by one file a tier, after that tier's v16 header.
 * ref/attn_ref.c is the specification.
 *
 * All of it is one small product in several orientations: C[r][.] = chain over t of fma(A[r][t], B[t][.], C),
 * up to six rows at a time, lanes along C's rows. Scores: rows are queries, t is d, B is the key block
 * transposed, so that lanes run along keys. Values and dq: rows are queries, t is keys. dk and dv: rows are
 * keys, t is queries. Under the causal triangle and a window each row sees its own range of t: the common part goes
 * through the tile, the ragged ends row by row, and each row's chain stays ascending. */
#ifndef AC_KERNELS_ATTN_BODY_INT_H
#define AC_KERNELS_ATTN_BODY_INT_H

#include <math.h>
#include "kernels/v16_math_int.h"

#define BLOCK     AC_ATTN_BLOCK
#define TILE_ROWS 6
#define MAX_D     256

/* C += A B for one tile; `from_zero` starts the chains at +0, else `factor` (or NULL) first multiplies a
 * row of C. */
typedef struct {
    float *c;
    size_t c_row;
    const float *a;
    size_t a_row, a_step;
    const float *b;
    size_t b_step;
    size_t steps;
    const float *factor;
    bool from_zero;
} tile;

/* rows, vecs and masked are constants where this is called, so that acc lives in registers. */
AC_INLINE void tile_run(const tile *t, m16 m, const size_t rows, const size_t vecs, const bool masked)
{
    v16 acc[TILE_ROWS][V16_TILE_VECS];
    const size_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    const float *a = t->a, *b = t->b;
    for (size_t r = 0; r < rows; r++) {
        for (size_t v = 0; v < vecs; v++) {
            const float *p = t->c + r * t->c_row + v * AC_LANES;
            acc[r][v] = t->from_zero ? v16_zero() : masked ? v16_load_m(p, m) : v16_load(p);
            if (t->factor) acc[r][v] = v16_mul(acc[r][v], v16_set1(t->factor[r]));
        }
    }
    for (size_t left = t->steps; left; left--, a += a_step, b += b_step) {
        v16 bv[V16_TILE_VECS];
        for (size_t v = 0; v < vecs; v++)
            bv[v] = masked ? v16_load_m(b + v * AC_LANES, m) : v16_load(b + v * AC_LANES);
        for (size_t r = 0; r < rows; r++) {
            const v16 av = v16_set1(a[r * a_row]);
            for (size_t v = 0; v < vecs; v++) acc[r][v] = v16_fma(av, bv[v], acc[r][v]);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t v = 0; v < vecs; v++) {
            float *p = t->c + r * t->c_row + v * AC_LANES;
            if (masked) v16_store_m(p, acc[r][v], m);
            else v16_store(p, acc[r][v]);
        }
    }
}

#define TILE_CASES(vecs, masked)                                \
    switch (rows) {                                             \
    case 6: tile_run(t, m, 6, vecs, masked); return;            \
    case 5: tile_run(t, m, 5, vecs, masked); return;            \
    case 4: tile_run(t, m, 4, vecs, masked); return;            \
    case 3: tile_run(t, m, 3, vecs, masked); return;            \
    case 2: tile_run(t, m, 2, vecs, masked); return;            \
    default: tile_run(t, m, 1, vecs, masked); return;           \
    }

static AC_NOINLINE void tile_wide(const tile *t, m16 m, size_t rows)
{
    TILE_CASES(V16_TILE_VECS, false)
}

static AC_NOINLINE void tile_narrow(const tile *t, m16 m, size_t rows)
{
    TILE_CASES(1, true)
}

/* All columns of a tile, 1 to TILE_ROWS rows. */
static void tile_columns(tile t, size_t rows, size_t cols)
{
    const m16 all = m16_first(AC_LANES);
    size_t i = 0;
    for (; i + V16_TILE_VECS * AC_LANES <= cols; i += V16_TILE_VECS * AC_LANES) {
        tile_wide(&t, all, rows);
        t.c += V16_TILE_VECS * AC_LANES;
        t.b += V16_TILE_VECS * AC_LANES;
    }
    for (; i < cols; i += AC_LANES) {
        tile_narrow(&t, m16_first(cols - i), rows);
        t.c += AC_LANES;
        t.b += AC_LANES;
    }
}

/* Steps first..end-1 of one row or tile. */
static void tile_range(tile t, size_t rows, size_t cols, size_t first, size_t end)
{
    if (first >= end && !t.factor) return;
    t.a += first * t.a_step;
    t.b += first * t.b_step;
    t.steps = end > first ? end - first : 0;
    tile_columns(t, rows, cols);
}

/* Row r runs over steps first[r]..end[r]-1. */
static void tile_ragged(const tile *t, size_t rows, size_t cols, const size_t *first, const size_t *end)
{
    size_t lo = first[0], hi = end[0];
    bool even_start = true;
    for (size_t r = 1; r < rows; r++) {
        even_start = even_start && first[r] == first[0];
        if (first[r] > lo) lo = first[r];
        if (end[r] < hi) hi = end[r];
    }
    if (hi < lo) hi = lo;
    for (size_t r = 0; !even_start && r < rows; r++) {           /* before the common part */
        tile one = *t;
        one.c += r * t->c_row;
        one.a += r * t->a_row;
        if (t->factor) one.factor = t->factor + r;
        tile_range(one, 1, cols, first[r], lo < end[r] ? lo : end[r]);
    }
    tile common = *t;
    if (!even_start) common.factor = NULL;
    tile_range(common, rows, cols, lo, hi);
    for (size_t r = 0; r < rows; r++) {                          /* after it */
        tile one = *t;
        one.c += r * t->c_row;
        one.a += r * t->a_row;
        one.factor = NULL;
        tile_range(one, 1, cols, hi, end[r]);
    }
}

/* dst[d][key] of n_keys keys, the columns up to BLOCK filled with zeros. */
static void transpose_block(float *dst, const float *src, size_t stride, size_t n_keys, size_t head_dim)
{
    for (size_t key = 0; key < n_keys; key += AC_LANES) {
        const size_t rows = n_keys - key;
        for (size_t d = 0; d < head_dim; d += AC_LANES) {
            const size_t cols = head_dim - d < AC_LANES ? head_dim - d : AC_LANES;
            v16_transpose(dst + d * BLOCK + key, BLOCK, src + key * stride + d, stride, rows, cols);
        }
    }
    for (size_t key = (n_keys + AC_LANES - 1) / AC_LANES * AC_LANES; key < BLOCK; key += AC_LANES)
        for (size_t d = 0; d < head_dim; d++)
            v16_store(dst + d * BLOCK + key, v16_zero());
}

/* Products of rows of x (queries) with the transposed block, lanes first/16 to last/16. */
static void block_products(float *s, const float *x, size_t x_stride, const float *block_t, size_t head_dim,
                           size_t rows, size_t first, size_t end)
{
    const size_t lane0 = first / AC_LANES * AC_LANES;
    const size_t cols = (end - lane0 + AC_LANES - 1) / AC_LANES * AC_LANES;
    const tile t = { .c = s + lane0, .c_row = BLOCK, .a = x, .a_row = x_stride, .a_step = 1,
                     .b = block_t + lane0, .b_step = BLOCK, .steps = head_dim, .from_zero = true };
    tile_columns(t, rows, cols);
}

/* ---- forward ------------------------------------------------------------------------------------- */

#define CHUNK 96                    /* queries that share one transposition of a key block */

typedef struct {
    const ac_attn_args *a;
    size_t block, block_end;        /* the keys of this block that exist */
    const float *keys_t;
    float m[CHUNK], l[CHUNK];       /* of the chunk's queries */
} forward_state;

/* Visible keys of the query at pos, counted from the block's first. */
static void visible(size_t pos, size_t window, size_t block, size_t block_end, size_t *first, size_t *end)
{
    const size_t lo = ac_attn_first_key(pos, window);
    *first = lo > block ? lo - block : 0;
    *end = (pos + 1 < block_end ? pos + 1 : block_end) - block;
}

/* s becomes p = exp(s * scale - m'), +0 where not visible; gives the factor for what came before. */
static float block_softmax(float *s, size_t first, size_t end, float scale, float *m, float *l)
{
    const v16 sv = v16_set1(scale), low = v16_set1(-INFINITY);
    v16 x[BLOCK / AC_LANES], max = low, sum = v16_zero();
    for (size_t g = 0; g < BLOCK / AC_LANES; g++) {
        const size_t lane0 = g * AC_LANES;
        x[g] = low;
        if (end <= lane0 || first >= lane0 + AC_LANES) continue;
        const m16 seen = m16_range(first > lane0 ? first - lane0 : 0, end - lane0);
        x[g] = v16_pick(seen, v16_mul(v16_load(s + lane0), sv), low);
        max = v16_max(max, x[g]);
    }
    const float new_m = ac_max_one(*m, v16_fold_max(max));
    const v16 mv = v16_set1(new_m);
    for (size_t g = 0; g < BLOCK / AC_LANES; g++) {
        const size_t lane0 = g * AC_LANES;
        if (end <= lane0 || first >= lane0 + AC_LANES) continue;
        const v16 p = v16_exp(v16_sub(x[g], mv));                /* exp(-inf) = +0 */
        v16_store(s + lane0, p);
        sum = v16_add(sum, p);                                   /* +0 changes no lane: p >= +0 */
    }
    const float c = *m > -INFINITY ? ac_exp_one(*m - new_m) : 0.0f;
    *l = fmaf(*l, c, v16_fold_sum(sum));
    *m = new_m;
    return c;
}

/* One tile of queries, i counted from the chunk's first query chunk0, against the state's block. */
static void attend_tile(forward_state *f, size_t chunk0, size_t i, size_t rows)
{
    const ac_attn_args *a = f->a;
    float s[TILE_ROWS * BLOCK], factor[TILE_ROWS];
    size_t first[TILE_ROWS], end[TILE_ROWS], lo = BLOCK, hi = 0;
    for (size_t r = 0; r < rows; r++) {
        visible(ac_attn_pos(a, chunk0 + i + r), a->window, f->block, f->block_end, &first[r], &end[r]);
        if (first[r] < lo) lo = first[r];
        if (end[r] > hi) hi = end[r];
    }
    /* Of few rows each vector of keys alone would wait for its own chain. */
    if (rows <= TILE_ROWS / 2 && hi - lo > AC_LANES) {
        lo = 0;
        hi = BLOCK;
    }
    block_products(s, a->q + (chunk0 + i) * a->q_stride, a->q_stride, f->keys_t, a->head_dim, rows, lo, hi);
    for (size_t r = 0; r < rows; r++)
        factor[r] = block_softmax(s + r * BLOCK, first[r], end[r], a->scale, &f->m[i + r], &f->l[i + r]);
    const tile t = { .c = a->out + (chunk0 + i) * a->out_stride, .c_row = a->out_stride, .a = s,
                     .a_row = BLOCK, .a_step = 1, .b = a->v + f->block * a->v_stride,
                     .b_step = a->v_stride, .factor = factor };
    tile_ragged(&t, rows, a->head_dim, first, end);
}

/* Rows that will be read soon, from memory as a rule when few queries use them. */
static void ask_for(const float *rows, size_t stride, size_t n, size_t cols)
{
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < cols; d += AC_LANES)
            __builtin_prefetch(rows + i * stride + d, 0, 2);
}

static void attend_chunk(const ac_attn_args *a, size_t i0, size_t n, float *keys_t)
{
    forward_state f = { .a = a, .keys_t = keys_t };
    const size_t pos0 = ac_attn_pos(a, i0), last = ac_attn_pos(a, i0 + n - 1), n_kv = ac_attn_pos(a, a->n_q - 1) + 1;
    for (size_t i = 0; i < n; i++) {
        f.m[i] = -INFINITY;
        f.l[i] = 0.0f;
        memset(a->out + (i0 + i) * a->out_stride, 0, a->head_dim * sizeof *a->out);
    }
    const size_t first = ac_attn_first_key(pos0, a->window);
    for (f.block = first - first % BLOCK; f.block <= last; f.block += BLOCK) {
        f.block_end = f.block + BLOCK < n_kv ? f.block + BLOCK : n_kv;
        if (n <= TILE_ROWS) ask_for(a->v + f.block * a->v_stride, a->v_stride, f.block_end - f.block, a->head_dim);
        transpose_block(keys_t, a->k + f.block * a->k_stride, a->k_stride, f.block_end - f.block, a->head_dim);
        /* Queries from the block's first key on, while the window still reaches its last. */
        size_t begin = f.block > pos0 ? f.block - pos0 : 0, end = n;
        while (end > begin && ac_attn_first_key(ac_attn_pos(a, i0 + end - 1), a->window) >= f.block_end) end--;
        for (size_t i = begin; i < end; i += TILE_ROWS)
            attend_tile(&f, i0, i, end - i < TILE_ROWS ? end - i : TILE_ROWS);
    }
    for (size_t i = 0; i < n; i++) {
        float *out = a->out + (i0 + i) * a->out_stride;
        const v16 l = v16_set1(f.l[i]);
        for (size_t d = 0; d < a->head_dim; d += AC_LANES)
            store_upto(out + d, v16_div(load_upto(out + d, a->head_dim - d), l), a->head_dim - d);
        if (a->lse) a->lse[i0 + i] = f.m[i] + ac_log_one(f.l[i]);
    }
}

static void attend(const ac_attn_args *a)
{
    _Alignas(64) float keys_t[MAX_D * BLOCK];
    for (size_t i = 0; i < a->n_q; i += CHUNK)
        attend_chunk(a, i, a->n_q - i < CHUNK ? a->n_q - i : CHUNK, keys_t);
}

/* ---- backward ------------------------------------------------------------------------------------ */

typedef struct {
    const ac_attn_grad_args *a;
    float *keys_t, *values_t, *p, *ds, *delta;      /* delta: group x n */
    size_t block, block_end;
} grad_state;

static void fill_delta(const ac_attn_grad_args *a, float *delta)
{
    for (size_t h = 0; h < a->group; h++) {
        for (size_t i = 0; i < a->n; i++) {
            const float *out = a->out + i * a->out_stride + h * a->head_dim;
            const float *dout = a->dout + i * a->dout_stride + h * a->head_dim;
            v16 acc = v16_zero();
            for (size_t d = 0; d < a->head_dim; d += AC_LANES) {
                const size_t left = a->head_dim - d;
                const v16 x = load_upto(dout + d, left), y = load_upto(out + d, left);
                acc = keep_upto(v16_fma(x, y, acc), acc, left);
            }
            delta[h * a->n + i] = v16_fold_sum(acc);
        }
    }
}

/* P and dS of queries i..i+rows-1 of head h in rows at..: s and dP are turned into them in place. */
static void grad_scores(const grad_state *g, size_t h, size_t i, size_t at, size_t rows)
{
    const ac_attn_grad_args *a = g->a;
    const size_t off = h * a->head_dim;
    float *p = g->p + at * BLOCK, *ds = g->ds + at * BLOCK;
    size_t first[TILE_ROWS], end[TILE_ROWS], lo = BLOCK, hi = 0;
    for (size_t r = 0; r < rows; r++) {
        visible(i + r, a->window, g->block, g->block_end, &first[r], &end[r]);
        if (first[r] < lo) lo = first[r];
        if (end[r] > hi) hi = end[r];
    }
    block_products(p, a->q + i * a->q_stride + off, a->q_stride, g->keys_t, a->head_dim, rows, lo, hi);
    block_products(ds, a->dout + i * a->dout_stride + off, a->dout_stride, g->values_t, a->head_dim, rows,
                   lo, hi);
    const v16 scale = v16_set1(a->scale);
    for (size_t r = 0; r < rows; r++, p += BLOCK, ds += BLOCK) {
        const v16 lse = v16_set1(a->lse[h * a->lse_stride + i + r]);
        const v16 delta = v16_set1(g->delta[h * a->n + i + r]);
        for (size_t j = first[r] / AC_LANES * AC_LANES; j < end[r]; j += AC_LANES) {
            const v16 pj = v16_exp(v16_sub(v16_mul(v16_load(p + j), scale), lse));
            v16_store(p + j, pj);
            v16_store(ds + j, v16_mul(pj, v16_sub(v16_load(ds + j), delta)));
        }
    }
    const tile dq = { .c = a->dq + i * a->dq_stride + off, .c_row = a->dq_stride,
                      .a = g->ds + at * BLOCK, .a_row = BLOCK, .a_step = 1,
                      .b = a->k + g->block * a->k_stride, .b_step = a->k_stride };
    tile_ragged(&dq, rows, a->head_dim, first, end);
}

/* dk and dv of the block's keys from queries i0..i1-1 of head h, whose P and dS stand in rows 0... */
static void grad_keys(const grad_state *g, size_t h, size_t i0, size_t i1)
{
    const ac_attn_grad_args *a = g->a;
    const size_t off = h * a->head_dim;
    for (size_t j = g->block; j < g->block_end; j += TILE_ROWS) {
        const size_t rows = g->block_end - j < TILE_ROWS ? g->block_end - j : TILE_ROWS;
        size_t first[TILE_ROWS], end[TILE_ROWS];
        for (size_t r = 0; r < rows; r++) {
            const size_t key = j + r, lo = key > i0 ? key : i0;
            const bool ends = a->window && key < i1 && a->window < i1 - key;
            const size_t hi = ends ? key + a->window : i1;
            first[r] = (lo < i1 ? lo : i1) - i0;
            end[r] = hi > i0 ? hi - i0 : 0;
        }
        const tile dv = { .c = a->dv + j * a->dv_stride, .c_row = a->dv_stride,
                          .a = g->p + (j - g->block), .a_row = 1, .a_step = BLOCK,
                          .b = a->dout + i0 * a->dout_stride + off, .b_step = a->dout_stride };
        tile_ragged(&dv, rows, a->head_dim, first, end);
        const tile dk = { .c = a->dk + j * a->dk_stride, .c_row = a->dk_stride,
                          .a = g->ds + (j - g->block), .a_row = 1, .a_step = BLOCK,
                          .b = a->q + i0 * a->q_stride + off, .b_step = a->q_stride };
        tile_ragged(&dk, rows, a->head_dim, first, end);
    }
}

static void scale_row(float *x, float s, size_t n)
{
    const v16 sv = v16_set1(s);
    for (size_t i = 0; i < n; i += AC_LANES)
        store_upto(x + i, v16_mul(load_upto(x + i, n - i), sv), n - i);
}

/* One block of keys: heads ascending, queries ascending, in chunks of BLOCK. */
static void grad_block(const grad_state *g)
{
    const ac_attn_grad_args *a = g->a;
    const size_t n_keys = g->block_end - g->block, d_n = a->head_dim;
    transpose_block(g->keys_t, a->k + g->block * a->k_stride, a->k_stride, n_keys, d_n);
    transpose_block(g->values_t, a->v + g->block * a->v_stride, a->v_stride, n_keys, d_n);
    for (size_t j = g->block; j < g->block_end; j++) {
        memset(a->dk + j * a->dk_stride, 0, d_n * sizeof *a->dk);
        memset(a->dv + j * a->dv_stride, 0, d_n * sizeof *a->dv);
    }
    /* The last key is seen by queries up to block_end - 1 + window - 1. */
    const size_t reach = g->block_end - 1;
    const size_t last = a->window && a->window < a->n - reach ? reach + a->window : a->n;
    for (size_t h = 0; h < a->group; h++) {
        for (size_t i0 = g->block; i0 < last; i0 += BLOCK) {
            const size_t i1 = last - i0 < BLOCK ? last : i0 + BLOCK;
            for (size_t i = i0; i < i1; i += TILE_ROWS)
                grad_scores(g, h, i, i - i0, i1 - i < TILE_ROWS ? i1 - i : TILE_ROWS);
            grad_keys(g, h, i0, i1);
        }
    }
    for (size_t j = g->block; j < g->block_end; j++) scale_row(a->dk + j * a->dk_stride, a->scale, d_n);
}

static void attend_grad(const ac_attn_grad_args *a)
{
    grad_state g = { .a = a };
    g.keys_t = a->scratch + (64 - ((uintptr_t)a->scratch & 63)) % 64 / sizeof(float);
    g.values_t = g.keys_t + BLOCK * MAX_D;
    g.p = g.values_t + BLOCK * MAX_D;
    g.ds = g.p + BLOCK * BLOCK;
    g.delta = g.ds + BLOCK * BLOCK;
    fill_delta(a, g.delta);
    const size_t q_dim = a->group * a->head_dim;
    for (size_t i = 0; i < a->n; i++) memset(a->dq + i * a->dq_stride, 0, q_dim * sizeof *a->dq);
    for (g.block = 0; g.block < a->n; g.block += BLOCK) {
        g.block_end = a->n - g.block < BLOCK ? a->n : g.block + BLOCK;
        grad_block(&g);
    }
    for (size_t i = 0; i < a->n; i++) scale_row(a->dq + i * a->dq_stride, a->scale, q_dim);
}

#endif
