#!/bin/sh
# docs/TRAINING.md does what it says: its C blocks are one program, built against the installed headers and run, then its
# shell blocks run in the same folder.
#
# in:  fenced blocks, ```c and ```sh
# out: one TAP line for the program, one for each command
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
guide=guide
. tests/lib/guide.sh
blocks() { awk -v kind="\`\`\`$1" '$0 == kind { inside = 1; next } /^```/ { inside = 0 } inside' docs/TRAINING.md; }

n=0
result() { # status, name
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        tail -n 20 "$work/log" | sed 's/^/# /'
    fi
}

blocks c >"$work/guide.c"
stage=$root/$BUILD/stage
[ "$MODE" = asan ] && flags='-fsanitize=address,undefined' || flags=
# shellcheck disable=SC2086
$CC -std=c11 -Wall -Wextra -Werror $flags -I"$stage/include/tenon" "$work/guide.c" -o "$work/guide" -L"$stage/lib" -ltenon \
    -Wl,-rpath,"$stage/lib" >"$work/log" 2>&1
result $? "guide.c builds"
(cd "$work" && ./guide "$root/docs/examples/data/digits.csv.gz") >"$work/log" 2>&1 && grep -q "^10 epochs, learnt" "$work/log"
result $? "guide.c learns"
blocks sh >"$work/commands"
while read -r command; do
    (cd "$work" && sh -c "$command") >"$work/log" 2>&1 </dev/null
    result $? "$command"
done <"$work/commands"
echo "1..$n"
