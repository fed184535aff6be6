# A project whose rows, cases and documents lie sealed: the same lock, adapter and verdict as with plain files, and none
# of their words on disk.
. "$(dirname "$0")/lib.sh"
export ACCORD_KEY="$work/key"
unset ACCORD_IDENTITY ACCORD_PASSPHRASE_FILE ACCORD_PASSPHRASE_FD
p=$work/project
mkdir -p "$p"
cd "$p" || exit 70
tiny_project

value() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$2" | head -n 1; }
last_run() { ls .accord/runs | tail -n 1; }

run 0 freeze
run 0 train
run 1 ab
mkdir "$work/open"
cp accord.lock "$work/open/"
cp ".accord/runs/$(last_run)/run.json" ".accord/runs/$(last_run)/verdict.json" "$work/open/"

# ---- the same, sealed
rm -rf .accord accord.lock
run 0 key new
run 0 seal-data data/train.jsonl data/valid.jsonl evals/cases.jsonl docs/toys.md --self --remove
[ ! -e data/train.jsonl ] || bad "the plain rows are still there"
mv docs/toys.md.age docs/toys.md                     # the name's ending says what a document is
for f in data/train data/valid evals/cases; do mv $f.jsonl.age $f.jsonl; done
chmod 644 data/*.jsonl evals/*.jsonl
run 0 data check
run 64 data split data/train.jsonl --out parts
err_has 'would lie open'
[ ! -e parts ] || bad "sealed rows were split into open files"
run 0 data check
grep -q 'every user' "$work/out" && bad "encrypted files are warned of"
run 0 freeze
run 0 train
run 1 ab
run 0 report
r=.accord/runs/$(last_run)
cmp accord.lock "$work/open/accord.lock" || bad "the lock of sealed inputs is another"
for k in adapter_sha256 trace_sha256; do
    checks=$((checks + 1))
    [ -n "$(value $k "$r/run.json")" ] || bad "run.json lacks $k"
    [ "$(value $k "$r/run.json")" = "$(value $k "$work/open/run.json")" ] || bad "$k differs from that of plain files"
done
[ "$(value verdict "$r/verdict.json")" = "$(value verdict "$work/open/verdict.json")" ] || bad "another verdict"
grep -q '"passed"' "$r/verdict.json" || bad "the verdict lacks its counts"
grep -q Xanthippe "$work/open/verdict.json" || bad "the plain run does not show its cases, so the next check means nothing"
found=$(grep -rlE 'Xanthippe|Lily counts|is red' . "$work/key")
[ -z "$found" ] || bad "words of sealed files lie in: $found"

# ---- without the key nothing goes on, and the reason is said
ACCORD_KEY="$work/nowhere" run 66 train
err_has 'ACCORD_IDENTITY'
ACCORD_KEY="$work/other" run 0 key new
ACCORD_KEY="$work/other" run 65 ab
err_has 'sealed for others'

# ---- sealed anew for somebody else: the lock stays, for it seals what is inside
cp data/train.jsonl rows.age && run 0 unseal-data rows.age && rm rows.age
ACCORD_KEY="$work/other" run 0 seal-data rows --self --remove
cp data/train.jsonl kept.age && mv rows.age data/train.jsonl
cat "$work/key/identity.txt" "$work/other/identity.txt" >both.txt && chmod 600 both.txt
ACCORD_IDENTITY=both.txt run 0 freeze
out_has 'unchanged'

# ---- a flipped byte is no other file: it is no file
cp data/train.jsonl good
printf '\377' | dd of=data/train.jsonl bs=1 seek=700 conv=notrunc 2>/dev/null
ACCORD_IDENTITY=both.txt run 65 train
err_has 'was changed'
finish
