/* model/call.c - training and scoring calls: checks units, uploads a batch, runs the passes, reads losses. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "model/model_int.h"

/* Tokens that one forward-only pass takes at once, unless a unit alone is longer. Changes no bit (L2). */
enum { FORWARD_TOKENS = 4096 };

size_t ac_model_nll_tokens(size_t longest)
{
    return longest > FORWARD_TOKENS ? longest : FORWARD_TOKENS;
}

/* ---- checks ------------------------------------------------------------------------------------------ */

static ac_status check_ids(const ac_model *m, const int32_t *ids, size_t n, ac_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= m->cfg.vocab)
            return ac_fail(err, AC_EARG, "token %zu has id %ld, but the model's vocabulary is 0 to %zu; "
                           "tokenizer and model do not belong together", i, (long)ids[i], m->cfg.vocab - 1);
    return AC_OK;
}

static ac_status check_unit(const ac_model *m, const ac_unit *u, ac_err *err)
{
    if (u->n == 0 || u->n_docs == 0 || u->doc_start[0] != 0 || u->n >= (1u << 24) || u->index >> 32)
        return ac_fail(err, AC_EARG, "unit %llu: needs 1 to 2^24 - 1 tokens and a document from 0 on",
                       (unsigned long long)u->index);
    for (size_t d = 0; d < u->n_docs; d++) {
        const size_t from = u->doc_start[d], to = d + 1 < u->n_docs ? u->doc_start[d + 1] : u->n;
        if (to <= from || to > u->n)
            return ac_fail(err, AC_EARG, "unit %llu: its documents' offsets do not ascend",
                           (unsigned long long)u->index);
        if (to - from > m->cfg.context)
            return ac_fail(err, AC_EARG, "unit %llu: a document of %zu tokens is longer than the model's context "
                           "of %zu", (unsigned long long)u->index, to - from, m->cfg.context);
        if (u->target && u->target[from])
            return ac_fail(err, AC_EARG, "unit %llu: the first token of a document is supervised, but nothing "
                           "predicts it", (unsigned long long)u->index);
    }
    return ac_err_prefix(err, check_ids(m, u->ids, u->n, err), "unit %llu", (unsigned long long)u->index);
}

static ac_status check_adapter(const ac_model *m, const ac_adapter *ad, ac_err *err)
{
    if (ad && ad->spec.tune == AC_TUNE_FULL && !ac_full_fits(ad, m))
        return ac_fail(err, AC_EARG, "the trained weights were made for a model of another shape");
    for (size_t i = 0; ad && i < ad->n_modules; i++) {
        const ac_lora_module *mod = &ad->module[i];
        const ac_matrix *w = mod->layer < m->cfg.n_layers ? &m->layer[mod->layer].w[mod->target] : NULL;
        if (!w || w->rows != mod->out || w->cols != mod->in)
            return ac_fail(err, AC_EARG, "the adapter was made for another model: layer %u %s",
                           (unsigned)mod->layer, ac_target_name(mod->target));
    }
    return AC_OK;
}

/* Devices may run a type forward only: said by name before the first step. */
static ac_status check_grad_support(const ac_model *m, const ac_adapter *ad, ac_err *err)
{
    static const ac_op full_ops[] = { AC_OP_WEIGHT_GRAD, AC_OP_LOSS_GRAD, AC_OP_LINEAR_GRAD };
    const bool full = ad->spec.tune == AC_TUNE_FULL;
    const ac_device *d = m->dev;
    ac_dtype bad = full ? AC_F32 : m->output.type;
    bool ok = d->op->supports(d, AC_OP_LOSS_GRAD, bad);
    for (size_t i = 0; full && ok && i < AC_COUNTOF(full_ops); i++) ok = d->op->supports(d, full_ops[i], bad);
    for (size_t i = 0; !full && ok && i < m->cfg.n_layers; i++)
        for (size_t t = 0; ok && t < AC_TARGET_COUNT; t++) {
            bad = m->layer[i].w[t].type;
            ok = d->op->supports(d, AC_OP_LINEAR_GRAD, bad);
        }
    return ok ? AC_OK : ac_fail(err, AC_EFORMAT, "%s: the device %s computes no gradients through weights of type "
                                "%s", m->path, d->name, ac_dtype_name(bad));
}

