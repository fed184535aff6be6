"""make identity: the same bits from every program, instruction set, number of threads and micro-batch, after any kill.

Trains the scenarios of tests/identity/scenarios.txt through the command line, as a user would, and compares everything
that comes out with tests/identity/manifest.json. docs/identity.md says how to read the table. Exit code 0: no
difference; 1: some; 66: no base model; 70: nothing could be run."""
import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import manifest
import matrix
import runs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITE = os.path.join(ROOT, "tests", "identity")
MANIFEST = os.path.join(SUITE, "manifest.json")
BASE = os.path.join(ROOT, "examples", "tiny-base", "model")
PRESETS = (("gcc", "release"), ("clang", "clang"), ("static", "static"), ("aarch64", "aarch64"))
NEEDS = {"clang": "clang", "aarch64": "aarch64-linux-gnu-gcc"}


def arguments():
    p = argparse.ArgumentParser(prog="make identity", description=__doc__.split("\n")[0])
    p.add_argument("--diff", nargs=2, metavar="RUN", help="run nothing: where do these two run folders part?")
    p.add_argument("--quick", action="store_true", help="a part of the matrix, for every landing")
    p.add_argument("--json", action="store_true", help="everything as JSON on stdout, instead of the table")
    p.add_argument("--write", choices=("yes", "force"), help="rewrite the manifest, when all configurations agree")
    p.add_argument("--binary", action="append", default=[], metavar="NAME=PATH",
                   help="use this program; given once, only those given are used")
    p.add_argument("--programs", help="only these of gcc, clang, static, aarch64, with commas")
    p.add_argument("--no-build", action="store_true", help="use the programs that are there, as they are")
    p.add_argument("--tiers", help="only these instruction sets, with commas")
    p.add_argument("--scenarios", help="only these scenarios, with commas")
    p.add_argument("--kinds", help="only these kinds of configuration (plain, kill, relay, eval, save, recompute, ab, ...)")
    p.add_argument("--stop", action="store_true", help="stop at the first difference")
    p.add_argument("--base", help="folder of the base model, instead of the committed one")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="configurations at a time")
    p.add_argument("--seed", type=int, default=1, help="of the kills' moments and of what is combined")
    p.add_argument("--list", action="store_true", help="print the configurations and stop")
    return p.parse_args()


# ---- programs

def preset_folder(preset):
    with open(os.path.join(ROOT, "CMakePresets.json"), encoding="utf-8") as f:
        for p in json.load(f)["configurePresets"]:
            if p["name"] == preset:
                return p["binaryDir"].replace("${sourceDir}", ROOT)
    raise runs.RunFailed("CMakePresets.json has no preset %s" % preset)


def build(name, preset, folder):
    tool = NEEDS.get(name)
    if tool and not shutil.which(tool):
        raise runs.RunFailed("%s is not installed" % tool)
    for command in (["cmake", "--preset", preset], ["cmake", "--build", folder, "--target", "accord", "checkkern"]):
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            lines = done.stdout.decode(errors="replace").strip().split("\n")
            why = next((l for l in lines if "error:" in l), lines[-1])
            raise runs.RunFailed("%s: %s" % (" ".join(command[:3]), why.strip()[:200]))


def emulator(name):
    """What must stand in front of a program for another CPU."""
    if name != "aarch64" or os.uname().machine == "aarch64":
        return []
    for tool in ("qemu-aarch64", "qemu-aarch64-static"):
        if shutil.which(tool):
            return [tool]
    raise runs.RunFailed("qemu-aarch64 is not installed")


def programs(o):
    """The Binaries that run here, and (name, reason) of those that do not."""
    found, missing = [], []
    given = [b.split("=", 1) for b in o.binary]
    for name, at in given or PRESETS:
        if o.programs and name not in o.programs.split(","):
            continue
        try:
            front = emulator(name)
            path, beside = at, None
            if not given:
                folder = preset_folder(at)
                path, beside = os.path.join(folder, "accord"), os.path.join(folder, "tests", "kernels", "checkkern")
                if not o.no_build:
                    build(name, at, folder)
                if not os.path.exists(path):
                    raise runs.RunFailed("%s is not built" % os.path.relpath(path, ROOT))
            kernels = front + [beside] if beside and os.path.exists(beside) else ()
            binary = runs.probe(name, front + [os.path.abspath(path)], bool(front), kernels)
            if o.tiers:
                tiers = tuple(t for t in binary.tiers if t in o.tiers.split(","))
                binary = dataclasses.replace(binary, tiers=tiers)
            if binary.tiers:
                found.append(binary)
        except runs.RunFailed as e:
            missing.append((name, str(e)))
    return found, missing


def absent_tiers(binaries):
    """Instruction sets that no program here could use: the CPU lacks them, or no build for them runs."""
    have = {t for b in binaries for t in b.tiers}
    return [(t, "no program that runs here has it on this CPU") for t in ("ref", "avx2", "avx512", "neon") if t not in have]


# ---- inputs

