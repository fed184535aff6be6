/* generate/generate.h - answers from a model: greedy or sampled, many sequences at once.
 *
 * G1  A sequence's tokens do not depend on its neighbours in the batch, nor on how many there are.
 * G2  Greedy takes the lowest id among equal largest logits. Sampling draws from stream AC_RNG_SAMPLE keyed by
 *     (seed, sequence, position), in the order: temperature, top-k, top-p, min-p.
 * G3  A sequence ends at a stop id (not part of the answer), at max_tokens, or at the context's end. */
#ifndef AC_GENERATE_GENERATE_H
#define AC_GENERATE_GENERATE_H

#include <stdbool.h>
#include "base/err.h"
#include "base/event.h"
#include "model/adapter.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

/* What a conversation leaves for its next turn: keys and values of all that was said. A prompt that begins as the
 * kept tokens do is fed from where it differs; by B8 the answer is the same as without. {0} is empty. Holds for one
 * model and adapter; serves runs of one request. */
typedef struct {
    ac_kv *kv;
    ac_ids ids;                  /* those in kv */
    size_t reused;               /* of the last prompt */
} ac_gen_cache;
void ac_gen_cache_close(ac_gen_cache *c);

typedef struct {
    size_t max_tokens;
    double temperature;          /* 0: greedy */
    size_t top_k;                /* 0: off */
    double top_p, min_p;         /* 1 and 0: off */
    uint64_t seed;
    const int32_t *stop;         /* ids */
    size_t n_stop;
    bool ignore_stop;
    size_t max_batch;            /* sequences at once; 0: chosen */
    ac_gen_cache *cache;         /* NULL: none */
} ac_gen_opts;

typedef struct {
    const int32_t *prompt;
    size_t n_prompt;             /* >= 1 */
    uint64_t number;             /* keys the sampling; position in the caller's list */
} ac_gen_request;

typedef enum { AC_GEN_STOP, AC_GEN_LENGTH, AC_GEN_CONTEXT } ac_gen_end;
typedef struct {
    ac_ids ids;                  /* without the stop token; gives, released by the caller */
    ac_gen_end end;
} ac_gen_answer;

/* answers: n entries, {0} on entry. on_token (may be NULL) is called for each token as it comes, with the
 * request's index; false stops that sequence. Emits PROGRESS events in tokens. */
typedef bool ac_gen_on_token(void *ctx, size_t request, int32_t id);
ac_status ac_generate(ac_model *m, const ac_adapter *ad, const ac_gen_request *req, size_t n,
                      const ac_gen_opts *opts, ac_gen_answer *answers, ac_gen_on_token *on_token, void *ctx,
                      const ac_sink *sink, ac_err *err);

#endif
