# A run shared by processes: the same bytes as alone, whoever dies and however it is resumed; what is refused; what it cost.
. "$(dirname "$0")/lib.sh"
p=$work/project
mkdir -p "$p/data" "$p/evals"
cd "$p" || exit 70
base=$source_dir/examples/tiny-base/model
row() { printf '{"text":"Lily counts box %s and the box has %s cats."}\n' "$1" "$2"; }
i=1
while [ $i -le 48 ]; do row "a$i" $((i * 2)); i=$((i + 1)); done >data/train.jsonl
while [ $i -le 57 ]; do row "b$i" $((i * 2)); i=$((i + 1)); done >data/valid.jsonl
i=1
while [ $i -le 36 ]; do
    class=$(echo success refusal edge | cut -d' ' -f$((i % 3 + 1)))
    printf '{"id":"c%s","class":"%s","input":"Ben asks for toy %s at the shop","ideal":"The toy %s is red.","assert":[{"type":"icontains","value":"is red"}]}\n' \
        $i $class $i $i
    i=$((i + 1))
done >evals/cases.jsonl
contract() { # <method lines> [rows a step]
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
cost:
  watts: 50
method:
  batch_rows: ${2:-8}
  eval_every: 3
  save_every: 2
$1
YAML
    run 0 freeze
}
value() { sed -n "s/.*\"$1\": \"\([0-9a-f]*\)\".*/\1/p" "$work/out"; }
newest() { echo ".accord/runs/$(ls -t .accord/runs | head -1)"; }      # by time: names of one second are in no order
# Adapter, trace and the last checkpoint's arrays.
bits() {
    d=${1:-$(newest)}
    cat "$d"/trace.jsonl "$d"/adapter/adapter_model.safetensors "$d"/model/model.safetensors "$d"/checkpoints/step-12/*.safetensors \
        2>/dev/null | sha256sum | cut -c1-64
}
same() { [ "$(bits)" = "$bytes" ] || bad "$1: other bytes than one worker"; checks=$((checks + 1)); }

# ---- what is refused
contract '  max_steps: 12'
run 64 train --workers 2
err_has "the contract's method.shards is 1"
run 64 train --workers 3
err_has 'expected a power of two'
run 64 train --workers 0
run 64 train --workers 128
[ ! -e .accord/runs ] || [ -z "$(ls .accord/runs)" ] || bad "a refused run left a folder"

# ---- one alone, two, four; threads, micro-batches and the guard as they like
contract '  max_steps: 12
  dropout: 0.1
  shards: 4'
run 0 train
bytes=$(bits)
grep -q '"workers": 1' "$(newest)/run.json" || bad "run.json lacks the number of workers"
run 0 train --workers 2 --threads 1 --micro-batch 3
same 'two'
run 0 train --workers 4 --threads 6 --no-guard --json
same 'four'
[ "$(value adapter_sha256)" = "$(sha256sum <"$(newest)/adapter/adapter_model.safetensors" | cut -c1-64)" ] || bad "the hash is not the file's"
grep -q '"workers": 4' "$(newest)/run.json" || bad "run.json lacks the number of workers"
run 0 train --workers 4 --recompute block --micro-batch 1
same 'four that compute layers again'
run 0 train --workers 4 --dry-run
out_has 'the other workers'

# ---- the processor time of all is booked: a leader of four alone takes less than half of what one does
cpu() { sed -n 's/.*"cpu_seconds": *\([0-9.]*\).*/\1/p' "$1/cost.json" | head -1; }
one=$(cpu ".accord/runs/$(ls -tr .accord/runs | head -1)") four=$(cpu "$(newest)")
awk "BEGIN { exit !($four > 0.8 * $one) }" || bad "four workers are booked with $four s of processor time, one with $one"

# ---- a stop, and on with another number
run 75 train --workers 4 --stop-after-step 5
err_has 'checkpointed after step 5 of 12'
run 75 train --resume "$(basename "$(newest)")" --workers 2 --stop-after-step 7
run 0 train --resume "$(basename "$(newest)")"
same 'stopped, resumed by two, resumed by one'

# Waits until the run has its n-th step; $pid is the process in the background.
until_step() {
    n=0
    while [ $n -lt 600 ]; do
        [ "$(grep -c . "$(newest)/trace.jsonl" 2>/dev/null)" -ge "$1" ] 2>/dev/null && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.02
        n=$((n + 1))
    done
    return 1
}
children_of() { ps -o pid= --ppid "$1" | tr -d ' '; }
gone() {
    n=0
    for one in $1; do
        while kill -0 "$one" 2>/dev/null && [ $n -lt 250 ]; do sleep 0.02; n=$((n + 1)); done
        kill -0 "$one" 2>/dev/null && bad "process $one is left over"
    done
}
if command -v ps >/dev/null && ps -o pid= --ppid $$ >/dev/null 2>&1; then
    long='  max_steps: 400
  shards: 4
  lr: 1e-4'
    contract "$long" 24
    beginning() { head -n 14 "$(newest)/trace.jsonl" | sha256sum; }
    run 75 train --stop-after-step 14
    first=$(beginning)

    # ---- a worker is killed: the leader keeps the last whole step
    before=$(ls .accord/runs | wc -l)
    "$accord" train --workers 4 --no-guard >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    while [ "$(ls .accord/runs | wc -l)" -eq "$before" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    until_step 3 || bad "the run does not begin: $(cat "$work/err")"
    workers=$(children_of $pid)
    [ "$(echo "$workers" | wc -w)" -eq 3 ] || bad "four workers are a leader and: $workers"
    kill -9 "$(echo "$workers" | sed -n 2p)"
    wait $pid
    got=$?
    [ $got -eq 75 ] || bad "a run whose worker was killed ends with $got: $(cat "$work/err")"
    err_has 'was ended by signal 9'
    err_has 'go on with: accord train --resume'
    gone "$workers"
    run 75 train --resume "$(basename "$(newest)")" --workers 2 --stop-after-step 14
    [ "$(beginning)" = "$first" ] || bad "after a killed worker the trace differs"

    # ---- the leader is killed: nobody is left
    before=$(ls .accord/runs | wc -l)
    "$accord" train --workers 4 --no-guard >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    while [ "$(ls .accord/runs | wc -l)" -eq "$before" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    until_step 5 || bad "the run does not begin: $(cat "$work/err")"
    workers=$(children_of $pid)
    kill -9 $pid
    wait $pid 2>/dev/null
    gone "$workers"
    run 75 train --resume "$(basename "$(newest)")" --workers 4 --stop-after-step 14
    [ "$(beginning)" = "$first" ] || bad "after a killed leader the trace differs"

    # ---- a worker is stopped: the leader waits, names it, and goes on when it does; and can be stopped itself meanwhile
    before=$(ls .accord/runs | wc -l)
    "$accord" train --workers 4 --no-guard >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    while [ "$(ls .accord/runs | wc -l)" -eq "$before" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    until_step 3 || bad "the run does not begin: $(cat "$work/err")"
    workers=$(children_of $pid)
    # Worker 3, which the leader never exchanges with itself.
    one=$(echo "$workers" | sort -n | sed -n 3p)
    says() { n=0; while [ $n -lt 400 ] && ! grep -qF "$1" "$work/err"; do sleep 0.05; n=$((n + 1)); done; err_has "$1"; }
    kill -STOP "$one"
    says "worker 3 (process $one) is stopped and has not answered for 5 s; the run waits; kill -CONT $one lets it go on"
    kill -CONT "$one"
    says 'worker 3 answers again, after 5 s'
    kill -STOP "$one"
    sleep 0.2
    kill -TERM $pid
    wait $pid
    got=$?
    [ $got -eq 75 ] || bad "asked to stop beside a stopped worker the run ends with $got: $(cat "$work/err")"
    gone "$workers"
    run 75 train --resume "$(basename "$(newest)")" --workers 2 --stop-after-step 14
    [ "$(beginning)" = "$first" ] || bad "after a stopped worker the trace differs"

    # ---- asked to stop, with a guard between: all end, nothing is lost
    before=$(ls .accord/runs | wc -l)
    "$accord" train --workers 4 >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    while [ "$(ls .accord/runs | wc -l)" -eq "$before" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    until_step 3 || bad "the run does not begin: $(cat "$work/err")"
    leader=$(children_of $pid)
    workers=$(children_of "$leader")
    [ "$(echo "$workers" | wc -w)" -eq 3 ] || bad "behind the guard: $workers"
    kill -TERM $pid
    wait $pid
    got=$?
    [ $got -eq 75 ] || bad "a run that was asked to stop ends with $got: $(cat "$work/err")"
    err_has 'checkpointed after step'
    gone "$leader $workers"
    run 75 train --resume "$(basename "$(newest)")" --workers 2 --stop-after-step 14
    [ "$(beginning)" = "$first" ] || bad "after a stop the trace differs"
else
    echo 'not run: killed processes (no procps)' >&2
fi

# ---- the n-th call for a file or socket fails in every process: a text, and no crash
contract '  max_steps: 2
  shards: 2'
for nth in 20 60 90 110 130 150 170 200 230 260 300 400; do
    ACCORD_FAULT=io:$nth "$accord" train --workers 2 --no-guard -q >"$work/out" 2>"$work/err" </dev/null
    got=$?
    checks=$((checks + 1))
    [ $got -eq 0 ] && continue
    [ $got -lt 128 ] && [ $got -gt 1 ] || bad "with call $nth failing: exit code $got: $(cat "$work/err")"
    [ -s "$work/err" ] || bad "with call $nth failing: no text"
done

# ---- packed; all weights
contract '  max_steps: 12
  packing: true
  pack_len: 128
  shards: 2'
run 0 train
bytes=$(bits)
run 0 train --workers 2
same 'packed'
contract '  max_steps: 12
  tune: full
  lr: 1e-3
  shards: 4'
run 0 train
bytes=$(bits)
run 0 train --workers 4
same 'all weights'

# ---- what was shared is evidence like any other
run 0 verify "$(basename "$(newest)")"
out_has 'IDENTICAL'
finish
