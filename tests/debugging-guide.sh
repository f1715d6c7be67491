#!/bin/sh
# docs/DEBUGGING.md does what it says: its files are written, and its commands run in the same folder and print what is shown.
#
# in:  fenced blocks: ```c FILE and ```tn FILE are files; ```console has lines `$ COMMAND`, each with what it prints below it,
#      where `...` stands for any text, and alone on a line for any lines; ```console PROGRAM is skipped where that is not
#      installed
# out: one TAP line for each command
cd "$(dirname "$0")/.." || exit 1
guide=debugging-guide
. tests/lib/guide.sh
ln -s "$root/$BUILD/stage" "$work/stage"
export LD_LIBRARY_PATH="$root/$BUILD/stage/lib"
# Each command and what is to come, in files of one number.
awk -v folder="$work/" '
    /^```(c|tn) / { file = folder $2; next }
    /^```console/ { is_console = 1; needs = $2; next }
    /^```/ { file = ""; is_console = 0; next }
    file { print > file }
    is_console && /^\$ / {
        n++
        print substr($0, 3) > (folder n ".command")
        print needs > (folder n ".needs")
        printf "" > (folder n ".expected")
        next
    }
    is_console { print > (folder n ".expected") }' docs/DEBUGGING.md

# shows EXPECTED GOT: whether what came is what the guide shows.
shows() {
    awk '
        function pattern(line,   i, c, out) { # every character itself, but ... for any text
            out = "^"
            for (i = 1; i <= length(line); i++) {
                c = substr(line, i, 1)
                if (substr(line, i, 3) == "...") { out = out ".*"; i += 2 }
                else if (c == "\\" || c == "^") out = out "\\" c
                else out = out "[" c "]"
            }
            return out "$"
        }
        function agree(i, k) {
            if (i > n) return k > m
            if (want[i] == "...") return agree(i + 1, k) || (k <= m && agree(i, k + 1))
            return k <= m && got[k] ~ pattern(want[i]) && agree(i + 1, k + 1)
        }
        FILENAME == ARGV[1] { want[++n] = $0; next }
        { got[++m] = $0 }
        END { exit !agree(1, 1) }' "$1" "$2"
}

n=0
while [ -e "$work/$((n + 1)).command" ]; do
    n=$((n + 1))
    needs=$(cat "$work/$n.needs")
    if [ -n "$needs" ] && ! command -v "$needs" >/dev/null; then
        echo "ok $n # SKIP $needs is not installed"
        continue
    fi
    (cd "$work" && sh "$n.command") >"$work/$n.got" 2>&1 </dev/null
    if shows "$work/$n.expected" "$work/$n.got"; then
        echo "ok $n - $(cat "$work/$n.command")"
    else
        echo "not ok $n - $(cat "$work/$n.command")"
        head -n 40 "$work/$n.got" | sed 's/^/# /'
    fi
done
echo "1..$n"
