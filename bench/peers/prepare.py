"""Writes a Hugging Face folder (float32 safetensors) for the peers: prepare.py GGUF_OR_NONE OUT.

From the GGUF file when transformers can read it, else random weights of SmolLM2-135M's shape: the same work."""
import os
import sys

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

gguf, out = sys.argv[1:3]
torch.manual_seed(0)
if gguf != "none":
    read = AutoModelForCausalLM.from_pretrained(os.path.dirname(gguf), gguf_file=os.path.basename(gguf),
                                                dtype=torch.float32)
    config = read.config.to_dict()
    config.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(type(read.config)(**config), dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    what = "weights of the GGUF file, in float32"
else:
    model = AutoModelForCausalLM.from_config(LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        vocab_size=49152, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0,
        tie_word_embeddings=True), dtype=torch.float32)
    what = "random weights of SmolLM2-135M's shape"
model.save_pretrained(out)
with open(os.path.join(out, "prepared"), "w") as f:
    f.write(what + "\n")
print(what)
