#!/usr/bin/env bash
# Builds, checks and measures the CUDA backend on a machine with an NVIDIA GPU, in one call of a few minutes.
#
# usage: tools/gpu_check.sh [--built DIR] [--library] [--quick] [--only STEPS] [--peers] [--cpu-run RUN] [--shared PROJECT] [--json] [--out DIR]
#   --built DIR     take programs and library from there instead of building (docs/cuda.md: a portable build of another machine)
#   --library       build the library here nonetheless, from this source tree, and check that one (needs nvcc and cmake only)
#   --quick         no compute-sanitizer, and the smallest shape only
#   --only STEPS    of: tests command-line demo speed decode nodes sanitizers
#   --peers         measure PEFT in the same call, too (bench/gpu/peft_gpu.py; minutes; needs torch, transformers, peft)
#   --cpu-run RUN   a run of examples/shop-sql that a CPU made, with its verdict: is the GPU's verdict the same?
#   --shared PROJECT  with two GPUs or more: a folder with accord.yaml and accord.lock, numerics cuda-bf16, shards 2 or more, on which one
#                   and two are measured (for the demand: the 1.5B shape, 16 rows of 1024 tokens a step, 5 steps or more)
#   --json          the table as JSON on stdout, everything else on stderr
#   --out DIR       full logs, one file a step (default: build/gpu-check)
# Prints what passed, and the figures beside what docs/cuda.md demands. Exit code 0: all that ran passed, whatever the figures
# are; 1: something failed; 77: nothing could be run, with the reason.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70
built='' library='' quick='' only='' peers='' cpu_run='' shared='' json='' out=build/gpu-check
while [ $# -gt 0 ]; do
    case $1 in
    --built) built=${2:?}; shift 2 ;;
    --out) out=${2:?}; shift 2 ;;
    --only) only=" ${2//,/ } "; shift 2 ;;
    --cpu-run) cpu_run=$(realpath "${2:?}"); shift 2 ;;
    --shared) shared=$(realpath "${2:?}"); shift 2 ;;
    --library) library=1; shift ;;
    --quick) quick=1; shift ;;
    --peers) peers=1; shift ;;
    --json) json=1; shift ;;
    *) sed -n '4,17s/^# //p' "$0"; exit 64 ;;
    esac
done
exec 3>&1
[ -z "$json" ] || exec 1>&2
mkdir -p "$out" && out=$(realpath "$out") || exit 73
rm -f "$out"/*.txt "$out"/*.json "$out"/*.md "$out"/*.log "$out"/*.ours      # of an earlier call
command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
[ -d /usr/local/cuda/lib64 ] && export LD_LIBRARY_PATH=/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
wants() { [ -z "$only" ] || [[ $only = *" $1 "* ]]; }

# ---- the programs and the library
TESTS='test_backend_cuda test_train_cuda test_quant_cuda test_train_gpus'
missing_packages() {
    local p
    command -v pkg-config >/dev/null || { echo pkg-config; return; }
    for p in yaml-0.1 sqlite3 libsodium libpcre2-8 libutf8proc zlib libcurl cmocka; do pkg-config --exists $p || printf '%s ' $p; done
}
build_failed() { tail -n 30 "$1"; echo "gpu_check: the build failed ($1)"; exit 1; }
needs_nvcc() { command -v nvcc >/dev/null || { echo "gpu_check: not run: no nvcc ($1)"; exit 77; }; }
if [ -z "$built" ]; then
    needs_nvcc "give --built, or install the CUDA toolkit"
    lacking=$(missing_packages)
    [ -z "$lacking" ] || { echo "gpu_check: not run: the program cannot be built here without $lacking- tools/install_deps.sh build" \
        "installs them; or give --built, from a Debian machine that has them"; exit 77; }
    built=build/cuda
    targets=$(for t in $TESTS; do ls tests/unit/$t.c bench/$t.c 2>/dev/null; done | xargs -n 1 basename -s .c)
    { cmake -G Ninja -S . -B $built -DCMAKE_BUILD_TYPE=Release -DACCORD_CUDA=ON &&
      cmake --build $built --target accord accord_cuda bench_cuda $targets; } >"$out/build.txt" 2>&1 || build_failed "$out/build.txt"
fi
built=$(realpath "$built") || exit 66
ACCORD_CUDA_LIB=$built/libaccord_cuda.so
if [ -n "$library" ]; then
    needs_nvcc "--library"
    start=$SECONDS
    { cmake -G Ninja -S . -B "$out/library" -DCMAKE_BUILD_TYPE=Release -DACCORD_CUDA_ONLY=ON && cmake --build "$out/library"; } \
        >"$out/build.txt" 2>&1 || build_failed "$out/build.txt"
    ACCORD_CUDA_LIB=$out/library/libaccord_cuda.so
    echo "the library was built here from source in $((SECONDS - start)) s"
fi
export ACCORD_CUDA_LIB
nvidia-smi -L >"$out/gpu.txt" 2>&1 || { echo "gpu_check: built; not run: no NVIDIA GPU here"; exit 77; }
machine=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | sort | uniq -c | sed 's/^ *1 //;s/^ *//')
gpus=$(nvidia-smi -L | grep -c '^GPU')
echo "$machine" | tee -a "$out/gpu.txt"
find_built() { local d; for d in . tests bench; do [ -x "$built/$d/$1" ] && { echo "$built/$d/$1"; return; }; done; return 1; }

