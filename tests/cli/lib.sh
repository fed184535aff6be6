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
