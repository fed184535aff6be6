#!/usr/bin/env python3
"""Writes data/ and evals/ of this project: a lighthouse keeper's log, of our own making. Standard library only; the
same bytes at every run. The rows are short and of many lengths, two are longer than three blocks of attention, so that
a small model meets every edge of the kernels in a few seconds. What is learnt from them is of no interest."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
WINDS = ["north", "east", "south", "west"]
SHIPS = ["a grey ferry", "two fishing boats", "the mail boat", "a ship with red sails", "nobody at all"]
ACTS = ["lit the lamp", "cleaned the glass", "rang the bell", "wrote to the harbour", "slept until noon"]
CALLS = ["What did the keeper see", "Who came by", "Tell me what passed", "What was out there"]


def sentence(i):
    return "On day %d the wind came from the %s. The keeper %s and saw %s." % (
        i, WINDS[i % 4], ACTS[i * 3 % 5], SHIPS[i * 7 % 5])


def row(i, days):
    ask = "%s on day %d?" % (CALLS[i % 4], i)
    return {"prompt": ask, "completion": " ".join(sentence(i + d) for d in range(days)) if days else "Fog."}


def write(path, items):
    os.makedirs(os.path.dirname(os.path.join(HERE, path)), exist_ok=True)
    with open(os.path.join(HERE, path), "w", encoding="ascii") as f:
        for item in items:
            f.write(json.dumps(item) + "\n")


def main():
    # Days a row: mostly one; now and then none (a few tokens), two, or many (several blocks of keys).
    days = {3: 0, 6: 2, 9: 5, 12: 0, 14: 2, 20: 3, 23: 6, 27: 0}
    write("data/train.jsonl", [row(i, days.get(i, 1)) for i in range(1, 33)])
    write("data/valid.jsonl", [row(i, 1 + i % 2) for i in range(200, 206)])
    # For tiers that take a hundred times as long: plain C, and programs under an emulator.
    write("data/short.jsonl", [{"prompt": "Wind on day %d?" % i, "completion": "From the %s%s" % (
        WINDS[i % 4], "." * (i % 5 + 1))} for i in range(1, 17)])
    write("data/short-valid.jsonl", [{"prompt": "Wind on day %d?" % i, "completion": "From the %s." % WINDS[i % 4]}
                                     for i in range(40, 43)])
    cases = []
    for n in range(30):
        i = 300 + n
        cases.append({"id": "log-%02d" % (n + 1), "class": ("success", "refusal", "edge")[n % 3],
                      "input": "Read page %d of the log aloud." % i, "ideal": "The page says %s." % SHIPS[n % 5],
                      "assert": [{"type": "icontains", "value": SHIPS[n % 5]}]})
    write("evals/cases.jsonl", cases)


if __name__ == "__main__":
    main()
