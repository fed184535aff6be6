/* kernels/ref/attn_ref.c - attention over one document in plain C; the specification of its order. */
#include "kernels/vec_int.h"

#include <math.h>

#define MAX_HEAD_DIM 256

/* scale * (fma chain over d ascending): s_ij, the same in forward and backward. */
static float score(const float *q, const float *k, size_t head_dim, float scale)
{
    float s = 0.0f;
    for (size_t d = 0; d < head_dim; d++) s = fmaf(q[d], k[d], s);
    return s * scale;
}

static void attend_one(const ac_attn_args *a, size_t i)
{
    const float *q = a->q + i * a->q_stride;
    const size_t pos = ac_attn_pos(a, i), first = ac_attn_first_key(pos, a->window), end = pos + 1;
    float acc[MAX_HEAD_DIM] = { 0 };
    float m = -INFINITY, l = 0.0f;
    for (size_t block = first - first % AC_ATTN_BLOCK; block < end; block += AC_ATTN_BLOCK) {
        const size_t lo = first > block ? first : block;
        const size_t hi = end < block + AC_ATTN_BLOCK ? end : block + AC_ATTN_BLOCK;
        float p[AC_ATTN_BLOCK], lane[AC_LANES] = { 0 };
        float new_m = m;
        for (size_t j = lo; j < hi; j++) {
            p[j - block] = score(q, a->k + j * a->k_stride, a->head_dim, a->scale);
            new_m = ac_max_one(new_m, p[j - block]);
        }
        for (size_t j = lo; j < hi; j++) {
            p[j - block] = ac_exp_one(p[j - block] - new_m);
            lane[j % AC_LANES] = lane[j % AC_LANES] + p[j - block];
        }
        const float c = m > -INFINITY ? ac_exp_one(m - new_m) : 0.0f;
        l = fmaf(l, c, ac_fold_sum(lane));
        m = new_m;
        for (size_t d = 0; d < a->head_dim; d++) {
            acc[d] = acc[d] * c;
            for (size_t j = lo; j < hi; j++)
                acc[d] = fmaf(p[j - block], a->v[j * a->v_stride + d], acc[d]);
        }
    }
    for (size_t d = 0; d < a->head_dim; d++) a->out[i * a->out_stride + d] = acc[d] / l;
    if (a->lse) a->lse[i] = m + ac_log_one(l);
}

void ac_attn_forward_ref(const ac_attn_args *a)
{
    for (size_t i = 0; i < a->n_q; i++) attend_one(a, i);
}

/* One query of one head: its row of dq, and its terms of every visible dk and dv. */
static void grad_one(const ac_attn_grad_args *a, size_t h, size_t i)
{
    const size_t d_n = a->head_dim;
    const float *q = a->q + i * a->q_stride + h * d_n, *dout = a->dout + i * a->dout_stride + h * d_n;
    const float *out = a->out + i * a->out_stride + h * d_n;
    const float lse = a->lse[h * a->lse_stride + i];
    float *dq = a->dq + i * a->dq_stride + h * d_n;
    float lane[AC_LANES] = { 0 };
    for (size_t d = 0; d < d_n; d++)
        lane[d % AC_LANES] = fmaf(dout[d], out[d], lane[d % AC_LANES]);
    const float delta = ac_fold_sum(lane);
    memset(dq, 0, d_n * sizeof *dq);
    for (size_t j = ac_attn_first_key(i, a->window); j <= i; j++) {
        const float *k = a->k + j * a->k_stride, *v = a->v + j * a->v_stride;
        float *dk = a->dk + j * a->dk_stride, *dv = a->dv + j * a->dv_stride;
        const float p = ac_exp_one(score(q, k, d_n, a->scale) - lse);
        float dp = 0.0f;
        for (size_t d = 0; d < d_n; d++) dp = fmaf(dout[d], v[d], dp);
        const float ds = p * (dp - delta);
        for (size_t d = 0; d < d_n; d++) {
            dq[d] = fmaf(ds, k[d], dq[d]);
            dk[d] = fmaf(ds, q[d], dk[d]);
            dv[d] = fmaf(p, dout[d], dv[d]);
        }
    }
    for (size_t d = 0; d < d_n; d++) dq[d] = dq[d] * a->scale;
}

void ac_attn_grad_ref(const ac_attn_grad_args *a)
{
    for (size_t j = 0; j < a->n; j++) {
        memset(a->dk + j * a->dk_stride, 0, a->head_dim * sizeof *a->dk);
        memset(a->dv + j * a->dv_stride, 0, a->head_dim * sizeof *a->dv);
    }
    for (size_t h = 0; h < a->group; h++)
        for (size_t i = 0; i < a->n; i++) grad_one(a, h, i);
    for (size_t j = 0; j < a->n; j++) {
        float *dk = a->dk + j * a->dk_stride;
        for (size_t d = 0; d < a->head_dim; d++) dk[d] = dk[d] * a->scale;
    }
}

/* K and V of one key block transposed, P and dS of one tile, delta of every query, and room to align.
 * 0 when the sizes overflow. */
size_t ac_attn_scratch_floats(size_t n, size_t head_dim, size_t group)
{
    const size_t fixed = 2 * AC_ATTN_BLOCK * MAX_HEAD_DIM + 2 * AC_ATTN_BLOCK * AC_ATTN_BLOCK + 64;
    AC_UNUSED(head_dim);
    if (group && n > (SIZE_MAX / 8 - fixed) / group) return 0;
    return fixed + n * group;
}
