# A run shared by two processes, all the way: verdict, report, cost, proof, and rebuilt by one; nothing but the machine differs.
. "$(dirname "$0")/lib.sh"
export TMPDIR="$work/tmp" ACCORD_KEY="$work/key"
unset ACCORD_IDENTITY ACCORD_PASSPHRASE_FILE ACCORD_PASSPHRASE_FD
mkdir -p "$work/project" "$work/tmp" && cd "$work/project" || exit 70
tiny_project
sed -i.bak 's/max_steps: 3/max_steps: 8\n  shards: 4\n  eval_every: 3\n  save_every: 2/' accord.yaml
run 0 freeze
run 75 train --workers 4 --stop-after-step 5
id=$(ls .accord/runs)
run 0 train --workers 2 --threads 2 --resume "$id"
grep -q '"workers": 2' ".accord/runs/$id/run.json" || bad "run.json lacks the number of workers"
run 1 ab
out_has 'opening 1 of these cases'

# ---- what is shown of it
run 0 report
grep -q "$id" ".accord/runs/$id/report.html" || bad "the report is not about the run"
run 0 show latest
out_has ', in 2 workers'
grep -q 'in the first of 2 workers' ".accord/runs/$id/README.md" || bad "the README does not tell the workers"
run 0 runs --json
out_has '"verdict": "NO CLEAR LIFT"'
run 0 cost latest
out_has 'train'
grep -q -- '--workers 2' ".accord/runs/$id/README.md" || bad "the README's command has no workers"

# ---- rebuilt by one process, here and from a copy elsewhere: the same bits and verdict
run 0 verify latest --threads 1
out_has 'BIT_IDENTICAL: all 8 steps and every byte of the weights, every answer and the verdict'
mkdir "$work/elsewhere" && cp -r "$work/project" "$work/elsewhere/copy"
run 0 -C "$work/elsewhere/copy" verify "$id" --no-ab --json
out_has '"result": "BIT_IDENTICAL"'
# The fourth row asks and answers otherwise: it says from which step on.
cp -r "$work/project" "$work/elsewhere/other"
sed -i.bak '4s/cats/dogs/' "$work/elsewhere/other/data/train.jsonl"
run 1 -C "$work/elsewhere/other" verify "$id" --no-ab
out_has 'line 4 of data.train'

# ---- the proof stands without the project
run 0 key new
run 0 evidence "$id" --out "$work/e"
cd "$work" || exit 70
mv project gone
unset ACCORD_KEY
run 0 evidence verify e --adapter "gone/.accord/runs/$id/adapter"
out_has 'verdict counted again'
out_has 'those that were scored'
sed -i.bak 's/"workers": *2/"workers": 4/' e/run.json && rm -f e/run.json.bak
run 1 evidence verify e

# ---- alone from the beginning: the same files
cd gone || exit 70
run 0 train
other=$(ls -t .accord/runs | head -n 1)
for f in trace.jsonl adapter/adapter_model.safetensors adapter/adapter_config.json; do
    cmp -s ".accord/runs/$id/$f" ".accord/runs/$other/$f" || bad "alone $f has other bytes"
done
finish
