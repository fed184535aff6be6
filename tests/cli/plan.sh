# accord plan: what it says, that it writes nothing, that train agrees with it, and that its memory is what the system charges.
. "$(dirname "$0")/lib.sh"
mkdir "$work/p"
cd "$work/p" || exit 70
tiny_project
number() { sed -n "s/.*\"$1\": \([0-9.e+-]*\).*/\1/p" "$work/out" | head -1; }

# Without a lock, nothing written, every part of the answer there.
before=$(ls -aR . | cksum)
run 0 plan
for text in 'weights, mapped' 'planned peak' 'free less' 'time, by' 'measured steps' 'validation' 'it would end' \
    'not known  set cost.watts' 'not known  set cost.node_hour' 'a checkpoint' 'PLAN: here' 'from which it belongs into the night'; do
    out_has "$text"
done
err_has 'measure: done'
[ "$(ls -aR . | cksum)" = "$before" ] || bad "plan left something: $(ls -aR .)"
run 0 plan --no-measure
out_has 'time, by nothing: --no-measure'
out_has 'PLAN: here'
run 0 plan --no-measure --json
out_has '"from": null'
out_has '"seconds": null'
out_has '"energy_method": "not known"'

# Rates, and hours that open in three hours.
opens=$(awk -v h="$(date +%H)" 'BEGIN { printf "%02d:00", (h + 3) % 24 }')
closes=$(awk -v h="$(date +%H)" 'BEGIN { printf "%02d:00", (h + 5) % 24 }')
cp accord.yaml first.yaml
cat >>accord.yaml <<YAML
guard:
  window: $opens-$closes
cost:
  currency: EUR
  watts: 100
  kwh: 0.3
  machine_hour: 2
  node_hour: 4
  node_speed: 8
YAML
run 0 plan --seconds 0
out_has 'PLAN: tonight'
out_has 'begun when it opens'
out_has 'kWh'
out_has 'EUR'
run 0 plan --json --seconds 0
out_has '"verdict": "tonight"'
out_has '"energy_method": "cost.watts x time"'
mv first.yaml accord.yaml

# What does not fit: 76 from plan and train, the table, the least that would do, and nothing written.
run 76 plan --memory-limit 4M
out_has 'the smallest there is, and it does not fit'
out_has 'PLAN: a node'
err_has 'smallest run of this contract needs'
run 76 plan --memory-limit 4M --json
out_has '"fits": false'
run 0 freeze
run 76 train --memory-limit 4M
err_has 'smallest run of this contract needs'
err_has 'activations of the layers'
[ -d .accord/runs ] && bad "a refused run left a folder"
cat >>accord.yaml <<YAML
memory:
  budget: 5M
YAML
run 76 plan --no-measure
err_has 'memory.budget'
run 0 plan --memory-limit 2G --no-measure
sed -i '/^memory:/,$d' accord.yaml

# train --dry-run says the same, but for what the process happens to hold.
run 0 plan --json --no-measure
grep -E '"(what|bytes|tokens_at_once|recompute|micro_batch)"' "$work/out" | grep -vA1 -E 'program, tokenizer|page tables' >"$work/a"
run 0 train --dry-run --json
grep -E '"(what|bytes|tokens_at_once|recompute|micro_batch)"' "$work/out" | grep -vA1 -E 'program, tokenizer|page tables' >"$work/b"
diff "$work/a" "$work/b" >"$work/d"
[ "$(grep -c '^[<>]' "$work/d")" -le 4 ] || bad "plan and train --dry-run differ: $(cat "$work/d")"

# Planned and charged: never under, and at most 5 % and 4 MiB over (a program is larger than this model).
memory_of() {
    run 0 train --json -q "$@"
    planned=$(number planned_peak_bytes)
    peak=$(number peak_rss_bytes)
    awk -v a="$planned" -v b="$peak" 'BEGIN { exit !(a >= b && a <= 1.05 * b + 4194304) }' \
        || bad "train $*: planned $planned, charged $peak"
}
memory_of --micro-batch 1 --recompute none
memory_of --micro-batch 1 --recompute block
memory_of --micro-batch 4 --recompute none
run 0 plan --no-measure
out_has 'steps of run'
sed -i 's/  rank: 4/  tune: full/' accord.yaml
run 0 freeze
memory_of --micro-batch 1 --recompute none
sed -i 's/  tune: full/  tune: dora/' accord.yaml
run 0 freeze
memory_of --micro-batch 4 --recompute block
finish
