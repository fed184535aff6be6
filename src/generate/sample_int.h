/* generate/sample_int.h - one token out of a row of logits.
 *
 * S1  Everything beyond the logits is binary64 and own arithmetic, so a draw is the same on every CPU.
 * S2  Weights are w = exp((x - max) / temperature). top-k keeps the k largest, top-p of those the shortest
 *     prefix (largest first, lowest id among equals) that holds top_p of their sum, min-p of those the ones of at
 *     least min_p of the largest. The draw u in [0,1) takes the first kept token whose running sum exceeds
 *     u * sum; kept tokens stand largest first when top-k or top-p is on, in id order otherwise. */
#ifndef AC_GENERATE_SAMPLE_INT_H
#define AC_GENERATE_SAMPLE_INT_H

#include "generate/generate.h"

typedef struct {
    size_t vocab;
    double *weight;          /* vocab; NULL while decoding is greedy */
    int32_t *kept;           /* vocab */
} ac_sampler;

ac_status ac_sampler_open(ac_sampler *s, size_t vocab, const ac_gen_opts *o, ac_err *err);
void      ac_sampler_close(ac_sampler *s);
/* AC_EDIVERGED, and what is to be said of it. */
ac_status ac_sampler_not_finite(ac_err *err);
/* AC_EDIVERGED when a logit is not finite. */
ac_status ac_sampler_take(ac_sampler *s, const float *logits, const ac_gen_opts *o, uint64_t number,
                          uint64_t position, int32_t *out, ac_err *err);

#endif
