/* kernels/ck_attn.c - attention: bytes against ref, prefill against decode, accuracy, gradients. */
#include "kernels/checkkern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t n_q, q_pos, dim, group, window;
    ck_data data;
} shape;

/* Floats of `rows` rows, the last one without what follows it in its stride. */
static size_t floats_of(size_t rows, size_t stride, size_t row)
{
    return rows ? (rows - 1) * stride + row : 0;
}

/* ---- forward ------------------------------------------------------------------------------------- */

static ac_attn_args forward_args(ck *t, const shape *s)
{
    const size_t n_kv = s->q_pos + s->n_q;
    ac_attn_args a = { .q_stride = s->dim + 3, .k_stride = s->dim + 1, .v_stride = s->dim + 2,
                       .out_stride = s->dim + 5, .n_q = s->n_q, .q_pos = s->q_pos, .head_dim = s->dim,
                       .window = s->window, .scale = (float)(1.0 / sqrt((double)s->dim)) };
    a.q = ck_f32(t, floats_of(s->n_q, a.q_stride, s->dim), s->data);
    a.k = ck_f32(t, floats_of(n_kv, a.k_stride, s->dim), s->data);
    a.v = ck_f32(t, floats_of(n_kv, a.v_stride, s->dim), s->data);
    return a;
}

/* One output row in double; gives lse. */
static double attend_double(double *out, const double *q, const double *k, const double *v, size_t pos,
                            size_t dim, size_t window, double scale)
{
    const size_t first = window && pos + 1 > window ? pos + 1 - window : 0;
    double max = -(double)INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t d = 0; pass && d < dim; d++) out[d] = 0;
        for (size_t j = first; j <= pos; j++) {
            double s = 0;
            for (size_t d = 0; d < dim; d++) s += q[d] * k[j * dim + d];
            s *= scale;
            if (!pass) {
                max = fmax(max, s);
                continue;
            }
            const double p = exp(s - max);
            sum += p;
            for (size_t d = 0; d < dim; d++) out[d] += p * v[j * dim + d];
        }
    }
    for (size_t d = 0; d < dim; d++) out[d] /= sum;
    return max + log(sum);
}

static double *dense(ck *t, const float *x, size_t rows, size_t stride, size_t dim)
{
    double *y = ck_bytes(t, rows * dim * sizeof *y);
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < dim; d++) y[r * dim + d] = (double)x[r * stride + d];
    return y;
}

static void check_forward_accuracy(ck *t, const shape *s, const ac_attn_args *a)
{
    const size_t n_kv = s->q_pos + s->n_q;
    const double *q = dense(t, a->q, s->n_q, a->q_stride, s->dim);
    const double *k = dense(t, a->k, n_kv, a->k_stride, s->dim);
    const double *v = dense(t, a->v, n_kv, a->v_stride, s->dim);
    double *out = ck_bytes(t, s->dim * sizeof *out);
    for (size_t i = 0; i < s->n_q; i++) {
        const double lse = attend_double(out, q + i * s->dim, k, v, s->q_pos + i, s->dim, s->window,
                                         (double)a->scale);
        ck_near_double(t, a->out + i * a->out_stride, out, s->dim, (ck_tol){ .ulp = 8, .relative_to = 1 });
        ck_near_double(t, a->lse + i, &lse, 1, (ck_tol){ .ulp = 4, .relative_to = 1 });
    }
}

static void one_forward(ck *t, const shape *s)
{
    ac_attn_args a = forward_args(t, s);
    const size_t n_out = floats_of(s->n_q, a.out_stride, s->dim);
    float *want = ck_out(t, n_out), *want_lse = ck_out(t, s->n_q);
    float *got = ck_out(t, n_out), *lse = ck_out(t, s->n_q), *decoded = ck_out(t, n_out);
    a.out = want;
    a.lse = want_lse;
    t->ref.attn_forward(&a);
    a.out = got;
    a.lse = lse;
    CK_CALL(t, t->tier.attn_forward(&a));
    ck_same_floats(t, got, want, n_out);
    ck_same_floats(t, lse, want_lse, s->n_q);
    if (s->data == CK_UNIT) check_forward_accuracy(t, s, &a);
    /* B8: the same rows one at a time, as decoding asks for them; no lse. */
    for (size_t i = 0; i < s->n_q; i += 1 + s->n_q / 16) {
        ac_attn_args one = a;
        one.q += i * a.q_stride;
        one.n_q = 1;
        one.q_pos = s->q_pos + i;
        one.out = decoded + i * a.out_stride;
        one.lse = NULL;
        CK_CALL(t, t->tier.attn_forward(&one));
        ck_same_floats(t, one.out, want + i * a.out_stride, s->dim);
    }
}

