# verify with memory and files failing at points that lie further and further apart, in verify itself and in the trainer
# that it starts. Whatever fails: a reason and no verdict, the run untouched, no half report, nothing left behind, and an
# audit chain that is intact.
. "$(dirname "$0")/lib.sh"
mkdir "$work/p" "$work/tmp" && cd "$work/p" || exit 70
export TMPDIR="$work/tmp"
tiny_project
run 0 freeze -q
run 0 train -q
run 1 ab -q --arms base,tuned
id=$(ls .accord/runs)
state() { find .accord/runs accord.lock -type f -exec cksum {} + | sort; }
state >"$work/before"

after() {
    state | cmp -s - "$work/before" || bad "$*: the run changed"
    "$accord" audit >"$work/audit" 2>&1 || bad "$*: $(cat "$work/audit")"
    [ -z "$(find "$work" -name '*.tmp-*')" ] || bad "$*: temporary files stay: $(find "$work" -name '*.tmp-*')"
    for left in "$work"/tmp/*; do                # a folder that cannot be read cannot be emptied; then it is named
        [ ! -e "$left" ] || grep -qF "left behind: $left" "$work/err" || bad "$*: left behind: $left"
    done
    rm -rf "$work/tmp"/*
}
sweep() { # <what fails> <kind> <program that trains> <how accord is started...>
    name=$1 kind=$2 program=$3
    shift 3
    a=1 b=2
    while :; do
        rm -rf "$work/reports"
        if [ -n "$program" ]; then
            ACCORD_FAULT=$kind:$a "$accord" verify "$id" --threads 1 --report "$work/reports" --program "$program" "$@" \
                >"$work/out" 2>"$work/err" </dev/null
        else
            "$accord" verify "$id" --threads 1 --report "$work/reports" --program "env ACCORD_FAULT=$kind:$a $accord" "$@" \
                >"$work/out" 2>"$work/err" </dev/null
        fi
        got=$?
        checks=$((checks + 1))
        after "$name $kind:$a"
        if [ $got -eq 0 ]; then
            out_has 'IDENTICAL'
            [ "$(ls "$work/reports" | wc -l)" -eq 2 ] || bad "$name $kind:$a: no report"
            return
        fi
        # A child that runs out of memory is a fault of ours in its parent's eyes, too.
        case $kind:$got in
        alloc:70 | io:74 | io:73 | io:70) ;;
        *) bad "$name $kind:$a: exit code $got: $(cat "$work/err")" ;;
        esac
        [ -s "$work/err" ] || bad "$name $kind:$a: no reason given"
        if grep -q 'IDENTICAL\|DIVERGED' "$work/out"; then bad "$name $kind:$a: a result with exit code $got"; fi
        next=$((a + b))
        a=$b
        b=$next
        [ "$a" -le 1000000 ] || { bad "$name $kind: no success after $a"; return; }
    done
}
for kind in alloc io; do
    sweep verify $kind "env -u ACCORD_FAULT $accord"
    sweep trainer $kind '' --no-ab --steps 2
done
finish
