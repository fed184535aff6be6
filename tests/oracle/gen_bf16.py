#!/usr/bin/env python3
"""Writes bf16.bin: products of numerics bf16/1, computed in whole numbers from docs/numerics.md alone.

Run with: python3 gen_bf16.py bf16.bin   (standard library only)
A number is a pair (m, e), m * 2^e with Python's unbounded integers, so that a fused multiply-add is exact until its
one rounding, and nothing of any FPU, libm or numpy comes in. Written, all little-endian u32 unless said:
  "ACB1"
  count, then count times: bits of a binary32, bits of what bfloat16 rounding makes of it
  count, then count times: form (0 NT, 1 NN, 2 TN), type (0 F32, 1 BF16, 2 Q8_0), m, n, k, accumulate,
    A as stored (m x k, or k x m for TN) in binary32, the bytes of B's rows, C before (m x n), C after.
Before it writes, it counts how many results each likely mistake would change, and fails where one changes none:
a file that cannot tell them apart would check nothing.
"""
import random
import struct
import sys

BLOCK = 512
NT, NN, TN = 0, 1, 2
F32, BF16, Q8_0 = 0, 1, 2


# ---- numbers ----------------------------------------------------------------------------------------------

def of_bits(u):
    """Bits of a finite binary32 as (m, e)."""
    exponent, m = u >> 23 & 255, u & 0x7FFFFF
    assert exponent != 255
    if exponent:
        m |= 0x800000
    return (-m if u >> 31 else m, max(exponent, 1) - 150)


def nearest(m, e, digits, least):
    """m * 2^e with at most `digits` binary digits and no exponent under `least`: nearest, ties to even."""
    negative, m = m < 0, abs(m)
    drop = max(m.bit_length() - digits, least - e)
    if drop > 0:
        half, rest = 1 << (drop - 1), m & ((1 << drop) - 1)
        m >>= drop
        if rest > half or (rest == half and m & 1):
            m += 1
        e += drop
    return (-m if negative else m, e)


def binary32(m, e):
    m, e = nearest(m, e, 24, -149)
    assert abs(m).bit_length() + e <= 128, "too large: the file holds finite numbers only"
    return (m, e)


def bits_of(x):
    """A zero is +0: no result of this numerics is -0 unless rounding alone made it."""
    m, e = x
    if m == 0:
        return 0
    sign, m = (0x80000000, -m) if m < 0 else (0, m)
    shift = 24 - m.bit_length()
    if e - shift < -149:
        shift = e + 149
    m, e = (m << shift, e - shift) if shift >= 0 else (m >> -shift, e - shift)
    return sign | (m if m < 0x800000 else (e + 150) << 23 | (m & 0x7FFFFF))


def plus(x, y):
    e = min(x[1], y[1])
    return binary32((x[0] << (x[1] - e)) + (y[0] << (y[1] - e)), e)


def fma(x, y, z):
    return plus_exact((x[0] * y[0], x[1] + y[1]), z)


def plus_exact(x, y):
    if x[0] == 0:
        return y
    if y[0] == 0:
        return binary32(*x)
    return plus(x, y)


# ---- the numerics -----------------------------------------------------------------------------------------

def round_bits(u):
    """bfloat16 of a binary32, both as bits of a binary32."""
    m, e = of_bits(u)
    sign = u & 0x80000000
    if m == 0 or abs(m).bit_length() + e <= -55:              # |x| < 2^-55
        return sign
    m, e = nearest(abs(m), e, 8, -133)
    return sign | (bits_of((m, e)) if m.bit_length() + e <= 128 else 0x7F800000)


def rounded(u):
    return of_bits(round_bits(u))


def chain_pairs(a, b):
    chain = (0, 0)
    for p in range(0, len(a), 2):
        if p + 1 < len(a):
            chain = fma(a[p + 1], b[p + 1], chain)
        chain = fma(a[p], b[p], chain)
    return chain


def dot(a, b, old, chain=chain_pairs, block=BLOCK, rule=rounded):
    """One output: a and b are bits along k; old is None, or the bits of C before."""
    a, b = [rule(u) for u in a], [rule(u) for u in b]
    total = (0, 0)
    for k in range(0, len(a), block):
        part = chain(a[k:k + block], b[k:k + block])
        total = plus(total, part) if k else part
    return bits_of(total if old is None else plus(of_bits(old), total))


# ---- likely mistakes --------------------------------------------------------------------------------------

