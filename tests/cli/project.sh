# The whole way on a tiny model: refusals first, then freeze, train, kill and resume, ab, report, runs, show, audit.
. "$(dirname "$0")/lib.sh"
need_data
p=$work/project
mkdir -p "$p/data" "$p/evals" "$p/docs"
cd "$p" || exit 70

# 40 rows, 8 for validation, 36 cases: count after the number that is named.
row() { printf '{"prompt":"Lily counts box %s","completion":"The box has %s cats."}\n' "$1" "$2"; }
i=1
while [ $i -le 40 ]; do row "a$i" $((i * 2)); i=$((i + 1)); done >data/train.jsonl
while [ $i -le 48 ]; do row "b$i" $((i * 2)); i=$((i + 1)); done >data/valid.jsonl
i=1
while [ $i -le 36 ]; do
    class=$(echo success refusal edge | cut -d' ' -f$((i % 3 + 1)))
    printf '{"id":"c%s","class":"%s","input":"Ben asks for toy %s at the shop","ideal":"The toy %s is red.","assert":[{"type":"icontains","value":"is red"}]}\n' \
        $i $class $i $i
    i=$((i + 1))
done >evals/cases.jsonl
printf '# Toys\n\nEvery toy in the shop is red.\n' >docs/toys.md
cat >accord.yaml <<YAML
base:
  model: $data/weights-stories260k/hf
  chat_format: plain
data:
  train: data/train.jsonl
  valid: data/valid.jsonl
  max_len: 128
eval:
  cases: evals/cases.jsonl
  docs: docs
  max_tokens: 8
  rag_chunk_tokens: 64
  rag_overlap_tokens: 8
  rag_top: 1
method:
  rank: 4
  lr: 1e-2
  max_steps: 6
  batch_rows: 4
  eval_every: 3
  save_every: 2
  dropout: 0.1
YAML

# ---- refusals: nothing is left behind
run 77 train
err_has 'accord freeze'
[ ! -e .accord/runs ] || bad "a refused training left a run: $(ls .accord/runs)"
run 77 ab
run 73 init
err_has 'is there already'
run 64 freeze --accept-small
err_has '--reason'
run 64 freeze --reason because
run 66 report
run 66 show
run 0 runs
out_has 'no runs yet'
run 0 audit
out_has '2 records, the chain is intact'
sed -i.bak 's/rank: 4/rnak: 4/' accord.yaml
run 78 freeze
err_has 'rank'
mv accord.yaml.bak accord.yaml
head -5 evals/cases.jsonl >few && cp evals/cases.jsonl all && cp few evals/cases.jsonl
run 77 freeze
err_has 'too few'
[ ! -e accord.lock ] || bad "a refused freeze wrote a lock"
run 0 freeze --accept-small --reason 'a test' --json
out_has '"accept_small":true'
rm accord.lock
cp all evals/cases.jsonl

# ---- data check and freeze
run 0 data check
out_has '48 rows'
run 0 data check --show-mask 1 --json
out_has '[[ The box has 2 cats.'
run 0 freeze
out_has 'accord.lock written'
cp accord.lock first.lock
run 0 freeze
cmp -s accord.lock first.lock || bad "freezing the same again changed the lock"
run 0 train --dry-run --json
out_has '"steps": 6'
out_has '"planned_peak_bytes"'
[ ! -e .accord/runs ] || bad "a dry run left a run"

# ---- one training, then the same bits in every other way
value() { sed -n "s/.*\"$1\": \"\([0-9a-f]*\)\".*/\1/p" "$work/out"; }
run 0 train --json
bits=$(value adapter_sha256)
trace=$(value trace_sha256)
first=$(sed -n 's/.*"run": "\([^"]*\)".*/\1/p' "$work/out")
[ ${#bits} -eq 64 ] || bad "no adapter hash: $(cat "$work/out")"
for f in run.json env.json lock.json metrics.jsonl trace.jsonl cost.json README.md adapter/adapter_model.safetensors; do
    [ -s ".accord/runs/$first/$f" ] || bad "the run lacks $f"
done
cmp -s accord.lock ".accord/runs/$first/lock.json" || bad "lock.json is not the lock"
[ "$(grep -c '"event":"step"' ".accord/runs/$first/metrics.jsonl")" -eq 6 ] || bad "metrics.jsonl lacks steps"

same_bits() { # <how>
    checks=$((checks + 1))
    [ "$(value adapter_sha256)" = "$bits" ] || bad "$1: another adapter"
    [ "$(value trace_sha256)" = "$trace" ] || bad "$1: another trace"
}
run 0 train --json --cpu ref --threads 1
same_bits 'ref, one thread'
run 0 train --json --threads 3 --micro-batch 1
same_bits '3 threads, micro-batch 1'
run 0 train --json --micro-batch 3
same_bits 'micro-batch 3'
run 0 train --json --recompute block
same_bits 'recompute block'
out_has '"recompute": "block"'
err_has 'planned peak'
before=$(ls .accord/runs)
run 76 train --memory-limit 1M
err_has 'smallest run of this contract needs'
err_has 'activations of the layers'
run 76 train --memory-limit 1M --dry-run
out_has 'planned peak'
run 64 train --memory-limit 4X
err_has 'expected a size like 900M'
[ "$(ls .accord/runs)" = "$before" ] || bad "a run that does not fit left a folder"

run 75 train --stop-after-step 3 --json
err_has 'accord train --resume'
out_has '"exit":75'
run 0 runs
out_has 'stopped'
run 77 ab
err_has 'not trained'
run 0 train --resume latest --json
same_bits 'stopped and resumed'
stopped=$(sed -n 's/.*"run": "\([^"]*\)".*/\1/p' "$work/out")
[ "$(grep -c '"event":"step"' ".accord/runs/$stopped/metrics.jsonl")" -eq 6 ] || bad "metrics.jsonl after a resume"
out_has '"run"'

# Killed at some moment, then resumed; where no checkpoint was whole yet there is nothing to resume.
for wait in 0.02 0.05 0.1 0.2 0.4; do
    "$accord" train -q >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    "$accord" train --resume latest --json >"$work/out" 2>"$work/err"
    got=$?
    case $got in
    0) same_bits "killed after $wait s" ;;
    66 | 64) checks=$((checks + 1)) ;;
    *) bad "killed after $wait s: resume ends with $got: $(cat "$work/err")" ;;
    esac
