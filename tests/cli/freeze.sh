# What freeze says to somebody who has just begun, and what it refuses before hours are spent on it.
. "$(dirname "$0")/lib.sh"
mkdir "$work/p" && cd "$work/p" || exit 70

# ---- after init: which files are missing and what goes into them, in one message
run 0 init
sed -i.bak "s|^  model: .*|  model: $source_dir/examples/tiny-base/model|" accord.yaml
for command in 'freeze' 'data check'; do
    run 66 $command
    err_has 'data.train: data/train.jsonl, data.valid: data/valid.jsonl, eval.cases: evals/cases.jsonl: no such files; rows are lines like {"prompt":"...","completion":"..."}'
    err_has 'cases (30 or more, 5 or more each of success, refusal and edge) lines like {"id":"q1","class":"success","input":"...","ideal":"..."}; write them, or name others in accord.yaml'
    err_one_line
done
run 66 triage
err_has 'data.train: data/train.jsonl, eval.cases: evals/cases.jsonl: no such files; '
run 66 plan
err_has 'data.train: data/train.jsonl, data.valid: data/valid.jsonl: no such files; '
rm -f accord.yaml accord.yaml.bak

tiny_project
sed -i.bak '/max_steps/d' accord.yaml
cp accord.yaml kept.yaml
mv evals/cases.jsonl cases.kept
run 66 freeze
err_has 'eval.cases: evals/cases.jsonl: no such file; cases (30 or more'
err_has 'write it, or name another in accord.yaml'
mv cases.kept evals/cases.jsonl
rm -r docs
run 66 freeze
err_has 'eval.docs: docs: no such file; write it, or name another in accord.yaml'
mkdir docs && printf '# Toys\n\nEvery toy of Xanthippe is red.\n' >docs/toys.md

# ---- what only the model, the rows and the cases tell: with the line of the key
refuses() { # <lines for method> <message>
    { cat kept.yaml; printf '%b' "$1"; } >accord.yaml
    run 78 freeze
    err_has "$2"
    [ ! -e accord.lock ] || bad "a lock in spite of: $2"
}
refuses '  last_layers: 5\n' 'accord.yaml:17:16: method.last_layers is 5, and the model has 4 layers; lower it'
refuses '  warmup_steps: 18\n  epochs: 3\n' 'accord.yaml:17:17: method.warmup_steps gives a warm-up of 18 steps, and the run has 18 (from 24 rows)'
refuses '  warmup_ratio: 1\n' 'accord.yaml:17:17: method.warmup_ratio gives a warm-up of'
sed -i.bak 's/max_tokens: 4/max_tokens: 500/' kept.yaml
refuses '' "eval.max_tokens) that exceeds the model's context of 512; shorten the case, or lower eval.max_tokens, eval.rag_top or eval.rag_chunk_tokens"
err_has 'accord.yaml:10:15: evals/cases.jsonl:'
sed -i.bak 's/max_tokens: 500/max_tokens: 4/; s/^  docs: docs/  docs: docs\n  refusal: No./' kept.yaml
refuses '' 'accord.yaml:10:12: eval.refusal has no effect: no case of evals/cases.jsonl uses is-refusal without a sentence of its own'
sed -i.bak '/refusal: No/d; s/max_len: 128/max_len: 4096/' kept.yaml
cp data/train.jsonl train.kept
i=0; words=
while [ $i -lt 700 ]; do words="$words box$i"; i=$((i + 1)); done
echo "{\"prompt\":\"Lily counts\",\"completion\":\"$words\"}" >>data/train.jsonl
refuses '' "and the model's context is 512; set data.max_len to 512 at most"
err_has 'accord.yaml:6:12: a row of data/train.jsonl has '
mv train.kept data/train.jsonl

# ---- and what just fits is sealed and trained
{ cat kept.yaml; printf '  last_layers: 4\n  warmup_steps: 5\n  epochs: 1\n'; } >accord.yaml
run 0 freeze
run 0 train
finish
