#!/bin/sh
# Kernel products as shares of this machine's peak, measured in the same run. One JSON line a shape with --json.
set -eu
cd "$(dirname "$0")/.."
exec build/bench/bench_matmul "$@"
