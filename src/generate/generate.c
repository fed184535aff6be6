/* generate/generate.c - continuous batching: a slot whose sequence ended takes the next request.
 *
 * Each turn feeds every slot that has something to say: one token where the prompt is in, a piece of the prompt
 * where it is not, at most PREFILL_TOKENS prompt tokens a turn over all slots. At most one slot a turn gets a piece
 * that does not end its prompt; it is fed apart, since nobody asks for its logits. How a prompt is cut and who
 * shares a turn changes no logit (L2, B8), so neither can change an answer (G1). On a device where it would (feed_rows),
 * prompts are fed whole. */
#include "generate/generate.h"

#include "base/mem.h"
#include "base/size.h"
#include "generate/sample_int.h"

#define PREFILL_TOKENS 1024
#define AUTO_BATCH     48
#define AUTO_KV_BYTES  ((size_t)1 << 30)
#define NO_REQUEST     SIZE_MAX

typedef struct {
    size_t request;          /* NO_REQUEST: free */
    size_t fed;              /* prompt tokens in the cache */
    int32_t last;            /* to be fed next, once the prompt is in */
} slot;

typedef struct {
    ac_model *m;
    const ac_adapter *ad;
    const ac_gen_request *req;
    size_t n_req;
    const ac_gen_opts *o;
    ac_gen_answer *answers;
    ac_gen_on_token *on_token;
    void *ctx;
    const ac_sink *sink;
    size_t vocab, context;
    ac_kv *kv;
    slot *slots;
    size_t n_slots;
    ac_feed *feeds;          /* n_slots */
    float *logits;           /* n_slots rows of vocab, or where the device chooses: */
    int32_t *chosen;         /* n_slots */
    ac_sampler sampler;
    size_t next_request, n_open;
    uint64_t done, total;    /* tokens: said, and the most that can still come out */
    bool kept;                       /* ad's parameters, on the device */
} gen;

static ac_status check_opts(const ac_gen_opts *o, ac_err *err)
{
    if (!(o->temperature >= 0 && o->temperature <= 1e6)) {
        return ac_fail(err, AC_EARG, "temperature must be 0 (greedy) or above, found %g", o->temperature);
    }
    if (o->temperature > 0 && !(o->top_p > 0 && o->top_p <= 1)) {
        return ac_fail(err, AC_EARG, "top-p must be above 0 and at most 1 (1: off), found %g", o->top_p);
    }
    if (o->temperature > 0 && !(o->min_p >= 0 && o->min_p <= 1)) {
        return ac_fail(err, AC_EARG, "min-p must be from 0 (off) to 1, found %g", o->min_p);
    }
    return AC_OK;
}

static ac_status check_requests(const gen *g, ac_err *err)
{
    for (size_t i = 0; i < g->n_req; i++) {
        const ac_gen_request *r = &g->req[i];
        if (r->n_prompt == 0) {
            return ac_fail(err, AC_EARG, "request %zu has an empty prompt; expected at least one token", i + 1);
        }
        if (r->n_prompt > g->context) {
            return ac_fail(err, AC_EARG, "request %zu has a prompt of %zu tokens, the model's context is %zu; "
                           "shorten the prompt", i + 1, r->n_prompt, g->context);
        }
        for (size_t k = 0; k < r->n_prompt; k++) {
            if (r->prompt[k] < 0 || (size_t)r->prompt[k] >= g->vocab) {
                return ac_fail(err, AC_EARG, "request %zu has token id %d at place %zu; the model knows 0 to %zu",
                               i + 1, (int)r->prompt[k], k, g->vocab - 1);
            }
        }
    }
    return AC_OK;
}

/* Tokens that an answer can have at most. */
static size_t room(const gen *g, size_t request)
{
    const size_t left = g->context - g->req[request].n_prompt;
    return left < g->o->max_tokens ? left : g->o->max_tokens;
}

/* Tokens a slot holds at most: the prompt and all but the last token of the longest answer. */
static size_t slot_tokens(const gen *g)
{
    size_t most = 1;
    for (size_t i = 0; i < g->n_req; i++) {
        const size_t n = g->req[i].n_prompt + room(g, i);
        if (n > most) most = n;
    }
    return most;
}

/* ---- kept between runs --------------------------------------------------------------------------------- */

void ac_gen_cache_close(ac_gen_cache *c)
{
    ac_kv_close(&c->kv);
    ac_ids_release(&c->ids);
    *c = (ac_gen_cache){ 0 };
}

/* Takes the kept cache when it has room for `tokens`, else opens one with room for the turns to come. */
static ac_status take_cache(gen *g, size_t tokens, ac_err *err)
{
    ac_gen_cache *c = g->o->cache;
    if (c->kv && tokens <= ac_kv_room(c->kv)) return AC_OK;
    ac_gen_cache_close(c);
    const size_t roomy = tokens < g->context / 2 ? 2 * tokens : g->context;
    return ac_kv_open(&c->kv, g->m, 1, roomy, err);
}

