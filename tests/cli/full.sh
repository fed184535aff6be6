# All weights trained: refusals, the same bits in every way, the result as a model, ab, show and report.
. "$(dirname "$0")/lib.sh"
p=$work/project
mkdir -p "$p/data" "$p/evals"
cd "$p" || exit 70
base=$source_dir/examples/tiny-base/model
row() { printf '{"text":"Lily counts box %s and the box has %s cats."}\n' "$1" "$2"; }
i=1
while [ $i -le 24 ]; do row "a$i" $((i * 2)); i=$((i + 1)); done >data/train.jsonl
while [ $i -le 30 ]; do row "b$i" $((i * 2)); i=$((i + 1)); done >data/valid.jsonl
i=1
while [ $i -le 36 ]; do
    class=$(echo success refusal edge | cut -d' ' -f$((i % 3 + 1)))
    printf '{"id":"c%s","class":"%s","input":"Ben asks for toy %s at the shop","ideal":"The toy %s is red.","assert":[{"type":"icontains","value":"is red"}]}\n' \
        $i $class $i $i
    i=$((i + 1))
done >evals/cases.jsonl
cat >accord.yaml <<YAML
base:
  model: $base
  chat_format: plain
data:
  train: data/train.jsonl
  valid: data/valid.jsonl
  mask: none
  max_len: 128
eval:
  cases: evals/cases.jsonl
  max_tokens: 4
method:
  tune: full
  lr: 1e-3
  max_steps: 4
  batch_rows: 4
  eval_every: 2
  save_every: 1
YAML

# ---- an adapter's options beside it are refused by name
for option in 'rank: 8' 'alpha: 8' 'rslora: true' 'dropout: 0.1' 'targets: q_proj' 'last_layers: 1'; do
    cp accord.yaml keep
    echo "  $option" >>accord.yaml
    run 78 freeze
    err_has "method.${option%%:*} has no effect with method.tune: full"
    mv keep accord.yaml
done

run 0 freeze
run 0 train --dry-run --json
out_has '"steps": 4'
value() { sed -n "s/.*\"$1\": \"\([0-9a-f]*\)\".*/\1/p" "$work/out"; }
run 0 train --json
first=$(value adapter_sha256) trace=$(value trace_sha256)
dir=.accord/runs/$(ls .accord/runs | tail -1)
for f in model.safetensors config.json tokenizer.json; do
    [ -f "$dir/model/$f" ] || bad "$f is not in the result"
done
[ ! -e "$dir/adapter" ] || bad "a full run left an adapter"
grep -q '"method": "full"' "$dir/run.json" || bad "run.json does not say full"
[ "$(sha256sum <"$dir/model/model.safetensors" | cut -c1-64)" = "$first" ] || bad "the hash is not the file's"
for how in '--threads 1 --micro-batch 1' '--threads 3 --micro-batch 4 --cpu auto' '--cpu ref --micro-batch 2'; do
    run 0 train --json $how
    [ "$(value adapter_sha256)/$(value trace_sha256)" = "$first/$trace" ] || bad "other bits with $how"
done
run 75 train --stop-after-step 2
run 0 train --resume latest --json
[ "$(value adapter_sha256)/$(value trace_sha256)" = "$first/$trace" ] || bad "other bits after a resume"

# ---- as a model of its own, and beside its base, it says the same
run 0 score --model "$dir/model" --data data/valid.jsonl --json
sed '/"model"/d;/"adapter"/d' "$work/out" >"$work/alone"
run 0 score --model "$base" --adapter "$dir" --data data/valid.jsonl --json
sed '/"model"/d;/"adapter"/d' "$work/out" >"$work/beside"
cmp -s "$work/alone" "$work/beside" || bad "alone and beside its base it scores differently"
run 0 generate --model "$dir/model" --prompt 'Lily counts' --raw --max-tokens 4 --temperature 0
cp "$work/out" "$work/alone"
run 0 generate --model "$base" --adapter "$dir/model" --prompt 'Lily counts' --raw --max-tokens 4 --temperature 0
cmp -s "$work/alone" "$work/out" || bad "alone and beside its base it generates differently"

# ---- the rest of the way
run 1 ab --json
out_has '"verdict"'
run 0 report
run 0 show
out_has 'full'
run 0 runs
printf x >>"$dir/model/model.safetensors"
run 65 ab --run "$(basename "$dir")"
finish
