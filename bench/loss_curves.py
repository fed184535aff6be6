#!/usr/bin/env python3
"""Collects what loss_curves.sh trained: loss_curves.py FOLDER (standard library only).

Reads FOLDER/<set>-<numerics>-<seed>/.accord/runs/*, the newest finished run of each, and writes beside them
  curves.csv    set,numerics,seed,kind,step,loss: every step and every validation, losses as the run wrote them.
                Losses are bit-exact, so this file is the same wherever the runs were made.
  summary.txt   per set, validation by validation: both means, the differences of the pairs, the spread of the seeds
  curves.html   the same drawn, in one file that needs nothing else
What a run is comes from its lock; runs of one set must agree in everything but numerics and seed."""
import csv
import html
import json
import math
import pathlib
import sys

COLOURS = {"fp32": "#1f5fa8", "bf16": "#d2691e"}
SMOOTH = 10                                          # steps in the running mean of training losses


def fail(text):
    sys.exit("loss_curves: " + text)


# ---- reading ------------------------------------------------------------------------------------------------

def newest_finished(folder):
    done = []
    for run in sorted(folder.glob(".accord/runs/*/run.json")):
        if json.loads(run.read_text())["state"] == "trained":
            done.append(run.parent)
    return done[-1] if done else None


def read_run(folder):
    run = newest_finished(folder)
    if run is None:
        return None
    name, numerics, seed = folder.name.rsplit("-", 2)
    values = json.loads((run / "lock.json").read_text())["values"]
    method = values["method"]
    if (method["numerics"], str(method["seed"])) != (numerics, seed):
        fail(f"{run}: the lock says numerics {method['numerics']}, seed {method['seed']}, the folder {folder.name}")
    method["numerics"] = method["seed"] = None
    curves = {"step": {}, "eval": {}}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] in curves and event["loss"] is not None:
            curves[event["event"]][event["step"]] = event["loss"]
    facts = json.loads((run / "run.json").read_text())
    return {"set": name, "numerics": numerics, "seed": int(seed), "values": values, "curves": curves, "facts": facts}


def read_all(folder):
    runs, unfinished = [], []
    for sub in sorted(folder.iterdir()):
        if not (sub / "accord.yaml").is_file() or sub.name.count("-") < 2:
            continue
        run = read_run(sub)
        if run is None:
            unfinished.append(sub.name)
        else:
            runs.append(run)
    for name in {r["set"] for r in runs}:
        same = [r for r in runs if r["set"] == name]
        for r in same[1:]:
            if r["values"] != same[0]["values"]:
                fail(f"{name}: runs of different contracts (numerics {r['numerics']}, seed {r['seed']} beside "
                     f"{same[0]['numerics']}, {same[0]['seed']}); run loss_curves.sh again with one set of options")
    return runs, unfinished


# ---- figures ------------------------------------------------------------------------------------------------

def mean(x):
    return sum(x) / len(x)


def spread(x):
    """Standard deviation of a sample, None for less than two."""
    if len(x) < 2:
        return None
    m = mean(x)
    return math.sqrt(sum((v - m) ** 2 for v in x) / (len(x) - 1))


def pairs_of(runs, name):
    """Seed -> (fp32 run, bf16 run), for seeds that have both."""
    by = {(r["numerics"], r["seed"]): r for r in runs if r["set"] == name}
    seeds = sorted(s for n, s in by if n == "fp32" and ("bf16", s) in by)
    return {s: (by["fp32", s], by["bf16", s]) for s in seeds}


def compare(pairs, kind):
    """Step by step: losses of both, differences bf16 - fp32 of the pairs, spread of fp32 over the seeds."""
    steps = set.intersection(*[set(r["curves"][kind]) for p in pairs.values() for r in p])
    rows = []
    for step in sorted(steps):
        fp32 = [p[0]["curves"][kind][step] for p in pairs.values()]
        bf16 = [p[1]["curves"][kind][step] for p in pairs.values()]
        rows.append({"step": step, "fp32": fp32, "bf16": bf16, "diff": [b - a for a, b in zip(fp32, bf16)],
                     "spread": spread(fp32)})
    return rows


def text_of(x, form):
    return "-" if x is None else form % x


def table(rows):
    out = ["  step  fp32 mean  bf16 mean   difference of pairs: mean    least    most   seeds (fp32, s.d.)"]
    for r in rows:
        out.append("%6d %10.5f %10.5f %28.5f %8.5f %7.5f %20s" % (
            r["step"], mean(r["fp32"]), mean(r["bf16"]), mean(r["diff"]), min(r["diff"]), max(r["diff"]),
            text_of(r["spread"], "%.5f")))
    return out


def sentences(pairs, valid, train):
    """What the figures come to, in words; the reader judges."""
    out = []
    if valid:
        last = valid[-1]
        worst = max(valid, key=lambda r: abs(mean(r["diff"])))
        out.append("last validation: fp32 %.5f, bf16 %.5f, difference %+.5f; the seeds' standard deviation is %s (fp32), "
                   "%s (bf16)" % (mean(last["fp32"]), mean(last["bf16"]), mean(last["diff"]),
                                  text_of(last["spread"], "%.5f"), text_of(spread(last["bf16"]), "%.5f")))
        out.append("largest mean difference of any validation: %+.5f at step %d, where the seeds' standard deviation is %s"
                   % (mean(worst["diff"]), worst["step"], text_of(worst["spread"], "%.5f")))
    moved = [r for r in train if r["spread"]]
    if moved:
        out.append("training loss, over %d steps: mean size of a pair's difference %.5f, mean standard deviation of the "
                   "seeds %.5f" % (len(moved), mean([abs(d) for r in moved for d in r["diff"]]),
                                   mean([r["spread"] for r in moved])))
    for i, n in enumerate(("fp32", "bf16")):
        rates = [p[i]["facts"]["tokens_per_second"] for p in pairs.values()]
        out.append("%s: %.0f tokens/s (mean of the runs; means little where several ran at a time)" % (n, mean(rates)))
    return out


