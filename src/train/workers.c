/* train/workers.c - several processes that compute one run (B6): each its own parts of a step, then sums with the rank that
 * differs in bit 0, 1, 2 ... Both sides of such a sum add the same two numbers, so all ranks end with the same bits, and each
 * steps its own optimizer on them. Nothing else has to be sent but the start and, after each step, a check. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "train/train_int.h"

#define PIECE AC_CREW_PIECE

/* A worker takes whatever breaks the wire for the end of the run. */
static ac_status broken(ac_crew *c, ac_status st)
{
    if (st == AC_EIO) c->lost = true;
    return st == AC_EIO && c->t->rank ? AC_ECANCEL : st;
}

static ac_status tell(ac_crew *c, size_t to, const void *data, size_t bytes, ac_err *err)
{
    return broken(c, c->t->tell(c->t->ctx, to, data, bytes, err));
}

static ac_status hear(ac_crew *c, size_t from, void *data, size_t bytes, ac_err *err)
{
    return broken(c, c->t->hear(c->t->ctx, from, data, bytes, NULL, err));
}

static ac_status exchange(ac_crew *c, size_t partner, const void *send, void *recv, size_t bytes, const ac_idle *idle, ac_err *err)
{
    return broken(c, c->t->exchange(c->t->ctx, partner, send, recv, bytes, idle, err));
}

ac_status ac_crew_open(ac_crew *c, const ac_transport *t, ac_device *dev, size_t n_valid_units, ac_err *err)
{
    *c = (ac_crew){ .t = t, .dev = dev, .n_losses = n_valid_units };
    if (!t) return AC_OK;
    c->piece = ac_calloc(PIECE, sizeof *c->piece);
    c->losses = ac_calloc(n_valid_units ? n_valid_units : 1, sizeof *c->losses);
    if (c->piece && c->losses) return AC_OK;
    ac_crew_close(c, false);
    return ac_fail_nomem(err, PIECE * sizeof *c->piece);
}

void ac_crew_close(ac_crew *c, bool in_order)
{
    if (c->direct) c->dev->op->peers->close(c->dev, in_order && !c->lost);
    ac_free(c->piece);
    ac_free(c->losses);
    *c = (ac_crew){ .t = NULL };
}

/* ---- the start ------------------------------------------------------------------------------------------- */

ac_status ac_crew_choose(ac_crew *c, ac_crew_choice *choice, ac_err *err)
{
    ac_status st = AC_OK;
    if (c->t && c->t->rank) return hear(c, 0, choice, sizeof *choice, err);
    for (size_t k = 1; !st && k < ac_crew_size(c); k++) st = tell(c, k, choice, sizeof *choice, err);
    return st;
}

/* An array of the leader's to everybody. */
static ac_status spread(ac_crew *c, void *data, size_t bytes, ac_err *err)
{
    ac_status st = AC_OK;
    if (!bytes) return AC_OK;
    if (c->t->rank) return hear(c, 0, data, bytes, err);
    for (size_t k = 1; !st && k < c->t->n; k++) st = tell(c, k, data, bytes, err);
    return st;
}

typedef struct {
    ac_sha256 fingerprint;
    char device[128];                /* "" on a CPU, which is as good as any other */
} ready;

static ac_status all_ready(ac_crew *c, const ac_sha256 *fingerprint, ac_err *err)
{
    ac_status st = AC_OK;
    ready own = { .fingerprint = *fingerprint }, theirs;
    if (c->dev->op->peers) (void)snprintf(own.device, sizeof own.device, "%s", ac_device_name(c->dev));
    if (c->t->rank) return tell(c, 0, &own, sizeof own, err);
    for (size_t k = 1; !st && k < c->t->n; k++) {
        st = hear(c, k, &theirs, sizeof theirs, err);
        if (st) break;
        theirs.device[sizeof theirs.device - 1] = '\0';
        if (memcmp(theirs.fingerprint.byte, fingerprint->byte, sizeof fingerprint->byte) != 0)
            st = ac_fail(err, AC_ESTATE, "worker %zu read other options or rows than the leader; was a file changed at this moment? run it "
                         "again", k);
        else if (strcmp(theirs.device, own.device) != 0)
            st = ac_fail(err, AC_EARG, "worker %zu has %s, the leader has %s: only GPUs of one model give the same bits; name some that "
                         "are alike in CUDA_VISIBLE_DEVICES", k, theirs.device, own.device);
    }
    return st;
}

typedef struct {
    uint32_t yes;
    char why_not[160];
} vote;

/* yes where all of them said so; else the first no. Everybody hears it. */
static ac_status all_say(ac_crew *c, vote *v, ac_err *err)
{
    ac_status st = AC_OK;
    if (c->t->rank) {
        st = tell(c, 0, v, sizeof *v, err);
        return st ? st : hear(c, 0, v, sizeof *v, err);
    }
    for (size_t k = 1; !st && k < c->t->n; k++) {
        vote theirs;
        st = hear(c, k, &theirs, sizeof theirs, err);
        if (!st && v->yes && !theirs.yes) *v = theirs;
    }
    for (size_t k = 1; !st && k < c->t->n; k++) st = tell(c, k, v, sizeof *v, err);
    return st;
}

