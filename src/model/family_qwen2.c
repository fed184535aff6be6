/* model/family_qwen2.c - Qwen2 and Qwen2.5: Llama with a bias on q, k and v. */
#include "model/model_int.h"

const ac_family ac_family_qwen2 = {
    .name = "qwen2",
    .hf_type = { "qwen2" },
    .hf_class = { "Qwen2ForCausalLM" },
    .qkv_bias = true,
};
