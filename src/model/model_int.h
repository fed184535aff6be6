/* model/model_int.h - what the files of this room share: family tables, bound weights, a call's workspace. */
#ifndef AC_MODEL_MODEL_INT_H
#define AC_MODEL_MODEL_INT_H

#include "base/mem.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/tensors.h"
#include "model/adapter.h"
#include "model/model.h"

/* ---- families -------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;             /* also GGUF's general.architecture */
    const char *hf_type[2];       /* config.json model_type ... */
    const char *hf_class[2];      /* ... and architectures */
    bool qkv_bias;                /* q, k and v carry a bias */
    bool qk_norm;                 /* RMS norm of each head of q and k before the rotary embedding */
    bool gguf_pairs;              /* GGUF stores rows of q and k as rotated pairs (2j, 2j+1) of a head */
    bool window;                  /* sliding_window, where set, holds in every layer */
} ac_family;

extern const ac_family ac_family_llama, ac_family_qwen2, ac_family_qwen3;
/* NULL when unknown. */
const ac_family *ac_family_by_hf(ac_view model_type);
const ac_family *ac_family_by_gguf(ac_view architecture);
/* "llama, mistral, qwen2, qwen3". */
const char *ac_family_list(void);

/* ---- configuration --------------------------------------------------------------------------------- */

/* where: the file, for messages. Each fills the fields it knows; tied_output is final after binding. */
ac_status ac_config_from_hf(ac_model_config *c, const ac_family **family, const ac_json *root,
                            const char *where, ac_err *err);
ac_status ac_config_from_gguf(ac_model_config *c, const ac_family **family, const ac_gguf *g, ac_err *err);
/* Ranges and divisibility that both containers must satisfy. */
ac_status ac_config_check(const ac_model_config *c, const char *where, ac_err *err);
/* Counts parameters, bytes and types of the file's tensors. */
void ac_config_count(ac_model_config *c, const ac_tensors *t);

/* An opened model source: config read, tensors open, nothing bound. */
typedef struct {
    ac_model_config config;
    const ac_family *family;
    ac_gguf *gguf;                /* one of these two owns the tensors */
    ac_tensors *safetensors;
    const ac_tensors *tensors;
    bool tied_known;              /* the configuration says whether the output is tied */
} ac_source;
ac_status ac_source_open(ac_source *out, const char *path, ac_err *err);
void      ac_source_close(ac_source *s);

/* ---- the model --------------------------------------------------------------------------------------- */

typedef struct {
    ac_matrix w[AC_TARGET_COUNT];
    ac_ref bias[3];               /* q k v, or none */
    ac_ref attn_norm, ffn_norm, q_norm, k_norm;
} ac_layer;

/* Activations of a layer. With gradients each layer that backward comes to has its own, or with recompute its own
 * x0 and the rest shared; without gradients all share one set. */
typedef struct {
    ac_ref x0, x1;                /* residual stream before attention and before the gated unit */
    ac_ref n0, n1;                /* their norms: with gradients on a device that keeps them, else temps.n, one after the other */
    ac_ref q_raw, k_raw;          /* before the head norm; the same as q and k without one */
    ac_ref q, k, v, att, lse;
    ac_ref g, u;
    ac_ref h[AC_TARGET_COUNT];    /* rows x rank, of adapted modules */
    ac_ref out0[AC_TARGET_COUNT]; /* with gradients and DoRA: see ac_lora */
} ac_acts;

typedef struct {
    ac_ref ids, pos, rows, target, nll;    /* of the call: rows names those that predict */
    ac_ref xf;                    /* residual stream after the last layer */
    ac_ref n, mid, s;             /* normed input, a block's output, gated product */
    ac_ref dx, dn, ds, datt, dq, dk, dv;   /* with gradients */
    ac_ref scratch;
} ac_temps;

struct ac_model {
    ac_source src;
    const char *path;
    ac_model_config cfg;          /* final */
    ac_device *dev;
    ac_arena arena;               /* layers, activations' places, rows put back into order */
    ac_layer *layer;
    ac_acts *acts;                /* n_layers */
    ac_temps temps;
    ac_matrix embed, output;
    ac_ref final_norm;
    bool prepared;                /* for decoding: weights and output have their ahead */
    ac_buf *small;                /* norms and biases, expanded */
    ac_buf **weight_buf;
    size_t n_weight_bufs;
    double *inv_freq;             /* head_dim / 2 */
    ac_buf *cos_buf, *sin_buf;
    size_t rope_rows;
    ac_buf *work[AC_STORE_COUNT]; /* those of stores with elements of one width are one: the first's */
    size_t work_elems[AC_STORE_COUNT];
};

ac_status ac_model_bind(ac_model *m, ac_err *err);

/* ---- one call ---------------------------------------------------------------------------------------- */

typedef struct {
    size_t rows;                  /* tokens */
    size_t n_select;              /* rows with logits */
    size_t longest;               /* document */
    bool recompute;               /* with gradients: see ac_pass */
    const ac_doc_rows *docs;
    size_t n_docs;
    const ac_unit_rows *units;
    size_t n_units;
    const ac_feed_rows *feeds;    /* decoding: in place of docs */
    size_t n_feeds;
    const ac_kv *kv;
} ac_batch;

