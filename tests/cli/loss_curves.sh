#!/bin/sh
# bench/loss_curves.sh and .py: which runs are made and with what contract, that finished ones are kept, that failures
# are told, and what is made of the figures. The trainer is a stand-in: it writes the run folder that its contract asks
# for, with losses of a known difference.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "not run: no python3"; exit 77; }

script=$source_dir/bench/loss_curves.sh
mkdir -p "$work/wikisql"
for f in train valid; do
    printf '{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n' >"$work/wikisql/$f.jsonl"
done

cat >"$work/trainer" <<'STANDIN'
#!/bin/sh
[ "$1" = model ] && exit 0
dir=$2
key() { sed -n "s/^  $1: //p" "$dir/accord.yaml"; }
echo "$3 $(key numerics) $(key seed) $*" >>"$(dirname "$0")/calls"
[ "$3" = train ] || exit 0
[ "$(key seed)" != 66 ] || { echo "no such luck" >&2; exit 79; }
run=$dir/.accord/runs/20260101T000000Z-0000000$(key seed)
mkdir -p "$run"
printf '{"state": "trained", "tokens_per_second": 100}\n' | sed 's/^{/{\n  /' >"$run/run.json"
printf '{"values":{"data":{"train":"%s","mask":"%s"},"method":{"numerics":"%s","seed":%s,"max_steps":%s}}}\n' \
    "$(key train)" "$(key mask)" "$(key numerics)" "$(key seed)" "$(key max_steps)" >"$run/lock.json"
awk -v n="$(key numerics)" -v seed="$(key seed)" 'BEGIN {
    off = seed * 0.5 + (n == "bf16" ? 0.125 : 0)
    printf "{\"event\":\"eval\",\"step\":0,\"loss\":%g}\n", 3 + off
    printf "{\"event\":\"step\",\"step\":1,\"loss\":%g}\n{\"event\":\"step\",\"step\":2,\"loss\":%g}\n", 2 + off, 1 + off
    printf "{\"event\":\"eval\",\"step\":2,\"loss\":%g}\n", 1 + off
}' >"$run/metrics.jsonl"
STANDIN
chmod +x "$work/trainer"

# curves <expected exit code> <options...>
curves() {
    want=$1
    shift
    sh "$script" --accord "$work/trainer" --wikisql "$work/wikisql" --out "$work/o" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    checks=$((checks + 1))
    [ "$got" = "$want" ] || bad "loss_curves $*: exit code $got, expected $want: $(cat "$work/err")"
}
same() {
    checks=$((checks + 1))
    [ "$1" = "$2" ] || bad "got \"$1\", expected \"$2\""
}

curves 0 --max-steps 2 --rows 2 --jobs 3 --threads 5
same "$(grep -c '^train ' "$work/calls")" 12
same "$(grep -c -- '--threads 5$' "$work/calls")" 12
same "$(wc -l <"$work/o/curves.csv")" 49
same "$(grep '^wikisql,bf16,1,eval' "$work/o/curves.csv")" "wikisql,bf16,1,eval,0,3.625
wikisql,bf16,1,eval,2,1.625"
out_has 'wikisql: 6 runs, seeds with both numerics: 0 1 2'
out_has 'last validation: fp32 1.50000, bf16 1.62500, difference +0.12500; the seeds'"'"' standard deviation is 0.50000'
out_has "mean size of a pair's difference 0.12500, mean standard deviation of the seeds 0.50000"
same "$(grep -o '<svg' "$work/o/curves.html" | wc -l)" 6
same "$(grep -o '<polyline' "$work/o/curves.html" | wc -l)" 30

# The contract: the set's rows and mask, this run's arithmetic, one of epochs and max_steps; the rest is the demo's.
yaml=$work/o/wikisql-bf16-2/accord.yaml
same "$(sed -n '/^method:/,$p' "$yaml" | grep -E '^  (numerics|seed|max_steps|epochs|eval_every|rank|save_every)' | sort)" \
    "  eval_every: 25
  max_steps: 2
  numerics: bf16
  rank: 16
  seed: 2"
grep -qx '  mask: none' "$yaml" || bad "wikisql's text rows want mask: none"
grep -qx '  mask: assistant' "$work/o/shop-sql-fp32-0/accord.yaml" || bad "shop-sql's rows are conversations"
same "$(wc -l <"$work/o/rows/wikisql-2/train.jsonl")" 2

# What is finished stays; another contract begins anew; --collect trains nothing.
curves 0 --max-steps 2 --rows 2
same "$(grep -c '^train ' "$work/calls")" 12
out_has 'wikisql-fp32-0: there already'
curves 0 --collect
same "$(grep -c '^train ' "$work/calls")" 12
curves 1 --max-steps 3 --rows 2 --sets wikisql --numerics fp32 --seeds 0
same "$(grep -c '^train ' "$work/calls")" 13
err_has 'wikisql: runs of different contracts'

# A run that fails is named, the others go on; a folder that is not what its lock says is refused.
rm -rf "$work/o"
curves 1 --max-steps 2 --sets wikisql --seeds "66 1"
err_has 'wikisql-fp32-66: FAILED with exit code 79'
err_has 'no such luck'
out_has 'wikisql: 2 runs, seeds with both numerics: 1'
out_has 'not finished: wikisql-bf16-66'
mv "$work/o/wikisql-bf16-1" "$work/o/wikisql-bf16-5"
curves 1 --collect
err_has 'the lock says numerics bf16, seed 1'

curves 64 --seeds "0 x"
err_has '--seeds wants a whole number, not "x"'
curves 64 --numerics "fp32 fp8"
curves 64 --sets movies
curves 64 --jobs
curves 64 --speed
curves 66 --wikisql "$work/nowhere" --sets wikisql
err_has 'not run: wikisql'

finish