# ---- steps
failed=0 steps=''
note_step() {     # NAME RESULT SECONDS WORDS
    steps+="$1|$2|$3|${4//|//}"$'\n'
    printf '%-26s %-12s %4d s  %.120s\n' "$1" "$2" "$3" "$4"
    case $2 in FAILED*) failed=1 ;; esac
}
step() {          # step NAME SECONDS COMMAND...: a function of this script or a program
    local name=$1 limit=$2 start=$SECONDS rc=0; shift 2
    { if [ "$(type -t "$1")" = function ]; then "$@"; else timeout "$limit" "$@"; fi; } >"$out/$name.txt" 2>&1 || rc=$?
    case $rc in
    0) note_step "$name" passed $((SECONDS - start)) "$(tail -n 1 "$out/$name.txt")" ;;
    77) note_step "$name" 'not run' $((SECONDS - start)) "$(tail -n 1 "$out/$name.txt")" ;;
    124) note_step "$name" 'FAILED' $((SECONDS - start)) "took longer than $limit s" ;;
    *) note_step "$name" "FAILED ($rc)" $((SECONDS - start)) "$(tail -n 1 "$out/$name.txt")"
       grep -v ' ok$' "$out/$name.txt" | tail -n 30 | sed 's/^/    /' ;;
    esac
    return $rc
}

