#!/usr/bin/env bash
# Builds, checks and measures the CUDA backend, in a few minutes, on a machine with an NVIDIA GPU.
#
# usage: tools/gpu_check.sh [--built DIR] [--quick] [--out DIR]
#   --built DIR   take programs and library from there instead of building (the build folder of another machine, say)
#   --quick       no memory checker, and the smallest model only
#   --out DIR     full logs, one file a step (default: build/gpu-check)
# Exit code 0: all that ran passed; 1: something failed; 77: nothing could be run, with the reason.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70
built='' quick='' out=build/gpu-check
while [ $# -gt 0 ]; do
    case $1 in
    --built) built=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --quick) quick=1; shift ;;
    *) sed -n '4,8s/^# //p' "$0"; exit 64 ;;
    esac
done
mkdir -p "$out"
if [ -z "$built" ]; then
    command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
    command -v nvcc >/dev/null || { echo "gpu_check: not run: no nvcc (give --built, or install the CUDA toolkit)"; exit 77; }
    built=build/cuda
    { cmake -G Ninja -S . -B $built -DCMAKE_BUILD_TYPE=Release -DACCORD_CUDA=ON &&
      cmake --build $built --target accord accord_cuda test_backend_cuda test_quant_cuda test_train_cuda bench_cuda; } >"$out/build.txt" 2>&1 ||
        { tail -30 "$out/build.txt"; echo "gpu_check: the build failed ($out/build.txt)"; exit 1; }
fi
command -v nvidia-smi >/dev/null && nvidia-smi -L >"$out/gpu.txt" 2>&1 ||
    { echo "gpu_check: built; not run: no NVIDIA GPU here"; exit 77; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee -a "$out/gpu.txt"
ACCORD_CUDA_LIB=$(realpath "$built/libaccord_cuda.so")
export ACCORD_CUDA_LIB
[ -d /usr/local/cuda/lib64 ] && export LD_LIBRARY_PATH=/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

find_built() { for d in tests bench .; do [ -x "$built/$d/$1" ] && { echo "$built/$d/$1"; return; }; done; echo "$built/$1"; }
failed=0 summary=''
step() {          # step NAME COMMAND...
    local name=$1 start=$SECONDS rc=0; shift
    { if [ "$(type -t "$1")" = function ]; then "$@"; else timeout 600 "$@"; fi; } >"$out/$name.txt" 2>&1 || rc=$?
    summary+=$(printf '%-24s %s  %4d s  %s' "$name" "$([ $rc = 0 ] && echo passed || echo "FAILED ($rc)")" $((SECONDS - start)) \
        "$(case $name in speed-*) head -n 1 "$out/$name.txt" ;; *) tail -n 1 "$out/$name.txt" ;; esac)")$'\n'
    [ $rc = 0 ] || { failed=1; grep -v ' ok$' "$out/$name.txt" | tail -n 40; }
}
# The tiny base through the command line: frozen, trained twice, the same adapter.
command_line() {
    local work accord
    accord=$(realpath "$(find_built accord)") work=$(mktemp -d) || return
    cp -r tests/identity/project/. "$work"
    sed -i "s|^  model: .*|  model: $PWD/examples/tiny-base/model|; s|^  rank: .*|  rank: 8|; s|^method:|method:\n  numerics: cuda-bf16|" \
        "$work/accord.yaml"
    "$accord" -C "$work" doctor | grep '^gpu' || return
    "$accord" -C "$work" freeze || return
    for i in 1 2; do "$accord" -C "$work" train --json >"$work/$i.json" || return; done
    grep -h -E '"(last_loss|seconds|adapter_sha256)"' "$work/1.json" "$work/2.json"
    [ "$(grep adapter_sha256 "$work/1.json")" = "$(grep adapter_sha256 "$work/2.json")" ] || return 1
    rm -r "$work"
    echo "two runs of one contract: the same adapter"
}
step command-line command_line
step operations "$(find_built test_backend_cuda)"
step stored-types "$(find_built test_quant_cuda)"
step models "$(find_built test_train_cuda)"
speed() {         # SHAPE ROWS LENGTH STEPS
    step "speed-$1" "$(find_built bench_cuda)" "$@"
    cat "$out/speed-$1.txt"
}
# Hazards of our own kernels; those that the checker reports inside cuBLAS's are not ours to judge.
racecheck() {
    compute-sanitizer --tool racecheck "$(find_built test_backend_cuda)" >"$out/races.txt" 2>&1
    grep -q 'RACECHECK SUMMARY' "$out/races.txt" || { tail -n 20 "$out/races.txt"; return 1; }
    grep 'Race reported' "$out/races.txt" | grep -vE ' at (nvjet|cutlass|.*cublas)' && return 1
    echo "no hazard in a kernel of ours ($(grep -c 'Race reported' "$out/races.txt") inside cuBLAS's)"
}
speed 135m 16 1024 20
if [ -z "$quick" ]; then
    speed 0.5b 8 1024 10
    speed 1.5b 8 1024 10
    if command -v compute-sanitizer >/dev/null; then
        step memcheck compute-sanitizer --tool memcheck --error-exitcode 9 "$(find_built test_backend_cuda)"
        step racecheck racecheck
    else
        summary+="memcheck                 not run: no compute-sanitizer"$'\n'
    fi
fi
printf '%s' "$summary"
exit $failed
