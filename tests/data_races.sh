#!/bin/sh
# ThreadSanitizer finds nothing in tests/dataset.c: the loader's thread and its caller share no byte without the lock.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
CC=${CC:-gcc}
skip() { echo "ok 1 # SKIP $1"; echo "1..1"; exit 0; }
[ "${MODE:-default}" = default ] || skip "not in this build"
flags="-std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -pthread -I. -Iruntime -Ifrontends/data"
echo 'int main(void) { return 0; }' | $CC $flags -x c - -o "$BUILD/tsan-probe" 2>/dev/null && "$BUILD/tsan-probe" 2>/dev/null ||
    skip "$CC has no ThreadSanitizer that runs here"
# shellcheck disable=SC2086
$CC $flags -o "$BUILD/dataset-tsan" tests/dataset.c frontends/data/*.c runtime/alloc.c runtime/diag.c runtime/dtype.c \
    runtime/tensor.c -lcmocka -ljansson -lz -lprotobuf-nanopb -lm || { echo "not ok 1 - it builds"; echo "1..1"; exit 1; }
# Which accesses meet is a matter of chance: several tries see more.
tries() { for _ in 1 2 3 4 5; do "$BUILD/dataset-tsan" || return 1; done; }
if tries >"$BUILD/test-logs/dataset-tsan" 2>&1; then
    echo "ok 1 - loaders have no data races"
else
    echo "not ok 1 - loaders have no data races"
    grep -A 15 'WARNING: ThreadSanitizer' "$BUILD/test-logs/dataset-tsan" | head -n 30 | sed 's/^/# /'
fi
echo "1..1"
