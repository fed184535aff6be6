# What doctor says, in both forms.
. "$(dirname "$0")/lib.sh"

run 0 doctor
for key in accord compiler system cpu tiers bits threads memory cache; do
    grep -q "^$key " "$work/out" || bad "doctor lacks $key"
done
out_has "bits       the same as ref's on a test product"
err_empty
run 0 doctor --json --cpu ref --threads 3
out_has '"used": "ref"'
out_has '"threads": 3'
out_has '"same_bits_as_ref": true'
out_has "\"path\": \"$work/cache\""
mkdir "$work/cache"
run 0 -C "$work" doctor --json
out_has '"exists": true'
finish
