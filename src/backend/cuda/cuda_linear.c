/* backend/cuda/cuda_linear.c - linear layers with LoRA, forward and backward.
 *
 * On Hopper the base's product and the adapter's last factor are summed before they are rounded, for all layers that share
 * an input in one launch (cuda_segments.cu). Elsewhere the adapter's part is written first and the base's product added to
 * it: the small summand is the one that is rounded alone. What reads the same x or dy for an adapter is one launch for all
 * layers of a call (cuda_lora.cu); an adapter's gradient is summed in binary32 over pieces of the units, which are added in
 * their order. Ranks over CUDA_RANK_MAX go through cuBLASLt, over all rows of the call at once. */
#include "backend/cuda/cuda_int.h"

/* h = alpha x A^T for each. */
static void into_rank(cuda_device *d, const cuda_into_rank *p)
{
    if (d->st || !p->n) return;
    if (p->r > CUDA_RANK_MAX) {
        for (size_t i = 0; i < p->n; i++)
            cuda_product(d, &(cuda_gemm){ .m = p->rows, .n = p->r, .k = p->k, .a = p->x, .lda = p->k, .b = p->a[i], .ldb = p->k,
                .tb = true, .c = p->h[i], .ldc = p->r, .alpha = p->alpha[i] });
        return;
    }
    if (!k_into_rank(d->stream, p)) cuda_fail(d, AC_ESTATE, "%s: an adapter's product could not be launched", d->name);
    cuda_launched(d, "an adapter's product");
}

/* Each unit in pieces from its first row on. */
static const cuda_piece *pieces_of(cuda_device *d, const ac_linear_grad_args *a, size_t *n_out)
{
    size_t n = 0, at = 0;
    for (size_t u = 0; u < a->n_units; u++) n += (a->units[u].n + CUDA_PIECE - 1) / CUDA_PIECE;
    *n_out = n;
    cuda_piece *host = n ? d->host->alloc(n, sizeof *host) : NULL;
    if (!host) {
        cuda_fail(d, AC_ENOMEM, "no units, or no memory for %zu pieces of them", n);
        return NULL;
    }
    for (size_t u = 0; u < a->n_units; u++)
        for (size_t from = 0; from < a->units[u].n; from += CUDA_PIECE) {
            const size_t left = a->units[u].n - from;
            host[at++] = (cuda_piece){ (uint32_t)(a->units[u].first + from), (uint32_t)(left < CUDA_PIECE ? left : CUDA_PIECE) };
        }
    const cuda_piece *table = cuda_table_at(d, TABLE_PIECES, host, n * sizeof *host);
    d->host->release(host);
    return table;
}

/* dh = alpha dy B, db += dy^T h for each. */
static void rank_back(cuda_device *d, const cuda_rank_back *p, size_t rows)
{
    if (d->st || !p->n) return;
    if (p->r > CUDA_RANK_MAX) {
        for (size_t i = 0; i < p->n; i++) {
            cuda_product(d, &(cuda_gemm){ .m = rows, .n = p->r, .k = p->out[i], .a = p->dy[i], .lda = p->out[i], .b = p->b[i],
                .ldb = p->r, .c = p->dh[i], .ldc = p->r, .alpha = p->alpha[i] });
            cuda_product(d, &(cuda_gemm){ .m = p->out[i], .n = p->r, .k = rows, .a = p->dy[i], .lda = p->out[i], .ta = true,
                .b = p->h[i], .ldb = p->r, .c = p->db[i], .c_f32 = true, .ldc = p->r, .alpha = 1.0f, .beta = 1.0f });
        }
        return;
    }
    if (!k_rank_back(d->stream, p, d->lt_space, CUDA_LT_SPACE / sizeof(float)))
        cuda_fail(d, AC_ESTATE, "%s: an adapter's gradient could not be launched", d->name);
    cuda_launched(d, "an adapter's gradient");
}

