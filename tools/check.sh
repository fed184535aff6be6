#!/bin/sh
# The long checks: lint, ASan and UBSan over all tests and fuzz corpora, the second compiler, identity.
set -eu
cd "$(dirname "$0")/.."
tools/install_deps.sh build check
tools/lint.sh
for preset in asan-ubsan clang; do
    echo "check: $preset"
    cmake --preset "$preset" >/dev/null
    cmake --build "build/$preset" -j "$(nproc)" 2>&1 | { grep -vE '^\[|^ninja' || true; }
    tools/run_tests.sh "build/$preset"
done
# The CUDA backend compiles; what it computes is tested on a machine with a GPU, by tools/gpu_check.sh.
if PATH=$PATH:/usr/local/cuda/bin command -v nvcc >/dev/null; then
    echo "check: cuda"
    PATH=$PATH:/usr/local/cuda/bin cmake -G Ninja -S . -B build/cuda -DCMAKE_BUILD_TYPE=Release -DACCORD_CUDA=ON >/dev/null
    PATH=$PATH:/usr/local/cuda/bin cmake --build build/cuda -j "$(nproc)" --target accord_cuda 2>&1 |
        { grep -vE '^\[|^ninja' || true; }
    [ -f build/cuda/libaccord_cuda.so ]
else
    echo "check: cuda not run: no nvcc"
fi
# The same bits from gcc, clang, static and aarch64 programs; and that a broken kernel would be found.
echo "check: identity"
tools/install_deps.sh cross || echo "check: goes on without the cross compiler"
status=0
python3 tools/identity --quick || status=$?
[ "$status" = 66 ] && exit 0          # said: no base model
[ "$status" = 0 ] || exit "$status"
echo "check: mutants"
python3 tools/identity/mutants.py
