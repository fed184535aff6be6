# Output that cannot be written, readers that leave, descriptors that are closed, faults.
. "$(dirname "$0")/lib.sh"

code() { # <expected> <shell command using $accord>
    sh -c "$2" >"$work/out" 2>"$work/err"
    got=$?
    checks=$((checks + 1))
    [ "$got" = "$1" ] || bad "$2: exit code $got, expected $1"
}
export accord
if [ -c /dev/full ]; then
    code 74 '"$accord" --help >/dev/full'
    err_has 'standard output: cannot write'
    code 74 '"$accord" doctor --json >/dev/full'
    code 64 '"$accord" doctor --bad --json >/dev/full'
fi
# The reader is gone before anything is written.
code 74 '{ sleep 0.2; "$accord" help --man; echo $? >&3; } 3>"'"$work"'/rc" | true; exit "$(cat "'"$work"'/rc")"'
code 0 '"$accord" doctor <&-'

# A result that nobody gets: every way of printing one.
mkdir "$work/project" && cd "$work/project" || exit 70
tiny_project
for command in 'runs' 'runs --json' 'help' 'help freeze' '--version' '--help' 'audit' 'audit --json' 'doctor' 'data check' \
    'data check --json' 'freeze' 'freeze --json' 'plan' 'triage --json' 'generate --help' 'cost --json'; do
    code 74 "\"\$accord\" $command >&-"
    err_has 'standard output: cannot write'
    [ -c /dev/full ] || continue
    code 74 "\"\$accord\" $command >/dev/full"
    err_has 'standard output: cannot write'
done
code 74 '"$accord" doctor <&- >&- 2>&-'
code 64 '"$accord" runs --bad >&-'
# What failed for another reason keeps its code.
code 66 '"$accord" data check absent.jsonl --json >&-'
cd "$work" || exit 70

# Nothing leaks a crash when memory or files fail, wherever that happens.
nth=1
while [ $nth -le 60 ]; do
    ACCORD_FAULT=alloc:$nth "$accord" doctor --json >"$work/out" 2>"$work/err"
    got=$?
    case $got in
    0) grep -q '"version"' "$work/out" || bad "alloc:$nth: exit code 0 without a result" ;;
    70) grep -q 'out of memory' "$work/err" || bad "alloc:$nth: exit code 70 without a reason" ;;
    *) bad "alloc:$nth: exit code $got" ;;
    esac
    nth=$((nth + 1))
done
checks=$((checks + 60))
[ "$got" = 0 ] || bad "60 allocations are not enough for doctor"
ACCORD_FAULT=nonsense run 64 doctor
err_has 'ACCORD_FAULT: expected alloc:N or io:N'
finish
