#!/usr/bin/env python3
"""What the guard costs: its memory, its share of a processor, the training's speed with it and without, pair by pair, and
how long it is from red memory to a checkpoint on the disk.

    python3 bench/guard_cost.py build/accord PROJECT [--pairs 10] [--steps 0]

PROJECT is a folder with accord.yaml and accord.lock; it is copied, and nothing of it changes. --steps: stop each run there.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def newest(folder):
    runs = os.path.join(folder, ".accord", "runs")
    return os.path.join(runs, sorted(n for n in os.listdir(runs) if not n.startswith("."))[-1])


def records(run):
    with open(os.path.join(run, "telemetry.jsonl")) as f:
        return [json.loads(line) for line in f]


def memory(pid):
    """RSS, PSS, private bytes and highest RSS of a process."""
    found = {}
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("VmHWM:"):
                found["peak"] = int(line.split()[1]) * 1024
    with open("/proc/%d/smaps_rollup" % pid) as f:
        for line in f:
            word = line.split()
            if word[0] in ("Rss:", "Pss:", "Private_Clean:", "Private_Dirty:"):
                found[word[0]] = int(word[1]) * 1024
    return found["Rss:"], found["Pss:"], found["Private_Clean:"] + found["Private_Dirty:"], found["peak"]


def train(a, folder, guarded):
    """One run: seconds a step by the engine's own clock; and what the guard took."""
    args = [a.accord, "-C", folder, "train", "-q"] + ([] if guarded else ["--no-guard"])
    if a.steps:
        args += ["--stop-after-step", str(a.steps)]
    start, seen, busy = time.monotonic(), (0, 0, 0, 0), []
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while p.poll() is None:
        try:
            seen = tuple(max(x) for x in zip(seen, memory(p.pid)))
            with open("/proc/%d/schedstat" % p.pid) as f:
                busy.append((time.monotonic(), int(f.read().split()[0]) * 1e-9))
        except (OSError, KeyError):
            pass
        time.sleep(0.5)
    if p.returncode not in (0, 75):
        sys.exit("train ends with %d: %s" % (p.returncode, p.stderr.read().strip()))
    run = newest(folder)
    with open(os.path.join(run, "metrics.jsonl")) as f:
        steps = [json.loads(x) for x in f if '"event":"step"' in x]
    seconds = sum(s["seconds"] for s in steps)
    took = {"per_step": seconds / len(steps), "wall": time.monotonic() - start, "memory": seen}
    if guarded:
        end = records(run)[-1]
        took["cpu"] = end["guard"]["cpu_seconds"]
        busy = [b for b in busy if b[0] - start > 1.2] or busy
        took["share"] = 100 * (busy[-1][1] - busy[0][1]) / max(busy[-1][0] - busy[0][0], 1e-9)
    shutil.rmtree(run)
    return took


def red_to_durable(a, folder):
    """A budget that the run is found to be over: from the command to the answer that the checkpoint lies on the disk."""
    root = tempfile.mkdtemp(prefix="accord_guard.")
    os.symlink("/sys", os.path.join(root, "sys"))
    os.makedirs(os.path.join(root, "proc"))
    with open("/proc/meminfo") as f, open(os.path.join(root, "proc", "meminfo"), "w") as g:
        g.write(f.read())
    before = set(os.listdir(os.path.join(folder, ".accord", "runs")))
    p = subprocess.Popen([a.accord, "-C", folder, "train", "-q", "--memory-limit", "4G"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env=dict(os.environ, ACCORD_GUARD_ROOT=root))
    pid, run = None, None
    while p.poll() is None and not pid:
        time.sleep(0.01)
        fresh = [n for n in set(os.listdir(os.path.join(folder, ".accord", "runs"))) - before if not n.startswith(".")]
        if not fresh:
            continue
        run = os.path.join(folder, ".accord", "runs", fresh[0])
        steps = os.path.join(run, "metrics.jsonl")
        if os.path.exists(steps) and '"event":"step"' in open(steps).read():
            pid = records(run)[0]["pid"]
    os.makedirs(os.path.join(root, "proc", str(pid)))
    start = time.monotonic()
    path = os.path.join(root, "proc", str(pid), "smaps_rollup")
    with open(path + ".new", "w") as f:
        f.write("Rss: 1 kB\nPss: %d kB\n" % (4 * 1024 * 1024 * 97 // 100))
    os.rename(path + ".new", path)
    code = p.wait()
    whole = time.monotonic() - start
    lines = records(run)
    act = [x for x in lines if x["k"] == "act" and x["act"] == "checkpoint-exit"][0]
    ack = [x for x in lines if x["k"] == "ack" and x["id"] == act["id"]][0]
    shutil.rmtree(root)
    shutil.rmtree(run)
    return {"exit": code, "ack_ms": ack["ms"], "to_end": whole, "durable": ack["durable"]}


def mib(n):
    return "%.1f MiB" % (n / (1 << 20))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("accord")
    p.add_argument("project")
    p.add_argument("--pairs", type=int, default=10)
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--red", type=int, default=3)
    a = p.parse_args()
    a.accord = os.path.abspath(a.accord)
    folder = tempfile.mkdtemp(prefix="accord_guard_cost.")
    work = os.path.join(folder, "project")
    shutil.copytree(a.project, work, ignore=shutil.ignore_patterns(".accord"))
    os.makedirs(os.path.join(work, ".accord", "runs"), exist_ok=True)
    try:
        ratios, shares, starts, seen = [], [], [], []
        for i in range(a.pairs):
            pair = {}
            for guarded in ((True, False), (False, True))[i % 2]:
                pair[guarded] = train(a, work, guarded)
            ratios.append(pair[True]["per_step"] / pair[False]["per_step"])
            shares.append(pair[True]["share"])
            starts.append(pair[True]["cpu"] - pair[True]["share"] / 100 * pair[True]["wall"])
            seen.append(pair[True]["memory"])
            print("pair %2d: %.4f s a step with, %.4f s without: %.4f; guard: %.2f %% of a processor"
                  % (i + 1, pair[True]["per_step"], pair[False]["per_step"], ratios[-1], shares[-1]), flush=True)
        if ratios:
            rss, pss, private, peak = (max(x[k] for x in seen) for k in range(4))
            print("seconds a step, with / without: median %.4f (%.4f to %.4f)" % (statistics.median(ratios), min(ratios), max(ratios)))
            print("the guard: median %.2f %% of a processor, %.0f ms to start; %s private, PSS %s, RSS %s (%s while it started)"
                  % (statistics.median(shares), 1e3 * statistics.median(starts), mib(private), mib(pss), mib(rss), mib(peak)))
        for _ in range(a.red):
            red = red_to_durable(a, work)
            print("red memory: checkpoint of step %d on the disk %d ms after the command, the run at its end %.2f s after the signal "
                  "(exit %d)" % (red["durable"], red["ack_ms"], red["to_end"], red["exit"]), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
