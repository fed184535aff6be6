# Drift on the tiny base: chats like the rows; other chats; a sealed case that came back.
. "$(dirname "$0")/lib.sh"
p=$work/examples/app
mkdir -p "$work/examples"
cp -r "$source_dir/examples/tiny-base" "$source_dir/examples/shop-sql" "$work/examples/"
cp -r "$source_dir/examples/shop-sql-tiny" "$p"
cd "$p" || exit 70
rm -rf .accord
run 0 drift --logs ../shop-sql/data/valid.jsonl
out_has 'DRIFT: none that these measures can see'
out_has '100 chats against 1200 rows and 48 cases'
run 0 drift --logs ../shop-sql/data/valid.jsonl --json
out_has '"drifted":false'
i=0
while [ $i -lt 40 ]; do
    i=$((i + 1))
    printf '{"prompt":"My parcel number %s arrived broken and the courier laughed at me, what will you do about my refund and when will somebody finally call?","completion":"I am sorry, I cannot help with that."}\n' $i
done >logs.jsonl
run 1 drift --logs logs.jsonl -n 2 --output add.jsonl
out_has 'OVER'
out_has 'new words: '
[ "$(wc -l <add.jsonl)" -le 2 ] || bad "more cases than asked for"
grep -q '"class":"edge"' add.jsonl || bad "no case was written"
run 73 drift --logs logs.jsonl --output add.jsonl
err_has 'is there already'
run 66 drift --logs none.jsonl
run 64 drift
# A sealed question, asked by a user of the product.
cp ../shop-sql/data/valid.jsonl back.jsonl
python3 - <<'PY' 2>/dev/null || { echo "not run: no python3"; exit 77; }
import json
c = [json.loads(l) for l in open('../shop-sql/evals/cases.jsonl') if '"id"' in l][0]
q = c.get('input') or c['turns'][-1]['content']
q = q if isinstance(q, str) else q[-1]['content']
a = c.get('ideal'); a = a if isinstance(a, str) else a[0]
open('back.jsonl', 'a').write(json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}) + '\n')
PY
run 1 drift --logs back.jsonl
out_has 'sealed cases that production has seen'
run 0 audit --list
out_has '"act":"drift"'
finish
