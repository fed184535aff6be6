# Secrets and leaks from outside: what is found, that no value is shown, what blocks freeze and train, and how it is taken.
. "$(dirname "$0")/lib.sh"
secret=ghp_w9Xk2LmQ4rTz7VbN1cPd8SfGh3JyUe5A6oRi
no_value() { if grep -q "w9Xk2Lm" "$work/out" "$work/err"; then bad "$1 shows the secret"; fi; }
chmod 700 "$work"

# ---- data check on files
printf '{"prompt":"use %s","completion":"ask ann.lee@shop.example"}\n{"prompt":"a","completion":"house-123456"}\n' \
    "$secret" >"$work/rows.jsonl"
run 1 data check "$work/rows.jsonl"
out_has ':1:github-token:1.00 (40 characters)'
out_has ':1:EMAIL_ADDRESS:1.00 xxx.xxx@xxxx.xxxxxxx'
no_value 'data check'
run 1 data check "$work/rows.jsonl" --json
out_has '"kind": "secret"'
no_value 'data check --json'
printf "[[rules]]\nid = 'house'\nregex = 'house-([0-9]{6})'\n" >"$work/rules.toml"
run 1 data check "$work/rows.jsonl" --rules "$work/rules.toml"
out_has ':2:house:1.00 (6 characters)'
grep -q github "$work/out" && bad "rules of one's own stand beside the built-in ones unasked"
printf "[[rules]]\nid = 'house'\nregex = '(?=x)'\n" >"$work/rules.toml"
run 65 data check "$work/rows.jsonl" --rules "$work/rules.toml"
err_has "rules.toml:3:9: the pattern has a (? group at character 1, which Go's regexp does not know"
mkdir "$work/Dropbox"
cp "$work/rows.jsonl" "$work/Dropbox/"
run 1 data check "$work/Dropbox/rows.jsonl"
out_has 'lies in a folder of Dropbox'

# ---- freeze and train in a project
mkdir "$work/p"
cp -r "$source_dir/examples/shop-sql/data" "$source_dir/examples/shop-sql/evals" "$source_dir/examples/shop-sql/docs" "$work/p/"
cp -r "$source_dir/examples/tiny-base/model" "$work/p/model"
cat >"$work/p/accord.yaml" <<'YAML'
base:
  model: model
data:
  train: data/train.jsonl
  valid: data/valid.jsonl
eval:
  cases: evals/cases.jsonl
  docs: docs
  database: data/shop.db
  max_tokens: 80
  rag_chunk_tokens: 80
  rag_overlap_tokens: 16
  rag_top: 1
YAML
run 0 -C "$work/p" freeze -q
run 0 -C "$work/p" train --dry-run -q
cp "$work/p/data/train.jsonl" "$work/kept"
# The question of a case, in other letters, among other words; and a secret.
question=$(sed -n 5p "$work/p/evals/cases.jsonl" | sed 's/.*"role": "user", "content": "\([^"]*\)".*/\1/' | tr a-z A-Z)
printf '{"messages":[{"role":"user","content":"Dear all. %s Thank you!"},{"role":"assistant","content":"%s"}]}\n' \
    "$question" "$secret" >>"$work/p/data/train.jsonl"
run 78 -C "$work/p" train --dry-run -q
run 77 -C "$work/p" freeze -q
no_value freeze
out_has 'BLOCKS'
ids=$(sed -n 's/^BLOCKS *\([a-z0-9-]*\) .*/\1/p' "$work/out")
case $ids in *leak-*) ;; *) bad "no leak among: $ids" ;; esac
case $ids in *secret-*) ;; *) bad "no secret among: $ids" ;; esac
set --
for id in $ids; do set -- "$@" --accept-finding "$id"; done
run 64 -C "$work/p" freeze -q "$@"
run 77 -C "$work/p" freeze -q --accept-finding "$2" --reason 'only one of them'
run 0 -C "$work/p" freeze -q "$@" --reason 'agreed in review'
grep -q '"reason":"agreed in review"' "$work/p/accord.lock" || bad "the lock lacks the reason"
grep -q '"accepted":\[' "$work/p/.accord/audit.jsonl" || bad "the audit log lacks what was accepted"
run 0 -C "$work/p" train --dry-run -q
# One more copy is another finding: what was accepted does not cover it.
tail -1 "$work/p/data/train.jsonl" | sed 's/Dear all/Dear you/' >"$work/more"
cat "$work/more" >>"$work/p/data/train.jsonl"
run 64 -C "$work/p" freeze -q "$@" --reason 'agreed in review'
# In a document: the question blocks, its answer does not.
cp "$work/kept" "$work/p/data/train.jsonl"
printf '# Asked\n\n%s\n' "$question" >"$work/p/docs/asked.md"
run 77 -C "$work/p" freeze -q
out_has 'docs/asked.md:3'
rm "$work/p/docs/asked.md"
run 0 -C "$work/p" freeze -q
# A lock of a version that looked for less does not train.
sed 's/"checks":[0-9]*,//' "$work/p/accord.lock" >"$work/old"
cp "$work/old" "$work/p/accord.lock"
run 77 -C "$work/p" train --dry-run -q
err_has 'run: accord freeze'
finish