/* Rows as heads of one query: what each is alone. */
static void one_position(ck *t, const shape *s)
{
    ac_attn_args a = forward_args(t, s);
    const size_t n_out = floats_of(s->n_q, a.out_stride, s->dim);
    float *want = ck_out(t, n_out), *ref = ck_out(t, n_out), *got = ck_out(t, n_out);
    for (size_t i = 0; i < s->n_q; i++) {
        ac_attn_args one = a;
        one.q += i * a.q_stride;
        one.n_q = 1;
        one.out = want + i * a.out_stride;
        t->ref.attn_forward(&one);
    }
    a.one_pos = true;
    a.out = ref;
    t->ref.attn_forward(&a);
    a.out = got;
    CK_CALL(t, t->tier.attn_forward(&a));
    ck_same_floats(t, ref, want, n_out);
    ck_same_floats(t, got, want, n_out);
}

static const size_t dims[] = { 1, 2, 7, 8, 15, 16, 17, 32, 47, 64, 65, 80, 96, 128, 256 };
static const size_t counts[] = { 0, 1, 2, 5, 6, 7, 13, 63, 64, 65, 97, 130 };
static const size_t windows[] = { 0, 1, 5, 64, 70 };
static const size_t starts[] = { 0, 3, 64, 100 };
static const ck_data kinds[] = { CK_UNIT, CK_UNIT, CK_SIGNED_ZERO, CK_DENORMAL, CK_TINY };

static void ck_forward(ck *t)
{
    for (size_t i = 0; i < AC_COUNTOF(dims); i++) {
        for (size_t k = 0; k < AC_COUNTOF(counts); k++) {
            const size_t mix = i + k;
            if (dims[i] * counts[k] > 65 * 97) continue;         /* what ref needs too long for */
            const shape s = { .n_q = counts[k], .dim = dims[i], .q_pos = starts[mix % AC_COUNTOF(starts)],
                              .window = windows[(mix / 2 + k) % AC_COUNTOF(windows)],
                              .data = kinds[(i * 3 + k) % AC_COUNTOF(kinds)] };
            if (ck_case(t, "attn_forward_%zux%zu_at_%zu_window_%zu_%s", s.n_q, s.dim, s.q_pos, s.window,
                        ck_data_name(s.data)))
                one_forward(t, &s);
            if (ck_case(t, "attn_one_position_%zux%zu_at_%zu_window_%zu_%s", s.n_q, s.dim, s.q_pos, s.window,
                        ck_data_name(s.data)))
                one_position(t, &s);
        }
    }
    /* What the models of the first days ask for: SmolLM2 and stories260k. */
    const shape real[] = { { 200, 0, 64, 1, 0, CK_UNIT }, { 300, 0, 8, 1, 0, CK_LOGITS } };
    for (size_t i = 0; i < AC_COUNTOF(real); i++)
        if (ck_case(t, "attn_forward_real_%zux%zu", real[i].n_q, real[i].dim)) one_forward(t, &real[i]);
}

/* ---- threads ------------------------------------------------------------------------------------- */

typedef struct {
    ck *t;
    const ac_attn_args *whole;
    size_t tasks;
} split;

/* Queries i * n / tasks and on; with CK_TINY scores and products reach denormals, so a worker that flushed
 * them would show. */
static void split_task(void *ctx, size_t task, size_t worker)
{
    const split *s = ctx;
    AC_UNUSED(worker);
    ac_attn_args part = *s->whole;
    const size_t first = task * part.n_q / s->tasks, end = (task + 1) * part.n_q / s->tasks;
    part.q += first * part.q_stride;
    part.out += first * part.out_stride;
    part.lse += first;
    part.q_pos += first;
    part.n_q = end - first;
    s->t->tier.attn_forward(&part);
}

static void ck_threads(ck *t)
{
    const size_t threads[] = { 1, 2, 7 };
    const ck_data data[] = { CK_UNIT, CK_TINY };
    for (size_t i = 0; i < AC_COUNTOF(threads) * AC_COUNTOF(data); i++) {
        const shape s = { .n_q = 150, .dim = 32, .data = data[i / AC_COUNTOF(threads)] };
        const size_t n_threads = threads[i % AC_COUNTOF(threads)];
        if (!ck_case(t, "attn_forward_threads_%zu_%s", n_threads, ck_data_name(s.data))) continue;
        ac_attn_args a = forward_args(t, &s);
        const size_t n_out = floats_of(s.n_q, a.out_stride, s.dim);
        float *want = ck_out(t, n_out), *got = ck_out(t, n_out), *want_lse = ck_out(t, s.n_q);
        a.out = want;
        a.lse = want_lse;
        t->ref.attn_forward(&a);
        a.out = got;
        a.lse = ck_out(t, s.n_q);
        const split job = { t, &a, 11 };
        ac_pool_run(ck_pool(t, n_threads), job.tasks, split_task, (void *)&job);
        ck_same_floats(t, got, want, n_out);
        ck_same_floats(t, a.lse, want_lse, s.n_q);
    }
}

