"""One configuration of `make identity`: trains as a user would, disturbs it, and collects what came out."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

TEXT_PROMPT = "On day 3 the wind"
TEXT_TOKENS = 40
GREEDY, SAMPLED = ("--temperature", "0"), ("--temperature", "0.9", "--top-k", "60", "--seed", "11")
TIMEOUT_S = 3600       # against a hang: plain C under emulation takes a quarter of an hour on a busy machine


class RunFailed(Exception):
    """A command that should have succeeded did not, or left something out."""


@dataclass(frozen=True)
class Binary:
    name: str
    argv: tuple          # the program, with its emulator in front where it needs one
    tiers: tuple         # instruction sets that it can use here, without "auto"
    emulated: bool
    checkkern: tuple = ()   # the kernels' own test, built beside it; empty where there is none
    broken: tuple = ()      # (tier, why): offered here, but the self-test at start-up refuses it
    doctor: dict = field(hash=False, compare=False, default_factory=dict)

    def slow(self, tier):
        return self.emulated or tier == "ref"


@dataclass(frozen=True)
class Leg:
    """How one piece of a training is computed. Nothing here may change a bit."""
    binary: Binary
    tier: str
    threads: int
    micro: int
    workers: int = 1     # of a training

    def options(self):
        return ["--cpu", self.tier, "--threads", str(self.threads)]


@dataclass
class Result:
    hashes: dict = field(default_factory=dict)   # what is compared: name -> SHA-256
    steps: list = field(default_factory=list)    # of the trace: h of each step
    lines: list = field(default_factory=list)    # of the trace, as they stand
    tensors: list = field(default_factory=list)  # of the adapter: (name, SHA-256), in the order of the names
    kernels: dict = field(default_factory=dict)  # of checkkern: test -> digest of all that the kernels gave
    numerics: str = ""                           # the version that the run says it was computed with
    text: str = ""
    note: str = ""                               # what was done to it


def sha(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def probe(name, argv, emulated, checkkern=()):
    """A Binary of a program that runs here; RunFailed says why it does not."""
    try:
        done = subprocess.run(list(argv) + ["doctor", "--json"], capture_output=True, timeout=120, check=False)
    except OSError as e:
        raise RunFailed("%s: %s" % (argv[0], e.strerror)) from e
    if done.returncode not in (0, 1):
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise RunFailed("doctor ends with %d: %s" % (done.returncode, text[:200]))
    doctor = json.loads(done.stdout)
    tiers = doctor["cpu"].get("tier")
    if tiers is None:
        raise RunFailed("an older program, whose doctor does not say which tiers can be used; build it again")
    return Binary(name, tuple(argv), tuple(t["name"] for t in tiers if t["usable"]), emulated, tuple(checkkern),
                  tuple((t["name"], t["why"]) for t in tiers if t["offered"] and not t["usable"]), doctor)


def tensors_of(path):
    data = read(path)
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    out = []
    for name in sorted(header):
        a, b = header[name]["data_offsets"]
        out.append((name, sha(data[8 + n + a:8 + n + b])))
    return out


def weights_hash(folder, leave_out=()):
    """Of all weights in a folder; of the file itself where there is one."""
    names = sorted(n for n in os.listdir(folder) if n.endswith(".safetensors") and n not in leave_out)
    if not names:
        raise RunFailed("%s holds no weights" % folder)
    each = [sha(read(os.path.join(folder, n))) for n in names]
    return each[0] if len(each) == 1 else sha("".join("%s %s\n" % p for p in zip(names, each)).encode())


class Projects:
    """Frozen copies of tests/identity/project, one a set of changed keys."""

    def __init__(self, source, base, work, freezer):
        self.source, self.base, self.work, self.freezer = source, base, work, freezer
        self.ready, self.guard, self.serial = {}, threading.Lock(), 0

    def plain(self, keys):
        """A copy with these keys changed and no lock."""
        with self.guard:
            self.serial += 1
            folder = os.path.join(self.work, "p%d" % self.serial)
        shutil.copytree(self.source, folder)
        os.symlink(self.base, os.path.join(folder, "base"))
        path = os.path.join(folder, "accord.yaml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for key, value in dict(keys, **{"base.model": "base"}).items():
            text = with_key(text, key, value)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return folder

    def frozen(self, keys):
        """A new copy, frozen: the lock is made once a set of keys and copied with the rest."""
        name = json.dumps(keys, sort_keys=True)
        with self.guard:
            event = self.ready.get(name)
            mine = event is None
            if mine:
                event = self.ready[name] = [threading.Event(), None, None]
        if mine:
            try:
                folder = self.plain(keys)
                run_ok(self.freezer, ["-C", folder, "freeze", "-q"])
                event[1] = folder
            except RunFailed as e:
                event[2] = e
            event[0].set()
        event[0].wait()
        if event[2]:
            raise event[2]
        with self.guard:
            self.serial += 1
            folder = os.path.join(self.work, "r%d" % self.serial)
        shutil.copytree(event[1], folder, symlinks=True)
        return folder


def with_key(text, key, value):
    """accord.yaml with section.key set, or taken out where the value is empty; it has two levels, one key a line."""
    section, name = key.split(".")
    lines, at, inside = text.split("\n"), None, False
    for i, line in enumerate(lines):
        if line and line[0] not in " #":
            inside = line.rstrip() == section + ":"
            if inside:
                at = i
        elif inside and line.strip().startswith(name + ":"):
            lines[i:i + 1] = ["  %s: %s" % (name, value)] if value else []
            return "\n".join(lines)
    if not value:
        return text
    if at is None:
        return text + "\n%s:\n  %s: %s\n" % (section, name, value)
    lines.insert(at + 1, "  %s: %s" % (name, value))
    return "\n".join(lines)


def environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith("ACCORD_")}
    env["LC_ALL"] = "C"
    return env


def run_ok(binary, args, codes=(0,)):
    try:
        done = subprocess.run(list(binary.argv) + args, capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=TIMEOUT_S, env=environment(), check=False)
    except subprocess.TimeoutExpired as e:
        raise RunFailed("accord %s: no end after %d s" % (" ".join(args), TIMEOUT_S)) from e
    if done.returncode not in codes:
        said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise RunFailed("accord %s: exit code %d: %s" % (" ".join(args), done.returncode, said[:300]))
    return done


def train_args(folder, leg, resume=False, stop=0):
    args = ["-C", folder, "train", "-q", "--json", "--micro-batch", str(leg.micro)] + leg.options()
    if leg.workers > 1:
        args += ["--workers", str(leg.workers)]
    if resume:
        args += ["--resume", "latest"]
    if stop:
        args += ["--stop-after-step", str(stop)]
    return args


def steps_so_far(folder):
    """Whole steps in the trace of the newest run; 0 where there is none yet."""
    runs = os.path.join(folder, ".accord", "runs")
    try:
        newest = sorted(n for n in os.listdir(runs) if not n.startswith("."))[-1]
        return read(os.path.join(runs, newest, "trace.jsonl")).count(b"\n")
    except (OSError, IndexError):
        return 0


def train_killed(folder, leg, resume, step, delay_s):
    """Trains until `step` steps are on the disk and a moment more, then SIGKILL. True: it was killed in time."""
    with subprocess.Popen(list(leg.binary.argv) + train_args(folder, leg, resume) + ["--no-guard"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment()) as p:
        deadline = time.monotonic() + TIMEOUT_S
        while p.poll() is None and steps_so_far(folder) < step:
            if time.monotonic() > deadline:
                p.kill()
                raise RunFailed("training hung before step %d" % step)
            time.sleep(0.001)
        time.sleep(delay_s)
        p.send_signal(signal.SIGKILL)
        out, err = p.communicate()
        if p.returncode == -signal.SIGKILL:
            return True, None
        if p.returncode == 0:
            return False, json.loads(out)
        raise RunFailed("train ends with %d: %s" % (p.returncode, err.decode(errors="replace").strip()[-300:]))


def train(folder, config):
    """Takes the configuration's disturbances; gives what the finished training printed, and a note."""
    legs = config.legs
    if config.kind == "relay":
        total = config.steps
        stops = [total * (i + 1) // len(legs) for i in range(len(legs) - 1)]
        for i, stop in enumerate(stops):
            run_ok(legs[i].binary, train_args(folder, legs[i], i > 0, stop), (75,))
        done = run_ok(legs[-1].binary, train_args(folder, legs[-1], bool(stops)))
        return json.loads(done.stdout), "handed on after step " + " ".join(str(s) for s in stops)
    if config.kind != "kill":
        return json.loads(run_ok(legs[0].binary, train_args(folder, legs[0])).stdout), ""
    rng, resume, seen = random.Random(config.seed), False, []
    for i in range(config.kills):
        leg = legs[i % len(legs)]
        have = steps_so_far(folder) if resume else 0
        step = min(have + rng.choice((0, 1, 1, 2)), config.steps)
        killed, result = train_killed(folder, leg, resume, step, rng.random() * 0.06 * (20 if leg.binary.emulated else 1))
        if not killed:
            return result, "killed at step %s, then done" % " ".join(seen or ["none"])
        seen.append(str(steps_so_far(folder)))
        resume = has_checkpoint(folder)
    leg = legs[config.kills % len(legs)]
    done = run_ok(leg.binary, train_args(folder, leg, resume))
    return json.loads(done.stdout), "killed at step " + " ".join(seen)


def has_checkpoint(folder):
    """Only a run that was killed before its first whole checkpoint may be begun again."""
    runs = os.path.join(folder, ".accord", "runs")
    if not os.path.isdir(runs) or not os.listdir(runs):
        return False
    newest = sorted(os.listdir(runs))[-1]
    points = os.path.join(runs, newest, "checkpoints")
    return os.path.isdir(points) and any(n.startswith("step-") and "." not in n for n in os.listdir(points))


def read_trace(run, r):
    trace = read(os.path.join(run, "trace.jsonl"))
    r.hashes["trace"] = sha(trace)
    r.lines = trace.decode().splitlines()
    r.steps = [json.loads(line)["h"] for line in r.lines]


def read_trained(run, r):
    """What the run exports; gives its folder, and whether it is a whole model."""
    whole = os.path.isdir(os.path.join(run, "model"))
    trained = os.path.join(run, "model" if whole else "adapter")
    r.hashes["adapter"] = weights_hash(trained)
    for name in sorted(os.listdir(trained)):
        if name.endswith(".safetensors"):
            r.tensors += tensors_of(os.path.join(trained, name))
    return trained, whole


def finished(run):
    """Trace and weights of a run folder."""
    r = Result()
    read_trace(run, r)
    read_trained(run, r)
    return r


def collect(folder, run, config):
    """Everything that is compared, from a finished run."""
    leg, r = config.legs[-1], Result()
    read_trace(run, r)
    points = os.path.join(run, "checkpoints")
    last = max((n for n in os.listdir(points) if n.startswith("step-") and n[5:].isdigit()), key=lambda n: int(n[5:]))
    r.numerics = json.loads(read(os.path.join(points, last, "manifest.json")))["numerics"]
    r.hashes["checkpoint"] = weights_hash(os.path.join(points, last), ("best.safetensors",))
    if config.kind == "eval":        # which step is the best follows from when it is asked
        return r
    trained, whole = read_trained(run, r)
    model = ["-m", trained] if whole else ["-m", os.path.join(folder, "base"), "-a", run]
    for what, how in (("greedy", GREEDY), ("sampled", SAMPLED)):
        done = run_ok(leg.binary, ["generate", "--json", "--raw", "-p", TEXT_PROMPT, "-n", str(TEXT_TOKENS)] + model
                      + leg.options() + list(how))
        said = json.loads(done.stdout)
        r.hashes[what] = sha(json.dumps([said["ids"], said["text"]]).encode())
        r.text += said["text"]
    data = os.path.join(folder, config.score_data)
    done = run_ok(leg.binary, ["score", "--json", "-q", "--chat-format", "plain", "-d", data] + model + leg.options())
    # The numbers as they are printed: the shortest text that reads back as the same bits.
    rows = json.loads(done.stdout, parse_float=str)
    r.hashes["score"] = sha(json.dumps([rows["rows"], rows["total"]]).encode())
    if config.kind == "ab":
        run_ok(leg.binary, ["-C", folder, "ab", "-q"] + leg.options(), (0, 1))
        r.hashes["answers"] = sha(read(os.path.join(run, "samples.jsonl")))
    return r


def run_kernels(leg):
    """checkkern compares a tier with plain C and prints a digest a test; a test without outputs has none."""
    done = subprocess.run(list(leg.binary.checkkern) + ["--digests", "--cpu", leg.tier], capture_output=True,
                          timeout=TIMEOUT_S, check=False)
    lines = done.stdout.decode(errors="replace").split("\n")
    if done.returncode:
        failed = [l for l in lines if l.startswith("FAIL")] or [done.stderr.decode(errors="replace").strip()[-200:]]
        raise RunFailed("checkkern ends with %d: %s" % (done.returncode, failed[0]))
    words = [l.split() for l in lines if l.startswith("digest ")]
    return Result(kernels={w[2]: w[3] for w in words if w[3] != "cbf29ce484222325"},
                  note="%d kernel tests" % len(words))


def run_config(projects, config):
    """Gives a Result; RunFailed where a command failed."""
    if config.kind == "kernels":
        return run_kernels(config.legs[0])
    if config.kind == "selftest":
        b = config.legs[0].binary
        if b.broken:
            raise RunFailed("; ".join("%s: %s" % t for t in b.broken))
        return Result(note="self-test of %s" % " ".join(b.tiers))
    if config.kind == "freeze":
        folder = projects.plain(config.keys)
        run_ok(config.legs[0].binary, ["-C", folder, "freeze", "-q"] + config.legs[0].options())
        want = projects.frozen(config.keys)
        r = Result(note="the same lock" if read(os.path.join(folder, "accord.lock")) ==
                   read(os.path.join(want, "accord.lock")) else "another lock")
        if r.note == "another lock":
            raise RunFailed("accord freeze writes another accord.lock than %s" % projects.freezer.name)
    else:
        folder = projects.frozen(config.keys)
        told, note = train(folder, config)
        run = os.path.join(folder, told["path"])
        r = collect(folder, run, config)
        r.note = note
        if r.hashes.get("adapter", told["adapter_sha256"]) != told["adapter_sha256"]:
            raise RunFailed("train says another SHA-256 of the adapter than the file has")
    shutil.rmtree(folder, ignore_errors=True)
    return r
