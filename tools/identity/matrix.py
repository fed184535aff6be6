"""Which configurations `make identity` runs: scenarios from tests/identity/scenarios.txt, times what may not matter."""
import itertools
import random
from dataclasses import dataclass, replace

from runs import Leg

THREADS, MICRO, WORKERS = (1, 2, 3, 7), (1, 2, 4, 8), (4, 1, 2)


@dataclass(frozen=True)
class Scenario:
    name: str
    where: str           # wide, brief or "-"
    keys: dict
    steps: int
    score_data: str


@dataclass(frozen=True)
class Config:
    scenario: Scenario
    kind: str            # plain, kill, relay, eval, save, recompute, ab, freeze; without a
                         # scenario: kernels (checkkern), selftest (accord doctor)
    legs: tuple
    keys: dict
    seed: int
    kills: int           # how often a killed one is killed

    @property
    def steps(self):
        return self.scenario.steps

    @property
    def score_data(self):
        return self.scenario.score_data


def key_of(text, key, default):
    """section.key of an accord.yaml, by its own name: the project's names are unique."""
    for line in text.split("\n"):
        if line.strip().startswith(key.split(".")[1] + ":"):
            return line.split(":", 1)[1].strip()
    return default


def read_scenarios(path, contract):
    out = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if not line.strip() or line.startswith("#"):
                continue
            part = [p.strip() for p in line.split("|")]
            if len(part) != 3 or part[1] not in ("wide", "brief", "-"):
                raise ValueError("%s:%d: a line is: name | wide, brief or - | keys" % (path, number))
            keys = dict(k.split("=", 1) for k in part[2].split())
            steps = int(keys.get("method.max_steps", key_of(contract, "method.max_steps", "0")))
            data = keys.get("data.valid", key_of(contract, "data.valid", ""))
            out.append(Scenario(part[0], part[1], keys, steps, data))
    return out


class Rotor:
    """Threads and micro-batches in turn, so that few configurations meet all pairs of them."""

    def __init__(self):
        self.pairs = itertools.cycle([(THREADS[i], MICRO[(i + shift) % 4]) for shift in range(4) for i in range(4)])

    def leg(self, binary, tier):
        threads, micro = next(self.pairs)
        return Leg(binary, tier, threads, micro)


def plan(scenarios, binaries, quick, seed):
    """The list of Configs. Its order is the table's."""
    rng, rotor, out = random.Random(seed), Rotor(), []
    pairs = [(b, t) for b in binaries for t in reversed(b.tiers)]
    fast = [p for p in pairs if not p[0].slow(p[1])]
    slow = [p for p in pairs if p[0].slow(p[1])]
    workers = itertools.cycle(WORKERS)

    def add(s, kind, legs, kills=3, **keys):
        if "method.shards" in s.keys:
            legs = [replace(leg, workers=next(workers)) for leg in legs]
        changed = dict(s.keys, **{k.replace("__", "."): v for k, v in keys.items()})
        out.append(Config(s, kind, tuple(legs), changed, rng.randrange(2 ** 32), kills))

    def mixed(n, among):
        """Legs on different programs and tiers, as far as there are."""
        chosen = rng.sample(among, min(n, len(among)))
        return [rotor.leg(*chosen[i % len(chosen)]) for i in range(n)]

    kernels = Scenario("kernels", "-", {}, 0, "")
    for b in binaries:
        add(kernels, "selftest", [Leg(b, "all", 1, 1)])
    tested = [b for b in binaries if b.checkkern]
    for i, b in enumerate(tested):
        tiers = [t for t in reversed(b.tiers) if t != "ref"] or ["ref"]     # each run computes plain C as well
        for t in [tiers[i % len(tiers)]] if quick else tiers:
            add(kernels, "kernels", [Leg(b, t, 1, 1)])
    for s in scenarios:
        if s.where == "wide" and (s is scenarios[0] or not quick):
            for b in binaries:
                add(s, "freeze", [rotor.leg(b, b.tiers[-1])])
            for b, t in fast if quick else fast + slow:
                if quick or b.slow(t):
                    add(s, "plain", [rotor.leg(b, t)])
                    continue
                for threads, micro in itertools.product(THREADS, MICRO):
                    add(s, "plain", [Leg(b, t, threads, micro)])
            if not fast:
                continue
            for i in range(3 if quick else 12):
                add(s, "kill", mixed(4, fast) if i % 3 else [rotor.leg(*fast[i % len(fast)])])
            for i in range(1 if quick else 4):
                add(s, "relay", mixed(3, fast))
            for every in ("1", "3", "0"):
                add(s, "eval", mixed(1, fast), method__eval_every=every)
                add(s, "save", mixed(1, fast), method__save_every=every)
            for how in ("none", "block"):
                for b, t in rng.sample(fast, 1) if quick else fast:
                    add(s, "recompute", [rotor.leg(b, t)], method__recompute=how)
            for b, t in fast[:1] if quick else fast:
                add(s, "ab", [rotor.leg(b, t)])
        elif s.where == "brief":
            for b, t in pairs:
                for _ in range(1 if quick else 4):
                    add(s, "plain", [rotor.leg(b, t)])
            if slow:
                for _ in range(1 if quick else 3):
                    add(s, "relay", mixed(2, slow + fast[:1]))
                add(s, "kill", mixed(2, slow), 1 if quick else 3)
        elif fast:
            for b, t in rng.sample(fast, min(2, len(fast))) if quick else fast:
                add(s, "plain", [rotor.leg(b, t)])
            if not quick:
                for b, t in [p for p in slow if p[0].emulated or p[0] is binaries[0]]:
                    add(s, "plain", [rotor.leg(b, t)])
                add(s, "relay", mixed(3, fast))
            add(s, "kill", mixed(4, fast))
    return out
