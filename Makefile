# The front door. Everything real is in CMakeLists.txt; this file only names the ways in.
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: all deps test-deps demo tiny-base test check check-darwin cuda identity bench bench-peers lint install clean

all: deps build/build.ninja
	@cmake --build build -j $(JOBS) --target accord

deps:
	@tools/install_deps.sh build

test-deps:
	@tools/install_deps.sh test || echo "make: goes on without"

build/build.ninja: CMakeLists.txt CMakePresets.json | deps
	@cmake --preset release >build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 70; }
	@rm -f build-configure.log

# The whole way on a real model: pull, freeze, train, ab, report. Without a network, on the tiny base.
demo: all
	@tools/demo.sh

# Trains the tiny base again from nothing and compares every byte with examples/tiny-base.
tiny-base: all
	@tools/tiny_base.sh

# Builds everything and runs every test that this machine can run; says which it could not.
test: test-deps all
	@cmake --build build -j $(JOBS)
	@tools/run_tests.sh build

# The long checks: sanitizers, the second compiler, fuzz corpora, lint.
check: all
	@tools/check.sh

# Compiles and links the guard for macOS, and compares what it imports with a list. Nothing of it is run.
check-darwin:
	@tools/check_darwin.sh

# The same bits from every program, instruction set, number of threads and micro-batch, after any kill: docs/identity.md.
# QUICK=1: a part of it. WRITE=1: puts down new hashes, where the arithmetic was changed on purpose.
identity: all
	@tools/install_deps.sh check cross || echo "identity: goes on without them"
	@python3 tools/identity $(if $(QUICK),--quick) $(if $(WRITE),--write $(if $(filter force,$(WRITE)),force,yes))

# libaccord_cuda.so, for training on NVIDIA GPUs; needs nvcc. What it computes is checked by tools/gpu_check.sh.
cuda: deps
	@cmake -G Ninja -S . -B build/cuda -DCMAKE_BUILD_TYPE=Release -DACCORD_CUDA=ON >/dev/null
	@cmake --build build/cuda -j $(JOBS) --target accord accord_cuda

bench: all
	@cmake --build build -j $(JOBS) --target accord-bench
	@tools/bench.sh

# LoRA beside PEFT and mlx-lm on the same rows; docs/kernels.md says which pythons it wants.
bench-peers: all
	@cmake --build build -j $(JOBS) --target accord bench_units
	@python3 bench/peers/peers.py $(PEERS)

lint:
	@tools/lint.sh

install: all
	@cmake --install build --prefix "$(PREFIX)"

clean:
	rm -rf build
