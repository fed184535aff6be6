/* model/model.h - a transformer: configuration, weights, forward, backward, decoding.
 *
 * L1  Weights stay mapped in their stored type; forward and backward are written once over the device table
 *     (backend/backend.h). A family is one description table (Llama and Mistral, Qwen2, Qwen3).
 * L2  A token's logits depend on its own document before it, and on nothing else: not on what it is packed or
 *     batched with, nor on prefill or decode (B8).
 * L3  Every unit's gradient is computed alone (k over its tokens) and added in unit order (B6), so how units
 *     are grouped into calls changes no bit.
 * L4  Attention never builds the T x T matrix; logits exist only for supervised positions, in chunks.
 * Threads: a model belongs to one thread at a time (it uses the device's pool inside). */
#ifndef AC_MODEL_MODEL_H
#define AC_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "backend/backend.h"
#include "base/err.h"

typedef struct {
    char family[16];            /* "llama", "qwen2", "qwen3" */
    size_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab, context, window;
    double rms_eps, rope_theta;
    /* rope scaling: 0 none, 1 linear (factor), 2 llama3 (factor, low, high, original context) */
    int rope_scaling;
    double rope_factor, rope_low, rope_high, rope_original;
    bool tied_output, qkv_bias, qk_norm;
    uint64_t n_params;
    uint64_t weight_bytes;
    char weight_types[64];      /* "Q4_1 (211), F32 (61)" */
    char source[16];            /* "gguf" or "safetensors" */
} ac_model_config;

typedef struct ac_model ac_model;
typedef struct ac_adapter ac_adapter;   /* model/adapter.h */

/* path: a Hugging Face folder or a GGUF file. Borrows the device. */
ac_status ac_model_open(ac_model **out, ac_device *dev, const char *path, ac_err *err);
void      ac_model_close(ac_model **m);
const ac_model_config *ac_model_get_config(const ac_model *m);
ac_device *ac_model_device(const ac_model *m);   /* the one it was opened with */
/* Reads the configuration only (no weights are bound): for inspect. */
ac_status ac_model_read_config(ac_model_config *out, const char *path, ac_err *err);
/* Writes a folder of random weights (M.17 of docs/numerics.md) with the configuration and the tokenizer that are
 * named; AC_ECREATE where the folder exists. */
ac_status ac_model_new(const char *dir, const char *config, const char *tokenizer, uint64_t seed, uint64_t *n_params,
                       ac_err *err);
/* SHA-256 of the weights' files, in a fixed order: what the lock seals. */
#include "base/hash.h"
ac_status ac_model_hash(ac_sha256 *out, const char *path, ac_err *err);

/* A unit: one row of a batch as the packing plan made it (one or several documents). Borrowed. */
typedef struct {
    const int32_t *ids;
    const uint8_t *target;      /* 1: this token is supervised (predicted from the one before it in its
                                   document; never set on a document's first token) */
    size_t n;                   /* tokens */
    const uint32_t *doc_start;  /* n_docs offsets, ascending, the first 0 */
    size_t n_docs;
    uint64_t index;             /* place in the step's plan: keys the dropout */
} ac_unit;

typedef struct {
    double inv_n;               /* 1 / supervised tokens of the whole step (B6) */
    uint64_t seed, step;        /* dropout */
    double dropout;             /* 0: none */
    bool recompute;             /* keep each layer's input only, and run the layer once more on the way back:
                                   less memory, more time, the same bits */
} ac_pass;

/* Forward and backward of n_units units. Adds their gradients, in order, to grad[adapter params] and sets
 * loss[u] = sum of the unit's negative log likelihoods (token order, binary64), not divided. */
ac_status ac_model_grad(ac_model *m, const ac_adapter *ad, const ac_unit *units, size_t n_units,
                        const ac_pass *pass, float *grad, double *loss, ac_err *err);
/* Forward only; ad may be NULL. token_nll (may be NULL): one value for each supervised token in order. */
ac_status ac_model_nll(ac_model *m, const ac_adapter *ad, const ac_unit *units, size_t n_units,
                       double *loss, float *token_nll, ac_err *err);
