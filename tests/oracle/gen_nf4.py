#!/usr/bin/env python3
"""Writes nf4.safetensors: matrices as bitsandbytes stores them in 4 bits, and beside each what its numbers are.

Run with: pip install numpy; python3 gen_nf4.py nf4.safetensors [small]   (small: for tests/fuzz/corpus)
The published layout: two codes a byte, the high one first; a scale for each `blocksize` numbers, in binary32, or as an
8-bit code into nested_quant_map times nested_absmax (one for 256 codes) plus nested_offset. The 16 meanings are the
published table. Numbers are computed in double; each rounding to binary32 that the library has is written out.
NAME.want holds them.
"""
import json
import struct
import sys

import numpy as np

TABLE = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
         -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
         0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
rng = np.random.default_rng(4)
tensors = {}


def f32(x):
    return np.asarray(x, dtype=np.float64).astype(np.float32)


def matrix(name, rows, cols, block, nested):
    n = rows * cols
    codes = rng.integers(0, 16, n)
    codes[:16] = range(16)
    scales = -(-n // block)
    state = {"quant_type": "nf4", "blocksize": block, "dtype": "bfloat16", "shape": [rows, cols]}
    if nested:
        code = rng.integers(0, 256, scales).astype(np.uint8)
        mapping = f32(np.sort(rng.uniform(-1, 1, 256)))
        outer = f32(rng.uniform(0.01, 0.03, -(-scales // 256)))
        offset = 0.0371
        product = f32(mapping[code].astype(np.float64) * outer[np.arange(scales) // 256].astype(np.float64))
        absmax = f32(product.astype(np.float64) + np.float64(np.float32(offset)))
        tensors[name + ".absmax"] = code
        tensors[name + ".nested_quant_map"] = mapping
        tensors[name + ".nested_absmax"] = outer
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
    else:
        absmax = f32(rng.uniform(1e-4, 0.2, scales))
        absmax[0] = np.float32(1e-41)                      # a denormal
        tensors[name + ".absmax"] = absmax
    meaning = f32(TABLE).astype(np.float64)
    want = f32(meaning[codes] * absmax[np.arange(n) // block].astype(np.float64))
    tensors[name] = (codes[0::2] << 4 | codes[1::2]).astype(np.uint8).reshape(-1, 1)
    tensors[name + ".quant_map"] = f32(TABLE)
    tensors[name + ".quant_state.bitsandbytes__nf4"] = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    tensors[name + ".want"] = want.reshape(rows, cols)


def main():
    if len(sys.argv) > 2:
        matrix("a", 1, 64, 64, False)
        matrix("b", 2, 64, 64, True)
    else:
        matrix("plain.weight", 8, 128, 64, False)
        matrix("wide.weight", 4, 256, 128, False)
        matrix("crossing.weight", 6, 64, 256, False)
        matrix("nested.weight", 40, 512, 64, True)
        tensors["norm.weight"] = f32(rng.uniform(0, 1, 64))
    kinds = {np.dtype(np.float32): "F32", np.dtype(np.uint8): "U8"}
    header, at, data = {}, 0, b""
    for name in sorted(tensors, key=lambda k: (-tensors[k].dtype.itemsize, k)):
        raw = tensors[name].tobytes()
        header[name] = {"dtype": kinds[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[1], "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


main()
