#!/usr/bin/env python3
"""ROUGE-1, -2, -3 and -L (rouge-score 0.1.2, F1, no stemmer) and Levenshtein distances (rapidfuzz 3) of fixed texts.
usage: gen_grades.py > grades.json     (pip install rouge-score rapidfuzz)
rouge-score drops letters above ASCII; texts with them are given to it in another spelling, letter by letter."""
import json
import random

from rapidfuzz.distance import Levenshtein
from rouge_score import rouge_scorer

random.seed(20260131)
WORDS = "the a order orders open closed customer paid late in May 2024 total of is was not and or £5 it's U.S. state-wide".split()
texts = ["", "Yes.", "the cat sat on the mat", "on the mat sat the cat", "The cat, the cat: the CAT!", "a b a b a b", "...",
         "one-two three_four", "naïve café Straße", "naive cafe Strasse", "Ωμέγα ωμέγα", "12 orders, 12 open"]
texts += [" ".join(random.choice(WORDS) for _ in range(random.randint(1, 40))) for _ in range(28)]
spell = str.maketrans({c: f"q{ord(c):x}q" for t in texts for c in t.lower() if ord(c) > 127})
scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rouge3", "rougeL"], use_stemmer=False)
rows = []
for i, reference in enumerate(texts):
    for k in (0, 1, 3, 8, 17):
        answer = texts[(i + k) % len(texts)]
        s = scorer.score(reference.lower().translate(spell), answer.lower().translate(spell))
        rows.append([answer, reference, *(s[n].fmeasure for n in ("rouge1", "rouge2", "rouge3", "rougeL")),
                     Levenshtein.distance(answer, reference)])
print(json.dumps(rows))
