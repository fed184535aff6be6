# What people see of the guard: guard explain, guard table, and VOID wherever times of a run are shown.
. "$(dirname "$0")/lib.sh"
one=20260131T093000Z-1a2b3c4d
two=20260131T103000Z-00000002
three=20260131T113000Z-00000003
runs=$work/p/.accord/runs
mkdir -p "$runs/$one" "$runs/$two" "$runs/$three"
cd "$work/p" || exit 70
for r in $one $two $three; do
    printf '{"id":"%s","state":"trained","last_loss":0.5,"steps":40,"train_seconds":57.0,"tokens_per_second":100.5,"cpu_seconds":80}\n' \
        "$r" >"$runs/$r/run.json"
done
cp "$source_dir/tests/fuzz/corpus/telemetry/story.jsonl" "$runs/$one/telemetry.jsonl"
quiet_run() {
    printf '{"k":"begin","utc":"2026-01-31T10:30:00Z","format":1,"run":"%s","total_steps":2,"micro_start":8}\n' "$1"
    printf '{"k":"sample","t":1,"level":"green","step":1,"micro":8,"duty":100}\n'
    printf '{"k":"end","t":2,"exit":0,"step":2,"durable":2,"seconds":{"green":2},"void":[]}\n'
}
quiet_run $two >"$runs/$two/telemetry.jsonl"

# ---- explain
run 0 guard explain $one
golden guard_explain.txt "$work/out"
run 0 guard explain $one --json
out_has '"what":"micro-batch 4 instead of 8"'
out_has '"source":"mlx-guard: warn 90, recover 80"'
out_has '"obeyed":{"ok":true,"ms":500,"step":10,"durable":0,"text":null}'
out_has '"timing":{"void":true,"why":["it was yellow for 13 s","it was paused for 10 s"]}'
out_has '"go_on":null'
python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$work/out" || bad "not JSON"
run 0 guard explain $two
out_has 'nothing to do: no act'
out_has 'hold: nothing disturbed this run'
run 0 guard explain
out_has 'no telemetry.jsonl, so there is nothing to explain'
run 0 guard explain --json
out_has '"telemetry":false'
run 66 guard explain 1999

# ---- a run that stopped says how to go on; what cannot be read is named with its line
head -n 12 "$runs/$one/telemetry.jsonl" >t && sed -e 's/"state":"trained"/"state":"stopped"/' "$runs/$one/run.json" >s
mkdir "$runs/20260131T120000Z-00000004"
mv t "$runs/20260131T120000Z-00000004/telemetry.jsonl" && mv s "$runs/20260131T120000Z-00000004/run.json"
run 0 guard explain
out_has 'exit 75: checkpointed'
out_has 'go on     accord train --resume 20260131T120000Z-00000004'
sed -i -e 's/"exit":75/"exit":76/' "$runs/20260131T120000Z-00000004/telemetry.jsonl"
run 0 guard explain --json
out_has '"go_on":"where there is more memory, with this folder: accord train --resume 20260131T120000Z-00000004"'
printf '{"k":"sample","t":1,"level":"blue","step":1}\n' >>"$runs/20260131T120000Z-00000004/telemetry.jsonl"
run 65 guard explain
err_has 'telemetry.jsonl:13: "level" must be green, yellow, red or emergency, found "blue"'
rm -r "$runs/20260131T120000Z-00000004"

# ---- the table is the one of docs/guard.md
run 0 guard table --markdown
while IFS= read -r line; do grep -qxF -- "$line" "$source_dir/docs/guard.md" || bad "docs/guard.md lacks: $line"; done <"$work/out"
run 0 guard table
[ "$(wc -l <"$work/out")" -gt 30 ] || bad "few rules"
run 0 guard table --json
out_has '{"rule":0,"signal":"footprint"'

# ---- VOID, wherever times are shown
run 0 runs
grep -q "^$one .* 0:57 VOID " "$work/out" || bad "runs does not mark a disturbed run"
grep -q "^$two .* 0:57  -" "$work/out" || bad "runs marks one that nothing disturbed"
grep -q "^$three .* 0:57 VOID " "$work/out" || bad "runs does not mark a run without telemetry"
run 0 runs --json
out_has '"it was paused for 10 s"'
run 0 show $one
out_has 'times      VOID for timing claims: it was yellow for 13 s; it was paused for 10 s'
run 0 show $two
grep -q VOID "$work/out" && bad "show marks a run that nothing disturbed"
run 0 show $two --json
out_has '"timing":{"void":false,"why":[]}'
run 0 show $three
out_has 'nothing watched this run'
run 0 compare $one $two
out_has 'times and tokens a second are not compared'
out_has 'A is VOID for timing claims: it was yellow'
grep -q tokens_per_second "$work/out" && bad "compare sets a VOID speed beside another"
run 0 cost $one
out_has 'times      VOID for timing claims: it was yellow'
run 0 cost $two --json
out_has '"void": false'
run 0 cost
out_has 'VOID for timing claims in 2 of 3 runs'
run 0 compare $two $three --json
out_has '"timing":{"compared":false'
cp -r "$runs/$two" "$runs/20260131T130000Z-00000005"
run 0 compare $two latest
out_has 'tokens_per_second  100.5'

# ---- what the guard itself writes is what is read here: a run, stopped and resumed
mkdir "$work/real" && cd "$work/real" || exit 70
tiny_project
run 0 freeze
run 75 train --stop-after-step 1
run 0 guard explain
out_has 'process 1, '
out_has 'exit 75: checkpointed'
out_has 'go on     accord train --resume '
run 0 train --resume latest
run 0 guard explain --json
out_has '"telemetry":true'
out_has '"from_step":1,"total_steps":3'
out_has '"exit":0,"signal":null,"step":3,"durable":3'
out_has '"go_on":null'
run 0 top
out_has 'ended with exit 0'
out_has 'step      3/3'
run 0 report
grep -q 'aria-label="loss, memory, levels and acts of the guard by time"' .accord/runs/*/report.html || bad "the report lacks the guard"
grep -q 'resumed at step 1' .accord/runs/*/report.html || bad "the report lacks the resume"
run 0 train --no-guard
run 0 guard explain
out_has 'it ran without the guard (--no-guard)'
run 0 runs
tail -1 "$work/out" | grep -q VOID || bad "a run that nothing watched is not VOID"
finish
