# cost: every part of the work is booked: stopped, resumed, failed, killed, scored with and without a run, verified; sums agree to
# the last digit, what is not known is said, and a method has a name.
. "$(dirname "$0")/lib.sh"
export GIT_CONFIG_GLOBAL="$work/gitconfig" GIT_CONFIG_SYSTEM=/dev/null
printf '[user]\n\tname = Ada Example\n\temail = ada@example.org\n' >"$GIT_CONFIG_GLOBAL"
unset SLURM_JOB_ID
mkdir -p "$work/app" "$work/root/sys/class/powercap/intel-rapl:0"
cd "$work/app" || exit 70
tiny_project
cat >>accord.yaml <<'YAML'
  save_every: 2
cost:
  currency: EUR
  machine_price: 1800
  kwh: 0.30
  watts: 60
  node_hour: 2.5
  node_speed: 20
  project: shop
  tags: nightly, demo
YAML
sed -i.bak 's/max_steps: 3/max_steps: 6/' accord.yaml
book() { cat ".accord/runs/$1/cost.json"; }
latest() { ls .accord/runs | tail -1; }
# The digits of a CSV column, summed up as whole numbers.
sum_of() { awk -F, -v c="$1" 'NR > 1 { v = $c; sub(/\./, "", v); s += v } END { printf "%d", s }'; }

run 0 cost
out_has 'nothing is booked here'
run 66 cost latest
run 0 freeze

# ---- a training in two parts, a scoring, a verification
run 75 train --stop-after-step 3
run 0 --json runs
out_has '"steps": null'                # not 0: nobody counted them
run 0 train --resume latest
first=$(latest)
run 1 ab --arms base,tuned
run 0 verify latest
run 0 cost latest
out_has 'stopped'
out_has 'trained'
out_has 'verify'
out_has 'Ada Example'
out_has 'watts x load, estimated: 60 W at full load'
out_has 'RAPL: '
out_has 'machine '
out_has '1800 EUR over 3 years of 2000 hours'
out_has '0.3 EUR a kWh'
out_has 'On a node (2.5 EUR an hour, 20 times as fast)'
out_has 'beats renting from'
[ "$(book "$first" | grep -c '"what": "train"')" = 2 ] || bad "a resume adds a part: $(book "$first")"
book "$first" | grep -q '"from_step": 3' || bad "the second part does not know where it began"
book "$first" | grep -q '"person": "Ada Example <ada@example.org>"' || bad "no engineer"
grep -q 'What it cost' ".accord/runs/$first/README.md" || bad "the README has no cost"
[ "$(grep -c 'What it cost' ".accord/runs/$first/README.md")" = 1 ] || bad "the README tells the cost twice"
run 0 show latest
out_has 'cost       '
out_has 'Wh by watts x load'
run 0 report latest
grep -q '<p>Cost: ' ".accord/runs/$first/report.html" || bad "the report has no cost"

# ---- without a run, failed, killed
run 0 ab --untuned
cp accord.yaml kept.yaml
(
    trap '' XFSZ                             # no file over 64 KiB: the first checkpoint cannot be written
    ulimit -f 128
    "$accord" train -q --no-guard >"$work/out" 2>"$work/err"
)
[ $? = 74 ] || bad "a training that cannot write ends otherwise: $(cat "$work/err")"
failed_run=$(latest)
run 0 cost latest
out_has 'failed'
book "$failed_run" | grep -q '"outcome": "failed"' || bad "a failed run is not booked: $(book "$failed_run")"
sed -e 's/max_steps: 6/max_steps: 100000/' kept.yaml >accord.yaml
run 0 freeze
"$accord" train -q --no-guard >/dev/null 2>&1 &
pid=$!
tries=0
while [ $tries -lt 300 ]; do
    killed=$(latest)
    [ "$killed" != "$failed_run" ] && [ "$(cat ".accord/runs/$killed/metrics.jsonl" 2>/dev/null | wc -l)" -gt 8 ] && break
    sleep 0.05
    tries=$((tries + 1))
done
kill -9 $pid
wait $pid 2>/dev/null
run 0 cost latest
out_has 'none written'
out_has 'counted up to the last '
out_has 'its end was not written'
out_has 'total      at least '
run 64 cost --note latest --kwh 1 --reason x
err_has 'has not ended'
run 75 train --resume latest --no-guard --stop-after-step 60
book "$killed" | grep -q '"outcome": "killed"' || bad "the killed part was not closed: $(book "$killed")"
book "$killed" | grep -q '"outcome": "stopped"' || bad "the resume is not booked"
cp kept.yaml accord.yaml
run 0 freeze

