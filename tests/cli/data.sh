# data check and data split, on rows of our own.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 70
chmod o-rwx "$work"

cat >train.jsonl <<'EOF'
{"messages":[{"role":"user","content":"Where is the box?"},{"role":"assistant","content":"In the hall."}]}
{"messages":[{"role":"user","content":"Where is the cat?"},{"role":"assistant","content":"In the box.","weight":0},{"role":"user","content":"Sure?"},{"role":"assistant","content":"Yes."}]}
{"messages":[{"role":"user","content":"Where is the box?"},{"role":"assistant","content":"In the hall."}]}
{"messages":[{"role":"user","content":"where is the BOX"},{"role":"assistant","content":"In the loft."}]}
EOF
echo '{"messages":[{"role":"user","content":"Where is the cat?"},{"role":"assistant","content":"Out."}]}' >other.jsonl
chmod 600 ./*.jsonl

# ---- warnings only: 0
run 0 data check train.jsonl
out_has 'train.jsonl: 4 rows (messages, train)'
out_has '1 row is a copy of an earlier one: 3 distinct rows'
out_has 'train.jsonl:1, 3'
out_has '2 rows ask what an earlier row asks (1 of them byte for byte), 1 with another answer'
run 0 data check train.jsonl --json
out_has '"duplicate_rows": 1'
out_has '"supervised_units": 10'
out_has '"histogram": ['
out_has '"kind": "no-valid"'
cp out first.out
run 0 data check train.jsonl --json --threads 3
cmp -s out first.out || bad "threads change what is found"

# ---- masks: marks in a pipe, whatever NO_COLOR says; a number is taken, a file is not
run 0 data check --show-mask train.jsonl
out_has 'assistant: [[In the hall.]]'
out_has 'assistant: In the box.'
out_has 'assistant: [[Yes.]]'
run 0 data check --show-mask 1 train.jsonl
out_has 'line 1'
if grep -q 'line 2$' out; then bad "--show-mask 1 showed two rows"; fi
run 0 data check --mask last --show-mask=4 train.jsonl
if grep -q "$(printf '\033')" out; then bad "colour in a pipe"; fi
run 64 data check --show-mask=x train.jsonl
if command -v script >/dev/null 2>&1 && script -qec true /dev/null >/dev/null 2>&1; then
    TERM=xterm script -qec "'$accord' data check --show-mask 1 train.jsonl" /dev/null >tty.out 2>/dev/null </dev/null
    grep -q "$(printf '\033\\[7m')" tty.out || bad "no colour on a terminal"
    NO_COLOR=1 TERM=xterm script -qec "'$accord' data check --show-mask 1 train.jsonl" /dev/null >tty.out 2>/dev/null </dev/null
    if grep -q "$(printf '\033\\[7m')" tty.out; then bad "NO_COLOR is not respected"; fi
    grep -qF '[[In the hall.]]' tty.out || bad "no marks under NO_COLOR"
fi

# ---- what fails: 1; bad data: 65, and the report is there all the same
run 1 data check train.jsonl --max-len 5
out_has 'over-long'
run 0 data check train.jsonl --max-len 5 --on-long drop
echo '{"prompt":"a","chosen":"b","rejected":"b"}' >pairs.jsonl
run 1 data check pairs.jsonl
out_has '(preference)'
out_has '1 row with chosen equal to rejected'
out_has 'does not learn from pairs'
echo 'not json' >>train.jsonl
run 65 data check train.jsonl
out_has 'train.jsonl: 4 rows'
out_has 'bad-row'
err_has 'train.jsonl:5:1: '
run 65 data check train.jsonl --json
out_has '"bad_data": "train.jsonl:5:1: '
[ "$(grep -c '^{' out)" -eq 1 ] || bad "more than one JSON document"
run 66 data check absent.jsonl
run 64 data check train.jsonl --chat-format chatml
sed -i.bak '$d' train.jsonl

# ---- keys that nothing reads: once a key, with its rows, its first line, and what may be meant
cat >keys.jsonl <<'EOF'
{"text":"The cat sat on the mat.","id":1,"mesages":[{"role":"user","content":"a"}]}
{"text":"The dog lay on the rug.","id":2,"weight":0.5}
{"text":"The bird was in the tree.","id":3,"weight":2}
EOF
chmod 600 keys.jsonl
run 0 data check keys.jsonl
out_has 'nothing reads the key "mesages" in 1 row, first in line 1; did you mean "messages"?'
out_has 'nothing reads the key "weight" in 2 rows, first in line 2: every row weighs the same'
grep -q '^warn  unread-key  keys.jsonl:2 .*"weight"' out || bad "a weight that is ignored is no warning"
grep -q '^note  unread-key  keys.jsonl:1 .*"id" in 3 rows' out || bad "an id is no note"
run 0 data check keys.jsonl --json
out_has '"unread_keys": ['
out_has '"did_you_mean": "messages"'
out_has '"unread-key": 3'

# ---- a folder, and rows on both sides
mkdir d && cp train.jsonl d/train.jsonl && cp other.jsonl d/valid.jsonl
run 0 data check d
out_has 'd/valid.jsonl: 1 row (messages, valid)'
out_has 'small-valid'
head -n 1 train.jsonl >d/valid.jsonl
run 1 data check d
out_has 'train-valid'
out_has 'd/valid.jsonl:1, d/train.jsonl:1'

# ---- cases and documents, with rows and without any
mkdir docs
{
    echo '{"canary":"canary 7f3a9c"}'
    printf '{"id":"a","input":"Where is the b\342\200\256ox of Ann?","ideal":"Ask ann.lee@shop.example"}\n'
    echo '{"id":"b","class":"edge","input":"Which key opens it?","ideal":"ghp_w9Xk2LmQ4rTz7VbN1cPd8SfGh3JyUe5A6oRi"}'
    echo '{"id":"c","class":"edge","input":"which KEY opens it","ideal":"none"}'
} >cases.jsonl
printf '\357\273\277# Shop\n\nHello.\nWrite to bob.ray@shop.example\342\200\213 now.\n\ncanary 7f3a9c\n' >docs/a.md
echo '{"prompt":"WHICH key opens it?","completion":"None."}' >leaky.jsonl
chmod -R go-rwx cases.jsonl docs leaky.jsonl
run 1 data check --cases cases.jsonl --docs docs
out_has 'cases.jsonl: 3 cases (1 success, 0 refusal, 2 edge), with a canary'
out_has 'docs: 1 document, '
out_has 'cases.jsonl:3:github-token:1.00 (40 characters)'
out_has 'cases.jsonl:2:EMAIL_ADDRESS:1.00'
out_has 'case a: turn 1 holds U+202E'
out_has 'docs/a.md:4:EMAIL_ADDRESS:1.00'
out_has 'docs/a.md:4 holds U+200B'
out_has 'cases.jsonl:3, 4'
out_has "docs/a.md:6 holds the cases' canary"
out_has '0 rows, 3 cases, 1 document: 3 failures, 4 warnings, 0 notes'
if grep -q 'w9Xk2L\|ann.lee\|bob.ray' out; then bad "a value is shown"; fi
run 1 data check --cases cases.jsonl --json --no-scan
out_has '"canary": true'
out_has '"case-duplicate": 1'
if grep -q '"kind": "secret"' out; then bad "--no-scan scans cases"; fi
run 1 data check leaky.jsonl --cases cases.jsonl --json
out_has '"leak-exact": 2'
out_has '"file_b": "leaky.jsonl"'
[ "$(grep -c '"kind": "case-duplicate"' out)" -eq 1 ] || bad "twins among the cases are told more than once"
echo '{"id":"d","input":"How many boxes are in the hall?","ideal":"3"}' >few.jsonl
chmod 600 few.jsonl
run 0 data check --cases few.jsonl --docs docs
run 66 data check --cases absent.jsonl
run 66 data check --cases few.jsonl --docs absent
run 64 data check --cases few.jsonl --mask last
echo '{"id":"d"}' >bad.jsonl
run 65 data check --cases bad.jsonl
err_has 'bad.jsonl:1: '
mkdir project && cp few.jsonl project/cases.jsonl
printf 'base:\n  model: none\ndata:\n  train: train.jsonl\neval:\n  cases: cases.jsonl\n' >project/accord.yaml
run 0 -C project data check
out_has 'train.jsonl: is not there; cases and documents are checked without it'
out_has '0 rows, 1 case: 0 failures, 0 warnings'
run 0 -C project data check --json
out_has '"absent": "'
rm project/cases.jsonl
run 66 -C project data check

# ---- split
i=0
while [ $i -lt 40 ]; do
    echo "{\"prompt\":\"Question $((i % 20)) of all\",\"completion\":\"Answer $i.\",\"who\":\"p$((i % 4))\"}"
    i=$((i + 1))
done >rows.jsonl
run 0 data split rows.jsonl --out s --valid 0.1 --test 0.1 --seed 5
out_has '40 rows (prompt/completion) in 20 groups'
[ "$(cat s/train.jsonl s/valid.jsonl s/test.jsonl | sort)" = "$(sort rows.jsonl)" ] || bad "rows were lost or changed"
run 0 data check s --no-scan
if grep -q 'train-valid' out; then bad "a group crossed"; fi
run 73 data split rows.jsonl --out s --valid 0.1
err_has 'is there already'
cp -r s kept && rm -r s
run 0 data split rows.jsonl --out s --valid 0.1 --test 0.1 --seed 5
diff -r s kept >/dev/null || bad "the same split gave other bytes"
grep -q "\"sha256\": \"$(sha256sum rows.jsonl | cut -d' ' -f1)\"" s/split.json || bad "split.json lacks the input's hash"
grep -q "\"sha256\": \"$(sha256sum s/valid.jsonl | cut -d' ' -f1)\"" s/split.json || bad "split.json lacks a part's hash"
[ ! -e .accord ] || bad "an audit log where there is no project"
run 0 data split rows.jsonl --out by --by who --valid 0.25 --json
out_has '"groups": 4'
run 65 data split rows.jsonl --out no --by nothing
run 64 data split rows.jsonl --out no --valid 0.6 --test 0.4
run 64 data split rows.jsonl
[ ! -e no ] || bad "a refused split made a folder"
: >accord.yaml
run 0 data split rows.jsonl --out logged --valid 0.1
grep -q '"act":"split"' .accord/audit.jsonl || bad "the split is not in the audit log"
run 0 audit
finish
