/* model/adapter.h - what is trained: LoRA adapters, y = W x + scale * B (A x), with DoRA's magnitudes or without, or
 * all weights.
 *
 * A1  All parameters lie in one array of n_params floats: modules by layer, then by target (q k v o gate up
 *     down); of each module A (rank x in, row-major) and then B (out x rank, row-major). Gradients and
 *     optimizer state have the same layout.
 *     tensor[] lists them in that order without a gap, for whoever steps them by shape.
 * A2  scale = alpha / rank, or alpha / sqrt(rank) with rslora.
 * A3  Rows of q and k are in Hugging Face's order whatever the base's file has, so that an adapter fits the
 *     same model from safetensors and from GGUF.
 * A4  Files are PEFT's: adapter_config.json and adapter_model.safetensors (float32), read back bit for bit.
 * A5  With AC_TUNE_FULL the parameters are every weight of the model, expanded to binary32 and computed with in the
 *     place of the file's; they have no modules, and their file is model.safetensors of Hugging Face's names.
 * A6  With AC_TUNE_DORA a module has a magnitude for each output behind its B, which starts as the length of W's row.
 *     The lengths of the rows of W + scale * B A are kept until ac_adapter_changed. */
#ifndef AC_MODEL_ADAPTER_H
#define AC_MODEL_ADAPTER_H

#include "base/hash.h"
#include "model/model.h"

typedef enum {
    AC_TARGET_Q, AC_TARGET_K, AC_TARGET_V, AC_TARGET_O, AC_TARGET_GATE, AC_TARGET_UP, AC_TARGET_DOWN,
    AC_TARGET_COUNT
} ac_target;
const char *ac_target_name(ac_target t);              /* "q_proj" */
bool        ac_target_parse(ac_view name, ac_target *out); /* "q_proj" or "q" */

typedef enum { AC_TUNE_LORA, AC_TUNE_FULL, AC_TUNE_DORA } ac_tune;

typedef struct {
    ac_tune tune;              /* AC_TUNE_FULL: nothing else of this is read */
    uint32_t rank;             /* 1..1024 */
    double alpha;
    bool rslora;
    uint32_t targets;          /* bit 1 << ac_target */
    uint32_t last_layers;      /* 0: all layers; else only the last so many */
} ac_lora_spec;

typedef struct {
    uint32_t layer;
    ac_target target;
    size_t in, out;
    size_t a_at, b_at, m_at;   /* offsets into params; m_at, of the magnitudes, with DoRA only */
    size_t norm_at;            /* of its rows' lengths in ac_dora.norm */
} ac_lora_module;

/* A tensor among the parameters; an optimizer may treat kinds differently (Muon: matrices only). */
typedef enum { AC_PARAM_MATRIX, AC_PARAM_VECTOR, AC_PARAM_EMBED } ac_param_kind;
typedef struct {
    size_t at, rows, cols;     /* rows * cols values from params + at, row-major; a vector has one row */
    ac_param_kind kind;
    bool starts_part;          /* the gradient norm adds one sum of squares a part: from here to the next start */
} ac_param;

enum { AC_FULL_NAME_MAX = 96 };

typedef struct {
    bool known;                /* norm belongs to the parameters as they are */
    size_t n;
    float *norm;
} ac_dora;

struct ac_adapter {
    ac_lora_spec spec;
    float scale;
    size_t n_modules;
    ac_lora_module *module;
    size_t n_tensors;
    ac_param *tensor;
    char (*name)[AC_FULL_NAME_MAX];   /* of each tensor; NULL: LoRA */
    size_t n_params;
    float *params;             /* whoever changes them calls ac_adapter_changed */
    ac_dora *dora;             /* NULL: no DoRA. Calls with the adapter fill it */
};

/* Zeroed parameters but for magnitudes, or with AC_TUNE_FULL the model's own. */
ac_status ac_adapter_open(ac_adapter **out, const ac_model *m, const ac_lora_spec *spec, ac_err *err);
/* The same without parameters (params is NULL): what a plan asks for sizes. */
ac_status ac_adapter_outline(ac_adapter **out, const ac_model *m, const ac_lora_spec *spec, ac_err *err);
void      ac_adapter_close(ac_adapter **a);
/* A uniform in +-1/sqrt(in) from stream AC_RNG_INIT (PEFT's and mlx-lm's choice), B zero.
 * All weights stay what they are. */
void      ac_adapter_init(ac_adapter *a, uint64_t seed);
/* What follows from the parameters is computed again when it is needed next. */
void      ac_adapter_changed(ac_adapter *a);
/* The module of a layer and target; NULL when it is not adapted. */
const ac_lora_module *ac_adapter_find(const ac_adapter *a, size_t layer, ac_target t);
/* The lowest layer with an adapted module: backward goes no further. n_layers - 1 when none is adapted. */
size_t ac_adapter_first_layer(const ac_adapter *a, size_t n_layers);

/* Writes adapter_config.json and adapter_model.safetensors into dir (made when absent); of all weights
 * model.safetensors alone. */
ac_status ac_adapter_save(const ac_adapter *a, const char *dir, const char *base_name, double dropout,
                          ac_err *err);
/* Reads them back, whichever of the two the folder holds; shapes are checked against the model. */
ac_status ac_adapter_load(ac_adapter **out, const ac_model *m, const char *dir, ac_err *err);
/* SHA-256 of the .safetensors file as it would be written. */
ac_status ac_adapter_hash(const ac_adapter *a, ac_sha256 *out, ac_err *err);
/* "adapter_model.safetensors" or "model.safetensors". */
const char *ac_adapter_file(const ac_adapter *a);
/* Beside model.safetensors, what makes dir a model that anyone can load: config.json and the base's tokenizer. */
ac_status ac_full_check(const ac_model *m, ac_err *err);    /* whether that can be done; before training */
ac_status ac_full_complete(const ac_model *m, const char *dir, ac_err *err);

#endif
