"""PEFT's LoRA on the CPU: peft_lora.py MODEL UNITS fp32|bf16 MICRO. bf16 is torch.autocast, as PEFT's users
run it; MICRO rows are computed at once, their gradients accumulated.

Plain causal attention without a mask, which is torch's fastest way; accord keeps packed documents apart."""
import os
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from common import load_steps, serve

model_dir, units, numerics, micro = sys.argv[1:5]
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="sdpa")
model.config.use_cache = False
model = get_peft_model(model, LoraConfig(
    r=16, lora_alpha=32, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
model.train()
params = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(params, lr=2e-4, weight_decay=0.0)
steps = load_steps(units)

def take(s):
    total = 0.0
    for ids, labels in zip(torch.tensor(s.ids).split(int(micro)), torch.tensor(s.labels).split(int(micro))):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=numerics == "bf16"):
            loss = model(input_ids=ids, labels=labels, num_items_in_batch=s.supervised).loss
        loss.backward()
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


serve("peft " + numerics, steps, take)
