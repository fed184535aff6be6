#!/bin/sh
# Does numerics bf16/1 train as well as fp32/1? Trains SmolLM2-135M under both, with the same seeds, on the rows of
# examples/shop-sql and of mlx-wikisql, and puts the loss curves beside each other: curves.csv (all points), summary.txt,
# curves.html. A seed gives both numerics the same start and the same rows in the same order, so they are compared
# pair by pair, and their difference is held against how far the seeds lie apart.
#
# Each run has its own folder under --out, with its contract, lock and run folder; one that is finished is not run
# again, so the script can be stopped and started. No case is opened: there is no `ab` here.
set -eu

usage() {
    cat <<'TEXT'
usage: bench/loss_curves.sh [options]
  --out DIR          where everything goes (default build/loss_curves)
  --jobs N           runs at a time (default 1); each needs about 700 MB
  --threads N        threads a run (default: the cores divided by the jobs)
  --sets "A B"       of shop-sql and wikisql (default both)
  --numerics "A B"   of fp32 and bf16 (default both)
  --seeds "A B C"    default "0 1 2"
  --max-steps N      default: one epoch
  --eval-every N     steps between validations (default 25)
  --rows N           only the first N rows of each file, to try this script out
  --accord FILE      the program (default build/accord)
  --wikisql DIR      folder with train.jsonl and valid.jsonl of mlx-wikisql (default ../shared/data/mlx-wikisql)
  --collect          train nothing, read what is there
Without the wikisql folder its set is left out and named. ACCORD_CPU=avx2 and the like are passed to train --cpu.
TEXT
}

refuse() {
    echo "loss_curves: $*" >&2
    exit 64
}

whole() {
    case $2 in '' | *[!0-9]*) refuse "$1 wants a whole number, not \"$2\"" ;; esac
}

repo=$(cd "$(dirname "$0")/.." && pwd)
out=$repo/build/loss_curves accord=$repo/build/accord wikisql=$repo/../shared/data/mlx-wikisql
jobs=1 threads='' sets="shop-sql wikisql" numerics="fp32 bf16" seeds="0 1 2"
max_steps=0 eval_every=25 rows=0 collect=0 one=''

while [ $# -gt 0 ]; do
    case $1 in
    --collect) collect=1; shift; continue ;;
    --help | -h) usage; exit 0 ;;
    --one | --out | --jobs | --threads | --sets | --numerics | --seeds | --max-steps | --eval-every | --rows | --accord | \
        --wikisql) [ $# -ge 2 ] || refuse "$1 wants a value" ;;
    *) usage >&2; refuse "unknown option $1" ;;
    esac
    case $1 in
    --one) one=$2 ;;
    --out) out=$2 ;;
    --jobs) whole "$1" "$2"; jobs=$2 ;;
    --threads) whole "$1" "$2"; threads=$2 ;;
    --sets) sets=$2 ;;
    --numerics) numerics=$2 ;;
    --seeds) seeds=$2 ;;
    --max-steps) whole "$1" "$2"; max_steps=$2 ;;
    --eval-every) whole "$1" "$2"; eval_every=$2 ;;
    --rows) whole "$1" "$2"; rows=$2 ;;
    --accord) accord=$2 ;;
    --wikisql) wikisql=$2 ;;
    esac
    shift 2
done

# ---- one run: called again by the loop below with --one "set numerics seed" -----------------------------------------

# The demo's contract with this set's rows and this run's arithmetic; its cases stay, because nothing trains without.
contract() {
    length="epochs: 1"
    [ "$max_steps" -eq 0 ] || length="max_steps: $max_steps"
    mask=assistant
    [ "$1" = shop-sql ] || mask=none
    awk -v train="$out/rows/$1-$rows/train.jsonl" -v valid="$out/rows/$1-$rows/valid.jsonl" -v mask="$mask" -v length_key="$length" \
        -v numerics="$2" -v seed="$3" -v every="$eval_every" '
        /^  (train|valid|mask|seed|numerics|epochs|max_steps|eval_every|save_every):/ { next }
        { print }
        /^data:/ { print "  train: " train; print "  valid: " valid; print "  mask: " mask }
        /^method:/ {
            print "  numerics: " numerics; print "  seed: " seed; print "  " length_key; print "  eval_every: " every
        }' "$repo/examples/shop-sql/accord.yaml"
}

