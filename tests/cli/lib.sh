# Sourced by each script: sh <script> <program> <source folder>.
case $1 in /*) accord=$1 ;; *) accord=$PWD/$1 ;; esac
source_dir=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/accord_cli.XXXXXX") || exit 70
trap 'rm -rf "$work"' EXIT
export ACCORD_CACHE="$work/cache" LC_ALL=C
unset ACCORD_FAULT
failed=0
checks=0

bad() {
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$*" | head -c 600 >&2
    echo >&2
}

# run <expected exit code> <arguments...>: leaves stdout and stderr in $work/out and $work/err.
run() {
    want=$1
    shift
    "$accord" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    checks=$((checks + 1))
    if [ "$got" != "$want" ]; then
        bad "accord $*: exit code $got, expected $want"
        cat "$work/err" >&2
    fi
}

out_has() { grep -qF -- "$1" "$work/out" || bad "stdout lacks \"$1\": $(cat "$work/out")"; }
err_has() { grep -qF -- "$1" "$work/err" || bad "stderr lacks \"$1\": $(cat "$work/err")"; }
out_empty() { [ -s "$work/out" ] && bad "stdout is not empty: $(cat "$work/out")"; }
err_empty() { [ -s "$work/err" ] && bad "stderr is not empty: $(cat "$work/err")"; }
err_one_line() { [ "$(wc -l <"$work/err")" -eq 1 ] || bad "stderr is not one line: $(cat "$work/err")"; }

# golden <name> <file>: the file must equal golden/<name>.
golden() {
    checks=$((checks + 1))
    if [ "$ACCORD_GOLDEN" = write ]; then
        cp "$2" "$here/golden/$1"
    elif ! diff -u "$here/golden/$1" "$2" >&2; then
        bad "$1 differs; ACCORD_GOLDEN=write refreshes it"
    fi
}

finish() {
    if [ "$failed" -ne 0 ]; then
        echo "$failed of $checks checks failed" >&2
        exit 1
    fi
    echo "$checks checks passed"
    exit 0
}

# The data that tests share; a clone without it runs the rest.
need_data() {
    data=${ACCORD_SHARED_DATA:-$source_dir/../shared/data}
    if [ ! -d "$data" ]; then
        echo "not run: no ../shared/data"
        exit 77
    fi
}

# A project on the tiny base in the current folder: rows, 36 cases, one document; a training of 3 steps takes a second.
tiny_project() {
    mkdir -p data evals docs
    i=1
    while [ $i -le 24 ]; do printf '{"prompt":"Lily counts box a%s","completion":"The box has %s cats."}\n' $i $i; i=$((i + 1)); done >data/train.jsonl
    while [ $i -le 30 ]; do printf '{"prompt":"Lily counts box b%s","completion":"The box has %s cats."}\n' $i $i; i=$((i + 1)); done >data/valid.jsonl
    i=1
    while [ $i -le 36 ]; do
        class=$(echo success refusal edge | cut -d' ' -f$((i % 3 + 1)))
        printf '{"id":"c%s","class":"%s","input":"Xanthippe asks for toy %s","ideal":"The toy %s is red."}\n' $i $class $i $i
        i=$((i + 1))
    done >evals/cases.jsonl
    printf '# Toys\n\nEvery toy of Xanthippe is red.\n' >docs/toys.md
    cat >accord.yaml <<YAML
base:
  model: $source_dir/examples/tiny-base/model
data:
  train: data/train.jsonl
  valid: data/valid.jsonl
  max_len: 128
eval:
  cases: evals/cases.jsonl
  docs: docs
  max_tokens: 4
  rag_chunk_tokens: 64
  rag_overlap_tokens: 8
  rag_top: 1
method:
  rank: 4
  max_steps: 3
  batch_rows: 4
YAML
}
