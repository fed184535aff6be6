/* train/schedule.c - ranges of the options, learning rate, and the fingerprint of what steers a run. */
#include <math.h>

#include "formats/json.h"
#include "train/train_int.h"

#define STEPS_MAX ((uint64_t)1 << 40)    /* far over any run, far under where a double loses integers */
#define PI        3.14159265358979323846

typedef struct {
    const char *name, *range;
    bool ok;
} rule;

static bool within(double v, double low, double high)
{
    return v >= low && v <= high;                       /* false for NaN */
}

ac_status ac_train_opts_check(const ac_train_opts *o, ac_err *err)
{
    const rule rules[] = {
        { "lr", "above 0, at most 10", o->lr > 0 && o->lr <= 10 },
        { "min_lr_ratio", "from 0 to 1", within(o->min_lr_ratio, 0, 1) },
        { "warmup_ratio", "from 0 to 1", within(o->warmup_ratio, 0, 1) },
        { "warmup_steps", "at most 2^40", o->warmup_steps <= STEPS_MAX },
        { "schedule", "cosine, linear or constant", (unsigned)o->schedule <= AC_SCHED_CONSTANT },
        { "dropout", "0 where all weights are trained", o->lora.tune != AC_TUNE_FULL || !(o->dropout > 0) },
        { "dropout", "from 0 to under 1", o->dropout >= 0 && o->dropout < 1 },
        { "beta1", "from 0 to under 1", o->beta1 >= 0 && o->beta1 < 1 },
        { "beta2", "from 0 to under 1", o->beta2 >= 0 && o->beta2 < 1 },
        { "eps", "from 1e-30 to 1", within(o->eps, 1e-30, 1) },
        { "weight_decay", "from 0 to 10", within(o->weight_decay, 0, 10) },
        { "optimizer", "adamw, sgd, lion, adafactor or muon", (unsigned)o->optimizer <= AC_OPTIM_MUON },
        { "numerics", "fp32, bf16 or cuda-bf16", (unsigned)o->numerics <= AC_NUM_CUDA_BF16 },
        { "optimizer_state", "fp32, bf16 or int8", (unsigned)o->optimizer_state <= AC_STATE_INT8 },
        { "optimizer_state", "fp32: these optimizer options leave no moment to store otherwise",
          o->optimizer_state == AC_STATE_F32
              || (o->optimizer != AC_OPTIM_ADAFACTOR && (o->optimizer != AC_OPTIM_SGD || o->momentum > 0)) },
        { "momentum", "from 0 to under 1", o->momentum >= 0 && o->momentum < 1 },
        { "clip", "0 (none) or above, at most 1e15", within(o->clip, 0, 1e15) },
        { "epochs", "at least 1 (or max_steps at least 1)", o->epochs >= 1 || o->max_steps >= 1 },
        { "epochs", "at most 2^40", o->epochs <= STEPS_MAX },
        { "max_steps", "at most 2^40", o->max_steps <= STEPS_MAX },
        { "batch_rows", "from 1 to 1048576", o->batch_rows >= 1 && o->batch_rows <= 1u << 20 },
        { "shards", "1, 2, 4, 8, 16, 32 or 64", o->shards >= 1 && o->shards <= AC_SHARDS_MAX && (o->shards & (o->shards - 1)) == 0 },
        { "micro_batch", "at least 1 (or micro_tokens at least 1)", o->micro_batch >= 1 || o->micro_tokens >= 1 },
        { "pack_len", "at least 1", !o->packing || o->pack_len >= 1 },
        { "keep_checkpoints", "at least 1", o->keep_checkpoints >= 1 },
    };
    for (size_t i = 0; i < AC_COUNTOF(rules); i++) {
        if (!rules[i].ok) {
            return ac_fail(err, AC_EARG, "training option %s is out of range; expected %s; correct it",
                           rules[i].name, rules[i].range);
        }
    }
    return AC_OK;
}

uint64_t ac_train_steps_per_epoch(const ac_train_opts *o, size_t n_rows)
{
    return ((uint64_t)n_rows + o->batch_rows - 1) / o->batch_rows;
}

uint64_t ac_train_total_steps(const ac_train_opts *o, size_t n_rows)
{
    if (o->max_steps) return o->max_steps;
    const uint64_t each = ac_train_steps_per_epoch(o, n_rows);
    return each && o->epochs > STEPS_MAX / each ? STEPS_MAX : each * o->epochs;
}

uint64_t ac_train_warmup_steps(const ac_train_opts *o, uint64_t total)
{
    if (o->warmup_steps) return o->warmup_steps;
    const double w = (double)total * o->warmup_ratio;
    const uint64_t whole = (uint64_t)w;
    return (double)whole < w ? whole + 1 : whole;       /* ceil, as transformers does */
}

