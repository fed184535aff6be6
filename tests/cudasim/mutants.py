#!/usr/bin/env python3
"""Puts one fault at a time into the CUDA library's sources and demands that the tests on the simulated GPU find it.

usage: tests/cudasim/mutants.py [BUILD]     BUILD: where the tests are built already (default: build)

Works on a copy; minutes. Exit code 0: all were found.
"""
import os
import shutil
import subprocess
import sys
import tempfile

TESTS = "backend", "quant", "train"

# file, what stands there, what stands there instead
FAULTS = {
    "attention: no barrier before a stage is filled again": ("cuda_attention.cu",
        "        add_product<D, TILE>(o, s, sv + stage * TILE * LD);\n        __syncthreads();",
        "        add_product<D, TILE>(o, s, sv + stage * TILE * LD);"),
    "attention: the last wait is missing": ("cuda_attention.cu",
        "    else wait_until_left<0>();", "    else wait_until_left<1>();"),
    "attention's gradient: no barrier after the wait": ("cuda_attention.cu",
        "a.delta[from] : 0.0f;\n        }\n        wait_all_but(more);\n        __syncthreads();",
        "a.delta[from] : 0.0f;\n        }\n        wait_all_but(more);"),
    "attention: a row behind the document": ("cuda_attention.cu",
        "(row < n ? row : 0) * stride + c, row < n);", "row * stride + c, row <= n);"),
    "attention: no edge inside a tile": ("cuda_attention.cu",
        "bool edge = at + TILE > row ||", "bool edge = at + TILE > row + 64 ||"),
    "loss: the block's room is written while it is read": ("cuda_kernels.cu",
        "    __syncthreads();\n    if (lane == 0) room[warp] = v;", "    if (lane == 0) room[warp] = v;"),
    "loss: the block's room is read before it is written": ("cuda_kernels.cu",
        "    if (lane == 0) room[warp] = v;\n    __syncthreads();", "    if (lane == 0) room[warp] = v;"),
    "sum of squares: no barrier between halves": ("cuda_kernels.cu",
        "        __syncthreads();\n    }\n    if (threadIdx.x == 0) out", "    }\n    if (threadIdx.x == 0) out"),
    "sum of squares: not waited for": ("cuda_device.c",
        'cudaMemcpyDeviceToHost, d->stream), "a copy");\n    (void)cuda_ok(d, cudaStreamSynchronize(d->stream), "a sum of squares");',
        'cudaMemcpyDeviceToHost, d->stream), "a copy");'),
    "a norm that does not wait for the launch before": ("cuda_kernels.cu",
        "    await_previous();\n    const size_t row = blockIdx.x * (size_t)NORM_WARPS", "    const size_t row = blockIdx.x * (size_t)NORM_WARPS"),
    "into the rank: waits a stage short": ("cuda_lora.cu",
        "        wait_until_left<size::STAGES - 2>();\n        __syncthreads();                         /*",
        "        wait_until_left<size::STAGES - 1>();\n        __syncthreads();                         /*"),
    "into the rank: no barrier": ("cuda_lora.cu",
        "        __syncthreads();                         /* the stage", "        /* the stage"),
    "back from the rank: a stage is filled before all have read it": ("cuda_lora.cu",
        "            __syncthreads();\n            fetch();", "            fetch();\n            __syncthreads();"),
    "gradient of A: the wrong stage": ("cuda_lora.cu",
        "        const int next = s + size::STAGES - 1;\n        bf16 *fill = ring + next % size::STAGES * size::STAGE;\n        if (next < steps) load_rows",
        "        const int next = s + size::STAGES;\n        bf16 *fill = ring + next % size::STAGES * size::STAGE;\n        if (next < steps) load_rows"),
    "adapters: a row behind the last": ("cuda_lora.cu",
        "const bool there = row + n < end && col + c < cols;", "const bool there = row + n <= end && col + c < cols;"),
    "NF4: the table is read before it is there": ("cuda_quant.cu",
        "nf4[threadIdx.x] = quant_nf4[threadIdx.x];\n        __syncthreads();", "nf4[threadIdx.x] = quant_nf4[threadIdx.x];"),
    "few rows: sums before all warps have theirs": ("cuda_thin.cu", "        __syncthreads();\n        store<TILES>", "        store<TILES>"),
    "few rows: sums are overwritten while they are read": ("cuda_thin.cu",
        "        store<TILES>(part, w, here);\n        __syncthreads();", "        store<TILES>(part, w, here);"),
    "few rows: weights behind k": ("cuda_thin.cu", "fetch16(to, s.lo + k, s.lo && k < s.k);", "fetch16(to, s.lo + k, s.lo);"),
    "few rows: waits a turn short": ("cuda_thin.cu", "wait_until_left<STAGES - 2>();", "wait_until_left<STAGES - 1>();"),
    "few rows: the next turn's place is this one's": ("cuda_thin.cu", "fill = STAGES - 1;\n", "fill = STAGES - 2;\n"),
    "the cache: the query is read before it is there": ("cuda_decode.cu",
        "load_row<D>(room, a, r.pos, head, kv);\n            __syncthreads();", "load_row<D>(room, a, r.pos, head, kv);"),
    "the cache: the new row is lost": ("cuda_decode.cu", "if (a.cosine) put_key<D>", "if (a.cosine && !a.cosine) put_key<D>"),
    "the cache: a chunk's sums are overwritten while they are read": ("cuda_decode.cu",
        "                sum = chunk ? merge(sum, p) : p;\n            }\n        }\n        __syncthreads();",
        "                sum = chunk ? merge(sum, p) : p;\n            }\n        }"),
    "the cache: the last key is lost": ("cuda_decode.cu", "key >= from && key < to ? s : -INFINITY", "key >= from && key + 1 < to ? s : -INFINITY"),
    "the largest: the last among equals": ("cuda_decode.cu", "<< 32 | (uint32_t)~at;", "<< 32 | at;"),
    "a recorded pass: the table of slots is the one before": ("cuda_pass.c",
        "if (!cuda_rows_of(d, r->feeds, r->n_feeds, &rows) || rows != r->n_feeds) return false;", "rows = r->n_feeds;"),
}


