/* model/peft.c - adapters as PEFT's files: adapter_config.json and adapter_model.safetensors.
 *
 * Loading takes what can be run exactly: LoRA or DoRA of one rank on the same linears of all layers or the last
 * few. Whatever else PEFT can express is refused by its name. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/size.h"
#include "model/model_int.h"

static const char weights_name[] = "adapter_model.safetensors";
static const char config_name[] = "adapter_config.json";

static const char *block_of(ac_target t)
{
    return t <= AC_TARGET_O ? "self_attn" : "mlp";
}

/* ---- writing ------------------------------------------------------------------------------------------ */

/* The parts of a module, by their places in a->tensor. */
static const char *const part_names[] = { "lora_A.weight", "lora_B.weight", "lora_magnitude_vector" };

static size_t parts_of(const ac_adapter *a)
{
    return a->dora ? 3 : 2;
}

/* Tensors in parameter order; names live in the arena. */
static ac_status list_tensors(const ac_adapter *a, ac_arena *arena, ac_tensor_out **out, ac_err *err)
{
    ac_tensor_out *t = ac_arena_alloc_array(arena, a->n_tensors, sizeof *t);
    if (!t) return ac_fail_nomem(err, a->n_tensors * sizeof *t);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const ac_lora_module *mod = &a->module[i / parts_of(a)];
        const ac_param *p = &a->tensor[i];
        const char *name = ac_arena_printf(arena, "base_model.model.model.layers.%u.%s.%s.%s", (unsigned)mod->layer,
                                           block_of(mod->target), ac_target_name(mod->target),
                                           part_names[i % parts_of(a)]);
        if (!name) return ac_fail_nomem(err, 128);
        t[i] = (ac_tensor_out){ .name = name, .type = AC_F32, .n_dims = p->kind == AC_PARAM_VECTOR ? 1 : 2,
                                .data = a->params + p->at };
        t[i].dim[0] = p->kind == AC_PARAM_VECTOR ? p->cols : p->rows;
        t[i].dim[1] = p->cols;
    }
    *out = t;
    return AC_OK;
}

static const ac_metadata weights_meta[] = { { "format", "pt" } };

static void write_targets(ac_jw *w, const ac_adapter *a)
{
    ac_jw_array(w, "target_modules");
    for (size_t t = 0; t < AC_TARGET_COUNT; t++)
        if (a->spec.targets >> t & 1) ac_jw_cstr(w, NULL, ac_target_name((ac_target)t));
    ac_jw_end_array(w);
}

static void write_layers(ac_jw *w, const ac_adapter *a)
{
    if (!a->spec.last_layers) {
        ac_jw_null(w, "layers_to_transform");
        return;
    }
    ac_jw_array(w, "layers_to_transform");
    const uint32_t first = a->module[0].layer;
    for (uint32_t i = 0; i < a->spec.last_layers; i++) ac_jw_u64(w, NULL, first + i);
    ac_jw_end_array(w);
}

static void write_config(ac_str *out, const ac_adapter *a, const char *base_name, double dropout)
{
    ac_jw w;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_object(&w, "alpha_pattern");
    ac_jw_end_object(&w);
    ac_jw_null(&w, "auto_mapping");
    ac_jw_cstr(&w, "base_model_name_or_path", base_name);
    ac_jw_cstr(&w, "bias", "none");
    ac_jw_bool(&w, "fan_in_fan_out", false);
    ac_jw_bool(&w, "inference_mode", true);
    ac_jw_bool(&w, "init_lora_weights", true);
    ac_jw_null(&w, "layer_replication");
    if (a->spec.last_layers) ac_jw_cstr(&w, "layers_pattern", "layers");
    else ac_jw_null(&w, "layers_pattern");
    write_layers(&w, a);
    ac_jw_object(&w, "loftq_config");
    ac_jw_end_object(&w);
    ac_jw_f64(&w, "lora_alpha", a->spec.alpha);
    ac_jw_f64(&w, "lora_dropout", dropout);
    ac_jw_null(&w, "megatron_config");
    ac_jw_cstr(&w, "megatron_core", "megatron.core");
    ac_jw_null(&w, "modules_to_save");
    ac_jw_cstr(&w, "peft_type", "LORA");
    ac_jw_u64(&w, "r", a->spec.rank);
    ac_jw_object(&w, "rank_pattern");
    ac_jw_end_object(&w);
    ac_jw_null(&w, "revision");
    write_targets(&w, a);
    ac_jw_cstr(&w, "task_type", "CAUSAL_LM");
    ac_jw_bool(&w, "use_dora", a->dora != NULL);
    ac_jw_bool(&w, "use_rslora", a->spec.rslora);
    ac_jw_end_object(&w);
    ac_str_append_char(out, '\n');
}