if wants tests; then
    for t in $TESTS; do
        program=$(find_built $t) && step ${t#test_} 300 "$program" || [ -n "$program" ] || note_step ${t#test_} 'not run' 0 'not built'
    done
fi

# The tiny base through the command line: the same adapter twice, and once more after a kill.
command_line() {
    local work accord lines=0 pid run saved
    accord=$(find_built accord) || { echo 'not run: no accord there'; return 77; }
    work=$(mktemp -d) || return
    cp -r tests/identity/project/. "$work"
    sed -i "s|^  model: .*|  model: $PWD/examples/tiny-base/model|; s|^  rank: .*|  rank: 8|; s|^method:|method:\n  numerics: cuda-bf16|
            s|^  max_steps: .*|  max_steps: 300|; s|^  save_every: .*|  save_every: 20|; s|^  eval_every: .*|  eval_every: 100|" "$work/accord.yaml"
    "$accord" -C "$work" doctor | grep '^gpu' || return
    "$accord" -C "$work" freeze || return
    for i in 1 2; do "$accord" -C "$work" train --no-guard --json >"$work/$i.json" || return; done
    grep -h -E '"(last_loss|seconds|adapter_sha256)"' "$work/1.json" "$work/2.json"
    [ "$(grep adapter_sha256 "$work/1.json")" = "$(grep adapter_sha256 "$work/2.json")" ] || { echo 'two runs, two adapters'; return 1; }
    "$accord" -C "$work" train --no-guard --json >"$work/3.json" 2>/dev/null &
    pid=$!
    for ((i = 0; i < 20000; i++)); do            # until its second checkpoint
        run=$(printf '%s\n' "$work"/.accord/runs/* | tail -n 1)
        saved=("$run"/checkpoints/*)
        [ "$(printf '%s\n' "$work"/.accord/runs/* | wc -l)" -lt 3 ] || [ ${#saved[@]} -lt 2 ] || break
        kill -0 $pid 2>/dev/null || break
    done
    kill -9 $pid 2>/dev/null || { echo 'it had ended before it was killed'; return 1; }
    wait $pid 2>/dev/null
    lines=$(wc -l <"$run/trace.jsonl")
    [ "$lines" -lt 300 ] || { echo 'it had taken its last step before it was killed'; return 1; }
    "$accord" -C "$work" train --no-guard --json --resume latest >"$work/3.json" || return
    [ "$(grep adapter_sha256 "$work/1.json")" = "$(grep adapter_sha256 "$work/3.json")" ] || { echo 'another adapter after a kill'; return 1; }
    rm -r "$work"
    echo "two runs, and one killed after step $lines and resumed: the same adapter"
}
same_bytes=''
if wants command-line; then
    step command-line 300 command_line && same_bytes=yes
    [ -n "$same_bytes" ] || same_bytes=$(sed -n 's/^command-line|\(FAILED\|not run\).*/\1/p' <<<"$steps")
fi

# One contract on one GPU and on two: the same bytes, and how much faster.
nodes() {
    local accord
    [ "$gpus" -ge 2 ] || { echo 'not run: one GPU here'; return 77; }
    [ -n "$shared" ] || { echo 'not run: no --shared PROJECT'; return 77; }
    accord=$(find_built accord) || { echo 'not run: no accord there'; return 77; }
    python3 bench/workers.py "$accord" "$shared" --workers 1,2 --rounds 3 --json >"$out/workers.json" || { cat "$out/workers.json"; return 1; }
    sed -n 's/.*"times_first": \([0-9.]*\).*/\1/p' "$out/workers.json" | tail -n 1 | sed 's/.*/{"two_gpus": &}/'
}
if wants nodes; then step nodes 900 nodes; fi

# The demo: trained on the GPU, and its verdict beside the CPU's.
verdict='' demo_seconds=''
demo() {
    local work accord base=${ACCORD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/accord}/models/smollm2-135m-instruct/model.gguf
    accord=$(find_built accord) || { echo 'not run: no accord there'; return 77; }
    [ -f "$base" ] || { echo "not run: no base model (accord model pull smollm2-135m-instruct, or lay it at $base)"; return 77; }
    work=$(mktemp -d) || return
    cp -r examples/shop-sql "$work"
    cd "$work" || return
    rm -rf shop-sql/.accord shop-sql/accord.lock shop-sql/accord.prml.yaml
    sed -i 's|^method:|method:\n  numerics: cuda-bf16|' shop-sql/accord.yaml
    "$accord" -C shop-sql freeze || return
    "$accord" -C shop-sql train --no-guard --json >"$out/demo-train.json" || return
    grep -E '"(last_loss|seconds|adapter_sha256)"' "$out/demo-train.json"
    "$accord" -C shop-sql ab; [ $? -le 1 ] || return 1
    "$accord" -C shop-sql verify latest || return        # on this GPU: every bit
    if [ -n "$cpu_run" ]; then
        "$accord" verify "$cpu_run" --against shop-sql --numerics cuda-bf16 --report "$out"
    else
        "$accord" -C shop-sql verify latest --numerics fp32 --report "$out"      # the CPU of this machine
    fi || return
    cd "$OLDPWD" && rm -r "$work"
}
in_demo() { ( demo ); }
if wants demo && [ -z "$quick" ]; then
    step demo 400 in_demo
    verdict=$(grep -oE '^(VERDICT_IDENTICAL|DIVERGED|INPUTS_DIFFER).*' "$out/demo.txt" | tail -n 1)
    [ -n "$verdict" ] || verdict="not run: $(tail -n 1 "$out/demo.txt" | cut -c 1-100)"
fi

# ---- figures
shapes='135m:16:1024 0.5b:8:1024 1.5b:8:1024 8b:4:2048:recompute 8b:4:2048'
[ -z "$quick" ] || shapes=135m:16:1024
if wants speed && [ -n "$peers" ]; then
    step peers 900 python3 bench/gpu/peft_gpu.py --bench "$(find_built bench_cuda)" --budget "${GPU_CHECK_PEERS_SECONDS:-420}" \
        ${GPU_CHECK_PEERS_ONLY:+--only "$GPU_CHECK_PEERS_ONLY"} --out "$out/peers"
fi
speed() {         # SHAPE:ROWS:LENGTH[:WORDS]: from the peers' call, or measured now
    local s r l w key
    IFS=: read -r s r l w <<<"$1"
    key=$s:${w:-ours}
    python3 - "$out/peers.json" "$key" 2>/dev/null <<'PY' && return
import json, sys
got = json.load(open(sys.argv[1]))["results"][sys.argv[2]]
assert "tokens_s" in got
print(json.dumps(got))
PY
    "$(find_built bench_cuda)" "$s" "$r" "$l" 10 $w json
}
if wants speed; then
    for s in $shapes 8b:4:2048:"within 37.2" 8b:1:2048:"within 11 Q4_K"; do
        [ -z "$quick" ] || [ "$s" = 135m:16:1024 ] || continue
        find_built bench_cuda >/dev/null && step "speed-${s//[: ]/-}" 120 speed "$s"
    done
fi
if wants decode; then
    if program=$(find_built bench_cuda); then step decode 120 "$program" 1.5b 1 128 128 decode json; else note_step decode 'not run' 0 'not built'; fi
fi

# ---- compute-sanitizer, over every test; its reports of kernels of cuBLAS are not ours to judge
sanitize() {      # TOOL TEST
    local log=$out/$1-$2.log
    # initcheck's time goes with the bytes: it gets no case of more than 1e8 products
    ACCORD_TEST_PRODUCTS=$([ "$1" = initcheck ] && echo 1e8 || echo 1e300) \
        timeout "${GPU_CHECK_SANITIZER_SECONDS:-400}" compute-sanitizer --tool "$1" "$(find_built "$2")" >"$log" 2>&1
    [ $? != 124 ] || { echo "not ended after ${GPU_CHECK_SANITIZER_SECONDS:-400} s"; return; }
    grep -q 'SUMMARY' "$log" || { tail -n 20 "$log"; return 1; }
    awk '/Race reported/ { print; next } /Uninitialized|Invalid|Misaligned|leaked|Program hit/ { at = $0; getline; sub(/^=+ */, ""); print at, $0 }' \
        "$log" | grep -vE ' at (void )?(nvjet|cutlass|.*cublas)' | sed 's/+0x[0-9a-f]*//' >"$log.ours"
    if [ -s "$log.ours" ]; then sort "$log.ours" | uniq -c | sort -rn | head -n 20; echo "$(wc -l <"$log.ours") findings in kernels of ours"; return 1; fi
    rm "$log.ours"
    echo "nothing in a kernel of ours: $(grep SUMMARY "$log" | tail -n 1 | sed 's/=* *//')"
}
clean='not run'
if wants sanitizers && [ -z "$quick" ]; then
    if command -v compute-sanitizer >/dev/null; then
        clean=yes
        for tool in memcheck initcheck racecheck; do         # all at once: the checkers wait more than they compute
            for t in ${TESTS% test_train_gpus}; do        # its processes are many, its kernels the others'
                ! find_built $t >/dev/null || sanitize $tool $t >"$out/$tool-${t#test_}.txt" 2>&1 &
            done
        done
        start=$SECONDS
        wait
        for log in "$out"/*check-*_cuda.txt; do
            case $(tail -n 1 "$log") in
            nothing*) result=passed ;;
            'not ended'*) result='not run'; [ $clean = no ] || clean=part ;;
            *) result=FAILED clean=no; head -n 20 "$log" | sed 's/^/    /' ;;
            esac
            name=${log##*/}
            note_step "${name%.txt}" "$result" $((SECONDS - start)) "$(tail -n 1 "$log")"
        done
    else
        note_step sanitizers 'not run' 0 'no compute-sanitizer'
    fi
fi

# ---- the demands of docs/cuda.md
figure() { sed -n 's/.*"'"$2"'": *\([0-9.]*\).*/\1/p' "$out/speed-$1.txt" 2>/dev/null | head -n 1; }
# PEFT's figure of this call; else the one that the demands were written with (the same GPU model, another day).
peft() {          # SHAPE:MODE FIELD GOAL
    python3 - "$out/peers.json" "$1" "$2" 2>/dev/null <<'PY' || echo "$3"
import json, sys
print(json.load(open(sys.argv[1]))["results"][sys.argv[2]][sys.argv[3]])
PY
}
table=''
demand() {        # TEXT OPERATOR WANTED MEASURED UNIT: MEASURED may be empty
    local verdict
    if [ -z "$4" ]; then verdict='not run'
    else verdict=$(awk -v a="$4" -v b="$3" -v o="$2" 'BEGIN { print ((o == ">=" ? a + 0 >= b + 0 : a + 0 <= b + 0) ? "met" : "missed") }'); fi
    table+="$1|$2 $3 $5|${4:-}|$verdict"$'\n'
}
ratio() { [ -n "$1" ] && [ -n "$2" ] && awk -v a="$1" -v b="$2" -v f="${3:-1}" 'BEGIN { printf "%.3f", a * f / b }'; }
gb() { [ -n "$1" ] && awk -v a="$1" 'BEGIN { printf "%.1f", a * 1.048576e-3 }'; }
s135=135m-16-1024 s05=0.5b-8-1024 s15=1.5b-8-1024 s8r=8b-4-2048-recompute s8w=8b-4-2048-within-37.2
demand '135M, 16 x 1024' '>=' 330000 "$(figure $s135 tokens_s)" tokens/s
demand '0.5B, 8 x 1024, of PEFT eager' '>=' 2.5 "$(ratio "$(figure $s05 tokens_s)" "$(peft 0.5b:eager tokens_s 48400)")" times
demand '1.5B, 8 x 1024' '>=' 65000 "$(figure $s15 tokens_s)" tokens/s
demand '8B, 4 x 2048, within 40 GB' '>=' 13000 "$(figure $s8w tokens_s)" tokens/s
demand '135M, memory of PEFT eager' '<=' 0.5 "$(ratio "$(figure $s135 device_mib)" "$(peft 135m:eager allocated_mib 22323)")" times
demand '0.5B, memory of PEFT eager' '<=' 0.5 "$(ratio "$(figure $s05 device_mib)" "$(peft 0.5b:eager allocated_mib 26829)")" times
demand '1.5B, memory of PEFT eager' '<=' 0.5 "$(ratio "$(figure $s15 device_mib)" "$(peft 1.5b:eager allocated_mib 41574)")" times
demand '8B, memory of PEFT, checkpointing' '<=' 0.5 "$(ratio "$(figure $s8r device_mib)" "$(peft 8b:checkpoint allocated_mib 30106)")" times
demand '8B with its 16 of weights' '<=' 40 "$(gb "$(figure $s8w device_mib)")" GB
demand '8B in 4 bits, 1 x 2048' '<=' 12 "$(gb "$(figure 8b-1-2048-within-11-Q4_K device_mib)")" GB
demand '135M, start to first step' '<=' 2 "$(figure $s135 ready_s)" s
demand '135M, its first step alone' '<=' 1 "$(figure $s135 first_step_s)" s
decode_share=$(sed -n 's/.*"share": *\([0-9.]*\).*/\1/p' "$out/decode.txt" 2>/dev/null | head -n 1)
demand '1.5B, greedy decoding, of bandwidth' '>=' 0.6 "$decode_share" times
demand '2 GPUs, of one, 1.5B' '>=' 1.85 "$(sed -n 's/.*"two_gpus": *\([0-9.]*\).*/\1/p' "$out/nodes.txt" 2>/dev/null)" "times ($gpus here)"
said() { table+="$1|$2|${3:-not run}|$4"$'\n'; }
case $same_bytes in yes) said 'two runs; killed and resumed' 'same adapter' same met ;; FAILED) said 'two runs; killed and resumed' 'same adapter' \
    'see command-line' missed ;; *) said 'two runs; killed and resumed' 'same adapter' '' 'not run' ;; esac
