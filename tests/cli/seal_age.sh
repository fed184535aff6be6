# seal-data and the age tool open each other's files.
. "$(dirname "$0")/lib.sh"
if ! command -v age >/dev/null 2>&1 || ! command -v age-keygen >/dev/null 2>&1; then
    echo "not run: no age (apt-get install age)"
    exit 77
fi
cd "$work" || exit 70
export ACCORD_KEY="$work/key"
unset ACCORD_IDENTITY ACCORD_PASSPHRASE_FILE ACCORD_PASSPHRASE_FD
run 0 key new
age-keygen -o other.txt 2>/dev/null
other=$(age-keygen -y other.txt)
me=$(sed -n 's/^# public key: //p' key/identity.txt)
[ "$(age-keygen -y key/identity.txt)" = "$me" ] || bad "age-keygen finds another public key than accord"

for n in 0 1 65535 65536 65537 131072 1000003; do
    head -c $n /dev/urandom >f
    rm -f f.age
    run 0 seal-data f --self --recipient "$other"
    checks=$((checks + 2))
    age -d -i key/identity.txt f.age | cmp -s - f || bad "age does not open our file of $n bytes"
    age -d -i other.txt f.age | cmp -s - f || bad "the second recipient does not open our file of $n bytes"
    for how in "" -a; do
        mv f kept
        age -e $how -r "$other" -r "$me" -o f.age kept 2>/dev/null
        run 0 unseal-data f.age
        cmp -s f kept || bad "we do not open what age $how wrote of $n bytes"
    done
done

# age asks for passphrases on a terminal only; script(1) gives it one where it is there.
if command -v script >/dev/null 2>&1; then
    echo 'correct horse' >pass && chmod 600 pass
    rm -f f.age
    ACCORD_PASSPHRASE_FILE=pass run 0 seal-data f --passphrase --work-factor 12
    checks=$((checks + 1))
    for wait in 1 3 6; do
        rm -f opened
        (sleep $wait; echo 'correct horse'; sleep 2) | timeout 30 script -qec "age -d -o opened f.age" /dev/null >/dev/null 2>&1
        cmp -s opened f && break
    done
    cmp -s opened f || bad "age does not open our file with its passphrase"
    rm -f f.age
    for wait in 1 3 6; do
        (sleep $wait; echo 'correct horse'; sleep $wait; echo 'correct horse'; sleep 3) |
            timeout 40 script -qec "age -p -o f.age f" /dev/null >/dev/null 2>&1
        [ -s f.age ] && break
    done
    mv f kept
    ACCORD_PASSPHRASE_FILE=pass run 0 unseal-data f.age
    cmp -s f kept || bad "we do not open what age sealed with a passphrase"
fi
finish
