# verify: a run of the tiny base rebuilt in other places, by another user, at other thread counts; and what it says when
# something is not the same.
. "$(dirname "$0")/lib.sh"
export TMPDIR="$work/tmp"
p=$work/home/app
mkdir -p "$work/home" "$work/tmp"
chmod 1777 "$work/tmp"
cp -r "$source_dir/examples/tiny-base" "$source_dir/examples/shop-sql" "$work/home/"
cp -r "$source_dir/examples/shop-sql-tiny" "$p"
cd "$p" || exit 70
rm -rf accord.lock .accord
sed -e 's/epochs: 5/max_steps: 6/' -e 's/_every: 75/_every: 2/' accord.yaml >t && mv t accord.yaml
head -8 ../shop-sql/data/valid.jsonl >t && mv t ../shop-sql/data/valid.jsonl
run 0 freeze
run 75 train --stop-after-step 3
run 0 train --resume latest
run 1 ab --arms base,tuned
id=$(ls .accord/runs)
clean() { [ -z "$(ls "$work/tmp")" ] || bad "left behind: $(ls "$work/tmp")"; }

# ---- in its own project: a resumed run, at other thread counts
run 0 verify latest --threads 1
out_has 'BIT_IDENTICAL: all 6 steps and every byte of the weights, every answer and the verdict'
err_has "train --threads 1"
err_has "ab --threads 1 --arms base,tuned"
run 0 audit --list
out_has '"act":"verify"'
out_has '"result":"BIT_IDENTICAL"'
run 0 verify "$id" --threads 3 --no-ab --steps 2
out_has 'PREFIX_IDENTICAL: the first 2 of 6 steps; nothing is said about the rest'
out_has 'machine.threads'
clean

# ---- a run of a time when freeze looked for less: it is rebuilt, and trained no more
mkdir "$work/older" && cp -r "$work/home/." "$work/older/" && cd "$work/older/app" || exit 70
sed 's/"checks":[0-9]*,/"checks":1,/' accord.lock >t && mv t accord.lock
run 77 train
err_has 'looked for fewer leaks'
touch rebuild-of
run 0 train
rm rebuild-of
run 0 verify latest --no-ab
out_has 'BIT_IDENTICAL: all 6 steps and every byte of the weights'
run 77 train
cd "$p" || exit 70
clean

# ---- in another arithmetic: nothing but the verdict
run 0 verify latest --numerics bf16
out_has 'VERDICT_IDENTICAL: the bits differ, the verdict'
out_has 'numerics fp32, now bf16'
run 0 verify latest --numerics fp32 --json                  # the lock's own
out_has '"result": "BIT_IDENTICAL"'
out_has '"numerics_rebuilt": null'
run 64 verify latest --numerics bf16 --no-ab
err_has 'only the verdict can be compared'
run 64 verify latest --numerics bf16 --steps 2
cp -r .accord/runs "$work/noverdict" && rm "$work/noverdict/$id/verdict.json"
run 64 verify "$work/noverdict/$id" --numerics bf16
err_has 'the run has none (accord ab makes it)'
clean

# ---- the folder alone, read-only, elsewhere; inputs by --against, or by name and --base
mkdir -p "$work/else/inputs" "$work/else/here"
cp -r ".accord/runs/$id" "$work/else/"
chmod -R a-w "$work/else/$id"
find "$work/else/$id" | sort | xargs ls -ld --time-style=full-iso >"$work/before"
cd "$work/else/here" || exit 70
run 66 verify "../$id"
err_has 'data.train (../shop-sql/data/train.jsonl'
err_has '--against'
run 0 verify "../$id" --against "$p" --no-ab --json
out_has '"result": "BIT_IDENTICAL"'
out_has '"answers_same": null'
cp "$work/home/shop-sql/data/train.jsonl" "$work/home/shop-sql/data/valid.jsonl" "$work/home/shop-sql/evals/cases.jsonl" \
    "$work/home/shop-sql/data/shop.db" "$work/else/inputs/"
cp -r "$work/home/shop-sql/docs" "$work/else/inputs/"
run 0 verify "../$id" --data ../inputs --base "$work/home/tiny-base/model" --keep "$work/else/kept" --report "$work/else/reports"
out_has 'BIT_IDENTICAL'
grep -q 'To repeat by hand' "$work/else/reports"/verify-*.md || bad "the report lacks the commands"
"$accord" -C "$(find "$work/else/kept" -name project)" train -q >"$work/out" 2>"$work/err" || bad "the kept project does not train: $(cat "$work/err")"
run 73 verify "../$id" --against "$p" --keep "$work/else/kept"
find "$work/else/$id" | sort | xargs ls -ld --time-style=full-iso | cmp -s "$work/before" - || bad "verify wrote into the run folder"
clean

