/* Every key of accord.yaml: type, default, range and help. Template, docs, messages and lock come from here. */
#include "contract/schema_int.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BIG 1e15
#define KEY(sec, key, ty, field, def, lo, hi, text) \
    { .section = sec, .name = key, .type = ty, .at = offsetof(ac_contract_values, field), .preset = def, \
      .min = lo, .max = hi, .help = text }
#define STR(sec, key, field, def, text) KEY(sec, key, AC_KEY_STR, field, def, 0, 0, text)
#define INT(sec, key, field, def, lo, hi, text) KEY(sec, key, AC_KEY_INT, field, def, lo, hi, text)
#define F64(sec, key, field, def, lo, hi, text) KEY(sec, key, AC_KEY_F64, field, def, lo, hi, text)
#define BOOL(sec, key, field, def, text) KEY(sec, key, AC_KEY_BOOL, field, def, 0, 0, text)
#define ENUM(sec, key, field, def, list, text) \
    { .section = sec, .name = key, .type = AC_KEY_ENUM, .at = offsetof(ac_contract_values, field), .preset = def, \
      .choices = list, .help = text }
#define NEEDED(sec, key, field, text) \
    { .section = sec, .name = key, .type = AC_KEY_STR, .at = offsetof(ac_contract_values, field), .required = true, \
      .help = text }

const ac_section ac_sections[] = {
    { "base", "the model that is adapted" },
    { "data", "what it learns from" },
    { "eval", "how it is judged; sealed before training" },
    { "method", "how it is trained" },
    { "triage", "when tuning is worth it; thresholds of accord triage, each with its default for a reason" },
    { "memory", "what a run may take of the machine; changes no bit" },
    { "guard", "when a run makes room for others: see docs/guard.md; changes no bit" },
    { "cost", "what computing costs here: see docs/cost.md" },
    { "integration", "what must pass before a run is promoted" },
};
const size_t ac_n_sections = AC_COUNTOF(ac_sections);

