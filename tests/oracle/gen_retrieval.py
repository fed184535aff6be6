"""Measures of 60 random rankings by trec_eval (pip install pytrec-eval-terrier) -> retrieval.json."""
import json
import random

import pytrec_eval

random.seed(7)
out = []
for n in range(60):
    judged = {f'{d}': random.choice([0, 1, 1, 2, 3]) for d in random.sample(range(40), random.randint(1, 15))}
    if not any(judged.values()):
        continue
    found = random.sample(range(40), random.randint(1, 20))
    run = {f'{d}': float(len(found) - i) for i, d in enumerate(found)}
    ev = pytrec_eval.RelevanceEvaluator({'q': judged}, {'ndcg_cut.5,10', 'recall.5,10', 'recip_rank'})
    r = ev.evaluate({'q': run})['q']
    out.append({'found': found, 'judged': [[int(k), v] for k, v in judged.items()],
                'ndcg_5': r['ndcg_cut_5'], 'ndcg_10': r['ndcg_cut_10'], 'recall_5': r['recall_5'],
                'recall_10': r['recall_10'], 'recip_rank': r['recip_rank']})
json.dump(out, open('retrieval.json', 'w'), indent=0)