def chain_ascending(a, b):
    chain = (0, 0)
    for x, y in zip(a, b):
        chain = fma(x, y, chain)
    return chain


def chain_pair_sums(a, b):
    """What BFDOT and AMX are near to: the pair is summed before it is added."""
    chain = (0, 0)
    for p in range(0, len(a), 2):
        pair = (a[p][0] * b[p][0], a[p][1] + b[p][1])
        if p + 1 < len(a):
            odd = (a[p + 1][0] * b[p + 1][0], a[p + 1][1] + b[p + 1][1])
            e = min(pair[1], odd[1])
            pair = ((pair[0] << (pair[1] - e)) + (odd[0] << (odd[1] - e)), e)
        chain = plus_exact(pair, chain)
    return chain


def chain_pairs_from_the_end(a, b):
    """Pairs that are counted so that the lone element comes first."""
    lone = len(a) % 2
    head = chain_pairs(a[:lone], b[:lone])
    for p in range(lone, len(a), 2):
        head = fma(a[p], b[p], fma(a[p + 1], b[p + 1], head))
    return head


def round_no_flush(u):
    m, e = of_bits(u)
    return nearest(m, e, 8, -133) if m else (0, 0)


def round_flush_after(u):
    m, e = round_no_flush(u)
    return (m, e) if m and abs(m).bit_length() + e > -55 else (0, 0)


def round_cut(u):
    return of_bits(round_bits(u) and u & 0xFFFF0000)


def round_half_up(u):
    return of_bits(round_bits(u) and (u + 0x8000) & 0xFFFF0000)


MISTAKES = {
    "even element first": dict(chain=chain_ascending),
    "pairs summed before they are added": dict(chain=chain_pair_sums),
    "a lone element at the front": dict(chain=chain_pairs_from_the_end),
    "one block": dict(block=1 << 30),
    "blocks of 256": dict(block=256),
    "no rounding": dict(rule=of_bits),
    "rounding by cutting": dict(rule=round_cut),
    "ties away from zero": dict(rule=round_half_up),
    "no flush": dict(rule=round_no_flush),
    "flush after rounding": dict(rule=round_flush_after),
}


# ---- data -------------------------------------------------------------------------------------------------

EDGES = [0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3F807FFF, 0x3F808000, 0x3F808001, 0x3F817FFF, 0x3F818000,
         0x3F818001, 0x3FFF7FFF, 0x3FFF8000, 0x23FFFFFF, 0x23FF8000, 0x23FF7FFF, 0x23800000, 0x24000000, 0x24000001,
         0x24008000, 0x24018000, 0x24007FFF, 0x5F7FFFFF, 0x5F000000, 0x42FE7FFF, 0x42FE8000, 0x42FF8000]


def wide(rng, low, high):
    return rng.getrandbits(1) << 31 | rng.randint(low + 127, high + 127) << 23 | rng.getrandbits(23)


def unit(rng):
    return wide(rng, -14, 0)


def border(rng):
    """On both sides of 2^-55, ties among them."""
    u = wide(rng, -57, -53)
    return rng.choice([u, u & 0xFFFF0000 | 0x8000, 0x23FFFFFF, 0x24000000 | u & 0x80000000, u & 0x80000000, 1])


def sparse(rng):
    return rng.choice([0, 0x80000000, unit(rng), unit(rng) & 0xFFFF0000])


def cancelling(rng):
    """Few exponents and few digits: sums vanish and come back."""
    return rng.getrandbits(1) << 31 | rng.choice([0x3F800000, 0x3FC00000, 0x40000000, 0x3F810000, 0x4B800000])


