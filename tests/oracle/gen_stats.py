#!/usr/bin/env python3
"""Mid-p McNemar, Wilson, Holm and power in exact rational arithmetic (fractions), apart from the C code.
usage: gen_stats.py > stats.json"""
import json
import math
from fractions import Fraction as F


def pmf(n, k, p):
    return math.comb(n, k) * p ** k * (1 - p) ** (n - k)


def midp(w, l):
    n, low = w + l, min(w, l)
    if w == l:
        return F(1)
    half = F(1, 2)
    return 2 * (sum(pmf(n, k, half) for k in range(low)) + half * pmf(n, low, half))


def power(n, win, loss):
    total = F(0)
    for l in range(n + 1):
        need = next((w for w in range(l + 1, n - l + 1) if midp(w, l) <= F(1, 20)), None)
        if need is None:
            continue
        total += pmf(n, l, loss) * sum(pmf(n - l, w, win / (1 - loss)) for w in range(need, n - l + 1))
    return total


def wilson(k, n):
    z = 1.959963984540054
    p = k / n
    mid, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (mid - half) / (1 + z * z / n), (mid + half) / (1 + z * z / n)


out = {
    "midp": [[w, l, float(midp(w, l))] for w in range(0, 26) for l in range(0, 8)],
    "power": [[n, g, float(power(n, F(g, 200) + F(1, 20), F(1, 20)))]
              for n, g in ((30, 60), (30, 61), (40, 50), (48, 44), (50, 42), (50, 30))],
    "wilson": [[k, n, *wilson(k, n)] for k, n in ((24, 30), (40, 50), (1, 48), (47, 48), (10, 12))],
}
print(json.dumps(out))
