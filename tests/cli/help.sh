# Help, version, and the man page as committed.
. "$(dirname "$0")/lib.sh"

run 0 --help
err_empty
cp "$work/out" "$work/list"
golden help.txt "$work/list"
run 0 -h
cmp -s "$work/out" "$work/list" || bad "-h and --help differ"
run 0 help
cmp -s "$work/out" "$work/list" || bad "accord help and --help differ"
run 0 --json --threads 3 --help
cmp -s "$work/out" "$work/list" || bad "options in front of --help change the defaults shown"

# The help of every command, from all three ways to ask for it.
: >"$work/all"
awk '/^[A-Z]/ { group = $0 } group !~ /^(Common options|Other)/ && /^  [a-z]/ { sub(/^  /, ""); sub(/   *.*/, ""); print }' \
    "$work/list" >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 2 ] || bad "no commands found in the help"
while read -r cmd; do
    run 0 $cmd --help
    cp "$work/out" "$work/one"
    { echo "== $cmd"; cat "$work/one"; } >>"$work/all"
    run 0 help $cmd
    cmp -s "$work/out" "$work/one" || bad "help $cmd and $cmd --help differ"
    run 0 --json --cpu ref $cmd -h
    cmp -s "$work/out" "$work/one" || bad "$cmd: options in front change the defaults shown"
done <"$work/commands"
golden commands.txt "$work/all"

run 0 help --json
out_has '"name":"freeze"'
run 0 help --json freeze
out_has '"name":"reason","type":"text"'

run 0 --version
out_has "accord "
run 0 help --man
if [ "$ACCORD_GOLDEN" = write ]; then cp "$work/out" "$source_dir/docs/man/accord.1"; fi
diff -u "$source_dir/docs/man/accord.1" "$work/out" >&2 ||
    bad "docs/man/accord.1 is not what \"accord help --man\" prints; ACCORD_GOLDEN=write refreshes it"

# ... and the page of each command; no page of a command that is gone.
[ "$ACCORD_GOLDEN" = write ] && rm -f "$source_dir"/docs/man/accord-*.1
while read -r cmd; do
    page=$source_dir/docs/man/accord-$(echo "$cmd" | tr ' ' -).1
    run 0 help --man $cmd
    if [ "$ACCORD_GOLDEN" = write ]; then cp "$work/out" "$page"; fi
    cmp -s "$page" "$work/out" || bad "$page is not what \"accord help --man $cmd\" prints; ACCORD_GOLDEN=write refreshes it"
done <"$work/commands"
[ "$(ls "$source_dir"/docs/man/accord-*.1 | wc -l)" -eq "$(wc -l <"$work/commands")" ] || bad "docs/man has pages of commands that do not exist"
finish
