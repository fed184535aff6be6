# The guard at work, with the machine's files faked below a folder and its clock turned: smaller, paused, resumed,
# checkpointed, dropped, moved; guard or trainer killed. Whatever happens, the adapter's bytes are those of a quiet run.
. "$(dirname "$0")/lib.sh"
mkdir -p "$work/project" "$work/root"
cd "$work/project" || exit 70
tiny_project
sed 's/max_steps: 3/max_steps: 60\n  save_every: 15\n  eval_every: 30/' accord.yaml >new && mv new accord.yaml
run 0 freeze
root=$work/root

put() { # <path below root> <text>: replaced at once, so that nobody reads half of it
    mkdir -p "$root/$(dirname "$1")"
    printf '%b' "$2" >"$root/new" && mv "$root/new" "$root/$1"
}
machine() { # <online> <capacity>
    put proc/meminfo 'MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n'
    put sys/class/power_supply/AC/type 'Mains\n'
    put sys/class/power_supply/AC/online "$1\n"
    put sys/class/power_supply/BAT0/type 'Battery\n'
    put sys/class/power_supply/BAT0/capacity "$2\n"
}
clock=0
turn() { # <ms> <times>: each is one look of the guard's
    i=0
    while [ $i -lt "$2" ]; do
        clock=$((clock + $1))
        put clock "$clock 720\n"
        sleep 0.06
        i=$((i + 1))
    done
}
footprint() { put "proc/$pid/smaps_rollup" "Rss: 1 kB\nPss: $1 kB\n"; }
begin() { # <arguments...>: a guarded training in the background; $guard, $pid and $log are its
    clock=0
    rm -f "$root/clock"
    ls .accord/runs 2>/dev/null >"$work/before"
    ACCORD_GUARD_ROOT=$root "$accord" train --memory-limit 100M "$@" >"$work/out" 2>"$work/err" &
    guard=$!
    tries=0
    while [ $tries -lt 3000 ]; do
        run=$(ls .accord/runs 2>/dev/null | comm -13 "$work/before" - | tail -1)
        log=.accord/runs/$run/telemetry.jsonl
        [ -n "$run" ] && [ -s "$log" ] && break
        sleep 0.02
        tries=$((tries + 1))
    done
    pid=$(sed -n 's/.*"k":"begin".*"pid":\([0-9]*\),.*/\1/p' "$log" | tail -1)
    [ -n "$pid" ] || bad "no telemetry: $(cat "$work/err")"
}
said() { # <pattern>: the record tells it, within thirty seconds
    tries=0
    checks=$((checks + 1))
    while [ $tries -lt 1500 ]; do
        grep -q "$1" "$log" && return
        sleep 0.02
        tries=$((tries + 1))
    done
    bad "telemetry lacks $1: $(tail -3 "$log")"
}
ends() { # <exit code>
    wait $guard
    got=$?
    checks=$((checks + 1))
    [ $got -eq "$1" ] || bad "the guard ends with $got, expected $1: $(cat "$work/err")"
}
steps() { grep -c '"event":"step"' ".accord/runs/$run/metrics.jsonl"; }
bits() { sed -n 's/.*"adapter_sha256": "\([0-9a-f]*\)".*/\1/p' ".accord/runs/$run/run.json"; }
same() { # <what>: goes on by itself and ends in the same bytes
    run 0 train --resume "$run"
    checks=$((checks + 1))
    [ "$(bits)" = "$quiet" ] || bad "$1: other bytes than a quiet run"
}

machine 1 90
run 0 train --no-guard
run=$(ls .accord/runs)
quiet=$(bits)
[ -e ".accord/runs/$run/telemetry.jsonl" ] && bad "--no-guard wrote telemetry"
grep -q '"guard": false' ".accord/runs/$run/run.json" || bad "run.json does not say that there was no guard"
run 0 train --json
out_has "\"adapter_sha256\": \"$quiet\""
run=$(ls .accord/runs | tail -1)
grep -q '"guard": true' ".accord/runs/$run/run.json" || bad "run.json does not say that there was a guard"