double ac_lr_at(const ac_train_opts *o, uint64_t step, uint64_t total_steps)
{
    const uint64_t done = step ? step - 1 : 0;          /* optimizer steps before this one */
    const uint64_t warmup = ac_train_warmup_steps(o, total_steps);
    if (done < warmup) return o->lr * ((double)done / (double)warmup);
    if (o->schedule == AC_SCHED_CONSTANT) return o->lr;
    const uint64_t span = total_steps > warmup ? total_steps - warmup : 1;
    double progress = (double)(done - warmup) / (double)span;
    if (progress > 1) progress = 1;
    double factor = o->schedule == AC_SCHED_LINEAR ? 1.0 - progress : 0.5 * (1.0 + ac_cos_f64(PI * progress));
    if (factor < 0) factor = 0;
    return o->lr * (o->min_lr_ratio + (1.0 - o->min_lr_ratio) * factor);
}

double ac_pow_int(double base, uint64_t n)
{
    double result = 1, square = base;
    for (; n; n >>= 1) {
        if (n & 1) result *= square;
        square *= square;
    }
    return result;
}

static void hash_rows(ac_sha256 *out, const ac_dataset *d)
{
    ac_sha256_state s;
    ac_sha256_init(&s);
    for (size_t i = 0; d && i < d->n; i++) {
        const ac_sample *r = &d->sample[i];
        uint8_t head[8];
        for (unsigned k = 0; k < 8; k++) head[k] = (uint8_t)((uint64_t)r->n >> (8 * k));
        ac_sha256_add(&s, head, sizeof head);
        for (size_t k = 0; k < r->n; k++) {
            const uint32_t id = (uint32_t)r->ids[k];
            const uint8_t b[5] = { (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24),
                                   r->target[k] };
            ac_sha256_add(&s, b, sizeof b);
        }
    }
    ac_sha256_done(&s, out);
}

static void put_hash(ac_jw *w, const char *key, const ac_sha256 *h)
{
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, h);
    ac_jw_cstr(w, key, hex);
}

static void put_options(ac_jw *w, const ac_train_opts *o)
{
    ac_jw_cstr(w, "numerics", ac_numerics_name(o->numerics));
    if (o->lora.tune == AC_TUNE_FULL) ac_jw_cstr(w, "tune", "full");
    if (o->lora.tune == AC_TUNE_DORA) ac_jw_cstr(w, "tune", "dora");
    ac_jw_u64(w, "rank", o->lora.rank);
    ac_jw_f64(w, "alpha", o->lora.alpha);
    ac_jw_bool(w, "rslora", o->lora.rslora);
    ac_jw_u64(w, "targets", o->lora.targets);
    ac_jw_u64(w, "last_layers", o->lora.last_layers);
    ac_jw_f64(w, "dropout", o->dropout);
    ac_jw_f64(w, "lr", o->lr);
    ac_jw_f64(w, "min_lr_ratio", o->min_lr_ratio);
    ac_jw_f64(w, "warmup_ratio", o->warmup_ratio);
    ac_jw_u64(w, "warmup_steps", o->warmup_steps);
    ac_jw_u64(w, "schedule", (uint64_t)o->schedule);
    ac_jw_f64(w, "beta1", o->beta1);
    ac_jw_f64(w, "beta2", o->beta2);
    ac_jw_f64(w, "eps", o->eps);
    ac_jw_f64(w, "weight_decay", o->weight_decay);
    if (o->optimizer != AC_OPTIM_ADAMW || o->optimizer_state != AC_STATE_F32) {   /* else as before there was a choice */
        ac_jw_cstr(w, "optimizer", ac_optim_name(o->optimizer));
        ac_jw_cstr(w, "optimizer_state", ac_state_name(o->optimizer_state));
        ac_jw_f64(w, "momentum", o->momentum);
    }
    ac_jw_f64(w, "clip", o->clip);
    ac_jw_u64(w, "epochs", o->max_steps ? 0 : o->epochs);
    ac_jw_u64(w, "max_steps", o->max_steps);
    ac_jw_u64(w, "batch_rows", o->batch_rows);
    if (o->shards > 1) ac_jw_u64(w, "shards", o->shards);
    ac_jw_bool(w, "packing", o->packing);
    ac_jw_u64(w, "pack_len", o->packing ? o->pack_len : 0);
    ac_jw_u64(w, "seed", o->seed);
    ac_jw_u64(w, "eval_every", o->eval_every);
    ac_jw_u64(w, "patience", o->patience);
}

ac_status ac_train_fingerprint(ac_sha256 *out, const ac_train_opts *o, const ac_dataset *train,
                               const ac_dataset *valid, ac_err *err)
{
    ac_sha256 rows;
    ac_str text = { 0 };
    ac_jw w;
    ac_jw_init(&w, &text, false);
    ac_jw_object(&w, NULL);
    put_options(&w, o);
    hash_rows(&rows, train);
    put_hash(&w, "train", &rows);
    hash_rows(&rows, valid);
    put_hash(&w, "valid", &rows);
    ac_jw_end_object(&w);
    const bool ok = ac_str_ok(&text);
    if (ok) *out = ac_sha256_of(text.ptr, text.len);
    ac_str_release(&text);
    return ok ? AC_OK : ac_fail_nomem(err, 4096);
}
