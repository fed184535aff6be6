#!/usr/bin/env python3
"""LoRA on one GPU: PEFT (eager, checkpointing, torch.compile, Liger kernels) beside accord, same machine, same call.

Rank 16 on all seven linears, random weights of real shapes in bfloat16, AdamW, norm clipped at 1, every token supervised.
A measurement is a process of its own: the model is made, three steps warm up, ten are timed. PEFT's adapters are bfloat16
too, which is faster, but for the mode autocast: binary32 under torch's autocast, as PEFT makes them unless told otherwise
(accord's are always binary32).

  python3 bench/gpu/peft_gpu.py --bench build/bench/bench_cuda [--only 135m:eager,1.5b:ours] [--budget 540] [--out FILE]

Writes FILE.json and FILE.md. What cannot be had is "not run", with the reason; so is what would not fit into the
budget. Needs torch, transformers and peft; for the Liger lines liger-kernel; for ours bench_cuda and ACCORD_CUDA_LIB."""
import argparse
import gc
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

#        family, layers, hidden, ffn, heads, kv heads, head dim, vocab, tied, rows, length
SHAPES = {
    "135m": ("Llama", 30, 576, 1536, 9, 3, 64, 49152, True, 16, 1024),
    "0.5b": ("Qwen2", 24, 896, 4864, 14, 2, 64, 151936, True, 8, 1024),
    "1.5b": ("Qwen2", 28, 1536, 8960, 12, 2, 128, 151936, True, 8, 1024),
    "8b": ("Llama", 32, 4096, 14336, 32, 8, 128, 128256, False, 4, 2048),
    "tiny": ("Llama", 2, 64, 128, 4, 2, 16, 512, True, 2, 32),        # tries the script where there is no GPU
}
TITLE = {"135m": "SmolLM2-135M", "0.5b": "Qwen2.5-0.5B", "1.5b": "Qwen2.5-1.5B", "8b": "Llama-3 8B", "tiny": "tiny"}
# By importance: what a demand names first. recompute is ours with activations computed again, as checkpointing is theirs.
ORDER = ["135m:ours", "135m:eager", "1.5b:ours", "1.5b:eager", "0.5b:ours", "0.5b:eager", "8b:recompute", "8b:checkpoint",
         "8b:ours", "8b:eager", "135m:recompute", "135m:checkpoint", "0.5b:recompute", "0.5b:checkpoint", "1.5b:recompute",
         "1.5b:checkpoint", "135m:liger", "0.5b:liger", "1.5b:liger", "8b:liger+checkpoint", "135m:compile", "1.5b:compile",
         "0.5b:compile", "135m:autocast"]
OURS = {"ours": [], "recompute": ["recompute"]}
MODES = ["ours", "eager", "autocast", "compile", "liger", "recompute", "checkpoint", "liger+checkpoint"]
SECONDS = {"compile": 60}                                  # what a measurement is thought to take at least; others 8
WARM = 3


class NotRun(Exception):
    pass


# ---- PEFT ---------------------------------------------------------------------------------------------------------


def make_model(shape, mode, device):
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
    family, layers, hidden, ffn, heads, kv, dim, vocab, tied, _, length = SHAPES[shape]
    if "liger" in mode:
        try:
            import liger_kernel.transformers as liger
        except ImportError as e:
            raise NotRun(f"no liger-kernel: {e}")
        getattr(liger, "apply_liger_kernel_to_" + family.lower())()
    config = getattr(transformers, family + "Config")(
        num_hidden_layers=layers, hidden_size=hidden, intermediate_size=ffn, num_attention_heads=heads, num_key_value_heads=kv,
        head_dim=dim, vocab_size=vocab, tie_word_embeddings=tied, max_position_embeddings=8192, use_cache=False,
        bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    if "checkpoint" in mode:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = get_peft_model(model, LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
        autocast_adapter_dtype=mode == "autocast")
    model.to(device).train()
    return model


def measure_peft(shape, mode, steps, device):
    """Runs in a process of its own, torch imported before it was forked."""
    import torch
    start = time.perf_counter()
    rows, length = SHAPES[shape][9:]
    model = make_model(shape, mode, device)
    call = torch.compile(model, dynamic=False) if mode == "compile" else model
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.01, fused=device == "cuda")
    ids = torch.randint(0, SHAPES[shape][7], (rows, length), device=device)
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None

    def step():
        begun = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=mode == "autocast"):
            loss = call(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sync()
        return time.perf_counter() - begun, loss

    sync()
    opened = time.perf_counter() - start
    first, loss = step()
    ready = time.perf_counter() - start
    loss = float(loss.detach())
    for _ in range(WARM - 1):
        step()
    gc.collect()
    took = []
    while len(took) < steps and (len(took) < 5 or sum(took) < 6):      # five of the longest ones are enough
        took.append(step()[0])
    took.sort()
    out = figures(rows * length, took)
    out.update(opened_s=opened, first_step_s=first, ready_s=ready, loss=loss)
    if device == "cuda":
        out.update(allocated_mib=torch.cuda.max_memory_allocated() / 2**20, reserved_mib=torch.cuda.max_memory_reserved() / 2**20,
                   device_mib=device_memory())
    return out


def figures(tokens, took):
    m = statistics.median(took)
    return {"tokens_s": tokens / m, "tokens_s_min": tokens / took[-1], "tokens_s_max": tokens / took[0], "step_ms": m * 1e3,
            "steps": len(took)}


def device_memory():
    """All that is in use on the GPU, as nvidia-smi counts it: what bench_cuda reports of itself."""
    try:
        out = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"],
                             capture_output=True, text=True, timeout=20).stdout
        return float(out.split()[0])
    except (OSError, IndexError, ValueError, subprocess.TimeoutExpired):
        return None


