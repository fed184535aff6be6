/* model/decode.c - decoding over a KV cache: many slots, each with its own length.
 *
 * Products are joined over all tokens fed, attention runs per slot. Long feeds are cut into passes; by B8
 * neither that nor the neighbours change a bit of the logits. A device that cannot promise this (feed_rows) gets feeds that
 * only their own length cuts and joins. Lengths move only when all passes are done. */
#include <string.h>
#include "base/size.h"
#include "model/model_int.h"

enum { FEED_TOKENS = 1024 };   /* of a pass: bounds the workspace */

/* ---- weights laid out ahead --------------------------------------------------------------------------- */

/* Each matrix that decoding multiplies by; the output layer is the last. NULL: no more. */
static ac_matrix *decode_matrix(ac_model *m, size_t i)
{
    const size_t layers = m->cfg.n_layers * AC_TARGET_COUNT;
    if (i < layers) return m->layer ? &m->layer[i / AC_TARGET_COUNT].w[i % AC_TARGET_COUNT] : NULL;
    return i == layers ? &m->output : NULL;
}

ac_status ac_model_prepare_decode(ac_model *m, ac_err *err)
{
    if (m->prepared) return AC_OK;
    ac_status st = AC_OK;
    ac_matrix *w;
    for (size_t i = 0; !st && (w = decode_matrix(m, i)) != NULL; i++) st = m->dev->op->prepare(m->dev, w, err);
    if (st) ac_model_unprepare(m);
    else m->prepared = true;
    return st;
}

void ac_model_unprepare(ac_model *m)
{
    ac_matrix *w;
    for (size_t i = 0; (w = decode_matrix(m, i)) != NULL; i++)
        if (w->ahead) m->dev->op->unprepare(m->dev, w);
    m->prepared = false;
}

size_t ac_model_decode_bytes(const ac_model *m)
{
    size_t sum = 0;
    const ac_matrix *w;
    for (size_t i = 0; (w = decode_matrix((ac_model *)(uintptr_t)m, i)) != NULL; i++)
        sum += m->dev->op->prepared_bytes(m->dev, w);
    return sum;
}

/* ---- the cache ------------------------------------------------------------------------------------------ */

ac_status ac_kv_open(ac_kv **out, const ac_model *m, size_t n_slots, size_t max_tokens, ac_err *err)
{
    const ac_model_config *c = &m->cfg;
    if (n_slots == 0 || max_tokens == 0 || max_tokens > c->context)
        return ac_fail(err, AC_EARG, "a cache of %zu slots of %zu tokens is not possible; the model's context is "
                       "1 to %zu", n_slots, max_tokens, c->context);
    size_t layer = 0, floats = 0;
    if (!ac_size_mul(&layer, n_slots, max_tokens) ||
        !ac_size_mul(&layer, layer, c->n_kv_heads * c->head_dim) || !ac_size_mul(&floats, layer, c->n_layers))
        return ac_fail_nomem(err, SIZE_MAX);
    ac_kv *kv = ac_calloc(1, sizeof *kv);
    if (!kv) return ac_fail_nomem(err, sizeof *kv);
    *kv = (ac_kv){ .dev = m->dev, .n_slots = n_slots, .max_tokens = max_tokens, .layer_floats = layer };
    kv->len = ac_calloc(n_slots, sizeof *kv->len);
    ac_status st = kv->len ? AC_OK : ac_fail_nomem(err, n_slots * sizeof *kv->len);
    if (!st) st = m->dev->op->buf_open(m->dev, &kv->k, floats, AC_STORE_ACT, err);
    if (!st) st = m->dev->op->buf_open(m->dev, &kv->v, floats, AC_STORE_ACT, err);
    if (st) {
        ac_kv_close(&kv);
        return st;
    }
    *out = kv;
    return AC_OK;
}

void ac_kv_close(ac_kv **kv)
{
    if (!kv || !*kv) return;
    (*kv)->dev->op->buf_close((*kv)->dev, &(*kv)->k);
    (*kv)->dev->op->buf_close((*kv)->dev, &(*kv)->v);
    (*kv)->dev->op->buf_close((*kv)->dev, &(*kv)->logits);
    (*kv)->dev->op->buf_close((*kv)->dev, &(*kv)->chosen);
    ac_free((*kv)->len);
    ac_free(*kv);
    *kv = NULL;
}

size_t ac_kv_len(const ac_kv *kv, size_t slot)
{
    return slot < kv->n_slots ? kv->len[slot] : 0;
}

size_t ac_kv_room(const ac_kv *kv)
{
    return kv->max_tokens;
}

void ac_kv_truncate(ac_kv *kv, size_t slot, size_t len)
{
    if (slot < kv->n_slots && len < kv->len[slot]) kv->len[slot] = len;
}

/* ---- feeding ------------------------------------------------------------------------------------------ */

