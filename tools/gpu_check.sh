#!/usr/bin/env bash
# Builds, checks and measures the CUDA backend, in a few minutes, on a machine with an NVIDIA GPU.
#
# usage: tools/gpu_check.sh [--built DIR] [--quick] [--out DIR]
#   --built DIR   take programs and library from there instead of building (the build folder of another machine, say)
#   --quick       no memory checker, and the smallest model only
#   --out DIR     full logs, one file a step (default: build/gpu-check)
# Exit code 0: all that ran passed; 1: something failed; 77: nothing could be run, with the reason.
set -uo pipefail
cd "$(dirname "$0")/.."
built= quick= out=build/gpu-check
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
      cmake --build $built --target accord accord_cuda test_backend_cuda test_train_cuda bench_cuda; } >"$out/build.txt" 2>&1 ||
        { tail -30 "$out/build.txt"; echo "gpu_check: the build failed ($out/build.txt)"; exit 1; }
fi
command -v nvidia-smi >/dev/null && nvidia-smi -L >"$out/gpu.txt" 2>&1 ||
    { echo "gpu_check: built; not run: no NVIDIA GPU here"; exit 77; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee -a "$out/gpu.txt"
ACCORD_CUDA_LIB=$(realpath "$built/libaccord_cuda.so")
export ACCORD_CUDA_LIB
[ -d /usr/local/cuda/lib64 ] && export LD_LIBRARY_PATH=/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

find_built() { for d in tests bench .; do [ -x "$built/$d/$1" ] && { echo "$built/$d/$1"; return; }; done; echo "$built/$1"; }
failed=0 summary=
step() {          # step NAME COMMAND...
    local name=$1 start=$SECONDS rc=0; shift
    timeout 600 "$@" >"$out/$name.txt" 2>&1 || rc=$?
    summary+=$(printf '%-24s %s  %4d s  %s' "$name" "$([ $rc = 0 ] && echo passed || echo "FAILED ($rc)")" $((SECONDS - start)) \
        "$(tail -n 1 "$out/$name.txt")")$'\n'
    [ $rc = 0 ] || { failed=1; grep -v ' ok$' "$out/$name.txt" | tail -n 40; }
}
step operations "$(find_built test_backend_cuda)"
step models "$(find_built test_train_cuda)"
for run in "135m 16 1024 20"; do
    step "speed-${run// /-}" "$(find_built bench_cuda)" $run
    cat "$out/speed-${run// /-}.txt"
done
if [ -z "$quick" ]; then
    for run in "0.5b 8 1024 10" "1.5b 8 1024 10"; do
        step "speed-${run// /-}" "$(find_built bench_cuda)" $run
        cat "$out/speed-${run// /-}.txt"
    done
    if command -v compute-sanitizer >/dev/null; then
        step memcheck compute-sanitizer --tool memcheck --error-exitcode 9 "$(find_built test_backend_cuda)"
        step racecheck compute-sanitizer --tool racecheck --error-exitcode 9 "$(find_built test_backend_cuda)"
    else
        summary+="memcheck                 not run: no compute-sanitizer"$'\n'
    fi
fi
printf '%s' "$summary"
exit $failed