/* ---- the adapter on the device ---------------------------------------------------------------------------- */

ac_status ac_adapted_open(ac_adapted *out, ac_model *m, const ac_adapter *ad, float *grad,
                          const ac_pass *pass, ac_err *err)
{
    *out = (ac_adapted){ .ad = ad };
    ac_status st = check_adapter(m, ad, err);
    if (st || !ad) return st;
    if (pass && pass->dropout > 0.0) {
        out->drop.seed = pass->seed;
        out->drop.step = pass->step;
        out->drop.threshold = (uint32_t)(pass->dropout * 4294967296.0);
        out->drop.inv_keep = (float)(1.0 / (1.0 - pass->dropout));
    }
    const size_t bytes = ad->n_params * sizeof(float);
    st = m->dev->op->buf_borrow(m->dev, &out->params, ad->params, bytes, AC_BORROW_READ, err);
    if (!st && grad) st = m->dev->op->buf_borrow(m->dev, &out->grad, grad, bytes, AC_BORROW_BOTH, err);
    if (!st && ad->spec.tune == AC_TUNE_FULL) st = ac_full_view_open(out, m, err);
    if (!st && ad->dora) st = ac_dora_open(out, m, err);
    if (st) ac_adapted_close(out, m);
    return st;
}

void ac_adapted_close(ac_adapted *a, ac_model *m)
{
    ac_full_view_close(a, m);
    m->dev->op->buf_close(m->dev, &a->norms);
    m->dev->op->buf_close(m->dev, &a->params);
    m->dev->op->buf_close(m->dev, &a->grad);
}

/* ---- a batch of units --------------------------------------------------------------------------------------- */

typedef struct {
    ac_batch b;
    ac_arena arena;
    int32_t *ids, *target;
    uint32_t *pos, *rows;
    size_t *supervised;           /* of each unit */
} unit_batch;

static ac_status alloc_batch(unit_batch *x, const ac_unit *units, size_t n_units, ac_err *err)
{
    size_t docs = 0;
    for (size_t u = 0; u < n_units; u++) {
        docs += units[u].n_docs;
        x->b.rows += units[u].n;
        for (size_t i = 0; units[u].target && i < units[u].n; i++) x->b.n_select += units[u].target[i] != 0;
    }
    x->ids = ac_arena_alloc_array(&x->arena, x->b.rows, sizeof *x->ids);
    x->pos = ac_arena_alloc_array(&x->arena, x->b.rows, sizeof *x->pos);
    x->rows = ac_arena_alloc_array(&x->arena, x->b.n_select + 1, sizeof *x->rows);
    x->target = ac_arena_alloc_array(&x->arena, x->b.n_select + 1, sizeof *x->target);
    x->supervised = ac_arena_alloc_array(&x->arena, n_units, sizeof *x->supervised);
    x->b.units = ac_arena_alloc_array(&x->arena, n_units, sizeof *x->b.units);
    x->b.docs = ac_arena_alloc_array(&x->arena, docs, sizeof *x->b.docs);
    x->b.n_units = n_units;
    x->b.n_docs = docs;
    if (!x->ids || !x->pos || !x->rows || !x->target || !x->supervised || !x->b.units || !x->b.docs)
        return ac_fail_nomem(err, x->b.rows * 8);
    return AC_OK;
}