static vote vote_of(ac_status st, const ac_err *why)
{
    vote v = { .yes = !st };
    if (st) (void)snprintf(v.why_not, sizeof v.why_not, "%.150s", why->text);
    return v;
}

/* The devices form a group, where they can and all of them do; else gradients go through the hosts. */
static ac_status form_group(ac_crew *c, ac_err *err)
{
    const ac_peers_ops *p = c->dev->op->peers;
    struct {
        vote v;
        unsigned char id[AC_PEERS_ID];
    } group = { .v = { .yes = 0 } };
    ac_err why = { "" };
    if (!p) return AC_OK;
    vote v = vote_of(p->can(c->dev, &why), &why);
    ac_status st = all_say(c, &v, err);
    if (st) return st;
    if (v.yes && !c->t->rank) v = vote_of(p->id(c->dev, group.id, &why), &why);
    group.v = v;
    st = spread(c, &group, sizeof group, err);
    if (!st && group.v.yes) {
        v = vote_of(p->open(c->dev, group.id, c->t->rank, c->t->n, &why), &why);
        const bool open = v.yes;
        st = all_say(c, &v, err);
        c->direct = !st && v.yes;
        if (open && !c->direct) p->close(c->dev, false);
    } else {
        v = group.v;
    }
    if (st) return st;
    v.why_not[sizeof v.why_not - 1] = '\0';
    if (c->direct) (void)snprintf(c->how, sizeof c->how, "the workers' GPUs exchange gradients by NCCL");
    else (void)snprintf(c->how, sizeof c->how, "the workers' gradients go through the host's memory, which takes longer: %s", v.why_not);
    return AC_OK;
}

ac_status ac_crew_start(ac_crew *c, const ac_sha256 *fingerprint, ac_train_state *s, ac_adapter *ad, ac_optimizer *opt, ac_err *err)
{
    if (!c->t) return AC_OK;
    ac_status st = all_ready(c, fingerprint, err);
    if (!st) st = form_group(c, err);
    if (!st) st = spread(c, s, sizeof *s, err);
    if (!st) st = spread(c, ad->params, ad->n_params * sizeof *ad->params, err);
    for (size_t i = 0; !st && i < AC_STATE_ARRAYS; i++)
        st = spread(c, opt->array[i].data, opt->array[i].n * ac_dtype_block_bytes(opt->array[i].type), err);
    if (!st) ac_adapter_changed(ad);
    return st;
}

/* ---- a step ---------------------------------------------------------------------------------------------- */

/* The lower ranks' part is the left side of the sum. */
static void add(float *own, const float *theirs, size_t n, bool own_is_lower)
{
    const ac_fp_state fp = ac_fp_enter();
    if (own_is_lower) for (size_t i = 0; i < n; i++) own[i] = own[i] + theirs[i];
    else for (size_t i = 0; i < n; i++) own[i] = theirs[i] + own[i];
    ac_fp_leave(fp);
}

static ac_status sum_with(ac_crew *c, size_t partner, float *grad, size_t n, const ac_idle *idle, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t at = 0; !st && at < n; at += PIECE) {
        const size_t k = n - at < PIECE ? n - at : PIECE;
        st = exchange(c, partner, grad + at, c->piece, k * sizeof *grad, idle, err);
        if (!st) add(grad + at, c->piece, k, c->t->rank < partner);
    }
    return st;
}

/* What a device that waits is asked: has somebody gone, does the run go on? */
typedef struct {
    ac_crew *c;
    const ac_idle *idle;
    ac_status st;                    /* idle's own */
} vigil;

static ac_status keep_vigil(void *ctx, ac_err *err)
{
    vigil *v = ctx;
    if (!v->c->t->whole(v->c->t->ctx)) return AC_EIO;
    v->st = v->idle ? v->idle->fn(v->idle->ctx, err) : AC_OK;
    return v->st;
}

/* A device's exchange failed, and its group with it. Who has gone shows on the wire: nothing but an end can come over it now. */
static ac_status group_broke(ac_crew *c, size_t partner, ac_status st, const ac_err *why, ac_err *err)
{
    char own = 0, theirs = 0;
    c->direct = false;
    if (!c->t->whole(c->t->ctx)) {
        const ac_status wire = exchange(c, partner, &own, &theirs, 1, NULL, err);
        if (wire) return wire;
    }
    return ac_fail(err, st == AC_EIO ? AC_ESTATE : st, "%s", why->text[0] ? why->text : "the GPUs' exchange ended");
}

static ac_status sum_on_device(ac_crew *c, size_t partner, ac_ref grad, size_t n, const ac_idle *idle, ac_err *err)
{
    ac_err why = { "" };
    vigil v = { .c = c, .idle = idle };
    const ac_idle watch = { keep_vigil, &v };
    const ac_status st = c->dev->op->peers->add(c->dev, partner, grad, n, &watch, &why);
    if (!st) return AC_OK;
    if (!v.st) return group_broke(c, partner, st, &why, err);
    c->direct = false;
    return why.text[0] ? ac_fail(err, v.st, "%s", why.text) : v.st;
}