done

# ---- what the lock seals
row x 1 >>data/train.jsonl
run 78 train
err_has 'train.jsonl'
run 78 ab --run "$first"
sed -i.bak '$d' data/train.jsonl
sed 's/lr: 1e-2/lr: 1e-3/' accord.yaml >changed && cp accord.yaml kept && cp changed accord.yaml
run 78 train
err_has 'lr'
run 0 freeze
run 78 ab --run "$first"
err_has 'another lock'
cp ".accord/runs/$first/run.json" "$work/before"
run 78 train --resume "$first"
cmp -s ".accord/runs/$first/run.json" "$work/before" || bad "a refused resume changed the run"
cp kept accord.yaml
cp first.lock accord.lock

# ---- the verdict
run 0 ab --run "$first" --dry-run
out_has 'this would be opening 1 of these cases'
run 64 ab --arms base,best
run 64 ab --arms base
run 1 ab --run "$first"
out_has 'VERDICT: NO CLEAR LIFT'
out_has 'opening 1 of these cases'
err_has 'tuned+rag'
for f in verdict.json samples.jsonl; do [ -s ".accord/runs/$first/$f" ] || bad "the run lacks $f"; done
[ "$(wc -l <".accord/runs/$first/samples.jsonl")" -eq 144 ] || bad "samples.jsonl has not 4 x 36 lines"
grep -q '"what": "ab"' ".accord/runs/$first/cost.json" || bad "cost.json lacks ab"
run 1 ab --run "$first" --arms base,tuned --json
out_has '"verdict": "NO CLEAR LIFT"'
out_has '"openings": 2'
run 0 report "$first"
out_has report.html
grep -q "$bits" ".accord/runs/$first/report.html" || bad "the report lacks the adapter's hash"
run 0 report "$first" -o "$work/page.html"
cmp -s "$work/page.html" ".accord/runs/$first/report.html" || bad "two reports differ"
run 0 show "$first"
out_has 'VERDICT: NO CLEAR LIFT'
run 0 show "$first" --cases all
out_has '36 of 36 cases shown'
out_has '  FAIL  base'
grep -n ' $' "$work/out" && bad "a line ends in blanks"
id=$(sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' evals/cases.jsonl | head -n 1)
run 0 show "$first" --case "$id"
out_has '1 of 36 cases shown'
out_has "$id, "
run 66 show "$first" --case nothing-of-this-name
err_has 'no case "nothing-of-this-name"'
run 64 show "$first" --cases some
run 0 show "$first" --json
out_has '"verdict":{'
run 0 runs --json
out_has "\"id\": \"$first\""
run 0 generate -m "$data/weights-stories260k/hf" -a ".accord/runs/$first" --raw -p 'Lily counts' -n 5 --json
run 0 score -m "$data/weights-stories260k/hf" -a ".accord/runs/$first/adapter" --chat-format plain -d data/valid.jsonl

# An adapter that was changed after training is not scored.
cp ".accord/runs/$first/adapter/adapter_model.safetensors" "$work/kept"
size=$(wc -c <".accord/runs/$first/adapter/adapter_model.safetensors")
printf '\001' | dd of=".accord/runs/$first/adapter/adapter_model.safetensors" bs=1 seek=$((size - 10)) conv=notrunc 2>/dev/null
run 78 ab --run "$first"
err_has 'changed after training'
cp "$work/kept" ".accord/runs/$first/adapter/adapter_model.safetensors"

# ---- a signal checkpoints and stops; the run goes on afterwards
sed 's/max_steps: 6/max_steps: 5000/' kept >accord.yaml
run 0 freeze
before=$(ls .accord/runs | tail -1)
"$accord" train -q --json >"$work/out" 2>"$work/err" &
pid=$!
tries=0
while [ $tries -lt 200 ]; do
    newest=$(ls .accord/runs | tail -1)
    [ "$newest" != "$before" ] && [ "$({ wc -l <".accord/runs/$newest/metrics.jsonl"; } 2>/dev/null || echo 0)" -gt 3 ] && break
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
got=$?
checks=$((checks + 1))
[ $got -eq 75 ] || bad "SIGTERM: exit code $got, expected 75: $(cat "$work/err")"
err_has "accord train --resume $newest"
grep -q '"state": "stopped"' ".accord/runs/$newest/run.json" || bad "the run does not say that it was stopped"
step=$(sed -n 's/.*after step \([0-9]*\) of.*/\1/p' "$work/err")
run 75 train --resume "$newest" --stop-after-step $((step + 2))
err_has "checkpointed after step $((step + 2)) of 5000"
cp kept accord.yaml
cp first.lock accord.lock

# ---- the audit chain
run 0 audit --list
out_has '"act":"opening"'
run 0 audit --json
out_has '"opening":2'
sed -i.bak '4s/"seq":4/"seq":4 /' .accord/audit.jsonl
run 1 audit
err_has '4'
run 70 train
finish
