#!/bin/sh
# The include table, unfinished marks, long files, tabs and trailing blanks, shell scripts' syntax, cppcheck.
set -u
cd "$(dirname "$0")/.."
bad=0
python3 tools/check_includes.py || bad=1
if git grep -nwE 'TODO|FIXME|XXX|HACK' -- src tests bench tools ':!tools/lint.sh'; then
    echo "lint: unfinished marks above"; bad=1
fi
if git grep -nE '[[:blank:]]+$' -- '*.c' '*.h' '*.py' '*.sh' '*.md' '*.txt' ':!tests/oracle' ':!tests/fuzz/corpus'; then
    echo "lint: trailing blanks above"; bad=1
fi
if git grep -nP '\t' -- 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h'; then
    echo "lint: tabs above"; bad=1
fi
# Only base allocates and frees.
if git grep -nE '\b(malloc|calloc|realloc|free|strdup)[[:space:]]*\(' -- 'src/*.c' 'src/*.h' ':!src/base' \
        | grep -vE '^[^:]+:[0-9]+:[[:space:]]*(\*|/\*)'; then
    echo "lint: only src/base may call the C allocator"; bad=1
fi
# A file beyond 1,000 lines owes a reason in its head ("Long because ...").
for f in $(git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h'); do
    if [ "$(wc -l <"$f")" -gt 1000 ] && ! head -n 40 "$f" | grep -q 'Long because'; then
        echo "$f: over 1,000 lines without 'Long because ...' in its head"; bad=1
    fi
done
for f in $(git ls-files '*.sh' .ci/run); do
    # in the shell that it names: sh does not read bash
    case $(head -n 1 "$f") in *bash*) bash -n "$f" ;; *) sh -n "$f" ;; esac || bad=1
done
if command -v cppcheck >/dev/null 2>&1; then
    cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr \
        --suppress=missingIncludeSystem \
        `# tables of macros and arrays filled by a loop, which it misreads` \
        --suppress='preprocessorErrorDirective:src/kernels/x86/*' --suppress='uninitvar:src/kernels/attn_body_int.h' \
        --suppress='uninitStructMember:src/cli/train_files.c' --suppress='uninitvar:src/kernels/x86/matmul_few_avx512.c' \
        --suppress='uninitvar:src/kernels/x86/few_avx512.c' --suppress='uninitvar:src/kernels/x86/few_avx2.c' -j "$(nproc)" \
        -D__x86_64__ -Isrc src || { echo "lint: cppcheck findings above"; bad=1; }
else
    echo "lint: cppcheck not run: not installed"
fi
[ "$bad" = 0 ] && echo "lint: clean"
exit "$bad"
