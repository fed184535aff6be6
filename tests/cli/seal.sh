# key, seal-data, unseal-data: what they write, and what they refuse.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 70
export ACCORD_KEY="$work/key"
unset ACCORD_IDENTITY ACCORD_PASSPHRASE_FILE ACCORD_PASSPHRASE_FD
mode() { ls -ld "$1" | cut -c1-10; }

# ---- keys
run 66 key show
err_has 'accord key new'
run 0 key new
out_has 'age1'
[ "$(mode key)" = drwx------ ] || bad "the key folder is $(mode key)"
[ "$(mode key/identity.txt)" = -rw------- ] || bad "the identity is $(mode key/identity.txt)"
[ "$(mode key/signing.pem)" = -rw------- ] || bad "the signing key is $(mode key/signing.pem)"
cp -r key before
run 73 key new
err_has 'is there already'
diff -r key before || bad "a refused key new changed the keys"
rm key/signing.pem
run 73 key new
[ ! -e key/signing.pem ] || bad "a refused key new wrote a key"
cp before/signing.pem key/
run 0 key show --json
out_has '"recipient":"age1'
grep -q "$(sed -n 3p key/identity.txt)" "$work/out" && bad "key show shows the secret"
chmod 644 key/identity.txt
run 77 key show
err_has 'chmod 600'
chmod 600 key/identity.txt

# ---- sealing
printf 'row one\nrow two\n' >rows
run 64 seal-data rows
err_has 'for whom?'
run 64 seal-data rows --self --passphrase
err_has 'stands alone'
run 64 seal-data rows --recipient "$(sed -n 3p key/identity.txt)"
err_has 'is a secret key'
grep -q 'AGE-SECRET' "$work/err" && bad "the message shows the secret key"
run 64 seal-data rows --recipient age1zzz
[ ! -e rows.age ] || bad "a refused sealing left a file"
run 66 seal-data absent --self
run 0 seal-data rows --self --json
out_has '"sealed":"rows.age"'
[ -f rows ] || bad "the original went without --remove"
grep -q 'row one' rows.age && bad "the sealed file shows the rows"
run 73 seal-data rows --self
err_has 'is there already'
run 64 seal-data rows.age --self
err_has 'sealed already'
run 73 unseal-data rows.age
mv rows kept
run 0 unseal-data rows.age
cmp -s rows kept || bad "opening gives other bytes"
[ "$(mode rows)" = -rw------- ] || bad "opened data is $(mode rows)"

# ---- --remove only after it was opened again
rm rows.age
recipient=$(sed -n 's/^# public key: //p' key/identity.txt)
mkdir two && ACCORD_KEY=two/key run 0 key new
export ACCORD_KEY="$work/two/key"
run 65 seal-data rows --recipient "$recipient" --remove
err_has 'the original stays'
[ -f rows ] || bad "an unchecked original was removed"
rm rows.age
export ACCORD_KEY="$work/key"
run 0 seal-data rows --recipient "$recipient" --remove
[ ! -f rows ] || bad "--remove left the original"
run 0 unseal-data rows.age
cmp -s rows kept || bad "opening gives other bytes after --remove"

# ---- the wrong key, and none
rm rows
ACCORD_IDENTITY=two/key/identity.txt run 65 unseal-data rows.age
err_has 'sealed for others'
ACCORD_KEY=nowhere run 66 unseal-data rows.age
err_has 'ACCORD_IDENTITY'
[ ! -e rows ] || bad "a failed opening left a file"

# ---- passphrases
printf 'correct horse\n' >pass
chmod 644 pass
rm rows.age && cp kept rows
ACCORD_PASSPHRASE_FILE=pass run 77 seal-data rows --passphrase --work-factor 10
err_has 'chmod 600'
chmod 600 pass
ACCORD_PASSPHRASE_FILE=pass run 0 seal-data rows --passphrase --work-factor 10 --remove
"$accord" unseal-data rows.age >"$work/out" 2>"$work/err" </dev/null 3<pass && bad "opened without a passphrase"
checks=$((checks + 1))
ACCORD_PASSPHRASE_FD=3 "$accord" unseal-data rows.age >"$work/out" 2>"$work/err" 3<pass || bad "descriptor: $(cat "$work/err")"
cmp -s rows kept || bad "the passphrase opens other bytes"
rm rows
printf 'wrong horse\n' >pass
ACCORD_PASSPHRASE_FILE=pass run 65 unseal-data rows.age
err_has 'the passphrase does not open it'
# On a terminal, which script(1) gives. What is typed before the question is thrown away, so a busy machine is given more
# time until it works.
if command -v script >/dev/null 2>&1; then
    checks=$((checks + 2))
    for wait in 0.3 1 3 6; do
        (sleep $wait; echo 'correct horse'; sleep 1) | timeout 15 script -qec "$accord unseal-data rows.age" log >/dev/null 2>&1
        cmp -s rows kept && break
    done
    cmp -s rows kept || bad "the passphrase from a terminal does not open it: $(cat log)"
    tail -n +2 log | grep -v '^Script' | grep -q 'horse' && bad "the terminal shows the passphrase"
    rm -f rows
    # Ctrl-C at the question ends it, and the terminal shows again what is typed.
    for wait in 0.5 1 3 6; do
        (sleep $wait; printf '\003'; sleep $wait; echo 'stty -a'; sleep $wait; echo exit; sleep 1) |
            timeout 30 script -qec "trap : INT; $accord unseal-data rows.age; sh" log2 >/dev/null 2>&1
        grep -q ' echo ' log2 && break
    done
    grep -q ' echo ' log2 || bad "the terminal stays mute after Ctrl-C: $(cat log2)"
    [ ! -e rows ] || bad "Ctrl-C opened it"
fi

# ---- damage: each of these is refused, and no file is left
size=$(wc -c <rows.age)
for at in 0 30 80 $((size / 2)) $((size - 1)); do
    cp rows.age broken.age
    printf '\377' | dd of=broken.age bs=1 seek="$at" conv=notrunc 2>/dev/null
    printf 'correct horse\n' >pass
    ACCORD_PASSPHRASE_FILE=pass run 65 unseal-data broken.age
    [ ! -e broken ] || bad "a damaged file was opened"
done
finish
