#!/usr/bin/env python3
"""accord beside PEFT and mlx-lm: LoRA on SmolLM2-135M, the same rows, lengths, rank, targets and threads.

The trainers are started one after another, each takes one step to warm up, and then they take turns: a round is one
step of each, and only one of them runs at a time (accord is stopped and continued with signals between its steps). A
ratio is taken inside each round and the median of the rounds is reported, so that a busy machine, or one that changes its
clock, spoils a round and not the result.

  python3 bench/peers/peers.py [--rounds 5] [--json] [--only accord,peft] ...

Pythons: ACCORD_PEFT_PYTHON (torch, transformers, peft) and ACCORD_MLX_PYTHON (mlx, mlx-cpu, mlx-lm), or the options; rows:
ACCORD_SHARED_DATA/mlx-wikisql/train.jsonl or --rows. What is missing is printed as "not run"."""
import argparse
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

CONTRACT = """base:
  model: {model}
data:
  train: {rows}
  mask: assistant
eval:
  cases: cases.jsonl
method:
  rank: 16
  alpha: 32
  lr: 2e-4
  packing: true
  pack_len: 512
  batch_rows: {batch_rows}
  micro_batch: {micro}
  max_steps: {steps}
  save_every: 1000000
  seed: {seed}
{more}"""


class NotRun(Exception):
    pass


def median(x):
    return statistics.median(x) if x else float("nan")


def environment(tool, threads=2):
    n = str(threads)
    env = dict(os.environ, OMP_NUM_THREADS=n, MKL_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n,
               HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", PYTHONUNBUFFERED="1",
               HF_HUB_DISABLE_PROGRESS_BARS="1")
    site = glob.glob(os.path.join(os.path.dirname(os.path.dirname(tool)), "lib", "python3*", "site-packages"))
    libs = [d for s in site for d in glob.glob(os.path.join(s, "nvidia", "*", "lib"))]
    if libs:
        env["LD_LIBRARY_PATH"] = ":".join(libs + [env.get("LD_LIBRARY_PATH", "")])
    return env


# ---- accord ------------------------------------------------------------------------------------------------