/* ---- backward ------------------------------------------------------------------------------------ */

typedef struct {
    ac_attn_grad_args a;
    size_t n_q, n_k;            /* floats of a query-side and a key-side buffer */
} backward;

static backward backward_args(ck *t, const shape *s)
{
    const size_t wide = s->group * s->dim;
    backward b = { .a = { .q_stride = wide + 1, .out_stride = wide + 1, .dout_stride = wide + 1,
                          .dq_stride = wide + 1, .k_stride = s->dim + 2, .v_stride = s->dim + 2,
                          .dk_stride = s->dim + 2, .dv_stride = s->dim + 2, .lse_stride = s->n_q + 1,
                          .n = s->n_q, .head_dim = s->dim, .group = s->group, .window = s->window,
                          .scale = (float)(1.0 / sqrt((double)s->dim)) } };
    b.n_q = floats_of(s->n_q, wide + 1, wide);
    b.n_k = floats_of(s->n_q, s->dim + 2, s->dim);
    b.a.q = ck_f32(t, b.n_q, s->data);
    b.a.k = ck_f32(t, b.n_k, s->data);
    b.a.v = ck_f32(t, b.n_k, s->data);
    b.a.dout = ck_f32(t, b.n_q, CK_UNIT);
    float *out = ck_out(t, b.n_q), *lse = ck_out(t, floats_of(s->group, s->n_q + 1, s->n_q));
    for (size_t h = 0; h < s->group; h++) {
        const ac_attn_args f = { .q = b.a.q + h * s->dim, .k = b.a.k, .v = b.a.v, .q_stride = b.a.q_stride,
                                 .k_stride = b.a.k_stride, .v_stride = b.a.v_stride, .n_q = s->n_q,
                                 .head_dim = s->dim, .window = s->window, .scale = b.a.scale,
                                 .out = out + h * s->dim, .out_stride = b.a.out_stride,
                                 .lse = lse + h * b.a.lse_stride };
        t->ref.attn_forward(&f);
    }
    b.a.out = out;
    b.a.lse = lse;
    b.a.scratch = ck_bytes(t, ac_attn_scratch_floats(s->n_q, s->dim, s->group) * sizeof(float));
    return b;
}

static void one_backward(ck *t, const shape *s)
{
    backward b = backward_args(t, s);
    float *want[3], *got[3];
    const size_t n[3] = { b.n_q, b.n_k, b.n_k };
    for (size_t i = 0; i < 3; i++) {
        want[i] = ck_out(t, n[i]);
        got[i] = ck_out(t, n[i]);
    }
    b.a.dq = want[0], b.a.dk = want[1], b.a.dv = want[2];
    t->ref.attn_grad(&b.a);
    b.a.dq = got[0], b.a.dk = got[1], b.a.dv = got[2];
    CK_CALL(t, t->tier.attn_grad(&b.a));
    for (size_t i = 0; i < 3; i++) ck_same_floats(t, got[i], want[i], n[i]);
}

static void ck_backward(ck *t)
{
    for (size_t i = 0; i < AC_COUNTOF(dims); i++) {
        for (size_t k = 0; k < AC_COUNTOF(counts); k++) {
            const size_t mix = i + k;
            if (dims[i] * counts[k] > 65 * 97) continue;         /* what ref needs too long for */
            const shape s = { .n_q = counts[k], .dim = dims[i], .group = 1 + mix % 3,
                              .window = windows[(mix + k) % AC_COUNTOF(windows)],
                              .data = kinds[(i * 3 + k) % AC_COUNTOF(kinds)] };
            if (ck_case(t, "attn_grad_%zux%zux%zu_window_%zu_%s", s.n_q, s.group, s.dim, s.window,
                        ck_data_name(s.data)))
                one_backward(t, &s);
        }
    }
    const shape real[] = { { 150, 0, 64, 3, 0, CK_UNIT }, { 200, 0, 8, 2, 0, CK_LOGITS } };
    for (size_t i = 0; i < AC_COUNTOF(real); i++)
        if (ck_case(t, "attn_grad_real_%zux%zu", real[i].n_q, real[i].dim)) one_backward(t, &real[i]);
}

/* ---- gradients against differences --------------------------------------------------------------- */

typedef struct {
    const shape *s;
    double *q, *k, *v, *dout, *out, scale;
} objective;

