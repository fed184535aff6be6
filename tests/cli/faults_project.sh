# Freeze, train and ab with memory and files failing at points that lie further and further apart. Whatever fails: a
# reason, no crash, an audit chain that is intact, an old lock that still stands, and a run that says it failed.
. "$(dirname "$0")/lib.sh"
need_data
p=$work/project
mkdir -p "$p/data" "$p/evals"
cd "$p" || exit 70
i=1
while [ $i -le 8 ]; do
    printf '{"prompt":"Lily counts box %s","completion":"It has %s cats."}\n' $i $((i * 2)) >>data/train.jsonl
    i=$((i + 1))
done
i=1
while [ $i -le 30 ]; do
    class=$(echo success refusal edge | cut -d' ' -f$((i % 3 + 1)))
    printf '{"id":"c%s","class":"%s","input":"Ben asks for toy %s at the shop","assert":[{"type":"icontains","value":"red"}]}\n' \
        $i $class $i >>evals/cases.jsonl
    i=$((i + 1))
done
cat >accord.yaml <<YAML
base:
  model: $data/weights-stories260k/hf
  chat_format: plain
data:
  train: data/train.jsonl
  valid: null
  max_len: 64
eval:
  cases: evals/cases.jsonl
  max_tokens: 2
method:
  rank: 2
  max_steps: 2
  batch_rows: 4
YAML
run 0 freeze
cp accord.lock good.lock

after() {
    cmp -s accord.lock good.lock || bad "$*: accord.lock changed"
    "$accord" audit >"$work/audit" 2>&1 || bad "$*: $(cat "$work/audit")"
    find . -name '*.tmp-*' | grep -q . && bad "$*: temporary files stay: $(find . -name '*.tmp-*')"
    "$accord" runs >"$work/runs" 2>&1 || bad "$*: accord runs: $(cat "$work/runs")"
}
sweep() { # <kind> <exit code of a success> <arguments...>
    kind=$1
    good=$2
    shift 2
    a=1
    b=2
    while :; do
        ACCORD_FAULT=$kind:$a "$accord" "$@" >"$work/out" 2>"$work/err" </dev/null
        got=$?
        checks=$((checks + 1))
        if [ $got -eq "$good" ]; then
            [ -s "$work/out" ] || bad "$kind:$a $*: a result is missing"
            after "$kind:$a $*"
            break
        fi
        case $kind:$got in
        alloc:70 | io:74 | io:73) ;;
        *) bad "$kind:$a $*: exit code $got: $(cat "$work/err")" ;;
        esac
        [ -s "$work/err" ] || bad "$kind:$a $*: no reason given"
        after "$kind:$a $*"
        next=$((a + b))
        a=$b
        b=$next
        [ "$a" -le 1000000 ] || { bad "$kind $*: no success after $a"; break; }
    done
}
for kind in alloc io; do
    sweep $kind 0 freeze -q
    sweep $kind 0 train -q
    sweep $kind 1 ab -q
    sweep $kind 0 data check -q
    sweep $kind 0 report -o page.html
done
finish
