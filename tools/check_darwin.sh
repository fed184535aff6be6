#!/bin/sh
# Compiles src/guard and what it needs of src/base for Apple Silicon, links it, and compares what it imports with
# tools/darwin_imports.txt. That shows that it builds; nothing of it is run. Usage: check_darwin.sh [--write]
# The compiler is zig's, from PyPI, kept below the cache folder (80 MB to fetch, 370 MB there). Exit 77: could not be had.
set -eu
cd "$(dirname "$0")/.."
version=0.13.0
target=aarch64-macos
cache=${ACCORD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/accord}/ziglang-$version
not_run() {
    echo "check-darwin: not run: $1"
    exit 77
}
command -v python3 >/dev/null 2>&1 || not_run "there is no python3"
if [ ! -d "$cache/ziglang" ]; then
    python3 -m pip --version >/dev/null 2>&1 || not_run "there is no pip to fetch ziglang $version with (apt-get install python3-pip)"
    new=$cache.$$
    trap 'rm -rf "$new"' EXIT
    mkdir -p "$new"
    echo "check-darwin: fetching ziglang $version into $cache ..."
    if ! python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --retries 1 --timeout 60 \
            --target "$new" "ziglang==$version" >"$new/log" 2>&1; then
        tail -n 3 "$new/log" >&2
        not_run "ziglang $version cannot be fetched from PyPI"
    fi
    [ -d "$cache/ziglang" ] || mv "$new" "$cache"
fi
work=$(mktemp -d)
trap 'rm -rf "$work" "$cache.$$"' EXIT
zig() {
    ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache ZIG_LOCAL_CACHE_DIR=$cache/zig-cache "$cache/ziglang/zig" "$@"
}
# Without what needs a library that this check does not have: hashes (libsodium).
sources=$(ls src/guard/*.c src/guard/darwin/*.c src/base/*.c | grep -vE '^src/base/(hash|sha256_shani)\.c$')
bad=0
objects=
for f in $sources; do
    o=$work/$(echo "$f" | tr / _).o
    objects="$objects $o"
    zig cc -target $target -std=c17 -O2 -Isrc -D_DARWIN_C_SOURCE -DACCORD_VERSION=\"check\" -ffp-contract=off -fno-strict-aliasing \
        -fno-sanitize=undefined -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror \
        -c "$f" -o "$o" || { echo "check-darwin: $f does not compile for $target"; bad=1; }
done
[ "$bad" = 0 ] || exit 1
# A library of all of it: every symbol has to be found in it or in libSystem.
# shellcheck disable=SC2086
zig cc -target $target -dynamiclib -o "$work/guard.dylib" $objects || { echo "check-darwin: it does not link"; exit 1; }
python3 tools/macho_imports.py "$work/guard.dylib" >"$work/imports"
if [ "${1:-}" = --write ]; then
    cp "$work/imports" tools/darwin_imports.txt
elif ! diff -u tools/darwin_imports.txt "$work/imports"; then
    echo "check-darwin: it imports other symbols than tools/darwin_imports.txt says (above); if that is meant:" \
        "tools/check_darwin.sh --write"
    exit 1
fi
echo "check-darwin: $(echo "$sources" | wc -l) files compile and link for $target, $(wc -l <tools/darwin_imports.txt) imports as" \
    "listed; compile-checked, not run"
