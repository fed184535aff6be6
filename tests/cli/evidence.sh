# evidence and its verify: from a project, elsewhere, with and without a key named, and after a change in each file.
. "$(dirname "$0")/lib.sh"
export ACCORD_KEY="$work/key"
unset ACCORD_IDENTITY ACCORD_PASSPHRASE_FILE ACCORD_PASSPHRASE_FD
mkdir "$work/project" && cd "$work/project" || exit 70
tiny_project
run 0 freeze
run 0 train
run 66 evidence --out ../e
err_has 'accord key new'
run 0 key new
run 77 evidence --out ../e
err_has 'no verdict yet'
run 1 ab
run 0 train
one=$(ls .accord/runs | head -n 1)
run 64 evidence "$one"
run 0 evidence "$one" --out ../e
out_has 'NO CLEAR LIFT'
run 73 evidence "$one" --out ../e
run 0 evidence "$one" --out ../e.tar --json
out_has '"bundle":"../e.tar"'
run 0 audit
grep -q '"act":"evidence"' .accord/audit.jsonl || bad "no record of it"
grep -rq Xanthippe ../e && bad "words of cases are in the bundle"
run 0 evidence "$one" --words --out ../words
grep -q Xanthippe ../words/verdict.json || bad "--words left them out"
run 0 key show
sed -n '/^-----BEGIN/,/^-----END/p' "$work/out" >../team.pem

# ---- elsewhere, without the project and its keys
cd "$work" || exit 70
mv project gone && mv key keys
unset ACCORD_KEY
run 0 evidence verify e
out_has 'a key that you have not named'
out_has 'verdict counted again'
run 0 evidence verify e.tar --key team.pem
grep -q 'not named' out && bad "the key was named"
run 0 evidence verify words --json
out_has '"holds":true'
run 0 evidence verify e --key team.pem --adapter "gone/.accord/runs/$one/adapter"
out_has 'those that were scored'
cp -r "gone/.accord/runs/$one/adapter" other
printf '\001' | dd of=other/adapter_model.safetensors bs=1 seek=900 conv=notrunc 2>/dev/null
run 1 evidence verify e --adapter other
out_has 'another file than the one that was scored'
run 1 evidence verify e --adapter evals
ACCORD_KEY="$work/stranger" run 0 key new
sed -n '/^-----BEGIN/,/^-----END/p' out >stranger.pem
run 1 evidence verify e.tar --key stranger.pem
out_has 'another key'
run 66 evidence verify absent
run 65 evidence verify e --key e/lock.json

# ---- one bit in each file, one file less, one more
for f in e/*; do
    size=$(wc -c <"$f")
    for at in 0 $((size / 2)) $((size - 1)); do
        rm -rf bad && cp -r e bad
        byte=$(dd if="$f" bs=1 skip=$at count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
        printf "\\$(printf %03o $((byte ^ 1)))" | dd of="bad/${f#e/}" bs=1 seek=$at conv=notrunc 2>/dev/null
        run 1 evidence verify bad
        out_has 'NO'
    done
    rm -rf bad && cp -r e bad && rm "bad/${f#e/}"
    run 1 evidence verify bad --json
    out_has '"holds":false'
done
rm -rf bad && cp -r e bad && echo x >bad/more.txt
run 1 evidence verify bad
out_has 'put in afterwards'

# ---- the signature by another program, over the envelope's own rule (DSSE)
if command -v openssl >/dev/null 2>&1 && command -v python3 >/dev/null 2>&1; then
    checks=$((checks + 1))
    python3 - e/evidence.dsse.json <<'PY'
import base64, json, sys
d = json.load(open(sys.argv[1]))
p = base64.b64decode(d["payload"]); t = d["payloadType"].encode()
open("pae", "wb").write(b"DSSEv1 %d %s %d %s" % (len(t), t, len(p), p))
open("sig", "wb").write(base64.b64decode(d["signatures"][0]["sig"]))
s = json.loads(p)
assert s["_type"] == "https://in-toto.io/Statement/v1" and s["predicate"]["result"] in ("PASSED", "WARNED", "FAILED")
assert len(s["predicate"]["passedTests"]) + len(s["predicate"]["failedTests"]) == 36
PY
    openssl pkeyutl -verify -pubin -inkey e/signer.pem -rawin -in pae -sigfile sig >/dev/null 2>&1 || bad "openssl does not verify it"
fi

# ---- a chain that does not hold gives no evidence
cd gone || exit 70
export ACCORD_KEY="$work/keys"
sed -i.bak 's/"cases":36/"cases":37/' .accord/audit.jsonl
run 1 evidence "$one" --out ../never
err_has 'audit chain'
[ ! -e ../never ] || bad "a bundle was written"
finish
