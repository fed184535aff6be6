#!/bin/sh
# The whole way on a real model, in examples/shop-sql: pull the base model, freeze the contract, train, score the
# four arms, write the report. Prints what each stage took. Can be run again: the sealed cases are then opened
# once more, and the verdict says so.
set -eu
cd "$(dirname "$0")/.."
accord=$PWD/build/accord
project=examples/shop-sql
total=$(date +%s)
times=

stage() {
    name=$1
    shift
    printf '\n== %s\n$ accord' "$name"
    for word in "$@"; do printf ' %s' "$word"; done
    printf '\n'
    begin=$(date +%s)
    code=0
    "$accord" "$@" || code=$?
    times="$times$(printf '  %-8s %5d s' "$name" $(($(date +%s) - begin)))
"
    return "$code"
}

stage pull model pull smollm2-135m-instruct
stage freeze -C "$project" freeze
stage train -C "$project" train
verdict=0
stage ab -C "$project" ab || verdict=$?
[ "$verdict" -le 1 ] || exit "$verdict"
stage report -C "$project" report
printf '\n== Time by stage\n%s  total    %5d s\n' "$times" $(($(date +%s) - total))
exit "$verdict"
