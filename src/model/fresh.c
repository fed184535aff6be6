/* model/fresh.c - a model from nothing but its configuration: weights drawn at random (docs/numerics.md, M.17). */
#include <math.h>
#include <string.h>
#include "base/file.h"
#include "base/rng.h"
#include "model/model_int.h"

enum { CONFIG_MAX = 1 << 20 };

/* Tensors' draws start here among the steps of AC_RNG_INIT: under it are the adapters' modules. */
#define FIRST_STEP ((uint64_t)1 << 32)

/* Box and Muller: elements 2k and 2k + 1 are one pair. */
static void draw_normal(float *to, size_t n, double deviation, uint64_t seed, uint64_t step)
{
    const double two_pi = 6.283185307179586476925286766559, unit = 1.0 / 4294967296.0;
    for (size_t k = 0; 2 * k < n; k++) {
        const double u = ((double)ac_rng_u32(seed, AC_RNG_INIT, step, 2 * k) + 1.0) * unit;
        const double angle = two_pi * ((double)ac_rng_u32(seed, AC_RNG_INIT, step, 2 * k + 1) * unit);
        const double r = deviation * sqrt(-2.0 * ac_log_f64(u));
        float s, c;
        ac_sincos(angle, &s, &c);
        to[2 * k] = (float)(r * (double)c);
        if (2 * k + 1 < n) to[2 * k + 1] = (float)(r * (double)s);
    }
}

static void fill(ac_adapter *a, double deviation, uint64_t seed)
{
    const ac_fp_state fp = ac_fp_enter();
    for (size_t i = 0; i < a->n_tensors; i++) {
        const ac_param *p = &a->tensor[i];
        float *to = a->params + p->at;
        const size_t n = p->rows * p->cols;
        if (p->kind != AC_PARAM_VECTOR) {
            draw_normal(to, n, deviation, seed, FIRST_STEP + i);
            continue;
        }
        const float value = ac_view_ends(ac_view_of(a->name[i]), AC_VIEW(".bias")) ? 0.0f : 1.0f;
        for (size_t k = 0; k < n; k++) to[k] = value;
    }
    ac_fp_leave(fp);
}

static ac_status read_config(ac_model_config *c, double *deviation, const char *path, ac_arena *arena, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = CONFIG_MAX, .max_values = 100000 };
    const ac_family *family = NULL;
    const ac_json *root = NULL;
    ac_status st = ac_json_parse_file(&root, path, arena, &limits, err);
    if (!st) st = ac_config_from_hf(c, &family, root, path, err);
    if (!st) st = ac_config_check(c, path, err);
    const ac_json *range = st ? NULL : ac_json_get(root, "initializer_range");
    *deviation = 0.02;
    if (st || !range || range->type == AC_JSON_NULL) return st;
    if (range->type != AC_JSON_NUMBER || !(range->number > 0.0 && range->number <= 1.0))
        return ac_fail(err, AC_EFORMAT, "%s: \"initializer_range\" must be a number over 0 and at most 1", path);
    *deviation = range->number;
    return AC_OK;
}

ac_status ac_model_new(const char *dir, const char *config, const char *tokenizer, uint64_t seed, uint64_t *n_params,
                       ac_err *err)
{
    ac_arena arena = { 0 };
    ac_model_config c = { 0 };
    double deviation = 0.0;
    ac_adapter *a = NULL;
    if (ac_path_exists(dir)) return ac_fail(err, AC_ECREATE, "%s: exists already; name a new folder", dir);
    ac_status st = read_config(&c, &deviation, config, &arena, err);
    if (!st) st = ac_full_blank(&a, &c, err);
    if (!st) {
        fill(a, deviation, seed);
        *n_params = a->n_params;
        st = ac_full_save(a, dir, err);
    }
    if (!st) st = ac_full_describe(dir, config, tokenizer, err);
    if (st) (void)ac_remove_tree(dir, NULL);
    ac_adapter_close(&a);
    ac_arena_release(&arena);
    return st;
}
