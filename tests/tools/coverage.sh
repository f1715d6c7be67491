#!/bin/sh
# Prints which share of the lines ran, a folder and a file at a time.
#
#   coverage.sh BUILD      after the tests ran in a build with --coverage
set -eu
build=$1
find "$build/obj" -name '*.gcda' | grep -v /tests/ | while read -r data; do
    gcov -n "$data" 2>/dev/null
done | awk '
    /^File / { file = substr($2, 2, length($2) - 2); next }
    /^Lines executed/ {
        split($0, a, /[:% ]+/)
        share = a[3]; total = $NF
        if (file ~ /^\// || file ~ /^build/ || !(file ~ /\//)) { file = ""; next }
        if (file != "" && share / 100 * total > hit[file]) hit[file] = share / 100 * total
        if (file != "") lines[file] = total
        file = ""
    }
    END {
        for (f in lines) {
            folder = f; sub(/\/[^\/]*$/, "", folder)
            fh[folder] += hit[f]; fl[folder] += lines[f]; h += hit[f]; l += lines[f]
            printf "%-48s %6.1f %% of %6d lines\n", f, 100 * hit[f] / lines[f], lines[f] | "sort"
        }
        close("sort")
        print ""
        for (d in fl) printf "%-48s %6.1f %% of %6d lines\n", d "/", 100 * fh[d] / fl[d], fl[d] | "sort"
        close("sort")
        if (l) printf "%-48s %6.1f %% of %6d lines\n", "all", 100 * h / l, l
    }'
