# Real pressure: a control group whose limit is set once the run is on its way, and a neighbour in it that grows until what is
# left for the run is 70 % of what it takes. With the guard the run finishes smaller, or stops with 75 and is resumed; the
# bytes are those of a run without limit. Without the guard the kernel kills it.
#   sh tests/cli/guard_pressure.sh build/accord . 20        how many guarded runs; 1 without the number
. "$(dirname "$0")/lib.sh"
count=${3:-1}
limit_file=
mounted=/sys/fs/cgroup
if [ -w $mounted/memory/cgroup.procs ]; then
    group=$mounted/memory/accord-test-$$ limit_file=memory.limit_in_bytes usage_file=memory.usage_in_bytes swap_file=memory.memsw.limit_in_bytes
elif grep -qw memory $mounted/cgroup.subtree_control 2>/dev/null && [ -w $mounted/cgroup.procs ]; then
    group=$mounted/accord-test-$$ limit_file=memory.max usage_file=memory.current swap_file=memory.swap.max
fi
[ -n "$limit_file" ] || { echo "not run: no control group for memory that may be written"; exit 77; }
[ "$(df -k /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')" -gt 500000 ] 2>/dev/null || { echo "not run: less than 500 MB free in /dev/shm"; exit 77; }
mkdir "$group" 2>/dev/null || { echo "not run: $group cannot be made"; exit 77; }
hog=$(mktemp -d /dev/shm/accord_hog.XXXXXX 2>/dev/null) || { rmdir "$group"; echo "not run: no /dev/shm"; exit 77; }
clean() {
    rm -rf "$hog" "$work"
    tries=0
    while ! rmdir "$group" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
}
trap clean EXIT
trap 'exit 70' INT TERM

mkdir -p "$work/project" "$work/root"
cd "$work/project" || exit 70
tiny_project
i=1
: >data/train.jsonl
while [ $i -le 128 ]; do
    printf '{"prompt":"Lily counts box %s","completion":"The box has %s cats, and there are %s dogs in the garden behind the house of Tom, who has %s birds, and Ben sees %s fish."}\n' \
        $i $i $((i * 3)) $((i * 7)) $((i + 100)) >>data/train.jsonl
    i=$((i + 1))