def forked(work, seconds):
    """What work() returns, from a process that is forked for it and killed after so many seconds."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)                       # compilers that it starts end with it
        os.close(r)
        try:
            out = work()
        except NotRun as e:
            out = {"not_run": str(e)}
        except BaseException as e:             # noqa: BLE001 - whatever a peer dies of is its result
            text = str(e).strip().splitlines()
            out = {"not_run": "out of memory" if "out of memory" in str(e) else f"{type(e).__name__}: {text[0] if text else ''}"}
        os.write(w, json.dumps(out).encode())
        os.close(w)
        os._exit(0)
    os.close(w)
    data = b""
    end = time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([r], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            break
        part = os.read(r, 65536)
        if not part:
            break
        data += part
    os.close(r)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(pid, 0)
    if data:
        return json.loads(data)
    return {"not_run": f"took more than {seconds:.0f} s" if time.monotonic() >= end else "ended without a word"}


# ---- accord -------------------------------------------------------------------------------------------------------


def measure_ours(a, shape, mode, seconds):
    if not a.bench:
        return {"not_run": "no bench_cuda was named"}
    rows, length = SHAPES[shape][9:]
    args = [a.bench, shape, str(rows), str(length), str(a.steps), *OURS[mode], "json"]
    try:
        done = subprocess.run(args, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"not_run": f"took more than {seconds:.0f} s"}
    except OSError as e:
        return {"not_run": str(e)}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            return json.loads(line)
    return {"not_run": (done.stderr or done.stdout).strip()[-200:] or f"ended with {done.returncode}"}


# ---- the whole ----------------------------------------------------------------------------------------------------


def asked(only):
    """Patterns as 135m, 135m:eager or :liger; everything else is left out."""
    if not only:
        return ORDER
    known = [f"{s}:{m}" for s in SHAPES for m in MODES]
    return [x for x in ORDER + [k for k in known if k not in ORDER]
            if any((p.partition(":")[0] in ("", x.partition(":")[0])) and (p.partition(":")[2] in ("", x.partition(":")[2]))
                   for p in only) and (x in ORDER or x in only)]


def run(a):
    begun = time.monotonic()
    warnings.filterwarnings("ignore", category=DeprecationWarning)      # fork with threads: none of ours
    out = {"machine": machine(), "steps": a.steps, "results": {}}
    list_ = asked(a.only)
    peft_error = None
    if any(x.partition(":")[2] not in OURS for x in list_):
        start = time.perf_counter()
        try:
            import peft
            import torch
            import transformers
            from transformers import AutoModelForCausalLM  # noqa: F401 - loaded lazily, and part of the start
            out["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
            try:
                from importlib.metadata import version
                out["versions"]["liger-kernel"] = version("liger-kernel")
            except ImportError:
                pass
        except ImportError as e:
            peft_error = str(e)
        out["import_s"] = time.perf_counter() - start
    for x in list_:
        shape, mode = x.split(":")
        left = a.budget - (time.monotonic() - begun)
        if left < (SECONDS.get(mode, 8) if shape != "tiny" else 0):
            got = {"not_run": "out of the time that was given"}
        elif mode in OURS:
            got = measure_ours(a, shape, mode, min(left, 90))
        elif peft_error:
            got = {"not_run": peft_error}
        else:
            cache = tempfile.mkdtemp()         # a compilation is measured, not remembered
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.environ["TRITON_CACHE_DIR"] = cache
            got = forked(lambda: measure_peft(shape, mode, a.steps, a.device), min(left, 150))
            shutil.rmtree(cache, ignore_errors=True)
            if "ready_s" in got:
                got["ready_s"] += out["import_s"]
        out["results"][x] = got
        print(f"{time.monotonic() - begun:6.1f} s  {x:<22}" + (f"not run: {got['not_run']}" if "not_run" in got else
              f"{got['tokens_s']:>9,.0f} tokens/s  {memory_text(got)}  first step done after {got['ready_s']:.2f} s"),
              file=sys.stderr, flush=True)
    out["seconds"] = time.monotonic() - begun
    out["ratios"] = ratios(out["results"])
    return out


def machine():
    try:
        out = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", "0"],
                             capture_output=True, text=True).stdout.strip()
        return ", driver ".join(x.strip() for x in out.split(",")) if out else "no GPU"
    except OSError:
        return "no GPU"


def peak(got):
    """What is compared: all of ours with its context, and of theirs only what torch's tensors took, which is less than it held."""
    return got.get("allocated_mib") or got.get("device_mib")


