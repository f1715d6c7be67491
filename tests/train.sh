#!/bin/sh
# `tenon train`: what it learns, that it goes on bit for bit after any end, what it says of wrong input.
#
# in:  $TENON; the digits of docs/examples/data, files that are written here
# out: one TAP line a check; what it saw when it was not what was wanted
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/.." || exit 1
root=$PWD
. tests/lib/program.sh
work=$(realpath -m "${BUILD:-build}/test-logs/train-work")
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
digits=$root/docs/examples/data/digits.csv.gz
# A number of the last line: "loss 0.5", say.
number() { sed -n "s/.* $1 \([0-9.]*\).*/\1/p" out | head -n 1; }
above() { is 0 && awk -v x="$(number "$1")" -v least="$2" 'BEGIN { exit !(x > least) }'; }

# ---- The digits ----------------------------------------------------------------------------------

tenon train digits --epochs 3 -o first.safetensors --tensorboard records --best best.safetensors
ok "digits learns" above accuracy 0.93
ok "one line an epoch when there is no terminal" [ "$(grep -c '^epoch [123]/3' err)" = 3 ]
ok "the model is there" [ -s first.safetensors ]
ok "so is the best" [ -s best.safetensors ]
ok "so are the records" sh -c 'ls records/events.out.tfevents.* >/dev/null'
tenon train digits "$digits" --epochs 3 --threads 1 -o again.safetensors
ok "the same seed gives the same bits, on another number of threads" cmp first.safetensors again.safetensors
tenon train digits --epochs 1 --seed 5 -o other.safetensors
ok "another seed gives others" sh -c '! cmp -s first.safetensors other.safetensors'
tenon train digits --epochs 1 --validation 0 --optimizer sgd --lr 0.1 --schedule one_cycle --batch 64 -o sgd.onnx
ok "another optimizer, no validation, ONNX" says 0 "1 epoch, 29 steps" out
ok "no validation is told" sh -c '! grep -q validation out'
tenon run sgd.onnx --set n=3 --check
ok "what was written runs" is 0
tenon train digits --epochs 8 --patience 1 --lr 1e-9 --schedule constant --optimizer sgd
ok "patience ends it" says 0 "ended early" out

# ---- Going on --------------------------------------------------------------------------------------

# The run that others have to agree with: 2 epochs of 45 steps.
run="train digits --epochs 2"
# shellcheck disable=SC2086
tenon $run -o whole.safetensors

# Waits until the program $! has written a checkpoint, or has ended.
wait_for() { # checkpoint
    while [ ! -s "$1" ] && kill -0 $! 2>/dev/null; do sleep 0.01; done
}

"$TENON" train digits --epochs 100000 --checkpoint long.ckpt -o long.onnx >out 2>err &
wait_for long.ckpt
kill -INT $!
wait $!
status=$?
ok "an interrupt ends training well" says 0 "stopped: --resume goes on from long.ckpt" out
ok "with a checkpoint" [ -s long.ckpt ]
ok "and the model" [ -s long.onnx ]

# shellcheck disable=SC2086
"$TENON" $run --checkpoint stop.ckpt --checkpoint-every 7 -o stopped.safetensors >out 2>err &
wait_for stop.ckpt
kill -INT $!
wait $!
status=$?
ok "in the middle of an epoch too" says 0 "stopped: --resume goes on from stop.ckpt" out
# shellcheck disable=SC2086
tenon $run --checkpoint stop.ckpt --resume -o stopped.safetensors
ok "then it goes on to the same bits" cmp whole.safetensors stopped.safetensors

# Killed at moments of chance, mostly while it writes: what is left must always do to go on from.
kills=${TN_LONG:+40}
kills=${kills:-4}
seed=$$
all_went_on=true unfinished=0
for i in $(seq "$kills"); do
    rm -f kill.ckpt kill.safetensors
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    # shellcheck disable=SC2086
    "$TENON" $run --checkpoint kill.ckpt --checkpoint-every 1 -o kill.safetensors >out 2>err &
    wait_for kill.ckpt
    sleep "$(awk -v s="$seed" 'BEGIN { printf "%.3f", int(s / 65536) % 1000 / 4000 }')"
    kill -KILL $! 2>/dev/null
    wait $! 2>/dev/null
    [ -e kill.safetensors ] || unfinished=$((unfinished + 1))
    # shellcheck disable=SC2086
    tenon $run --checkpoint kill.ckpt --checkpoint-every 1 --resume -o kill.safetensors
    is 0 && cmp -s whole.safetensors kill.safetensors || all_went_on=false
done 2>/dev/null
ok "killed $kills times at any moment, it goes on to the same bits" $all_went_on
ok "it was killed before its end" [ "$unfinished" -gt 0 ]

printf 'no checkpoint' >bad.ckpt
tenon train digits --epochs 1 --checkpoint bad.ckpt --resume
ok "a damaged checkpoint is told" says 1 "bad.ckpt: error:" err
tenon train digits --epochs 2 --checkpoint stop.ckpt --resume --optimizer sgd
ok "a checkpoint of another optimizer is told" says 1 "stop.ckpt: error:" err

# ---- A text ---------------------------------------------------------------------------------------

i=0
while [ $i -lt 120 ]; do
    echo "the quick brown fox jumps over the lazy dog, $i times"
    i=$((i + 1))