def q8_0_row(rng, k):
    """Rows of 32 codes behind a binary16 scale; gives the bytes and the bits of each d * q, which are exact."""
    raw, values = b"", []
    for _ in range(k // 32):
        d = rng.choice([0x2001, 0x1A55, 0x9C33, 0x0003, 0x211F])
        m, e = ((d & 1023) | (1024 if d >> 10 & 31 else 0), max(d >> 10 & 31, 1) - 25)
        codes = [rng.randint(-128, 127) for _ in range(32)]
        raw += struct.pack("<H32b", d, *codes)
        for q in codes:
            v = bits_of(binary32((-m if d >> 15 else m) * q, e))
            values.append(v)
    return raw, values


# form, type, m, n, k, accumulate, data of A, of B
CASES = [
    (NT, F32, 1, 1, 1, False, unit, unit),
    (NN, F32, 3, 2, 0, True, unit, unit),
    (NN, F32, 2, 3, 0, False, unit, unit),
    (NT, F32, 5, 33, 2, False, unit, unit),
    (NN, F32, 15, 7, 3, True, unit, unit),
    (TN, F32, 17, 16, 3, True, unit, unit),
    (NT, F32, 6, 5, 31, False, border, border),
    (NN, F32, 4, 9, 33, True, border, unit),
    (TN, F32, 9, 4, 64, False, border, border),
    (NT, F32, 3, 4, 65, False, cancelling, cancelling),
    (NN, F32, 2, 3, 257, True, cancelling, unit),
    (NT, F32, 2, 3, 511, False, unit, unit),
    (NN, F32, 3, 2, 512, False, unit, unit),
    (TN, F32, 2, 3, 513, True, unit, unit),
    (NT, F32, 2, 2, 1024, False, lambda r: wide(r, -40, 30), lambda r: wide(r, -40, 30)),
    (NN, F32, 2, 2, 1025, True, lambda r: wide(r, -12, 12), lambda r: wide(r, -12, 12)),
    (TN, F32, 2, 2, 1537, True, unit, sparse),
    (TN, F32, 1, 19, 77, False, sparse, unit),
    (NT, F32, 29, 3, 48, True, unit, unit),
    (NT, BF16, 3, 5, 129, False, unit, unit),
    (NN, BF16, 5, 34, 15, True, unit, unit),
    (NT, Q8_0, 2, 3, 544, False, unit, None),
    (NN, Q8_0, 3, 32, 21, True, unit, None),
]


def rows_of_b(rng, form, kind, n, k, data):
    """The bytes of B as stored, and its columns as bits along k."""
    rows, along = (n, k) if form == NT else (k, n)
    raw, bits = b"", []
    for _ in range(rows):
        if kind == Q8_0:
            more, row = q8_0_row(rng, along)
        else:
            row = [data(rng) for _ in range(along)]
            if kind == BF16:
                row = [u & 0xFFFF0000 for u in row]
                more = struct.pack("<%dH" % along, *[u >> 16 for u in row])
            else:
                more = struct.pack("<%dI" % along, *row)
        raw += more
        bits.append(row)
    return raw, bits if form == NT else [[bits[p][j] for p in range(k)] for j in range(n)]


def product(rng, spec, wrong):
    form, kind, m, n, k, accumulate, data_a, data_b = spec
    a = [[data_a(rng) for _ in range(k)] for _ in range(m)]
    raw, columns = rows_of_b(rng, form, kind, n, k, data_b)
    old = [[rng.choice([unit(rng), 0x80000000, 3]) for _ in range(n)] for _ in range(m)]
    want = [[dot(a[i], columns[j], old[i][j] if accumulate else None) for j in range(n)] for i in range(m)]
    for name, change in MISTAKES.items():
        for i in range(m):
            for j in range(n):
                wrong[name] += dot(a[i], columns[j], old[i][j] if accumulate else None, **change) != want[i][j]
    stored = a if form != TN else [[a[i][p] for i in range(m)] for p in range(k)]
    out = struct.pack("<6I", form, kind, m, n, k, accumulate)
    out += b"".join(struct.pack("<%dI" % len(r), *r) for r in stored) + raw
    return out + b"".join(struct.pack("<%dI" % n, *r) for r in old + want)


def main():
    rng = random.Random(16)
    values = [e | s for e in EDGES for s in (0, 0x80000000)]
    values += [0x7F7FFFFF, 0xFF7F8000, 0x7F7F7FFF]              # the first two round to an infinity
    values += [rng.getrandbits(1) << 31 | rng.randint(0, 0x7F7FFFFF) for _ in range(400)]
    values += [u & 0xFFFF0000 | 0x8000 for u in values if u >> 23 & 255 != 255][:200]
    out = b"ACB1" + struct.pack("<I", len(values))
    out += b"".join(struct.pack("<II", u, round_bits(u)) for u in values)
    out += struct.pack("<I", len(CASES))
    wrong = dict.fromkeys(MISTAKES, 0)
    for spec in CASES:
        out += product(rng, spec, wrong)
    for name, n in wrong.items():
        print("%5d of %d results differ under: %s" % (n, sum(s[2] * s[3] for s in CASES), name))
    assert all(wrong.values()), "a mistake that no case would show"
    with open(sys.argv[1], "wb") as f:
        f.write(out)


main()