done
# As many steps as take this machine ten seconds, and some more where it is busy now.
sed 's/max_steps: 3/max_steps: 4\n  save_every: 2\n  micro_batch: 64/; s/batch_rows: 4/batch_rows: 64/' accord.yaml >new && mv new accord.yaml
run 0 freeze
run 0 train --no-guard
steps=$(sed -n 's/.*"event":"step","step":4,.*"seconds":\([0-9.]*\),.*/\1/p' .accord/runs/*/metrics.jsonl | awk '{ n = int(10 / $1); print (n < 24 ? 24 : n > 80 ? 80 : n) }')
sed "s/max_steps: 4/max_steps: $steps/" accord.yaml >new && mv new accord.yaml
run 0 freeze
run 0 train --no-guard --json
quiet=$(sed -n 's/.*"adapter_sha256": "\([0-9a-f]*\)".*/\1/p' "$work/out")
takes=$(sed -n 's/.*"peak_rss_bytes": \([0-9]*\),*/\1/p' "$work/out" | head -1)
[ "${takes:-0}" -gt 100000000 ] || bad "the run takes only $takes bytes"
limit=$((takes * 135 / 100))
rest=$((takes * 70 / 100))
echo "a run of $steps steps takes $((takes >> 20)) MiB; limit $((limit >> 20)) MiB, of which the neighbour takes all but $((rest >> 20)) MiB"

# The machine as it is, and a clock that can be turned on.
ln -s /proc "$work/root/proc"
ln -s /sys "$work/root/sys"

unlimited() {
    rm -f "$hog"/*
    echo -1 >"$group/$swap_file" 2>/dev/null
    echo max >"$group/$swap_file" 2>/dev/null
    { echo -1 >"$group/$limit_file" || echo max >"$group/$limit_file"; } 2>/dev/null
}
limited() {
    echo $limit >"$group/$limit_file" || bad "the limit cannot be set"
    { echo $limit >"$group/$swap_file" || echo 0 >"$group/$swap_file"; } 2>/dev/null
}
used() { cat "$group/$usage_file"; }
# A neighbour in the group: memory that nobody can take back, a MiB at a time, until the group has used so much. Three hundredths
# of the limit a second are what half a GB a second are to a machine of 16 GB.
grow() { # <bytes that it has at most> <bytes that the group has used at most> <seconds between two>
    sh -c 'echo $$ >"$1/cgroup.procs"
        have=0
        while [ $have -lt "$3" ] && [ "$(cat "$1/$5")" -lt "$4" ]; do
            [ -e "$2/stop" ] && exit
            dd if=/dev/zero of="$2/$have.$$" bs=1M count=1 2>/dev/null || exit
            have=$((have + 1048576))
            sleep "$6"
        done' grow "$group" "$hog" "$1" "$2" "$usage_file" "$3" </dev/null >/dev/null 2>&1
}
begin() { # <arguments...>: a training in the group; its limit comes once it computes
    unlimited
    : >"$work/root/clock"
    ls .accord/runs >"$work/before"
    ACCORD_GUARD_ROOT=$work/root sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' begin "$group" "$accord" train --memory-limit 4G "$@" \
        >"$work/out" 2>"$work/err" </dev/null &
    main=$!
    tries=0
    while [ $tries -lt 3000 ]; do
        name=$(ls .accord/runs | comm -13 "$work/before" - | tail -1)
        [ -n "$name" ] && grep -q '"event":"step"' ".accord/runs/$name/metrics.jsonl" 2>/dev/null && break
        sleep 0.02
        tries=$((tries + 1))
    done
    limited
}
has() { du -sb "$hog" | cut -f1; }
log() { echo ".accord/runs/$name/telemetry.jsonl"; }
waits() { # <pattern>: in the record, ten seconds at most
    tries=0
    while [ $tries -lt 200 ] && kill -0 $main 2>/dev/null; do
        grep -q "$1" "$(log)" && return
        sleep 0.05
        tries=$((tries + 1))
    done
}

# Without the guard.
begin --no-guard
grow $((limit - rest)) $((limit * 2)) 0
wait $main
got=$?
checks=$((checks + 1))
[ $got -eq 137 ] || bad "without the guard: exit code $got, expected 137: the kernel does not kill it"
echo "without the guard: killed ($got)"

killed=0 finished=0 stopped=0 quick=0 n=1
while [ $n -le "$count" ]; do
    begin
    grow $((limit - rest)) $((limit * 80 / 100)) 0
    if [ $((n % 2)) -eq 0 ]; then                        # a neighbour that goes on growing without regard
        grow $((limit - rest - $(has))) $((limit * 2)) 0.12
    else                                                 # one that stops for a while when an eighth is left
        grow $((limit - rest - $(has))) $((limit * 88 / 100)) 0.12
        echo "6000 720" >"$work/root/clock"
        waits '"act":"micro-batch"'
        grow $((limit - rest - $(has))) $((limit * 2)) 0.05
    fi
    wait $main
    got=$?
    act=$(sed -n 's/.*"act":"\(drop-exit\|checkpoint-exit\|micro-batch\)".*/\1/p' "$(log)" | tr '\n' ' ')
    smallest=$(sed -n 's/.*"k":"sample".*"micro":\([0-9]*\),.*/\1/p' "$(log)" | sort -n | head -1)
    case $got in
    0) if [ -n "$act" ]; then finished=$((finished + 1)); else quick=$((quick + 1)); fi ;;
    75)
        stopped=$((stopped + 1))
        tries=0
        while [ $got -eq 75 ] && [ $tries -lt 5 ]; do    # the neighbour stays; the plan sees what is left
            ACCORD_GUARD_ROOT=$work/root sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' resume "$group" "$accord" train --resume "$name" \
                >"$work/out" 2>"$work/err" </dev/null
            got=$?
            tries=$((tries + 1))
        done
        ;;
    137) killed=$((killed + 1)) ;;
    esac
    checks=$((checks + 1))
    [ $got -eq 0 ] || bad "run $n: ends with $got: $(tail -2 "$work/err")"
    bits=$(sed -n 's/.*"adapter_sha256": "\([0-9a-f]*\)".*/\1/p' ".accord/runs/$name/run.json")
    [ "$bits" = "$quiet" ] || bad "run $n: other bytes than without a limit"
    echo "run $n: ${act:-no act }(smallest micro-batch $smallest), the bytes of the quiet run"
    n=$((n + 1))
done
unlimited
echo "$count guarded runs: $finished finished smaller, $quick before the memory was short, $stopped stopped with 75 and were resumed, $killed killed"
finish