# On battery it pauses; while it stands still the memory gets tight; then both pass, and the battery is nearly empty.
# Where it must not come to its end before the guard has looked, it stands still until then.
machine 0 64
begin
kill -STOP "$pid"
turn 2500 6
said '"act":"pause"'
kill -CONT "$pid"
said '"k":"ack".*"ok":true'
before=$(steps)
sleep 0.3
[ "$(steps)" = "$before" ] || bad "it computes while it is paused"
footprint 89000
turn 1000 2
said '"act":"micro-batch","arg":2,'
grep -q 'guard: memory: footprint 86.9 % of budget, limit 85: micro-batch 4 -> 2, no bit changes' "$work/err" || bad "stderr: $(cat "$work/err")"
machine 1 64
turn 25000 4
said '"act":"resume"'
tries=0
while [ "$(steps)" -lt $((before + 5)) ] && [ $tries -lt 1000 ]; do sleep 0.02; tries=$((tries + 1)); done
[ "$(steps)" -ge $((before + 5)) ] || bad "it does not go on"
kill -STOP "$pid"
machine 0 20
turn 1000 3
said '"act":"checkpoint-exit","arg":75,'
kill -CONT "$pid"
ends 75
said '"k":"end".*"exit":75.*"void":\["the guard was not at green'
err_has "accord train --resume $run"
durable=$(sed -n 's/.*"k":"ack".*"durable":\([0-9]*\),.*/\1/p' "$log" | tail -1)
[ -d ".accord/runs/$run/checkpoints/step-$durable" ] || bad "the answer names checkpoint $durable, which is not there"
[ "$(ls -v ".accord/runs/$run/checkpoints" | tail -1)" = "step-$durable" ] || bad "step $durable is not the newest checkpoint"
machine 1 90
same 'paused, smaller, stopped on battery'
[ "$(grep -c '"k":"begin"' "$log")" -eq 2 ] || bad "a resume does not begin anew in the record"

# Far over its budget: it leaves the step as it is.
begin
kill -STOP "$pid"
footprint 115000
turn 1000 1
said '"act":"drop-exit","arg":75,'
kill -CONT "$pid"
ends 75
err_has "accord train --resume $run"
same 'left in a step'

# As small as can be, and still too large: to another machine.
begin --micro-batch 1 --recompute block
kill -STOP "$pid"
footprint 98000
turn 1000 3
said '"act":"advise-move"'
kill -CONT "$pid"
ends 76
err_has 'these files leave this machine'
err_has 'rsync'
err_has "accord train --resume $run"
same 'to be moved'

# The guard is killed: the trainer checkpoints.
begin
kill -9 $guard
wait $guard 2>/dev/null
tries=0
while kill -0 "$pid" 2>/dev/null && [ $tries -lt 1000 ]; do sleep 0.02; tries=$((tries + 1)); done
kill -0 "$pid" 2>/dev/null && bad "the trainer outlives its guard"
grep -q '"state": "stopped"' ".accord/runs/$run/run.json" || bad "without its guard the run does not stop"
err_has 'the guard is gone; checkpointed after step'
same 'guard killed'
begin
kill -9 $guard
wait $guard 2>/dev/null
same 'guard killed, resumed at once'

# The trainer is killed: the guard says so.
begin
kill -9 "$pid"
ends 137
err_has "ended by signal 9"
err_has "go on with: accord train --resume $run"
said '"k":"end".*"exit":null,"signal":9'
same 'trainer killed'

# Signals are passed on; one that reaches the trainer twice counts once.
begin
kill -STOP "$pid"
kill -TERM $guard
kill -TERM "$pid"
kill -CONT "$pid"
ends 75
err_has 'checkpointed after step'
same 'ended by SIGTERM'

# A record that cannot be written ends nothing.
begin
rm "$log"
footprint 89000
turn 1000 3
ends 0
[ "$(bits)" = "$quiet" ] || bad "without a record: other bytes"
finish
