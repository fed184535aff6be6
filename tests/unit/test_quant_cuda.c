/* Stored weights on the CUDA device: every type that the CPU reads is expanded to the CPU's expand_row rounded once to
 * bfloat16, byte for byte, by the embedding and before a product; and a model whose weights stay as stored computes the
 * bits of one whose weights were expanded ahead. Random blocks, with scales from subnormal to the largest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda.h"
#include "base/rng.h"
#include "cudasim/simulated.h"

static ac_device *gpu;
static ac_kernels ref;
static int failures, cases;
static uint64_t draws;

static void stop(const char *what, const ac_err *err)
{
    fprintf(stderr, "test_quant_cuda: %s: %s\n", what, err ? err->text : "out of memory");
    exit(1);
}

static void *room(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (!p) stop("memory", NULL);
    return p;
}

static uint32_t draw(uint32_t below)
{
    return ac_rng_below(11, AC_RNG_TEST, 0, draws++, below);
}

static void expect(const char *what, ac_dtype type, bool ok)
{
    cases++;
    failures += !ok;
    if (!ok) printf("%-5s %-44s FAILED\n", ac_dtype_name(type), what);
}

static uint16_t rounded(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
    return (uint16_t)(u >> 16 == 0x8000u ? 0 : u >> 16);           /* a product has no sign of zero to keep */
}

/* ---- stored matrices ------------------------------------------------------------------------------------------ */

/* A finite binary16: any, or one near 0.01 so that products stay small. */
static void put_half(unsigned char *at, bool tame)
{
    const uint32_t any = draw(0x7c00) | draw(2) << 15;
    const uint32_t bits = tame ? 0x2000 + draw(0x400) : any;
    at[0] = (unsigned char)(bits & 255u);
    at[1] = (unsigned char)(bits >> 8);
}

static void fill_block(unsigned char *b, ac_dtype type, bool tame)
{
    const size_t bytes = ac_dtype_block_bytes(type);
    const bool two = type == AC_Q4_1 || type == AC_Q5_1 || type == AC_Q4_K || type == AC_Q5_K;
    for (size_t i = 0; i < bytes; i++) b[i] = (unsigned char)draw(256);
    if (type == AC_F32 || type == AC_NF4) {
        const float x = (float)((double)ac_rng_unit(11, AC_RNG_TEST, 1, draws++) - 0.5) * (tame ? 0.1f : 1e20f);
        memcpy(b, &x, sizeof x);
    } else if (type == AC_BF16) {
        b[1] = (unsigned char)(0x3c | (b[1] & 0x80));
    } else {
        put_half(b + (type == AC_Q6_K ? 208 : 0), tame);
        if (two) put_half(b + 2, tame);
    }
}

typedef struct {                     /* the same numbers, stored and as bfloat16 */
    ac_matrix stored, ahead;
    unsigned char *bytes;
    uint16_t *bits;
    size_t n;
} both;

static ac_matrix on_gpu(void *host, ac_dtype type, size_t rows, size_t cols, bool *finite)
{
    ac_err err = { 0 };
    ac_matrix w = { .type = type, .rows = rows, .cols = cols };
    if (!ac_dtype_row_bytes(&w.row_bytes, type, cols)) stop("a row that is not whole blocks", NULL);
    if (gpu->op->buf_borrow(gpu, &w.buf, host, rows * w.row_bytes, AC_BORROW_READ, &err)) stop("weights", &err);
    *finite = gpu->op->all_finite(gpu, &w);
    return w;
}

static both make(ac_dtype type, size_t rows, size_t cols, bool tame)
{
    both w = { .n = rows * cols };
    const size_t elems = ac_dtype_block_elems(type), bytes = ac_dtype_block_bytes(type);
    float *row = room(cols * sizeof *row);
    bool finite[2];
    w.bytes = room(w.n / elems * bytes);
    w.bits = room(w.n * sizeof *w.bits);
    for (size_t i = 0; i < w.n / elems; i++) fill_block(w.bytes + i * bytes, type, tame);
    for (size_t r = 0; r < rows; r++) {
        ref.expand_row(row, w.bytes + r * (cols / elems * bytes), type, cols);
        for (size_t c = 0; c < cols; c++) w.bits[r * cols + c] = rounded(row[c]);
    }
    w.stored = on_gpu(w.bytes, type, rows, cols, &finite[0]);
    w.ahead = on_gpu(w.bits, AC_BF16, rows, cols, &finite[1]);
    expect("finite", type, finite[0] && finite[1]);
    free(row);
    return w;
}

