#!/bin/sh
# The generated references are what the program says now (`make docs` writes them), and the demo's
# page shows the README's first paragraph (tests/tools/make_page.py draws it).
TENON=${TENON:-build/tenon}
cd "$(dirname "$0")/.." || exit 1
echo 1..3
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

words() { tr -s ' \n' '\n\n' | grep .; }
awk 'NF == 0 { n++; next } n == 1 { print }' README.md | words >"${BUILD:-build}/readme.words"
if words <docs/examples/page.txt | head -n "$(wc -l <"${BUILD:-build}/readme.words")" | cmp -s - "${BUILD:-build}/readme.words"; then
    echo "ok 3 - docs/examples/page.txt"
else
    echo "not ok 3 - docs/examples/page.txt is not the README's first paragraph: run tests/tools/make_page.py, make references"
fi
