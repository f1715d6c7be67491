#!/bin/sh
# Every program of docs/examples, built against the installed headers alone, runs and says what it should.
#
# in:  docs/examples/NAME.c with NAME.expected (its stdout, but for lines that begin with '#', which may differ from
#      one machine to another) beside it; without that file it must only exit 0. The OCR demo is held to docs/examples/page.txt: at least 98 % of characters right.
# out: one TAP line an example
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
model=build/models/ch_PP-OCRv4_rec_infer.onnx
out=$BUILD/test-logs/example
n=0

# Edits (Levenshtein) between two files, and the length of the second. Some awks count bytes: then a
# wrong Chinese character counts for up to three.
distance='
BEGIN { while ((getline line < got) > 0) a = a line "\n"; while ((getline line < want) > 0) b = b line "\n"
    n = split(a, x, ""); m = split(b, y, "")
    for (j = 0; j <= m; j++) row[j] = j
    for (i = 1; i <= n; i++) {
        diagonal = row[0]; row[0] = i
        for (j = 1; j <= m; j++) {
            best = diagonal + (x[i] != y[j])
            if (row[j] + 1 < best) best = row[j] + 1
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1
            diagonal = row[j]; row[j] = best
        }
    }
    printf "%d of %d characters wrong", row[m], m
    exit row[m] > 0.02 * m }'

for source in docs/examples/*.c; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .c)
    n=$((n + 1))
    why=
    if [ "$name" = ocr ]; then
        if [ ! -e "$model" ]; then
            echo "ok $n - ocr # SKIP $model could not be fetched"
            continue
        fi
        if "$BUILD/examples/ocr" "$model" docs/examples/page.png >"$out-$name" 2>"$out-$name.err"; then
            # One line a text line: the text, a tab, its confidence, a tab, milliseconds.
            grep -v '^#' "$out-$name" | cut -f1 >"$out-$name.text"
            why=$(awk -v got="$out-$name.text" -v want=docs/examples/page.txt "$distance") && why=
        else
            why="exit status $?"
        fi
    elif ! "$BUILD/examples/$name" >"$out-$name" 2>"$out-$name.err"; then
        why="exit status not 0"
    elif [ -e "docs/examples/$name.expected" ] &&
        ! grep -v '^#' "$out-$name" | cmp -s - "docs/examples/$name.expected"; then
        why="its output is not $name.expected"
    fi
    if [ -z "$why" ]; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name: $why"
        head -n 20 "$out-$name" "$out-$name.err" | sed 's/^/# /'
    fi
done
echo "1..$n"