static void drop(both *w)
{
    gpu->op->buf_close(gpu, &w->stored.buf);
    gpu->op->buf_close(gpu, &w->ahead.buf);
    free(w->bytes);
    free(w->bits);
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

static ac_ref place(size_t n, ac_store store, double scale)
{
    ac_err err = { 0 };
    ac_ref r = { NULL, 16 };
    float *x = room(n * sizeof *x);
    if (gpu->op->buf_open(gpu, &r.buf, n + 16, store, &err)) stop("memory", &err);
    gpu->op->zero(gpu, (ac_ref){ r.buf, 0 }, 16);    /* parameters are rounded as a whole, with what lies before them */
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * (2.0 * (double)ac_rng_unit(11, AC_RNG_TEST, 1, draws++) - 1.0));
    gpu->op->write(gpu, r, x, n);
    free(x);
    return r;
}

static float *values(ac_ref r, size_t n)
{
    ac_err err = { 0 };
    float *x = room(n * sizeof *x);
    gpu->op->read(gpu, x, r, n);
    if (gpu->op->sync(gpu, &err)) stop("reading", &err);
    return x;
}

static bool equals_bits(ac_ref r, const uint16_t *want, size_t n)
{
    float *got = values(r, n);
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        if (rounded(got[i]) != want[i] && wrong++ < 3)
            printf("  number %zu: %04x, expected %04x\n", i, (unsigned)rounded(got[i]), (unsigned)want[i]);
    free(got);
    return wrong == 0;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void test_bytes(ac_dtype type, size_t rows, size_t cols)
{
    both w = make(type, rows, cols, false);
    uint32_t *ids = room(rows * sizeof *ids);
    uint16_t *turned = room(w.n * sizeof *turned);
    float *one = room(cols * cols * sizeof *one);
    ac_ref id = place(rows, AC_STORE_F32, 0), y = place(w.n, AC_STORE_STREAM, 1), unit = place(cols * cols, AC_STORE_ACT, 0);
    ac_ref out = place(w.n, AC_STORE_ACT, 1);
    for (size_t r = 0; r < rows; r++) ids[r] = (uint32_t)r;
    gpu->op->write(gpu, id, ids, rows);
    gpu->op->embed(gpu, &(ac_embed_args){ .y = y, .ids = id, .rows = rows, .table = &w.stored });
    expect("embedding", type, equals_bits(y, w.bits, w.n));
    /* x W^T with the unit matrix as x is W^T. */
    for (size_t c = 0; c < cols; c++) one[c * cols + c] = 1.0f;
    gpu->op->write(gpu, unit, one, cols * cols);
    gpu->op->linear(gpu, &(ac_linear_args){ .y = out, .x = unit, .rows = cols, .w = &w.stored });
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) turned[c * rows + r] = w.bits[r * cols + c];
    expect("expansion", type, equals_bits(out, turned, w.n));
    ac_ref all[] = { id, y, unit, out };
    for (size_t i = 0; i < 4; i++) gpu->op->buf_close(gpu, &all[i].buf);
    free(ids), free(turned), free(one);
    drop(&w);
}

static void test_not_finite(ac_dtype type)
{
    static const unsigned char half[2] = { 0x00, 0x7c }, whole[4] = { 0x00, 0x00, 0x80, 0x7f };
    const size_t bytes = ac_dtype_block_bytes(type), elems = ac_dtype_block_elems(type), n = 12 * 256 / elems;
    unsigned char *data = room(n * bytes);
    bool finite = true;
    for (size_t i = 0; i < n; i++) fill_block(data + i * bytes, type, true);
    memcpy(data + (n - 2) * bytes + (type == AC_Q6_K ? 208 : 0), type == AC_NF4 ? whole : half, type == AC_NF4 ? 4 : 2);
    memset(data + (n - 2) * bytes + (type == AC_Q6_K ? 192 : 2 * bytes / 3), 0x51, 4);      /* not all times nothing */
    ac_matrix w = on_gpu(data, type, 12, 256, &finite);
    expect("an infinite scale is seen", type, !finite);
    gpu->op->buf_close(gpu, &w.buf);
    free(data);
}

