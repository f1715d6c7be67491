#!/bin/sh
# Includes point down the table of folders, and only one folder includes LLVM's headers.
#
# in:  every .c, .h and .def file of the folders below
# out: one TAP line a folder; what breaks the order is named with its line
cd "$(dirname "$0")/.." || exit 1

# folder: the folders it may include, itself always
order='
runtime:
ir: runtime
compiler/passes: runtime ir
compiler/loops: runtime ir
compiler/codegen: runtime ir compiler/loops
compiler: runtime ir compiler/passes compiler/loops compiler/codegen
frontends/data: runtime
frontends/onnx: runtime ir compiler compiler/passes frontends/data
frontends/nn: runtime ir compiler frontends/data
frontends/explain: runtime ir compiler frontends/data
frontends: runtime ir compiler frontends/data frontends/explain frontends/nn
frontends/cli: frontends runtime ir compiler compiler/passes compiler/loops compiler/codegen frontends/data frontends/explain frontends/onnx frontends/nn
'

# Where an include is looked for: the including file's folder, then the -I list of the Makefile.
resolve() { # file, name as included
    for place in "$(dirname "$1")" . runtime ir compiler frontends frontends/data frontends/explain frontends/onnx frontends/nn; do
        [ -e "$place/$2" ] && { (cd "$(dirname "$place/$2")" && pwd) | sed "s|^$PWD/||"; return; }
    done
    echo "?" # generated, or a library's: not ours to judge
}

count=0 failed=0
echo "1..$(echo "$order" | grep -c :)"
IFS='
'
for row in $order; do
    folder=${row%%:*} allowed=" ${row#*:} $folder "
    bad=
    for file in $(find "$folder" -maxdepth 1 \( -name '*.c' -o -name '*.h' -o -name '*.def' \) 2>/dev/null | sort); do
        for line in $(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' "$file"); do
            name=$(echo "$line" | sed -E 's/.*[<"]([^>"]*)[>"].*/\1/')
            case $name in
            llvm-c/* | llvm/*) [ "$folder" = compiler/codegen ] || bad="$bad
# $file:${line%%:*}: only compiler/codegen includes LLVM ($name)" ;;
            *)
                case $line in *\"*) ;; *) continue ;; esac
                target=$(resolve "$file" "$name")
                case $allowed in
                *" $target "*) ;;
                *) [ "$target" = "?" ] || bad="$bad
# $file:${line%%:*}: $folder may not include $target ($name)" ;;
                esac ;;
            esac
        done
    done
    count=$((count + 1))
    if [ -n "$bad" ]; then
        echo "not ok $count - $folder$bad"
        failed=1
    else
        echo "ok $count - $folder"
    fi
done
exit $failed