finished() {
    grep -qs '"state": "trained"' "$1"/.accord/runs/*/run.json
}

run_one() {
    name=$1-$2-$3 dir=$out/$1-$2-$3
    mkdir -p "$dir"
    contract "$@" >"$dir/accord.yaml.new"
    if finished "$dir" && cmp -s "$dir/accord.yaml.new" "$dir/accord.yaml"; then
        rm "$dir/accord.yaml.new"
        echo "$name: there already"
        return 0
    fi
    rm -rf "$dir/.accord" "$dir/accord.lock"
    mv "$dir/accord.yaml.new" "$dir/accord.yaml"
    for part in data docs evals; do
        ln -sfn "$repo/examples/shop-sql/$part" "$dir/$part"
    done
    begin=$(date +%s)
    code=0
    { "$accord" -C "$dir" freeze &&
        "$accord" -C "$dir" train --threads "$threads" ${ACCORD_CPU:+--cpu "$ACCORD_CPU"}; } \
        >"$dir/log" 2>&1 </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        echo "$name: FAILED with exit code $code, see $dir/log: $(tail -n 1 "$dir/log")" >&2
        return 1
    fi
    echo "$name: trained in $(($(date +%s) - begin)) s"
}

if [ -n "$one" ]; then
    # shellcheck disable=SC2086 # three words
    run_one $one
    exit $?
fi

# ---- all of them ------------------------------------------------------------------------------------------------------

for n in $numerics; do case $n in fp32 | bf16) ;; *) refuse "--numerics: \"$n\" is neither fp32 nor bf16" ;; esac; done
for s in $seeds; do whole --seeds "$s"; done
[ "$jobs" -ge 1 ] || refuse "--jobs wants at least 1"
if [ -z "$threads" ]; then
    threads=$(($(nproc) / jobs))
    [ "$threads" -ge 1 ] || threads=1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)

# The set's name, its folder. How many rows were asked for stands in the path, and so in the contract.
copy_rows() {
    to=$out/rows/$1-$rows
    mkdir -p "$to"
    for f in train valid; do
        if [ "$rows" -eq 0 ]; then cat "$2/$f.jsonl"; else head -n "$rows" "$2/$f.jsonl"; fi >"$to/$f.jsonl"
    done
}

present=
for s in $sets; do
    case $s in
    shop-sql) from=$repo/examples/shop-sql/data ;;
    wikisql) from=$wikisql ;;
    *) refuse "--sets: \"$s\" is neither shop-sql nor wikisql" ;;
    esac
    if [ -r "$from/train.jsonl" ] && [ -r "$from/valid.jsonl" ]; then
        [ "$collect" -eq 1 ] || copy_rows "$s" "$from"
        present="$present $s"
    else
        echo "loss_curves: not run: $s, no train.jsonl and valid.jsonl in $from" >&2
    fi
done
[ -n "$present" ] || exit 66

failed=0
if [ "$collect" -eq 0 ]; then
    [ -x "$accord" ] || { echo "loss_curves: no program $accord; run make first or pass --accord" >&2; exit 66; }
    "$accord" model pull smollm2-135m-instruct >"$out/pull.log" 2>&1 || { cat "$out/pull.log" >&2; exit 66; }
    # Seeds outside, numerics inside: a pair is trained at about the same time, under about the same load.
    for s in $present; do
        for seed in $seeds; do
            for n in $numerics; do
                echo "$s $n $seed"
            done
        done
    done | tr '\n' '\0' | xargs -0 -P "$jobs" -n 1 sh "$repo/bench/loss_curves.sh" --out "$out" --threads "$threads" \
        --max-steps "$max_steps" --eval-every "$eval_every" --rows "$rows" --accord "$accord" --one || failed=1
fi
python3 "$repo/bench/loss_curves.py" "$out" || failed=1
exit "$failed"
