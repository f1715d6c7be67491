#!/bin/sh
# Objects for other machines, linked with a plain C program (--emit exe writes it), run there, against this machine.
#
# in:  a perceptron with sizes, and models of build/models: convolutions, LSTMs. Targets: aarch64 and riscv64 by qemu's
#      user mode, a Cortex-M7 by qemu's board mps2-an500 with files by semihosting, wasm32 by node with its WASI
# out: one TAP line for a model on a target; a target without its tools is skipped (make deps-emulation installs them)
# law: results differ from this machine's by rounding: by at most TOLERANCE of the largest in a tensor
#
# Last, an object for wasm32 without any libc: wasm-ld alone, called from JavaScript (tests/tools/wasm-alone.mjs).
TOLERANCE=1e-4
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
ROOT=$PWD
tenon=$ROOT/$BUILD/tenon
work=$ROOT/$BUILD/aot-targets
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
host_cc=${CC:-cc}
# shellcheck disable=SC2086
$host_cc -O1 -o floats "$ROOT/tests/tools/floats.c" -lm || exit 1

n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; tail -n 10 log | sed 's/^/# /'; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP there is no $2: make deps-emulation installs it"; }

cat >perceptron.tn <<'TEXT'
module "perceptron"
fn @main(%x: f32[n, 4], %w1: f32[4, 3] weight {1, 0, 2, 0, 1, 1, 1, 1, 0, 2, 0, 1}, %w2: f32[3, 2] weight {1, 2, 3, 4, 5, 6})
    -> (%probs: f32[n, 2]) where n in [1, 1024] {
  %h = dot %x, %w1, contract=[1]x[0]
  %a = tanh %h
  %s = dot %a, %w2, contract=[1]x[0]
  %probs = softmax %s, axis=1
  return %probs
}
TEXT

# Names and numbers of elements of the tensors that a header's first comment lists under a word.
tensors() {
    awk -v word="$2" -v sizes="n=7" '
        /\*\// { exit }
        $2 ~ /^[a-z]+$/ && $3 ~ /:$/ { under = $2 == word }
        $2 == "work" || $2 == "memory" || $2 == "sizes" { under = 0 }
        under && /: f32\[/ {
            name = $0; sub(/: f32.*/, "", name); sub(/.* /, "", name)
            dims = $0; sub(/.*f32\[/, "", dims); sub(/\].*/, "", dims); gsub(/n/, "7", dims)
            count = split(dims, d, /, */); elements = 1
            for (i = 1; i <= count; i++) elements *= d[i]
            print name, elements
        }' "$1.h"
}

# Runs a program, with what emulates it before, on files; outputs are NAME.SUFFIX.
run() { # MODEL SUFFIX COMMAND...
    model=$1 suffix=$2
    shift 2
    ! grep -q 'f32\[n, ' "$model.h" || set -- "$@" n=7
    for pair in $(tensors "$model" inputs | sed 's/ /:/'); do
        file=${pair%:*}.in
        [ -e "$file" ] || ../floats make "${pair#*:}" 7 "$file"
        set -- "$@" "${pair%:*}=$file"
    done
    for pair in $(tensors "$model" outputs | sed 's/ /:/'); do set -- "$@" "${pair%:*}=${pair%:*}.$suffix"; done
    "$@"
}

# shellcheck disable=SC2086
build() { # MODEL FILE TARGET COMMAND-TO-LINK: the program MODEL
    CC=$4 "$tenon" compile "$2" -o "$1" --target "$3" --emit exe $sets
}

# shellcheck disable=SC2086
on_target() { # MODEL FILE TARGET LINK RUN...
    model=$1 file=$2 target=$3 link=$4
    shift 4
    mkdir -p "$model" && cd "$model" || exit 1
    log=$work/log
    if build "$model" "$file" "$target" "$link" >"$log" 2>&1 && run "$model" "$target" "$@" "./$model" >>"$log" 2>&1
    then
        worst=
        failed=
        for pair in $(tensors "$model" outputs | sed 's/ /:/'); do
            worst="$worst $(../floats compare "${pair%:*}.native" "${pair%:*}.$target" $TOLERANCE)" || failed=yes
        done
        size=$(size_of "$model.o")
        cd "$work" || exit 1
        if [ -z "$failed" ]; then ok "$model on $target: differs by$worst; $size"; else not_ok "$model on $target: differs by$worst"; fi
    else
        cd "$work" || exit 1
        not_ok "$model on $target"
    fi
}

size_of() {
    needs=$(sed -n 's/^ \*   needs     //p' "${1%.o}.h")
    echo "object of $(wc -c <"$1") bytes, needs $needs"
}

has() { command -v "$1" >/dev/null; }
clang=$(for v in 22 21 20 19; do command -v "clang-$v"; done | head -1)
cat >m7-cc <<TEXT
#!/bin/sh
exec arm-none-eabi-gcc -mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16 --specs=rdimon.specs \\
    -T "$ROOT/tests/tools/cortex_m7.ld" "$ROOT/tests/tools/cortex_m7.c" "\$@"
TEXT
chmod +x m7-cc

missing_of() { # TARGET: the first tool that is not there
    case $1 in
    aarch64-linux-gnu) tools="aarch64-linux-gnu-gcc qemu-aarch64" ;;
    riscv64-linux-gnu) tools="riscv64-linux-gnu-gcc qemu-riscv64" ;;
    arm-none-eabi) tools="arm-none-eabi-gcc qemu-system-arm" ;;
    wasm32) tools="${clang:-clang} node" ;;
    esac
    for tool in $tools; do has "$tool" || { echo "$tool"; return; }; done
    [ "$1" != wasm32 ] || [ -e /usr/include/wasm32-wasi/stdio.h ] || echo wasi-libc
}