done >fox.txt
tenon train text fox.txt --epochs 1 --batch 8
ok "text learns" says 0 "text: 1 epoch" out
ok "and writes a sample" [ "$(wc -c <out)" -gt 400 ]
tenon train text "$root/tests/train.sh.none"
ok "no text" says 1 "train.sh.none: error: No such file" err

# ---- MNIST's files ----------------------------------------------------------------------------------

# IDX by hand: 64 pictures of 8x8 for training, 16 for the test.
bytes() { awk -v n="$1" -v most="$2" 'BEGIN { for (i = 0; i < n; i++) printf "\\%03o", (i * 7 + int(i / 64)) % most }'; }
mkdir -p mnist
# shellcheck disable=SC2059
{
    { printf '\000\000\010\003\000\000\000\100\000\000\000\010\000\000\000\010'; printf "$(bytes 4096 256)"; } >mnist/train-images-idx3-ubyte
    { printf '\000\000\010\001\000\000\000\100'; printf "$(bytes 64 10)"; } | gzip >mnist/train-labels-idx1-ubyte.gz
    { printf '\000\000\010\003\000\000\000\020\000\000\000\010\000\000\000\010'; printf "$(bytes 1024 256)"; } >mnist/t10k-images.idx3-ubyte
    { printf '\000\000\010\001\000\000\000\020'; printf "$(bytes 16 10)"; } >mnist/t10k-labels-idx1-ubyte
}
tenon train mnist mnist --epochs 1 --batch 16
ok "mnist learns" says 0 "mnist: 1 epoch, 4 steps" out
ok "its test files are the validation" grep -q "^64 examples to learn from, 16 for validation" err
rm mnist/t10k-labels-idx1-ubyte
tenon train mnist mnist --epochs 1
ok "a missing file is told" says 1 "mnist: error: has no file t10k-labels-idx1-ubyte" err

# ---- An imported model ------------------------------------------------------------------------------

tenon train digits --epochs 1 -o model.onnx
tune="train --onnx model.onnx --loss sparse_cross_entropy --data $digits"
# shellcheck disable=SC2086
tenon $tune --epochs 1 --lr 1e-12
before=$(number loss)
# shellcheck disable=SC2086
tenon $tune --epochs 2 --lr 0.001 -o tuned.onnx
after=$(number loss)
ok "an imported model learns" awk -v a="$before" -v b="$after" 'BEGIN { exit !(b < 0.7 * a) }'
tenon run tuned.onnx --set n=2 --check
ok "what was tuned runs" is 0
# shellcheck disable=SC2086
tenon $tune --epochs 1 --freeze no.weight
ok "a weight to freeze that is none" says 1 "model.onnx: error: there is no weight no.weight to freeze" err
# shellcheck disable=SC2086
tenon $tune --epochs 1 --loss nothing
ok "a loss that is none" says 1 "nothing: there is no loss of that name" err
printf '1,2,3\n4,5,6\n' >small.csv
tenon train --onnx model.onnx --loss sparse_cross_entropy --data small.csv
ok "data of another size" says 1 "small.csv: error: field x has 2 elements an example, but x is f32[n, 1, 8, 8], 64" err

# One with the weights of somebody's training: a face detector's second stage learns to see bright squares.
rnet=$root/build/models/mtcnn_rnet.onnx
if [ -e "$rnet" ]; then
    awk 'BEGIN { srand(1); for (i = 0; i < 96; i++) { for (k = 0; k < 1728; k++) { y = int(k / 72); x = int(k / 3) % 24
        inside = i % 2 && y > 7 && y < 16 && x > 7 && x < 16; printf "%.3f,", rand() - 0.5 + 0.5 * inside }
        print i % 2 } }' >squares.csv
    tenon train --onnx "$rnet" --loss sparse_cross_entropy --loss-of softmax_1 --data squares.csv --epochs 6 --batch 16 \
        --lr 0.001 --validation 0.25 -o rnet.onnx
    ok "real weights are tuned" above accuracy 0.9
    tenon run rnet.onnx --set N=2 --check
    ok "and the model is whole" is 0
    tenon train --onnx "$rnet" --loss mse --loss-of nothing --data squares.csv
    ok "an output that is none" says 1 "mtcnn_rnet.onnx: error: there is no output nothing" err
else
    n=$((n + 1))
    echo "ok $n # SKIP $rnet could not be fetched"
fi

# ---- Usage --------------------------------------------------------------------------------------------

wrong() { # message, arguments...
    message=$1
    shift
    tenon train "$@"
    ok "usage: $message" says 2 "$message" err
}
wrong "what to train is missing" --epochs 1
wrong "there is no example cats" cats
wrong "mnist needs a DIR" mnist
wrong "--onnx needs --data FILE" --onnx model.onnx --loss mse
wrong "--onnx needs --loss NAME" --onnx model.onnx --data small.csv
wrong "--onnx takes its data by --data, not digits" digits --onnx model.onnx
wrong "go with --onnx" digits --freeze x
wrong "need --checkpoint FILE" digits --resume
wrong "--epochs: it must be 1" digits --epochs 0
wrong "--validation: 1 is not a number from 0 to below 1" digits --validation 1
wrong "neither a .onnx nor a .safetensors file" digits -o model.pt
tenon train digits --epochs 1 --optimizer best
ok "an optimizer that is none" says 1 "no optimizer is called \"best\"" err
tenon train digits small.csv --epochs 1
ok "digits of another size" says 1 "small.csv: error:" err
echo "1..$n"
