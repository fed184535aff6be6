#!/usr/bin/env python3
"""Holds the memory that `accord train` plans against what the system charges: models x methods x micro-batches x recomputation.

    bench/plan_memory.py [--accord build/accord] [--models NAME,...] [--markdown] [--steps N] [--keep DIR]

Models: smollm2 (SmolLM2-135M-Instruct, where `accord model pull` brought it), tiny (examples/tiny-base), and two shapes with
random weights: qwen (Qwen2, tied output, biases) and llama (untied output). Each run takes a few steps of 8 rows of up to 400
tokens, validates twice and writes its checkpoints. `peak` is what the system charged the process at most (its own pages and the
mapped ones), as run.json has it; the ratio is planned / peak. Exit code 1 where one is under 1 or over the limit: 1.05 and, for
models of a few megabytes, 4 MiB more, since a program and its libraries are larger than they are."""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHAPES = {
    "qwen": {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 384, "intermediate_size": 1024,
             "num_hidden_layers": 10, "num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "llama": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1408,
              "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "tie_word_embeddings": False},
}
TUNES = ["lora", "dora", "full"]
MICRO = [1, 3, 8]
ALLOWANCE = 4 << 20


def rows(path, n, seed, longest):
    rng = random.Random(seed)
    words = [w for w in "Lily Tom cat dog box red blue small big house tree water says asks sees finds the a and with".split()]
    with open(path, "w", encoding="utf-8") as out:
        for i in range(n):
            k = longest if i % 4 == 0 else rng.randint(8, longest)
            text = " ".join(rng.choice(words) for _ in range(k))
            out.write(json.dumps({"prompt": f"Row {seed} {i}: {text[:len(text) // 2]}", "completion": text[len(text) // 2:]}) + "\n")


def cases(path):
    with open(path, "w", encoding="utf-8") as out:
        for i in range(36):
            kind = ("success", "refusal", "edge")[i % 3]
            out.write(json.dumps({"id": f"c{i}", "class": kind, "input": f"Xanthippe {i}?", "ideal": f"Toy {i} is red."}) + "\n")


def model_path(accord, name, work):
    if name == "smollm2":
        return "smollm2-135m-instruct"
    if name == "tiny":
        return os.path.join(HERE, "examples/tiny-base/model")
    config = dict(SHAPES[name], torch_dtype="float32", hidden_act="silu", vocab_size=768, max_position_embeddings=1024,
                  rms_norm_eps=1e-5, rope_theta=10000.0, initializer_range=0.02, bos_token_id=1, eos_token_id=2)
    path = os.path.join(work, name + ".json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(config, out)
    folder = os.path.join(work, name)
    subprocess.run([accord, "model", "new", "-q", "--config", path, "--tokenizer", os.path.join(HERE, "examples/tiny-base/model"),
                    "--seed", "1", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def project(folder, model, tune, steps, longest):
    os.makedirs(os.path.join(folder, "data"))
    rows(os.path.join(folder, "data/train.jsonl"), 32, 1, longest)
    rows(os.path.join(folder, "data/valid.jsonl"), 12, 2, longest)
    cases(os.path.join(folder, "cases.jsonl"))
    rank = "" if tune == "full" else "  rank: 16\n"
    with open(os.path.join(folder, "accord.yaml"), "w", encoding="utf-8") as out:
        out.write(f"base:\n  model: {model}\ndata:\n  train: data/train.jsonl\n  valid: data/valid.jsonl\n  max_len: 512\n"
                  f"eval:\n  cases: cases.jsonl\nmethod:\n  tune: {tune}\n{rank}  max_steps: {steps}\n  batch_rows: 8\n"
                  f"  eval_every: 1\n  save_every: 1\n")


def charged(accord, folder, micro, recompute):
    """A shell in between, so that the peak is not that of this interpreter before it became the program."""
    command = f'"{accord}" train --json -q --micro-batch {micro} --recompute {recompute}; exit $?'
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{folder}: {done.stderr}")
    result = json.loads(done.stdout)
    return result["memory"], result["peak_rss_bytes"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--accord", default=os.path.join(HERE, "build/accord"))
    p.add_argument("--models", default="smollm2,tiny,qwen,llama")
    p.add_argument("--tunes", default=",".join(TUNES))
    p.add_argument("--micro", default=",".join(map(str, MICRO)))
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--longest", type=int, default=110, help="words a row at most")
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--parts", action="store_true", help="print the planned parts too")
    p.add_argument("--keep", help="work in this folder and leave it")
    a = p.parse_args()
    a.accord = os.path.abspath(a.accord)
    work = a.keep or tempfile.mkdtemp(prefix="accord_plan.")
    os.makedirs(work, exist_ok=True)
    wrong = 0
    names = ["model", "method", "micro-batch", "recompute", "tokens", "planned MiB", "peak MiB", "ratio"]
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names) if a.markdown else "".join(f"{n:>12}" for n in names))
    try:
        for name in a.models.split(","):
            model = model_path(a.accord, name, work)
            for tune in a.tunes.split(","):
                folder = os.path.join(work, f"{name}-{tune}")
                project(folder, model, tune, a.steps, a.longest)
                subprocess.run([a.accord, "freeze", "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
                for micro in map(int, a.micro.split(",")):
                    for recompute in ("none", "block"):
                        memory, peak = charged(a.accord, folder, micro, recompute)
                        planned = memory["planned_peak_bytes"]
                        bad = planned < peak or planned > 1.05 * peak + ALLOWANCE
                        wrong += bad
                        cells = [name, tune, micro, recompute, memory["tokens_at_once"], f"{planned / 2**20:.1f}",
                                 f"{peak / 2**20:.1f}", f"{planned / peak:.3f}" + (" !" if bad else "")]
                        print("| " + " | ".join(map(str, cells)) + " |" if a.markdown else "".join(f"{c!s:>12}" for c in cells),
                              flush=True)
                        if a.parts:
                            print("    " + ", ".join(f"{x['what']} {x['bytes'] / 2**20:.2f}" for x in memory["parts"]))
                shutil.rmtree(os.path.join(folder, ".accord"))
    finally:
        if not a.keep:
            shutil.rmtree(work)
    sys.exit(1 if wrong else 0)


main()
