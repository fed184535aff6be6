/* kernels/panels.c - stored weights into the layout of panels_int.h, by the tier's own expansion. */
#include "kernels/panels_int.h"
#include "base/mem.h"
#include "base/size.h"

enum { PLAIN_COLS = 16 };      /* panels for a tier that makes no use of them */

static size_t panel_cols(const ac_kernels *t)
{
    return t->panel_cols ? t->panel_cols : PLAIN_COLS;
}

size_t ac_panels_bytes(const ac_kernels *t, size_t n, size_t k)
{
    const size_t nr = panel_cols(t);
    size_t all;
    if (!n || !k || n > SIZE_MAX - nr || !ac_size_mul(&all, (n + nr - 1) / nr * nr, k) ||
        !ac_size_mul(&all, all, sizeof(float)))
        return 0;
    return all;
}

typedef struct {
    const ac_kernels *t;
    const ac_panels *p;
    ac_mm_form form;
    ac_dtype type;
    const uint8_t *b;
    size_t row_bytes;
} lay_job;

static const uint8_t *stored(const lay_job *j, size_t row, size_t along)
{
    return j->b + row * j->row_bytes + along / ac_dtype_block_elems(j->type) * ac_dtype_block_bytes(j->type);
}

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A panel in all blocks of k from B's rows along k: a column is a stored row. */
static void lay_nt(void *ctx, size_t panel, size_t worker)
{
    AC_UNUSED(worker);
    const lay_job *j = ctx;
    const ac_panels *p = j->p;
    const size_t nr = p->nr, from = panel * nr;
    float row[AC_K_BLOCK];
    for (size_t k0 = 0; k0 < p->k; k0 += AC_K_BLOCK) {
        const size_t kc = min_of(p->k - k0, AC_K_BLOCK);
        float *to = p->data + k0 * p->width + from * kc;
        for (size_t c = 0; c < nr; c++) {
            if (from + c < p->n) j->t->expand_row(row, stored(j, from + c, k0), j->type, kc);
            else memset(row, 0, kc * sizeof *row);
            for (size_t k = 0; k < kc; k++) to[k * nr + c] = row[k];
        }
    }
}

/* A block of k in all panels from B's rows along n. */
static void lay_nn(void *ctx, size_t block, size_t worker)
{
    AC_UNUSED(worker);
    const lay_job *j = ctx;
    const ac_panels *p = j->p;
    const size_t nr = p->nr, k0 = block * AC_K_BLOCK, kc = min_of(p->k - k0, AC_K_BLOCK);
    float *to = p->data + k0 * p->width, row[AC_K_BLOCK];
    for (size_t k = 0; k < kc; k++) {
        for (size_t at = 0; at < p->width; at += AC_K_BLOCK) {
            const size_t cols = min_of(p->width - at, AC_K_BLOCK), there = min_of(p->n - at, cols);
            j->t->expand_row(row, stored(j, k0 + k, at), j->type, there);
            memset(row + there, 0, (cols - there) * sizeof *row);
            for (size_t c = 0; c < cols; c += nr)
                memcpy(to + (at + c) * kc + k * nr, row + c, nr * sizeof *row);
        }
    }
}

ac_status ac_panels_open(ac_panels **out, const ac_kernels *t, ac_pool *pool, ac_mm_form form, ac_dtype type,
                         const void *b, size_t row_bytes, size_t n, size_t k, ac_err *err)
{
    const size_t bytes = ac_panels_bytes(t, n, k), nr = panel_cols(t);
    if (!bytes || form == AC_MM_TN)
        return ac_fail(err, AC_EARG, "weights of %zu x %zu cannot be laid out in panels", n, k);
    ac_panels *p = ac_calloc(1, sizeof *p);
    if (!p) return ac_fail_nomem(err, sizeof *p);
    *p = (ac_panels){ .nr = nr, .n = n, .k = k, .width = (n + nr - 1) / nr * nr, .data = ac_malloc_aligned(bytes) };
    if (!p->data) {
        ac_panels_close(&p);
        return ac_fail_nomem(err, bytes);
    }
    lay_job j = { t, p, form, type, b, row_bytes };
    if (form == AC_MM_NT) ac_pool_run(pool, p->width / nr, lay_nt, &j);
    else ac_pool_run(pool, (k + AC_K_BLOCK - 1) / AC_K_BLOCK, lay_nn, &j);
    *out = p;
    return AC_OK;
}

void ac_panels_close(ac_panels **p)
{
    if (!p || !*p) return;
    ac_free((*p)->data);
    ac_free(*p);
    *p = NULL;
}
