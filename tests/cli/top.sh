# accord top: one frame as text and as JSON, and live on a pseudo-terminal.
. "$(dirname "$0")/lib.sh"
story=$source_dir/tests/fuzz/corpus/telemetry/story.jsonl
one=20260131T093000Z-1a2b3c4d
run=$work/p/.accord/runs/$one
mkdir -p "$run"
cd "$work/p" || exit 70
run 0 top --once
out_has "$one  no run.json yet, 0:00"
out_has 'not watched: no telemetry'
out_has 'no step yet'

# ---- in the middle of the story
head -n 9 "$story" >"$run/telemetry.jsonl"
printf '{"id":"%s","state":"training","total_steps":40}\n' $one >"$run/run.json"
i=1
while [ $i -le 16 ]; do
    printf '{"event":"step","step":%s,"loss":%s.5,"seconds":0.5}\n' $i $((17 - i)) >>"$run/metrics.jsonl"
    i=$((i + 1))
done
printf '{"event":"eval","step":16,"loss":0.75,"best":true,"seconds":4.0}\n' >>"$run/metrics.jsonl"
run 0 top --once
golden top.txt "$work/out"
run 0 top
cmp -s "$here/golden/top.txt" "$work/out" || bad "where stdout is no terminal, top is not top --once"
run 0 top --json
out_has '"level":"yellow","level_seconds":11'
out_has '"seconds_left":12'
out_has '"ended":false'
python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$work/out" || bad "not JSON"

# ---- a resume took steps back; nothing was heard for long; text from files cannot steer the terminal
head -n 3 "$run/metrics.jsonl" >m && mv m "$run/metrics.jsonl"
touch -d '10 minutes ago' "$run/run.json" "$run/metrics.jsonl" "$run/telemetry.jsonl"
printf '{"k":"sample","t":30,"level":"green","step":3,"beside":"a\\u001b[2Jb"}\n' >>"$run/telemetry.jsonl"
touch -d '10 minutes ago' "$run/telemetry.jsonl"
run 0 top --once
out_has '  no sign for 10:0'
out_has 'step      3/40'
out_has 'beside a?[2Jb'
cp "$story" "$run/telemetry.jsonl"
run 0 top --once
out_has 'ended with exit 0'
run 66 top 1999
err_has 'no run'

# ---- on a terminal
for scenario in end key interrupt term bad; do
    python3 "$here/top_pty.py" "$accord" $scenario "$work/live_$scenario" "$story" 2>"$work/$scenario.err" || echo failed >>"$work/$scenario.err" &
done
wait
for scenario in end key interrupt term bad; do
    checks=$((checks + 1))
    [ -s "$work/$scenario.err" ] && bad "$scenario: $(cat "$work/$scenario.err")"
done
finish
