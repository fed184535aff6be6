#!/bin/sh
# Runs the tests of a build folder; prints those that could not run with their reason, and the counts.
# Usage: run_tests.sh BUILD [ctest arguments]
set -eu
build=$1
shift
log=$build/ctest.log
status=0
(cd "$build" && ctest --output-on-failure -j "$(nproc)" --timeout 600 "$@") >"$log" 2>&1 || status=$?
[ "$status" = 0 ] || grep -v 'Passed' "$log" || true
passed=$(grep -c '   Passed ' "$log" || true)
skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
failed=$(grep -cE '\*\*\*(Failed|Timeout|Exception|Not Run)' "$log" || true)
if [ "$skipped" != 0 ]; then
    echo "not run:"
    sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: *\([^ ]*\).*\*\*\*Skipped.*/\1/p' "$log" | while read -r name; do
        why=$(grep -rhoE 'not run: .*' "$build/Testing/Temporary/LastTest.log" 2>/dev/null | sort -u | head -n 1)
        one=$(awk -v n="\"$name\"" '$0 ~ "^[0-9]+/[0-9]+ Testing: " { on = ($NF == substr(n, 2, length(n) - 2)) }
                                    on && /not run: / { sub(/^.*not run: /, ""); print; exit }' \
              "$build/Testing/Temporary/LastTest.log" 2>/dev/null || true)
        echo "  $name: ${one:-${why:-no reason printed}}"
    done
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