typedef struct ac_full_view ac_full_view;

typedef struct {                  /* the adapter as this call sees it */
    const ac_adapter *ad;         /* NULL: none */
    ac_buf *params, *grad;
    ac_drop drop;
    ac_buf *norms;                /* DoRA's */
    ac_full_view *full;           /* all weights are trained: the model's table points at them until close */
} ac_adapted;

struct ac_kv {
    ac_device *dev;
    ac_buf *k, *v;
    ac_buf *logits, *chosen;      /* of greedy feeds, n_slots rows; opened by the first */
    size_t n_slots, max_tokens, layer_floats;
    size_t *len;
};

/* Lays the workspace out for a call and makes it as large as needed. grad: keep what backward needs. */
ac_status ac_work_prepare(ac_model *m, const ac_adapter *ad, const ac_batch *b, bool grad, bool dropout,
                          ac_err *err);
/* Tables of cos and sin for positions 0 .. rows-1. */
ac_status ac_rope_prepare(ac_model *m, size_t rows, ac_err *err);

ac_status ac_adapted_open(ac_adapted *out, ac_model *m, const ac_adapter *ad, float *grad,
                          const ac_pass *pass, ac_err *err);
void      ac_adapted_close(ac_adapted *a, ac_model *m);

void ac_model_unprepare(ac_model *m);
void ac_forward(ac_model *m, const ac_adapted *ad, const ac_batch *b, bool keep);
/* A layer's activations once more from its x0: what backward reads of it, temps.s included. */
void ac_forward_again(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer);
/* temps.dx holds the gradient at xf on entry. */
void ac_backward(ac_model *m, const ac_adapted *ad, const ac_batch *b);
/* ---- dora.c: rows' lengths ----------------------------------------------------------------------------- */

ac_dora  *ac_dora_new(size_t n);                  /* NULL: no memory */
void      ac_dora_free(ac_dora *d);
/* Magnitudes: the lengths of the stored rows. */
ac_status ac_dora_start(ac_adapter *a, const ac_model *m, ac_err *err);
/* Computes what is not known and sets ad->norms; ad->params is there. */
ac_status ac_dora_open(ac_adapted *ad, ac_model *m, ac_err *err);

/* ---- full.c: all weights as parameters --------------------------------------------------------------- */

/* Places of a layer's tensors; biases (3) and head norms (2) follow where the family has them. */
enum { AC_FULL_ATTN_NORM, AC_FULL_FFN_NORM, AC_FULL_LINEAR, AC_FULL_BIAS = AC_FULL_LINEAR + AC_TARGET_COUNT };

/* Tensors and their places; then, with parameters there, the model's own values. */
ac_status ac_full_outline(ac_adapter *a, const ac_model_config *c, ac_err *err);
ac_status ac_full_start(ac_adapter *a, const ac_model *m, ac_err *err);
/* Zeroed parameters of a configuration, without a model. */
ac_status ac_full_blank(ac_adapter **out, const ac_model_config *c, ac_err *err);
bool      ac_full_fits(const ac_adapter *a, const ac_model *m);
size_t    ac_full_layer_at(const ac_adapter *a, const ac_model_config *c, size_t layer, size_t slot);
size_t    ac_full_norm_at(const ac_adapter *a, const ac_model_config *c);
size_t    ac_full_output_at(const ac_adapter *a, const ac_model_config *c);
/* ad->params is there; sets ad->full. close accepts none. */
ac_status ac_full_view_open(ac_adapted *ad, ac_model *m, ac_err *err);
void      ac_full_view_close(ac_adapted *ad, ac_model *m);
void      ac_full_linear_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer, ac_target t, ac_ref dy,
                              ac_ref x);
void      ac_full_norm_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer, size_t slot, size_t heads,
                            ac_ref dy, ac_ref x);
void      ac_full_head_norm_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b, size_t layer, bool is_k, ac_ref dy,
                                 ac_ref x);
void      ac_full_embed_grad(ac_model *m, const ac_adapted *ad, const ac_batch *b);
void      ac_full_output_grad(ac_model *m, const ac_adapted *ad, const ac_loss_args *loss, const size_t *unit_rows,
                              size_t n_units);
ac_status ac_full_save(const ac_adapter *a, const char *dir, ac_err *err);
ac_status ac_full_hash(const ac_adapter *a, ac_sha256 *out, ac_err *err);
/* config.json as it stands there, but for the stored type, and the tokenizer's files (a folder's, or tokenizer.json
 * with what lies beside it). */
ac_status ac_full_describe(const char *dir, const char *config, const char *tokenizer, ac_err *err);
bool      ac_full_is_folder(const char *dir);
ac_status ac_full_load(ac_adapter **out, const ac_model *m, const char *dir, ac_err *err);

/* The LoRA argument of a module; false when it is not adapted. */
bool ac_lora_of(const ac_adapted *ad, size_t layer, ac_target t, ac_ref h, ac_ref out0, ac_lora *out);

#endif
