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
finish