def built(build):
    return subprocess.run(["cmake", "--build", build, "--target", "accord_cuda_sim"], capture_output=True, text=True)


def first_failure(tests, library):
    env = dict(os.environ, ACCORD_CUDA_LIB=library)
    for name in TESTS:
        try:
            r = subprocess.run([f"{tests}/test_{name}_cuda"], env=env, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return f"{name}: no end"
        if r.returncode:
            says = [x for x in r.stderr.splitlines() if x] or [x for x in r.stdout.splitlines() if "FAILED" in x or "failed" in x] or ["?"]
            return f"{name}: {says[0][:100]}"
    return None


def main():
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    tests = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(source, "build")) + "/tests"
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        for part in "src", "tests":
            shutil.copytree(f"{source}/{part}", f"{work}/{part}")
        shutil.copy(f"{source}/CMakeLists.txt", work)
        build, library = f"{work}/build", f"{work}/build/tests/cudasim/libaccord_cuda_sim.so"
        subprocess.run(["cmake", "-G", "Ninja", "-S", work, "-B", build, "-DCMAKE_BUILD_TYPE=Release"], check=True, capture_output=True)
        if built(build).returncode:
            sys.exit("the library does not build")
        why = first_failure(tests, library)
        if why:
            sys.exit(f"without a fault: {why}")
        for name, (file, old, new) in FAULTS.items():
            path = f"{work}/src/backend/cuda/{file}"
            with open(path, encoding="utf-8") as f:
                text = f.read()
            if old not in text:
                print(f"NO PLACE   {name}: {file} has changed", flush=True)
                bad += 1
                continue
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace(old, new, 1))
            made = built(build)
            why = "does not compile" if made.returncode else first_failure(tests, library)
            bad += made.returncode != 0 or why is None
            print(f"{'not found' if why is None or made.returncode else 'found':10} {name}{': ' + why if why else ''}", flush=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    print(f"{len(FAULTS) - bad} of {len(FAULTS)} found")
    sys.exit(bad != 0)


main()