def memory_text(got):
    if not peak(got):
        return "-"
    held = f" ({got['device_mib'] / 1024:.1f})" if got.get("allocated_mib") and got.get("device_mib") else ""
    return f"{peak(got) / 1024:.1f}{held} GiB"


def ratios(results):
    """Ours over each mode of theirs: of the way that does the same with activations."""
    out = {}
    for x, theirs in results.items():
        shape, mode = x.split(":")
        same = "recompute" if "checkpoint" in mode else "ours"
        if mode in OURS or "tokens_s" not in theirs:
            continue
        for mine_mode in OURS:
            mine = results.get(f"{shape}:{mine_mode}", {})
            if "tokens_s" not in mine:
                continue
            r = out.setdefault(x, {})
            best = r.get("speed", 0)
            r["speed"] = max(best, mine["tokens_s"] / theirs["tokens_s"])
            if mine_mode == same and peak(mine) and peak(theirs):
                r["speed_same"] = mine["tokens_s"] / theirs["tokens_s"]
                r["memory"] = peak(mine) / peak(theirs)
    return out


def markdown(out):
    lines = [f"{out['machine']}; " + ", ".join(f"{k} {v}" for k, v in out.get("versions", {}).items())
             + f"; medians of {out['steps']} steps (5 of the longest; slowest to fastest), one call of {out['seconds']:.0f} s.", "",
             "| model, rows | | tokens/s | memory, GiB | start to first step, s | ours is | of its memory |",
             "|---|---|---:|---:|---:|---:|---:|"]
    shapes = list(dict.fromkeys(x.partition(":")[0] for x in out["results"]))
    for shape in sorted(shapes, key=list(SHAPES).index):
        for mode in MODES:
            got = out["results"].get(f"{shape}:{mode}")
            if not got:
                continue
            name = {"ours": "accord", "recompute": "accord, recompute", "checkpoint": "PEFT, checkpointing",
                    "eager": "PEFT eager", "compile": "PEFT compiled", "autocast": "PEFT eager, adapters binary32 under autocast", "liger": "PEFT with Liger", "liger+checkpoint": "PEFT with Liger, checkpointing"}[mode]
            head = f"| {TITLE[shape]}, {SHAPES[shape][9]} x {SHAPES[shape][10]} | {name} | "
            if "not_run" in got:
                lines.append(head + got["not_run"].replace("|", "/") + " | | | | |")
                continue
            r = out["ratios"].get(f"{shape}:{mode}", {})
            speed = f"{r['speed_same']:.2f} x" if "speed_same" in r else ""
            memory = f"{r['memory']:.2f}" if "memory" in r else ""
            lines.append(head + f"{got['tokens_s']:,.0f} ({got['tokens_s_min']:,.0f} to {got['tokens_s_max']:,.0f}) | "
                         f"{memory_text(got).replace(' GiB', '')} | {got['ready_s']:.2f} | {speed} | {memory} |")
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bench", help="bench_cuda")
    p.add_argument("--only", type=lambda s: s.split(","), help="as 135m, 135m:eager, :liger")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--budget", type=float, default=540, help="seconds in all")
    p.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    p.add_argument("--out", default="gpu-peers")
    a = p.parse_args()
    unknown = [x for x in a.only or [] if not re.fullmatch(r"(\w|\.)*(:[\w+]+)?", x)
               or x.partition(":")[0] not in ("", *SHAPES) or x.partition(":")[2] not in ("", *MODES)]
    if unknown:
        p.error("--only: no such shape or mode: " + ", ".join(unknown))
    out = run(a)
    for name, text in ((".json", json.dumps(out, indent=1) + "\n"), (".md", markdown(out))):
        with open(a.out + name, "w") as f:
            f.write(text)
    print(markdown(out), end="")
    return 0 if any("tokens_s" in x for x in out["results"].values()) else 77


if __name__ == "__main__":
    sys.exit(main())
