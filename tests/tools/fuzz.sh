#!/bin/sh
# Fuzzes each target for a time, one after the other.
#
#   fuzz.sh SECONDS PROGRAM...     programs of `make fuzz`, named as their tests/fuzz/NAME.c
#
# Starts from tests/fuzz/corpus/NAME; what is new there afterwards is minimised and kept. A finding
# is left in build/fuzz/NAME-*, for reducing and adding to the corpus; exit 1.
set -u
seconds=$1
shift
status=0
for program in "$@"; do
    name=$(basename "$program")
    corpus=tests/fuzz/corpus/$name
    found=build/fuzz/found-$name
    mkdir -p "$corpus" "$found"
    echo "fuzz: $name for $seconds s"
    ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 LSAN_OPTIONS=suppressions=tests/tools/lsan.supp:print_suppressions=0 \
        "$program" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=16384 \
        -artifact_prefix="build/fuzz/$name-" "$found" "$corpus" >"build/fuzz/$name.log" 2>&1 || status=1
    tail -n 3 "build/fuzz/$name.log"
    # Only inputs that reach something new are worth keeping.
    "$program" -merge=1 "$corpus" "$found" >/dev/null 2>&1
    echo "fuzz: $name: $(find "$corpus" -type f | wc -l) files in the corpus"
done
exit $status
