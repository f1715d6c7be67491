#!/bin/sh
# docs/AOT.md does what it says: its files are written, and its commands run in the same folder.
#
# in:  fenced blocks: ```c FILE and ```tn FILE are files, ```sh commands, one a line
# out: one TAP line for each command
cd "$(dirname "$0")/.." || exit 1
guide=aot-guide
. tests/lib/guide.sh
awk -v folder="$work/" '
    /^```(c|tn) / { file = folder $2; next }
    /^```sh$/ { file = folder "commands"; next }
    /^```/ { file = ""; next }
    file { print > file }' docs/AOT.md

n=0
while read -r command; do
    n=$((n + 1))
    if (cd "$work" && sh -c "$command") >"$work/log" 2>&1 </dev/null; then
        echo "ok $n - $command"
    else
        echo "not ok $n - $command"
        tail -n 20 "$work/log" | sed 's/^/# /'
    fi
done <"$work/commands"
n=$((n + 1))
# What the first program prints: softmax of relu(x w1) w2, by hand of [67, 92] and [5.5, 7].
if [ "$(cd "$work" && ./main)" = "0.000 1.000
0.182 0.818" ]; then echo "ok $n - main's numbers"; else echo "not ok $n - main's numbers"; fi
echo "1..$n"
