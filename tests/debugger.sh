#!/bin/sh
# tenon debug on scripts: what it answers to commands.
#
# in:  tests/debugger/NAME.commands (options in a first line that begins with --), NAME.tn, $TENON
# out: one TAP line a session; what differs from NAME.expected. TN_UPDATE=1 writes that anew
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/debugger" || exit 1
work=$(realpath -m "${BUILD:-../../build}/test-logs/debugger-work")
case ${BUILD:-} in '' | /*) ;; *) work=$(realpath -m "../../$BUILD/test-logs/debugger-work") ;; esac
rm -rf "$work" && mkdir -p "$work" || exit 1
n=0

check() { # name, status of diff
    n=$((n + 1))
    if [ "$2" = 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$work/difference"
    fi
}

# An ONNX file: there are no lines of source, but nodes that have names.
"$TENON" export loop.tn -o "$work/onnx.onnx" || echo "# loop.tn cannot be exported"

for commands in *.commands; do
    name=${commands%.commands} model=$work/${commands%.commands}.onnx options=
    [ ! -e "$name.tn" ] || model=$name.tn
    case $(head -n 1 "$commands") in --*) options=$(head -n 1 "$commands") ;; esac
    # shellcheck disable=SC2086
    grep -v '^--' "$commands" | "$TENON" debug "$model" $options 2>"$work/err" | sed "s|$work/||g" >"$work/$name"
    [ -z "${TN_UPDATE:-}" ] || cp "$work/$name" "$name.expected"
    diff "$name.expected" "$work/$name" >"$work/difference"
    check "$name" $?
done

# Commands of options come before those of standard input, and a session may have no standard input at all.
"$TENON" debug loop.tn --execute 'set x = 2' --execute 'next 2' --execute 'print out[0]' </dev/null >"$work/given" 2>/dev/null
printf '   [0, :] 16 16 16 16\n' >"$work/wanted"
tail -n 1 "$work/given" | diff "$work/wanted" - >"$work/difference"
check "commands of options" $?
"$TENON" debug loop.tn </dev/null >"$work/given" 2>/dev/null
check "no commands at all" $?
echo "1..$n"
