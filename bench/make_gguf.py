#!/usr/bin/env python3
"""Writes a GGUF of Qwen2.5-0.5B's shape with random Q4 weights, to measure memory and speed on a base that size
without downloading one. Tokenizer and chat template are copied from the donor, so that rows can be encoded; what the
model says is noise. Needs the gguf package and numpy.

    bench/make_gguf.py DONOR.gguf OUT.gguf [q4_0|q4_1]
"""
import sys

import gguf
import numpy as np

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 24, 896, 4864, 14, 2, 64, 151936


def main():
    donor, out = sys.argv[1:3]
    kind = getattr(gguf.GGMLQuantizationType, (sys.argv[3] if len(sys.argv) > 3 else "q4_0").upper())
    rng = np.random.default_rng(1)
    w = gguf.GGUFWriter(out, "qwen2")
    reader = gguf.GGUFReader(donor)
    for key, field in reader.fields.items():
        if not key.startswith("tokenizer."):
            continue
        value = field.contents()
        if key == "tokenizer.ggml.tokens":            # names for the rows that the donor does not have
            value = value + [f"<unused_{i}>" for i in range(len(value), VOCAB)]
        if key in ("tokenizer.ggml.token_type", "tokenizer.ggml.scores"):
            value = value + [5 if key.endswith("type") else 0.0] * (VOCAB - len(value))
        w.add_key_value(key, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)
    w.add_block_count(LAYERS)
    w.add_context_length(32768)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_vocab_size(VOCAB)

    def quant(name, rows, cols):
        n = rows * cols // 32
        size = 18 if kind == gguf.GGMLQuantizationType.Q4_0 else 20
        blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
        scale = np.full(n, 0.25 / np.sqrt(cols), dtype=np.float16)
        blocks[:, :2] = scale.view(np.uint8).reshape(n, 2)
        if size == 20:
            blocks[:, 2:4] = (-8 * scale).astype(np.float16).view(np.uint8).reshape(n, 2)
        w.add_tensor(name, blocks.reshape(rows, cols // 32 * size), raw_dtype=kind)

    def ones(name, n, value=1.0):
        w.add_tensor(name, np.full(n, value, dtype=np.float32))

    quant("token_embd.weight", VOCAB, HIDDEN)
    for i in range(LAYERS):
        b = f"blk.{i}."
        ones(b + "attn_norm.weight", HIDDEN)
        ones(b + "ffn_norm.weight", HIDDEN)
        for name, rows, cols in (("attn_q", HEADS * HEAD_DIM, HIDDEN), ("attn_k", KV_HEADS * HEAD_DIM, HIDDEN),
                                 ("attn_v", KV_HEADS * HEAD_DIM, HIDDEN)):
            quant(f"{b}{name}.weight", rows, cols)
            ones(f"{b}{name}.bias", rows, 0.0)
        quant(b + "attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
        quant(b + "ffn_gate.weight", FFN, HIDDEN)
        quant(b + "ffn_up.weight", FFN, HIDDEN)
        quant(b + "ffn_down.weight", HIDDEN, FFN)
    ones("output_norm.weight", HIDDEN)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
