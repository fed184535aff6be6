#!/bin/sh
# Rebuilds the tiny base of examples/tiny-base from nothing: text and tokenizer, random weights, lock, training.
#   tiny_base.sh          ... and compares every file with the committed ones, byte for byte
#   tiny_base.sh write    ... and puts them there
#   tiny_base.sh steps N  the first N steps only: compares their losses and gradient norms
# Works in build/tiny-base, or where WORK says.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
kept=$root/examples/tiny-base
work=${WORK:-$root/build/tiny-base}
PATH=$root/build:$PATH
rm -rf "$work"
mkdir -p "$work"
cp "$kept/accord.yaml" "$kept/config.json" "$work"
python3 "$kept/make_text.py" "$work"
cd "$work"
accord model new --config config.json --tokenizer tokenizer --seed 1 start
accord -q freeze >freeze.txt 2>&1 || { cat freeze.txt; exit 1; }
tail -2 freeze.txt

# One line a step that no machine and no clock has a part in.
log() {
    python3 - "$1/metrics.jsonl" <<'PY'
import json
import sys
print("step\tloss\tgrad_norm\tlr\tvalid_loss")
valid = None
for line in open(sys.argv[1]):
    e = json.loads(line)
    if e["event"] == "eval":
        valid = e["loss"]
        if e["step"]:
            print("%d\t\t\t\t%.6f" % (e["step"], valid))
    if e["event"] == "step":
        print("%d\t%.6f\t%.6f\t%.9f\t" % (e["step"], e["loss"], e["grad_norm"], e["lr"]))
PY
}

same() {
    cmp "$1" "$2" || { echo "tiny base: $1 is not what is committed" >&2; exit 1; }
}

if [ "${1:-}" = steps ]; then
    code=0
    accord -q train --stop-after-step "$2" || code=$?
    [ "$code" = 75 ] || exit "$code"
    run=.accord/runs/$(ls .accord/runs)
    log "$run" >log.tsv
    head -n "$(wc -l <log.tsv)" "$kept/log.tsv" >first.tsv
    same log.tsv first.tsv
    echo "tiny base: the first $2 steps are the committed ones"
    exit 0
fi

accord train
run=.accord/runs/$(ls .accord/runs)
log "$run" >log.tsv
(cd "$run/model" && sha256sum config.json model.safetensors tokenizer.json tokenizer_config.json) >hashes.txt
if [ "${1:-}" = write ]; then
    mkdir -p "$kept/model"
    cp "$run/model/"* "$kept/model/"
    cp log.tsv hashes.txt "$kept/"
    cat hashes.txt
    exit 0
fi
for f in config.json model.safetensors tokenizer.json tokenizer_config.json; do same "$run/model/$f" "$kept/model/$f"; done
for f in log.tsv hashes.txt; do same "$f" "$kept/$f"; done
echo "tiny base: rebuilt, and every byte is the committed one"
