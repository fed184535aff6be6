"""The test of the test: programs broken on purpose (tests/identity/mutants.txt), each of which `make identity` must
find. A mutant is the built program with one source changed: that source's dependents are compiled again in a copied
tree and linked in front of the library. Nothing in the product knows of it.

Exit code 0: all were found; 1: one was not, or could not be made; 77: there is nothing to test with."""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIST = os.path.join(ROOT, "tests", "identity", "mutants.txt")


class Broken(Exception):
    """A mutant could not be made."""


def call(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        raise Broken("%s ends with %d: %s" % (command[0], done.returncode, text.strip()[-400:]))
    return text


def read_mutants():
    """What is changed in every mutant, and the mutants: dicts with name, what, file, changes [(old, new)] and perhaps
    tier, only, kinds."""
    out = []
    with open(LIST, encoding="utf-8") as f:
        for number, line in enumerate(f.read().split("\n"), 1):
            word, _, rest = line.partition(" ")
            if not line or word == "#" or line == "#":
                continue
            if word in ("mutant", "every:"):
                name, _, what = rest.partition(": ")
                out.append({"name": name, "what": what, "changes": []})
            elif word in ("tier", "file", "only", "kinds"):
                out[-1][word] = rest
            elif word in ("<", ">"):
                side = word == ">"
                changes = out[-1]["changes"]
                if not side and (not changes or changes[-1][1]):
                    changes.append(([], []))
                changes[-1][side].append(rest)
            else:
                raise Broken("%s:%d: %s" % (LIST, number, line))
    return out[0], out[1:]


def dependents(build, source):
    """Sources of the program that are compiled from this file: itself, or all that include it."""
    full, out, current = os.path.join(ROOT, source), [], None
    for line in call(["ninja", "-C", build, "-t", "deps"], ROOT).split("\n"):
        if line and line[0] != " ":
            current = line.split(":")[0]
        elif current and "accord_core.dir" in current and os.path.realpath(os.path.join(build, line.strip())) == full:
            out.append(current)
    return out


def replace_once(path, old, new):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if text.count(old) != 1:
        raise Broken("%s: the text to change is there %d times, expected once; mutants.txt must follow the source:\n%s"
                     % (path, text.count(old), old))
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


def compile_changed(change, build, work, commands):
    """Changes a file of the copied tree and compiles what is made from it; gives the objects."""
    objects = []
    for old, new in change["changes"]:
        replace_once(os.path.join(work, change["file"]), "\n".join(old), "\n".join(new))
    for obj in dependents(build, change["file"]):
        words, full = commands[obj]
        source = os.path.relpath(full, ROOT)
        if "only" in change and source != change["only"]:
            continue
        target = os.path.join(work, os.path.basename(source) + ".o")
        words = ["-I" + os.path.join(work, "src") if w == "-I" + os.path.join(ROOT, "src") else
                 os.path.join(work, source) if w == full else target if w == obj else w for w in words]
        call(words + ["-Wno-error"], build)
        objects.append(target)
    return objects


def make(mutant, every, build, work):
    """Compiles and links the mutant; gives its path."""
    shutil.copytree(os.path.join(ROOT, "src"), os.path.join(work, "src"))
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = {}
        for c in json.load(f):
            words = shlex.split(c["command"])
            commands[words[words.index("-o") + 1]] = (words, c["file"])
    objects = compile_changed(mutant, build, work, commands)
    if not objects:
        raise Broken("nothing of the program is compiled from %s" % mutant["file"])
    objects += [o for o in compile_changed(every, build, work, commands) if o not in objects]
    link = call(["ninja", "-C", build, "-t", "commands", "accord"], ROOT).strip().split("\n")[-1]
    words = [w for w in shlex.split(link) if w not in (":", "&&")]
    out = os.path.join(work, "accord")
    words[words.index("-o") + 1] = out
    at = next(i for i, w in enumerate(words) if w.endswith("libaccord_core.a"))
    call(words[:at] + objects + words[at:], build)
    return out


def judge(mutant, program, jobs):
    """What `make identity` says of it: (found, sentence)."""
    command = [sys.executable, os.path.join(ROOT, "tools", "identity"), "--quick", "--json", "--stop", "--no-build",
               "--binary", "mutant=" + program, "--jobs", str(jobs)]
    if mutant.get("tier"):
        command += ["--tiers", mutant["tier"]]
    if mutant.get("kinds"):
        command += ["--kinds", mutant["kinds"]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    if done.returncode not in (0, 1):
        raise Broken("identity ends with %d: %s" % (done.returncode, text.strip()[-300:]))
    try:
        rows = [r for r in json.loads(text)["rows"] if r["differences"]]
    except ValueError as e:
        raise Broken("identity said: %s" % text.strip()[-300:]) from e
    if not rows:
        return False, "no difference"
    return True, "%s, %s: %s" % (rows[0]["scenario"], rows[0]["kind"], rows[0]["differences"][0])


def main():
    p = argparse.ArgumentParser(description="breaks the program on purpose and asks `make identity` to find it")
    p.add_argument("--build", default=os.path.join(ROOT, "build"), help="a configured and built folder")
    p.add_argument("--only", help="only these mutants, with commas")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    o = p.parse_args()
    build = os.path.realpath(o.build)
    told = subprocess.run([os.path.join(build, "accord"), "doctor", "--json"], stdout=subprocess.PIPE, check=True)
    tiers = json.loads(told.stdout)["cpu"]["tiers"].split()
    found = missed = absent = 0
    every, mutants = read_mutants()
    for mutant in mutants:
        if o.only and mutant["name"] not in o.only.split(","):
            continue
        tier = mutant.get("tier")
        if tier and tier not in tiers:
            print("not run  %-22s this CPU has no %s" % (mutant["name"], tier), flush=True)
            absent += 1
            continue
        work = tempfile.mkdtemp(prefix="accord_mutant.")
        begin = time.monotonic()
        try:
            ok, said = judge(mutant, make(mutant, every, build, work), o.jobs)
        except Broken as e:
            ok, said = False, str(e)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        found, missed = found + ok, missed + (not ok)
        print("%s  %-22s %s\n%s%s (%.0f s)" % ("found  " if ok else "MISSED ", mutant["name"], mutant["what"], " " * 9,
                                             said, time.monotonic() - begin), flush=True)
    print("mutants: %d found, %d missed, %d not run" % (found, missed, absent))
    return 1 if missed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
