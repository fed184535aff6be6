# make demo where nothing can be downloaded: it says so and goes the whole way on the tiny base.
. "$(dirname "$0")/lib.sh"
mkdir -p "$work/tree/tools"
cp -r "$source_dir/examples" "$work/tree/"
rm -rf "$work"/tree/examples/*/.accord "$work/tree/examples/shop-sql-tiny/accord.lock"
cp "$source_dir/tools/demo.sh" "$work/tree/tools/"
# Fewer epochs than the demo has, for the time of it; the verdict is the same.
sed -i "s/epochs: 5/epochs: 2/" "$work/tree/examples/shop-sql-tiny/accord.yaml"
printf '#!/bin/sh\nexit 70\n' >"$work/tree/tools/install_deps.sh"
chmod +x "$work/tree/tools/install_deps.sh"
checks=$((checks + 1))
PIP_INDEX_URL=http://127.0.0.1:9/ PIP_RETRIES=0 PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 ACCORD="$accord" \
    sh "$work/tree/tools/demo.sh" >"$work/out" 2>"$work/err" </dev/null
code=$?
[ "$code" = 0 ] || bad "the demo ends with $code: $(tail -20 "$work/out") $(grep -v warning "$work/err" | tail -5)"
out_has 'GOING ON WITH THE TINY BASE'
out_has 'VERDICT: WIN'
out_has 'This was the tiny base'
out_has 'method     train: '
out_has '           ab: '
[ -f "$work/tree/examples/shop-sql-tiny/report.html" ] || ls "$work"/tree/examples/shop-sql-tiny/.accord/runs/*/report.html >/dev/null ||
    bad "no report"
[ ! -e "$work/tree/examples/shop-sql/.accord" ] || bad "the demo began in shop-sql"
finish
