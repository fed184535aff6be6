/* generate/sample.c - greedy choice and sampling (S1, S2 of sample_int.h). */
#include "generate/sample_int.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernels/kernels.h"

ac_status ac_sampler_open(ac_sampler *s, size_t vocab, const ac_gen_opts *o, ac_err *err)
{
    *s = (ac_sampler){ .vocab = vocab };
    if (!(o->temperature > 0)) return AC_OK;
    s->weight = ac_calloc(vocab, sizeof *s->weight);
    s->kept = ac_calloc(vocab, sizeof *s->kept);
    if (s->weight && s->kept) return AC_OK;
    ac_sampler_close(s);
    return ac_fail_nomem(err, (unsigned long long)vocab * (sizeof *s->weight + sizeof *s->kept));
}

void ac_sampler_close(ac_sampler *s)
{
    ac_free(s->weight);
    ac_free(s->kept);
    *s = (ac_sampler){ 0 };
}

/* A number's bits as an integer of the same order; both zeros are one. */
static int32_t order_of(float x)
{
    const float y = x + 0.0f;
    int32_t bits;
    memcpy(&bits, &y, sizeof bits);
    return bits < 0 ? bits ^ INT32_MAX : bits;
}

enum { LANES = 16, PIECE = 1024 };

/* The largest of PIECE logits. Integers, in lanes of a constant number, are what every compiler makes vectors of. */
static int32_t piece_max(const float *x, int32_t *largest)
{
    int32_t top[LANES], size[LANES], most = INT32_MIN;
    for (size_t l = 0; l < LANES; l++) {
        top[l] = INT32_MIN;
        size[l] = 0;
    }
    for (size_t i = 0; i < PIECE; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            const int32_t o = order_of(x[i + l]), s = o < 0 ? o ^ INT32_MAX : o, big = s & INT32_MAX;
            top[l] = o > top[l] ? o : top[l];
            size[l] = big > size[l] ? big : size[l];
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        if (top[l] > most) most = top[l];
        if (size[l] > *largest) *largest = size[l];
    }
    return most;
}

ac_status ac_sampler_not_finite(ac_err *err)
{
    return ac_fail(err, AC_EDIVERGED, "generate: the model gave logits that are not finite; expected "
                   "numbers; check the model file and the adapter with `accord model inspect`");
}

/* Largest logit, lowest id among equals. */
static ac_status greedy(const float *x, size_t n, size_t *out, ac_err *err)
{
    enum { NOT_FINITE = 0x7f800000 };                /* the bits of an infinity; those of a NaN are above */
    size_t best = 0, i = 0;
    int32_t most = INT32_MIN, largest = 0;
    for (; i + PIECE <= n; i += PIECE) {
        const int32_t top = piece_max(x + i, &largest);
        if (top <= most) continue;
        most = top;
        best = i;
    }
    if (i) while (order_of(x[best]) != most) best++;
    for (; i < n; i++) {
        if (!(x[i] - x[i] == 0.0f)) largest = NOT_FINITE;
        if (x[i] > x[best]) best = i;
    }
    if (largest >= NOT_FINITE) return ac_sampler_not_finite(err);
    *out = best;
    return AC_OK;
}

/* a stands before b: larger weight, then lower id. */
static bool before(const double *w, int32_t a, int32_t b)
{
    if (w[a] != w[b]) return w[a] > w[b];
    return a < b;
}

static void sift_down(const double *w, int32_t *heap, size_t n, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && before(w, heap[child + 1], heap[child])) child++;
        if (!before(w, heap[child], heap[at])) return;
        const int32_t t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
        at = child;
    }
}

/* Puts the first `want` of the order (or, with share > 0, the shortest prefix that holds share of `sum`) at the
 * END of kept, the largest last: a heap gives up its root and shrinks, as in heap sort, so that only what is
 * kept is ever sorted. Returns how many. */
static size_t take_largest(const double *w, int32_t *kept, size_t n, size_t want, double share, double sum)
{
    for (size_t i = n / 2; i-- > 0;) sift_down(w, kept, n, i);
    size_t left = n;
    double running = 0;
    while (left > 0 && n - left < want) {
        if (share > 0 && left < n && running >= share * sum) break;
        const int32_t top = kept[0];
        running += w[top];
        left--;
        kept[0] = kept[left];
        kept[left] = top;
        sift_down(w, kept, left, 0);
    }
    return n - left;
}

/* The candidates in kept[first..vocab), largest at the end. */
static size_t narrow(ac_sampler *s, const ac_gen_opts *o)
{
    const double *w = s->weight;
    const size_t n = s->vocab;
    size_t count = n;
    double sum = 0;
    if (o->top_k > 0 && o->top_k < n) {
        count = take_largest(w, s->kept, n, o->top_k, 0, 0);
        for (size_t i = 0; i < count; i++) sum += w[s->kept[n - 1 - i]];
        if (o->top_p < 1) {
            double running = 0;
            size_t keep = 0;
            while (keep < count && !(keep > 0 && running >= o->top_p * sum)) {
                running += w[s->kept[n - 1 - keep]];
                keep++;
            }
            count = keep;
        }
    } else if (o->top_p < 1) {
        for (size_t i = 0; i < n; i++) sum += w[i];
        count = take_largest(w, s->kept, n, n, o->top_p, sum);
    }
    return count;
}

static int32_t draw(const ac_sampler *s, size_t count, bool sorted, double min_p, double u)
{
    const size_t n = s->vocab;
    double sum = 0, running = 0;
    int32_t last = s->kept[sorted ? n - 1 : 0];
    for (size_t i = 0; i < count; i++) {
        const double w = s->weight[s->kept[sorted ? n - 1 - i : i]];
        if (w >= min_p) sum += w;                    /* the largest weight is exp(0) = 1 */
    }
    for (size_t i = 0; i < count; i++) {
        const int32_t id = s->kept[sorted ? n - 1 - i : i];
        const double w = s->weight[id];
        if (!(w >= min_p)) continue;
        running += w;
        if (w > 0) last = id;
        if (running > u * sum) return id;
    }
    return last;                                     /* u * sum rounded up to the whole sum */
}

ac_status ac_sampler_take(ac_sampler *s, const float *logits, const ac_gen_opts *o, uint64_t number,
                          uint64_t position, int32_t *out, ac_err *err)
{
    size_t best = 0;
    const ac_status st = greedy(logits, s->vocab, &best, err);
    if (st) return st;
    if (!s->weight) {
        *out = (int32_t)best;
        return AC_OK;
    }
    const double max = (double)logits[best];
    for (size_t i = 0; i < s->vocab; i++) {
        const double x = ((double)logits[i] - max) / o->temperature;
        s->weight[i] = x < -700.0 ? 0.0 : ac_exp_f64(x);
        s->kept[i] = (int32_t)i;
    }
    const bool sorted = (o->top_k > 0 && o->top_k < s->vocab) || o->top_p < 1;
    const size_t count = narrow(s, o);
    uint32_t r[4];
    ac_philox(r, o->seed, AC_RNG_SAMPLE, number, position);
    const uint64_t bits = (uint64_t)(r[0] >> 5) << 26 | (r[1] >> 6);      /* 27 + 26 bits */
    *out = draw(s, count, sorted, o->min_p, (double)bits / 9007199254740992.0);
    return AC_OK;
}