/* da += dh^T x for each. */
static void rank_grad(cuda_device *d, const cuda_rank_grad *p, size_t rows)
{
    if (d->st || !p->n) return;
    if (p->r > CUDA_RANK_MAX) {
        for (size_t i = 0; i < p->n; i++)
            cuda_product(d, &(cuda_gemm){ .m = p->r, .n = p->cols, .k = rows, .a = p->dh[i], .lda = p->r, .ta = true, .b = p->x,
                .ldb = p->cols, .c = p->da[i], .c_f32 = true, .ldc = p->cols, .alpha = 1.0f, .beta = 1.0f });
        return;
    }
    if (!k_rank_grad(d->stream, p, d->lt_space, CUDA_LT_SPACE / sizeof(float)))
        cuda_fail(d, AC_ESTATE, "%s: an adapter's gradient could not be launched", d->name);
    cuda_launched(d, "an adapter's gradient");
}

/* The adapter's input: dropped where there is dropout, in `room`. */
static const cuda_bf16 *adapter_input(cuda_device *d, const ac_lora *l, const cuda_bf16 *x, size_t rows, size_t cols,
                                      const ac_unit_rows *units, size_t n_units, cuda_bf16 *room)
{
    if (!l->drop.threshold) return x;
    const cuda_unit *table = cuda_table_at(d, TABLE_UNITS, units, n_units * sizeof *units);
    if (!table) return x;
    k_drop(d->stream, room, x, rows, cols, table, n_units, l->drop.seed, l->drop.step, l->module, l->drop.threshold,
           l->drop.inv_keep, false);
    cuda_launched(d, "dropout");
    return room;
}

/* ---- base and adapter joined ---- */

/* Smaller summands first: each is rounded when the next is added. */
static void one_after_another(cuda_device *d, const cuda_joined *j)
{
    for (size_t i = 0; i < j->outputs; i++) {
        const cuda_joined_out *o = &j->out[i];
        for (size_t s = o->segments; s-- > 0;) {
            const cuda_segment *g = &o->segment[s];
            cuda_product(d, &(cuda_gemm){ .m = j->rows, .n = o->n, .k = g->k, .a = g->a, .lda = g->lda, .b = g->b, .ldb = g->ldb,
                .tb = !j->n_contiguous, .c = o->c, .ldc = o->ldc, .alpha = 1.0f,
                .beta = o->add || s + 1 < o->segments ? 1.0f : 0.0f });
        }
        if (!o->bias || d->st) continue;
        k_add_bias(d->stream, o->c, o->bias, j->rows, o->n);
        cuda_launched(d, "bias");
    }
}

static void joined(cuda_device *d, const cuda_joined *j)
{
    if (d->st || !j->outputs || !j->rows) return;
    if (!d->hopper || !k_segments_fit(j)) {
        one_after_another(d, j);
        return;
    }
    if (!k_segments(d->stream, j, d->processors))
        cuda_fail(d, AC_ESTATE, "%s: a product of %zu rows could not be launched", d->name, j->rows);
    cuda_launched(d, "a product");
}

/* Gate and up, and the gated unit of what is stored of them, in one launch. false: not here. */
static bool joined_gated(cuda_device *d, const cuda_joined *j, const ac_gated_args *g)
{
    if (d->st || !j->rows) return true;
    if (!d->hopper || !k_gated_segments_fit(j, cuda_act(g->y))) return false;
    if (!k_gated_segments(d->stream, j, cuda_act(g->y), d->processors))
        cuda_fail(d, AC_ESTATE, "%s: a product of %zu rows could not be launched", d->name, j->rows);
    cuda_launched(d, "gate and up");
    return true;
}

/* The gradient of the gated unit's output, and the unit's own of what would be stored of it; so, too. */
static bool joined_gated_grad(cuda_device *d, const cuda_joined *j, const ac_gated_grad_args *g)
{
    const cuda_gated_grads at = { .g = cuda_act(g->g), .u = cuda_act(g->u), .dg = cuda_act(g->dg), .du = cuda_act(g->du),
                                  .y = cuda_act(g->y) };
    if (d->st || !j->rows) return true;
    if (!d->hopper || !k_segments_gated_grad_fit(j, &at)) return false;
    if (!k_segments_gated_grad(d->stream, j, &at, d->processors))
        cuda_fail(d, AC_ESTATE, "%s: a product of %zu rows could not be launched", d->name, j->rows);
    cuda_launched(d, "a product with the gated unit's gradient");
    return true;
}

