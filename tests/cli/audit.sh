# audit verify, list, show: heads that a run noted, and what they see that the chain alone does not.
. "$(dirname "$0")/lib.sh"
p=$work/examples/app
mkdir -p "$work/examples"
cp -r "$source_dir/examples/tiny-base" "$source_dir/examples/shop-sql" "$work/examples/"
cp -r "$source_dir/examples/shop-sql-tiny" "$p"
cd "$p" || exit 70
rm -rf accord.lock .accord
sed -e 's/epochs: 5/max_steps: 2/' -e 's/_every: 75/_every: 1/' -e 's/batch_rows: 16/batch_rows: 2/' accord.yaml >t && mv t accord.yaml
head -8 ../shop-sql/data/valid.jsonl >t && mv t ../shop-sql/data/valid.jsonl
run 0 audit verify
out_has 'no records yet'
run 1 audit verify --head "1:$(printf x | sha256sum | cut -c1-64)"
run 0 freeze
run 0 train
out_has 'audit      '
train_head=$(sed -n 's/^audit  *//p' "$work/out")
run 1 ab --arms base,tuned
run=$(ls .accord/runs)
log=.accord/audit.jsonl
cp "$log" whole

# ---- an untouched chain, and every head that was noted
run 0 audit verify --run latest --lock --head "$train_head" --json
out_has '"intact":true'
out_has '"heads_checked":6'
run 0 audit verify
head=$(sed -n 's/.*head \([0-9]*:[0-9a-f]*\)$/\1/p' "$work/out")
run 0 audit verify --head "$head"
run 64 audit verify --head 12
for f in ".accord/runs/$run/run.json" ".accord/runs/$run/verdict.json" ".accord/runs/$run/checkpoints"/*/manifest.json; do
    grep -q '"audit_head": *"[0-9a-f]' "$f" || bad "$f notes no head"
done
grep -q 'the audit log stood at `2:' ".accord/runs/$run/README.md" || bad "README.md notes no head"

# ---- list and show
run 0 audit list
[ "$(wc -l <"$work/out")" = "$(wc -l <"$log")" ] || bad "audit list leaves records out"
run 0 audit list --act opening --json
[ "$(grep -c '"act":' "$work/out")" = 1 ] || bad "audit list --act: $(cat "$work/out")"
python3 -c 'import json,sys; r = json.load(open(sys.argv[1])); assert r[0]["act"] == "opening"' "$work/out" || bad "no JSON"
run 0 audit list --run "${run%%-*}" --last 2
[ "$(wc -l <"$work/out")" = 2 ] || bad "audit list --last: $(cat "$work/out")"
out_has 'verdict'
run 0 audit list --lock ffffffffff
out_has 'no such record'
run 0 audit show 2
out_has '"seq": 2'
run 66 audit show 99
run 64 audit show x

# ---- cut off, written anew, forked: the chain itself looks whole
n=$(wc -l <whole)
head -n $((n - 1)) whole >"$log"
run 0 audit verify --run latest                     # the verdict's own record came after what the verdict noted
run 1 audit verify --head "$head"
err_has 'cut off'
head -n 3 whole >"$log"
run 0 audit verify
run 1 audit verify --run latest
err_has 'verdict.json saw'
: >"$log"
run 1 audit verify --lock
err_has 'no record says that accord.lock'
rm -rf .accord/audit.jsonl
cp accord.lock kept.lock
rm accord.lock
run 0 freeze                                        # the same lock again, at another time
cmp -s accord.lock kept.lock || bad "another lock"
run 0 audit verify --lock
run 1 audit verify --run "$run"
run 1 audit verify --head "$train_head"

# ---- torn: told apart, and repaired by the next act
head -c -20 whole >"$log"
run 1 audit verify
err_has 'torn'
run 0 freeze
run 1 audit verify
sed -e 's/max_steps: 2/max_steps: 3/' accord.yaml >t && mv t accord.yaml
run 0 freeze
run 0 audit verify
run 0 audit list --act recovered
out_has 'cut_bytes='

# ---- damage: named, listed up to there, and nothing is put on top
sed -e '3s/"act":"[a-z]*"/"act":"changed"/' whole >"$log"
run 1 audit verify
err_has 'audit.jsonl:3: '
run 1 audit list
[ "$(wc -l <"$work/out")" = 2 ] || bad "audit list of a damaged chain: $(cat "$work/out")"
cp "$log" before
"$accord" freeze >"$work/out" 2>"$work/err" </dev/null
cmp -s "$log" before || bad "an act was put on top of a damaged chain"
run 0 verify latest --no-ab
err_has 'not recorded in the audit log'
cmp -s "$log" before || bad "verify was put on top of a damaged chain"
finish