static ac_status fill_batch(unit_batch *x, const ac_unit *units, size_t n_units, ac_err *err)
{
    ac_status st = alloc_batch(x, units, n_units, err);
    if (st) return st;
    ac_unit_rows *ur = (ac_unit_rows *)(uintptr_t)x->b.units;
    ac_doc_rows *dr = (ac_doc_rows *)(uintptr_t)x->b.docs;
    size_t row = 0, doc = 0, sel = 0;
    for (size_t u = 0; u < n_units; u++) {
        const ac_unit *unit = &units[u];
        const size_t sel_before = sel;
        memcpy(x->ids + row, unit->ids, unit->n * sizeof *x->ids);
        ur[u] = (ac_unit_rows){ row, unit->n, unit->index };
        for (size_t d = 0; d < unit->n_docs; d++, doc++) {
            const size_t from = unit->doc_start[d];
            const size_t to = d + 1 < unit->n_docs ? unit->doc_start[d + 1] : unit->n;
            dr[doc] = (ac_doc_rows){ row + from, to - from };
            if (to - from > x->b.longest) x->b.longest = to - from;
            for (size_t i = from; i < to; i++) x->pos[row + i] = (uint32_t)(i - from);
        }
        for (size_t i = 1; unit->target && i < unit->n; i++) {
            if (!unit->target[i]) continue;
            x->rows[sel] = (uint32_t)(row + i - 1);
            x->target[sel++] = unit->ids[i];
        }
        x->supervised[u] = sel - sel_before;
        row += unit->n;
    }
    return AC_OK;
}

static ac_status upload(ac_model *m, const unit_batch *x, const ac_adapter *ad, bool grad, bool dropout,
                        ac_err *err)
{
    ac_status st = ac_rope_prepare(m, x->b.longest, err);
    if (!st) st = ac_work_prepare(m, ad, &x->b, grad, dropout, err);
    if (st) return st;
    m->dev->op->write(m->dev, m->temps.ids, x->ids, x->b.rows);
    m->dev->op->write(m->dev, m->temps.pos, x->pos, x->b.rows);
    m->dev->op->write(m->dev, m->temps.rows, x->rows, x->b.n_select);
    m->dev->op->write(m->dev, m->temps.target, x->target, x->b.n_select);
    return AC_OK;
}

static void run_loss(ac_model *m, const ac_adapted *ad, const unit_batch *x, bool grad, double inv_n)
{
    if (grad) m->dev->op->zero(m->dev, m->temps.dx, x->b.rows * m->cfg.hidden);
    const ac_loss_args a = {
        .x = m->temps.xf, .rows = m->temps.rows, .target = m->temps.target, .norm_w = m->final_norm,
        .nll = m->temps.nll, .dx = grad ? m->temps.dx : (ac_ref){ 0 }, .n_rows = x->b.n_select,
        .eps = (float)m->cfg.rms_eps, .grad_scale = (float)inv_n, .w = &m->output,
        .scratch = m->temps.scratch,
    };
    if (grad && ad->full) ac_full_output_grad(m, ad, &a, x->supervised, x->b.n_units);
    else m->dev->op->loss(m->dev, &a);
}