static void add_segment(cuda_joined_out *o, const cuda_bf16 *a, const cuda_bf16 *b, size_t k, size_t ldb)
{
    o->segment[o->segments++] = (cuda_segment){ .a = a, .b = b, .lda = k, .ldb = ldb, .k = k };
}

/* ---- forward ---- */

/* h of each, those with the same input at once. */
static void all_into_rank(cuda_device *d, const ac_linear_args *a, size_t n)
{
    cuda_into_rank p = { .rows = a->rows };
    for (size_t i = 0; i < n; i++) {
        const ac_lora *l = a[i].lora;
        const cuda_bf16 *x = cuda_act(a[i].x);
        if (!l) continue;
        if (p.n && (l->drop.threshold || p.x != x || p.k != a[i].w->cols || p.r != l->rank)) {
            into_rank(d, &p);
            p.n = 0;
        }
        p.k = a[i].w->cols;
        p.r = l->rank;
        p.x = adapter_input(d, l, x, a->rows, p.k, a[i].units, a[i].n_units, cuda_at(a[i].scratch));
        p.a[p.n] = cuda_narrow(d, l->a);
        p.h[p.n] = cuda_act(l->h);
        p.alpha[p.n++] = l->scale;
    }
    into_rank(d, &p);
}

/* Decoding (which has no units) of a few rows: cuda_decode.cu. */
static bool is_thin(const ac_linear_args *a)
{
    return !a->n_units && a->rows <= CUDA_THIN_ROWS;
}

static void thin(cuda_device *d, const cuda_thin *p)
{
    if (d->st || !p->outputs) return;
    if (!k_thin(d->stream, p, d->processors)) cuda_fail(d, AC_ESTATE, "%s: a product of %zu rows could not be launched", d->name, p->rows);
    cuda_launched(d, "a product of few rows");
}

static void thin_linears(cuda_device *d, const ac_linear_args *a, size_t n)
{
    const ac_matrix *w[CUDA_JOINED];
    const cuda_bf16 *wide[CUDA_JOINED] = { NULL };
    cuda_thin h = { .rows = a->rows }, y = { .rows = a->rows };
    for (size_t i = 0; i < n; i++) {
        const ac_lora *l = a[i].lora;
        if (a[i].y.buf) w[y.outputs++] = a[i].w;
        if (!l) continue;
        h.alpha[h.outputs] = l->scale;
        h.out[h.outputs] = (cuda_joined_out){ .c = cuda_act(l->h), .n = l->rank, .ldc = l->rank };
        add_segment(&h.out[h.outputs++], cuda_act(a[i].x), cuda_narrow(d, l->a), a[i].w->cols, a[i].w->cols);
    }
    thin(d, &h);
    cuda_weights_group(d, w, y.outputs, wide);
    y.settled = true;
    for (size_t i = 0; i < y.outputs; i++) y.settled = y.settled && cuda_weights_settled(w[i]);
    y.outputs = 0;
    for (size_t i = 0; i < n; i++) {
        const ac_lora *l = a[i].lora;
        if (!a[i].y.buf) continue;
        cuda_joined_out *o = &y.out[y.outputs];
        *o = (cuda_joined_out){ .c = cuda_act(a[i].y), .n = a[i].w->rows, .ldc = a[i].w->rows,
                                .bias = a[i].bias.buf ? cuda_f32(a[i].bias) : NULL };
        y.alpha[y.outputs] = 1.0f;
        add_segment(o, cuda_act(a[i].x), wide[y.outputs++], a[i].w->cols, a[i].w->cols);
        if (l) add_segment(o, cuda_act(l->h), cuda_narrow(d, l->b), l->rank, l->rank);
    }
    thin(d, &y);
}

