"""mlx-lm's LoRA on the CPU: mlx_lora.py MODEL UNITS ROWS. ROWS: rows of each step that are computed (0: all).

mlx's CPU build is slow enough that a whole step can take many minutes; a rate needs only some of its rows."""
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model

from common import load_steps, serve

model_dir, units, rows = sys.argv[1:4]
mx.set_default_device(mx.cpu)
mx.random.seed(0)
model = load_model(Path(model_dir))[0]
model.freeze()
linear_to_lora_layers(model, len(model.layers), {
    "rank": 16, "scale": 2.0, "dropout": 0.0,
    "keys": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]})
model.train()
optimizer = optim.Adam(learning_rate=2e-4)
steps = load_steps(units, int(rows) or None)


def loss_of(m, ids, labels):
    logits = m(ids[:, :-1]).astype(mx.float32)
    wanted = labels[:, 1:]
    mask = wanted != -100
    ce = nn.losses.cross_entropy(logits, mx.where(mask, wanted, 0)) * mask
    return ce.sum() / mask.sum()


grad_of = nn.value_and_grad(model, loss_of)


def take(s):
    loss, grad = grad_of(model, mx.array(s.ids), mx.array(s.labels))
    optimizer.update(model, grad)
    mx.eval(model.parameters(), optimizer.state, loss)
    return loss.item()


serve("mlx-lm", steps, take)