/* Reads the losses and sums each unit's in token order. */
static ac_status read_losses(ac_model *m, unit_batch *x, double *loss, float *token_nll, ac_err *err)
{
    float *nll = token_nll;
    if (!nll) nll = ac_arena_alloc_array(&x->arena, x->b.n_select + 1, sizeof *nll);
    if (!nll) return ac_fail_nomem(err, x->b.n_select * sizeof *nll);
    m->dev->op->read(m->dev, nll, m->temps.nll, x->b.n_select);
    size_t at = 0;
    for (size_t u = 0; u < x->b.n_units; u++) {
        double sum = 0.0;
        for (size_t i = 0; i < x->supervised[u]; i++) sum += (double)nll[at++];
        loss[u] = sum;
    }
    return m->dev->op->sync(m->dev, err);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static ac_status check_units(const ac_model *m, const ac_unit *units, size_t n_units, ac_err *err)
{
    for (size_t u = 0; u < n_units; u++) {
        const ac_status st = check_unit(m, &units[u], err);
        if (st) return st;
    }
    return AC_OK;
}

static ac_status grad_group(ac_model *m, const ac_adapter *ad, const ac_unit *units, size_t n_units,
                            const ac_pass *pass, float *grad, double *loss, ac_err *err)
{
    unit_batch x = { 0 };
    ac_adapted own = { 0 };
    ac_status st = fill_batch(&x, units, n_units, err);
    x.b.recompute = pass->recompute;
    if (!st) st = upload(m, &x, ad, true, pass->dropout > 0.0, err);
    if (!st) st = ac_adapted_open(&own, m, ad, grad, pass, err);
    if (!st) {
        ac_forward(m, &own, &x.b, true);
        run_loss(m, &own, &x, true, pass->inv_n);
        ac_backward(m, &own, &x.b);
        ac_adapted_close(&own, m);
        st = read_losses(m, &x, loss, NULL, err);
    }
    ac_arena_release(&x.arena);
    return st;
}

ac_status ac_model_grad(ac_model *m, const ac_adapter *ad, const ac_unit *units, size_t n_units,
                        const ac_pass *pass, float *grad, double *loss, ac_err *err)
{
    ac_status st = check_grad_support(m, ad, err);
    if (!st) st = check_units(m, units, n_units, err);
    if (!st && !(pass->dropout >= 0.0 && pass->dropout < 1.0))
        st = ac_fail(err, AC_EARG, "dropout is %g, expected 0 up to but not including 1", pass->dropout);
    /* A tied matrix gets a unit's output part and then its embedding part before the next unit's (M.15). */
    const size_t most = ad->spec.tune == AC_TUNE_FULL && m->cfg.tied_output ? 1 : n_units;
    for (size_t at = 0, n; !st && at < n_units; at += n) {
        n = n_units - at < most ? n_units - at : most;
        st = grad_group(m, ad, units + at, n, pass, grad, loss + at, err);
    }
    return st;
}

static ac_status nll_group(ac_model *m, const ac_adapted *ad, const ac_unit *units, size_t n_units,
                           double *loss, float *token_nll, size_t *n_tokens, ac_err *err)
{
    unit_batch x = { 0 };
    ac_status st = fill_batch(&x, units, n_units, err);
    if (!st) st = upload(m, &x, ad->ad, false, false, err);
    if (!st) {
        ac_forward(m, ad, &x.b, false);
        run_loss(m, ad, &x, false, 1.0);
        st = read_losses(m, &x, loss, token_nll, err);
        *n_tokens = x.b.n_select;
    }
    ac_arena_release(&x.arena);
    return st;
}

double ac_model_perplexity(double nll, size_t tokens)
{
    return ac_exp_f64(nll / (double)tokens);
}

ac_status ac_model_nll(ac_model *m, const ac_adapter *ad, const ac_unit *units, size_t n_units,
                       double *loss, float *token_nll, ac_err *err)
{
    ac_adapted own = { 0 };
    ac_status st = check_units(m, units, n_units, err);
    if (!st) st = ac_adapted_open(&own, m, ad, NULL, NULL, err);
    if (st) return st;
    size_t done_tokens = 0;
    for (size_t from = 0, to; !st && from < n_units; from = to) {
        size_t tokens = units[from].n, n = 0;
        for (to = from + 1; to < n_units && tokens + units[to].n <= FORWARD_TOKENS; to++)
            tokens += units[to].n;
        st = nll_group(m, &own, units + from, to - from, loss + from,
                       token_nll ? token_nll + done_tokens : NULL, &n, err);
        done_tokens += n;
    }
    ac_adapted_close(&own, m);
    return st;
}

ac_status ac_model_logits(ac_model *m, const ac_adapter *ad, const int32_t *ids, size_t n, float *logits,
                          ac_err *err)
{
    const uint32_t start = 0;
    const ac_unit unit = { .ids = ids, .n = n, .doc_start = &start, .n_docs = 1 };
    ac_status st = check_unit(m, &unit, err);
    if (st) return st;
    unit_batch x = { 0 };
    ac_adapted own = { 0 };
    ac_buf *out = NULL;
    size_t bytes = 0;
    if (!ac_size_mul(&bytes, n * sizeof(float), m->cfg.vocab)) return ac_fail_nomem(err, SIZE_MAX);
    st = fill_batch(&x, &unit, 1, err);
    x.b.n_select = n;
    uint32_t *rows = st ? NULL : ac_arena_alloc_array(&x.arena, n, sizeof *rows);
    if (!st && !rows) st = ac_fail_nomem(err, n * sizeof *rows);
    for (size_t i = 0; rows && i < n; i++) rows[i] = (uint32_t)i;
    x.rows = rows;
    if (!st) x.target = x.ids;               /* as long; not read without a loss */
    if (!st) st = upload(m, &x, ad, false, false, err);
    if (!st) st = ac_adapted_open(&own, m, ad, NULL, NULL, err);
    if (!st) st = m->dev->op->buf_borrow(m->dev, &out, logits, bytes, AC_BORROW_WRITE, err);
    if (!st) {
        ac_forward(m, &own, &x.b, false);
        m->dev->op->output(m->dev, &(ac_output_args){
            .x = m->temps.xf, .rows = m->temps.rows, .norm_w = m->final_norm, .logits = { out, 0 },
            .n_rows = n, .eps = (float)m->cfg.rms_eps, .w = &m->output, .scratch = m->temps.scratch });
        m->dev->op->buf_close(m->dev, &out);
        st = m->dev->op->sync(m->dev, err);
    }
    ac_adapted_close(&own, m);
    ac_arena_release(&x.arena);
    return st;
}

/* Mean of a unit's rows, of length 1. */
static void pool_rows(float *out, double *sum, const float *row, size_t n, size_t hidden)
{
    double square = 0.0;
    for (size_t c = 0; c < hidden; c++) sum[c] = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < hidden; c++) sum[c] += (double)row[i * hidden + c];
    for (size_t c = 0; c < hidden; c++) square += sum[c] * sum[c];
    const double scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    for (size_t c = 0; c < hidden; c++) out[c] = (float)(sum[c] * scale);
}

