/* model/adapter.c - the adapter's parameters: which modules, where they lie, how they start. */
#include "model/adapter.h"

#include <math.h>
#include <string.h>
#include "base/rng.h"
#include "base/size.h"
#include "model/model_int.h"

static const char *const target_names[AC_TARGET_COUNT] = {
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
};

const char *ac_target_name(ac_target t)
{
    return (unsigned)t < AC_TARGET_COUNT ? target_names[t] : "unknown";
}

bool ac_target_parse(ac_view name, ac_target *out)
{
    for (size_t t = 0; t < AC_TARGET_COUNT; t++) {
        const ac_view full = ac_view_of(target_names[t]);
        const ac_view brief = ac_view_slice(full, 0, full.len - 5);      /* without "_proj" */
        if (!ac_view_eq(name, full) && !ac_view_eq(name, brief)) continue;
        *out = (ac_target)t;
        return true;
    }
    return false;
}

static ac_status check_spec(const ac_model *m, const ac_lora_spec *s, ac_err *err)
{
    if (s->rank < 1 || s->rank > 1024)
        return ac_fail(err, AC_EARG, "adapter rank %u is out of range; expected 1 to 1024", (unsigned)s->rank);
    if (!(s->alpha > 0.0 && s->alpha <= 1e9))
        return ac_fail(err, AC_EARG, "adapter alpha %g is out of range; expected a number above 0", s->alpha);
    if (s->targets == 0 || s->targets >> AC_TARGET_COUNT)
        return ac_fail(err, AC_EARG, "the adapter names no module to adapt; expected some of q_proj, k_proj, "
                       "v_proj, o_proj, gate_proj, up_proj, down_proj");
    if (s->last_layers > m->cfg.n_layers)
        return ac_fail(err, AC_ECONTRACT, "the adapter wants the last %u layers, but the model has %zu; lower "
                       "method.last_layers, or leave it out to adapt all", (unsigned)s->last_layers, m->cfg.n_layers);
    return AC_OK;
}

/* Fills module[] (when it is there) and counts modules, parameters and outputs. */
static bool lay_out(const ac_model *m, const ac_lora_spec *s, ac_lora_module *module, size_t *n_modules,
                    size_t *n_params, size_t *n_out)
{
    const size_t first = s->last_layers ? m->cfg.n_layers - s->last_layers : 0;
    *n_modules = *n_params = *n_out = 0;
    for (size_t i = first; i < m->cfg.n_layers; i++)
        for (size_t t = 0; t < AC_TARGET_COUNT; t++) {
            if (!(s->targets >> t & 1)) continue;
            const ac_matrix *w = &m->layer[i].w[t];
            ac_lora_module mod = { .layer = (uint32_t)i, .target = (ac_target)t, .in = w->cols,
                                   .out = w->rows, .a_at = *n_params };
            size_t a = 0, b = 0;
            mod.norm_at = *n_out;
            *n_out += w->rows;
            if (!ac_size_mul(&a, s->rank, w->cols) || !ac_size_mul(&b, s->rank, w->rows) ||
                !ac_size_add(&mod.b_at, mod.a_at, a) || !ac_size_add(&mod.m_at, mod.b_at, b) ||
                !ac_size_add(n_params, mod.m_at, s->tune == AC_TUNE_DORA ? w->rows : 0))
                return false;
            if (module) module[*n_modules] = mod;
            ++*n_modules;
        }
    return true;
}

static void list_tensors(ac_adapter *a)
{
    const size_t rank = a->spec.rank;
    ac_param *t = a->tensor;
    for (size_t i = 0; i < a->n_modules; i++) {
        const ac_lora_module *m = &a->module[i];
        *t++ = (ac_param){ m->a_at, rank, m->in, AC_PARAM_MATRIX, true };
        *t++ = (ac_param){ m->b_at, m->out, rank, AC_PARAM_MATRIX, false };
        if (a->dora) *t++ = (ac_param){ m->m_at, 1, m->out, AC_PARAM_VECTOR, false };
    }
}