# ---- another user
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null 2>&1; then
    mkdir "$work/nobody"
    chown 65534:65534 "$work/nobody"
    chmod a+rx "$work" "$work/home" "$p" "$work/else"
    cp "$accord" "$work/accord"
    chmod 755 "$work/accord"
    if (cd "$work/nobody" && setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$work/nobody" ACCORD_CACHE="$work/nobody/c" \
            "$work/accord" verify "$work/else/$id" --against "$p" >"$work/out" 2>"$work/err" </dev/null); then :; else
        bad "another user: $(tail -3 "$work/err")"
    fi
    checks=$((checks + 1))
    out_has 'BIT_IDENTICAL'
    rm "$work/accord"
else
    echo "not run: another user (needs root and setpriv)"
fi
clean

# ---- one training row changed
rm -rf "$work/changed"
cp -r "$work/home" "$work/changed"
rows=$work/changed/shop-sql/data/train.jsonl
change() { sed -e "$1s/\"content\": *\"\([A-Z]\)/\"content\": \"x\1/" "$work/home/shop-sql/data/train.jsonl" >"$rows"; }
for from in $(seq 1 20 1181); do                   # look for a row that the six steps use
    change "$from,$((from + 19))"
    run 1 verify "../$id" --against "$work/changed/app" --report "$work/reports"
    line=$(sed -n 's/^ *line \([0-9]*\) of .*first used.*/\1/p' "$work/out" | head -1)
    [ -n "$line" ] && break
done
change "$line"
run 1 verify "../$id" --against "$work/changed/app"
step=$(sed -n 's/.*first used in step \([0-9]*\).*/\1/p' "$work/out")
out_has 'INPUTS_DIFFER: nothing was trained'
out_has "data.train is not the run's: $rows"
out_has "line $line of data.train: hash $(sed -n "${line}p" "$rows" | tr -d '\n' | sha256sum | cut -c1-16)"
run 1 verify "../$id" --against "$work/changed/app" --anyway
out_has "DIVERGED at step $step of 6"
out_has "line $line of data.train"
out_has 'the run: {"step":'
out_has 'rebuilt: {"step":'
report=$(sed -n 's/^report  *\(.*\) and .json/\1/p' "$work/out")
grep -q "^## First difference" "$report" || bad "the report lacks the difference"
run 1 verify "../$id" --against "$work/changed/app" --anyway --full --json
out_has "\"step\": $step"
grep -qE '"result": "(VERDICT_IDENTICAL|DIVERGED)"' "$work/out" || bad "no result: $(cat "$work/out")"
out_has '"verdict_same": '
out_has '"stopped_at_first_difference": false'
sed -e 5d "$work/home/shop-sql/data/train.jsonl" >"$rows"
run 1 verify "../$id" --against "$work/changed/app"
out_has "it has 1199 lines, the run's had 1200"
clean

# ---- a run folder that does not agree with itself
chmod -R u+w "$work/else/$id"
for what in trace.jsonl lock.json adapter/adapter_model.safetensors; do
    cp "$work/else/$id/$what" "$work/kept"
    printf 7 | dd of="$work/else/$id/$what" bs=1 seek=30 conv=notrunc 2>/dev/null
    "$accord" verify "../$id" --against "$p" >"$work/out" 2>"$work/err" </dev/null
    code=$?
    case $code in 65 | 78) ;; *) bad "a changed $what: exit code $code: $(cat "$work/err")" ;; esac
    checks=$((checks + 1))
    cp "$work/kept" "$work/else/$id/$what"
done

# ---- killed, and never finished: what there is of it
cd "$p" || exit 70
cp -r ".accord/runs/$id" "$work/else/half"
head -4 "$work/else/half/trace.jsonl" >t
printf '{"step":5,"loss' >>t
mv t "$work/else/half/trace.jsonl"
sed -e 's/"state": "trained"/"state": "training"/' -e 's/"trace_sha256": "[0-9a-f]*"/"trace_sha256": null/' "$work/else/half/run.json" >t
mv t "$work/else/half/run.json"
run 0 verify "$work/else/half"
out_has 'PREFIX_IDENTICAL: the first 4 of 4 steps of a run that has not ended'

# ---- absolute paths, and keys that follow others
mkdir "$work/abs"
cp -r "$work/home/shop-sql" "$work/home/tiny-base" "$work/abs/"
cat >accord.yaml <<YAML
base: {model: $work/abs/tiny-base/model}
data: {train: $work/abs/shop-sql/data/train.jsonl, valid: ../shop-sql/data/valid.jsonl, max_len: 256}
eval: {cases: ../shop-sql/evals/cases.jsonl, database: ../shop-sql/data/shop.db, max_tokens: 8}
method: {rank: 4, optimizer: lion, lr: 1e-3, max_steps: 2, batch_rows: 2, beta2: 0.98}
YAML
run 0 freeze
run 0 train --json
id=$(sed -n 's/.*"run": "\([^"]*\)".*/\1/p' "$work/out")
run 0 verify "$id"
out_has 'BIT_IDENTICAL: all 2 steps and every byte of the weights'
# ---- the emulated ARM build, where there is one
arm=${ACCORD_ARM:-$source_dir/build/aarch64/accord}
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static)
if [ -x "$arm" ] && [ -n "$qemu" ]; then
    run 0 verify "$id" --program "$qemu $arm"
    out_has 'BIT_IDENTICAL: all 2 steps and every byte of the weights'
    out_has 'machine.architecture: x86_64, now aarch64'
else
    echo "not run: the aarch64 build (ACCORD_ARM=program; cmake --build --preset aarch64, and qemu-aarch64)"
fi

mv "$work/abs" "$work/moved"
run 66 verify "$id"
run 0 verify "$id" --base "$work/moved/tiny-base/model" --data "$work/moved/shop-sql/data"
out_has 'BIT_IDENTICAL'

# ---- what cannot be
run 66 verify nothing
run 64 verify
run 66 verify latest --program "$work/none"
clean
finish