const ac_key ac_keys[] = {
    NEEDED("base", "model", base_model, "a GGUF file, a Hugging Face folder, or a name from `accord model pull`"),
    STR("base", "chat_format", chat_format, NULL, "recognised from the model's template unless given here"),
    STR("base", "system", system, NULL, "system turn for cases that have none"),

    NEEDED("data", "train", train, "training rows, JSON lines"),
    STR("data", "valid", valid, NULL, "validation rows; without them the last adapter is kept, not the best"),
    STR("data", "secret_rules", secret_rules, NULL, "gitleaks rules (TOML) by which secrets are found, instead of the built-in"),
    ENUM("data", "mask", mask, "assistant", "assistant|last|none",
         "which tokens are learnt: all assistant turns, the last one, or all text"),
    INT("data", "max_len", max_len, "2048", 2, 1048576, "longest row in tokens"),
    ENUM("data", "on_long", on_long, "refuse", "refuse|truncate|drop", "what to do with a longer row"),

    NEEDED("eval", "cases", cases, "evaluation cases, JSON lines"),
    STR("eval", "docs", docs, NULL, "folder with documents for the rag arms; without it there are none"),
    STR("eval", "database", database, NULL, "SQLite file on which sql-equal runs queries"),
    STR("eval", "refusal", refusal, NULL, "the sentence that counts as a refusal where a case gives none"),
    INT("eval", "max_tokens", max_tokens, "256", 1, 65536, "longest answer in tokens"),
    INT("eval", "rag_top", rag_top, "5", 1, 50, "passages a question"),
    INT("eval", "rag_chunk_tokens", rag_chunk_tokens, "300", 20, 4096, "size of a passage in tokens"),
    INT("eval", "rag_overlap_tokens", rag_overlap_tokens, "40", 0, 2048, "tokens that neighbouring passages share"),
    BOOL("eval", "rag_dense", rag_dense, "false",
         "rank passages by the base model's states too, and join both lists by reciprocal rank"),
    F64("eval", "margin", margin, "10", 0, 100, "net gain, in points of 100, that a WIN needs"),
    INT("eval", "guard_success", guard_success, "3", 0, 100000, "success cases that tuned may lose and still win"),
    INT("eval", "guard_refusal", guard_refusal, "0", 0, 100000, "refusal cases that tuned may lose and still win"),
    INT("eval", "guard_edge", guard_edge, "2", 0, 100000, "edge cases that tuned may lose and still win"),

    ENUM("method", "tune", tune, "lora", "lora|full|dora",
         "what is trained: a LoRA adapter, all weights, or a LoRA adapter with a magnitude for each output"),
    INT("method", "rank", rank, "16", 1, 1024, "rank of the LoRA adapter"),
    F64("method", "alpha", alpha, "32", 1e-6, 1e6, "its scale is alpha / rank"),
    BOOL("method", "rslora", rslora, "false", "scale alpha / sqrt(rank) instead"),
    F64("method", "dropout", dropout, "0", 0, 0.95, "dropout in front of the adapter"),
    KEY("method", "targets", AC_KEY_TARGETS, targets, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", 0, 0,
        "linear layers that get an adapter"),
    INT("method", "last_layers", last_layers, "0", 0, 100000, "adapt only so many last layers; 0: all"),
    F64("method", "lr", lr, "2e-4", 1e-9, 10, "peak learning rate"),
    ENUM("method", "schedule", schedule, "cosine", "cosine|linear|constant", "how it falls after the warm-up"),
    F64("method", "min_lr_ratio", min_lr_ratio, "0", 0, 1, "share of lr at the schedule's end"),
    F64("method", "warmup_ratio", warmup_ratio, "0.03", 0, 1, "share of all steps in which lr rises"),
    INT("method", "warmup_steps", warmup_steps, "0", 0, BIG, "the same in steps; instead of warmup_ratio"),
    ENUM("method", "optimizer", optimizer, "adamw", "adamw|sgd|lion|adafactor|muon", "how a step follows from its gradient"),
    ENUM("method", "optimizer_state", optimizer_state, "fp32", "fp32|bf16|int8",
         "how its moments are stored: 4, 2 or 1 bytes a value"),
    F64("method", "momentum", momentum, "0.9", 0, 0.999999, "decay of SGD's and Muon's momentum; 0.95 with muon"),
    F64("method", "beta1", beta1, "0.9", 0, 0.999999, "AdamW's and Lion's first decay"),
    F64("method", "beta2", beta2, "0.999", 0, 0.9999999, "AdamW's and Lion's second decay; 0.99 with lion"),
    F64("method", "eps", eps, "1e-8", 1e-15, 1, "AdamW's epsilon"),
    F64("method", "weight_decay", weight_decay, "0", 0, 10, "decoupled weight decay"),
    F64("method", "clip", clip, "1", 0, BIG, "largest gradient norm; 0: no clipping"),
    INT("method", "epochs", epochs, "1", 1, 10000, "times that every row is seen"),
    INT("method", "max_steps", max_steps, "0", 0, BIG, "stop after so many steps; instead of epochs; 0: epochs decide"),
    INT("method", "batch_rows", batch_rows, "8", 1, 65536, "rows a step"),
    INT("method", "shards", shards, "1", 1, 64,
        "parts of a step whose gradients are summed apart, then in a fixed tree: how many workers may share a run; a power of two"),
    INT("method", "micro_batch", micro_batch, "0", 0, 65536,
        "units computed at once at most; 0: as many as make 512 tokens; memory and speed only, changes no bit"),
    ENUM("method", "recompute", recompute, "auto", "auto|none|block",
         "block: keep only the layers' inputs and compute the rest again; auto: if memory is short; changes no bit"),
    BOOL("method", "packing", packing, "false", "put several rows into one unit; each still sees only itself"),
    INT("method", "pack_len", pack_len, "2048", 2, 1048576, "tokens a packed unit holds"),
    INT("method", "seed", seed, "0", 0, 9007199254740991.0, "of initialisation, order and dropout"),
    INT("method", "eval_every", eval_every, "0", 0, BIG, "steps between validations; 0: each epoch's end"),
    INT("method", "save_every", save_every, "0", 0, BIG, "steps between checkpoints; 0: each epoch's end"),
    INT("method", "keep_checkpoints", keep_checkpoints, "2", 1, 1000, "checkpoints kept"),
    INT("method", "patience", patience, "0", 0, 1e6, "validations without improvement before stopping; 0: never"),
    ENUM("method", "numerics", numerics, "fp32", "fp32|bf16|cuda-bf16",
         "arithmetic of training: see docs/numerics.md; bf16 rounds the factors of products to bfloat16, cuda-bf16 is a GPU's"),

    INT("triage", "trials", triage_trials, "1", 1, 1e6, "trainings that are planned in all"),
    F64("triage", "corpus_share", triage_corpus_share, "0.5", 0, 1,
        "share of case answers found in eval.docs from which retrieval fits better"),
    F64("triage", "churn_share", triage_churn_share, "0.2", 0, 1, "share of documents changed in churn_days, likewise"),
    INT("triage", "churn_days", triage_churn_days, "90", 1, 3650, "days that count as lately"),
    F64("triage", "version_share", triage_version_share, "0.2", 0, 1, "share of answers with versions or dates, likewise"),
    F64("triage", "format_share", triage_format_share, "0.8", 0, 1,
        "share of targets of one form from which a small tuning is worth trying"),
    F64("triage", "bar", triage_bar, "90", 0, 100, "points of 100 at which the base model, alone or with passages, is good enough"),
    INT("triage", "few_rows", triage_few_rows, "50", 0, 1e9, "fewer rows belong into a prompt"),
    INT("triage", "local_rows", triage_local_rows, "2000", 0, 1e9, "fewer rows than this are one local job"),
    INT("triage", "many_rows", triage_many_rows, "20000", 0, 1e9, "so many rows belong on a node"),
    INT("triage", "many_trials", triage_many_trials, "10", 1, 1e6, "so many trials belong on nodes"),
    F64("triage", "headroom_gib", triage_headroom_gib, "12", 0, 1e6,
        "memory kept for the system and its user; a quarter of it on machines under 32 GiB"),
    F64("triage", "local_hours", triage_local_hours, "6", 0, 1e6, "so many hours at full load: at night, or on a node"),
    INT("triage", "sweeps_a_week", triage_sweeps_a_week, "3", 0, 1e6, "more sweeps than this: on nodes"),
    STR("triage", "reason", triage_reason, NULL, "why a threshold differs from its default; needed then"),

    STR("memory", "budget", memory_budget, NULL, "the most that a run may take, like 8G; else what is free less the reserve"),
    STR("memory", "reserve", memory_reserve, NULL,
        "what stays free for the system and its user, like 4G; else 12G, or a quarter of the memory on machines under 32 GiB"),

    STR("guard", "window", guard_window, NULL, "hours in which a run computes, like 22:00-07:00; else all"),
    BOOL("guard", "battery", guard_battery, "false", "go on while the machine runs on its battery, down to 30 %"),
    BOOL("guard", "lid", guard_lid, "false", "go on while the lid is closed"),
    BOOL("guard", "polite", guard_polite, "true", "compute less while other programs need the processors and somebody is there"),
    BOOL("guard", "beside", guard_beside, "false", "keep the full size beside an inference server or a video export"),

    STR("cost", "currency", cost_currency, "USD", "in which the rates below are"),
    F64("cost", "machine_hour", cost_machine_hour, "0", 0, 1e9, "rent of this machine for an hour"),
    F64("cost", "machine_price", cost_machine_price, "0", 0, 1e12, "what this machine cost, where it is owned"),
    F64("cost", "machine_years", cost_machine_years, "3", 0.1, 100, "years over which that price is spread"),
    F64("cost", "machine_hours_a_year", cost_machine_hours_a_year, "2000", 1, 8784, "hours of use a year over which it is spread"),
    F64("cost", "kwh", cost_kwh, "0", 0, 1e6, "price of a kilowatt-hour"),
    F64("cost", "watts", cost_watts, "0", 0, 1e6, "what this machine draws at full load, where nothing measures it"),
    F64("cost", "node_hour", cost_node_hour, "0", 0, 1e9, "rent of a node for an hour"),
    F64("cost", "node_speed", cost_node_speed, "0", 0, 1e6, "how many times as fast as this machine the node trains"),
    STR("cost", "project", cost_project, NULL, "what runs are booked on; else the name of this folder"),
    STR("cost", "tags", cost_tags, NULL, "words that the bookings carry, with commas between"),

    STR("integration", "command", integration_command, NULL,
        "run by sh with ACCORD_ADAPTER and ACCORD_RUN set; exit code 0 passes"),
    INT("integration", "minutes", integration_minutes, "30", 1, 1440, "longest time that it may take"),
};
const size_t ac_n_keys = AC_COUNTOF(ac_keys);