static ac_status outline_modules(ac_adapter *a, const ac_model *m, const ac_lora_spec *spec, ac_err *err)
{
    const double r = (double)spec->rank;
    const bool dora = spec->tune == AC_TUNE_DORA;
    size_t n_out = 0;
    a->spec = *spec;
    a->scale = (float)(spec->alpha / (spec->rslora ? sqrt(r) : r));
    if (lay_out(m, spec, NULL, &a->n_modules, &a->n_params, &n_out)) {
        a->module = ac_calloc(a->n_modules, sizeof *a->module);
        a->n_tensors = (dora ? 3 : 2) * a->n_modules;
        a->tensor = ac_calloc(a->n_tensors, sizeof *a->tensor);
        if (dora) a->dora = ac_dora_new(n_out);
    }
    if (!a->module || !a->tensor || (dora && !a->dora)) return ac_fail_nomem(err, a->n_params * sizeof(float));
    lay_out(m, spec, a->module, &a->n_modules, &a->n_params, &n_out);
    list_tensors(a);
    return AC_OK;
}

ac_status ac_adapter_outline(ac_adapter **out, const ac_model *m, const ac_lora_spec *spec, ac_err *err)
{
    const bool full = spec->tune == AC_TUNE_FULL;
    ac_status st = full ? AC_OK : check_spec(m, spec, err);
    if (st) return st;
    ac_adapter *a = ac_calloc(1, sizeof *a);
    if (!a) return ac_fail_nomem(err, sizeof *a);
    a->spec.tune = spec->tune;
    st = full ? ac_full_outline(a, &m->cfg, err) : outline_modules(a, m, spec, err);
    if (st) ac_adapter_close(&a);
    else *out = a;
    return st;
}

ac_status ac_adapter_open(ac_adapter **out, const ac_model *m, const ac_lora_spec *spec, ac_err *err)
{
    ac_adapter *a = NULL;
    ac_status st = ac_adapter_outline(&a, m, spec, err);
    if (st) return st;
    a->params = ac_calloc(a->n_params, sizeof *a->params);
    if (!a->params) st = ac_fail_nomem(err, (unsigned long long)a->n_params * sizeof *a->params);
    if (!st && spec->tune == AC_TUNE_FULL) st = ac_full_start(a, m, err);
    if (!st && a->dora) st = ac_dora_start(a, m, err);
    if (st) ac_adapter_close(&a);
    else *out = a;
    return st;
}

void ac_adapter_close(ac_adapter **a)
{
    if (!a || !*a) return;
    ac_free((*a)->module);
    ac_free((*a)->tensor);
    ac_free((*a)->name);
    ac_free((*a)->params);
    ac_dora_free((*a)->dora);
    ac_free(*a);
    *a = NULL;
}

/* Draws are keyed by the module's own number, so that a module starts the same whatever else is adapted. */
void ac_adapter_init(ac_adapter *a, uint64_t seed)
{
    for (size_t i = 0; i < a->n_modules; i++) {
        const ac_lora_module *mod = &a->module[i];
        const size_t n_a = a->spec.rank * mod->in, n_b = a->spec.rank * mod->out;
        const float bound = (float)(1.0 / sqrt((double)mod->in));
        const uint64_t number = (uint64_t)mod->layer * AC_TARGET_COUNT + (uint64_t)mod->target;
        for (size_t k = 0; k < n_a; k++) {
            const float u = ac_rng_unit(seed, AC_RNG_INIT, number, k);
            a->params[mod->a_at + k] = (2.0f * u - 1.0f) * bound;
        }
        memset(a->params + mod->b_at, 0, n_b * sizeof(float));
    }
    ac_adapter_changed(a);
}

void ac_adapter_changed(ac_adapter *a)
{
    if (a->dora) a->dora->known = false;
}

const ac_lora_module *ac_adapter_find(const ac_adapter *a, size_t layer, ac_target t)
{
    if (!(a->spec.targets >> t & 1) || a->n_modules == 0 || layer < a->module[0].layer) return NULL;
    /* Modules are dense: layers from the first adapted one on, each with the same targets. */
    size_t per_layer = 0, before = 0;
    for (size_t i = 0; i < AC_TARGET_COUNT; i++) {
        per_layer += a->spec.targets >> i & 1;
        before += i < (size_t)t ? a->spec.targets >> i & 1 : 0;
    }
    const size_t at = (layer - a->module[0].layer) * per_layer + before;
    return at < a->n_modules ? &a->module[at] : NULL;
}

size_t ac_adapter_first_layer(const ac_adapter *a, size_t n_layers)
{
    if (a && a->spec.tune == AC_TUNE_FULL) return 0;
    return a && a->n_modules ? a->module[0].layer : n_layers - 1;
}

const char *ac_adapter_file(const ac_adapter *a)
{
    return a->spec.tune == AC_TUNE_FULL ? "model.safetensors" : "adapter_model.safetensors";
}