enum { ROWS = 96, RANK = 16 };
static size_t hidden = 512, wide = 768, vocab = 1024, loss_rows = ROWS;

typedef struct {
    ac_ref x, y, dy, dx, a, b, h, da, db, norm, rows, target, nll, scratch;
    size_t scratch_n;
} places;

/* y, then dx, da, db of a layer; returns all of them behind each other. */
static float *layer_bits(places *p, const ac_matrix *w)
{
    const ac_unit_rows units[2] = { { 0, 40, 0 }, { 40, ROWS - 40, 1 } };
    const ac_lora l = { .rank = RANK, .scale = 2.0f, .a = p->a, .b = p->b, .h = p->h };
    const size_t ny = ROWS * w->rows, nx = ROWS * w->cols, na = RANK * w->cols, nb = RANK * w->rows;
    float *out = room((ny + nx + na + nb) * sizeof *out), *part;
    gpu->op->zero(gpu, p->da, na);
    gpu->op->zero(gpu, p->db, nb);
    gpu->op->linear(gpu, &(ac_linear_args){ .y = p->y, .x = p->x, .rows = ROWS, .w = w, .lora = &l, .units = units, .n_units = 2,
                                            .scratch = p->scratch });
    gpu->op->linear_grad(gpu, &(ac_linear_grad_args){ .dx = p->dx, .dy = p->dy, .x = p->x, .rows = ROWS, .w = w, .lora = &l,
        .da = p->da, .db = p->db, .units = units, .n_units = 2, .scratch = p->scratch });
    const struct { ac_ref r; size_t n; } parts[] = { { p->y, ny }, { p->dx, nx }, { p->da, na }, { p->db, nb } };
    for (size_t i = 0, at = 0; i < 4; at += parts[i++].n) {
        part = values(parts[i].r, parts[i].n);
        memcpy(out + at, part, parts[i].n * sizeof *out);
        free(part);
    }
    return out;
}

static float *loss_bits(places *p, const ac_matrix *w, ac_ref stream)
{
    float *out = room((loss_rows + loss_rows * hidden) * sizeof *out), *part;
    gpu->op->loss(gpu, &(ac_loss_args){ .x = stream, .rows = p->rows, .target = p->target, .norm_w = p->norm, .nll = p->nll,
        .dx = p->dx, .n_rows = loss_rows, .eps = 1e-5f, .grad_scale = 1.0f / 64, .w = w, .scratch = p->scratch });
    part = values(p->nll, loss_rows);
    memcpy(out, part, loss_rows * sizeof *out);
    free(part);
    part = values(p->dx, loss_rows * hidden);
    memcpy(out + loss_rows, part, loss_rows * hidden * sizeof *out);
    free(part);
    return out;
}

static void same(const char *what, ac_dtype type, float *x, float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    expect(what, type, memcmp(x, y, n * sizeof *x) == 0 && sum > 0);
    free(x);
    free(y);
}

static places open_places(void)
{
    const ac_shape shape = { .rows = ROWS, .output_rows = ROWS, .hidden = hidden, .ffn = wide, .widest_in = wide, .vocab = vocab,
                             .rank = RANK, .grad = true, .head_dim = 64 };
    uint32_t row[ROWS], target[ROWS];
    places p = { .scratch_n = gpu->op->scratch_floats(gpu, &shape) };
    p.x = place(ROWS * wide, AC_STORE_ACT, 1), p.y = place(ROWS * wide, AC_STORE_ACT, 1);
    p.dy = place(ROWS * wide, AC_STORE_ACT, 1), p.dx = place(ROWS * wide, AC_STORE_ACT, 1);
    p.a = place(RANK * wide, AC_STORE_F32, 0.05), p.b = place(RANK * wide, AC_STORE_F32, 0.05);
    p.h = place(ROWS * RANK, AC_STORE_ACT, 1), p.norm = place(hidden, AC_STORE_F32, 1);
    p.da = place(RANK * wide, AC_STORE_F32, 1), p.db = place(RANK * wide, AC_STORE_F32, 1);
    p.rows = place(ROWS, AC_STORE_F32, 1), p.target = place(ROWS, AC_STORE_F32, 1), p.nll = place(ROWS, AC_STORE_F32, 1);
    p.scratch = place(p.scratch_n, AC_STORE_F32, 0);
    for (uint32_t i = 0; i < ROWS; i++) row[i] = i, target[i] = i * 37 % (uint32_t)vocab;
    gpu->op->write(gpu, p.rows, row, ROWS);
    gpu->op->write(gpu, p.target, target, ROWS);
    return p;
}

