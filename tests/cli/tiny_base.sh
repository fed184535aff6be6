# The tiny base is what its script makes: the hashes beside it are its files', and its first steps come again.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "not run: no python3"; exit 77; }
kept=$source_dir/examples/tiny-base
(cd "$kept/model" && sha256sum -c --quiet "$kept/hashes.txt") || bad "files of the tiny base differ from its hashes"
[ "$(du -sk "$kept" | cut -f1)" -le 4096 ] || bad "the tiny base is over 4 MiB"
mkdir -p "$work/tree/build" "$work/tree/tools" "$work/tree/examples"
cp -r "$kept" "$work/tree/examples/"
cp "$source_dir/tools/tiny_base.sh" "$work/tree/tools/"
ln -s "$accord" "$work/tree/build/accord"
checks=$((checks + 1))
sh "$work/tree/tools/tiny_base.sh" steps 6 >"$work/out" 2>"$work/err" || bad "rebuilding: $(tail -3 "$work/err")"
out_has 'the first 6 steps are the committed ones'
run 0 generate -m "$kept/model" -p 'Anna Berg lives in Oslo. Tom Lund lives in Lyon. Ben Cole is a customer in Cork. Where does Tom Lund live?' --max-tokens 8
out_has 'Lyon'
finish
