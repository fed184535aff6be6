#!/usr/bin/env python3
"""Greedy decoding beside llama.cpp (its Python binding), on the same file, prompt and threads.

    llama_decode.py --model FILE.gguf --accord build/accord [--threads 2] [--tokens 128] [--rounds 5]

Both are asked for tokens after the same prompt ids, the end token ignored, in turn within a round, so that a
neighbour who takes the machine for a while spoils a round and not a side. A side's rate is tokens over the
difference in time between a long and a short answer, which leaves out loading and the prompt. Printed: JSON with
each round, the medians, and the median of the rounds' ratios. CPU ratios (user and system time of the
process) stand beside those of the clock for machines that are never quiet.
Needs llama-cpp-python (0.3.36 was used) in the interpreter that runs this."""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time


def parse():
    p = argparse.ArgumentParser(description="greedy decoding beside llama.cpp")
    p.add_argument("--model", required=True)
    p.add_argument("--accord", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--tokens", type=int, default=128)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--as-peer", type=int, help=argparse.SUPPRESS)
    return p.parse_args()


SHORT = 8
PROMPT = list(range(100, 116))


def peer(a):
    """One process of llama.cpp: answers of SHORT and of SHORT + tokens; prints clock and CPU seconds of each."""
    import llama_cpp
    import numpy

    m = llama_cpp.Llama(a.model, n_ctx=len(PROMPT) + SHORT + a.tokens + 8, n_threads=a.threads,
                        n_threads_batch=a.threads, verbose=False, logits_all=False)
    vocab = m.n_vocab()

    def step(ids):
        """The C calls alone: the binding's own bookkeeping is not what is compared."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)      # the batch borrows it
        batch = llama_cpp.llama_batch_get_one(tokens, len(ids))
        if llama_cpp.llama_decode(m.ctx, batch):
            sys.exit("llama_decode failed")
        return int(numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(m.ctx, -1), shape=(vocab,)).argmax())

    out = []
    for n in (SHORT, SHORT + a.tokens):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(m.ctx), True)
        t, c = time.monotonic(), time.process_time()
        last = step(PROMPT)
        for _ in range(n - 1):
            last = step([last])
        out.append((time.monotonic() - t, time.process_time() - c))
    print(json.dumps(out))


def children_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def ours(a, n):
    before = children_cpu()
    r = subprocess.run([a.accord, "generate", "--model", a.model, "--prompt-ids", ",".join(map(str, PROMPT)),
                        "--max-tokens", str(n), "--temperature", "0", "--ignore-eos", "--threads",
                        str(a.threads), "--json"], check=True, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
    answer = json.loads(r.stdout)
    if len(answer["ids"]) != n:
        sys.exit(f"accord gave {len(answer['ids'])} tokens, asked for {n}")
    return answer["seconds"], children_cpu() - before


def rates(a, short, long):
    return a.tokens / max(long[0] - short[0], 1e-9), a.tokens / max(long[1] - short[1], 1e-9)


def main():
    a = parse()
    if a.as_peer:
        return peer(a)
    rounds = []
    for _ in range(a.rounds):
        mine = rates(a, ours(a, SHORT), ours(a, SHORT + a.tokens))
        r = subprocess.run([sys.executable, os.path.abspath(__file__), "--as-peer", "1", "--model", a.model,
                            "--accord", a.accord, "--threads", str(a.threads), "--tokens", str(a.tokens)],
                           check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        theirs = rates(a, *json.loads(r.stdout))
        rounds.append({"accord": mine[0], "llama": theirs[0], "ratio": mine[0] / theirs[0],
                       "accord_cpu": mine[1], "llama_cpu": theirs[1], "ratio_cpu": mine[1] / theirs[1]})
    median = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}
    print(json.dumps({"threads": a.threads, "tokens": a.tokens, "unit": "tokens/s", "median": median,
                      "least_ratio": min(r["ratio"] for r in rounds),
                      "largest_ratio": max(r["ratio"] for r in rounds), "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
