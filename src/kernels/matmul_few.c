/* kernels/matmul_few.c - few rows of A against packed weights: the order of the work, the same for every tier.
 *
 * Rows go in nearly equal groups of one of the tier's heights, one after another over each group of strips, so
 * that weights come from memory once. A group of fewer rows than its height is copied and filled up with
 * zeros; what comes of those is not stored. */
#include "kernels/few_int.h"

enum { MOST_GROUPS = 8 };

/* Cuts the rows; returns how many rows of k floats the groups that must be filled up take. */
static size_t cut_rows(const ac_few_isa *isa, ac_few_rows *rows, size_t n, size_t m)
{
    size_t filled = 0;
    for (size_t i = 0, row = 0; i < n; i++) {
        ac_few_rows *of = &rows[i];
        *of = (ac_few_rows){ .row = row, .rows = (m - row + n - i - 1) / (n - i) };
        row += of->rows;
        while (isa->height[of->height] < of->rows)
            of->height++;
        if (isa->height[of->height] != of->rows) filled += isa->height[of->height];
    }
    return filled;
}

/* Where a group's rows lie, copied where they are fewer than its height. Returns the floats that that took. */
static size_t place_rows(const ac_few_isa *isa, ac_few_rows *of, const ac_matmul_args *g, float *scratch)
{
    of->a = g->a + of->row * g->lda;
    of->lda = g->lda;
    const size_t h = isa->height[of->height];
    if (h == of->rows) return 0;
    for (size_t r = 0; r < of->rows; r++)
        memcpy(scratch + r * g->k, of->a + r * g->lda, g->k * sizeof(float));
    memset(scratch + of->rows * g->k, 0, (h - of->rows) * g->k * sizeof(float));
    of->a = scratch;
    of->lda = g->k;
    return h * g->k;
}

static ac_way way_of(const ac_packed *p, size_t group)
{
    switch (p->type) {
    case AC_F32:  return AC_WAY_F32;
    case AC_F16:  return AC_WAY_F16;
    case AC_BF16: return AC_WAY_BF16;
    case AC_Q8_0: return AC_WAY_Q8_0;
    case AC_Q4_0: return AC_WAY_Q4_0;
    default:      return p->inexact[group] ? AC_WAY_Q4_1_PLAIN : AC_WAY_Q4_1;
    }
}

/* Strips of one group of the packed matrix, from strip s on: as many as the columns from j on need. */
static size_t group_strips(const ac_few_isa *isa, const ac_matmul_args *g, const ac_few_rows *rows, size_t n_rows,
                           size_t j)
{
    const ac_packed *p = g->packed;
    const size_t s = (g->packed_row + j) / AC_STRIP;
    size_t stride;
    const uint8_t *b = ac_packed_strip(p, s, &stride);
    const size_t there = stride / p->bytes - s % AC_GROUP_STRIPS, need = (g->n - j + AC_STRIP - 1) / AC_STRIP;
    const size_t strips = there < need ? there : need;
    const ac_way way = way_of(p, s / AC_GROUP_STRIPS);
    for (size_t i = 0; i < n_rows; i++) {
        const size_t h = rows[i].height, wide = isa->strips[h];
        size_t u = 0;
        for (; u + wide <= strips; u += wide)
            isa->fn[way][0][h](g, &rows[i], j + u * AC_STRIP, b + u * p->bytes, stride);
        for (; u < strips; u++)
            isa->fn[way][1][h](g, &rows[i], j + u * AC_STRIP, b + u * p->bytes, stride);
    }
    return strips;
}

bool ac_few_product(const ac_few_isa *isa, const ac_matmul_args *g, float *scratch, size_t scratch_floats)
{
    const size_t tall = isa->height[isa->n_heights - 1], n = (g->m + tall - 1) / tall;
    ac_few_rows rows[MOST_GROUPS];
    if (g->form != AC_MM_NT || !g->m || g->m > isa->most_rows || n > MOST_GROUPS) return false;
    const size_t filled = cut_rows(isa, rows, n, g->m);
    if (filled && g->k > scratch_floats / filled) return false;
    for (size_t i = 0; i < n; i++)
        scratch += place_rows(isa, &rows[i], g, scratch);
    for (size_t j = 0; j < g->n;)
        j += group_strips(isa, g, rows, n, j) * AC_STRIP;
    return true;
}
