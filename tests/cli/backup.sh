# backup, its verify and restore; forget.
. "$(dirname "$0")/lib.sh"
export ACCORD_KEY="$work/key"
unset ACCORD_IDENTITY ACCORD_PASSPHRASE_FILE ACCORD_PASSPHRASE_FD
mkdir "$work/project" && cd "$work/project" || exit 70
run 0 key new
run 66 backup --out ../b.age --self
err_has 'accord.yaml'
tiny_project
run 0 freeze
run 0 train
run 1 ab
run 0 train
two=$(ls .accord/runs | tail -n 1)
one=$(ls .accord/runs | head -n 1)
run 1 ab

# ---- write
run 64 backup --out ../b.age
err_has 'for whom?'
run 64 backup --self
run 66 backup --run 2020 --out ../b.age --self
run 0 backup --out ../b.age --self
out_has 'of 2 runs'
run 73 backup --out ../b.age --self
[ ! -e ../b.age.part ] || bad "a part was left"
grep -qa 'Lily' ../b.age && bad "the backup shows rows"
run 0 backup --run "$one" --data --out ../one.age --self --json
out_has '"runs":1'

# ---- verify and restore
run 0 backup verify ../b.age
out_has 'audit head'
run 0 backup verify ../b.age --json
out_has '"intact":true'
run 73 backup restore ../b.age --into .
err_has 'is not empty'
run 0 backup restore ../b.age --into ../back
diff -r .accord/runs ../back/.accord/runs || bad "the runs differ"
cmp .accord/audit.jsonl ../back/.accord/audit.jsonl || bad "the chain differs"
cmp accord.lock ../back/accord.lock && cmp accord.yaml ../back/accord.yaml || bad "contract or lock differ"
[ ! -e ../back/data ] || bad "data came without --data"
run 0 -C ../back audit
mkdir ../empty
run 0 backup restore ../one.age --into ../empty
diff -r data ../empty/data && diff -r evals ../empty/evals && diff -r docs ../empty/docs || bad "data differ"
[ ! -e "../empty/.accord/runs/$two" ] || bad "--run took another run, too"
run 1 -C ../empty ab --run "$one"

# ---- under a passphrase
echo 'correct horse' >../pass && chmod 600 ../pass
ACCORD_PASSPHRASE_FILE=../pass run 0 backup --run "$one" --out ../p.age --passphrase --work-factor 10
ACCORD_KEY=../nowhere ACCORD_PASSPHRASE_FILE=../pass run 0 backup verify ../p.age
echo 'wrong horse' >../pass
ACCORD_PASSPHRASE_FILE=../pass run 65 backup verify ../p.age
err_has 'does not open it'

# ---- without us: age and tar
if command -v age >/dev/null 2>&1; then
    mkdir ../plain
    checks=$((checks + 1))
    age -d -i ../key/identity.txt ../b.age | (cd ../plain && tar xf -) || bad "age and tar do not open it"
    rm ../plain/accord-backup.json
    diff -r ../back ../plain || bad "tar gives other files"
fi

# ---- damage, the wrong key, a file that is no backup
size=$(wc -c <../b.age)
for at in 60 200 $((size / 3)) $((size - 3)); do
    cp ../b.age ../bad.age
    printf '\377\000' | dd of=../bad.age bs=1 seek="$at" conv=notrunc 2>/dev/null
    run 65 backup verify ../bad.age
    run 65 backup restore ../bad.age --into ../never
    [ ! -e ../never ] || bad "a damaged backup was restored"
done
head -c $((65552 * 2 + 216)) ../b.age >../bad.age
run 65 backup verify ../bad.age
ls .. | grep -q restoring && bad "half a restore was left"
ACCORD_KEY="$work/other" run 0 key new
ACCORD_KEY="$work/other" run 65 backup verify ../b.age
run 0 seal-data data/train.jsonl --self
run 65 backup verify data/train.jsonl.age
err_has 'bundle'
run 65 backup verify accord.yaml

# ---- traversal: an archive made by hand, sealed for us
if command -v python3 >/dev/null 2>&1; then
    for name in ../evil /evil a/../../evil a//b ./a; do
        python3 - "$name" >../evil <<'PY'
import sys, tarfile, io
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.USTAR_FORMAT)
i = tarfile.TarInfo(sys.argv[1]); i.size = 1; i.mode = 0o644
t.addfile(i, io.BytesIO(b"x")); t.close()
PY
        rm -f ../evil.age
        run 0 seal-data ../evil --self --remove
        run 65 backup restore ../evil.age --into ../never
        [ ! -e ../never ] && [ ! -e ../evil ] || bad "$name was unpacked"
    done
fi

# ---- forget
run 64 forget "$one"
err_has '--reason'
run 64 forget latest --reason x
run 0 forget "$one" --reason 'storage' --dry-run
[ -d ".accord/runs/$one/adapter" ] || bad "a dry run removed the adapter"
mkdir -p .accord/promoted
adapter=$(sed -n 's/.*"adapter_sha256": *"\([0-9a-f]*\)".*/\1/p' ".accord/runs/$one/run.json")
printf '{"format":1,"channel":"production","acts":[{"act":"promote","run":"%s","folder":"adapter","lock":"x","adapter_sha256":"%s","utc":"x","by":"x","files":{"f":"x"}}]}\n' \
    "$one" "$adapter" >.accord/promoted/production.json
run 77 forget "$one" --reason 'storage'
err_has 'serves on channel production'
run 0 forget "$one" --reason 'storage' --force
out_has 'forgotten'
for f in adapter checkpoints samples.jsonl report.html; do [ ! -e ".accord/runs/$one/$f" ] || bad "$f is still there"; done
for f in run.json lock.json trace.jsonl metrics.jsonl verdict.json; do [ -s ".accord/runs/$one/$f" ] || bad "$f is gone"; done
grep -q '"state": "forgotten"' ".accord/runs/$one/run.json" || bad "run.json does not say it"
grep -q 'adapter/adapter_model.safetensors' ".accord/runs/$one/run.json" || bad "run.json lacks what went"
grep -q Xanthippe ".accord/runs/$one/verdict.json" && bad "verdict.json still holds words"
grep -q '"comparisons"' ".accord/runs/$one/verdict.json" || bad "verdict.json lost its numbers"
grep -q '"act":"forget"' .accord/audit.jsonl || bad "no record"
run 0 audit
run 0 forget "$one" --reason 'again' --force
run 77 ab --run "$one"
run 0 runs
out_has 'forgotten'
run 0 show "$one"
run 0 backup restore ../b.age --into ../again       # a backup made before still has it
[ -s "../again/.accord/runs/$one/adapter/adapter_model.safetensors" ] || bad "the backup lost the adapter"
finish
