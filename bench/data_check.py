#!/usr/bin/env python3
"""Writes training rows of a given size for measuring `accord data check`.

    bench/data_check.py rows.jsonl 1000 [seed]     1,000 MB of rows
    time build/accord data check -q rows.jsonl

Messages of one or two exchanges, words drawn from 60,000 by Zipf's law. Of 100 rows 70 are new, 20 fill a template of 60
words, 5 are copies of earlier rows and 5 are earlier rows with one word changed. Prints what it planted."""
import json
import random
import sys


def main():
    path, size, seed = sys.argv[1], int(float(sys.argv[2]) * 1e6), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocab = sorted({"".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(70000)})[:60000]
    rng.shuffle(vocab)
    bag = [w for i, w in enumerate(vocab) for _ in range(1 + 4000 // (i + 1))]

    def words(n):
        return " ".join(rng.choices(bag, k=n))

    def sentence(n):
        return words(n).capitalize() + "."

    templates = [sentence(30) + " " + sentence(30) for _ in range(20)]
    old, planted, written = [], {"new": 0, "template": 0, "copy": 0, "near": 0}, 0
    with open(path, "w", encoding="utf-8") as out:
        while written < size:
            kind = rng.random()
            if kind < 0.05 and old:
                line, what = rng.choice(old), "copy"
            elif kind < 0.10 and old:
                row = json.loads(rng.choice(old))
                text = row["messages"][-1]["content"].split(" ")
                text[rng.randrange(len(text))] = rng.choice(vocab)
                row["messages"][-1]["content"] = " ".join(text)
                line, what = json.dumps(row), "near"
            else:
                m = []
                if kind < 0.30:
                    what = "template"
                    m.append({"role": "user", "content": rng.choice(templates) + " " + sentence(rng.randint(15, 40))})
                    m.append({"role": "assistant", "content": sentence(rng.randint(3, 15))})
                else:
                    what = "new"
                    for _ in range(rng.randint(1, 2)):
                        m.append({"role": "user", "content": sentence(rng.randint(8, 40))})
                        m.append({"role": "assistant", "content": sentence(rng.randint(10, 60)) + " "
                                  + sentence(rng.randint(10, 60))})
                line = json.dumps({"messages": m})
                if len(old) < 20000:
                    old.append(line)
                else:
                    old[rng.randrange(20000)] = line
            planted[what] += 1
            out.write(line + "\n")
            written += len(line) + 1
    print(planted)


main()
