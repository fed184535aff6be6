# The product with a GPU, on the simulated one (docs/cuda.md): what doctor, plan, train and ab say; the same adapter twice and
# after a kill; answers from the device; what is refused.
. "$(dirname "$0")/lib.sh"
library=$(dirname "$accord")/tests/cudasim/libaccord_cuda_sim.so
if [ ! -f "$library" ]; then
    echo "not run: this build has no simulated GPU"
    exit 77
fi
p=$work/project
mkdir -p "$p/data" "$p/evals"
cd "$p" || exit 70
i=1
while [ $i -le 6 ]; do printf '{"text":"Lily counts box %s."}\n' $i; i=$((i + 1)); done >data/train.jsonl
while [ $i -le 8 ]; do printf '{"text":"Ben counts box %s."}\n' $i; i=$((i + 1)); done >data/valid.jsonl
i=1
while [ $i -le 6 ]; do
    class=$(echo success refusal edge | cut -d' ' -f$((i % 3 + 1)))
    printf '{"id":"c%s","class":"%s","input":"Toy %s","ideal":"red","assert":[{"type":"icontains","value":"red"}]}\n' $i "$class" $i
    i=$((i + 1))
done >evals/cases.jsonl
contract() { # <numerics>
    cat >accord.yaml <<YAML
base:
  model: $source_dir/examples/tiny-base/model
  chat_format: plain
data:
  train: data/train.jsonl
  valid: data/valid.jsonl
  mask: none
  max_len: 64
eval:
  cases: evals/cases.jsonl
  max_tokens: 2
method:
  numerics: $1
  rank: 8
  max_steps: 3
  batch_rows: 1
  eval_every: 3
  save_every: 1
YAML
    run 0 freeze --accept-small --reason "what runs is tested, not how well"
}
adapter() { sed -n 's/.*"adapter_sha256": "\([0-9a-f]*\)".*/\1/p' "$work/out"; }

# ---- without the library, and with one that is none
contract cuda-bf16
export ACCORD_CUDA_LIB=$work/none.so
run 0 doctor
out_has 'the CUDA backend cannot be loaded'
echo 'no library' >"$work/none.so"
run 66 train --no-guard
err_has 'the CUDA backend cannot be loaded'

export ACCORD_CUDA_LIB=$library
run 0 doctor
out_has 'gpu        cuda simulated GPU, numerics cuda-bf16/1'
run 0 plan --no-measure
out_has 'memory of the GPU'

# ---- the same adapter twice, and after a kill
run 0 train --no-guard --json
first=$(adapter)
[ -n "$first" ] || bad "no adapter: $(cat "$work/out")"
grep -q 'simulated GPU' .accord/runs/*/env.json || bad "env.json does not name the device: $(cat .accord/runs/*/env.json)"
run 0 train --no-guard --json
checks=$((checks + 1))
[ "$(adapter)" = "$first" ] || bad "two runs, two adapters"
before=$(ls .accord/runs | wc -l)
"$accord" train --no-guard >"$work/killed" 2>&1 </dev/null &
pid=$!
while kill -0 $pid 2>/dev/null; do
    sleep 0.01
    [ "$(ls .accord/runs | wc -l)" -gt "$before" ] && ls -d ".accord/runs/$(ls -t .accord/runs | head -1)"/checkpoints/step-* >/dev/null 2>&1 && break
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
run 0 train --no-guard --json --resume latest
checks=$((checks + 1))
[ "$(adapter)" = "$first" ] || bad "another adapter after a kill"

# ---- answers from the device
run 1 ab --device cuda
out_has 'answered on cuda simulated GPU in cuda-bf16/1'

# ---- another contract's numerics
contract fp32
run 64 train --no-guard --device cuda
err_has 'does not compute numerics fp32/1'
finish