# ---- drawing ------------------------------------------------------------------------------------------------

def smooth(curve):
    steps = sorted(curve)
    return [(s, mean([curve[t] for t in steps[max(0, i - SMOOTH + 1):i + 1]])) for i, s in enumerate(steps)]


def panel(title, lines, band=()):
    """lines: (colour, points); band: (x, low, high). One SVG."""
    w, h, left, right, top, foot = 520, 300, 64, 12, 30, 36
    xs = [x for _, pts in lines for x, _ in pts] or [0]
    ys = [y for _, pts in lines for _, y in pts] + [v for _, a, b in band for v in (a, b)] or [0]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1, pad = max(x1, x0 + 1), (y1 - y0) * 0.05 or 1e-6
    y0, y1 = y0 - pad, y1 + pad

    def px(x):
        return "%.1f" % (left + (x - x0) / (x1 - x0) * (w - left - right))

    def py(y):
        return "%.1f" % (h - foot - (y - y0) / (y1 - y0) * (h - top - foot))

    out = [f'<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img"><title>{html.escape(title)}</title>',
           f'<text x="{left}" y="18" class="t">{html.escape(title)}</text>']
    if band:
        edge = [f"{px(x)},{py(b)}" for x, _, b in band] + [f"{px(x)},{py(a)}" for x, a, _ in reversed(band)]
        out.append(f'<polygon points="{" ".join(edge)}" fill="#8884"/>')
    for i in range(5):
        y = y0 + (y1 - y0) * i / 4
        x = x0 + (x1 - x0) * i / 4
        out.append(f'<path d="M{left} {py(y)}H{w - right}" class="g"/><text x="{left - 6}" y="{py(y)}" class="y">{y:.4g}'
                   f'</text><text x="{px(x)}" y="{h - foot + 16}" class="x">{x:.0f}</text>')
    for colour, pts in lines:
        out.append(f'<polyline points="{" ".join(px(x) + "," + py(y) for x, y in pts)}" stroke="{colour}"/>')
    return "".join(out) + f'<text x="{(w + left) // 2}" y="{h - 4}" class="x">step</text></svg>'


def draw(name, pairs, valid, said):
    runs = [r for p in pairs.values() for r in p]
    out = [f"<h2>{html.escape(name)}</h2><ul>", *[f"<li>{html.escape(s)}</li>" for s in said], "</ul>"]
    out.append(panel(f"training loss, running mean of {SMOOTH} steps, each seed",
                     [(COLOURS[r["numerics"]], smooth(r["curves"]["step"])) for r in runs]))
    if valid:
        out.append(panel("validation loss, each seed",
                         [(COLOURS[r["numerics"]], sorted(r["curves"]["eval"].items())) for r in runs]))
        band = [(r["step"], -r["spread"], r["spread"]) for r in valid if r["spread"] is not None]
        out.append(panel("validation: bf16 minus fp32; grey: the seeds' s.d.",
                         [(COLOURS["bf16"], [(r["step"], r["diff"][i]) for r in valid]) for i in range(len(pairs))], band))
        out.append(f"<pre>{html.escape(chr(10).join(table(valid)))}</pre>")
    return "".join(out)


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Loss curves: fp32/1 and bf16/1</title>
<style>body{font:15px/1.5 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}pre{overflow-x:auto}
svg{max-width:100%%}polyline{fill:none;stroke-width:1.3}.g{stroke:#8883}text{font-size:11px;fill:currentColor}
.t{font-size:13px;font-weight:bold}.y{text-anchor:end;dominant-baseline:middle}.x{text-anchor:middle}</style>
<h1>Loss curves: <span style="color:%s">fp32/1</span> and <span style="color:%s">bf16/1</span></h1>
<p>SmolLM2-135M-Instruct, LoRA. A seed gives both numerics the same start and the same rows in the same order.</p>
%s</html>
"""


# ---- the whole ----------------------------------------------------------------------------------------------

def main():
    folder = pathlib.Path(sys.argv[1])
    runs, unfinished = read_all(folder)
    if not runs:
        fail(f"no finished run under {folder}")
    with open(folder / "curves.csv", "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["set", "numerics", "seed", "kind", "step", "loss"])
        for r in runs:
            for kind, curve in r["curves"].items():
                for step, loss in sorted(curve.items()):
                    out.writerow([r["set"], r["numerics"], r["seed"], kind, step, repr(loss)])
    text, page = [], []
    for name in sorted({r["set"] for r in runs}):
        pairs = pairs_of(runs, name)
        text.append("%s: %d runs, seeds with both numerics: %s" % (
            name, sum(r["set"] == name for r in runs), " ".join(map(str, pairs)) or "none, nothing to compare"))
        if pairs:
            valid, train = compare(pairs, "eval"), compare(pairs, "step")
            said = sentences(pairs, valid, train)
            text += table(valid) + ["  " + s for s in said]
            page.append(draw(name, pairs, valid, said))
        text.append("")
    text += ["not finished: " + u for u in unfinished]
    (folder / "summary.txt").write_text("\n".join(text).rstrip() + "\n")
    (folder / "curves.html").write_text(PAGE % (COLOURS["fp32"], COLOURS["bf16"], "".join(page)))
    print((folder / "summary.txt").read_text(), end="")
    print(f"written: {folder}/curves.csv, summary.txt, curves.html")


main()