def write_project(a, name, steps, numerics):
    """A folder with contract, cases and lock; the cases only satisfy freeze, no model answers them here."""
    path = os.path.join(a.work, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    more = "  numerics: bf16\n" if numerics == "bf16" else ""
    more += "".join(f"  {line}\n" for line in a.method)
    with open(os.path.join(path, "accord.yaml"), "w") as f:
        f.write(CONTRACT.format(model=a.model, rows=a.rows, batch_rows=a.batch_rows, micro=a.micro, steps=steps,
                                seed=a.seed, more=more))
    with open(os.path.join(path, "cases.jsonl"), "w") as f:
        for i in range(60):
            kind = ("success", "refusal", "edge")[i % 3]
            answer = f"{i * 7 + 13}"
            f.write(json.dumps({"id": f"c{i}", "class": kind,
                                "turns": [{"role": "user", "content": f"Count {i * 7 + 6} items and {7} more: total?"}],
                                "ideal": answer, "assert": [{"type": "includes", "value": answer}]}) + "\n")
    done = subprocess.run([a.accord, "-C", path, "freeze"], capture_output=True, text=True)
    if done.returncode:
        raise NotRun((done.stderr or done.stdout).strip().splitlines()[-1])
    return path


class Accord:
    """One `accord train`, stopped between its steps; times are those that it writes itself, less the stops."""

    def __init__(self, a, name, numerics, rounds):
        self.name = name
        self.dir = write_project(a, name.replace(" ", "-"), rounds + 2, numerics)
        self.args = [a.accord, "-C", self.dir, "--threads", str(a.threads), "--json", "train", "--no-guard"]
        self.micro = a.micro
        self.start_cpu = []
        self.starts, self.process, self.lines, self.stopped_ns = [], None, 0, None

    def metrics(self):
        found = glob.glob(os.path.join(self.dir, ".accord", "runs", "*", "metrics.jsonl"))
        return found[0] if found else None

    def launch(self):
        shutil.rmtree(os.path.join(self.dir, ".accord"), ignore_errors=True)
        start = time.monotonic()
        p = subprocess.Popen(self.args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not self.metrics():
            if p.poll() is not None:
                raise NotRun(p.communicate()[1].strip().splitlines()[-1])
            time.sleep(0.001)
        return p, time.monotonic() - start

    def start(self, launches):
        """Launches until the first step begins, all but the last one killed there."""
        for i in range(launches):
            if self.process:
                self.process.kill()
                self.process.communicate()
            self.process, seconds = self.launch()
            self.starts.append(seconds)
            self.start_cpu.append(self.cpu_seconds())
        self.path = self.metrics()
        first = self.wait_line()
        self.pause()
        return {"started": median(self.starts), "finished": median(self.starts) + first["seconds"],
                "started_min": min(self.starts), "started_max": max(self.starts), "cpu_seconds": median(self.start_cpu)}

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            part = f.read().rsplit(")", 1)[1].split()
        return (int(part[11]) + int(part[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def wait_line(self):
        self.lines += 1
        while True:
            with open(self.path) as f:
                lines = [x for x in f.read().split("\n")[:-1] if '"event":"step"' in x]
            if len(lines) >= self.lines:
                return json.loads(lines[self.lines - 1])
            if self.process.poll() is not None:
                raise NotRun("accord ended early: " + self.process.communicate()[1].strip()[-200:])
            time.sleep(0.002)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.stopped_ns = time.monotonic_ns()
        self.cpu = self.cpu_seconds()

    def step(self):
        away, cpu = (time.monotonic_ns() - self.stopped_ns) * 1e-9, self.cpu
        self.process.send_signal(signal.SIGCONT)
        d = self.wait_line()
        self.pause()
        return {"seconds": d["seconds"] - away, "cpu_seconds": self.cpu - cpu, "tokens": d["tokens"],
                "positions": d["tokens"] + d.get("padding_tokens", 0), "supervised": d["supervised_tokens"],
                "loss": d["loss"], "peak_bytes": self.peak()}

    def end(self):
        if self.process:
            self.process.kill()
            self.process.communicate()


# ---- the others ---------------------------------------------------------------------------------------------


class Peer:
    def __init__(self, name, python, script, *args, threads=2, preload=None, once=False):
        self.name, self.process, self.once = name, None, once
        if not python or not os.path.exists(python):
            raise NotRun("no python with its packages was named")
        self.env = environment(python, threads)
        if preload:
            self.env["LD_PRELOAD"] = preload
            with open("/proc/cpuinfo") as f:             # OpenBLAS 0.3.21 takes its oldest kernels on a newer CPU
                if "avx512vl" in f.read():
                    self.env.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
        self.args = [python, os.path.join(HERE, script), *args]

    def wait_line(self):
        line = self.process.stdout.readline()
        if not line:
            raise NotRun("ended early: " + self.process.stderr.read().strip()[-300:])
        return json.loads(line)

    def start(self, launches):
        began = time.time()
        self.process = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=self.env)
        ready = self.wait_line()
        first = self.step("go" if self.once else "warm")
        self.first = first if self.once else None
        return {"started": ready["at"] - began, "finished": ready["at"] - began + first["seconds"]}

    def step(self, order="go"):
        """A trainer that is to take one step only gives its first one, and no other."""
        if self.once and getattr(self, "first", None):
            return self.first
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.wait_line()

    def end(self):
        if self.process:
            self.process.kill()
            self.process.communicate()


def prepare_model(a, python):
    out = os.path.join(a.work, "model")
    if not os.path.exists(os.path.join(out, "prepared")):
        if not python or not os.path.exists(python):
            raise NotRun("the peers' model was not prepared: no python with torch was named")
        print("preparing the peers' model", file=sys.stderr)
        gguf = model_file(a)
        done = subprocess.run([python, os.path.join(HERE, "prepare.py"), gguf or "none", out], capture_output=True,
                              text=True, env=environment(python))
        if done.returncode and gguf:
            shutil.rmtree(out, ignore_errors=True)
            done = subprocess.run([python, os.path.join(HERE, "prepare.py"), "none", out], capture_output=True,
                                  text=True, env=environment(python))
        if done.returncode:
            raise NotRun("the peers' model: " + done.stderr.strip()[-200:])
    return out


def model_file(a):
    if os.path.isfile(a.model):
        return a.model
    cache = os.environ.get("ACCORD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "accord")
    path = os.path.join(cache, "models", a.model, "model.gguf")
    return path if os.path.exists(path) else None


def write_units(a, steps):
    tool = os.path.join(os.path.dirname(a.accord), "bench", "bench_units")
    path = os.path.join(a.work, "units.json")
    project = write_project(a, "units", steps, "fp32")
    done = subprocess.run([tool, project, str(steps)], capture_output=True, text=True)
    if done.returncode:
        raise NotRun(done.stderr.strip())
    with open(path, "w") as f:
        f.write(done.stdout)
    return path


# ---- rounds and report ---------------------------------------------------------------------------------------


def build(a, wanted, not_run):
    def add(kind, make):
        if a.only and kind.split()[0] not in a.only and kind not in a.only:
            return
        try:
            wanted.append(make())
        except NotRun as e:
            not_run[kind] = str(e)

    add("accord fp32", lambda: Accord(a, "accord fp32", "fp32", a.rounds))
    add("accord bf16", lambda: Accord(a, "accord bf16", "bf16", a.rounds))
    others = [k for k in ("peft fp32", "peft bf16", "mlx-lm", "mlx-lm openblas")
              if not a.only or k.split()[0] in a.only or k in a.only]
    if not others:
        return
    try:
        units = write_units(a, a.rounds + 1)
        model = prepare_model(a, a.peft_python)
    except NotRun as e:
        for k in others:
            not_run[k] = str(e)
        return
    for n in ("fp32", "bf16"):
        add("peft " + n, lambda n=n: Peer("peft " + n, a.peft_python, "peft_lora.py", model, units, n,
                                          str(a.peft_micro), threads=a.threads))
    add("mlx-lm", lambda: Peer("mlx-lm", a.mlx_python, "mlx_lora.py", model, units, str(a.mlx_rows),
                                threads=a.threads, once=not a.mlx_rounds))
    blas = "/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3"
    if os.path.exists(blas):
        add("mlx-lm openblas", lambda: Peer("mlx-lm openblas", a.mlx_python, "mlx_lora.py", model, units,
                                            str(a.mlx_blas_rows), threads=a.threads, preload=blas, once=not a.mlx_rounds))
    else:
        not_run["mlx-lm openblas"] = "no " + blas


def run(a):
    trainers, not_run, got, start = [], {}, {}, {}
    began = time.monotonic()
    build(a, trainers, not_run)
    for t in list(trainers):
        try:
            print(f"starting {t.name}", file=sys.stderr)
            start[t.name] = t.start(a.launches)
            got[t.name] = []
        except NotRun as e:
            not_run[t.name] = str(e)
            t.end()
            trainers.remove(t)
    rounds, first_round = 0, time.monotonic()
    while rounds < a.rounds:
        now = time.monotonic()
        if rounds >= 2 and now - began + (now - first_round) / rounds > a.limit:
            break
        for t in list(trainers):
            if got[t.name] and getattr(t, "once", False):
                continue
            try:
                d = t.step()
                got[t.name].append(d)
                print(f"round {rounds + 1}: {t.name} {d['seconds']:.2f} s, {d['tokens'] / d['seconds']:.0f} tokens/s, "
                      f"loss {d['loss']:.4f}", file=sys.stderr)
            except NotRun as e:
                not_run[t.name] = str(e)
                t.end()
                trainers.remove(t)
        rounds += 1
    for t in trainers:
        t.end()
    return got, start, not_run


def figures(steps):
    rate = sorted(s["tokens"] / s["seconds"] for s in steps)
    return {"rounds": len(steps), "tokens_s": median(rate), "tokens_s_min": rate[0], "tokens_s_max": rate[-1],
            "supervised_tokens_s": median([s["supervised"] / s["seconds"] for s in steps]),
            "positions_s": median([s["positions"] / s["seconds"] for s in steps]),
            "cpu_seconds_per_1000_tokens": median([1000 * s["cpu_seconds"] / s["tokens"] for s in steps]),
            "peak_bytes": max(s["peak_bytes"] for s in steps), "first_loss": steps[0]["loss"]}


def ratio_rounds(got, mine, theirs):
    if not got.get(mine) or not got.get(theirs):
        return None
    x = sorted(a["supervised"] / a["seconds"] / (b["supervised"] / b["seconds"])
               for a, b in zip(got[mine], got[theirs]))
    return {"median": median(x), "min": x[0], "max": x[-1], "rounds": len(x)}


def cpu_ratio(got, mine, theirs):
    """Per CPU-second: what a machine shared with others cannot distort as much as time."""
    if not got.get(mine) or not got.get(theirs):
        return None
    x = sorted(a["supervised"] / a["cpu_seconds"] / (b["supervised"] / b["cpu_seconds"])
               for a, b in zip(got[mine], got[theirs]) if a["cpu_seconds"] > 0 and b["cpu_seconds"] > 0)
    return {"median": median(x), "min": x[0], "max": x[-1], "rounds": len(x)} if x else None


def judge(got, start, not_run):
    demands = []

    def ratio(text, mine, theirs, at_least):
        r = ratio_rounds(got, mine, theirs)
        demand = {"demand": text, "at_least": at_least}
        if r:
            demands.append({**demand, **r, "verdict": "ok" if r["median"] >= at_least else "short"})
            c = cpu_ratio(got, mine, theirs)
            if c:
                demands.append({"demand": "  the same per CPU-second", **c, "verdict": ""})
        else:
            why = not_run.get(mine) or not_run.get(theirs) or "not asked for"
            demands.append({**demand, "verdict": "not run", "why": why})

    ratio("accord fp32 / PEFT fp32, supervised tokens/s", "accord fp32", "peft fp32", 1.5)
    ratio("accord bf16 / PEFT bf16, supervised tokens/s", "accord bf16", "peft bf16", 1.5)
    ratio("accord fp32 / mlx-lm as shipped, supervised tokens/s", "accord fp32", "mlx-lm", 3.0)
    ratio("accord fp32 / mlx-lm over OpenBLAS, supervised tokens/s", "accord fp32", "mlx-lm openblas", 3.0)
    for n in ("fp32", "bf16"):
        mine, theirs = got.get("accord " + n), got.get("peft " + n)
        d = {"demand": f"peak memory, accord {n} / PEFT {n}", "at_most": 1 / 3}
        if mine and theirs:
            r = max(s["peak_bytes"] for s in mine) / max(s["peak_bytes"] for s in theirs)
            demands.append({**d, "median": r, "verdict": "ok" if r <= 1 / 3 else "short"})
        else:
            demands.append({**d, "verdict": "not run", "why": not_run.get("accord " + n) or not_run.get("peft " + n)
                            or "not asked for"})
    for n in ("accord fp32", "accord bf16"):
        if n in start:
            s = start[n]["started"]
            demands.append({"demand": f"{n}: start to first step, seconds", "at_most": 1.0, "median": s,
                            "min": start[n]["started_min"], "max": start[n]["started_max"],
                            "cpu_seconds": start[n]["cpu_seconds"], "verdict": "ok" if s <= 1.0 else "short"})
    return demands


def print_table(out):
    print(f"{'trainer':<17}{'tokens/s':>9}  {'spread':<15}{'supervised/s':>12}{'cpu s/1000':>11}{'peak MB':>9}"
          f"{'to 1st step':>12}{'after it':>9}{'loss':>8}")
    for name, f in out["trainers"].items():
        s = out["start"][name]
        spread = f"{f['tokens_s_min']:.0f} .. {f['tokens_s_max']:.0f}"
        print(f"{name:<17}{f['tokens_s']:>9.0f}  {spread:<15}{f['supervised_tokens_s']:>12.0f}"
              f"{f['cpu_seconds_per_1000_tokens']:>11.2f}{f['peak_bytes'] / 1e6:>9.0f}{s['started']:>11.2f}s"
              f"{s['finished']:>8.1f}s{f['first_loss']:>8.4f}")
    for name, why in out["not_run"].items():
        print(f"{name:<17}not run: {why}")
    print()
    for d in out["demands"]:
        limit = (f">= {d['at_least']:.2f}" if "at_least" in d else f"<= {d['at_most']:.2f}" if "at_most" in d
                 else "")
        if d["verdict"] == "not run":
            print(f"{d['demand']:<58}{limit:>8}  not run: {d['why']}")
        else:
            spread = f"({d['min']:.2f} .. {d['max']:.2f}, {d['rounds']} rounds)" if "rounds" in d else ""
            if "cpu_seconds" in d:
                spread = f"({d['min']:.2f} .. {d['max']:.2f}; {d['cpu_seconds']:.2f} s of CPU time)"
            print(f"{d['demand']:<58}{limit:>8}{d['median']:>8.2f}  {d['verdict']:<6}{spread}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--accord", default=os.path.join(ROOT, "build", "accord"))
    p.add_argument("--peft-python", default=os.environ.get("ACCORD_PEFT_PYTHON"))
    p.add_argument("--mlx-python", default=os.environ.get("ACCORD_MLX_PYTHON"))
    p.add_argument("--model", default="smollm2-135m-instruct", help="a name that accord has pulled, or a GGUF file")
    p.add_argument("--rows", default=os.path.join(os.environ.get("ACCORD_SHARED_DATA")
                                                  or os.path.join(ROOT, "..", "shared", "data"),
                                                  "mlx-wikisql", "train.jsonl"))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--launches", type=int, default=5, help="starts of accord, for the median time to the first step")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--micro", type=int, default=0,
                   help="accord's micro_batch: packed rows computed at once; 0: its own choice")
    p.add_argument("--peft-micro", type=int, default=8, help="the same for PEFT, by gradient accumulation")
    p.add_argument("--method", action="append", default=[], help="a line for the contract's method, as \"recompute: auto\"")
    p.add_argument("--batch-rows", type=int, default=40, help="rows a step: about eight units of 512")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--mlx-rows", type=int, default=1, help="packed rows a step for mlx-lm as shipped; 0: all")
    p.add_argument("--mlx-rounds", action="store_true",
                   help="let mlx-lm take part in every round; else its first step, of a row, is all (minutes each)")
    p.add_argument("--mlx-blas-rows", type=int, default=1, help="the same over OpenBLAS")
    p.add_argument("--limit", type=float, default=440, help="seconds: no round begins that would end behind it, but two do")
    p.add_argument("--only", type=lambda s: s.split(","), help="accord, peft, mlx-lm, or \"peft fp32\" ...")
    p.add_argument("--work", default=os.path.join(ROOT, "build", "peers"))
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    for name in ("rows", "work", "accord"):
        setattr(a, name, os.path.abspath(getattr(a, name)))
    if not os.path.exists(a.rows):
        print("not run: no rows at " + os.path.relpath(a.rows, ROOT))
        return 77
    if not os.path.exists(a.accord):
        print("not run: no accord binary; run make first")
        return 77
    os.makedirs(a.work, exist_ok=True)
    got, start, not_run = run(a)
    out = {"threads": a.threads, "pack_len": 512, "batch_rows": a.batch_rows, "micro_batch": a.micro, "peft_micro": a.peft_micro,
           "trainers": {k: figures(v) for k, v in got.items() if v}, "start": start, "not_run": not_run,
           "demands": judge(got, start, not_run), "rounds": got}
    if a.json:
        print(json.dumps(out, indent=1))
    else:
        print_table(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