/* How much of the prompt is there already; its last token is always fed, since it gives the logits. */
static size_t reuse(const gen *g, const ac_gen_request *r)
{
    ac_gen_cache *c = g->o->cache;
    size_t n = 0;
    while (n < c->ids.n && n + 1 < r->n_prompt && c->ids.id[n] == r->prompt[n]) n++;
    ac_kv_truncate(c->kv, 0, n);
    c->reused = n;
    return n;
}

/* Notes what the cache holds after a run; nothing after a failed one. */
static ac_status keep(const gen *g, ac_status st, ac_err *err)
{
    ac_gen_cache *c = g->o->cache;
    const ac_gen_request *r = &g->req[0];
    const size_t n = st || !c->kv ? 0 : ac_kv_len(c->kv, 0);
    ac_ids_reset(&c->ids);
    for (size_t i = 0; !st && i < n; i++)
        st = ac_ids_push(&c->ids, i < r->n_prompt ? r->prompt[i] : g->answers[0].ids.id[i - r->n_prompt], err);
    if (st) ac_gen_cache_close(c);
    return st;
}

static ac_status open_run(gen *g, ac_err *err)
{
    const ac_model_config *c = ac_model_get_config(g->m);
    g->vocab = c->vocab;
    g->context = c->context;
    ac_status st = check_opts(g->o, err);
    if (!st) st = check_requests(g, err);
    if (!st && g->o->cache && g->n_req != 1)
        st = ac_fail(err, AC_EARG, "a kept cache serves one request at a time, found %zu", g->n_req);
    if (st) return st;
    const size_t tokens = slot_tokens(g);
    const size_t joined = ac_model_device(g->m)->feed_rows;
    g->n_slots = g->o->max_batch ? g->o->max_batch : joined && joined < AUTO_BATCH ? joined : AUTO_BATCH;
    if (!g->o->max_batch) {
        size_t bytes;
        if (!ac_size_mul(&bytes, c->n_layers * c->n_kv_heads * c->head_dim, 2 * sizeof(float)) ||
            !ac_size_mul(&bytes, bytes, tokens)) bytes = AUTO_KV_BYTES;
        const size_t fit = AUTO_KV_BYTES / (bytes ? bytes : 1);
        if (fit < g->n_slots) g->n_slots = fit ? fit : 1;
    }
    if (g->n_slots > g->n_req) g->n_slots = g->n_req;
    for (size_t i = 0; i < g->n_req; i++) g->total += room(g, i);

    size_t row;
    if (!ac_size_mul(&row, g->vocab, sizeof(float))) return ac_fail_nomem(err, (unsigned long long)g->vocab);
    g->slots = ac_calloc(g->n_slots, sizeof *g->slots);
    g->feeds = ac_calloc(g->n_slots, sizeof *g->feeds);
    if (!(g->o->temperature > 0) && ac_model_can_choose(g->m)) g->chosen = ac_calloc(g->n_slots, sizeof *g->chosen);
    else g->logits = ac_calloc(g->n_slots, row);
    if (!g->slots || !g->feeds || !(g->logits || g->chosen)) {
        return ac_fail_nomem(err, (unsigned long long)g->n_slots * row);
    }
    for (size_t s = 0; s < g->n_slots; s++) g->slots[s].request = NO_REQUEST;
    st = ac_sampler_open(&g->sampler, g->vocab, g->o, err);
    if (st) return st;
    if (!g->o->cache) return ac_kv_open(&g->kv, g->m, g->n_slots, tokens, err);
    st = take_cache(g, tokens, err);
    g->kv = g->o->cache->kv;
    return st;
}

/* On a device with its own memory the adapter goes there once, not with every token. */
static ac_status keep_adapter(gen *g, ac_err *err)
{
    ac_device *dev = ac_model_device(g->m);
    const ac_status st = g->ad ? dev->op->keep(dev, g->ad->params, g->ad->n_params * sizeof *g->ad->params, err) : AC_OK;
    g->kept = g->ad && !st;
    return st;
}

static void close_run(gen *g)
{
    if (!g->o->cache) ac_kv_close(&g->kv);
    ac_sampler_close(&g->sampler);
    ac_free(g->logits);
    ac_free(g->chosen);
    ac_free(g->feeds);
    ac_free(g->slots);
}

static void finish(gen *g, slot *s, ac_gen_end end)
{
    ac_gen_answer *a = &g->answers[s->request];
    a->end = end;
    g->total -= room(g, s->request) - a->ids.n;
    if (!g->o->cache) ac_kv_truncate(g->kv, (size_t)(s - g->slots), 0);
    s->request = NO_REQUEST;
    g->n_open--;
}

