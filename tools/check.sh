#!/bin/sh
# The long checks: lint, ASan and UBSan over all tests and fuzz corpora, the second compiler.
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