/* exp(nll / tokens), the same on every machine; 1 is certainty. tokens >= 1. */
double    ac_model_perplexity(double nll, size_t tokens);
/* Logits of every position of one sequence, for tests: n x vocab. */
ac_status ac_model_logits(ac_model *m, const ac_adapter *ad, const int32_t *ids, size_t n, float *logits,
                          ac_err *err);
/* What the base model makes of texts: for each unit the mean over its tokens (in their order, binary64) of the residual
 * stream behind the final norm, then scaled to length 1 (a zero vector stays). out: n_units x hidden. The same bits
 * whatever the units stand beside (L2). */
ac_status ac_model_embed(ac_model *m, const ac_unit *units, size_t n_units, float *out, ac_err *err);
/* What the workspace of a call depends on. */
typedef struct {
    size_t tokens, supervised;  /* of all its units */
    size_t longest;             /* document */
    bool grad, dropout, recompute;
} ac_call_size;
/* Bytes that such a call takes beside weights and adapter; SIZE_MAX: too many to count. layers, scratch (may be
 * NULL): the parts of it that are the layers' activations, and the operations' own (logits among them). */
size_t    ac_model_call_bytes(const ac_model *m, const ac_adapter *ad, const ac_call_size *s, size_t *layers,
                              size_t *scratch);
/* Bytes of the rotary tables for documents of up to `longest` tokens. */
size_t    ac_model_table_bytes(const ac_model *m, size_t longest);
/* Takes now what calls up to these sizes will need, every page of it, so that no later call has to ask. */
ac_status ac_model_reserve(ac_model *m, const ac_adapter *ad, const ac_call_size *sizes, size_t n, ac_err *err);
/* Bytes that the device takes for itself while it computes, beside all buffers. */
size_t    ac_model_device_bytes(const ac_model *m);
/* Tokens that one forward-only pass computes at once when it is given `longest` or less a unit. */
size_t    ac_model_nll_tokens(size_t longest);
/* Gives back the activations' memory, which is otherwise kept for the next call: after the calls get smaller. */
void      ac_model_trim(ac_model *m);

/* ---- decoding -------------------------------------------------------------------------------------- */

typedef struct ac_kv ac_kv;
/* Lays the weights out for decoding, once; the first ac_model_feed does it. What it takes beside the stored
 * weights (0: the device has no other layout) is in the second. */
ac_status ac_model_prepare_decode(ac_model *m, ac_err *err);
size_t    ac_model_decode_bytes(const ac_model *m);
/* n_slots sequences of up to max_tokens each. */
ac_status ac_kv_open(ac_kv **out, const ac_model *m, size_t n_slots, size_t max_tokens, ac_err *err);
void      ac_kv_close(ac_kv **kv);
size_t    ac_kv_len(const ac_kv *kv, size_t slot);
size_t    ac_kv_room(const ac_kv *kv);           /* of a slot, in tokens */
void      ac_kv_truncate(ac_kv *kv, size_t slot, size_t len);   /* 0: empties the slot */

typedef struct {
    size_t slot;
    const int32_t *ids;      /* appended to the slot; n >= 1 */
    size_t n;
} ac_feed;
/* Feeds distinct slots at once; logits gets n_feeds rows of vocab floats: those after each feed's last
 * token (NULL: none computed). A slot that would overflow is AC_EARG before anything is changed. */
ac_status ac_model_feed(ac_model *m, const ac_adapter *ad, ac_kv *kv, const ac_feed *feeds, size_t n_feeds,
                        float *logits, ac_err *err);
/* The same, with the greedy choice of each feed in place of its logits: the first of the largest, or -1 where one of them is not
 * finite. Only where the device chooses: */
bool      ac_model_can_choose(const ac_model *m);
ac_status ac_model_feed_greedy(ac_model *m, const ac_adapter *ad, ac_kv *kv, const ac_feed *feeds, size_t n_feeds,
                               int32_t *chosen, ac_err *err);

#endif