static ac_status embed_group(ac_model *m, const ac_unit *units, size_t n_units, float *out, ac_err *err)
{
    const size_t hidden = m->cfg.hidden;
    unit_batch x = { 0 };
    ac_adapted none = { 0 };
    size_t floats = 0, at = 0;
    ac_status st = fill_batch(&x, units, n_units, err);
    if (!st && !ac_size_mul(&floats, x.b.rows, hidden)) st = ac_fail_nomem(err, SIZE_MAX);
    float *rows = st ? NULL : ac_arena_alloc_array(&x.arena, floats, sizeof *rows);
    double *sum = st ? NULL : ac_arena_alloc_array(&x.arena, hidden, sizeof *sum);
    if (!st && (!rows || !sum)) st = ac_fail_nomem(err, floats * sizeof *rows);
    if (!st) st = upload(m, &x, NULL, false, false, err);
    if (!st) {
        ac_forward(m, &none, &x.b, false);
        m->dev->op->norm(m->dev, &(ac_norm_args){
            .x = m->temps.xf, .w = m->final_norm, .y = m->temps.n, .rows = x.b.rows, .cols = hidden,
            .eps = (float)m->cfg.rms_eps });
        m->dev->op->read(m->dev, rows, m->temps.n, floats);
        st = m->dev->op->sync(m->dev, err);
    }
    for (size_t u = 0; u < n_units && !st; u++) {
        pool_rows(out + u * hidden, sum, rows + at * hidden, units[u].n, hidden);
        at += units[u].n;
    }
    ac_arena_release(&x.arena);
    return st;
}

ac_status ac_model_embed(ac_model *m, const ac_unit *units, size_t n_units, float *out, ac_err *err)
{
    ac_status st = check_units(m, units, n_units, err);
    for (size_t from = 0, to; !st && from < n_units; from = to) {
        size_t tokens = units[from].n;
        for (to = from + 1; to < n_units && tokens + units[to].n <= FORWARD_TOKENS; to++) tokens += units[to].n;
        st = embed_group(m, units + from, to - from, out + from * m->cfg.hidden, err);
    }
    return st;
}