/* Free slots take the next requests; those that can say nothing are answered on the way. */
static void refill(gen *g)
{
    for (size_t i = 0; i < g->n_slots; i++) {
        slot *s = &g->slots[i];
        while (s->request == NO_REQUEST && g->next_request < g->n_req) {
            const size_t r = g->next_request++;
            if (room(g, r) == 0) {
                g->answers[r].end = g->o->max_tokens == 0 ? AC_GEN_LENGTH : AC_GEN_CONTEXT;
                continue;
            }
            *s = (slot){ .request = r, .fed = g->o->cache ? reuse(g, &g->req[r]) : 0 };
            g->n_open++;
        }
    }
}

static bool is_stop(const ac_gen_opts *o, int32_t id)
{
    for (size_t i = 0; !o->ignore_stop && i < o->n_stop; i++) {
        if (o->stop[i] == id) return true;
    }
    return false;
}

/* What follows for the slot of feed i. */
static ac_status say(gen *g, size_t i, ac_err *err)
{
    slot *s = &g->slots[g->feeds[i].slot];
    const size_t r = s->request;
    ac_gen_answer *a = &g->answers[r];
    const size_t position = g->req[r].n_prompt + a->ids.n;
    int32_t id = 0;
    ac_status st = AC_OK;
    if (g->logits) st = ac_sampler_take(&g->sampler, g->logits + i * g->vocab, g->o, g->req[r].number, position, &id, err);
    else if ((id = g->chosen[i]) < 0) st = ac_sampler_not_finite(err);
    if (st) return ac_err_prefix(err, st, "request %zu", r + 1);
    if (is_stop(g->o, id)) {
        finish(g, s, AC_GEN_STOP);
        return AC_OK;
    }
    st = ac_ids_push(&a->ids, id, err);
    if (st) return st;
    s->last = id;
    g->done++;
    if (g->on_token && !g->on_token(g->ctx, r, id)) finish(g, s, AC_GEN_STOP);
    else if (a->ids.n >= g->o->max_tokens) finish(g, s, AC_GEN_LENGTH);
    else if (position + 1 >= g->context) finish(g, s, AC_GEN_CONTEXT);
    return AC_OK;
}

/* Fills feeds: first n_out that end in logits, then perhaps one piece of a prompt, returned apart. */
static size_t make_feeds(gen *g, ac_feed *piece)
{
    size_t n = 0, budget = ac_model_device(g->m)->feed_rows ? SIZE_MAX : PREFILL_TOKENS;
    for (size_t i = 0; i < g->n_slots; i++) {
        slot *s = &g->slots[i];
        if (s->request == NO_REQUEST) continue;
        const ac_gen_request *r = &g->req[s->request];
        const size_t left = r->n_prompt - s->fed;
        if (left == 0) {
            g->feeds[n] = (ac_feed){ .slot = i, .ids = &s->last, .n = 1 };
            n++;
        } else if (left <= budget) {
            g->feeds[n] = (ac_feed){ .slot = i, .ids = r->prompt + s->fed, .n = left };
            n++;
            s->fed = r->n_prompt;
            budget -= left;
        } else if (budget > 0) {
            *piece = (ac_feed){ .slot = i, .ids = r->prompt + s->fed, .n = budget };
            s->fed += budget;
            budget = 0;
        }
    }
    return n;
}

static ac_status turn(gen *g, ac_err *err)
{
    ac_feed piece = { 0 };
    const size_t n = make_feeds(g, &piece);
    ac_status st = AC_OK;
    if (piece.n) st = ac_model_feed(g->m, g->ad, g->kv, &piece, 1, NULL, err);
    if (!st && n && g->logits) st = ac_model_feed(g->m, g->ad, g->kv, g->feeds, n, g->logits, err);
    else if (!st && n) st = ac_model_feed_greedy(g->m, g->ad, g->kv, g->feeds, n, g->chosen, err);
    for (size_t i = 0; !st && i < n; i++) st = say(g, i, err);
    if (st) return st;
    const ac_event e = { .kind = AC_EV_PROGRESS, .unit = "tokens", .done = g->done, .total = g->total };
    return ac_emit(g->sink, &e, err);
}

ac_status ac_generate(ac_model *m, const ac_adapter *ad, const ac_gen_request *req, size_t n,
                      const ac_gen_opts *opts, ac_gen_answer *answers, ac_gen_on_token *on_token, void *ctx,
                      const ac_sink *sink, ac_err *err)
{
    if (n == 0) return AC_OK;
    static const ac_sink silent;
    gen g = { .m = m, .ad = ad, .req = req, .n_req = n, .o = opts, .answers = answers, .on_token = on_token,
              .ctx = ctx, .sink = sink ? sink : &silent };
    ac_status st = open_run(&g, err);
    if (!st) st = keep_adapter(&g, err);
    while (!st) {
        refill(&g);
        if (g.n_open == 0) break;
        st = turn(&g, err);
    }
    if (g.kept) ac_model_device(m)->op->let_go(ac_model_device(m), ad->params);
    close_run(&g);
    if (opts->cache && n == 1) st = keep(&g, st, err);
    for (size_t i = 0; st && i < n; i++) {
        ac_ids_release(&answers[i].ids);
        answers[i] = (ac_gen_answer){ 0 };
    }
    return st;
}
