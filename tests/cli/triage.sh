# Triage of the example, then of the same project with its thresholds moved and its facts changed.
. "$(dirname "$0")/lib.sh"
p=$work/examples/app
mkdir -p "$work/examples"
cp -r "$source_dir/examples/tiny-base" "$source_dir/examples/shop-sql" "$work/examples/"
cp -r "$source_dir/examples/shop-sql-tiny" "$p"
cd "$p" || exit 70
rm -rf accord.lock .accord
cp accord.yaml first.yaml
run 0 triage
out_has 'TRIAGE: tune here'
out_has 'texts that begin with "SELECT"'
out_has 'file times'
run 0 triage --json
out_has '"verdict":"tune here"'
run 0 audit --list
out_has '"act":"triage"'

# Scores of the base model, without and with the dense list.
run 0 freeze
run 64 ab --untuned --arms base,tuned
err_has '--untuned has no tuned arm'
run 0 ab --untuned
out_has 'opening 1 of these cases'
run 0 triage
out_has '0.0 of 100 points (accord ab --untuned)'
sed -e 's/  rag_top: 1/  rag_top: 1\n  rag_dense: true/' first.yaml >accord.yaml
run 0 freeze
run 0 ab --untuned --arms rag,base --json
out_has '"openings": 2'
out_has '"out_of_range"'
cp first.yaml accord.yaml
printf 'triage:\n  many_rows: 1000\n' >>accord.yaml
run 78 triage
err_has 'triage.reason'
printf '  reason: our nodes are idle\n' >>accord.yaml
run 0 triage
out_has 'TRIAGE: tune on a node'
out_has 'our nodes are idle'
{ cat first.yaml; printf 'triage:\n  few_rows: 1300\n  reason: a test\n'; } >accord.yaml
run 1 triage --json
out_has '"verdict":"do not tune: prompt"'
out_has '"tune":false'

# Documents that change and hold the answers: retrieval.
mkdir docs
{
    cat first.yaml
    printf 'triage:\n  trials: 2\n'
} | sed -e 's,docs: ../shop-sql/docs,docs: docs,' -e 's,cases: .*,cases: cases.jsonl,' >accord.yaml
i=1
while [ $i -le 40 ]; do
    printf '{"id":"q%s","input":"Which pump fits box %s?","ideal":"Pump number %s of the new series"}\n' $i $i $i
    printf 'For box %s: pump number %s, of the NEW series.\n\n' $i $i >>docs/pumps.md
    i=$((i + 1))
done >cases.jsonl
run 1 triage
out_has '100 % of 40 case answers'
out_has 'TRIAGE: do not tune: RAG'
if command -v git >/dev/null; then
    git init -q . && git add docs && GIT_COMMITTER_DATE=2020-01-01T00:00:00Z git -c user.name=a -c user.email=a@b \
        commit -qm 'old' --date 2020-01-01T00:00:00Z
    run 0 triage
    out_has '0 of 1 in 90 days (git)'
    echo 'one more' >>docs/pumps.md
    git add docs && git -c user.name=a -c user.email=a@b commit -qm 'new'
    run 1 triage
    out_has '1 of 1 in 90 days (git)'
fi
finish
