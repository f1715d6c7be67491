#!/bin/sh
# The generated references are what the program says now: `make docs` writes them.
TENON=${TENON:-build/tenon}
cd "$(dirname "$0")/.." || exit 1
echo 1..2
n=0
for what in ops passes; do
    n=$((n + 1))
    file=docs/$(echo "$what" | tr a-z A-Z).md
    if "$TENON" doc "$what" 2>/dev/null | diff "$file" - >/dev/null 2>&1; then
        echo "ok $n - $file"
    else
        echo "not ok $n - $file is stale: run 'make docs'"
    fi
done