typedef struct {
    ac_model *m;
    const ac_adapted *ad;
    ac_kv *kv;
    const ac_feed *feeds;
    size_t n_feeds;
    ac_buf *logits, *chosen;   /* NULL: none */
    /* tables of one pass */
    int32_t *ids;
    uint32_t *pos, *rows;
    ac_feed_rows *part;
    size_t *done;              /* tokens of each feed already run */
} feeding;

static ac_status check_feeds(const ac_model *m, const ac_kv *kv, const ac_feed *feeds, size_t n,
                             bool *seen, ac_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const ac_feed *f = &feeds[i];
        if (f->slot >= kv->n_slots || f->n == 0)
            return ac_fail(err, AC_EARG, "feed %zu: slot %zu of %zu with %zu tokens; a feed needs a slot and at "
                           "least one token", i, f->slot, kv->n_slots, f->n);
        if (seen[f->slot]) return ac_fail(err, AC_EARG, "feed %zu: slot %zu is fed twice", i, f->slot);
        seen[f->slot] = true;
        if (f->n > kv->max_tokens - kv->len[f->slot])
            return ac_fail(err, AC_EARG, "slot %zu holds %zu tokens and cannot take %zu more; its room is %zu",
                           f->slot, kv->len[f->slot], f->n, kv->max_tokens);
        for (size_t k = 0; k < f->n; k++)
            if (f->ids[k] < 0 || (size_t)f->ids[k] >= m->cfg.vocab)
                return ac_fail(err, AC_EARG, "slot %zu: token id %ld is not in the model's vocabulary of %zu",
                               f->slot, (long)f->ids[k], m->cfg.vocab);
    }
    return AC_OK;
}

static bool may_join(const feeding *x, const ac_batch *b, size_t next)
{
    const size_t most = x->m->dev->feed_rows;
    return !most || b->n_feeds == 0 || (x->feeds[next].n == 1 && x->feeds[next - 1].n == 1 && b->rows < most);
}

/* Takes the next tokens of feeds [*next, ...) into a pass; feeds that end in it get a row of logits.
 * A feed that was cut goes on in the next pass. */
static void gather_pass(feeding *x, size_t *next, ac_batch *b, size_t *first_ended, size_t *longest_pos)
{
    *b = (ac_batch){ .kv = x->kv, .feeds = x->part };
    *first_ended = *next;
    while (*next < x->n_feeds && b->rows < FEED_TOKENS && may_join(x, b, *next)) {
        const ac_feed *f = &x->feeds[*next];
        const size_t left = f->n - x->done[*next], room = FEED_TOKENS - b->rows;
        const size_t n = left < room ? left : room, pos = x->kv->len[f->slot] + x->done[*next];
        x->part[b->n_feeds++] = (ac_feed_rows){ .first = b->rows, .n = n, .slot = f->slot, .pos = pos };
        memcpy(x->ids + b->rows, f->ids + x->done[*next], n * sizeof *x->ids);
        for (size_t k = 0; k < n; k++) x->pos[b->rows + k] = (uint32_t)(pos + k);
        b->rows += n;
        x->done[*next] += n;
        if (pos + n > *longest_pos) *longest_pos = pos + n;
        if (n < left) break;
        x->rows[b->n_select++] = (uint32_t)(b->rows - 1);
        ++*next;
    }
    if (!x->logits) b->n_select = 0;
}

static void compute(feeding *x, const ac_batch *b, size_t first_ended)
{
    ac_model *m = x->m;
    const ac_ref logits = { x->logits, first_ended * m->cfg.vocab };
    ac_forward(m, x->ad, b, false);
    if (b->n_select == 0) return;
    m->dev->op->output(m->dev, &(ac_output_args){
        .x = m->temps.xf, .rows = m->temps.rows, .norm_w = m->final_norm, .logits = logits, .n_rows = b->n_select,
        .eps = (float)m->cfg.rms_eps, .w = &m->output, .scratch = m->temps.scratch });
    if (x->chosen) m->dev->op->largest(m->dev, (ac_ref){ x->chosen, first_ended }, logits, b->n_select, m->cfg.vocab);
}

/* Single tokens are what comes again: a device may have recorded them. */
static bool begins(const feeding *x, const ac_batch *b, size_t first_ended)
{
    const ac_device *dev = x->m->dev;
    const ac_recurring r = {
        .who = { x->m, x->ad->ad, x->kv, x->logits }, .n = { b->rows, b->n_select, first_ended, x->chosen != NULL },
        .params = { x->ad->params, 0 }, .feeds = b->feeds, .n_feeds = b->n_feeds };
    return dev->op->pass_begin(x->m->dev, &r);
}

