#!/usr/bin/env python3
"""Writes quants.bin: stored blocks and what the `gguf` package expands them to.

Run with: pip install gguf numpy; python3 gen_quants.py quants.bin
Layout: "ACQ1", then for each type: name (8 bytes, zero-padded), elements (u32), raw bytes (u32), the raw
blocks, the elements as binary32; all little-endian. Blocks are random bits with finite scales: all
codes, denormal scales and negative zeros come up.
"""
import struct
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

BLOCKS = {T.Q8_0: 6, T.Q4_0: 6, T.Q4_1: 6, T.Q5_0: 6, T.Q5_1: 6, T.Q4_K: 3, T.Q5_K: 3, T.Q6_K: 3,
          T.F16: 96, T.BF16: 96}
SCALES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q4_K: [0, 2],
          T.Q5_K: [0, 2], T.Q6_K: [208], T.F16: [0], T.BF16: []}


def main():
    rng = np.random.default_rng(20)
    out = bytearray(b"ACQ1")
    for t, n in BLOCKS.items():
        elems, size = GGML_QUANT_SIZES[t]
        raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
        for at in SCALES[t]:
            bits = rng.integers(0, 0x10000, n, dtype=np.uint16)
            bits[(bits & 0x7C00) == 0x7C00] ^= 0x4000          # no Inf, no NaN
            bits[0] = 0x8003                                   # a negative denormal
            raw[:, at:at + 2] = bits.view(np.uint8).reshape(n, 2)
        if t == T.BF16:
            bits = raw.view(np.uint16)
            bits[(bits & 0x7F80) == 0x7F80] ^= 0x4000
        want = dequantize(raw.reshape(1, -1), t).astype("<f4").ravel()
        assert want.size == n * elems and np.isfinite(want).all()
        out += t.name.encode().ljust(8, b"\0") + struct.pack("<II", want.size, raw.size)
        out += raw.tobytes() + want.tobytes()
    with open(sys.argv[1], "wb") as f:
        f.write(out)


main()