/* sum over heads and queries of dout * out, in double. */
static double value_of(const objective *o)
{
    const size_t dim = o->s->dim, wide = dim * o->s->group;
    double sum = 0;
    for (size_t i = 0; i < o->s->n_q; i++) {
        for (size_t h = 0; h < o->s->group; h++) {
            const double *q = o->q + i * wide + h * dim;
            (void)attend_double(o->out, q, o->k, o->v, i, dim, o->s->window, o->scale);
            for (size_t d = 0; d < dim; d++) sum += o->dout[i * wide + h * dim + d] * o->out[d];
        }
    }
    return sum;
}

static void check_part(ck *t, const objective *o, double *x, const float *grad, size_t stride, size_t row,
                       const char *what)
{
    for (size_t k = 0; k < 24; k++) {
        const size_t at = ck_u32(t) % (o->s->n_q * row);
        const double h = 1e-5, keep = x[at];
        x[at] = keep + h;
        const double up = value_of(o);
        x[at] = keep - h;
        const double down = value_of(o);
        x[at] = keep;
        const double got = (double)grad[at / row * stride + at % row];
        ck_near_relative(t, got, (up - down) / (2 * h), 0.1, 2e-5, what);
    }
}

static void ck_differences(ck *t)
{
    const shape shapes[] = { { 70, 0, 8, 2, 0, CK_UNIT }, { 70, 0, 16, 1, 9, CK_UNIT },
                             { 5, 0, 24, 3, 0, CK_UNIT } };
    for (size_t i = 0; i < AC_COUNTOF(shapes); i++) {
        const shape *s = &shapes[i];
        if (!ck_case(t, "attn_grad_differences_%zux%zux%zu_window_%zu", s->n_q, s->group, s->dim, s->window))
            continue;
        backward b = backward_args(t, s);
        const size_t wide = s->group * s->dim;
        b.a.dq = ck_out(t, b.n_q);
        b.a.dk = ck_out(t, b.n_k);
        b.a.dv = ck_out(t, b.n_k);
        CK_CALL(t, t->tier.attn_grad(&b.a));
        const objective o = { .s = s, .q = dense(t, b.a.q, s->n_q, b.a.q_stride, wide),
                              .k = dense(t, b.a.k, s->n_q, b.a.k_stride, s->dim),
                              .v = dense(t, b.a.v, s->n_q, b.a.v_stride, s->dim),
                              .dout = dense(t, b.a.dout, s->n_q, b.a.dout_stride, wide),
                              .out = ck_bytes(t, s->dim * sizeof(double)), .scale = (double)b.a.scale };
        check_part(t, &o, o.q, b.a.dq, b.a.dq_stride, wide, "dq");
        check_part(t, &o, o.k, b.a.dk, b.a.dk_stride, s->dim, "dk");
        check_part(t, &o, o.v, b.a.dv, b.a.dv_stride, s->dim, "dv");
    }
}

/* ---- speed --------------------------------------------------------------------------------------- */

static void ck_speed(ck *t)
{
    const shape shapes[] = { { 60, 0, 64, 3, 0, CK_UNIT }, { 300, 0, 64, 3, 0, CK_UNIT },
                             { 800, 0, 64, 3, 0, CK_UNIT }, { 300, 0, 128, 2, 0, CK_UNIT },
                             { 300, 0, 8, 2, 0, CK_UNIT } };
    for (size_t i = 0; i < AC_COUNTOF(shapes); i++) {
        const shape *s = &shapes[i];
        const double pairs = (double)s->n_q * (double)(s->n_q + 1) / 2 * (double)s->dim;
        if (ck_bench_case(t, "attn_forward_%zux%zu", s->n_q, s->dim)) {
            ac_attn_args a = forward_args(t, s);
            a.out = ck_out(t, floats_of(s->n_q, a.out_stride, s->dim));
            a.lse = ck_out(t, s->n_q);
            CK_BENCH(t, pairs * 4, "flop", t->tier.attn_forward(&a));
        }
        if (ck_bench_case(t, "attn_grad_%zux%zux%zu", s->n_q, s->group, s->dim)) {
            backward b = backward_args(t, s);
            b.a.dq = ck_out(t, b.n_q);
            b.a.dk = ck_out(t, b.n_k);
            b.a.dv = ck_out(t, b.n_k);
            CK_BENCH(t, pairs * 10 * (double)s->group, "flop", t->tier.attn_grad(&b.a));
        }
    }
    const shape decode = { 1, 400, 64, 1, 0, CK_UNIT };
    if (ck_bench_case(t, "attn_decode_400x64")) {
        ac_attn_args a = forward_args(t, &decode);
        a.out = ck_out(t, 64);
        CK_BENCH(t, 401 * 64 * 4, "flop", t->tier.attn_forward(&a));
    }
}

const ck_test ck_attn_tests[] = {
    { "forward", ck_forward }, { "threads", ck_threads }, { "backward", ck_backward },
    { "differences", ck_differences }, { "speed", ck_speed }, { 0 },
};
