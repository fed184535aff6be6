/* model/family_qwen3.c - Qwen3 (dense): Llama with a norm on each head of q and k, and its own head width. */
#include "model/model_int.h"

const ac_family ac_family_qwen3 = {
    .name = "qwen3",
    .hf_type = { "qwen3" },
    .hf_class = { "Qwen3ForCausalLM" },
    .qk_norm = true,
};