ac_status ac_adapter_save(const ac_adapter *a, const char *dir, const char *base_name, double dropout,
                          ac_err *err)
{
    if (a->spec.tune == AC_TUNE_FULL) return ac_full_save(a, dir, err);
    ac_arena arena = { 0 };
    ac_str config = { 0 };
    ac_tensor_out *tensors = NULL;
    write_config(&config, a, base_name, dropout);
    char *weights = ac_path_join(&arena, dir, weights_name);
    char *json = ac_path_join(&arena, dir, config_name);
    ac_status st = weights && json && ac_str_ok(&config) ? AC_OK : ac_fail_nomem(err, config.len);
    if (!st) st = list_tensors(a, &arena, &tensors, err);
    if (!st) st = ac_mkdir_p(dir, err);
    if (!st) st = ac_safetensors_write(weights, tensors, a->n_tensors, weights_meta, 1, err);
    if (!st) st = ac_file_write_atomic(json, config.ptr, config.len, err);
    ac_str_release(&config);
    ac_arena_release(&arena);
    return st;
}

ac_status ac_adapter_hash(const ac_adapter *a, ac_sha256 *out, ac_err *err)
{
    if (a->spec.tune == AC_TUNE_FULL) return ac_full_hash(a, out, err);
    ac_arena arena = { 0 };
    ac_tensor_out *tensors = NULL;
    ac_status st = list_tensors(a, &arena, &tensors, err);
    if (!st) st = ac_safetensors_hash(out, tensors, a->n_tensors, weights_meta, 1, err);
    ac_arena_release(&arena);
    return st;
}

/* ---- reading: the configuration ------------------------------------------------------------------------ */

static ac_status refuse(const char *where, const char *key, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: \"%s\" is set, and what it asks for is not supported; expected a plain "
                   "LoRA adapter", where, key);
}

/* null, false, an empty object, array or string. */
static bool says_nothing(const ac_json *v)
{
    if (!v || v->type == AC_JSON_NULL) return true;
    if (v->type == AC_JSON_BOOL) return !v->boolean;
    if (v->type == AC_JSON_STRING) return v->text.len == 0;
    return (v->type == AC_JSON_ARRAY || v->type == AC_JSON_OBJECT) && v->n == 0;
}

static ac_status refuse_variants(const ac_json *root, const char *where, ac_err *err)
{
    static const char *const must_be_unset[] = {
        "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out", "modules_to_save", "rank_pattern",
        "alpha_pattern", "layer_replication", "target_parameters", "trainable_token_indices",
        "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config", "velora_config",
    };
    for (size_t i = 0; i < AC_COUNTOF(must_be_unset); i++)
        if (!says_nothing(ac_json_get(root, must_be_unset[i]))) return refuse(where, must_be_unset[i], err);
    const ac_json *bias = ac_json_get(root, "bias");
    if (!says_nothing(bias) && !(bias->type == AC_JSON_STRING && ac_view_eq_str(bias->text, "none")))
        return refuse(where, "bias", err);
    /* These change the base's weights when they start, so their A and B fit no plain base. */
    const ac_json *init = ac_json_get(root, "init_lora_weights");
    if (init && init->type == AC_JSON_STRING && !ac_view_eq_str(init->text, "gaussian") &&
        !ac_view_eq_str(init->text, "eva") && !ac_view_eq_str(init->text, "orthogonal"))
        return refuse(where, "init_lora_weights", err);
    return AC_OK;
}

static ac_status read_rank_alpha(const ac_json *root, const char *where, ac_lora_spec *s, ac_err *err)
{
    int64_t rank = 0;
    if (!ac_json_get(root, "r") || !ac_json_as_i64(ac_json_get(root, "r"), &rank) || rank < 1 || rank > 1024)
        return ac_fail(err, AC_EFORMAT, "%s: \"r\" must be a whole number from 1 to 1024", where);
    const ac_json *alpha = ac_json_get(root, "lora_alpha");
    if (!alpha || alpha->type != AC_JSON_NUMBER || !(alpha->number > 0.0 && alpha->number <= 1e9))
        return ac_fail(err, AC_EFORMAT, "%s: \"lora_alpha\" must be a number above 0", where);
    s->rank = (uint32_t)rank;
    s->alpha = alpha->number;
    const ac_json *rs = ac_json_get(root, "use_rslora");
    if (rs && rs->type != AC_JSON_BOOL && rs->type != AC_JSON_NULL)
        return ac_fail(err, AC_EFORMAT, "%s: \"use_rslora\" must be true or false", where);
    s->rslora = rs && rs->boolean;
    const ac_json *dora = ac_json_get(root, "use_dora");
    if (dora && dora->type != AC_JSON_BOOL && dora->type != AC_JSON_NULL)
        return ac_fail(err, AC_EFORMAT, "%s: \"use_dora\" must be true or false", where);
    s->tune = dora && dora->boolean ? AC_TUNE_DORA : AC_TUNE_LORA;
    return AC_OK;
}