case $verdict in VERDICT_IDENTICAL*) said 'the demo beside a CPU' 'same verdict' VERDICT_IDENTICAL met ;; '' | 'not run'*) said 'the demo beside a CPU' \
    'same verdict' '' 'not run' ;; *) said 'the demo beside a CPU' 'same verdict' "${verdict:0:40}" missed ;; esac
case $clean in yes) said compute-sanitizer clean clean met ;; no) said compute-sanitizer clean findings missed ;; part) said compute-sanitizer clean \
    'not all ended' 'not run' ;; *) said compute-sanitizer clean '' \
    'not run' ;; esac

printf '\n%-38s %-22s %12s  %s\n' demand wanted measured ''
while IFS='|' read -r a b c d; do [ -z "$a" ] || printf '%-38s %-22s %12s  %s\n' "$a" "$b" "$c" "$d"; done <<<"$table"
[ -f "$out/peers.json" ] && echo "PEFT's figures are of this call ($out/peers.md)" || echo "PEFT's figures are those that the demands were written with"
quoted() { printf '"%s"' "$(printf %s "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }
{
    printf '{"machine": %s, "failed": %s,\n "steps": [' "$(quoted "$machine")" "$([ $failed = 0 ] && echo false || echo true)"
    comma=''
    while IFS='|' read -r a b c d; do
        [ -z "$a" ] || { printf '%s\n  {"step": %s, "result": %s, "seconds": %s, "said": %s}' "$comma" "$(quoted "$a")" "$(quoted "$b")" "$c" "$(quoted "$d")"; comma=,; }
    done <<<"$steps"
    printf '],\n "demands": ['
    comma=''
    while IFS='|' read -r a b c d; do
        [ -z "$a" ] || { printf '%s\n  {"demand": %s, "wanted": %s, "measured": %s, "result": %s}' "$comma" "$(quoted "$a")" "$(quoted "$b")" "$(quoted "$c")" "$(quoted "$d")"; comma=,; }
    done <<<"$table"
    printf ']}\n'
} >"$out/gpu-check.json"
[ -z "$json" ] || cat "$out/gpu-check.json" >&3
exit $failed
