#!/usr/bin/env python3
"""Holds the time that `accord plan` foretells against what `accord train` then takes, on an idle machine.

    bench/plan_time.py [--accord build/accord] FOLDER:KEY=VALUE,...  ...

Each argument is a project (a folder with accord.yaml) and keys of its method section to be set, as
`examples/shop-sql:max_steps=40,eval_every=20` (nothing behind the = takes the key out). The project is copied with its neighbours, frozen, planned and trained; printed are the
foretold and the measured wall seconds of the training as a whole, and their ratio."""
import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def set_keys(path, keys):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for key, value in keys.items():
        if key == "max_steps":
            text = re.sub(r"(?m)^  epochs:.*\n", "", text)
        text = re.sub(rf"(?m)^  {key}:.*\n", "", text)
        if value:
            text = text.replace("method:\n", f"method:\n  {key}: {value}\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--accord", default=os.path.join(HERE, "build/accord"))
    p.add_argument("projects", nargs="+")
    a = p.parse_args()
    a.accord = os.path.abspath(a.accord)
    print(f"{'project':<60} {'foretold s':>10} {'took s':>8} {'ratio':>6} {'plan s':>7}")
    for spec in a.projects:
        folder, _, keys = spec.partition(":")
        work = tempfile.mkdtemp(prefix="accord_time.")
        try:
            parent = os.path.join(work, "all")
            shutil.copytree(os.path.dirname(os.path.abspath(folder)), parent, ignore=shutil.ignore_patterns(".accord"))
            here = os.path.join(parent, os.path.basename(os.path.abspath(folder)))
            set_keys(os.path.join(here, "accord.yaml"), dict(k.split("=") for k in keys.split(",") if k))
            run = lambda *c: subprocess.run([a.accord, *c], cwd=here, check=True, capture_output=True, text=True)
            lock = os.path.join(here, "accord.lock")
            if os.path.exists(lock):
                os.remove(lock)
            run("freeze")
            start = time.monotonic()
            foretold = json.loads(run("plan", "--json", "-q").stdout)["time"]["seconds"]
            planned = time.monotonic() - start
            start = time.monotonic()
            run("train", "-q", "--json")
            took = time.monotonic() - start
            print(f"{spec:<60} {foretold:10.1f} {took:8.1f} {foretold / took:6.3f} {planned:7.1f}", flush=True)
        finally:
            shutil.rmtree(work)


main()