/* What the configuration says of target_modules must be modules that can be adapted here; which ones really
 * are is read from the tensors (the setting may also be a pattern). */
static ac_status check_targets(const ac_json *root, const char *where, ac_err *err)
{
    const ac_json *list = ac_json_get(root, "target_modules");
    if (!list || list->type != AC_JSON_ARRAY) return AC_OK;
    for (const ac_json *v = list->child; v; v = v->next) {
        ac_target t;
        size_t dot = 0;
        if (v->type == AC_JSON_STRING)
            for (size_t i = 0; i < v->text.len; i++)
                if (v->text.ptr[i] == '.') dot = i + 1;
        if (v->type != AC_JSON_STRING || !ac_target_parse(ac_view_slice(v->text, dot, v->text.len), &t))
            return ac_fail(err, AC_EFORMAT, "%s: target module \"" AC_VIEW_FMT "\" is not supported; expected some of "
                           "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj", where,
                           AC_VIEW_ARG(v->text));
    }
    return AC_OK;
}

static ac_status read_config(const char *path, ac_lora_spec *s, ac_err *err)
{
    ac_arena arena = { .max_bytes = 64u << 20 };
    const ac_json *root = NULL;
    const ac_json_limits limits = { .max_bytes = 4u << 20, .max_values = 100000 };
    ac_status st = ac_json_parse_file(&root, path, &arena, &limits, err);
    const ac_json *type = st ? NULL : ac_json_get(root, "peft_type");
    if (!st && type && (type->type != AC_JSON_STRING || !ac_view_eq_str(type->text, "LORA")))
        st = ac_fail(err, AC_EFORMAT, "%s: peft_type \"" AC_VIEW_FMT "\" is not supported; expected \"LORA\"", path,
                     AC_VIEW_ARG(type->text));
    if (!st && !type && ac_json_get(root, "fine_tune_type"))
        st = ac_fail(err, AC_EFORMAT, "%s: this is an adapter of mlx; convert it to PEFT's layout first", path);
    if (!st) st = refuse_variants(root, path, err);
    if (!st) st = read_rank_alpha(root, path, s, err);
    if (!st) st = check_targets(root, path, err);
    ac_arena_release(&arena);
    return st;
}

/* ---- reading: the tensors --------------------------------------------------------------------------------- */

typedef struct {
    size_t layer;
    ac_target target;
} slot;

static bool eat(ac_view *v, const char *text)
{
    const ac_view t = ac_view_of(text);
    if (!ac_view_starts(*v, t)) return false;
    *v = ac_view_slice(*v, t.len, v->len);
    return true;
}

/* base_model.model.model.layers.<i>.<block>.<module>.<one of the first n part_names> */
static bool parse_name(ac_view name, size_t n_parts, slot *out)
{
    ac_view v = name;
    uint64_t layer = 0;
    if (!eat(&v, "base_model.model.model.layers.")) return false;
    const size_t dot = ac_view_find(v, AC_VIEW("."), 0);
    if (dot == SIZE_MAX || dot > 9 || !ac_parse_u64(ac_view_slice(v, 0, dot), &layer)) return false;
    v = ac_view_slice(v, dot + 1, v.len);
    for (size_t t = 0; t < AC_TARGET_COUNT; t++) {
        ac_view rest = v;
        if (!eat(&rest, block_of((ac_target)t)) || !eat(&rest, ".") ||
            !eat(&rest, ac_target_name((ac_target)t)))
            continue;
        *out = (slot){ (size_t)layer, (ac_target)t };
        for (size_t i = 0; i < n_parts; i++)
            if (ac_view_starts(rest, AC_VIEW(".")) && ac_view_eq_str(ac_view_slice(rest, 1, rest.len), part_names[i]))
                return true;
        return false;
    }
    return false;
}

