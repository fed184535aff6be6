#!/usr/bin/env python3
"""Tokens a second of a run that is shared by 1, 2, 4 .. workers, in turn, several times; and whether all gave the same bytes.

    python3 bench/workers.py build/accord PROJECT [--workers 1,2] [--rounds 5] [--steps 20] [--json]

PROJECT is a folder with accord.yaml and accord.lock whose method.shards is at least the largest number of workers; it is copied, and nothing
of it changes. On GPUs (method.numerics: cuda-bf16) each worker takes one; NCCL is used where it is found. Every configuration has the threads
of the machine, divided. The first run of each is not counted."""
import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile


def train(a, folder, workers):
    """One run's tokens a second by the engine's own clock, first step left out, and the trace's hash."""
    args = [a.accord, "-C", folder, "train", "-q", "--no-guard", "--workers", str(workers), "--stop-after-step", str(a.steps)]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 75):
        sys.exit("%s\nends with %d: %s" % (" ".join(args), done.returncode, done.stderr.strip()))
    runs = os.path.join(folder, ".accord", "runs")
    run = max((os.path.join(runs, n) for n in os.listdir(runs)), key=os.path.getmtime)
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as f:
        steps = [e for e in map(json.loads, f) if e["event"] == "step"][1:]
    with open(os.path.join(run, "trace.jsonl"), "rb") as f:
        trace = hashlib.sha256(f.read()).hexdigest()
    shutil.rmtree(run)
    if not steps:
        sys.exit("a run of one step measures nothing; give more --steps, or more rows")
    return sum(e["tokens"] for e in steps) / sum(e["seconds"] for e in steps), trace


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("accord")
    p.add_argument("project")
    p.add_argument("--workers", default="1,2")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    a.accord = os.path.abspath(a.accord)
    counts = [int(n) for n in a.workers.split(",")]
    speed, traces = {n: [] for n in counts}, set()
    with tempfile.TemporaryDirectory(prefix="accord_workers.") as work:
        folder = os.path.join(work, "project")
        shutil.copytree(a.project, folder, symlinks=True, ignore=shutil.ignore_patterns(".accord"))
        for turn in range(a.rounds + 1):
            for n in counts:
                rate, trace = train(a, folder, n)
                traces.add(trace)
                if turn:
                    speed[n].append(rate)
    rows = [{"workers": n, "tokens_per_second": round(statistics.median(v), 1), "least": round(min(v), 1), "most": round(max(v), 1),
             "times_first": round(statistics.median(v) / statistics.median(speed[counts[0]]), 3)} for n, v in speed.items()]
    if a.json:
        print(json.dumps({"rounds": a.rounds, "steps": a.steps, "same_bytes": len(traces) == 1, "workers": rows}, indent=1))
    else:
        print("workers  tokens/s  (least, most)        times the first")
        for r in rows:
            print("%7d %9.1f  (%.1f, %.1f)  %.3f" % (r["workers"], r["tokens_per_second"], r["least"], r["most"], r["times_first"]))
        print("the same trace in all runs" if len(traces) == 1 else "the traces DIFFER")
    return len(traces) != 1


if __name__ == "__main__":
    sys.exit(main())