def inputs_hash(scenario, base):
    """Of everything that a scenario is computed from, the program apart."""
    h = hashlib.sha256(json.dumps(scenario.keys, sort_keys=True).encode())
    project = os.path.join(SUITE, "project")
    for root, names in ((project, ["accord.yaml"] + ["data/" + n for n in sorted(os.listdir(project + "/data"))]
                         + ["evals/cases.jsonl"]),
                        (base, sorted(n for n in os.listdir(base) if n.endswith((".safetensors", ".gguf", ".json"))))):
        for n in names:
            h.update(("%s %s\n" % (n, runs.sha(runs.read(os.path.join(root, n))))).encode())
    return h.hexdigest()[:16]


def find_base(o):
    path = o.base or BASE
    return os.path.abspath(path) if os.path.exists(os.path.join(path, "config.json")) else None


# ---- the table

COLUMNS = (("scenario", 14), ("program", 8), ("tier", 6), ("threads", 7), ("micro", 5), ("what", 28), ("s", 5))


def line_of(cells):
    return " ".join(str(c).rjust(w) if name == "s" else str(c).ljust(w) for c, (name, w) in zip(cells, COLUMNS))


def how(config):
    if config.kind == "eval":
        return "eval_every %s" % config.keys["method.eval_every"]
    if config.kind in ("save", "recompute"):
        key = {"save": "save_every"}.get(config.kind, config.kind)
        return "%s %s" % (key, config.keys["method." + key])
    shared = config.legs[0].workers
    return {"plain": "%d workers" % shared if shared > 1 else "", "ab": "ab"}.get(config.kind, config.kind)


def cells_of(config, note, seconds):
    legs, what = config.legs, note or how(config)
    if len(set(legs)) > 1:
        return (config.scenario.name, "several", "", "", "", what, "%.1f" % seconds)
    leg = legs[0]
    return (config.scenario.name, leg.binary.name, leg.tier, leg.threads, leg.micro, what, "%.1f" % seconds)


def legs_of(config):
    """For the line below a row of several programs or tiers."""
    if len(set(config.legs)) == 1:
        return None
    return "; then ".join("%s %s %d threads micro %d%s" % (l.binary.name, l.tier, l.threads, l.micro,
                                                           " %d workers" % l.workers if l.workers > 1 else "") for l in config.legs)


class Table:
    """Rows as they come, or nothing with --json; either way they are kept."""

    def __init__(self, o):
        self.quiet, self.rows = o.json, []
        if not self.quiet:
            print(line_of([name for name, _ in COLUMNS]) + "  result", flush=True)

    def add(self, config, note, seconds, told):
        cells = cells_of(config, note, seconds)
        self.rows.append({
            "scenario": config.scenario.name, "kind": config.kind, "note": note, "seconds": round(seconds, 3),
            "legs": [{"program": l.binary.name, "tier": l.tier, "threads": l.threads, "micro_batch": l.micro,
                      "workers": l.workers}
                     for l in config.legs],
            "result": "differs" if told else "ok", "differences": told})
        if self.quiet:
            return
        print(line_of(cells) + "  " + ("DIFFERS" if told else "ok"), flush=True)
        if legs_of(config):
            print("    " + legs_of(config), flush=True)
        for sentence in told:
            print("    " + sentence, flush=True)


# ---- the run

def compare_all(configs, projects, expected, table, o):
    """Runs everything; gives the first whole Result of each scenario. Where the manifest knows a scenario its hashes
    are expected, else those of the scenario's first configuration."""
    first, good, stop = {}, {}, False

    def one(config):
        if stop:
            return None
        begin = time.monotonic()
        try:
            return runs.run_config(projects, config), time.monotonic() - begin
        except runs.RunFailed as e:
            return e, time.monotonic() - begin

    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        for config, future in [(c, pool.submit(one, c)) for c in configs]:
            done = future.result()
            if done is None:
                continue
            result, seconds = done
            name = config.scenario.name
            if isinstance(result, runs.RunFailed):
                table.add(config, "", seconds, ["did not finish: %s" % result])
                stop = o.stop
                continue
            if config.kind == "kernels":
                first.setdefault(name, result)
                told = manifest.kernel_differences(expected.get(name, first[name].kernels), result)
                table.add(config, result.note, seconds, told)
                stop = o.stop and bool(told)
                continue
            if config.kind in ("freeze", "selftest"):
                table.add(config, result.note, seconds, [])
                continue
            if "adapter" in result.hashes:
                keep = first.setdefault(name, result)
                if "answers" in result.hashes:
                    keep.hashes.setdefault("answers", result.hashes["answers"])
            want = expected.get(name) or manifest.entry(first[name], "") if name in first or name in expected else None
            told = manifest.differences(want, result, good.get(name)) if want else ["nothing to compare with"]
            if not told and "adapter" in result.hashes:
                good.setdefault(name, result)
            table.add(config, result.note, seconds, told)
            stop = o.stop and bool(told)
    return first


def summary(table, missing, seconds):
    bad = sum(1 for r in table.rows if r["differences"])
    why = "; ".join("%s: %s" % m for m in missing)
    return "identity: %d configurations, %d differences, %d not run%s (%d s)" % (
        len(table.rows), bad, len(missing), " (%s)" % why if why else "", seconds), bad