# MODEL FILE, with $sets for its sizes: here, then on each target.
try() {
    mkdir -p "$1" && cd "$1" || exit 1
    if ! { build "$1" "$2" native "$host_cc" && run "$1" native "./$1"; } >"$work/log" 2>&1; then
        cd "$work" || exit 1
        not_ok "$1 on this machine"
        return
    fi
    cd "$work" || exit 1
    for target in aarch64-linux-gnu riscv64-linux-gnu arm-none-eabi wasm32; do
        missing=$(missing_of $target)
        if [ -n "$missing" ]; then skip "$1 on $target" "$missing"; continue; fi
        case $target in
        aarch64-linux-gnu) on_target "$1" "$2" $target "aarch64-linux-gnu-gcc -static" qemu-aarch64 ;;
        riscv64-linux-gnu) on_target "$1" "$2" $target "riscv64-linux-gnu-gcc -static" qemu-riscv64 ;;
        arm-none-eabi) on_target "$1" "$2" $target "$work/m7-cc" "$ROOT/tests/tools/run-cortex-m7.sh" ;;
        wasm32) on_target "$1" "$2" $target "$clang --target=wasm32-wasi -Wno-deprecated" node --no-warnings "$ROOT/tests/tools/run-wasm.mjs" ;;
        esac
    done
}

sets=
try perceptron "$work/perceptron.tn"
models=$ROOT/build/models
[ ! -e "$models/dtln_model_1.onnx" ] || try dtln "$models/dtln_model_1.onnx"
sets="--set N=2"
[ ! -e "$models/mtcnn_rnet.onnx" ] || try mtcnn_rnet "$models/mtcnn_rnet.onnx"

# Without any libc.
what="perceptron in a module of its own"
missing=$(missing_of wasm32)
if [ -n "$missing" ]; then
    skip "$what" "$missing"
else
    cd "$work/perceptron" || exit 1
    if { "$tenon" compile ../perceptron.tn -o perceptron --target wasm32 &&
        "$clang" --target=wasm32 -nostdlib -Wl,--no-entry -Wl,--export=perceptron_run -Wl,--export=__heap_base \
            -o alone.wasm perceptron.o && node "$ROOT/tests/tools/wasm-alone.mjs" alone.wasm x.in probs.alone 7 &&
        ../floats compare probs.native probs.alone $TOLERANCE; } >"$work/log" 2>&1
    then cd "$work" && ok "$what: $(wc -c <perceptron/alone.wasm) bytes"
    else cd "$work" && not_ok "$what"; fi
fi
echo "1..$n"
