/* model/family_llama.c - Llama 1 to 3, SmolLM2, TinyLlama, and Mistral, which adds a sliding window. */
#include "model/model_int.h"

const ac_family ac_family_llama = {
    .name = "llama",
    .hf_type = { "llama", "mistral" },
    .hf_class = { "LlamaForCausalLM", "MistralForCausalLM" },
    .gguf_pairs = true,
    .window = true,
};