static void close_places(places *p)
{
    ac_ref *all[] = { &p->x, &p->y, &p->dy, &p->dx, &p->a, &p->b, &p->h, &p->da, &p->db, &p->norm, &p->rows, &p->target, &p->nll,
                      &p->scratch };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu->op->buf_close(gpu, &all[i]->buf);
}

static void prepared(ac_matrix *w)
{
    ac_err err = { 0 };
    const bool stored = ac_dtype_block_elems(w->type) > 1;
    expect("what is prepared", w->type, gpu->op->prepare(gpu, w, &err) == AC_OK && (w->ahead != NULL) == stored &&
                                            (gpu->op->prepared_bytes(gpu, w) > 0) == stored);
}

/* Two layers and an output matrix: what is still expanded, what is not any more, what never was, what is for good. */
static void test_kept_is_ahead(ac_dtype type)
{
    both up = make(type, wide, hidden, true), down = make(type, hidden, wide, true), out = make(type, vocab, hidden, true);
    places p = open_places();
    ac_ref stream = place(ROWS * hidden, AC_STORE_STREAM, 1);
    if (gpu->op->take_own) gpu->op->take_own(gpu);
    const size_t n = ROWS * (hidden + wide) + RANK * (hidden + wide);
    for (int round = 0; round < 5; round++) {
        if (round == 3) prepared(&up.stored), prepared(&out.stored);
        if (round == 4) gpu->op->unprepare(gpu, &up.stored), prepared(&down.stored);
        float *a = layer_bits(&p, &up.stored), *b = layer_bits(&p, &down.stored), *c = loss_bits(&p, &out.stored, stream);
        same("a layer, kept and expanded ahead", type, a, layer_bits(&p, &up.ahead), n);
        same("a second one", type, b, layer_bits(&p, &down.ahead), n);
        same("loss and its gradient", type, c, loss_bits(&p, &out.ahead, stream), loss_rows * (1 + hidden));
    }
    gpu->op->buf_close(gpu, &stream.buf);
    close_places(&p);
    drop(&up), drop(&down), drop(&out);
}

int main(void)
{
    static const ac_dtype types[] = { AC_F32, AC_F16, AC_BF16, AC_Q8_0, AC_Q4_0, AC_Q4_1, AC_Q5_0, AC_Q5_1, AC_Q4_K, AC_Q5_K, AC_Q6_K, AC_NF4 };
    ac_err err = { 0 };
    const ac_status st = ac_device_open_cuda(&gpu, 0, &err);
    if (st == AC_ENOENT) {
        printf("not run: %s\n", err.text);
        return 77;
    }
    if (st) stop("the GPU", &err);
    if (ac_kernels_init(&ref, AC_CPU_REF, &err)) stop("the CPU", &err);
    const bool small = simulated(gpu);
    if (small) hidden = 256, wide = 512, vocab = 320, loss_rows = 20;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        test_bytes(types[i], 264, 256);
        if (!small) test_bytes(types[i], 1032, 1024);
        if (ac_dtype_block_elems(types[i]) > 1) test_not_finite(types[i]);
        if (!small || i % 3 == 2) test_kept_is_ahead(types[i]);
    }
    if (gpu->op->sync(gpu, &err)) stop("the GPU", &err);
    ac_device_close(&gpu);
    printf("%d of %d cases failed\n", failures, cases);
    return failures != 0;
}
