# tokenize: both directions, both input forms, and what is refused.
. "$(dirname "$0")/lib.sh"
need_data
model=$data/weights-stories260k/hf

tok() { # <expected exit code> <input> <options...>
    want=$1
    input=$2
    shift 2
    printf '%b' "$input" | "$accord" tokenize --model "$model" "$@" >"$work/out" 2>"$work/err"
    got=$?
    checks=$((checks + 1))
    [ "$got" = "$want" ] || bad "tokenize $* of \"$input\": exit code $got, expected $want: $(cat "$work/err")"
}
same() { [ "$(cat "$work/out")" = "$1" ] || bad "expected \"$1\", got \"$(cat "$work/out")\""; }

tok 0 'Once upon a time\n'
same '[403,407,261,378]'
tok 0 'Once upon a time\n' --bos
same '[1,403,407,261,378]'
tok 0 '"Once upon a time"\n"a\\nb"\n' --json-lines
[ "$(wc -l <"$work/out")" -eq 2 ] || bad "one answer a line"
out_has '[403,407,261,378]'
tok 0 '[403,407,261,378]\n[]\n' --decode
[ "$(sed -n 1p "$work/out")" = "Once upon a time" ] || bad "decode: $(cat "$work/out")"
tok 0 '[1,403]\n' --decode --json-lines --special
same '"<s>Once"'
tok 0 '' && [ -s "$work/out" ] && bad "no input gives no output"

# Every line there and back.
printf 'Lily and Ben\n  two spaces\nA\tb\n\303\244\303\266 \360\237\230\200\n' >"$work/text"
"$accord" tokenize -m "$model" <"$work/text" | "$accord" tokenize -m "$model" --decode >"$work/back"
cmp -s "$work/text" "$work/back" || bad "there and back differs: $(diff "$work/text" "$work/back")"
checks=$((checks + 1))

tok 65 '"open\n' --json-lines
err_has 'standard input:1:'
tok 65 '"fine"\n17\n' --json-lines
err_has 'standard input:2: expected a JSON string, found a number'
tok 65 '"text"\n' --decode
err_has 'expected an array of token ids, found a string'
tok 65 '[1,-1]\n' --decode
tok 65 '[1,99999999]\n' --decode
err_has 'standard input:1'
tok 64 '' --decode --bos
err_has '--bos has no meaning with --decode'
run 66 tokenize --model "$work/none"
err_one_line
finish
