"""What the peers share: the rows that accord computed, the orders of the harness, and reports on stdout.

A peer prints one JSON line when it is ready for its first step, then waits for "go" lines; each makes it take the next
step and print a line with its time. Between its turns it does nothing, so that the trainers can take turns."""
import json
import os
import resource
import sys
import time


def say(**fields):
    print(json.dumps(fields), flush=True)


def peak_bytes():
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cpu_seconds():
    t = os.times()
    return t.user + t.system


class Step:
    """ids and labels as lists of rows of pack_len; labels -100 where nothing is learnt, not shifted."""

    def __init__(self, units, pack_len, pad=0, rows=None):
        units = units[:rows] if rows else units
        self.source = units, pack_len
        self.ids, self.labels = [], []
        self.tokens = self.supervised = 0
        for u in units:
            fill = pack_len - len(u["ids"])
            if fill < 0:
                raise SystemExit("a unit is longer than pack_len; raise pack_len in the contract")
            self.ids.append(u["ids"] + [pad] * fill)
            self.labels.append([i if t else -100 for i, t in zip(u["ids"], u["target"])] + [-100] * fill)
            self.tokens += len(u["ids"])
            self.supervised += sum(u["target"])


    def first_row(self):
        return Step(*self.source, rows=1)


def load_steps(path, rows=None):
    with open(path) as f:
        d = json.load(f)
    return [Step(units, d["pack_len"], rows=rows) for units in d["steps"]]


def serve(name, steps, take):
    """take(step) does one whole optimizer step and returns its loss. "warm" takes one over the first row only."""
    say(event="ready", name=name, at=time.time(), peak_bytes=peak_bytes())
    turn = 0
    for line in sys.stdin:
        if line.strip() not in ("go", "warm"):
            break
        s = steps[turn % len(steps)]
        if line.strip() == "warm":
            s = s.first_row()
        turn += 1
        cpu, start = cpu_seconds(), time.perf_counter()
        loss = take(s)
        seconds = time.perf_counter() - start
        say(event="step", step=turn, seconds=seconds, cpu_seconds=cpu_seconds() - cpu, loss=loss, tokens=s.tokens,
            positions=sum(len(r) for r in s.ids), supervised=s.supervised, at=time.time(), peak_bytes=peak_bytes())
