# After the run, on the tiny base: compare two runs, promote one, be refused, go back.
. "$(dirname "$0")/lib.sh"
p=$work/examples/app
mkdir -p "$work/examples"
cp -r "$source_dir/examples/tiny-base" "$source_dir/examples/shop-sql" "$work/examples/"
cp -r "$source_dir/examples/shop-sql-tiny" "$p"
cd "$p" || exit 70
rm -rf accord.lock .accord
sed -e 's/epochs: 5/max_steps: 4/' -e 's/_every: 75/_every: 2/' accord.yaml >t && mv t accord.yaml
cat >>accord.yaml <<'YAML'
integration:
  command: test -f "$ACCORD_ADAPTER/adapter_model.safetensors" && echo "checked $ACCORD_RUN" && test ! -e broken
YAML

run 0 freeze
run 0 train --json
value() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$work/out" | head -1; }
one=$(value run)
run 77 promote
err_has 'no verdict yet'
run 64 ab --ci --untuned
err_has 'needs a verdict'
run 1 ab --arms base,tuned --ci
out_has 'NO CLEAR LIFT: tuned '
[ "$(wc -l <"$work/out")" -eq 1 ] || bad "--ci prints more than a line"
# The column beside the verdict is what accord score says of a reference as a row.
run 1 ab --arms base,tuned --perplexity --json
ours=$(sed -n 's/.*"reference_perplexity": *\([0-9.]*\).*/\1/p' "$work/out" | sed -n 3p)     # after the two arms
sed -n '2s/.*"turns": \[\(.*\)\], "ideal": \("[^"]*"\).*/{"messages": [\1, {"role": "assistant", "content": \2}]}/p' \
    ../shop-sql/evals/cases.jsonl >row.jsonl
run 0 score --model ../tiny-base/model --data row.jsonl --json
theirs=$(sed -n 's/.*"mean": *\([0-9.]*\).*/\1/p' "$work/out" | awk '{ printf "%.9f", exp($1) }')
[ -n "$ours" ] && [ "$(echo "$ours" | awk '{ printf "%.9f", $1 }')" = "$theirs" ] || bad "perplexity $ours, by score $theirs"
run 1 ab --arms base,tuned --perplexity
out_has 'perplexity'
run 77 promote "$one"
err_has 'only a WIN is promoted'
run 64 promote --without-win
err_has '--reason'
run 64 promote --channel 'Not this' --without-win --reason test
err_has 'lower-case'
run 66 rollback
err_has 'nothing was promoted'

# ---- the integration command decides
touch broken
run 77 promote "$one" --without-win --reason 'a test'
err_has 'integration.command failed with exit code 1'
err_has "checked $one"
[ ! -e .accord/promoted ] || bad "a refused promotion left something"
rm broken
run 0 promote "$one" --without-win --reason 'a test'
out_has "production now serves $one"
[ -f .accord/promoted/production/adapter_model.safetensors ] || bad "the link does not lead to the adapter"
run 64 promote "$one" --without-win --reason again
err_has 'serves on production already'
run 0 show "$one"
out_has 'serves     production since'
grep -n ' $' "$work/out" && bad "a line ends in blanks"
run 77 rollback
err_has 'no'

# ---- a second run; where they differ
sleep 1
run 0 train --json --threads 1
two=$(value run)
run 1 ab --arms base,tuned
run 0 compare "$one" "$two"
out_has 'the same bits in all 4 steps'
out_has 'the same in every key'
run 0 compare "$one" "$two" --json
out_has '"first_different_step":null'
out_has '"only_a":0'
run 64 compare "$one" "$one"
run 66 compare "$one" 19990101

# ---- promotion, rollback, and what was promoted must not have changed
run 0 promote "$two" --without-win --reason 'a test' --json
out_has "\"before\":\"$one\""
run 0 rollback --reason 'worse in use'
out_has "production now serves $one"
case $(readlink .accord/promoted/production) in */"$one"/adapter) ;; *) bad "the link leads elsewhere" ;; esac
run 0 show "$two"
out_has 'served     production since'
out_has 'rolled back at'
out_has 'worse in use'
run 0 show "$one" --json
out_has '"channels":[{"channel":"production","serves":true,'
run 0 promote "$two" --without-win --reason again
printf x >>".accord/runs/$one/adapter/adapter_config.json"
run 78 rollback
err_has 'was changed since it was promoted'
case $(readlink .accord/promoted/production) in */"$two"/adapter) ;; *) bad "a refused rollback moved the link" ;; esac
run 0 audit --list
out_has '"act":"rollback"'
out_has '"act":"promote"'

# ---- another contract shows in the comparison; its runs are not promoted under this lock
grep -q "comparator: '>='" accord.prml.yaml || bad "no pre-registration beside the lock"
sed -e 's/rank: 16/rank: 8/' accord.yaml >t && mv t accord.yaml
run 0 freeze
grep '"act":"freeze"' .accord/audit.jsonl | tail -1 | grep -q '"changed":\["method.rank"\]' || bad "the record does not say what changed"
grep '"act":"freeze"' .accord/audit.jsonl | tail -1 | grep -q '"previous":"' || bad "the record does not name the lock before"
sleep 1
run 0 train --json
three=$(value run)
run 0 compare "$two" "$three" --json
out_has '{"key":"method.rank","a":16,"b":8}'
out_has '"first_different_step":1'
run 78 promote "$two" --without-win --reason 'a test'
err_has 'another lock'
finish
