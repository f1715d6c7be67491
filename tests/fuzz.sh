#!/bin/sh
# Runs every fuzz target over its kept corpus (tests/fuzz/corpus/NAME/*).
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
n=0
for source in tests/fuzz/*.c; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .c)
    n=$((n + 1))
    files=$(find "tests/fuzz/corpus/$name" -type f 2>/dev/null | sort)
    # shellcheck disable=SC2086
    if [ -z "$files" ]; then
        echo "ok $n - $name # SKIP it has no corpus"
    elif timeout 300 "$BUILD/tests/fuzz/$name" $files >"$BUILD/test-logs/fuzz-$name" 2>&1; then
        echo "ok $n - $name ($(echo "$files" | wc -l) files)"
    else
        echo "not ok $n - $name"
        tail -n 15 "$BUILD/test-logs/fuzz-$name" | sed 's/^/# /'
    fi
done
echo "1..$n"
