#!/bin/sh
# Training on a device: what `tenon train --step` writes, and docs/examples/aot/digits.c, which learns with the generated
# headers alone (tests/aot_train.c compares such steps with a trainer's, bit for bit).
#
# in:  $TENON, $CC; the digits of docs/examples/data
# out: one TAP line a check
TENON=$(realpath "${TENON:-build/tenon}")
CC=${CC:-cc}
cd "$(dirname "$0")/.." || exit 1
root=$PWD
. tests/lib/program.sh
work=$(realpath -m "${BUILD:-build}/test-logs/aot-train-work")
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
skip() { # what, why
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}
digits=$root/docs/examples/data/digits.csv.gz
example=$root/docs/examples/aot/digits.c

# ---- The example, by the commands that it names ----------------------------------------------------------

tenon train digits "$digits" --batch 32 --step digits
ok "the step is written" says 0 "digits.tn: a step" out
tenon compile digits.tn -o digits --entry train_step --states digits.safetensors
ok "and compiled" is 0
tenon compile digits_infer.tn -o digits_infer --set n=1
ok "so is the model for use" is 0
# shellcheck disable=SC2086
$CC -std=c11 -Wall -Wextra -Wpedantic -Werror -I. "$example" digits.o digits_infer.o -o digits >out 2>err
status=$?
ok "a plain C file links them, with no library" is 0
needed() { [ "$(readelf -d digits | grep -c NEEDED)" -le 1 ]; }
case ${MODE:-default} in default | hostile) ok "libc is all that it needs" needed ;; esac
ok "it has at most 60 lines" [ "$(wc -l <"$example")" -le 60 ]
gzip -dc "$digits" | ./digits >out 2>err
status=$?
ok "it learns" says 0 "at least 98 % of the test are right: yes" out
mv out first
gzip -dc "$digits" | ./digits >out 2>err
ok "twice the same, to the last digit of the loss" cmp first out

# ---- The same on other machines, emulated -------------------------------------------------------------------

# The first steps, with every loss: the same but for the order of sums, which vectors of another width give.
sed 's/STEPS = [^}]*}/STEPS = 12 }/; s/step % 100 == 0/step >= 0/' "$example" >short.c
losses() { sed -n 's/^# step [0-9]*: loss //p' "$1"; }
near() { # file, file
    losses "$1" >one && losses "$2" >two && [ "$(wc -l <one)" = 12 ] && paste one two |
        awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > (NR == 1 ? 1e-5 : 3e-3) * $1) bad = 1 } END { exit bad }'
}
# shellcheck disable=SC2086
$CC -std=c11 -I. short.c digits.o digits_infer.o -o short && gzip -dc "$digits" | ./short >short.out
for machine in aarch64 riscv64; do
    name="the same on $machine"
    cc=$machine-linux-gnu-gcc
    if [ -z "${TN_LONG:-}" ]; then
        skip "$name" "only in the long mode"
    elif ! type "$cc" "qemu-$machine" >/dev/null 2>&1; then
        skip "$name" "there is no $cc or no qemu-$machine"
    else
        mkdir "$machine"
        tenon compile digits.tn -o "$machine/digits" --entry train_step --states digits.safetensors --target "$machine-linux-gnu"
        tenon compile digits_infer.tn -o "$machine/digits_infer" --set n=1 --target "$machine-linux-gnu"
        "$cc" -static -std=c11 -I"$machine" short.c "$machine"/*.o -o "$machine/short" &&
            gzip -dc "$digits" | "qemu-$machine" "$machine/short" >"$machine/out"
        ok "$name" near short.out "$machine/out"
    fi
done

# ---- The same files give the same object ------------------------------------------------------------------

cp digits.o first.o && cp digits.h first.h
(mkdir -p elsewhere && cd elsewhere && "$TENON" train digits "$digits" --batch 32 --step digits >/dev/null &&
    "$TENON" compile digits.tn -o digits --entry train_step --states digits.safetensors >/dev/null)
ok "written again in another folder, the object is the same" cmp first.o elsewhere/digits.o
ok "so is the header" cmp first.h elsewhere/digits.h

# ---- Going on from a training here --------------------------------------------------------------------------

tenon train digits "$digits" --epochs 1 --checkpoint run.safetensors -o model.onnx
tenon compile digits.tn -o later --entry train_step --states run.safetensors
ok "a checkpoint's states are first values too" is 0

# ---- Imported models ------------------------------------------------------------------------------------------

tenon train --onnx model.onnx --loss sparse_cross_entropy --batch 4 --step own
ok "an imported model's step needs no data" is 0
ok "its batch is what was asked for" grep -q 'f32\[4, 1, 8, 8\]' own.tn
tenon compile own.tn -o own --entry train_step --states own.safetensors
ok "and it compiles" is 0
ok "names are identifiers" grep -q 'conv2d_kernel\[16\]\[1\]\[3\]\[3\]' own.h
ok "the learning rate is an argument" grep -q 'double learning_rate' own.h
tenon train --onnx model.onnx --loss sparse_cross_entropy --batch 4 --step frozen --freeze conv2d.kernel
tenon compile frozen.tn -o frozen --entry train_step --states frozen.safetensors
ok "what is frozen is in the object" is 0
ok "and no state" sh -c '! grep -q conv2d_kernel frozen.h'
cat >constant.tn <<'TN'
module "constant"
fn @main(%x: f32[2, 3], %w: f32[3, 100] weight) -> (%y: f32[2, 100]) {
  %y = dot %x, %w, contract=[1]x[0]
  return %y
}
TN
tenon train --onnx constant.tn --loss mse --step other
ok "weights without values are told" says 1 "error:" err

cat >linear.tn <<'TN'
module "linear"
fn @main(%x: f32[2, 1], %w: f32[1, 2] weight {1, 2}) -> (%y: f32[2, 2]) {
  %y = dot %x, %w, contract=[1]x[0]
  return %y
}
TN
cp linear.tn kept
tenon train --onnx linear.tn --loss mse --step linear
ok "a model is not written over" says 1 "linear.tn: error: --step linear would write over the model" err
ok "it is as it was" cmp linear.tn kept
tenon train --onnx linear.tn --loss mse --step linear_step
ok "by another name it is written" is 0

# ---- Wrong usage -----------------------------------------------------------------------------------------------

tenon train digits "$digits" --step digits --epochs 3
ok "training and the step do not go together" says 2 "--step writes the step and trains nothing" err
tenon train digits "$digits" --step none/digits
ok "a folder that is not there" says 1 "error:" err
echo "1..$n"