# ---- sums agree
git config --file "$GIT_CONFIG_GLOBAL" user.name 'Bo, "the other"'
run 0 train -q
run 0 cost --json
total=$(sed -n 's/.*"EUR": \([0-9.]*\).*/\1/p' "$work/out" | tail -1)
"$accord" cost --csv >"$work/parts.csv"
parts=$(sed 's/"[^"]*"/x/g' "$work/parts.csv" | sum_of 25)
[ "$parts" -gt 0 ] || bad "no money: $(cat "$work/parts.csv")"
for by in person project week verdict tag; do
    "$accord" cost --by $by --csv >"$work/by.csv"
    got=$(sed -e 's/""//g' -e 's/"[^"]*"/x/g' "$work/by.csv" | sum_of 9)
    checks=$((checks + 1))
    [ "$got" = "$parts" ] || bad "by $by the money is $got, by parts $parts: $(cat "$work/by.csv")"
done
printf '%s' "$total" | awk -v p="$parts" '{ if (sprintf("%.0f", $1 * 1000000) != p) exit 1 }' || bad "the total is $total, its parts $parts"
week=$(date -u +%G-W%V)
"$accord" cost --csv --person 'Ada Example' --since "$week" --until "$week" >"$work/ada.csv"
mine=$(sed 's/"[^"]*"/x/g' "$work/ada.csv" | sum_of 25)
"$accord" cost --by person --csv --since "$week" --until "$week" >"$work/by.csv"
of_week=$(grep '^"Ada' "$work/by.csv" | cut -d, -f9 | tr -d .)
[ "$mine" -eq "$of_week" ] || bad "a person's week is $of_week, its runs $mine"
run 0 cost --by person
out_has 'Bo, "the other" <ada@example.org>'
out_has 'total'
out_has 'not counted: '
run 0 cost --since 2001-01-01 --until 2001-W52
out_has 'nothing is booked here'
run 0 cost --tag demo
out_has "$first"
run 0 cost --tag weekly
out_has 'nothing is booked here'
run 0 cost --by verdict
out_has 'NO CLEAR LIFT'
out_has 'none, failed'
run 64 cost --since yesterday
err_has 'neither a day like'
run 64 cost latest --by week
run 64 cost --csv --focus

# ---- FOCUS 1.2: the header's names, and the same money
run 0 cost --focus
head -1 "$work/out" | grep -q '^BilledCost,BillingAccountId,.*,EffectiveCost,InvoiceIssuerName,.*,ServiceCategory,ServiceName,' || bad "FOCUS header: $(head -1 "$work/out")"
err_has 'at least: '
focus=$(sed -e 's/""[^,"]*""//g' -e 's/"[^"]*"/x/g' "$work/out" | sum_of 17)
[ "$focus" = "$parts" ] || bad "EffectiveCost sums up to $focus, not $parts"
awk -F, 'NR > 1 && $0 !~ /^[0-9.]*,shop,shop,EUR,20/ { exit 1 }' "$work/out" || bad "a FOCUS row is not the shop's: $(cat "$work/out")"

# ---- a person's figure
run 64 cost --note "$first" --kwh 0.5
err_has '--reason'
run 64 cost --note "$first" --reason why
run 64 cost --kwh 0.5
run 0 cost --note "$first" --kwh 0.5 --reason 'meter at the wall'
out_has 'manual, meter at the wall'
out_has '500.'
run 0 audit --list
out_has '"act":"cost-note"'
out_has '"kwh":0.5,'
run 0 audit

# ---- RAPL below a faked root, counting while the work goes on and turning over
rapl=$work/root/sys/class/powercap/intel-rapl:0
echo package-0 >"$rapl/name"
echo 1000000000 >"$rapl/max_energy_range_uj"
echo 999000000 >"$rapl/energy_uj"
(
    uj=999000000
    while [ -e "$rapl/name" ]; do
        uj=$(((uj + 3000000) % 1000000000))        # a step is nearly a mWh: the shortest run has some
        echo $uj >"$rapl/next" && mv "$rapl/next" "$rapl/energy_uj"
        sleep 0.02
    done
) &
counter=$!
ACCORD_GUARD_ROOT="$work/root" "$accord" train -q --no-guard >"$work/out" 2>"$work/err" || bad "with RAPL: $(cat "$work/err")"
rm "$rapl/name"
wait $counter
run 0 cost latest
out_has 'train: RAPL, package-0'
book "$(latest)" | grep -q '"kwh": 0,' && bad "RAPL counted nothing: $(book "$(latest)")"

# ---- with every few allocations and reads failing from then on: an answer or a message, never a crash
for kind in alloc io; do
    for nth in 1 2 4 8 16 32 64 128 256 512 1024 2048; do
        for view in '--by week' "$first" '--focus'; do
            ACCORD_FAULT=$kind:$nth "$accord" cost $view >"$work/out" 2>"$work/err"
            got=$?
            checks=$((checks + 1))
            case $got in
            0) ;;
            70 | 73 | 74) [ -s "$work/err" ] || bad "$kind:$nth cost $view: $got without a message" ;;
            *) bad "$kind:$nth cost $view ends with $got: $(cat "$work/err")" ;;
            esac
        done
    done
done

# ---- a book that was damaged: the others still count
echo '{"parts":7}' >".accord/runs/$first/cost.json"
run 0 cost
out_has 'cannot be read'
out_has "$first"
run 65 cost "$first"
finish