def hint(table, expected):
    """When everything differs from the manifest in the same way, no tier is broken: the formula is another one."""
    seen, all_bad = {}, set()
    for r in table.rows:
        if r["kind"] in ("freeze", "eval", "kernels", "selftest"):
            continue
        seen.setdefault(r["scenario"], set()).add(r["result"])
    for name, results in seen.items():
        if name in expected and results == {"differs"}:
            all_bad.add(name)
    if all_bad:
        print("In %s no configuration fits the manifest. If they agree with each other, the arithmetic itself was\n"
              "changed and not one tier: see \"A wanted change\" in docs/identity.md." % ", ".join(sorted(all_bad)))


def write(o, old, new, bad):
    """With --scenarios, or without checkkern, what was not run stays as it is."""
    if bad:
        print("identity: the manifest is not rewritten: the configurations differ among themselves")
        return 1
    changed = manifest.refusals(old, new) if old else []
    if changed and o.write != "force":
        print("identity: the manifest is not rewritten: the same inputs give other bits under the same\n"
              "numerics in %s. A change of bits needs a new version (docs/identity.md, \"A wanted change\")."
              % ", ".join(changed))
        return 1
    if old:
        new["kernels"] = new["kernels"] or old["kernels"]
        if o.scenarios:
            new["scenarios"] = dict(old["scenarios"], **new["scenarios"])
    with open(MANIFEST, "w", encoding="utf-8") as f:
        f.write(manifest.text_of(new))
    print("tests/identity/manifest.json written: %d scenarios" % len(new["scenarios"]))
    return 0


def diff(a, b):
    """Two run folders, from whichever machines: the first step in which they differ, and the first tensor."""
    try:
        want, got = runs.finished(a), runs.finished(b)
    except (OSError, runs.RunFailed) as e:
        print("identity: %s" % e)
        return 66
    told = manifest.differences(manifest.entry(want, ""), got, want)
    print("\n".join(told) or "no difference: %d steps, %d tensors" % (len(got.steps), len(got.tensors)))
    return 1 if told else 0


def main():
    o = arguments()
    if o.diff:
        return diff(*o.diff)
    if o.write and (o.kinds or o.tiers):
        print("identity: --write needs all kinds of configuration and all tiers; leave --kinds and --tiers out")
        return 64
    base = find_base(o)
    if not base:
        print("not run: no base model (examples/tiny-base/model)")
        return 66
    begin = time.monotonic()
    binaries, missing = programs(o)
    if not binaries:
        print("identity: nothing to run: %s" % "; ".join("%s: %s" % m for m in missing))
        return 70
    if not o.tiers and not o.binary and not o.programs:
        missing += absent_tiers(binaries)
    contract = runs.read(os.path.join(SUITE, "project", "accord.yaml")).decode()
    scenarios = matrix.read_scenarios(os.path.join(SUITE, "scenarios.txt"), contract)
    if o.scenarios:
        scenarios = [s for s in scenarios if s.name in o.scenarios.split(",")]
    configs = matrix.plan(scenarios, binaries, o.quick, o.seed)
    if o.kinds:
        configs = [c for c in configs if c.kind in o.kinds.split(",")]
    old = manifest.read(MANIFEST) if os.path.exists(MANIFEST) else None
    inputs = {s.name: inputs_hash(s, base) for s in scenarios}
    expected = dict(old["scenarios"], kernels=old["kernels"]) if old and not o.write else {}
    stale = [n for n in inputs if n in expected and expected[n]["inputs"] != inputs[n]]
    lacks = [n for n in inputs if n not in expected]
    if o.list:
        for c in configs:
            print(line_of(cells_of(c, "", 0)) + ("  " + legs_of(c) if legs_of(c) else ""))
        return 0
    if stale or (lacks and not o.write):
        print("identity: tests/identity/manifest.json has no hashes for these inputs: %s; make identity WRITE=1"
              % ", ".join(stale + lacks))
        return 1
    work = tempfile.mkdtemp(prefix="accord_identity.")
    try:
        projects = runs.Projects(os.path.join(SUITE, "project"), base, work, binaries[0])
        table = Table(o)
        first = compare_all(configs, projects, expected, table, o)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text, bad = summary(table, missing, time.monotonic() - begin)
    numerics = sorted({r.numerics for r in first.values() if r.numerics})
    now = {"manifest": 1, "kernels": first["kernels"].kernels if "kernels" in first else {},
           "scenarios": {s.name: manifest.entry(first[s.name], inputs[s.name]) for s in scenarios if s.name in first}}
    if o.json:
        print(json.dumps({"configurations": len(table.rows), "differences": bad, "not_run": missing,
                          "numerics": numerics, "manifest_sha256": manifest.hash_of(old) if old else None,
                          "programs": {b.name: b.doctor for b in binaries}, "rows": table.rows, "found": now}, indent=1))
    else:
        hint(table, expected)
        print("numerics %s, manifest %s" % (" ".join(numerics), manifest.hash_of(old)[:16] if old else "none"))
        print(text)
    if o.write:
        return write(o, old, now, bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