static ac_status run_pass(feeding *x, const ac_batch *b, size_t first_ended, size_t longest, ac_err *err)
{
    ac_model *m = x->m;
    ac_status st = ac_rope_prepare(m, longest, err);
    if (!st) st = ac_work_prepare(m, x->ad->ad, b, false, false, err);
    if (st) return st;
    const bool recurs = m->dev->op->pass_begin && b->n_feeds == b->rows;
    m->dev->op->write(m->dev, m->temps.ids, x->ids, b->rows);
    m->dev->op->write(m->dev, m->temps.pos, x->pos, b->rows);
    m->dev->op->write(m->dev, m->temps.rows, x->rows, b->n_select);
    while (!recurs || !begins(x, b, first_ended)) {
        compute(x, b, first_ended);
        if (!recurs || m->dev->op->pass_end(m->dev)) break;
    }
    return AC_OK;
}

static ac_status run_feeds(feeding *x, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t next = 0; !st && next < x->n_feeds;) {
        ac_batch b;
        size_t first_ended, longest = 0;
        gather_pass(x, &next, &b, &first_ended, &longest);
        st = run_pass(x, &b, first_ended, longest, err);
    }
    return st;
}

/* Where results go: logits, or on a device that chooses the cache's own with the choice beside them. */
static ac_status open_results(feeding *x, float *logits, bool greedy, ac_err *err)
{
    ac_device *dev = x->m->dev;
    const size_t vocab = x->m->cfg.vocab;
    ac_status st = AC_OK;
    if (logits) return dev->op->buf_borrow(dev, &x->logits, logits, x->n_feeds * vocab * sizeof(float), AC_BORROW_WRITE, err);
    if (!greedy) return AC_OK;
    if (!x->kv->logits) st = dev->op->buf_open(dev, &x->kv->logits, x->kv->n_slots * vocab, AC_STORE_F32, err);
    if (!st && !x->kv->chosen) st = dev->op->buf_open(dev, &x->kv->chosen, x->kv->n_slots, AC_STORE_F32, err);
    x->logits = x->kv->logits;
    x->chosen = x->kv->chosen;
    return st;
}

static ac_status open_tables(feeding *x, ac_arena *a, bool **seen, ac_err *err)
{
    *seen = ac_arena_alloc_array(a, x->kv->n_slots, sizeof **seen);
    x->ids = ac_arena_alloc_array(a, FEED_TOKENS, sizeof *x->ids);
    x->pos = ac_arena_alloc_array(a, FEED_TOKENS, sizeof *x->pos);
    x->rows = ac_arena_alloc_array(a, x->n_feeds, sizeof *x->rows);
    x->part = ac_arena_alloc_array(a, x->n_feeds, sizeof *x->part);
    x->done = ac_arena_alloc_array(a, x->n_feeds, sizeof *x->done);
    return *seen && x->ids && x->pos && x->rows && x->part && x->done ? AC_OK : ac_fail_nomem(err, FEED_TOKENS * 8);
}

/* logits or chosen, or neither. */
static ac_status feed(ac_model *m, const ac_adapter *ad, ac_kv *kv, const ac_feed *feeds, size_t n_feeds, float *logits, int32_t *chosen,
                      ac_err *err)
{
    if (n_feeds == 0) return AC_OK;
    if (n_feeds > kv->n_slots)
        return ac_fail(err, AC_EARG, "%zu feeds for %zu slots", n_feeds, kv->n_slots);
    ac_arena a = { 0 };
    ac_adapted own = { 0 };
    bool *seen = NULL;
    feeding x = { .m = m, .ad = &own, .kv = kv, .feeds = feeds, .n_feeds = n_feeds };
    ac_status st = open_tables(&x, &a, &seen, err);
    if (!st) st = check_feeds(m, kv, feeds, n_feeds, seen, err);
    if (!st) st = ac_model_prepare_decode(m, err);
    if (!st) st = ac_adapted_open(&own, m, ad, NULL, NULL, err);
    if (!st) st = open_results(&x, logits, chosen != NULL, err);
    if (!st) st = run_feeds(&x, err);
    if (!st && chosen) m->dev->op->read(m->dev, chosen, (ac_ref){ x.chosen, 0 }, n_feeds);
    if (logits) m->dev->op->buf_close(m->dev, &x.logits);
    ac_adapted_close(&own, m);
    if (!st) st = m->dev->op->sync(m->dev, err);
    for (size_t i = 0; !st && i < n_feeds; i++) kv->len[feeds[i].slot] += feeds[i].n;
    ac_arena_release(&a);
    return st;
}

ac_status ac_model_feed(ac_model *m, const ac_adapter *ad, ac_kv *kv, const ac_feed *feeds, size_t n_feeds, float *logits, ac_err *err)
{
    return feed(m, ad, kv, feeds, n_feeds, logits, NULL, err);
}

bool ac_model_can_choose(const ac_model *m)
{
    return m->dev->op->largest != NULL;
}

ac_status ac_model_feed_greedy(ac_model *m, const ac_adapter *ad, ac_kv *kv, const ac_feed *feeds, size_t n_feeds, int32_t *chosen,
                               ac_err *err)
{
    return feed(m, ad, kv, feeds, n_feeds, NULL, chosen, err);
}
