# Memory and files that fail, at points that lie further and further apart: never a crash, always a reason, and
# what is printed on success is whole.
. "$(dirname "$0")/lib.sh"
need_data
model=$data/weights-stories260k/hf
printf '{"text":"Once upon a time"}\n' >"$work/rows.jsonl"

sweep() { # <kind> <what a success prints> <arguments...>
    kind=$1
    mark=$2
    shift 2
    a=1
    b=2
    while :; do
        ACCORD_FAULT=$kind:$a "$accord" "$@" >"$work/out" 2>"$work/err" </dev/null
        got=$?
        checks=$((checks + 1))
        if [ $got -eq 0 ]; then
            grep -q -- "$mark" "$work/out" || bad "$kind:$a $*: exit code 0 without a result"
            break
        fi
        case $kind:$got in
        alloc:70 | io:74 | io:73) ;;
        *) bad "$kind:$a $*: exit code $got: $(cat "$work/err")" ;;
        esac
        [ "$(wc -l <"$work/err")" -ge 1 ] || bad "$kind:$a $*: no reason given"
        grep -q -- "$mark" "$work/out" && bad "$kind:$a $*: exit code $got with a result"
        next=$((a + b))
        a=$b
        b=$next
        [ "$a" -le 2000000 ] || { bad "$kind $*: no success after $a"; break; }
    done
}
for kind in alloc io; do
    sweep $kind '"ids"' generate -q -m "$model" --raw -p 'Once' -n 8 --json
    sweep $kind '"total"' score -q -m "$model" -d "$work/rows.jsonl" --json
    sweep $kind '"tensor_count"' model inspect "$model" --json
    sweep $kind 'stories260K' model inspect "$data/weights-stories260k/stories260K.gguf"
    sweep $kind 'COMMANDS' help --man
done
finish