size_t ac_key_find(ac_view section, ac_view name)
{
    size_t i = 0;
    while (i < ac_n_keys && !(ac_view_eq_str(section, ac_keys[i].section) && ac_view_eq_str(name, ac_keys[i].name))) i++;
    return i;
}

/* What other tools call the same thing: too far from our names for a spelling distance. */
static const struct { const char *theirs, *section, *name; } also_called[] = {
    { "base_model", "base", "model" }, { "model_name_or_path", "base", "model" }, { "chat_template", "base", "chat_format" },
    { "train_file", "data", "train" }, { "valid_file", "data", "valid" }, { "validation", "data", "valid" },
    { "max_seq_length", "data", "max_len" }, { "max_length", "data", "max_len" }, { "sequence_len", "data", "max_len" },
    { "mask_prompt", "data", "mask" }, { "max_new_tokens", "eval", "max_tokens" }, { "lora_r", "method", "rank" },
    { "r", "method", "rank" }, { "lora_rank", "method", "rank" }, { "lora_alpha", "method", "alpha" },
    { "lora_dropout", "method", "dropout" }, { "use_rslora", "method", "rslora" }, { "scale", "method", "alpha" },
    { "target_modules", "method", "targets" }, { "lora_target_modules", "method", "targets" },
    { "keys", "method", "targets" }, { "num_layers", "method", "last_layers" }, { "learning_rate", "method", "lr" },
    { "lr_scheduler", "method", "schedule" }, { "lr_scheduler_type", "method", "schedule" },
    { "lr_schedule", "method", "schedule" }, { "warmup", "method", "warmup_steps" }, { "adam_beta1", "method", "beta1" },
    { "adam_beta2", "method", "beta2" }, { "adam_epsilon", "method", "eps" },
    { "optim", "method", "optimizer" }, { "optimizer_type", "method", "optimizer" }, { "max_grad_norm", "method", "clip" },
    { "num_train_epochs", "method", "epochs" }, { "num_epochs", "method", "epochs" }, { "iters", "method", "max_steps" },
    { "batch_size", "method", "batch_rows" }, { "micro_batch_size", "method", "micro_batch" },
    { "per_device_train_batch_size", "method", "micro_batch" }, { "sample_packing", "method", "packing" },
    { "steps_per_eval", "method", "eval_every" }, { "eval_steps", "method", "eval_every" },
    { "save_steps", "method", "save_every" }, { "save_total_limit", "method", "keep_checkpoints" },
    { "early_stopping_patience", "method", "patience" }, { "random_seed", "method", "seed" },
};

const char *ac_key_near(ac_view section, ac_view name, char *buf, size_t size)
{
    unsigned best = 4;                     /* further away is no likely slip */
    const ac_key *near = NULL;
    for (size_t i = 0; i < AC_COUNTOF(also_called); i++) {
        if (!ac_view_eq_str(name, also_called[i].theirs)) continue;
        snprintf(buf, size, "%s.%s", also_called[i].section, also_called[i].name);
        return buf;
    }
    for (size_t i = 0; i < ac_n_keys; i++) {
        const size_t most = name.len < strlen(ac_keys[i].name) ? name.len : strlen(ac_keys[i].name);
        const unsigned d = ac_edit_distance(name, ac_view_of(ac_keys[i].name), best);
        if (d >= most) continue;           /* two short names without a letter in common */
        /* The same name in another section beats a slip of one letter here. */
        const unsigned away = d + !ac_view_eq_str(section, ac_keys[i].section);
        if (away < best) {
            best = away;
            near = &ac_keys[i];
        }
    }
    if (!near) return NULL;
    snprintf(buf, size, "%s.%s", near->section, near->name);
    return buf;
}