/* The set of layers and targets that the tensors cover must be a full grid over the last layers. */
static ac_status find_grid(const ac_tensors *t, const ac_model *m, const char *path, ac_lora_spec *s,
                           ac_err *err)
{
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < ac_tensors_count(t); i++) {
        const ac_tensor *x = ac_tensors_at(t, i);
        slot at;
        if (!parse_name(x->name, s->tune == AC_TUNE_DORA ? 3 : 2, &at))
            return ac_fail(err, AC_EFORMAT, "%s: the tensor " AC_VIEW_FMT " is not a LoRA weight of a linear layer "
                           "that is supported and would be ignored", path, AC_VIEW_ARG(x->name));
        if (at.layer >= m->cfg.n_layers)
            return ac_fail(err, AC_EFORMAT, "%s: the tensor " AC_VIEW_FMT " is for layer %zu, but the model has %zu "
                           "layers; the adapter belongs to another base", path, AC_VIEW_ARG(x->name), at.layer,
                           m->cfg.n_layers);
        if (at.layer < first) first = at.layer;
        s->targets |= 1u << at.target;
    }
    if (first == SIZE_MAX) return ac_fail(err, AC_EFORMAT, "%s: the file holds no tensors", path);
    s->last_layers = first ? (uint32_t)(m->cfg.n_layers - first) : 0;
    return AC_OK;
}

static ac_status load_tensor(const ac_tensors *t, const char *path, const ac_tensor_out *want, float *to,
                             const ac_kernels *k, ac_err *err)
{
    const ac_tensor *x = ac_tensors_find(t, want->name);
    if (!x)
        return ac_fail(err, AC_EFORMAT, "%s: the tensor %s is missing; the adapter must cover the same modules in "
                       "every layer from its first to the model's last", path, want->name);
    if (want->n_dims == 1 && (x->n_dims != 1 || x->dim[0] != want->dim[0]))
        return ac_fail(err, AC_EFORMAT, "%s: %s must be a vector of %zu magnitudes; the base model differs", path,
                       want->name, want->dim[0]);
    if (want->n_dims == 2 && (x->n_dims != 2 || x->dim[0] != want->dim[0] || x->dim[1] != want->dim[1]))
        return ac_fail(err, AC_EFORMAT, "%s: %s is %zu x %zu, expected %zu x %zu%s", path, want->name, x->dim[0],
                       x->dim[1], want->dim[0], want->dim[1],
                       x->n_dims == 2 && x->dim[0] == want->dim[1] && x->dim[1] == want->dim[0]
                       ? "; it is stored transposed" : "; rank or base model differ");
    if (x->type != AC_F32 && x->type != AC_F16 && x->type != AC_BF16)
        return ac_fail(err, AC_EFORMAT, "%s: %s is stored as %s; expected F32, F16 or BF16", path, want->name,
                       ac_dtype_name(x->type));
    const size_t n = x->dim[0] * (x->n_dims == 2 ? x->dim[1] : 1);
    k->expand_row(to, x->data, x->type, n);
    if (!k->all_finite(to, n))
        return ac_fail(err, AC_EFORMAT, "%s: %s holds values that are not finite", path, want->name);
    return AC_OK;
}

static ac_status load_tensors(ac_adapter *a, const ac_tensors *t, const char *path, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_tensor_out *want = NULL;
    ac_kernels k;
    ac_status st = ac_kernels_init(&k, AC_CPU_REF, err);
    if (!st) st = list_tensors(a, &arena, &want, err);
    for (size_t i = 0; !st && i < a->n_tensors; i++)
        st = load_tensor(t, path, &want[i], a->params + a->tensor[i].at, &k, err);
    ac_adapter_changed(a);
    ac_arena_release(&arena);
    return st;
}

ac_status ac_adapter_load(ac_adapter **out, const ac_model *m, const char *dir, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_lora_spec spec = { 0 };
    ac_tensors *t = NULL;
    ac_adapter *a = NULL;
    const char *json = ac_path_join(&arena, dir, config_name);
    const char *weights = ac_path_join(&arena, dir, weights_name);
    ac_status st = json && weights ? AC_OK : ac_fail_nomem(err, strlen(dir));
    if (!st && !ac_path_exists(json) && ac_full_is_folder(dir)) {
        ac_arena_release(&arena);
        return ac_full_load(out, m, dir, err);
    }
    if (!st) st = read_config(json, &spec, err);
    if (!st) st = ac_safetensors_open(&t, weights, err);
    if (!st) st = find_grid(t, m, weights, &spec, err);
    if (!st) st = ac_adapter_open(&a, m, &spec, err);
    if (!st) st = load_tensors(a, t, weights, err);
    ac_tensors_close(&t);
    ac_arena_release(&arena);
    if (st) ac_adapter_close(&a);
    else *out = a;
    return st;
}
