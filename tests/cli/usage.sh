# Wrong usage: one line on stderr, nothing on stdout, exit code 64; with --json the error as JSON.
. "$(dirname "$0")/lib.sh"

usage() { # <text> <arguments...>
    text=$1
    shift
    run 64 "$@"
    out_empty
    err_one_line
    err_has "accord: "
    err_has "$text"
}
usage 'no command; see accord --help'
usage 'unknown command "docter"; did you mean "doctor"?' docter
usage 'unknown command "zzz"; see accord --help' zzz
usage 'unknown option --threds; did you mean --threads? See accord doctor --help' doctor --threds 3
usage 'unknown option --vresion; did you mean --version?' --vresion
usage 'unknown option -z' doctor -z
usage '--threads needs a value' doctor --threads
usage '--threads: must be from 0 to 4096, found "-1"' doctor --threads -1
usage '--threads: expected a whole number, found "two"' doctor --threads=two
usage '--cpu: expected one of auto, ref, avx2, avx512, neon; found "sse"' doctor --cpu sse
usage '--json takes no value' doctor --json=yes
usage 'unexpected argument "x"' doctor x
usage 'unknown command "doctr"; did you mean "doctor"?' help doctr
usage '--contract stands alone' help --contract doctor

run 64 doctor --threds 3 --json
out_has '{"error":{"status":"EARG","exit":64,"text":"unknown option --threds'
err_one_line
run 66 -C "$work/nowhere" doctor
err_has 'No such file or directory'

# A tier of another architecture is refused wherever it is asked for.
case $(uname -m) in
x86_64) run 64 doctor --cpu neon ;;
*) run 64 doctor --cpu avx2 ;;
esac
finish
