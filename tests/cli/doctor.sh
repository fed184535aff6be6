# What doctor says, in both forms.
. "$(dirname "$0")/lib.sh"

run 0 doctor
for key in accord compiler system cpu tiers bits threads gpu memory cache; do
    grep -q "^$key " "$work/out" || bad "doctor lacks $key"
done
out_has "bits       the same as ref's in every self-test"
out_has '  ref      plain C'
out_has '  bf16     '
err_empty
# Each tier is either tested or told why not.
for tier in avx2 avx512 neon; do
    grep -q "^  $tier .*\(self-test passed\|not here: \)" "$work/out" || bad "doctor does not explain $tier"
done
run 0 doctor --json --cpu ref --threads 3
out_has '"name": "neon"'
out_has '"used": "ref"'
out_has '"threads": 3'
out_has '"same_bits_as_ref": true'
out_has "\"path\": \"$work/cache\""
mkdir "$work/cache"
run 0 -C "$work" doctor --json
out_has '"exists": true'

# --signals: every signal is there, with a value or a reason; a faked machine gives what its files say.
run 0 doctor --signals
err_empty
for signal in footprint available psi-some swap-rate thermal-level gpu-errors user-idle beside disk written; do
    grep -q "^$signal " "$work/out" || bad "doctor --signals lacks $signal"
done
grep -q "^footprint .*not measured .*no training process" "$work/out" || bad "no reason for the footprint"
grep -q "^wakes " "$work/out" || bad "doctor --signals does not tell of wakes"
root=$work/machine
mkdir -p "$root/proc/pressure" "$root/proc/90" "$root/sys/class/power_supply/AC" "$root/sys/class/power_supply/BAT0"
printf 'MemTotal: 1000 kB\nMemAvailable: 80 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n' >"$root/proc/meminfo"
printf 'some avg10=12.50 avg60=0 avg300=0 total=1\nfull avg10=nonsense\n' >"$root/proc/pressure/memory"
printf 'python3\0-m\0mlx_lm.server\0' >"$root/proc/90/cmdline"
printf 'python3\n' >"$root/proc/90/comm"
printf 'Mains\n' >"$root/sys/class/power_supply/AC/type"
printf '1\n' >"$root/sys/class/power_supply/AC/online"
printf 'Battery\n' >"$root/sys/class/power_supply/BAT0/type"
printf '12\n' >"$root/sys/class/power_supply/BAT0/capacity"
ACCORD_GUARD_ROOT=$root
export ACCORD_GUARD_ROOT
run 0 doctor --signals
out_has 'available      8 % of memory   red'
out_has 'psi-some       12.5 % of 10 s  yellow'
out_has '/proc/pressure/memory: not as expected'
out_has 'battery        12 %            green'
out_has 'beside         1 programs      yellow  mlx_lm.server'
run 0 doctor --signals --json
python3 - "$work/out" <<'PY' || bad "doctor --signals --json is not as expected"
import json, sys
d = json.load(open(sys.argv[1]))
by = {s["signal"]: s for s in d["signals"]}
assert len(by) >= 25 and d["beside"] == "mlx_lm.server"
assert by["available"]["value"] == 8 and by["available"]["level"] == "red" and by["available"]["why"] is None
assert by["psi-full"]["value"] is None and by["psi-full"]["level"] is None and "not as expected" in by["psi-full"]["why"]
assert all((s["value"] is None) == (s["why"] is not None) for s in d["signals"])
PY
unset ACCORD_GUARD_ROOT
finish
