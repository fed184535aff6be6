# The audit log with a key: what is found that the chain alone does not show, and what stays as it was without one.
. "$(dirname "$0")/lib.sh"
mkdir "$work/p" && cd "$work/p" || exit 70
tiny_project
log=.accord/audit.jsonl
run 0 key audit "$work/audit.key"
out_has "export ACCORD_AUDIT_KEY=$work/audit.key"
[ "$(ls -l "$work/audit.key" | cut -c1-10)" = -rw------- ] || bad "others may read the key"
grep -q '^[0-9a-f]\{64\}$' "$work/audit.key" || bad "the key is no 64 digits"
if grep -qF "$(cat "$work/audit.key")" "$work/out"; then bad "the key is shown"; fi
run 73 key audit "$work/audit.key"
run 0 key audit "$work/other.key" --json
out_has "\"file\":\"$work/other.key\""
cmp -s "$work/audit.key" "$work/other.key" && bad "two keys are the same"

# ---- records before the key, with it, and read by somebody without it
run 0 freeze -q
if grep -q '"mac"' $log; then bad "a MAC without a key"; fi
export ACCORD_AUDIT_KEY="$work/audit.key"
run 0 audit verify
out_has 'none of them carries a MAC'
run 1 audit verify --keyed-from 1
err_has 'record 1 carries no MAC'
sed -i.bak 's/rank: 4/rank: 8/' accord.yaml
run 0 freeze -q
sed -i.bak 's/rank: 8/rank: 6/' accord.yaml
run 0 freeze -q
run 0 audit verify
out_has '3 records, the chain is intact'
out_has '2 of them carry a MAC of this key, from record 2 to the last'
run 0 audit verify --keyed-from 2 --json
out_has '"keyed":2,"keyed_from":2'
run 1 audit verify --keyed-from 4
err_has 'its end was cut off'
run 0 audit list
if grep -q mac "$work/out"; then bad "audit list shows MACs"; fi
cp $log good
(unset ACCORD_AUDIT_KEY; "$accord" audit verify >"$work/out" 2>&1) || bad "a chain with MACs does not hold without the key"
if grep -q MAC "$work/out"; then bad "something is said of MACs without a key"; fi

# ---- another key, no key, a key that others may read, no key file
ACCORD_AUDIT_KEY=$work/other.key run 1 audit verify
err_has 'record 2: its MAC is not one of this key'
(unset ACCORD_AUDIT_KEY; "$accord" audit verify --keyed-from 1 >"$work/out" 2>"$work/err"); [ $? -eq 64 ] || bad "--keyed-from without a key"
ACCORD_AUDIT_KEY=$work/absent run 66 audit verify
chmod 644 "$work/other.key"
ACCORD_AUDIT_KEY=$work/other.key run 77 audit verify
chmod 600 "$work/other.key"
echo 'short' >"$work/other.key"
ACCORD_AUDIT_KEY=$work/other.key run 65 audit verify
cp accord.lock lock
sed -i.bak 's/rank: 6/rank: 7/' accord.yaml
ACCORD_AUDIT_KEY=$work/absent run 66 freeze -q
mv accord.yaml.bak accord.yaml
cmp -s accord.lock lock || bad "a freeze that could not be recorded left its lock"
cmp -s $log good || bad "a freeze without its key was recorded"

# ---- the chain written anew by somebody without the key: it holds, and the key tells
anew() { # the records of `good`, edited, hashed again from the first one on
    prev=$(printf %064d 0)
    while IFS= read -r line; do
        line=$(printf %s "$line" | sed -e 's/"hash":"[0-9a-f]*",//' -e "s/\"prev\":\"[0-9a-f]*\"/\"prev\":\"$prev\"/" "$@")
        prev=$(printf %s "$line" | sha256sum | cut -d' ' -f1)
        # Canonical order: hash stands between edge and lock, and before mac.
        printf '%s\n' "$line" | sed "s/,\"lock\":/,\"hash\":\"$prev\",\"lock\":/"
    done <good >$log
}
anew -e 's/"cases":36/"cases":35/'
(unset ACCORD_AUDIT_KEY; "$accord" audit verify >"$work/out" 2>&1) || bad "the forged chain does not hold by itself: $(cat "$work/out")"
run 1 audit verify
err_has 'record 2: its MAC is not one of this key'
anew -e 's/,"mac":"[0-9a-f]*"//'
run 0 audit verify
out_has 'none of them carries a MAC: all were written without the key, or the log was written anew'
run 1 audit verify --keyed-from 2
err_has 'record 2 carries no MAC'

# ---- a record appended without the key
cp good $log
sed -i.bak 's/rank: 6/rank: 5/' accord.yaml
(unset ACCORD_AUDIT_KEY; "$accord" freeze -q >"$work/out" 2>&1) || bad "freeze without the key: $(cat "$work/out")"
run 1 audit verify
err_has 'record 4 carries no MAC, and record 2 does'
finish
