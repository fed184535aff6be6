#!/bin/sh
# The demands of docs/kernels.md, measured; a few minutes. Options go to accord-bench. RECORD=1 appends the figures to
# bench/results.csv under the commit that is checked out.
set -eu
cd "$(dirname "$0")/.."
cache=${ACCORD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/accord}
model=$cache/models/smollm2-135m-instruct/model.gguf
[ ! -f "$model" ] || set -- --model "$model" "$@"
if [ "${RECORD:-0}" = 1 ]; then
    commit=$(git rev-parse --short=12 HEAD)
    [ -z "$(git status --porcelain --untracked-files=no -- src bench/*.c)" ] || commit=$commit+
    set -- --csv bench/results.csv --commit "$commit" --date "$(date -u +%Y-%m-%d)" "$@"
fi
exec build/bench/accord-bench "$@"