/* g: the gated unit behind gate and up, or NULL; the result: whether it was computed, too. */
static bool some_linears(cuda_device *d, const ac_linear_args *a, size_t n, const ac_gated_args *g)
{
    if (is_thin(a)) {
        thin_linears(d, a, n);
        return false;
    }
    const ac_matrix *w[CUDA_JOINED];
    const cuda_bf16 *wide[CUDA_JOINED] = { NULL };
    cuda_joined j = { .rows = a->rows };
    all_into_rank(d, a, n);
    for (size_t i = 0; i < n; i++)
        if (a[i].y.buf) w[j.outputs++] = a[i].w;
    cuda_weights_group(d, w, j.outputs, wide);
    j.outputs = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t in = a[i].w->cols, out = a[i].w->rows;
        const ac_lora *l = a[i].lora;
        if (!a[i].y.buf) continue;
        cuda_joined_out *o = &j.out[j.outputs];
        *o = (cuda_joined_out){ .c = cuda_act(a[i].y), .n = out, .ldc = out,
                                .bias = a[i].bias.buf ? cuda_f32(a[i].bias) : NULL };
        add_segment(o, cuda_act(a[i].x), wide[j.outputs++], in, in);
        if (l) add_segment(o, cuda_act(l->h), cuda_narrow(d, l->b), l->rank, l->rank);
    }
    if (g && joined_gated(d, &j, g)) return true;
    joined(d, &j);
    return false;
}

void cuda_linears(ac_device *dev, const ac_linear_args *a, size_t n)
{
    for (size_t i = 0; i < n; i += CUDA_JOINED) (void)some_linears(cuda_of(dev), a + i, n - i < CUDA_JOINED ? n - i : CUDA_JOINED, NULL);
}

void cuda_gated_linears(ac_device *dev, const ac_linear_args a[2], const ac_gated_args *g)
{
    if (!some_linears(cuda_of(dev), a, 2, g)) cuda_gated(dev, g);
}

void cuda_linear(ac_device *dev, const ac_linear_args *a)
{
    cuda_linears(dev, a, 1);
}

/* ---- backward ---- */

/* Rows x rank values each, the i-th's from the scratch on; 16 elements are what a place's alignment is counted in. */
static cuda_bf16 *dh_of(const ac_linear_grad_args *a, size_t i)
{
    size_t at = 0;
    for (size_t k = 0; k < i; k++) at += a[k].lora ? (a[k].rows * a[k].lora->rank + 15) / 16 * 16 : 0;
    return (cuda_bf16 *)cuda_at(a->scratch) + at;
}

/* dh of each and dB += dy^T h. */
static void all_rank_back(cuda_device *d, const ac_linear_grad_args *a, size_t n, const cuda_piece *pieces, size_t n_pieces)
{
    cuda_rank_back p = { .piece = pieces, .pieces = n_pieces };
    for (size_t i = 0; i < n; i++) {
        const ac_lora *l = a[i].lora;
        if (!l) continue;
        if (p.n && p.r != l->rank) {
            rank_back(d, &p, a->rows);
            p.n = 0;
        }
        p.r = l->rank;
        p.out[p.n] = a[i].w->rows;
        p.dy[p.n] = cuda_act(a[i].dy);
        p.h[p.n] = cuda_act(l->h);
        p.b[p.n] = cuda_narrow(d, l->b);
        p.dh[p.n] = dh_of(a, i);
        p.db[p.n] = cuda_f32(a[i].db);
        p.alpha[p.n++] = l->scale;
    }
    rank_back(d, &p, a->rows);
}

/* dA += dh^T x', those without dropout at once. */
static void all_rank_grad(cuda_device *d, const ac_linear_grad_args *a, size_t n, const cuda_piece *pieces, size_t n_pieces)
{
    cuda_rank_grad p = { .cols = a->w->cols, .piece = pieces, .pieces = n_pieces };
    const cuda_bf16 *x = cuda_act(a->x);
    for (size_t i = 0; i < n; i++) {
        const ac_lora *l = a[i].lora;
        if (!l) continue;
        if (p.n && (l->drop.threshold || p.x != x || p.r != l->rank)) {
            rank_grad(d, &p, a->rows);
            p.n = 0;
        }
        p.r = l->rank;
        p.x = adapter_input(d, l, x, a->rows, p.cols, a->units, a->n_units, dh_of(a, n));
        p.dh[p.n] = dh_of(a, i);
        p.da[p.n++] = cuda_f32(a[i].da);
    }
    rank_grad(d, &p, a->rows);
}