static ac_status sum_with_all(ac_crew *c, ac_ref on_device, float *grad, size_t n, double *loss, const ac_idle *idle, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t bit = 1; !st && bit < c->t->n; bit <<= 1) {
        const size_t partner = c->t->rank ^ bit;
        double theirs = 0;
        st = exchange(c, partner, loss, &theirs, sizeof theirs, idle, err);
        if (!st) st = on_device.buf ? sum_on_device(c, partner, on_device, n, idle, err) : sum_with(c, partner, grad, n, idle, err);
        if (!st) *loss = c->t->rank < partner ? *loss + theirs : theirs + *loss;
    }
    return st;
}

ac_status ac_crew_sum(ac_crew *c, float *grad, size_t n, double *loss, const ac_idle *idle, ac_err *err)
{
    const ac_device_ops *op = c->dev->op;
    ac_status st;
    if (!c->t) return AC_OK;
    if (c->direct) {
        ac_buf *b = NULL;
        st = op->buf_borrow(c->dev, &b, grad, n * sizeof *grad, AC_BORROW_BOTH, err);
        if (!st) st = sum_with_all(c, (ac_ref){ b, 0 }, NULL, n, loss, idle, err);
        op->buf_close(c->dev, &b);
        return st;
    }
    op->pull(c->dev, grad);
    st = op->sync(c->dev, err);
    if (!st) st = sum_with_all(c, (ac_ref){ NULL, 0 }, grad, n, loss, idle, err);
    if (!st) op->push(c->dev, grad);
    return st;
}

ac_status ac_crew_agree(ac_crew *c, uint64_t step, const ac_sha256 *trace, double params, const ac_idle *idle, ac_err *err)
{
    struct {
        uint64_t step;
        ac_sha256 trace;
        double params;
    } own, theirs;
    if (!c->t) return AC_OK;
    memset(&own, 0, sizeof own);
    own.step = step;
    own.trace = *trace;
    own.params = params;
    if (c->t->rank) return tell(c, 0, &own, sizeof own, err);
    for (size_t k = 1; k < c->t->n; k++) {
        /* Who is gone is missed in the next sum; whoever is still waited for when the run is to end, not at all. */
        const ac_status st = broken(c, c->t->hear(c->t->ctx, k, &theirs, sizeof theirs, idle, NULL));
        if (st == AC_EIO || st == AC_ECANCEL) continue;
        if (st) return ac_fail(err, st, "step %" PRIu64 ": worker %zu did not say what it computed", step, k);
        if (memcmp(&own, &theirs, sizeof own) == 0) continue;
        return ac_fail(err, AC_ESTATE, "step %" PRIu64 ": worker %zu has other bits than the leader (%s differ); nothing of this step is "
                       "kept, and the newest checkpoint is from before it; memory or a device that errs does this, so check the machine "
                       "before you resume", step, k, own.step != theirs.step ? "the steps" :
                       memcmp(&own.trace, &theirs.trace, sizeof own.trace) != 0 ? "the traces" : "the parameters");
    }
    return AC_OK;
}

/* ---- validation ------------------------------------------------------------------------------------------ */

static ac_span_of_units units_of_ranks(const ac_crew *c, size_t n_units, size_t first, size_t ranks)
{
    return (ac_span_of_units){ first * n_units / c->t->n, (first + ranks) * n_units / c->t->n };
}

ac_span_of_units ac_crew_units(const ac_crew *c, size_t n_units)
{
    return c->t ? units_of_ranks(c, n_units, c->t->rank, 1) : (ac_span_of_units){ 0, n_units };
}

ac_status ac_crew_gather(ac_crew *c, double *loss, size_t n, const ac_idle *idle, ac_err *err)
{
    ac_status st = AC_OK;
    if (!c->t || n > c->n_losses) return c->t ? ac_fail(err, AC_ESTATE, "%zu losses to gather", n) : AC_OK;
    for (size_t bit = 1; !st && n && bit < c->t->n; bit <<= 1) {
        const size_t partner = c->t->rank ^ bit;
        const ac_span_of_units theirs = units_of_ranks(c, n, partner & ~(bit - 1), bit);
        st = exchange(c, partner, loss, c->losses, n * sizeof *loss, idle, err);
        if (!st && theirs.to > theirs.from)
            memcpy(loss + theirs.from, c->losses + theirs.from, (theirs.to - theirs.from) * sizeof *loss);
    }
    return st;
}

/* ---- between units ---------------------------------------------------------------------------------------- */

void ac_crew_tell(ac_crew *c, ac_crew_settings s)
{
    for (size_t k = 1; k < ac_crew_size(c); k++) (void)tell(c, k, &s, sizeof s, NULL);
}

ac_status ac_crew_look(ac_crew *c, bool *any, ac_crew_settings *s, ac_err *err)
{
    *any = false;
    if (!c->t->has_word(c->t->ctx, 0)) return AC_OK;
    const ac_status st = hear(c, 0, s, sizeof *s, err);
    *any = !st;
    return st;
}
