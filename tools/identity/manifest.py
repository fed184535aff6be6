"""The committed hashes (tests/identity/manifest.json), and how a difference is told."""
import hashlib
import json

# Told in this order; the first is where runs part.
WHAT = ("trace", "checkpoint", "adapter", "greedy", "sampled", "score", "answers")
SHORT = 8        # digits kept of a step's h and of a tensor's SHA-256: enough to say which


def entry(result, inputs):
    """What the manifest keeps of a scenario."""
    return {"inputs": inputs, "numerics": result.numerics, **{k: result.hashes[k] for k in WHAT if k in result.hashes},
            "steps": " ".join(h[:SHORT] for h in result.steps),
            "tensors": " ".join(h[:SHORT] for _, h in result.tensors)}


def kernel_differences(want, got):
    """Of checkkern's digests, test by test."""
    told = ["%s: digest %s, expected %s" % (n, d, want[n]) for n, d in got.kernels.items() if n in want and want[n] != d]
    told += ["%s: not in the manifest" % n for n in got.kernels if n not in want]
    return told + ["%s: not there any more" % n for n in want if n not in got.kernels]


def differences(want, got, reference):
    """Sentences, the earliest artifact first. `want`: an entry; `reference`: a Result that fits it, or None."""
    told = []
    for what in WHAT:
        if what not in got.hashes or what not in want or got.hashes[what] == want[what]:
            continue
        if what == "trace":
            told.append("trace: " + trace_difference(want["steps"].split(), got, reference))
        elif what == "adapter":
            told.append("adapter: " + tensor_difference(want["tensors"].split(), got))
        elif what in ("greedy", "sampled") and reference:
            told.append("%s text: %r, expected %r" % (what, got.text[:60], reference.text[:60]))
        else:
            told.append(what)
    return told


def trace_difference(want, got, reference):
    for i, h in enumerate(want):
        if i >= len(got.steps):
            return "ends after step %d of %d" % (i, len(want))
        if got.steps[i][:SHORT] != h:
            line = json.loads(got.lines[i])
            text = "first at step %d, loss %s norm %s" % (i + 1, line["loss_bits"], line["grad_norm_bits"])
            if reference:
                line = json.loads(reference.lines[i])
                text += ", expected %s %s" % (line["loss_bits"], line["grad_norm_bits"])
            return text
    return "%d steps, expected %d" % (len(got.steps), len(want)) if len(got.steps) > len(want) else "another text"


def tensor_difference(want, got):
    if len(want) != len(got.tensors):
        return "%d tensors, expected %d" % (len(got.tensors), len(want))
    bad = [name for (name, h), w in zip(got.tensors, want) if h[:SHORT] != w]
    return "%d of %d tensors, first %s" % (len(bad), len(want), bad[0]) if bad else "the header"


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def text_of(m):
    return json.dumps(m, indent=1, sort_keys=True) + "\n"


def hash_of(m):
    return hashlib.sha256(text_of(m).encode()).hexdigest()


def refusals(old, new):
    """Why `new` must not replace `old`: the same inputs under the same version must give the same bits for ever."""
    out = []
    for name, e in new["scenarios"].items():
        was = old["scenarios"].get(name)
        if was and was["inputs"] == e["inputs"] and was["numerics"] == e["numerics"] \
                and any(was[k] != e[k] for k in WHAT if k in was and k in e):
            out.append("%s (%s)" % (name, e["numerics"]))
    return out