static void adapter_grads(cuda_device *d, const ac_linear_grad_args *a, size_t n)
{
    size_t n_pieces = 0, adapters = 0;
    for (size_t i = 0; i < n; i++) adapters += a[i].lora != NULL;
    if (!adapters || d->st) return;
    const cuda_piece *pieces = pieces_of(d, a, &n_pieces);
    if (!pieces) return;
    all_rank_back(d, a, n, pieces, n_pieces);
    if (a->x.buf) all_rank_grad(d, a, n, pieces, n_pieces);
}

void cuda_adapter_grad(ac_device *dev, const ac_linear_grad_args *a)
{
    cuda_device *d = cuda_of(dev);
    size_t n_pieces = 0;
    if (!a->lora || d->st) return;
    const cuda_piece *pieces = pieces_of(d, a, &n_pieces);
    if (pieces) all_rank_grad(d, a, 1, pieces, n_pieces);
}

/* dx += dropout(dh A), whose mask stands between the product and the sum. */
static void dropped_input_grad(cuda_device *d, const ac_linear_grad_args *a, const cuda_bf16 *dh, cuda_bf16 *room)
{
    const size_t in = a->w->cols;
    const ac_lora *l = a->lora;
    cuda_product(d, &(cuda_gemm){ .m = a->rows, .n = in, .k = l->rank, .a = dh, .lda = l->rank, .b = cuda_narrow(d, l->a),
        .ldb = in, .c = room, .ldc = in, .alpha = 1.0f });
    const cuda_unit *table = cuda_table_at(d, TABLE_UNITS, a->units, a->n_units * sizeof *a->units);
    if (!table) return;
    k_drop(d->stream, cuda_act(a->dx), room, a->rows, in, table, a->n_units, l->drop.seed, l->drop.step, l->module,
           l->drop.threshold, l->drop.inv_keep, true);
    cuda_launched(d, "dropout's gradient");
}

/* g: the gated unit's gradient behind one layer's, or NULL; the result: whether it was computed, too. */
static bool some_linear_grads(cuda_device *d, const ac_linear_grad_args *a, size_t n, const ac_gated_grad_args *g)
{
    cuda_bf16 *room = dh_of(a, n);
    adapter_grads(d, a, n);
    if (!a->dx.buf) return false;
    const size_t in = a->w->cols;
    const ac_matrix *w[CUDA_JOINED];
    const cuda_bf16 *wide[CUDA_JOINED] = { NULL };
    for (size_t i = 0; i < n; i++) w[i] = a[i].w;
    cuda_weights_group(d, w, n, wide);
    cuda_joined j = { .rows = a->rows, .outputs = 1, .n_contiguous = true };
    j.out[0] = (cuda_joined_out){ .c = cuda_act(a->dx), .n = in, .ldc = in, .add = a->accumulate };
    for (size_t i = 0; i < n; i++) {
        const ac_lora *l = a[i].lora;
        add_segment(&j.out[0], cuda_act(a[i].dy), wide[i], a[i].w->rows, in);
        if (l && !l->drop.threshold) add_segment(&j.out[0], dh_of(a, i), cuda_narrow(d, l->a), l->rank, in);
    }
    const bool dropped = n == 1 && a->lora && a->lora->drop.threshold;      /* dx is not complete yet */
    if (g && !dropped && joined_gated_grad(d, &j, g)) return true;
    joined(d, &j);
    for (size_t i = 0; i < n; i++)
        if (a[i].lora && a[i].lora->drop.threshold) dropped_input_grad(d, &a[i], dh_of(a, i), room);
    return false;
}

void cuda_linear_grads(ac_device *dev, const ac_linear_grad_args *a, size_t n)
{
    for (size_t i = 0; i < n; i += CUDA_JOINED) (void)some_linear_grads(cuda_of(dev), a + i, n - i < CUDA_JOINED ? n - i : CUDA_JOINED, NULL);
}

void cuda_linear_grad(ac_device *dev, const ac_linear_grad_args *a)
{
    cuda_linear_grads(dev, a, 1);
}

void cuda_gated_linear_grad(ac_device *dev, const ac_linear_grad_args *a, const ac_gated_grad_args *g)
{
    if (!some_linear_grads(cuda_of(dev), a, 1, g)) cuda_gated_grad(dev, g);
}
